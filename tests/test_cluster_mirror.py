"""Mirrors: what a room's members get from the log alone is what the room itself gives them."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import frames, limits
from protocol.errors import Gone, RateLimited, Repeated, Stale, Unavailable, Unexpected
from server.cluster.entries import LogEntry, Nonsense, read_log, read_private
from server.cluster.mirror import Gap, MirrorRoom
from server.member import Member
from server.rooms import Snapshot
from tests.recorded_room import RecordedRoom, bundle, follow, mirror_of, raw
from tests.wire import box, wrap

SOON = 5.0  # seconds; only against hanging
_ids = itertools.count(1)


def shown(taken: list[bytes] | Snapshot) -> Any:
    """What ``take`` gave, so that two of them can be compared."""
    if isinstance(taken, Snapshot):
        return [*taken[:-1], [line.encode() for line in taken.members]]
    return taken


def got(taken: list[bytes] | Snapshot) -> Any:
    """The only frame in it, as JSON."""
    assert not isinstance(taken, Snapshot)
    [frame] = taken
    return json.loads(frame)


class Pair:
    """A member of the room itself, and the same one in its mirror."""

    def __init__(self, room: RecordedRoom[str], mirror: MirrorRoom[str]) -> None:
        number = next(_ids)
        self.room, self.mirror = room, mirror
        self.real = Member(f"owner-{number}", number, f"nick-{number}", bundle(number))
        self.ours = Member(self.real.owner, 0, self.real.nick, self.real.bundle)
        self.seq = self.number = 0  # what its client has

    def join(self) -> None:
        """Come in on both sides; what it is told is the same."""
        self.mirror.expect(self.ours)
        told = self.room.join(self.real)
        follow(self.mirror, self.room)
        seen = self.mirror.arrive(self.ours, self.real.id, told.seq, SOON)
        assert shown(seen) == shown(told)
        self.begin(told)

    def begin(self, told: Snapshot) -> None:
        """A newcomer, now."""
        self.seq, self.number = told.seq, self.real.private.number

    def take(self, arrives: bool = True) -> None:
        """What one gets, the other gets: perhaps only after it was asked to begin anew."""
        ours = self.mirror.take(self.ours)
        taken = self.room.take(self.real)
        if isinstance(taken, Snapshot):
            assert ours == []
            follow(self.mirror, self.room)
            ours = self.mirror.take(self.ours)
            assert shown(ours) == shown(taken)
            self.begin(taken)
            return
        assert ours == taken and self.ours.more == self.real.more
        if arrives:
            for frame in map(json.loads, taken):
                self.seq = frame.get("to", self.seq)
                self.number = frame.get("number", self.number)

    def confirm(self) -> None:
        """Its client says how far it is."""
        self.room.confirm(self.real, self.seq, self.number)
        self.mirror.confirm(self.ours, self.seq, self.number)
        kept = self.room.private.get(self.real.id, [])[:]
        self.room.private[self.real.id] = [
            each for each in kept if read_private(each).number > self.number
        ]

    def move(self) -> None:
        """Its connection is lost; it comes back where the mirror knows nothing of it."""
        resumed = self.room.resume(self.real, self.seq, self.number)
        for each in (self.room, self.mirror):
            each._slices.clear()  # where they are cut is no part of it, and a mirror may begin anew
        self.mirror.drop(self.ours)
        self.ours = self.mirror.return_of(
            self.real.owner, self.real.id, self.real.bundle, None, self.number, self.real.posted
        )
        self.mirror.put_private(self.real.id, self.room.waiting(self.real.id, self.number))
        kept = [entry.seq for entry in self.room._log if self.seq < entry.seq < self.mirror.first]
        if kept:
            self.mirror.prepend(self.room.log(kept[0] - 1, kept[-1]))
        if resumed:
            assert self.mirror.resume(self.ours, self.seq, self.number)
            return
        self.mirror.stand_at(self.ours, self.seq)
        told = self.room.begin_anew(self.real, self.seq, self.number)
        follow(self.mirror, self.room)
        seen = self.mirror.arrive(self.ours, self.real.id, told.seq, SOON)
        assert shown(seen) == shown(told)
        self.begin(told)


class Play:
    """A room, a mirror where all its members are, and one where nobody is."""

    def __init__(self) -> None:
        self.room: RecordedRoom[str] = RecordedRoom("tea", 7)
        self.behind: list[Member[str]] = []
        self.mirror = mirror_of(self.room, self.behind)
        self.far = mirror_of(self.room)
        self.pairs: list[Pair] = []
        self.refs = 0

    def step(self, action: str, who: int, amount: int) -> None:
        """One of the actions, by one of the members."""
        if action == "join" or not self.pairs:
            if len(self.pairs) < 5:
                self.pairs.append(Pair(self.room, self.mirror))
                self.pairs[-1].join()
            return
        pair, other = self.pairs[who % len(self.pairs)], self.pairs[amount % len(self.pairs)]
        getattr(self, "do_" + action)(pair, other, amount)

    def follow(self) -> None:
        """The mirrors hear of all that there is."""
        follow(self.mirror, self.room)
        follow(self.far, self.room)
        lines = [member.line().encode() for member in self.room._members.values()]
        for mirror in (self.mirror, self.far):
            assert mirror.seq == self.room._seq and mirror.count() == self.room.count()
            assert [each.line().encode() for each in mirror._everybody.values()] == lines

    def do_post(self, pair: Pair, _other: Pair, amount: int, epoch: int = 1) -> None:
        self.refs += 1
        change = self.room._changes[-1 - amount % len(self.room._changes)]
        sealed = box(b"g" * 40 * amount, epoch, self.refs)
        with contextlib.suppress(Stale, Unexpected):
            self.room.post(pair.real, frames.Post(self.refs, 7, change, sealed))

    def do_wrap(self, pair: Pair, other: Pair, amount: int) -> None:
        epoch = (pair.real.wrapped.epoch if pair.real.wrapped else 0) + amount % 2
        with contextlib.suppress(Repeated):
            self.room.hold_wrap(pair.real, wrap(other.real.id, epoch, self.refs + 1))
        self.do_post(pair, other, amount % 3, epoch)

    def do_private(self, pair: Pair, other: Pair, amount: int) -> None:
        self.refs += 1
        sealed = box(b"g" * amount)
        post = frames.Private(self.refs, 7, self.room._changes[-1], wrap(other.real.id), sealed)
        with contextlib.suppress(Gone, RateLimited, Stale):
            self.room.send_private(pair.real, post)

    def do_rename(self, pair: Pair, _other: Pair, amount: int) -> None:
        self.room.rename(pair.real, f"näme-{amount}")

    def do_leave(self, pair: Pair, _other: Pair, amount: int) -> None:
        if amount % 4 == 0:
            self.room.leave(pair.real)
            self.pairs.remove(pair)

    def do_follow(self, _pair: Pair, _other: Pair, _amount: int) -> None:
        self.follow()

    def do_round(self, _pair: Pair, _other: Pair, _amount: int) -> None:
        self.follow()
        assert sorted(self.room.round()) == sorted(self.mirror.round())
        assert self.far.round() == []

    def do_take(self, pair: Pair, _other: Pair, amount: int) -> None:
        self.follow()
        pair.take(arrives=amount % 5 > 0)

    def do_confirm(self, pair: Pair, _other: Pair, _amount: int) -> None:
        self.follow()
        pair.confirm()

    def do_move(self, pair: Pair, _other: Pair, _amount: int) -> None:
        self.follow()
        pair.move()


ACTIONS = ["join", "post", "post", "wrap", "private", "rename", "leave", "round", "round", "take",
           "take", "take", "take", "confirm", "move", "follow"]  # fmt: skip
BOUNDS = [(5, 900, 8000), (4096, 900, 8000), (5, 40_000, 10**6), (4096, 3000, 10**6)]
BOUNDED = ("LOG_ENTRIES", "SLICE_BYTES", "PRIVATE_BYTES", "PRIVATE_BYTES_OF_ONE", "CHAIN_BYTES")


Step = tuple[str, int, int]


def play(steps: list[Step], bounds: tuple[int, int, int]) -> None:
    """Do it, and deliver what is left."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(BOUNDED, (*bounds, *bounds[2:] * 2), strict=True):
            patch.setattr(limits, name, value)
        play = Play()
        for step in steps:
            play.step(*step)
        for _ in range(3) if play.pairs else ():  # whoever rejoins has something to say
            play.do_round(play.pairs[0], play.pairs[0], 0)
            for pair in play.pairs:
                pair.take()
                while pair.real.more:
                    pair.take()


