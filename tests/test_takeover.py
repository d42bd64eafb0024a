"""Whose nickname it is: a token's holder takes its own place, and what others are told of one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from protocol import frames
from server.app import ChatServer
from tests.module_server import nick_fixture  # noqa: F401
from tests.processes import PASSWORD, Client, Program, Relay, Server, stop_process, terminal_client
from tests.wire import Wire

Wires = Callable[..., Wire]
Serve = Callable[..., ChatServer]


def token_of(server: ChatServer, nick: str = "alice") -> str:
    return server._services.tokens.mint(nick, 600.0)


def refused(wire: Wire, nick: str) -> frames.Refused:
    """What somebody is told who wants to come in as ``nick``."""
    wire.greet()
    wire.prove(nick)
    return wire.refusal()


# On the wire


def test_a_token_takes_the_place_of_a_live_holder(server: ChatServer, wires: Wires) -> None:
    """The others see one go and another one come; the first is told, and gets nothing more."""
    token = token_of(server)
    bob = wires(server, 0).join("bob")
    first = wires(server, 1, token=token).join("alice")
    second = wires(server, 2, token=token).join("alice")
    assert second.welcome is not None and second.welcome.nick == "alice"
    assert second.id != first.id and set(second.roster) == {"alice", "bob"}
    assert first.ended()[-1] == frames.Bye("taken_over")
    entries = bob.entries(4)
    assert [type(entry) for entry in entries] == [frames.Joined, frames.Left, frames.Joined]
    assert isinstance(entries[1], frames.Left) and entries[1].id == first.id
    bob.post(4)
    assert isinstance(second.entries(5)[-1], frames.Posted)


def test_the_one_that_was_replaced_does_not_come_back(server: ChatServer, wires: Wires) -> None:
    """Neither by resuming nor anew, told or not: it was away when its place was taken."""
    token = token_of(server)
    first = wires(server, 1, token=token).join("alice")
    entered = first.entered
    assert entered is not None
    first.cut()
    second = wires(server, 2, token=token).join("alice")
    again = wires(server, 1, token=token)
    again.greet()
    again.prove("alice", resume=(entered.log, entered.seq, 0))
    assert again.refusal().code == "taken_over"
    assert refused(wires(server, 1, token=token), "alice").code == "taken_over"
    assert second.entered is not None
    second.post(second.entered.seq)
    assert second.find(frames.Accepted).ref == 1
    third = wires(server, 3, token=token).join("alice")  # somebody who started it once more
    assert second.ended()[-1] == frames.Bye("taken_over")
    assert third.welcome is not None


def test_who_comes_back_in_time_is_not_another(server: ChatServer, wires: Wires) -> None:
    """The same identity resumes, or joins anew, as it always did."""
    token = token_of(server)
    first = wires(server, 1, token=token).join("alice")
    entered = first.entered
    assert entered is not None
    first.cut()
    again = wires(server, 1, token=token)
    again.greet()
    again.prove("alice", resume=(entered.log, entered.seq, 0))
    again.expect(frames.Welcome)
    assert again.arrive().resumed
    anew = wires(server, 1, token=token).join("alice")
    assert again.ended()[-1] == frames.Bye("replaced")
    anew.cut()
    assert wires(server, 1, token=token).join("alice").welcome is not None


def test_half_a_token_takes_nothing(server: ChatServer, wires: Wires) -> None:
    """Only what is proven counts: the id alone, or a token of the same nickname that has ended."""
    token = token_of(server)
    holder = wires(server, 1, token=token).join("alice")
    name = token.partition(".")[0]
    assert refused(wires(server, 2, token=f"{name}.{'A' * 43}"), "alice").code == "auth_failed"
    other = token_of(server)
    assert refused(wires(server, 2, token=other), "alice").code == "nick_taken"
    holder.post(1)
    assert holder.find(frames.Accepted).ref == 1


def test_throwing_each_other_out_is_slowed_down(serve: Serve, wires: Wires) -> None:
    """As many live holders in a window as commands; one that is away costs nothing."""
    server = serve(max_messages_per_window=2)
    token = token_of(server)
    for number in range(1, 4):
        holder = wires(server, number, token=token).join("alice")
    refusal = refused(wires(server, 4, token=token), "alice")
    assert refusal.code == "rate_limited" and refusal.retry_after is not None
    assert 0 < refusal.retry_after <= 60
    holder.cut()
    (session,) = server._services.sessions.live()
    while session.lost_at is None:
        time.sleep(0)
    assert wires(server, 5, token=token).join("alice").welcome is not None


def test_why_a_nickname_cannot_be_had(server: ChatServer, wires: Wires) -> None:
    alice = wires(server, 0).join("alice")
    bob = wires(server, 1).join("bob")
    token_of(server, "carol")
    assert refused(wires(server, 2), "A1ice") == frames.Refused("nick_taken", nick="alice")
    assert refused(wires(server, 2), "ALICE") == frames.Refused("nick_taken")
    assert refused(wires(server, 2), "carol") == frames.Refused("nick_reserved")
    assert refused(wires(server, 2), "car0l") == frames.Refused("nick_reserved", nick="carol")
    session = server._services.sessions.find(alice.identity.bundle.fingerprint)
    assert session is not None
    alice.cut()
    while session.lost_at is None:
        time.sleep(0)
    refusal = refused(wires(server, 2), "A1ice")
    assert refusal.code == "nick_lost" and refusal.retry_after is not None
    assert 50 < refusal.retry_after <= 60
    for nick, code in (("alice", "nick_lost"), ("carol", "nick_reserved")):
        bob.send(frames.Nick(bob.ref(), bob.at, nick))
        answer = bob.find(frames.Refused)
        assert answer.code == code
        assert (answer.retry_after is not None) == (code == "nick_lost")


# Real programs


@pytest.fixture(scope="module")
def quick() -> Iterator[Server]:
    """A server on which a lost connection ends soon."""
    with Server({"HEARTBEAT_TIMEOUT": "2", "HEARTBEAT_INTERVAL": "1"}) as running:
        yield running
        assert running.errors == ""


@pytest.fixture(scope="module")
def slow() -> Iterator[Server]:
    with Server() as running:
        yield running
        assert running.errors == ""


def lose(server: Server, nick: str) -> None:
    """Somebody crashes who had that nickname."""
    with Client(server, nick) as client:
        client.process.kill()
        client.process.wait()


def test_a_program_waits_for_a_nickname_that_is_lost(quick: Server, nick: str) -> None:
    lose(quick, nick)
    with Client(quick, nick, joined=False) as client:
        assert 0 < client.next("nick_awaited", nick=nick)["delay"] <= 2
        client.next("connected", nick=nick)
        assert client.finish("here again") == 0
        assert client.texts() == ["here again"]
        assert client.errors == ""


def test_so_does_one_that_writes_lines(quick: Server, nick: str) -> None:
    lose(quick, nick)
    words = ["connect", quick.host, str(quick.port), nick, "--renderer", "minimal"]
    with Program(words, {"CLIENT_PASSWORD": PASSWORD}) as program:
        program.write(b"here again\n")
        program.end_input()
        assert (program.end(), program.errors) == (0, "")
        text = program.out.decode()
        assert f"{nick} has lost the connection: waiting" in text and "here again" in text


def test_a_program_may_be_told_not_to_wait(quick: Server, nick: str) -> None:
    lose(quick, nick)
    with Client(quick, nick, "--no-wait", joined=False) as client:
        assert client.end() == 4
        assert client.never_in
        assert "it is free in" in client.errors and client.errors.count("\n") == 1


def test_a_program_that_waits_can_be_ended(slow: Server, nick: str) -> None:
    import signal

    lose(slow, nick)
    with Client(slow, nick, joined=False) as client:
        assert client.next("nick_awaited")["delay"] > 50
        client.signal(signal.SIGTERM)
        assert (client.end(), client.errors) == (130, "")


def test_a_program_does_not_wait_for_ever(nick: str) -> None:
    with Server({"HEARTBEAT_TIMEOUT": "3600"}) as server:
        lose(server, nick)
        with Client(server, nick, joined=False) as client:
            assert client.end() == 4 and client.never_in
            assert "seconds unless they come back" in client.errors


def test_a_holder_that_comes_back_keeps_its_nickname(slow: Server, nick: str) -> None:
    with Relay(slow.port) as relay, Client(relay.address, nick) as client:
        relay.cut(closed=True)
        client.next("reconnecting")
        with Client(slow, nick, "--no-wait", joined=False) as other:
            assert other.end() == 4
        relay.open()
        client.next("reconnected", resumed=True)
        with Client(slow, nick, joined=False) as other:
            assert other.end() == 4
            assert "has that nickname already" in other.errors
        assert client.finish() == 0


def test_whose_nickname_it_looks_like_is_said(slow: Server, nick: str) -> None:
    with Client(slow, nick) as holder, Client(slow, f"{nick}-2") as other:
        with Client(slow, f"{nick}.", joined=False) as client:
            assert client.end() == 4
            assert f"That nickname looks like {nick}, which somebody" in client.errors
        other.say(f"/nick {nick}_")
        told = other.next("error", code="nick_taken")
        assert f"That nickname looks like {nick}, which somebody" in told["text"]
        assert (holder.finish(), other.finish()) == (0, 0)


def test_a_person_is_told_the_seconds(slow: Server, nick: str) -> None:
    lose(slow, nick)
    with terminal_client(slow, nick) as terminal:
        terminal.sees(r"free in +\d+ +seconds")
        assert terminal.end() == 4


def test_a_holder_that_hangs_is_replaced_at_once(slow: Server, nick: str) -> None:
    """A half-open connection looks like one that is quiet."""
    from tests.test_tokens import holder, mint

    token = mint(slow, nick)
    with holder(slow, token, "--listen") as first:
        stop_process(first)
        with holder(slow, token) as second:
            assert second.finish("it is me") == 0
            assert PASSWORD not in second.told()
