"""How a host is written, and which of them mean this machine."""

from __future__ import annotations

import contextlib
import ipaddress

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


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
