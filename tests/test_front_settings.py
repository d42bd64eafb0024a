"""Settings of a server that something stands in front of, and of a client that goes through it."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest

import settings
from settings import Dotenv, SettingsError, Sources
from tests.command import run_command
from tests.processes import Server, free_port
from tests.test_settings import CLIENT, SERVER, client, server, token


def refusal(make: Callable[[], object]) -> str:
    with pytest.raises(SettingsError) as caught:
        make()
    return str(caught.value)


def serving(**environ: str) -> settings.ServerSettings:
    return server(environ={**SERVER, **environ})


def test_nobody_is_trusted_unless_it_is_said() -> None:
    chosen = serving()
    assert (chosen.trusted_proxies, chosen.proxy_protocol) == ((), False)
    assert (chosen.token_forms, chosen.path) == ("on", "")


@pytest.mark.parametrize(
    ("text", "networks"),
    [
        ("127.0.0.1", ["127.0.0.1/32"]),
        ("127.0.0.1, ::1,10.0.0.0/8", ["127.0.0.1/32", "::1/128", "10.0.0.0/8"]),
        (" 10.0.0.0/8 fd00::/8 ", ["10.0.0.0/8", "fd00::/8"]),
    ],
)
def test_trusted_proxies(text: str, networks: list[str]) -> None:
    chosen = serving(TRUSTED_PROXIES=text, PROXY_PROTOCOL="yes")
    assert chosen.trusted_proxies == tuple(map(ip_network, networks)) and chosen.proxy_protocol


@pytest.mark.parametrize("text", ["localhost", "10.0.0.1/8", "10.0.0.0/33", "1.2.3", "*", "::g"])
def test_what_is_no_network(text: str) -> None:
    sentence = refusal(lambda: serving(TRUSTED_PROXIES=text))
    assert "it must be IP addresses and networks, such as 127.0.0.1" in sentence


def test_what_needs_proxies_that_are_named() -> None:
    assert refusal(lambda: serving(PROXY_PROTOCOL="true")) == (
        "PROXY_PROTOCOL needs TRUSTED_PROXIES: the addresses that headers come from."
    )
    assert refusal(lambda: serving(TOKEN_FORMS="proxied")) == (
        "TOKEN_FORMS=proxied needs TRUSTED_PROXIES: the addresses of the proxies."
    )


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("on", "on"), ("OFF", "off"), ("true", "on"), ("no", "off"), ("Proxied", "proxied"),
        ("127.0.0.1:1001", ("127.0.0.1", 1001)), ("[::1]:1001", ("::1", 1001)),
        ("localhost:0", ("localhost", 0)),
    ],
)  # fmt: skip
def test_token_forms(text: str, forms: Any) -> None:
    assert serving(TOKEN_FORMS=text, TRUSTED_PROXIES="10.0.0.1").token_forms == forms


@pytest.mark.parametrize("text", ["maybe", "127.0.0.1", ":1001", "127.0.0.1:x", "127.0.0.1:65536"])
def test_what_forms_cannot_be(text: str) -> None:
    sentence = refusal(lambda: serving(TOKEN_FORMS=text))
    assert "it must be on, off, proxied, or an address" in sentence


@pytest.mark.parametrize(
    ("text", "path"), [("/chat", "/chat"), ("/chat/", "/chat"), ("/a/b-c_d.e~f", "/a/b-c_d.e~f"),
                       ("/", "")]
)  # fmt: skip
def test_paths(text: str, path: str) -> None:
    assert serving(SERVER_PATH=text).path == path
    assert client(environ={**CLIENT, "CLIENT_PATH": text}).path == path


@pytest.mark.parametrize(
    "text",
    [
        "chat", "//", "/a//b", "/../a", "/a/.", "/a/../b", "/a b", "/a?b", "/a#b", "/%2e", "/é",
        "/" + "x" * 200,
    ],
)  # fmt: skip
def test_what_is_no_path(text: str) -> None:
    """Proxies and servers would read it differently."""
    assert "it must be a path such as /chat" in refusal(lambda: serving(SERVER_PATH=text))


@pytest.mark.parametrize("name", ["TOKEN_FORMS", "TRUSTED_PROXIES"])
def test_what_closes_doors_is_not_passed_over(name: str) -> None:
    """In a part of a file that is not read."""
    file = Dotenv(withheld={name})
    assert refusal(lambda: settings.server_settings(Sources({}, SERVER, file))) == (
        f".env asks for {name} in a part that is not read, and without it tokens could be given "
        f"out where they should not be: set {name} in the environment, or say --env-file none to "
        "do without."
    )
    value = {"TOKEN_FORMS": "off", "TRUSTED_PROXIES": "10.0.0.1"}
    assert settings.server_settings(Sources({}, {**SERVER, **value}, file))


# The client


def test_a_name_for_tls_means_tls() -> None:
    chosen = client(environ={**CLIENT, "CLIENT_TLS_NAME": "chat.example.org"})
    assert chosen.use_ssl and chosen.tls_name == "chat.example.org"
    assert client(environ=CLIENT).tls_name is None


def test_an_invite_has_the_path() -> None:
    link = {"CLIENT_USERNAME": "al", "CLIENT_PASSWORD": "x", "CLIENT_INVITE": "cmdchat://a?path=/b"}
    assert client(environ=link).path == "/b"
    # What the command line says goes before a link from the environment; both from one place is
    # one too many.
    assert "are both set" in refusal(lambda: client(environ={**link, "CLIENT_PATH": "/c"}))
    assert client(environ=link, dotenv={"CLIENT_PATH": "/c"}).path == "/b"


def test_token_asks_where_the_servers_settings_say() -> None:
    """In its directory: the forms' own address, below its path."""
    environ = {**SERVER, "SERVER_HOST": "0.0.0.0", "SERVER_PORT": "1234", "SERVER_PATH": "/chat"}
    asked = token({"<USERNAME>": "al"}, environ)
    assert (asked.server, asked.port, asked.path) == ("127.0.0.1", 1234, "/chat")
    asked = token({"<USERNAME>": "al"}, {**environ, "TOKEN_FORMS": "127.0.0.2:1001"})
    assert (asked.server, asked.port, asked.path) == ("127.0.0.2", 1001, "/chat")
    asked = token({"<USERNAME>": "al", "CLIENT_SERVER": "localhost"}, environ)
    assert (asked.server, asked.port, asked.path) == ("localhost", 1000, "")
    asked = token({"<USERNAME>": "al", "CLIENT_SERVER": "localhost", "CLIENT_PATH": "/b"}, environ)
    assert asked.path == "/b"


