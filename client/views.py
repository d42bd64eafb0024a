"""What a person looks at and types into: an open room, or one person, in private.

Values only.  ``client.session`` keeps the list of views and which of them is shown, screens keep
what belongs to each of them by its ``key``.
"""

from __future__ import annotations

from functools import lru_cache

from protocol.dataclass import dataclass, field
from protocol.names import room_key


@dataclass(frozen=True)
class RoomTarget:
    """The view of an open room; ``room`` is its name, ``key`` the same however that is written.
    ``guarded``: the room has a secret here."""

    room: str = field(compare=False)
    key: str
    guarded: bool = field(default=False, compare=False)

    @property
    def name(self) -> str:
        """How a bar and a prompt name it."""
        return self.room


@dataclass(frozen=True)
class PersonTarget:
    """The view of one person.  It belongs to the lasting key (``bundle.sign``) that ``key`` is
    made of, whatever the nickname: ``nick`` is the one that was seen last with it. ``standing`` is
    that of ``events.MemberView``, empty while this person is in none of one's rooms."""

    nick: str = field(compare=False)
    key: str
    standing: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """How a bar and a prompt name it."""
        return f"@{self.nick}"


View = RoomTarget | PersonTarget


@lru_cache(maxsize=256)
def room_target(room: str, guarded: bool = False) -> RoomTarget:
    """The view of ``room``."""
    return RoomTarget(room, f"room {room_key(room)}", guarded)


def person_target(nick: str, sign: bytes, standing: str = "") -> PersonTarget:
    """The view of whoever has this lasting key, and is called ``nick`` now."""
    return PersonTarget(nick, f"person {sign.hex()}", standing)


def is_person(key: str) -> bool:
    """Whether this is the key of a person's view."""
    return key.startswith("person ")
