"""Whether strangers can keep others out: attacks on a real server, and real logins beside them.

    python -m bench.lockout

The attackers know nothing and wait for each answer.  ``silent``: four addresses with 512
connections each that say nothing, renewed when they are cut.  ``stalled``: a hundred handshakes of
the honest one's own address that stop after ``key``, again and again.  ``wrong``: a hundred there
that prove another password.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import selectors
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from multiprocessing.connection import Connection

from bench import tables
from bench.members import Person
from bench.servers import PASSWORD, ROOT, Process, chat_server, environment
from protocol.errors import ChatError
from protocol.keys import RecipientKeys
from protocol.link import ClientLink, Credentials
from transport import Closed, Unreachable
from transport.websocket import connect

ADDRESSES, SILENT, STALLED, LOGINS, PATIENCE = 4, 512, 100, 20, 20.0
SETTLE = 3.0  # seconds of attack before the first login


def silent(port: int, end: Connection) -> None:
    """Connections that say nothing, from four addresses of their own."""
    waiting = selectors.DefaultSelector()

    def come(source: str) -> None:
        sock = socket.socket()
        sock.bind((source, 0))
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", port))
        waiting.register(sock, selectors.EVENT_READ, source)

    for number in range(ADDRESSES * SILENT):
        come(f"127.8.0.{1 + number % ADDRESSES}")
    cut = 0
    while not end.poll():
        for key, _mask in waiting.select(0.1):
            waiting.unregister(key.fileobj)
            sock = key.fileobj
            if isinstance(sock, socket.socket):
                sock.close()
            cut += 1
            come(key.data)
    end.send(cut)


def handshakes(port: int, end: Connection, prove: bool) -> None:
    """A hundred at once that get to ``key``, and then prove nothing or the wrong password."""
    keys = RecipientKeys()
    over, count = threading.Event(), [0]

    def attempt() -> None:
        peer = connect("127.0.0.1", port, max_message_size=1 << 17, timeout=120.0)
        try:
            link = ClientLink(Person(keys), Credentials(bytes(32)), keys)
            peer.send(link.receive_greeting(peer.receive(120.0) or ""))
            key = peer.receive(120.0) or ""
            if prove:
                peer.send(link.receive_key(key, "eve", "default"))
            count[0] += 1
            while not over.is_set() and peer.receive(1.0) is None:
                pass
        finally:
            peer.finish(0.0)

    def go_on() -> None:
        while not over.is_set():
            with contextlib.suppress(ChatError, Closed, Unreachable):
                attempt()

    for _ in range(STALLED):
        threading.Thread(target=go_on, daemon=True).start()
    while not end.poll(0.1):
        pass
    over.set()
    end.send(count[0])


def stalled(port: int, end: Connection) -> None:
    """See ``handshakes``."""
    handshakes(port, end, prove=False)


def wrong(port: int, end: Connection) -> None:
    """See ``handshakes``."""
    handshakes(port, end, prove=True)


def login(port: int, *more: str) -> float | None:
    """Seconds until a real client is in; None if it is not within ``PATIENCE``."""
    command = [sys.executable, "-B", str(ROOT / "cmd_chat.py"), "connect", "127.0.0.1", str(port)]
    began = time.monotonic()
    with subprocess.Popen(  # noqa: S603  # our own program
        [*command, *more, "--renderer", "json", "--no-reconnect"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=environment({"CLIENT_PASSWORD": PASSWORD} if "--token" not in more else {}),
    ) as client:  # fmt: skip
        assert client.stdout is not None
        timer = threading.Timer(PATIENCE, client.kill)
        timer.start()
        line = client.stdout.readline()
        took = time.monotonic() - began
        timer.cancel()
        client.kill()
    return took if b'"connected"' in line else None


def mint(port: int, nick: str) -> str:
    """A token from the server's form."""
    fields = {"admin_password": PASSWORD, "username": nick, "ttl": "3600"}
    body = urllib.parse.urlencode(fields).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/generate_token", body) as answer:  # noqa: S310
        return str(answer.read().decode().split('"')[3])


def row(name: str, wanted: float, took: list[float | None]) -> list[str]:
    """How many came in, how many in time, and when."""
    inside = sorted(each for each in took if each is not None)
    in_time = sum(each <= wanted for each in inside)
    shown = f"{statistics.median(inside):.2f} s, {inside[-1]:.2f} s" if inside else "-"
    return [name, f"{in_time} of {len(took)} within {wanted:g} s", str(len(inside)), shown]


def attacked(
    server: Process, name: str, attack: Callable[[int, Connection], None] | None
) -> list[list[str]]:
    """Logins by password and by token while it goes on."""
    tokens = [mint(server.port, f"t{number}") for number in range(LOGINS)]
    ours, theirs = multiprocessing.Pipe()
    attackers = None
    if attack is not None:
        attackers = multiprocessing.Process(target=attack, args=(server.port, theirs))
        attackers.start()
        time.sleep(SETTLE)
    before = server.cpu()
    began = time.monotonic()
    by_password = [login(server.port, f"n{number}") for number in range(LOGINS)]
    by_token = [login(server.port, f"t{n}", "--token", token) for n, token in enumerate(tokens)]
    share = (server.cpu() - before) / (time.monotonic() - began)
    if attackers is not None:
        ours.send("end")
        ours.recv()
        attackers.terminate()
        attackers.join()
    limit = 2.0 if attack is silent else 5.0
    rows = [row(f"{name}: password", limit, by_password), row(f"{name}: token", 2.0, by_token)]
    return [[*each, f"{100 * share:.0f} %"] for each in rows]


def main() -> None:
    """Measure and print."""
    rows = []
    with chat_server(None) as server:
        rows += attacked(server, "quiet", None)
    for attack in (silent, stalled, wrong):
        with chat_server(None) as server:
            rows += attacked(server, attack.__name__, attack)
    heads = ("attack, login", "in time", f"in of {LOGINS}", "median, last", "server's CPU")
    tables.show("Logins while strangers attack", heads, rows)


if __name__ == "__main__":
    main()
