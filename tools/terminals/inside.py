"""Runs inside a terminal: relays between it and a program, and tells what passes by.

    python -m tools.terminals.inside SOCKET

Connects to the Unix socket SOCKET, at which ``terminal.Terminal`` waits. Each message there, in
both directions, is one byte that names its kind, four bytes of length, and that much data:

    to here    W  write to the terminal          I  give to the program as if it had been typed
               Q  ask where the cursor is        P  start a program (JSON: its arguments)
    from here  K  what the terminal has sent     O  what the program has written
               C  the cursor, "row;column"       Z  the terminal's size, "columns;rows"
               X  the program's exit status
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import selectors
import signal
import socket
import struct
import sys
import termios
import tty
from collections import deque

HEAD = struct.Struct(">cI")
_ASK = b"\x1b[6n"
_ANSWER = re.compile(rb"\x1b\[\??(\d+);(\d+)(?:;\d+)?R")
_BEGINNING = re.compile(rb"\x1b(\[[?\d;]*)?$")  # of what may become an answer
_READ = 65536


class _Relay:
    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._selector = selectors.DefaultSelector()
        self._program = -1  # the master side of its terminal
        self._child = 0
        self._asked: deque[str] = deque()  # who has asked for the cursor: "us", "program"
        self._typed = b""
        self._messages = b""
        self._over = False

    def run(self) -> None:
        os.set_blocking(1, True)
        self._selector.register(0, selectors.EVENT_READ, self._from_terminal)
        self._selector.register(self._link, selectors.EVENT_READ, self._from_harness)
        wake, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGWINCH, lambda *_: None)
        self._selector.register(wake, selectors.EVENT_READ, lambda: self._resized(wake))
        self._tell_size()
        while not self._over:
            for key, _events in self._selector.select():
                key.data()

    def _tell(self, kind: bytes, data: bytes) -> None:
        self._link.sendall(HEAD.pack(kind, len(data)) + data)

    def _tell_size(self) -> None:
        size = os.get_terminal_size(0)
        if self._program >= 0:
            packed = struct.pack("HHHH", size.lines, size.columns, 0, 0)
            fcntl.ioctl(self._program, termios.TIOCSWINSZ, packed)
        self._tell(b"Z", f"{size.columns};{size.lines}".encode())

    def _resized(self, wake: int) -> None:
        os.read(wake, _READ)
        self._tell_size()

    def _from_terminal(self) -> None:
        try:
            data = os.read(0, _READ)
        except OSError:
            data = b""
        if not data:
            self._over = True
            return
        self._typed += data
        while self._asked and (answer := _ANSWER.search(self._typed)):
            self._pass_on(self._typed[: answer.start()])
            self._typed = self._typed[answer.end():]
            if self._asked.popleft() == "us":
                self._tell(b"C", b"%s;%s" % answer.groups())
            else:
                self._pass_on(answer.group())
        if not (self._asked and _BEGINNING.search(self._typed)):
            self._pass_on(self._typed)
            self._typed = b""

    def _pass_on(self, data: bytes) -> None:
        if data:
            self._tell(b"K", data)
            if self._program >= 0:
                os.write(self._program, data)

    def _from_program(self) -> None:
        try:
            data = os.read(self._program, _READ)
        except OSError:
            data = b""
        if data:
            self._asked.extend(["program"] * data.count(_ASK))
            self._tell(b"O", data)
            _write(1, data)
            return
        self._selector.unregister(self._program)
        os.close(self._program)
        self._program = -1
        _pid, status = os.waitpid(self._child, 0)
        self._tell(b"X", str(os.waitstatus_to_exitcode(status)).encode())

    def _from_harness(self) -> None:
        data = self._link.recv(_READ)
        if not data:
            self._over = True
            return
        self._messages += data
        while len(self._messages) >= HEAD.size:
            kind, length = HEAD.unpack_from(self._messages)
            end = HEAD.size + length
            if len(self._messages) < end:
                return
            body, self._messages = self._messages[HEAD.size: end], self._messages[end:]
            self._do(kind, body)

    def _do(self, kind: bytes, data: bytes) -> None:
        if kind == b"W":
            _write(1, data)
        elif kind == b"I" and self._program >= 0:
            _write(self._program, data)
        elif kind == b"Q":
            self._asked.append("us")
            _write(1, _ASK)
        elif kind == b"P":
            self._start(json.loads(data))

    def _start(self, command: list[str]) -> None:
        self._child, self._program = pty.fork()
        if self._child == 0:
            os.execvp(command[0], command)  # noqa: S606
        self._tell_size()
        self._selector.register(self._program, selectors.EVENT_READ, self._from_program)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data):]


def main(path: str) -> int:
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(path)
        before = termios.tcgetattr(0)
        tty.setraw(0)
        try:
            _Relay(link).run()
        finally:
            termios.tcsetattr(0, termios.TCSANOW, before)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
