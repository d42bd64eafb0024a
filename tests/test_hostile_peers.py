"""Peers that are not ours, guesses that must all look alike, and bugs that must tell nothing."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import statistics
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from protocol import frames
from protocol.link import ClientLink, Credentials
from server import limits
from server.app import ChatServer
from server.broadcast import SendQueue
from server.handshake import ServerHandshake
from server.http import Handler
from server.requests import Requests
from server.rooms import Room
from server.throttle import Rate, Rates
from tests.conftest import IdentityPool
from tests.fuzzing import SOAK
from tests.held import held
from tests.machine import needs
from tests.processes import ROOT, Client, Program, Server, environment
from tests.test_http_face import FORM, Answer, ask, form, mint, request, revoke
from tests.test_rate_limits import Clock
from tests.test_server_connection import until
from tests.wire import LONG, PASSWORD, UPGRADE, Wire, token_credentials

SECRET = "zebra-4711 /home/someone"  # in the bug, and nowhere else


# Other programs


@pytest.fixture
def stranger(server: ChatServer) -> Iterator[Callable[[], ClientConnection]]:
    """Connects with the ``websockets`` package, which is not the one that we are made with."""
    with contextlib.ExitStack() as stack:

        def make() -> ClientConnection:
            peer = connect(
                f"ws://127.0.0.1:{server.port}/", open_timeout=LONG, close_timeout=0.2, proxy=None
            )
            return stack.enter_context(peer)

        yield make


def rest(peer: ClientConnection) -> list[str | bytes]:
    """All that comes up to the end."""
    found = []
    try:
        while True:
            found.append(peer.recv(timeout=LONG))
    except ConnectionClosed:
        return found


def test_another_websocket_comes_in(
    server: ChatServer, stranger: Callable[[], ClientConnection], pool: IdentityPool, prs: bytes
) -> None:
    """It offers compression, which is not taken; the whole handshake, and a word after it."""
    peer = stranger()
    assert peer.response is not None
    assert "Sec-WebSocket-Extensions" not in peer.response.headers
    link = ClientLink(pool[0], Credentials(prs), pool.keys)
    peer.send(link.receive_greeting(peer.recv(timeout=LONG)))
    peer.send(link.receive_key(peer.recv(timeout=LONG), "alice", [frames.Stay("default")]))
    said = link.open(peer.recv(timeout=LONG))
    assert [frame["type"] for frame in said] == ["welcome", "entered", "roster"]
    peer.send(link.seal([frames.ListRooms(1).encode(), frames.Bye("left").encode()]))
    told = [frame["type"] for record in rest(peer) for frame in link.open(record)]
    assert "rooms" in told
    until(lambda: held(server._services.sessions) == 0)


JUNK: dict[str, str | bytes] = {
    "text": "hello", "JSON": "{}", "binary": b"\x00\xff", "nothing": "", "deep": "[" * 9000,
    "large": "x" * 60_000, "too large for a stranger": "x" * (limits.STRANGER_BYTES + 1),
    "a proof": b"\x80" + bytes(300), "its spelling": "gAAAAA" + "A" * 300,
    "another frame": '{"type":"bye"}',
}  # fmt: skip


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_another_websocket_talks_nonsense(
    server: ChatServer, stranger: Callable[[], ClientConnection], junk: str | bytes
) -> None:
    """Before it has read the greeting or after: refused in a word, and let go."""
    for reads in (True, False):
        peer = stranger()
        if reads:
            peer.recv(timeout=LONG)
        peer.send(junk)
        for text in rest(peer)[0 if reads else 1 :]:
            refused = json.loads(text)
            assert refused.pop("limit", 16384) == 16384
            assert set(refused) == {"type", "code"} and refused["type"] == "refused"
    assert server._services.connection_limits.wait_empty(LONG)


def test_another_websocket_stops_half_way(
    server: ChatServer,
    stranger: Callable[[], ClientConnection],
    pool: IdentityPool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After the greeting, after hello, after the key; pinging all the time, and closing."""
    monkeypatch.setattr(limits, "HANDSHAKE_SECONDS", 0.3)
    for steps in range(3):
        peer = stranger()
        link = ClientLink(pool[0], Credentials(bytes(32)), pool.keys)
        greeting = str(peer.recv(timeout=LONG))
        if steps:
            peer.send(link.receive_greeting(greeting))
        if steps > 1:
            peer.recv(timeout=LONG)
        with contextlib.suppress(ConnectionClosed):  # on a busy machine its time is over by then
            for _ in range(10):
                peer.ping()
        texts = rest(peer)
        assert json.loads(texts[-1]) == {"type": "refused", "code": "timed_out"}
    stranger().close()
    assert server._services.connection_limits.wait_empty(LONG)


