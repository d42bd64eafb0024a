"""Which proxy a client goes through, how it is written, and that its password is shown nowhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import settings
from cli import asking
from settings import SettingsError, Sources
from settings.proxies import Proxy, parse_proxy, proxy_of_environment
from tests.command import run_command

CLIENT = {"CLIENT_SERVER": "chat.example", "CLIENT_USERNAME": "al", "CLIENT_PASSWORD": "pw"}
TOKEN = {"<USERNAME>": "al", "ADMIN_PASSWORD": "pw"}
SECRET = "h0rse"


def client(args: Any = None, environ: Any = None, dotenv: Any = None) -> settings.ClientSettings:
    file = settings.Dotenv() if dotenv is None else dotenv
    return settings.client_settings(Sources({**CLIENT, **(args or {})}, environ or {}, file))


def token(args: Any, environ: Any = None) -> settings.TokenSettings:
    return settings.token_settings(Sources({**TOKEN, **args}, environ or {}, {}))


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://p.example:3128", Proxy("http", "p.example", 3128)),
        ("  HTTP://p.example:3128/ ", Proxy("http", "p.example", 3128)),
        ("p.example:3128", Proxy("http", "p.example", 3128)),
        ("p.example", Proxy("http", "p.example", 1080)),
        ("https://p.example", Proxy("https", "p.example", 443)),
        ("socks5://127.0.0.1", Proxy("socks5", "127.0.0.1", 1080)),
        ("Socks5h://[::1]:9050", Proxy("socks5h", "::1", 9050)),
        ("http://al:s%40x%2Fy@p:1", Proxy("http", "p", 1, "al", "s@x/y")),
        ("al:@p:1", Proxy("http", "p", 1, "al", "")),
        ("socks5h://circuit7@p", Proxy("socks5h", "p", 1080, "circuit7", "")),
        ("http://:pw@p:1", Proxy("http", "p", 1, "", "pw")),
        ("http://@p:1", Proxy("http", "p", 1)),
        ("http://al:%C3%A9:%@p:1", None),
        ("http://al:%C3%A9%@p:1", Proxy("http", "p", 1, "al", "é%")),
    ],
)
def test_how_a_proxy_is_written(url: str, proxy: Proxy | None) -> None:
    if proxy is None:
        proxy = Proxy("http", "p", 1, "al", "é:%")
    assert parse_proxy(url) == proxy


@pytest.mark.parametrize(
    "url",
    [
        "socks4://p:1", "socks://p:1", "ftp://p:1", "://p:1", "http:///", "http://p:0",
        "http://p:65536", "http://p:1x", "http://p:1/path", "http://p:1?q", "http://p:1#f",
        "http://al:h0rse/x@p:1", "http://al:h0rse#x@p:1", "http://al@h0rse@p:1",
        "http://al:h0rse@p q:1", "http://al:%ff@p:1", "http://al:h0rse%0d%0aX@p:1",
        "http://a%3Al:h0rse@p:1", "socks5://:h0rse@p:1", f"socks5://al:{'h0rse' * 60}@p:1",
        "http://" + "x" * 3000, "http://al:h0rse@[::1:1", "http://al:h0rse@-:1",
    ],
)  # fmt: skip
def test_what_is_no_proxy_is_not_repeated(url: str) -> None:
    for args, environ in (({"CLIENT_PROXY": url}, {}), ({}, {"http_proxy": url})):
        with pytest.raises(SettingsError) as refused:
            client(args, environ)
        assert SECRET not in str(refused.value) and url not in str(refused.value)
    assert "http_proxy" in str(refused.value) and "--proxy" in str(refused.value)


@given(st.text(max_size=80))
def test_any_text_is_a_proxy_or_an_error(text: str) -> None:
    try:
        proxy = parse_proxy(text)
    except ValueError as error:
        assert len(text) < 10 or text not in str(error)
    else:
        assert 1 <= proxy.port <= 65535 and proxy.host


def test_what_is_shown_of_it_has_no_password() -> None:
    proxy = parse_proxy(f"socks5h://al:{SECRET}@[::1]:9")
    assert proxy.server == "[::1]:9"
    made = client({"CLIENT_PROXY": f"al:{SECRET}@p"})
    assert SECRET not in repr(proxy) and SECRET not in repr(made)


def test_where_a_setting_comes_from(tmp_path: Path) -> None:
    file = tmp_path / "proxy"
    file.write_text(f"socks5h://al:{SECRET}@p.example:9050\nmore\n")
    environ = {"CLIENT_PROXY": "from-environ:1", "http_proxy": "not-this:1"}
    for args, dotenv, host in (
        ({"CLIENT_PROXY": "http://line:1"}, {}, "line"),
        ({}, {"CLIENT_PROXY": "http://file:1"}, "from-environ"),
        ({"CLIENT_PROXY_FILE": str(file)}, {}, "p.example"),
    ):
        made = client(args, environ, dotenv).proxy
        assert made is not None and made.host == host
    made = client({}, {}, {"CLIENT_PROXY": "http://file:1"}).proxy
    assert made == Proxy("http", "file", 1)
    assert client({"CLIENT_PROXY": "NONE"}, environ).proxy is None
    made = token({"CLIENT_PROXY": "http://line:1", "CLIENT_USE_SSL": "true"}).proxy
    assert made == Proxy("http", "line", 1)
    with pytest.raises(SettingsError, match="both set"):
        client({"CLIENT_PROXY": "a:1", "CLIENT_PROXY_FILE": str(file)})
    file.write_text(f"http://al:{SECRET}@:1\n")
    with pytest.raises(SettingsError) as refused:
        client({"CLIENT_PROXY_FILE": str(file)})
    assert SECRET not in str(refused.value)


# The environment: the rules are curl's, and they are tried with curl in tools/networks

EVERY = {
    "https_proxy": "a", "HTTPS_PROXY": "b", "all_proxy": "c", "ALL_PROXY": "d", "http_proxy": "e",
    "HTTP_PROXY": "f",
}  # fmt: skip


@pytest.mark.parametrize(
    ("tls", "without", "host"),
    [
        (True, "", "a"), (True, "https_proxy", "b"), (True, "https_proxy HTTPS_PROXY", "c"),
        (True, "https_proxy HTTPS_PROXY all_proxy", "d"),
        (True, "https_proxy HTTPS_PROXY all_proxy ALL_PROXY", None),
        (False, "", "e"), (False, "http_proxy", "c"), (False, "http_proxy all_proxy", "d"),
        (False, "http_proxy all_proxy ALL_PROXY", None),
    ],
)  # fmt: skip
def test_which_variable_counts(tls: bool, without: str, host: str | None) -> None:
    for empty in (False, True):  # an empty one is none
        environ = {
            name: "" if name in without.split() else value
            for name, value in EVERY.items()
            if empty or name not in without.split()
        }
        made = client({"CLIENT_USE_SSL": "true"} if tls else {}, environ).proxy
        assert (made and made.host) == host
        assert made is None or made.kind == "http"


@pytest.mark.parametrize(
    ("exempt", "host", "direct"),
    [
        ({}, "chat.example", False),
        ({"no_proxy": "*"}, "chat.example", True),
        ({"no_proxy": "a, example"}, "chat.example", True),
        ({"no_proxy": ".example"}, "chat.example", True),
        ({"no_proxy": "example"}, "badexample", False),
        ({"no_proxy": ".example"}, "badexample", False),
        ({"no_proxy": "CHAT.EXAMPLE"}, "chat.example", True),
        ({"no_proxy": "chat.example:1000"}, "chat.example", True),
        ({"no_proxy": "chat.example:1001"}, "chat.example", False),
        ({"NO_PROXY": "chat.example"}, "chat.example", True),
        ({"NO_PROXY": "chat.example", "no_proxy": "other"}, "chat.example", False),
        ({"NO_PROXY": "chat.example", "no_proxy": ""}, "chat.example", False),
        ({"no_proxy": "2001:db8::1"}, "2001:db8::1", True),
        ({"no_proxy": "[2001:db8::1]:1000"}, "2001:db8::1", True),
        ({"no_proxy": "192.0.2.1"}, "192.0.2.1", True),
        ({}, "localhost", True),
        ({}, "LocalHost.", True),
        ({}, "a.localhost", True),
        ({}, "127.3.4.5", True),
        ({}, "::1", True),
        ({}, "::ffff:127.0.0.1", True),
        ({}, "0.0.0.0", True),  # noqa: S104
        ({}, "localhost.example", False),
    ],
)
def test_who_is_reached_directly(exempt: dict[str, str], host: str, direct: bool) -> None:
    environ = {"http_proxy": "http://p.example:3128", **exempt}
    made = proxy_of_environment(environ, host, 1000, False)
    assert made == (None if direct else Proxy("http", "p.example", 3128))
    # What a setting names is for everybody.
    made = client({"CLIENT_SERVER": host, "CLIENT_PROXY": "socks5h://q:1"}, environ).proxy
    assert made == Proxy("socks5h", "q", 1)


def test_what_is_wrong_in_the_environment_matters_only_where_it_counts() -> None:
    environ = {"http_proxy": "socks4://p:1"}
    assert client({"CLIENT_SERVER": "localhost"}, environ).proxy is None
    assert client({"CLIENT_USE_SSL": "true"}, environ).proxy is None
    assert client({"CLIENT_PROXY": "none"}, environ).proxy is None
    with pytest.raises(SettingsError, match="http_proxy"):
        client({}, environ)


def test_all_addresses_of_a_chat_have_one_proxy_or_none() -> None:
    """No name is looked up that is a proxy's to know, and no proxy is told of others."""
    some = {"http_proxy": "http://p:1", "no_proxy": "a.example"}
    for server, host in (
        ("b.example:1,c.example:2", "p"), ("a.example:1,a.example:2", None),
        ("localhost:1,127.0.0.1:2", None),
    ):  # fmt: skip
        made = client({"CLIENT_SERVER": server}, some).proxy
        assert (made and made.host) == host
    for server in ("a.example:1,b.example:2", "b.example:1,localhost:2"):
        with pytest.raises(SettingsError, match="not the same for all of these addresses"):
            client({"CLIENT_SERVER": server}, some)
        assert client({"CLIENT_SERVER": server, "CLIENT_PROXY": "none"}, some).proxy is None
        made = client({"CLIENT_SERVER": server, "CLIENT_PROXY": "socks5h://q:9"}, some).proxy
        assert made is not None and made.host == "q"


