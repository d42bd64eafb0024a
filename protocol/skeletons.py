"""What a text looks like: the skeleton of UTS #39, section 4, with and without marks.

Two texts with one skeleton can be taken for each other. The table (``confusables``) is read when
the first text comes that is not ASCII, since most nicknames are, and a client meets only a few.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import cache

from protocol.scripts import scripts_of

# What the table has of ASCII.
ASCII = {"0": "O", "1": "l", "I": "l", "m": "rn"}
_ASCII = str.maketrans(ASCII)


def skeleton(text: str) -> str:
    """What ``text`` is seen as, in NFD; for texts that are made as nicknames are."""
    if text.isascii():
        return text.translate(_ASCII)
    seen = "".join(map(_seen, unicodedata.normalize("NFD", text)))
    return unicodedata.normalize("NFD", seen)


# In these a letter is read as the same with a mark and without one; elsewhere a mark makes
# another letter or vowel of it.
_BARE = frozenset({"Latn", "Grek", "Cyrl"})


def unmarked_skeleton(text: str) -> str:
    """The same without the marks on Latin, Greek and Cyrillic letters and on ASCII digits."""
    if text.isascii():
        return text.translate(_ASCII)
    return unicodedata.normalize("NFD", "".join(_unmarked(unicodedata.normalize("NFD", text))))


def _unmarked(text: str) -> Iterator[str]:
    bare = False  # whether the letter before loses its marks
    for char in text:
        if _is_mark(char):
            if not bare:
                yield _seen(char)
            continue
        bare, seen = char.isascii() or not _BARE.isdisjoint(scripts_of(char)), _seen(char)
        # Its prototype may have some, too: a stroke through it is one.
        yield "".join(each for each in seen if not _is_mark(each)) if bare else seen


def _is_mark(char: str) -> bool:
    return unicodedata.category(char)[0] == "M"


def _seen(char: str) -> str:
    found = _table().get(char)
    if found is not None:
        return found
    compatible = unicodedata.normalize("NFKD", char)
    return char if compatible == char else "".join(map(_seen, compatible))


@cache
def _table() -> dict[str, str]:
    from protocol.confusables import LOOK_LIKE

    groups = (line.split("\t") for line in LOOK_LIKE.splitlines())
    return {char: seen for seen, chars in groups for char in chars}
