"""Strangers who cost more than they say, and members who are there no more: nobody is kept out."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from bench.members import Person
from protocol import limits as protocol_limits
from server import limits
from server.app import ChatServer
from tests.conftest import IdentityPool
from tests.test_server_connection import until
from tests.wire import LONG, UPGRADE, Raw, Wire, masked
from transport.server_websocket import ServerWebSocket

Wires = Callable[..., Wire]
Serve = Callable[..., ChatServer]
FLOODS = {
    "empty fragments": masked(0x1, b"", final=False) + masked(0x0, b"", final=False) * 100,
    "pings": masked(0x9, b"") * 100,
}
FLOOD = pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)


@pytest.fixture
def dropped(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """For each flooder, whether it was still there; and it would be kept for a day."""
    found: list[bool] = []
    drop = ServerWebSocket.drop

    def watched(self: ServerWebSocket, size: int, deadline: float) -> bool:
        assert size == limits.FLOODER_BYTES and deadline > time.monotonic() + 80_000
        found.append(drop(self, 1000, deadline))
        return found[-1]

    monkeypatch.setattr(ServerWebSocket, "drop", watched)
    monkeypatch.setattr(limits, "FLOODER_SECONDS", 86_400.0)
    yield found


@FLOOD
def test_a_flooder_is_kept_waiting(server: ChatServer, dropped: list[bool], flood: bytes) -> None:
    """Instead of coming anew; it is a stranger like others, and goes when it has to."""
    with Raw(server.port) as raw:
        raw.send(UPGRADE + flood + bytes(40_000))
        until(lambda: dropped == [True])
        raw.sock.settimeout(0.05)
        with pytest.raises(socket.timeout):
            raw.rest()
        assert server._services.connection_limits._strangers == 1
        connections = server._services.connection_limits
        others = [connections.admit("127.0.0.1") for _ in range(limits.UNPROVEN_OF_ADDRESS)]
        raw.sock.settimeout(LONG)
        assert raw.ended()
    for visitor in others:
        assert visitor is not None
        server._services.connection_limits.release(visitor)


@FLOOD
def test_a_flooder_that_goes_is_not_waited_for(
    server: ChatServer, dropped: list[bool], flood: bytes
) -> None:
    with Raw(server.port) as raw:
        raw.send(UPGRADE + flood)
        raw.sock.shutdown(socket.SHUT_WR)
        until(lambda: dropped == [False])
    until(lambda: server._services.connection_limits._open == 0)


def test_a_flooder_does_not_hold_up_stopping(server: ChatServer, dropped: list[bool]) -> None:
    with Raw(server.port) as raw:
        raw.send(UPGRADE + FLOODS["pings"] + bytes(40_000))
        until(lambda: dropped == [True])
        server.stop()
        assert server._services.connection_limits.wait_empty(0.0)


def test_a_room_full_of_the_dead_takes_the_living(
    server: ChatServer, pool: IdentityPool, prs: bytes, wires: Wires
) -> None:
    """Somebody logs in 256 times under new keys, and cuts the connection each time."""
    rooms, sessions = server._services.rooms, server._services.sessions
    bob = wires(server, 1).join("bob")

    def count() -> int:
        return sum(line.count for line in rooms.listing())

    def die(first: int) -> None:
        for number in range(first, first + 8):
            wire = Wire(server.port, Person(pool.keys), pool.keys, prs=prs)
            wire.join(f"dead-{number}")
            wire.cut()

    threads = [threading.Thread(target=die, args=(first,)) for first in range(0, 256, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count() == protocol_limits.ROOM_MEMBERS
    until(lambda: sum(each.lost_at is None for each in sessions.live()) == 1)
    for number in range(2, 5):
        wires(server, number).join(f"living-{number}")
        assert count() == protocol_limits.ROOM_MEMBERS
    assert {"bob", "living-2", "living-3", "living-4"} <= {each.nick for each in sessions.live()}
    bob.post(1)
