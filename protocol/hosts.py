"""How a host is written, and which of them mean this machine."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterable

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Address = tuple[str, int]  # of a server: host, without brackets, and port

# Of one chat. Who finds none of them tries them all: a list without an end would be a flood.
MOST_ADDRESSES = 16


def bracketed(host: str) -> str:
    """As it stands before a port, and in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def host_and_port(host: str, port: int | str | None) -> str:
    """As people and URLs have them."""
    return f"{bracketed(host)}:{port}"


def server_name(host: str, port: int) -> str:
    """Host and port in the one form that stands for all ways to write them."""
    name = host.rstrip(".").casefold()
    with contextlib.suppress(ValueError):  # a name, or an address with a zone
        name = ipaddress.ip_address(name).compressed
    return host_and_port(name, port)


def all_differ(addresses: Iterable[Address]) -> bool:
    """Whether no two of them are the same in all but how they are written."""
    names = [server_name(*address) for address in addresses]
    return len(set(names)) == len(names)


def ip_address(host: str) -> IpAddress | None:
    """The address that ``host`` is, without its zone; None if it is a name.

    An IPv4 address that is written as an IPv6 one counts as what it is.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_loopback(host: str) -> bool:
    """Whether ``host`` means the machine itself, wherever it is read."""
    address = ip_address(host)
    if address is not None:
        return address.is_loopback
    return host.rstrip(".").lower() in ("localhost", "localhost.localdomain")
