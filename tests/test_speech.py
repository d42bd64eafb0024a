"""What somebody hears of the chat: yasr, a terminal's screen reader, says what is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine import needs
from tests.module_server import server_fixture  # noqa: F401
from tests.processes import Client, Server
from tests.speech_kit import Listener

pytestmark = needs(
    "yasr",
    beside="tests/test_typed_line.py::test_a_letter_is_that_letter_and_nothing_else",
)


@pytest.fixture(scope="module", name="bob")
def bob_fixture(server: Server) -> Iterator[Client]:
    with Client(server, "bob") as client:
        yield client


def said(utterances: list[str]) -> list[str]:
    """Without the sign, for which synthesizers say nothing, and the time, which is another."""
    return [words.removeprefix("▌ ").partition(" ")[2] or words for words in utterances]


def test_minimal_says_what_is_new_and_nothing_else(
    server: Server, bob: Client, tmp_path: Path
) -> None:
    with Listener(tmp_path, server, "ann", "--renderer", "minimal") as ann:
        ann.hears("To leave")
        assert ann.hears("greater than") == ["default greater than"]
        bob.next("joined", nick="ann")
        for letter in "hello":
            ann.terminal.type(letter)
            assert ann.hears(letter) == [letter], "and so five of them"
        bob.say("The train is late")
        assert said(ann.hears("train")) == ["bob: The train is late"], "without the typed line"
        ann.terminal.type("!")
        assert ann.hears("hello!")[-1] == "default greater than  hello!"
        ann.terminal.type("\x7f")
        ann.terminal.type("\r")
        assert said(ann.hears("ann: "))[-1] == "ann: hello"
        assert ann.hears("greater than") == ["default greater than"]
        bob.say("one", "two")
        assert said(ann.hears("two")) == ["bob: one", "bob: two"]
        assert ann.terminal.output.count(b"\x1b") == ann.terminal.output.count(b"\x1b[?2004h")


def test_spoken_lines_have_no_time_and_are_never_broken(
    server: Server, bob: Client, tmp_path: Path
) -> None:
    long = "a line that is so long that it does not fit on one row of eighty columns at all, no"
    with Listener(tmp_path, server, "eve", "--spoken") as eve:
        assert eve.hears("Connected")[0].startswith("▌ · Connected to")
        eve.hears("greater than")
        bob.next("joined", nick="eve")
        bob.say(long, "eve, look here", "/msg eve between us")
        assert eve.hears("between us") == [
            f"▌ bob: {long}", "▌ bob: eve, look here", "▌   bob, to you alone: between us",
        ]  # fmt: skip
        eve.terminal.sees("between us")  # what is said may come before it is written
        assert eve.terminal.output.count(b"\a") == 2, "a mention rings, and what is private"
