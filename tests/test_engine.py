"""The connection to the engine, on both engines: one attempt, one write, and nothing hidden."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from server.cluster.engine import CannotConnect, Connector, EngineLost
from server.cluster.resp import EngineError, pack
from settings.backend import BackendAddress, BackendSettings
from tests.engines import backend_address, backend_settings, kind
from tests.machine import needs
from tests.transport_kit import make_certificate
from tools.engine_process import EngineProcess, Monitor, Seen, free_port, seen


def test_a_batch_is_answered_in_order(backend: BackendSettings) -> None:
    with Connector(backend).connect(2.0) as engine:
        key = backend.prefix + "k"
        commands = [("SET", key, b"\x00\r\n"), ("GET", key), ("STRLEN", key), ("LPOP", "-")]
        replies = engine.run(commands)
    assert replies == [b"OK", b"\x00\r\n", 3, None]


def test_an_error_is_a_word_in_its_place(backend: BackendSettings) -> None:
    with Connector(backend).connect(2.0) as engine:
        key = backend.prefix + "k"
        commands = [("SET", key, "text"), ("INCR", key), ("LPUSH", key, "secret"), ("GET", key)]
        ok, not_int, wrong_type, text = engine.run(commands)
    assert (ok, text) == (b"OK", b"text")
    assert isinstance(not_int, EngineError) and not_int.word == "ERR"
    assert isinstance(wrong_type, EngineError) and wrong_type.word == "WRONGTYPE"
    assert str(wrong_type) == "WRONGTYPE"


def test_a_command_is_packed_as_the_engine_wants_it() -> None:
    assert pack("SET", b"k", "ü", 12) == (
        b"*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n\xc3\xbc\r\n$2\r\n12\r\n"
    )


def end_blocked(settings: BackendSettings) -> None:
    """Close a connection whose thread waits for an answer that does not come."""
    connector, ended = Connector(settings), []
    engine = connector.connect(30.0)

    def read() -> None:
        try:
            engine.run([("XREAD", "BLOCK", 20000, "STREAMS", settings.prefix + "none", "$")])
        except BaseException as error:
            ended.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    with connector.connect(2.0) as other:
        while b"cmd=xread" not in other.run([("CLIENT", "LIST")])[0]:
            pass
    begun = time.monotonic()
    engine.close()
    reader.join(5.0)
    assert time.monotonic() - begun < 1.0
    assert [type(error) for error in ended] == [EngineLost]
    with pytest.raises(EngineLost):
        engine.run([("PING",)])


def test_close_from_another_thread_ends_a_blocked_reader(backend: BackendSettings) -> None:
    end_blocked(backend)


@needs("redis-server", beside="test_close_from_another_thread_ends_a_blocked_reader")
def test_over_tls_too(tmp_path: Path) -> None:
    """PyPI's Valkey speaks none."""
    cert, port = make_certificate(tmp_path), free_port()
    options = ["--tls-port", str(port), "--tls-cert-file", cert.cert_path, "--tls-key-file",
               cert.key_path, "--tls-auth-clients", "no"]  # fmt: skip
    with EngineProcess(kind("redis"), options):
        address = BackendAddress("localhost", port, tls=True)
        settings = BackendSettings(address, ssl_ca=cert.cert_path)
        with Connector(settings).connect(2.0) as engine:
            large = b"x" * 3_000_000
            assert engine.run([("SET", "k", large), ("GET", "k")]) == [b"OK", large]
        end_blocked(settings)


def test_nothing_is_said_but_what_is_asked(engine: EngineProcess, backend: BackendSettings) -> None:
    """The library would say who it is, and which protocol it speaks."""
    lines: list[Seen | None] = []
    monitor = Monitor(engine, lambda line: lines.append(seen(line)))
    try:
        address = replace(backend.address, db=3)
        with Connector(replace(backend, address=address)).connect(2.0) as connection:
            connection.run([("GET", backend.prefix)])
        monitor.level()
    finally:
        monitor.close()
    asked = [line.words for line in lines if line is not None and line.words[0] != b"ECHO"]
    assert asked == [[b"SELECT", b"3"], [b"GET", backend.prefix.encode()]]


def test_an_engine_that_has_restarted_is_not_taken_for_the_same(
    own_engine: EngineProcess,
) -> None:
    """The library's own client would connect again, and say nothing."""
    engine = Connector(backend_settings(own_engine)).connect(2.0)
    assert engine.run([("INCR", "n")]) == [1]
    own_engine.kill()
    own_engine.start()
    for _ in range(2):
        with pytest.raises(EngineLost):
            engine.run([("INCR", "n")])
    assert own_engine.ask("GET", "n") is None


def test_an_engine_that_has_stopped_is_noticed_in_time(own_engine: EngineProcess) -> None:
    engine = Connector(backend_settings(own_engine)).connect(0.2)
    own_engine.signal(signal.SIGSTOP)
    begun = time.monotonic()
    with pytest.raises(EngineLost):
        engine.run([("INCR", "n")])
    assert time.monotonic() - begun < 1.0


def test_a_wrong_password_is_tried_once(start_engine: Callable[..., EngineProcess]) -> None:
    server = start_engine(password="right")
    address = backend_address(server, password="wr0ng-secret")
    with pytest.raises(CannotConnect) as caught:
        Connector(backend_settings(server, address=address)).connect(2.0)
    error = caught.value
    assert (error.reason, error.word, error.command) == ("engine", "WRONGPASS", "AUTH")
    assert error.__context__ is None and "secret" not in repr(error)
    log = server.ask("ACL", "LOG")
    assert len(log) == 1 and dict(zip(log[0][::2], log[0][1::2], strict=True))[b"count"] == 1


def test_a_replica_means_that_another_one_is_to_be_found(
    start_engine: Callable[..., EngineProcess],
) -> None:
    server = start_engine()
    engine = Connector(backend_settings(server)).connect(2.0)
    assert engine.run([("SET", "k", 1)]) == [b"OK"]
    server.ask("REPLICAOF", "127.0.0.1", 1)
    with pytest.raises(EngineLost):
        engine.run([("SET", "k", 2)])
