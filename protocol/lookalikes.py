"""What a text looks like, and whether its letters may stand together (UTS #39).

Two texts with one skeleton (section 4), with or without marks, can be taken for each other.  The
scripts in one name are "highly restrictive" (section 5.2): one, or Latin with those that Japanese,
Chinese or Korean are written in.  The two tables (``confusable_table``, ``script_table``) are read
when the first text comes that is not ASCII, since most nicknames are, and a client meets only a
few.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache

# What the table has of ASCII.
ASCII = {"0": "O", "1": "l", "I": "l", "m": "rn"}
_ASCII = str.maketrans(ASCII)
# In these a letter is read as the same with a mark and without one; elsewhere a mark makes
# another letter or vowel of it.
_BARE = frozenset({"Latn", "Grek", "Cyrl"})

# What is written in several scripts at once, by the names of UAX #24 and of UTS #39.
_WRITINGS = {
    "Hani": frozenset({"Hani", "Hanb", "Jpan", "Kore"}),
    "Hira": frozenset({"Hira", "Jpan"}),
    "Kana": frozenset({"Kana", "Jpan"}),
    "Hang": frozenset({"Hang", "Kore"}),
    "Bopo": frozenset({"Bopo", "Hanb"}),
}
_BESIDE_LATIN = frozenset({"Hanb", "Jpan", "Kore"})
_LATIN = "Latn"


def skeleton(text: str) -> str:
    """What ``text`` is seen as, in NFD; for texts that are made as nicknames are."""
    if text.isascii():
        return text.translate(_ASCII)
    seen = "".join(map(_seen, unicodedata.normalize("NFD", text)))
    return unicodedata.normalize("NFD", seen)


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
    found = _confusables().get(char)
    if found is not None:
        return found
    compatible = unicodedata.normalize("NFKD", char)
    return char if compatible == char else "".join(map(_seen, compatible))


@cache
def _confusables() -> dict[str, str]:
    from protocol.confusable_table import LOOK_LIKE

    groups = (line.split("\t") for line in LOOK_LIKE.splitlines())
    return {char: seen for seen, chars in groups for char in chars}


def scripts_of(char: str) -> frozenset[str]:
    """The scripts that use ``char``, by their short names; empty if all may."""
    starts, scripts = _script_table()
    return scripts[max(0, bisect_right(starts, ord(char)) - 1)]


def may_mix(text: str) -> bool:
    """Whether the scripts of ``text`` may stand together; it is made as nicknames are."""
    if text.isascii():
        return True
    found = [_writings(scripts) for char in set(text) if (scripts := scripts_of(char))]
    if not found or frozenset.intersection(*found):
        return True
    others = [writings for writings in found if _LATIN not in writings]
    return bool(_BESIDE_LATIN.intersection(*others))


def _writings(scripts: frozenset[str]) -> frozenset[str]:
    return frozenset().union(*(_WRITINGS.get(each, {each}) for each in scripts))


@cache
def _script_table() -> tuple[list[int], list[frozenset[str]]]:
    from protocol.script_table import SCRIPTS

    runs = [run.partition(":") for run in SCRIPTS.split()]
    return (
        [int(start, 16) for start, _colon, _scripts in runs],
        [frozenset(filter(None, scripts.split("+"))) for _start, _colon, scripts in runs],
    )
