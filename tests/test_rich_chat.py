"""The full-screen client as a process: against a server, under signals, and from a shell."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count

import pytest

from client.fullscreen import canvas
from client.input import modes
from tests.console_kit import Person, person_fixture, shown  # noqa: F401
from tests.processes import (
    _ON_TERMINAL,
    PASSWORD,
    PROGRAM,
    Client,
    Server,
    Terminal,
    environment,
    terminal_client,
)

ALT_S, CTRL_Z = "\x1bs", "\x1a"
_NUMBERS = count(1)


@pytest.fixture(scope="module", name="server")
def server_fixture() -> Iterator[Server]:
    with Server({"MAX_MESSAGES_PER_WINDOW": "3", "RATE_LIMIT_WINDOW": "3600"}) as running:
        yield running
        assert running.errors == ""


def left(terminal: Terminal) -> None:
    """It has left the terminal as it found it."""
    assert terminal.settings() == terminal.before
    assert canvas.LEAVE.encode() in terminal.output
    after = terminal.output.partition(canvas.LEAVE.encode())[2].decode()
    assert "\x1b" not in after and "default" not in after
    assert "Traceback" not in terminal.shown() and PASSWORD.encode() not in terminal.output


def test_a_refused_line_stays_and_can_be_sent_again(server: Server) -> None:
    with Client(server, "bob") as bob, terminal_client(server, "alice", columns=100) as alice:
        bob.next("joined", nick="alice")
        alice.sees("default>")
        alice.type("".join(f"line {number}\r" for number in range(4)))
        alice.sees(r"1 line waits; next in \d+ seconds; Esc drops it")
        bob.hears("line 0", "line 1", "line 2")
        alice.type("\x1b")
        alice.sees(r"(?s)line 2.*line 3 *\n +│ ! not sent: you have dropped it.*\(/resend\)")
        alice.type(ALT_S)
        alice.sees("1 line waits")
        alice.type("\x1b")
        alice.sees("you have dropped it")
        alice.type("/ignore bob\r")
        alice.sees("Ignored: bob")
        bob.say("unheard", "/nick robert", "unheard too")
        alice.sees("bob is now known as robert")
        alice.type("/unignore robert\r")
        alice.sees("robert is no longer ignored")
        bob.say("heard")
        alice.sees("robert │ heard")
        assert "unheard" not in alice.shown()
        assert sum("line 3" in line for line in alice.lines()) == 1, "dropped again, and once"
        bob.say("/verify alice")
        alice.type("/verify robert\r")
        alice.sees(r"robert +[\d ]+ +not verified")
        alice.type("/verify robert ok\r")
        alice.sees("end-to-end, verified 1 ")
        alice.type("q\r")
        assert alice.end() == 0
        left(alice)


def test_a_killed_server_and_its_return_in_the_middle_of_a_line() -> None:
    with Server() as first:
        with terminal_client(first, "alice", columns=100) as alice:
            alice.sees("default>")
            with Client(first, "carol") as carol:
                alice.sees("carol has joined")
                alice.type("before\r")
                carol.next("message", text="before")
                assert carol.finish() == 0
            alice.sees("carol has left")  # so alice knows that the server has it
            alice.sees("alice │ before")
            alice.type("half a li")
            alice.sees("default> half a li")
            first.signal(signal.SIGKILL)
            first.end()
            alice.sees("(?s)The connection is lost.*default> half a li +reconnecting")
            alice.type("ne\rnext")
            alice.sees("(?s)half a line  waits for the connection.*default> next")
            with Server(port=first.port) as second, Client(second, "bob") as bob:
                alice.sees("(?s)half a line.*not sent: the connection was lost.*default> next")
                bob.meets("alice")
                alice.type(f"{ALT_S}\r")
                assert sorted(bob.next("message")["text"] for _line in range(2)) == [
                    "half a line", "next",
                ]  # fmt: skip
                alice.type("/quit\r")
                assert alice.end() == 0
                left(alice)


def test_after_three_handshakes_that_prove_nothing_it_asks() -> None:
    """Each attempt lets whoever is in between guess the password once."""
    with Server() as server, Client(server, "bob") as bob, terminal_client(server, "al") as alice:
        alice.sees("default>")
        server.signal(signal.SIGKILL)
        server.end()
        with Server({"ADMIN_PASSWORD": "another one"}, port=server.port):
            alice.sees("not connected: /reconnect or /quit")
            alice.sees("(?s)what answered did not know.*/reconnect tries again")
            assert bob.end() == 5, "nobody can be asked"
            assert "did not know your password" in bob.errors
        with Server(port=server.port):
            alice.type("/reconnect\r")
            alice.sees("you have rejoined the room")
            alice.type("/reconnect\r")
            alice.sees("(?s)Trying another connection.*The connection is back; nothing was lost")
            alice.type("q\r")
            assert alice.end() == 0
            left(alice)


def test_lines_that_nobody_got_are_counted_on_the_way_out() -> None:
    with Server() as server, terminal_client(server, "alice") as alice:
        alice.sees("default>")
        server.signal(signal.SIGKILL)
        server.end()
        alice.sees("reconnecting")
        alice.type("one\rtwo\r")
        alice.sees("two  waits")
        alice.process.send_signal(signal.SIGTERM)
        assert alice.end() == 0
        left(alice)
        assert "2 lines were not sent." in alice.shown()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_the_terminal_as_it_was(server: Server, number: signal.Signals) -> None:
    nick = f"guest-{next(_NUMBERS)}"
    with terminal_client(server, nick, columns=40, rows=10) as guest:
        guest.sees("default>")
        guest.type("half a line")
        guest.sees("half a line")
        guest.process.send_signal(number)
        assert guest.end() == 0
        left(guest)


def test_a_locale_without_utf8_gets_ascii(server: Server) -> None:
    with terminal_client(server, "agnes", env={"LC_ALL": "C", "NO_COLOR": "1"}) as agnes:
        agnes.sees(r"(?s)default - .* - end-to-end.*agnes\s*\n-{80}")
        before, _entered, after = agnes.output.partition(modes.MOUSE_SILENT.encode())
        assert after and b"default" not in before, "nothing is told of the mouse any more"
        agnes.type("q\r")
        assert agnes.end() == 0
        assert agnes.output.isascii() and not re.search(rb"\x1b\[[0-9;]*3[0-9]m", agnes.output)


def prompted(person: Person) -> str:
    """The last line of the screen, without what is said at its end of the welcome's beginning."""
    return "".join(shown(person.screen)[-1:]).partition("↑")[0].rstrip()


