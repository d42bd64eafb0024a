from __future__ import annotations

import contextlib
import http.client
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto import events as ws_events
from wsproto.extensions import PerMessageDeflate

from tests import transport_kit
from tests.transport_kit import LONG, Certificate, Task, soon, tcp_pair, until
from transport import (
    BadUpgrade,
    Closed,
    Unreachable,
    dialling,
    happy_eyeballs,
    server_websocket,
    tls,
)
from transport.byte_budget import ByteBudget
from transport.client_websocket import ClientWebSocket, _ClientAdapter, _FrameBuffer, connect
from transport.http_client import post_form
from transport.listening import listen
from transport.route import SendProgress
from transport.server_websocket import accept
from transport.stream import SEND_BYTES, Stream
from transport.tls import TlsStream
from transport.websocket import WebSocket
from transport.websocket_library import websocket

pytestmark = pytest.mark.timeout(60)
certificate = transport_kit.certificate
no_thread_left = transport_kit.no_thread_left

SIZE = 70_000  # max_message_size in these tests

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: server\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def frame(
    payload: bytes, opcode: int = 1, fin: bool = True, mask: bytes = bytes(4)
) -> bytes:
    """A client's frame (RFC 6455 5.2); unless another mask is given, it hides nothing."""
    first, size = opcode | (0x80 if fin else 0), len(payload)
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    if any(mask):
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return head + mask + payload


def accepted(stream: Stream, hold: bool = False) -> WebSocket:
    """What http.server does, then ``accept``."""
    lines = stream.makefile("rb", 0)
    assert lines.readline() == b"GET / HTTP/1.1\r\n"
    headers = http.client.parse_headers(lines)
    return accept(stream, headers.items(), max_message_size=SIZE, hold=hold)


def test_an_answer_that_is_held_goes_with_the_first_message() -> None:
    """In one packet, and nothing goes before it."""
    sock, far = tcp_pair()
    with sock:
        sock.sendall(UPGRADE)
        stream = Stream(far, interruptible=True)
        server = accepted(stream, hold=True)
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)
        server.send("good day")
        server.send("again")
        sock.setblocking(True)
        head, found, rest = sock.recv(1000).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ") and found and rest[:10] == b"\x81\x08good day"
        assert b"HTTP" not in rest
        stream.close()


class Raw:
    """A client by hand, and the server's end of its connection."""

    def __init__(self, first: bytes = UPGRADE, bound: int = SEND_BYTES) -> None:
        self.sock, far = tcp_pair()
        self.stream = Stream(far, bound=bound, interruptible=True)
        self.sock.sendall(first)
        self.server = accepted(self.stream)
        self.head = self._head()

    def _head(self) -> bytes:
        found = b""
        while not found.endswith(b"\r\n\r\n"):
            found += self.sock.recv(1)
        return found

    def flood(self, data: bytes) -> None:
        """Send until the server has cut the connection; nothing is read."""
        with pytest.raises(OSError):
            while True:
                self.sock.sendall(data)


@contextlib.contextmanager
def raw(*arguments: Any, **options: Any) -> Iterator[Raw]:
    peer = Raw(*arguments, **options)
    try:
        yield peer
    finally:
        peer.server.abort()
        peer.server.finish(soon())
        peer.stream.close()
        peer.sock.close()
        assert peer.stream.fileno() == -1


@contextlib.contextmanager
def listening(serve: Callable[[socket.socket], Any]) -> Iterator[int]:
    """A port; ``serve`` gets each connection, one after the other."""
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        over = threading.Event()

        def run() -> None:
            while True:
                sock, _address = listener.accept()
                with sock:
                    if over.is_set():
                        return
                    sock.settimeout(LONG)
                    with contextlib.suppress(OSError):
                        serve(sock)

        task = Task(run)
        try:
            yield port
        finally:
            over.set()
            socket.create_connection(("127.0.0.1", port)).close()
            task.result()


