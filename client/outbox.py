"""Lines and requests on their way: typed, sealed, not yet known to be taken, or handed back.

A line is sealed when it is sent, not when it is typed.  After a lost connection what was
sealed goes again byte for byte; what a server has not acknowledged by the time there is
another room to talk to is handed back, never sent to whoever is there now.

Each connection has one outbox, whichever room a line is for: the server answers in one series, and
how fast lines may go is decided here alone (``pacing``).  A line beyond the server's limit waits
instead of being refused.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from client import refusals
from client.encryption.posts import SealedPost
from client.events import Event, Message, NotSent, Sending, Settled, Tag
from client.own_name import OwnName
from client.pacing import LEAST_SECONDS, Pacing
from protocol import frames
from protocol.errors import Unexpected
from protocol.frames import Keys, Post, Private, Wrap
from protocol.names import room_key

_WRAPS_IN_FRAME = 20  # a wrap takes 1.9 KB of JSON: a frame of them stays under SLICE_BYTES

# Seconds before a line that was refused as stale is sealed anew.  Once is nothing unusual; where
# members come and go faster than a round trip lasts, each sealing needs keys for everybody.
PAUSES = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)

MAX_IN_FLIGHT = 64  # lines sealed and unanswered: fewer than the answers a server remembers
MAX_QUEUED = 1000  # typed while nothing can be sent; one more has to wait its turn to be read
MOST_LIMITED = 20  # refusals of one line as those, after which it is handed back
LONGEST_PAUSE = 10  # after so many the least pause, which is doubled each time, grows no more
LIMITED = ("rate_limited", "address_limited")  # refusals of a line that end by themselves
MAX_HANDED_BACK = 100  # that can be sent again


@dataclass
class Line:
    """One line of a person's.  ``to`` and ``target`` (id and fingerprint): for one member.
    ``tag``: what the program that brought it calls it.  ``bot``: a program's answer."""

    room: str
    text: str
    kind: str
    guarded: bool = False  # everybody was verified when Enter was pressed
    to: str | None = None
    tag: Tag = None
    bot: bool = False
    target: tuple[int, bytes] | None = None
    limited: int = 0  # how often it was refused as over a limit
    stale: int = 0  # how often it was refused as that, and
    not_before: float = 0.0  # by the outbox's clock, to be sealed anew
    number: int = 0  # by which a screen knows it, from before it is sealed
    order: int = 0  # lines go out in this order
    ref: int = 0
    post_id: bytes | None = None
    change: int = 0
    signature: bytes = b""
    encoded: tuple[bytes, ...] = field(default=(), repr=False)  # since it was sent
    seq: int | None = None  # once accepted
    refusal: str | None = None  # a code

    @property
    def is_public(self) -> bool:
        """Whether its place is in the room's log, unless it was refused."""
        return self.target is None and self.refusal is None

    def is_longer(self, most: int | None) -> bool:
        """Whether it takes more than ``most`` bytes."""
        # A lone surrogate is refused later, with a better reason.
        return most is not None and len(self.text.encode(errors="surrogatepass")) > most

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
    tag: Tag = None


