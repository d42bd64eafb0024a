"""Places in rooms: how a client of this node comes into one, comes back to one, and goes.

The engine's scripts decide; what follows here is a member in the room's mirror.  Nothing is held
meanwhile but the slot of a room whose mirror is just being made (``ClusterRooms.opening``).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from protocol import limits as protocol_limits
from protocol.codec import encode
from protocol.errors import ChatError, Gone, OutcomeUnknown, RoomFull, ServerFull, Unavailable
from protocol.names import room_key
from server import limits
from server.broadcast import Receiver
from server.cluster import calls, keys, replies
from server.cluster import limits as cluster_limits
from server.cluster.asking import Reader, ask, settle
from server.cluster.calls import PlaceWanted
from server.cluster.entries import Nonsense, read_log, read_private
from server.cluster.keys import Incarnation
from server.cluster.mirror import MirrorRoom
from server.cluster.outcomes import EnterOutcome, RoomState, StayState
from server.cluster.rooms import ClusterRooms
from server.cluster.script import PlainCall, ScriptCall
from server.cluster.session import ClusterSession, mirror_of
from server.cluster.writer import Writer, unavailable
from server.member import Member
from server.rooms import Snapshot
from transport import Closed

Entry = TypeVar("Entry")
# Asks the engine, as ``asking.ask`` does with a writer; who asks says what a fence means to it.
Ask = Callable[[ScriptCall, Reader[Any]], Any]


class Tells(Protocol):
    """What sees to it that the engine hears of something: ``node.Node``."""

    @property
    def incarnation(self) -> Incarnation:
        """As whom this node asks now."""

    @property
    def nodes(self) -> int:
        """How many nodes there are."""

    def tell(self, call: ScriptCall, on_done: Callable[[], None] = ...) -> None:
        """Have a script run, however often it takes."""


class Places:
    """``on_fenced`` hears of a session that turns out not to be this node's.  Thread-safe."""

    def __init__(
        self,
        rooms: ClusterRooms[Receiver],
        writer: Writer,
        node: Tells,
        on_fenced: Callable[[ClusterSession], None],
    ) -> None:
        self._mirrors, self._writer, self._node = rooms, writer, node
        self._on_fenced = on_fenced

    def enter(
        self,
        session: ClusterSession,
        name: str,
        ref: int = 0,
        leave: Member[Receiver] | None = None,
        ask_it: Ask | None = None,
    ) -> tuple[Member[Receiver], Snapshot]:
        """Give it a place in a room and, in the same step, take the one in another.

        ``ref`` is 0 for one that comes in by ``confirm``.  Raises RoomFull, ServerFull, Closed
        where it is not known what has become of it, and as ``asking.ask`` or ``ask_it`` does.
        """
        left = "" if leave is None else mirror_of(leave).key

        def ask_for(place: PlaceWanted) -> EnterOutcome:
            try:
                return self._enter(session, place, ref, left, ask_it or self._ask)
            except (Gone, Unavailable):
                raise Closed() from None

        return self.come_into(session, name, ref, ask_for)

    def come_into(
        self,
        session: ClusterSession,
        name: str,
        ref: int,
        ask_for: Callable[[PlaceWanted], EnterOutcome],
    ) -> tuple[Member[Receiver], Snapshot]:
        """A place in a room that ``ask_for`` has the engine give it: OK, or it raises.

        Raises Closed where in the engine it is in there, or not any more, and here it is not.
        """
        key = room_key(name)
        member = Member[Receiver](session, 0, session.nick, session.bundle, ref or None)
        with self._mirrors.opening(key) as mirror:
            if mirror is not None:
                mirror.expect(member)
            try:
                found = ask_for(self._place_wanted(session, key, name, mirror))
                if mirror is None:
                    mirror = self._add(key, found.room)
                elif mirror.number != found.room.number:
                    return self._enter_another(session, mirror, ref, found)
                within = cluster_limits.ARRIVE_SECONDS
                try:
                    snapshot = mirror.join_at(member, found.member_id, found.joined, within)
                except (Gone, Unavailable):
                    raise Closed() from None
            except (Closed, OutcomeUnknown):  # if it was done, this node may not have been told
                self._node.tell(calls.poke(self._node.incarnation, key))
                raise
            finally:
                if mirror is not None:
                    mirror.expect_no_more(member)
        session.members[snapshot.at] = member
        return member, snapshot

    def _place_wanted(
        self, session: ClusterSession, key: str, name: str, mirror: MirrorRoom[Receiver] | None
    ) -> PlaceWanted:
        return PlaceWanted(
            key,
            name,
            secrets.token_hex(protocol_limits.LOG_ID_BYTES),
            encode(session.nick),
            session.bundle.encoded,
            limits.ROOMS * max(1, self._node.nodes),
            roster=mirror is None,
            known=0 if mirror is None else mirror.seq,
        )

    def _enter_another(
        self,
        session: ClusterSession,
        former: MirrorRoom[Receiver],
        ref: int,
        found: EnterOutcome,
    ) -> tuple[Member[Receiver], Snapshot]:
        """The mirror was of a room that went meanwhile, and another of that name was made."""
        self._mirrors.outdate(former)
        room = found.room
        stay = StayState(
            former.key,
            found.member_id,
            ref,
            room.number,
            room.log_id,
            room.name,
            found.joined,
            room.first,
            room.seq,
            private_number=0,
            behind=False,
            posted=(0, 0),
        )
        member, snapshot = self.come_back(session, stay, None, 0, goes_on=False)
        assert snapshot is not None  # it does not go on
        return member, snapshot

    def _enter(
        self, session: ClusterSession, place: PlaceWanted, ref: int, leave: str, ask_it: Ask
    ) -> EnterOutcome:
        call = calls.enter(session.claim, place, ref, leave)
        for _ in range(cluster_limits.TRIES):
            found: EnterOutcome = ask_it(call, replies.enter)
            if found.word == "OK":
                return found
            if found.word not in ("FULL", "ROOM_FULL"):
                raise Closed()
            full = place.room if found.word == "ROOM_FULL" else ""
            if not ask_it(calls.make_room(self._node.incarnation, full), replies.make_room):
                break
        raise RoomFull() if found.word == "ROOM_FULL" else ServerFull()

    def come_back(
        self,
        session: ClusterSession,
        stay: StayState,
        seq: int | None,
        number: int,
        goes_on: bool,
    ) -> tuple[Member[Receiver], Snapshot | None]:
        """Give it its place in a room again, after ``seq`` (if known) and private ``number``.

        A Snapshot where it has to begin anew, as it has in any case unless it ``goes_on``.  Raises
        Closed where that cannot be now, and as ``asking.ask``.
        """
        with self._mirrors.opening(stay.room) as mirror:
            try:
                if mirror is not None and mirror.number != stay.number:
                    self._mirrors.outdate(mirror)  # who comes again finds another one
                    raise Closed()
                if mirror is None:
                    mirror = self._load(stay.room)
                elif mirror.seq < stay.seq:  # for a moment nobody here may have counted as here
                    self._writer.submit(calls.poke(session.claim.node, stay.room), _unheard)
                self._wait_for(mirror, max(stay.seq, seq or 0))
                ref = stay.ref or None
                member = mirror.return_of(
                    session, stay.member_id, session.bundle, ref, number, stay.posted
                )
                session.members[stay.number] = member  # it keeps the mirror
            except (Gone, Unavailable):
                raise Closed() from None
        try:
            if goes_on and seq is not None and self._resume(session, mirror, member, seq, number):
                return member, None
            mirror.stand_at(member, member.joined if seq is None else seq)
            return member, self._rejoin(session, mirror, member, number)
        except (Gone, Unavailable):
            raise Closed() from None

    def _wait_for(self, mirror: MirrorRoom[Receiver], seq: int) -> None:
        """Raises Unavailable; then whoever comes again finds another mirror."""
        try:
            mirror.wait_for(seq, cluster_limits.ARRIVE_SECONDS)
        except Unavailable:
            self._mirrors.discard(mirror)
            raise

    def _load(self, key: str) -> MirrorRoom[Receiver]:
        found = self._ask(calls.load(self._node.incarnation, key, True), replies.load)
        if found is None:
            raise Gone()
        return self._add(key, found)

    def _add(self, key: str, found: RoomState) -> MirrorRoom[Receiver]:
        mirror = self._mirrors.add(key, found.name, found.number, bytes.fromhex(found.log_id))
        mirror.load(found.seq, found.roster)
        return mirror

    def _resume(
        self,
        session: ClusterSession,
        mirror: MirrorRoom[Receiver],
        member: Member[Receiver],
        seq: int,
        number: int,
    ) -> bool:
        """Get what it has missed; False where that is not there any more."""
        node = session.claim.node
        queue = keys.private(node, mirror.key, member.id)
        waiting = self._range(queue, read_private, lambda each: each.number, number + 1)
        mirror.put_private(member.id, waiting)
        if not mirror.going_back.acquire(timeout=cluster_limits.ROOM_SECONDS):
            raise unavailable()
        try:  # one at a time: of many who come back at once, the others find it here
            if mirror.first > seq + 1:
                log, last = keys.log(node, mirror.key), mirror.first - 1
                mirror.prepend(self._range(log, read_log, lambda each: each.seq, seq + 1, last))
        finally:
            mirror.going_back.release()
        return mirror.resume(member, seq, number)

    def _rejoin(
        self,
        session: ClusterSession,
        mirror: MirrorRoom[Receiver],
        member: Member[Receiver],
        number: int,
    ) -> Snapshot:
        call = calls.rejoin(session.claim, mirror.key, member.joined, number)
        rejoined = self._ask(call, replies.rejoin)
        if rejoined is None:
            raise Gone()
        return mirror.arrive(member, member.id, rejoined[0], cluster_limits.ARRIVE_SECONDS)

    def _range(
        self,
        key: str,
        read: Callable[[Any], Entry],
        number: Callable[[Entry], int],
        first: int,
        last: int | None = None,
    ) -> list[Entry]:
        """The entries of a stream, by their numbers, in pieces that an engine gives at once."""
        found: list[Entry] = []
        end = "+" if last is None else f"{last}-0"
        while True:
            most = cluster_limits.RANGE_ENTRIES
            piece = self._writer.call(PlainCall("XRANGE", key, f"{first}-0", end, "COUNT", most))
            entries = [read(each) for each in _listed(piece)]
            found += entries
            if len(entries) < most:
                return found
            first = number(entries[-1]) + 1

    def fall_behind(self, member: Member[Receiver]) -> None:
        """Have a member begin anew whose place in its room is lost; waits for nobody."""
        session, mirror = member.owner, mirror_of(member)
        assert isinstance(session, ClusterSession)

        def on_done(outcome: Any) -> None:
            try:
                settle(outcome, replies.rejoin)
            except replies.SessionFenced:
                self._on_fenced(session)
            except (replies.Forgotten, replies.NodeFenced):
                pass
            except ChatError:
                mirror.ask_again(member)

        number = member.private.number
        self._writer.submit(
            calls.rejoin(session.claim, mirror.key, member.joined, number), on_done
        )

    def drop(self, session: ClusterSession, member: Member[Receiver]) -> None:
        """It has left one of its rooms, as the engine knows."""
        session.members.pop(member.room.number, None)
        self._mirrors.drop(member)

    def drop_all(self, session: ClusterSession) -> None:
        """Its connection is over."""
        for member in list(session.members.values()):
            self._mirrors.drop(member)

    def _ask(self, call: ScriptCall, read: Reader[Any]) -> Any:
        return ask(self._writer, call, read)


def _unheard(_outcome: Any) -> None:
    """Where it fails, whoever waits for what comes of it finds out."""


def _listed(reply: Any) -> list[Any]:
    if not isinstance(reply, list):
        raise Nonsense()
    return reply
