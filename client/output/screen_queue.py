"""What is to be drawn, in the order in which others have asked for it.

Lock: ``_lock`` guards all of it; a leaf, no I/O inside.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from queue import Empty, SimpleQueue

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

    While a thread holds the queue (``with queue:``), what it puts wakes nobody until it lets go.
    Who waits for the network next lets go just before: woken earlier, the screen thread would wait
    for the interpreter, and be woken by that again: 3.5 wake-ups for each message instead of 2.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._has_taken = threading.Condition(self._lock)
        self._bell: SimpleQueue[None] = SimpleQueue()  # which the screen thread waits for
        self._rung = False
        self._holder: int | None = None  # the thread that holds the queue
        self._resting = False  # the screen thread looks at events by itself in a moment
        self._items: deque[Item] = deque()
        self._undrawn: Counter[type[Event]] = Counter()  # events that nobody could see
        self.closed = False
        self._hurried = False
        self._waiting = 0  # threads, for room

    def __enter__(self) -> None:
        self._holder = threading.get_ident()

    def __exit__(self, *_: object) -> None:
        self._holder = None
        with self._lock:
            if self._items and not (self._resting and self._is_short()):
                self._ring_locked()

    def put(self, item: Item) -> None:
        """Add an item; after ``hurry`` only if there is room."""
        with self._lock:
            if not self._hurried or self._has_room():
                self._append_locked(item)

    def put_line(self, view: LineView) -> None:
        """Add the line being typed, in place of what it was before for the same view."""
        with self._lock:
            last = self._items[-1] if self._items else None
            if isinstance(last, LineView) and not last.entered and last.view == view.view:
                self._items.pop()
                # Where lines cannot be erased, an entered one is written whole first.
                if view.entered:
                    self._items.append(last)
            self._append_locked(view)

    def await_room(self, seconds: float) -> bool:
        """Whether there is room for more within ``seconds``; so, too, where nobody reads it."""
        if self._has_room():
            return True
        with self._lock:
            self._waiting += 1
            try:
                return self._has_taken.wait_for(
                    lambda: self._has_room() or self._hurried or self.closed, seconds
                )
            finally:
                self._waiting -= 1

    def take(self, patience: float | None, rest: float = 0.0) -> list[Item] | None:
        """Wait for items, for so many seconds; None after ``close``, when all have been taken.

        For ``rest`` seconds events alone wake nobody: they could not be drawn yet.
        """
        self._resting = rest > 0.0
        if self._resting:
            self._listen(rest)
            with self._lock:
                self._resting = False
                rested = not (self._items or self._rung)
            if rested:
                self._listen(None if patience is None else max(0.0, patience - rest))
        else:
            self._listen(patience)
        with self._lock:
            if self._rung and not self._bell.empty():
                self._bell.get()
            self._rung = False
            if not self._items and self.closed:
                return None
            items = list(self._items)
            self._items.clear()
            if self._waiting:
                self._has_taken.notify_all()
            return items

    def _listen(self, patience: float | None) -> None:
        if not self.closed:
            with suppress(Empty):
                self._bell.get(timeout=patience)

    def undrawn(self, kind: type[Event]) -> int:
        """How many events of a kind nobody could see."""
        with self._lock:
            return self._undrawn[kind]

    def hurry(self) -> None:
        """Nobody waits for room any longer: what does not fit is dropped."""
        with self._lock:
            self._hurried = True
            self._has_taken.notify_all()

    def close(self, drop: bool = False) -> None:
        """Accept nothing more; what waits can still be taken, or is dropped, too."""
        with self._lock:
            self._close_locked(drop)

    def fail(self, taken: Iterable[Item]) -> None:
        """Close, since nobody could see what waits, nor what was ``taken`` last."""
        with self._lock:
            self._count_locked([*taken, *self._items])
            self._close_locked(drop=True)

    def _close_locked(self, drop: bool) -> None:
        if drop:
            self._items.clear()
        self.closed = True
        self._ring_locked()
        self._has_taken.notify_all()

    def _is_short(self) -> bool:
        return len(self._items) < QUEUE_EVENTS // 2

    def _has_room(self) -> bool:
        return len(self._items) < QUEUE_EVENTS

    def _append_locked(self, item: Item) -> None:
        if self.closed:
            self._count_locked([item])
            return
        self._items.append(item)
        if self._holder != threading.get_ident() and not self._may_rest_locked(item):
            self._ring_locked()

    def _may_rest_locked(self, item: Item) -> bool:
        return self._resting and isinstance(item, ShownEvent) and self._is_short()

    def _ring_locked(self) -> None:
        if not self._rung:
            self._rung = True
            self._bell.put(None)

    def _count_locked(self, items: Iterable[Item]) -> None:
        self._undrawn.update(type(item.event) for item in items if isinstance(item, ShownEvent))