@pytest.fixture(params=["plain", "tls"])
def pair(
    request: pytest.FixtureRequest, certificate: Certificate
) -> Iterator[tuple[WebSocket, WebSocket]]:
    """A client's and a server's WebSocket, connected to each other."""
    found: list[WebSocket] = []  # the server's

    def serve(sock: socket.socket) -> None:
        if request.param == "tls":
            context = tls.server_context(certificate.cert_path, certificate.key_path)
            secured = TlsStream(sock, context, bound=1 << 24, interruptible=True)
            secured.handshake(soon())
            stream: Stream = secured
        else:
            stream = Stream(sock, bound=1 << 24, interruptible=True)
        server = accepted(stream)
        found.append(server)
        ready.set()
        over.wait(LONG)
        server.finish(soon())
        stream.close()

    ready, over = threading.Event(), threading.Event()
    context = tls.client_context(certificate.cert_path) if request.param == "tls" else None
    with listening(serve) as port:
        client = connect("localhost", port, tls=context, timeout=LONG, max_message_size=SIZE)
        assert ready.wait(LONG)
        yield client, found[0]
        over.set()
        client.finish(soon())


TEXTS = ["", "a", "a" * 125, "b" * 126, "c" * 65535, "d" * 65536, "é🙂\0" * 1000, "e" * SIZE]
MESSAGES = [kind for text in TEXTS for kind in (text, b"\xff" + text.encode()[: SIZE - 1])]


def test_messages_of_all_sizes_arrive_as_what_they_are(pair: Any) -> None:
    for sender, receiver in (pair, pair[::-1]):
        sending = Task(lambda s=sender: [s.send(text) for text in MESSAGES])
        for text in MESSAGES:
            got = None
            while got is None:
                got = receiver.receive(LONG)
                receiver.flush(soon())
                sender.flush(soon())
            assert got == text
        sending.result()


def test_both_directions_and_many_senders_at_once(pair: Any) -> None:
    client, server = pair

    def send(end: WebSocket, mark: str) -> None:
        for number in range(100):
            end.send(f"{mark}{number}" + "." * (number * 37))
            end.flush(soon())

    def receive(end: WebSocket) -> list[str]:
        found: list[str] = []
        while len(found) < 200:
            text = end.receive(LONG)
            if isinstance(text, str):
                found.append(text.rstrip("."))
        return found

    senders = [Task(send, end, mark) for end in pair for mark in "ab"]
    receivers = [Task(receive, end) for end in pair]
    for task in receivers:
        found = task.result()
        for mark in "ab":
            assert [t for t in found if t[0] == mark] == [f"{mark}{n}" for n in range(100)]
    for task in senders:
        task.result()


def test_wake_and_timeout_end_a_wait_and_lose_nothing(pair: Any) -> None:
    for end, other in (pair, pair[::-1]):
        assert end.receive(0.001) is None
        assert end.receive(0) is None
        end.wake()
        end.wake()
        assert end.receive(LONG) is None
        waiting = Task(end.receive)
        end.wake()
        assert waiting.result() is None
        other.send("after")
        assert end.receive(LONG) == "after"


@pytest.mark.parametrize("who", [0, 1])
def test_the_end_comes_after_what_was_sent_before_it(pair: Any, who: int) -> None:
    end, other = pair[who], pair[1 - who]
    other.send("one")
    other.send("two")
    other.close()
    with pytest.raises(Closed):
        other.send("three")
    assert [end.receive(LONG), end.receive(LONG)] == ["one", "two"]
    for _ in range(2):
        with pytest.raises(Closed):
            end.receive(LONG)
    with pytest.raises(Closed):
        end.send("late")
    with pytest.raises(Closed):
        end.flush(soon())
    end.close()
    end.abort()


def test_finish_delivers_what_was_sent_and_frees_everything(pair: Any) -> None:
    client, server = pair
    client.send("last words")
    finishing = Task(client.finish, soon())
    assert server.receive(LONG) == "last words"
    with pytest.raises(Closed):
        server.receive(LONG)
    finishing.result()
    assert client._stream.fileno() == -1
    client.finish(soon())


def test_abort_wakes_both_ends(pair: Any) -> None:
    client, server = pair
    waiting = [Task(end.receive) for end in pair]
    until(lambda: client._stream._inside and server._stream._inside)
    server.abort()
    for task in waiting:
        with pytest.raises(Closed):
            task.result()


def test_a_send_to_a_deaf_server_ends() -> None:
    def serve(sock: socket.socket) -> None:
        stream = Stream(sock)
        server = accepted(stream)
        over.wait(LONG)
        server.abort()
        server.finish(soon())
        stream.close()

    over = threading.Event()
    with listening(serve) as port:
        client = connect("127.0.0.1", port, max_message_size=SIZE, send_timeout=0.05)
        with pytest.raises(Closed):
            while True:
                client.send("x" * SIZE)
        over.set()
        client.finish(soon())


