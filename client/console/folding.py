"""Rows of styled text, and how they are cut to a terminal's width.

A terminal would go on in its first column, where only a new line may begin: a message could
then look like somebody else's. So rows are folded here, and go on under their own text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from client.console.widths import cluster_width, clusters, width

INDENT = 6  # columns of "12:01 "


@dataclass(frozen=True)
class Span:
    """A piece of a row. ``style``: empty, ``time``, ``quiet``, ``alarm``, ``mention``, ``title``
    or ``nick:`` and a canonical nickname."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class Row:
    """One line, before it is folded; what does not fit goes on after ``indent`` columns."""

    spans: tuple[Span, ...]
    indent: int = INDENT


_Cell = tuple[str, str]  # a cluster and its style


def fold(row: Row, columns: int | None) -> list[list[Span]]:
    """Cut a row so that nothing is wider than ``columns``, between words where that is possible.

    None: a row is one line, however long.
    """
    if columns is None or sum(width(span.text) for span in row.spans) <= columns:
        return [list(row.spans)]
    cells = [(cluster, span.style) for span in row.spans for cluster in clusters(span.text)]
    indent = row.indent if row.indent * 2 <= columns else min(2, columns // 2)
    lines = list(_fold_cells(cells, columns, indent))
    return [_spans(line, indent if number else 0) for number, line in enumerate(lines)]


def _fold_cells(cells: list[_Cell], columns: int, indent: int) -> Iterator[list[_Cell]]:
    start, room = 0, columns
    while start < len(cells):
        end = _fitting(cells, start, room)
        if end < len(cells):
            end = _word_end(cells, start, end)
        line = cells[start:end]
        yield _without_end_spaces(line) if end < len(cells) else line
        start, room = end, columns - indent


def _fitting(cells: list[_Cell], start: int, room: int) -> int:
    """Where the cells that fit end; at least one does, so that folding comes to an end."""
    taken = 0
    for place in range(start, len(cells)):
        taken += cluster_width(cells[place][0])
        if taken > room:
            return max(place, start + 1)
    return len(cells)


def _word_end(cells: list[_Cell], start: int, end: int) -> int:
    if cells[end][0] == " ":
        return end + 1
    for place in range(end - 1, start + (end - start) // 3, -1):
        if cells[place][0] == " ":
            return place + 1
    return end


def _without_end_spaces(line: list[_Cell]) -> list[_Cell]:
    end = len(line)
    while end > 1 and line[end - 1][0] == " ":
        end -= 1
    return line[:end]


def _spans(line: list[_Cell], indent: int) -> list[Span]:
    spans = [Span(" " * indent)] if indent else []
    start = 0
    for place in range(1, len(line) + 1):
        if place == len(line) or line[place][1] != line[start][1]:
            spans.append(Span("".join(cell[0] for cell in line[start:place]), line[start][1]))
            start = place
    return spans
