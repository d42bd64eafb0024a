"""One frozen dataclass for each frame of the wire, and a strict decoder.

Known keys are checked for presence, type and length; unknown keys are ignored, so that a
later version may add some.  Nothing is coerced: ``true`` is not a number, ``7`` is not a
text.  Sizes are measured in bytes before anything is parsed.

``docs/PROTOCOL.md`` has the table of frames; a test compares it with ``CLEAR_FRAMES``,
``CLIENT_FRAMES``, ``SERVER_FRAMES`` and ``LOG_ENTRIES``.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, NamedTuple, TypeVar, cast

from protocol import keys, limits
from protocol.errors import BadVersion, Malformed, TooBig, UnknownType

FrameType = TypeVar("FrameType", bound="Frame")


class Codec(NamedTuple):
    """How one field is read from JSON (raises Malformed) and written to it."""

    read: Callable[[Any], Any]
    write: Callable[[Any], Any]


def _identity(value: Any) -> Any:
    return value


def _read_count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= limits.COUNTER_MAX:
        raise Malformed()
    return value


def _read_flag(value: Any) -> bool:
    if type(value) is not bool:
        raise Malformed()
    return value


def _read_seconds(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 1e9:
        raise Malformed()
    return float(value)


def _text(most: int) -> Codec:
    """A text of at most ``most`` characters."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or len(value) > most:
            raise Malformed()
        return value

    return Codec(read, _identity)


def _raw(size: int) -> Codec:
    """Exactly ``size`` bytes, as base64url."""

    def read(value: Any) -> bytes:
        if not isinstance(value, str):
            raise Malformed()
        return keys.from_text(value, size)

    return Codec(read, keys.to_text)


def _part(kind: type[FrameType]) -> Codec:
    """An object inside a frame."""
    return Codec(lambda value: kind.from_object(value), lambda part: part.to_object())


def _parts(kind: type[FrameType], most: int) -> Codec:
    """A list of at most ``most`` objects; becomes a tuple."""

    def read(value: Any) -> tuple[FrameType, ...]:
        if not isinstance(value, list) or len(value) > most:
            raise Malformed()
        return tuple(kind.from_object(item) for item in value)

    return Codec(read, lambda items: [item.to_object() for item in items])


_TOKEN_LETTERS = (string.ascii_letters + string.digits + "-_=").encode("ascii")


def _read_token(value: Any) -> bytes:
    """A Fernet token: its own base64url, kept as the bytes that were signed.

    No other letters: JSON would write some of them longer than they are.
    """
    if not isinstance(value, str) or not value.isascii():
        raise Malformed()
    raw = value.encode("ascii")
    if raw.translate(None, _TOKEN_LETTERS):
        raise Malformed()
    return raw


COUNT = Codec(_read_count, _identity)
FLAG = Codec(_read_flag, _identity)
SECONDS = Codec(_read_seconds, _identity)
NICK = _text(limits.NICK_CHARS * 2)  # names.check_nick has the last word
ROOM = _text(limits.ROOM_CHARS * 2)
CODE = _text(32)
ANNOUNCEMENT = _text(limits.ANNOUNCEMENT_CHARS)
NONCE = _raw(limits.NONCE_BYTES)
SHARE = _raw(limits.SHARE_BYTES)
LOG_ID = _raw(limits.LOG_ID_BYTES)
HASH = _raw(32)
WRAPPED = _raw(keys.WRAP_BYTES)
SIGNATURE = _raw(keys.SIGNATURE_BYTES)
TOKEN = Codec(_read_token, lambda raw: raw.decode("ascii"))
BUNDLE = Codec(keys.Bundle.from_fields, keys.Bundle.to_fields)


def _is(codec: Codec, key: str = "") -> Any:
    """A field that must be there; ``key`` where Python's name cannot be the JSON one."""
    return field(metadata={"codec": codec, "key": key})


def _may(codec: Codec) -> Any:
    """A field that may be absent, and is None then."""
    return field(default=None, metadata={"codec": codec, "key": ""})


