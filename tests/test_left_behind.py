"""Processes that a test leaves behind are found and ended, whichever way the test has ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import left_behind
from tests.machine import needs
from tests.processes import ROOT, Program

# Starts one that sleeps and nobody waits for, in a session of its own, and ends.
_LEAVE = "import subprocess; subprocess.Popen(['sleep', '600'], start_new_session=True)"

_ENDLESS = """
import os, pathlib, time
from tests.processes import Server

def test_with_a_server():
    with Server():
        pathlib.Path(__file__).with_name("running").write_text(str(os.getpid()))
        time.sleep(600)
"""

pytestmark = needs("orphans", beside="test_jobs.py::test_a_closed_terminal_is_a_goodbye")


def test_a_process_whose_parent_has_ended_is_found_and_ended() -> None:
    watch = left_behind.watch(0.0)
    next(watch)
    subprocess.run([sys.executable, "-S", "-c", _LEAVE], check=True)
    with pytest.raises(AssertionError, match="sleep 600"):
        next(watch)
    ended = left_behind.watch(10.0)
    next(ended)
    assert next(ended, None) is None


def test_what_ends_in_time_is_not_left_behind() -> None:
    watch = left_behind.watch(10.0)
    next(watch)
    subprocess.Popen(["sleep", "0.05"]).wait()
    assert next(watch, None) is None


@pytest.mark.parametrize(
    ("options", "number", "status"),
    [([], signal.SIGTERM, 2), (["-n", "1", "--max-worker-restart", "0"], signal.SIGKILL, 1)],
    ids=["a run", "a worker"],
)
def test_what_is_ended_in_the_middle_of_a_test_leaves_nothing(
    options: list[str], number: int, status: int, tmp_path: Path
) -> None:
    """``no_process_leaks`` sees whether the server has ended, too."""
    test, running = tmp_path / "test_endless.py", tmp_path / "running"
    test.write_text(_ENDLESS)
    os.mkfifo(running)
    words = ["-p", "tests.conftest", "-c", os.devnull, *options, str(test)]
    with Program(command=[sys.executable, "-B", "-m", "pytest", *words], cwd=ROOT) as run:
        os.kill(int(running.read_text()), number)
        assert run.end() == status, run.told()
