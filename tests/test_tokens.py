"""Tokens from end to end: the ``token`` command, ``connect --token``, and the README's ``curl``."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import json
import re
import shlex
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from server import limits
from server.app import ChatServer
from server.auth import Tokens
from server.client_address import ClientAddress
from server.http import Handler
from tests.command import Done, run_command
from tests.curl import Curl, answer, read_as_curl, run_curl
from tests.machine import needs
from tests.module_server import nick_fixture, server_fixture  # noqa: F401
from tests.processes import (
    PASSWORD,
    PROGRAM,
    Client,
    Program,
    Relay,
    Server,
    Terminal,
    free_port,
    run_client,
)
from tests.transport_kit import Task, tcp_pair
from tests.wire import PASSWORD as CONFTEST_PASSWORD
from transport.http_client import ANSWER_BYTES, post_form
from transport.stream import Stream

TOKEN = re.compile(r"[\w-]{16}\.[\w-]{43}")
RUN = [sys.executable, str(PROGRAM)]


def line_for(server: Server, *words: str) -> list[str]:
    """The words of ``token`` for a server."""
    return ["token", *words, "--server", server.host, "--port", str(server.port)]


def token_command(server: Server, *words: str, env: Mapping[str, str] | None = None) -> Done:
    """``token`` with the password in its environment, once it has ended."""
    return run_command(*line_for(server, *words), env=env)


def form(server: Server, page: str, **fields: str) -> dict[str, Any]:
    """What the server answers, without a process in between."""
    fields["admin_password"] = PASSWORD
    status, body = post_form([(server.host, server.port)], page, fields)
    assert status == 200, body
    answer: dict[str, Any] = json.loads(body)
    return answer


def mint(server: Server, nick: str, ttl: int = 600) -> str:
    """A token for ``nick``."""
    return str(form(server, "/generate_token", username=nick, ttl=str(ttl))["token"])


def revoke(server: Server, token: str) -> None:
    """End it."""
    assert form(server, "/revoke_token", token=token) == {"revoked": True}


def holder(
    server: Server,
    token: str,
    *options: str,
    joined: bool = True,
    address: tuple[str, int] | None = None,
) -> Client:
    """A client that comes with a token and leaves the nickname out."""
    host, port = address or (server.host, server.port)
    line = ["connect", host, str(port), "--renderer", "json", *options]
    settings = {"CLIENT_TOKEN": token, "CLIENT_PASSWORD": ""}
    return Client(server, "", joined=joined, settings=settings, command=[*RUN, *line])


def refused(client: Client, *parts: str) -> None:
    """It was refused before it came in: status 4, one sentence, no events."""
    assert client.process.returncode == 4, client.told()
    assert client.never_in
    assert client.errors.count("\n") == 1, client.errors
    for part in parts:
        assert part in client.errors


# Minting


def test_the_token_alone_is_printed(server: Server, nick: str) -> None:
    with Program(line_for(server, nick), {"ADMIN_PASSWORD": PASSWORD}) as program:
        assert program.end() == 0
        assert TOKEN.fullmatch(program.out.decode().removesuffix("\n"))
        assert program.errors == ""


def test_the_password_may_come_from_a_file(server: Server, nick: str, tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n")
    for env, options in (
        ({"ADMIN_PASSWORD": ""}, ("--password-file", str(path))),
        ({"ADMIN_PASSWORD": "", "ADMIN_PASSWORD_FILE": str(path)}, ()),
        ({"ADMIN_PASSWORD": "", "CLIENT_PASSWORD": PASSWORD}, ()),  # it is one and the same
    ):
        done = token_command(server, nick, *options, env=env)
        assert TOKEN.fullmatch(done.out.strip()) and done.errors == "", done


def test_the_password_is_asked_for_and_not_shown(server: Server, nick: str) -> None:
    with Terminal(line_for(server, nick), {"ADMIN_PASSWORD": ""}, columns=120) as terminal:
        terminal.sees(r"Password.*:")
        terminal.type(PASSWORD + "\r")
        token = terminal.sees(TOKEN.pattern)[0]
        assert terminal.end() == 0
        assert PASSWORD.encode() not in terminal.output
    revoke(server, token)


def test_without_a_terminal_nobody_is_asked(server: Server, nick: str) -> None:
    done = token_command(server, nick, env={"ADMIN_PASSWORD": ""})
    assert (done.status, done.out) == (2, "")
    assert "ADMIN_PASSWORD" in done.errors and "--password" in done.errors


def test_a_wrong_password_is_refused(nick: str) -> None:
    with Server() as server:  # of its own: failures delay everybody at this address
        with Program(line_for(server, nick), {"ADMIN_PASSWORD": "wrong"}) as program:
            assert (program.end(), program.out) == (4, b"")
            assert program.errors == "The admin password is wrong: check it and try again.\n"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b'{"error":"too_many_attempts"}', "Too many wrong passwords: wait"),
        (b'{"error":"insecure"}', "use --ssl"),
        (b'{"error":"server_full"}', "revoke one first"),
        (b'{"error":["of tomorrow"]}', "did not answer as expected"),
        (b"[1]", "did not answer as expected"),
        (b"\xff", "did not answer as expected"),
    ],
)
def test_other_refusals_say_what_to_do(answer: bytes, words: str) -> None:
    head = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n" % len(answer)
    done, _port = asked_of(head + answer)
    assert (done.status, done.out) == (4, "")
    assert words in done.errors and done.errors.count("\n") == 1


@pytest.mark.parametrize("answer", [b"SSH-2.0-x\r\n", b"220 smtp\r\n", b"HTTP/1.1 x\r\n\r\n", b""])
def test_what_is_no_server(answer: bytes) -> None:
    done, port = asked_of(answer)
    assert (done.status, done.out) == (3, "")
    assert f"127.0.0.1:{port}" in done.errors and done.errors.count("\n") == 1


def asked_of(answer: bytes, word: str = "x") -> tuple[Done, int]:
    """What becomes of the command where all that comes back is ``answer``; and the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def serve() -> None:
            sock = listener.accept()[0]
            with sock:
                sock.recv(65536)
                sock.sendall(answer)
                sock.shutdown(socket.SHUT_WR)
                sock.recv(65536)

        serving = Task(serve)
        line = ["token", word, "--server", "127.0.0.1", "--port", str(port)]
        done = run_command(*line)
        serving.result()
    return done, port


