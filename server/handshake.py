"""The handshake: from the greeting to ``welcome``, or to the reason why there is none.

``ServerHandshake`` owns what is known of a client that is not in yet: its token or ticket, and what
it has proven.  It runs in an acceptor's thread, which has the accept slot but while it waits.
What comes of it is a session, with a place in a room or in several, that the connection is
attached to.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from protocol import frames
from protocol import limits as protocol_limits
from protocol.errors import (
    AddressLimited,
    BadRoom,
    ChatError,
    Gone,
    Kicked,
    NickPinned,
    RateLimited,
    Refusal,
    RemoteError,
    TakenOver,
    TimedOut,
    TooBig,
    Unexpected,
)
from protocol.link import TOKEN
from protocol.names import check_nick, check_room, room_key
from server import limits
from server.auth import Token, random_prs
from server.broadcast import Receiver, Reply, entered
from server.connection import ServerConnection
from server.member import Member
from server.rate_limits import tenths
from server.requests import refusal
from server.rooms import Room
from server.services import Services
from server.sessions import ServerSession
from server.throttle import LoginQueue
from transport import Closed, Flooded


class ServerHandshake:
    """The handshake of ``connection``, which is upgraded already."""

    def __init__(self, services: Services, connection: ServerConnection) -> None:
        self._services, self._connection = services, connection
        self._websocket, self._link = connection.websocket, connection.link
        self._group = connection.permit.group
        self._token: Token | None = None
        self._ticket: bytes | None = None  # whose ticket `hello` has shown: a fingerprint

    def run(self) -> None:
        """Give the connection its session, if the client may come in.

        The caller has the accept slot.  Raises nothing that a client can cause.
        """
        connection = self._connection
        try:
            confirm = self._prove()
            connection.session = self._join(confirm)
        except Flooded:
            self._hold_flooder()
        except Closed:
            pass  # by the client, or because this server stops: there is nothing to refuse
        except ChatError as error:
            self._refuse(error)
        except Exception:  # a bug of ours: no more is told than that there was one
            self._refuse(ChatError())
            raise
        finally:
            if connection.session is None:
                connection.end()

    # Proving

    def _prove(self) -> frames.Confirm:
        """Frames 1 to 3.

        Who names a live token, or shows a ticket, need not wait: nobody else knows either.
        """
        self._websocket.send(self._link.greeting())
        prs = self._said_hello(self._receive())
        if self._token is not None or self._ticket is not None:
            self._services.connection_limits.authenticated(self._connection.permit)
            self._websocket.send(self._link.key(prs))
            return self._judge(self._receive())
        return self._prove_as_stranger(prs)

    def _said_hello(self, text: str | bytes) -> bytes:
        """What the client is to prove: the secret of CPace."""
        return self._prs_for(self._link.receive_hello(text))

    def _prs_for(self, hello: frames.Hello) -> bytes:
        if hello.proof == TOKEN and hello.token is not None:
            self._token = self._services.tokens.find(self._link.sid, hello.token)
            return self._token.prs if self._token is not None else random_prs()
        if hello.ticket is not None:
            self._ticket = self._take_ticket(hello.ticket)
        return self._services.password.prs

    def _take_ticket(self, name: bytes) -> bytes | None:
        return self._services.sessions.tickets.take(self._link.sid, name)

    def _prove_as_stranger(self, prs: bytes) -> frames.Confirm:
        handshakes, guesses = self._services.throttle.handshakes, self._services.throttle.guesses
        self._wait_in(handshakes)
        self._websocket.send(self._link.key(prs))
        record = self._receive()
        answered_by = self._services.clock() + limits.PATIENCE
        self._wait_in(guesses)
        try:
            return self._judge(record)
        finally:
            if self._connection.proven:
                for queue in (handshakes, guesses):
                    queue.give_back(self._group)
            else:
                self._hold_answer(answered_by)

    def _wait_in(self, queue: LoginQueue) -> None:
        """Wait for one's turn.  Raises TooManyAttempts, or Closed."""
        self._services.expiry.schedule(limits.FORGET_SECONDS)
        with self._services.accept_slot.released():
            queue.take(self._group, self._connection.bell, self._connection.is_closing)

    def _judge(self, record: str | bytes) -> frames.Confirm:
        try:
            confirm = self._link.receive_confirm(record)
        except RemoteError:
            self._connection.proven = True  # it opened; what is inside is another matter
            raise
        self._connection.proven = True
        if self._ticket not in (None, confirm.bundle.fingerprint):
            raise Unexpected()  # somebody else's ticket
        self._websocket.allow(self._services.policy.max_payload_size)
        self._services.connection_limits.authenticated(self._connection.permit)
        return confirm

    def _hold_answer(self, answered_by: float) -> None:
        """After a wrong proof: its answer is late where guesses of that address are many."""
        seconds = self._services.throttle.hold(self._group)
        if seconds:
            self._wait(min(seconds, answered_by - self._services.clock()))
            self._services.throttle.release(self._group)

    def _hold_flooder(self) -> None:
        """Keep it waiting while it does not go: it would only come anew, which costs more."""
        deadline = self._services.clock() + limits.FLOODER_SECONDS
        if self._websocket.drop(limits.FLOODER_BYTES, deadline):
            self._wait(deadline - self._services.clock())

    def _wait(self, seconds: float) -> None:
        with self._services.accept_slot.released():
            self._connection.closing.wait(seconds)

    def _receive(self) -> str | bytes:
        """The next message of the handshake.  Raises TimedOut, TooBig or Closed."""
        deadline = self._services.clock() + limits.HANDSHAKE_SECONDS
        while (left := deadline - self._services.clock()) > 0:
            if self._connection.is_closing():
                raise Closed()
            message = self._websocket.receive(left)
            if message is not None:
                if len(message) > protocol_limits.HANDSHAKE_BYTES:
                    raise TooBig(limit=protocol_limits.HANDSHAKE_BYTES)
                return message
        raise TimedOut()

    def _refuse(self, error: ChatError) -> None:
        """Tell a code and end: in clear before `confirm` has opened, in a record afterwards."""
        refused = refusal(error)
        with contextlib.suppress(Closed):
            proven = self._connection.proven
            self._websocket.send(self._link.seal([refused]) if proven else refused.decode())
            self._connection.say_goodbye(error.close_code)

    # Joining

    def _join(self, confirm: frames.Confirm) -> ServerSession:
        fingerprint = confirm.bundle.fingerprint
        left = self._services.bans.left(confirm.bundle.sign, self._group)
        if left:
            raise Kicked(retry_after=tenths(left))
        if self._services.sessions.is_displaced(fingerprint):
            raise TakenOver()  # it would chase the one that has its place
        if self._token is None or not self._services.tokens.claim(
            self._token.id, confirm.bundle.sign
        ):
            return self._join_permitted(confirm)
        try:
            return self._join_permitted(confirm)
        except BaseException:
            self._services.tokens.release(self._token.id)
            raise

    def _join_permitted(self, confirm: frames.Confirm) -> ServerSession:
        known = self._services.sessions.find(confirm.bundle.fingerprint)
        if known is not None:
            if self._resume(known, confirm.stays):
                return known
            self._services.sessions.end(known, reason="replaced")
        return self._join_anew(confirm)

    def _resume(self, session: ServerSession, stays: Sequence[frames.Stay]) -> bool:
        """Take the place of the session's connection, if the session goes on.

        Not for a client that knows no log, since it has lost what it knew.  Where it cannot go on
        in a room it comes in anew, and waits until it may as anybody does.
        """
        if all(stay.log is None for stay in stays) or is_unheard(session, stays):
            return False
        lost = [
            member.room
            for _room, member, seq, _number in _match(session, stays)
            if member is not None and not member.room.has(member, seq)
        ]
        if not self._is_same(session, len(lost)):
            return False
        if lost:
            self._count_join(self._token_id or session.bundle.fingerprint)
        with self._slots_to_change(lost, self._connection.patient_until()), session.lock:
            return self._resume_locked(session, stays)

    def _is_same(self, session: ServerSession, lost: int) -> bool:
        """Whether the session is one that this client has heard of.

        If it goes on in no room and has asked for nothing, it may not: ``welcome`` was lost, and
        what it has sent and is not answered was for an earlier session.
        """
        if session.over or session.token_id != self._token_id:
            return False
        return lost < len(session.members) or session.taken > 0

    def _resume_locked(self, session: ServerSession, stays: Sequence[frames.Stay]) -> bool:
        old, close_old = session.queue, session.close_connection
        if old is not None:
            # Before a cursor is set back: it must not move on for the old connection.
            session.queue = None
            old.detach()
            close_old("replaced")
        returning = _match(session, stays)
        lost = {
            member.id
            for _room, member, seq, number in returning
            if member is not None and not member.room.resume(member, seq, number)
        }
        if not self._is_same(session, len(lost)):
            return False
        replies: list[Reply] = []
        for room, member, seq, number in returning:
            if member is None:
                replies.append(refusal(Gone(), room=room))
            elif member.id not in lost:
                replies.append(resumed(member, seq or 0))
            else:
                replies += entered(member.room.begin_anew(member, seq, number), member.ref)
                self._services.broadcaster.mark(member.room)
        self._attach(session, True, replies)
        return True

    def _join_anew(self, confirm: frames.Confirm) -> ServerSession:
        nick = self._granted_nick(confirm.nick)
        require_rooms(confirm.stays)
        session = ServerSession(nick, confirm.bundle, self._token_id)
        session.is_pinned = self._token is not None and self._token.nick is not None
        session.group = self._group
        self._count_join(self._token_id or confirm.bundle.fingerprint)
        if self._token_id is not None:
            self._count_takeover(self._token_id)
        self._services.sessions.let_in(session)
        session.close_connection = self._connection.close
        try:
            self._enter_all(session, confirm.stays)
        except BaseException:
            self._services.sessions.end(session)
            raise
        return session

    def _enter_all(self, session: ServerSession, stays: Sequence[frames.Stay]) -> None:
        """The session's first rooms.  Raises Closed, or the first refusal if all are refused.

        ``welcome`` goes out with the first one that is entered; the waits for all are one wait.
        """
        until = self._connection.patient_until()
        refusals: list[Refusal] = []
        unsaid: list[bytes] = []
        for stay in stays:
            try:
                self._enter(session, stay.room, until, unsaid)
            except Refusal as error:
                refusals.append(error)
                unsaid.append(refusal(error, room=stay.room))
            except Closed:
                if not session.members:
                    raise
                return  # its own thread finds out why
        if not session.members:
            raise refusals[0]
        self._connection.queue.reply(*unsaid)

    def _enter(
        self, session: ServerSession, wanted: str, until: float, unsaid: list[bytes]
    ) -> None:
        """One more room, and what was not said yet before it.  Raises Closed or a Refusal."""
        services, connection = self._services, self._connection
        name = check_room(wanted)
        room = services.rooms.find(name)
        with self._slots_to_change([] if room is None else [room], until), session.lock:
            # Who ends it after this leaves all rooms that it has entered.
            if session.over or session.queue not in (None, connection.queue):
                raise Closed()  # its identity or token came a second time, or was revoked
            member, snapshot = services.sessions.enter_room(session, name)
            replies: list[Reply] = [*unsaid, *entered(snapshot)]
            unsaid.clear()
            if session.queue is None:
                self._attach(session, False, replies)
            else:
                connection.queue.attach([member], replies)
        connection.queue.deliver()  # first of all, so that nothing is in its way
        if member.room.count() > 1:  # whoever comes later hears of this one by its roster
            services.tell_joined(member.room)

    @contextlib.contextmanager
    def _slots_to_change(self, rooms: Sequence[Room[Receiver]], until: float) -> Iterator[None]:
        """Wait until they may be changed.  Raises Closed or RateLimited."""
        released = self._services.accept_slot.released()
        with self._connection.slots_to_change(rooms, until, released) as late:
            if self._connection.is_closing():
                raise Closed()
            if late:
                raise RateLimited(retry_after=tenths(late))
            yield

    @property
    def _token_id(self) -> str | None:
        return self._token.id if self._token is not None else None

    def _granted_nick(self, wanted: str) -> str:
        """The nickname that this client gets.  Raises BadNick, NickPinned or NickReserved."""
        pinned = self._token.nick if self._token is not None else None
        if pinned is not None:
            if wanted and check_nick(wanted) != pinned:
                raise NickPinned()
            return pinned
        nick = check_nick(wanted)
        self._services.tokens.check(nick)
        return nick

    def _count_join(self, who: str | bytes) -> None:
        """Raises AddressLimited for one that comes and goes more than others of its address."""
        wait = self._services.joins.take(self._group, who)
        if wait:
            raise AddressLimited(retry_after=tenths(wait))
        self._services.expiry.schedule(limits.JOINS_SECONDS)

    def _count_takeover(self, token_id: str) -> None:
        """Raises RateLimited where programs with one token throw each other out again and again."""
        if any(each.lost_at is None for each in self._services.sessions.with_token(token_id)):
            wait = self._services.takeovers.take(token_id)
            if wait:
                raise RateLimited(retry_after=tenths(wait))
            self._services.expiry.schedule(self._services.policy.rate_window)

    def _attach(self, session: ServerSession, resumed: bool, replies: list[Reply]) -> None:
        """Make this connection the session's; `welcome` is the first that it carries."""
        policy = self._services.policy
        welcome = frames.Welcome(
            session.nick,
            resumed,
            policy.heartbeat_interval,
            policy.heartbeat_timeout,
            policy.max_message_size,
            policy.max_payload_size,
            policy.rate_limit,
            policy.rate_window,
            self._issued_ticket(session),
        )
        members = session.members.values()
        self._connection.queue.attach(members, [welcome.encode(), *replies])
        session.lost_at, session.group = None, self._group
        session.close_connection = self._connection.close
        session.queue = self._connection.queue
        if session.bucket is None:
            session.bucket = policy.work_bucket()
        self._websocket.charge_to(session.bucket)

    def _issued_ticket(self, session: ServerSession) -> bytes:
        return self._services.sessions.tickets.issue(session.bundle.fingerprint, self._group)