TRIES = (
    ("GET", "/", b"", 200), ("GET", "/health", b"", 200), ("GET", "/x", b"", 404),
    ("PUT", "/", b"x", 405), ("POST", "/generate_token", b"x", 400),
    ("POST", "/generate_token", b"x" * 9000, 413),
    ("POST", "/revoke_token", b"admin_password=guess&token=x", 401),
)  # fmt: skip


def test_what_people_have_at_hand(server: ChatServer) -> None:
    """Python's own client: pages, forms, and things that are none."""
    for method, path, body, status in TRIES:
        plain = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LONG)
        with contextlib.closing(plain):
            plain.request(method, path, body or None, {"Content-Type": FORM})
            answer = plain.getresponse()
            answer.read()
            assert (answer.status, answer.getheader("Server")) == (status, None)


@needs("curl", beside="test_what_people_have_at_hand")
def test_curl(server: ChatServer) -> None:
    for method, path, body, status in TRIES[:2] + TRIES[4:5]:
        given = ["--data-binary", "@-"] if body else []
        words = ["curl", "-sS", "--noproxy", "*", "-X", method, *given, "-w", "%{http_code}",
                 "-o", os.devnull, f"http://127.0.0.1:{server.port}{path}"]  # fmt: skip
        done = subprocess.run(
            words, input=body, capture_output=True, env=environment(), timeout=LONG, check=True
        )
        assert done.stdout == str(status).encode()


# Pages in a browser


@pytest.mark.parametrize("origin", ["http://127.0.0.1", "https://evil.example", "null", ""])
@pytest.mark.parametrize("path", ["/generate_token", "/revoke_token"])
def test_a_page_cannot_try_passwords(server: ChatServer, origin: str, path: str) -> None:
    """Whatever page it is: the right password is not looked at, and no guess is counted."""
    fields = {"admin_password": PASSWORD, "username": "alice", "token": "x"}
    raw = form(path, fields)
    assert ask(server.port, raw).status == 200
    named = raw.replace(b"Host: x", b"Host: x\r\nOrigin: " + origin.encode())
    answer = ask(server.port, named)
    assert (answer.status, answer.code) == (403, "insecure")
    assert not any(map(held, server._face.guesses))


@pytest.mark.parametrize("origin", ["http://127.0.0.1", "https://evil.example", "null", ""])
def test_a_page_cannot_come_in(server: ChatServer, origin: str) -> None:
    """No page is ours, and browsers hold none back from opening a WebSocket to another host."""
    raw = UPGRADE.replace(b"Host: x", b"Host: x\r\nOrigin: " + origin.encode())
    assert raw != UPGRADE
    answer = ask(server.port, raw)
    assert (answer.status, answer.code) == (403, "insecure")


# Who has proven nothing


Guess = Callable[[], dict[str, Any]]


