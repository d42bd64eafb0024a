"""The rooms of this node: a mirror of each in which a client of its own is.

Whoever comes in first makes the mirror (``opening``), and it goes with its last member here.  The
list of all rooms is the engine's.

Locks: ``ClusterRooms._lock``, then ``MirrorRoom._lock``.  Whoever makes a mirror holds its slot's
``making`` while scripts run, with no other lock; the reader never takes that one.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic

from protocol import frames
from protocol.errors import Unavailable
from protocol.names import room_key
from server import limits as server_limits
from server.churn import Changing, ChurnLimiter
from server.cluster import calls, limits, replies
from server.cluster.keys import Incarnation
from server.cluster.mirror import MirrorRoom
from server.cluster.writer import Writer
from server.member import Member, Owner
from server.rooms import Rooms


class MirrorSlot(Generic[Owner]):
    """Where a mirror stands, or will: ``users`` come in or come back just now."""

    __slots__ = ("making", "passed_over", "room", "users")

    def __init__(self) -> None:
        self.room: MirrorRoom[Owner] | None = None
        self.users = 0
        self.making = threading.Lock()
        self.passed_over = False  # whether the reader was called here before the mirror was open


class RoomPlace:
    """Where a room is or may come to be, whether there is a mirror of it here or not."""

    __slots__ = ("churn",)

    def __init__(self) -> None:
        self.churn = ChurnLimiter()


class ClusterRooms(Rooms[Owner]):
    """The mirrors, by ``room_key``.  Thread-safe.

    ``on_behind`` is called for a member that has to begin anew (see ``MirrorRoom``), ``on_broken``
    for the owner of one whose mirror is of no use any more: its connection has to end.
    """

    def __init__(
        self,
        writer: Writer,
        node: Callable[[], Incarnation],
        on_behind: Callable[[Member[Owner]], None],
        on_broken: Callable[[Owner], None],
    ) -> None:
        super().__init__()
        self._writer, self._node = writer, node
        self._on_behind, self._on_broken = on_behind, on_broken
        self._slots: dict[str, MirrorSlot[Owner]] = {}  # key: room_key; guarded by self._lock
        # By room_key, the longest unused first: a limit that began anew with each mirror would be
        # none for who comes and goes alone at a node. Guarded by self._lock.
        self._places: OrderedDict[str, RoomPlace] = OrderedDict()
        self._unread: set[str] = set()  # keys of rooms that the reader has to look at; likewise

    # For those who come and go

    @contextlib.contextmanager
    def opening(self, key: str) -> Iterator[MirrorRoom[Owner] | None]:
        """The mirror of a room, which stays meanwhile; None for the one that has to make it.

        That one calls ``add`` and ``MirrorRoom.load`` in here, and its member arrives in here; the
        mirror follows the log from the end of this on.  Others wait for it.  Raises Unavailable.
        """
        slot = self._pin(key)
        try:
            if slot.room is not None and slot.room.is_open:
                yield slot.room
                return
            if not slot.making.acquire(timeout=limits.ROOM_SECONDS):
                raise Unavailable(retry_after=limits.ENGINE_RETRY_SECONDS)
            try:
                if slot.room is None:
                    yield None
                    self._open(key, slot)
                    return
            except BaseException:
                self._give_up(slot)
                raise
            finally:
                slot.making.release()
            yield slot.room  # somebody else has made it
        finally:
            self._unpin(key, slot)

    def add(self, key: str, name: str, number: int, log_id: bytes) -> MirrorRoom[Owner]:
        """A mirror that is not loaded yet, for the one in ``opening``."""
        room = MirrorRoom(key, name, number, log_id, self._on_behind)
        room.churn = self.place(key).churn
        room.churn.count()  # who makes it comes in, and is in it from the start
        with self._lock:
            self._slots[key].room = room
        return room

    def drop(self, member: Member[Owner]) -> None:
        """``member`` is not this node's any more, whether it is still in the room or not."""
        room = member.room
        assert isinstance(room, MirrorRoom)
        room.drop(member)
        with self._lock:
            slot = self._slots.get(room.key)
            if slot is not None and slot.room is room:
                self._go_if_empty_locked(room.key, slot)

    def place(self, key: str) -> Changing:
        """What whoever comes into a room from here has to wait for, whether it has a mirror yet."""
        with self._lock:
            slot = self._slots.get(key)
            if slot is not None and slot.room is not None:
                return slot.room
            place = self._places.setdefault(key, RoomPlace())
            self._places.move_to_end(key)
            while len(self._places) > limits.ROOM_PLACES:
                self._places.popitem(last=False)
            return place

    # As Rooms

    def find(self, name: str) -> MirrorRoom[Owner] | None:
        """The mirror of the room called ``name``, if a client of this node is in it."""
        return self.follow(room_key(name), mark=False)

    def listing(self, most: int | None = None) -> list[frames.RoomLine]:
        """The first ``most`` rooms of all nodes by name, or all that may be listed."""
        return self.listing_and_total(server_limits.ROOMS_LISTED if most is None else most)[1]

    def count(self) -> int:
        """How many rooms there are on all nodes."""
        return self.listing_and_total(0)[0]

    def listing_and_total(self, most: int) -> tuple[int, list[frames.RoomLine]]:
        """How many rooms there are on all nodes, and the first ``most`` of them.

        It waits for the engine: raises as ``Writer.call`` and ``replies.listing`` do.
        """
        total, rows = replies.listing(self._writer.call(calls.listing(self._node(), most)))
        return total, [frames.RoomLine(name, count) for name, count in rows]

    # For the reader

    def follow(self, key: str, mark: bool = True) -> MirrorRoom[Owner] | None:
        """The mirror that something has come for; one that is not open yet is looked at later."""
        with self._lock:
            slot = self._slots.get(key)
            if slot is None:
                return None
            if slot.room is not None and slot.room.is_open:
                return slot.room
            slot.passed_over = slot.passed_over or mark
            return None

    def all(self) -> list[MirrorRoom[Owner]]:
        """All mirrors that follow their logs."""
        with self._lock:
            rooms = [slot.room for slot in self._slots.values()]
            return [room for room in rooms if room is not None and room.is_open]

    def take_unread(self) -> set[str]:
        """The keys of rooms that were passed over, and are open now."""
        with self._lock:
            unread, self._unread = self._unread, set()
            return unread

    def discard(self, room: MirrorRoom[Owner]) -> None:
        """The mirror is of no use any more; its members' connections end, and they come anew."""
        for owner in self._put_away(room):
            self._on_broken(owner)

    def outdate(self, room: MirrorRoom[Owner]) -> None:
        """The room went, in the engine: whoever is still in its mirror is just leaving it."""
        self._put_away(room)

    def _put_away(self, room: MirrorRoom[Owner]) -> list[Owner]:
        with self._lock:
            slot = self._slots.get(room.key)
            if slot is not None and slot.room is room:
                if slot.users:
                    slot.room = None  # whoever comes next makes another one
                else:
                    del self._slots[room.key]
        return room.close()

    def discard_all(self) -> None:
        """The same with all of them: the engine has forgotten them, or this node."""
        with self._lock:
            rooms = [slot.room for slot in self._slots.values() if slot.room is not None]
        for room in rooms:
            self.discard(room)

    # Slots

    def _pin(self, key: str) -> MirrorSlot[Owner]:
        with self._lock:
            slot = self._slots.get(key)
            if slot is None:
                slot = self._slots[key] = MirrorSlot()
            slot.users += 1
            return slot

    def _unpin(self, key: str, slot: MirrorSlot[Owner]) -> None:
        with self._lock:
            slot.users -= 1
            self._go_if_empty_locked(key, slot)

    def _go_if_empty_locked(self, key: str, slot: MirrorSlot[Owner]) -> None:
        if not slot.users and (slot.room is None or slot.room.is_empty):
            if self._slots.get(key) is slot:
                del self._slots[key]
                if slot.room is not None:
                    slot.room.churn.count()  # its last one goes, and will not be seen to leave

    def _give_up(self, slot: MirrorSlot[Owner]) -> None:
        """It was not made."""
        with self._lock:
            room, slot.room = slot.room, None
        if room is not None:
            room.close()

    def _open(self, key: str, slot: MirrorSlot[Owner]) -> None:
        """What was passed over meanwhile is looked at now."""
        with self._lock:
            if slot.room is None:
                return
            slot.room.open()
            passed_over, slot.passed_over = slot.passed_over, False
            if passed_over:
                slot.room.read_all()
                self._unread.add(key)
        if passed_over:
            self._writer.submit(calls.poke(self._node(), key), _nothing)


def _nothing(_outcome: object) -> None:
    """Where it fails, the reader looks all the same when it comes round."""
