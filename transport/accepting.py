"""The server's side of a WebSocket: simple-websocket, with its traps dealt with.

simple-websocket does the upgrade, and reads in a thread of its own: it parses frames, answers
pings and closes.  It does not bound what waits for the application (``Mailbox`` does: the reading
thread stops reading), accepts compression whenever it is offered (no offer gets through to it),
may end without telling, or with an exception that reaches ``threading.excepthook`` (``_Reader``
catches all and always tells), and its ``receive`` forgets wake-ups (not used).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import struct
import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

import simple_websocket
from wsproto.utilities import ProtocolError

from .errors import BadUpgrade, Closed
from .sockets import Stream
from .websocket import Allowance, WebSocket

RECV_BYTES = 16 * 1024
WAITING_MESSAGES = 64  # received and not taken yet; with more, or more characters,
WAITING_CHARS = 256 * 1024  # the peer is not read on


class Bell:
    """Wakes one waiting thread; a ring that nobody waits for is kept, several are one.

    A lock that is let go by others: a tenth of the cost of ``threading.Event``.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        """From any thread."""
        with contextlib.suppress(RuntimeError):  # rung already
            self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        """True if it rang, now or since the last wait."""
        if timeout is None:
            return self._lock.acquire()
        return self._lock.acquire(timeout=min(max(timeout, 0.0), threading.TIMEOUT_MAX))


class Mailbox:
    """Between the library's reading thread and the one that receives.

    To the library it is both its ``input_buffer`` and its ``event``.  Each counter is written by
    one thread only, so none of it needs a lock.
    """

    def __init__(self) -> None:
        self._messages: deque[str] = deque()
        self._come = 0  # characters, written by the reading thread
        self._gone = 0  # characters, written by the receiving thread
        self._news = Bell()
        self._woken = False
        self._ended = False
        self._room = Bell()
        self._reader_waits = False
        self._released = False
        self._dropping = False
        self.count = 0  # messages that have come, ever

    # The library's side

    def append(self, message: str | bytes) -> None:
        """One whole message has come.  Raises Closed, which ends the reading thread, if binary."""
        if not isinstance(message, str):
            raise Closed
        self.count += 1
        if not self._dropping:
            self._come += len(message)
            self._messages.append(message)

    def set(self) -> None:
        """Something has happened."""
        self._news.ring()

    def wait_for_room(self) -> None:
        """Wait while as much is waiting as may."""
        self._reader_waits = True  # before looking: a taker looks at this after taking
        while self._full() and not self._released:
            self._room.wait()
        self._reader_waits = False

    def _full(self) -> bool:
        return (
            self._come - self._gone >= WAITING_CHARS or len(self._messages) >= WAITING_MESSAGES
        )

    def end(self) -> None:
        """Nothing more comes."""
        self._ended = True
        self._news.ring()

    # The receiving side

    def take(self, timeout: float | None) -> str | None:
        """As ``WebSocket.receive``."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            if self._woken:
                self._woken = False
                return None
            ended = self._ended  # before looking for messages: the last comes before the end
            if self._messages:
                return self._pop()
            if ended:
                raise Closed
            if not self._news.wait(None if deadline is None else deadline - time.monotonic()):
                return None

    def _pop(self) -> str:
        message = self._messages.popleft()
        self._gone += len(message)
        if self._reader_waits and not self._full():
            self._room.ring()
        return message

    def wake(self) -> None:
        """As ``WebSocket.wake``."""
        self._woken = True
        self._news.ring()

    def release(self) -> None:
        """Let the reading thread through, whatever is waiting: the connection is over."""
        self._released = True
        self._room.ring()

    def drop(self) -> None:
        """Nobody receives any more: forget what comes."""
        self._dropping = True
        self._messages.clear()
        self.release()


class _Feed:
    """The socket as simple-websocket sees it."""

    def __init__(self, stream: Stream, mail: Mailbox, max_message_size: int) -> None:
        self._stream, self._mail = stream, mail
        self.allowance = Allowance.of_message(max_message_size)
        self._count = 0

    def recv(self, size: int) -> bytes:
        self._mail.wait_for_room()
        if self._mail.count != self._count:
            self._count = self._mail.count
            self.allowance.renew()
        data = self._stream.recv(size)
        self.allowance.spend(len(data))
        if self._stream.backlog:  # TLS itself had something to say
            self._mail.wake()
        return data

    def send(self, data: bytes | bytearray) -> int:
        sent = self._stream.send(data)
        if self._stream.backlog:
            self._mail.wake()
        return sent

    def close(self) -> None:
        self._stream.abort()  # the descriptor is freed by who opened it


class _Reader(threading.Thread):
    """The library's reading thread: ends without a sound, and never without telling."""

    def __init__(self, stream: Stream, mail: Mailbox, name: str, target: Any) -> None:
        super().__init__(target=target, name=f"{name}-reader", daemon=True)
        self._stream, self._mail = stream, mail

    def run(self) -> None:
        try:
            with contextlib.suppress(Exception):  # whatever it was, the connection is over
                super().run()
        finally:
            self._stream.abort()
            self._mail.end()


