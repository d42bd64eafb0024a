"""A network under a test's control, people on it, and what all of them must come out with.

A ``Network`` relays TCP between clients and a real server.  Each client has a ``Road`` of its own,
whose connections can be cut, reset, frozen, delayed, throttled, split and merged at any byte.
A ``Schedule`` says what people type and what happens to their roads: it is a function of a number
and of nothing else.  ``play`` runs schedules with real clients, and ``check`` compares what each
of them was shown with the logs of the rooms, which ``Tap`` copies as the server writes them.

    python -m tests.faults SEED [COUNT]

runs the schedules from SEED on and prints their figures.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
import json
import random
import selectors
import socket
import struct
import sys
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple, Protocol, TypeVar
from unittest import mock

from client import events, messages
from client.connection import backoff, circuit_breakers, handshake
from client.connection.connection import ClientConnection
from client.encryption import roster
from client.encryption.posts import SealedPost
from client.entrance import Place
from client.local_user import LocalUser
from client.open_room import OpenRoom
from client.outbox import Line
from client.session import ClientSession
from protocol import frames, limits, pake
from protocol.invite import InviteLink
from protocol.keys import Identity, RecipientKeys, to_text
from protocol.link import Credentials
from server import throttle
from server.app import ChatServer
from server.member import Member
from server.rooms import Room
from tests.conftest import IdentityPool, identity_pool, server_settings
from tests.wire import LONG, MOST, PASSWORD, Wire
from transport.client_websocket import connect
from transport.stream import Stream
from transport.websocket import WebSocket

PEOPLE = 8
# Everybody roams between the first two, stays in the third, and is in the last one at times.
ROOM, OTHER_ROOM, SIDE_ROOM, LAST_ROOM = "hall", "porch", "yard", "loft"

# The network

_HELD = 256 * 1024  # bytes of one direction that wait inside the network, or
_HELD_NARROW = 8 * 1024  # so that who writes finds that nobody reads
_PIECE_GAP = 0.0005  # seconds between pieces, so that they do not arrive as one


@dataclass(frozen=True)
class Fault:
    """What happens once ``after`` bytes of one direction of a connection have passed.

    cut, reset     the connection ends, with FIN or with RST
    away           it ends, and for ``seconds`` so does every other one that is tried
    freeze         nothing passes on the road, in any connection, for ``seconds``
    delay          nothing passes in this direction for ``seconds``
    throttle       the next ``size`` bytes take ``seconds``
    split          the next ``size`` bytes pass in pieces of ``piece`` bytes
    merge          the next ``size`` bytes pass at once, or what there is after ``seconds``
    """

    kind: str
    up: bool = False  # from client to server
    after: int = 0
    seconds: float = 0.0
    size: int = 0
    piece: int = 0


class _Lane:
    """One direction of one connection."""

    def __init__(
        self, up: bool, source: socket.socket, target: socket.socket, lag: float
    ) -> None:
        self.up, self.source, self.target, self.lag = up, source, target, lag
        self.held = bytearray()
        self.passed = 0
        self.under_way: deque[tuple[float, int]] = deque()  # until when, and up to which byte
        self.arrived_to = 0
        self.faults: list[tuple[int, int, Fault]] = []  # a heap: at which byte, which came first
        self.quiet_until = 0.0
        self.shaped: Fault | None = None  # throttle, split or merge
        self.shaped_left = 0
        self.gather_until = 0.0
        self.ended = self.done = False  # the source's end was read, was passed on
        self.blocked = False  # the target takes no more at the moment

    def add(self, data: bytes) -> None:
        """It has come from the source, and will be under way for as long as everything."""
        self.held += data
        if self.lag and data:
            self.under_way.append((time.monotonic() + self.lag, self.passed + len(self.held)))

    def arrived(self, now: float) -> int:
        """How many of the held bytes may pass on."""
        while self.under_way and self.under_way[0][0] <= now:
            self.arrived_to = self.under_way.popleft()[1]
        return self.arrived_to - self.passed if self.lag else len(self.held)


Lanes = tuple[_Lane, _Lane]  # up and down


class Road:
    """One client's way to the server; ``port`` is where it connects to."""

    def __init__(self, network: Network, target: int) -> None:
        self._network, self._target = network, target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.connections: list[Lanes] = []
        self.coming: list[Fault] = []  # for the next connection, from its first byte on
        self.frozen_until = self.away_until = 0.0
        self.lag = 0.0  # seconds that everything takes, in each direction of coming connections

    def arm(self, fault: Fault, coming: bool = False) -> None:
        """``fault`` is to happen to the connection of now, or to the ``coming`` one."""
        self._network.order(functools.partial(self._arm, fault, coming))

    def arm_all(self, fault: Fault) -> None:
        """As ``arm``, for all connections of now."""
        self._network.order(functools.partial(self._arm_all, fault))

    def freeze(self) -> None:
        """Nothing passes until ``thaw``."""
        self._network.order(functools.partial(self._set_frozen, float("inf")))

    def thaw(self) -> None:
        """What was held goes on."""
        self._network.order(functools.partial(self._set_frozen, 0.0))

    def close(self) -> None:
        """End all connections, and those that are tried from now on, until ``heal``."""
        self._network.order(functools.partial(self._close, float("inf")))

    def heal(self) -> None:
        """No more faults; what was held goes on."""
        self._network.order(self._heal)

    def turn(self, port: int) -> None:
        """Whatever connects from now on comes out at ``port``."""
        self._network.order(functools.partial(setattr, self, "_target", port))

    # In the network's thread

    def _arm(self, fault: Fault, coming: bool) -> None:
        if coming or not self.connections:
            self.coming.append(fault)
            return
        lane = self.connections[-1][0 if fault.up else 1]
        self._network.add_fault(lane, lane.passed + fault.after, fault)

    def _arm_all(self, fault: Fault) -> None:
        for pair in self.connections:
            lane = pair[0 if fault.up else 1]
            self._network.add_fault(lane, lane.passed + fault.after, fault)

    def _set_frozen(self, until: float) -> None:
        self.frozen_until = until

    def _close(self, until: float) -> None:
        self.away_until = until
        for pair in list(self.connections):
            self._network.end(self, pair)

    def _heal(self) -> None:
        self.frozen_until = self.away_until = 0.0
        self.coming.clear()
        for pair in self.connections:
            for lane in pair:
                lane.faults.clear()
                lane.quiet_until, lane.shaped = 0.0, None

    def accept(self) -> Lanes | None:
        """The connection that is tried, or None if there is to be none."""
        near = self.listener.accept()[0]
        far = socket.socket()
        try:
            if time.monotonic() < self.away_until:
                raise ConnectionRefusedError
            if self._network.narrow:
                far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            far.connect(("127.0.0.1", self._target))
        except OSError:
            near.close()
            far.close()
            return None
        for sock in (near, far):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = (_Lane(True, near, far, self.lag), _Lane(False, far, near, self.lag))
        for fault in self.coming:
            self._network.add_fault(pair[0 if fault.up else 1], fault.after, fault)
        self.coming.clear()
        self.connections.append(pair)
        return pair


