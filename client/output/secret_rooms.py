"""Rooms in which others use a secret that this client has not got, as messages tell. Pure."""

from __future__ import annotations

from client import events
from client.events import Event
from client.views import RoomTarget, room_target


class SecretRooms:
    """Changed by events: since a message that needs another secret, until one can be read."""

    def __init__(self) -> None:
        self._shut: set[str] = set()  # keys of views
        self._guarded: dict[str, bool] = {}  # by key: whether there is a secret here

    def take(self, event: Event) -> None:
        """See what an event tells."""
        if isinstance(event, events.Views):
            rooms = [view for view in event.views if isinstance(view, RoomTarget)]
            before, self._guarded = self._guarded, {room.key: room.guarded for room in rooms}
            self._shut = {
                key for key in self._shut
                if key in self._guarded and before.get(key, False) == self._guarded[key]
            }  # fmt: skip
        elif isinstance(event, events.Unreadable):
            if event.reason == "secret":
                self._shut.add(room_target(event.room).key)
        elif isinstance(event, events.Message):
            if not event.mine and not event.private:
                self._shut.discard(room_target(event.room).key)
        elif isinstance(event, events.RoomEntered | events.RoomLeft):
            self._shut.discard(room_target(event.room).key)

    def is_shut_out(self, event: events.Message) -> bool:
        """Whether a line of one's own is for people who cannot read it."""
        return event.mine and not event.private and room_target(event.room).key in self._shut

    def is_guarded(self, room: str) -> bool:
        """Whether this client has a secret there."""
        return self._guarded.get(room_target(room).key, False)
