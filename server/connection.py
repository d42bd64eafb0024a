"""One client: it proves, joins, and then its frames are handled, one by one, in its own thread.

Until it is in it is an acceptor's business (``server.listener``); from then on its own
thread alone opens the client's records and changes its session.  What goes out is the
business of the client's ``SendQueue``; this thread only finishes what the socket did not take.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Protocol

from protocol import frames
from protocol import limits as protocol_limits
from protocol.errors import (
    AddressLimited,
    ChatError,
    Kicked,
    NickPinned,
    RateLimited,
    Refusal,
    RemoteError,
    Repeated,
    RoomFull,
    ServerFull,
    TakenOver,
    TimedOut,
    TooBig,
    TooLong,
    Unexpected,
)
from protocol.link import TOKEN, ServerLink
from protocol.names import check_nick, check_room, room_key
from server import limits
from server.auth import Token, random_prs
from server.broadcast import Receiver, SendQueue, entered
from server.rate_limits import MemberRateLimiter, tenths
from server.rooms import Member, Room, Snapshot
from server.services import Services
from server.sessions import Session
from server.throttle import LoginQueue
from transport import Closed, Flooded
from transport.token_bucket import REFUSAL_COST, VALUE_COST, TokenBucket


class Peer(Protocol):
    """What is used of ``transport.websocket.WebSocket``."""

    @property
    def backlog(self) -> int: ...

    def receive(self, timeout: float | None = None) -> str | bytes | None: ...

    def send(self, data: str | bytes, /) -> None: ...

    def wake(self) -> None: ...

    def flush(self, deadline: float) -> None: ...

    def close(self, code: int = 1000) -> None: ...

    def drop(self, size: int, deadline: float) -> bool: ...

    def finish(self, deadline: float) -> None: ...

    def abort(self) -> None: ...

    def charge_to(self, bucket: TokenBucket, /) -> None: ...


class Over(Exception):
    """The client said goodbye, or was told to go.

    Its session ends without a grace, unless another connection has taken it over.
    """


def next_beat(beat: float, now: float, interval: float) -> float:
    """When to send the heartbeat after the one that was due at ``beat`` and is sent ``now``.

    One that is a little late does not put off the next: threads that were late together,
    since one waits for the other, would be together ever after, and more of them each time.
    """
    return beat + interval if beat <= now < beat + interval else now + interval


class Connection:
    """One client, from the greeting to the end.  ``enter`` comes first, and gives the rest."""

    def __init__(
        self,
        services: Services,
        peer: Peer,
        group: str,
        on_known: Callable[[], None],
        on_proven: Callable[[], None],
    ) -> None:
        self._services, self._peer, self._group = services, peer, group
        self._on_known, self._on_proven = on_known, on_proven
        self._link = ServerLink()
        self._queue = SendQueue(self._link, peer, services.broadcaster.mark)
        self._token: Token | None = None
        self._ticket: bytes | None = None  # whose ticket `hello` has shown: a fingerprint
        self._reason: str | None = None  # set by close: why this connection is to end
        self._gave_up = threading.Event()
        self._stirred = threading.Event()  # while it waits for its turn: see LoginQueue.take
        self._reading_stopped = False  # set by stop_reading: nothing more is read
        self.idle = threading.Event()  # nothing more is accepted from this client
        self._proven = False
        self._strikes = 0
        self._received = 0
        self._asked = False  # for a heartbeat at once, by the record that is being handled
        self._appended_to: Room[Receiver] | None = None  # by the record that is being handled
        self._heard = 0.0
        self._bucket: TokenBucket | None = None  # once there is a session
        self._late = 0.0  # how long a room that was to be changed may not be: see ChurnLimiter.slot

    def enter(self) -> Callable[[], None] | None:
        """The handshake; what is left to do if the client is in, which is for its own thread.

        The caller has the accept slot.  Neither raises anything that a client can cause.
        """
        session = None
        try:
            session = self._enter()
        except Flooded:
            self._hold_flooder()
        except Closed:
            pass  # by the client, or because this server stops: there is nothing to refuse
        except ChatError as error:
            with contextlib.suppress(Closed):
                self._refuse_entry(error)
        except Exception:  # a bug of ours: no more is told than that there was one
            with contextlib.suppress(Closed):
                self._refuse_entry(ChatError())
            raise
        finally:
            if session is None:
                self._end_all()
        return None if session is None else partial(self._live, session)

    def _end_all(self) -> None:
        self.idle.set()
        self._peer.abort()

    @property
    def member(self) -> bool:
        """Whether this client has been let in."""
        return self._proven

    def stop_reading(self) -> None:
        """From any thread: accept nothing more, and wait for ``close``.  Returns at once."""
        self._reading_stopped = True
        self._stirred.set()
        self._peer.wake()

    def close(self, reason: str) -> None:
        """From any thread: say ``reason`` and go.  Returns at once."""
        self._reason = self._reason or reason
        self._gave_up.set()
        self._stirred.set()
        self._peer.wake()

    # Coming in

    def _enter(self) -> Session:
        deadline = self._services.clock() + limits.HANDSHAKE_SECONDS
        self._peer.send(self._link.greeting())
        hello = self._link.receive_hello(self._receive_by(deadline))
        if hello.proof == TOKEN and hello.token is not None:
            self._token = self._services.tokens.find(self._link.sid, hello.token)
            prs = self._token.prs if self._token is not None else random_prs()
        else:
            prs = self._services.password.prs
            if hello.ticket is not None:
                self._ticket = self._services.sessions.tickets.take(self._link.sid, hello.ticket)
        confirm = self._prove(prs)
        return self._join(confirm)

    def _prove(self, prs: bytes) -> frames.Confirm:
        """Frames 2 and 3.

        Who names a live token, or shows a ticket, need not wait: nobody else knows either.
        """
        known = self._token is not None or self._ticket is not None
        handshakes, guesses = self._services.throttle.handshakes, self._services.throttle.guesses
        if known:
            self._on_known()
        else:
            self._take(handshakes)
        deadline = self._services.clock() + limits.HANDSHAKE_SECONDS
        self._peer.send(self._link.key(prs))
        record = self._receive_by(deadline)
        if known:
            return self._judge(record)
        answered_by = self._services.clock() + limits.PATIENCE
        self._take(guesses)
        try:
            return self._judge(record)
        finally:
            if self._proven:
                for line in (handshakes, guesses):
                    line.give_back(self._group)
            else:
                self._hold_answer(answered_by)

    def _take(self, line: LoginQueue) -> None:
        """Wait for one's turn in ``line``.  Raises TooManyAttempts, or Closed."""
        self._services.expiry.schedule(limits.FORGET_SECONDS)
        with self._services.accept_slot.released():
            line.take(self._group, self._stirred, lambda: self._reason is not None)

    def _judge(self, record: str | bytes) -> frames.Confirm:
        try:
            confirm = self._link.receive_confirm(record)
        except RemoteError:
            self._proven = True  # it opened; what is inside is another matter
            raise
        self._proven = True
        if self._ticket not in (None, confirm.bundle.fingerprint):
            raise Unexpected()  # somebody else's ticket
        self._on_proven()
        return confirm

    def _hold_answer(self, answered_by: float) -> None:
        """After a wrong proof: its answer is late where guesses of that address are many."""
        seconds = self._services.throttle.hold(self._group)
        if seconds:
            with self._services.accept_slot.released():
                self._gave_up.wait(min(seconds, answered_by - self._services.clock()))
            self._services.throttle.release(self._group)

    def _hold_flooder(self) -> None:
        """Keep it waiting while it does not go: it would only come anew, which costs more."""
        deadline = self._services.clock() + limits.FLOODER_SECONDS
        if self._peer.drop(limits.FLOODER_BYTES, deadline):
            with self._services.accept_slot.released():
                self._gave_up.wait(deadline - self._services.clock())

    def _receive_by(self, deadline: float) -> str | bytes:
        """One message of the handshake.  Raises TimedOut, TooBig or Closed."""
        while (left := deadline - self._services.clock()) > 0:
            if self._reason is not None:
                raise Closed()
            message = self._peer.receive(left)
            if message is not None:
                if len(message) > protocol_limits.HANDSHAKE_BYTES:
                    raise TooBig(limit=protocol_limits.HANDSHAKE_BYTES)
                return message
        raise TimedOut()

    def _join(self, confirm: frames.Confirm) -> Session:
        left = self._services.bans.left(confirm.bundle.fingerprint, self._group)
        if left:
            raise Kicked(retry_after=tenths(left))
        if self._services.sessions.is_displaced(confirm.bundle.fingerprint):
            raise TakenOver()  # it would chase the one that has its place
        known = self._services.sessions.find(confirm.bundle.fingerprint)
        if known is not None:
            if confirm.log is not None and self._resume(known, confirm):
                return known
            self._services.sessions.end(known, reason="replaced")
        return self._join_anew(confirm)

    def _resume(self, session: Session, confirm: frames.Confirm) -> bool:
        """Take the place of the session's connection, if its log goes on where it says."""
        with session.lock:
            room, member = session.room, session.member
            if session.over or room is None or member is None or room.log_id != confirm.log:
                return False
            if session.token_id != (self._token.id if self._token is not None else None):
                return False
            old, close_old = session.queue, session.close_connection
            if old is not None:
                # Before the cursor is set back: it must not move on for the old connection.
                session.queue = None
                old.detach()
                close_old("replaced")
            if not room.resume(member, confirm.seq or 0, confirm.number or 0):
                return False
            resumed = frames.Entered(
                room.name, room.log_id, member.id, confirm.seq or 0, 0, True, 0
            )
            self._attach(session, [resumed.encode()])
        return True

    def _join_anew(self, confirm: frames.Confirm) -> Session:
        nick = self._granted_nick(confirm.nick)
        room_name = check_room(confirm.room)
        token_id = self._token.id if self._token is not None else None
        session = Session(nick, confirm.bundle, token_id)
        session.group = self._group
        self._count_join(token_id or confirm.bundle.fingerprint)
        self._add(session)
        session.close_connection = self.close
        try:
            with self._slot_to_change(
                self._services.rooms.find(room_name), self._services.accept_slot.released()
            ) as late:
                if self._reason is not None:
                    raise Closed()
                if late:
                    raise RateLimited(retry_after=tenths(late))
                room = self._enter_room(session, room_name)
        except BaseException:
            self._services.sessions.end(session)
            raise
        self._queue.deliver()  # first of all, so that nothing is in its way
        if room.count() > 1:  # whoever comes later hears of this one by its roster
            self._services.broadcaster.broadcast(room)
        return session

    def _slot_to_change(
        self,
        room: Room[Receiver] | None,
        while_waiting: AbstractContextManager[None] | None = None,
    ) -> AbstractContextManager[float]:
        """See ``ChurnLimiter.slot``.  Nobody waits for a room that is only made by coming in."""
        if room is None:
            return contextlib.nullcontext(0.0)
        return room.churn.slot(
            self._group,
            self._stirred,
            lambda: self._reason is not None,
            self._tell_wait,
            min(limits.CHANGE_PATIENCE, self._services.policy.heartbeat_timeout / 2),
            while_waiting,
        )

    def _tell_wait(self, seconds: float) -> None:
        self._queue.reply(frames.Wait(tenths(seconds)).encode())
        self._queue.deliver()

    def _count_join(self, who: str | bytes) -> None:
        """Raises AddressLimited for one that comes and goes more than others of its address."""
        wait = self._services.joins.take(self._group, who)
        if wait:
            raise AddressLimited(retry_after=tenths(wait))
        self._services.expiry.schedule(limits.JOINS_SECONDS)

    def _count_takeover(self, token_id: str) -> None:
        """Raises RateLimited where programs with one token throw each other out again and again."""
        if any(each.lost_at is None for each in self._services.sessions.with_token(token_id)):
            wait = self._services.commands.own.take(("token", token_id))
            if wait:
                raise RateLimited(retry_after=tenths(wait))
            self._services.expiry.schedule(self._services.policy.rate_window)

    def _add(self, session: Session) -> None:
        """Take its nickname.  Raises NickTaken, NickLost, ServerFull, or as ``_count_takeover``."""
        sessions = self._services.sessions
        if session.token_id is not None:
            self._count_takeover(session.token_id)
        add = sessions.add if session.token_id is None else sessions.take_over
        try:
            add(session)
        except ServerFull:
            if not sessions.make_room():
                raise
            add(session)

    def _find_place(
        self, session: Session, name: str
    ) -> tuple[Room[Receiver], Member[Receiver], Snapshot]:
        """A place in the room ``name``, where those in their grace make room for the living.

        The caller holds ``session.lock``, and those in their grace hold none.  Raises RoomFull, or
        ServerFull for a room too many.
        """
        rooms, sessions = self._services.rooms, self._services.sessions
        while True:
            try:
                return rooms.enter(name, session, session.nick, session.bundle)
            except RoomFull:
                room = rooms.find(name)
                if room is not None and not sessions.make_room(room):
                    raise
            except ServerFull:
                if not sessions.make_room():
                    raise

    def _enter_room(self, session: Session, name: str) -> Room[Receiver]:
        """The session's first room.  Raises ServerFull or RoomFull."""
        with session.lock:  # who ends it now finds either no room, or one that it has to leave
            if session.over:
                raise Closed()  # its identity or token came a second time, or was revoked
            room, member, snapshot = self._find_place(session, name)
            session.room, session.member = room, member
            self._attach(session, entered(snapshot))
        return room

    def _attach(self, session: Session, replies: list[bytes]) -> None:
        """Make this connection the session's; `welcome` is the first that it carries."""
        policy = self._services.policy
        welcome = frames.Welcome(
            session.nick,
            policy.heartbeat_interval,
            policy.heartbeat_timeout,
            policy.max_message_size,
            policy.max_payload_size,
            policy.rate_limit,
            policy.rate_window,
            self._services.sessions.tickets.issue(session.bundle.fingerprint, self._group),
        )
        room, member = session.room, session.member
        if room is None or member is None:
            raise AssertionError("a session without a room has nothing to attach")
        self._queue.attach(room, member, [welcome.encode(), *replies])
        session.lost_at, session.group = None, self._group
        session.close_connection = self.close
        session.queue = self._queue
        if session.bucket is None:
            session.bucket = policy.work_bucket()
        self._bucket = session.bucket
        self._peer.charge_to(self._bucket)

    def _granted_nick(self, wanted: str) -> str:
        """The nickname that this client gets.  Raises BadNick, NickPinned or NickReserved."""
        if self._token is not None:
            if wanted and check_nick(wanted) != self._token.nick:
                raise NickPinned()
            return self._token.nick
        nick = check_nick(wanted)
        self._services.tokens.check(nick)
        return nick

    def _refuse_entry(self, error: ChatError) -> None:
        """Tell a code and end: in clear before `confirm` has opened, in a record afterwards."""
        refused = _refusal(error).encode()
        if self._proven:
            self._peer.send(self._link.seal([refused]))
        else:
            self._peer.send(refused.decode())
        self._say_goodbye(error.close_code)

    # Being here

    def _live(self, session: Session) -> None:
        """The life of the client's own thread."""
        try:
            self._until_over(session)
        finally:
            self._end_all()

    def _until_over(self, session: Session) -> None:
        """Frames until the end; then the session is over, or in its grace."""
        over = False
        try:
            self._serve(session)
        except Over:
            over = True
            if self._reason is None:
                self._leave(session)  # by itself: the others need not wait for a polite end
            self._say_goodbye(1000)
        except Closed:
            pass
        except ChatError as error:
            # What the last frame did to this connection is not the identity's fault: it may
            # come back within its grace.
            self._refuse(error)
        except Exception:  # as in enter
            self._refuse(ChatError())
            raise
        finally:
            if over:
                self._leave(session)
            elif self._services.sessions.lose(session, self._queue):
                self._services.expiry.schedule(self._services.policy.heartbeat_timeout)

    def _refuse(self, error: ChatError) -> None:
        self._queue.detach()  # nothing comes after the reason; who returns gets the rest
        with contextlib.suppress(Closed):
            self._queue.reply(_refusal(error).encode())
            self._queue.deliver()
            self._say_goodbye(error.close_code)

    def _leave(self, session: Session) -> None:
        """End the session, unless it is another connection's now."""
        with session.lock:
            mine = session.queue is self._queue
        if mine:
            self._services.sessions.end(session)

    def _serve(self, session: Session) -> None:
        policy, clock = self._services.policy, self._services.clock
        self._heard = clock()
        # Not a whole interval for the first: those who come in together would beat together.
        beat = self._heard + policy.heartbeat_interval * secrets.randbelow(1000) / 1000
        self._queue.deliver()
        if self._token is not None:  # it may have ended between the proof and the session
            self._reason = self._reason or self._services.tokens.why_ended(self._token.id)
        while True:
            if self._peer.backlog:
                # Nothing more is sealed before the socket has taken the rest, so what is held
                # for this client is one record, and the answers to another one.
                self._peer.flush(clock() + policy.heartbeat_timeout)
                self._heard = clock()  # it takes what it gets, and nobody listened meanwhile
                self._queue.deliver()
                if self._queue.has_replies:
                    continue
            if self._reading_stopped:
                self.idle.set()
                self._gave_up.wait(limits.STOP_POLITE_SECONDS)
            if self._reason is not None:
                self._end(session, self._reason)
            self._rest(beat)
            record = self._next_record(min(beat, self._silent_at()))
            if record is not None:
                self._receive(session, record)
            elif clock() >= self._silent_at():
                raise TimedOut()
            if self._asked or clock() >= beat or self._received >= protocol_limits.SEEN_BYTES:
                beat = next_beat(beat, clock(), policy.heartbeat_interval)
                self._asked, self._received = False, 0
                self._queue.reply(frames.Seen(session.taken).encode())
                self._queue.deliver()

    def _rest(self, until: float) -> None:
        """Read nothing of a client that has cost more than its share, but go on sending to it."""
        pause = self._bucket.wait() if self._bucket is not None else 0.0
        if not pause:
            return
        self._stirred.clear()
        if self._reason is None and not self._reading_stopped:
            self._stirred.wait(min(pause, max(0.0, until - self._services.clock())))

    def _next_record(self, until: float) -> str | bytes | None:
        """What comes next; None at ``until`` or when there is something else to do."""
        if not self._peer.backlog:
            return self._peer.receive(max(0.0, until - self._services.clock()))
        # Who takes more slowly than its room talks must be heard too.  The first look may
        # have been told only that there is a backlog.
        record = self._peer.receive(0.0)
        return self._peer.receive(0.0) if record is None else record

    def _silent_at(self) -> float:
        return self._heard + self._services.policy.heartbeat_timeout

    def _end(self, session: Session, reason: str) -> None:
        """Hand over what is in the log, then the reason, and nothing after it; always raises."""
        if session.room is not None:
            session.room.round()  # this client waits for no other
        self._drain(self._services.clock() + limits.STOP_POLITE_SECONDS)
        self._queue.detach()
        self._queue.reply(frames.Bye(reason).encode())
        self._queue.deliver()
        raise Over()

    def _say_goodbye(self, close_code: int) -> None:
        """The polite end: all that was said goes out, then a close frame, for a moment at most."""
        deadline = self._services.clock() + limits.STOP_POLITE_SECONDS
        with contextlib.suppress(Closed):
            self._drain(deadline)
            self._peer.close(close_code)
        self._peer.finish(deadline)

    def _drain(self, deadline: float) -> None:
        self._queue.deliver()
        while self._peer.backlog:
            self._peer.flush(deadline)
            self._queue.deliver()

    def _receive(self, session: Session, record: str | bytes) -> None:
        """One record: each frame is handled or refused by itself; the third refusal ends it."""
        self._received += len(record)
        values: Sequence[Any] = ()
        try:
            values = self._link.open(record)
        except RemoteError as error:  # the client's own, and not what a record should be
            self._strike(error)
        try:
            self._handle_all(session, values)
        finally:
            appended, self._appended_to = self._appended_to, None
            if appended is not None:
                self._services.broadcaster.mark(appended)
        # Only now: while a frame waits, or has to be paid for, nobody listens.
        pause = self._bucket.wait() if self._bucket is not None else 0.0
        self._heard = self._services.clock() + pause
        # The round of a room that it is still in brings it the answers, too, in one record.
        if appended is None or appended is not session.room:
            self._queue.deliver()
        if self._strikes >= protocol_limits.STRIKES:
            self._end(session, "protocol")

    def _handle_all(self, session: Session, values: Sequence[Any]) -> None:
        if self._bucket is not None:
            self._bucket.spend(VALUE_COST * len(values))
        for value in values:
            after: list[Receiver] = []
            try:
                frame = frames.from_object(value, frames.CLIENT_FRAMES)
                with self._waited_for(session, frame) as self._late, session.lock:
                    if session.queue is not self._queue:
                        break  # it is over, or another connection's now: close has told why
                    replies = self._handle(session, frame, after)
                self._queue.reply(*replies)
            except RemoteError as error:
                self._strike(error)
            for receiver in after:
                receiver.deliver()
            if self._strikes >= protocol_limits.STRIKES:
                break

    def _waited_for(
        self, session: Session, frame: frames.Frame
    ) -> AbstractContextManager[float]:
        """What changes a room waits until it may, without ``session.lock``."""
        if not isinstance(frame, (frames.Nick, frames.Enter)) or frame.ref <= session.taken:
            return contextlib.nullcontext(0.0)
        room = session.room
        if isinstance(frame, frames.Enter):
            room = self._services.rooms.find(frame.room)
            if room is session.room:
                return contextlib.nullcontext(0.0)
        if room is not None and self._appended_to is not None:
            # What came before it does not wait with it.
            self._services.broadcaster.mark(self._appended_to)
        return self._slot_to_change(room)

    def _strike(self, error: RemoteError) -> None:
        self._queue.reply(_refusal(error).encode())
        self._strikes += 1

    # Handling frames: session.lock is held, replies are returned

    def _handle(
        self, session: Session, frame: frames.Frame, after: list[Receiver]
    ) -> list[bytes]:
        """What ``frame`` is answered with; ``after`` collects who has to be delivered to."""
        if isinstance(frame, frames.Seen):
            return self._on_seen(session, frame)
        if isinstance(frame, frames.Keys):
            return self._on_keys(session, frame)
        if isinstance(frame, frames.Bye):
            raise Over()
        if isinstance(frame, frames.Confirm):
            raise Unexpected()
        return self._on_request(session, frame, after)

    def _on_request(
        self, session: Session, frame: frames.Frame, after: list[Receiver]
    ) -> list[bytes]:
        """A frame with a ``ref``: it is taken once, and answered the same way ever after."""
        ref: int = getattr(frame, "ref")  # noqa: B009  # each of the five kinds has one
        try:
            return self._answer_to(session, frame, ref, after)
        except RemoteError as error:  # a strike, and not taken; but the client waits for an answer
            self._strikes += 1
            return [_refusal(error, ref).encode()]

    def _answer_to(
        self, session: Session, frame: frames.Frame, ref: int, after: list[Receiver]
    ) -> list[bytes]:
        if ref <= session.taken:
            self._count_refusal(session)
            known = session.answered(ref)
            if known is not None and isinstance(frame, frames.ListRooms):
                return self._list_rooms(frame)  # too long to be remembered, and newer is better
            return [known if known is not None else _refusal(Repeated(), ref).encode()]
        try:
            answer = self._act(session, frame, after)
        except Refusal as error:
            self._count_refusal(session)
            answer = [_refusal(error, ref).encode()]
        session.answer(ref, b"" if isinstance(frame, frames.ListRooms) else answer[0])
        return answer

    def _act(self, session: Session, frame: frames.Frame, after: list[Receiver]) -> list[bytes]:
        if isinstance(frame, frames.Post):
            return self._on_post(session, frame)
        if isinstance(frame, frames.Private):
            return self._on_private(session, frame, after)
        if isinstance(frame, frames.Nick):
            return self._on_nick(session, frame)
        if isinstance(frame, frames.Enter):
            return self._on_enter(session, frame)
        if isinstance(frame, frames.ListRooms):
            return self._on_list_rooms(session, frame)
        raise Unexpected()

    def _on_post(self, session: Session, post: frames.Post) -> list[bytes]:
        room, member = _place(session)
        self._check_box(post.box)
        self._count(self._services.posts, session)
        try:
            seq = room.post(member, post)
        except ChatError:
            self._services.posts.uncount(session.bundle.fingerprint, self._group)
            raise
        self._appended_to = room
        return [frames.encode_accepted(post.ref, seq)]

    def _on_private(
        self, session: Session, private: frames.Private, after: list[Receiver]
    ) -> list[bytes]:
        room, member = _place(session)
        self._check_box(private.box)
        self._count(self._services.posts, session)
        try:
            after.append(room.send_private(member, private))
        except ChatError:
            self._services.posts.uncount(session.bundle.fingerprint, self._group)
            raise
        return [frames.Accepted(private.ref).encode()]

    def _on_keys(self, session: Session, wraps: frames.Keys) -> list[bytes]:
        room, member = _place(session)
        if len({wrap.epoch for wrap in wraps.wraps}) > 1:
            raise Unexpected()
        for wrap in wraps.wraps:
            with contextlib.suppress(Repeated):
                room.hold_wrap(member, wrap)
        return []

    def _on_seen(self, session: Session, seen: frames.Seen) -> list[bytes]:
        room, member = _place(session)
        room.confirm(member, seen.seq, seen.number or 0)
        self._asked = self._asked or seen.answer is True
        return []

    def _on_nick(self, session: Session, wanted: frames.Nick) -> list[bytes]:
        room, member = _place(session)
        self._count(self._services.commands, session)
        self._require_place()
        if session.token_id is not None:
            raise NickPinned()
        nick = check_nick(wanted.nick)
        self._services.tokens.check(nick)
        if nick == session.nick:
            return [frames.Accepted(wanted.ref).encode()]
        self._services.sessions.rename(session, nick)
        seq = room.rename(member, nick)
        self._appended_to = room
        return [frames.Accepted(wanted.ref, seq).encode()]

    def _on_enter(self, session: Session, wanted: frames.Enter) -> list[bytes]:
        room, member = _place(session)
        self._count(self._services.commands, session)
        self._require_place()
        name = check_room(wanted.room)
        answer = frames.Accepted(wanted.ref).encode()
        if room_key(name) == room_key(room.name):
            return [answer]
        # Into the new one first: if it is full, nothing has happened.
        new_room, new_member, snapshot = self._find_place(session, name)
        session.room, session.member = new_room, new_member
        self._queue.attach(new_room, new_member, entered(snapshot, wanted.ref))
        self._services.rooms.leave(room, member)
        self._services.broadcaster.mark(room)
        self._services.broadcaster.mark(new_room)
        return [answer]

    def _require_place(self) -> None:
        """Raises RateLimited where the room may not change just now, however long one waits."""
        if self._late:
            raise RateLimited(retry_after=tenths(self._late))

    def _on_list_rooms(self, session: Session, wanted: frames.ListRooms) -> list[bytes]:
        self._count(self._services.commands, session)
        return self._list_rooms(wanted)

    def _list_rooms(self, wanted: frames.ListRooms) -> list[bytes]:
        rooms = self._services.rooms.listing()
        listed: list[frames.RoomLine] = []
        size = 0
        for line in rooms[: limits.ROOMS_LISTED]:
            size += len(line.encode())
            if size > limits.ROSTER_BYTES:  # as large as a record should be
                break
            listed.append(line)
        return [frames.RoomLines(wanted.ref, tuple(listed), len(rooms)).encode()]

    def _check_box(self, box: frames.Box) -> None:
        policy = self._services.policy
        if len(box.data) > policy.max_box_size:
            raise TooLong(limit=policy.max_message_size)

    def _count(self, limiter: MemberRateLimiter, session: Session) -> None:
        """Count one for the identity and its address.  Raises as ``limiter.count``."""
        limiter.count(session.bundle.fingerprint, self._group)
        self._services.expiry.schedule(self._services.policy.rate_window)

    def _count_refusal(self, session: Session) -> None:
        """Raises Unexpected for a client that goes on whatever it is answered."""
        if self._bucket is not None:
            self._bucket.spend(REFUSAL_COST)
        if self._services.refusals.take(session.bundle.fingerprint):
            raise Unexpected()
        self._services.expiry.schedule(limits.REFUSALS_SECONDS)


def _place(session: Session) -> tuple[Room[Receiver], Member[Receiver]]:
    if session.room is None or session.member is None:
        raise Unexpected()
    return session.room, session.member


def _refusal(error: ChatError, ref: int | None = None) -> frames.Refused:
    """The frame that says ``error``: its code and the parameters that the wire knows."""
    retry_after, limit = error.params.get("retry_after"), error.params.get("limit")
    nick = error.params.get("nick")
    return frames.Refused(
        error.code,
        ref,
        float(retry_after) if retry_after is not None else None,
        int(limit) if limit is not None else None,
        str(nick) if nick is not None else None,
    )
