"""The gate: nobody can take every place, and every place comes back."""

from __future__ import annotations

import threading

import pytest

from server import bounds
from server.gate import Gate


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that a test can reach."""
    monkeypatch.setattr(bounds, "CONNECTIONS", 6)
    monkeypatch.setattr(bounds, "CONNECTIONS_OF_ADDRESS", 3)
    monkeypatch.setattr(bounds, "UNPROVEN", 4)


@pytest.mark.usefixtures("small")
def test_one_address_has_a_share() -> None:
    """What one address cannot have, another one can."""
    gate = Gate()
    for _ in range(3):
        assert gate.enter("a")
    assert not gate.enter("a")
    assert gate.enter("b")


@pytest.mark.usefixtures("small")
def test_strangers_cannot_take_every_place() -> None:
    """Whoever has proven itself makes room for the next stranger."""
    gate = Gate()
    for group in "abcd":
        assert gate.enter(group)
    assert not gate.enter("e")
    gate.prove()
    assert gate.enter("e")
    assert not gate.enter("f")


@pytest.mark.usefixtures("small")
def test_there_is_an_end_in_all() -> None:
    """Proven or not, from wherever."""
    gate = Gate()
    for group in "aabbcc":
        assert gate.enter(group)
        gate.prove()
    assert not gate.enter("d")
    gate.leave("a", proven=True)
    assert gate.enter("d")


@pytest.mark.usefixtures("small")
def test_every_place_comes_back() -> None:
    """However it was left, a thousand visits leave the gate as it was."""
    gate = Gate()
    for turn in range(1000):
        assert gate.enter("a"), turn
        proven = turn % 2 == 0
        if proven:
            gate.prove()
        gate.leave("a", proven)
    for group in "aabb":
        assert gate.enter(group)
    assert not gate.enter("c")


@pytest.mark.usefixtures("small")
def test_addresses_that_have_gone_are_forgotten() -> None:
    """The table holds no more addresses than there are connections."""
    gate = Gate()
    for number in range(1000):
        assert gate.enter(str(number))
        gate.leave(str(number), proven=False)
    assert len(gate._of_group) == 0


def test_refused_ones_leave_no_trace(small: None) -> None:
    """A flood of refused connections does not grow the table."""
    gate = Gate()
    for group in "abcd":
        gate.enter(group)
    for number in range(1000):
        assert not gate.enter(f"flood {number}")
    assert len(gate._of_group) == 4


def test_waiting_for_the_last_one() -> None:
    """Who waits is woken by the last to go."""
    gate = Gate()
    assert gate.wait_empty(0.0)
    gate.enter("a")
    gate.enter("b")
    assert not gate.wait_empty(0.0)
    waiting, done = threading.Event(), []

    def wait() -> None:
        waiting.set()
        done.append(gate.wait_empty(20.0))

    thread = threading.Thread(target=wait)
    thread.start()
    waiting.wait()
    gate.leave("a", proven=False)
    gate.leave("b", proven=False)
    thread.join()
    assert done == [True]
