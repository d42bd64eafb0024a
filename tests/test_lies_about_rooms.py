"""A server that lies about which room is which, to both clients: the program's, and the one that
was written from docs/PROTOCOL.md alone.

Each of its lies ends a connection, and nothing that is said goes elsewhere; what only looks like
one, because an answer was lost, does not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, Protocol

import pytest

from client import events
from client.local_user import LocalUser
from client.session import ClientSession
from protocol import frames
from protocol.errors import ChatError
from protocol.invite import InviteLink
from tests import malicious
from tests import second_crypto as crypto
from tests.second_client import Client as Second
from tests.second_link import Broken
from tests.two_clients import identity, keys

Frame = dict[str, Any]
LOGS = {name: crypto.to_text(name.encode().ljust(16, b".")) for name in ("den", "lab", "attic")}


class Victim(Protocol):
    """A client without a network: what it hears, and what it has sent since the last time."""

    bundle: Frame

    def stays(self) -> list[str]: ...
    def hears(self, *said: Frame) -> None: ...
    def sent(self) -> list[Frame]: ...
    def joins(self, room: str) -> None: ...
    def leaves(self, room: str) -> None: ...
    def says(self, text: str, room: str) -> None: ...
    def is_cut(self) -> None: ...
    def rooms(self) -> list[str]: ...


class Program:
    """The program's client."""

    ends: type[Exception] = ChatError

    def __init__(self) -> None:
        self._events: list[events.Event] = []
        who = malicious.identity("alice")
        self.bundle: Frame = who.bundle.to_fields()
        self._session = ClientSession(
            who, InviteLink("chat.example"), "alice", "den", self._events.append, lambda: None,
            others=["lab"], roams=False,
        )  # fmt: skip
        self._user = LocalUser(self._session)

    def stays(self) -> list[str]:
        return [stay.room for stay in self._session.stays_to_join()]

    def hears(self, *said: Frame) -> None:
        for each in said:
            frame = frames.from_object(json.loads(json.dumps(each)), frames.SERVER_FRAMES)
            if isinstance(frame, frames.Welcome):
                self._session.welcome(frame, "alice")
            else:
                self._session.receive(frame)

    def sent(self) -> list[Frame]:
        found = [json.loads(raw) for raw in self._session.outgoing]
        self._session.outgoing.clear()
        return found

    def joins(self, room: str) -> None:
        self._user.join(room, None)

    def leaves(self, room: str) -> None:
        self._user.leave(room)

    def says(self, text: str, room: str) -> None:
        self._user.join(room, None)
        self._user.say(text)

    def is_cut(self) -> None:
        self._session.lose()

    def rooms(self) -> list[str]:
        return sorted(stay.name for stay in self._session.stays_here())


class Written:
    """The one that was written from the document."""

    ends: type[Exception] = Broken

    def __init__(self) -> None:
        self._sent: list[Frame] = []
        self._client = Second(
            0, "alice", prs=bytes(32), room="den", rooms=["lab"], identity=identity(), keys=keys()
        )
        self._client.socket = SimpleNamespace(received=0, send=lambda _: None)  # type: ignore[assignment]
        self._client.link = SimpleNamespace(seal=self._seal)  # type: ignore[assignment]
        self.bundle: Frame = self._client.identity.bundle

    def _seal(self, *said: Frame | bytes) -> bytes:
        self._sent += [json.loads(x) if isinstance(x, bytes) else x for x in said]
        return b""

    def stays(self) -> list[str]:
        return [stay["room"] for stay in self._client.rooms.stays(resume=True)]

    def hears(self, *said: Frame) -> None:
        for each in said:
            if each["type"] != "welcome":
                self._client._take(each)
                continue
            self._client._enter_live([each])
            for _, again in sorted(self._client._open.items()):
                self._client.send(*again)

    def sent(self) -> list[Frame]:
        found, self._sent = self._sent, []
        return found

    def joins(self, room: str) -> None:
        self._client.request("enter", room=room)

    def leaves(self, room: str) -> None:
        self._client.request("leave", at=self._room(room).at)

    def says(self, text: str, room: str) -> None:
        self._client.post(text, room=self._room(room))

    def is_cut(self) -> None:
        self._sent.clear()

    def rooms(self) -> list[str]:
        return sorted(room.name for room in self._client.rooms.whole)

    def _room(self, name: str) -> Any:
        return self._client.rooms.open[crypto.name_key(name)]


Client = Program | Written


@pytest.fixture(params=[Program, Written])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    yield request.param()


