"""One frozen dataclass for each frame of the wire, whose fields are its codec.

Known keys are checked for presence, type and length (``protocol.codec``); unknown keys are ignored,
so that a later version may add some.  A test compares ``docs/PROTOCOL.md`` with the tables here.
"""

from __future__ import annotations

from typing import Any, ClassVar

from protocol import keys, limits
from protocol.codec import (
    ANNOUNCEMENT,
    BUNDLE,
    CODE,
    COUNT,
    FLAG,
    HASH,
    LOG_ID,
    NICK,
    NONCE,
    ROOM,
    SECONDS,
    SHARE,
    SIGNATURE,
    TOKEN,
    TOKEN_ID,
    TOKEN_SECRET,
    WRAPPED,
    Codec,
    fixed,
    optional,
    parse,
    part,
    parts,
    required,
)
from protocol.codec import Frame as Frame
from protocol.dataclass import dataclass
from protocol.errors import BadVersion, Malformed, TooBig, UnknownType
from protocol.frame_parts import STAYS
from protocol.frame_parts import Position as Position
from protocol.frame_parts import RoomLine as RoomLine
from protocol.frame_parts import Stay as Stay

# Objects inside frames


@dataclass(frozen=True)
class Box(Frame):
    """A sealed text: which key of the sender's chain, the Fernet token, the signature.

    ``written``: as ``encode`` would have it, where that is known.
    """

    written: ClassVar[bytes | None] = None
    epoch: int = required(COUNT)
    n: int = required(COUNT)
    data: bytes = required(TOKEN)
    sig: bytes = required(SIGNATURE)


@dataclass(frozen=True)
class Wrap(Frame):
    """A chain, wrapped for one member: at ``epoch`` and its next unsealed ``n``."""

    to: int = required(COUNT)
    epoch: int = required(COUNT)
    n: int = required(COUNT)
    wrapped: bytes = required(WRAPPED)


@dataclass(frozen=True)
class MemberLine(Frame):
    """A member as rosters and ``joined`` show it; ``joined`` is the sequence number."""

    id: int = required(COUNT)
    nick: str = required(NICK)
    joined: int = required(COUNT)
    bundle: keys.Bundle = required(BUNDLE)


# The handshake, in clear


@dataclass(frozen=True)
class Greeting(Frame):
    kind = "greeting"
    version: int = required(COUNT)
    nonce: bytes = required(NONCE)


@dataclass(frozen=True)
class Hello(Frame):
    """``proof`` is ``password`` or ``token``; ``token`` the hash that names which.

    ``ticket`` is the hash of one that an earlier ``welcome`` brought: who has it need not wait.
    """

    kind = "hello"
    version: int = required(COUNT)
    nonce: bytes = required(NONCE)
    proof: str = required(CODE)
    rsa: bytes = required(fixed(keys.RSA_BYTES))
    kem: bytes = required(fixed(keys.KEM_BYTES))
    share: bytes = required(SHARE)
    token: bytes | None = optional(HASH)
    ticket: bytes | None = optional(HASH)


@dataclass(frozen=True)
class Key(Frame):
    kind = "key"
    wrapped: bytes = required(WRAPPED)
    share: bytes = required(SHARE)


@dataclass(frozen=True)
class Refused(Frame):
    """In clear before ``confirm`` has opened, in a record afterwards.

    ``ref`` names the frame that was refused, where it had one, and ``room`` a stay that one does
    not get, though one is let in; ``retry_after`` is in seconds, ``limit`` in bytes; ``nick`` is
    the one that a refused nickname looks like without being it.
    """

    kind = "refused"
    code: str = required(CODE)
    ref: int | None = optional(COUNT)
    retry_after: float | None = optional(SECONDS)
    limit: int | None = optional(COUNT)
    nick: str | None = optional(NICK)
    room: str | None = optional(ROOM)


# From the client, in records


@dataclass(frozen=True)
class Confirm(Frame):
    """``nick`` may be empty with a token; each of ``stays`` is another room (``room_key``)."""

    kind = "confirm"
    nick: str = required(NICK)
    stays: tuple[Stay, ...] = required(STAYS)
    bundle: keys.Bundle = required(BUNDLE)
    sig: bytes = required(SIGNATURE)


@dataclass(frozen=True)
class Request(Frame):
    """What the server takes once, by its ``ref``, and answers the same way ever after."""

    ref: int = required(COUNT)


@dataclass(frozen=True)
class Post(Request):
    kind = "post"
    at: int = required(COUNT)
    change: int = required(COUNT)
    box: Box = required(part(Box))


@dataclass(frozen=True)
class Keys(Frame):
    kind = "keys"
    at: int = required(COUNT)
    wraps: tuple[Wrap, ...] = required(parts(Wrap, limits.ROOM_MEMBERS))


