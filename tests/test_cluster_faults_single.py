"""Single faults of several servers: a node that dies or sleeps, an answer that is lost, an engine
that forgets; and what is left when the last node has gone.

Real nodes and clients, on Valkey and where it is on Redis.  The suite loses answers at some bytes;
with ``CMD_CHAT_SOAK`` at each, and waits for the real times.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from client import events
from tests.cluster_faults import ClusterCheck, Crowd, left_behind, quick_clients
from tests.cluster_kit import QUICK, Cluster, Node
from tests.conftest import IdentityPool
from tests.engines import engines, kind
from tests.faults import Fault, Network, Person
from tests.machine import needs
from tests.processes import Client
from tests.wire import PASSWORD
from tests.zygote import Constants
from tools.engine_process import EngineProcess

SOAK = int(os.environ.get("CMD_CHAT_SOAK") or 0)
_BYTES, _STEP = 600, 1 if SOAK else 97

pytestmark = [
    needs("orphans", beside="test_cluster_faults.py::test_the_same_seed_is_the_same_schedule"),
    pytest.mark.timeout(600 if SOAK else 60),
]

Start = Callable[..., "tuple[Cluster, Crowd]"]


@pytest.fixture(params=engines("each test here has a form with Valkey"))
def start(request: pytest.FixtureRequest, pool: IdentityPool, prs: bytes) -> Iterator[Start]:
    """Starts nodes, and people of whom the first is on the first node, and so on in turn."""
    with ExitStack() as stack:
        stack.enter_context(quick_clients(prs))

        def begin(
            nodes: int,
            people: int,
            constants: Constants = QUICK,
            replicated: bool = False,
            **settings: str,
        ) -> tuple[Cluster, Crowd]:
            engine = kind(request.param)
            cluster = Cluster(engine, nodes, settings, constants, replicated)
            stack.enter_context(cluster)
            crowd = stack.enter_context(Crowd(cluster, pool, prs, size=people))
            return cluster, crowd

        yield begin


def checked(cluster: Cluster, crowd: Crowd, forgiving: bool = False) -> ClusterCheck:
    """All have come together, and nothing is wrong."""
    crowd.settle()
    cluster.level()
    check = ClusterCheck(crowd, cluster.tap, forgiving)
    check.done()
    return check


def all_hear(crowd: Crowd, *texts: str) -> None:
    """Wait until everybody has."""
    people = crowd.people
    crowd.wait(lambda: all(who.heard(text) for who in people for text in texts), "lines")


def test_a_node_that_is_killed_takes_nobody_along(start: Start) -> None:
    """Its people are in again in their places, and the others see nobody leave."""
    cluster, crowd = start(2, 4)
    ann, ben, cat, dan = crowd.people
    texts = [who.say() for who in crowd.people for _ in range(3)]
    cluster.nodes[0].kill()
    texts += [who.say() for who in crowd.people for _ in range(3)]
    all_hear(crowd, *texts)
    cluster.nodes[0].start()
    found = checked(cluster, crowd).found
    assert found["accepted"] == found["lines"] and found["resumed"] >= 2
    for who in crowd.people:
        assert not who.all(events.MemberLeft) and not who.all(events.Missed)


def test_programs_that_know_both_addresses_go_on_at_the_other(own_engine: EngineProcess) -> None:
    """The whole program; first one of the servers is killed, and when it is back the other."""
    network = Network()
    with ExitStack() as stack:
        stack.enter_context(network)
        nodes = [Node(network, own_engine.port, {}, QUICK) for _ in range(2)]
        for node in nodes:
            stack.callback(node.close)
            assert node.start()
        addresses = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        password = {"CLIENT_PASSWORD": PASSWORD}
        ann, bob = (
            stack.enter_context(Client(addresses, nick, settings=password))
            for nick in ("ann", "bob")
        )
        ann.meets("bob")
        for number, node in enumerate(nodes):
            node.kill()
            ann.say(f"line {number}")
            bob.next("message", text=f"line {number}")
            bob.say(f"answer {number}")
            ann.next("message", text=f"answer {number}")
            assert node.start()
        assert [*ann.all("reconnected"), *bob.all("reconnected")]
        assert not [*ann.all("left"), *bob.all("left"), *ann.all("missed"), *bob.all("missed")]


def test_a_node_that_sleeps_wakes_up_fenced(start: Start) -> None:
    """Longer than its lease, with lines that it has read nothing of: nothing comes twice."""
    cluster, crowd = start(2, 3)
    ann, ben, cat = crowd.people  # ann and cat are on the first node
    cluster.nodes[0].stop()
    texts = [who.say() for who in crowd.people]
    all_hear(crowd, *texts)  # by the other one
    time.sleep(1.5 * QUICK["server.cluster.limits"]["LEASE_SECONDS"])
    cluster.nodes[0].go_on()
    crowd.way(0).lead(cluster.nodes[0].port)  # it has a new name, and is a node again
    crowd.wait(lambda: len(ann.all(events.Reconnected)) >= 2, "coming back")
    all_hear(crowd, *(who.say() for who in crowd.people))
    found = checked(cluster, crowd).found
    assert found["accepted"] == found["lines"]


def test_an_answer_that_is_lost_at_any_byte(start: Start) -> None:
    """What was done is not done again, and what was not, is."""
    cluster, crowd = start(2, 2, MAX_MESSAGES_PER_WINDOW="100000")
    ann, ben = crowd.people
    for size in range(0, _BYTES, _STEP):
        cluster.nodes[0].road.arm_all(Fault("cut", up=size % 2 == 1, after=size))
        text, private = ann.say(), ann.whisper(ben)
        all_hear(crowd, text)
        crowd.wait(lambda: ben.heard(private), "what is private")  # noqa: B023
        cluster.nodes[0].road.heal()
    found = checked(cluster, crowd).found
    assert found["accepted"] == found["lines"]
    assert cluster.network.obeyed()["cut"] > _BYTES // _STEP // 2


def test_an_engine_that_has_forgotten_everything(start: Start) -> None:
    """Everybody is in again, and told that something may have been missed."""
    cluster, crowd = start(2, 3)
    all_hear(crowd, *(who.say() for who in crowd.people))
    cluster.restart()
    crowd.wait(lambda: all(_is_told(who) for who in crowd.people), "coming in anew")
    checked(cluster, crowd, forgiving=True)


@pytest.mark.parametrize("behind", [False, True])
def test_a_replica_that_takes_the_engines_place(start: Start, behind: bool) -> None:
    """Also one that lacks what was accepted last, and goes on as if that had not been: everybody
    is in again, and told, and is given no number twice with something else under it."""
    cluster, crowd = start(2, 4, replicated=True)
    all_hear(crowd, *(who.say() for who in crowd.people))
    if behind:
        cluster.part()
        all_hear(crowd, *(who.say() for who in crowd.people))
    cluster.fail_over()
    crowd.wait(lambda: all(_is_told(who) for who in crowd.people), "coming in anew")
    checked(cluster, crowd, forgiving=True)


def _is_told(person: Person) -> bool:
    return any(each.count is None for each in person.all(events.Missed))


def test_an_engine_that_is_full(start: Start) -> None:
    """Lines come back with a reason, and who leaves, leaves."""
    cluster, crowd = start(2, 3)
    ann, ben, cat = crowd.people
    all_hear(crowd, ann.say())  # a line that brings no keys can be refused at once
    cluster.engine.ask("CONFIG", "SET", "maxmemory", "1")
    text = ann.say()
    crowd.wait(lambda: ann.back(text), "the line")
    cat.visit("yard")  # she leaves that room
    crowd.wait(lambda: ben.all(events.MemberLeft), "leaving")
    cluster.engine.ask("CONFIG", "SET", "maxmemory", "0")
    cat.visit("yard")
    assert {each.reason for each in ann.all(events.NotSent)} == {"server_full"}
    found = checked(cluster, crowd).found
    assert found["handed back"] == 1 and found["handed back, yet taken"] == 0


# What is left


@contextmanager
def conversation(cluster: Cluster, crowd: Crowd) -> Iterator[None]:
    """A little of everything, before what is in the with block."""
    for who, other in zip(crowd.people, crowd.people[::-1], strict=True):
        who.whisper(other)
    all_hear(crowd, *(who.say() for who in crowd.people))
    assert all(left > 0 for left in cluster.keys().values())
    yield


def test_what_nodes_leave_that_ended_in_order_ends_by_itself(start: Start) -> None:
    cluster, crowd = start(2, 2)
    with conversation(cluster, crowd):
        left_behind(cluster, "")


@pytest.mark.soak
def test_what_killed_nodes_leave_ends_by_itself(start: Start) -> None:
    """In five minutes; here in a second or two, but for ``make soak``."""
    cluster, crowd = start(2, 2, {} if SOAK else _SHORT, **({} if SOAK else _HASTY))
    with conversation(cluster, crowd):
        for node in cluster.nodes:
            node.kill()
    began, most = time.monotonic(), 300.0 if SOAK else 5.0
    while cluster.keys():
        assert time.monotonic() - began < most, cluster.keys()
        time.sleep(1.0 if SOAK else 0.05)


_HASTY = {"HEARTBEAT_INTERVAL": "0.2", "HEARTBEAT_TIMEOUT": "0.5"}
_SHORT = {
    "server.cluster.limits": {
        **QUICK["server.cluster.limits"],
        "TTL_SECONDS": 1.5,
        "TTL_BEYOND_GRACE": 0.5,
        "NODE_MINUTE": 0.4,
    }
}
