"""A server that is stopped while everybody talks: what was accepted arrives; nothing is left."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol import frames
from server.app import ChatServer
from tests.fuzzing import SOAK
from tests.held import held
from tests.test_fuzz_server import descriptors
from tests.test_server_connection import narrow, until
from tests.wire import LONG, Wire, threads
from transport import Closed

MEMBERS, TALKERS = 8, 4


class Member:
    """One who reads all the time, and perhaps talks all the time."""

    def __init__(self, wire: Wire, talks: bool) -> None:
        self.wire, self.talks = wire, talks
        self.accepted: set[int] = set()
        self.seen: set[int] = set()
        self.last: frames.Frame | None = None
        self._threads = [threading.Thread(target=self._read)]
        if talks:
            self._threads.append(threading.Thread(target=self._talk))
        for thread in self._threads:
            thread.start()

    def _talk(self) -> None:
        with contextlib.suppress(Closed):
            while True:
                self.wire.post(MEMBERS, b"g" * 4000)

    def _read(self) -> None:
        with contextlib.suppress(Closed):
            while True:
                frame = self.last = self.wire.next()
                if isinstance(frame, frames.Accepted) and frame.seq is not None:
                    self.accepted.add(frame.seq)
                elif isinstance(frame, frames.Log):
                    self.seen.update(entry.seq for entry in frame.entries)  # type: ignore[attr-defined]

    def join(self) -> None:
        for thread in self._threads:
            thread.join(LONG)


@pytest.mark.soak
def test_stopping_while_everybody_talks(
    serve: Callable[..., ChatServer], wires: Callable[..., Wire]
) -> None:
    """Each reads all that was accepted of anybody, and then the reason; each thread has ended."""
    before = threads(), descriptors()
    server = serve(max_messages_per_window=1_000_000)
    # Sockets that hold little: when it stops, something waits for each of them.
    server._listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    joined = [
        wires(server, number, opened=narrow).join(f"n{number}") for number in range(MEMBERS)
    ]
    members = [Member(wire, number < TALKERS) for number, wire in enumerate(joined)]
    until(lambda: all(len(member.accepted) > 5 for member in members[:TALKERS]))
    began = time.monotonic()
    server.stop()
    took = time.monotonic() - began
    for member in members:
        member.join()
        member.wire.cut()
    accepted = set().union(*(member.accepted for member in members))
    for member in members:
        assert not accepted - member.seen
        assert member.last == frames.Bye("shutdown")
    assert server._services.connection_limits._open == 0 and not server._connections
    assert held(server._services.sessions) == held(server._services.rooms) == 0
    until(lambda: threads() <= before[0])
    until(lambda: descriptors() <= before[1])
    if SOAK:
        print(f"\n{len(accepted)} posts were accepted; stopping took {took:.2f} s")


# While the main thread waits, another one of its process is told of the signal.
TOLD_ELSEWHERE = """
import os, signal, sys, threading
from server.signals import Signals

main = threading.get_ident()
signals = Signals(secure={secure})

def waits():
    frame = sys._current_frames()[main]
    return frame.f_code.co_name == "wait" and frame.f_globals["__name__"] == "server.signals"

def tell(number):
    while not waits():
        pass
    signal.pthread_kill(threading.get_ident(), number)

def renewed():
    print("renewed", flush=True)
    threading.Thread(target=tell, args=(signal.SIGTERM,)).start()

threading.Thread(target=tell, args=(signal.SIGHUP,)).start()
signals.wait(renewed)
print("stopped", flush=True)
"""


@pytest.mark.parametrize("secure", [True, False])
def test_a_signal_that_another_thread_is_told_of(secure: bool) -> None:
    """As one may be that is just starting a client's: it is heard all the same."""
    done = subprocess.run(
        [sys.executable, "-c", TOLD_ELSEWHERE.format(secure=secure)],
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LONG,
        check=True,
    )
    assert done.stdout.split() == ([b"renewed"] if secure else []) + [b"stopped"]
