"""What a POSIX terminal's signals ask of the console: a new size, to stop, to go on.

A handler only writes a byte: whoever waits for keys does the rest, outside the handler.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

RESIZED, TO_STOP, CONTINUED = b"w", b"z", b"c"

_NAMES = {"SIGWINCH": RESIZED, "SIGTSTP": TO_STOP, "SIGCONT": CONTINUED}


# What tells a program to go: Ctrl-C, a supervisor, a terminal that is closed.
_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")


def heed(handler: Callable[[int, object], None] | signal.Handlers) -> None:
    """Let ``handler`` have what tells to go, but for what was ignored when the program started:
    who did that (``nohup``, a shell's ``&``) meant it. For the main thread."""
    for name in _ENDING:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


class TerminalSignals:
    """Tells ``wake`` of each of them from ``install`` to ``remove``."""

    def __init__(self, wake: Callable[[bytes], None]) -> None:
        self._wake = wake
        self._before: dict[int, Any] = {}

    def install(self) -> None:
        """Take the signals over, where there are any and this is the main thread."""
        for name, byte in _NAMES.items():
            number = getattr(signal, name, None)
            if number is not None:
                with suppress(ValueError):  # another thread: nothing can be taken over there
                    self._before[number] = signal.signal(number, self._handler(byte))

    def remove(self) -> None:
        """Let them mean what they meant before."""
        for number, before in self._before.items():
            with suppress(ValueError):
                signal.signal(number, signal.SIG_DFL if before is None else before)
        self._before = {}

    def _handler(self, byte: bytes) -> Callable[[int, object], None]:
        return lambda _number, _frame: self._wake(byte)


def stop_here() -> None:
    """Stop this job as the terminal's own Ctrl-Z would; returns when it is continued."""
    if sys.platform == "win32":
        return
    before = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    try:
        os.kill(0, signal.SIGTSTP)
    finally:
        signal.signal(signal.SIGTSTP, before)