class Frame:
    """Base of all frames and of the objects inside them; ``kind`` is the JSON ``type``."""

    kind: ClassVar[str] = ""

    @classmethod
    def _layout(cls) -> list[tuple[str, str, Codec, bool]]:
        """Of each field: attribute, JSON key, codec, whether it may be absent."""
        found = cls.__dict__.get("_layout_cache")
        if found is None:
            found = [
                (
                    item.name,
                    item.metadata["key"] or item.name,
                    item.metadata["codec"],
                    item.default is None,
                )
                for item in fields(cls)  # type: ignore[arg-type]  # each subclass is a dataclass
            ]
            cls._layout_cache = found  # type: ignore[attr-defined]
        return cast("list[tuple[str, str, Codec, bool]]", found)

    @classmethod
    def from_object(cls: type[FrameType], value: Any) -> FrameType:
        """Read one JSON object; raises Malformed."""
        if not isinstance(value, dict):
            raise Malformed()
        found = {}
        for name, key, codec, optional in cls._layout():
            if key in value and not (optional and value[key] is None):
                found[name] = codec.read(value[key])
            elif not optional:
                raise Malformed()
        return cls(**found)

    def to_object(self) -> dict[str, Any]:
        """The frame as a JSON object; absent fields are left out."""
        found: dict[str, Any] = {"type": self.kind} if self.kind else {}
        for name, key, codec, _ in self._layout():
            value = getattr(self, name)
            if value is not None:
                found[key] = codec.write(value)
        return found

    def encode(self) -> bytes:
        """The frame as UTF-8 JSON without spaces."""
        return _ENCODER.encode(self.to_object()).encode()


# Objects inside frames


@dataclass(frozen=True)
class Box(Frame):
    """A sealed text: which key of the sender's chain, the Fernet token, the signature."""

    epoch: int = _is(COUNT)
    n: int = _is(COUNT)
    data: bytes = _is(TOKEN)
    sig: bytes = _is(SIGNATURE)


@dataclass(frozen=True)
class Wrap(Frame):
    """A chain, wrapped for one member: at ``epoch`` and its next unsealed ``n``."""

    to: int = _is(COUNT)
    epoch: int = _is(COUNT)
    n: int = _is(COUNT)
    wrapped: bytes = _is(WRAPPED)


@dataclass(frozen=True)
class MemberLine(Frame):
    """A member as rosters and ``joined`` show it; ``joined`` is the sequence number."""

    id: int = _is(COUNT)
    nick: str = _is(NICK)
    joined: int = _is(COUNT)
    bundle: keys.Bundle = _is(BUNDLE)


@dataclass(frozen=True)
class RoomLine(Frame):
    """A room and the number of its members."""

    room: str = _is(ROOM)
    count: int = _is(COUNT)


# The handshake, in clear


@dataclass(frozen=True)
class Greeting(Frame):
    kind = "greeting"
    version: int = _is(COUNT)
    nonce: bytes = _is(NONCE)


@dataclass(frozen=True)
class Hello(Frame):
    """``proof`` is ``password`` or ``token``; ``token`` the hash that names which.

    ``ticket`` is the hash of one that an earlier ``welcome`` brought: who has it need not wait.
    """

    kind = "hello"
    version: int = _is(COUNT)
    nonce: bytes = _is(NONCE)
    proof: str = _is(CODE)
    rsa: bytes = _is(_raw(keys.RSA_BYTES))
    kem: bytes = _is(_raw(keys.KEM_BYTES))
    share: bytes = _is(SHARE)
    token: bytes | None = _may(HASH)
    ticket: bytes | None = _may(HASH)


@dataclass(frozen=True)
class Key(Frame):
    kind = "key"
    wrapped: bytes = _is(WRAPPED)
    share: bytes = _is(SHARE)