@pytest.mark.soak
@settings(max_examples=int(os.environ.get("CMD_CHAT_SOAK") or 100))
@given(
    st.lists(
        st.tuples(st.sampled_from(ACTIONS), st.integers(0, 4), st.integers(0, 60)), max_size=100
    ),
    st.sampled_from(BOUNDS),
)
def test_members_get_the_same_from_a_mirror_byte_for_byte(
    steps: list[Step], bounds: tuple[int, int, int]
) -> None:
    """Random histories with lost records, moves, overruns; whatever the room gives, it gives."""
    play(steps, bounds)


@pytest.mark.parametrize("seed", range(20))
def test_long_histories_in_a_mirror(seed: int) -> None:
    """The same, for as long as a log is turned over many times."""
    chance = random.Random(seed)
    steps = [
        (chance.choice(ACTIONS), chance.randint(0, 4), chance.randint(0, 60)) for _ in range(250)
    ]
    play(steps, BOUNDS[seed % len(BOUNDS)])


# What is not as it should be


@pytest.fixture
def room() -> RecordedRoom[str]:
    """An empty room."""
    return RecordedRoom("tea", 7)


def joined(room: RecordedRoom[str], mirror: MirrorRoom[str]) -> Pair:
    """Somebody new in both."""
    pair = Pair(room, mirror)
    pair.join()
    return pair