@dataclass(frozen=True)
class Private(Request):
    kind = "private"
    at: int = required(COUNT)
    change: int = required(COUNT)
    wrap: Wrap = required(part(Wrap))
    box: Box = required(part(Box))


@dataclass(frozen=True)
class Nick(Request):
    """For all rooms; ``at`` is the one in whose log ``accepted`` says the place."""

    kind = "nick"
    at: int = required(COUNT)
    nick: str = required(NICK)


@dataclass(frozen=True)
class Enter(Request):
    """``leave`` is the room that is left for it, in the same step."""

    kind = "enter"
    room: str = required(ROOM)
    leave: int | None = optional(COUNT)


@dataclass(frozen=True)
class Leave(Request):
    """The last room is not left: see Bye."""

    kind = "leave"
    at: int = required(COUNT)


@dataclass(frozen=True)
class ListRooms(Request):
    kind = "list_rooms"


@dataclass(frozen=True)
class Mint(Request):
    """A token for somebody who is invited; for those who came in with the password alone."""

    kind = "mint"


@dataclass(frozen=True)
class Seen(Frame):
    """The client's heartbeat; with ``answer`` it wants ``taken`` at once."""

    kind = "seen"
    positions: tuple[Position, ...] = required(parts(Position, limits.ROOMS_OF_ONE))
    answer: bool | None = optional(FLAG)


@dataclass(frozen=True)
class Taken(Frame):
    """The server's heartbeat: ``ref`` is the highest one that it has taken."""

    kind = "taken"
    ref: int = required(COUNT)


@dataclass(frozen=True)
class Bye(Frame):
    """The polite end, both ways; ``reason`` is a code."""

    kind = "bye"
    reason: str = required(CODE)


# From the server, in records


@dataclass(frozen=True)
class Welcome(Frame):
    """The nickname as granted, and what the client has to obey (seconds and bytes).

    ``resumed``: the session goes on.  ``ticket`` is for the next ``hello`` of this identity.
    """

    kind = "welcome"
    nick: str = required(NICK)
    resumed: bool = required(FLAG)
    heartbeat_interval: float = required(SECONDS)
    heartbeat_timeout: float = required(SECONDS)
    max_message_size: int = required(COUNT)
    max_payload_size: int = required(COUNT)
    rate_limit: int = required(COUNT)
    rate_window: float = required(SECONDS)
    ticket: bytes | None = optional(NONCE)


@dataclass(frozen=True)
class Wait(Frame):
    """What was asked for is done in about so many seconds: the room changes too often just now."""

    kind = "wait"
    seconds: float = required(SECONDS)


@dataclass(frozen=True)
class Announcement(Frame):
    """What whoever runs the server has to say to everybody; no more to be believed than it."""

    kind = "announcement"
    text: str = required(ANNOUNCEMENT)


@dataclass(frozen=True)
class Entered(Frame):
    """Now in ``room``: after ``welcome``, after ``enter``, after falling behind.

    ``at`` is the number by which frames name this room from now on, ``id`` one's own member id
    there, ``seq`` the number after which the log goes on.  Unless ``resumed``, ``members`` members
    follow in ``roster`` frames; ``missed`` counts the entries that were lost to falling behind.
    ``ref`` is that of the ``enter`` that led there, but when falling behind.
    """

    kind = "entered"
    at: int = required(COUNT)
    room: str = required(ROOM)
    log: bytes = required(LOG_ID)
    id: int = required(COUNT)
    seq: int = required(COUNT)
    members: int = required(COUNT)
    resumed: bool = required(FLAG)
    missed: int = required(COUNT)
    ref: int | None = optional(COUNT)


@dataclass(frozen=True)
class Roster(Frame):
    """Members of the room of the last ``entered``."""

    kind = "roster"
    members: tuple[MemberLine, ...] = required(parts(MemberLine, limits.ROOM_MEMBERS))


@dataclass(frozen=True)
class Accepted(Frame):
    """``seq`` is absent for what is not in the log."""

    kind = "accepted"
    ref: int = required(COUNT)
    seq: int | None = optional(COUNT)


@dataclass(frozen=True)
class RoomLines(Frame):
    """``of`` rooms there are in all; the list may be cut."""

    kind = "rooms"
    ref: int = required(COUNT)
    rooms: tuple[RoomLine, ...] = required(parts(RoomLine, 512))
    of: int = required(COUNT)


@dataclass(frozen=True)
class Minted(Frame):
    """A token, which lives so many ``seconds``; nobody else is told, and it is not told again."""

    kind = "minted"
    ref: int = required(COUNT)
    id: bytes = required(TOKEN_ID)
    secret: bytes = required(TOKEN_SECRET, shown=False)
    seconds: float = required(SECONDS)

    @property
    def token(self) -> str:
        """As people pass it on."""
        return f"{keys.to_text(self.id)}.{keys.to_text(self.secret)}"


