"""The header with which a proxy tells whom it speaks for: the PROXY protocol, versions 1 and 2.

It comes before everything else on a connection, TLS included, and only a proxy that is known may
send it (haproxy's ``proxy-protocol.txt``, 2020-03-05).  What follows it is never read here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from .errors import BadProxyHeader
from .stream import Stream, filled

LINE_BYTES = 107  # section 2.1: the longest line of version 1, with its end
# Section 2.2: addresses take 216 bytes at most; what proxies add (TLS names, tunnel ids) is short.
BLOCK_BYTES = 4096

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_HEAD_BYTES = len(_SIGNATURE) + 4
_LEAST_LINE = len(b"PROXY UNKNOWN\r\n")
_PORT = r"(?:0|[1-9][0-9]{0,4})"
_LINE = re.compile(
    rf"PROXY (?:TCP([46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) {_PORT} {_PORT}|UNKNOWN(?: .*)?)"
)
_LOCAL, _PROXY = 0x20, 0x21  # version 2 in the upper half, the command in the lower
# Family and transport, and how long the addresses are; of the first two the source comes first.
_TCP4, _TCP6 = 0x11, 0x21
_SIZES = {0x00: 0, _TCP4: 12, 0x12: 12, _TCP6: 36, 0x22: 36, 0x31: 216, 0x32: 216}
_SOURCE_BYTES = {_TCP4: 4, _TCP6: 16}


def read_proxy_header(stream: Stream, deadline: float) -> str | None:
    """The address that the header names; None where it is for the proxy itself, or tells nobody's.

    Raises BadProxyHeader for anything else than a header, TimeoutError past ``deadline``, OSError.
    """

    def take(size: int) -> bytes:
        data = filled(lambda left: stream.recv_raw(left, deadline), size)
        if len(data) < size:
            raise BadProxyHeader
        return data

    return _read(take)


def _read(take: Callable[[int], bytes]) -> str | None:
    """``take`` gives so many of the next bytes, or raises."""
    start = take(len(_SIGNATURE))
    if start == _SIGNATURE:
        return _of_block(take)
    if not start.startswith(b"PROXY "):
        raise BadProxyHeader
    return _of_line(start + take(_LEAST_LINE - len(start)), take)


def _of_line(line: bytes, take: Callable[[int], bytes]) -> str | None:
    # In bites, since nothing tells how long it is, and what comes after it is not ours to read.
    while not line.endswith(b"\r\n"):
        size = 1 if line.endswith(b"\r") else 2
        if len(line) + size > LINE_BYTES or b"\n" in line:
            raise BadProxyHeader
        line += take(size)
    found = _LINE.fullmatch(line[:-2].decode("latin-1"))
    if found is None:
        raise BadProxyHeader
    version, source, _destination = found.groups()
    if version is None:
        return None
    try:
        addresses = [ipaddress.ip_address(text) for text in found.groups()[1:]]
    except ValueError:
        raise BadProxyHeader from None
    if any(str(address.version) != version for address in addresses):
        raise BadProxyHeader
    return str(source)


def _of_block(take: Callable[[int], bytes]) -> str | None:
    head = take(_HEAD_BYTES - len(_SIGNATURE))
    command, kind, length = head[0], head[1], int.from_bytes(head[2:], "big")
    if command not in (_LOCAL, _PROXY) or length > BLOCK_BYTES:
        raise BadProxyHeader
    block = take(length)
    if command == _LOCAL:  # whatever it names, it is to be passed over
        return None
    if length < _SIZES.get(kind, length + 1):
        raise BadProxyHeader
    size = _SOURCE_BYTES.get(kind)
    return str(ipaddress.ip_address(block[:size])) if size else None
