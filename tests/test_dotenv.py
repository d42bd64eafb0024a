"""A ``.env`` in a folder that may be anybody's: what is believed, and what is said of the rest."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import settings
from settings import SettingsError, Sources, dotenv_file
from settings.dotenv import STRICT, parse_dotenv
from tests.module_server import server_fixture  # noqa: F401
from tests.processes import (
    DEADLINE,
    PASSWORD,
    PROGRAM,
    Client,
    Program,
    Server,
    environment,
    free_port,
    terminal_client,
)

GOOD = "SERVER_PORT=7\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, in which nothing is."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Owner:
    """Who runs the program, and whose the files are, without being root."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch

    def is_user(self, user: int) -> None:
        self._patch.setattr(os, "geteuid", lambda: user)

    def own(self, owners: Mapping[str, tuple[int, int]], mode: int) -> None:
        """Owner and group of what is open, of the link (``.env``), and of the folder (``.``)."""

        def made(name: str, before: os.stat_result) -> os.stat_result:
            values = list(before)
            values[stat.ST_UID], values[stat.ST_GID] = owners.get(name, owners[".env"])
            if name != ".":
                values[stat.ST_MODE] = stat.S_IFREG | mode
            return os.stat_result(values)

        real_stat, real_fstat = os.stat, os.fstat
        self._patch.setattr(os, "fstat", lambda fd: made(".env", real_fstat(fd)))
        self._patch.setattr(os, "lstat", lambda path: made("link", real_stat(path)))
        self._patch.setattr(os, "stat", lambda path: made(str(path), real_stat(path)))


@pytest.fixture
def owner(monkeypatch: pytest.MonkeyPatch) -> Owner:
    return Owner(monkeypatch)


ANN, BOB, STAFF = 1001, 1002, 50


