"""The first moments: an old Python, packages that are missing or too old, Ctrl-C."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli import packages
from cli.table import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "cmd_chat.py"
DEADLINE = 60  # only against hanging


def run(
    *command: str, cwd: Path = ROOT, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A process of its own, without a terminal and without settings."""
    return subprocess.run(
        list(command), cwd=cwd, env={"PATH": os.environ["PATH"], **(env or {})},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip


# An old Python

START = (PROGRAM, ROOT / "tools" / "pyz_main.py")


@pytest.mark.parametrize("path", START, ids=lambda path: path.name)
def test_the_first_file_has_only_what_old_pythons_can_read(path: Path) -> None:
    text = path.read_bytes()
    assert text.isascii()  # 2.7 wants to be told of anything else
    new = {ast.AnnAssign, ast.AsyncFunctionDef, ast.JoinedStr, ast.Match, ast.NamedExpr,
           ast.Nonlocal, ast.YieldFrom}  # fmt: skip
    for node in ast.walk(ast.parse(text, feature_version=(3, 4))):
        assert type(node) not in new, node
        if isinstance(node, ast.ImportFrom):
            assert node.module != "__future__"
        if isinstance(node, ast.arguments):
            assert not node.kwonlyargs and not node.posonlyargs
        if isinstance(node, (ast.FunctionDef, ast.arg)):
            assert getattr(node, "annotation", None) is None
            assert getattr(node, "returns", None) is None
        if isinstance(node, ast.Raise):
            assert node.cause is None


def old_pythons() -> list[str]:
    """The interpreters older than 3.10 that this machine has."""
    kept = map(str, Path.home().glob(".pyenv/versions/*/bin/python"))
    places = [*kept, "python2", "python3.6", "python3.9"]
    found = [path for place in places if (path := shutil.which(place))]
    return [path for path in found if "old" in run(
        path, "-c", "import sys; print('old' if sys.version_info < (3, 10) else 'new')"
    ).stdout]  # fmt: skip


def test_each_old_python_of_this_machine_gets_the_sentence() -> None:
    for python in old_pythons():
        done = run(python, str(PROGRAM), "serve")
        assert (done.returncode, done.stdout) == (2, ""), python
        assert re.fullmatch(
            r"cmd_chat: CMD CHAT needs Python 3\.10 or newer; this is Python \d\.\d+\.\n",
            done.stderr,
        ), done.stderr


def test_make_asks_an_old_python_before_it_sets_up(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text('#!/bin/sh\necho "$*" >&2\nexit 2\n', encoding="utf-8")
    old.chmod(0o755)
    folder = tmp_path / "venv"
    done = run("make", "-C", str(ROOT), "setup", f"PYTHON={old}", f"VENV={folder}")
    assert done.returncode == 2 and not folder.exists()
    assert done.stderr.startswith("cmd_chat.py --version\nmake"), done.stderr
    assert "Setting up" not in done.stdout


# Packages


def test_what_is_needed_is_what_the_requirements_say() -> None:
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    written = re.findall(r"^([\w-]+)>=([\w.]+)", text, re.MULTILINE)
    assert written == [(each.name, each.least) for each in packages.NEEDED]
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(lines) == len(written)


def test_what_a_backend_needs_is_what_its_requirements_say() -> None:
    text = (ROOT / "requirements-cluster.txt").read_text(encoding="utf-8")
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    wanted = f"{packages.FOR_BACKEND.name}>={packages.FOR_BACKEND.least}"
    assert [line for line in lines if line] == [wanted]


LINES = {
    "serve": "serve",
    "connect": "connect 127.0.0.1 1 al",
    "token": "token al",
    "history": "history list",
    "identity": "identity show --identity x",
    "status": "status",
    "send": "send hello",
    "tail": "tail",
    "wait": "wait",
    "completion": "completion bash",
}


def test_the_lines_here_are_those_of_all_subcommands() -> None:
    assert set(LINES) == set(COMMANDS)


def without_packages(line: str, *folders: Path) -> subprocess.CompletedProcess[str]:
    """Without the virtual environment, and with what is in ``folders``."""
    env = {"PYTHONPATH": os.pathsep.join(map(str, folders)), "PYTHONDONTWRITEBYTECODE": "1"}
    return run(sys.executable, "-S", str(PROGRAM), *line.split(), env=env)


@pytest.mark.parametrize("line", LINES.values())
def test_missing_packages_are_named_before_anything_else(line: str) -> None:
    done = without_packages(line)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("cmd_chat: CMD CHAT lacks what it needs: cryptography 4")
    for each in packages.NEEDED:
        assert f"{each.name} {each.least} or newer (not installed)" in done.stderr
    assert done.stderr.count("\n") == 1 and len(done.stderr.split(". ")) == 2


@pytest.mark.parametrize("line", ["--version", "--help", "connect --help"])
def test_help_and_version_need_no_packages(line: str) -> None:
    done = without_packages(line)
    assert (done.returncode, done.stderr) == (0, "")


def put(folder: Path, module: str, info: str) -> None:
    (folder / module).mkdir(parents=True)
    (folder / module / "__init__.py").write_text("")
    (folder / info).mkdir()


@pytest.fixture
def distribution(tmp_path: Path) -> Path:
    """Packages as a Linux distribution has them, all but one new enough."""
    put(tmp_path, "cryptography", "cryptography-38.0.4.egg-info")
    put(tmp_path, "websocket", "websocket_client-1.9.1-py3.11.egg-info")
    put(tmp_path, "simple_websocket", "simple_websocket-1.0.0.dist-info")
    put(tmp_path, "colorama", "colorama-0.4.10.dist-info")
    return tmp_path


@pytest.mark.parametrize("line", LINES.values())
def test_a_package_that_is_too_old_is_named_with_both_versions(
    line: str, distribution: Path
) -> None:
    done = without_packages(line, distribution)
    assert (done.returncode, done.stdout) == (2, "")
    sentence = "lacks what it needs: cryptography 48.0.0 or newer (38.0.4 is installed). "
    assert sentence in done.stderr and done.stderr.count("\n") == 1


def test_what_those_packages_need_is_missed_too(distribution: Path) -> None:
    (distribution / "cryptography-38.0.4.egg-info").rename(
        distribution / "cryptography-48.0.0.dist-info"
    )
    done = without_packages("serve", distribution)
    assert "lacks what it needs: cffi (not installed), wsproto (not installed), h" in done.stderr


def test_the_folder_that_is_imported_from_counts(distribution: Path, tmp_path: Path) -> None:
    """Not the newest that lies anywhere."""
    later = tmp_path / "later"
    put(later, "cryptography", "cryptography-50.0.2.dist-info")
    assert "(38.0.4 is installed)" in without_packages("serve", distribution, later).stderr
    assert "cryptography" not in without_packages("serve", later, distribution).stderr


def test_a_package_that_is_broken_is_named(tmp_path: Path) -> None:
    """Half of one, or one for another machine: found when it is imported, and told then."""
    put(tmp_path, "simple_websocket", "simple_websocket-1.0.0.dist-info")
    (tmp_path / "simple_websocket" / "__init__.py").write_text("import simple_websocket.gone")
    env = {"PYTHONPATH": str(tmp_path), "ADMIN_PASSWORD": "correct horse battery"}
    done = run(sys.executable, str(PROGRAM), "serve", "127.0.0.1", "0", env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert "The package simple_websocket cannot be loaded here. " in done.stderr


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("48.0.0", [48, 0, 0]), ("1.9", [1, 9]), ("50.0.0rc1", [50, 0]), ("", []), ("x", [])],
)
def test_versions_are_compared_by_their_numbers(version: str, numbers: list[int]) -> None:
    assert packages._numbers(version) == numbers


def test_a_version_that_nothing_tells_is_believed(tmp_path: Path) -> None:
    for each in packages.NEEDED + packages.BESIDE:
        (tmp_path / each.module).mkdir()
    assert packages._wrong(packages.NEEDED[0], [packages._listing(str(tmp_path))]) == ""


# Ctrl-C

# Interrupts itself at one of its imports, in a place where an exception would be lost.
INTERRUPTED = """
import os, runpy, signal, sys, pkgutil, zipimport
at, place = int(sys.argv[1]), sys.argv[2]
sys.argv = sys.argv[2:]
sys.path.insert(0, os.path.dirname(place))
signal.signal(signal.SIGINT, signal.default_int_handler)
left = [at]
class Lost:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(3):
            pass
def hook(event, arguments):
    if event == "import":
        left[0] -= 1
        if not left[0]:
            Lost()
sys.addaudithook(hook)
runpy.run_path(place, run_name="__main__")
"""


@pytest.mark.parametrize("at", [1, 12, 40, 75, 110])
@pytest.mark.parametrize("command", ["serve", "connect", "token"])
def test_ctrl_c_while_it_starts_ends_it_with_130_and_not_a_word(command: str, at: int) -> None:
    line = LINES[command].replace("serve", "serve 127.0.0.1 0").split()
    env = {"ADMIN_PASSWORD": "correct horse battery", "CLIENT_PASSWORD": "x"}
    done = run(sys.executable, "-B", "-c", INTERRUPTED, str(at), str(PROGRAM), *line, env=env)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("at", [1, 30, 60, 90])
def test_ctrl_c_in_history_too(at: int, tmp_path: Path) -> None:
    env = {"XDG_STATE_HOME": str(tmp_path)}
    line = ("-B", "-c", INTERRUPTED, str(at), str(PROGRAM), "history", "show")
    done = run(sys.executable, *line, env=env)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
