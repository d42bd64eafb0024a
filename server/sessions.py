"""Who is here: nicknames, and the grace after a lost connection.

A ``ServerSession`` is one client's presence on the server, in all its rooms, with a connection or,
for a while, without one.  It outlives its connection by ``HEARTBEAT_TIMEOUT``, so that the same
identity can take its place again and nobody else notices.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable

from protocol.errors import NickLost, NickTaken, RoomFull, ServerFull
from protocol.keys import Bundle
from protocol.names import nick_looks, resembled
from server import limits
from server.broadcast import Receiver, SendQueue
from server.client_address import is_own_machine
from server.member import Member
from server.rooms import Room, Rooms, Snapshot
from server.tickets import Tickets
from transport.token_bucket import TokenBucket


def _no_connection(_: str) -> None:
    """There is nothing to hang up."""


class ServerSession:
    """One client's presence.

    ``lock`` is held while one of its frames is handled, and while another connection takes its
    place: so a frame is handled wholly before the change or not at all.  Lock order:
    this one, then any other.  ``close_connection`` tells its own thread to say a reason and go; it
    returns at once.
    """

    def __init__(self, nick: str, bundle: Bundle, token_id: str | None) -> None:
        self.lock = threading.Lock()  # guards all below, but for reading `queue`
        self.nick, self.bundle, self.token_id = nick, bundle, token_id
        self.looks = nick_looks(nick)
        self.is_pinned = token_id is not None  # to its nickname
        self.queue: SendQueue | None = None
        self.close_connection: Callable[[str], None] = _no_connection
        self.members: dict[int, Member[Receiver]] = {}  # key: the room's number; anybody may look
        self.lost_at: float | None = None
        self.group = ""  # the address that its connection comes, or came, from
        self.over = False
        self.taken = 0  # the highest `ref`
        self.bucket: TokenBucket | None = None  # its connections', one after the other
        # Refs and their answers, the oldest first: what is looked for by hardly anybody.
        self._answers: deque[tuple[int, bytes]] = deque(maxlen=limits.ANSWERS)
        self._minted: dict[int, str] = {}  # key: a ref of those; the id of the last token it got

    @property
    def is_local(self) -> bool:
        """Whether it comes from the server's own machine: somebody there, or a proxy."""
        return is_own_machine(self.group)

    def deliver(self, at: int) -> None:
        """Send what there is in the room ``at``, if there is a connection.  Never blocks."""
        queue = self.queue
        if queue is not None:
            queue.deliver(at)

    def rooms(self) -> list[Room[Receiver]]:
        """The rooms that it is in, the oldest first."""
        return [member.room for _number, member in sorted(list(self.members.items()))]

    def answer(self, ref: int, encoded: bytes) -> None:
        """Remember the first answer to ``ref``; empty: it is not to be given again."""
        self.taken = ref
        if self._minted and len(self._answers) == self._answers.maxlen:
            self._minted.pop(self._answers[0][0], None)
        self._answers.append((ref, encoded))

    def keep_minted(self, ref: int, token_id: str) -> None:
        """The answer to ``ref`` brings this token, whose secret is not kept."""
        self._minted[ref] = token_id

    def minted(self, ref: int) -> str | None:
        """The id of the token that this ``ref`` got last, if it got one."""
        return self._minted.get(ref)

    def answered(self, ref: int) -> bytes | None:
        """The first answer to a ``ref`` that came before, if it is still known."""
        return next((answer for each, answer in self._answers if each == ref), None)


