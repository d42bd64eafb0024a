"""The sessions of one node: those whose connections are here.

What a session is stands in the engine: nickname, rooms, answers, grace.  Here is what its
connection needs, and it goes with the connection: whoever comes back, to this node or another, is
taken over from the engine.  ``SessionClaim.n`` is another one after each change of owner, and every
script of a session names it, so a node that does not know yet that it has lost one changes nothing.

No lock is held while the engine is waited for, but ``ServerSession.lock`` by a connection's own
thread, which nobody else takes here: what others have to tell a session, they do without.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from protocol.errors import ChatError, NickLost, NickTaken, ServerFull, TakenOver
from protocol.names import nick_looks, resembled
from server import limits
from server.broadcast import Receiver, SendQueue
from server.cluster import calls, replies
from server.cluster import limits as cluster_limits
from server.cluster.asking import Reader, ask
from server.cluster.calls import Newcomer, PlaceWanted, SessionClaim
from server.cluster.keys import Incarnation
from server.cluster.mirror import MirrorRoom
from server.cluster.outcomes import ComeInOutcome, EnterOutcome, NickOutcome, SessionState
from server.cluster.places import Ask, Places, Tells
from server.cluster.rooms import ClusterRooms
from server.cluster.script import ScriptCall
from server.cluster.session import ClusterSession
from server.cluster.tables import ClusterTickets
from server.cluster.writer import Writer
from server.member import Member
from server.rooms import Room, Snapshot
from server.sessions import ServerSession, Sessions
from transport import Closed
from transport.token_bucket import TokenBucket


class SessionExists(Exception):
    """Another connection of the same identity has come in first: it is to be looked at again."""


class BansChanged(Exception):
    """Whom the nodes keep out has changed: it is to be read, and looked at again."""


class NoPlace(Exception):
    """There is none in the room now, and nothing was done."""


class ClusterSessions(Sessions):
    """The sessions of this node, by fingerprint; everything about all of them is the engine's."""

    tickets: ClusterTickets

    def __init__(
        self,
        rooms: ClusterRooms[Receiver],
        on_change: Callable[[Room[Receiver]], None],
        grace: float,
        writer: Writer,
        node: Tells,
    ) -> None:
        super().__init__(rooms, on_change, grace)
        self._writer, self._node = writer, node
        self.places = Places(rooms, writer, node, self.fence)
        self._buckets: OrderedDict[bytes, TokenBucket] = OrderedDict()  # key: fingerprint
        self.stopping = False  # and others go on
        # Of those that are no sessions of this node any more, for what comes late: as which node it
        # was told, the ``n`` below which they are none, and why. By fingerprint in hex.
        self._told: OrderedDict[str, tuple[Incarnation, int, str]] = OrderedDict()

    # In

    def look(self, fingerprint: str, bans: int) -> SessionState:
        """What there is of an identity; ``bans`` is what is known of those who are kept out.

        Raises BansChanged, and as ``asking.ask``.
        """
        call = calls.look(self._node.incarnation, fingerprint, bans)
        found: SessionState = self._ask(call, replies.look)
        if found.word == "BANS":
            raise BansChanged()
        return found

    def come_in(
        self, session: ClusterSession, name: str, bans: int, count_takeover: Callable[[], None]
    ) -> tuple[Member[Receiver], Snapshot]:
        """``let_in`` with a place in a room, and a ticket, in one step.

        Raises as ``look``, ``let_in`` and ``Places.come_into``; or NoPlace.
        """

        def ask_for(place: PlaceWanted) -> EnterOutcome:
            for _ in range(cluster_limits.TRIES):
                found = self._ask_in(session, place, bans)
                if found.session.word == "OK":
                    self._adopt(session)
                    return found.place
                if found.session.word == "BANS":
                    raise BansChanged()
                if found.session.word == "NO_PLACE":
                    raise NoPlace()
                if found.session.word == "TOKEN":
                    count_takeover()
                self._make_way(found.session, session.nick)
            raise ServerFull()

        try:
            return self.places.come_into(session, name, 0, ask_for)
        except BaseException:
            if session.ticket is not None:  # the engine has let it in
                self.leave_off(session, over=True)
            raise

    def _ask_in(self, session: ClusterSession, place: PlaceWanted, bans: int) -> ComeInOutcome:
        node, tickets = self._node.incarnation, self.tickets
        ticket, written = tickets.make(session.bundle.fingerprint, session.group)
        who, most = self._newcomer(session), self._most
        with tickets.table.changing() as issued:
            call = calls.come_in(node, session.fingerprint, who, most, written, place, bans)
            found: ComeInOutcome = self._ask(call, replies.come_in)
            if found.session.word == "OK":
                session.claim = SessionClaim(node, session.fingerprint, found.session.number)
                session.ticket = ticket
                issued(found.version, session.fingerprint, written)
        if found.session.word == "OK" and not found.version:
            tickets.table.missed()
        return found

    def _newcomer(self, session: ClusterSession) -> Newcomer:
        return Newcomer(
            session.nick,
            session.looks,
            session.token_id or "",
            session.is_pinned,
            session.group,
            session.bundle.sign.hex(),
        )

    @property
    def _most(self) -> int:
        """How many sessions there may be."""
        return limits.SESSIONS * max(1, self._node.nodes)

    def let_in(  # type: ignore[override]
        self, session: ClusterSession, count_takeover: Callable[[], None]
    ) -> None:
        """Make it a session, and this node's.

        ``count_takeover`` is called before others have to go that came with the same token, and
        may raise.  Raises SessionExists, NickTaken, NickLost, TakenOver, ServerFull, and as
        ``asking.ask``.
        """
        node = self._node.incarnation
        who = self._newcomer(session)
        for _ in range(cluster_limits.TRIES):
            call = calls.let_in(node, session.fingerprint, who, self._most)
            found = self._ask(call, replies.let_in)
            if found.word == "OK":
                session.claim = SessionClaim(node, session.fingerprint, found.number)
                return self._adopt(session)
            if found.word == "TOKEN":
                count_takeover()
            self._make_way(found, session.nick)
        raise ServerFull()

    def _make_way(self, found: NickOutcome, nick: str) -> None:
        """Do what may help; raises what stands in the way of a nickname or of one more session."""
        if found.word == "TOKEN":
            for fingerprint in found.fingerprints:  # whoever came with it before
                self._end(fingerprint, reason="taken_over")
        elif found.word == "FULL":
            if not self._ask(calls.make_room(self._node.incarnation), replies.make_room):
                raise ServerFull()
        elif found.word == "AGAIN":
            raise SessionExists()
        elif found.word == "DISPLACED":
            raise TakenOver()
        else:
            raise self.refused_nick(found, nick)

    def refused_nick(self, found: NickOutcome, nick: str) -> ChatError:
        """Why there is no such nickname to be had now."""
        whose = resembled(nick, list(found.nicks))
        if found.word == "TAKEN":
            return NickTaken(**whose)
        left = self._grace - found.away_ms / 1000
        return NickLost(retry_after=max(math.ceil(left * 10), 1) / 10, **whose)

    def take(
        self, fingerprint: str, n: int, group: str
    ) -> tuple[SessionState, SessionClaim]:
        """Make a session this node's that had ``n``: how it is from now on; CHANGED or NONE."""
        node = self._node.incarnation
        state = self._ask(calls.take_over(node, fingerprint, n, group), replies.take_over)
        return state, SessionClaim(node, fingerprint, state.n)

    def adopt(self, session: ClusterSession, claim: SessionClaim, taken: int) -> None:
        """It was taken, and goes on with this session."""
        session.claim = claim
        session.taken = session.submitted = session.latest = taken
        self._adopt(session)

    def _adopt(self, session: ClusterSession) -> None:
        with self._lock:
            old = self._by_print.get(session.bundle.fingerprint)
            self._by_print[session.bundle.fingerprint] = session
            session.bucket = self._buckets.pop(session.bundle.fingerprint, None)
            told = self._told.get(session.fingerprint)
        if told is not None and told[0] == session.claim.node and told[1] > session.claim.n:
            self.fence(session, told[2])  # it was over before it was known here
        if isinstance(old, ClusterSession):
            self.fence(old)
            self.places.drop_all(old)

    def end_former(self, fingerprint: str, n: int) -> None:
        """End the session that this identity had, for a new one."""
        self._end(fingerprint, n, reason="replaced")

    # Nicknames

    def rename_in(
        self,
        session: ClusterSession,
        nick: str,
        room: MirrorRoom[Receiver],
        ref: int,
        ask_it: Ask,
    ) -> bytes:
        """Take another nickname in all rooms: the answer, with the entry's number in ``room``.

        Raises NickTaken, NickLost, Closed, and as ``ask_it`` does.
        """
        looks = nick_looks(nick)
        call = calls.rename(session.claim, room.key, ref, nick, looks)
        found: NickOutcome = ask_it(call, replies.rename)
        if found.word in ("TAKEN", "LOST"):
            raise self.refused_nick(found, nick)
        if found.word not in ("OK", "AGAIN") or not found.encoded:
            raise Closed()
        session.nick, session.looks = nick, looks
        return found.encoded

    # Out

    def is_displaced(self, fingerprint: bytes) -> bool:
        """The engine says so when it is looked at."""
        return False

    def lose(self, session: ServerSession, queue: SendQueue) -> bool:
        """The connection is gone: the grace begins, in the engine, whose nodes look for its end."""
        assert isinstance(session, ClusterSession)
        if session.queue is queue and not session.over:
            session.over, session.queue = True, None
            queue.detach()
            self._node.tell(calls.lost(session.claim))
        return False

    def leave_off(self, session: ClusterSession, over: bool = False) -> None:
        """Its connection did not come about: it is as lost, or ``over``."""
        if not session.over:
            session.over = True
            node, fingerprint, n, _after = session.claim
            self._node.tell(
                calls.end(node, fingerprint, n) if over else calls.lost(session.claim)
            )
        self.forget(session)

    def end(
        self, session: ServerSession, lost_at: float | None = None, reason: str | None = None
    ) -> None:
        """End one of this node's sessions; harmless if it happened already."""
        assert isinstance(session, ClusterSession)
        if session.over:
            return
        session.over, session.queue = True, None
        if reason is not None:
            session.close_connection(reason)
        node, fingerprint, n, _after = session.claim
        call = calls.end(node, fingerprint, n)
        if reason is not None:
            return self._node.tell(call)
        done = threading.Event()  # so that its nickname is free when it has gone
        self._node.tell(call, done.set)
        done.wait(cluster_limits.GOODBYE_SECONDS)

    def _end(self, fingerprint: str, n: int = -1, reason: str = "") -> None:
        """End a session anywhere."""
        call = calls.end(self._node.incarnation, fingerprint, n, reason=reason)
        self._ask(call, replies.end)

    def end_token(self, token_id: str, reason: str = "revoked") -> None:
        """Throw out whoever came with this token, to whichever node, and end their graces."""
        self._node.tell(calls.end_token(self._node.incarnation, token_id, reason))

    def told(self, fingerprint: str, n: int, reason: str) -> None:
        """The engine says that a session of this node is so no more, if its ``n`` is below this."""
        with self._lock:
            session = self._by_print.get(bytes.fromhex(fingerprint))
            self._told[fingerprint] = self._node.incarnation, n, reason
            while len(self._told) > limits.SESSIONS:
                self._told.popitem(last=False)
        if isinstance(session, ClusterSession) and session.claim.n < n:
            self.fence(session, reason)

    def gone(self, fingerprint: str) -> None:
        """A session is not this node's any more, whoever has it."""
        with self._lock:
            session = self._by_print.get(bytes.fromhex(fingerprint))
        if isinstance(session, ClusterSession):
            self.fence(session)

    def fence(self, session: ClusterSession, reason: str = "replaced") -> None:
        """Its connection has to go, as it has no session any more.  Takes no ``session.lock``."""
        queue, session.queue, session.over = session.queue, None, True
        if queue is not None and reason == "replaced":
            queue.detach()  # nothing comes after the reason; the other connection has the rest
        session.close_connection(reason)

    def outlives(self, reason: str | None) -> bool:
        """Where this node stops and others go on, its clients go on there."""
        return self.stopping and reason == "shutdown"

    def forget(self, session: ServerSession) -> None:
        """Its connection is over: nothing of it is left here."""
        assert isinstance(session, ClusterSession)
        fingerprint = session.bundle.fingerprint
        with self._lock:
            if self._by_print.get(fingerprint) is session:
                del self._by_print[fingerprint]
                if session.bucket is not None:
                    self._buckets[fingerprint] = session.bucket
                    while len(self._buckets) > limits.SESSIONS:
                        self._buckets.popitem(last=False)
        self.places.drop_all(session)

    def sweep(self) -> float | None:
        """The engine has the graces, and the node looks for their end."""
        return None

    def claims(self) -> Sequence[SessionClaim]:
        """Those of all sessions of this node, under the name that it has now."""
        node, live = self._node.incarnation, self.live()
        claims = [each.claim for each in live if isinstance(each, ClusterSession) and not each.over]
        return [claim for claim in claims if claim.node == node]

    def _ask(self, call: ScriptCall, read: Reader[Any]) -> Any:
        return ask(self._writer, call, read)
