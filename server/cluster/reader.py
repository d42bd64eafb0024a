"""The thread that reads what the engine has for this node, and applies it to the mirrors.

It waits on one stream, the node's own, which says where something happened: so the price is that
of what happened, and not of the rooms.  Then it reads the logs of the rooms that were named, and
only after that the private streams: what a post needs was written before it, so it is there, and
is put before the post is applied.  What is for later posts waits in its queue.

What was named is forgotten only after it was read to the end, so a connection that is lost in
between loses nothing.  After each new connection every room is compared with the engine's.

A node is told of a room once: not again until the mark is gone that says so, which goes just before
the room is read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, NamedTuple, NoReturn, Protocol

from protocol.errors import Unavailable
from server.cluster import calls, keys, limits, replies
from server.cluster.engine import CannotConnect, Connector, Engine, EngineLost
from server.cluster.entries import (
    JoinEntry,
    LogEntry,
    Nonsense,
    PostEntry,
    Raw,
    read_log,
    read_private,
    read_wake,
)
from server.cluster.keys import Incarnation
from server.cluster.mirror import Gap, MirrorRoom
from server.cluster.replies import Forgotten, NodeFenced, RoomState
from server.cluster.reply_values import BadReply
from server.cluster.resp import Arg, EngineError
from server.cluster.rooms import ClusterRooms
from server.cluster.script import ScriptCall
from server.member import Owner
from server.threads import tell_failure


class ReaderEvents(Protocol):
    """Who hears of what is not a room's.  Called by the reader's thread: none of these may wait."""

    def connected(self, engine: Engine) -> bool:
        """Whether a new connection is to be used; it may be asked things."""

    def forgotten(self) -> None:
        """The engine has another epoch, or none; said again until there is another node."""

    def missed(self) -> None:
        """What was for this node may have been lost: whatever is not a room is to be read anew."""

    def session(self, fingerprint: str, n: int, reason: str) -> None:
        """A session is not this node's any more unless its number is ``n`` or more."""

    def table(self, change: str) -> None:
        """A field of a replicated table has changed."""

    def announce(self, frame: bytes) -> None:
        """A frame for everybody."""

    def spent(self, entries: Sequence[Raw]) -> None:
        """What nodes say that was spent."""

    def spent_since(self) -> int:
        """From when on (ms of the engine's clock) that is wanted."""


class _Unread(NamedTuple):
    """A private stream that is to be read."""

    room: MirrorRoom[Any]
    member_id: int
    after: int


