"""Who is here: nicknames, grace, and connections that take each other's place."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from functools import partial

import pytest

from protocol import frames
from protocol.errors import NickLost, NickTaken
from protocol.keys import Bundle, Recipient
from server import handshake, limits
from server.broadcast import Receiver, SendQueue
from server.member import Member
from server.rooms import Room, Rooms
from server.sessions import ServerSession, Sessions
from tests.held import held
from tests.test_broadcast import Peer
from tests.test_rate_limits import Clock
from tests.transport_kit import Task
from tests.wire import LONG, box

GRACE = 60.0


def bundle(number: int) -> Bundle:
    """Somebody's public keys."""
    return Bundle(Recipient(bytes(256), bytes(1216)), number.to_bytes(32, "big"), 0, 0, bytes(64))


class House:
    """Sessions, rooms, and a clock that stands still."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.rooms: Rooms[Receiver] = Rooms()
        self.changed: list[Room[Receiver]] = []
        self.sessions = Sessions(self.rooms, self.changed.append, GRACE, self.clock)
        self._number = 0

    def session(self, nick: str, number: int = 0, token_id: str | None = None) -> ServerSession:
        """A new one, with keys of its own unless ``number`` says whose."""
        self._number += 1
        session = ServerSession(nick, bundle(number or 1000 + self._number), token_id)
        self.sessions.add(session)
        return session

    def connected(
        self, nick: str, number: int = 0, rooms: Sequence[str] = ("tea",)
    ) -> tuple[ServerSession, Peer]:
        """One in these rooms and with a connection."""
        session, peer = self.session(nick, number), Peer()
        with session.lock:
            members = [self.sessions.enter_room(session, room)[0] for room in rooms]
            session.queue = SendQueue(peer.seal, peer, self.changed.append)
            session.queue.attach(members, [])
        return session, peer

    def lose(self, session: ServerSession) -> SendQueue:
        """Its connection breaks; the queue that it had."""
        queue = session.queue
        assert queue is not None
        assert self.sessions.lose(session, queue)
        return queue


def place(session: ServerSession) -> Member[Receiver]:
    """Its one place."""
    (member,) = session.members.values()
    return member


@pytest.fixture
def house() -> House:
    """An empty one."""
    return House()


# Nicknames


def test_a_nickname_is_one_session(house: House) -> None:
    """However it is written."""
    house.session("Alice")
    for nick in ("Alice", "alice", "ALICE", "\uff21lice"):
        with pytest.raises(NickTaken):
            house.session(nick)
    assert held(house.sessions) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [("ace", "\u0430\u0441\u0435"), ("alice", "aIice"), ("bob1", "bobl"), ("m0m", "rnom")],
)
def test_a_nickname_that_looks_like_anothers_is_refused(
    house: House, one: str, other: str
) -> None:
    """Either way round, also to who is here already; and it is free once the other has gone."""
    for present, wanted in ((one, other), (other, one)):
        session, third = house.session(present), house.session("third")
        with pytest.raises(NickTaken):
            house.session(wanted)
        with pytest.raises(NickTaken):
            house.sessions.rename(third, wanted)
        assert third.nick == "third" and held(house.sessions) == 2
        house.sessions.end(session)
        house.sessions.rename(third, wanted)
        house.sessions.end(third)


def test_renaming_to_a_look_alike_of_ones_own(house: House) -> None:
    """Is nobody else's business; and what the old one alone looked like is free."""
    alice = house.session("aIice")
    house.sessions.rename(alice, "alice")
    assert alice.nick == "alice"
    other = house.session("aiice")
    with pytest.raises(NickTaken):
        house.sessions.rename(alice, "aIice")
    house.sessions.end(other)
    house.sessions.rename(alice, "aIice")
    house.sessions.end(alice)
    assert house.sessions._by_look == {}


def test_an_identity_is_one_session(house: House) -> None:
    """Under whatever nickname; nothing is left of the refused one."""
    house.session("alice", 7)
    with pytest.raises(NickTaken):
        house.session("bob", 7)
    house.session("bob", 8)


def test_finding_by_fingerprint(house: House) -> None:
    """Connected or in its grace, and not once it is over."""
    session, _ = house.connected("alice")
    print_ = session.bundle.fingerprint
    assert house.sessions.find(print_) is session
    house.lose(session)
    assert house.sessions.find(print_) is session
    house.sessions.end(session)
    assert house.sessions.find(print_) is None
    assert house.sessions.find(bytes(32)) is None


def test_renaming(house: House) -> None:
    """The new one is taken, the old one free; a taken one stays whose it is."""
    alice, bob = house.session("alice"), house.session("bob")
    with pytest.raises(NickTaken):
        house.sessions.rename(alice, "BOB")
    assert (alice.nick, bob.nick) == ("alice", "bob")
    house.sessions.rename(alice, "carol")
    house.session("alice")
    with pytest.raises(NickTaken):
        house.session("carol")


