"""Delivery: from rooms' logs to members' links.

A ``SendQueue`` is the sending half of one client's link, for all its rooms, which take turns.
Anyone may ask it to ``deliver``; it never waits for anyone.  The ``Broadcaster`` is a few threads
that go over a room's members whenever something was appended.  While a round is under way more
posts arrive, and the next round carries them all: batches grow with the load by themselves.

Locks: ``SendQueue._lock``, then ``Room._lock``.  The queue's lock covers the record counter,
sealing and handing bytes to the socket, none of which blocks.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Protocol

from protocol import frames
from protocol import limits as protocol_limits
from server import limits
from server.member import Member, MemberState
from server.rooms import Room, Snapshot
from server.threads import tell_failure
from transport import Closed
from transport.free_threading import FREE_THREADED, Fence
from transport.websocket import WebSocket

# Replies up to this size, in bytes, share a record with a slice: together they stay in bounds.
_BESIDE_SLICE = 8 * 1024


class Receiver(Protocol):
    """Whoever has a place in a room: its session, with or without a connection just now."""

    def deliver(self, at: int) -> None: ...


class PendingRoster:
    """The members of a room for somebody who is new there, encoded when a record has room for them.

    Those of sixteen full rooms are ten megabytes, which would wait for whoever reads nothing.
    """

    def __init__(self, members: Iterable[MemberState]) -> None:
        self._left = deque(members)
        self.over = False  # no frame is left; there is one at least

    def frame(self) -> bytes:
        """The next frame of it."""
        lines: list[bytes] = []
        size = 0
        while self._left:
            line = self._left[0].encode()
            size += len(line)
            if lines and size >= limits.ROSTER_BYTES:
                break
            lines.append(line)
            self._left.popleft()
        self.over = not self._left
        return b'{"type":"roster","members":[%s]}' % b",".join(lines)


Reply = bytes | PendingRoster


def entered(snapshot: Snapshot, ref: int | None = None) -> list[Reply]:
    """``entered`` and the roster after it, for somebody who is new in the room."""
    frame = frames.Entered(
        snapshot.at,
        snapshot.room,
        snapshot.log_id,
        snapshot.member_id,
        snapshot.seq,
        len(snapshot.members),
        False,
        snapshot.missed,
        ref,
    )
    return [frame.encode(), PendingRoster(snapshot.members)]


class _Place:
    """A member, as one connection sends to it.  ``due``: there may be something in its room."""

    __slots__ = ("due", "member")

    def __init__(self, member: Member[Receiver]) -> None:
        self.member, self.due = member, False


class SendQueue:
    """The sending half of one client's link; ``deliver`` may be called by any thread.

    Rooms in which there is something stand in ``_turns``, and get one record each in turn: one
    that never ends keeps no other waiting for longer than that.  Nothing is asked of the others.
    """

    def __init__(
        self,
        seal: Callable[[Iterable[bytes]], bytes],
        websocket: WebSocket,
        on_rejoin: Callable[[Room[Receiver]], None],
    ) -> None:
        self._seal, self._websocket, self._on_rejoin = seal, websocket, on_rejoin
        self._lock = threading.Lock()  # guards all below and the link's counter; before Room._lock
        self._replies: deque[Reply] = deque()
        self._places: dict[int, _Place] = {}  # key: the room's number; anybody may look
        self._turns: deque[_Place] = deque()  # anybody may append: see _mark
        self._held: list[bytes] = []  # taken from a room, and to go out next
        self._rejoined: list[Room[Receiver]] = []  # rooms that have to hear of it
        self._wanted = False  # only ever set, or cleared by the holder of the lock: see deliver
        self._fence = Fence() if FREE_THREADED else None

    def attach(
        self,
        members: Iterable[Member[Receiver]],
        replies: Iterable[Reply],
        leave: Member[Receiver] | None = None,
    ) -> None:
        """From now on send the slices of ``members``, too, after ``replies``.

        In the same step, none of ``leave`` any more.
        """
        with self._lock:
            if leave is not None:
                del self._places[leave.room.number]
            for member in members:
                place = self._places[member.room.number] = _Place(member)
                self._mark(place)
            self._replies.extend(replies)

    def detach(self) -> None:
        """Send no more slices: the members' cursors belong to another connection now."""
        with self._lock:
            self._places.clear()  # whose turns come to nothing now
            self._held = []

    def forget(self, member: Member[Receiver]) -> None:
        """Send none of its slices any more: it leaves its room."""
        with self._lock:
            del self._places[member.room.number]

    def reply(self, *encoded: bytes) -> None:
        """Put frames for this client alone, outside any log, before what comes next."""
        with self._lock:
            self._replies.extend(encoded)

    def deliver(self, at: int | None = None) -> None:
        """Send what there is, as far as the socket takes it, in the room ``at``, too.

        Never blocks.  Whoever finds the lock taken leaves a mark and goes; the holder looks at the
        mark after letting go, so nothing that was appended before this call stays behind.
        """
        place = self._places.get(at) if at is not None else None
        if place is not None:
            self._mark(place)
        self._wanted = True
        while self._wanted and (self._lock.acquire(False) or self._is_free_now()):
            try:
                self._wanted = False
                self._send_locked()
            except Closed:
                pass  # the member's own thread finds out by itself, and decides what it means
            except Exception:  # a bug of ours with this one: it can come back, the others go on
                tell_failure()
                self._websocket.abort()
            finally:
                self._lock.release()
                if self._fence is not None:
                    self._fence.cross()
        while self._rejoined:
            with contextlib.suppress(IndexError):  # whoever is first tells them
                self._on_rejoin(self._rejoined.pop(0))

    def _is_free_now(self) -> bool:
        """Whether the lock, which was taken, is free after all, and now ours.

        Without the interpreter's lock a holder may let go and look at the mark before it can see
        it.  Whoever finds the lock taken a second time, behind the fence, has a holder that will
        pass the fence after it.
        """
        fence = self._fence
        return fence is not None and fence.cross() and self._lock.acquire(blocking=False)

    def deliver_all(self) -> None:
        """The same in all rooms."""
        with self._lock:
            for place in self._places.values():
                self._mark(place)
        self.deliver()

    @property
    def has_replies(self) -> bool:
        """Whether replies wait for the socket."""
        return bool(self._replies)

    def _mark(self, place: _Place) -> None:
        """Give a place its turn, if it has none.

        Without the lock, and yet no turn is lost: whoever finds ``due`` set knows that the place
        will be looked at after this moment, since it is cleared before that and by nobody else.
        Two at once may give it two turns, of which one comes to nothing.  What belongs to a
        connection that is over is marked in vain: a new one has places of its own.
        """
        if not place.due:
            place.due = True
            self._turns.append(place)

    def _send_locked(self) -> None:
        """Records until all is sent or the socket is full."""
        websocket, more = self._websocket, True
        while not websocket.backlog:
            if not more:
                return
            found, more = self._next_locked()
            if found:
                websocket.send(self._seal(found))
        # The member's own thread may wait for its socket; this one may not.
        websocket.wake()

    def _next_locked(self) -> tuple[list[bytes], bool]:
        """The frames of the next record, and whether there may be one after it.

        Replies, and beside them what is new in the room whose turn it is.
        """
        if self._held:
            held, self._held = self._held, []
            return held, True
        found: list[bytes] = []
        if self._replies:
            found = self._take_replies_locked()
            if self._replies or sum(map(len, found)) > _BESIDE_SLICE:
                return found, True
        if not self._turns:
            return found, False
        taken = self._take_locked(self._turns.popleft())
        if found:
            if sum(map(len, taken)) > protocol_limits.SLICE_BYTES:
                self._held = taken  # one large post, which goes alone
                return found, True
            taken = found + taken
        return taken, bool(self._turns or self._replies)

    def _take_replies_locked(self) -> list[bytes]:
        """As many as go together, and one at least."""
        found: list[bytes] = []
        size = 0
        while self._replies:
            reply = self._replies.popleft()
            if isinstance(reply, PendingRoster):
                encoded = reply.frame()
                if not reply.over:
                    self._replies.appendleft(reply)
            else:
                encoded = reply
            size += len(encoded)
            if found and size >= protocol_limits.SLICE_BYTES:
                self._replies.appendleft(encoded)
                break
            found.append(encoded)
        return found

    def _take_locked(self, place: _Place) -> list[bytes]:
        """What a room has for its member; the place goes to the end, if there may be more."""
        place.due = False  # before it is looked at: see _mark
        member = place.member
        room = member.room
        if self._places.get(room.number) is not place:
            return []  # it was left
        taken = room.take(member)
        if isinstance(taken, Snapshot):
            # Another room's slice must not come between `entered` and its roster.
            self._replies.extend(entered(taken))
            self._rejoined.append(room)
            self._mark(place)
            return []
        if member.more:
            self._mark(place)
        return taken


