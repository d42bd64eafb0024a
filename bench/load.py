"""The two kinds of load, and what is measured around them."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from bench.members import Crowd, Talker
from bench.wire import Loop

Found = TypeVar("Found")
REST = 0.2  # seconds after the last post, in which nearly all has come


class Busy(NamedTuple):
    """One round of a busy room: CPU in seconds, ``own_cpu`` is the load generator's."""

    deliveries: int
    cpu: float
    own_cpu: float
    seconds: float

    @property
    def cost(self) -> float:
        """Server CPU for one delivered message, in microseconds."""
        return self.cpu / self.deliveries * 1e6

    @property
    def own_cost(self) -> float:
        """The load generator's, in the same unit."""
        return self.own_cpu / self.deliveries * 1e6

    @property
    def rate(self) -> float:
        """Deliveries a second."""
        return self.deliveries / self.seconds


def busy(loop: Loop, crowd: Crowd, in_flight: int, seconds: float) -> Busy:
    """Every sender keeps ``in_flight`` posts on their way for so long; then all must arrive.

    What a sender hears of its own post counts as a delivery where there is such a thing: in IRC
    there is not.
    """
    said = crowd.posts()
    cpu, own, start = crowd.server.cpu(), time.process_time(), time.monotonic()
    for sender in crowd.senders:
        sender.talk(in_flight)
    loop.rest(seconds)
    for sender in crowd.senders:
        sender.talking = False
    crowd.settle()
    return Busy(
        (crowd.posts() - said) * crowd.hearers,
        crowd.server.cpu() - cpu,
        time.process_time() - own,
        time.monotonic() - start,
    )


def gentle(loop: Loop, crowd: Crowd, a_second: float, seconds: float) -> list[float]:
    """So many posts a second, by the senders in turn: seconds from saying to each arriving.

    What comes is looked at when all is over: times are when it came, and on two processors that are
    halves of one, whoever looks at the first records makes the last ones late.
    """
    listeners = [each for each in crowd.everybody if not each.muted]
    for each in listeners:
        each.arrivals = []
        each.record()
    gc.collect()
    gc.disable()
    said: list[float] = []
    start = time.monotonic()
    for number in range(int(seconds * a_second)):
        loop.rest(start + number / a_second - time.monotonic())
        said.append(time.monotonic())
        crowd.senders[number % len(crowd.senders)].say(1)
    loop.rest(REST)
    for each in listeners:
        each.replay()
    crowd.settle()
    gc.enable()
    return [each for listener in listeners for each in _latencies(listener, said)]


def _latencies(listener: Talker, said: Sequence[float]) -> list[float]:
    found: list[float] = []
    for moment, payload in listener.arrivals or ():
        for _ in range(listener.posts_in(payload)):
            found.append(moment - said[len(found)])
    listener.arrivals = None
    assert len(found) == len(said), f"{len(found)} of {len(said)} posts have come"
    return found


def interleaved(
    rounds: int, cases: Sequence[Callable[[], Found]]
) -> list[list[Found]]:
    """Each case in turn, so many times: what disturbs one round of one disturbs those beside it."""
    found: list[list[Found]] = [[] for _ in cases]
    for _ in range(rounds):
        for results, case in zip(found, cases, strict=True):
            results.append(case())
    return found


def median_ratio(values: Sequence[float], reference: Sequence[float]) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(values, reference, strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of ``values`` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def beside(found: Sequence[float], before: Sequence[float]) -> list[str]:
    """Cells: the median of ``found`` (seconds) and its p99, each with its ratio to ``before``'s."""
    cells = []
    for share in (0.5, 0.99):
        value, other = percentile(found, share), percentile(before, share)
        cells += [f"{value * 1000:.2f} ms", f"{value / other:.2f}"]
    return cells
