"""What is read of rooms from the engine: entries of logs and of private streams, and rosters.

Pure.  The engine is trusted no more than needed: whatever is spliced into frames has the form that
``protocol.wire_json`` gives it, every number is one, and what is not so raises ``Nonsense``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from protocol import limits
from protocol.codec import encode, parse
from protocol.errors import Malformed, Unavailable
from protocol.frames import Left, Rejoined, Renamed
from protocol.keys import Bundle
from server.member import MemberState
from server.rooms import Entry

_BUNDLE_BYTES = 4096  # a bundle is half as long

_COUNT = rb"(0|[1-9][0-9]{0,15})"
_TEXT = rb'"[A-Za-z0-9_=-]*"'
_WRAP = rb'\{"to":%b,"epoch":%b,"n":%b,"wrapped":%b\}' % (_COUNT, _COUNT, _COUNT, _TEXT)
_BOX = rb'\{"epoch":%b,"n":%b,"data":%b,"sig":%b\}' % (_COUNT, _COUNT, _TEXT, _TEXT)

_is_count = re.compile(_COUNT).fullmatch
_is_ids = re.compile(rb"%b(,%b){0,%d}" % (_COUNT, _COUNT, limits.ROOM_MEMBERS)).fullmatch
_is_id = re.compile(_COUNT + b"-0").fullmatch
_is_wake_id = re.compile(b"1-" + _COUNT).fullmatch
_is_posted = re.compile(
    rb'%b,"from":%b,"change":%b,"box":%b\}' % (_COUNT, _COUNT, _COUNT, _BOX)
).fullmatch
_is_key_for = re.compile(rb',"from":%b,"wrap":%b\}' % (_COUNT, _WRAP)).fullmatch
_is_private_for = re.compile(
    rb',"from":%b,"change":%b,"wrap":%b,"box":%b\}' % (_COUNT, _COUNT, _WRAP, _BOX)
).fullmatch
_IS_PRIVATE = {
    b"key_for": _is_key_for,
    b"private_for": _is_private_for,
    b"behind": re.compile(b"").fullmatch,
}

# One entry of a stream as the engine gives it: its id, which is bytes, and a list of fields and
# values in turn.
Raw = Sequence[Any]


class Nonsense(Unavailable):
    """The engine has said what no script of ours has written."""


class PostEntry(NamedTuple):
    """A post; ``rest`` is all of it that follows its number.

    ``wrapped_for`` are the members for whom a chain was put before it.
    """

    seq: int
    sender: int
    change: int
    ref: int
    epoch: int
    n: int
    rest: bytes
    wrapped_for: tuple[int, ...]

    def for_log(self) -> Entry:
        """As ``Room.post`` would have appended it."""
        stub = b'{"type":"own_posted","seq":%d,"ref":%d}' % (self.seq, self.ref)
        encoded = b'{"type":"posted","seq":%d%s' % (self.seq, self.rest)
        return Entry(self.seq, encoded, self.sender, self.change, stub)


class JoinEntry(NamedTuple):
    """Somebody came in, as ``state`` says; ``fingerprint`` is in hex."""

    seq: int
    state: MemberState
    fingerprint: str

    def for_log(self) -> Entry:
        """As ``Room.join`` would have appended it."""
        line, bundle = self.state.encode(), self.state.bundle.encoded
        encoded = b'{"type":"joined","seq":%d,"member":%s' % (self.seq, line[: -len(bundle) - 1])
        return Entry(self.seq, encoded, bundle=bundle)


class LeaveEntry(NamedTuple):
    """Somebody is gone."""

    seq: int
    sender: int

    def for_log(self) -> Entry:
        """As ``Room.leave`` would have appended it."""
        return Entry(self.seq, Left(self.seq, self.sender).encode())


class RenameEntry(NamedTuple):
    """Somebody has another nickname."""

    seq: int
    sender: int
    nick: str

    def for_log(self) -> Entry:
        """As ``Room.rename`` would have appended it."""
        return Entry(self.seq, Renamed(self.seq, self.sender, self.nick).encode())


class RejoinEntry(NamedTuple):
    """Somebody fell behind, and begins anew."""

    seq: int
    sender: int

    def for_log(self) -> Entry:
        """As ``Room.take`` would have appended it."""
        return Entry(self.seq, Rejoined(self.seq, self.sender).encode())


LogEntry = PostEntry | JoinEntry | LeaveEntry | RenameEntry | RejoinEntry


class PrivateEntry(NamedTuple):
    """Something for one member alone; ``sender`` is 0 for a chain, ``rest`` follows the number.

    The ``kind`` `behind` is nothing but that: it gets no more until it begins anew.
    """

    number: int
    after: int
    sender: int
    kind: bytes
    rest: bytes

    def for_queue(self, at: int) -> bytes:
        """As ``Room.post`` or ``Room.send_private`` would have it in the room ``at``."""
        return b'{"type":"%s","at":%d,"number":%d%s' % (self.kind, at, self.number, self.rest)


class OpaqueBundle(NamedTuple):
    """A bundle that was looked at once, and is only passed on."""

    encoded: bytes


# Reading


def read_log(raw: Raw) -> LogEntry:
    """One entry of a room's log.  Raises Nonsense."""
    seq, fields = _fields(raw)
    if b"p" in fields:
        return _read_post(seq, fields[b"p"], fields.get(b"w", b""))
    read = _READ.get(fields.get(b"k", b""))
    if read is None:
        raise Nonsense()
    return read(seq, _count(fields, b"s"), fields)


