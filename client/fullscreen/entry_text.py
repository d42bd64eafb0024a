"""Events as the full-screen view shows them: a mark for the names' column, and rows beside it.

Pure. The words are those of ``output.text``; here they only lose what the columns say already.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from client import events
from client.events import Event
from client.fullscreen import repeats
from client.fullscreen.scrollback import Repeat
from client.output.links import linked
from client.output.text import EventText, is_mentioned, one_line, text_lines
from client.output.wrapping import INDENT, Row, Span
from i18n import _
from protocol.names import nick_key

INFO, CAME, WENT, DID, ALARM = "·", "→", "←", "*", "!"

_MARKS: dict[type[events.Event], str] = {
    events.MemberJoined: CAME,
    events.MemberLeft: WENT,
    events.Unreadable: ALARM,
    events.Error: ALARM,
    events.Warning: ALARM,
    events.Missed: ALARM,
    events.NoAnswer: ALARM,
    events.Reconnecting: ALARM,
    events.Disconnected: ALARM,
    events.Paused: ALARM,
}


@dataclass(frozen=True)
class Body:
    """``mark`` stands where the nickname of a message stands. ``lead``: so many spans of the
    first row are not of the message's text. ``private``: it is for one member alone."""

    mark: Span
    rows: tuple[Row, ...]
    lead: int = 0
    private: bool = False


class Bodies:
    """Makes them, with the room and nickname that ``output.text`` knows."""

    def __init__(self, layout: EventText) -> None:
        self._layout = layout
        self._shapes: dict[type[events.Event], Callable[..., Body]] = {
            events.Message: self._message,
            events.MemberJoined: self._presence,
            events.MemberLeft: self._presence,
            events.Reconnecting: self._reconnecting,
        }

    def body(self, event: events.Event) -> Body | None:
        """What an event looks like; None if it has no place."""
        shape = self._shapes.get(type(event))
        if shape is not None:
            found: Body = shape(event)
            return found
        rows = self._layout.bare_rows(event)
        if not rows:
            return None
        beside = (replace(row, indent=max(0, row.indent - INDENT)) for row in rows)
        return Body(_mark(mark_of(event)), tuple(map(linked, beside)))

    def own(self, text: str, kind: str, to: str | None) -> Body:
        """A line of this client's person that the server has not taken yet."""
        return self._said(self._layout.nick, text, kind, "", to)

    def _message(self, event: events.Message) -> Body:
        style = "mention" if self._layout.mentions(event) and not event.private else ""
        if not event.private:
            return self._said(event.sender, event.text, event.kind, style)
        if event.mine:
            return self._said(event.sender, event.text, event.kind, style, event.to or "")
        return self._said(event.sender, event.text, event.kind, style, None, True)

    def _said(
        self, sender: str, text: str, kind: str, style: str, to: str | None = None,
        private: bool = False,
    ) -> Body:  # fmt: skip
        nick = _nick(sender)
        before: tuple[Span, ...] = ()
        if to is not None:
            first, _gap, last = _("to {nick} alone:").partition("{nick}")
            before = (Span(first, "private"), _nick(to), Span(last, "private"), Span(" "))
        elif private:
            before = (Span(_("to you alone:"), "private"), Span(" "))
        elif kind == "action":
            nick, before = _mark(DID), (nick, Span(" "))
        lines = [self._words(line, style) for line in text_lines(text)]
        rows = [Row((*before, *lines[0]), 0)]
        rows += [Row(line, 0) for line in lines[1:]]
        return Body(nick, tuple(map(linked, rows)), len(before), private or to is not None)

    def _words(self, line: str, style: str) -> tuple[Span, ...]:
        """A line in which the words that call this client's person have ``style``."""
        if not style:
            return (Span(line),)
        pieces = re.split(r"(\s+)", line)
        called = [is_mentioned(self._layout.nick, piece) for piece in pieces]
        return tuple(
            Span(piece, style if yes else "")
            for piece, yes in zip(pieces, called, strict=True)
            if piece
        ) or (Span(""),)

    def again(self, event: Event, repeat: Repeat) -> Body | None:
        """What an event looks like that stands for earlier ones, too."""
        if isinstance(event, (events.MemberJoined, events.MemberLeft)):
            sentence = repeats.presence(repeat)
            return Body(_mark(CAME if repeat.last else WENT), (_about(sentence, event.nick),))
        if isinstance(event, events.Crowd):
            return self.body(replace(event, joined=repeat.came, left=repeat.went))
        body = self.body(event)
        if body is None:
            return None
        last = body.rows[-1]
        counted = replace(last, spans=(*last.spans, Span(f" {repeats.times(repeat.count)}")))
        return replace(body, rows=(*body.rows[:-1], counted))

    def _presence(self, event: events.MemberJoined | events.MemberLeft) -> Body:
        came = isinstance(event, events.MemberJoined)
        sentence = _("{nick} joined") if came else _("{nick} left")
        return Body(_mark(CAME if came else WENT), (_about(sentence, event.nick),))

    def _reconnecting(self, _event: events.Reconnecting) -> Body:
        text = _("The connection is lost; what you type now waits until it is back.")
        return Body(_mark(ALARM), (Row((Span(text, "alarm"),), 0),))


def mark_of(event: events.Event) -> str:
    """What stands before an event of the program's own where a message has its nickname; none
    of it can be one."""
    return _MARKS.get(type(event), INFO)


def _mark(text: str) -> Span:
    return Span(text, "alarm" if text == ALARM else "quiet")


def _nick(nick: str) -> Span:
    return Span(one_line(nick), f"nick:{nick_key(nick)}")


def _about(sentence: str, nick: str) -> Row:
    before, _gap, after = sentence.partition("{nick}")
    return Row((Span(before, "quiet"), _nick(nick), Span(after, "quiet")), 0)
