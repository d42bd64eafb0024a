"""How often a room changes: who waits, who is told, who goes first, and what is free."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from client import events
from protocol import frames
from server import limits
from server.app import ChatServer
from server.churn import ChurnLimiter
from tests.conftest import IdentityPool
from tests.faults import party, world
from tests.held import held
from tests.test_rate_limits import Clock
from tests.wire import LONG, Wire, box
from transport import Closed

Serve = Callable[..., ChatServer]
Wires = Callable[..., Wire]


class Bell(threading.Event):
    """Time goes by only where somebody waits."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self._clock.now += timeout
        return False


class Queue:
    """One room's changes with a clock of its own, and what its comers were told."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.churn = ChurnLimiter(self.clock)
        self.told: list[float] = []

    def change(self, group: str = "a", use: bool = True, **more: Any) -> float:
        """One that comes in, alone; what ``slot`` yields."""
        arguments = (group, Bell(self.clock), lambda: False, self.told.append)
        with self.churn.slot(*arguments, **more) as late:
            if use and not late:
                self.churn.count()
        return late


@pytest.fixture
def queue() -> Queue:
    return Queue()


def test_some_at_once_and_then_so_many_a_second(queue: Queue) -> None:
    start = queue.clock.now
    for _ in range(256):
        assert queue.change() == 0.0
    assert queue.clock.now == start and queue.told == []
    for _ in range(300):
        assert queue.change() == 0.0
    assert queue.clock.now - start == pytest.approx(10.0)
    assert queue.told == []  # each waited a thirtieth of a second
    assert held(queue.churn) == 0


def test_to_go_asks_nobody_and_counts(queue: Queue) -> None:
    """And who comes then waits, and is told how long."""
    start = queue.clock.now
    for _ in range(286):
        queue.churn.count()
    assert queue.change() == 0.0
    assert queue.clock.now - start == pytest.approx(31 / 30)
    assert queue.told == [pytest.approx(31 / 30)]


def test_nobody_waits_too_long(queue: Queue) -> None:
    """Also where more go meanwhile; debts have an end."""
    for _ in range(5000):
        queue.churn.count()
    late = queue.change(patience=5.0)
    assert late == pytest.approx(257 / 30) and queue.told == []
    assert queue.change(patience=10.0) == 0.0

    def go(_seconds: float) -> None:
        for _ in range(200):
            queue.churn.count()

    for _ in range(200):
        queue.churn.count()
    with queue.churn.slot("a", Bell(queue.clock), lambda: False, go, 8.0) as late:
        assert late == 8.0
    assert held(queue.churn) == 0


def test_a_place_that_is_not_used_is_the_next_ones(queue: Queue) -> None:
    for _ in range(256):
        queue.churn.count()
    start = queue.clock.now
    for _ in range(10):
        assert queue.change(use=False) == 0.0
    assert queue.change() == 0.0
    assert queue.clock.now - start == pytest.approx(1 / 30)


def test_whoever_is_over_waits_no_longer(queue: Queue) -> None:
    """Nor does whoever cannot be told, and neither stays in the line."""
    for _ in range(400):
        queue.churn.count()
    bell = threading.Event()
    told = threading.Event()
    over = [False]
    lates: list[float] = []

    def wait() -> None:
        tell = lambda _seconds: told.set()  # noqa: E731
        with queue.churn.slot("a", bell, lambda: over[0], tell) as late:
            lates.append(late)

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert told.wait(LONG)
    over[0] = True
    bell.set()
    waiting.join(LONG)
    assert lates == [limits.CHANGE_PATIENCE]

    def gone(_seconds: float) -> None:
        raise Closed

    with pytest.raises(Closed), queue.churn.slot("a", bell, lambda: False, gone):
        pass
    assert held(queue.churn) == 0
    assert queue.change() == 0.0


def test_addresses_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty of one address before one of another: that one is second, not last."""
    monkeypatch.setattr(limits, "CHANGE_BURST", 1.0)
    churn = ChurnLimiter()
    order: deque[str] = deque()
    with churn.slot("z", threading.Event(), lambda: False, lambda _: None) as late:
        assert not late  # while this place is held, nobody else gets one

        def come(group: str) -> None:
            bell = threading.Event()
            with churn.slot(group, bell, lambda: False, lambda _: None) as late:
                assert not late
                order.append(group)
                churn.count()

        threads = []
        for group in ["a"] * 20 + ["b"]:
            threads.append(threading.Thread(target=come, args=(group,)))
            threads[-1].start()
            pause = threading.Event()
            while held(churn) < len(threads):
                pause.wait(0.001)
        churn.count()
    for thread in threads:
        thread.join(LONG)
    assert len(order) == 21 and list(order)[:2].count("b") == 1


# A server


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rooms that change three times at once, and a server that tells of each moment's wait."""
    monkeypatch.setattr(limits, "CHANGE_BURST", 3.0)
    monkeypatch.setattr(limits, "CHANGE_WAIT_TOLD", 0.001)


