"""What is looked at before anybody is served: each bad ground has its sentence, on both engines."""

from __future__ import annotations

import gc
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.cluster.checks import (
    _SENTENCES,
    BackendCheck,
    BackendUnusable,
    look_again,
    told_trouble,
)
from server.cluster.engine import Connector
from server.cluster.scripts import commands
from settings.backend import BackendAddress, BackendSettings
from tests.engines import backend_address, backend_settings, kind
from tests.machine import needs
from tests.transport_kit import make_certificate
from tools.engine_process import EngineProcess, free_port

StartEngine = Callable[..., EngineProcess]
SECRET = "battery-staple"

# A user who may do what is needed, and nothing else.
ACL = (f">{SECRET}", "resetkeys", "~cc:*", "resetchannels", "-@all", "+evalsha", "+script|load",
       "+info", "+config|get", "+xread", *(f"+{name.lower()}" for name in commands()))  # fmt: skip


def wrong(settings: BackendSettings) -> BackendUnusable:
    """What is wrong with an engine; nothing that is kept of it may hold a secret."""
    with pytest.raises(BackendUnusable) as caught:
        BackendCheck(settings).run()
    error = caught.value
    assert SECRET not in error.sentence and error.sentence.isprintable()
    assert error.reason in _SENTENCES and "{" not in error.sentence
    return error


def test_an_engine_that_is_as_it_should_be(backend: BackendSettings) -> None:
    [warning] = BackendCheck(backend).run()
    assert warning.startswith(f"Note: {backend.address.shown} has no limit for its memory")


def test_a_limit_for_its_memory_is_not_warned_of(start_engine: StartEngine) -> None:
    engine = start_engine(["--maxmemory", "100mb"])
    assert BackendCheck(backend_settings(engine)).run() == []


def test_an_engine_that_is_not_there() -> None:
    settings = BackendSettings(BackendAddress("127.0.0.1", free_port()))
    error = wrong(settings)
    assert error.reason == "refused" and settings.address.shown in error.sentence
    assert wrong(BackendSettings(BackendAddress(path="/nowhere/s"))).reason == "refused"
    unknown = BackendAddress("no-such-name.invalid")
    assert wrong(BackendSettings(unknown, allow_insecure=True)).reason in ("name", "name_later")


