"""Nothing is lost on a bad network: seeded schedules of faults, and what the check would find.

The suite plays a fixed sample of schedules.  ``CMD_CHAT_SOAK`` asks for that many instead, and
``CMD_CHAT_SEED`` says from where.  A schedule that fails can be played alone: its name is the
command for that.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from client import events
from tests.conftest import IdentityPool
from tests.faults import Group, Record, Schedule, Tap, check, figures, party, play, world

SOAK = int(os.environ.get("CMD_CHAT_SOAK") or 0)
FIRST = int(os.environ.get("CMD_CHAT_SEED") or 0)

# Schedules


def test_the_same_seed_is_the_same_schedule() -> None:
    assert Schedule.of(7) == Schedule.of(7)
    found = [Schedule.of(seed).steps for seed in range(40)]
    assert len(set(found)) == 40
    kinds = Counter(step.fault.kind for steps in found for step in steps if step.fault)
    assert kinds.keys() == {
        "cut", "reset", "away", "freeze", "delay", "throttle", "split", "merge"
    }  # fmt: skip


@pytest.mark.soak
@pytest.mark.timeout(0 if SOAK else 60)
@pytest.mark.parametrize("batch", range(1 if SOAK else 2))
def test_schedules(
    pool: IdentityPool, prs: bytes, batch: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Eight people, a network that fails all the time, and each transcript like the log."""
    if SOAK:
        found = play(range(FIRST, FIRST + SOAK), pool, prs)
        with capsys.disabled():
            print(f"\nfaults: {figures(found)}")
    else:
        found = play(range(8 * batch, 8 * batch + 8), pool, prs, length=10)
    assert found["schedules"] == (SOAK or 8)
    assert found["accepted"] > 10 * found["schedules"]
    # A batch has a handful of cuts: on a busy machine all of them may outlast the grace.  That
    # whoever comes back in time resumes is shown by test_faults_single.
    assert found["resumed"] + found["joined anew"] + found["rejoined"]
    assert found["resumed"] or not SOAK
    assert found["strangers"] > found["schedules"]


Forge = Callable[[list[Record]], None]


def _shown_twice(records: list[Record]) -> None:
    records.append(_message(records))


def _not_shown(records: list[Record]) -> None:
    records.remove(_message(records))


def _swapped(records: list[Record]) -> None:
    places = [
        place
        for place, record in enumerate(records)
        if isinstance(record.event, events.Message) and not record.event.mine
    ]
    one, other = places[:2]
    records[one], records[other] = records[other], records[one]


def _never_answered(records: list[Record]) -> None:
    records.remove(_message(records, mine=True))


def _also_handed_back(records: list[Record]) -> None:
    own = _message(records, mine=True)
    assert isinstance(own.event, events.Message)
    records.append(own._replace(event=events.NotSent("hall", own.event.text, "disconnected")))


def _left_for_a_moment(records: list[Record]) -> None:
    records.insert(-1, records[-1]._replace(event=events.MemberLeft("hall", "p1")))
    records.insert(-1, records[-1]._replace(event=events.MemberJoined("hall", "p1")))


def _warned(records: list[Record]) -> None:
    records.append(records[-1]._replace(event=events.Warning("transcript", "p1", "…")))


def _another_text(records: list[Record]) -> None:
    place = records.index(_message(records))
    event = records[place].event
    assert isinstance(event, events.Message)
    records[place] = records[place]._replace(event=replace(event, text="p1 77"))


def _message(records: list[Record], mine: bool = False) -> Record:
    return next(
        record
        for record in records
        if isinstance(record.event, events.Message) and record.event.mine is mine
    )


@pytest.fixture(scope="module")
def quiet_evening(pool: IdentityPool, prs: bytes) -> tuple[Group, Tap]:
    """Two people who have talked, and what the server knows of it."""
    with world(prs) as tap, party(pool, prs, 2) as group:
        for _ in range(3):
            for person in group.people:
                person.say()
        group.settle()
    return group, tap


@pytest.mark.parametrize(
    "forge",
    [
        _shown_twice, _not_shown, _swapped, _never_answered, _also_handed_back,
        _left_for_a_moment, _warned, _another_text,
    ],
)  # fmt: skip
def test_the_check_finds_what_is_wrong(quiet_evening: tuple[Group, Tap], forge: Forge) -> None:
    group, tap = quiet_evening
    found = check(group, tap, forgiving=False)
    assert found["lines"] == found["accepted"] == 8
    person = group.people[0]
    before = list(person.records)
    try:
        forge(person.records)
        with pytest.raises(AssertionError):
            check(group, tap, forgiving=False)
    finally:
        person.records[:] = before
