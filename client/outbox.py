"""Lines and requests on their way: typed, sealed, not yet known to be taken, or handed back.

A line is sealed when it is sent, not when it is typed.  After a lost connection what was
sealed goes again byte for byte; what a server has not acknowledged by the time there is
another session is handed back, never sent to whoever is there now.

Each connection has one outbox: the server answers in one series, and how fast lines may go is
decided here alone (``pacing``).  A line beyond the server's limit waits instead of being refused.
In it each view has a queue: lines of one view go in order, and where one has to wait, nobody
else's do.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from client import refusals
from client.encryption.posts import SealedPost
from client.events import Event, Message, NotSent, Sending, Settled, Tag
from client.own_name import OwnName
from client.pacing import LEAST_SECONDS, Pacing
from protocol import frames
from protocol.dataclass import dataclass, field
from protocol.errors import Unexpected
from protocol.frames import Keys, Post, Private, Wrap

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
MOST_WAYS = 64  # people of whom it is known through which room the last line went


@dataclass
class Line:
    """One line of a person's.  ``to`` and ``target`` (a fingerprint): for one member, through
    ``room`` or whichever is shared.  ``tag``: what the program that brought it calls it.  ``bot``:
    a program's answer.  ``secret``: for one member, through rooms that have a secret alone.
    ``view``: the key of the view that it belongs to; ``typed``: of that in which it was typed;
    ``at``: the room that it was sealed for."""

    room: str
    text: str
    kind: str
    guarded: bool = False  # everybody was verified when Enter was pressed
    to: str | None = None
    tag: Tag = None
    bot: bool = False
    target: bytes | None = None
    secret: bool = False
    view: str = ""
    typed: str = ""
    at: int = 0
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
    def person(self) -> str | None:
        """The view that it belongs to, if that is a person's."""
        return self.view if self.to is not None and self.view else None

    @property
    def is_public(self) -> bool:
        """Whether its place is in the room's log, unless it was refused."""
        return self.target is None and self.refusal is None

    def is_longer(self, most: int | None) -> bool:
        """Whether it takes more than ``most`` bytes."""
        # A lone surrogate is refused later, with a better reason.
        return most is not None and len(self.text.encode(errors="surrogatepass")) > most

    def seal(self, ref: int, at: int, sealed: SealedPost) -> None:
        """Take the frames that carry the line to the room ``at``: wraps first, then the post."""
        self.ref, self.at, self.post_id = ref, at, sealed.id
        self.change, self.signature = sealed.change, sealed.box.sig
        if self.target is not None:
            post: frames.Frame = Private(ref, at, sealed.change, sealed.wraps[0], sealed.box)
            self.encoded = (post.encode(),)
        else:
            post = Post(ref, at, sealed.change, sealed.box)
            self.encoded = (*_keys(at, sealed.wraps), post.encode())


def _keys(at: int, wraps: tuple[Wrap, ...]) -> list[bytes]:
    starts = range(0, len(wraps), _WRAPS_IN_FRAME)
    return [Keys(at, wraps[start : start + _WRAPS_IN_FRAME]).encode() for start in starts]


