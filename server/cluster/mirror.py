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
from collections.abc import Callable, Iterable, Sequence

from protocol import limits as protocol_limits
from protocol.errors import Gone, Unavailable
from protocol.keys import Bundle
from server.cluster.arrivals import ArrivalRoom
from server.cluster.entries import (
    JoinEntry,
    LogEntry,
    Nonsense,
    PostEntry,
    RejoinEntry,
    RenameEntry,
    read_member,
)
from server.member import Member, MemberState, Owner
from server.rooms import Snapshot


class Gap(Exception):
    """The log does not go on where the mirror ends: what is between was trimmed."""


class MirrorRoom(ArrivalRoom[Owner]):
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
        super().__init__(name, number, on_behind)
        self.key, self.log_id = key, log_id
        self.going_back = threading.Lock()  # whose holder reads what was before, and waits for it
        self._states: dict[int, Member[Owner] | MemberState] = {}  # in the order of their coming
        self._everybody = self._states
        self.is_open = False  # whether it follows the log: not before it is loaded
        self._followed = False  # whether the log was read, and is about to be applied

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

    def follow(self, begins: bool) -> None:
        """The log is about to be read, and then what is in there applied; or that is over."""
        with self._lock:
            self._followed = begins
            self._applied.notify_all()

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

    def arrive(self, member: Member[Owner], member_id: int, seq: int, within: float) -> Snapshot:
        """Wait until ``member`` came into place by entry ``seq``: what it has to know.

        Raises Gone if it is not there any more, or Unavailable after ``within`` seconds; then it
        has no place here.
        """
        with self._lock:
            try:
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

    def join_at(self, member: Member[Owner], member_id: int, seq: int, within: float) -> Snapshot:
        """Come in by entry ``seq``, a ``joined`` that the engine has answered: as ``arrive``.

        That is now in a room that was loaded as of that entry, and is not ``open`` yet, and where
        that entry is the next: nobody need be told of it, or read it.
        """
        with self._lock:
            self._wait_locked(lambda: not self._followed or self._seq >= seq, within)
            if not self.is_open and self._seq == seq:
                return self._arrive_first_locked(member, member_id)
            if self._seq == seq - 1:
                bundle = member.bundle
                state = MemberState(member_id, member.nick, seq, bundle)
                self._apply_locked(JoinEntry(seq, state, bundle.fingerprint.hex()))
                # Nothing was there for it yet, or the reader has still to read it.
                self._arrivals[member_id].told = member_id > self._named
                self._applied.notify_all()
        return self.arrive(member, member_id, seq, within)

    def _arrive_first_locked(self, member: Member[Owner], member_id: int) -> Snapshot:
        member.id = member_id
        self._place_locked(member)
        member.joined = member.cursor = member.confirmed = self._seq
        return self._snapshot_locked(member, missed=0)

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

    def drop(self, member: Member[Owner]) -> None:
        """It is not this node's any more; in the room it stays until the log says that it left."""
        with self._lock:
            self._expect_no_more_locked(member)
            self._drop_locked(member)