@dataclass(frozen=True)
class Refused(Frame):
    """In clear before ``confirm`` has opened, in a record afterwards.

    ``ref`` names the frame that was refused, where it had one; ``retry_after`` is in seconds,
    ``limit`` in bytes; ``nick`` is the one that a refused nickname looks like without being it.
    """

    kind = "refused"
    code: str = _is(CODE)
    ref: int | None = _may(COUNT)
    retry_after: float | None = _may(SECONDS)
    limit: int | None = _may(COUNT)
    nick: str | None = _may(NICK)


# From the client, in records


@dataclass(frozen=True)
class Confirm(Frame):
    """``nick`` may be empty with a token; the last three say where it resumes (see Seen)."""

    kind = "confirm"
    nick: str = _is(NICK)
    room: str = _is(ROOM)
    bundle: keys.Bundle = _is(BUNDLE)
    sig: bytes = _is(SIGNATURE)
    log: bytes | None = _may(LOG_ID)
    seq: int | None = _may(COUNT)
    number: int | None = _may(COUNT)


@dataclass(frozen=True)
class Post(Frame):
    kind = "post"
    ref: int = _is(COUNT)
    change: int = _is(COUNT)
    box: Box = _is(_part(Box))


@dataclass(frozen=True)
class Keys(Frame):
    kind = "keys"
    wraps: tuple[Wrap, ...] = _is(_parts(Wrap, limits.ROOM_MEMBERS))


@dataclass(frozen=True)
class Private(Frame):
    kind = "private"
    ref: int = _is(COUNT)
    change: int = _is(COUNT)
    wrap: Wrap = _is(_part(Wrap))
    box: Box = _is(_part(Box))


@dataclass(frozen=True)
class Nick(Frame):
    kind = "nick"
    ref: int = _is(COUNT)
    nick: str = _is(NICK)


@dataclass(frozen=True)
class Enter(Frame):
    kind = "enter"
    ref: int = _is(COUNT)
    room: str = _is(ROOM)


@dataclass(frozen=True)
class ListRooms(Frame):
    kind = "list_rooms"
    ref: int = _is(COUNT)


@dataclass(frozen=True)
class Seen(Frame):
    """The heartbeat, both ways.

    From the client: the log number up to which it has everything, and the ``number`` of the
    last frame for it alone; with ``answer`` it wants one of the server's at once.  From the
    server: the highest ``ref`` that it has taken.
    """

    kind = "seen"
    seq: int = _is(COUNT)
    number: int | None = _may(COUNT)
    answer: bool | None = _may(FLAG)


@dataclass(frozen=True)
class Bye(Frame):
    """The polite end, both ways; ``reason`` is a code."""

    kind = "bye"
    reason: str = _is(CODE)


# From the server, in records


@dataclass(frozen=True)
class Welcome(Frame):
    """The nickname as granted, and what the client has to obey (seconds and bytes).

    ``ticket`` is for the next ``hello`` of this identity.
    """

    kind = "welcome"
    nick: str = _is(NICK)
    heartbeat_interval: float = _is(SECONDS)
    heartbeat_timeout: float = _is(SECONDS)
    max_message_size: int = _is(COUNT)
    max_payload_size: int = _is(COUNT)
    rate_limit: int = _is(COUNT)
    rate_window: float = _is(SECONDS)
    ticket: bytes | None = _may(NONCE)


@dataclass(frozen=True)
class Wait(Frame):
    """What was asked for is done in about so many seconds: the room changes too often just now."""

    kind = "wait"
    seconds: float = _is(SECONDS)


@dataclass(frozen=True)
class Announcement(Frame):
    """What whoever runs the server has to say to everybody; no more to be believed than it."""

    kind = "announcement"
    text: str = _is(ANNOUNCEMENT)