@pytest.fixture
def people(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ann and Bob have groups of their own, and Bob's a guest; ``staff`` is everybody's."""
    import grp
    import pwd

    users = {0: ("root", 0), ANN: ("ann", ANN), BOB: ("bob", BOB), 1003: ("cat", STAFF)}
    groups = {0: ("root", []), ANN: ("ann", []), BOB: ("bob", ["ann"]), STAFF: ("staff", ["ann"])}

    def user(uid: int) -> pwd.struct_passwd:
        name, group = users[uid]
        return pwd.struct_passwd((name, "x", uid, group, "", "/", "/bin/sh"))

    def group(gid: int) -> grp.struct_group:
        name, members = groups[gid]
        return grp.struct_group((name, "x", gid, members))

    monkeypatch.setattr(pwd, "getpwuid", user)
    monkeypatch.setattr(grp, "getgrgid", group)


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("user", "owners", "mode", "believed"),
    [
        (ANN, {".env": (ANN, ANN)}, 0o600, True),
        (ANN, {".env": (ANN, ANN)}, 0o644, True),
        (ANN, {".env": (ANN, ANN)}, 0o664, True),  # umask 002, a group of one's own
        (ANN, {".env": (ANN, STAFF)}, 0o640, True),
        (ANN, {".env": (ANN, STAFF)}, 0o664, False),
        (ANN, {".env": (ANN, ANN)}, 0o666, False),
        (ANN, {".env": (ANN, ANN)}, 0o602, False),
        (ANN, {".env": (0, 0)}, 0o644, True),  # sudo cp
        (ANN, {".env": (0, 0)}, 0o664, True),
        (ANN, {".env": (0, STAFF)}, 0o664, False),
        (ANN, {".env": (BOB, BOB)}, 0o644, False),
        (ANN, {".env": (BOB, BOB), ".": (BOB, BOB)}, 0o644, False),
        (ANN, {".env": (ANN, ANN), "link": (BOB, BOB)}, 0o644, False),  # ln -s, by Bob
        (BOB, {".env": (BOB, BOB)}, 0o664, False),  # Ann is in his group, too
        (1003, {".env": (1003, STAFF)}, 0o664, False),  # the group is everybody's first one
        (0, {".env": (ANN, ANN), ".": (ANN, ANN)}, 0o664, True),  # sudo, in her folder
        (0, {".env": (ANN, ANN), ".": (0, 0)}, 0o644, False),  # in /tmp
        (0, {".env": (4242, 4242), ".": (4242, 4242)}, 0o664, True),  # a container
        (4242, {".env": (4242, 4242)}, 0o664, True),
        (4242, {".env": (4242, 0)}, 0o664, True),  # any user, with the group root
        (4242, {".env": (4242, STAFF)}, 0o664, False),
    ],
)
def test_whose_file_is_believed(
    here: Path,
    owner: Owner,
    user: int,
    owners: dict[str, tuple[int, int]],
    mode: int,
    believed: bool,
) -> None:
    (here / ".env").write_text(GOOD)
    owner.is_user(user)
    owner.own(owners, mode)
    read = settings.read_dotenv()
    assert read == ({"SERVER_PORT": "7"} if believed else {})
    assert len(read.notices) == (not believed)
    assert believed or "is not read: " in read.notices[0] and "--env-file .env" in read.notices[0]
    assert settings.read_dotenv(".env") == {"SERVER_PORT": "7"}  # named, it is believed


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_a_copy_of_the_example_is_believed(here: Path, umask: int) -> None:
    """By whoever runs these tests, in whatever folder."""
    before = os.umask(umask)
    try:
        shutil.copyfile(PROGRAM.parent / ".env.example", here / ".env")
    finally:
        os.umask(before)
    os.chown(here / ".env", -1, os.getgid())
    assert (settings.read_dotenv(), settings.read_dotenv().notices) == ({}, ())
    with (here / ".env").open("a") as file:
        file.write(GOOD)
    assert settings.read_dotenv() == {"SERVER_PORT": "7"}


# What is no file


def test_a_folder_is_nothing_to_speak_of(here: Path) -> None:
    (here / ".env").mkdir()
    assert (settings.read_dotenv(), settings.read_dotenv().notices) == ({}, ())
    with pytest.raises(SettingsError):
        settings.read_dotenv(".env")


def test_what_is_no_ordinary_file_is_not_read(here: Path) -> None:
    path = here / ".env"
    os.mkfifo(path)
    read = settings.read_dotenv()
    assert (read, read.notices) == ({}, (".env is not read: it is no ordinary file.",))
    path.unlink()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(".env")
        assert settings.read_dotenv().notices == read.notices
    path.unlink()
    path.symlink_to("/dev/tty")
    assert settings.read_dotenv().notices == read.notices
    path.unlink()
    path.symlink_to("nowhere")
    assert settings.read_dotenv().notices == ()


def test_a_file_that_becomes_a_fifo_does_not_hang(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the opening; what is open is looked at again."""
    os.mkfifo(here / ".env")
    ordinary = os.stat(PROGRAM)
    monkeypatch.setattr(os, "stat", lambda path: ordinary)
    read = settings.read_dotenv()
    assert (read, read.notices) == ({}, (".env is not read: it is no ordinary file.",))


def test_a_named_pipe_is_read_to_its_end(here: Path) -> None:
    """``--env-file <(gpg -d settings.gpg)``: what is written later counts, too."""
    reader, writer = os.pipe()
    late = f"import os; os.write({writer}, b'SERVER_PORT=7')"  # Python has to start first
    with subprocess.Popen([sys.executable, "-c", late], pass_fds=[writer]) as program:
        os.close(writer)
        assert settings.read_dotenv(f"/dev/fd/{reader}") == {"SERVER_PORT": "7"}
        program.wait()
    os.close(reader)
    os.mkfifo(here / "fifo")
    assert settings.read_dotenv("fifo") == {}  # nobody writes there


def test_what_cannot_be_read_stops_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / ".env").write_text(GOOD)

    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    read = settings.read_dotenv()
    wanted = ".env is not read: it cannot be read (Permission denied)."
    assert (read, read.notices) == ({}, (wanted,))


def test_none_is_no_file(here: Path) -> None:
    (here / ".env").write_text(GOOD)
    assert settings.read_dotenv("none") == {}


# Lines of another tool


def test_good_lines_are_taken_whatever_stands_around_them() -> None:
    text = (
        "source activate x\nSERVER_PORT=7\nset -x A b\nif true; then\n  B=2\nfi\n"
        'C="never closed\nD=4\nkey: value\n[section]\n'
    )
    read = parse_dotenv(text)
    assert read == {"SERVER_PORT": "7", "B": "2", "D": "4"}
    wanted = ".env lines 1, 3, 4, 6, 7, 9, 10 are not of the form NAME=value, and are passed over."
    assert read.notices == (wanted,)
    assert not read.withheld
    assert parse_dotenv("x\n" * 50).notices[0].count(",") == 11


def test_a_line_that_is_not_utf8_is_passed_over_alone(here: Path) -> None:
    (here / ".env").write_bytes(b"# caf\xe9\nCITY=Malm\xf6\nSERVER_PORT=7\nFORCE_SSL=ja\xdf\n")
    read = settings.read_dotenv()
    assert read == {"SERVER_PORT": "7"}
    assert "lines 2, 4 are" in read.notices[0] and read.withheld == {"FORCE_SSL"}


@pytest.mark.parametrize("name", STRICT)
@pytest.mark.parametrize(
    "line",
    ["{}: true", "set -x {} true", "setenv {} yes", "{} true", "{}='true", "  export {}",
     "declare -x {}=true", 'A="x\n{}=true\nB="'],
)  # fmt: skip
def test_a_strict_setting_in_a_line_that_is_passed_over(name: str, line: str) -> None:
    read = parse_dotenv(line.format(name))
    assert read.withheld == {name}


