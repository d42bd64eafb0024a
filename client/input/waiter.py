"""Waiting for bytes and for being told to stop, both at once. POSIX only."""

from __future__ import annotations

import errno
import os
import selectors
import signal
import sys
from contextlib import suppress

READ_BYTES = 64 * 1024
_LOOK_SECONDS = 0.5  # between two looks whether the terminal has come back to this job


def is_in_background(fd: int) -> bool:
    """Whether ``fd`` is this session's terminal, and another job's just now."""
    if sys.platform == "win32":
        return False
    try:
        return os.tcgetpgrp(fd) != os.getpgrp()
    except OSError:  # no terminal, or another session's
        return False


def _is_terminal(fd: int) -> bool:
    """Whether ``fd`` is the terminal that this session's jobs share."""
    try:
        return os.tcgetpgrp(fd) >= 0
    except OSError:
        return False


def let_run_in_background() -> None:
    """To read or write a terminal that another job has is an error, and does not stop this one."""
    for name in ("SIGTTIN", "SIGTTOU"):
        number = getattr(signal, name, None)
        if number is not None:
            with suppress(ValueError):  # not the main thread
                signal.signal(number, signal.SIG_IGN)


class Waiter:
    """Waits for a file descriptor to become readable, for ``wake``, or for ``stop``, which is for
    good. ``wakes``: the bytes that came so, for the caller to take away.

    A terminal that is another job's is not readable, whatever is typed there: ``in_background`` is
    true meanwhile. Nothing tells a job that goes on when it gets the terminal back, so it looks.

    Any signal wakes it too, if the main thread made this: one that comes just before the wait
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
        self._fd = fd
        self.in_background = False
        self.stopped = False
        self.wakes = b""
        with suppress(ValueError):  # not the main thread
            signal.set_wakeup_fd(self._wake_out, warn_on_full_buffer=False)

    def wait(self, timeout: float | None = None) -> bool | None:
        """True: readable, False: the time is over or it was woken, None: stopped."""
        if self.stopped:
            return None
        before = self.in_background
        if self._is_in_background():
            timeout = _LOOK_SECONDS
        if self.in_background != before:
            return False  # whoever reads has to know
        ready = {key.fd for key, _events in self._selector.select(timeout)}
        if self.stopped:
            return None
        if self._wake_in in ready:
            self.wakes += os.read(self._wake_in, READ_BYTES)
            return False
        return bool(ready) and not self._is_in_background()

    def read(self) -> bytes | None:
        """What is there; empty at the end, None if the terminal is another job's after all."""
        try:
            return os.read(self._fd, READ_BYTES)
        except OSError as error:
            # It may have come back since.
            if error.errno == errno.EIO and _is_terminal(self._fd):
                return None
            return b""

    def _is_in_background(self) -> bool:
        """Whether the terminal is another job's now; what is typed there is not waited for."""
        found = is_in_background(self._fd)
        if found != self.in_background:
            self.in_background = found
            if found:
                self._selector.unregister(self._fd)
            else:
                self._selector.register(self._fd, selectors.EVENT_READ)
        return found

    def wake(self, byte: bytes) -> None:
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
