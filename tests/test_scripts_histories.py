"""The same things done in the rooms of one process and by the scripts have the same effects.

Logs and private queues are compared byte by byte, outcomes by what a client is answered.  With
CMD_CHAT_SOAK there are as many histories, from CMD_CHAT_SEED.
"""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from protocol import frames, wire_json
from protocol.codec import encode
from protocol.errors import ChatError, Refusal, Repeated
from protocol.names import nick_looks
from server.cluster import calls, replies
from server.cluster.calls import HeldWrap, PlaceWanted, SessionClaim
from server.member import Member
from server.requests import refusal
from server.rooms import Room, Rooms
from tests.fuzzing import SEED, SOAK
from tests.script_kit import (  # noqa: F401
    Guest,
    MakeNode,
    Node,
    SetLimit,
    make_node_fixture,
    set_limit_fixture,
)
from tests.test_rooms import BUNDLE
from tests.wire import box, wrap

ROOMS = ("den", "Lab")
PEOPLE, STEPS = 4, 60


@pytest.fixture
def small_limits(set_limit: SetLimit) -> None:
    """Bounds that a short history meets."""
    for name, value in {"CHANGES_BEHIND": 3, "PRIVATE_BYTES": 4000, "PRIVATE_BYTES_OF_ONE": 2500,
                        "CHAIN_BYTES": 3000, "ROOM_MEMBERS": 3}.items():  # fmt: skip
        set_limit(name, value)


class Person:
    """A session here and there, and what was answered to it."""

    def __init__(self, node: Node, number: int) -> None:
        self.guest = Guest(node, number, f"p{number}")
        self.nick = self.guest.nick
        self.members: dict[str, Member[Any]] = {}  # key: room
        self.sent: Counter[str] = Counter()  # key: room; up to which private number
        self.answers: dict[int, tuple[Callable[[], Any], bytes]] = {}


