"""Nodes that stop, die, sleep or lose their engine: real processes, with shorter times."""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Callable, Iterator

import pytest

from protocol import frames
from server.cluster.node import OtherPolicy
from server.cluster.services import other_policy
from settings.backend import BackendSettings
from tests.cluster_kit import QUICK
from tests.processes import Program, Server, stop_process
from tests.test_cluster_chat import is_answer, post
from tests.test_server_rooms import numbers, pick
from tests.wire import PASSWORD, Wire, box
from tools.engine_process import EngineProcess
from transport import Closed, Unreachable

Wires = Callable[..., Wire]
StartNode = Callable[..., Server]
GRACE = 5  # seconds
_NOT_YET = (AssertionError, Closed, Unreachable)  # unavailable yet, or cut as the node begins anew


def settings_of(port: int, prefix: str) -> dict[str, str]:
    """The environment of a node whose engine is at ``port``."""
    return {
        "ADMIN_PASSWORD": PASSWORD,
        "BACKEND_URL": f"redis://127.0.0.1:{port}/0",
        "BACKEND_PREFIX": prefix,
        "MAX_MESSAGES_PER_WINDOW": "100000",
        "HEARTBEAT_INTERVAL": "1",
        "HEARTBEAT_TIMEOUT": str(GRACE),
    }


@pytest.fixture
def start_node() -> Iterator[StartNode]:
    """Starts nodes of one chat, at the engine of a port."""
    with contextlib.ExitStack() as stack:

        def start(port: int, prefix: str = "cc:") -> Server:
            return stack.enter_context(Server(settings_of(port, prefix), constants=QUICK))

        yield start


@pytest.fixture
def nodes(start_node: StartNode, backend: BackendSettings) -> tuple[Server, Server]:
    """Two nodes at the engine that all tests share."""
    place = backend.address.port, backend.prefix
    return start_node(*place), start_node(*place)


def stay_awake(wire: Wire, over: Callable[[], bool]) -> None:
    """Beat some times a second, and take what comes, until ``over`` says so."""
    while not over():
        wire.send(frames.Seen((), True))
        pick(wire, lambda frame: isinstance(frame, frames.Taken))
        while (message := wire.peer.receive(0.2)) is not None:
            wire._open(message)


def has_entry(wire: Wire, kind: type[frames.Frame]) -> bool:
    """Whether a log entry of this kind has come."""
    logs = [frame for frame in wire.waiting if isinstance(frame, frames.Log)]
    return any(isinstance(entry, kind) for log in logs for entry in log.entries)


class TestFence:
    """What a node did not know when it slept is not done when it wakes up."""

    def test_one_that_sleeps_changes_nothing_of_a_session_that_went_on(
        self, nodes: tuple[Server, Server], wires: Wires
    ) -> None:
        """Its lease still lasts; the number of the session is the fence."""
        ann, bob = wires(nodes[0], 0).join("ann"), wires(nodes[1], 1).join("bob")
        stop_process(nodes[0])
        ann.send(frames.Post(1, ann.at, 2, box(b"gAAAB")))  # lies there unread
        back = wires(nodes[1], 0).join("ann", resume=ann.resume_point(1))
        assert back.welcome is not None and back.welcome.resumed
        back.send(frames.Post(1, back.at, 2, box(b"gAAAC")))
        assert pick(back, is_answer).seq == 3
        nodes[0].signal(signal.SIGCONT)
        assert not any(isinstance(frame, frames.Accepted) for frame in ann.ended())
        assert post_after(back, 4) == 4
        assert [each.box.data for each in bob.entries(4)] == [b"gAAAC", b"gAAAA"]  # type: ignore[attr-defined]

    def test_one_that_slept_for_too_long_is_another_one(
        self, nodes: tuple[Server, Server], wires: Wires
    ) -> None:
        """Its sessions were lost; who is still connected comes anew, and it serves as before."""
        ann, bob = wires(nodes[0], 0).join("ann"), wires(nodes[1], 1).join("bob")
        stop_process(nodes[0])
        stay_awake(bob, lambda: has_entry(bob, frames.Left))
        ann.send(frames.Post(1, ann.at, 2, box()))
        nodes[0].signal(signal.SIGCONT)
        assert not any(isinstance(frame, frames.Accepted) for frame in ann.ended())
        back = come_in(wires, nodes[0], 0, "ann", ann)
        assert back.welcome is not None and not back.welcome.resumed
        assert post(bob, 4).seq == 5
        assert numbers(back.entries(5)) == [5]

    def test_a_node_that_was_killed(self, nodes: tuple[Server, Server], wires: Wires) -> None:
        """Who comes back elsewhere goes on at once; who does not has left after its grace."""
        ann, cat = wires(nodes[0], 0).join("ann"), wires(nodes[0], 2).join("cat")
        bob = wires(nodes[1], 1).join("bob")
        assert post(ann, 3).seq == 4
        nodes[0].kill()
        back = wires(nodes[1], 0).join("ann", resume=ann.resume_point(1))
        assert back.welcome is not None and back.welcome.resumed
        back.ref()
        assert post(back, 3, n=1).seq == 5
        stay_awake(bob, lambda: has_entry(bob, frames.Left))
        left = [each for each in bob.entries(6) if isinstance(each, frames.Left)]
        assert [each.id for each in left] == [cat.id]


def post_after(wire: Wire, seq: int) -> int:
    """The number of one more post, by whoever has sent one already."""
    wire._next_ref = max(wire._next_ref, 1)
    return int(post(wire, 2, n=seq).seq)


