"""What all of one address may do: shared fairly, and never taken away by one of them."""

from __future__ import annotations

import threading

import pytest

from protocol.errors import AddressLimited, RateLimited
from server import limits
from server.rate_limits import FairRateLimiter, MemberRateLimiter
from tests.held import held
from tests.test_rate_limits import Clock
from tests.wire import LONG


@pytest.fixture
def clock() -> Clock:
    """One that stands still."""
    return Clock()


@pytest.fixture
def shares(clock: Clock) -> FairRateLimiter:
    """Twelve in ten seconds."""
    return FairRateLimiter(12, 10.0, clock)


def taken(shares: FairRateLimiter, who: str, most: int = 1000, group: str = "a") -> int:
    """How many ``who`` gets."""
    for count in range(most):
        if shares.take(group, who):
            return count
    return most


def test_one_alone_has_all_of_it(shares: FairRateLimiter) -> None:
    assert taken(shares, "ann") == 12
    assert taken(shares, "bob", group="b") == 12


def test_who_has_used_most_is_refused_first(shares: FairRateLimiter) -> None:
    """And who comes late gets as much as if the others had not taken so much."""
    assert taken(shares, "eve") == 12
    assert taken(shares, "ann") == 6
    assert taken(shares, "bob") == 4
    assert taken(shares, "cat") == 3
    assert shares.take("a", "eve") and shares.take("a", "ann")


def test_everybody_may_do_one(shares: FairRateLimiter) -> None:
    """However many there are."""
    assert taken(shares, "eve") == 12
    assert [taken(shares, f"n{number}") for number in range(50)][-30:] == [1] * 30


def test_when_there_is_more(shares: FairRateLimiter, clock: Clock) -> None:
    """As soon as enough of all, or of one's own, has left its window."""
    taken(shares, "eve", 6)
    clock.now += 1.0
    taken(shares, "ann", 6)
    clock.now += 1.0
    assert shares.take("a", "eve") == 8.0
    assert shares.take("a", "ann") == 8.0
    assert shares.take("a", "bob") == 0.0
    assert shares.take("a", "ann") == 8.0  # of thirteen, two have to go
    clock.now += 8.0
    assert shares.take("a", "ann") == 0.0


def test_what_is_given_back_was_never_taken(shares: FairRateLimiter) -> None:
    for _ in range(100):
        assert shares.take("a", "ann") == 0.0
        shares.give_back("a", "ann")
    shares.give_back("a", "ann")
    shares.give_back("b", "bob")
    assert taken(shares, "ann") == 12
    assert held(shares) == 1


def test_nothing_is_kept_longer_than_its_window(shares: FairRateLimiter, clock: Clock) -> None:
    for number in range(20):
        shares.take(f"address {number}", "ann")
    assert shares.sweep() == 10.0 and held(shares) == 20
    clock.now += 10.0
    assert shares.sweep() is None and held(shares) == 0


def test_addresses_are_bounded(shares: FairRateLimiter, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was not heard of for longest is forgotten."""
    monkeypatch.setattr(limits, "ADDRESSES", 2)
    for group in ("a", "b", "a", "c"):
        taken(shares, "ann", 12, group)
    assert held(shares) == 2
    assert shares.take("a", "ann") and not shares.take("b", "ann")


def test_many_threads_get_as_many_as_one(shares: FairRateLimiter) -> None:
    start, found = threading.Barrier(16), list[str]()

    def take() -> None:
        start.wait(LONG)
        for _ in range(3):
            if not shares.take("a", "ann"):
                found.append("ann")

    threads = [threading.Thread(target=take) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12


# With the settings that a server has by default


def said(allowance: MemberRateLimiter, who: str, times: int) -> int:
    """How many of ``times`` messages go out."""
    count = 0
    for _ in range(times):
        try:
            allowance.count(who, "office")
        except RateLimited:
            continue
        count += 1
    return count


def test_thirty_people_behind_one_address_chat_normally() -> None:
    """Each as much as it could alone."""
    allowance = MemberRateLimiter(10, 60.0)
    for _round in range(10):
        assert sum(said(allowance, f"n{number}", 1) for number in range(30)) == 30


def test_one_member_with_ten_identities_mutes_nobody() -> None:
    """Nor does one with thirty, to the full, before the others say a word."""
    for identities in (10, 30):
        allowance = MemberRateLimiter(10, 60.0)
        assert sum(said(allowance, f"eve{number}", 10) for number in range(identities)) > 99
        assert min(said(allowance, f"n{number}", 5) for number in range(20)) == 5


def test_a_refusal_says_whose_limit_it_is() -> None:
    """One's own, or the address's; what the address refuses is not charged to oneself."""
    allowance = MemberRateLimiter(10, 60.0)
    assert said(allowance, "ann", 10) == 10
    with pytest.raises(RateLimited) as own:
        allowance.count("ann", "office")
    assert own.value.code == "rate_limited"
    for number in range(100):
        said(allowance, f"n{number}", 10)
    assert said(allowance, "bob", 3) == 3
    for _ in range(20):
        with pytest.raises(AddressLimited) as shared:
            allowance.count("bob", "office")
    assert shared.value.code == "address_limited"
    assert 0 < float(shared.value.params["retry_after"]) <= 60.0
    assert said(allowance, "bob", 1) == 0
    allowance.uncount("bob", "office")
    assert said(allowance, "bob", 2) == 1
    assert len(allowance.own._stamps["bob"]) == 3
