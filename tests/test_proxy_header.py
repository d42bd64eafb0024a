"""The PROXY protocol's header: read to its last byte and no further, or refused."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.transport_kit import Task, soon, tcp_pair
from transport.errors import BadProxyHeader
from transport.proxy_header import BLOCK_BYTES, LINE_BYTES, _read, read_proxy_header
from transport.stream import Stream

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
AFTER = b"what comes next"
LONGEST = b"ffff" + b":ffff" * 7  # as an address is written


def block(
    source: str | None, command: int = 0x21, kind: int | None = None, more: bytes = b""
) -> bytes:
    """A header of version 2: section 2.2 of its specification."""
    data = b""
    if source is not None:
        address = ipaddress.ip_address(source)
        data = address.packed + b"\x7f" * len(address.packed) + struct.pack("!HH", 40000, 1000)
        kind = kind or (0x11 if address.version == 4 else 0x21)
    data += more
    return SIGNATURE + bytes([command, kind or 0]) + struct.pack("!H", len(data)) + data


class Bytes:
    """What has come; ``read`` takes of it as from a connection that ends after it."""

    def __init__(self, data: bytes) -> None:
        self.data, self.taken = data, 0

    def take(self, size: int) -> bytes:
        part = self.data[self.taken : self.taken + size]
        self.taken += size
        if len(part) < size:
            raise BadProxyHeader
        return part


GOOD = [
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n", "192.0.2.7"),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255"),
    (b"PROXY TCP4 1.1.1.1 1.1.1.1 0 0\r\n", "1.1.1.1"),
    (b"PROXY TCP6 2001:db8::7 ::1 1 2\r\n", "2001:db8::7"),
    (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n", "::ffff:192.0.2.7"),
    (b"PROXY TCP6 fc00:dead:beef:4dad::1:2 ::1 65535 42\r\n", "fc00:dead:beef:4dad::1:2"),
    (b"PROXY TCP6 %s %s 65535 65535\r\n" % (LONGEST, LONGEST), LONGEST.decode()),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN %s %s 65535 65535\r\n" % (LONGEST, LONGEST), None),
    (block("192.0.2.7"), "192.0.2.7"),
    (block("2001:db8::7"), "2001:db8::7"),
    (block("192.0.2.7", more=b"\x03\x00\x04abcd"), "192.0.2.7"),
    (block("192.0.2.7", more=bytes(BLOCK_BYTES - 12)), "192.0.2.7"),
    (block("192.0.2.7", command=0x20), None),  # LOCAL
    (block(None, command=0x20), None),
    (block(None), None),  # UNSPEC
    (block("192.0.2.7", kind=0x12), None),  # of a datagram
    (block(None, kind=0x31, more=bytes(216)), None),  # a Unix socket
]
BAD = [
    b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00", b"proxy tcp4",
    b"PROXY\r\n\r\nGET / HTTP", b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n\n" + b"x" * 100,
    b"PROXY TCP4 2001:db8::7 ::1 1 2\r\n", b"PROXY TCP6 192.0.2.7 192.0.2.8 1 2\r\n",
    b"PROXY TCP4 192.0.2.7 ::1 1 2\r\n", b"PROXY TCP4 192.0.2.07 192.0.2.1 1 2\r\n",
    b"PROXY TCP4 192.0.2.256 192.0.2.1 1 2\r\n", b"PROXY TCP4 192.0.2.7 192.0.2.1 1\r\n",
    b"PROXY TCP4  192.0.2.7 192.0.2.1 1 2\r\n", b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2 \r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 01 2\r\n", b"PROXY TCP4 192.0.2.7 192.0.2.1 -1 2\r\n",
    b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", b"PROXY UDP4 192.0.2.7 192.0.2.1 1 2\r\n",
    b"PROXY UNKNOWNX y\r\n", b"PROXY UNKNOWN " + b"x" * LINE_BYTES, b"PROXY TCP4 " + b"1" * 200,
    SIGNATURE[:-1] + b"X" + bytes(50), SIGNATURE + b"\x11\x11\x00\x0c" + bytes(12),
    SIGNATURE + b"\x22\x11\x00\x0c" + bytes(12), SIGNATURE + b"\x21\x11\x00\x0b" + bytes(11),
    SIGNATURE + b"\x21\x21\x00\x0c" + bytes(12), SIGNATURE + b"\x21\x41\x00\x0c" + bytes(12),
    block("192.0.2.7", more=bytes(BLOCK_BYTES - 11)), b"", b"PROXY ",
    SIGNATURE + b"\x20\x00\xff\xff" + bytes(65535), SIGNATURE, block("192.0.2.7")[:-1],
    b"PROXY TCP4 192.0.2.7 198.51.100.1 5 4\r",
]  # fmt: skip


@pytest.mark.parametrize(("header", "address"), GOOD)
def test_a_header_and_whom_it_names(header: bytes, address: str | None) -> None:
    came = Bytes(header + AFTER)
    assert _read(came.take) == address
    assert came.taken == len(header)


@pytest.mark.parametrize("header", BAD)
def test_what_is_no_header(header: bytes) -> None:
    with pytest.raises(BadProxyHeader):
        _read(Bytes(header).take)


def test_only_so_much_is_read() -> None:
    """Of a line, of a block, and of what is neither."""
    for header, most in (
        (b"PROXY UNKNOWN " + b"x" * 9999, LINE_BYTES), (b"x" * 9999, 12),
        (SIGNATURE + b"\x21\x11\xff\xff" + bytes(65535), 16),
    ):  # fmt: skip
        came = Bytes(header)
        with pytest.raises(BadProxyHeader):
            _read(came.take)
        assert came.taken <= most


mostly_headers = st.one_of(
    st.binary(max_size=200),
    st.binary(max_size=200).map(lambda rest: b"PROXY " + rest),
    st.binary(max_size=200).map(lambda rest: b"PROXY TCP4 " + rest + b"\r\n"),
    st.from_regex(rb"PROXY TCP[46] [0-9a-f:.]{1,20} [0-9a-f:.]{1,20} [0-9]{1,6} [0-9]{1,6}\r\n"),
    st.binary(max_size=200).map(lambda rest: SIGNATURE + rest),
    st.builds(block, st.ip_addresses().map(str), st.integers(0, 255), st.integers(0, 255),
              st.binary(max_size=64)),
)  # fmt: skip


@given(mostly_headers, st.binary(max_size=8))
@example(b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n", b"\r\n")
def test_any_bytes_are_a_header_or_refused(header: bytes, after: bytes) -> None:
    """What is named is an address, and reading ends where the header does."""
    came = Bytes(header + after)
    try:
        address = _read(came.take)
    except BadProxyHeader:
        return
    if address is not None:
        ipaddress.ip_address(address)
    read = (header + after)[: came.taken]
    if read.startswith(b"PROXY"):
        assert read.endswith(b"\r\n") and len(read) <= LINE_BYTES
    else:
        assert len(read) == 16 + int.from_bytes(read[14:16], "big")


# On a connection


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, Stream]]:
    near, far = tcp_pair()
    with near, contextlib.closing(Stream(far)) as stream:
        yield near, stream


@pytest.mark.parametrize(("header", "address"), GOOD)
def test_what_follows_is_left_where_it_is(
    pair: tuple[socket.socket, Stream], header: bytes, address: str | None
) -> None:
    near, stream = pair
    near.sendall(header + AFTER)
    assert read_proxy_header(stream, soon()) == address
    assert stream.recv(100) == AFTER


def test_it_may_come_byte_by_byte(pair: tuple[socket.socket, Stream]) -> None:
    near, stream = pair
    reading = Task(read_proxy_header, stream, soon())
    for byte in block("192.0.2.7"):
        near.sendall(bytes([byte]))
    assert reading.result() == "192.0.2.7"


def test_it_has_a_time_in_all() -> None:
    """However steadily its bytes come."""
    now = [0.0]
    near, far = tcp_pair()
    with near, contextlib.closing(Stream(far, clock=lambda: now[0])) as stream:
        near.sendall(b"PROXY TCP4 192.0.2.7")
        now[0] = 5.0
        with pytest.raises(TimeoutError):
            read_proxy_header(stream, 5.0)
