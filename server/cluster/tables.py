"""What all nodes know alike: tokens, whom the operator keeps out, and tickets.

Each is a replicated table behind the same face that it has in a single server.  What is decided is
decided here, as there; the engine makes the change only if nothing has changed meanwhile, or else
it is decided again.  Of a token's secret there is only what ``server.auth`` keeps, its hash; and as
whoever has that can come in with it, it stands there under a secret that only the nodes know.
A ticket stands there as it is: it proves nothing, and its name in a handshake is made of it.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from protocol import keys
from protocol import limits as protocol_limits
from protocol.codec import encode, parse
from protocol.errors import Malformed, OutcomeUnknown, ServerFull, Unavailable
from protocol.token_seal import TokenSeal
from server import limits as server_limits
from server.auth import Decision, Inviter, Token, Tokens, Updated
from server.bans import Bans
from server.cluster import limits
from server.cluster.engine_clock import EngineClock
from server.cluster.keys import Incarnation
from server.cluster.replica import Note, Replica
from server.cluster.writer import Writer, unavailable
from server.tickets import Bounds, ShownTicket, Ticket, Tickets

_RESTORED = "restored"  # the field of the table "state": who puts back what an empty engine forgot
_DONE = "done"
_MS = r"[0-9]{13}"
_NEARLY = 2.0  # seconds: another node's view of the engine's clock is no further from this one's


class _Kept(NamedTuple):
    """What was known before the engine had forgotten it, by a clock that was ``offset`` ahead."""

    tokens: list[Token]
    bans: list[tuple[bytes | str, float]]
    offset: float


class Tables:
    """All three, and what keeps them alike.

    ``schedule`` has the expiry thread look at the tokens within so many seconds; ``seal``
    brings what seals tokens' proofs, the same at all nodes, and unknown to the engine.
    """

    def __init__(
        self,
        writer: Writer,
        node: Callable[[], Incarnation],
        schedule: Callable[[float], None],
        seal: SealOfNow,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node = node
        self._kept: _Kept | None = None  # until it was put back
        self.clock = EngineClock(clock)

        def replica(name: str, on_change: Callable[[str, str], None]) -> Replica:
            return Replica(name, writer, node, self.clock, on_change)

        self.tokens = ClusterTokens(replica, self.clock, schedule, seal)
        self.bans = ClusterBans(replica, self.clock)
        self.tickets = ClusterTickets(replica, self.clock)
        self._state = replica("state", lambda _field, _value: None)
        self._all = {
            each.name: each
            for each in (self._state, self.tokens.table, self.bans.table, self.tickets.table)
        }

    def load(self) -> None:
        """Read all of them, as this node has registered; waits for the engine.

        Where the engine has begun another epoch since, and may have another clock, tokens and bans
        are put back first, by one node of those that have them; tickets ended with their sessions.
        Raises Unavailable, OutcomeUnknown or ServerFull: then it is to be called again.
        """
        if self._kept is None and self._state.epoch not in ("", self._node().epoch):
            self._kept = _Kept(self.tokens.live(), self.bans.all(), self.clock.offset)
            self.clock.forget()
        self._state.load()
        if self._kept is not None:
            shift = self.clock.offset - self._kept.offset  # of the same moment by another clock
            moved = [replace(each, expires=each.expires + shift) for each in self._kept.tokens]
            self._restore(
                [(self.tokens.table, each.id, self.tokens.written(each)) for each in moved]
                + [
                    (self.bans.table, _who_written(who), _ms(end + shift))
                    for who, end in self._kept.bans
                ]
            )
            self._kept = None
        for table in (self.tokens.table, self.bans.table, self.tickets.table):
            table.load()

    def note(self, text: str) -> None:
        """A change, as the engine has told all nodes; for the thread that reads them."""
        try:
            note = Note.parse(text)
            table = self._all[note.table]
        except (ValueError, KeyError):  # whatever it was to say
            self.missed()
        else:
            table.note(note)

    def missed(self) -> None:
        """Changes were not heard of; for the thread that reads them."""
        for table in self._all.values():
            table.missed()

    def look(self) -> None:
        """See that all is as the engine has it, and what time it is there: once a minute.

        Waits for the engine; raises Unavailable, OutcomeUnknown or ServerFull.
        """
        for table in self._all.values():
            table.refresh()

    def _restore(self, kept: list[tuple[Replica, str, str]]) -> None:
        """Put this back, unless another node has done so, or does."""
        own = f"by {self._node().node}"
        until = time.monotonic() + limits.RESTORE_SECONDS
        while (now := self._state.value(_RESTORED)) != _DONE:
            if not now or time.monotonic() >= until:  # or it has gone before it was done
                if self._state.change(_RESTORED, own, expect=now):
                    for table, field, value in kept:
                        table.change(field, value, expect="")
                    self._state.change(_RESTORED, _DONE, expect=own)
            else:
                time.sleep(limits.RESTORE_LOOK)
            self._state.load()


# For a token's id, what its proof stands under in the engine.
SealOfNow = Callable[[], TokenSeal]
MakeReplica = Callable[[str, Callable[[str, str], None]], Replica]


class ClusterTokens(Tokens):
    """The live tokens of all nodes.  Thread-safe.

    Whatever changes or lists them waits for the engine, and raises Unavailable, OutcomeUnknown or
    ServerFull.  Before ``find`` comes ``refresh``, whatever it is to find: so that tells nothing.
    """

    def __init__(
        self,
        make: MakeReplica,
        clock: Callable[[], float],
        schedule: Callable[[float], None],
        seal: SealOfNow,
        most: int = server_limits.TOKENS,
    ) -> None:
        super().__init__(clock, most)
        self._schedule, self._seal = schedule, seal
        self._gone: list[tuple[str, str]] = []  # tokens that ended elsewhere, and why
        self.table = make("tokens", self._changed)

    def refresh(self) -> None:
        """Know of all that were made anywhere."""
        self.table.refresh()

    def remaining(self) -> list[tuple[Token, int]]:
        """As in a single server."""
        self.table.refresh()
        return super().remaining()

    def release(self, token_id: str) -> None:
        """As in a single server; raises nothing.  Where the engine is away it stays bound to
        whoever has claimed it, and who may come again."""
        try:
            super().release(token_id)
        except (Unavailable, OutcomeUnknown, ServerFull):
            return

    def take_ended(self) -> list[tuple[str, str]]:
        """As in a single server, and the tokens that others have ended."""
        ended = super().take_ended()
        for token_id, _reason in ended:
            if value := self.table.value(token_id):
                self.table.submit(token_id, "", expect=value)
        with self._lock:
            gone, self._gone = self._gone, []
        return ended + gone


    def written(self, token: Token) -> str:
        """As it stands in the table."""
        return _token_written(token, self._seal())

    def _add(self, token: Token, check: Callable[[], None]) -> None:
        value = self.written(token)
        for _each in range(limits.TABLE_TRIES):
            self.table.refresh()
            version = self.table.version  # first: what is decided is as new as this
            if self.table.value(token.id) == value:
                return  # it was made, and the answer lost
            with self._lock:
                self._expire_locked()
                check()
            if self.table.change(token.id, value, version, expect=""):
                return
        raise unavailable()

    def _update(self, token_id: str, decide: Decision) -> Updated:
        ending: Token | None = None
        for _each in range(limits.TABLE_TRIES):
            self.table.refresh()
            value = self.table.value(token_id)  # likewise
            with self._lock:
                self._expire_locked()
                before = self._tokens.get(token_id)
            if before is None:  # if it was to end, it has, by this or by somebody else
                return Updated(ending, None)
            after = decide(before)
            wanted = "" if after is None else self.written(after)
            if after == before or self.table.change(token_id, wanted, expect=value):
                return Updated(before, after)
            ending = before if after is None else None
        raise unavailable()

    def _changed(self, token_id: str, value: str) -> None:
        """The table's field has another value; the table is locked meanwhile."""
        token = _token_read(token_id, value, self._seal()) if value else None
        with self._lock:
            old = self._tokens.pop(token_id, None)
            if token is not None:
                self._tokens[token_id] = token
            elif old is not None:
                is_expired = old.expires <= self._clock() + _NEARLY
                self._gone.append((token_id, "expired" if is_expired else "revoked"))
        left = 0.0 if token is None else token.expires - self._clock()
        self._schedule(max(0.0, left))


