"""A terminal's settings: keys one by one and without echo, and everything as before afterwards.

POSIX terminals, through ``termios``; Windows consoles are in ``windows``.
"""

from __future__ import annotations

import atexit
import os
import sys
from typing import Any, TextIO

from client.input.waiter import is_in_background
from protocol.dataclass import dataclass


@dataclass(frozen=True)
class Size:
    """A terminal's size in characters."""

    columns: int
    rows: int


_FALLBACK = Size(80, 24)


def size_of(file: TextIO) -> Size:
    """The size of the terminal that a stream writes to; 80x24 where it cannot be told."""
    try:
        columns, rows = os.get_terminal_size(file.fileno())
    except (OSError, ValueError):
        return _FALLBACK
    return Size(columns or _FALLBACK.columns, rows or _FALLBACK.rows)


class RawTerminal:
    """A terminal's keyboard on file descriptor ``fd``, set to give each key as it is pressed.

    ``restore`` may be called from anywhere and any number of times; it is also called when the
    interpreter ends, in case nobody did.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._before: list[Any] | None = None

    @property
    def in_background(self) -> bool:
        """Whether the terminal is another job's just now."""
        return is_in_background(self._fd)

    def seize(self) -> None:
        """Take over the keyboard, or take it over again when others have changed it meanwhile."""
        if sys.platform == "win32":  # where this class is not used
            return
        import termios

        before = termios.tcgetattr(self._fd)
        settings = termios.tcgetattr(self._fd)
        # Ctrl-C, Ctrl-V and Ctrl-Z come as keys. Flow control off: Ctrl-S would look like a
        # chat that hangs. Enter is a carriage return, so that Ctrl-J is another key.
        settings[0] &= ~(
            termios.IXON | termios.ISTRIP | termios.INLCR | termios.IGNCR | termios.ICRNL
        )
        settings[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN)
        settings[6][termios.VMIN], settings[6][termios.VTIME] = 1, 0
        if self._before is None:
            self._before = before
            atexit.register(self.restore)
        termios.tcsetattr(self._fd, termios.TCSANOW, settings)

    def restore(self) -> None:
        """Set everything as it was. What has been typed and not read is dropped: a shell would
        take the rest of a message for commands."""
        if sys.platform == "win32" or self._before is None:
            return
        import termios

        before, self._before = self._before, None
        atexit.unregister(self.restore)
        if self.in_background:  # and so are its settings
            return
        try:
            termios.tcflush(self._fd, termios.TCIFLUSH)
            termios.tcsetattr(self._fd, termios.TCSANOW, before)
        except (OSError, termios.error):
            pass  # the terminal has gone, and its settings with it
