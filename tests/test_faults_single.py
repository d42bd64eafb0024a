"""Single faults: a cut at each byte, a frozen line, a reader that falls behind, a killed server, a
stopped client.

The suite cuts at some bytes and kills one server.  With ``CMD_CHAT_SOAK`` it is each byte, and
several servers.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections import Counter
from typing import Any

import pytest

from client import events
from protocol import pake
from tests import processes
from tests.conftest import IdentityPool
from tests.faults import SIDE_ROOM, Fault, Group, Network, Person, check, party, world

SOAK = int(os.environ.get("CMD_CHAT_SOAK") or 0)

HASTY: dict[str, Any] = {"heartbeat_interval": 0.1, "heartbeat_timeout": 0.6}

# One cut, at each byte

# Enough for the record of a post, and for those of its answer.
_BYTES = 1600
_STEP = 1 if SOAK else 61


@pytest.mark.soak
@pytest.mark.timeout(600 if SOAK else 60)
@pytest.mark.parametrize(
    ("whose", "up"),
    [(0, True), (0, False), (1, False)],
    ids=["the post", "its answer", "the post on its way to a reader"],
)
def test_a_cut_at_each_byte(pool: IdentityPool, prs: bytes, whose: int, up: bool) -> None:
    """Before, during and after the acknowledgement: once, in order, and nobody notices."""
    with world(prs) as tap, party(
        pool, prs, 2, beside=[SIDE_ROOM], max_messages_per_window=1_000_000
    ) as group:
        ann, ben = group.people
        road, cuts = group.people[whose].road, 0
        for number, size in enumerate(range(0, _BYTES, _STEP)):
            road.arm(Fault("reset" if number % 2 else "cut", up, size))
            text = ann.say(room=SIDE_ROOM if number % 4 > 1 else None)
            group.wait(lambda: ann.heard(text) and ben.heard(text), "a line")  # noqa: B023
            road.heal()
            cuts = group.network.obeyed().total()
            resumed = group.people[whose].all
            group.wait(lambda: len(resumed(events.Reconnected)) == cuts, "resuming")  # noqa: B023
        group.settle()
        assert not ann.all(events.MemberLeft) and not ben.all(events.MemberLeft)
    found = check(group, tap, forgiving=False)
    assert found["resumed"] == cuts > 300 // _STEP  # a record is longer


# Frozen, and thawed


def test_frozen_for_less_than_the_grace(pool: IdentityPool, prs: bytes) -> None:
    """Nobody notices, not even who was frozen."""
    with world(prs) as tap, party(pool, prs, 3) as group:
        ann, ben, _ = group.people
        ann.road.freeze()
        group.network.obeyed()
        mine, theirs = ann.say(), ben.say()
        group.wait(lambda: group.people[2].heard(theirs), "a line")
        assert not ann.heard(theirs) and not ben.heard(mine)
        ann.road.thaw()
        group.wait(lambda: ann.heard(theirs) and ben.heard(mine), "the thaw")
        group.settle()
    found = check(group, tap, forgiving=False)
    assert found["accepted"] == found["lines"] and not ann.all(events.Reconnecting)


def test_frozen_until_the_client_gives_up_and_thawed_when_it_is_back(
    pool: IdentityPool, prs: bytes
) -> None:
    """What the old connection still carries comes after the new one has taken its place."""
    with world(prs) as tap, party(pool, prs, 2) as group:
        ann, ben = group.people
        for up in (True, False):
            ann.road.arm(Fault("delay", up, seconds=1000.0))
        group.network.obeyed()
        mine, theirs = ann.say(), ben.say()
        ann.connection._liveness.timeout = 0.0  # it has waited for long enough
        assert ann.connection._sender.peer is not None
        ann.connection._sender.peer.wake()
        group.wait(lambda: ann.heard(mine) and ben.heard(mine) and ann.heard(theirs), "lines")
        ann.road.heal()
        group.settle()
    found = check(group, tap, forgiving=False)
    assert found["resumed"] == 1 and found["accepted"] == found["lines"]


def test_frozen_for_longer_than_the_grace(pool: IdentityPool, prs: bytes) -> None:
    """The others see it leave and come; what it said meanwhile is handed back, unseen."""
    with world(prs) as tap, party(pool, prs, 3, **HASTY) as group:
        ann, ben, cat = group.people
        ann.road.freeze()
        group.network.obeyed()
        mine, theirs = ann.say(), ben.say()
        group.wait(lambda: ben.all(events.MemberLeft) and cat.all(events.MemberLeft), "the grace")
        ann.road.thaw()
        group.wait(lambda: ann.back(mine), "the answer")
        group.settle()
    found = check(group, tap, forgiving=True)
    assert events.Reconnected(False) in ann.all(events.Reconnected)
    assert not any(person.heard(mine) for person in group.people)
    assert not ann.heard(theirs) and cat.heard(theirs)
    assert ann.all(events.Missed)
    assert found["handed back, yet taken"] == 0


def test_a_line_whose_answer_is_lost_for_good(pool: IdentityPool, prs: bytes) -> None:
    """The one case in which a line that is handed back was seen."""
    with world(prs) as tap, party(pool, prs, 2, **HASTY) as group:
        ann, ben = group.people
        ann.road.arm(Fault("delay", up=False, seconds=1000.0))
        group.network.obeyed()
        text = ann.say()
        group.wait(lambda: ben.heard(text), "a line")
        ann.road.close()
        group.wait(lambda: ben.all(events.MemberLeft), "the grace")
        ann.road.heal()
        group.wait(lambda: ann.back(text), "the answer")
        group.settle()
    found = check(group, tap, forgiving=True)
    assert found["handed back"] == found["handed back, yet taken"] == 1


# Falling behind


def test_falling_off_the_logs_end_under_load(pool: IdentityPool, prs: bytes) -> None:
    """Who does not read is told how much it has missed, and goes on as the same member."""
    with world(prs, narrow=True) as tap, party(pool, prs, 3, narrow=True) as group:
        ann, ben, cat = group.people
        cat.road.freeze()
        group.network.obeyed()
        for _ in range(40):
            texts = [ann.say(3000), ben.say(3000)]
            # In step, so that these two do not fall behind as well.
            group.wait(lambda: all(who.heard(text) for who in (ann, ben) for text in texts), "talk")  # noqa: B023
        cat.road.thaw()
        group.settle()
        assert not cat.all(events.Reconnecting) and not ann.all(events.MemberLeft)
    found = check(group, tap, forgiving=False)
    assert found["rejoined"] >= 1 and cat.all(events.Missed)
    assert found["accepted"] == found["lines"]


# Killed and stopped


def _plain_check(people: list[Person]) -> Counter[str]:
    """Without the log, which died with its server: once, in order, and one answer for each."""
    found: Counter[str] = Counter()
    for person in people:
        shown = Counter(message.text for message in person.all(events.Message))
        assert all(number == 1 for number in shown.values()), shown
        back = Counter(line.text for line in person.all(events.NotSent))
        for text in person.typed:
            assert shown[text] + back[text] == 1, text
        for other, room in itertools.product(people, ("hall", SIDE_ROOM)):
            numbers = [
                int(message.text.split()[1])
                for message in person.all(events.Message)
                if message.text.split()[0] == other.nick and message.room == room
            ]
            assert numbers == sorted(numbers)
        for text in person.typed:
            others = sum(other.heard(text) for other in people if other is not person)
            found["lines"] += 1
            found["handed back"] += back[text]
            found["handed back, yet seen"] += bool(back[text] and others)
            found["taken, not seen by all"] += bool(shown[text] and others < len(people) - 1)
        assert not person.all(events.Warning) and not person.all(events.Unreadable)
    return found


@pytest.mark.soak
@pytest.mark.timeout(600 if SOAK else 60)
def test_a_server_that_is_killed_under_load(
    pool: IdentityPool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everybody comes back to the next one by itself and goes on; nothing is shown twice."""
    prs = pake.password_prs(processes.PASSWORD)
    total: Counter[str] = Counter()
    for kill in range(min(SOAK, 20) or 1):
        with world(prs), Network() as network, processes.Server() as first:
            with Group(network, first.port, pool, prs, 4, beside=[SIDE_ROOM]) as group:
                for number in range(25):
                    for person in group.people:
                        person.say(room=SIDE_ROOM if number % 2 else None)
                enough = 20 + 5 * kill
                group.wait(
                    lambda: len(group.people[3].all(events.Message)) > enough, "talk"  # noqa: B023
                )
                first.signal(signal.SIGKILL)
                first.end()
                for person in group.people:
                    person.say()
                    person.say(room=SIDE_ROOM)
                with processes.Server(port=first.port):
                    again = events.Reconnected(False)
                    group.wait(
                        lambda: all(again in person.all(events.Reconnected)  # noqa: B023
                                    for person in group.people),  # noqa: B023
                        "coming back",
                    )  # fmt: skip
                    group.settle()
                    for person in group.people:
                        assert person.all(events.Missed), person.nick
                        assert person.heard(group.people[0].typed[-1])
            total.update(_plain_check(group.people))
            total["killed"] += 1
    if SOAK:
        with capsys.disabled():
            print(f"\nkilled servers: {dict(total)}")


