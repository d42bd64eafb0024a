"""Rooms that the server cannot read, with real servers and clients through pipes.

Who sees what when people come late and leave early, secrets and invite links, codes and what
they guard, and what somebody on the network has recorded of it all.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.module_server import server_fixture  # noqa: F401
from tests.processes import PASSWORD, PROGRAM, Client, Relay, Server

Address = tuple[str, int]

_NUMBERS = count(1)


Join = Callable[..., list[Client]]


@pytest.fixture
def join(server: Server) -> Iterator[Join]:
    """``join(NAME, …)`` are clients that come into a room of the test's own, at once.

    Their names end in the test's number: who is killed keeps its name for a while, and all
    tests share the server.
    """
    number = next(_NUMBERS)

    def make(
        *names: str, room: str = "den", at: Address | None = None, secret: str = ""
    ) -> list[Client]:
        settings = {"CLIENT_ROOM_SECRET": secret} if secret else {}
        nicks = [f"{name}-{number}" for name in names]
        options = ("--room", f"{room}-{number}")
        clients = [
            stack.enter_context(
                Client(at or server, nick, *options, settings=settings, joined=False)
            )
            for nick in nicks
        ]
        for client in clients:
            client.next("connected")
        for client in clients:
            client.meets(*nicks)
        return clients

    with contextlib.ExitStack() as stack:
        yield make


def said(client: Client) -> list[tuple[str, str]]:
    """Sender, without its number, and text of each message that it has shown."""
    shown = client.all("message")
    return [(event["from"].partition("-")[0], event["text"]) for event in shown]


def code(client: Client) -> str:
    """The room code that it shows."""
    client.say("/verify")
    found = client.next("verify")["room_code"]
    assert re.fullmatch(r"\d{5}( \d{5}){5}", found)
    return str(found)


def verify(one: Client, other: Client) -> None:
    """Both show the same digits for each other, and ``one`` says that it has compared them."""
    one.say(f"/verify {other.nick}")
    other.say(f"/verify {one.nick}")
    here, there = one.next("verify")["members"], other.next("verify")["members"]
    assert here[0]["code"] == there[0]["code"]
    one.say(f"/verify {other.nick} ok")
    one.next("nick_verified", nick=other.nick)


def verified(client: Client) -> list[bool]:
    """Who counts as verified, oneself included, in the order of their nicknames."""
    client.say("/who")
    return [member["verified"] for member in client.next("members")["members"]]


def test_three_people_of_whom_one_comes_late_and_one_leaves_early(join: Join) -> None:
    alice, bob = join("alice", "bob")
    for speaker, listener, text in ((alice, bob, "one"), (bob, alice, "first")):
        speaker.say(text)
        listener.next("message", text=text)
    (carol,) = join("carol")
    for early in (alice, bob):
        early.meets(carol.nick)
    assert code(alice) == code(bob) == code(carol)
    for speaker, text in ((alice, "two"), (carol, "second"), (bob, "goodbye")):
        speaker.say(text)
        for listener in (alice, bob, carol):
            listener.next("message", text=text)
    assert bob.finish() == 0
    for late in (alice, carol):
        late.next("left", nick=bob.nick)
    assert code(alice) == code(carol)
    for speaker, text in ((alice, "three"), (carol, "third")):
        speaker.say(text)
        for listener in (alice, carol):
            listener.next("message", text=text)
    together = [("alice", "two"), ("carol", "second"), ("bob", "goodbye")]
    assert said(bob) == [("alice", "one"), ("bob", "first"), *together]
    assert said(carol) == [*together, ("alice", "three"), ("carol", "third")]
    assert said(alice) == [("alice", "one"), ("bob", "first"), *said(carol)]
    for client in (alice, bob, carol):
        assert not client.all("unreadable") and not client.all("warning")
        assert client.errors == ""


def test_a_private_message_is_seen_by_nobody_else(join: Join) -> None:
    alice, bob, carol = join("alice", "bob", "carol")
    carol.forget()
    alice.say("before", f"/msg {bob.nick} between us", "after")
    private = bob.next("message", private=True)
    assert (private["from"], private["to"]) == (alice.nick, bob.nick)
    assert private["text"] == "between us"
    bob.next("message", text="after")
    bob.say("heard")
    numbers = [carol.next("message", text=text)["seq"] for text in ("before", "after", "heard")]
    # Not even a gap in the numbers shows that there was one.
    assert numbers == list(range(numbers[0], numbers[0] + 3))
    assert [event["event"] for event in carol.events] == ["message"] * 3
    assert b"between us" not in carol.out + carol.err


def test_a_link_lets_in_and_its_secret_keeps_out_in_both_directions(
    server: Server, join: Join
) -> None:
    (alice,) = join("alice")
    alice.say("/invite")
    link = alice.next("invite")["link"]
    room = alice.events[0]["room"]
    found = re.fullmatch(rf"cmdchat://127\.0\.0\.1:{server.port}/{room}#([\w-]{{22}})", link)
    assert found is not None, link
    alice.next("notice")  # that the link names this machine
    words = ["connect", link, "guest", PASSWORD, "--renderer", "json"]
    command = [sys.executable, str(PROGRAM), *words]
    with Client(server, "guest", command=command, joined=False) as guest:
        (mallory,) = join("mallory")
        for member in (alice, guest):
            member.meets("guest", mallory.nick)
        alice.say("only for us", f"/msg {mallory.nick} psst")
        guest.next("message", from_=alice.nick, text="only for us")
        shut = [mallory.next("unreadable"), mallory.next("unreadable")]
        assert [(event["from"], event["reason"]) for event in shut] == [(alice.nick, "secret")] * 2
        assert sorted(event["seq"] is None for event in shut) == [False, True]
        mallory.say("let me in")
        for member in (alice, guest):
            member.next("unreadable", from_=mallory.nick, reason="secret")
        guest.say("we still talk", "/invite")
        alice.next("message", from_="guest", text="we still talk")
        assert guest.next("invite")["link"] == link
        mallory.say("/invite")
        assert "/room" in mallory.next("notice")["text"]
        assert not mallory.all("invite") and found[1].encode() not in mallory.out
        assert said(mallory) == [("mallory", "let me in")]
        expected = [("alice", "only for us"), ("alice", "psst"), ("guest", "we still talk")]
        assert said(alice) == expected


def test_what_changes_among_the_verified_is_announced(join: Join) -> None:
    """Somebody unverified comes; a verified nickname leaves, and returns with other keys."""
    alice, bob = join("alice", "bob")
    verify(alice, bob)
    bob.say("it is me")
    assert alice.next("message", from_=bob.nick)["verified"] is True
    (mallory,) = join("mallory")
    warning = alice.next("warning")
    assert (warning["code"], warning["nick"]) == ("unverified_member", mallory.nick)
    assert verified(alice) == [True, True, False]
    assert bob.finish() == 0
    alice.next("left", nick=bob.nick)
    (false,) = join("BOB")
    warning = alice.next("warning")
    assert (warning["code"], warning["nick"]) == ("other_keys", false.nick)
    assert "ATTENTION" in warning["text"]
    false.say("it is me again")
    assert alice.next("message", from_=false.nick)["verified"] is False
    assert not bob.all("warning") and not mallory.all("warning")  # they had verified nobody


def test_a_guarded_line_comes_back_when_somebody_unverified_is_there(
    server: Server, join: Join
) -> None:
    """Typed while all were verified, for a room where Mallory is by the time it can be sent."""
    with Relay(server.port) as relay:
        (alice,) = join("alice", at=relay.address)
        bob, mallory = join("bob")[0], join("mallory", room="cave")[0]
        alice.meets(bob.nick)
        verify(alice, bob)
        assert verified(alice) == [True, True]
        alice.say("for bob")
        bob.next("message", text="for bob", verified=False)  # he has compared nothing
        relay.cut(closed=True)
        alice.next("reconnecting")
        cave = mallory.events[0]["room"]
        alice.say(f"/room {cave}", "only for bob", "/who")
        alice.next("error")  # so it has read the line, while there was no connection
        relay.open()
        alice.next("room", room=cave)
        back = alice.next("not_sent")
        assert (back["text"], back["reason"]) == ("only for bob", "unverified")
        alice.say("for anybody")
        mallory.next("message", text="for anybody")
        assert said(mallory) == [("alice", "for anybody")]
        assert alice.finish() == 4


# The network


class Recorder(Relay):
    """A relay that keeps all that passes, for each connection and direction."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.streams: dict[int, bytearray] = {}  # key: of the socket object

    def _take(self, sock: socket.socket) -> tuple[bytes, bool]:
        data, full = super()._take(sock)
        self.streams.setdefault(id(sock), bytearray()).extend(data)
        return data, full


