"""What each key of the chat does in a terminal: pressed for real, then decoded."""

from __future__ import annotations

from client.fullscreen.canvas import ENTER
from client.input import modes
from client.input.keys import KeyDecoder
from tools.terminals.terminal import Terminal

_TAKEN = "kept by the terminal"
# As X names them, and as people do.
KEYS = {
    "alt+Return": "Alt-Enter", "shift+Return": "Shift-Enter", "ctrl+j": "Ctrl-J",
    "KP_Enter": "keypad Enter", "Up": "↑", "Left": "←", "Home": "Home", "End": "End",
    "ctrl+Left": "Ctrl-←", "ctrl+Right": "Ctrl-→", "alt+Left": "Alt-←", "alt+b": "Alt-B",
    "alt+f": "Alt-F", "alt+s": "Alt-S", "alt+p": "Alt-P", "alt+n": "Alt-N", "alt+d": "Alt-D",
    "alt+1": "Alt-1", "alt+9": "Alt-9", "ctrl+n": "Ctrl-N", "ctrl+p": "Ctrl-P", "alt+a": "Alt-A",
    "alt+r": "Alt-R",
    "Delete": "Delete",
    "BackSpace": "Backspace", "ctrl+BackSpace": "Ctrl-Backspace",
    "alt+BackSpace": "Alt-Backspace",
    "ctrl+Delete": "Ctrl-Delete", "Tab": "Tab", "shift+Tab": "Shift-Tab", "Prior": "PgUp",
    "Next": "PgDn", "ctrl+x": "Ctrl-X", "ctrl+r": "Ctrl-R", "Escape": "Esc",
}  # fmt: skip


def rows(name: str) -> dict[str, str]:
    """For each key, the name that the decoder gives it and what the terminal has sent."""
    keypad = name in ("tmux", "screen")
    with Terminal(name, 80, 24) as terminal:
        terminal.write(ENTER + (modes.KEYPAD_OWN if keypad else ""))
        terminal.cursor()
        table = {shown: _cell(terminal.sent_by(key), keypad) for key, shown in KEYS.items()}
        for up, shown in ((True, "wheel up"), (False, "wheel down")):
            terminal.received()
            terminal.wheel(up)
            table[shown] = _cell(terminal.sent_by(""), keypad).replace(_TAKEN, "nothing")
        return table


def _cell(sent: bytes | None, keypad: bool) -> str:
    if sent is None:
        return _TAKEN
    if not sent:
        return _TAKEN
    decoder = KeyDecoder(keypad=keypad)
    keys = [*decoder.feed(sent, 0.0), *decoder.expire(10.0)]
    names = " ".join(f"“{key.text}”" if key.name == "text" else key.name for key in keys)
    return f"{names or 'nothing'} `{_readable(sent)}`"


def _readable(sent: bytes) -> str:
    """Bytes as the handbooks write them."""
    text = sent.decode("utf-8", "backslashreplace").replace("\x1b[", "CSI ")
    text = text.replace("\x1b", "ESC ").replace("|", "\\|")
    return "".join(char if char.isprintable() else f"^{chr(ord(char) ^ 64)}" for char in text)
