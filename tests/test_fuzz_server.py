"""Connections that say anything, thrown at a running server from a seed.

Bytes, requests, WebSocket frames, handshakes and records, spoilt in every way, and cut off
anywhere.  Afterwards it serves as before, and nothing is left of any of them: no thread,
descriptor, place, session or room, and not a word on its output.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protocol import frames
from protocol import limits as protocol_limits
from protocol.errors import ChatError
from protocol.link import ClientLink, Credentials
from server import limits, throttle
from server.app import ChatServer
from server.throttle import Rate, Rates
from tests import test_frames as frame_tests
from tests.conftest import IdentityPool
from tests.fuzzing import SEED, SOAK, spoil, spoil_json
from tests.held import held
from tests.test_http_face import Answer, ask, form, request
from tests.test_server_connection import until
from tests.wire import LONG, UPGRADE, Raw, Wire, box, masked, threads, wrap
from transport import server_websocket

CONNECTIONS = SOAK or 70
REQUESTS = (
    request("GET", "/"), request("GET", "/health"), UPGRADE,
    form("/generate_token", {"admin_password": "guess", "username": "alice", "ttl": "5"}),
    form("/revoke_token", {"admin_password": "guess", "token": "a.b"}, "application/json"),
)  # fmt: skip
HELLO = frame_tests.example(frames.Hello).encode()


class Stranger:
    """One connection, and the chances that decide what it says."""

    def __init__(
        self, server: ChatServer, pool: IdentityPool, prs: bytes, chance: random.Random
    ) -> None:
        self.chance = chance
        self.prs = prs
        self.pool = pool
        self.sock = socket.create_connection(("127.0.0.1", server.port), timeout=LONG)
        self.link = ClientLink(pool[chance.randrange(4)], Credentials(prs), pool.keys)
        self.got = b""

    def recipe(self) -> bytes:
        return self.chance.randbytes(self.chance.choice((4, 4, 8, 16, 24)))

    def send(self, data: bytes) -> None:
        """In one piece, or in crumbs."""
        if self.chance.random() < 0.2:
            for at in range(0, min(len(data), 60), 7):
                self.sock.sendall(data[at : at + 7])
            data = data[63:]
        self.sock.sendall(data)

    def upgrade(self) -> None:
        self.sock.sendall(UPGRADE)
        while b"\r\n\r\n" not in self.got:
            self._more()
        self.got = self.got.partition(b"\r\n\r\n")[2]

    def _more(self) -> None:
        part = self.sock.recv(65536)
        if not part:
            raise ConnectionAbortedError
        self.got += part

    def message(self) -> str | bytes:
        """The next message, if it is one."""
        while True:
            if len(self.got) >= 4:
                size, start = self.got[1], 2
                if size == 126:
                    size, start = int.from_bytes(self.got[2:4], "big"), 4
                kind = self.got[0]
                if kind not in (0x81, 0x82) or size == 127:
                    raise ConnectionAbortedError  # a close frame, or what need not be read
                if len(self.got) >= start + size:
                    payload = self.got[start : start + size]
                    self.got = self.got[start + size :]
                    return payload.decode() if kind == 0x81 else payload
            self._more()

    def say(self, message: str | bytes) -> None:
        """One message, as it should be sent."""
        if isinstance(message, str):
            self.sock.sendall(masked(1, message.encode()))
        else:
            self.sock.sendall(masked(2, message))

    def try_(self, payload: bytes, kind: int) -> None:
        """One message of a kind, rarely of the other."""
        self.sock.sendall(masked(self.chance.choice((kind, kind, kind, 3 - kind)), payload))

    def hello(self) -> None:
        self.upgrade()
        self.say(self.link.receive_greeting(self.message()))

    def join(self) -> None:
        """Everything right, up to the room."""
        self.hello()
        nick = f"n{self.chance.randrange(6)}"
        names = self.chance.sample(range(4), self.chance.randrange(1, 4))
        stays = [frames.Stay(f"room-{name}") for name in names]
        self.say(self.link.receive_key(self.message(), nick, stays))
        self.link.open(self.message())

    def end(self) -> None:
        """Politely, by force, half, or by waiting for the other side."""
        way = self.chance.randrange(4)
        with contextlib.suppress(OSError):
            if way == 0:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif way == 1:
                self.sock.shutdown(socket.SHUT_WR)
                self.sock.settimeout(0.05)
                while self.sock.recv(65536):
                    pass
        self.sock.close()


def junk(peer: Stranger) -> None:
    """Bytes of all kinds."""
    peer.send(peer.chance.randbytes(peer.chance.choice((1, 30, 300, 70_000))))


def requests(peer: Stranger) -> None:
    """HTTP, nearly."""
    peer.send(spoil(peer.chance.choice(REQUESTS), peer.recipe(), REQUESTS))


def frames_of_websocket(peer: Stranger) -> None:
    """Frames with other bits, lengths that lie, parts of nothing."""
    peer.upgrade()
    chance = peer.chance
    for _ in range(chance.randrange(1, 6)):
        payload = chance.choice((b"", b"{}", HELLO, chance.randbytes(chance.randrange(200))))
        frame = masked(chance.choice((0, 0, 1, 1, 2, 3, 8, 9, 10, 15)), payload,
                       chance.random() < 0.6)  # fmt: skip
        way = chance.randrange(5)
        if way == 0:
            frame = server_websocket.frame("not masked")
        elif way == 1:
            frame = frame[:1] + b"\xff" + chance.randbytes(8) + frame[2:]
        elif way == 2:
            frame = bytes((frame[0] | chance.choice((16, 32, 64, 112)),)) + frame[1:]
        elif way == 3:
            frame = spoil(frame, peer.recipe(), (UPGRADE,))
        peer.send(frame)


def hellos(peer: Stranger) -> None:
    """Instead of the first frame; and before the greeting has been read."""
    peer.upgrade()
    hello = peer.link.receive_greeting(peer.message()).encode()
    way = peer.chance.randrange(3)
    if way == 0:
        peer.try_(spoil(hello, peer.recipe(), (HELLO,)), 1)
    elif way == 1:
        peer.try_(spoil_json(hello, peer.recipe()), 1)
    else:
        peer.try_(hello, 1)
        peer.try_(spoil_json(hello, peer.recipe()), 1)


def confirms(peer: Stranger) -> None:
    """Instead of the proof; or nothing at all after the key."""
    peer.hello()
    confirm = peer.link.receive_key(peer.message(), "mallory", [frames.Stay("den")])
    if peer.chance.random() < 0.7:
        peer.try_(spoil(confirm, peer.recipe(), (HELLO,)), 2)


def insiders(peer: Stranger) -> None:
    """Who knows the password: frames that are nearly right, in records that are."""
    peer.join()
    chance = peer.chance
    some = chance.randrange
    for _ in range(chance.randrange(1, 5)):
        kind = chance.choice(list(frames.CLIENT_FRAMES.values()))
        encoded = chance.choice(
            (
                frame_tests.example(kind).encode(),
                frames.Post(some(9), some(4), some(9), box()).encode(),
                frames.Keys(some(4), (wrap(some(9), some(5)),)).encode(),
                frames.Enter(some(9), f"room-{some(4)}", chance.choice((None, some(4)))).encode(),
                frames.Leave(some(9), some(4)).encode(),
                frames.Nick(some(9), some(4), f"n{some(6)}").encode(),
                frames.Seen((frames.Position(some(4), some(40), some(9)),) * some(3)).encode(),
            )
        )
        way = chance.randrange(4)
        if way == 0:
            encoded = spoil(encoded, peer.recipe(), (HELLO,))
        elif way == 1:
            encoded = spoil_json(encoded, peer.recipe())
        peer.say(peer.link.seal([encoded] * chance.choice((1, 1, 3))))


def records(peer: Stranger) -> None:
    """Who knows the password: records that do not open, or come again."""
    peer.join()
    record = peer.link.seal([frames.Seen((frames.Position(1, 1, 0),)).encode()])
    peer.say(record)
    peer.try_(spoil(record, peer.recipe(), (HELLO,)), 2)
    peer.say(record)


ATTACKS: tuple[Callable[[Stranger], None], ...] = (
    junk, requests, frames_of_websocket, hellos, confirms, insiders, records,
)  # fmt: skip


def attack(
    server: ChatServer, pool: IdentityPool, prs: bytes, number: int, done: Counter[str]
) -> None:
    """One connection, whose number and the seed say all of it."""
    chance = random.Random(f"{SEED}.{number}")
    kind = chance.choice(ATTACKS)
    peer = Stranger(server, pool, prs, chance)
    try:
        kind(peer)
        done[f"{kind.__name__} said"] += 1
    except (OSError, ChatError, ValueError):  # it was shown the door before it had said all
        done[f"{kind.__name__} cut off"] += 1
    finally:
        peer.end()


def descriptors() -> int:
    """How many this process has, where the system tells."""
    folder = Path("/proc/self/fd")
    return len(os.listdir(folder)) if folder.exists() else 0


def nothing_is_left(server: ChatServer) -> Callable[[], bool]:
    """Whether all connections and what they opened are over."""
    connections, parts = server._services.connection_limits, server._services
    return lambda: not (
        connections._open or connections._strangers_of or connections._members_of
        or server._connections
        or held(parts.sessions) or held(parts.rooms)
    )  # fmt: skip


def serves(server: ChatServer, wires: Callable[..., Wire], number: int = 0) -> None:
    """Two people meet and talk, and it says that it is well."""
    assert Answer(ask(server.port, request("GET", "/health")).raw).json == {"status": "ok"}
    alice, bob = wires(server, number).join("alice"), wires(server, number + 1).join("bob")
    assert bob.entered is not None
    alice.post(bob.entered.seq)
    assert alice.find(frames.Accepted).ref == 1
    assert isinstance(bob.entries(bob.entered.seq + 1)[-1], frames.Posted)
    for wire in (alice, bob):
        wire.send(frames.Bye("left"))
        wire.ended()
        wire.cut()


@pytest.mark.timeout(0 if SOAK else 60)
@pytest.mark.soak
def test_whatever_is_thrown_at_it(
    serve: Callable[..., ChatServer],
    wires: Callable[..., Wire],
    pool: IdentityPool,
    prs: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A fixed sample of connections; a soak throws as many as it is told to."""
    plenty = Rates(Rate(1e9, 1e9), Rate(1e9, 1e9))  # failures would only make it take longer
    monkeypatch.setattr(throttle, "GUESSES", plenty)
    monkeypatch.setattr(throttle, "HANDSHAKES", plenty)
    monkeypatch.setattr(limits, "REQUEST_SECONDS", 2.0)
    monkeypatch.setattr(limits, "HANDSHAKE_SECONDS", 2.0)
    monkeypatch.setattr(limits, "STOP_POLITE_SECONDS", 0.3)
    server = serve(max_messages_per_window=20)
    serves(server, wires)
    until(nothing_is_left(server))
    before = threads(), descriptors()
    done: Counter[str] = Counter()
    began = time.monotonic()
    for number in range(CONNECTIONS):
        attack(server, pool, prs, number, done)
        if number % 2000 == 1999:
            serves(server, wires, 4)
    took = time.monotonic() - began
    serves(server, wires, 6)
    until(lambda: not server._services.connection_limits._open)
    clock = server._services.sessions._clock
    server._services.sessions._clock = lambda: clock() + 3600.0  # every grace is over
    server._services.expiry.schedule(0.0)
    until(nothing_is_left(server))
    # Acceptors are kept.
    until(lambda: threads() <= before[0] + limits.ACCEPTORS)
    assert descriptors() <= before[1]
    assert server._services.broadcaster._threads[0].is_alive() and server._listener._waiting
    assert len({name.split()[0] for name in done}) == len(ATTACKS)
    assert capfd.readouterr() == ("", "")
    if SOAK:
        with capfd.disabled():
            print(f"\n{CONNECTIONS} connections in {took:.0f} s, seed {SEED}: {dict(done)}")
            sys.stdout.flush()


