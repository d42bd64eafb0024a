"""What a Windows console's keyboard sends, as the bytes that a POSIX terminal would send.

Pure: records in, bytes out, so that there is one ``KeyDecoder`` for all systems. A record is what
``ReadConsoleInputW`` fills in (Microsoft: INPUT_RECORD, KEY_EVENT_RECORD): a virtual key code, the
UTF-16 unit that the layout makes of the key, and which modifiers are held. Special keys are told
by their codes, since their characters are those of letters or none at all. A console in VT input
mode (ENABLE_VIRTUAL_TERMINAL_INPUT) sends sequences itself, one character a record; these pass.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from protocol.dataclass import dataclass

RECORD_BYTES = 20
_KEY_EVENT, _RESIZE_EVENT = 0x1, 0x4

RIGHT_ALT, LEFT_ALT, RIGHT_CTRL, LEFT_CTRL, SHIFT, ENHANCED = 0x1, 0x2, 0x4, 0x8, 0x10, 0x100
_ALT, _CTRL = RIGHT_ALT | LEFT_ALT, RIGHT_CTRL | LEFT_CTRL

# Virtual key codes (Microsoft: Virtual-Key Codes).
_A, _Z, _1, _9 = ord("A"), ord("Z"), ord("1"), ord("9")
_KEYPAD = range(0x60, 0x6A)  # its digits, where Num Lock is on
_BACKSPACE, _TAB, _ENTER, _MENU, _ESCAPE = 0x08, 0x09, 0x0D, 0x12, 0x1B
_NAMED = (_BACKSPACE, _TAB, _ENTER, _ESCAPE)
_CURSOR = {0x23: "F", 0x24: "H", 0x25: "D", 0x26: "A", 0x27: "C", 0x28: "B"}  # End to Down
_TILDE = {0x21: 5, 0x22: 6, 0x2D: 2, 0x2E: 3}  # Page Up, Page Down, Insert, Delete
_PASTE, _PASTE_END = "\x1b[200~", "\x1b[201~"
_ESCAPE_KEY = "\x1b[27u"  # as kitty reports it: an Esc that begins nothing
_ENTERS = ("\r", "\n")


@dataclass(frozen=True)
class KeyRecord:
    """One key going down or up. ``char`` is a UTF-16 unit, NUL for a key that makes none."""

    down: bool
    key: int
    char: str = "\0"
    state: int = 0
    repeat: int = 1


class Resized:
    """The console has another size."""


def parse(data: bytes) -> Iterator[KeyRecord | Resized]:
    """The records in a buffer that ``ReadConsoleInputW`` has filled; other kinds are left out."""
    for kind, body in struct.iter_unpack("<Hxx16s", data):
        if kind == _KEY_EVENT:
            down, repeat, key, _scan, unit, state = struct.unpack("<iHHHHI", body)
            yield KeyRecord(bool(down), key, chr(unit), state, repeat)
        elif kind == _RESIZE_EVENT:
            yield Resized()


class WindowsKeys:
    """Turns records into bytes for a ``KeyDecoder``.

    What is pasted comes as keys, all at once: an Enter with more behind it in one read is taken
    for that. A console that has once marked a paste itself is trusted to do so always.
    """

    def __init__(self) -> None:
        self._high = ""  # the first half of a character that takes two UTF-16 units
        self._marks = False  # the console marks what is pasted

    def feed(self, records: Iterable[KeyRecord]) -> bytes:
        """What the records of one read mean."""
        pieces = [_sequence(record) for record in records for _ in range(record.repeat)]
        self._marks = self._marks or _PASTE in "".join(pieces)
        if not self._marks and _is_paste(pieces):
            pieces = [_PASTE, *(piece for piece in pieces if _is_pasted(piece)), _PASTE_END]
        return self._whole("".join(pieces)).encode("utf-8", "replace")

    def _whole(self, text: str) -> str:
        """``text`` with the halves of characters joined; a first half at its end waits."""
        text, self._high = self._high + text, ""
        if "\ud800" <= text[-1:] <= "\udbff":
            text, self._high = text[:-1], text[-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _is_paste(pieces: list[str]) -> bool:
    """Whether an Enter has more behind it. Enter alone, held down, is no paste."""
    kept = [piece for piece in pieces if piece]
    enters = [place for place, piece in enumerate(kept) if piece in _ENTERS]
    return bool(enters) and enters[0] < len(kept) - 1 and any(map(_is_text, kept))


def _is_pasted(piece: str) -> bool:
    """No escape sequence, and no control that could end the paste."""
    return _is_text(piece) or piece in (*_ENTERS, "\t")


def _is_text(piece: str) -> bool:
    return len(piece) == 1 and piece >= " " and piece != "\x7f"


def _sequence(record: KeyRecord) -> str:
    """What a POSIX terminal would send for this; empty for what it would not tell of."""
    char, alt, ctrl = record.char, record.state & _ALT, record.state & _CTRL
    if not record.down:  # a character by its number: Alt, digits, and Alt is let go
        return char if record.key == _MENU and char != "\0" else ""
    if record.key in _CURSOR or record.key in _TILDE:
        return _cursor(record)
    if record.key in _NAMED:
        return _named(record)
    if ctrl and not alt and _A <= record.key <= _Z:  # whatever letter the layout has there
        return chr(record.key - _A + 1)
    if alt and not ctrl and _1 <= record.key <= _9:  # also where a digit needs Shift
        return f"\x1b{chr(record.key)}"
    if alt and not ctrl and record.key in _KEYPAD:  # a digit of a character's number
        return ""
    if char == "\0":  # Shift and its like; a dead key, before the letter that it goes with
        return ""
    if char == "\x1b" and record.key:  # Ctrl-[, and not the console's own sequences
        return _ESCAPE_KEY
    if alt and ctrl:  # AltGr, and Ctrl-Alt in its place
        return char if _is_text(char) else ""
    return f"\x1b{char}" if alt else char


def _cursor(record: KeyRecord) -> str:
    """As xterm does, with the modifiers as a number."""
    shift, alt, ctrl = record.state & SHIFT, record.state & _ALT, record.state & _CTRL
    if alt and not record.state & ENHANCED:  # a digit of a character's number
        return ""
    modifiers = 1 + bool(shift) + 2 * bool(alt) + 4 * bool(ctrl)
    held = f";{modifiers}" if modifiers > 1 else ""
    if record.key in _TILDE:
        return f"\x1b[{_TILDE[record.key]}{held}~"
    return f"\x1b[{'1' if held else ''}{held}{_CURSOR[record.key]}"


def _named(record: KeyRecord) -> str:
    shift, alt, ctrl = record.state & SHIFT, record.state & _ALT, record.state & _CTRL
    if record.key == _ENTER:
        return "\x1b\r" if shift or alt or ctrl else "\r"
    if record.key == _TAB:
        return "\x1b[Z" if shift else "\t"
    if record.key == _BACKSPACE:
        return "\x17" if ctrl else "\x1b\x7f" if alt else "\x7f"
    return _ESCAPE_KEY
