"""When lines may go out, by a server's limit and its refusals."""

from __future__ import annotations

import math
from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from client.pacing import MOST_COUNTED, MOST_SECONDS, Pacing


class Clock:
    """A clock that is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def paced(limit: int, window: float) -> tuple[Pacing, Clock]:
    clock = Clock()
    pacing = Pacing(clock)
    pacing.allow(limit, window)
    return pacing, clock


def test_a_burst_goes_at_once_and_the_next_line_when_the_first_leaves_the_window() -> None:
    pacing, clock = paced(3, 60.0)
    for sent in range(3):
        assert pacing.ready_at(sent) <= clock.now
    assert pacing.ready_at(3) == math.inf  # not before an answer
    for _ in range(3):
        pacing.taken()
        clock.now += 1.0
    assert pacing.ready_at(0) == 1060.0
    clock.now = 1060.0
    assert pacing.ready_at(0) <= 1060.0
    assert pacing.ready_at(1) == 1061.0
    assert pacing.ready_at(3) == math.inf


def test_before_a_limit_is_known_and_where_it_is_huge_nothing_is_kept_back() -> None:
    pacing = Pacing(Clock())
    assert pacing.ready_at(10**6) <= 1000.0
    pacing.allow(MOST_COUNTED + 1, 60.0)
    for _ in range(MOST_COUNTED + 2):
        pacing.taken()
    assert pacing.ready_at(10**6) <= 1000.0


def test_no_window_is_longer_than_a_server_can_be_set_to() -> None:
    pacing, clock = paced(1, 1e9)
    pacing.taken()
    assert pacing.ready_at(0) == clock.now + MOST_SECONDS


def test_a_refusal_is_waited_for_whatever_the_limit_says() -> None:
    pacing, clock = paced(10, 60.0)
    pacing.refused(4.0)
    pacing.refused(2.0)
    assert pacing.ready_at(0) == 1004.0
    clock.now = 1005.0
    assert pacing.ready_at(0) <= 1005.0
    pacing.refused(None)
    assert 1005.0 < pacing.ready_at(0) < 1006.0
    pacing.refused(1e30)  # whatever a server says
    assert pacing.ready_at(0) <= 1005.0 + 86_400.0


def test_a_limit_may_change_with_the_server() -> None:
    pacing, clock = paced(2, 60.0)
    pacing.taken()
    pacing.taken()
    assert pacing.ready_at(0) == 1060.0
    pacing.allow(5, 10.0)
    assert pacing.ready_at(0) <= clock.now
    pacing.allow(1, 60.0)
    pacing.taken()
    assert pacing.ready_at(0) == 1060.0


@given(
    st.integers(1, 5),
    st.lists(
        st.tuples(st.floats(0.0, 20.0), st.floats(0.0, 5.0), st.floats(0.0, 5.0)), max_size=40
    ),
)
def test_no_server_has_to_refuse_and_none_waits_longer_than_the_way_there_and_back(
    limit: int, lines: list[tuple[float, float, float]]
) -> None:
    """Each line: seconds after the one before it is wanted, on the way there, and back."""
    window, clock = 10.0, Clock()
    pacing = Pacing(clock)
    pacing.allow(limit, window)
    counted: deque[float] = deque()  # at the server
    wanted = clock.now
    for pause, there, back in lines:
        wanted += pause
        clock.now = max(clock.now, wanted)
        ready = pacing.ready_at(0)
        assert ready - clock.now <= window + 1e-9  # floats
        clock.now = max(clock.now, ready)
        arrives = clock.now + there
        while counted and counted[0] + window <= arrives:
            counted.popleft()
        assert len(counted) < limit
        counted.append(arrives)
        clock.now = arrives + back
        pacing.taken()