RoadType = TypeVar("RoadType", bound=Road)


class Network:
    """All roads, and the one thread that moves bytes along them."""

    def __init__(self, narrow: bool = False) -> None:
        self.narrow = narrow
        self.happened: Counter[str] = Counter()  # faults by kind; its thread's, until that ends
        self._wake, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._lock = threading.Lock()  # leaf; guards the orders
        self._orders: list[Callable[[], None]] = []
        self._roads: list[Road] = []
        self._numbers = count()
        self._over = False
        self._thread = threading.Thread(target=self._run, name="network")

    def __enter__(self) -> Network:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.order(self._end_all)
        self._thread.join()
        self._selector.close()
        self._wake.close()
        self._woken.close()

    def road(self, port: int) -> Road:
        """Another client's way to the server at ``port``."""
        return self.add(Road(self, port))

    def add(self, road: RoadType) -> RoadType:
        """A road that was made for this network."""
        self.order(functools.partial(self._open, road))
        return road

    def order(self, what: Callable[[], None]) -> None:
        """Have the network's thread do this.  Returns at once."""
        with self._lock:
            self._orders.append(what)
        self._wake.send(b"\0")

    def obeyed(self) -> Counter[str]:
        """What has happened, once all orders up to now were obeyed."""
        done = threading.Event()
        self.order(done.set)
        assert done.wait(LONG)
        return Counter(self.happened)

    # In its thread

    def add_fault(self, lane: _Lane, at: int, fault: Fault) -> None:
        heapq.heappush(lane.faults, (at, next(self._numbers), fault))

    def end(self, road: Road, pair: Lanes, reset: bool = False) -> None:
        """The end of a connection, as both of its ends see it."""
        road.connections.remove(pair)
        for sock in (pair[0].source, pair[1].source):
            with contextlib.suppress(KeyError):
                self._selector.unregister(sock)
            with contextlib.suppress(OSError):
                if reset:
                    linger = struct.pack("ii", 1, 0)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                else:
                    while sock.recv(65536):  # closing on what was not read would be a reset
                        pass
            sock.close()

    def _open(self, road: Road) -> None:
        self._roads.append(road)
        self._selector.register(road.listener, selectors.EVENT_READ, road)

    def _end_all(self) -> None:
        self._over = True
        for road in self._roads:
            for pair in list(road.connections):
                self.end(road, pair)
            self._selector.unregister(road.listener)
            road.listener.close()

    def _run(self) -> None:
        while not self._over:
            now = time.monotonic()
            nearest = float("inf")
            for road in self._roads:
                for pair in list(road.connections):
                    if pair in road.connections:  # and did not end with another one
                        nearest = min(nearest, self._look_at(road, pair, now))
            wait = None if nearest == float("inf") else max(0.0, nearest - time.monotonic())
            for key, mask in self._selector.select(wait):
                if key.fileobj is self._woken:
                    self._obey()
                elif isinstance(key.data, Road):
                    key.data.accept()
                else:
                    self._take(key.data, key.fileobj, mask)

    def _obey(self) -> None:
        self._woken.recv(4096)
        with self._lock:
            orders, self._orders = self._orders, []
        for order in orders:
            order()

    def _take(self, pair: Lanes, sock: Any, mask: int) -> None:
        for lane in pair:
            if lane.source is sock and mask & selectors.EVENT_READ:
                try:
                    data = sock.recv(65536)
                except OSError:
                    data = b""
                lane.add(data)
                lane.ended = lane.ended or not data
            elif lane.target is sock and mask & selectors.EVENT_WRITE:
                lane.blocked = False

    def _look_at(self, road: Road, pair: Lanes, now: float) -> float:
        """Move what can be moved; when to look again at the latest."""
        nearest = float("inf")
        for lane in pair:
            nearest = min(nearest, self._move(road, pair, lane, now))
            if pair not in road.connections:
                return nearest
        if all(lane.done for lane in pair):
            self.end(road, pair)
            return nearest
        for lane, other in (pair, pair[::-1]):
            wanted = 0
            if not lane.ended and len(lane.held) < (_HELD_NARROW if self.narrow else _HELD):
                wanted |= selectors.EVENT_READ
            if other.blocked:
                wanted |= selectors.EVENT_WRITE
            self._want(lane.source, wanted, pair)
        return nearest

    def _want(self, sock: socket.socket, mask: int, pair: Lanes) -> None:
        known = self._selector.get_map().get(sock)
        if known is None and mask:
            self._selector.register(sock, mask, pair)
        elif known is not None and not mask:
            self._selector.unregister(sock)
        elif known is not None and known.events != mask:
            self._selector.modify(sock, mask, pair)

    def _move(
        self, road: Road, pair: Lanes, lane: _Lane, now: float
    ) -> float:
        while True:
            until = max(lane.quiet_until, road.frozen_until)
            if now < until:
                return until
            if lane.faults and lane.passed >= lane.faults[0][0]:
                self._happen(road, pair, lane, heapq.heappop(lane.faults)[2], now)
                if pair not in road.connections:
                    return float("inf")
                continue
            if not lane.held:
                self._pass_end_on(lane)
                return float("inf")
            if lane.blocked:
                return float("inf")
            if not lane.arrived(now):
                return lane.under_way[0][0]
            if lane.shaped is not None and lane.shaped.kind == "merge":
                gathered = len(lane.held) >= lane.shaped.size or lane.ended
                if not gathered and now < lane.gather_until:
                    return lane.gather_until
                lane.shaped = None
            if not self._send(lane, now):
                self.end(road, pair)
                return float("inf")

    def _send(self, lane: _Lane, now: float) -> bool:
        """Pass on what may go together; False if nobody takes it any more."""
        most = lane.arrived(now)
        if lane.faults:
            most = min(most, lane.faults[0][0] - lane.passed)
        shaped = lane.shaped
        if shaped is not None:
            most = min(most, shaped.piece, lane.shaped_left)
        try:
            sent = lane.target.send(lane.held[:most])
        except BlockingIOError:
            lane.blocked = True
            return True
        except OSError:
            return False
        del lane.held[:sent]
        lane.passed += sent
        if shaped is not None:
            lane.shaped_left -= sent
            if lane.shaped_left <= 0:
                lane.shaped = None
            if shaped.kind == "throttle":
                lane.quiet_until = now + shaped.seconds * sent / shaped.size
            else:
                lane.quiet_until = now + _PIECE_GAP
        return True

    @staticmethod
    def _pass_end_on(lane: _Lane) -> None:
        if lane.ended and not lane.done:
            lane.done = True
            with contextlib.suppress(OSError):
                lane.target.shutdown(socket.SHUT_WR)

    def _happen(
        self, road: Road, pair: Lanes, lane: _Lane, fault: Fault, now: float
    ) -> None:
        self.happened[fault.kind] += 1
        if fault.kind in ("cut", "reset"):
            self.end(road, pair, reset=fault.kind == "reset")
        elif fault.kind == "away":
            road._close(now + fault.seconds)
        elif fault.kind == "freeze":
            road.frozen_until = max(road.frozen_until, now + fault.seconds)
        elif fault.kind == "delay":
            lane.quiet_until = max(lane.quiet_until, now + fault.seconds)
        else:
            lane.shaped, lane.shaped_left = fault, fault.size
            lane.gather_until = now + fault.seconds


