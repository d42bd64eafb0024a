"""The table of keys: which one an escape sequence of a terminal is. Pure.

Sequences are those of ECMA-48 as xterm sends them (invisible-island.net/xterm/ctlseqs), its
``CSI 27;modifier;code~``, the ``CSI code;modifier u`` of fixterms and kitty, and what rxvt, st and
konsole send of their own. Names are those of ``keys.KeyPress``.
"""

from __future__ import annotations

from protocol.dataclass import dataclass

PASTE_BEGINS, PASTE_ENDS = "200", "201"  # parameters of the ~ around a paste (mode 2004)
SHIFT, ALT, CTRL = 1, 2, 4
_META, _LOCKS, _RELEASED = 32, 64 | 128, 3  # Caps Lock and Num Lock change nothing here


@dataclass(frozen=True)
class KeyPress:
    """One key. ``name``: ``text`` or ``paste`` (with the ``text``), ``paste-asks`` (a paste that
    would have sent lines, or may have, without its last line end), a word such as ``enter``,
    ``left``, ``word-left``, ``ctrl-`` or ``alt-`` and a letter, or ``alt-`` and a digit but 0."""

    name: str
    text: str = ""


_CONTROL = {
    "\r": "enter", "\n": "newline", "\t": "tab", "\x7f": "backspace", "\x1b": "escape",
    "\x1f": "ctrl-_",
}  # fmt: skip
_ALT = {
    "\r": "newline", "\n": "newline", "\x7f": "ctrl-w", "\x08": "ctrl-w", "b": "word-left",
    "f": "word-right", "d": "delete-word",
}  # fmt: skip
_LETTER = {
    "A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end", "Z": "backtab",
}  # fmt: skip
_TILDE = {
    "1": "home", "7": "home", "4": "end", "8": "end", "3": "delete", "5": "page-up",
    "6": "page-down",
}  # fmt: skip
# Without parameters: focus (mode 1004), Delete and Ctrl-Delete of st, and rxvt's with Shift.
_BARE = {
    "I": "focus-in", "O": "focus-out", "P": "delete", "M": "delete-word",
    "a": "up", "b": "down", "c": "right", "d": "left",
}  # fmt: skip
# After ESC O, beside those of _LETTER: rxvt's with Ctrl.
_SINGLE = {"a": "up", "b": "down", "c": "word-right", "d": "word-left"}
_KEYPAD = dict(zip("jklmnopqrstuvwxyX", "*+,-./0123456789=", strict=True))  # in application mode
_TILDE_ENDS = {"~": 0, "^": CTRL, "$": SHIFT, "@": CTRL | SHIFT}  # the latter three: rxvt
_BY_WORD = {"left": "word-left", "right": "word-right", "delete": "delete-word"}
_ENTER = (13, 57414)  # the second one: kitty's, on the keypad
_WHEEL = {"64": "wheel-up", "65": "wheel-down"}  # mode 1006


def control(character: str) -> KeyPress | None:
    """The key that a control character is."""
    name = _CONTROL.get(character)
    if name is None and "\x01" <= character <= "\x1a":
        name = "ctrl-" + chr(ord(character) + 0x60)
    return None if name is None else KeyPress(name)


def with_alt(character: str) -> KeyPress | None:
    """The key that a character with an escape character before it is."""
    lower = character.lower()
    name = _ALT.get(lower)
    if name is None and ("a" <= lower <= "z" or "1" <= lower <= "9"):
        name = "alt-" + lower
    return None if name is None else KeyPress(name)


def single_shift(final: str, alt: bool = False, keypad: bool = False) -> KeyPress | None:
    """ESC O and a final character (SS3). ``keypad``: the keypad is in application mode, and M is
    its Enter; else it is konsole's Shift-Enter."""
    if final == "M":
        return KeyPress("enter" if keypad and not alt else "newline")
    if final in _KEYPAD:
        return KeyPress("text", _KEYPAD[final])
    name = _SINGLE.get(final) or _LETTER.get(final)
    return None if name is None else KeyPress(_moved(name, ALT if alt else 0))


