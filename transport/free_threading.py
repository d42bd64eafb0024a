"""What is different where threads run at once: CPython without the interpreter's lock.

With the lock, what one thread writes is seen by all others in that order.  Without it single steps
are whole (an attribute that is set, ``append`` and ``pop`` of a list, a dict's item), but there is
no promise about the order in which others see two of them, other than by a lock that both take
(docs/DESIGN.md, "Without the interpreter's lock").
"""

from __future__ import annotations

import sys
import threading

FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()


class Fence:
    """Of two threads that pass, the later one sees all that the other wrote before it did."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # leaf; held for no time at all

    def cross(self) -> bool:
        """Pass; always True."""
        with self._lock:
            return True