# The server's side


def test_a_frame_that_comes_with_the_upgrade_is_not_lost() -> None:
    with raw(UPGRADE + frame(b"eager") + frame(b"second")) as peer:
        assert peer.server.receive(LONG) == "eager"
        assert peer.server.receive(LONG) == "second"
        assert b"101" in peer.head


def test_compression_is_not_agreed() -> None:
    client = WSConnection(ConnectionType.CLIENT)
    request = ws_events.Request("server", "/", extensions=[PerMessageDeflate()])
    with raw(client.send(request)) as peer:
        assert b"sec-websocket-extensions" not in peer.head.lower()
        client.receive_data(peer.head)
        accepted_, = client.events()
        assert isinstance(accepted_, ws_events.AcceptConnection)
        # And the other implementation's view of ours:
        peer.sock.sendall(client.send(ws_events.TextMessage("héllo" * 100)))
        assert peer.server.receive(LONG) == "héllo" * 100
        peer.server.send("wörld" * 30000)
        answer = ""
        while len(answer) < 150000:
            client.receive_data(peer.sock.recv(65536))
            for event in client.events():
                assert isinstance(event, ws_events.TextMessage)
                answer += event.data
            peer.server.flush(soon())
        assert answer == "wörld" * 30000


def headers_of(text: bytes) -> list[tuple[str, str]]:
    lines = text.decode("latin-1").split("\r\n")[1:-2]
    return [(name, value) for name, value in (line.split(": ", 1) for line in lines)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Upgrade: websocket", b"Upgrade: h2c"),
        (b"Connection: Upgrade", b"Connection: close"),
        (b"Version: 13", b"Version: 12"),
        (b"Host: server\r\n", b""),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"short"),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"dGhlIHNhbXBsZSBub25jZQ==\x01"),
        (b"Version: 13", b"Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
        (b"Host: server", b"Host: \xff"),
    ],
)
def test_a_wrong_upgrade_is_refused_with_nothing_sent(old: bytes, new: bytes) -> None:
    near, far = tcp_pair()
    stream = Stream(far)
    assert old in UPGRADE
    with near:
        with pytest.raises(BadUpgrade):
            accept(stream, headers_of(UPGRADE.replace(old, new)), max_message_size=SIZE)
        stream.send(b"answer")  # http.server's
        assert near.recv(100) == b"answer"
        stream.close()


def test_odd_but_right_upgrades_are_taken() -> None:
    odd = UPGRADE.replace(b"Connection: Upgrade", b"Connection: keep-alive\r\nConnection: upgrade")
    odd = odd.replace(b"websocket\r", b"WebSocket\r").replace(b": server", b": " + b"a" * 70)
    odd = odd.replace(b"Version: 13", b"Version: 13\r\nX: \xff\r\nSec-WebSocket-Protocol: chat")
    with raw(odd + frame(b"in")) as peer:
        assert peer.server.receive(LONG) == "in"
        assert b"sec-websocket-protocol" not in peer.head.lower()


def test_an_upgrade_whose_client_has_gone_is_closed() -> None:
    near, far = tcp_pair()
    near.close()
    stream = Stream(far)
    stream.abort()
    with pytest.raises(Closed):
        accept(stream, headers_of(UPGRADE), max_message_size=SIZE)
    stream.close()


def test_bytes_in_parts_become_one_message() -> None:
    with raw() as peer:
        peer.sock.sendall(frame(b"\xff\x80", 2, False) + frame(b"ping!", 9) + frame(b"", 0, False))
        peer.sock.sendall(frame(b"\0\xc3", 0) + frame(b"\xc3", 2))
        found = [peer.server.receive(LONG) for _ in range(2)]
        assert found == [b"\xff\x80\0\xc3", b"\xc3"]
        assert all(isinstance(each, bytes) for each in found)  # and no bytearray, which can change


def test_fragments_become_one_message_and_pings_are_answered_between() -> None:
    with raw() as peer:
        peer.sock.sendall(
            frame("h\xe9".encode()[:2], 1, False)
            + frame(b"ping!", 9)
            + frame("h\xe9".encode()[2:], 0, False)
            + frame(b"", 0, False)
            + frame(b"llo", 0)
        )
        assert peer.server.receive(LONG) == "héllo"
        assert peer.sock.recv(7) == b"\x8a\x05ping!"


