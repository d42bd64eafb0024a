"""The views that there are, in order, and the one that is shown: rooms first, then people.

Not thread-safe: the session's lock covers it.  ``shown`` may be read at any moment.
"""

from __future__ import annotations

from collections.abc import Iterable

from client.views import PersonTarget, RoomTarget, View, person_target, room_target
from protocol.names import nick_key

PEOPLE = 32  # views of people; one more takes the place of the one that was of use longest ago


class ViewList:
    """``room``: the one that is shown first."""

    def __init__(self, room: str) -> None:
        first = room_target(room)
        self.shown: View = first
        self.room: RoomTarget = first  # shown, or shown last
        self.writer: str | None = None  # key: who has written privately last
        self._rooms: list[RoomTarget] = [first]
        self._people: list[PersonTarget] = []
        self._used: dict[str, int] = {first.key: 0}  # key: a view's; when it was of use last
        self._unread: set[str] = set()  # keys of people whose messages were not shown
        self._uses = 0

    def all(self) -> tuple[View, ...]:
        """All of them, in order."""
        return (*self._rooms, *self._people)

    def find(self, key: str) -> View | None:
        """The view with this key, as it is called now."""
        return next((view for view in self.all() if view.key == key), None)

    def person(self, nick: str) -> PersonTarget | None:
        """The view of whoever was seen with this nickname, the latest if there are several."""
        wanted = nick_key(nick)
        return next((one for one in reversed(self._people) if nick_key(one.nick) == wanted), None)

    # Each of these says whether something has changed.

    def show(self, view: View) -> bool:
        """Show one of them."""
        before, self.shown = self.shown, view
        self._use(view)
        self._unread.discard(view.key)
        if isinstance(view, RoomTarget):
            self.room = view
        return before.key != view.key

    def take_rooms(self, names: Iterable[str]) -> bool:
        """These rooms are open now.  If the one that is shown is none of them any more, another
        one is shown: the room that was last."""
        before = self._rooms
        self._rooms = [room_target(name) for name in names]
        self._forget_gone()
        left = {view.key for view in self._rooms}
        if self._rooms and self.room.key not in left:
            self.room = max(self._rooms, key=lambda view: self._used.get(view.key, -1))
        if self.find(self.shown.key) is None:
            self.show(self.room)
        return [view.room for view in before] != [view.room for view in self._rooms]

    def meet(self, nick: str, sign: bytes, wrote: bool = False) -> tuple[PersonTarget, bool]:
        """The view of a person, who has a message in it, or is written to."""
        found = person_target(nick, sign)
        place = next((at for at, one in enumerate(self._people) if one.key == found.key), None)
        changed = True
        if place is None:
            self._make_room()
            self._people.append(found)
        else:
            changed = self._people[place].nick != nick
            self._people[place] = found
            if self.shown.key == found.key:
                self.shown = found
        self._use(found)
        if wrote:
            self.writer = found.key
            if self.shown.key != found.key:
                self._unread.add(found.key)
        return found, changed

    def close(self, person: PersonTarget) -> bool:
        """The view of a person goes; if it was shown, the room is that was shown last."""
        before = len(self._people)
        self._people = [one for one in self._people if one.key != person.key]
        self._forget_gone()
        if self.shown.key == person.key:
            self.show(self.room)
        return len(self._people) != before

    def _use(self, view: View) -> None:
        self._uses += 1
        self._used[view.key] = self._uses

    def _make_room(self) -> None:
        while len(self._people) >= PEOPLE:
            others = [one for one in self._people if one.key != self.shown.key]
            read = [one for one in others if one.key not in self._unread]
            gone = min(read or others, key=lambda one: self._used[one.key])
            self._people.remove(gone)
            self._forget_gone()

    def _forget_gone(self) -> None:
        left = {view.key for view in self.all()}
        self._used = {key: use for key, use in self._used.items() if key in left}
        self._unread &= left
        if self.writer not in left:
            self.writer = None
