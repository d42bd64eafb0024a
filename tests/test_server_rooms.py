"""One client in several rooms of a server: in and out, coming back, and what is each room's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from protocol import frames
from protocol import limits as protocol_limits
from server import limits
from server.app import ChatServer
from server.broadcast import Receiver
from server.rooms import Room
from server.sessions import ServerSession
from tests.held import held
from tests.test_rate_limits import Clock
from tests.test_server_connection import room_is, until
from tests.wire import Wire, box, wrap

Wires = Callable[..., Wire]
Serve = Callable[..., ChatServer]

THREE = ["tea", "coffee", "lab"]


def session_of(server: ChatServer, wire: Wire) -> ServerSession:
    """The server's side of it."""
    session = server._services.sessions.find(wire.identity.fingerprint)
    assert session is not None
    return session


def room_of(server: ChatServer, name: str) -> Room[Receiver]:
    """One of the server's rooms."""
    room = server._services.rooms.find(name)
    assert room is not None
    return room


def pick(wire: Wire, wanted: Callable[[frames.Frame], bool]) -> Any:
    """The next frame that is ``wanted``; what comes before it stays for later."""
    looked = 0
    while True:
        while looked == len(wire.waiting):
            wire._open(wire.message())
        if wanted(wire.waiting[looked]):
            found = wire.waiting[looked]
            del wire.waiting[looked]
            return found
        looked += 1


def logs(wire: Wire, at: int, to: int) -> list[frames.Frame]:
    """The entries of one room's log up to number ``to``."""
    found: list[frames.Frame] = []
    while True:
        log = pick(wire, lambda frame: isinstance(frame, frames.Log) and frame.at == at)
        found += log.entries
        if log.to >= to:
            return found


def numbers(entries: list[frames.Frame]) -> list[int]:
    """Their places."""
    return [entry.seq for entry in entries]  # type: ignore[attr-defined]


def answer(wire: Wire, request: frames.Request) -> frames.Frame:
    """What comes of it: `accepted` or `refused`; a room that was entered is known then."""
    wire.send(request)
    found: frames.Frame = pick(
        wire, lambda frame: isinstance(frame, (frames.Accepted, frames.Refused))
    )
    entered = [frame for frame in wire.waiting if isinstance(frame, frames.Entered)]
    if entered:
        wire.entered = wire.rooms[entered[0].room] = wire.find(frames.Entered)
        wire.find(frames.Roster)
    return found


def congest(server: ChatServer, name: str, wait: float, clock: Clock | None = None) -> Clock:
    """As if a room had changed so often just now that it may again after so many seconds."""
    room, clock = room_of(server, name), clock or Clock()
    bucket = room.churn._bucket
    room.churn._clock = bucket._clock = clock
    bucket._at, bucket._spare = clock.now, 1.0 - wait * limits.CHANGES_A_SECOND
    return clock


# In and out


def test_rooms_beside_each_other(server: ChatServer, wires: Wires) -> None:
    """Each with a number, an id and a log; what is said in one is heard in that one."""
    alice = wires(server, 0).join("alice", "tea")
    bob = wires(server, 1).join("bob", "coffee")
    tea, coffee = alice.at, bob.at
    alice.send(frames.Enter(1, "COFFEE"))
    entered = alice.arrive()
    assert (entered.at, entered.room, entered.ref) == (coffee, "coffee", 1) and tea != coffee
    assert set(alice.roster) == {"alice", "bob"}
    assert alice.find(frames.Accepted) == frames.Accepted(1)
    joined = logs(bob, coffee, 2)
    assert [type(entry) for entry in joined] == [frames.Joined]
    alice.send(frames.Post(2, tea, 1, box()), frames.Post(3, coffee, 2, box()))
    assert [alice.find(frames.Accepted).seq for _ in range(2)] == [2, 3]
    assert logs(alice, tea, 2) == [frames.OwnPosted(2, 2)]
    assert logs(alice, coffee, 3) == [frames.OwnPosted(3, 3)]
    assert numbers(logs(bob, coffee, 3)) == [3]


