"""What a member's frames cost it, and that nobody else notices."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from protocol import frames
from protocol import limits as protocol_limits
from server import limits
from server.app import ChatServer
from server.connection import ServerConnection
from server.services import Policy
from tests.test_rate_limits import Clock
from tests.wire import LONG, Wire, box, masked, wrap
from transport.token_bucket import FRAGMENT_COST, TokenBucket

Serve = Callable[..., ChatServer]
Wires = Callable[..., Wire]


def test_so_much_at_once_and_so_much_a_second() -> None:
    clock = Clock()
    bucket = TokenBucket(100.0, 1000.0, clock)
    bucket.spend(1000)
    assert bucket.wait() == 0.0
    bucket.spend(50)
    assert bucket.wait() == 0.5
    clock.now += 0.25
    assert bucket.wait() == 0.25
    clock.now += 100.0
    bucket.spend(1001)
    assert bucket.wait() == pytest.approx(0.01)


@pytest.mark.parametrize(("posts", "size"), [(10 / 60, 175_000), (1000 / 60, 175_000), (1.0, 500)])
def test_all_that_a_member_may_say_is_paid_for(posts: float, size: int) -> None:
    """Also where each post comes with keys for a full room, and half of them are sealed anew."""
    clock = Clock()
    bucket = Policy(round(1e6 * posts), 1e6, 1.0, 1.0, 0, 0, size).work_bucket()
    bucket._clock, bucket._at = clock, clock.now
    for _ in range(200):
        clock.now += 0.5 / posts
        bucket.spend(size + (protocol_limits.ROOM_MEMBERS - 1) * 2000)
        assert bucket.wait() < 4.0
    clock.now += 4.0
    assert bucket.wait() == 0.0


def in_debt(server: ChatServer, wire: Wire) -> TokenBucket:
    """This member has cost far more than its share; its account."""
    session = server._services.sessions.find(wire.identity.fingerprint)
    assert session is not None and session.bucket is not None
    session.bucket._clock = clock = Clock()
    session.bucket._at = clock.now
    session.bucket.spend(session.bucket._spare + 1000)
    return session.bucket


def test_whoever_is_in_debt_is_not_read_and_still_told(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it is out of it; then it has lost nothing.  Its thread sleeps meanwhile."""
    looked: list[float] = []
    look = ServerConnection._next_record

    def counted(self: ServerConnection, until: float) -> str | bytes | None:
        looked.append(until)
        return look(self, until)

    monkeypatch.setattr(ServerConnection, "_next_record", counted)
    alice, bob = wires(server, 0).join("alice"), wires(server, 1).join("bob")
    alice.entries(2)
    bucket = in_debt(server, alice)
    # It waits for this one, and finds then that it may not.
    alice.send(frames.Post(1, alice.at, 2, box()))
    alice.find(frames.Accepted)
    alice.send(frames.Post(2, alice.at, 2, box()))
    bob.post(2)
    bob.find(frames.Accepted)
    assert [type(entry) for entry in alice.entries(4)] == [frames.OwnPosted, frames.Posted]
    assert not [frame for frame in alice.waiting if isinstance(frame, frames.Accepted)]
    assert len(looked) < 100
    bucket._clock.now += 1e6  # type: ignore[attr-defined]
    assert alice.find(frames.Accepted) == frames.Accepted(2, 5)


def test_to_come_back_does_not_pay_a_debt(server: ChatServer, wires: Wires) -> None:
    alice = wires(server, 0).join("alice")
    bucket = in_debt(server, alice)
    alice.cut()
    back = wires(server, 0).join("alice", resume=alice.resume_point(1))
    assert back.entered is not None and back.entered.resumed
    session = server._services.sessions.find(back.identity.fingerprint)
    assert session is not None and session.bucket is bucket


@pytest.mark.parametrize("what", ["pings", "fragments", "values"])
def test_a_flood_waits_for_itself(
    serve: Serve, wires: Wires, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Within a message and between messages alike; the server can still say goodbye to it."""
    monkeypatch.setattr(limits, "WORK_A_SECOND", 1.0)
    monkeypatch.setattr(limits, "WORK_BURST", 100.0 * FRAGMENT_COST)
    server = serve(max_messages_per_window=1, rate_limit_window=86400.0)
    alice, bob = wires(server, 0).join("alice"), wires(server, 1).join("bob")
    alice.entries(2)
    session = server._services.sessions.find(alice.identity.fingerprint)
    assert session is not None and session.bucket is not None
    bucket = session.bucket
    if what == "values":
        alice.send(*[alice.seen(2)] * 250)
    else:
        part = masked(9, b"") if what == "pings" else masked(0, b"x", final=False)
        first = b"" if what == "pings" else masked(2, b"x", final=False)
        alice.peer._stream.sendall(first + part * 200)
    deadline = time.monotonic() + LONG
    pause = threading.Event()
    while not bucket.wait():
        assert time.monotonic() < deadline
        pause.wait(0.005)
    spent = bucket._spare
    alice.send(frames.Keys(alice.at, (wrap(bob.id),)))  # and this is not looked at any more
    bob.post(2)
    bob.entries(3)
    assert spent <= bucket._spare < 0
    server.stop()
    assert frames.Bye("shutdown") in alice.ended()