class Outbox:
    """Lines by how far they have come.  Not thread-safe: the session's lock covers it.

    What is to be shown is returned, what is to be sent is put into ``outgoing``.  ``most``: bytes
    of a text, once a server has said it.
    """

    def __init__(self, own: OwnName, clock: Callable[[], float]) -> None:
        self._own, self._clock = own, clock
        self.pacing = Pacing(clock)
        self.most: int | None = None
        self.outgoing: deque[bytes] = deque()
        self.queued: deque[Line | Switch] = deque()
        self.in_flight: dict[int, Line] = {}  # key: ref; sealed, no answer yet
        self.answered: dict[int, Line] = {}  # key: ref; to be shown in its place
        self.requests: dict[int, frames.Request] = {}  # key: ref, of the same series; not answered
        self.tags: dict[int, Tag] = {}  # key: ref of a request that has one
        self.refused = 0  # lines handed back
        self._handed_back: deque[Line] = deque(maxlen=MAX_HANDED_BACK)
        self._orders = self._numbers = self._refs = 0

    # How far things have come

    @property
    def empty(self) -> bool:
        """Whether each line has been answered, and seen in its place."""
        return not (self.queued or self.in_flight or self.answered or self.requests)

    @property
    def full(self) -> bool:
        """Whether one more line would be handed back."""
        return len(self.queued) >= MAX_QUEUED

    @property
    def switching(self) -> bool:
        """Whether another room was asked for, and the server has not answered."""
        return any(isinstance(request, frames.Enter) for request in self.requests.values())

    def unanswered(self) -> int | None:
        """The oldest ``ref`` without a first answer; they are answered in order."""
        return min([*self.in_flight, *self.requests], default=None)

    @property
    def unplaced(self) -> list[Line]:
        """The lines that were accepted for the log and have not come by there."""
        return [line for line in self.answered.values() if line.is_public]

    def paused_until(self) -> float | None:
        """When the next line may be sealed; None: now, after an answer, or there is none."""
        head = self.queued[0] if self.queued else None
        if not isinstance(head, Line):
            return None
        ready = max(head.not_before, self.pacing.ready_at(len(self.in_flight)))
        return ready if self._clock() < ready < math.inf else None

    def kept_back(self) -> tuple[int, float]:
        """How many lines the server's limit keeps back, and the seconds until the next one goes;
        infinity while that is up to an answer."""
        now = self._clock()
        left = self.pacing.ready_at(len(self.in_flight)) - now
        count = len(self._queued_lines()) if left > 0 else 0
        return (count, left) if count else (0, 0.0)

    # From a person to the server

    def add(self, line: Line) -> list[Event]:
        """``line`` waits behind all others."""
        if line.is_longer(self.most):
            return self.hand_back(line, "too_long")
        if self.full:
            return self.hand_back(line, "too_many" if self.kept_back()[0] else "disconnected")
        self._orders += 1
        line.order = self._orders
        self.queued.append(line)
        self._number(line)
        return [Sending(line.number, line.room, line.text, line.kind, line.to)]

    def next(self, change: int) -> Line | Switch | None:
        """Take what may go out now: lines in order, a switch when all before it is answered.

        What is under way was all sealed for one membership, which is that of ``change`` now.  If it
        is refused as stale, nothing that was said later has passed it by.
        """
        if not self.queued or self.switching:
            return None
        if isinstance(self.queued[0], Switch):
            waits = bool(self.in_flight)
        else:
            waits = (
                len(self.in_flight) >= MAX_IN_FLIGHT
                or any(line.change != change for line in self.in_flight.values())
                or self.pacing.ready_at(len(self.in_flight)) > self._clock()
                or self.paused_until() is not None
            )
        return None if waits else self.queued.popleft()

    def send(self, line: Line, sealed: SealedPost) -> None:
        """``line`` goes out as it was sealed."""
        line.seal(self._next_ref(), sealed)
        self.in_flight[line.ref] = line
        self.outgoing.extend(line.encoded)

    def ask(self, make: Callable[[int], frames.Request], tag: Tag = None) -> int:
        """Ask the server for something; the ``ref`` under which it will answer."""
        ref = self._next_ref()
        self.requests[ref] = make(ref)
        if tag is not None:
            self.tags[ref] = tag
        self.outgoing.append(self.requests[ref].encode())
        return ref

    def send_again(self) -> None:
        """What has been sealed or asked and not answered goes again, in order, byte for byte."""
        parts = {ref: line.encoded for ref, line in self.in_flight.items()}
        parts.update((ref, (request.encode(),)) for ref, request in self.requests.items())
        # In the order of the refs: what is below the last one taken, a server takes for old.
        self.outgoing.extend(part for ref in sorted(parts) for part in parts[ref])

    def _next_ref(self) -> int:
        self._refs += 1
        return self._refs

    def _number(self, line: Line) -> None:
        if line.number == 0:
            self._numbers += 1
            line.number = self._numbers

    # From the server to a person

    def answer(self, ref: int | None) -> tuple[frames.Request | None, Tag]:
        """A request has been answered: what it was, and its tag; None if it is none."""
        return self.requests.pop(ref or 0, None), self.tags.pop(ref or 0, None)

    def accepted(self, accepted: frames.Accepted, seen: int) -> list[Event]:
        """A line in flight has been accepted; of its room's log, ``seen`` has come."""
        line = self.in_flight.pop(accepted.ref)
        self.pacing.taken()
        if line.target is None:
            line.seq = accepted.seq
        if line.seq is not None and line.seq <= seen:
            # Fallen behind meanwhile, past its place in the log: nothing more will come of it.
            return self._shown(line)
        self.answered[line.ref] = line
        return self._conclude_next()

    def refused_line(self, refused: frames.Refused) -> list[Event]:
        """A line in flight has been refused.

        Stale: the membership moved on, so it is sealed anew.  Over the limit: it waits.  Either of
        them has an end, whatever a server says.
        """
        line = self.in_flight.pop(refused.ref or 0)
        if refused.code in LIMITED and line.limited < MOST_LIMITED:
            least = LEAST_SECONDS * 2 ** min(line.limited, LONGEST_PAUSE)
            line.limited += 1
            self.pacing.refused(max(refused.retry_after or 0.0, least))
            self._put_back(line)
            return []
        if refused.code == "stale" and line.stale < len(PAUSES):
            line.not_before = self._clock() + PAUSES[line.stale]
            line.stale += 1
            self._put_back(line)
            return []
        line.refusal = refused.code
        self.answered[line.ref] = line
        return self._conclude_next()

    def _put_back(self, line: Line) -> None:
        """``line`` has to be sealed again: it waits where it did before."""
        line.encoded = ()  # the server has refused that
        place = 0
        for other in self.queued:
            if isinstance(other, Switch) or other.order > line.order:
                break
            place += 1
        self.queued.insert(place, line)

    def drop(self) -> list[Event]:
        """Hand back the lines that the limit keeps back; they can be sent again."""
        if not self.kept_back()[0]:
            return []
        lines = self._queued_lines()
        self.queued = deque(entry for entry in self.queued if not isinstance(entry, Line))
        return [event for line in lines for event in self.hand_back(line, "dropped")]

    def placed(self, own: frames.OwnPosted) -> tuple[Line | None, list[Event]]:
        """The line that the log has there; None if it is shown already, since the answer came
        before a new stay.  Raises Unexpected for one that is in no log."""
        line = self.in_flight.pop(own.ref, None)
        if line is not None:
            self.pacing.taken()
        else:
            line = self.answered.pop(own.ref, None)
        if line is None:
            return None, []
        if not line.is_public:
            raise Unexpected()
        line.seq = own.seq
        return line, [*self._shown(line), *self._conclude_next()]

    def _conclude_next(self) -> list[Event]:
        """What was answered outside the log, and waited only for lines written before it."""
        found = []
        while self.answered:
            line = next(iter(self.answered.values()))
            if line.is_public:
                break
            found += self._concluded(self.answered.pop(line.ref))
        return found

    def settle(self, anew: bool) -> list[Event]:
        """There is another stay in a room: what was accepted is shown.

        ``anew``: on a new connection; what no server has acknowledged is handed back.
        """
        found = [event for line in self.answered.values() for event in self._concluded(line)]
        self.answered.clear()
        if anew:
            lines = [*self._queued_lines(), *self.in_flight.values()]
            found += self._all_back(lines, "disconnected")
            for ref, request in self.requests.items():
                if not isinstance(request, frames.Enter):  # it shows by the room that was entered
                    found.append(refusals.error("disconnected", self.tags.get(ref)))
            self.requests.clear()
            self.tags.clear()
            self._own.forget()
        return found

    def give_up(self, reason: str) -> tuple[int, list[Event]]:
        """It is the end: hand back all that was not seen in its place; how many lines that were.

        There is no more to come of the log, so what waited only for that waits no longer.
        """
        found = []
        for line in list(self.answered.values()):
            if not line.is_public:
                found += self._concluded(self.answered.pop(line.ref))
        lines = [*self._queued_lines(), *self.in_flight.values(), *self.answered.values()]
        self.answered.clear()
        return len(lines), found + self._all_back(lines, reason)

    def _queued_lines(self) -> list[Line]:
        return [line for line in self.queued if isinstance(line, Line)]

    def _all_back(self, lines: Iterable[Line], reason: str) -> list[Event]:
        self.in_flight.clear()
        self.queued.clear()
        return [
            event
            for line in sorted(lines, key=lambda line: line.order)
            for event in self.hand_back(line, reason if line.seq is None else "timed_out")
        ]

    def _concluded(self, line: Line) -> list[Event]:
        return self._shown(line) if line.refusal is None else self.hand_back(line, line.refusal)

    def _shown(self, line: Line) -> list[Event]:
        message = Message(
            line.room, self._own.nick, line.text, line.seq, True, line.target is not None, True,
            line.kind, line.to, line.tag, line.bot,
        )  # fmt: skip
        return [Settled(line.number), message]

    # Handed back

    def hand_back(self, line: Line, reason: str) -> list[Event]:
        """``line`` is not sent, which is told; it can be sent again."""
        self.refused += 1
        self._number(line)
        self._handed_back.append(line)
        return [Settled(line.number), NotSent(line.room, line.text, reason, line.tag)]

    def take_back(self, room: str, most: int) -> list[Line]:
        """So many of the lines that were handed back in ``room``, as when they were typed; the
        oldest first."""
        here = [line for line in self._handed_back if room_key(line.room) == room_key(room)]
        for line in here[:most]:
            self._handed_back.remove(line)
        return [
            Line(back.room, back.text, back.kind, to=back.to, tag=back.tag, target=back.target,
                 number=back.number, bot=back.bot)
            for back in here[:most]
        ]  # fmt: skip

    def forget(self) -> None:
        """Nothing that was handed back can be sent again."""
        self._handed_back.clear()
