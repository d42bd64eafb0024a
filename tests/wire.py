"""A raw client for tests: it says exactly what a test wants, and shows exactly what comes.

The handshake goes step by step (``greet``, ``prove``, ``welcomed``) or at once (``join``).
Nothing is answered by itself: no heartbeats, no confirmations, no second connection.
"""

from __future__ import annotations

import _thread
import secrets
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from protocol import frames, keys, pake
from protocol.keys import Identity, RecipientKeys
from protocol.link import ClientLink, Credentials, refusal_in_clear
from transport import Closed
from transport.client_websocket import connect
from transport.stream import Stream
from transport.websocket import WebSocket

PASSWORD = "correct horse battery staple"
LONG = 20.0  # seconds; against hanging only
MOST = 16 * 1024 * 1024

Frame = TypeVar("Frame", bound=frames.Frame)
Resume = tuple[bytes, int, int]


def threads() -> int:
    """How many threads run beside the main one; ``threading`` knows only those it has started."""
    return _thread._count()


def token_credentials(token: str) -> Credentials:
    """What proves a whole token."""
    token_id, _, secret = token.partition(".")
    return Credentials(pake.token_prs(secret.encode()), token_id)


class Wire:
    """One connection to a server on this machine, and a link on it."""

    def __init__(
        self,
        port: int,
        identity: Identity,
        link_keys: RecipientKeys,
        *,
        prs: bytes = b"",
        token: str | None = None,
        ticket: bytes | None = None,
        host: str = "127.0.0.1",
        opened: Callable[[Stream], None] | None = None,
        **options: Any,
    ) -> None:
        self.identity = identity
        credentials = token_credentials(token) if token is not None else Credentials(prs)
        self.link = ClientLink(identity, credentials, link_keys, ticket)
        self.peer: WebSocket = connect(
            host, port, max_message_size=MOST, timeout=LONG, opened=opened, **options
        )
        self.waiting: deque[frames.Frame] = deque()  # received and not yet asked for
        self.welcome: frames.Welcome | None = None
        self.entered: frames.Entered | None = None  # the last one
        self.rooms: dict[str, frames.Entered] = {}  # by name, the last one of each
        self.roster: dict[str, frames.MemberLine] = {}  # of the last `entered`
        self._next_ref = 0

    # The handshake

    def message(self) -> str | bytes:
        """The next message as it came.  Raises Closed at the end."""
        deadline = time.monotonic() + LONG
        while (left := deadline - time.monotonic()) > 0:
            message = self.peer.receive(left)
            if message is not None:
                return message
        raise AssertionError("nothing came")

    def greet(self) -> None:
        """Greeting in, hello out."""
        self.peer.send(self.link.receive_greeting(self.message()))

    def prove(
        self,
        nick: str,
        room: str = "default",
        resume: Resume | None = None,
        stays: Sequence[str | frames.Stay] | None = None,
    ) -> None:
        """Key in, confirm out: into one room, or into those of ``stays``."""
        if stays is None:
            stays = [frames.Stay(room, *(resume or ()))]
        named = [frames.Stay(stay) if isinstance(stay, str) else stay for stay in stays]
        self.peer.send(self.link.receive_key(self.message(), nick, named))

    def join(
        self,
        nick: str,
        room: str = "default",
        resume: Resume | None = None,
        stays: Sequence[str | frames.Stay] | None = None,
    ) -> Wire:
        """The whole handshake up to `welcome` and the rosters of all rooms; returns itself."""
        self.greet()
        self.prove(nick, room, resume, stays)
        self.welcome = self.expect(frames.Welcome)
        for _ in stays or [room]:
            self.arrive()
        return self

    def arrive(self) -> frames.Entered:
        """`entered`, and the roster that follows unless it is a resumption."""
        entered = self.expect(frames.Entered)
        self.entered = self.rooms[entered.room] = entered
        if not entered.resumed:
            self.roster = {}
            while len(self.roster) < entered.members:
                for line in self.expect(frames.Roster).members:
                    self.roster[line.nick] = line
        return entered

    def refusal(self) -> frames.Refused:
        """The refusal that comes next, in clear or in a record."""
        message = self.message()
        in_clear = refusal_in_clear(message)
        if in_clear is not None:
            return in_clear
        self._open(message)
        return self.expect(frames.Refused)

    # Frames

    def send(self, *sent: frames.Frame) -> None:
        """One record with these frames."""
        self.send_raw(*(frame.encode() for frame in sent))

    def send_raw(self, *encoded: bytes) -> None:
        """One record with these frames, whatever they are."""
        self.peer.send(self.link.seal(encoded))

    def next(self) -> frames.Frame:
        """The next frame.  Raises Closed at the end."""
        while not self.waiting:
            self._open(self.message())
        return self.waiting.popleft()

    def expect(self, kind: type[Frame]) -> Frame:
        """The next frame, which is a ``kind``; a heartbeat may come before it at any moment."""
        frame = self.next()
        while isinstance(frame, frames.Taken) and kind is not frames.Taken:
            frame = self.next()
        assert isinstance(frame, kind), f"{frame} instead of {kind.__name__}"
        return frame

    def find(self, kind: type[Frame]) -> Frame:
        """The next ``kind``; what comes before it stays for later.

        An answer and an entry of the log may come in either order.
        """
        looked = 0
        while True:
            while looked == len(self.waiting):
                self._open(self.message())
            frame = self.waiting[looked]
            if isinstance(frame, kind):
                del self.waiting[looked]
                return frame
            looked += 1

    def entries(self, to: int) -> list[frames.Frame]:
        """The log's entries up to number ``to``; other frames stay for later."""
        found: list[frames.Frame] = []
        while True:
            log = self.find(frames.Log)
            found += log.entries
            if log.to >= to:
                return found

    def ended(self) -> list[frames.Frame]:
        """All frames up to the connection's end."""
        found: list[frames.Frame] = []
        try:
            while True:
                found.append(self.next())
        except Closed:
            return found

    def _open(self, message: str | bytes) -> None:
        for value in self.link.open(message):
            self.waiting.append(frames.from_object(value, frames.SERVER_FRAMES))

    # What members say

    @property
    def id(self) -> int:
        """The own member id, in the room of the last `entered`."""
        assert self.entered is not None
        return self.entered.id

    @property
    def at(self) -> int:
        """What frames call the room of the last `entered`."""
        assert self.entered is not None
        return self.entered.at

    def ref(self) -> int:
        """The next ``ref``."""
        self._next_ref += 1
        return self._next_ref

    def post(
        self, change: int, data: bytes = b"gAAAA", epoch: int = 1, at: int | None = None, n: int = 0
    ) -> int:
        """Send a post, to the room of the last `entered` unless ``at`` says which; its ``ref``."""
        ref = self.ref()
        self.send(frames.Post(ref, self.at if at is None else at, change, box(data, epoch, n)))
        return ref

    def seen(self, seq: int, number: int = 0, answer: bool | None = None) -> frames.Seen:
        """How far it has come in the room of the last `entered`."""
        return frames.Seen((frames.Position(self.at, seq, number),), answer)

    def resume_point(self, seq: int, number: int = 0) -> Resume:
        """For ``join``: go on after ``seq`` in the log of the last `entered`."""
        assert self.entered is not None
        return self.entered.log, seq, number

    def stay(self, room: str, seq: int | None = None, number: int = 0) -> frames.Stay:
        """For ``stays``: go on in one of the rooms, where it was entered or after ``seq``."""
        entered = self.rooms[room]
        return frames.Stay(room, entered.log, entered.seq if seq is None else seq, number)

    # Ending

    def cut(self) -> None:
        """End the connection without a word; harmless after any other end."""
        self.peer.abort()
        self.peer.finish(time.monotonic())


