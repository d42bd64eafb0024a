"""Which rooms a client is in, has asked for, and is leaving, by docs/PROTOCOL.md.

Part of ``tests/second_client.py``; nothing here is the program's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from tests import second_crypto as crypto
from tests.second_crypto import name_key, to_text
from tests.second_link import Broken
from tests.second_room import Memory, Room

Frame = dict[str, Any]


class Way(NamedTuple):
    """An `enter` that is not answered: the room that was asked for, and the stay that it ends."""

    room: str
    leave: Room | None


class Rooms:
    """All rooms of one client; ``warn`` hears what has to be said besides."""

    def __init__(
        self, identity: crypto.Identity, wanted: Iterable[str], warn: Callable[[str], None]
    ) -> None:
        self._me, self._warn = identity, warn
        self._memory = Memory()
        self.most = 0  # bytes of a text, as `welcome` says
        self.open: dict[bytes, Room] = {}  # key: room key; since `entered`
        self._wanted = {name_key(name): name for name in wanted}
        self._stays: dict[bytes, bool] = {}  # of `confirm`, not answered: whether with `log`
        self._entering: dict[int, Way] = {}  # key: ref
        self._leaving: dict[int, Room | None] = {}  # key: ref; the stay that it ends
        self._resumed = False
        self.coming: Room | None = None  # whose roster is to come next

    @property
    def whole(self) -> list[Room]:
        """Those whose roster is there."""
        return [room for room in self.open.values() if room.ready]

    @property
    def arrived(self) -> bool:
        """Whether all of `confirm` is answered, and every roster whole."""
        return not self._stays and bool(self.open) and len(self.whole) == len(self.open)

    def at(self, number: int) -> Room:
        """The room of a frame.  Raises Broken."""
        for room in self.whole:
            if room.at == number:
                return room
        raise Broken("a frame of no room that one is in")

    def positions(self) -> list[Frame]:
        """What `seen` says."""
        leaving = [*self._leaving.values(), *(way.leave for way in self._entering.values())]
        return [{"at": x.at, **x.position} for x in self.whole if x not in leaving]

    # On a new connection

    def stays(self, resume: bool) -> list[Frame]:
        """What `confirm` says: all that one was in, or wants to be in."""
        entering = {name_key(way.room) for way in self._entering.values()}
        found: list[Frame] = []
        for key, name in self._wanted.items():
            room = self.open.get(key)
            if resume and room is not None and room.ready:
                log = to_text(room.log_id)
                found.append({"room": name, "log": log, **room.position})
            elif key not in entering:
                found.append({"room": name})
        self._stays = {name_key(stay["room"]): "log" in stay for stay in found}
        return found

    def welcomed(self, resumed: bool, most: int) -> None:
        """The session goes on, or another one begins, and nothing is left of what was."""
        self._resumed, self.most, self.coming = resumed, most, None
        if not resumed:
            self.open.clear()
            self._entering.clear()
            self._leaving.clear()

    # Requests

    def asked(self, ref: int, kind: str, fields: Frame) -> None:
        """What leaves a room means the stay of that moment: a later one may have its number."""
        left = fields.get("leave" if kind == "enter" else "at")
        stay = next((room for room in self.whole if room.at == left), None)
        if kind == "enter":
            self._entering[ref] = Way(fields["room"], stay)
        elif kind == "leave":
            self._leaving[ref] = stay

    def accepted(self, ref: int) -> None:
        """The answer to a request."""
        way, left = self._entering.pop(ref, None), self._leaving.pop(ref, None)
        if way is not None and way.leave is not self.open.get(name_key(way.room)):
            left = way.leave
        for key in [key for key, room in self.open.items() if room is left]:
            self._drop(key)

    def refused(self, ref: int) -> None:
        self._entering.pop(ref, None)
        self._leaving.pop(ref, None)

    def stay_refused(self, name: str) -> None:
        """A room of `confirm` that one does not get.  Raises Broken."""
        key = name_key(name)
        if self._stays.pop(key, None) is None:
            raise Broken("refused a room that was not asked for")
        self._drop(key)

    def _drop(self, key: bytes) -> None:
        self.open.pop(key, None)
        self._wanted.pop(key, None)

    # Ways in

    def entered(self, frame: Frame, nicks: list[str], salt: bytes) -> Room:
        """The room that one is in now; its roster follows, unless it goes on.  Raises Broken."""
        if self.coming is not None:
            raise Broken("two ways in at once")
        key = name_key(frame["room"])
        if frame["resumed"]:
            return self._go_on(frame, key)
        if not 1 <= frame["members"] <= 256:
            raise Broken("no such number of members")
        room, again = self._way_in(frame, key)
        others = [each for each in self.open.values() if each is not room and each.key != key]
        room.enter(frame, nicks, salt, again)
        if any(each.at == room.at or each.log_id == room.log_id for each in others):
            raise Broken("two rooms in one")
        self.open[key] = self.coming = room
        self._wanted[key] = room.name
        return room

    def _go_on(self, frame: Frame, key: bytes) -> Room:
        room = self.open.get(key)
        with_log = self._stays.pop(key, False)
        if not self._resumed or not with_log or frame["members"] or room is None:
            raise Broken("resumed, and no place to resume")
        if not room.is_same(frame) or frame["seq"] != room.seq:
            raise Broken("resumed elsewhere")
        return room

    def _way_in(self, frame: Frame, key: bytes) -> tuple[Room, bool]:
        """A room, and whether it is begun anew."""
        room, ref = self.open.get(key), frame.get("ref")
        way = self._entering.get(ref) if ref is not None else None
        stay = self._stays.pop(key, None)
        if way is not None:
            if name_key(way.room) != key or (room is not None and not self._resumed):
                raise Broken("another room than the one that was asked for")
            return self._new(), False
        if stay is None and (room is None or ref is not None):
            raise Broken("a room that was not asked for")
        if room is None:
            return self._new(), False
        if not room.is_same(frame):
            raise Broken("led elsewhere")
        return room, True

    def _new(self) -> Room:
        return Room(self._me, self._memory, self._warn, self.most)

    def roster(self, lines: list[Frame]) -> None:
        """Members of the room that was entered last.  Raises Broken."""
        if self.coming is None:
            raise Broken("a roster of no room")
        self.coming.roster(lines)
        if self.coming.ready:
            self.coming = None
