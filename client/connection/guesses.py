"""Handshakes in which this client has shown that it knows the password, and nobody has answered so.

Whoever is in between and does not know it can try one guess at each, and break off: an honest
server is then hardly ever to blame.  So they are counted over the whole run, not in a row: a
guesser may let every other connection through.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

MOST, SECONDS = 3, 3600.0  # in so many seconds; then a person has to want the next


class Guesses:
    """What may have been guesses.  For the reader thread alone."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._times: deque[float] = deque(maxlen=MOST + 1)  # one is under way

    def begin(self) -> None:
        """This client is about to show that it knows; it counts unless ``proven`` follows."""
        self._times.append(self._clock())

    def proven(self) -> None:
        """The other side knows it, too."""
        self._times.pop()

    def too_many(self) -> bool:
        """Whether nothing more should be shown by itself."""
        return len(self._times) >= MOST and self._clock() - self._times[-MOST] < SECONDS

    def forget(self) -> None:
        """Somebody knows of them, and goes on."""
        self._times.clear()
