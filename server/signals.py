"""What tells a server to stop, or to take up a renewed certificate: signals, and `q`."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

from server import limits
from settings.exit_status import ExitStatus

_LOOK_SECONDS = 0.5  # between two looks whether the terminal has come back to this job


class Signals:
    """Ctrl-C, SIGTERM, and `q` with Enter on standard input.  A second Ctrl-C ends at once.

    SIGHUP means that a renewed certificate is to be taken up; unless ``secure`` it means what it
    always meant: the terminal has gone.  What was ignored when the program started (``nohup``,
    ``&`` in a script) never stops it.  ``on_line`` gets every other line of standard input, in a
    thread of its own.  For the main thread.
    """

    def __init__(self, secure: bool, on_line: Callable[[str], None] = lambda line: None) -> None:
        self._interrupted = False
        self._on_line = on_line
        self._renewal = getattr(signal, "SIGHUP", None) if secure else None
        # Whichever thread the system tells of a signal writes its number into a pipe.  Python
        # itself would only call the handler when the main thread is awake; and it need not be the
        # main thread that is told and woken: one that is just starting another may be first.
        self._numbers, told = os.pipe()
        if sys.platform != "win32":
            os.set_blocking(told, False)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        self._told = told
        self._take("SIGINT", self._interrupt)
        self._take("SIGTERM", _noted)
        self._take("SIGHUP", _noted)
        # In the background, reading or writing the terminal would stop the server: it is an error.
        for name in ("SIGTTIN", "SIGTTOU"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)
        if sys.stdin is not None:  # None: closed, and 0 may be any other descriptor
            # A daemon that reads with os.read: nothing at exit waits for it, or for its buffer.
            threading.Thread(target=self._watch_input, name="stdin", daemon=True).start()

    def wait(self, renew: Callable[[], None]) -> None:
        """Until the server is to stop; ``renew`` is called whenever the certificate is renewed."""
        while os.read(self._numbers, 1)[0] == self._renewal:
            renew()

    def _take(self, name: str, handler: Callable[..., None]) -> None:
        number = getattr(signal, name, None)
        if number is None:
            return
        # To renew a certificate hurts nobody, and is all that SIGHUP does then.
        if signal.getsignal(number) is not signal.SIG_IGN or number == self._renewal:
            signal.signal(number, handler)

    def _interrupt(self, *_: object) -> None:
        if self._interrupted:
            os._exit(ExitStatus.INTERRUPTED)
        self._interrupted = True

    def _watch_input(self) -> None:
        line = b""
        with contextlib.suppress(OSError):  # no standard input at all
            while read := _read(0):
                for byte in read:
                    if byte not in b"\r\n":
                        line = (line + bytes((byte,)))[: limits.CONSOLE_BYTES]
                        continue
                    if line.strip().lower() == b"q":
                        os.write(self._told, bytes((signal.SIGTERM,)))
                        return
                    self._on_line(line.decode("utf-8", "replace"))
                    line = b""


def _noted(*_: object) -> None:
    """Nothing more: the number in the pipe is enough."""


def _read(fd: int) -> bytes:
    """What comes next, empty at the end.  Waits while the terminal is another job's.

    Raises OSError where there is nothing to read from.
    """
    while True:
        if not _is_anothers(fd):
            try:
                return os.read(fd, 1024)
            except OSError as error:
                if error.errno != errno.EIO or not _is_terminal(fd):
                    raise
        # It went to another job while this waited for a line.  Nothing tells a job that goes on
        # when it gets the terminal back.
        time.sleep(_LOOK_SECONDS)


def _is_anothers(fd: int) -> bool:
    """Whether ``fd`` is this session's terminal, and another job's just now."""
    return _is_terminal(fd) and os.tcgetpgrp(fd) != os.getpgrp()


def _is_terminal(fd: int) -> bool:
    """Whether ``fd`` is the terminal that this session's jobs share."""
    if sys.platform == "win32":
        return False
    try:
        return os.tcgetpgrp(fd) >= 0
    except OSError:
        return False