def talk(room: RecordedRoom[str], by: Pair, posts: int = 1) -> None:
    """So many posts."""
    for _ in range(posts):
        room.post(by.real, frames.Post(1, 7, room._changes[-1], box()))


def test_a_gap_is_no_reason_to_go_on(room: RecordedRoom[str]) -> None:
    """What is between is not known, so nothing after it is applied."""
    mirror = mirror_of(room)
    alice = joined(room, mirror)
    talk(room, alice, 5)
    with pytest.raises(Gap):
        mirror.apply(room.log(2))
    assert mirror.seq == 1
    mirror.apply(room.log(0))  # what it has already is passed over
    assert mirror.seq == 6


def test_after_a_gap_all_members_here_begin_anew(room: RecordedRoom[str]) -> None:
    """They are told how much they have missed; who is gone is gone, who came is there."""
    behind: list[Member[str]] = []
    mirror = mirror_of(room, behind)
    alice, bob = joined(room, mirror), joined(room, mirror)
    gone = joined(room, mirror)
    mirror.round()
    room.round()
    alice.take()
    talk(room, alice, 5)
    room.leave(gone.real)
    carol = Pair(room, mirror)
    room.join(carol.real)  # on another node
    mirror.load(room._seq, room.roster())
    assert behind == [alice.ours, bob.ours]
    assert mirror.take(alice.ours) == [] and mirror.take(gone.ours) == []
    assert behind == [alice.ours, bob.ours], "each is asked for once"
    had = alice.seq
    told = room.begin_anew(alice.real, had)
    follow(mirror, room)
    seen = mirror.take(alice.ours)
    assert isinstance(seen, Snapshot)
    assert shown(seen) == shown(told)
    assert seen.missed == told.seq - 1 - had
    assert {line.id for line in seen.members} == {alice.real.id, bob.real.id, carol.real.id}
    assert mirror.take(bob.ours) == []


