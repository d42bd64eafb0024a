"""Nodes of which there is nothing but scripts, mirrors and the reader; and people at them."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from protocol import frames, wire_json
from protocol.codec import encode
from protocol.names import nick_looks, room_key
from server.broadcast import Broadcaster
from server.cluster import calls, keys, replies
from server.cluster.calls import HeldWrap, Newcomer, PlaceWanted, SessionClaim
from server.cluster.engine import Connector, Engine
from server.cluster.entries import read_log, read_private
from server.cluster.keys import Incarnation
from server.cluster.mirror import MirrorRoom
from server.cluster.reader import EngineReader
from server.cluster.rooms import ClusterRooms
from server.cluster.scripts import scripts
from server.cluster.writer import Writer
from server.member import Member
from server.rooms import Snapshot
from settings.backend import BackendSettings
from tests.recorded_room import bundle
from tests.script_kit import Node
from tests.test_server_connection import until
from tests.wire import box, wrap

SOON = 10.0  # seconds; only against hanging
MakeSeat = Callable[..., "Seat"]


@pytest.fixture(name="make_seat")
def make_seat_fixture(backend: BackendSettings) -> Iterator[MakeSeat]:
    """Makes nodes that use the shared engine, under this test's prefix."""
    with contextlib.ExitStack() as stack:
        yield lambda settings=backend, **more: stack.enter_context(Seat(settings, **more))


class Heard:
    """What the reader tells of that is not a room's."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.connections = 0
        self.usable = True

    def connected(self, engine: Engine) -> bool:
        """Whether it may be used."""
        self.connections += 1
        return self.usable

    def forgotten(self) -> None:
        """The engine is empty."""
        self.said.append("forgotten")

    def missed(self) -> None:
        """Something was lost."""
        self.said.append("missed")

    def session(self, fingerprint: str, n: int, reason: str) -> None:
        """Somebody else's by now."""
        self.said.append((fingerprint, n, reason))

    def table(self, change: str) -> None:
        """A table has changed."""
        self.said.append(change)

    def announce(self, frame: bytes) -> None:
        """For everybody."""
        self.said.append(frame)

    def spent(self, entries: Sequence[Any]) -> None:
        """A budget."""
        self.said += [dict(zip(fields[::2], fields[1::2], strict=True)) for _id, fields in entries]

    def spent_since(self) -> int:
        """From the beginning."""
        return 1


class Seat:
    """A node; its broadcaster delivers to the ``Person``s who are at it."""

    def __init__(
        self, settings: BackendSettings, reads: BackendSettings | None = None, started: bool = True
    ) -> None:
        self.node = Node(settings)
        self.heard = Heard()
        self.broken: list[Person] = []
        self.writer = Writer(Connector(settings), scripts())
        self.rooms: ClusterRooms[Person] = ClusterRooms(
            self.writer, lambda: self.at, self._rejoin, self.broken.append
        )
        self.broadcaster = Broadcaster()
        self.reader = EngineReader(
            Connector(reads or settings),
            self.rooms,
            lambda: self.at,
            self.broadcaster.broadcast,  # type: ignore[arg-type]  # people are receivers, too
            self._tell_joined,
            self.heard,
        )
        self._started = started
        self.joined: list[str] = []  # rooms, for each time that it was told of who came

    def __enter__(self) -> Seat:
        self.writer.start()
        self.broadcaster.start()
        if self._started:
            self.reader.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.reader.stop()
        self.broadcaster.stop()
        self.writer.stop()
        self.node.engine.release()

    @property
    def at(self) -> Incarnation:
        """As whom it asks."""
        return self.node.at

    def _tell_joined(self, room: MirrorRoom[Person]) -> None:
        self.joined.append(room.key)
        self.broadcaster.broadcast(room)  # type: ignore[arg-type]  # as there

    def _rejoin(self, member: Member[Person]) -> None:
        person, key = member.owner, member.room.key  # type: ignore[attr-defined]
        call = calls.rejoin(person.claim, key, member.joined, member.private.number)
        self.writer.submit(call, lambda _outcome: None)

    def room(self, name: str) -> MirrorRoom[Person]:
        """The mirror of a room."""
        found = self.rooms.find(name)
        assert found is not None
        return found

    def level(self, name: str) -> None:
        """Until its mirror has all that is in the log."""
        state = self.node.do(replies.load, calls.load(self.at, room_key(name), roster=False))
        assert state is not None
        self.room(name).wait_for(state.seq, SOON)