def box(data: bytes = b"gAAAA", epoch: int = 1, n: int = 0) -> frames.Box:
    """Something sealed, as far as the server can see."""
    return frames.Box(epoch, n, data, bytes(keys.SIGNATURE_BYTES))


def wrap(to: int, epoch: int = 1, n: int = 0) -> frames.Wrap:
    """A chain for member ``to``, as far as the server can see."""
    return frames.Wrap(to, epoch, n, bytes(keys.WRAP_BYTES))


class Raw:
    """A socket that sends bytes and reads them; for HTTP and for what is not even that."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.sock = socket.create_connection((host, port), timeout=LONG)

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        """All of it."""
        self.sock.sendall(data)

    def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        parts = []
        while part := self.sock.recv(65536):
            parts.append(part)
        return b"".join(parts)

    def ended(self) -> bool:
        """Whether the server ends the connection, without a word more than came already."""
        try:
            return self.rest() == b""
        except ConnectionResetError:
            return True


UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def masked(opcode: int, payload: bytes, final: bool = True) -> bytes:
    """One frame of a client (RFC 6455 5.2)."""
    head = bytes(((0x80 if final else 0) | opcode,))
    size = len(payload)
    if size < 126:
        head += bytes((0x80 | size,))
    elif size < 1 << 16:
        head += bytes((0x80 | 126,)) + size.to_bytes(2, "big")
    else:
        head += bytes((0x80 | 127,)) + size.to_bytes(8, "big")
    mask = secrets.token_bytes(4)
    stretched = mask * (size // 4 + 1)
    return head + mask + bytes(a ^ b for a, b in zip(payload, stretched, strict=False))
