"""One client's connection, over real loopback sockets, step by step."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol import frames
from protocol import limits as protocol_limits
from protocol.keys import Identity
from protocol.link import ClientLink, Credentials
from protocol.sizes import record_size
from server import limits
from server import threads as server_threads
from server.admission import Permit
from server.app import ChatServer
from server.broadcast import SendQueue
from server.connection import ServerConnection, next_beat
from server.handshake import ServerHandshake
from server.http import no_place
from server.requests import HANDLERS, Requests
from server.services import Services
from server.throttle import Rate, Rates, TokenBuckets
from tests.conftest import IdentityPool
from tests.held import held
from tests.stub_websocket import StubWebSocket
from tests.test_rate_limits import Clock
from tests.wire import LONG, UPGRADE, Raw, Wire, box, masked, threads, wrap
from transport import Closed
from transport.stream import Stream

Wires = Callable[..., Wire]
Serve = Callable[..., ChatServer]


def until(condition: Callable[[], object]) -> None:
    """Wait for what another thread is about to do."""
    pause = threading.Event()
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "never came true"
        pause.wait(0.002)


def room_is(server: ChatServer, count: int) -> Callable[[], bool]:
    """Whether so many members are somewhere."""
    return lambda: sum(line.count for line in server._services.rooms.listing()) == count


def pair(server: ChatServer, wires: Wires) -> tuple[Wire, Wire, int]:
    """Alice and Bob in one room, and the number of its last change."""
    alice, bob = wires(server, 0).join("alice"), wires(server, 1).join("bob")
    assert [type(entry) for entry in alice.entries(2)] == [frames.Joined]
    return alice, bob, 2


# Coming in


def test_what_a_client_has_to_obey(serve: Serve, wires: Wires) -> None:
    """The welcome says it all; the roster has oneself in it."""
    server = serve(max_messages_per_window=7, rate_limit_window=3.5, max_message_size=2048)
    wire = wires(server, 0).join("Alice", "Tea")
    assert wire.welcome is not None and wire.welcome.ticket is not None
    welcome = dataclasses.replace(wire.welcome, ticket=None)
    assert welcome == frames.Welcome("Alice", False, 30.0, 60.0, 2048, 1 << 20, 7, 3.5)
    assert wire.entered is not None and wire.entered.room == "Tea"
    line = frames.MemberLine(wire.id, "Alice", 1, wire.identity.bundle)
    assert wire.roster == {"Alice": line}
    assert wire.entered.seq == 1 and wire.entered.members == 1 and not wire.entered.resumed


def failed(wire: Wire, nick: str = "alice") -> tuple[list[str], list[frames.Frame]]:
    """All that comes in a handshake that proves nothing: kinds of texts, and the refusal."""
    kinds = []
    text = wire.message()
    kinds.append(json.loads(text)["type"])
    wire.peer.send(wire.link.receive_greeting(text))
    text = wire.message()
    kinds.append(f"{json.loads(text)['type']} {len(text)}")
    wire.peer.send(wire.link.receive_key(text, nick, [frames.Stay("default")]))
    text = wire.message()
    kinds.append(text)
    return kinds, wire.ended()


def test_wrong_password_and_unknown_token_look_the_same(server: ChatServer, wires: Wires) -> None:
    """The same texts, the same lengths, the same end; whether the nickname is taken or not."""
    wires(server, 5).join("taken")
    password = failed(wires(server, 0, prs=bytes(32)))
    unknown = failed(wires(server, 1, token="AAAAAAAAAAAAAAAA.BBBB"))
    taken = failed(wires(server, 2, prs=bytes(32)), "taken")
    assert password == unknown == taken
    assert password[0][2] == '{"type":"refused","code":"auth_failed"}' and password[1] == []


def test_failures_are_charged_and_successes_are_not(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the address; who goes after `key` has cost work, and has made no guess."""
    throttle = server._services.throttle
    for line in (throttle.guesses, throttle.handshakes):
        monkeypatch.setattr(line.buckets, "_clock", Clock())

    def spent() -> tuple[float, float]:
        guesses = limits.GUESS_BURST - throttle.guesses.buckets.spare("127.0.0.1")
        return guesses, limits.HANDSHAKE_BURST - throttle.handshakes.buckets.spare("127.0.0.1")

    wires(server, 0).join("alice")
    assert held(throttle) == 0
    failed(wires(server, 1, prs=bytes(32)))
    assert spent() == (1.0, 1.0)
    gone = wires(server, 1)
    gone.greet()
    gone.message()
    gone.cut()
    until(lambda: spent() == (1.0, 2.0))
    before = wires(server, 1)
    before.message()
    before.cut()
    wires(server, 1).join("bob")
    assert spent() == (1.0, 2.0)


def exhaust(budget: TokenBuckets) -> None:
    """Leave nothing for this machine."""
    while not budget.take("127.0.0.1"):
        pass


NOTHING = Rates(Rate(1e-6, 1.0), Rate(1e-6, 1.0))


def test_a_late_answer_ends_with_the_connection(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has guessed too often waits for its answer; stopping does not wait for that."""
    held = threading.Event()

    def hold(_group: str) -> float:
        held.set()
        return 1e6

    monkeypatch.setattr(server._services.throttle, "hold", hold)
    monkeypatch.setattr(server._services.throttle, "release", lambda _group: None)
    wire = wires(server, 0, prs=bytes(32))
    wire.greet()
    wire.prove("eve")
    assert held.wait(LONG)
    server.stop()
    with contextlib.suppress(Closed):  # its refusal may still come
        assert wire.refusal().code == "auth_failed"


def test_a_wrong_proof_is_answered_in_time(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However late: its turn and the wait for the answer together are what a client waits for."""
    monkeypatch.setattr(limits, "PATIENCE", 0.2)
    monkeypatch.setattr(server._services.throttle, "hold", lambda _group: 1e6)
    monkeypatch.setattr(server._services.throttle, "release", lambda _group: None)
    wire = wires(server, 0, prs=bytes(32))
    wire.greet()
    wire.prove("eve")
    assert wire.refusal().code == "auth_failed"


@pytest.mark.parametrize("name", ["handshakes", "guesses"])
def test_who_gets_no_turn_is_told_when_to_come_back(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It does not wait for ever, and hears why."""
    line = getattr(server._services.throttle, name)
    monkeypatch.setattr(line.buckets, "rates", NOTHING)
    exhaust(line.buckets)
    take = line.take
    monkeypatch.setattr(line, "take", lambda *args: take(*args, 0.01))
    wire = wires(server, 0)
    wire.greet()
    if name == "guesses":
        wire.prove("alice")
    refused = wire.refusal()
    assert refused.code == "too_many_attempts"
    assert refused.retry_after == limits.PATIENCE
    assert wire.ended() == []


def test_a_token_passes_whatever_others_guess(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else knows its name; one that is not live waits with the guessers."""
    token = server._services.tokens.mint("alice", 60.0)
    for line in (server._services.throttle.handshakes, server._services.throttle.guesses):
        monkeypatch.setattr(line.buckets, "rates", NOTHING)
        exhaust(line.buckets)
    wires(server, 0, token=token).join("alice")
    unknown = wires(server, 1, token="AAAAAAAAAAAAAAAA.BBBB")
    unknown.greet()
    until(lambda: server._services.throttle.handshakes.waiting("127.0.0.1") == 1)


def test_stopping_ends_the_wait_for_a_turn(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = server._services.throttle.guesses
    monkeypatch.setattr(line.buckets, "rates", NOTHING)
    exhaust(line.buckets)
    wire = wires(server, 0)
    wire.greet()
    wire.prove("alice")
    until(lambda: line.waiting("127.0.0.1") == 1)
    server.stop()
    assert wire.ended() == []


def test_each_frame_of_a_client_has_a_handler() -> None:
    """A new one cannot be forgotten."""
    assert set(HANDLERS) == set(frames.CLIENT_FRAMES.values())


def hello(wire: Wire, **changes: Any) -> str:
    """The client's hello with some fields changed."""
    fields = json.loads(wire.link.receive_greeting(wire.message()))
    fields.update(changes)
    return json.dumps({name: value for name, value in fields.items() if value != "absent"})


def test_another_version(server: ChatServer, wires: Wires) -> None:
    """Is told so."""
    wire = wires(server, 0)
    wire.peer.send(hello(wire, version=1))
    assert wire.refusal().code == "bad_version"
    assert wire.ended() == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "malformed"),
        ("null", "malformed"),
        ("[]", "malformed"),
        ("{}", "malformed"),
        ('{"type": 5}', "malformed"),
        ('{"type": "hello"}', "malformed"),
        ('{"type": "hello", "type": "hello"}', "malformed"),
        ('{"type": "nonsense"}', "unknown_type"),
        ('{"type": "post"}', "unknown_type"),
        ('{"type": "refused", "code": "x"}', "unexpected"),
        ("[" * 10_000, "malformed"),
        ('{"type": "' + "x" * protocol_limits.HANDSHAKE_BYTES + '"}', "too_big"),
        ("\u00e9" * (protocol_limits.HANDSHAKE_BYTES - 10), "too_big"),
        ("\ufeff{}", "malformed"),
    ],
)
def test_what_is_no_hello(server: ChatServer, wires: Wires, text: str, code: str) -> None:
    """Has a code, and ends it; no guess was made."""
    wire = wires(server, 0)
    wire.message()
    wire.peer.send(text)
    assert wire.refusal().code == code
    assert wire.ended() == []
    assert held(server._services.throttle) == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"rsa": "A" * 342},
        {"rsa": "absent"},
        {"kem": "A" * 10},
        {"proof": "nothing"},
        {"proof": "\ud800"},
        {"proof": "token"},
        {"token": "A" * 43},
        {"nonce": "AAAA"},
        {"version": True},
        {"version": "1"},
        {"share": 7},
    ],
)
def test_a_hello_that_is_wrong(server: ChatServer, wires: Wires, changes: dict[str, Any]) -> None:
    """In one field: keys that are none, proofs that do not fit, types."""
    wire = wires(server, 0)
    wire.peer.send(hello(wire, **changes))
    assert wire.refusal().code == "malformed"
    assert wire.ended() == []


