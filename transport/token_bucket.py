"""A token bucket, and what a peer costs in it: work is paid for in bytes, so many a second.

A message is read and opened whoever sent it, so a peer that sends what is cheap to send and dear
to take could keep everybody else waiting, within every bound on sizes.  Here each byte costs one,
and what takes longer than that costs as many as could have been read meanwhile.  Whoever is in
debt is not read until it is out of it; the network keeps its data, and so it notices.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# Beside its bytes, some 0.05 µs each.  A fragment, ping or pong takes 10 µs, and thousands of them
# come at once, in which nobody else has a turn: they cost more, and nobody needs many.
FRAGMENT_COST = 1024
# Opening a record and what comes with it, some 50 µs.
MESSAGE_COST = 1024
# Each frame in a record, some 5 µs, a thousand in one.
VALUE_COST = 512
# What was refused, or asked before: nobody needs many answers of that kind either.
REFUSAL_COST = 4096


class TokenBucket:
    """``rate`` a second, ``burst`` at once; spending may lead into debt.  Not thread-safe."""

    def __init__(
        self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._spare, self._at = burst, clock()

    def spend(self, cost: float) -> None:
        """Something was done that costs so much; less than nothing if it is given back."""
        now = self._clock()
        gained = (now - self._at) * self._rate
        self._spare, self._at = min(self._burst, self._spare + gained) - cost, now

    def wait(self, cost: float = 0.0) -> float:
        """Seconds until there is as much as ``cost``; 0.0 if that is now."""
        if cost <= self._spare:  # and what has come since then makes it more
            return 0.0
        self._fill()
        return max(0.0, (cost - self._spare) / self._rate)

    @property
    def spare(self) -> float:
        """What there is now; less than nothing in debt."""
        self._fill()
        return self._spare

    @property
    def is_full(self) -> bool:
        """Whether nothing of it would be missed."""
        return self.spare >= self._burst

    def _fill(self) -> None:
        now = self._clock()
        gained = (now - self._at) * self._rate
        self._spare, self._at = min(self._burst, self._spare + gained), now
