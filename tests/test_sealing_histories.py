"""Random histories of two rooms with an honest server, over the real sealing cores.

People join, leave, change rooms and nicknames, fall behind, are told of it late, and talk all
the while, some in both rooms at once; frames wait on their way in both directions.  Whatever
happens:

* a post is opened by exactly those who were there at its ``change`` and still are;
* nobody else ever held a key that opens it;
* everybody sees each text once, in the log's order;
* nobody finds anything wrong.

The suite runs a fixed sample.  ``CMD_CHAT_SOAK`` asks for that many histories instead, and
``CMD_CHAT_SEED`` says from where.
"""

from __future__ import annotations

import functools
import os
import random
from collections import Counter, deque
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from client.encryption import envelope
from client.encryption.encryption import Encryption
from client.encryption.posts import OpenedPost, SealedPost
from client.encryption.room_encryption import RoomEncryption
from client.encryption.roster import RosterHistory
from client.encryption.sender_keys import ROOM_AUDIENCE, Context, SenderChain, member_audience
from client.encryption.transcript import TranscriptHash
from protocol.frames import Box, MemberLine, Wrap
from protocol.keys import Identity

SOAK = int(os.environ.get("CMD_CHAT_SOAK") or 0)

PEOPLE = ("ann", "ben", "cat", "dan", "eve")
TWICE = ("ann", "ben", "cat")  # in up to two rooms at once
ROOMS = ("den", "attic")
SALTS = {"den": b"", "attic": bytes(range(32))}

# What may happen, and how often compared with the rest.
WEIGHTS = {
    "say": 7,
    "whisper": 2,
    "server_takes": 2,
    "seal_anew": 1,
    "read": 4,
    "everybody_reads": 2,
    "resume": 1,
    "come": 2,
    "leave": 1,
    "rename": 1,
    "fall_behind": 2,
}
HAPPENS = [what for what, weight in WEIGHTS.items() for _ in range(weight)]

# Small, so that a history of fifty steps reaches them.
EPOCH_POSTS = 4
CHANGES_BEHIND = 3
TRANSCRIPT_POSTS = 6


@functools.cache
def identity(name: str) -> Identity:
    return Identity()


@dataclass(frozen=True)
class Entry:
    """An entry of the log: ``what`` is post, joined, left, renamed or rejoined."""

    what: str
    who: int
    nick: str = ""
    line: MemberLine | None = None
    sealed: SealedPost | None = None


@dataclass
class Log:
    """A room as the server has it."""

    name: str
    log_id: bytes
    entries: list[Entry] = field(default_factory=list)
    members: dict[int, Person] = field(default_factory=dict)
    changes: list[int] = field(default_factory=list)

    @property
    def end(self) -> int:
        return len(self.entries)

    def append(self, entry: Entry) -> int:
        self.entries.append(entry)
        if entry.what != "post":
            self.changes.append(self.end)
        return self.end

    def roster(self) -> list[MemberLine]:
        return [person.line for person in self.members.values()]

    def takes(self, sender: Person, change: int) -> bool:
        """Whether a post sealed at ``change`` is not too old."""
        return change in self.changes[-CHANGES_BEHIND - 1 :] and sender.line.joined <= change


@dataclass
class Person:
    """A client and a place that it has at the server; another one may be of the same client."""

    name: str
    client: Encryption
    line: MemberLine
    core: RoomEncryption = field(init=False)
    log: Log | None = None
    cursor: int = 0
    queue: deque[tuple[int, tuple[object, ...]]] = field(default_factory=deque)
    confirmed: list[tuple[int, tuple[object, ...]]] = field(default_factory=list)
    outbox: deque[tuple[str, SealedPost, str]] = field(default_factory=deque)
    refused: list[tuple[SealedPost, str]] = field(default_factory=list)
    fresh: list[MemberLine] | None = None  # a roster on its way: it fell behind
    expected: dict[tuple[bytes, int], str] = field(default_factory=dict)
    shown: dict[tuple[bytes, int], str] = field(default_factory=dict)
    whispers: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Record:
    """A sealed post, for those who should not be able to open it."""

    context: Context
    salt: bytes
    box: Box
    present: frozenset[bytes]


