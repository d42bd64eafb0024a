"""Several addresses of one chat: which is tried, when the next; nothing is lost on the way."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from client import events
from client.connection import backoff
from client.connection.addresses import AddressRing
from client.connection.connection import ClientConnection
from client.connection.outcome import AdmissionRefused
from client.local_user import LocalUser
from client.session import ClientSession
from protocol import frames, pake
from protocol.errors import AuthFailed, ChatError, LinkBroken, Malformed, TimedOut
from protocol.hosts import Address
from protocol.invite import InviteLink
from protocol.link import Credentials, ServerLink
from server.app import ChatServer
from tests import wire
from tests.command import run_command
from tests.conftest import IdentityPool
from tests.malicious import Impostor, prove, recorder
from tests.processes import PASSWORD, Client, Relay, Server, free_port
from tests.stub_websocket import StubWebSocket
from tests.transport_kit import Task, make_certificate, until
from transport import Closed, Unreachable, happy_eyeballs
from transport.client_websocket import connect_any
from transport.http_client import post_form
from transport.servers import reach_any
from transport.stream import Stream
from transport.tls import client_context
from transport.websocket import WebSocket

A, B, C = ADDRESSES = tuple((f"{name}.example", 1000) for name in "abc")


def as_written(order: list[Address]) -> None:
    """In place of a random order."""


def ring(addresses: Sequence[Address] = ADDRESSES) -> AddressRing:
    return AddressRing(addresses, as_written)


def at(address: Address | None) -> WebSocket:
    peer = StubWebSocket.__new__(StubWebSocket)
    peer.address = address
    return peer


def refused(code: str, proven: bool = False) -> AdmissionRefused:
    return AdmissionRefused(frames.Refused(code), proven)


# Which is next


def test_the_order_is_another_one_each_time() -> None:
    assert {AddressRing(ADDRESSES).candidates()[0] for _each in range(200)} == {A, B, C}
    assert sorted(AddressRing(ADDRESSES).candidates()) == [A, B, C]
    assert ring().candidates() == (A, B, C)


def test_what_was_lost_or_found_nobody_comes_last() -> None:
    order = ring()
    order.entered(at(B))  # A was tried before it, in vain
    assert order.candidates() == (C, A, B)  # for a second connection
    order.lost()
    assert order.candidates() == (C, A, B)
    order.lost()  # there was no connection
    assert order.candidates() == (C, A, B)
    order.entered(at(None))  # by a way that is none of these
    order.lost()
    assert order.candidates() == (C, A, B)


def attempts(
    order: AddressRing, found: Sequence[ChatError | None], may_go_on: bool = True
) -> tuple[list[Address], ChatError | None]:
    """Which addresses one round has come to, where each attempt ends so; and how the round did."""
    tried: list[Address] = []
    ends = iter(found)

    def attempt() -> None:
        error = next(ends)
        if isinstance(error, Unreachable):  # of all that were left
            raise error
        tried.append(order.candidates()[0])
        order.dialled(at(tried[-1]))
        if error is not None:
            raise error

    try:
        order.round(attempt, lambda: may_go_on)
    except ChatError as error:
        return tried, error
    return tried, None


@pytest.mark.parametrize(
    "error",
    [Closed(), TimedOut(), Malformed(), refused("server_full"), refused("server_full", proven=True),
     refused("timed_out"), refused("unavailable", proven=True)],
)  # fmt: skip
def test_what_may_be_one_addresses_alone_goes_on_to_the_next_at_once(error: ChatError) -> None:
    order = ring()
    assert attempts(order, [error, None]) == ([A, B], None)
    assert attempts(ring(), [error] * 3) == ([A, B, C], error)  # once each
    assert attempts(ring(), [error] * 2, may_go_on=False) == ([A], error)
    assert attempts(ring([A]), [error]) == ([A], error)


@pytest.mark.parametrize(
    "error",
    [refused("auth_failed"), refused("auth_failed", proven=True), refused("nick_taken", True),
     refused("too_many_attempts"), refused("rate_limited"), refused("bad_version"), AuthFailed(),
     LinkBroken()],
)  # fmt: skip
def test_what_is_refused_for_good_is_shown_to_no_other_address(error: ChatError) -> None:
    order = ring()
    assert attempts(order, [error]) == ([A], error)
    assert order.candidates() == (B, C)
    assert attempts(order, [None]) == ([B], None)  # the next round begins with the next one


def test_the_end_of_a_round_is_a_refusal_rather_than_that_nobody_was_there() -> None:
    full, away, wrong = refused("server_full"), Unreachable("refused"), refused("auth_failed")
    assert attempts(ring(), [full, away]) == ([A], full)
    assert attempts(ring(), [full, Closed(), TimedOut()]) == ([A, B, C], full)
    assert attempts(ring(), [full, wrong]) == ([A, B], wrong)
    broken = LinkBroken()
    assert attempts(ring(), [full, broken]) == ([A, B], broken)
    assert attempts(ring(), [away]) == ([], away)


# Dialling


@contextlib.contextmanager
def silent() -> Iterator[Address]:
    """Where connections are accepted by the system, and nobody says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield ("127.0.0.1", int(listener.getsockname()[1]))


