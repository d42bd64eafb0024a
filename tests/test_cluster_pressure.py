"""A node whose engine is slow, away or full: what its clients notice, in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from protocol import frames
from protocol import limits as protocol_limits
from server.app import ChatServer
from server.cluster import limits
from server.cluster.scripts import script
from settings.backend import BackendSettings
from tests.engine_proxy import EngineProxy
from tests.engines import backend_settings
from tests.test_cluster_chat import is_answer, post
from tests.test_server_connection import until
from tests.test_server_rooms import answer, numbers, pick
from tests.wire import Wire, box, wrap
from tools.engine_process import EngineProcess

Wires = Callable[..., Wire]
Serve = Callable[..., ChatServer]


@pytest.fixture
def road(engine: EngineProcess) -> Iterator[EngineProxy]:
    """The way to the engine that all tests share."""
    proxy = EngineProxy(engine.port)
    yield proxy
    proxy.close()


@pytest.fixture
def node(
    road: EngineProxy, engine: EngineProcess, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> ChatServer:
    """A node on that road, with shorter times."""
    for name, value in (("POLICY_SCRYPT", 4), ("NODE_RENEW_SECONDS", 0.2)):
        monkeypatch.setattr(limits, name, value)
    backend = backend_settings(engine)
    address = backend.address.__class__(host="127.0.0.1", port=road.port)
    backend = BackendSettings(address=address, prefix=backend.prefix)
    return serve(backend=backend, heartbeat_interval=0.2, heartbeat_timeout=30.0)


def test_nothing_more_is_read_of_who_has_too_much_under_way(
    node: ChatServer, road: EngineProxy, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its heartbeats go on, and all of it is answered in order when the engine is."""
    monkeypatch.setattr(limits, "UNANSWERED_POSTS", 16)
    monkeypatch.setattr(limits, "ENGINE_REPLY_SECONDS", 30.0)
    ann = wires(node, 0).join("ann")
    [session] = node._services.sessions.live()
    road.hold()
    posts = [frames.Post(ann.ref(), ann.at, 1, box(n=number)) for number in range(200)]
    for each in posts:
        ann.send(each)
    until(lambda: session.submitted >= 16)  # type: ignore[attr-defined]
    for _ in range(3):
        taken = pick(ann, lambda frame: isinstance(frame, frames.Taken))
    assert taken.ref == 0 and session.submitted < 32  # type: ignore[attr-defined]
    road.let_go()
    answers = [pick(ann, is_answer) for _ in posts]
    assert [(each.ref, each.seq) for each in answers] == [(n, n + 1) for n in range(1, 201)]
    assert numbers(ann.entries(201)) == list(range(2, 202))


def test_who_is_cut_off_for_too_long_is_let_go(
    node: ChatServer, road: EngineProxy, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After as long as a silent client would be; it can come back when the engine is."""
    for name in ("ENGINE_SECONDS", "ENGINE_UNKNOWN_SECONDS", "NODE_TOUCH_SECONDS"):
        monkeypatch.setattr(limits, name, 0.5)
    monkeypatch.setattr(node._services.node, "_grace", 1.0)  # type: ignore[attr-defined]
    ann = wires(node, 0).join("ann")
    road.go_away()
    assert post(ann, 1).code in ("unavailable", "outcome_unknown")
    assert not any(isinstance(frame, frames.Bye) for frame in ann.ended())
    eve = wires(node, 1)
    eve.greet()
    eve.prove("eve")
    assert eve.refusal().code == "unavailable"
    road.come_back()
    until(lambda: node._services.node.is_in_touch)  # type: ignore[attr-defined]
    back = wires(node, 0).join("ann", resume=ann.resume_point(1))
    assert back.welcome is not None and back.welcome.resumed


def test_wraps_that_were_not_held_come_again(
    node: ChatServer, road: EngineProxy, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection ends before anything is answered; who comes back sends all of it again."""
    for name in ("ENGINE_SECONDS", "ENGINE_UNKNOWN_SECONDS"):
        monkeypatch.setattr(limits, name, 0.3)
    ann, bob = wires(node, 0).join("ann"), wires(node, 1).join("bob")
    road.go_away()
    sent = (frames.Keys(bob.at, (wrap(ann.id),)), frames.Post(bob.ref(), bob.at, 2, box()))
    bob.send(*sent)
    assert not any(is_answer(frame) for frame in bob.ended())
    road.come_back()
    until(lambda: node._services.node.is_in_touch)  # type: ignore[attr-defined]
    back = wires(node, 1).join("bob", resume=bob.resume_point(2))
    back.send(*sent)
    assert pick(back, is_answer).seq == 3
    assert ann.find(frames.KeyFor).wrap.to == ann.id


def test_a_room_that_is_full_has_room_for_the_living(
    serve: Serve, backend: BackendSettings, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose place is kept for somebody who is away gives way, at whichever node that was."""
    monkeypatch.setattr(limits, "POLICY_SCRYPT", 4)
    monkeypatch.setattr(protocol_limits, "ROOM_MEMBERS", 2)
    script.cache_clear()
    try:
        nodes = [serve(backend=backend) for _ in range(2)]
        ann, bob = wires(nodes[0], 0).join("ann"), wires(nodes[1], 1).join("bob")
        eve = wires(nodes[1], 2)
        eve.greet()
        eve.prove("eve")
        assert eve.refusal().code == "room_full"
        ann.cut()
        until(lambda: not nodes[0]._services.sessions.live())
        eve = wires(nodes[1], 2).join("eve")
        assert set(eve.roster) == {"bob", "eve"}
        assert answer(bob, frames.Nick(bob.ref(), bob.at, "ann")).seq == 5  # type: ignore[attr-defined]
    finally:
        script.cache_clear()