@pytest.mark.parametrize("line", ["# {}: true", "  # set -x {} true", "X{} y", "{}_2 y", "{}=true"])
def test_a_strict_setting_that_is_not_named_there(line: str) -> None:
    assert not parse_dotenv(line.format("FORCE_SSL")).withheld


def test_a_file_that_is_not_read_is_searched_for_strict_settings(here: Path) -> None:
    path = here / ".env"
    text = "FORCE_SSL=true\nCLIENT_USE_SSL=no\nCLIENT_SSL_CA=\nA: CLIENT_SSL_FINGERPRINT\n"
    path.write_text(text)
    path.chmod(0o666)
    read = settings.read_dotenv()
    assert not read and read.withheld == frozenset({"FORCE_SSL", "CLIENT_SSL_FINGERPRINT"})
    path.write_bytes("#FORCE_SSL=1\nCLIENT_USE_SSL=1\n".encode("utf-16"))
    path.chmod(0o600)
    read = settings.read_dotenv()
    assert not read and read.withheld == frozenset({"CLIENT_USE_SSL"})
    assert "UTF-16" in read.notices[0]
    path.write_text("FORCE_SSL=true\n" + "#" * dotenv_file._FILE_BYTES)
    read = settings.read_dotenv()
    assert not read and read.withheld == frozenset({"FORCE_SSL"}) and "too long" in read.notices[0]


def connect(withheld: set[str], args: Mapping[str, str]) -> settings.ClientSettings:
    whole = {"CLIENT_SERVER": "a", "CLIENT_USERNAME": "ann", "CLIENT_PASSWORD": "x", **args}
    if "CLIENT_INVITE" in args:
        del whole["CLIENT_SERVER"]
    return settings.client_settings(Sources(whole, {}, settings.Dotenv(withheld=withheld)))


FINGERPRINT = "ab" * 32


@pytest.mark.parametrize(
    ("name", "args", "goes_on"),
    [
        ("CLIENT_USE_SSL", {}, False),
        ("CLIENT_USE_SSL", {"CLIENT_USE_SSL": "true"}, True),
        ("CLIENT_USE_SSL", {"CLIENT_USE_SSL": "false"}, True),  # said by somebody who may
        ("CLIENT_USE_SSL", {"CLIENT_SSL_CA": "f"}, True),
        ("CLIENT_USE_SSL", {"CLIENT_INVITE": "cmdchats://a/r"}, True),
        ("CLIENT_USE_SSL", {"CLIENT_INVITE": "cmdchat://a/r"}, False),
        ("CLIENT_SSL_CA", {"CLIENT_USE_SSL": "true"}, False),
        ("CLIENT_SSL_CA", {"CLIENT_SSL_CA": "f"}, True),
        ("CLIENT_SSL_CA", {"CLIENT_SSL_FINGERPRINT": FINGERPRINT}, True),
        ("CLIENT_SSL_FINGERPRINT", {"CLIENT_SSL_CA": "f"}, False),
        ("CLIENT_SSL_FINGERPRINT", {"CLIENT_SSL_FINGERPRINT": FINGERPRINT}, True),
        ("CLIENT_SSL_FINGERPRINT", {"CLIENT_INVITE": f"cmdchats://a/r?fp={FINGERPRINT}"}, True),
        ("FORCE_SSL", {}, True),  # the server's
    ],
)
def test_nothing_goes_on_in_clear_that_was_not_to(
    name: str, args: dict[str, str], goes_on: bool
) -> None:
    if goes_on:
        connect({name}, args)
        return
    with pytest.raises(SettingsError) as refused:
        connect({name}, args)
    assert name in str(refused.value) and settings.ROWS[name].flag in str(refused.value)
    assert "--env-file none" in str(refused.value)
    assert not isinstance(refused.value, settings.MissingSetting)


def test_a_server_does_not_start_in_clear_either() -> None:
    file = settings.Dotenv(withheld={"FORCE_SSL", "CLIENT_USE_SSL"})
    args = {"ADMIN_PASSWORD": "x"}
    with pytest.raises(SettingsError, match="FORCE_SSL"):
        settings.server_settings(Sources(args, {}, file))
    settings.server_settings(Sources({**args, "SSL_CERT_PATH": "c", "SSL_KEY_PATH": "k"}, {}, file))
    settings.server_settings(Sources({**args, "FORCE_SSL": "false"}, {}, file))
    with pytest.raises(SettingsError, match="CLIENT_USE_SSL"):
        settings.token_settings(Sources({**args, "<USERNAME>": "ann"}, {}, file))
    settings.history_settings(Sources({"<ACTION>": "list"}, {}, file))


