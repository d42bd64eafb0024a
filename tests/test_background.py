"""What is computed ahead: its result, its error, and how a program ends while it is under way."""

from __future__ import annotations

import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from client.background import Future, Series, StartupKeys
from client.encryption.safety_numbers import secret_salt
from client.room_secrets import RoomSecrets
from settings import Sources, client_settings
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
SEVERAL = """
import os
from client import background
from protocol import pake

def work(name):
    while not background._ending.is_set():
        os.sched_yield()
    pake.password_prs("password")
    os.write(1, name)

background.Series("room-salt", {n: lambda n=n: work(n) for n in (b"1", b"2", b"3")})
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


def test_several_are_made_one_after_another_and_each_is_there_when_it_is_made() -> None:
    goes_on = threading.Event()
    made: list[str] = []

    def make(name: str) -> str:
        if name == "second":
            assert goes_on.wait(20)
        made.append(name)
        return name.upper()

    series = Series("room-salt", {name: partial(make, name) for name in ("first", "second")})
    assert series("first") == "FIRST" and made == ["first"]
    goes_on.set()
    assert series("second") == series("second") == "SECOND"
    assert made == ["first", "second"]


def test_an_error_among_several_is_told_to_who_asks_for_that_one() -> None:
    series = Series("room-salt", {"wrong": lambda: 1 // 0, "right": lambda: 1})
    assert series("right") == 1
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            series("wrong")


def test_where_there_are_none_no_thread_is_started() -> None:
    before = threading.active_count()
    Series[bytes]("room-salt", {})
    assert threading.active_count() == before


def test_each_room_that_has_a_secret_gets_it_and_its_salt() -> None:
    args = {"CLIENT_SERVER": "a", "CLIENT_TOKEN": "id.secret", "CLIENT_ROOM": "Ops,den,lab"}
    answers = {"--ask-secret lab": "two"}
    given = {"CLIENT_ROOM_SECRET": "one", "--ask-secret": "lab"}
    chosen = client_settings(Sources({**args, **given}, {}, {}, answers))
    secrets = RoomSecrets()
    StartupKeys(chosen).give_secrets(secrets.give)
    assert [secrets.secret(room) for room in ("ops", "den", "LAB")] == ["one", "", "two"]
    assert [secrets.salt(room) for room in ("ops", "den", "LAB")] == [
        secret_salt("one", "ops"), b"", secret_salt("two", "lab")
    ]  # fmt: skip


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


def test_of_several_the_end_waits_for_the_one_that_is_being_made() -> None:
    done = run(SEVERAL)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"1", b"")


def test_the_end_is_not_held_up_for_ever() -> None:
    done = run(FOR_EVER)
    assert (done.returncode, done.stderr) == (0, b"")
