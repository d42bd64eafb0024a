"""What the keys in the engine are called, as the scripts call them (``lua/base.lua``).

All but three stand under the epoch: what is left of an earlier one is never seen again, and
expires.  ``room`` is a room's ``protocol.names.room_key``, which has no colon.
"""

from __future__ import annotations

from typing import NamedTuple


class Incarnation(NamedTuple):
    """A node as the engine knows it: another one after it was fenced, or the engine was empty.

    ``prefix`` and ``node`` are settings and 12 random hex digits, ``epoch`` what the engine has
    under that name; ``ttl_ms`` is how long keys stay that nobody renews.
    """

    prefix: str
    epoch: str
    node: str
    ttl_ms: int

    @property
    def under(self) -> str:
        """What all keys of this epoch begin with."""
        return f"{self.prefix}{self.epoch}:"


def epoch(prefix: str) -> str:
    """A string: which epoch it is."""
    return f"{prefix}epoch"


def policy(prefix: str) -> str:
    """A hash: ``key``, ``mac``, ``limits``; see ``calls.register``."""
    return f"{prefix}policy"


def wake(node: Incarnation) -> str:
    """The stream of what this node is to look at: ids 1-N without a gap."""
    return f"{node.under}wake:{node.node}"


def ledger(node: Incarnation) -> str:
    """The stream of what was spent."""
    return f"{node.under}ledger"


def log(node: Incarnation, room: str) -> str:
    """The stream of a room's entries: ids SEQ-0."""
    return f"{node.under}room:{room}:log"


def nodes(node: Incarnation, room: str) -> str:
    """A hash: of each node that has members in a room how many, and ``told`` of those that were."""
    return f"{node.under}room:{room}:nodes"


def told(node: Incarnation) -> str:
    """The field that says that this node has been told to look at a room."""
    return f"{node.node}!"


def private(node: Incarnation, room: str, member_id: int) -> str:
    """The stream of what waits for one member alone: ids NUMBER-0."""
    return f"{node.under}room:{room}:p:{member_id}"


def table(node: Incarnation, name: str) -> str:
    """A hash that every node has a copy of."""
    return f"{node.under}t:{name}"