def test_a_share_of_low_order(server: ChatServer, wires: Wires) -> None:
    """On which CPace must end."""
    wire = wires(server, 0)
    wire.peer.send(hello(wire, share="A" * 43))
    assert wire.refusal().code == "auth_failed"


@pytest.mark.parametrize(
    "text", ["", "{}", "gAAAAA", "x" * protocol_limits.HANDSHAKE_BYTES, "\u00e9"]
)
def test_what_is_no_confirm(server: ChatServer, wires: Wires, text: str) -> None:
    """Is a failed proof, whatever it is."""
    wire = wires(server, 0)
    wire.greet()
    wire.message()
    wire.peer.send(text)
    assert wire.refusal().code == "auth_failed"
    assert wire.ended() == []


@pytest.mark.parametrize(
    "sent",
    [
        [frames.Post(1, 1, 1, box()).encode()],
        [frames.Seen(()).encode(), frames.Seen(()).encode()],
        [],
        [b"5"],
        [b'{"type":"confirm"}'],
        [b'{"type":"nonsense"}'],
        [b"}"],
    ],
)
def test_frames_before_the_welcome(server: ChatServer, wires: Wires, sent: list[bytes]) -> None:
    """Nothing but one `confirm` opens the door, also for who knows the password."""
    wire = wires(server, 0)
    wire.greet()
    wire.link.receive_key(wire.message(), "alice", [frames.Stay("default")])
    assert wire.link._sealer is not None
    wire.link._sealer._next = 0  # as if it had not been made
    wire.send_raw(*sent)
    assert wire.refusal().code in ("auth_failed", "unexpected", "malformed", "unknown_type")
    assert wire.ended() == []
    assert held(server._services.sessions) == 0


