"""How long nothing has come of what waits for an answer, and what to do about it.

Pure: it is told the time, whether something waits, and what has moved.  For the reader thread.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from protocol.dataclass import dataclass

FIRST_NOTICE = 5.0  # seconds without an answer, before it is said
DIAL_AFTER = 10.0  # before another connection is tried, without jitter
LONGEST_WAIT = 40.0  # to which that grows while it was in vain
CALM = 120.0  # seconds after which it is forgotten that it was
ROUTE_SECONDS = 1.0  # between two looks at the system's route, while something is late


@dataclass(frozen=True)
class Step:
    """What is to be done now.

    ``said``: tell that nothing has come for so many seconds.  ``probe``: ask for an
    answer.  ``dial``: try another connection.  ``back``: there was silence, and it is over.
    """

    said: int | None = None
    probe: bool = False
    dial: bool = False
    back: bool = False


class SilenceMonitor:
    """One connection's.  ``due`` is when to look again at the latest, if nothing happens.

    The waits before it is said again double, and so does the wait for another connection where
    one was tried in vain before, and the first one has come back: on a network that takes its time,
    each answer is late.  Where the system tells that some bytes were not even acknowledged, it is
    not the server that takes its time, and the wait is no longer than until it is said.
    ``chance`` is ``random.uniform``.
    """

    def __init__(self, chance: Callable[[float, float], float] = random.uniform) -> None:
        self._chance = chance
        self._moved = -1
        self._since: float | None = None  # something waits, and nothing has moved
        self._say_at = self._dial_at = 0.0  # seconds after _since, a moment
        self._dialled = False  # since something was answered last
        self._vain = 0  # times that it was, and the same connection answered
        self._dialled_at = -math.inf
        self.due = math.inf
        self.late = False  # an answer takes longer than it does where all is well

    def begin(self) -> None:
        """Another connection: what was measured of the last one says nothing of it."""
        self._moved, self._since, self.late, self.due = -1, None, False, math.inf
        self._dialled, self._vain = False, 0

    def look(self, now: float, waits: bool, moved: int, stuck: bool = False) -> Step:
        """What to do at ``now``, the network having been looked at.

        ``waits``: something was sent that has to be answered.  ``moved`` grows while bytes come,
        or are taken; ``stuck``: some of those sent are known not to have arrived.
        """
        # What comes says that the network is back, and not that what was sent arrives: TCP may wait
        # for as long again as it did before it repeats that.
        forlorn = waits and stuck and self._dialled
        if (moved > self._moved and not forlorn) or not waits:
            back = self._since is not None and self._say_at > FIRST_NOTICE
            self._vain += self._dialled
            self._dialled, self._moved = False, max(moved, self._moved)
            self._since, self.late = None, False
            if waits:
                self._start(now)
            else:
                self.due = math.inf
            return Step(back=back)
        if self._since is None:
            self._start(now)
        return self._wait(now, stuck)

    def dial_soon(self, now: float, seconds: float = 0.0) -> None:
        """Try another connection in ``seconds``, if nothing comes until then."""
        self._dial_at = now + seconds
        self.due = min(self.due, self._dial_at)

    def _start(self, now: float) -> None:
        if now - self._dialled_at >= CALM:
            self._vain = 0
        wait = min(DIAL_AFTER * 2.0**self._vain, LONGEST_WAIT)
        self._since, self._say_at = now, FIRST_NOTICE
        self._dial_at = now + wait * self._chance(1.0, 1.3)
        self._schedule(now)

    def _wait(self, now: float, stuck: bool) -> Step:
        assert self._since is not None  # noqa: S101
        silent = now - self._since
        said, probe = None, False
        if silent >= self._say_at:
            said, probe = int(silent), self._say_at == FIRST_NOTICE
            if probe and stuck and not self._vain:
                self._dial_at = min(self._dial_at, now + self._chance(0.0, 0.5))
            while self._say_at <= silent:
                self._say_at *= 2
        dial = now >= self._dial_at
        if dial:
            self._dialled, self._dialled_at, self._dial_at = True, now, math.inf
        self._schedule(now)
        return Step(said, probe, dial)

    def _schedule(self, now: float) -> None:
        assert self._since is not None  # noqa: S101
        self.late = now - self._since >= ROUTE_SECONDS
        self.due = min(self._since + self._say_at, self._dial_at, now + ROUTE_SECONDS)
