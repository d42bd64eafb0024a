"""The mirrors of a node: each is made once, stays as long as somebody needs it, and then goes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from protocol.errors import Unavailable
from server.cluster import limits
from server.cluster.keys import Incarnation
from server.cluster.mirror import MirrorRoom
from server.cluster.rooms import ClusterRooms
from server.cluster.script import ScriptCall
from server.member import Member
from tests.recorded_room import bundle
from tests.test_server_connection import until

SOON = 5.0  # seconds; only against hanging
NODE = Incarnation("p:", "e", "n", 1000)


class Pokes:
    """A writer of which nothing is wanted but that it is asked."""

    def __init__(self) -> None:
        self.asked: list[ScriptCall] = []

    def submit(self, call: ScriptCall, on_done: Callable[[Any], None]) -> None:
        """Remember it."""
        self.asked.append(call)


@pytest.fixture
def pokes() -> Pokes:
    """What the reader was woken by."""
    return Pokes()


@pytest.fixture
def broken() -> list[str]:
    """Owners whose mirrors were discarded."""
    return []


@pytest.fixture
def rooms(pokes: Pokes, broken: list[str]) -> ClusterRooms[str]:
    """No mirror yet."""
    return ClusterRooms(pokes, lambda: NODE, lambda _member: None, broken.append)  # type: ignore[arg-type]


def make(rooms: ClusterRooms[str], key: str = "tea") -> MirrorRoom[str]:
    """A loaded mirror, for the one in ``opening``."""
    room = rooms.add(key, key.title(), 7, b"l" * 16)
    room.load(1, [])
    return room


def come(rooms: ClusterRooms[str], owner: str, member_id: int = 1) -> Member[str]:
    """The first one in a room."""
    member = Member(owner, 0, owner, bundle(member_id))
    with rooms.opening("tea") as room:
        assert room is None
        made = make(rooms)
        told = made.join_at(member, member_id, 1, 0.0)
        assert [line.id for line in told.members] == [member_id]
    return member


def test_a_mirror_goes_with_its_last_member(rooms: ClusterRooms[str]) -> None:
    """And not as long as somebody is about to come in."""
    assert rooms.find("tea") is None
    member = come(rooms, "anna")
    room = rooms.find("TEA")
    assert room is member.room and rooms.all() == [room] == [rooms.follow("tea")]
    assert room.round() == ["anna"]
    with rooms.opening("tea") as found:
        assert found is room
        rooms.drop(member)
        assert rooms.find("tea") is room
    assert rooms.find("tea") is None and rooms.all() == []
    assert room.count() == 1, "it is still in the room, and no longer this node's"


def test_an_expected_member_keeps_it(rooms: ClusterRooms[str]) -> None:
    """Its script is under way."""
    first = come(rooms, "anna")
    expected = Member("ben", 0, "ben", bundle(2))
    with rooms.opening("tea") as room:
        assert room is not None
        room.expect(expected)
    rooms.drop(first)
    assert rooms.find("tea") is room
    room.expect_no_more(expected)
    with rooms.opening("tea"):
        pass
    assert rooms.find("tea") is None


def test_one_makes_it_and_others_wait(rooms: ClusterRooms[str]) -> None:
    """Any number of them at once, then."""
    met = threading.Barrier(3)
    found: list[MirrorRoom[str] | None] = []

    def wait() -> None:
        with rooms.opening("tea") as room:
            found.append(room)
            met.wait(SOON)  # all three are in there at the same time

    waiting = [threading.Thread(target=wait) for _ in range(2)]
    with rooms.opening("tea") as room:
        assert room is None
        for each in waiting:
            each.start()
        until(lambda: rooms._slots["tea"].users == 3)
        made = make(rooms)
        assert rooms.find("tea") is None and found == [], "nobody sees it before it is whole"
    with rooms.opening("tea"):
        met.wait(SOON)
        for each in waiting:
            each.join(SOON)
        assert found == [made, made]
    assert rooms.find("tea") is None


def test_where_one_fails_the_next_one_makes_it(rooms: ClusterRooms[str]) -> None:
    """Whatever the first one had begun is of no use."""
    half: list[MirrorRoom[str]] = []
    made: list[MirrorRoom[str]] = []
    kept = Member("ben", 0, "ben", bundle(2))

    def second() -> None:
        with rooms.opening("tea") as room:
            assert room is None
            made.append(make(rooms))
            made[0].join_at(kept, 2, 1, 0.0)

    next_one = threading.Thread(target=second)
    with pytest.raises(ZeroDivisionError), rooms.opening("tea"):
        half.append(make(rooms))
        next_one.start()
        until(lambda: rooms._slots["tea"].users == 2)
        raise ZeroDivisionError
    next_one.join(SOON)
    assert made and rooms.find("tea") is made[0] is not half[0]
    with pytest.raises(Unavailable):
        half[0].wait_for(2, SOON)
    with rooms.opening("coffee") as room:
        assert room is None  # it was refused
    assert list(rooms._slots) == ["tea"]


def test_nobody_waits_for_ever(rooms: ClusterRooms[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine may be away while a mirror is made."""
    monkeypatch.setattr(limits, "ROOM_SECONDS", 0.01)
    refused: list[bool] = []

    def second() -> None:
        with pytest.raises(Unavailable), rooms.opening("tea"):
            pass
        refused.append(True)

    with rooms.opening("tea"):
        other = threading.Thread(target=second)
        other.start()
        other.join(SOON)
    assert refused and not rooms._slots


def test_what_came_before_it_was_open_is_looked_at_then(
    rooms: ClusterRooms[str], pokes: Pokes
) -> None:
    """The reader passes it over, and is woken for it; else nobody is woken."""
    member = Member("anna", 0, "anna", bundle(1))
    with rooms.opening("tea"):
        assert rooms.follow("tea") is None
        make(rooms).join_at(member, 1, 1, 0.0)
        assert rooms.follow("tea") is None and rooms.take_unread() == set()
    assert rooms.take_unread() == {"tea"} and rooms.take_unread() == set()
    assert len(pokes.asked) == 1 and b"tea" in pokes.asked[0].packed
    assert rooms.follow("tea") is member.room
    assert rooms.follow("coffee") is None
    with rooms.opening("coffee"):
        rooms.find("coffee")
        make(rooms, "coffee")
    assert len(pokes.asked) == 1, "who only asks whether there is one does not count"


def test_a_mirror_of_no_use_is_nobodys(rooms: ClusterRooms[str], broken: list[str]) -> None:
    """Its members' connections end; whoever comes next makes another one, also meanwhile."""
    member = come(rooms, "anna")
    first = rooms.find("tea")
    assert first is not None
    with rooms.opening("tea") as room:
        assert room is first
        rooms.discard(first)
        assert broken == ["anna"] and rooms.find("tea") is None
        second = come(rooms, "ben", 2)
    rooms.drop(member)
    assert rooms.find("tea") is second.room
    rooms.discard(first)
    assert rooms.find("tea") is second.room
    rooms.discard_all()
    assert rooms.all() == [] and broken == ["anna", "ben"], "anna has gone"
    rooms.drop(second)
