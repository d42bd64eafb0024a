"""How the suite gets along with machines: what may be left out, what is made the same for all."""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import machine
from tests.audited import kind_of
from tests.processes import ROOT, environment
from tests.surroundings import is_changing, run_from_temporary_folder

TESTS = Path(__file__).parent
_NEEDS = re.compile(r"\b(?:needs|both_ways)\(\s*(.*?)\)", re.DOTALL)

# A suite of three tests, in a folder of its own.
SMALL = """
import pytest
from tests.conftest import pytest_runtest_setup, pytest_terminal_summary
from tests.machine import needs

def test_everywhere(): pass

@needs("true-as-steel", beside="test_everywhere")
def test_stronger(): pass
"""


def small_suite(folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """The suite above, run by pytest without this tree's settings, wherever the folder is."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "conftest.py").write_text(SMALL[: SMALL.index("def test_")])
    (folder / "test_small.py").write_text(SMALL)
    return subprocess.run(
        [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder,
         folder],
        env=environment({"PYTHONPATH": str(ROOT), "CI": "", **env}), cwd=folder,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_what_is_left_out_is_named_with_its_reason(tmp_path: Path) -> None:
    done = small_suite(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "  true-as-steel is not installed:\n" in done.stdout
    assert re.search(r"^    test_small.py::test_stronger$", done.stdout, re.MULTILINE)
    assert "1 passed, 1 skipped" in done.stdout


def test_where_nothing_may_be_left_out_it_fails(tmp_path: Path) -> None:
    done = small_suite(tmp_path, CI="true")
    assert done.returncode == 1, done.stdout
    assert "true-as-steel is not installed, and nothing may be left out here" in done.stdout


def test_nothing_is_left_out_in_another_way() -> None:
    """Neither silently nor for good: ``needs`` is the only way, and names what runs everywhere."""
    other = re.compile(r"\b(?:pytest\.skip|skipif|importorskip|xfail|mark\.skip|SkipTest)\b")
    for path in TESTS.glob("*.py"):
        if path.name not in ("machine.py", Path(__file__).name):
            assert not other.search(path.read_text("utf-8")), path.name


def test_what_runs_everywhere_beside_it_is_there() -> None:
    found = 0
    for path in TESTS.glob("test_*.py"):
        for call in _NEEDS.findall(path.read_text("utf-8")):
            beside = re.search(r'(?:beside=)?"(?:(\w+\.py)::)?(test_\w+)', call)
            if path.name == Path(__file__).name or beside is None:
                continue
            module = importlib.import_module(f"tests.{(beside[1] or path.name)[:-3]}")
            assert callable(getattr(module, beside[2], None)), (path.name, call)
            found += 1
    assert found > 5


def test_each_need_can_be_asked_for() -> None:
    for what in machine._CHECKS:
        reason = machine.lacking(what)
        assert isinstance(reason, str) and "\n" not in reason and reason[-1:] != "."


@pytest.mark.parametrize("name", ["CLIENT_ROOM", "LC_ALL", "PYTHONOPTIMIZE", "NO_COLOR", "LINES"])
def test_what_a_shell_has_set_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_changing(name) and name not in os.environ
    monkeypatch.setenv(name, "x")
    assert name not in environment()


@pytest.mark.parametrize("name", ["PATH", "HOME", "TMPDIR", "PYTHONPATH", "PIP_INDEX_URL"])
def test_what_says_where_things_are_is_kept(name: str) -> None:
    assert not is_changing(name)


def test_a_signal_that_was_ignored_is_heard_by_programs() -> None:
    """And this process goes on when it comes, as whoever had it ignored wants."""
    code = (
        "import os, signal, subprocess, sys; from tests.surroundings import hear_signals\n"
        "hear_signals(); os.kill(os.getpid(), signal.SIGINT)\n"
        "code = 'import signal; print(signal.getsignal(2) is signal.default_int_handler)'\n"
        "subprocess.run([sys.executable, '-c', code], check=True)"
    )
    ignore = "import os, signal, sys; signal.signal(2, signal.SIG_IGN); os.execv(sys.executable, "
    done = subprocess.run(
        [sys.executable, "-c", f"{ignore}[sys.executable, '-B', '-c', {code!r}])"],
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("True\n", "")
    assert signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN


def test_what_is_not_run_elsewhere_is_there_and_named_once() -> None:
    lines = (ROOT / ".ci" / "same-everywhere").read_text("utf-8").splitlines()
    names = [name for line in lines if not line.startswith("#") for name in line.split()]
    assert len(names) > 50 and len(names) == len(set(names))
    assert {name for name in names if not (ROOT / "tests" / f"{name}.py").is_file()} == set()


@pytest.mark.parametrize(
    ("event", "args", "kind"),
    [
        ("open", ("x", "r", os.O_RDONLY), "read"), ("open", (b"x", None, os.O_RDWR), "write"),
        ("open", ("/dev/null", "w", os.O_WRONLY), "read"), ("open", (3, "w", os.O_WRONLY), ""),
        ("os.mkdir", ("x", 0o700, -1), "write"), ("os.truncate", (3, 0), ""),
        ("os.fork", (), "start"), ("ctypes.dlopen", ("libc",), "load"),
        ("import", ("a", "a.so", [], [], []), "load"), ("import", ("a", None, [], [], []), ""),
    ],
)  # fmt: skip
def test_kinds_of_audit_events(event: str, args: tuple[object, ...], kind: str) -> None:
    assert kind_of(event, args) == kind


@pytest.mark.parametrize("flags", [0, getattr(os, "ST_NOEXEC", 0)])
def test_a_temporary_folder_that_nothing_can_be_run_from_is_not_used(
    flags: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _path: SimpleNamespace(f_flag=flags))
    monkeypatch.setenv("TMPDIR", "/nowhere")
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    run_from_temporary_folder()
    wanted = str(ROOT / "build" / "tmp") if flags else "/nowhere"
    assert os.environ["TMPDIR"] == tempfile.gettempdir() == wanted