class ClusterBans(Bans):
    """Whom all nodes keep out.  Thread-safe.

    ``add`` waits for the engine, and raises Unavailable, OutcomeUnknown or ServerFull.  ``left`` is
    as of the table's ``version``: whoever lets somebody in has the engine compare that.
    """

    def __init__(self, make: MakeReplica, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.table = make("bans", self._changed)

    def add(self, who: bytes | str, seconds: float) -> None:
        """As in a single server; beyond the bound those go that end first."""
        self.table.change(_who_written(who), _ms(self._clock() + seconds))
        now = self._clock()
        by_end = sorted(self.all(), key=lambda item: item[1])
        too_many = max(0, len(by_end) - server_limits.BANS)
        for at, (each, until) in enumerate(by_end):
            if at < too_many or until <= now:
                self.table.submit(_who_written(each), "", expect=_ms(until))

    def all(self) -> list[tuple[bytes | str, float]]:
        """Who is kept out, and until when."""
        with self._lock:
            return list(self._until.items())

    def _changed(self, field: str, value: str) -> None:
        who = _who_read(field)
        if who is None:
            return
        with self._lock:
            self._until.pop(who, None)
            if re.fullmatch(_MS, value):
                self._until[who] = int(value) / 1000


class ClusterTickets(Tickets):
    """Tickets that all nodes take.  Thread-safe.

    ``use`` waits for the engine.
    """

    def __init__(self, make: MakeReplica, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self.table = make("tickets", self._changed)

    def issue(self, fingerprint: bytes, group: str) -> bytes:
        """As in a single server."""
        value, written = self.make(fingerprint, group)
        self.table.submit(fingerprint.hex(), written)
        return value

    def make(self, fingerprint: bytes, group: str) -> tuple[bytes, str]:
        """A ticket that is not issued yet, and how it is to stand in the table.

        The bounds are looked at here alone: what other nodes give at this moment comes on top.
        """
        ticket = Ticket(secrets.token_bytes(protocol_limits.NONCE_BYTES), group)
        with self._lock:
            has_one = fingerprint in self._tickets
            oldest = None if has_one else self._too_many_locked(group)
        if oldest is not None and (value := self.table.value(oldest.hex())):
            self.table.submit(oldest.hex(), "", expect=value)
        return ticket.value, f"{_ms(self._clock())} {ticket.value.hex()} {group}"

    def forget(self, fingerprint: bytes) -> None:
        """The script that ends a session forgets its ticket."""

    def use(self, shown: ShownTicket) -> bool:
        """As in a single server, and of all nodes."""
        field = shown.fingerprint.hex()
        written = self.table.value(field)
        ticket = _ticket_read(written)
        if ticket is None or ticket.value != shown.value:
            return False
        try:
            return self.table.change(field, "", expect=written)
        except (Unavailable, OutcomeUnknown, ServerFull):
            return False  # and so it waits like a stranger

    @property
    def _bounds(self) -> Bounds:
        return Bounds(limits.TICKETS_OF_ADDRESS, limits.TICKETS)

    def _changed(self, field: str, value: str) -> None:
        fingerprint, ticket = _bytes_read(field), _ticket_read(value)
        if fingerprint is None:
            return
        with self._lock:
            self._drop_locked(fingerprint)
            if ticket is not None:
                self._keep_locked(fingerprint, ticket)


# How they are written.  What reads it trusts nothing: it may be another program's.


def _ms(seconds: float) -> str:
    return f"{round(seconds * 1000):013d}"


def _token_written(token: Token, seal: TokenSeal) -> str:
    holder, inviter = token.holder, token.inviter
    written = {
        "nick": token.nick,
        "expires": round(token.expires * 1000),
        "prs": seal.seal(token.id, token.prs),
        "binds": token.binds,
        "holder": None if holder is None else keys.to_text(holder),
        "settled": token.is_settled,
        "inviter": inviter and [inviter.nick, keys.to_text(inviter.sign), inviter.group],
    }
    return encode(written).decode()


def _token_read(token_id: str, value: str, seal: TokenSeal) -> Token | None:
    try:
        return _token_of(token_id, parse(value.encode()), seal)
    except (Malformed, KeyError, TypeError, ValueError, AttributeError):
        return None


def _token_of(token_id: str, written: dict[str, Any], seal: TokenSeal) -> Token:
    inviter, holder = written["inviter"], written["holder"]
    if inviter is not None:
        nick, sign, group = map(_text, inviter)
        inviter = Inviter(nick, keys.from_text(sign), group)
    return Token(
        token_id,
        None if written["nick"] is None else _text(written["nick"]),
        int(written["expires"]) / 1000,
        seal.open(token_id, _text(written["prs"])),
        written["binds"] is True,
        None if holder is None else keys.from_text(_text(holder)),
        written["settled"] is True,
        inviter,
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _ticket_read(value: str) -> Ticket | None:
    _written, _blank, rest = value.partition(" ")
    hexed, _blank, group = rest.partition(" ")
    ticket = _bytes_read(hexed)
    if ticket is None or len(ticket) != protocol_limits.NONCE_BYTES:
        return None
    return Ticket(ticket, group)


def _bytes_read(hexed: str) -> bytes | None:
    try:
        return bytes.fromhex(hexed)
    except ValueError:
        return None


def _who_written(who: bytes | str) -> str:
    return f"group {who}" if isinstance(who, str) else f"sign {who.hex()}"


def _who_read(field: str) -> bytes | str | None:
    kind, _blank, who = field.partition(" ")
    return _bytes_read(who) if kind == "sign" else who
