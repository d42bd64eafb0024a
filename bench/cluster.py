"""Two nodes and an engine beside one process: what a delivery, a login and a killed node cost.

    python -m bench.cluster [delivery] [latency] [login] [kill] [engine]

Without a word all of them, each interleaved with one process in the same run.  Members are spread
evenly over the nodes, so each room is on both.  The load generator's own CPU is in the tables: on
two processors it takes from what it measures.
"""

from __future__ import annotations

import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

from bench import tables
from bench.load import Busy, busy, gentle, interleaved, median_ratio, percentile
from bench.login import Door, Logins
from bench.members import Crowd, Member, Secrets, address
from bench.servers import Nodes, Process, chat_server, several_nodes
from bench.wire import Loop
from protocol import frames
from tools.engine_process import kinds

SENDERS = 5
ROUNDS, SECONDS = 7, 1.5
COST_TARGETS = {200: 1.3, 50: 1.6}  # CPU of nodes and engine for a delivery, to one process's
RATE_TARGET = 1.3
LATENCY_TARGET, LOGIN_TARGET = 2.0, 1.5
KILLED, ROOM, KILL_SECONDS = 500, 50, 5.0
Both = Sequence["Nodes | Process"]  # nodes, then one process


@contextmanager
def both() -> Iterator[Both]:
    """Two nodes on the first engine that there is, and one process."""
    with several_nodes(kinds()[0]) as nodes, chat_server() as alone:
        alone.name = "one process"
        yield [nodes, alone]


# A busy room


class Shares(NamedTuple):
    """A busy round, and how much of its CPU was the engine's."""

    busy: Busy
    engine: float


def _busy(loop: Loop, crowd: Crowd, in_flight: int) -> Shares:
    server = crowd.server
    before = server.engine_cpu() if isinstance(server, Nodes) else 0.0
    found = busy(loop, crowd, in_flight, SECONDS)
    spent = server.engine_cpu() - before if isinstance(server, Nodes) else 0.0
    return Shares(found, spent)


def delivery(shared: Secrets) -> None:
    """CPU for a delivery, and deliveries a second."""
    rows: list[list[str]] = []
    for size, in_flight in ((200, 8), (50, 8), (200, 64)):
        with both() as servers:
            loop = Loop()
            crowds = [Crowd(loop, each, shared, size, SENDERS) for each in servers]
            for crowd in crowds:
                busy(loop, crowd, in_flight, 0.3)
            cases = [partial(_busy, loop, crowd, in_flight) for crowd in crowds]
            found = interleaved(ROUNDS, cases)
            loop.close()
        rows += _delivery_rows(f"room of {size}, {SENDERS} x {in_flight}", size, servers, found)
    head = ("", "server", "us/delivery", "of that engine", "ratio", "target", "deliveries/s",
            "ratio", "target", "load us/delivery", "load's share of 2 CPUs")  # fmt: skip
    tables.show("Delivery, CPU of all processes and rate", head, rows)


def _delivery_rows(
    title: str, size: int, servers: Both, found: list[list[Shares]]
) -> list[list[str]]:
    rows = []
    costs = [[each.busy.cost for each in rounds] for rounds in found]
    rates = [[each.busy.rate for each in rounds] for rounds in found]
    for at, (server, rounds) in enumerate(zip(servers, found, strict=True)):
        cost, rate = median_ratio(costs[at], costs[-1]), median_ratio(rates[at], rates[-1])
        engine = statistics.median(each.engine / each.busy.deliveries * 1e6 for each in rounds)
        share = statistics.median(each.busy.own_cpu / each.busy.seconds / 2 for each in rounds)
        is_cluster = isinstance(server, Nodes)
        goal = size in COST_TARGETS and "x 8" in title and is_cluster
        rows.append([
            title, server.name, f"{statistics.median(costs[at]):.2f}", f"{engine:.2f}",
            f"{cost:.2f}", tables.target(cost, COST_TARGETS[size]) if goal else "",
            f"{statistics.median(rates[at]):,.0f}", f"{rate:.2f}",
            f">= {RATE_TARGET:g} {'yes' if rate >= RATE_TARGET else 'NO'}" if is_cluster else "",
            f"{statistics.median(each.busy.own_cost for each in rounds):.2f}", f"{share:.0%}",
        ])  # fmt: skip
        title = ""
    return rows


# A gentle one


