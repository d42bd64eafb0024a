"""What a keyboard sends, as keys.

``KeyDecoder`` takes the bytes of a POSIX terminal as they arrive, in pieces of any size with
pauses of any length; ``windows_keys`` makes such bytes of what a Windows console tells. It has no
clock: it is told the time, and says when it wants to be asked. Only a lone escape character can be
a key or the beginning of one; whatever goes on behind it is never taken for text, however slowly
it comes.
"""

from __future__ import annotations

import codecs
import re

from client.input.key_sequences import (
    PASTE_BEGINS,
    PASTE_ENDS,
    KeyPress,
    control,
    control_sequence,
    single_shift,
    with_alt,
)
from client.input.paste import STRAY, PasteDetector

__all__ = ["PASTE_CHARS", "KeyPress", "KeyDecoder"]

PASTE_CHARS = 1024 * 1024  # the rest of a longer paste is dropped
ESCAPE_TIME = 0.05  # seconds after which a lone escape character is the Esc key
FEED_TIME = 0.05  # after a whole line that came at once, in which a line feed may turn out Ctrl-J
SEQUENCE_TIME = 1.0  # that the rest of a sequence is waited for
PASTE_TIME = 3.0  # without a byte, after which a paste is over
_LATE = 10.0  # the end of a sequence that was given up is recognised for so long
_SEQUENCE_CHARS = 64  # a longer escape sequence is not one
_STRING_CHARS = 1024  # nor is a longer answer of the terminal
_ESC = "\x1b"
_PASTE_BEGIN, _PASTE_END = f"{_ESC}[{PASTE_BEGINS}~", f"{_ESC}[{PASTE_ENDS}~"
_AFTER_ESC = re.compile(r"\[|O[A-DFHMPQRSabcd]$")  # what may go on with a lone ESC
_REST = re.compile(r"[0-9;:]*~")
_STRINGS = "]P_^X"  # after ESC: what a terminal answers in words (OSC, DCS and their kin)
_LINE_ENDS = {"\r": "return", "\n": "line-feed"}  # what they mean depends on what was before
_REPORT_CHARS = 3  # of the mouse, behind CSI M
# What ends a paste whose end does not come: Ctrl-C and Ctrl-X alone, in each encoding.
_BREAKS = {
    form.format(code=ord(letter), control=chr(ord(letter) & 0x1F)): letter
    for letter in "cx"
    for form in ("{control}", _ESC + "[{code};5u", _ESC + "[27;5;{code}~")
}


