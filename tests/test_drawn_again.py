"""What is drawn again and again: from what was drawn last, and yet never otherwise than anew."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from itertools import accumulate
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import i18n
from client import events
from client.events import Event
from client.fullscreen import prompt as prompts
from client.fullscreen.last import Last
from client.fullscreen.model import Model
from client.fullscreen.prompt import prompt
from client.fullscreen.view import View
from client.input.edit_buffer import EditBuffer
from client.input.editor import LineView
from client.input.terminal import Size
from client.output import widths, wrapping
from client.output.charset import Charset
from client.output.screen_queue import QUEUE_EVENTS, Redrawn, ScreenQueue, ShownEvent
from client.output.widths import cluster_start, clusters
from client.output.wrapping import Row, Span, wrap
from client.views import person_target, room_target

NOON = datetime(2026, 7, 29, 12, 0, tzinfo=timezone.utc)
SIZE = Size(60, 16)
DEN, LAB = room_target("den"), room_target("lab")
GUARDED, BOB = room_target("den", guarded=True), person_target("bob", b"bob", "known")


def said(text: str, sender: str = "bob", room: str = "den") -> Event:
    return events.Message(room, sender, text, 1, False, False, False, "text")


STEPS: list[Event | Size | LineView | str | timedelta] = [
    said("hello"), said("alice, look: https://example.org/x"), said("long " * 60, "carol"),
    said("two\nlines\tand tabs"), said("é日本 ☕ more of it", "dieter-with-a-long-name"),
    said("elsewhere", "eve", "lab"),
    events.MemberJoined("den", "eve"), events.MemberLeft("den", "eve"),
    events.MemberRenamed("den", "alice", "anna", True),
    events.TrustSummary(3, 1, 1, "den"), events.TrustSummary(2, 0, 0, "lab"),
    events.Views((DEN, LAB), DEN), events.Views((DEN, LAB), LAB), events.Views((GUARDED,), GUARDED),
    events.Views((DEN, BOB), BOB), events.Sending(7, "den", "mine", "text"),
    events.NoAnswer(5), events.Answered(), events.Notice("something"), events.Cleared(),
    Size(40, 12), Size(80, 20), LineView("typed", 3), LineView("/msg bob", 5),
    LineView("x" * 200, 9),
    "up", "down", "end", "find", "fr", "en", timedelta(hours=11), timedelta(hours=13),
]  # fmt: skip


class Watched:
    """A view that goes on, and one that remembers nothing but what a person has done."""

    def __init__(self) -> None:
        self.model, self.size, self.typed, self.now = Model(), SIZE, LineView(), NOON
        self.view = View(self.model)
        connected = events.Connected("here:1", "alice", "den", ())
        for event in (events.Views((DEN,), DEN), connected):
            self.model.take(event, NOON)

    def does(self, step: Event | Size | LineView | str | timedelta) -> None:
        if isinstance(step, Size):
            self.size = step
        elif isinstance(step, LineView):
            self.typed = step
        elif isinstance(step, timedelta):
            self.now += step
        elif isinstance(step, Event):
            self.model.take(step, self.now)
        elif step in ("fr", "en"):
            i18n.use(step)
        else:
            deeds: dict[str, Callable[[], None]] = {
                "up": lambda: self.view.page(-1), "down": lambda: self.view.page(1),
                "end": self.view.to_end, "find": lambda: self.view.find("lo"),
            }  # fmt: skip
            deeds[step]()

    def is_as_anew(self) -> bool:
        kept = self.view.frame(self.typed, self.size, self.now)
        self.view._kept.clear()
        for drawn in (self.view._header, self.view._bar, self.view._prompted):
            drawn.forget()
        return kept == self.view.frame(self.typed, self.size, self.now)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(STEPS), max_size=25))
def test_a_frame_is_the_same_whatever_was_drawn_before(
    steps: list[Event | Size | LineView | str | timedelta]
) -> None:
    watched, before = Watched(), i18n.current()
    try:
        for step in steps:
            watched.view.frame(watched.typed, watched.size, watched.now)
            watched.does(step)
            assert watched.is_as_anew()
    finally:
        i18n.use(before)


def test_the_same_is_made_once_and_forgotten_when_it_has_to_be() -> None:
    made: list[int] = []

    def make(number: int, *, more: int = 0) -> int:
        made.append(number)
        return number + more

    last = Last(make)
    assert [last(1), last(1), last(2), last(1), last(1, more=1)] == [1, 1, 2, 1, 2]
    assert made == [1, 2, 1, 1]
    last.forget()
    assert last(1, more=1) == 2 and made == [1, 2, 1, 1, 1] and last._given == ((1,), {"more": 1})


# Rows of letters that all have one column, which are cut without looking at each


PARTS = st.lists(
    st.tuples(st.text("ab  -", max_size=30), st.sampled_from(["", "quiet"])), min_size=1, max_size=3
)


@given(PARTS, st.integers(1, 20), st.integers(0, 6))
def test_plain_rows_are_cut_as_all_others_are(
    parts: list[tuple[str, str]], columns: int, indent: int
) -> None:
    row = Row(tuple(Span(text, style) for text, style in parts), indent)
    lines = wrap(row, columns)
    with mock.patch.object(wrapping, "_is_plain", lambda _row: False):
        assert wrap(row, columns) == lines


# Events that come while nothing may be drawn


def shown() -> ShownEvent:
    return ShownEvent(said("hello"), NOON)


def test_events_wake_nobody_who_rests_and_are_there_afterwards() -> None:
    queue = ScreenQueue()
    queue._resting = True
    queue.put(shown())
    with queue:
        queue.put(shown())
    assert not queue._rung
    assert queue.take(None, 0.001) == [shown(), shown()]
    queue.put(shown())
    assert queue._rung and queue.take(None, 5.0) == [shown()]


@pytest.mark.parametrize("urgent", [Redrawn(), LineView("a", 1)])
def test_what_a_person_does_wakes_whoever_rests(urgent: Redrawn | LineView) -> None:
    queue, found = ScreenQueue(), list[object]()
    resting = threading.Thread(
        target=lambda: found.append(queue.take(None, 60.0)), daemon=True
    )
    resting.start()
    queue.put(shown())
    if isinstance(urgent, LineView):
        queue.put_line(urgent)
    else:
        queue.put(urgent)
    resting.join(10.0)
    rest = queue.take(0.0) or []
    assert [*(found[0] or ()), *rest] == [shown(), urgent]  # type: ignore[misc]


def test_nobody_rests_while_more_comes_than_is_kept() -> None:
    queue = ScreenQueue()
    queue._resting = True
    for _ in range(QUEUE_EVENTS // 2 + 1):
        queue.put(shown())
    assert queue._rung


def test_an_end_wakes_whoever_rests() -> None:
    queue, found = ScreenQueue(), list[object]()
    resting = threading.Thread(
        target=lambda: found.append(queue.take(None, 60.0)), daemon=True
    )
    resting.start()
    queue.close()
    resting.join(10.0)
    assert found == [None]


# A typed line of any length, of which a key has to look at no more than is near the cursor

LETTERS = st.text(
    st.sampled_from(["a", " ", "é", "日", "\u0301", "\u200d", "👩", "🇫", "\n", "\u202e", "각"]),
    max_size=60,
)


@given(LETTERS, st.integers(0, 70))
def test_from_where_a_cluster_surely_begins_a_text_is_cut_as_from_its_beginning(
    text: str, place: int
) -> None:
    begins = [0, *accumulate(map(len, clusters(text)))]
    start = cluster_start(text, place)
    assert start <= place and (start in begins or start >= len(text))
    if start < len(text):
        assert [start, *(start + end for end in accumulate(map(len, clusters(text[start:]))))] == [
            begin for begin in begins if begin >= start
        ]


@given(LETTERS, st.integers(0, 60), st.sampled_from(["left", "right", "backspace", "insert"]))
def test_the_cursor_moves_by_clusters_of_the_whole_text(text: str, place: int, key: str) -> None:
    buffer = EditBuffer()
    buffer.set(text, min(place, len(text)))
    buffer.leave_cluster()
    begins = [0, *accumulate(map(len, clusters(text)))]
    at = buffer.cursor
    assert at == next(begin for begin in begins if begin >= min(place, len(text)))
    if key == "insert":
        buffer.insert("x")
        assert (buffer.text, buffer.cursor) == (text[:at] + "x" + text[at:], at + 1) or (
            buffer.cursor in [*accumulate(map(len, clusters(buffer.text)))]
        )
        return
    getattr(buffer, key)()
    before = max((begin for begin in begins if begin < at), default=0)
    after = next((begin for begin in begins if begin > at), len(text))
    if key == "backspace":
        assert buffer.text == text[:before] + text[at:]
    else:
        assert buffer.cursor == (before if key == "left" else after)


@given(LETTERS, st.integers(0, 60), st.sampled_from([8, 9, 20]), st.integers(3, 12))
def test_what_is_seen_of_a_long_line_is_part_of_all_its_rows(
    text: str, cursor: int, columns: int, rows: int
) -> None:
    typed = LineView(text, min(cursor, len(text)))
    with mock.patch.object(prompts, "_CHUNK", 16):
        seen = prompt("den", typed, columns, rows, Charset())
        with mock.patch.object(prompts, "_begin", lambda *_: 0):
            assert prompt("den", typed, columns, rows, Charset()) == seen


def test_a_key_costs_the_same_in_a_line_of_any_length() -> None:
    """Counted, not timed: looks at single characters."""
    counted = []
    for length in (10_000, 200_000):
        buffer = EditBuffer()
        buffer.set("日本e\u0301 " * (length // 5), length)
        with mock.patch.object(widths, "_belongs", mock.Mock(wraps=widths._belongs)) as looks:
            buffer.insert("x")
            buffer.left()
            prompt("den", LineView(buffer.text, buffer.cursor), 80, 24, Charset())
            counted.append(looks.call_count)
    assert 0 < max(counted) < 5_000
