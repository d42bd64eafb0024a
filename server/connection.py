"""One client's connection: its loop, its heartbeats, and its end.

A ``ServerConnection`` is there from accept to close.  It owns the stream, its place among the
connection limits and, once it is upgraded, the WebSocket, the link and the send queue.  Until the
client is in it is an acceptor's business (``server.listener``, ``server.handshake``); from then on
its own thread alone opens the client's records and has them handled (``server.requests``).  What
goes out is the business of the ``SendQueue``; this thread only finishes what the socket did not
take.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from protocol import frames
from protocol import limits as protocol_limits
from protocol.errors import ChatError, RemoteError, TimedOut
from protocol.link import ServerLink
from server import limits
from server.admission import Permit
from server.broadcast import SendQueue
from server.churn import Changing
from server.rate_limits import tenths
from server.requests import Goodbye, Requests, refusal
from server.services import Services
from server.sessions import ServerSession
from transport import Closed
from transport.stream import Stream
from transport.token_bucket import TokenBucket
from transport.websocket import WebSocket

# Seconds: enough to see whether there is a place at once, where there is no time to wait for it.
_AT_ONCE = 0.001
_NO_PLACE = "server_full"  # why a stranger goes, who has no keys yet to be told it with


def next_beat(beat: float, now: float, interval: float) -> float:
    """When to send the heartbeat after the one that was due at ``beat`` and is sent ``now``.

    One that is a little late does not put off the next: threads that were late together,
    since one waits for the other, would be together ever after, and more of them each time.
    """
    return beat + interval if beat <= now < beat + interval else now + interval


class ServerConnection:
    """One connection.  ``websocket``, ``link`` and ``queue`` are there once it is ``upgraded``."""

    websocket: WebSocket
    link: ServerLink
    queue: SendQueue

    def __init__(
        self,
        services: Services,
        stream: Stream,
        permit: Permit,
        requests: type[Requests] = Requests,
    ) -> None:
        self._services, self.stream, self.permit = services, stream, permit
        self._requests = requests
        self.upgraded = False
        self.session: ServerSession | None = None  # once it is in
        self.proven = False  # whether this client has been let in
        self.closing = threading.Event()
        self.bell = threading.Event()  # while it waits for its turn: see LoginQueue.take
        self.idle = threading.Event()  # nothing more is accepted from this client
        self._reason: str | None = None  # set by close: why this connection is to end
        self._reading_stopped = False  # set by stop_reading: nothing more is read
        self._wait_told = False  # before it is in
        self._received = 0
        self._heard = 0.0

    def upgrade(self, websocket: WebSocket) -> None:
        """It is a chat."""
        self.websocket, self.link = websocket, ServerLink()
        self.queue = SendQueue(self.link.seal, websocket, self._services.broadcaster.mark)
        self.upgraded = True

    # From any thread, all of which return at once

    def cut(self) -> None:
        """End it, wherever it is."""
        self.stream.abort()
        self.close(_NO_PLACE)

    def stop_reading(self) -> None:
        """Accept nothing more, and wait for ``close``."""
        self._reading_stopped = True
        self._wake()

    def close(self, reason: str) -> None:
        """Say ``reason`` and go."""
        if self._reason is None:  # of two at once either
            self._reason = reason
        self.closing.set()
        self._wake()

    def is_closing(self) -> bool:
        """Whether it is to end."""
        return self._reason is not None

    def _wake(self) -> None:
        self.bell.set()
        if self.upgraded:
            self.websocket.wake()

    # For its own thread, or the acceptor before

    def patient_until(self) -> float:
        """When the wait for rooms that change too often has to be over, if it begins now."""
        patience = min(limits.CHANGE_PATIENCE, self._services.policy.heartbeat_timeout / 2)
        return self._services.clock() + patience

    @contextlib.contextmanager
    def slots_to_change(
        self,
        rooms: Sequence[Changing],
        until: float | None = None,
        while_waiting: AbstractContextManager[None] | None = None,
    ) -> Iterator[float]:
        """Wait for a place in each, one after the other: see ``ChurnLimiter.slot``.

        Yields the longest that one of them would have to be waited for after ``until``, if any.
        """
        until = self.patient_until() if until is None else until
        late = 0.0
        with contextlib.ExitStack() as held:
            for room in rooms:
                left = 0.0 if late else until - self._services.clock()
                slot = room.churn.slot(
                    self.permit.group,
                    self.bell,
                    self.is_closing,
                    self._tell_wait,
                    max(_AT_ONCE, left),
                    while_waiting,
                )
                late = max(late, held.enter_context(slot))
            yield late

    def _tell_wait(self, seconds: float) -> None:
        if self.session is None:  # the way in is one wait, and told once
            if self._wait_told:
                return
            self._wait_told = True
        self.queue.reply(frames.Wait(tenths(seconds)).encode())
        self.queue.deliver()

    def say_goodbye(self, close_code: int) -> None:
        """The polite end: all that was said goes out, then a close frame, for a moment at most."""
        deadline = self._services.clock() + limits.STOP_POLITE_SECONDS
        with contextlib.suppress(Closed):
            self._drain(deadline)
            self.websocket.close(close_code)
        self.websocket.finish(deadline)

    def end(self) -> None:
        """Nothing more comes or goes."""
        self.idle.set()
        self.websocket.abort()

    def run(self) -> None:
        """The life of the client's own thread: frames until the end.

        Then the session is over, or in its grace.  Raises nothing that a client can cause.
        """
        session, over = self.session, False
        assert session is not None  # it is in
        try:
            self._serve(session)
        except Goodbye:
            over = not self._services.sessions.outlives(self._reason)
            if self._reason is None:
                self._leave(session)  # by itself: the others need not wait for a polite end
            self.say_goodbye(1000)
        except Closed:
            pass
        except ChatError as error:
            # What the last frame did to this connection is not the identity's fault: it may
            # come back within its grace.
            self._refuse(error)
        except Exception:  # a bug of ours: no more is told than that there was one
            self._refuse(ChatError())
            raise
        finally:
            if over:
                self._leave(session)
            elif self._services.sessions.lose(session, self.queue):
                self._services.expiry.schedule(self._services.policy.heartbeat_timeout)
            self._services.sessions.forget(session)
            self.end()

    def _refuse(self, error: ChatError) -> None:
        self.queue.detach()  # nothing comes after the reason; who returns gets the rest
        with contextlib.suppress(Closed):
            self.queue.reply(refusal(error))
            self.queue.deliver()
            self.say_goodbye(error.close_code)

    def _leave(self, session: ServerSession) -> None:
        """End the session, unless it is another connection's now."""
        with session.lock:
            mine = session.queue is self.queue
        if mine:
            self._services.sessions.end(session)

    # The loop

    def _serve(self, session: ServerSession) -> None:
        policy, clock = self._services.policy, self._services.clock
        requests = self._requests(self._services, session, self.queue, self.slots_to_change)
        bucket = session.bucket
        assert bucket is not None  # it has been attached
        self._heard = clock()
        # Not a whole interval for the first: those who come in together would beat together.
        beat = self._heard + policy.heartbeat_interval * secrets.randbelow(1000) / 1000
        self.queue.deliver()
        if session.token_id is not None:  # it may have ended between the proof and the session
            ended = self._services.tokens.why_ended(session.token_id)
            if ended is not None:
                self.close(ended)
        while True:
            if self.websocket.backlog and not self._flush():
                continue
            if self._reading_stopped:
                requests.settle()
                self.idle.set()
                self.closing.wait(limits.STOP_POLITE_SECONDS)
            if self._reason is not None:
                self._say_why(session, self._reason)
            if requests.is_full or bucket.wait():
                self._rest(requests, bucket, beat)
            record = None
            if requests.is_full:
                self._heard = clock()  # nobody listens
            else:
                silent_at = self._heard + policy.heartbeat_timeout
                record = self._next_record(beat if beat < silent_at else silent_at)
            if record is not None:
                self._receive(requests, record)
                # Only now: while a frame waits, or has to be paid for, nobody listens.
                now = clock()
                self._heard = now + bucket.wait()
                if requests.refused_too_often:
                    self._say_why(session, "protocol")
            else:
                now = clock()
                if now >= self._heard + policy.heartbeat_timeout:
                    raise TimedOut()
            wanted = requests.heartbeat_wanted or self._received >= protocol_limits.SEEN_BYTES
            if wanted or now >= beat:
                beat = next_beat(beat, now, policy.heartbeat_interval)
                requests.heartbeat_wanted, self._received = False, 0
                self.queue.reply(frames.Taken(session.taken).encode())
                self.queue.deliver()

    def _flush(self) -> bool:
        """Let the socket take the rest; whether it has taken all that there was to say.

        Nothing more is sealed before, so what is held for this client is one record, and the
        answers to another one.
        """
        self.websocket.flush(self._services.clock() + self._services.policy.heartbeat_timeout)
        self._heard = self._services.clock()  # it takes what it gets; nobody listened meanwhile
        self.queue.deliver()
        return not self.queue.has_replies

    def _rest(self, requests: Requests, bucket: TokenBucket, until: float) -> None:
        """Read nothing of a client that has cost more than its share, but go on sending to it.

        Nor of one that has too many requests under way.
        """
        self.bell.clear()
        if self._reason is None and not self._reading_stopped:
            pause = math.inf if requests.is_full else bucket.wait()
            self.bell.wait(min(pause, max(0.0, until - self._services.clock())))

    def _next_record(self, until: float) -> str | bytes | None:
        """What comes next; None at ``until`` or when there is something else to do."""
        if not self.websocket.backlog:
            return self.websocket.receive(max(0.0, until - self._services.clock()))
        # Who takes more slowly than its room talks must be heard too.  The first look may
        # have been told only that there is a backlog.
        record = self.websocket.receive(0.0)
        return self.websocket.receive(0.0) if record is None else record

    def _receive(self, requests: Requests, record: str | bytes) -> None:
        self._received += len(record)
        values: Sequence[Any] = ()
        try:
            values = self.link.open(record)
        except RemoteError as error:  # the client's own, and not what a record should be
            requests.strike(error)
        requests.handle_all(values)

    def _say_why(self, session: ServerSession, reason: str) -> None:
        """Hand over what is in the log, then the reason, and nothing after it; always raises."""
        for room in session.rooms():
            room.round()  # this client waits for no other
        self.queue.deliver_all()
        self._drain(self._services.clock() + limits.STOP_POLITE_SECONDS)
        self.queue.detach()
        self.queue.reply(frames.Bye(reason).encode())
        self.queue.deliver()
        raise Goodbye()

    def _drain(self, deadline: float) -> None:
        self.queue.deliver()
        while self.websocket.backlog:
            self.websocket.flush(deadline)
            self.queue.deliver()
