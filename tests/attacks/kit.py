"""What attacks have in common: the server, honest people who talk meanwhile, and attackers."""

from __future__ import annotations

import functools
import multiprocessing
import os
import selectors
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests import second_crypto as crypto
from tests.processes import PASSWORD, PROGRAM, Client, Server
from tests.second_client import Client as Second
from tests.second_link import Broken, Refusal
from tests.second_socket import Ended, Refused

HONEST, HOSTILE = "127.1.0.{}", "127.2.0.1"  # where they come from; each honest one is at home
LATE = 10.0  # seconds after which a line is lost to who waits for it
SETTLE = 3.0  # seconds of a flood before it is measured: what is allowed at once is over then
DEFAULTS = {"MAX_MESSAGES_PER_WINDOW": ""}  # as a server has it that nobody has configured
LOST = (Ended, Refused, Broken, Refusal, OSError)

Measured = dict[str, object]


class Attack(NamedTuple):
    """``run`` takes the program's path and how long to attack, and gives what it measured."""

    name: str
    what: str
    run: Callable[[Path, float], Measured]


ATTACKS: dict[str, Attack] = {}


def attack(name: str) -> Callable[[Callable[[Path, float], Measured]], Callable[..., Measured]]:
    """Gives an attack its name; what it is stands in its docstring's first line."""

    def register(run: Callable[[Path, float], Measured]) -> Callable[..., Measured]:
        what = (run.__doc__ or "").strip().split("\n")[0].rstrip(".")
        ATTACKS[name] = Attack(name, what, run)
        return run

    return register


@functools.cache
def prs() -> bytes:
    return crypto.password_prs(PASSWORD)


@functools.cache
def keys() -> crypto.Keys:
    """For all connections of one process: an attacker saves what it can."""
    return crypto.Keys()


@functools.cache
def _template() -> crypto.Identity:
    return crypto.Identity()


def identity() -> crypto.Identity:
    """Somebody else each time, under the same keys for wraps."""
    made = crypto.Identity.__new__(crypto.Identity)
    made.__dict__.update(_template().__dict__)
    made.new_signature()
    return made


def member(port: int, nick: str, **options: Any) -> Second:
    """One who has come in.  Raises as ``Second.join``."""
    return newcomer(port, nick, **options).join()


def newcomer(port: int, nick: str, **options: Any) -> Second:
    """One who has not come in yet."""
    known = {"prs": prs(), "keys": keys(), "identity": identity(), "source": HOSTILE}
    return Second(port, nick, **{**known, **options})


@contextmanager
def target(program: Path = PROGRAM, **settings: str) -> Iterator[Server]:
    """A server of this program; its limit on posts is out of the way unless ``DEFAULTS``."""
    with Server(settings, program=program, before=["env"]) as server:  # env: no fork of ours
        yield server


@contextmanager
def real_client(program: Path, address: tuple[str, int], nick: str, *options: str,
                joined: bool = True) -> Iterator[Client]:  # fmt: skip
    """A real client of this program, with events on its output."""
    words: dict[str, Any] = {"program": program, "before": ["env"]}
    with Client(address, nick, *options, joined=joined, **words) as client:
        yield client


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# Attackers


class Attackers:
    """``work(port, number, end)`` in processes of their own until the end; each gives a count."""

    def __init__(self, work: Callable[[int, int, float], Any], port: int, count: int,
                 seconds: float) -> None:  # fmt: skip
        prs(), keys(), _template()  # once, and not in each
        context = multiprocessing.get_context("fork")
        self._results = context.SimpleQueue()
        end = time.monotonic() + seconds
        self._processes = [
            context.Process(target=self._run, args=(work, port, number, end), daemon=True)
            for number in range(count)
        ]
        for process in self._processes:
            process.start()

    def _run(self, work: Callable[[int, int, float], Any], port: int, number: int,
             end: float) -> None:  # fmt: skip
        if hasattr(os, "sched_setscheduler"):  # of a ``chrt`` in front, servers and people profit
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.nice(15)  # they would have a machine of their own
        result: Any = None
        try:
            result = work(port, number, end)
        finally:
            self._results.put(result)

    def results(self) -> list[Any]:
        """What they gave, after they have ended."""
        found = [self._results.get() for _ in self._processes]
        for process in self._processes:
            process.join()
        return found


# Honest people