def test_leaving_one_of_them(server: ChatServer, wires: Wires) -> None:
    """Its others hear of it; nothing of it comes after the answer, and the other room goes on."""
    alice = wires(server, 0).join("alice", stays=["tea", "coffee"])
    bob = wires(server, 1).join("bob", "tea")
    tea, coffee = bob.at, alice.at
    alice.send(frames.Leave(1, tea))
    assert alice.find(frames.Accepted) == frames.Accepted(1)
    assert logs(bob, tea, 3) == [frames.Left(3, alice.rooms["tea"].id)]
    alice.waiting.clear()
    bob.post(2)
    bob.find(frames.Accepted)
    assert answer(alice, frames.Post(2, coffee, 1, box())) == frames.Accepted(2, 2)
    assert logs(alice, coffee, 2) == [frames.OwnPosted(2, 2)]
    assert not alice.waiting


def test_frames_for_a_room_that_one_is_not_in(server: ChatServer, wires: Wires) -> None:
    """What asks for something is `gone`; what crossed a `leave` is passed over; no strikes."""
    alice = wires(server, 0).join("alice", stays=["tea", "coffee"])
    bob = wires(server, 1).join("bob", "tea")
    for at in (bob.at, 77):
        if at == bob.at:
            assert answer(alice, frames.Leave(1, at)) == frames.Accepted(1)
        ref = at * 10
        for request in (
            frames.Post(ref, at, 2, box()),
            frames.Private(ref + 1, at, 2, wrap(bob.id), box()),
            frames.Nick(ref + 2, at, "alicia"),
            frames.Leave(ref + 3, at),
            frames.Enter(ref + 4, "lab", at),
        ):
            assert answer(alice, request) == frames.Refused("gone", request.ref)
        alice.send(frames.Keys(at, (wrap(bob.id),)), frames.Seen((frames.Position(at, 9, 9),)))
    assert answer(alice, frames.Post(1000, alice.at, 1, box())) == frames.Accepted(1000, 2)
    assert server._services.rooms.find("lab") is None


def test_the_last_room_is_not_left(server: ChatServer, wires: Wires) -> None:
    """Who wants to go says goodbye: a strike, and nothing has happened."""
    alice = wires(server, 0).join("alice")
    assert answer(alice, frames.Leave(1, alice.at)) == frames.Refused("unexpected", 1)
    assert answer(alice, frames.Post(2, alice.at, 1, box())) == frames.Accepted(2, 2)
    for ref in (3, 4):
        alice.send(frames.Leave(ref, alice.at))
    assert alice.ended()[-1] == frames.Bye("protocol")


