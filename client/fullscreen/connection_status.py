"""What the connection is like, as the events tell it, for the full-screen view. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from client import events, messages
from client.events import Event
from i18n import _

_UP, _SILENT, _LOST, _PAUSED, _ENDED = "up", "silent", "lost", "paused", "ended"

# What each event makes of it.
CHANGES: dict[type[Event], str] = {
    events.Connected: _UP,
    events.RoomEntered: _UP,
    events.NoAnswer: _SILENT,
    events.Answered: _UP,
    events.Reconnecting: _LOST,
    events.Reconnected: _UP,
    events.Paused: _PAUSED,
    events.Disconnected: _ENDED,
}


class ConnectionStatus:
    """Changed by the events of ``CHANGES``."""

    def __init__(self) -> None:
        self._state = _UP
        self._attempt_at = datetime.min  # the next one, while it is lost
        self._silent = 0  # seconds without an answer
        self._lines = 0  # that the server's limit keeps back
        self._next_at = datetime.min  # the first of them goes

    def take(self, event: Event, when: datetime) -> bool:
        """Whether the event is worth a line: of several in a row the others only count."""
        before, self._state = self._state, CHANGES[type(event)]
        if isinstance(event, events.NoAnswer):
            self._silent = event.seconds
        elif isinstance(event, events.Reconnecting):
            self._attempt_at = when + timedelta(seconds=event.delay)
        return self._state not in (_SILENT, _LOST) or self._state != before

    def keep_back(self, event: events.LinesWaiting, when: datetime) -> None:
        """So many lines wait, though the connection is as it was."""
        self._lines, self._next_at = event.lines, when + timedelta(seconds=event.seconds)

    @property
    def takes_lines(self) -> bool:
        """Whether a line that is sent is on its way, as far as is known."""
        return self._state in (_UP, _SILENT)

    @property
    def counts_down(self) -> bool:
        """Whether ``hint`` changes with the time."""
        return self._state == _LOST or (self._state == _UP and self._lines > 0)

    def hint(self, now: datetime) -> str:
        """What is wrong; empty if nothing is."""
        if self._state == _LOST:
            left = seconds_until(self._attempt_at, now)
            wait = messages.seconds(messages.about(left))
            return _("reconnecting in {wait}").format(wait=wait) if left else _("reconnecting…")
        if self._state == _SILENT:
            return _("no answer for {wait}").format(wait=messages.seconds(self._silent))
        if self._state == _PAUSED:
            return _("not connected: /reconnect or /quit")
        if self._state == _ENDED:
            return _("the connection has ended")
        if self._lines:
            left = messages.about(seconds_until(self._next_at, now))
            return messages.lines_waiting(self._lines, left)
        return ""


def seconds_until(moment: datetime, now: datetime) -> float:
    """Seconds that are left; 0 when it has passed."""
    return max(0.0, (moment - now).total_seconds())
