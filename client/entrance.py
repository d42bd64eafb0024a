"""The way into rooms: what was asked for, what has come of it, and that nobody is led elsewhere.

Where a server leads people elsewhere, their room's secret would not count, and what they type would
reach whoever it puts there.

    away      no connection, or not let in yet             `entered` resumes: here; else arriving
    here      in a room; lines can be sent                 `entered` (after /room, or fallen behind)
    arriving  `entered` has come, not the whole roster     the rest of the roster: here
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from client.open_room import OpenRoom
from protocol import frames
from protocol.errors import Unexpected
from protocol.limits import ROOM_MEMBERS
from protocol.names import room_key


class Place(Enum):
    """Where this client is, while it is not arriving anywhere."""

    AWAY = "away"
    HERE = "here"


@dataclass
class Arrival:
    """``entered`` has come, and not yet the whole roster.  ``returning``: from being away."""

    entered: frames.Entered
    returning: bool
    roster: list[frames.MemberLine] = field(default_factory=list)


class Entrance:
    """Judges `entered` and `roster`.  Not thread-safe: the session's lock covers it.

    ``asked`` is the room that the last handshake has asked for.
    """

    def __init__(self, asked: str) -> None:
        self.asked = asked
        self.state: Place | Arrival = Place.AWAY

    @property
    def live(self) -> bool:
        """Whether lines can be sent: it is so in the room that one is about to leave, too."""
        if isinstance(self.state, Arrival):
            return not self.state.returning
        return self.state is Place.HERE

    @property
    def steps(self) -> int | None:
        """How many members of the room to come are known; None if none is to come."""
        if isinstance(self.state, Arrival):
            return len(self.state.roster)
        return 0 if self.state is Place.AWAY else None

    def lost(self) -> None:
        """The connection is gone."""
        self.state = Place.AWAY

    def entered(
        self, entered: frames.Entered, room: OpenRoom | None, request: frames.Request | None
    ) -> None:
        """``room``: where one was last; ``request``: what is under way and has the frame's ref.

        Raises Unexpected if nobody has asked for that, and it is not this very stay going on.
        """
        if isinstance(self.state, Arrival) or not self._expects(entered, room, request):
            raise Unexpected()
        self.state = Place.HERE if entered.resumed else Arrival(entered, not self.live)

    def _expects(
        self, entered: frames.Entered, room: OpenRoom | None, request: frames.Request | None
    ) -> bool:
        same = room is not None and room.is_same(entered)
        if entered.resumed:
            return same and not self.live
        if not 1 <= entered.members <= ROOM_MEMBERS:
            return False
        if entered.ref is not None:
            if not self.live or not isinstance(request, frames.Enter):
                return False
            wanted = request.room
        elif self.live:  # it has fallen behind
            return same and room is not None and room.is_called(entered.room)
        else:
            wanted = self.asked
        return room_key(entered.room) == room_key(wanted)

    def roster(self, roster: frames.Roster) -> Arrival | None:
        """The arrival that is complete with these members.  Raises Unexpected if they are too many,
        or nobody is arriving."""
        arrival = self.state
        if not isinstance(arrival, Arrival):
            raise Unexpected()
        arrival.roster.extend(roster.members)
        if len(arrival.roster) > arrival.entered.members:
            raise Unexpected()
        if len(arrival.roster) < arrival.entered.members:
            return None
        self.state = Place.HERE
        return arrival