def test_who_is_waited_for_while_the_log_has_a_gap_is_begun_anew(room: RecordedRoom[str]) -> None:
    """Its ``joined`` is among what is lost: it is in the roster, and has to begin anew."""
    behind: list[Member[str]] = []
    mirror = mirror_of(room, behind)
    alice = Pair(room, mirror)
    mirror.expect(alice.ours)
    room.join(alice.real)
    talk(room, alice, 3)
    mirror.load(room._seq, room.roster())
    assert behind == [alice.ours] and alice.ours.id == alice.real.id
    told = room.begin_anew(alice.real)
    follow(mirror, room)
    assert mirror.arrive(alice.ours, alice.real.id, 1, SOON).seq == told.seq


def test_what_was_not_asked_well_is_asked_again(room: RecordedRoom[str]) -> None:
    """The script may have come to nothing."""
    behind: list[Member[str]] = []
    mirror = mirror_of(room, behind)
    alice = joined(room, mirror)
    alice.ours.behind = True
    assert mirror.take(alice.ours) == [] and not mirror.has_unasked
    mirror.ask_again(alice.ours)
    assert mirror.has_unasked
    assert mirror.take(alice.ours) == [] and behind == [alice.ours] * 2


def test_an_earlier_stay_of_the_same_identity_is_not_taken_for_this_one(
    room: RecordedRoom[str],
) -> None:
    """A mirror that is late hears of that one first."""
    mirror = mirror_of(room)
    pair = Pair(room, mirror)
    early = Member("early", next(_ids), pair.real.nick, pair.real.bundle)
    room.join(early)
    talk_by = Member("other", next(_ids), "other", bundle(next(_ids)))
    room.join(talk_by)
    room.leave(early)
    mirror.expect(pair.ours)
    told = room.join(pair.real)
    follow(mirror, room)
    assert shown(mirror.arrive(pair.ours, pair.real.id, told.seq, SOON)) == shown(told)
    assert pair.ours.joined == told.seq and mirror.round() == [pair.ours.owner]


def test_somebody_who_left_before_it_was_told_is_gone(room: RecordedRoom[str]) -> None:
    """Its session was ended meanwhile."""
    mirror = mirror_of(room)
    other, pair = joined(room, mirror), Pair(room, mirror)
    mirror.expect(pair.ours)
    told = room.join(pair.real)
    room.leave(pair.real)
    follow(mirror, room)
    with pytest.raises(Gone):
        mirror.arrive(pair.ours, pair.real.id, told.seq, SOON)
    assert mirror.round() == [other.ours.owner]
    with pytest.raises(Gone):
        mirror.return_of("owner", pair.real.id, pair.real.bundle, None, 0, (0, 0))


def test_nobody_is_told_before_its_private_stream_was_read(room: RecordedRoom[str]) -> None:
    """What was wrapped for a newcomer may be named before its ``joined`` was applied."""
    mirror = mirror_of(room)
    other, pair = joined(room, mirror), Pair(room, mirror)
    mirror.expect(pair.ours)
    room.join(pair.real)
    room.hold_wrap(other.real, wrap(pair.real.id, 1, 0))
    talk(room, other)
    mirror.apply(room.log(mirror.seq))
    mirror.round()
    assert mirror.take(pair.ours) == []
    assert mirror.untold() == {pair.real.id: 0}
    mirror.put_private(pair.real.id, room.waiting(pair.real.id, 0))
    mirror.tell([pair.real.id])
    assert isinstance(mirror.take(pair.ours), Snapshot)
    assert [got(mirror.take(pair.ours))["type"] for _ in range(2)] == ["key_for", "log"]


