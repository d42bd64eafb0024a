"""One acceptor works at a time, and whoever waits lets another work."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from protocol import frames
from protocol.link import ServerLink
from server import limits
from server.admission import AcceptSlot
from server.app import ChatServer
from tests.wire import LONG, UPGRADE, Raw, Wire

Wires = Callable[..., Wire]


def test_the_slot_is_one_thread_s_until_it_waits() -> None:
    """Also if what it waits for fails."""
    slot, order = AcceptSlot(), []
    worked = threading.Event()

    def work() -> None:
        with slot:
            order.append("another")
        worked.set()

    thread = threading.Thread(target=work)
    with slot:
        thread.start()
        order.append("first")
        with pytest.raises(OSError), slot.released():
            assert worked.wait(LONG)
            raise OSError
        assert not slot._lock.acquire(blocking=False)
        order.append("first again")
    thread.join(LONG)
    assert order == ["first", "another", "first again"]
    assert slot._lock.acquire(blocking=False)


def test_logins_at_once_take_turns(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many: members share the interpreter with one of them."""
    inside, most, lock = [0], [0], threading.Lock()
    key = ServerLink.key

    def counted(self: ServerLink, prs: bytes) -> Any:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        try:
            return key(self, prs)
        finally:
            with lock:
                inside[0] -= 1

    monkeypatch.setattr(ServerLink, "key", counted)
    with ThreadPoolExecutor(6) as pool:
        joined = list(pool.map(lambda n: wires(server, n).join(f"n{n}", f"room-{n}"), range(6)))
    assert len(joined) == 6 and most == [1]


def test_slow_strangers_hold_up_nobody(server: ChatServer, wires: Wires) -> None:
    """Each of them waits where a stranger can wait, and more than there are acceptors kept."""
    slow: list[Raw] = []
    for number in range(3 * limits.ACCEPTORS):
        slow.append(Raw(server.port))
        if number % 3:
            slow[-1].send(UPGRADE if number % 3 == 1 else UPGRADE[:20])
    alice = wires(server, 0).join("alice")
    alice.post(alice.entered.seq)  # type: ignore[union-attr]
    assert alice.find(frames.Accepted).ref == 1
    for raw in slow:
        raw.sock.close()


def test_who_waits_for_its_guess_has_no_slot(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A late answer holds up nobody else."""
    asked = threading.Event()

    def hold(_group: str) -> float:
        asked.set()
        return 10 * LONG

    monkeypatch.setattr(server._services.throttle, "hold", hold)
    monkeypatch.setattr(server._services.throttle, "release", lambda _group: None)
    eve = wires(server, 0, prs=bytes(32))
    eve.greet()
    eve.prove("eve")
    assert asked.wait(LONG)
    wires(server, 1).join("bob")


def test_a_peer_that_has_gone_before_it_had_an_address(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some systems accept such a one: it is let go, and nothing is printed."""
    closed: list[bool] = []

    class Gone:
        def close(self) -> None:
            closed.append(True)

    class Listening:
        def accept(self) -> tuple[Any, Any]:
            return Gone(), None

    with monkeypatch.context() as patched:
        patched.setattr(server._listener, "socket", Listening())
        with pytest.raises(ConnectionAbortedError):
            server._listener._next()
    assert closed == [True]
    wires(server, 0).join("alice")
