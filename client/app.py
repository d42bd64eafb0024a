"""The composition root: builds the parts, reads lines, and knows how it ended."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING

from client import commands, completion, events, input_forms, messages
from client.background import StartupKeys
from client.connection.addresses import AddressRing
from client.connection.connection import ClientConnection
from client.console import Console
from client.destination import dial, ending, tls_context, unusable
from client.input.signals import heed
from client.input.waiter import let_run_in_background
from client.local_user import LocalUser
from client.output import json, streams
from client.output.screen import local_now
from client.session import ClientSession
from i18n import _, plural
from protocol.invite import InviteLink
from settings import (
    ClientSettings,
    SettingsError,
    environment,
    history_folder,
    without_settings,
)
from settings.exit_status import ExitStatus
from transport import CertificateUnusable

if TYPE_CHECKING:
    from client.bots.responder import Responder
    from client.history.recorder import Recorder
    from transport import tls

PANIC_SCREEN_SECONDS = 0.5  # for the screen: GNU screen is written some 12 KB
PANIC_SECONDS = 0.2  # for the network's thread, and for the history's file
PROGRAM_SECONDS = 2.0  # for a program that is just being started to be ended
ANSWERS_SECONDS = 300.0  # for each answer to lines that were piped in, once they are sent
QUIT_SECONDS = 2.0  # for the answers to lines that are under way when somebody leaves
_LOOK_SECONDS = 0.2  # while something else than the queue is waited for


def run(settings: ClientSettings, keys: StartupKeys) -> int:
    """Chat until the end; the exit status."""
    try:
        context = tls_context(settings)
    except CertificateUnusable as error:
        _say_unstarted(settings, "certificate", unusable(error))
        return ExitStatus.USAGE
    history = None
    if settings.history:
        # Not before: who keeps no history has nothing of it.
        from pathlib import Path

        from client.history.recorder import Retention, WrongPassphrase, open_history

        folder = Path(history_folder(environment()))
        retention = Retention(settings.history_max, settings.history_days)
        passphrase = settings.history_passphrase or ""
        try:
            history = open_history(folder, settings.server, settings.port, passphrase, retention)
        except WrongPassphrase as error:
            _say_unstarted(settings, error.code, messages.history(error.code))
            return ExitStatus.REFUSED
    if settings.identity is not None:
        # As with the history: nothing of it is loaded for nobody.
        from pathlib import Path

        from client.identity.command import said

        if problem := said(keys.keeper, Path(settings.identity)):
            status, sentence = problem
            _say_unstarted(settings, "identity", sentence)
            return status
    return _Client(settings, context, keys, history).run()


def _say_unstarted(settings: ClientSettings, code: str, sentence: str) -> None:
    """Say why there is not even an attempt to connect; to a program in its form, too."""
    if settings.renderer == "json":
        json.speak_utf8(sys.stdout)
        for event in _failure(code, sentence):
            streams.write("".join(f"{line}\n" for line in json.Json().lines(event, local_now())))
    streams.say(sentence)


def _failure(code: str, sentence: str) -> tuple[events.Event, ...]:
    """What a program is told of an end before there was a beginning."""
    return events.Error(code, sentence), events.Disconnected(code)


def _unsent(count: int) -> str:
    text = plural("{count} line was not sent.", "{count} lines were not sent.", count)
    return text.format(count=count)


def _link(settings: ClientSettings) -> InviteLink:
    """What invite links say of the server."""
    return InviteLink(
        settings.server,
        settings.port,
        tls=settings.use_ssl,
        fingerprint=settings.ssl_fingerprint,
        path=settings.path,
        others=settings.others,
    )


class _Client:
    """One run of the client.  ``_news`` wakes the main thread: joined, ended, interrupted."""

    def __init__(
        self,
        settings: ClientSettings,
        context: tls.Context | None,
        keys: StartupKeys,
        history: Recorder | None = None,
    ) -> None:
        self._settings, self._context, self._history = settings, context, history
        self._address = _link(settings)
        self._last_words = ""
        # Not an Event: only this may be put into by a signal handler at any moment.
        self._news: SimpleQueue[str] = SimpleQueue()
        self._quitting = self._interrupted = False
        self._panicking = self._deleting = self._deleting_identity = False
        self._gone = False  # output has gone
        self._console = Console(
            settings.renderer,
            environment(),
            bell=settings.bell,
            spoken=settings.spoken,
            render_time=settings.render_time,
            messages_to_show=settings.messages_to_show,
            type_ahead=settings.type_ahead,
            mouse=settings.mouse,
            complete=self._complete,
            views=lambda: self._commands.user,
            on_gone=self._on_gone,
            on_drop=lambda: self._commands.user.drop(),
        )
        self._responder = self._make_responder()
        self._keeper = keys.keeper()
        self._session = ClientSession(
            keys.identity(),
            self._address,
            settings.username or "",
            settings.room,
            self._taken_by_all(self._console.screen.show),
            lambda: self._connection.send(),
            proxy=None if settings.proxy is None else settings.proxy.host,
            memory=self._keeper, others=settings.rooms[1:], roams=not settings.rooms_named,
        )  # fmt: skip
        keys.give_secrets(self._session.secrets.give)
        self._connection = self._connect(keys)
        self._commands = commands.CommandContext(
            user := LocalUser(self._session),
            user.emit,
            reconnect=self._connection.retry,
            panic=self._panic,
            quit=self._quit,
            look_back=None if history is None else history.look_back,
            find=self._console.find,
            clock=local_now,
            renderer=self._console.renderer,
        )

    def _connect(self, keys: StartupKeys) -> ClientConnection:
        """The connection, not started yet."""
        settings, console = self._settings, self._console
        addresses = AddressRing(settings.addresses)
        return ClientConnection(
            lambda opened: dial(settings, self._context, opened, addresses.candidates()),
            keys.identity(),
            keys.credentials,
            self._session,
            console.screen.show,
            self._tell,
            settings.reconnect,
            make_keys=keys.link_keys,
            may_ask=console.interactive,
            may_wait=settings.wait and not console.interactive,
            heartbeat=settings.heartbeat,
            await_room=console.screen.await_room,
            addresses=addresses,
            showing=console.screen.held(),
        )

    def _taken_by_all(self, show: Callable[[events.Event], None]) -> Callable[[events.Event], None]:
        """``show``, and before or after it whatever else takes events."""
        if self._history is not None:
            show = self._history.before(show)
        return show if self._responder is None else self._responder.before(show)

    def _make_responder(self) -> Responder | None:
        """What answers messages by a program, not started yet, if anything does."""
        if self._settings.on_message is None:
            return None
        from client.bots.responder import Responder  # nothing of it is loaded for nobody

        return Responder(
            self._settings.on_message,
            without_settings(environment()),
            self._settings.on_bots,
            post=lambda message, text: LocalUser(self._session).answer(message, text),
            most=lambda: self._session.outbox.most or 0,
            now=local_now,
        )

    def run(self) -> int:
        """The main thread: reads lines until there are no more, or nobody to send them to."""
        responder = self._responder
        try:
            return self._run()
        finally:  # whatever it is that ends here
            if responder is not None:
                responder.stop(PROGRAM_SECONDS)

    def _stop_program(self, seconds: float = PROGRAM_SECONDS) -> None:
        if self._responder is not None:
            self._responder.stop(seconds)

    def _run(self) -> int:
        if self._keeper is not None:
            self._keeper.tell(self._warn_identity)
        heed(self._interrupt)
        let_run_in_background()
        status = self._chat()
        if self._panicking:
            self._forget(status)
            return status
        if why := self._console.screen.unwritable:
            status = ExitStatus.UNWRITABLE
            self._say_last(streams.sentence(why))
        self._count_untold()
        if self._history is not None and (lost := self._history.close()):
            self._say_last(messages.history_lost(lost))
        if self._keeper is not None and (code := self._keeper.close()):
            self._say_last(self._of_identity(code))
        if self._last_words:
            streams.say(self._last_words)
        return status

    def _chat(self) -> int:
        self._connection.start()
        news = self._news.get()
        if news in ("joined", "waiting"):
            return self._chat_on_screen()
        self._say_history(joined=False)
        self._connection.leave()
        return ExitStatus.INTERRUPTED if news == "interrupted" else self._ended()

    def _chat_on_screen(self) -> int:
        """Read lines, also before the room is entered, where that takes its time."""
        self._say_history(joined=True)
        if self._responder is not None:
            self._responder.start()
        # Not before: while the keyboard is not seized, Ctrl-C ends an attempt that hangs.
        with self._console:
            self._read_lines()
            if self._panicking:
                return self._vanish()
            status = self._leave()
        early = self._interrupted and not self._connection.joined
        return ExitStatus.INTERRUPTED if early else status

    def _read_lines(self) -> None:
        run_line = input_forms.FORMS[self._settings.input_form]
        while not self._quitting:
            line = self._console.input.next_line()
            if line is None:
                return
            run_line(line, self._commands)
            if self._console.interactive:
                continue  # what is typed beyond that is handed back, and the next key is read
            # A pipe that brings more than can be sent, or than its reader reads, has to wait.
            while not (self._quitting or self._has_capacity()):
                if self._connection.over:
                    return

    def _has_capacity(self) -> bool:
        """Whether there is room for another line, and what comes of it, within a moment."""
        waits = [self._session.wait_capacity, self._console.screen.await_room]
        if self._history is not None:
            waits.append(self._history.wait_capacity)
        return all(has_capacity(_LOOK_SECONDS) for has_capacity in waits)

    def _leave(self) -> int:
        """Why reading has ended decides what is waited for, and the exit status."""
        pipe_ended = not self._quitting and self._console.input.ended == "end"
        if pipe_ended:
            self._await_room()
        if pipe_ended and self._settings.listen:
            while not self._quitting and not self._connection.over and not self._gone:
                self._news.get()
        self._stop_program()
        wants_away = self._quitting or not pipe_ended
        if wants_away:
            self._console.screen.hurry()
        longest = min(self._connection.timeout, ANSWERS_SECONDS)
        self._await_answers(QUIT_SECONDS if wants_away else longest)
        if self._connection.over:
            return self._ended()
        left_over = self._give_up()
        self._connection.leave()
        if wants_away or self._quitting:
            return ExitStatus.LEFT
        if left_over:
            return ExitStatus.LOST
        refused = self._untold() if self._gone else self._session.outbox.refused
        return ExitStatus.REFUSED if refused else ExitStatus.LEFT

    def _untold(self) -> int:
        """Lines that were handed back when there was no output any more to say so."""
        return self._console.screen.undrawn(events.NotSent)

    def _await_room(self) -> None:
        """What was piped in is for the room: the reader thread knows how long to wait for it."""
        while not (self._quitting or self._connection.over or self._connection.joined):
            self._news.get()

    def _vanish(self) -> int:
        """Leave within a second, whatever hangs: nobody's answer is waited for."""
        heed(signal.SIG_IGN)
        self._connection.abort()
        self._stop_program(PANIC_SECONDS)
        self._console.vanish(PANIC_SCREEN_SECONDS)
        status = ExitStatus.LEFT
        # First, since it is quick, and names everybody.
        if self._deleting_identity and self._keeper is not None and not self._keeper.delete():
            streams.say(_("The identity could not be removed: check the disk and its rights."))
            status = ExitStatus.FAILED
        if self._deleting and not self._delete_history():
            streams.say(_("The history could not be removed: check the disk and its rights."))
            status = ExitStatus.FAILED
        return status

    def _delete_history(self) -> bool:
        """Remove this server's history, also one that is not in use now; whether it is gone."""
        if self._history is not None:
            return self._history.delete()
        from pathlib import Path

        from client.history.recorder import delete_history

        try:
            folder = Path(history_folder(environment()))
        except SettingsError:  # there is none for any
            return True
        return delete_history(folder, self._settings.server, self._settings.port)

    def _forget(self, status: int) -> None:
        """Let go of all keys, texts and names; returns only if nothing else holds on to them."""
        ended = self._connection.wait(PANIC_SECONDS) and not self._console.screen.stuck
        if not ended:
            os._exit(status)  # Python would wait for them at the end
        vars(self).clear()
        gc.collect()  # OpenSSL erases a key when nobody holds it any more

    def _await_answers(self, seconds: float) -> None:
        """Wait for the answers to what was typed; who is told to leave does not wait that long."""
        end = time.monotonic() + seconds
        while not self._connection.over and time.monotonic() < end:
            if self._session.wait_answered(_LOOK_SECONDS):
                return
            # What the server's limit lets go later is no silence.
            if self._session.keeps_back() and not self._quitting:
                end = max(end, time.monotonic() + seconds)
            if self._quitting:
                end = min(end, time.monotonic() + QUIT_SECONDS)

    def _ended(self) -> int:
        """The reader thread has ended by itself: say why, and what to do next."""
        outcome = self._connection.outcome
        left_over = self._give_up()
        if outcome.kind == "left":
            return ExitStatus.LEFT
        if self._connection.joined:
            self._console.screen.show(events.Disconnected(outcome.reason))
        status, sentence = ending(outcome, self._settings)
        self._say_why(sentence)
        if outcome.reason == "taken_over" and left_over:
            return ExitStatus.LOST
        return status

    def _say_why(self, sentence: str) -> None:
        """Say why it has ended; a program that was never let in is told by events as well."""
        self._say_last(sentence)
        if self._console.renderer == "json" and not self._connection.joined:
            with self._console:  # it may not have been opened yet
                for event in _failure(self._connection.outcome.reason, sentence):
                    self._console.screen.show(event)

    def _give_up(self) -> int:
        """Hand back what was not sent; how many lines that were."""
        unanswered = self._connection.unanswered
        count = self._session.give_up("timed_out" if unanswered else "disconnected")
        if count and self._console.renderer == "rich":  # where they stand is about to vanish
            self._say_last(_unsent(count))
        return count

    def _count_untold(self) -> None:
        if self._gone and not self._console.interactive and (untold := self._untold()):
            self._say_last(_unsent(untold))

    def _say_history(self, joined: bool) -> None:
        if joined and self._settings.history_from:  # which the person may know nothing of
            text = _("This chat is recorded on this machine: {path} has {setting}.").format(
                path=self._settings.history_from, setting="ENABLE_LOCAL_HISTORY"
            )
            if self._console.interactive:
                self._console.screen.show(events.Notice(text))
            else:
                streams.say(text)
        # What opening the history has found: on the screen, if there is going to be one.
        for sentence in () if self._history is None else self._history.said:
            if joined:
                self._console.screen.show(events.Warning("history", None, sentence))
            else:
                self._say_last(sentence)

    def _warn_identity(self, code: str) -> None:
        self._console.screen.show(events.Warning("identity", None, self._of_identity(code)))

    def _of_identity(self, code: str) -> str:
        return messages.identity(code, {"path": self._settings.identity})

    def _say_last(self, sentence: str) -> None:
        self._last_words = f"{self._last_words}\n{sentence}".lstrip()

    # Called by other threads, and by signal handlers

    def _tell(self, news: str) -> None:
        self._news.put(news)
        if news == "ended":
            self._console.input.stop()

    def _panic(self, delete: bool, identity: bool) -> None:
        self._panicking, self._deleting, self._deleting_identity = True, delete, identity
        self._quit()

    def _on_gone(self) -> None:
        """Nobody sees any more what is shown."""
        self._gone = True
        if self._console.interactive:
            self._quit()
        else:
            self._news.put("gone")

    def _quit(self) -> None:
        self._quitting = True
        self._news.put("quit")
        self._console.input.stop()

    def _interrupt(self, number: int, _frame: object) -> None:
        if self._quitting and number == signal.SIGINT:
            # The second one does not wait for anything; nor may a third one break off the way
            # out, on which the terminal is restored.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            raise KeyboardInterrupt
        self._quitting = self._interrupted = True
        self._news.put("interrupted")
        self._console.input.stop()

    def _complete(self, before: str) -> tuple[int, list[str]]:
        user = self._commands.user
        return completion.complete(before, user.nicks(), user.known_rooms(), user.open_rooms())
