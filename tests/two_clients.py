"""The client that was written from docs/PROTOCOL.md alone (``tests/second_client.py``), brought to
servers, and real clients beside it: fixtures to be imported.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from server.app import ChatServer
from tests import second_crypto as crypto
from tests.processes import PASSWORD, Client, Server
from tests.second_client import Client as Second
from tests.second_link import Refusal

_NUMBERS = count(1)


@functools.cache
def prs() -> bytes:
    return crypto.password_prs(PASSWORD)


@functools.cache
def keys() -> crypto.Keys:
    """For all connections, though each should have its own: to make them takes a while."""
    return crypto.Keys()


_free = [crypto.Identity() for _ in range(3)]


def identity() -> crypto.Identity:
    """Somebody else each time, whose keys for wraps are one of a few."""
    found = _free[next(_NUMBERS) % len(_free)]
    made = crypto.Identity.__new__(crypto.Identity)
    made.__dict__.update(found.__dict__)
    made.new_signature()
    return made


@pytest.fixture(name="room")
def room_fixture() -> str:
    """Of the test's own: all share the server."""
    return f"den-{next(_NUMBERS)}"


Join = Callable[..., Second]


@pytest.fixture(name="join")
def join_fixture(room: str) -> Iterator[Join]:
    """``join(server, NICK)`` is one who has come in.  In the end each has understood everything
    that it was sent, and was never warned unless it says that it was (``Second.events``)."""
    made: list[Second] = []

    def come(
        server: Server | ChatServer, nick: str, joined: bool = True, **options: Any
    ) -> Second:
        options = {"room": room, "keys": keys(), "identity": identity(), **options}
        if not {"password", "token"} & set(options):
            options["prs"] = prs()
        client = Second(server.port, nick, **options)
        made.append(client)
        return client.join() if joined else client

    yield come
    for client in made:
        if hasattr(client, "link"):  # else it had not even begun
            client.leave()
        assert client.unknown == set(), "the document lacks these"
        assert client.of("warning") == []


Make = Callable[..., ChatServer]


@pytest.fixture(name="make")
def make_fixture(serve: Make) -> Make:
    """``serve``, with the password of the other servers here."""
    return functools.partial(serve, password=PASSWORD)


@contextlib.contextmanager
def real(server: Server, room: str, *options: str, nick: str = "anna") -> Iterator[Client]:
    """A real client, which in the end has had nothing to complain of."""
    name = f"{nick}-{next(_NUMBERS)}"
    with Client(server, name, "--room", room, *options) as client:
        yield client
        wrong = [each for each in client.events if each["event"] in ("warning", "error")]
        assert wrong == []


def refusal(server: Server | ChatServer, nick: str, **options: Any) -> str:
    client = Second(server.port, nick, keys=keys(), identity=identity(), **options)
    with pytest.raises(Refusal) as refused:
        client.join()
    assert refused.value.clear == (refused.value.code == "auth_failed")
    return str(refused.value.code)


@functools.cache
def lasting() -> crypto.Identity:
    return identity()


def start(run: int, since: int) -> crypto.Identity:
    """A start of one and the same person."""
    made = crypto.Identity.__new__(crypto.Identity)
    made.__dict__.update(lasting().__dict__)
    made.start(run, since)
    return made
