"""RFC 6455 where the libraries leave something out: goodbyes, close frames, what frames cost."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from server.app import ChatServer
from tests.test_http_face import Answer
from tests.test_transport_websocket import (
    SIZE,
    accepted,
    frame,
    handshake_answer,
    listening,
    raw,
    read_request,
    sending,
    server_frame,
)
from tests.transport_kit import LONG, Certificate, Task, certificate, soon, tcp_pair
from tests.wire import UPGRADE
from tests.wire import Raw as Stranger
from transport import Closed, Unreachable, tls
from transport.client_websocket import connect

__all__ = ["certificate"]  # a fixture

CLOSE = b"\x88\x02\x03\xe8"
PING, PONG = frame(b"", 9), frame(b"", 10)


# Goodbyes


@pytest.mark.parametrize(
    "nuisance",
    [
        PING, PONG, frame(b"more"), frame(b"x", 2), PING * 5000, frame(b"x" * 60_000) * 20,
        b"\xff" * 100, frame(b"", 9, fin=False), frame(b"\x03", 8),
    ],
    ids=["ping", "pong", "text", "binary", "pings", "too much", "junk", "split ping", "half code"],
)  # fmt: skip
def test_nothing_that_comes_shortens_a_goodbye(nuisance: bytes) -> None:
    """What was posted, and the reason, arrive though the peer talks on and reads late."""
    size, count = 60_000, 60
    with raw(bound=1 << 22) as peer:
        for _ in range(count):
            peer.server.send("x" * size)
        finishing = Task(peer.server.finish, soon())
        got = b""
        while not got.endswith(CLOSE):
            with contextlib.suppress(OSError):
                peer.sock.sendall(nuisance)
            got += peer.sock.recv(256 * 1024)
        assert len(got) == count * (size + 4) + len(CLOSE)
        peer.sock.shutdown(socket.SHUT_WR)
        finishing.result()


def test_a_goodbye_over_tls_ends_with_close_notify(certificate: Certificate) -> None:
    """RFC 8446 6.1: without it, its end cannot be told from a cut."""
    near, far = tcp_pair()
    context = ssl.create_default_context(cafile=certificate.cert_path)
    server_context = tls.server_context(certificate.cert_path, certificate.key_path)
    stream = tls.TlsStream(far, server_context, interruptible=True)

    def serve() -> None:
        stream.handshake(soon())
        peer = accepted(stream)
        peer.send("bye")
        peer.finish(soon())
        stream.close()

    serving = Task(serve)
    with context.wrap_socket(
        near, server_hostname="localhost", suppress_ragged_eofs=False
    ) as client:
        client.sendall(UPGRADE)
        got = b""
        while not got.endswith(CLOSE):
            got += client.recv(4096)
        client.sendall(frame(b"\x03\xe8", 8))
        assert client.recv(10) == b""  # SSLEOFError without close_notify
    serving.result()


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(b"abc\xff"), 1007), (frame(b"a", 3), 1002), (frame(b"a", 0), 1002),
        (frame(b"\x0f\xa0" + b"bye", 8), 4000), (frame(b"\x03\xe9", 8), 1001),
        (frame(b"x" * (SIZE + 1)), 1009),
    ],
)  # fmt: skip
def test_a_close_frame_has_a_code_and_no_words(sent: bytes, code: int) -> None:
    """Neither a library's, which name the interpreter, nor the peer's own."""
    with raw() as peer:
        peer.sock.sendall(sent)
        with pytest.raises(Closed):
            while True:
                peer.server.receive(LONG)
        got = b""
        with contextlib.suppress(OSError):
            while data := peer.sock.recv(4096):
                got += data
        assert got == b"\x88\x02" + struct.pack("!H", code)


# What frames cost


@pytest.mark.parametrize(
    "crumb", [frame(b"", 0, fin=False), PING, PONG], ids=["empty fragment", "ping", "pong"]
)
def test_a_stranger_has_a_few_dozen_frames(crumb: bytes) -> None:
    """Each costs the server work, however small it is."""
    with raw() as peer:
        peer.sock.sendall(frame(b"", 1, fin=False))
        reading = Task(lambda: peer.server.receive(LONG))
        with contextlib.suppress(OSError):
            peer.sock.sendall(crumb * 200)
        with pytest.raises(Closed):
            reading.result()


def test_a_message_has_a_thousand_fragments_at_most() -> None:
    """So many of a member's are one message; a few more are a flood."""
    with raw() as peer:
        peer.server.allow(1_000_000)
        for count, whole in ((900, True), (20_000, False)):
            parts = frame(b"a", 1, fin=False) + frame(b"a", 0, fin=False) * count
            sending_ = Task(_send, peer.sock, parts + frame(b"a", 0))
            if whole:
                assert peer.server.receive(LONG) == "a" * (count + 2)
            else:
                with pytest.raises(Closed):
                    peer.server.receive(LONG)
            sending_.result()


def test_a_large_message_that_comes_in_drops_is_one_message() -> None:
    """Frames cost something, not reads: a slow network is no flood."""
    text = "x" * 60_000
    with raw() as peer:
        peer.server.allow(len(text))
        wire, at = frame(text.encode()), 0
        got = None
        while got is None:
            peer.sock.sendall(wire[at : at + 53])
            at += 53
            got = peer.server.receive(0 if at < len(wire) else LONG)
        assert got == text


