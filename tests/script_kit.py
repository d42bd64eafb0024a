"""Nodes as tests of the scripts have them: each call goes to a real engine, and its reply is read.

There is nothing of the program around the scripts here: no threads, no mirrors.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import pytest

from protocol import limits
from protocol.codec import encode
from protocol.names import nick_looks, room_key
from server.cluster import calls, keys, replies
from server.cluster.calls import HeldWrap, Newcomer, PlaceWanted, SessionClaim
from server.cluster.engine import Connector, Engine
from server.cluster.keys import Incarnation
from server.cluster.resp import EngineError
from server.cluster.script import ScriptCall
from server.cluster.scripts import script, scripts
from settings.backend import BackendSettings

Result = TypeVar("Result")
TTL, LEASE = 240_000, 10_000
LIMITS = "{}"
BUNDLE = b'{"bundle":1}'
_numbers = itertools.count(1)


MakeNode = Callable[..., "Node"]


@pytest.fixture(name="make_node")
def make_node_fixture(backend: BackendSettings) -> Iterator[MakeNode]:
    """Makes nodes under this test's prefix, which then begin with an epoch of their own."""
    with contextlib.ExitStack() as stack:

        def make(name: str = "", epoch: str = "e0") -> Node:
            node = Node(backend, name, epoch)
            stack.callback(node.engine.release)
            return node

        yield make


SetLimit = Callable[[str, int], None]


@pytest.fixture(name="set_limit")
def set_limit_fixture(monkeypatch: pytest.MonkeyPatch) -> Iterator[SetLimit]:
    """Gives a limit of the protocol another value, for nodes that are made afterwards."""

    def change(name: str, value: int) -> None:
        monkeypatch.setattr(limits, name, value)
        script.cache_clear()

    yield change
    script.cache_clear()


def fingerprint(number: int) -> str:
    """One that no other number has."""
    return f"{number:064x}"


class Box:
    """What stands after the number of a post, of so many bytes more."""

    @staticmethod
    def rest(member_id: int, change: int, size: int = 0) -> bytes:
        return b',"from":%d,"change":%d,"box":"%s"}' % (member_id, change, b"x" * size)


