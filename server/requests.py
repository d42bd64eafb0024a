"""What a member's frames do: each is handled or refused by itself, and the third refusal ends it.

``Requests`` owns what there is to a record of frames: the strikes, what was appended by it, and who
has to be delivered to.  A frame is found in ``HANDLERS``, by its type.  Whatever asks for something
(``frames.Request``) is taken once, by its ``ref``, and answered the same way ever after.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, TypeVar

from protocol import frames, wire_json
from protocol import limits as protocol_limits
from protocol.errors import (
    ChatError,
    Gone,
    NickPinned,
    PasswordOnly,
    RateLimited,
    Refusal,
    RemoteError,
    Repeated,
    TooLong,
    TooManyRooms,
    Unexpected,
)
from protocol.keys import from_text
from protocol.names import check_nick, check_room
from server import limits
from server.auth import Inviter
from server.broadcast import Receiver, SendQueue, entered
from server.churn import Changing
from server.member import Member
from server.rate_limits import MemberRateLimiter, tenths
from server.rooms import Room
from server.services import Services
from server.sessions import ServerSession
from transport.token_bucket import REFUSAL_COST, VALUE_COST

Sent = TypeVar("Sent")
Line = TypeVar("Line", frames.Post, frames.Private)
# Waits until these rooms may be changed; see ``ServerConnection.slots_to_change``.
_CHANGES = (frames.Nick, frames.Enter)  # what changes rooms waits until it may
Slots = Callable[["Sequence[Changing]"], AbstractContextManager[float]]


class Goodbye(Exception):
    """The client said goodbye, or was told to go.

    Its session ends without a grace, unless another connection has taken it over.
    """


class Requests:
    """The frames of one connection of ``session``, which are sent to by ``queue``.

    For the connection's own thread.  Handlers run with ``session.lock`` held and return the answer.
    ``is_full``: so many requests are under way that nothing more may be read.
    """

    is_full = False
    handlers: ClassVar[dict[type[frames.Frame], Handler]]

    def __init__(
        self, services: Services, session: ServerSession, queue: SendQueue, slots: Slots
    ) -> None:
        self._services, self._session, self._queue, self._slots = services, session, queue, slots
        self.heartbeat_wanted = False  # at once; cleared by whoever sends it
        self._strikes = 0
        self._appended_to: set[Room[Receiver]] = set()  # by the record that is being handled
        # To be delivered to, without the lock, and in which room.
        self._receivers: list[tuple[Receiver, int]] = []
        self._late = 0.0  # how long rooms that were to be changed may not be: see ChurnLimiter.slot

    @property
    def refused_too_often(self) -> bool:
        """Whether the connection has to end."""
        return self._strikes >= protocol_limits.STRIKES

    def settle(self) -> None:
        """Nothing more will come: wait a moment for what is under way."""

    def strike(self, error: RemoteError) -> None:
        """Refuse what nobody may send."""
        self._queue.reply(refusal(error))
        self._strikes += 1

    def handle_all(self, values: Sequence[Any]) -> None:
        """Handle the frames of a record, and see that it and others get what comes of them.

        Raises Goodbye, and nothing else that a client can cause.
        """
        self._spend(VALUE_COST * len(values))
        try:
            for value in values:
                if not self._handle_value(value) or self.refused_too_often:
                    break
        finally:
            appended = self._appended_to
            if appended:
                self._appended_to = set()
            for room in appended:
                self._services.broadcaster.mark(room)
        for room in appended:
            if room.number in self._session.members:
                return  # its round brings the answers, too, in one record
        self._queue.deliver()

    def _handle_value(self, value: Any) -> bool:
        """One frame, still unread; False if the session is no longer this connection's."""
        try:
            frame = frames.from_object(value, frames.CLIENT_FRAMES)
            if isinstance(frame, _CHANGES):
                with self._waited_for(frame) as self._late:
                    goes_on = self._handle(frame)
            else:
                goes_on = self._handle(frame)
            if not goes_on:
                return False
        except RemoteError as error:
            self.strike(error)
        if self._receivers:
            receivers, self._receivers = self._receivers, []
            for receiver, at in receivers:
                receiver.deliver(at)
        return True

    def _waited_for(self, frame: frames.Nick | frames.Enter) -> AbstractContextManager[float]:
        """What changes rooms waits until it may, without ``session.lock``."""
        session = self._session
        if frame.ref <= session.taken:
            return contextlib.nullcontext(0.0)
        rooms = session.rooms()
        if isinstance(frame, frames.Enter):
            room = self._services.rooms.find(frame.room)
            rooms = [room] if room is not None and room not in rooms else []
        if not rooms:
            return contextlib.nullcontext(0.0)
        for room in self._appended_to:  # what came before it does not wait with it
            self._services.broadcaster.mark(room)
        return self._slots(rooms)

    def _handle(self, frame: frames.Frame) -> bool:
        """Do it and answer it, unless the session is no longer this connection's."""
        with self._session.lock:
            if self._session.queue is not self._queue:
                return False  # over, or another connection's now: close has told why
            handler = self.handlers[type(frame)]
            if isinstance(frame, frames.Request):
                answer = self._answer(frame, handler)
            else:
                answer = handler(self, frame)
        if answer is not None:
            self._queue.reply(answer)
        return True

    def _answer(self, request: frames.Request, handler: Handler) -> bytes | None:
        try:
            if request.ref <= self._session.taken:
                return self._answer_again(request)
            try:
                kept = answer = handler(self, request) or b""
                if isinstance(request, (frames.ListRooms, frames.Mint)):
                    kept = b""
            except Refusal as error:
                self._count_refusal()
                kept = answer = refusal(error, request.ref)
            self._session.answer(request.ref, kept)
            return answer
        except RemoteError as error:  # a strike, and not taken; but the client waits for an answer
            self._strikes += 1
            return refusal(error, request.ref)

    def _answer_again(self, request: frames.Request) -> bytes:
        self._count_refusal()
        known = self._session.answered(request.ref)
        if known is None:
            return refusal(Repeated(), request.ref)
        if isinstance(request, frames.ListRooms):
            return self._list_rooms(request)  # too long to be remembered, and newer is better
        if isinstance(request, frames.Mint) and not known:
            return self._mint_again(request)
        return known or refusal(Repeated(), request.ref)

    # Handlers

    def _unexpected(self, _frame: frames.Frame) -> None:
        raise Unexpected()

    def _on_bye(self, _bye: frames.Bye) -> None:
        raise Goodbye()

    def _on_keys(self, wraps: frames.Keys) -> None:
        member = self._session.members.get(wraps.at)
        if len({wrap.epoch for wrap in wraps.wraps}) > 1:
            raise Unexpected()
        if member is None:
            return  # it has left meanwhile
        for wrap in wraps.wraps:
            with contextlib.suppress(Repeated):
                member.room.hold_wrap(member, wrap)

    def _on_seen(self, seen: frames.Seen) -> None:
        self._spend(VALUE_COST * max(0, len(seen.positions) - 1))  # the first came with the frame
        for position in seen.positions:
            member = self._session.members.get(position.at)
            if member is not None:  # or it has left meanwhile
                member.room.confirm(member, position.seq, position.number)
        self.heartbeat_wanted = self.heartbeat_wanted or seen.answer is True

    def _on_post(self, post: frames.Post) -> bytes:
        member = self._member(post.at)
        seq = self._counted(post.box, member.room.post, member, post)
        self._appended_to.add(member.room)
        return wire_json.accepted(post.ref, seq)

    def _on_private(self, private: frames.Private) -> bytes:
        member = self._member(private.at)
        receiver = self._counted(private.box, member.room.send_private, member, private)
        self._receivers.append((receiver, private.at))
        self._services.broadcaster.hurry(member.room)  # its sender may be one of those who came
        return frames.Accepted(private.ref).encode()

    def _on_nick(self, wanted: frames.Nick) -> bytes:
        members = self._session.members
        self._member(wanted.at)
        self._begin_change()
        if self._session.is_pinned:
            raise NickPinned()
        nick = check_nick(wanted.nick)
        self._services.tokens.check(nick)
        if nick == self._session.nick:
            return frames.Accepted(wanted.ref).encode()
        self._services.sessions.rename(self._session, nick)
        seqs = {at: member.room.rename(member, nick) for at, member in members.items()}
        self._appended_to.update(member.room for member in members.values())
        return frames.Accepted(wanted.ref, seqs[wanted.at]).encode()

    def _on_enter(self, wanted: frames.Enter) -> bytes:
        session, sessions = self._session, self._services.sessions
        old = None if wanted.leave is None else self._member(wanted.leave)
        self._begin_change()
        name = check_room(wanted.room)
        room = self._services.rooms.find(name)
        if room is not None and room.number in session.members:
            if old is not None and old.room is not room:
                self._leave(old)
            return frames.Accepted(wanted.ref).encode()
        if len(session.members) - (old is not None) >= protocol_limits.ROOMS_OF_ONE:
            raise TooManyRooms()
        # Into the new one first: if it is full, nothing has happened.
        member, snapshot = sessions.enter_room(session, name, wanted.ref)
        self._queue.attach([member], entered(snapshot, wanted.ref), leave=old)
        if old is not None:
            sessions.leave_room(session, old)
        self._services.broadcaster.mark(member.room)
        return frames.Accepted(wanted.ref).encode()

    def _on_leave(self, wanted: frames.Leave) -> bytes:
        member = self._member(wanted.at)
        if len(self._session.members) == 1:
            raise Unexpected()  # to go is to say goodbye
        self._leave(member)
        return frames.Accepted(wanted.ref).encode()

    def _leave(self, member: Member[Receiver]) -> None:
        self._queue.forget(member)  # first: nothing of it comes after the answer
        self._services.sessions.leave_room(self._session, member)

    def _on_list_rooms(self, wanted: frames.ListRooms) -> bytes:
        self._count(self._services.commands)
        return self._list_rooms(wanted)

    def _list_rooms(self, wanted: frames.ListRooms) -> bytes:
        rooms = self._services.rooms
        listed: list[frames.RoomLine] = []
        size = 0
        for line in rooms.listing(limits.ROOMS_LISTED):
            size += len(line.encode())
            if size > limits.ROSTER_BYTES:  # as large as a record should be
                break
            listed.append(line)
        return frames.RoomLines(wanted.ref, tuple(listed), rooms.count()).encode()

    def _on_mint(self, wanted: frames.Mint) -> bytes:
        if self._session.token_id is not None:
            raise PasswordOnly()  # or a token would live for ever
        self._count(self._services.commands)
        session = self._session
        inviter = Inviter(session.nick, session.bundle.sign, session.group)
        token_id, secret = self._services.tokens.invite(inviter)
        session.keep_minted(wanted.ref, token_id)
        self._services.expiry.schedule(limits.INVITE_SECONDS)
        seconds = limits.INVITE_SECONDS
        return frames.Minted(wanted.ref, from_text(token_id), secret, seconds).encode()

    def _mint_again(self, wanted: frames.Mint) -> bytes:
        """Another token for one whose answer may have been lost: its secret was not kept."""
        token_id = self._session.minted(wanted.ref)
        if token_id is None or not self._services.tokens.take_back(token_id):
            return refusal(Repeated(), wanted.ref)  # it was used, so the answer has come
        try:
            return self._on_mint(wanted)
        except Refusal as error:
            return refusal(error, wanted.ref)

    # What handlers share

    def _member(self, at: int) -> Member[Receiver]:
        """What this client is in the room ``at``.  Raises Gone if it is not in it."""
        member = self._session.members.get(at)
        if member is None:
            raise Gone()
        return member

    def _counted(
        self,
        box: frames.Box,
        send: Callable[[Member[Receiver], Line], Sent],
        member: Member[Receiver],
        line: Line,
    ) -> Sent:
        """What ``send`` returns of ``line``, counted as a post unless it refuses.

        Raises as it does, or TooLong, or as ``MemberRateLimiter.count``.
        """
        policy, posts = self._services.policy, self._services.posts
        if len(box.data) > policy.max_box_size:
            raise TooLong(limit=policy.max_message_size)
        self._count(posts)
        try:
            return send(member, line)
        except ChatError:
            posts.uncount(self._session.bundle.fingerprint, self._session.group)
            raise

    def _begin_change(self) -> None:
        """Count a change of rooms; raises RateLimited where there may be none just now."""
        self._count(self._services.commands)
        if self._late:
            raise RateLimited(retry_after=tenths(self._late))

    def _count(self, limiter: MemberRateLimiter) -> None:
        """Count one for the identity and its address.  Raises as ``limiter.count``."""
        limiter.count(self._session.bundle.fingerprint, self._session.group)
        self._services.expiry.schedule(self._services.policy.rate_window)

    def _count_refusal(self) -> None:
        """Raises Unexpected for a client that goes on whatever it is answered."""
        self._spend(REFUSAL_COST)
        if self._services.refusals.take(self._session.bundle.fingerprint):
            raise Unexpected()
        self._services.expiry.schedule(limits.REFUSALS_SECONDS)

    def _spend(self, cost: float) -> None:
        if self._session.bucket is not None:
            self._session.bucket.spend(cost)


# What each kind does, and what a request is answered with.
Handler = Callable[[Requests, Any], "bytes | None"]
HANDLERS: dict[type[frames.Frame], Handler] = {
    frames.Confirm: Requests._unexpected,
    frames.Post: Requests._on_post,
    frames.Keys: Requests._on_keys,
    frames.Private: Requests._on_private,
    frames.Nick: Requests._on_nick,
    frames.Enter: Requests._on_enter,
    frames.Leave: Requests._on_leave,
    frames.ListRooms: Requests._on_list_rooms,
    frames.Mint: Requests._on_mint,
    frames.Seen: Requests._on_seen,
    frames.Bye: Requests._on_bye,
}
Requests.handlers = HANDLERS


def refusal(error: ChatError, ref: int | None = None, room: str | None = None) -> bytes:
    """The frame that says ``error``: its code and the parameters that the wire knows."""
    retry_after, limit = error.params.get("retry_after"), error.params.get("limit")
    nick = error.params.get("nick")
    return frames.Refused(
        error.code,
        ref,
        float(retry_after) if retry_after is not None else None,
        int(limit) if limit is not None else None,
        str(nick) if nick is not None else None,
        room,
    ).encode()
