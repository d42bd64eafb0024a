"""A budget: what is spent here by key, and charged for what was spent elsewhere.

The limiters of ``server.rate_limits`` and ``server.throttle`` are such.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Protocol

from protocol.errors import Malformed

# What hears of who has spent how much; less than nothing is given back.  Called without a lock.
OnSpent = Callable[[Hashable, int], None]


class Budget(Protocol):
    """``on_spent`` is None where nobody wants to know."""

    on_spent: OnSpent | None

    def charge(self, key: Hashable, count: int, ago: float = 0.0) -> None:
        """So many were spent elsewhere, ``ago`` seconds ago, whatever is allowed here; less than
        nothing were given back.  Raises Malformed for what can be no key of it."""


def address_and_identity(key: Hashable) -> tuple[str, Hashable]:
    """The two that a key consists of.  Raises Malformed."""
    match key:
        case (str(group), who):
            return group, who
    raise Malformed()
