"""Coming in to one node of two: what holds on each, whichever step of it is the only one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from protocol import frames
from protocol.errors import Unavailable
from server import limits as server_limits
from server.cluster import limits
from server.cluster.mirror import MirrorRoom
from server.cluster.session import ClusterSession
from server.cluster.sessions import ClusterSessions
from server.cluster.writer import Writer
from settings.backend import BackendSettings
from tests.test_cluster_chat import Pair, Serve, Wires
from tests.test_server_connection import until
from tests.wire import Wire


@pytest.fixture
def pair(serve: Serve, backend: BackendSettings, monkeypatch: pytest.MonkeyPatch) -> Pair:
    """Two nodes of one chat."""
    monkeypatch.setattr(limits, "POLICY_SCRYPT", 4)
    return serve(backend=backend), serve(backend=backend)


def services(pair: Pair, at: int) -> Any:
    """What all connections of a node share."""
    return pair[at]._services


def several(wire: Wire) -> None:
    """Come in to several rooms, of which the first cannot be one."""
    wire.greet()
    wire.prove("several", stays=["no name", "tea", "lab"])
    wire.expect(frames.Welcome)
    assert wire.expect(frames.Refused).code == "bad_room"
    assert wire.arrive().room == "tea" and wire.arrive().room == "lab"


@pytest.fixture(name="asked")
def asked_fixture(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The scripts that anybody has waited for."""
    found: list[str] = []
    call = Writer.call

    def remembered(writer: Writer, asked: Any) -> Any:
        found.append(asked.script.name)
        return call(writer, asked)

    monkeypatch.setattr(Writer, "call", remembered)
    return found


def test_who_comes_anew_waits_for_the_engine_once(
    pair: Pair, wires: Wires, asked: list[str]
) -> None:
    for number, node in enumerate(pair):
        wires(node, number).join(f"n{number}")
    assert asked == ["come_in", "come_in"]
    several(wires(pair[0], 2))
    assert asked[2:] == ["look", "let_in", "enter", "enter"], "each by itself where one is refused"


def test_it_is_counted_once(
    pair: Pair, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it does not come in at once."""
    counted: list[object] = []
    take = services(pair, 0).joins.take

    def counting(*who: str) -> float:
        counted.append(who)
        return float(take(*who))

    monkeypatch.setattr(services(pair, 0).joins, "take", counting)
    several(wires(pair[0], 0))
    wires(pair[0], 1).join("bob", "tea")
    assert len(counted) == 2


def test_a_room_that_has_changed_too_often_is_waited_for_by_a_session(
    pair: Pair, wires: Wires, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that nobody takes its nickname meanwhile."""
    monkeypatch.setattr(server_limits, "CHANGE_BURST", 1)
    monkeypatch.setattr(server_limits, "CHANGES_A_SECOND", 2)
    wires(pair[0], 0).join("ann")
    monkeypatch.setattr(server_limits, "CHANGE_WAIT_TOLD", 0.0)
    late = wires(pair[0], 1)
    late.greet()
    late.prove("bob")
    assert late.expect(frames.Wait).seconds > 0
    assert asked == ["come_in", "look", "let_in"]
    monkeypatch.setattr(server_limits, "CHANGE_WAIT_TOLD", 9.0)
    other = wires(pair[1], 2)
    other.greet()
    other.prove("bob")
    assert other.refusal().code == "nick_taken"
    late.expect(frames.Welcome)


def test_who_is_kept_out_is_so_before_a_node_has_heard(
    pair: Pair, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is let in is so by those who are kept out at that moment."""
    monkeypatch.setattr(services(pair, 1)._tables, "note", lambda _text: None)
    monkeypatch.setattr(limits, "TABLE_SECONDS", 0.01)
    services(pair, 0).bans.add("10.0.0.1", 600)
    wires(pair[1], 0).join("ann")  # it reads the table then, since that is not the one it knows
    services(pair, 0).bans.add("127.0.0.1", 600)
    bob = wires(pair[1], 1)
    bob.greet()
    bob.prove("bob")
    assert bob.refusal().code == "kicked"


def test_what_ends_a_session_may_be_heard_before_its_beginning(
    pair: Pair, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note comes by another connection than the answer."""
    adopt: Callable[..., None] = ClusterSessions._adopt

    def too_late(sessions: ClusterSessions, session: ClusterSession) -> None:
        sessions.told(session.fingerprint, session.claim.n + 1, "kicked")
        adopt(sessions, session)

    with monkeypatch.context() as patched:
        patched.setattr(ClusterSessions, "_adopt", too_late)
        ann = wires(pair[0], 0)
        ann.greet()
        ann.prove("ann")
        assert ann.refusal().code == "unavailable"
    until(lambda: not services(pair, 0).sessions.live())
    assert wires(pair[0], 0).join("ann").welcome is not None, "what is told of an old one is old"


def test_who_is_let_in_and_does_not_arrive_has_gone(
    pair: Pair, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its nickname is free at once, and the room without it."""
    bob = wires(pair[1], 1).join("bob")
    with monkeypatch.context() as patched:
        patched.setattr(MirrorRoom, "join_at", never)
        ann = wires(pair[1], 0)
        ann.greet()
        ann.prove("ann")
        assert ann.refusal().code == "unavailable"
    assert [type(each) for each in bob.entries(3)] == [frames.Joined, frames.Left]
    assert wires(pair[1], 2).join("ann").welcome is not None


def never(*_args: object) -> None:
    """As an engine that has said it, and then nothing more."""
    raise Unavailable()
