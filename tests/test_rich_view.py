"""The full-screen view, from events to the text of the screen; no terminal and no thread."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pyte
import pytest

from client import events
from client.cheatsheet import KEYS
from client.commands import COMMANDS, run_line, usage
from client.fullscreen import canvas
from client.fullscreen.canvas import Canvas
from client.fullscreen.model import Alert, Model
from client.fullscreen.view import View, cropped
from client.input.editor import LineView
from client.input.terminal import Size
from client.output import colours
from client.output.charset import Charset, terminal_encoding
from client.output.line_prefix import LinePrefix
from client.output.lines import Minimal
from client.output.widths import width
from tests.console_kit import NOON
from tests.emulator import Screen
from tests.test_commands import Recorder

CORPUS = json.loads(
    (Path(__file__).parent / "corpus" / "hostile_text.json").read_text(encoding="utf-8")
)
MARKS = "→ ← * ! ·".split()


class Sight:
    """What somebody with a terminal of that size sees of a model."""

    def __init__(
        self, columns: int = 60, rows: int = 14, show: int = 0, colours: int = 0,
        encoding: str = "utf-8",
    ) -> None:  # fmt: skip
        self.size = Size(columns, rows)
        self.model = Model()
        self.view = View(self.model, show, Charset(encoding))
        self.canvas = Canvas(colours)
        self.screen = Screen(columns, rows)
        self.now = NOON
        self.typed = LineView()
        self.written = ""
        self._stream = pyte.Stream(self.screen)
        self._write(canvas.ENTER)

    def _write(self, text: str) -> None:
        self.written = text
        self._stream.feed(text)

    def joins(self, nick: str = "alice", others: int = 1, verified: int = 0) -> Sight:
        self.takes(events.TrustSummary(others, verified))
        self.takes(events.Connected("here:1000", nick, "default", ()))
        self.takes(events.Cleared())
        return self

    def takes(self, event: events.Event, after: float = 0.0) -> Alert | None:
        """Let an event happen, ``after`` so many minutes."""
        self.now += timedelta(minutes=after)
        return self.model.take(event, self.now)

    def hears(
        self, text: str, sender: str = "bob", after: float = 0.0, **other: Any
    ) -> Alert | None:
        return self.takes(message(text, sender, **other), after)

    def says(self, ref: int, text: str, kind: str = "text", to: str | None = None) -> None:
        self.takes(events.Sending(ref, self.model.views.room, text, kind, to))

    def settles(self, ref: int, event: events.Event) -> None:
        self.takes(events.Settled(ref))
        self.takes(event)

    def draws(self) -> str:
        """Draw, and tell what was written for it."""
        frame = self.view.frame(self.typed, self.size, self.now)
        self._write(self.canvas.change(cropped(frame, self.size)))
        return self.written

    def lines(self) -> list[str]:
        """All lines of the screen, drawn anew."""
        self.draws()
        return [line.rstrip() for line in self.screen.display]

    def body(self) -> list[str]:
        """The lines between header and prompt that are not empty."""
        return [line for line in self.lines()[2:-2] if line]

    def texts(self) -> list[str]:
        """What stands right of the bar, or a line across the screen."""
        found = [(line, re.search("[│┃»] ?", line)) for line in self.body()]
        return [line[bar.end():] if bar else line.strip("─ ") for line, bar in found]


def message(text: str, sender: str = "bob", **other: Any) -> events.Message:
    fields: dict[str, Any] = {
        "room": "default", "sender": sender, "text": text, "seq": 7, "mine": False,
        "private": False, "verified": True, "kind": "text",
    }  # fmt: skip
    return events.Message(**{**fields, **other})


# The picture


def test_the_picture_of_the_design() -> None:
    sight = Sight(84, 13).joins(others=2, verified=1)
    sight.says(1, "hello everyone")
    sight.settles(1, message("hello everyone", "alice", mine=True))
    long = "hi alice, a long line wraps under its own column and never under the name"
    sight.hears(long, after=1)
    sight.takes(events.MemberJoined("default", "carol"))
    sight.hears("waves", after=1, kind="action")
    sight.model.focused = False
    sight.hears("@alice look at this", after=1)
    sight.says(2, "on its way")
    sight.typed = LineView("the line being typed", 20)
    assert sight.lines() == [
        " default · 3 members · end-to-end, verified 1, new 1                          alice",
        "─" * 84,
        "",
        " 12:01  alice │ hello everyone",
        " 12:02    bob » hi alice, a long line wraps under its own column and never under",
        "              » the name",
        " 12:02      → │ carol has joined.",
        " 12:03      * │ bob waves",
        "─" * 38 + " new " + "─" * 41,
        " 12:04    bob » @alice look at this",
        " 12:04  alice │ on its way  sending…",
        "─" * 84,
        " default> the line being typed",
    ]
    assert (sight.screen.cursor.y, sight.screen.cursor.x) == (12, 30)


def test_a_new_day_is_said() -> None:
    sight = Sight().joins()
    sight.hears("late")
    sight.hears("early", after=60 * 13)
    assert sight.texts() == ["late", "2026-05-05", "early"]


def test_the_header_gives_way_on_a_narrow_screen() -> None:
    for columns, shown in [
        (80, "default · 3 members · end-to-end, verified 1, new 1"),
        (56, "default · 3 members · verified 1, new 1"),
        (40, "default · verified 1, new 1"),
        (30, "default · verified 1"),
        (28, "default · 3 members"),
        (20, "default"),
    ]:
        line = Sight(columns).joins(others=2, verified=1).lines()[0]
        assert line.split("  ")[0].strip() == shown, columns
        assert line.endswith(" alice") and len(line) == columns - 1
    assert " default · 1 member · end-to-end " in Sight().joins(others=0).lines()[0]


def test_a_question_is_asked_whole_on_a_narrow_screen() -> None:
    question = "Send 25 lines as one message? y: send, e: edit first, n: no"
    for columns, rows in [(80, 1), (40, 2), (24, 3)]:
        sight = Sight(columns, 10).joins()
        sight.typed = LineView(question=question)
        asked = [line.strip() for line in sight.lines()[-rows:]]
        assert " ".join(asked) == question, columns


def test_tables_stand_in_the_text_column() -> None:
    sight = Sight(70, 24).joins()
    views = (
        events.MemberView("alice", True),
        events.MemberView("日本", False),
        events.MemberView("rob", True, "verified", "bob"),
    )
    sight.takes(events.MemberList("default", views))
    sight.takes(events.RoomList((events.RoomView("default", 2), events.RoomView("dev", 1))))
    sight.takes(events.Verification("default", "123 456", (events.CodeView("bob", "7 8", True),)))
    sight.takes(events.Help((events.CommandView("/nick NAME", "Change " * 12),)))
    assert sight.texts()[:7] == [
        "Room default, 3 members:", "alice  you", "日本   new, not verified",
        "rob    verified as bob",
        "2 rooms:", "default  2 members", "dev      1 member",
    ]  # fmt: skip
    assert "Code of room default:" in sight.texts() and "bob  7 8  verified" in sight.texts()
    assert sight.texts()[-2:] == [
        "/nick NAME  " + " ".join(["Change"] * 6), " " * 12 + " ".join(["Change"] * 6),
    ]  # fmt: skip


# Own messages


def test_an_own_line_from_sending_to_sent() -> None:
    sight = Sight().joins()
    sight.says(1, "one")
    sight.says(2, "two\nlines")
    sight.hears("meanwhile")
    assert sight.texts() == ["meanwhile", "one  sending…", "two", "lines  sending…"]
    sight.settles(1, message("one", "alice", mine=True))
    assert sight.texts() == ["meanwhile", "one", "two", "lines  sending…"]
    sight.says(3, "waves", "action")
    sight.says(4, "psst", to="bob")
    assert sight.texts()[-2:] == ["alice waves  sending…", "to bob alone: psst  sending…"]
    sight.settles(4, message("psst", "alice", mine=True, private=True, to="bob", seq=None))
    assert sight.texts()[1] == "one" and sight.texts()[2] == "to bob alone: psst"
    sight.hears("for you", private=True, to="alice")
    assert "to you alone: for you" in sight.texts()


def test_a_refused_line_stays_and_goes_again() -> None:
    sight = Sight(100).joins()
    sight.says(1, "a line")
    sight.settles(1, events.NotSent("default", "a line", "dropped"))
    sight.hears("later")
    refused = "! not sent: you have dropped it; send it again if you want to (/resend)"
    assert sight.texts() == ["a line", refused, "later"]
    sight.says(1, "a line")
    assert sight.texts() == ["later", "a line  sending…"]
    sight.settles(1, message("a line", "alice", mine=True))
    assert sight.texts() == ["later", "a line"]


def test_lines_that_the_limit_keeps_back_are_counted_in_one_place() -> None:
    sight = Sight(100).joins()
    for number in (1, 2, 3):
        sight.says(number, f"line {number}")
        sight.takes(events.LinesWaiting(number, 12.5))
    assert sight.texts() == [f"line {number}  sending…" for number in (1, 2, 3)]
    assert "3 lines wait; next in 20 seconds; Esc drops them" in "\n".join(sight.lines())
    sight.now += timedelta(seconds=9)
    assert "3 lines wait; next in 5 seconds; Esc drops them" in "\n".join(sight.lines())
    assert sight.view.frame(sight.typed, sight.size, sight.now).ticks
    sight.takes(events.LinesWaiting(0, 0.0))
    assert "wait" not in "\n".join(sight.lines())
    assert not sight.view.frame(sight.typed, sight.size, sight.now).ticks


def test_a_line_that_would_be_refused_again_says_no_word_of_sending_it() -> None:
    sight = Sight(100).joins()
    sight.settles(9, events.NotSent("default", "x", "too_long"))
    assert sight.texts()[0] == "x" and "/resend" not in sight.texts()[1]


def test_a_lost_connection_is_said_counted_down_and_over() -> None:
    sight = Sight(100).joins()
    sight.says(1, "before")
    sight.typed = LineView("half", 4)
    sight.takes(events.Reconnecting(1, 2.5))
    assert sight.texts()[0].startswith("The connection is lost")
    assert sight.texts()[1] == "before  waits for the connection"
    assert sight.lines()[-1] == " default> half" + " " * 60 + "reconnecting in 5 seconds"
    sight.now += timedelta(seconds=3)
    assert sight.lines()[-1].endswith("reconnecting…")
    for attempt in range(2, 50):
        sight.takes(events.Reconnecting(attempt, 30.0))
    assert len(sight.texts()) == 2, "one line for all attempts"
    sight.settles(1, events.NotSent("default", "before", "disconnected"))
    sight.takes(events.Reconnected(False))
    assert sight.texts()[1] == "before"
    assert "not sent: the connection was lost" in sight.texts()[2]
    assert sight.lines()[-1] == " default> half"
    sight.takes(events.Disconnected("shutdown"))
    assert sight.lines()[-1].endswith("the connection has ended")


# Unread, paging, memory


def test_what_came_while_nobody_looked_is_marked_until_the_next_own_line() -> None:
    sight = Sight().joins()
    sight.hears("seen")
    sight.model.focused = False
    sight.hears("one")
    sight.hears("two")
    assert sight.texts() == ["seen", "new", "one", "two"] and sight.model.unread() == 2
    sight.model.focused = True
    sight.model.looked()
    assert sight.texts() == ["seen", "new", "one", "two"] and sight.model.unread() == 0
    sight.hears("three")
    assert sight.texts()[1] == "new" and sight.model.unread() == 0
    sight.model.focused = False
    sight.hears("four")
    assert sight.texts() == ["seen", "one", "two", "three", "new", "four"]
    sight.model.focused = True
    sight.says(1, "mine")
    assert "new" not in sight.texts()


def numbered(sight: Sight) -> list[int]:
    return [int(text) for text in sight.texts() if text.isdigit()]


def test_paging_keeps_its_place_while_more_comes() -> None:
    sight = Sight(60, 14).joins()  # ten lines for messages
    for number in range(35):
        sight.hears(str(number))
    assert numbered(sight) == list(range(25, 35))
    sight.view.page(-1)
    assert numbered(sight) == list(range(16, 26))
    assert sight.lines()[-1].endswith("↓ 9 more")
    sight.hears("alice!")
    sight.hears("more")
    assert numbered(sight) == list(range(16, 26))
    assert sight.lines()[-1].endswith("↓ 11 more · 1 @you")
    for _press in range(5):
        sight.view.page(-1)
    assert numbered(sight) == list(range(10))
    sight.view.page(1)
    assert numbered(sight) == list(range(9, 19))
    for _press in range(5):
        sight.view.page(1)
    assert sight.texts()[-1] == "more" and sight.lines()[-1] == " default>"
    sight.view.page(-1)
    sight.view.to_end()
    assert sight.texts()[-1] == "more"


def test_paging_keeps_its_place_while_own_lines_wait() -> None:
    sight = Sight(60, 14).joins()
    for number in range(30):
        sight.says(number, "waits")
    for number in range(30):
        sight.hears(str(number))
    sight.draws()
    for _press in range(4):
        sight.view.page(-1)
    before = numbered(sight)
    assert before == list(range(14, 24))
    sight.hears("more")
    assert numbered(sight) == before


def test_paging_goes_through_a_message_longer_than_the_screen() -> None:
    sight = Sight(60, 10).joins()  # six lines for messages
    sight.hears("\n".join(str(number) for number in range(20)))
    assert numbered(sight) == list(range(14, 20))
    sight.view.page(-1)
    assert numbered(sight) == list(range(9, 15))
    assert sight.lines()[-1].endswith("↓ more")
    sight.view.page(-1)
    sight.view.page(-1)
    assert numbered(sight) == list(range(6))


def test_only_so_many_messages_are_shown_at_once() -> None:
    sight = Sight(60, 20, show=4).joins()
    for number in range(9):
        sight.hears(str(number))
    sight.takes(events.MemberJoined("default", "carol"))
    assert sight.texts() == ["5", "6", "7", "8", "carol has joined."]
    sight.view.page(-1)
    assert numbered(sight) == [2, 3, 4, 5]
    sight.view.page(-1)
    assert numbered(sight) == [0, 1, 2, 3]


def test_a_visitors_long_name_widens_the_column_only_while_it_is_near() -> None:
    sight = Sight(80, 10).joins()
    sight.hears("one")
    assert sight.body() == [" 12:01    bob │ one"]
    sight.hears("hello", "x" * 32)
    assert " 12:01              bob │ one" in sight.body()
    for number in range(30):
        sight.hears(str(number))
    assert sight.body()[-1] == " 12:01    bob │ 29"
    sight.hears("hello", "x" * 32)
    sight.draws()
    sight.takes(events.Cleared())
    sight.hears("after")
    assert sight.body() == [" 12:01    bob │ after"]


def test_paging_where_there_is_nothing() -> None:
    sight = Sight().joins()
    sight.view.page(-1)
    sight.view.page(1)
    assert sight.body() == []
    sight.hears("one")
    sight.view.page(-1)
    assert sight.texts() == ["one"] and sight.model.log.at_end


def test_each_room_has_its_own_past() -> None:
    sight = Sight().joins()
    sight.hears("in the first")
    sight.takes(events.RoomEntered("dev", ()))
    assert sight.lines()[-1] == " dev>" and "in the first" not in sight.texts()
    sight.hears("in the second", room="dev")
    sight.takes(events.RoomEntered("DEFAULT", ()))
    assert sight.texts()[0] == "in the first" and "in the second" not in sight.texts()
    sight.takes(events.Cleared())
    assert sight.body() == []


# Who is called


@pytest.mark.parametrize(
    ("mode", "focused", "told"),
    [
        ("mention", None, "cp"), ("mention", False, "cp"), ("mention", True, ""),
        ("all", False, "ocp"), ("all", True, ""), ("off", False, ""),
    ],
)  # fmt: skip
def test_who_is_called_and_when(mode: str, focused: bool | None, told: str) -> None:
    sight = Sight().joins()
    sight.takes(events.Notifying(mode))
    sight.model.focused = focused
    secret = "the text of it"
    found = {
        "o": sight.hears(secret), "c": sight.hears(f"@alice {secret}"),
        "p": sight.hears(secret, private=True, to="alice"),
    }  # fmt: skip
    assert "".join(name for name, alert in found.items() if alert) == told
    for alert in found.values():
        assert alert is None or (secret not in alert.text and "bob" in alert.text)
    assert sight.hears("I, alice", "alice", mine=True) is None


def test_notify_says_how_it_is() -> None:
    sight = Sight(90).joins()
    for mode in (None, "all", None, "off"):
        sight.takes(events.Notifying(mode))
    first, second, third, fourth = sight.texts()
    assert "mentions" in first and "every message" in second == third and "Nothing" in fourth


def test_a_notification_never_ends_early() -> None:
    assert canvas.alert("bob has mentioned you", True, False) == "\a"
    assert canvas.alert("x", False, True) == "\x1b]9;CMD CHAT: x\x1b\\"
    sight = Sight().joins()
    sight.model.focused = False
    alert = sight.hears("alice", "b\x07\x1b\\ob")
    assert alert is not None and alert.text.isprintable()


def test_the_title_is_ours_only_while_something_is_unread() -> None:
    drawn = Canvas(0)
    assert drawn.title("") == ""
    assert drawn.title("(1) default") == "\x1b]2;(1) default\x07"
    assert drawn.title("(1) default") == ""
    assert drawn.title("").endswith("\x1b[23;2t\x1b[22;2t")


# What is written


def test_only_what_changed_is_written() -> None:
    sight = Sight(60, 14).joins()
    sight.hears("one two")
    assert sight.draws().count("\x1b[2K") == 14
    assert sight.draws() == ""
    sight.typed = LineView("x", 1)
    assert sight.draws() == "\x1b[?25l\x1b[14;11Hx\x1b[14;12H\x1b[?25h"
    sight.typed = LineView("", 0)
    assert sight.draws() == "\x1b[?25l\x1b[14;11H\x1b[K\x1b[14;11H\x1b[?25h"
    sight.typed = LineView("x", 1)
    sight.draws()
    sight.typed = LineView("x", 0)
    assert sight.draws() == "\x1b[14;11H"
    sight.hears("three four")
    written = sight.draws()
    assert "one" not in written and "three four" in written
    assert "\x1b[11;1H\x1b[1M\x1b[12;1H\x1b[1L" in written, "what was there has moved"
    assert sight.texts() == ["one two", "three four"]
    sight.canvas.forget()
    assert sight.draws().count("\x1b[2K") == 14


def test_each_column_begins_with_an_absolute_move() -> None:
    sight = Sight(60, 8).joins()
    sight.hears("日本 text")
    assert "\x1b[6;2H12:01\x1b[6;11Hbob\x1b[6;15H│\x1b[6;17H日本 text" in sight.draws()


def test_leaving_undoes_all_that_entering_did() -> None:
    left = Canvas(16).leave(3)
    for mode in ("1049", "2004", "1004"):
        assert f"\x1b[?{mode}h" in canvas.ENTER and f"\x1b[?{mode}l" in left
    assert "\x1b[?7l" in canvas.ENTER and "\x1b[?7h" in left
    assert "\x1b[?25h" in left and "\x1b[0m" in left
    assert "\x1b[22;2t" in canvas.ENTER and "\x1b[23;2t" in left and "\x1b]2;" not in left
    assert "\x1b7" in canvas.ENTER and "\x1b8" in left
    rows = "".join(f"\x1b[{row};1H\x1b[2K" for row in (1, 2, 3))
    assert left.index(rows) < left.index("\x1b[?1049l"), "nothing stays"


def test_no_title_of_ours_stays() -> None:
    drawn = Canvas(16)
    drawn.title("(1) secret-room - CMD CHAT")
    drawn.title("")
    assert "\x1b]2;\x07" in drawn.leave(3).partition("\x1b[23;2t")[0]
    assert "\x1b]2;" not in drawn.leave(3), "it is somebody else's by now"


# Colours


def test_colours_are_those_that_the_terminal_has() -> None:
    assert colours.colours({"TERM": "xterm-256color"}) == 256
    assert colours.colours({"TERM": "xterm", "COLORTERM": "truecolor"}) == 256
    assert colours.colours({"TERM": "xterm"}) == 16
    assert colours.colours({"TERM": "dumb"}) == 0
    assert colours.colours({"TERM": "xterm-256color", "NO_COLOR": "1"}) == 0
    assert colours.colours({"TERM": "xterm", "NO_COLOR": ""}) == 16


@pytest.mark.parametrize("count", [16, 256])
def test_a_nickname_has_one_colour_however_it_is_written(count: int) -> None:
    def colour(nick: str) -> str:
        sight = Sight(colours=count).joins()
        sight.hears("x", nick)
        found = re.search(f"\x1b\\[([0-9;]+)m{nick}\x1b\\[0m", sight.draws())
        assert found is not None
        return found[1]

    assert colour("Bob") == colour("bob") == colour("BOB")
    assert len({colour(f"nick{number}") for number in range(40)}) >= 4
    assert colours.nick_colour("alice", 16) == "32"  # the same in every process


def test_nicknames_are_readable_on_dark_and_light() -> None:
    """Contrast as WCAG 2 reckons it, with black and with white."""
    levels = [0, 95, 135, 175, 215, 255]
    for parameters in {colours.nick_colour(f"nick{number}", 256) for number in range(500)}:
        place = int(parameters.removeprefix("38;5;")) - 16
        parts = [levels[place // 36], levels[place // 6 % 6], levels[place % 6]]
        linear = [((part / 255 + 0.055) / 1.055) ** 2.4 for part in parts]
        light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert (light + 0.05) / 0.05 > 3.6 and 1.05 / (light + 0.05) > 3.6, parameters


@pytest.mark.parametrize("count", [0, 16, 256])
def test_what_matters_is_seen_without_colours(count: int) -> None:
    sight = Sight(80, 14, colours=count).joins()
    sight.hears("hey alice, look")
    sight.hears("hey alicent")
    sight.hears("psst\nand more", private=True, to="alice")
    sight.says(1, "psst", to="bob")
    sight.takes(events.Error("usage", "no"))
    written = sight.draws()
    assert "hey \x1b[1;7malice,\x1b[0m look" in written and "hey alicent" in written
    if count == 0:
        assert set(re.findall(r"\x1b\[([0-9;]*)m", written)) == {"0", "1", "1;7"}
    assert [line[14] for line in sight.body()] == list("»│┃┃│┃")
    assert sight.texts()[2] == "to you alone: psst"
    alarm = "1" if count == 0 else "1;31"
    assert f"\x1b[{alarm}m!\x1b[0m" in written and f"\x1b[{alarm}mError: no" in written


# Other terminals


def test_where_the_locale_is_not_utf8_everything_is_ascii() -> None:
    sight = Sight(60, 14, encoding="ascii").joins(others=2)
    sight.hears("日本 e\u0301 … \x1b[2J")
    sight.takes(events.MemberJoined("default", "carol"))
    sight.says(1, "on its way")
    lines = sight.lines()
    assert "".join(lines).isascii() and sight.written.isascii()
    assert lines[0].startswith(" default - 3 members - end-to-end, new 2")
    assert lines[1] == lines[-2] == "-" * 60
    assert " 12:01      > | carol has joined." in lines
    assert lines[-3] == " 12:01  alice | on its way  sending..."


NAMING = {
    "connected": lambda name: events.Connected("h:1", name, name, company(name)),
    "renamed": lambda name: events.MemberRenamed("default", "bob", name),
    "joined": lambda name: events.MemberJoined("default", name),
    "left": lambda name: events.MemberLeft("default", name),
    "who": lambda name: events.MemberList(name, company("bob")),
    "whom": lambda name: events.MemberList("default", company(name, "bob")),
    "rooms": lambda name: events.RoomList((events.RoomView(name, 2),)),
    "room": lambda name: events.RoomEntered(name, company("bob")),
    "company": lambda name: events.RoomEntered("default", company(name, "bob")),
    "codes": lambda name: events.Verification(name, "1", (events.CodeView("bob", "1", False),)),
    "a code": lambda name: events.Verification("x", "1", (events.CodeView(name, "1", False),)),
    "verified": lambda name: events.NickVerified(name, "den"),
    "unreadable": lambda name: events.Unreadable("default", name, 1, "secret"),
    "notice": lambda name: events.Notice(f"Ignored: {name}."),
    "warning": lambda name: events.Warning("replay", name, f"An old message of {name}"),
    "error": lambda name: events.Error("nick_taken", f"That looks like {name}."),
    "missed": lambda name: events.Missed(name, 1),
    "nick_awaited": lambda name: events.NickAwaited(name, 1.0),
    "message": lambda name: message("hi", name),
    "for one": lambda name: message("hi", "alice", mine=True, private=True, to=name),
}


def company(*nicks: str) -> tuple[events.MemberView, ...]:
    return tuple(events.MemberView(nick, False) for nick in nicks)


@pytest.mark.parametrize("naming", NAMING.values(), ids=NAMING.keys())
def test_names_are_told_apart_on_every_terminal(naming: Callable[[str], events.Event]) -> None:
    """Where letters are lacking their numbers are shown, in sentences and lists, too."""
    shown = []
    for name in ("Олег", "Иван", "zo\u00eb"):
        plain = Minimal(LinePrefix(Charset("ascii")))
        plain.lines(events.Connected("h:1", "alice", "default", ()), NOON, None)
        event = naming(name)
        sight = Sight(150, 14, encoding="ascii").joins()
        sight.takes(event)
        lines = "\n".join([*plain.lines(event, NOON, 400), plain.prompt()])
        for text in ("\n".join(sight.lines()), lines):
            assert text.isascii() and "?" not in text
            assert "".join(Charset("ascii").name(name)) in text
        shown.append(lines)
    assert len(set(shown)) == 3


def test_a_prompt_and_a_title_name_the_room_on_every_terminal() -> None:
    sight = Sight(120, 14, encoding="ascii")
    sight.takes(events.Connected("h:1", "Олег", "Зал", ()))
    name = Charset("ascii").name
    assert sight.lines()[0].startswith(f" {name('Зал')} - ") and name("Олег") in sight.lines()[0]
    assert name("Зал") in sight.lines()[-1] and "?" not in "".join(sight.lines())


def test_what_the_terminal_understands() -> None:
    assert terminal_encoding({"LC_ALL": "C"}, "utf-8") == "ascii"
    assert terminal_encoding({"LANG": "C"}, "utf-8") == "utf-8"
    assert terminal_encoding({}, "iso8859-1") == "iso8859-1"
    assert terminal_encoding({}, None) == "utf-8"
    latin = Charset("iso8859-1")
    assert latin.shown("café → 日…") == "café > ?..." and Charset("UTF8").shown("→") == "→"


SIZES = [(40, 10), (80, 24), (300, 100), (41, 11), (20, 6), (12, 4), (3, 2), (1, 1)]


@pytest.mark.parametrize(("columns", "rows"), SIZES)
def test_every_size_holds_the_view(columns: int, rows: int) -> None:
    sight = Sight(columns, rows).joins("a" * 32, others=20)
    for number in range(30):
        sight.hears(f"{number} " + "日本 word " * 9, f"nick-{number}")
    sight.takes(events.Help(tuple(events.CommandView(f"/c{n}", "word " * 20) for n in range(12))))
    for typed in ("", "short", "日本語" * 60, "a\nb\nc\nd\ne\nf"):
        sight.typed = LineView(typed, len(typed))
        frame = cropped(sight.view.frame(sight.typed, sight.size, sight.now), sight.size)
        assert len(frame.lines) == rows and 0 <= frame.row < rows
        assert 0 <= frame.column < columns
        if columns >= 20:
            for line in frame.lines:
                for piece in line:
                    assert piece.column + sum(width(one.text) for one in piece.spans) <= columns
        sight.draws()
        sight.view.page(-1)


def test_after_another_size_everything_is_drawn_anew() -> None:
    sight = Sight(60, 14).joins()
    sight.hears("one " * 20)
    sight.draws()
    sight.size = Size(40, 10)
    sight.screen.resize(10, 40)
    assert sight.draws().count("\x1b[2K") == 10
    assert sight.texts()[0].startswith("one one one") and len(sight.texts()) > 2
    assert all(text.endswith("one") for text in sight.texts())


# The typed line


@pytest.mark.parametrize(
    ("text", "cursor", "rows", "place"),
    [
        ("", 0, [" default>"], (0, 10)),
        ("abc", 1, [" default> abc"], (0, 11)),
        ("日本", 1, [" default> 日本"], (0, 12)),
        ("one\ntwo", 7, [" default> one", "          two"], (1, 13)),
        ("x" * 30, 30, [" default> " + "x" * 29, "          x"], (1, 11)),
        ("x" * 29, 29, [" default> " + "x" * 29, ""], (1, 10)),
        ("a\u202eb", 2, [" default> a<U+202E>b"], (0, 19)),
        ("a\x1bb", 3, [" default> a␛b"], (0, 13)),
    ],
)
def test_the_typed_line(text: str, cursor: int, rows: list[str], place: tuple[int, int]) -> None:
    sight = Sight(40, 12).joins()
    sight.typed = LineView(text, cursor)
    lines = sight.lines()[-len(rows):]
    assert lines == rows
    first = 12 - len(rows)
    assert (sight.screen.cursor.y - first, sight.screen.cursor.x) == place


def test_a_long_typed_line_takes_a_third_of_the_screen_at_most() -> None:
    sight = Sight(40, 12).joins()
    sight.hears("still here")
    text = "\n".join(str(number) for number in range(20))
    for cursor, seen in [(0, "0"), (len(text), "19"), (text.index("10"), "10")]:
        sight.typed = LineView(text, cursor)
        lines = sight.lines()
        assert [line[10:] for line in lines[-4:]].count(seen) == 1
        assert "still here" in lines[-6] and lines[sight.screen.cursor.y][10:] == seen


def test_a_hint_that_has_no_room_beside_the_line_stands_above_it() -> None:
    sight = Sight(40, 12).joins()
    sight.takes(events.Reconnecting(1, 5))
    sight.typed = LineView("a long line is typed", 20)
    assert "reconnecting in 5 seconds" in sight.lines()[-2]
    assert sight.lines()[-1] == " default> a long line is typed"


def test_a_question_takes_the_place_of_the_typed_line() -> None:
    sight = Sight(60, 12).joins()
    sight.typed = LineView("half", 4, question="Send 14 lines as one message?")
    assert sight.lines()[-1] == " Send 14 lines as one message?"


def test_the_arguments_of_a_command_are_said_while_they_are_missing() -> None:
    assert usage("/room ") == "/room NAME [secret]" == usage("/room x")
    assert usage("/msg bob ") == "/msg NICK TEXT"
    for line in ("", "hello", "/", "/who ", "//room ", "/nosuch ", "/room a b"):
        assert usage(line) == "", line
    sight = Sight(60, 12).joins()
    sight.typed = LineView("/nick ", 6)
    assert sight.lines()[-1].split() == ["default>", "/nick", "/nick", "NAME"]


# Hostile text


def marked(sight: Sight) -> list[int]:
    """In which columns the bars stand."""
    sight.draws()
    rows = [sight.screen.buffer[row] for row in range(2, sight.size.rows - 2)]
    return [
        next(column for column in range(sight.size.columns) if row[column].data in tuple("│┃»"))
        for row in rows
        if any(cell.data.strip() for cell in row.values())
    ]


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case["why"])
def test_no_text_does_anything_but_stand_there(case: dict[str, str]) -> None:
    text = case["text"]
    for others in ({}, {"kind": "action"}, {"private": True, "to": text}):
        sight = Sight(50, 30).joins()
        sight.hears("before")
        sight.draws()
        sight.hears(text, **others)
        sight.hears("after")
        written = sight.draws()
        assert set(marked(sight)) == {14} and sight.texts()[0] == "before"
        assert sight.texts()[-1] == "after"
        assert (sight.screen.cursor.y, sight.screen.cursor.x) == (29, 10)
        assert sight.screen.title == "" and only_moves(written)


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case["why"])
def test_no_name_does_anything_but_stand_there(case: dict[str, str]) -> None:
    name = case["text"]
    sight = Sight(50, 40).joins()
    sight.hears("hello", name)
    sight.takes(events.MemberJoined("default", name))
    sight.takes(events.MemberRenamed("default", "bob", name))
    sight.takes(events.RoomList((events.RoomView(name, 2),)))
    sight.takes(events.MemberList(name, (events.MemberView(name, True),)))
    assert only_moves(sight.draws())
    assert len(set(marked(sight))) == 1
    sight.takes(events.RoomEntered(name, ()))
    assert only_moves(sight.draws()) and sight.screen.title == ""
    assert sight.screen.cursor.y == 39


def only_moves(written: str) -> bool:
    """Whether a screen was drawn with nothing but what the canvas itself writes."""
    known = r"\x1b\[(\d+;\d+H|2?K|\d+[LM]|\?25[hl]|[0-9;]+m)"
    known += r"|\x1b\]8;(id=[0-9a-f]{12};[!-~]+|;)\x1b\\"  # test_links looks into these
    written = re.sub("(?<=[│┃»])\u200e", "", written)  # beside names from right to left
    return re.sub(known + "|[\u200c\u200d]", "", written).isprintable()


@pytest.mark.parametrize("other", ["bob\u200b", "b\u202eob", "bob\x08b", "bob│", "bоb\u0301"])
def test_no_name_passes_for_another_member(other: str) -> None:
    sight = Sight().joins()
    sight.hears("hello", "bob")
    sight.hears("hello", other)
    first, second = sight.body()
    assert first != second


def test_half_a_name_is_never_all_that_is_seen() -> None:
    sight = Sight(80, 20).joins()
    names = ["a-very-long-name-of-one", "a-very-long-name-of-two"]
    for name in names:
        sight.hears("hello", name)
    assert sight.texts() == [f"{name}: hello" for name in names]
    assert all(line.index("│") == 24 and "…" in line for line in sight.body())


def test_without_utf8_no_name_passes_for_another_one_either() -> None:
    sight = Sight(80, 20, encoding="ascii").joins()
    sight.hears("hello", "a-very-long-name-of-one")
    sight.hears("a-very-long-name-of-one: hello", "a-very-long-n...")
    sight.hears("hello", "анна")
    sight.hears("hello", "инна")
    lines = [line for line in sight.body() if line.startswith(" 12:01 ")]
    assert len({line.partition("|")[0] for line in lines}) == len(lines) == 4
    assert " a-very-long-nam~ | a-very-long-name-of-one: hello" in lines[0]
    assert "| <U+0430><U+043D><U+043D><U+0430>: hello" in lines[2]
    bare = sight.view.bare(sight.size).lines()
    assert "|| 12:01 <U+0438><U+043D><U+043D><U+0430>:" in bare
    plain = Minimal(LinePrefix(Charset("ascii"))).lines(message("hello", "инна"), NOON, None)
    assert plain == ["|| 12:01 <U+0438><U+043D><U+043D><U+0430>: hello"]


def test_gnu_screen_gets_no_joiners() -> None:
    sight = Sight(80, 20).joins()
    sight.canvas = Canvas(0, joins=False)
    sight.hears("\U0001f468\u200d\U0001f469\u200d\U0001f467 x")
    assert sight.lines() and "\u200d" not in sight.written
    assert "\U0001f468\U0001f469\U0001f467" in sight.written


def test_tabs_are_shown_as_blanks() -> None:
    sight = Sight(80, 12).joins()
    sight.hears("all:\n\tcc -o a\nab\tc")
    assert sight.texts() == ["all:", "    cc -o a", "ab  c"]
    sight.typed = LineView("a\tb", 3)
    assert sight.lines()[-1] == " default> a    b"
    assert sight.screen.cursor.x == 16


def test_a_message_cannot_look_like_a_line_of_somebody_else() -> None:
    sight = Sight().joins()
    sight.hears("x\n 12:01  alice │ I agree\n───── new ─────")
    sight.hears("y" * 200 + " 12:01  alice │ I agree")
    assert set(marked(sight)) == {14}
    assert sum(line.startswith(" 12:01") for line in sight.body()) == 2


def test_a_mark_keeps_names_from_right_to_left_in_their_column() -> None:
    sight = Sight().joins()
    sight.hears("שלום", "שרה")
    sight.hears("1st", "שרה")
    sight.hears("hello", "bob")
    written = sight.draws()
    assert written.count("│\u200e\x1b[") == 2, "and the text goes on at its own column"


# Help


def helped(sight: Sight, line: str) -> list[str]:
    """What is seen after a command that needs no server."""
    run_line(line, Recorder(lambda event: cast(None, sight.takes(event))).context("rich"))
    return sight.lines()


@pytest.mark.parametrize("nick", ["bob", "x" * 32])
def test_help_fits_a_small_screen(nick: str) -> None:
    sight = Sight(80, 24).joins()
    sight.hears("hello", nick)
    lines = helped(sight, "/help")
    assert any(nick[:6] in line for line in lines[2:]), "more than the help is seen"
    text = "\n".join(lines)
    for command in COMMANDS:
        assert re.search(rf"/{command.name} ", text), command.name
    assert "/help keys" in text
    assert "↑" not in lines[-1]
    assert all(any(key.names in line for line in helped(sight, "/help keys")) for key in KEYS)


def test_what_has_no_room_above_is_counted() -> None:
    sight = Sight(40, 10).joins()
    lines = helped(sight, "/help")
    high = Sight(40, 100).joins()
    helped(high, "/help")
    assert lines[-1].endswith(f"↑ {len(high.body()) - 6} more")
    sight.view.page(-1)
    sight.draws()
    sight.view.page(1)
    assert sight.lines() == lines
    sight.hears("something new")
    assert "↑" not in sight.lines()[-1]


def test_messages_above_are_counted_while_somebody_has_paged_up() -> None:
    sight = Sight(60, 8).joins()
    for number in range(20):
        sight.hears(str(number))
    assert "↑" not in sight.lines()[-1]
    sight.view.page(-1)
    assert sight.lines()[-1].endswith("↑ 13 more · ↓ 3 more")
