"""What failed proofs cost: budgets of guesses, late answers, and who is served first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from protocol.errors import TooManyAttempts
from server import bounds
from server.throttle import GUESSES, Budget, Line, LoginThrottle, Rate, Rates
from tests.test_rate_limits import Clock
from tests.wire import LONG
from transport import Closed

SMALL = Rates(Rate(2.0, 3.0), Rate(10.0, 20.0))


@pytest.fixture
def clock() -> Clock:
    """One that stands still."""
    return Clock()


@pytest.fixture
def budget(clock: Clock) -> Budget:
    """Of two a second and three at once."""
    return Budget(SMALL, clock)


@pytest.fixture
def throttle(clock: Clock) -> LoginThrottle:
    """Nobody has come yet."""
    return LoginThrottle(clock)


def drain(budget: Budget, group: str, most: int = 1000) -> int:
    """Take until nothing is left; how many there were."""
    for taken in range(most):
        if budget.take(group):
            return taken
    return most


# Budgets


def test_some_at_once_and_then_so_many_a_second(budget: Budget, clock: Clock) -> None:
    assert drain(budget, "a") == 3
    assert budget.take("a") == pytest.approx(0.5)
    clock.now += 0.4
    assert budget.take("a") == pytest.approx(0.1)
    clock.now += 0.1
    assert budget.take("a") == 0.0
    clock.now += 1000.0
    assert drain(budget, "a") == 3


def test_a_minute_of_guessing_without_a_pause(clock: Clock) -> None:
    """However often an address asks: the burst, and two a second."""
    budget = Budget(GUESSES, clock)
    judged = 0
    for _ in range(6000):
        judged += not budget.take("192.0.2.1")
        clock.now += 0.01
    assert judged <= bounds.GUESS_BURST + 60 * bounds.GUESSES_A_SECOND + 1


def test_other_addresses_have_budgets_of_their_own(budget: Budget) -> None:
    drain(budget, "a")
    assert budget.take("b") == 0.0


def test_all_together_have_one(budget: Budget, clock: Clock) -> None:
    assert sum(drain(budget, f"address {number}") for number in range(100)) == 20
    assert budget.take("another") == pytest.approx(0.1)
    clock.now += 1.0
    assert sum(drain(budget, f"address {number}") for number in range(100)) == 10


def test_neighbours_of_a_48_share_twice_a_64s(budget: Budget) -> None:
    """Whoever has a /48 has 65,536 networks of a /64, and no more guesses than two of them."""
    nets = [f"2001:db8:7:{number:x}::" for number in range(50)]
    assert sum(drain(budget, net) for net in nets) == 6
    assert drain(budget, "2001:db8:8::") == 3


def test_what_is_given_back_was_never_taken(budget: Budget) -> None:
    for _ in range(10):
        assert budget.take("a") == 0.0
        budget.give_back("a")
    assert len(budget) == 0
    budget.give_back("a")  # however often: no more than the burst
    assert drain(budget, "a") == 3


def test_a_refused_taking_takes_nothing(budget: Budget, clock: Clock) -> None:
    """Also not from the others' bucket, or whoever hammers would empty it."""
    drain(budget, "a")
    for _ in range(100):
        assert budget.take("a") > 0.0
    assert sum(drain(budget, f"address {number}") for number in range(100)) == 17


def test_full_buckets_are_forgotten(budget: Budget, clock: Clock) -> None:
    drain(budget, "a")
    assert budget.sweep() is not None and len(budget) == 2
    clock.now += 1.5
    assert budget.sweep() is None and len(budget) == 0