def test_a_server_with_all_of_it_as_a_process() -> None:
    """The banner names where tokens are given out, and what clients need; ``token`` finds it."""
    port = free_port()
    environ = {
        "SERVER_PATH": "/chat", "TRUSTED_PROXIES": "127.0.0.1", "TOKEN_FORMS": f"127.0.0.1:{port}",
    }  # fmt: skip
    with Server(environ) as running:
        banner = "\n".join(running.banner)
        assert f"Tokens are given out at 127.0.0.1:{port} only." in banner
        assert "<password> --path /chat\n" in banner and "alice --path /chat\n" in banner
        asked = {**environ, "ADMIN_PASSWORD": "correct horse battery"}
        done = run_command("token", "al", env=asked)
        assert (done.status, done.errors) == (0, "") and len(done.out) > 40
        done = run_command("token", "al", "--server", "127.0.0.1", "--port", str(running.port),
                           "--path", "/chat", env=asked)  # fmt: skip
        assert done.status == 4
        assert done.errors.startswith("No tokens are given out at this address")
        taken = run_command("serve", "127.0.0.1", "0", env=asked)
        assert taken.status == 2
        assert taken.errors.startswith(f"Port {port} of TOKEN_FORMS is in use")
    with Server({"TRUSTED_PROXIES": "127.0.0.1"}) as running:
        done = run_command("token", "al", "--server", "127.0.0.1", "--port", str(running.port),
                           env={"ADMIN_PASSWORD": "correct horse battery"})  # fmt: skip
        assert done.status == 4
        assert done.errors.startswith("The server gives out no tokens through its proxy")


def test_clients_of_a_server_that_wants_headers_come_through_the_proxy() -> None:
    with Server({"TRUSTED_PROXIES": "127.0.0.0/8", "PROXY_PROTOCOL": "true"}) as running:
        assert not any("On this machine" in line for line in running.banner)
