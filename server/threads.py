"""Threads of one connection, and what is said when one of them fails."""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Callable


def tell_failure() -> None:
    """Report the exception that is being handled as a thread's last one would be."""
    kind, value, trace = sys.exc_info()
    if kind is not None:
        threading.excepthook(threading.ExceptHookArgs((kind, value, trace, None)))


def start(run: Callable[[], None]) -> None:
    """Have ``run`` done by a thread of its own, which nobody can join and the process's end ends.

    Raises RuntimeError if the system has no more threads.  ``threading.Thread`` waits until the
    new thread runs: three of the nine times that a login has to wait for another thread.
    """
    try:
        _thread.start_new_thread(_run, (run,))
    except MemoryError:
        raise RuntimeError("no memory for another thread") from None


def _run(run: Callable[[], None]) -> None:
    try:
        run()
    except Exception:
        tell_failure()