def crowd(server: ChatServer) -> Clock:
    """As if so many had gone from the room just now that it may change four times later.

    From here on it lives by the clock that is returned.
    """
    room = server._services.rooms.find("default")
    assert room is not None
    clock = Clock()
    bucket = room.churn._bucket
    room.churn._clock = bucket._clock = clock
    bucket._at = clock.now
    for _ in range(10):
        room.churn.count()
    return clock


@pytest.mark.usefixtures("slow")
def test_whoever_comes_beyond_waits_and_is_told(serve: Serve, wires: Wires) -> None:
    server = serve()
    alice = wires(server, 0).join("alice")
    clock = crowd(server)
    bob = wires(server, 1)
    bob.greet()
    bob.prove("bob")
    assert bob.expect(frames.Wait).seconds == 0.2
    assert len(alice.waiting) == 0
    clock.now += 1.0
    bob.expect(frames.Welcome)
    assert bob.arrive().seq == 2
    alice.entries(2)
    # To come back in place is no change, and waits for none.
    crowd(server)
    alice.cut()
    back = wires(server, 0)
    back.greet()
    back.prove("alice", resume=alice.resume_point(2))
    back.expect(frames.Welcome)
    assert back.arrive().resumed


@pytest.mark.usefixtures("slow")
def test_a_rename_and_a_change_of_rooms_wait_too(serve: Serve, wires: Wires) -> None:
    """And what stood before them in the same record does not; a room of one's own is free."""
    server = serve()
    alice, bob = wires(server, 0).join("alice"), wires(server, 1).join("bob")
    alice.entries(2)
    carol = wires(server, 2).join("carol", "porch")
    clock = crowd(server)
    at = alice.at
    alice.send(frames.Post(1, at, 2, box()), frames.Nick(2, at, "alicia"), frames.ListRooms(3))
    assert isinstance(bob.entries(3)[0], frames.Posted)
    assert alice.find(frames.Accepted) == frames.Accepted(1, 3)
    assert alice.find(frames.Wait).seconds == 0.2
    clock.now += 1.0
    assert alice.find(frames.Accepted) == frames.Accepted(2, 4)
    assert alice.find(frames.RoomLines).ref == 3
    clock = crowd(server)
    carol.send(frames.Enter(1, "default", carol.at))
    carol.expect(frames.Wait)
    clock.now += 1.0
    assert carol.arrive().room == "default"
    crowd(server)
    bob.send(frames.Enter(1, "attic", bob.at), frames.Enter(2, "Attic"))
    assert bob.find(frames.Entered).room == "attic"
    assert [bob.find(frames.Accepted).ref for _ in range(2)] == [1, 2]


@pytest.mark.usefixtures("slow")
def test_whoever_would_wait_too_long_is_sent_away(
    serve: Serve, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the time to wait, and a ``ref`` where there is one; that costs no strike."""
    monkeypatch.setattr(limits, "CHANGE_PATIENCE", 0.1)
    server = serve()
    alice = wires(server, 0).join("alice")
    crowd(server)
    bob = wires(server, 1)
    bob.greet()
    bob.prove("bob")
    assert bob.refusal() == frames.Refused("rate_limited", retry_after=0.2)
    for ref in range(1, 6):
        alice.send(frames.Nick(ref, alice.at, "alicia"))
        assert alice.find(frames.Refused) == frames.Refused("rate_limited", ref, 0.2)
    alice.send(frames.ListRooms(9))
    assert alice.find(frames.RoomLines).of == 1
    assert held(server._services.sessions) == 1


@pytest.mark.usefixtures("slow")
def test_a_server_that_stops_keeps_nobody_waiting(serve: Serve, wires: Wires) -> None:
    server = serve()
    wires(server, 0).join("alice")
    crowd(server)
    bob = wires(server, 1)
    bob.greet()
    bob.prove("bob")
    bob.expect(frames.Wait)
    server.stop()
    assert bob.ended() in ([], [frames.Bye("shutdown")])
    assert held(server._services.sessions) <= 1


def test_the_real_client_says_what_it_waits_for(
    pool: IdentityPool, prs: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the door, and between rooms."""
    monkeypatch.setattr(limits, "CHANGE_BURST", 2.0)
    monkeypatch.setattr(limits, "CHANGES_A_SECOND", 1.0)
    with world(prs), party(pool, prs, 3) as group:

        def waited() -> int:
            notices = [each for person in group.people for each in person.all(events.Notice)]
            return sum("coming and going" in notice.text for notice in notices)

        assert waited() == 1
        told = [person for person in group.people if person.all(events.Notice)]
        # So there is a screen to say it on.
        assert [person.news[:2] for person in told] == [["waiting", "joined"]]
        for person in group.people:
            person.move("porch")
        group.wait(
            lambda: all(person.all(events.RoomEntered) for person in group.people), "moving"
        )
        assert waited() == 2
        group.settle("porch")