def read_private(raw: Raw) -> PrivateEntry:
    """One entry of a private stream.  Raises Nonsense."""
    number, fields = _fields(raw)
    kind, rest, sender = fields.get(b"k", b""), fields.get(b"e", b""), _count(fields, b"s")
    is_right = _IS_PRIVATE.get(kind)
    match = None if is_right is None else is_right(rest)
    if match is None or sender != (int(match[1]) if kind == b"private_for" else 0):
        raise Nonsense()
    return PrivateEntry(number, _count(fields, b"a"), sender, kind, rest)


def read_member(
    member_id: int, joined: int, fingerprint: str, nick: str, bundle: bytes
) -> MemberState:
    """A member from what a roster has of it: its fingerprint in hex.  Raises Nonsense."""
    if len(bundle) > _BUNDLE_BYTES:
        raise Nonsense()
    try:
        read = Bundle.from_fields(parse(bundle))
    except Malformed:
        raise Nonsense() from None
    if read.encoded != bundle or read.fingerprint.hex() != fingerprint:
        raise Nonsense()
    if not (0 < member_id <= limits.COUNTER_MAX and 0 < joined <= limits.COUNTER_MAX):
        raise Nonsense()
    if not 0 < len(nick) <= limits.NICK_CHARS:
        raise Nonsense()
    return MemberState(member_id, nick, joined, OpaqueBundle(bundle))


def read_wake(raw: Raw) -> tuple[int, list[tuple[bytes, bytes]]]:
    """The number of an entry of a node's own stream, and what it says.  Raises Nonsense."""
    match = _is_wake_id(raw[0])
    if match is None:
        raise Nonsense()
    return int(match[1]), _pairs(raw[1])


def _read_post(seq: int, post: bytes, wrapped_for: bytes) -> PostEntry:
    """From its ``ref``, behind which stands what follows its number, and who got a wrap."""
    match = _is_posted(post)
    if match is None:
        raise Nonsense()
    ref, sender, change, epoch, n = map(int, match.groups())
    if not 0 < change < seq or max(ref, sender, epoch, n) > limits.COUNTER_MAX:
        raise Nonsense()
    rest = post[match.end(1) :]
    return PostEntry(seq, sender, change, ref, epoch, n, rest, _ids(wrapped_for))


def _read_join(seq: int, sender: int, fields: dict[bytes, bytes]) -> JoinEntry:
    fingerprint = fields.get(b"f", b"").decode("ascii", "replace")
    nick, bundle = _nick(fields.get(b"n", b"")), fields.get(b"b", b"")
    return JoinEntry(seq, read_member(sender, seq, fingerprint, nick, bundle), fingerprint)


def _read_leave(seq: int, sender: int, _fields: dict[bytes, bytes]) -> LeaveEntry:
    return LeaveEntry(seq, sender)


def _read_rename(seq: int, sender: int, fields: dict[bytes, bytes]) -> RenameEntry:
    return RenameEntry(seq, sender, _nick(fields.get(b"n", b"")))


def _read_rejoin(seq: int, sender: int, _fields: dict[bytes, bytes]) -> RejoinEntry:
    return RejoinEntry(seq, sender)


_READ: dict[bytes, Callable[[int, int, dict[bytes, bytes]], LogEntry]] = {
    b"j": _read_join,
    b"l": _read_leave,
    b"n": _read_rename,
    b"r": _read_rejoin,
}


def _fields(raw: Raw) -> tuple[int, dict[bytes, bytes]]:
    """The number that an entry of a log or of a private stream has, and its fields."""
    match = _is_id(raw[0])
    if match is None or not 0 < (number := int(match[1])) <= limits.COUNTER_MAX:
        raise Nonsense()
    return number, dict(_pairs(raw[1]))


def _pairs(fields: object) -> list[tuple[bytes, bytes]]:
    """Fields and values, which stand in turn."""
    if not isinstance(fields, list) or len(fields) % 2:
        raise Nonsense()
    if not all(isinstance(each, bytes) for each in fields):
        raise Nonsense()
    return list(zip(fields[::2], fields[1::2], strict=True))


def _count(fields: dict[bytes, bytes], name: bytes) -> int:
    raw = fields.get(name, b"")
    if _is_count(raw) is None or (number := int(raw)) > limits.COUNTER_MAX:
        raise Nonsense()
    return number


def _ids(raw: bytes) -> tuple[int, ...]:
    """Numbers with commas between; perhaps none."""
    if not raw:
        return ()
    if not _is_ids(raw):
        raise Nonsense()
    return tuple(map(int, raw.split(b",")))


def _nick(raw: bytes) -> str:
    """One that JSON cannot write otherwise."""
    try:
        nick = parse(raw)
    except Malformed:
        raise Nonsense() from None
    if not isinstance(nick, str) or not 0 < len(nick) <= limits.NICK_CHARS or encode(nick) != raw:
        raise Nonsense()
    return nick