class KeyDecoder:
    """Keys from a terminal's bytes.

    ``feed`` takes what was read and the time (seconds, monotonic) at which it was; ``handled`` says
    when its keys were dealt with. If nothing comes until ``deadline``, ``expire`` is to be called.

    ``ask``: several lines in one read are a paste that asks. ``trust``: what comes right behind a
    paste, or several lines at once, was typed by a program that means it. ``feed_enters``: a line
    feed is Enter until a carriage return comes; else it is a line break, unless a whole line ends
    with it and nothing else was before. ``keypad``: the terminal was asked for application mode.
    ``mouse``: it was asked to tell of the mouse, so that CSI M is no key (st's Ctrl-Delete).
    """

    def __init__(
        self,
        *,
        ask: bool = False,
        trust: bool = False,
        feed_enters: bool = False,
        keypad: bool = False,
        mouse: bool = False,
    ) -> None:
        self._keypad, self._mouse = keypad, mouse
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._pastes = PasteDetector(ask, trust)
        self._waiting = ""  # the beginning of an escape sequence
        self._began = 0.0  # when that began
        self._paste: list[str] | None = None  # what has come of a bracketed paste
        self._last = float("-inf")  # when something came
        self._escaped = float("-inf")  # when an escape character was given up
        self._given_up = ""  # a sequence that was, and is remembered for a while
        self._returned = False  # the last character was a carriage return
        self._feed_enters: bool | None = feed_enters or None
        self._trust = trust
        self._fed: float | None = None  # until when a line feed waits

    @property
    def deadline(self) -> float | None:
        """When ``expire`` has something to say, if nothing comes before; None: never."""
        moments = (self._pastes.deadline, self._over_at, self._fed)
        return min((moment for moment in moments if moment is not None), default=None)

    @property
    def _over_at(self) -> float | None:
        """When what waits is over."""
        if self._paste is not None:
            return self._last + PASTE_TIME
        if not self._waiting:
            return None
        if not self._waiting.strip(_ESC):
            return self._last + ESCAPE_TIME
        return (self._began if self._waiting[1] in _STRINGS else self._last) + SEQUENCE_TIME

    def expire(self, now: float) -> list[KeyPress]:
        """Nothing has come until ``deadline``: what waits is over."""
        keys = self._pastes.expire(now)
        if self._fed is not None and now >= self._fed:
            self._fed, self._feed_enters = None, True
            keys += self._pastes.keys([KeyPress("enter")], now)
        if self._over_at is None or now < self._over_at:
            return keys
        if self._paste is not None:
            return keys + self._broken_off(now)
        waiting, self._waiting = self._waiting, ""
        if not waiting.strip(_ESC):
            self._escaped = now
            return [*keys, KeyPress("escape")]
        self._given_up = waiting
        return keys

    def handled(self, now: float) -> None:
        """What ``feed`` returned has been dealt with, which may have taken its time."""
        self._pastes.handled(now)

    def feed(self, data: bytes, now: float) -> list[KeyPress]:
        """The keys that these bytes complete."""
        text = self._utf8.decode(data)
        ending = _BREAKS.get(text) if now - self._last >= ESCAPE_TIME else None
        if self._paste is not None and ending is not None:
            keys = self._broken_off(now)
            self._last = now
            return keys + ([KeyPress("ctrl-x")] if ending == "x" else [])
        # Somebody types on: what waited was Ctrl-J.
        waited = [KeyPress("newline")] if self._fed is not None else []
        self._fed = None
        text = self._mended(text, now)
        self._last = now
        return self._pastes.keys(waited + self._decoded(text), now)

    def _mended(self, text: str, now: float) -> str:
        """What came, joined to what was before it; and what line ends in it mean is learnt."""
        since, given_up = now - self._last, self._given_up
        if self._waiting[1:2] in tuple(_STRINGS) and now - self._began > SEQUENCE_TIME:
            self._waiting = ""
        if text and self._waiting == "" and self._paste is None:
            if now - self._escaped < SEQUENCE_TIME and _AFTER_ESC.match(text):
                text = _ESC + text
            elif given_up.startswith(_ESC + "[") and since < _LATE and _REST.match(text):
                text = given_up + text
            elif self._returned and since < ESCAPE_TIME and text[0] == "\n":
                text = text[1:]
            self._given_up = ""
        self._returned = text.endswith("\r")
        text = self._waiting + text
        apart = self._paste is None and _PASTE_BEGIN not in text
        return self._learnt(text, now) if apart else text

    def _learnt(self, text: str, now: float) -> str:
        """The text, without a line feed of which nobody can tell yet what it is."""
        if "\r" in text:
            self._feed_enters = False
        elif self._feed_enters is None and text[-1:] == "\n" and _is_typed(text):
            if self._trust or "\n" in text[:-1]:
                self._feed_enters = True
            else:
                self._fed = now + FEED_TIME
                return text[:-1]
        return text

    def _decoded(self, text: str) -> list[KeyPress]:
        waited, self._waiting = self._waiting, ""
        keys: list[KeyPress] = []
        while text:
            step = self._pasted if self._paste is not None else self._typed
            taken = step(text, keys)
            if taken == 0:
                self._began = self._began if waited and text.startswith(waited) else self._last
                self._waiting = text
                break
            text = text[taken:]
        return [self._enter(key) for key in keys]

    def _enter(self, key: KeyPress) -> KeyPress:
        """A line end that may be Enter, or may go on with an escape character before it."""
        if key.name == "line-feed":
            return KeyPress("enter" if self._feed_enters else "newline")
        if key.name == "return":
            escaped = self._last - self._escaped < SEQUENCE_TIME
            self._escaped = float("-inf")
            return KeyPress("escape-enter" if escaped else "enter")
        if key.name == "text":
            self._escaped = float("-inf")
        return key

    def _broken_off(self, now: float) -> list[KeyPress]:
        """A paste is over that has not ended."""
        assert self._paste is not None
        text = _paste_text("".join(self._paste))
        self._paste, self._waiting = None, ""
        self._pastes.broke_off(now)
        return [KeyPress("paste", text)] if text else []

    def _typed(self, text: str, keys: list[KeyPress]) -> int:
        """Take one key, or a run of letters; 0 if more has to come first."""
        if text[0] == _ESC:
            return self._escape(text, keys)
        if is_letter(text[0]):
            end = next((n for n, char in enumerate(text) if not is_letter(char)), len(text))
            keys.append(KeyPress("text", text[:end]))
            return end
        if text[:2] == "\r\n":
            keys.append(KeyPress("enter"))
            return 2
        _add(keys, KeyPress(_LINE_ENDS[text[0]]) if text[0] in _LINE_ENDS else control(text[0]))
        return 1

    def _escape(self, text: str, keys: list[KeyPress]) -> int:
        """Whatever begins with an escape character; two of them are Alt with what follows."""
        start = 2 if text[1:2] == _ESC and text[2:3] in ("", "[", "O") else 1
        if len(text) <= start:
            return 0
        kind = text[start]
        if kind == "[":
            return self._control_sequence(text, start + 1, keys)
        if kind == "O":
            if len(text) > start + 1:
                _add(keys, single_shift(text[start + 1], start == 2, self._keypad))
            return 0 if len(text) <= start + 1 else start + 2
        if kind in _STRINGS:
            return _string_end(text)
        if kind == _ESC:
            return 1
        if kind == "/":  # Esc and a command on a slow line; without its slash it would be a message
            keys.append(KeyPress("escape"))
            return 1
        _add(keys, with_alt(kind))
        return 2

    def _control_sequence(self, text: str, start: int, keys: list[KeyPress]) -> int:
        """CSI: parameters, intermediates and a final character (ECMA-48 5.4)."""
        end = start
        while end < len(text) and " " <= text[end] <= "?" and not _shifted(text[start: end + 1]):
            end += 1
        if end >= len(text):
            return 0 if end < _SEQUENCE_CHARS else end
        parameters, final = text[start:end], text[end]
        if self._mouse and text[start : end + 1] == "M":
            return _reported(text[: end + 1 + _REPORT_CHARS], end + 1, keys)
        if final == "~" and parameters == PASTE_BEGINS:
            self._paste = []
        elif final == "~" and parameters == PASTE_ENDS:
            keys.append(KeyPress(STRAY))
        else:
            _add(keys, control_sequence(parameters, final, alt=start == 3))
        # A control character ends a sequence that is none, and is a key itself.
        return end + 1 if final >= "\x20" else end

    def _pasted(self, text: str, keys: list[KeyPress]) -> int:
        assert self._paste is not None  # called only while pasting
        end = text.find(_PASTE_END)
        if end >= 0:
            self._paste.append(text[:end])
            keys.append(KeyPress("paste", _paste_text("".join(self._paste))))
            self._paste = None
            return end + len(_PASTE_END)
        # Keep back what may be the beginning of the end.
        sure = len(text) - _overlap(text, _PASTE_END)
        if sure and sum(map(len, self._paste)) < PASTE_CHARS:
            self._paste.append(text[:sure])
        return sure


