"""What tmux and GNU screen remember of a chat: nothing that they do not put there themselves."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.machine import needs
from tests.multiplexers import ALL, ENDED, Multiplexer, Tmux, chat_in
from tests.processes import Client, Server

pytestmark = needs(
    "tmux", "screen", beside="tests/test_rich_view.py::test_leaving_undoes_all_that_entering_did"
)

FOCUS_OUT = "\x1b[O"
WORDS = ("private-room", "nickie", "bob", "message", "unsaid")


@pytest.fixture(scope="module", name="server")
def server_fixture() -> Iterator[Server]:
    with Server({"MAX_MESSAGES_PER_WINDOW": "1000"}) as running:
        yield running


@pytest.fixture(scope="module", name="bob")
def bob_fixture(server: Server) -> Iterator[Client]:
    with Client(server, "bob", "--room", "private-room") as client:
        yield client


def talks(mux: Multiplexer, bob: Client, name: str) -> None:
    """More than the screen holds, with an own line, and one that is half typed."""
    mux.sees("private-room")
    bob.next("joined", nick=name)
    mux.type(FOCUS_OUT)
    bob.say(*(f"{name} message {number}" for number in range(40)))
    mux.sees(f"{name} message 39")
    mux.type("an own message\r")
    mux.sees("nickie.*an own message")
    mux.type("unsaid")
    mux.sees("unsaid")


def nothing_is_kept(mux: Multiplexer) -> None:
    kept = mux.kept()
    assert ENDED in kept
    assert [word for word in WORDS if word in kept] == [], kept


@pytest.mark.parametrize("way", ["q", "SIGTERM"])
@pytest.mark.parametrize("kind", ALL)
def test_nothing_of_the_full_screen_view_is_in_the_scrollback(
    kind: type[Multiplexer], way: str, server: Server, bob: Client
) -> None:
    nick = f"nickie-{kind.__name__}-{way}"
    with chat_in(kind, server, nick, "--room", "private-room") as mux:
        talks(mux, bob, nick)
        mux.type("\x1bl")  # without the frame, in rows that the terminal folds
        mux.sees(r"\d\d:\d\d bob:")
        mux.type("\x1bl")
        mux.sees("> unsaid")
        mux.type("\x0c")  # everything is drawn anew
        mux.resize(100, 30)
        mux.sees("(?ms)^[^\n]{70,}nickie.*> unsaid")
        kept = mux.kept()
        assert kept.count("message 39") == 1 and "message 1\n" not in kept, "nor before the end"
        if way == "q":
            mux.type("\x15/clear\r")
            mux.sees("(?s)\\A(?!.*message 39)")
            mux.type("q\r")
        else:
            mux.signal(signal.SIGTERM)
        mux.sees(ENDED)
        nothing_is_kept(mux)


@pytest.mark.parametrize("kind", ALL)
def test_a_lost_connection_leaves_nothing_there_either(kind: type[Multiplexer]) -> None:
    with Server() as server, Client(server, "bob", "--room", "private-room") as bob:
        with chat_in(kind, server, "nickie", "--room", "private-room", "--no-reconnect") as mux:
            mux.sees("private-room")
            bob.next("joined", nick="nickie")
            mux.type(FOCUS_OUT + "unsaid")
            mux.sees("unsaid")
            bob.say("message for nickie")
            mux.sees("message for nickie")
            if isinstance(mux, Tmux):
                assert mux.title_becomes("private-room")
            server.kill()
            mux.sees(ENDED)
            nothing_is_kept(mux)
            if isinstance(mux, Tmux):
                assert "private-room" not in mux.title() and "CMD CHAT" not in mux.title()


@pytest.mark.parametrize("renderer", ["rich", "minimal"])
@pytest.mark.parametrize("kind", ALL)
def test_panic_empties_what_they_put_there_themselves(
    kind: type[Multiplexer], renderer: str, server: Server, bob: Client
) -> None:
    nick = f"nickie-{kind.__name__}-{renderer}"
    options = ("--room", "private-room", "--renderer", renderer)
    with chat_in(kind, server, nick, *options) as mux:
        talks(mux, bob, nick)
        mux.resize(60, 10)  # rows of the chat become history
        mux.type("\x18\x18")
        mux.sees(ENDED)
        nothing_is_kept(mux)
