"""Rows of styled text, and how they are cut to a terminal's width.

A terminal would go on in its first column, where only a new line may begin: a message could
then look like somebody else's. So rows are folded here, by the most columns that any terminal
may take for them, and go on under their own text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from client.output.charset import Charset
from client.output.widths import cluster_width, clusters, width

INDENT = 6  # columns of "12:01 "


class Span(NamedTuple):
    """A piece of a row. ``style``: empty, ``time``, ``quiet``, ``alarm``, ``mention``, ``private``,
    ``title``, ``hit``, ``this-hit`` or ``nick:`` and a canonical nickname. ``link``: the address of
    which it is a part. ``names``: it names people or rooms, which have to be told apart on every
    terminal."""

    text: str
    style: str = ""
    link: str = ""
    names: bool = False

    def shown(self, charset: Charset) -> str:
        """Its text as a terminal with this ``charset`` shows it."""
        names = self.names or self.style.startswith("nick:")
        return charset.name(self.text) if names else charset.shown(self.text)


class Row(NamedTuple):
    """One line, before it is folded; what does not fit goes on after ``indent`` columns.
    ``begins``: it is a line of the program's, not one more of a text from elsewhere. ``beside``:
    it may stand beside the next one where columns allow that."""

    spans: tuple[Span, ...]
    indent: int = INDENT
    begins: bool = True
    beside: bool = False


def wrap(row: Row, columns: int | None) -> list[list[Span]]:
    """Cut a row so that nothing is wider than ``columns``, between words where that is possible.

    What has no room even on a row of its own is shown as ``…``. None: a row is one line,
    however long.
    """
    if columns is None or sum(width(span.text) for span in row.spans) <= columns:
        return [list(row.spans)]
    indent = row.indent if row.indent * 2 <= columns else min(2, columns // 2)
    cells = _Clusters(row, max(1, columns - indent))
    lines = [cells.spans(start, end) for start, end in cells.wrap(columns, indent)]
    margin = [Span(" " * indent)] if indent else []
    return [line if number == 0 else margin + line for number, line in enumerate(lines)]


def _is_plain(row: Row) -> bool:
    """Whether each character is a cell of its own, as of most."""
    return all(span.text.isascii() for span in row.spans)


class _Clusters:
    """A row's clusters, none wider than ``most``."""

    def __init__(self, row: Row, most: int) -> None:
        self._looks = row.spans
        if _is_plain(row):
            self._texts: Any = "".join(span.text for span in row.spans)
            self._begins = [*accumulate((len(span.text) for span in row.spans), initial=0)]
            self._ends: Sequence[int] = range(len(self._texts) + 1)
            return
        self._texts = []
        self._begins = []  # of each span the first cell, and the one behind all
        for span in row.spans:
            self._begins.append(len(self._texts))
            self._texts += clusters(span.text)
        self._begins.append(len(self._texts))
        widths = list(map(cluster_width, self._texts))
        for place, columns in enumerate(widths):
            if columns > most:
                self._texts[place], widths[place] = "…", 1
        # Columns before each cell, and behind the last one.
        self._ends = list(accumulate(widths, initial=0))

    def wrap(self, columns: int, indent: int) -> Iterator[tuple[int, int]]:
        """The first cell of each line, and the one behind its last."""
        start, room = 0, columns
        while start < len(self._texts):
            end = max(start + 1, bisect_right(self._ends, self._ends[start] + room) - 1)
            if end < len(self._texts):
                end = self._word_end(start, end)
                yield start, self._last_word(start, end)
            else:
                yield start, end
            start, room = end, columns - indent

    def _word_end(self, start: int, end: int) -> int:
        if self._texts[end] == " ":
            return end + 1
        for place in range(end - 1, start + (end - start) // 3, -1):
            if self._texts[place] == " ":
                return place + 1
        return end

    def _last_word(self, start: int, end: int) -> int:
        """Where a line ends without the blanks at its end."""
        while end > start + 1 and self._texts[end - 1] == " ":
            end -= 1
        return end

    def spans(self, start: int, end: int) -> list[Span]:
        """What is between two cells, each piece as it looked."""
        found, number = [], bisect_right(self._begins, start) - 1
        while self._begins[number] < end:
            first, last = max(self._begins[number], start), min(self._begins[number + 1], end)
            if first < last:
                found.append(self._looks[number]._replace(text="".join(self._texts[first:last])))
            number += 1
        return found
