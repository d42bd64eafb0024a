"""Connection limits: nobody can take every place, and every place comes back."""

from __future__ import annotations

import threading

import pytest

from server import limits
from server.admission import ConnectionLimits, Permit


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that a test can reach."""
    monkeypatch.setattr(limits, "CONNECTIONS", 6)
    monkeypatch.setattr(limits, "CONNECTIONS_OF_ADDRESS", 3)
    monkeypatch.setattr(limits, "UNPROVEN_OF_ADDRESS", 2)
    monkeypatch.setattr(limits, "UNPROVEN", 4)
    monkeypatch.setattr(limits, "LEAVING", 2)


class Door:
    """Connection limits, and which of those that came were told to make room."""

    def __init__(self) -> None:
        self.limits, self.cut, self.count = ConnectionLimits(), list[str](), 0

    def come(self, group: str, name: str = "") -> Permit | None:
        """One more; its name is its number unless it has one."""
        self.count += 1
        name = name or str(self.count)
        permit = self.limits.admit(group)
        if permit is not None:
            assert self.limits.attach(permit, lambda: self.cut.append(name))
        return permit

    def member(self, group: str) -> Permit:
        """One that has proven itself."""
        permit = self.come(group)
        assert permit is not None
        self.limits.authenticated(permit)
        return permit


@pytest.mark.usefixtures("small")
def test_the_oldest_stranger_of_an_address_makes_room() -> None:
    """Silence costs nothing, so it keeps nobody out."""
    door = Door()
    for _ in range(4):
        assert door.come("a")
    assert door.cut == ["1", "2"]


@pytest.mark.usefixtures("small")
def test_whoever_has_most_strangers_makes_room_for_others() -> None:
    """Two addresses full of silence, and a third one comes in."""
    door = Door()
    for group in "aabb":
        door.come(group)
    assert door.come("c") and door.cut == ["1"]
    assert door.come("d") and door.cut == ["1", "3"]


@pytest.mark.usefixtures("small")
def test_members_are_never_told_to_make_room() -> None:
    """An address has a share of them, and so have all."""
    door = Door()
    members = [door.member("a") for _ in range(3)]
    assert door.come("a") is None
    for _ in range(3):
        door.member("b")
    assert door.come("c") is None and door.cut == []
    door.limits.release(members[0])
    assert door.come("c") is not None


@pytest.mark.usefixtures("small")
def test_strangers_leave_room_for_members_of_their_address() -> None:
    """Together they are as many as one address may have."""
    door = Door()
    for _ in range(2):
        door.member("a")
    assert door.come("a", "old") and door.come("a", "new")
    assert door.cut == ["old"]


@pytest.mark.usefixtures("small")
def test_those_that_go_slowly_have_an_end_too() -> None:
    """Their threads and descriptors are there until they have noticed."""
    door = Door()
    came = [door.come(group) for group in "aabbccddee"]
    assert sum(each is not None for each in came) == 8
    assert len(door.cut) == 4


def test_one_that_was_told_to_go_before_it_could_be() -> None:
    """Between being counted and being there to be cut."""
    connections = ConnectionLimits()
    first = connections.admit("a")
    assert first is not None
    for _ in range(limits.UNPROVEN_OF_ADDRESS):
        assert connections.admit("a")
    assert not connections.attach(first, lambda: None)


@pytest.mark.usefixtures("small")
def test_every_place_comes_back() -> None:
    """However it was left, a thousand visits leave the limits as it was."""
    door = Door()
    for turn in range(1000):
        permit = door.member("a") if turn % 2 else door.come("a")
        assert permit is not None, turn
        door.limits.release(permit)
    assert door.cut == []
    connections = door.limits
    assert not connections._members_of and not connections._strangers_of
    assert connections._open == connections._members == connections._strangers == 0


@pytest.mark.usefixtures("small")
def test_one_that_was_told_to_go_is_counted_once() -> None:
    """Also if it proves itself in that very moment."""
    door = Door()
    for _ in range(3):
        door.come("a")
    late = door.come("a", "late")
    assert late is not None
    door.come("a")
    door.come("a")
    assert late.evicted
    door.limits.authenticated(late)
    door.limits.release(late)
    assert door.limits._members == 0 and door.limits._strangers == 2


@pytest.mark.usefixtures("small")
def test_one_that_comes_from_elsewhere_after_all() -> None:
    """A trusted proxy has told for whom it came: it is counted there, and only there."""
    door = Door()
    permit = door.come("proxy")
    assert permit is not None and door.limits.move(permit, "a")
    assert permit.group == "a" and set(door.limits._strangers_of) == {"a"}
    for _ in range(2):
        other = door.come("proxy")
        assert other is not None and door.limits.move(other, "a")
    assert door.cut == ["1"]  # the oldest of them makes room, as if they had come by themselves
    assert not door.limits.move(permit, "b")  # too late: it is on its way out
    door.limits.release(permit)
    assert door.limits._strangers == door.limits._open == 2


@pytest.mark.usefixtures("small")
def test_one_that_has_no_place_where_it_comes_from() -> None:
    """Full is full; it leaves nothing behind."""
    door = Door()
    members = [door.member("a") for _ in range(3)]
    permit = door.come("proxy")
    assert permit is not None and not door.limits.move(permit, "a")
    assert not door.limits._strangers_of and door.cut == []
    for each in (permit, *members):
        door.limits.release(each)
    assert door.limits._open == door.limits._members == door.limits._strangers == 0


def test_waiting_for_the_last_one() -> None:
    """Who waits is woken by the last to go."""
    connections = ConnectionLimits()
    assert connections.wait_empty(0.0)
    visitors = [connections.admit("a"), connections.admit("b")]
    assert not connections.wait_empty(0.0)
    waiting, done = threading.Event(), []

    def wait() -> None:
        waiting.set()
        done.append(connections.wait_empty(20.0))

    thread = threading.Thread(target=wait)
    thread.start()
    waiting.wait()
    for permit in visitors:
        assert permit is not None
        connections.release(permit)
    thread.join()
    assert done == [True]
