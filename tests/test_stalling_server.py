"""A server that is there and goes no further: every wait is said, and has an end."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from client import events
from client.connection import backoff, circuit_breakers, deadlines, outcome, silence
from client.connection.deadlines import NOTHING, Awaited, Deadlines, Overdue
from client.local_user import LocalUser
from client.session import ClientSession
from protocol import frames, pake
from protocol.frames import MemberLine
from protocol.limits import COUNTER_MAX
from protocol.link import ServerLink
from tests.malicious import (
    AT,
    LOG,
    OTHER_LOG,
    PRS,
    ROOM,
    Den,
    Impostor,
    Person,
    bundle,
    connected,
    prove,
    received,
    stay,
    welcome,
)
from tests.processes import PASSWORD, Client, Terminal
from tests.test_rate_limits import Clock
from transport.websocket import WebSocket

Script = Callable[[WebSocket, ServerLink], None]
ALICE = MemberLine(1, "alice", 1, bundle("alice"))
SENTENCE = "Waiting for the server to say who is in the room"


def entered(members: int, **changes: object) -> frames.Entered:
    genuine = frames.Entered(AT, ROOM, LOG, 1, 1, members, False, 0)
    return replace(genuine, **changes)  # type: ignore[arg-type]


def beating(*said: frames.Frame, answers: Sequence[frames.Frame] = ()) -> Script:
    """A server that lets in, says ``said``, and beats; each record gets one of ``answers``."""

    def script(peer: WebSocket, link: ServerLink) -> None:
        prove(peer, link, PRS)
        peer.send(link.seal([frame.encode() for frame in said]))
        left = list(answers)
        while True:
            record = peer.receive(0.02)
            if record is not None:
                link.open(record)
            answer = left.pop(0) if left and record is not None else frames.Taken(0)
            peer.send(link.seal([answer.encode()]))

    return script


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes a minute is over in a moment."""
    for what in deadlines.LIMITS:
        monkeypatch.setitem(deadlines.HINTS, what, 0.1)
        monkeypatch.setitem(deadlines.LIMITS, what, 0.3)


# What is waited for


def test_each_step_gives_more_time_and_nothing_else_does() -> None:
    clock, said = Clock(), list[str]()
    waits = Deadlines(clock, said.append)
    limit = deadlines.LIMITS["room"]
    assert waits.look(NOTHING) == float("inf")
    start = clock.now
    assert waits.look(Awaited("room")) == start + deadlines.HINTS["room"] and said == []
    clock.now = start + limit - 1
    assert waits.look(Awaited("room")) == start + limit and said == ["room"]
    assert waits.look(Awaited("room", 1)) == clock.now + limit
    clock.now += limit - 1
    waits.look(Awaited("room", 1))
    clock.now += 1
    with pytest.raises(Overdue) as overdue:
        waits.look(Awaited("room", 1))
    assert overdue.value.reason == "no_room" and said == ["room"]


def test_what_is_waited_for_next_has_a_time_of_its_own() -> None:
    clock, said = Clock(), list[str]()
    waits = Deadlines(clock, said.append)
    for step in range(100):
        waits.look(Awaited("answer", step))
        clock.now += deadlines.LIMITS["answer"] - 1
    for what in ("place", "", "place"):
        waits.look(Awaited(what))
        clock.now += deadlines.HINTS["place"]
        waits.look(Awaited(what))
    assert said == ["answer", "place", "place"]


def test_a_roster_comes_nearer_with_each_member_and_not_with_heartbeats() -> None:
    person = Person("alice")
    person.session.stays_to_join()
    person.session.welcome(welcome("alice"))
    assert person.session.awaited() == Awaited("room", 0)
    person.hears(entered(3), frames.Taken(0), frames.Roster(()))
    assert person.session.awaited() == Awaited("room", 0)
    person.hears(frames.Roster((ALICE,)), frames.Taken(7), frames.Roster(()))
    assert person.session.awaited() == Awaited("room", 1)
    others = [replace(ALICE, id=id, nick=name, bundle=bundle(name), joined=1)
              for id, name in ((2, "bob"), (3, "carol"))]  # fmt: skip
    person.hears(frames.Roster(tuple(others)))
    assert person.session.awaited() == NOTHING


