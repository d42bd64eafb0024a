"""Tickets: who was in need not wait like a stranger to come back in.

Each ``welcome`` brings one, random and for one use.  It says nothing about who has it but that
this server has let it in a moment ago; the password or token is proven all the same.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from collections import OrderedDict
from typing import NamedTuple

from protocol import limits as protocol_limits
from protocol import link
from server import limits


class _Ticket(NamedTuple):
    """A ticket, and the address that it was given to."""

    value: bytes
    group: str


class Tickets:
    """At most one for each identity that is in, or may still come back.  Thread-safe.

    It is given up with its session (``server.sessions``), and so ends with the grace.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # leaf; guards both tables
        self._tickets: OrderedDict[bytes, _Ticket] = OrderedDict()  # key: fingerprint; oldest first
        self._of_group: dict[str, OrderedDict[bytes, None]] = {}  # fingerprints; oldest first

    def issue(self, fingerprint: bytes, group: str) -> bytes:
        """A new ticket of this identity, which comes from ``group``, in place of any other."""
        ticket = _Ticket(secrets.token_bytes(protocol_limits.NONCE_BYTES), group)
        with self._lock:
            self._drop_locked(fingerprint)
            held = self._of_group.setdefault(group, OrderedDict())
            if len(held) >= limits.TICKETS_OF_ADDRESS:
                self._drop_locked(next(iter(held)))
            elif len(self._tickets) >= limits.TICKETS:
                self._drop_locked(next(iter(self._tickets)))
            self._tickets[fingerprint] = ticket
            self._of_group.setdefault(group, held)[fingerprint] = None
        return ticket.value

    def take(self, sid: bytes, name: bytes) -> bytes | None:
        """Use up the ticket that ``name`` stands for in the handshake ``sid``.

        The fingerprint that it belongs to, or None where there is none such.  Looks at every
        ticket, and compares each: how long it takes tells nothing.
        """
        with self._lock:
            all_of_them = list(self._tickets.items())
        found = None
        for fingerprint, ticket in all_of_them:
            if hmac.compare_digest(link.ticket_name(sid, ticket.value), name):
                found = fingerprint, ticket
        if found is None:
            return None
        with self._lock:  # of two who come with it at once, one has it
            if self._tickets.get(found[0]) is not found[1]:
                return None
            self._drop_locked(found[0])
        return found[0]

    def forget(self, fingerprint: bytes) -> None:
        """It has no session any more."""
        with self._lock:
            self._drop_locked(fingerprint)

    def _drop_locked(self, fingerprint: bytes) -> None:
        ticket = self._tickets.pop(fingerprint, None)
        if ticket is None:
            return
        held = self._of_group[ticket.group]
        del held[fingerprint]
        if not held:
            del self._of_group[ticket.group]
