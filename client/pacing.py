"""How fast lines may go out: as the server's limit has it, so that none has to be refused.  Pure.

A server takes so many lines in any window (``welcome``).  It counts a line at some moment
between its sending and its answer, so whoever counts it when the answer comes sends nothing too
early.  What else keeps a line back, such as all who come from one address, a refusal says.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

# Of a limit beyond it nothing is counted here: it is there for programs, and refusals say enough.
MOST_COUNTED = 10_000
# A refusal without a time, or with one that makes no sense, is tried again within these seconds;
# no server can be set to a longer window than the last.
LEAST_SECONDS, MOST_SECONDS = 0.05, 86_400.0


class Pacing:
    """Not thread-safe.  Times are by ``clock``, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._limit, self._window = 0, 0.0  # 0: nothing is known, or it is too large to count
        self._answered: deque[float] = deque()  # when lines were taken, within the window
        self._refused_until = 0.0

    def allow(self, limit: int, window: float) -> None:
        """The server takes ``limit`` lines in any ``window`` seconds."""
        self._limit = limit if 0 < limit <= MOST_COUNTED else 0
        self._window = min(window, MOST_SECONDS)

    def taken(self) -> None:
        """The server has taken a line."""
        if self._limit:
            self._answered.append(self._clock())
            while len(self._answered) > self._limit:
                self._answered.popleft()

    def refused(self, seconds: float | None) -> None:
        """The server has refused one for now, and takes it again after so many seconds."""
        wait = min(max(seconds or 0.0, LEAST_SECONDS), MOST_SECONDS)
        self._refused_until = max(self._refused_until, self._clock() + wait)

    def ready_at(self, in_flight: int) -> float:
        """When one more line may go, with so many unanswered: a moment that may be over, or
        infinity where one of these has to be answered first."""
        now = self._clock()
        while self._answered and self._answered[0] + self._window <= now:
            self._answered.popleft()
        ready = self._refused_until
        if not self._limit or len(self._answered) + in_flight < self._limit:
            return ready
        # As many answers have to leave the window as there are lines too many.
        behind = len(self._answered) + in_flight - self._limit
        if behind >= len(self._answered):
            return math.inf
        return max(ready, self._answered[behind] + self._window)
