"""What the full-screen view shows, folded together from events.

Pure: no output, and the time comes with each event. ``Model`` knows the views and their logs, who
is there, how the connection is, and whether somebody is looking.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from client import events
from client.events import Event
from client.fullscreen.connection_status import CHANGES, ConnectionStatus
from client.fullscreen.entry_text import EntryText, EntryTexts
from client.fullscreen.repeats import gone_on, repeat_of
from client.fullscreen.scrollback import (
    GUARDED,
    REFUSED,
    SENDING,
    SHUT_OUT,
    Scrollback,
    ScrollbackEntry,
    Scrollbacks,
)
from client.output.secret_rooms import SecretRooms
from client.output.shown_views import ViewSummary
from client.output.text import EventText, one_line
from client.output.widths import cut
from client.views import PersonTarget
from i18n import _
from protocol.dataclass import dataclass, replace

_SHOWN_COLUMNS = 30  # of what was copied


@dataclass(frozen=True)
class Alert:
    """Something that is to be noticed from elsewhere; ``text`` says of whom, never what."""

    text: str


class Model:
    """The state that the view draws. ``take`` is the only way in, but for what keys change:
    ``focused`` (None: the terminal does not tell) and a log's ``at_end`` (its newest entry is
    seen). ``to_copy`` is taken away by whoever draws."""

    def __init__(self) -> None:
        self.scrollbacks = Scrollbacks()
        self.connection = ConnectionStatus()
        self.notify = "mention"
        self.focused: bool | None = None
        self.to_copy: str | None = None  # whoever draws puts it on the clipboard
        self._event_text = EventText()
        self.views = self._event_text.views
        self._texts = EntryTexts(self._event_text)
        self._secrets = SecretRooms()
        self._settling = 0  # the own line that the next answer is about
        self._called: dict[str, str] = {}  # key: a person's view; the nickname that it has
        # What was said last of a room's end, and in which view (its key).
        self._parting: list[tuple[Event, datetime, str]] = []
        self._special: dict[type[Event], Callable[..., Alert | None]] = {
            **dict.fromkeys(CHANGES, self._connection_changed),
            events.LinesWaiting: self.connection.keep_back,
            events.Views: self._views_changed,
            events.Message: self._message,
            events.Sending: self._sending,
            events.Settled: self._settled,
            events.NotSent: self._not_sent,
            events.TrustSummary: self._trust_summary,
            events.MemberJoined: self._repeated,
            events.MemberLeft: self._repeated,
            events.MemberRenamed: self._renamed,
            events.Crowd: self._repeated,
            events.Warning: self._warning,
            events.Missed: self._missed,
            events.Notifying: self._notifying,
            events.Copying: self._copying,
            events.Cleared: self._cleared,
        }

    @property
    def name(self) -> str:
        """How the view that is shown is called."""
        return one_line(self.views.name)

    @property
    def log(self) -> Scrollback:
        """What is in it."""
        return self.scrollbacks.current

    @property
    def nick(self) -> str:
        return one_line(self._event_text.nick)

    @property
    def proxy(self) -> str:
        return one_line(self._event_text.proxy)

    @property
    def summaries(self) -> tuple[ViewSummary, ...]:
        """The views, and what is new in each of them."""
        views = enumerate(self.views.views, 1)
        logs = ((number, view, self.scrollbacks.log(view.key)) for number, view in views)
        return tuple(ViewSummary(number, view, log.unread, log.calls) for number, view, log in logs)

    def take(self, event: Event, when: datetime) -> Alert | None:
        """Fold one event in; what is to be noticed of it, if nobody looks."""
        before = self.views.key
        self.views.take(event)
        self._secrets.take(event)
        if self.views.key != before or isinstance(event, events.Views):
            self._turn()
        special = self._special.get(type(event))
        if special is not None:
            alert = special(event, when)
        else:
            alert = None
            self._show(event, when)
        self._note_parting(event, when)
        return alert

    def say(self, text: str, when: datetime) -> None:
        """Show a sentence of the program's own."""
        self._show(events.Notice(text), when)

    def looked(self) -> None:
        """Somebody looks at the end of the view: nothing in it is unread any more."""
        log = self.log
        if self._away(log):
            return
        log.unread = log.calls = 0
        log.new_is_old = True

    def unread(self) -> int:
        """Messages that nobody has seen, for the window's title."""
        return sum(self.scrollbacks.log(view.key).unread for view in self.views.views)

    def _turn(self) -> None:
        """Show the view that is shown by now."""
        if self.views.shown is not None:
            self.scrollbacks.open(self.views.views, self.views.shown)
            self.looked()

    def _away(self, log: Scrollback) -> bool:
        """Whether nobody sees what comes at the end of a log."""
        return log is not self.log or self.focused is False or not log.at_end

    def _views_changed(self, event: events.Views, when: datetime) -> None:
        """What was said of the end of the room that was shown is read in another one; and people
        have other nicknames."""
        kept = {view.key for view in event.views}
        for said, then, key in self._parting:
            if key not in kept:
                self._show(said, then)
        called, people = self._called, [v for v in event.views if isinstance(v, PersonTarget)]
        self._called = {view.key: view.nick for view in people}
        for key, nick in self._called.items():
            if (before := called.get(key, nick)) != nick:
                renamed = events.MemberRenamed("", before, nick)
                self._settle(self.scrollbacks.log(key), self._texts.content(renamed), when)

    def _note_parting(self, event: Event, when: datetime) -> None:
        about = isinstance(event, events.RoomLeft | events.Error) and event.room is not None
        if about:
            self._parting.append((event, when, self.log.key))
        elif not isinstance(event, events.TrustSummary):
            self._parting.clear()

    def _log_of(self, event: Event) -> Scrollback:
        return self.scrollbacks.log(self.views.place(event))

    def _repeated(self, event: Event, when: datetime) -> None:
        """Show what may come again and again: since the last message, it has one line."""
        log, repeat = self._log_of(event), repeat_of(event)
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

    def _show(self, event: Event, when: datetime) -> None:
        self._settle(self._log_of(event), self._texts.content(event), when)

    def _settle(self, log: Scrollback, content: EntryText | None, when: datetime) -> None:
        if content is not None:
            entry = ScrollbackEntry(self.scrollbacks.number(), when, content)
            self.scrollbacks.settle(log, entry)

    def _renamed(self, event: events.MemberRenamed, when: datetime) -> None:
        """Each room tells it; a person with whom one talks has no room to say one's own."""
        before = self.nick
        self._show(event, when)
        if before != self.nick and self.log.is_private:
            self._settle(self.log, self._texts.content(event), when)

    def _warning(self, event: events.Warning, when: datetime) -> None:
        self._repeated(event, when)
        if not event.is_quiet:
            self._count_elsewhere(self._log_of(event), calls=True)

    def _missed(self, event: events.Missed, when: datetime) -> None:
        self._show(event, when)
        self._count_elsewhere(self._log_of(event), calls=False)

    def _message(self, event: events.Message, when: datetime) -> Alert | None:
        if event.mine:
            self._take_settling()
        log, calls = self._log_of(event), self._event_text.mentions(event)
        content = self._texts.message(event, log.is_private, calls)
        entry = ScrollbackEntry(self.scrollbacks.number(), when, content, True, calls)
        if self._secrets.is_shut_out(event):
            reason = GUARDED if self._secrets.is_guarded(event.room) else ""
            entry = replace(entry, state=SHUT_OUT, reason=reason)
        self.scrollbacks.settle(log, entry)
        if event.mine:
            return None
        if self._away(log):
            self._count(log, calls)
        return self._alert(event, log, calls)

    def _count_elsewhere(self, log: Scrollback, calls: bool) -> None:
        """Something of that log is to be seen that is no message, if it is not looked at."""
        if log is not self.log:
            self._count(log, calls)

    def _count(self, log: Scrollback, calls: bool) -> None:
        if log.settled and (log.first_new is None or log.new_is_old):
            log.first_new, log.new_is_old = log.settled[-1].number, False
        log.unread += 1
        log.calls += calls

    def _alert(self, event: events.Message, log: Scrollback, calls: bool) -> Alert | None:
        wanted = self.notify == "all" or (self.notify == "mention" and calls)
        if not wanted or (self.focused and log is self.log):
            return None
        if event.private:
            text = _("{nick} has written to you alone")
        elif calls:
            text = _("{nick} has mentioned you in {room}")
        else:
            text = _("{nick} has written in {room}")
        return Alert(text.format(nick=one_line(event.sender), room=one_line(event.room)))

    def _sending(self, event: events.Sending, when: datetime) -> None:
        log = self._log_of(event)
        self.scrollbacks.take_back(event.ref)
        content = self._texts.own(event.text, event.kind, event.to, log.is_private)
        log.sending[event.ref] = ScrollbackEntry(
            self.scrollbacks.number(), when, content, counts=True, ref=event.ref, state=SENDING
        )
        if not self._away(log):
            log.first_new = None

    def _settled(self, event: events.Settled, _when: datetime) -> None:
        self._settling = event.ref

    def _take_settling(self) -> ScrollbackEntry | None:
        ref, self._settling = self._settling, 0
        return self.scrollbacks.take_back(ref) if ref else None

    def _not_sent(self, event: events.NotSent, when: datetime) -> None:
        ref = self._settling
        entry, log = self._take_settling(), self._log_of(event)
        if entry is None:
            content = self._texts.own(event.text, "text", event.to, log.is_private)
            entry = ScrollbackEntry(0, when, content, counts=True)
        refused = replace(
            entry, number=self.scrollbacks.number(), ref=ref, state=REFUSED, reason=event.reason
        )
        self.scrollbacks.settle(log, refused)
        self._count_elsewhere(log, calls=True)

    def _trust_summary(self, event: events.TrustSummary, _when: datetime) -> None:
        log = self._log_of(event)
        log.others, log.verified, log.known = event.others, event.verified, event.known

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
        countable = [entry for entry in self.log.entries() if entry.counts]
        if event.place > len(countable):
            self.say(_("There is no such message in this room."), when)
            return
        self.to_copy = countable[-event.place].content.text
        begin = cut(self.to_copy.partition("\n")[0], _SHOWN_COLUMNS)
        text = _("Copied, if the terminal allows it (tmux: set-clipboard on): {begin}")
        self.say(text.format(begin=begin), when)

    def _cleared(self, _event: events.Cleared, _when: datetime) -> None:
        self.scrollbacks.clear()

    def _connection_changed(self, event: Event, when: datetime) -> None:
        if self.connection.take(event, when):
            self._show(event, when)