@pytest.mark.parametrize("steps", [0, 1])
def test_a_handshake_has_a_deadline(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """For each of its two answers."""
    monkeypatch.setattr(limits, "HANDSHAKE_SECONDS", 0.1)
    wire = wires(server, 0)
    if steps:
        wire.greet()
    wire.message()
    assert wire.refusal().code == "timed_out"
    assert wire.ended() == []
    assert server._services.connection_limits.wait_empty(LONG)


@pytest.mark.parametrize(
    ("nick", "room", "code"),
    [
        ("", "default", "bad_nick"),
        ("a b", "default", "bad_nick"),
        ("x" * 33, "default", "bad_nick"),
        ("a\u0430", "default", "bad_nick"),
        ("\ud800", "default", "bad_nick"),
        ("alice", "", "bad_room"),
        ("alice", "a/b", "bad_room"),
        ("alice", "x" * 65, "bad_room"),
        ("alice", "\ud800", "bad_room"),
        ("alice", "\u202e", "bad_room"),
    ],
)
def test_names_that_are_none(
    server: ChatServer, wires: Wires, nick: str, room: str, code: str
) -> None:
    """Are refused in a record, and leave nothing behind."""
    wire = wires(server, 0)
    wire.greet()
    confirm = json.loads(json.dumps({"nick": nick, "stays": [{"room": room}]}))
    text = wire.message()
    wire.link.receive_key(text, "x", [frames.Stay("default")])
    identity, link = wire.identity, wire.link
    assert link._sealer is not None
    link._sealer._next = 0
    bundle = identity.bundle
    signature = identity.sign(link._transcript.to_sign(bundle.fingerprint))
    fields = {**frames.Confirm("x", (frames.Stay("y"),), bundle, signature).to_object(), **confirm}
    wire.send_raw(json.dumps(fields).encode())
    assert wire.refusal().code == code
    assert wire.ended() == []
    assert held(server._services.sessions) == held(server._services.rooms) == 0


@pytest.mark.parametrize("nick", ["alice", "ALICE", "\uff21lice", "A1ice"])
def test_a_nickname_that_is_taken(server: ChatServer, wires: Wires, nick: str) -> None:
    """However it is written, or if it only looks so; and the one who has it notices nothing."""
    alice = wires(server, 0).join("Alice")
    other = wires(server, 1)
    other.greet()
    other.prove(nick)
    assert other.refusal().code == "nick_taken"
    alice.post(1)
    assert alice.entries(2) == [frames.OwnPosted(2, 1)]


def test_no_place_in_the_room_or_for_it(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nickname is free again afterwards."""
    monkeypatch.setattr(protocol_limits, "ROOM_MEMBERS", 1)
    monkeypatch.setattr(server._services.rooms, "_most", 2)
    wires(server, 0).join("alice", "one")
    for room, code in (("one", "room_full"), ("two", ""), ("three", "server_full")):
        wire = wires(server, 1 if code else 2)
        wire.greet()
        wire.prove("bob" if code else "carol", room)
        if code:
            assert wire.refusal().code == code
            wire.ended()
        else:
            wire.expect(frames.Welcome)
    present = server._services.sessions.live()
    assert sorted(session.nick for session in present) == ["alice", "carol"]


@pytest.mark.parametrize("full", ["room", "rooms", "sessions"])
def test_who_is_away_makes_room(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    """Whoever comes under many keys and cuts each connection keeps nobody out."""
    if full == "room":
        monkeypatch.setattr(protocol_limits, "ROOM_MEMBERS", 2)
    elif full == "rooms":
        monkeypatch.setattr(server._services.rooms, "_most", 2)
    else:
        monkeypatch.setattr(limits, "SESSIONS", 2)
    alice = wires(server, 0).join("alice", "one")
    wires(server, 1).join("ghost", "one" if full == "room" else "two").cut()
    sessions = server._services.sessions
    until(lambda: any(session.lost_at is not None for session in sessions.live()))
    wires(server, 2).join("bob", "one" if full == "room" else "three")
    assert {session.nick for session in sessions.live()} == {"alice", "bob"}
    if full == "room":
        assert [type(entry) for entry in alice.entries(4)[-2:]] == [frames.Left, frames.Joined]
    carol = wires(server, 3)  # and who is there stays
    carol.greet()
    carol.prove("carol", "one" if full == "room" else "four")
    assert carol.refusal().code in ("room_full", "server_full")


def test_too_many_connections(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one address: refused before anything is asked, and free again when one goes."""
    monkeypatch.setattr(limits, "CONNECTIONS_OF_ADDRESS", 2)
    first = wires(server, 0).join("alice")
    wires(server, 1).join("bob")
    with Raw(server.port) as raw:
        assert raw.rest() == no_place()
    first.send(frames.Bye("left"))
    first.ended()
    until(lambda: server._services.connection_limits._open == 1)
    wires(server, 2).join("carol")


# Threads that cannot be had


def no_thread_for(
    monkeypatch: pytest.MonkeyPatch, refused: Callable[[Callable[[], None]], bool]
) -> list[Callable[[], None]]:
    """From now on the system has no thread for what is ``refused``; what was."""
    given, found = server_threads.start, []

    def start(run: Callable[[], None]) -> None:
        if refused(run):
            found.append(run)
            raise RuntimeError("can't start new thread")
        given(run)

    monkeypatch.setattr(server_threads, "start", start)
    return found


def test_no_thread_for_another_acceptor(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody may leave the door: who comes is let go, until there are threads again."""
    with monkeypatch.context() as patched:
        refused = no_thread_for(patched, lambda run: run == server._listener._accept)
        for _ in range(3):
            with Raw(server.port) as raw:
                raw.send(UPGRADE)
                assert raw.rest() == b""
        assert len(refused) == 3
    wires(server, 0).join("alice")


def test_no_thread_for_a_client(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The acceptor that has let it in stays with it, and others let others in."""
    refused = no_thread_for(monkeypatch, lambda run: run != server._listener._accept)
    alice, bob = wires(server, 0).join("alice"), wires(server, 1).join("bob")
    bob.post(2)
    assert bob.find(frames.Accepted) == frames.Accepted(1, 3)
    assert [type(entry) for entry in alice.entries(3)] == [frames.Joined, frames.Posted]
    assert len(refused) == 2


def test_acceptors_are_kept_only_as_many_as_are_wanted(server: ChatServer) -> None:
    """However many strangers have waited at once."""
    before = threads()
    strangers = [Raw(server.port) for _ in range(4 * limits.ACCEPTORS)]
    until(lambda: threads() >= before + len(strangers))
    with contextlib.ExitStack() as stack:
        for stranger in strangers:
            stack.enter_context(stranger)
    until(lambda: threads() <= before + limits.ACCEPTORS)
    until(lambda: server._listener._waiting == limits.ACCEPTORS)


# Frames that are wrong


BAD = [
    (b"5", "malformed"),
    (b"null", "malformed"),
    (b'{"type":"post"}', "malformed"),
    (b'{"type":"nonsense"}', "unknown_type"),
    (b'{"type":"welcome"}', "unknown_type"),
    (b'{"type":"nick","ref":-1,"nick":"x"}', "malformed"),
    (b'{"type":"nick","ref":1.0,"nick":"x"}', "malformed"),
    (b'{"type":"nick","ref":true,"nick":"x"}', "malformed"),
    (b'{"type":"nick","ref":9007199254740992,"nick":"x"}', "malformed"),
    (b'{"type":"nick","ref":1,"nick":["x"]}', "malformed"),
    (b'{"type":"keys","wraps":[5]}', "malformed"),
    (b'{"type":"seen","seq":"1"}', "malformed"),
    (frames.Post(50, 1, 99, box()).encode(), "unexpected"),
    (frames.Keys(1, (wrap(1, 1), wrap(2, 2))).encode(), "unexpected"),
]


@pytest.mark.parametrize(("bad", "code"), BAD)
def test_the_third_refusal_ends_it(
    server: ChatServer, wires: Wires, bad: bytes, code: str
) -> None:
    """In one record or in three; the first two cost nothing else."""
    wire = wires(server, 0).join("alice")
    wire.send_raw(bad)
    understood = 50 if b'"ref":50' in bad else None
    assert wire.expect(frames.Refused) == frames.Refused(code, understood)
    wire.post(1)
    assert wire.find(frames.Accepted).seq == 2
    wire.send_raw(bad, bad, frames.Post(9, 1, 1, box()).encode())
    ended = wire.ended()
    assert [each.code for each in ended if isinstance(each, frames.Refused)] == [code, code]
    assert ended[-1] == frames.Bye("protocol")
    assert not any(isinstance(each, frames.Accepted) for each in ended)


def test_a_second_confirm(server: ChatServer, wires: Wires) -> None:
    """Means nothing any more."""
    wire = wires(server, 0).join("alice")
    bundle = wire.identity.bundle
    wire.send(frames.Confirm("mallory", (frames.Stay("x"),), bundle, bytes(64)))
    assert wire.expect(frames.Refused).code == "unexpected"


@pytest.mark.parametrize("plain", [b"", b"{}", b"[", b'"x"', b"[1,2", b'[{"a":1,"a":2}]', b"\xff"])
def test_a_record_without_a_list(server: ChatServer, wires: Wires, plain: bytes) -> None:
    """Was sealed by the client itself: refused, and ended at the third."""
    wire = wires(server, 0).join("alice")
    sealer = wire.link._sealer
    assert sealer is not None

    def send() -> None:
        number = sealer._next.to_bytes(8, "big")
        sealer._next += 1
        fill = 16 - (len(number) + len(plain)) % 16
        blocks = number + plain + bytes((fill,)) * fill
        wire.peer.send(sealer._token(blocks))

    for _ in range(2):
        send()
        assert wire.expect(frames.Refused).code == "malformed"
    wire.post(1)
    assert wire.find(frames.Accepted).seq == 2
    send()
    assert wire.ended()[-1] == frames.Bye("protocol")


def test_too_many_frames_in_a_record(server: ChatServer, wires: Wires) -> None:
    """Are not looked at."""
    wire = wires(server, 0).join("alice")
    seen = wire.seen(1).encode()
    wire.send_raw(*[seen] * protocol_limits.FRAMES_IN_RECORD)
    wire.send_raw(*[seen] * (protocol_limits.FRAMES_IN_RECORD + 1))
    assert wire.expect(frames.Refused).code == "malformed"


def test_what_was_not_sealed_as_the_next_record(server: ChatServer, wires: Wires) -> None:
    """Replayed, skipped, or in clear: the link is over, the place is kept for who can prove."""
    for number, trick in enumerate(("replay", "skip", "clear", "garbage")):
        wire = wires(server, number).join(f"n{number}")
        record = wire.link.seal([frames.Post(1, 1, 1, box()).encode()])
        if trick == "replay":
            wire.peer.send(record)
            wire.peer.send(record)
        elif trick == "skip":
            wire.peer.send(wire.link.seal([]))
        else:
            wire.peer.send('{"type":"bye","reason":"x"}' if trick == "clear" else b"\x80\0\xff")
        ended = wire.ended()
        assert isinstance(ended[-1], frames.Refused) and ended[-1].code == "link_broken", trick
        session = server._services.sessions.find(wire.identity.fingerprint)
        assert session is not None and not session.over


def test_binary_messages_and_other_nonsense(server: ChatServer, wires: Wires) -> None:
    """Below the protocol: the connection just ends."""
    bob = wires(server, 1).join("bob")
    for sent in (
        masked(2, b"binary"),
        masked(1, b"\xff\xfe"),
        b"\x81\x05hello",  # not masked
        masked(3, b""),
        masked(1, b"x" * 100, final=False) + masked(1, b"y"),
        b"\xff" * 50,
    ):
        with Raw(server.port) as raw:
            raw.send(UPGRADE + sent)
            raw.sock.shutdown(socket.SHUT_WR)
            try:
                raw.rest()
            except ConnectionResetError:
                pass
    until(lambda: server._services.connection_limits._open == 1)
    bob.post(1)
    bob.entries(2)


def test_a_message_over_the_payload_limit(serve: Serve, wires: Wires) -> None:
    """Cuts the connection; nothing of it is kept."""
    server = serve(max_payload_size=64 * 1024)
    wire = wires(server, 0).join("alice")
    try:
        wire.peer.send("g" * (64 * 1024 + 1))
    except Closed:
        pass
    assert not any(isinstance(each, frames.Accepted) for each in wire.ended())


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**64) | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["type", "ref", "nick", "room", "box", "to", "wrap", "seq"]),
                      inner, max_size=5),
    max_leaves=8,
)  # fmt: skip
KINDS = st.sampled_from([*frames.CLIENT_FRAMES, "x"])


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(VALUES, st.fixed_dictionaries(
    {"type": KINDS},
    optional={name: VALUES for name in ("ref", "nick", "room", "wraps", "box", "change", "seq")},
)), max_size=4))  # fmt: skip
def test_anything_in_a_record_is_survived(
    server: ChatServer, wires: Wires, values: list[Any]
) -> None:
    """Handled or refused; afterwards everything is as it was."""
    wire = wires(server, 0).join("alice")
    wire.send_raw(*(json.dumps(value).encode() for value in values))
    wire.send(frames.Bye("left"))
    for frame in wire.ended():
        if isinstance(frame, frames.Refused):
            assert frame.code not in ("internal", "link_broken")
    wire.cut()
    assert server._services.connection_limits.wait_empty(LONG)
    assert held(server._services.sessions) == held(server._services.rooms) == 0


# Coming back


def test_resuming_in_place(server: ChatServer, wires: Wires) -> None:
    """The same member, nickname, room; the others see nothing; what was missed comes."""
    alice, bob, change = pair(server, wires)
    alice.cut()
    bob.post(change)
    bob.find(frames.Accepted)
    back = wires(server, 0).join("ignored", "DEFAULT", alice.resume_point(2))
    assert back.welcome is not None and back.welcome.nick == "alice"
    assert back.welcome.resumed
    assert back.entered == frames.Entered(
        1, "default", alice.entered.log, alice.id, 2, 0, True, 0  # type: ignore[union-attr]
    )
    assert [type(entry) for entry in back.entries(3)] == [frames.Posted]
    back.post(change)
    entries = bob.entries(4)
    assert [type(entry) for entry in entries] == [frames.OwnPosted, frames.Posted]


@pytest.mark.parametrize("records", range(7))
def test_a_cut_at_each_point_loses_and_repeats_nothing(
    server: ChatServer, wires: Wires, records: int
) -> None:
    """Shared and private, after each number of records that arrived."""
    alice, bob, change = pair(server, wires)
    got: list[Any] = []
    seq, number = 2, 0

    def receive(wire: Wire, most: int, last: tuple[int, int]) -> None:
        nonlocal seq, number
        while most > 0 and (seq, number) != last:
            frame = wire.next()
            if isinstance(frame, frames.Log):
                got.extend(entry.seq for entry in frame.entries)  # type: ignore[attr-defined]
                seq = frame.to
            elif isinstance(frame, (frames.KeyFor, frames.PrivateFor)):
                got.append(f"private {frame.number}")
                number = frame.number
            most -= 1

    for turn in range(3):
        bob.send(frames.Keys(bob.at, (wrap(alice.id, turn + 1),)))
        bob.post(change, epoch=turn + 1)
        bob.find(frames.Accepted)
        bob.send(frames.Private(bob.ref(), bob.at, change, wrap(alice.id), box()))
        bob.find(frames.Accepted)
    receive(alice, records, (5, 6))
    alice.cut()
    back = wires(server, 0).join("alice", "default", alice.resume_point(seq, number))
    assert back.entered is not None and back.entered.resumed
    receive(back, 100, (5, 6))
    numbers = [each for each in got if isinstance(each, int)]
    private = [each for each in got if isinstance(each, str)]
    assert numbers == [3, 4, 5]
    assert private == [f"private {each}" for each in range(1, 7)]
    for turn in range(3):  # each post right after its wrap
        assert got.index(f"private {2 * turn + 1}") < got.index(3 + turn)
        assert turn == 0 or got.index(2 + turn) < got.index(f"private {2 * turn + 1}")