def test_renaming_to_the_same_in_other_letters(house: House) -> None:
    """Is nobody else's business."""
    alice = house.session("alice")
    house.sessions.rename(alice, "Alice")
    assert alice.nick == "Alice"
    with pytest.raises(NickTaken):
        house.session("alice")
    house.sessions.end(alice)
    house.session("alice")


def test_ending_frees_the_nickname_that_it_has_now(house: House) -> None:
    """Not the one that it came with."""
    alice = house.session("alice")
    house.sessions.rename(alice, "carol")
    other = house.session("alice")
    house.sessions.end(alice)
    assert house.sessions.live() == [other]
    house.session("carol")


# Ending


def test_ending_leaves_the_room(house: House) -> None:
    """Once, and the room hears of it."""
    alice, _ = house.connected("alice")
    bob, peer = house.connected("bob")
    room = place(alice).room
    house.sessions.end(alice)
    house.sessions.end(alice)
    assert alice.over and house.changed == [room]
    room.round()
    bob.deliver(room.number)
    left = json.dumps(peer.records).count('"left"')
    assert left == 1
    house.sessions.end(bob)
    assert held(house.rooms) == 0 and held(house.sessions) == 0


def test_ending_leaves_all_rooms(house: House) -> None:
    """Each hears of it; those that nobody else is in are gone."""
    alice, _ = house.connected("alice", rooms=["tea", "coffee", "lab"])
    bob, peer = house.connected("bob", rooms=["lab", "tea"])
    assert [room.name for room in alice.rooms()] == ["tea", "coffee", "lab"]
    assert [room.name for room in bob.rooms()] == ["tea", "lab"]  # by their age
    house.sessions.end(alice)
    assert [room.name for room in house.changed] == ["tea", "coffee", "lab"]
    assert held(house.rooms) == 2
    for room in bob.rooms():
        room.round()
        bob.deliver(room.number)
    assert json.dumps(peer.records).count('"left"') == 2
    assert {frame["at"] for frame in peer.frames()} == {1, 3}


def test_leaving_one_room(house: House) -> None:
    """The session, and its other rooms, go on."""
    alice, _ = house.connected("alice", rooms=["tea", "coffee"])
    with alice.lock:
        house.sessions.leave_room(alice, alice.members[1])
    assert [room.name for room in house.changed] == ["tea"] and not alice.over
    assert [room.name for room in alice.rooms()] == ["coffee"] and held(house.rooms) == 1


def test_ending_before_there_is_a_room(house: House) -> None:
    """Frees the name all the same."""
    session = house.session("alice")
    house.sessions.end(session)
    assert held(house.sessions) == 0 and house.changed == []


def test_ending_tells_the_connection_why(house: House) -> None:
    """In the same step: no frame of its connection can come between the end and the reason."""
    session, _ = house.connected("alice")
    told: list[tuple[str, bool]] = []
    session.close_connection = lambda reason: told.append((reason, session.lock.locked()))
    house.sessions.end(session, reason="revoked")
    house.sessions.end(session, reason="replaced")
    assert told == [("revoked", True)]


