"""The minimal renderer: one line an event, words only, for slow lines and screen readers.

Each line that the program itself begins has the sign in front of it (``line_prefix``), so that no
text can look like one; and what is said by the program, or to one member alone, has a mark before
its words that no nickname can have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from client import events
from client.events import Event
from client.output.finding import FOUND_MOST, RecentMessages
from client.output.line_prefix import LinePrefix
from client.output.text import ALARM, INFO, EventText, mark_of
from client.output.widths import JOINER, LEFT_TO_RIGHT, leads_left, width
from client.output.wrapping import Row, Span, wrap
from i18n import _

_PRIVATE = "@"


class Minimal:
    """Renders without colours. ``spoken``, for those who hear the lines: no time in front, and a
    message is one line, however long it is. ``bell``: whether anything may ring."""

    def __init__(
        self, prefix: LinePrefix | None = None, *, spoken: bool = False, bell: bool = False
    ) -> None:
        self._event_text = EventText(aligned=False)
        self._prefix = prefix or LinePrefix()
        self._spoken, self._bell = spoken, bell
        self._notify = "mention"
        self._recent = RecentMessages()
        self._waiting = 0  # lines, because of the server's limit

    def lines(self, event: Event, when: datetime, columns: int | None) -> list[str]:
        if isinstance(event, events.Reconnecting) and not _is_said(event.attempt):
            return []
        if isinstance(event, events.LinesWaiting):
            before, self._waiting = self._waiting, event.lines
            if event.lines <= before:  # they go, one by one, and that is seen
                return []
        told, mark = self._told(event), _mark(event)
        self._remember(told, when)
        rows = self._rows(told, when)
        if rows and mark:
            clock = rows[0].spans[: 0 if self._spoken else 1]
            spans = (*clock, Span(f"{mark} "), *rows[0].spans[len(clock) :])
            rows[0] = rows[0]._replace(spans=spans)
        return list(plain_lines(rows, self._prefix, None if self._spoken else columns))

    def prompt(self) -> str:
        """Nothing before there is a room."""
        named = self._prefix.charset.name(self._event_text.prompt())
        return self._prefix.shown(named) if self._event_text.room else ""

    def rings(self, event: Event) -> bool:
        if not self._bell or not isinstance(event, events.Message) or event.mine:
            return False
        mentioned = self._notify == "mention" and self._event_text.mentions(event)
        return mentioned or self._notify == "all"

    def _rows(self, event: Event, when: datetime) -> list[Row]:
        if self._spoken:
            return self._event_text.bare_rows(event)
        rows = self._event_text.rows(event, when)
        if isinstance(event, events.Help | events.KeyHelp):  # a list, not what somebody said
            return [rows[0], *self._event_text.bare_rows(event)[1:]]
        return rows

    def _remember(self, event: Event, when: datetime) -> None:
        if isinstance(event, events.Message):
            view = events.HistoryView(
                when, event.room, event.sender, event.to, event.text, event.kind, event.private,
                event.mine,
            )  # fmt: skip
            self._recent.add(view, self._event_text.mentions(event))
        elif isinstance(event, events.Cleared):
            self._recent.clear()

    def _told(self, event: Event) -> Event:
        """The event as it is put into words here."""
        if isinstance(event, events.Finding):
            found = self._recent.find(event.text, self._event_text.room)
            return events.Found(len(found), tuple(found[-FOUND_MOST:]))
        if isinstance(event, events.Notifying):
            return self._notifying(event)
        if self._spoken and isinstance(event, events.Message):
            # What begins on a line of its own would be heard as somebody else's.
            return replace(event, text=event.text.replace("\n", " / "))
        return event

    def _notifying(self, event: events.Notifying) -> events.Notice:
        sentences = {
            "all": _("Every message rings."),
            "mention": _("Mentions and private messages ring."),
            "off": _("Nothing rings."),
        }
        if event.mode in sentences:
            self._notify = event.mode
        return events.Notice(sentences[self._notify])


def _is_said(attempt: int) -> bool:
    """Whether an attempt to connect is worth a line: the first one, and ever fewer."""
    return attempt == 1 or (attempt >= 4 and attempt & (attempt - 1) == 0)


def _mark(event: Event) -> str:
    """What stands before the words of what is no message to all; no nickname begins with it."""
    if isinstance(event, events.Message):
        return _PRIVATE if event.private else ""
    return ALARM if mark_of(event) == ALARM else INFO


def plain_lines(
    rows: Iterable[Row], prefix: LinePrefix, columns: int | None = None
) -> Iterator[str]:
    """Rows as lines that only follow one another, none wider than ``columns``."""
    begin = Span(f"{prefix.text} ")
    margin = Span(" " * width(begin.text))
    for row in rows:
        spans = (begin if row.begins else margin, *_shown(row.spans, prefix))
        for line in wrap(Row(spans, row.indent + width(begin.text)), columns):
            # At the end of a line a joiner joins nothing, and in tmux eats what comes next.
            yield "".join(span.text for span in line).rstrip().rstrip(JOINER)


def _shown(spans: Iterable[Span], prefix: LinePrefix) -> Iterator[Span]:
    for span in spans:
        text = prefix.shown(span.shown(prefix.charset))
        if span.style.startswith("nick:") and prefix.charset.full and leads_left(text):
            text += LEFT_TO_RIGHT  # or name and text change places on some terminals
        yield span._replace(text=text)