@dataclass(frozen=True)
class KeyFor(Frame):
    """Another member's chain, wrapped for oneself; ``number`` counts what is for oneself there."""

    kind = "key_for"
    at: int = required(COUNT)
    number: int = required(COUNT)
    sender: int = required(COUNT, key="from")
    wrap: Wrap = required(part(Wrap))


@dataclass(frozen=True)
class PrivateFor(Frame):
    kind = "private_for"
    at: int = required(COUNT)
    number: int = required(COUNT)
    sender: int = required(COUNT, key="from")
    change: int = required(COUNT)
    wrap: Wrap = required(part(Wrap))
    box: Box = required(part(Box))


# Entries of a room's log


@dataclass(frozen=True)
class Posted(Frame):
    kind = "posted"
    seq: int = required(COUNT)
    sender: int = required(COUNT, key="from")
    change: int = required(COUNT)
    box: Box = required(part(Box))

    @classmethod
    def from_object(cls, value: Any) -> Posted:
        """As the base class's, written out: most of what comes is posts, and of one that comes
        alone reading it was 0.06 ms of 0.72."""
        try:
            seq, sender, change, box = value["seq"], value["from"], value["change"], value["box"]
            epoch, n, data, sig = box["epoch"], box["n"], box["data"], box["sig"]
        except (KeyError, TypeError):  # some of it is missing, or no object
            raise Malformed() from None
        for count in (seq, sender, change, epoch, n):
            if type(count) is not int or not 0 <= count <= limits.COUNTER_MAX:
                raise Malformed()
        sealed = Box(epoch, n, TOKEN.read(data), keys.from_text(sig, keys.SIGNATURE_BYTES))
        return cls(seq, sender, change, sealed)


@dataclass(frozen=True)
class OwnPosted(Frame):
    """In the sender's own slice: its post stands here."""

    kind = "own_posted"
    seq: int = required(COUNT)
    ref: int = required(COUNT)


@dataclass(frozen=True)
class Joined(Frame):
    kind = "joined"
    seq: int = required(COUNT)
    member: MemberLine = required(part(MemberLine))


@dataclass(frozen=True)
class Left(Frame):
    kind = "left"
    seq: int = required(COUNT)
    id: int = required(COUNT)


@dataclass(frozen=True)
class Renamed(Frame):
    kind = "renamed"
    seq: int = required(COUNT)
    id: int = required(COUNT)
    nick: str = required(NICK)


@dataclass(frozen=True)
class Rejoined(Frame):
    """This member fell off the log's end: everyone counts it as lacking their keys."""

    kind = "rejoined"
    seq: int = required(COUNT)
    id: int = required(COUNT)


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
    """A slice of a room's log, complete up to ``to``."""

    kind = "log"
    at: int = required(COUNT)
    to: int = required(COUNT)
    entries: tuple[Frame, ...] = required(
        Codec(_read_entries, lambda items: [item.to_object() for item in items])
    )

    @classmethod
    def from_object(cls, value: Any) -> Log:
        """As the base class's, written out: see ``Posted``."""
        try:
            at, to, entries = value["at"], value["to"], value["entries"]
        except (KeyError, TypeError):
            raise Malformed() from None
        for count in (at, to):
            if type(count) is not int or not 0 <= count <= limits.COUNTER_MAX:
                raise Malformed()
        return cls(at, to, _read_entries(entries))


def _table(*kinds: type[Frame]) -> dict[str, type[Frame]]:
    return {each.kind: each for each in kinds}


CLEAR_FRAMES = _table(Greeting, Hello, Key, Refused)
CLIENT_FRAMES = _table(Confirm, Post, Keys, Private, Nick, Enter, Leave, ListRooms, Mint, Seen, Bye)
SERVER_FRAMES = _table(
    Welcome, Wait, Announcement, Entered, Roster, Accepted, Refused, RoomLines, Minted, KeyFor,
    PrivateFor, Log, Taken, Bye,
)  # fmt: skip
LOG_ENTRIES = _table(Posted, OwnPosted, Joined, Left, Renamed, Rejoined)


def from_object(value: Any, table: dict[str, type[Frame]]) -> Frame:
    """The frame that a parsed JSON object is, or one that was read already (``read_posts``).

    Raises Malformed, UnknownType or BadVersion.
    """
    if isinstance(value, Frame):
        return value
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise Malformed()
    kind = table.get(value["type"])
    if kind is None:
        raise UnknownType()
    return kind.from_object(value)


def decode_clear(text: str) -> Frame:
    """A frame of the handshake; raises TooBig, Malformed or UnknownType."""
    if len(text) > limits.HANDSHAKE_BYTES:  # cheap first look: no character is under a byte
        raise TooBig(limit=limits.HANDSHAKE_BYTES)
    raw = text.encode("utf-8", "surrogatepass")
    if len(raw) > limits.HANDSHAKE_BYTES:
        raise TooBig(limit=limits.HANDSHAKE_BYTES)
    return from_object(parse(raw), CLEAR_FRAMES)