class Broadcaster:
    """A few threads that deliver to the members of rooms in which something was appended.

    All small rooms are one's: two that go through many short rounds take the interpreter from each
    other at each record over TLS, and where there is no lock on it what they share from each
    other's caches (docs/PERFORMANCE.md).  Large ones are the others', so that nobody waits for the
    end of a long round.
    """

    def __init__(
        self,
        threads: int = limits.BROADCASTERS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._large: SimpleQueue[Room[Receiver] | None] = SimpleQueue()
        self._small = SimpleQueue() if threads > 1 else self._large
        # Leaf; guards the sets, the flag, and when each room was told of who came.
        self._lock = threading.Lock()
        self._queued: set[Room[Receiver]] = set()  # waiting or in a round
        self._again: set[Room[Receiver]] = set()  # marked while in a round
        self._late: set[Room[Receiver]] = set()  # have yet to be told of somebody who came
        self._stopping = False
        self._threads = [
            threading.Thread(
                target=self._run,
                args=(self._large if number > 1 else self._small,),
                name=f"broadcaster-{number}",
                daemon=True,
            )
            for number in range(1, threads + 1)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def mark(self, room: Room[Receiver]) -> None:
        """Something was appended to ``room``.  Returns at once."""
        if self._claim(room):
            self._put(room)

    def _put(self, room: Room[Receiver]) -> None:
        (self._large if room.is_large else self._small).put(room)

    def broadcast(self, room: Room[Receiver]) -> None:
        """As ``mark``, for who has time to make the round: then nobody is woken for it."""
        if self._claim(room):
            self._rounds(room)

    def tell_joined(self, room: Room[Receiver]) -> bool:
        """As ``broadcast``, after somebody has come in; whether it was put off.

        Then ``mark_late`` has to be called within ``JOINS_SHARE_SECONDS``: of those who come one
        after another each member hears in one record.  Whatever else is appended brings it, too.
        """
        now = self._clock()
        with self._lock:
            if now - room.joins_told < limits.JOINS_SHARE_SECONDS:
                self._late.add(room)
                return True
            room.joins_told = now
        self.broadcast(room)
        return False

    def mark_late(self) -> None:
        """``mark`` every room of which that was put off."""
        with self._lock:
            late, now = list(self._late), self._clock()
            for room in late:
                room.joins_told = now
        for room in late:
            self.mark(room)

    def hurry(self, room: Room[Receiver]) -> None:
        """``mark`` this one, if it was put off: something stands behind it."""
        if room in self._late:
            self.mark(room)

    def _claim(self, room: Room[Receiver]) -> bool:
        """Whether nobody else will make, or is making, a round; if so, the next one will follow."""
        with self._lock:
            self._late.discard(room)
            if room in self._queued:
                self._again.add(room)
                return False
            self._queued.add(room)
            return True

    def stop(self) -> None:
        """End the threads after all rounds that are due, and join them."""
        with self._lock:
            self._stopping = True
        self._small.put(None)
        for _ in self._threads[1:]:
            self._large.put(None)
        for thread in self._threads:
            thread.join(limits.STOP_SECONDS)

    def _run(self, rooms: SimpleQueue[Room[Receiver] | None]) -> None:
        while (room := rooms.get()) is not None:
            self._rounds(room, rooms)

    def _rounds(
        self, room: Room[Receiver], waiting: SimpleQueue[Room[Receiver] | None] | None = None
    ) -> None:
        """The round that is due in a room that was claimed, and those that must follow at once.

        ``waiting``: the rooms that wait for this thread, if it is there for that.
        """
        try:
            while self._round(room, waiting):
                pass
        except Exception:  # a bug of ours in one room must not end delivery in all others
            with self._lock:
                self._queued.discard(room)
            tell_failure()

    def _round(
        self, room: Room[Receiver], waiting: SimpleQueue[Room[Receiver] | None] | None
    ) -> bool:
        """Deliver to everyone in ``room``; whether the next round must follow at once.

        One room is in one round at a time: two at once would only make batches smaller.
        """
        number = room.number
        for receiver in room.round():
            receiver.deliver(number)
        with self._lock:
            if room not in self._again:
                self._queued.discard(room)
                return False
            self._again.discard(room)
            if self._stopping:  # what is put into the queue now, nobody would take out again
                return True
            if waiting is not None and waiting.empty():  # then no other thread need be woken
                return True
        self._put(room)
        return False
