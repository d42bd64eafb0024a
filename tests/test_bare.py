"""What Alt-L shows: messages without frame, as a terminal folds them, and whole."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client import events
from client.fullscreen import canvas
from client.fullscreen.bare import BareView
from client.input.terminal import Size
from client.output.widths import width
from tests.console_kit import Chat, Person, chats_fixture, person_fixture, shown
from tests.test_rich_view import CORPUS, Sight

__all__ = ["chats_fixture", "person_fixture"]

FIXED = settings(derandomize=True, database=None, deadline=None, max_examples=100)
TEXTS = st.lists(
    st.sampled_from([*(case["text"] for case in CORPUS), "\n", "x" * 70, "漢" * 30, "▌ 1:01 bob:"]),
    max_size=12,
).map("".join)


def bare(sight: Sight) -> BareView:
    sight.draws()
    return sight.view.bare(sight.size)


def test_text_begins_in_the_first_column_and_is_whole() -> None:
    sight = Sight(40, 20).joins()
    link = "https://example.org/" + "a" * 60
    sight.hears(f"{link}\n\tcc -o a a.c\nlast")
    sight.hears("psst", private=True, to="alice")
    sight.takes(events.MemberJoined("default", "carol"))
    sight.takes(events.Invite("cmdchat://here:1000/default#x", "default"))
    lines = bare(sight).lines()
    assert lines[:4] == ["▌ 12:01 bob:", link, "    cc -o a a.c", "last"]
    assert lines[4:7] == ["▌ 12:01 bob, to you alone:", "psst", "▌ 12:01 → carol has joined."]
    assert lines[-1] == "cmdchat://here:1000/default#x"


def test_pages_go_through_everything_and_back() -> None:
    sight = Sight(40, 8).joins()
    for number in range(20):
        sight.hears(f"message {number}")
    view = bare(sight)
    pages = [view.lines()]
    for _ in range(9):
        view.page(-1)
        if view.lines() == pages[0]:
            break
        pages.insert(0, view.lines())
    texts = [line for page in pages for line in page if line.startswith("message")]
    assert sorted(set(texts), key=texts.index) == [f"message {number}" for number in range(20)]
    for _ in range(12):
        view.page(1)
    assert view.lines() == bare(sight).lines()


@FIXED
@given(st.lists(TEXTS, min_size=1, max_size=5), st.integers(10, 80), st.integers(3, 30))
def test_nothing_of_a_text_is_obeyed_and_nothing_scrolls(
    texts: list[str], columns: int, rows: int
) -> None:
    sight = Sight(60, 10).joins()
    for text in texts:
        sight.hears(text)
    sight.draws()
    view = sight.view.bare(Size(columns, rows))
    for step in (0, -1, -1, 1):
        if step:
            view.page(step)
        lines = view.lines()
        assert all(line.replace("\u200c", "").replace("\u200d", "").isprintable() for line in lines)
        assert sum(max(1, -(-width(line) // (columns - 1))) for line in lines) <= rows - 1
        assert width(view.foot) < columns
        for line in lines:
            if "▌" in line:
                assert re.match(r"▌ 12:0\d bob:\Z", line), line


def test_a_message_that_would_fill_screen_after_screen_is_folded() -> None:
    sight = Sight(80, 24).joins()
    sight.hears("before")
    sight.hears("\n" * 2999)
    lines = sight.lines()
    assert lines[-3] == "              │ … 2,982 more lines, Alt-L"
    sight.hears("x\n" * 59)
    assert "more lines" not in "\n".join(sight.lines()[-10:-1]), "three screens are not too many"
    sight.says(1, "y\n" * 3000)
    sight.settles(1, events.NotSent("default", "y", "too_long"))
    assert "! not sent: it is longer" in "\n".join(sight.lines()[-5:])
    assert any("more lines, Alt-L" in line for line in sight.lines())


@settings(FIXED, max_examples=40)
@given(st.integers(1, 120), st.integers(8, 30), st.integers(20, 90), st.booleans())
def test_what_is_shown_and_what_is_not_make_the_whole(
    count: int, rows: int, columns: int, refused: bool
) -> None:
    sight = Sight(columns, rows).joins()
    text = "\n".join(f"n{number}" for number in range(count))
    sight.hears("before")
    if refused:
        sight.says(1, text)
        sight.settles(1, events.NotSent("default", text, "too_long"))
    else:
        sight.hears(text)
    seen: list[str] = []
    for _page in range(400):
        seen = list(dict.fromkeys([*sight.texts(), *seen]))
        if "before" in seen:
            break
        sight.view.page(-1)
    words = " ".join(" ".join(seen).split())
    folded = re.findall(r"… ([0-9,]+) more lines, Alt-L", words)
    shown = sum(re.fullmatch(r"n\d+", word) is not None for word in words.split())
    assert shown + sum(int(number.replace(",", "")) for number in folded) == count
    assert len(folded) <= 1 and (folded or count <= max(3 * rows, 40))
    assert not folded or count >= 25
    assert ("! not sent" in words) == refused


def test_on_a_small_screen_forty_lines_are_not_too_many() -> None:
    sight = Sight(80, 8).joins()
    sight.hears("\n".join(map(str, range(41))))
    assert sight.texts() == ["0", "1", "… 39 more lines, Alt-L"]
    sight.hears("\n".join(map(str, range(40))))
    assert sight.texts() == ["36", "37", "38", "39"]


@pytest.fixture(name="chat")
def chat_fixture(person: Person, chats: Callable[..., Chat]) -> Chat:
    chat = chats("rich")
    chat.joins()
    chat.hears("https://example.org/" + "a" * 60)
    person.waits(lambda: any("aaaa" in line for line in shown(person.screen)))
    return chat


def foot(person: Person) -> str:
    return "".join(shown(person.screen)[-1:])


def test_alt_l_and_back(person: Person, chat: Chat) -> None:
    person.types("dra\x1bl")
    person.waits(lambda: foot(person).startswith("▌ Any key goes back"))
    assert shown(person.screen)[-5:-2] != [] and "│" not in "".join(shown(person.screen))
    assert "https://example.org/" + "a" * 20 in shown(person.screen)
    seen = shown(person.screen)
    chat.hears("something new")
    person.types("\x1b[5~")
    person.types("x")  # goes back, and is not typed
    person.waits(lambda: foot(person) == " default> dra")
    assert "something new" not in "".join(seen)
    person.types("ft\x1bl")
    person.waits(lambda: foot(person).startswith("▌ Any key goes back"))
    person.types("\x15")  # goes back, and clears the line
    person.waits(lambda: foot(person) == " default>")
    person.types("hello\r")
    person.waits(lambda: chat.lines == ["hello"])
    assert canvas.FRAMED.encode() in person.raw


def test_a_new_size_puts_the_frame_back(person: Person, chat: Chat) -> None:
    person.types("\x1bl")
    person.waits(lambda: foot(person).startswith("▌ Any key goes back"))
    person.resizes(60, 12)
    person.waits(lambda: foot(person) == " default>")
    person.types("a")
    person.waits(lambda: foot(person) == " default> a")


def test_there_is_no_bare_view_where_there_is_no_frame(
    person: Person, chats: Callable[..., Chat]
) -> None:
    chat = chats("minimal")
    person.types("a\x1blb\r")
    person.waits(lambda: chat.lines == ["ab"])
