"""How often to say that one is there: as the server wants it, or more often.

Something in between may cut connections on which nothing passes for a while.  Whoever knows of
it asks for shorter heartbeats; otherwise two connections that end after the same silence tell.
Pure.  For the reader thread.
"""

from __future__ import annotations

SHORTEST = 2.0  # seconds between heartbeats that nobody has asked for
_LEAST_IDLE = 3.0  # what ends sooner has other reasons
_ALIKE = 0.1  # two silences that differ by no more than this part of them, or by
_ALIKE_SECONDS = 0.5


class HeartbeatInterval:
    """``asked``: seconds between heartbeats that somebody wants at most; None: the server's."""

    def __init__(self, asked: float | None = None) -> None:
        self._most = asked
        self._idle: float | None = None  # of the last connection, before it ended

    def interval(self, server: float) -> float:
        """Seconds between heartbeats to a server that wants one every ``server`` seconds."""
        return server if self._most is None else min(server, self._most)

    def cut(self, idle: float, interval: float) -> bool:
        """A connection has ended after ``idle`` seconds in which nothing passed.

        True if heartbeats, which came every ``interval`` seconds, are more frequent from now on.
        """
        before, self._idle = self._idle, idle
        if before is None or min(before, idle) < _LEAST_IDLE:
            return False
        if abs(before - idle) > max(_ALIKE_SECONDS, _ALIKE * idle):
            return False
        wanted = max(SHORTEST, min(before, idle) / 2)
        if wanted >= interval:
            return False
        self._most, self._idle = wanted, None
        return True
