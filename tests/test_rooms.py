"""Rooms as logs with cursors: order, slices, queues, falling behind, coming back."""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import frames, limits, wire_json
from protocol.errors import (
    ChatError,
    Gone,
    RateLimited,
    Repeated,
    RoomFull,
    ServerFull,
    Stale,
    Unexpected,
)
from protocol.keys import Bundle, Recipient
from server.member import Member
from server.rooms import Entry, Room, Rooms, Snapshot
from tests.held import held
from tests.wire import box, wrap

BUNDLE = Bundle(Recipient(bytes(256), bytes(1216)), bytes(32), 0, 0, bytes(64))
Frames = list[dict[str, Any]]


@pytest.fixture
def room() -> Room[str]:
    """An empty room."""
    return Room("tea", 1)


_ids = iter(range(1, 1 << 30))


def join(room: Room[str], nick: str = "someone") -> Member[str]:
    """A new member of ``room``, whose owner is called as it is."""
    member = Member(nick, next(_ids), nick, BUNDLE)
    room.join(member)
    return member


def post(change: int, ref: int = 1, size: int = 5) -> frames.Post:
    """A post with ``size`` bytes of something sealed."""
    return frames.Post(ref, 1, change, box(b"g" * size))


def give(
    room: Room[str], sender: Member[str], to: Member[str], epoch: int = 1, n: int = 0
) -> bool:
    """A wrap for ``to`` and the post that brings it; whether it was brought."""
    before = to.private.number
    room.hold_wrap(sender, wrap(to.id, epoch, n))
    room.post(sender, frames.Post(1, 1, room._changes[-1], box(epoch=epoch, n=n)))
    return to.private.number > before


def private(to: Member[str], change: int, ref: int = 1, size: int = 5) -> frames.Private:
    """A private post, likewise."""
    return frames.Private(ref, 1, change, wrap(to.id), box(b"g" * size))


def take(room: Room[str], member: Member[str]) -> Frames:
    """All that there is for ``member``, as JSON."""
    room.round()
    return taken_now(room, member)


def taken_now(room: Room[str], member: Member[str]) -> Frames:
    """The same in the round that is under way."""
    found: Frames = []
    while taken := room.take(member):
        assert not isinstance(taken, Snapshot), taken
        found += [json.loads(each) for each in taken]
    return found


def entries(taken: Frames) -> Frames:
    """The log entries in it."""
    return [entry for frame in taken if frame["type"] == "log" for entry in frame["entries"]]


def numbers(taken: Frames) -> list[int]:
    """The numbers of the log entries in it."""
    return [entry["seq"] for entry in entries(taken)]


def last(room: Room[str]) -> int:
    """The number of the last entry."""
    return room._seq


# The log


def test_everyone_sees_one_order(room: Room[str]) -> None:
    """What is posted first is first for all, the senders included."""
    alice, bob = join(room, "alice"), join(room, "bob")
    take(room, alice)
    change = bob.joined
    seqs = [room.post(sender, post(change)) for sender in (alice, bob, bob, alice)]
    assert seqs == [3, 4, 5, 6]
    assert numbers(take(room, alice)) == seqs
    assert numbers(take(room, bob)) == seqs
    assert take(room, alice) == []


def test_own_posts_are_stubs(room: Room[str]) -> None:
    """One's own post stands in its place, with the ``ref`` and without the box."""
    alice, bob = join(room, "alice"), join(room, "bob")
    room.post(bob, post(bob.joined, ref=8))
    room.post(alice, post(bob.joined, ref=7))
    room.post(bob, post(bob.joined, ref=9))
    own, theirs, again = entries(take(room, bob))
    assert own == {"type": "own_posted", "seq": 3, "ref": 8}
    assert theirs["type"] == "posted" and theirs["from"] == alice.id
    assert again == {"type": "own_posted", "seq": 5, "ref": 9}


def test_a_slice_names_how_far_it_reaches(room: Room[str]) -> None:
    """Also where the last entries in it are not for this member."""
    alice = join(room, "alice")
    before = last(room)
    bob = join(room, "bob")
    room.post(alice, post(before))
    (log,) = take(room, bob)
    assert log == {"type": "log", "at": 1, "to": 3, "entries": []}


def test_changes_of_membership_are_entries(room: Room[str]) -> None:
    """``joined`` with the whole line, ``renamed``, ``left``."""
    alice = join(room, "alice")
    bob = join(room, "bob")
    assert room.rename(bob, "robert") == 3
    assert room.leave(bob)
    first, second, third = entries(take(room, alice))
    line = {"id": bob.id, "nick": "bob", "joined": 2, "bundle": BUNDLE.to_fields()}
    assert first == {"type": "joined", "seq": 2, "member": line}
    assert second == {"type": "renamed", "seq": 3, "id": bob.id, "nick": "robert"}
    assert third == {"type": "left", "seq": 4, "id": bob.id}


def test_whoever_is_alone_leaves_nothing_in_the_log(room: Room[str]) -> None:
    """Nobody needs to hear of it; the next one's coming is for the first."""
    join(room, "alice")
    assert not room._log and room._bytes == 0
    join(room, "bob")
    assert [entry.seq for entry in room._log] == [2]


def test_every_entry_is_a_frame_of_the_specification(room: Room[str]) -> None:
    """The decoder reads what is encoded by hand for speed."""
    alice, bob = join(room, "alice"), join(room, "bob\u00e9")
    room.post(alice, post(bob.joined))
    room.post(bob, post(bob.joined))
    room.rename(bob, "b")
    room.leave(bob)
    for log in take(room, alice):
        assert isinstance(frames.from_object(log, frames.SERVER_FRAMES), frames.Log)


