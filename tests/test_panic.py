"""``/panic`` and Ctrl-X twice: nothing is left, and it waits for nobody."""

from __future__ import annotations

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from client.commands import run_line
from client.completion import complete
from client.connection.connection import ClientConnection
from client.input.editor import Action, LineEditor
from client.input.keys import KeyPress
from tests.processes import Client, Server, Terminal, stop_process, terminal_client
from tests.test_commands import Recorder

WIPE = b"\x1b[2;1H\x1b[3J\x1b[H"  # after the rows have been emptied one by one
HINT = "Press Ctrl-X again"
# The promise is one second. Who leaves politely waits five for a server that hangs.
SECONDS = 3.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def frozen(server: Server) -> Iterator[Callable[[], None]]:
    """Makes the server hang, until the end of the test."""
    yield lambda: stop_process(server)
    server.signal(signal.SIGCONT)


def gone(terminal: Terminal) -> float:
    """Wait for the end, which must be a good one; how many seconds it took."""
    begin = time.monotonic()
    assert terminal.end() == 0
    return time.monotonic() - begin


@pytest.mark.parametrize("renderer", ["rich", "minimal"])
def test_nothing_is_left_on_the_terminal(
    renderer: str, server: Server, frozen: Callable[[], None]
) -> None:
    """With a server that hangs, and an answer that never comes."""
    with terminal_client(server, f"{renderer}-ann", "--renderer", renderer) as ann:
        ann.sees("/quit")
        ann.type("a secret\r")
        ann.sees("ann.*a secret")
        frozen()
        ann.type("another one\r/panic\r")
        assert gone(ann) < SECONDS
        assert ann.shown().split() == []
        assert ann.output.count(WIPE) == 1
        # The first screen is wiped, not only the second one.
        rest = ann.output.partition(WIPE)[2]
        assert rest == b"" and (renderer != "rich" or ann.output.count(b"\x1b[?1049l") == 1)
        assert ann.settings() == ann.before


def test_one_ctrl_x_only_warns(server: Server) -> None:
    """Any other key goes on, as if nothing had been pressed."""
    with terminal_client(server, "ann") as ann:
        ann.sees("default>")
        ann.type("hel\x18")
        ann.sees(HINT)
        ann.type("lo\r")
        ann.sees(r"ann │ hello")
        assert HINT not in ann.shown()
        ann.type("\x18\x18")
        gone(ann)
        assert ann.shown().split() == [] and ann.output.endswith(WIPE)


def test_what_was_typed_ahead_is_dropped(server: Server) -> None:
    """Lines that came in one piece with the keys, before and after them."""
    with (
        Client(server, "bob") as bob,
        terminal_client(server, "hasty", "--renderer", "minimal") as ann,
    ):
        ann.sees("/quit")
        bob.next("joined", nick="hasty")
        ann.type("one\rtwo\x18\x18three\r")
        gone(ann)
        bob.next("left", nick="hasty")  # without waiting for her grace to end
        assert bob.texts() == []


def test_a_program_gets_no_more_events(server: Server, frozen: Callable[[], None]) -> None:
    """Neither lines that are handed back, nor a goodbye; and the server need not answer."""
    with Client(server, "program") as ann:
        ann.say("hello")
        ann.next("message", text="hello")
        frozen()
        before = len(ann.events)
        ann.say(*(f"line {number}" for number in range(100)), "/panic", "after it")
        begin = time.monotonic()
        assert ann.end() == 0
        assert time.monotonic() - begin < SECONDS
        assert ann.events[before:] == [] and ann.errors == ""


def history(folder: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(folder), "HISTORY_PASSPHRASE": "only for me"}


def kept(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_history_is_removed_on_demand_only(server: Server, tmp_path: Path) -> None:
    """Also by a client that does not write one now."""
    on = {**history(tmp_path), "ENABLE_LOCAL_HISTORY": "true"}
    off = history(tmp_path)
    names = iter(("one", "two", "three", "four"))
    for settings, last, left in (
        (on, "/panic", True),
        (on, "/panic delete", False),
        (on, "/panic", True),
        (off, "/PANIC Delete", False),
    ):
        with Client(server, next(names), settings=settings) as ann:
            ann.say("hello")
            ann.next("message", text="hello")
            ann.say(last)
            assert ann.end() == 0 and ann.errors == ""
        assert bool(kept(tmp_path)) == left, last


def test_a_slip_of_the_finger_does_nothing() -> None:
    """As with every command: how it is written is said instead."""
    recorder = Recorder()
    run_line("/panic attack", recorder.context())
    assert [event.name for event in recorder.events] == ["error"]
    assert complete("/panic ") == (7, ["delete "])


@pytest.mark.parametrize("first", ["", "text", "paste"])
def test_twice_in_a_row_whatever_stands_there(first: str) -> None:
    editor = LineEditor()
    if first:
        editor.press(KeyPress(first, "\n" * 9 if first == "paste" else "hello"))
    before = editor.view()
    assert editor.press(KeyPress("ctrl-x")) is None
    assert editor.view().question.startswith(HINT)
    assert editor.press(KeyPress("left")) is None
    assert editor.view().question == before.question
    assert editor.press(KeyPress("ctrl-x")) is None
    assert editor.press(KeyPress("ctrl-x")) is Action.PANIC


class _Stuck:
    """A network that takes one record and then nothing until it is told to."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.free, self.waits = threading.Event(), threading.Event()

    @property
    def backlog(self) -> int:
        return 0 if self.free.is_set() else len(self.begun)

    def send_nowait(self, data: str) -> None:
        self.begun.append(data)

    def wake(self) -> None:
        pass

    def flush(self, _deadline: float) -> None:
        self.waits.set()
        assert self.free.wait(20)


class _Link:
    def seal(self, found: list[bytes]) -> str:
        return b"".join(found).decode()


def test_who_reads_keys_never_waits_for_the_network() -> None:
    """Or /panic would not be read."""

    class Session:
        outgoing = deque([b"1"])

        def paused_until(self) -> None: ...

    session: Any = Session()
    nothing: Any = None
    connection = ClientConnection(nothing, nothing, nothing, session, print, print)
    peer: Any = _Stuck()
    connection._sender.peer, connection._sender.link = peer, _Link()  # type: ignore[assignment]
    connection.send()
    assert peer.waits.wait(20)
    session.outgoing.append(b"2")
    connection.send()  # returns
    assert peer.begun == ["1"]
    peer.free.set()
    for thread in threading.enumerate():
        if thread.name == "writer":
            thread.join(20)
    assert peer.begun == ["1", "2"]
