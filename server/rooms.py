"""Rooms: each an append-only log in memory, with members as cursors into it.

A client is in several at once: it is one ``Member`` in each, and each has its own cursor and queue.

A member's slice of the log after its cursor is everything at once: what is new, the
catch-up after a lost connection, and the batch under load.  Entries for one member alone
(wrapped chains, private posts) wait in that member's own queue, each tagged with the place
in the log that it precedes.

Locks: ``Rooms._lock``, then ``Room._lock``, then its ``ChurnLimiter``'s.  Inside them only
data moves: no I/O, no cryptography, no callback.
"""

from __future__ import annotations

import math
import secrets
import threading
from collections import deque
from collections.abc import Mapping
from heapq import nsmallest
from typing import Generic, NamedTuple

from protocol import frames, wire_json
from protocol import limits as protocol_limits
from protocol.errors import Gone, RateLimited, Repeated, RoomFull, ServerFull, Stale, Unexpected
from protocol.keys import Bundle
from protocol.names import room_key
from server import limits
from server.churn import ChurnLimiter
from server.member import Member, MemberState, Owner, Present, Wrapped

# Where a burst is being carried off, members stand at as many places as it has slices.
_SLICES_KEPT = 10


class Entry(NamedTuple):
    """One entry of a log, encoded once for everybody."""

    seq: int
    encoded: bytes
    sender: int = 0  # of a post: the member id, and
    change: int = 0  # the membership that it was sealed for, and
    stub: bytes = b""  # what its sender sees in its place
    bundle: bytes = b""  # of a `joined`: two kilobytes, which its session has for all its rooms

    @property
    def whole(self) -> bytes:
        """What goes out."""
        return b"%s%s}}" % (self.encoded, self.bundle) if self.bundle else self.encoded

    @property
    def size(self) -> int:
        """How much it counts."""
        return len(self.encoded) + len(self.bundle)


class Slice(NamedTuple):
    """Encoded entries up to ``to``; ``oldest`` is the smallest ``change`` of its posts."""

    to: int
    encoded: bytes
    oldest: int


class Snapshot(NamedTuple):
    """What somebody who comes in has to know, taken in one step."""

    at: int
    room: str
    log_id: bytes
    member_id: int
    seq: int
    missed: int
    members: list[MemberState]


