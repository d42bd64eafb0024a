"""What the wire shows: a chat is recorded in between, and measured.

    python -m tools.wire

A real server, two clients as processes and a relay that keeps all that passes, once without and
once with TLS; prints the tables of docs/THREATS.md.  What the server itself sees of a post is
taken where it takes one in.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

from server.app import ChatServer
from server.rooms import Room
from settings import ServerSettings
from tools import certificate
from tools.smoke import PASSWORD, Child, Failed

UP, DOWN = "to the server", "from the server"
LENGTHS = (
    1, 8, 12, 20, 60, 130, 160, 250, 390, 420, 650, 890, 930, 1400, 1920, 1960, 2900, 3970, 4010,
    6000, 8060, 8110, 10000,
)  # fmt: skip
QUIET = 0.25  # seconds without a byte, after which what was done is over
SETTINGS = ServerSettings(
    "127.0.0.1", 0, PASSWORD, 10_000, 60.0, 300.0, 600.0, 10240, 1 << 20, None, None, False, "en"
)


@dataclass(frozen=True)
class Chunk:
    """Bytes that passed: when (monotonic), on which connection, which way."""

    when: float
    connection: int
    way: str
    data: bytes


class Tap:
    """A relay to ``port`` that keeps what passes, in order.  ``address``: where to connect."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()  # guards the list
        self._chunks: list[Chunk] = []
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, what: Callable[..., None], *task: object) -> None:
        thread = threading.Thread(target=what, args=task, daemon=True)
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """End everything."""
        for sock in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for sock in (self._listener, *self._open):
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", self._port))
                number = len(self._open) // 2
                self._open += [near, far]
                for one, other, way in ((near, far, UP), (far, near, DOWN)):
                    self._start(self._pass_on, one, other, number, way)

    def _pass_on(self, one: socket.socket, other: socket.socket, number: int, way: str) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 20):
                with self._lock:
                    self._chunks.append(Chunk(time.monotonic(), number, way, data))
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def take(self) -> list[Chunk]:
        """What has passed since the last time, once nothing passes any more."""
        found: list[Chunk] = []
        while True:
            with self._lock:
                new, self._chunks = self._chunks, []
            if not new and found:
                return found
            found += new
            time.sleep(QUIET)


def size(chunks: list[Chunk], connection: int, way: str) -> int:
    """How many bytes that were."""
    return sum(len(c.data) for c in chunks if (c.connection, c.way) == (connection, way))


def records(chunks: list[Chunk], connection: int, way: str) -> list[int]:
    """The sizes of the WebSocket messages among them (RFC 6455 5.2), without TLS."""
    rest = b"".join(c.data for c in chunks if (c.connection, c.way) == (connection, way))
    if rest[:5] in (b"GET /", b"HTTP/"):
        rest = rest.partition(b"\r\n\r\n")[2]
    found = []
    while rest:
        length, at = rest[1] & 0x7F, 2
        if length >= 126:
            width = 2 if length == 126 else 8
            length, at = int.from_bytes(rest[2 : 2 + width], "big"), 2 + width
        at += 4 if rest[1] & 0x80 else 0
        if rest[0] & 0x0F in (1, 2):  # a text or bytes
            found.append(length)
        rest = rest[at + length :]
    return found


@contextlib.contextmanager
def posts() -> Iterator[list[int]]:
    """The sizes of what a server of this process takes for posts: all that it has of a text."""
    found: list[int] = []
    genuine = Room.post

    def post(room: Room[Any], member: Any, frame: Any) -> int:
        found.append(len(frame.box.data))
        return genuine(room, member, frame)

    with mock.patch.object(Room, "post", post):
        yield found