def payload(stream: bytes) -> bytes:
    """What one direction of a WebSocket carried, its masks taken off (RFC 6455 5.2)."""
    found, rest = b"", stream.partition(b"\r\n\r\n")[2]
    while len(rest) >= 2:
        size, at = rest[1] & 0x7F, 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size, at = int.from_bytes(rest[2 : 2 + width], "big"), 2 + width
        mask = bytes(4)
        if rest[1] & 0x80:
            mask, at = rest[at : at + 4], at + 4
        data = rest[at : at + size]
        found += bytes(byte ^ mask[index % 4] for index, byte in enumerate(data)) + b"\n"
        rest = rest[at + size :]
    return found


def recorded(streams: list[bytes]) -> bytes:
    """All that somebody in between can look through: as sent, unmasked, and decoded."""
    plain = [payload(stream) for stream in streams]
    decoded = []
    for text in plain:
        for piece in re.findall(rb"[A-Za-z0-9_-]{16,}", text):
            usable = piece[: len(piece) // 4 * 4]
            decoded.append(base64.urlsafe_b64decode(usable))
    return b"\n".join([*streams, *plain, *decoded])


def forms(text: str) -> list[bytes]:
    """``text`` and its base64 at each of the three places where it can stand in a stream."""
    raw = text.encode()
    found = [raw, raw.hex().encode(), text.encode("utf-16-le")]
    for shift in range(3):
        coded = base64.b64encode(bytes(shift) + raw)
        # The first and last characters depend on what stands beside the text.
        inner = coded[-(-shift * 8 // 6) : len(coded) // 4 * 4 - 4]
        found += [inner, inner.translate(bytes.maketrans(b"+/", b"-_"))]
    assert all(len(form) >= 6 for form in found)  # less would be found by chance
    return found


def test_the_forms_of_a_text_are_found_where_they_stand() -> None:
    """The search of the next test finds what it looks for."""
    text = "a text that is long enough"
    for before in (b"", b"x", b"xy", b"xyz"):
        coded = base64.urlsafe_b64encode(before + text.encode() + b"beside")
        assert any(form in coded for form in forms(text)[3:])
    masked = b"\x81\x85" + b"abcd" + bytes(a ^ b for a, b in zip(b"hello", b"abcda", strict=True))
    assert payload(b"GET /\r\n\r\n" + masked) == b"hello\n"


def test_who_records_the_network_finds_no_text_and_no_password(
    server: Server, join: Join
) -> None:
    """Without TLS: neither texts nor names, nor the password, nor the room's secret."""
    texts = ["first light of the morning", "Straße nach Süden, ohne Umweg", "a private errand"]
    secret = "hedgehog-in-the-garden"
    names = ("alice-of-the-hill", "robert-the-baker")
    recorder = Recorder(server.port)
    with recorder:
        alice, bob = join(*names, room="conspiracy", at=recorder.address, secret=secret)
        alice.say(*texts[:2], f"/msg {bob.nick} {texts[2]}")
        for text in texts:
            bob.next("message", text=text)
        bob.say("/invite", texts[0])
        alice.next("message", from_=bob.nick)
        assert alice.finish() == 0
        assert bob.finish() == 0
        found = recorded([bytes(stream) for stream in recorder.streams.values()])
    assert b'"type":"greeting"' in found and b'"type":"hello"' in found  # it does look inside
    assert found.count(b"\x80" + bytes(8)) > 10  # the records
    for wanted in (*texts, PASSWORD, secret, "conspiracy", *names):
        for form in forms(wanted):
            assert form not in found, (wanted, form)


# Rooms side by side


def test_several_rooms_at_the_start_each_with_its_secret(server: Server, tmp_path: Path) -> None:
    """Of three that are named one twice: two outsiders hear what is said where they are, if they
    know its secret, and nothing else."""
    number = next(_NUMBERS)
    open_room, lab, den = (f"{name}-{number}" for name in ("open", "Lab", "den"))
    secret = tmp_path / "secret"
    secret.write_text("hunter2\n")
    options = ("--room", open_room, "--room", f"{lab},{den}", "--room", lab.upper(),
               "--secret-file", f"{lab.lower()}={secret}", "--input", "json")  # fmt: skip
    knowing = {"CLIENT_ROOM_SECRET": "hunter2"}
    with (
        Client(server, f"bob-{number}", "--room", lab, settings=knowing) as bob,
        Client(server, f"eve-{number}", "--room", lab) as eve,
        Client(server, f"zoe-{number}", "--room", den) as zoe,
        Client(server, f"alice-{number}", *options) as alice,
    ):
        assert alice.events[0]["room"] == open_room
        for room in (lab, den):
            alice.next("room", room=room)
        for client in (bob, eve, zoe):
            client.meets(alice.nick)
        alice.say(json.dumps({"text": "one"}))
        alice.say(json.dumps({"text": "two", "room": lab.upper()}))
        alice.say(json.dumps({"text": "three", "room": den}))
        for text, room in (("one", open_room), ("two", lab), ("three", den)):  # each when it is
            alice.wait_for(lambda: text in alice.texts(room=room))  # noqa: B023
        bob.next("message", text="two", room=lab)
        eve.next("unreadable", reason="secret")
        zoe.next("message", text="three", room=den)
        eve.say("let me in")
        assert alice.next("unreadable", from_=eve.nick)["room"] == lab
        bob.say("heard")
        alice.next("message", text="heard", room=lab)
        bob.hears("two", "heard")
        eve.hears("let me in")
        zoe.hears("three")
        assert alice.errors == ""


def test_all_rooms_are_back_after_the_connection_was_lost(server: Server) -> None:
    number = next(_NUMBERS)
    rooms = [f"{name}-{number}" for name in ("one", "two", "three")]
    with (
        Relay(server.port) as relay,
        Client(server, f"bob-{number}", "--room", ",".join(rooms), "--input", "json") as bob,
        Client(relay.address, f"alice-{number}", "--room", ",".join(rooms)) as alice,
    ):
        for room in rooms[1:]:
            alice.next("room", room=room)
            bob.next("room", room=room)
        for room in rooms:
            bob.next("joined", room=room, nick=alice.nick)
        relay.cut()
        alice.next("reconnecting")
        for room in rooms:
            bob.say(json.dumps({"text": f"in {room}", "room": room}))
        assert alice.next("reconnected")["resumed"] is True
        for room in rooms:
            alice.wait_for(lambda: f"in {room}" in alice.texts(room=room))  # noqa: B023
        assert not alice.all("missed") and not bob.all("left")


def test_the_first_room_roams_if_none_was_named_and_stays_if_it_was(server: Server) -> None:
    number = next(_NUMBERS)
    elsewhere = f"cave-{number}"
    with Client(server, f"alice-{number}") as alice:
        alice.say(f"/room {elsewhere}")
        alice.next("room_left", room="default")
        alice.next("room", room=elsewhere)
    with Client(server, f"bob-{number}", "--room", "default") as bob:
        bob.say(f"/room {elsewhere}")
        bob.next("room", room=elsewhere)
        bob.say(f"/room den-{number}")  # it is the new one that roams
        assert bob.next("room_left")["room"] == elsewhere
        bob.next("room", room=f"den-{number}")
        bob.say("/room default", "still here")
        bob.next("message", text="still here", room="default")