# What a server says


def welcome(resumed: bool = False) -> Frame:
    return frames.Welcome("alice", resumed, 30.0, 60.0, 10240, 2**20, 1000, 60.0).to_object()


def entered(at: int, room: str, log: str = "", **more: Any) -> Frame:
    """By default one is alone there, as member ``10 * at``."""
    found = {"id": 10 * at, "seq": 1, "members": 1, "resumed": False, "missed": 0, **more}
    return {"type": "entered", "at": at, "room": room, "log": LOGS[log or room], **found}


def roster(client: Victim, at: int, **more: Any) -> Frame:
    me = {"id": 10 * at, "nick": "alice", "joined": 1, "bundle": client.bundle, **more}
    return {"type": "roster", "members": [me]}


def let_in(client: Victim) -> None:
    """Into both rooms, `den` with the number 1 and `lab` with 2."""
    assert client.stays() == ["den", "lab"]
    client.hears(welcome(), entered(1, "den"), roster(client, 1), entered(2, "lab"),
                 roster(client, 2))  # fmt: skip
    assert client.rooms() == ["den", "lab"]
    client.sent()


def comes_back(client: Victim) -> None:
    """`confirm` is said again, and the session goes on."""
    client.is_cut()
    client.stays()
    client.hears(welcome(resumed=True))


def resumed(at: int, room: str, **more: Any) -> Frame:
    return entered(at, room, **{"resumed": True, "members": 0, **more})


def log(at: int, *entries: Frame, to: int = 2) -> Frame:
    return {"type": "log", "at": at, "to": to, "entries": list(entries)}


def asked(client: Victim, kind: str) -> Frame:
    """The request of that kind that it has sent just now."""
    (found,) = (frame for frame in client.sent() if frame["type"] == kind)
    return found


def accepted(ref: int, **more: Any) -> Frame:
    return {"type": "accepted", "ref": ref, **more}


# Lies


def first_frames(*said: Callable[[Victim], Frame]) -> Callable[[Victim], None]:
    """After `confirm` for `den` and `lab`."""

    def lie(client: Victim) -> None:
        client.stays()
        client.hears(*(each(client) for each in said))

    return lie


def just(frame: Frame) -> Callable[[Victim], Frame]:
    return lambda _: frame


def once_in(*said: Frame) -> Callable[[Victim], None]:
    def lie(client: Victim) -> None:
        let_in(client)
        client.hears(*said)

    return lie


def on_return(*said: Frame) -> Callable[[Victim], None]:
    def lie(client: Victim) -> None:
        let_in(client)
        comes_back(client)
        client.hears(*said)

    return lie


def own_line_elsewhere(client: Victim) -> None:
    let_in(client)
    client.says("for the den", "den")
    ref = asked(client, "post")["ref"]
    client.hears(accepted(ref, seq=2), log(2, {"type": "own_posted", "seq": 2, "ref": ref}))


def entered_for_another(client: Victim) -> None:
    let_in(client)
    client.joins("attic")
    ref = asked(client, "enter")["ref"]
    client.hears(entered(3, "cellar", "attic", ref=ref))


def entered_again(client: Victim) -> None:
    let_in(client)
    client.joins("attic")
    ref = asked(client, "enter")["ref"]
    client.hears(entered(2, "attic", ref=ref))  # the number of `lab`


def after_it_was_left(client: Victim) -> None:
    let_in(client)
    client.leaves("lab")
    client.hears(log(2))  # on its way when the server took it
    client.hears(accepted(asked(client, "leave")["ref"]))
    client.hears(log(2))