def latency(shared: Secrets) -> None:
    """A room of 50 at 20 posts a second."""
    with both() as servers:
        loop = Loop()
        crowds = [Crowd(loop, each, shared, 50, SENDERS) for each in servers]
        for crowd in crowds:
            gentle(loop, crowd, 20.0, 0.5)
        spent = [_Spent(each) for each in servers]
        cases = [
            partial(each.during, partial(gentle, loop, crowd, 20.0, 4.0))
            for each, crowd in zip(spent, crowds, strict=True)
        ]
        found = interleaved(5, cases)
        loop.close()
    rows = []
    for server, rounds, cpu in zip(servers, found, spent, strict=True):
        row = [server.name]
        ratio = 0.0
        for share in (0.5, 0.95, 0.99):
            own = [percentile(each, share) for each in rounds]
            ratio = median_ratio(own, [percentile(each, share) for each in found[-1]])
            row += [f"{statistics.median(own) * 1000:.2f} ms", f"{ratio:.2f}"]
        row.append(tables.target(ratio, LATENCY_TARGET) if isinstance(server, Nodes) else "")
        posts = 5 * 80
        rows.append([*row, f"{cpu.all / posts * 1e3:.2f} ms", f"{cpu.engine / posts * 1e6:.0f} us"])
    head = ("server", "p50", "ratio", "p95", "ratio", "p99", "ratio", "target", "CPU a post",
            "engine's")  # fmt: skip
    tables.show("Latency, room of 50, 20 posts a second", head, rows)


class _Spent:
    """CPU of one server, and its engine, during what is given to it."""

    def __init__(self, server: Nodes | Process) -> None:
        self._server = server
        self.all = self.engine = 0.0

    def during(self, act: Callable[[], Any]) -> Any:
        server = self._server
        before = server.cpu(), server.engine_cpu() if isinstance(server, Nodes) else 0.0
        found = act()
        self.all += server.cpu() - before[0]
        self.engine += server.engine_cpu() - before[1] if isinstance(server, Nodes) else 0.0
        return found


# Coming in


def login(shared: Secrets) -> None:
    """CPU of one login, into rooms of 10 and 50."""
    rows = []
    with both() as servers:
        loop = Loop()
        doors = [Door(loop, each, shared) for each in servers]
        for size in (10, 50):
            found = interleaved(7, [partial(door.enter, 50, size) for door in doors])
            for server, each in zip(servers, found, strict=True):
                rows.append(_login_row(size, server, each, found[-1]))
        loop.close()
    head = ("room fills up to", "server", "CPU", "ratio", "target", "load's own")
    tables.show("CPU of one login, all processes", head, rows)


def _login_row(
    size: int, server: Nodes | Process, found: list[Logins], alone: list[Logins]
) -> list[str]:
    ratio = median_ratio([each.cpu for each in found], [each.cpu for each in alone])
    cpu = statistics.median(each.cpu for each in found) * 1000
    own = statistics.median(each.own for each in found) * 1000
    goal = tables.target(ratio, LOGIN_TARGET) if isinstance(server, Nodes) else ""
    return [str(size), server.name, f"{cpu:.2f} ms", f"{ratio:.2f}", goal, f"{own:.2f} ms"]


# A node is killed


class Refugee(Member):
    """A member that goes somewhere else as soon as its connection is over, and goes on there."""

    def __init__(self, *where: Any, old: Refugee | None = None) -> None:
        self.refuge: Callable[[Refugee], None] | None = None
        self.accepted: dict[int, int] = {}  # key: ref; the post's place in the log
        self._posts: dict[int, bytes] = {}  # key: ref; not answered yet
        self._place: tuple[frames.Stay, ...] = ()
        super().__init__(*where)
        if old is not None:
            self._go_on_as(old)

    def _go_on_as(self, old: Refugee) -> None:
        assert old.entered is not None
        old.reached(sys.maxsize)
        self.identity, self.accepted, self._posts = old.identity, old.accepted, old._posts
        self._link._identity = old.identity
        self._ref, self.sent, self.talking = old._ref, old.sent, old.talking
        if hasattr(old, "_boxes"):
            self._boxes = old._boxes
        self._place = (frames.Stay(self.room, old.entered.log, old.to, 0),)

    def _stays(self) -> list[frames.Stay]:
        return list(self._place) or super()._stays()

    @property
    def resumed(self) -> bool:
        """Whether it is in its old place."""
        return self.inside and self.entered is not None and self.entered.resumed

    def ended(self) -> None:
        if self.refuge is None:
            super().ended()
        else:
            self.close()
            self.refuge(self)

    def speak(self, count: int) -> None:
        """Say so many posts, and remember them until they are answered."""
        for _ in range(count):
            self._ref += 1
            self._posts[self._ref] = b'{"type":"post","ref":%d%s' % (self._ref, next(self._boxes))
            self._write(self._posts[self._ref])

    def repeat(self) -> None:
        """Say again what was not answered."""
        for ref in sorted(self._posts):
            self._write(self._posts[ref])

    def answered(self, record: bytes) -> None:
        """Take note of what is accepted in a record's plaintext."""
        for ref, seq in _ACCEPTED.findall(record):
            self._posts.pop(int(ref), None)
            assert self.accepted.setdefault(int(ref), int(seq)) == int(seq), "two places"


