"""Other people's text made safe for a terminal: by signs on screens, by escapes in JSON.

What is sent is the text itself; whoever shows one makes it safe.

Unicode's own categories decide, as with names: what a newer version than this Python's has is
shown by its number.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from io import StringIO

# Hebrew stacks five on one letter (point, dot, vowel, meteg, accent), Burmese too; floods of
# them, which paint over the lines above, need many more.
MARKS_IN_A_ROW = 5

# Letters and marks that show nothing (Default_Ignorable_Code_Point, which Python does not
# have, and a filler): by their category they would pass for visible ones.
BLANK = re.compile(
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


def visible(text: str) -> str:
    """``text`` as it may go to a terminal: what would be obeyed or unseen there is shown.

    Kept are line feeds, and the joiners and variation selectors that a script or an emoji needs
    where they stand; CR LF becomes a line feed, a tab four spaces.  Other controls become their
    pictures (``␛``), everything else invisible its number (``<U+202E>``), a mark without a base
    gets a dotted circle, and of a flood of marks the number that is left out is said
    (``<◌×37>``).  Takes any str, lone surrogates too; linear; a second time changes nothing.
    """
    if text.isascii() and text.isprintable():  # as most are
        return text
    strange = frozenset(char for char in set(text) if not _plain(char))
    if not strange:
        return text
    text = text.replace("\r\n", "\n")
    shown = _SafeText()
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


def escaped(text: str, escape: Callable[[str], str]) -> str:
    """``text`` with ``escape`` of each character that a terminal would obey or not show.

    Nothing else changes, so that whoever undoes the escapes has ``text`` again: that is for JSON.
    Escaped are also line feeds, lone surrogates, and of a flood of marks what ``visible`` leaves
    out.
    """
    if text.isascii() and text.isprintable():
        return text
    strange = {char for char in set(text) if char == "\n" or not _plain(char)}
    marks = set(filter(_is_mark, strange))
    table = {ord(char): escape(char) for char in strange - marks}
    if marks:
        several = f"[{''.join(map(re.escape, marks))}]+"
        text = re.sub(several, lambda found: _first_marks(found[0], escape), text)
    return text.translate(table) if table else text


def _first_marks(marks: str, escape: Callable[[str], str]) -> str:
    return marks[:MARKS_IN_A_ROW] + "".join(map(escape, marks[MARKS_IN_A_ROW:]))


class _SafeText:
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
    if BLANK.match(char):
        return False
    category = unicodedata.category(char)
    if category == "Cf":  # Arabic signs that enclose a number are the visible ones
        return unicodedata.bidirectional(char) == "AN"
    if category == "Cn":  # a newer Unicode than this Python's has more emoji
        return "\U0001f000" <= char <= "\U0001faff"
    return char == "\n" or category == "Zs" or category[0] in "LNPS"


def _is_mark(char: str) -> bool:
    return unicodedata.category(char)[0] == "M" and not BLANK.match(char)


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
    letter = unicodedata.category(char)[0] in "LM" and not BLANK.match(char)
    return letter and bool(_JOINING.match(char))


def _note(char: str) -> str:
    code = ord(char)
    if char == "\t":
        return "    "
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"<U+{code:04X}>"
