"""The client on a terminal: what a person types, and what the screen then shows."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from itertools import count

import pytest

from tests.module_server import server_fixture  # noqa: F401
from tests.processes import PASSWORD, Client, Server, Terminal, terminal_client

RENDERERS = ("minimal", "rich")
CTRL_A, CTRL_C, CTRL_D = "\x01", "\x03", "\x04"
CTRL_N, CTRL_P, CTRL_U, CTRL_W = "\x0e", "\x10", "\x15", "\x17"
ALT_R = "\x1br"
ALT_ENTER, PASTE, PASTED, UP = "\x1b\r", "\x1b[200~", "\x1b[201~", "\x1b[A"

_NUMBERS = count(1)


@pytest.fixture(scope="module")
def bob(server: Server) -> Iterator[Client]:
    """A program that stays for the whole module, and moves to the test's room."""
    with Client(server, "bob") as client:
        yield client


@pytest.fixture(scope="module", params=RENDERERS)
def resident(server: Server, request: pytest.FixtureRequest) -> Iterator[Terminal]:
    """Alice's terminal, with each renderer: she stays for all tests that have it."""
    with terminal_client(server, "alice", "--renderer", request.param) as terminal:
        terminal.sees("/help")
        terminal.sees("> ")
        yield terminal
        terminal.type("q\r")
        assert terminal.end() == 0
        assert terminal.settings() == terminal.before
        assert "Traceback" not in terminal.shown()
        assert PASSWORD.encode() not in terminal.output


@pytest.fixture
def room(bob: Client) -> str:
    """A room of the test's own, with Bob in it."""
    name = f"room-{next(_NUMBERS)}"
    bob.say(f"/room {name}")
    bob.next("room", room=name)
    bob.forget()
    return name


@pytest.fixture
def alice(resident: Terminal, bob: Client, room: str) -> Terminal:
    """Alice's terminal, with nothing on it but that she has come into Bob's room."""
    resident.type(f"/clear\r/room {room}\r")
    resident.sees(f"{room}> ")
    bob.next("joined", nick="alice")
    return resident


def test_a_conversation(alice: Terminal, bob: Client, room: str) -> None:
    alice.type("hello bob\r")
    bob.next("message", from_="alice", text="hello bob")
    bob.say("hi alice", "/me waves")
    alice.sees(r"alice\b.*hello bob")
    alice.sees(r"bob\b.*hi alice")
    alice.sees(r"\* ?.*bob waves")
    bob.say("/msg alice between us")
    alice.sees("bob.*(between us|!1)")
    alice.type(ALT_R)
    alice.sees("@bob> ")
    alice.sees("bob.*between us")
    alice.type(f"{CTRL_P}/who\r")
    alice.sees("(?s)alice +you.*bob +(known: the same keys as before|new, not verified)")
    alice.type("/nick anna\r")
    bob.next("renamed", old="alice", nick="anna")
    alice.sees("anna")
    alice.type(f"/room {room}-2\r")
    bob.next("left", nick="anna")
    alice.sees(rf"{room}-2> ")
    alice.type("/qiut\r")
    alice.sees("Did you mean /quit")
    alice.type(f"/nick alice\r/room {room}\r")
    bob.next("joined", nick="alice")


def test_lines_of_a_message(alice: Terminal, bob: Client) -> None:
    """Alt-Enter makes a line break; what is pasted is one message."""
    alice.type(f"first{ALT_ENTER}second\r")
    assert bob.next("message")["text"] == "first\nsecond"
    alice.type(f"{PASTE}one\rtwo\nthree{PASTED}\r")
    assert bob.next("message")["text"] == "one\ntwo\nthree"
    alice.sees(r"alice\b.*one\s*\n.*two\s*\n.*three")


def test_editing_keys(server: Server, bob: Client, room: str) -> None:
    with terminal_client(server, "alma", "--room", room) as alice:
        alice.sees("> ")
        alice.type(f"wrong words{CTRL_W}one{CTRL_A}not {CTRL_A}is \r")
        assert bob.next("message")["text"] == "is not wrong one"
        alice.type(f"{UP} again\r")
        assert bob.next("message")["text"] == "is not wrong one again"
        alice.type(f"never sent{CTRL_U}日本語 café\x7f\x7fé!\r")
        assert bob.next("message")["text"] == "日本語 caé!"
        alice.type("half a line")
        alice.sees("half a line")
        alice.type(f"{CTRL_C}bo\t hello\r")
        assert bob.next("message")["text"] == "bob:  hello"
        alice.type(CTRL_C)
        alice.sees("Press Ctrl-C again to leave")
        alice.type(CTRL_C)
        assert alice.end() == 0