@dataclass(frozen=True)
class Entered(Frame):
    """Now in ``room``: after ``welcome``, after ``enter`` (``ref``), after falling behind.

    ``id`` is one's own member id there, ``seq`` the number after which the log goes on.
    Unless ``resumed``, ``members`` members follow in ``roster`` frames; ``missed`` counts the
    shared entries that were lost to falling behind.
    """

    kind = "entered"
    room: str = _is(ROOM)
    log: bytes = _is(LOG_ID)
    id: int = _is(COUNT)
    seq: int = _is(COUNT)
    members: int = _is(COUNT)
    resumed: bool = _is(FLAG)
    missed: int = _is(COUNT)
    ref: int | None = _may(COUNT)


@dataclass(frozen=True)
class Roster(Frame):
    kind = "roster"
    members: tuple[MemberLine, ...] = _is(_parts(MemberLine, limits.ROOM_MEMBERS))


@dataclass(frozen=True)
class Accepted(Frame):
    """``seq`` is absent for what is not in the log."""

    kind = "accepted"
    ref: int = _is(COUNT)
    seq: int | None = _may(COUNT)


@dataclass(frozen=True)
class RoomLines(Frame):
    """``of`` rooms there are in all; the list may be cut."""

    kind = "rooms"
    ref: int = _is(COUNT)
    rooms: tuple[RoomLine, ...] = _is(_parts(RoomLine, 512))
    of: int = _is(COUNT)


@dataclass(frozen=True)
class KeyFor(Frame):
    """Another member's chain, wrapped for oneself; ``number`` counts what is for oneself."""

    kind = "key_for"
    number: int = _is(COUNT)
    sender: int = _is(COUNT, key="from")
    wrap: Wrap = _is(_part(Wrap))


@dataclass(frozen=True)
class PrivateFor(Frame):
    kind = "private_for"
    number: int = _is(COUNT)
    sender: int = _is(COUNT, key="from")
    change: int = _is(COUNT)
    wrap: Wrap = _is(_part(Wrap))
    box: Box = _is(_part(Box))


# Entries of a room's log


@dataclass(frozen=True)
class Posted(Frame):
    kind = "posted"
    seq: int = _is(COUNT)
    sender: int = _is(COUNT, key="from")
    change: int = _is(COUNT)
    box: Box = _is(_part(Box))


@dataclass(frozen=True)
class OwnPosted(Frame):
    """In the sender's own slice: its post stands here."""

    kind = "own_posted"
    seq: int = _is(COUNT)
    ref: int = _is(COUNT)


@dataclass(frozen=True)
class Joined(Frame):
    kind = "joined"
    seq: int = _is(COUNT)
    member: MemberLine = _is(_part(MemberLine))


@dataclass(frozen=True)
class Left(Frame):
    kind = "left"
    seq: int = _is(COUNT)
    id: int = _is(COUNT)


@dataclass(frozen=True)
class Renamed(Frame):
    kind = "renamed"
    seq: int = _is(COUNT)
    id: int = _is(COUNT)
    nick: str = _is(NICK)


@dataclass(frozen=True)
class Rejoined(Frame):
    """This member fell off the log's end: everyone counts it as lacking their keys."""

    kind = "rejoined"
    seq: int = _is(COUNT)
    id: int = _is(COUNT)


def _read_entries(value: Any) -> tuple[Frame, ...]:
    """Raises BadVersion for an entry of unknown type: it may be a change of membership."""
    if not isinstance(value, list) or len(value) > limits.LOG_ENTRIES:
        raise Malformed()
    try:
        return tuple(from_object(item, LOG_ENTRIES) for item in value)
    except UnknownType:
        raise BadVersion() from None


@dataclass(frozen=True)
class Log(Frame):
    """A slice of the room's log, complete up to ``to``."""

    kind = "log"
    to: int = _is(COUNT)
    entries: tuple[Frame, ...] = _is(
        Codec(_read_entries, lambda items: [item.to_object() for item in items])
    )


def _table(*kinds: type[Frame]) -> dict[str, type[Frame]]:
    return {each.kind: each for each in kinds}


