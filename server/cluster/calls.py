"""Calls of the scripts: one function each, and what each does; ``replies`` reads their answers.

A room is named by its ``room_key``, a session by its fingerprint in hex.  Every call may be sent
again, byte for byte, after a lost reply: what is done is not done twice.  Those of a session are
refused once it is another node's (``replies.SessionFenced``), all of them once the node was given
up (``NodeFenced``) or the engine has forgotten everything (``Forgotten``).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from protocol.codec import encode
from server.cluster.keys import Incarnation
from server.cluster.script import ScriptCall
from server.cluster.scripts import script

_Arg = bytes | str | int


class SessionClaim(NamedTuple):
    """A session as its node holds it: ``n`` is another one whenever its owner changes.

    ``after``, of a request: the ref before it, which has to be taken (``replies.Skipped`` if not).
    """

    node: Incarnation
    fingerprint: str
    n: int
    after: int = 0


class Newcomer(NamedTuple):
    """A session that is to be; ``token`` is "" for one of the password, ``sign`` is in hex."""

    nick: str
    looks: frozenset[str]
    token: str
    pinned: bool
    group: str
    sign: str


class PlaceWanted(NamedTuple):
    """A place that is wanted in a room, which is made with ``log_id`` (hex) where it is not.

    ``nick`` is in JSON, ``most`` how many rooms there may be.  ``known``: up to which number of its
    log this node has the room, None for one that wants to be told as all others are.  Where that is
    all, or the answer has everybody (``roster``), this node is told nothing besides.
    """

    room: str
    name: str
    log_id: str
    nick: bytes
    bundle: bytes
    most: int
    roster: bool = False
    known: int | None = None

    @property
    def args(self) -> tuple[_Arg, ...]:
        """As scripts have them."""
        known = "" if self.known is None else self.known
        return (*self[:6], int(self.roster), known)


class HeldWrap(NamedTuple):
    """A wrap that goes with a post: its recipient, its ``n``, and what follows its number."""

    to: int
    n: int
    rest: bytes


def _call(name: str, node: Incarnation, *args: _Arg) -> ScriptCall:
    return ScriptCall(script(name), (), (node.prefix, node.epoch, node.node, node.ttl_ms, *args))


def _of(name: str, claim: SessionClaim, *args: _Arg) -> ScriptCall:
    return _call(name, claim.node, claim.fingerprint, claim.n, claim.after, *args)


def _once() -> str:
    """What tells a call from all others, so that it is known when it comes again."""
    return secrets.token_hex(6)


# Nodes


def successor(prefix: str) -> ScriptCall:
    """End the epoch that another process of the engine has begun.

    Unlike all others it names no node, and no epoch.
    """
    return ScriptCall(script("successor"), (), (prefix,))


def register(node: Incarnation, lease_ms: int, key: str, mac: str, limits: str) -> ScriptCall:
    """Become a node.  ``node.epoch`` is the epoch to begin with where there is none.

    The answer has the one that counts.  ``key``, ``mac`` and ``limits`` are what all nodes must
    have alike: a random key and a keyed hash of the password; another key says KEY with the one
    that is used: to be made anew with that.
    """
    return _call("register", node, lease_ms, key, mac, limits)


def renew(node: Incarnation, lease_ms: int, everything: bool) -> ScriptCall:
    """Renew the lease and, with ``everything``, the keys that are nobody's: once a minute."""
    return _call("renew", node, lease_ms, int(everything))


def mark(node: Incarnation, dead: str, most: int = 25) -> ScriptCall:
    """Have a node without a lease fenced for good, and ``most`` of its sessions lost."""
    return _call("mark", node, dead, most)


def retire(node: Incarnation, most: int = 25) -> ScriptCall:
    """Stop being a node: fenced at once, ``most`` of its sessions lost; again until none is left.

    With the last node everything that is nobody's goes.
    """
    return _call("retire", node, most)


# Sessions


