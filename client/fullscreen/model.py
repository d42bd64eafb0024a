"""What the full-screen view shows, folded together from events.

Pure: no output, and the time comes with each event. ``Model`` knows the rooms' logs, who is
there, how the connection is, and whether somebody is looking.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from client import events
from client.events import Event
from client.fullscreen.connection_status import CHANGES, ConnectionStatus
from client.fullscreen.entry_text import EntryTexts
from client.fullscreen.repeats import gone_on, repeat_of
from client.fullscreen.scrollback import REFUSED, SENDING, ScrollbackEntry, Scrollbacks
from client.output.text import EventText, one_line
from client.output.widths import cut
from i18n import _

_SHOWN_COLUMNS = 30  # of what was copied


@dataclass(frozen=True)
class Alert:
    """Something that is to be noticed from elsewhere; ``text`` says of whom, never what."""

    text: str


class Model:
    """The state that the view draws. ``take`` is the only way in, but for what keys change:
    ``focused`` (None: the terminal does not tell) and ``at_end`` (the newest entry is seen).
    ``to_copy`` is taken away by whoever draws."""

    def __init__(self) -> None:
        self.scrollbacks = Scrollbacks()
        self.connection = ConnectionStatus()
        self.others = self.verified = self.known = 0
        self.notify = "mention"
        self.focused: bool | None = None
        self.at_end = True
        self.to_copy: str | None = None  # whoever draws puts it on the clipboard
        self._event_text = EventText()
        self._texts = EntryTexts(self._event_text)
        self._settling = 0  # the own line that the next answer is about
        self._special: dict[type[Event], Callable[..., Alert | None]] = {
            **dict.fromkeys(CHANGES, self._connection_changed),
            events.LinesWaiting: self.connection.keep_back,
            events.Message: self._message,
            events.Sending: self._sending,
            events.Settled: self._settled,
            events.NotSent: self._not_sent,
            events.TrustSummary: self._trust_summary,
            events.MemberJoined: self._repeated,
            events.MemberLeft: self._repeated,
            events.Crowd: self._repeated,
            events.Warning: self._repeated,
            events.Notifying: self._notifying,
            events.Copying: self._copying,
            events.Cleared: self._cleared,
            events.Connected: self._entered,
            events.RoomEntered: self._entered,
        }

    @property
    def room(self) -> str:
        return one_line(self._event_text.room)

    @property
    def nick(self) -> str:
        return one_line(self._event_text.nick)

    @property
    def proxy(self) -> str:
        return one_line(self._event_text.proxy)

    def take(self, event: Event, when: datetime) -> Alert | None:
        """Fold one event in; what is to be noticed of it, if nobody looks."""
        special = self._special.get(type(event))
        if special is not None:
            return special(event, when)
        self._show(event, when)
        return None

    def say(self, text: str, when: datetime) -> None:
        """Show a sentence of the program's own."""
        self._show(events.Notice(text), when)

    def looked(self) -> None:
        """Somebody looks at the end of the room: nothing in it is unread any more."""
        log = self.scrollbacks.current
        if self._away():
            return
        log.unread = log.calls = 0
        log.new_is_old = True

    def unread(self) -> int:
        """Messages that nobody has seen, for the window's title."""
        return self.scrollbacks.current.unread

    def _away(self) -> bool:
        return self.focused is False or not self.at_end

    def _repeated(self, event: Event, when: datetime) -> None:
        """Show what may come again and again: since the last message, it has one line."""
        log, repeat = self.scrollbacks.current, repeat_of(event)
        before = None if repeat is None else log.earlier(repeat)
        if repeat is not None and before is not None and before.repeat is not None:
            repeat = gone_on(before.repeat, repeat)
        content = self._texts.content(event, repeat)
        if content is None:
            return
        entry = ScrollbackEntry(self.scrollbacks.number(), when, content, repeat=repeat)
        if before is None:
            self.scrollbacks.settle(log, entry)
        else:
            self.scrollbacks.go_on(log, before, entry)

    def _show(
        self, event: Event, when: datetime, counts: bool = False, calls: bool = False
    ) -> None:
        content = self._texts.content(event)
        if content is not None:
            entry = ScrollbackEntry(self.scrollbacks.number(), when, content, counts, calls)
            self.scrollbacks.settle(self.scrollbacks.current, entry)

    def _message(self, event: events.Message, when: datetime) -> Alert | None:
        if event.mine:
            self._take_settling()
            self._show(event, when, counts=True)
            return None
        calls = self._event_text.mentions(event)
        self._show(event, when, counts=True, calls=calls)
        self._count_unread(calls)
        return self._alert(event, calls)

    def _count_unread(self, calls: bool) -> None:
        if not self._away():
            return
        log = self.scrollbacks.current
        if log.first_new is None or log.new_is_old:
            log.first_new, log.new_is_old = log.settled[-1].number, False
        log.unread += 1
        log.calls += calls

    def _alert(self, event: events.Message, calls: bool) -> Alert | None:
        wanted = self.notify == "all" or (self.notify == "mention" and calls)
        if not wanted or self.focused:
            return None
        if event.private:
            text = _("{nick} has written to you alone")
        elif calls:
            text = _("{nick} has mentioned you in {room}")
        else:
            text = _("{nick} has written in {room}")
        return Alert(text.format(nick=one_line(event.sender), room=self.room))

    def _sending(self, event: events.Sending, when: datetime) -> None:
        log = self.scrollbacks.log(event.room)
        self.scrollbacks.take_back(event.ref)
        content = self._texts.own(event.text, event.kind, event.to)
        log.sending[event.ref] = ScrollbackEntry(
            self.scrollbacks.number(), when, content, counts=True, ref=event.ref, state=SENDING
        )
        if not self._away():
            log.first_new = None

    def _settled(self, event: events.Settled, _when: datetime) -> None:
        self._settling = event.ref

    def _take_settling(self) -> ScrollbackEntry | None:
        ref, self._settling = self._settling, 0
        return self.scrollbacks.take_back(ref) if ref else None

    def _not_sent(self, event: events.NotSent, when: datetime) -> None:
        ref = self._settling
        entry = self._take_settling()
        if entry is None:
            content = self._texts.own(event.text, "text", None)
            entry = ScrollbackEntry(0, when, content, counts=True)
        refused = replace(
            entry, number=self.scrollbacks.number(), ref=ref, state=REFUSED, reason=event.reason
        )
        self.scrollbacks.settle(self.scrollbacks.log(event.room), refused)

    def _trust_summary(self, event: events.TrustSummary, _when: datetime) -> None:
        self.others, self.verified = event.others, event.verified
        self.known = event.known

    def _notifying(self, event: events.Notifying, when: datetime) -> None:
        if event.mode is not None:
            self.notify = event.mode
        sentences = {
            "all": _("While you look elsewhere, every message rings."),
            "mention": _("While you look elsewhere, mentions and private messages ring."),
            "off": _("Nothing rings."),
        }
        self.say(sentences[self.notify], when)

    def _copying(self, event: events.Copying, when: datetime) -> None:
        countable = [entry for entry in self.scrollbacks.current.entries() if entry.counts]
        if event.place > len(countable):
            self.say(_("There is no such message in this room."), when)
            return
        self.to_copy = countable[-event.place].content.text
        begin = cut(self.to_copy.partition("\n")[0], _SHOWN_COLUMNS)
        text = _("Copied, if the terminal allows it (tmux: set-clipboard on): {begin}")
        self.say(text.format(begin=begin), when)

    def _cleared(self, _event: events.Cleared, _when: datetime) -> None:
        self.scrollbacks.clear()

    def _entered(self, event: events.Connected | events.RoomEntered, when: datetime) -> None:
        self.scrollbacks.enter(event.room)
        self._connection_changed(event, when)

    def _connection_changed(self, event: Event, when: datetime) -> None:
        if self.connection.take(event, when):
            self._show(event, when)