def test_who_was_not_told_yet_gets_what_comes_meanwhile(room: RecordedRoom[str]) -> None:
    """Its own thread takes its time; what is wrapped for it may not pass it by."""
    behind: list[Member[str]] = []
    mirror = mirror_of(room, behind)
    other, pair = joined(room, mirror), Pair(room, mirror)
    mirror.expect(pair.ours)
    told = room.join(pair.real)
    follow(mirror, room)
    room.hold_wrap(other.real, wrap(pair.real.id, 1, 0))
    talk(room, other)
    follow(mirror, room)
    mirror.arrive(pair.ours, pair.real.id, told.seq, SOON)
    mirror.round()
    assert [got(mirror.take(pair.ours))["type"] for _ in range(2)] == ["key_for", "log"]


def test_who_overran_its_queue_before_it_was_told_begins_anew_again(
    room: RecordedRoom[str],
) -> None:
    """What it would be told is not so any more."""
    behind: list[Member[str]] = []
    mirror = mirror_of(room, behind)
    pair = joined(room, mirror)
    first = room.begin_anew(pair.real)
    follow(mirror, room)
    mirror.put_private(pair.real.id, [read_private(raw(1, a=2, s=0, k="behind"))])
    assert behind == [pair.ours] and mirror.take(pair.ours) == []
    second = room.begin_anew(pair.real)
    follow(mirror, room)
    assert mirror.arrive(pair.ours, pair.real.id, first.seq, SOON).seq == second.seq
    assert behind == [pair.ours]


def test_what_came_after_a_rejoin_is_kept_where_it_came_early(room: RecordedRoom[str]) -> None:
    """The private stream was read when it held already what came after the next ``rejoined``."""
    mirror = mirror_of(room)
    alice, bob = joined(room, mirror), joined(room, mirror)
    room.begin_anew(bob.real)
    mirror.apply(room.log(mirror.seq))
    room.begin_anew(bob.real)
    room.send_private(alice.real, frames.Private(1, 7, room._changes[-1], wrap(bob.real.id), box()))
    mirror.put_private(bob.real.id, room.waiting(bob.real.id, 0))
    mirror.tell([bob.real.id])
    follow(mirror, room)
    seen = mirror.take(bob.ours)
    assert isinstance(seen, Snapshot) and seen.missed == 0
    mirror.round()
    assert got(mirror.take(bob.ours))["type"] == "private_for"
    assert mirror.take(bob.ours) == []


def test_after_a_rejoin_private_numbers_go_on_anywhere(room: RecordedRoom[str]) -> None:
    """What was not read before it is gone, and nobody misses its numbers; then they go on."""
    behind: list[Member[str]] = []
    mirror = mirror_of(room, behind)
    alice, bob = joined(room, mirror), joined(room, mirror)

    def send() -> None:
        sealed = frames.Private(1, 7, room._changes[-1], wrap(bob.real.id), box())
        room.send_private(alice.real, sealed)

    send()
    told = room.begin_anew(bob.real)
    follow(mirror, room)
    assert mirror.arrive(bob.ours, bob.real.id, told.seq, SOON).seq == told.seq
    send()
    follow(mirror, room)
    mirror.round()
    assert got(mirror.take(bob.ours))["number"] == 2 and behind == []
    room.private[bob.real.id] = [raw(4, **PRIVATE)]
    follow(mirror, room)
    assert mirror.take(bob.ours) == [] and behind == [bob.ours]


def test_what_nobody_here_needs_is_not_kept(room: RecordedRoom[str]) -> None:
    """The log of a mirror begins with its first member's coming, and goes with confirmations."""
    mirror = mirror_of(room)
    alice = joined(room, mirror)
    assert mirror.first == 2
    bob = joined(room, mirror)
    talk(room, alice, 3)
    follow(mirror, room)
    mirror.round()
    mirror.take(alice.ours)
    mirror.confirm(alice.ours, 5, 0)
    assert mirror.first == 3
    mirror.drop(bob.ours)
    assert mirror.first == 6 and mirror.count() == 2


