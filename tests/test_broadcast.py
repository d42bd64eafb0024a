"""From rooms' logs to members' links: nobody waits, nothing stays behind, records stay small."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import frames
from protocol import limits as protocol_limits
from protocol.keys import Bundle, Recipient
from protocol.records import Sealer
from server import limits
from server.broadcast import Broadcaster, PendingRoster, Receiver, Reply, SendQueue, entered
from server.member import Member
from server.rooms import Room, Rooms, Snapshot
from tests.stub_websocket import StubWebSocket
from tests.test_rate_limits import Clock
from tests.wire import LONG, box, wrap
from transport import Closed

BUNDLE = Bundle(Recipient(bytes(256), bytes(1216)), bytes(32), 0, 0, bytes(64))
_ids = iter(range(1, 1 << 30))


class Peer(StubWebSocket):
    """A socket that takes everything, or nothing more once it is full; and the link on it."""

    def __init__(self) -> None:
        self.records: list[list[Any]] = []
        self.full_after: int | None = None  # records that it takes, from now on
        self.closed = False
        self.wakes = 0
        self.on_send: Callable[[], None] = lambda: None

    def seal(self, encoded: Iterable[bytes], /) -> bytes:
        """What Sealer does, without the sealing."""
        assert self.backlog == 0, "sealed before the socket has taken the rest"
        return b"[%s]" % b",".join(encoded)

    def send(self, data: str | bytes) -> None:
        """Take a record."""
        if self.closed:
            raise Closed()
        self.on_send()
        self.records.append(json.loads(data))
        if self.full_after is not None:
            self.full_after -= 1
            if self.full_after <= 0:
                self.backlog = len(data)

    def flush(self, deadline: float = 0.0) -> None:
        """The network has taken all."""
        self.backlog, self.full_after = 0, None

    def wake(self) -> None:
        """Count it."""
        self.wakes += 1

    def abort(self) -> None:
        """Nothing more is taken."""
        self.closed = True

    def frames(self) -> list[Any]:
        """All frames of all records."""
        return [frame for record in self.records for frame in record]

    def numbers(self) -> list[int]:
        """The numbers of the log entries."""
        logs = [frame for frame in self.frames() if frame["type"] == "log"]
        return [entry["seq"] for log in logs for entry in log["entries"]]


class Someone:
    """A member with a queue: what the broadcaster finds in a room."""

    def __init__(self, room: Room[Receiver], on_rejoin: Callable[[Any], None] | None = None):
        self.peer = Peer()
        self.room = room
        self.rejoined: list[Any] = []
        self.queue = SendQueue(self.peer.seal, self.peer, on_rejoin or self.rejoined.append)
        self.member: Member[Receiver] = Member(self, next(_ids), "someone", BUNDLE)
        self.snapshot = room.join(self.member)

    def deliver(self, at: int = 1) -> None:
        """As a session with a connection, in a round of its own."""
        self.room.round()
        self.queue.deliver(at)

    def attach(self, *replies: bytes) -> Someone:
        """Its own thread has come so far."""
        self.queue.attach([self.member], replies)
        return self


def post(someone: Someone, change: int, size: int = 5, ref: int = 1) -> frames.Post:
    """A post of ``size`` bytes."""
    return frames.Post(ref, 1, change, box(b"g" * size))


@pytest.fixture
def room() -> Room[Receiver]:
    """An empty room."""
    return Room("tea", 1)


@pytest.fixture
def broadcaster() -> Iterable[Broadcaster]:
    """A running broadcaster."""
    made = Broadcaster()
    made.start()
    yield made
    made.stop()


def reply(number: int) -> bytes:
    """An answer to something."""
    return frames.Accepted(number).encode()


# Outlets


def test_nothing_is_sent_before_it_is_attached(room: Room[Receiver]) -> None:
    """The broadcaster passes a member by until its own thread has written `welcome`."""
    alice = Someone(room)
    room.post(alice.member, post(alice, 1))
    alice.deliver()
    assert alice.peer.records == []
    alice.attach(b'{"type":"welcome"}')
    alice.deliver()
    assert [frame["type"] for frame in alice.peer.frames()] == ["welcome", "log"]


def test_replies_come_before_slices(room: Room[Receiver]) -> None:
    """In the order in which they were given."""
    alice = Someone(room).attach(reply(1))
    room.post(alice.member, post(alice, 1))
    alice.queue.reply(reply(2), reply(3))
    alice.deliver()
    frames_sent = alice.peer.frames()
    assert [frame.get("ref") for frame in frames_sent[:3]] == [1, 2, 3]
    assert frames_sent[3]["type"] == "log"


def test_nothing_new_sends_nothing(room: Room[Receiver]) -> None:
    """No empty records."""
    alice = Someone(room).attach()
    alice.deliver()
    alice.deliver()
    assert alice.peer.records == [] and alice.peer.wakes == 0


def test_a_full_socket_is_left_to_its_own_thread(room: Room[Receiver]) -> None:
    """Nothing more is sealed; that thread is woken, and goes on where it was."""
    alice, bob = Someone(room).attach(), Someone(room).attach()
    alice.deliver()
    bob.peer.full_after = 1
    change = bob.member.joined
    for _ in range(3):
        room.post(alice.member, post(alice, change))
        bob.deliver()
    alice.deliver()
    assert bob.peer.numbers() == [3] and bob.peer.wakes >= 1
    assert alice.peer.numbers() == [2, 3, 4, 5]
    bob.peer.flush()
    bob.deliver()
    assert bob.peer.numbers() == [3, 4, 5]
    assert len(bob.peer.records) == 2  # what came meanwhile is one


def test_a_closed_peer_hurts_nobody(room: Room[Receiver]) -> None:
    """Its own thread finds out; it can come back and gets all again."""
    alice, bob = Someone(room).attach(), Someone(room).attach()
    bob.peer.closed = True
    seq = room.post(alice.member, post(alice, 2))
    bob.deliver()
    alice.deliver()
    assert alice.peer.numbers() == [2, seq]
    bob.peer.closed = False
    assert room.resume(bob.member, bob.member.joined, 0)
    bob.deliver()
    assert bob.peer.numbers() == [seq]


def test_after_detaching_no_slice_goes_out(room: Room[Receiver]) -> None:
    """The cursor belongs to another connection; what was said to this one still goes."""
    alice = Someone(room).attach()
    room.post(alice.member, post(alice, 1))
    alice.queue.detach()
    alice.queue.reply(reply(1))
    alice.deliver()
    assert [frame["type"] for frame in alice.peer.frames()] == ["accepted"]
    assert alice.member.cursor == alice.member.joined


def test_detaching_forgets_what_waits_to_be_sealed(room: Room[Receiver]) -> None:
    """A large post that was taken for the old connection is not sent on it."""
    alice = Someone(room).attach()
    bob = Someone(room).attach()
    alice.deliver()
    alice.peer.full_after = 1
    alice.queue.reply(reply(1))
    room.post(bob.member, post(bob, 2, size=50_000))
    alice.deliver()
    assert alice.member.cursor == 3
    alice.queue.detach()
    alice.peer.flush()
    alice.deliver()
    assert "posted" not in json.dumps(alice.peer.records)
    assert room.resume(alice.member, 2, 0)
    alice.attach()
    alice.deliver()
    assert alice.peer.numbers() == [2, 3]


def test_changing_rooms(room: Room[Receiver]) -> None:
    """What the old room still had to say is over; the new one begins with its replies."""
    other: Room[Receiver] = Room("coffee", 2)
    alice = Someone(room).attach()
    room.post(alice.member, post(alice, 1))
    second: Member[Receiver] = Member(alice, next(_ids), "alice", BUNDLE)
    snapshot = other.join(second)
    alice.queue.attach([second], entered(snapshot, 7), leave=alice.member)
    alice.room = other
    other.post(second, post(alice, 1, ref=9))
    alice.deliver()
    kinds = [frame["type"] for frame in alice.peer.frames()]
    assert kinds == ["entered", "roster", "log"]
    assert alice.peer.frames()[0]["ref"] == 7
    assert alice.peer.frames()[2]["entries"] == [{"type": "own_posted", "seq": 2, "ref": 9}]


def test_falling_behind_is_told_with_a_roster(
    room: Room[Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`entered` with what was missed, the roster, then the log goes on; the others hear."""
    monkeypatch.setattr(protocol_limits, "LOG_ENTRIES", 4)
    alice, bob = Someone(room).attach(), Someone(room).attach()
    for _ in range(10):
        room.post(alice.member, post(alice, 2))
        alice.deliver()
    bob.deliver()
    first, second = bob.peer.frames()
    assert first["type"] == "entered" and first["missed"] == 10 and not first["resumed"]
    assert second["type"] == "roster" and len(second["members"]) == first["members"] == 2
    assert bob.rejoined == [room]
    room.post(alice.member, post(alice, first["seq"]))
    bob.deliver()
    assert bob.peer.numbers() == [first["seq"] + 1]