def is_letter(character: str) -> bool:
    """Whether a character is none that controls."""
    return character >= " " and not "\x7f" <= character <= "\x9f"


def _is_typed(text: str) -> bool:
    """Whether this is nothing but text and line feeds behind it."""
    letters = text.rstrip("\n")
    return bool(letters) and all(is_letter(char) or char == "\n" for char in letters)


def _reported(text: str, start: int, keys: list[KeyPress]) -> int:
    """What the mouse does, of a terminal that does not know mode 1006: button and place are a
    character each. Of the mouse, only the wheel."""
    if len(text) < start + _REPORT_CHARS:
        return 0
    _add(keys, control_sequence(f"<{ord(text[start]) - 32}", "M"))
    return start + _REPORT_CHARS


def _add(keys: list[KeyPress], key: KeyPress | None) -> None:
    if key is not None:
        keys.append(key)


def _shifted(sequence: str) -> bool:
    """Whether this is a whole sequence of rxvt, with Shift: digits and a dollar sign."""
    return sequence[-1:] == "$" and sequence[:-1].isdigit()


def _overlap(text: str, end: str) -> int:
    """How many of the last characters may be the beginning of ``end``."""
    return next((n for n in range(len(end) - 1, 0, -1) if text.endswith(end[:n])), 0)


def _string_end(text: str) -> int:
    """Where a terminal's answer ends; 0 if more has to come. A control character breaks it off,
    and is a key itself: perhaps somebody has pressed Alt-]."""
    for place in range(2, len(text)):
        if text[place] == "\x07":
            return place + 1
        if text[place - 1: place + 1] == f"{_ESC}\\":
            return place + 1
        if text[place] < " " and text[place] != _ESC:
            return place
    return 0 if len(text) < _STRING_CHARS else len(text)


def _paste_text(text: str) -> str:
    """A paste as text of a message: line ends are newlines, tabs stay, and controls that
    have no meaning in a message are dropped. The last line end would only add an empty line."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    kept = "".join(char for char in lines[:PASTE_CHARS] if char in "\n\t" or is_letter(char))
    return kept.removesuffix("\n")
