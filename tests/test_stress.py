"""Rooms, posts, private lines and cuts, more at once than the server has threads that run.

A short one here, on the Python that runs the tests.  ``CMD_CHAT_SOAK`` asks for five hundred times
that many posts, on the free-threaded CPython of ``tools.platforms.pythons``.
"""

from __future__ import annotations

import sys

import pytest

from tests import stress
from tests.fuzzing import SEED, SOAK
from tools.platforms import pythons

_AT_ONCE = 50_000  # posts of one seed


@pytest.mark.timeout(0 if SOAK else 60)
@pytest.mark.soak
def test_all_get_the_same_and_nothing_waits_for_ever(capfd: pytest.CaptureFixture[str]) -> None:
    if not SOAK:
        done = stress.run(SEED, 3_000)
        assert done["cuts"] and done["resumed"] == done["cuts"] and done["rooms left"]
        return
    python = str(pythons.interpreter(free_threaded=True))
    for seed in range(SEED, SEED + max(1, SOAK * 500 // _AT_ONCE)):
        done = stress.run(seed, _AT_ONCE, python, tls=seed % 4 == 0)
        with capfd.disabled():
            print(f"\nstress, seed {seed}: {dict(done)}")
            sys.stdout.flush()
