"""Admission: how many connections there may be, and how many of them are brought in at a time.

``ConnectionLimits`` counts them: in all, of one address, and without a proof.  ``AcceptSlot`` is
the one place to work on a connection that is not in yet: however many strangers come at once,
members share the interpreter with one thread for them.  Whoever waits, for the network or for
anything else, lets another one work; who has the slot takes the next connection off the system
only then: so connections queue with the system, and not as threads.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType

from server import limits


class _Released:
    """Held while whoever has the slot waits for something."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        self._lock.release()

    def __exit__(
        self, kind: type[BaseException] | None, value: object, trace: TracebackType | None
    ) -> None:
        self._lock.acquire()


class AcceptSlot:
    """``with slot`` to work, and inside it ``with slot.released()`` to wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # before all others: whoever waits for it holds none
        self._released = _Released(self._lock)

    def released(self) -> AbstractContextManager[None]:
        """What is entered to wait, as often as one likes; the slot is another's meanwhile."""
        return self._released

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, value: object, trace: TracebackType | None
    ) -> None:
        self._lock.release()


class Permit:
    """A connection's place; ``cut`` ends the connection from any thread, once it is known how."""

    def __init__(self, group: str) -> None:
        self.group = group
        self.authenticated = False
        self.evicted = False
        self.cut: Callable[[], None] | None = None


class ConnectionLimits:
    """Counts connections, so that nobody can take every place.  Thread-safe.

    Who has not proven anything yet is counted apart, and is the one that makes room: silence
    costs nothing, so the oldest silent ones of whoever holds most of them go first.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()  # leaf; guards all below
        self._open = 0
        self._members_of: dict[str, int] = {}  # by address
        self._strangers_of: dict[str, OrderedDict[Permit, None]] = {}  # likewise, the oldest first
        self._members = self._strangers = 0  # in all of these

    def admit(self, group: str) -> Permit | None:
        """A connection came from ``group``; None if there is no place that could be made for it."""
        with self._changed:
            # Those that were told to go and have not gone yet are open, and count.
            if self._open >= limits.CONNECTIONS + limits.LEAVING:
                return None
            evicted = self._make_room_locked(group)
            if evicted is None:
                return None
            permit = Permit(group)
            self._open += 1
            self._place_locked(permit)
        _cut(evicted)
        return permit

    def move(self, permit: Permit, group: str) -> bool:
        """A stranger comes from ``group``, as a trusted proxy says; False if it has no place there.

        It leaves in any case.
        """
        with self._changed:
            if permit.evicted:
                return False
            self._forget_locked(permit)
            permit.group = group
            evicted = self._make_room_locked(group)
            if evicted is None:
                permit.evicted = True
                return False
            self._place_locked(permit)
        _cut(evicted)
        return True

    def attach(self, permit: Permit, cut: Callable[[], None]) -> bool:
        """From now on ``cut`` ends it; False if it has lost its place already."""
        with self._changed:  # so whoever has it go sees how, or this sees that it has to
            permit.cut = cut
            return not permit.evicted

    def authenticated(self, permit: Permit) -> None:
        """One that was let in is no stranger: it has proven itself, or has a token or ticket.

        Harmless a second time.
        """
        with self._changed:
            if permit.authenticated:
                return
            self._forget_locked(permit)
            permit.authenticated = True
            self._members += 1
            self._members_of[permit.group] = self._members_of.get(permit.group, 0) + 1

    def release(self, permit: Permit) -> None:
        """One that was let in has gone."""
        with self._changed:
            self._open -= 1
            if permit.authenticated:
                self._members -= 1
                self._members_of[permit.group] -= 1
                if not self._members_of[permit.group]:
                    del self._members_of[permit.group]
            else:
                self._forget_locked(permit)
            self._changed.notify_all()

    def wait_empty(self, seconds: float) -> bool:
        """Whether everybody has gone within ``seconds``."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._open, seconds)

    def _make_room_locked(self, group: str) -> list[Permit] | None:
        """Who has to go for a stranger of ``group``; None if there is no place for it."""
        members, strangers = self._members_of.get(group, 0), len(self._strangers_of.get(group, ()))
        if self._members >= limits.CONNECTIONS or members >= limits.CONNECTIONS_OF_ADDRESS:
            return None
        if strangers >= min(
            limits.UNPROVEN_OF_ADDRESS, limits.CONNECTIONS_OF_ADDRESS - members
        ):
            return [self._evict_locked(group)]
        if self._strangers >= min(limits.UNPROVEN, limits.CONNECTIONS - self._members):
            most = max(self._strangers_of, key=lambda each: len(self._strangers_of[each]))
            return [self._evict_locked(most)]
        return []

    def _place_locked(self, permit: Permit) -> None:
        self._strangers += 1
        self._strangers_of.setdefault(permit.group, OrderedDict())[permit] = None

    def _evict_locked(self, group: str) -> Permit:
        oldest = next(iter(self._strangers_of[group]))
        oldest.evicted = True
        self._forget_locked(oldest)
        return oldest

    def _forget_locked(self, permit: Permit) -> None:
        """It is no stranger any more; harmless if it was none."""
        line = self._strangers_of.get(permit.group)
        if line is not None and permit in line:
            del line[permit]
            self._strangers -= 1
            if not line:
                del self._strangers_of[permit.group]


def _cut(evicted: list[Permit]) -> None:
    for each in evicted:
        if each.cut is not None:
            each.cut()