@pytest.mark.parametrize("renderer", RENDERERS)
def test_rooms_side_by_side(server: Server, bob: Client, room: str, renderer: str) -> None:
    """Each with its own draft and place; nothing that is half typed goes where it was not meant."""
    nick = f"ida-{renderer}"
    options = ("--room", f"{room}-a", "--room", room, "--renderer", renderer)
    with terminal_client(server, nick, *options) as ida:
        ida.sees(f"{room}-a> ")
        bob.next("joined", nick=nick)
        ida.type("half a line")
        ida.sees("> half a line")
        bob.say(f"{nick}: are you there?", f"/msg {nick} alone")
        ida.sees(r"(?s)(2 room-\d+!1 .*3 @bob!1|\[room-\d+\] bob: ida.*: are.*bob, to you alone)")
        ida.type(CTRL_N)
        ida.sees(f"(?sm)are you there.*^ ?{room}> *$")
        ida.type(f"here{ALT_R}just us\r")
        assert bob.next("message", from_=nick, private=True)["text"] == "just us"
        ida.type(f"{CTRL_P}\r")
        assert bob.next("message", from_=nick, private=False)["text"] == "here"
        ida.type(f"\x1b1{CTRL_U}\x1b2{UP}!\r")
        assert bob.next("message", from_=nick, private=False)["text"] == "here!"
        ida.type("/leave\r")
        bob.next("left", nick=nick)
        ida.sees(f"(?m)^ ?{room}-a> *$")


def test_what_is_typed_stays_whole(alice: Terminal, bob: Client) -> None:
    """Nothing that arrives disturbs a half-typed line."""
    alice.type("half a thought")
    alice.sees("> half a thought")
    bob.say(*(f"interruption {number}" for number in range(30)))
    alice.sees("interruption 29")
    alice.type(",")
    alice.sees("interruption 29(?s:.*)> half a thought,")
    assert sum("> half a thought" in line for line in alice.lines()) == 1
    assert alice.lines()[alice.screen.cursor.y].endswith("> half a thought,")
    alice.type(" finished\r")
    bob.next("message", text="half a thought, finished")


def test_nobody_writes_into_anothers_terminal(alice: Terminal, bob: Client) -> None:
    bob.say("mark", "a\x1b[2J\x1b]0;title\x07\u202eb", "after it")
    alice.sees("(?s)mark.*title.*after it")
    assert b"\x1b]0;" not in alice.output and "\u202e".encode() not in alice.output
    assert "title" not in alice.screen.title


@pytest.mark.parametrize(
    ("renderer", "number"), [("minimal", signal.SIGTERM), ("rich", signal.SIGINT)]
)
def test_a_signal_restores_the_terminal(
    server: Server, bob: Client, room: str, renderer: str, number: signal.Signals
) -> None:
    nick = f"{renderer}-{number}"
    with terminal_client(server, nick, "--room", room, "--renderer", renderer) as alice:
        alice.sees("> ")
        assert alice.settings() != alice.before, "keys come one by one"
        alice.type("half a line")
        alice.process.send_signal(number)
        assert alice.end() == 0
        assert alice.settings() == alice.before
        bob.next("left", nick=nick)


def test_ctrl_c_while_connecting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        words = ["connect", host, str(port), "alice"]
        with Terminal(words, {"CLIENT_PASSWORD": PASSWORD}) as alice, listener.accept()[0]:
            alice.type(CTRL_C)
            assert alice.end() == 130
            assert alice.settings() == alice.before
            assert "Traceback" not in alice.shown()


def test_the_password_is_asked_for_and_not_shown(server: Server, bob: Client, room: str) -> None:
    words = ["connect", server.host, str(server.port), "--room", room]
    with Terminal(words) as alice:
        alice.sees("nickname: ")
        alice.type("agda\r")
        alice.sees("(?i)password of the server: ")
        alice.type(f"{PASSWORD}\r")
        bob.next("joined", nick="agda")
        assert PASSWORD.encode() not in alice.output
        alice.sees("> ")
        alice.type(CTRL_D)
        assert alice.end() == 0


def test_a_wrong_password_on_a_terminal(server: Server) -> None:
    words = ["connect", server.host, str(server.port), "alba"]
    with Terminal(words, {"CLIENT_PASSWORD": "no such"}) as alice:
        alice.sees("did not accept the password")
        assert alice.end() == 4
        assert alice.settings() == alice.before


def test_listening_on_a_terminal_needs_another_renderer(server: Server) -> None:
    words = ["connect", server.host, str(server.port), "anni", "--listen"]
    with Terminal(words, {"CLIENT_PASSWORD": PASSWORD}) as alice:
        alice.sees("--renderer minimal or json")
        assert alice.end() == 2
    with Terminal([*words, "--spoken"], {"CLIENT_PASSWORD": PASSWORD}) as alice:
        alice.sees("Connected to")  # that implies one
        alice.type("q\r")
        assert alice.end() == 0


def test_a_lost_connection_is_said_and_comes_back(room: str) -> None:
    with Server() as first:
        alice = terminal_client(first, "alex", "--room", room, "--renderer", "minimal")
        with alice:
            alice.sees("> ")
            first.signal(signal.SIGKILL)
            first.end()
            alice.sees("connection is lost")
            alice.type("typed meanwhile\r")
            with Server(port=first.port):
                alice.sees("connection is back")
                alice.sees("(?s)Not sent: .*typed meanwhile")
                alice.type("q\r")
                assert alice.end() == 0
