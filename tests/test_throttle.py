"""What failed proofs cost: budgets of guesses, late answers, and who is served first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from protocol.errors import TooManyAttempts
from server import limits
from server.throttle import GUESSES, LoginQueue, LoginThrottle, Rate, Rates, TokenBuckets
from tests.held import held
from tests.test_rate_limits import Clock
from tests.wire import LONG
from transport import Closed

SMALL = Rates(Rate(2.0, 3.0), Rate(10.0, 20.0))


@pytest.fixture
def clock() -> Clock:
    """One that stands still."""
    return Clock()


@pytest.fixture
def buckets(clock: Clock) -> TokenBuckets:
    """Of two a second and three at once."""
    return TokenBuckets(SMALL, clock)


@pytest.fixture
def throttle(clock: Clock) -> LoginThrottle:
    """Nobody has come yet."""
    return LoginThrottle(clock)


def drain(buckets: TokenBuckets, group: str, most: int = 1000) -> int:
    """Take until nothing is left; how many there were."""
    for taken in range(most):
        if buckets.take(group):
            return taken
    return most


# Budgets


def test_some_at_once_and_then_so_many_a_second(buckets: TokenBuckets, clock: Clock) -> None:
    assert drain(buckets, "a") == 3
    assert buckets.take("a") == pytest.approx(0.5)
    clock.now += 0.4
    assert buckets.take("a") == pytest.approx(0.1)
    clock.now += 0.1
    assert buckets.take("a") == 0.0
    clock.now += 1000.0
    assert drain(buckets, "a") == 3


def test_a_minute_of_guessing_without_a_pause(clock: Clock) -> None:
    """However often an address asks: the burst, and two a second."""
    buckets = TokenBuckets(GUESSES, clock)
    judged = 0
    for _ in range(6000):
        judged += not buckets.take("192.0.2.1")
        clock.now += 0.01
    assert judged <= limits.GUESS_BURST + 60 * limits.GUESSES_A_SECOND + 1


def test_other_addresses_have_buckets_of_their_own(buckets: TokenBuckets) -> None:
    drain(buckets, "a")
    assert buckets.take("b") == 0.0


def test_all_together_have_one(buckets: TokenBuckets, clock: Clock) -> None:
    assert sum(drain(buckets, f"address {number}") for number in range(100)) == 20
    assert buckets.take("another") == pytest.approx(0.1)
    clock.now += 1.0
    assert sum(drain(buckets, f"address {number}") for number in range(100)) == 10


def test_neighbours_of_a_48_share_twice_a_64s(buckets: TokenBuckets) -> None:
    """Whoever has a /48 has 65,536 networks of a /64, and no more guesses than two of them."""
    nets = [f"2001:db8:7:{number:x}::" for number in range(50)]
    assert sum(drain(buckets, net) for net in nets) == 6
    assert drain(buckets, "2001:db8:8::") == 3


def test_what_is_given_back_was_never_taken(buckets: TokenBuckets) -> None:
    for _ in range(10):
        assert buckets.take("a") == 0.0
        buckets.give_back("a")
    assert held(buckets) == 0
    buckets.give_back("a")  # however often: no more than the burst
    assert drain(buckets, "a") == 3


def test_a_refused_taking_takes_nothing(buckets: TokenBuckets, clock: Clock) -> None:
    """Also not from the others' bucket, or whoever hammers would empty it."""
    drain(buckets, "a")
    for _ in range(100):
        assert buckets.take("a") > 0.0
    assert sum(drain(buckets, f"address {number}") for number in range(100)) == 17


def test_full_buckets_are_forgotten(buckets: TokenBuckets, clock: Clock) -> None:
    drain(buckets, "a")
    assert buckets.sweep() is not None and held(buckets) == 2
    clock.now += 1.5
    assert buckets.sweep() is None and held(buckets) == 0


