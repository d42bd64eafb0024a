"""The minimal renderer: one line an event, words only, for slow lines and screen readers.

Each line that the program itself begins has the sign in front of it (``line_prefix``), so that no
text can look like one; and what is said by the program, or to one member alone, has a mark before
its words that no nickname can have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from client import events, messages
from client.events import Event
from client.output.finding import FOUND_MOST, RecentMessages
from client.output.line_prefix import LinePrefix
from client.output.secret_rooms import SecretRooms
from client.output.shown_views import ViewSummary
from client.output.text import ALARM, INFO, EventText, mark_of, one_line
from client.output.widths import JOINER, LEFT_TO_RIGHT, leads_left, width
from client.output.wrapping import Row, Span, wrap
from i18n import _
from protocol.dataclass import replace

_PRIVATE = "@"
# They name their room themselves.
_NAMING = (
    events.Connected, events.RoomEntered, events.RoomLeft, events.Missed, events.MemberList,
    events.Verification,
)  # fmt: skip


class Minimal:
    """Renders without colours. ``spoken``, for those who hear the lines: no time in front, and a
    message is one line, however long it is. ``bell``: whether anything may ring. ``names_rooms``:
    each line says its room, where else only those of other rooms than the one shown do."""

    def __init__(
        self,
        prefix: LinePrefix | None = None,
        *,
        spoken: bool = False,
        bell: bool = False,
        names_rooms: bool = False,
    ) -> None:
        self._event_text = EventText(aligned=False)
        self._prefix = prefix or LinePrefix()
        self._spoken, self._bell, self._names_rooms = spoken, bell, names_rooms
        self._notify = "mention"
        self._recent = RecentMessages()
        self._waiting = 0  # lines, because of the server's limit
        self._views = self._event_text.views
        self._secrets = SecretRooms()
        self._news: dict[str, tuple[int, int]] = {}  # key: a view's; messages and mentions there

    @property
    def shown(self) -> str:
        return self._views.key

    @property
    def summaries(self) -> tuple[ViewSummary, ...]:
        return tuple(
            ViewSummary(number, view, *self._news.get(view.key, (0, 0)))
            for number, view in enumerate(self._views.views, 1)
        )

    def lines(self, event: Event, when: datetime, columns: int | None) -> list[str]:
        self._views.take(event)
        self._secrets.take(event)
        if isinstance(event, events.Views):
            kept = {view.key for view in event.views} - {event.shown.key}
            self._news = {key: news for key, news in self._news.items() if key in kept}
        if isinstance(event, events.Reconnecting) and not _is_said(event.attempt):
            return []
        if isinstance(event, events.LinesWaiting):
            before, self._waiting = self._waiting, event.lines
            if event.lines <= before:  # they go, one by one, and that is seen
                return []
        if self._is_own_name(event):  # said already: each room tells it
            return []
        told = self._told(event)
        self._remember(told, when)
        rows, lead = self._rows(told, when), self._lead(event)
        if rows and lead:
            clock = rows[0].spans[: 0 if self._spoken else 1]
            spans = (*clock, *lead, *rows[0].spans[len(clock) :])
            rows[0] = rows[0]._replace(spans=spans)
        return list(plain_lines(rows, self._prefix, None if self._spoken else columns))

    def prompt(self) -> str:
        """Nothing before there is a room."""
        named = self._prefix.charset.name(self._event_text.prompt())
        return self._prefix.shown(named) if self._event_text.nick else ""

    def rings(self, event: Event) -> bool:
        if not self._bell or not isinstance(event, events.Message) or event.mine:
            return False
        mentioned = self._notify == "mention" and self._event_text.mentions(event)
        return mentioned or self._notify == "all"

    def _lead(self, event: Event) -> list[Span]:
        """What stands before the words: the room, if it is to be named, and a mark.  No nickname
        can look like that."""
        lead, mark = [], _mark(event)
        of_one = getattr(event, "private", False) or getattr(event, "to", None)
        named = isinstance(event, _NAMING) or of_one or self._is_own_name(event)
        meant = self._views.home(event) if self._names_rooms else self._views.is_elsewhere(event)
        if meant and not named:
            room = one_line(str(getattr(event, "room", "")))
            lead = [Span("["), Span(room, names=True), Span("] ")]
        return [*lead, Span(f"{mark} ")] if mark else lead

    def _is_own_name(self, event: Event) -> bool:
        """Whether it tells that one is called as one is: it holds in all rooms."""
        return isinstance(event, events.MemberRenamed) and event.nick == self._event_text.nick

    def _rows(self, event: Event, when: datetime) -> list[Row]:
        rows = self._timed_rows(event, when)
        if isinstance(event, events.Message) and self._secrets.is_shut_out(event):
            said = messages.shut_out(self._secrets.is_guarded(event.room))
            rows[-1] = rows[-1]._replace(spans=(*rows[-1].spans, Span(f" ({said})")))
        return rows

    def _timed_rows(self, event: Event, when: datetime) -> list[Row]:
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
            calls = self._event_text.mentions(event)
            self._recent.add(view, calls)
            place = self._views.place(event)
            if not event.mine and place != self._views.key:
                new, mentions = self._news.get(place, (0, 0))
                self._news[place] = (new + 1, mentions + calls)
        elif isinstance(event, events.Cleared):
            self._recent.clear()

    def _told(self, event: Event) -> Event:
        """The event as it is put into words here."""
        if isinstance(event, events.Finding):
            found = self._recent.find(event.text, self._views.room)
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