class Room(Generic[Owner]):
    """One conversation.  Every public method is thread-safe and none performs I/O.

    ``number`` is what frames call it, and no other room of this server, ever.
    """

    def __init__(self, name: str, number: int = 0) -> None:
        self.name, self.number = name, number
        self.log_id = secrets.token_bytes(protocol_limits.LOG_ID_BYTES)
        self.churn = ChurnLimiter()  # whoever joins or renames has to have a place in it
        self.joins_told = -math.inf  # when members heard of who came: the Broadcaster's
        self._lock = threading.Lock()  # guards all below; after Rooms._lock
        self._members: dict[int, Member[Owner]] = {}
        self._everybody: Mapping[int, Present] = self._members  # the same, where all are ours
        self._log: deque[Entry] = deque()
        self._bytes = 0
        self._seq = 0
        self._changes: deque[int] = deque(maxlen=protocol_limits.CHANGES_BEHIND + 1)
        self._slices: dict[int, Slice] = {}
        self._horizon = 0  # the end of the log when the last round began: see round

    # Membership

    def join(self, member: Member[Owner]) -> Snapshot:
        """Add ``member`` at the log's end.  Raises RoomFull."""
        with self._lock:
            if len(self._members) >= protocol_limits.ROOM_MEMBERS:
                raise RoomFull()
            member.room = self
            self._members[member.id] = member
            self._arrive_locked(member)
            line, bundle = member.line().encode(), member.bundle.encoded
            encoded = b'{"type":"joined","seq":%d,"member":%s}' % (self._seq, line)
            self._append_locked(encoded, 0, 0, b"", bundle)
            self._trim_locked()  # whoever is the first needs no news of itself
            return self._snapshot_locked(member, missed=0)

    def leave(self, member: Member[Owner]) -> bool:
        """Remove ``member``; whether anybody is left.  Harmless if it is gone already."""
        with self._lock:
            if self._members.pop(member.id, None) is not None:
                self._change_locked()
                self._append_locked(frames.Left(self._seq, member.id).encode())
            return bool(self._members)

    def rename(self, member: Member[Owner], nick: str) -> int:
        """Give ``member`` another nickname; the number of the entry that says so."""
        with self._lock:
            self._require_locked(member)
            member.nick = nick
            self._change_locked()
            self._append_locked(frames.Renamed(self._seq, member.id, nick).encode())
            return self._seq

    def resume(self, member: Member[Owner], seq: int | None, number: int) -> bool:
        """Go on after ``seq`` and private ``number``; False if that is not there any more.

        Nor can anybody go on from before its join: it fell behind, or changed rooms, and what
        told it so was lost with the connection.
        """
        with self._lock:
            if seq is None or not self._has_locked(member, seq):
                return False
            self._confirm_locked(member, seq, number)
            member.cursor = seq
            member.own = [
                entry.seq for entry in self._log if entry.seq > seq and entry.sender == member.id
            ]
            member.private.send_again()
            return True

    def has(self, member: Member[Owner], seq: int | None) -> bool:
        """Whether ``resume`` would say yes at this moment."""
        with self._lock:
            return seq is not None and self._has_locked(member, seq)

    def begin_anew(
        self, member: Member[Owner], seq: int | None = None, number: int = 0
    ) -> Snapshot:
        """Let ``member`` be a newcomer where ``resume`` says no, as one that fell behind.

        ``seq`` and ``number`` say what it has; None: nothing since it came.  Raises Gone.
        """
        with self._lock:
            self._require_locked(member)
            if seq is not None:
                member.private.confirm(number)
            member.private.send_again()
            member.cursor = min(member.joined if seq is None else seq, self._seq)
            return self._rejoin_locked(member)

    def count(self) -> int:
        """How many members there are."""
        with self._lock:
            return len(self._everybody)

    @property
    def is_large(self) -> bool:
        """Whether a round takes long; as it is at some moment, since no lock is taken."""
        return len(self._members) > limits.SMALL_ROOM

    def round(self) -> list[Owner]:
        """The owners of all members, for somebody who now delivers to each of them.

        ``take`` goes no further than what is in the log at this moment.  So whoever comes late
        in a round gets the same slices as all others, and what is posted during the round
        gathers for the next one, instead of going out in crumbs.
        """
        with self._lock:
            self._horizon = self._seq
            return [member.owner for member in self._members.values()]

    # What members send

    def post(self, member: Member[Owner], post: frames.Post) -> int:
        """Append a post, with the wraps of its epoch before it; its number.

        Raises Stale, or Gone if ``member`` is not here.
        """
        box = post.box
        # Encoded before the lock: inside it, only the number is put in front.
        rest = wire_json.posted(member.id, post.change, box)
        with self._lock:
            self._require_locked(member)
            self._require_change_locked(member, post.change)
            if member.wrapped is not None and member.wrapped.epoch == box.epoch:
                self._hand_out_locked(member.wrapped.held)
            self._seq += 1
            stub = b'{"type":"own_posted","seq":%d,"ref":%d}' % (self._seq, post.ref)
            encoded = b'{"type":"posted","seq":%d%s' % (self._seq, rest)
            member.own.append(self._seq)
            member.posted = (box.epoch, box.n)
            self._append_locked(encoded, member.id, post.change, stub)
            return self._seq

    def hold_wrap(self, member: Member[Owner], wrap: frames.Wrap) -> bool:
        """Keep ``wrap`` until a post of its epoch is taken; False if nothing is to be done.

        So an epoch whose posts are refused costs nobody else anything.  A second wrap for one
        sender, epoch and recipient changes nothing: after a lost connection the same ones come
        again.  Nor does one for a post that was taken: if its recipient has fallen behind since, it
        must not stand in for the next one, which leads further.  Raises Repeated for an epoch of
        the past, or Gone.
        """
        rest = wire_json.key_for(member.id, wrap)
        with self._lock:
            self._require_locked(member)
            wrapped = member.wrapped
            if wrapped is None or wrap.epoch > wrapped.epoch:
                wrapped = member.wrapped = Wrapped(wrap.epoch, set(), {})
            if wrap.epoch < wrapped.epoch:
                raise Repeated()
            if (wrap.epoch, wrap.n) <= member.posted:
                return False
            target = self._everybody.get(wrap.to)
            if target is None or target is member or wrap.to in wrapped.recipients:
                return False
            wrapped.recipients.add(wrap.to)
            wrapped.held[wrap.to] = rest
            return True

    def send_private(self, member: Member[Owner], private: frames.Private) -> Owner:
        """Put a private post into its recipient's queue; the owner.  Raises Gone or Stale.

        RateLimited where the queue has no room for it.
        """
        rest = wire_json.private_for(member.id, private)
        with self._lock:
            self._require_locked(member)
            target = self._members.get(private.wrap.to)
            if target is None or target is member:
                raise Gone()
            self._require_change_locked(member, private.change)
            if private.change < target.joined:
                raise Stale()
            if target.behind or not target.private.has_room(member.id, len(rest)):
                raise RateLimited(retry_after=limits.QUEUE_SECONDS)
            self._enqueue_locked(target, b"private_for", rest, member.id)
            return target.owner

    def confirm(self, member: Member[Owner], seq: int, number: int) -> None:
        """``member`` has everything up to ``seq`` and private ``number``: it can go."""
        with self._lock:
            self._confirm_locked(member, min(seq, member.cursor), number)
            self._trim_locked()

    # What members get

    def take(self, member: Member[Owner]) -> list[bytes] | Snapshot:
        """The next frames for ``member``, and move its cursor; an empty list if there are none.

        Nothing that was appended after the last ``round`` began: the next one is for that.
        At most ``SLICE_BYTES``, or one entry: ask again.  A Snapshot instead if it fell off the
        log's end or overran its queue: it is a newcomer now, and all others are told so.  Only
        the holder of the member's link lock may call this: order on the link is the log's.  It
        finds in ``member.more`` whether another call would get something.
        """
        with self._lock:
            if member.id not in self._members:
                member.more = False
                return []
            if member.behind or member.cursor < self._first_locked() - 1:
                return self._behind_locked(member)
            if member.private.waiting:
                taken = self._take_private_locked(member)
                left = bool(member.private.waiting) or member.cursor < self._horizon
            else:
                taken = self._take_slice_locked(member, self._horizon)
                left = member.cursor < self._horizon
            member.more = left and bool(taken)
            return taken

    # Inside the lock

    def _behind_locked(self, member: Member[Owner]) -> list[bytes] | Snapshot:
        """What ``take`` has for one that fell behind."""
        return self._rejoin_locked(member)

    def _take_private_locked(self, member: Member[Owner]) -> list[bytes]:
        """What waits for it alone, or what comes before that in the log."""
        place = member.private.waiting[0].after
        if place > member.cursor:
            return self._take_slice_locked(member, min(place, self._horizon))
        return member.private.take(member.cursor)

    def _has_locked(self, member: Member[Owner], seq: int) -> bool:
        if member.id not in self._members or member.behind:
            return False
        return max(self._first_locked() - 1, member.joined) <= seq <= self._seq

    def _require_locked(self, member: Member[Owner]) -> None:
        if member.id not in self._members:
            raise Gone()

    def _require_change_locked(self, member: Member[Owner], change: int) -> None:
        if change < max(member.joined, self._changes[0]):
            raise Stale()
        if change != self._changes[-1] and change not in self._changes:
            raise Unexpected()

    def _first_locked(self) -> int:
        """The number of the log's first entry that is still there."""
        return self._seq + 1 - len(self._log)

    def _change_locked(self) -> None:
        """Take the next number for a change of membership."""
        self._seq += 1
        self._changes.append(self._seq)
        self.churn.count()

    def _arrive_locked(self, member: Member[Owner]) -> None:
        self._change_locked()
        member.joined = member.cursor = member.confirmed = self._seq
        member.own.clear()
        member.private.clear()
        member.behind = False
        self._lack_keys_locked(member.id)

    def _lack_keys_locked(self, member_id: int) -> None:
        """Nobody has wrapped anything for this newcomer yet."""
        for other in self._members.values():
            if other.wrapped is not None:
                other.wrapped.recipients.discard(member_id)
                other.wrapped.held.pop(member_id, None)

    def _rejoin_locked(self, member: Member[Owner]) -> Snapshot:
        missed = self._seq - member.cursor + member.private.posts
        self._arrive_locked(member)
        self._append_locked(frames.Rejoined(self._seq, member.id).encode())
        return self._snapshot_locked(member, missed)

    def _snapshot_locked(self, member: Member[Owner], missed: int) -> Snapshot:
        lines = [other.line() for other in self._everybody.values()]
        return Snapshot(self.number, self.name, self.log_id, member.id, self._seq, missed, lines)

    def _append_locked(
        self,
        encoded: bytes,
        sender: int = 0,
        change: int = 0,
        stub: bytes = b"",
        bundle: bytes = b"",
    ) -> None:
        if bundle:
            encoded = encoded[: -len(bundle) - 2]  # see Entry.whole
        entry = Entry(self._seq, encoded, sender, change, stub, bundle)
        self._log.append(entry)
        self._bytes += len(encoded) + len(bundle)
        if self._bytes > protocol_limits.LOG_BYTES or len(self._log) > protocol_limits.LOG_ENTRIES:
            self._trim_locked()
            while (
                self._bytes > protocol_limits.LOG_BYTES
                or len(self._log) > protocol_limits.LOG_ENTRIES
            ):
                self._drop_first_locked()

    def _trim_locked(self) -> None:
        """Let go of what every member has confirmed."""
        first = self._first_locked()
        if any(member.confirmed < first for member in self._members.values()):
            return  # nearly always, and found soon
        needed = min((member.confirmed for member in self._members.values()), default=self._seq)
        while self._log and self._log[0].seq <= needed:
            self._drop_first_locked()
        if not self._log:
            self._slices.clear()

    def _drop_first_locked(self) -> None:
        self._bytes -= self._log.popleft().size

    def _confirm_locked(self, member: Member[Owner], seq: int, number: int) -> None:
        member.confirmed = max(member.confirmed, seq)
        member.private.confirm(number)

    def _hand_out_locked(self, held: dict[int, bytes]) -> None:
        """Wraps whose post is about to be taken; those for members that are gone are dropped."""
        for to, rest in held.items():
            target = self._members.get(to)
            if target is not None and not target.behind:
                self._enqueue_locked(target, b"key_for", rest)
        held.clear()

    def _enqueue_locked(
        self, target: Member[Owner], kind: bytes, rest: bytes, sender: int = 0
    ) -> None:
        """Put a frame of this kind into a queue; ``rest`` is all that follows the number."""
        number = target.private.next_number()
        encoded = b'{"type":"%s","at":%d,"number":%d%s' % (kind, self.number, number, rest)
        if not target.private.put(self._seq, encoded, sender):
            target.behind = True  # and its queue goes when it is next looked at

    def _take_slice_locked(self, member: Member[Owner], end: int) -> list[bytes]:
        """One ``log`` frame after the cursor and up to ``end``, in a list; or an empty one."""
        start = member.cursor
        if start >= end:
            return []
        piece = self._slices.get(start)
        if piece is None or piece.to > end:
            piece = self._slice_locked(start, end)
        member.cursor = piece.to
        if member.own and member.own[0] <= piece.to or piece.oldest < member.joined:
            return [self._entries_for_locked(member, start, piece.to)]
        return [piece.encoded]

    def _slice_locked(self, start: int, end: int) -> Slice:
        """The shared slice after ``start``; encoded once for all who stand at the same place."""
        found: list[bytes] = []
        log, size, to, oldest = self._log, 0, start, self._seq
        first = start + 1 - self._first_locked()
        for index in range(first, first + end - start):
            entry = log[index]
            size += len(entry.encoded) + len(entry.bundle)
            if found and size > protocol_limits.SLICE_BYTES:
                break
            found.append(entry.whole if entry.bundle else entry.encoded)
            to = entry.seq
            if entry.sender and entry.change < oldest:
                oldest = entry.change
        piece = Slice(to, wire_json.log(self.number, to, found), oldest)
        if len(self._slices) >= _SLICES_KEPT:
            self._slices.clear()
        self._slices[start] = piece
        return piece

    def _entries_for_locked(self, member: Member[Owner], start: int, to: int) -> bytes:
        """The same for one member: own posts as stubs, nothing sealed before it came."""
        first = start + 1 - self._first_locked()
        log, found, own = self._log, [], 0
        for index in range(first, first + to - start):
            entry = log[index]
            if entry.sender == member.id:
                own += 1
                found.append(entry.stub)
            elif not entry.sender or entry.change >= member.joined:
                found.append(entry.whole if entry.bundle else entry.encoded)
        del member.own[:own]
        return wire_json.log(self.number, to, found)


