"""Output that nobody reads for a while costs a client nothing but memory for a bounded queue."""

from __future__ import annotations

import threading

import pytest

from client import events
from client.connection import silence
from tests.conftest import IdentityPool
from tests.processes import Client, Server
from tests.test_silent_network import two

LINES, TIMEOUT = 3000, 1.0

pytestmark = pytest.mark.timeout(120)


def test_output_that_nobody_reads_costs_no_membership() -> None:
    """For three of the server's time-outs: heartbeats go on, and all is there when it is read."""
    settings = {
        "HEARTBEAT_INTERVAL": "0.3", "HEARTBEAT_TIMEOUT": str(TIMEOUT),
        "MAX_MESSAGES_PER_WINDOW": "100000",
    }  # fmt: skip
    with (
        Server(settings) as server,
        Client(server, "alice", "--listen") as alice,
        Client(server, "bob") as bob,
    ):
        alice.meets("bob")
        bob.meets("alice")
        bob.say(*(f"line {number}" for number in range(LINES)))
        bob.wait_for(lambda: len(bob.texts()) == LINES)
        threading.Event().wait(3 * TIMEOUT)  # that long nothing of alice's output is read
        bob.say("over")
        alice.next("message", text="over")
        assert alice.texts(from_="bob") == [*(f"line {number}" for number in range(LINES)), "over"]
        assert alice.all("reconnecting") == bob.all("left") == []
        alice.say("still here")
        bob.next("message", text="still here")


def test_nothing_is_read_while_what_has_come_is_not_taken(
    pool: IdentityPool, prs: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That bounds what waits; typing and sending go on, and it is no silence of the network's."""
    monkeypatch.setattr(silence, "FIRST_NOTICE", 0.05)
    monkeypatch.setattr(silence, "DIAL_AFTER", 0.1)
    room = threading.Event()
    with two(pool, prs) as (group, ann, ben):
        ann.connection._await_room = room.wait
        first = ben.say()  # that may be read already, if it was being waited for
        group.wait(lambda: ben.heard(first), "the first line")
        mine, theirs = ann.say(), [ben.say() for _ in range(20)]
        group.wait(lambda: ben.heard(mine) and ben.heard(theirs[-1]), "both lines")
        threading.Event().wait(0.3)  # longer than any patience of the network's
        assert not ann.heard(theirs[-1])
        room.set()
        group.wait(lambda: ann.heard(theirs[-1]), "the rest")
        assert not ann.all(events.NoAnswer) and not ann.all(events.Reconnecting)
