"""Tickets: who was in need not wait like a stranger to come back in.

Each ``welcome`` brings one, random and for one use.  It says nothing about who has it but that
this server has let it in a moment ago; the password or token is proven all the same.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from typing import NamedTuple

from protocol import limits as protocol_limits
from protocol import link
from server import limits


class Ticket(NamedTuple):
    """A ticket, and the address that it was given to."""

    value: bytes
    group: str


class Bounds(NamedTuple):
    """How many there may be."""

    of_address: int
    of_all: int


class ShownTicket(NamedTuple):
    """A ticket that somebody has shown, and whose it is."""

    fingerprint: bytes
    value: bytes


class Tickets:
    """At most one for each identity that is in, or may still come back.  Thread-safe.

    It is given up with its session (``server.sessions``), and so ends with the grace.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # leaf; guards both tables
        self._tickets: OrderedDict[bytes, Ticket] = OrderedDict()  # key: fingerprint; oldest first
        self._of_group: dict[str, OrderedDict[bytes, None]] = {}  # fingerprints; oldest first

    def issue(self, fingerprint: bytes, group: str) -> bytes:
        """A new ticket of this identity, which comes from ``group``, in place of any other."""
        ticket = Ticket(secrets.token_bytes(protocol_limits.NONCE_BYTES), group)
        with self._lock:
            self._drop_locked(fingerprint)
            if (oldest := self._too_many_locked(group)) is not None:
                self._drop_locked(oldest)
            self._keep_locked(fingerprint, ticket)
        return ticket.value

    def take(self, sid: bytes, name: bytes) -> bytes | None:
        """Use up the ticket that ``name`` stands for in the handshake ``sid``.

        The fingerprint that it belongs to, or None where there is none such.
        """
        shown = self.shown(sid, name)
        return shown.fingerprint if shown is not None and self.use(shown) else None

    def shown(self, sid: bytes, name: bytes) -> ShownTicket | None:
        """The ticket that ``name`` stands for.

        Looks at every ticket, and compares each: how long it takes tells nothing.
        """
        with self._lock:
            owners = {ticket.value: who for who, ticket in self._tickets.items()}
        found = link.shown_ticket(sid, name, owners)
        return None if found is None else ShownTicket(owners[found], found)

    def use(self, shown: ShownTicket) -> bool:
        """Use it up; of two who come with it at once, one has it."""
        with self._lock:
            ticket = self._tickets.get(shown.fingerprint)
            if ticket is None or ticket.value != shown.value:
                return False
            self._drop_locked(shown.fingerprint)
        return True

    def forget(self, fingerprint: bytes) -> None:
        """It has no session any more."""
        with self._lock:
            self._drop_locked(fingerprint)

    def _too_many_locked(self, group: str) -> bytes | None:
        """Whose ticket goes for one more of ``group``: the oldest of that, or of all."""
        held = self._of_group.get(group, ())
        if len(held) >= self._bounds.of_address:
            return next(iter(held))
        return next(iter(self._tickets)) if len(self._tickets) >= self._bounds.of_all else None

    @property
    def _bounds(self) -> Bounds:
        return Bounds(limits.TICKETS_OF_ADDRESS, limits.TICKETS)

    def _keep_locked(self, fingerprint: bytes, ticket: Ticket) -> None:
        self._tickets[fingerprint] = ticket
        self._of_group.setdefault(ticket.group, OrderedDict())[fingerprint] = None

    def _drop_locked(self, fingerprint: bytes) -> None:
        ticket = self._tickets.pop(fingerprint, None)
        if ticket is None:
            return
        held = self._of_group[ticket.group]
        del held[fingerprint]
        if not held:
            del self._of_group[ticket.group]
