"""Those who chat: members of CMD CHAT, and users of the reference.

Both talk in the same way: a sender keeps so many posts on their way, and says the next ones when
the room's witness has got the last ones: the one who came last, and is last served.  (That they
came back to the sender itself would not do: it is served before most others.)
Everybody else only counts bytes, and opens the last record to see that all has come.

A member speaks the real link with keys of its own connection; only the key pairs that take long
to make are everybody's.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable
from itertools import cycle
from typing import Any

from bench.servers import PASSWORD, Nodes, Process
from bench.wire import Channel, Loop, frame
from client.encryption.encryption import Encryption
from protocol import frames, limits, pake
from protocol.frames import MemberLine
from protocol.keys import Identity, RecipientKeys
from protocol.link import ClientLink, Credentials

TEXT = "x" * 300
_BOXES = 64  # sealed ahead by each sender, and said again and again
_LOG = re.compile(rb'"type":"log","at":\d+,"to":(\d+)')
_KEPT = 64  # records; one of the last so many has a part of the log, the others are answers


class Secrets:
    """What all members of a run share: the proof of the password, and the slow key pairs."""

    def __init__(self) -> None:
        self.keys = RecipientKeys()
        self.credentials = Credentials(pake.password_prs(PASSWORD))


class Person(Identity):
    """An identity with a signing key of its own, and everybody's recipient keys."""

    def __init__(self, keys: RecipientKeys) -> None:
        super().__init__(keys=keys)


class Talker(Channel):
    """What members and users have in common.  ``arrivals`` keeps what comes, with its time."""

    inside = False  # may talk
    hears_itself = True  # gets what it says, as all others do
    muted = False  # does not listen, and is not waited for

    def __init__(
        self, loop: Loop, server: Process, path: str, source: str, receive_bytes: int = 0
    ) -> None:
        self.sent = 0  # posts of its own
        self.arrived = 0  # of those, how many the witness has got
        self.talking = False
        self.watched: list[tuple[Talker, bytes]] = []  # a witness's: senders, and their mark
        self.arrivals: list[tuple[float, bytes]] | None = None
        super().__init__(loop, server.port, server.tls, path, source, receive_bytes)

    def prepare(self, change: int) -> None:
        """Be ready to say something in the room as it is after ``change``."""
        raise NotImplementedError

    def say(self, count: int) -> None:
        """Send so many posts."""
        raise NotImplementedError

    def talk(self, in_flight: int) -> None:
        """Keep so many posts on their way, until ``talking`` is False again."""
        self.talking = True
        self.say(in_flight)

    def _watch(self, data: bytes) -> None:
        """Tell the senders which posts of theirs have come."""
        for sender, mark in self.watched:
            count = data.count(mark)
            sender.arrived += count
            if sender.talking and count:
                sender.say(count)

    @property
    def mark(self) -> bytes:
        """What is in each of its posts, and in no other's."""
        raise NotImplementedError

    def beat(self) -> None:
        """Say that one is there, where somebody wants to know."""

    def reached(self, goal: int) -> bool:
        """Whether it has everything up to ``goal`` (see ``Crowd.settle``)."""
        raise NotImplementedError

    def posts_in(self, payload: bytes) -> int:
        """How many posts were in what ``arrivals`` kept."""
        raise NotImplementedError


