"""Those who come and go, one by one while they are few, and together where they are many.

Pure, with a clock from elsewhere: no thread, no output. One for each screen, whatever the renderer:
what a single connection can make happen would else be most of what they show. Each room is counted
for itself. Nothing that is held back is passed by anything else of that room, nor by what is of
none: whatever happens after it is told after it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from datetime import datetime

from client import events, messages
from client.events import Event
from protocol.names import room_key

ONE_BY_ONE, SECOND = 10, 1.0  # so many changes in a second are told one by one
SPAN, LONGEST_SPAN = 1.0, 8.0  # seconds told together: at first, and where it goes on and on
_ALARMED = 256  # verified people: as many as a room has

# Warnings that come with each newcomer, before it.
_OF_COMING = ("other_keys", "unverified_member")

_CHANGES = (events.MemberJoined, events.MemberLeft)

# Of a screen's state: they stand in no order.
_STATE = (events.TrustSummary, events.Views)

TimedEvent = tuple[Event, datetime]


class Crowds:
    """Decides what is told when. ``clock`` is monotonic, in seconds; for one thread at a time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rooms: dict[str, RoomCrowd] = {}  # key: room_key; those that one is in
        self._holds = False  # whether anything is held back

    @property
    def left(self) -> float | None:
        """Seconds until ``due`` has something to tell; None while nothing is held back."""
        if not self._holds:
            return None
        lefts = [room.left for room in self._rooms.values()]
        return min((left for left in lefts if left is not None), default=None)

    def take(self, event: Event, when: datetime) -> list[TimedEvent]:
        """What is to be shown now that ``event`` has happened, in order."""
        if isinstance(event, _STATE) or (not self._holds and isinstance(event, events.Message)):
            return [(event, when)]
        found = self._take(event, when)
        self._look()
        return found

    def _take(self, event: Event, when: datetime) -> list[TimedEvent]:
        name = getattr(event, "room", None)
        if name is None:
            return [*self.flush(), (event, when)]
        key = room_key(name)
        if isinstance(event, events.RoomEntered):  # nothing has been told of this stay yet
            gone = self._rooms.pop(key, None)
            return [*(gone.flush() if gone is not None else ()), (event, when)]
        if key not in self._rooms:
            self._rooms[key] = RoomCrowd(self._clock)
        room = self._rooms[key]
        if isinstance(event, events.RoomLeft):
            del self._rooms[key]
        return room.take(event, when)

    def _look(self) -> None:
        self._holds = any(room.holds for room in self._rooms.values())

    def due(self) -> list[TimedEvent]:
        """What has been held back for long enough."""
        found = [told for room in self._rooms.values() for told in room.due()]
        self._look()
        return found

    def flush(self) -> list[TimedEvent]:
        """All that is held back."""
        found = [told for room in self._rooms.values() for told in room.flush()]
        self._look()
        return found


class RoomCrowd:
    """The same of one room's events."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._recent: deque[float] = deque(maxlen=ONE_BY_ONE)  # when the last changes came
        # What is held back: how many came and went, the last of them, and what was warned of.
        self._joined = self._left = 0
        self._last: TimedEvent | None = None
        self._warnings: dict[tuple[str, str | None], TimedEvent] = {}
        self._end = 0.0  # when that is told
        self._span = SPAN
        self._alarmed: set[tuple[str, str | None]] = set()  # of whom was warned aloud already

    @property
    def left(self) -> float | None:
        """Seconds until ``due`` has something to tell; None while nothing is held back."""
        return max(0.0, self._end - self._clock()) if self.holds else None

    def take(self, event: Event, when: datetime) -> list[TimedEvent]:
        """What is to be shown now that ``event`` has happened, in order."""
        if isinstance(event, _CHANGES):
            return self._change(event, when)
        if isinstance(event, events.Warning) and self._waits(event):
            self._begin()
            self._warn(event, when)
            return []
        return [*self.flush(), (event, when)]

    def due(self) -> list[TimedEvent]:
        """What has been held back for long enough."""
        if self.left != 0.0:
            return []
        self._span = min(2 * self._span, LONGEST_SPAN)
        return self.flush()

    def flush(self) -> list[TimedEvent]:
        """All that is held back."""
        told = list(self._warnings.values())
        if self._last is not None:
            last, when = self._last
            several = self._joined + self._left > 1
            if several and isinstance(last, _CHANGES):
                last = events.Crowd(last.room, self._joined, self._left)
            told.append((last, when))
        self._joined, self._left, self._last = 0, 0, None
        self._warnings.clear()
        return told

    def _change(
        self, event: events.MemberJoined | events.MemberLeft, when: datetime
    ) -> list[TimedEvent]:
        together = self.holds or self._is_crowded()
        self._recent.append(self._clock())
        if not together:
            self._span = SPAN
            self._alarmed.clear()
            return [(event, when)]
        self._begin()
        self._last = event, when
        if isinstance(event, events.MemberJoined):
            self._joined += 1
        else:
            self._left += 1
        return []

    @property
    def holds(self) -> bool:
        """Whether anything is held back."""
        return self._last is not None or bool(self._warnings)

    def _begin(self) -> None:
        if not self.holds:
            self._end = self._clock() + self._span

    def _is_crowded(self) -> bool:
        """Whether one more change is one too many within a second."""
        return len(self._recent) == ONE_BY_ONE and self._recent[0] > self._clock() - SECOND

    def _waits(self, event: events.Warning) -> bool:
        """Whether a warning is told with the crowd that it came with.

        About somebody verified it is told at once, and only again with the others.
        """
        if event.code not in _OF_COMING or not (self.holds or self._is_crowded()):
            return False
        alarm = (event.code, event.nick)
        if not event.verified or alarm in self._alarmed:
            return True
        if len(self._alarmed) < _ALARMED:
            self._alarmed.add(alarm)
        return False

    def _warn(self, event: events.Warning, when: datetime) -> None:
        """Of all who are not verified once, and by name if that is only one."""
        key = (event.code, event.nick if event.verified else None)
        known = self._warnings.get(key)
        if known is not None and known[0] != event:
            text = messages.warning(event.code)
            event = events.Warning(event.code, None, text, room=event.room)
        self._warnings[key] = event, when
