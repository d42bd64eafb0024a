"""How long a server may let this client wait while the connection lives.

A heartbeat shows that somebody is there, not that anything comes of it: a server that lets in and
never leads into a room, or takes lines and never answers, would be waited for as long as it beats.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from protocol.errors import ChatError

# Before a person is told what is waited for; of a silent network there is word before the latter.
HINTS = {"room": 5.0, "answer": 10.0, "place": 10.0}
# Without a step forward. A room's next members are 40 KB at most; an answer may stand behind what
# a slow network has taken of us already.
LIMITS = {"room": 30.0, "answer": 60.0, "place": 60.0}


class Awaited(NamedTuple):
    """What is waited for: ``room`` (to be in it), ``answer`` (to what was sent), ``place`` (of an
    accepted line in the log), or nothing.  ``step`` changes whenever it comes nearer."""

    what: str = ""
    step: int = 0


NOTHING = Awaited()


class Overdue(ChatError):
    """The server is there, and what was waited for did not come."""

    code = "overdue"

    def __init__(self, what: str) -> None:
        super().__init__()
        self.reason = "no_room" if what == "room" else "no_answer"


class Deadlines:
    """Deadlines of one connection, in ``clock``'s seconds.  Not thread-safe.

    ``say`` gets ``Awaited.what`` once for each wait that takes its time.
    """

    def __init__(self, clock: Callable[[], float], say: Callable[[str], None]) -> None:
        self._clock, self._say = clock, say
        self._awaited = NOTHING
        self._since = self._step_at = 0.0
        self._said = False

    @property
    def waits(self) -> bool:
        """Whether anything was waited for at the last look."""
        return self._awaited is not NOTHING

    def look(self, awaited: Awaited) -> float:
        """Take note of what is waited for now; when to look again.  Raises Overdue."""
        now = self._clock()
        if awaited.what != self._awaited.what:
            self._since, self._said = now, False
        if awaited != self._awaited:
            self._awaited, self._step_at = awaited, now
        if not awaited.what:
            return math.inf
        end = self._step_at + LIMITS[awaited.what]
        if now >= end:
            raise Overdue(awaited.what)
        hint = self._since + HINTS[awaited.what]
        if not self._said and now >= hint:
            self._said = True
            self._say(awaited.what)
        return end if self._said else min(end, hint)