def test_what_was_made_use_of() -> None:
    """What a source of higher priority, or an invite link, has said is not of the file's doing."""
    file = settings.Dotenv(
        {"CLIENT_SERVER": "b", "CLIENT_ROOM": "r", "CLIENT_USERNAME": "ann", "SERVER_PORT": "7",
         "CLIENT_PASSWORD": "x", "CLIENT_BELL": "", "OTHER": "y"}
    )  # fmt: skip
    settings.client_settings(Sources({"CLIENT_ROOM": "s"}, {}, file))
    assert file.used() == ["CLIENT_SERVER", "CLIENT_USERNAME", "CLIENT_PASSWORD"]
    file.taken.clear()
    settings.client_settings(Sources({"CLIENT_INVITE": "cmdchat://a/t"}, {}, file))
    assert file.used() == ["CLIENT_USERNAME", "CLIENT_PASSWORD"]


# The program


def test_what_was_taken_is_said_and_not_among_events(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"CLIENT_PASSWORD={PASSWORD}\nCLIENT_ROOM=den\n")
    with Client(server, "ann", settings={"CLIENT_PASSWORD": ""}, cwd=tmp_path) as client:
        assert client.finish() == 0
        assert client.errors == "cmd_chat: settings from .env: CLIENT_PASSWORD, CLIENT_ROOM\n"
        assert b"settings from" not in client.out


def test_a_token_alone_is_printed(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"ADMIN_PASSWORD={PASSWORD}\n")
    words = ["token", "tom", "--server", server.host, "--port", str(server.port)]
    with Program(words, cwd=tmp_path) as program:
        assert program.end() == 0
        assert program.out.decode().strip().count(".") == 1 and b" " not in program.out
        assert program.errors == "cmd_chat: settings from .env: ADMIN_PASSWORD\n"


def test_a_servers_password_from_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"ADMIN_PASSWORD={PASSWORD}\n")
    with Program(["serve", "127.0.0.1", str(free_port())], cwd=tmp_path) as program:
        program.wait_for(lambda: program.out.count(b"=" * 60) == 3)
        program.wait_for(lambda: "is the one of .env (ADMIN_PASSWORD)" in program.errors)
        assert PASSWORD not in program.told()


@pytest.mark.parametrize("person", [True, False])
def test_a_history_that_a_file_asks_for_is_named(
    server: Server, tmp_path: Path, person: bool
) -> None:
    (tmp_path / "env").write_text("ENABLE_LOCAL_HISTORY=yes\nHISTORY_PASSPHRASE=planted\n")
    state = {"XDG_STATE_HOME": str(tmp_path)}
    options = ["--env-file", str(tmp_path / "env")]
    sentence = "This chat is recorded on this machine"
    if person:
        with terminal_client(server, "his", *options, env=state) as terminal:
            terminal.sees(sentence)
            terminal.type("q\r")
            assert terminal.end() == 0
    else:
        with Client(server, "hers", *options, settings=state) as client:
            assert client.finish() == 0
            assert sentence in client.errors and sentence.encode() not in client.out


def test_planted_and_broken_files_stop_nothing_that_has_all_it_needs(
    server: Server, tmp_path: Path
) -> None:
    """A FIFO, of which an earlier version never got rid, and a file that everybody may write."""
    path = tmp_path / ".env"
    os.mkfifo(path)
    with Client(server, "fifo", cwd=tmp_path) as client:
        assert client.finish("hello") == 0
        assert client.errors == "cmd_chat: .env is not read: it is no ordinary file.\n"
    path.unlink()
    path.write_text("CLIENT_ROOM=trap\nENABLE_LOCAL_HISTORY=yes\nHISTORY_PASSPHRASE=planted\n")
    path.chmod(0o666)
    with Client(server, "planted", cwd=tmp_path) as client:
        assert client.finish("hello") == 0
        assert client.all("connected")[0]["room"] == "default"
        assert client.errors.count("\n") == 1 and "everybody may write" in client.errors
    path.write_text("CLIENT_USE_SSL=true\n")
    with Client(server, "clear", cwd=tmp_path, joined=False) as client:
        assert (client.end(), client.out) == (2, b"")
        assert "asks for CLIENT_USE_SSL" in client.errors and "--ssl" in client.errors
    with Client(server, "off", "--env-file", "none", cwd=tmp_path) as client:
        assert (client.finish("hello"), client.errors) == (0, "")


def test_help_is_silent_about_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".env")
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--help"],
        cwd=tmp_path, env=environment(), capture_output=True, timeout=DEADLINE, check=True,
    )  # fmt: skip
    assert done.stderr == b"" and b"connect" in done.stdout
