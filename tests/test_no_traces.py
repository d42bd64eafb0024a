"""No traces: who, where and what is in nothing that the processes print or answer.

That nothing is written to the disk is in ``test_no_files`` and, for the zipapp, ``test_pyz``; that
nothing is left on the screen, in ``test_panic`` and ``test_rich_chat``.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from protocol import frames
from server import limits
from server.app import ChatServer
from tests.processes import PASSWORD, Client, Relay, Server, run_client
from tests.test_http_face import Answer, ask, form, request
from tests.wire import Wire

FAR = "127.9.9.9"  # a client's address: on this machine, and nowhere else in these tests
ROOM, SECRET, WRONG = "garden-at-night", "hedgehog-under-leaves", "wrong-but-secret"
ANN, BOB, CAT = "ann-of-the-north", "bob-of-the-south", "cat-of-the-west"
TEXTS = ("the first word of it", "between the two of us", "* and the last")

HEADERS = {"Content-Type", "Content-Length", "Connection", "Cache-Control", "Allow", "Retry-After"}


class Elsewhere(Relay):
    """A relay that comes to the server from ``FAR``; ``ports`` are those that it came from."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.ports: set[str] = set()

    def __enter__(self) -> Elsewhere:
        super().__enter__()
        return self

    def _far(self) -> socket.socket:
        far = socket.create_connection(("127.0.0.1", self._port), source_address=(FAR, 0))
        self.ports.add(str(far.getsockname()[1]))
        return far


def found_in(text: str, wanted: Iterable[str]) -> list[str]:
    """Those of ``wanted`` that are in ``text``: whole, not as part of a longer word or number."""
    return [word for word in wanted if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text)]


def asked(relay: Elsewhere, path: str, *headers: str, **fields: str) -> Answer:
    """The answer to a form that is sent from far away."""
    plain = form(path, fields)
    head, _gap, body = plain.partition(b"\r\n\r\n")
    return ask(relay.address[1], b"\r\n".join([head, *map(str.encode, headers), b"", body]))


def claims(number: int) -> list[str]:
    """What a proxy says, or somebody who would like to be another one each time."""
    address = f"192.0.2.{number}"
    return [
        f"X-Forwarded-For: {address}", f"X-Real-IP: {address}", f"Client-IP: {address}",
        f'Forwarded: for="{address}"', f"CF-Connecting-IP: {address}", f"Via: 1.1 {address}",
    ]  # fmt: skip


def refusals(relay: Elsewhere) -> list[Answer]:
    """Of garbage and of wrong requests, all with names and secrets in them."""
    lines = [
        request("GET", f"/{ROOM}?nick={ANN}&token={SECRET}", f"Cookie: {SECRET}"),
        request("DELETE", "/generate_token", f"Authorization: {WRONG}"),
        request("GET", "/", "Upgrade: websocket", "Connection: upgrade", f"Origin: {ROOM}"),
        f"{ANN} {ROOM} {SECRET}\r\n\r\n".encode(),
        form("/generate_token", f"{WRONG}={ANN}&{SECRET}".encode()),
        form("/revoke_token", {"admin_password": PASSWORD, "token": SECRET, ROOM: "x"}),
    ]
    return [ask(relay.address[1], line) for line in lines]


