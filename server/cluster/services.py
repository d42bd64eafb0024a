"""What all connections of a node share: as ``server.services``, with the engine behind it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

from i18n import _
from protocol.errors import OutcomeUnknown, ServerFull, Unavailable
from server import limits as server_limits
from server.broadcast import Receiver
from server.cluster import calls, limits, replies, scripts
from server.cluster.calls import SessionClaim
from server.cluster.checks import look_again, told_trouble
from server.cluster.engine import Connector, Engine, EngineLost
from server.cluster.ledger import Ledger, budgets
from server.cluster.node import Node, OtherPolicy
from server.cluster.policy import limits_of
from server.cluster.reader import EngineReader
from server.cluster.reply_values import BadReply
from server.cluster.rooms import ClusterRooms
from server.cluster.session import ClusterSession
from server.cluster.sessions import ClusterSessions
from server.cluster.tables import ClusterBans, ClusterTokens, Tables
from server.cluster.writer import Writer
from server.member import Member
from server.services import CannotOpen, Services
from settings import ServerSettings
from transport.free_threading import FREE_THREADED


class ClusterServices(Services):
    """One node's.  ``open`` waits for the engine; its threads run from then on.

    It is also what the node and the reader tell of what happens (``NodeWork``, ``ReaderEvents``).
    """

    sessions: ClusterSessions
    rooms: ClusterRooms[Receiver]
    tokens: ClusterTokens
    bans: ClusterBans

    def _make_shared(self, settings: ServerSettings) -> None:
        backend = settings.backend
        assert backend is not None
        self._backend, self._connector = backend, Connector(backend)
        self._complain: Callable[[str], None] = lambda _sentence: None
        self._complained = ""
        self._cut_all: Callable[[], None] = lambda: None
        self.writer = Writer(
            self._connector,
            scripts.scripts(),
            on_connected=self._on_connected,
            on_fenced=self._on_fenced,
            on_trouble=lambda trouble: self._complain(told_trouble(trouble, backend)),
        )
        grace = settings.heartbeat_timeout
        self.node = Node(
            backend.prefix, settings.password, limits_of(settings), grace, self.writer, self
        )
        self._tables = Tables(
            self.writer, lambda: self.node.incarnation, self._look_at_tokens, self.node.token_seal
        )
        self.tokens, self.bans = self._tables.tokens, self._tables.bans
        self.rooms = ClusterRooms(
            self.writer, lambda: self.node.incarnation, self._on_behind, self._on_broken
        )
        mark = self.broadcaster.mark
        self.sessions = ClusterSessions(self.rooms, mark, grace, self.writer, self.node)
        self.sessions.tickets = self._tables.tickets
        # By the reader's thread: to wake another one for it costs a tenth of the CPU of a delivery
        # in a room of 50 (docs/PERFORMANCE.md).
        make_round = mark if FREE_THREADED else self.broadcaster.broadcast
        self.reader = EngineReader(
            self._connector,
            self.rooms,
            lambda: self.node.incarnation,
            make_round,
            self.tell_joined,
            self,
        )

    def open(self, cut_all: Callable[[], None], complain: Callable[[str], None]) -> None:
        """Become a node.  Raises CannotOpen; nothing runs then."""
        self._cut_all, self._complain = cut_all, complain
        self.ledger = Ledger(
            budgets(self), self.writer, lambda: self.node.incarnation, self._tables.clock
        )
        self.writer.start()
        try:
            self._become_node()
        except BaseException:
            self.writer.stop()
            raise
        self.reader.start()
        self.ledger.start()
        self.node.start()

    def _become_node(self) -> None:
        sentence = ""
        try:
            self.node.register()
            self._tables.load()
        except OtherPolicy as error:
            sentence = other_policy(error)
        except (Unavailable, OutcomeUnknown, ServerFull):
            sentence = _("{backend} does not answer; check the address, and that it runs.").format(
                backend=self._backend.address.shown
            )
        if sentence:
            raise CannotOpen(sentence)

    def servers(self) -> int:
        """As there; it waits for the engine."""
        return self.node.count(server_limits.STOP_QUIET_SECONDS)

    def stopping(self) -> None:
        """Where others go on, whoever is here goes on there."""
        self.sessions.stopping = self.node.has_others(server_limits.STOP_QUIET_SECONDS)

    def stop(self) -> None:
        """As there; and then this node is none any more."""
        super().stop()
        self.ledger.stop()
        self.node.stop()
        self.reader.stop()
        self.writer.stop()

    # What happens

    def _on_connected(self, engine: Engine) -> bool:
        """For the writer's thread, so that nothing is written before: see ``lua/successor.lua``."""
        [reply] = engine.run_packed([calls.successor(self._backend.prefix).packed])
        with contextlib.suppress(BadReply):
            replies.successor(reply)
            return True
        return False

    def _on_fenced(self, _word: str) -> None:
        self.node.doubt()

    def _look_at_tokens(self, within: float) -> None:
        self.expiry.schedule(within)

    def _on_behind(self, member: Member[Receiver]) -> None:
        self.sessions.places.fall_behind(member)

    def _on_broken(self, owner: Receiver) -> None:
        """Its mirror is of no use any more: it comes back, and finds another one."""
        assert isinstance(owner, ClusterSession)
        owner.abort()

    # NodeWork

    def begun(self) -> None:
        """The node has another name."""
        self.rooms.discard_all()
        self.reader.reconnect()
        self._tables.missed()
        self._tables.load()

    def cut_all(self) -> None:
        """All connections end; mirrors go with them."""
        self._cut_all()

    def claims(self) -> Sequence[SessionClaim]:
        """Of all sessions of this node."""
        return self.sessions.claims()

    def not_here(self, fingerprint: str) -> None:
        """It is another node's, or over."""
        self.sessions.gone(fingerprint)

    def rooms_here(self) -> Sequence[tuple[str, int]]:
        """Of all mirrors."""
        return [(each.key, each.number) for each in self.rooms.all()]

    def no_room(self, key: str) -> None:
        """The engine has forgotten one: its members come anew."""
        mirror = self.rooms.follow(key, mark=False)
        if mirror is not None:
            self.rooms.discard(mirror)

    def refused(self, error: OtherPolicy) -> None:
        """Others have begun a chat that is not this one."""
        self._complain_once(other_policy(error))

    def each_minute(self) -> None:
        """The tables, in case a note was lost; and whether the engine is still a good one."""
        self._tables.look()
        with contextlib.suppress(EngineLost):
            with self._connector.connect(limits.ENGINE_REPLY_SECONDS) as engine:
                self._complain_once(look_again(engine, self._backend))

    def _complain_once(self, sentence: str) -> None:
        if sentence and sentence != self._complained:
            self._complain(sentence)
        self._complained = sentence

    # ReaderEvents

    def connected(self, _engine: Engine) -> bool:
        """Any engine will do: it says by itself whether it is the right one."""
        return True

    def forgotten(self) -> None:
        """The engine is another one, or empty."""
        self.node.doubt()

    def missed(self) -> None:
        """What was told of tables and sessions may have been lost."""
        self._tables.missed()
        self.node.look_at_sessions()

    def session(self, fingerprint: str, n: int, reason: str) -> None:
        """A session is another node's, or over."""
        self.sessions.told(fingerprint, n, reason)

    def table(self, change: str) -> None:
        """A table has changed."""
        self._tables.note(change)

    def announce(self, frame: bytes) -> None:
        """Something for everybody, from whoever runs the servers."""
        for session in self.sessions.live():
            queue = session.queue
            if queue is not None:
                queue.reply(frame)
                queue.deliver()

    def spent(self, entries: Sequence[Any]) -> None:
        """Budgets that were used anywhere."""
        self.ledger.apply(entries)

    def spent_since(self) -> int:
        """From when on that counts."""
        return self.ledger.since()


def other_policy(error: OtherPolicy) -> str:
    """What the nodes that are there have otherwise, and what to do."""
    sentence = _other_policy(error)
    if error.over_in:
        over = _(
            "None of them answers: if they were killed, they are forgotten after {minutes} minutes "
            "at most."
        )
        sentence += " " + over.format(minutes=math.ceil(error.over_in / 60))
    return sentence


def _other_policy(error: OtherPolicy) -> str:
    if error.what == "password":
        return _(
            "The servers that are there already have another password: give all the same, or "
            "another BACKEND_PREFIX to those that are to be a chat of their own."
        )
    if error.what == "limits" and error.names and "protocol" not in error.names:
        sentence = _("The servers that are there already have another {names}: set all the same.")
        return sentence.format(names=", ".join(error.names))
    return _("The servers that are there already are of another version: use the same everywhere.")
