"""Rows as cells: which of them differ, and which rows have only moved.

Pure. Writing no more than what changed is not for the speed alone: a screen reader says what is
written, and a whole row again for one letter in it is noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import eq
from typing import NamedTuple

from client.fullscreen.columns import ScreenLine
from client.output.widths import is_sure, width
from client.output.wrapping import Span


class Cell(NamedTuple):
    """One column of a row."""

    character: str = " "
    style: str = ""
    link: str = ""


_BLANK = Cell()
_GAP = 3  # cells between two that differ which are written with them: words stay together


class ChangedRun(NamedTuple):
    """Cells next to one another that differ, from ``column`` on; ``clears``: all that follows on
    the row is blank, and so are they."""

    column: int
    spans: tuple[Span, ...]
    clears: bool


def differences(old: ScreenLine, new: ScreenLine, columns: int) -> list[ChangedRun] | None:
    """What is to be written to make one row another; None where it cannot be said in cells,
    because somewhere there is a character that may take more than one."""
    before, after = _cells(old, columns), _cells(new, columns)
    if before is None or after is None:
        return None
    places = [place for place in range(columns) if before[place] != after[place]]
    filled = max((place for place in range(columns) if after[place] != _BLANK), default=-1)
    return [_run(after, start, end, filled) for start, end in _runs(places, filled)]


def _run(cells: Sequence[Cell], start: int, end: int, filled: int) -> ChangedRun:
    spans = tuple(
        Span("".join(cell.character for cell in group), style, link)
        for (style, link), group in groupby(cells[start:end], key=lambda cell: cell[1:])
    )
    return ChangedRun(start, spans, start > filled)


def _runs(places: Sequence[int], filled: int) -> Iterator[tuple[int, int]]:
    """Where differing cells begin and end; from behind the last one that is filled on, one run."""
    start = end = -1
    for place in places:
        if end >= 0 and place <= min(end + _GAP, filled):
            end = place + 1
            continue
        if end >= 0:
            yield start, end
        start, end = place, place + 1
        if place > filled:
            break
    if end >= 0:
        yield start, end


def _cells(line: ScreenLine, columns: int) -> list[Cell] | None:
    cells = [_BLANK] * columns
    for piece in line:
        place = piece.column
        for span in piece.spans:
            if not is_sure(span.text) or width(span.text) != len(span.text):
                return None
            for character in span.text[: max(0, columns - place)]:
                cells[place] = Cell(character, span.style, span.link)
                place += 1
    return cells


def moved_up(old: Sequence[ScreenLine], new: Sequence[ScreenLine]) -> tuple[int, int]:
    """By how many rows what stands in ``old`` stands higher in ``new``, and from which row on;
    0 rows where writing anew is not more. Never from the first row on: where there is no second
    screen, what leaves that one is remembered."""
    first = next((row for row, line in enumerate(new) if old[row] != line), len(new))
    first = max(first, 1)
    wanted = [line or None for line in new]  # an empty row is no gain
    best, gain = 0, _alike(old, wanted, first, 0)
    for step in range(1, len(new) - first):
        alike = _alike(old, wanted, first, step)
        if alike > gain:
            best, gain = step, alike
    return best, first


def _alike(
    old: Sequence[ScreenLine], new: Sequence[ScreenLine | None], first: int, step: int
) -> int:
    """Rows with something on them that would not have to be written."""
    return sum(map(eq, old[first + step :], new[first:]))
