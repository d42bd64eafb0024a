"""What is written to make one screen another one: little, and the same as if all were written."""

from __future__ import annotations

import random
from typing import Any

import pyte
from hypothesis import given
from hypothesis import strategies as st

from client import messages
from client.fullscreen.canvas import Canvas
from client.fullscreen.columns import Piece, ScreenLine
from client.fullscreen.diff import differences, moved_up
from client.fullscreen.view import ScreenFrame
from client.input.terminal import Size
from client.output.wrapping import Span
from tests.emulator import Screen

COLUMNS, ROWS, FOOT = 30, 10, 8
_TEXTS = ("a", "word", "two words", "with a gap   in it", "日本", "é", "", "x" * 40, "👍🏽!")
_STYLES = ("", "quiet", "alarm", "nick:bob")


def _line(rng: random.Random) -> ScreenLine:
    places = sorted(rng.sample(range(0, COLUMNS, 6), rng.randrange(0, 4)))
    pieces = []
    for number, place in enumerate(places):
        end = places[number + 1] if number + 1 < len(places) else COLUMNS
        texts = [rng.choice(_TEXTS)[: (end - place) // 3] for _ in range(2)]
        pieces.append(Piece(place, tuple(Span(text, rng.choice(_STYLES)) for text in texts)))
    return tuple(pieces)


def _next(rng: random.Random, lines: list[ScreenLine]) -> list[ScreenLine]:
    """Other lines: some of them new, or all of them a few rows higher."""
    lines = list(lines)
    if rng.random() < 0.5:
        top, step = rng.randrange(0, 3), rng.randrange(1, 4)
        lines[top:FOOT] = [*lines[top + step : FOOT], *(_line(rng) for _ in range(step))]
    for _ in range(rng.randrange(0, 3)):
        lines[rng.randrange(ROWS)] = _line(rng)
    return lines


def _seen(written: list[str]) -> list[list[object]]:
    screen: Any = Screen(COLUMNS, ROWS)
    stream = pyte.Stream(screen)
    for text in written:
        stream.feed(text)
    blank = screen.default_char
    return [[screen.buffer[row].get(x, blank) for x in range(COLUMNS)] for row in range(ROWS)]


@given(st.integers(0, 2**32))
def test_small_steps_lead_where_one_large_one_does(seed: int) -> None:
    rng = random.Random(seed)
    lines = [_line(rng) for _ in range(ROWS)]
    canvas, written = Canvas(16), []
    for _ in range(6):
        lines = _next(rng, lines)
        frame = ScreenFrame(Size(COLUMNS, ROWS), lines, ROWS - 1, 3, FOOT, False)
        written.append(canvas.change(frame))
        assert _seen(written) == _seen([Canvas(16).change(frame)])


def _plain(text: str, column: int = 0) -> ScreenLine:
    return (Piece(column, (Span(text),)),)


def test_words_stay_together() -> None:
    runs = differences((), _plain("two words"), 20)
    assert runs is not None and [run.spans[0].text for run in runs] == ["two words"]
    runs = differences(_plain("two words"), _plain("two"), 20)
    assert runs is not None and [(run.column, run.clears) for run in runs] == [(4, True)]
    assert differences(_plain("日"), _plain("x"), 20) is None, "half a character is not written"


def test_the_first_row_is_never_taken_out() -> None:
    """Where there is no second screen, it would be remembered."""
    old = [_plain(f"line {number}") for number in range(6)]
    assert moved_up(old, [*old[1:], ()]) == (1, 1)
    assert moved_up(old, old)[0] == 0


def test_a_countdown_is_another_one_seldom() -> None:
    said = [messages.about(left / 10) for left in range(600, 0, -1)]
    assert all(about >= left / 10 for about, left in zip(said, range(600, 0, -1), strict=True))
    assert sorted(set(said)) == [5, 10, 20, 30, 45, 60]
    assert messages.about(61) == 120
