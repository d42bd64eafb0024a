"""What a member's frames do where several nodes are one chat.

Whatever changes something is decided by a script of the engine, in one order for all nodes.  Posts
and private posts are not waited for: the next frames are handled meanwhile, and the answer goes out
when the engine's is there, by the writer's thread.  All others wait.  Since everything goes through
the writer's one queue, answers keep the order of the refs; a refusal that was decided here is kept
in the engine, too, and goes out in its turn.  Each request names the one before it, and is not
done where that was not: so nothing overtakes what was handed back, or will come again.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import ClassVar, NamedTuple, TypeVar

from protocol import frames, wire_json
from protocol import limits as protocol_limits
from protocol.errors import (
    BadRoom,
    ChatError,
    NickPinned,
    OutcomeUnknown,
    PasswordOnly,
    Refusal,
    RemoteError,
    Repeated,
    ServerFull,
    TooLong,
    TooManyRooms,
    Unavailable,
    Unexpected,
)
from protocol.keys import from_text
from protocol.names import check_nick, check_room, room_key
from server import limits
from server.auth import Inviter
from server.broadcast import Receiver, SendQueue, entered
from server.cluster import calls, replies
from server.cluster import limits as cluster_limits
from server.cluster.asking import Outcome, Reader, ask, settle
from server.cluster.calls import HeldWrap
from server.cluster.mirror import MirrorRoom
from server.cluster.replies import PostOutcome
from server.cluster.script import ScriptCall
from server.cluster.services import ClusterServices
from server.cluster.session import ClusterSession, mirror_of
from server.cluster.writer import unavailable
from server.member import Member
from server.requests import HANDLERS, Handler, Requests, Slots, refusal
from server.services import Services
from server.sessions import ServerSession
from server.threads import tell_failure
from transport import Closed
from transport.token_bucket import REFUSAL_COST

Read = TypeVar("Read")


class _Sent(NamedTuple):
    """A post or private post that is under way."""

    request: frames.Post | frames.Private
    room: MirrorRoom[Receiver]
    size: int


class ClusterRequests(Requests):
    """The frames of one connection.  Its own thread handles them; ``_on_answer`` is the writer's.

    That one takes no ``session.lock``: who holds it may be waiting for the engine.
    """

    handlers: ClassVar[dict[type[frames.Frame], Handler]]

    def __init__(
        self, services: Services, session: ServerSession, queue: SendQueue, slots: Slots
    ) -> None:
        assert isinstance(services, ClusterServices)
        assert isinstance(session, ClusterSession)
        super().__init__(services, session, queue, slots)
        self._cluster, self._own = services, session
        self._writer, self._places = services.writer, services.sessions.places
        self._holds = 0  # how often wraps were given to the engine
        self._confirmed: dict[int, int] = {}  # by own member id, the private number told last
        self._under_way = self._bytes = 0  # posts and holds, as this thread knows
        self._ended: deque[int] = deque()  # sizes of those that have ended: by any thread
        self._is_awaited = False  # whether this thread waits for one of them to end
        self._last_room: MirrorRoom[Receiver] | None = None  # of the last post
        self._last_seq = 0  # that was taken there

    @property
    def is_full(self) -> bool:  # type: ignore[override]
        """Whether so many posts wait for the engine that nothing more may be read."""
        while self._ended:
            self._under_way -= 1
            self._bytes -= self._ended.popleft()
        self._is_awaited = (
            self._under_way >= cluster_limits.UNANSWERED_POSTS
            or self._bytes >= cluster_limits.UNANSWERED_BYTES
        )
        return self._is_awaited

    def settle(self) -> None:
        """Wait a moment for the answers that are under way, and for what comes of them."""
        if self._last_room is None:
            return
        if self._under_way > len(self._ended):
            done = threading.Event()  # what is behind them in the one queue is after them
            call = calls.poke(self._own.claim.node, self._last_room.key)
            self._writer.submit(call, lambda _outcome: done.set())
            done.wait(limits.STOP_QUIET_SECONDS)
        with contextlib.suppress(Unavailable):
            self._last_room.wait_for(self._last_seq, limits.STOP_QUIET_SECONDS)

    # Answers

    def _answer(self, request: frames.Request, handler: Handler) -> bytes | None:
        session, before = self._own, self._own.submitted
        try:
            if request.ref <= before:
                return self._ask_again(request)
            # Whatever this asks of the engine comes after what was asked for before.
            session.claim = session.claim._replace(after=session.latest)
            session.submitted = session.latest = request.ref
            return handler(self, request)
        except RemoteError as error:  # a strike, and not taken; but the client waits for an answer
            session.submitted = before
            session.give_up(request.ref)
            self._strikes += 1
            return refusal(error, request.ref)
        except Unavailable as error:
            session.give_up(request.ref)
            return refusal(error, request.ref)
        except Refusal as error:
            self._spend_refusal()
            self._keep(request.ref, refusal(error, request.ref))
        return None

    def _keep(
        self, ref: int, encoded: bytes, kept: bytes | None = None, token_id: str = ""
    ) -> None:
        """Answer after everything before it is answered; the engine keeps that, or ``kept``."""
        kept = encoded if kept is None else kept
        call = calls.answer(self._own.claim, ref, kept, token_id)
        self._writer.submit(call, partial(self._on_kept, ref, encoded))

    def _on_kept(self, ref: int, encoded: bytes, outcome: Outcome) -> None:
        found = self._settled(outcome, replies.answer)
        if found is None:
            self._own.give_up(ref)
        else:
            self._own.taken = max(self._own.taken, ref)
        self._queue.reply(found.encoded if found is not None and found.encoded else encoded)
        self._queue.deliver()

    def _settled(self, outcome: Outcome, read: Reader[Read]) -> Read | None:
        """What was answered; None, and the connection ends, if the session is not here any more.

        Raises nothing: what cannot be read is a fault of ours, and told.
        """
        try:
            return settle(outcome, read)
        except replies.SessionFenced:
            self._cluster.sessions.fence(self._own)
        except (replies.Forgotten, replies.NodeFenced):
            pass  # the node hears of it, and ends all connections
        except (ChatError, replies.Skipped):
            pass
        except Exception:
            tell_failure()
            self._own.abort()  # it asks again
        return None

    def _ask(self, call: ScriptCall, read: Reader[Read]) -> Read:
        """As ``asking.ask``, of a call that changes something.

        Raises Closed where nobody knows what has become of it: the client finds out as it resumes.
        """
        try:
            return ask(self._writer, call, read)
        except replies.SessionFenced:
            self._cluster.sessions.fence(self._own)
            raise Closed() from None
        except replies.Skipped:
            raise unavailable() from None
        except (OutcomeUnknown, replies.Forgotten, replies.NodeFenced):
            raise Closed() from None

    def _ask_again(self, request: frames.Request) -> bytes | None:
        """What has come before; a post whose answer is not here may not have been done.

        Nor need it be the same one, or ever have come: it is measured and counted as the first.
        """
        self._count_refusal()
        self._own.claim = self._own.claim._replace(after=0)
        if request.ref > self._own.taken and isinstance(request, (frames.Post, frames.Private)):
            self._on_line(request)
            return None
        if isinstance(request, frames.ListRooms):
            return self._listed(request)
        found = self._ask(calls.answer(self._own.claim, request.ref, b""), replies.answer)
        if isinstance(request, frames.Mint) and found.token_id:
            return self._mint_once_more(request, found.token_id)
        return found.encoded or refusal(Repeated(), request.ref)

    # Posts

    def _on_post(self, post: frames.Post) -> None:  # type: ignore[override]
        self._on_line(post)

    def _on_private(self, private: frames.Private) -> None:  # type: ignore[override]
        self._on_line(private)

    def _on_line(self, line: frames.Post | frames.Private) -> None:
        policy = self._services.policy
        if len(line.box.data) > policy.max_box_size:
            raise TooLong(limit=policy.max_message_size)
        self._count(self._services.posts)
        if isinstance(line, frames.Post):
            self._post(line)
        else:
            self._private(line)

    def _post(self, post: frames.Post) -> None:
        member = self._member(post.at)
        room, box = mirror_of(member), post.box
        if room is not self._last_room:
            self._last_room, self._last_seq = room, 0
        rest = wire_json.posted(member.id, post.change, box)
        call = calls.post(
            self._own.claim,
            room.key,
            member.id,
            post.ref,
            post.change,
            (box.epoch, box.n),
            rest,
            self._holds,
        )
        self._send(_Sent(post, room, len(call.packed)), call)

    def _private(self, private: frames.Private) -> None:
        member = self._member(private.at)
        room = mirror_of(member)
        rest = wire_json.private_for(member.id, private)
        to, change = private.wrap.to, private.change
        call = calls.private(self._own.claim, room.key, member.id, private.ref, to, change, rest)
        self._send(_Sent(private, room, len(call.packed)), call)

    def _send(self, sent: _Sent, call: ScriptCall) -> None:
        """Have it done, and go on meanwhile."""
        self._under_way += 1
        self._bytes += sent.size
        read = replies.post if isinstance(sent.request, frames.Post) else replies.private
        self._writer.submit(call, partial(self._on_done, sent, read))

    def _on_done(self, sent: _Sent, read: Reader[PostOutcome], outcome: Outcome) -> None:
        """For the writer's thread."""
        self._end_one(sent.size)
        self._on_answer(sent, read, outcome)

    def _end_one(self, size: int) -> None:
        self._ended.append(size)
        if self._is_awaited:
            self._own.ring()

    def _on_answer(self, sent: _Sent, read: Reader[PostOutcome], outcome: Outcome) -> None:
        """What has become of a line.  Takes no lock but the queue's, and leaves."""
        ref = sent.request.ref
        try:
            answered = settle(outcome, read)
        except replies.Skipped:
            return self._hand_back(sent, unavailable())
        except ChatError as error:
            return self._hand_back(sent, error)
        except Exception:
            self._settled(outcome, read)
            return
        if answered.word == "UNHELD":  # it comes again, and with it what it needs
            self._own.abort()
        elif answered.word == "UNEXPECTED":
            self._own.give_up(ref)
            self._uncount()
            self._strike_later(refusal(Unexpected(), ref))
        else:
            self._own.taken = max(self._own.taken, ref)
            self._take_answer(sent, answered)
        # Where its entry is still to come, the round that brings it brings the answer, too.
        if not answered.seq or sent.room.seq >= answered.seq:
            self._queue.deliver()

    def _take_answer(self, sent: _Sent, answered: PostOutcome) -> None:
        if sent.room is self._last_room:
            self._last_seq = max(self._last_seq, answered.seq)
        self._queue.reply(answered.encoded or refusal(Repeated(), sent.request.ref))
        if answered.word not in ("OK", "AGAIN"):
            self._uncount()
            self._spend_refusal()

    def _hand_back(self, sent: _Sent, error: ChatError) -> None:
        self._own.give_up(sent.request.ref)
        if not isinstance(error, OutcomeUnknown):
            self._uncount()
        self._queue.reply(refusal(error, sent.request.ref))
        self._queue.deliver()

    def _uncount(self) -> None:
        session = self._own
        self._services.posts.uncount(session.bundle.fingerprint, session.group)

    def _spend_refusal(self) -> None:
        """As ``_count_refusal``, for any thread."""
        self._spend(REFUSAL_COST)
        if self._services.refusals.take(self._own.bundle.fingerprint):
            self._strike_later(refusal(Unexpected()))

    def _strike_later(self, encoded: bytes) -> None:
        """A strike of a frame that was read long ago."""
        self._queue.reply(encoded)
        self._strikes += 1
        if self.refused_too_often:
            self._own.close_connection("protocol")

    # Keys and confirmations

    def _on_keys(self, wraps: frames.Keys) -> None:
        """Into the engine at once: whichever node takes the post of their epoch hands them out."""
        member = self._own.members.get(wraps.at)
        if len({wrap.epoch for wrap in wraps.wraps}) > 1:
            raise Unexpected()
        if member is None or not wraps.wraps:
            return  # it has left meanwhile
        held = [
            HeldWrap(wrap.to, wrap.n, wire_json.key_for(member.id, wrap)) for wrap in wraps.wraps
        ]
        self._holds += 1
        call = calls.hold(
            self._own.claim,
            mirror_of(member).key,
            member.id,
            wraps.wraps[0].epoch,
            self._holds,
            held,
        )
        self._under_way += 1
        self._bytes += len(call.packed)
        self._writer.submit(call, partial(self._on_held, len(call.packed)))

    def _on_held(self, size: int, outcome: Outcome) -> None:
        """For the writer's thread.  What was not held has to come again, before any answer goes out
        to what came after it: a client that has one does not send those wraps any more."""
        self._end_one(size)
        if self._settled(outcome, replies.hold) is None and not self._own.over:
            self._own.abort()

    def _on_seen(self, seen: frames.Seen) -> None:
        super()._on_seen(seen)
        for position in seen.positions:
            member = self._own.members.get(position.at)
            if member is None or position.number <= self._confirmed.get(member.id, 0):
                continue
            number = min(position.number, member.private.number)
            self._confirmed[member.id] = number
            call = calls.confirm(self._own.claim, mirror_of(member).key, number)
            self._writer.submit(call, self._on_confirmed)

    def _on_confirmed(self, outcome: Outcome) -> None:
        self._settled(outcome, replies.confirm)  # what failed is confirmed by the next one

    # Nicknames and rooms

    def _on_nick(self, wanted: frames.Nick) -> bytes | None:  # type: ignore[override]
        member = self._member(wanted.at)
        self._begin_change()
        if self._own.is_pinned:
            raise NickPinned()
        nick = check_nick(wanted.nick)
        self._services.tokens.check(nick)
        if nick == self._own.nick:
            self._keep(wanted.ref, frames.Accepted(wanted.ref).encode())
            return None
        room = mirror_of(member)
        renamed = self._cluster.sessions.rename_in(self._own, nick, room, wanted.ref, self._ask)
        return self._taken(wanted.ref, renamed)

    def _taken(self, ref: int, encoded: bytes) -> bytes:
        """The answer to something that was waited for."""
        self._own.taken = max(self._own.taken, ref)
        return encoded

    def _waited_for(self, frame: frames.Nick | frames.Enter) -> AbstractContextManager[float]:
        """As there; into a room that has no mirror here, too."""
        if not isinstance(frame, frames.Enter) or frame.ref <= self._own.taken:
            return super()._waited_for(frame)
        try:
            key = room_key(check_room(frame.room))
        except BadRoom:  # as its handler will say
            return contextlib.nullcontext(0.0)
        if self._own.member_in(key) is not None:
            return contextlib.nullcontext(0.0)
        return self._slots([self._cluster.rooms.place(key)])

    def _on_enter(self, wanted: frames.Enter) -> bytes | None:  # type: ignore[override]
        session = self._own
        old = None if wanted.leave is None else self._member(wanted.leave)
        self._begin_change()
        name = check_room(wanted.room)
        answer = frames.Accepted(wanted.ref).encode()
        inside = session.member_in(room_key(name))
        if inside is not None:
            if old is None or old is inside:
                self._keep(wanted.ref, answer)
                return None
            self._leave_as(old, wanted.ref)
            return answer
        if len(session.members) - (old is not None) >= protocol_limits.ROOMS_OF_ONE:
            raise TooManyRooms()
        member, snapshot = self._places.enter(session, name, wanted.ref, old, self._ask)
        self._queue.attach([member], entered(snapshot, wanted.ref), leave=old)
        if old is not None:
            self._places.drop(session, old)
        self._services.broadcaster.mark(member.room)
        return self._taken(wanted.ref, answer)

    def _on_leave(self, wanted: frames.Leave) -> bytes:
        member = self._member(wanted.at)
        if len(self._own.members) == 1:
            raise Unexpected()  # to go is to say goodbye
        self._leave_as(member, wanted.ref)
        return frames.Accepted(wanted.ref).encode()

    def _leave_as(self, member: Member[Receiver], ref: int) -> None:
        room = mirror_of(member)
        try:
            self._ask(calls.leave(self._own.claim, room.key, ref), replies.leave)
        except (Unavailable, ServerFull):  # any answer would be the end of its stay
            raise Closed() from None
        self._queue.forget(member)  # nothing of it comes after the answer
        self._places.drop(self._own, member)
        self._taken(ref, b"")

    def _on_list_rooms(self, wanted: frames.ListRooms) -> None:  # type: ignore[override]
        self._count(self._services.commands)
        self._keep(wanted.ref, self._listed(wanted), kept=b"")

    def _listed(self, wanted: frames.ListRooms) -> bytes:
        node = self._own.claim.node
        total, rows = self._ask(calls.listing(node, limits.ROOMS_LISTED), replies.listing)
        listed: list[frames.RoomLine] = []
        size = 0
        for name, count in rows:
            line = frames.RoomLine(name, count)
            size += len(line.encode())
            if size > limits.ROSTER_BYTES:  # as large as a record should be
                break
            listed.append(line)
        return frames.RoomLines(wanted.ref, tuple(listed), total).encode()

    # Tokens

    def _on_mint(self, wanted: frames.Mint) -> None:  # type: ignore[override]
        encoded, token_id = self._minted(wanted.ref)
        self._keep(wanted.ref, encoded, kept=b"", token_id=token_id)

    def _minted(self, ref: int) -> tuple[bytes, str]:
        session = self._own
        if session.token_id is not None:
            raise PasswordOnly()  # or a token would live for ever
        self._count(self._services.commands)
        inviter = Inviter(session.nick, session.bundle.sign, session.group)
        token_id, secret = self._services.tokens.invite(inviter)
        self._services.expiry.schedule(limits.INVITE_SECONDS)
        frame = frames.Minted(ref, from_text(token_id), secret, limits.INVITE_SECONDS)
        return frame.encode(), token_id

    def _mint_once_more(self, wanted: frames.Mint, old: str) -> bytes:
        """Another token for one whose answer may have been lost: its secret was not kept."""
        try:
            if not self._services.tokens.take_back(old):
                raise Repeated()  # it was used, so the answer has come
            encoded, token_id = self._minted(wanted.ref)
        except Refusal as error:
            return refusal(error, wanted.ref)
        self._ask(calls.minted(self._own.claim, wanted.ref, token_id), replies.minted)
        return encoded


_OWN: dict[type[frames.Frame], Callable[..., bytes | None]] = {
    frames.Post: ClusterRequests._on_post,
    frames.Keys: ClusterRequests._on_keys,
    frames.Private: ClusterRequests._on_private,
    frames.Nick: ClusterRequests._on_nick,
    frames.Enter: ClusterRequests._on_enter,
    frames.Leave: ClusterRequests._on_leave,
    frames.ListRooms: ClusterRequests._on_list_rooms,
    frames.Mint: ClusterRequests._on_mint,
    frames.Seen: ClusterRequests._on_seen,
}
ClusterRequests.handlers = {**HANDLERS, **_OWN}
