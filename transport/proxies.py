"""The way through a proxy: CONNECT of HTTP (RFC 9110 9.3.6), and SOCKS 5 (RFC 1928, RFC 1929).

It is spoken on a stream that leads to the proxy already.  What a proxy says is bounded, in bytes
and by one deadline, and of its words nothing is kept but a number.
"""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import re

from protocol.hosts import host_and_port
from settings.proxies import Proxy

from .errors import Unreachable
from .stream import Stream, filled

_ANSWER_BYTES = 16 * 1024  # of all that a proxy says before the way is open
_NAME_BYTES = 255  # of a server's name (RFC 1928 5)

_VERSION, _CONNECT = 5, 1  # RFC 1928 3 and 4
_NO_LOGIN, _LOGIN = 0, 2  # RFC 1928 3
_LOGIN_VERSION = 1  # RFC 1929 2
_IPV4, _NAME, _IPV6 = 1, 3, 4  # RFC 1928 5
_NOT_ALLOWED = 2  # RFC 1928 6

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?:[ \t].*)?")
_LOGINS = re.compile(rb"proxy-authenticate[ \t]*:(.*)", re.IGNORECASE | re.DOTALL)
_BASIC = re.compile(rb"(?:^|,)[ \t]*basic(?:[ \t,]|$)", re.IGNORECASE)

def open_through(stream: Stream, proxy: Proxy, host: str, port: int, deadline: float) -> None:
    """Have the proxy at the other end of ``stream`` connect it to ``host`` and ``port``.

    ``host`` is told as it is: only the proxy looks a name up.  Raises Unreachable.
    """
    speak = _speak_socks if proxy.kind.startswith("socks") else _speak_http
    stream.set_deadline(deadline)
    try:
        speak(stream, proxy, host, port)
    except TimeoutError:
        raise Unreachable("proxy_timeout") from None
    except OSError:
        raise Unreachable("proxy_closed") from None


class _Answer:
    """What a proxy says, of which no more is taken than what belongs to it."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._left = _ANSWER_BYTES

    def exactly(self, size: int) -> bytes:
        """So many bytes.  Raises Unreachable, OSError."""
        self._left -= size
        if self._left < 0:
            raise Unreachable("proxy_strange")
        data = filled(self._stream.recv, size)
        if len(data) < size:
            raise Unreachable("proxy_closed")
        return data

    def line(self) -> bytes:
        """Up to the next line's end, without it.  Raises Unreachable, OSError."""
        line = bytearray()
        while not line.endswith(b"\n"):
            line += self.exactly(1)
        return bytes(line).rstrip(b"\r\n")


# HTTP


def _speak_http(stream: Stream, proxy: Proxy, host: str, port: int) -> None:
    server = host_and_port(_as_ascii(host), port)
    lines = [f"CONNECT {server} HTTP/1.1", f"Host: {server}"]
    if proxy.user is not None:
        login = base64.b64encode(f"{proxy.user}:{proxy.password}".encode())  # RFC 7617
        lines.append(f"Proxy-Authorization: Basic {login.decode()}")
    stream.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
    answer = _Answer(stream)
    status = 100
    while 100 <= status < 200 and status != 101:  # interim ones, of which any number may come
        status, logins = _read_head(answer)
    if 200 <= status < 300:
        return
    if status in (401, 407):  # tinyproxy has the first where a password is wrong
        if logins and not any(map(_BASIC.search, logins)):
            raise Unreachable("proxy_scheme")
        raise Unreachable("proxy_login" if proxy.user is None else "proxy_password")
    reason = "proxy_failed" if status >= 500 else "proxy_refused"
    raise Unreachable(reason, f"HTTP {status}")


def _read_head(answer: _Answer) -> tuple[int, list[bytes]]:
    """The status, and each way of logging in that is offered."""
    found = _STATUS.fullmatch(answer.line())
    if found is None:
        raise Unreachable("proxy_strange")
    logins = []
    while line := answer.line():
        if offered := _LOGINS.fullmatch(line):
            logins.append(offered[1])
    return int(found[1]), logins


# SOCKS


def _speak_socks(stream: Stream, proxy: Proxy, host: str, port: int) -> None:
    answer = _Answer(stream)
    # One way only: a password is given to be used, also where the proxy would do without.
    wanted = _NO_LOGIN if proxy.user is None else _LOGIN
    stream.sendall(bytes((_VERSION, 1, wanted)))
    version, method = answer.exactly(2)
    if version != _VERSION:
        raise Unreachable("proxy_strange")
    if method != wanted:
        raise Unreachable("proxy_login" if proxy.user is None else "proxy_scheme")
    if proxy.user is not None:
        _log_in(stream, answer, proxy.user.encode(), proxy.password.encode())
    goal = _destination(host) + port.to_bytes(2, "big")
    stream.sendall(bytes((_VERSION, _CONNECT, 0)) + goal)
    version, reply, _reserved, kind = answer.exactly(4)
    if version != _VERSION:
        raise Unreachable("proxy_strange")
    if reply:
        reason = "proxy_refused" if reply == _NOT_ALLOWED else "proxy_failed"
        raise Unreachable(reason, f"SOCKS {reply}")
    sizes = {_IPV4: 4, _IPV6: 16}
    size = answer.exactly(1)[0] if kind == _NAME else sizes.get(kind)
    if size is None:
        raise Unreachable("proxy_strange")
    answer.exactly(size + 2)  # where the proxy connects from, which is of no use


def _log_in(stream: Stream, answer: _Answer, user: bytes, password: bytes) -> None:
    stream.sendall(
        bytes((_LOGIN_VERSION, len(user))) + user + bytes((len(password),)) + password
    )
    version, status = answer.exactly(2)
    if version != _LOGIN_VERSION:
        raise Unreachable("proxy_strange")
    if status:
        raise Unreachable("proxy_password")


def _destination(host: str) -> bytes:
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host.partition("%")[0])
        return bytes((_IPV4 if address.version == 4 else _IPV6,)) + address.packed
    name = _as_ascii(host).encode()
    if len(name) > _NAME_BYTES:
        raise Unreachable("name")
    return bytes((_NAME, len(name))) + name


def _as_ascii(host: str) -> str:
    """A name as it goes over the wire (IDNA), an address without its zone, which is our own."""
    host = host.partition("%")[0]
    try:
        return host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        raise Unreachable("name") from None
