"""The gate: how many connections there are, in all, of one address, and without a proof."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from server import bounds


class Visitor:
    """A connection's place; ``cut`` ends the connection from any thread, once it is known how."""

    def __init__(self, group: str) -> None:
        self.group = group
        self.proven = False
        self.evicted = False
        self.cut: Callable[[], None] | None = None


class Gate:
    """Counts connections, so that nobody can take every place.  Thread-safe.

    Who has not proven anything yet is counted apart, and is the one that makes room: silence
    costs nothing, so the oldest silent ones of whoever holds most of them go first.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()  # leaf; guards all below
        self._open = 0
        self._proven: dict[str, int] = {}  # by address
        self._unproven: dict[str, OrderedDict[Visitor, None]] = {}  # by address, the oldest first
        self._members = self._strangers = 0  # in all of these

    def enter(self, group: str) -> Visitor | None:
        """A connection came from ``group``; None if there is no place that could be made for it."""
        evicted: list[Visitor] = []
        with self._changed:
            visitor = self._enter_locked(group, evicted)
        for each in evicted:
            if each.cut is not None:
                each.cut()
        return visitor

    def move(self, visitor: Visitor, group: str) -> bool:
        """A stranger comes from ``group``, as a trusted proxy says; False if it has no place there.

        It leaves in any case.
        """
        evicted: list[Visitor] = []
        with self._changed:
            if visitor.evicted:
                return False
            self._forget_locked(visitor)
            visitor.group = group
            visitor.evicted = not self._make_room_locked(group, evicted)
            if not visitor.evicted:
                self._place_locked(visitor)
        for each in evicted:
            if each.cut is not None:
                each.cut()
        return not visitor.evicted

    def settle(self, visitor: Visitor, cut: Callable[[], None]) -> bool:
        """From now on ``cut`` ends it; False if it has lost its place already."""
        visitor.cut = cut
        return not visitor.evicted

    def prove(self, visitor: Visitor) -> None:
        """One that was let in is no stranger: it has proven itself, or has a token or ticket.

        Harmless a second time.
        """
        with self._changed:
            if visitor.proven:
                return
            self._forget_locked(visitor)
            visitor.proven = True
            self._members += 1
            self._proven[visitor.group] = self._proven.get(visitor.group, 0) + 1

    def leave(self, visitor: Visitor) -> None:
        """One that was let in has gone."""
        with self._changed:
            self._open -= 1
            if visitor.proven:
                self._members -= 1
                self._proven[visitor.group] -= 1
                if not self._proven[visitor.group]:
                    del self._proven[visitor.group]
            else:
                self._forget_locked(visitor)
            self._changed.notify_all()

    def wait_empty(self, seconds: float) -> bool:
        """Whether everybody has gone within ``seconds``."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._open, seconds)

    def _enter_locked(self, group: str, evicted: list[Visitor]) -> Visitor | None:
        # Those that were told to go and have not gone yet are open, and count.
        if self._open >= bounds.CONNECTIONS + bounds.LEAVING:
            return None
        if not self._make_room_locked(group, evicted):
            return None
        visitor = Visitor(group)
        self._open += 1
        self._place_locked(visitor)
        return visitor

    def _make_room_locked(self, group: str, evicted: list[Visitor]) -> bool:
        """Whether there is a place for a stranger of ``group``, by whoever has to go for it."""
        if self._members >= bounds.CONNECTIONS:
            return False
        members, strangers = self._proven.get(group, 0), len(self._unproven.get(group, ()))
        if members >= bounds.CONNECTIONS_OF_ADDRESS:
            return False
        if strangers >= min(
            bounds.UNPROVEN_OF_ADDRESS, bounds.CONNECTIONS_OF_ADDRESS - members
        ):
            evicted.append(self._evict_locked(group))
        elif self._strangers >= min(
            bounds.UNPROVEN, bounds.CONNECTIONS - self._members
        ):
            most = max(self._unproven, key=lambda each: len(self._unproven[each]))
            evicted.append(self._evict_locked(most))
        return True

    def _place_locked(self, visitor: Visitor) -> None:
        self._strangers += 1
        self._unproven.setdefault(visitor.group, OrderedDict())[visitor] = None

    def _evict_locked(self, group: str) -> Visitor:
        oldest = next(iter(self._unproven[group]))
        oldest.evicted = True
        self._forget_locked(oldest)
        return oldest

    def _forget_locked(self, visitor: Visitor) -> None:
        """It is no stranger any more; harmless if it was none."""
        line = self._unproven.get(visitor.group)
        if line is not None and visitor in line:
            del line[visitor]
            self._strangers -= 1
            if not line:
                del self._unproven[visitor.group]
