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


@pytest.fixture(name="witness")
def witness_fixture(server: Server) -> Iterator[Client]:
    """Somebody who is in the default room during the test.

    A new one for each: who comes and goes in ten tests of one second would be told as a crowd,
    without names.
    """
    with Client(server, "witness") as client:
        yield client
        assert client.finish() == 0


@pytest.fixture(name="nick")
def nick_fixture() -> str:
    """A nickname of the test's own: all share the server."""
    return f"guest{next(_NUMBERS)}"
