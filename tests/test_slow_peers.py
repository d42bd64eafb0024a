"""Slow ones, silent ones and floods: each ends by its deadline, and nobody else waits for them.

While they hang about, somebody asks ``/health`` again and again.  The bound for an answer is a
second on a machine that has time; here it is only told from hanging, and a soak prints it.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from protocol import frames
from server import limits
from server.app import ChatServer
from tests.fuzzing import SOAK
from tests.held import held
from tests.test_http_face import FORM, ask, request
from tests.test_server_connection import narrow, until
from tests.transport_kit import make_certificate
from tests.wire import LONG, UPGRADE, Raw, Wire, masked
from transport import Closed

MANY = 12 if SOAK else 6  # of each kind at once
SHORT = 0.4  # seconds: every deadline here
PATIENCE = 0.001 if SOAK else 0.003  # seconds between what one of them says and the next
LONGEST_ANSWER = 10.0  # seconds; the bound is one, on a machine that does nothing else
HELLO = b'{"type":"hello","version":2'


class Asking:
    """Somebody who asks ``/health`` all the time; ``longest`` is the slowest answer, in seconds.

    ``secure``: the server speaks TLS.
    """

    def __init__(self, port: int, secure: bool = False) -> None:
        self._port, self._secure = port, secure
        self._stop = threading.Event()
        self.answers, self.longest = 0, 0.0
        self.failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="asking")

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        assert not self.failed, self.failed
        assert self.answers and self.longest < LONGEST_ANSWER

    def _run(self) -> None:
        try:
            while True:
                began = time.monotonic()
                self._ask()
                self.longest = max(self.longest, time.monotonic() - began)
                self.answers += 1
                if self._stop.wait(0.02):
                    return
        except BaseException as error:
            self.failed.append(error)

    def _ask(self) -> None:
        if not self._secure:
            assert ask(self._port, request("GET", "/health")).status == 200
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self._port), timeout=LONG) as sock:
            with context.wrap_socket(sock) as secured:
                secured.sendall(request("GET", "/health"))
                assert secured.recv(4096).startswith(b"HTTP/1.1 200")


def drip(data: bytes) -> Iterator[bytes]:
    """A byte at a time, and then the last one again and again."""
    for byte in data:
        yield bytes((byte,))
    while True:
        yield data[-1:] or b"x"


def again(data: bytes) -> Iterator[bytes]:
    """The same for ever."""
    while True:
        yield data


POSTING = request("POST", "/generate_token", f"Content-Type: {FORM}", "Content-Length: 5000")
# What is said at once; what follows, piece by piece, as long as it is let.
SLOW: dict[str, tuple[bytes, Iterator[bytes]]] = {
    "nothing at all": (b"", iter(())),
    "a request line": (b"", drip(b"GET /health")),
    "headers": (b"GET /health HTTP/1.1\r\n", again(b"X: y\r\n")),
    "a header": (b"GET /health HTTP/1.1\r\nX:", drip(b" y")),
    "a form": (POSTING, drip(b"admin_password=")),
    "a form that does not come": (POSTING, iter(())),
    "half an upgrade": (UPGRADE[:60], iter(())),
    "an upgrade, slowly": (UPGRADE[:20], drip(UPGRADE[20:-2] + b"X-A: ")),
    "no hello": (UPGRADE, iter(())),
    "hello, a byte at a time": (UPGRADE, drip(masked(1, HELLO + b" " * 4000))),
    "hello in parts that never end": (
        UPGRADE + masked(1, HELLO, final=False), again(masked(0, b" ", final=False))
    ),
    "empty parts": (UPGRADE + masked(1, b"", final=False), again(masked(0, b"", final=False))),
    "pings": (UPGRADE, again(masked(9, b"ping"))),
    "pongs": (UPGRADE, again(masked(10, b""))),
    "half a frame": (UPGRADE + b"\x81\xfe\x40\x00", iter(())),
}  # fmt: skip


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines that a test can wait for."""
    for name in (
        "REQUEST_SECONDS", "HANDSHAKE_SECONDS", "LINGER_SECONDS", "STOP_POLITE_SECONDS",
        "FLOODER_SECONDS",
    ):  # fmt: skip
        monkeypatch.setattr(limits, name, SHORT)


