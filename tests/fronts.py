"""A small proxy in front of a server, which says whom it speaks for as real ones do."""

from __future__ import annotations

import socket

from tests.processes import Relay


class Front(Relay):
    """Connects to the server from ``PROXY``, for whoever connects to it.

    ``header``: what it sends first.  ``field``: a line that it puts into each request's headers.
    """

    PROXY = "127.0.0.2"

    def __init__(self, port: int, header: bytes = b"", field: str = "") -> None:
        super().__init__(port)
        self._header, self._field = header, field
        self._asked: set[socket.socket] = set()

    def __enter__(self) -> Front:
        super().__enter__()
        return self

    def _far(self) -> socket.socket:
        far = socket.create_connection(("127.0.0.1", self._port), source_address=(self.PROXY, 0))
        far.sendall(self._header)
        return far

    def _take(self, sock: socket.socket) -> tuple[bytes, bool]:
        data, full = super()._take(sock)
        if self._field and data and sock not in self._asked:  # the request, or its answer
            self._asked.add(sock)
            self._asked.add(self._other[sock])
            line, end, rest = data.partition(b"\r\n")
            data = line + end + self._field.encode() + end + rest
        return data, full


def speaking_for(port: int, address: str, way: str) -> Front:
    """A proxy that names ``address``, by the PROXY protocol (``v1``) or by a header."""
    if way == "v1":
        version = 6 if ":" in address else 4
        there = "::1" if version == 6 else "127.0.0.1"
        return Front(port, f"PROXY TCP{version} {address} {there} 40000 1000\r\n".encode())
    return Front(port, field=f"X-Forwarded-For: {address}")
