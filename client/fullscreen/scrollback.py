"""What the full-screen view remembers of each view, and how much of it.

Pure. What one comes back to shows again what was there. When there is too much, what is no view any
more goes first, and then the oldest of the view that has most: none takes what others have.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from functools import cached_property

from client.fullscreen.entry_text import EntryText
from client.fullscreen.repeats import Repeat
from client.views import PersonTarget, View
from protocol.dataclass import dataclass, field

ENTRIES = 5000  # in all views together
CHARACTERS = 8_000_000  # of their texts
CLOSED = 32  # views that are none any more, and are remembered

_LOOKED_AT = 200  # entries, from the last one upwards

SENDING, REFUSED, SHUT_OUT = "sending", "refused", "shut out"
GUARDED = "guarded"  # the reason of the last one, where this client has a secret


@dataclass(frozen=True)
class ScrollbackEntry:
    """One event, and what it looks like.

    ``number`` grows from entry to entry. ``counts``: it is a message, which a hint counts and
    of which only some may be shown; ``calls``: it calls this client's person. One's own lines have
    a ``ref`` and a ``state``: sending, refused (with its ``reason``), shut out (others in the room
    cannot read it; ``reason``: GUARDED or empty), or empty.
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

    @cached_property
    def day(self) -> date:
        """When it was."""
        return self.when.date()


@dataclass
class Scrollback:
    """One view: what has happened in order, and one's own lines that are still on their way.
    ``is_private``: it is a person's. ``others``: who is in the room besides oneself, and how many
    of them are verified or known."""

    key: str
    is_private: bool = False
    settled: list[ScrollbackEntry] = field(default_factory=list)
    sending: dict[int, ScrollbackEntry] = field(default_factory=dict)  # key: ref
    size: int = 0  # characters of what is settled
    first_new: int | None = None  # the number of the entry above which "new" is drawn
    new_is_old: bool = False  # that one has been seen since
    unread: int = 0  # messages that came while nobody looked
    calls: int = 0  # of these, the ones that call this client's person
    at_end: bool = True  # its newest entry is seen, where it is shown
    others: int = 0
    verified: int = 0
    known: int = 0

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
    """The logs of all views; ``current`` is the one that is shown."""

    def __init__(self, most: int = ENTRIES, characters: int = CHARACTERS) -> None:
        self._most, self._characters = most, characters
        # By the key of the view; in the order in which they were left.
        self._logs: dict[str, Scrollback] = {"": Scrollback("")}
        self._views: set[str] = set()  # keys of those that there are
        self._count = self._size = 0
        self._last = 0
        self.current = self._logs[""]

    def number(self) -> int:
        """The next entry's number."""
        self._last += 1
        return self._last

    def open(self, views: Sequence[View], shown: View) -> None:
        """There are these views, of which one is shown from now on."""
        self._views = {view.key for view in views} | {shown.key}
        if "" in self._logs:  # what came before there was any belongs to the first one
            first = self._logs.pop("")
            first.key, first.is_private = shown.key, isinstance(shown, PersonTarget)
            self._logs[first.key] = first
        for view in (*views, shown):
            if view.key not in self._logs:
                self._logs[view.key] = Scrollback(view.key, isinstance(view, PersonTarget))
        if self.current.key != shown.key and self.current.new_is_old:
            self.current.first_new = None
        # It is left later than all others.
        self.current = self._logs[shown.key] = self._logs.pop(shown.key)
        closed = [key for key in self._logs if key not in self._views]
        for key in closed[: max(0, len(closed) - CLOSED)]:
            self._forget(key)

    def log(self, key: str) -> Scrollback:
        """The log of a view; the current one for a view that is not known."""
        return self._logs.get(key, self.current)

    def has(self, key: str) -> bool:
        """Whether anything is remembered of a view."""
        return key in self._logs

    def settle(self, log: Scrollback, entry: ScrollbackEntry) -> None:
        """Add an entry, and forget the oldest ones if that makes too many."""
        log.settled.append(entry)
        self._grow(log, 1, entry.content.size)
        while self._count > self._most or (self._size > self._characters and self._count > 1):
            self._forget_oldest()

    def go_on(self, log: Scrollback, before: ScrollbackEntry, entry: ScrollbackEntry) -> None:
        """Put an entry at the end that stands for an earlier one, too."""
        numbers = [each.number for each in log.settled]
        self._remove(log, numbers.index(before.number))
        self.settle(log, entry)

    def take_back(self, ref: int) -> ScrollbackEntry | None:
        """Remove the entry of one's own line ``ref``, on its way or refused, wherever it is."""
        for log in self._logs.values():
            if ref in log.sending:
                return log.sending.pop(ref)
            for place in range(len(log.settled) - 1, -1, -1):
                if log.settled[place].ref == ref:
                    return self._remove(log, place)
        return None

    def clear(self) -> None:
        """Forget everything but what is still on its way."""
        for log in self._logs.values():
            log.settled.clear()
            log.size, log.first_new = 0, None
            log.unread = log.calls = 0
        self._count = self._size = 0

    def _grow(self, log: Scrollback, count: int, size: int) -> None:
        self._count += count
        self._size += size
        log.size += size

    def _remove(self, log: Scrollback, place: int) -> ScrollbackEntry:
        entry = log.settled.pop(place)
        self._grow(log, -1, -entry.content.size)
        return entry

    def _forget(self, key: str) -> None:
        log = self._logs.pop(key)
        self._grow(log, -len(log.settled), -log.size)

    def _forget_oldest(self) -> None:
        filled = [log for log in self._logs.values() if log.settled]
        closed = [log for log in filled if self._views and log.key not in self._views]
        if closed:
            fullest = closed[0]
        elif self._count > self._most:
            fullest = max(filled, key=lambda log: len(log.settled))
        else:
            fullest = max(filled, key=lambda log: log.size)
        self._remove(fullest, 0)
