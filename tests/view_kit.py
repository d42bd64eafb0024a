"""Views for tests of screens: rooms by name (``ops*``: with a secret), people by ``@nick``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from client import events
from client.views import View, person_target, room_target
from tests.test_rich_view import Sight, message


def view(name: str) -> View:
    """One view."""
    if name.startswith("@"):
        return person_target(name[1:], name.encode())
    return replace(room_target(name.removesuffix("*")), guarded=name.endswith("*"))


def views(*names: str, shown: str) -> events.Views:
    """The list of them; ``shown`` is one of the names."""
    return events.Views(tuple(map(view, names)), view(shown))


def private(text: str, sender: str = "bob", **other: Any) -> events.Message:
    """A private message, which belongs to its sender's view."""
    fields = {"private": True, "to": "alice", "seq": None, "view": view(f"@{sender}").key}
    return message(text, sender, **{**fields, **other})


class Watched(Sight):
    """A sight of several views."""

    def opens(self, *names: str, shown: str = "") -> Watched:
        """Be in these rooms; the first one, or ``shown``, is seen."""
        self.takes(views(*names, shown=shown or names[0]))
        first, *more = [name.rstrip("*") for name in names if name[0] != "@"]
        self.takes(events.TrustSummary(1, 0, room=first))
        self.takes(events.Connected("here:1000", "alice", first, ()))
        for room in more:
            self.takes(events.TrustSummary(2, 2, room=room))
            self.takes(events.RoomEntered(room, ()))
        self.takes(events.Cleared())
        self._names = names
        return self

    def shows(self, name: str, *names: str) -> list[str]:
        """Let another view be shown, perhaps of others than before; the texts that are seen."""
        self._names = names or self._names
        self.takes(views(*self._names, shown=name))
        return self.texts()

    def bar(self) -> str:
        return self.lines()[1].rstrip("─ ").strip()
