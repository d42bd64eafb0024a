"""Several servers whose ground shakes, people on them, and what all of them must come out with.

A ``Schedule`` says what eight people type, on two to four nodes of one engine, and what happens to
the nodes, to the engine and between them: it follows from a number and from nothing else.  What
everybody was shown is compared with what the engine's scripts wrote (``EngineTap``).

    python -m tests.cluster_faults SEED [COUNT]

runs the schedules from SEED on and prints their figures, and how to repeat those that failed.
"""

from __future__ import annotations

import contextlib
import heapq
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from unittest import mock

from client import events
from client.connection import backoff, circuit_breakers, handshake, silence
from protocol import pake
from tests.cluster_kit import Cluster, Node, sealing
from tests.conftest import IdentityPool, identity_pool
from tests.faults import (
    PEOPLE,
    SIDE_ROOM,
    Check,
    Fault,
    Group,
    Lanes,
    Network,
    Record,
    Road,
    perform,
)
from tests.wire import PASSWORD
from tools.engine_process import Kind, kinds

# What happens to a node, to its way to the engine, to the engine, to a client.
_TO_NODES = ("kill", "kill", "stop", "stop", "end", "away", "away", "slow", "lost reply",
             "lost reply")  # fmt: skip
_TO_ENGINE = ("pause", "pause writes", "freeze", "full", "flush scripts", "wait")
_TO_CLIENTS = ("move", "move", "cut")
_FAULTS = _TO_NODES + _TO_ENGINE + _TO_CLIENTS
_SAID = (
    ("say",) * 8 + ("aside",) * 5 + ("await",) * 3 + ("whisper",) * 3
    + ("rename", "go", "visit", "visit")
)  # fmt: skip
_LEAST_AT_WORK = 1  # node that is neither killed nor stopped
_AGAIN = 0.3  # seconds until a node that has found no engine is started again
_STILL_A_REPLICA = 0.4  # seconds for which the one that is to take the engine's place is none
_PATIENCE = 0.05  # seconds between two steps, at most


@dataclass(frozen=True)
class Step:
    """One thing that happens.

    People do (``who``): say, aside (to the room beside), whisper (to ``other``), rename, go (to the
    other room), visit (come into the last room, or leave it), await (have an answer to all).
    To nodes (``who``) happens: kill (-9), stop (for a while), end (SIGTERM; both come back), away
    (no way to the engine), slow (each answer), lost reply (what was done is not answered).
    To the engine: pause (CLIENT PAUSE), pause writes, freeze (SIGSTOP), full, flush scripts, empty
    (killed, and started anew), fail over (killed, and a replica takes its place, which has heard of
    nothing for a while), wait (nothing at all).  To clients (``who``): move (to the node
    ``other``), cut.
    """

    what: str
    who: int = 0
    other: int = 0
    size: int = 0
    seconds: float = 0.0
    pause: float = 0.0  # before the next step


@dataclass(frozen=True)
class Mood:
    """What a schedule is like.  ``grace``: seconds for which a place is kept; None: for longer than
    anything lasts."""

    name: str
    grace: float | None


MOODS = (Mood("patient", None), Mood("hasty", 1.2), Mood("patient", None))