class Node:
    """One that registers with its engine when it is made; calls come back read."""

    def __init__(self, settings: BackendSettings, name: str = "", epoch: str = "e0") -> None:
        self.engine: Engine = Connector(settings).connect(20.0)
        for reply in self.engine.run([("SCRIPT", "LOAD", each.text) for each in scripts()]):
            assert isinstance(reply, bytes), reply
        name = name or f"{next(_numbers):08x}beef"
        self.at = Incarnation(settings.prefix, epoch, name, TTL)
        registered = self.register()
        assert registered.word == "OK", registered
        self.at = self.at._replace(epoch=registered.epoch)
        self._wake = b"1-1"

    def register(self, mac: str = "mac", limits: str = LIMITS, key: str = "k") -> Any:
        return self.do(replies.register, calls.register(self.at, LEASE, key, mac, limits))

    def raw(self, call: ScriptCall) -> Any:
        """The reply as it is, or an EngineError."""
        return self.engine.run_packed([call.packed])[0]

    def do(self, read: Callable[[object], Result], call: ScriptCall) -> Result:
        """The reply, read; raises what the reader does, or EngineError."""
        reply = self.raw(call)
        if isinstance(reply, EngineError):
            raise reply
        return read(reply)

    def ask(self, *words: str | bytes | int) -> Any:
        """A plain command."""
        return self.engine.run([words])[0]

    def key(self, *parts: object) -> str:
        """A key of this epoch."""
        return self.at.under + ":".join(map(str, parts))

    def left(self) -> set[str]:
        """All keys with the prefix, without it, and without those of the epoch's name, but for what
        goes in a moment."""
        found: set[str] = set()
        cursor: bytes = b"0"
        while True:
            cursor, some = self.ask("SCAN", cursor, "MATCH", f"{self.at.prefix}*", "COUNT", 1000)
            found |= {each.decode().removeprefix(self.at.prefix) for each in some}
            if cursor == b"0":
                found = {each for each in found if not self._is_going(each)}
                return {each.removeprefix(f"{self.at.epoch}:") for each in found}

    def _is_going(self, name: str) -> bool:
        """Whether it is the queue of somebody who has left, which stays for its node to read."""
        return ":p:" in name and int(self.ask("PTTL", self.at.prefix + name)) <= 10_000

    def woken(self) -> list[tuple[str, str]]:
        """What was told to this node since it was asked last; it may be told of all rooms anew."""
        entries = self.ask("XRANGE", keys.wake(self.at), b"(" + self._wake, "+")
        found = []
        for number, fields in entries:
            before, after = (int(each.split(b"-")[1]) for each in (self._wake, number))
            assert after == before + 1, "no gap"
            self._wake = number
            pairs = zip(fields[::2], fields[1::2], strict=True)
            found += [(field.decode(), value.decode()) for field, value in pairs]
        for field, value in found:
            if field == "r":
                self.ask("HDEL", keys.nodes(self.at, value), keys.told(self.at))
        return found

    def nodes(self, room: str) -> dict[str, int]:
        """How many members of a room are connected at each node; marks of nodes that have been told
        are theirs."""
        found = self.ask("HGETALL", keys.nodes(self.at, room))
        fields = dict(zip(map(bytes.decode, found[::2]), map(int, found[1::2]), strict=True))
        marks = {field for field in fields if field.endswith("!")}
        assert {field[:-1] for field in marks} <= fields.keys() - marks
        return {field: count for field, count in fields.items() if field not in marks}

    def log(self, room: str) -> list[bytes]:
        """The entries of a room as clients get them."""
        entries = self.ask("XRANGE", keys.log(self.at, room), "-", "+")
        return [encoded(int(number.split(b"-")[0]), fields) for number, fields in entries]

    def queue(self, room: str, number: int, member_id: int) -> list[tuple[int, bytes]]:
        """What waits for a member alone: the place in the log before it, and the frame."""
        entries = self.ask("XRANGE", keys.private(self.at, room, member_id), "-", "+")
        return [
            (int(fields[1]), b'{"type":"%s","at":%d,"number":%d%s'
             % (fields[5], number, int(place.split(b"-")[0]), fields[7]))
            for place, fields in entries
            if fields[5] != b"behind"
        ]  # fmt: skip


def encoded(seq: int, fields: Sequence[bytes]) -> bytes:
    """An entry of a log as clients get it."""
    of = dict(zip(fields[::2], fields[1::2], strict=True))
    if b"p" in of:
        return b'{"type":"posted","seq":%d%s' % (seq, of[b"p"].lstrip(b"0123456789"))
    kind, sender = of[b"k"], of[b"s"]
    if kind == b"j":
        return (
            b'{"type":"joined","seq":%d,"member":{"id":%s,"nick":%s,"joined":%d,"bundle":%s}}'
            % (seq, sender, of[b"n"], seq, of[b"b"])
        )
    if kind == b"n":
        return b'{"type":"renamed","seq":%d,"id":%s,"nick":%s}' % (seq, sender, of[b"n"])
    return b'{"type":"%s","seq":%d,"id":%s}' % (
        {b"l": b"left", b"r": b"rejoined"}[kind], seq, sender
    )  # fmt: skip


