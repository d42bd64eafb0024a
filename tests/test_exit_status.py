"""How programs end: each exit status, with a sentence that says what to do next."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.machine import needs, without_low_ports
from tests.module_server import server_fixture, witness_fixture  # noqa: F401
from tests.processes import (
    PASSWORD,
    PROGRAM,
    Client,
    Program,
    Server,
    free_port,
    run_client,
    stop_process,
)
from tests.watching import Audit


def sentence(program: Program) -> str:
    """The one sentence of a program that has failed; it says no more than that."""
    assert "Traceback" not in program.told()
    assert PASSWORD not in program.told()
    (line,) = program.errors.splitlines()
    return line


def run_program(*arguments: str, env: dict[str, str] | None = None, **options: object) -> Program:
    """A program that has ended by itself."""
    with Program(arguments, env, **options) as program:  # type: ignore[arg-type]
        program.end_input()
        program.end()
        return program


# The client


def test_a_wrong_password_is_4(server: Server) -> None:
    client = run_client(server, text="never sent\n", settings={"CLIENT_PASSWORD": "guess 1"})
    assert client.process.returncode == 4
    assert "password" in sentence(client) and "try again" in sentence(client)
    assert client.never_in and b"guess 1" not in client.err


def test_a_taken_nickname_is_4(server: Server, witness: Client) -> None:
    client = run_client(server, nick=witness.nick.upper())
    assert client.process.returncode == 4
    assert "choose another" in sentence(client)
    assert client.never_in


def test_nobody_listening_is_3() -> None:
    port = free_port()
    client = run_client(("127.0.0.1", port), text="never sent\n")
    assert client.process.returncode == 3
    assert f"Nobody listens at 127.0.0.1:{port}" in sentence(client)
    assert client.never_in


def test_a_name_that_does_not_resolve_is_3() -> None:
    client = run_client(("no.such.host.invalid", 1000))
    assert client.process.returncode == 3
    assert "no.such.host.invalid:1000" in sentence(client)
    assert "name" in sentence(client)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "is not a chat server"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "is not a chat server"),
        (b"", "check "),
    ],
    ids=["a web server", "another protocol", "nothing at all"],
)
def test_a_server_that_speaks_something_else_is_3(answer: bytes, expected: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with Client(listener.getsockname()[:2], "alice", joined=False) as client:
            with listener.accept()[0] as peer:
                peer.recv(65536)
                peer.sendall(answer)
            assert client.end() == 3
    assert expected in sentence(client)
    assert client.never_in


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["connect", "localhost", "1000", "bad nick!"], "CLIENT_USERNAME"),
        (["connect", "localhost", "99999", "alice"], "CLIENT_PORT"),
        (["connect", "localhost", "1000", "alice", "--renderer", "fancy"], "rich, minimal"),
        (["connect", "localhost", "1000"], "CLIENT_USERNAME"),
        (["serve", "127.0.0.1", "no-port"], "SERVER_PORT"),
        (["serve", "127.0.0.1", "0"], "ADMIN_PASSWORD"),
        (["serve", "--color"], "--color"),
        (["sing"], "'sing' is not a command"),
        ([], "must be a command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_2(arguments: list[str], expected: str) -> None:
    secret = {"CLIENT_PASSWORD": PASSWORD}
    program = run_program(*arguments, env=secret)
    assert program.process.returncode == 2
    assert expected in program.errors.splitlines()[0]
    assert program.out == b"" and "Traceback" not in program.errors
    assert PASSWORD not in program.errors


# Leaving


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_politely_with_0(
    server: Server, witness: Client, number: signal.Signals
) -> None:
    with Client(server, f"leaver-{number}") as leaver:
        leaver.say("last words")
        witness.next("message", from_=leaver.nick)
        leaver.signal(number)
        assert leaver.end() == 0
        witness.next("left", nick=leaver.nick)
        assert leaver.errors == ""


def test_a_signal_at_the_end_of_the_input_is_0_too() -> None:
    """Who is told to leave does not wait a minute for a server that does not answer."""
    with Server() as server, Client(server, "alice") as alice:
        stop_process(server)
        # A last line without a line end is answered when the end of the input has been seen.
        alice.write(b"no answer comes\n/nope")
        alice.end_input()
        alice.next("error")
        alice.signal(signal.SIGTERM)
        assert alice.next("not_sent")["text"] == "no answer comes"
        server.signal(signal.SIGCONT)
        assert alice.end() == 0


def test_interrupted_twice_is_130() -> None:
    with Server() as server, Client(server, "alice") as alice:
        stop_process(server)  # the polite way out waits for an answer
        alice.say("no answer comes")
        interrupt_until_it_ends(alice)
        assert alice.end() == 130
        assert "Traceback" not in alice.errors


def interrupt_until_it_ends(program: Program) -> None:
    """Two signals that come before the first is handled are one: so, as often as it takes."""
    import subprocess

    while True:
        program.signal(signal.SIGINT)
        try:
            program.process.wait(0.2)
            return
        except subprocess.TimeoutExpired:
            continue


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_before_connecting_is_130(number: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with Client(listener.getsockname()[:2], "alice", joined=False) as client:
            with listener.accept()[0]:  # and no answer
                client.signal(number)
                assert client.end() == 130
            assert (client.out, client.errors) == (b"", "")


def test_a_reader_that_has_gone_is_0(server: Server, witness: Client) -> None:
    with Client(server, "reader") as reader:
        witness.meets("reader")  # or what it says is not for the reader
        reader.close_output()
        witness.say("who hears this?")
        assert reader.end() == 0
        witness.next("left", nick="reader")
        assert reader.errors == ""


# The server


def test_a_port_in_use_is_2(server: Server, witness: Client) -> None:
    env = {"ADMIN_PASSWORD": PASSWORD}
    second = run_program("serve", "127.0.0.1", str(server.port), env=env)
    assert second.process.returncode == 2
    found = re.search(r"Port (\d+) is in use .*: try port (\d+)", sentence(second))
    assert found is not None
    assert int(found[1]) == server.port != int(found[2])
    assert second.out == b""
    witness.say("unharmed")
    witness.next("message", text="unharmed")


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param(lambda: Audit("no-low-ports").before(Path(os.devnull)), id="audit"),
        pytest.param(
            without_low_ports, id="system",
            marks=needs("low ports", beside="test_a_port_that_needs_rights_is_2[audit]"),
        ),
    ],
)  # fmt: skip
def test_a_port_that_needs_rights_is_2(refused: Callable[[], list[str]]) -> None:
    env = {"ADMIN_PASSWORD": PASSWORD}
    program = run_program("serve", "0.0.0.0", "80", env=env, before=refused())
    assert program.process.returncode == 2
    found = re.search(r"Port 80 needs rights .*: try port (\d+)", sentence(program))
    assert found is not None and int(found[1]) >= 1024
    assert program.out == b""


def test_an_address_of_another_machine_is_2() -> None:
    program = run_program("serve", "192.0.2.1", "0", env={"ADMIN_PASSWORD": PASSWORD})
    assert program.process.returncode == 2
    assert "192.0.2.1" in sentence(program)


def test_a_server_interrupted_twice_is_130() -> None:
    with Server() as server, Client(server, "alice") as alice:
        stop_process(alice)  # the polite way out waits for it
        interrupt_until_it_ends(server)
        assert server.end() == 130
        assert server.errors == ""


def test_a_server_whose_banner_nobody_reads_serves() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    port = free_port()
    command = [sys.executable, str(PROGRAM), "serve", "127.0.0.1", str(port)]
    env = {"ADMIN_PASSWORD": PASSWORD}
    with Program(command=command, env=env, stdout=writer) as program:
        os.close(writer)
        client = wait_until_served(port)
        assert client.texts() == ["hello"]
        program.signal(signal.SIGTERM)
        assert program.end() == 0
        assert program.errors == ""


def wait_until_served(port: int) -> Client:
    while True:
        client = run_client(("127.0.0.1", port), text="hello\n")
        if client.process.returncode != 3:
            return client