def test_a_file_of_settings_names_no_proxy_but_by_our_own_setting() -> None:
    dotenv = settings.Dotenv({name: "http://p:1" for name in EVERY})
    assert client({}, {}, dotenv).proxy is None
    assert client({"CLIENT_USE_SSL": "true"}, {}, dotenv).proxy is None


@pytest.mark.parametrize("name", ["CLIENT_PROXY", "CLIENT_PROXY_FILE"])
def test_a_proxy_that_was_asked_for_is_not_left_out(name: str) -> None:
    file = settings.Dotenv(withheld={name})
    with pytest.raises(SettingsError, match=name) as refused:
        client({}, {}, file)
    assert "directly" in str(refused.value) and settings.ROWS[name].flag in str(refused.value)
    with pytest.raises(SettingsError, match=name):
        settings.token_settings(Sources({**TOKEN, "CLIENT_SERVER": "localhost"}, {}, file))
    assert client({"CLIENT_PROXY": "none"}, {}, file).proxy is None


# The admin's password


@pytest.mark.parametrize("args", [{}, {"--list": "true"}, {"<TOKEN>": "x", "<USERNAME>": ""}])
def test_the_admins_password_goes_in_clear_to_this_machine_alone(args: dict[str, str]) -> None:
    def refused(more: dict[str, str], environ: Any = None) -> bool:
        try:
            token({"ADMIN_PASSWORD": "", "CLIENT_PASSWORD": "", **args, **more}, environ)
        except settings.MissingSetting:
            return False  # of the password, which is not asked for before that
        except SettingsError as error:
            assert "--ssl" in str(error)
            return True
        raise AssertionError("there is no password")

    for host in ("chat.example", "192.0.2.1", "2001:db8::1", "0.0.0.0", "10.0.0.1"):  # noqa: S104
        assert refused({"CLIENT_SERVER": host}), host
        assert not refused({"CLIENT_SERVER": host, "CLIENT_USE_SSL": "true"}), host
    for host in ("localhost", "127.0.0.1", "127.0.0.2", "::1", ""):
        assert not refused({"CLIENT_SERVER": host}, {"http_proxy": "p:1"}), host
        assert refused({"CLIENT_SERVER": host, "CLIENT_PROXY": "socks5h://127.0.0.1:1"}), host
    assert refused({}, {"SERVER_HOST": "192.0.2.1"})
    assert not refused({}, {"SERVER_HOST": "0.0.0.0"})  # noqa: S104


