"""Colours: which ones a terminal has, and which one belongs to what.

A colour never says what the words do not say as well. Each nickname has one colour on every
client and in every session, from a hash of its canonical form; the colours were chosen to be
readable on dark and on light backgrounds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from client.output.links import hyperlink
from client.output.wrapping import Span

# Without blue, which is hardly readable on black, and yellow, which is not on white.
_NICK_COLOURS_16 = ("31", "32", "35", "36")
# Middle tones of the 6x6x6 cube: a contrast of at least 3.7 with black and with white.
_NICK_COLOURS_256 = tuple(
    f"38;5;{number}"
    for number in (27, 28, 30, 32, 62, 64, 66, 97, 98, 100, 128, 130, 131, 133, 160, 162, 164, 166)
)
_STYLES = {
    "time": "2", "quiet": "2", "alarm": "1;31", "mention": "1;7", "private": "1;35", "title": "1",
    "hit": "7", "this-hit": "1;4;7",
}  # fmt: skip
_COLOURLESS = {
    "alarm": "1", "mention": "1;7", "private": "1", "title": "1", "hit": "7", "this-hit": "1;4;7",
}  # fmt: skip
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


def painted(span: Span, count: int) -> str:
    """A span with its style, on a terminal of ``count`` colours; of 0, only bold and reverse."""
    text = _styled(span, count)
    return hyperlink(span.link, text) if span.link and span.text else text


def _styled(span: Span, count: int) -> str:
    if not span.style or not span.text:
        return span.text
    if not count:
        style = _COLOURLESS.get(span.style)
    elif span.style.startswith("nick:"):
        style = nick_colour(span.style[len("nick:"):], count)
    else:
        style = _STYLES[span.style]
    return span.text if style is None else f"\x1b[{style}m{span.text}{_END}"