def dialled(addresses: Sequence[Address], **options: Any) -> Address | None:
    peer = connect_any(addresses, max_message_size=1 << 20, greeted=True, **options)
    peer.finish(0.0)
    return peer.address


def test_the_first_that_answers_is_taken_and_none_is_waited_for(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(happy_eyeballs, "ANSWER_DELAY", 0.05)
    here = ("127.0.0.1", server.port)
    away = ("127.0.0.1", free_port())
    streams: list[Stream] = []
    with silent() as mute:
        assert dialled([away, mute, here], opened=streams.append) == here
    assert len(streams) == 3  # each was there to be aborted
    assert dialled([here]) == here


def test_each_failure_is_one_addresses_own() -> None:
    """What tells most is reported, with its address; where nobody was there, it is said of all."""

    def page(peer: WebSocket, _link: ServerLink) -> None:
        raise Closed

    away = [("127.0.0.1", free_port()) for _each in range(16)]
    with pytest.raises(Unreachable) as caught:
        dialled(away)
    assert (caught.value.reason, caught.value.details().get("server")) == ("refused", None)
    with Impostor(page) as other, pytest.raises(Unreachable) as caught:
        dialled([away[0], other.address, away[1]])
    told = f"127.0.0.1:{other.address[1]}"
    assert (caught.value.reason, caught.value.details()["server"]) == ("not_websocket", told)


def test_a_slow_server_is_not_cut_short_by_one_that_is_no_server() -> None:
    """As it is where addresses of one name are tried."""
    order: list[Address] = []

    def attempt(address: Address, _hold: object, accepted: Callable[[], None]) -> Address:
        order.append(address)
        accepted()
        if address == A:
            raise Unreachable("needs_tls")
        return address

    race = happy_eyeballs.Race[Address, Address]
    assert reach_any([A, B], 1.0, attempt) == B
    now = [0.0]

    def late(address: Address, lane: happy_eyeballs.Lane) -> Address:
        if address == B:
            now[0] = happy_eyeballs.ANSWER_DELAY + 1.0
            return address
        raise Unreachable("wrong_host")

    assert race(late, 10.0, clock=lambda: now[0], servers=True).run([A, B]) == B


def test_what_stands_before_all_of_them_is_asked_once() -> None:
    """A proxy that does not take its password would not take it for another address."""
    asked: list[Address] = []

    def attempt(address: Address, _hold: object, _accepted: object) -> None:
        asked.append(address)
        raise Unreachable("proxy_password")

    with pytest.raises(Unreachable) as caught:
        reach_any(ADDRESSES, 1.0, attempt)
    assert (caught.value.reason, asked) == ("proxy_password", [A])


def test_each_address_is_verified_under_its_own_name(
    serve: Callable[..., ChatServer], tmp_path: Path
) -> None:
    """Unless there is one for all of them; one that fails is passed over."""
    made = make_certificate(tmp_path, hosts=("127.0.0.1",))
    port = serve(ssl_cert=made.cert_path, ssl_key=made.key_path).port
    wrong, right = ("localhost", port), ("127.0.0.1", port)
    tls = client_context(made.cert_path)
    assert dialled([wrong, right], tls=tls) == right
    assert dialled([wrong, right], tls=tls, server_hostname="127.0.0.1") == wrong
    with pytest.raises(Unreachable) as caught:
        dialled([("127.0.0.1", free_port()), wrong], tls=tls)
    assert (caught.value.reason, caught.value.server) == ("wrong_host", f"localhost:{port}")


# A client


class Person:
    """A real client that goes to a chat by some of its addresses, in the order in which they are
    given."""

    def __init__(
        self, nick: str, addresses: Sequence[Address], pool: IdentityPool, prs: bytes, number: int
    ) -> None:
        self.found: list[events.Event] = []
        self.told: list[str] = []
        self.dials: list[tuple[Address, ...]] = []
        self.ring = ring(addresses)
        host, port = addresses[0]
        self.session = ClientSession(
            pool[number], InviteLink(host, port), nick, "den", recorder(self.found),
            lambda: self.connection.send(),
        )  # fmt: skip
        self.user = LocalUser(self.session)
        self.connection = ClientConnection(
            self._dial, pool[number], lambda: Credentials(prs), self.session, self.found.append,
            self.told.append, make_keys=lambda: pool.keys, addresses=self.ring,
        )  # fmt: skip

    def _dial(self, opened: Callable[[Stream], None]) -> WebSocket:
        self.dials.append(self.ring.candidates())
        return connect_any(
            self.dials[-1], max_message_size=1 << 20, greeted=True, opened=opened, timeout=10.0
        )

    def __enter__(self) -> Person:
        self.connection.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.connection.leave()

    def all(self, kind: type[events.Event]) -> list[Any]:
        return [event for event in self.found if isinstance(event, kind)]

    def texts(self) -> list[str]:
        return [event.text for event in self.all(events.Message)]

    @property
    def at(self) -> Address | None:
        peer = self.connection._sender.peer
        return None if peer is None else peer.address


Meet = Callable[..., Person]


@pytest.fixture
def meet(pool: IdentityPool, prs: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Meet]:
    """People who are in, or were told that they cannot be."""
    monkeypatch.setattr(backoff, "FIRST_DELAY", 0.02)
    with contextlib.ExitStack() as stack:

        def make(nick: str, *addresses: Address, right: bytes = prs) -> Person:
            number = ("ann", "ben").index(nick)
            person = stack.enter_context(Person(nick, addresses, pool, right, number))
            until(lambda: person.told)
            return person

        yield make


def test_who_loses_one_address_goes_on_by_the_other_and_nothing_is_lost_or_twice(
    server: ChatServer, meet: Meet
) -> None:
    with Relay(server.port) as one, Relay(server.port) as two:
        ann = meet("ann", one.address, two.address)
        ben = meet("ben", ("127.0.0.1", server.port))
        until(lambda: ann.all(events.MemberJoined))
        lines: list[str] = []
        for here, gone, there in ((one, one, two), (two, two, one), (one, one, two)):
            assert ann.at == here.address
            there.open()
            for number in range(3):
                lines.append(f"{len(lines)} {number}")
                ann.user.say(lines[-1])
            gone.cut(closed=True)  # in the middle of them
            lines.append(f"{len(lines)} away")
            ann.user.say(lines[-1])
            until(lambda: ben.texts() == lines)
            until(lambda: ann.texts() == lines)
            until(lambda: ann.at == there.address)  # noqa: B023
        assert [event.resumed for event in ann.all(events.Reconnected)] == [True] * 3
        found = [event.attempt for event in ann.all(events.Reconnecting)]
        assert found == [*range(1, len(found) + 1)]
        assert not ben.all(events.MemberLeft) and not ann.all(events.Missed)


def test_the_wait_is_for_a_whole_round_and_another_connection_is_made_by_another_address(
    server: ChatServer, meet: Meet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Relay(server.port) as one, Relay(server.port) as two:
        ann = meet("ann", one.address, two.address)
        ann.connection.retry()
        until(lambda: ann.at == two.address)
        assert ann.dials == [(one.address, two.address), (two.address, one.address)]
        one.cut(closed=True)
        until(lambda: one.cuts)
        two.cut(closed=True)
        until(lambda: len(ann.dials) >= 4)
        one.open()
        until(lambda: ann.at == one.address)
        rounds = len(ann.dials) - 2
        assert [event.attempt for event in ann.all(events.Reconnecting)] == [*range(1, rounds + 1)]
        assert ann.dials[2:] == [(one.address, two.address)] * rounds
        assert [event.resumed for event in ann.all(events.Reconnected)] == [True, True]


def test_a_wrong_password_is_shown_to_one_address(server: ChatServer, meet: Meet) -> None:
    with Relay(server.port) as one, Relay(server.port) as two:
        ann = meet("ann", one.address, two.address, right=pake.token_prs(b"another"))
        until(lambda: ann.connection.over)
        assert (ann.connection.outcome.kind, ann.connection.outcome.reason) == (
            "refused", "auth_failed",
        )  # fmt: skip
        assert ann.dials == [(one.address, two.address)]


def test_who_is_in_between_has_three_guesses_however_many_addresses_there_are(meet: Meet) -> None:
    shown = 0

    def guess(peer: WebSocket, link: ServerLink) -> None:
        nonlocal shown
        with contextlib.suppress(AuthFailed):
            prove(peer, link, b"a guess, thirty-two bytes of it.")
        shown += 1
        raise Closed

    with contextlib.ExitStack() as stack:
        places = [stack.enter_context(Impostor(guess)).address for _each in range(5)]
        ann = meet("ann", *places)
        until(lambda: ann.connection.over)
    assert (shown, len(ann.dials)) == (3, 3)
    assert ann.connection.outcome.kind == "unreachable"


@pytest.mark.parametrize("late", [False, True], ids=["greeting", "key"])
def test_one_that_is_full_is_passed_over_without_a_word(
    server: ChatServer, meet: Meet, late: bool
) -> None:
    def full(peer: WebSocket, link: ServerLink) -> None:
        if late:
            peer.send(link.greeting())
            peer.receive(10.0)
        peer.send(frames.Refused("server_full").encode().decode())

    with Impostor(full) as other, Relay(server.port) as relay:
        ann = meet("ann", other.address, relay.address)
        assert (ann.told, ann.at) == (["joined"], relay.address)
        relay.cut()  # now that one is last
        until(lambda: len(ann.dials) == 4)
        until(lambda: ann.at == relay.address)
        until(lambda: ann.all(events.Reconnected))
        assert ann.dials[2:] == [(other.address, relay.address), (relay.address,)]
        assert not ann.all(events.Notice)
        relay.cut(closed=True)
        until(lambda: ann.all(events.Notice))  # told once nobody else is left
        (notice,) = {event.text for event in ann.all(events.Notice)}
        assert "server_full" in notice


def test_a_list_from_the_command_line_to_the_history(tmp_path: Path) -> None:
    """What is kept is kept under the first address, whichever answered; a link has all of them."""
    state = dict.fromkeys(("XDG_STATE_HOME", "LOCALAPPDATA"), str(tmp_path))
    state["HISTORY_PASSPHRASE"] = "a long passphrase"
    with Server() as server, Relay(server.port) as one, Relay(server.port) as two:
        where = [f"127.0.0.1:{relay.address[1]}" for relay in (one, two)]
        one.cut(closed=True)
        with Client(",".join(where), "alice", "--history", settings=state) as alice:
            one.open()
            two.cut(closed=True)
            alice.say("/invite", "a line")
            link = alice.next("invite")["link"]
            assert link.startswith(f"cmdchat://{','.join(where)}/")
            alice.next("message", text="a line")
            assert [event["resumed"] for event in alice.all("reconnected")] == [True]
            assert alice.finish() == 0
        to = ("--server", ",".join(where), "--name", "bob")
        sent = run_command("send", "hello", *to, env={"CLIENT_PASSWORD": PASSWORD})
        assert sent.status == 0
    told = run_command("history", "show", where[0], env=state)
    assert told.status == 0 and "a line" in told.out
    assert run_command("history", "show", where[1], env=state).status == 2


def test_a_form_is_sent_once_to_the_first_that_is_reached(server: ChatServer) -> None:
    fields = {"admin_password": wire.PASSWORD, "username": "al", "ttl": "60"}
    away, here = ("127.0.0.1", free_port()), ("127.0.0.1", server.port)
    assert post_form([away, here], "/generate_token", fields)[0] == 200
    assert len(server._services.tokens.live()) == 1


def test_where_none_of_them_is_there_all_are_named() -> None:
    where = [f"127.0.0.1:{free_port()}" for _each in range(2)]
    done = run_command("connect", ",".join(where), "al", env={"CLIENT_PASSWORD": PASSWORD})
    assert (done.status, done.errors.count("\n")) == (3, 1)
    assert f"Nobody listens at {where[0]}, {where[1]}; " in done.errors


def test_who_leaves_while_all_are_dialled_does_not_wait(pool: IdentityPool, prs: bytes) -> None:
    with silent() as one, silent() as two:
        ann = Person("ann", [one, two], pool, prs, 0)
        ann.connection.start()
        until(lambda: ann.connection._streams)
        leaving = Task(ann.connection.leave)
        leaving.result()
        assert ann.connection.over
