"""Several addresses of one name, tried beside each other (RFC 8305, "Happy Eyeballs").

The first whose server *answers* wins, not the first that accepts a connection: boxes in between
accept for addresses that they do not reach.  So one that does not accept holds the next one up for
a quarter of a second, and one that accepts and says nothing for two.

While nobody accepts, all are tried anew now and then: a system repeats what was lost after one,
three, seven seconds (RFC 6298), and would not notice a network that is back in between.

Several servers of one chat are tried in the same way, each with all the addresses of its name: a
race of its own inside of that one.  So one that is gone without a word holds nobody up for long.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any, Generic, TypeVar

from protocol import hosts

from .errors import NOT_LET_IN, Unreachable
from .stream import Stream

MOST_ADDRESSES = 8  # of one name; each may cost a thread and a socket
ATTEMPT_DELAY = 0.25  # seconds until the next address is tried beside it (RFC 8305 8)
ANSWER_DELAY = 2.0  # where it has accepted and not answered yet
AGAIN_DELAY = 1.5  # until those that have not accepted are tried anew
MOST_ATTEMPTS = 24  # of one race
SERVER_DELAY = 1.0  # until another server is tried beside one that has not accepted

# What tells nothing of a server; of several failures the one that says most is reported, which is
# what stands between this machine and all of them.
UNANSWERED = ("network", "timeout", "refused")

Target = TypeVar("Target")
Result = TypeVar("Result")


class Lane:
    """One attempt of a race, as the thread that makes it sees it."""

    def __init__(self, race: Race[Any, Any], target: Any, began: float) -> None:
        self._race, self.target, self.began = race, target, began
        # These are guarded by the race's lock.
        self.streams: list[Stream] = []
        self.silent = True  # it has neither been accepted nor failed
        self.next_due = began + race.delay  # then the next address is tried beside this one

    def hold(self, stream: Stream) -> None:
        """From now on the race's end aborts ``stream``.  Raises Unreachable if it has ended."""
        with self._race.changed:
            if self._race.over:
                raise Unreachable("network")
            self.streams.append(stream)

    def accepted(self) -> None:
        """Somebody took the connection: an answer may take longer than that did."""
        with self._race.changed:
            self.silent = False
            self.next_due = self.began + ANSWER_DELAY
            self._race.changed.notify_all()


class Race(Generic[Target, Result]):
    """Attempts beside each other, of which the first that comes through wins.

    ``attempt`` gets a target and its lane, in a thread of its own.  It returns what it has made of
    the target, or raises Unreachable with its streams closed.  It may say nothing on the way that
    must be said to one only.  ``run`` is called once.

    ``servers``: the targets are servers of one chat, up to ``hosts.MOST_ADDRESSES``, each with a
    deadline of its own: what one answers says nothing of the others, and none is tried anew.
    """

    def __init__(
        self,
        attempt: Callable[[Target, Lane], Result],
        deadline: float,
        clock: Callable[[], float] = time.monotonic,
        servers: bool = False,
    ) -> None:
        self._attempt, self._limit, self._clock = attempt, deadline, clock
        self._servers = servers
        self._most = hosts.MOST_ADDRESSES if servers else MOST_ADDRESSES
        self.delay = SERVER_DELAY if servers else ATTEMPT_DELAY
        self.changed = threading.Condition(threading.Lock())  # guards everything; a leaf
        self._lanes: list[Lane] = []
        self._failures: list[BaseException] = []
        self._won: tuple[Lane, Result] | None = None
        self.over = False

    def run(self, targets: Sequence[Target]) -> Result:
        """What came of the first target that answered.

        Raises Unreachable, with what says most about why none did, once the deadline has passed or
        all have failed.
        """
        waiting = deque(targets[: self._most])
        with self.changed:
            while not self.over and (waiting or len(self._failures) < len(self._lanes)):
                now = self._clock()
                if now >= self._limit:
                    break
                if not waiting and now >= self._again_at():
                    waiting.extend(self._silent())
                due = self._next_due(now) if waiting else self._again_at()
                if waiting and now >= due:
                    self._start(waiting.popleft(), now)
                else:
                    self.changed.wait(min(due, self._limit) - now)
            self.over = True
            won, lanes = self._won, list(self._lanes)
        for lane in lanes:
            if won is None or lane is not won[0]:
                for stream in lane.streams:  # complete: to hold another one is refused by now
                    stream.abort()
        if won is not None:
            return won[1]
        raise self._why()

    def _next_due(self, now: float) -> float:
        return self._lanes[-1].next_due if self._lanes else now

    def _again_at(self) -> float:
        if self._servers or not self._silent():
            return math.inf
        return self._lanes[-1].began + AGAIN_DELAY

    def _silent(self) -> list[Target]:
        """Whom to try anew: nobody while one of them has been accepted."""
        open_ = len(self._lanes) - len(self._failures)
        silent = [lane.target for lane in self._lanes if lane.silent]
        once = list(dict.fromkeys(silent))
        if len(silent) < open_ or len(self._lanes) + len(once) > MOST_ATTEMPTS:
            return []
        return once

    def _start(self, target: Target, now: float) -> None:
        lane = Lane(self, target, now)
        self._lanes.append(lane)
        thread = threading.Thread(
            target=self._try, args=(target, lane), name="dialling", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # the system has no more of them: as good as no network
            self._failures.append(Unreachable("network"))
            lane.silent, lane.next_due = False, now

    def _try(self, target: Target, lane: Lane) -> None:
        """The thread of one attempt."""
        try:
            result = self._attempt(target, lane)
        except BaseException as error:  # noqa: BLE001  # raised again by ``run``
            self._failed(lane, error)
            return
        with self.changed:
            late = self.over
            if not late:
                self._won, self.over = (lane, result), True
            self.changed.notify_all()
        if late:
            for stream in lane.streams:
                stream.close()

    def _failed(self, lane: Lane, error: BaseException) -> None:
        with self.changed:
            now = self._clock()
            self._failures.append(error)
            lane.silent, lane.next_due = False, now
            if not isinstance(error, Unreachable):
                self.over = True  # a fault of ours
            elif self._servers:
                self.over = self.over or error.reason in NOT_LET_IN  # by what is before them all
            elif error.reason not in UNANSWERED:
                # Somebody answered; the others have as long as an answer may take.
                self._limit = min(self._limit, now + ANSWER_DELAY)
            self.changed.notify_all()

    def _why(self) -> BaseException:
        """The failure that says most."""
        failures = list(self._failures)
        if len(failures) < len(self._lanes):  # the time was up
            failures.append(Unreachable("timeout"))
        return max(failures, key=_weight, default=Unreachable("network"))


def _weight(failure: BaseException) -> int:
    if not isinstance(failure, Unreachable):
        return len(UNANSWERED) + 2
    if failure.reason in NOT_LET_IN:
        return len(UNANSWERED) + 1
    known = failure.reason in UNANSWERED
    return UNANSWERED.index(failure.reason) if known else len(UNANSWERED)


def interleaved(addresses: Sequence[tuple[int, Any]]) -> list[tuple[int, Any]]:
    """Pairs of family and address, the families in turn and each in its order (RFC 8305 4)."""
    families: dict[int, list[tuple[int, Any]]] = {}
    for family, address in addresses:
        families.setdefault(family, []).append((family, address))
    return [pair for row in zip_longest(*families.values()) for pair in row if pair is not None]
