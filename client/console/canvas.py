"""What a screen shows, and what to write to make it show something else.

Pure. Only lines that changed are written; every piece of one begins with an absolute cursor
move. Sequences are those of ECMA-48 and of xterm (invisible-island.net/xterm/ctlseqs).
"""

from __future__ import annotations

from client.console.colours import painted
from client.console.columns import Line
from client.console.view import Frame

_TITLE_PUSH, _TITLE_POP = "\x1b[22;2t", "\x1b[23;2t"
_ALTERNATE_ON, _ALTERNATE_OFF = "\x1b[?1049h", "\x1b[?1049l"
_WRAP_OFF, _WRAP_ON = "\x1b[?7l", "\x1b[?7h"
_PASTE_ON, _PASTE_OFF = "\x1b[?2004h", "\x1b[?2004l"
_FOCUS_ON, _FOCUS_OFF = "\x1b[?1004h", "\x1b[?1004l"
_CURSOR_ON, _CURSOR_OFF = "\x1b[?25h", "\x1b[?25l"
_EMPTY, _PLAIN = "\x1b[H\x1b[2J", "\x1b[0m"

# A character too many at the end of a line goes nowhere instead of on the next one.
MODES = _ALTERNATE_ON + _WRAP_OFF + _PASTE_ON + _FOCUS_ON + _EMPTY
ENTER = _TITLE_PUSH + MODES
# Emptied first: some terminals have only one screen, or let one look at the other afterwards.
LEAVE = (
    _PLAIN + _EMPTY + _FOCUS_OFF + _PASTE_OFF + _WRAP_ON + _CURSOR_ON + _ALTERNATE_OFF + _TITLE_POP
)


class Canvas:
    """One screen with ``colours`` colours."""

    def __init__(self, colours: int) -> None:
        self._colours = colours
        self._shown: Frame | None = None
        self._title = ""

    def forget(self) -> None:
        """The screen may show anything: the next frame is written whole."""
        self._shown = None

    def change(self, frame: Frame) -> str:
        """What to write so that the screen shows ``frame``; empty if it does."""
        shown, self._shown = self._shown, frame
        whole = shown is None or shown.size != frame.size
        before = [] if shown is None or whole else shown.lines
        text = _EMPTY if whole else ""
        for row, line in enumerate(frame.lines):
            if row >= len(before) or before[row] != line:
                text += self._line(row, line, erased=whole)
        place = f"\x1b[{frame.row + 1};{frame.column + 1}H"
        if text:
            return f"{_CURSOR_OFF}{text}{place}{_CURSOR_ON}"
        same = shown is not None and (shown.row, shown.column) == (frame.row, frame.column)
        return "" if same else place

    def title(self, text: str) -> str:
        """What to write so that the window's title is ``text``, or its own again if empty."""
        if text == self._title:
            return ""
        self._title = text
        # The plain one is for terminals that do not keep titles.
        return f"\x1b]2;{text}\x07" if text else f"\x1b]2;CMD CHAT\x07{_TITLE_POP}{_TITLE_PUSH}"

    def _line(self, row: int, line: Line, erased: bool) -> str:
        text = "" if erased else f"\x1b[{row + 1};1H\x1b[2K"
        for piece in line:
            painted_ = "".join(painted(span, self._colours) for span in piece.spans)
            text += f"\x1b[{row + 1};{piece.column + 1}H{painted_}"
        return text


def alert(text: str, bell: bool, notification: bool) -> str:
    """What to write to call somebody: the bell, and a desktop notification (OSC 9)."""
    return ("\a" if bell else "") + (f"\x1b]9;CMD CHAT: {text}\x1b\\" if notification else "")
