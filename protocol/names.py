"""Nicknames and rooms: what they may be, and which of them are, or look, the same.  Text made safe.

Unicode's own categories decide, not tables of ours.  They grow with Python's version: a letter
that one side does not know yet is no letter there, and is refused or shown by its number.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from io import StringIO

from protocol.errors import BadNick, BadRoom
from protocol.limits import NICK_CHARS, ROOM_CHARS
from protocol.scripts import may_mix
from protocol.skeletons import skeleton, unmarked_skeleton

# Whom somebody would believe, whatever a screen does to tell members from programs: by ear, in
# a notification, in what a program makes of the messages. Not what clients begin their own
# lines with, in whichever language: they have to mark those.
RESERVED = frozenset({"cmdchat", "error", "server", "system", "warning"})

# Hebrew stacks five on one letter (point, dot, vowel, meteg, accent), Burmese too; floods of
# them, which paint over the lines above, need many more.
MARKS_IN_A_ROW = 5

_PUNCTUATION = "._-"
_UNSEEN_AT_THE_END = "._"
_WELL_FORMED = re.compile(rf"P*(?:[LN]M{{0,{MARKS_IN_A_ROW}}}P*)+")

# Letters and marks that show nothing (Default_Ignorable_Code_Point, which Python does not
# have, and a filler): by their category they would pass for visible ones.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0"
    "\U00016fe4\U000e0100-\U000e01ef]"
)

_JOINERS = "\u200c\u200d"
# Arabic to Sinhala, Burmese, Khmer, Mongolian: joiners choose letter forms there.
_JOINING = re.compile("[\u0600-\u0dff\u1000-\u109f\u1780-\u18af]")
_VIRAMA = 9  # the canonical combining class of what ties two consonants together
_PICTURE = re.compile("[\u2190-\u2bff\U0001f000-\U0001faff]")  # emoji, and all among them
_PRESENTED = re.compile("[©®‼⁉™ℹ〰〽㊗㊙\u2190-\u2bff\U0001f000-\U0001faff]")
_KEYCAP = "\u20e3"


def nick_key(nick: str) -> str:
    """The form under which a nickname is unique: NFKC, then case-folded."""
    return unicodedata.normalize("NFKC", nick).casefold()


def room_key(room: str) -> str:
    """The form under which a room is unique: NFKC, then case-folded."""
    return unicodedata.normalize("NFKC", room).casefold()


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
    scripts that may mix (``scripts``); nothing that looks like a word of RESERVED, however
    punctuated.
    """
    name = _checked(nick, NICK_CHARS)
    if name is None or not may_mix(unicodedata.normalize("NFKC", name)):
        raise BadNick()
    bare = name.translate(dict.fromkeys(map(ord, _PUNCTUATION)))
    if nick_looks(bare) & _reserved_looks():
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
    if category == "Me" or _BLANK.match(char):
        return "?"
    return category[0] if category[0] in "LM" or category == "Nd" else "?"


def visible(text: str) -> str:
    """``text`` as it may go to a terminal: what would be obeyed or unseen there is shown.

    Kept are line feeds, and the joiners and variation selectors that a script or an emoji needs
    where they stand; CR LF becomes a line feed, a tab four spaces.  Other controls become their
    pictures (``␛``), everything else invisible its number (``<U+202E>``), a mark without a base
    gets a dotted circle, and of a flood of marks the number that is left out is said
    (``<◌×37>``).  Takes any str, lone surrogates too; linear; a second time changes nothing.
    """
    strange = frozenset(char for char in set(text) if not _plain(char))
    if not strange:
        return text
    text = text.replace("\r\n", "\n")
    shown = _Shown()
    for char, following in zip(text, text[1:] + "\n", strict=True):
        if char not in strange:
            shown.keep(char)
        elif _is_mark(char):
            shown.mark(char)
        elif shown.left_out or not _needed(char, shown.last, following, shown.marks):
            shown.write(_note(char))
        else:
            shown.join(char)
    return shown.text()


def carried(text: str) -> str:
    """``text`` as it may be sent to others: ``visible``, but that a tab stays one.

    What is indented by it or set in columns is for programs, too; a screen shows blanks for it.
    """
    return "\t".join(map(visible, text.split("\t")))


class _Shown:
    """What ``visible`` has so far.  ``last`` is the last character kept, "" after a note."""

    def __init__(self) -> None:
        self.last = ""
        self.marks = 0  # on the present base
        self.left_out = 0  # marks beyond MARKS_IN_A_ROW
        self._text = StringIO()  # a list would hold an object for each character

    def keep(self, char: str) -> None:
        """Take a character that marks may stand on."""
        self.write(char)
        self.last = char

    def join(self, char: str) -> None:
        """Take an invisible character; the marks before and after it share a base."""
        self._text.write(char)
        self.last = char

    def mark(self, char: str) -> None:
        """Take a mark, on a dotted circle if it has no base, or count it as left out."""
        if self.marks == MARKS_IN_A_ROW:
            self.left_out += 1
            return
        if self.last in ("", "\n"):
            self._text.write("◌")
        self.join(char)
        self.marks += 1

    def write(self, note: str) -> None:
        """Write what stands for a character, after what stands for the marks left out."""
        if self.left_out:
            self._text.write(f"<◌×{self.left_out}>")
        self._text.write(note)
        self.last, self.marks, self.left_out = "", 0, 0

    def text(self) -> str:
        """All of it."""
        self.write("")
        return self._text.getvalue()


def _plain(char: str) -> bool:
    """Whether ``char`` is visible, or a space, wherever it stands."""
    if _BLANK.match(char):
        return False
    category = unicodedata.category(char)
    if category == "Cf":  # Arabic signs that enclose a number are the visible ones
        return unicodedata.bidirectional(char) == "AN"
    if category == "Cn":  # a newer Unicode than this Python's has more emoji
        return "\U0001f000" <= char <= "\U0001faff"
    return char == "\n" or category == "Zs" or category[0] in "LNPS"


def _is_mark(char: str) -> bool:
    return unicodedata.category(char)[0] == "M" and not _BLANK.match(char)


def _needed(char: str, last: str, following: str, marks: int) -> bool:
    """Whether an invisible character does its work here, between ``last`` and ``following``."""
    if not last:
        return False
    if char in "\ufe0e\ufe0f":
        return bool(_PRESENTED.match(last)) or (last in "#*0123456789" and following == _KEYCAP)
    if char not in _JOINERS:
        return False
    if unicodedata.combining(last) == _VIRAMA:
        return True
    if _PICTURE.match(following):
        pictures = bool(_PICTURE.match(last)) or last == "\ufe0f"
        return char == "\u200d" and pictures and _plain(following)
    fits = unicodedata.category(following)[0] == "L" or marks < MARKS_IN_A_ROW
    return fits and _is_joining(last) and _is_joining(following)


def _is_joining(char: str) -> bool:
    letter = unicodedata.category(char)[0] in "LM" and not _BLANK.match(char)
    return letter and bool(_JOINING.match(char))


def _note(char: str) -> str:
    code = ord(char)
    if char == "\t":
        return "    "
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"<U+{code:04X}>"