class Histories(RuleBasedStateMachine):
    """Every rule is something that really happens; checks stand where it is judged."""

    def __init__(self) -> None:
        super().__init__()
        self.random = random.Random(0)  # noqa: S311  # for the outsiders' sample only
        self.ids = 0
        self.texts = 0
        self.logs: dict[str, Log] = {}
        self.people: list[Person] = []
        self.records: list[Record] = []
        self.wraps: list[tuple[Context, bytes, Wrap]] = []  # with the recipient's fingerprint

    @initialize()
    def begin(self) -> None:
        clients = {name: Encryption(identity(name)) for name in PEOPLE}
        for name in (*PEOPLE, *TWICE):
            line = MemberLine(0, name, 0, identity(name).bundle)
            self.people.append(Person(name, clients[name], line))
        for person in self.people[:4]:
            self.go(person, "den")
        for person in self.people[len(PEOPLE) :][:2]:
            self.go(person, "attic")

    @rule(
        what=st.sampled_from(HAPPENS),
        who=st.integers(0, len(PEOPLE) + len(TWICE) - 1),
        number=st.integers(0, 11),
    )
    def happens(self, what: str, who: int, number: int) -> None:
        """One rule with weights: rules of their own would be left out of most histories."""
        person = self.people[who]
        if what == "come":
            self.come(person, ROOMS[number % 3 % 2])
        elif person.log is not None:
            getattr(self, what)(person, number)

    # Coming and going

    def go(self, person: Person, room: str) -> None:
        log = self.logs.get(room)
        if log is None:
            self.ids += 1
            log = self.logs[room] = Log(room, self.ids.to_bytes(16, "big"))
        self.ids += 1
        person.line = replace(person.line, id=self.ids, joined=log.end + 1)
        person.log = log
        person.cursor = log.append(Entry("joined", self.ids, line=person.line))
        log.members[self.ids] = person
        self.enter(person, log.roster())

    def enter(self, person: Person, roster: list[MemberLine]) -> None:
        """A new stay: what waited of the old one is not sent."""
        assert person.log is not None
        person.outbox.clear()
        person.refused.clear()
        room, own, salt = person.log.name, person.line, SALTS[person.log.name]
        log_id = person.log.log_id
        person.core = person.client.enter(room, log_id, own.id, roster, own.joined, salt)
        assert person.core.warnings == []

    def drop(self, person: Person) -> None:
        """Out of the room, as the server sees it."""
        log = person.log
        assert log is not None
        self.forget(person)
        del log.members[person.line.id]
        log.append(Entry("left", person.line.id))
        person.log = None
        if not log.members:
            del self.logs[log.name]

    def forget(self, person: Person) -> None:
        """What is still on its way to ``person`` never arrives."""
        assert person.log is not None
        log_id = person.log.log_id
        person.expected = {
            (log, seq): text
            for (log, seq), text in person.expected.items()
            if log != log_id or seq <= person.cursor
        }
        del person.whispers[len(person.heard) :]
        person.queue.clear()
        person.confirmed.clear()
        person.fresh = None

    def come(self, person: Person, room: str) -> None:
        """Join, change rooms, or lose the connection and join the same room anew.

        A room that the same client is in by its other place is not entered twice.
        """
        log = self.logs.get(room)
        inside = log.members.values() if log else ()
        if any(other.client is person.client and other is not person for other in inside):
            return
        if person.log is not None:
            self.drop(person)
        self.go(person, room)

    def leave(self, person: Person, _: int) -> None:
        self.drop(person)

    def rename(self, person: Person, number: int) -> None:
        nick = f"{person.name}{number % 3}"
        assert person.log is not None
        if nick != person.line.nick:
            person.line = replace(person.line, nick=nick)
            person.log.append(Entry("renamed", person.line.id, nick=nick))

    def fall_behind(self, person: Person, _: int) -> None:
        """The server gives up on its place in the log: it will get a fresh roster."""
        assert person.log is not None
        self.forget(person)
        person.cursor = person.log.append(Entry("rejoined", person.line.id))
        person.line = replace(person.line, joined=person.cursor)
        person.fresh = person.log.roster()

    # Talking

    def text(self) -> str:
        self.texts += 1
        return f"text {self.texts}"

    def say(self, person: Person, number: int) -> None:
        """A few lines by somebody who may be up to date, and may be on a slow line."""
        if number % 2:
            self.read(person, 999)
        for _ in range(1 + number % 3):
            self.post(person, self.text())
        if number % 4:
            self.server_takes(person, 999)

    def post(self, person: Person, text: str, post_id: bytes | None = None) -> None:
        sealed = person.core.seal("text", text, post_id)
        assert sealed.warnings == ()
        self.record(person, sealed, ROOM_AUDIENCE, person.core.members())
        person.outbox.append(("post", sealed, text))

    def whisper(self, person: Person, number: int) -> None:
        others = [line for line in person.core.members() if line.id != person.line.id]
        if not others:
            return
        other = others[number % len(others)]
        text, keys = self.text(), other.bundle.fingerprint
        sealed = person.core.seal_private(other.id, keys, "action", text)
        self.record(person, sealed, member_audience(other.id, keys), (other,))
        person.outbox.append(("private", sealed, text))

    def record(
        self, person: Person, sealed: SealedPost, audience: bytes, present: tuple[MemberLine, ...]
    ) -> None:
        assert person.log is not None
        assert sealed.box.n < EPOCH_POSTS
        by_id = {line.id: line.bundle.fingerprint for line in present}
        keys = identity(person.name).fingerprint
        context = Context(person.log.name, person.log.log_id, audience, keys)
        self.wraps += [(context, by_id[wrap.to], wrap) for wrap in sealed.wraps]
        here = frozenset({keys, *by_id.values()})
        self.records.append(Record(context, SALTS[person.log.name], sealed.box, here))
        # Nobody who is not there holds a key of this epoch from this number on or before it.
        holders = {
            holder
            for known, holder, wrap in self.wraps
            if (known, wrap.epoch) == (context, sealed.box.epoch) and wrap.n <= sealed.box.n
        }
        assert holders == here - {keys}

    def server_takes(self, person: Person, count: int) -> None:
        """Frames of a client reach the server."""
        while person.outbox and person.log is not None and count:
            count -= 1
            kind, sealed, text = person.outbox.popleft()
            if kind == "private":
                self.take_private(person, sealed, text)
                continue
            for wrap in sealed.wraps:
                self.queue(person, wrap.to, ("wrap", person.line.id, wrap))
            if not self.take_post(person, sealed, text):
                person.refused.append((sealed, text))

    def queue(self, sender: Person, to: int, item: tuple[object, ...]) -> bool:
        assert sender.log is not None
        member = sender.log.members.get(to)
        if member is not None:
            member.queue.append((sender.log.end + 1, item))
        return member is not None

    def take_private(self, person: Person, sealed: SealedPost, text: str) -> None:
        """Its receiver has to have been there at ``change``, as for any post."""
        log, to = person.log, sealed.wraps[0].to
        assert log is not None
        member = log.members.get(to)
        if member is None or not log.takes(person, sealed.change):
            return  # gone, or stale: the line is handed back
        if member.line.joined <= sealed.change:
            self.queue(person, to, ("private", person.line.id, sealed))
            member.whispers.append(text)

    def take_post(self, person: Person, sealed: SealedPost, text: str) -> bool:
        log = person.log
        assert log is not None
        if not log.takes(person, sealed.change):
            return False
        seq = log.append(Entry("post", person.line.id, sealed=sealed))
        for member in log.members.values():
            if member is not person and member.line.joined <= sealed.change:
                member.expected[log.log_id, seq] = text
        return True

    def seal_anew(self, person: Person, _: int) -> None:
        """Lines that were refused as too old: the client catches up and seals them again."""
        self.read(person, 999)  # it may find itself joining anew: then nothing is left to send
        refused, person.refused = person.refused, []
        for stale, text in refused:
            self.post(person, text, stale.id)

    # Hearing

    def everybody_reads(self, person: Person, _: int) -> None:
        assert person.log is not None
        for member in person.log.members.values():
            self.read(member, 999)

    def resume(self, person: Person, _: int) -> None:
        """What was not confirmed comes again, behind nothing of the log."""
        person.queue.extendleft(reversed(person.confirmed))
        person.confirmed.clear()

    def read(self, person: Person, count: int) -> None:
        """The client works off what the server has for it."""
        log = person.log
        assert log is not None
        if person.fresh is not None:
            roster, person.fresh = person.fresh, None
            self.enter(person, roster)
        for _ in range(count):
            if person.queue and person.queue[0][0] <= person.cursor + 1:
                person.confirmed.append(person.queue[0])
                self.hand_over(person, person.queue.popleft()[1])
            elif person.cursor < log.end:
                person.cursor += 1
                person.confirmed.clear()
                self.follow(person, person.cursor, log.entries[person.cursor - 1])
            else:
                return

    def hand_over(self, person: Person, item: tuple[object, ...]) -> None:
        kind, sender, what = item
        assert isinstance(sender, int)
        if isinstance(what, Wrap):
            assert person.core.add_wrap(sender, what) == []
            return
        assert kind == "private" and isinstance(what, SealedPost)
        opened, warnings = person.core.open_private(sender, what.change, what.wraps[0], what.box)
        assert warnings == []
        if opened is not None:
            assert isinstance(opened, OpenedPost) and opened.kind == "action"
            person.heard.append(opened.text)
            assert person.heard == person.whispers[: len(person.heard)]

    def follow(self, person: Person, seq: int, entry: Entry) -> None:
        """One entry of the log."""
        core = person.core
        if entry.sealed is not None:
            self.follow_post(person, seq, entry.who, entry.sealed)
        elif entry.line is not None:
            assert core.joined(seq, entry.line) == []
        elif entry.what == "left":
            assert core.left(seq, entry.who) == []
        elif entry.what == "renamed":
            assert core.renamed(seq, entry.who, entry.nick) == []
        else:
            assert core.rejoined(seq, entry.who) == []

    def follow_post(self, person: Person, seq: int, sender: int, sealed: SealedPost) -> None:
        if sender == person.line.id:
            person.core.own(seq, sealed.change, sealed.box.sig)
        elif person.line.joined <= sealed.change:
            assert person.log is not None
            opened, warnings = person.core.open(seq, sender, sealed.change, sealed.box)
            assert warnings == []
            assert isinstance(opened, OpenedPost), opened
            person.shown[person.log.log_id, seq] = opened.text
            assert opened.id == sealed.id

    # At the end

    def teardown(self) -> None:
        for person in self.people:
            if person.log is not None:
                self.server_takes(person, 999)
                self.seal_anew(person, 0)
                self.server_takes(person, 999)
        for person in self.people:
            if person.log is not None:
                self.read(person, 9999)
                assert not person.outbox and not person.refused
            assert person.shown == person.expected
            assert list(person.shown) == list(person.expected)
            assert len(set(person.shown.values())) == len(person.shown)
            assert person.heard == person.whispers
        for record in self.random.sample(self.records, min(2, len(self.records))):
            self.outsiders_try(record)

    def outsiders_try(self, record: Record) -> None:
        """Everybody who was not there, with every key that it was ever given."""
        outsiders = {identity(name).fingerprint: identity(name) for name in PEOPLE}
        for context, holder, wrap in self.wraps:
            if holder in record.present or context.sender != record.context.sender:
                continue
            info = context.wrap_info(holder, wrap.epoch, wrap.n)
            chain = SenderChain(
                record.box.epoch, wrap.n, outsiders[holder].unwrap(wrap.wrapped, info)
            )
            for n in range(wrap.n, wrap.n + EPOCH_POSTS):
                known = replace(chain.at(n), n=record.box.n)
                assert envelope.unseal(record.box.data, known, record.context, record.salt) is None


