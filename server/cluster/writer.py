"""The thread that has the engine run scripts, and what waits for it.

All that waits goes out as one batch (a group commit), and while that is under way the next one
fills, so batches grow with the load.  A batch that was sent and not answered is sent again once
there is a connection: each script is idempotent, by a ``ref`` or by its nature.  Its calls stay in
front of all others, so the order never changes.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Protocol

from protocol.errors import OutcomeUnknown, ServerFull, Unavailable
from server.cluster import limits
from server.cluster.engine import CannotConnect, Engine, EngineLost
from server.cluster.resp import EngineError, Reply
from server.cluster.script import EngineCall, Script, ScriptCall
from server.threads import tell_failure

# What ends a call: its reply, or the reason why there is none.  ``EngineError`` is a fault of ours
# or of the engine's settings.
Failure = Unavailable | OutcomeUnknown | ServerFull | EngineError
Outcome = Reply | Failure
OnDone = Callable[[Outcome], None]

# First words of replies that say that this node, or all that was known, is over.
FENCED = (b"FORGOTTEN", b"FENCED_NODE")

_SHORTEST = 0.01  # seconds that anything is waited for


class Connects(Protocol):
    """What makes connections: ``engine.Connector``."""

    def connect(self, timeout: float, *, within: float) -> Engine:
        """A new connection; raises CannotConnect."""


class WaitingCall:
    """A call that waits for its outcome."""

    __slots__ = ("call", "on_done", "sent", "since")

    def __init__(self, call: EngineCall, on_done: OnDone, since: float) -> None:
        self.call, self.on_done, self.since = call, on_done, since
        self.sent: float | None = None  # when it went out for the first time

    def finish(self, outcome: Outcome) -> None:
        """Tell whoever has asked; what fails there is told, and is nobody else's business."""
        try:
            self.on_done(outcome)
        except Exception:
            tell_failure()


