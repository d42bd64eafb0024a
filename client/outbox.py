"""Lines and requests on their way: typed, sealed, and not yet known to be taken.

A line is sealed when it is sent, not when it is typed.  After a lost connection what was
sealed goes again byte for byte; what a server has not acknowledged by the time there is
another room to talk to is handed back, never sent to whoever is there now.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from client.encryption.posts import SealedPost
from protocol import frames, limits
from protocol.frames import Keys, Post, Private, Wrap

_WRAPS_IN_FRAME = 20  # a wrap takes 1.9 KB of JSON: a frame of them stays under SLICE_BYTES

# Seconds before a line that was refused as stale is sealed anew.  Once is nothing unusual; where
# members come and go faster than a round trip lasts, each sealing needs keys for everybody.
PAUSES = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)

# Lines that may be sealed and unanswered at once: fewer than the answers a server remembers.
MAX_IN_FLIGHT = 64


@dataclass
class Line:
    """One line of a person's.  ``to`` and ``target`` (id and fingerprint): for one member."""

    room: str
    text: str
    kind: str
    guarded: bool  # everybody was verified when Enter was pressed
    to: str | None = None
    target: tuple[int, bytes] | None = None
    stale: int = 0  # how often it was refused as that, and
    not_before: float = 0.0  # by the session's clock, to be sealed anew
    number: int = 0  # by which a screen knows it, from before it is sealed
    order: int = 0  # lines go out in this order
    ref: int = 0
    post_id: bytes | None = None
    change: int = 0
    signature: bytes = b""
    encoded: tuple[bytes, ...] = field(default=(), repr=False)
    seq: int | None = None  # once accepted
    refusal: tuple[str, float | None] | None = None  # a code, and the seconds to wait

    def seal(self, ref: int, sealed: SealedPost) -> None:
        """Take the frames that carry the line: wraps first, then the post."""
        self.ref, self.post_id = ref, sealed.id
        self.change, self.signature = sealed.change, sealed.box.sig
        if self.target is not None:
            post: frames.Frame = Private(ref, sealed.change, sealed.wraps[0], sealed.box)
            self.encoded = (post.encode(),)
        else:
            post = Post(ref, sealed.change, sealed.box)
            self.encoded = (*_keys(sealed.wraps), post.encode())


def _keys(wraps: tuple[Wrap, ...]) -> list[bytes]:
    starts = range(0, len(wraps), _WRAPS_IN_FRAME)
    return [Keys(wraps[start : start + _WRAPS_IN_FRAME]).encode() for start in starts]


@dataclass(frozen=True)
class Switch:
    """Go to another room, once the lines before it are answered."""

    room: str


@dataclass(frozen=True)
class Request:
    """What was asked of the server and not answered yet; ``kind``: switch, nick or rooms."""

    kind: str
    encoded: bytes


class Outbox:
    """Lines by how far they have come.  Not thread-safe: the session's lock covers it."""

    def __init__(self) -> None:
        self.queued: deque[Line | Switch] = deque()
        self.in_flight: dict[int, Line] = {}  # key: ref; sealed, no answer yet
        self.answered: dict[int, Line] = {}  # key: ref; answered, and to be shown in turn
        self.requests: dict[int, Request] = {}  # key: ref, of the same series
        self._orders = 0

    @property
    def empty(self) -> bool:
        """Whether each line has been answered, and seen in its place."""
        return not (self.queued or self.in_flight or self.answered or self.requests)

    def unanswered(self) -> int | None:
        """The oldest ``ref`` without a first answer; they are answered in order."""
        return min([*self.in_flight, *self.requests], default=None)

    @property
    def unplaced(self) -> dict[int, Line]:
        """By ref, the lines that were accepted for the log and have not come by there."""
        taken = self.answered.items()
        return {ref: line for ref, line in taken if line.target is None and line.refusal is None}

    def add(self, line: Line) -> None:
        """``line`` waits behind all others."""
        self._orders += 1
        line.order = self._orders
        self.queued.append(line)

    def behind(self, change: int) -> bool:
        """Whether what is under way was sealed for another membership than that of ``change``."""
        return any(line.change != change for line in self.in_flight.values())

    def put_back(self, line: Line, now: float) -> bool:
        """``line`` has to be sealed again: it waits where it did before, and for a while.

        False if that has come to nothing too often.
        """
        if line.stale >= len(PAUSES):
            return False
        line.not_before = now + PAUSES[line.stale]
        line.stale += 1
        place = 0
        for other in self.queued:
            if isinstance(other, Switch) or other.order > line.order:
                break
            place += 1
        self.queued.insert(place, line)
        return True

    def paused_until(self, now: float) -> float | None:
        """When the next line may be sealed anew; None if it may now, or there is none."""
        head = self.queued[0] if self.queued else None
        if isinstance(head, Line) and head.not_before > now:
            return head.not_before
        return None

    def again(self) -> list[bytes]:
        """What has been sealed or asked and not answered, in order, byte for byte."""
        parts = {ref: line.encoded for ref, line in self.in_flight.items()}
        parts.update((ref, (request.encoded,)) for ref, request in self.requests.items())
        # In the order of the refs: what is below the last one taken, a server takes for old.
        return [part for ref in sorted(parts) for part in parts[ref]]

    def give_up(self, unplaced: bool = False) -> list[Line]:
        """All lines that no server has acknowledged, in order; they are forgotten here.

        With ``unplaced`` those too that one says it has taken, and has shown to nobody.
        """
        lines = [line for line in self.queued if isinstance(line, Line)]
        lines += self.in_flight.values()
        for ref, line in self.unplaced.items() if unplaced else ():
            lines.append(line)
            del self.answered[ref]
        self.in_flight.clear()
        self.queued.clear()
        return sorted(lines, key=lambda line: line.order)


def records(outgoing: deque[bytes]) -> list[bytes]:
    """Take the frames that fit the next record off ``outgoing``; empty if there are none."""
    found: list[bytes] = []
    size = 0
    while outgoing and (not found or size + len(outgoing[0]) <= limits.SLICE_BYTES):
        found.append(outgoing.popleft())
        size += len(found[-1])
    return found
