"""What is to be drawn, in the order in which others have asked for it.

Lock: ``_changed`` guards all of it; a leaf, no I/O inside.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable
from datetime import datetime

from client.events import Event
from client.input.editor import LineView
from protocol.dataclass import dataclass

QUEUE_EVENTS = 1000  # events that wait; whoever brings more waits for room


@dataclass(frozen=True)
class ShownEvent:
    event: Event
    when: datetime


@dataclass(frozen=True)
class Redrawn:
    pass


@dataclass(frozen=True)
class ViewKey:
    """A key that is about the view, not about the typed line: its name."""

    name: str


@dataclass(frozen=True)
class HandOver:
    """The terminal goes to somebody else (``away``), or comes back; ``done`` says it has.

    ``silently``: it is somebody else's already, so nothing is written there.
    """

    away: bool
    done: threading.Event
    silently: bool = False


Item = ShownEvent | Redrawn | ViewKey | HandOver | LineView


class ScreenQueue:
    """Items that wait for the screen thread, which alone takes them; others never wait to put one.
    Of what comes after ``close``, or when standard output takes nothing, only the number is kept.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._items: deque[Item] = deque()
        self._undrawn: Counter[type[Event]] = Counter()  # events that nobody could see
        self.closed = False
        self._hurried = False

    def put(self, item: Item) -> None:
        """Add an item; after ``hurry`` only if there is room."""
        with self._changed:
            if self._has_room() or not self._hurried:
                self._append_locked(item)

    def put_line(self, view: LineView) -> None:
        """Add the line being typed, in place of what it was before for the same view."""
        with self._changed:
            last = self._items[-1] if self._items else None
            if isinstance(last, LineView) and not last.entered and last.view == view.view:
                self._items.pop()
                # Where lines cannot be erased, an entered one is written whole first.
                if view.entered:
                    self._items.append(last)
            self._append_locked(view)

    def await_room(self, seconds: float) -> bool:
        """Whether there is room for more within ``seconds``; so, too, where nobody reads it."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._has_room() or self._hurried or self.closed, seconds
            )

    def take(self, patience: float | None) -> list[Item] | None:
        """Wait for items, for so many seconds; None after ``close``, when all have been taken."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self.closed, patience)
            if not self._items and self.closed:
                return None
            items = list(self._items)
            self._items.clear()
            self._changed.notify_all()
            return items

    def undrawn(self, kind: type[Event]) -> int:
        """How many events of a kind nobody could see."""
        with self._changed:
            return self._undrawn[kind]

    def hurry(self) -> None:
        """Nobody waits for room any longer: what does not fit is dropped."""
        with self._changed:
            self._hurried = True
            self._changed.notify_all()

    def close(self, drop: bool = False) -> None:
        """Accept nothing more; what waits can still be taken, or is dropped, too."""
        with self._changed:
            self._close_locked(drop)

    def fail(self, taken: Iterable[Item]) -> None:
        """Close, since nobody could see what waits, nor what was ``taken`` last."""
        with self._changed:
            self._count_locked([*taken, *self._items])
            self._close_locked(drop=True)

    def _close_locked(self, drop: bool) -> None:
        if drop:
            self._items.clear()
        self.closed = True
        self._changed.notify_all()

    def _has_room(self) -> bool:
        return len(self._items) < QUEUE_EVENTS

    def _append_locked(self, item: Item) -> None:
        if self.closed:
            self._count_locked([item])
            return
        self._items.append(item)
        self._changed.notify_all()

    def _count_locked(self, items: Iterable[Item]) -> None:
        self._undrawn.update(type(item.event) for item in items if isinstance(item, ShownEvent))