def test_nothing_printed_or_answered_tells_who_where_or_what() -> None:
    """A whole session: people, tokens, wrong passwords and garbage, as processes."""
    with Server() as server, Elsewhere(server.port) as far:
        minted = asked(far, "/generate_token", admin_password=PASSWORD, username=BOB)
        token = str(minted.json["token"])
        room = {"CLIENT_ROOM": ROOM, "CLIENT_ROOM_SECRET": SECRET}
        by_token = {**room, "CLIENT_TOKEN": token, "CLIENT_PASSWORD": ""}
        with (
            Client(server, ANN, settings=room) as ann,
            Client(far.address, BOB, settings=by_token) as bob,
        ):
            ann.meets(BOB)
            ann.say(TEXTS[0], f"/msg {BOB} {TEXTS[1]}", "/who", "/rooms", f"/nick {CAT}")
            bob.next("renamed")
            assert bob.texts() == list(TEXTS[:2])
            bob.say(f"/me {TEXTS[2]}", "/who", "/nick x")
            ann.next("message", from_=BOB)
            bob.next("error", code="nick_pinned")
            wrong = run_client(far.address, settings={"CLIENT_PASSWORD": WRONG})
            taken = run_client(far.address, nick=CAT)
            assert wrong.process.returncode == taken.process.returncode == 4
            answers = [minted, *refusals(far)]
            guesses = [
                asked(far, "/generate_token", *claims(number), admin_password=WRONG, username=ANN)
                for number in range(3)
            ]
            assert bob.finish() == ann.finish() == 0
        server.write(b"q\n")
        assert server.end() == 0
    # Whatever a header claims, it is not believed; it only shows that somebody else asks.
    assert {guess.code for guess in guesses} == {"insecure"}

    people = {ANN, BOB, CAT, ROOM, *TEXTS}
    secrets = {PASSWORD, SECRET, WRONG, token, *token.split(".")}
    places = {FAR, *far.ports}
    assert found_in(server.told(), people | secrets | places) == [] and server.errors == ""
    for member in (ann, bob):
        assert found_in(member.told(), secrets | places) == [] and member.errors == ""
        assert "127.0.0.1" not in member.told().replace(f"127.0.0.1:{member_port(member)}", "")
    for refused in (wrong, taken):
        assert found_in(refused.told(), (people | secrets | places) - {CAT}) == []
    for answer in (*answers, *guesses):
        assert set(answer.headers) <= HEADERS, answer.raw
        own = {BOB, token, *token.split(".")} if answer is minted else set()
        assert found_in(answer.raw.decode(), (people | secrets | places) - own) == [], answer.raw
    head = minted.raw.partition(b"\r\n\r\n")[0].decode()
    assert found_in(head, people | secrets | places) == []
    assert set(minted.json) == {"token", "username", "expires_in"}


def member_port(client: Client) -> str:
    """The port that a client was told to connect to."""
    return client.command[client.command.index("127.0.0.1") + 1]


def test_what_is_looked_for_would_be_found() -> None:
    text = f'{{"from": "{ANN}", "at": "{FAR}:41234"}}'
    assert sorted(found_in(text, [ANN, BOB, FAR, "41234", "4123"])) == ["127.9.9.9", "41234", ANN]


def test_members_never_learn_anothers_address(
    server: ChatServer, wires: Callable[..., Wire]
) -> None:
    """By no frame: all that somebody else's client can be sent, decoded."""
    with Elsewhere(server.port) as far:
        through_it: Any = SimpleNamespace(port=far.address[1])
        ann = wires(server, 0).join(ANN)
        said: list[frames.Frame] = []
        bob = wires(through_it, 1).join(BOB)
        bob.post(2)
        bob.send(frames.Nick(2, bob.at, CAT), frames.ListRooms(3))
        bob.find(frames.RoomLines)
        bob.cut()
        ann.send(frames.ListRooms(1), frames.Nick(2, ann.at, BOB), frames.Nick(3, ann.at, CAT))
        while not isinstance(said[-1] if said else None, frames.Refused):
            said.append(ann.next())
        told = [ann.welcome, ann.entered, *ann.roster.values(), *said]
        assert far.ports
        text = json.dumps([one.to_object() for one in told if one is not None])
        assert BOB in text and '"log"' in text
        assert '"nick_taken"' in text or '"nick_lost"' in text  # he may be missed already
        assert found_in(text, [FAR, "127.0.0.1", *far.ports]) == []


@pytest.mark.parametrize("kind", frames.SERVER_FRAMES.values(), ids=lambda kind: kind.__name__)
def test_no_frame_has_a_place_for_an_address(kind: type[frames.Frame]) -> None:
    fields = set(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    assert not fields & {"address", "host", "ip", "port", "peer", "addr"}


def test_addresses_are_forgotten_in_minutes() -> None:
    """How that is done is in ``test_throttle`` and ``test_expiry``; here, that it is seconds."""
    assert 0 < limits.FORGET_SECONDS <= 60
