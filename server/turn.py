"""One acceptor works at a time.

However many strangers come at once, members share the interpreter with one of those threads.
Whoever waits, for the network or for anything else, lets another one work; who has been accepted
takes a turn before anybody else is: so connections queue with the system, and not as threads.
"""

from __future__ import annotations

import threading
from types import TracebackType


class _Away:
    """Held while whoever has the turn waits for something."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        self._lock.release()

    def __exit__(
        self, kind: type[BaseException] | None, value: object, trace: TracebackType | None
    ) -> None:
        self._lock.acquire()


class Turn:
    """``with turn`` to work, and inside it ``with turn.away`` to wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # before all others: whoever waits for it holds none
        self.away = _Away(self._lock)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, value: object, trace: TracebackType | None
    ) -> None:
        self._lock.release()
