"""The operator's console of one node: it shows and does what concerns the whole cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from i18n import _
from protocol.errors import OutcomeUnknown, ServerFull, Unavailable
from protocol.names import nick_key, nick_looks
from server.cluster import calls, limits, replies
from server.cluster.asking import ask
from server.cluster.keys import Incarnation
from server.cluster.replies import Forgotten, NodeFenced, SessionRow
from server.cluster.script import ScriptCall
from server.cluster.services import ClusterServices
from server.cluster.writer import unavailable
from server.console import AdminConsole, Presence
from server.services import Services

Answer = TypeVar("Answer")


class ClusterConsole(AdminConsole):
    """As a single server's; whatever it shows or does waits for the engine."""

    def __init__(self, services: Services, tell: Callable[[str], None]) -> None:
        super().__init__(services, tell)
        assert isinstance(services, ClusterServices)
        self._writer, self._named = services.writer, services.node

    def take(self, line: str) -> None:
        """Do what a line says.  Never raises for anything that can be typed."""
        try:
            super().take(line)
        except (Unavailable, ServerFull):
            self._tell(_("That cannot be done just now: wait a little and try again."))
        except OutcomeUnknown:
            self._tell(_("Nobody knows whether that was done: look, and try again."))

    def _present(self) -> tuple[list[Presence], int]:
        total, rows = self._ask(calls.who(self._node, limits.CONSOLE_LINES), replies.who)
        return list(map(_presence, rows)), max(0, total - len(rows))

    def _rooms(self) -> tuple[list[tuple[str, int]], int]:
        call = calls.listing(self._node, limits.CONSOLE_LINES)
        total, rooms = self._ask(call, replies.listing)
        return list(rooms), max(0, total - len(rooms))

    def _find(self, nick: str) -> Presence | None:
        fingerprint = self._ask(calls.find(self._node, nick_looks(nick)), replies.find)
        if not fingerprint:
            return None
        found = self._ask(calls.look(self._node, fingerprint), replies.look)
        if found.word != "OK" or nick_key(found.nick) != nick_key(nick):
            return None  # it only looks so
        rooms = tuple(stay.name for stay in found.stays)
        row = SessionRow(
            found.nick,
            found.lost_at,
            found.token,
            found.sign,
            found.group,
            fingerprint,
            found.n,
            rooms,
        )
        return _presence(row)

    def _throw_out(self, meant: Presence) -> None:
        fingerprint = meant.fingerprint.hex()
        self._ask(calls.end(self._node, fingerprint, reason="kicked"), replies.end)

    def _announce(self, frame: bytes) -> int:
        return self._ask(calls.say(self._node, frame), replies.say).number

    @property
    def _node(self) -> Incarnation:
        return self._named.incarnation

    def _ask(self, call: ScriptCall, read: Callable[[object], Answer]) -> Answer:
        """Raises Unavailable, OutcomeUnknown or ServerFull."""
        try:
            return ask(self._writer, call, read)
        except (Forgotten, NodeFenced):  # this node is about to begin anew
            raise unavailable() from None


def _presence(row: SessionRow) -> Presence:
    return Presence(
        row.nick,
        row.rooms,
        row.token,
        row.lost_at is not None,
        row.group,
        bytes.fromhex(row.sign),
        bytes.fromhex(row.fingerprint),
    )
