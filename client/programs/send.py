"""``cmd_chat.py send``: one message, and perhaps the answer to it.

The status says what is known of it. What went out and was not answered is never sent again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import BinaryIO

from client import events, messages
from client.background import StartupKeys
from client.input.pipes import open_pipe
from client.input.source import STOPPED
from client.outbox import Line
from client.output import streams
from client.programs import visit as visits
from client.programs.delivery import Delivery
from client.programs.visit import LOOK_SECONDS, Ended, Make, Visit
from client.programs.wanted import Wanted
from i18n import _
from settings import SendSettings, SettingsError
from settings.errors import reason
from settings.exit_status import ExitStatus

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # before a nickname that is in use is asked for again
_MOST_BYTES = 64 * 1024  # of a text; no server takes more


def run(settings: SendSettings, keys: StartupKeys) -> int:
    """Send, and wait for what was asked for; the exit status.  Raises SettingsError."""
    with _opened(settings.file) as file:
        send = _Send(settings, file)
        return visits.run(settings.client, keys, send.wants, send.stay)


def _opened(path: str | None) -> BinaryIO:
    """Where texts are read from; standard input without a path."""
    try:
        if path is not None:
            return open(path, "rb")
        return open(0 if sys.stdin is None else sys.stdin.fileno(), "rb", closefd=False)
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str | None, error: OSError | UnicodeError) -> SettingsError:
    sentence = _("{setting} cannot be {value}: {why}.")
    setting, value = ("TEXT", "-") if path is None else ("--file", path)
    return SettingsError(sentence.format(setting=setting, value=repr(value), why=reason(error)))


def _not_sent(code: str) -> str:
    return _("Not sent: {reason}.").format(reason=messages.not_sent(code))


class _Send:
    """One run of ``send``.  For the main thread, but for ``wants``."""

    def __init__(self, settings: SendSettings, file: BinaryIO) -> None:
        self._settings, self._file = settings, file
        self._delivery = Delivery(settings.client.room, settings.to)
        self._wanted: Wanted | None = None
        if settings.pattern is not None:
            self._wanted = Wanted(settings.sender, settings.pattern)
        self._answer: events.Message | None = None
        self._end = 0.0  # by the clock
        self._pause = _FIRST_PAUSE
        self._taken: Ended | None = None  # how the last visit did, if the nickname was in use

    def wants(self, event: events.Event) -> bool:
        """Whether an event has to do with what is sent, or with an answer."""
        if isinstance(event, events.Message):
            return event.mine or self._wanted is not None
        return isinstance(
            event,
            events.Settled | events.NotSent | events.Connected | events.RoomEntered
            | events.NickAwaited,
        )  # fmt: skip

    def stay(self, make: Make) -> int:
        """The whole of it.  Raises Ended, SettingsError, Unwritable, BrokenPipeError."""
        if not self._settings.lines:
            self._delivery.unsent.append(self._delivery.line(self._whole()))
        if self._wanted is not None:
            streams.check()
        self._extend()
        while True:
            visit = make()
            with visit:
                try:
                    self._enter(visit)
                    return self._converse(visit)
                except Ended as ended:
                    why = self._concluded(visit, ended)
                except KeyboardInterrupt:
                    self._concluded(visit, Ended(ExitStatus.INTERRUPTED))
                    raise
            if not self._may_try_again(visit):
                raise why
            self._taken = why

    def _concluded(self, visit: Visit, ended: Ended) -> Ended:
        """Nothing more will come: say what that leaves open; the end that it comes to."""
        if self._taken and not visit.connection.joined and ended.status == ExitStatus.TIMED_OUT:
            return self._taken
        visit.session.give_up("timed_out")
        for event in visit.rest():
            self._delivery.take(event)
        status, said = self._delivery.verdict(ended.status)
        for sentence in said:
            streams.say(sentence)
        return Ended(status, ended.sentence)

    def _whole(self) -> str:
        """All that is to be sent, as one text without its last line ends.

        Raises SettingsError, and Ended where it is longer than anybody takes.
        """
        text = self._settings.text
        if text is None:
            try:
                data = self._file.read(_MOST_BYTES + 1)
                if len(data) > _MOST_BYTES:
                    raise Ended(ExitStatus.REFUSED, _not_sent("too_long"))
                text = data.decode("utf-8-sig").replace("\r\n", "\n")
            except (OSError, UnicodeError) as error:
                raise _unreadable(self._settings.file, error) from None
        if not text.strip():
            raise SettingsError(_("There is nothing to send: the text is empty."))
        return text.rstrip("\n")

    # The way in

    def _may_try_again(self, visit: Visit) -> bool:
        """Whether the nickname was in use, and has been waited for."""
        settings = self._settings.client
        if visit.connection.outcome.reason != "nick_taken" or not settings.wait:
            return False
        pause = self._pause
        self._pause = min(2 * pause, _LONGEST_PAUSE)
        if self._delivery.taken or time.monotonic() + pause > self._end:
            return False
        visit.pause(pause)
        return True

    def _enter(self, visit: Visit) -> None:
        """Wait for the room.  Raises Ended."""
        too_late = _("It took too long to be let in.")
        while not isinstance(event := self._next(visit, too_late), events.Connected):
            if isinstance(event, events.NickAwaited):
                left = self._end - time.monotonic()
                if event.delay > left:  # it would be waited for in vain
                    sentence = messages.refusal("nick_lost", {"retry_after": event.delay})
                    raise Ended(ExitStatus.REFUSED, sentence)

    # In the room

    def _converse(self, visit: Visit) -> int:
        self._post(visit, self._delivery.again())
        if self._settings.lines:
            self._post_lines(visit)
        while self._delivery.pending or self._delivery.unsent:
            self._look(visit)
        status, _said = self._delivery.verdict(ExitStatus.LEFT)
        if self._wanted is not None and status == ExitStatus.LEFT:
            self._print_answer(visit)
        return status

    def _post_lines(self, visit: Visit) -> None:
        """Post lines as they come, to the end of the input or of the connection."""
        source = open_pipe(self._file)
        visit.on_end = source.stop
        try:
            while (line := source.next_line()) is not None:
                self._extend()  # each has its own time
                if line.strip():
                    self._post(visit, [self._delivery.line(line)])
                while not visit.session.wait_capacity(LOOK_SECONDS):
                    self._look(visit)
                for event in visit.rest():
                    self._take(visit, event)
        finally:
            source.close()
        while source.ended == STOPPED:  # there may be more, and nobody to send it to
            self._look(visit)

    def _post(self, visit: Visit, lines: Iterable[Line]) -> None:
        for line in lines:
            visit.user.post(line)
            self._delivery.posted(line)

    def _look(self, visit: Visit) -> None:
        """Take the next event.  Raises Ended, also when time is up."""
        self._take(visit, self._next(visit))

    def _next(self, visit: Visit, too_late: str = "") -> events.Event | None:
        if self._settings.lines and visit.session.keeps_back():
            self._extend()  # what the server's limit lets go later is no silence
        left = self._end - time.monotonic()
        event = visit.next(min(left, LOOK_SECONDS) if self._settings.lines else left)
        if event is None and time.monotonic() >= self._end:
            raise Ended(ExitStatus.TIMED_OUT, too_late)
        return event

    def _take(self, visit: Visit, event: events.Event | None) -> None:
        if event is None:
            return
        if isinstance(event, events.RoomEntered):
            self._post(visit, self._delivery.again())
        before = self._delivery.taken
        if said := self._delivery.take(event):
            streams.say(said)
        if self._delivery.taken > before:
            self._note_taken(visit)
        elif isinstance(event, events.Message) and self._wanted and self._answer is None:
            self._answer = event if self._wanted.takes(event) else None

    def _note_taken(self, visit: Visit) -> None:
        if self._settings.lines:
            self._extend()
        if self._delivery.taken == 1 and self._settings.to is None:
            if len(visit.user.nicks()) == 1:
                text = _("Nobody else is in {room}, so nobody has read that.")
                streams.say(text.format(room=visit.user.room))

    def _extend(self) -> None:
        self._end = time.monotonic() + self._settings.timeout

    def _print_answer(self, visit: Visit) -> None:
        from client.programs.printing import Printer

        while self._answer is None:
            try:
                self._look(visit)
            except Ended as ended:
                if ended.status == ExitStatus.TIMED_OUT:
                    raise Ended(ended.status, _("No answer came in time.")) from None
                raise
        Printer(self._settings.form, self._settings.client.rooms).print(self._answer)