def test_a_password_in_a_proxys_url_is_told_as_exposed(capsys: pytest.CaptureFixture[str]) -> None:
    asking.note_exposed({"CLIENT_PROXY": "http://p.example:3128"})
    assert capsys.readouterr().err == ""
    asking.note_exposed({"CLIENT_PROXY": f"http://al:{SECRET}@p.example:3128"})
    said = capsys.readouterr().err
    assert "--proxy-file" in said and "URL" in said and SECRET not in said


@pytest.mark.parametrize(
    "words",
    [
        "http://u:hush@127.0.0.1:1000 bob", "u:hush@127.0.0.1:1000 bob",
        "cmdchat:/127.0.0.1:1000/room#hush bob", "127.0.0.1:1000/room#hush bob",
        "h 1 bob --room room#hush", "h 1 bob --proxy-file http://u:hush@127.0.0.1:1",
        "h 1 bob --ssl-ca http://u:hush@127.0.0.1:1",
    ],
)  # fmt: skip
def test_what_may_hold_a_secret_is_not_repeated_wherever_it_was_put(words: str) -> None:
    """A mistyped link, a URL in the place of a file: what is wrong is said without it."""
    done = run_command("connect", *words.split(), "--password-file", os.devnull)
    assert done.status == 2 and "hush" not in done.out + done.errors


@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_proxy_on_the_command_line_is_no_direct_connection(value: str) -> None:
    """As of ``--proxy "$UNSET"``; to connect directly there is ``none``."""
    done = run_command("connect", "127.0.0.1", "1", "bob", "pw", "--proxy", value)
    assert done.status == 2 and "--proxy" in done.errors
