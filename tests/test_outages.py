"""A network that goes away between two machines: cables, addresses, sleep.

With real frames between real network stacks; the same states without them are in
``test_silent_network``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.machine import needs, networking
from tests.processes import ROOT, environment

BESIDE = "tests/test_silent_network.py::test_a_second_connection_takes_over"
# After the network's return: a second or less, a few on a machine that is busy with other tests;
# whoever does not look at the route takes nine.
SECONDS = 7.0


@needs("networks", beside=BESIDE)
@pytest.mark.parametrize("name", ["link-3", "moved-1"])
def test_what_was_typed_meanwhile_arrives_when_the_network_is_back(name: str) -> None:
    """The cable is pulled and put back; the machine has another address."""
    found = outage(name)
    assert not found["twice"] and not found["left"]
    # Where the address is the same, the first connection may come back by itself.
    assert found["resumed"] == [True] or (name == "link-3" and not found["resumed"])
    assert found["arrived"] < SECONDS, found


def outage(name: str) -> dict[str, Any]:
    """What came of one, between two machines of its own."""
    ran = subprocess.run(
        [*networking(), sys.executable, "-m", "tests.outages", name],
        cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr.decode()
    return dict(json.loads(ran.stdout))
