"""What tells a server to stop, or to take up a renewed certificate: signals, and `q`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable


class Signals:
    """Ctrl-C, SIGTERM, and `q` with Enter on standard input.  A second Ctrl-C ends at once.

    SIGHUP means that a renewed certificate is to be taken up; unless ``secure`` it means what it
    always meant: the terminal has gone.  For the main thread.
    """

    def __init__(self, secure: bool) -> None:
        self._interrupted = False
        self._renewal = getattr(signal, "SIGHUP", None) if secure else None
        # Whichever thread the system tells of a signal writes its number into a pipe.  Python
        # itself would only call the handler when the main thread is awake; and it need not be the
        # main thread that is told and woken: one that is just starting another may be first.
        self._numbers, told = os.pipe()
        if sys.platform != "win32":
            os.set_blocking(told, False)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        self._told = told
        signal.signal(signal.SIGINT, self._interrupt)
        for name in ("SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), lambda *_: None)
        # A daemon that reads with os.read: nothing at exit waits for it, or for its buffer.
        threading.Thread(target=self._watch_input, name="stdin", daemon=True).start()

    def wait(self, renew: Callable[[], None]) -> None:
        """Until the server is to stop; ``renew`` is called whenever the certificate is renewed."""
        while os.read(self._numbers, 1)[0] == self._renewal:
            renew()

    def _interrupt(self, *_: object) -> None:
        if self._interrupted:
            os._exit(130)
        self._interrupted = True

    def _watch_input(self) -> None:
        line = b""
        with contextlib.suppress(OSError):  # no standard input at all
            while read := os.read(0, 1024):
                for byte in read:
                    if byte not in b"\r\n":
                        line = (line + bytes((byte,)))[-8:]
                        continue
                    if line.strip().lower() == b"q":
                        os.write(self._told, bytes((signal.SIGTERM,)))
                        return
                    line = b""
