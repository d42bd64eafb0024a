"""What each received message costs the client, by renderer; beside terminal clients of IRC; and the
first post in a room of 200.

    python -m bench.client

For IRC, Debian's ngircd and irssi or weechat-curses, as far as they are installed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench import irc, sealing, tables
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
MEMBERS = 50  # beside IRC

Rest = Callable[[float], None]  # lets so many seconds pass


class Screen:
    """A client, and all that it shows; read by a thread, so that it never waits for us."""

    def __init__(self, words: Sequence[str], terminal: bool) -> None:
        inner, outer = pty.openpty() if terminal else os.pipe()
        if terminal:
            fcntl.ioctl(outer, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.process = subprocess.Popen(
            words,
            stdin=outer if terminal else subprocess.PIPE,
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

    def type(self, keys: bytes) -> None:
        """Press keys at its terminal."""
        os.write(self._fd, keys)

    def wait_for(self, text: bytes) -> None:
        """Wait until it has shown this."""
        with self._news:
            assert self._news.wait_for(lambda: text in self._shown, LONG), self._shown[-500:]

    def cpu(self) -> float:
        """CPU seconds so far."""
        return cpu_of(self.process.pid)

    def memory(self) -> tuple[int, int]:
        """Kilobytes that it takes: all of it, and what no other process has."""
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        found = dict(re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE))
        return int(found["Rss"]), int(found["Private_Clean"]) + int(found["Private_Dirty"])

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
            encoded += [frames.Keys(at, (wrap,)).encode() for wrap in sealed.wraps]
            self._ref += 1
            encoded.append(frames.Post(self._ref, at, sealed.change, sealed.box).encode())
        most = min(SLICE_BYTES // max(map(len, encoded)), FRAMES_IN_RECORD)
        for start in range(0, len(encoded), most):
            self._write(*encoded[start : start + most])


@contextlib.contextmanager
def chat(server: Process, shared: Secrets, renderer: str) -> Iterator[tuple[Loop, Screen, Speaker]]:
    """A client with this renderer, and somebody whom it reads."""
    loop = Loop()
    words = ["connect", "127.0.0.1", str(server.port), renderer, "--room", ROOM]
    screen = Screen(
        [sys.executable, "cmd_chat.py", *words, "--renderer", renderer], renderer == "rich"
    )
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


def _row(name: str, screen: Screen, say: Callable[[str], None], rest: Rest) -> list[str]:
    """A client in a room of so many, where somebody says something again and again."""
    say("first")
    screen.wait_for(b"first")
    rest(QUIET)
    idle, cpu, start = screen.memory(), screen.cpu(), time.monotonic()
    for number in range(GENTLE):
        rest(start + number / A_SECOND - time.monotonic())
        say(TEXT if number < GENTLE - 1 else "done9")
    screen.wait_for(b"done9")
    rest(QUIET)
    each = (screen.cpu() - cpu) / GENTLE
    return [name, f"{each * 1000:.2f} ms", *(f"{size / 1024:.1f} MB" for size in idle)]


def _ours(shared: Secrets) -> list[str]:
    with chat_server() as server, chat(server, shared, "rich") as (loop, screen, speaker):
        others = [
            Member(loop, server, shared, f"user{number}", ROOM, address(2 + number))
            for number in range(MEMBERS - 2)
        ]
        loop.until(lambda: all(each.inside for each in others))
        loop.rest(QUIET)
        speaker = Speaker(loop, server, shared, "talker", ROOM, address(1))
        loop.until(lambda: speaker.inside)
        return _row("rich", screen, speaker.post, loop.rest)


def _irc(program: str) -> list[str]:
    with irc.irc_server() as port, tempfile.TemporaryDirectory(prefix="cmdchat-bench-") as folder:
        members = [irc.IrcMember(port, f"user{number}") for number in range(MEMBERS - 1)]
        screen = Screen(irc.words(program, port, Path(folder)), terminal=True)

        def rest(seconds: float) -> None:
            time.sleep(max(0.0, seconds))
            for member in members:
                member.listen()

        try:
            if program == "irssi":  # the room is in its second window
                screen.wait_for(b"Act")
                screen.type(b"\x1b2")
            screen.wait_for(irc.ROOM.encode())
            rest(QUIET)
            return _row(program, screen, members[0].say, rest)
        finally:
            screen.close()
            for member in members:
                member.close()


def main() -> None:
    """Measure and print."""
    shared = Secrets()
    rows = [_ours(shared), *map(_irc, irc.installed())]
    head = ("", f"{A_SECOND:g} a second", "memory", "of its own")
    title = f"A terminal of 100 x 30 in a room of {MEMBERS}: CPU for each message, and memory"
    tables.show(title, head, rows)
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
