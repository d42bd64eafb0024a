"""The server's side of a WebSocket: simple-websocket, with its traps dealt with.

simple-websocket parses frames, answers pings and closes.  It would do so in a
thread of its own; here ``receive`` runs the library's loop instead, until there is a message: one
thread a connection, nothing is read that nobody asked for, and what waits is never more than one
read.  It would parse the request again, which costs more than all else in a login but the
cryptography, and accept compression whenever it is offered (``handshake`` answers instead).  It
may end with an exception (``receive`` catches all), and its own ``receive`` forgets wake-ups
(not used).
"""

from __future__ import annotations

import base64
import contextlib
import struct
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable

import simple_websocket
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import CloseConnection, Event, Message
from wsproto.utilities import ProtocolError, generate_accept_token

from .byte_budget import ByteBudget
from .errors import BadUpgrade, Closed, Flooded
from .stream import Interrupted, Stream
from .token_bucket import FRAGMENT_COST, MESSAGE_COST, TokenBucket
from .websocket import SocketAdapter, WebSocket

RECV_BYTES = 16 * 1024
# What a frame of a stranger costs: the handshake is two messages, so a few dozen frames are plenty.
_STRANGERS_FRAME = 8192
_BINARY = 0x82  # the first byte of a binary message's only frame
_SHORTEST_FRAME, _HEAD_BYTES = 6, 14  # masked and empty; a header with a length of eight bytes
_LOOK = 0.001  # seconds, for a look at what is there: poll() counts in milliseconds


_SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %s\r\n\r\n"
)


class _LoopPaused(Exception):
    """Raised through the library's loop, which keeps all its state and can be entered again."""


class _Inbox:
    """Whole messages that nobody has taken yet: the library's ``input_buffer``, and ``event``."""

    def __init__(self) -> None:
        self.messages: deque[str | bytes] = deque()

    def append(self, message: str | bytes) -> None:
        """One has come."""
        self.messages.append(message)

    def set(self) -> None:
        """Something has happened; the loop finds out by itself."""


class FrameProgress:
    """Where in a stream of frames (RFC 6455 5.2) one is, told by their headers."""

    def __init__(self) -> None:
        self._head = b""  # of a header that is not whole
        self._left = 0  # bytes of the frame's payload
        self._unfinished = False  # a message whose last fragment has not come

    @property
    def is_between(self) -> bool:
        """Whether a frame, and a message, was whole with the last byte."""
        return not (self._head or self._left or self._unfinished)

    def feed(self, data: bytes) -> None:
        """These came."""
        at = min(self._left, len(data))
        self._left -= at
        while at < len(data):
            head = self._head + data[at : at + _HEAD_BYTES - len(self._head)]
            size, payload = _frame_sizes(head)
            if not size:
                self._head = head
                return
            at += size - len(self._head)
            self._head = b""
            self._left = max(0, payload - (len(data) - at))
            at += payload
            if head[0] & 0x0F < 8:  # no control frame: those come in between
                self._unfinished = not head[0] & 0x80


def _frame_sizes(head: bytes) -> tuple[int, int]:
    """How long the header that ``head`` begins with is, and the payload; 0, 0 if it is cut off."""
    if len(head) < 2:
        return 0, 0
    masked, length = head[1] & 0x80, head[1] & 0x7F
    extended = {126: 2, 127: 8}.get(length, 0)
    size = 2 + extended + (4 if masked else 0)
    if len(head) < size:
        return 0, 0
    return size, int.from_bytes(head[2 : 2 + extended], "big") if extended else length


def whole_messages(data: bytes, most: int) -> tuple[list[bytes], bytes]:
    """Binary messages of one masked frame each that ``data`` begins with, and what follows them.

    One of more than ``most`` bytes, or whose length has eight bytes or is not the shortest way to
    say it, is left to who judges that.
    """
    messages: list[bytes] = []
    at, have = 0, len(data)
    while have - at >= _SHORTEST_FRAME and data[at] == _BINARY:
        size, length = _SHORTEST_FRAME, data[at + 1] ^ 0x80
        if length == 126:
            size, length = size + 2, int.from_bytes(data[at + 2 : at + 4], "big")
            if length < 126:
                break
        elif length > 126:  # of eight bytes, or not masked
            break
        start, end = at + size, at + size + length
        if end > have or length > most:
            break
        messages.append(_unmasked(data[start - 4 : start], data[start:end]))
        at = end
    return messages, data[at:]


