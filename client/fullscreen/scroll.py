"""Which lines of a log are on the screen, and paging through it.

Pure. Somebody who has paged up stays at the same entry, however many come below it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

from client.fullscreen.columns import ScreenLine
from client.fullscreen.scrollback import ScrollbackEntry
from protocol.dataclass import dataclass

LinesOf = Callable[[Sequence[ScrollbackEntry], int], list[ScreenLine]]
_Foot = tuple[int, int]  # the last entry that is seen (its index), and how many of its lines


@dataclass(frozen=True)
class Viewport:
    """What is seen: ``lines`` of ``entries``; ``below`` messages are further down, of which
    ``calls`` call this client's person. ``above``: messages further up for somebody who has paged
    up, else lines of the newest entry that have no room. ``end``: there is nothing below."""

    lines: list[ScreenLine]
    entries: Sequence[ScrollbackEntry]
    above: int
    below: int
    calls: int
    end: bool


class Scroll:
    """``lines_of`` gives the lines of one of a room's entries; ``show`` is how many messages
    are shown at once, 0 for as many as fit."""

    def __init__(self, lines_of: LinesOf, show: int) -> None:
        self._lines_of = lines_of
        self._show = show
        self._anchor: tuple[int, int] | None = None  # an entry's number, and lines of it

    @property
    def at_end(self) -> bool:
        return self._anchor is None

    @property
    def foot(self) -> int | None:
        """The number of the last entry that is seen; None: whichever is the newest."""
        return None if self._anchor is None else self._anchor[0]

    def to_end(self) -> None:
        """Show the newest entries."""
        self._anchor = None

    def stay(self, entries: Sequence[ScrollbackEntry]) -> None:
        """Go on showing what is seen, also when more comes."""
        foot = self._foot(entries)
        if foot is not None:
            self._anchor = (entries[foot[0]].number, foot[1])

    def reveal(
        self, entries: Sequence[ScrollbackEntry], place: int, line: int, rows: int
    ) -> None:
        """Show a line of one of the entries, in the middle if there is enough around it."""
        last = len(entries) - 1
        moved = self._down(entries, (place, line + 1), (rows - 1) // 2)
        if moved[0] == last:
            moved = (last, min(moved[1], len(self._lines_of(entries, last))))
        moved = max(moved, min(self._first_page(entries, rows), (place, line + rows)))
        if self._upwards(entries, moved, rows)[0] > place:  # fewer messages are shown at once
            moved = (place, min(line + rows, len(self._lines_of(entries, place))))
        self._anchor = (entries[moved[0]].number, moved[1])

    def seen(self, entries: Sequence[ScrollbackEntry]) -> Sequence[ScrollbackEntry]:
        """All entries up to the last one that is seen."""
        return self.near(entries, len(entries))

    def near(self, entries: Sequence[ScrollbackEntry], count: int) -> Sequence[ScrollbackEntry]:
        """The last entry that is seen, and those before it: so many at most."""
        end = len(entries)
        if self._anchor is not None:
            end = min(end, _index(entries, self._anchor[0]) + 1)
        return entries[max(0, end - count): end]

    def viewport(self, entries: Sequence[ScrollbackEntry], rows: int) -> Viewport:
        """What is seen of ``entries`` on so many rows."""
        foot = self._foot(entries)
        if foot is None:
            return Viewport([], (), 0, 0, 0, True)
        first, lines = self._upwards(entries, foot, rows)
        below = [entry for entry in entries[foot[0] + 1:] if entry.counts]
        if self.at_end:
            above = foot[1] - len(lines) if first == foot[0] else 0
        else:
            above = sum(entry.counts for entry in entries[:first])
        return Viewport(
            lines, entries[first: foot[0] + 1], above, len(below),
            sum(entry.calls for entry in below), self.at_end or self._is_last(entries, foot),
        )  # fmt: skip

    def page(
        self, step: int, entries: Sequence[ScrollbackEntry], rows: int, by_lines: bool = False
    ) -> None:
        """Move by a screen, less one line to go on from: up (-1) or down (1); or by ``step``
        lines."""
        foot = self._foot(entries)
        if foot is None:
            return
        _first, lines = self._upwards(entries, foot, rows)
        many = min(abs(step), len(lines)) if by_lines else max(1, len(lines) - 1)
        if step < 0:
            top = self._first_page(entries, rows)
            moved = max(top, self._up(entries, foot, many))
        else:
            moved = self._down(entries, foot, many)
        if self._is_last(entries, moved):
            self._anchor = None
        else:
            self._anchor = (entries[moved[0]].number, moved[1])

    def _is_last(self, entries: Sequence[ScrollbackEntry], foot: _Foot) -> bool:
        """Whether there is nothing below."""
        last = len(entries) - 1
        return foot >= (last, len(self._lines_of(entries, last)))

    def _foot(self, entries: Sequence[ScrollbackEntry]) -> _Foot | None:
        if not entries:
            self._anchor = None
            return None
        if self._anchor is not None:
            number, many = self._anchor
            place = _index(entries, number)
            if place < len(entries):
                # As many lines as the entry had, unless it has fewer now.
                return place, min(many, len(self._lines_of(entries, place)))
            self._anchor = None
        last = len(entries) - 1
        return last, len(self._lines_of(entries, last))

    def _upwards(
        self, entries: Sequence[ScrollbackEntry], foot: _Foot, rows: int
    ) -> tuple[int, list[ScreenLine]]:
        """The lines that end at ``foot``, and the index of the first entry that is among them."""
        place, many = foot
        lines = self._lines_of(entries, place)[:many]
        messages = int(entries[place].counts)
        while len(lines) < rows and place > 0:
            counts = entries[place - 1].counts
            if counts and self._show and messages >= self._show:
                break
            place -= 1
            messages += counts
            lines = self._lines_of(entries, place) + lines
        return place, lines[max(0, len(lines) - rows):]

    def _first_page(self, entries: Sequence[ScrollbackEntry], rows: int) -> _Foot:
        """Where the view ends when it begins with the first entry."""
        left, messages = rows, 0
        for place, entry in enumerate(entries):
            messages += entry.counts
            if self._show and messages > self._show:
                return place - 1, len(self._lines_of(entries, place - 1))
            many = len(self._lines_of(entries, place))
            if many >= left:
                return place, left
            left -= many
        last = len(entries) - 1
        return last, len(self._lines_of(entries, last))

    def _up(self, entries: Sequence[ScrollbackEntry], foot: _Foot, many: int) -> _Foot:
        place, shown = foot
        while many >= shown:
            many -= shown
            place -= 1
            if place < 0:
                return 0, 1
            shown = len(self._lines_of(entries, place))
        return place, shown - many

    def _down(self, entries: Sequence[ScrollbackEntry], foot: _Foot, many: int) -> _Foot:
        place, shown = foot
        left = len(self._lines_of(entries, place)) - shown
        while many > left:
            many -= left
            place += 1
            if place >= len(entries):
                return len(entries) - 1, 1 << 30
            shown, left = 0, len(self._lines_of(entries, place))
        return place, shown + many


def _index(entries: Sequence[ScrollbackEntry], number: int) -> int:
    """Where the entry of that number is, or would be. Numbers grow, but for own lines that are on
    their way, which stand at the end."""
    place = bisect_left(entries, number, key=lambda entry: entry.number)
    if place < len(entries) and entries[place].number == number:
        return place
    numbers = (place for place, entry in enumerate(entries) if entry.number == number)
    return next(numbers, place)


def place_of(entries: Sequence[ScrollbackEntry], number: int | None) -> int:
    """The place behind the entry of that number; None: behind the last one."""
    return len(entries) if number is None else min(_index(entries, number) + 1, len(entries))