class Sessions:
    """All sessions, by what their nicknames look like and by fingerprint.  Thread-safe.

    ``rooms`` are left when a session ends; ``on_change`` hears of a room that somebody left.
    """

    def __init__(
        self,
        rooms: Rooms[Receiver],
        on_change: Callable[[Room[Receiver]], None],
        grace: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rooms, self._on_change, self._grace, self._clock = rooms, on_change, grace, clock
        self.tickets = Tickets()  # of those that have a session
        self._lock = threading.Lock()  # leaf; guards the three tables
        self._by_look: dict[str, ServerSession] = {}  # key: each of nick_looks(nick)
        self._by_print: dict[bytes, ServerSession] = {}  # key: fingerprint
        self._displaced: OrderedDict[bytes, None] = OrderedDict()  # key: fingerprint

    def find(self, fingerprint: bytes) -> ServerSession | None:
        """The session of this identity, connected or in its grace."""
        with self._lock:
            return self._by_print.get(fingerprint)

    def add(self, session: ServerSession) -> None:
        """Let a new session in.

        Raises NickTaken, for a nickname that looks like another's too, and also while its own
        old one is there (NickLost if its holder is away); ServerFull at the bound.
        """
        with self._lock:
            if session.bundle.fingerprint in self._by_print:
                raise NickTaken()
            if len(self._by_print) >= limits.SESSIONS:
                raise ServerFull()
            self._take_locked(session.nick, session.looks, session)
            self._by_print[session.bundle.fingerprint] = session

    def take_over(self, session: ServerSession) -> None:
        """Let a session in whose token is proven, in the place of whoever came with the same one.

        Whoever that was is told, and does not get in again under that identity.  Raises as ``add``.
        """
        while True:
            for old in self.with_token(session.token_id or ""):
                if old.bundle.fingerprint != session.bundle.fingerprint:
                    with self._lock:
                        self._displaced[old.bundle.fingerprint] = None
                        if len(self._displaced) > limits.TAKEN_OVER:
                            self._displaced.popitem(last=False)
                self.end(old, reason="taken_over")
            try:
                return self.add(session)
            except NickTaken:
                if not self.with_token(session.token_id or ""):
                    raise  # it is somebody else's; or else one more came in between

    def let_in(self, session: ServerSession) -> None:
        """As ``add``, or ``take_over`` with a token; one in its grace makes room for the living."""
        add = self.add if session.token_id is None else self.take_over
        try:
            add(session)
        except ServerFull:
            if not self.make_room():
                raise
            add(session)

    def enter_room(
        self, session: ServerSession, name: str, ref: int | None = None
    ) -> tuple[Member[Receiver], Snapshot]:
        """Give it a place in the room ``name``, for which one in its grace makes room.

        The caller holds ``session.lock``, and those in their grace hold none; it has seen that it
        is not in there, and may be in one more.  Raises RoomFull, or ServerFull where there are as
        many rooms as there may be.
        """
        while True:
            try:
                member, snapshot = self._rooms.enter(
                    name, session, session.nick, session.bundle, ref
                )
                break
            except RoomFull:
                room = self._rooms.find(name)
                if room is not None and not self.make_room(room):
                    raise
            except ServerFull:
                if not self.make_room():
                    raise
        session.members[snapshot.at] = member
        return member, snapshot

    def leave_room(self, session: ServerSession, member: Member[Receiver]) -> None:
        """Give up one of its places, and have the room told.  The caller holds ``session.lock``."""
        del session.members[member.room.number]
        self._rooms.leave(member)
        self._on_change(member.room)

    def is_displaced(self, fingerprint: bytes) -> bool:
        """Whether another identity has taken this one's place."""
        with self._lock:
            return fingerprint in self._displaced

    def rename(self, session: ServerSession, nick: str) -> None:
        """Take another nickname, which may look like one's own.

        The caller holds ``session.lock``.  Raises NickTaken.
        """
        looks = nick_looks(nick)
        with self._lock:
            self._take_locked(nick, looks, session)
            for look in session.looks - looks:
                del self._by_look[look]
            session.nick, session.looks = nick, looks

    def _take_locked(self, nick: str, looks: frozenset[str], session: ServerSession) -> None:
        """Give these looks, which are those of ``nick``, to ``session``.

        Raises NickTaken if one of them is another's, NickLost if all such others are away.
        """
        others = {self._by_look.get(look, session) for look in looks} - {session}
        if others:
            # Read once: it is the other's lock that guards it.
            lost = [lost_at for other in others if (lost_at := other.lost_at) is not None]
            whose = resembled(nick, [other.nick for other in others])
            if len(lost) < len(others):
                raise NickTaken(**whose)
            left = max(lost) + self._grace - self._clock()
            raise NickLost(retry_after=max(math.ceil(left * 10), 1) / 10, **whose)
        self._by_look.update(dict.fromkeys(looks, session))

    def lose(self, session: ServerSession, queue: SendQueue) -> bool:
        """The connection behind ``queue`` is gone: the grace begins.

        False if another connection has taken its place already, or the session is over.
        """
        with session.lock:
            if session.queue is not queue or session.over:
                return False
            session.queue, session.close_connection = None, _no_connection
            queue.detach()  # a broadcaster that still holds it must not move the cursor any more
            session.lost_at = self._clock()
            return True

    def end(
        self, session: ServerSession, lost_at: float | None = None, reason: str | None = None
    ) -> None:
        """Leave all rooms and free the nickname.  Harmless if it happened already.

        With ``lost_at``, only if its connection is still the one that was lost then.  With
        ``reason``, its connection is told to say that and go.
        """
        with session.lock:
            if session.over or (lost_at is not None and session.lost_at != lost_at):
                return
            session.over = True
            session.queue = None
            if reason is not None:  # before its next frame finds that there is no session
                session.close_connection(reason)
            self.tickets.forget(session.bundle.fingerprint)  # before the next one can be added
            with self._lock:
                for look in session.looks:
                    del self._by_look[look]
                del self._by_print[session.bundle.fingerprint]
            rooms = session.rooms()
            for member in session.members.values():
                self._rooms.leave(member)
        for room in rooms:
            self._on_change(room)

    def outlives(self, reason: str | None) -> bool:
        """Whether a session goes on elsewhere after its connection was told this reason."""
        return False

    def forget(self, session: ServerSession) -> None:
        """The connection that ``session`` had is over.  Nothing more is to be done here."""

    def make_room(self, room: Room[Receiver] | None = None) -> bool:
        """End a grace, in ``room`` or anywhere, for somebody who is alive; False if there is none.

        The oldest goes, of the address that holds most: whoever comes again and again under other
        keys, and cuts the connection, fills nothing up.
        """
        away = [
            (lost_at, session)
            for session in self.live()
            if (lost_at := session.lost_at) is not None
            and (room is None or room.number in session.members)
        ]
        if not away:
            return False
        held = Counter(session.group for _lost_at, session in away)
        most = max(held, key=lambda group: held[group])
        lost_at, oldest = min(
            (each for each in away if each[1].group == most), key=lambda each: each[0]
        )
        self.end(oldest, lost_at)
        return True

    def sweep(self) -> float | None:
        """End the graces that are over; seconds until the next one, None if there is none."""
        now = self._clock()
        nearest = None
        for session in self.live():
            lost_at = session.lost_at
            if lost_at is None:
                continue
            left = lost_at + self._grace - now
            if left > 0:
                nearest = left if nearest is None else min(nearest, left)
            else:
                self.end(session, lost_at)
        return nearest

    def with_token(self, token_id: str) -> list[ServerSession]:
        """The sessions that a token opened."""
        return [session for session in self.live() if session.token_id == token_id]

    def end_token(self, token_id: str, reason: str = "revoked") -> None:
        """Throw out whoever came with this token, and end their graces."""
        for session in self.with_token(token_id):
            self.end(session, reason=reason)

    def live(self) -> list[ServerSession]:
        """All sessions."""
        with self._lock:
            return list(self._by_print.values())
