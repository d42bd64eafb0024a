"""Blocking sockets with a time-out, for a library that does its own reading and writing.

One thread uses such a socket; others may only ``cut`` it.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from typing import Any

from .errors import TlsFailed, Unreachable
from .resolver import Addresses
from .tls import Context, tls_reason


def connect_tcp(
    addresses: Addresses,
    seconds: float,
    tls: tuple[Context, str] | None = None,
) -> socket.socket:
    """A connection to the first address that takes one, within so many seconds for all of it.

    ``tls``: a context, and the name that the certificate has to have.  Raises Unreachable, of
    which TlsFailed is one.
    """
    deadline = time.monotonic() + seconds
    failed = Unreachable("network")
    for number, (family, address) in enumerate(addresses):
        # Each of those that are left gets its share, so that one that swallows packets does not
        # keep the others from being tried.
        left = (deadline - time.monotonic()) / (len(addresses) - number)
        try:
            sock = _connect(family, address, max(0.05, left))
        except Unreachable as error:
            failed = error
            continue
        return sock if tls is None else _encrypted(sock, *tls, deadline)
    raise failed


def connect_unix(path: str, seconds: float) -> socket.socket:
    """A connection to a Unix socket.  Raises Unreachable."""
    family = getattr(socket, "AF_UNIX", None)
    if family is None:  # Windows
        raise Unreachable("network")
    return _connect(family, path, seconds)


def cut(sock: socket.socket) -> None:
    """End it from any thread: whoever waits for something on it wakes."""
    with contextlib.suppress(OSError):
        # Of TLS, the connection below it: its own shutdown() changes what another thread may be in.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _connect(family: int, address: Any, seconds: float) -> socket.socket:
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError:  # no descriptor to be had
        raise Unreachable("network") from None
    try:
        if family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.settimeout(seconds)
        sock.connect(address)
    except OSError as error:
        sock.close()
        raise Unreachable(_reason(error)) from None
    except BaseException:
        sock.close()
        raise
    return sock


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    refused = isinstance(error, (ConnectionRefusedError, FileNotFoundError))
    return "refused" if refused else "network"


def _encrypted(
    sock: socket.socket, context: Context, name: str, deadline: float
) -> ssl.SSLSocket:
    try:
        sock.settimeout(max(0.05, deadline - time.monotonic()))
        return context.wrap_socket(sock, server_hostname=name)
    except OSError as error:
        sock.close()
        reason = "hung_up" if isinstance(error, ConnectionError) else tls_reason(error)
        raise TlsFailed(reason) from None
    except ValueError:  # UnicodeError too: a name that no certificate could have
        sock.close()
        raise TlsFailed("wrong_host") from None
    except BaseException:
        sock.close()
        raise
