"""Whether the server is there and answers, and when to say that this client is.

Keeps the times of one connection after the other.  For the reader thread, but for ``written``.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from client import events, messages
from client.connection.deadlines import NOTHING, Awaited, Deadlines
from client.connection.handshake import ANSWER_SECONDS, ATTEMPT_SECONDS
from client.connection.heartbeat import HeartbeatInterval
from client.connection.silence import ROUTE_SECONDS, SilenceMonitor
from i18n import _
from protocol import frames, limits
from transport.route import Route
from transport.websocket import WebSocket

# A server may be quiet for a day, by its settings; whoever waits for an answer looks more often.
_LONGEST_INTERVAL, _LONGEST_TIMEOUT = 60.0, 86400.0


class Liveness:
    """``heartbeat``: seconds between heartbeats, at most.  ``say_seen`` sends one; with True the
    server is to answer it.  ``on_slow`` is told what is waited for, once for each wait."""

    def __init__(
        self,
        clock: Callable[[], float],
        emit: Callable[[events.Event], None],
        say_seen: Callable[[bool], None],
        on_slow: Callable[[str], None],
        heartbeat: float | None = None,
    ) -> None:
        self._clock, self._emit, self._say_seen, self._on_slow = clock, emit, say_seen, on_slow
        self._heartbeat = HeartbeatInterval(heartbeat)
        self._silence = SilenceMonitor()
        self._deadlines = Deadlines(clock, on_slow)
        self.route: Route | None = None  # of the last connection
        self.interval = self.timeout = ATTEMPT_SECONDS
        self.beat_at = self._heard = self._wrote = 0.0  # the next one; a record, one of ours
        self.gap = 0.0  # seconds in which nothing had passed before what waits for an answer
        # Something was sent since the reader thread asked last what is awaited; it says so itself
        # before it asks.  Set before ``written`` looks at the silence, and read after ``look`` has
        # changed that: so either the sender wakes the reader thread, or that looks again.
        self.is_unseen = False
        self._suspect = False  # nothing had passed for a while: there may be another route by now
        self._received = 0  # bytes, since the last heartbeat
        self._asked = False  # for a heartbeat, and it has not come
        self._given_up = NOTHING  # what the server lives without answering
        self._excused = 0.0  # until when the server has said that it takes its time

    def begin(self, welcome: frames.Welcome, route: Route | None) -> None:
        """Another connection."""
        self.route = route
        interval = min(max(welcome.heartbeat_interval, 0.05), _LONGEST_INTERVAL)
        self.interval = self._heartbeat.interval(interval)
        self.timeout = min(max(welcome.heartbeat_timeout, interval), _LONGEST_TIMEOUT)
        self._heard = self._wrote = self._clock()
        # Not a whole interval for the first: those who come back together would beat together.
        first = self.interval * random.uniform(0.5, 1.0)  # noqa: S311  # nothing secret
        self.beat_at, self.gap, self._received = self._heard + first, 0.0, 0
        self._asked = False
        self._silence.begin()
        self._given_up = NOTHING
        self._deadlines, self._excused = Deadlines(self._clock, self._on_slow), 0.0

    @property
    def is_late(self) -> bool:
        """Whether nothing comes at all, though something waits for an answer."""
        return self._silence.late

    @property
    def is_over(self) -> bool:
        """Whether nothing has come for so long that the server has given this client up."""
        return self._clock() >= self._heard + self.timeout

    @property
    def idle(self) -> float:
        """Seconds in which nothing has passed, or had before what waits for an answer."""
        return max(self.gap, self._clock() - max(self._heard, self._wrote))

    def due(self, awaited: Awaited) -> float:
        """When to look again, if nothing comes.  Raises Overdue."""
        deadline = self._deadlines.look(awaited)
        if self.is_unseen:
            return self._clock()
        return min(self.beat_at, self._heard + self.timeout, self._silence.due, deadline)

    def calm_until(self) -> float | None:
        """What ``look`` and ``due`` come to where nothing is awaited, and nothing was; else None.

        In one step for both, since each record that comes asks.
        """
        if self._asked or self._silence.due < math.inf or self._deadlines.waits or self.is_unseen:
            return None
        return min(self.beat_at, self._heard + self.timeout)

    def heard(self, size: int) -> None:
        """A record of ``size`` bytes has come."""
        self._heard, self.gap = self._clock(), 0.0
        self._received += size

    def written(self) -> bool:
        """A record was sent, or taken by the network, by any thread; whether the reader thread
        waits without looking for an answer."""
        now = self._clock()
        gap = now - max(self._heard, self._wrote)
        if gap >= ROUTE_SECONDS:
            self.gap, self._suspect = gap, True
        self._wrote = now
        self.is_unseen = True
        return self._silence.due == math.inf

    def answered(self) -> None:
        """The server's heartbeat has come."""
        self._asked = False

    def excuse(self, seconds: float) -> None:
        """The server has said that it takes its time."""
        self._excused = self._clock() + min(seconds, ANSWER_SECONDS)

    def look_away(self) -> None:
        """Nothing was read meanwhile.  That is no silence of the network's."""
        self._heard = self._clock()
        self._silence.begin()
        self._given_up = NOTHING
        self._deadlines.look(NOTHING)

    def beat(self, is_read: bool = True) -> None:
        """Send a heartbeat if it is time; where nothing is read, none that is to be answered."""
        beats = self._clock() >= self.beat_at
        if beats or (is_read and self._received >= limits.SEEN_BYTES):
            self._beat(answer=beats and is_read)

    def _beat(self, answer: bool) -> None:
        self.beat_at, self._received = self._clock() + self.interval, 0
        self._asked = self._asked or answer
        self._say_seen(answer)

    def look(self, peer: WebSocket, awaited: Awaited) -> bool:
        """Whether what was sent is answered in time; True if another connection is to be tried."""
        now = self._clock()
        # While the network takes nothing there is nothing to be answered yet.
        waits = self._asked
        if awaited.what and not waits:  # else the system need not be asked for what has arrived
            waits = awaited != self._given_up or peer.stuck
        waits = waits and now >= self._excused and not peer.backlog
        moved, stuck = (peer.moved(), peer.stuck) if waits else (0, False)
        step = self._silence.look(now, waits, moved, stuck)
        if step.back:
            if not self._asked:  # it answers heartbeats, and not this: Deadlines tell of it
                self._given_up = awaited
            self._emit(events.Answered())
        if step.said is not None:
            self._emit(events.NoAnswer(step.said))
        if step.probe:
            self._beat(answer=True)
        return step.dial

    def look_for_route(self) -> None:
        """Another connection is tried soon if there is another route to the server."""
        awaits = self._silence.due < math.inf
        if self._silence.late or (self._suspect and awaits):
            self._suspect = False
            if self.route is not None and self.route.changed():
                self.dial_in(0.0)

    def dial_in(self, seconds: float) -> None:
        """Another connection is tried in ``seconds``, unless something comes until then."""
        self._silence.dial_soon(self._clock(), seconds)

    def cut(self, idle: float) -> None:
        """Something has ended a connection on which nothing had passed for ``idle`` seconds."""
        if not self._heartbeat.cut(idle, self.interval):
            return
        text = _(
            "Something on the way cuts connections that are quiet for {idle}: a heartbeat "
            "goes out every {beat} from now on."
        )
        self.interval = beat = self._heartbeat.interval(self.interval)
        self.beat_at = min(self.beat_at, self._clock() + beat)
        shown = {"idle": messages.seconds(round(idle)), "beat": messages.seconds(round(beat))}
        self._emit(events.Notice(text.format(**shown)))
