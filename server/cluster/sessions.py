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
from server.cluster.calls import Newcomer, SessionClaim
from server.cluster.mirror import MirrorRoom
from server.cluster.places import Ask, Places, Tells
from server.cluster.replies import NickOutcome, SessionState
from server.cluster.rooms import ClusterRooms
from server.cluster.script import ScriptCall
from server.cluster.session import ClusterSession
from server.cluster.writer import Writer
from server.rooms import Room
from server.sessions import ServerSession, Sessions
from transport import Closed
from transport.token_bucket import TokenBucket


class SessionExists(Exception):
    """Another connection of the same identity has come in first: it is to be looked at again."""


class ClusterSessions(Sessions):
    """The sessions of this node, by fingerprint; everything about all of them is the engine's."""

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

    # In

    def look(self, fingerprint: str) -> SessionState:
        """What there is of an identity.  Raises as ``asking.ask``."""
        found: SessionState = self._ask(
            calls.look(self._node.incarnation, fingerprint), replies.look
        )
        return found

    def let_in(  # type: ignore[override]
        self, session: ClusterSession, count_takeover: Callable[[], None]
    ) -> None:
        """Make it a session, and this node's.

        ``count_takeover`` is called before others have to go that came with the same token, and
        may raise.  Raises SessionExists, NickTaken, NickLost, TakenOver, ServerFull, and as
        ``asking.ask``.
        """
        node = self._node.incarnation
        who = Newcomer(
            session.nick,
            session.looks,
            session.token_id or "",
            session.is_pinned,
            session.group,
            session.bundle.sign.hex(),
        )
        most = limits.SESSIONS * max(1, self._node.nodes)
        for _ in range(cluster_limits.TRIES):
            call = calls.let_in(node, session.fingerprint, who, most)
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
