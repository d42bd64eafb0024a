"""Who has been shown the door by whoever runs the server, and for how long."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from server import limits


class Bans:
    """Identities and address groups that are kept out for a while.  Thread-safe.

    A person is as good as new with the program's next start, unless their signing key lasts, so
    the address counts as well.
    Of more than the bound, the oldest is forgotten first.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # leaf; guards the table
        self._until: OrderedDict[bytes | str, float] = OrderedDict()  # signing key or group

    def add(self, who: bytes | str, seconds: float) -> None:
        """Keep a signing key or an address group out for so long."""
        with self._lock:
            self._until.pop(who, None)
            self._until[who] = self._clock() + seconds
            while len(self._until) > limits.BANS:
                self._until.popitem(last=False)

    def left(self, *who: bytes | str) -> float:
        """Seconds that one of these is still kept out; 0 if none is."""
        now = self._clock()
        with self._lock:
            return max(0.0, *(self._until.get(each, now) - now for each in who))