def test_a_newcomer_starts_at_the_end(room: Room[str]) -> None:
    """Roster and cursor are taken in one step: nothing is missing, nothing comes twice."""
    alice = join(room, "alice")
    room.post(alice, post(alice.joined))
    bob = Member("bob", next(_ids), "bob", BUNDLE)
    snapshot = room.join(bob)
    assert snapshot.seq == 3 and snapshot.member_id == bob.id and snapshot.missed == 0
    assert [line.nick for line in snapshot.members] == ["alice", "bob"]
    assert [line.joined for line in snapshot.members] == [1, 3]
    assert take(room, bob) == []


def test_what_was_sealed_before_a_join_does_not_reach_the_newcomer(room: Room[str]) -> None:
    """Though it was posted afterwards; the others get it, and the newcomer what follows."""
    alice, bob = join(room, "alice"), join(room, "bob")
    before = bob.joined
    carol = join(room, "carol")
    late = room.post(alice, post(before))
    fresh = room.post(alice, post(carol.joined))
    assert numbers(take(room, carol)) == [fresh]
    assert numbers(take(room, bob)) == [3, late, fresh]


def test_a_shared_slice_does_not_leak_what_is_not_for_all(room: Room[str]) -> None:
    """Whoever asks first: the slice that is kept is not handed to whom it is not for."""
    for newcomer_first in (True, False):
        room = Room("tea", 1)
        alice = join(room, "alice")
        take(room, alice)
        bob = join(room, "bob")
        take(room, alice)
        late = room.post(alice, post(alice.joined))
        carol = join(room, "carol")
        dave = join(room, "dave")
        first, second = (bob, alice) if newcomer_first else (alice, bob)
        got = {first.nick: take(room, first), second.nick: take(room, second)}
        assert numbers(got["alice"]) == [late, carol.joined, dave.joined]
        assert numbers(got["bob"]) == [carol.joined, dave.joined]