def look(node: Incarnation, fingerprint: str, bans: int | None = None) -> ScriptCall:
    """What there is of this identity.

    ``bans``: the count of changes of those who are kept out, which has to be the table's.
    """
    return _call("look", node, fingerprint, "" if bans is None else bans)


def let_in(node: Incarnation, fingerprint: str, who: Newcomer, most: int) -> ScriptCall:
    """Make a session, of ``most`` at once."""
    return _call("let_in", node, fingerprint, _once(), *_newcomer(who, most))


def come_in(
    node: Incarnation,
    fingerprint: str,
    who: Newcomer,
    most: int,
    ticket: str,
    place: PlaceWanted,
    bans: int | None = None,
) -> ScriptCall:
    """Make a session with a place in a room, and its ticket, as it stands in their table.

    ``bans`` as in ``look``.
    """
    seen = "" if bans is None else bans
    args = (_once(), ticket, *place.args, seen, *_newcomer(who, most))
    return _call("come_in", node, fingerprint, *args)


def _newcomer(who: Newcomer, most: int) -> Iterator[_Arg]:
    yield from (who.nick, who.token, int(who.pinned), who.group, who.sign, most)
    yield from sorted(who.looks)


def take_over(node: Incarnation, fingerprint: str, n: int, group: str) -> ScriptCall:
    """Make a session this node's, which had ``n`` when it was looked at.

    Whichever node has it is told ``replaced``, also if it is this one.
    """
    return _call("take_over", node, fingerprint, n, _once(), group)


def lost(claim: SessionClaim) -> ScriptCall:
    """Its connection is gone: it is no node's, and its grace begins."""
    return _of("lost", claim)


def end(
    node: Incarnation, fingerprint: str, n: int = -1, lost_at: int = -1, reason: str = ""
) -> ScriptCall:
    """End a session: if it has ``n``, and was lost at ``lost_at`` (ms), where these are given.

    With a ``reason`` its node, if it has one, is told to close the connection with that; of one
    that was ``taken_over`` its identity is remembered as displaced.
    """
    return _call("end", node, fingerprint, n, lost_at, reason)


def end_token(node: Incarnation, token_id: str, reason: str) -> ScriptCall:
    """End the sessions that came in with a token, as ``end`` does."""
    return _call("end_token", node, token_id, reason)


def sweep(node: Incarnation, grace_ms: int, most: int = 25) -> ScriptCall:
    """End ``most`` of the graces that are over."""
    return _call("sweep", node, grace_ms, most)


def make_room(node: Incarnation, room: str = "") -> ScriptCall:
    """End a grace, in a room or anywhere: the oldest of the address that has most of them."""
    return _call("make_room", node, room)


def renew_sessions(claims: Sequence[SessionClaim]) -> ScriptCall:
    """Renew what belongs to these sessions of one node; at most 64, once a minute."""
    each = [value for claim in claims for value in (claim.fingerprint, claim.n)]
    return _call("renew_sessions", claims[0].node, *each)


def answer(claim: SessionClaim, ref: int, encoded: bytes, token_id: str = "") -> ScriptCall:
    """Keep the answer to a ``ref``; empty: it is not to be given again.

    ``token_id``: the answer brings this token, whose secret is not kept.
    """
    return _of("answer", claim, ref, encoded, token_id)


def minted(claim: SessionClaim, ref: int, token_id: str) -> ScriptCall:
    """The answer to a ``ref`` that was taken already brings this token now."""
    return _of("minted", claim, ref, token_id)


# Rooms


def enter(claim: SessionClaim, place: PlaceWanted, ref: int = 0, leave: str = "") -> ScriptCall:
    """Come into a room.

    In the same step the room ``leave`` is left.  ``ref`` is 0 for one who comes in by `confirm`.
    """
    return _of("enter", claim, *place.args, ref, leave)


def leave(claim: SessionClaim, room: str, ref: int) -> ScriptCall:
    """Leave a room."""
    return _of("leave", claim, room, ref)


def rename(claim: SessionClaim, room: str, ref: int, nick: str, looks: Iterable[str]) -> ScriptCall:
    """Take another nickname in all rooms; the answer has the number of ``room``'s entry."""
    return _of("rename", claim, room, ref, nick, encode(nick), *sorted(looks))


