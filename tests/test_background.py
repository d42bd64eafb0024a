"""What is computed ahead: its result, its error, and how a program ends while it is under way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from client.background import Future
from tests.processes import environment

ROOT = Path(__file__).resolve().parent.parent

# Some 50 ms in native code, far longer than Python needs to end.
COMPUTING = """
import os, signal, sys
from client import background
from protocol import pake

def work():
    pake.password_prs("password")
    os.write(1, b"done")

background.compute(work, name="scrypt")
"""
FOR_EVER = """
import threading
from client import background

background.END_SECONDS = 0.05
background.compute(threading.Event().wait, name="scrypt")
"""


def run(code: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=ROOT, env=environment(), capture_output=True, timeout=60,
    )  # fmt: skip


def test_it_gives_what_was_made_again_and_again() -> None:
    made = Future("identity", object)
    assert made() is made()


def test_an_error_is_told_to_who_asks() -> None:
    with pytest.raises(ZeroDivisionError):
        Future("identity", lambda: 1 // 0)()


@pytest.mark.parametrize(
    ("way_out", "status"), [("", 0), ("sys.exit(3)", 3), ("raise KeyboardInterrupt", -2)]
)
def test_no_way_out_cuts_off_what_is_being_computed(way_out: str, status: int) -> None:
    done = run(COMPUTING + way_out)
    assert (done.returncode, done.stdout) == (status, b"done"), done.stderr


def test_ctrl_c_while_the_end_waits_changes_nothing() -> None:
    interrupted = """
    while signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as it is from when it waits
        os.sched_yield()
    os.kill(os.getpid(), signal.SIGINT)
    pake."""
    done = run(COMPUTING.replace("\n    pake.", interrupted))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"done", b"")


def test_the_end_is_not_held_up_for_ever() -> None:
    done = run(FOR_EVER)
    assert (done.returncode, done.stderr) == (0, b"")