def test_a_flood_of_messages_that_are_none(
    serve: Callable[..., ChatServer], wires: Callable[..., Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member whose every frame is refused or repeated: answered a while, then shown out."""
    monkeypatch.setattr(limits, "WORK_BURST", 1e9)  # or it would not be heard so often
    server = serve(max_messages_per_window=5, max_message_size=64)
    alice, bob = wires(server, 0).join("alice"), wires(server, 1).join("bob")
    most = server._services.policy.max_box_size
    for first in range(1, 8 * limits.REFUSALS, 8):
        posts = [frames.Post(first + each, 1, 2, box()) for each in range(3)]
        posts.append(frames.Post(first + 3, 1, 2, box(b"g" * (most + 1))))
        try:
            alice.send(*posts, *posts)  # once more: what was answered is answered again
        except ChatError:
            break
    ended = alice.ended()
    codes = Counter(frame.code for frame in ended if isinstance(frame, frames.Refused))
    assert codes.pop("unexpected") == protocol_limits.STRIKES
    assert set(codes) == {"too_long", "rate_limited"}
    # Five were accepted, and answered once more.
    assert sum(codes.values()) == limits.REFUSALS - sum(
        isinstance(frame, frames.Accepted) for frame in ended
    ) + 5
    assert ended[-1] == frames.Bye("protocol")
    bob.post(2)
    assert bob.find(frames.Accepted).ref == 1
    again = wires(server, 0).join("alice")  # and its window is as full as before
    large = box(b"g" * (most + 1))
    again.send(*[frames.Post(9000 + each, again.at, 2, large) for each in range(3)])
    assert again.ended()[-1] == frames.Bye("protocol")


def test_keys_that_nobody_needs_start_no_round(
    server: ChatServer, wires: Callable[..., Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or one member could keep the broadcaster busy with frames that do nothing."""
    alice, bob = wires(server, 0).join("alice"), wires(server, 1).join("bob")
    alice.entries(2)
    marked: list[Any] = []
    mark = server._services.broadcaster.mark

    def counted(room: Any) -> None:
        marked.append(room)
        mark(room)

    monkeypatch.setattr(server._services.broadcaster, "mark", counted)
    at = alice.at
    alice.send(frames.Keys(at, ()), frames.Keys(at, (wrap(999, 1),)), frames.ListRooms(1))
    alice.find(frames.RoomLines)
    assert marked == []
    alice.send(frames.Keys(alice.at, (wrap(bob.id, 1),)), frames.ListRooms(2))
    alice.find(frames.RoomLines)
    assert marked == []
    alice.send(frames.Post(3, alice.at, 2, box()))
    assert bob.find(frames.KeyFor).sender == alice.id
    assert len(marked) == 1


def test_half_messages_and_a_reset(server: ChatServer) -> None:
    """Cut off at every byte of the upgrade, and of a frame after it: every place comes back."""
    whole = UPGRADE + masked(1, HELLO[:40])
    for at in range(0, len(whole), 5):
        with Raw(server.port) as raw:
            raw.send(whole[:at])
            if at % 2:
                linger = struct.pack("ii", 1, 0)
                raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    assert server._services.connection_limits.wait_empty(LONG)
    assert ask(server.port, request("GET", "/health")).status == 200
