"""Nothing is lost on shaking ground: seeded schedules of what happens to nodes and engines.

The suite plays a fixed sample, short ones.  ``CMD_CHAT_SOAK`` asks for a sixth of that many
instead, and ``CMD_CHAT_SEED`` says from where (tests/cluster_faults.py).
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.cluster_faults import Schedule, figures, play
from tests.conftest import IdentityPool
from tests.machine import needs

SOAK = int(os.environ.get("CMD_CHAT_SOAK") or 0) // 6  # each takes longer than those elsewhere
FIRST = int(os.environ.get("CMD_CHAT_SEED") or 0)


def test_the_same_seed_is_the_same_schedule() -> None:
    assert Schedule.of(7) == Schedule.of(7)
    found = [Schedule.of(seed) for seed in range(80)]
    assert len({each.steps for each in found}) == 80
    assert {each.nodes for each in found} == {2, 3, 4}
    assert {each.engine for each in found} == {"redis", "valkey"}
    happens = Counter(step.what for each in found for step in each.steps)
    assert happens.keys() >= {
        "kill", "stop", "end", "away", "slow", "lost reply", "pause", "pause writes", "freeze",
        "full", "flush scripts", "empty", "fail over", "move", "cut",
    }  # fmt: skip


@needs("orphans", beside="test_the_same_seed_is_the_same_schedule")  # SIGSTOP, and /proc
@pytest.mark.soak
@pytest.mark.timeout(0 if SOAK else 60)
def test_schedules(pool: IdentityPool, prs: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """Eight people on two to four nodes; each transcript is like what the engine has."""
    if SOAK:
        found, failed = play(range(FIRST, FIRST + SOAK), pool, prs)
        with capsys.disabled():
            print(f"\nfaults of several servers: {figures(found)}")
    else:
        found, failed = play(range(4), pool, prs, at_once=4, length=20, faults=3)
    assert not failed, failed
    assert found["schedules"] == (SOAK or 4)
    assert found["accepted"] > 10 * found["schedules"]
    assert found["resumed"] + found["joined anew"]