@pytest.mark.parametrize("longer", [False, True], ids=["less than the grace", "more than that"])
def test_a_client_that_is_stopped(pool: IdentityPool, longer: bool) -> None:
    """SIGSTOP, and SIGCONT: it goes on, or comes in anew, and no line of its is lost."""
    prs = pake.password_prs(processes.PASSWORD)
    with world(prs), party(pool, prs, 1, **(HASTY if longer else {})) as group:
        (ann,) = group.people
        with processes.Client(("127.0.0.1", group.port), "stan", "--room", "hall") as stan:
            group.wait(lambda: ann.all(events.MemberJoined), "coming")
            processes.stop_process(stan)
            texts = [ann.say() for _ in range(5)]
            stan.say("stan 0")
            if longer:
                group.wait(lambda: ann.all(events.MemberLeft), "the grace")
            stan.signal(signal.SIGCONT)
            if longer:
                assert stan.next("reconnected")["resumed"] is False
                group.wait(lambda: len(ann.all(events.MemberJoined)) == 2, "coming back")
                texts = [ann.say() for _ in range(5)]
            for text in texts:
                stan.next("message", text=text)
            assert len(ann.all(events.MemberLeft)) == longer
            stan.finish()
            assert len(stan.all("message", text="stan 0") + stan.all("not_sent")) == 1
            assert not stan.all("warning") and not stan.all("unreadable")
            heard = stan.texts(self_=False)
            assert len(set(heard)) == len(heard) and heard[-5:] == texts
        if not longer:
            assert ann.heard("stan 0") and not stan.all("reconnecting")