den, lab, hello = just(entered(1, "den")), just(entered(2, "lab")), just(welcome())
den_roster: Callable[[Victim], Frame] = lambda client: roster(client, 1)  # noqa: E731
LIES: dict[str, Callable[[Victim], None]] = {
    "two rooms with one number": first_frames(
        hello, den, den_roster, just(entered(1, "lab", id=20)), den_roster
    ),
    "two rooms with one log": first_frames(
        hello, den, den_roster, just(entered(2, "lab", "den")), den_roster
    ),
    "a room twice": first_frames(hello, den, den_roster, just(entered(3, "den", "attic"))),
    "a room that nobody asked for": first_frames(hello, just(entered(3, "attic"))),
    "a refusal of a room that nobody asked for": first_frames(
        hello, just({"type": "refused", "code": "room_full", "room": "attic"})
    ),
    "a room and then its refusal": first_frames(
        hello, den, den_roster, just({"type": "refused", "code": "room_full", "room": "den"})
    ),
    "two ways in at once": first_frames(hello, den, lab),
    "a log before the roster": first_frames(hello, den, just(log(1))),
    "another room's log before the roster": first_frames(
        hello, den, den_roster, lab, just(log(1))
    ),
    "a roster of no room": once_in({"type": "roster", "members": []}),
    "a log of no room": once_in(log(3)),
    "a place that goes on, and another session": first_frames(hello, just(resumed(1, "den"))),
    "a place that goes on where there was none": once_in(resumed(1, "den")),
    "another log's place": on_return(resumed(1, "den", log="attic")),
    "another member's place": on_return(resumed(1, "den", id=99)),
    "a place under another number": on_return(resumed(3, "den", id=10)),
    "a place twice": on_return(resumed(1, "den"), resumed(1, "den")),
    "a place with members": on_return(resumed(1, "den", members=1)),
    "begun anew as somebody else": on_return(entered(1, "den", id=99)),
    "begun anew elsewhere": on_return(entered(1, "den", "attic")),
    "fallen behind as somebody else": once_in(entered(1, "den", id=99, seq=5)),
    "fallen behind elsewhere": once_in(entered(3, "den", "attic", seq=5)),
    "one's own line in another room": own_line_elsewhere,
    "another room than was asked for": entered_for_another,
    "a new room under an old number": entered_again,
    "a room that was left": after_it_was_left,
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_lie_ends_the_connection(client: Client, lie: Callable[[Victim], None]) -> None:
    with pytest.raises(client.ends):
        lie(client)
    posts = [frame for frame in client.sent() if frame["type"] in ("post", "private", "keys")]
    assert posts == []


# What only looks like one


def test_the_honest_way_in(client: Client) -> None:
    """Rooms in another order, with something of the first one before the second one comes."""
    client.stays()
    client.hears(welcome(), entered(2, "LAB", "lab"), roster(client, 2), log(2),
                 {"type": "refused", "code": "room_full", "room": "den"})  # fmt: skip
    assert client.rooms() == ["LAB"]


def test_falling_behind_in_one_room(client: Client) -> None:
    let_in(client)
    client.hears(entered(2, "lab", seq=9, missed=7), roster(client, 2, joined=9), log(1, to=5))
    assert client.rooms() == ["den", "lab"]
    client.says("go on", "lab")
    post = asked(client, "post")
    assert (post["at"], post["change"]) == (2, 9)


def test_both_go_on_and_one_is_gone(client: Client) -> None:
    let_in(client)
    comes_back(client)
    client.hears({"type": "refused", "code": "gone", "room": "lab"}, resumed(1, "den"), log(1))
    assert client.rooms() == ["den"]


def test_left_and_entered_again_with_both_answers_lost(client: Client) -> None:
    """The old `leave`, answered late, leaves the old stay and not the new one."""
    let_in(client)
    client.leaves("lab")
    leave = asked(client, "leave")
    client.joins("lab")
    enter = asked(client, "enter")
    comes_back(client)
    again = [frame for frame in client.sent() if frame["type"] in ("leave", "enter")]
    assert again == [leave, enter]
    client.hears(entered(2, "lab", id=21, seq=7, ref=enter["ref"]),
                 roster(client, 2, id=21, joined=7), resumed(1, "den"), accepted(leave["ref"]),
                 accepted(enter["ref"]))  # fmt: skip
    assert client.rooms() == ["den", "lab"]
    client.hears(log(2, to=8))
    client.says("here", "lab")
    assert asked(client, "post")["change"] == 7


def test_entered_with_the_answer_lost(client: Client) -> None:
    let_in(client)
    client.joins("attic")
    enter = asked(client, "enter")
    comes_back(client)
    client.hears(resumed(1, "den"), resumed(2, "lab"), entered(3, "attic", ref=enter["ref"]),
                 roster(client, 3), accepted(enter["ref"]))  # fmt: skip
    assert client.rooms() == ["attic", "den", "lab"]


def test_what_was_not_answered_is_said_again_where_it_was_said(client: Client) -> None:
    let_in(client)
    client.says("one", "den"), client.says("two", "lab")
    posts = [frame for frame in client.sent() if frame["type"] == "post"]
    assert [post["at"] for post in posts] == [1, 2]
    comes_back(client)
    client.hears(resumed(2, "lab"), resumed(1, "den"))
    assert [frame for frame in client.sent() if frame["type"] == "post"] == posts
