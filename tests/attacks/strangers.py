"""Attacks by somebody who has no password."""

from __future__ import annotations

import itertools
import selectors
import socket
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.attacks.kit import (
    HOSTILE,
    LOST,
    Attackers,
    Measured,
    attack,
    beside,
    newcomer,
    target,
)
from tests.processes import PASSWORD
from tests.second_client import Client as Second
from tests.second_client import form
from tests.second_socket import PING, frame


def _silent(port: int, number: int, end: float) -> int:
    """512 connections from each of two addresses that say nothing, renewed when they are cut."""
    waiting = selectors.DefaultSelector()
    renewed = -1024

    def come(source: str) -> None:
        sock = socket.socket()
        sock.bind((source, 0))
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", port))
        waiting.register(sock, selectors.EVENT_READ, source)

    for each in range(1024):
        come(f"127.3.0.{1 + each % 2}")
        renewed += 1
    while time.monotonic() < end:
        for key, _mask in waiting.select(0.1):
            waiting.unregister(key.fileobj)
            key.fileobj.close()  # type: ignore[union-attr]  # a socket
            come(key.data)
            renewed += 1
    return renewed


def _logins(port: int, count: int, source: str) -> Measured:
    """Somebody who has the password comes in, again and again; how that went."""
    took: list[float] = []
    refused: Counter[str] = Counter()
    for each in range(count):
        start = time.monotonic()
        client = newcomer(port, f"honest-{each}", source=source, seconds=10.0)
        try:
            client.join()
        except LOST as error:
            refused[getattr(error, "code", type(error).__name__) or str(error)] += 1
            continue
        took.append(time.monotonic() - start)
        client.leave()
    took.sort()
    within = f"{len(took)} of {count}"
    if took:
        within += f", median {took[len(took) // 2]:.2f} s, last {took[-1]:.2f} s"
    return {"honest logins": within, **({"not": dict(refused)} if refused else {})}


@attack("silent")
def run_silent(program: Path, seconds: float) -> Measured:
    """Two addresses hold 512 silent connections each; a third one comes to log in"""
    with target(program) as server:
        attackers = Attackers(_silent, server.port, 1, max(seconds, 12.0))
        time.sleep(2.0)
        found = _logins(server.port, 10, "127.1.0.1")
        return {**found, "renewed": attackers.results()}


def _stalled(port: int, number: int, end: float) -> dict[str, int]:
    """25 handshakes at once that stop after `key`."""
    counts: Counter[str] = Counter()
    waiting: list[Second] = []
    for each in itertools.count():
        if time.monotonic() >= end:
            break
        client = newcomer(port, f"stalled-{number}-{each}", token=None, prs=bytes(32))
        try:
            client.greet()
            counts["hello"] += 1
        except LOST:
            counts["not let in"] += 1
            time.sleep(0.1)
            continue
        waiting.append(client)
        if len(waiting) > 25:
            waiting.pop(0).socket.cut()
            time.sleep(0.2)
    for client in waiting:
        client.socket.cut()
    return dict(counts)


@attack("stalled")
def run_stalled(program: Path, seconds: float) -> Measured:
    """A hundred handshakes of the same address that go no further than `hello`"""
    with target(program) as server:
        attackers = Attackers(_stalled, server.port, 4, max(seconds, 12.0))
        time.sleep(2.0)
        found = _logins(server.port, 5, HOSTILE)
        return {**found, "the attackers": attackers.results()}


def _guess(port: int, number: int, end: float) -> int:
    """Wrong passwords one after the other; how many were answered."""
    answered = 0
    while time.monotonic() < end:
        client = newcomer(port, f"guess-{number}-{answered}", prs=bytes(32))
        try:
            client.join()
        except LOST as error:
            answered += getattr(error, "code", "") == "auth_failed"
    return answered


@attack("guesses")
def run_guesses(program: Path, seconds: float) -> Measured:
    """Eight connections try wrong passwords; the administrator's form meanwhile"""
    with target(program) as server:
        attackers = Attackers(_guess, server.port, 8, seconds)
        time.sleep(seconds / 2)
        start = time.monotonic()
        status, _ = form(server.port, "/list_tokens", admin_password=PASSWORD)
        took = time.monotonic() - start
        answered = sum(attackers.results())
    return {
        "guesses answered": f"{answered} in {seconds:.0f} s",
        "form with the right password": f"HTTP {status} after {took:.2f} s",
    }


def _crumbs(raw: bytes) -> Any:
    def work(port: int, number: int, end: float) -> dict[str, float]:
        sent = connections = 0
        start = time.monotonic()
        while time.monotonic() < end:
            client = newcomer(port, "x")
            try:
                client.greet()
                for _ in range(12):
                    client.socket.send_raw(raw)
                    sent += len(raw)
                    client.socket.skip()
            except LOST:
                pass
            if hasattr(client, "socket"):
                client.socket.cut()
            connections += 1
        took = time.monotonic() - start
        return {"MB/s": sent / 1e6 / took, "connections a second": connections / took}

    return work


@attack("crumbs")
def run_crumbs(program: Path, seconds: float) -> Measured:
    """6 x 12,000 empty fragments after `hello`, again and again"""
    return beside(program, _crumbs(frame(2, b"", last=False) + frame(0, b"", False) * 999), 6,
                  seconds)  # fmt: skip


@attack("early-pings")
def run_early_pings(program: Path, seconds: float) -> Measured:
    """6 x 12,000 empty pings after `hello`, again and again"""
    return beside(program, _crumbs(frame(PING, b"") * 1000), 6, seconds)


@attack("origin")
def run_origin(program: Path, seconds: float) -> Measured:
    """A web page asks for the upgrade"""
    with target(program) as server:
        with socket.create_connection(("127.0.0.1", server.port), 5) as sock:
            sock.sendall(
                b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nOrigin: https://page.example\r\n"
                b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            return {"answer": sock.recv(4096).split(b"\r\n")[0].decode()}
