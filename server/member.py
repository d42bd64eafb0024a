"""A client's presence in one room: where it stands in the log, and what waits for it alone.

The room's lock covers all of it (``server.rooms``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from protocol import wire_json
from protocol.keys import Bundle
from server.private import PrivateQueue

if TYPE_CHECKING:
    from server.rooms import Room

Owner = TypeVar("Owner")


class Wrapped(NamedTuple):
    """A sender's chain: its epoch, for whom it was wrapped, and the wraps that wait for a post."""

    epoch: int
    recipients: set[int]
    held: dict[int, bytes]  # key: recipient's id; encoded after the number


class Encoded(Protocol):
    """A bundle of public keys, of which nothing is wanted but this: ``keys.Bundle``."""

    @property
    def encoded(self) -> bytes:
        """It as JSON."""


class Present(Protocol):
    """Somebody who is in a room, whether its cursor is ours or not."""

    def line(self) -> MemberState:
        """How rosters show it now."""


class MemberState(NamedTuple):
    """A member as a roster has it, not encoded yet: that takes no lock."""

    id: int
    nick: str
    joined: int
    bundle: Encoded

    def line(self) -> MemberState:
        """Itself."""
        return self

    def encode(self) -> bytes:
        """As ``frames.MemberLine.encode``, from a bundle that is encoded already."""
        return wire_json.member(self.id, self.nick, self.joined, self.bundle.encoded)


class Member(Generic[Owner]):
    """One client's presence in one room.  All fields are guarded by the room's lock.

    ``id`` is never used again, not even by the same client coming back; ``owner`` is whatever
    the caller wants to find again, and ``ref`` the request by which it came in, if it was one.
    """

    __slots__ = (
        "behind",
        "bundle",
        "confirmed",
        "cursor",
        "id",
        "joined",
        "more",
        "nick",
        "own",
        "owner",
        "posted",
        "private",
        "ref",
        "room",
        "wrapped",
    )  # without a dict: a client has up to sixteen

    room: Room[Owner]  # once it has joined one

    def __init__(
        self, owner: Owner, member_id: int, nick: str, bundle: Bundle, ref: int | None = None
    ) -> None:
        self.owner, self.id, self.nick, self.bundle = owner, member_id, nick, bundle
        self.ref = ref
        self.joined = 0
        self.cursor = 0
        self.confirmed = 0
        self.own: list[int] = []  # numbers of own posts after the cursor
        self.private = PrivateQueue()
        self.behind = False
        self.more = False  # whether the last take has left something for the next one
        self.wrapped: Wrapped | None = None  # until it has something to say
        self.posted = (0, 0)  # epoch and number of the last post

    def line(self) -> MemberState:
        """How rosters show it now."""
        return MemberState(self.id, self.nick, self.joined, self.bundle)
