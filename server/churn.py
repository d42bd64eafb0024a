"""Churn: how often a room changes by comings, goings and renames, each of which every member hears.

More than 64 changes within a round trip make whatever is sealed meanwhile stale
(``protocol.limits.CHANGES_BEHIND``), and each is a line on every screen.  So a room has a bucket of
changes.
Whoever comes in anew or takes another nickname waits until there is one for it; to go, or to fall
behind, asks nobody, and is counted all the same.  Coming back in place changes nothing.

Addresses take turns, so that whoever has many connections waits behind itself.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from server import limits
from transport.token_bucket import TokenBucket

_NOTHING = 1e-6  # seconds: what is left when one has waited as long as was reckoned


class Changing(Protocol):
    """What changes, and has a limit: a room, or the place of one."""

    churn: ChurnLimiter


class ChurnLimiter:
    """One room's changes, and who waits to make one.  Thread-safe; its lock is a leaf."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # leaf; guards all below
        self._bucket = TokenBucket(limits.CHANGES_A_SECOND, limits.CHANGE_BURST, clock)
        self._granted = 0  # places that somebody has got, and not used yet
        # Bells of those that wait, by address; the address at the front is the next.
        self._waiting: OrderedDict[str, deque[threading.Event]] = OrderedDict()

    def count(self) -> None:
        """There was a change, whether anybody had waited for it or not."""
        with self._lock:
            if self._bucket.spare > -limits.CHANGE_BURST:
                self._bucket.spend(1.0)

    @contextlib.contextmanager
    def slot(
        self,
        group: str,
        bell: threading.Event,
        over: Callable[[], bool],
        tell: Callable[[float], None],
        patience: float = limits.CHANGE_PATIENCE,
        while_waiting: AbstractContextManager[None] | None = None,
    ) -> Iterator[float]:
        """Wait for a place, and hold it while the change is made.

        Yields 0.0, or the seconds after which to try again: where the wait would be longer than
        ``patience``, or ``over`` says so, which is asked whenever ``bell`` is set.  ``tell`` hears
        how many seconds it will be, where that is worth telling; ``while_waiting`` is held
        meanwhile.
        """
        with self._lock:
            self._waiting.setdefault(group, deque()).append(bell)
            wait = self._expected_locked(group)
        late = wait
        try:
            if wait <= patience:
                late = self._wait(group, bell, over, tell, wait, patience, while_waiting)
        finally:
            self._leave_line(group, bell, granted=not late)
        try:
            yield late
        finally:
            if not late:
                self._give_up_place()

    def _wait(
        self,
        group: str,
        bell: threading.Event,
        over: Callable[[], bool],
        tell: Callable[[float], None],
        wait: float,
        patience: float,
        while_waiting: AbstractContextManager[None] | None,
    ) -> float:
        """0.0 once it is this one's turn, or else as ``slot`` yields it."""
        deadline = self._clock() + patience
        if wait >= limits.CHANGE_WAIT_TOLD:
            tell(wait)
        while True:
            bell.clear()
            if over():
                return patience
            with self._lock:
                pause = self._left_locked(group, bell)
            if pause is not None and pause <= _NOTHING:
                return 0.0
            left = deadline - self._clock()
            if left <= 0.0:
                return patience
            with while_waiting or contextlib.nullcontext():
                bell.wait(left if pause is None else min(pause, left))

    def _leave_line(self, group: str, bell: threading.Event, granted: bool) -> None:
        with self._lock:
            line = self._waiting[group]
            line.remove(bell)
            if not line:
                del self._waiting[group]
            elif granted:
                self._waiting.move_to_end(group)  # the next address, and then this one again
            self._granted += granted
            self._ring_next_locked()

    def _give_up_place(self) -> None:
        """It was used, and counted, or came to nothing."""
        with self._lock:
            self._granted -= 1
            self._ring_next_locked()

    def _left_locked(self, group: str, bell: threading.Event) -> float | None:
        """Seconds until there is a place for this one; None if others are before it."""
        first = next(iter(self._waiting))
        if first != group or self._waiting[group][0] is not bell:
            return None
        return self._bucket.wait(1.0 + self._granted)

    def _expected_locked(self, group: str) -> float:
        """How long the last one of this address will wait, if nobody goes meanwhile."""
        turns = len(self._waiting[group])
        before = sum(min(len(line), turns) for line in self._waiting.values())
        return self._bucket.wait(before + self._granted)

    def _ring_next_locked(self) -> None:
        if self._waiting:
            next(iter(self._waiting.values()))[0].set()
