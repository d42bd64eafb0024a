"""Forked processes of the program: of many that are asked for at once everybody gets its own."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.machine import needs
from tests.processes import environment
from tests.zygote import Forked

_WORDS = {0: "--version", 2: "--no-such-option"}  # key: exit status


@needs("orphans", beside="test_cli.py::test_version")
def test_of_many_at_once_each_is_the_one_that_was_asked_for() -> None:
    """Or whoever ends a node ends another schedule's."""
    with open(os.devnull, "r+b") as null, ThreadPoolExecutor(8) as workers:
        nothing = null.fileno()

        def ends_with(status: int) -> int:
            words, here = [_WORDS[status]], Path.cwd()
            forked = Forked(
                words, stdin=nothing, stdout=nothing, stderr=nothing, env=environment(), cwd=here
            )
            return forked.wait(20.0)

        wanted = [*_WORDS] * 64
        assert list(workers.map(ends_with, wanted)) == wanted