# Schedules


@dataclass(frozen=True)
class Step:
    """One thing that happens; people are numbered.

    say, aside (to the room beside), whisper (to ``other``), rename, go (to the other room), visit
    (come into the last room, or leave it), fault (``coming``: for the next connection), await
    (``who`` has an answer to everything), crowd (``size`` strangers come into the room of ``who``
    and go again, ``other`` of them at once)
    """

    what: str
    who: int
    other: int = 0
    size: int = 0  # of the line
    fault: Fault | None = None
    coming: bool = False


@dataclass(frozen=True)
class Mood:
    """What a schedule is like.  ``grace`` None: longer than any fault lasts."""

    name: str
    grace: float | None
    narrow: bool = False  # a short log, and posts may not be far behind
    longest: float = 0.3  # seconds that a fault may last


MOODS = (
    Mood("patient", None),
    Mood("hasty", 0.8, longest=2.4),
    Mood("patient", None),
    Mood("narrow", None, narrow=True, longest=0.5),
)
_KINDS = ("cut", "cut", "reset", "away", "freeze", "delay", "throttle", "split", "merge")
_WHAT = (
    ("say",) * 8 + ("aside",) * 5 + ("fault",) * 8 + ("await",) * 5 + ("whisper",) * 3
    + ("rename", "go", "visit", "visit", "crowd", "crowd")
)  # fmt: skip


@dataclass(frozen=True)
class Schedule:
    """What happens, in order; the same for the same ``seed``."""

    seed: int
    mood: Mood
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, seed: int, length: int = 60) -> Schedule:
        """The schedule of this number, with ``length`` steps."""
        chance = random.Random(seed)
        mood = MOODS[seed % len(MOODS)]
        steps = []
        long_ones = 2  # so many faults may outlast everybody's patience
        for _ in range(length):
            what, who = chance.choice(_WHAT), chance.randrange(PEOPLE)
            if what == "fault":
                long = long_ones > 0 and mood.grace is not None and chance.random() < 0.4
                fault = _fault(chance, mood, long)
                if long:
                    long_ones -= 1
                steps.append(Step(what, who, fault=fault, coming=chance.random() < 0.3))
                # Something to be broken while it is on its way.
                broken = chance.choice(("say", "aside"))
                steps.append(Step(broken, who if fault.up else (who + 1) % PEOPLE, size=8))
            elif what == "crowd":
                steps.append(Step(what, who, chance.randrange(1, 4), chance.choice((2, 8, 20))))
            elif what in ("say", "aside"):
                size = chance.choice((3000, 6000) if mood.narrow else (0, 0, 20, 300, 3000))
                steps += [Step(what, who, size=size)] * chance.choice((1, 1, 2, 5))
            else:
                other = (who + chance.randrange(1, PEOPLE)) % PEOPLE
                steps.append(Step(what, who, other))
        return cls(seed, mood, tuple(steps))