def test_the_others_hear_of_a_rejoin_though_its_connection_breaks(
    room: Room[Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry is in the log: the room is marked whatever became of the snapshot."""
    monkeypatch.setattr(protocol_limits, "LOG_ENTRIES", 4)
    alice, bob = Someone(room).attach(), Someone(room).attach()
    for _ in range(10):
        room.post(alice.member, post(alice, 2))
    bob.peer.closed = True
    bob.deliver()
    assert bob.rejoined == [room]


def encoded(replies: Iterable[Reply]) -> list[bytes]:
    """All frames of these, as they would go out."""
    found: list[bytes] = []
    for each in replies:
        while isinstance(each, PendingRoster) and not each.over:
            found.append(each.frame())
        if isinstance(each, bytes):
            found.append(each)
    return found


def test_a_roster_is_split(room: Room[Receiver]) -> None:
    """Into frames of about the size of a record, none empty, all members once."""
    for number in range(protocol_limits.ROOM_MEMBERS - 1):
        Someone(room).member.nick = f"n{number}"
    found = encoded(entered(Someone(room).snapshot, 3))
    assert json.loads(found[0])["members"] == protocol_limits.ROOM_MEMBERS
    parts = [json.loads(each)["members"] for each in found[1:]]
    assert len(parts) > 5 and all(parts)
    ids = [line["id"] for part in parts for line in part]
    assert len(set(ids)) == len(ids) == protocol_limits.ROOM_MEMBERS
    assert all(len(each) <= limits.ROSTER_BYTES + 100 for each in found)


def test_an_empty_roster_is_one_frame() -> None:
    """Whoever counts frames is not left waiting."""
    found = encoded(entered(Snapshot(1, "tea", bytes(16), 1, 1, 0, [])))
    assert [json.loads(each)["type"] for each in found] == ["entered", "roster"]


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(["post", "own", "wrap", "private", "reply", "deliver"]),
                  st.sampled_from([10, 500, 5000, 20_000, 45_000, 60_000])),
        max_size=40,
    )
)  # fmt: skip
def test_records_stay_under_their_size(steps: list[tuple[str, int]]) -> None:
    """Whatever is mixed: under 64 KB sealed, or one frame with one post in it."""
    room: Room[Receiver] = Room("tea", 1)
    alice, bob = Someone(room).attach(), Someone(room).attach()
    sealer = Sealer(bytes(32))
    sealed: list[tuple[int, list[bytes]]] = []

    def seal(encoded: Iterable[bytes]) -> bytes:
        parts = list(encoded)
        sealed.append((len(sealer.seal(parts)), parts))
        return b"[%s]" % b",".join(parts)

    alice.peer.seal = seal  # type: ignore[method-assign]
    change = bob.member.joined
    for number, (step, size) in enumerate(steps, 1):
        if step == "post":
            room.post(bob.member, post(bob, change, size))
        elif step == "own":
            room.post(alice.member, post(alice, change, size))
        elif step == "wrap":
            room.hold_wrap(bob.member, wrap(alice.member.id, number))
            room.post(bob.member, frames.Post(1, 1, change, box(epoch=number)))
        elif step == "private":
            told = frames.Private(1, 1, change, wrap(alice.member.id), box(b"g" * size))
            room.send_private(bob.member, told)
        elif step == "reply":
            alice.queue.reply(*[reply(1)] * (size // 100))
        else:
            alice.deliver()
    alice.deliver()
    assert alice.member.cursor == room._seq and not alice.member.private.waiting
    for size, parts in sealed:
        alone = len(parts) == 1 and parts[0].count(b'"box"') <= 1
        assert size <= protocol_limits.RECORD_BYTES or alone, (size, [len(each) for each in parts])


def test_many_replies_and_a_slice_are_two_records(room: Room[Receiver]) -> None:
    """Each of them may be as large as a record should be."""
    alice = Someone(room).attach()
    for _ in range(2):
        room.post(alice.member, post(alice, 1))
    bob = Someone(room).attach()
    bob.deliver()
    room.post(alice.member, post(alice, bob.member.joined, size=39_000))
    bob.queue.reply(*[reply(1)] * 1000)
    bob.deliver()
    replies, log = bob.peer.records
    assert len(replies) == 1000 and [frame["type"] for frame in log] == ["log"]


# Lost wake-ups: a thread is stopped at a point, and another comes by


class Pause:
    """Stops whoever comes to it until it is told to go on; only the first time."""

    def __init__(self) -> None:
        self.reached, self._go_on, self._used = threading.Event(), threading.Event(), False

    def __call__(self) -> None:
        if not self._used:
            self._used = True
            self.reached.set()
            assert self._go_on.wait(LONG)

    def wait(self) -> None:
        """Until somebody stands here."""
        assert self.reached.wait(LONG)

    def go_on(self) -> None:
        """Let it go."""
        self._go_on.set()


class PausingLock:
    """A lock at which its holder pauses before, or after, letting go."""

    def __init__(self, before: Callable[[], None], after: Callable[[], None]) -> None:
        self._lock, self._before, self._after = threading.Lock(), before, after

    def acquire(self, blocking: bool = True) -> bool:
        """As the lock's."""
        return self._lock.acquire(blocking)

    def release(self) -> None:
        """As the lock's, with the pauses."""
        self._before()
        self._lock.release()
        self._after()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@pytest.mark.parametrize("point", ["sending", "nothing left", "letting go", "let go"])
def test_no_wake_up_is_lost(room: Room[Receiver], point: str) -> None:
    """Wherever the holder stands when the next post comes, both posts go out, once, in order.

    The second thread never waits: it finds the lock taken, leaves its mark and goes.
    """
    alice = Someone(room).attach()
    pause = Pause()
    nothing = lambda: None  # noqa: E731
    if point == "sending":
        alice.peer.on_send = pause
    elif point == "nothing left":
        look = room.take

        def looked(member: Member[Receiver]) -> list[bytes] | Snapshot:
            taken = look(member)
            assert not member.more
            pause()
            return taken

        room.take = looked  # type: ignore[method-assign]
    else:
        points = (pause, nothing) if point == "letting go" else (nothing, pause)
        alice.queue._lock = PausingLock(*points)  # type: ignore[assignment]
    room.post(alice.member, post(alice, 1))
    holder = threading.Thread(target=alice.deliver)
    holder.start()
    pause.wait()
    room.post(alice.member, post(alice, 1))
    alice.deliver()  # returns, though the holder stands still
    pause.go_on()
    holder.join(LONG)
    assert alice.peer.numbers() == [2, 3]


def test_many_threads_deliver_one_order(room: Room[Receiver]) -> None:
    """Posting and delivering from everywhere at once: each entry once, in order."""
    alice = Someone(room).attach()
    others = [Someone(room).attach() for _ in range(3)]
    change = others[-1].member.joined

    def work(someone: Someone) -> None:
        for _ in range(100):
            room.post(someone.member, post(someone, change))
            alice.deliver()

    threads = [threading.Thread(target=work, args=(someone,)) for someone in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert alice.peer.numbers() == list(range(2, change + 301))


# Several rooms on one link


class Guest:
    """Somebody in several rooms, by one queue; ``deliver`` is a session's."""

    def __init__(self, rooms: Sequence[Room[Receiver]], peer: Peer | None = None) -> None:
        self.peer = peer or Peer()
        self.queue = SendQueue(self.peer.seal, self.peer, lambda room: None)
        self.members: list[Member[Receiver]] = []
        self.come_into(*rooms)

    def come_into(self, *rooms: Room[Receiver]) -> None:
        """Be in these, too."""
        members = [Member[Receiver](self, next(_ids), "guest", BUNDLE) for _ in rooms]
        for room, member in zip(rooms, members, strict=True):
            room.join(member)
        self.members += members
        self.queue.attach(members, [])

    def deliver(self, at: int) -> None:
        """As a session with a connection."""
        self.queue.deliver(at)


def house(count: int) -> list[Room[Receiver]]:
    """So many rooms, with numbers from 1 on."""
    return [Room(f"room-{number}", number) for number in range(1, count + 1)]


def say(room: Room[Receiver], size: int = 5) -> int:
    """Somebody else posts something there, and a round begins; its number."""
    writer: Member[Receiver] = Member(None, next(_ids), "writer", BUNDLE)  # type: ignore[arg-type]
    room.join(writer)
    seq = room.post(writer, frames.Post(1, room.number, writer.joined, box(b"g" * size)))
    room.leave(writer)
    room.round()
    return seq


def places(records: Iterable[list[Any]]) -> list[int]:
    """The rooms that these records are of."""
    return [frame["at"] for record in records for frame in record if frame["type"] == "log"]


def test_rooms_take_turns() -> None:
    """One in which there is no end of talk gets a record, and then the others have one."""
    noisy, *quiet = house(4)
    guest = Guest([noisy, *quiet])
    guest.queue.deliver()
    guest.peer.records.clear()
    guest.peer.full_after = 1
    for _ in range(12):
        say(noisy, size=30_000)
    guest.deliver(noisy.number)
    for room in quiet:
        say(room)
        guest.deliver(room.number)
    while guest.peer.backlog:
        guest.peer.flush()
        guest.peer.full_after = 1
        guest.queue.deliver()
    found = places(guest.peer.records)
    assert found[:5] == [1, 1, 2, 3, 4]  # the second before anything was said in the others
    assert found.count(noisy.number) == 12 and len(found) == 15


def test_two_noisy_rooms_share() -> None:
    """Record by record."""
    rooms = house(2)
    guest = Guest(rooms)
    guest.queue.deliver()
    guest.peer.records.clear()
    for room in rooms:
        for _ in range(5):
            say(room, size=30_000)
    guest.peer.backlog = 1
    for room in rooms:
        guest.deliver(room.number)
    guest.peer.flush()
    guest.queue.deliver()
    assert places(guest.peer.records) == [1, 2] * 5


def test_idle_rooms_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, a delivery looks into the room that it is for, and no other."""
    rooms = house(16)
    guest = Guest(rooms)
    guest.queue.deliver()
    looked: list[int] = []
    take = Room.take

    def counted(self: Room[Receiver], member: Member[Receiver]) -> list[bytes] | Snapshot:
        looked.append(self.number)
        return take(self, member)

    monkeypatch.setattr(Room, "take", counted)
    say(rooms[7])
    guest.deliver(8)
    assert looked == [8]
    guest.queue.reply(reply(1))
    guest.queue.deliver()
    assert looked == [8] and guest.peer.records[-1][0]["ref"] == 1


def test_marks_do_not_gather_while_nothing_is_taken() -> None:
    """A full socket has each room once in its turns, whatever is posted meanwhile."""
    rooms = house(3)
    guest = Guest(rooms)
    guest.queue.deliver()
    guest.peer.backlog = 1
    for _ in range(100):
        for room in rooms:
            guest.deliver(room.number)
    assert len(guest.queue._turns) == 3


def test_nothing_comes_between_entered_and_its_roster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the roster takes several records and another room is talking."""
    monkeypatch.setattr(protocol_limits, "LOG_ENTRIES", 12)
    rooms = house(2)
    for _ in range(60):
        rooms[0].join(Member(None, next(_ids), "someone", BUNDLE))  # type: ignore[arg-type]
    guest = Guest(rooms)
    guest.queue.deliver()
    guest.peer.records.clear()
    for _ in range(5):
        say(rooms[0])
    for _ in range(3):
        say(rooms[1], size=30_000)
        guest.peer.backlog = 1
        guest.deliver(1)
        guest.deliver(2)
        guest.peer.flush()
        guest.peer.full_after = 1
        guest.queue.deliver()
    guest.peer.flush()
    guest.queue.deliver()
    came = iter(guest.peer.frames())
    rosters = 0
    for frame in came:
        left = frame["members"] if frame["type"] == "entered" else 0
        while left:
            left -= len(next(came)["members"])  # a KeyError if it is no roster
            rosters += 1
    assert rosters > 3 and 2 in places(guest.peer.records)


def test_a_room_that_was_left_is_over() -> None:
    """What it still had to say does not come; one that is entered again begins anew."""
    rooms = house(2)
    guest = Guest(rooms)
    guest.queue.deliver()
    guest.peer.records.clear()
    guest.peer.backlog = 1
    for room in rooms:
        say(room)
        guest.deliver(room.number)
    guest.queue.forget(guest.members[0])
    guest.queue.reply(reply(1))
    guest.peer.flush()
    guest.queue.deliver()
    assert [frame["type"] for frame in guest.peer.frames()] == ["accepted", "log"]
    assert places(guest.peer.records) == [2]
    guest.deliver(1)  # a round of it that had begun before
    rooms[0].leave(guest.members[0])
    guest.come_into(rooms[0])
    seq = say(rooms[0])
    guest.deliver(1)
    assert guest.peer.frames()[-1]["to"] >= seq


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("point", ["looking", "nothing left", "sending", "letting go", "let go"])
def test_no_wake_up_of_another_room_is_lost(point: str, same: bool) -> None:
    """Wherever the holder stands when something is posted in its room, or in another one."""
    rooms = house(2)
    guest = Guest(rooms)
    guest.queue.deliver()
    guest.peer.records.clear()
    pause, nothing = Pause(), lambda: None
    if point in ("looking", "nothing left"):
        look = rooms[0].take

        def looked(member: Member[Receiver]) -> list[bytes] | Snapshot:
            if point == "looking":
                pause()
                return look(member)
            taken = look(member)
            pause()
            return taken

        rooms[0].take = looked  # type: ignore[method-assign]
    elif point == "sending":
        guest.peer.on_send = pause
    else:
        points = (pause, nothing) if point == "letting go" else (nothing, pause)
        guest.queue._lock = PausingLock(*points)  # type: ignore[assignment]
    first = say(rooms[0])
    holder = threading.Thread(target=guest.deliver, args=(1,))
    holder.start()
    pause.wait()
    other = rooms[0] if same else rooms[1]
    second = say(other)
    guest.deliver(other.number)  # returns at once, though the holder stands still
    pause.go_on()
    holder.join()
    reached = {frame["at"]: frame["to"] for frame in guest.peer.frames()}
    assert reached[1] >= first and reached[other.number] >= second


class Moody(Peer):
    """A socket that is full now and then, and whose own thread then has to go on."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self.woken = threading.Event()

    def send(self, data: str | bytes) -> None:
        """Take a record, and perhaps no more."""
        super().send(data)
        if self._chance.random() < 0.3:
            self.backlog = 1

    def wake(self) -> None:
        """Its own thread is to flush."""
        self.woken.set()


class Traveller(Guest):
    """A guest whose connection breaks now and then, and who goes on in all rooms then."""

    def __init__(self, rooms: Sequence[Room[Receiver]], seed: int) -> None:
        self._chance = random.Random(seed)
        self.got: dict[int, list[int]] = {room.number: [] for room in rooms}
        self.current: SendQueue | None = None
        super().__init__(rooms, Moody(self._chance))
        self.current = self.queue
        self.over = False

    def deliver(self, at: int) -> None:
        """As a session: there may be no connection just now."""
        queue = self.current
        if queue is not None:
            queue.deliver(at)

    def live(self) -> None:
        """Its own thread: what the socket did not take, and now and then a new connection."""
        while not self.over:
            assert isinstance(self.peer, Moody)
            if self.peer.woken.wait(0.001):
                self.peer.woken.clear()
                self.peer.flush()
                self.queue.deliver()
            if self._chance.random() < 0.02:
                self.come_back()

    def come_back(self) -> None:
        """The connection breaks; a new one goes on where this one had come to."""
        self.current = None
        self.queue.detach()
        self.keep()
        for member in self.members:
            got = self.got[member.room.number]
            assert member.room.resume(member, got[-1] if got else member.joined, 0)
        self.peer = Moody(self._chance)
        self.queue = SendQueue(self.peer.seal, self.peer, lambda room: None)
        self.queue.attach(self.members, [])
        self.current = self.queue
        self.queue.deliver()

    def keep(self) -> None:
        """Remember what has come on this connection."""
        for frame in self.peer.frames():
            self.got[frame["at"]] += [entry["seq"] for entry in frame["entries"]]
        self.peer.records.clear()


@pytest.mark.parametrize("seed", range(6))
def test_everything_comes_once_and_in_order_whatever_threads_do(
    broadcaster: Broadcaster, seed: int
) -> None:
    """Posts, rounds, full sockets and lost connections at once; nobody asks again at the end."""
    rooms = house(4)
    travellers = [Traveller(rooms, seed * 10 + number) for number in range(3)]
    starts = {room.number: room._seq for room in rooms}

    def write(number: int) -> None:
        chance = random.Random(seed * 10 + 5 + number)
        for ref in range(1, 1001):
            room = chance.choice(rooms)
            member = travellers[number].members[room.number - 1]
            room.post(member, frames.Post(ref, room.number, starts[room.number], box()))
            broadcaster.mark(room)

    threads = [threading.Thread(target=traveller.live) for traveller in travellers]
    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in (*threads, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    try:
        for traveller in travellers:
            for member in traveller.members:
                until(lambda who=member: who.cursor == who.room._seq)  # type: ignore[misc]
    finally:
        for traveller in travellers:
            traveller.over = True
        for thread in threads:
            thread.join()
    for traveller in travellers:
        traveller.keep()
        for member in traveller.members:
            last = member.room._seq
            assert traveller.got[member.room.number] == list(range(member.joined + 1, last + 1))


# The broadcaster


class Crowd:
    """A room as the broadcaster sees it: whoever is there, and what happens when one is served."""

    number = 1

    def __init__(self, *served: Callable[[], None], is_large: bool = False) -> None:
        self.rounds, self.is_large = 0, is_large
        self._served = served

    def round(self) -> list[Any]:
        """A round begins."""
        self.rounds += 1
        return [_Served(each) for each in self._served]


class _Served:
    def __init__(self, serve: Callable[[], None]) -> None:
        self._serve = serve

    def deliver(self, at: int) -> None:
        """Its turn."""
        assert at == Crowd.number
        self._serve()


def test_the_pump_delivers_to_everyone(room: Room[Receiver], broadcaster: Broadcaster) -> None:
    """Also past one whose socket is full, and past one that has gone."""
    people = [Someone(room).attach() for _ in range(5)]
    change = people[-1].member.joined
    for someone in people:
        someone.deliver()
        someone.peer.records.clear()
    full, gone = people[1], people[2]
    full.peer.backlog = 1
    gone.peer.closed = True
    arrived = threading.Semaphore(0)
    for someone in people:
        someone.peer.on_send = arrived.release
    seq = room.post(people[0].member, post(people[0], change))
    broadcaster.mark(room)
    for _ in range(3):
        assert arrived.acquire(timeout=LONG)
    for someone in (people[0], people[3], people[4]):
        until(lambda who=someone: who.peer.numbers() == [seq])  # type: ignore[misc]
    assert full.peer.records == [] and gone.peer.records == []
    full.peer.flush()
    full.deliver()
    assert full.peer.numbers() == [seq]


def until(condition: Callable[[], bool]) -> None:
    """Wait for another thread's last step."""
    pause = threading.Event()
    for _ in range(20_000):
        if condition():
            return
        pause.wait(0.001)
    raise AssertionError("never came true")


def test_one_room_is_in_one_round_at_a_time(broadcaster: Broadcaster) -> None:
    """Marks during a round make one more, not one each, and not one beside it."""
    inside, most, lock = [0], [0], threading.Lock()
    pause = Pause()

    def serve() -> None:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        pause()
        with lock:
            inside[0] -= 1

    crowd: Any = Crowd(serve, serve)
    broadcaster.mark(crowd)
    pause.wait()
    for _ in range(10):
        broadcaster.mark(crowd)
    pause.go_on()
    broadcaster.stop()
    assert most == [1]
    assert crowd.rounds == 2


def test_who_has_time_makes_the_round() -> None:
    """No thread is woken for it; if one is under way, that is followed by another."""
    broadcaster, by = Broadcaster(), []
    crowd: Any = Crowd(lambda: by.append(threading.current_thread()))
    broadcaster.broadcast(crowd)  # nobody else does: the broadcaster has not been started
    assert by == [threading.main_thread()]
    broadcaster.start()
    pause = Pause()
    busy: Any = Crowd(pause)
    broadcaster.mark(busy)
    pause.wait()
    broadcaster.broadcast(busy)
    assert busy.rounds == 1
    pause.go_on()
    broadcaster.stop()
    assert busy.rounds == 2


def test_who_comes_soon_after_another_is_told_of_later(room: Room[Receiver]) -> None:
    """Of the first each member hears at once, of all that come in the moment after it together."""
    clock = Clock()
    broadcaster = Broadcaster(clock=clock)
    alice = Someone(room).attach()

    def come() -> bool:
        Someone(room)
        return broadcaster.tell_joined(room)

    assert not come() and alice.peer.numbers() == [2]
    assert come()
    clock.now += limits.JOINS_SHARE_SECONDS * 0.9
    assert come() and alice.peer.numbers() == [2]
    broadcaster.mark_late()
    broadcaster.mark_late()
    assert next_rounds(broadcaster) == 1
    assert alice.peer.records[1][0]["to"] == 4 and alice.peer.numbers() == [2, 3, 4]
    assert come(), "the moment begins anew"
    clock.now += limits.JOINS_SHARE_SECONDS * 1.1
    assert not come() and alice.peer.numbers() == [2, 3, 4, 5, 6]
    broadcaster.mark_late()
    assert next_rounds(broadcaster) == 0


def next_rounds(broadcaster: Broadcaster) -> int:
    """Make the rounds that wait for a thread; how many."""
    count = broadcaster._small.qsize()
    for _ in range(count):
        waiting = broadcaster._small.get()
        assert waiting is not None
        broadcaster._rounds(waiting)
    return count


def test_whatever_else_is_told_brings_who_came(room: Room[Receiver]) -> None:
    """A round goes up to the log's end; and for what stands in no log one is made."""
    broadcaster = Broadcaster()
    alice = Someone(room).attach()
    Someone(room)
    assert not broadcaster.tell_joined(room)
    for number, bring in enumerate((broadcaster.mark, broadcaster.hurry)):
        Someone(room)
        assert broadcaster.tell_joined(room)
        bring(room)
        broadcaster.hurry(room)
        broadcaster.mark_late()
        assert next_rounds(broadcaster) == 1
        assert alice.peer.numbers()[-1] == 3 + number


@pytest.mark.parametrize("is_large", [False, True], ids=["small", "large"])
def test_a_large_room_in_a_round_does_not_hold_up_another(
    broadcaster: Broadcaster, is_large: bool
) -> None:
    """There is another thread for it."""
    pause, done = Pause(), threading.Event()
    slow: Any = Crowd(pause, is_large=True)
    quick: Any = Crowd(done.set, is_large=is_large)
    broadcaster.mark(slow)
    pause.wait()
    broadcaster.mark(quick)
    assert done.wait(LONG)
    pause.go_on()


def test_small_rooms_are_one_threads(broadcaster: Broadcaster) -> None:
    """It takes the next one when it is ready, and nobody is woken to take it from there."""
    pause, done, by = Pause(), threading.Event(), list[str]()
    slow: Any = Crowd(pause, lambda: by.append(threading.current_thread().name))
    quick: Any = Crowd(lambda: by.append(threading.current_thread().name), done.set)
    broadcaster.mark(slow)
    pause.wait()
    broadcaster.mark(quick)
    pause.go_on()
    assert done.wait(LONG)
    assert by == ["broadcaster-1"] * 2


def test_a_room_in_which_there_is_no_end_of_talk_lets_others_have_a_round() -> None:
    """The thread that made its round makes the next, too, unless others wait for it."""
    broadcaster, order = Broadcaster(threads=1), list[str]()
    pause = Pause()
    quick: Any = Crowd(lambda: order.append("quick"))

    def talk() -> None:
        order.append("busy")
        if len(order) == 1:
            pause()
        if order.count("busy") < 4:
            broadcaster.mark(busy)

    busy: Any = Crowd(talk)
    broadcaster.start()
    broadcaster.mark(busy)
    pause.wait()
    broadcaster.mark(quick)
    pause.go_on()
    until(lambda: order.count("busy") == 4)
    broadcaster.stop()
    assert order == ["busy", "quick", "busy", "busy", "busy"]


def test_after_a_round_a_mark_makes_another(broadcaster: Broadcaster) -> None:
    """Also when the first has long been over."""
    served = threading.Semaphore(0)
    crowd: Any = Crowd(served.release)
    for _ in range(3):
        broadcaster.mark(crowd)
        assert served.acquire(timeout=LONG)
        until(lambda: crowd not in broadcaster._queued)
    assert crowd.rounds == 3


def test_stopping_drains() -> None:
    """What was marked before is delivered, also what was marked during a round."""
    broadcaster = Broadcaster(threads=2)
    pause = Pause()
    first: Any = Crowd(pause)
    others: list[Any] = [Crowd(lambda: None) for _ in range(20)]
    broadcaster.start()
    broadcaster.mark(first)
    pause.wait()
    for crowd in others:
        broadcaster.mark(crowd)
    broadcaster.mark(first)
    stopping = threading.Thread(target=broadcaster.stop)
    stopping.start()
    until(lambda: broadcaster._stopping)
    pause.go_on()
    stopping.join(LONG)
    assert [crowd.rounds for crowd in others] == [1] * 20
    assert first.rounds == 2
    assert not any(thread.is_alive() for thread in broadcaster._threads)


def test_a_rejoin_reaches_the_others_through_the_pump(
    room: Room[Receiver], broadcaster: Broadcaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds itself that somebody fell behind, and tells those it had served before."""
    monkeypatch.setattr(protocol_limits, "LOG_ENTRIES", 4)
    alice = Someone(room, broadcaster.mark).attach()
    bob = Someone(room, broadcaster.mark).attach()
    bob.peer.backlog = 1
    for _ in range(10):
        room.post(alice.member, post(alice, 2))
        alice.deliver()
    bob.peer.flush()
    bob.deliver()
    until(lambda: room._seq in alice.peer.numbers())
    assert json.dumps(alice.peer.records).count('"rejoined"') == 1


def test_a_failing_member_does_not_end_the_pump(monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure is reported, and other rooms, and this one later, are delivered to."""
    told: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_type))
    delivered = threading.Semaphore(0)

    class Failing:
        def __init__(self) -> None:
            self.failed = False

        def deliver(self, at: int) -> None:
            if not self.failed:
                self.failed = True
                raise ZeroDivisionError
            delivered.release()

    rooms: Rooms[Receiver] = Rooms()
    room = rooms.enter("a", Failing(), "alice", BUNDLE)[0].room
    broadcaster = Broadcaster(1)
    broadcaster.start()
    broadcaster.mark(room)
    other = Failing()
    other.failed = True
    second = rooms.enter("b", other, "bob", BUNDLE)[0].room
    broadcaster.mark(second)
    assert delivered.acquire(timeout=10)
    broadcaster.mark(room)
    assert delivered.acquire(timeout=10)
    broadcaster.stop()
    assert told == [ZeroDivisionError]
