"""``cmd_chat.py tail`` and ``wait``: messages on standard output as they come, so many or for so
long.
"""

from __future__ import annotations

import math
import time

from client import events
from client.background import StartupKeys
from client.programs import visit as visits
from client.programs.printing import OutputReader, Printer
from client.programs.visit import LOOK_SECONDS, Ended, Make, Visit
from client.programs.wanted import Wanted
from i18n import _
from settings import TailSettings
from settings.exit_status import ExitStatus


def run(settings: TailSettings, keys: StartupKeys) -> int:
    """Print what is asked for; the exit status.  Raises Unwritable and BrokenPipeError."""
    tail = _Tail(settings)
    return visits.run(settings.client, keys, tail.wants, tail.stay)


class _Tail:
    """One run of ``tail`` or ``wait``.  For the main thread, but for ``wants``."""

    def __init__(self, settings: TailSettings) -> None:
        self._settings = settings
        self._printer = Printer(settings.form, settings.client.rooms)
        self._reader = OutputReader()
        self._wanted = Wanted(settings.sender, settings.pattern, settings.private)
        self._left = math.inf if settings.count is None else settings.count  # to be printed

    def wants(self, event: events.Event) -> bool:
        """Whether an event is to be printed, or said."""
        if isinstance(event, events.Warning):
            return event.verified
        if isinstance(event, events.Error):
            return event.room is not None  # which is closed; there are others
        if isinstance(event, events.Unreadable):
            return self._wanted.is_from(event.sender)
        return isinstance(event, events.Message | events.Missed)

    def stay(self, make: Make) -> int:
        """Until it is enough, or nobody reads it.  Raises Ended, Unwritable, BrokenPipeError."""
        seconds = self._settings.timeout
        end = math.inf if seconds is None else time.monotonic() + seconds
        with make() as visit:
            while self._left > 0 and not self._reader.gone:
                self._take(self._next(visit, end))
        return ExitStatus.LEFT

    def _next(self, visit: Visit, end: float) -> events.Event | None:
        event = visit.next(min(end - time.monotonic(), LOOK_SECONDS))
        if event is None and time.monotonic() >= end:
            missed = _("No message matched in time.") if self._settings.pattern else ""
            raise Ended(ExitStatus.TIMED_OUT, missed)
        return event

    def _take(self, event: events.Event | None) -> None:
        if isinstance(event, events.Message):
            if self._wanted.takes(event):
                self._printer.print(event)
                self._left -= 1
        elif event is not None:
            self._printer.say(event)
