"""No traces: a server and its clients write no file, as Python tells it and as strace sees it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.processes import PROGRAM, ROOT, Client, Program, Server
from tests.watching import Watch, both_ways, everything


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The program's files, and nothing that has ever been compiled."""
    to = tmp_path / "copy"
    to.mkdir()
    for path in ROOT.iterdir():
        if path.is_dir() and (path / "__init__.py").exists() and path.name != "tests":
            shutil.copytree(path, to / path.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROGRAM, to)
    (tmp_path / "home").mkdir()
    (tmp_path / "tmp").mkdir()
    return to


def surroundings(copy: Path) -> dict[str, str]:
    """An environment that lets Python write bytecode, with places of its own to write to."""
    return {
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": "",
        "HOME": str(copy.parent / "home"),
        "TMPDIR": str(copy.parent / "tmp"),
    }


@both_ways("test_nothing_is_written_by_a_chat")
def test_nothing_is_written_by_a_chat(watch: Watch, copy: Path, tmp_path: Path) -> None:
    before = everything(tmp_path)
    logs = [tmp_path / f"{name}.log" for name in ("server", "alice", "bob")]
    env = surroundings(copy)
    place: dict[str, Any] = {"program": copy / "cmd_chat.py", "cwd": copy}
    with Server(env, before=watch.before(logs[0]), **place) as server:
        with (
            Client(server, "alice", settings=env, before=watch.before(logs[1]), **place) as alice,
            Client(server, "bob", settings=env, before=watch.before(logs[2]), **place) as bob,
        ):
            alice.meets("bob")
            alice.say("hello", "/verify bob", "/room other secret", "there", "/room default")
            bob.next("message", text="hello")
            bob.say("/msg alice hi", "/nick ben", "/rooms")
            alice.next("message", text="there")
            assert alice.finish() == 0
            bob.next("rooms")
            assert bob.finish() in (0, 4)  # Alice may be in the other room
        server.write(b"q\n")
        assert server.end() == 0
        assert server.errors == alice.errors == bob.errors == ""
    for log in logs:
        assert "cmd_chat.py" in log.read_text("utf-8", "replace"), "it saw nothing"
        assert watch.written(log) == []
        assert watch.is_hardened(log)
    assert everything(tmp_path) == before


@both_ways("test_a_program_that_writes_is_found")
def test_a_program_that_writes_is_found(watch: Watch, copy: Path, tmp_path: Path) -> None:
    """Without the line in cmd_chat.py that forbids bytecode, there is some."""
    program = copy / "cmd_chat.py"
    text = program.read_text()
    assert text.count("sys.dont_write_bytecode = True") == 1
    program.write_text(text.replace("sys.dont_write_bytecode = True", "pass"))
    log = tmp_path / "version.log"
    env = surroundings(copy)
    with Program(["--version"], env, before=watch.before(log), program=program, cwd=copy) as one:
        assert one.end() == 0
    assert any("__pycache__" in line for line in watch.written(log))
    assert list(copy.rglob("*.pyc"))


@both_ways("test_each_way_of_writing_is_found")
@pytest.mark.parametrize(
    "code",
    ["open('file', 'w')", "open('file', 'a')", "import os; os.mkdir('file')",
     "import tempfile; tempfile.TemporaryFile()", "import os; os.open('.', os.O_TMPFILE | 2)"],
)  # fmt: skip
def test_each_way_of_writing_is_found(watch: Watch, code: str, tmp_path: Path) -> None:
    log = tmp_path / "code.log"
    env = surroundings(tmp_path / "copy") | {"TMPDIR": str(tmp_path)}
    command = [sys.executable, "-I", "-S", "-B", "-c", code]
    with Program(command=command, env=env, before=watch.before(log), cwd=tmp_path) as one:
        assert one.end() == 0, one.told()
    assert watch.written(log)
