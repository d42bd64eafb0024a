"""Messages that come in one piece pass the library by: they must come out as if they had not."""

from __future__ import annotations

import base64
import itertools
import secrets
import socket
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import records
from tests import test_transport_websocket
from tests.transport_kit import LONG
from transport import Closed, held_calls
from transport.server_websocket import FrameProgress, ServerWebSocket, whole_messages
from transport.stream import Stream
from transport.token_bucket import TokenBucket

MOST = 70_000
KEY = base64.b64encode(bytes(16)).decode()


def frame(
    payload: bytes, opcode: int = 2, fin: bool = True, mask: bytes = b"\x01\x80\xff\x5a"
) -> bytes:
    """A client's frame: binary and masked, as records come."""
    return test_transport_websocket.frame(payload, opcode, fin, mask)


SIZES = st.sampled_from([0, 1, 3, 4, 125, 126, 127, 1000])
PAYLOADS = SIZES.map(lambda size: bytes(at * 7 % 256 for at in range(size)))
MASKS = st.binary(min_size=4, max_size=4)
WHOLE = st.builds(lambda payload, mask: frame(payload, mask=mask), PAYLOADS, MASKS)
TEXT = st.just(frame(b"text", 1))
PING = st.just(frame(b"ping", 9))
PARTS = st.just(frame(b"a", 2, False) + frame(b"ping", 9) + frame(b"", 0, False) + frame(b"b", 0))
WIRES = st.lists(st.one_of(WHOLE, WHOLE, WHOLE, TEXT, PING, PARTS), max_size=12).map(b"".join)


class Peer:
    """The server's end of a connection, and what its bucket has had to pay."""

    def __init__(self, whole: bool) -> None:
        self.sock, far = socket.socketpair()
        self.stream = Stream(far, interruptible=True)
        self.server = ServerWebSocket(self.stream, KEY, MOST)
        self.bucket = TokenBucket(1.0, 1e9, clock=lambda: 0.0)
        self.server.answer()
        self.server.charge_to(self.bucket)
        if not whole:
            self.server._read_whole = self._read_all  # type: ignore[method-assign]

    def _read_all(self, bucket: TokenBucket) -> None:
        self.server._run_library()

    def take(self) -> list[str | bytes]:
        """All messages that have come so far."""
        found: list[str | bytes] = []
        while (message := self.server.receive(0.0)) is not None:
            found.append(message)
        return found

    def close(self) -> None:
        """The end."""
        self.stream.close()
        self.sock.close()


@settings(max_examples=60, deadline=None)
@given(WIRES, st.lists(st.integers(1, 1500), max_size=8))
def test_however_frames_are_cut_the_same_comes_out_and_is_paid_for(
    wire: bytes, cuts: list[int]
) -> None:
    peers = Peer(whole=True), Peer(whole=False)
    try:
        at = 0
        for cut in [*cuts, len(wire)]:
            piece, at = wire[at : at + cut], at + cut
            for peer in peers:
                peer.sock.sendall(piece)
            one, other = (peer.take() for peer in peers)
            assert one == other and list(map(type, one)) == list(map(type, other))
        assert peers[0].bucket.spare == peers[1].bucket.spare
        budgets = [peer.server._adapter.budget._left for peer in peers]
        assert budgets[0] >= budgets[1]  # what is whole needs none
    finally:
        for peer in peers:
            peer.close()


UNITS = st.lists(st.one_of(WHOLE, TEXT, PING, PARTS), max_size=12)


@settings(max_examples=60, deadline=None)
@given(UNITS, st.lists(st.integers(1, 40), max_size=30))
def test_progress_knows_where_a_message_ends(units: list[bytes], cuts: list[int]) -> None:
    wire, ends = b"".join(units), {0, *itertools.accumulate(map(len, units))}
    progress, at = FrameProgress(), 0
    for cut in [*cuts, len(wire)]:
        progress.feed(wire[at : at + cut])
        at = min(at + cut, len(wire))
        assert progress.is_between == (at in ends)


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(frame(b"x" * (MOST + 1)), id="too long"),
        pytest.param(b"\x82\x03abc", id="not masked"),
        pytest.param(b"\xc2\x81" + bytes(5), id="a reserved bit"),
        pytest.param(b"\x82\xfe\x00\x05" + bytes(9), id="two bytes for a short length"),
        pytest.param(b"\x82\xff" + bytes(7) + b"\x05" + bytes(9), id="eight bytes for it"),
    ],
)
def test_what_is_wrong_is_the_library_s_to_refuse(wire: bytes) -> None:
    assert whole_messages(wire, MOST) == ([], wire)
    peer = Peer(whole=True)
    try:
        peer.sock.sendall(frame(b"fine") + wire[:200_000])
        assert peer.server.receive(LONG) == b"fine"
        with pytest.raises(Closed):
            while True:
                peer.server.receive(LONG)
    finally:
        peer.close()


