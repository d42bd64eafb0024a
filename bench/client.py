"""What each received message costs the client, by renderer; and the first post in a room of 200.

    python -m bench.client
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator

from bench import sealing, tables
from bench.members import TEXT, Member, Secrets, address
from bench.servers import PASSWORD, ROOT, Process, chat_server, cpu_of, environment
from bench.wire import Loop
from client.encryption.encryption import Encryption
from protocol import frames
from protocol.frames import MemberLine
from protocol.limits import FRAMES_IN_RECORD, SLICE_BYTES

ROOM = "bench"
BURST, GENTLE, A_SECOND = 500, 100, 20.0
RENDERERS = ("json", "minimal", "rich")
QUIET = 1.0  # seconds, for what the client still does after `connected`
LONG = 60.0  # seconds; against hanging only


class Screen:
    """A client, and all that it shows; read by a thread, so that it never waits for us."""

    def __init__(self, server: Process, renderer: str) -> None:
        inner, outer = pty.openpty() if renderer == "rich" else os.pipe()
        if renderer == "rich":
            fcntl.ioctl(outer, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        words = ["connect", "127.0.0.1", str(server.port), renderer, "--room", ROOM]
        self.process = subprocess.Popen(
            [sys.executable, "cmd_chat.py", *words, "--renderer", renderer],
            stdin=outer if renderer == "rich" else subprocess.PIPE,
            stdout=outer,
            env=environment({"CLIENT_PASSWORD": PASSWORD, "TERM": "xterm-256color"}),
            cwd=ROOT,
        )
        os.close(outer)
        self._fd = inner
        self._news = threading.Condition()
        self._shown = b""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # how a terminal ends
            while data := os.read(self._fd, 65536):
                with self._news:
                    self._shown = self._shown[-4096:] + data
                    self._news.notify_all()

    def wait_for(self, text: bytes) -> None:
        """Wait until it has shown this."""
        with self._news:
            assert self._news.wait_for(lambda: text in self._shown, LONG), self._shown[-500:]

    def cpu(self) -> float:
        """CPU seconds so far."""
        return cpu_of(self.process.pid)

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()


class Speaker(Member):
    """A member that seals for whoever is in its room, and so is read."""

    _lines: list[MemberLine]

    def _let_in(self, message: str | bytes) -> None:
        for value in self._link.open(message):
            if value["type"] == "entered":
                self.entered, self._lines = frames.Entered.from_object(value), []
            elif value["type"] == "roster":
                self._lines += frames.Roster.from_object(value).members
        if self.entered is not None and len(self._lines) == self.entered.members:
            entered, encryption = self.entered, Encryption(self.identity)
            self._sealing = encryption.enter(
                ROOM, entered.log, entered.id, self._lines, entered.seq
            )
            self.inside = True
            self._step = self._forget

    def _forget(self, message: str | bytes) -> None:
        """Nothing that comes matters."""

    def post(self, *texts: str) -> None:
        """Say these, in as few records as a client would."""
        assert self.entered is not None
        at = self.entered.at
        encoded: list[bytes] = []
        for text in texts:
            sealed = self._sealing.seal("text", text)
            if sealed.wraps:
                encoded.append(frames.Keys(at, sealed.wraps).encode())
            self._ref += 1
            encoded.append(frames.Post(self._ref, at, sealed.change, sealed.box).encode())
        most = min(SLICE_BYTES // max(map(len, encoded)), FRAMES_IN_RECORD)
        for start in range(0, len(encoded), most):
            self._write(*encoded[start : start + most])


@contextlib.contextmanager
def chat(server: Process, shared: Secrets, renderer: str) -> Iterator[tuple[Loop, Screen, Speaker]]:
    """A client with this renderer, and somebody whom it reads."""
    loop, screen = Loop(), Screen(server, renderer)
    try:
        screen.wait_for(b"connected" if renderer == "json" else ROOM.encode())
        loop.rest(QUIET)
        speaker = Speaker(loop, server, shared, "speaker", ROOM, address(1))
        loop.until(lambda: speaker.inside)
        speaker.post("first")
        screen.wait_for(b"first")
        loop.rest(QUIET)
        yield loop, screen, speaker
    finally:
        screen.close()
        loop.close()


def burst(loop: Loop, screen: Screen, speaker: Speaker) -> float:
    """CPU seconds for each of many that come at once."""
    cpu = screen.cpu()
    speaker.post(*[TEXT] * (BURST - 1), "done7")
    loop.rest(0.1)
    screen.wait_for(b"done7")
    loop.rest(QUIET)
    return (screen.cpu() - cpu) / BURST


def gentle(loop: Loop, screen: Screen, speaker: Speaker) -> float:
    """CPU seconds for each of some that come one by one."""
    cpu, start = screen.cpu(), time.monotonic()
    for number in range(GENTLE):
        loop.rest(start + number / A_SECOND - time.monotonic())
        speaker.post(TEXT if number < GENTLE - 1 else "done8")
    screen.wait_for(b"done8")
    loop.rest(QUIET)
    return (screen.cpu() - cpu) / GENTLE


def main() -> None:
    """Measure and print."""
    shared = Secrets()
    rows = []
    for renderer in RENDERERS:
        with chat_server() as server, chat(server, shared, renderer) as talk:
            found = (burst(*talk), gentle(*talk))
            rows.append([renderer, *(f"{each * 1000:.2f} ms" for each in found)])
    head = ("renderer", f"{BURST} at once", f"{A_SECOND:g} a second")
    tables.show("Client CPU for each received message of 300 characters", head, rows)
    sealing.main(200)


if __name__ == "__main__":
    main()