def _send(sock: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        sock.sendall(data)


# The request


def upgraded(server: ChatServer, request: bytes) -> tuple[int, Answer | None]:
    """The status, and the answer if it is no upgrade."""
    with Stranger(server.port) as peer:
        peer.send(request)
        head = peer.sock.recv(12)
        status = int(head.split()[1])
        return status, Answer(head + peer.rest()) if status != 101 else None


def changed(old: bytes, new: bytes) -> bytes:
    assert old in UPGRADE
    return UPGRADE.replace(old, new)


@pytest.mark.parametrize(
    "request_",
    [
        changed(b"Version: 13", b"Version: 8"),
        changed(b"Version: 13", b"Version: 14"),
        changed(b"HTTP/1.1", b"HTTP/1.0"),
        changed(b"Host: x", b"Host: x\r\nHost: x"),
        changed(b"Host: x", b"Host: x\r\nContent-Length: 5"),
        changed(b"Host: x", b"Host: x\r\nTransfer-Encoding: chunked"),
    ],
    ids=["version 8", "version 14", "HTTP/1.0", "two hosts", "a body", "a chunked body"],
)
def test_an_upgrade_that_is_none_is_told_the_version(server: ChatServer, request_: bytes) -> None:
    """RFC 6455 4.2.2; what follows a body's headers would be frames to one, and not to a proxy."""
    status, answer = upgraded(server, request_)
    assert status == 400 and answer is not None
    assert answer.headers["Sec-WebSocket-Version"] == "13"


@pytest.mark.parametrize(
    "request_",
    [
        changed(b"Upgrade: websocket", b"Upgrade: websocket, foo/1"),
        changed(b"Upgrade: websocket", b"Upgrade: foo/1\r\nUpgrade: WebSocket"),
        changed(b"GET / ", b"GET http://chat.example.org:1000/ "),
        changed(b"GET / ", b"GET http://chat.example.org "),
        changed(b"Host: x", b"Host: x\r\nContent-Length: 0"),
    ],
    ids=["two protocols", "two lines", "absolute form", "without a path", "an empty body"],
)
def test_odd_requests_that_are_upgrades(server: ChatServer, request_: bytes) -> None:
    assert upgraded(server, request_)[0] == 101


# The client


@pytest.mark.parametrize(
    "junk",
    [
        pytest.param(b"\x81\x84\0\0\0\0mask", id="masked"),
        pytest.param(b"\x89\x81\0\0\0\0p", id="a masked ping"),
        pytest.param(b"\x81\x7e\x00\x05short", id="a short length in 16 bits"),
        pytest.param(b"\x81\x7f" + struct.pack("!Q", 200) + b"x" * 200, id="200 in 64 bits"),
        pytest.param(b"\x81\x7f" + b"\xff" * 8, id="the top bit"),
        pytest.param(b"\x09\x00", id="half a ping"),
        pytest.param(b"\x08\x02\x03\xe8", id="half a close"),
        pytest.param(b"\x8a\x7e\x00\x7e" + b"p" * 126, id="a long pong"),
        pytest.param(b"\x88\x04\x03\xe8\xff\xfe", id="a reason that is no UTF-8"),
    ],
)
def test_frames_that_a_client_must_not_take(junk: bytes) -> None:
    """RFC 6455 5.1, 5.2, 5.5 and 8.1: the connection ends, and nothing is said of a normal end."""
    heard: list[bytes] = []
    over = threading.Event()

    def serve(sock: socket.socket) -> None:
        sock.sendall(handshake_answer(read_request(sock)) + server_frame(b"fine") + junk)
        with contextlib.suppress(OSError):
            while data := sock.recv(4096):
                heard.append(data)
        over.set()

    with listening(serve) as port:
        client = connect("127.0.0.1", port, max_message_size=1000)
        assert client.receive(LONG) == "fine"
        with pytest.raises(Closed):
            client.receive(LONG)
        client.finish(time.monotonic())
        assert over.wait(LONG)
    assert not any(data[:1] == b"\x88" for data in heard)


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: answer.swapcase().replace(b"http", b"HTTP"),
        lambda answer: answer[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        lambda answer: answer[:-2] + b"Sec-WebSocket-Protocol: chat\r\n\r\n",
    ],
    ids=["another case", "an extension", "a subprotocol"],
)
def test_answers_that_a_client_must_not_take(change: Callable[[bytes], bytes]) -> None:
    """RFC 6455 4.1: the key's hash is exact, and nothing is agreed that was not offered."""

    def serve(sock: Any) -> None:
        sock.sendall(change(handshake_answer(read_request(sock))))
        while sock.recv(4096):
            pass

    with listening(serve) as port, pytest.raises(Unreachable) as refused:
        connect("127.0.0.1", port, max_message_size=1000)
    assert refused.value.reason == "not_websocket"


def test_a_genuine_answer_is_taken() -> None:
    with listening(sending(server_frame(b"hello"))) as port:
        client = connect("127.0.0.1", port, max_message_size=1000)
        assert client.receive(LONG) == "hello"
        client.finish(time.monotonic())