def _unmasked(key: bytes, payload: bytes) -> bytes:
    """RFC 6455 5.3, all bytes at once."""
    length = len(payload)
    mask = int.from_bytes((key * (length // 4 + 1))[:length], "big")
    return (int.from_bytes(payload, "big") ^ mask).to_bytes(length, "big")


class _ServerAdapter(SocketAdapter):
    """For simple-websocket."""

    def __init__(self, stream: Stream, inbox: _Inbox, max_message_size: int) -> None:
        super().__init__(stream, ByteBudget.of_message(max_message_size, _STRANGERS_FRAME))
        self._inbox = inbox
        self.bucket: TokenBucket | None = None  # a stranger has none, and may send next to nothing
        self.answer = b""  # to the upgrade; goes out with what is sent first
        self.ahead = b""  # was read, and comes first
        self.progress = FrameProgress()  # of what the library has got

    def recv(self, size: int) -> bytes:
        if self._inbox.messages or (self.bucket is not None and self.bucket.wait()):
            raise _LoopPaused
        try:
            data = self.ahead or self._stream.recv(size)
        except (Interrupted, TimeoutError):
            raise _LoopPaused from None
        self.ahead = b""
        self.budget.spend(len(data))
        self.spend(len(data))
        self.progress.feed(data)
        self._tell_backlog()  # TLS itself may have had something to say
        return data

    def send(self, data: bytes | bytearray) -> int:
        if self.answer:
            data, self.answer = self.answer + data, b""
        sent = self._stream.send(data)
        self._tell_backlog()
        return sent

    def spend(self, cost: int) -> None:
        """The peer has cost so much."""
        if self.bucket is not None:
            self.bucket.spend(cost)

    def _tell_backlog(self) -> None:
        if self._stream.backlog:
            self._stream.interrupt()


class _FrameParser(Connection):
    """wsproto's reading of frames, each of which costs its peer something.

    A close frame has a code and no reason: wsproto's reasons name the interpreter, and a peer's
    would be echoed.
    """

    def __init__(self, adapter: _ServerAdapter) -> None:
        super().__init__(ConnectionType.SERVER)
        self._adapter = adapter

    def events(self) -> Generator[Event, None, None]:
        adapter = self._adapter
        for event in super().events():
            if isinstance(event, Message) and event.message_finished:
                adapter.budget.renew()
                adapter.spend(MESSAGE_COST)
            elif not isinstance(event, Message) or event.frame_finished:
                adapter.budget.spend_frame()
                adapter.spend(FRAGMENT_COST)
            yield event

    def answered_close(self, data: bytes) -> bool:
        """After our own close frame: whether the peer's is in what came; all else is dropped."""
        with contextlib.suppress(Closed, ProtocolError):
            self.receive_data(data)
            for _ in super().events():
                pass
        return self.state is ConnectionState.CLOSED

    def send(self, event: Event) -> bytes:
        if isinstance(event, CloseConnection):
            event = CloseConnection(event.code)
        sent: bytes = super().send(event)
        return sent


class _Loop:
    """In place of the library's thread: what that would run, for ``receive`` to run."""

    name = ""

    def __init__(self, target: Callable[[], None]) -> None:
        self.run = target

    def start(self) -> None:
        """Not yet."""


class _Library(simple_websocket.Server):  # type: ignore[misc]
    """simple-websocket, putting messages where ``receive`` finds them."""

    def handshake(self) -> None:
        """Answer the request, which http.server has read and ``upgrade_key`` has checked."""
        self.input_buffer = self.event
        self.ws = _FrameParser(self.sock)
        self.sock.answer = _SWITCHING % generate_accept_token(self.environ["key"].encode())
        self.connected = True


class ServerWebSocket(WebSocket):
    """See ``accept``."""

    def __init__(self, stream: Stream, key: str, max_message_size: int) -> None:
        super().__init__(stream)
        self._inbox = _Inbox()
        self._adapter = _ServerAdapter(stream, self._inbox, max_message_size)
        self._ended = False
        stream.set_deadline(None)
        self._library = _Library(
            {"werkzeug.socket": self._adapter, "key": key},
            receive_bytes=RECV_BYTES,
            max_message_size=max_message_size,
            thread_class=_Loop,
            event_class=lambda: self._inbox,
        )

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        if self._stream.take_interrupt():
            return None
        messages = self._inbox.messages
        if not messages and not self._ended:
            self._stream.set_deadline(
                None if timeout is None else time.monotonic() + max(timeout, _LOOK)
            )
            self._read()
        if messages:
            return messages.popleft()
        if self._ended:
            raise Flooded if self._adapter.budget.exceeded else Closed
        return None

    def _read(self) -> None:
        """Read until there is a message, the time is over, or all is."""
        adapter = self._adapter
        if adapter.bucket is not None and not adapter.ahead and adapter.progress.is_between:
            self._read_whole(adapter.bucket)
        else:
            self._run_library()

    def _read_whole(self, bucket: TokenBucket) -> None:
        """Messages that come in one piece, which is nearly all; the library gets the rest.

        It has nothing of them yet, and takes 15 µs for each, where this takes 7.
        """
        if bucket.wait():
            return
        stream, adapter = self._stream, self._adapter
        try:
            data = stream.recv(RECV_BYTES)
        except (Interrupted, TimeoutError):
            return
        except OSError:
            data = b""
        messages, rest = whole_messages(data, self._library.max_message_size)
        bucket.spend(len(data) - len(rest) + len(messages) * MESSAGE_COST)
        if stream.backlog:  # TLS itself may have had something to say
            stream.interrupt()
        adapter.ahead = rest
        if messages:
            self._inbox.messages += messages
            adapter.budget.renew()
        else:
            self._run_library()

    def _run_library(self) -> None:
        """Run the library's loop until there is a message, the time is over, or all is."""
        try:
            self._library.thread.run()
        except _LoopPaused:
            return
        except Exception:  # noqa: S110  # whatever a peer did to the library, it is over
            pass
        if not self._adapter.budget.exceeded:
            self._stream.abort()
        self._ended = True

    def send(self, data: str | bytes) -> None:
        self._send(frame(data))

    def answer(self) -> None:
        """Send the answer to the upgrade without waiting for a first message."""
        self._send(b"")

    def _send(self, wire: bytes) -> None:
        if self._closed:
            raise Closed
        if self._adapter.answer:
            wire, self._adapter.answer = self._adapter.answer + wire, b""
        try:
            self._stream.send(wire)
        except OSError:
            self.abort()
            raise Closed from None
        if self._stream.backlog:
            self._stream.interrupt()

    def _send_close(self, code: int) -> None:
        self._library.close(code)

    def charge_to(self, bucket: TokenBucket) -> None:
        self._adapter.bucket = bucket

    def allow(self, max_message_size: int) -> None:
        self._library.max_message_size = max_message_size
        self._adapter.budget = ByteBudget.of_message(max_message_size)

    def drop(self, size: int, deadline: float) -> bool:
        with contextlib.suppress(OSError, Interrupted):
            self._stream.set_deadline(deadline)
            while size > 0:
                data = self._stream.recv(RECV_BYTES)
                if not data:
                    return False
                size -= len(data)
        return True

    def finish(self, deadline: float) -> None:
        # Without the library, which ends the connection at once when a ping or anything else comes
        # after its close frame, and takes with it what the peer has not read yet.
        self.close()
        with contextlib.suppress(OSError):
            self._stream.flush(deadline)
            self._stream.drain(deadline, self._library.ws.answered_close)
        self.abort()


def frame(data: str | bytes) -> bytes:
    """An unmasked frame, text or binary (RFC 6455 5.2).

    wsproto makes the same at fifteen times the cost, which a room of 200 would pay for each post.
    """
    kind, payload = (0x81, data.encode()) if isinstance(data, str) else (0x82, data)
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", kind, size) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", kind, 126, size) + payload
    return struct.pack("!BBQ", kind, 127, size) + payload


_NEEDED = ("host", "upgrade", "connection", "sec-websocket-key", "sec-websocket-version")


def upgrade_key(headers: Iterable[tuple[str, str]]) -> str:
    """The key of a request to upgrade that is one (RFC 6455 4.2.1).  Raises BadUpgrade.

    Offers, of compression or subprotocols, are left unanswered, which declines them.
    """
    given: dict[str, str] = {}
    for name, value in headers:
        name = name.lower()
        given[name] = f"{given[name]}, {value}" if name in given else value
    if given.get("content-length", "0").strip() != "0" or "transfer-encoding" in given:
        raise BadUpgrade  # what follows would be read as frames here, and not by a proxy
    values = [given.get(name, "").strip() for name in _NEEDED]
    if not all(value and value.isascii() and value.isprintable() for value in values):
        raise BadUpgrade
    _host, upgrade, connection, key, version = values
    if not named("websocket", upgrade) or not named("upgrade", connection) or version != "13":
        raise BadUpgrade
    if not _is_key(key):
        raise BadUpgrade
    return key


def named(wanted: str, value: str) -> bool:
    """Whether a comma-separated header names ``wanted`` (RFC 9110 5.6.1), in whatever case."""
    return wanted in (each.strip() for each in value.lower().split(","))


def _is_key(value: str) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == 16
    except ValueError:  # binascii.Error is one
        return False


def accept(
    stream: Stream,
    headers: Iterable[tuple[str, str]],
    *,
    max_message_size: int,
    hold: bool = False,
) -> ServerWebSocket:
    """The server's side, after http.server has read the request's headers off ``stream``.

    The stream must be interruptible.  Answers 101 and lifts its deadline; with ``hold`` the answer
    goes out with the first message that is sent, in one packet.  A message of more than
    ``max_message_size`` bytes ends the connection.  To close the stream after ``finish`` stays
    the caller's duty.  Raises BadUpgrade with nothing sent, or Closed.
    """
    peer = ServerWebSocket(stream, upgrade_key(headers), max_message_size)
    if not hold:
        peer.answer()
    return peer