def come_in(wires: Wires, node: Server, number: int, nick: str, before: Wire) -> Wire:
    """Come back as soon as a node lets one in."""
    while True:
        try:
            wire = wires(node, number)
            wire.greet()
            wire.prove(nick, resume=before.resume_point(1))
            wire.welcome = wire.expect(frames.Welcome)
        except _NOT_YET:
            continue
        wire.arrive()
        return wire


class TestStopping:
    """An orderly end."""

    def test_clients_go_on_at_another_node(
        self, nodes: tuple[Server, Server], wires: Wires
    ) -> None:
        """Nobody sees them go; with the last node everything has gone from the engine."""
        ann, bob = wires(nodes[0], 0).join("ann"), wires(nodes[1], 1).join("bob")
        ann.post(2)
        nodes[0].signal(signal.SIGTERM)
        assert frames.Bye("shutdown") in ann.ended()
        assert nodes[0].end() == 0
        back = wires(nodes[1], 0).join("ann", resume=ann.resume_point(1))
        assert back.welcome is not None and back.welcome.resumed
        back.send(frames.Post(1, back.at, 2, box()))
        assert pick(back, is_answer).seq == 3
        assert numbers(bob.entries(3)) == [3]
        assert not has_entry(bob, frames.Left)

    def test_the_last_one_leaves_nothing(
        self, own_engine: EngineProcess, start_node: StartNode, wires: Wires
    ) -> None:
        """But what expires by itself, soon."""
        nodes = [start_node(own_engine.port) for _ in range(2)]
        wires(nodes[0], 0).join("ann")
        for node in nodes:
            node.signal(signal.SIGTERM)
            assert node.end() == 0
        for key in own_engine.ask("KEYS", "*"):
            assert 0 < own_engine.ask("PTTL", key) <= 300_000, key


class TestEngine:
    """What becomes of the engine."""

    def test_it_is_away(
        self, own_engine: EngineProcess, start_node: StartNode, wires: Wires
    ) -> None:
        """Lines are handed back, nobody new is let in, and all goes on when it is back."""
        node = start_node(own_engine.port)
        ann = wires(node, 0).join("ann")
        own_engine.signal(signal.SIGSTOP)
        ann.post(1)
        ann.post(1, n=1)
        refused = [pick(ann, is_answer) for _ in range(2)]
        assert {each.code for each in refused} <= {"unavailable", "outcome_unknown"}
        bob = wires(node, 1)
        bob.greet()
        bob.prove("bob")
        assert bob.refusal().code == "unavailable"
        own_engine.signal(signal.SIGCONT)
        cat = come_in_anew(wires, node, 2, "cat")
        assert ann.rooms["default"].log == cat.rooms["default"].log

    def test_it_comes_back_empty(
        self, own_engine: EngineProcess, start_node: StartNode, wires: Wires
    ) -> None:
        """Everybody is in again, in a new room."""
        nodes = [start_node(own_engine.port) for _ in range(2)]
        ann, bob = wires(nodes[0], 0).join("ann"), wires(nodes[1], 1).join("bob")
        own_engine.kill()
        own_engine.start()
        ann.ended()
        bob.ended()
        ann = come_in(wires, nodes[1], 0, "ann", ann)
        bob = come_in(wires, nodes[0], 1, "bob", bob)
        assert bob.entered is not None and ann.entered is not None
        assert bob.entered.log == ann.entered.log
        assert post(bob, 2).seq == 3


def come_in_anew(wires: Wires, node: Server, number: int, nick: str) -> Wire:
    """Come in as soon as a node lets one in."""
    while True:
        with contextlib.suppress(*_NOT_YET):
            return wires(node, number).join(nick)


class TestStart:
    """Who is not like the nodes that are there does not become one."""

    def test_the_banner_names_the_engine_and_how_many_there_are(
        self, backend: BackendSettings, start_node: StartNode
    ) -> None:
        place = backend.address.port, backend.prefix
        first, second = (start_node(*place).banner for _ in range(2))
        engine = rf"  Engine: (Redis|Valkey) [0-9.]+ at redis://127\.0\.0\.1:{place[0]}/0"
        assert len([line for line in first if re.fullmatch(engine, line)]) == 1
        assert "  Servers of this chat: 1, which is this one" in first
        assert "  Servers of this chat: 2, with this one" in second

    def test_where_nobody_answers_it_is_said_when_that_is_over(self) -> None:
        told = other_policy(OtherPolicy("password", (), 240.0))
        assert told.endswith("they are forgotten after 4 minutes at most.")
        assert "forgotten" not in other_policy(OtherPolicy("password"))

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"ADMIN_PASSWORD": "another one"}, "or another BACKEND_PREFIX to those"),
            ({"MAX_MESSAGE_SIZE": "2000"}, "another MAX_MESSAGE_SIZE"),
        ],
        ids=["password", "limit"],
    )
    def test_another_policy_is_refused(
        self,
        backend: BackendSettings,
        start_node: StartNode,
        changes: dict[str, str],
        said: str,
    ) -> None:
        """With a sentence, and status 2."""
        place = backend.address.port, backend.prefix
        start_node(*place)
        env = {**settings_of(*place), **changes}
        with Program(["serve", "127.0.0.1", "0"], env, constants=QUICK) as program:
            assert program.end() == 2
            assert said in program.err.decode()
