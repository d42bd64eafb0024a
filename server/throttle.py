"""What failed proofs cost: token buckets, and patience for those who have used theirs up.

Nobody can tell a person from a guesser of the same address before the proof.  So nothing is asked
of a newcomer: its ``confirm`` is judged at once while the bucket of its address has some, a right
one costs nothing, and it is the *answer* to a wrong one that is late.  Whoever waits for that
answer does not guess meanwhile, and leaves the tokens to others.  Where guessers do not wait,
the bucket runs dry; then the newest is served first as it fills again, since those that have
waited longest are the ones that keep coming.

Buckets fill up within seconds and are then forgotten: no address outlives its last guess by more.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from typing import NamedTuple

from protocol.errors import Malformed, TooManyAttempts
from server import limits
from server.budget import OnSpent
from server.client_address import has_neighbours
from transport import Closed
from transport.token_bucket import TokenBucket

_ALL = "*"  # the bucket that everybody takes from


class Rate(NamedTuple):
    """A token bucket's measures: so many a second, and so many at once."""

    a_second: float
    burst: float


class Rates(NamedTuple):
    """Of one address or /64, and of all together; a /48 has twice an address's."""

    address: Rate
    of_all: Rate

    def of(self, name: str) -> Rate:
        """The measures of the bucket ``name``."""
        if name == _ALL:
            return self.of_all
        if name.endswith("/48"):
            return Rate(2 * self.address.a_second, 2 * self.address.burst)
        return self.address


GUESSES = Rates(
    Rate(limits.GUESSES_A_SECOND, limits.GUESS_BURST),
    Rate(limits.GUESSES_OF_ALL_A_SECOND, limits.GUESS_BURST_OF_ALL),
)
HANDSHAKES = Rates(
    Rate(limits.HANDSHAKES_A_SECOND, limits.HANDSHAKE_BURST),
    Rate(limits.HANDSHAKES_OF_ALL_A_SECOND, limits.HANDSHAKE_BURST_OF_ALL),
)


class TokenBuckets:
    """Token buckets for addresses, for their neighbours, and for all.  Thread-safe.

    ``group`` is an IPv4 address, or the first of an IPv6 /64, as ``address_group`` has it.
    """

    def __init__(self, rates: Rates, clock: Callable[[], float] = time.monotonic) -> None:
        self.rates, self._clock = rates, clock
        self.on_spent: OnSpent | None = None  # by address
        self._lock = threading.Lock()  # leaf; guards the table
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, group: str) -> float:
        """Take one: 0.0, or the seconds until there is one, and nothing is taken."""
        with self._lock:
            found = [self._bucket_locked(name) for name in _names(group)]
            wait = max(bucket.wait(1.0) for bucket in found)
            if not wait:
                for bucket in found:
                    bucket.spend(1.0)
        if not wait and self.on_spent is not None:
            self.on_spent(group, 1)
        return wait

    def give_back(self, group: str) -> None:
        """What was taken for it cost nothing."""
        self.charge(group, -1)
        if self.on_spent is not None:
            self.on_spent(group, -1)

    def charge(self, key: Hashable, count: int, ago: float = 0.0) -> None:
        """So many were taken elsewhere for the address ``key``, ``ago`` seconds ago, whatever there
        is here; less than nothing were given back."""
        if not isinstance(key, str):
            raise Malformed()
        with self._lock:
            for name in _names(key):
                bucket, rate = self._bucket_locked(name), self.rates.of(name)
                if count > 0:  # and some of it is back already; debts have an end
                    most = bucket.spare + limits.CHARGED_DEBT * rate.burst
                    bucket.spend(min(max(0.0, count - ago * rate.a_second), most))
                else:
                    bucket.spend(count)
                if bucket.is_full:
                    del self._buckets[name]  # nothing left that needs the address

    def spare(self, group: str) -> float:
        """How many there are for this address now, whatever its neighbours do."""
        with self._lock:
            return self._bucket_locked(group).spare

    def sweep(self) -> float | None:
        """Forget the buckets that are full; seconds until more are, None if none is left."""
        with self._lock:
            for name in list(self._buckets):
                if self._buckets[name].is_full:
                    del self._buckets[name]
            rate = self.rates.address
            return rate.burst / rate.a_second if self._buckets else None

    def _bucket_locked(self, name: str) -> TokenBucket:
        bucket = self._buckets.get(name)
        if bucket is None:
            if len(self._buckets) >= limits.ADDRESSES:
                self._buckets.popitem(last=False)
            bucket = self._buckets[name] = TokenBucket(*self.rates.of(name), self._clock)
        self._buckets.move_to_end(name)
        return bucket