def test_nobody_there() -> None:
    port = free_port()
    line = ["token", "x", "--server", "127.0.0.1", "--port", str(port)]
    with Program(line, {"ADMIN_PASSWORD": PASSWORD}) as program:
        assert (program.end(), program.out) == (3, b"")
        assert program.errors.startswith(f"Nobody listens at 127.0.0.1:{port}; check")
        assert program.errors.count("\n") == 1


@pytest.mark.parametrize(
    ("address", "secure", "status"),
    [
        ("127.0.0.1", False, 200), ("127.8.8.8", False, 200), ("::1", False, 200),
        ("::ffff:127.0.0.1", False, 200), ("192.0.2.7", False, 403), ("fe80::1%1", False, 403),
        ("::ffff:192.0.2.7", False, 403), ("0.0.0.0", False, 403), ("192.0.2.7", True, 200),
    ],
)  # fmt: skip
def test_tokens_are_not_handed_out_in_clear(
    serve: Callable[..., ChatServer], address: str, secure: bool, status: int
) -> None:
    face = dataclasses.replace(serve()._face, tls=secure)
    near, far = tcp_pair()
    with near, contextlib.closing(Stream(far)) as stream:
        task = Task(Handler, stream, ClientAddress(address, address), face, lambda _peer: None)
        body = urlencode({"admin_password": CONFTEST_PASSWORD, "username": "alice"})
        head = f"POST /generate_token HTTP/1.1\r\nContent-Length: {len(body)}\r\n"
        if status == 403:  # what looks like a proxy's word opens nothing
            head += "X-Forwarded-For: 127.0.0.1\r\nX-Real-IP: ::1\r\nForwarded: for=127.0.0.1\r\n"
        head += "Content-Type: application/x-www-form-urlencoded\r\n"
        near.sendall(f"{head}\r\n{body}".encode())
        answer = near.makefile("rb").read()
        near.close()
        task.result()
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert (b'"error": "insecure"' in answer) == (status == 403)


@pytest.mark.parametrize(
    "words", [(), ("two words",), ("x", "--ttl", "0"), ("x", "--ttl", "2592001"), ("x", "y")]
)
def test_what_cannot_be_asked_for(server: Server, words: tuple[str, ...]) -> None:
    done = token_command(server, *words)
    assert (done.status, done.out) == (2, "")
    assert done.errors.startswith("cmd_chat: ")


