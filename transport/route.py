"""What the system itself knows of a route, without a packet being sent.

Whether there is one at all, and from which of this machine's addresses, is what a datagram
socket learns when it is connected.  How much of what was sent has been acknowledged, TCP tells on
Linux; elsewhere nothing is known of it.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from typing import Any

_COUNT = struct.Struct("i")
_ANY_PORT = 9  # "discard" (RFC 863); nothing is sent there
# Documentation addresses (RFC 5737, RFC 3849): routed like any other, and nobody is there.
_ELSEWHERE, _ELSEWHERE_6 = ("192.0.2.1", _ANY_PORT), ("2001:db8::1", _ANY_PORT)


def own_address(address: tuple[Any, ...]) -> str:
    """The own address that packets to ``address`` would bear; empty if there is no route.

    ``address`` is as ``socket`` has it, of IPv4 or IPv6.  A datagram socket is connected and asked.
    """
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def default_route_address(ipv6: bool = False) -> str:
    """The own address that packets to elsewhere would bear; empty if they could not go."""
    return own_address(_ELSEWHERE_6 if ipv6 else _ELSEWHERE)


def unacknowledged(sock: socket.socket) -> int:
    """Bytes that were written to ``sock`` and not acknowledged by its peer yet.

    0 where the system does not tell (tcp(7), SIOCOUTQ).
    """
    if sys.platform != "linux":
        return 0
    import fcntl
    import termios

    with contextlib.suppress(OSError, ValueError):  # closed
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(_COUNT.size))
        return int(_COUNT.unpack(answer)[0])
    return 0


class SendProgress:
    """Whether what was sent is being taken, bit by bit.  For one thread."""

    def __init__(self) -> None:
        self._sent = self._taken = self._progress = 0

    def look(self, sent: int, taken: int) -> int:
        """A number that grows while some of what was sent has been taken, and some has not.

        What is taken at once tells nothing: a proxy takes it, whatever is behind it.  ``sent`` and
        ``taken`` are bytes, in all.
        """
        if self._taken < taken < self._sent:
            self._progress += 1
        self._sent, self._taken = sent, taken
        return self._progress


class Route:
    """Where the route to one address begins; ``changed`` looks again.

    ``address`` is as ``socket`` has it, of TCP over IP; others have none.  For one thread.
    """

    def __init__(self, address: Any) -> None:
        self._address: tuple[Any, ...] | None = None
        if isinstance(address, tuple):
            # Whatever the port, the route is the same; 0 cannot be connected to everywhere.
            self._address = (address[0], _ANY_PORT, *address[2:])
        self._begins = self._look()

    def changed(self) -> bool:
        """Whether there is a route, and another one (or again one) than at the last look."""
        before, self._begins = self._begins, self._look()
        return self._begins not in ("", before)

    def _look(self) -> str:
        return "" if self._address is None else own_address(self._address)
