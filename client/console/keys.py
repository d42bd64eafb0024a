"""What a keyboard sends, as keys.

Pure: ``KeyDecoder`` takes the bytes of a POSIX terminal as they arrive, in pieces of any size;
``windows_keys`` makes such bytes of what a Windows console tells. Sequences are those of ECMA-48 as
xterm sends them (invisible-island.net/xterm/ctlseqs); those that are not known here do nothing.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass

PASTE_CHARS = 1024 * 1024  # the rest of a longer paste is dropped
_SEQUENCE_CHARS = 64  # a longer escape sequence is not one
_ESC = "\x1b"
_PASTE_END = "\x1b[201~"


@dataclass(frozen=True)
class Key:
    """One key. ``name``: ``text`` or ``paste`` (with the ``text``), a word such as ``enter``,
    ``left``, ``word-left``, or ``ctrl-`` or ``alt-`` and a letter."""

    name: str
    text: str = ""


_CONTROL = {"\r": "enter", "\n": "enter", "\t": "tab", "\x7f": "backspace", "\x08": "ctrl-h"}
_ALT = {
    "\r": "newline", "\n": "newline", "\x7f": "ctrl-w", "b": "word-left", "f": "word-right",
    "B": "word-left", "F": "word-right", "l": "alt-l", "L": "alt-l",
}  # fmt: skip
_LETTER = {
    "A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end", "Z": "backtab",
}  # fmt: skip
_TILDE = {
    "1": "home", "7": "home", "4": "end", "8": "end", "3": "delete", "5": "page-up",
    "6": "page-down",
}  # fmt: skip
_FOCUS = {"I": "focus-in", "O": "focus-out"}  # mode 1004
# With Ctrl or Alt (xterm's modifiers 3 to 8), left and right go by words.
_BY_WORD = {"left": "word-left", "right": "word-right"}


class KeyDecoder:
    """Keys from a terminal's bytes."""

    def __init__(self) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._waiting = ""  # the beginning of an escape sequence
        self._paste: list[str] | None = None  # what has come of a bracketed paste

    @property
    def pending(self) -> bool:
        """Whether an escape character waits: it is the Esc key if nothing follows soon."""
        return bool(self._waiting) and self._paste is None

    def feed(self, data: bytes) -> list[Key]:
        """The keys that these bytes complete."""
        text = self._waiting + self._utf8.decode(data)
        self._waiting = ""
        keys: list[Key] = []
        while text:
            step = self._pasted if self._paste is not None else self._typed
            taken = step(text, keys)
            if taken == 0:
                self._waiting = text
                break
            text = text[taken:]
        return keys

    def flush(self) -> list[Key]:
        """Nothing came for a while: what waits is no sequence, and a lone Esc is the key."""
        alone = self.pending and self._waiting == _ESC
        if self.pending:
            self._waiting = ""
        return [Key("escape")] if alone else []

    def _typed(self, text: str, keys: list[Key]) -> int:
        """Take one key, or a run of letters; 0 if more has to come first."""
        if text[0] == _ESC:
            return self._escape(text, keys)
        if _is_letter(text[0]):
            end = next((n for n, char in enumerate(text) if not _is_letter(char)), len(text))
            keys.append(Key("text", text[:end]))
            return end
        name = _CONTROL.get(text[0])
        if name is None and "\x01" <= text[0] <= "\x1a":
            name = "ctrl-" + chr(ord(text[0]) + 0x60)
        if name is not None:
            keys.append(Key(name))
        return 1

    def _escape(self, text: str, keys: list[Key]) -> int:
        if len(text) == 1:
            return 0
        if text[1] == "[":
            return self._control_sequence(text, keys)
        if text[1] == "O":
            if len(text) == 2:
                return 0
            if text[2] in _LETTER:
                keys.append(Key(_LETTER[text[2]]))
            return 3
        if text[1] in "]P_^X":
            return _string_end(text)
        if text[1] == _ESC:
            return 1
        name = _ALT.get(text[1])
        if name is not None:
            keys.append(Key(name))
        return 2

    def _control_sequence(self, text: str, keys: list[Key]) -> int:
        """CSI: parameters, intermediates and a final character (ECMA-48 5.4)."""
        end = 2
        while end < len(text) and "\x20" <= text[end] <= "\x3f":
            end += 1
        if end >= len(text):
            return 0 if end < _SEQUENCE_CHARS else end
        parameters, final = text[2:end], text[end]
        if final == "~" and parameters == "200":
            self._paste = []
        else:
            name = _sequence_name(parameters, final)
            if name is not None:
                keys.append(Key(name))
        # A control character ends a sequence that is none, and is a key itself.
        return end + 1 if final >= "\x40" else end

    def _pasted(self, text: str, keys: list[Key]) -> int:
        assert self._paste is not None  # noqa: S101  # called only while pasting
        end = text.find(_PASTE_END)
        if end >= 0:
            self._paste.append(text[:end])
            keys.append(Key("paste", _paste_text("".join(self._paste))))
            self._paste = None
            return end + len(_PASTE_END)
        # Keep back what may be the beginning of the end.
        sure = len(text) - _overlap(text, _PASTE_END)
        if sure and sum(map(len, self._paste)) < PASTE_CHARS:
            self._paste.append(text[:sure])
        return sure


def _is_letter(character: str) -> bool:
    return character >= " " and not "\x7f" <= character <= "\x9f"


def _overlap(text: str, end: str) -> int:
    """How many of the last characters may be the beginning of ``end``."""
    return next((n for n in range(len(end) - 1, 0, -1) if text.endswith(end[:n])), 0)


def _string_end(text: str) -> int:
    """Where a terminal's answer (OSC, DCS and their kin) ends; 0 if more has to come."""
    for place in range(2, len(text)):
        if text[place] == "\x07":
            return place + 1
        if text[place - 1: place + 1] == "\x1b\\":
            return place + 1
    return 0 if len(text) < _SEQUENCE_CHARS * 16 else len(text)


def _sequence_name(parameters: str, final: str) -> str | None:
    number, _semicolon, modifier = parameters.partition(";")
    if final == "u" and number == "13":  # Enter with a modifier, as kitty and others report it
        return "newline" if modifier else "enter"
    if final == "u" and number == "27":  # Esc as a sequence of its own
        return "escape"
    if not parameters and final in _FOCUS:
        return _FOCUS[final]
    name = _TILDE.get(number) if final == "~" else _LETTER.get(final)
    if name in _BY_WORD and modifier[:1] in tuple("345678"):
        return _BY_WORD[name]
    return name


def _paste_text(text: str) -> str:
    """A paste as text of a message: line ends are newlines, tabs stay, and controls that
    have no meaning in a message are dropped. The last line end would only add an empty line."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    kept = "".join(char for char in lines[:PASTE_CHARS] if char in "\n\t" or _is_letter(char))
    return kept.removesuffix("\n")