def test_an_engine_that_does_not_answer(
    own_engine: EngineProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.cluster.limits.ENGINE_CONNECT_SECONDS", 0.1)
    monkeypatch.setattr("server.cluster.limits.ENGINE_REPLY_SECONDS", 0.1)
    own_engine.signal(signal.SIGSTOP)
    assert wrong(backend_settings(own_engine)).reason == "hung_up"


def test_something_else_that_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            sock, _address = listening.accept()
            with sock:
                sock.recv(100)
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        address = BackendAddress("127.0.0.1", listening.getsockname()[1])
        assert wrong(BackendSettings(address)).reason == "hung_up"
        thread.join()


def test_passwords(start_engine: StartEngine) -> None:
    engine = start_engine(password=SECRET)
    assert BackendCheck(backend_settings(engine)).run()
    for password, reason in (("wrong", "password"), (None, "no_password")):
        settings = backend_settings(engine, address=backend_address(engine, password=password))
        assert wrong(settings).reason == reason
    user = backend_address(engine, user="nobody")
    assert wrong(backend_settings(engine, address=user)).reason == "password"
    log = engine.ask("ACL", "LOG")
    assert sum(dict(zip(e[::2], e[1::2], strict=True))[b"count"] for e in log) == 2


@pytest.mark.parametrize("user", [None, "default"])
def test_a_password_that_is_not_needed(engine: EngineProcess, user: str | None) -> None:
    """The library's own way to log in says nothing of it."""
    address = backend_address(engine, user=user, password=SECRET)
    assert wrong(backend_settings(engine, address=address)).reason == "open"


@pytest.mark.parametrize("password", ["", SECRET])
def test_an_engine_that_takes_no_more_connections(
    start_engine: StartEngine, password: str
) -> None:
    engine = start_engine(password=password)
    others = [engine.client() for _ in range(2)]
    others[0].ask("CONFIG", "SET", "maxclients", 1)
    try:
        assert wrong(backend_settings(engine)).reason in ("answers", "hung_up")
    finally:
        for each in others:
            each.close()


def test_a_user_of_its_own_who_may_do_what_is_needed_and_no_more(
    start_engine: StartEngine,
) -> None:
    engine = start_engine(password="other")
    engine.ask("ACL", "SETUSER", "chat", "on", *ACL)
    address = backend_address(engine, user="chat", password=SECRET)
    settings = BackendSettings(address)
    assert BackendCheck(settings).run() and engine.ask("DBSIZE") == 0
    needed = [each for each in ACL if each.startswith("+")]
    for each in needed:
        engine.ask("ACL", "SETUSER", "chat", each.replace("+", "-"))
        error = wrong(settings)
        assert (error.reason, f"add {each} to that" in error.sentence) == ("rights", True), each
        engine.ask("ACL", "SETUSER", "chat", "reset", "on", *ACL)
    engine.ask("ACL", "SETUSER", "chat", "-hset", "-zadd", "-time")
    assert "add +hset +time +zadd to that" in wrong(settings).sentence
    engine.ask("ACL", "SETUSER", "chat", "reset", "on", *ACL, "resetkeys", "%R~cc:*")
    assert "add ~cc:* to that" in wrong(settings).sentence
    engine.ask("ACL", "SETUSER", "chat", "reset", "on", *ACL)
    assert "add ~other:* to that" in wrong(replace(settings, prefix="other:")).sentence
    assert wrong(replace(settings, address=replace(address, db=1))).sentence.count("+select") == 1


@pytest.mark.parametrize(
    ("setting", "value", "reason", "allowed"),
    [
        ("save", "3600 1", "persistence", True),
        ("appendonly", "yes", "persistence", True),
        ("maxmemory-policy", "allkeys-lru", "evicts", False),
        ("maxmemory-policy", "volatile-ttl", "evicts", False),
    ],
)
def test_settings_of_the_engine(
    own_engine: EngineProcess, setting: str, value: str, reason: str, allowed: bool
) -> None:
    settings = backend_settings(own_engine)
    own_engine.ask("CONFIG", "SET", setting, value)
    assert wrong(settings).reason == reason
    if allowed:
        assert BackendCheck(replace(settings, allow_persistence=True)).run()


def test_a_replica(start_engine: StartEngine) -> None:
    """And an engine that has one: that writes all to a file, unless it removes it."""
    source, replica = start_engine(), start_engine()
    settings = backend_settings(source)
    with Connector(settings).connect(2.0) as engine:
        assert look_again(engine, settings) == ""
        replica.ask("REPLICAOF", "127.0.0.1", source.port)
        while source.ask("INFO", "replication").find(b"connected_slaves:1") < 0:
            pass
        assert "rdb-del-sync-files" in look_again(engine, settings)
        error = wrong(settings)
        assert error.reason == "replicated" and error.sentence == look_again(engine, settings)
        assert BackendCheck(replace(settings, allow_persistence=True)).run()
        source.ask("CONFIG", "SET", "rdb-del-sync-files", "yes")
        assert look_again(engine, settings) == "" and BackendCheck(settings).run()
    assert wrong(backend_settings(replica)).reason == "replica"


def test_cluster_mode(start_engine: StartEngine) -> None:
    bus = str(free_port())
    engine = start_engine(["--cluster-enabled", "yes", "--cluster-port", bus])
    assert wrong(backend_settings(engine)).reason == "cluster"


@pytest.mark.parametrize(
    ("info", "version"),
    [
        ("redis_version:6.2.5", "Redis 6.2.5"),
        ("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:7.2.5", "Valkey 7.2.5"),
        ("server:other", "Redis ?"),
        ("redis_version:7.0.0", ""),
        ("redis_version:10.1.0", ""),
        ("redis_version:7.2.4\r\nvalkey_version:8.0.1", ""),
    ],
)
def test_versions(
    info: str, version: str, backend: BackendSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(check: BackendCheck, engine: Any, acl: str, *command: Any) -> Any:
        whole = f"{info}\r\nrole:master\r\ncluster_enabled:0\r\n".encode()
        return whole if command == ("INFO",) else ask(check, engine, acl, *command)

    ask = BackendCheck._ask
    monkeypatch.setattr(BackendCheck, "_ask", answer)
    if version:
        error = wrong(backend)
        assert error.reason == "old" and f" is {version}; " in error.sentence
    else:
        BackendCheck(backend).run()


@pytest.mark.parametrize("command", [("SET", "1"), ("SET", "x"), ("LPUSH", "2")])
def test_what_another_version_has_left(
    engine: EngineProcess, backend: BackendSettings, command: tuple[str, str]
) -> None:
    engine.ask("SET", f"{backend.prefix}format", "2")
    assert BackendCheck(backend).run()
    engine.ask("DEL", f"{backend.prefix}format")
    engine.ask(command[0], f"{backend.prefix}format", command[1])
    error = wrong(backend)
    assert error.reason == "format" and backend.prefix in error.sentence


def test_a_database_that_it_has_not(engine: EngineProcess) -> None:
    assert BackendCheck(backend_settings(engine, address=backend_address(engine, db=15))).run()
    far = backend_address(engine, db=16)
    assert wrong(backend_settings(engine, address=far)).reason == "database"


def test_an_engine_whose_settings_cannot_be_asked_for(start_engine: StartEngine) -> None:
    """As of some that are rented."""
    engine = start_engine(["--rename-command", "CONFIG", ""])
    error = wrong(backend_settings(engine))
    assert error.reason == "rights" and "add +config|get to that" in error.sentence


def test_in_clear_to_another_machine_nothing_is_even_tried() -> None:
    """192.0.2.0/24 is for documents: nobody is there."""
    assert wrong(BackendSettings(BackendAddress("192.0.2.1", password=SECRET))).reason == "in_clear"


def test_a_unix_socket(start_engine: StartEngine, tmp_path: Path) -> None:
    engine = start_engine(["--unixsocket", "s"])
    path = str(engine.folder / "s")
    assert BackendCheck(BackendSettings(BackendAddress(path=path))).run()


def test_what_is_said_while_it_runs(backend: BackendSettings) -> None:
    said = [told_trouble(trouble, backend) for trouble in ("lost", "WRONGPASS", "")]
    assert [backend.address.shown in sentence for sentence in said] == [True] * 3
    assert len(set(said)) == 3


def test_no_secret_is_left_in_memory_by_an_error(engine: EngineProcess) -> None:
    """Neither in what is raised nor in what that was raised from."""
    address = backend_address(engine, user="nobody", password=SECRET)
    error: BaseException | None = wrong(backend_settings(engine, address=address))
    while error is not None:
        assert SECRET not in repr(error) and SECRET not in repr(error.args)
        for each in gc.get_referents(error):
            assert SECRET not in repr(each) or isinstance(each, (dict, type))
        error = error.__context__


# TLS: PyPI's Valkey has none, and what is checked of it is transport's, as of any other connection.


@pytest.mark.parametrize("trusted", [True, False])
@needs("redis-server", beside="test_transport_tls.py::test_why_a_server_is_not_trusted")
def test_tls(tmp_path: Path, trusted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.cluster.limits.ENGINE_CONNECT_SECONDS", 0.5)
    cert = make_certificate(tmp_path, hosts=("localhost",))
    port = free_port()
    options = ["--tls-port", str(port), "--tls-cert-file", cert.cert_path, "--tls-key-file",
               cert.key_path, "--tls-auth-clients", "no"]  # fmt: skip
    with EngineProcess(kind("redis"), options) as engine:
        address = BackendAddress("localhost", port, tls=True)
        settings = BackendSettings(address, ssl_ca=cert.cert_path if trusted else None)
        if trusted:
            assert BackendCheck(settings).run()
            wrong_name = replace(settings, address=replace(address, host="127.0.0.1"))
            assert wrong(wrong_name).reason == "wrong_host"
            clear = replace(settings, address=replace(address, port=engine.port))
            assert wrong(clear).reason in ("protocol", "hung_up", "timeout")
            assert wrong(replace(settings, ssl_ca=str(tmp_path / "none"))).reason == "ca"
            assert wrong(replace(settings, address=replace(address, tls=False))).reason == "hung_up"
        else:
            assert wrong(settings).reason == "self_signed"
