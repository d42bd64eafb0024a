"""Those who come and go are told one by one, and together where they are many; nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client import events, messages
from client.events import Event
from client.fullscreen.screen import FullScreen, Look
from client.input.terminal import Size
from client.output.crowds import LONGEST_SPAN, ONE_BY_ONE, Crowds
from client.output.json import Json
from client.output.line_screen import LineScreen, Renderer
from client.output.lines import Minimal
from client.views import room_target
from tests.console_kit import NOON
from tests.test_console import message
from tests.test_repeats import came, seen, went
from tests.test_rich import Clock, Sheet

FIXED = settings(derandomize=True, database=None, deadline=None, max_examples=300)
ROOM = "default"


class TimedEvent:
    """What a screen is given of what happens; ``later`` is what came by time alone."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.crowds = Crowds(self.clock)

    def happens(self, *happened: Event) -> list[Event]:
        return [event for each in happened for event, _when in self.crowds.take(each, NOON)]

    def later(self, seconds: float = 0.0) -> list[Event]:
        self.clock.now += seconds
        return [event for event, _when in self.crowds.due()]


@pytest.fixture
def told() -> TimedEvent:
    return TimedEvent()


def newcomers(count: int, first: int = 0) -> list[Event]:
    return [came(f"n{number}") for number in range(first, first + count)]


def warning(nick: str | None, verified: bool = False, code: str = "other_keys") -> events.Warning:
    return events.Warning(code, nick, messages.warning(code, nick), verified, ROOM)


def test_ten_in_a_second_are_told_one_by_one(told: TimedEvent) -> None:
    assert told.happens(*newcomers(10)) == newcomers(10)
    told.clock.now += 1.0
    assert told.happens(*newcomers(10)) == newcomers(10)
    assert told.crowds.left is None


def test_more_are_told_together_a_second_later(told: TimedEvent) -> None:
    told.happens(*newcomers(10))
    assert told.happens(*newcomers(7), went("a"), went("b")) == []
    assert told.crowds.left == 1.0
    assert told.later(0.9) == []
    assert told.later(0.1) == [events.Crowd(ROOM, 7, 2)]
    assert told.crowds.left is None
    assert told.later(9.0) == []


def test_one_more_is_told_as_itself(told: TimedEvent) -> None:
    told.happens(*newcomers(10))
    assert told.happens(went("zed")) == []
    assert told.later(1.0) == [went("zed")]


def test_what_happens_then_is_told_after_them(told: TimedEvent) -> None:
    told.happens(*newcomers(10))
    happened = [*newcomers(3), message("hi"), went("a"), went("b"), events.MemberList(ROOM, ())]
    assert told.happens(*happened) == [
        events.Crowd(ROOM, 3, 0), message("hi"), events.Crowd(ROOM, 0, 2),
        events.MemberList(ROOM, ()),
    ]  # fmt: skip


def test_each_room_is_counted_for_itself(told: TimedEvent) -> None:
    told.happens(*newcomers(10))
    others = [events.MemberJoined("dev", f"n{number}") for number in range(12)]
    assert told.happens(went(), *others) == others[:10], "so many are not too many for that one"
    assert told.happens(events.MemberList("dev", ())) == [
        events.Crowd("dev", 2, 0), events.MemberList("dev", ()),
    ], "what is of one room waits for nothing of another one"  # fmt: skip
    assert told.later(1.0) == [went()]


def test_a_room_that_was_left_is_told_to_its_end_and_begins_anew(told: TimedEvent) -> None:
    told.happens(*newcomers(12))
    left = events.RoomLeft(ROOM)
    assert told.happens(left) == [events.Crowd(ROOM, 2, 0), left]
    assert told.happens(events.RoomEntered(ROOM, ()), *newcomers(10))[1:] == newcomers(10)
    assert told.crowds.left is None


def test_what_is_of_no_room_comes_after_all_that_was_before_it(told: TimedEvent) -> None:
    told.happens(*newcomers(10), *(events.MemberJoined("dev", f"n{n}") for n in range(11)), went())
    notice = events.Notice("hello")
    assert told.happens(notice) == [went(), events.MemberJoined("dev", "n10"), notice]


