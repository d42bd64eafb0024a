"""What a renderer is."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from client.events import Event


class Renderer(Protocol):
    """Turns events into finished lines. Does no I/O; used by the screen thread alone."""

    def lines(self, event: Event, when: datetime, columns: int | None) -> list[str]:
        """The lines of an event, without line ends, none of them wider than ``columns``.

        ``when`` is aware of its time zone. ``columns`` is None where lines are not folded.
        """

    def prompt(self) -> str:
        """What stands before the line being typed."""

    def rings(self, event: Event) -> bool:
        """Whether the terminal's bell should ring for this event."""
