"""The addresses of one chat: which is tried next, and one round of them all.

They are in a random order at first, so that many clients spread over all of them; whoever has
failed, or lost this client, is tried last.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import TypeVar

from client.connection.outcome import AdmissionRefused, is_one_addresses
from protocol.errors import ChatError, TimedOut
from protocol.hosts import Address
from transport import Closed, Unreachable
from transport.websocket import WebSocket

Result = TypeVar("Result")
_Order = tuple[Address, ...]
_SHUFFLE = secrets.SystemRandom().shuffle


class AddressRing:
    """For the reader thread, but for ``candidates``.  ``shuffle`` is that of ``random``."""

    def __init__(
        self,
        addresses: Sequence[Address],
        shuffle: Callable[[list[Address]], None] = _SHUFFLE,
    ) -> None:
        order = list(addresses)
        shuffle(order)
        self._order = tuple(order)  # never changed, but replaced: any thread may read it
        self._done: frozenset[Address] = frozenset()  # with, in this round
        self._dialled: Address | None = None  # by this attempt
        self._current: Address | None = None  # that this client is in by

    def candidates(self) -> tuple[Address, ...]:
        """What to dial, the best first; the one that this client is in by comes last."""
        order, current = self._order, self._current
        if current is not None:
            order = _turned(order, current, behind=True)
        return tuple(address for address in order if address not in self._done)

    def round(self, attempt: Callable[[], Result], may_go_on: Callable[[], bool]) -> Result:
        """What comes of ``attempt``, made again at once after what may be one address's alone.

        It dials ``candidates``, and tells ``dialled`` what came of that.  Raises ChatError as the
        last attempt did, or as one that was refused, where the last one found nobody.
        """
        self._done, refusal = frozenset(), None
        while True:
            self._dialled = None
            try:
                return attempt()
            except ChatError as error:
                refusal = error if isinstance(error, AdmissionRefused) else refusal
                if self._failed() and is_one_addresses(error) and may_go_on():
                    continue
                found_nobody = isinstance(error, Unreachable | Closed | TimedOut)
                raise refusal if refusal is not None and found_nobody else error from None

    def dialled(self, peer: WebSocket) -> None:
        """This attempt has come to a server."""
        self._dialled = peer.address

    def entered(self, peer: WebSocket) -> None:
        """This client is in by that one."""
        self._current, self._done = peer.address, frozenset()
        if self._current is not None:
            self._order = _turned(self._order, self._current)

    def lost(self) -> None:
        """It is not in any more, if it was."""
        current, self._current = self._current, None
        if current is not None:
            self._order = _turned(self._order, current, behind=True)

    def _failed(self) -> bool:
        """Whether there is another address to try in this round, after the one that was dialled."""
        address = self._dialled
        if address is None:  # nobody could be
            return False
        self._order = _turned(self._order, address, behind=True)
        self._done |= {address}
        return bool(self.candidates())


def _turned(order: _Order, address: Address, behind: bool = False) -> _Order:
    """``order`` so that it begins with ``address``, or with what is behind that one."""
    place = order.index(address) + behind
    return order[place:] + order[:place]