def test_the_way_to_another_room_and_back_from_behind_are_waited_for_alike() -> None:
    den = Den("alice", "bob")
    alice = den["alice"]
    alice.user.go("attic", None)
    (asked,) = alice.sent()
    assert isinstance(asked, frames.Enter)
    assert alice.session.awaited() == Awaited("answer", asked.ref)
    known = alice.session.rooms.steps
    alice.hears(den.entering(alice, log=OTHER_LOG, ref=asked.ref, room="attic", seq=9, at=2)[0])
    assert alice.session.awaited() == Awaited("room", known)
    bob = den["bob"]
    known = bob.session.rooms.steps
    bob.hears(den.entering(bob)[0])
    assert bob.session.awaited() == Awaited("room", known)


def test_lines_and_requests_are_waited_for_in_their_order() -> None:
    den = Den("alice", "bob")
    alice = den["alice"]
    first, second = den.say("alice", "one"), den.say("alice", "two")
    assert alice.session.awaited() == Awaited("answer", first.ref)
    alice.hears(frames.Refused("too_long", second.ref), frames.Accepted(COUNTER_MAX, 3))
    assert alice.session.awaited() == Awaited("answer", first.ref), "that is no answer to it"
    alice.hears(frames.Accepted(first.ref, den.seq + 1))
    assert alice.session.awaited() == Awaited("place", den.seq)
    alice.hears(frames.Log(AT, den.seq + 1, (frames.OwnPosted(den.seq + 1, first.ref),)))
    assert alice.session.awaited() == NOTHING


# With a real connection


@pytest.mark.parametrize(
    "said",
    [
        [],
        [entered(200)],
        [entered(200), frames.Roster((ALICE,))],
        [entered(1), frames.Roster(())],
    ],
    ids=["welcome alone", "no roster", "a roster of one", "an empty roster"],
)
@pytest.mark.usefixtures("hasty")
def test_a_room_that_never_comes_ends_with_a_reason(said: list[frames.Frame]) -> None:
    news: list[str] = []
    connection, shown = connected(
        beating(welcome("alice"), *said), at=lambda _session, each: news.append(each)
    )
    assert (connection.outcome.kind, connection.outcome.reason) == ("lost", "no_room")
    assert news == ["waiting", "ended"] and not connection.joined
    (notice,) = (event.text for event in shown if isinstance(event, events.Notice))
    assert notice.startswith(SENTENCE)


def typing(line: str) -> Callable[[ClientSession, str], None]:
    """Somebody who says a line as soon as the room is there, and gets back what nobody took."""

    def at(session: ClientSession, news: str) -> None:
        if news == "joined":
            LocalUser(session).say(line)
        elif news == "ended":
            session.give_up("disconnected")

    return at


@pytest.mark.parametrize(
    "answers",
    [
        [],
        [frames.Accepted(7, 7), frames.Refused("stale", 7)],
        [frames.Accepted(1, 2)],
        [frames.Accepted(1, 2), frames.Log(AT, 3, ())],
    ],
    ids=["nothing", "other answers", "no place in the log", "a log without it"],
)
@pytest.mark.parametrize("seconds", [0.0, 1e9], ids=["no interval", "endless intervals"])
@pytest.mark.usefixtures("hasty")
def test_a_line_that_is_never_answered_ends_with_a_reason_and_comes_back(
    answers: list[frames.Frame], seconds: float
) -> None:
    """Whatever the server says of heartbeats."""
    greeted = replace(welcome("alice"), heartbeat_interval=seconds, heartbeat_timeout=1e9)
    script = beating(greeted, entered(1), frames.Roster((ALICE,)), answers=answers)
    connection, shown = connected(script, at=typing("hello"))
    assert (connection.outcome.kind, connection.outcome.reason) == ("lost", "no_answer")
    assert [event.text for event in shown if isinstance(event, events.NotSent)] == ["hello"]
    assert [event.text for event in shown if isinstance(event, events.Notice)]