def count_judged(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often what a sender said of a change was judged, by what its reader knows of it."""
    judged: Counter[str] = Counter()
    agrees = RosterHistory.agrees

    def counting(self: RosterHistory, change: int, seen: TranscriptHash) -> bool:
        version, transcript = self.get(change), self._transcripts.get(change)
        known = "present" if version is self.now else "kept" if version else "long ago"
        judged[known if transcript else "nothing"] += 1
        judged["fewer"] += transcript is not None and seen.count < transcript.count
        judged["full"] += seen.count == TRANSCRIPT_POSTS
        return agrees(self, change, seen)

    monkeypatch.setattr(RosterHistory, "agrees", counting)
    return judged


@pytest.mark.timeout(0 if SOAK else 60)
@pytest.mark.soak
def test_histories(monkeypatch: pytest.MonkeyPatch) -> None:
    """The room layer's promises, over a fixed sample or, for the soak, over a seeded one."""
    monkeypatch.setattr("client.encryption.room_encryption.EPOCH_POSTS", EPOCH_POSTS)
    monkeypatch.setattr("client.encryption.roster.CHANGES_BEHIND", CHANGES_BEHIND)
    monkeypatch.setattr("client.encryption.transcript.TRANSCRIPT_POSTS", TRANSCRIPT_POSTS)
    judged = count_judged(monkeypatch)
    machine: type[Histories] = Histories
    if SOAK:
        start = int(os.environ.get("CMD_CHAT_SEED") or 1)
        print(f"CMD_CHAT_SEED={start}")
        machine = seed(start)(Histories)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=SOAK or 30,
            stateful_step_count=60,
            derandomize=not SOAK,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
        ),
    )
    print(dict(judged))
    assert len(judged) == 6 and min(judged.values()) > 3