class Member(Talker):
    """A member of CMD CHAT."""

    seen_bytes = limits.SEEN_BYTES

    def __init__(
        self,
        loop: Loop,
        server: Process,
        shared: Secrets,
        nick: str,
        room: str,
        source: str,
        receive_bytes: int = 0,
    ) -> None:
        self.nick, self.room = nick, room
        self.identity = Person(shared.keys)
        self._link = ClientLink(self.identity, shared.credentials, shared.keys)
        self._step = self._greeted_us
        self.entered: frames.Entered | None = None
        self.to = 0  # the log number up to which it is known to have everything
        self.records = 0
        self._unseen = 0
        self._last: deque[bytes] = deque(maxlen=_KEPT)
        self._ref = 0
        self.witness: Member = self
        super().__init__(loop, server, "/", source, receive_bytes)

    def message(self, message: str | bytes) -> None:
        self._step(message)

    # Coming in

    def _stays(self) -> list[frames.Stay]:
        return [frames.Stay(self.room)]

    def _greeted_us(self, message: str | bytes) -> None:
        self.write(frame(self._link.receive_greeting(message)))
        self._step = self._given_key

    def _given_key(self, message: str | bytes) -> None:
        self.write(frame(self._link.receive_key(message, self.nick, self._stays())))
        self._step = self._let_in

    def _let_in(self, message: str | bytes) -> None:
        for value in self._link.open(message):
            if value["type"] == "refused":
                raise AssertionError(f"not let in: {value}")
            if value["type"] == "entered":
                self.entered = frames.Entered.from_object(value)
                self.to = self.entered.seq
                # From here on records are opened out of order, or not at all.
                opener = self._link._opener
                assert opener is not None
                self._decrypt = opener._decrypt
                self.inside = True
                self._step = self._take

    # Being here

    def _take(self, message: str | bytes) -> None:
        assert isinstance(message, bytes), message
        self.records += 1
        if self.arrivals is not None:
            self.arrivals.append((self.moment(), message))
        self._last.append(message)
        self._unseen += len(message)
        if self._unseen >= self.seen_bytes:
            self.beat()
        if self.watched:
            self._watch(self._open(message))

    def beat(self) -> None:
        """`seen`; what the witness has is near enough to what this member has."""
        self._unseen = 0
        assert self.entered is not None
        position = frames.Position(self.entered.at, self.witness.to, 0)
        self._write(frames.Seen((position,)).encode())

    def _open(self, record: bytes) -> bytes:
        """A record's plaintext; notes how far the log has come."""
        plain = self._decrypt(record)
        for wrong in (b'"type":"refused"', b'"type":"entered"', b'"type":"bye"'):
            assert wrong not in plain, plain[:500]
        found = _LOG.findall(plain)
        if found:
            self.to = max(self.to, int(found[-1]))
        return plain

    def reached(self, goal: int) -> bool:
        while self.to < goal and self._last:
            self._open(self._last.pop())
        return self.to >= goal

    @property
    def mark(self) -> bytes:
        assert self.entered is not None
        return b'"from":%d,' % self.entered.id

    def posts_in(self, payload: bytes) -> int:
        plain = self._decrypt(payload)
        return plain.count(b'"type":"posted"') + plain.count(b'"type":"own_posted"')

    # Talking

    def prepare(self, change: int) -> None:
        """Seal boxes for the room as it is after ``change``, with a real chain.

        Nobody gets the chain: to the server a wrap is one more frame, and none is due here.
        """
        assert self.entered is not None
        own = MemberLine(self.entered.id, self.nick, self.entered.seq, self.identity.bundle)
        encryption = Encryption(self.identity)
        sealing = encryption.enter(self.room, self.entered.log, own.id, [own], change)
        sealed = [sealing.seal("text", TEXT) for _ in range(_BOXES)]
        at = self.entered.at
        encoded = [frames.Post(0, at, change, each.box).encode() for each in sealed]
        assert all(each.startswith(b'{"type":"post","ref":0,') for each in encoded)
        self._boxes = cycle([each.partition(b'"ref":0')[2] for each in encoded])

    def say(self, count: int) -> None:
        """All of them at once, in as few records as a client would use."""
        self.sent += count
        posts = []
        for _ in range(count):
            self._ref += 1
            posts.append(b'{"type":"post","ref":%d%s' % (self._ref, next(self._boxes)))
        most = limits.SLICE_BYTES // len(posts[0])
        for start in range(0, count, most):
            self._write(*posts[start : start + most])

    def _write(self, *encoded: bytes) -> None:
        self.write(frame(self._link.seal(encoded)))