class Talk(NamedTuple):
    """How a conversation went: seconds until each line was opened by each reader, and what was
    not there after ``LATE``."""

    latencies: list[float]
    lost: int

    @property
    def figures(self) -> str:
        if not self.latencies:
            return f"nothing arrived, {self.lost} lost"
        p50, p95, p99 = (self.at(share) for share in (0.5, 0.95, 0.99))
        lost = f", {self.lost} lost" if self.lost else ""
        return f"p50 {p50:.0f}, p95 {p95:.0f}, p99 {p99:.0f} ms{lost}"

    def at(self, share: float) -> float:
        """A quantile, in ms."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


class Honest:
    """Members of a room who talk in turn; all by one thread, which looks at whoever has come."""

    def __init__(self, port: int, count: int = 4, room: str = "default", **options: Any) -> None:
        options = {"room": room, **options}
        self.members = [
            member(port, f"honest-{number}", source=HONEST.format(number + 1), **options)
            for number in range(count)
        ]
        self._selector = selectors.DefaultSelector()
        for each in self.members:
            self._selector.register(each.socket, selectors.EVENT_READ, each)
        self._next = 0
        self._said: dict[str, float] = {}
        self._missing: dict[str, int] = {}
        self._again: list[tuple[float, Second, str]] = []
        self._refs: dict[tuple[str, int], str] = {}
        self._latencies: list[float] = []

    def talk(self, seconds: float, every: float = 0.1) -> Talk:
        """One line each ``every`` seconds; waits for the last ones."""
        self._latencies = []
        now = time.monotonic()
        end, due = now + seconds, now
        while now < end or (self._missing and now < end + LATE):
            if now < end and now >= due:
                due = max(due + every, now)
                speaker = self.members[self._next % len(self.members)]
                self._say(speaker, f"line {self._next}")
                self._next += 1
            for when, speaker, text in list(self._again):
                if when <= now:
                    self._again.remove((when, speaker, text))
                    self._post(speaker, text)
            self._listen(min(due, end) if now < end else now + 0.05)
            now = time.monotonic()
        lost = sum(self._missing.values())
        self._missing.clear()
        self._again.clear()
        return Talk(self._latencies, lost)

    def _say(self, speaker: Second, text: str) -> None:
        self._said[text] = time.monotonic()
        self._missing[text] = len(self.members) - 1
        self._post(speaker, text)

    def _post(self, speaker: Second, text: str) -> None:
        with_place = (speaker.nick, speaker.post(text))
        self._refs[with_place] = text

    def _listen(self, until: float) -> None:
        for key, _mask in self._selector.select(max(0.0, until - time.monotonic())):
            listener: Second = key.data
            while listener.hear(0.0):
                self._heard(listener)

    def _heard(self, listener: Second) -> None:
        for event in listener.events:
            if event.kind == "post" and not event.what.own:
                text = event.what.text
                if self._missing.get(text):
                    self._latencies.append(time.monotonic() - self._said[text])
                    self._missing[text] -= 1
                    if not self._missing[text]:
                        del self._missing[text]
            elif event.kind == "refused":
                self._refused(listener, event.what)
        listener.events.clear()

    def _refused(self, speaker: Second, refused: dict[str, Any]) -> None:
        text = self._refs.get((speaker.nick, refused.get("ref", 0)))
        if text is not None and refused["code"] in ("stale", "rate_limited"):
            pause = refused.get("retry_after") or 0.3
            self._again.append((time.monotonic() + pause, speaker, text))

    def leave(self) -> None:
        for each in self.members:
            each.leave()


def beside(program: Path, work: Callable[[int, int, float], Any], count: int, seconds: float,
           **settings: str) -> Measured:  # fmt: skip
    """What ``count`` attackers do to the latencies of honest members, and to the server.

    Its limits are those by default, since others follow from them: what 20 may say in a minute they
    say in the time that this takes.
    """
    seconds = min(seconds, 8.0)
    with target(program, **DEFAULTS, **settings) as server:
        honest = Honest(server.port, 20)
        honest.talk(0.5)  # keys
        calm = honest.talk(min(seconds, 4.0))
        settle = min(seconds, SETTLE)
        attackers = Attackers(work, server.port, count, settle + seconds)
        honest.talk(settle)
        before, start = cpu(server.process.pid), time.monotonic()
        under = honest.talk(seconds)
        used = (cpu(server.process.pid) - before) / (time.monotonic() - start)
        results = attackers.results()
        found = [each for each in results if each]
        honest.leave()
    return {
        "attackers": count,
        "honest, calm": calm.figures,
        "honest, attacked": under.figures,
        "server, of a core": f"{used:.0%}",
        "what each attacker did": _merged(found),
    }


def _merged(found: list[Any]) -> str:
    if not found:
        return "nothing: cut off at once"
    if all(isinstance(each, dict) for each in found):
        names = sorted({name for each in found for name in each})
        values = {name: [each.get(name, 0) for each in found] for name in names}
        return ", ".join(f"{name} {statistics.median(each):.4g}" for name, each in values.items())
    return ", ".join(map(str, found))