def test_it_asks_this_machines_server_where_its_settings_say(server: Server, nick: str) -> None:
    """As on the server's machine, in the directory with its ``.env``."""
    env = {"SERVER_HOST": "0.0.0.0", "SERVER_PORT": str(server.port)}
    assert TOKEN.fullmatch(run_command("token", nick, env=env).out.strip())


# Using


def test_a_token_names_its_holder(server: Server, nick: str) -> None:
    token = mint(server, nick)
    with holder(server, token) as client:
        assert client.events[0]["nick"] == nick
        assert client.finish() == 0 and client.errors == ""
    line = shlex.split(f"connect localhost {server.port} {nick} --token {token} --renderer json")
    with Client(server, nick, command=[*RUN, *line]) as client:
        assert client.events[0]["nick"] == nick
        client.say("here I am")
        client.next("message", text="here I am", self_=True, from_=nick)
        assert client.finish() == 0
    assert "CLIENT_TOKEN" in client.errors  # that others can see what is on the command line
    assert token not in client.errors


def test_another_name_than_the_tokens_is_refused(server: Server, nick: str) -> None:
    token = mint(server, nick)
    client = run_client(
        server, nick="somebody-else", settings={"CLIENT_TOKEN": token, "CLIENT_PASSWORD": ""}
    )
    refused(client, "Your token fixes your nickname")


def test_the_holder_cannot_take_another_name(server: Server, nick: str) -> None:
    with holder(server, mint(server, nick), "--room", nick) as client:
        client.say("/nick free-name")
        assert "token fixes your nickname" in client.next("error", code="nick_pinned")["text"]
        client.say("still me")
        assert client.next("message")["from"] == nick
        assert client.finish() == 0


def test_a_tokens_name_is_refused_to_people_with_the_password(server: Server, nick: str) -> None:
    token = mint(server, nick)
    refused(run_client(server, nick=nick.upper()), "A token reserves", "choose another")
    with Client(server, f"{nick}-not", "--room", nick) as client:
        client.say(f"/nick {nick}")
        client.next("error", code="nick_reserved")
        revoke(server, token)
        client.say(f"/nick {nick}")
        client.next("renamed", old=f"{nick}-not", nick=nick)
        assert client.finish() == 0


def test_the_last_to_come_with_a_token_has_the_place(server: Server, nick: str) -> None:
    """The other one is told, ends without an error, and stays away."""
    token = mint(server, nick)
    with (
        Client(server, f"{nick}-host", "--room", nick) as host,
        holder(server, token, "--room", nick, "--listen") as first,
        holder(server, token, "--room", nick) as second,
    ):
        assert first.end() == 0
        assert first.events[-1]["event"] == "disconnected"
        assert first.events[-1]["reason"] == "taken_over"
        assert first.errors.startswith("Somebody else has connected with your token")
        assert first.errors.count("\n") == 1
        second.say("it is me")
        host.next("message", from_=nick, text="it is me")
        changes = [event["event"] for event in host.events if event["event"] in ("joined", "left")]
        assert changes == ["joined", "left", "joined"]
        host.say("welcome back")
        second.next("message", text="welcome back")
        assert second.finish() == host.finish() == 0


def test_lines_that_the_last_one_kept_from_going_out_are_handed_back(
    server: Server, nick: str
) -> None:
    token = mint(server, nick)
    with Relay(server.port) as relay:
        first = holder(server, token, address=relay.address)
        with first:
            relay.cut(closed=True)
            first.next("reconnecting")
            first.say("on its way when the other came")
            with holder(server, token) as second:
                relay.open()
                assert first.next("not_sent")["text"] == "on its way when the other came"
                assert first.end() == 5
                assert "has your place" in first.errors
                assert second.finish("unharmed") == 0


def test_a_crashed_program_starts_again_at_once(server: Server, nick: str) -> None:
    token = mint(server, nick)
    with holder(server, token, "--listen") as first:
        first.process.kill()
        with holder(server, token) as second:
            assert second.finish("back again") == 0


def test_two_supervisors_with_one_token_come_to_rest(server: Server, nick: str) -> None:
    """Both start their program again whenever it fails: the first is not started again."""
    token = mint(server, nick)
    line = ["connect", server.host, str(server.port), "--renderer", "json", "--listen"]
    script = 'until "$@" <&0; do echo failed >&2; done; echo rest >&2'
    command = ["/bin/sh", "-c", script, "sh", *RUN, *line]
    settings = {"CLIENT_TOKEN": token, "CLIENT_PASSWORD": ""}
    with Client(server, "", command=command, settings=settings) as first:
        with Client(server, "", command=command, settings=settings) as second:
            first.wait_for(lambda: "rest" in first.errors)
            assert "failed" not in first.errors
            second.say("who is here?")
            second.next("message", text="who is here?")
            second.say("/quit")
            assert second.end() == 0
            assert "failed" not in second.errors


