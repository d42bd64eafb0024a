"""Opening, changing and leaving rooms: as a person wants it, and as the server lets one.

    /join R       opens R beside the others
    /room R       shows R if it is open; else the room that roams is left for it, in one step
    /leave R      closes R, after the lines that were typed there before

A room is in the list from the moment on that somebody wants it, and lines that are typed for it
wait; where the server does not lead there, it is closed, and they are handed back.  Not
thread-safe: the session's lock covers it.  What is to be seen is returned.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from client import messages, refusals
from client.entrance import Entrance, Place
from client.events import Error, Event, Notice, RoomLeft, Tag
from client.open_rooms import OpenRooms
from client.outbox import LIMITED, Departure, Outbox
from client.room_secrets import RoomSecrets
from client.view_list import ViewList
from client.views import room_target
from i18n import _
from protocol import frames
from protocol.errors import Unexpected
from protocol.limits import ROOMS_OF_ONE
from protocol.safe_text import visible

MOST_TRIES = 20  # of a room into which too many come just now
MOST_OPEN = 2 * ROOMS_OF_ONE  # with those that are to be left for another one


class RoomMoves:
    """Changes ``rooms``, and with them ``views`` and what waits in the ``outbox``."""

    def __init__(
        self,
        rooms: OpenRooms,
        outbox: Outbox,
        views: ViewList,
        secrets: RoomSecrets,
        clock: Callable[[], float],
    ) -> None:
        self._rooms, self._outbox, self._views = rooms, outbox, views
        self._secrets, self._clock = secrets, clock

    # By a person

    def go(self, room: str, tag: Tag) -> list[Event]:
        """Show ``room``; if it is not open, go there from the room that roams, or open it."""
        rooms, known = self._rooms, self._rooms.find(room)
        if known is not None and not rooms.is_left(known):
            return self._stay(known)
        origin = rooms.roaming
        if len(list(rooms)) >= MOST_OPEN or (origin is None and rooms.full):
            return [refusals.error("too_many_rooms", tag)]
        rooms.roaming = entrance = rooms.open(room, origin, self._is_guarded())
        entrance.tag = tag
        if origin is not None:
            self._outbox.depart(origin.key, origin.number, entrance.number, tag)
        return self._show(entrance)

    def join(self, room: str, tag: Tag) -> list[Event]:
        """Show ``room``, which is opened beside the others if it is not open; it stays."""
        rooms, entrance = self._rooms, self._rooms.find(room)
        if entrance is not None and not rooms.is_left(entrance):
            if rooms.roaming is entrance:
                rooms.roaming = None
            return self._stay(entrance)
        if rooms.full or len(list(rooms)) >= MOST_OPEN:
            return [refusals.error("too_many_rooms", tag)]
        entrance = rooms.open(room, guarded=self._is_guarded())
        entrance.tag = tag
        return self._show(entrance)

    def leave(self, entrance: Entrance, tag: Tag) -> None:
        """Close a room, once the lines that were typed there are answered."""
        if not self.is_leaving(entrance):
            self._outbox.depart(entrance.key, entrance.number, None, tag)

    def is_last(self, entrance: Entrance) -> bool:
        """Whether no other room is open, or none that stays."""
        others = (each for each in self._rooms if each is not entrance)
        return all(map(self.is_leaving, others))

    def is_leaving(self, entrance: Entrance) -> bool:
        """Whether a room is to be left, for another one or none."""
        return self._rooms.is_left(entrance) or bool(self._leaves(entrance))

    def _leaves(self, entrance: Entrance) -> list[Departure]:
        """What waits to close it."""
        departures = self._outbox.departures(entrance.key, entrance.number)
        return [each for each in departures if each.to is None]

    def _is_guarded(self) -> bool:
        entrance = self._rooms.by_key(self._views.room.key)
        return entrance is not None and entrance.guarded

    def _stay(self, entrance: Entrance) -> list[Event]:
        """Show a room that is open, and was perhaps to be closed."""
        self._outbox.cancel(self._leaves(entrance))
        return self._show(entrance)

    def _show(self, entrance: Entrance) -> list[Event]:
        if self._views.shown.key == entrance.key:
            return [Notice(_("You are in this room already."))]
        self.refresh()
        self._views.show(self._views.find(entrance.key) or room_target(entrance.name))
        return self._views.news()

    def refresh(self) -> None:
        """Have the views be those of the rooms that are open."""
        names = self._rooms.names()
        self._views.take_rooms(
            [room_target(name, bool(self._secrets.secret(name))) for name in names]
        )

    # As things allow

    def enter_open(self) -> None:
        """Ask for each room that nobody has asked for on this connection."""
        now = self._clock()
        for each in self._rooms:
            if each.place is not Place.AWAY or each.origin is not None or each.is_departing:
                continue
            if each.retry_at is not None and each.retry_at > now:
                continue
            if any(other.key == each.key for other in self._rooms if other is not each):
                continue  # it is left first
            each.place, each.retry_at = Place.ASKED, None
            if not self.is_asked_for(each):
                self._outbox.ask(partial(frames.Enter, room=each.name), each.tag)

    def is_asked_for(self, entrance: Entrance) -> bool:
        """Whether a request under way leads there."""
        return any(entrance.is_called(each.room) for each in self._under_way())

    def _under_way(self) -> list[frames.Enter]:
        """The requests that lead somewhere and are not answered."""
        requests = self._outbox.requests.values()
        return [each for each in requests if isinstance(each, frames.Enter)]

    def retry_at(self) -> float | None:
        """When a room is asked for again, by the clock."""
        times = [each.retry_at for each in self._rooms if each.retry_at is not None]
        return min(times, default=None)

    def depart(self, departure: Departure) -> list[Event] | None:
        """Leave a room, or the list of rooms; None: not yet."""
        origin = self._rooms.numbered(departure.origin)
        target = self._rooms.numbered(departure.to)
        if origin is None or (departure.to is not None and target is None):
            self._outbox.take(departure)
            return []
        at = None if origin.stay is None else origin.stay.at
        is_in = at is not None and origin.place is Place.HERE
        if origin.place in (Place.ASKED, Place.ARRIVING) or origin.is_departing:
            return None
        if origin.origin is not None:
            return None  # one has yet to come there
        if not is_in and self._rooms.is_named(origin):
            return None  # the server may be about to lead there
        if not self._outbox.has_gone(departure, at):
            return None
        if target is not None and is_in:
            self._outbox.take(departure)
            origin.is_departing, target.place = True, Place.ASKED
            self._outbox.ask(partial(frames.Enter, room=target.name, leave=at), departure.tag)
            return []
        others = [each for each in self._rooms if each is not origin]
        if is_in and others and not any(each.here for each in others):
            return None  # the last one that one is in is not left before there is another
        self._outbox.take(departure)
        if not others:
            return []
        return self._leave(origin)

    def _leave(self, origin: Entrance) -> list[Event]:
        """Close a room, and tell the server, at the latest when the session goes on."""
        stay = origin.stay
        if stay is not None:
            is_in = origin.place is Place.HERE
            tell = self._outbox.ask if is_in else self._outbox.prepare
            if is_in or not self._rooms.connected:
                ref = tell(partial(frames.Leave, at=stay.at))
                self._rooms.leaves(stay.at, ref, origin.key)
        return self.close(origin)

    def close(self, entrance: Entrance) -> list[Event]:
        """It is open no more; lines that wait there are handed back."""
        outbox, rooms = self._outbox, self._rooms
        found = [] if entrance.stay is None else outbox.settle(entrance.stay.at)
        outbox.cancel(outbox.departures(entrance.key, entrance.number))
        if all(each is entrance or each.key != entrance.key for each in rooms):
            found += outbox.empty_view(entrance.key, "left_room")
        origin = entrance.origin
        if rooms.roaming is entrance and origin is not None:
            rooms.roaming = origin
        rooms.close(entrance)
        if origin is not None and self._views.shown.key == entrance.key:
            self._views.show(room_target(origin.name))
        self.refresh()
        return [*found, RoomLeft(entrance.name), *self._views.news()]

    # By the server

    def begin_anew(self) -> None:
        """Another session: what was asked for is asked for again, before what was typed since."""
        for each in self._rooms:
            origin = each.origin
            if origin is None:
                continue
            waiting = self._outbox.departures(origin.key, origin.number)
            if all(other.to != each.number for other in waiting):
                self._outbox.depart(origin.key, origin.number, each.number, each.tag, again=True)

    def arrived(self, request: frames.Request | None) -> list[Event]:
        """A room is entered by ``request``, which may have led out of another one."""
        if not isinstance(request, frames.Enter) or request.leave is None:
            return []
        for each in self._rooms:
            if each.is_departing and each.stay is not None and each.stay.at == request.leave:
                self._rooms.leaves(request.leave, request.ref, each.key)
                return self.close(each)
        return []

    def refused(
        self, refused: frames.Refused, request: frames.Enter, tag: Tag
    ) -> list[Event]:
        """A request that was to lead into a room is refused."""
        entrance = self._rooms.led_to(request.room)
        for each in self._rooms:
            if each.stay is not None and each.stay.at == request.leave:
                each.is_departing = False
        if entrance is None or not self._was_asked(entrance):
            return [refusals.refused(refused, tag, request.room)]
        if (entrance.stay or entrance.tries) and self._may_retry(entrance, refused):
            return self._retry(entrance, refused)
        return self._closed(entrance, refusals.refused(refused, tag, request.room))

    def _was_asked(self, entrance: Entrance) -> bool:
        """Whether the server is to lead there: asked for now, or by a move before the connection
        was lost, which is under way again."""
        origin = entrance.origin
        if entrance.place is not Place.AWAY or origin is None:
            return entrance.place is Place.ASKED
        waiting = self._outbox.departures(origin.key, origin.number)
        return all(each.to != entrance.number for each in waiting)

    def not_let_in(self, refused: frames.Refused) -> list[Event]:
        """A room that the handshake has asked for is refused."""
        entrance = self._rooms.refused(refused.room or "")
        if entrance is None:
            return []
        stay = entrance.stay
        moved = stay is not None and any(each.leave == stay.at for each in self._under_way())
        if refused.code == "gone" and moved:
            return []  # the answer of that request was lost, and comes again
        if refused.code == "gone" and entrance.stay is None:
            return []  # one was not in there yet, and asks for it now
        if self._may_retry(entrance, refused):
            return self._retry(entrance, refused)
        error = refusals.refused(refused, None, entrance.name)
        if refused.code == "gone":
            text = _("You are no longer in {room}; /join {room} goes there again.")
            error = Error("gone", text.format(room=visible(entrance.name)), room=entrance.name)
        return self._closed(entrance, error)

    def _may_retry(self, entrance: Entrance, refused: frames.Refused) -> bool:
        return refused.code in LIMITED and entrance.tries < MOST_TRIES

    def _retry(self, entrance: Entrance, refused: frames.Refused) -> list[Event]:
        entrance.tries += 1
        wait = max(refused.retry_after or 0.0, 1.0)
        entrance.place, entrance.retry_at = Place.AWAY, self._clock() + wait
        text = _("Too many come and go in {room} just now: it is entered in {wait}.")
        shown = {"room": visible(entrance.name), "wait": messages.seconds(round(wait))}
        return [Notice(text.format(**shown), entrance.name)]

    def _closed(self, entrance: Entrance, error: Error) -> list[Event]:
        """``entrance`` is closed for ``error``; who wanted to go on from there, goes on.

        Raises Unexpected if it is the only one: then it is the connection that ends.
        """
        if len(list(self._rooms)) == 1:
            raise Unexpected()
        origin = entrance.origin
        followers = [each for each in self._rooms if each.origin is entrance]
        found: list[Event] = [error, *self.close(entrance)]
        if origin is not None:
            for each in followers:
                self._go_on(origin, each)
        return found

    def _go_on(self, origin: Entrance, target: Entrance) -> None:
        """From ``origin``, in which one still is, to ``target``; which may be the same room again,
        and then one stays."""
        rooms, outbox = self._rooms, self._outbox
        if target.key != origin.key:
            target.origin = origin
            outbox.depart(origin.key, origin.number, target.number, target.tag)
            return
        beyond = [each for each in rooms if each.origin is target]
        waiting = outbox.departures(target.key, target.number)
        outbox.cancel(waiting)
        if rooms.roaming is target:
            rooms.roaming = origin
        rooms.close(target)
        for each in waiting:
            if each.to is None:
                outbox.depart(origin.key, origin.number, None, each.tag)
        for other in beyond:
            self._go_on(origin, other)
