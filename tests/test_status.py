"""``status``: what it finds of a server, that it does nothing there, and what it says to do."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from client.identity.records import Contents
from client.identity.store import IdentityFile, create
from protocol import limits
from tests.command import Done, run_command
from tests.machine import needs
from tests.module_server import nick_fixture, server_fixture  # noqa: F401
from tests.processes import PASSWORD, Client, Server, Terminal, free_port
from tests.proxies import Proxy
from tests.test_tokens import form
from tests.transport_kit import make_certificate
from tests.wire import LONG
from transport import tls

WITHOUT = {"ADMIN_PASSWORD": ""}


def status(server: Server, *words: str, **env: str) -> Done:
    line = ("status", "--server", server.host, "--port", str(server.port), *words)
    return run_command(*line, env={**WITHOUT, **env})


def found(server: Server, *words: str, **env: str) -> dict[str, Any]:
    done = status(server, "--json", *words, **env)
    facts = json.loads(done.out)
    assert isinstance(facts, dict)
    return {**facts, "status": done.status}


def test_a_server_that_answers_is_described_without_going_in(server: Server) -> None:
    with Client(server, "alice") as alice:
        done = status(server)
        facts = found(server)
        alice.say("nobody came")
        alice.next("message", text="nobody came")
        assert alice.all("joined") == []
    assert done.status == 0 and done.errors == ""
    assert f"Server: {server.host}:{server.port} answers, over IPv4.\n" in done.out
    versions = rf"^Protocol: version {limits.VERSION}\nRound trip: \d+\.\d ms$"
    assert re.search(versions, done.out, re.MULTILINE)
    assert (facts["reached"], facts["family"], facts["tls"]) == (True, "ipv4", None)
    assert facts["protocol"] == limits.VERSION and 0 < facts["round_trip"] < 5
    assert "nick" not in facts and facts["proxy"] is None


def test_looking_is_no_failed_attempt(server: Server) -> None:
    """More often than wrong passwords are forgiven."""
    for _ in range(30):
        assert status(server).status == 0
    assert status(server, "--login", "--name", "bob", CLIENT_PASSWORD=PASSWORD).status == 0


def test_going_in_is_asked_for_and_leaves_nothing_behind(server: Server) -> None:
    with Client(server, "carol") as carol:
        for _ in range(2):  # the nickname is free again at once
            facts = found(server, "--login", "--name", "bob", CLIENT_PASSWORD=PASSWORD)
            assert (facts["status"], facts["nick"]) == (0, "bob")
            carol.next("left", nick="bob")
        assert len(carol.all("joined", nick="bob")) == 2


def test_a_login_is_the_identitys(server: Server, tmp_path: Path) -> None:
    """So a token that is bound to it opens, and one that is not yet is not lost to a look."""
    path = tmp_path / "me"
    create(path, Contents.fresh(), "pw", 15)
    more = {"CLIENT_PASSWORD": PASSWORD, "IDENTITY_PASSPHRASE": "pw"}
    own = ("--login", "--name", "dora", "--identity", str(path))
    with Client(server, "clara") as clara:
        assert found(server, *own, **more)["nick"] == "dora"
        clara.next("left", nick="dora")
    contents = IdentityFile(path, "pw").contents
    assert contents.run and contents.going == ()
    facts = found(server, *own, **{**more, "IDENTITY_PASSPHRASE": "wrong"})
    assert (facts["status"], facts["error"], facts["reached"]) == (4, "identity", True)


def test_a_token_is_not_bound_to_keys_that_end_with_the_look(
    server: Server, nick: str, tmp_path: Path
) -> None:
    """Shown, accepted, and still there for whoever it was made for."""
    token = str(form(server, "/generate_token", username=nick, ttl="600", bind="true")["token"])
    with Client(server, f"o{nick[-8:]}") as other:
        done = status(server, "--login", CLIENT_TOKEN=token)
        facts = found(server, "--login", CLIENT_TOKEN=token)
        assert not other.all("joined", nick=nick)
    assert done.status == 0 and "Login: the token is accepted; nobody went in\n" in done.out
    assert (facts["status"], facts["accepted"], "nick" in facts) == (0, True, False)
    named = found(server, "--login", "--name", "somebody", CLIENT_TOKEN=token)
    assert (named["status"], named["error"]) == (4, "nick_pinned")
    path = tmp_path / "me"
    create(path, Contents.fresh(), "pw", 15)
    own = ("--login", "--identity", str(path))
    facts = found(server, *own, CLIENT_TOKEN=token, IDENTITY_PASSPHRASE="pw")
    assert (facts["accepted"], facts["nick"]) == (True, nick)  # bound to it from now on
    assert found(server, "--login", CLIENT_TOKEN=token)["error"] == "token_bound"


def test_a_login_that_is_refused_says_why(server: Server) -> None:
    done = status(server, "--login", "--name", "bob", CLIENT_PASSWORD="wrong")
    assert done.status == 4 and "Login: The server did not accept the password" in done.out
    facts = found(server, "--login", "--name", "bob", CLIENT_PASSWORD="wrong")
    assert (facts["status"], facts["error"], facts["reached"]) == (4, "auth_failed", True)
    assert found(server, "--login", "--name", "bob", CLIENT_TOKEN="abc.def")["status"] == 4


def test_where_nobody_listens_the_rest_is_said_all_the_same() -> None:
    port = str(free_port())
    line = ("status", "--server", "127.0.0.1", "--port", port)
    done = run_command(*line, env=WITHOUT)
    assert done.status == 3
    assert f"Server: Nobody listens at 127.0.0.1:{port}" in done.out
    assert "Language: en" in done.out and "Terminal: none here" in done.out
    facts = json.loads(run_command(*line, "--json", env=WITHOUT).out)
    assert (facts["reached"], facts["error"], facts["language"]) == (False, "refused", "en")


def test_each_of_several_addresses_is_looked_at(server: Server) -> None:
    """A chat is reached by any of them; which one a login went by does not matter."""
    away, here = f"127.0.0.1:{free_port()}", f"{server.host}:{server.port}"
    line = ("status", "--server", f"{away},{here}")
    done = run_command(*line, env=WITHOUT)
    assert done.status == 0
    assert f"Server: Nobody listens at {away}; " in done.out
    assert f"Server: {here} answers, over IPv4.\n" in done.out
    login = ("--login", "--name", "bob", "--json")
    facts = json.loads(run_command(*line, *login, env={**WITHOUT, "CLIENT_PASSWORD": PASSWORD}).out)
    assert (facts["server"], facts["reached"], facts["nick"]) == (here, True, "bob")
    assert "error" not in facts
    told = [(each["server"], each["reached"], each.get("error")) for each in facts["addresses"]]
    assert told == [(away, False, "refused"), (here, True, None)]
    nobody = f"{away},127.0.0.1:{free_port()}"
    done = run_command("status", "--server", nobody, "--json", env=WITHOUT)
    facts = json.loads(done.out)
    assert (done.status, facts["error"], facts["server"]) == (3, "refused", away)


def test_several_addresses_are_looked_at_at_once() -> None:
    """One that is silent keeps no other waiting: these say nothing until all are asked."""
    asked = threading.Barrier(3)

    def silent(listening: socket.socket) -> None:
        peer, _address = listening.accept()
        asked.wait(LONG)
        peer.close()

    with contextlib.ExitStack() as stack:
        listening = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        threads = [threading.Thread(target=silent, args=(each,)) for each in listening]
        for thread in threads:
            thread.start()
        names = ",".join(f"127.0.0.1:{each.getsockname()[1]}" for each in listening)
        facts = json.loads(run_command("status", "--server", names, "--json", env=WITHOUT).out)
        for thread in threads:
            thread.join()
    assert not asked.broken
    assert [each["server"] for each in facts["addresses"]] == names.split(",")


@pytest.mark.parametrize(
    ("days", "words"),
    [
        ((-1, 300), "Whole"),
        ((-1, 3), "It ends soon"),
        ((-9, -3), "That is not in the time of the certificate"),
        ((3, 9), "That is not in the time of the certificate"),
    ],
)
def test_a_certificates_dates_are_held_against_the_clock(
    tmp_path: Path, days: tuple[int, int], words: str
) -> None:
    made = make_certificate(tmp_path, days=days)
    pin = tls.fingerprint_of(made.cert_path)
    with Server({"SSL_CERT_PATH": made.cert_path, "SSL_KEY_PATH": made.key_path}) as server:
        done = status(server, "--ssl-fingerprint", pin)
        facts = found(server, "--ssl-fingerprint", pin)
    assert done.status == 0 and "TLS: TLSv1.3, with a certificate from 20" in done.out
    assert (words in done.out) == (words != "Whole")
    assert facts["tls"]["fingerprint"] == pin.replace(":", "").lower()
    assert facts["tls"]["not_after"] == made.certificate.not_valid_after_utc.isoformat()


def test_a_certificate_that_nobody_vouches_for_ends_it_and_is_shown(
    tmp_path: Path,
) -> None:
    made = make_certificate(tmp_path)
    with Server({"SSL_CERT_PATH": made.cert_path, "SSL_KEY_PATH": made.key_path}) as server:
        done = status(server, "--ssl")
        assert done.status == 3 and tls.fingerprint_of(made.cert_path) in done.out
        old = make_certificate(tmp_path, "old", days=(-9, -3))
    with Server({"SSL_CERT_PATH": old.cert_path, "SSL_KEY_PATH": old.key_path}) as server:
        done = status(server, "--ssl-ca", old.cert_path)
        assert done.status == 3 and re.search(r"^Clock: 20\d\d-", done.out, re.MULTILINE)


@needs("ipv6", beside="test_a_server_that_answers_is_described_without_going_in")
def test_an_address_in_brackets_is_ipv6() -> None:
    with Server(host="::1") as server:
        assert found(server)["family"] == "ipv6"


def test_a_terminal_is_described(server: Server) -> None:
    words = ["status", "--server", server.host, "--port", str(server.port)]
    with Terminal(words, columns=90, rows=30) as terminal:
        terminal.sees(r"Terminal: xterm-256color, 90 columns, 30 rows, 256 colours")
    with Terminal(words, columns=30, rows=8) as terminal:
        terminal.sees("That is little")
    with Terminal(words, env={"TERM": "dumb", "LC_ALL": "C"}) as terminal:
        terminal.sees("It takes no escape sequences")
        terminal.sees("Characters: ascii")


def test_a_proxy_on_the_way_is_named(server: Server) -> None:
    with Proxy("http") as proxy:
        done = status(server, "--proxy", proxy.url())
        where = proxy.url().partition("//")[2]
        assert f"answers, through the proxy {where} (over IPv4)" in done.out


class OnlyOnce(Proxy):
    """Lets the first visitor through, and nobody after it."""

    def _way(self, near: socket.socket) -> socket.socket | None:
        if self.visits > 1:
            self.answer = b"HTTP/1.1 403 Forbidden\r\n\r\n"
        return super()._way(near)


def test_a_login_that_the_proxy_refuses_names_the_proxy(server: Server) -> None:
    with OnlyOnce("http") as proxy:
        done = status(
            server, "--proxy", proxy.url(), "--login", "--name", "dan", CLIENT_PASSWORD=PASSWORD
        )
    assert done.status == 3
    where = proxy.url().partition("//")[2]
    assert f"Login: The proxy {where} does not let this through" in done.out