def test_what_is_no_token() -> None:
    with Server() as server:  # of its own: failures delay everybody at this address
        for token in ("nonsense", ".é", "x." * 5000):
            with holder(server, token, joined=False) as client:
                assert client.end() == 4
                refused(client, "did not accept the token", "expired", "ask whoever runs")


# Ending


def test_a_revoked_token_throws_its_holder_out(server: Server, nick: str) -> None:
    token = mint(server, nick)
    with (
        Client(server, f"{nick}-host", "--room", nick) as host,
        holder(server, token, "--room", nick, "--listen") as client,
    ):
        host.next("joined", nick=nick)
        assert token_command(server, "--revoke", token) == Done(0, "", "The token is revoked.\n")
        assert client.end() == 4
        assert client.events[-1]["event"] == "disconnected"
        assert client.events[-1]["reason"] == "revoked"
        assert client.errors.startswith("Your token has been revoked; ask")
        host.next("left", nick=nick)
        assert host.finish() == 0
    again = token_command(server, "--revoke", token)
    assert again.status == 4 and "no such token" in again.errors
    other = mint(server, nick)
    by_id = token_command(server, "--revoke", other.partition(".")[0])
    assert by_id == Done(0, "", "The token is revoked.\n")


def test_a_revoked_tokens_grace_is_over_too() -> None:
    """Who has just lost the connection does not come back with a token revoked meanwhile."""
    with Server() as server, Relay(server.port) as relay:
        token = mint(server, "guest")
        line = ["connect", *map(str, relay.address), "--renderer", "json"]
        settings = {"CLIENT_TOKEN": token, "CLIENT_PASSWORD": ""}
        with Client(server, "", command=[*RUN, *line], settings=settings) as client:
            relay.cut(closed=True)
            client.next("reconnecting")
            revoke(server, token)
            relay.open()
            client.next("reconnecting", attempt=2)  # the first one was in vain
            assert not client.all("reconnected")
        with Client(server, "guest") as other:  # the name is free, long before the grace is over
            assert other.finish() == 0


def test_a_revoked_token_is_asked_for_and_not_shown(server: Server, nick: str) -> None:
    token = mint(server, nick)
    line = line_for(server, "--revoke")
    with Terminal(line, {"ADMIN_PASSWORD": PASSWORD}, columns=120) as terminal:
        terminal.sees("Token to revoke:")
        terminal.type(token + "\r")
        terminal.sees("The token is revoked.")
        assert terminal.end() == 0
        assert token.encode() not in terminal.output


def test_an_expired_token_throws_its_holder_out(server: Server, nick: str) -> None:
    # Starting a client can take longer than a second on a busy machine; one of these is enough.
    for ttl in (2, 6, 20):
        token = token_command(server, nick, "--ttl", str(ttl)).out.strip()
        with holder(server, token, "--listen", joined=False) as client:
            assert client.end() == 4
            if client.events and client.events[-1]["reason"] == "expired":
                assert [event["event"] for event in client.events] == ["connected", "disconnected"]
                assert client.errors.startswith("Your token has expired; ask")
                break
    else:
        raise AssertionError("no token expired while its holder was there")
    with Client(server, nick) as client:  # the name is free again
        assert client.finish() == 0


# Listing


def test_live_tokens_are_listed_and_revoked_by_what_is_listed() -> None:
    with Server() as server:
        assert token_command(server, "--list") == Done(0, "", "There are no live tokens.\n")
        later, sooner = mint(server, "later", 5000), mint(server, "sooner", 600)
        done = token_command(server, "--list")
        assert (done.status, done.errors) == (0, "")
        rows = [line.split("  ") for line in done.out.splitlines()]
        assert [row[0] for row in rows] == [sooner.split(".")[0], later.split(".")[0]]
        assert [row[2] for row in rows] == ["sooner", "later"]
        now = datetime.datetime.now()
        for (_id, ends, _nick), ttl in zip(rows, (600, 5000), strict=True):
            left = (datetime.datetime.fromisoformat(ends) - now).total_seconds()
            assert ttl - 60 < left < ttl + 60
        for token in (later, sooner):
            assert token.split(".")[1] not in done.out
        assert token_command(server, "--revoke", rows[0][0]).status == 0
        assert [line.split()[-1] for line in token_command(server, "--list").out.splitlines()] == [
            "later"
        ]


