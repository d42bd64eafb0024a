"""What a terminal is asked for while the chat has it, and how that is taken back. Pure.

Sequences are those of ECMA-48 and of xterm (invisible-island.net/xterm/ctlseqs); terminals that
do not know one do nothing. Two of these modes are on by default in some terminals and off in
others: how they were is asked for (DECRQM), and the answer comes as a key.
"""

from __future__ import annotations

from collections.abc import Set

PASTE_ON, PASTE_OFF = "\x1b[?2004h", "\x1b[?2004l"  # brackets around a paste
MOUSE_ON, MOUSE_OFF = "\x1b[?1000h\x1b[?1006h", "\x1b[?1006l\x1b[?1000l"
# All ways of telling of the mouse, in all their spellings: a program that has crashed may have left
# one on, and what the terminal tells would be typed.
MOUSE_SILENT = "\x1b[?9;1000;1001;1002;1003;1005;1006;1015;1016l"

# What the keypad sends is printed on it. But tmux makes of its Enter what it makes of Ctrl-J, if it
# is not in application mode.
KEYPAD_PLAIN, KEYPAD_OWN = "\x1b>", "\x1b="

# Alt sends an escape character before the other key, as it does in most terminals, but xterm.
ALT_ON, _ALT_OFF, ALT_ASK = "\x1b[?1036h", "\x1b[?1036l", "\x1b[?1036$p"
# On the second screen many terminals send arrow keys for the mouse wheel, which would go through
# what was typed. Most that know of this have it on by default.
WHEEL_OFF, _WHEEL_ON, WHEEL_ASK = "\x1b[?1007l", "\x1b[?1007h", "\x1b[?1007$p"
ALT_WAS_ON, WHEEL_WAS_OFF = "mode-1036-on", "mode-1007-off"


def alt_back(answers: Set[str]) -> str:
    """Let Alt send what it did before, after these ``answers``."""
    return "" if ALT_WAS_ON in answers else _ALT_OFF


def wheel_back(answers: Set[str]) -> str:
    """Let the wheel do what it did before, after these ``answers``."""
    return "" if WHEEL_WAS_OFF in answers else _WHEEL_ON