@pytest.mark.parametrize("lost", ["a number", "the engine says so", "too much"])
def test_whoever_lacks_private_entries_is_behind(
    room: RecordedRoom[str], monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """A post might not open without them."""
    behind: list[Member[str]] = []
    mirror = mirror_of(room, behind)
    alice, bob = joined(room, mirror), joined(room, mirror)
    for _ in range(3):
        sealed = frames.Private(1, 7, room._changes[-1], wrap(bob.real.id), box())
        room.send_private(alice.real, sealed)
    entries = room.waiting(bob.real.id, 0)
    if lost == "a number":
        del entries[1]
    elif lost == "the engine says so":
        entries[1:] = [read_private(raw(2, a=2, s=0, k="behind"))]
    else:
        monkeypatch.setattr(limits, "CHAIN_BYTES", 1000)
        monkeypatch.setattr(limits, "PRIVATE_BYTES", 100)
    mirror.put_private(bob.real.id, entries)
    assert mirror.take(bob.ours) == [] and behind == [bob.ours]
    assert mirror.take(alice.ours) == [] and behind == [bob.ours]


def test_what_does_not_fit_is_not_put_before_the_log(room: RecordedRoom[str]) -> None:
    """A piece that was trimmed meanwhile, or is too much: then nobody can go on from there."""
    mirror, other = mirror_of(room), mirror_of(room)
    alice = joined(room, mirror)
    talk(room, alice, 9)
    other.load(room._seq, room.roster())
    assert not other.prepend(room.log(2, 8)) and other.first == 11
    assert other.prepend(room.log(5)) and other.first == 6
    assert other.prepend(room.log(2)) and other.first == 3, "what is there already does no harm"
    assert other.prepend([]) and other.first == 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "LOG_ENTRIES", 9)
        assert not other.prepend(room.log(0, 2))
        patch.setattr(limits, "LOG_ENTRIES", 4096)
        patch.setattr(limits, "LOG_BYTES", 100)
        assert not other.prepend(room.log(0, 2))
    assert other.prepend(room.log(0, 2)) and other.first == 1


def test_waiting_ends(room: RecordedRoom[str]) -> None:
    """When it is there, when it takes too long, and when the mirror is of no use any more."""
    mirror = mirror_of(room)
    alice = joined(room, mirror)
    mirror.wait_for(1, 0.0)
    with pytest.raises(Unavailable):
        mirror.wait_for(2, 0.01)
    talk(room, alice)
    waiting = threading.Thread(target=mirror.wait_for, args=(2, SOON))
    waiting.start()
    follow(mirror, room)
    waiting.join(SOON)
    assert not waiting.is_alive()
    assert mirror.close() == [alice.ours.owner]
    with pytest.raises(Unavailable):
        mirror.wait_for(3, SOON)


def test_who_waited_for_too_long_has_no_place(room: RecordedRoom[str]) -> None:
    """Its connection ends; and the mirror is not kept for it."""
    mirror = mirror_of(room)
    pair = Pair(room, mirror)
    mirror.expect(pair.ours)
    told = room.join(pair.real)
    mirror.apply(room.log(0))
    with pytest.raises(Unavailable):
        mirror.arrive(pair.ours, pair.real.id, told.seq, 0.01)
    assert mirror.is_empty and mirror.round() == [] and mirror.count() == 1
    assert mirror.return_of("again", pair.real.id, pair.real.bundle, None, 0, (0, 0)).joined == 1


def test_of_two_connections_of_one_the_first_gets_nothing_more(room: RecordedRoom[str]) -> None:
    """It comes back here before its old connection has gone."""
    behind: list[Member[str]] = []
    mirror = mirror_of(room, behind)
    alice = joined(room, mirror)
    old, new = alice.ours, mirror.return_of("new", alice.real.id, alice.real.bundle, 3, 0, (1, 2))
    assert (new.joined, new.ref, new.posted, new.nick) == (1, 3, (1, 2), old.nick)
    talk(room, alice, 2)
    follow(mirror, room)
    old.behind = True
    assert mirror.take(old) == [] and behind == []
    mirror.drop(old)
    assert mirror.round() == ["new"] and mirror.count() == 1
    assert mirror.resume(new, 1, 0)
    assert got(mirror.take(new))["to"] == 3


