"""What ends coming back by itself, until a person wants the next attempt.

Pure.  For the reader thread alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

MOST_GUESSES, GUESSES_SECONDS = 3, 3600.0  # in so many seconds
MOST_GOODBYES = 5  # in a row
LASTED = 120.0  # seconds after which a connection was a good one; more than any of Deadlines
PAUSE_SECONDS = 300.0  # before the next, where there is no person to ask


class Guesses:
    """Handshakes in which this client has shown that it knows the password, and nobody has
    answered so.

    Whoever is in between and does not know it can try one guess at each, and break off: an honest
    server is then hardly ever to blame.  So they are counted over the whole run, not in a row: a
    guesser may let every other connection through.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._times: deque[float] = deque(maxlen=MOST_GUESSES + 1)  # one is under way

    def begin(self) -> None:
        """This client is about to show that it knows; it counts unless ``proven`` follows."""
        self._times.append(self._clock())

    def proven(self) -> None:
        """The other side knows it, too."""
        self._times.pop()

    def too_many(self) -> bool:
        """Whether nothing more should be shown by itself."""
        most = MOST_GUESSES
        return len(self._times) >= most and self._clock() - self._times[-most] < GUESSES_SECONDS

    def forget(self) -> None:
        """Somebody knows of them, and goes on."""
        self._times.clear()


class Goodbyes:
    """Connections that a server has let in and then ended, one after the other.

    One goodbye is a restart, or a fault of the moment.  Several in a row are a server that will
    not have it otherwise, and whoever comes back at once each time tells a person nothing but
    that.  What the network has cut is none.
    """

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
        """Whether coming back is of no use by itself."""
        return self._count >= MOST_GOODBYES

    @property
    def pause(self) -> float:
        """Seconds before the next attempt, at least."""
        return PAUSE_SECONDS if self.too_many else 0.0

    def forget(self) -> None:
        """Somebody knows of them, and goes on."""
        self._count = 0
