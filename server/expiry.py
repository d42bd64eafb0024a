"""One thread for everything that ends by itself: graces, tokens, counters.

It sleeps until the next thing is due, and for ever while nothing is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from server.threads import tell_failure

# A job does what is due and returns the seconds until it wants to be called again, or None.
Job = Callable[[], "float | None"]
_SHORTEST_SLEEP = 0.05
_AFTER_FAILURE = 60.0


class ExpiryThread:
    """Runs its jobs when the nearest of them is due, or when something new is scheduled."""

    def __init__(
        self, jobs: Sequence[Job], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._jobs, self._clock = jobs, clock
        self._wake = threading.Condition()  # leaf; guards both fields
        self._due: float | None = None  # on the clock; None: sleeping until something is scheduled
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="expiry", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def schedule(self, within: float) -> None:
        """Something new ends in ``within`` seconds: look no later than that."""
        due = self._clock() + within
        known = self._due  # read once, without the lock: at worst one needless look more
        if known is not None and known <= due:
            return
        with self._wake:
            if self._due is None or due < self._due:
                self._due = due
                self._wake.notify()

    def stop(self) -> None:
        """End the thread and join it."""
        with self._wake:
            self._stopped = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while self._sleep():
            waits = [wait for job in self._jobs if (wait := _run(job)) is not None]
            if waits:
                self.schedule(max(min(waits), _SHORTEST_SLEEP))

    def _sleep(self) -> bool:
        """Until something is due; False when stopped."""
        with self._wake:
            while not self._stopped:
                left = None if self._due is None else self._due - self._clock()
                if left is not None and left <= 0:
                    self._due = None
                    return True
                self._wake.wait(left)
            return False


def _run(job: Job) -> float | None:
    try:
        return job()
    except Exception:  # a bug of ours in one job must not keep all others from ending
        tell_failure()
        return _AFTER_FAILURE