@pytest.mark.parametrize("heard", [True, False])
def test_a_post_around_the_cut_is_one_entry(
    server: ChatServer, wires: Wires, heard: bool
) -> None:
    """Sent, and the answer heard or lost: sent again it gets the same answer."""
    alice, bob, change = pair(server, wires)
    alice.post(change)
    accepted = alice.find(frames.Accepted) if heard else frames.Accepted(1, 3)
    bob.entries(3)
    alice.cut()
    back = wires(server, 0).join("alice", "default", alice.resume_point(2))
    assert back.post(change) == 1
    assert back.find(frames.Accepted) == accepted
    back.send(frames.Post(2, back.at, change, box()))
    assert back.find(frames.Accepted) == frames.Accepted(2, 4)
    assert len(bob.entries(4)) == 1


def test_a_cut_before_the_post_arrived(server: ChatServer, wires: Wires) -> None:
    """The server has never seen it: it is new."""
    alice, bob, change = pair(server, wires)
    alice.cut()
    back = wires(server, 0).join("alice", "default", alice.resume_point(2))
    back.send(frames.Post(1, back.at, change, box()))
    assert back.find(frames.Accepted) == frames.Accepted(1, 3)
    assert len(bob.entries(3)) == 1


def test_the_server_says_what_it_has_taken(serve: Serve, wires: Wires) -> None:
    """In its heartbeat: the highest `ref`."""
    server = serve(heartbeat_interval=0.05)
    wire = wires(server, 0).join("alice")
    wire.post(1)
    wire.post(1)
    wire.entries(3)
    while wire.find(frames.Taken).ref != 2:
        pass  # sent before


def test_coming_back_while_the_old_connection_lives(server: ChatServer, wires: Wires) -> None:
    """It is told, and ends; nothing that was said is lost to the new one."""
    alice, bob, change = pair(server, wires)
    back = wires(server, 0).join("alice", "default", alice.resume_point(2))
    assert back.entered is not None and back.entered.resumed
    assert alice.ended()[-1] == frames.Bye("replaced")
    bob.post(change)
    assert [type(entry) for entry in back.entries(3)] == [frames.Posted]
    assert [type(entry) for entry in bob.entries(3)] == [frames.OwnPosted]


