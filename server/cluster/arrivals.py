"""Members that come into place in a room's mirror, and what waits for each of them alone.

A member comes into place when its own ``joined`` (or ``rejoined``) is applied: only then its
roster and the log after it fit together.  What waited for it alone is read once more after that,
and before it is told, since it may have come before its ``joined`` was applied.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from protocol import limits as protocol_limits
from protocol.errors import Unavailable
from server.cluster.entries import PrivateEntry
from server.member import Member, Owner
from server.rooms import Room, Snapshot


class _Arrival:
    """A member on its way to its place: ``snapshot`` once its entry was applied.

    ``told``: its private stream was read after that, so it may be told.  ``asked``: somebody
    has been asked to have it begin anew.
    """

    __slots__ = ("asked", "snapshot", "told")

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.told = self.asked = False


class ArrivalRoom(Room[Owner]):
    """What of a mirror is about its members' coming into place; see ``MirrorRoom``."""

    def __init__(self, name: str, number: int, on_behind: Callable[[Member[Owner]], None]) -> None:
        super().__init__(name, number)
        self._on_behind = on_behind
        self._applied = threading.Condition(self._lock)  # tells who waits; it is the room's lock
        self._closed = False
        self._expected: dict[str, Member[Owner]] = {}  # key: fingerprint in hex
        self._arrivals: dict[int, _Arrival] = {}  # key: member id
        self._unread: set[int] = set()  # whose private streams have to be read at the next look
        self._named = 0  # the highest id of those that were looked for
        self._jumping: set[int] = set()  # whose next private number is not known
        self._behind: list[Member[Owner]] = []  # for whom `on_behind` has to be called

    def expect(self, member: Member[Owner]) -> None:
        """From now on a ``joined`` of its fingerprint makes ``member`` come in.

        Said before the script: what it does may be applied before its answer is here.
        """
        with self._lock:
            self._expected[member.bundle.fingerprint.hex()] = member

    def expect_no_more(self, member: Member[Owner]) -> None:
        """Nothing came of it."""
        with self._lock:
            self._expect_no_more_locked(member)

    def ask_again(self, member: Member[Owner]) -> None:
        """The script that ``on_behind`` was called for came to nothing."""
        with self._lock:
            arrival = self._arrivals.get(member.id)
            if arrival is not None:
                arrival.asked = False

    def take(self, member: Member[Owner]) -> list[bytes] | Snapshot:
        """As ``Room.take``; where it fell behind, nothing until its ``rejoined`` was applied."""
        taken = super().take(member)
        self._call_behind()
        return taken

    # What waits for one member alone

    def to_read(self, named: Iterable[int]) -> dict[int, int]:
        """Whose private streams are to be read, of those ``named``: after which number."""
        with self._lock:
            wanted = self._unread.union(named)
            self._named = max(self._named, *wanted, 0)
            return {
                member.id: member.private.number
                for member in map(self._members.get, wanted)
                if member is not None and self._takes_private_locked(member)
            }

    def put_private(self, member_id: int, entries: Iterable[PrivateEntry]) -> None:
        """What comes next in a member's private stream; what it has already is passed over.

        Where the numbers do not go on, or there is too much, the member is behind.
        """
        with self._lock:
            member = self._members.get(member_id)
            if member is None:
                return
            for entry in entries:
                if self._takes_private_locked(member) and entry.number > member.private.number:
                    self._put_locked(member, entry)
        self._call_behind()

    def untold(self) -> dict[int, int]:
        """Who came into place, and whose private stream is to be read before it is told."""
        with self._lock:
            return {
                member_id: self._members[member_id].private.number
                for member_id, arrival in self._arrivals.items()
                if arrival.snapshot is not None and not arrival.told
            }

    def read_all(self) -> None:
        """The private streams of all members of this node are to be read."""
        with self._lock:
            self._unread.update(self._members)

    def tell(self, member_ids: Iterable[int]) -> None:
        """The private streams of these were read to the end."""
        with self._lock:
            for member_id in member_ids:
                self._unread.discard(member_id)
                arrival = self._arrivals.get(member_id)
                if arrival is not None and arrival.snapshot is not None:
                    arrival.told = True
            self._applied.notify_all()

    @property
    def has_unasked(self) -> bool:
        """Whether there is somebody behind for whom nobody was asked yet."""
        with self._lock:
            return any(each.snapshot is None and not each.asked for each in self._arrivals.values())

    def _takes_private_locked(self, member: Member[Owner]) -> bool:
        """Not if it is behind: what it lacks it does not get any more.

        It does once its ``rejoined`` was applied, whether it has heard of that or not.
        """
        arrival = self._arrivals.get(member.id)
        return not member.behind or (arrival is not None and arrival.snapshot is not None)

    def _put_locked(self, member: Member[Owner], entry: PrivateEntry) -> None:
        private = member.private
        is_next = entry.number == private.number + 1 or member.id in self._jumping
        if is_next and entry.kind != b"behind":
            self._jumping.discard(member.id)
            private.number = entry.number
            fits = private.put(entry.after, entry.for_queue(self.number), entry.sender)
            # A private post of any size fits where there is no other: so twice as much, at most.
            most = protocol_limits.CHAIN_BYTES + 2 * protocol_limits.PRIVATE_BYTES
            if fits and private.size <= most:
                return
        if member.behind:  # and was about to be told that it is not any more
            self._arrivals[member.id] = _Arrival()
            self._fall_behind_locked(member)
        member.behind = True

    # Inside the lock

    def _behind_locked(self, member: Member[Owner]) -> list[bytes] | Snapshot:
        member.more = False
        if self._members.get(member.id) is not member:
            return []  # another connection's by now
        arrival = self._arrivals.get(member.id)
        if arrival is not None and arrival.told and member.cursor >= self._first_locked() - 1:
            assert arrival.snapshot is not None
            return self._take_snapshot_locked(member, arrival)
        self._fall_behind_locked(member)
        return []

    def _fall_behind_locked(self, member: Member[Owner]) -> None:
        """Have somebody asked to let it begin anew, once."""
        member.behind = True
        arrival = self._arrivals.get(member.id)
        if arrival is None or arrival.told:
            arrival = self._arrivals[member.id] = _Arrival()
        if arrival.snapshot is None and not arrival.asked:
            arrival.asked = True
            self._behind.append(member)

    def _call_behind(self) -> None:
        if not self._behind:
            return
        with self._lock:
            behind, self._behind = self._behind, []
        for member in behind:
            self._on_behind(member)

    def _await_locked(self, member: Member[Owner], snapshot: Snapshot) -> None:
        """It came into place, and is told after its private stream was read."""
        member.behind = True
        arrival = self._arrivals[member.id] = _Arrival()
        arrival.snapshot = snapshot

    def _is_told_locked(self, member_id: int, seq: int) -> bool:
        """Whether there is nothing to wait for: it is told, or will never be."""
        if member_id not in self._members:
            return self._seq >= seq
        arrival = self._arrivals.get(member_id)
        return arrival is not None and arrival.told

    def _take_snapshot_locked(self, member: Member[Owner], arrival: _Arrival) -> Snapshot:
        assert arrival.snapshot is not None
        del self._arrivals[member.id]
        member.behind = False
        return arrival.snapshot

    def _expect_no_more_locked(self, member: Member[Owner]) -> None:
        fingerprint = member.bundle.fingerprint.hex()
        if self._expected.get(fingerprint) is member:
            del self._expected[fingerprint]

    def _forget_arrival_locked(self, member_id: int) -> None:
        self._arrivals.pop(member_id, None)
        self._unread.discard(member_id)
        self._jumping.discard(member_id)

    def _wait_locked(self, over: Callable[[], bool], within: float) -> None:
        """Raises Unavailable if it is not ``over`` in time."""
        ends = time.monotonic() + within
        while not over():
            left = ends - time.monotonic()
            if self._closed or left <= 0.0:
                raise Unavailable(retry_after=1.0)
            self._applied.wait(left)
