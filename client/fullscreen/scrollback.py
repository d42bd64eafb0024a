"""What the full-screen view remembers of each room, and how much of it.

Pure. Rooms that one comes back to show again what was there; what was shown longest ago goes
first when there is too much.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from client.fullscreen.entry_text import EntryText
from client.fullscreen.repeats import Repeat
from protocol.names import room_key

ENTRIES = 5000  # in all rooms together
CHARACTERS = 8_000_000  # of their texts

_LOOKED_AT = 200  # entries, from the last one upwards

SENDING, REFUSED = "sending", "refused"


@dataclass(frozen=True)
class ScrollbackEntry:
    """One event, and what it looks like.

    ``number`` grows from entry to entry. ``counts``: it is a message, which a hint counts and
    of which only some may be shown; ``calls``: it calls this client's person. One's own lines have
    a ``ref`` and a ``state``: sending, refused (with its ``reason``), or empty.
    """

    number: int
    when: datetime
    content: EntryText
    counts: bool = False
    calls: bool = False
    ref: int = 0
    state: str = ""
    reason: str = ""
    repeat: Repeat | None = None  # how it is counted, if it may come again


@dataclass
class Scrollback:
    """One room: what has happened in order, and one's own lines that are still on their way."""

    room: str
    settled: list[ScrollbackEntry] = field(default_factory=list)
    sending: dict[int, ScrollbackEntry] = field(default_factory=dict)  # key: ref
    first_new: int | None = None  # the number of the entry above which "new" is drawn
    new_is_old: bool = False  # that one has been seen since
    unread: int = 0  # messages that came while nobody looked
    calls: int = 0  # of these, the ones that call this client's person

    def entries(self) -> list[ScrollbackEntry]:
        """All in the order in which they are shown."""
        return [*self.settled, *self.sending.values()]

    def earlier(self, repeat: Repeat) -> ScrollbackEntry | None:
        """The entry that this goes on, if there is one since the last message."""
        for entry in self.settled[: -_LOOKED_AT - 1 : -1]:
            if entry.counts:
                return None
            if entry.repeat is not None and entry.repeat.key == repeat.key:
                # Who comes twice without having left is somebody else.
                alternates = repeat.key[0] != "presence" or entry.repeat.last != repeat.last
                return entry if alternates else None
        return None


class Scrollbacks:
    """The logs of all rooms; ``current`` is the one that is shown."""

    def __init__(self, most: int = ENTRIES, characters: int = CHARACTERS) -> None:
        self._most, self._characters = most, characters
        # In the order in which they were left.
        self._rooms: dict[str, Scrollback] = {"": Scrollback("")}
        self._count = self._size = 0
        self._last = 0
        self.current = self._rooms[""]

    def number(self) -> int:
        """The next entry's number."""
        self._last += 1
        return self._last

    def enter(self, room: str) -> None:
        """Show that room from now on."""
        key = room_key(room)
        log = self._rooms.pop(key, None)
        if log is None:
            # What came before the first room was known belongs to it.
            first = self._rooms.pop("", None)
            log = Scrollback(room) if first is None else first
        log.room = room
        self._rooms[key] = self.current = log

    def log(self, room: str) -> Scrollback:
        """The log of a room; the current one for a room that is not known."""
        return self._rooms.get(room_key(room), self.current)

    def settle(self, log: Scrollback, entry: ScrollbackEntry) -> None:
        """Add an entry, and forget the oldest ones if that makes too many."""
        log.settled.append(entry)
        self._count += 1
        self._size += entry.content.size
        while self._count > self._most or (self._size > self._characters and self._count > 1):
            self._forget_oldest()

    def go_on(self, log: Scrollback, before: ScrollbackEntry, entry: ScrollbackEntry) -> None:
        """Put an entry at the end that stands for an earlier one, too."""
        numbers = [each.number for each in log.settled]
        self._remove(log, numbers.index(before.number))
        self.settle(log, entry)

    def take_back(self, ref: int) -> ScrollbackEntry | None:
        """Remove the entry of one's own line ``ref``, on its way or refused, wherever it is."""
        for log in self._rooms.values():
            if ref in log.sending:
                return log.sending.pop(ref)
            for place in range(len(log.settled) - 1, -1, -1):
                if log.settled[place].ref == ref:
                    return self._remove(log, place)
        return None

    def clear(self) -> None:
        """Forget everything but what is still on its way."""
        for log in self._rooms.values():
            log.settled.clear()
            log.first_new = None
            log.unread = log.calls = 0
        self._count = self._size = 0

    def _remove(self, log: Scrollback, place: int) -> ScrollbackEntry:
        entry = log.settled.pop(place)
        self._count -= 1
        self._size -= entry.content.size
        return entry

    def _forget_oldest(self) -> None:
        oldest = next(log for log in self._rooms.values() if log.settled)
        self._remove(oldest, 0)
