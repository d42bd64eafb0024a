"""The full-screen view on a real terminal: its thread, its keys, and what it leaves behind."""

from __future__ import annotations

import io
import json
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from client import events
from client.console import Console
from client.fullscreen import canvas
from client.fullscreen.screen import FullScreen, Look
from client.input.editor import LineView
from client.input.source import QUIT
from client.input.terminal import Size
from tests.console_kit import (  # noqa: F401  # two of them are fixtures
    DEADLINE,
    NOON,
    Chat,
    Person,
    chats_fixture,
    person_fixture,
    shown,
)

CORPUS = json.loads(
    (Path(__file__).parent / "corpus" / "hostile_text.json").read_text(encoding="utf-8")
)
PASTE, PASTED = "\x1b[200~", "\x1b[201~"
PAGE_UP, PAGE_DOWN, UP, LEFT = "\x1b[5~", "\x1b[6~", "\x1b[A", "\x1b[D"
FOCUS_IN, FOCUS_OUT = "\x1b[I", "\x1b[O"
CTRL_C, CTRL_L, ALT_S, CTRL_Y, CTRL_U = "\x03", "\x0c", "\x1bs", "\x19", "\x15"


def message(text: str, **other: Any) -> events.Message:
    fields: dict[str, Any] = {
        "room": "default", "sender": "bob", "text": text, "seq": 7, "mine": False,
        "private": False, "verified": True, "kind": "text",
    }  # fmt: skip
    return events.Message(**{**fields, **other})


# How often it draws


