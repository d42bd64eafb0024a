"""The reader thread: connects, joins, receives, and comes back when the connection is lost.

Where nothing comes back any more it has a second connection tried beside the first
(``client.standby``); whichever proves first goes on.  The second one is not given to the session
before the first is: until its `confirm` it has shown nothing, and from then on until `welcome`
the first one is not read, so no frame comes twice.

Sending is done by whoever has something to send, one at a time; a thread that finds another
one sending leaves it the rest.  So the reader never waits for a writer, and goes on emptying
the network while the network takes nothing.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from client import events, messages, refusals
from client.connection.backoff import Backoff
from client.connection.deadlines import NOTHING, Awaited, Deadlines, Overdue
from client.connection.goodbyes import Goodbyes
from client.connection.guesses import Guesses
from client.connection.handshake import ANSWER_SECONDS, ATTEMPT_SECONDS, Dial, Handshake, Handshakes
from client.connection.heartbeat import HeartbeatInterval
from client.connection.outcome import (
    AdmissionRefused,
    Outcome,
    ServerGoodbye,
    outcome_of,
    reason_of,
)
from client.connection.silence import ROUTE_SECONDS, SilenceMonitor
from client.connection.standby import StandbyConnection
from client.outbox import records
from client.session import Session
from i18n import _
from protocol import frames, limits
from protocol.errors import BadVersion, ChatError, TimedOut, Unexpected, UnknownType
from protocol.keys import Identity, RecipientKeys
from protocol.link import ClientLink, Credentials
from transport import Closed
from transport.route import Route
from transport.stream import Stream
from transport.websocket import WebSocket

_NAMES_TO_TRY = range(2, 10)
_LONGEST_BASE = limits.NICK_CHARS - 2
# Until `welcome` has told how large a message can be, and whatever a server may tell.
_FIRST_RECORD, _LARGEST_RECORD = 2 * limits.RECORD_BYTES, 8 * 1024 * 1024
# A server may be quiet for a day, by its settings; whoever waits for an answer looks more often.
_LONGEST_INTERVAL, _LONGEST_TIMEOUT = 60.0, 86400.0
_GOODBYE_SECONDS = 2.0
_LOOK_SECONDS = 0.5  # while what has come is not taken: whether to leave
_WRITE_SECONDS = 10.0  # in which the network has to take a record
_MOST_WAITED = 300.0  # before another attempt, whatever a server says
_LONGEST_NICK_WAIT = 300.0  # in all, for a nickname whose holder is away
_TAKEN = ("nick_taken", "nick_lost", "nick_reserved")


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
    read without.
    """

    def __init__(
        self,
        dial: Dial,
        identity: Identity,
        credentials: Callable[[], Credentials],
        session: Session,
        emit: Callable[[events.Event], None],
        tell: Callable[[str], None],
        reconnect: bool = True,
        clock: Callable[[], float] = time.monotonic,
        make_keys: Callable[[], RecipientKeys] = RecipientKeys,
        may_ask: bool = False,
        may_wait: bool = False,
        heartbeat: float | None = None,
        await_room: Callable[[float], bool] = lambda seconds: True,
    ) -> None:
        self._session, self._emit, self._tell = session, emit, tell
        self._reconnect, self._clock, self._await_room = reconnect, clock, await_room
        self._sending = threading.Lock()  # leaf; guards the link's sending half
        self._due = False  # see send
        self._peer: WebSocket | None = None
        self._link: ClientLink | None = None
        self._may_ask = may_ask
        self._nick_wait = _LONGEST_NICK_WAIT if may_wait else 0.0  # that is left
        self._leaving = threading.Event()
        self._stirred = threading.Event()  # leaving, or no more waiting wanted
        self._streams: list[Stream] = []  # of the addresses that are, or were last, dialled
        self._proven = False  # the last connection, by its server's first record
        self._ticket: bytes | None = None  # the newest that the server has given
        self._handshakes = Handshakes(
            dial, identity, credentials, make_keys, lambda: self._ticket, self._leaving, clock,
            lambda: self._say_slow("welcome"),
        )  # fmt: skip
        self._standby: StandbyConnection[Handshake] | None = None
        self._wanted = False  # another connection, by a person
        self._silence = SilenceMonitor()
        self._heartbeat = HeartbeatInterval(heartbeat)
        self._backoff, self._guesses = Backoff(clock), Guesses(clock)
        self._goodbyes = Goodbyes(clock)
        self._said: tuple[str, bool] | None = None  # of the refusal that was told last
        self._not_before = 0.0  # the next attempt, by that
        self._route: Route | None = None  # of the last connection
        self._reason = "lost"  # why the last connection ended
        self._refused = False  # by whoever was there last
        self._interval, self._timeout = ATTEMPT_SECONDS, ATTEMPT_SECONDS
        self._beat = self._heard = self._wrote = 0.0  # when: the next one, a record, one of ours
        self._gap = 0.0  # seconds in which nothing had passed before what waits for an answer
        self._suspect = False  # nothing had passed for a while: there may be another route by now
        self._received = 0  # bytes, since the last heartbeat
        self._asked = False  # for a heartbeat, and it has not come
        self._deadlines = Deadlines(clock, self._say_slow)
        self._heard_of = NOTHING  # what the server lives without answering
        self.unanswered = False  # it was left for that, and has not answered since
        self._excused = 0.0  # until when the server has said that it takes its time
        self.joined = False
        self.over = False
        self.outcome = Outcome("left")
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)

    @property
    def timeout(self) -> float:
        """``HEARTBEAT_TIMEOUT`` as the server told it, in seconds."""
        return self._timeout

    def start(self) -> None:
        """Start connecting; returns at once."""
        self._thread.start()

    def leave(self) -> None:
        """Say goodbye and end; returns when the thread has ended, or a moment later."""
        self._leaving.set()
        self._stirred.set()
        peer = self._peer
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
        self._stirred.set()
        self._session.outgoing.clear()
        self._say_bye("left")
        if self._peer is not None:
            self._peer.abort()
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
        self._stirred.set()
        peer = self._peer
        if peer is not None:
            peer.wake()

    def send(self) -> None:
        """Send what the session has put into ``outgoing``; waits for nobody and nothing.

        What the network does not take at once gets a thread that waits for it: the one that reads
        keys has to go on, and so has the one that empties the network.
        """
        self._due = True
        while self._due and self._sending.acquire(blocking=False):
            self._due = False
            try:
                waits = not self._send_locked()
            except BaseException:
                self._sending.release()
                raise
            if waits:
                threading.Thread(target=self._write_on, name="writer", daemon=True).start()
                return
            self._sending.release()

    def _send_locked(self) -> bool:
        """Whether nothing waits for the network."""
        peer, link = self._peer, self._link
        if peer is None or link is None:
            return True
        try:
            while not peer.backlog and (found := records(self._session.outgoing)):
                peer.begin(link.seal(found))
                self._note_written(peer)
        except Closed:
            return True  # the reader thread finds out by itself
        return not peer.backlog

    def _note_written(self, peer: WebSocket) -> None:
        """What was sent may want an answer: the reader thread has to look when it is late."""
        now = self._clock()
        gap = now - max(self._heard, self._wrote)
        if gap >= ROUTE_SECONDS:
            self._gap, self._suspect = gap, True
        self._wrote = now
        if self._silence.due == math.inf and threading.get_ident() != self._thread.ident:
            peer.wake()

    def _write_on(self) -> None:
        """The thread that waits for the network; it has inherited ``_sending``, locked."""
        peer = self._peer
        try:
            if peer is not None:
                peer.flush(self._clock() + _WRITE_SECONDS)
        except Closed:
            pass
        finally:
            self._sending.release()
        self.send()

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
        while not self._leaving.is_set():
            outcome = self._one_connection()
            if outcome is not None or self._leaving.is_set():
                return outcome or Outcome("left")
            unproven = self._guesses.too_many()
            if unproven and not self._may_ask:
                return Outcome("lost", "unproven")
            if not self._reconnect:
                return Outcome("lost", self._reason)
            self._backoff.lost(self._timeout)
            if unproven:
                self._ask("unproven")
            elif self._goodbyes.too_many and self._may_ask:
                self._ask("rebuffed")
            else:
                self._wait()
        return Outcome("left")

    def _one_connection(self) -> Outcome | None:
        """One connection from dialling to its end; None if there is to be another."""
        self._proven, self._reason, self._refused = False, "lost", False
        try:
            self._join()
            self._receive_all()
        except ChatError as error:
            self._refused = isinstance(error, AdmissionRefused)
            if isinstance(error, Overdue) and error.reason == "no_answer":
                self.unanswered = True
            outcome = outcome_of(error, first=not self.joined, proven=self._proven)
            if isinstance(error, BadVersion) and self._proven:
                self._say_bye(error.code)
            elif outcome is None:
                self._say_why(reason_of(error, proven=self._proven))
                if isinstance(error, AdmissionRefused):
                    self._say_refused(error)
            return outcome
        finally:
            self._disconnect()
        return None

    def _join(self) -> None:
        """Dial, prove, and be let in; waits for a nickname whose holder is away, if it may."""
        while True:
            try:
                return self._join_now()
            except AdmissionRefused as refused:
                if self.joined or not self._await_nick(refused):
                    raise

    def _await_nick(self, refused: AdmissionRefused) -> bool:
        """Whether it has waited for the nickname, and is to try again."""
        refusal = refused.refusal
        delay = refusal.retry_after or 0.0
        if refusal.code != "nick_lost" or not refused.proven or not 0 < delay <= self._nick_wait:
            return False
        self._nick_wait -= delay
        self._disconnect()
        self._emit(events.NickAwaited(self._session.nick, delay))
        self._tell("waiting")
        self._stirred.clear()
        self._pause(delay)
        return not self._leaving.is_set()

    def _join_now(self) -> None:
        """Dial, prove, and be let in; tries other nicknames if its own was taken meanwhile."""
        wanted = self._session.nick
        names = [wanted]
        if self.joined:
            names += [f"{wanted[:_LONGEST_BASE]}-{number}" for number in _NAMES_TO_TRY]
        for name in names:
            try:
                self._enter_as(name)
            except AdmissionRefused as refused:
                if not refused.proven or refused.refusal.code not in _TAKEN or len(names) == 1:
                    raise
                taken = refused
                self._disconnect()
                continue
            if name != wanted:
                text = _("The nickname {wanted} is taken: you are {name} now.")
                self._emit(events.Notice(text.format(wanted=wanted, name=name)))
            return
        raise taken

    def _enter_as(self, nick: str) -> None:
        standby = self._standby
        try:
            # One that was begun while the last connection was silent has come further.
            handshake = self._begin_handshake() if standby is None else standby.result()
            self._enter(handshake, nick)
        finally:
            self._standby = None

    def _begin_handshake(self) -> Handshake:
        self._streams = []
        return self._handshakes.make(self._opened)

    def _enter(self, handshake: Handshake, nick: str) -> None:
        self._go_on(handshake, *self._prove(handshake, nick))

    def _prove(
        self, handshake: Handshake, nick: str, seconds: float | None = None
    ) -> tuple[frames.Welcome, Sequence[Any]]:
        """Show what this client knows, and get `welcome` and what is with it.

        ``seconds``: wait no longer than that.  Raises ChatError, with the connection ended.
        """
        if handshake.is_stale:
            handshake.drop()
            raise Closed()
        session = self._session
        proven = shown = False
        try:
            confirm = handshake.confirm(nick, session.room_to_join(), session.resume_point())
            self._guesses.begin()
            shown = True
            values = handshake.prove(confirm, seconds)
            proven = True  # whoever sealed this knows what we know
            self._proven = True
            self._guesses.proven()
            welcome = frames.from_object(values[0], frames.SERVER_FRAMES)
            if isinstance(welcome, frames.Wait):  # once
                self._emit(events.Notice(messages.crowded(welcome.seconds)))
                if not self.joined:  # there is no screen yet
                    self._tell("waiting")
                values = handshake.more(seconds or ANSWER_SECONDS)
                welcome = frames.from_object(values[0], frames.SERVER_FRAMES)
            if isinstance(welcome, frames.Refused):
                raise AdmissionRefused(welcome, proven=True)
            if not isinstance(welcome, frames.Welcome):
                raise Unexpected()
        except BaseException:
            handshake.drop()
            if self.joined and shown and not proven and not self._leaving.is_set():
                self._emit(events.Warning("unproven", None, messages.warning("unproven")))
            raise
        return welcome, values[1:]

    def _go_on(self, handshake: Handshake, welcome: frames.Welcome, rest: Sequence[Any]) -> None:
        """From now on with this connection; in the place of the other one, if there is one."""
        if self._peer is not None:
            self._peer.abort()  # or a writer might wait for it
            self._disconnect()
        peer = handshake.peer
        with self._sending:
            self._peer = peer
        peer.allow(min(max(welcome.max_payload_size, _FIRST_RECORD), _LARGEST_RECORD))
        interval = min(max(welcome.heartbeat_interval, 0.05), _LONGEST_INTERVAL)
        self._interval = self._heartbeat.interval(interval)
        self._timeout = min(max(welcome.heartbeat_timeout, interval), _LONGEST_TIMEOUT)
        self._ticket = welcome.ticket
        self._heard = self._wrote = self._clock()
        # Not a whole interval for the first: those who come back together would beat together.
        first = self._interval * random.uniform(0.5, 1.0)  # noqa: S311  # nothing secret
        self._beat, self._gap, self._received = self._heard + first, 0.0, 0
        self._asked = self._wanted = False
        self._silence.begin()
        self._heard_of = NOTHING
        self._deadlines, self._excused = Deadlines(self._clock, self._say_slow), 0.0
        self._backoff.entered()
        self._goodbyes.entered()
        self._said = None
        self._route = peer.route
        self._session.welcome(welcome, handshake.nick)
        with self._sending:
            self._link = handshake.link
        self._take(rest)

    def _say_slow(self, what: str) -> None:
        """Tell a person what is waited for; before there is a room, there is no screen yet."""
        if what == "answer" and self._silence.late:
            return  # nothing at all comes, which is told as that
        self._emit(events.Notice(messages.waiting(what)))
        if not self.joined:
            self._tell("waiting")

    def _receive_all(self) -> None:
        """Records until the end, and heartbeats; always raises in the end, unless to leave."""
        try:
            while not self._leaving.is_set():
                self._receive()
        except Closed:
            self._on_cut(max(self._gap, self._clock() - max(self._heard, self._wrote)))
            raise

    def _receive(self) -> None:
        """One record, or as long as nothing else is to be done."""
        peer, link = self._peer, self._link
        if peer is None or link is None:
            raise Closed()
        silent_at = self._heard + self._timeout
        paused = self._session.paused_until() or self._beat
        due = self._deadlines.look(self._session.awaited())
        until = min(self._beat, silent_at, self._silence.due, paused, due)
        if not self._await_room(0.0):
            return self._wait_for_room(min(self._beat, paused))
        record = peer.receive(max(0.0, until - self._clock()))
        if record is not None:
            values = link.open(record)
            self._heard, self._gap = self._clock(), 0.0
            self._received += len(record)
            standby = self._standby
            if standby is not None and not standby.wanted and not peer.stuck:
                self._drop_standby()  # the old one has proven first
                self._backoff.calm()
            self._take(values)
        elif self._clock() >= silent_at:
            raise TimedOut()
        else:
            self._session.go_on()
        beats = self._clock() >= self._beat
        if beats or self._received >= limits.SEEN_BYTES:
            self._say_seen(answer=beats)
        self._attend(peer, self._session.awaited())

    def _wait_for_room(self, until: float) -> None:
        """Read nothing while what has come is not taken.  That is no silence of the network's."""
        self._await_room(max(0.0, min(until - self._clock(), _LOOK_SECONDS)))
        self._heard = self._clock()
        self._silence.begin()
        self._heard_of = NOTHING
        self._deadlines.look(NOTHING)
        self._session.go_on()
        if self._heard >= self._beat:
            self._say_seen(answer=False)

    def _say_seen(self, answer: bool) -> None:
        self._beat, self._received = self._clock() + self._interval, 0
        self._asked = self._asked or answer
        self._session.outgoing.append(self._session.seen(answer))
        self.send()

    def _attend(self, peer: WebSocket, awaited: Awaited) -> None:
        """Whether what was sent is answered in time, and what to do if it is not."""
        now = self._clock()
        # While the network takes nothing there is nothing to be answered yet.
        told = awaited == self._heard_of and not peer.stuck
        waits = bool(self._asked or (awaited.what and not told))
        self.unanswered = self.unanswered and bool(awaited.what)
        waits = waits and now >= self._excused and not peer.backlog
        moved, stuck = (peer.moved(), peer.stuck) if waits else (0, False)
        step = self._silence.look(now, waits, moved, stuck)
        if step.back:
            if not self._asked:  # it answers heartbeats, and not this: Deadlines tell of it
                self._heard_of = awaited
            self._emit(events.Answered())
        if step.said is not None:
            self._emit(events.NoAnswer(step.said))
        if step.probe:
            self._say_seen(answer=True)
        standby = self._standby  # whoever leaves takes it away
        if standby is not None:
            if standby.done:
                self._change_over(standby)
        elif self._wanted or (step.dial and self._may_dial()):
            self._try_another()
        elif self._suspect or self._silence.late:
            self._suspect = False
            if self._route is not None and self._route.changed():
                self._silence.dial_soon(now)

    def _may_dial(self) -> bool:
        """Whether another connection may be tried unasked; if only later, it will be."""
        if not self._reconnect or self._guesses.too_many():
            return False
        closed = self._backoff.closed()
        if closed:
            self._silence.dial_soon(self._clock(), closed)
        return not closed

    def _try_another(self) -> None:
        """Dial beside the connection that there is."""
        self._standby = StandbyConnection(
            lambda opened: self._handshakes.make(opened, aside=True), self._stir, self._wanted
        )
        self._wanted = False

    def _change_over(self, standby: StandbyConnection[Handshake]) -> None:
        """The second connection has come as far as it can by itself, or nowhere."""
        welcome, gap = True, self._gap
        try:
            handshake = standby.result()
            found = self._prove(handshake, self._session.nick, ATTEMPT_SECONDS)
        except AdmissionRefused as refused:
            if refused.proven and refused.refusal.code not in _TAKEN:
                raise
            if refused.proven:
                raise Closed() from None  # it does not know this stay any more
            welcome = False
        except ChatError:
            pass
        else:
            self._go_on(handshake, *found)
            if not standby.wanted:
                self._on_cut(gap)
            return
        finally:
            self._standby = None
        if standby.wanted:
            text = _("No other connection could be made; the one that there is goes on.")
            self._emit(events.Notice(text))
        self._silence.dial_soon(self._clock(), self._backoff.delay(welcome))

    def _drop_standby(self) -> None:
        standby, self._standby = self._standby, None
        if standby is not None:
            standby.cancel()

    def _on_cut(self, idle: float) -> None:
        """Something has ended a connection on which nothing had passed for ``idle`` seconds."""
        if not self._heartbeat.cut(idle, self._interval) or self._leaving.is_set():
            return
        text = _(
            "Something on the way cuts connections that are quiet for {idle}: a heartbeat "
            "goes out every {beat} from now on."
        )
        self._interval = beat = self._heartbeat.interval(self._interval)
        self._beat = min(self._beat, self._clock() + beat)
        shown = {"idle": messages.seconds(round(idle)), "beat": messages.seconds(round(beat))}
        self._emit(events.Notice(text.format(**shown)))

    def _take(self, values: Sequence[Any]) -> None:
        for value in values:
            try:
                frame = frames.from_object(value, frames.SERVER_FRAMES)
            except UnknownType:
                continue  # of a later version; what matters has a version of its own
            if isinstance(frame, frames.Bye):
                raise ServerGoodbye(frame.reason)
            if isinstance(frame, frames.Seen):
                self._asked = False
            elif isinstance(frame, frames.Wait):
                self._excused = self._clock() + min(frame.seconds, ANSWER_SECONDS)
            self._session.receive(frame)
        if not self.joined and self._session.resume_point() is not None:
            self.joined = True
            self._tell("joined")

    def _say_why(self, reason: str) -> None:
        """The server has ended this connection, or has to be left; the next one may be better."""
        self._reason = reason
        if reason in ("lost", "replaced"):  # by this client: nobody else has its keys
            return
        self._goodbyes.ended()
        if self._reconnect and not self._leaving.is_set():
            self._emit(events.Notice(messages.coming_back(reason)))

    def _say_refused(self, refused: AdmissionRefused) -> None:
        """Once for as long as it is refused so, however often."""
        code, proven = refused.refusal.code, refused.proven
        if proven:
            self._not_before = self._clock() + min(refused.refusal.retry_after or 0.0, _MOST_WAITED)
        if (code, proven) == self._said or self._leaving.is_set():
            return
        self._said = code, proven
        params = refusals.params(refused.refusal)
        self._emit(events.Notice(messages.kept_out(code, params, proven=proven)))

    def _say_bye(self, reason: str) -> None:
        self._session.outgoing.append(frames.Bye(reason).encode())
        self.send()

    def _disconnect(self) -> None:
        with self._sending:
            peer, self._peer, self._link = self._peer, None, None
        self._session.lose()
        if peer is not None:
            peer.finish(self._clock() + _GOODBYE_SECONDS if self._leaving.is_set() else 0.0)

    def _opened(self, stream: Stream) -> None:
        """A stream is being dialled, maybe beside others: leaving aborts it."""
        self._streams.append(stream)
        if self._leaving.is_set():
            stream.abort()

    def _wait(self) -> None:
        """Until the next attempt, or the moment in which the system has a route again."""
        self._stirred.clear()
        told = self._not_before - self._clock()
        delay = max(self._backoff.delay(not self._refused), self._goodbyes.pause, round(told, 1))
        if self._goodbyes.too_many:
            self._emit(events.Notice(messages.rebuffed(delay)))
        self._emit(events.Reconnecting(self._backoff.attempt, delay))
        at_once = not (self._goodbyes.too_many or told > 0 or self._backoff.closed())
        end = self._clock() + delay
        while (left := end - self._clock()) > 0 and not self._stirred.is_set():
            standby = self._standby
            if self._leaving.is_set() or (at_once and standby is not None and standby.done):
                return
            self._pause(min(left, ROUTE_SECONDS))
            if not self._refused and self._route is not None and self._route.changed():
                return

    def _ask(self, reason: str) -> None:
        """Somebody has to want the next attempt: each may let somebody in between guess once, or
        is in vain anyway."""
        self._drop_standby()
        self._stirred.clear()
        self._emit(events.Paused(reason))
        self._pause(None)
        self._guesses.forget()
        self._goodbyes.forget()

    def _pause(self, seconds: float | None) -> None:
        """For ``seconds``, or for ever; ``leave`` and ``retry`` end it."""
        if not self._leaving.is_set():  # which may have been before ``_stirred`` was cleared
            self._stirred.wait(seconds)
