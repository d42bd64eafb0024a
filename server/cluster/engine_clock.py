"""The engine's clock, which all nodes go by: a node's own wall clock may be wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_DRIFT = 0.001  # seconds a second that an old look may have gone wrong by: a bad quartz


class EngineClock:
    """Seconds of the engine's clock, from this node's monotonic one.  Thread-safe.

    What is asked of the engine tells its time: no sooner than the question was sent, no later than
    the answer came.  The closest of these counts, until it has grown old.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # leaf; guards the three below
        self._offset = 0.0
        self._error = float("inf")  # of the offset, when it was looked at
        self._at = 0.0

    def __call__(self) -> float:
        """Now."""
        return self._clock() + self._offset

    @property
    def offset(self) -> float:
        """How far it is ahead of this node's monotonic clock."""
        return self._offset

    def monotonic(self) -> float:
        """Now, as ``look`` wants it for when the question was sent."""
        return self._clock()

    def look(self, sent: float, now_ms: int) -> None:
        """The engine has said that it is ``now_ms``; the question was sent at ``sent``."""
        received = self._clock()
        error = (received - sent) / 2
        with self._lock:
            if error <= self._error + (received - self._at) * _DRIFT:
                self._offset = now_ms / 1000 - (sent + received) / 2
                self._error, self._at = error, received

    def forget(self) -> None:
        """It may be another engine's from now on."""
        with self._lock:
            self._error = float("inf")