def test_a_move_is_one_step(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into a full room it does not lead, and then nothing has happened."""
    alice = wires(server, 0).join("alice", stays=["tea", "coffee"])
    bob = wires(server, 1).join("bob", "tea")
    tea, coffee = bob.at, alice.at
    wires(server, 2).join("carol", "lab")
    with monkeypatch.context() as patch:
        patch.setattr(protocol_limits, "ROOM_MEMBERS", 1)
        assert answer(alice, frames.Enter(1, "lab", tea)) == frames.Refused("room_full", 1)
    assert set(session_of(server, alice).members) == {tea, coffee}
    assert answer(alice, frames.Enter(2, "lab", tea)) == frames.Accepted(2)
    assert alice.entered is not None and alice.entered.room == "lab" and alice.entered.ref == 2
    assert numbers(logs(bob, tea, 3)) == [3]
    # To where one is, and away from somewhere else; and away from where one is.
    assert answer(alice, frames.Enter(3, "Coffee", coffee)) == frames.Accepted(3)
    assert set(session_of(server, alice).members) == {coffee, alice.at}
    assert answer(alice, frames.Enter(4, "Coffee", alice.at)) == frames.Accepted(4)
    session = session_of(server, alice)
    assert set(session.members) == {coffee}
    assert session.queue is not None and set(session.queue._places) == {coffee}


def test_as_many_rooms_as_one_may_be_in(serve: Serve, wires: Wires) -> None:
    """And no more; but into one that one is in already, and from one to another."""
    server = serve()
    names = [f"room-{number}" for number in range(protocol_limits.ROOMS_OF_ONE)]
    alice = wires(server, 0).join("alice", stays=names)
    assert [alice.rooms[name].at for name in names] == list(range(1, 17))
    assert answer(alice, frames.Enter(1, "more")) == frames.Refused("too_many_rooms", 1)
    assert answer(alice, frames.Enter(2, "ROOM-3")) == frames.Accepted(2)
    assert answer(alice, frames.Enter(3, "more", 5)) == frames.Accepted(3)
    assert answer(alice, frames.Leave(4, 6)) == frames.Accepted(4)
    assert answer(alice, frames.Enter(5, "another")) == frames.Accepted(5)
    assert answer(alice, frames.Enter(6, "more yet")) == frames.Refused("bad_room", 6)
    assert len(session_of(server, alice).members) == 16


def test_numbers_are_not_given_twice(server: ChatServer, wires: Wires) -> None:
    """A room that all have left and that is there again is another one."""
    alice = wires(server, 0).join("alice", stays=["tea", "coffee"])
    first = alice.rooms["tea"]
    assert answer(alice, frames.Leave(1, first.at)) == frames.Accepted(1)
    assert answer(alice, frames.Enter(2, "tea")) == frames.Accepted(2)
    again = alice.rooms["tea"]
    assert again.at not in (first.at, alice.rooms["coffee"].at) and again.log != first.log


# Coming in to several


def test_one_that_cannot_be_entered(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is refused by itself, after `welcome` and in its turn; the others are entered."""
    wires(server, 1).join("bob", "full")
    monkeypatch.setattr(protocol_limits, "ROOM_MEMBERS", 1)
    alice = wires(server, 0)
    alice.greet()
    alice.prove("alice", stays=["no name", "tea", "Full", "coffee", "neither so"])
    assert alice.expect(frames.Welcome).resumed is False
    assert alice.expect(frames.Refused) == frames.Refused("bad_room", room="no name")
    assert alice.arrive().room == "tea"
    assert alice.expect(frames.Refused) == frames.Refused("room_full", room="Full")
    assert alice.arrive().room == "coffee"
    assert alice.expect(frames.Refused) == frames.Refused("bad_room", room="neither so")
    assert [room.name for room in session_of(server, alice).rooms()] == ["tea", "coffee"]
    assert answer(alice, frames.Post(1, alice.at, 1, box())) == frames.Accepted(1, 2)


@pytest.mark.parametrize(
    ("stays", "code"), [(["full", "no name"], "room_full"), (["a b", "c d"], "bad_room")]
)
def test_none_that_can_be_entered(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch, stays: list[str], code: str
) -> None:
    """The connection is refused as the first of them was, and nothing is left."""
    wires(server, 1).join("bob", "full")
    monkeypatch.setattr(protocol_limits, "ROOM_MEMBERS", 1)
    alice = wires(server, 0)
    alice.greet()
    alice.prove("alice", stays=stays)
    assert alice.refusal() == frames.Refused(code)
    assert alice.ended() == []
    assert held(server._services.sessions) == held(server._services.rooms) == 1


def test_the_waits_of_all_stays_are_one_wait(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told once; rooms that would have to be waited for when it is over are refused."""
    monkeypatch.setattr(limits, "CHANGE_WAIT_TOLD", 0.001)
    monkeypatch.setattr(limits, "CHANGE_PATIENCE", 3.0)
    wires(server, 1).join("bob", stays=["tea", "coffee", "porch", "lab"])
    clock = Clock()
    monkeypatch.setattr(server._services, "clock", clock)
    for name, wait in (("tea", 0.5), ("coffee", 2.0), ("porch", 9.0), ("lab", 4.0)):
        congest(server, name, wait, clock)
    alice = wires(server, 0)
    alice.greet()
    alice.prove("alice", stays=["tea", "coffee", "porch", "lab", "new"])
    assert alice.expect(frames.Wait).seconds == 0.5
    clock.now += 0.5
    assert alice.expect(frames.Welcome)
    assert alice.arrive().room == "tea"
    until(lambda: room_of(server, "coffee").churn._waiting)
    clock.now += 1.5  # the second of them, which is not told any more
    assert alice.arrive().room == "coffee"
    assert alice.expect(frames.Refused) == frames.Refused(
        "rate_limited", retry_after=7.0, room="porch"
    )
    assert alice.expect(frames.Refused) == frames.Refused(
        "rate_limited", retry_after=2.0, room="lab"
    )
    assert alice.arrive().room == "new"


def test_a_room_after_a_wait_follows_the_others(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is in one of them hears what is said there while another one is waited for."""
    bob = wires(server, 1).join("bob", stays=["tea", "coffee"])
    tea = bob.rooms["tea"].at
    clock = congest(server, "coffee", 0.7)
    alice = wires(server, 0)
    alice.greet()
    alice.prove("alice", stays=["tea", "coffee"])
    assert alice.expect(frames.Welcome)
    assert alice.arrive().room == "tea"
    assert alice.find(frames.Wait).seconds == 0.7
    bob.send(frames.Post(1, tea, 2, box()))
    assert numbers(logs(alice, tea, 3)) == [3]
    clock.now += 1.0
    assert alice.arrive().room == "coffee"
    assert len(session_of(server, alice).members) == 2


def test_whoever_is_replaced_while_it_comes_in(server: ChatServer, wires: Wires) -> None:
    """Enters no more rooms: the session is another connection's by then."""
    wires(server, 1).join("bob", "coffee")
    congest(server, "coffee", 5.0)
    first = wires(server, 0)
    first.greet()
    first.prove("alice", stays=["tea", "coffee"])
    first.expect(frames.Welcome)
    first.arrive()
    first.expect(frames.Wait)
    again = wires(server, 0).join("alice", stays=[first.stay("tea")])
    assert again.welcome is not None and again.welcome.resumed
    assert first.ended()[-1] == frames.Bye("replaced")
    assert [room.name for room in session_of(server, again).rooms()] == ["tea"]
    again.send(frames.ListRooms(1))
    assert [line.count for line in again.find(frames.RoomLines).rooms] == [1, 1]


def test_whoever_is_replaced_at_the_last_moment(server: ChatServer, wires: Wires) -> None:
    """The room may be entered, and it has not heard yet: the same."""
    wires(server, 1).join("bob", "coffee")
    clock = congest(server, "coffee", 0.7)
    first = wires(server, 0)
    first.greet()
    first.prove("alice", stays=["tea", "coffee"])
    first.expect(frames.Welcome)
    first.arrive()
    session = session_of(server, first)
    told: list[str] = []
    close, session.close_connection = session.close_connection, told.append
    wires(server, 0).join("alice", stays=[first.stay("tea")])
    clock.now += 1.0
    until(lambda: not room_of(server, "coffee").churn._waiting)
    close(told[0])
    assert first.ended()[-1] == frames.Bye("replaced")
    assert [room.name for room in session.rooms()] == ["tea"]
    assert room_of(server, "coffee").count() == 1


# Coming back


def test_all_rooms_are_where_they_were(server: ChatServer, wires: Wires) -> None:
    """In the order of the stays, whatever was missed in each; nobody else notices."""
    alice = wires(server, 0).join("alice", stays=THREE)
    bob = wires(server, 1).join("bob", stays=THREE)
    ats = {name: bob.rooms[name].at for name in THREE}
    for at in ats.values():
        logs(alice, at, 2)
    alice.cut()
    for ref, name in enumerate(["tea", "lab", "lab"], 1):
        assert isinstance(answer(bob, frames.Post(ref, ats[name], 2, box())), frames.Accepted)
    back = wires(server, 0)
    back.greet()
    back.prove("x", stays=[alice.stay(name, 2) for name in reversed(THREE)])
    assert back.expect(frames.Welcome).resumed
    for name in reversed(THREE):
        entered, known = back.arrive(), alice.rooms[name]
        assert entered == frames.Entered(known.at, name, known.log, known.id, 2, 0, True, 0)
    assert numbers(logs(back, ats["tea"], 3)) == [3]
    assert numbers(logs(back, ats["lab"], 4)) == [3, 4]
    assert answer(bob, frames.Post(4, ats["coffee"], 2, box())) == frames.Accepted(4, 3)
    for at, to in ((ats["coffee"], 3), (ats["lab"], 4)):
        kinds = [type(entry) for entry in logs(bob, at, to)]
        assert set(kinds) == {frames.OwnPosted}


def test_a_room_that_fell_off_says_so_alone(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`entered` as for falling behind, with the same id; the other one goes on in its place."""
    alice = wires(server, 0).join("alice", stays=["tea", "coffee"])
    bob = wires(server, 1).join("bob", stays=["tea", "coffee"])
    tea, coffee = bob.rooms["tea"].at, bob.rooms["coffee"].at
    logs(alice, tea, 2)
    logs(alice, coffee, 2)
    alice.cut()
    until(lambda: session_of(server, alice).lost_at is not None)
    monkeypatch.setattr(protocol_limits, "LOG_ENTRIES", 4)
    for seq in range(3, 9):
        bob.post(2, at=tea)
        logs(bob, tea, seq)
    bob.post(2, at=coffee)
    back = wires(server, 0)
    back.greet()
    back.prove("x", stays=[alice.stay("tea", 2), alice.stay("coffee", 2)])
    assert back.expect(frames.Welcome).resumed
    entered = back.arrive()
    known = alice.rooms["tea"]
    assert entered == frames.Entered(tea, "tea", known.log, known.id, 9, 2, False, 6)
    assert set(back.roster) == {"alice", "bob"} and back.roster["alice"].joined == 9
    assert back.arrive().resumed
    assert numbers(logs(back, coffee, 3)) == [3]
    assert logs(bob, tea, 9) == [frames.Rejoined(9, known.id)]
    assert numbers(logs(bob, coffee, 3)) == [3]
    back.post(9, at=tea)
    assert back.find(frames.Accepted).seq == 10


def lose_answers(server: ChatServer, wire: Wire, request: frames.Request) -> None:
    """Send it, and lose the connection when the server has taken it and nothing has come back."""
    wire.send(request)
    until(lambda: session_of(server, wire).taken == request.ref)
    wire.cut()


def test_an_enter_whose_answer_was_lost(server: ChatServer, wires: Wires) -> None:
    """The room comes after the stays, with the `ref`; the request is answered again, once."""
    alice = wires(server, 0).join("alice", "tea")
    bob = wires(server, 1).join("bob", "coffee")
    request = frames.Enter(1, "coffee")
    lose_answers(server, alice, request)
    back = wires(server, 0)
    back.greet()
    back.prove("x", stays=[alice.stay("tea")])
    assert back.expect(frames.Welcome).resumed
    assert back.arrive().resumed
    entered = back.arrive()
    assert (entered.room, entered.ref, entered.resumed, entered.missed) == ("coffee", 1, False, 0)
    assert set(back.roster) == {"alice", "bob"}
    assert answer(back, request) == frames.Accepted(1)
    kinds = [type(entry) for entry in logs(bob, bob.at, 3)]
    assert kinds == [frames.Joined, frames.Rejoined]


def test_an_enter_that_was_never_heard_of(server: ChatServer, wires: Wires) -> None:
    """Sent again it is the first."""
    alice = wires(server, 0).join("alice", "tea")
    alice.cut()
    back = wires(server, 0).join("x", stays=[alice.stay("tea")])
    assert answer(back, frames.Enter(1, "coffee")) == frames.Accepted(1)
    assert back.rooms["coffee"].ref == 1


def test_a_leave_whose_answer_was_lost(server: ChatServer, wires: Wires) -> None:
    """The stay is answered: one is not there any more; and the request once more as at first."""
    alice = wires(server, 0).join("alice", stays=["tea", "coffee"])
    request = frames.Leave(1, alice.rooms["tea"].at)
    lose_answers(server, alice, request)
    back = wires(server, 0)
    back.greet()
    back.prove("x", stays=[alice.stay("tea"), alice.stay("coffee")])
    assert back.expect(frames.Welcome).resumed
    assert back.expect(frames.Refused) == frames.Refused("gone", room="tea")
    assert back.arrive() == frames.Entered(
        2, "coffee", alice.rooms["coffee"].log, alice.rooms["coffee"].id, 1, 0, True, 0
    )
    assert answer(back, request) == frames.Accepted(1)


def test_a_move_whose_answer_was_lost(server: ChatServer, wires: Wires) -> None:
    """Both: the old room is gone, the new one is there with the `ref`."""
    alice = wires(server, 0).join("alice", "tea")
    wires(server, 1).join("bob", "coffee")
    request = frames.Enter(1, "coffee", alice.at)
    lose_answers(server, alice, request)
    back = wires(server, 0)
    back.greet()
    back.prove("x", stays=[alice.stay("tea")])
    assert back.expect(frames.Welcome).resumed
    assert back.expect(frames.Refused) == frames.Refused("gone", room="tea")
    assert back.arrive().ref == 1
    assert answer(back, request) == frames.Accepted(1)


def test_left_and_entered_again_with_both_answers_lost(server: ChatServer, wires: Wires) -> None:
    """The stay has the same name and log; whoever is there now is another member."""
    alice = wires(server, 0).join("alice", stays=["tea", "coffee"])
    wires(server, 1).join("bob", "tea")
    known = alice.rooms["tea"]
    alice.send(frames.Leave(1, known.at), frames.Enter(2, "tea"))
    until(lambda: session_of(server, alice).taken == 2)
    alice.cut()
    back = wires(server, 0)
    back.greet()
    back.prove("x", stays=[alice.stay("tea", 2), alice.stay("coffee")])
    assert back.expect(frames.Welcome).resumed
    entered = back.arrive()
    assert (entered.at, entered.log, entered.ref) == (known.at, known.log, 2)
    assert entered.id != known.id and not entered.resumed
    assert back.arrive().resumed


def test_a_stay_that_the_session_never_had(server: ChatServer, wires: Wires) -> None:
    """Is not entered: what one wants beside the others is asked for."""
    alice = wires(server, 0).join("alice", "tea")
    alice.cut()
    back = wires(server, 0)
    back.greet()
    back.prove("x", stays=[alice.stay("tea"), "coffee"])
    assert back.expect(frames.Welcome).resumed
    assert back.arrive().room == "tea"
    assert back.expect(frames.Refused) == frames.Refused("gone", room="coffee")
    assert server._services.rooms.find("coffee") is None


def test_a_client_that_knows_no_log_joins_anew(server: ChatServer, wires: Wires) -> None:
    """It has lost what it knew: the old session ends, in all its rooms."""
    alice = wires(server, 0).join("alice", stays=THREE)
    bob = wires(server, 1).join("bob", "tea")
    alice.cut()
    again = wires(server, 0).join("alice", stays=["tea"])
    assert again.welcome is not None and not again.welcome.resumed
    assert again.id != alice.rooms["tea"].id
    kinds = [type(entry) for entry in logs(bob, bob.at, 4)]
    assert kinds == [frames.Left, frames.Joined]
    until(room_is(server, 2))


def test_a_place_that_was_never_heard_of(server: ChatServer, wires: Wires) -> None:
    """It was led into one of two rooms, after an earlier stay in both: it comes in anew."""
    ann = wires(server).join("ann", stays=["one", "two"])
    known, old = ann.stay("one"), frames.Stay("two", bytes(16), 5, 0)
    ann.cut()
    again = wires(server).join("ann", stays=[known, old])
    assert again.welcome is not None and not again.welcome.resumed
    assert not again.rooms["one"].resumed and not again.rooms["two"].resumed


def test_a_session_that_was_never_heard_of(server: ChatServer, wires: Wires) -> None:
    """`welcome` was lost, and what the client has is of an earlier one: it joins anew."""
    alice = wires(server, 0).join("alice", "tea")
    bob = wires(server, 1).join("bob", "tea")
    server._services.sessions.end(session_of(server, alice))
    second = wires(server, 0)
    second.greet()
    second.prove("alice", stays=[alice.stay("tea")])
    until(room_is(server, 2))
    lost = session_of(server, alice)
    second.cut()
    third = wires(server, 0).join("alice", stays=[alice.stay("tea")])
    assert third.welcome is not None and not third.welcome.resumed
    assert lost.over and session_of(server, third) is not lost
    assert numbers(logs(bob, bob.at, 6)) == [3, 4, 5, 6]


def test_a_session_that_has_taken_something_goes_on_though_no_room_does(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its requests are answered as at first, and nothing is posted twice."""
    alice = wires(server, 0).join("alice", stays=["tea", "coffee"])
    bob = wires(server, 1).join("bob", stays=["tea", "coffee"])
    tea, coffee = bob.rooms["tea"].at, bob.rooms["coffee"].at
    request = frames.Post(1, tea, 1, box())
    lose_answers(server, alice, request)
    until(lambda: session_of(server, alice).lost_at is not None)
    monkeypatch.setattr(protocol_limits, "LOG_ENTRIES", 4)
    for seq in range(4, 10):
        bob.post(2, at=tea)
        bob.post(2, at=coffee)
        logs(bob, tea, seq)
        logs(bob, coffee, seq - 1)
    back = wires(server, 0).join("x", stays=[alice.stay("tea"), alice.stay("coffee")])
    assert back.welcome is not None and back.welcome.resumed
    assert [back.rooms[name].ref for name in ("tea", "coffee")] == [None, None]
    assert [back.rooms[name].id for name in ("tea", "coffee")] == [
        alice.rooms[name].id for name in ("tea", "coffee")
    ]
    assert answer(back, request) == frames.Accepted(1, 3)
    assert room_of(server, "tea")._seq == 10


def test_to_begin_anew_is_no_way_around_the_limits(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as coming in, and waits for the room; to go on in one's place does neither."""
    alice = wires(server, 0).join("alice", stays=["tea", "coffee"])
    tea, coffee = alice.rooms["tea"].at, alice.rooms["coffee"].at
    bob = wires(server, 1).join("bob", "tea")
    alice.cut()
    monkeypatch.setattr(limits, "CHANGE_PATIENCE", 0.1)
    congest(server, "tea", 7.0)
    stays = [frames.Stay("tea", alice.rooms["tea"].log, 0, 0), alice.stay("coffee")]
    late = wires(server, 0)
    late.greet()
    late.prove("x", stays=stays)
    assert late.refusal() == frames.Refused("rate_limited", retry_after=7.0)
    monkeypatch.setattr(server._services.joins, "take", lambda *_: 5.0)
    refused = wires(server, 0)
    refused.greet()
    refused.prove("x", stays=stays)
    assert refused.refusal().code == "address_limited"
    back = wires(server, 0).join("x", stays=[alice.stay("tea"), alice.stay("coffee")])
    assert back.rooms["tea"].resumed and back.rooms["coffee"].resumed
    assert set(session_of(server, back).members) == {tea, coffee}
    bob.post(2)
    assert numbers(logs(bob, bob.at, 3)) == [3]  # and nothing else happened there


# What is one for all rooms, and what each room's own


def test_one_nickname_in_all_rooms(server: ChatServer, wires: Wires) -> None:
    """Each log has the change; the answer says where it is in the room that was named."""
    alice = wires(server, 0).join("alice", stays=THREE)
    bob = wires(server, 1).join("bob", stays=["tea", "lab"])
    tea, coffee, lab = (alice.rooms[name].at for name in THREE)
    alice.send(frames.Nick(1, coffee, "alicia"))
    assert alice.find(frames.Accepted) == frames.Accepted(1, 2)
    for wire, at, seq in ((alice, tea, 3), (alice, coffee, 2), (alice, lab, 3), (bob, tea, 3),
                          (bob, lab, 3)):  # fmt: skip
        name = {room.at: room.room for room in alice.rooms.values()}[at]
        assert logs(wire, at, seq)[-1] == frames.Renamed(seq, alice.rooms[name].id, "alicia")
    alice.send(frames.Nick(2, lab, "alice"))
    assert alice.find(frames.Accepted) == frames.Accepted(2, 4)


def test_a_nickname_waits_for_each_room(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is refused with the longest time, if that is too long; in no room has it changed."""
    monkeypatch.setattr(limits, "CHANGE_PATIENCE", 0.2)
    alice = wires(server, 0).join("alice", stays=THREE)
    for name, wait in zip(THREE, (3.0, 0.1, 8.0), strict=True):
        congest(server, name, wait)
    assert answer(alice, frames.Nick(1, 1, "b")) == frames.Refused("rate_limited", 1, 8.0)
    assert {member.nick for member in session_of(server, alice).members.values()} == {"alice"}
    monkeypatch.setattr(limits, "CHANGE_PATIENCE", 20.0)
    clocks = [congest(server, name, wait) for name, wait in zip(THREE, (0.7, 0, 0.9), strict=True)]
    alice.send(frames.Nick(2, 1, "b"))
    for clock, wait in ((clocks[0], 0.7), (clocks[2], 0.9)):
        assert alice.find(frames.Wait).seconds == wait
        clock.now += 1.0
    assert alice.find(frames.Accepted) == frames.Accepted(2, 2)


def test_a_private_post_goes_through_any_room_of_both(server: ChatServer, wires: Wires) -> None:
    """By the number of that room and the id there; through one that is not shared it is `gone`."""
    alice = wires(server, 0).join("alice", stays=THREE)
    bob = wires(server, 1).join("bob", stays=["tea", "lab"])
    tea, coffee, lab = (alice.rooms[name].at for name in THREE)
    for ref, name in ((1, "tea"), (2, "lab")):
        entered = bob.rooms[name]
        told = frames.Private(ref, entered.at, 2, wrap(entered.id), box())
        assert answer(alice, told) == frames.Accepted(ref)
        got = bob.find(frames.PrivateFor)
        assert (got.at, got.number, got.sender) == (entered.at, 1, alice.rooms[name].id)
    for ref, at, to in ((3, coffee, bob.rooms["tea"].id), (4, lab, bob.rooms["tea"].id)):
        told = frames.Private(ref, at, 1 if at == coffee else 2, wrap(to), box())
        assert answer(alice, told) == frames.Refused("gone", ref)
    assert tea != lab


def test_one_heartbeat_says_how_far_one_is_in_all_rooms(
    server: ChatServer, wires: Wires
) -> None:
    """So each log lets go of what all have; a room that one is not in is passed over."""
    alice = wires(server, 0).join("alice", stays=["tea", "coffee"])
    ats = [alice.rooms[name].at for name in ("tea", "coffee")]
    for at in ats:
        alice.post(1, at=at)
        logs(alice, at, 2)
    positions = [frames.Position(at, 2, 0) for at in (*ats, 99, *ats)]
    alice.send(frames.Seen(tuple(positions), answer=True))
    assert alice.find(frames.Taken) == frames.Taken(2)
    assert [list(room_of(server, name)._log) for name in ("tea", "coffee")] == [[], []]
    alice.send(frames.Seen((), answer=True))
    assert alice.find(frames.Taken) == frames.Taken(2)


def test_positions_are_paid_for(server: ChatServer, wires: Wires) -> None:
    """Sixteen in a frame are as dear as sixteen frames."""
    alice = wires(server, 0).join("alice")
    bucket = session_of(server, alice).bucket
    assert bucket is not None
    clock = bucket._clock = Clock()
    bucket._at = clock.now
    spent = []
    for count in (1, 16):
        before = bucket._spare
        alice.send(frames.Seen((frames.Position(alice.at, 1, 0),) * count, answer=True))
        alice.find(frames.Taken)
        spent.append(before - bucket._spare)
    assert spent[1] - spent[0] >= 15 * 512


def test_limits_are_one_for_all_rooms(serve: Serve, wires: Wires) -> None:
    """Sixteen rooms are not sixteen times as many posts."""
    server = serve(max_messages_per_window=3)
    alice = wires(server, 0).join("alice", stays=THREE)
    codes = []
    for ref, at in enumerate((1, 2, 3, 1, 2), 1):
        codes.append(type(answer(alice, frames.Post(ref, at, 1, box()))))
    assert codes == [frames.Accepted] * 3 + [frames.Refused] * 2
    codes = []
    for ref, name in enumerate(("a", "b", "c", "d"), 6):
        codes.append(type(answer(alice, frames.Enter(ref, name))))
    assert codes == [frames.Accepted] * 3 + [frames.Refused]
    for ref, at in ((10, 1), (11, 2)):  # to go is free
        assert answer(alice, frames.Leave(ref, at)) == frames.Accepted(ref)


@pytest.mark.parametrize("way", ["bye", "grace", "kick"])
def test_the_end_is_told_in_all_rooms(server: ChatServer, wires: Wires, way: str) -> None:
    """However it comes, and nothing is left of any of them."""
    alice = wires(server, 0).join("alice", stays=THREE)
    others = [wires(server, number).join(f"n{number}", name) for number, name in
              enumerate(["tea", "coffee"], 1)]  # fmt: skip
    sessions, session = server._services.sessions, session_of(server, alice)
    if way == "bye":
        alice.send(frames.Bye("left"))
    elif way == "kick":
        sessions.end(session, reason="kicked")
        assert alice.ended()[-1] == frames.Bye("kicked")
    else:
        alice.cut()
        until(lambda: session.lost_at is not None)
        sessions.end(session, session.lost_at)
    for other in others:
        assert other.entered is not None
        left = frames.Left(3, alice.rooms[other.entered.room].id)
        assert logs(other, other.at, 3) == [left]
    assert held(server._services.rooms) == 2 and server._services.rooms.find("lab") is None


def test_stopping_hands_over_what_is_in_all_rooms(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before `bye`, whatever the rounds of the rooms have come to."""
    alice = wires(server, 0).join("alice", stays=THREE)
    bob = wires(server, 1).join("bob", stays=THREE)
    with monkeypatch.context() as patch:
        patch.setattr(server._services.broadcaster, "mark", lambda room: None)
        for at in (1, 2, 3):
            bob.post(2, at=at)
        until(lambda: session_of(server, bob).taken == 3)
    server.stop()
    ended = alice.ended()
    seen = {frame.at: frame.to for frame in ended if isinstance(frame, frames.Log)}
    assert seen == {1: 3, 2: 3, 3: 3} and ended[-1] == frames.Bye("shutdown")


def test_the_log_of_one_room_does_not_wait_for_anothers(
    server: ChatServer, wires: Wires
) -> None:
    """A record may have posts for several rooms: each hears of its own."""
    alice = wires(server, 0).join("alice", stays=THREE)
    others = [wires(server, number).join(f"n{number}", name) for number, name in
              enumerate(THREE, 1)]  # fmt: skip
    alice.send(*[frames.Post(ref, ref, 2, box()) for ref in (1, 2, 3)])
    for other in others:
        assert numbers(logs(other, other.at, 3)) == [3]
    for at in (1, 2, 3):
        assert logs(alice, at, 3)[-1] == frames.OwnPosted(3, at)
