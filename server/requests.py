"""What a member's frames do: each is handled or refused by itself, and the third refusal ends it.

``Requests`` owns what there is to a record of frames: the strikes, what was appended by it, and who
has to be delivered to.  A frame is found in ``HANDLERS``, by its type.  Whatever asks for something
(``frames.Request``) is taken once, by its ``ref``, and answered the same way ever after.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, TypeVar

from protocol import frames
from protocol import limits as protocol_limits
from protocol.errors import (
    ChatError,
    NickPinned,
    RateLimited,
    Refusal,
    RemoteError,
    Repeated,
    TooLong,
    Unexpected,
)
from protocol.names import check_nick, check_room, room_key
from server import limits
from server.broadcast import Receiver, SendQueue, entered
from server.rate_limits import MemberRateLimiter, tenths
from server.rooms import Member, Room
from server.services import Services
from server.sessions import ServerSession
from transport.token_bucket import REFUSAL_COST, VALUE_COST

Sent = TypeVar("Sent")
# Waits until a room may be changed, as ``ChurnLimiter.slot``.
Slot = Callable[["Room[Receiver] | None"], AbstractContextManager[float]]


class Goodbye(Exception):
    """The client said goodbye, or was told to go.

    Its session ends without a grace, unless another connection has taken it over.
    """


class Requests:
    """The frames of one connection of ``session``, which are sent to by ``queue``.

    For the connection's own thread.  Handlers run with ``session.lock`` held and return the answer.
    """

    def __init__(
        self, services: Services, session: ServerSession, queue: SendQueue, slot: Slot
    ) -> None:
        self._services, self._session, self._queue, self._slot = services, session, queue, slot
        self.heartbeat_wanted = False  # at once; cleared by whoever sends it
        self._strikes = 0
        self._appended_to: Room[Receiver] | None = None  # by the record that is being handled
        self._receivers: list[Receiver] = []  # to be delivered to, without the lock
        self._late = 0.0  # how long a room that was to be changed may not be: see ChurnLimiter.slot

    @property
    def refused_too_often(self) -> bool:
        """Whether the connection has to end."""
        return self._strikes >= protocol_limits.STRIKES

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
            appended, self._appended_to = self._appended_to, None
            if appended is not None:
                self._services.broadcaster.mark(appended)
        # The round of a room that it is still in brings it the answers, too, in one record.
        if appended is None or appended is not self._session.room:
            self._queue.deliver()

    def _handle_value(self, value: Any) -> bool:
        """One frame, still unread; False if the session is no longer this connection's."""
        try:
            frame = frames.from_object(value, frames.CLIENT_FRAMES)
            with self._waited_for(frame) as self._late, self._session.lock:
                if self._session.queue is not self._queue:
                    return False  # over, or another connection's now: close has told why
                answer = self._handle(frame)
            if answer is not None:
                self._queue.reply(answer)
        except RemoteError as error:
            self.strike(error)
        receivers, self._receivers = self._receivers, []
        for receiver in receivers:
            receiver.deliver()
        return True

    def _waited_for(self, frame: frames.Frame) -> AbstractContextManager[float]:
        """What changes a room waits until it may, without ``session.lock``."""
        session = self._session
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
        return self._slot(room)

    def _handle(self, frame: frames.Frame) -> bytes | None:
        handler = HANDLERS[type(frame)]
        if isinstance(frame, frames.Request):
            return self._answer(frame, handler)
        return handler(self, frame)

    def _answer(self, request: frames.Request, handler: Handler) -> bytes:
        try:
            if request.ref <= self._session.taken:
                return self._answer_again(request)
            return self._answer_first(request, handler)
        except RemoteError as error:  # a strike, and not taken; but the client waits for an answer
            self._strikes += 1
            return refusal(error, request.ref)

    def _answer_first(self, request: frames.Request, handler: Handler) -> bytes:
        try:
            answer = handler(self, request) or b""
        except Refusal as error:
            self._count_refusal()
            answer = refusal(error, request.ref)
        self._session.answer(request.ref, b"" if isinstance(request, frames.ListRooms) else answer)
        return answer

    def _answer_again(self, request: frames.Request) -> bytes:
        self._count_refusal()
        known = self._session.answered(request.ref)
        if known is None:
            return refusal(Repeated(), request.ref)
        if isinstance(request, frames.ListRooms):
            return self._list_rooms(request)  # too long to be remembered, and newer is better
        return known

    # Handlers

    def _unexpected(self, _frame: frames.Frame) -> None:
        raise Unexpected()

    def _on_bye(self, _bye: frames.Bye) -> None:
        raise Goodbye()

    def _on_keys(self, wraps: frames.Keys) -> None:
        room, member = self._place()
        if len({wrap.epoch for wrap in wraps.wraps}) > 1:
            raise Unexpected()
        for wrap in wraps.wraps:
            with contextlib.suppress(Repeated):
                room.hold_wrap(member, wrap)

    def _on_seen(self, seen: frames.Seen) -> None:
        room, member = self._place()
        room.confirm(member, seen.seq, seen.number or 0)
        self.heartbeat_wanted = self.heartbeat_wanted or seen.answer is True

    def _on_post(self, post: frames.Post) -> bytes:
        room, member = self._place()
        seq = self._counted(post.box, partial(room.post, member, post))
        self._appended_to = room
        return frames.encode_accepted(post.ref, seq)

    def _on_private(self, private: frames.Private) -> bytes:
        room, member = self._place()
        send = partial(room.send_private, member, private)
        self._receivers.append(self._counted(private.box, send))
        return frames.Accepted(private.ref).encode()

    def _on_nick(self, wanted: frames.Nick) -> bytes:
        room, member = self._place()
        self._begin_change()
        if self._session.token_id is not None:
            raise NickPinned()
        nick = check_nick(wanted.nick)
        self._services.tokens.check(nick)
        if nick == self._session.nick:
            return frames.Accepted(wanted.ref).encode()
        self._services.sessions.rename(self._session, nick)
        seq = room.rename(member, nick)
        self._appended_to = room
        return frames.Accepted(wanted.ref, seq).encode()

    def _on_enter(self, wanted: frames.Enter) -> bytes:
        room, member = self._place()
        self._begin_change()
        name = check_room(wanted.room)
        if room_key(name) != room_key(room.name):
            # Into the new one first: if it is full, nothing has happened.
            entering = self._services.sessions.enter_room(self._session, name)
            new_room, new_member, snapshot = entering
            self._queue.attach(new_room, new_member, entered(snapshot, wanted.ref))
            self._services.rooms.leave(room, member)
            self._services.broadcaster.mark(room)
            self._services.broadcaster.mark(new_room)
        return frames.Accepted(wanted.ref).encode()

    def _on_list_rooms(self, wanted: frames.ListRooms) -> bytes:
        self._count(self._services.commands)
        return self._list_rooms(wanted)

    def _list_rooms(self, wanted: frames.ListRooms) -> bytes:
        rooms = self._services.rooms.listing()
        listed: list[frames.RoomLine] = []
        size = 0
        for line in rooms[: limits.ROOMS_LISTED]:
            size += len(line.encode())
            if size > limits.ROSTER_BYTES:  # as large as a record should be
                break
            listed.append(line)
        return frames.RoomLines(wanted.ref, tuple(listed), len(rooms)).encode()

    # What handlers share

    def _place(self) -> tuple[Room[Receiver], Member[Receiver]]:
        room, member = self._session.room, self._session.member
        if room is None or member is None:
            raise Unexpected()
        return room, member

    def _counted(self, box: frames.Box, send: Callable[[], Sent]) -> Sent:
        """What ``send`` returns, counted as a post unless it refuses.

        Raises as it does, or TooLong, or as ``MemberRateLimiter.count``.
        """
        policy, posts = self._services.policy, self._services.posts
        if len(box.data) > policy.max_box_size:
            raise TooLong(limit=policy.max_message_size)
        self._count(posts)
        try:
            return send()
        except ChatError:
            posts.uncount(self._session.bundle.fingerprint, self._session.group)
            raise

    def _begin_change(self) -> None:
        """Count a change of the room; raises RateLimited where there may be none just now."""
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
    frames.ListRooms: Requests._on_list_rooms,
    frames.Seen: Requests._on_seen,
    frames.Bye: Requests._on_bye,
}


def refusal(error: ChatError, ref: int | None = None) -> bytes:
    """The frame that says ``error``: its code and the parameters that the wire knows."""
    retry_after, limit = error.params.get("retry_after"), error.params.get("limit")
    nick = error.params.get("nick")
    return frames.Refused(
        error.code,
        ref,
        float(retry_after) if retry_after is not None else None,
        int(limit) if limit is not None else None,
        str(nick) if nick is not None else None,
    ).encode()
