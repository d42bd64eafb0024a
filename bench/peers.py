"""Beside servers in C: what a delivery costs this server, Mosquitto (MQTT) and ngIRCd (IRC).

    python -m bench.peers [--short]

Debian's ngircd and mosquitto, with their limits lifted; all over TLS with one certificate, and
with the same load: so many senders keep so many posts of 300 characters on their way each, and
say the next when the last who came in has the one before.  A post to a room of n is n deliveries
here and in MQTT, where senders have subscribed as all others have, and n - 1 in IRC.  Neither of
the two seals anything for anybody, has a password proved to it, keeps a history, or is told what
has come.  Rounds are interleaved; figures are medians, ratios the medians of the rounds' ratios.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench import tables
from bench.guests import IrcGuest, MqttGuest
from bench.load import Busy, busy, interleaved, median_ratio
from bench.members import Crowd, Newcomer, Secrets, newcomer
from bench.servers import Process, certificate, chat_server
from bench.wire import LONG, Loop


class Shape(NamedTuple):
    """Rooms of one size, all busy at once."""

    size: int
    senders: int  # in each of them
    rooms: int = 1


SHAPES = (Shape(10, 5), Shape(50, 5), Shape(200, 5), Shape(2, 1, rooms=100))
IN_FLIGHT = (1, 8, 64)
ROUNDS, SECONDS = 5, 1.0
SHORT_ROUNDS, SHORT_SECONDS = 3, 0.5
TARGETS = {("mosquitto", 50, 8): 0.6, ("mosquitto", 10, 8): 0.8, ("ngircd", 200, 8): 4.0}
HEAD = ("", "server", "us/delivery", "ours / its", "target", "deliveries/s", "load us/delivery")

# No limit that the load would meet, and nothing that is not asked for on each connection.
_MOSQUITTO = """\
user root
persistence false
allow_anonymous true
connection_messages false
log_dest stderr
log_type error
max_connections -1
max_queued_messages 0
max_queued_bytes 0
listener {port} 127.0.0.1
certfile {cert}
keyfile {cert}
"""
# It gives up root's rights by itself, and so outlives us if we are killed: hence the IdleTimeout.
_NGIRCD = """\
[Global]
Name = bench.local
Listen = 127.0.0.1
Ports =
MotdPhrase = bench
[Limits]
IdleTimeout = 120
MaxConnections = 0
MaxConnectionsIP = 0
MaxJoins = 0
MaxNickLength = 16
MaxPenaltyTime = 0
PingTimeout = 7200
[Options]
DNS = no
Ident = no
PAM = no
[SSL]
CertFile = {cert}
KeyFile = {cert}
Ports = {port}
"""


class Peer(NamedTuple):
    """A program to be measured beside ours, and those who talk to it."""

    name: str
    words: tuple[str, ...]  # after it, before its settings' path
    settings: str
    comes_in: Newcomer

    @property
    def program(self) -> str | None:
        """Its path; Debian has servers where not everybody looks."""
        return shutil.which(self.name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


PEERS = (
    Peer("mosquitto", ("-c",), _MOSQUITTO, MqttGuest),
    Peer("ngircd", ("-n", "-f"), _NGIRCD, IrcGuest),
)


@contextlib.contextmanager
def peer_server(peer: Peer, cert: str) -> Iterator[Process]:
    """The program, listening with TLS on a free port of the loopback interface."""
    assert peer.program is not None
    with tempfile.TemporaryDirectory(prefix="cmdchat-bench-") as folder:
        settings, log = Path(folder, "settings"), Path(folder, "log")
        port = _free_port()
        settings.write_text(peer.settings.format(port=port, cert=cert))
        words = ["setpriv", "--pdeathsig", "KILL", peer.program, *peer.words, str(settings)]
        with log.open("wb") as file:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd=folder
            )
        server = Process(peer.name, process, port, True)
        server.chat = False
        try:
            _wait_for(process, port, log)
            yield server
        finally:
            server.stop()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Until it listens.  Neither program can say so by itself."""
    deadline = time.monotonic() + LONG
    while True:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        ended = process.poll() is not None or time.monotonic() > deadline
        assert not ended, f"no server: {log.read_text(errors='replace')}"
        time.sleep(0.02)


def measure(
    servers: Sequence[tuple[Process, Newcomer]],
    shared: Secrets,
    shape: Shape,
    rounds: int,
    seconds: float,
) -> list[list[str]]:
    """Rows for rooms of one shape; the first server is ours."""
    loop = Loop()
    crowds = [
        Crowd(loop, server, shared, *shape, comes_in=comes_in) for server, comes_in in servers
    ]
    rows: list[list[str]] = []
    for in_flight in IN_FLIGHT:
        for crowd in crowds:
            busy(loop, crowd, in_flight, 0.2)  # the first posts of all pay for what is made once
        cases = [partial(busy, loop, crowd, in_flight, seconds) for crowd in crowds]
        names = [server.name for server, _ in servers]
        rows += rows_of(shape, in_flight, names, interleaved(rounds, cases))
    loop.close()
    return rows


def rows_of(
    shape: Shape, in_flight: int, names: Sequence[str], found: Sequence[Sequence[Busy]]
) -> list[list[str]]:
    """A row for each server, from its rounds; the first is what the others are compared with."""
    title = f"{shape.rooms} x {shape.size}" if shape.rooms > 1 else f"room of {shape.size}"
    title += f", {shape.senders} x {in_flight} in flight"
    rows = []
    for name, rounds in zip(names, found, strict=True):
        ratio = median_ratio([each.cost for each in found[0]], [each.cost for each in rounds])
        goal = TARGETS.get((name, shape.size, in_flight))
        rows.append(
            [
                title,
                name,
                f"{statistics.median(each.cost for each in rounds):.2f}",
                f"{ratio:.2f}" if rounds is not found[0] else "",
                tables.target(ratio, goal) if goal is not None else "",
                f"{statistics.median(each.rate for each in rounds):,.0f}",
                f"{statistics.median(each.own_cost for each in rounds):.2f}",
            ]
        )
        title = ""
    return rows


def _missing() -> str:
    """What to do so that it can be measured; empty if nothing is missing."""
    names = [peer.name for peer in PEERS if peer.program is None]
    if not names:
        return ""
    here, how = " and ".join(names), " ".join(names)
    return f"Not installed here: {here}. On Debian: apt-get install {how}"


def main(short: bool) -> None:
    """Measure and print."""
    if missing := _missing():
        sys.exit(missing)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that all servers are ended
    rounds, seconds = (SHORT_ROUNDS, SHORT_SECONDS) if short else (ROUNDS, SECONDS)
    shared = Secrets()
    rows: list[list[str]] = []
    for shape in SHAPES:
        with contextlib.ExitStack() as stack:
            cert = stack.enter_context(certificate())
            ours = stack.enter_context(chat_server(cert))
            ours.name = "CMD CHAT"
            servers: list[tuple[Process, Newcomer]] = [(ours, newcomer)]
            for peer in PEERS:
                servers.append((stack.enter_context(peer_server(peer, cert)), peer.comes_in))
            rows += measure(servers, shared, shape, rounds, seconds)
    tables.show("Delivery over TLS beside servers in C, server CPU and rate", HEAD, rows)


if __name__ == "__main__":
    main("--short" in sys.argv[1:])
