"""Rate limits: at most so many in so many seconds, for identities and for addresses.

Many people share an address: a household, an office, everybody behind one proxy.  Where together
they exceed what one address may do, those who have used most of it are refused first, so that
one who comes with many identities takes nothing away from others beside it.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable

from protocol.errors import AddressLimited, RateLimited
from server import limits
from server.budget import OnSpent, address_and_identity


class RateLimiter:
    """A sliding window for each key.  Thread-safe; no call blocks on anything but its lock.

    ``limit`` takings are allowed in any ``window`` seconds.  Reconnecting changes nothing: a
    key is a fingerprint, not a connection.
    """

    def __init__(
        self,
        limit: int,
        window: float,
        clock: Callable[[], float] = time.monotonic,
        most: int = limits.WINDOWS,
    ) -> None:
        self._limit, self._window, self._clock, self._most = limit, window, clock, most
        self._lock = threading.Lock()  # leaf; guards the table
        self.on_spent: OnSpent | None = None  # by key
        # Least recently used first, so that what is dropped at the bound is the most idle.
        self._stamps: OrderedDict[Hashable, deque[float]] = OrderedDict()

    def take(self, key: Hashable) -> float:
        """Count one for ``key``.

        Returns 0.0 if it was counted, else the seconds until one more would be; a refused
        taking is not counted.
        """
        now = self._clock()
        with self._lock:
            stamps = self._stamps_locked(key)
            while stamps and now - stamps[0] >= self._window:
                stamps.popleft()
            if len(stamps) >= self._limit:
                return max(stamps[0] + self._window - now, 0.001)
            stamps.append(now)
        if self.on_spent is not None:
            self.on_spent(key, 1)
        return 0.0

    def give_back(self, key: Hashable) -> None:
        """Undo the latest taking of ``key``: something else refused what it was for."""
        self._give_back(key)
        if self.on_spent is not None:
            self.on_spent(key, -1)

    def _give_back(self, key: Hashable) -> None:
        with self._lock:
            stamps = self._stamps.get(key)
            if stamps:
                stamps.pop()

    def charge(self, key: Hashable, count: int, ago: float = 0.0) -> None:
        """So many were counted elsewhere, ``ago`` seconds ago, whatever is allowed here; less than
        nothing were given back."""
        for _each in range(min(-count, self._limit)):
            self._give_back(key)
        now = self._clock()
        if count <= 0 or ago >= self._window:
            return
        with self._lock:
            stamps = self._stamps_locked(key)
            self._expire_locked(stamps, now)
            stamps.extend([now - ago] * min(count, self._limit))
            while len(stamps) > self._limit:  # which the newest decide alone
                stamps.popleft()

    def _stamps_locked(self, key: Hashable) -> deque[float]:
        stamps = self._stamps.get(key)
        if stamps is None:
            while len(self._stamps) >= self._most:
                self._stamps.popitem(last=False)
            stamps = self._stamps[key] = deque()
        else:
            self._stamps.move_to_end(key)
        return stamps

    def sweep(self) -> float | None:
        """Forget what has left its window; seconds until more can go, None if all is gone."""
        now = self._clock()
        with self._lock:
            for key in list(self._stamps):
                stamps = self._stamps[key]
                self._expire_locked(stamps, now)
                if not stamps:
                    del self._stamps[key]
            return self._window if self._stamps else None

    def _expire_locked(self, stamps: deque[float], now: float) -> None:
        while stamps and now - stamps[0] >= self._window:
            stamps.popleft()


class _AddressUse:
    """What one address has used, the oldest first, and how much of that is whose."""

    def __init__(self) -> None:
        self.stamps: deque[tuple[float, Hashable]] = deque()
        self.used: Counter[Hashable] = Counter()


class FairRateLimiter:
    """At most ``total`` in any ``window`` seconds for each address, fairly.  Thread-safe.

    Beyond ``total`` an identity may still take what is less than an equal share for each that
    has taken something.  So nobody is refused everything, and the sum has an end: ``n`` identities
    of one address get ``total * (1 + ln(n))`` at most, and one each.
    """

    def __init__(
        self, total: int, window: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._total, self._window, self._clock = total, window, clock
        self._lock = threading.Lock()  # leaf; guards the table
        self.on_spent: OnSpent | None = None  # by address and identity
        self._addresses: OrderedDict[str, _AddressUse] = OrderedDict()  # least recently used first

    def take(self, group: str, who: Hashable) -> float:
        """Count one for ``who`` of the address ``group``; 0.0, or the seconds to wait instead."""
        now = self._clock()
        with self._lock:
            address = self._address_locked(group, now)
            if len(address.stamps) >= self._total:
                most = self._equal_share(address, who)
                if address.used[who] >= most:
                    return max(self._free_at(address, who, most) - now, 0.001)
            address.stamps.append((now, who))
            address.used[who] += 1
        if self.on_spent is not None:
            self.on_spent((group, who), 1)
        return 0.0

    def give_back(self, group: str, who: Hashable) -> None:
        """Undo the latest taking of ``who``: something else refused what it was for."""
        self._give_back(group, who)
        if self.on_spent is not None:
            self.on_spent((group, who), -1)

    def charge(self, key: Hashable, count: int, ago: float = 0.0) -> None:
        """As ``RateLimiter.charge``; ``key`` is an address and an identity."""
        group, who = address_and_identity(key)
        most = limits.CHARGED_DEBT * self._total
        for _each in range(min(-count, most)):
            self._give_back(group, who)
        if count <= 0 or ago >= self._window:
            return
        now = self._clock()
        with self._lock:
            address, count = self._address_locked(group, now), min(count, most)
            address.stamps.extend([(now - ago, who)] * count)
            address.used[who] += count
            while len(address.stamps) > most:
                _use_less(address, address.stamps.popleft()[1])

    def _give_back(self, group: str, who: Hashable) -> None:
        with self._lock:
            address = self._addresses.get(group, _AddressUse())
            for at in range(len(address.stamps) - 1, -1, -1):
                if address.stamps[at][1] == who:
                    del address.stamps[at]
                    _use_less(address, who)
                    return

    def sweep(self) -> float | None:
        """Forget what has left its window; seconds until more can go, None if all is gone."""
        now = self._clock()
        with self._lock:
            for group in list(self._addresses):
                self._expire_locked(self._addresses[group], now)
                if not self._addresses[group].stamps:
                    del self._addresses[group]
            return self._window if self._addresses else None

    def _address_locked(self, group: str, now: float) -> _AddressUse:
        address = self._addresses.get(group)
        if address is None:
            if len(self._addresses) >= limits.ADDRESSES:
                self._addresses.popitem(last=False)
            address = self._addresses[group] = _AddressUse()
        else:
            self._addresses.move_to_end(group)
            self._expire_locked(address, now)
        return address

    def _expire_locked(self, address: _AddressUse, now: float) -> None:
        while address.stamps and now - address.stamps[0][0] >= self._window:
            _use_less(address, address.stamps.popleft()[1])

    def _equal_share(self, address: _AddressUse, who: Hashable) -> int:
        """What each may take before it has more than an equal share; at least one."""
        return math.ceil(self._total / (len(address.used) + (who not in address.used)))

    def _free_at(self, address: _AddressUse, who: Hashable, most: int) -> float:
        """When enough has left its window, of all or of ``who``'s own."""
        of_all = [at for at, _who in address.stamps]
        own = [at for at, each in address.stamps if each == who]
        return self._window + min(of_all[len(of_all) - self._total], own[len(own) - most])