def told(what: str, asking: Asking) -> None:
    if SOAK:
        print(f"\n{what}: {asking.answers} answers, the slowest in {asking.longest:.3f} s")


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("kind", SLOW)
@pytest.mark.soak
def test_the_slow_end_and_nobody_waits_for_them(server: ChatServer, kind: str) -> None:
    """Each of them holds its place no longer than its deadline, whatever it goes on to say."""
    first, rest = SLOW[kind]
    pieces = [piece for _, piece in zip(range(3000), rest, strict=False)]
    with Asking(server.port) as asking, contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Raw(server.port)) for _ in range(MANY)]
        began = time.monotonic()
        for peer in peers:
            peer.send(first)
            peer.sock.settimeout(PATIENCE)
        open_ones = list(enumerate(peers))
        at = 0
        while open_ones:
            assert time.monotonic() - began < LONG, f"{len(open_ones)} are still there"
            open_ones = [
                (number, peer) for number, peer in open_ones
                if not over(peer.sock, pieces[at % len(pieces)] if pieces else b"")
            ]  # fmt: skip
            at += 1
    assert server._services.connection_limits.wait_empty(LONG)
    told(kind, asking)


def over(sock: socket.socket, piece: bytes) -> bool:
    """Say ``piece``; whether the other side has ended it."""
    try:
        if piece:
            sock.send(piece)
        return sock.recv(65536) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


@pytest.mark.usefixtures("hasty")
@pytest.mark.soak
def test_slow_handshakes_of_tls(serve: Callable[..., ChatServer], tmp_path: Path) -> None:
    """Silence, half a handshake, and one that comes byte by byte."""
    certificate = make_certificate(tmp_path)
    server = serve(ssl_cert=certificate.cert_path, ssl_key=certificate.key_path)
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)
    with Asking(server.port, secure=True) as asking, contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Raw(server.port)) for _ in range(MANY)]
        for number, peer in enumerate(peers):
            peer.send(hello[: number * 3])
            peer.sock.settimeout(PATIENCE)
        began, open_ones, at = time.monotonic(), peers, 40
        while open_ones:
            assert time.monotonic() - began < LONG, f"{len(open_ones)} are still there"
            open_ones = [peer for peer in open_ones if not over(peer.sock, hello[at : at + 1])]
            at += 1
    assert server._services.connection_limits.wait_empty(LONG)
    told("TLS", asking)


@pytest.mark.usefixtures("hasty")
def test_a_handshake_that_stops_after_each_step(
    server: ChatServer, wires: Callable[..., Wire]
) -> None:
    """After the greeting, and after a hello that is right; also eight of an address at once."""
    with Asking(server.port):
        silent = [wires(server, number % 4) for number in range(4)]
        stopped = [wires(server, number % 4) for number in range(8)]
        for wire in stopped:
            wire.greet()
        for wire in silent:
            wire.message()
        for wire in stopped:
            wire.message()
            assert wire.refusal().code == "timed_out"
        for wire in silent:
            assert wire.refusal().code == "timed_out"
    assert server._services.connection_limits.wait_empty(LONG)


@pytest.mark.usefixtures("hasty")
def test_a_member_whose_record_never_ends(
    serve: Callable[..., ChatServer], wires: Callable[..., Wire]
) -> None:
    """Parts of a message are no sign of life: it is cut when nothing whole was heard for long."""
    server = serve(heartbeat_interval=0.1, heartbeat_timeout=SHORT)
    wire = wires(server, 0).join("alice")
    library: Any = wire.peer
    with Asking(server.port):
        record = wire.link.seal([wire.seen(1).encode()])
        frames_of_it = [masked(2, record[:1], final=False)]
        frames_of_it += [masked(0, record[at : at + 1], final=False) for at in range(1, 300)]
        pause = threading.Event()
        with contextlib.suppress(Closed, OSError):
            for part in frames_of_it:
                library._stream.sendall(part)
                pause.wait(0.01)
            raise AssertionError("it was listened to for three seconds")
        until(lambda: held(server._services.sessions) == 0)
    assert server._services.connection_limits.wait_empty(LONG)