@pytest.mark.parametrize(
    "junk",
    [
        pytest.param(frame(b"x" * (SIZE + 1)), id="too big"),
        pytest.param(frame(b"x" * SIZE, 1, False) + frame(b"xx", 0), id="too big in parts"),
        pytest.param(frame(b"\xff\xfe"), id="invalid UTF-8"),
        pytest.param(frame(b"\xc3", 1, False) + frame(b"", 0), id="UTF-8 cut off"),
        pytest.param(frame(b"x" * (SIZE + 1), 2), id="too big, binary"),
        pytest.param(frame(b"x" * SIZE, 2, False) + frame(b"x", 0), id="too big, binary parts"),
        pytest.param(b"\x81\x05hello", id="not masked"),
        pytest.param(b"\xff" * 100, id="reserved bits"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="HTTP"),
        pytest.param(frame(b"", 0), id="nothing to continue"),
        pytest.param(frame(b"", 3), id="unknown opcode"),
        pytest.param(frame(b"a", 9, False), id="ping in parts"),
        pytest.param(frame(b"\x03", 8), id="close with half a code"),
        pytest.param(frame(b"\x03\xe8\xff\xff", 8), id="close with junk"),
        pytest.param(frame(b"\x03\xe8", 8) + b"more", id="close"),
        pytest.param(b"\x81\xff" + b"\x7f" + b"\xff" * 11, id="a frame of 2 ** 63 bytes"),
    ],
)
def test_what_is_no_message_ends_the_connection(junk: bytes) -> None:
    with raw() as peer:
        peer.sock.sendall(frame(b"fine") + junk)
        peer.sock.shutdown(socket.SHUT_WR)
        assert peer.server.receive(LONG) == "fine"
        with pytest.raises(Closed):
            peer.server.receive(LONG)
        with pytest.raises(Closed):
            peer.server.send("late")


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param(frame(b"x", 1, False), frame(b"", 0, False), id="empty fragments"),
        pytest.param(b"", frame(b"p" * 125, 9), id="pings"),
        pytest.param(b"", frame(b"", 10), id="pongs"),
    ],
)
def test_floods_that_never_become_a_message_are_cut(first: bytes, then: bytes) -> None:
    with raw() as peer:
        peer.sock.sendall(first)
        flooding = Task(peer.flood, then * 1000)
        with pytest.raises(Closed):
            while True:  # the wake-ups are for the backlog of pongs
                peer.server.receive(LONG)
        peer.stream.close()
        flooding.result()


@pytest.mark.parametrize("size", [0, 10, 50_000])
def test_nothing_is_read_that_nobody_asked_for(size: int) -> None:
    one, text = frame(b"x" * size), "x" * size
    count = (4 * 1024 * 1024 if size > 1000 else 128 * 1024) // len(one)
    with raw() as peer:
        sending = Task(peer.sock.sendall, one * count)
        inbox = peer.server._inbox  # type: ignore[attr-defined]
        for _ in range(count):
            assert peer.server.receive(LONG) == text
            assert len(inbox.messages) <= server_websocket.RECV_BYTES // len(one)
        sending.result()


def test_a_message_waits_for_who_was_called_back_before_it() -> None:
    with raw() as peer:
        peer.sock.sendall(frame(b"one") + frame(b"two"))
        assert peer.server.receive(LONG) == "one"
        peer.server.wake()
        peer.server.wake()
        assert peer.server.receive(LONG) is None
        assert peer.server.receive(LONG) == "two"
        assert peer.server.receive(0) is None


def test_send_never_blocks_and_its_rest_wakes_the_receiver() -> None:
    with raw(bound=1 << 25) as peer:
        waiting = Task(peer.server.receive)
        sent = 0
        while not peer.server.backlog:
            peer.server.send("x" * 60_000)
            sent += 60_000 + 4
        assert waiting.result() is None
        reading = Task(peer.sock.makefile("rb").read, sent)
        peer.server.flush(soon())
        assert peer.server.backlog == 0
        assert len(reading.result()) == sent


def test_flush_past_its_deadline_cuts_the_connection() -> None:
    with raw(bound=1 << 25) as peer:
        while not peer.server.backlog:
            peer.server.send("x" * 60_000)
        with pytest.raises(Closed):
            peer.server.flush(time.monotonic())
        with pytest.raises(Closed):
            while True:
                peer.server.receive(LONG)


