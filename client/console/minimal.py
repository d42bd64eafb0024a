"""The minimal renderer: one line an event, words only, for slow lines and screen readers.

Each line that the program itself begins has the sign in front of it (``sign``), so that no text
can look like one; and what is said by the program, or to one member alone, has a mark before
its words that no nickname can have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from client import events
from client.console.body import ALARM, INFO, mark_of
from client.console.folding import Row, Span, fold
from client.console.layout import Layout
from client.console.sign import Sign
from client.console.widths import LEFT_TO_RIGHT, leads_left, width
from client.events import Event

_PRIVATE = "@"


class Minimal:
    """Renders without colours, and never rings."""

    def __init__(self, sign: Sign | None = None) -> None:
        self._layout = Layout()
        self._sign = sign or Sign()

    def lines(self, event: Event, when: datetime, columns: int | None) -> list[str]:
        rows = self._layout.rows(event, when)
        mark = _mark(event)
        if rows and mark:
            clock, *spans = rows[0].spans
            rows[0] = replace(rows[0], spans=(clock, Span(f"{mark} "), *spans))
        return list(plain_lines(rows, self._sign, columns))

    def prompt(self) -> str:
        return self._sign.shown(self._layout.prompt())

    def rings(self, event: Event) -> bool:
        return False


def _mark(event: Event) -> str:
    """What stands before the words of what is no message to all; no nickname begins with it."""
    if isinstance(event, events.Message):
        return _PRIVATE if event.private else ""
    return ALARM if mark_of(event) == ALARM else INFO


def plain_lines(rows: Iterable[Row], sign: Sign, columns: int | None = None) -> Iterator[str]:
    """Rows as lines that only follow one another, none wider than ``columns``."""
    begin = Span(f"{sign.text} ")
    margin = Span(" " * width(begin.text))
    for row in rows:
        spans = (begin if row.begins else margin, *_shown(row.spans, sign))
        for line in fold(Row(spans, row.indent + width(begin.text)), columns):
            yield "".join(span.text for span in line).rstrip()


def _shown(spans: Iterable[Span], sign: Sign) -> Iterator[Span]:
    for span in spans:
        text = sign.shown(span.text)
        if span.style.startswith("nick:") and sign.glyphs.full and leads_left(text):
            text += LEFT_TO_RIGHT  # or name and text change places on some terminals
        yield replace(span, text=text)
