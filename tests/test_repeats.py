"""What happens again and again takes one line that counts, and hides nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client import events
from tests.test_rich_view import Sight

FIXED = settings(derandomize=True, database=None, deadline=None, max_examples=150)


def came(nick: str = "guest") -> events.Event:
    return events.MemberJoined("default", nick)


def went(nick: str = "guest") -> events.Event:
    return events.MemberLeft("default", nick)


def warning(nick: str = "guest", verified: bool = False) -> events.Event:
    return events.Warning("other_keys", nick, f"{nick} has other keys.", verified)


def seen(*happened: events.Event) -> list[str]:
    sight = Sight(90, 30).joins()
    for event in happened:
        sight.takes(event)
    return [line[12:] for line in sight.body()]


def test_six_runs_of_a_program_take_two_lines() -> None:
    six = [warning(), came(), went()] * 6
    assert seen(*six) == [
        "· │ guest has other keys. (6 times)",
        "← │ guest came and left, 6 times",
    ]
    assert seen(*six, warning(), came()) == [
        "· │ guest has other keys. (7 times)",
        "→ │ guest joined; came and left 6 times before",
    ]


@pytest.mark.parametrize(
    ("happened", "line"),
    [
        ([came()], "→ │ guest has joined."),
        ([went()], "← │ guest has left."),
        ([came(), went()], "← │ guest came and left"),
        ([went(), came()], "→ │ guest left and came back"),
        ([went(), came(), went()], "← │ guest left; had left and come back 1 time before"),
        ([went(), came(), went(), came()], "→ │ guest left and came back, 2 times"),
        ([came(), went(), came()], "→ │ guest joined; came and left 1 time before"),
    ],
)
def test_how_it_reads(happened: list[events.Event], line: str) -> None:
    assert seen(*happened) == [line]


def test_nothing_is_moved_past_a_message() -> None:
    sight = Sight(90, 30).joins()
    for event in (came(), went()):
        sight.takes(event)
    sight.hears("hello")
    for event in (came(), went(), came("eve")):
        sight.takes(event, 1)
    assert sight.body() == [
        " 12:01      ← │ guest came and left",
        " 12:01    bob │ hello",
        " 12:03      ← │ guest came and left",
        " 12:04      → │ eve has joined.",
    ]


def test_no_warning_about_somebody_verified_is_folded() -> None:
    assert seen(*[warning(verified=True)] * 3) == ["! │ Warning: guest has other keys."] * 3
    assert len(seen(warning(), warning(verified=True), warning())) == 2


def test_different_warnings_are_different() -> None:
    assert len(seen(warning("a"), warning("b"), events.Warning("forged", "a", "a has"))) == 3


def test_what_was_folded_is_forgotten_with_the_rest() -> None:
    sight = Sight(90, 30).joins()
    sight.takes(came())
    sight.takes(events.Cleared())
    sight.takes(went())
    assert sight.texts() == ["guest has left."]


@FIXED
@given(st.lists(st.sampled_from(["came", "went", "warn", "say", "eve"]), max_size=40))
def test_who_is_there_is_always_what_the_last_line_about_them_says(steps: list[str]) -> None:
    sight = Sight(90, 60).joins()
    here = eve = warned = False
    for step in steps:
        if step == "say":
            sight.hears("words")
        elif step == "warn":
            sight.takes(warning())
            warned = True
        elif step == "eve" and not eve:
            sight.takes(came("eve"))
            eve = True
        elif step in ("came", "went") and here != (step == "came"):
            sight.takes(came() if step == "came" else went())
            here = step == "came"
    lines = sight.body()
    about = [line for line in lines if "│ guest" in line and "other keys" not in line]
    assert not about or ("→" in about[-1]) == here
    assert (not about) == (not here and "came" not in steps)
    assert sum("│ eve has joined." in line for line in lines) == eve
    assert any("has other keys" in line for line in lines) == warned
