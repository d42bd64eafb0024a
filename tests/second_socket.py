"""The client's half of RFC 6455, as much as docs/PROTOCOL.md needs, and what attackers send.

Part of ``tests/second_client.py``; nothing here is the program's.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import socket
import ssl
import time

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Ended(Exception):
    """The connection is over; ``close`` is the code of the peer's close frame, if one came."""

    def __init__(self, close: int | None = None) -> None:
        super().__init__(f"the connection is over ({close})")
        self.close = close


class Refused(Exception):
    """There was no upgrade; ``status`` is that of HTTP, 0 if there was no answer."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class WebSocket:
    """A connection to a server, which may be below a ``path``.  ``source``: the address to come
    from.

    ``fingerprint``: of the certificate that is pinned, 64 hex digits; then over TLS.
    ``holds``: how many bytes the system may keep for who does not read.
    Raises Refused, or OSError.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        source: str | None = None,
        fingerprint: str | None = None,
        holds: int | None = None,
        path: str = "",
        seconds: float = 10.0,
    ) -> None:
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._socket.settimeout(seconds)
        if holds is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, holds)
        if source is not None:
            self._socket.bind((source, 0))
        self._bytes = bytearray()
        self._message = bytearray()
        self._kind = 0
        self.received = 0  # bytes in all
        try:
            self._socket.connect((host, port))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if fingerprint is not None:
                self._pin(host, fingerprint)
            self._upgrade(f"{host}:{port}", f"{path}/", time.monotonic() + seconds)
        except BaseException:
            self._socket.close()
            raise

    def _pin(self, host: str, fingerprint: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # pinned instead
        tls = context.wrap_socket(self._socket, server_hostname=host)
        self._socket = tls
        certificate = tls.getpeercert(True) or b""
        if not hmac.compare_digest(hashlib.sha256(certificate).hexdigest(), fingerprint):
            raise OSError("another certificate")

    def _upgrade(self, host: str, path: str, deadline: float) -> None:
        key = base64.b64encode(os.urandom(16))
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key.decode()}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        try:
            while b"\r\n\r\n" not in self._bytes:
                if not self._read(deadline):
                    raise Refused(0)
        except Ended:
            raise Refused(0) from None
        head, _, rest = bytes(self._bytes).partition(b"\r\n\r\n")
        status, *lines = head.split(b"\r\n")
        if not status.startswith(b"HTTP/1.1 101 "):
            raise Refused(int(status.split(b" ")[1]))
        fields = dict(line.split(b": ", 1) for line in lines)
        found = {name.lower(): value for name, value in fields.items()}
        accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
        if found.get(b"sec-websocket-accept") != accept:
            raise Refused(101)
        self._bytes[:] = rest

    def fileno(self) -> int:
        return self._socket.fileno()

    # Sending

    def send(self, message: str | bytes) -> None:
        """Raises Ended."""
        if isinstance(message, str):
            self.send_frame(TEXT, message.encode())
        else:
            self.send_frame(BINARY, message)

    def send_frame(self, kind: int, payload: bytes, last: bool = True) -> None:
        self.send_raw(frame(kind, payload, last))

    def send_raw(self, raw: bytes) -> None:
        try:
            self._socket.settimeout(10.0)
            self._socket.sendall(raw)
        except OSError:
            raise Ended() from None

    def close(self, code: int = 1000) -> None:
        """The polite end; what comes after it is not read."""
        try:
            self.send_frame(CLOSE, code.to_bytes(2, "big"))
        except Ended:
            pass
        self.cut()

    def cut(self) -> None:
        """As if the network was lost."""
        self._socket.close()

    # Receiving

    def receive(self, deadline: float) -> str | bytes | None:
        """The next message, None if there is none by then.  Raises Ended."""
        while True:
            taken = self._take_frame()
            if taken is None:
                if not self._read(deadline):
                    return None
                continue
            last, kind, payload = taken
            if kind == PING:
                self.send_frame(PONG, payload)
            elif kind == CLOSE:
                raise Ended(int.from_bytes(payload[:2], "big") if payload else 1005)
            elif kind != PONG:
                self._kind = self._kind or kind
                self._message += payload
                if last:
                    whole, of = bytes(self._message), self._kind
                    self._message.clear()
                    self._kind = 0
                    return whole.decode() if of == TEXT else whole

    def skip(self) -> None:
        """Throw away what has come, unread.  Raises Ended."""
        while self._read(0.0):
            self._bytes.clear()

    def _take_frame(self) -> tuple[bool, int, bytes] | None:
        buffer = self._bytes
        if len(buffer) < 2:
            return None
        if buffer[0] & 0x70 or buffer[1] & 0x80:
            raise Ended()  # no extension was agreed upon, and servers do not mask
        size, start = buffer[1], 2
        if size > 125:
            start += 2 if size == 126 else 8
            if len(buffer) < start:
                return None
            size = int.from_bytes(buffer[2:start], "big")
        if len(buffer) < start + size:
            return None
        payload = bytes(buffer[start : start + size])
        last, kind = bool(buffer[0] & 0x80), buffer[0] & 0x0F
        del buffer[: start + size]
        return last, kind, payload

    def _read(self, deadline: float) -> bool:
        left = deadline - time.monotonic()
        try:
            # What is there already is taken in any case.
            self._socket.settimeout(max(left, 0.0001))
            more = self._socket.recv(1 << 18)
        except (TimeoutError, ssl.SSLWantReadError):
            return False
        except OSError:
            raise Ended() from None
        if not more:
            raise Ended()
        self.received += len(more)
        self._bytes += more
        return True


def frame(kind: int, payload: bytes, last: bool = True) -> bytes:
    """One frame of a client's, masked."""
    size = len(payload)
    if size < 126:
        length = bytes((size | 0x80,))
    elif size < 1 << 16:
        length = bytes((126 | 0x80,)) + size.to_bytes(2, "big")
    else:
        length = bytes((127 | 0x80,)) + size.to_bytes(8, "big")
    mask = os.urandom(4)
    stream = (mask * (size // 4 + 1))[:size]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")
    return bytes((kind | (0x80 if last else 0),)) + length + mask + masked.to_bytes(size, "big")
