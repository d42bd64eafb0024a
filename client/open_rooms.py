"""The rooms that are open, in the order in which they were opened: which `entered`, `roster` or
frame of a log belongs to which of them, and that nobody is led elsewhere.

Where a server leads people elsewhere, their room's secret would not count, and what they type would
reach whoever it puts there.  Not thread-safe: the session's lock covers it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from client.entrance import Arrival, Entrance, Place
from client.open_room import OpenRoom
from protocol import frames
from protocol.errors import Unexpected
from protocol.limits import ROOM_MEMBERS, ROOMS_OF_ONE
from protocol.names import room_key


class OpenRooms:
    """``rooms``: those to begin with, one at least; ``roams``: the first of them goes elsewhere
    with `/room`, and so does the one that takes its place."""

    def __init__(self, rooms: Sequence[str], roams: bool) -> None:
        self._numbers = 0
        self._list: list[Entrance] = []
        for room in rooms[:ROOMS_OF_ONE]:
            self.open(room)
        self.roaming = self._list[0] if roams else None
        self.steps = 0  # members of the rooms that one comes into: it grows
        self.connected = False  # whether the server has let this client in
        self._resumed = False  # the session goes on, as `welcome` had it
        self._asked: list[Entrance] = []  # by the last `confirm`, also one that is under way
        self._arrival: Arrival | None = None
        # key: number of a room that one is leaving; the request that says so, and its view's key
        self._leaving: dict[int, tuple[int, str]] = {}

    def __iter__(self) -> Iterator[Entrance]:
        return iter(tuple(self._list))

    def __contains__(self, entrance: Entrance) -> bool:
        return entrance in self._list

    def find(self, room: str) -> Entrance | None:
        """The open room of this name; that which one comes to, if it is left as well."""
        return self._newest(each for each in self._list if each.is_called(room))

    def led_to(self, room: str) -> Entrance | None:
        """Where a request for this name leads: of several the first in which one is not yet, since
        who goes there and back comes into each in turn."""
        found = (e for e in self._list if e.is_called(room) and e.place is not Place.HERE)
        return min(found, key=lambda each: each.number, default=self.find(room))

    def by_key(self, key: str) -> Entrance | None:
        """The open room with this view, likewise."""
        return self._newest(each for each in self._list if each.key == key)

    def next_of(self, key: str) -> Entrance | None:
        """Likewise, but first that which is left: the next line is for that, as long as it is."""
        found = (each for each in self._list if each.key == key)
        return min(found, key=lambda each: each.number, default=None)

    def _newest(self, found: Iterable[Entrance]) -> Entrance | None:
        return max(found, key=lambda each: each.number, default=None)

    def numbered(self, number: int | None) -> Entrance | None:
        """The one with this number."""
        return next((each for each in self._list if each.number == number), None)

    def is_left(self, entrance: Entrance) -> bool:
        """Whether one goes from there to another room."""
        return any(each.origin is entrance for each in self._list)

    def names(self) -> list[str]:
        """Their names, in order."""
        return list({each.key: each.name for each in self._list}.values())

    @property
    def full(self) -> bool:
        """Whether one may be in no more rooms."""
        return sum(each.origin is None for each in self._list) >= ROOMS_OF_ONE

    @property
    def live(self) -> bool:
        """Whether one is in any room just now."""
        for each in self._list:  # written out: each message asks several times
            if each.place is Place.HERE:
                return True
        return False

    @property
    def settled(self) -> bool:
        """Whether one is in all of them, and nothing is asked for or about to be."""
        if self._arrival is not None or self._asked:
            return False
        for each in self._list:
            if each.place is not Place.HERE or each.retry_at is not None:
                return False
        return bool(self._list)

    @property
    def placed(self) -> bool:
        """Whether the log of each has come to the change that was accepted last."""
        for each in self._list:
            if each.stay is not None and each.stay.seq < each.stay.awaited:
                return False
        return True

    @property
    def entered_any(self) -> bool:
        """Whether one was ever in one of them."""
        return any(each.stay is not None for each in self._list)

    @property
    def is_awaited(self) -> bool:
        """Whether the server has yet to lead into a room, or to say who is there."""
        if self._arrival is not None:
            return True
        return any(each.place is Place.ASKED for each in self._asked)

    # Opening and closing

    def open(
        self, room: str, origin: Entrance | None = None, guarded: bool = False
    ) -> Entrance:
        """One more, at the end, or in the place of the one that one goes there from."""
        self._numbers += 1
        entrance = Entrance(room, self._numbers, guarded)
        place = len(self._list) if origin is None else self._list.index(origin)
        self._list.insert(place, entrance)
        entrance.origin = origin
        return entrance

    def close(self, entrance: Entrance) -> None:
        """It is open no more; who was to go elsewhere from there, goes there all the same."""
        self._list.remove(entrance)
        if self.roaming is entrance:
            self.roaming = None
        if self._arrival is not None and self._arrival.entrance is entrance:
            self._arrival.entrance = None
        for other in self._list:
            if other.origin is entrance:
                other.origin = None

    def leaves(self, at: int, ref: int, key: str) -> None:
        """The request ``ref`` leads out of room ``at``, whose view was that of ``key``: what comes
        of it is nothing to anybody."""
        self._leaving[at] = ref, key

    def is_leaving(self, at: int) -> bool:
        """Whether ``at`` is a room that one is leaving."""
        return at in self._leaving

    def has_left(self, ref: int) -> None:
        """The request ``ref`` is answered: nothing more can come of the room."""
        self._leaving = {at: each for at, each in self._leaving.items() if each[0] != ref}

    # Connections

    def stays(self, is_asked_for: Callable[[Entrance], bool]) -> tuple[frames.Stay, ...]:
        """What a handshake asks for: all but those that a request under way asks for, or leads out
        of before one comes there again, or that one goes to from another."""
        left = {key for _ref, key in self._leaving.values()}
        wanted = [each for each in self._list if each.origin is None]
        named = [
            each
            for each in wanted
            if each.stay or not (is_asked_for(each) or each.key in left)
        ]
        self._asked = named or wanted
        return tuple(each.stay_to_ask() for each in self._asked)

    def is_named(self, entrance: Entrance) -> bool:
        """Whether a `confirm` that is under way, or was answered last, asks for it."""
        return entrance in self._asked

    def begin(self, resumed: bool, under_way: Callable[[int], bool]) -> None:
        """The server has let this client in; ``under_way`` says whether a request still is."""
        self.connected, self._resumed = True, resumed
        self._leaving = {
            at: each for at, each in self._leaving.items() if resumed and under_way(each[0])
        }
        for each in self._asked:
            each.place = Place.ASKED
        for each in [] if resumed else self._list:
            each.is_departing = False

    def lost(self) -> None:
        """The connection is gone."""
        self.connected = False
        self._arrival = None
        for each in self._list:
            each.place = Place.AWAY

    def positions(self) -> tuple[frames.Position, ...]:
        """How far one has come in each."""
        stays = [each.stay for each in self._list if each.place is Place.HERE and each.stay]
        return tuple(frames.Position(stay.at, stay.seq, stay.number) for stay in stays)

    # Frames.  Each raises Unexpected for what nobody has asked for.

    def entered(self, entered: frames.Entered, request: frames.Request | None) -> Entrance | None:
        """``request``: what is under way and has the frame's ref.  The room that goes on with it,
        None if members follow, or if it is not open any more."""
        if self._arrival is not None:
            raise Unexpected()
        entrance = self._expected(entered, request)
        if entered.resumed and not entered.members:
            if entrance is not None:
                entrance.place = Place.HERE
            return entrance
        if entered.resumed or not 1 <= entered.members <= ROOM_MEMBERS:
            raise Unexpected()
        returning = entrance is not None and entrance.place is Place.ASKED and request is None
        self._arrival = Arrival(entered, entrance, returning)
        if entrance is not None:
            entrance.place = Place.ARRIVING
        return None

    def _expected(
        self, entered: frames.Entered, request: frames.Request | None
    ) -> Entrance | None:
        """The open room that it is about; None for one that is not open any more."""
        entrance = self.led_to(entered.room)
        others = (each for each in self._list if not each.is_called(entered.room))
        if any(each.is_at(entered) for each in others):
            raise Unexpected()
        if isinstance(request, frames.Enter):
            wanted = room_key(request.room) == room_key(entered.room)
            if entered.resumed or not wanted or (entrance and entrance.place is Place.HERE):
                raise Unexpected()
            self._asked = [each for each in self._asked if each is not entrance]
            return entrance
        if entered.ref is not None and not self._resumed:
            raise Unexpected()  # where a session goes on, it may be that of an old request
        asked = self._waiting(entered.room)
        if asked is not None:
            return self._returned(entered, asked)
        if not entered.resumed and self.is_leaving(entered.at):
            return None
        known = next((each for each in self._list if each.goes_on(entered)), None)
        if entered.resumed or known is None or not known.is_called(entered.room):
            raise Unexpected()
        # It has fallen behind; or it was entered while `confirm` was under way.
        behind = known.place is Place.HERE and entered.ref is None
        if not behind and not (self._resumed and known.place is Place.AWAY):
            raise Unexpected()
        return known

    def _waiting(self, room: str) -> Entrance | None:
        """What `confirm` has asked for on this connection, and has no answer yet."""
        waiting = (each for each in self._asked if each.place is Place.ASKED)
        return next((each for each in waiting if each.is_called(room)), None)

    def _returned(self, entered: frames.Entered, asked: Entrance) -> Entrance | None:
        """``confirm`` has asked for it."""
        if entered.resumed and not (self._resumed and asked.goes_on(entered)):
            raise Unexpected()
        if self._resumed and asked.stay is not None and not asked.goes_on(entered):
            raise Unexpected()
        self._asked.remove(asked)
        if asked in self._list:
            return asked
        again = self.find(entered.room)  # closed, and opened again since
        return None if again is None or again.stay is not None or entered.resumed else again

    def roster(self, roster: frames.Roster) -> Arrival | None:
        """The arrival that is complete with these members."""
        arrival = self._arrival
        if arrival is None:
            raise Unexpected()
        self.steps += len(roster.members)
        arrival.roster.extend(roster.members)
        if len(arrival.roster) > arrival.entered.members:
            raise Unexpected()
        if len(arrival.roster) < arrival.entered.members:
            return None
        self._arrival = None
        return arrival

    def refused(self, room: str) -> Entrance | None:
        """The server does not lead into a room that `confirm` has asked for; None if it is not
        open any more."""
        asked = self._waiting(room)
        if asked is None or self._arrival is not None:
            raise Unexpected()
        self._asked.remove(asked)
        asked.place = Place.AWAY
        return asked if asked in self._list else None

    def taking(self, at: int) -> OpenRoom | None:
        """The stay that a frame for the room ``at`` belongs to; None for one that one leaves."""
        if self._arrival is not None:
            raise Unexpected()
        holder = self._holder(at)
        if holder is not None:
            return holder.stay
        if self.is_leaving(at):
            return None
        raise Unexpected()

    def _holder(self, at: int) -> Entrance | None:
        for each in self._list:
            if each.place is Place.HERE and each.stay is not None and each.stay.at == at:
                return each
        return None