def test_ctrl_z_gives_the_terminal_to_the_shell_and_fg_takes_it_back(
    server: Server, person: Person
) -> None:
    before = person.settings()
    words = ["connect", server.host, str(server.port), "zoe"]
    chat = shlex.join([sys.executable, str(PROGRAM), *words])
    shell = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _ON_TERMINAL, "/bin/sh", "-i"],
        stdin=person.slave, stdout=person.slave, stderr=person.slave,
        env=environment({"TERM": "xterm", "PS1": "$ ", "ENV": "", "CLIENT_PASSWORD": PASSWORD}),
    )  # fmt: skip
    try:
        person.types(f"{chat}\n")
        person.waits(lambda: prompted(person) == " default>")
        person.types("half a line")
        person.waits(lambda: prompted(person) == " default> half a line")
        person.types(CTRL_Z)
        person.waits(lambda: canvas.LEAVE.encode() in person.raw and b"$ " in person.raw[-40:])
        assert person.settings()[3] == before[3], "echo and lines as the shell wants them"
        person.types("fg\n")
        person.waits(lambda: prompted(person) == " default> half a line")
        assert shown(person.screen)[0].endswith(" zoe")
        person.types("\x15\x04")
        person.waits(lambda: person.raw.count(canvas.LEAVE.encode()) == 2)
        person.waits(lambda: person.raw.endswith(b"$ "))
        person.types("exit\n")
        person.waits(lambda: shell.poll() is not None)
    finally:
        shell.kill()
        shell.wait()
