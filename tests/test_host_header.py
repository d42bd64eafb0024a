"""Whom a client asks for: in TLS, and in the Host header, by which proxies choose."""

from __future__ import annotations

import socket

import pytest

from tests.transport_kit import soon
from transport import dialling
from transport.dialling import Dialler
from transport.listening import listen
from transport.stream import Stream


@pytest.mark.parametrize(
    ("host", "port", "header"),
    [
        ("a.example", 443, "a.example"), ("a.example", 80, "a.example:80"), ("::1", 443, "[::1]"),
        ("::1", 1000, "[::1]:1000"), ("müller.example", 443, "xn--mller-kva.example"),
    ],
)  # fmt: skip
def test_what_the_host_header_says(host: str, port: int, header: str) -> None:
    assert dialling._host_header(host, port, 443) == header


def both(stream: Stream, header: str) -> tuple[Stream, str]:
    return stream, header


@pytest.mark.parametrize(
    ("name", "header"), [(None, "127.0.0.1"), ("chat.example", "chat.example")]
)
def test_a_name_of_its_own_is_asked_for(name: str | None, header: str) -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        stream, told = Dialler("127.0.0.1", port, soon(), None, name).reach(both)
        stream.close()
    assert told == f"{header}:{port}"


def test_a_zone_is_told_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is this machine's own name for an interface; there are proxies that refuse it."""
    asked: list[str] = []
    near, far = socket.socketpair()

    def opened(dialler: Dialler, *_target: object) -> Stream:
        asked.append(dialler.name)
        return Stream(far)

    monkeypatch.setattr(dialling, "_addresses", lambda host, port: [(0, host)])
    monkeypatch.setattr(Dialler, "open", opened)
    stream, told = Dialler("fe80::7%eth0", 1000, soon()).reach(both)
    stream.close()
    near.close()
    assert asked == ["fe80::7"] and told == "[fe80::7]:1000"