class _Library(simple_websocket.Server):  # type: ignore[misc]
    """simple-websocket, putting messages where its reading thread may not bury us."""

    def handshake(self) -> None:
        super().handshake()
        self.input_buffer = self.event  # before the thread starts


class ServerWebSocket(WebSocket):
    """See ``accept``."""

    def __init__(
        self, stream: Stream, environ: dict[str, Any], max_message_size: int, name: str
    ) -> None:
        mail = Mailbox()
        stream.on_abort = mail.release
        stream.set_deadline(None)
        self._feed = _Feed(stream, mail, max_message_size)
        environ["werkzeug.socket"] = self._feed
        self._stream, self._mail = stream, mail
        self._closed = False
        self._library = _Library(
            environ,
            receive_bytes=RECV_BYTES,
            max_message_size=max_message_size,
            thread_class=lambda target: _Reader(stream, mail, name, target),
            event_class=lambda: mail,
        )

    def receive(self, timeout: float | None = None) -> str | None:
        return self._mail.take(timeout)

    def wake(self) -> None:
        self._mail.wake()

    def send(self, data: str) -> None:
        if self._closed:
            raise Closed
        try:
            self._stream.send(text_frame(data))
        except OSError:
            self.abort()
            raise Closed from None
        if self._stream.backlog:
            self._mail.wake()

    @property
    def backlog(self) -> int:
        return self._stream.backlog

    def flush(self, deadline: float) -> None:
        try:
            self._stream.flush(deadline)
        except OSError:
            self.abort()
            raise Closed from None

    def close(self, code: int = 1000) -> None:
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError, ProtocolError, simple_websocket.ConnectionClosed):
            self._library.close(code)

    def abort(self) -> None:
        self._closed = True
        self._stream.abort()

    def allow(self, max_message_size: int) -> None:
        self._library.max_message_size = max_message_size
        self._feed.allowance = Allowance.of_message(max_message_size)

    def finish(self, deadline: float) -> None:
        self._mail.drop()
        self.close()
        with contextlib.suppress(OSError):
            self._stream.flush(deadline)
        self._library.thread.join(max(0.0, deadline - time.monotonic()))
        self.abort()
        self._library.thread.join()


def text_frame(data: str) -> bytes:
    """An unmasked text frame (RFC 6455 5.2).

    wsproto makes the same at fifteen times the cost, which a room of 200 would pay for each post.
    """
    payload = data.encode()
    size = len(payload)
    if size < 126:
        return b"\x81" + bytes((size,)) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", 0x81, 126, size) + payload
    return struct.pack("!BBQ", 0x81, 127, size) + payload


# Offers (compression, subprotocols) and all that the library has no use for do not reach it.
_NEEDED = ("Host", "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version")


def upgrade_environ(headers: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The headers of an upgrade request as WSGI spells them.  Raises BadUpgrade."""
    given: dict[str, str] = {}
    for name, value in headers:
        name = name.lower()
        given[name] = f"{given[name]}, {value}" if name in given else value
    environ = {}
    for name in _NEEDED:
        value = given.get(name.lower(), "").strip()
        if not value or not value.isascii() or not value.isprintable():
            raise BadUpgrade
        environ["HTTP_" + name.upper().replace("-", "_")] = value
    environ["HTTP_HOST"] = "server"  # the library decodes it, fails on some, and does not use it
    if not _is_key(environ["HTTP_SEC_WEBSOCKET_KEY"]):
        raise BadUpgrade
    return environ


def _is_key(value: str) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == 16
    except binascii.Error:
        return False


def accept(
    stream: Stream, headers: Iterable[tuple[str, str]], max_message_size: int, name: str
) -> ServerWebSocket:
    """See ``websocket.accept``."""
    environ = upgrade_environ(headers)
    try:
        return ServerWebSocket(stream, environ, max_message_size, name)
    except ProtocolError:
        raise BadUpgrade from None
    except (OSError, RuntimeError, simple_websocket.ConnectionError):  # RuntimeError: no thread
        stream.abort()
        raise Closed from None
