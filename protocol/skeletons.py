"""What a text looks like: the skeleton of UTS #39, section 4.

Two texts with one skeleton can be taken for each other. The table (``confusables``) is read when
the first text comes that is not ASCII, since most nicknames are, and a client meets only a few.
"""

from __future__ import annotations

import unicodedata
from functools import cache

# What the table has of ASCII.
ASCII = {"0": "O", "1": "l", "I": "l", "m": "rn"}
_ASCII = str.maketrans(ASCII)


def skeleton(text: str) -> str:
    """What ``text`` is seen as, in NFD; for texts that are made as nicknames are."""
    if text.isascii():
        return text.translate(_ASCII)
    seen = "".join(map(_seen, unicodedata.normalize("NFD", text)))
    return unicodedata.normalize("NFD", seen)


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