class Rooms(Generic[Owner]):
    """All rooms.  A room is made by whoever comes in first, and gone with the last."""

    def __init__(self, most: int = limits.ROOMS) -> None:
        self._most = most
        self._lock = threading.Lock()  # guards all below; before Room._lock
        self._rooms: dict[str, Room[Owner]] = {}  # key: room_key(name)
        self._last_id = 0
        self._last_number = 0

    def enter(
        self, name: str, owner: Owner, nick: str, bundle: Bundle, ref: int | None = None
    ) -> tuple[Member[Owner], Snapshot]:
        """A new member in the room called ``name``.  Raises ServerFull or RoomFull."""
        with self._lock:
            room = self._rooms.get(room_key(name))
            if room is None:
                if len(self._rooms) >= self._most:
                    raise ServerFull()
                self._last_number += 1
                room = self._rooms[room_key(name)] = Room(name, self._last_number)
            self._last_id += 1
            member = Member(owner, self._last_id, nick, bundle, ref)
            return member, room.join(member)

    def find(self, name: str) -> Room[Owner] | None:
        """The room called ``name``, if anybody is in it."""
        with self._lock:
            return self._rooms.get(room_key(name))

    def leave(self, member: Member[Owner]) -> None:
        """Take ``member`` out of its room, which goes with its last one."""
        room = member.room
        with self._lock:
            if not room.leave(member) and self._rooms.get(room_key(room.name)) is room:
                del self._rooms[room_key(room.name)]

    def listing(self, most: int | None = None) -> list[frames.RoomLine]:
        """The first ``most`` rooms by name, or all, with the number of their members."""
        with self._lock:
            keys = sorted(self._rooms) if most is None else nsmallest(most, self._rooms)
            rooms = [self._rooms[key] for key in keys]
            return [frames.RoomLine(room.name, room.count()) for room in rooms]

    def count(self) -> int:
        """How many rooms there are."""
        with self._lock:
            return len(self._rooms)
