"""The line being typed, at the foot of the full-screen view.

Pure. It takes as many rows as it needs, up to a third of the screen; of a longer one the part
around the cursor is shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from client.fullscreen.columns import Piece, ScreenLine
from client.input.editor import LineView
from client.output.charset import Charset
from client.output.widths import cluster_width, clusters, cut, width
from client.output.wrapping import Span
from protocol.safe_text import visible

_MOST_ROWS = 8


@dataclass(frozen=True)
class Prompt:
    """Rows of the typed line; the cursor stands in ``row`` of these, at ``column``. ``free`` is
    the first column of the first row that nothing stands in."""

    lines: list[ScreenLine]
    row: int
    column: int
    free: int


def prompt(room: str, view: LineView, columns: int, rows: int, charset: Charset) -> Prompt:
    """The typed line on a screen of ``columns`` x ``rows``."""
    if view.question:
        text = cut(charset.shown(view.question), columns - 2, charset.shown("…"))
        end = min(columns - 1, width(text) + 2)
        return Prompt([(Piece(1, (Span(text, "alarm"),)),)], 0, end, end)
    most_name = max(4, columns // 3)
    before = cut(charset.name(view.prompt or room), most_name, charset.shown("…")) + "> "
    start = 1 + width(before)
    cells = _Cells(max(2, columns - start - 1))
    place = 0
    for cluster in clusters(view.text):
        if place == view.cursor:
            cells.mark()
        place += len(cluster)
        cells.add(cluster, charset)
    if place == view.cursor:
        cells.mark()
    most = max(1, min(_MOST_ROWS, rows // 3))
    first = max(0, min(cells.row - most // 2, len(cells.rows) - most))
    lines: list[ScreenLine] = []
    for number, text in enumerate(cells.rows[first : first + most]):
        line: ScreenLine = (Piece(start, (Span(text),)),)
        lines.append((Piece(1, (Span(before, "title"),)), *line) if number == 0 else line)
    free = start + width(cells.rows[first])
    return Prompt(lines, cells.row - first, start + cells.column, free)


class _Cells:
    """The typed line cut into rows of ``columns``, and where its cursor is."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._taken = 0
        self.rows = [""]
        self.row = self.column = 0

    def mark(self) -> None:
        """The cursor stands before what is added next."""
        if self._taken >= self._columns:
            self._break()
        self.row, self.column = len(self.rows) - 1, self._taken

    def add(self, cluster: str, charset: Charset) -> None:
        if cluster == "\n":
            self._break()
            return
        # One character may be shown as several, such as <U+202E>.
        for piece in clusters(charset.shown(visible(cluster))):
            if cluster_width(piece) > self._columns:
                piece = charset.shown("…")
            if self._taken + cluster_width(piece) > self._columns:
                self._break()
            self.rows[-1] += piece
            self._taken += cluster_width(piece)

    def _break(self) -> None:
        self.rows.append("")
        self._taken = 0
