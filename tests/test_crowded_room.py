"""Strangers who come and go as fast as a server lets them, and members far away who only talk."""

from __future__ import annotations

import contextlib
import time

import pytest

from client import events, messages
from client.encryption import roster
from client.outbox import Line, Outbox
from protocol import limits as protocol_limits
from server import limits
from tests.conftest import IdentityPool
from tests.faults import ROOM, Group, Person, party, world
from tests.wire import LONG

LAG = 0.2  # seconds each way
IN_TIME = 10.0  # seconds
STRANGERS = 75


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> list[Line]:
    """The lines that were refused as stale, each time."""
    found: list[Line] = []
    put_back = Outbox._put_back

    def noted(outbox: Outbox, line: Line) -> None:
        found.append(line)
        put_back(outbox, line)

    monkeypatch.setattr(Outbox, "_put_back", noted)
    return found


def test_whoever_does_as_specified_is_heard_in_time(
    pool: IdentityPool, prs: bytes, monkeypatch: pytest.MonkeyPatch, refused: list[Line]
) -> None:
    """However often a line is overtaken: in ten seconds, by all, and also by those who have just
    come; nobody is struck out, and nothing is handed back.

    A post may be fewer changes behind than by default, and a room changes less often by as much:
    strangers in this process are slower than there could be.
    """
    for module in (protocol_limits, roster):
        monkeypatch.setattr(module, "CHANGES_BEHIND", 8)
    monkeypatch.setattr(limits, "CHANGE_BURST", 120.0)
    monkeypatch.setattr(limits, "CHANGES_A_SECOND", 15.0)
    with world(prs), party(pool, prs, 2, lag=LAG) as group, contextlib.ExitStack() as stack:
        group.crowd(ROOM, STRANGERS, 4)
        began = {text: time.monotonic() for text in (person.say() for person in group.people)}
        heard: dict[str, float] = {}
        late: list[Person] = []
        while group.came < STRANGERS or len(late) < 2:
            if len(late) < 2 and group.came > 25 * len(late):
                late.append(_comer(group, pool, prs, 2 + len(late), stack))
                # As soon as they are seen they are spoken to.
                for person in group.people:
                    group.wait(lambda: _sees(person, late[-1]), "coming in")  # noqa: B023
                    began[person.say()] = time.monotonic()
                    said = person.typed[-1]
                    group.wait(lambda: late[-1].heard(said), "being heard")  # noqa: B023
                    assert time.monotonic() - began[said] < IN_TIME
            text = group.people[len(began) % 2].say()
            began[text] = time.monotonic()
            group.wait(lambda: all(p.heard(text) for p in group.people), "a line")  # noqa: B023
            heard[text] = time.monotonic() - began[text]
        for text in began:
            group.wait(lambda: all(p.heard(text) for p in group.people), text)  # noqa: B023
        for person in (*group.people, *late):
            assert not person.all(events.NotSent) and not person.all(events.Error)
            assert not person.all(events.Warning) and not person.all(events.Reconnecting)
            struck = messages.coming_back("protocol")
            assert struck not in [notice.text for notice in person.all(events.Notice)]
    assert max(heard.values()) < IN_TIME
    assert refused, "no line was overtaken"


def _sees(person: Person, other: Person) -> bool:
    return any(event.nick == other.nick for event in person.all(events.MemberJoined))


def _comer(
    group: Group, pool: IdentityPool, prs: bytes, number: int, stack: contextlib.ExitStack
) -> Person:
    """One more, from far away, who leaves in the end."""
    person = Person(group, number, pool, prs)
    person.road.lag = LAG
    person.connection.start()
    stack.callback(person.connection.wait, LONG)
    stack.callback(person.connection.leave)
    return person
