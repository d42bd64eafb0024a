"""Sliding windows: what is counted, what is given back, and how little is kept."""

from __future__ import annotations

import threading
from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from server import limits
from server.rate_limits import RateLimiter
from tests.held import held


class Clock:
    """A clock that stands still until it is told to move on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_so_many_and_no_more() -> None:
    """The limit is exact, and what is refused says how long to wait."""
    clock = Clock()
    windows = RateLimiter(3, 10.0, clock)
    for _ in range(3):
        assert windows.take("a") == 0.0
        clock.now += 1.0
    assert windows.take("a") == 7.0


def test_the_window_slides() -> None:
    """One more is allowed exactly when the oldest has left, not when the clock strikes."""
    clock = Clock()
    windows = RateLimiter(2, 10.0, clock)
    windows.take("a")
    clock.now += 4.0
    windows.take("a")
    clock.now += 5.75
    assert windows.take("a") == 0.25
    clock.now += 0.25
    assert windows.take("a") == 0.0
    assert windows.take("a") == 4.0


def test_refused_takings_are_not_counted() -> None:
    """Who hammers is let in as soon as who waits."""
    clock = Clock()
    windows = RateLimiter(1, 10.0, clock)
    windows.take("a")
    for _ in range(50):
        assert windows.take("a") > 0.0
    clock.now += 10.0
    assert windows.take("a") == 0.0


def test_a_wait_is_never_nothing() -> None:
    """A refusal that says 0 would be taken for a permission."""
    clock = Clock()
    clock.now = 13.44
    windows = RateLimiter(1, 4.3, clock)
    windows.take("a")
    clock.now = 17.74  # rounded: less than the window later, and no less than its end
    assert 0.0 < windows.take("a") < 0.01


def test_keys_do_not_share() -> None:
    """One member's flood is not another's."""
    windows = RateLimiter(1, 10.0, Clock())
    assert windows.take("a") == 0.0
    assert windows.take("b") == 0.0
    assert windows.take(b"a") == 0.0
    assert windows.take("a") > 0.0


def test_what_is_given_back_can_be_taken_again() -> None:
    """A post that something else refused costs its sender nothing."""
    windows = RateLimiter(1, 10.0, Clock())
    windows.take("a")
    windows.give_back("a")
    assert windows.take("a") == 0.0
    assert windows.take("a") > 0.0


def test_giving_back_what_was_never_taken_is_harmless() -> None:
    """Nobody earns a place by being refused."""
    windows = RateLimiter(1, 10.0, Clock())
    windows.give_back("a")
    assert windows.take("a") == 0.0
    windows.give_back("a")
    windows.give_back("a")
    assert windows.take("a") == 0.0
    assert windows.take("a") > 0.0


def test_giving_back_another_ones_stamp_frees_the_newest() -> None:
    """Of two at once it does not matter whose goes: the one that stays is not younger.

    So the window may open a little early for what was counted between the two, and never
    holds more than the limit.
    """
    clock = Clock()
    windows = RateLimiter(2, 10.0, clock)
    windows.take("a")  # the first thread's, which will be given back
    clock.now += 1.0
    windows.take("a")  # the second thread's
    windows.give_back("a")
    assert windows.take("a") == 0.0
    assert windows.take("a") == 9.0


def test_the_table_is_bounded_and_drops_the_most_idle() -> None:
    """New keys push out those that were not used for longest."""
    windows = RateLimiter(1, 10.0, Clock(), most=3)
    for key in "abc":
        windows.take(key)
    windows.take("a")  # refused, yet in use
    windows.take("d")
    assert held(windows) == 3
    assert windows.take("a") > 0.0
    assert windows.take("d") > 0.0
    assert windows.take("c") > 0.0
    assert windows.take("b") == 0.0


def test_the_bound_is_the_one_that_is_documented() -> None:
    """Without being told otherwise."""
    windows = RateLimiter(1, 10.0, Clock())
    for key in range(limits.WINDOWS + 10):
        windows.take(key)
    assert held(windows) == limits.WINDOWS


def test_sweeping_forgets_what_has_left_its_window() -> None:
    """And says whether there is anything left to come back for."""
    clock = Clock()
    windows = RateLimiter(2, 10.0, clock)
    assert windows.sweep() is None
    windows.take("a")
    clock.now += 5.0
    windows.take("b")
    assert windows.sweep() == 10.0
    assert held(windows) == 2
    clock.now += 5.0
    assert windows.sweep() == 10.0
    assert held(windows) == 1
    clock.now += 5.0
    assert windows.sweep() is None
    assert held(windows) == 0


def test_sweeping_forgets_what_was_given_back() -> None:
    """A key whose only taking came to nothing is nobody's."""
    windows = RateLimiter(2, 10.0, Clock())
    windows.take("a")
    windows.give_back("a")
    assert windows.sweep() is None
    assert held(windows) == 0


@given(st.lists(st.tuples(st.floats(0, 5), st.sampled_from(["take", "give"])), max_size=60))
def test_never_more_than_the_limit_in_any_window(steps: list[tuple[float, str]]) -> None:
    """Against a model that keeps every stamp: no window of ten seconds holds more than four."""
    clock = Clock()
    windows = RateLimiter(4, 10.0, clock)
    model: deque[float] = deque()
    for pause, step in steps:
        clock.now += pause
        while model and clock.now - model[0] >= 10.0:
            model.popleft()
        if step == "give":
            windows.give_back("a")
            if model:
                model.pop()
            continue
        allowed = windows.take("a") == 0.0
        assert allowed == (len(model) < 4)
        if allowed:
            model.append(clock.now)


def test_threads_together_get_no_more_than_the_limit() -> None:
    """Eight threads that take and give back at will leave exactly what they kept."""
    windows = RateLimiter(1000, 10.0, Clock())
    kept = [0] * 8

    def work(number: int) -> None:
        for turn in range(400):
            if windows.take("a") == 0.0:
                if turn % 4 == number % 4:
                    windows.give_back("a")
                else:
                    kept[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(kept) <= 1000
    left = 0
    while windows.take("a") == 0.0:
        left += 1
    assert sum(kept) + left == 1000
