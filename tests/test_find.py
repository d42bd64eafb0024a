"""``/find``: what counts as found, how the full-screen view goes from hit to hit, and what the
plain lines list."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from client import events
from client.completion import complete
from client.fullscreen.columns import ScreenLine
from client.fullscreen.scrollback import ENTRIES
from client.input.editor import LineView
from client.input.terminal import Size
from client.output import finding
from client.output.colours import painted
from client.output.finding import HIT, THIS_HIT, Query, RecentMessages, marked
from client.output.lines import Minimal
from client.output.wrapping import Row, Span
from tests.console_kit import NOON, Chat, Person, chats_fixture, person_fixture, shown  # noqa: F401
from tests.processes import Client, Server, terminal_client
from tests.test_commands import error, run
from tests.test_rich_view import Sight, message

ALT_P, ALT_N, ESC = "\x1bp", "\x1bn", "\x1b"


# What counts as the same


@pytest.mark.parametrize(
    ("query", "text", "found"),
    [
        ("ABC", "xabcx", ["abc"]),
        ("straße", "STRASSE und Strasse", ["STRASSE", "Strasse"]),
        ("ss", "Maße", ["ß"]),
        ("café", "cafe\u0301s", ["cafe\u0301"]),
        ("cafe\u0301", "CAFÉ", ["CAFÉ"]),
        ("cafe", "café", []),
        ("日本", "in 日本語", ["日本"]),
        ("ガ", "ｶﾞｶﾞ", ["ｶﾞ", "ｶﾞ"]),
        ("ΟΔΟΣ", "οδος", ["οδος"]),
        ("two words", "two \u00a0  words, two\nwords", ["two \u00a0  words", "two\nwords"]),
        ("👍", "ok 👍🏽!", ["👍🏽"]),
        ("a.c", "abc a.c", ["a.c"]),
        ("(", "f(x", ["("]),
        ("aa", "aaa", ["aa"]),
        ("nothing", "else", []),
    ],
)
def test_what_counts_as_the_same(query: str, text: str, found: list[str]) -> None:
    looked_for = Query(query)
    assert [text[start:end] for start, end in looked_for.places(text)] == found
    assert looked_for.is_in(text) == bool(found)


def test_only_what_is_found_is_marked_and_names_still_name() -> None:
    rows = (
        Row((Span("one "), Span("bob", "nick:bob"), Span(" b", "quiet", "http://b"))),
        Row((Span("obs"), Span(""))),
    )
    assert marked(rows, Query("ob b\nob"), HIT) == (
        Row(
            (
                Span("one "), Span("b", "nick:bob"), Span("ob", HIT, names=True),
                Span(" b", HIT, "http://b"),
            )
        ),
        Row((Span("ob", HIT), Span("s"), Span(""))),
    )  # fmt: skip
    assert marked(rows, Query("nowhere"), HIT) == rows


def test_hits_are_marked_without_colours_and_the_one_in_question_otherwise() -> None:
    for colours in (0, 16, 256):
        looks = {painted(Span("x", style), colours) for style in ("", "mention", HIT, THIS_HIT)}
        assert len(looks) == 4
        assert "\x1b[7m" in painted(Span("x", HIT), colours)


# The full-screen view


class Finds(Sight):
    """Who also looks for something."""

    def enters(self, text: str | None) -> Finds:
        """Type ``/find`` and what may follow, and press Enter."""
        self.draws()
        self.view.entered()
        self.view.find(text)
        return self

    def presses(self, *steps: int) -> Finds:
        for step in steps:
            self.view.step(step)
        return self

    def looked_at(self) -> str:
        """All that is marked as the hit in question, as it is drawn."""
        return self._marked(THIS_HIT)

    def others(self) -> str:
        return self._marked(HIT)

    def _marked(self, style: str) -> str:
        lines: list[ScreenLine] = self.view.frame(self.typed, self.size, self.now).lines
        spans = [span for line in lines for piece in line for span in piece.spans]
        return "".join(span.text for span in spans if span.style == style)

    def hint(self) -> str:
        """What stands at the right of the typed line, or above it, without the keys."""
        return "\n".join(self.lines()[-2:]).replace("default>", "").strip("─ \n")


def a_room(columns: int = 80, rows: int = 24, count: int = 100, every: int = 10) -> Finds:
    """Numbers, and a needle at each tenth."""
    sight = Finds(columns, rows)
    sight.joins()
    for number in range(count):
        sight.hears(f"needle {number}" if number % every == 0 else f"line {number}")
    return sight


def test_the_newest_hit_comes_first_then_older_ones_and_newer_ones_again() -> None:
    sight = a_room().enters("NEEDLE")
    assert sight.looked_at() == "needle" and "needle 90" in sight.texts()
    assert "hit 10 of 10 (Alt-P, Alt-N, Esc)" in sight.hint()
    sight.presses(-1)
    assert sight.texts()[0] == "needle 80" and "hit 9 of 10" in sight.hint(), "seen already"
    sight.presses(-1, -1)
    assert "needle 60" in sight.texts() and "hit 7 of 10" in sight.hint()
    middle = sight.texts().index("needle 60")
    assert 5 < middle < 14, "with what was said before and after it"
    sight.presses(1)
    assert "needle 70" in sight.texts() and "hit 8 of 10" in sight.hint()
    sight.presses(*[-1] * 20)
    assert sight.texts()[0] == "needle 0" and "hit 1 of 10" in sight.hint()
    sight.presses(*[1] * 20)
    assert "hit 10 of 10" in sight.hint() and sight.texts()[-1] == "line 99"
    sight.view.to_end()
    assert sight.looked_at() == sight.others() == "" and sight.hint() == ""


def test_others_on_the_screen_are_marked_too() -> None:
    sight = a_room(count=12, every=3).enters("needle")
    assert (sight.looked_at(), sight.others()) == ("needle", "needle" * 3)
    sight.presses(-1)
    assert "hit 3 of 4" in sight.hint()
    assert (sight.looked_at(), sight.others()) == ("needle", "needle" * 3)


def test_it_begins_where_one_looks() -> None:
    sight = a_room()
    sight.draws()
    for _page in range(2):
        sight.view.page(-1)
    sight.enters("needle")
    assert "hit 7 of 10" in sight.hint(), "not the newest one of all, which is below"
    only = a_room(count=40, every=39)
    only.draws()
    only.view.page(-1)
    assert "needle 0" not in only.texts()[1:]
    only.enters("needle 39")
    assert "hit 1 of 1" in only.hint() and only.looked_at() == "needle 39", "else the one below"


def test_a_hit_stays_where_it_is_while_more_comes() -> None:
    sight = a_room().enters("needle")
    before = sight.texts()
    for number in range(5):
        sight.hears(f"later {number}")
    sight.hears("a needle, late")
    assert sight.texts() == before and "hit 10 of 11" in sight.hint()
    assert "↓ 6 more" in sight.hint() and sight.model.unread() == 6
    sight.presses(1)
    assert "hit 11 of 11" in sight.hint() and sight.looked_at() == "needle"
    sight.view.entered()
    assert sight.texts()[-1] == "a needle, late" and sight.looked_at() == ""


def test_alone_it_goes_on_or_begins_again() -> None:
    sight = a_room().enters("needle").enters(None)
    assert "hit 9 of 10" in sight.hint() and "needle 80" in sight.texts()
    sight.enters(None).enters(None)
    assert "hit 7 of 10" in sight.hint()
    sight.view.to_end()
    assert sight.hint() == ""
    sight.enters(None)
    assert "hit 10 of 10" in sight.hint(), "after Esc, from where one looks"


def test_mentions_are_found_without_a_text() -> None:
    sight = a_room()
    sight.hears("hi alice")
    for number in range(30):
        sight.hears(f"more {number}")
    sight.hears("psst", "carol", private=True, to="alice")
    for number in range(40):
        sight.hears(f"much more {number}")
    sight.enters(None)
    assert "mention 2 of 2" in sight.hint() and "to you alone: psst" in sight.texts()
    assert sight.looked_at() == "carol"
    sight.presses(-1)
    assert "mention 1 of 2" in sight.hint() and "hi alice" in sight.texts()
    sight.view.to_end()
    sight.draws()
    sight.presses(-1)
    assert "mention 2 of 2" in sight.hint(), "Alt-P looks for them at once"
    sight.enters("more 3")
    sight.view.to_end()
    sight.presses(-1)
    assert "mention 2 of 2" in sight.hint(), "also after another search, once that is over"


def test_the_next_mention_below() -> None:
    sight = a_room()
    sight.hears("alice: one")
    for number in range(60):
        sight.hears(f"more {number}")
    sight.hears("alice: two")
    sight.draws()
    for _page in range(20):
        sight.view.page(-1)
    sight.draws()
    sight.presses(1)
    assert "mention 1 of 2" in sight.hint() and "alice: one" in sight.texts()


def test_where_there_is_none_that_is_said_and_nothing_moves() -> None:
    sight = a_room()
    before = sight.texts()
    sight.enters("hay\u202e\x1b[2J")
    assert sight.texts() == before and "not found: hay<U+202E>␛[2J" in sight.hint()
    sight.presses(-1, 1)
    assert sight.texts() == before
    sight.hears("comes now")
    assert sight.texts()[-1] == "comes now", "nothing to stay at"
    sight.view.to_end()
    assert sight.presses(-1).hint() == "no mention of you"
    empty = Finds(40, 10)
    assert "not found: x" in empty.enters("x").presses(-1, 1).hint()


def test_after_paging_it_goes_on_from_what_is_seen() -> None:
    sight = a_room().enters("needle")
    sight.draws()
    for _page in range(2):
        sight.view.page(-1)
        sight.draws()
    top = next(int(text.split()[-1]) for text in sight.texts())
    sight.presses(-1)
    found = (top - 1) // 10
    assert f"needle {found * 10}" in sight.texts() and f"hit {found + 1} of 10" in sight.hint()


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 10), (20, 6)])
def test_a_hit_deep_in_a_long_message_is_seen(columns: int, rows: int) -> None:
    sight = Finds(columns, rows)
    sight.joins()
    for number in range(30):
        sight.hears(f"before {number}")
    words = [f"word{number}" for number in range(3000)]
    words[1500] = "needle"
    sight.hears(" ".join(words), "somebody-with-a-name")
    for number in range(30):
        sight.hears(f"after {number}", "x")
    assert "needle" not in "".join(sight.texts())
    sight.enters("Needle")
    assert sight.looked_at() == "needle", "though the message is folded else"
    if columns >= 40:
        assert "hit 1 of 1" in sight.hint()
    sight.view.to_end()
    assert sight.texts()[-1] == "after 29"


def test_a_hit_over_the_edge_of_a_row_is_marked_on_both() -> None:
    sight = Finds(40, 10)
    sight.joins()
    sight.hears("some words, a needle and haystack")
    sight.enters("needle and hay")
    assert sight.looked_at() == "needleand hay"
    sight.hears("x" * 60 + "日本語の言葉" * 5)
    assert sight.enters("の言葉日本").looked_at() == "の言葉日本" * 4


def test_names_are_found_and_so_is_what_the_program_says() -> None:
    sight = Finds(80, 12)
    sight.joins()
    sight.hears("first", "Zoë")
    for number in range(30):
        sight.hears(f"line {number}", "bob")
    sight.enters("ZOE\u0308")
    assert sight.looked_at() == "Zoë" and "hit 1 of 1" in sight.hint()
    for _time in range(6):
        sight.takes(events.MemberJoined("default", "guest"))
        sight.takes(events.MemberLeft("default", "guest"))
    sight.enters("guest came and left, 6")
    assert "hit 1 of 1" in sight.hint() and "guest" in sight.looked_at()
    sight.hears("text", "a-nickname-too-long-for-it")
    sight.enters("name-too")
    assert sight.looked_at().count("a-nickname") == 2, "cut, and whole before the text"
    sight.says(1, "a line on its way", to="bob")
    sight.enters("bob alone: a line on")
    assert sight.looked_at() == "bob alone: a line on"


def test_own_lines_on_their_way_are_found() -> None:
    sight = Finds(80, 24)
    sight.joins()
    for number in range(60):
        sight.says(number, f"mine {number}")
    for number in range(60):
        sight.hears(f"line {number}")
    for text in ("mine 7", "line 7"):
        sight.enters(text)
        assert sight.looked_at() == text
    sight.enters("mine 30")
    sight.settles(30, message("mine 30", "alice", mine=True))
    sight.presses(-1)
    assert sight.looked_at() == "mine 30" and "hit 1 of 1" in sight.hint()


def test_a_change_of_size_does_not_lose_the_hit() -> None:
    sight = a_room(80, 24, 1000, 100).enters("needle").presses(-1, -1)
    for size in [Size(40, 10), Size(120, 50), Size(20, 6), Size(80, 24)]:
        sight.size = size
        assert sight.looked_at() == "needle", size
    sight.typed = LineView("line\n" * 7, 0)
    assert sight.looked_at() == "needle"


def test_with_few_messages_at_once_the_hit_is_among_them() -> None:
    for show in (1, 2, 5):
        sight = Finds(80, 24, show)
        sight.joins()
        for number in range(50):
            sight.hears("needle" if number % 20 == 0 else f"line {number}")
        sight.enters("needle").presses(-1)
        assert sight.looked_at() == "needle" and "hit 2 of 3" in sight.hint()


def test_what_is_forgotten_is_found_no_more() -> None:
    sight = a_room().enters("needle").presses(*[-1] * 9)
    assert "hit 1 of 10" in sight.hint()
    for number in range(ENTRIES - 50):
        sight.hears(f"later {number}")
    assert "hit 1 of 5" in sight.hint()
    sight.presses(1)
    assert "needle" in sight.looked_at()
    sight.takes(events.Cleared())
    sight.view.forget()
    assert sight.hint() == "" and sight.looked_at() == ""
    sight.enters(None)
    assert sight.hint() == "no mention of you", "nor is it known what was looked for"


def test_another_room_ends_the_search() -> None:
    sight = a_room().enters("needle")
    sight.draws()
    sight.takes(events.RoomEntered("dev", ()))
    sight.hears("needle", room="dev")
    assert sight.looked_at() == "" and "hit" not in "\n".join(sight.lines()[-2:])


def test_what_is_wrong_with_the_connection_is_still_said() -> None:
    sight = a_room(100).enters("needle")
    sight.takes(events.Reconnecting(1, 2.5))
    assert "hit 10 of 10" in sight.hint() and "reconnecting in" in sight.hint()


def test_without_utf_8_it_is_marked_all_the_same() -> None:
    sight = Finds(80, 24, encoding="ascii")
    sight.joins()
    sight.hears("naïve needle")
    assert sight.enters("ïve need").looked_at() == "?ve need"


def test_ten_redraws_of_a_search_in_all_that_is_kept_take_no_second() -> None:
    sight = Finds(80, 24)
    sight.joins()
    for number in range(ENTRIES):
        sight.hears(f"é {number} " + "x" * 1000)
    begin = time.process_time()
    sight.enters("é 4")
    for _frame in range(10):
        sight.draws()
    assert time.process_time() - begin < 2.0
    assert "of 1,111" in sight.hint()


@pytest.mark.parametrize("between", [" ", "\n"])
def test_a_message_full_of_hits_holds_nothing_up(between: str) -> None:
    """Or a member could stop the screen of whoever looks for a letter."""
    sight = Finds(80, 24)
    sight.joins()
    sight.hears(between.join(["é needle"] * 5000))
    begin = time.process_time()
    assert "needleneedle" in sight.enters("needle").looked_at()
    assert time.process_time() - begin < 2.0


# Plain lines


def plain(renderer: Minimal, *shown_events: events.Event) -> list[str]:
    lines: list[str] = []
    for event in shown_events:
        lines = renderer.lines(event, NOON, None)
    return lines


CONNECTED = events.Connected("here:1000", "alice", "default", ())


def test_plain_lines_list_the_last_hits_with_their_time() -> None:
    renderer = Minimal()
    clock = f"{NOON.astimezone():%Y-%m-%d %H:%M}"
    said = [message(f"needle {number}") for number in range(25)]
    other = message("needle elsewhere", room="dev")
    assert plain(renderer, CONNECTED, *said, other, events.Finding("NEEDLE 3")) == [
        "▌ 12:01 · 1 message found:", f"▌       {clock}  bob: needle 3",
    ]  # fmt: skip
    lines = plain(renderer, events.Finding("needle"))
    assert lines[0] == "▌ 12:01 · 25 messages found, the last 20:"
    assert len(lines) == 21 and lines[-1].endswith("bob: needle 24")
    assert plain(renderer, events.Finding(None)) == lines, "the same again"
    assert plain(renderer, events.Finding("bob"))[0].endswith("25 messages found, the last 20:")
    assert plain(renderer, events.Finding("hay")) == [
        "▌ 12:01 · There is nothing like that in what was shown."
    ]
    plain(renderer, message("psst", private=True, to="alice", seq=None))
    assert "bob, to you alone: psst" in plain(renderer, events.Finding("psst"))[1]


def test_plain_lines_list_mentions_before_anything_was_looked_for() -> None:
    renderer = Minimal(spoken=True)
    said = (message("hello\nalice"), message("hello all"))
    (title, line) = plain(renderer, CONNECTED, *said, events.Finding(None))
    assert title == "▌ · 1 message found:" and line.endswith("bob: hello / alice")
    assert plain(renderer, events.Cleared(), events.Finding("hello")) == [
        "▌ · There is nothing like that in what was shown."
    ]


def test_what_plain_lines_remember_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "REMEMBERED", 3)
    monkeypatch.setattr(finding, "REMEMBERED_CHARACTERS", 100)
    recent = RecentMessages()

    def add(text: str) -> None:
        view = events.HistoryView(NOON, "default", "bob", None, text, "text", False, False)
        recent.add(view, False)

    def kept() -> list[str]:
        return [view.text for view in recent.find("x", "DEFAULT")]

    for number in range(5):
        add(f"x{number}")
    assert kept() == ["x2", "x3", "x4"]
    add("x" * 99)
    assert kept() == ["x" * 99]
    add("x" * 200)
    assert kept() == [], "too long to remember"
    add("xx")
    assert kept() == ["xx"]


# Commands and keys


def test_the_command_asks_for_it() -> None:
    assert run("/find two  words ", "rich").calls == [("find", "two  words")]
    assert run("/find", "minimal").calls == [("find", None)]
    assert error("/find x", "json").code == "not_here"
    for word in ("search", "lastlog", "grep"):
        assert "Did you mean /find?" in error(f"/{word} x").text
    assert complete("/fi") == (0, ["/find "])


@pytest.mark.parametrize("size", [(80, 24), (40, 10)])
def test_typed_on_a_terminal(chats: Callable[..., Any], person: Person, size: Any) -> None:
    person.resizes(*size) if size != (40, 10) else None
    chat = chats("rich")
    chat.joins()
    chat.console.screen.show(events.Cleared())
    for number in range(1000):
        chat.hears(f"日本 {number}" if number % 100 == 7 else f"line {number}")
    person.waits(lambda: "line 999" in "\n".join(shown(person.screen)))

    def sees(*texts: str) -> None:
        person.waits(lambda: all(text in "\n".join(shown(person.screen)) for text in texts))

    def finds(text: str | None) -> None:
        line = "/find" if text is None else f"/find {text}"
        person.types(f"{line}\r")
        person.waits(lambda: chat.lines[-1:] == [line])
        chat.console.find(text)

    finds("日本")
    sees("hit 10 of 10", "日本 907")
    person.types(ALT_P)
    sees("hit 9 of 10", "日本 807")
    person.types(ALT_P + ALT_P + ALT_N)
    sees("hit 8 of 10", "日本 707")
    person.types("a draft")
    sees("default> a draft")
    person.types(ESC)
    sees("line 999", "default> a draft")
    person.waits(lambda: "hit" not in "\n".join(shown(person.screen)))
    person.types("\r")  # at once, and yet no Alt-Enter
    person.waits(lambda: chat.lines[-1:] == ["a draft"])


def test_escape_ends_a_search_before_it_drops_lines(person: Person) -> None:
    chat = Chat(person, "rich", {"TERM": "xterm"})
    try:
        dropped: list[int] = []
        chat.console._on_drop = lambda: dropped.append(1)
        console = chat.console
        console.escape()
        assert dropped == [1], "nothing else to end"
        console.find("x")
        assert console.escape() and dropped == [1]
        console.escape()
        assert dropped == [1, 1]
        assert console.intercepts("alt-p")
        console.show_line(LineView(entered=True))
        console.escape()
        assert dropped == [1, 1, 1], "Enter has ended it"
    finally:
        chat.close()


# With a server


@pytest.fixture(scope="module", name="server")
def server_fixture() -> Iterator[Server]:
    with Server({"MAX_MESSAGES_PER_WINDOW": "1000"}) as running:
        yield running
        assert running.errors == ""


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 10)])
def test_in_a_chat(server: Server, columns: int, rows: int) -> None:
    name = f"alice{columns}"
    with (
        Client(server, f"bob{columns}") as bob,
        terminal_client(server, name, columns=columns, rows=rows) as alice,
    ):
        bob.next("joined", nick=name)
        alice.sees("default>")
        texts = [f"Nadel {number}" if number % 20 == 5 else f"Heu {number}" for number in range(60)]
        bob.say(*texts[:30], f"{name}: hier", *texts[30:])
        alice.sees("Heu 59")
        alice.type("/find nadel\r")
        alice.sees("hit 3 of 3")
        alice.type(ALT_P)
        alice.sees(r"(?s)Nadel 25.*hit 2 of 3")
        alice.type("/find\r")
        alice.sees(r"(?s)Nadel 5 .*hit 1 of 3")
        alice.type(ESC)
        alice.sees(r"(?s)Heu 59.*default> *$")
        alice.type(ALT_P)
        alice.sees(r"(?s)hier.*mention 1 of 1")
        alice.type("said on\r")
        alice.sees(r"(?s)said on.*default> *$")
        alice.waits(lambda: "sending" not in alice.shown(), "taken")  # that would stay
        alice.type("/clear\r")
        alice.waits(lambda: "said on" not in alice.shown(), "cleared")
        alice.type("/find nadel\r")
        alice.sees("not found: nadel")
        alice.type("q\r")
        assert alice.end() == 0


def test_in_plain_lines_and_in_json(server: Server) -> None:
    with (
        Client(server, "rob") as rob,
        terminal_client(server, "ann", "--renderer", "minimal", "--room", "plain") as ann,
    ):
        ann.sees("plain>")
        rob.say("/room plain")
        ann.sees("rob has joined")
        rob.say("eine Nadel", "Heu", "ann: Heu")
        ann.sees("ann: Heu")
        ann.type("/find NADEL\r")
        ann.sees(r"1 message found:\s+▌ +\d{4}-\d\d-\d\d \d\d:\d\d  rob: eine Nadel")
        ann.type("/clear\r/find\r")
        ann.sees("There is nothing like that in what was shown")
        rob.say("/find Nadel")
        assert rob.next("error")["code"] == "not_here"
        ann.type("q\r")
        assert ann.end() == 0
