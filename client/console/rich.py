"""The rich renderer: the words of the minimal one, in colours.

A colour never says what the words do not say as well. Each nickname has one colour on every
client and in every session, from a hash of its canonical form; the colours were chosen to be
readable on dark and on light backgrounds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime

from client.console.folding import Span, fold
from client.console.layout import Layout
from client.events import Event

_NICK_COLOURS_16 = ("31", "32", "34", "35", "36")
# Middle tones of the 6x6x6 cube: enough contrast with black and with white.
_NICK_COLOURS_256 = tuple(
    f"38;5;{number}"
    for number in (26, 30, 32, 62, 64, 66, 92, 94, 97, 98, 124, 127, 130, 131, 133, 160, 162, 166)
)
_STYLES = {"time": "2", "quiet": "2", "alarm": "1;31", "mention": "1;7", "title": "1"}
_END = "\x1b[0m"


def colours(environ: Mapping[str, str]) -> int:
    """How many colours the terminal has: 0, 16 or 256. ``NO_COLOR`` (no-color.org) is obeyed."""
    term = environ.get("TERM", "")
    if environ.get("NO_COLOR") or term == "dumb":
        return 0
    if "256color" in term or environ.get("COLORTERM"):
        return 256
    return 16


def nick_colour(key: str, count: int) -> str:
    """The SGR parameters (ECMA-48 8.3.117) for a canonical nickname."""
    palette = _NICK_COLOURS_256 if count >= 256 else _NICK_COLOURS_16
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return palette[int.from_bytes(digest[:4], "big") % len(palette)]


class Rich:
    """Renders with ``count`` colours (0: none). ``bell``: ring when one's person is called."""

    def __init__(self, count: int = 16, bell: bool = True) -> None:
        self._layout = Layout()
        self._count = count
        self._bell = bell

    def lines(self, event: Event, when: datetime, columns: int | None) -> list[str]:
        return [
            "".join(map(self._paint, line)).rstrip()
            for row in self._layout.rows(event, when)
            for line in fold(row, columns)
        ]

    def _paint(self, span: Span) -> str:
        if not self._count or not span.style or not span.text:
            return span.text
        if span.style.startswith("nick:"):
            colour = nick_colour(span.style[len("nick:"):], self._count)
            return f"\x1b[{colour}m{span.text}{_END}"
        return f"\x1b[{_STYLES[span.style]}m{span.text}{_END}"

    def prompt(self) -> str:
        return self._layout.prompt()

    def rings(self, event: Event) -> bool:
        return self._bell and self._layout.mentions(event)