class EngineReader(Generic[Owner]):
    """One thread, ``engine-reader``, with one connection.

    ``node`` says as what it reads; with another one it begins anew.  ``make_round``
    has a room's round made, or makes it; ``tell_joined`` that of one into which somebody has come,
    and nothing else has happened there.
    """

    def __init__(
        self,
        connector: Connector,
        rooms: ClusterRooms[Owner],
        node: Callable[[], Incarnation],
        make_round: Callable[[MirrorRoom[Owner]], None],
        tell_joined: Callable[[MirrorRoom[Owner]], None],
        events: ReaderEvents,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connector, self._rooms, self._node = connector, rooms, node
        self._make_round, self._tell_joined = make_round, tell_joined
        self._events, self._clock = events, clock
        self._thread = threading.Thread(target=self._run, name="engine-reader", daemon=True)
        self._stopping = threading.Event()
        self._engine: Engine | None = None  # any thread may close it
        # The thread's own.
        self._pause = 0.0
        self._reads_as: Incarnation | None = None
        self._last = 0  # the number of the last entry that was read of the node's stream
        self._last_spent = b"0-0"
        self._looked_at = 0.0  # when something proved that the stream is still there
        self._nudged_at = 0.0
        # Rooms to look at, and those of their members that something waits for.
        self._named: dict[str, set[int]] = {}

    def start(self) -> None:
        """Start the thread; it connects by itself."""
        self._thread.start()

    def stop(self) -> None:
        """End it, and join it."""
        self._stopping.set()
        self.reconnect()
        self._thread.join(limits.ENGINE_STOP_SECONDS)

    def reconnect(self) -> None:
        """Let go of the connection and make another, perhaps as another node."""
        if (engine := self._engine) is not None:
            engine.close()

    # The thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._engine is None:
                    self._connect()
                self._turn()
                self._pause = 0.0
                continue
            except CannotConnect as error:
                refused = error.reason == "engine" and error.command == "AUTH"
                longer = limits.ENGINE_LOGIN_PAUSE if refused else self._longer_pause()
            except (EngineLost, Unavailable):  # the last: nonsense, or there is no node just now
                longer = self._longer_pause()
            except Exception:
                tell_failure()
                longer = limits.ENGINE_PAUSE_MOST
            self._drop()
            self._pause = longer
            self._stopping.wait(self._pause)
        self._drop()

    def _longer_pause(self) -> float:
        return min(limits.ENGINE_PAUSE_MOST, max(limits.ENGINE_PAUSE, 2 * self._pause))

    def _connect(self) -> None:
        engine = self._connector.connect(limits.READER_REPLY_SECONDS)
        self._engine = engine
        if self._stopping.is_set() or not self._events.connected(engine):
            raise EngineLost
        if self._reads_as is not None and self._reads_as == self._node():
            self._compare(self._rooms.all())

    def _drop(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.release()

    def _turn(self) -> None:
        """Wait for something to do, and do it."""
        node = self._node()
        if node != self._reads_as:
            self._begin(node)
        for key in self._rooms.take_unread():
            self._name(key)
        self._wait(node)
        if self._clock() - self._looked_at >= limits.READER_BLOCK_SECONDS:
            self._look_around(node)
        if self._clock() - self._nudged_at >= limits.READER_BLOCK_SECONDS:
            self._nudge()
        # Once each, so that what was spent is read in between however much is said.
        named = list(self._named)
        for start in range(0, len(named), limits.STREAMS_AT_ONCE):
            self._follow(node, named[start : start + limits.STREAMS_AT_ONCE])

    def _begin(self, node: Incarnation) -> None:
        """Read as another node, from the beginning of its stream."""
        since = b"%d-0" % self._events.spent_since()
        command = ("XRANGE", keys.ledger(node), since, "+", "COUNT", limits.SPENT_AT_ONCE)
        [reply] = self._ask([command])
        spent = _entries(reply)
        self._reads_as, self._last, self._named = node, 0, {}
        self._last_spent = spent[-1][0] if spent else since
        self._looked_at = self._clock()
        if spent:
            self._tell(self._events.spent, spent)

    # The node's own stream

    def _wait(self, node: Incarnation) -> None:
        """Until something comes, unless there is something to do already."""
        longest = round(limits.READER_BLOCK_SECONDS * 1000)
        block: list[Arg] = [] if self._named else ["BLOCK", longest]
        wake, ledger = keys.wake(node), keys.ledger(node)
        places = (wake, ledger, f"1-{self._last}", self._last_spent)
        command: list[Arg] = ["XREAD", "COUNT", limits.WAKES_AT_ONCE, *block, "STREAMS", *places]
        [reply] = self._ask([command])
        spent = _streams(reply).get(ledger.encode())
        if spent:
            self._last_spent = spent[-1][0]
            self._tell(self._events.spent, spent)
        self._read_wakes([each for each in reply or () if each[0] != ledger.encode()])

    def _read_wakes(self, reply: object) -> int:
        """Heed what a reply has of the node's own stream; how much that was."""
        entries = [entry for each in _streams(reply).values() for entry in each]
        missed = False
        for number, fields in map(read_wake, entries):
            missed = missed or number != self._last + 1
            self._last = number
            for field, value in fields:
                self._heed(field, value)
        if missed:
            self._miss()
        if entries:
            self._looked_at = self._clock()
        return len(entries)

    def _heed(self, field: bytes, value: bytes) -> None:
        """One thing that the stream says; what is not known is of a later version."""
        text = value.decode("utf-8", "replace")
        if field == b"r":
            self._name(text)
        elif field == b"m":
            key, _, member_id = text.partition("\n")
            if member_id.isdecimal():
                self._name(key).add(int(member_id))
        elif field == b"s":
            fingerprint, n, reason = (text.split("\n") + ["", ""])[:3]
            if n.isdecimal():
                self._tell(self._events.session, fingerprint, int(n), reason)
        elif field == b"t":
            self._tell(self._events.table, text)
        elif field == b"a":
            self._tell(self._events.announce, value)

    def _name(self, key: str) -> set[int]:
        """Have a room looked at; the set of its members whose private streams are, too."""
        return self._named.setdefault(key, set())

    def _look_around(self, node: Incarnation) -> None:
        """Whether the engine still has what it had: of a stream that is gone it says nothing."""
        wake = ("XRANGE", keys.wake(node), f"1-{self._last}", "+", "COUNT", 1)
        epoch, found = self._ask([("GET", keys.epoch(node.prefix)), wake])
        self._looked_at = self._clock()
        if epoch != node.epoch.encode():
            self._forget()
        if not found:  # the last one is never trimmed: this is another stream, or none
            self._last = 0
            self._miss()

    def _nudge(self) -> None:
        """Have asked once more for those who are behind, and for whom that came to nothing."""
        self._nudged_at = self._clock()
        for room in self._rooms.all():
            if room.has_unasked:
                self._make_round(room)

    def _forget(self) -> NoReturn:
        self._tell(self._events.forgotten)
        raise EngineLost

    def _miss(self) -> None:
        """Something was not told: look at everything."""
        rooms = self._rooms.all()
        for room in rooms:
            room.read_all()
            self._name(room.key)
        self._compare(rooms)
        self._tell(self._events.missed)

    # Rooms

    def _follow(self, node: Incarnation, keys_of: Sequence[str]) -> None:
        """Read and apply what comes next in these rooms; what has more is named again."""
        named = {key: self._named.pop(key) for key in keys_of}
        try:
            rooms = [room for key in named if (room := self._rooms.follow(key)) is not None]
            if rooms:
                self._follow_rooms(node, rooms, named)
            self._pass_over(node, named.keys() - {room.key for room in rooms})
        except BaseException:
            for key, member_ids in named.items():
                self._name(key).update(member_ids)
            raise

    def _pass_over(self, node: Incarnation, keys_of: Iterable[str]) -> None:
        """Of these rooms there is no mirror: of what comes from now on this node is told anew."""
        marks = {key: _unmark(node, key) for key in keys_of}
        if marks:
            self._ask(list(marks.values()))
        for key in marks:
            if self._rooms.follow(key) is not None:  # it was made meanwhile
                self._name(key)

    def _follow_rooms(
        self, node: Incarnation, rooms: list[MirrorRoom[Owner]], named: dict[str, set[int]]
    ) -> None:
        followed, touched = tuple(rooms), set[MirrorRoom[Owner]]()
        joined = set[MirrorRoom[Owner]]()
        try:
            for room in followed:
                room.follow(True)
            logs = self._read_logs(node, rooms, named)
            joined.update(room for room in rooms if _are_joins(logs[room]))
            touched.update(room for room in rooms if logs[room] and room not in joined)
            places = _unread(rooms, lambda room: room.to_read(named[room.key]))
            touched.update(place.room for place in places)
            self._read_private(node, places)
            for room in rooms:
                self._apply(node, room, logs[room])
            places = _unread(rooms, MirrorRoom.untold)  # of those that came into place just now
            touched.update(place.room for place in places)
            self._read_private(node, places)
            for room in rooms:
                if len(logs[room]) == limits.ENTRIES_AT_ONCE:
                    self._name(room.key)
        finally:
            for room in followed:
                room.follow(False)
            for room in touched:
                self._make_round(room)
            for room in joined - touched:
                self._tell_joined(room)

    def _read_logs(
        self, node: Incarnation, rooms: list[MirrorRoom[Owner]], named: dict[str, set[int]]
    ) -> dict[MirrorRoom[Owner], list[LogEntry]]:
        """What comes next in each log; a room where that is nonsense is taken out of ``rooms``.

        Who has something private that was written before the end of that is in ``named`` then.
        """
        names = [keys.log(node, room.key) for room in rooms]
        places = [f"{room.seq}-0" for room in rooms]
        command: list[Arg] = ["XREAD", "COUNT", limits.ENTRIES_AT_ONCE, "STREAMS", *names, *places]
        # What comes after this is told anew.
        marks = [_unmark(node, room.key) for room in rooms]
        # The node's own stream after the logs: it names what stands before the entries just read.
        *_gone, reply, wakes = self._ask([*marks, command, self._read_on(node)])
        streams = _streams(reply)
        found: dict[MirrorRoom[Owner], list[LogEntry]] = {}
        for name, room in zip(names, tuple(rooms), strict=True):
            try:
                found[room] = [read_log(raw) for raw in streams.get(name.encode(), ())]
            except Nonsense:
                self._rooms.discard(room)
                rooms.remove(room)
        while self._read_wakes(wakes) == limits.WAKES_AT_ONCE:
            [wakes] = self._ask([self._read_on(node)])
        for room, entries in found.items():
            wrapped = (each.wrapped_for for each in entries if isinstance(each, PostEntry))
            named[room.key].update(*wrapped)
            if room.key in self._named:  # to be looked at once more, but not for these
                named[room.key] |= self._named[room.key]
                self._named[room.key] = set()
        return found

    def _read_on(self, node: Incarnation) -> list[Arg]:
        """The command that reads the node's own stream without waiting."""
        place = f"1-{self._last}"
        return ["XREAD", "COUNT", limits.WAKES_AT_ONCE, "STREAMS", keys.wake(node), place]

    def _read_private(self, node: Incarnation, places: Iterable[_Unread]) -> None:
        """Read private streams to their ends, and say of whom."""
        left = list(places)
        while left:
            now, left = left[: limits.STREAMS_AT_ONCE], left[limits.STREAMS_AT_ONCE :]
            names = [keys.private(node, room.key, member_id) for room, member_id, _after in now]
            ids = [f"{after}-0" for _room, _member_id, after in now]
            command: list[Arg] = ["XREAD", "COUNT", limits.PRIVATE_AT_ONCE, "STREAMS", *names, *ids]
            [reply] = self._ask([command])
            streams = _streams(reply)
            for name, place in zip(names, now, strict=True):
                try:
                    entries = [read_private(raw) for raw in streams.get(name.encode(), ())]
                except Nonsense:
                    self._rooms.discard(place.room)
                    continue
                place.room.put_private(place.member_id, entries)
                if len(entries) == limits.PRIVATE_AT_ONCE:
                    left.append(place._replace(after=entries[-1].number))
                else:
                    place.room.tell([place.member_id])

    def _apply(
        self, node: Incarnation, room: MirrorRoom[Owner], entries: Sequence[LogEntry]
    ) -> None:
        try:
            room.apply(entries)
        except Gap:
            self._load(node, room)
        except Nonsense:
            self._rooms.discard(room)

    def _load(self, node: Incarnation, room: MirrorRoom[Owner]) -> None:
        """Have a room as it is now; what was between is lost to its members here."""
        [reply] = self._ask_scripts([calls.load(node, room.key, roster=True)])
        state = self._room_state(reply)
        if state is None or state.log_id != room.log_id.hex() or state.seq < room.seq:
            self._rooms.discard(room)
            return
        try:
            room.load(state.seq, state.roster)
        except Nonsense:
            self._rooms.discard(room)

    def _compare(self, rooms: Sequence[MirrorRoom[Owner]]) -> None:
        """Discard those that are not the engine's any more, and name all others.

        An engine that took the place of another one may have less.
        """
        assert self._reads_as is not None
        for start in range(0, len(rooms), limits.STREAMS_AT_ONCE):
            some = rooms[start : start + limits.STREAMS_AT_ONCE]
            asked = [calls.load(self._reads_as, room.key, roster=False) for room in some]
            for room, reply in zip(some, self._ask_scripts(asked), strict=True):
                state = self._room_state(reply)
                if state is None or state.log_id != room.log_id.hex() or state.seq < room.seq:
                    self._rooms.discard(room)
                else:  # also those that are level: another engine may think that this was told
                    self._name(room.key)

    def _room_state(self, reply: object) -> RoomState | None:
        try:
            return replies.load(reply)
        except (Forgotten, NodeFenced):
            self._forget()
        except BadReply:
            return None

    # The engine

    def _ask(self, commands: Sequence[Sequence[Arg]]) -> list[Any]:
        """Their replies.  Raises EngineLost, also where it refuses one."""
        assert self._engine is not None
        found = self._engine.run(commands)
        if any(isinstance(reply, EngineError) for reply in found):
            raise EngineLost
        return found

    def _ask_scripts(self, asked: Sequence[ScriptCall]) -> list[Any]:
        """The same of calls of one script, which is loaded where the engine does not know it."""
        assert self._engine is not None
        packed = [call.packed for call in asked]
        found = self._engine.run_packed(packed)
        if any(isinstance(reply, EngineError) for reply in found):
            self._ask([("SCRIPT", "LOAD", asked[0].script.text)])
            found = self._engine.run_packed(packed)
        if any(isinstance(reply, EngineError) for reply in found):
            raise EngineLost
        return found

    def _tell(self, listener: Callable[..., None], *args: object) -> None:
        """What fails there is told, and does not end the reader."""
        try:
            listener(*args)
        except Exception:
            tell_failure()


def _unmark(node: Incarnation, key: str) -> tuple[Arg, ...]:
    """The command after which this node is told once more to look at a room."""
    return ("HDEL", keys.nodes(node, key), keys.told(node))


def _are_joins(entries: Sequence[LogEntry]) -> bool:
    """Whether somebody has come, and nothing else has happened."""
    return bool(entries) and all(isinstance(each, JoinEntry) for each in entries)


def _unread(
    rooms: Iterable[MirrorRoom[Owner]], which: Callable[[MirrorRoom[Owner]], dict[int, int]]
) -> list[_Unread]:
    """The private streams that each room says are to be read."""
    return [_Unread(room, *place) for room in rooms for place in which(room).items()]


def _streams(reply: object) -> dict[bytes, list[Raw]]:
    """The entries of each stream that has some.  Raises EngineLost for what is no such reply."""
    if reply is None:
        return {}
    found: dict[bytes, list[Raw]] = {}
    if isinstance(reply, list):
        for each in reply:
            if isinstance(each, list) and len(each) == 2 and isinstance(each[0], bytes):
                found[each[0]] = _entries(each[1])
        if len(found) == len(reply):
            return found
    raise EngineLost


def _entries(reply: object) -> list[Raw]:
    """Entries of a stream, not looked into yet.  Raises EngineLost."""
    if isinstance(reply, list) and all(
        isinstance(each, list) and len(each) == 2 and isinstance(each[0], bytes) for each in reply
    ):
        return reply
    raise EngineLost