def test_finish_waits_for_the_peer_only_until_its_deadline() -> None:
    with raw() as peer:
        peer.server.send("bye")
        peer.server.finish(time.monotonic() + 0.01)
        assert peer.sock.recv(100)[:9] == b"\x81\x03bye\x88\x02\x03\xe8"


def test_a_peer_that_answers_the_close_is_done_with_at_once() -> None:
    with raw() as peer:
        finishing = Task(peer.server.finish, soon())
        assert peer.sock.recv(4) == b"\x88\x02\x03\xe8"
        peer.sock.sendall(frame(b"unread") + frame(b"\x03\xe8", 8))
        finishing.result()


def test_no_thread_is_started() -> None:
    before = threading.active_count()
    with raw():
        assert threading.active_count() == before


# The client's side


def reason(port: int, host: str = "127.0.0.1", **options: Any) -> str:
    options = {"timeout": LONG, "max_message_size": SIZE, **options}
    with pytest.raises(Unreachable) as caught:
        connect(host, port, **options)
    return caught.value.reason


def read_request(sock: socket.socket) -> bytes:
    found = b""
    while not found.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            raise ConnectionAbortedError
        found += byte
    return found


def answering(answer: bytes) -> Callable[[socket.socket], None]:
    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(answer)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass

    return serve


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", "not_websocket"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "not_upgraded"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not_upgraded"),
        (b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 1\r\n\r\nx", "not_upgraded"),
        (b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\n\r\n", "not_websocket"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n", "not_websocket"),
        (b"HTTP/1.1 503 Full\r\nContent-Length: 0\r\n\r\n", "busy"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "not_websocket"),
        (b"\xff\xfe\r\n\r\n", "not_websocket"),
        (b"HTTP/1.1 200 OK\r\n" + b"x" * 1_000_000, "not_websocket"),
        (b"HTTP/1.1 404 No\r\nContent-Length: 9999999\r\n\r\n" + b"x" * 100_000, "not_websocket"),
        (b"HTTP/1.1 404 No\r\nContent-Length: -\r\n\r\n", "not_websocket"),
        (b"\x15\x03\x01\x00\x02\x02\x28", "needs_tls"),
        (b"", "hung_up"),
    ],
)
def test_why_a_server_is_not_ours(answer: bytes, expected: str) -> None:
    with listening(answering(answer)) as port:
        assert reason(port) == expected


def test_why_there_is_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
    assert reason(port) == "refused"
    assert reason(port, "a" * 70) == "name"
    assert reason(port, "a..b") == "name"
    assert reason(70000) == "network"
    assert reason(0) == "network"


def test_one_deadline_covers_everything() -> None:
    def silent(sock: socket.socket) -> None:
        while sock.recv(65536):
            pass

    with listening(silent) as port:
        assert reason(port, timeout=0.05) == "timeout"
        assert reason(port, timeout=0.05, tls=tls.client_context()) == "timeout"


def test_tls_reasons_come_through(certificate: Certificate) -> None:
    def serve(sock: socket.socket) -> None:
        stream = TlsStream(sock, context)
        with contextlib.suppress(Unreachable):
            stream.handshake(soon())
        stream.close()

    context = tls.server_context(certificate.cert_path, certificate.key_path)
    trusting = tls.client_context(certificate.cert_path)
    with listening(serve) as port:
        assert reason(port, tls=tls.client_context()) == "self_signed"
        assert reason(port, tls=trusting, server_hostname="other") == "wrong_host"
        assert reason(port, tls=tls.client_context(fingerprint="0" * 64)) == "fingerprint"
        assert reason(port, tls=trusting) == "hung_up"  # after the handshake
        assert reason(port) == "needs_tls"


def handshake_answer(request: bytes) -> bytes:
    server = WSConnection(ConnectionType.SERVER)
    server.receive_data(request)
    list(server.events())
    return server.send(ws_events.AcceptConnection())


def sending(data: bytes, asked: list[bytes] | None = None) -> Callable[[socket.socket], None]:
    """A server by hand that upgrades, sends ``data`` and waits for the end."""

    def serve(sock: socket.socket) -> None:
        request = read_request(sock)
        if asked is not None:
            asked.append(request)
        sock.sendall(handshake_answer(request) + data)
        while sock.recv(65536):
            pass

    return serve


