"""One membership without a screen: its events come in order to the main thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue

from client import messages
from client.background import StartupKeys
from client.connection.connection import ClientConnection
from client.destination import dial, ending, tls_context, unusable
from client.events import Event
from client.input.signals import heed
from client.local_user import LocalUser
from client.output import streams
from client.session import ClientSession
from protocol.invite import InviteLink
from settings import ClientSettings
from settings.exit_status import ExitStatus
from transport import CertificateUnusable, tls

LOOK_SECONDS = 0.1  # between two looks at what sends no event
_MOST_EVENTS = 1000  # that wait; the network waits then

Make = Callable[[], "Visit"]


class Ended(Exception):
    """There is nothing more to be done: the exit status, and the sentence about it, or nothing."""

    def __init__(self, status: int, sentence: str = "") -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


class Visit:
    """A session and its connection.  ``wants``: the events to be told of; called by any thread."""

    def __init__(
        self,
        settings: ClientSettings,
        context: tls.Context | None,
        keys: StartupKeys,
        wants: Callable[[Event], bool],
    ) -> None:
        self._settings, self._wants = settings, wants
        self._news: SimpleQueue[Event | None] = SimpleQueue()  # None: the end, or a signal
        self._signals: SimpleQueue[int] = SimpleQueue()  # that tell to go
        self.on_end: Callable[[], None] = lambda: None
        self.session = ClientSession(
            keys.identity(),
            InviteLink(settings.server, settings.port),
            settings.username or "",
            settings.room,
            self._emit,
            lambda: self.connection.send(),
            memory=keys.keeper(),
        )
        keys.give_secrets(self.session.secrets.give)
        self.user = LocalUser(self.session)
        self.connection = ClientConnection(
            lambda opened: dial(settings, context, opened),
            keys.identity(),
            keys.credentials,
            self.session,
            self._emit,
            self._tell,
            settings.reconnect,
            make_keys=keys.link_keys,
            may_wait=settings.wait,
            heartbeat=settings.heartbeat,
            await_room=self._await_room,
        )

    def __enter__(self) -> Visit:
        heed(self._interrupt)
        self.connection.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.connection.leave()

    def next(self, seconds: float) -> Event | None:
        """The next event, None if none comes so soon.

        Raises Ended where nothing will come, and KeyboardInterrupt after a signal to go.
        """
        try:
            event = self._news.get(timeout=max(0.0, seconds))
        except Empty:
            return None
        if not self._signals.empty():
            raise KeyboardInterrupt
        if event is None:
            raise Ended(*ending(self.connection.outcome, self._settings))
        return event

    def rest(self) -> list[Event]:
        """What has come and was not taken."""
        found = []
        while not self._news.empty() and (event := self._news.get()) is not None:
            found.append(event)
        if self.connection.over or not self._signals.empty():
            self._news.put(None)  # for ``next``
        return found

    def pause(self, seconds: float) -> None:
        """Wait.  Raises KeyboardInterrupt after a signal to go."""
        with suppress(Empty):
            self._signals.get(timeout=seconds)
            raise KeyboardInterrupt

    # Called by other threads, and by signal handlers

    def _emit(self, event: Event) -> None:
        if self._wants(event):
            self._news.put(event)

    def _tell(self, news: str) -> None:
        if news == "ended":
            self._news.put(None)
            self.on_end()

    def _interrupt(self, number: int, _frame: object) -> None:
        # Raised here it could come in the middle of anything; the second one waits for nothing.
        if not self._signals.empty():
            raise KeyboardInterrupt
        self._signals.put(number)
        self._news.put(None)
        self.on_end()

    def _await_room(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self._news.qsize() >= _MOST_EVENTS:
            if time.monotonic() >= end:
                return False
            time.sleep(LOOK_SECONDS / 10)
        return True


def run(
    settings: ClientSettings,
    keys: StartupKeys,
    wants: Callable[[Event], bool],
    stay: Callable[[Make], int],
) -> int:
    """Let ``stay`` make its visits, and say why they have ended; the exit status.

    Raises Unwritable, BrokenPipeError and KeyboardInterrupt as ``stay`` does.
    """
    try:
        context = tls_context(settings)
        _open_identity(settings, keys)
        return stay(lambda: Visit(settings, context, keys, wants))
    except CertificateUnusable as error:
        streams.say(unusable(error))
        return ExitStatus.USAGE
    except Ended as ended:
        if ended.sentence:
            streams.say(ended.sentence)
        return ended.status
    finally:
        _close_identity(settings, keys)


def _open_identity(settings: ClientSettings, keys: StartupKeys) -> None:
    if settings.identity is not None:
        from client.identity.command import said  # nothing of it is loaded for nobody

        if problem := said(keys.keeper, Path(settings.identity)):
            raise Ended(*problem)


def _close_identity(settings: ClientSettings, keys: StartupKeys) -> None:
    if settings.identity is None:
        return
    try:
        keeper = keys.keeper()
    except Exception:  # it was never opened, which has been said
        return
    if keeper is not None and (code := keeper.close()):
        streams.say(messages.identity(code, {"path": settings.identity}))