def log_entry(**changes: object) -> LogEntry:
    """A post, if nothing is changed."""
    fields = {"s": 1, **changes} if "k" in changes else {"p": post(), **changes}
    number = fields.pop("number", 2)
    return read_log(raw(number, **fields))  # type: ignore[arg-type]


def post(ref: str = "1", sender: str = "1", change: str = "1", epoch: str = "1", data: str = "aa",
         after: str = "") -> str:  # fmt: skip
    """What a log has of a post."""
    box = f'{{"epoch":{epoch},"n":0,"data":"{data}","sig":"bb"}}'
    return f'{ref},"from":{sender},"change":{change},"box":{box}}}{after}'


PRINT = bundle(9).fingerprint.hex()
JOIN: dict[str, object] = {"k": "j", "f": PRINT, "n": '"a"', "b": bundle(9).encoded}
LARGE = str(2**53)
NONSENSE: list[dict[str, object]] = [
    {"number": 0}, {"number": 2**53}, {"k": "x"}, {"k": ""}, {"k": "p", "c": 1, "r": 1, "e": ""},
    {"k": "l", "s": -1}, {"k": "l", "s": "01"}, {"k": "l", "s": ""}, {"k": "l", "s": "1 "},
    {"p": post(sender="-1")}, {"p": post(sender="01")}, {"p": post(sender="")},
    {"p": post(sender="1 ")}, {"p": post(sender=LARGE)}, {"p": post(epoch=LARGE)},
    {"p": post(change="2")}, {"p": post(change="0")}, {"p": post("x")}, {"p": post(LARGE)},
    {"w": "1,"}, {"w": "x"}, {"w": ",".join("1" * 258)},
    {"p": b""}, {"p": post("")}, {"p": '1"}'}, {"p": post(data='a\\"')}, {"p": post(epoch="01")},
    {"p": post(after=',{"type":"left"}')}, {"p": post(after="\n")},
    {"k": "j", "f": "00"}, {**JOIN, "b": "{}"}, {**JOIN, "b": b" " + bundle(9).encoded},
    {**JOIN, "n": "a"}, {**JOIN, "b": bundle(8).encoded}, {**JOIN, "s": 0},
    {"k": "n", "n": '""'}, {"k": "n", "n": '"\\u0061"'}, {"k": "n", "n": "7"}, {"k": "n"},
    {"k": "n", "n": '"%s"' % ("a" * 33)},
]  # fmt: skip


@pytest.mark.parametrize("changes", NONSENSE)
def test_no_entry_is_taken_that_no_script_has_written(changes: dict[str, object]) -> None:
    """What is spliced into frames, above all."""
    assert log_entry().seq == 2
    with pytest.raises(Nonsense):
        log_entry(**changes)


WRAP = b',"from":1,"wrap":{"to":1,"epoch":1,"n":0,"wrapped":"aa"}}'
PRIVATE: dict[str, object] = {"k": "key_for", "a": 1, "s": 0, "e": WRAP}
PRIVATE_NONSENSE: list[dict[str, object]] = [
    {"k": "x"}, {"k": "private_for"}, {"k": "behind"}, {"s": 1}, {"a": ""}, {"e": b""}, {"e": "}"},
]  # fmt: skip


@pytest.mark.parametrize("changes", PRIVATE_NONSENSE)
def test_no_private_entry_is_taken_likewise(changes: dict[str, object]) -> None:
    """Nor of a sender that is not the one that is shown."""
    assert read_private(raw(1, **PRIVATE)).number == 1  # as it is, it is right
    with pytest.raises(Nonsense):
        read_private(raw(1, **{**PRIVATE, **changes}))