class Session:
    """Alice and Bob, each through the tap: connections 0 and 1."""

    def __init__(self, tap: Tap, options: tuple[str, ...]) -> None:
        self.tap, self._options = tap, options
        self.people: dict[str, Child] = {}

    def joins(self, nick: str) -> list[Chunk]:
        """Start a client; what passed until it was in."""
        words = ("connect", "127.0.0.1", str(self.tap.port), nick, "--renderer", "json")
        self.people[nick] = Child(*words, *self._options)
        self.people[nick].event("connected")
        return self.tap.take()

    def does(self, nick: str, line: str, sees: str, by: str | None = None) -> list[Chunk]:
        """Type a line and wait until ``by`` has the event ``sees``; what passed for it."""
        self.people[nick].say(line)
        self.people[by or nick].event(sees)
        return self.tap.take()

    def close(self) -> None:
        """End the clients, whatever they do."""
        for child in self.people.values():
            child.process.kill()
            child.process.wait()
            with contextlib.suppress(Failed):
                while True:  # so its thread has ended
                    child.line("the end")
            for pipe in (child.process.stdin, child.process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()


@contextlib.contextmanager
def session(secure: bool, settings: ServerSettings = SETTINGS) -> Iterator[Session]:
    """A server, a tap and nobody yet."""
    with contextlib.ExitStack() as stack:
        options: tuple[str, ...] = ()
        if secure:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            cert = certificate.write(folder)
            settings = replace(settings, ssl_cert=cert, ssl_key=cert)
            options = ("--ssl-ca", cert)
        server = ChatServer(settings)
        server.start()
        stack.callback(server.stop)
        tap = Tap(server.port)
        stack.callback(tap.close)
        here = Session(tap, options)
        stack.callback(here.close)
        yield here


@dataclass(frozen=True)
class Text:
    """A text of ``length`` bytes: in the server's hands, and as bytes on either side of it."""

    length: int
    box: int
    up: int
    down: int
    delay: float  # seconds from when it came in to when it went out


def texts(here: Session, boxes: list[int], lengths: tuple[int, ...] = LENGTHS) -> list[Text]:
    """Alice says texts of these lengths, after a first one that carries the keys."""
    here.does("alice", "first", "message", by="bob")
    found = []
    for length in lengths:
        boxes.clear()
        text = secrets.token_hex(length)[:length]
        chunks = here.does("alice", text, "message", by="bob")
        came = next(c.when for c in chunks if (c.connection, c.way) == (0, UP))
        went = next(c.when for c in chunks if (c.connection, c.way) == (1, DOWN))
        (box,) = boxes
        found.append(Text(length, box, size(chunks, 0, UP), size(chunks, 1, DOWN), went - came))
    return found


def events(here: Session) -> list[tuple[str, str]]:
    """What happens, and the bytes that it takes on each way; ends with Bob gone."""

    def both(chunks: list[Chunk], connection: int) -> str:
        return f"{size(chunks, connection, UP):,} up, {size(chunks, connection, DOWN):,} down"

    rows = [("Alice comes in, alone", both(here.joins("alice"), 0))]
    chunks = here.joins("bob")
    rows.append(("Bob comes in: his connection", both(chunks, 1)))
    rows.append(("… and what Alice gets of it", both(chunks, 0)))
    for words, line, sees, by in (
        ("first text, with the key for Bob", "hello", "message", "bob"),
        ("`/msg`, a short one", "/msg bob hello", "message", "bob"),
        ("`/nick`", "/nick alicia", "renamed", "bob"),
        ("`/rooms`", "/rooms", "rooms", "alice"),
    ):
        chunks = here.does("alice", line, sees, by=by)
        rows += [(f"Alice: {words}", both(chunks, 0)), ("… and Bob's side", both(chunks, 1))]
    chunks = here.does("bob", "/quit", "left", by="alice")
    rows += [("Bob leaves", both(chunks, 1)), ("… and what Alice gets of it", both(chunks, 0))]
    return rows


def heartbeat(secure: bool) -> str:
    """Bytes of one heartbeat of a client that says nothing."""
    with session(secure, replace(SETTINGS, heartbeat_interval=1.0)) as here:
        here.joins("alice")
        time.sleep(2.0)
        chunks = [c for c in here.tap.take() if c.connection == 0]
    sizes = {way: {len(c.data) for c in chunks if c.way == way} for way in (UP, DOWN)}
    up, down = (max(sizes[way], default=0) for way in (UP, DOWN))
    return f"{up:,} up, {down:,} down"


def measure(say: Callable[[str], None] = print) -> None:
    """Print all tables."""
    found: dict[bool, list[Text]] = {}
    rows: dict[bool, list[tuple[str, str]]] = {}
    for secure in (False, True):
        with posts() as boxes, session(secure) as here:
            here.joins("alice")
            here.joins("bob")
            found[secure] = texts(here, boxes)
        with session(secure) as here:
            rows[secure] = [*events(here), ("a heartbeat", heartbeat(secure))]
    say("| text of … bytes | box, which the server has | up | down | with TLS: up | down |")
    say("| --- | --- | --- | --- | --- | --- |")
    for box in sorted({one.box for one in found[False]}):
        plain, tls = ([one for one in found[way] if one.box == box] for way in (False, True))
        lengths = f"{plain[0].length:,} to {plain[-1].length:,}"
        cells = [spread(sizes) for group in (plain, tls) for sizes in (
            [one.up for one in group], [one.down for one in group])]  # fmt: skip
        say(f"| {lengths} | {box:,} | {' | '.join(cells)} |")
    say("")
    say("| what happens | bytes | with TLS |")
    say("| --- | --- | --- |")
    for (words, plain_), (_words, tls_) in zip(rows[False], rows[True], strict=True):
        say(f"| {words} | {plain_} | {tls_} |")
    delays = [one.delay * 1000 for group in found.values() for one in group]
    say("")
    say(f"From in to out: {statistics.median(delays):.1f} ms (median of {len(delays)} texts).")


def spread(sizes: list[int]) -> str:
    """One size, or from the least to the greatest."""
    least, most = min(sizes), max(sizes)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


if __name__ == "__main__":
    os.environ.setdefault("CMD_CHAT_LANGUAGE", "en")
    if not re.match("linux|darwin", sys.platform):
        sys.exit("This needs a POSIX system.")
    measure()