@pytest.fixture
def guesses(serve: Callable[..., ChatServer], prs: bytes) -> tuple[ChatServer, dict[str, Any]]:
    """A server with somebody in it, and ways to fail at it: what is proven, and the nickname."""
    server = serve()
    tokens = {name: str(mint(server, name).json["token"]) for name in ("live", "gone", "past")}
    revoke(server, tokens["gone"])
    known = server._services.tokens._tokens
    past = known[tokens["past"].partition(".")[0]]
    known[past.id] = type(past)(past.id, past.nick, 0.0, past.prs)
    wrong_secret = tokens["live"].partition(".")[0] + "." + "A" * 43
    return server, {
        "a wrong password": (Credentials(bytes(32)), "mallory"),
        "a wrong password and a taken nickname": (Credentials(bytes(32)), "taken"),
        "an unknown token": (token_credentials("A" * 16 + "." + "B" * 43), ""),
        "a live token's id": (token_credentials(wrong_secret), ""),
        "a live token's id and its nickname": (token_credentials(wrong_secret), "live"),
        "a revoked token": (token_credentials(tokens["gone"]), ""),
        "an expired token": (token_credentials(tokens["past"]), ""),
        "a token as a password": (Credentials(prs, "A" * 16), "taken"),
    }


def tell(wire: Wire, nick: str, times: list[float]) -> list[Any]:
    """All that the server says to it, without what is random: types, keys, lengths, the rest."""
    shapes: list[Any] = []

    def heard() -> str | bytes:
        text = wire.message()
        fields = json.loads(text)
        shapes.append((len(text), [(key, value if key in ("type", "code", "version")
                                    else len(str(value))) for key, value in fields.items()]))
        return text  # fmt: skip

    hello = wire.link.receive_greeting(heard())
    times.append(time.perf_counter())
    wire.peer.send(hello)
    key = heard()
    times.append(time.perf_counter())
    confirm = wire.link.receive_key(key, nick, [frames.Stay("default")])
    times.append(time.perf_counter())
    wire.peer.send(confirm)
    heard()
    times.append(time.perf_counter())
    shapes.append(wire.ended())
    return shapes


