"""What a later version may add, to a real client and to a real server (docs/PROTOCOL.md)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from client import events
from protocol import frames, pake
from protocol.limits import STRIKES
from protocol.link import ServerLink
from server.app import ChatServer
from tests.malicious import (
    AT,
    LOG,
    ROOM,
    Impostor,
    bundle,
    connected,
    prove,
    received,
    stay,
    welcome,
)
from tests.processes import PASSWORD, Client
from tests.wire import Wire, box
from transport.websocket import WebSocket

LATER = {"later": {"type": [1, None]}, "": 7}
GHOST = frames.MemberLine(2, "mallory", 2, bundle("mallory"))


def more(frame: frames.Frame | bytes) -> bytes:
    """A frame with keys that this version does not have, also in the objects inside it."""

    def grown(value: Any) -> Any:
        if isinstance(value, dict):
            return {**{key: grown(each) for key, each in value.items()}, **LATER}
        return [grown(each) for each in value] if isinstance(value, list) else value

    encoded = frame if isinstance(frame, bytes) else frame.encode()
    return json.dumps(grown(json.loads(encoded))).encode()


def slice_of(*entries: dict[str, Any]) -> bytes:
    """A `log` frame that ends with number 3."""
    return json.dumps({"type": "log", "at": AT, "to": 3, "entries": entries}).encode()


def test_a_client_passes_over_keys_frames_and_codes_of_a_later_version() -> None:
    """Everything goes on as if they were not there; a strange goodbye is shown by its code."""
    joined = frames.Log(AT, 2, (frames.Joined(2, GHOST),))

    def script(peer: WebSocket, link: ServerLink) -> None:
        prove(peer, link, bytes(range(32)))
        peer.send(link.seal([more(frame) for frame in stay()]))
        peer.send(link.seal([b'{"type":"news","ref":1}', more(joined), more(frames.Taken(0))]))
        peer.send(link.seal([more(frames.Refused("sold_out")), more(frames.Bye("lunch"))]))

    connection, shown = connected(script)
    assert connection.joined and connection.outcome.reason == "lunch"
    assert [event.nick for event in shown if isinstance(event, events.MemberJoined)] == ["mallory"]
    assert [event.code for event in shown if isinstance(event, events.Error)] == ["sold_out"]


def test_a_log_entry_of_a_later_version_ends_a_client() -> None:
    """It may be a change of membership, so nothing of its slice counts; both sides are told."""
    told: list[Any] = []

    def script(peer: WebSocket, link: ServerLink) -> None:
        confirm = prove(peer, link, pake.password_prs(PASSWORD))
        line = frames.MemberLine(1, "alice", 1, confirm.bundle)
        entered = frames.Entered(AT, ROOM, LOG, 1, 1, 1, False, 0)
        strange = slice_of(frames.Joined(2, GHOST).to_object(), {"type": "zork", "seq": 3})
        said = [welcome("alice"), entered, frames.Roster((line,))]
        peer.send(link.seal([frame.encode() for frame in said]))
        peer.send(link.seal([strange]))
        while True:
            told.extend(link.open(received(peer)))

    with Impostor(script) as impostor:
        with Client(impostor.address, "alice", "--room", ROOM) as client:
            assert client.end() == 4
            assert [event["event"] for event in client.events] == ["connected", "disconnected"]
            assert client.all("disconnected", reason="bad_version")
            assert "use the same version on both sides" in client.errors
    assert told[-1] == {"type": "bye", "reason": "bad_version"}


def test_a_server_passes_over_keys_of_a_later_version(
    server: ChatServer, wires: Callable[..., Wire]
) -> None:
    alice, bob = wires(server, 0).join("alice"), wires(server, 1).join("bob")
    seen = frames.Seen((frames.Position(alice.at, 1, 0),))
    alice.send_raw(more(seen), more(frames.Post(alice.ref(), alice.at, 2, box(b"gAAAAA"))))
    assert alice.find(frames.Accepted).seq == 3
    (posted,) = bob.entries(3)
    assert isinstance(posted, frames.Posted) and posted.box == box(b"gAAAAA")


def test_a_server_refuses_frames_of_a_later_version_as_strikes(
    server: ChatServer, wires: Callable[..., Wire]
) -> None:
    """What comes with them in a record is handled, up to the last strike."""
    alice = wires(server, 0).join("alice")
    alice.send_raw(b'{"type":"edit","ref":1}', frames.ListRooms(1).encode())
    assert alice.expect(frames.Refused) == frames.Refused("unknown_type")
    assert [line.room for line in alice.expect(frames.RoomLines).rooms] == ["default"]
    for _ in range(STRIKES - 1):
        alice.send_raw(b'{"type":"edit","ref":2}')
    *refused, bye = alice.ended()
    assert [each for each in refused if not isinstance(each, frames.Taken)] == [
        frames.Refused("unknown_type")
    ] * (STRIKES - 1)
    assert bye == frames.Bye("protocol")


def test_a_server_takes_goodbyes_for_reasons_that_it_does_not_know(
    server: ChatServer, wires: Callable[..., Wire]
) -> None:
    """The others see that somebody left, not one that may come back."""
    alice, bob = wires(server, 0).join("alice"), wires(server, 1).join("bob")
    bob.send(frames.Bye("bad_version"))
    assert [type(entry) for entry in alice.entries(3)] == [frames.Joined, frames.Left]
