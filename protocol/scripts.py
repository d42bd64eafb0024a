"""Which scripts a text is written in, and whether they may stand together in one name.

The rule is UTS #39's "highly restrictive" (section 5.2): one script, or Latin with those that
Japanese, Chinese or Korean are written in. The table (``script_table``) is read when the first
text comes that is not ASCII.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cache

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


def scripts_of(char: str) -> frozenset[str]:
    """The scripts that use ``char``, by their short names; empty if all may."""
    starts, scripts = _table()
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
def _table() -> tuple[list[int], list[frozenset[str]]]:
    from protocol.script_table import SCRIPTS

    runs = [run.partition(":") for run in SCRIPTS.split()]
    return (
        [int(start, 16) for start, _colon, _scripts in runs],
        [frozenset(filter(None, scripts.split("+"))) for _start, _colon, scripts in runs],
    )