def require_rooms(stays: Sequence[frames.Stay]) -> None:
    """Raises BadRoom if not one of them can be the name of a room."""
    for stay in stays:
        with contextlib.suppress(BadRoom):
            check_room(stay.room)
            return
    raise BadRoom()


class _Return(NamedTuple):
    """A stay of a session that goes on; ``member`` is the session's place there, if it has one.

    ``seq`` is None for a client that does not know the log, ``room`` empty where no stay names it.
    """

    room: str
    member: Member[Receiver] | None
    seq: int | None
    number: int


def is_unheard(session: ServerSession, stays: Sequence[frames.Stay]) -> bool:
    """Whether the client has a place of which it never heard.

    It came in anew, and the connection was lost when it had been led into some of its rooms.  It
    still names the logs of its last stays in the others, and no session that goes on may lead into
    others there.
    """
    logs = {
        room_key(member.room.name): member.room.log_id
        for member in list(session.members.values())
        if member.ref is None
    }
    named = {room_key(stay.room): stay.log for stay in stays if stay.log is not None}
    return any(logs.get(room, log) != log for room, log in named.items())


def _match(session: ServerSession, stays: Sequence[frames.Stay]) -> list[_Return]:
    """Each stay, and then the places that none names."""
    members = sorted(list(session.members.items()))  # a frame may be changing them
    places = {room_key(member.room.name): member for _number, member in members}
    found = []
    for stay in stays:
        member = places.pop(room_key(stay.room), None)
        known = member is not None and member.room.log_id == stay.log
        found.append(_Return(stay.room, member, stay.seq if known else None, stay.number or 0))
    return [*found, *(_Return("", member, None, 0) for member in places.values())]


def resumed(member: Member[Receiver], seq: int) -> bytes:
    """``entered`` for one who goes on in its place after ``seq``."""
    room = member.room
    frame = frames.Entered(room.number, room.name, room.log_id, member.id, seq, 0, True, 0)
    return frame.encode()