def test_a_frame_of_the_old_connection_while_it_is_replaced(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Comes too late, is not handled, and the old connection is still told why."""
    alice, bob, change = pair(server, wires)
    session = server._services.sessions.find(alice.identity.fingerprint)
    assert session is not None and session.members
    received = threading.Event()
    open_ = ServerConnection._receive

    def receive(self: ServerConnection, *args: Any) -> None:
        received.set()
        open_(self, *args)

    monkeypatch.setattr(ServerConnection, "_receive", receive)
    assert session.queue is not None
    detach = session.queue.detach

    def detach_later() -> None:
        alice.post(change)  # its thread waits for the session's turn now
        assert received.wait(LONG)
        detach()

    monkeypatch.setattr(session.queue, "detach", detach_later)
    back = wires(server, 0).join("alice", "default", alice.resume_point(2))
    assert alice.ended()[-1] == frames.Bye("replaced")
    assert back.post(change) == 1
    assert back.find(frames.Accepted) == frames.Accepted(1, 3)
    assert len(bob.entries(3)) == 1


def test_joining_anew_with_the_same_identity(server: ChatServer, wires: Wires) -> None:
    """Without a log id: the old one leaves and is told, the new one is another member."""
    alice, bob, _ = pair(server, wires)
    again = wires(server, 0).join("alice")
    assert again.id != alice.id and set(again.roster) == {"alice", "bob"}
    assert alice.ended()[-1] == frames.Bye("replaced")
    left, joined = bob.entries(4)
    assert left == frames.Left(3, alice.id)
    assert isinstance(joined, frames.Joined) and joined.member.id == again.id


def test_resuming_in_a_log_that_is_not_there(server: ChatServer, wires: Wires) -> None:
    """Joins anew: fresh roster, another member."""
    alice, bob, _ = pair(server, wires)
    alice.cut()
    again = wires(server, 0).join("alice", "default", (bytes(16), 2, 0))
    assert again.entered is not None and not again.entered.resumed
    assert again.id != alice.id
    assert [type(entry) for entry in bob.entries(4)] == [frames.Left, frames.Joined]


@pytest.mark.parametrize("seq", [0, 1, 3, 2**53 - 1])
def test_resuming_where_it_never_was(server: ChatServer, wires: Wires, seq: int) -> None:
    """Before its own join, or in the future: joins anew, and sees nothing of before."""
    alice = wires(server, 0).join("alice")
    alice.post(1)
    bob = wires(server, 1).join("bob")
    bob.cut()
    alice.entries(3)
    log = alice.entered.log  # type: ignore[union-attr]
    again = wires(server, 1).join("bob", "default", (log, seq if seq != 3 else 4, 0))
    assert again.entered is not None and not again.entered.resumed


def test_resuming_with_another_identity(server: ChatServer, wires: Wires) -> None:
    """Who only knows the log id joins as who it is; the other one keeps its place."""
    alice, bob, _ = pair(server, wires)
    log = alice.resume_point(2)
    mallory = wires(server, 2).join("mallory", "default", log)
    assert mallory.entered is not None and not mallory.entered.resumed
    assert mallory.entered.seq == 3 and mallory.id not in (alice.id, bob.id)
    alice.post(3)
    assert [type(entry) for entry in alice.entries(4)] == [frames.Joined, frames.OwnPosted]


class Thief:
    """Somebody else's bundle, and a signature of one's own."""

    def __init__(self, victim: Identity, own: Identity) -> None:
        self.bundle, self._own = victim.bundle, own
        self.fingerprint = victim.fingerprint

    def sign(self, message: bytes) -> bytes:
        """Not with the key that the bundle has."""
        return self._own.sign(message)


def test_a_place_cannot_be_stolen(server: ChatServer, wires: Wires, pool: IdentityPool) -> None:
    """With the password, the bundle and the log id, yet without the key."""
    alice, bob, change = pair(server, wires)
    for resume in (alice.resume_point(2), None):
        thief = wires(server, 2)
        stolen: Any = Thief(pool[0], pool[2])
        thief.link._identity = stolen
        thief.greet()
        thief.prove("alice", "default", resume)
        assert thief.refusal().code == "auth_failed"
        assert thief.ended() == []
    alice.post(change)
    assert alice.entries(3) == [frames.OwnPosted(3, 1)]
    assert len(bob.entries(3)) == 1


def test_a_confirm_of_another_handshake(server: ChatServer, wires: Wires) -> None:
    """Signs other frames: it cannot be passed on."""
    first, second = wires(server, 0), wires(server, 0)
    first.greet()
    second.greet()
    first.link.receive_key(first.message(), "alice", [frames.Stay("default")])
    second.link.receive_key(second.message(), "alice", [frames.Stay("default")])
    signature = first.identity.sign(
        first.link._transcript.to_sign(first.identity.bundle.fingerprint)
    )
    assert second.link._sealer is not None
    second.link._sealer._next = 0
    stays = (frames.Stay("default"),)
    second.send(frames.Confirm("alice", stays, first.identity.bundle, signature))
    assert second.refusal().code == "auth_failed"


def test_a_token_does_not_resume_what_the_password_opened(
    server: ChatServer, wires: Wires
) -> None:
    """It joins anew: what its grace ends with is another thing."""
    alice = wires(server, 0).join("alice")
    alice.cut()
    token = server._services.tokens.mint("bob", 60)
    again = wires(server, 0, token=token).join("", "default", alice.resume_point(1))
    assert again.entered is not None and not again.entered.resumed
    assert again.welcome is not None and again.welcome.nick == "bob"


def test_coming_back_after_changing_rooms_twice(server: ChatServer, wires: Wires) -> None:
    """In the same room as another member: what it knows of itself is not true any more."""
    alice, _, _ = pair(server, wires)
    known = alice.resume_point(2)
    alice.send(frames.Enter(1, "other", 1), frames.Enter(2, "default", 2))
    until(room_is(server, 2))
    assert alice.find(frames.Accepted).ref == 1
    assert alice.find(frames.Accepted).ref == 2
    alice.cut()
    again = wires(server, 0).join("alice", "default", known)
    assert again.entered is not None and not again.entered.resumed
    assert again.entered.ref == 2 and again.entered.id == 4


def test_one_identity_twice_at_once(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second comes while the first is between its nickname and its room: no ghost stays."""
    rooms = server._services.rooms
    add = server._services.sessions.add
    second: list[Wire] = []

    def add_then_meet(session: Any) -> None:
        add(session)
        if not second:
            with server._services.accept_slot.released():
                second.append(wires(server, 0))
                second[0].join("alice")

    monkeypatch.setattr(server._services.sessions, "add", add_then_meet)
    first = wires(server, 0)
    first.greet()
    first.prove("alice")
    assert first.ended() == []
    (wire,) = second
    assert list(wire.roster) == ["alice"]
    assert [(line.room, line.count) for line in rooms.listing()] == [("default", 1)]
    wire.send(frames.Bye("left"))
    wire.ended()
    until(lambda: held(rooms) == 0 and held(server._services.sessions) == 0)


def test_a_grace_ends(serve: Serve, wires: Wires) -> None:
    """The others see it leave, and the nickname is free."""
    server = serve(heartbeat_interval=0.05, heartbeat_timeout=0.1)
    alice = wires(server, 0).join("alice")
    alice.cut()
    until(lambda: held(server._services.sessions) == 0)
    wires(server, 1).join("alice")


def test_saying_goodbye_leaves_at_once(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No grace, and no waiting for a polite end; what is behind it is not handled."""
    monkeypatch.setattr(limits, "STOP_POLITE_SECONDS", 2 * LONG)
    alice, bob, change = pair(server, wires)
    alice.send(frames.Bye("left"), frames.Post(1, alice.at, change, box()))
    assert bob.entries(3) == [frames.Left(3, alice.id)]
    alice.ended()


# Requests


def test_the_same_ref_gets_its_first_answer(server: ChatServer, wires: Wires) -> None:
    """Whatever it is, whatever comes with it the second time."""
    alice, bob, change = pair(server, wires)
    alice.send(frames.Post(5, alice.at, change, box()))
    alice.send(frames.Post(5, alice.at, change, box(b"gAAAB")))
    alice.send(frames.Nick(5, alice.at, "other"))
    answers = [alice.find(frames.Accepted) for _ in range(3)]
    assert answers == [frames.Accepted(5, 3)] * 3
    alice.send(frames.Nick(6, alice.at, "a b"))
    alice.send(frames.Post(6, alice.at, change, box()))
    refusals = [alice.find(frames.Refused) for _ in range(2)]
    assert refusals == [frames.Refused("bad_nick", 6)] * 2
    alice.send(frames.Post(7, alice.at, change, box()))
    assert len(bob.entries(4)) == 2


def test_an_old_ref_is_repeated(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer is not known any more; it makes no second entry, and is no strike."""
    monkeypatch.setattr(limits, "ANSWERS", 2)
    wire = wires(server, 0).join("alice")
    for ref in (1, 2, 5):
        wire.send(frames.Post(ref, wire.at, 1, box()))
        wire.find(frames.Accepted)
    for ref in (1, 3, 4, 0):
        wire.send(frames.Post(ref, wire.at, 1, box()))
        assert wire.find(frames.Refused) == frames.Refused("repeated", ref)
    wire.send(frames.Post(6, wire.at, 1, box()))
    assert wire.find(frames.Accepted).seq == 5


def test_each_post_has_one_answer_and_one_place(server: ChatServer, wires: Wires) -> None:
    """In whichever order they come: the broadcaster may be faster than the answer."""
    wire = wires(server, 0).join("alice")
    for number in range(20):
        wire.post(1)
        assert wire.find(frames.Accepted) == frames.Accepted(number + 1, number + 2)
        assert wire.entries(number + 2) == [frames.OwnPosted(number + 2, number + 1)]
    wire.send(frames.Bye("left"))
    assert wire.ended() == []


def test_so_many_posts_in_a_window(serve: Serve, wires: Wires) -> None:
    """For a fingerprint, whatever its connection; posts and private ones together."""
    server = serve(max_messages_per_window=3, rate_limit_window=60.0)
    alice, bob, change = pair(server, wires)
    alice.post(change)
    alice.send(frames.Private(alice.ref(), alice.at, change, wrap(bob.id), box()))
    alice.post(change)
    for _ in range(3):
        alice.find(frames.Accepted)
    alice.cut()
    back = wires(server, 0).join("alice", "default", alice.resume_point(4))
    back.send(frames.Post(9, back.at, change, box()))
    refused = back.find(frames.Refused)
    assert (refused.code, refused.ref) == ("rate_limited", 9)
    assert refused.retry_after is not None and 0 < refused.retry_after <= 60.0
    anew = wires(server, 0).join("alice")
    anew.send(frames.Post(1, anew.at, anew.entered.seq, box()))  # type: ignore[union-attr]
    assert anew.find(frames.Refused).code == "rate_limited"
    bob.post(change)
    assert bob.find(frames.Accepted).ref == 1


def test_retry_after_is_the_time_to_wait(serve: Serve, wires: Wires) -> None:
    """Rounded up: who waits that long is let in."""
    server = serve(max_messages_per_window=1, rate_limit_window=60.0)
    clock = Clock()
    server._services.posts.own._clock = clock
    wire = wires(server, 0).join("alice")
    wire.post(1)
    wire.find(frames.Accepted)
    clock.now += 12.34
    wire.post(1)
    assert wire.find(frames.Refused).retry_after == 47.7
    clock.now += 47.7
    wire.post(1)
    assert wire.find(frames.Accepted).ref == 3


def test_commands_have_a_window_of_their_own(serve: Serve, wires: Wires) -> None:
    """Names, rooms and lists together; posting goes on."""
    server = serve(max_messages_per_window=3)
    wire = wires(server, 0).join("alice")
    wire.send(frames.Nick(1, wire.at, "a"), frames.Enter(2, "b"), frames.ListRooms(3))
    wire.send(frames.ListRooms(4))
    refused = wire.find(frames.Refused)
    assert (refused.code, refused.ref) == ("rate_limited", 4)
    wire.send(frames.Post(5, wire.at, 1, box()))
    assert [wire.find(frames.Accepted).ref for _ in range(3)] == [1, 2, 5]


def test_who_has_used_most_of_an_address_is_refused_first(
    serve: Serve, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two identities use up what there is; others still have their say, and are told why."""
    monkeypatch.setattr(limits, "ADDRESS_SHARE", 2)
    server = serve(max_messages_per_window=3)
    members = [wires(server, number).join(f"n{number}") for number in range(4)]
    for wire in members[:2]:
        for _ in range(3):
            wire.post(4)
            wire.find(frames.Accepted)
    third, fourth = members[2:]
    for wire in (third, third, fourth, fourth):
        wire.post(4)
        assert wire.find(frames.Accepted).ref
    third.post(4)
    refused = third.find(frames.Refused)
    assert (refused.code, refused.ref) == ("address_limited", 3)
    assert refused.retry_after is not None and 0 < refused.retry_after <= 60.0
    members[0].post(4)
    assert members[0].find(frames.Refused).code == "rate_limited"
    server._services.posts.uncount(third.identity.fingerprint, "127.0.0.1")
    third.post(4)
    assert third.find(frames.Accepted).ref == 4


def test_joins_of_an_address(
    serve: Serve, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that comes and goes is refused; one that comes for the first time is not."""
    monkeypatch.setattr(limits, "JOINS_OF_ADDRESS", 3)
    server = serve()
    for _ in range(3):
        wire = wires(server, 0).join("alice")
        wire.send(frames.Bye("left"))
        wire.ended()
    again = wires(server, 0)
    again.greet()
    again.prove("alice")
    assert again.refusal().code == "address_limited"
    assert again.ended() == []
    bob = wires(server, 1).join("bob")
    bob.cut()  # coming back is no join
    back = wires(server, 1).join("bob", "default", bob.resume_point(1))
    assert back.entered is not None and back.entered.resumed


def test_what_was_not_the_senders_fault_is_not_counted(serve: Serve, wires: Wires) -> None:
    """Stale, gone, too long: refused, and the window is as it was."""
    server = serve(max_messages_per_window=2, max_message_size=64)
    alice, bob, change = pair(server, wires)
    bob.send(frames.Bye("left"))
    alice.entries(3)
    for ref in range(1, 10, 3):
        alice.send(frames.Private(ref, alice.at, change, wrap(bob.id), box()))
        alice.send(frames.Post(ref + 1, alice.at, 0, box()))
        alice.send(frames.Post(ref + 2, alice.at, change, box(b"g" * 10_000)))
        codes = [alice.find(frames.Refused).code for _ in range(3)]
        assert codes == ["gone", "stale", "too_long"]
    for ref in (20, 21):
        alice.send(frames.Post(ref, alice.at, change, box()))
        assert alice.find(frames.Accepted).ref == ref
    assert server._services.posts.shares._addresses["127.0.0.1"].used.total() == 2


def test_too_long(serve: Serve, wires: Wires) -> None:
    """By the size that a text of the limit is sealed into; the limit is named."""
    server = serve(max_message_size=1000)
    most = server._services.policy.max_box_size
    alice, bob, change = pair(server, wires)
    alice.post(change, b"g" * (most + 1))
    assert alice.find(frames.Refused) == frames.Refused("too_long", 1, None, 1000)
    alice.send(frames.Private(2, alice.at, change, wrap(bob.id), box(b"g" * (most + 1))))
    assert alice.find(frames.Refused) == frames.Refused("too_long", 2, None, 1000)
    alice.send(frames.Post(3, alice.at, change, box(b"g" * most)))
    assert alice.find(frames.Accepted).ref == 3


@pytest.mark.parametrize("size", [1000, 10_240, 65_536])
def test_what_one_may_send_the_others_have_room_for(
    serve: Serve, wires: Wires, size: int
) -> None:
    """Also where a record may be no larger than the largest text needs."""
    most = max(64 * 1024, record_size(size))
    server = serve(max_message_size=size, max_payload_size=most)
    alice, bob, change = pair(server, wires)
    bob.peer.allow(most)  # as a client does
    data = b"g" * server._services.policy.max_box_size
    alice.post(change, data)
    assert alice.find(frames.Accepted).ref == 1
    (posted,) = bob.entries(change + 1)
    assert isinstance(posted, frames.Posted) and posted.box.data == data
    alice.send(frames.Private(2, alice.at, change, wrap(bob.id), box(data)))
    assert bob.find(frames.PrivateFor).box.data == data


def test_a_flood_of_keys(serve: Serve, wires: Wires) -> None:
    """Keys alone reach nobody, and a post too many brings none; that is no offence."""
    server = serve(max_messages_per_window=5)
    alice, bob, change = pair(server, wires)
    for epoch in range(1, 100):
        alice.send(frames.Keys(alice.at, (wrap(bob.id, epoch),)))
    for epoch in range(100, 110):
        alice.send(frames.Keys(alice.at, (wrap(bob.id, epoch),)))
        alice.post(change, epoch=epoch)
    refused = [alice.find(frames.Refused) for _ in range(5)]
    assert [each.code for each in refused] == ["rate_limited"] * 5
    assert [each.ref for each in refused] == [6, 7, 8, 9, 10]
    assert all(each.retry_after for each in refused)
    bob.entries(change + 5)
    got = [frame for frame in bob.waiting if isinstance(frame, frames.KeyFor)]
    assert [key.wrap.epoch for key in got] == list(range(100, 105))
    alice.send(frames.ListRooms(11))
    assert alice.find(frames.RoomLines).ref == 11


def test_whoever_seals_anew_is_not_struck_out(server: ChatServer, wires: Wires) -> None:
    """However often the room changed meanwhile: each sealing has keys of its own."""
    alice, bob, change = pair(server, wires)
    for number in range(protocol_limits.CHANGES_BEHIND + 2):
        bob.send(frames.Nick(number + 1, bob.at, f"bob-{number}"))
    while isinstance(bob.find(frames.Accepted), frames.Accepted):
        behind = server._services.rooms.find("default")._changes[-1] - change  # type: ignore[union-attr]
        if behind > protocol_limits.CHANGES_BEHIND:
            break
    for epoch in range(1, 100):
        alice.send(frames.Keys(alice.at, (wrap(bob.id, epoch),)))
        alice.post(change, epoch=epoch)
        assert alice.find(frames.Refused) == frames.Refused("stale", epoch)
    assert not [frame for frame in bob.waiting if isinstance(frame, frames.KeyFor)]


def test_keys_of_the_past_are_passed_over(server: ChatServer, wires: Wires) -> None:
    """They come again after a lost connection; that is no offence."""
    alice, bob, change = pair(server, wires)
    at = alice.at
    alice.send(frames.Keys(at, (wrap(bob.id, 2),)), frames.Keys(at, (wrap(bob.id, 1),)))
    alice.send(*[frames.Keys(at, wraps) for wraps in ((wrap(bob.id, 1),), (), (wrap(99, 2),))])
    alice.post(change, epoch=2)
    assert isinstance(alice.find(frames.Accepted), frames.Accepted)
    kinds = [type(bob.next()) for _ in range(2)]
    assert kinds == [frames.KeyFor, frames.Log]


# Rooms


def test_changing_rooms(server: ChatServer, wires: Wires) -> None:
    """`entered` with the roster there; both rooms see it, and posts go to the new one."""
    alice, bob, change = pair(server, wires)
    carol = wires(server, 2).join("carol", "other")
    alice.send(frames.Enter(1, "OTHER", alice.at), frames.Post(2, carol.at, 2, box()))
    entered = alice.arrive()
    assert entered.room == "other" and entered.ref == 1 and set(alice.roster) == {"alice", "carol"}
    assert alice.find(frames.Accepted) == frames.Accepted(1)
    assert alice.find(frames.Accepted) == frames.Accepted(2, 3)
    assert bob.entries(3) == [frames.Left(3, 1)]
    joined, posted = carol.entries(3)
    assert isinstance(joined, frames.Joined) and joined.member.nick == "alice"
    assert isinstance(posted, frames.Posted) and posted.sender == alice.id
    bob.post(change + 1)
    bob.find(frames.Accepted)
    alice.send(frames.Post(3, alice.at, 2, box()))
    assert alice.entries(4) == [frames.OwnPosted(3, 2), frames.OwnPosted(4, 3)]


def test_the_answer_to_a_change_of_rooms_does_not_wait(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the new room's round was over before there was one, with a post left behind."""
    handle, went_out = Requests._handle, threading.Event()

    def slow(self: Requests, frame: frames.Frame) -> Any:
        answer = handle(self, frame)
        if isinstance(frame, frames.Enter):
            assert went_out.wait(LONG)
        return answer

    monkeypatch.setattr(Requests, "_handle", slow)
    alice = wires(server, 0).join("alice")
    alice.send(frames.Post(1, alice.at, 1, box()), frames.Enter(2, "other", alice.at))
    assert alice.next() == frames.Accepted(1, 2)
    assert alice.arrive().ref == 2
    went_out.set()
    assert alice.next() == frames.Accepted(2)


def test_entering_the_room_that_one_is_in(server: ChatServer, wires: Wires) -> None:
    """Changes nothing."""
    alice, bob, change = pair(server, wires)
    alice.send(frames.Enter(1, "DEFAULT"))
    assert alice.next() == frames.Accepted(1)
    alice.send(frames.Post(2, alice.at, change, box()))
    assert [type(entry) for entry in bob.entries(3)] == [frames.Posted]


def test_rooms_that_cannot_be_entered(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays where it is."""
    alice, bob, change = pair(server, wires)
    monkeypatch.setattr(protocol_limits, "ROOM_MEMBERS", 1)
    wires(server, 2).join("carol", "full")
    monkeypatch.setattr(server._services.rooms, "_most", 2)
    for ref, room in enumerate(("a b", "full", "third"), 1):
        alice.send(frames.Enter(ref, room))
    codes = [alice.expect(frames.Refused).code for _ in range(3)]
    assert codes == ["bad_room", "room_full", "server_full"]
    alice.send(frames.Post(9, alice.at, change, box()))
    assert [type(entry) for entry in bob.entries(3)] == [frames.Posted]


def test_the_rooms_that_there_are(server: ChatServer, wires: Wires) -> None:
    """By name, with their members; one that became empty is gone."""
    alice, bob, _ = pair(server, wires)
    wires(server, 2).join("carol", "Attic")
    bob.send(frames.Enter(1, "cellar", bob.at))
    assert bob.find(frames.Entered).room == "cellar"
    bob.find(frames.Accepted)
    bob.send(frames.Enter(2, "Default", 3))
    bob.find(frames.Accepted)
    alice.send(frames.ListRooms(1))
    lines = frames.RoomLine("Attic", 1), frames.RoomLine("default", 2)
    assert alice.find(frames.RoomLines) == frames.RoomLines(1, lines, 2)


def test_a_long_list_of_rooms_is_cut(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fits a record, whatever the rooms are called."""
    names = [frames.RoomLine("\U00020000" * 64, 1)] * 2000
    monkeypatch.setattr(server._services.rooms, "listing", lambda most: names[:most])
    monkeypatch.setattr(server._services.rooms, "count", lambda: len(names))
    wire = wires(server, 0).join("alice")
    wire.send(frames.ListRooms(1))
    text = wire.message()
    assert len(text) <= protocol_limits.RECORD_BYTES
    wire._open(text)
    listed = wire.find(frames.RoomLines)
    assert listed.of == 2000 and 100 < len(listed.rooms) < 200
    names[:] = [frames.RoomLine("x", 1)] * 600
    wire.send(frames.ListRooms(2))
    assert len(wire.find(frames.RoomLines).rooms) == limits.ROOMS_LISTED


def test_renaming(server: ChatServer, wires: Wires) -> None:
    """Everyone sees it, oneself too; a taken or bad one is refused."""
    alice, bob, _ = pair(server, wires)
    alice.send(frames.Nick(1, alice.at, "alicia"))
    assert alice.find(frames.Accepted) == frames.Accepted(1, 3)
    assert alice.entries(3) == [frames.Renamed(3, alice.id, "alicia")]
    assert bob.entries(3) == [frames.Renamed(3, alice.id, "alicia")]
    wanted = ("BOB", "a b", "alicia")
    alice.send(*[frames.Nick(ref, alice.at, nick) for ref, nick in enumerate(wanted, 2)])
    assert alice.expect(frames.Refused) == frames.Refused("nick_taken", 2)
    assert alice.expect(frames.Refused) == frames.Refused("bad_nick", 3)
    assert alice.expect(frames.Accepted) == frames.Accepted(4)
    carol = wires(server, 2).join("alice")
    assert set(carol.roster) == {"alice", "alicia", "bob"}


def test_private_posts(server: ChatServer, wires: Wires) -> None:
    """Reach one, with the wrap; the others see nothing, not even a gap."""
    alice, bob, _ = pair(server, wires)
    carol = wires(server, 2).join("carol")
    alice.send(frames.Private(1, alice.at, 3, wrap(bob.id, 7, 3), box(b"gAAAAsecret")))
    assert alice.find(frames.Accepted) == frames.Accepted(1)
    told = bob.find(frames.PrivateFor)
    expected = frames.PrivateFor(alice.at, 1, alice.id, 3, wrap(bob.id, 7, 3), box(b"gAAAAsecret"))
    assert told == expected
    alice.send(frames.Post(2, alice.at, 3, box()))
    log = carol.next()
    assert isinstance(log, frames.Log) and [type(each) for each in log.entries] == [frames.Posted]
    assert log.to == 4


def test_people_who_come_one_after_another(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is told of, also where nothing else happens; and what they say brings it at once."""
    alice = wires(server, 0).join("alice")
    others = [wires(server, number).join(f"user{number}") for number in range(1, 4)]
    assert [type(each) for each in alice.entries(4)] == [frames.Joined] * 3
    monkeypatch.setattr(limits, "JOINS_SHARE_SECONDS", 2 * LONG)
    monkeypatch.setattr(server._services.expiry, "_jobs", [])  # what was put off stays so
    dave = wires(server, 4).join("dave")
    dave.send(frames.Private(1, dave.at, 5, wrap(alice.id, 7, 3), box(b"gAAAAsecret")))
    assert [type(each) for each in alice.entries(5)] == [frames.Joined]
    assert alice.find(frames.PrivateFor).sender == dave.id
    erin = wires(server, 5).join("erin")
    erin.send(frames.Post(1, erin.at, 6, box()))
    for each in (alice, *others[1:], dave):
        kinds = [type(entry) for entry in each.entries(7)]
        assert kinds[-2:] == [frames.Joined, frames.Posted]


def test_a_private_post_to_one_who_left(server: ChatServer, wires: Wires) -> None:
    """Is handed back, also when the nickname is somebody else's now."""
    alice, bob, change = pair(server, wires)
    bob.send(frames.Bye("left"))
    bob.ended()
    until(room_is(server, 1))
    wires(server, 2).join("bob")
    alice.entries(4)
    for ref, to in ((1, bob.id), (2, alice.id)):
        alice.send(frames.Private(ref, alice.at, 4, wrap(to), box()))
    assert alice.expect(frames.Refused) == frames.Refused("gone", 1)
    assert alice.expect(frames.Refused) == frames.Refused("gone", 2)


# Heartbeat


def test_heartbeats_keep_a_connection(serve: Serve, wires: Wires) -> None:
    """Each side's; for longer than the silence that would end it."""
    server = serve(heartbeat_interval=0.05, heartbeat_timeout=1.0)
    wire = wires(server, 0).join("alice")
    began = time.monotonic()
    while time.monotonic() < began + 1.2:
        assert wire.find(frames.Taken).ref == 0
        wire.send(wire.seen(1))
    wire.post(1)
    assert wire.find(frames.Accepted).seq == 2


def test_the_first_heartbeat_does_not_wait_for_a_whole_interval(
    serve: Serve, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or those who have come in together would beat together."""
    monkeypatch.setattr(secrets, "randbelow", lambda most: 0)
    server = serve(heartbeat_interval=3600.0, heartbeat_timeout=7200.0)
    assert wires(server, 0).join("alice").find(frames.Taken) == frames.Taken(0)


def test_a_heartbeat_that_asks_is_answered_at_once_and_once_a_record(
    serve: Serve, wires: Wires
) -> None:
    """However many frames of it ask: nobody makes the server write more than it reads."""
    wire = wires(serve(heartbeat_interval=3600.0, heartbeat_timeout=7200.0), 0).join("alice")
    wire.send(wire.seen(1), wire.seen(1, answer=True), wire.seen(1, answer=True))
    assert wire.find(frames.Taken) == frames.Taken(0)
    wire.post(1)
    wire.send(wire.seen(1, answer=False))
    wire.send(wire.seen(1, answer=True))
    assert wire.find(frames.Taken) == frames.Taken(1)
    assert not any(isinstance(frame, frames.Taken) for frame in wire.waiting)


def test_heartbeats_that_are_late_keep_their_time() -> None:
    """Those that were late together are not together the next time."""
    assert next_beat(100.0, 100.0, 30.0) == 130.0
    assert next_beat(100.0, 100.25, 30.0) == 130.0
    assert next_beat(100.0, 130.5, 30.0) == 160.5  # so late that the next one is over as well
    assert next_beat(100.0, 95.0, 30.0) == 125.0  # early, since much had come


def test_silence_ends_a_connection(serve: Serve, wires: Wires) -> None:
    """With a reason; afterwards the grace, then it is gone."""
    server = serve(heartbeat_interval=0.05, heartbeat_timeout=0.2)
    wire = wires(server, 0).join("alice")
    ended = wire.ended()
    assert ended[-1] == frames.Refused("timed_out")
    assert ended[0] == frames.Taken(0) and len(ended) >= 2
    until(lambda: held(server._services.sessions) == 0 and held(server._services.rooms) == 0)


def test_pings_are_no_sign_of_life(serve: Serve, wires: Wires) -> None:
    """Anybody in between could send them."""
    server = serve(heartbeat_interval=0.05, heartbeat_timeout=0.2)
    wire = wires(server, 0).join("alice")
    stop = threading.Event()

    def ping() -> None:
        while not stop.wait(0.02):
            try:
                wire.peer._library.ping()  # type: ignore[attr-defined]
            except Exception:
                return

    thread = threading.Thread(target=ping)
    thread.start()
    ended = wire.ended()
    stop.set()
    thread.join()
    assert ended[-1] == frames.Refused("timed_out")


def test_much_that_was_received_is_confirmed_early(server: ChatServer, wires: Wires) -> None:
    """Not only after the interval."""
    wire = wires(server, 0).join("alice")
    data = b"g" * 10_000
    enough = protocol_limits.SEEN_BYTES // len(data)
    for _ in range(enough):
        wire.post(1, data)
    assert wire.find(frames.Taken).ref >= enough // 2


# Readers that do not read


def narrow(stream: Stream) -> None:
    """A socket that holds little."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)


@pytest.fixture
def narrow_server(serve: Serve) -> Callable[..., ChatServer]:
    """A server whose sockets hold little."""

    def make(**changes: Any) -> ChatServer:
        server = serve(**changes)
        server._listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return server

    return make


def test_a_frozen_reader_is_cut_and_costs_nobody_anything(
    narrow_server: Callable[..., ChatServer], wires: Wires
) -> None:
    """The others go on; when its deadline is over it is cut, and after the grace it has left."""
    server = narrow_server(heartbeat_interval=0.2, heartbeat_timeout=1.0,
                           max_messages_per_window=1_000_000)  # fmt: skip
    frozen = wires(server, 0, opened=narrow).join("frozen")
    bob = wires(server, 1).join("bob")
    carol = wires(server, 2).join("carol")
    session = server._services.sessions.find(frozen.identity.fingerprint)
    assert session is not None
    change, left, taken = 3, False, 0
    while not left:
        bob.post(change, b"g" * 8000)
        taken += 1
        accepted = bob.find(frames.Accepted)
        assert accepted.ref == taken
        while True:
            log = carol.find(frames.Log)
            left = left or any(entry == frames.Left(entry.seq, frozen.id)  # type: ignore[attr-defined]
                               for entry in log.entries)  # fmt: skip
            if log.to >= (accepted.seq or 0):
                break
        carol.send(carol.seen(log.to))
        queue = session.queue
        assert queue is None or queue._websocket.backlog < 200_000
    assert session.over


def test_a_reader_that_thaws_is_told_what_it_missed(
    narrow_server: Callable[..., ChatServer], wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fell off the log's end: a roster, a number, and the rest in order."""
    monkeypatch.setattr(protocol_limits, "LOG_ENTRIES", 20)
    server = narrow_server(max_messages_per_window=1_000_000)
    frozen = wires(server, 0, opened=narrow).join("frozen")
    bob = wires(server, 1).join("bob")
    for _ in range(120):
        bob.post(2, b"g" * 8000)
        bob.find(frames.Accepted)
    seq = 1
    came_back: list[frames.Rejoined] = []
    while seq < 122 + len(came_back):
        frame = frozen.next()
        if isinstance(frame, frames.Log):
            numbers = [entry.seq for entry in frame.entries]  # type: ignore[attr-defined]
            wanted = range(seq + 1, frame.to + 1)
            assert numbers == ([] if came_back else list(wanted))  # those were sealed before
            seq = frame.to
        elif isinstance(frame, frames.Entered):
            assert not frame.resumed and frame.id == frozen.id
            assert frame.missed == frame.seq - 1 - seq > 0
            seq = frame.seq
            came_back.append(frames.Rejoined(seq, frozen.id))
            roster = frozen.expect(frames.Roster).members
            assert {line.nick: line.joined for line in roster} == {"frozen": seq, "bob": 2}
    assert came_back
    seen = bob.entries(seq)
    assert [entry for entry in seen if isinstance(entry, frames.Rejoined)] == came_back
    bob.post(came_back[-1].seq)
    (posted,) = frozen.entries(seq + 1)
    assert isinstance(posted, frames.Posted)


class Slow(StubWebSocket):
    """A peer under a script: its socket is full after each record, until it is flushed."""

    def __init__(self, link: ClientLink, script: Callable[[Slow], Iterator[str | bytes]]) -> None:
        self.link = link
        self.sent: list[str | bytes] = []
        self.opened: list[Any] = []
        self.flushes = 0
        self.on_flush: Callable[[], None] = lambda: None
        self.on_send: Callable[[], None] = lambda: None
        self.slow = False
        self._woken = False
        self._script = script(self)

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """None if woken, else the script's next message."""
        if self._woken:
            self._woken = False
            return None
        try:
            return next(self._script)
        except StopIteration:
            raise Closed() from None

    def send(self, data: str | bytes) -> None:
        """Take it, and be full."""
        self.sent.append(data)
        if self.slow:
            self.opened += self.link.open(data)
            self.backlog = len(data)
            self.on_send()

    def kinds(self) -> list[str]:
        """The types of all frames that came."""
        return [frame["type"] for frame in self.opened]

    def wake(self) -> None:
        """As a WebSocket."""
        self._woken = True

    def flush(self, deadline: float) -> None:
        """The network takes all, and meanwhile something happens."""
        self.flushes += 1
        if self.flushes > 50:
            raise Closed()
        self.backlog = 0
        self.on_flush()

    def drop(self, size: int, deadline: float) -> bool:
        """It has gone."""
        return False


def place(server: ChatServer, wire: Wire) -> tuple[Any, Any]:
    """Its room, and its member there."""
    session = server._services.sessions.find(wire.identity.fingerprint)
    assert session is not None
    (member,) = session.members.values()
    return member.room, member


def serve_alone(services: Services, peer: Slow) -> None:
    """The whole life of a connection, in this thread."""
    permit = Permit("g")
    permit.authenticated = True
    connection = ServerConnection(services, None, permit)  # type: ignore[arg-type]  # not used
    connection.upgrade(peer)
    with services.accept_slot:
        ServerHandshake(services, connection).run()
    connection.run()


def slow_member(
    server: ChatServer,
    pool: IdentityPool,
    prs: bytes,
    said: Callable[[ClientLink], Iterator[bytes]],
) -> Slow:
    """A client that joins, becomes slow, and says ``said``."""
    link = ClientLink(pool[0], Credentials(prs), pool.keys)

    def script(peer: Slow) -> Iterator[str | bytes]:
        yield link.receive_greeting(peer.sent.pop(0))
        confirm = link.receive_key(peer.sent.pop(0), "slow", [frames.Stay("default")])
        peer.slow = True
        yield confirm
        yield from said(link)

    return Slow(link, script)


def test_who_reads_more_slowly_than_the_room_talks_is_heard(
    server: ChatServer, wires: Wires, pool: IdentityPool, prs: bytes
) -> None:
    """Its socket is full whenever one looks: what it says is handled all the same."""
    room, member = place(server, wires(server, 1).join("bob"))

    def said(link: ClientLink) -> Iterator[bytes]:
        yield link.seal([frames.Post(1, 1, 2, box()).encode()])
        yield link.seal([frames.Bye("left").encode()])

    peer = slow_member(server, pool, prs, said)

    def talk() -> None:
        if "accepted" not in peer.kinds():
            room.post(member, frames.Post(1, 1, 2, box()))

    peer.on_flush = talk
    serve_alone(server._services, peer)
    assert "accepted" in peer.kinds()
    assert peer.flushes < 20


def test_a_long_wait_for_the_socket_is_no_silence(
    server: ChatServer, pool: IdentityPool, prs: bytes
) -> None:
    """What it said meanwhile lies there unread: it must not be cut for saying nothing."""
    clock = Clock()
    services = server._services
    services.clock = clock

    def said(link: ClientLink) -> Iterator[bytes]:
        yield link.seal([frames.Post(1, 1, 1, box()).encode()])
        yield link.seal([frames.Bye("left").encode()])

    peer = slow_member(server, pool, prs, said)

    def wait() -> None:
        if peer.flushes <= 2:
            clock.now += 0.9 * services.policy.heartbeat_timeout
            peer.wake()

    peer.on_flush = wait
    serve_alone(services, peer)
    assert "accepted" in peer.kinds() and "refused" not in peer.kinds()


def test_answers_do_not_pile_up(
    server: ChatServer, pool: IdentityPool, prs: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that asks and does not read is not listened to before it has read."""
    longest = [0]
    reply = SendQueue.reply

    def said(link: ClientLink) -> Iterator[bytes]:
        request = frames.ListRooms(0).encode()
        for _ in range(10):
            yield link.seal([request] * protocol_limits.FRAMES_IN_RECORD)

    peer = slow_member(server, pool, prs, said)

    def counted(self: SendQueue, *encoded: bytes) -> None:
        reply(self, *encoded)
        longest[0] = max(longest[0], len(self._replies))

    monkeypatch.setattr(SendQueue, "reply", counted)
    serve_alone(server._services, peer)
    # The broadcaster may have taken some of them meanwhile.
    most = protocol_limits.FRAMES_IN_RECORD
    assert most // 2 <= longest[0] <= most + 10


def test_nothing_comes_after_the_goodbye(
    server: ChatServer, wires: Wires, pool: IdentityPool, prs: bytes
) -> None:
    """Whatever is posted while it is being said."""
    room, member = place(server, wires(server, 1).join("bob"))
    peer = slow_member(server, pool, prs, lambda link: iter([link.seal([b"1", b"2", b"3"])]))

    def talk() -> None:
        if "bye" in peer.kinds():
            room.post(member, frames.Post(1, 1, 2, box()))

    peer.on_send = talk
    serve_alone(server._services, peer)
    assert peer.kinds()[-1] == "bye"


# Stopping


def test_stopping_tells_everyone(server: ChatServer, wires: Wires) -> None:
    """What was accepted arrives, then `bye`; also for one whose connection is just being made."""
    alice, bob, change = pair(server, wires)
    shaking = wires(server, 2)
    shaking.greet()
    with Raw(server.port) as silent:
        until(lambda: server._services.connection_limits._open == 4)
        bob.post(change)
        bob.find(frames.Accepted)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        for wire in (alice, bob):
            ended = wire.ended()
            entries = [entry for log in ended if isinstance(log, frames.Log)
                       for entry in log.entries]  # fmt: skip
            assert 3 in [entry.seq for entry in entries]  # type: ignore[attr-defined]
            assert ended[-1] == frames.Bye("shutdown")
        shaking.message()
        assert shaking.ended() == []
        assert silent.ended()
        stopping.join(LONG)
        assert not stopping.is_alive()
    with pytest.raises(OSError):
        Raw(server.port)


def test_stopping_does_not_wait_for_the_frozen(
    narrow_server: Callable[..., ChatServer], wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are cut when the polite time is over."""
    monkeypatch.setattr(limits, "STOP_POLITE_SECONDS", 0.2)
    server = narrow_server(max_messages_per_window=1_000_000)
    wires(server, 0, opened=narrow).join("frozen")
    bob = wires(server, 1).join("bob")
    for _ in range(60):
        bob.post(2, b"g" * 8000)
        bob.find(frames.Accepted)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    assert bob.ended()[-1] == frames.Bye("shutdown")
    stopping.join(LONG)
    assert not stopping.is_alive()
    assert server._services.connection_limits._open == 0


def test_nothing_is_left_of_many_visits(server: ChatServer, wires: Wires) -> None:
    """No session, room, place, address or thread."""
    before = threads()
    for number in range(12):
        wire = wires(server, number % 3).join(f"n{number % 3}", f"room-{number % 2}")
        wire.post(wire.entered.seq)  # type: ignore[union-attr]
        wire.send(frames.Bye("left"))
        wire.ended()
        wire.cut()
    assert server._services.connection_limits.wait_empty(LONG)
    parts = server._services
    assert held(parts.sessions) == held(parts.rooms) == held(parts.throttle) == 0
    assert not server._connections and not server._services.connection_limits._members_of
    # Acceptors are kept.
    until(lambda: threads() <= before + limits.ACCEPTORS)
