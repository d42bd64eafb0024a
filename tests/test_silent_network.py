"""The network goes away without a word: real clients and servers, behind lines that freeze."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

from client import events
from client.connection import backoff, deadlines, heartbeat, reconnection, silence
from client.connection import connection as client_connection
from client.connection.connection import ClientConnection
from client.connection.deadlines import NOTHING, Awaited
from client.session import ClientSession
from protocol import frames
from protocol.invite import InviteLink
from protocol.link import Credentials, ServerLink
from server.app import ChatServer
from tests.conftest import IdentityPool
from tests.faults import Fault, Group, Person, check, party, play, world
from tests.malicious import Impostor, prove, received, recorder, welcome
from tests.transport_kit import until
from transport import Closed
from transport.client_websocket import connect
from transport.stream import Stream
from transport.websocket import WebSocket


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of a second without an answer is long; at once afterwards one dials."""
    monkeypatch.setattr(silence, "FIRST_NOTICE", 0.1)
    monkeypatch.setattr(silence, "DIAL_AFTER", 0.2)


def freeze(person: Person, coming: bool = False) -> None:
    """Nothing passes any more on the connection of now, or on the next one, either way."""
    for up in (True, False):
        person.road.arm(Fault("delay", up, seconds=1000.0), coming)
    person.group.network.obeyed()


def thaw_first(person: Person) -> None:
    """What the oldest connection holds goes on."""

    def thaw() -> None:
        for lane in person.road.connections[0]:
            lane.quiet_until = 0.0

    person.group.network.order(thaw)
    person.group.network.obeyed()


@contextlib.contextmanager
def two(pool: IdentityPool, prs: bytes) -> Iterator[tuple[Group, Person, Person]]:
    """Two people; afterwards nothing may be lost, doubled, or out of order."""
    with world(prs) as tap, party(pool, prs, 2) as group:
        yield group, group.people[0], group.people[1]
        group.settle()
        assert not any(person.all(events.MemberLeft) for person in group.people)
    check(group, tap, forgiving=False)


def test_a_second_connection_takes_over(
    pool: IdentityPool, prs: bytes, impatient: None
) -> None:
    """The first one is frozen for good; the line goes out once, and nobody sees anybody leave."""
    with two(pool, prs) as (group, ann, ben):
        freeze(ann)
        mine, theirs = ann.say(), ben.say()
        group.wait(lambda: ben.heard(mine) and ann.heard(theirs), "the lines")
        assert ann.all(events.NoAnswer)
        assert [event.resumed for event in ann.all(events.Reconnected)] == [True]
        assert not ann.all(events.Reconnecting)
        thaw_first(ann)


def test_the_first_connection_goes_on_if_it_proves_first(
    pool: IdentityPool, prs: bytes, impatient: None
) -> None:
    with two(pool, prs) as (group, ann, ben):
        freeze(ann, coming=True)  # said first: it is for the next one
        freeze(ann)
        mine = ann.say()
        group.wait(lambda: ann.all(events.NoAnswer), "the silence")
        until(lambda: len(ann.road.connections) == 2)
        thaw_first(ann)
        group.wait(lambda: ben.heard(mine) and ann.all(events.Answered), "the answer")
        assert ann.connection._standby is None
        assert not ann.all(events.Reconnected) and not ann.all(events.Reconnecting)


def test_both_come_back_at_once(pool: IdentityPool, prs: bytes, impatient: None) -> None:
    """Whichever is first: nothing comes twice."""
    with two(pool, prs) as (group, ann, ben):
        for _ in range(5):
            ann.road.freeze()
            group.network.obeyed()
            mine, theirs = ann.say(), ben.say()
            until(lambda: len(ann.road.connections) == 2)
            ann.road.thaw()
            group.wait(lambda: ben.heard(mine) and ann.heard(theirs), "lines")  # noqa: B023


