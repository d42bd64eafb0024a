"""The line being typed, at the foot of the full-screen view.

Pure. It takes as many rows as it needs, up to a third of the screen; of a longer one the part
around the cursor is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from client.fullscreen.columns import Piece, ScreenLine
from client.input.editor import LineView
from client.output.charset import Charset
from client.output.widths import cluster_start, cluster_width, clusters, cut, fill, width
from client.output.wrapping import Row, Span, wrap
from protocol.dataclass import dataclass
from protocol.safe_text import visible

_MOST_ROWS = 8
_CHUNK = 2048  # characters of one line, after which a row begins: not all before it is folded


@dataclass(frozen=True)
class Prompt:
    """Rows of the typed line; the cursor stands in ``row`` of these, at ``column``. ``free`` is
    the first column of the first row that nothing stands in."""

    lines: list[ScreenLine]
    row: int
    column: int
    free: int


def prompt(name: str, view: LineView, columns: int, rows: int, charset: Charset) -> Prompt:
    """The typed line on a screen of ``columns`` x ``rows``; ``name``: of the view it is for."""
    if view.question:
        asked = Row((Span(charset.shown(view.question), "alarm"),), indent=0)
        folded = wrap(asked, columns - 2)[: _most(rows)]
        ends = [min(columns - 1, sum(width(span.text) for span in row) + 2) for row in folded]
        question: list[ScreenLine] = [(Piece(1, tuple(row)),) for row in folded]
        return Prompt(question, len(question) - 1, ends[-1], ends[0])
    most_name = max(4, columns // 3)
    before = cut(charset.name(view.prompt or name), most_name, charset.shown("…")) + "> "
    start = 1 + width(before)
    room_for = max(2, columns - start - 1)
    most = _most(rows)
    begin = _begin(view.text, view.cursor, most * room_for)
    *above, row = _rows(view.text, begin, view.cursor, room_for, charset)
    if width(row) >= room_for:
        above, row = [*above, row], ""
    cursor, column = len(above), width(row)
    below = _rows(view.text, view.cursor, len(view.text), room_for, charset, row)
    shown = [*above, *islice(below, most + 1)]
    first = max(0, min(cursor - most // 2, len(shown) - most))
    lines: list[ScreenLine] = []
    for number, text in enumerate(shown[first : first + most]):
        line: ScreenLine = (Piece(start, (Span(text),)),)
        lines.append((Piece(1, (Span(before, "title"),)), *line) if number == 0 else line)
    free = start + width(shown[first])
    return Prompt(lines, cursor - first, start + column, free)


def _most(rows: int) -> int:
    """How many rows of a screen it may take."""
    return max(1, min(_MOST_ROWS, rows // 3))


def _begin(text: str, cursor: int, characters: int) -> int:
    """Where a row begins that is at least so many characters before the cursor, if there are."""
    place = max(0, cursor - characters)
    line = text.rfind("\n", 0, place) + 1
    return max(line, _cut(text, line, (place - line) // _CHUNK))


def _cut(text: str, line: int, number: int) -> int:
    """Where in the line that begins at ``line`` a row begins, for the ``number``-th time."""
    return cluster_start(text, line + number * _CHUNK) if number else line


def _parts(text: str, start: int, end: int) -> Iterator[str]:
    """The text from ``start`` to ``end``, cut wherever a row has to begin."""
    line = text.rfind("\n", 0, start) + 1
    while True:
        stop = text.find("\n", start, end)
        stop = end if stop < 0 else stop
        number = (start - line) // _CHUNK + 1
        while (cut := _cut(text, line, number)) < stop:
            if cut > start:
                yield text[start:cut]
                start = cut
            number += 1
        yield text[start:stop]
        if stop == end:
            return
        start = line = stop + 1


def _rows(
    text: str, start: int, end: int, columns: int, charset: Charset, begun: str = ""
) -> Iterator[str]:
    """A part of the typed line as it is shown, the first row behind what it has begun with."""
    for part in _parts(text, start, end):
        # One character may be shown as several, such as <U+202E>.
        pieces = (
            piece if cluster_width(piece) <= columns else charset.shown("…")
            for cluster in clusters(part)
            for piece in clusters(charset.shown(visible(cluster)))
        )
        yield from fill(pieces, columns, begun)
        begun = ""
