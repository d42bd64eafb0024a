"""How many columns text takes on a terminal, and what belongs to one character on it.

The widths are those of ``unicodedata``: East Asian wide and fullwidth characters take two
columns, marks and other zero-width characters none, all others one. What an emoji sequence
needs is added by hand: a variation selector 16, a skin tone, a joiner or a flag's second letter
makes one picture of two columns. ``unicodedata`` is as old as the Python that it came with, so
characters newer than it may be measured wrongly; nothing here depends on the machine otherwise.

A *cluster* is what a person takes for one character: a cursor never stands inside it. The rules
are those of UAX #29 as far as chat meets them (marks, joiners, flags, Hangul, keycaps).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import lru_cache

_JOINER = "\u200d"
_EMOJI_STYLE = "\ufe0f"
_FIRST_FLAG, _LAST_FLAG = "\U0001f1e6", "\U0001f1ff"
_FIRST_TONE, _LAST_TONE = "\U0001f3fb", "\U0001f3ff"
_FIRST_TAG, _LAST_TAG = "\U000e0020", "\U000e007f"
# Vowels and final consonants of Hangul: they are drawn into the syllable before them.
_FIRST_JAMO, _LAST_JAMO = "\u1160", "\u11ff"


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
    character, before = text[place], text[place - 1]
    if before == "\n" or character == "\n":
        return False
    if before == _JOINER and _is_pictured(character):
        return True
    if _is_flag(character):
        return place - start == 1 and _is_flag(before)
    return _extends(character)


@lru_cache(maxsize=4096)
def _extends(character: str) -> bool:
    if character < "\u0300":
        return False
    return (
        character == _JOINER
        or unicodedata.category(character) in ("Mn", "Me", "Mc")
        or _FIRST_TONE <= character <= _LAST_TONE
        or _FIRST_TAG <= character <= _LAST_TAG
        or _FIRST_JAMO <= character <= _LAST_JAMO
    )


def _is_flag(character: str) -> bool:
    return _FIRST_FLAG <= character <= _LAST_FLAG


def _is_pictured(character: str) -> bool:
    return character >= "\u2190" and unicodedata.category(character) in ("So", "Sm", "Sk", "Cn")


@lru_cache(maxsize=8192)
def cluster_width(cluster: str) -> int:
    """Columns of one cluster: 0, 1 or 2."""
    first = cluster[0]
    if len(cluster) > 1 and (_EMOJI_STYLE in cluster or _JOINER in cluster[1:-1]):
        return max(2, _character_width(first)) if _may_be_emoji(first) else _character_width(first)
    if len(cluster) > 1 and _is_flag(first):
        return 2
    return max(_character_width(first), *(_character_width(part) for part in cluster))


def _may_be_emoji(character: str) -> bool:
    # Keycaps begin with a digit, # or *; everything else that has an emoji form is a symbol.
    return character in "0123456789#*\u00a9\u00ae" or character >= "\u203c"


def _character_width(character: str) -> int:
    if "\x20" <= character < "\x7f":
        return 1
    category = unicodedata.category(character)
    if category in ("Mn", "Me", "Cc", "Zl", "Zp") or _FIRST_JAMO <= character <= _LAST_JAMO:
        return 0
    if category == "Cf" and character != "\u00ad":  # a soft hyphen is drawn
        return 0
    if category == "Cn" and "\U0001f300" <= character <= "\U0001faff":
        return 2  # an emoji that is newer than this Python
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def width(text: str) -> int:
    """Columns of a text on one line."""
    if text.isascii() and text.isprintable():
        return len(text)
    return sum(cluster_width(cluster) for cluster in clusters(text))


def pad(text: str, columns: int) -> str:
    """The text with spaces behind it up to so many columns; a longer one stays as it is."""
    return text + " " * (columns - width(text))
