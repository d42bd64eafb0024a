"""One membership without a screen: its events come in order to the main thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from client.background import StartupKeys
from client.connection.addresses import AddressRing
from client.connection.connection import ClientConnection
from client.destination import dial, ending, tls_context, unusable
from client.events import Event
from client.input.signals import heed
from client.local_user import LocalUser
from client.opening import opened_identity
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


class Inbox:
    """Events in the order in which they came; None is the end, or a signal.

    Many threads, and signal handlers, put into it; one takes.
    """

    def __init__(self, most: int = _MOST_EVENTS) -> None:
        self._most = most
        self._events: SimpleQueue[Event | None] = SimpleQueue()  # a handler may interrupt its put
        self._taken = threading.Event()

    def put(self, event: Event | None) -> None:
        """Never waits."""
        self._events.put(event)

    def take(self, seconds: float) -> Event | None:
        """The next one.  Raises Empty if none comes so soon."""
        event = self._events.get(timeout=max(0.0, seconds))
        self._taken.set()
        return event

    def empty(self) -> bool:
        """Whether nothing has come that was not taken."""
        return self._events.empty()

    def await_room(self, seconds: float) -> bool:
        """Whether there is room for more, or comes to be within ``seconds``."""
        end = time.monotonic() + seconds
        while self._events.qsize() >= self._most:
            self._taken.clear()
            # Or one was taken between the two, and perhaps the last for long.
            if self._events.qsize() >= self._most and not self._taken.wait(end - time.monotonic()):
                return False
        return True


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
        self._news = Inbox()
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
            others=settings.rooms[1:],
            roams=False,
        )
        keys.give_secrets(self.session.secrets.give)
        self.user = LocalUser(self.session)
        addresses = AddressRing(settings.addresses)
        self.connection = ClientConnection(
            lambda opened: dial(settings, context, opened, addresses.candidates()),
            keys.identity(),
            keys.credentials,
            self.session,
            self._emit,
            self._tell,
            settings.reconnect,
            make_keys=keys.link_keys,
            may_wait=settings.wait,
            heartbeat=settings.heartbeat,
            await_room=self._news.await_room,
            addresses=addresses,
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
            event = self._news.take(seconds)
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
        while not self._news.empty() and (event := self._news.take(0.0)) is not None:
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
        with opened_identity(settings, keys) as problem:
            if problem:
                raise Ended(*problem)
            return stay(lambda: Visit(settings, context, keys, wants))
    except CertificateUnusable as error:
        streams.say(unusable(error))
        return ExitStatus.USAGE
    except Ended as ended:
        if ended.sentence:
            streams.say(ended.sentence)
        return ended.status