def test_the_list_is_for_the_password_alone() -> None:
    with Server() as server:  # of its own: failures delay everybody at this address
        mint(server, "alice")
        wrong = token_command(server, "--list", env={"ADMIN_PASSWORD": "wrong"})
        assert (wrong.status, wrong.out) == (4, "")
        assert wrong.errors == "The admin password is wrong: check it and try again.\n"


def test_as_many_as_there_can_be_are_listed() -> None:
    tokens = Tokens()
    for number in range(limits.TOKENS):
        tokens.mint("\U00010400" * 29 + f"{number:03}"[-3:], 600)
    listed = [
        {"id": token.id, "username": token.nick, "expires_in": left}
        for token, left in tokens.remaining()
    ]
    body = json.dumps({"tokens": listed}).encode()
    assert len(body) < ANSWER_BYTES
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    done, _port = asked_of(head + body, "--list")
    assert done.status == 0 and done.out.count("\n") == limits.TOKENS


@pytest.mark.parametrize(
    ("tokens", "printed"),
    [
        ('[{"id":"a\\u001b[2J","username":"b\\nc","expires_in":1e999}]', "?"),
        ('[7,{"expires_in":true}]', "?  ?  ?\n?  ?  ?\n"),
        ('"x"', None),
        ("null", None),
    ],
)
def test_a_list_that_is_none_does_no_harm(tokens: str, printed: str | None) -> None:
    body = f'{{"tokens":{tokens}}}'.encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    done, _port = asked_of(head + body, "--list")
    assert "\x1b" not in done.out
    if printed is None or "e999" in tokens:
        assert (done.status, done.out) == (4, "") or printed in done.out  # type: ignore[operator]
    else:
        assert (done.status, done.out) == (0, printed)


@pytest.mark.parametrize("words", [("al",), ("--revoke", "x"), ("--revoke",)])
def test_the_list_is_of_all(server: Server, words: tuple[str, ...]) -> None:
    done = token_command(server, "--list", *words)
    assert (done.status, done.out) == (2, "") and "--list lists all tokens" in done.errors


# The README's examples, with curl

CURL = """
curl -X POST http://localhost:1000/generate_token \\
  -d "admin_password=MySecurePass123" \\
  -d "username=alice" \\
  -d "ttl=86400"
"""


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(read_as_curl, id="read"),
        pytest.param(
            run_curl, id="run", marks=needs("curl", beside="test_the_curl_examples[read]")
        ),
    ],
)
def test_the_curl_examples(how: Curl) -> None:
    curl = functools.partial(answer, curl=how)
    with Server({"ADMIN_PASSWORD": "MySecurePass123"}) as server:
        line = CURL.replace(":1000", f":{server.port}")
        found = curl(line)
        assert TOKEN.fullmatch(found.pop("token"))
        assert found == {"username": "alice", "expires_in": 86400}
        short = line.replace('  -d "ttl=86400"\n', "").rstrip("\\\n ")
        found = curl(short)
        assert found["expires_in"] == 3600
        words = f"connect localhost {server.port} alice --token {found['token']} --renderer json"
        with Client(server, "alice", command=[*RUN, *words.split()]) as client:
            revoke = (
                f"curl -X POST http://localhost:{server.port}/revoke_token "
                f'-d "admin_password=MySecurePass123" -d "token={found["token"]}"'
            )
            assert curl(revoke) == {"revoked": True}
            assert client.end() == 4
        body = json.dumps({"admin_password": "MySecurePass123", "username": "bob", "ttl": 5})
        page = f"http://localhost:{server.port}/generate_token"
        found = curl(f"curl {page}", "-H", "Content-Type: application/json", "-d", body)
        assert (found["username"], found["expires_in"]) == ("bob", 5)
        wrong = curl(line.replace("MySecurePass123", "guess"))
        assert wrong == {"error": "auth_failed", "message": "The admin password is wrong."}
        big = curl(line, "-d", "x=" + "y" * 100_000)
        assert big["error"] == "too_big"
        assert curl(f"curl http://localhost:{server.port}/health") == {"status": "ok"}
