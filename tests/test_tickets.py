"""Tickets: who was in passes those who wait, once, and proves itself all the same."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from client import events
from protocol import frames, link
from protocol import limits as protocol_limits
from server import limits
from server.app import ChatServer
from server.throttle import Rate, Rates
from server.tickets import Tickets
from tests.conftest import IdentityPool
from tests.faults import Group, Network, world
from tests.held import held
from tests.test_server_connection import exhaust, until
from tests.wire import LONG, Wire

Wires = Callable[..., Wire]
Serve = Callable[..., ChatServer]
SID = b"s" * 32
NOTHING = Rates(Rate(1e-6, 1.0), Rate(1e-6, 1.0))


def used(tickets: Tickets, ticket: bytes, sid: bytes = SID) -> bytes | None:
    """Whose it is, as ``hello`` would show it."""
    return tickets.take(sid, link.ticket_name(sid, ticket))


# The table


def test_a_ticket_is_used_once() -> None:
    """And names nobody in another handshake than the one that it was shown in."""
    tickets = Tickets()
    ticket = tickets.issue(b"alice", "a")
    assert len(ticket) == protocol_limits.NONCE_BYTES
    assert tickets.take(b"t" * 32, link.ticket_name(SID, ticket)) is None
    assert used(tickets, ticket) == b"alice"
    assert used(tickets, ticket) is None
    assert held(tickets) == 0 and not tickets._of_group


def test_the_newest_counts() -> None:
    """Also where it was given to another address."""
    tickets = Tickets()
    first, second = tickets.issue(b"alice", "a"), tickets.issue(b"alice", "b")
    assert first != second and held(tickets) == 1
    assert used(tickets, first) is None
    assert used(tickets, second) == b"alice"


def test_of_two_at_once_one_has_it() -> None:
    """However they meet."""
    tickets, start, found = Tickets(), threading.Barrier(8), list[bytes]()
    ticket = tickets.issue(b"alice", "a")

    def use() -> None:
        start.wait(LONG)
        if whose := used(tickets, ticket):
            found.append(whose)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [b"alice"]


def test_an_address_has_so_many_and_all_together_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more, the oldest goes: the address's own, or of all."""
    monkeypatch.setattr(limits, "TICKETS_OF_ADDRESS", 2)
    monkeypatch.setattr(limits, "TICKETS", 4)
    tickets = Tickets()
    given = [tickets.issue(b"%d" % number, group) for number, group in enumerate("aaabbc")]
    assert held(tickets) == 4
    assert [used(tickets, ticket) for ticket in given] == [None, None, b"2", b"3", b"4", b"5"]
    assert not tickets._tickets and not tickets._of_group


# On the wire


@pytest.fixture
def busy(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Call it, and strangers of this machine have used up all that may be guessed."""

    def use_up() -> None:
        for line in (server._services.throttle.handshakes, server._services.throttle.guesses):
            monkeypatch.setattr(line.buckets, "rates", NOTHING)
            exhaust(line.buckets)

    yield use_up
    server.stop()  # whoever waits need not wait out its patience


def ticket_of(wire: Wire) -> bytes:
    """What its welcome has brought."""
    assert wire.welcome is not None and wire.welcome.ticket is not None
    return wire.welcome.ticket


def waits(server: ChatServer) -> bool:
    """Whether one stands in the line."""
    return server._services.throttle.handshakes.waiting("127.0.0.1") == 1


def test_a_member_that_comes_back_passes_whoever_guesses(
    server: ChatServer, wires: Wires, busy: Callable[[], None]
) -> None:
    """It resumes; each welcome brings another ticket, and each is good for one time."""
    first = wires(server, 0).join("alice")
    busy()
    first.cut()
    known = first.resume_point(1)
    second = wires(server, 0, ticket=ticket_of(first)).join("alice", resume=known)
    assert second.entered is not None and second.entered.resumed
    assert ticket_of(second) != ticket_of(first)
    third = wires(server, 0, ticket=ticket_of(second)).join("alice", resume=known)
    assert third.entered is not None and third.entered.resumed
    again = wires(server, 0, ticket=ticket_of(second))
    again.greet()
    until(lambda: waits(server))


@pytest.mark.parametrize("known", [False, True], ids=["none", "made-up"])
def test_without_a_ticket_one_waits(
    server: ChatServer, wires: Wires, busy: Callable[[], None], known: bool
) -> None:
    wires(server, 0).join("alice")
    busy()
    stranger = wires(server, 1, ticket=bytes(16) if known else None)
    stranger.greet()
    until(lambda: waits(server))


def test_a_ticket_proves_nothing(server: ChatServer, wires: Wires) -> None:
    """Without the password it is worth an answer at once, which is no."""
    alice = wires(server, 0).join("alice")
    eve = wires(server, 0, prs=bytes(32), ticket=ticket_of(alice))
    eve.greet()
    eve.prove("alice", "", alice.resume_point(1))
    assert eve.refusal().code == "auth_failed"
    assert eve.ended() == []
    alice.send(frames.ListRooms(alice.ref()))
    assert alice.expect(frames.RoomLines).of == 1


def test_a_ticket_is_of_one_identity(server: ChatServer, wires: Wires) -> None:
    """Members cannot give theirs to each other."""
    alice = wires(server, 0).join("alice")
    bob = wires(server, 1, ticket=ticket_of(alice))
    bob.greet()
    bob.prove("bob")
    assert bob.refusal().code == "unexpected"
    assert bob.ended() == []
    assert server._services.sessions.find(bob.identity.fingerprint) is None


@pytest.mark.parametrize("how", ["goodbye", "grace"])
def test_a_ticket_ends_with_its_session(serve: Serve, wires: Wires, how: str) -> None:
    """By a goodbye, or when nobody has come back."""
    server = serve(heartbeat_timeout=0.2 if how == "grace" else 60.0)
    alice = wires(server, 0).join("alice")
    tickets = server._services.sessions.tickets
    assert held(tickets) == 1
    if how == "goodbye":
        alice.send(frames.Bye("left"))
    else:
        alice.cut()
    until(lambda: held(tickets) == 0)


def test_whoever_shows_a_ticket_makes_room_for_nobody(server: ChatServer, wires: Wires) -> None:
    """Nor does one that names a live token, while strangers come and go."""
    alice = wires(server, 0).join("alice")
    connections = server._services.connection_limits
    back = wires(server, 0, ticket=ticket_of(alice))
    back.greet()
    back.message()
    carol = wires(server, 2, token=server._services.tokens.mint("carol", 60.0))
    carol.greet()
    carol.message()
    assert connections._strangers == 0 and connections._members == 3
    back.cut()
    carol.cut()
    until(lambda: connections._members == 1)


# The client


def test_the_client_shows_its_newest_ticket(
    server: ChatServer, pool: IdentityPool, prs: bytes, busy: Callable[[], None]
) -> None:
    """Thrice cut off, thrice back, where every stranger has to wait."""
    with world(prs), Network() as network, Group(network, server.port, pool, prs, 2) as group:
        ann, ben = group.people
        busy()
        for count in range(1, 4):
            ann.road.close()
            network.obeyed()
            ann.road.heal()
            group.wait(lambda: len(ann.all(events.Reconnected)) == count, "coming back")  # noqa: B023
            text = ann.say()
            group.wait(lambda: ben.heard(text), "a line")  # noqa: B023
        assert all(each.resumed for each in ann.all(events.Reconnected))
        assert not ben.all(events.MemberLeft)
