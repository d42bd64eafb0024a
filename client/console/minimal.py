"""The minimal renderer: one line an event, words only, for slow lines and screen readers."""

from __future__ import annotations

from datetime import datetime

from client.console.folding import fold
from client.console.layout import Layout
from client.events import Event


class Minimal:
    """Renders without colours, and never rings."""

    def __init__(self) -> None:
        self._layout = Layout()

    def lines(self, event: Event, when: datetime, columns: int | None) -> list[str]:
        return [
            "".join(span.text for span in line).rstrip()
            for row in self._layout.rows(event, when)
            for line in fold(row, columns)
        ]

    def prompt(self) -> str:
        return self._layout.prompt()

    def rings(self, event: Event) -> bool:
        return False