@dataclass(frozen=True)
class Departure:
    """Leave the room of the view ``view``, once the lines before it are answered; for another one,
    if there is one: ``origin`` and ``to`` are the numbers of entrances."""

    view: str
    order: int
    origin: int
    to: int | None = None
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
        self._queues: dict[str, deque[Line | Departure]] = {}  # key: a view's; none is empty
        self.in_flight: dict[int, Line] = {}  # key: ref; sealed, no answer yet
        self.answered: dict[int, Line] = {}  # key: ref; to be shown in its place
        self.requests: dict[int, frames.Request] = {}  # key: ref, of the same series; not answered
        self.tags: dict[int, Tag] = {}  # key: ref of a request that has one
        self.refused = 0  # lines handed back
        self._handed_back: deque[Line] = deque(maxlen=MAX_HANDED_BACK)
        self._orders = self._numbers = self._refs = 0
        self.ways: dict[str, int] = {}  # key: a person's view; the room of the last line for it

    # How far things have come

    @property
    def queued(self) -> list[Line | Departure]:
        """What waits, in the order in which it was typed."""
        return sorted(
            (entry for queue in self._queues.values() for entry in queue),
            key=lambda entry: entry.order,
        )

    @property
    def empty(self) -> bool:
        """Whether each line has been answered, and seen in its place."""
        return not (self._queues or self.in_flight or self.answered or self.requests)

    @property
    def waits(self) -> bool:
        """Whether anything is queued."""
        return bool(self._queues)

    @property
    def full(self) -> bool:
        """Whether one more line would be handed back."""
        return sum(map(len, self._queues.values())) >= MAX_QUEUED

    def unanswered(self) -> int | None:
        """The oldest ``ref`` without a first answer; they are answered in order."""
        return min([*self.in_flight, *self.requests], default=None)

    def unplaced(self) -> Line | None:
        """The oldest line that was accepted for a log and has not come by there."""
        return next((line for line in self.answered.values() if line.is_public), None)

    def paused_until(self) -> float | None:
        """When the next line may be sealed; None: now, after an answer, or there is none."""
        if not self._queues:
            return None
        now, ready = self._clock(), self.pacing.ready_at(len(self.in_flight))
        heads = [head for head in self.heads() if isinstance(head, Line)]
        times = [max(head.not_before, ready) for head in heads]
        return min((each for each in times if now < each < math.inf), default=None)

    def kept_back(self) -> tuple[int, float]:
        """How many lines the server's limit keeps back, and the seconds until the next one goes;
        infinity while that is up to an answer."""
        now = self._clock()
        left = self.pacing.ready_at(len(self.in_flight)) - now
        count = sum(1 for _line in self._lines()) if left > 0 else 0
        return (count, left) if count else (0, 0.0)

    # From a person to the server

    def add(self, line: Line) -> list[Event]:
        """``line`` waits behind all others of its view."""
        if line.is_longer(self.most):
            return self.hand_back(line, "too_long")
        if self.full:
            return self.hand_back(line, "too_many" if self.kept_back()[0] else "disconnected")
        line.order = self._next_order()
        self._queues.setdefault(line.view, deque()).append(line)
        self._number(line)
        return [Sending(line.number, line.room, line.text, line.kind, line.to, line.person)]

    def depart(
        self, view: str, origin: int, to: int | None = None, tag: Tag = None, again: bool = False
    ) -> None:
        """Leave a room after the lines that are there; see Departure.  ``again``: before them,
        since its turn has been."""
        queue = self._queues.setdefault(view, deque())
        if again and queue:
            queue.appendleft(Departure(view, queue[0].order, origin, to, tag))
        else:
            queue.append(Departure(view, self._next_order(), origin, to, tag))

    def departures(self, view: str, origin: int) -> list[Departure]:
        """Those of one entrance."""
        waiting = self._queues.get(view, ())
        return [each for each in waiting if isinstance(each, Departure) and each.origin == origin]

    def heads(self) -> list[Line | Departure]:
        """What may be next of each view, in the order in which it was typed."""
        return sorted((queue[0] for queue in self._queues.values()), key=lambda head: head.order)

    def has_gone(self, departure: Departure, at: int | None) -> bool:
        """Whether all that was typed before ``departure`` is answered, as far as it needs the room
        ``at``; lines to one member may."""
        if any(line.at == at or line.target is not None for line in self.in_flight.values()):
            return False
        lines = (line for line in self._lines() if line.target is not None)
        return not any(line.order < departure.order for line in lines)

    def may_go(self, line: Line, at: int, change: int) -> bool:
        """Whether ``line`` may be sealed now for the room ``at``, whose membership is that of
        ``change``.

        What is under way there was all sealed for one membership, and what is under way to one
        member goes through one room.  If it is refused as stale, nothing that was said later has
        passed it by.
        """
        flying = self.in_flight.values()
        return not (
            len(self.in_flight) >= MAX_IN_FLIGHT
            or any(other.at == at and other.change != change for other in flying)
            or any(other.view == line.view and other.at != at for other in flying)
            or max(line.not_before, self.pacing.ready_at(len(self.in_flight))) > self._clock()
        )

    def take(self, head: Line | Departure) -> None:
        """``head``, which is one of those, waits no longer."""
        queue = self._queues[head.view]
        queue.popleft()
        if not queue:
            del self._queues[head.view]

    def send(self, line: Line, at: int, sealed: SealedPost) -> None:
        """``line`` goes out as it was sealed."""
        line.seal(self._next_ref(), at, sealed)
        if line.target is not None:
            self.ways.pop(line.view, None)
            self.ways[line.view] = at
            if len(self.ways) > MOST_WAYS:
                del self.ways[next(iter(self.ways))]
        self.in_flight[line.ref] = line
        self.outgoing.extend(line.encoded)

    def ask(self, make: Callable[[int], frames.Request], tag: Tag = None) -> int:
        """Ask the server for something; the ``ref`` under which it will answer."""
        ref = self.prepare(make, tag)
        self.outgoing.append(self.requests[ref].encode())
        return ref

    def prepare(self, make: Callable[[int], frames.Request], tag: Tag = None) -> int:
        """As ``ask``, for when there is no connection: if the session goes on."""
        ref = self._next_ref()
        self.requests[ref] = make(ref)
        if tag is not None:
            self.tags[ref] = tag
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

    def _next_order(self) -> int:
        self._orders += 1
        return self._orders

    def _number(self, line: Line) -> None:
        if line.number == 0:
            self._numbers += 1
            line.number = self._numbers

    # From the server to a person

    def answer(self, ref: int | None) -> tuple[frames.Request | None, Tag]:
        """A request has been answered: what it was, and its tag; None if it is none."""
        return self.requests.pop(ref or 0, None), self.tags.pop(ref or 0, None)

    def accepted(self, accepted: frames.Accepted, seen: float) -> list[Event]:
        """A line in flight has been accepted; of its room's log, ``seen`` has come."""
        line = self.in_flight.pop(accepted.ref)
        self.pacing.taken()
        if line.target is None:
            line.seq = accepted.seq
        if line.seq is not None and line.seq <= seen:
            # Fallen behind meanwhile, past its place in the log: nothing more will come of it.
            return self._shown(line)
        self.answered[line.ref] = line
        return self._conclude_next(line.at)

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
        return self._conclude_next(line.at)

    def _put_back(self, line: Line) -> None:
        """``line`` has to be sealed again: it waits where it did before."""
        line.encoded = ()  # the server has refused that
        queue = self._queues.setdefault(line.view, deque())
        queue.insert(sum(other.order < line.order for other in queue), line)

    def drop(self) -> list[Event]:
        """Hand back the lines that the limit keeps back; they can be sent again."""
        if not self.kept_back()[0]:
            return []
        return self._all_back(self._take_queued(lambda line: True), "dropped")

    def placed(self, own: frames.OwnPosted, at: int) -> tuple[Line | None, list[Event]]:
        """The line that the log of the room ``at`` has there; None if it is shown already, since
        the answer came before a new stay.  Raises Unexpected for one that is not in that log."""
        line = self.in_flight.get(own.ref) or self.answered.get(own.ref)
        if line is None:
            return None, []
        if not line.is_public or line.at != at:
            raise Unexpected()
        if self.in_flight.pop(own.ref, None) is not None:
            self.pacing.taken()
        self.answered.pop(own.ref, None)
        line.seq = own.seq
        return line, [*self._shown(line), *self._conclude_next(at)]

    def _conclude_next(self, at: int) -> list[Event]:
        """What was answered outside the log of a room, and waited only for lines before it."""
        found: list[Event] = []
        for line in [line for line in self.answered.values() if line.at == at]:
            if line.is_public:
                break
            found += self._concluded(self.answered.pop(line.ref))
        return found

    def settle(self, at: int) -> list[Event]:
        """There is another stay in a room, or none any more: what was accepted is shown."""
        lines = [line for line in self.answered.values() if line.at == at]
        return [event for line in lines for event in self._concluded(self.answered.pop(line.ref))]

    def empty_view(self, view: str, reason: str) -> list[Event]:
        """Hand back what waits in a view."""
        return self._all_back(self._take_queued(lambda line: line.view == view), reason)

    def cancel(self, departures: Iterable[Departure]) -> None:
        """Take these away."""
        for each in departures:
            self._queues[each.view].remove(each)
            if not self._queues[each.view]:
                del self._queues[each.view]

    def begin_anew(self) -> list[Event]:
        """Another session: what the old one has accepted is shown, what it has not acknowledged is
        handed back, and so is what waits for one member."""
        shown = [event for line in self.answered.values() for event in self._concluded(line)]
        self.answered.clear()
        lines = [*self.in_flight.values(), *self._take_queued(lambda line: line.target is not None)]
        self.in_flight.clear()
        found = [*shown, *self._all_back(lines, "disconnected")]
        for ref, request in self.requests.items():
            # What room one is in shows by what is entered.
            if not isinstance(request, (frames.Enter, frames.Leave)):
                found.append(refusals.error("disconnected", self.tags.get(ref)))
        self.requests.clear()
        self.tags.clear()
        return found

    def give_up(self, reason: str) -> tuple[int, list[Event]]:
        """It is the end: hand back all that was not seen in its place; how many lines that were.

        There is no more to come of the log, so what waited only for that waits no longer.
        """
        found: list[Event] = []
        for line in list(self.answered.values()):
            if not line.is_public:
                found += self._concluded(self.answered.pop(line.ref))
        lines = [*self._queued_lines(), *self.in_flight.values(), *self.answered.values()]
        self.answered.clear()
        self.in_flight.clear()
        self._queues.clear()
        return len(lines), found + self._all_back(lines, reason)

    def _lines(self) -> Iterator[Line]:
        """All that are queued, in no order."""
        for queue in self._queues.values():
            yield from (entry for entry in queue if isinstance(entry, Line))

    def _queued_lines(self) -> list[Line]:
        return sorted(self._lines(), key=lambda line: line.order)

    def _take_queued(self, is_wanted: Callable[[Line], bool]) -> list[Line]:
        """The queued lines that are; they wait no longer."""
        found = [line for line in self._queued_lines() if is_wanted(line)]
        gone = {id(line) for line in found}
        left = {
            view: deque(entry for entry in queue if id(entry) not in gone)
            for view, queue in self._queues.items()
        }
        self._queues = {view: queue for view, queue in left.items() if queue}
        return found

    def _all_back(self, lines: Iterable[Line], reason: str) -> list[Event]:
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
            line.kind, line.to, line.tag, line.bot, line.person,
        )  # fmt: skip
        return [Settled(line.number), message]

    # Handed back

    def hand_back(self, line: Line, reason: str) -> list[Event]:
        """``line`` is not sent, which is told; it can be sent again."""
        self.refused += 1
        self._number(line)
        self._handed_back.append(line)
        not_sent = NotSent(line.room, line.text, reason, line.tag, line.to, line.person)
        return [Settled(line.number), not_sent]

    def take_back(self, view: str, most: int) -> list[Line]:
        """So many of the lines that were handed back, and belong to a view or were typed there, as
        when they were typed; the oldest first."""
        here = [line for line in self._handed_back if view in (line.view, line.typed)]
        for line in here[:most]:
            self._handed_back.remove(line)
        return [
            Line(back.room, back.text, back.kind, to=back.to, tag=back.tag, target=back.target,
                 secret=back.secret, view=back.view, typed=back.typed, number=back.number,
                 bot=back.bot)
            for back in here[:most]
        ]  # fmt: skip

    def forget(self) -> None:
        """Nothing that was handed back can be sent again."""
        self._handed_back.clear()
