"""What was spent elsewhere: charged here as if it had been spent here, into debt if need be."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import pytest

from server import limits
from server.budget import Budget
from server.rate_limits import FairRateLimiter, MemberRateLimiter, RateLimiter
from server.throttle import Rate, Rates, TokenBuckets
from tests.held import held
from tests.test_fair_shares import taken
from tests.test_rate_limits import Clock

SMALL = Rates(Rate(2.0, 3.0), Rate(10.0, 20.0))


@pytest.fixture
def clock() -> Clock:
    """One that stands still."""
    return Clock()


def listened(budget: Budget) -> list[tuple[Hashable, int]]:
    """All that it says from now on was spent: the key, and how much."""
    told: list[tuple[Hashable, int]] = []
    budget.on_spent = lambda key, count: told.append((key, count))
    return told


def test_a_window_is_charged(clock: Clock) -> None:
    """It slides as if all had been counted here, at the time when it was."""
    windows = RateLimiter(3, 10.0, clock)
    windows.charge("a", 2, ago=4.0)
    assert windows.take("a") == 0.0
    assert windows.take("a") == 6.0
    clock.now += 6.0
    assert [windows.take("a"), windows.take("a")] == [0.0, 0.0]
    windows.charge("a", -1)
    assert windows.take("a") == 0.0
    windows.charge("b", 3, ago=10.0)
    assert windows.take("b") == 0.0


def test_a_windows_debt_is_what_the_newest_leave(clock: Clock) -> None:
    """However much was spent elsewhere, no more is kept than decides."""
    windows = RateLimiter(3, 10.0, clock)
    for _each in range(3):
        windows.take("a")
    clock.now += 4.0
    windows.charge("a", 10**9)
    assert windows.take("a") == 10.0
    assert len(windows._stamps["a"]) == 3


def test_charged_windows_are_bounded(clock: Clock) -> None:
    windows = RateLimiter(1, 10.0, clock, most=2)
    for name in "abc":
        windows.charge(name, 1)
    assert held(windows) == 2


def test_an_addresses_share_is_charged(clock: Clock) -> None:
    """Of whom it was counts, too."""
    shares = FairRateLimiter(12, 10.0, clock)
    shares.charge(("a", "eve"), 12)
    assert shares.take("a", "eve")
    assert taken(shares, "ann") == 6
    shares.charge(("a", "eve"), -7)
    assert taken(shares, "eve") == 1
    shares.charge(("b", "eve"), 12, ago=10.0)
    assert taken(shares, "ann", group="b") == 12


def test_an_addresses_debt_is_bounded(clock: Clock) -> None:
    shares = FairRateLimiter(2, 10.0, clock)
    shares.charge(("a", "eve"), 10**9)
    shares.charge(("a", "ann"), 1)
    use = shares._addresses["a"]
    assert len(use.stamps) == use.used.total() == 2 * limits.CHARGED_DEBT
    shares.charge(("a", "eve"), -(10**9))
    assert dict(use.used) == {"ann": 1}


def test_a_members_window_and_its_addresss_are_charged_together() -> None:
    """And both are told of as one."""
    posts = MemberRateLimiter(2, 60.0)
    told = listened(posts)
    posts.count("bob", "a")
    posts.uncount("bob", "a")
    assert told == [(("a", "bob"), 1), (("a", "bob"), -1)]
    posts.charge(("a", "bob"), 2)
    assert posts.own.take("bob") and posts.shares._addresses["a"].used == {"bob": 2}


def test_a_bucket_is_charged(clock: Clock) -> None:
    """Into debt; what it has gained since is not taken again."""
    buckets = TokenBuckets(SMALL, clock)
    buckets.charge("a", 5)
    assert buckets.take("a") == 1.5
    buckets.charge("a", -2)
    assert buckets.take("a") == 0.5
    buckets.charge("b", 3, ago=1.0)
    assert buckets.spare("b") == 2.0
    buckets.charge("c", 3, ago=1.5)
    assert "c" not in buckets._buckets  # full already, and forgotten


def test_a_buckets_debt_is_bounded(clock: Clock) -> None:
    """Nobody waits for ever, whatever was spent."""
    buckets = TokenBuckets(SMALL, clock)
    buckets.charge("a", 10**9)
    assert buckets.spare("a") == -limits.CHARGED_DEBT * 3.0


@pytest.mark.parametrize(
    ("budget", "key"),
    [
        (RateLimiter(1, 60.0), "a"),
        (FairRateLimiter(1, 60.0), ("a", "bob")),
        (TokenBuckets(Rates(Rate(1e-6, 1.0), Rate(1e-6, 1.0))), "a"),
    ],
    ids=["window", "share", "bucket"],
)
def test_what_is_counted_here_is_told(
    budget: RateLimiter | FairRateLimiter | TokenBuckets, key: str | tuple[str, str]
) -> None:
    """Each taking and what is given back; not what was refused, or what others have told."""
    told = listened(budget)
    names = (key,) if isinstance(key, str) else key
    take: Callable[..., float] = budget.take
    give_back: Callable[..., None] = budget.give_back
    assert not take(*names)
    assert take(*names)
    give_back(*names)
    budget.charge(key, 1)
    assert told == [(key, 1), (key, -1)]
