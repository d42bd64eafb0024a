"""Named servers: what an entry of ``servers.ini`` sets, what goes before it, what is refused."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

import settings
from client.destination import unreached
from settings import SettingsError, Sources
from settings.servers import KEYS, NamedServer, named_server
from tests.command import run_command
from tests.processes import PASSWORD, Server

WORK = """
[DEFAULT]
username = alice

[work]
server = chat.example.org
port = 2000
room = team
ssl = yes
password-file = pw
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who has the file, and a folder to put it into."""
    (tmp_path / "cmd-chat").mkdir()
    return {"XDG_CONFIG_HOME": str(tmp_path), "APPDATA": str(tmp_path)}


def write(environ: dict[str, str], text: str) -> Path:
    path = Path(environ["XDG_CONFIG_HOME"], "cmd-chat", "servers.ini")
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def client(
    args: dict[str, Any], environ: dict[str, str], dotenv: Any = None
) -> settings.ClientSettings:
    sources = Sources(args, environ, dotenv or {}, read_line=lambda path: f"read from {path}")
    return settings.client_settings(sources)


def refusal(environ: dict[str, str], name: str = "work") -> str:
    with pytest.raises(SettingsError) as caught:
        named_server(name, environ)
    return str(caught.value)


def test_an_entry_says_it_all(environ: dict[str, str]) -> None:
    write(environ, WORK)
    chosen = client({"CLIENT_SERVER": "work"}, environ)
    assert (chosen.server, chosen.port) == ("chat.example.org", 2000)
    assert (chosen.username, chosen.room, chosen.use_ssl) == ("alice", "team", True)
    assert chosen.password == "read from pw"


def test_an_entry_does_not_lead_to_another_one(environ: dict[str, str]) -> None:
    """Not with a login either, for which it is looked at twice."""
    write(environ, "[work]\nserver = home\n[home]\nserver = elsewhere\nport = 7\n")
    args: dict[str, Any] = {"CLIENT_SERVER": "work", "CLIENT_TOKEN": "id.secret", "--login": "true"}
    chosen = settings.status_settings(Sources(args, environ, {}))
    assert chosen.login is not None and chosen.login.server == chosen.server == "home"
    assert chosen.login.port == chosen.port == 1000


@pytest.mark.parametrize("name", ["Work", "works", "DEFAULT", "", "chat.example.org"])
def test_what_is_no_entry_is_an_address(environ: dict[str, str], name: str) -> None:
    write(environ, WORK)
    assert named_server(name, environ) is None


def test_without_the_file_every_name_is_an_address(environ: dict[str, str]) -> None:
    assert named_server("work", environ) is None
    Path(environ["XDG_CONFIG_HOME"], "cmd-chat").rmdir()
    assert named_server("work", environ) is None


def test_the_source_that_names_it_goes_before_it_and_the_others_after_it(
    environ: dict[str, str],
) -> None:
    write(environ, WORK)
    rooms = {"CLIENT_ROOM": "den", "CLIENT_USERNAME": "zoe", "CLIENT_PASSWORD": "secret"}
    by_line = client({"CLIENT_SERVER": "work", "CLIENT_ROOM": "lab"}, {**environ, **rooms})
    assert (by_line.room, by_line.username, by_line.password) == ("lab", "alice", "read from pw")
    by_environment = client({}, {**environ, **rooms, "CLIENT_SERVER": "work"})
    assert (by_environment.room, by_environment.username) == ("den", "zoe")
    assert (by_environment.password, by_environment.port) == ("secret", 2000)
    by_dotenv = client({}, environ, settings.Dotenv({"CLIENT_SERVER": "work"}))
    assert (by_dotenv.server, by_dotenv.room) == ("chat.example.org", "team")


def test_an_entry_has_several_rooms_and_a_secret_of_each(environ: dict[str, str]) -> None:
    files = "secret-file = first\n  lab = second\n  ops=third\n"
    write(environ, WORK.replace("room = team", "room = team, lab,ops\n" + files))
    chosen = client({"CLIENT_SERVER": "work"}, environ)
    assert (chosen.rooms, chosen.rooms_named) == (("team", "lab", "ops"), True)
    paths = {"team": "first", "lab": "second", "ops": "third"}
    read = {room: f"read from {path}" for room, path in paths.items()}
    assert chosen.room_secrets == read
    typed = {"CLIENT_SERVER": "work", "CLIENT_ROOM_SECRET_FILE": "lab=other"}
    assert client(typed, environ).room_secrets == read | {"lab": "read from other"}


def test_another_room_is_typed_and_its_secret_alone_is_taken(environ: dict[str, str]) -> None:
    files = "secret-file = team=first\n  lab=second\n"
    write(environ, WORK.replace("room = team", "room = team, lab\n" + files))
    for room, secrets in ("lab", {"lab": "read from second"}), ("ops", {}):
        chosen = client({"CLIENT_SERVER": "work", "CLIENT_ROOM": room}, environ)
        assert (chosen.rooms, chosen.room_secrets) == ((room,), secrets)


def test_of_ways_to_come_in_the_one_beside_the_name_is_enough(environ: dict[str, str]) -> None:
    write(environ, WORK)
    chosen = client({"CLIENT_SERVER": "work", "CLIENT_TOKEN": "abc"}, environ)
    assert (chosen.token, chosen.password) == ("abc", None)


def test_a_second_word_is_the_nickname_where_the_entry_has_the_port(
    environ: dict[str, str],
) -> None:
    write(environ, WORK)
    args = {"CLIENT_SERVER": "work", "CLIENT_PORT": "bob"}
    assert client(args, environ).username == "bob"
    assert client({**args, "CLIENT_PORT": "3000"}, environ).port == 3000
    write(environ, "[work]\nserver = chat.example.org\n")
    with pytest.raises(SettingsError, match="CLIENT_PORT"):
        client(args, environ)


@pytest.mark.parametrize("server", ["a.example:7", "a.example:7,b.example:8"])
def test_an_entry_may_have_ports_with_its_addresses(environ: dict[str, str], server: str) -> None:
    path = write(environ, f"[work]\nserver = {server}\npassword-file = pw\n")
    chosen = client({"CLIENT_SERVER": "work", "CLIENT_PORT": "bob"}, environ)
    assert chosen.username == "bob"
    assert ",".join(f"{host}:{port}" for host, port in chosen.addresses) == server
    args = {"<ACTION>": "list", "<SERVER>": "work"}
    assert settings.history_settings(Sources(args, environ, {})).server == ("a.example", 7)
    write(environ, path.read_text() + "port = 9\n")
    if "," in server:
        assert settings.history_settings(Sources(args, environ, {})).server == ("a.example", 7)
    with pytest.raises(SettingsError, match=r"CLIENT_SERVER .* and CLIENT_PORT .* keep one"):
        client({"CLIENT_SERVER": "work"}, environ)


def test_an_entry_without_a_server_is_for_the_address_that_it_is_called_by(
    environ: dict[str, str],
) -> None:
    write(environ, "[chat.example.org]\nport = 2000\nusername = alice\npassword-file = pw\n")
    chosen = client({"CLIENT_SERVER": "chat.example.org"}, environ)
    assert (chosen.server, chosen.port) == ("chat.example.org", 2000)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("rooom = team", "rooom in [work]: there is no such setting"),
        ("secret-file = a\n  \x1b", "secret-file in [work]: it must not contain control"),
        ("ask-secret = team", "ask-secret in [work]: there is no such setting"),
        ("port = many", "port in [work]: it must be a whole number"),
        ("ssl = perhaps", "ssl in [work]: it must be true or false"),
        ("token = abc", "token in [work]: what is secret stays out of this file"),
        ("secret = abc", "secret in [work]: what is secret stays out of this file"),
        ("password = abc", "password in [work]: what is secret stays out of this file"),
        ("no way", "line 9 is not understood"),
        ("port = 1\nport = 2", "line 10 is not understood, or is there twice"),
        ("[work]", "line 9 is not understood, or is there twice"),
    ],
)
def test_what_is_wrong_is_named_and_never_shown(
    environ: dict[str, str], line: str, words: str
) -> None:
    path = write(environ, WORK.replace("port = 2000\n", "").replace("ssl = yes\n", "") + line)
    said = refusal(environ)
    assert words in said and said.startswith(str(path)) and "abc" not in said


def test_another_entrys_mistake_is_in_nobodys_way(environ: dict[str, str]) -> None:
    write(environ, WORK + "\n[other]\nrooom = team\n")
    assert named_server("work", environ) is not None


def test_a_file_that_others_may_write_to_is_refused_whatever_is_asked_for(
    environ: dict[str, str],
) -> None:
    path = write(environ, WORK)
    path.chmod(0o646)
    said = refusal(environ, "not-there")
    assert f"everybody may write to it (chmod go-w {path} changes that)" in said
    assert shlex.split(said.partition("(")[2])[:3] == ["chmod", "go-w", str(path)]


def test_what_is_no_readable_file_is_refused(environ: dict[str, str]) -> None:
    path = write(environ, "")
    path.write_bytes(b"[work]\nroom = \xff\n")
    assert "not valid UTF-8" in refusal(environ)
    path.write_text("ssl = yes\n[work]\nroom = team\n")
    assert "line 1 is not understood" in refusal(environ)
    path.write_bytes(b"#" * 200_000)
    assert "too long" in refusal(environ)
    path.unlink()
    path.mkdir()
    assert "no ordinary file" in refusal(environ)


def test_every_key_is_an_option_of_connect_and_none_is_a_secret_in_clear() -> None:
    assert {"server", "port", "username", "room", "ssl", "bell", "reconnect"} <= set(KEYS)
    assert not {"invite", "language", "env-file"} & set(KEYS)
    entry = NamedServer("work", "file", {"CLIENT_SERVER": "::1", "CLIENT_PORT": "2000"})
    assert entry.address == "[::1]:2000"


def test_a_name_that_is_no_entry_brings_the_one_that_was_meant(environ: dict[str, str]) -> None:
    assert settings.entry_hint("wrok", environ) == ""  # there is no file
    path = write(environ, WORK + "\n[home]\nserver = ::1\n")
    assert settings.entry_hint("wrok", environ) == " Did you mean work?"
    assert settings.entry_hint("elsewhere", environ) == f" {path} has these servers: work, home."
    # A nickname is no port, and the entry that has one was mistyped.
    args = {"CLIENT_SERVER": "wrok", "CLIENT_PORT": "alice"}
    with pytest.raises(SettingsError, match=r"whole number.*\. Did you mean work\?"):
        client(args, environ)
    write(environ, "\n".join(f"[s{number}]" for number in range(30)))
    assert settings.entry_hint("zzzz", environ).endswith(", s19, ….")
    path.chmod(0o646)  # what is wrong is said when an entry is named
    assert settings.entry_hint("s1", environ) == ""


def test_help_names_the_entries_where_a_server_may_stand(environ: dict[str, str]) -> None:
    path = write(environ, WORK)
    line = f"\n{path} has these servers: work.\n"
    for command in ("connect", "send", "history"):
        assert run_command(command, "--help", env=environ).out.endswith(line)
    assert line not in run_command("serve", "--help", env=environ).out


def test_a_host_that_is_not_known_brings_the_entry(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(environ, WORK)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    chosen = client({"CLIENT_SERVER": "wrok", "CLIENT_TOKEN": "a.b"}, environ)
    status, sentence = unreached("name", {}, chosen)
    assert status == 3 and sentence.endswith("IP address. Did you mean work?")
    assert "Did you mean" not in unreached("timeout", {}, chosen)[1]


def test_people_connect_and_ask_for_tokens_by_a_name(environ: dict[str, str]) -> None:
    with Server() as server:
        text = f"[localhost]\nserver = {server.host}\nport = {server.port}\nusername = ann\n"
        path = write(environ, text)
        env = {**environ, "CLIENT_PASSWORD": PASSWORD, "ADMIN_PASSWORD": PASSWORD}
        done = run_command("connect", "localhost", "--renderer", "json", env=env)
        assert done.status == 0 and '"nick": "ann"' in done.out
        # A host is called so as well.
        assert f"localhost is {server.host}:{server.port}, as {path} has it." in done.errors
        assert run_command("token", "bob", "--server", "localhost", env=env).status == 0
