"""What whoever runs a server types into its terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from protocol import limits as protocol_limits
from server import limits
from server.bans import Bans
from server.client_address import address_group
from server.console import COMMANDS
from server.sessions import ServerSession
from tests.fronts import speaking_for
from tests.processes import Client, Server, run_client
from tests.test_sessions import bundle
from tests.test_tokens import form, mint


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def asked(server: Server, line: str, until: str) -> str:
    """What the server prints after ``line``, up to something that matches ``until``."""
    start = len(server.out)
    server.write(line.encode() + b"\n")
    found: list[str] = []

    def there() -> bool:
        found[:] = re.findall(rf"(?s)^.*?{until}[^\n]*\n", server.out[start:].decode())
        return bool(found)

    server.wait_for(there)
    return found[0]


def test_who_is_here_and_where(server: Server) -> None:
    assert asked(server, "who", "Nobody") == "Nobody is here.\n"
    assert asked(server, "ROOMS", "There") == "There are no rooms.\n"
    with (
        Client(server, "alice", "--room", "lab", "--room", "default"),
        Client(server, "bob", "--token", mint(server, "bob")),
    ):
        told = asked(server, "who", "bob")
        there = r"alice  (lab, default|default, lab)  password\nbob  default  token \S{16}\n"
        assert re.fullmatch(there, told)
        assert asked(server, "rooms", "lab") == "default  2\nlab  1\n"
        assert "127.0.0.1" not in told


def test_tokens_are_listed_and_revoked(server: Server) -> None:
    assert asked(server, "tokens", "There") == "There are no tokens.\n"
    with Client(server, "bob", "--token", mint(server, "bob")) as bob:
        told = asked(server, "tokens", "left")
        assert re.fullmatch(r"(\S{16})  bob  \d+ s left\n", told)
        assert "no such token" in asked(server, "revoke nothing", "token")
        assert asked(server, f"revoke {told[:16]}", "revoked") == "The token is revoked.\n"
        assert bob.end() == 4


def test_tokens_say_whether_they_are_bound(server: Server) -> None:
    token = str(form(server, "/generate_token", username="bo", ttl="600", bind="true")["token"])
    assert asked(server, "tokens", "left").endswith(" s left  to be bound\n")
    with Client(server, "bo", "--token", token):
        assert asked(server, "tokens", "left").endswith(" s left  bound\n")


def test_somebody_is_thrown_out_and_kept_out(server: Server) -> None:
    with Client(server, "alice") as alice, Client(server, "Mallory") as mallory:
        alice.meets("Mallory")
        told = asked(server, "kick mallory 3", "out")
        # This machine's own address is never kept out: it may be a proxy's.
        assert told == "Mallory is out for 3 minutes, but not the address, which others share.\n"
        alice.next("left", nick="Mallory")
        assert mallory.next("disconnected")["reason"] == "kicked"
        assert mallory.end() == 4
        assert "Nobody here" in asked(server, "kick mallory", "nickname")
        for minutes in ("0", "x", "1441", "1 2"):
            assert "1 to 1440" in asked(server, f"kick alice {minutes}", "minutes")
        alice.say("still here")
        alice.next("message", text="still here")


def test_everybody_is_told(server: Server) -> None:
    with Client(server, "alice") as alice, Client(server, "bob", "--room", "lab") as bob:
        assert "2 members" in asked(server, "say  We stop at six. \x1b[2J", "told")
        for client in (alice, bob):
            assert client.next("notice")["text"] == "The server says: We stop at six. ␛[2J"
        asked(server, "say " + "x" * 5000, "told")
        assert alice.next("notice")["text"].endswith("x" * protocol_limits.ANNOUNCEMENT_CHARS)


def test_what_is_no_command_is_said_to_nobody(server: Server) -> None:
    with Client(server, "alice") as alice:
        assert "help lists" in asked(server, "hello there", "help")
        assert asked(server, "help", "Stop the server").count("\n") == len(COMMANDS) + 1
        assert "say TEXT" in asked(server, "say", "say TEXT")
        assert "help lists" in asked(server, "x" * (limits.CONSOLE_BYTES * 3), "help")
        server.write(b"\xff\xfe\n \n\t\n")
        assert asked(server, "rooms", "default").endswith("default  1\n")
        alice.say("one")
        alice.next("message", text="one")
        assert alice.all("notice") == []
        server.write(b"q\n")
        assert server.end() == 0


def test_a_kick_ends_by_itself_and_the_table_is_bounded() -> None:
    now = [100.0]
    bans = Bans(lambda: now[0])
    bans.add(b"one", 60.0)
    bans.add("10.0.0.1", 120.0)
    assert bans.left(b"one", "10.0.0.9") == 60.0
    assert bans.left(b"two", "10.0.0.1") == 120.0
    now[0] = 200.0
    assert (bans.left(b"one", "-"), bans.left(b"-", "10.0.0.1")) == (0.0, 20.0)
    for number in range(limits.BANS):
        bans.add(str(number), 9.0)
    assert bans.left(b"-", "10.0.0.1") == 0.0
    assert len(bans._until) == limits.BANS


def test_an_address_is_kept_out_with_the_identity_unless_others_share_it() -> None:
    """Addresses as a trusted proxy tells them."""
    with (
        Server({"TRUSTED_PROXIES": "127.0.0.2"}) as server,
        speaking_for(server.port, "192.0.2.1", "header") as first,
        speaking_for(server.port, "192.0.2.2", "header") as second,
    ):
        with Client(first.address, "mallory") as mallory:
            told = asked(server, "kick mallory", "out")
            assert told == "mallory is out for 10 minutes, and so is that address.\n"
            assert mallory.end() == 4
        again = run_client(first.address, nick="innocent")
        assert again.process.returncode == 4 and "the door" in again.errors
        with Client(second.address, "al"), Client(second.address, "bo"):
            assert "others share" in asked(server, "kick al", "out")
        assert run_client(second.address, nick="cy").process.returncode == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"])
def test_the_servers_own_machine_is_known_by_any_of_its_addresses(address: str) -> None:
    session = ServerSession("al", bundle(1), None)
    session.group = address_group(address)
    assert session.is_local
    session.group = address_group("192.0.2.1")
    assert not session.is_local
