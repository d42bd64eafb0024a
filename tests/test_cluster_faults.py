"""Nothing is lost on shaking ground: seeded schedules of what happens to nodes and engines."""

from __future__ import annotations

from collections import Counter

from tests.cluster_faults import Schedule


def test_the_same_seed_is_the_same_schedule() -> None:
    assert Schedule.of(7) == Schedule.of(7)
    found = [Schedule.of(seed) for seed in range(80)]
    assert len({each.steps for each in found}) == 80
    assert {each.nodes for each in found} == {2, 3, 4}
    assert {each.engine for each in found} == {"redis", "valkey"}
    happens = Counter(step.what for each in found for step in each.steps)
    assert happens.keys() >= {
        "kill", "stop", "end", "away", "slow", "lost reply", "pause", "pause writes", "freeze",
        "full", "flush scripts", "empty", "move", "cut",
    }  # fmt: skip