def control_sequence(parameters: str, final: str, alt: bool = False) -> KeyPress | None:
    """ESC [, parameters and intermediates, and a final character (CSI)."""
    if parameters.startswith("<"):  # of the mouse, only the wheel
        name = _WHEEL.get(parameters[1:].partition(";")[0]) if final == "M" else None
        return None if name is None else KeyPress(name)
    if parameters[:1] in ("=", ">", "?"):  # an answer of the terminal
        return _mode(parameters) if final == "y" else None
    fields = parameters.split(";")
    if final == "u":
        modifiers = _modifiers(fields[1:2])
        return None if modifiers is None else _coded(fields[0], modifiers, fields[2:3])
    if final == "~" and fields[0] == "27" and len(fields) == 3:
        modifiers = _modifiers(fields[1:2])
        return None if modifiers is None else _coded(fields[2], modifiers, [])
    if not parameters and final in _BARE:
        return KeyPress(_BARE[final])
    tilde = final in _TILDE_ENDS
    name = _TILDE.get(fields[0]) if tilde else _LETTER.get(final)
    modifiers = _modifiers(fields[1:2])
    if name is None or modifiers is None:
        return None
    return KeyPress(_moved(name, modifiers | (ALT if alt else 0) | _TILDE_ENDS.get(final, 0)))


def _mode(parameters: str) -> KeyPress | None:
    """What a terminal says of a mode (DECRPM)."""
    number, _semicolon, setting = parameters[1:].partition(";")
    state = {"1$": "on", "3$": "on", "2$": "off", "4$": "off"}.get(setting)
    return KeyPress(f"mode-{number}-{state}") if state and number.isdigit() else None


def _moved(name: str, modifiers: int) -> str:
    return _BY_WORD.get(name, name) if modifiers & (CTRL | ALT) else name


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else -1


def _modifiers(fields: list[str]) -> int | None:
    """The bits of the second parameter; None if the key was let go, or has one more that is
    not known here, such as Super."""
    text, _colon, event = (fields[0] if fields else "").partition(":")
    bits = max(0, _number(text) - 1)
    if event == str(_RELEASED) or bits & ~(SHIFT | ALT | CTRL | _META | _LOCKS):
        return None
    return bits & (SHIFT | ALT | CTRL) | (ALT if bits & _META else 0)


def _coded(field: str, modifiers: int, text: list[str]) -> KeyPress | None:
    """A key by the number of its character, perhaps with others of the same key after colons."""
    codes = [_number(code) for code in field.split(":")]
    code = codes[0]
    if code in _ENTER:
        return KeyPress("newline" if modifiers else "enter")
    if code == 9:
        return KeyPress("backtab" if modifiers & SHIFT else "tab")
    if code in (8, 127):
        return KeyPress("ctrl-w" if modifiers & (CTRL | ALT) else "backspace")
    if code == 27:
        return KeyPress("escape")
    if modifiers & (CTRL | ALT):
        return _chorded(codes, modifiers)
    shifted = codes[1:2] if modifiers & SHIFT else []
    numbers = [_number(text[0])] if text and text[0] else shifted or [code]
    character = _character(numbers[0])
    if modifiers & SHIFT and numbers == [code]:
        character = character.upper()
    return KeyPress("text", character) if character else None


def _chorded(codes: list[int], modifiers: int) -> KeyPress | None:
    """With Ctrl or Alt; of a keyboard without Latin letters, what Latin ones have there."""
    latin = codes[0] if codes[0] < 128 or len(codes) < 3 else codes[2]
    character = _character(latin).lower()
    if not character or modifiers & CTRL and modifiers & ALT:
        return None
    if modifiers & ALT:
        return with_alt(character)
    if character in "_/7":
        return KeyPress("ctrl-_")
    return control(chr(ord(character) & 0x1F)) if "a" <= character <= "z" else None


def _character(code: int) -> str:
    """A character that can be typed; empty for all others, such as the keys that kitty numbers
    in the private area."""
    if not 32 <= code < 0x110000 or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xF900:
        return ""
    return chr(code)
