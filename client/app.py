"""The composition root: builds the parts, reads lines, and knows how it ended."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

from client import commands, events, wording
from client.ahead import Keys
from client.connection import ATTEMPT_SECONDS, Connection
from client.console.start import Console
from client.session import Session
from i18n import _, plural
from protocol.invite import Invite
from settings import ClientSettings, environment
from transport import CertificateUnusable, tls
from transport.sockets import Stream
from transport.websocket import WebSocket, connect

EXIT_LEFT, EXIT_USAGE, EXIT_UNREACHABLE, EXIT_REFUSED, EXIT_LOST = 0, 2, 3, 4, 5
EXIT_INTERRUPTED = 130
QUIT_SECONDS = 2.0  # for the answers to lines that are under way when somebody leaves
# Before `welcome` has told how large a message can be; a hostile server can send no more.
MAX_INCOMING = 8 * 1024 * 1024
_LOOK_SECONDS = 0.2  # while something else than the queue is waited for


def run(settings: ClientSettings, keys: Keys) -> int:
    """Chat until the end; the exit status."""
    try:
        context = tls_context(settings)
    except CertificateUnusable as error:
        print(unusable(error), file=sys.stderr)
        return EXIT_USAGE
    return _Client(settings, context, keys).run()


class _Tls(Protocol):
    """The TLS part of the settings of several commands."""

    @property
    def use_ssl(self) -> bool: ...

    @property
    def ssl_ca(self) -> str | None: ...

    @property
    def ssl_fingerprint(self) -> str | None: ...


def unusable(error: CertificateUnusable) -> str:
    """What to do about a file or fingerprint that TLS cannot use."""
    if error.reason == "fingerprint":
        return _("--ssl-fingerprint takes the 64 hexadecimal digits of a SHA-256.")
    if error.reason in ("missing", "unreadable"):
        return _("The file {path} cannot be read: check --ssl-ca.").format(path=error.path)
    return _("The file {path} holds no certificate in PEM form: check --ssl-ca.").format(
        path=error.path
    )


def tls_context(settings: _Tls) -> tls.Context | None:
    """How to check the server's certificate, None without TLS.  Raises CertificateUnusable."""
    if not settings.use_ssl:
        return None
    return tls.client_context(settings.ssl_ca, settings.ssl_fingerprint)


class _Client:
    """One run of the client.  ``_news`` wakes the main thread: joined, ended, interrupted."""

    def __init__(
        self, settings: ClientSettings, context: tls.Context | None, keys: Keys
    ) -> None:
        self._settings, self._context = settings, context
        self._address = Invite(
            settings.server,
            settings.port,
            tls=settings.use_ssl,
            fingerprint=settings.ssl_fingerprint,
        )
        self._last_words = ""
        # Not an Event: only this may be put into by a signal handler at any moment.
        self._news: SimpleQueue[str] = SimpleQueue()
        self._quitting = False
        self._console = Console(
            settings.renderer,
            environment(),
            bell=settings.bell,
            render_time=settings.render_time,
            messages_to_show=settings.messages_to_show,
            complete=self._complete,
            on_gone=self._quit,
        )
        identity = keys.identity()
        self._session = Session(
            identity,
            self._address,
            settings.username or "",
            settings.room,
            self._console.screen.show,
            self._send,
            self._quit,
            self._retry,
        )
        if settings.room_secret is not None:
            self._session.set_secret(settings.room, settings.room_secret)
        self._connection = Connection(
            self._dial,
            identity,
            keys.credentials,
            self._session,
            self._console.screen.show,
            self._tell,
            settings.reconnect,
            make_keys=keys.link_keys,
            may_ask=self._console.interactive,
        )

    def run(self) -> int:
        """The main thread: reads lines until there are no more, or nobody to send them to."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._interrupt)
        status = self._chat()
        if self._last_words:
            print(self._last_words, file=sys.stderr)
        return status

    def _chat(self) -> int:
        self._connection.start()
        news = self._news.get()
        if news != "joined":
            self._connection.leave()
            return EXIT_INTERRUPTED if news == "interrupted" else self._ended()
        # Not before: while the keyboard is not seized, Ctrl-C ends an attempt that hangs.
        with self._console:
            self._read_lines()
            return self._leave()

    def _read_lines(self) -> None:
        while not self._quitting:
            line = self._console.input.next_line()
            if line is None:
                return
            commands.run_line(line, self._session, self._console.renderer)
            # A pipe that brings more than can be sent has to wait.
            while not (self._quitting or self._session.wait_capacity(_LOOK_SECONDS)):
                if self._connection.over:
                    return

    def _leave(self) -> int:
        """Why reading has ended decides what is waited for, and the exit status."""
        pipe_ended = not self._quitting and self._console.input.ended == "end"
        if pipe_ended and self._settings.listen:
            while not self._quitting and not self._connection.over:
                self._news.get()
        wants_away = self._quitting or not pipe_ended
        if wants_away:
            self._console.screen.hurry()
        self._await_answers(QUIT_SECONDS if wants_away else self._connection.timeout)
        if self._connection.over:
            return self._ended()
        left_over = self._give_up()
        self._connection.leave()
        if wants_away or self._quitting:
            return EXIT_LEFT
        if left_over:
            return EXIT_LOST
        return EXIT_REFUSED if self._session.refused else EXIT_LEFT

    def _await_answers(self, seconds: float) -> None:
        """Wait for the answers to what was typed; who is told to leave does not wait that long."""
        end = time.monotonic() + seconds
        while not self._connection.over and time.monotonic() < end:
            if self._session.wait_answered(_LOOK_SECONDS):
                return
            if self._quitting:
                end = min(end, time.monotonic() + QUIT_SECONDS)

    def _ended(self) -> int:
        """The reader thread has ended by itself: say why, and what to do next."""
        ending = self._connection.ending
        self._give_up()
        if ending.kind == "left":
            return EXIT_LEFT
        if self._connection.joined:
            self._console.screen.show(events.Disconnected(ending.reason))
        if ending.kind == "unreachable":
            self._say_last(wording.unreachable(ending.reason, self._address.server))
            return EXIT_UNREACHABLE
        if ending.kind == "refused":
            self._say_last(wording.refused(ending.reason, ending.params))
            return EXIT_REFUSED
        self._say_last(wording.lost(ending.reason))
        return EXIT_LOST

    def _give_up(self) -> int:
        """Hand back what was not sent; how many lines that were."""
        count = self._session.give_up("disconnected")
        if count and self._console.renderer == "rich":  # where they stand is about to vanish
            text = plural("{count} line was not sent.", "{count} lines were not sent.", count)
            self._say_last(text.format(count=count))
        return count

    def _say_last(self, sentence: str) -> None:
        self._last_words = f"{self._last_words}\n{sentence}".lstrip()

    # Called by other threads, and by signal handlers

    def _send(self) -> None:
        self._connection.send()

    def _retry(self) -> None:
        self._connection.retry()

    def _tell(self, news: str) -> None:
        self._news.put(news)
        if news == "ended":
            self._console.input.stop()

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
        self._quitting = True
        self._news.put("interrupted")
        self._console.input.stop()

    def _dial(self, opened: Callable[[Stream], None]) -> WebSocket:
        return connect(
            self._settings.server,
            self._settings.port,
            tls=self._context,
            timeout=ATTEMPT_SECONDS,
            max_message_size=MAX_INCOMING,
            opened=opened,
        )

    def _complete(self, before: str) -> tuple[int, list[str]]:
        return commands.complete(before, self._session.nicks(), self._session.known_rooms())
