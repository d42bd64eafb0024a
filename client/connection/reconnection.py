"""Coming back: whether there is another connection, and the wait before it.

For the reader thread, but for ``stir``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from client import events, messages, refusals
from client.connection.backoff import Backoff
from client.connection.circuit_breakers import Goodbyes, Guesses
from client.connection.outcome import AdmissionRefused, Outcome, reason_of
from client.connection.silence import ROUTE_SECONDS
from protocol.errors import ChatError
from transport.route import Route

_MOST_WAITED = 300.0  # before another attempt, whatever a server says


class Reconnection:
    """``wanted``: lost connections are come back to.  ``may_ask``: somebody is there who can say
    whether to go on after handshakes that proved nothing; otherwise they are the end."""

    def __init__(
        self,
        emit: Callable[[events.Event], None],
        leaving: threading.Event,
        clock: Callable[[], float],
        wanted: bool,
        may_ask: bool,
    ) -> None:
        self._emit, self._leaving, self._clock = emit, leaving, clock
        self._wanted, self._may_ask = wanted, may_ask
        self._stirred = threading.Event()  # leaving, or no more waiting wanted
        self.backoff, self.guesses = Backoff(clock), Guesses(clock)
        self._goodbyes = Goodbyes(clock)
        self._told: tuple[str, bool] | None = None  # of the refusal that was told last
        self._not_before = 0.0  # the next attempt, by that
        self._reason = "lost"  # why the last connection ended
        self._refused = False  # by whoever was there last

    def stir(self) -> None:
        """Wait no longer: leaving, or the next attempt is wanted now."""
        self._stirred.set()

    def entered(self) -> None:
        """A server has let this client in."""
        self.backoff.entered()
        self._goodbyes.entered()
        self._told = None

    def lost(self) -> None:
        """The network has ended the last connection, unless ``ended`` follows."""
        self._reason, self._refused = "lost", False

    def ended(self, error: ChatError, proven: bool) -> None:
        """The server has ended the last connection, or it had to be left; the next one may be
        better.  What there is to say of it is said."""
        self._reason = reason_of(error, proven=proven)
        if self._reason not in ("lost", "replaced"):  # by this client: nobody else has its keys
            self._goodbyes.ended()
            if self._wanted and not self._leaving.is_set():
                self._emit(events.Notice(messages.coming_back(self._reason)))
        if isinstance(error, AdmissionRefused):
            self._refused = True
            self._say_refused(error)

    def _say_refused(self, refused: AdmissionRefused) -> None:
        """Once for as long as it is refused so, however often."""
        code, proven = refused.refusal.code, refused.proven
        if proven:
            self._not_before = self._clock() + min(refused.refusal.retry_after or 0.0, _MOST_WAITED)
        if (code, proven) == self._told or self._leaving.is_set():
            return
        self._told = code, proven
        params = refusals.params(refused.refusal)
        self._emit(events.Notice(messages.kept_out(code, params, proven=proven)))

    def outcome(self) -> Outcome | None:
        """What it has come to; None if there is to be another connection."""
        if self.guesses.too_many() and not self._may_ask:
            return Outcome("lost", "unproven")
        return None if self._wanted else Outcome("lost", self._reason)

    def may_dial(self) -> float | None:
        """The seconds in which a second connection may be tried unasked; None if it may not."""
        if not self._wanted or self.guesses.too_many():
            return None
        return self.backoff.closed()

    def question(self) -> str | None:
        """Why somebody has to want the next attempt, if that is so."""
        if self.guesses.too_many():
            return "unproven"
        return "rebuffed" if self._goodbyes.too_many and self._may_ask else None

    def ask(self, reason: str) -> None:
        """Wait until somebody wants the next attempt: each may let somebody in between guess once,
        or is in vain anyway."""
        self._stirred.clear()
        self._emit(events.Paused(reason))
        self._pause(None)
        self.guesses.forget()
        self._goodbyes.forget()

    def wait(self, route: Route | None, is_dialled: Callable[[], bool]) -> None:
        """Until the next attempt, or the moment in which the system has a route again, or a second
        connection has been made meanwhile."""
        self._stirred.clear()
        told = self._not_before - self._clock()
        goodbyes = self._goodbyes
        delay = max(self.backoff.delay(not self._refused), goodbyes.pause, round(told, 1))
        if goodbyes.too_many:
            self._emit(events.Notice(messages.rebuffed(delay)))
        self._emit(events.Reconnecting(self.backoff.attempt, delay))
        at_once = not (goodbyes.too_many or told > 0 or self.backoff.closed())
        end = self._clock() + delay
        while (left := end - self._clock()) > 0 and not self._stirred.is_set():
            if self._leaving.is_set() or (at_once and is_dialled()):
                return
            self._pause(min(left, ROUTE_SECONDS))
            if not self._refused and route is not None and route.changed():
                return

    def sleep(self, seconds: float) -> None:
        """For ``seconds``, unless it is stirred."""
        self._stirred.clear()
        self._pause(seconds)

    def _pause(self, seconds: float | None) -> None:
        if not self._leaving.is_set():  # which may have been before ``_stirred`` was cleared
            self._stirred.wait(seconds)
