"""The reader thread: connects, joins, receives, and comes back when the connection is lost.

Where nothing comes back any more it has a second connection tried beside the first
(``standby``); whichever proves first goes on.  The second one is not given to the session
before the first is: until its `confirm` it has shown nothing, and from then on until `welcome`
the first one is not read, so no frame comes twice.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from client import events, messages
from client.connection.addresses import AddressRing
from client.connection.deadlines import NOTHING, Overdue
from client.connection.handshake import ATTEMPT_SECONDS, ClientHandshake, Dial, PendingLogin
from client.connection.liveness import Liveness
from client.connection.login import TAKEN, LoggedIn, Login
from client.connection.outcome import AdmissionRefused, Outcome, ServerGoodbye, outcome_of
from client.connection.reconnection import Reconnection
from client.connection.sending import RecordSender
from client.connection.standby import StandbyConnection
from client.session import ClientSession
from i18n import _
from protocol import frames
from protocol.errors import BadVersion, ChatError, TimedOut, UnknownType
from protocol.keys import Identity, RecipientKeys
from protocol.link import Credentials
from transport import Closed
from transport.stream import Stream
from transport.websocket import WebSocket

_GOODBYE_SECONDS = 2.0
_LOOK_SECONDS = 0.5  # while what has come is not taken: whether to leave


class ClientConnection:
    """Keeps one session connected.

    ``dial`` opens a WebSocket to the server; it hands each stream that it tries to the function
    that it is given, so that leaving need not wait for an answer.  ``tell`` hears ``joined``
    when a room was entered for the first time, ``waiting`` where that takes its time, which is an
    event as well, and ``ended`` when there is nothing more to come.
    ``credentials`` and ``make_keys``, which gives keys for one connection, may take a moment.
    ``may_ask``: somebody is there who can say whether to go on after handshakes that proved
    nothing; otherwise they are the end.  ``heartbeat``: seconds between heartbeats, at most.
    ``await_room`` waits at most so many seconds for room for what comes of a record: nothing is
    read without.  ``addresses`` has those that ``dial`` tries, if it tries several.
    ``showing`` is held while a record is taken, until the network is waited for.
    """

    def __init__(
        self,
        dial: Dial,
        identity: Identity,
        credentials: Callable[[], Credentials],
        session: ClientSession,
        emit: Callable[[events.Event], None],
        tell: Callable[[str], None],
        reconnect: bool = True,
        clock: Callable[[], float] = time.monotonic,
        make_keys: Callable[[], RecipientKeys] = RecipientKeys,
        may_ask: bool = False,
        may_wait: bool = False,
        heartbeat: float | None = None,
        await_room: Callable[[float], bool] = lambda seconds: True,
        addresses: AddressRing | None = None,
        showing: AbstractContextManager[None] | None = None,
    ) -> None:
        self._addresses = addresses or AddressRing(())
        self._session, self._emit, self._tell = session, emit, tell
        self._clock, self._await_room = clock, await_room
        self._showing = showing or nullcontext()
        self._leaving = threading.Event()
        self._streams: list[Stream] = []  # of the addresses that are, or were last, dialled
        self._ticket: bytes | None = None  # the newest that the server has given
        self._handshake = ClientHandshake(
            dial, identity, credentials, make_keys, lambda: self._ticket, self._leaving, clock,
            lambda: self._say_slow("welcome"),
        )  # fmt: skip
        self._sender = RecordSender(session.outgoing, self._on_written, clock)
        self._liveness = Liveness(clock, emit, self._say_seen, self._say_slow, heartbeat)
        self._reconnection = Reconnection(emit, self._leaving, clock, reconnect, may_ask)
        self._login = Login(
            session, emit, tell, self._reconnection.guesses, self._reconnection.sleep,
            self._leaving, may_wait,
        )  # fmt: skip
        # What the session had to say last of what it waits for, and until when lines wait.
        self._awaited, self._paused = NOTHING, math.inf
        self._standby: StandbyConnection | None = None
        self._wanted = False  # another connection, by a person
        self.unanswered = False  # the server was left for that, and has not answered since
        self.joined = False
        self._early = 0  # connections that were lost before that
        self.over = False
        self.outcome = Outcome("left")
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)

    @property
    def timeout(self) -> float:
        """``HEARTBEAT_TIMEOUT`` as the server told it, in seconds."""
        return self._liveness.timeout

    def start(self) -> None:
        """Start connecting; returns at once."""
        self._thread.start()

    def leave(self) -> None:
        """Say goodbye and end; returns when the thread has ended, or a moment later."""
        self._leaving.set()
        self._reconnection.stir()
        peer = self._sender.peer
        if peer is not None:
            self._say_bye("left")
            peer.wake()
        for stream in [] if peer is not None else self._streams:
            stream.abort()
        self._drop_standby()
        self._thread.join(_GOODBYE_SECONDS + 1.0)

    def abort(self) -> None:
        """End at once, whatever the network does.  Returns at once.

        A goodbye is begun if nothing stands in its way, so that the others need not wait.
        """
        self._leaving.set()
        self._reconnection.stir()
        self._session.outgoing.clear()
        self._say_bye("left")
        if self._sender.peer is not None:
            self._sender.peer.abort()
        for stream in self._streams:
            stream.abort()
        self._drop_standby()

    def wait(self, seconds: float) -> bool:
        """Wait for the thread to end; whether it has."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def retry(self) -> None:
        """Begin the next attempt now, beside a connection that there is.  Returns at once."""
        self._wanted = True
        self._stir()

    def _stir(self) -> None:
        """The reader thread, whatever it waits for, has something to look at."""
        self._reconnection.stir()
        self._wake()

    def send(self) -> None:
        """Send what the session has put into ``outgoing``; waits for nobody and nothing."""
        self._sender.send()
        if threading.get_ident() != self._thread.ident and self._session.paused_until():
            self._wake()  # the reader thread sends what waits for its time

    def _wake(self) -> None:
        peer = self._sender.peer
        if peer is not None:
            peer.wake()

    def _on_written(self, peer: WebSocket) -> None:
        """What was sent may want an answer: the reader thread has to look when it is late."""
        if self._liveness.written() and threading.get_ident() != self._thread.ident:
            peer.wake()

    # The thread

    def _run(self) -> None:
        self.outcome = Outcome("lost", "internal")  # until there is a better reason
        try:
            self.outcome = self._keep_connected()
        finally:
            self._session.lose()
            self._drop_standby()
            self.over = True
            self._tell("ended")

    def _keep_connected(self) -> Outcome:
        again = self._reconnection
        while not self._leaving.is_set():
            outcome = self._one_connection()
            if self._leaving.is_set():
                return outcome or Outcome("left")
            outcome = outcome or again.outcome()
            if outcome is not None:
                return outcome
            again.backoff.lost(self.timeout)
            question = again.question()
            if question is None:
                again.wait(self._liveness.route, self._is_dialled)
            else:
                self._drop_standby()
                again.ask(question)
        return Outcome("left")

    def _is_dialled(self) -> bool:
        standby = self._standby
        return standby is not None and standby.done

    def _one_connection(self) -> Outcome | None:
        """One connection from dialling to its end; None if there is to be another."""
        self._reconnection.lost()
        try:
            self._join()
            self._receive_all()
        except ChatError as error:
            proven = self._login.proven
            if isinstance(error, Overdue) and error.reason == "no_answer":
                self.unanswered = True
            first = not self.joined
            outcome = outcome_of(error, first=first, proven=proven, early=self._early)
            self._early += first
            if isinstance(error, BadVersion) and proven:
                self._say_bye(error.code)
            elif outcome is None:
                self._reconnection.ended(error, proven)
            return outcome
        finally:
            self._disconnect()
            self._addresses.lost()
        return None

    def _join(self) -> None:
        """Dial, prove, and be let in."""
        wanted = self._session.nick
        found = self._addresses.round(self._let_in, self._may_go_on)
        self._go_on(found)
        name = found.pending.nick
        if name != wanted:
            text = _("The nickname {wanted} is taken: you are now {name}.")
            self._emit(events.Notice(text.format(wanted=wanted, name=name)))

    def _let_in(self) -> LoggedIn:
        self._login.proven = False
        return self._login.enter(self._begin_login, not self.joined)

    def _may_go_on(self) -> bool:
        """Whether another address may be tried at once."""
        return not (self._leaving.is_set() or self._reconnection.guesses.too_many())

    def _begin_login(self) -> PendingLogin:
        """One that was begun while the last connection was silent has come further."""
        self._streams = []
        standby = self._standby
        if standby is None:
            return self._handshake.begin(self._opened, dialled=self._addresses.dialled)
        try:
            pending = standby.result()
            self._addresses.dialled(pending.peer)
            for stream in standby.streams:
                self._opened(stream)
            return pending
        finally:
            self._standby = None

    def _go_on(self, found: LoggedIn) -> None:
        """From now on with this connection; in the place of the other one, if there is one."""
        if self._sender.peer is not None:
            self._sender.peer.abort()  # or a writer might wait for it
            self._disconnect()
        pending, welcome, rest = found
        peer = pending.peer
        self._sender.connect(peer)
        self._addresses.entered(peer)
        self._ticket = welcome.ticket
        self._wanted = False
        self._liveness.begin(welcome, peer.route)
        self._reconnection.entered()
        self._session.welcome(welcome, pending.nick)
        self._sender.open(pending.link)
        self._take(rest)
        self._sender.send()  # where the session goes on, what was under way goes again

    def _say_slow(self, what: str) -> None:
        """Tell a person what is waited for; before there is a room, there is no screen yet."""
        if what == "answer" and self._liveness.is_late:
            return  # nothing at all comes, which is told as that
        self._emit(events.Notice(messages.waiting(what)))
        if not self.joined:
            self._tell("waiting")

    def _receive_all(self) -> None:
        """Records until the end, and heartbeats; always raises in the end, unless to leave."""
        try:
            until = self._look_ahead()
            while not self._leaving.is_set():
                until = self._receive(until)
        except Closed:
            self._on_cut(self._liveness.idle)
            raise

    def _receive(self, until: float) -> float:
        """One record, or what else is to be done ``until`` then; until when to wait next."""
        peer, link = self._sender.peer, self._sender.link
        if peer is None or link is None:
            raise Closed()
        if not self._await_room(0.0):
            self._wait_for_room(min(self._liveness.beat_at, self._paused))
            return self._look_ahead()
        record = peer.receive(max(0.0, until - self._clock()))
        with self._showing:
            if record is not None:
                values = link.open(record)
                self._liveness.heard(len(record))
                self._take_first(peer)
                self._take(values)
            elif self._liveness.is_over:
                raise TimedOut()
            else:
                self._session.go_on()
            self._liveness.beat()
            if peer.backlog:  # a ping was answered, and not all of that was taken
                self._sender.send()
            self._liveness.is_unseen = False
            self._awaited, self._paused = self._session.outlook()
            if self._awaited is NOTHING and not (self._wanted or self._standby):
                calm = self._liveness.calm_until()
                if calm is not None:  # as nearly always
                    self.unanswered = False
                    return min(calm, self._paused)
            dial = self._is_unanswered(peer)
            if not (dial or self._wanted or self._standby):
                self._liveness.look_for_route()
                return self._due()
        self._attend(dial)
        return self._look_ahead()

    def _take_first(self, peer: WebSocket) -> None:
        """The connection that there is has proven before a second one: that is not needed."""
        standby = self._standby
        if standby is not None and not standby.wanted and not peer.stuck:
            self._drop_standby()
            self._reconnection.backoff.calm()

    def _wait_for_room(self, until: float) -> None:
        """Read nothing while what has come is not taken."""
        self._await_room(max(0.0, min(until - self._clock(), _LOOK_SECONDS)))
        self._liveness.look_away()
        self._session.go_on()
        self._liveness.beat(is_read=False)

    def _say_seen(self, answer: bool) -> None:
        self._sender.put(self._session.seen(answer))

    def _take(self, values: Sequence[Any]) -> None:
        for value in values:
            try:
                frame = frames.from_object(value, frames.SERVER_FRAMES)
            except UnknownType:
                continue  # of a later version; what matters has a version of its own
            if isinstance(frame, frames.Bye):
                raise ServerGoodbye(frame.reason)
            if isinstance(frame, frames.Taken):
                self._liveness.answered()
            elif isinstance(frame, frames.Wait):
                self._liveness.excuse(frame.seconds)
            self._session.receive(frame)
        if not self.joined and self._session.joined:
            self.joined = True
            self._tell("joined")

    # The second connection

    def _look_ahead(self) -> float:
        """Until when to wait for the network."""
        self._awaited, self._paused = self._session.outlook()
        return self._due()

    def _due(self) -> float:
        return min(self._liveness.due(self._awaited), self._paused)

    def _is_unanswered(self, peer: WebSocket) -> bool:
        """Whether what was sent is not answered in time, so that another connection is tried."""
        self.unanswered = self.unanswered and bool(self._awaited.what)
        return self._liveness.look(peer, self._awaited)

    def _attend(self, dial: bool) -> None:
        """Have another connection, or look what has become of it; all but that takes its time."""
        standby = self._standby  # whoever leaves takes it away
        if standby is not None:
            if standby.done:
                self._change_over(standby)
        elif self._wanted or (dial and self._may_dial()):
            self._standby = StandbyConnection(
                lambda opened: self._handshake.begin(opened, aside=True), self._stir, self._wanted
            )
            self._wanted = False
        else:
            self._liveness.look_for_route()

    def _may_dial(self) -> bool:
        """Whether another connection may be tried unasked; if only later, it will be."""
        closed = self._reconnection.may_dial()
        if closed:
            self._liveness.dial_in(closed)
        return closed == 0.0

    def _change_over(self, standby: StandbyConnection) -> None:
        """The second connection has come as far as it can by itself, or nowhere."""
        welcome, gap = True, self._liveness.gap
        try:
            pending = standby.result()
            found = self._login.prove(pending, self._session.nick, not self.joined, ATTEMPT_SECONDS)
        except AdmissionRefused as refused:
            if refused.proven and refused.refusal.code not in TAKEN:
                raise
            if refused.proven:
                raise Closed() from None  # it does not know this membership any more
            welcome = False
        except ChatError:
            pass
        else:
            self._go_on(found)
            if not standby.wanted:
                self._on_cut(gap)
            return
        finally:
            self._standby = None
        if standby.wanted:
            text = _("No other connection could be made; the present one stays in use.")
            self._emit(events.Notice(text))
        self._liveness.dial_in(self._reconnection.backoff.delay(welcome))

    def _drop_standby(self) -> None:
        standby, self._standby = self._standby, None
        if standby is not None:
            standby.cancel()

    # Ends

    def _on_cut(self, idle: float) -> None:
        if not self._leaving.is_set():
            self._liveness.cut(idle)

    def _say_bye(self, reason: str) -> None:
        self._sender.put(frames.Bye(reason).encode())

    def _disconnect(self) -> None:
        peer = self._sender.disconnect()
        self._session.lose()
        if peer is not None:
            peer.finish(self._clock() + _GOODBYE_SECONDS if self._leaving.is_set() else 0.0)

    def _opened(self, stream: Stream) -> None:
        """A stream is being dialled, maybe beside others: leaving aborts it."""
        self._streams.append(stream)
        if self._leaving.is_set():
            stream.abort()
