"""Where a connection comes from: its peer, or whom a trusted proxy names; and what counts together.

Of a proxy that is trusted (``TRUSTED_PROXIES``) either the PROXY protocol's header is believed, or
else ``X-Forwarded-For``, of which the last address counts that is not a trusted one's: those before
it are what a client may have made up.  Of anybody else neither is.  What comes of it is counted
with, and told nobody.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from protocol.hosts import IpAddress, ip_address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# What only a proxy adds to a request: it was not made where it seems to come from.
FORWARDING = (
    "Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
    "X-Forwarded-Port", "X-Forwarded-Server", "X-Real-IP", "X-Client-IP", "Client-IP",
    "True-Client-IP", "CF-Connecting-IP",
)  # fmt: skip

# Where Tor puts the numbers of circuits that reach an onion service, with
# `HiddenServiceExportCircuitID haproxy` (its manual): each is somebody else's.
_CIRCUITS = ipaddress.ip_network("fc00:dead:beef:4dad::/64")


def address_group(address: str, circuits: bool = False) -> str:
    """Whose failures count together: an IPv4 address, or the /64 of an IPv6 one.

    With ``circuits`` a trusted proxy has told the address, and it may stand for a circuit of Tor's.
    """
    parsed = ip_address(address)
    if parsed is None:
        return "?"
    if parsed.version == 4:
        return str(parsed)
    if circuits and parsed in _CIRCUITS:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False).network_address)


def has_neighbours(group: str) -> bool:
    """Whether an address group is one of those that one owner may have many of."""
    return ":" in group and ipaddress.ip_address(group) not in _CIRCUITS


@dataclass(frozen=True)
class ClientAddress:
    """``address`` is what is counted, ``peer`` who is at the other end of the connection.

    ``behind``: that is a trusted proxy, so the request may come from anywhere.
    """

    peer: str
    address: str
    behind: bool = False

    @property
    def group(self) -> str:
        """Whose attempts count together (``address_group``)."""
        return address_group(self.address, circuits=self.behind)


class TrustedProxies:
    """The proxies that are trusted; with ``headers`` each has to send a PROXY header first."""

    def __init__(self, networks: Sequence[Network] = (), headers: bool = False) -> None:
        self._networks, self._headers = networks, headers

    def of_peer(self, peer: str) -> ClientAddress:
        """Where a connection of ``peer`` comes from, before it has said anything."""
        return ClientAddress(peer, peer, self._trusts(ip_address(peer)))

    def sends_header(self, client: ClientAddress) -> bool:
        """Whether a PROXY header has to come first."""
        return self._headers and client.behind

    def named(self, client: ClientAddress, address: str | None) -> ClientAddress:
        """What the PROXY header makes of it; None: it named nobody."""
        return client if address is None else ClientAddress(client.peer, address, client.behind)

    def forwarded(self, client: ClientAddress, values: Iterable[str]) -> ClientAddress:
        """What a request's ``X-Forwarded-For`` makes of it: ``values``, in their order."""
        if self._headers or not client.behind:
            return client
        address = client.address
        for text in reversed(",".join(values).split(",")):
            parsed = ip_address(_bare(text))
            if parsed is None:  # the proxy's own word for somebody whom it does not know
                break
            address = str(parsed)
            if not self._trusts(parsed):
                break
        return ClientAddress(client.peer, address, client.behind)

    def _trusts(self, address: IpAddress | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def is_loopback(address: str) -> bool:
    """Whether this machine itself is meant; an address says so, and no name."""
    parsed = ip_address(address)
    return parsed is not None and parsed.is_loopback


def is_own_machine(group: str) -> bool:
    """Whether whoever is counted there comes from this machine: somebody here, or a proxy."""
    return is_loopback(group) or group == _LOOPBACK_6


def _bare(text: str) -> str:
    """An address without what some proxies put around it: a port, brackets."""
    text = text.strip()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    host, _colon, port = text.partition(":")
    return host if port.isdecimal() and "." in host else text


_LOOPBACK_6 = address_group("::1")