_ACCEPTED = re.compile(rb'"type":"accepted","ref":(\d+),"seq":(\d+)')


class Speaker(Refugee):
    """One that talks all the time, and looks at everything that comes."""

    def _take(self, message: str | bytes) -> None:
        super()._take(message)
        plain = self._open(message)  # type: ignore[arg-type]  # it is, see there
        self.answered(plain)
        if self.talking and len(self._posts) < 4:
            self.speak(4 - len(self._posts))


class Listener(Refugee):
    """One that keeps the places of all posts that come, by sender."""

    def __init__(self, *where: Any) -> None:
        self.heard: list[tuple[int, int]] = []  # seq and sender
        super().__init__(*where)

    def _take(self, message: str | bytes) -> None:
        super()._take(message)
        plain = self._open(message)  # type: ignore[arg-type]  # it is, see there
        self.heard += [(int(seq), int(who)) for seq, who in _POSTED.findall(plain)]


_POSTED = re.compile(rb'"type":"posted","seq":(\d+),"from":(\d+),')


class Flight(NamedTuple):
    """What it took until all were in elsewhere; CPU in seconds for each."""

    seconds: float
    cpu: float
    own: float
    resumed: int
    accepted: int
    lost: int
    twice: int


def flee(shared: Secrets, server: Nodes | Process) -> Flight:
    """``KILLED`` members lose their node while five of them talk; of one process, their
    connections."""
    loop = Loop()
    first, last = server.at(0), server.at(1)
    rooms = [f"room{at}" for at in range(KILLED // ROOM)]
    people: list[Refugee] = []
    for number in range(KILLED):
        kind = Speaker if number < SENDERS else Refugee
        where = (loop, first, shared, f"user{number:05}", rooms[number // ROOM], address(number))
        people.append(kind(*where))
        if number % 20 == 19:
            loop.until(lambda: all(each.inside for each in people))
    listener = Listener(loop, last, shared, "listener", rooms[0], address(KILLED))
    loop.until(lambda: listener.inside)
    assert listener.entered is not None
    back = _send_away(loop, last, shared, people)
    for speaker in people[:SENDERS]:
        speaker.prepare(listener.entered.seq)
        speaker.talking = True
        speaker.speak(4)
    loop.rest(0.5)
    cpu, own, began = _remaining(server), time.process_time(), time.monotonic()
    if isinstance(server, Nodes):
        server.nodes[0].stop()
    else:
        for each in people:
            each.ended()
    loop.until(lambda: len(back) == KILLED and all(each.inside for each in back))
    seconds, spent = time.monotonic() - began, _remaining(server) - cpu
    own = time.process_time() - own
    speakers = [each for each in back if isinstance(each, Speaker)]
    for speaker in speakers:
        speaker.talking = False
        speaker.repeat()
    loop.until(lambda: not any(each._posts for each in speakers))
    loop.rest(0.5)
    found = _outcome(seconds, spent, own, back, speakers, listener)
    loop.close()
    return found


def _send_away(
    loop: Loop, to: Process, shared: Secrets, people: Sequence[Refugee]
) -> list[Refugee]:
    """From now on whoever loses its connection dials ``to`` at once; those who have."""
    back: list[Refugee] = []

    def go(old: Refugee) -> None:
        number = int(old.nick.removeprefix("user"))
        where = (loop, to, shared, old.nick, old.room, address(number))
        back.append(type(old)(*where, old=old))

    for each in people:
        each.refuge = go
    return back


def _remaining(server: Nodes | Process) -> float:
    """CPU of what is left when the first node has been killed."""
    if isinstance(server, Nodes):
        return server.nodes[1].cpu() + server.engine_cpu()
    return server.cpu()


def _outcome(
    seconds: float,
    spent: float,
    own: float,
    back: Sequence[Refugee],
    speakers: Sequence[Speaker],
    listener: Listener,
) -> Flight:
    accepted = {
        (seq, each.entered.id)
        for each in speakers
        if each.entered is not None
        for seq in each.accepted.values()
    }
    heard = set(listener.heard)
    own_ids = {each.entered.id for each in speakers if each.entered is not None}
    known = [each for each in listener.heard if each[1] in own_ids]
    return Flight(
        seconds, spent / KILLED, own / KILLED, sum(each.resumed for each in back), len(accepted),
        len(accepted - heard), len(known) - len(accepted & heard),
    )  # fmt: skip


def kill(shared: Secrets) -> None:
    """A node is killed with 500 clients in."""
    rows, alone = [], 0.0
    for name in ("one process", "nodes"):
        with ExitStack() as stack:
            server: Nodes | Process
            if name == "nodes":
                server = stack.enter_context(several_nodes(kinds()[0]))
            else:
                server = stack.enter_context(chat_server())
                server.name = "one process, its connections cut"
            found = flee(shared, server)
        ratio = found.cpu / alone if alone else 1.0
        alone = alone or found.cpu
        is_cluster = name == "nodes"
        rows.append([
            server.name, f"{found.seconds:.1f} s",
            tables.target(found.seconds, KILL_SECONDS) if is_cluster else "",
            f"{found.cpu * 1000:.2f} ms", f"{ratio:.2f}",
            tables.target(ratio, LOGIN_TARGET) if is_cluster else "",
            f"{found.own * 1000:.2f} ms", str(found.resumed), str(found.accepted),
            str(found.lost), str(found.twice),
        ])  # fmt: skip
    head = ("server", "all are in", "target", "CPU of each", "ratio", "target", "load's own",
            "resumed", "accepted", "lost", "twice")  # fmt: skip
    tables.show(f"{KILLED} clients come back at once, rooms of {ROOM}", head, rows)


# What the engine has to do and to keep


def engine(shared: Secrets) -> None:
    """Memory of each session, and what a post costs the engine in CPU and network."""
    rows = []
    with several_nodes(kinds()[0]) as server:
        loop = Loop()
        empty = _info(server, "used_memory")
        for at, (size, rooms) in enumerate(((50, 1), (2, 25), (200, 1))):
            before = _info(server, "used_memory")
            first = 1000 * at
            senders = SENDERS if size > 2 else 1
            crowd = Crowd(loop, server, shared, size, senders, rooms, first=first)
            each = (_info(server, "used_memory") - before) / (size * rooms)
            for in_flight in (1, 8):
                rows.append(_engine_row(loop, server, crowd, size, rooms, in_flight, each))
        idle = _idle(loop, server)
        loop.close()
    head = ("", "in flight", "posts/s", "engine us/post", "in KB/post", "out KB/post",
            "commands/post", "KB a session")  # fmt: skip
    tables.show(f"The engine, which has {empty / 1024:,.0f} KB when it is empty", head, rows)
    print(f"\n  10 s in which nobody says anything: {idle * 1e3:.1f} ms of the engine's CPU")


def _engine_row(
    loop: Loop, server: Nodes, crowd: Crowd, size: int, rooms: int, in_flight: int, each: float
) -> list[str]:
    names = ("total_net_input_bytes", "total_net_output_bytes", "total_commands_processed")
    before, said = [_info(server, name) for name in names], crowd.posts()
    found = _busy(loop, crowd, in_flight)
    posts = crowd.posts() - said
    came, went, commands = (
        (_info(server, name) - old) / posts for name, old in zip(names, before, strict=True)
    )
    return [
        f"{rooms} x {size}", str(in_flight), f"{posts / found.busy.seconds:,.0f}",
        f"{found.engine / posts * 1e6:.0f}", f"{came / 1024:.1f}", f"{went / 1024:.1f}",
        f"{commands:.1f}", f"{each / 1024:.1f}",
    ]  # fmt: skip


def _idle(loop: Loop, server: Nodes) -> float:
    before = server.engine_cpu()
    loop.rest(10.0)
    return server.engine_cpu() - before


def _info(server: Nodes, name: str) -> int:
    text = server.engine.ask("INFO").decode()
    found = re.search(rf"^{name}:(\d+)", text, re.MULTILINE)
    assert found is not None, name
    return int(found[1])


PARTS = {"delivery": delivery, "latency": latency, "login": login, "kill": kill, "engine": engine}


def main(words: Sequence[str]) -> None:
    """Measure and print."""
    shared = Secrets()
    print(f"engine: {kinds()[0].name}")
    for name in words or PARTS:
        PARTS[name](shared)


if __name__ == "__main__":
    main(sys.argv[1:])
