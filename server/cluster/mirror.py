"""A mirror: a room as this node has it, which is a deterministic function of the room's log.

The engine has the log, and what changes it are its scripts.  Here the entries are applied in their
order, so that all nodes have the same roster at the same number.  Of the members only this node's
own are ``Member``s, with a cursor and a queue, to whom the broadcaster delivers as in a single
process; of all others there is their line.

A member comes into place when its own ``joined`` (or ``rejoined``) is applied: only then its
roster and the log after it fit together.  What waited for it alone is read once more after that,
and before it is told, since it may have come before its ``joined`` was applied.

Nothing here waits for the engine or calls anybody with the lock held.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence

from protocol import limits as protocol_limits
from protocol.errors import Gone, Unavailable
from protocol.keys import Bundle
from server.cluster.entries import (
    JoinEntry,
    LogEntry,
    Nonsense,
    PostEntry,
    PrivateEntry,
    RejoinEntry,
    RenameEntry,
    read_member,
)
from server.member import Member, MemberState, Owner
from server.rooms import Room, Snapshot


class Gap(Exception):
    """The log does not go on where the mirror ends: what is between was trimmed."""


class _Arrival:
    """A member on its way to its place: ``snapshot`` once its entry was applied.

    ``told``: its private stream was read after that, so it may be told.  ``asked``: somebody
    has been asked to have it begin anew.
    """

    __slots__ = ("asked", "snapshot", "told")

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.told = self.asked = False


class MirrorRoom(Room[Owner]):
    """One room.  Every public method is thread-safe and none performs I/O.

    ``key`` is its ``room_key``.  ``on_behind`` is called, without any lock of the room's, for a
    member that has to begin anew: whoever is called has the script ``rejoin`` run, and says
    ``ask_again`` if that came to nothing.
    """

    def __init__(
        self,
        key: str,
        name: str,
        number: int,
        log_id: bytes,
        on_behind: Callable[[Member[Owner]], None],
    ) -> None:
        super().__init__(name, number)
        self.key, self.log_id = key, log_id
        self.going_back = threading.Lock()  # whose holder reads what was before, and waits for it
        self._on_behind = on_behind
        self._states: dict[int, Member[Owner] | MemberState] = {}  # in the order of their coming
        self._everybody = self._states
        self._applied = threading.Condition(self._lock)  # tells who waits; it is the room's lock
        self._closed = False
        self.is_open = False  # whether it follows the log: not before it is loaded
        self._expected: dict[str, Member[Owner]] = {}  # key: fingerprint in hex
        self._arrivals: dict[int, _Arrival] = {}  # key: member id
        self._unread: set[int] = set()  # whose private streams have to be read at the next look
        self._jumping: set[int] = set()  # whose next private number is not known
        self._behind: list[Member[Owner]] = []  # for whom `on_behind` has to be called

    # The room as a whole

    def load(self, seq: int, roster: Iterable[tuple[int, int, str, str, bytes]]) -> None:
        """Be as the engine has it at number ``seq``, whatever was before.  Raises Nonsense.

        ``roster``: as ``entries.read_member`` takes them, the oldest first.  Members of this node
        that are not in there are gone, all others fell behind.
        """
        lines = [(read_member(*each), each[2]) for each in roster]
        with self._lock:
            self._log.clear()
            self._slices.clear()
            self._changes.clear()
            self._bytes = 0
            self._seq = self._horizon = seq
            self._states.clear()
            for line, fingerprint in lines:
                self._states[line.id] = line
                member = self._members.get(line.id) or self._newcomer_locked(fingerprint)
                if member is not None:
                    member.id, member.joined = line.id, line.joined
                    self._place_locked(member)
                    self._forget_arrival_locked(member.id)
                    self._fall_behind_locked(member)
            for gone in [each for each in self._members if each not in self._states]:
                self._go_locked(gone)
            self._applied.notify_all()
        self._call_behind()

    def open(self) -> None:
        """From now on it follows the log."""
        with self._lock:
            self.is_open = True

    def close(self) -> list[Owner]:
        """Be of no use any more: whoever waits gets Unavailable.  The owners of its members."""
        with self._lock:
            self._closed = True
            self._applied.notify_all()
            return [member.owner for member in self._members.values()]

    @property
    def is_empty(self) -> bool:
        """Whether no member is this node's, and none is expected."""
        with self._lock:
            return not self._members and not self._expected

    @property
    def seq(self) -> int:
        """The number of the last entry that was applied."""
        return self._seq

    @property
    def first(self) -> int:
        """The number of the first entry that is there, or of the next one."""
        with self._lock:
            return self._first_locked()

    def wait_for(self, seq: int, within: float) -> None:
        """Until entry ``seq`` was applied.  Raises Unavailable after ``within`` seconds."""
        with self._lock:
            self._wait_locked(lambda: self._seq >= seq, within)

    # The log

    def apply(self, entries: Iterable[LogEntry]) -> None:
        """What comes next in the log; entries that it has already are passed over.

        Those that came into place by it are ``untold``.  Raises Gap or Nonsense.
        """
        with self._lock:
            try:
                for entry in entries:
                    if entry.seq > self._seq:
                        self._apply_locked(entry)
            finally:
                self._applied.notify_all()

    def prepend(self, entries: Sequence[LogEntry]) -> bool:
        """What was in the log before the first entry that is there; False if that does not fit."""
        with self._lock:
            before = [entry.for_log() for entry in entries if entry.seq < self._first_locked()]
            expected = range(self._first_locked() - len(before), self._first_locked())
            size = self._bytes + sum(entry.size for entry in before)
            if (
                [entry.seq for entry in before] != list(expected)
                or size > protocol_limits.LOG_BYTES
                or len(self._log) + len(before) > protocol_limits.LOG_ENTRIES
            ):
                return False
            self._log.extendleft(reversed(before))
            self._bytes = size
            return True

    def _apply_locked(self, entry: LogEntry) -> None:
        if entry.seq != self._seq + 1:
            raise Gap()
        if isinstance(entry, JoinEntry):
            self._apply_join_locked(entry)
        elif entry.sender not in self._states:
            raise Nonsense()
        elif isinstance(entry, PostEntry):
            self._apply_post_locked(entry)
        elif isinstance(entry, RejoinEntry):
            self._apply_rejoin_locked(entry)
        else:
            self._change_locked()
            if isinstance(entry, RenameEntry):
                self._rename_locked(entry.sender, entry.nick)
            else:
                self._go_locked(entry.sender)
        logged = entry.for_log()
        self._append_locked(logged.whole, *logged[2:])
        if isinstance(entry, JoinEntry):
            self._trim_locked()  # as Room.join does

    def _apply_post_locked(self, entry: PostEntry) -> None:
        self._seq = entry.seq
        member = self._members.get(entry.sender)
        if member is not None:
            member.own.append(entry.seq)
            member.posted = max(member.posted, (entry.epoch, entry.n))

    def _apply_join_locked(self, entry: JoinEntry) -> None:
        if entry.state.id in self._states or len(self._states) >= protocol_limits.ROOM_MEMBERS:
            raise Nonsense()
        member = self._newcomer_locked(entry.fingerprint)
        if member is None:
            self._change_locked()
            self._states[entry.state.id] = entry.state
            self._lack_keys_locked(entry.state.id)
            return
        member.id, member.nick = entry.state.id, entry.state.nick
        member.private.number = 0
        self._place_locked(member)
        self._arrive_locked(member)
        self._await_locked(member, self._snapshot_locked(member, missed=0))

    def _apply_rejoin_locked(self, entry: RejoinEntry) -> None:
        state = self._states[entry.sender]
        if not isinstance(state, Member):
            self._change_locked()
            self._states[entry.sender] = state._replace(joined=entry.seq)
            self._lack_keys_locked(entry.sender)
            return
        missed = self._seq - state.cursor + state.private.posts
        kept = state.private.take_from(entry.seq)  # what came after it may be here already
        missed -= sum(each.sender > 0 for each in kept)
        self._arrive_locked(state)
        state.private.put_back(kept)
        if not kept:
            self._jumping.add(state.id)
        self._await_locked(state, self._snapshot_locked(state, missed))

    def _rename_locked(self, member_id: int, nick: str) -> None:
        state = self._states[member_id]
        if isinstance(state, Member):
            state.nick = nick
        else:
            self._states[member_id] = state._replace(nick=nick)

    def _go_locked(self, member_id: int) -> None:
        """Nobody by this number is here any more."""
        self._states.pop(member_id, None)
        self._members.pop(member_id, None)
        self._forget_arrival_locked(member_id)

    def _newcomer_locked(self, fingerprint: str) -> Member[Owner] | None:
        """The member that is expected under this fingerprint, unless it is in place already."""
        member = self._expected.get(fingerprint)
        return None if member is None or member.id in self._members else member

    def _drop_locked(self, member: Member[Owner]) -> None:
        if self._members.get(member.id) is member:
            del self._members[member.id]
            self._forget_arrival_locked(member.id)
            self._states[member.id] = member.line()
            self._trim_locked()

    def _place_locked(self, member: Member[Owner]) -> None:
        member.room = self
        self._members[member.id] = member
        self._states[member.id] = member

    # Members of this node

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

    def arrive(self, member: Member[Owner], member_id: int, seq: int, within: float) -> Snapshot:
        """Wait until ``member`` came into place by entry ``seq``: what it has to know.

        In a room that was loaded as of that entry, and is not ``open`` yet, that is now.  Raises
        Gone if it is not there any more, or Unavailable after ``within`` seconds; then it has no
        place here.
        """
        with self._lock:
            try:
                if not self.is_open and self._seq == seq:
                    return self._arrive_first_locked(member, member_id)
                self._wait_locked(lambda: self._is_told_locked(member_id, seq), within)
                arrival = self._arrivals.get(member_id)
                if arrival is None or self._members.get(member_id) is not member:
                    raise Gone()
                return self._take_snapshot_locked(member, arrival)
            except (Gone, Unavailable):
                self._drop_locked(member)
                raise
            finally:
                self._expect_no_more_locked(member)

    def return_of(
        self,
        owner: Owner,
        member_id: int,
        bundle: Bundle,
        ref: int | None,
        number: int,
        posted: tuple[int, int],
    ) -> Member[Owner]:
        """Make one that is in the room a member of this node.

        It has got its private ones up to ``number``; it stands where it joined, until ``resume``
        or ``stand_at``.  Raises Gone.
        """
        with self._lock:
            state = self._states.get(member_id)
            if state is None:
                raise Gone()
            line = state.line()
            member = Member(owner, member_id, line.nick, bundle, ref)
            member.joined = member.cursor = member.confirmed = line.joined
            member.posted = posted
            member.private.number = number
            self._forget_arrival_locked(member_id)  # of another connection
            self._place_locked(member)
            return member

    def stand_at(self, member: Member[Owner], seq: int) -> None:
        """It has the log up to ``seq``, and will begin anew all the same: so much it has missed."""
        with self._lock:
            member.cursor = min(max(seq, member.joined), self._seq)

    def ask_again(self, member: Member[Owner]) -> None:
        """The script that ``on_behind`` was called for came to nothing."""
        with self._lock:
            arrival = self._arrivals.get(member.id)
            if arrival is not None:
                arrival.asked = False

    def drop(self, member: Member[Owner]) -> None:
        """It is not this node's any more; in the room it stays until the log says that it left."""
        with self._lock:
            self._expect_no_more_locked(member)
            self._drop_locked(member)

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

    def _arrive_first_locked(self, member: Member[Owner], member_id: int) -> Snapshot:
        member.id = member_id
        self._place_locked(member)
        member.joined = member.cursor = member.confirmed = self._seq
        self._unread.add(member_id)
        return self._snapshot_locked(member, missed=0)

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