def test_the_request_says_no_more_than_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    asked: list[bytes] = []
    with listening(sending(b"\x81\x02hi", asked)) as port:
        client = connect("localhost", port, max_message_size=SIZE)
        assert client.receive(LONG) == "hi"
        client.finish(soon())
    names = sorted(line.split(b":")[0] for line in asked[0].split(b"\r\n")[1:-2])
    assert names == [
        b"Connection",
        b"Host",
        b"Sec-WebSocket-Key",
        b"Sec-WebSocket-Version",
        b"Upgrade",
    ]
    assert f"Host: localhost:{port}\r\n".encode() in asked[0]


def test_cookies_are_not_kept() -> None:
    asked: list[bytes] = []

    def serve(sock: socket.socket) -> None:
        request = read_request(sock)
        asked.append(request)
        answer = handshake_answer(request)[:-2] + b"Set-Cookie: id=1; Domain=server\r\n\r\n"
        sock.sendall(answer)
        while sock.recv(65536):
            pass

    with listening(serve) as port:
        for _ in range(2):
            connect("127.0.0.1", port, max_message_size=SIZE).finish(soon())
    assert len(asked) == 2
    assert b"ookie" not in asked[1]


@pytest.mark.parametrize(
    ("host", "port", "default", "header"),
    [
        ("::1", 8000, 80, "[::1]:8000"),
        ("::1", 80, 80, "[::1]"),
        ("chat.example", 443, 443, "chat.example"),
        ("chat.example", 80, 443, "chat.example:80"),
        ("bücher.example", 1, 80, "xn--bcher-kva.example:1"),
    ],
)
def test_the_host_header(host: str, port: int, default: int, header: str) -> None:
    assert dialling._host_header(host, port, default) == header


def loopback(port: int) -> tuple[Any, ...]:
    """What ``getaddrinfo`` has for it."""
    return socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)


def test_each_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with listen("127.0.0.1", 0) as listener:
        closed = listener.getsockname()[1]
    with listening(sending(b"\x81\x02hi")) as port:
        found = [loopback(closed), loopback(port)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: found)
        client = connect("both.example", 1234, max_message_size=SIZE)
        assert client.receive(LONG) == "hi"
        client.finish(soon())
        found[1] = found[0]
        assert reason(1234, "both.example") == "refused"
        monkeypatch.undo()


