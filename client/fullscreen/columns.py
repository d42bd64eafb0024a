"""Entries in columns: time, name, a bar, and the text that goes on under its own column.

Pure. A line is made of pieces, each at a column of its own: the screen moves the cursor there
before it writes one.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from client.output.charset import Charset
from client.output.widths import LEFT_TO_RIGHT, cut, leads_left, width
from client.output.wrapping import Row, Span, wrap

_TIME, _TIME_COLUMNS = 1, 5
_NAME_LEAST = 6
_NAME_MOST = 16
_PLAIN_CUT = "~"  # a nickname may end in three dots
_BAR_COLUMNS = 3  # a space, the bar, a space
_GAP = 2  # between what stands side by side
_TEXT_LEAST = 16  # columns; below that the time goes


# Beside a message's text, on each of its lines: a mark for who sees no colours.
BAR, CALLING_BAR, PRIVATE_BAR = Span("│", "quiet"), Span("»", "mention"), Span("┃", "private")


class Piece(NamedTuple):
    """Text that begins at ``column``, counted from 0."""

    column: int
    spans: tuple[Span, ...]


ScreenLine = tuple[Piece, ...]


class Columns(NamedTuple):
    """Where things stand on a screen of so many ``columns``; ``name`` is the names' width."""

    columns: int
    name: int = _NAME_LEAST

    @property
    def name_at(self) -> int:
        """The first column of the names; 1 where there is no room for the time."""
        timed = _TIME + _TIME_COLUMNS + 1
        return timed if self.columns - timed - self.name - _BAR_COLUMNS >= _TEXT_LEAST else 1

    @property
    def has_time(self) -> bool:
        return self.name_at > 1

    @property
    def bar_at(self) -> int:
        return self.name_at + self.name + 1

    @property
    def text_at(self) -> int:
        return self.bar_at + 2

    @property
    def text(self) -> int:
        """Columns for the text. The last one of the screen stays empty: some terminals go on in
        the next row for a character of two columns in it, whatever they have been told."""
        return max(2, self.columns - self.text_at - 1)

    def widened(self, wanted: int) -> Columns:
        """The same with room for names of that width, as far as there is any."""
        most = max(_NAME_LEAST, min(_NAME_MOST, self.columns // 5))
        return self._replace(name=min(max(_NAME_LEAST, wanted), most))


def entry_lines(
    clock: str, mark: Span, rows: tuple[Row, ...], columns: Columns, charset: Charset,
    bar: Span = BAR,
) -> list[ScreenLine]:  # fmt: skip
    """The lines of one entry; ``clock`` is its time as it is written."""
    name = mark._replace(text=charset.name(mark.text))
    body = [_shown(row, charset) for row in rows]
    fitting = cut(name.text, columns.name, charset.shown("…") if charset.full else _PLAIN_CUT)
    if fitting != name.text:
        # Half a name may look like somebody else's: the whole one stands before the text.
        body[0] = Row((name, Span(": "), *body[0].spans), body[0].indent)
    folded = [line for row in _packed(body, columns.text) for line in wrap(row, columns.text)]
    at = columns.name_at + columns.name - width(fitting)
    head: ScreenLine = (Piece(at, (name._replace(text=fitting),)),)
    if columns.has_time:
        head = (Piece(_TIME, (Span(clock, "time"),)), *head)
    # Names and text from right to left change places on some terminals, where no letter from
    # left to right is between them: a mark is one. Where it takes a column, that one is empty.
    written = [name, *(span for row in body for span in row.spans)]
    apart = charset.full and any(leads_left(span.text) for span in written)
    bar_text = bar.text + LEFT_TO_RIGHT if apart else charset.shown(bar.text)
    bar_piece = Piece(columns.bar_at, (bar._replace(text=bar_text),))
    return [
        (*(head if number == 0 else ()), bar_piece, Piece(columns.text_at, tuple(line)))
        for number, line in enumerate(folded)
    ]


def _packed(rows: list[Row], columns: int) -> Iterator[Row]:
    """The rows, with those that may stand beside one another in as many columns as fit; they are
    read downwards."""
    for beside, group in groupby(rows, lambda row: row.beside):
        several = list(group)
        if not beside:
            yield from several
            continue
        widths = [sum(width(span.text) for span in row.spans) for row in several]
        count = max(1, (columns + _GAP) // (max(widths) + _GAP))
        high = -(-len(several) // count)
        for place in range(high):
            spans: list[Span] = []
            for number in range(place, len(several), high):
                spans += several[number].spans
                if number + high < len(several):
                    spans.append(Span(" " * (max(widths) + _GAP - widths[number])))
            yield Row(tuple(spans), several[0].indent)


def rule(columns: int, charset: Charset, title: str = "", style: str = "quiet") -> ScreenLine:
    """A line across the screen, with a title in its middle."""
    stroke = charset.shown("─")
    if not title:
        return (Piece(0, (Span(stroke * columns, "quiet"),)),)
    text = f" {cut(charset.shown(title), max(1, columns - 6), charset.shown('…'))} "
    left = max(0, (columns - width(text)) // 2 - 1)
    right = left + width(text)
    return (
        Piece(0, (Span(stroke * left, "quiet"),)),
        Piece(left, (Span(text, style),)),
        Piece(right, (Span(stroke * max(0, columns - right), "quiet"),)),
    )


def _shown(row: Row, charset: Charset) -> Row:
    if charset.full:
        return row
    return Row(tuple(span._replace(text=span.shown(charset)) for span in row.spans), row.indent)
