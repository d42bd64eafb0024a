"""What the program says of how to start it again, tried as it says it."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from server.banner import cannot_listen
from settings import Sources, server_settings, started
from tests.processes import PASSWORD, PROGRAM, ROOT, Client, Program, Server, free_port

MAKE = {"CMD_CHAT_RUN": "make"}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A working folder with a virtual environment's Python, which is the one that runs."""
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(python))
    return python


def said(monkeypatch: pytest.MonkeyPatch, script: str) -> str:
    monkeypatch.setattr(sys, "argv", [script])
    return started.program()


def test_each_way_of_starting_is_told_as_it_was(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = ".venv/bin/python"
    assert said(monkeypatch, "cmd_chat.py") == f"{python} cmd_chat.py"
    assert said(monkeypatch, "/a place/cmd_chat.pyz") == f"{python} '/a place/cmd_chat.pyz'"
    assert said(monkeypatch, "/lib/cmd_chat/__main__.py") == f"{python} -m cmd_chat"
    script = str(here.parent / "cmd-chat")
    assert said(monkeypatch, script) == script  # it is not on the way that the shell looks
    here.rename(script)
    monkeypatch.setenv("PATH", str(here.parent))
    assert said(monkeypatch, script) == "cmd-chat"


def test_an_active_environment_needs_no_path(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(here.parent))
    assert said(monkeypatch, "cmd_chat.py") == "python cmd_chat.py"
    (here.parent / "python3").symlink_to(here)
    monkeypatch.setattr(sys, "executable", str(here.parent / "python3"))
    assert said(monkeypatch, "cmd_chat.pyz") == "python3 cmd_chat.pyz"
    monkeypatch.chdir("/usr")
    monkeypatch.setenv("PATH", "/nowhere")
    assert said(monkeypatch, "x.pyz") == f"{here.parent}/python3 x.pyz"


def test_make_is_told_what_differs_from_its_own_defaults() -> None:
    for host, port, words in (
        ("127.0.0.1", 10000, ""),
        ("0.0.0.0", 10000, ""),  # this machine is one of all addresses
        ("127.0.0.1", 10005, " PORT=10005"),
        ("192.0.2.7", 10000, " HOST=192.0.2.7"),
        ("::", 7, " HOST=::1 PORT=7"),
    ):
        assert started.connect_line(MAKE, host, port) == f"make connect NAME=alice{words}"
    assert started.serve_line(MAKE, "127.0.0.1", 10006) == "make serve PORT=10006"
    assert started.serve_line({}, "127.0.0.1", 10006) == ""
    # The Makefile has no TLS.
    assert " alice --ssl" in started.connect_line(MAKE, "127.0.0.1", 10000, " --ssl")


def test_the_makefiles_defaults_are_those() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = dict(re.findall(r"^(HOST|PORT)\s+\?= (\S+)$", text, re.MULTILINE))
    assert found == {"HOST": started.MAKE_HOST, "PORT": str(started.MAKE_PORT)}


def test_a_port_in_use_is_answered_for_make_too(monkeypatch: pytest.MonkeyPatch) -> None:
    args = {"SERVER_HOST": "0.0.0.0", "SERVER_PORT": "10000"}
    chosen = server_settings(Sources(args, {"ADMIN_PASSWORD": "x"}, {}))
    assert cannot_listen("in_use", chosen).endswith(" try port 10001.")
    monkeypatch.setenv("CMD_CHAT_RUN", "make")
    assert cannot_listen("in_use", chosen).endswith(
        " try port 10001.\n  make serve HOST=0.0.0.0 PORT=10001"
    )
    assert "make" not in cannot_listen("name", chosen)


def on_this_machine(banner: list[str]) -> str:
    (line,) = [line for line in banner if line.startswith("  On this machine: ")]
    return line.partition(": ")[2]


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_banners_line_works_as_it_stands(host: str) -> None:
    with Server(host=host) as server:
        line = on_this_machine(server.banner)
        command = [*shlex.split(line), "--renderer", "json"]
        with Client(server, "alice", command=command) as client:
            assert client.finish() == 0


def test_with_make_the_banners_line_works_too(tmp_path: Path) -> None:
    port = free_port()
    env = {"MAKEFLAGS": "", "MAKELEVEL": "", "MFLAGS": ""}  # of a make that runs the tests
    folder = ["make", "--no-print-directory", "-C", str(ROOT)]
    with Program(command=[*folder, "serve", f"PORT={port}"], env=env) as server:
        server.wait_for(lambda: server.out.count(b"=" * 60) == 3)
        text = server.out.decode()
        line = on_this_machine(text.splitlines())
        assert line == f"make connect NAME=alice PORT={port}"
        password = re.search(r"^Password \(shown only once\): (\S+)$", text, re.MULTILINE)
        assert password is not None
        env["CLIENT_PASSWORD"] = password[1]
        words = [*folder, *shlex.split(line)[1:], "ARGS=--renderer json"]
        with Program(command=words, env=env) as client:
            client.write(b"hello\n")
            client.end_input()
            assert client.end() == 0 and client.errors == ""
            assert b'"server": "127.0.0.1:%d"' % port in client.out
        server.write(b"q\n")
        assert server.end() == 0


def test_make_adds_nothing_to_what_was_wrong() -> None:
    env = {"MAKEFLAGS": "", "MAKELEVEL": "", "MFLAGS": "", "CLIENT_PASSWORD": PASSWORD}
    words = ["make", "--no-print-directory", "-C", str(ROOT), "connect", f"PORT={free_port()}"]
    with Program(command=[*words, "NAME=al"], env=env) as client:
        assert client.end() == 0
        assert client.out == b""
        assert client.errors.startswith("Nobody listens") and client.errors.count("\n") == 1


def test_help_has_the_name_that_was_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for script, name, example in (
        (str(PROGRAM), "cmd_chat.py", "python cmd_chat.py"),
        ("cmd_chat.pyz", "cmd_chat.pyz", "python cmd_chat.pyz"),
        (os.path.join("bin", "cmd-chat"), "cmd-chat", "cmd-chat"),
        (os.path.join("cmd_chat", "__main__.py"), "cmd-chat", "cmd-chat"),
    ):
        monkeypatch.setattr(sys, "argv", [script])
        assert (started.name(), started.example()) == (name, example)
