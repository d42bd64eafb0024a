"""What a node does at which time, turn by turn: a real engine, and a clock of our own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from server.cluster import calls, limits
from server.cluster.engine import Connector
from server.cluster.node import Node
from server.cluster.script import PlainCall
from server.cluster.scripts import scripts
from server.cluster.writer import Writer
from settings.backend import BackendSettings


class NoWork:
    """Nobody is here."""

    def __getattr__(self, _name: str) -> Any:
        return lambda *_arguments: ()


class Turns:
    """A node whose thread does not run."""

    def __init__(self, backend: BackendSettings) -> None:
        self.now = 0.0
        self.writer = Writer(Connector(backend), scripts())
        self.node = Node(
            backend.prefix, "a password", "", 90.0, self.writer, NoWork(), lambda: self.now
        )
        self.epoch = f"{backend.prefix}epoch"

    def turn(self, at: float) -> None:
        """One turn, and one for the answer if the lease was renewed."""
        self.now = at
        self.node._turn()
        if self.node._asked_at is not None:
            assert self.node._stirred.wait(10.0)
            self.node._stirred.clear()
            self.node._turn()

    def ask(self, *words: Any) -> Any:
        return self.writer.call(PlainCall(*words))


@pytest.fixture
def turns(backend: BackendSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Turns]:
    monkeypatch.setattr(limits, "POLICY_SCRYPT", 10)
    made = Turns(backend)
    made.writer.start()
    made.node.register()
    yield made
    made.writer.stop()


def test_a_node_stops_whatever_the_engine_says(turns: Turns) -> None:
    """Here something else stands where its scripts expect a set."""
    nodes = f"{turns.node.incarnation.under}nodes"
    turns.ask("DEL", nodes)
    turns.ask("SET", nodes, "no set")
    assert turns.node.has_others(10.0) is False
    turns.node._retire()


def test_what_is_to_be_said_again_has_a_bound(
    turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest goes."""
    monkeypatch.setattr(limits, "NODE_UNSAID", 3)
    made = Node("p", "a password", "", 90.0, turns.writer, NoWork(), lambda: turns.now)
    turns.writer.stop()  # it takes nothing more, as one that is away
    said: list[int] = []
    for number in range(5):
        made.tell(calls.poke(turns.node.incarnation, "den"), partial(said.append, number))
    for _call, on_done in made._unsaid:
        on_done()
    assert said == [2, 3, 4]


def test_jobs_between_two_renewals_do_not_keep_the_common_keys_from_being_renewed(
    turns: Turns,
) -> None:
    """The epoch would run out, and everybody would begin anew."""
    minute = limits.NODE_MINUTE
    turns.turn(minute - 0.5)
    turns.ask("PEXPIRE", turns.epoch, 1000 * int(minute))
    turns.turn(minute + 0.1)  # no renewal is due, the jobs are
    assert turns.ask("PTTL", turns.epoch) <= 1000 * minute
    turns.turn(minute - 0.5 + limits.NODE_RENEW_SECONDS)
    assert turns.ask("PTTL", turns.epoch) > 1000 * minute
