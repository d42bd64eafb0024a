"""What the full-screen view shows, folded together from events.

Pure: no output, and the time comes with each event. ``Model`` knows the rooms' logs, who is
there, how the connection is, and whether somebody is looking.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from client import events, messages
from client.events import Event
from client.fullscreen.entry_text import Bodies
from client.fullscreen.repeats import earlier, gone_on, repeat_of
from client.fullscreen.scrollback import REFUSED, SENDING, Scrollback, ScrollbackEntry, Scrollbacks
from client.output.text import EventText, one_line
from client.output.widths import cut
from client.output.wrapping import Row, Span
from i18n import _

CONNECTED, SILENT, LOST, PAUSED, ENDED = "connected", "silent", "lost", "paused", "ended"
_SHOWN_COLUMNS = 30  # of what was copied
_HOPELESS = ("too_long", "not_text")  # the same line would be refused again


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
        self.connection = CONNECTED
        self.attempt_at: datetime | None = None  # the next one
        self.silent = 0  # seconds without an answer
        self.others = self.verified = 0
        self.notify = "mention"
        self.focused: bool | None = None
        self.at_end = True
        self.to_copy: str | None = None  # whoever draws puts it on the clipboard
        self._layout = EventText()
        self._bodies = Bodies(self._layout)
        self._settling = 0  # the own line that the next answer is about
        self._special: dict[type[Event], Callable[..., Alert | None]] = {
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
            events.NoAnswer: self._no_answer,
            events.Answered: self._answered,
            events.Reconnecting: self._reconnecting,
            events.Reconnected: self._reconnected,
            events.Disconnected: self._disconnected,
            events.Paused: self._paused,
        }

    @property
    def room(self) -> str:
        return one_line(self._layout.room)

    @property
    def nick(self) -> str:
        return one_line(self._layout.nick)

    @property
    def proxy(self) -> str:
        return one_line(self._layout.proxy)

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
        before = None if repeat is None else earlier(log.settled, repeat)
        if repeat is not None and before is not None and before.repeat is not None:
            repeat = gone_on(before.repeat, repeat)
        shown = repeat is not None and repeat.count > 1
        body = self._bodies.again(event, repeat) if repeat and shown else self._bodies.body(event)
        if body is None:
            return
        number = self.scrollbacks.number()
        entry = ScrollbackEntry(number, when, body.mark, body.rows, repeat=repeat)
        if before is None:
            self.scrollbacks.settle(log, entry)
        else:
            self.scrollbacks.go_on(log, before, entry)

    def _show(
        self, event: Event, when: datetime, counts: bool = False, calls: bool = False
    ) -> None:
        body = self._bodies.body(event)
        if body is not None:
            entry = ScrollbackEntry(
                self.scrollbacks.number(), when, body.mark, body.rows, counts, calls,
                lead=body.lead, private=body.private,
            )  # fmt: skip
            self.scrollbacks.settle(self.scrollbacks.current, entry)

    def _message(self, event: events.Message, when: datetime) -> Alert | None:
        if event.mine:
            self._take_settling()
            self._show(event, when, counts=True)
            return None
        calls = self._layout.mentions(event)
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
        body = self._bodies.own(event.text, event.kind, event.to)
        log.sending[event.ref] = ScrollbackEntry(
            self.scrollbacks.number(), when, body.mark, body.rows, counts=True, ref=event.ref,
            state=SENDING, lead=body.lead, private=body.private,
        )  # fmt: skip
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
            body = self._bodies.own(event.text, "text", None)
            entry = ScrollbackEntry(0, when, body.mark, body.rows, counts=True)
        again_at = None
        if event.retry_after is not None:
            again_at = when + timedelta(seconds=min(max(event.retry_after, 0.0), 86400.0))
        refused = replace(
            entry, number=self.scrollbacks.number(), ref=ref, state=REFUSED, reason=event.reason,
            again_at=again_at,
        )  # fmt: skip
        self.scrollbacks.settle(self.scrollbacks.log(event.room), refused)

    def _trust_summary(self, event: events.TrustSummary, _when: datetime) -> None:
        self.others, self.verified = event.others, event.verified

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
        self.to_copy = countable[-event.place].text
        begin = cut(self.to_copy.partition("\n")[0], _SHOWN_COLUMNS)
        text = _("Copied, if the terminal allows it (tmux: set-clipboard on): {begin}")
        self.say(text.format(begin=begin), when)

    def _cleared(self, _event: events.Cleared, _when: datetime) -> None:
        self.scrollbacks.clear()

    def _entered(self, event: events.Connected | events.RoomEntered, when: datetime) -> None:
        self.connection, self.attempt_at = CONNECTED, None
        self.scrollbacks.enter(event.room)
        self._show(event, when)

    def _no_answer(self, event: events.NoAnswer, when: datetime) -> None:
        if self.connection != SILENT:  # the others of a row are only counted
            self._show(event, when)
        self.connection, self.silent = SILENT, event.seconds

    def _answered(self, event: events.Answered, when: datetime) -> None:
        self.connection = CONNECTED
        self._show(event, when)

    def _reconnecting(self, event: events.Reconnecting, when: datetime) -> None:
        if self.connection != LOST:  # the others of a row are only counted down
            self._show(event, when)
        self.connection = LOST
        self.attempt_at = when + timedelta(seconds=event.delay)

    def _reconnected(self, event: events.Reconnected, when: datetime) -> None:
        self.connection, self.attempt_at = CONNECTED, None
        self._show(event, when)

    def _paused(self, event: events.Paused, when: datetime) -> None:
        self.connection, self.attempt_at = PAUSED, None
        self._show(event, when)

    def _disconnected(self, event: events.Disconnected, when: datetime) -> None:
        self.connection, self.attempt_at = ENDED, None
        self._show(event, when)


def seconds_until(moment: datetime, now: datetime) -> float:
    """Seconds that are left; 0 when it has passed."""
    return max(0.0, (moment - now).total_seconds())


def state_of(entry: ScrollbackEntry, connection: str, now: datetime) -> str:
    """What is to be said about one's own line: nothing once the server has taken it."""
    if entry.state == SENDING:
        return _("sending…") if connection in (CONNECTED, SILENT) else _("waits for the connection")
    if entry.state != REFUSED:
        return ""
    left = None if entry.again_at is None else seconds_until(entry.again_at, now)
    if left == 0.0:
        return _("not sent; /resend or Alt-S sends it again now")
    wait = None if left is None else messages.about(left)
    reason = messages.not_sent(entry.reason, {"retry_after": wait})
    if entry.reason in _HOPELESS:
        return _("not sent: {reason}").format(reason=reason)
    return _("not sent: {reason} (/resend)").format(reason=reason)


def counts_down(entry: ScrollbackEntry, now: datetime) -> bool:
    """Whether what is said about an entry changes with the time."""
    return entry.again_at is not None and entry.again_at > now


def rows_of(entry: ScrollbackEntry, state: str) -> tuple[Row, ...]:
    """The rows of an entry with what is to be said about it."""
    if not state:
        return entry.rows
    if entry.state == SENDING:
        last = entry.rows[-1]
        marked = Row((*last.spans, Span("  "), Span(state, "quiet")), last.indent)
        return (*entry.rows[:-1], marked)
    return (*entry.rows, Row((Span(f"! {state}", "alarm"),), 2))


__all__ = [
    "CONNECTED", "ENDED", "LOST", "PAUSED", "Alert", "Model", "Scrollback", "counts_down",
    "rows_of", "seconds_until", "state_of",
]  # fmt: skip
