"""This process as one of several: its name, its lease, and what one of all nodes has to do.

A node has a random name, and another one whenever it was given up: by others, who found no lease,
or by an engine that has forgotten everything.  What it did under the old name counts for nothing
from then on, as each script names it; here that is noticed, all connections end, and their clients
come in anew, to this node or another.

One thread, ``node``, renews the lease, and does what follows from the answers.  Only that one call
is not waited for, so it finds out in time that there are no answers.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from protocol.errors import OutcomeUnknown, ServerFull, Unavailable
from protocol.token_seal import TokenSeal
from server.cluster import calls, keys, limits, replies
from server.cluster.asking import Outcome, ask, ask_within, settle
from server.cluster.calls import SessionClaim
from server.cluster.keys import Incarnation
from server.cluster.policy import PasswordSecret, differing, is_key
from server.cluster.reply_values import BadReply
from server.cluster.resp import EngineError
from server.cluster.script import PlainCall, ScriptCall
from server.cluster.writer import Writer
from server.threads import tell_failure

_AWAY = (Unavailable, OutcomeUnknown, ServerFull)
_FENCED = (replies.Forgotten, replies.NodeFenced)
# What may be wrong where this node stops, and must not keep it from that: also an engine that does
# not let it do something any more.
_ANYTHING = (*_AWAY, *_FENCED, EngineError, BadReply)


class OtherPolicy(Exception):
    """The nodes that are there have another ``what``: format, password or limits.

    ``names`` are the settings that those are, or ``protocol``.  ``over_in``: where none of those
    nodes answers, in so many seconds at most they are forgotten; 0.0 if one does.
    """

    def __init__(self, what: str, names: Sequence[str] = (), over_in: float = 0.0) -> None:
        super().__init__(what)
        self.what, self.names, self.over_in = what, names, over_in


class NodeWork(Protocol):
    """What the node has done by others."""

    def begun(self) -> None:
        """It has another name, and nothing of what it knew counts."""

    def cut_all(self) -> None:
        """All connections have to end."""

    def claims(self) -> Sequence[SessionClaim]:
        """Those of this node's sessions."""

    def not_here(self, fingerprint: str) -> None:
        """This session is not this node's."""

    def rooms_here(self) -> Sequence[tuple[str, int]]:
        """The rooms that have a mirror here: ``room_key`` and number."""

    def no_room(self, key: str) -> None:
        """There is no such room any more."""

    def refused(self, error: OtherPolicy) -> None:
        """It may not be a node again."""

    def each_minute(self) -> None:
        """Whatever else is to be done once a minute.  May wait for the engine."""