@pytest.mark.usefixtures("hasty")
def test_who_beats_and_never_answers_is_not_called_silent_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(silence, "FIRST_NOTICE", 0.05)
    monkeypatch.setitem(deadlines.LIMITS, "answer", 1.0)
    monkeypatch.setitem(deadlines.HINTS, "answer", 0.5)
    script = beating(welcome("alice"), entered(1), frames.Roster((ALICE,)))
    _, shown = connected(script, at=typing("hello"))
    assert len([event for event in shown if isinstance(event, events.Answered)]) <= 1
    assert [event.text for event in shown if isinstance(event, events.Notice)]


def test_sizes_of_nothing_keep_nobody_out() -> None:
    """Nothing can be said there, which is said; what comes is read all the same."""
    joined = frames.Log(AT, 2, (frames.Joined(2, MemberLine(2, "bob", 2, bundle("bob"))),))
    tiny = replace(welcome("alice"), max_message_size=0, max_payload_size=0)

    def script(peer: WebSocket, link: ServerLink) -> None:
        prove(peer, link, PRS)
        peer.send(link.seal([tiny.encode(), *stay()[1:], joined.encode()]))
        peer.send(link.seal([frames.Bye("shutdown").encode()]))
        received(peer)

    connection, shown = connected(script, at=typing("hello"))
    assert connection.outcome.reason == "shutdown"
    assert [event.reason for event in shown if isinstance(event, events.NotSent)] == ["too_long"]
    assert [event.nick for event in shown if isinstance(event, events.MemberJoined)] == ["bob"]


BOB = MemberLine(2, "bob", 1, bundle("bob"))
LIES: dict[str, list[frames.Frame]] = {
    "a stay that goes on, of nobody": [entered(0, resumed=True)],
    "another room": [entered(1, room="elsewhere"), frames.Roster((ALICE,))],
    "an answer to nothing": [entered(1, ref=1), frames.Roster((ALICE,))],
    "more members than a room has": [entered(257)],
    "more members than were announced": [entered(1), frames.Roster((ALICE, BOB))],
    "two ways in": [entered(2), frames.Roster((ALICE,)), entered(1)],
    "a log before the roster": [entered(2), frames.Log(AT, 2, ())],
    "a second welcome": [welcome("alice")],
}


@pytest.mark.parametrize("said", LIES.values(), ids=LIES)
def test_a_way_in_that_cannot_be_ends_with_a_reason(said: list[frames.Frame]) -> None:
    """It is a chat server, and has proven the password: so it is not called something else."""
    connection, shown = connected(beating(welcome("alice"), *said))
    assert (connection.outcome.kind, connection.outcome.reason) == ("lost", "protocol")
    assert not connection.joined and shown == []


