"""Waiting for bytes and for being told to stop, both at once. POSIX only."""

from __future__ import annotations

import os
import selectors
import signal
import sys
from contextlib import suppress

READ_BYTES = 64 * 1024


class Waiter:
    """Waits for a file descriptor to become readable, for a nudge, or for ``stop``, which is for
    good. ``nudges``: the bytes of those that came, for the caller to take away.

    Any signal is a nudge too, if the main thread made this: one that comes just before the wait
    begins would otherwise not end it, and its handler would not be called until a key is pressed.
    """

    def __init__(self, fd: int) -> None:
        # select(), because epoll does not take regular files.
        self._selector = selectors.SelectSelector()
        self._wake_in, self._wake_out = os.pipe()
        if sys.platform != "win32":  # where this class is not used, and 3.10 has no such call
            os.set_blocking(self._wake_out, False)
        self._selector.register(self._wake_in, selectors.EVENT_READ)
        self._selector.register(fd, selectors.EVENT_READ)
        self.stopped = False
        self.nudges = b""
        with suppress(ValueError):  # not the main thread
            signal.set_wakeup_fd(self._wake_out, warn_on_full_buffer=False)

    def wait(self, timeout: float | None = None) -> bool | None:
        """True: readable, False: the time is over or a nudge came, None: stopped."""
        if self.stopped:
            return None
        ready = {key.fd for key, _events in self._selector.select(timeout)}
        if self.stopped:
            return None
        if self._wake_in in ready:
            self.nudges += os.read(self._wake_in, READ_BYTES)
            return False
        return bool(ready)

    def nudge(self, byte: bytes) -> None:
        """Let ``wait`` return; may be called by a signal handler."""
        with suppress(OSError):
            os.write(self._wake_out, byte)

    def stop(self) -> None:
        if not self.stopped:
            self.stopped = True
            with suppress(OSError):
                os.write(self._wake_out, b"\0")

    def close(self) -> None:
        self.stopped = True
        with suppress(ValueError):
            other = signal.set_wakeup_fd(-1)
            if other not in (-1, self._wake_out):
                signal.set_wakeup_fd(other, warn_on_full_buffer=False)
        self._selector.close()
        os.close(self._wake_in)
        os.close(self._wake_out)


def read(fd: int) -> bytes:
    """What is there; empty at the end, and when a terminal or the other end has gone."""
    try:
        return os.read(fd, READ_BYTES)
    except OSError:
        return b""
