"""The gate: how many connections there are, in all, of one address, and without a proof."""

from __future__ import annotations

import threading
from collections import Counter

from server import bounds


class Gate:
    """Counts connections, so that nobody can take every place.  Thread-safe.

    Who has not proven anything yet is counted apart: strangers must not keep members out.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()  # leaf; guards all below
        self._open = 0
        self._unproven = 0
        self._of_group: Counter[str] = Counter()

    def enter(self, group: str) -> bool:
        """A connection came from ``group``; False if there is no place for it."""
        with self._changed:
            if (
                self._open >= bounds.CONNECTIONS
                or self._unproven >= bounds.UNPROVEN
                or self._of_group.get(group, 0) >= bounds.CONNECTIONS_OF_ADDRESS
            ):
                return False
            self._open += 1
            self._unproven += 1
            self._of_group[group] += 1
            return True

    def prove(self) -> None:
        """One that was let in has proven itself."""
        with self._changed:
            self._unproven -= 1

    def leave(self, group: str, proven: bool) -> None:
        """One that was let in has gone."""
        with self._changed:
            self._open -= 1
            self._unproven -= not proven
            self._of_group[group] -= 1
            if not self._of_group[group]:
                del self._of_group[group]
            self._changed.notify_all()

    def wait_empty(self, seconds: float) -> bool:
        """Whether everybody has gone within ``seconds``."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._open, seconds)