class Person:
    """A session at a node, whose client takes all that it is given, unless it is ``slow``."""

    def __init__(self, seat: Seat, number: int, slow: bool = False) -> None:
        self.seat, self.bundle, self.nick = seat, bundle(number), f"nick-{number}"
        self.fingerprint = self.bundle.fingerprint.hex()
        who = Newcomer(self.nick, nick_looks(self.nick), "", False, "g", "ab" * 32)
        call = calls.let_in(seat.at, self.fingerprint, who, 1000)
        n = seat.node.do(replies.let_in, call).number
        self.claim = SessionClaim(seat.at, self.fingerprint, n)
        self.ref = self.holds = 0
        self.members: dict[str, Member[Person]] = {}  # key: room_key
        self.slow = slow
        self.got: list[Any] = []  # frames and snapshots
        self._taking = threading.Lock()

    # Its place

    def enter(self, name: str) -> Snapshot:
        """Come in, as a session does."""
        key = room_key(name)
        member = Member(self, 0, self.nick, self.bundle)
        with self.seat.rooms.opening(key) as room:
            if room is not None:
                room.expect(member)
            self.ref += 1
            nick, known = encode(self.nick), 0 if room is None else room.seq
            place = PlaceWanted(
                key, name, "01" * 16, nick, self.bundle.encoded, 1000, room is None, known
            )
            came = self.seat.node.do(replies.enter, calls.enter(self.claim, place, self.ref))
            assert came.word == "OK", came
            if room is None:
                log_id = bytes.fromhex(came.room.log_id)
                room = self.seat.rooms.add(key, came.room.name, came.room.number, log_id)
                room.load(came.room.seq, came.room.roster)
            told = room.join_at(member, came.member_id, came.joined, SOON)
        self.members[key] = member
        self.seat.broadcaster.mark(room)  # type: ignore[arg-type]  # as there
        self.deliver(told.at)  # what came while it was not attached
        return told

    def come(self, seat: Seat, name: str, seq: int, number: int) -> bool:
        """Come back at a node, with what its client has; whether it goes on in place.

        What it got before that is not in ``got`` any more.
        """
        state = seat.node.do(replies.take_over, calls.take_over(
            seat.at, self.fingerprint, self.claim.n, "g"
        ))  # fmt: skip
        assert state.word == "OK", state
        self.leave_seat()
        self.got.clear()
        self.seat, self.claim = seat, SessionClaim(seat.at, self.fingerprint, state.n)
        self.holds = 0
        [stay] = state.stays
        with seat.rooms.opening(stay.room) as room:
            if room is None:
                found = seat.node.do(replies.load, calls.load(seat.at, stay.room, roster=True))
                assert found is not None
                log_id = bytes.fromhex(found.log_id)
                room = seat.rooms.add(stay.room, found.name, found.number, log_id)
                room.load(found.seq, found.roster)
            else:
                seat.node.do(replies.poke, calls.poke(seat.at, stay.room))
                room.wait_for(seq, SOON)
            member = room.return_of(
                self, stay.member_id, self.bundle, stay.ref, number, stay.posted
            )
            log, private = keys.log(seat.at, stay.room), keys.private(
                seat.at, stay.room, stay.member_id
            )  # fmt: skip
            waiting = seat.node.ask("XRANGE", private, f"({number}-0", "+")
            room.put_private(stay.member_id, [read_private(each) for each in waiting])
            entries = seat.node.ask("XRANGE", log, f"{seq + 1}-0", f"{room.first - 1}-0")
            room.prepend([read_log(each) for each in entries])
            resumed = room.resume(member, seq, number)
            self.members[stay.room] = member  # until then a round has nothing for it
            return resumed

    def leave_seat(self) -> None:
        """Its connection is gone; its place in the rooms stays."""
        with self._taking:
            for member in self.members.values():
                self.seat.rooms.drop(member)
            self.members.clear()

    def leave(self, name: str) -> None:
        """Go."""
        self.ref += 1
        self.seat.node.do(replies.leave, calls.leave(self.claim, room_key(name), self.ref))
        self.seat.rooms.drop(self.members.pop(room_key(name)))

    # What it says

    def post(
        self, name: str, change: int, epoch: int = 1, n: int = 0, to: Sequence[int] = ()
    ) -> replies.PostOutcome:
        """A post, with wraps of its epoch."""
        member = self.members[room_key(name)]
        self.ref += 1
        rest = wire_json.posted(member.id, change, box(b"gAAAA", epoch, n))
        held = [
            HeldWrap(each, n, wire_json.key_for(member.id, wrap(each, epoch, n))) for each in to
        ]
        self.holds += bool(held)
        if held:
            call = calls.hold(self.claim, room_key(name), member.id, epoch, self.holds, held)
            self.seat.node.do(replies.hold, call)
        call = calls.post(
            self.claim, room_key(name), member.id, self.ref, change, (epoch, n), rest, self.holds
        )
        return self.seat.node.do(replies.post, call)

    def whisper(self, name: str, to: int, change: int) -> replies.PostOutcome:
        """A private post."""
        member = self.members[room_key(name)]
        self.ref += 1
        post = frames.Private(self.ref, 0, change, wrap(to), box())
        rest = wire_json.private_for(member.id, post)
        call = calls.private(self.claim, room_key(name), member.id, self.ref, to, change, rest)
        return self.seat.node.do(replies.private, call)

    # What it gets

    def deliver(self, at: int) -> None:
        """For the broadcaster."""
        if not self.slow:
            self.take()

    def take(self) -> None:
        """All that there is."""
        with self._taking:
            for member in list(self.members.values()):
                while taken := member.room.take(member):
                    if isinstance(taken, Snapshot):
                        self.got.append(taken)
                    else:
                        self.got += map(json.loads, taken)

    def entries(self) -> list[Any]:
        """The log entries that it got."""
        logs = [each for each in self.got if isinstance(each, dict) and each["type"] == "log"]
        return [entry for log in logs for entry in log["entries"]]

    def has_got(self, seq: int) -> None:
        """Wait until it has got everything up to this number."""
        until(lambda: (found := self.entries()) and found[-1]["seq"] >= seq)
