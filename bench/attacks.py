"""What strangers do who have no password: attackers for ``bench.strangers``, each a process.

Each attack is a function of the server's port and of an end of a pipe; it goes on until something
comes there, and then says what it has counted.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

from bench.flood import UPGRADE
from bench.members import Person
from protocol import frames
from protocol.errors import ChatError
from protocol.keys import RecipientKeys
from protocol.link import ClientLink, Credentials
from transport import Closed, Unreachable
from transport.client_websocket import connect

ADDRESSES, SILENT = 4, 512
AT_ONCE = 100  # handshakes of the honest one's own address
FRAMES = 12_000  # of six bytes each, on a connection that is then renewed
NOISY = 6
_FRAGMENT, _NEXT, _PING = (bytes((head, 0x80, 0, 0, 0, 0)) for head in (0x01, 0x00, 0x89))

Attack = Callable[[int, Connection], None]


def silent(port: int, end: Connection) -> None:
    """Connections that say nothing, from four addresses of their own, renewed when they are cut."""
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
    began = time.monotonic()
    while not end.poll():
        for key, _mask in waiting.select(0.1):
            waiting.unregister(key.fileobj)
            sock = key.fileobj
            if isinstance(sock, socket.socket):
                sock.close()
            cut += 1
            come(key.data)
    end.send(cut / (time.monotonic() - began))


def stalled(port: int, end: Connection) -> None:
    """A hundred at once that get to ``key`` and prove nothing, again and again."""
    _handshakes(port, end, prove=False)


def wrong(port: int, end: Connection) -> None:
    """A hundred at once that prove another password, wait for the answer, and try again."""
    _handshakes(port, end, prove=True)


def hasty(port: int, end: Connection) -> None:
    """As ``wrong``, but they know that a right proof is answered at once, and do not wait."""
    _handshakes(port, end, prove=True, patience=0.2)


def _handshakes(port: int, end: Connection, prove: bool, patience: float = 1e6) -> None:
    keys = RecipientKeys()
    over, counted = threading.Event(), Counter[str]()

    def attempt() -> None:
        peer = connect("127.0.0.1", port, max_message_size=1 << 17, timeout=120.0)
        try:
            link = ClientLink(Person(keys), Credentials(bytes(32)), keys)
            peer.send(link.receive_greeting(peer.receive(120.0) or ""))
            key = peer.receive(120.0) or ""
            counted["handshakes"] += 1
            if prove:
                peer.send(link.receive_key(key, "eve", [frames.Stay("default")]))
            answer, until = None, time.monotonic() + patience
            while not over.is_set() and answer is None and time.monotonic() < until:
                answer = peer.receive(min(patience, 1.0))
            counted["answers"] += answer is not None
        finally:
            peer.finish(0.0)

    def go_on() -> None:
        while not over.is_set():
            with contextlib.suppress(ChatError, Closed, Unreachable):
                attempt()

    for _ in range(AT_ONCE):
        threading.Thread(target=go_on, daemon=True).start()
    began = time.monotonic()
    while not end.poll(0.1):
        pass
    over.set()
    end.send(counted["answers" if prove else "handshakes"] / (time.monotonic() - began))


def fragments(port: int, end: Connection) -> None:
    """Six strangers that send a message in fragments without a byte, and wait for the end."""
    _noise(port, end, _FRAGMENT + (FRAMES - 1) * _NEXT, wait=True)


def pings(port: int, end: Connection) -> None:
    """The same with pings without a byte."""
    _noise(port, end, FRAMES * _PING, wait=True)


def hasty_fragments(port: int, end: Connection) -> None:
    """As ``fragments``, but whoever has sent all comes anew at once."""
    _noise(port, end, _FRAGMENT + (FRAMES - 1) * _NEXT, wait=False)


def hasty_pings(port: int, end: Connection) -> None:
    """The same with pings without a byte."""
    _noise(port, end, FRAMES * _PING, wait=False)


def _noise(port: int, end: Connection, sent: bytes, wait: bool) -> None:
    over, counted = threading.Event(), Counter[str]()

    def go_on(source: str) -> None:
        while not over.is_set():
            # Cut by the server, most of the time.
            with contextlib.suppress(OSError), socket.socket() as sock:
                sock.settimeout(10.0)
                sock.bind((source, 0))
                sock.connect(("127.0.0.1", port))
                sock.sendall(UPGRADE + sent)
                counted["times"] += 1
                while wait and sock.recv(65536):
                    pass

    for number in range(NOISY):
        threading.Thread(target=go_on, args=(f"127.8.2.{1 + number}",), daemon=True).start()
    began = time.monotonic()
    while not end.poll(0.1):
        pass
    over.set()
    end.send(counted["times"] / (time.monotonic() - began))


def _elsewhere(attack: Attack, port: int, end: Connection) -> None:
    os.nice(10)  # what they compute is not the server's machine's business
    attack(port, end)


@contextlib.contextmanager
def attacked(attack: Attack | None, port: int, found: list[float]) -> Iterator[None]:
    """While ``attack`` goes on, if there is one; afterwards what it has counted is in ``found``."""
    if attack is None:
        yield
        return
    ours, theirs = multiprocessing.Pipe()
    attackers = multiprocessing.Process(target=_elsewhere, args=(attack, port, theirs))
    attackers.start()
    try:
        yield
        ours.send("end")
        found.append(ours.recv())
    finally:
        attackers.terminate()
        attackers.join()
