"""How many columns text may take on a terminal, and what belongs to one character on it.

From tables that are committed (``width_table``), so that nothing depends on the machine or on
the Python that it runs. Terminals differ: where one draws a family as one picture of two
columns, another draws its members side by side, and a third the joiners between them as well.
So a width here is the *greatest* that a terminal may take: the sum over the code points, two
columns for each wide one and for each that only some take for wide, one for joiners and for
marks that some give a column, none for other marks, and at least two for what a variation
selector 16 makes a picture. What is folded and cut by it stays in its place everywhere. What
takes less somewhere leaves a gap there, if the cursor is moved behind it: ``is_sure`` tells
where that is not needed. ``docs/TERMINALS.md`` has what real terminals take.

A *cluster* is what a person takes for one character: a cursor never stands inside it. The rules
are those of UAX #29 as far as chat meets them (marks, joiners, flags, Hangul, keycaps), and one
of our own: a cluster has an end (``CLUSTER_MOST``), so that no place is needed without end.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import lru_cache

from client.output import width_table

CLUSTER_MOST = 16  # code points
WIDEST = 18  # columns of a cluster at most
# After so many nothing is joined any more, so that an end comes behind a joiner and not before it;
# the longest emoji sequences of Unicode have ten code points.
_JOINED_MOST = 9
LEFT_TO_RIGHT = "\u200e"  # a mark that is not seen
JOINER = "\u200d"
_EMOJI_STYLE = "\ufe0f"
_FIRST_FLAG, _LAST_FLAG = "\U0001f1e6", "\U0001f1ff"
# Vowels and final consonants of Hangul: they are drawn into the syllable before them.
_FIRST_JAMO, _LAST_JAMO = "\u1160", "\u11ff"
_FIRST_LATE_JAMO, _LAST_LATE_JAMO = "\ud7b0", "\ud7ff"

# What every terminal takes for one column, or for two, and joins to nothing: letters and signs
# of the commonest scripts, all of them older than any terminal's tables. The rest is looked up.
_NARROW = (
    " -~\u00a1-\u00ac\u00ae-\u02ff\u0370-\u0377\u037a-\u037f\u0384-\u038a\u038e-\u03a1"
    "\u03a3-\u0482\u048a-\u0513\u0531-\u0556\u0561-\u0587\u05d0-\u05ea\u0621-\u063a"
    "\u0640-\u064a\u0660-\u066d\u0671-\u06d3\u0905-\u0939\u0e01-\u0e30\u0e32\u0e3f-\u0e46"
    "\u0e4f-\u0e5b\u10d0-\u10f0\u1e00-\u1e9b\u1ea0-\u1ef9\u2010-\u2027\u2030-\u2046"
    "\u20a0-\u20af\u2190-\u21ff\u2200-\u22ff\u2500-\u259f"
)
_DOUBLE = "\u3001-\u3029\u3041-\u3094\u30a0-\u30fe\u4e00-\u9fa5\uac00-\ud7a3\uff01-\uff5e"
_all_sure = re.compile(f"[{_NARROW}{_DOUBLE}]*").fullmatch
_doubles = re.compile(f"[{_DOUBLE}]").findall

_leftwards = re.compile(
    "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\U00010800-\U00010fff\U0001e800-\U0001efff]"
).search


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
_EXTEND, _PICTOGRAPHIC = _Table(width_table.EXTEND), _Table(width_table.PICTOGRAPHIC)
# Two columns on some terminals: circled numbers on squares, and the blocks that emoji come from,
# whatever a table says of those that are not assigned yet.
_MAYBE_WIDE = _Table(((0x3248, 0x324F), (0x1F000, 0x1FAFF), (0x20000, 0x3FFFF)))
# None by the tables, and one on some terminals: what joins, what only a font shows, and
# the signs that stand before a number.
_ODD = _Table(
    (
        (0x600, 0x605), (0x6DD, 0x6DD), (0x890, 0x891), (0x8E2, 0x8E2), (0x200B, 0x200F),
        (0x110BD, 0x110BD), (0x110CD, 0x110CD),
    )
)  # fmt: skip


def is_sure(text: str) -> bool:
    """Whether every terminal gives this text the same columns, as far as is known."""
    return (text.isascii() and text.isprintable()) or _all_sure(text) is not None


def leads_left(text: str) -> bool:
    """Whether something in it is written from right to left."""
    return not text.isascii() and _leftwards(text) is not None


def clusters(text: str) -> Iterator[str]:
    """Cut a text into what a person takes for its characters."""
    return iter(text) if text.isascii() or _all_sure(text) else _cut_up(text)


def _cut_up(text: str) -> Iterator[str]:
    start, columns = 0, 0
    for place in range(1, len(text)):
        columns += _character_width(text[place - 1])
        if (
            place - start >= CLUSTER_MOST
            or columns > WIDEST - 4
            or not _belongs(text, start, place)
        ):
            yield text[start:place]
            start, columns = place, 0
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
    if before == JOINER and (character in _PICTOGRAPHIC or character.isalpha()):
        return place - start < _JOINED_MOST
    if _is_flag(character):
        return place - start == 1 and _is_flag(before)
    return _extends(character)


def cluster_start(text: str, place: int) -> int:
    """A place at or before ``place`` where a cluster begins whatever is before it, mostly a few
    letters away.  From there on the text is cut as it is from its beginning."""
    while 0 < place < len(text):
        character, before = text[place], text[place - 1]
        if character < "\u00a9" or before == "\n":
            break
        if before != JOINER and not _is_flag(character) and not _extends(character):
            break
        place -= 1
    return place


@lru_cache(maxsize=4096)
def _extends(character: str) -> bool:
    if character < "\u0300":
        return False
    return character == JOINER or character in _EXTEND or _is_late_jamo(character)


def alone(cluster: str) -> str:
    """What to write of a cluster that the cursor is moved behind.

    A joiner at its end joins nothing, but makes tmux 3.3 drop or move what is written next. A
    blank is written into which goes what would go into the character before.
    """
    return " " * is_bare(cluster) + cluster.rstrip(JOINER)


def is_bare(cluster: str) -> bool:
    """Whether it begins with what may be drawn into the character before it, and has none. Its
    width counts a blank to be written first: or what it is drawn into is something else."""
    first = cluster[0]
    return _extends(first) or (first in _ODD and first != LEFT_TO_RIGHT)


def _is_late_jamo(character: str) -> bool:
    return (
        _FIRST_JAMO <= character <= _LAST_JAMO
        or _FIRST_LATE_JAMO <= character <= _LAST_LATE_JAMO
    )


def _is_flag(character: str) -> bool:
    return _FIRST_FLAG <= character <= _LAST_FLAG


@lru_cache(maxsize=8192)
def cluster_width(cluster: str) -> int:
    """The most columns that a terminal may take for one cluster."""
    columns = int(is_bare(cluster))
    last = ""
    for character in cluster:
        alone = _character_width(character)
        if character == _EMOJI_STYLE and last and _character_width(last) == 1:
            alone = 1  # the two together are a picture
        columns += alone
        last = character
    return columns


@lru_cache(maxsize=8192)
def _character_width(character: str) -> int:
    """The most columns of a code point by itself."""
    if "\x20" <= character < "\x7f":
        return 1
    if character < "\xa0":
        return 0
    if character in _ODD:
        return 1
    if _is_late_jamo(character) or character in _MAYBE_WIDE or character in _WIDE:
        return 2
    # Marks outside the first plane are newer than the tables of some terminals.
    return 0 if character in _ZERO and character < "\U00010000" else 1


def width(text: str) -> int:
    """The most columns that a terminal may take for a text on one line."""
    if text.isascii() and text.isprintable():
        return len(text)
    if _all_sure(text):
        return len(text) + len(_doubles(text))
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


def fill(pieces: Iterable[str], columns: int, begun: str = "") -> Iterator[str]:
    """Clusters in rows of at most so many columns, one wider than that in a row of its own; the
    first row goes on behind what it has ``begun`` with."""
    row, taken = begun, width(begun)
    for piece in pieces:
        columns_of = cluster_width(piece)
        if taken + columns_of > columns and row:
            yield row
            row, taken = "", 0
        row += piece
        taken += columns_of
    yield row


def pad(text: str, columns: int) -> str:
    """The text with spaces behind it up to so many columns; a longer one stays as it is."""
    return text + " " * (columns - width(text))
