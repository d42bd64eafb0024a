"""One open room, and the way into it: what was asked for, and what has come of it.

    away      no connection, or not asked for on this one    `confirm` or `enter`: asked
    asked     the server is to lead there                    `entered` resumes: here; else arriving
    arriving  `entered` has come, not the whole roster       the rest of the roster: here
    here      in the room; lines can be sent                 `entered`, fallen behind: arriving

A lost connection leads from anywhere to ``away``.  Which room is arriving, of all of them, is known
to ``OpenRooms``: a roster says no room's name.
"""

from __future__ import annotations

from enum import Enum

from client.events import Tag
from client.open_room import OpenRoom
from client.views import room_target
from protocol import frames
from protocol.dataclass import dataclass, field
from protocol.names import room_key


class Place(Enum):
    """How far one has come into a room."""

    AWAY = "away"
    ASKED = "asked"
    ARRIVING = "arriving"
    HERE = "here"


class Entrance:
    """A room that is open: in the list of rooms, whether one is in it just now or not.

    ``stay`` is the one that one has there, or had when the connection was lost; None before the
    first.  ``key`` is that of its view, ``number`` its own: who leaves a room and comes back to it
    has both at once for a moment.  ``guarded``: everybody was verified where it was opened from.
    """

    def __init__(self, name: str, number: int, guarded: bool = False) -> None:
        self.name, self.number, self._guarded = name, number, guarded
        self.key = room_target(name).key
        self.place = Place.AWAY
        self.stay: OpenRoom | None = None
        # The room that one is going there from, in one step: until then it is not entered alone.
        self.origin: Entrance | None = None
        self.is_departing = False  # `enter` is under way that leads from here somewhere else
        self.retry_at: float | None = None  # by the clock: when it is asked for again
        self.tag: Tag = None  # of the command that has opened it
        self.tries = 0  # in which the server had no place there just now

    @property
    def here(self) -> OpenRoom | None:
        """The stay, if lines can be sent there."""
        return self.stay if self.place is Place.HERE and not self.is_departing else None

    @property
    def guarded(self) -> bool:
        """Whether whoever types here takes it that everybody is verified."""
        return self._guarded if self.stay is None else self.stay.encryption.all_verified()

    def is_called(self, room: str) -> bool:
        """Whether ``room`` is a name of this one."""
        return room_key(self.name) == room_key(room)

    def stay_to_ask(self) -> frames.Stay:
        """What a handshake asks for: to go on where one is, or to come in."""
        stay = self.stay
        if stay is None:
            return frames.Stay(self.name)
        return frames.Stay(stay.name, stay.log, stay.seq, stay.number)

    def is_at(self, entered: frames.Entered) -> bool:
        """Whether this is the room that ``entered`` says the number or the log of."""
        stay = self.stay
        if stay is None:
            return False
        return stay.log == entered.log or (self.place is Place.HERE and stay.at == entered.at)

    def goes_on(self, entered: frames.Entered) -> bool:
        """Whether ``entered`` is about the very stay that one has here."""
        return self.stay is not None and self.stay.is_same(entered)


@dataclass
class Arrival:
    """``entered`` has come, and not yet the whole roster.  ``entrance`` is None for a room that is
    not open any more: it is left at once.  ``returning``: it is the answer to `confirm`."""

    entered: frames.Entered
    entrance: Entrance | None
    returning: bool = False
    roster: list[frames.MemberLine] = field(default_factory=list)
