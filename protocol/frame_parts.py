"""Objects inside frames that say of rooms which ones they are and how far one has come in them."""

from __future__ import annotations

from typing import Any

from protocol import limits
from protocol.codec import COUNT, LOG_ID, ROOM, Codec, Frame, optional, parts, required
from protocol.dataclass import dataclass
from protocol.errors import Malformed
from protocol.names import room_key


@dataclass(frozen=True)
class RoomLine(Frame):
    """A room and the number of its members."""

    room: str = required(ROOM)
    count: int = required(COUNT)


@dataclass(frozen=True)
class Stay(Frame):
    """A room that a client wants to be in; the last three say where it goes on (see Position)."""

    room: str = required(ROOM)
    log: bytes | None = optional(LOG_ID)
    seq: int | None = optional(COUNT)
    number: int | None = optional(COUNT)


def _read_stays(value: Any) -> tuple[Stay, ...]:
    """One at least, no room twice, and all of a place or none of it."""
    stays: tuple[Stay, ...] = _EACH.read(value)
    halves = any((x.log, x.seq, x.number).count(None) in (1, 2) for x in stays)
    if halves or not 0 < len(stays) == len({room_key(stay.room) for stay in stays}):
        raise Malformed()
    return stays


_EACH = parts(Stay, limits.ROOMS_OF_ONE)
STAYS = Codec(_read_stays, _EACH.write)


@dataclass(frozen=True)
class Position(Frame):
    """In the room ``at`` one has all up to ``seq``, and to ``number`` of what is for one alone."""

    at: int = required(COUNT)
    seq: int = required(COUNT)
    number: int = required(COUNT)