STRANGE: dict[str, tuple[list[frames.Frame], list[tuple[str, str | None]]]] = {
    "nobody is oneself": ([entered(1), frames.Roster((BOB,))], [("bad_roster", None)]),
    "an id twice": (
        [entered(2), frames.Roster((ALICE, replace(BOB, id=1)))],
        [("bad_roster", "alice")],
    ),
    "an id that was there before": (
        [
            entered(2), frames.Roster((ALICE, BOB)),
            frames.Log(AT, 3, (frames.Left(2, 2), frames.Joined(3, replace(BOB, nick="carol")))),
        ],
        [("bad_roster", "carol")],
    ),
    "entries out of order": (
        [entered(2), frames.Roster((ALICE, BOB)), frames.Log(AT, 9, (frames.Left(1, 2),))],
        [("bad_roster", "bob")],
    ),
    "a gap": (
        [entered(2), frames.Roster((ALICE, BOB)), frames.Log(AT, 10**6, (frames.Left(10**6, 2),))],
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("said", "warnings"), STRANGE.values(), ids=STRANGE)
def test_a_room_that_cannot_be_is_warned_of(
    said: list[frames.Frame], warnings: list[tuple[str, str | None]]
) -> None:
    """And one can go on talking in it, and leave."""

    def script(peer: WebSocket, link: ServerLink) -> None:
        prove(peer, link, PRS)
        peer.send(link.seal([welcome("alice").encode(), *(frame.encode() for frame in said)]))
        link.open(received(peer))
        peer.send(link.seal([frames.Bye("shutdown").encode()]))
        received(peer)

    connection, shown = connected(script, at=typing("hello"))
    assert connection.joined and connection.outcome.reason == "shutdown"
    found = [(event.code, event.nick) for event in shown if isinstance(event, events.Warning)]
    assert [each for each in found if each[0] == "bad_roster"] == warnings
    assert [event.text for event in shown if isinstance(event, events.NotSent)] == ["hello"]


@pytest.mark.usefixtures("hasty")
def test_a_record_that_comes_in_drops_gives_no_more_time() -> None:
    """Bytes are no step: what they are part of has to come, too."""

    def script(peer: WebSocket, link: ServerLink) -> None:
        prove(peer, link, PRS)
        peer.send(link.seal([welcome("alice").encode(), entered(1).encode()]))
        record = link.seal([frames.Roster((ALICE,)).encode()])
        head = bytes((0x82, 126)) + len(record).to_bytes(2, "big")
        while True:
            for byte in head + record[:-1]:
                peer._stream.send(bytes((byte,)))
                peer.receive(0.01)

    connection, _ = connected(script)
    assert (connection.outcome.kind, connection.outcome.reason) == ("lost", "no_room")


# Again and again


@pytest.fixture
def swift(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits between attempts are over at once; those of many in a row are not."""
    monkeypatch.setattr(backoff, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(backoff, "LONGEST_DELAY", 0.01)
    monkeypatch.setattr(backoff, "ENTRIES_SECONDS", 0.1)


def letting_in(*after: frames.Frame) -> Script:
    """A server that lets in, as somebody new, and says ``after``."""
    logs = itertools.count(1)

    def script(peer: WebSocket, link: ServerLink) -> None:
        prove(peer, link, PRS)
        log = next(logs).to_bytes(16, "big")
        said = [welcome("alice"), entered(1, log=log), frames.Roster((ALICE,))]
        for record in (said, after):
            peer.send(link.seal([frame.encode() for frame in record]))
        while True:
            received(peer)

    return script


@pytest.mark.parametrize("goodbye", [False, True])
@pytest.mark.parametrize("reconnect", [False, True])
@pytest.mark.usefixtures("swift")
def test_a_connection_that_is_lost_before_the_first_room_is_come_back_to(
    goodbye: bool, reconnect: bool
) -> None:
    """As to any other; but not for ever, since nobody has seen anything yet."""
    connections = itertools.count(1)

    def script(peer: WebSocket, link: ServerLink) -> None:
        next(connections)
        prove(peer, link, PRS)
        said = [welcome("alice"), *([frames.Bye("shutdown")] if goodbye else [])]
        peer.send(link.seal([frame.encode() for frame in said]))
        peer.abort()

    connection, _shown = connected(script, reconnect=reconnect)
    reason = "shutdown" if goodbye else "lost"
    assert (connection.outcome.kind, connection.outcome.reason) == ("lost", reason)
    assert next(connections) - 1 == (outcome.MOST_EARLY + 1 if reconnect else 1)


@pytest.mark.usefixtures("swift")
def test_whoever_is_let_in_at_the_second_try_is_in_for_the_first_time() -> None:
    tries = itertools.count()

    def script(peer: WebSocket, link: ServerLink) -> None:
        if next(tries):
            return letting_in()(peer, link)
        prove(peer, link, PRS)
        peer.send(link.seal([welcome("alice").encode()]))
        peer.abort()

    connection, shown = connected(
        script, until=lambda so_far: isinstance(so_far[-1], events.Connected), reconnect=True
    )
    assert connection.joined
    assert [type(event) for event in shown[:2]] == [events.Reconnecting, events.Connected]


ENDS: list[tuple[frames.Frame, str]] = [
    (frames.Bye("shutdown"), "shutting down"),
    (frames.Bye("protocol"), "did not understand each other"),
    (frames.Bye("because"), "because"),
    (frames.Roster(()), "did not understand each other"),
    (frames.Renamed(2, 1, "server"), "nickname that you did not ask for"),
]


@pytest.mark.parametrize(("end", "words"), ENDS)
@pytest.mark.usefixtures("swift")
def test_a_server_that_lets_in_and_hangs_up_is_left_to_a_person(
    end: frames.Frame, words: str
) -> None:
    """Each end with its reason, and after a few nothing more by itself."""
    last = frames.Log(AT, 2, (end,)) if isinstance(end, frames.Renamed) else end
    script = letting_in(last)
    connection, shown = connected(
        script, until=lambda so_far: isinstance(so_far[-1], events.Paused), reconnect=True,
        may_ask=True,
    )  # fmt: skip
    notices = [event.text for event in shown if isinstance(event, events.Notice)]
    assert len(notices) == circuit_breakers.MOST_GOODBYES and all(words in text for text in notices)
    assert shown[-1] == events.Paused("rebuffed")
    assert connection.outcome.kind == "left"


@pytest.mark.usefixtures("swift")
def test_a_program_waits_long_before_it_comes_back_to_such_a_server() -> None:
    def late(shown: list[events.Event]) -> bool:
        last = shown[-1]
        return (
            isinstance(last, events.Reconnecting) and last.delay >= circuit_breakers.PAUSE_SECONDS
        )

    _, shown = connected(letting_in(frames.Bye("shutdown")), until=late, reconnect=True)
    again = [event for event in shown if isinstance(event, events.Reconnecting)]
    assert len(again) == circuit_breakers.MOST_GOODBYES
    notice = shown[-2]
    assert isinstance(notice, events.Notice) and "in 300 seconds" in notice.text


def test_goodbyes_with_good_times_between_are_no_rebuffs() -> None:
    clock = Clock()
    counted = circuit_breakers.Goodbyes(clock)
    for _ in range(circuit_breakers.MOST_GOODBYES * 2):
        counted.entered()
        clock.now += circuit_breakers.LASTED
        counted.ended()
    assert not counted.too_many and counted.pause == 0.0
    for _ in range(circuit_breakers.MOST_GOODBYES - 1):
        counted.entered()
        counted.ended()
    assert counted.too_many
    counted.forget()
    assert not counted.too_many


@pytest.mark.parametrize("proven", [True, False])
@pytest.mark.usefixtures("swift")
def test_why_a_client_is_not_let_in_again_is_said_once(proven: bool) -> None:
    """It tries on, with the waits of its own, and with those that the server has named."""
    visits = itertools.count()

    def script(peer: WebSocket, link: ServerLink) -> None:
        if next(visits) == 0:
            prove(peer, link, PRS)
            peer.send(link.seal(stay()))
            return
        refused = frames.Refused("server_full", retry_after=0.2 if proven else None)
        if proven:
            prove(peer, link, PRS)
            peer.send(link.seal([refused.encode()]))
        else:
            peer.send(refused.encode().decode())
        received(peer)

    def enough(shown: list[events.Event]) -> bool:
        return len([event for event in shown if isinstance(event, events.Reconnecting)]) >= 4

    _, shown = connected(script, until=enough, reconnect=True)
    (notice,) = (event.text for event in shown if isinstance(event, events.Notice))
    assert ("The server is full" if proven else "server_full") in notice


# What is typed meanwhile


def test_what_is_typed_before_the_room_goes_there_in_order() -> None:
    """Also where its owner has changed the wish before the handshake, or after it: what was typed
    for the first room goes there first."""
    for early in (True, False):
        person = Person("alice")
        for deed in ["switch", "join"] if early else ["join", "switch"]:
            if deed == "join":
                person.session.stays_to_join()
                person.session.welcome(welcome("alice"))
            else:
                person.user.say("for the den")
                person.user.go("attic", None)
                person.user.say("for the attic")
        person.hears(entered(1), frames.Roster((ALICE,)))
        kinds = [frame.kind for frame in person.sent()]
        assert kinds == ["post"] and person.handed_back() == []  # then the switch, in its turn
        assert person.session.room == "attic"
        person.hears(frames.Accepted(1, 2), frames.Log(AT, 2, (frames.OwnPosted(2, 1),)))
        assert [frame.kind for frame in person.sent()] == ["enter"]
        stay = entered(1, at=2, room="attic", log=OTHER_LOG, ref=2)
        person.hears(stay, frames.Roster((ALICE,)), frames.Accepted(2))
        assert [frame.kind for frame in person.sent()] == ["post"]


def test_nothing_is_asked_of_a_room_that_is_not_there_yet() -> None:
    person = Person("alice")
    for deed in (person.user.who, person.user.rooms, person.user.invite):
        deed()
    person.user.rename("anna")
    person.user.verify(None, confirm=False)
    person.user.private("bob", "psst")
    codes = [event.code for event in person.all(events.Error)]
    assert codes == ["disconnected"] * 5
    assert person.handed_back() == [("psst", "gone")] and person.sent() == []


class Stalling:
    """A server that leads into the room when it is ``told`` so; ``heard`` are types of frames."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.told = False

    def __call__(self, peer: WebSocket, link: ServerLink) -> None:
        confirm = prove(peer, link, pake.password_prs(PASSWORD))
        line = MemberLine(1, confirm.nick, 1, confirm.bundle)
        peer.send(link.seal([welcome(confirm.nick).encode(), entered(2).encode()]))
        refs = itertools.count(2)
        while True:
            record = peer.receive(0.02)
            if record is None:
                if self.told:
                    other = MemberLine(2, "bob", 1, bundle("bob"))
                    peer.send(link.seal([frames.Roster((line, other)).encode()]))
                    self.told = False
                continue
            for value in link.open(record):
                self.heard.append(value["type"])
                if value["type"] == "post":
                    seq = next(refs)
                    own = frames.Log(AT, seq, (frames.OwnPosted(seq, value["ref"]),))
                    peer.send(
                        link.seal([frames.Accepted(value["ref"], seq).encode(), own.encode()])
                    )


def test_lines_of_a_pipe_that_has_ended_go_out_once_the_room_is_there() -> None:
    server = Stalling()
    with Impostor(server) as impostor:
        with Client(impostor.address, "alice", "--room", ROOM, joined=False) as client:
            client.say("backup done")
            client.end_input()
            assert client.next("notice")["text"].startswith(SENTENCE)
            server.told = True
            assert client.next("message")["text"] == "backup done"
            assert client.end() == 0


def test_a_person_is_told_what_is_waited_for_and_can_leave() -> None:
    with Impostor(Stalling()) as impostor:
        host, port = impostor.address
        words = ["connect", host, str(port), "alice", "--room", ROOM]
        with Terminal(words, {"CLIENT_PASSWORD": PASSWORD}) as terminal:
            terminal.sees(SENTENCE)
            terminal.type("hello\r")
            terminal.sees("hello +sending")
            terminal.type("/quit\r")
            assert terminal.end() == 0