def test_addresses_are_bounded(buckets: TokenBuckets, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was not heard of for longest goes first."""
    monkeypatch.setattr(limits, "ADDRESSES", 4)
    for group in "abc":
        buckets.take(group)
    buckets.take("a")
    buckets.take("d")
    assert held(buckets) == 4
    assert buckets.spare("a") == 1.0
    assert buckets.spare("b") == 3.0


def test_many_at_once_are_not_one(buckets: TokenBuckets) -> None:
    """A hundred threads together get as many as one after the other."""
    start = threading.Barrier(50)
    taken = []

    def take() -> None:
        start.wait(LONG)
        if not buckets.take("a"):
            taken.append(1)

    run_all([take] * 50)
    assert len(taken) == 3


# The queue of those who wait


def run_all(jobs: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def never() -> bool:
    return False


class Waiting:
    """One that stands in a queue, in a thread of its own."""

    def __init__(self, queue: LoginQueue, group: str, name: str, served: list[str]) -> None:
        self.bell, self.over, self.error = threading.Event(), False, ""
        before = queue.waiting(group)

        def wait() -> None:
            try:
                queue.take(group, self.bell, lambda: self.over, LONG)
                served.append(name)
            except (Closed, TooManyAttempts) as error:
                self.error = type(error).__name__

        self.thread = threading.Thread(target=wait)
        self.thread.start()
        deadline = time.monotonic() + LONG
        while queue.waiting(group) == before and time.monotonic() < deadline:
            time.sleep(0.0005)  # nothing tells that another thread has begun to wait


def test_the_newest_is_served_first() -> None:
    """Those that have waited longest are the ones that keep coming."""
    clock = Clock()
    buckets = TokenBuckets(Rates(Rate(0.001, 1.0), Rate(100.0, 100.0)), clock)
    queue, served = LoginQueue(buckets, time.monotonic), list[str]()
    assert buckets.take("a") == 0.0
    waiting = [Waiting(queue, "a", name, served) for name in ("first", "second", "third")]
    for count in range(1, 4):
        queue.give_back("a")
        waiting[-count].thread.join()
        assert len(served) == count
    assert served == ["third", "second", "first"]
    assert held(queue) == 0


def test_another_address_need_not_wait() -> None:
    queue, served = LoginQueue(TokenBuckets(SMALL), time.monotonic), list[str]()
    drain(queue.buckets, "a")
    queue.take("b", threading.Event(), never)
    assert served == [] and queue.waiting("b") == 0


def test_time_serves_those_who_wait() -> None:
    """Without anybody ringing: the bucket fills up by itself."""
    queue = LoginQueue(TokenBuckets(Rates(Rate(1000.0, 1.0), Rate(1e6, 1e6))), time.monotonic)
    for _ in range(5):
        queue.take("a", threading.Event(), never)


def test_patience_has_an_end() -> None:
    """Whoever is sent away is told when to come back, and has taken nothing."""
    buckets = TokenBuckets(Rates(Rate(0.001, 1.0), Rate(100.0, 100.0)), Clock())
    queue = LoginQueue(buckets, time.monotonic)
    buckets.take("a")
    with pytest.raises(TooManyAttempts) as refused:
        queue.take("a", threading.Event(), never, patience=0.01)
    assert refused.value.params["retry_after"] == limits.PATIENCE
    assert held(queue) == 0
    buckets.give_back("a")
    assert buckets.take("a") == 0.0


def test_who_is_told_to_go_stops_waiting() -> None:
    buckets = TokenBuckets(Rates(Rate(0.001, 1.0), Rate(100.0, 100.0)), Clock())
    queue, served = LoginQueue(buckets, time.monotonic), list[str]()
    buckets.take("a")
    old, new = (Waiting(queue, "a", name, served) for name in ("old", "new"))
    new.over = True
    new.bell.set()
    new.thread.join()
    assert new.error == "Closed"
    queue.give_back("a")
    old.thread.join()
    assert served == ["old"]


def test_many_wait_and_each_is_served_once() -> None:
    """Whatever the order: as many as the bucket has, and no wake-up is lost."""
    queue = LoginQueue(TokenBuckets(Rates(Rate(2000.0, 1.0), Rate(1e6, 1e6))), time.monotonic)
    served: list[int] = []

    def take() -> None:
        queue.take("a", threading.Event(), never, LONG)
        served.append(1)

    run_all([take] * 60)
    assert len(served) == 60 and held(queue) == 0


# Late answers


def test_typing_mistakes_are_answered_at_once(throttle: LoginThrottle) -> None:
    for _ in range(limits.FREE_FAILURES):
        throttle.guesses.take("a", threading.Event(), never)
        assert throttle.hold("a") == 0.0
    throttle.guesses.take("a", threading.Event(), never)
    assert throttle.hold("a") == pytest.approx(1 / limits.ANSWERS_A_SECOND)


def test_answers_are_fewer_than_the_budget_has(throttle: LoginThrottle) -> None:
    """A hundred that wait for their answers come back more slowly than the bucket fills."""
    drain(throttle.guesses.buckets, "a")
    holds = [throttle.hold("a") for _ in range(200)]
    assert holds == sorted(holds) and holds[-1] == limits.PATIENCE
    assert holds[79] == pytest.approx(80 / limits.ANSWERS_A_SECOND)
    assert limits.ANSWERS_A_SECOND < limits.GUESSES_A_SECOND


def test_nothing_is_left_of_what_was_held(throttle: LoginThrottle, clock: Clock) -> None:
    drain(throttle.guesses.buckets, "a")
    for _ in range(5):
        throttle.hold("a")
    for _ in range(5):
        throttle.release("a")
    clock.now += 60.0
    assert throttle.guesses.buckets.sweep() is None and held(throttle) == 0
