"""The load's end of connections: many WebSockets in one thread, each as cheap as can be.

Nothing here waits on one connection.  Frames are masked with zeros, which costs the server what
any mask costs, and us nothing.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Callable

_READ_BYTES = 256 * 1024
_MASK = bytes(4)
LONG = 120.0  # seconds; against hanging only

_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_TLS.check_hostname, _TLS.verify_mode = False, ssl.CERT_NONE


def frame(message: str | bytes) -> bytes:
    """A client's frame, text or binary (RFC 6455 5.2)."""
    kind, payload = (0x81, message.encode()) if isinstance(message, str) else (0x82, message)
    size = len(payload)
    if size < 126:
        head = bytes((kind, 0x80 | size))
    elif size < 1 << 16:
        head = bytes((kind, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((kind, 0xFF)) + size.to_bytes(8, "big")
    return head + _MASK + payload


class Loop:
    """One thread's connections, and the wait for whichever of them has something."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._channels: dict[int, Channel] = {}
        self.buffer = memoryview(bytearray(_READ_BYTES))

    def add(self, channel: Channel) -> None:
        """Wait for this one, too."""
        self._channels[channel.fd] = channel
        self._poll.register(channel.fd, select.EPOLLIN)

    def remove(self, channel: Channel) -> None:
        """Wait for it no more."""
        if self._channels.pop(channel.fd, None) is not None:
            self._poll.unregister(channel.fd)

    def want(self, channel: Channel, write: bool, read: bool = True) -> None:
        """What to wait for on this one."""
        events = (select.EPOLLOUT if write else 0) | (select.EPOLLIN if read else 0)
        self._poll.modify(channel.fd, events)

    def turn(self, seconds: float) -> None:
        """Let every connection that has something take it; wait at most ``seconds`` for one."""
        for fd, event in self._poll.poll(max(0.0, seconds)):
            channel = self._channels.get(fd)
            if channel is None:
                continue
            if event & select.EPOLLOUT:
                channel.writable()
            if event & ~select.EPOLLOUT:
                channel.readable()

    def until(self, done: Callable[[], bool]) -> None:
        """Turns until ``done``."""
        deadline = time.monotonic() + LONG
        while not done():
            assert time.monotonic() < deadline, "the load got stuck"
            self.turn(1.0)

    def rest(self, seconds: float) -> None:
        """Turns for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.turn(left)

    def close(self) -> None:
        """Close every connection."""
        for channel in list(self._channels.values()):
            channel.close()
        self._poll.close()


class Channel:
    """One WebSocket from ``source``, an address of this machine, to a local port.

    ``receive_bytes`` sets how much the system keeps for us; None leaves it to the system.
    """

    def __init__(
        self, loop: Loop, port: int, tls: bool, path: str, source: str, receive_bytes: int = 0
    ) -> None:
        self._loop = loop
        sock = socket.socket()
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.bind((source, 0))
        sock.connect(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self._tls: ssl.SSLSocket | None = None
        self._greeted = not tls
        if tls:
            sock = self._tls = _TLS.wrap_socket(sock, do_handshake_on_connect=False)
        self._sock = sock
        self.fd = sock.fileno()
        self._out = b""
        self._rest = b""
        self._upgraded = False
        self._path = path
        self._tape: list[tuple[float, bytes]] | None = None
        self._moment: float | None = None
        loop.add(self)
        if tls:
            self._agree()
        else:
            self.begin()

    def _agree(self) -> None:
        assert self._tls is not None
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        self._greeted = True
        self.begin()

    def begin(self) -> None:
        """Say the first thing on a connection that is there: ask for the WebSocket."""
        self.write(
            b"GET %s HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            % self._path.encode()
        )

    def write(self, data: bytes) -> None:
        """Send bytes; what the system does not take goes when it does."""
        if self._out:
            self._out += data
            return
        self._out = data
        self._push()
        if self._out:
            self._loop.want(self, write=True)

    def writable(self) -> None:
        """Send on what the system did not take."""
        self._push()
        if not self._out:
            self._loop.want(self, write=False)

    def _push(self) -> None:
        try:
            self._out = self._out[self._sock.send(self._out) :]
        except (BlockingIOError, ssl.SSLWantWriteError, ConnectionError):
            pass  # when a connection is over its reader finds out

    def readable(self) -> None:
        """Take what has come."""
        if not self._greeted:
            self._agree()
            return
        buffer = self._loop.buffer
        while True:
            try:
                size = self._sock.recv_into(buffer)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            except ConnectionError:  # a process that was killed had not read all
                size = 0
            if not size:
                self.ended()
                return
            if self._tape is None:
                self.feed(bytes(buffer[:size]))
            else:
                self._tape.append((time.monotonic(), bytes(buffer[:size])))
            if self._tls is None or not self._tls.pending():
                return

    def record(self) -> None:
        """From now on keep what comes, and look at it in ``replay``: that is when it counts."""
        self._tape = []

    def replay(self) -> None:
        """Take what was recorded as if it came at its time; no more is recorded."""
        tape, self._tape = self._tape or [], None
        for self._moment, data in tape:
            self.feed(data)
        self._moment = None

    def moment(self) -> float:
        """When that came which is being fed."""
        return time.monotonic() if self._moment is None else self._moment

    def feed(self, data: bytes) -> None:
        """Bytes have come: whole frames go to ``message``, the rest waits."""
        if self._rest:
            data = self._rest + data
        at = self.upgrade(data) if not self._upgraded else 0
        while len(data) - at >= 2:
            start = at + 2
            size = data[at + 1]
            if size == 126:
                start = at + 4
                size = int.from_bytes(data[at + 2 : start], "big")
            elif size == 127:
                start = at + 10
                size = int.from_bytes(data[at + 2 : start], "big")
            if len(data) < start + size:
                break
            kind, payload = data[at], data[start : start + size]
            if kind == 0x82:
                self.message(payload)
            elif kind == 0x81:
                self.message(payload.decode())
            else:
                self.ended()
                return
            at = start + size
        self._rest = data[at:]

    def upgrade(self, data: bytes) -> int:
        """Where the answer to the upgrade ends in ``data``; 0 if that is still to come."""
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            return 0
        assert data.startswith(b"HTTP/1.1 101"), data[:200]
        self._upgraded = True
        self.opened()
        return end

    @property
    def upgraded(self) -> bool:
        """Whether frames may be sent."""
        return self._upgraded

    def opened(self) -> None:
        """The upgrade is done."""

    def message(self, message: str | bytes) -> None:
        """A whole frame has come, text or binary."""

    def ended(self) -> None:
        """The server has ended the connection, which no load asks it to."""
        raise AssertionError(f"the server has ended a connection: {self}")

    def pause(self) -> None:
        """Read nothing more."""
        self._loop.want(self, write=False, read=False)

    def read_one(self) -> int:
        """Read one byte and forget it, after ``pause``; 0 if there was none."""
        try:
            return len(self._sock.recv(1))
        except (BlockingIOError, ssl.SSLWantReadError):
            return 0

    def close(self) -> None:
        """End the connection."""
        self._loop.remove(self)
        self._sock.close()
