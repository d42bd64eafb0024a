"""Addresses of this machine, as they are shown to people."""

from __future__ import annotations

import contextlib
import socket

# Documentation addresses (RFC 5737, RFC 3849): routed like any other, and nobody is there.
_ELSEWHERE = {
    socket.AF_INET: ("192.0.2.1", 9),
    socket.AF_INET6: ("2001:db8::1", 9),
}


def default_route_address(ipv6: bool = False) -> str | None:
    """The address that this machine's packets to elsewhere would bear, None if they could not go.

    A datagram socket is connected and asked; nothing is sent.
    """
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(_ELSEWHERE[family])
        return str(probe.getsockname()[0])
    return None
