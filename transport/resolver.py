"""Addresses of names, also while the name service is as far away as the network was.

A system asks a name server that does not answer again after five seconds, and gives up after ten
or more.  Whoever comes back to a server does not wait for that: what its name meant when it was
last answered is tried meanwhile.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from protocol.hosts import MOST_ADDRESSES, Address

from .errors import Unreachable
from .happy_eyeballs import interleaved

PATIENCE = 1.0  # seconds for an answer, where there is an older one
MOST_NAMES = MOST_ADDRESSES + 1  # a server's, a proxy's; of more, the oldest are forgotten

Addresses = list[tuple[int, Any]]  # pairs of family and address


class _Lookup:
    """One question to the system's name service, on a thread of its own."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self.done = threading.Event()
        self.found: Addresses = []
        self.error: Unreachable | None = None
        threading.Thread(target=self._run, name="resolver", daemon=True).start()

    def _run(self) -> None:
        try:
            self.found = look_up(self._host, self._port)
        except Unreachable as error:
            self.error = error
        finally:
            self.done.set()


class Resolver:
    """What the names that were asked for have meant.  Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # leaf; guards both tables
        self._known: OrderedDict[tuple[str, int], Addresses] = OrderedDict()
        self._lookups: dict[tuple[str, int], _Lookup] = {}  # that have no answer yet

    def addresses(self, host: str, port: int) -> Addresses:
        """The addresses of ``host``; of a name that cannot be looked up just now the last known.

        Raises Unreachable.
        """
        key = host, port
        with self._lock:
            known = self._known.get(key)
        found = _numeric(host, port)
        if found:
            return found
        if known is None:
            return self._learn(key, look_up(host, port))
        lookup = self._lookup(key)
        if not lookup.done.wait(PATIENCE):
            return known
        with self._lock:
            self._lookups.pop(key, None)
        if lookup.error is None:
            return self._learn(key, lookup.found)
        if lookup.error.reason == "name":
            raise lookup.error
        return known

    def _lookup(self, key: tuple[str, int]) -> _Lookup:
        """The one that is under way, or a new one: a name is asked for once at a time."""
        with self._lock:
            found = self._lookups.get(key)
            if found is None:
                found = self._lookups[key] = _Lookup(*key)
            return found

    def _learn(self, key: tuple[str, int], found: Addresses) -> Addresses:
        with self._lock:
            self._known[key] = found
            self._known.move_to_end(key)
            while len(self._known) > MOST_NAMES:
                self._known.popitem(last=False)
        return found


def look_up(host: str, port: int) -> Addresses:
    """What the system's name service says.

    Raises Unreachable: ``name`` for one that is not known, ``name_later`` if it does not say.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise Unreachable("name_later" if error.errno == socket.EAI_AGAIN else "name") from None
    except (OSError, UnicodeError):
        raise Unreachable("name") from None
    return interleaved([(entry[0], entry[4]) for entry in found])


def are_unknown(addresses: Sequence[Address], seconds: float) -> bool:
    """Whether the name service says within ``seconds`` that nobody is called as any of them."""
    end = time.monotonic() + seconds
    lookups = [_Lookup(*address) for address in addresses]
    for lookup in lookups:
        lookup.done.wait(max(0.0, end - time.monotonic()))
        if lookup.error is None or lookup.error.reason != "name":
            return False
    return True


def _numeric(host: str, port: int) -> Addresses:
    """The address that ``host`` is; empty if it is a name."""
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
    except (OSError, UnicodeError):
        return []
    return [(entry[0], entry[4]) for entry in found]


RESOLVER = Resolver()
