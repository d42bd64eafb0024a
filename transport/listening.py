"""Listening sockets: opened on an address, and woken from ``accept``."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from typing import Any

from .errors import CannotListen

LISTEN_BACKLOG = 1024  # a few hundred clients that come back at once must find room


def listen(host: str, port: int, backlog: int = LISTEN_BACKLOG) -> socket.socket:
    """A listening socket on the first address of ``host`` that works; "" and "::" mean all.

    Raises CannotListen.
    """
    if not 0 <= port < 1 << 16:  # getaddrinfo would take what is left of it in 16 bits
        raise CannotListen("address")
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError):
        raise CannotListen("name") from None
    failure = "address"
    for family, kind, proto, _name, address in found:
        try:
            return _listening(family, kind, proto, address, backlog)
        except PermissionError:
            failure = "denied"
        except OSError as error:
            failure = "in_use" if _in_use(error) else "address"
    raise CannotListen(failure)


def shut(sock: socket.socket) -> None:
    """Close an accepted socket; its peer reads the end first, whatever it has sent unread."""
    with contextlib.suppress(OSError):  # the peer may have been faster
        sock.shutdown(socket.SHUT_WR)
    sock.close()


def _in_use(error: OSError) -> bool:
    return error.errno in (errno.EADDRINUSE, getattr(errno, "WSAEADDRINUSE", None))


def _listening(family: int, kind: int, proto: int, address: Any, backlog: int) -> socket.socket:
    sock = socket.socket(family, kind, proto)
    try:
        if sys.platform == "win32":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(
                socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address[0] == "::" else 1
            )
        sock.bind(address)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def wake_listener(listener: socket.socket, waiting: int) -> None:
    """Make each of so many ``accept`` that wait on ``listener`` return, on any system."""
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
        return
    # Where a listening socket cannot be shut down, somebody has to knock.
    host, port = listener.getsockname()[:2]
    loopback = "::1" if listener.family == socket.AF_INET6 else "127.0.0.1"
    here = loopback if host in ("0.0.0.0", "::") else host  # noqa: S104  # compared, not bound
    for _ in range(waiting):
        with contextlib.suppress(OSError):
            socket.create_connection((here, port), timeout=1.0).close()
