"""No traces: a server and its clients write no file, seen from outside with strace."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.processes import PROGRAM, ROOT, Client, Program, Server

# Calls that make or change something in a file system, whatever they are given.
_MAKING = ("creat", "mkdir", "mkdirat", "mknod", "mknodat", "rename", "renameat", "renameat2",
           "link", "linkat", "symlink", "symlinkat", "truncate", "unlink", "unlinkat", "rmdir",
           "chmod", "fchmodat", "utimensat")  # fmt: skip
_OPENING = ("open", "openat", "openat2")
_OTHERS = ("prctl", "prlimit64", "setrlimit", "execve", "execveat")
_WRITING = re.compile(r"O_(WRONLY|RDWR|CREAT|TRUNC|APPEND|TMPFILE)")
_DEVICES = re.compile(r'"/dev/(null|tty|pts/\d+|ptmx)"')


def tracing(log: Path) -> list[str]:
    """What to put before a command so that its calls are written to ``log``."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.fail("strace is needed for this test: apt install strace")
    # `?`: not every machine has all of them.
    calls = ",".join(f"?{name}" for name in (*_MAKING, *_OPENING, *_OTHERS))
    return [strace, "-f", "-qq", "-s", "500", "-e", f"trace={calls}", "-o", str(log)]


def written(log: Path) -> list[str]:
    """The lines of a log that opened a file for writing, or made or changed one."""
    found = []
    for line in log.read_text().splitlines():
        call = re.match(r"\d+ +(\w+)\(", line)
        if call is None or call[1] in _OTHERS or re.search(r"= -1 E\w+", line):
            continue  # a signal, an exit, the rest of a call; another one; or it failed
        if call[1] in _OPENING and (not _WRITING.search(line) or _DEVICES.search(line)):
            continue
        found.append(line)
    return found


def is_hardened(log: Path) -> bool:
    """Whether a process has turned off its core dumps, and has started no other program."""
    text = log.read_text()
    limit = re.search(r"RLIMIT_CORE, \{rlim_cur=0, rlim_max=0\}, NULL\) += 0", text)
    dumpable = re.search(r"prctl\(PR_SET_DUMPABLE, (SUID_DUMP_DISABLE|0)\b.*\) += 0", text)
    started = re.findall(r"^\d+ +execve.* = 0$", text, re.MULTILINE)
    return bool(limit and dumpable) and len(started) == 1


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


def everything(place: Path) -> set[Path]:
    return {path for path in place.rglob("*") if path.suffix != ".log"}


def test_nothing_is_written_by_a_chat(copy: Path, tmp_path: Path) -> None:
    before = everything(tmp_path)
    logs = [tmp_path / f"{name}.log" for name in ("server", "alice", "bob")]
    env = surroundings(copy)
    place: dict[str, Any] = {"program": copy / "cmd_chat.py", "cwd": copy}
    with Server(env, before=tracing(logs[0]), **place) as server:
        with (
            Client(server, "alice", settings=env, before=tracing(logs[1]), **place) as alice,
            Client(server, "bob", settings=env, before=tracing(logs[2]), **place) as bob,
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
        assert "cmd_chat.py" in log.read_text(), "strace saw nothing"
        assert written(log) == []
        assert is_hardened(log)
    assert everything(tmp_path) == before


def test_a_program_that_writes_is_found(copy: Path, tmp_path: Path) -> None:
    """Without the line in cmd_chat.py that forbids bytecode, there is some."""
    program = copy / "cmd_chat.py"
    text = program.read_text()
    assert text.count("sys.dont_write_bytecode = True") == 1
    program.write_text(text.replace("sys.dont_write_bytecode = True", "pass"))
    log = tmp_path / "version.log"
    env = surroundings(copy)
    with Program(["--version"], env, before=tracing(log), program=program, cwd=copy) as one:
        assert one.end() == 0
    assert any("__pycache__" in line and "O_CREAT" in line for line in written(log))
    assert list(copy.rglob("*.pyc"))


@pytest.mark.parametrize(
    "code",
    ["open('file', 'w')", "open('file', 'a')", "import os; os.mkdir('file')",
     "import tempfile; tempfile.TemporaryFile()", "import os; os.open('.', os.O_TMPFILE | 2)"],
)  # fmt: skip
def test_each_way_of_writing_is_found(code: str, tmp_path: Path) -> None:
    log = tmp_path / "code.log"
    env = surroundings(tmp_path / "copy") | {"TMPDIR": str(tmp_path)}
    command = [sys.executable, "-I", "-S", "-B", "-c", code]
    with Program(command=command, env=env, before=tracing(log), cwd=tmp_path) as one:
        assert one.end() == 0, one.told()
    assert written(log)
