"""Connections that a server has let in and then ended, one after the other.

One goodbye is a restart, or a fault of the moment.  Several in a row are a server that will not
have it otherwise, and whoever comes back at once each time tells a person nothing but that.
Pure.  For the reader thread alone.
"""

from __future__ import annotations

from collections.abc import Callable

MOST = 5  # in a row; then a person has to want the next
LASTED = 120.0  # seconds after which a connection was a good one; more than any wait of Deadlines
PAUSE_SECONDS = 300.0  # before the next, where there is no person to ask


class Goodbyes:
    """Counts them; what the network has cut is none."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._count = 0
        self._entered_at = clock()

    def entered(self) -> None:
        """A server has let this client in."""
        self._entered_at = self._clock()

    def ended(self) -> None:
        """It has ended that connection, or has made it useless."""
        lasted = self._clock() - self._entered_at >= LASTED
        self._count = 1 if lasted else self._count + 1

    @property
    def too_many(self) -> bool:
        return self._count >= MOST

    @property
    def pause(self) -> float:
        """Seconds before the next attempt, at least."""
        return PAUSE_SECONDS if self.too_many else 0.0

    def forget(self) -> None:
        """Somebody knows of them, and goes on."""
        self._count = 0