class History:
    """One history, by a seed."""

    def __init__(self, nodes: list[Node], seed: int) -> None:
        self.chance = random.Random(seed)
        self.nodes, self.rooms = nodes, Rooms[Any]()
        self.people = [Person(self.chance.choice(nodes), number) for number in range(1, PEOPLE + 1)]
        self.behind: set[int] = set()  # ids of members
        self.did: Counter[str] = Counter()
        for person in self.people:
            self._enter(person)

    def step(self) -> None:
        deeds = {"enter": 4, "leave": 1, "post": 8, "private": 5, "confirm": 2, "rename": 1,
                 "rejoin": 2, "again": 2, "move": 1, "nodes": 1}  # fmt: skip
        deed = self.chance.choices([*deeds], [*deeds.values()])[0]
        person = self.chance.choice(self.people)
        word = getattr(self, f"_{deed}")(person)
        self.did[f"{deed} {word}"] += 1
        self.compare()

    # What is done

    def _room(self, person: Person) -> str:
        """One that it is in, mostly."""
        inside = [*person.members]
        return self.chance.choice(inside if inside and self.chance.random() < 0.95 else ROOMS)

    def _ask(
        self, person: Person, here: Callable[[int], bytes], there: Callable[[int], Any]
    ) -> str:
        """A request with a new ref on both sides, which are answered alike; the word."""
        ref = person.guest.next()
        try:
            answer = here(ref)
        except ChatError as error:
            answer = refusal(error, ref) if isinstance(error, Refusal) else b""
        outcome = there(ref)
        assert outcome.encoded == answer, (outcome, answer)
        if answer:
            person.answers[ref] = (lambda: there(ref), answer)
        else:
            person.guest.ref -= 1  # it was not taken
        return str(outcome.word)

    def _enter(self, person: Person) -> str:
        name = self.chance.choice(ROOMS)
        leave = self.chance.choice([*person.members, "", "", "", ""])
        ref = person.guest.next()
        member = person.members.get(name)
        if member is not None and leave == name:
            leave = ""
        came = None
        if member is None:
            try:
                member, snapshot = self.rooms.enter(name, person, person.nick, BUNDLE, ref)
            except ChatError as error:
                assert error.code == "room_full"
                came = self._enter_there(person, name, ref, "")
                assert came.word == "ROOM_FULL"
                self.rooms._last_id -= 1
                person.guest.ref -= 1
                return "ROOM_FULL"
            person.members[name] = member
            person.sent[name] = 0
            came = self._enter_there(person, name, ref, leave)
            assert came.word == "OK"
            assert (came.member_id, came.joined, came.room.number) == (
                member.id,
                member.joined,
                snapshot.at,
            )
            assert came.room.seq == snapshot.seq and came.room.name == snapshot.room
            assert came.room.log_id == snapshot.log_id.hex()
            assert [(row.id, row.nick, row.joined, row.bundle) for row in came.room.roster] == [
                (each.id, each.nick, each.joined, each.bundle.encoded) for each in snapshot.members
            ]
            assert self._enter_there(person, name, ref, leave)[1:7] == came[1:7], "once more"
        else:
            came = self._enter_there(person, name, ref, leave)
            assert came.word == "IN"
        if leave:
            self.rooms.leave(person.members.pop(leave))
        answer = frames.Accepted(ref).encode()
        person.answers[ref] = (lambda: person.guest.node.do(
            replies.answer, calls.answer(person.guest.claim, ref, b"other")), answer)  # fmt: skip
        return str(came.word)

    def _enter_there(self, person: Person, name: str, ref: int, leave: str) -> Any:
        room = self.rooms.find(name)
        log_id = room.log_id.hex() if room is not None else "00" * 16
        nick = encode(person.nick)
        place = PlaceWanted(name.lower(), name, log_id, nick, BUNDLE.encoded, 100, roster=True)
        call = calls.enter(person.guest.claim, place, ref, leave.lower())
        return person.guest.node.do(replies.enter, call)

    def _leave(self, person: Person) -> str:
        name = self._room(person)

        def here(ref: int) -> bytes:
            member = person.members.pop(name, None)
            if member is None:
                raise GONE
            self.rooms.leave(member)
            return frames.Accepted(ref).encode()

        def there(ref: int) -> Any:
            guest = person.guest
            return guest.node.do(replies.leave, calls.leave(guest.claim, name.lower(), ref))

        return self._ask(person, here, there)

    def _change(self, name: str, member: Member[Any] | None) -> int:
        room = self.rooms.find(name)
        if room is None or member is None:
            return 1
        choices = [room._changes[-1]] * 6 + [
            *room._changes,
            member.joined,
            room._seq,
            room._seq + 1,
        ]
        return self.chance.choice(choices)

    def _post(self, person: Person) -> str:
        name = self._room(person)
        member = person.members.get(name)
        change = self._change(name, member)
        last_epoch, last_n = member.posted if member is not None else (0, 0)
        epoch = max(1, last_epoch + self.chance.choice((0, 0, 0, 1, -1)))
        n = max(0, last_n + self.chance.choice((0, 1, 1))) if epoch == last_epoch else 0
        ids = range(1, self.rooms._last_id + 2)
        tos = self.chance.sample(ids, min(len(ids), self.chance.choice((0, 2, 4))))
        if member is not None and self.chance.random() < 0.5:
            tos += [each.members[name].id for each in self.people if name in each.members]
        wraps = [wrap(to, epoch, self.chance.choice((n, n, n + 1, 0))) for to in tos]
        sealed = box(b"x" * self.chance.choice((1, 300)), epoch=epoch, n=n)
        member_id = member.id if member is not None else 999
        rest = wire_json.posted(member_id, change, sealed)

        self._hold(person, name, epoch, wraps)

        def here(ref: int) -> bytes:
            if member is None:
                raise GONE
            post = frames.Post(ref, member.room.number, change, sealed)
            return wire_json.accepted(ref, member.room.post(member, post))

        def there(ref: int) -> Any:
            guest = person.guest
            call = calls.post(
                guest.claim, name.lower(), member_id, ref, change, (epoch, n), rest, guest.holds
            )
            return guest.node.do(replies.post, call)

        return self._ask(person, here, there)

    @staticmethod
    def _hold(person: Person, name: str, epoch: int, wraps: list[frames.Wrap]) -> None:
        member, guest = person.members.get(name), person.guest
        if member is None or not wraps:
            return
        for each in wraps:
            with contextlib.suppress(Repeated):
                member.room.hold_wrap(member, each)
        held = [HeldWrap(each.to, each.n, wire_json.key_for(member.id, each)) for each in wraps]
        guest.holds += 1
        call = calls.hold(guest.claim, name.lower(), member.id, epoch, guest.holds, held)
        guest.node.do(replies.hold, call)

    def _private(self, person: Person) -> str:
        name = self._room(person)
        member = person.members.get(name)
        change = self._change(name, member)
        others = [each.members[name].id for each in self.people if name in each.members]
        to = self.chance.choice([*others * 3, 999, self.rooms._last_id])
        sealed = frames.Private(
            1, 1, change, wrap(to), box(b"x" * self.chance.choice((1, 500, 3000)))
        )
        member_id = member.id if member is not None else 999
        rest = wire_json.private_for(member_id, sealed)

        def here(ref: int) -> bytes:
            if member is None:
                raise GONE
            member.room.send_private(member, sealed)
            return frames.Accepted(ref).encode()

        def there(ref: int) -> Any:
            guest = person.guest
            call = calls.private(guest.claim, name.lower(), member_id, ref, to, change, rest)
            return guest.node.do(replies.private, call)

        return self._ask(person, here, there)

    def _confirm(self, person: Person) -> str:
        name = self._room(person)
        member = person.members.get(name)
        if member is None:
            return person.guest.confirm(name, 5)
        while member.private:
            member.private.take(1 << 50)
        person.sent[name] = max(person.sent[name], member.private.number)
        number = self.chance.randint(0, person.sent[name])
        member.room.confirm(member, 0, number)
        return person.guest.confirm(name, number)

    def _rename(self, person: Person) -> str:
        if not person.members:
            return "nowhere"
        nick = f"{person.nick.split('-')[0]}-{person.guest.ref}"
        name = self.chance.choice([*person.members])

        def here(ref: int) -> bytes:
            person.nick = nick
            seqs = {
                each: member.room.rename(member, nick) for each, member in person.members.items()
            }
            return frames.Accepted(ref, seqs[name]).encode()

        def there(ref: int) -> Any:
            guest = person.guest
            call = calls.rename(guest.claim, name.lower(), ref, nick, nick_looks(nick))
            return guest.node.do(replies.rename, call)

        return self._ask(person, here, there)

    def _rejoin(self, person: Person) -> str:
        behind = [name for name, member in person.members.items() if member.behind]
        name = self.chance.choice(behind) if behind else self._room(person)
        member = person.members.get(name)
        if member is None:
            assert person.guest.rejoin(name, 1) is None
            return "GONE"
        number = self.chance.choice((0, person.sent[name]))
        joined, room = member.joined, member.room
        between = room._seq - member.cursor
        snapshot = room.begin_anew(member, member.cursor, number)
        came = person.guest.rejoin(name, joined, number)
        assert came == (snapshot.seq, snapshot.missed - between)
        assert person.guest.rejoin(name, joined, number) == came, "once more"
        return "OK" if not behind else "BEHIND"

    def _again(self, person: Person) -> str:
        """A request that was answered already."""
        if not person.answers:
            return "nothing"
        ask, answer = person.answers[self.chance.choice([*person.answers])]
        outcome = ask()
        assert (outcome.word, outcome.encoded) == ("AGAIN", answer)
        return "AGAIN"

    def _move(self, person: Person) -> str:
        """Its connection is lost, or not, and it comes back at any node."""
        old = person.guest.claim
        if self.chance.random() < 0.5:
            person.guest.lose()
        assert person.guest.come(self.chance.choice(self.nodes)).word == "OK"
        with pytest.raises(replies.SessionFenced):
            self.nodes[0].do(replies.lost, calls.lost(SessionClaim(*old)))
        return "OK"

    def _nodes(self, person: Person) -> str:
        """The minute's work, which changes nothing."""
        node = person.guest.node
        known = [(room.name.lower(), room.number) for room in self.rooms._rooms.values()]
        call = calls.renew_rooms(node.at, known, 1_000_000)
        assert node.do(replies.renew_rooms, call) == ()
        assert node.do(replies.renew_sessions, calls.renew_sessions([person.guest.claim])) == ()
        return "OK"

    # What is compared

    def compare(self) -> None:
        node = self.nodes[0]
        total, listed = node.do(replies.listing, calls.listing(node.at, 10))
        assert listed == tuple((line.room, line.count) for line in self.rooms.listing())
        assert total == self.rooms.count()
        for room in self.rooms._rooms.values():
            self._compare_room(node, room)
        for person in self.people:
            self._compare_person(person)

    def _compare_room(self, node: Node, room: Room[Any]) -> None:
        key = room.name.lower()
        log = node.log(key)
        ours = [entry.whole for entry in room._log]
        assert log[len(log) - len(ours) :] == ours
        state = dict(
            zip(*[iter(node.ask("HGETALL", node.key("room", key, "state")))] * 2, strict=True)
        )
        assert int(state[b"seq"]) == room._seq == len(log)
        assert int(state[b"change"]) == room._changes[-1]
        joins = sum(each.startswith(b'{"type":"joined"') for each in log)
        assert int(state[b"bytes"]) == sum(map(len, log)) - 2 * joins
        changes = node.ask("LRANGE", node.key("room", key, "changes"), 0, -1)
        assert [*map(int, changes)] == [*room._changes]
        places = Counter(
            person.guest.node.at.node for person in self.people if room.name in person.members
        )
        assert node.nodes(key) == places
        for member in room._members.values():
            self._compare_queue(node, room, member)

    def _compare_queue(self, node: Node, room: Room[Any], member: Member[Any]) -> None:
        key, queue = room.name.lower(), member.private
        waiting = [(each.after, each.encoded) for each in queue._unconfirmed + queue.waiting]
        assert node.queue(key, room.number, member.id) == waiting
        if member.behind and member.id not in self.behind:
            queue.next_number()  # there an entry says so, which is no frame
        self.behind = self.behind | {member.id} if member.behind else self.behind - {member.id}
        fields = node.ask("HGETALL", node.key("room", key, "q", member.id))
        known = dict(zip(fields[::2], map(int, fields[1::2]), strict=True))
        assert known.get(b"number", 0) == queue.number
        assert known.get(b"behind", 0) == member.behind
        sizes = {int(name[2:]): size for name, size in known.items() if name.startswith(b"b:")}
        assert sizes == {sender: size for sender, size in queue._bytes.items() if size}
        assert known.get(b"posts", 0) == queue.size - queue._bytes[0]

    def _compare_person(self, person: Person) -> None:
        state = person.guest.look()
        assert (state.nick, state.taken) == (person.nick, max(person.answers, default=0))
        assert {stay.name: stay[1:2] + stay[6:7] + stay[8:] for stay in state.stays} == {
            name: (member.id, member.joined, member.room._seq, member.private.number, member.behind,
                   member.posted)
            for name, member in person.members.items()
        }  # fmt: skip


class _Gone(Refusal):
    code = "gone"


GONE = _Gone()


@pytest.mark.timeout(0 if SOAK else 60)
@pytest.mark.soak
def test_histories(make_node: MakeNode, small_limits: None) -> None:
    did: Counter[str] = Counter()
    for number in range(SOAK or 6):
        nodes = [make_node(epoch=f"e{number}"), make_node()]
        history = History(nodes, SEED + number)
        try:
            for _ in range(STEPS):
                history.step()
        except BaseException:
            print(f"history {SEED + number}")
            raise
        did += history.did
        for person in history.people:
            person.guest.end()
        for node in nodes:
            node.do(replies.retire, calls.retire(node.at))
        assert nodes[0].left() == set()
    if SOAK:
        print(did)
    assert {"post OK", "post STALE", "post UNEXPECTED", "private FULL", "rejoin BEHIND",
            "again AGAIN", "enter IN", "enter ROOM_FULL", "move OK", "post GONE",
            "private GONE", "private STALE", "rename OK", "leave OK"} <= set(did)  # fmt: skip