def test_which_views_there_are_is_no_reason_to_tell_anything(told: TimedEvent) -> None:
    views = events.Views((room_target(ROOM),), room_target(ROOM))
    told.happens(*newcomers(10))
    assert told.happens(went("a"), views, went("b")) == [views]
    assert told.later(1.0) == [events.Crowd(ROOM, 0, 2)]


def test_the_number_of_members_is_right_at_each_moment(told: TimedEvent) -> None:
    told.happens(*newcomers(10))
    happened = [each for one in newcomers(3) for each in (one, events.TrustSummary(11, 0))]
    assert told.happens(*happened) == [events.TrustSummary(11, 0)] * 3
    assert told.later(1.0) == [events.Crowd(ROOM, 3, 0)]


def test_where_it_goes_on_it_is_told_ever_less_often(told: TimedEvent) -> None:
    """Down to once in eight seconds; after a quiet second all is as before."""
    found = []
    for _step in range(400):  # forty seconds
        told.happens(*newcomers(3))
        if told.later(0.1):
            found.append(round(told.clock.now, 1))
    gaps = [round(later - before, 1) for before, later in zip(found, found[1:], strict=False)]
    assert [round(gap) for gap in gaps[:4]] == [2, 4, 8, 8]
    assert max(gaps) < LONGEST_SPAN + 0.2
    told.later(60.0)
    assert told.happens(*newcomers(10)) == newcomers(10)
    told.happens(came())
    assert told.crowds.left == 1.0


def test_what_newcomers_warn_of_is_told_with_them_and_once(told: TimedEvent) -> None:
    told.happens(*newcomers(10))
    pairs = [each for one in newcomers(5) for each in (warning(one.nick), one)]  # type: ignore[attr-defined]
    assert told.happens(*pairs) == []
    assert told.later(1.0) == [warning(None), events.Crowd(ROOM, 5, 0)]


def test_a_single_one_who_is_warned_of_keeps_the_name(told: TimedEvent) -> None:
    told.happens(*newcomers(10))
    told.happens(*[warning("eve"), came("eve"), went("eve")] * 9)
    told.happens(warning("eve", code="unverified_member"))
    assert told.later(1.0) == [
        warning("eve"), warning("eve", code="unverified_member"), events.Crowd(ROOM, 9, 9)
    ]  # fmt: skip


def test_of_the_verified_is_warned_at_once_and_then_with_the_rest(told: TimedEvent) -> None:
    told.happens(*newcomers(10))
    assert told.happens(went("bob"), warning("bob", True), came("bob")) == [
        went("bob"), warning("bob", True)
    ]  # fmt: skip
    assert told.happens(*[went("bob"), warning("bob", True), came("bob")] * 5) == []
    assert told.happens(warning("zed", True)) == [
        warning("bob", True), events.Crowd(ROOM, 6, 5), warning("zed", True)
    ]  # fmt: skip


def test_other_warnings_wait_for_nobody(told: TimedEvent) -> None:
    told.happens(*newcomers(10))
    told.happens(*newcomers(2))
    lie = warning("bob", code="transcript")
    assert told.happens(lie) == [events.Crowd(ROOM, 2, 0), lie]


HAPPENING = st.lists(
    st.one_of(
        st.integers(1, 30).map(newcomers),
        st.integers(1, 30).map(lambda count: [went()] * count),
        st.sampled_from([[message("hi")], [warning("a"), came("a")], [warning("b", True)]]),
        st.floats(0.05, 3.0),
    ),
    max_size=40,
)