def test_an_entry_that_cannot_follow_is_nonsense(room: RecordedRoom[str]) -> None:
    """Of somebody who is not there, or who is there already."""
    mirror = mirror_of(room)
    alice = joined(room, mirror)
    for fields in ({"k": "l", "s": 99}, {"k": "n", "s": 99, "n": '"a"'}, {"k": "r", "s": 99}):
        with pytest.raises(Nonsense):
            mirror.apply([read_log(raw(2, **fields))])
    again = {"k": "j", "s": alice.real.id, "f": alice.real.bundle.fingerprint.hex()}
    with pytest.raises(Nonsense):
        mirror.apply([read_log(raw(2, **again, n='"a"', b=alice.real.bundle.encoded))])
    with pytest.raises(Nonsense):
        mirror.apply([log_entry(p=post(sender="99"))])
    assert mirror.seq == 1


def test_a_full_room_takes_no_more(
    room: RecordedRoom[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script refuses; so more of them are nonsense."""
    mirror = mirror_of(room)
    joined(room, mirror)
    second = Pair(room, mirror)
    room.join(second.real)
    monkeypatch.setattr(limits, "ROOM_MEMBERS", 1)
    with pytest.raises(Nonsense):
        follow(mirror, room)


def expected(room: RecordedRoom[str], mirror: MirrorRoom[str]) -> tuple[Pair, Snapshot]:
    """Somebody whom the engine has let in, as its node knows by the answer alone."""
    pair = Pair(room, mirror)
    mirror.expect(pair.ours)
    return pair, room.join(pair.real)


def test_who_comes_next_is_in_place_by_the_answer(room: RecordedRoom[str]) -> None:
    """What the log says of it changes nothing any more."""
    mirror = mirror_of(room)
    joined(room, mirror)
    pair, told = expected(room, mirror)
    seen = mirror.join_at(pair.ours, pair.real.id, told.seq, 0.0)
    assert shown(seen) == shown(told)
    pair.begin(told)
    before = list(mirror._log)
    follow(mirror, room)
    assert list(mirror._log) == before and mirror.seq == told.seq and mirror.untold() == {}
    talk(room, pair, 1)
    follow(mirror, room)
    mirror.round(), room.round()
    pair.take()


def test_who_does_not_come_next_waits_for_the_log(room: RecordedRoom[str]) -> None:
    mirror = mirror_of(room)
    joined(room, mirror)
    pair, other = Pair(room, mirror), Pair(room, mirror)
    room.join(other.real)
    mirror.expect(pair.ours)
    told = room.join(pair.real)
    with pytest.raises(Unavailable):
        mirror.join_at(pair.ours, pair.real.id, told.seq, 0.01)
    mirror.expect(pair.ours)
    follow(mirror, room)
    assert shown(mirror.join_at(pair.ours, pair.real.id, told.seq, 0.0)) == shown(told)


def test_nobody_comes_between_what_was_read_and_its_being_applied(room: RecordedRoom[str]) -> None:
    """A post may be in there whose wrap was not looked for: it did not know who that was for."""
    mirror = mirror_of(room)
    joined(room, mirror)
    pair, told = expected(room, mirror)
    mirror.follow(True)
    with pytest.raises(Unavailable):
        mirror.join_at(pair.ours, pair.real.id, told.seq, 0.01)
    mirror.expect(pair.ours)
    mirror.follow(False)
    assert shown(mirror.join_at(pair.ours, pair.real.id, told.seq, 0.0)) == shown(told)


def test_what_was_named_before_it_was_known_is_read_before_it_is_told(
    room: RecordedRoom[str],
) -> None:
    """The note of something for it alone was heard, and there was nobody to read it for."""
    mirror = mirror_of(room)
    joined(room, mirror)
    pair, told = expected(room, mirror)
    assert mirror.to_read([pair.real.id]) == {}
    with pytest.raises(Unavailable):
        mirror.join_at(pair.ours, pair.real.id, told.seq, 0.01)
    mirror.return_of("owner", pair.real.id, pair.real.bundle, None, 0, (0, 0))
    other, told = expected(room, mirror)
    assert mirror.to_read([pair.real.id]) == {pair.real.id: 0}
    assert mirror.join_at(other.ours, other.real.id, told.seq, 0.0).seq == told.seq
