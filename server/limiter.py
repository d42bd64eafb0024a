"""Sliding windows: at most so many in so many seconds, for each key."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable

from server import bounds


class SlidingWindows:
    """Counts for many keys at once.  Thread-safe; no call blocks on anything but its lock.

    ``limit`` takings are allowed in any ``window`` seconds.  Reconnecting changes nothing: a
    key is a fingerprint, not a connection.
    """

    def __init__(
        self,
        limit: int,
        window: float,
        clock: Callable[[], float] = time.monotonic,
        most: int = bounds.WINDOWS,
    ) -> None:
        self._limit, self._window, self._clock, self._most = limit, window, clock, most
        self._lock = threading.Lock()  # leaf; guards the table
        # Least recently used first, so that what is dropped at the bound is the most idle.
        self._stamps: OrderedDict[Hashable, deque[float]] = OrderedDict()

    def take(self, key: Hashable) -> float:
        """Count one for ``key``.

        Returns 0.0 if it was counted, else the seconds until one more would be; a refused
        taking is not counted.
        """
        now = self._clock()
        with self._lock:
            stamps = self._stamps.setdefault(key, deque())
            self._stamps.move_to_end(key)
            self._expire_locked(stamps, now)
            if len(stamps) >= self._limit:
                return max(stamps[0] + self._window - now, 0.001)
            stamps.append(now)
            while len(self._stamps) > self._most:
                self._stamps.popitem(last=False)
        return 0.0

    def give_back(self, key: Hashable) -> None:
        """Undo the latest taking of ``key``: something else refused what it was for."""
        with self._lock:
            stamps = self._stamps.get(key)
            if stamps:
                stamps.pop()

    def sweep(self) -> float | None:
        """Forget what has left its window; seconds until more can go, None if all is gone."""
        now = self._clock()
        with self._lock:
            for key in list(self._stamps):
                stamps = self._stamps[key]
                self._expire_locked(stamps, now)
                if not stamps:
                    del self._stamps[key]
            return self._window if self._stamps else None

    def __len__(self) -> int:
        with self._lock:
            return len(self._stamps)

    def _expire_locked(self, stamps: deque[float], now: float) -> None:
        while stamps and now - stamps[0] >= self._window:
            stamps.popleft()
