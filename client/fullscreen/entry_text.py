"""Events as the full-screen view shows them: a mark for the names' column, and rows beside it.

Pure. The words are those of ``output.text``; here they only lose what the columns say already.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from client import events
from client.events import Event
from client.fullscreen import repeats
from client.fullscreen.repeats import Repeat
from client.output.links import linked
from client.output.text import (
    ALARM,
    CAME,
    DID,
    WENT,
    EventText,
    is_mentioned,
    mark_of,
    one_line,
    text_lines,
)
from client.output.wrapping import INDENT, Row, Span
from i18n import _
from protocol.dataclass import dataclass, replace
from protocol.names import nick_key

# Of another room than the one that is shown, where they do not say that themselves.
_UNNAMED = (events.Error, events.Invite, events.NickVerified)


@dataclass(frozen=True)
class EntryText:
    """``mark`` stands in the names' column, ``rows`` beside it. ``lead``: so many spans of the
    first row are not of the message's text. ``private``: it is for one member alone."""

    mark: Span
    rows: tuple[Row, ...]
    lead: int = 0
    private: bool = False

    @property
    def text(self) -> str:
        """What is seen of a message's text, without a line end at its end."""
        first, *more = self.rows
        rows = [first.spans[self.lead:], *(row.spans for row in more)]
        return "\n".join("".join(span.text for span in spans) for spans in rows).rstrip("\n")

    @property
    def size(self) -> int:
        """Characters that it keeps in memory."""
        spans = (span for row in self.rows for span in row.spans)
        return sum(len(span.text) + len(span.link) for span in spans)


class EntryTexts:
    """Makes them, with the room and nickname that ``output.text`` knows."""

    def __init__(self, event_text: EventText) -> None:
        self._event_text = event_text
        self._shapes: dict[type[events.Event], Callable[..., EntryText]] = {
            events.Reconnecting: self._reconnecting,
        }

    def content(self, event: Event, repeat: Repeat | None = None) -> EntryText | None:
        """What an event looks like, which may stand for earlier ones, too (``repeat``); None if it
        has no place."""
        if repeat is not None:
            return self._repeated(event, repeat)
        shape = self._shapes.get(type(event))
        if shape is not None:
            found: EntryText = shape(event)
            return found
        rows = self._event_text.bare_rows(event)
        if not rows:
            return None
        beside = [row._replace(indent=max(0, row.indent - INDENT)) for row in rows]
        if isinstance(event, _UNNAMED) and self._event_text.views.is_elsewhere(event):
            room = (Span("["), Span(one_line(event.room or ""), names=True), Span("] "))
            beside[0] = beside[0]._replace(spans=(*room, *beside[0].spans))
        return EntryText(_mark(mark_of(event)), tuple(map(linked, beside)))

    def own(self, text: str, kind: str, to: str | None, alone: bool) -> EntryText:
        """A line of this client's person that the server has not taken yet. ``alone``: as in
        ``message``."""
        return self._said(self._event_text.nick, text, kind, "", to, alone=alone)

    def message(self, event: events.Message, alone: bool, calls: bool) -> EntryText:
        """A message; ``alone``: it is shown among others that all are between these two;
        ``calls``: it calls this client's person."""
        style = "mention" if calls and not event.private else ""
        if not event.private:
            return self._said(event.sender, event.text, event.kind, style)
        to = (event.to or "") if event.mine else None
        return self._said(event.sender, event.text, event.kind, style, to, True, alone)

    def _said(
        self, sender: str, text: str, kind: str, style: str, to: str | None = None,
        private: bool = False, alone: bool = False,
    ) -> EntryText:  # fmt: skip
        nick = _nick(sender)
        before: tuple[Span, ...] = ()
        if to is not None and not alone:
            first, _gap, last = _("to {nick} alone:").partition("{nick}")
            before = (Span(first, "private"), _nick(to), Span(last, "private"), Span(" "))
        elif private and not alone:
            before = (Span(_("to you alone:"), "private"), Span(" "))
        elif kind == "action":
            nick, before = _mark(DID), (nick, Span(" "))
        lines = [self._words(line, style) for line in text_lines(text)]
        rows = [Row((*before, *lines[0]), 0)]
        rows += [Row(line, 0) for line in lines[1:]]
        return EntryText(nick, tuple(map(linked, rows)), len(before), private or to is not None)

    def _words(self, line: str, style: str) -> tuple[Span, ...]:
        """A line in which the words that call this client's person have ``style``."""
        if not style:
            return (Span(line),)
        pieces = re.split(r"(\s+)", line)
        called = [is_mentioned(self._event_text.nick, piece) for piece in pieces]
        return tuple(
            Span(piece, style if yes else "")
            for piece, yes in zip(pieces, called, strict=True)
            if piece
        ) or (Span(""),)

    def _repeated(self, event: Event, repeat: Repeat) -> EntryText | None:
        if isinstance(event, (events.MemberJoined, events.MemberLeft)):
            sentence = repeats.presence(repeat)
            return EntryText(_mark(CAME if repeat.last else WENT), (_about(sentence, event.nick),))
        if isinstance(event, events.Crowd):
            return self.content(replace(event, joined=repeat.came, left=repeat.went))
        content = self.content(event)
        if content is None or repeat.count == 1:
            return content
        last = content.rows[-1]
        counted = last._replace(spans=(*last.spans, Span(f" {repeats.times(repeat.count)}")))
        return replace(content, rows=(*content.rows[:-1], counted))

    def _reconnecting(self, _event: events.Reconnecting) -> EntryText:
        text = _("The connection is lost; what you type now waits until it is back.")
        return EntryText(_mark(ALARM), (Row((Span(text, "alarm"),), 0),))


def _mark(text: str) -> Span:
    return Span(text, "alarm" if text == ALARM else "quiet")


def _nick(nick: str) -> Span:
    return Span(one_line(nick), f"nick:{nick_key(nick)}")


def _about(sentence: str, nick: str) -> Row:
    before, _gap, after = sentence.partition("{nick}")
    return Row((Span(before, "quiet"), _nick(nick), Span(after, "quiet")), 0)
