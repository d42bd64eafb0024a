"""Coming in, where several nodes are one chat: to this one, from this one or any other.

The decisions are those of ``ServerHandshake``, on what the engine says of the session.  Whatever is
waited for there is waited for without the accept slot: those who wait so have proven themselves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from protocol import frames
from protocol.errors import BadRoom, Gone, Kicked, OutcomeUnknown, RateLimited, TakenOver
from protocol.names import check_room, room_key
from server.broadcast import Receiver, Reply, entered
from server.churn import Changing
from server.cluster import limits as cluster_limits
from server.cluster import replies
from server.cluster.outcomes import SessionState, StayState
from server.cluster.services import ClusterServices
from server.cluster.session import ClusterSession
from server.cluster.sessions import BansChanged, NoPlace, SessionExists
from server.cluster.writer import unavailable
from server.connection import ServerConnection
from server.handshake import ServerHandshake, require_rooms, resumed
from server.member import Member
from server.rate_limits import tenths
from server.requests import refusal
from server.services import Services
from server.sessions import ServerSession
from transport import Closed


class _Coming(NamedTuple):
    """A stay of a session that goes on; ``state`` is its place there, if it has one.

    ``seq`` is None for a client that does not know the log, ``room`` empty where no stay names it.
    """

    room: str
    state: StayState | None
    seq: int | None
    number: int

    @property
    def is_lost(self) -> bool:
        """Whether it has a place, and cannot go on in it."""
        state = self.state
        if state is None:
            return False
        if self.seq is None or state.behind:
            return True
        return not max(state.first - 1, state.joined) <= self.seq <= state.seq


class ClusterHandshake(ServerHandshake):
    """The handshake of ``connection``, which is upgraded already."""

    def __init__(self, services: Services, connection: ServerConnection) -> None:
        assert isinstance(services, ClusterServices)
        super().__init__(services, connection)
        self._cluster = services
        self._bans = 0  # the count of changes of those who are kept out, when that was looked at
        self._is_counted = False  # whether it was counted as coming in already

    def _prs_for(self, hello: frames.Hello) -> bytes:
        if hello.token is not None:
            with self._services.accept_slot.released():
                self._cluster.tokens.refresh()
        return super()._prs_for(hello)

    def _take_ticket(self, name: bytes) -> bytes | None:
        # Looking through all of them is work, for which one has the slot; only a real one waits.
        tickets = self._services.sessions.tickets
        shown = tickets.shown(self._link.sid, name)
        if shown is None:
            return None
        with self._services.accept_slot.released():
            return shown.fingerprint if tickets.use(shown) else None

    def _join(self, confirm: frames.Confirm) -> ServerSession:
        with self._services.accept_slot.released():
            if not self._cluster.node.is_in_touch:
                raise unavailable()
            self._bans = self._cluster.bans.table.version
            try:
                return super()._join(confirm)
            except OutcomeUnknown:  # its session, if there is one now, goes with its grace
                raise unavailable() from None
            except (replies.Forgotten, replies.NodeFenced, replies.SessionFenced):
                raise unavailable() from None
            except Closed:  # whoever has proven itself has to be told something: silence is a guess
                raise unavailable() from None

    def _join_permitted(self, confirm: frames.Confirm) -> ServerSession:
        at_once = all(stay.log is None for stay in confirm.stays)  # it has nothing to go on with
        for _ in range(cluster_limits.TRIES):
            try:
                if at_once:
                    return self._join_at_once(confirm)
                return self._join_as_known(confirm)
            except BansChanged:
                self._look_at_bans(confirm)
            except (SessionExists, NoPlace):  # another connection was faster, or it has to wait
                at_once = False
        raise unavailable()

    def _look_at_bans(self, confirm: frames.Confirm) -> None:
        """Raises Kicked."""
        bans = self._cluster.bans
        bans.table.refresh()
        self._bans = bans.table.version
        left = bans.left(confirm.bundle.sign, self._group)
        if left:
            raise Kicked(retry_after=tenths(left))

    def _join_as_known(self, confirm: frames.Confirm) -> ServerSession:
        """Raises BansChanged or SessionExists."""
        sessions, fingerprint = self._cluster.sessions, confirm.bundle.fingerprint.hex()
        state = sessions.look(fingerprint, self._bans)
        if state.word == "DISPLACED":
            raise TakenOver()  # it would chase the one that has its place
        if state.word == "OK":
            session = self._go_on(confirm, state)
            if session is not None:
                return session
            sessions.end_former(fingerprint, -1)
        return self._join_anew(confirm)

    # Going on

    def _go_on(self, confirm: frames.Confirm, state: SessionState) -> ClusterSession | None:
        """Take the place of the session's connection, if the session goes on.

        Raises SessionExists where somebody else has changed it meanwhile.
        """
        if all(stay.log is None for stay in confirm.stays) or _is_unheard(state, confirm.stays):
            return None
        lost = [each for each in _coming(state, confirm.stays) if each.is_lost]
        if not self._is_known(state, len(lost)):
            return None
        if lost:
            self._count_join(self._token_id or confirm.bundle.fingerprint)
        changed = [self._cluster.rooms.place(each.state.room) for each in lost if each.state]
        with self._slots_to_change(changed, self._connection.patient_until()):
            return self._take_over(confirm, state)

    def _is_known(self, state: SessionState, lost: int) -> bool:
        """As ``_is_same``, of what the engine says."""
        if state.token != (self._token_id or ""):
            return False
        return lost < len(state.stays) or state.taken > 0

    def _take_over(self, confirm: frames.Confirm, seen: SessionState) -> ClusterSession | None:
        sessions = self._cluster.sessions
        fingerprint = confirm.bundle.fingerprint.hex()
        state, claim = sessions.take(fingerprint, seen.n, self._group)
        if state.word != "OK":
            raise SessionExists()
        coming = _coming(state, confirm.stays)
        if not self._is_known(state, sum(each.is_lost for each in coming)):
            return None
        session = ClusterSession(state.nick, confirm.bundle, self._token_id)
        session.is_pinned, session.group = state.pinned, self._group
        session.close_connection = self._connection.close
        sessions.adopt(session, claim, state.taken)
        try:
            self._attach(session, True, self._answered(session, coming))
        except BaseException:
            sessions.leave_off(session)
            raise
        return session

    def _answered(self, session: ClusterSession, coming: Sequence[_Coming]) -> list[Reply]:
        """The answers to the stays, and the session's places again."""
        found: list[Reply] = []
        for each in coming:
            if each.state is None:
                found.append(refusal(Gone(), room=each.room))
                continue
            seq = None if each.is_lost else each.seq
            member, snapshot = self._cluster.sessions.places.come_back(
                session, each.state, each.seq, each.number, goes_on=seq is not None
            )
            if snapshot is None:
                found.append(resumed(member, seq or 0))
            else:
                found += entered(snapshot, member.ref)
        return found

    # Coming in anew

    def _join_at_once(self, confirm: frames.Confirm) -> ServerSession:
        """Come in anew by one step in the engine, if it need not wait for its first room.

        Raises SessionExists, BansChanged, or NoPlace where nothing was done.
        """
        session = self._newcomer(confirm)
        first, *others = confirm.stays
        self._is_counted = True
        try:
            self._come_in(session, first.room)
            self._enter_all(session, others)
        except BaseException:
            if session.members:
                self._cluster.sessions.leave_off(session, over=True)
            raise
        return session

    def _come_in(self, session: ClusterSession, wanted: str) -> None:
        """Become a session in its first room, if there is a place at this moment."""
        connection, sessions = self._connection, self._cluster.sessions
        try:
            name = check_room(wanted)
        except BadRoom:  # as all are told of the rooms that they cannot enter
            raise NoPlace() from None
        place = self._cluster.rooms.place(room_key(name))
        with connection.slots_to_change([place], self._services.clock()) as late:
            if connection.is_closing():
                raise Closed()
            if late:
                raise NoPlace()
            member, snapshot = sessions.come_in(session, name, self._bans, self._count_takeovers)
            self._attach(session, False, entered(snapshot))
        self._tell(member)

    def _tell(self, member: Member[Receiver]) -> None:
        """It came into place: itself first, so that nothing is in its way, and then the others."""
        self._connection.queue.deliver()
        if member.room.count() > 1:
            self._services.tell_joined(member.room)

    def _join_anew(self, confirm: frames.Confirm) -> ServerSession:
        session = self._newcomer(confirm)
        self._cluster.sessions.let_in(session, self._count_takeovers)
        try:
            self._enter_all(session, confirm.stays)
        except BaseException:
            self._cluster.sessions.leave_off(session, over=True)
            raise
        return session

    def _newcomer(self, confirm: frames.Confirm) -> ClusterSession:
        """What is to be its session.  Raises as a single server does, where it may not be."""
        nick = self._granted_nick(confirm.nick)
        require_rooms(confirm.stays)
        session = ClusterSession(nick, confirm.bundle, self._token_id)
        session.is_pinned = self._token is not None and self._token.nick is not None
        session.group = self._group
        session.close_connection = self._connection.close
        if not self._is_counted:
            self._count_join(self._token_id or confirm.bundle.fingerprint)
        self._is_counted = False
        return session

    def _issued_ticket(self, session: ServerSession) -> bytes:
        assert isinstance(session, ClusterSession)
        ticket, session.ticket = session.ticket, None
        return super()._issued_ticket(session) if ticket is None else ticket

    def _count_takeovers(self) -> None:
        """Raises RateLimited where programs with one token throw each other out again and again."""
        wait = self._services.takeovers.take(self._token_id)
        if wait:
            raise RateLimited(retry_after=tenths(wait))
        self._services.expiry.schedule(self._services.policy.rate_window)

    def _enter(
        self, session: ServerSession, wanted: str, until: float, unsaid: list[bytes]
    ) -> None:
        """One more room, and what was not said yet before it.  Raises Closed or a Refusal."""
        assert isinstance(session, ClusterSession)
        connection = self._connection
        name = check_room(wanted)
        with self._slots_to_change([self._cluster.rooms.place(room_key(name))], until):
            if session.over:
                raise Closed()  # its identity or token came a second time, or was revoked
            try:
                member, snapshot = self._cluster.sessions.places.enter(session, name)
            except (Closed, OutcomeUnknown, replies.SessionFenced):
                connection.stream.abort()  # it comes back, and finds out
                raise Closed() from None
            answers: list[Reply] = [*unsaid, *entered(snapshot)]
            unsaid.clear()
            if session.queue is None:
                self._attach(session, False, answers)
            else:
                connection.queue.attach([member], answers)
        self._tell(member)

    def _attach(self, session: ServerSession, goes_on: bool, answers: list[Reply]) -> None:
        assert isinstance(session, ClusterSession)
        session.ring = self._connection.bell.set
        session.abort = self._connection.stream.abort
        super()._attach(session, goes_on, answers)
        if session.over:  # it was another node's before all this was done
            session.queue = None
            raise Closed()

    @contextlib.contextmanager
    def _slots_to_change(self, rooms: Sequence[Changing], until: float) -> Iterator[None]:
        """As there, for who has no accept slot."""
        with self._connection.slots_to_change(rooms, until) as late:
            if self._connection.is_closing():
                raise Closed()
            if late:
                raise RateLimited(retry_after=tenths(late))
            yield


def _is_unheard(session: SessionState, stays: Sequence[frames.Stay]) -> bool:
    """As ``server.handshake.is_unheard``, of what the engine says."""
    logs = {each.room: each.log_id for each in session.stays if not each.ref}
    named = {room_key(stay.room): stay.log.hex() for stay in stays if stay.log is not None}
    return any(logs.get(room, log) != log for room, log in named.items())


def _coming(session: SessionState, stays: Sequence[frames.Stay]) -> list[_Coming]:
    """Each stay, and then the places that none names, the oldest rooms first."""
    places = {each.room: each for each in sorted(session.stays, key=lambda each: each.number)}
    found = []
    for stay in stays:
        state = places.pop(room_key(stay.room), None)
        known = state is not None and stay.log is not None and state.log_id == stay.log.hex()
        found.append(_Coming(stay.room, state, stay.seq if known else None, stay.number or 0))
    return [*found, *(_Coming("", state, None, 0) for state in places.values())]
