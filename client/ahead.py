"""What takes a moment to make, made while the rest of the program is still being loaded.

The two RSA keys and scrypt cost a twentieth to a tenth of a second each, and none of them holds
the interpreter's lock.  So this module imports little, and ``run`` starts them before it imports
the client: they are ready by the time that they are asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from protocol import pake
from protocol.keys import Identity, RecipientKeys
from protocol.link import Credentials
from settings import ClientSettings

T = TypeVar("T")


class Ahead(Generic[T]):
    """``make``, called on a thread of its own; calling this gives its result, or its error."""

    def __init__(self, name: str, make: Callable[[], T]) -> None:
        self._make = make
        self._made: list[T] = []
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._made.append(self._make())
        except Exception as error:  # told where the result is needed
            self._error = error

    def __call__(self) -> T:
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._made[0]


class Keys:
    """All that one run of the client needs and that takes a moment.

    ``identity()`` and ``credentials()`` wait until it is there; ``link_keys()`` gives the keys
    for one connection, which are fresh each time.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self.credentials = Ahead("scrypt", lambda: credentials(settings))
        self.identity = Ahead("identity", Identity)
        self._first: Ahead[RecipientKeys] | None = Ahead("link-keys", RecipientKeys)

    def link_keys(self) -> RecipientKeys:
        """Keys that no other connection has used.  Only the reader thread asks."""
        first, self._first = self._first, None
        return RecipientKeys() if first is None else first()


def credentials(settings: ClientSettings) -> Credentials:
    """What is proven to the server; takes a tenth of a second for a password (scrypt)."""
    if settings.token is not None:
        token_id, _, secret = settings.token.partition(".")
        # Half a token is refused like any other that is wrong.
        return Credentials(pake.token_prs(secret.encode() or b"-"), token_id)
    return Credentials(pake.password_prs(settings.password or ""))


def run(settings: ClientSettings) -> int:
    """Chat until the end; the exit status."""
    keys = Keys(settings)
    from client.app import run as chat  # takes as long as the keys do

    return chat(settings, keys)
