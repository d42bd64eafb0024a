"""The reader thread: connects, joins, receives, and comes back when the connection is lost.

Sending is done by whoever has something to send, one at a time; a thread that finds another
one sending leaves it the rest.  So the reader never waits for a writer, and goes on emptying
the network while the network takes nothing.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from client import events, wording
from client.ending import Ending, Gone, Refused, ending_of, reason_of
from client.outbox import records
from client.patience import Patience
from client.session import Session
from i18n import _
from protocol import frames, limits
from protocol.errors import BadVersion, ChatError, TimedOut, Unexpected, UnknownType
from protocol.keys import Identity, RecipientKeys
from protocol.link import ClientLink, Credentials, refusal_in_clear
from transport import Closed
from transport.sockets import Stream
from transport.websocket import WebSocket

ATTEMPT_SECONDS = 10.0  # until the server's greeting
# Then for `key`, and for `welcome`: longer than a server may let one wait for its turn
# (docs/PROTOCOL.md, States), or one that is busy with guessers would pass for one that is down.
ANSWER_SECONDS = 75.0
QUIET_SECONDS = 5.0  # of that, before the user is told what is waited for
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0  # seconds between attempts, before jitter
UNPROVEN_HANDSHAKES = 3  # in a row that got `key` and no valid `welcome`: somebody is in between
_NAMES_TO_TRY = range(2, 10)
_LONGEST_BASE = limits.NICK_CHARS - 2
# Until `welcome` has told how large a message can be, and whatever a server may tell.
_FIRST_RECORD, _LARGEST_RECORD = 2 * limits.RECORD_BYTES, 8 * 1024 * 1024
# A server may be quiet for a day, by its settings; whoever waits for an answer looks more often.
_LONGEST_INTERVAL, _LONGEST_TIMEOUT = 60.0, 86400.0
_GOODBYE_SECONDS = 2.0
_WRITE_SECONDS = 10.0  # in which the network has to take a record
_LONGEST_NICK_WAIT = 300.0  # in all, for a nickname whose holder is away
_TAKEN = ("nick_taken", "nick_lost", "nick_reserved")


class Connection:
    """Keeps one session connected.

    ``dial`` opens a WebSocket to the server; it hands each stream that it tries to the function
    that it is given, so that leaving need not wait for an answer.  ``tell`` hears ``joined``
    when a room was entered for the first time, ``waiting`` where that takes its time, which is an
    event as well, and ``ended`` when there is nothing more to come.
    ``credentials`` and ``make_keys``, which gives keys for one connection, may take a moment.
    ``may_ask``: somebody is there who can say whether to go on after handshakes in a row that
    proved nothing; otherwise they are the end.
    """

    def __init__(
        self,
        dial: Callable[[Callable[[Stream], None]], WebSocket],
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
    ) -> None:
        self._dial, self._identity, self._credentials = dial, identity, credentials
        self._session, self._emit, self._tell = session, emit, tell
        self._reconnect, self._clock, self._make_keys = reconnect, clock, make_keys
        self._sending = threading.Lock()  # leaf; guards the link's sending half
        self._due = False  # see send
        self._peer: WebSocket | None = None
        self._link: ClientLink | None = None
        self._may_ask = may_ask
        self._nick_wait = _LONGEST_NICK_WAIT if may_wait else 0.0  # that is left
        self._leaving = threading.Event()
        self._stirred = threading.Event()  # leaving, or no more waiting wanted
        self._streams: list[Stream] = []  # of the addresses that are, or were last, dialled
        self._proven = False
        self._unproven = 0
        self._ticket: bytes | None = None  # the newest that the server has given
        self._reason = "lost"  # why the last connection ended
        self._interval, self._timeout = ATTEMPT_SECONDS, ATTEMPT_SECONDS
        self.joined = False
        self.over = False
        self.ending = Ending("left")
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

    def wait(self, seconds: float) -> bool:
        """Wait for the thread to end; whether it has."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def retry(self) -> None:
        """Begin the next attempt now, if one is waited for.  Returns at once."""
        self._stirred.set()

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
        except Closed:
            return True  # the reader thread finds out by itself
        return not peer.backlog

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
        self.ending = Ending("lost", "internal")  # until there is a better reason
        try:
            self.ending = self._keep_connected()
        finally:
            self._session.lose()
            self.over = True
            self._tell("ended")

    def _keep_connected(self) -> Ending:
        attempt = 0
        while not self._leaving.is_set():
            ending = self._one_connection()
            if ending is not None or self._leaving.is_set():
                return ending or Ending("left")
            unproven = self._unproven >= UNPROVEN_HANDSHAKES
            if unproven and not self._may_ask:
                return Ending("lost", "unproven")
            if not self._reconnect:
                return Ending("lost", self._reason)
            attempt = 1 if self._proven else attempt + 1
            if unproven:
                self._ask()
            else:
                self._wait(attempt)
        return Ending("left")

    def _one_connection(self) -> Ending | None:
        """One connection from dialling to its end; None if there is to be another."""
        self._proven, self._reason = False, "lost"
        try:
            self._join()
            self._receive_all()
        except ChatError as error:
            ending = ending_of(error, first=not self.joined, proven=self._proven)
            if isinstance(error, BadVersion) and self._proven:
                self._say_bye(error.code)
            elif ending is None:
                self._say_why(reason_of(error, proven=self._proven))
            return ending
        finally:
            self._disconnect()
        return None

    def _join(self) -> None:
        """Dial, prove, and be let in; waits for a nickname whose holder is away, if it may."""
        while True:
            try:
                return self._join_now()
            except Refused as refused:
                if self.joined or not self._await_nick(refused):
                    raise

    def _await_nick(self, refused: Refused) -> bool:
        """Whether it has waited for the nickname, and is to try again."""
        refusal = refused.refusal
        delay = refusal.retry_after or 0.0
        if refusal.code != "nick_lost" or not refused.proven or not 0 < delay <= self._nick_wait:
            return False
        self._nick_wait -= delay
        self._disconnect()
        self._emit(events.Waiting(self._session.nick, delay))
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
                self._handshake(name)
            except Refused as refused:
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

    def _handshake(self, nick: str) -> None:
        deadline = self._clock() + ATTEMPT_SECONDS
        self._streams = []
        peer = self._dial(self._opened)
        self._peer = peer
        greeting = self._receive_by(peer, deadline)
        link = ClientLink(self._identity, self._credentials(), self._make_keys(), self._ticket)
        peer.send(link.receive_greeting(greeting))
        key = self._answer(peer)
        self._unproven += 1
        peer.allow(_FIRST_RECORD)
        session = self._session
        peer.send(link.receive_key(key, nick, session.room_to_join(), session.resume_point()))
        values = self._first_frames(peer, link)
        welcome = frames.from_object(values[0], frames.SERVER_FRAMES)
        if isinstance(welcome, frames.Wait):  # once
            self._emit(events.Notice(wording.crowded(welcome.seconds)))
            values = self._first_frames(peer, link)
            welcome = frames.from_object(values[0], frames.SERVER_FRAMES)
        if isinstance(welcome, frames.Refused):
            raise Refused(welcome, proven=True)
        if not isinstance(welcome, frames.Welcome):
            raise Unexpected()
        self._interval = min(max(welcome.heartbeat_interval, 0.05), _LONGEST_INTERVAL)
        self._timeout = min(max(welcome.heartbeat_timeout, self._interval), _LONGEST_TIMEOUT)
        self._ticket = welcome.ticket
        peer.allow(min(max(welcome.max_payload_size, _FIRST_RECORD), _LARGEST_RECORD))
        session.welcome(welcome)
        with self._sending:
            self._link = link
        self._take(values[1:])

    def _first_frames(self, peer: WebSocket, link: ClientLink) -> Sequence[Any]:
        """A record of the handshake, which proves that the server knows what we know."""
        values = link.open(self._answer(peer))
        self._unproven = 0
        self._proven = True
        if not values:
            raise Unexpected()
        return values

    def _answer(self, peer: WebSocket) -> str | bytes:
        """The next message of the handshake, of a server that may be busy with others."""
        now = self._clock()
        try:
            return self._receive_by(peer, now + QUIET_SECONDS)
        except TimedOut:
            self._say_slow("welcome")
        return self._receive_by(peer, now + ANSWER_SECONDS)

    def _say_slow(self, what: str) -> None:
        """Tell a person what is waited for; before there is a room, there is no screen yet."""
        self._emit(events.Notice(wording.waiting(what)))
        if not self.joined:
            self._tell("waiting")

    def _receive_by(self, peer: WebSocket, deadline: float) -> str | bytes:
        """The next message of the handshake.  Raises Refused for a refusal in clear."""
        while (left := deadline - self._clock()) > 0:
            if self._leaving.is_set():
                raise Closed()
            message = peer.receive(left)
            if message is not None:
                refusal = refusal_in_clear(message)
                if refusal is not None:
                    raise Refused(refusal, proven=False)
                return message
        raise TimedOut()

    def _receive_all(self) -> None:
        """Records until the end, and heartbeats; always raises in the end."""
        peer, link = self._peer, self._link
        if peer is None or link is None:
            raise Closed()
        heard = self._clock()
        beat, received = heard + self._interval, 0
        patience = Patience(self._clock, self._say_slow)
        while not self._leaving.is_set():
            pause = self._session.paused_until() or beat
            due = patience.look(self._session.awaited())
            until = min(beat, heard + self._timeout, pause, due)
            record = peer.receive(max(0.0, until - self._clock()))
            if record is not None:
                values = link.open(record)
                heard = self._clock()
                received += len(record)
                self._take(values)
            elif self._clock() >= heard + self._timeout:
                raise TimedOut()
            else:
                self._session.go_on()
            if self._clock() >= beat or received >= limits.SEEN_BYTES:
                beat, received = self._clock() + self._interval, 0
                self._session.outgoing.append(self._session.seen())
                self.send()

    def _take(self, values: Sequence[Any]) -> None:
        for value in values:
            try:
                frame = frames.from_object(value, frames.SERVER_FRAMES)
            except UnknownType:
                continue  # of a later version; what matters has a version of its own
            if isinstance(frame, frames.Bye):
                raise Gone(frame.reason)
            self._session.receive(frame)
        if not self.joined and self._session.resume_point() is not None:
            self.joined = True
            self._tell("joined")

    def _say_why(self, reason: str) -> None:
        """The server has ended this connection, or has to be left; the next one may be better."""
        self._reason = reason
        if reason != "lost" and self._reconnect and not self._leaving.is_set():
            self._emit(events.Notice(wording.coming_back(reason)))

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

    def _wait(self, attempt: int) -> None:
        delay = min(FIRST_DELAY * 2.0 ** min(attempt - 1, 16), LONGEST_DELAY)
        # Jitter, so that a thousand clients do not come back in one moment.
        delay = round(delay * random.uniform(0.5, 1.0), 1)  # noqa: S311  # nothing secret
        self._stirred.clear()
        self._emit(events.Reconnecting(attempt, delay))
        self._pause(delay)

    def _ask(self) -> None:
        """Each attempt lets somebody in between guess once: somebody has to want the next."""
        self._stirred.clear()
        self._emit(events.Paused())
        self._pause(None)
        self._unproven = 0

    def _pause(self, seconds: float | None) -> None:
        """For ``seconds``, or for ever; ``leave`` and ``retry`` end it."""
        if not self._leaving.is_set():  # which may have been before ``_stirred`` was cleared
            self._stirred.wait(seconds)
