"""Runs a program for each message of others, and posts what it prints.

Thread: ``program``, started by ``Responder.start``, ends after ``stop``.  Lock: ``_changed`` guards
the queue and what runs; a leaf, so that messages may be put under any lock.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from client.bots import outcome
from client.events import Event, Message
from client.output.json import Json

if sys.platform == "win32":
    from client.bots.windows import WindowsRun as ProgramRun
else:
    from client.bots.posix import PosixRun as ProgramRun

QUEUE_MESSAGES = 100  # that wait for the program; it does not get what comes beyond
_LINE_ENDS = 64  # bytes that may stand behind a text

Emit = Callable[[Event], None]


class Responder:
    """``words``: the program and its arguments, run with ``environ`` and nothing else of ours.

    ``post`` sends an answer to where a message came from, ``most`` says how many bytes it may
    have; both are called by the thread.  ``on_bots``: also for what programs have posted.
    """

    def __init__(
        self,
        words: Sequence[str],
        environ: Mapping[str, str],
        on_bots: bool,
        post: Callable[[Message, str], None],
        most: Callable[[], int],
        now: Callable[[], datetime],
        seconds: float = outcome.SECONDS,
    ) -> None:
        self._words, self._environ, self._on_bots = words, environ, on_bots
        self._post, self._most, self._now, self._seconds = post, most, now, seconds
        self._show: Emit = lambda event: None
        self._changed = threading.Condition(threading.Lock())
        self._waiting: deque[tuple[Message, datetime]] = deque()
        self._running: ProgramRun | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="program", daemon=True)

    def start(self) -> None:
        """Begin to run it."""
        self._thread.start()

    def before(self, show: Emit) -> Emit:
        """``show`` for a client whose messages the program gets."""
        self._show = show

        def take(event: Event) -> None:
            show(event)
            if isinstance(event, Message) and not event.mine:
                if (self._on_bots or not event.bot) and not self._put(event):
                    show(outcome.busy(QUEUE_MESSAGES))

        return take

    def _put(self, message: Message) -> bool:
        """Whether there was room for it; so, too, where nothing is run any more."""
        with self._changed:
            if self._stopped:
                return True
            if len(self._waiting) >= QUEUE_MESSAGES:
                return False
            self._waiting.append((message, self._now()))
            self._changed.notify_all()
            return True

    def stop(self, seconds: float) -> None:
        """End what runs, with all that it has started, and run nothing more; ``seconds`` are what
        that may take, where it has just been started.  By any thread but its own."""
        with self._changed:
            self._stopped = True
            self._waiting.clear()
            if self._running is not None:
                self._running.kill()
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(seconds)

    # The thread

    def _run(self) -> None:
        while (given := self._next()) is not None:
            message, when = given
            found = self._ask(message, when)
            if self._stopped:
                return
            if isinstance(found, Event):
                self._show(found)
            elif found:
                self._post(message, found)

    def _next(self) -> tuple[Message, datetime] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopped)
            return None if self._stopped else self._waiting.popleft()

    def _ask(self, message: Message, when: datetime) -> str | Event:
        """What the program answers, "" if it says nothing, or why there is no answer."""
        most = self._most()
        try:
            run = ProgramRun(self._words, self._environ)
        except (OSError, ValueError) as error:
            return _not_started(error)
        with self._changed:
            self._running = run
            if self._stopped:  # just now, and nobody has ended it
                run.kill()
        try:
            (line,) = Json().lines(message, when)
            output, fault = run.converse(f"{line}\n".encode(), most + _LINE_ENDS, self._seconds)
        except OSError as error:  # no descriptor for it is left; there may be one for the next
            return _not_started(error)
        finally:
            with self._changed:
                self._running = None
            status = run.finish()
        return outcome.answer(output, fault, status, most)


def _not_started(error: Exception) -> Event:
    return outcome.not_started(getattr(error, "strerror", None) or type(error).__name__)
