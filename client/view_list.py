"""The views that there are, in order, and the one that is shown: rooms first, then people.

Not thread-safe: the session's lock covers it.  ``shown`` may be read at any moment.  What changes
is told by ``news``, which whoever changes something emits, before what belongs to a new view.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import is_

from client.events import Event, Shown, Views
from client.views import PersonTarget, RoomTarget, View, person_target, room_target
from protocol.dataclass import replace
from protocol.names import nick_key

PEOPLE = 32  # views of people; one more takes the place of the one that was of use longest ago


class ViewList:
    """``room``: the one that is shown first."""

    def __init__(self, room: str) -> None:
        first = room_target(room)
        self._told: tuple[View, list[object]] | None = None  # shown, and labels; None: nothing yet
        self._compared: tuple[View, ...] = ()  # all of them, when they were looked at last
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

    def people_keys(self) -> set[str]:
        """The keys of all people's views."""
        return {one.key for one in self._people}

    def news(self) -> list[Event]:
        """What has changed since the last time; nothing before ``start``."""
        if self._told is None:
            return []
        views = self.all()
        shown, labels = self._told
        same = len(views) == len(self._compared) and all(map(is_, views, self._compared))
        if same and shown is self.shown:
            return []  # as for nearly each message; equal ones may be called otherwise
        self._compared = views
        found: list[Event] = []
        labels_now = _labels(views)
        if labels != labels_now or shown.key != self.shown.key:
            found.append(Views(views, self.shown))
        if shown.key != self.shown.key:
            found.append(shown_event(self.shown))
        self._told = self.shown, labels_now
        return found

    def start(self, room: str) -> list[Event]:
        """The first room is entered, which everybody takes for the one that is shown."""
        self._told = room_target(room), _labels(self.all())
        return [Views(self.all(), self.shown)]

    def show(self, view: View) -> None:
        """Show one of them."""
        self.shown = view
        self._use(view)
        self._unread.discard(view.key)
        if isinstance(view, RoomTarget):
            self.room = view

    def take_rooms(self, rooms: Sequence[RoomTarget]) -> None:
        """These rooms are open now, one at least.  If the one that is shown is none of them any
        more, another one is shown: the room that was last."""
        self._rooms = list(rooms)
        self._forget_gone()
        found = self.find(self.room.key)
        if not isinstance(found, RoomTarget):
            found = max(self._rooms, key=lambda view: self._used.get(view.key, -1))
        self.room = found
        shown = self.find(self.shown.key)
        if shown is None:
            self.show(self.room)
        else:
            self.shown = shown

    def meet(
        self, nick: str, sign: bytes, standing: str, wrote: bool = False
    ) -> PersonTarget:
        """The view of a person, who has a message in it, or is written to."""
        found = person_target(nick, sign, standing)
        place = next((at for at, one in enumerate(self._people) if one.key == found.key), None)
        if place is None:
            self._make_room()
            self._people.append(found)
        else:
            self._people[place] = found
            if self.shown.key == found.key:
                self.shown = found
        self._use(found)
        if wrote:
            self.writer = found.key
            if self.shown.key != found.key:
                self._unread.add(found.key)
        return found

    def judge(self, known: Mapping[str, PersonTarget]) -> None:
        """``known``: by their keys, those people who are in one of one's rooms now."""
        away = (replace(one, standing="") for one in self._people)
        self._people = [known.get(one.key, one) for one in away]
        self.shown = self.find(self.shown.key) or self.shown

    def close(self, person: View) -> None:
        """The view of a person goes; if it was shown, the room is that was shown last."""
        self._people = [one for one in self._people if one.key != person.key]
        self._forget_gone()
        if self.shown.key == person.key:
            self.show(self.room)

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


def _labels(views: Sequence[View]) -> list[object]:
    """All that there is to see of them."""
    return [
        (view.key, view.name, view.guarded if isinstance(view, RoomTarget) else view.standing)
        for view in views
    ]


def shown_event(view: View) -> Shown:
    """That ``view`` is shown now."""
    if isinstance(view, RoomTarget):
        return Shown(view.room, None, view.key)
    return Shown(None, view.nick, view.key)
