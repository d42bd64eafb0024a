"""``python -m tests.attacks`` lists its attacks, and runs those that are named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.attacks import liars, members, strangers
from tests.attacks.kit import ATTACKS
from tests.processes import environment

ROOT = Path(__file__).parent.parent


def run(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-B", "-m", "tests.attacks", *words],
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=170,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_they_are_listed() -> None:
    for kind in (liars, members, strangers):  # to import them is to register theirs
        assert kind.__doc__
    listed = run().splitlines()
    assert [line.split()[0] for line in listed] == list(ATTACKS) and len(ATTACKS) > 30
    assert all(len(line.split()) > 3 for line in listed)


@pytest.mark.timeout(180)  # four servers and twenty members, on a busy machine
def test_one_of_each_kind_runs_by_name() -> None:
    """A stranger's, a member's, one that members talk beside, and one of a server's."""
    told = run("--seconds", "0.4", "origin", "look-alikes", "pings-of-one", "unknown-entry")
    assert "origin: A web page asks for the upgrade\n  answer: HTTP/1.1 403" in told
    assert "  ALICEWM02: nick_taken\n" in told
    assert "  honest, attacked: p50 " in told and "  what each attacker did: MB/s " in told
    assert "  connections: 1\n" in told and "  /quit: " in told


def test_what_is_not_an_attack_is_refused() -> None:
    command = [sys.executable, "-B", "-m", "tests.attacks", "no-such-attack"]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 2 and "no attack is called no-such-attack" in done.stderr


def test_reliability_has_them_all() -> None:
    """Every attack has its row in the table of before and now."""
    document = (ROOT / "docs" / "RELIABILITY.md").read_text("utf-8")
    table = document.partition("python -m tests.attacks")[2]
    missing = [name for name in ATTACKS if f"| `{name}`" not in table]
    assert not missing
