"""When to try again, and what makes a client stop. No network, and a clock of the test's own."""

from __future__ import annotations

import pytest

from client.connection.backoff import ENTRIES, GRACE_DELAY, LASTED, LONGEST_DELAY, Backoff
from client.connection.circuit_breakers import GUESSES_SECONDS, Guesses
from client.connection.heartbeat import HeartbeatInterval


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def most(_low: float, high: float) -> float:
    return high


def least(low: float, _high: float) -> float:
    return low


def delays(backoff: Backoff, count: int, welcome: bool = True) -> list[float]:
    return [backoff.delay(welcome) for _ in range(count)]


def test_each_wait_is_twice_the_one_before() -> None:
    backoff = Backoff(Clock(), most)
    backoff.entered()
    backoff.lost(grace=0.0)
    assert delays(backoff, 8) == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, LONGEST_DELAY, LONGEST_DELAY]
    assert backoff.attempt == 8


def test_while_the_place_is_kept_no_wait_is_longer_than_two_seconds() -> None:
    clock = Clock()
    backoff = Backoff(clock, most)
    backoff.entered()
    clock.now += 100.0
    backoff.lost(grace=60.0)
    assert delays(backoff, 6) == [0.5, 1.0, *[GRACE_DELAY] * 4]
    clock.now += 60.0
    assert backoff.delay(True) == LONGEST_DELAY


def test_who_was_turned_away_waits_longer_within_the_grace_too() -> None:
    clock = Clock()
    backoff = Backoff(clock, most)
    backoff.entered()
    backoff.lost(grace=60.0)
    assert delays(backoff, 5, welcome=False) == [0.5, 1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize("chance", [least, most])
@pytest.mark.parametrize("lasts", [0.0, 1.0, 5.0, LASTED - 0.1, LASTED + 0.1])
def test_a_server_that_lets_in_and_hangs_up_is_asked_ten_times_a_minute_at_most(
    lasts: float, chance: object
) -> None:
    clock = Clock()
    backoff = Backoff(clock, chance)  # type: ignore[arg-type]
    entered: list[float] = []
    while clock.now < 1600.0:
        backoff.entered()
        entered.append(clock.now)
        clock.now += lasts
        backoff.lost(grace=60.0)
        clock.now += backoff.delay(True)
    for at, moment in enumerate(entered):
        assert sum(moment <= other < moment + 60.0 for other in entered[at:]) <= ENTRIES


def test_now_and_then_a_connection_that_lasts_does_not_help_such_a_server() -> None:
    clock = Clock()
    backoff = Backoff(clock, least)
    entered: list[float] = []
    for number in range(200):
        backoff.entered()
        entered.append(clock.now)
        clock.now += LASTED if number % 5 == 0 else 0.0
        backoff.lost(grace=60.0)
        clock.now += backoff.delay(True)
    assert all(b - a >= 60.0 for a, b in zip(entered, entered[ENTRIES:], strict=False))


def test_a_second_connection_is_one_of_the_ten() -> None:
    clock = Clock()
    backoff = Backoff(clock)
    for _ in range(ENTRIES):
        assert not backoff.closed()
        backoff.entered()
        clock.now += 1.0
    assert backoff.closed() == 60.0 - ENTRIES
    clock.now += 60.0 - ENTRIES
    assert not backoff.closed()


def test_what_was_is_forgotten_after_a_connection_that_lasted() -> None:
    clock = Clock()
    backoff = Backoff(clock, most)
    for _ in range(4):
        backoff.entered()
        backoff.lost(grace=60.0)
        last = backoff.delay(True)
    assert last == 4.0 and backoff.attempt == 4
    backoff.entered()
    clock.now += LASTED
    backoff.lost(grace=60.0)
    assert backoff.delay(True) == 0.5 and backoff.attempt == 1


def test_three_handshakes_that_proved_nothing_within_an_hour_are_too_many() -> None:
    """Also if others in between went well: a guesser may let them through."""
    clock = Clock()
    tried = Guesses(clock)
    for minute in range(3):
        assert not tried.too_many()
        clock.now = 1000.0 + minute * 60.0
        tried.begin()
        tried.begin()
        tried.proven()
    assert tried.too_many()
    clock.now = 1000.0 + GUESSES_SECONDS
    assert not tried.too_many()


def test_who_knows_of_them_and_goes_on_has_as_many_again() -> None:
    tried = Guesses(Clock())
    for _ in range(3):
        tried.begin()
    assert tried.too_many()
    tried.forget()
    tried.begin()
    assert not tried.too_many()


def test_heartbeats_are_as_the_server_wants_them_or_more_frequent() -> None:
    assert HeartbeatInterval().interval(30.0) == 30.0
    assert HeartbeatInterval(8.0).interval(30.0) == 8.0
    assert HeartbeatInterval(60.0).interval(30.0) == 30.0


def test_two_cuts_after_the_same_silence_halve_it() -> None:
    """A box that cuts at ten seconds, and then one at four."""
    heartbeat = HeartbeatInterval()
    assert not heartbeat.cut(10.6, 30.0)
    assert heartbeat.cut(10.9, 30.0)
    assert heartbeat.interval(30.0) == pytest.approx(5.3)
    assert not heartbeat.cut(4.0, 5.3) and heartbeat.cut(4.1, 5.3)
    assert heartbeat.interval(30.0) == pytest.approx(2.0)


@pytest.mark.parametrize("idles", [(10.0, 17.0), (1.0, 1.0), (0.1, 10.0), (29.0, 9.0, 17.0)])
def test_cuts_that_are_not_alike_or_soon_mean_nothing(idles: tuple[float, ...]) -> None:
    heartbeat = HeartbeatInterval()
    assert not any(heartbeat.cut(idle, 30.0) for idle in idles)
    assert heartbeat.interval(30.0) == 30.0