class Sheet(io.StringIO):
    """Remembers each write, and lets a test wait for what it must contain."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []
        self._changed = threading.Condition()

    def write(self, text: str) -> int:
        with self._changed:
            self.writes.append(text)
            self._changed.notify_all()
        return len(text)

    def waits(self, part: str, first: int = 0) -> str:
        """The first write with ``part`` in it, from the one numbered ``first``."""

        def found() -> list[str]:
            return [text for text in self.writes[first:] if part in text]

        with self._changed:
            assert self._changed.wait_for(found, DEADLINE), part
            return found()[0]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(name="sheet")
def sheet_fixture() -> Sheet:
    return Sheet()


def screen_on(sheet: Sheet, clock: Clock, **look: Any) -> FullScreen:
    return FullScreen(
        Look(interval=0.05, show=0, colours=0, **look), sheet,
        size=lambda: Size(60, 12), now=lambda: NOON, clock=clock,
    )  # fmt: skip


def bodies(sheet: Sheet, first: int) -> list[str]:
    """The writes that drew more than the typed line, from the one numbered ``first``."""
    return [text for text in sheet.writes[first:] if re.search(r"\x1b\[([1-9]|10);\d+H", text)]


def test_a_flood_is_drawn_once_an_interval_and_keys_at_once(sheet: Sheet) -> None:
    clock = Clock()
    screen = screen_on(sheet, clock)
    screen.start()
    try:
        sheet.waits("\x1b[1;2H")  # the first, empty screen
        count = len(sheet.writes)
        for number in range(500):
            screen.show(message(f"message {number}"))
            if number % 100 == 0:
                screen.show_line(LineView("abcde"[number // 100] * 9, 3))
        sheet.waits("e" * 9)
        assert bodies(sheet, count) == [], "not before the interval is over"
        clock.now = 0.05
        assert "message 499" in sheet.waits("message 499")
        assert len(bodies(sheet, count)) == 1, "and then once for all that came"
        for number in range(500, 1000):
            screen.show(message(f"further {number}"))
        screen.show_line(LineView("still at once", 3))
        sheet.waits("still at once")
        assert len(bodies(sheet, count)) == 1
        clock.now = 10.0
        sheet.waits("further")
        assert len(bodies(sheet, count)) == 2
    finally:
        screen.close()


def test_nothing_is_written_while_nothing_happens(sheet: Sheet) -> None:
    screen = screen_on(sheet, Clock())
    screen.start()
    sheet.waits("\x1b[1;2H")
    count = len(sheet.writes)
    assert screen._patience() is None
    screen.redraw()
    sheet.waits("\x1b[1;2H", count)
    screen.close()
    assert sheet.writes[-1].endswith(canvas.LEAVE) and len(sheet.writes) == count + 2


def test_a_countdown_wakes_the_screen_each_second(sheet: Sheet) -> None:
    clock = Clock()
    screen = screen_on(sheet, clock)
    screen.start()
    screen.show(events.Reconnecting(1, 3.0))
    clock.now = 1.0
    sheet.waits("reconnecting in 5 seconds")
    assert screen._patience() == 1.0
    screen.show(events.Reconnected(True))
    clock.now = 2.0
    sheet.waits("The connection is back")
    assert screen._patience() is None
    screen.close()


def test_an_error_of_ours_restores_the_screen_first(sheet: Sheet) -> None:
    told = threading.Event()
    screen = FullScreen(
        Look(), sheet, size=lambda: Size(40, 10), on_gone=told.set,
        now=lambda: NOON.replace(year=0),
    )  # fmt: skip
    screen.start()
    assert told.wait(DEADLINE)
    screen.close()
    assert isinstance(screen.failure, ValueError)
    assert sheet.writes[0] == canvas.ENTER and sheet.writes[1].endswith(canvas.LEAVE)


def test_handing_the_terminal_over_and_back(sheet: Sheet) -> None:
    screen = screen_on(sheet, Clock())
    screen.start()
    sheet.waits("\x1b[1;2H")
    screen.hand_over(away=True)
    count = len(sheet.writes)
    assert sheet.writes[-1].endswith(canvas.LEAVE)
    screen.show(message("while away"))
    screen.show_line(LineView("typed", 0))
    screen.hand_over(away=False)
    assert sheet.writes[count] == canvas.ENTER, "and nothing before it"
    assert sheet.waits("while away", count).count("\x1b[2K") == 12
    screen.hand_over(away=False)  # somebody else wrote on it: the modes again, and all of it
    assert "while away" in sheet.waits("while away", len(sheet.writes) - 1)
    assert sheet.writes.count(canvas.MODES) == 1
    screen.hand_over(away=True)
    screen.close()
    assert sum(text.endswith(canvas.LEAVE) for text in sheet.writes) == 2
    screen.hand_over(away=True)  # too late, and no reason to wait


# On a terminal


def lines(person: Person) -> list[str]:
    return [line.rstrip() for line in person.screen.display]


def sees(person: Person, pattern: str) -> None:
    """Wait until the whole screen, as one text, has ``pattern`` in it."""
    person.waits(lambda: re.search(pattern, "\n".join(lines(person))) is not None)


def test_typing_while_messages_come(person: Person, chats: Callable[..., Chat]) -> None:
    chat = chats("rich")
    chat.joins()
    person.types("half a line")
    sees(person, "default> half a line")
    chat.hears("hello 日本")
    sees(person, "bob │ hello 日本")
    assert lines(person)[-1] == " default> half a line"
    person.types(f"{LEFT * 4}<\x05>\r")
    person.waits(lambda: bool(chat.lines))
    assert chat.lines == ["half a <line>"]
    sees(person, r"default>\Z")


def test_a_flood_hangs_neither_typing_nor_the_screen(
    person: Person, chats: Callable[..., Chat]
) -> None:
    chat = chats("rich")
    chat.joins()

    def much() -> None:
        for number in range(500):
            chat.hears(f"message {number}")

    flood = threading.Thread(target=much)
    flood.start()
    person.types("typed meanwhile\r")
    person.waits(lambda: chat.lines == ["typed meanwhile"])
    sees(person, "message 499")
    flood.join(DEADLINE)


def test_page_keys(person: Person, chats: Callable[..., Chat]) -> None:
    chat = chats("rich")
    chat.joins()
    for number in range(30):
        chat.hears(f"message {number}")
    sees(person, "message 29")
    person.types(PAGE_UP)
    sees(person, r"message 24\n─+\n default> +↑ 19 more · ↓ 5 more")
    chat.hears("@alice")
    sees(person, r"message 24\n─+ ↑ 19 more · ↓ 6 more · 1 @you ─+\n default>\Z")
    person.types(PAGE_DOWN + PAGE_DOWN)
    sees(person, r"@alice\n─+\n default>\Z")
    person.types(PAGE_UP + "x\r")
    sees(person, r"@alice\n─+\n default>\Z")


def test_bell_notification_and_title_only_while_somebody_looks_elsewhere(
    person: Person, chats: Callable[..., Chat]
) -> None:
    chat = chats("rich")
    chat.joins()
    person.types(f"{FOCUS_IN}seen")
    sees(person, "default> seen")
    chat.hears("alice, first")
    sees(person, "alice, first")
    assert b"\a" not in person.raw and b"\x1b]9;" not in person.raw and not person.screen.title
    person.types(f"{FOCUS_OUT} too")
    sees(person, "default> seen too")
    chat.hears("nobody")
    chat.hears("alice, second")
    sees(person, r"(?s)new ─.*alice, second")
    person.waits(lambda: b"\x1b]9;CMD CHAT: bob has mentioned you in default\x1b\\" in person.raw)
    assert b"\a" in person.raw and person.screen.title == "(2) default - CMD CHAT"
    told = re.findall(rb"\x1b\]9;([^\x1b]*)", person.raw)
    assert told and all(b"second" not in text for text in told)
    person.types(FOCUS_IN)
    person.waits(lambda: b"\x1b]2;CMD CHAT\x07\x1b[23;2t\x1b[22;2t" in person.raw)


def test_a_long_paste_asks_first(person: Person, chats: Callable[..., Chat]) -> None:
    chat = chats("rich")
    chat.joins()
    long = "\r".join(f"line {number}" for number in range(14))
    person.types(f"say: {PASTE}{long}{PASTED}")
    sees(person, "Send 14 lines as one message")
    person.types("xq\t")  # no answers
    person.types("n, nothing")
    sees(person, "default> say: , nothing")
    person.types(f"{CTRL_U}{PASTE}{long}{PASTED}e")
    sees(person, "line 13")
    person.types(f"!{CTRL_U}{PASTE}{long}{PASTED}y")
    person.waits(lambda: len(chat.lines) == 1)
    assert chat.lines[0].split("\n") == [f"line {number}" for number in range(14)]
    person.types(f"{PASTE}1\r2\r3\r4\r5{PASTED}\r")
    person.waits(lambda: len(chat.lines) == 2)
    assert chat.lines[1] == "1\n2\n3\n4\n5", "five lines are no question"


def test_other_keys(person: Person, chats: Callable[..., Chat]) -> None:
    chat = chats("rich")
    chat.joins()
    person.types("bo\thi")
    sees(person, "default> bob: hi")
    person.types(f"{CTRL_U}/ro\t")
    sees(person, r"default> /room.*/room NAME \[secret\]|/room NAME \[secret\] ─")
    person.types(f"\x1b[Z{CTRL_U}{CTRL_Y}")
    sees(person, "default> /rooms")
    person.types(f"{CTRL_C}one\r{UP} more\r{ALT_S}")
    person.waits(lambda: len(chat.lines) == 3)
    assert chat.lines == ["one", "one more", "/resend"]
    count = person.raw.count(b"\x1b[1;1H\x1b[2K")
    person.types(CTRL_L)
    person.waits(lambda: person.raw.count(b"\x1b[1;1H\x1b[2K") == count + 1)
    person.types(CTRL_C)
    sees(person, r"Press Ctrl-C again to leave\.")
    person.types(CTRL_C)
    person.waits(lambda: chat.console.input.ended == QUIT)


def test_a_cursor_never_stands_inside_a_character(
    person: Person, chats: Callable[..., Chat]
) -> None:
    chat = chats("rich")
    person.types(f"a👩\u200d👩\u200d👧e\u0301日{LEFT * 3}<{LEFT * 2}>\r")
    person.waits(lambda: bool(chat.lines))
    assert chat.lines == ["a><👩\u200d👩\u200d👧e\u0301日"] or chat.lines == [
        ">a<👩\u200d👩\u200d👧e\u0301日"
    ]


def test_resizing_at_any_moment(person: Person, chats: Callable[..., Chat]) -> None:
    chat = chats("rich")
    chat.joins()
    chat.hears("words " * 12)
    person.types("typed")
    sees(person, "default> typed")
    for columns, rows in [(80, 24), (30, 7), (120, 40), (40, 10)]:
        person.resizes(columns, rows)
        person.waits(
            lambda wide=columns: lines(person)[1] == "─" * wide  # type: ignore[misc]
            and lines(person)[-1].startswith(" default> typed")
        )
        assert any("words" in line for line in lines(person))


@pytest.mark.parametrize("case", CORPUS[::6], ids=lambda case: case["why"])
def test_hostile_text_on_a_terminal(
    person: Person, chats: Callable[..., Chat], case: dict[str, str]
) -> None:
    chat = chats("rich")
    chat.joins()
    chat.console.screen.show(events.Cleared())
    person.types("typing")
    chat.hears(case["text"], case["text"])
    chat.hears("after")
    sees(person, r"bob │ after\n─+\n default> typing")
    assert person.screen.title == "" and b"\x1b]" not in person.raw
    assert (person.screen.cursor.y, person.screen.cursor.x) == (9, 16)


def test_clear_forgets_what_was_shown(person: Person, chats: Callable[..., Chat]) -> None:
    chat = chats("rich")
    chat.joins()
    chat.hears("secret")
    sees(person, "secret")
    chat.console.screen.show(events.Cleared())
    person.waits(lambda: not any(lines(person)[2:-2]))
    person.types(PAGE_UP)
    chat.console.screen.show(events.Notice("a word of our own"))
    sees(person, "· │ a word of our own")
    assert "secret" not in "".join(lines(person))


def test_the_terminal_is_as_before_after_leaving(person: Person) -> None:
    before = person.settings()
    chat = Chat(person, "rich", {"TERM": "xterm"})
    chat.joins()
    person.types("rest of a line")
    sees(person, "default> rest of a line")
    assert person.settings() != before
    chat.close()
    assert person.settings() == before
    person.waits(lambda: person.raw.endswith(canvas.LEAVE.encode()))
    assert shown(person.screen) == []


def test_the_terminal_is_as_before_after_an_exception(person: Person) -> None:
    before = person.settings()
    with open(os.dup(person.slave)) as stdin, open(os.dup(person.slave), "w") as stdout:
        with pytest.raises(RuntimeError):
            with Console("rich", {"TERM": "xterm"}, stdin=stdin, stdout=stdout) as console:
                assert person.settings() != before
                console.screen.show(events.Notice("something"))
                raise RuntimeError("a bug")
    assert person.settings() == before
    person.waits(lambda: person.raw.endswith(canvas.LEAVE.encode()))


def test_a_terminal_that_has_gone_ends_the_input(person: Person) -> None:
    told = threading.Event()
    with open(os.dup(person.slave)) as stdin, open(os.dup(person.slave), "w") as stdout:
        with Console(
            "rich", {"TERM": "xterm"}, stdin=stdin, stdout=stdout, on_gone=told.set
        ) as console:
            sees(person, "─{20}")
            stdout.close()
            console.screen.show(events.Notice("into nothing"))
            assert told.wait(DEADLINE) and console.screen.gone
            assert console.input.next_line() is None


@pytest.mark.parametrize("environ", [{"TERM": "dumb"}, {"TERM": ""}])
def test_a_dumb_terminal_gets_the_minimal_renderer(
    person: Person, chats: Callable[..., Chat], environ: dict[str, str]
) -> None:
    chat = chats("rich", **environ)
    assert chat.console.renderer == "minimal"
    chat.joins()
    chat.hears("hello")
    person.waits(lambda: "bob: hello" in "".join(shown(person.screen)))
    assert b"\x1b" not in person.raw