def test_after_a_message_in_pieces_whole_ones_pass_by_again() -> None:
    peer = Peer(whole=True)
    try:
        wire = frame(b"y" * 500)
        peer.sock.sendall(wire[:100])
        assert peer.take() == []
        peer.sock.sendall(wire[100:])
        assert peer.take() == [b"y" * 500]
        library = peer.server._run_library
        peer.server._run_library = lambda: pytest.fail("the library was asked")  # type: ignore[method-assign]
        peer.sock.sendall(frame(b"z"))
        assert peer.server.receive(LONG) == b"z"
        peer.server._run_library = library  # type: ignore[method-assign]
    finally:
        peer.close()


# Calls that keep the interpreter


@pytest.mark.parametrize("library", [True, False])
def test_a_call_is_what_the_socket_s_would_be(
    monkeypatch: pytest.MonkeyPatch, library: bool
) -> None:
    if not library:
        monkeypatch.setattr(held_calls, "_found", None)
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        far.setblocking(False)
        assert held_calls.send(near, b"\0one\0") == 5 and held_calls.recv(far, 3) == b"\0on"
        assert held_calls.recv(far, 100_000) == b"e\0"
        with pytest.raises(BlockingIOError):
            held_calls.recv(far, 1)
        with pytest.raises(BlockingIOError):
            while True:
                held_calls.send(near, bytes(held_calls.HELD_BYTES))
        assert held_calls.send(far, memoryview(b"large" * 1000)) == 5000
        near.close()
        while True:  # what was sent before comes first, and then the end or a reset
            try:
                if not held_calls.recv(far, 16_384):
                    break
            except ConnectionResetError:
                break
        with pytest.raises(BrokenPipeError):
            held_calls.send(far, b"late")
    with pytest.raises(OSError):
        held_calls.send(far, b"closed")


def test_what_stands_for_a_socket_is_asked_itself() -> None:
    class Inside:
        """A connection inside of another one, with the outer one's descriptor."""

        def fileno(self) -> int:
            return 0

        def send(self, data: bytes) -> int:
            return len(data) + 1

        def recv(self, size: int) -> bytes:
            return b"inside"

    inside: socket.socket = Inside()  # type: ignore[assignment]
    assert held_calls.send(inside, b"ab") == 3 and held_calls.recv(inside, 10) == b"inside"


def test_no_other_thread_runs_meanwhile() -> None:
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        assert held_calls._found is None  # there is no lock to hold on to
        return
    turns, over = [0], threading.Event()

    def spin() -> None:
        while not over.is_set():
            turns[0] += 1
            over.wait(0)

    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    spinning = threading.Thread(target=spin)
    before = sys.getswitchinterval()
    with near, far:
        spinning.start()
        try:
            sys.setswitchinterval(100.0)
            counted = turns[0]
            for _ in range(200):
                held_calls.send(near, b"x")
                held_calls.recv(far, 10)
            held = turns[0] - counted
        finally:
            sys.setswitchinterval(before)
            over.set()
            spinning.join()
    assert held == 0


def test_no_random_block_comes_twice() -> None:
    found: list[bytes] = []

    def draw() -> None:
        found.extend([records._random_block() for _ in range(1000)])

    threads = [threading.Thread(target=draw) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == len(found) == 8000 and {len(block) for block in found} == {16}


def test_random_blocks_are_the_system_s(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = secrets.token_bytes(4096)
    monkeypatch.setattr(records, "_random_blocks", [])
    monkeypatch.setattr("protocol.records.secrets.token_bytes", lambda size: drawn[:size])
    blocks = {records._random_block() for _ in range(256)}
    assert blocks == {drawn[at : at + 16] for at in range(0, 4096, 16)}
