"""When to try again: the waits between attempts, and how many of them may get in.

Pure: the time comes from a clock that is given.  For the reader thread alone.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable

FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0  # seconds between attempts, before jitter
# While one's place is kept, and nobody has said no: whoever has a network again is back at once.
GRACE_DELAY = 2.0
LASTED = 10.0  # seconds after which a connection was a good one
# A server that lets in and hangs up is not asked more often than this.
ENTRIES, ENTRIES_SECONDS = 10, 60.0


class Backoff:
    """Counts attempts.  ``chance`` is ``random.uniform``: jitter, so that a thousand clients do
    not come back in one moment."""

    def __init__(
        self,
        clock: Callable[[], float],
        chance: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._clock, self._chance = clock, chance
        self._entries: deque[float] = deque(maxlen=ENTRIES)
        self._entered_at: float | None = None
        self._kept_until = math.inf  # one's place
        self._short = 0  # connections in a row that did not last
        self._failed = 0  # attempts in a row that have not got in

    @property
    def attempt(self) -> int:
        """The number of the attempt that ``delay`` was for, since all was well."""
        return self._failed + max(0, self._short - 1)

    def entered(self) -> None:
        """An attempt was let in."""
        self._entered_at = self._clock()
        self._entries.append(self._entered_at)
        self._kept_until, self._failed = math.inf, 0

    def lost(self, grace: float) -> None:
        """The connection is over, if there was one; one's place is kept for ``grace`` seconds."""
        if self._entered_at is None:
            return
        now = self._clock()
        lasted = now - self._entered_at >= LASTED
        self._short = 0 if lasted else self._short + 1
        self._kept_until, self._entered_at = now + grace, None

    def calm(self) -> None:
        """The connection that there was has come back by itself."""
        self._failed = 0

    def closed(self) -> float:
        """Seconds in which no other connection may be entered: there were too many."""
        if len(self._entries) < ENTRIES:
            return 0.0
        return max(0.0, self._entries[0] + ENTRIES_SECONDS - self._clock())

    def delay(self, welcome: bool) -> float:
        """Seconds until the next attempt, of which this is one more.

        ``welcome``: whoever was there last has not said that it lets nobody in.
        """
        self._failed += 1
        now = self._clock()
        wait = _law(self._failed)
        if welcome and now < self._kept_until:
            wait = min(wait, GRACE_DELAY)
        # The first attempt after a connection that did not last counts as one of both.
        wait = max(wait, _law(self._short) if self._short else 0.0) * self._chance(0.5, 1.0)
        return math.ceil(max(wait, self.closed()) * 10) / 10


def _law(number: int) -> float:
    """The wait before an attempt of this number: each is twice the one before."""
    return float(min(FIRST_DELAY * 2.0 ** min(number - 1, 16), LONGEST_DELAY))