def test_the_welcome_of_the_second_one_never_comes(
    pool: IdentityPool, prs: bytes, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has given it the place already: the first one ends, and a third one is dialled."""
    monkeypatch.setattr(client_connection, "ATTEMPT_SECONDS", 0.3)
    with two(pool, prs) as (group, ann, ben):
        ann.road.arm(Fault("delay", False, after=2200, seconds=1000.0), coming=True)
        freeze(ann)
        mine = ann.say()
        group.wait(lambda: ben.heard(mine), "the line")
        thaw_first(ann)
        group.answered(ann)
        assert [event.resumed for event in ann.all(events.Reconnected)] == [True]


def test_reconnecting_on_purpose_loses_nothing(pool: IdentityPool, prs: bytes) -> None:
    """Also on a connection that is well, with lines under way."""
    with two(pool, prs) as (group, ann, ben):
        for number in range(1, 4):
            lines = [ann.say() for _ in range(3)]
            ann.connection.retry()
            group.wait(lambda: len(ann.all(events.Reconnected)) == number, "it")  # noqa: B023
            group.wait(lambda: all(map(ben.heard, lines)), "the lines")  # noqa: B023
        assert all(event.resumed for event in ann.all(events.Reconnected))
        assert not ann.all(events.Reconnecting)


def test_reconnecting_on_purpose_where_it_fails_leaves_the_connection_that_there_is(
    pool: IdentityPool, prs: bytes
) -> None:
    with two(pool, prs) as (group, ann, ben):
        ann.road.arm(Fault("cut", False), coming=True)
        ann.connection.retry()
        group.wait(lambda: ann.all(events.Notice), "it fails")
        mine = ann.say()
        group.wait(lambda: ben.heard(mine), "the line")
        assert not ann.all(events.Reconnected) and not ann.all(events.Reconnecting)


def test_bytes_of_a_large_message_are_signs_of_life(
    pool: IdentityPool, prs: bytes, impatient: None
) -> None:
    """A slow line is not a dead one."""
    with two(pool, prs) as (group, ann, ben):
        # 6,000 bytes and more in some 2 seconds, each tenth of which comes without a long pause.
        slow = Fault("throttle", False, seconds=2.0, size=8000, piece=200)
        ann.road.arm(slow)
        group.network.obeyed()
        theirs, mine = ben.say(6000), ann.say()
        group.wait(lambda: ann.heard(theirs) and ann.heard(mine), "both")
        assert not ann.all(events.Reconnected)


def test_a_line_that_goes_out_just_when_the_one_before_is_answered_is_watched_too(
    pool: IdentityPool, prs: bytes, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is sent after the reader thread has heard that nothing is awaited, and before it waits."""
    monkeypatch.setitem(deadlines.HINTS, "answer", 1000.0)  # nothing else makes it look
    with two(pool, prs) as (group, ann, ben):
        liveness, outlook, lines = ann.connection._liveness, ann.session.outlook, [""]
        monkeypatch.setattr(liveness, "beat_at", math.inf)
        until(lambda: liveness._silence.due == math.inf)

        def asked() -> tuple[Awaited, float]:
            found = outlook()
            if found[0] == NOTHING and liveness._silence.due < math.inf and not lines[0]:
                freeze(ann)
                typing = threading.Thread(target=lambda: lines.insert(0, ann.say()))
                typing.start()
                typing.join()
            return found

        monkeypatch.setattr(ann.session, "outlook", asked)
        while not lines[0]:
            ann.say()
            group.answered(ann)
        group.wait(lambda: ben.heard(lines[0]), "the line")
        assert [event.resumed for event in ann.all(events.Reconnected)] == [True]
        assert not ann.all(events.Reconnecting)


class Moved:
    """A route that is another one as soon as ``now`` is set."""

    def __init__(self) -> None:
        self.now = threading.Event()

    def changed(self) -> bool:
        return self.now.is_set()


def test_another_route_is_a_reason_to_dial_at_once(
    pool: IdentityPool, prs: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No second of patience is left to wait for here."""
    monkeypatch.setattr(silence, "FIRST_NOTICE", 1000.0)
    monkeypatch.setattr(silence, "DIAL_AFTER", 1000.0)
    monkeypatch.setattr(silence, "LONGEST_WAIT", 1000.0)
    monkeypatch.setattr(silence, "ROUTE_SECONDS", 0.05)
    with two(pool, prs) as (group, ann, ben):
        moved = Moved()
        monkeypatch.setattr(ann.connection._liveness, "route", moved)
        freeze(ann)
        mine = ann.say()
        until(lambda: ann.connection._liveness.is_late)
        assert len(ann.road.connections) == 1
        moved.now.set()
        group.wait(lambda: ben.heard(mine), "the line")
        assert [event.resumed for event in ann.all(events.Reconnected)] == [True]


def test_another_route_is_kept_in_mind_until_something_is_awaited(
    pool: IdentityPool, prs: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is noticed once, and whoever awaits nothing has no reason to dial."""
    for name in ("FIRST_NOTICE", "DIAL_AFTER", "LONGEST_WAIT", "ROUTE_SECONDS"):
        monkeypatch.setattr(silence, name, 1000.0)
    with two(pool, prs) as (group, ann, ben):
        liveness, outlook = ann.connection._liveness, ann.session.outlook
        monkeypatch.setattr(liveness, "beat_at", math.inf)
        until(lambda: liveness._silence.due == math.inf)
        found = iter([True])
        monkeypatch.setattr(liveness, "route", mock.Mock(changed=lambda: next(found, False)))
        monkeypatch.setattr(ann.session, "outlook", mock.Mock(wraps=outlook))
        liveness._suspect = True
        for times in (1, 2):
            ann.connection._stir()
            until(lambda: ann.session.outlook.call_count >= times)  # type: ignore[attr-defined]  # noqa: B023
        freeze(ann)
        mine = ann.say()
        group.wait(lambda: ben.heard(mine), "the line")
        assert [event.resumed for event in ann.all(events.Reconnected)] == [True]


def test_a_route_after_none_ends_the_wait_for_the_next_attempt(
    pool: IdentityPool, prs: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    delays: dict[str, Any] = dict.fromkeys(("FIRST_DELAY", "GRACE_DELAY", "LONGEST_DELAY"), 1000.0)
    with two(pool, prs) as (group, ann, ben), mock.patch.multiple(backoff, **delays):
        monkeypatch.setattr(reconnection, "ROUTE_SECONDS", 0.05)
        moved = Moved()
        monkeypatch.setattr(ann.connection._liveness, "route", moved)
        ann.road.arm(Fault("cut"))
        group.network.obeyed()
        mine = ann.say()
        group.wait(lambda: ann.all(events.Reconnecting), "the loss")
        assert ann.all(events.Reconnecting)[0].delay >= 500.0
        moved.now.set()
        group.wait(lambda: ben.heard(mine), "the line")


def test_cut_twice_after_the_same_silence_it_beats_more_often_and_says_so(
    pool: IdentityPool, prs: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "_LEAST_IDLE", 0.0)
    monkeypatch.setattr(heartbeat, "_ALIKE_SECONDS", 1000.0)
    with two(pool, prs) as (group, ann, _ben):
        before = ann.connection._liveness.interval
        for number in (1, 2):
            ann.road.arm(Fault("cut"))
            group.wait(lambda: len(ann.all(events.Reconnected)) == number, "a cut")  # noqa: B023
            until(lambda: ann.session.awaited() == NOTHING)
        (notice,) = ann.all(events.Notice)
        assert "a heartbeat goes out every 2 seconds" in notice.text
        assert ann.connection._liveness.interval == heartbeat.SHORTEST < before


@pytest.mark.timeout(120)
def test_nothing_is_lost_or_doubled_by_clients_that_dial_at_every_pause(
    pool: IdentityPool, prs: bytes, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Schedules of ``faults``, in which two connections overlap again and again."""
    monkeypatch.setattr(silence, "DIAL_AFTER", 0.1)
    assert play(range(7000, 7003), pool, prs)["schedules"] == 3


# Somebody in between



def client(
    pool: IdentityPool, prs: bytes, port: Callable[[], int], **options: float
) -> tuple[ClientConnection, list[events.Event], list[str]]:
    found: list[events.Event] = []
    told: list[str] = []
    address = InviteLink("127.0.0.1", 1, tls=False, fingerprint=None)
    connection: list[ClientConnection] = []
    session = ClientSession(
        pool[0], address, "ann", "den", recorder(found), lambda: connection[0].send()
    )

    def dial(opened: Callable[[Stream], None]) -> WebSocket:
        return connect("127.0.0.1", port(), max_message_size=1 << 20, opened=opened)

    connection.append(
        ClientConnection(
            dial, pool[0], lambda: Credentials(prs), session, found.append, told.append,
            make_keys=lambda: pool.keys, heartbeat=options.get("heartbeat"),
        )  # fmt: skip
    )
    return connection[0], found, told


def test_who_guesses_in_between_is_named_at_once_and_stopped_though_others_go_through(
    pool: IdentityPool, prs: bytes, server: ChatServer
) -> None:
    """Every other connection goes to the real server, and is cut as soon as it is in."""
    guesses = 0

    def guess(peer: WebSocket, link: ServerLink) -> None:
        nonlocal guesses
        guesses += 1
        with contextlib.suppress(Exception):
            prove(peer, link, b"a guess, thirty-two bytes of it.")
        raise Closed

    with Impostor(guess) as impostor, mock.patch("client.connection.backoff.FIRST_DELAY", 0.01):
        dialled = 0

        def port() -> int:
            nonlocal dialled
            dialled += 1
            return server.port if dialled % 2 else impostor.address[1]

        connection, found, told = client(pool, prs, port)
        connection.start()
        try:
            for through in range(1, 4):
                until(lambda: told and dialled == 2 * through - 1)  # noqa: B023
                until(lambda: connection._sender.link)
                assert connection._sender.peer is not None
                connection._sender.peer.abort()
                until(lambda: guesses == through)  # noqa: B023
            until(lambda: connection.over)
        finally:
            connection.leave()
    named = [event for event in found if isinstance(event, events.Warning)]
    assert [event.code for event in named] == ["unproven"] * 3
    assert connection.outcome.reason == "unproven" and guesses == 3


def test_heartbeats_come_as_often_as_they_are_wanted_and_want_answers(
    pool: IdentityPool, prs: bytes
) -> None:
    """The server of this test wants one every thirty seconds."""
    beats: list[frames.Frame] = []

    def script(peer: WebSocket, link: ServerLink) -> None:
        prove(peer, link, prs)
        peer.send(link.seal([welcome("ann").encode()]))
        while len(beats) < 3:
            values = link.open(received(peer))
            beats.extend(frames.from_object(value, frames.CLIENT_FRAMES) for value in values)

    with Impostor(script) as impostor:
        connection, _found, _told = client(
            pool, prs, lambda: impostor.address[1], heartbeat=0.05
        )
        connection.start()
        try:
            until(lambda: len(beats) >= 3)
        finally:
            connection.leave()
    assert all(isinstance(beat, frames.Seen) and beat.answer for beat in beats[:3])