def test_the_first_greeting_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the first connection, nor the first upgrade: who says nothing may be nobody."""
    monkeypatch.setattr(happy_eyeballs, "ATTEMPT_DELAY", 0.0)
    monkeypatch.setattr(happy_eyeballs, "ANSWER_DELAY", 0.0)
    upgraded, done = threading.Event(), threading.Event()

    def mute(sock: socket.socket) -> None:
        try:
            sending(b"")(sock)
        finally:  # it may be cut before it has read the request
            done.set()

    def late(sock: socket.socket) -> None:
        asked = read_request(sock)
        upgraded.wait(LONG)
        sock.sendall(handshake_answer(asked) + b"\x81\x02hi\x81\x03you")
        while sock.recv(65536):
            pass

    def silent(sock: socket.socket) -> None:
        upgraded.set()
        mute(sock)

    with listening(silent) as first, listening(late) as second:
        at = {"first.example": [first, second], "alone.example": [first]}
        real = socket.getaddrinfo

        def found(host: str, *words: Any, **other: Any) -> Any:
            known = at.get(host)  # another test's lookup may still be under way
            return real(host, *words, **other) if known is None else list(map(loopback, known))

        monkeypatch.setattr(socket, "getaddrinfo", found)
        client = connect("first.example", 1, max_message_size=SIZE, greeted=True, timeout=LONG)
        assert (client.receive(LONG), client.receive(LONG)) == ("hi", "you")
        assert done.wait(LONG)  # the other one was cut
        client.finish(soon())
        assert reason(1, "alone.example", greeted=True, timeout=0.1) == "timeout"
        monkeypatch.undo()


def test_a_server_that_goes_before_it_greets() -> None:
    def serve(sock: socket.socket) -> None:
        sock.sendall(handshake_answer(read_request(sock)))

    with listening(serve) as port:
        assert reason(port, greeted=True) == "not_websocket"


def test_a_form_goes_to_one_address_only(
    monkeypatch: pytest.MonkeyPatch, certificate: Certificate
) -> None:
    """Though two agree on TLS at the same moment."""
    monkeypatch.setattr(happy_eyeballs, "ATTEMPT_DELAY", 0.0)
    monkeypatch.setattr(happy_eyeballs, "ANSWER_DELAY", 0.0)
    context = tls.server_context(certificate.cert_path, certificate.key_path)
    both, asked = threading.Barrier(2), []

    def serve(sock: socket.socket) -> None:
        both.wait(LONG)
        stream = TlsStream(sock, context)
        with contextlib.closing(stream), contextlib.suppress(Unreachable):
            stream.handshake(soon())
            stream.set_deadline(soon())
            if request := stream.recv(65536):
                asked.append(request)
                stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                while stream.recv(65536):
                    pass

    with listening(serve) as first, listening(serve) as second:
        found = [loopback(first), loopback(second)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: found)
        trusting = tls.client_context(certificate.cert_path)
        assert post_form([("localhost", 1)], "/", {}, tls=trusting, timeout=LONG) == (200, b"ok")
        monkeypatch.undo()
        both.abort()
    assert len(asked) == 1


def test_an_attempt_can_be_aborted_from_outside() -> None:
    opened: list[Stream] = []
    with listening(lambda sock: sock.recv(65536) and sock.recv(1)) as port:
        attempt = Task(
            lambda: connect(
                "127.0.0.1", port, timeout=LONG, max_message_size=SIZE, opened=opened.append
            )
        )
        until(lambda: opened and opened[0]._reader)
        opened[0].abort()
        with pytest.raises(Unreachable):
            attempt.result()
        assert opened[0].fileno() == -1


def server_frame(payload: bytes, first: int = 0x81) -> bytes:
    if len(payload) < 126:
        return bytes((first, len(payload))) + payload
    return struct.pack("!BBQ", first, 127, len(payload)) + payload


@pytest.mark.parametrize(
    "junk",
    [
        pytest.param(server_frame(b"x" * 1001), id="too big"),
        pytest.param(server_frame(b"x" * 100_000), id="far too big"),
        pytest.param(b"\x81\x7f" + b"\x7f" + b"\xff" * 7 + b"x" * 1000000, id="2 ** 63"),
        pytest.param(b"\x01\x00" + b"\x00\x00" * 500_000, id="empty fragments"),
        pytest.param(b"\x89\x00" * 500_000, id="pings"),
        pytest.param(b"\x8a\x00" * 500_000, id="pongs"),
        pytest.param(server_frame(b"\xff\xfe"), id="invalid UTF-8"),
        pytest.param(server_frame(b"x" * 1001, 0x82), id="too big, binary"),
        pytest.param(b"\xf1\x01a", id="reserved bits"),
        pytest.param(b"\x80\x01a", id="nothing to continue"),
        pytest.param(b"\x88\x01a", id="close with half a code"),
        pytest.param(b"\x88\x02\x03\xe8", id="close"),
        pytest.param(b"\x88\x00", id="close without a code"),
        pytest.param(b"\x89\x7e\x00\x7e" + b"p" * 126, id="a long ping"),
    ],
)
def test_a_server_that_sends_junk_is_left(
    junk: bytes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with listening(sending(b"\x81\x04fine" + junk)) as port:
        client = connect("127.0.0.1", port, max_message_size=1000)
        assert client.receive(LONG) == "fine"
        for _ in range(2):
            with pytest.raises(Closed):
                client.receive(LONG)
        with pytest.raises(Closed):
            client.send("late")
        client.finish(soon())
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_a_wait_may_end_in_the_middle_of_a_frame() -> None:
    go = threading.Semaphore(0)
    parts = [b"\x81", b"\x7e\x00", b"\xc8", b"a" * 100, b"b" * 99, b"b\x01\x01c", b"\x80\x00"]

    def serve(sock: socket.socket) -> None:
        sock.sendall(handshake_answer(read_request(sock)))
        for part in parts:
            assert go.acquire(timeout=LONG)
            sock.sendall(part)
        while sock.recv(65536):
            pass

    with listening(serve) as port:
        client = connect("127.0.0.1", port, max_message_size=SIZE)
        found: list[str | bytes] = []
        for _ in parts:
            assert client.receive(0.005) is None
            go.release()
            text = client.receive(0.02)
            found += [text] if text else []
        while len(found) < 2:
            text = client.receive(LONG)
            found += [text] if text else []
        assert found == ["a" * 100 + "b" * 100, "c"]
        client.finish(soon())


def head(kind: int, size: int) -> bytes:
    """That of a server's frame, with the shortest length."""
    if size < 126:
        return bytes((0x80 | kind, size))
    return bytes((0x80 | kind, 126)) + size.to_bytes(2, "big")


