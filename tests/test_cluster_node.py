"""What a node does at which time, turn by turn: a real engine, and a clock of our own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from server.cluster import limits
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