@pytest.mark.soak
def test_five_hundred_at_once(server: ChatServer, wires: Callable[..., Wire]) -> None:
    """Connect, say nothing, and go: others are served, and the oldest make room for the newest."""
    alice = wires(server, 0).join("alice")
    crowd = 500
    with Asking(server.port) as asking, contextlib.ExitStack() as stack:
        began = time.monotonic()
        for _ in range(crowd):
            stack.enter_context(Raw(server.port))
        until(lambda: server._services.connection_limits._strangers == limits.UNPROVEN_OF_ADDRESS)
        took = time.monotonic() - began
        bob = wires(server, 1).join("bob")
        alice.post(2)
        assert isinstance(bob.entries(3)[-1], frames.Posted)
    until(lambda: server._services.connection_limits._open == 2)
    told(f"{crowd} connections in {took:.2f} s", asking)


@pytest.mark.soak
def test_more_than_there_are_places(
    server: ChatServer, wires: Callable[..., Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest stranger is let go for the newest; whoever is in goes on, places come back."""
    alice = wires(server, 0).join("alice")
    for name, most in (
        ("CONNECTIONS", 4), ("CONNECTIONS_OF_ADDRESS", 4), ("UNPROVEN_OF_ADDRESS", 3),
        ("UNPROVEN", 3),
    ):  # fmt: skip
        with monkeypatch.context() as patch, contextlib.ExitStack() as stack:
            patch.setattr(limits, name, most)
            silent = [stack.enter_context(Raw(server.port)) for _ in range(3)]
            until(lambda: server._services.connection_limits._strangers == 3)
            for raw in silent:  # each makes room for one
                stack.enter_context(Raw(server.port))
                assert raw.ended(), name
            assert ask(server.port, request("GET", "/health")).status == 200, name
            alice.send(frames.ListRooms(alice.ref()))
            alice.find(frames.RoomLines)
        until(lambda: server._services.connection_limits._open == 1)
    assert ask(server.port, request("GET", "/health")).status == 200


def test_a_client_is_told_that_there_is_no_place(
    server: ChatServer, wires: Callable[..., Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In words of its own, not as a network that does not work."""
    from transport import Unreachable

    monkeypatch.setattr(limits, "CONNECTIONS", 0)
    for _ in range(20):
        with pytest.raises(Unreachable) as caught:
            wires(server, 0)
        assert caught.value.reason == "busy"


@pytest.mark.usefixtures("hasty")
def test_who_never_reads_an_answer(server: ChatServer) -> None:
    """A thousand requests one after the other in one piece, and no ear for what is said."""
    with Asking(server.port), contextlib.ExitStack() as stack:
        for _ in range(MANY):
            peer = stack.enter_context(Raw(server.port))
            with contextlib.suppress(OSError):
                peer.send(request("GET", "/health") * 1000)
        until(lambda: server._services.connection_limits._open <= 1)
    assert server._services.connection_limits.wait_empty(LONG)


def test_a_member_that_stops_reading_keeps_nobody_from_health(
    serve: Callable[..., ChatServer], wires: Callable[..., Wire]
) -> None:
    """It is cut after its deadline; talk and signs of life go on."""
    server = serve(heartbeat_interval=0.1, heartbeat_timeout=3 * SHORT,
                   max_messages_per_window=1_000_000)  # fmt: skip
    server._listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    frozen = wires(server, 0, opened=narrow).join("frozen")
    bob = wires(server, 1).join("bob")
    with Asking(server.port):
        left, pause = False, threading.Event()
        while not left and not pause.wait(0.005):  # talk, not a flood
            bob.post(2, b"g" * 8000)
            accepted = bob.find(frames.Accepted)
            bob.send(bob.seen(accepted.seq or 0))
            found = [each for each in bob.waiting if isinstance(each, frames.Log)]
            left = any(isinstance(entry, frames.Left) for log in found for entry in log.entries)
    assert frozen.id
