"""The line being typed, on the screen: what to write so that it stays whole.

Pure: each method returns the text to write. Before other output the line is erased, and
afterwards painted again. Where the output is no terminal there is no such line (``NoLine``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from client.console.lines import LineView
from client.console.sign import Sign
from client.console.widths import clusters, is_sure, width
from protocol.names import visible

_PASTE_ON, _PASTE_OFF = "\x1b[?2004h", "\x1b[?2004l"
WIPE = "\x1b[H\x1b[2J\x1b[3J"  # what is seen, and what has scrolled away


@dataclass(frozen=True)
class Size:
    """A terminal's size in characters."""

    columns: int
    rows: int


class TypedLine(Protocol):
    """How a kind of output keeps the typed line."""

    def begin(self) -> str:
        """What to write first."""

    def finish(self) -> str:
        """What to write last; leaves the cursor at the beginning of an empty line."""

    def erase(self, size: Size) -> str:
        """Make way for other lines."""

    def paint(self, prompt: str, view: LineView, size: Size) -> str:
        """Show the line after other lines, or for the first time."""

    def change(self, prompt: str, view: LineView, size: Size) -> str:
        """Show the line again because it is another one."""

    def wipe(self) -> str:
        """Empty the screen, as far as that is possible."""


class NoLine:
    """A pipe or a file: nothing is typed there."""

    def begin(self) -> str:
        return ""

    def finish(self) -> str:
        return ""

    def erase(self, size: Size) -> str:
        return ""

    def paint(self, prompt: str, view: LineView, size: Size) -> str:
        return ""

    def change(self, prompt: str, view: LineView, size: Size) -> str:
        return ""

    def wipe(self) -> str:
        return ""


@dataclass(frozen=True)
class _Picture:
    """A typed line cut into rows, and where its cursor is."""

    rows: list[str]
    row: int
    before: str  # what stands before it on its row


class AnsiLine:
    """A terminal that knows ECMA-48: the line is erased, and painted below what was written."""

    def __init__(self, sign: Sign | None = None) -> None:
        self._sign = sign or Sign()
        self._painted: _Picture | None = None

    def begin(self) -> str:
        return _PASTE_ON

    def finish(self) -> str:
        return _PASTE_OFF

    def erase(self, size: Size) -> str:
        painted, self._painted = self._painted, None
        if painted is None:
            return ""
        up = _rows_above(painted, size.columns)
        return "\r" + (f"\x1b[{up}A" if up else "") + "\x1b[J"

    def paint(self, prompt: str, view: LineView, size: Size) -> str:
        prompt, view = _asked(prompt, view)
        picture = _windowed(
            _picture(prompt, view, size.columns - 1, self._sign), max(1, size.rows - 1)
        )
        self._painted = picture
        text = "\n".join(picture.rows)
        up = len(picture.rows) - 1 - picture.row
        if up == 0 and picture.before == picture.rows[-1]:
            return text
        return text + (f"\x1b[{up}A" if up else "") + "\r" + _past(picture.before)

    def change(self, prompt: str, view: LineView, size: Size) -> str:
        return self.erase(size) + self.paint(prompt, view, size)

    def wipe(self) -> str:
        return WIPE


def _past(text: str) -> str:
    """What moves the cursor over a text from where it begins. Only the terminal knows how wide
    what it disagrees about has become, so that is written again."""
    if not is_sure(text):
        return text
    return f"\x1b[{width(text)}C" if text else ""


def _asked(prompt: str, view: LineView) -> tuple[str, LineView]:
    """A question takes the place of prompt and line."""
    if not view.question:
        return prompt, view
    return f"{view.question} ", LineView(entered=view.entered)


def _rows_above(painted: _Picture, columns: int) -> int:
    """How many rows the cursor is below the first one; rows that were painted on a wider
    terminal have since been folded by it."""
    above = sum(max(1, -(-width(row) // columns)) for row in painted.rows[: painted.row])
    return above + width(painted.before) // columns


def _picture(prompt: str, view: LineView, columns: int, sign: Sign) -> _Picture:
    """Cut prompt and line into rows of at most so many columns. The last column of a terminal
    stays free: on some the cursor would already be on the next row."""
    columns = max(columns, 2)
    rows, taken, place = [""], 0, -len(prompt)
    cursor = (0, "")
    for cluster in (*clusters(prompt), *clusters(view.text)):
        if place == view.cursor:
            cursor = (len(rows) - 1, rows[-1])
        place += len(cluster)
        if cluster == "\n":
            rows.append("")
            taken = 0
            continue
        # One character may be shown as several, such as <U+202E>.
        for piece in clusters(sign.shown(visible(cluster), rows[-1])):
            if taken + width(piece) > columns:
                rows.append("")
                taken = 0
            rows[-1] += piece
            taken += width(piece)
    if place == view.cursor:
        cursor = (len(rows) - 1, rows[-1])
    return _Picture(rows, *cursor)


def _windowed(picture: _Picture, rows: int) -> _Picture:
    """Of a line that is higher than the screen, the part around the cursor."""
    first = max(0, min(picture.row - rows // 2, len(picture.rows) - rows))
    return _Picture(picture.rows[first: first + rows], picture.row - first, picture.before)


class DumbLine:
    """A terminal that can only go on, and one step back: what is typed is echoed. Other output
    begins on a new line, after which the typed line is written anew."""

    def __init__(self, sign: Sign | None = None) -> None:
        self._sign = sign or Sign()
        self._painted: str | None = None

    def begin(self) -> str:
        return ""

    def finish(self) -> str:
        return "" if self._painted is None else "\n"

    def erase(self, size: Size) -> str:
        if self._painted is None:
            return ""
        self._painted = None
        return "\n"

    def paint(self, prompt: str, view: LineView, size: Size) -> str:
        prompt, view = _asked(prompt, view)
        self._painted = prompt + self._echo(view.text)
        return self._painted

    def change(self, prompt: str, view: LineView, size: Size) -> str:
        prompt, view = _asked(prompt, view)
        old, new = self._painted, prompt + self._echo(view.text)
        if old is None or view.entered:
            return self.erase(size) + self.paint(prompt, view, size)
        self._painted = new
        if new.startswith(old):
            return new[len(old):]
        if old.startswith(new) and is_sure(old[len(new):]):
            return "\b \b" * width(old[len(new):])
        return "\n" + new

    def wipe(self) -> str:
        return ""

    def _echo(self, text: str) -> str:
        return self._sign.shown(visible(text).replace("\n", "␊"))