def test_addresses_are_bounded(budget: Budget, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was not heard of for longest goes first."""
    monkeypatch.setattr(bounds, "ADDRESSES", 4)
    for group in "abc":
        budget.take(group)
    budget.take("a")
    budget.take("d")
    assert len(budget) == 4
    assert budget.spare("a") == 1.0
    assert budget.spare("b") == 3.0


def test_many_at_once_are_not_one(budget: Budget) -> None:
    """A hundred threads together get as many as one after the other."""
    start = threading.Barrier(50)
    taken = []

    def take() -> None:
        start.wait(LONG)
        if not budget.take("a"):
            taken.append(1)

    run_all([take] * 50)
    assert len(taken) == 3


# The line


def run_all(jobs: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def never() -> bool:
    return False


class Waiting:
    """One that stands in a line, in a thread of its own."""

    def __init__(self, line: Line, group: str, name: str, served: list[str]) -> None:
        self.bell, self.over, self.error = threading.Event(), False, ""
        before = line.waiting(group)

        def wait() -> None:
            try:
                line.take(group, self.bell, lambda: self.over, LONG)
                served.append(name)
            except (Closed, TooManyAttempts) as error:
                self.error = type(error).__name__

        self.thread = threading.Thread(target=wait)
        self.thread.start()
        deadline = time.monotonic() + LONG
        while line.waiting(group) == before and time.monotonic() < deadline:
            time.sleep(0.0005)  # nothing tells that another thread has begun to wait


def test_the_newest_is_served_first() -> None:
    """Those that have waited longest are the ones that keep coming."""
    clock = Clock()
    budget = Budget(Rates(Rate(0.001, 1.0), Rate(100.0, 100.0)), clock)
    line, served = Line(budget, time.monotonic), list[str]()
    assert budget.take("a") == 0.0
    waiting = [Waiting(line, "a", name, served) for name in ("first", "second", "third")]
    for count in range(1, 4):
        line.give_back("a")
        waiting[-count].thread.join()
        assert len(served) == count
    assert served == ["third", "second", "first"]
    assert len(line) == 0


def test_another_address_need_not_wait() -> None:
    line, served = Line(Budget(SMALL), time.monotonic), list[str]()
    drain(line.budget, "a")
    line.take("b", threading.Event(), never)
    assert served == [] and line.waiting("b") == 0


def test_time_serves_those_who_wait() -> None:
    """Without anybody ringing: the budget fills up by itself."""
    line = Line(Budget(Rates(Rate(1000.0, 1.0), Rate(1e6, 1e6))), time.monotonic)
    for _ in range(5):
        line.take("a", threading.Event(), never)


def test_patience_has_an_end() -> None:
    """Whoever is sent away is told when to come back, and has taken nothing."""
    budget = Budget(Rates(Rate(0.001, 1.0), Rate(100.0, 100.0)), Clock())
    line = Line(budget, time.monotonic)
    budget.take("a")
    with pytest.raises(TooManyAttempts) as refused:
        line.take("a", threading.Event(), never, patience=0.01)
    assert refused.value.params["retry_after"] == bounds.PATIENCE
    assert len(line) == 0
    budget.give_back("a")
    assert budget.take("a") == 0.0


def test_who_is_told_to_go_stops_waiting() -> None:
    budget = Budget(Rates(Rate(0.001, 1.0), Rate(100.0, 100.0)), Clock())
    line, served = Line(budget, time.monotonic), list[str]()
    budget.take("a")
    old, new = (Waiting(line, "a", name, served) for name in ("old", "new"))
    new.over = True
    new.bell.set()
    new.thread.join()
    assert new.error == "Closed"
    line.give_back("a")
    old.thread.join()
    assert served == ["old"]


def test_many_wait_and_each_is_served_once() -> None:
    """Whatever the order: as many as the budget has, and no wake-up is lost."""
    line = Line(Budget(Rates(Rate(2000.0, 1.0), Rate(1e6, 1e6))), time.monotonic)
    served: list[int] = []

    def take() -> None:
        line.take("a", threading.Event(), never, LONG)
        served.append(1)

    run_all([take] * 60)
    assert len(served) == 60 and len(line) == 0


# Late answers


def test_typing_mistakes_are_answered_at_once(throttle: LoginThrottle) -> None:
    for _ in range(bounds.FREE_FAILURES):
        throttle.guesses.take("a", threading.Event(), never)
        assert throttle.hold("a") == 0.0
    throttle.guesses.take("a", threading.Event(), never)
    assert throttle.hold("a") == pytest.approx(1 / bounds.ANSWERS_A_SECOND)


def test_answers_are_fewer_than_the_budget_has(throttle: LoginThrottle) -> None:
    """A hundred that wait for their answers come back more slowly than the budget fills."""
    drain(throttle.guesses.budget, "a")
    holds = [throttle.hold("a") for _ in range(200)]
    assert holds == sorted(holds) and holds[-1] == bounds.PATIENCE
    assert holds[79] == pytest.approx(80 / bounds.ANSWERS_A_SECOND)
    assert bounds.ANSWERS_A_SECOND < bounds.GUESSES_A_SECOND


def test_nothing_is_left_of_what_was_held(throttle: LoginThrottle, clock: Clock) -> None:
    drain(throttle.guesses.budget, "a")
    for _ in range(5):
        throttle.hold("a")
    for _ in range(5):
        throttle.release("a")
    clock.now += 60.0
    assert throttle.sweep() is None and len(throttle) == 0