class Writer:
    """One thread, ``engine-writer``, with one connection.  All other methods are any thread's.

    ``on_connected`` looks at a new connection before anything is sent on it, after the scripts
    were loaded; where it returns False that connection is dropped and another one made later.
    ``on_fenced`` gets the first word of each reply that is in ``FENCED``, before whoever has asked
    gets that reply.  ``on_trouble`` gets ``trouble`` once the engine has been away for
    ENGINE_SECONDS, and "" when it is back.  All are called by the writer's thread, and must not
    wait for it.
    """

    def __init__(
        self,
        connector: Connects,
        scripts: Sequence[Script],
        on_connected: Callable[[Engine], bool] = lambda _engine: True,
        on_fenced: Callable[[str], None] = lambda _word: None,
        on_trouble: Callable[[str], None] = lambda _trouble: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connector, self._scripts = connector, {each.sha: each for each in scripts}
        self._on_connected, self._on_fenced, self._clock = on_connected, on_fenced, clock
        self._on_trouble = on_trouble
        self._thread = threading.Thread(target=self._run, name="engine-writer", daemon=True)
        self._changed = threading.Condition()  # leaf; guards the queue, its bytes and the flag
        self._queue: deque[WaitingCall] = deque()
        self._bytes = 0  # of what waits in the queue
        self._stopping = False
        # The thread's own.
        self._engine: Engine | None = None
        self._batch: list[WaitingCall] = []  # sent and not answered: before what waits
        self._pause = 0.0  # before the next try to connect
        self.trouble = ""  # why there is no connection: "lost", or what CannotConnect has
        self._away_since: float | None = None
        self._told = False  # that it is away

    def start(self) -> None:
        """Start the thread; it connects by itself."""
        self._thread.start()

    def stop(self) -> None:
        """Take nothing more, let what waits go out as long as the engine answers, and end.

        What is left is finished: unavailable, or its outcome unknown.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(limits.ENGINE_STOP_SECONDS)
        if self._thread.is_alive():
            if (engine := self._engine) is not None:
                engine.close()
            self._thread.join()

    def submit(self, call: EngineCall, on_done: OnDone) -> None:
        """Have it run; ``on_done`` gets the outcome, in the writer's thread, and must not wait.

        Where it cannot even wait it gets Unavailable before this returns, in this thread.
        """
        if isinstance(call, ScriptCall):
            script = call.script
            assert script.sha in self._scripts, f"{script.name} is not the writer's"
        size = len(call.packed)
        with self._changed:
            full = len(self._queue) >= limits.ENGINE_CALLS
            full = full or self._bytes + size > limits.ENGINE_BYTES
            taken = not full and not self._stopping
            if taken:
                if not self._queue:
                    self._changed.notify_all()
                self._queue.append(WaitingCall(call, on_done, self._clock()))
                self._bytes += size
        if not taken:
            WaitingCall(call, on_done, 0.0).finish(unavailable())

    def call(self, call: EngineCall) -> Reply:
        """Have it run and wait for its reply.

        Raises Unavailable (it never ran), OutcomeUnknown, ServerFull (the engine has no memory
        left), EngineError.
        """
        assert threading.current_thread() is not self._thread, "it would wait for itself"
        done: SimpleQueue[Outcome] = SimpleQueue()
        self.submit(call, done.put)
        outcome = done.get()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    # The thread

    def _run(self) -> None:
        try:
            while self._wait():
                try:
                    if self._engine is not None or self._connect():
                        self._turn()
                except Exception:  # a bug of ours: without this thread the node can do nothing
                    tell_failure()
                    self._lose("lost")
        finally:
            with self._changed:
                self._stopping = True
            self._drop()
            self._finish_all()

    def _wait(self) -> bool:
        """Until there is something to do; False when it is time to end."""
        with self._changed:
            while self._engine is not None and not self._stopping:
                if self._queue or self._batch:
                    return True
                self._changed.wait()
            # What waits still goes out where there is a connection, and is not waited for else.
            more = self._engine is not None and bool(self._queue or self._batch)
            return more or not self._stopping

    def _turn(self) -> None:
        """Send what has no answer again, or the next batch."""
        self._expire()
        if not self._batch:
            self._batch = self._take()
        if self._batch and (replies := self._exchange(self._batch)) is not None:
            self._note_back()
            done = list(zip(self._batch, replies, strict=True))
            # Those have not run: the engine had forgotten their scripts, and has them again now.
            self._batch = [each for each, reply in done if _has_no_script(reply)]
            for each, reply in done:
                if not _has_no_script(reply):
                    self._answer(each, reply)

    def _take(self) -> list[WaitingCall]:
        """The next batch: one call, or as many as fit into it."""
        taken: list[WaitingCall] = []
        size = 0
        with self._changed:
            while self._queue and len(taken) < limits.ENGINE_BATCH:
                size += len(self._queue[0].call.packed)
                if taken and size > limits.ENGINE_BATCH_BYTES:
                    break
                taken.append(self._queue.popleft())
                self._bytes -= len(taken[-1].call.packed)
        return taken

    def _exchange(self, batch: list[WaitingCall]) -> list[Reply] | None:
        """The replies to a batch; None if the connection is lost."""
        assert self._engine is not None
        now = self._clock()
        for each in batch:
            each.sent = now if each.sent is None else each.sent
        try:
            replies = self._engine.run_packed([each.call.packed for each in batch])
            if any(map(_has_no_script, replies)):
                self._load(self._engine)
        except EngineLost:
            self._lose("lost")
            return None
        return replies

    def _answer(self, waiting: WaitingCall, reply: Reply) -> None:
        if isinstance(reply, list) and reply and reply[0] in FENCED:
            self._tell(self._on_fenced, reply[0].decode())
        full = isinstance(reply, EngineError) and reply.word == "OOM"
        waiting.finish(ServerFull() if full else reply)

    # Its connection

    def _connect(self) -> bool:
        """Try it once, after the pause; False if there is none."""
        self._rest()
        if self._stopping:
            return False
        left = self._next_end() - self._clock()
        within = max(_SHORTEST, min(limits.ENGINE_CONNECT_SECONDS, left))
        try:
            engine = self._connector.connect(within, within=within)
        except CannotConnect as error:
            self._lose(error.word or error.reason, refused=error.command == "AUTH")
            return False
        try:
            self._load(engine)
            ready = self._on_connected(engine)
            engine.set_timeout(limits.ENGINE_REPLY_SECONDS)
        except EngineLost:
            ready = False
        except BaseException:
            engine.release()
            raise
        if not ready:
            engine.release()
            self._lose("lost")
            return False
        self._engine, self.trouble = engine, ""
        return True

    def _load(self, engine: Engine) -> None:
        """Have the engine know all scripts.  Raises EngineLost."""
        loads = [("SCRIPT", "LOAD", each.text) for each in self._scripts.values()]
        replies = engine.run(loads)
        if any(isinstance(each, EngineError) for each in replies):
            raise EngineLost

    def _lose(self, trouble: str, refused: bool = False) -> None:
        """There is no connection; the next one is tried after a pause, a long one if the engine
        did not take the password: whoever repeats that looks like a guesser."""
        self._drop()
        self.trouble = trouble
        longer = min(limits.ENGINE_PAUSE_MOST, max(limits.ENGINE_PAUSE, 2 * self._pause))
        self._pause = limits.ENGINE_LOGIN_PAUSE if refused else longer
        now = self._clock()
        self._away_since = now if self._away_since is None else self._away_since
        if not self._told and (refused or now - self._away_since >= limits.ENGINE_SECONDS):
            self._told = True
            self._tell(self._on_trouble, trouble)

    def _note_back(self) -> None:
        """The engine does its work."""
        self._pause, self._away_since = 0.0, None
        if self._told:
            self._told = False
            self._tell(self._on_trouble, "")

    @staticmethod
    def _tell(listener: Callable[[str], None], word: str) -> None:
        try:
            listener(word)
        except Exception:
            tell_failure()

    def _drop(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.release()

    def _rest(self) -> None:
        """The pause before another try; what has waited for too long is finished meanwhile."""
        until = self._clock() + self._pause
        while True:
            self._expire()
            with self._changed:
                left = min(until, self._next_end()) - self._clock()
                if self._stopping or until <= self._clock():
                    return
                self._changed.wait(max(left, _SHORTEST))

    # What has waited for too long

    def _next_end(self) -> float:
        """When the next call has waited for too long."""
        ends = [each.sent + limits.ENGINE_UNKNOWN_SECONDS for each in self._batch if each.sent]
        with contextlib.suppress(IndexError):  # the queue is empty
            ends.append(self._queue[0].since + limits.ENGINE_SECONDS)
        return min(ends, default=math.inf)

    def _expire(self) -> None:
        """Finish those."""
        now = self._clock()
        over: list[WaitingCall] = []
        with self._changed:
            while self._queue and self._queue[0].since + limits.ENGINE_SECONDS <= now:
                over.append(self._queue.popleft())
                self._bytes -= len(over[-1].call.packed)
        unknown = [
            each
            for each in self._batch
            if each.sent is not None and each.sent + limits.ENGINE_UNKNOWN_SECONDS <= now
        ]
        self._batch = [each for each in self._batch if each not in unknown]
        self._finish(over, unknown)

    def _finish_all(self) -> None:
        with self._changed:
            over, self._bytes = list(self._queue), 0
            self._queue.clear()
        unknown, self._batch = self._batch, []
        self._finish(over, unknown)

    @staticmethod
    def _finish(over: list[WaitingCall], unknown: list[WaitingCall]) -> None:
        for each in unknown:
            each.finish(OutcomeUnknown())
        for each in over:
            each.finish(unavailable())


def unavailable() -> Unavailable:
    """The engine is away; whatever was asked for was not done, and will not be."""
    return Unavailable(retry_after=limits.ENGINE_RETRY_SECONDS)


def _has_no_script(reply: Reply) -> bool:
    return isinstance(reply, EngineError) and reply.word == "NOSCRIPT"
