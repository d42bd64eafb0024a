"""Ctrl-C before and between what has its own way of taking it.

While the program starts, Ctrl-C ends it on the spot (``cmd_chat.py`` sees to that): nothing is
there yet that would have to be put back. Where something is, it has to be an exception.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def as_exceptions() -> Iterator[None]:
    """In here Ctrl-C raises ``KeyboardInterrupt``, unless it is ignored."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield
        return
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
    finally:
        signal.signal(signal.SIGINT, before)