class User(Talker):
    """A user of the reference.  All its frames are of one size, so bytes say how many came."""

    def __init__(self, loop: Loop, server: Process, nick: str, room: str, source: str) -> None:
        self._mark = f'"nick": "{nick}"'.encode()
        text = json.dumps({"nick": nick, "text": TEXT})
        self._frame = frame(text)
        self._size = len(text) + 4  # the server's frame, which is not masked
        self._bytes = 0
        super().__init__(loop, server, f"/{room}", source)

    def opened(self) -> None:
        self.inside = True

    def feed(self, data: bytes) -> None:
        if not self.upgraded:
            data = self._rest + data
            end = self.upgrade(data)
            self._rest = b"" if end else data
            if not end:
                return
            data = data[end:]
        self._bytes += len(data)
        if self.arrivals is None and not self.watched:
            return
        data = self._rest + data
        whole = len(data) - len(data) % self._size
        self._rest = data[whole:]
        if self.arrivals is not None:
            self.arrivals.append((self.moment(), data[:whole]))
        self._watch(data[:whole])

    @property
    def mark(self) -> bytes:
        return self._mark

    def reached(self, goal: int) -> bool:
        return self._bytes >= goal * self._size

    def posts_in(self, payload: bytes) -> int:
        return len(payload) // self._size

    def prepare(self, change: int) -> None:
        """Nothing has to be sealed."""

    def say(self, count: int) -> None:
        self.sent += count
        self.write(self._frame * count)


def address(number: int) -> str:
    """An address of this machine for each of many: one alone may not have so many connections."""
    return f"127.{1 + number // 62500}.{number // 250 % 250}.{1 + number % 250}"


def newcomer(
    loop: Loop, server: Process | Nodes, shared: Secrets, number: int, room: str
) -> Talker:
    """A member, or a user of the reference, with a nickname and an address by ``number``."""
    nick, here = f"user{number:05}", server.at(number)
    if server.chat:
        return Member(loop, here, shared, nick, room, address(number))
    return User(loop, here, nick, room, address(number))


Newcomer = Callable[[Loop, Any, Secrets, int, str], Talker]  # a Process, or Nodes


class Crowd:
    """Everybody on one server: ``rooms`` of ``size`` each, and ``senders`` in each of them.

    All are inside when it has been made.  ``first`` keeps two crowds on one server apart.
    ``comes_in`` makes one of them.
    """

    def __init__(
        self,
        loop: Loop,
        server: Process | Nodes,
        shared: Secrets,
        size: int,
        senders: int,
        rooms: int = 1,
        at_once: int = 20,
        first: int = 0,
        comes_in: Newcomer = newcomer,
    ) -> None:
        self.server, self._loop = server, loop
        self.rooms: list[list[Talker]] = [[] for _ in range(rooms)]
        comers: list[Talker] = []
        for number in range(rooms * size):
            here = number % rooms
            comers.append(comes_in(loop, server, shared, first + number, f"room{first + here:05}"))
            self.rooms[here].append(comers[-1])
            if len(comers) == at_once:
                _let_in(loop, comers)
        _let_in(loop, comers)
        self.senders: list[Talker] = []
        self._posts_before: list[int] = []
        for room in self.rooms:
            self._introduce(room, senders)

    def _introduce(self, room: list[Talker], senders: int) -> None:
        """Let the senders seal for who is here, and the witness know them."""
        entered = [each.entered for each in room if isinstance(each, Member)]
        change = max((each.seq for each in entered if each is not None), default=0)
        witness = room[-1]
        for sender in room[:senders]:
            sender.prepare(change)
            witness.watched.append((sender, sender.mark))
        self.senders += room[:senders]
        for each in room:
            if isinstance(each, Member) and isinstance(witness, Member):
                each.witness = witness

    @property
    def everybody(self) -> list[Talker]:
        """All members of all rooms."""
        return [each for room in self.rooms for each in room]

    @property
    def hearers(self) -> int:
        """To how many each post is delivered."""
        room = self.rooms[0]
        return len(room) if room[0].hears_itself else len(room) - 1

    def settle(self) -> None:
        """Wait until everything that was said has come to everybody."""
        self._loop.until(lambda: all(each.arrived == each.sent for each in self.senders))
        waiting: list[tuple[Talker, int]] = []
        for room in self.rooms:
            witness = room[-1]
            # How far all have to come: in a room's log, or in the number of posts.
            said = sum(each.sent for each in room)
            goal = witness.to if isinstance(witness, Member) else said
            waiting += [(each, goal) for each in room if not each.muted]

        def arrived() -> bool:
            waiting[:] = [each for each in waiting if not each[0].reached(each[1])]
            return not waiting

        self._loop.until(arrived)

    def posts(self) -> int:
        """Posts said so far."""
        return sum(each.sent for each in self.senders)


def _let_in(loop: Loop, comers: list[Talker]) -> None:
    """Wait until they are inside, and forget them."""
    loop.until(lambda: all(each.inside for each in comers))
    comers.clear()
