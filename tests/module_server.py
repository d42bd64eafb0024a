"""One server process for all tests of a module, and somebody who is there: fixtures to be imported.

A program takes half a second of a core to start, so what can be shared is.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from tests.processes import Client, Server

_NUMBERS = count(1)


@pytest.fixture(scope="module", name="server")
def server_fixture() -> Iterator[Server]:
    """A server with the default settings, which in the end has had nothing to complain of."""
    with Server() as running:
        yield running
        assert running.errors == ""


@pytest.fixture(scope="module", name="resident")
def resident_fixture(server: Server) -> Iterator[Client]:
    """Somebody who is in the default room all the time; tests take ``witness``."""
    with Client(server, "witness") as client:
        yield client


@pytest.fixture(name="witness")
def witness_fixture(resident: Client) -> Client:
    """Somebody who is there all the time, and has heard nothing yet."""
    resident.forget()
    return resident


@pytest.fixture(name="nick")
def nick_fixture() -> str:
    """A nickname of the test's own: all share the server."""
    return f"guest{next(_NUMBERS)}"
