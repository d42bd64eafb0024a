"""The threads and locks of docs/DESIGN.md are those of the code, and behave as it says."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.lock_watch import write_places
from tests.processes import PASSWORD, PROGRAM, ROOT, Client, Relay, Server, Terminal
from tests.transport_kit import make_certificate
from tools import parts, parts_picture
from tools.engine_process import EngineProcess, kinds
from tools.source import classes, functions, program

# What the two threads are called that have no name.
_UNNAMED = {"acceptor", "client"}


class Taken(NamedTuple):
    """A lock that a thread of one side has taken, and the last one that it held then, or ""."""

    side: str
    thread: str
    lock: str
    held: str


def test_the_table_of_threads_has_each_thread_and_no_other() -> None:
    started = parts.threads()
    in_table = {name for row in parts.rows("Threads") for name in parts.named(row[0])}
    named = {thread.name for thread in started if thread.name}
    assert named == in_table - {"main"} - _UNNAMED, "mend the first column of Threads in DESIGN.md"
    assert len(started) - sum(bool(each.name) for each in started) == len(_UNNAMED)


def test_the_table_of_locks_has_each_lock_and_no_other() -> None:
    found = [lock.name for lock in parts.locks()]
    assert sorted(set(found)) == sorted(parts.lock_order()), (
        "mend the first column of Locks in DESIGN.md"
    )


def test_the_locks_that_threads_take_are_locks() -> None:
    for thread, taken in parts.takers().items():
        assert set(taken) <= set(parts.lock_order()), thread


def test_what_the_tables_name_exists() -> None:
    """``Class.method``, and ``Class``."""
    known = {each.name for module in program() for each in classes(module)}
    known |= {name for module in program() for name, _function in functions(module)}
    known |= set(parts.lock_order())
    for row in parts.rows("Threads") + parts.rows("Locks"):
        for name in re.findall(r"`([A-Z][A-Za-z]+(?:\.[a-z_]+)?)`", " ".join(row)):
            assert name in known or name == "None", f"{name} is in DESIGN.md, and nowhere else"


def test_the_picture_is_that_of_the_code_and_of_the_tables() -> None:
    drawn = parts_picture.Picture().svg()
    assert parts_picture.PICTURE.read_text("utf-8") == drawn, "make picture"


@pytest.fixture(name="taken", scope="module")
def taken_fixture(tmp_path_factory: pytest.TempPathFactory) -> list[Taken]:
    """What is taken while some people chat: over TLS, with a history, with a terminal, cut off; and
    on two nodes, whose engine forgets everything."""
    folder = tmp_path_factory.mktemp("locks")
    _chat(folder)
    with EngineProcess(kinds()[0]) as engine:
        _chat_on_two(folder, engine)
    return list(_seen(folder))


def _chat(folder: Path) -> None:
    write_places(folder)
    for side in ("server", "client"):
        (folder / side).mkdir()
    cert = make_certificate(folder)
    watched = {
        side: [sys.executable, "-B", "-m", "tests.lock_watch", str(folder / side)]
        for side in ("server", "client")
    }
    keep = {"XDG_STATE_HOME": str(folder), "HISTORY_PASSPHRASE": "correct horse battery staple"}
    client: dict[str, Any] = {"before": watched["client"], "cwd": ROOT}
    trust = ("--ssl-ca", cert.cert_path)
    tls = {"SSL_CERT_PATH": cert.cert_path, "SSL_KEY_PATH": cert.key_path}
    with Server(tls, before=watched["server"], cwd=ROOT) as server:
        address = ["connect", server.host, str(server.port)]
        with (
            Relay(server.port) as relay,
            Terminal(
                [*address, "cleo", *trust],
                {"CLIENT_PASSWORD": PASSWORD, "PYTHONPATH": str(ROOT)},
                command=[*watched["client"], sys.executable, str(PROGRAM)],
            ) as cleo,
            Client(server, "ann", *trust, **client) as ann,
            Client(
                relay.address, "bob", "--history", "--on-message", "cat", *trust, settings=keep,
                **client,
            ) as bob,
        ):
            cleo.sees("bob")
            ann.say("/msg bob hello", "/rooms", "/verify bob", "/nick anna", "/room other")
            ann.next("room", room="other")
            server.write(b"who\nrooms\ntokens\nkick anna 1\n")
            ann.next("disconnected", reason="kicked")
            ann.end()
            relay.cut()
            bob.next("reconnected")
            bob.say("hello again")
            cleo.sees("hello again")
            cleo.type("/quit\r")
            assert (cleo.end(), bob.finish("/quit")) == (0, 0)
        server.signal(15)
        assert server.end() == 0


def _chat_on_two(folder: Path, engine: EngineProcess) -> None:
    watched = [sys.executable, "-B", "-m", "tests.lock_watch", str(folder / "server")]
    settings = {"BACKEND_URL": engine.url}
    with (
        Server(settings, before=watched, cwd=ROOT) as one,
        Server(settings, before=watched, cwd=ROOT) as two,
    ):
        with (
            Relay(two.port) as relay,
            Client(one, "ann") as ann,
            Client(relay.address, "bob") as bob,
            Client(two, "cat") as cat,
        ):
            ann.meets("bob")
            ann.say("/msg bob hello", "/rooms", "/nick anna", "/room other")
            ann.next("room", room="other")
            bob.say("/join third", "hello", "/leave third")
            bob.next("room", room="third")
            two.write(b"who\nrooms\ntokens\nsay hello\nkick anna 1\n")
            ann.next("disconnected", reason="kicked")
            ann.end()
            relay.cut()
            bob.next("reconnected")
            bob.say("hello again")
            cat.next("message", text="hello again")
            engine.kill()
            engine.start()
            cat.next("reconnected")
            cat.say("goodbye")
            cat.next("message", text="goodbye")
            assert cat.finish("/quit") == 0
        for node in (one, two):
            node.signal(15)
            assert node.end() == 0


def _seen(folder: Path) -> Iterator[Taken]:
    for path in sorted(folder.glob("*/[0-9]*")):
        for line in path.read_text().splitlines():
            yield Taken(path.parent.name, *json.loads(line))


def test_who_holds_a_lock_takes_only_those_below_it(taken: list[Taken]) -> None:
    order = parts.lock_order()
    pairs = {(each.held, each.lock) for each in taken if each.held}
    assert len(pairs) > 20
    wrong = [pair for pair in sorted(pairs) if order.index(pair[0]) >= order.index(pair[1])]
    assert not wrong, f"taken the other way round than Locks in DESIGN.md has it: {wrong}"


def test_each_thread_takes_the_locks_that_are_said_of_it(taken: list[Taken]) -> None:
    takers = parts.takers()
    named = {thread.name for thread in parts.threads()}
    for each in taken:
        names = _names(each, named)
        said = {lock for name in names for lock in takers.get(name, ())}
        assert each.lock in said, f"{' or '.join(names)} takes {each.lock}: Who takes which"


def _names(taken: Taken, named: set[str]) -> list[str]:
    """What the thread is called in DESIGN.md, or may be."""
    if taken.thread == "MainThread":
        return [f"main ({taken.side})"]
    name = re.sub(r"-[0-9]+$", "-N", taken.thread)
    return [name] if name in named else sorted(_UNNAMED)