def _fault(chance: random.Random, mood: Mood, long: bool) -> Fault:
    kind = chance.choice(("away", "freeze") if long else _KINDS)
    up = chance.random() < 0.5
    # The handshake and the roster, one record, or some of them.
    after = chance.choice((0, chance.randrange(600), chance.randrange(2000),
                           chance.randrange(8000)))  # fmt: skip
    seconds = chance.uniform(mood.longest / 2, mood.longest) if long else chance.uniform(0.02, 0.3)
    size = chance.choice((40, 400, 4000))
    piece = {"split": max(1, size // 50), "throttle": max(1, size // 10)}.get(kind, 0)
    return Fault(kind, up, after, seconds, size, piece)


# What the server and the clients really do


class Record(NamedTuple):
    """An event, and where the client was in its room when it showed it."""

    event: events.Event
    log: bytes | None
    me: int
    seq: int


class Whisper(NamedTuple):
    """A private post that the server has taken."""

    log: bytes
    target: int
    sender: int
    sig: str
    seq: int  # of the log's last entry


class Tap:
    """Copies of all logs as they are written, and which text is in which box."""

    def __init__(self) -> None:
        self._logs: dict[bytes, list[bytes]] = defaultdict(list)  # key: log id
        self._whispers: dict[bytes, list[Whisper]] = defaultdict(list)
        self.texts: dict[str, str] = {}  # key: signature of the box

    def log(self, log_id: bytes) -> list[dict[str, Any]]:
        """All entries that a log ever had."""
        return [json.loads(entry) for entry in self._logs[log_id]]

    def whispers(self, log_id: bytes) -> list[Whisper]:
        """What was said privately among the members of a log."""
        return self._whispers[log_id]

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """While this lasts, every room of every server of this process is copied."""
        append, enqueue, seal = Room._append_locked, Room._enqueue_locked, Line.seal

        def append_locked(room: Room[Any], encoded: bytes, *rest: Any) -> None:
            self._logs[room.log_id].append(encoded)
            append(room, encoded, *rest)

        def enqueue_locked(
            room: Room[Any], target: Member[Any], kind: bytes, rest: bytes, sender: int = 0
        ) -> None:
            enqueue(room, target, kind, rest, sender)
            if sender:
                sig = json.loads(b'{"number":0' + rest)["box"]["sig"]
                self._whispers[room.log_id].append(
                    Whisper(room.log_id, target.id, sender, sig, room._seq)
                )

        def seal_line(line: Line, ref: int, at: int, sealed: SealedPost) -> None:
            self.texts[to_text(sealed.box.sig)] = line.text
            seal(line, ref, at, sealed)

        with (
            mock.patch.object(Room, "_append_locked", append_locked),
            mock.patch.object(Room, "_enqueue_locked", enqueue_locked),
            mock.patch.object(Line, "seal", seal_line),
        ):
            yield


@contextlib.contextmanager
def world(prs: bytes, narrow: bool = False) -> Iterator[Tap]:
    """Servers and clients of this process are quick to try again, and everything is recorded.

    ``prs`` is what proves every server's password.  Handshakes that are cut look like guesses of
    it, of which there is no talk here.
    """
    tap = Tap()
    plenty = throttle.Rates(throttle.Rate(1e9, 1e9), throttle.Rate(1e9, 1e9))
    with contextlib.ExitStack() as stack:
        patches: list[tuple[Any, str, object]] = [
            (pake, "password_prs", lambda _: prs),
            (backoff, "FIRST_DELAY", 0.06),
            (backoff, "LONGEST_DELAY", 0.2),
            (backoff, "ENTRIES", 1_000_000),
            (circuit_breakers, "MOST_GUESSES", 1_000_000),
            (throttle, "GUESSES", plenty),
            (throttle, "HANDSHAKES", plenty),
        ]
        if narrow:
            patches += [
                (limits, "LOG_ENTRIES", 12),
                (limits, "CHANGES_BEHIND", 2),
                (roster, "CHANGES_BEHIND", 2),
            ]
        for owner, name, value in patches:
            stack.enter_context(mock.patch.object(owner, name, value))
        stack.enter_context(tap.listening())
        yield tap


# People


class Person:
    """One client, whose events are collected, at the end of a road."""

    def __init__(
        self,
        group: Group,
        number: int,
        pool: IdentityPool,
        prs: bytes,
        beside: Sequence[str] = (),
    ) -> None:
        self.group, self.number, self.nick = group, number, f"p{number}"
        self.road = group.road(number)
        self.typed: list[str] = []
        self.records: list[Record] = []
        self.ended = ""
        self.news: list[str] = []  # what the connection told
        identity = pool[number]
        address = InviteLink("127.0.0.1", group.port, tls=False, fingerprint=None)
        self.session = ClientSession(
            identity, address, self.nick, ROOM, self._take, self._send, others=beside
        )
        self.user = LocalUser(self.session)
        self.connection = ClientConnection(
            self._dial, identity, lambda: Credentials(prs), self.session, self._take, self._tell,
            make_keys=lambda: pool.keys,
        )  # fmt: skip

    def say(self, size: int = 0, room: str | None = None) -> str:
        """A line that nobody else says, ``size`` characters or a little longer; in the room that is
        shown, or in ``room``."""
        text = f"{self.nick} {len(self.typed)} ".ljust(size, ".")
        self.typed.append(text)
        self.user.say(text, room=room)
        return text

    def whisper(self, other: Person) -> str:
        """The same to one other, by the nickname that it has at the moment."""
        text = f"{self.nick} {len(self.typed)} "
        self.typed.append(text)
        self.user.private(other.session.nick, text)
        return text

    def move(self, room: str) -> None:
        """Go to another room, from the one that roams."""
        self.user.go(room, None)

    def visit(self, room: str) -> None:
        """Open a room beside the others; or leave it, if it is open."""
        shown = self.user.shown
        if self.session.rooms.find(room) is None:
            self.user.join(room, None)
            self.user.show(shown)
        else:
            self.user.leave(room)

    def all(self, kind: type[events.Event]) -> list[Any]:
        """The events of a kind."""
        return [record.event for record in self.records if isinstance(record.event, kind)]

    def heard(self, text: str) -> bool:
        """Whether it was shown this line, one's own or another's."""
        return any(message.text == text for message in self.all(events.Message))

    def back(self, text: str) -> bool:
        """Whether it was handed this line back."""
        return any(line.text == text for line in self.all(events.NotSent))

    def _dial(self, opened: Callable[[Stream], None]) -> WebSocket:
        return connect(
            "127.0.0.1",
            self.road.port,
            timeout=handshake.ATTEMPT_SECONDS,
            max_message_size=MOST,
            opened=opened,
        )

    def _take(self, event: events.Event) -> None:
        here = self.stay(getattr(event, "room", None) or "")
        place = (None, 0, 0) if here is None else (here.log, here.id, here.seq)
        with self.group.changed:
            self.records.append(Record(event, *place))
            self.group.changed.notify_all()

    def waits(self) -> str:
        """What it waits for, for a report."""
        outbox, rooms = self.session.outbox, self.session.rooms
        queued = [str(entry)[:80] for entry in outbox.queued]
        places = [
            (each.name, each.place.name, each.is_departing, each.stay and each.stay.at)
            for each in rooms
        ]
        return (
            f"queued {queued}, in flight {[*outbox.in_flight]}, answered {[*outbox.answered]}, "
            f"asked {[str(each) for each in outbox.requests.values()]}, rooms {places}"
        )

    def stay(self, room: str) -> OpenRoom | None:
        """Where it is in ``room``, or was last."""
        found = [each for each in self.session.rooms if each.stay and each.is_called(room)]
        found.sort(key=lambda each: each.place is not Place.HERE)
        return found[0].stay if found else None

    def _send(self) -> None:
        """Also after each frame, of which not all make an event."""
        self.connection.send()
        with self.group.changed:
            self.group.changed.notify_all()

    def _tell(self, news: str) -> None:
        with self.group.changed:
            self.news.append(news)
            self.ended = news if news == "ended" else ""
            self.group.changed.notify_all()


GroupType = TypeVar("GroupType", bound="Group")


class Group:
    """People in one room of one server, each on a road of its own."""

    def __init__(
        self,
        network: Network,
        port: int,
        pool: IdentityPool,
        prs: bytes,
        size: int = PEOPLE,
        name: str = "",
        lag: float = 0.0,
        beside: Sequence[str] = (),
    ) -> None:
        self.network, self.port, self.name, self.beside = network, port, name, beside
        self._pool, self._prs = pool, prs
        self._crowds: list[threading.Thread] = []
        self._strangers = count(1)
        self._unwell: list[BaseException] = []  # of those threads
        self.came = 0  # strangers that were in
        self.changed = threading.Condition()  # guards everybody's records; a leaf
        self.people = [Person(self, number, pool, prs, beside) for number in range(size)]
        for person in self.people:
            person.road.lag = lag

    def road(self, number: int) -> Road:
        """The way of the person with this number."""
        return self.network.road(self.port)

    def __enter__(self: GroupType) -> GroupType:
        for person in self.people:
            person.connection.start()
        nicks = {person.nick for person in self.people}
        try:
            for room in (ROOM, *self.beside):
                self.wait(lambda: all(nicks <= _met(each, room) for each in self.people), "meeting")  # noqa: B023
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._await_crowds()
        for person in self.people:
            person.road.heal()
        for person in self.people:
            person.connection._leaving.set()
            person.connection._reconnection.stir()
        for person in self.people:
            person.connection.leave()

    def wait(
        self, done: Callable[[], object], what: str, more: Callable[[], str] = str
    ) -> None:
        """Wait for what events will say; fails when it does not come, and says ``more`` then."""
        with self.changed:
            came = self.changed.wait_for(done, LONG)
            assert came, f"{self.name}: {what} never ends\n{more()}{self}"

    def _lacking(self, texts: Sequence[str]) -> str:
        """Who has not heard what, and what else each was shown."""
        shown = (events.Unreadable, events.Warning, events.NotSent, events.Reconnected)
        return "".join(
            f"{who.nick} lacks {[text for text in texts if not who.heard(text)]}: "
            f"{[str(e)[:120] for kind in shown for e in who.all(kind)[-2:]]}\n"
            for who in self.people
        )

    def __str__(self) -> str:
        return "\n".join(
            f"{person.nick}: {[str(record.event)[:80] for record in person.records[-4:]]}"
            f" {person.waits()}"
            for person in self.people
        )

    def answered(self, person: Person) -> None:
        """Wait until ``person`` has an answer to everything."""
        done = person.session.wait_answered(LONG)
        assert done, f"{self.name}: no answer for {person.nick}\n{self}"

    def crowd(self, room: str, size: int, at_once: int) -> None:
        """So many come and go, by no road that ever fails.  Returns at once."""
        nicks = [f"s{next(self._strangers)}" for _ in range(size)]
        coming = threading.Thread(target=self._come_and_go, args=(room, nicks, at_once))
        self._crowds.append(coming)
        coming.start()

    def _come_and_go(self, room: str, nicks: list[str], at_once: int) -> None:
        try:
            self._pass_by(room, nicks, at_once)
        except BaseException as error:
            self._unwell.append(error)
            raise

    def _pass_by(self, room: str, nicks: list[str], at_once: int) -> None:
        inside: deque[Wire] = deque()
        for nick in nicks:
            wire = Wire(self.port, Passer(self._pool.keys), self._pool.keys, prs=self._prs)
            wire.greet()
            wire.prove(nick, room)
            frame = wire.next()
            while not isinstance(frame, (frames.Entered, frames.Refused)):
                frame = wire.next()
            if isinstance(frame, frames.Refused):  # the room has changed too often
                wire.cut()
                continue
            with self.changed:
                self.came += 1
            inside.append(wire)
            if len(inside) >= at_once:
                _go(inside.popleft())
        while inside:
            _go(inside.popleft())

    def _await_crowds(self) -> None:
        """Until all strangers have gone."""
        for coming in self._crowds:
            coming.join(4 * LONG)
            assert not coming.is_alive(), f"{self.name}: strangers that never go"
        assert not self._unwell, f"{self.name}: strangers: {self._unwell}"
        self._crowds.clear()

    def settle(self, room: str = ROOM) -> None:
        """Heal everything; everybody comes to ``room``, says a last line and sees all others', and
        so in the rooms beside."""
        self._await_crowds()
        for person in self.people:
            person.road.heal()
            if person.session.rooms.find(LAST_ROOM) is not None:
                person.user.leave(LAST_ROOM)
        for where in (room, *self.beside):
            for _ in range(20):
                for person in self.people:
                    if person.session.room != where:
                        person.move(where)
                if self._last_lines(where):
                    break
            else:
                raise AssertionError(f"{self.name}: no rest\n{self}")
        for person in self.people:
            self.answered(person)

    def _last_lines(self, where: str) -> bool:
        """Whether everybody has seen everybody's; if not, somebody has come in meanwhile."""
        starts: list[int] = []

        def together() -> bool:
            starts[:] = [len(person.records) for person in self.people]
            rooms = [person.stay(where) for person in self.people]
            ids = {here.id for here in rooms if here}
            rosters = [here.members() if here else () for here in rooms]
            known = [{(line.id, line.joined) for line in lines} for lines in rosters]
            return {line.id for line in rosters[0]} == ids and all(
                each == known[0] for each in known
            )

        # Who knows nothing yet of somebody who has come back seals nothing for it.
        self.wait(together, "coming together")
        texts = [person.say(room=where) for person in self.people]

        def outcome() -> bool | None:
            met = 0
            for person, start in zip(self.people, starts, strict=True):
                since = [record.event for record in person.records[start:]]
                here = [event for event in since if getattr(event, "room", None) == where]
                if any(isinstance(event, (events.RoomEntered, events.NotSent)) for event in here):
                    return False
                met += {e.text for e in since if isinstance(e, events.Message)} >= set(texts)
            return True if met == len(self.people) else None

        self.wait(lambda: outcome() is not None, "the last line", lambda: self._lacking(texts))
        with self.changed:
            return bool(outcome())


class Passer(Identity):
    """Somebody that comes once: its signature is its own, its key pairs are all strangers'."""

    def __init__(self, keys: RecipientKeys) -> None:
        super().__init__(keys=keys)


def _go(wire: Wire) -> None:
    wire.send(frames.Bye("left"))
    wire.ended()
    wire.cut()


def _met(person: Person, room: str) -> set[str]:
    found: set[str] = set()
    for record in person.records:
        event = record.event
        if getattr(event, "room", None) != room:
            continue
        if isinstance(event, (events.Connected, events.RoomEntered)):
            found |= {member.nick for member in event.members}
        elif isinstance(event, events.MemberJoined):
            found.add(event.nick)
    return found


# Running schedules


@contextlib.contextmanager
def party(
    pool: IdentityPool,
    prs: bytes,
    size: int = PEOPLE,
    name: str = "",
    narrow: bool = False,
    lag: float = 0.0,
    beside: Sequence[str] = (),
    **settings: Any,
) -> Iterator[Group]:
    """People who know of each other, on a server of their own, within a ``world``.

    ``lag``: seconds that everything takes in each direction.
    """
    server = ChatServer(server_settings(**settings))
    if narrow:
        server._listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    server.start()
    try:
        with (
            Network(narrow) as network,
            Group(network, server.port, pool, prs, size, name, lag, beside) as all_,
        ):
            yield all_
    finally:
        server.stop()


def run(schedule: Schedule, tap: Tap, pool: IdentityPool, prs: bytes) -> Counter[str]:
    """One schedule with a server of its own; what there was.  Raises AssertionError."""
    mood = schedule.mood
    settings: dict[str, Any] = {}
    if mood.grace is not None:
        settings = {"heartbeat_interval": 0.2, "heartbeat_timeout": mood.grace}
    name = f"python -m tests.faults {schedule.seed}"
    beside = [SIDE_ROOM]
    with party(pool, prs, name=name, narrow=mood.narrow, beside=beside, **settings) as group:
        _perform(schedule, group)
        group.settle()
    found = check(group, tap, forgiving=mood.grace is not None)
    found.update(group.network.happened)
    found["strangers"] = group.came
    found["schedules"] = 1
    return found


class Said(Protocol):
    """A step of a schedule, of one server or of several."""

    @property
    def what(self) -> str: ...
    @property
    def who(self) -> int: ...
    @property
    def other(self) -> int: ...
    @property
    def size(self) -> int: ...


def perform(step: Said, group: Group, numbers: Iterator[int]) -> bool:
    """Have a person do what it does in any schedule; False if it is nothing of that.

    Each new nickname has the next of ``numbers``.
    """
    person = group.people[step.who % len(group.people)]
    if step.what == "say":
        person.say(step.size)
    elif step.what == "aside":
        person.say(step.size, SIDE_ROOM)
    elif step.what == "visit":
        person.visit(LAST_ROOM)
    elif step.what == "whisper":
        person.whisper(group.people[step.other])
    elif step.what == "rename":
        person.user.rename(f"{person.nick}-{next(numbers)}")
    elif step.what == "go":
        person.move(OTHER_ROOM if person.session.room == ROOM else ROOM)
    else:
        return False
    return True


def _perform(schedule: Schedule, group: Group) -> None:
    numbers = count(1)
    for step in schedule.steps:
        person = group.people[step.who]
        if perform(step, group, numbers):
            continue
        if step.what == "crowd":
            group.crowd(person.session.room, step.size, step.other)
        elif step.what == "fault":
            assert step.fault is not None
            person.road.arm(step.fault, step.coming)
        else:
            group.answered(person)


def play(
    seeds: Sequence[int], pool: IdentityPool, prs: bytes, at_once: int = 4, length: int = 60
) -> Counter[str]:
    """Many schedules, some at a time; the sum of what there was."""
    total: Counter[str] = Counter()
    schedules = [Schedule.of(seed, length) for seed in seeds]
    for narrow in (False, True):
        chosen = [schedule for schedule in schedules if schedule.mood.narrow == narrow]
        with world(prs, narrow) as tap, ThreadPoolExecutor(at_once) as workers:
            for found in workers.map(lambda one: run(one, tap, pool, prs), chosen):  # noqa: B023
                total.update(found)
    return total


# The check


@dataclass
class Stay:
    """One stay of one client in one log, from its coming in to the next one."""

    log: bytes
    me: int
    start: int
    told: bool  # that it has missed something, if it has
    records: list[Record] = field(default_factory=list)
    left: bool = False  # it was on purpose that it ended


def stays(person: Person) -> dict[str, list[Stay]]:
    """All stays of one client, by room."""
    found: dict[str, list[Stay]] = defaultdict(list)
    told: set[str] = set()  # rooms
    anew = False
    for record in person.records:
        event = record.event
        room = getattr(event, "room", None)
        if isinstance(event, events.Reconnected) and not event.resumed:
            anew = True
        if room is None:
            continue
        here = found[room]
        if isinstance(event, events.Missed):
            told.add(room)
        if isinstance(event, (events.Connected, events.RoomEntered)):
            assert record.log is not None
            while here and here[-1].records and here[-1].records[-1][1:] == record[1:]:
                here[-1].records.pop()  # a part of the arrival, which is told before its name
            here.append(Stay(record.log, record.me, record.seq, room in told or anew))
            told.discard(room)
        elif isinstance(event, events.RoomLeft) and here:
            here[-1].left = True
        elif here:
            here[-1].records.append(record)
    return {room: each for room, each in found.items() if each}


Item = tuple[Any, ...]


def _short(items: list[Item]) -> list[Item]:
    return [tuple(str(part)[:16] for part in item) for item in items]


def shown(stay: Stay) -> list[Item]:
    """What was shown of the log, in order."""
    found: list[Item] = []
    for record in stay.records:
        event = record.event
        if isinstance(event, events.Message) and not event.private:
            if event.mine and event.seq is not None and event.seq <= stay.start:
                pass  # taken before it fell behind, and answered only then
            elif event.mine:
                found.append(("own", event.seq, event.text))
            else:
                found.append(("message", event.seq, event.text, event.sender))
        elif isinstance(event, (events.MemberJoined, events.MemberLeft)):
            found.append((event.name, event.nick))
        elif isinstance(event, events.MemberRenamed):
            found.append(("renamed", event.old, event.nick))
    return found


def wanted(stay: Stay, log: list[dict[str, Any]], tap: Logs, until: int) -> tuple[list[Item], int]:
    """What the log says that this stay has to show, and how many of it up to number ``until``."""
    names: dict[int, str] = {}
    names_at: dict[int, dict[int, str]] = {}
    found: list[Item] = []
    needed = 0
    for entry in log:
        kind, seq = entry["type"], entry["seq"]
        item: Item | None = None
        if kind == "posted":
            text = tap.texts[entry["box"]["sig"]]
            if entry["from"] == stay.me:
                item = ("own", seq, text)
            elif entry["change"] >= stay.start:
                item = ("message", seq, text, names_at[entry["change"]][entry["from"]])
        elif kind == "joined":
            names[entry["member"]["id"]] = entry["member"]["nick"]
            item = ("joined", entry["member"]["nick"])
        elif kind == "left":
            item = ("left", names.pop(entry["id"]))
        elif kind == "renamed":
            item = ("renamed", names[entry["id"]], entry["nick"])
            names[entry["id"]] = entry["nick"]
        if kind != "posted":
            names_at[seq] = dict(names)
        if seq <= stay.start:
            continue
        if kind in ("left", "rejoined") and entry["id"] == stay.me:
            break
        if item is not None:
            found.append(item)
            needed += seq <= until
    return found, needed


def check(group: Group, tap: Tap, forgiving: bool) -> Counter[str]:
    """Compare what everybody was shown with the logs; counts of what there was.

    Nobody may have lost its place unless ``forgiving``.  Raises AssertionError.
    """
    return Check(group, tap, forgiving).done()


class Logs(Protocol):
    """What a ``Tap`` has."""

    texts: dict[str, str]

    def log(self, log_id: bytes) -> list[dict[str, Any]]:
        """All entries that a log ever had."""

    def whispers(self, log_id: bytes) -> list[Whisper]:
        """What was said privately among the members of a log."""


class Check:
    """``reasons``: why a line may be handed back."""

    reasons: tuple[str, ...] = ("disconnected", "gone", "left_room")

    def __init__(self, group: Group, tap: Logs, forgiving: bool) -> None:
        self.group, self.tap, self.forgiving = group, tap, forgiving
        self.found: Counter[str] = Counter()
        self.stays = {person.number: stays(person) for person in group.people}
        every = [stay for person in group.people for stay in self._all(person)]
        self.logs = {stay.log: tap.log(stay.log) for stay in every}
        self.accepted: Counter[str] = Counter()
        self.whispered: dict[str, Whisper] = {}
        for log_id, log in self.logs.items():
            for entry in log:
                if entry["type"] == "posted":
                    self.accepted[tap.texts[entry["box"]["sig"]]] += 1
            for whisper in tap.whispers(log_id):
                text = tap.texts[whisper.sig]
                self.accepted[text] += 1
                self.whispered[text] = whisper

    def _all(self, person: Person) -> list[Stay]:
        return [stay for each in self.stays[person.number].values() for stay in each]

    def demand(self, condition: object, person: Person, what: str) -> None:
        """Raises AssertionError with what was seen of ``person``."""
        assert condition, f"{self.group.name}: {person.nick}: {what}"[:1000]

    def done(self) -> Counter[str]:
        """Counts of what there was.  Raises AssertionError."""
        for text, number in self.accepted.items():
            assert number == 1, f"{self.group.name}: {text!r} was taken {number} times"
        for person in self.group.people:
            self._quiet(person)
            self._fates(person)
            for room in self.stays[person.number]:
                self._transcripts(person, room)
            self._whispers(person)
            self._order(person)
        self.found["accepted"] = len(self.accepted)
        return self.found

    def is_wrong(self, event: events.Event) -> bool:
        """Whether an honest server never brings this about, however bad the network is."""
        if isinstance(event, events.Warning):
            return event.code != "unproven"  # cut at that moment, as a guesser would
        if isinstance(event, events.Error):
            return event.code not in ("disconnected", "timed_out", "not_open")
        if isinstance(event, events.Notice):  # struck out
            return event.text == messages.coming_back("protocol")
        return isinstance(event, (events.Unreadable, events.Disconnected))

    def _quiet(self, person: Person) -> None:
        for event in (record.event for record in person.records):
            self.demand(not self.is_wrong(event), person, str(event))
            if isinstance(event, events.Reconnected):
                self.found["resumed" if event.resumed else "joined anew"] += 1
                # Fallen off every log, and nothing asked yet: the server takes it for a new one.
                allowed = event.resumed or self.forgiving or limits.LOG_ENTRIES < 100
                self.demand(allowed, person, "lost its place")

    def _fates(self, person: Person) -> None:
        """Each line has come out in one way."""
        own = Counter(message.text for message in person.all(events.Message) if message.mine)
        back = Counter(line.text for line in person.all(events.NotSent))
        for text in person.typed:
            what = f"{text!r} was shown {own[text]} times and handed back {back[text]} times"
            self.demand(own[text] + back[text] == 1, person, what)
            if own[text]:
                self.demand(self.accepted[text], person, f"{text!r} was never taken")
        self.found["lines"] += len(person.typed)
        for index, record in enumerate(person.records):
            event = record.event
            if not isinstance(event, events.NotSent):
                continue
            self.found["handed back"] += 1
            known = event.reason in self.reasons
            if event.reason == "stale":  # seven times, where two changes are too many
                self.found["given back as stale"] += 1
                known = limits.CHANGES_BEHIND < 10
            self.demand(known, person, str(event))
            if self.accepted[event.text]:
                self.found["handed back, yet taken"] += 1
                self.demand(self.is_unknown(event, person.records[index:]), person,
                            f"handed back without need: {event}")  # fmt: skip

    def is_unknown(self, event: events.NotSent, after: Sequence[Record]) -> bool:
        """Whether nobody could know that the line that was handed back had been taken."""
        told = next(
            (each.event for each in after
             if isinstance(each.event, (events.Reconnected, events.Reconnecting))),
            None,
        )  # fmt: skip
        lost = isinstance(told, events.Reconnected) and not told.resumed
        return event.reason == "disconnected" and lost

    def _transcripts(self, person: Person, room: str) -> None:
        mine = self.stays[person.number][room]
        seqs: dict[bytes, int] = {}
        for index, stay in enumerate(mine):
            is_last = index == len(mine) - 1 and not stay.left
            until = self._last_line(room) if is_last else 0
            want, needed = wanted(stay, self.logs[stay.log], self.tap, until)
            have = shown(stay)
            same = 0
            while same < min(len(want), len(have)) and want[same] == have[same]:
                same += 1
            # What was taken of one's own is shown when the stay ends, at the latest.
            rest = [item for item in want[same:] if item in have[same:]]
            context = (
                f"stay {index} of {len(mine)} in {room}: {_short(have[same:same + 3])} instead of "
                f"{_short(want[same:same + 3])}, after {_short(have[max(0, same - 2):same])}"
            )
            if is_last:
                self.demand(len(have) == same and same >= needed, person, context)
            else:
                own = all(item[0] == "own" for item in have[same:])
                self.demand(own and rest == have[same:], person, context)
                gap = len(want) - len(have)
                told = stay.left or mine[index + 1].told
                self.demand(gap == 0 or told, person, f"a gap in {room}: {gap}")
                self.found["missed and told"] += gap if not stay.left else 0
            for item in have:
                if item[0] in ("own", "message"):
                    self.demand(item[1] > seqs.get(stay.log, 0), person, f"order: {item}")
                    seqs[stay.log] = item[1]
        for before, after in zip(mine, mine[1:], strict=False):
            if (before.log, before.me) == (after.log, after.me):
                self.found["rejoined"] += 1

    def _last_line(self, room: str) -> int:
        """The number of the last line in a room in which all have met at the end."""
        lasts = []
        for person in self.group.people:
            own = [each for each in person.all(events.Message) if each.mine and not each.private]
            lasts += [each.seq or 0 for each in own if each.room == room][-1:]
        return max(lasts)

    def _whispers(self, person: Person) -> None:
        """What was for this one alone has come, once, unless it was told of a gap."""
        got = Counter(
            message.text for message in person.all(events.Message)
            if message.private and not message.mine
        )  # fmt: skip
        mine = self._all(person)
        for text, number in got.items():
            whisper = self.whispered[text]
            whose = any((stay.log, stay.me) == (whisper.log, whisper.target) for stay in mine)
            self.demand(whose and number == 1, person, f"{text!r} came {number} times")
        finals = [each[-1] for each in self.stays[person.number].values() if not each[-1].left]
        for text, whisper in self.whispered.items():
            for final in finals:
                if (whisper.log, whisper.target) == (final.log, final.me):
                    if whisper.seq >= final.start:
                        self.demand(got[text] == 1, person, f"{text!r} did not come")

    def _order(self, person: Person) -> None:
        """Whatever somebody else said in one room, or to one alone through it, comes in the order
        in which it was typed."""
        last: dict[tuple[str, str, bool], int] = {}
        for message in person.all(events.Message):
            if not message.mine:
                who, number = message.text.split()[:2]
                where = who, message.room, message.private
                self.demand(int(number) > last.get(where, -1), person, f"order: {message}")
                last[where] = int(number)


FIGURES = (
    "schedules", "strangers", "cut", "reset", "away", "freeze", "delay", "throttle", "split",
    "merge", "resumed", "joined anew", "rejoined", "lines", "accepted", "handed back",
    "handed back, yet taken", "given back as stale", "missed and told",
)  # fmt: skip


def figures(found: Counter[str]) -> str:
    """One line for a report."""
    counted = [f"{name} {found[name]}" for name in FIGURES]
    return ", ".join([*counted, "lost 0", "twice 0", "struck out 0"])


def main(words: Sequence[str]) -> None:
    """``SEED [COUNT]``"""
    first, number = int(words[0]), int(words[1]) if len(words) > 1 else 1
    seeds = range(first, first + number)
    print(figures(play(seeds, identity_pool(), pake.password_prs(PASSWORD))))


if __name__ == "__main__":
    main(sys.argv[1:])