def test_slices_are_encoded_once_for_all(
    room: Room[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty readers at one place cost one encoding."""
    alice = join(room, "alice")
    readers = [join(room, f"reader-{number}") for number in range(50)]
    for reader in readers:
        take(room, reader)
    room.post(alice, post(readers[-1].joined))
    made = []
    encode = wire_json.log

    def counted(at: int, to: int, found: Sequence[bytes]) -> bytes:
        made.append(to)
        return encode(at, to, found)

    monkeypatch.setattr(wire_json, "log", counted)
    room.round()
    taken = [room.take(reader)[0] for reader in readers]
    assert len(made) == 1
    assert all(each is taken[0] for each in taken)


def test_what_comes_during_a_round_is_for_the_next_one(room: Room[str]) -> None:
    """All get the same slices, also those who are served when more has come."""
    alice, bob, carol = (join(room, nick) for nick in ("alice", "bob", "carol"))
    room.post(alice, post(carol.joined))
    assert room.round() == ["alice", "bob", "carol"]
    assert numbers(taken_now(room, carol)) == [4]
    room.post(alice, post(carol.joined))
    room.send_private(alice, private(carol, carol.joined))
    assert taken_now(room, carol) == []
    assert numbers(taken_now(room, bob)) == [3, 4]
    assert [frame["type"] for frame in take(room, carol)] == ["log", "private_for"]


def test_a_kept_slice_is_not_reused_once_it_is_another(room: Room[str]) -> None:
    """Two who stand at one place get what is there when they ask, neither more nor less."""
    alice, bob, carol = (join(room, nick) for nick in ("alice", "bob", "carol"))
    for member in (alice, bob, carol):
        take(room, member)
    room.post(alice, post(carol.joined))
    assert numbers(take(room, bob)) == [4]
    room.post(alice, post(carol.joined))
    assert numbers(take(room, carol)) == [4, 5]
    assert numbers(take(room, bob)) == [5]


def test_a_slice_is_capped(room: Room[str]) -> None:
    """In bytes; one entry that is larger goes alone."""
    alice, bob = join(room, "alice"), join(room, "bob")
    large = limits.SLICE_BYTES // 3
    for size in (large, large, large, 2 * limits.SLICE_BYTES, 5):
        room.post(alice, post(bob.joined, size=size))
    parts = []
    room.round()
    while taken := room.take(bob):
        assert not isinstance(taken, Snapshot)
        parts.append([entry["seq"] for each in taken for entry in json.loads(each)["entries"]])
    assert parts == [[3, 4], [5], [6], [7]]


# Entries for one member alone


def test_a_wrap_comes_before_the_post_that_needs_it(room: Room[str]) -> None:
    """And after the ``joined`` that introduces its sender."""
    alice = join(room, "alice")
    bob = join(room, "bob")
    assert room.hold_wrap(bob, wrap(alice.id))
    (joined,) = take(room, alice)
    room.post(bob, post(bob.joined))
    key, posted = take(room, alice)
    assert joined["entries"][0]["type"] == "joined"
    assert key["type"] == "key_for" and key["from"] == bob.id and key["number"] == 1
    assert posted["entries"][0]["type"] == "posted"


def test_private_frames_are_of_the_specification(room: Room[str]) -> None:
    """The decoder reads both kinds."""
    alice, bob = join(room, "alice"), join(room, "bob")
    give(room, bob, alice, 3, 9)
    assert room.send_private(bob, private(alice, bob.joined)) == "alice"
    _, key, _, told = (frames.from_object(each, frames.SERVER_FRAMES) for each in take(room, alice))
    assert key == frames.KeyFor(1, 1, bob.id, wrap(alice.id, 3, 9))
    assert told == frames.PrivateFor(1, 2, bob.id, 2, wrap(alice.id), box(b"g" * 5))


def test_private_ones_are_for_one_alone(room: Room[str]) -> None:
    """And leave no gap in the numbers that others see."""
    alice, bob, carol = (join(room, nick) for nick in ("alice", "bob", "carol"))
    room.send_private(bob, private(alice, carol.joined))
    room.post(bob, post(carol.joined))
    assert "private_for" in [each["type"] for each in take(room, alice)]
    assert [each["type"] for each in take(room, carol)] == ["log"]
    assert numbers(take(room, bob)) == [3, 4]


def test_wraps_wait_for_a_post_of_their_epoch_that_is_taken(room: Room[str]) -> None:
    """A sealing that is refused starts no epoch: nobody else hears of its keys."""
    alice, bob = join(room, "alice"), join(room, "bob")
    room.hold_wrap(alice, wrap(bob.id, epoch=1))
    with pytest.raises(Unexpected):
        room.post(alice, frames.Post(1, 1, 99, box(epoch=1)))
    room.hold_wrap(alice, wrap(bob.id, epoch=2))  # sealed anew; what was for the first is gone
    room.post(alice, frames.Post(2, 1, bob.joined, box(epoch=3)))
    assert [each["type"] for each in take(room, bob)] == ["log"]
    room.post(alice, frames.Post(3, 1, bob.joined, box(epoch=2, n=4)))
    key, log = take(room, bob)
    assert key["wrap"]["epoch"] == 2 and log["type"] == "log"


def test_one_wrap_for_each_sender_epoch_and_recipient(room: Room[str]) -> None:
    """The same ones that come again after a lost connection change nothing."""
    alice, bob, carol = (join(room, nick) for nick in ("alice", "bob", "carol"))
    assert room.hold_wrap(alice, wrap(bob.id))
    assert not room.hold_wrap(alice, wrap(bob.id))
    assert give(room, alice, carol)
    assert not room.hold_wrap(alice, wrap(bob.id))
    assert give(room, carol, bob)
    assert give(room, alice, bob, epoch=2)
    with pytest.raises(Repeated):
        room.hold_wrap(alice, wrap(bob.id, epoch=1))
    keys = [each for each in take(room, bob) if each["type"] == "key_for"]
    assert [(each["from"], each["wrap"]["epoch"]) for each in keys] == [
        (alice.id, 1),
        (carol.id, 1),
        (alice.id, 2),
    ]


def test_wraps_for_nobody_and_for_oneself_are_nothing(room: Room[str]) -> None:
    """Whoever left meanwhile does not stop the wraps for the others."""
    alice, bob, carol = (join(room, nick) for nick in ("alice", "bob", "carol"))
    assert not room.hold_wrap(alice, wrap(alice.id))
    assert not room.hold_wrap(alice, wrap(12345678))
    assert room.hold_wrap(alice, wrap(bob.id)) and room.hold_wrap(alice, wrap(carol.id))
    room.leave(bob)
    assert not room.hold_wrap(alice, wrap(bob.id, n=1))
    room.post(alice, post(carol.joined))
    assert carol.private.number == 1
    with pytest.raises(Gone):
        room.hold_wrap(bob, wrap(alice.id))


def test_a_private_post_to_somebody_who_left(room: Room[str]) -> None:
    """Is refused, also if its nickname is somebody else's now; so is one to oneself."""
    alice, bob = join(room, "alice"), join(room, "bob")
    room.leave(bob)
    again = join(room, "bob")
    with pytest.raises(Gone):
        room.send_private(alice, private(bob, again.joined))
    with pytest.raises(Gone):
        room.send_private(alice, private(alice, again.joined))
    with pytest.raises(Gone):
        room.send_private(bob, private(alice, again.joined))


def test_a_private_post_sealed_before_its_reader_came(room: Room[str]) -> None:
    """Was for other keys: seal it anew."""
    alice = join(room, "alice")
    bob = join(room, "bob")
    with pytest.raises(Stale):
        room.send_private(alice, private(bob, alice.joined))


# What a post was sealed for


def test_a_change_must_be_one(room: Room[str]) -> None:
    """Not before one's own join, not of the future, not the number of a post."""
    alice = join(room, "alice")
    bob = join(room, "bob")
    seq = room.post(alice, post(bob.joined))
    for change, error in ((1, Stale), (0, Stale), (seq, Unexpected), (seq + 1, Unexpected)):
        with pytest.raises(error):
            room.post(bob, post(change))
        with pytest.raises(error):
            room.send_private(bob, private(alice, change))
    assert last(room) == seq


def test_a_change_may_be_sixty_four_behind(room: Room[str]) -> None:
    """One more is stale."""
    alice = join(room, "alice")
    first = alice.joined
    for number in range(limits.CHANGES_BEHIND):
        room.rename(alice, f"alice-{number}")
    room.post(alice, post(first))
    room.rename(alice, "alice")
    with pytest.raises(Stale):
        room.post(alice, post(first))
    room.post(alice, post(first + 1))


def test_who_has_left_cannot_post(room: Room[str]) -> None:
    """Nor be renamed; leaving twice is harmless."""
    alice, bob = join(room, "alice"), join(room, "bob")
    assert room.leave(bob)
    assert room.leave(bob)
    assert last(room) == 3
    with pytest.raises(Gone):
        room.post(bob, post(3))
    with pytest.raises(Gone):
        room.rename(bob, "x")
    assert room.take(bob) == []
    assert not room.resume(bob, 3, 0)
    assert not room.leave(alice)


# What is kept, and what goes


def test_what_everyone_confirmed_goes(room: Room[str]) -> None:
    """One who has not confirmed keeps it for all."""
    alice, bob = join(room, "alice"), join(room, "bob")
    for _ in range(10):
        room.post(alice, post(bob.joined))
    for member in (alice, bob):
        take(room, member)
    room.confirm(alice, 12, 0)
    assert room._log[0].seq == 3  # what bob had already when it came
    room.confirm(bob, 7, 0)
    assert room._log[0].seq == 8
    room.confirm(bob, 12, 0)
    assert not room._log and room._bytes == 0


def test_nobody_confirms_what_it_was_not_given(room: Room[str]) -> None:
    """A number from the future does not make the others lose anything."""
    alice, bob = join(room, "alice"), join(room, "bob")
    seq = room.post(alice, post(bob.joined))
    room.confirm(bob, 10**9, 10**9)
    room.confirm(alice, 10**9, 10**9)
    assert numbers(take(room, bob)) == [seq]
    assert numbers(take(room, alice)) == [2, seq]


def test_confirmations_do_not_go_back(room: Room[str]) -> None:
    """An old ``seen`` after a new one changes nothing."""
    alice = join(room, "alice")
    for _ in range(5):
        room.post(alice, post(1))
    take(room, alice)
    room.confirm(alice, 6, 0)
    room.confirm(alice, 2, 0)
    assert alice.confirmed == 6


def test_confirmed_private_ones_free_the_queue(room: Room[str]) -> None:
    """Only those that were sent, and only up to the number."""
    alice, bob = join(room, "alice"), join(room, "bob")
    for epoch in (1, 2, 3):
        assert give(room, bob, alice, epoch)
    size = alice.private.size // 3
    room.confirm(alice, 2, 2)
    assert alice.private.size == 3 * size  # not sent yet
    take(room, alice)
    room.confirm(alice, 2, 2)
    assert alice.private.size == size
    room.confirm(alice, 2, 3)
    assert alice.private.size == 0 and not alice.private._unconfirmed


def test_the_log_is_bounded_in_entries(room: Room[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever does not keep up falls off, and its memory with it."""
    monkeypatch.setattr(limits, "LOG_ENTRIES", 8)
    alice, bob = join(room, "alice"), join(room, "bob")
    for _ in range(100):
        room.post(alice, post(bob.joined))
        take(room, alice)
    assert len(room._log) == 8
    assert [entry.seq for entry in room._log] == list(range(95, 103))


def test_the_log_is_bounded_in_bytes(room: Room[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """And counts them rightly while entries come and go."""
    monkeypatch.setattr(limits, "LOG_BYTES", 10_000)
    alice, bob = join(room, "alice"), join(room, "bob")
    for size in range(100, 4000, 100):
        room.post(alice, post(bob.joined, size=size))
        assert room._bytes <= 10_000
        assert room._bytes == sum(entry.size for entry in room._log)


def test_falling_off_the_end(room: Room[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A newcomer again: everyone is told, the roster is fresh, what was missed is counted."""
    monkeypatch.setattr(limits, "LOG_ENTRIES", 8)
    alice, bob = join(room, "alice"), join(room, "bob")
    take(room, alice)
    for _ in range(20):
        room.post(alice, post(bob.joined))
        take(room, alice)
    snapshot = room.take(bob)
    assert isinstance(snapshot, Snapshot)
    assert snapshot.missed == 20
    assert snapshot.seq == bob.joined == last(room) == 23
    assert [line.joined for line in snapshot.members] == [1, 23]
    (entry,) = entries(take(room, alice))
    assert entry == {"type": "rejoined", "seq": 23, "id": bob.id}
    assert take(room, bob) == []
    room.post(alice, post(2))  # sealed before it came back
    after = room.post(alice, post(23))
    assert numbers(take(room, bob)) == [after]


def test_falling_off_by_one(room: Room[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has missed nothing goes on; the next entry more, and it has."""
    monkeypatch.setattr(limits, "LOG_ENTRIES", 8)
    alice, bob = join(room, "alice"), join(room, "bob")
    for _ in range(8):
        room.post(alice, post(bob.joined))
    assert numbers(take(room, bob)) == list(range(3, 11))
    for _ in range(9):
        room.post(alice, post(bob.joined))
    assert isinstance(room.take(bob), Snapshot)


def test_own_posts_do_not_survive_falling_off(
    room: Room[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The places of the stubs go with the log, and new ones stand right."""
    monkeypatch.setattr(limits, "LOG_ENTRIES", 4)
    alice = join(room, "alice")
    for ref in range(1, 10):
        room.post(alice, post(1, ref))
    assert isinstance(room.take(alice), Snapshot)
    seq = room.post(alice, post(alice.joined, 10))
    assert entries(take(room, alice)) == [{"type": "own_posted", "seq": seq, "ref": 10}]


def test_overrunning_the_private_queue(
    room: Room[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With chains: a newcomer again, with an empty queue; the numbers go on."""
    monkeypatch.setattr(limits, "CHAIN_BYTES", 5000)
    alice, bob = join(room, "alice"), join(room, "bob")
    for epoch in (1, 2, 3):
        give(room, bob, alice, epoch)
    with pytest.raises(RateLimited):
        room.send_private(bob, private(alice, bob.joined))
    snapshot = room.take(alice)
    assert isinstance(snapshot, Snapshot)
    assert not alice.private.size and not alice.private.waiting and not alice.behind
    assert give(room, bob, alice, 3, 1)  # it lacks the key again
    key, _log = take(room, alice)
    assert key["number"] == 4


def test_a_private_post_that_does_not_fit_is_handed_back(
    room: Room[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is accepted arrives, and nobody is pushed off its place by what is not."""
    monkeypatch.setattr(limits, "PRIVATE_BYTES", 5000)
    monkeypatch.setattr(limits, "PRIVATE_BYTES_OF_ONE", 5000)
    alice, bob = join(room, "alice"), join(room, "bob")
    room.send_private(bob, private(alice, bob.joined))
    with pytest.raises(RateLimited):
        room.send_private(bob, private(alice, bob.joined, size=5000))
    room.send_private(bob, private(alice, bob.joined))
    assert [each["type"] for each in take(room, alice)] == ["log", "private_for", "private_for"]
    with pytest.raises(RateLimited):
        room.send_private(bob, private(alice, bob.joined))
    room.confirm(alice, 2, 2)
    room.send_private(bob, private(alice, bob.joined, size=50_000))  # alone, whatever its size


def test_one_sender_leaves_room_for_others(
    room: Room[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much it sends to somebody who does not read; nor do all others take the place."""
    monkeypatch.setattr(limits, "PRIVATE_BYTES", 12_000)
    monkeypatch.setattr(limits, "PRIVATE_BYTES_OF_ONE", 5000)
    alice, bob, *others = (join(room, f"n{number}") for number in range(9))
    change = others[-1].joined

    def sent(sender: Member[str]) -> int:
        for count in range(100):
            try:
                room.send_private(sender, private(alice, change))
            except RateLimited:
                return count
        return 100

    assert sent(bob) == 2
    assert [sent(other) for other in others] == [2, 1, 0, 0, 0, 0, 0]
    assert not alice.behind and not isinstance(room.take(alice), Snapshot)


def test_memory_of_the_queue_is_bounded(
    room: Room[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many keys there are for somebody who is not there to read them."""
    monkeypatch.setattr(limits, "CHAIN_BYTES", 5000)
    monkeypatch.setattr(limits, "LOG_ENTRIES", 40)
    alice, bob = join(room, "alice"), join(room, "bob")
    for epoch in range(1, 100):
        give(room, bob, alice, epoch)
    assert alice.behind and alice.private.size < 8000


def test_rejoining_makes_everyone_count_it_as_lacking_their_keys(
    room: Room[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One wrap more for the same epoch is taken after it, and only one."""
    monkeypatch.setattr(limits, "LOG_ENTRIES", 4)
    alice, bob = join(room, "alice"), join(room, "bob")
    assert give(room, alice, bob)
    for _ in range(9):
        room.post(alice, post(bob.joined))
    assert room.hold_wrap(alice, wrap(bob.id, epoch=2))  # and this one is dropped with his place
    assert isinstance(room.take(bob), Snapshot)
    room.post(alice, frames.Post(1, 1, bob.joined, box(epoch=2)))
    assert not bob.private.waiting
    # What comes again with a post that was taken leads back to what he may have opened, and the
    # next one is for what follows.
    assert not room.hold_wrap(alice, wrap(bob.id, epoch=2))
    assert room.hold_wrap(alice, wrap(bob.id, epoch=2, n=1))
    assert not room.hold_wrap(alice, wrap(bob.id, epoch=2, n=1))


# Coming back


def test_resuming_sends_again_what_was_lost(room: Room[str]) -> None:
    """Shared and private, own stubs too, in the same order as the first time."""
    alice, bob = join(room, "alice"), join(room, "bob")
    room.hold_wrap(bob, wrap(alice.id, 1))
    room.post(bob, post(bob.joined))
    room.post(alice, post(bob.joined, ref=5))
    room.send_private(bob, private(alice, bob.joined))
    room.post(bob, post(bob.joined))
    first = take(room, alice)
    assert room.resume(alice, alice.joined, 0)
    assert take(room, alice) == first
    assert room.resume(alice, 3, 1)
    again = take(room, alice)
    assert numbers(again) == [4, 5]
    assert [each["number"] for each in again if "number" in each] == [2]


def test_resuming_where_nothing_was_lost(room: Room[str]) -> None:
    """Nothing comes twice."""
    alice, bob = join(room, "alice"), join(room, "bob")
    room.hold_wrap(bob, wrap(alice.id))
    seq = room.post(bob, post(bob.joined))
    take(room, alice)
    assert room.resume(alice, seq, 1)
    assert take(room, alice) == []


def test_resuming_after_falling_off(room: Room[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Is not resuming."""
    monkeypatch.setattr(limits, "LOG_ENTRIES", 4)
    alice, bob = join(room, "alice"), join(room, "bob")
    for _ in range(9):
        room.post(alice, post(bob.joined))
    assert not room.resume(bob, bob.joined, 0)
    assert room.resume(bob, last(room) - 4, 0)


def test_resuming_with_a_number_that_is_not_there_yet(room: Room[str]) -> None:
    """Another server's, perhaps, or a liar's."""
    alice = join(room, "alice")
    assert not room.resume(alice, 2, 0)
    assert room.resume(alice, 1, 0)


def test_resuming_before_the_own_join(room: Room[str]) -> None:
    """What was said before one came is not for one."""
    alice = join(room, "alice")
    room.post(alice, post(1))
    bob = join(room, "bob")
    assert not room.resume(bob, 1, 0)
    assert room.resume(bob, bob.joined, 0)


def test_resuming_when_the_news_of_falling_off_was_lost(
    room: Room[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not know that it missed something: going on would lose that in silence."""
    monkeypatch.setattr(limits, "LOG_ENTRIES", 4)
    alice, bob = join(room, "alice"), join(room, "bob")
    take(room, bob)
    known = last(room)
    for _ in range(9):
        room.post(alice, post(bob.joined))
    assert isinstance(room.take(bob), Snapshot)  # and the connection breaks
    assert not room.resume(bob, known, 0)


def test_resuming_after_overrunning_the_queue(
    room: Room[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is not resuming either."""
    monkeypatch.setattr(limits, "CHAIN_BYTES", 1000)
    alice, bob = join(room, "alice"), join(room, "bob")
    give(room, bob, alice)
    assert not room.resume(alice, 1, 0)


@pytest.mark.parametrize(("seq", "number", "missed"), [
    (2, 1, 6), (4, 2, 3), (None, 0, 8), (99, 9, 0), (0, 0, 9),
])  # fmt: skip
def test_beginning_anew_instead_of_resuming(
    room: Room[str], seq: int | None, number: int, missed: int
) -> None:
    """The same member as a newcomer; it hears how much it has missed, by what it says it has."""
    alice, bob = join(room, "alice"), join(room, "bob")
    for ref in (1, 2):
        room.send_private(bob, private(alice, bob.joined, ref))
    for _ in range(5):
        room.post(bob, post(bob.joined))
    take(room, alice)
    assert room.has(alice, 2) and not room.has(alice, None) and not room.has(alice, 0)
    snapshot = room.begin_anew(alice, seq, number)
    assert (snapshot.at, snapshot.member_id, snapshot.seq) == (1, alice.id, 8)
    assert snapshot.missed == missed
    assert [(line.nick, line.joined) for line in snapshot.members] == [("alice", 8), ("bob", 2)]
    assert entries(take(room, bob))[-1] == {"type": "rejoined", "seq": 8, "id": alice.id}
    assert take(room, alice) == []
    room.leave(alice)
    with pytest.raises(Gone):
        room.begin_anew(alice, seq, number)


class History:
    """A room, its members as clients see it, and what each of them must have got."""

    def __init__(self) -> None:
        self.room: Room[str] = Room("tea", 1)
        self.readers: list[Reader] = []
        self.log: dict[int, tuple[str, int, int]] = {}  # kind, sender, change
        self.refs = 0

    def changed(self) -> None:
        """Note the entries that the room has appended."""
        for entry in self.room._log:
            if entry.seq not in self.log:
                kind = json.loads(entry.whole)["type"]
                self.log[entry.seq] = kind, entry.sender, entry.change

    def step(self, action: str, who: int, amount: int) -> None:
        """One of the actions below, by one of the members."""
        if action == "join" or not self.readers:
            if len(self.readers) < 5:
                self.readers.append(Reader(self, join(self.room)))
        else:
            reader = self.readers[who % len(self.readers)]
            try:
                getattr(self, "do_" + action)(reader, amount)
            except (Gone, RateLimited, Stale, Unexpected):
                pass
        self.changed()

    def do_post(self, reader: Reader, amount: int, epoch: int = 1) -> None:
        """It brings the keys that wait for it, if it is taken."""
        self.refs += 1
        changes = list(self.room._changes)
        sealed = box(b"g" * 40 * amount, epoch, self.refs)
        before = [each.member.private.number for each in self.readers]
        place = self.room._seq
        change = changes[-1 - amount % len(changes)]
        self.room.post(reader.member, frames.Post(self.refs, 1, change, sealed))
        for each, number in zip(self.readers, before, strict=True):
            each.expect_private(number, place)

    def do_wrap(self, reader: Reader, amount: int) -> None:
        other = self.readers[amount % len(self.readers)]
        wrapped = reader.member.wrapped
        epoch = (0 if wrapped is None else wrapped.epoch) + amount % 2
        before = other.member.private.number
        self.room.hold_wrap(reader.member, wrap(other.member.id, epoch, self.refs + 1))
        assert other.member.private.number == before
        self.do_post(reader, amount % 3, epoch)

    def do_private(self, reader: Reader, amount: int) -> None:
        other = self.readers[amount % len(self.readers)]
        before = other.member.private.number
        self.room.send_private(reader.member, private(other.member, self.room._changes[-1]))
        other.expect_private(before, self.room._seq, post=True)

    def do_rename(self, reader: Reader, amount: int) -> None:
        self.room.rename(reader.member, f"name-{amount}")

    def do_leave(self, reader: Reader, amount: int) -> None:
        if amount % 4 == 0:
            self.room.leave(reader.member)
            self.readers.remove(reader)

    def do_round(self, reader: Reader, amount: int) -> None:
        self.room.round()

    def do_take(self, reader: Reader, amount: int) -> None:
        reader.take()

    def do_lose(self, reader: Reader, amount: int) -> None:
        reader.lose(amount % 4)

    def do_confirm(self, reader: Reader, amount: int) -> None:
        reader.confirm()


class Reader:
    """A member, and the client behind it: what it knows is what arrived."""

    def __init__(self, history: History, member: Member[str]) -> None:
        self.history, self.member = history, member
        self.begin()

    def begin(self) -> None:
        """A newcomer, now."""
        self.joined = self.seq = self.reached = self.member.joined
        self.number = self.member.private.number
        self.got: list[tuple[str, int]] = []
        self.private: list[tuple[int, int]] = []  # number, after
        self.posts: set[int] = set()  # numbers of those that are private posts

    def expect_private(self, before: int, place: int, post: bool = False) -> None:
        """Something was put into the queue, unless it overran."""
        if self.member.private.number > before and not self.member.behind:
            self.posts |= {self.member.private.number} if post else set()
            self.private.append((self.member.private.number, place))

    def take(self) -> bool:
        """What one record carries arrives; False if there is nothing."""
        taken = self._take()
        for frame in taken:
            if frame["type"] == "log":
                for entry in frame["entries"]:
                    self.got.append(("log", entry["seq"]))
                    self._check(entry)
                assert frame["to"] > self.seq
                self.seq = frame["to"]
            else:
                assert frame["number"] == self.number + 1
                self.number = frame["number"]
                self.got.append(("private", frame["number"]))
        return bool(taken)

    def _take(self) -> Frames:
        overrun = self.member.behind
        taken = self.history.room.take(self.member)
        self.history.changed()
        if isinstance(taken, Snapshot):
            assert overrun or taken.seq - 1 - self.reached > limits.LOG_ENTRIES
            lost = self.posts - {number for kind, number in self.got if kind == "private"}
            assert taken.missed == taken.seq - 1 - self.reached + len(lost)
            self.begin()
            return []
        size = sum(map(len, taken))
        read: Frames = [json.loads(each) for each in taken]
        assert size < limits.SLICE_BYTES + 100 or len(read) == 1
        self.reached = max([self.reached, *(frame["to"] for frame in read if "to" in frame)])
        return read

    def _check(self, entry: dict[str, Any]) -> None:
        kind, sender, _ = self.history.log[entry["seq"]]
        own = kind == "posted" and sender == self.member.id
        assert entry["type"] == ("own_posted" if own else kind)

    def lose(self, records: int) -> None:
        """Some records leave the server and never arrive; then it comes back."""
        joined = self.member.joined
        for _ in range(records):
            self._take_and_lose()
        resumed = self.history.room.resume(self.member, self.seq, self.number)
        if self.member.joined != joined:
            assert not resumed
        if resumed:
            self.reached = self.seq
            return
        room = self.history.room
        room.leave(self.member)
        self.history.changed()
        self.member = join(room)
        self.begin()

    def _take_and_lose(self) -> None:
        if not isinstance(self.history.room.take(self.member), Snapshot):
            return
        self.history.changed()

    def confirm(self) -> None:
        """Tell the server how far it is."""
        self.history.room.confirm(self.member, self.seq, self.number)

    def wanted(self) -> list[tuple[str, int]]:
        """All that it must have got since it came, in order."""
        found: list[tuple[int, int, tuple[str, int]]] = []
        for seq, (kind, sender, change) in self.history.log.items():
            visible = kind != "posted" or sender == self.member.id or change >= self.joined
            if seq > self.joined and visible:
                found.append((seq, 0, ("log", seq)))
        found += [(after, number, ("private", number)) for number, after in self.private]
        return [each for _, _, each in sorted(found)]


ACTIONS = ["join", "post", "post", "wrap", "private", "rename", "leave", "round", "round", "take",
           "take", "take", "take", "lose", "lose", "confirm"]  # fmt: skip


BOUNDS = [(5, 900, 8000), (4096, 900, 8000), (5, 40_000, 10**6), (4096, 3000, 10**6)]
_BOUNDED = ("LOG_ENTRIES", "SLICE_BYTES", "PRIVATE_BYTES", "PRIVATE_BYTES_OF_ONE", "CHAIN_BYTES")
Step = tuple[str, int, int]


def play(steps: list[Step], bounds: tuple[int, int, int]) -> None:
    """Do it, deliver what is left, and compare."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(_BOUNDED, (*bounds, *bounds[2:] * 2), strict=True):
            patch.setattr(limits, name, value)
        history = History()
        for step in steps:
            history.step(*step)
        for _ in range(3):  # whoever rejoins has something to say to those before it
            history.room.round()
            for reader in history.readers:
                while reader.take():
                    pass
        for reader in history.readers:
            assert reader.got == reader.wanted()


@pytest.mark.soak
@settings(max_examples=int(os.environ.get("CMD_CHAT_SOAK") or 300))
@given(
    st.lists(
        st.tuples(st.sampled_from(ACTIONS), st.integers(0, 4), st.integers(0, 60)), max_size=100
    ),
    st.sampled_from(BOUNDS),
)
def test_whatever_happens_everyone_gets_the_rest_and_nothing_twice(
    steps: list[Step], bounds: tuple[int, int, int]
) -> None:
    """Random histories with lost records, resumptions, overruns, against a plain model."""
    play(steps, bounds)


@pytest.mark.parametrize("seed", range(40))
def test_long_histories(seed: int) -> None:
    """The same, for as long as a log is turned over many times."""
    chance = random.Random(seed)
    steps = [
        (chance.choice(ACTIONS), chance.randint(0, 4), chance.randint(0, 60)) for _ in range(250)
    ]
    play(steps, BOUNDS[seed % len(BOUNDS)])


# Rooms


def test_a_room_is_full(room: Room[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """At its bound; a place that came free is free."""
    monkeypatch.setattr(limits, "ROOM_MEMBERS", 3)
    members = [join(room) for _ in range(3)]
    before = last(room)
    with pytest.raises(RoomFull):
        join(room)
    assert last(room) == before and room.count() == 3
    room.leave(members[0])
    join(room)


def test_rooms_come_and_go() -> None:
    """The first makes it, the last takes it along; a new one of that name has a new log."""
    rooms: Rooms[str] = Rooms()
    alice, snapshot = rooms.enter("Tea", "a", "alice", BUNDLE)
    bob, _ = rooms.enter("tEA", "b", "bob", BUNDLE)
    assert bob.room is alice.room and snapshot.room == "Tea" and held(rooms) == 1
    rooms.leave(alice)
    assert held(rooms) == 1
    rooms.leave(bob)
    assert held(rooms) == 0
    other, anew = rooms.enter("tea", "a", "alice", BUNDLE)
    rooms.leave(bob)  # again, by mistake
    assert held(rooms) == 1 and other.room.log_id != bob.room.log_id
    assert anew.at != snapshot.at


def test_ids_are_never_used_again() -> None:
    """In no room, by nobody, not even by the same client coming back."""
    rooms: Rooms[str] = Rooms()
    seen = set()
    for name in "abab":
        for _ in range(3):
            member, _ = rooms.enter(name, "a", "alice", BUNDLE)
            assert member.id not in seen
            seen.add(member.id)
            rooms.leave(member)


def test_rooms_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is refused; going into one that is there is not."""
    rooms: Rooms[str] = Rooms(most=2)
    rooms.enter("a", "1", "x", BUNDLE)
    member, _ = rooms.enter("b", "2", "y", BUNDLE)
    with pytest.raises(ServerFull):
        rooms.enter("c", "3", "z", BUNDLE)
    rooms.enter("a", "3", "z", BUNDLE)
    monkeypatch.setattr(limits, "ROOM_MEMBERS", 2)
    with pytest.raises(RoomFull):
        rooms.enter("a", "4", "w", BUNDLE)
    rooms.leave(member)
    rooms.enter("c", "3", "z", BUNDLE)
    assert held(rooms) == 2


def test_the_listing_is_sorted_and_counted() -> None:
    """By the names' keys, with the names as they were given first."""
    rooms: Rooms[str] = Rooms()
    for name, count in (("beta", 2), ("Alpha", 1), ("gamma", 3)):
        for number in range(count):
            rooms.enter(name, "x", f"n{number}", BUNDLE)
    listed = [(line.room, line.count) for line in rooms.listing()]
    assert listed == [("Alpha", 1), ("beta", 2), ("gamma", 3)]


def test_owners_are_who_is_there(room: Room[str]) -> None:
    """What the broadcaster goes over."""
    alice = join(room, "alice")
    join(room, "bob")
    room.leave(alice)
    assert room.round() == ["bob"]


def test_the_first_rooms_of_a_list() -> None:
    """By their keys, whoever came first; and how many there are in all."""
    rooms: Rooms[str] = Rooms()
    for name in ("delta", "Charlie", "alpha", "BRAVO"):
        rooms.enter(name, "x", "n", BUNDLE)
    assert [line.room for line in rooms.listing(3)] == ["alpha", "BRAVO", "Charlie"]
    assert [line.room for line in rooms.listing(9)] == ["alpha", "BRAVO", "Charlie", "delta"]
    assert rooms.count() == 4


# Threads


def test_posting_and_taking_at_once(room: Room[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Four post while three take: each reader sees the log's order without a gap."""
    monkeypatch.setattr(limits, "SLICE_BYTES", 2000)
    writers = [join(room, f"writer-{number}") for number in range(4)]
    readers = [join(room, f"reader-{number}") for number in range(3)]
    change = readers[-1].joined
    done = threading.Event()
    seqs: list[list[int]] = [[] for _ in writers]
    got: list[Frames] = [[] for _ in readers]
    for reader in readers:
        take(room, reader)

    def write(number: int) -> None:
        for ref in range(1, 101):
            room.hold_wrap(writers[number], wrap(readers[ref % 3].id, ref))
            sealed = frames.Post(ref, 1, change, box(epoch=ref))
            seqs[number].append(room.post(writers[number], sealed))

    def read(number: int) -> None:
        while not done.is_set():
            got[number] += take(room, readers[number])
        got[number] += take(room, readers[number])

    reading = [threading.Thread(target=read, args=(number,)) for number in range(3)]
    writing = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in (*reading, *writing):
        thread.start()
    for thread in writing:
        thread.join()
    done.set()
    for thread in reading:
        thread.join()
    everything = list(range(change + 1, change + 401))
    assert sorted(sum(seqs, [])) == everything
    assert all(each == sorted(each) for each in seqs)
    for taken in got:
        start = [seq for seq in numbers(taken) if seq > change]
        assert start == everything
        keys = [frame["number"] for frame in taken if frame["type"] == "key_for"]
        assert keys == list(range(1, len(keys) + 1)) and keys


def test_coming_and_going_at_once() -> None:
    """Threads that enter and leave leave no room, and none of them sees a stranger's log."""
    rooms: Rooms[str] = Rooms()
    failures: list[BaseException] = []

    def visit(number: int) -> None:
        try:
            for turn in range(60):
                name = f"room-{turn % 2}"
                member, snapshot = rooms.enter(name, "x", f"n{number}", BUNDLE)
                room = member.room
                assert snapshot.seq == member.joined
                room.post(member, post(member.joined))
                taken = take(room, member)
                assert all(seq > member.joined for seq in numbers(taken))
                rooms.leave(member)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert held(rooms) == 0


@pytest.fixture(autouse=True)
def entries_are_consistent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In every test here: what is appended has the next number, and says so."""
    append = Room._append_locked

    def checked(self: Room[str], encoded: bytes, *rest: Any) -> None:
        append(self, encoded, *rest)
        if not self._log:
            return  # nobody needs it
        entry: Entry = self._log[-1]
        assert json.loads(entry.whole)["seq"] == entry.seq == self._seq
        if entry.stub:
            assert json.loads(entry.stub)["seq"] == entry.seq

    monkeypatch.setattr(Room, "_append_locked", checked)
    yield


def test_errors_have_stable_codes() -> None:
    """What a room raises is all of one tree."""
    assert [error.code for error in (Gone, Stale, RoomFull, ServerFull, Repeated)] == [
        "gone", "stale", "room_full", "server_full", "repeated",
    ]  # fmt: skip
    assert all(issubclass(error, ChatError) for error in (Gone, Stale, RoomFull, Unexpected))