def test_failures_cannot_be_told_apart(
    guesses: tuple[ChatServer, dict[str, Any]],
    wires: Callable[..., Wire],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Wrong, unknown, revoked, expired, taken: one transcript, and the same steps behind it."""
    server, ways = guesses
    monkeypatch.setattr(server._services.throttle, "hold", lambda _group: 0.0)
    plenty = Rates(Rate(1e6, 1e6), Rate(1e6, 1e6))
    monkeypatch.setattr(server._services.throttle.guesses.buckets, "rates", plenty)
    wires(server, 5).join("taken")
    told, steps = {}, {}
    budget = server._services.throttle.guesses.buckets
    monkeypatch.setattr(budget, "_clock", Clock())
    for name, (credentials, nick) in ways.items():
        wire = wires(server, 0)
        wire.link._credentials = credentials
        before = budget.spare("127.0.0.1")
        told[name] = tell(wire, nick, [])
        steps[name] = before - budget.spare("127.0.0.1")
    first = told["a wrong password"]
    assert [shape[1][0] for shape in first[:3]] == [
        ("type", "greeting"), ("type", "key"), ("type", "refused"),
    ]  # fmt: skip
    assert first[2][1] == [("type", "refused"), ("code", "auth_failed")] and first[3] == []
    for name, shapes in told.items():
        assert shapes == first, name
        # A token's secret has 256 bits: only what can be guessed is counted.
        assert steps[name] == (0.0 if "a live token" in name else 1.0), name


@pytest.mark.timeout(0 if SOAK else 60)
@pytest.mark.soak
def test_how_long_failures_take(
    guesses: tuple[ChatServer, dict[str, Any]],
    wires: Callable[..., Wire],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From hello to key and from confirm to refusal, interleaved; a soak prints it.

    Median, and the range of nine in ten.  No time is asserted, only that each way was refused.
    """
    server, ways = guesses
    monkeypatch.setattr(server._services.throttle, "hold", lambda _group: 0.0)
    plenty = Rates(Rate(1e6, 1e6), Rate(1e6, 1e6))
    monkeypatch.setattr(server._services.throttle.guesses.buckets, "rates", plenty)
    wires(server, 5).join("taken")
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    chance = random.Random(1)
    for _ in range(min(SOAK, 300) or 2):
        for name in chance.sample(list(ways), len(ways)):
            credentials, nick = ways[name]
            wire = wires(server, 0)
            wire.link._credentials = credentials
            times: list[float] = []
            assert len(tell(wire, nick, times)) == 4 and len(times) == 4
            took[name].append((times[1] - times[0], times[3] - times[2]))
            wire.cut()
    for name, pairs in took.items() if SOAK else ():
        words = [f"{name:40}"]
        for part in zip(*pairs, strict=True):
            cuts = statistics.quantiles(part, n=20)
            words.append(f"{cuts[9] * 1e3:7.3f} {cuts[0] * 1e3:7.3f}-{cuts[18] * 1e3:7.3f} ms")
        print("  ".join(words))


# Bounds


def test_names_are_bounded(
    server: ChatServer, wires: Callable[..., Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is there keeps its place; who has gone without a word, until somebody needs it."""
    monkeypatch.setattr(limits, "SESSIONS", 2)
    alice, bob = wires(server, 0).join("alice"), wires(server, 1).join("bob")
    refused = wires(server, 2)
    refused.greet()
    refused.prove("carol")
    assert refused.refusal() == frames.Refused("server_full")
    bob.cut()
    sessions = server._services.sessions
    until(lambda: any(session.lost_at is not None for session in sessions.live()))
    wires(server, 2).join("carol")
    assert {session.nick for session in sessions.live()} == {"alice", "carol"}
    alice.post(4)
    assert alice.find(frames.Accepted).ref == 1


# Bugs


@pytest.fixture
def died(monkeypatch: pytest.MonkeyPatch) -> list[type[BaseException]]:
    """What reached ``threading.excepthook``: that it did is what the tests here want."""
    found: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: found.append(args.exc_type))
    return found


def broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError(SECRET)


def talks(server: ChatServer, wires: Callable[..., Wire]) -> None:
    """Others come, talk and go as before."""
    wire = wires(server, 7).join("other", "elsewhere")
    wire.post(1)
    assert wire.find(frames.Accepted).seq == 2
    assert ask(server.port, request("GET", "/health")).status == 200


def test_a_bug_in_a_page(
    server: ChatServer,
    wires: Callable[..., Wire],
    died: list[type[BaseException]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A form gets its code; what cannot be answered is closed."""
    with monkeypatch.context() as patch:
        patch.setattr(server._services.tokens, "mint", broken)
        answer = mint(server)
        assert (answer.status, answer.json) == (
            500, {"error": "internal", "message": "Something went wrong."},
        )  # fmt: skip
        patch.setattr(Handler, "do_GET", broken)
        with pytest.raises((ValueError, OSError)):  # nothing at all is no answer
            Answer(ask(server.port, request("GET", "/health")).raw)
    talks(server, wires)
    assert set(died) == {RuntimeError}
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("where", ["_handle", "post", "resume", "join"])
def test_a_bug_in_a_connection(
    server: ChatServer,
    wires: Callable[..., Wire],
    died: list[type[BaseException]],
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    """Its client hears `internal` and no more, the others nothing; its place in the room stays."""
    bob = wires(server, 1).join("bob")
    alice = wires(server, 0)
    if where in ("_handle", "post"):
        alice.join("alice")
    with monkeypatch.context() as patch:
        if where == "_handle":
            patch.setattr(Requests, "_handle", broken)
        elif where == "post":
            patch.setattr(Room, "post", broken)
        else:
            patch.setattr(ServerHandshake, "_join", broken)
        if alice.entered is not None:
            alice.post(2)
            refused = [each for each in alice.ended() if isinstance(each, frames.Refused)]
        else:
            alice.greet()
            alice.prove("alice")
            refused = [alice.refusal()]
            assert alice.ended() == []
        assert refused == [frames.Refused("internal")]
        until(lambda: died == [RuntimeError])
    assert held(server._services.sessions) == (2 if alice.entered else 1)
    if alice.entered is not None:
        again = wires(server, 0).join("alice", resume=alice.resume_point(2))
        assert again.entered is not None and again.entered.resumed
        again.post(2)
        assert isinstance(bob.entries(3)[-1], frames.Posted)
    talks(server, wires)


def test_a_bug_in_a_delivery(
    server: ChatServer,
    wires: Callable[..., Wire],
    died: list[type[BaseException]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whose delivery fails is cut off and can come back; who is after it in the room gets all."""
    first, second, third = (wires(server, number).join(f"n{number}") for number in range(3))
    until(lambda: first.entries(3) is not None)
    session = server._services.sessions.find(second.identity.fingerprint)
    assert session is not None and session.queue is not None
    unlucky, send = session.queue, SendQueue._send_locked

    def sometimes(self: SendQueue) -> None:
        if self is unlucky:
            raise RuntimeError(SECRET)
        send(self)

    monkeypatch.setattr(SendQueue, "_send_locked", sometimes)
    for _ in range(3):
        first.post(3)
    numbers = [entry.seq for entry in third.entries(6)]  # type: ignore[attr-defined]
    assert numbers == [4, 5, 6]
    ended = second.ended()
    assert not any(isinstance(frame, (frames.Refused, frames.Bye)) for frame in ended)
    again = wires(server, 1).join("n1", resume=second.resume_point(3))
    assert [type(entry) for entry in again.entries(6)] == [frames.Posted] * 3
    assert set(died) == {RuntimeError}
    talks(server, wires)


BUG = textwrap.dedent(
    f"""
    import sys
    sys.path.insert(0, {str(ROOT)!r})
    import cli.run, {{module}} as found
    def broken(*_, **__):
        raise RuntimeError({SECRET!r})
    found.{{place}} = broken
    sys.exit(cli.run.main(sys.argv[1:]))
    """
)


def with_bug(module: str, place: str) -> list[str]:
    """The program with a bug at a place of ours."""
    return [sys.executable, "-c", BUG.format(module=module, place=place)]


def silent_about(program: Program, *also: str) -> None:
    """No stack trace, no place in the code, no text, none of ``also``, on either output."""
    told = program.told().replace(str(ROOT), "")  # which the banner has in its command
    for each in (SECRET, "zebra", "Traceback", 'File "', "server/", "client/", *also):
        assert each not in told
    assert ".py" not in program.errors


def test_a_bug_in_a_server_that_serves() -> None:
    """One sentence with the kind of the error; the process goes on for all others."""
    command = [*with_bug("server.rooms", "Room.post"), "serve", "127.0.0.1", "0"]
    with Server(command=command) as server, Client(server, "alice", "--no-reconnect") as alice:
        alice.say("a text of mine")
        assert alice.end() != 0
        silent_about(alice, "RuntimeError")
        server.wait_for(lambda: b"RuntimeError" in server.err)
        with Client(server, "bob") as bob:
            bob.say("/rooms")
            bob.next("rooms")
        assert server.errors == "cmd_chat: Something unexpected happened (RuntimeError).\n"
        silent_about(server, "a text of mine")


def test_a_bug_in_a_clients_reader() -> None:
    """A sentence, an exit status, and nothing of what it was about."""
    with Server() as server:
        command = with_bug("client.session", "ClientSession.receive")
        words = ["connect", server.host, str(server.port), "alice", "--renderer", "json"]
        with Client(server, "alice", command=[*command, *words], joined=False) as alice:
            assert alice.end() not in (0, None)
            silent_about(alice)
            assert alice.errors == (
                "cmd_chat: Something unexpected happened (RuntimeError).\n"
                "The connection ended (internal); connect again.\n"
            )
        assert server.errors == ""