CLEAR_FRAMES = _table(Greeting, Hello, Key, Refused)
CLIENT_FRAMES = _table(Confirm, Post, Keys, Private, Nick, Enter, ListRooms, Seen, Bye)
SERVER_FRAMES = _table(
    Welcome,
    Wait,
    Announcement,
    Entered,
    Roster,
    Accepted,
    Refused,
    RoomLines,
    KeyFor,
    PrivateFor,
    Log,
    Seen,
    Bye,
)
LOG_ENTRIES = _table(Posted, OwnPosted, Joined, Left, Renamed, Rejoined)


def from_object(value: Any, table: dict[str, type[Frame]]) -> Frame:
    """The frame that a parsed JSON object is; raises Malformed, UnknownType or BadVersion."""
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise Malformed()
    kind = table.get(value["type"])
    if kind is None:
        raise UnknownType()
    return kind.from_object(value)


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed()
    return found


def _refuse_constant(_: str) -> Any:
    raise Malformed()


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_DECODER = json.JSONDecoder(object_pairs_hook=_refuse_duplicates, parse_constant=_refuse_constant)


def parse(raw: bytes) -> Any:
    """The JSON value in ``raw`` (UTF-8); raises Malformed.

    Duplicate keys, NaN and infinities are refused: two readers could disagree on them.
    """
    try:
        return _DECODER.decode(raw.decode("utf-8"))
    except (ValueError, RecursionError):  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise Malformed() from None


def decode_clear(text: str) -> Frame:
    """A frame of the handshake; raises TooBig, Malformed or UnknownType."""
    if len(text) > limits.HANDSHAKE_BYTES:  # cheap first look: no character is under a byte
        raise TooBig(limit=limits.HANDSHAKE_BYTES)
    raw = text.encode("utf-8", "surrogatepass")
    if len(raw) > limits.HANDSHAKE_BYTES:
        raise TooBig(limit=limits.HANDSHAKE_BYTES)
    return from_object(parse(raw), CLEAR_FRAMES)


def parse_record(raw: bytes) -> Sequence[Any]:
    """The unread frames of an opened record: a JSON list, perhaps padded; raises Malformed.

    What would be a great many values is not parsed: a quarter million lists take the interpreter
    for longer than all else that fits a record.
    """
    if sum(map(raw.count, (b",", b"[", b"{"))) > limits.VALUES_IN_RECORD:
        raise Malformed()
    value = parse(raw)
    if not isinstance(value, list) or len(value) > limits.FRAMES_IN_RECORD:
        raise Malformed()
    return value


def encode_accepted(ref: int, seq: int) -> bytes:
    """As ``Accepted.encode``: every post is answered so."""
    return b'{"type":"accepted","ref":%d,"seq":%d}' % (ref, seq)


def encode_posted(sender: int, change: int, box: Box) -> bytes:
    """As ``Posted.encode``, without its number: all after ``{"type":"posted","seq":1``.

    A token has no letters that JSON would write otherwise (``_read_token``).
    """
    return b',"from":%d,"change":%d,"box":{"epoch":%d,"n":%d,"data":"%s","sig":"%s"}}' % (
        sender,
        change,
        box.epoch,
        box.n,
        box.data,
        keys.to_text(box.sig).encode(),
    )


def encode_key_for(sender: int, wrap: Wrap) -> bytes:
    """As ``KeyFor.encode``, without what comes before ``,"from"``."""
    return b',"from":%d,"wrap":%s}' % (sender, wrap.encode())


def encode_private_for(sender: int, private: Private) -> bytes:
    """As ``PrivateFor.encode``, likewise."""
    return b',"from":%d,"change":%d,"wrap":%s,"box":%s}' % (
        sender,
        private.change,
        private.wrap.encode(),
        private.box.encode(),
    )


def encode_log(to: int, entries: Sequence[bytes]) -> bytes:
    """A ``log`` frame from entries that are encoded already: what the broadcaster sends."""
    return b'{"type":"log","to":%d,"entries":[%s]}' % (to, b",".join(entries))