class FormThrottle(NamedTuple):
    """What may be guessed in forms, apart from the link: guesses there never close them.

    Forms of the server's own machine (``own``) have one count, which nobody else can use up.
    """

    own: TokenBuckets
    others: TokenBuckets


def _names(group: str) -> list[str]:
    if not has_neighbours(group):
        return [group, _ALL]
    return [group, str(ipaddress.ip_network((group, 48), strict=False)), _ALL]


class LoginQueue:
    """Waits for token buckets, the newest first.  Thread-safe."""

    def __init__(self, buckets: TokenBuckets, clock: Callable[[], float]) -> None:
        self.buckets, self._clock = buckets, clock
        self._lock = threading.Lock()  # guards the table; that of the buckets is taken inside
        self._waiting: dict[str, list[threading.Event]] = {}  # bells, by address, the newest last

    def take(
        self,
        group: str,
        bell: threading.Event,
        over: Callable[[], bool],
        patience: float = limits.PATIENCE,
    ) -> None:
        """Take a token when there is one and nobody newer of ``group`` waits for it.

        Whoever sets ``bell`` has ``over`` asked, which ends the waiting with Closed.  Raises
        TooManyAttempts after ``patience`` seconds.
        """
        deadline = self._clock() + patience
        with self._lock:
            self._waiting.setdefault(group, []).append(bell)
        try:
            while True:
                bell.clear()
                if over():
                    raise Closed
                pause = self._try(group, bell, deadline - self._clock())
                if not pause:
                    return
                bell.wait(pause)
        finally:
            self._go(group, bell)

    def give_back(self, group: str) -> None:
        """What was taken for it cost nothing."""
        self.buckets.give_back(group)
        with self._lock:
            self._ring_newest_locked(group)

    def waiting(self, group: str) -> int:
        """How many of this address wait."""
        with self._lock:
            return len(self._waiting.get(group, ()))

    def _try(self, group: str, bell: threading.Event, left: float) -> float:
        """Seconds to wait, 0.0 once a token is taken.  Raises TooManyAttempts if none are left."""
        if left <= 0.0:
            raise TooManyAttempts(retry_after=limits.PATIENCE)
        with self._lock:
            if self._waiting[group][-1] is bell:
                return min(self.buckets.take(group), left)
            return left  # until it is the newest, and is rung

    def _go(self, group: str, bell: threading.Event) -> None:
        with self._lock:
            queue = self._waiting[group]
            queue.remove(bell)
            if not queue:
                del self._waiting[group]
            self._ring_newest_locked(group)

    def _ring_newest_locked(self, group: str) -> None:
        queue = self._waiting.get(group)
        if queue:
            queue[-1].set()


class LoginThrottle:
    """Who is answered when.  Thread-safe.

    ``handshakes`` bounds what costs the server work, ``guesses`` what tells a guesser something.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.handshakes = LoginQueue(TokenBuckets(HANDSHAKES, clock), clock)
        self.guesses = LoginQueue(TokenBuckets(GUESSES, clock), clock)
        self._lock = threading.Lock()  # leaf; guards the count
        self._held: Counter[str] = Counter()

    def hold(self, group: str) -> float:
        """A proof of ``group`` was wrong: the seconds that its answer has to wait.

        If that is not 0.0, ``release`` has to follow once it has waited.
        """
        if self.guesses.buckets.spare(group) >= limits.GUESS_BURST - limits.FREE_FAILURES:
            return 0.0  # typing mistakes
        waiting = self.guesses.waiting(group)
        with self._lock:
            self._held[group] += 1
            return min((self._held[group] + waiting) / limits.ANSWERS_A_SECOND, limits.PATIENCE)

    def release(self, group: str) -> None:
        """A wrong proof has waited for its answer."""
        with self._lock:
            self._held[group] -= 1
            if not self._held[group]:
                del self._held[group]