def hold(
    claim: SessionClaim,
    room: str,
    member_id: int,
    epoch: int,
    holds: int,
    wraps: Sequence[HeldWrap],
) -> ScriptCall:
    """Keep wraps until a post of their epoch is taken; a wrap's rest as ``wire_json.key_for``.

    ``holds`` counts these calls of one connection, from 1 on.
    """
    given = [value for wrap in wraps for value in wrap]
    return _of("hold", claim, room, member_id, epoch, holds, *given)


def post(
    claim: SessionClaim,
    room: str,
    member_id: int,
    ref: int,
    change: int,
    box: tuple[int, int],
    rest: bytes,
    holds: int = 0,
) -> ScriptCall:
    """Append a post, with what is held of its epoch before it.

    ``box`` is its epoch and ``n``, ``rest`` as ``wire_json.posted`` makes it.  ``holds``: the
    number of the last ``hold`` of this connection, which has to be done; 0 if there was none.
    """
    return _of("post", claim, room, member_id, ref, change, *box, holds, b"%d%b" % (ref, rest))


def private(
    claim: SessionClaim, room: str, member_id: int, ref: int, to: int, change: int, rest: bytes
) -> ScriptCall:
    """Put a private post into the queue of ``to``; ``rest`` as ``wire_json.private_for`` does."""
    return _of("private", claim, room, member_id, ref, to, change, rest)


def confirm(claim: SessionClaim, room: str, number: int) -> ScriptCall:
    """What waited for this member up to ``number``, which was sent to it, can go."""
    return _of("confirm", claim, room, number)


def rejoin(claim: SessionClaim, room: str, joined: int, number: int) -> ScriptCall:
    """Begin anew in a room that it joined at ``joined``, having got its own up to ``number``."""
    return _of("rejoin", claim, room, joined, number)


def load(node: Incarnation, room: str, roster: bool) -> ScriptCall:
    """A room as it is now."""
    return _call("load", node, room, int(roster))


def listing(node: Incarnation, most: int) -> ScriptCall:
    """The first ``most`` rooms by name."""
    return _call("listing", node, most)


def renew_rooms(node: Incarnation, rooms: Sequence[tuple[str, int]], keep_ms: int) -> ScriptCall:
    """Renew rooms with these numbers (at most 16, once a minute).

    Forgets what is older than ``keep_ms``, and heals what a script that was broken off has left.
    """
    return _call("renew_rooms", node, keep_ms, *(value for room in rooms for value in room))


# All


def find(node: Incarnation, looks: Iterable[str]) -> ScriptCall:
    """Whose nickname has one of these looks."""
    return _call("find", node, *sorted(looks))


def who(node: Incarnation, most: int) -> ScriptCall:
    """The sessions, ``most`` of them."""
    return _call("who", node, most)


def table(
    node: Incarnation, name: str, field: str, value: str, version: int = -1, expect: str = ""
) -> ScriptCall:
    """Change a field of a replicated table ("" removes it), and tell all other nodes.

    Only while the table's count is ``version`` and, where ``expect`` is "=" and a value, while
    that stands there ("=" alone: nothing).
    """
    return _call("table", node, name, field, value, version, expect)


def read_table(node: Incarnation, name: str, everything: bool) -> ScriptCall:
    """A replicated table's count and, with ``everything``, all that is in it."""
    return _call("read_table", node, name, int(everything))


def spend(node: Incarnation, data: bytes, keep_ms: int) -> ScriptCall:
    """Tell all nodes what was spent here; what is older than ``keep_ms`` is forgotten."""
    return _call("spend", node, data, keep_ms)


def say(node: Incarnation, frame: bytes) -> ScriptCall:
    """Have all nodes give a frame to everybody who is connected."""
    return _call("say", node, _once(), frame)


def poke(node: Incarnation, room: str) -> ScriptCall:
    """Have this node look at a room's log."""
    return _call("poke", node, room)