@dataclass(frozen=True)
class Schedule:
    """What happens, in order; the same for the same ``seed``."""

    seed: int
    mood: Mood
    engine: str
    nodes: int
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, seed: int, length: int = 60, faults: int = 6) -> Schedule:
        """The schedule of this number: so many steps of people's, and so many faults."""
        chance = random.Random(seed)
        nodes = chance.choice((2, 2, 3, 4))
        steps = [_said(chance) for _ in range(length)]
        places = sorted(chance.sample(range(1, length), faults), reverse=True)
        kinds = [chance.choice(_FAULTS) for _ in places]
        if seed % 4 == 3:
            kinds[chance.randrange(faults)] = "empty"
        if seed % 8 in (2, 5):  # each on another engine
            kinds[chance.randrange(faults)] = "fail over"
        for place, kind in zip(places, kinds, strict=True):
            steps.insert(place, _fault(chance, kind, nodes))
        engine = ("redis", "valkey")[seed // 2 % 2]
        return cls(seed, MOODS[seed % len(MOODS)], engine, nodes, tuple(steps))

    @property
    def fails_over(self) -> bool:
        """Whether a replica takes the engine's place."""
        return any(step.what == "fail over" for step in self.steps)

    @property
    def empties(self) -> bool:
        """Whether the engine forgets everything, or what it has is another's."""
        return self.fails_over or any(step.what == "empty" for step in self.steps)


def _said(chance: random.Random) -> Step:
    what, who = chance.choice(_SAID), chance.randrange(PEOPLE)
    size = chance.choice((0, 0, 20, 300, 3000))
    other = (who + chance.randrange(1, PEOPLE)) % PEOPLE
    return Step(what, who, other, size, pause=chance.uniform(0.0, _PATIENCE))


def _fault(chance: random.Random, what: str, nodes: int) -> Step:
    if what in _TO_CLIENTS:
        return Step(what, chance.randrange(PEOPLE), chance.randrange(nodes))
    longest = {"kill": 2.0, "stop": 3.0, "away": 2.5, "empty": 0.0}.get(what, 1.0)
    seconds = chance.choice((0.2, 0.5, 1.0)) * longest
    return Step(what, chance.randrange(nodes), size=chance.choice((0, 1, 40, 200)),
                seconds=seconds, pause=chance.uniform(0.0, 0.4))  # fmt: skip


# What people do it on


class Way(Road):
    """A client's way to one node or another: first to ``first``, then at each connection to one of
    ``ports``, by chance."""

    def __init__(
        self, network: Network, ports: Sequence[int], chance: random.Random, first: int
    ) -> None:
        super().__init__(network, first)
        self._ports, self._chance = ports, chance
        self._wanted: int | None = first

    def accept(self) -> Lanes | None:
        """To one that was wanted, or to any."""
        self._target = self._wanted or self._chance.choice(self._ports)
        self._wanted = None
        return super().accept()

    def lead(self, port: int) -> None:
        """The connection ends, and the next one is to ``port``, if somebody listens there."""
        self._network.order(lambda: self._lead(port))

    def cut(self) -> None:
        """The connection ends."""
        self._network.order(lambda: self._close(0.0))

    def _lead(self, port: int) -> None:
        self._wanted = port
        self._close(0.0)


class Crowd(Group):
    """People who know of all nodes."""

    def __init__(
        self,
        cluster: Cluster,
        pool: IdentityPool,
        prs: bytes,
        seed: int = 0,
        name: str = "",
        size: int = PEOPLE,
    ) -> None:
        self._ports = [node.port for node in cluster.nodes]
        self._seed = seed
        super().__init__(cluster.network, 0, pool, prs, size, name, beside=[SIDE_ROOM])

    def road(self, number: int) -> Way:
        """To all nodes; the first time to each in turn."""
        chance = random.Random(f"{self._seed} {number}")
        first = self._ports[number % len(self._ports)]
        return self.network.add(Way(self.network, self._ports, chance, first))

    def way(self, number: int) -> Way:
        """Of the person with this number."""
        way = self.people[number].road
        assert isinstance(way, Way)
        return way


class Stage:
    """Lets things happen to nodes, engine and clients, and end when their time is over."""

    def __init__(self, cluster: Cluster, crowd: Crowd) -> None:
        self.cluster, self.crowd = cluster, crowd
        self.happened: Counter[str] = Counter()
        self._is_frozen = False
        self._numbers = count()
        self._ends: list[tuple[float, int, Callable[[], None]]] = []  # a heap

    def rest(self, seconds: float) -> None:
        """Wait for so long, and end what has to end meanwhile."""
        until = time.monotonic() + seconds
        while self._ends and self._ends[0][0] <= until:
            when, _number, end = heapq.heappop(self._ends)
            time.sleep(max(0.0, when - time.monotonic()))
            end()
        time.sleep(max(0.0, until - time.monotonic()))

    def heal(self) -> None:
        """End all that is under way."""
        self._thaw()
        self._not_full()
        for node in self.cluster.nodes:
            node.go_on()
            self._back(node)
        while self._ends:
            heapq.heappop(self._ends)[2]()
        assert all(node.start() for node in self.cluster.nodes), "a node does not start"

    def happen(self, step: Step) -> None:
        """One fault begins."""
        act = getattr(self, f"_{step.what.replace(' ', '_')}")
        if act(step) is not False:
            self.happened[step.what] += 1

    def _later(self, seconds: float, end: Callable[[], None]) -> None:
        heapq.heappush(self._ends, (time.monotonic() + seconds, next(self._numbers), end))

    def _may_go(self, step: Step) -> bool:
        """Whether that node may go, and enough are left."""
        there = [each for each in self.cluster.nodes if each.is_at_work]
        return self.cluster.nodes[step.who] in there and len(there) > _LEAST_AT_WORK

    # Nodes

    def _start(self, node: Node) -> None:
        """Again, until it finds its engine."""
        if not node.again():
            self._later(_AGAIN, lambda: self._start(node))

    def _kill(self, step: Step) -> bool:
        node = self.cluster.nodes[step.who]
        if not self._may_go(step):
            return False
        node.kill()
        self._later(step.seconds, lambda: self._start(node))
        return True

    def _end(self, step: Step) -> bool:
        node = self.cluster.nodes[step.who]
        others = [each for each in self.cluster.nodes if each is not node and each.is_at_work]
        if not self._may_go(step) or all(each.is_away for each in others):
            return False  # the last one ends all sessions
        node.leave()
        self._later(step.seconds, lambda: self._start(node))
        return True

    def _stop(self, step: Step) -> bool:
        node = self.cluster.nodes[step.who]
        if not self._may_go(step):
            return False
        node.stop()
        self._later(step.seconds, node.go_on)
        return True

    # Between them and the engine

    def _away(self, step: Step) -> None:
        node = self.cluster.nodes[step.who]
        if step.size:
            node.road.freeze()
        else:
            node.road.close()
        node.is_away = True
        self._later(step.seconds, lambda: self._back(node))

    def _back(self, node: Node) -> None:
        node.road.heal()
        node.is_away = False

    def _slow(self, step: Step) -> None:
        road = self.cluster.nodes[step.who].road
        for lane in ("up", "down"):
            size = 4000
            fault = Fault("throttle", lane == "up", 0, step.seconds, size, max(1, size // 20))
            road.arm_all(fault)
        self._later(step.seconds, road.heal)

    def _lost_reply(self, step: Step) -> None:
        self.cluster.nodes[step.who].road.arm_all(Fault("cut", up=False, after=step.size))

    # The engine

    def _ask(self, *words: str) -> bool:
        if not self._is_frozen:
            self.cluster.engine.ask(*words)
        return not self._is_frozen

    def _pause(self, step: Step) -> bool:
        return self._ask("CLIENT", "PAUSE", str(int(step.seconds * 1000)), "ALL")

    def _pause_writes(self, step: Step) -> bool:
        return self._ask("CLIENT", "PAUSE", str(int(step.seconds * 1000)), "WRITE")

    def _freeze(self, step: Step) -> bool:
        if self._is_frozen:
            return False
        self.cluster.engine.signal(signal.SIGSTOP)
        self._is_frozen = True
        self._later(step.seconds, self._thaw)
        return True

    def _thaw(self) -> None:
        self.cluster.engine.signal(signal.SIGCONT)
        self._is_frozen = False

    def _full(self, step: Step) -> bool:
        if not self._ask("CONFIG", "SET", "maxmemory", "1"):
            return False
        self._later(step.seconds, self._not_full)
        return True

    def _not_full(self) -> None:
        self._thaw()  # or it answers nothing
        self.cluster.engine.ask("CONFIG", "SET", "maxmemory", "0")

    def _flush_scripts(self, _step: Step) -> bool:
        return self._ask("SCRIPT", "FLUSH")

    def _wait(self, step: Step) -> None:
        self.rest(step.seconds)

    def _empty(self, _step: Step) -> None:
        self._thaw()
        self.cluster.restart()

    def _fail_over(self, step: Step) -> None:
        self._thaw()
        self.cluster.part()  # what is accepted from now on is lost
        self._later(step.seconds, lambda: self._take_over(_STILL_A_REPLICA if step.size else 0.0))

    def _take_over(self, seconds: float) -> None:
        self._thaw()
        self.cluster.fail_over(lambda: self.rest(seconds))

    # Clients

    def _move(self, step: Step) -> None:
        self.crowd.way(step.who).lead(self.cluster.nodes[step.other].port)

    def _cut(self, step: Step) -> None:
        self.crowd.way(step.who).cut()


# Running schedules


@contextlib.contextmanager
def quick_clients(prs: bytes) -> Iterator[None]:
    """Clients of this process are quick to notice, and to try again; ``prs`` proves all servers'
    passwords."""
    with contextlib.ExitStack() as stack:
        for owner, name, value in (
            (pake, "password_prs", lambda _: prs),
            (backoff, "FIRST_DELAY", 0.06),
            (backoff, "LONGEST_DELAY", 0.2),
            (backoff, "ENTRIES", 1_000_000),
            (circuit_breakers, "MOST_GUESSES", 1_000_000),
            (circuit_breakers, "MOST_GOODBYES", 1_000_000),
            (handshake, "ATTEMPT_SECONDS", 1.0),
            (handshake, "QUIET_SECONDS", 1.0),
            (handshake, "ANSWER_SECONDS", 4.0),
            (silence, "FIRST_NOTICE", 0.5),
            (silence, "DIAL_AFTER", 1.0),
            (silence, "LONGEST_WAIT", 2.0),
        ):
            stack.enter_context(mock.patch.object(owner, name, value))
        stack.enter_context(sealing())
        yield


def run(schedule: Schedule, pool: IdentityPool, prs: bytes) -> Counter[str]:
    """One schedule with an engine and nodes of its own; what there was.  Raises AssertionError."""
    name = f"python -m tests.cluster_faults {schedule.seed}"
    settings = {}
    if schedule.mood.grace is not None:
        settings = {"HEARTBEAT_INTERVAL": "0.2", "HEARTBEAT_TIMEOUT": str(schedule.mood.grace)}
    kind, replicated = _kind(schedule.engine), schedule.fails_over
    with Cluster(kind, schedule.nodes, settings, replicated=replicated) as cluster:
        with Crowd(cluster, pool, prs, schedule.seed, name) as crowd:
            stage = Stage(cluster, crowd)
            try:
                _perform(schedule, stage)
            finally:
                stage.heal()
            crowd.settle()
        cluster.level()
        forgiving = schedule.mood.grace is not None or schedule.empties
        found = ClusterCheck(crowd, cluster.tap, forgiving).done()
        left_behind(cluster, name)
    found.update(stage.happened)
    found["schedules"] = 1
    found["nodes"] = schedule.nodes
    return found


def _kind(name: str) -> Kind:
    """The engine of this name, or the one that there is."""
    return next((each for each in kinds() if each.name == name), kinds()[0])


def _perform(schedule: Schedule, stage: Stage) -> None:
    crowd = stage.crowd
    numbers = count(1)
    for step in schedule.steps:
        if step.what == "await":  # or longer than that, where the ground shakes
            crowd.people[step.who].session.wait_answered(0.5)
        elif not perform(step, crowd, numbers):
            stage.happen(step)
        stage.rest(step.pause)


class ClusterCheck(Check):
    """What holds on one server holds on several, and what is not known is said."""

    reasons = (*Check.reasons, "unavailable", "outcome_unknown", "server_full", "repeated")

    def is_wrong(self, event: events.Event) -> bool:
        """As on one server, whose engine may be away."""
        if isinstance(event, events.Error) and event.code in self.reasons:
            return False
        return super().is_wrong(event)

    def is_unknown(self, event: events.NotSent, after: Sequence[Record]) -> bool:
        """As on one server, or it was said."""
        return event.reason == "outcome_unknown" or super().is_unknown(event, after)


def left_behind(cluster: Cluster, name: str) -> None:
    """The last node goes, and nothing is in the engine that does not end by itself."""
    for node in cluster.nodes:
        if node.server is not None:
            status = node.end()
            assert status == 0, f"{name}: a node ends with status {status}"
    lasting = {key for key, left in cluster.keys().items() if left < 0}
    assert not lasting, f"{name}: for ever: {sorted(lasting)[:5]}"


def play(
    seeds: Sequence[int],
    pool: IdentityPool,
    prs: bytes,
    at_once: int = 3,
    length: int = 60,
    faults: int = 6,
) -> tuple[Counter[str], list[str]]:
    """Many schedules, some at a time: the sum of what there was, and what failed."""
    total: Counter[str] = Counter()
    failed: list[str] = []

    def one(seed: int) -> Counter[str] | str:
        try:
            return run(Schedule.of(seed, length, faults), pool, prs)
        except Exception as error:  # the others are played all the same
            return f"seed {seed}: {type(error).__name__}: {error}"

    with quick_clients(prs), ThreadPoolExecutor(at_once) as workers:
        for found in workers.map(one, seeds):
            if isinstance(found, str):
                failed.append(found)
                print(f"FAILED {found[:30000]}", file=sys.stderr, flush=True)
            else:
                total.update(found)
    return total, failed


FIGURES = (
    "schedules", "nodes", "kill", "stop", "end", "away", "slow", "lost reply", "pause",
    "pause writes", "freeze", "full", "flush scripts", "empty", "fail over", "move", "cut",
    "resumed", "joined anew", "rejoined", "lines", "accepted", "handed back",
    "handed back, yet taken", "given back as stale", "missed and told",
)  # fmt: skip


def figures(found: Counter[str]) -> str:
    """One line for a report."""
    counted = [f"{name} {found[name]}" for name in FIGURES]
    return ", ".join([*counted, "lost 0", "twice 0"])


def main(words: Sequence[str]) -> int:
    """``SEED [COUNT]``"""
    first, number = int(words[0]), int(words[1]) if len(words) > 1 else 1
    seeds = range(first, first + number)
    began = time.monotonic()
    found, failed = play(seeds, identity_pool(), pake.password_prs(PASSWORD))
    print(f"{figures(found)}; {time.monotonic() - began:.0f} s")
    for each in failed:
        print(f"failed: python -m tests.cluster_faults {each.split(':')[0].split()[1]}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
