"""Nicknames and rooms: what they may be, and which of them are, or look, the same.

Unicode's own categories decide, not tables of ours.  They grow with Python's version: a letter
that one side does not know yet is no letter there, and is refused or shown by its number.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache, lru_cache

from protocol.errors import BadNick, BadRoom
from protocol.limits import NICK_CHARS, ROOM_CHARS
from protocol.lookalikes import may_mix, skeleton, unmarked_skeleton
from protocol.safe_text import BLANK, MARKS_IN_A_ROW

# Whom somebody would believe, whatever a screen does to tell members from programs: by ear, in
# a notification, in what a program makes of the messages. Not what clients begin their own
# lines with, in whichever language: they have to mark those.
RESERVED = frozenset({"cmdchat", "error", "server", "system", "warning"})

_PUNCTUATION = "._-"
_UNSEEN_AT_THE_END = "._"
_NO_PUNCTUATION = dict.fromkeys(map(ord, _PUNCTUATION))
# What ``_WELL_FORMED`` and the normal forms come to among ASCII, where most names are.
_well_formed_ascii = re.compile(r"[._-]*[A-Za-z0-9][A-Za-z0-9._-]*").fullmatch
_WELL_FORMED = re.compile(rf"P*(?:[LN]M{{0,{MARKS_IN_A_ROW}}}P*)+")


@lru_cache(maxsize=1024)  # each message asks for its sender's and its room's several times
def nick_key(nick: str) -> str:
    """The form under which a nickname is unique: NFKC, then case-folded."""
    return unicodedata.normalize("NFKC", nick).casefold()


@lru_cache(maxsize=1024)
def room_key(room: str) -> str:
    """The form under which a room is unique: NFKC, then case-folded."""
    return unicodedata.normalize("NFKC", room).casefold()


@lru_cache(maxsize=1024)  # a roster's are asked for twice, and again in each room
def nick_looks(nick: str) -> frozenset[str]:
    """What ``nick`` may be taken for: two nicknames that share one of these look alike.

    By how it is written and by its key, since in ``aIice`` the capital is an l to the eye and
    an i to the key.  Among capitals alone it is an I to both.  What stands at its end as in a
    sentence is not seen, nor what tells ``vv`` from ``w``.
    """
    nick = nick.rstrip(_UNSEEN_AT_THE_END)
    seen = unmarked_skeleton(nick)
    if seen.replace("l", "I").isupper() and not seen.islower():
        seen = seen.replace("l", "I")
    forms = (seen, unmarked_skeleton(nick_key(nick)))
    return frozenset(skeleton(form.casefold()).replace("w", "vv") for form in forms)


def resembled(nick: str, others: Iterable[str]) -> dict[str, str]:
    """Whose nickname ``nick`` looks like, as a refusal's parameter; none if it is the same one."""
    by_key = {nick_key(other): other for other in others}
    return {} if nick_key(nick) in by_key else {"nick": min(by_key.values())}


def check_nick(nick: str) -> str:
    """The nickname in NFC; raises BadNick if it is none.

    1 to 32 characters: letters, marks, digits and ``._-``, at least one letter or digit; only
    scripts that may mix (``lookalikes``); nothing that looks like a word of RESERVED, however
    punctuated.
    """
    name = _checked(nick, NICK_CHARS)
    if name is None or not (name.isascii() or may_mix(unicodedata.normalize("NFKC", name))):
        raise BadNick()
    if nick_looks(name.translate(_NO_PUNCTUATION)) & _reserved_looks():
        raise BadNick()
    return name


@cache
def _reserved_looks() -> frozenset[str]:
    return frozenset(look for word in RESERVED for look in nick_looks(word))


def check_room(room: str) -> str:
    """The room's name in NFC; raises BadRoom if it is none.

    1 to 64 characters, otherwise as a nickname, but scripts may mix and no word is reserved:
    a room speaks for nobody.
    """
    name = _checked(room, ROOM_CHARS)
    if name is None:
        raise BadRoom()
    return name


def _checked(raw: str, limit: int) -> str | None:
    if raw.isascii():
        return raw if len(raw) <= limit and _well_formed_ascii(raw) else None
    if len(raw) > 4 * limit:  # NFC joins three at most, and sorting marks takes quadratic time
        return None
    name = unicodedata.normalize("NFC", raw)
    # The key is what names are compared by, so what it is made of has to be a name as well.
    forms = {name, unicodedata.normalize("NFKC", name)}
    if len(name) > limit or not all(_WELL_FORMED.fullmatch(_shape(form)) for form in forms):
        return None
    return name


def _shape(name: str) -> str:
    """One letter for each character: L(etter), M(ark), N(umber), P(unctuation), or ``?``."""
    return "".join(map(_kind, name))


def _kind(char: str) -> str:
    category = unicodedata.category(char)
    if char in _PUNCTUATION:
        return "P"
    if category == "Me" or BLANK.match(char):
        return "?"
    return category[0] if category[0] in "LM" or category == "Nd" else "?"