class Guest:
    """A session at a node, and what it does there."""

    def __init__(self, node: Node, number: int, nick: str = "", token: str = "", group: str = "g",
                 most: int = 100) -> None:  # fmt: skip
        self.node, self.fp = node, fingerprint(number)
        self.nick = nick or f"guest{number}"
        self.who = Newcomer(self.nick, nick_looks(self.nick), token, False, group, "ab" * 32)
        self.came = node.do(replies.let_in, calls.let_in(node.at, self.fp, self.who, most))
        self.claim = SessionClaim(node.at, self.fp, self.came.number)
        self.ref = self.holds = 0
        self.ids: dict[str, int] = {}  # key: room

    def next(self) -> int:
        self.ref += 1
        return self.ref

    def enter(self, room: str, leave: str = "", ref: int | None = None, roster: bool = True,
              most: int = 100, log_id: str = "") -> replies.EnterOutcome:  # fmt: skip
        ref = self.next() if ref is None else ref
        place = PlaceWanted(
            room_key(room), room, log_id or "00" * 16, encode(self.nick), BUNDLE, most, roster
        )
        call = calls.enter(self.claim, place, ref, leave)
        came = self.node.do(replies.enter, call)
        if came.word == "OK":
            self.ids[room_key(room)] = came.member_id
        return came

    def leave(self, room: str) -> replies.PostOutcome:
        return self.node.do(replies.leave, calls.leave(self.claim, room_key(room), self.next()))

    def post(self, room: str, change: int, epoch: int = 1, n: int = 0,
             wraps: Sequence[tuple[int, int]] = (), size: int = 0, ref: int | None = None
             ) -> replies.PostOutcome:  # fmt: skip
        ref = self.next() if ref is None else ref
        member_id = self.ids[room_key(room)]
        if wraps:
            self.hold(room, epoch, wraps)
        call = calls.post(
            self.claim, room_key(room), member_id, ref, change, (epoch, n),
            Box.rest(member_id, change, size), self.holds,
        )  # fmt: skip
        return self.node.do(replies.post, call)

    def hold(self, room: str, epoch: int, wraps: Sequence[tuple[int, int]]) -> None:
        member_id = self.ids[room_key(room)]
        held = [HeldWrap(to, at, b',"from":%d,"wrap":[%d,%d,%d]}' % (member_id, to, epoch, at))
                for to, at in wraps]  # fmt: skip
        self.holds += 1
        call = calls.hold(self.claim, room_key(room), member_id, epoch, self.holds, held)
        assert self.node.do(replies.hold, call).word == "OK"

    def private(self, room: str, to: int, change: int, size: int = 0, ref: int | None = None
                ) -> replies.PostOutcome:  # fmt: skip
        ref = self.next() if ref is None else ref
        member_id = self.ids[room_key(room)]
        rest = Box.rest(member_id, change, size)
        call = calls.private(self.claim, room_key(room), member_id, ref, to, change, rest)
        return self.node.do(replies.private, call)

    def rename(self, room: str, nick: str) -> replies.NickOutcome:
        looks = nick_looks(nick)
        call = calls.rename(self.claim, room_key(room), self.next(), nick, looks)
        outcome = self.node.do(replies.rename, call)
        if outcome.word == "OK":
            self.nick = nick
        return outcome

    def rejoin(self, room: str, joined: int, number: int = 0) -> tuple[int, int] | None:
        call = calls.rejoin(self.claim, room_key(room), joined, number)
        return self.node.do(replies.rejoin, call)

    def confirm(self, room: str, number: int) -> str:
        return self.node.do(replies.confirm, calls.confirm(self.claim, room_key(room), number)).word

    def lose(self) -> int:
        return self.node.do(replies.lost, calls.lost(self.claim)).number

    def look(self) -> replies.SessionState:
        return self.node.do(replies.look, calls.look(self.node.at, self.fp))

    def come(self, node: Node, n: int | None = None) -> replies.SessionState:
        """Come back at ``node``, by what was seen."""
        seen = self.look().n if n is None else n
        state = node.do(replies.take_over, calls.take_over(node.at, self.fp, seen, "g"))
        if state.word == "OK":
            self.node, self.claim = node, SessionClaim(node.at, self.fp, state.n)
            self.holds = 0
        return state

    def end(self, reason: str = "", n: int = -1, lost_at: int = -1) -> str:
        call = calls.end(self.node.at, self.fp, n, lost_at, reason)
        return self.node.do(replies.end, call).word


def written(answer: bytes) -> Any:
    """A frame, as JSON."""
    return json.loads(answer)