def test_many_ends_at_once_are_one(house: House) -> None:
    """From as many threads as like."""
    alice, _ = house.connected("alice")
    house.connected("bob")
    start = threading.Barrier(8)

    def end() -> None:
        start.wait(LONG)
        house.sessions.end(alice)

    threads = [threading.Thread(target=end) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(house.changed) == 1
    assert place(alice).room.count() == 1


# Grace


def test_a_lost_connection_keeps_its_place(house: House) -> None:
    """For the grace, to the second; then it is over."""
    session, _ = house.connected("alice")
    house.clock.now += 5.0
    house.lose(session)
    assert house.sessions.sweep() == GRACE
    house.clock.now += 59.0
    assert house.sessions.sweep() == 1.0
    assert not session.over
    with pytest.raises(NickTaken):
        house.session("alice")
    house.clock.now += 1.0
    assert house.sessions.sweep() is None
    assert session.over and held(house.sessions) == 0 and held(house.rooms) == 0


def test_sweeping_says_when_the_next_is_due(house: House) -> None:
    """The nearest of all, and nothing for those with a connection."""
    one, two = house.connected("one")[0], house.connected("two")[0]
    house.connected("three")
    assert house.sessions.sweep() is None
    house.lose(one)
    house.clock.now += 20.0
    house.lose(two)
    assert house.sessions.sweep() == 40.0
    house.clock.now += 40.0
    assert house.sessions.sweep() == 20.0
    assert one.over and not two.over


def test_losing_a_connection_that_was_replaced(house: House) -> None:
    """The old one's end is no news: another has its place already."""
    session, _ = house.connected("alice")
    old = session.queue
    assert old is not None
    session.queue = SendQueue(Peer().seal, Peer(), house.changed.append)
    assert not house.sessions.lose(session, old)
    assert session.lost_at is None and session.queue is not None


def test_losing_a_connection_of_a_session_that_is_over(house: House) -> None:
    """No grace begins."""
    session, _ = house.connected("alice")
    queue = session.queue
    assert queue is not None
    house.sessions.end(session)
    session.queue = queue
    assert not house.sessions.lose(session, queue)
    assert session.lost_at is None


def test_a_grace_that_ended_by_coming_back_is_not_swept(house: House) -> None:
    """The expiry thread looked, then it came back, then it acted: too late."""
    session, _ = house.connected("alice")
    house.lose(session)
    lost_at = session.lost_at
    session.lost_at = None
    house.sessions.end(session, lost_at)
    assert not session.over


def test_one_grace_after_another(house: House) -> None:
    """The second counts from its own beginning."""
    session, _ = house.connected("alice")
    house.lose(session)
    house.clock.now += 50.0
    session.lost_at = None
    session.queue = SendQueue(Peer().seal, Peer(), house.changed.append)
    house.lose(session)
    house.clock.now += 50.0
    assert house.sessions.sweep() == 10.0
    assert not session.over


def test_a_grace_makes_room_for_the_living(house: House) -> None:
    """The oldest of the address that holds most; nobody who is connected, and no other room's."""
    for number, group in enumerate(["b", "a", "a", "c"]):
        session, _peer = house.connected(f"ghost-{number}")
        session.group = group
        house.clock.now += 1.0
        house.lose(session)
    living, _peer = house.connected("living")
    living.group = "a"
    assert not house.sessions.make_room(Room("another"))
    gone = []
    while house.sessions.make_room(place(living).room):
        left = {session.nick for session in house.sessions.live()}
        gone.append({f"ghost-{number}" for number in range(4)} - left)
    assert [sorted(each)[-1] for each in gone] == ["ghost-1", "ghost-1", "ghost-2", "ghost-3"]
    assert [len(each) for each in gone] == [1, 2, 3, 4]
    assert [session.nick for session in house.sessions.live()] == ["living"]


def test_whoever_is_away_makes_room_in_any_of_its_rooms(house: House) -> None:
    """Not in one that it is not in; and it gives up the others, too."""
    ghost, _ = house.connected("ghost", rooms=["tea", "coffee", "lab"])
    house.connected("living", rooms=["coffee", "porch"])
    house.lose(ghost)
    porch, lab = house.rooms.find("porch"), house.rooms.find("lab")
    assert not house.sessions.make_room(porch)
    assert house.sessions.make_room(lab)
    assert ghost.over and house.rooms.find("lab") is None and house.rooms.find("tea") is None


def test_what_is_said_during_a_grace_waits(house: House) -> None:
    """Delivering to somebody without a connection does nothing, and takes nothing."""
    alice, _ = house.connected("alice")
    bob, _ = house.connected("bob")
    house.lose(bob)
    room, member = place(bob).room, place(bob)
    seq = room.post(place(alice), frames.Post(1, 1, 2, box()))
    room.round()
    bob.deliver(room.number)
    assert member.cursor == 2
    assert room.resume(member, 2, 0)
    taken = room.take(member)
    assert isinstance(taken, list) and json.loads(taken[0])["to"] == seq


def test_a_pump_that_comes_late_takes_nothing_from_who_came_back(house: House) -> None:
    """It looked at the connection, which broke; what it then sends there is not lost."""
    alice, _ = house.connected("alice")
    bob, _ = house.connected("bob")
    late = bob.queue  # the broadcaster has got this far
    house.lose(bob)
    room, member = place(bob).room, place(bob)
    assert late is not None
    assert room.resume(member, 2, 0)
    peer = Peer()
    bob.queue = SendQueue(peer.seal, peer, house.changed.append)
    bob.queue.attach([member], [])
    seq = room.post(place(alice), frames.Post(1, 1, 2, box()))
    room.round()
    late.deliver(room.number)
    bob.deliver(room.number)
    assert peer.numbers() == [seq]


# Tokens


# A place that is taken over


def test_a_lost_holder_is_told_apart_with_the_seconds_left(house: House) -> None:
    session, _ = house.connected("Alice")
    house.lose(session)
    house.clock.now += 20.04
    with pytest.raises(NickLost) as lost:
        house.session("alice")
    assert lost.value.params == {"retry_after": 40.0}
    house.clock.now += 39.97
    with pytest.raises(NickLost) as lost:  # it is over, and nobody has swept yet
        house.session("alice")
    assert lost.value.params == {"retry_after": 0.1}
    house.sessions.sweep()
    house.session("alice")


def test_a_lost_holder_beside_a_live_one_is_no_hope(house: House) -> None:
    session, _ = house.connected("a1ice")
    house.lose(session)
    house.connected("bob")
    with pytest.raises(NickLost):
        house.session("alice")
    with pytest.raises(NickTaken) as taken:
        house.session("BOB")
    assert not isinstance(taken.value, NickLost)


@pytest.mark.parametrize("lost", [True, False])
def test_a_token_takes_its_own_place(house: House, lost: bool) -> None:
    old, _ = house.connected("alice")
    old.token_id = "t"
    told: list[str] = []
    old.close_connection = told.append
    room = place(old).room
    if lost:
        house.lose(old)
        old.close_connection = told.append
    new = ServerSession("alice", bundle(7), "t")
    house.sessions.take_over(new)
    assert old.over and told == ["taken_over"]
    assert house.sessions.live() == [new]
    assert house.changed[-1] is room and room.count() == 0
    assert house.sessions.is_displaced(old.bundle.fingerprint)
    assert not house.sessions.is_displaced(new.bundle.fingerprint)


def test_a_token_does_not_take_anothers_place(house: House) -> None:
    """Not even if it is of the same nickname: whoever was there first stays."""
    old, _ = house.connected("alice")
    with pytest.raises(NickTaken):
        house.sessions.take_over(ServerSession("alice", bundle(7), "t"))
    assert house.sessions.live() == [old] and not old.over
    assert not house.sessions.is_displaced(old.bundle.fingerprint)


def test_an_identity_is_not_displaced_by_itself(house: House) -> None:
    old = house.session("alice", 7, "t")
    house.sessions.take_over(ServerSession("alice", bundle(7), "t"))
    assert old.over and not house.sessions.is_displaced(old.bundle.fingerprint)


def test_the_displaced_are_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TAKEN_OVER", 2)
    for number in range(1, 5):
        house.sessions.take_over(ServerSession("alice", bundle(number), "t"))
    found = [house.sessions.is_displaced(bundle(number).fingerprint) for number in range(1, 5)]
    assert found == [False, True, True, False]


def test_taking_over_at_once(house: House) -> None:
    """However many come at once, one has the place and nobody is refused."""
    new = [ServerSession("alice", bundle(number), "t") for number in range(1, 9)]
    tasks = [Task(partial(house.sessions.take_over, session)) for session in new]
    for task in tasks:
        task.result()
    (holder,) = house.sessions.live()
    assert [session for session in new if not session.over] == [holder]


def test_sessions_of_a_token(house: House) -> None:
    """All of them, and no others."""
    house.session("alice")
    held = house.session("bob", token_id="t1")
    house.session("carol", token_id="t2")
    assert house.sessions.with_token("t1") == [held]
    house.sessions.end(held)
    assert house.sessions.with_token("t1") == []


# Answers


def test_first_answers_are_kept(house: House) -> None:
    """For as many as a client can have open, and no more."""
    session = house.session("alice")
    for ref in range(1, limits.ANSWERS + 11):
        session.answer(ref, b"%d" % ref)
    assert session.taken == limits.ANSWERS + 10
    assert session.answered(10) is None
    assert session.answered(11) == b"11"
    assert len(session._answers) == limits.ANSWERS


# At once


def test_coming_and_going_at_once(house: House) -> None:
    """Eight threads over three nicknames: never two of one name, and nothing is left."""
    inside: dict[str, int] = {}
    lock = threading.Lock()
    wrong: list[str] = []

    def visit(number: int) -> None:
        for turn in range(60):
            nick = "abc"[(number + turn) % 3]
            try:
                session, _ = house.connected(nick, number=number * 1000 + turn + 1)
            except NickTaken:
                continue
            with lock:
                inside[nick] = inside.get(nick, 0) + 1
                if inside[nick] > 1:
                    wrong.append(nick)
            house.lose(session)
            with lock:
                inside[nick] -= 1
            house.sessions.end(session)

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert held(house.sessions) == 0 and held(house.rooms) == 0


def test_who_comes_back_while_its_old_connection_leaves_a_room_is_not_disturbed_by_that(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its stays are looked at without the session's lock, which a frame may have."""
    session, _peer = house.connected("ann", rooms=("tea", "ops"))
    (tea, ops) = session.rooms()
    rooms = ServerSession.rooms

    def left_meanwhile(self: ServerSession) -> list[Room[Receiver]]:
        found = rooms(self)
        self.members.pop(ops.number, None)
        return found

    monkeypatch.setattr(ServerSession, "rooms", left_meanwhile)
    stays = [frames.Stay("tea", tea.log_id, 1, 0), frames.Stay("ops", ops.log_id, 1, 0)]
    found = handshake._match(session, stays)
    assert [(each.room, each.member is not None) for each in found][0] == ("tea", True)
