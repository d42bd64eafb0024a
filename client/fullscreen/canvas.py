"""What a screen shows, and what to write to make it show something else.

Pure. Only what has changed is written (``cells``). Nothing leaves its place, whatever the
terminal takes for how wide: every piece of a line begins with an absolute cursor move, so does
what follows a character that terminals disagree about, and what would not fit at its widest is
not written.
Sequences are those of ECMA-48 and of xterm (invisible-island.net/xterm/ctlseqs).
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from client.fullscreen.columns import Piece, ScreenLine
from client.fullscreen.diff import differences, moved_up
from client.fullscreen.view import ScreenFrame
from client.input import modes
from client.output.clearing import emptied, erased
from client.output.colours import painted
from client.output.widths import JOINER, alone, cluster_width, clusters, is_sure, width

_TITLE_PUSH, _TITLE_POP = "\x1b[22;2t", "\x1b[23;2t"
_ALTERNATE_ON, _ALTERNATE_OFF = "\x1b[?1049h", "\x1b[?1049l"
_WRAP_OFF, _WRAP_ON = "\x1b[?7l", "\x1b[?7h"
_FOCUS_ON, _FOCUS_OFF = "\x1b[?1004h", "\x1b[?1004l"
_CURSOR_ON, _CURSOR_OFF = "\x1b[?25h", "\x1b[?25l"
_CURSOR_SAVE, _CURSOR_BACK = "\x1b7", "\x1b8"  # not every second screen brings it back itself

# A character too many at the end of a line goes nowhere instead of on the next one.
MODES = (
    _ALTERNATE_ON + _WRAP_OFF + modes.PASTE_ON + modes.ALT_ON + modes.KEYPAD_PLAIN
    + modes.WHEEL_OFF + modes.MOUSE_SILENT + _FOCUS_ON
)
ENTER = _TITLE_PUSH + modes.ALT_ASK + modes.WHEEL_ASK + _CURSOR_SAVE + MODES


def left(answers: Set[str] = frozenset()) -> str:
    """What to write last; ``answers`` are what the terminal has said of its modes (``modes``)."""
    return (
        modes.alt_back(answers) + modes.wheel_back(answers) + modes.KEYPAD_PLAIN + _FOCUS_OFF
        + modes.PASTE_OFF + _WRAP_ON + _CURSOR_ON + _ALTERNATE_OFF + _CURSOR_BACK + _TITLE_POP
    )  # fmt: skip


LEAVE = left()
FRAMED = _WRAP_OFF  # what undoes ``bare``, before everything is drawn again


def bare(lines: Sequence[str], foot: str, rows: int) -> str:
    """What to write to show lines that the terminal folds, and ``foot`` on the last of ``rows``."""
    text = "\r\n".join(lines)
    return f"{_CURSOR_OFF}{emptied(rows)}{_WRAP_ON}{text}{_move(rows - 1, 0)}{foot}"


class Canvas:
    """One screen with ``colours`` colours. ``joins``: not in GNU screen, which counts what is
    joined one by one, and moves on from there in a terminal that has joined it."""

    def __init__(self, colours: int, joins: bool = True) -> None:
        self._colours, self._joins = colours, joins
        self._shown: ScreenFrame | None = None
        self._title = ""
        self._titled = False  # a title was written, at any time

    def leave(self, rows: int, answers: Set[str] = frozenset()) -> str:
        """What to write at the end, on a screen of so many rows. It is emptied first, and so is
        the title: some terminals have no second screen, some do not keep titles. ``answers``: as
        in ``left``."""
        self.forget()
        untitled, self._titled, self._title = _title("") if self._titled else "", False, ""
        return emptied(rows) + untitled + left(answers)

    def forget(self) -> None:
        """The screen may show anything: the next frame is written whole."""
        self._shown = None

    def change(self, frame: ScreenFrame) -> str:
        """What to write so that the screen shows ``frame``; empty if it does."""
        shown, self._shown = self._shown, frame
        if shown is None or shown.size != frame.size:
            text = "".join(self._line(row, line, frame) for row, line in enumerate(frame.lines))
        else:
            text, before = _shifted(shown, frame)
            for row, line in enumerate(frame.lines):
                if before[row] != line:
                    text += self._difference(row, before[row], line, frame)
        place = _move(frame.row, frame.column)
        if not self._joins:
            text = text.replace(JOINER, "")
        if text:
            return f"{_CURSOR_OFF}{text}{place}{_CURSOR_ON}"
        same = shown is not None and (shown.row, shown.column) == (frame.row, frame.column)
        return "" if same else place

    def title(self, text: str) -> str:
        """What to write so that the window's title is ``text``, or its own again if empty."""
        if text == self._title:
            return ""
        self._title, self._titled = text, True
        # The plain one is for terminals that do not keep titles.
        return _title(text) if text else f"{_title('CMD CHAT')}{_TITLE_POP}{_TITLE_PUSH}"

    def _line(self, row: int, line: ScreenLine, frame: ScreenFrame) -> str:
        pieces = (self._piece(row, piece, frame.size.columns) for piece in line)
        return erased(row) + "".join(pieces)

    def _difference(self, row: int, old: ScreenLine, new: ScreenLine, frame: ScreenFrame) -> str:
        runs = differences(old, new, frame.size.columns)
        if runs is None:
            return self._line(row, new, frame)
        return "".join(
            _move(row, run.column)
            + ("\x1b[K" if run.clears else "".join(painted(s, self._colours) for s in run.spans))
            for run in runs
        )

    def _piece(self, row: int, piece: Piece, columns: int) -> str:
        text, column, moved = "", piece.column, False
        for span in piece.spans:
            columns_of = width(span.text)
            if is_sure(span.text) and column + columns_of <= columns:
                text += ("" if moved else _move(row, column)) + painted(span, self._colours)
                column += columns_of
                moved = True
                continue
            placed, column = _placed(span.text, row, column, columns)
            text += painted(span._replace(text=placed), self._colours)
            moved = False
        return text


def _shifted(shown: ScreenFrame, frame: ScreenFrame) -> tuple[str, list[ScreenLine]]:
    """What to write so that rows that have only gone up do so by themselves, and what the screen
    shows then."""
    foot, lines = frame.foot, list(shown.lines)
    if shown.foot != foot or len(lines) != len(frame.lines):
        return "", lines
    step, first = moved_up(lines[:foot], frame.lines[:foot])
    if not step:
        return "", lines
    # Taken out at the top and put in above the foot: a scrolling region would be remembered.
    text = f"{_move(first, 0)}\x1b[{step}M{_move(foot - step, 0)}\x1b[{step}L"
    return text, [*lines[:first], *lines[first + step : foot], *[()] * step, *lines[foot:]]


def _title(text: str) -> str:
    return f"\x1b]2;{text}\x07"


def _move(row: int, column: int) -> str:
    return f"\x1b[{row + 1};{column + 1}H"


def _placed(text: str, row: int, column: int, columns: int) -> tuple[str, int]:
    """A text with a cursor move wherever the one before it does not lead to its place, as far as
    it fits; and the column behind it."""
    placed, moved = "", False
    for cluster in clusters(text):
        behind = column + cluster_width(cluster)
        if behind > columns:
            return placed, columns
        placed += ("" if moved else _move(row, column)) + alone(cluster)
        column, moved = behind, is_sure(cluster)
    return placed, column


def alert(text: str, bell: bool, notification: bool) -> str:
    """What to write to call somebody: the bell, and a desktop notification (OSC 9)."""
    return ("\a" if bell else "") + (f"\x1b]9;CMD CHAT: {text}\x1b\\" if notification else "")