class Node:
    """``register`` first, then ``start``.  Thread-safe but for those two and ``stop``."""

    def __init__(
        self,
        prefix: str,
        password: str,
        policy: str,
        grace: float,
        writer: Writer,
        work: NodeWork,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prefix, self._password, self._policy = prefix, password, policy
        self._grace, self._writer, self._work, self._clock = grace, writer, work, clock
        self._thread = threading.Thread(target=self._run, name="node", daemon=True)
        self._stirred = threading.Event()
        self._stopping = False
        self._key = secrets.token_hex(32)
        self._secret: PasswordSecret | None = None  # under that key
        self._incarnation: Incarnation | None = None
        self._registered = False
        self._rows: tuple[replies.NodeRow, ...] = ()
        self._lock = threading.Lock()  # leaf; guards the two below
        # The oldest goes where there are too many: the engine finds out later (NODE_UNSAID).
        self._unsaid = deque[tuple[ScriptCall, Callable[[], None]]](maxlen=limits.NODE_UNSAID)
        self._answers: deque[Outcome] = deque()  # to the call that renews the lease
        self._answered_at = self._unbroken_since = clock()
        # The thread's own.
        self._asked_at: float | None = None  # when the lease was to be renewed, without answer yet
        self._renewed_at = self._swept_at = self._minute_at = 0.0  # when that was done, or is due
        self._keep_at = 0.0  # when what belongs to all nodes is to be kept for longer
        self._pause = 0.0
        self._has_cut = False

    @property
    def incarnation(self) -> Incarnation:
        """As whom this node asks now.  Raises Unavailable before it has ever registered."""
        if self._incarnation is None:
            raise Unavailable(retry_after=limits.ENGINE_RETRY_SECONDS)
        return self._incarnation

    @property
    def nodes(self) -> int:
        """How many nodes there are, this one included, as was last heard."""
        return max(1, sum(each.alive for each in self._rows))

    @property
    def is_in_touch(self) -> bool:
        """Whether the engine has answered lately, and knows this node."""
        return self._registered and self._clock() - self._answered_at < limits.NODE_TOUCH_SECONDS

    def has_others(self, within: float) -> bool:
        """Whether there are other nodes just now; what was last heard if nothing is in time."""
        return self.count(within) > 1

    def count(self, within: float) -> int:
        """How many nodes there are just now, this one included; otherwise as ``has_others``."""
        rows = self._rows
        with contextlib.suppress(*_ANYTHING):
            call = calls.renew(self.incarnation, _lease_ms(), False)
            rows = ask_within(self._writer, call, replies.renew, within) or rows
        return max(1, sum(each.alive for each in rows))

    def doubt(self) -> None:
        """Somebody was told that this node is fenced, or all forgotten: look at once.

        It may be the answer to what was asked under an old name, so it is not believed.
        """
        self._renewed_at = 0.0
        self._stirred.set()

    def look_at_sessions(self) -> None:
        """Something may not have been heard: do now what is done once a minute."""
        self._minute_at = 0.0
        self._stirred.set()

    def tell(self, call: ScriptCall, on_done: Callable[[], None] = lambda: None) -> None:
        """Have a script run, however often that takes; ``on_done`` hears when it has been."""

        def done(outcome: Outcome) -> None:
            if isinstance(outcome, _AWAY):
                with self._lock:
                    self._unsaid.append((call, on_done))
            else:
                on_done()

        self._writer.submit(call, done)

    def token_seal(self) -> TokenSeal:
        """See ``PasswordSecret``; once it has registered."""
        assert self._secret is not None
        return self._secret.token_seal()

    # Registering

    def register(self) -> None:
        """Become a node under a new name.

        Raises OtherPolicy, or as ``asking.ask``.
        """
        known = self._writer.call(PlainCall("HGET", keys.policy(self._prefix), "key"))
        if isinstance(known, bytes):
            self._go_by(known.decode("ascii", "replace"))
        for _ in range(limits.TRIES):
            node = self._new_incarnation()
            self._secret = self._secret or PasswordSecret(self._password, self._key)
            call = calls.register(node, _lease_ms(), self._key, self._secret.mac, self._policy)
            found = ask(self._writer, call, replies.register)
            if found.word == "OK":
                now = self._clock()
                with self._lock:
                    self._unsaid.clear()  # it was said of sessions that ended with the old name
                self._incarnation = node._replace(epoch=found.epoch)
                self._answered_at = self._unbroken_since = self._renewed_at = now
                self._minute_at = self._keep_at = now + limits.NODE_MINUTE
                self._swept_at, self._has_cut, self._registered = 0.0, False, True
                return
            if found.word == "CHANGED":
                over_in = 0.0 if found.alive else node.ttl_ms / 1000
                raise OtherPolicy(found.detail, self._others(found.detail), over_in)
            self._go_by(found.detail)
        raise Unavailable(retry_after=limits.ENGINE_RETRY_SECONDS)

    def _go_by(self, key: str) -> None:
        """This is the key that counts.  Raises OtherPolicy if no node of ours has made it."""
        if not is_key(key):
            raise OtherPolicy("format")
        if key != self._key:
            self._key, self._secret = key, None

    def _others(self, what: str) -> list[str]:
        """The limits that the nodes which are there have otherwise, by their names."""
        if what != "limits":
            return []
        raw = self._writer.call(PlainCall("HGET", keys.policy(self._prefix), "limits"))
        return differing(self._policy, raw if isinstance(raw, bytes) else b"")

    def _new_incarnation(self) -> Incarnation:
        ttl = max(limits.TTL_SECONDS, self._grace + limits.TTL_BEYOND_GRACE)
        return Incarnation(
            self._prefix, secrets.token_hex(8), secrets.token_hex(6), round(ttl * 1000)
        )

    # The thread

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Be a node no more; sessions that are left here are lost."""
        self._stopping = True
        self._stirred.set()
        self._thread.join(limits.NODE_STOP_SECONDS)
        if self._registered:
            self._retire()

    def _retire(self) -> None:
        """Where that fails its lease will be missed."""
        until = self._clock() + limits.NODE_STOP_SECONDS
        call = calls.retire(self.incarnation)
        with contextlib.suppress(*_ANYTHING):
            while (seconds := until - self._clock()) > 0:
                found = ask_within(self._writer, call, replies.retire, seconds)
                if found is None or not found.number:
                    return

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._turn()
            except _AWAY:
                pass
            except _FENCED:
                self.doubt()
            except Exception:  # a bug of ours in one of the jobs must not end the lease
                tell_failure()
            self._stirred.wait(self._until_next())
            self._stirred.clear()

    def _until_next(self) -> float:
        if not self._registered:
            return self._pause
        due = min(self._renewed_at + limits.NODE_RENEW_SECONDS, self._swept_at)
        least = limits.NODE_LEAST_SECONDS if self._asked_at is None else limits.NODE_LOOK_SECONDS
        return max(least, due - self._clock())

    def _turn(self) -> None:
        if not self._registered:
            return self._register_again()
        for outcome in self._take_answers():
            self._asked_at = None
            try:
                self._renewed(settle(outcome, replies.renew))
            except _FENCED:
                return self._begin_anew()
        self._look_at_silence()
        if self._asked_at is None and self._is_due(self._renewed_at, limits.NODE_RENEW_SECONDS):
            self._renew()
        if self._asked_at is None or self._clock() - self._asked_at < limits.NODE_LOOK_SECONDS:
            self._do_jobs()

    def _is_due(self, since: float, every: float) -> bool:
        return self._clock() - since >= every

    # The lease

    def _renew(self) -> None:
        self._asked_at = self._renewed_at = now = self._clock()
        call = calls.renew(self.incarnation, _lease_ms(), everything := now >= self._keep_at)
        if everything:  # not with the jobs: a turn between two renewals may do those
            self._keep_at = now + limits.NODE_MINUTE
        self._writer.submit(call, self._on_renewed)

    def _on_renewed(self, outcome: Outcome) -> None:
        """For the writer's thread."""
        with self._lock:
            self._answers.append(outcome)
        self._stirred.set()

    def _take_answers(self) -> list[Outcome]:
        with self._lock:
            taken = list(self._answers)
            self._answers.clear()
        return taken

    def _renewed(self, rows: tuple[replies.NodeRow, ...]) -> None:
        now = self._clock()
        if now - self._answered_at > limits.NODE_BREAK_SECONDS:
            self._unbroken_since = now
        self._answered_at, self._has_cut, self._rows = now, False, rows
        self._say_again()
        if now - self._unbroken_since >= limits.LEASE_SECONDS:
            for each in rows:
                if not each.alive and each.node != self.incarnation.node:
                    self._mark(each.node)

    def _mark(self, dead: str) -> None:
        """Its lease is gone, and this node has had answers for as long as a lease lasts: it is not
        the engine that was away."""
        while not self._stopping:
            found = ask(self._writer, calls.mark(self.incarnation, dead), replies.mark)
            if found.word == "LEASED" or not found.number:
                return

    def _say_again(self) -> None:
        with self._lock:
            unsaid = list(self._unsaid)
            self._unsaid.clear()
        for call, on_done in unsaid:
            self.tell(call, on_done)

    def _look_at_silence(self) -> None:
        """Cut off from the engine, connections are kept as long as a silent client's would be."""
        patience = max(self._grace, limits.NODE_TOUCH_SECONDS)
        if not self._has_cut and self._clock() - self._answered_at >= patience:
            self._has_cut = True
            self._work.cut_all()

    def _begin_anew(self) -> None:
        """Given up, or forgotten."""
        self._registered, self._pause, self._asked_at = False, 0.0, None
        self._work.cut_all()
        self._register_again()

    def _register_again(self) -> None:
        self._pause = min(
            limits.NODE_PAUSE_MOST, max(limits.NODE_PAUSE, 2 * self._pause)
        )
        try:
            self.register()
        except OtherPolicy as error:
            return self._work.refused(error)  # it may be over some time
        self._take_answers()
        self._registered = False  # nobody is let in before all is there: who is kept out, above all
        self._work.begun()
        self._registered, self._pause = True, 0.0

    # Jobs of all nodes: whoever comes first does them

    def _do_jobs(self) -> None:
        now = self._clock()
        if now >= self._swept_at:
            self._sweep()
        if now >= self._minute_at:
            self._minute_at = now + limits.NODE_MINUTE
            self._each_minute()

    def _sweep(self) -> None:
        """End the graces that are over; the next is no sooner than the nearest, or a new one."""
        call = calls.sweep(self.incarnation, round(self._grace * 1000))
        _ended, left_ms = ask(self._writer, call, replies.sweep)
        left = self._grace if left_ms is None else left_ms / 1000
        self._swept_at = self._clock() + min(left, self._grace)

    def _each_minute(self) -> None:
        keep = 2 * self._grace + limits.KEEP_BEYOND_GRACES
        for piece in _pieces(self._work.rooms_here(), limits.ROOMS_RENEWED):
            call = calls.renew_rooms(self.incarnation, piece, round(keep * 1000))
            for key in ask(self._writer, call, replies.renew_rooms):
                self._work.no_room(key)
        for claims in _pieces(self._work.claims(), limits.SESSIONS_RENEWED):
            call = calls.renew_sessions(claims)
            for fingerprint in ask(self._writer, call, replies.renew_sessions):
                self._work.not_here(fingerprint)
        self._work.each_minute()


def _lease_ms() -> int:
    return round(limits.LEASE_SECONDS * 1000)


def _pieces(whole: Sequence[Any], most: int) -> Iterable[Sequence[Any]]:
    return (whole[start : start + most] for start in range(0, len(whole), most))
