"""How many columns text takes on a terminal, and what belongs to one character on it.

From tables that are committed (``width_table``), so that nothing depends on the machine or on
the Python that it runs. East Asian wide and fullwidth characters take two columns, marks and
other zero-width characters none, spacing marks one, all others one; a variation selector 16, a
joiner or a flag's second letter makes one picture of two columns.

A *cluster* is what a person takes for one character: a cursor never stands inside it. The rules
are those of UAX #29 as far as chat meets them (marks, joiners, flags, Hangul, keycaps).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache

from client.console import width_table

_JOINER = "\u200d"
_EMOJI_STYLE = "\ufe0f"
_FIRST_FLAG, _LAST_FLAG = "\U0001f1e6", "\U0001f1ff"
# Vowels and final consonants of Hangul: they are drawn into the syllable before them.
_FIRST_JAMO, _LAST_JAMO = "\u1160", "\u11ff"
_FIRST_LATE_JAMO, _LAST_LATE_JAMO = "\ud7b0", "\ud7ff"


class _Table:
    """A set of code points, from ranges in ascending order."""

    def __init__(self, ranges: tuple[tuple[int, int], ...]) -> None:
        self._firsts = [first for first, _last in ranges]
        self._lasts = [last for _first, last in ranges]

    def __contains__(self, character: str) -> bool:
        point = ord(character)
        place = bisect_right(self._firsts, point) - 1
        return place >= 0 and point <= self._lasts[place]


_WIDE, _ZERO = _Table(width_table.WIDE), _Table(width_table.ZERO)
_SPACING, _EXTEND = _Table(width_table.SPACING), _Table(width_table.EXTEND)
_EMOJI_STYLED = _Table(width_table.EMOJI_STYLED)
_PICTOGRAPHIC = _Table(width_table.PICTOGRAPHIC)


def clusters(text: str) -> Iterator[str]:
    """Cut a text into what a person takes for its characters."""
    start = 0
    for place in range(1, len(text)):
        if not _belongs(text, start, place):
            yield text[start:place]
            start = place
    if text:
        yield text[start:]


def _belongs(text: str, start: int, place: int) -> bool:
    """Whether the character at ``place`` is part of the cluster that begins at ``start``."""
    character = text[place]
    if character < "\u00a9":  # nothing of ASCII goes on with what is before it
        return False
    before = text[place - 1]
    if before == "\n":
        return False
    if before == _JOINER and character in _PICTOGRAPHIC:
        return True
    if _is_flag(character):
        return place - start == 1 and _is_flag(before)
    return _extends(character)


@lru_cache(maxsize=4096)
def _extends(character: str) -> bool:
    if character < "\u0300":
        return False
    return character == _JOINER or character in _EXTEND or _is_late_jamo(character)


def _is_late_jamo(character: str) -> bool:
    return (
        _FIRST_JAMO <= character <= _LAST_JAMO
        or _FIRST_LATE_JAMO <= character <= _LAST_LATE_JAMO
    )


def _is_flag(character: str) -> bool:
    return _FIRST_FLAG <= character <= _LAST_FLAG


@lru_cache(maxsize=8192)
def cluster_width(cluster: str) -> int:
    """Columns of one cluster: 0, 1 or 2."""
    first = cluster[0]
    alone = _character_width(first)
    if len(cluster) == 1:
        return alone
    if _is_flag(first) or (_EMOJI_STYLE in cluster and first in _EMOJI_STYLED):
        return 2
    if any(part in _SPACING for part in cluster[1:]):
        return min(2, alone + 1)
    return max(alone, *(_character_width(part) for part in cluster))


def _character_width(character: str) -> int:
    if "\x20" <= character < "\x7f":
        return 1
    if character < "\xa0":
        return 0
    if character in _ZERO or _is_late_jamo(character):
        return 0
    return 2 if character in _WIDE else 1


def width(text: str) -> int:
    """Columns of a text on one line."""
    if text.isascii() and text.isprintable():
        return len(text)
    return sum(cluster_width(cluster) for cluster in clusters(text))


def cut(text: str, columns: int, mark: str = "…") -> str:
    """The text, or as much of it as fits into so many columns, with ``mark`` at its end."""
    if width(text) <= columns:
        return text
    kept, taken = "", width(mark)
    for cluster in clusters(text):
        taken += cluster_width(cluster)
        if taken > columns:
            break
        kept += cluster
    return kept + mark if columns >= width(mark) else ""


def pad(text: str, columns: int) -> str:
    """The text with spaces behind it up to so many columns; a longer one stays as it is."""
    return text + " " * (columns - width(text))