@given(HAPPENING)
@FIXED
def test_nothing_is_lost_or_told_out_of_turn(happening: list[list[Event] | float]) -> None:
    told = TimedEvent()
    happened: list[Event] = []
    shown: list[Event] = []
    single: list[float] = []
    for each in happening:
        if isinstance(each, float):
            shown += told.later(min(each, told.crowds.left or each))
            shown += told.later(0.0)
            continue
        for event in each:
            happened.append(event)
            found = told.happens(event)
            single += [told.clock.now for one in found if isinstance(one, events.MemberJoined)]
            shown += found
        assert (told.crowds.left or 0.0) <= LONGEST_SPAN
    shown += [event for event, _when in told.crowds.flush()]
    assert list(sections(shown)) == list(sections(happened))
    for start in single:
        # Beside those there may be the one that is alone when something else happens.
        others = sum(isinstance(event, events.Message | events.Warning) for event in happened)
        within = sum(start <= moment < start + 1.0 for moment in single)
        assert within <= ONE_BY_ONE + others


def sections(shown: list[Event]) -> Iterator[tuple[int, int, Event | None]]:
    """How many came and went before each other event; warnings of coming may be told together."""
    joined = left = 0
    for event in shown:
        if isinstance(event, events.Crowd):
            joined, left = joined + event.joined, left + event.left
        elif isinstance(event, events.MemberJoined):
            joined += 1
        elif isinstance(event, events.MemberLeft):
            left += 1
        elif not isinstance(event, events.Warning):
            yield joined, left, event
    yield joined, left, None


# On screens


@contextmanager
def lines_on(sheet: Sheet, renderer: Renderer) -> Iterator[LineScreen]:
    screen = LineScreen(renderer, sheet, now=lambda: NOON)
    screen.start()
    yield screen
    screen.close()


def test_a_flood_in_plain_lines(sheet: Sheet) -> None:
    with lines_on(sheet, Minimal()) as screen:
        for event in newcomers(500):
            screen.show(event)
        screen.show(message("hello"))
        screen.show(went("a"))
    lines = "".join(sheet.writes).splitlines()
    assert lines[:10] == [f"▌ 12:01 · n{number} has joined." for number in range(10)]
    # A slow machine may have told some of it before, and those of another second one by one.
    counts = [line for line in lines if "Many at once: " in line]
    assert lines[-2:] == ["▌ 12:01 bob: hello", "▌ 12:01 · a has left."]
    if len(lines) == 13:
        assert counts == ["▌ 12:01 · Many at once: 490 joined."]
    assert len(lines) < 60


def test_a_crowd_is_told_though_nothing_else_comes(sheet: Sheet) -> None:
    with lines_on(sheet, Json()) as screen:
        for event in [*newcomers(10), *newcomers(20), went("a")]:
            screen.show(event)
        found = json.loads(sheet.waits('"crowd"').splitlines()[-1])
    assert found["event"] == "crowd" and found["room"] == ROOM
    assert found.keys() == {"event", "time", "room", "joined", "left"}


def test_the_full_view_adds_up_what_goes_on(sheet: Sheet) -> None:
    crowds = [events.Crowd(ROOM, 34, 0), events.Crowd(ROOM, 0, 30)]
    many = "· │ Many at once: 34 joined, 30 left."
    assert seen(*crowds, came()) == [many, "→ │ guest has joined."]
    assert seen(crowds[0], message("hi"), crowds[1])[::2] == [
        "· │ Many at once: 34 joined.", "· │ Many at once: 30 left."
    ]  # fmt: skip


def test_the_full_view_draws_a_crowd_in_time(sheet: Sheet) -> None:
    screen = FullScreen(
        Look(0.01, 0, 0), sheet, size=lambda: Size(80, 24), now=lambda: NOON
    )
    screen.start()
    for event in [*newcomers(10), *newcomers(30)]:
        screen.show(event)
    sheet.waits("Many at once: ")
    screen.close()


def test_what_is_held_back_is_not_shown_after_a_panic(sheet: Sheet) -> None:
    screen = LineScreen(Minimal(), sheet, now=lambda: NOON, clock=Clock())
    screen.start()
    for event in newcomers(30):
        screen.show(event)
    sheet.waits("n9")
    screen.vanish()
    screen.close()
    assert "Many" not in "".join(sheet.writes)


@pytest.fixture(name="sheet")
def sheet_fixture() -> Sheet:
    return Sheet()
