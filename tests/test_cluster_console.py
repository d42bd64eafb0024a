"""What whoever runs one of several servers types into its terminal, or asks by forms: it is about
all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import server.console
from protocol import frames
from server import limits as server_limits
from server.app import ChatServer
from server.cluster import limits
from settings.backend import BackendSettings
from tests.engines import backend_settings
from tests.test_http_face import ask, form, mint
from tests.test_server_connection import until
from tests.wire import PASSWORD, Wire
from tools.engine_process import EngineProcess

Wires = Callable[..., Wire]
Serve = Callable[..., ChatServer]
Pair = tuple[ChatServer, ChatServer]


@pytest.fixture
def pair(serve: Serve, backend: BackendSettings, monkeypatch: pytest.MonkeyPatch) -> Pair:
    """Two nodes of one chat."""
    monkeypatch.setattr(limits, "POLICY_SCRYPT", 4)
    return serve(backend=backend), serve(backend=backend)


def typed(node: ChatServer, line: str) -> str:
    """What its console answers."""
    told: list[str] = []
    node.console(told.append).take(line)
    [answer] = told
    return answer


def heard(wire: Wire) -> str:
    """What the operator has said."""
    return wire.find(frames.Announcement).text


def token_of(node: ChatServer, nick: str, **more: Any) -> str:
    """A new token."""
    return str(mint(node, nick, **more).json["token"])


def asked(node: ChatServer, path: str, **fields: str) -> Any:
    """What a form is answered with."""
    return ask(node.port, form(path, {"admin_password": PASSWORD, **fields})).json


class TestConsole:
    """At either node."""

    def test_who_is_here_and_where(self, pair: Pair, wires: Wires) -> None:
        for node in pair:
            assert typed(node, "who") == "Nobody is here."
            assert typed(node, "rooms") == "There are no rooms."
        token = token_of(pair[0], "bob")
        wires(pair[0], 0).join("Ann", stays=["Lab", "default"])
        bob = wires(pair[1], 1, token=token)
        bob.join("bob", stays=["default"])
        bob.cut()
        expected = f"bob  default  token {token[:16]}  connection lost"
        for node in pair:
            until(lambda node=node: expected in typed(node, "who"))  # type: ignore[misc]
            ann, _bob = typed(node, "who").splitlines()
            assert ann in ("Ann  Lab, default  password", "Ann  default, Lab  password")
            assert typed(node, "rooms") == "default  2\nLab  1"

    def test_long_lists_have_an_end(
        self, pair: Pair, wires: Wires, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And somebody who is not on it is found all the same."""
        monkeypatch.setattr(limits, "CONSOLE_LINES", 1)
        for number in range(3):
            wires(pair[number % 2], number).join(f"guest{number}", stays=[f"room{number}"])
        first, rest = typed(pair[0], "who").splitlines()
        assert first.startswith("guest") and rest == "… and 2 more"
        assert typed(pair[1], "rooms") == "room0  1\n… and 2 more"
        for number in range(3):
            assert typed(pair[0], f"kick GUEST{number}").startswith(f"guest{number} is out")

    def test_somebody_is_thrown_out_at_the_other_node(
        self, pair: Pair, wires: Wires, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With its address, unless somebody else at any node has the same."""
        monkeypatch.setattr(server.console, "is_own_machine", lambda _group: False)
        ann = wires(pair[0], 0).join("ann")
        bob = wires(pair[1], 1).join("bob")
        assert "Nobody here" in typed(pair[0], "kick b0b")
        told = typed(pair[0], "kick BOB 3")
        assert told == "bob is out for 3 minutes, but not the address, which others share."
        assert bob.find(frames.Bye).reason == "kicked"
        for node in pair:
            assert _refused(wires(node, 1), "bob") == "kicked"
        assert "so is that address" in typed(pair[1], "kick ann")
        assert ann.find(frames.Bye).reason == "kicked"
        for node in pair:
            assert _refused(wires(node, 2), "cat") == "kicked"

    def test_everybody_is_told(self, pair: Pair, wires: Wires) -> None:
        members = [wires(pair[number % 2], number).join(f"guest{number}") for number in range(3)]
        assert typed(pair[1], "say  We stop at six. ") == "3 members were told."
        assert [heard(each) for each in members] == ["We stop at six."] * 3

    def test_without_an_engine(
        self, serve: Serve, own_engine: EngineProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A sentence, and the terminal goes on."""
        monkeypatch.setattr(limits, "POLICY_SCRYPT", 4)
        node = serve(backend=backend_settings(own_engine))
        own_engine.kill()
        monkeypatch.setattr(limits, "ENGINE_SECONDS", 0.05)
        monkeypatch.setattr(limits, "ENGINE_UNKNOWN_SECONDS", 0.05)
        for line in ("who", "rooms", "tokens", "revoke x", "kick ann", "say hello"):
            told = typed(node, line)
            assert told.startswith(("That cannot be done just now", "Nobody knows whether"))
        assert "help" in typed(node, "help")
        assert mint(node).code == "unavailable"


class TestForms:
    """At either node."""

    def test_tokens_are_those_of_all(self, pair: Pair, wires: Wires) -> None:
        """Made at one, used at the other, listed and revoked at any; its session ends."""
        token = token_of(pair[0], "bob", bind="true")
        bob = wires(pair[1], 0, token=token).join("bob")
        for node in pair:
            [row] = asked(node, "/list_tokens")["tokens"]
            assert (row["id"], row["username"], row["bound"]) == (token[:16], "bob", True)
            assert typed(node, "tokens").startswith(f"{token[:16]}  bob  ")
        assert _refused(wires(pair[0], 1, token=token), "bob") == "token_bound"
        assert asked(pair[0], "/revoke_token", token=token) == {"revoked": True}
        assert bob.find(frames.Bye).reason == "revoked"
        for node in pair:
            assert asked(node, "/list_tokens") == {"tokens": []}
            assert asked(node, "/revoke_token", token=token) == {"revoked": False}
            assert _refused(wires(node, 0, token=token), "bob") == "auth_failed"

    def test_an_expired_token_ends_its_session(self, pair: Pair, wires: Wires) -> None:
        """Whichever node it is at; once."""
        token = token_of(pair[0], "bob", ttl="1")
        bob = wires(pair[1], 0, token=token).join("bob")
        assert bob.find(frames.Bye).reason == "expired"
        assert typed(pair[0], "who") == "Nobody is here."

    def test_wrong_passwords_count_at_all(self, pair: Pair) -> None:
        """As many guesses as at one server, and what is had meanwhile is owed."""

        def guess(node: ChatServer) -> str:
            return ask(node.port, form("/list_tokens", {"admin_password": "x"})).code

        burst = int(server_limits.GUESS_BURST)
        codes = [guess(pair[0]) for _ in range(burst)]
        assert set(codes) == {"auth_failed"}
        until(lambda: pair[1]._services.form_throttle.own.spare("own") < 2.0)
        assert "too_many_attempts" in [guess(pair[1]) for _ in range(4)]


def _refused(wire: Wire, nick: str) -> str:
    """Why it is not let in."""
    wire.greet()
    wire.prove(nick, "", None)
    return wire.refusal().code
