"""What a screen knows of the views: which there are, which is shown, where an event belongs.

Pure. Where nobody says which views there are, there is that of the room that was entered last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from client import events
from client.events import Event
from client.views import RoomTarget, View, room_target
from protocol.dataclass import dataclass

GUARDED = "*"  # behind the name of a room that has a secret here; no name of a room has one

# What one has asked for is told where one stands, though it may be about another room.
_ANSWERS = (
    events.MemberList, events.Verification, events.NickVerified, events.Invite, events.Error,
    events.RoomLeft,
)  # fmt: skip


@dataclass(frozen=True)
class ViewSummary:
    """A view and its ``number``, from 1 on; ``new`` messages in it were not seen, of which
    ``mentions`` call this client's person."""

    number: int
    view: View
    new: int = 0
    mentions: int = 0


class ShownViews:
    """Changed by events. ``views`` in their order; ``shown`` is None before the first one."""

    def __init__(self) -> None:
        self.views: tuple[View, ...] = ()
        self.shown: View | None = None
        self.room = ""  # the name of the room that is shown, or was last
        self._told = False  # somebody has said which views there are

    @property
    def key(self) -> str:
        """The key of the view that is shown; empty before the first one."""
        return "" if self.shown is None else self.shown.key

    @property
    def name(self) -> str:
        """How the view that is shown is called, with the mark of a room that has a secret."""
        return "" if self.shown is None else name_of(self.shown)

    @property
    def shows_room(self) -> bool:
        """Whether that is a room, if it is anything."""
        return self.shown is None or isinstance(self.shown, RoomTarget)

    @property
    def rooms(self) -> int:
        """How many rooms are open."""
        return sum(isinstance(view, RoomTarget) for view in self.views)

    def take(self, event: Event) -> None:
        """See what an event changes."""
        if isinstance(event, events.Views):
            self.views, self.shown, self._told = event.views, event.shown, True
        elif isinstance(event, events.Connected | events.RoomEntered) and not self._told:
            self.shown = room_target(event.room)
            self.views = (self.shown,)
        if isinstance(self.shown, RoomTarget):
            self.room = self.shown.room

    def place(self, event: Event) -> str:
        """The key of the view in which an event is told."""
        if isinstance(event, _ANSWERS):
            return self.key
        view = getattr(event, "view", None)
        return view or self.home(event) or self.key

    def home(self, event: Event) -> str:
        """The key of the view of the room that an event is about; empty if it is about none."""
        room = getattr(event, "room", None)
        return room_target(room).key if room else ""

    def is_elsewhere(self, event: Event) -> bool:
        """Whether an event is about another room than the view that is shown."""
        home = self.home(event)
        return bool(home and self.key) and home != self.key


def name_of(view: View) -> str:
    """How a view is called in prompts and bars."""
    return view.name + (GUARDED if isinstance(view, RoomTarget) and view.guarded else "")


def next_with_news(summaries: Sequence[ViewSummary], shown: str) -> View | None:
    """The next view after the one ``shown`` (its key) in which something is new: with a mention,
    if there is any; None if nothing is new anywhere else."""
    at = next((n for n, each in enumerate(summaries) if each.view.key == shown), 0)
    others = [each for each in (*summaries[at:], *summaries[:at]) if each.view.key != shown]
    return _first(each.view for each in others if each.mentions) or _first(
        each.view for each in others if each.new
    )


def _first(views: Iterable[View]) -> View | None:
    return next(iter(views), None)