SIZES = st.sampled_from([0, 1, 125, 126, 127, 300, 999, 1000])
FRAMES = st.one_of(
    st.builds(lambda size, kind: head(kind, size) + b"a" * size, SIZES, st.sampled_from([1, 2])),
    st.sampled_from([
        b"\x89\x01p", b"\x8a\x00", b"\x01\x02ab", b"\x80\x01c", b"\x00\x00", b"\x82\x00",
        b"\x81\x7e\x00\x05hello", b"\x81\x85\0\0\0\0hello", b"\xc1\x00", b"\x81\x02\xc3\x28",
        b"\x88\x02\x03\xe8", head(2, 1001) + bytes(1001), b"\x02\x00", b"\x82\x7f" + bytes(8),
    ]),
)  # fmt: skip


class Scripted(Stream):
    """A stream that brings these pieces and then ends."""

    def __init__(self, pieces: list[bytes]) -> None:
        near, self.far = tcp_pair()
        super().__init__(near)
        self.pieces = pieces

    def _fill(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


def came(pieces: list[bytes], whole: bool) -> list[object]:
    """All messages of a connection, what has moved after each, and its end."""
    stream, found = Scripted([*pieces]), list[object]()
    adapter = _ClientAdapter(stream)
    with mock.patch.object(ClientWebSocket, "__init__", lambda *_: None):
        peer = ClientWebSocket()  # type: ignore[call-arg]
    peer._stream, peer._adapter, peer._closed, peer._over = stream, adapter, False, False
    peer._send_progress, peer._greeting, peer._max_message_size = SendProgress(), None, 1000
    peer._library = websocket.WebSocket(enable_multithread=True, skip_utf8_validation=True)
    peer._library.sock = cast("Any", adapter)
    buffer = _FrameBuffer(peer._library._recv, adapter)
    peer._library.frame_buffer, peer._library.connected = buffer, True
    adapter.budget = ByteBudget.of_message(1000)
    if not whole:
        peer._whole_message = lambda: None  # type: ignore[method-assign]
    try:
        while True:
            found += [peer.receive(), adapter.counted]
    except Closed:
        found.append("end")
    stream.far.close()
    stream.close()
    return found


@settings(deadline=None, max_examples=60)
@given(st.lists(FRAMES, max_size=6), st.lists(st.integers(1, 400), max_size=8))
def test_whole_frames_are_read_as_the_library_reads_them(
    frames: list[bytes], cuts: list[int]
) -> None:
    data, pieces = b"".join(frames), list[bytes]()
    for cut in cuts:
        pieces.append(data[:cut])
        data = data[cut:]
    pieces = [piece for piece in (*pieces, data) if piece]
    assert came(pieces, whole=True) == came(pieces, whole=False)


def test_finish_of_a_client_does_not_wait_longer_than_it_may() -> None:
    with listening(sending(b"")) as port:
        client = connect("127.0.0.1", port, max_message_size=SIZE)
        client.finish(time.monotonic() + 0.01)
        assert client._stream.fileno() == -1


# The parts


def test_an_allowance_is_used_up_and_renewed() -> None:
    budget = ByteBudget(10)
    budget.spend(10)
    budget.renew()
    budget.spend(9)
    with pytest.raises(Closed):
        budget.spend(2)


def test_what_moves_is_bytes_of_messages_and_not_pings() -> None:
    """Whatever is in between can send pings; half a message is a sign of life."""
    more = threading.Event()

    def serve(sock: socket.socket) -> None:
        sock.sendall(handshake_answer(read_request(sock)) + b"\x89\x05ping!" * 3)
        answered = b""
        while len(answered) < 3 * 11:
            answered += sock.recv(64)
        assert more.wait(LONG)
        sock.sendall(b"\x82\x0ahalf ")
        sock.recv(1)

    with listening(serve) as port:
        client = connect("127.0.0.1", port, max_message_size=SIZE)
        before = client.moved()
        until(lambda: client.receive(0.01) is None and client.backlog == 0)
        assert client.moved() == before
        more.set()
        until(lambda: client.receive(0.01) is None and client.moved() > before)
        assert client.moved() == before + len(b"half ")
        client.finish(soon())
