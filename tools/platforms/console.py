"""A program on a Windows console: what is typed there, and what became of it."""

from __future__ import annotations

import codecs
import fcntl
import json
import os
import pty
import signal
import socket
import struct
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.smoke import DEADLINE, Failed

_TYPIST = Path(__file__).with_name("typist.py")
_CTRL, _ALTGR, _ENTER = 0x8, 0x9, 0x0D
_HAND = 0.5  # seconds that a hand takes at least: what follows a paste at once belongs to it
Record = tuple[bool, int, str, int]


def pressed(key: int, char: str = "\0", state: int = 0) -> list[Record]:
    """A key going down and up, as Windows tells of it."""
    return [(True, key, char, state), (False, key, char, state)]


def letters(text: str) -> list[Record]:
    """Keys for these characters, which may take two UTF-16 units; Enter for a line end."""
    records = []
    for (unit,) in struct.iter_unpack("<H", text.encode("utf-16-le")):
        char = chr(unit)
        plain = ord(char.upper()) if char.isascii() and char.isalnum() else 0
        records += pressed(_ENTER if char == "\r" else plain, char)
    return records


ENTER = letters("\r")
CTRL_C = pressed(ord("C"), "\x03", _CTRL)
EURO = pressed(ord("E"), "€", _ALTGR)
CIRCUMFLEX_E = [*pressed(0xDD), *pressed(ord("E"), "ê")]  # a dead key, and the letter


class Console:
    """``command`` on a console of Wine's, whose terminal is a pty of ours.

    ``types`` goes through Wine's own translation of a terminal's bytes into records;
    ``presses`` puts records there as a Windows keyboard makes them.
    """

    def __init__(
        self, python: Sequence[str], command: Sequence[str], env: Mapping[str, str]
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(DEADLINE)
            words = [*python, str(_TYPIST), str(listener.getsockname()[1]), *command]
            self._pid, self._master = pty.fork()
            if self._pid == 0:
                environment = {**os.environ, **env, "TERM": "xterm-256color"}
                os.execve(words[0], words, environment)  # noqa: S606  # no shell is wanted
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
            self.shown, self._seen = "", 0
            self._thread = threading.Thread(target=self._read, daemon=True)
            self._thread.start()
            try:
                self._typist = listener.accept()[0]
            except TimeoutError:
                raise Failed(f"the console does not start: {self.shown[-300:]}") from None
        self._typist.settimeout(DEADLINE)

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        try:
            while data := os.read(self._master, 65536):
                self.shown += decoder.decode(data)
        except OSError:
            return  # it has ended

    def types(self, text: str) -> None:
        """Bytes of a terminal, all at once."""
        self._seen = len(self.shown)
        os.write(self._master, text.encode())

    def presses(self, *keys: Sequence[Record]) -> None:
        """Records, those of each key by themselves."""
        self._seen = len(self.shown)
        for records in keys:
            self._typist.sendall(json.dumps(records).encode() + b"\n")

    def sees(self, text: str) -> None:
        """Wait until ``text`` is shown since the last keys, and as long as a hand takes.

        Raises Failed.
        """
        end = time.monotonic() + DEADLINE
        while text not in self.shown[self._seen :]:
            if time.monotonic() > end:
                raise Failed(f"{text!r} does not show: {self.shown[-300:]!r}")
            time.sleep(0.02)
        time.sleep(_HAND)

    def ended(self) -> tuple[int, int, int]:
        """The exit status, and the input mode before and after.  Raises Failed."""
        data = b""
        while not data.endswith(b"\n"):
            try:
                piece = self._typist.recv(1024)
            except TimeoutError:
                piece = b""
            if not piece:
                raise Failed(f"it does not end: {self.shown[-300:]!r}")
            data += piece
        status, before, after = json.loads(data)
        return status, before, after

    def close(self) -> None:
        """End whatever still runs."""
        self._typist.close()
        try:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(self._master)