def _use_less(address: _AddressUse, who: Hashable) -> None:
    address.used[who] -= 1
    if not address.used[who]:
        del address.used[who]


class MemberRateLimiter:
    """So many in a window for each identity, ``limits.ADDRESS_SHARE`` times that for an address."""

    def __init__(self, limit: int, window: float) -> None:
        self.on_spent: OnSpent | None = None  # by address and identity
        self.own = RateLimiter(limit, window)
        self.shares = FairRateLimiter(limits.ADDRESS_SHARE * limit, window)

    def count(self, who: Hashable, group: str) -> None:
        """Count one.  Raises RateLimited, or AddressLimited where ``who`` alone may go on."""
        wait = self.own.take(who)
        if wait:
            raise RateLimited(retry_after=tenths(wait))
        wait = self.shares.take(group, who)
        if wait:
            self.own.give_back(who)
            raise AddressLimited(retry_after=tenths(wait))
        if self.on_spent is not None:
            self.on_spent((group, who), 1)

    def uncount(self, who: Hashable, group: str) -> None:
        """What was counted came to nothing through no fault of the sender's."""
        self.own.give_back(who)
        self.shares.give_back(group, who)
        if self.on_spent is not None:
            self.on_spent((group, who), -1)

    def charge(self, key: Hashable, count: int, ago: float = 0.0) -> None:
        """As ``RateLimiter.charge``; ``key`` is an address and an identity."""
        self.own.charge(address_and_identity(key)[1], count, ago)
        self.shares.charge(key, count, ago)


def tenths(wait: float) -> float:
    """Seconds, rounded up to a tenth: who waits this long does not come too early."""
    return math.ceil(wait * 10) / 10
