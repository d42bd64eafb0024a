"""Addresses of names, and a name service that is away."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.transport_kit import LONG, until
from transport import Unreachable, resolver
from transport.resolver import Resolver


class Service:
    """A name service under the test's control."""

    def __init__(self) -> None:
        self.address = "192.0.2.1"
        self.error: int | None = None
        self.answers = threading.Event()
        self.answers.set()
        self.asked: list[str] = []
        self.idle = True

    def __call__(self, host: str, port: int, *_: Any, flags: int = 0, **__: Any) -> Any:
        if flags & socket.AI_NUMERICHOST:
            if not host[0].isdigit():
                raise socket.gaierror(socket.EAI_NONAME, "")
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, port))]
        self.asked.append(host)
        self.idle = False
        assert self.answers.wait(LONG)
        self.idle = True
        if self.error is not None:
            raise socket.gaierror(self.error, "")
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (self.address, port))]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    found = Service()
    monkeypatch.setattr(socket, "getaddrinfo", found)
    yield found
    found.answers.set()
    until(lambda: found.idle)


def at(address: str) -> resolver.Addresses:
    return [(socket.AF_INET, (address, 1000))]


def test_an_address_is_no_name(service: Service) -> None:
    assert Resolver().addresses("198.51.100.7", 1000) == at("198.51.100.7")
    assert not service.asked


def test_a_name_is_looked_up_each_time(service: Service) -> None:
    """It may have moved."""
    known = Resolver()
    assert known.addresses("chat.example", 1000) == at("192.0.2.1")
    service.address = "192.0.2.2"
    assert known.addresses("chat.example", 1000) == at("192.0.2.2")


def test_while_the_service_says_nothing_the_last_answer_counts(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "PATIENCE", 0.01)
    known = Resolver()
    known.addresses("chat.example", 1000)
    service.answers.clear()
    service.address = "192.0.2.2"
    for _ in range(3):
        assert known.addresses("chat.example", 1000) == at("192.0.2.1")
    assert len(service.asked) == 2, "one question at a time"
    service.answers.set()
    monkeypatch.setattr(resolver, "PATIENCE", LONG)
    assert known.addresses("chat.example", 1000) == at("192.0.2.2")


def test_a_failure_for_now_leaves_the_last_answer_and_a_no_does_not(service: Service) -> None:
    known = Resolver()
    for error, reason in ((socket.EAI_AGAIN, "name_later"), (socket.EAI_NONAME, "name")):
        service.error = error
        with pytest.raises(Unreachable) as caught:
            known.addresses("chat.example", 1000)
        assert caught.value.reason == reason
    service.error = None
    known.addresses("chat.example", 1000)
    service.error = socket.EAI_AGAIN
    assert known.addresses("chat.example", 1000) == at("192.0.2.1")
    service.error = socket.EAI_NONAME
    with pytest.raises(Unreachable):
        known.addresses("chat.example", 1000)


def test_names_are_bounded(service: Service) -> None:
    known = Resolver()
    for number in range(resolver.MOST_NAMES + 3):
        known.addresses(f"chat{number}.example", 1000)
    assert len(known._known) == resolver.MOST_NAMES
