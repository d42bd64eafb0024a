"""Real servers and clients as processes, through pipes and through a terminal of our own.

Nothing here sleeps: everything waits for output, for an event or for the end of a process, with
a deadline that only keeps a broken program from hanging the tests.  No threads either, but for
the ``Relay``, so that whatever a test leaks is the program's.  Every process ends with its
``with`` block, however the block ends.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from tests import left_behind
from tests.surroundings import is_changing
from tests.zygote import Constants, Forked, may_fork

try:
    from tests import event_schema
except ImportError:  # no jsonschema: .ci/run has a few of the tests run on other Pythons
    event_schema = None  # type: ignore[assignment]

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "cmd_chat.py"
DEADLINE = 20.0  # seconds; only against hanging
PASSWORD = "correct horse battery"  # of every server here

Event = dict[str, Any]
P = TypeVar("P", bound="Program")

_GUESTS = count(1)
_WITH = """
import json, sys
from tests.zygote import set_constants
set_constants(json.loads(sys.argv.pop(1)))
from cli.run import main
sys.exit(main())
"""
_LOOSE = {"MAX_MESSAGES_PER_WINDOW": "100000"}


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what changes the program, in English, and ``extra``.

    An empty value takes a name out.
    """
    kept = {name: value for name, value in os.environ.items() if not is_changing(name)}
    kept.update(CMD_CHAT_LANGUAGE="en", PYTHONDONTWRITEBYTECODE="1")
    kept.update(extra or {})
    return {name: value for name, value in kept.items() if value}


class Program:
    """One process of the program; its standard output and standard error are read as they come.

    ``command`` is the whole command line; by default, ``arguments`` of ``program``.  ``before`` is
    put in front of it.  ``constants``: of its modules, which get these values.
    """

    def __init__(
        self,
        arguments: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        *,
        command: Sequence[str] | None = None,
        before: Sequence[str] = (),
        program: Path = PROGRAM,
        cwd: Path | None = None,
        stdout: int = subprocess.PIPE,
        constants: Constants | None = None,
    ) -> None:
        if constants is not None and not may_fork(environment(env)):
            command = [sys.executable, "-c", _WITH, json.dumps(constants), *arguments]
            env = {**(env or {}), "PYTHONPATH": str(ROOT)}
        self.command = [*before, *(command or [sys.executable, str(program), *arguments])]
        whole, folder = environment(env), cwd or Path(__file__).parent
        self.process: subprocess.Popen[bytes] | Forked
        if program == PROGRAM and not command and not before and may_fork(whole):
            self.process = Forked(
                arguments, stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.PIPE,
                env=whole, cwd=folder, constants=constants,
            )  # fmt: skip
        else:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=stdout,
                stderr=subprocess.PIPE,
                env=whole,
                cwd=folder,
                bufsize=0,
            )
        self.out, self.err = b"", b""
        self._selector = selectors.DefaultSelector()
        for name, pipe in (("out", self.process.stdout), ("err", self.process.stderr)):
            if pipe is not None:
                self._selector.register(pipe, selectors.EVENT_READ, name)

    def __enter__(self: P) -> P:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.kill()
        if error is not None and hasattr(error, "add_note"):  # from Python 3.11 on
            error.add_note(f"{self.command}:\n{self.told()}")

    def told(self) -> str:
        """All of its output so far, for a message about what went wrong."""
        return f"{self.out.decode('utf-8', 'replace')}\n{self.err.decode('utf-8', 'replace')}"

    # What it writes

    def wait_for(self, done: Callable[[], bool]) -> None:
        """Read its output until ``done``; fails if it ends, or after the deadline, before that."""
        end = time.monotonic() + DEADLINE
        while not done():
            assert self._read(end), f"nothing more comes from {self.command}:\n{self.told()}"

    def _read(self, end: float) -> bool:
        """Take up what comes next; False at the end of both outputs, and when time is up."""
        if not self._selector.get_map():
            return False
        ready = self._selector.select(max(0.0, end - time.monotonic()))
        for key, _mask in ready:
            data = os.read(key.fd, 65536)
            if key.data == "out":
                self.out += data
                self.took(data)
            else:
                self.err += data
            if not data:
                self._selector.unregister(key.fileobj)
        return bool(ready)

    def took(self, data: bytes) -> None:
        """New bytes of standard output; empty at its end."""

    # What it is told

    def write(self, data: bytes) -> None:
        """Bytes for its standard input."""
        assert self.process.stdin is not None
        while data:
            data = data[os.write(self.process.stdin.fileno(), data) :]

    def close_output(self) -> None:
        """Read its standard output no more."""
        assert self.process.stdout is not None
        self._selector.unregister(self.process.stdout)
        self.process.stdout.close()

    def end_input(self) -> None:
        """Close its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    # How it ends

    def end(self) -> int:
        """Its exit status, once it has ended by itself."""
        end = time.monotonic() + DEADLINE
        while self._read(end):
            pass
        return self.process.wait(max(0.1, end - time.monotonic()))

    def kill(self) -> None:
        """End it now, also if it is stopped or has ended."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._selector.close()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    @property
    def errors(self) -> str:
        """What it has written to standard error so far."""
        return self.err.decode()


# Servers


def place(host: str, port: int) -> socket.socket:
    """A socket that is bound and does not listen: the port is nobody else's as long as it is open.

    A server, which reuses addresses, can still listen there; and when it is killed, no other
    process of this machine is given its port before the next one of the same test has it.
    """
    held = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((host, port))
    except BaseException:
        held.close()
        raise
    return held


class Server(Program):
    """A server on a free port of the loopback interface; ready when it has been made."""

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        **options: Any,
    ) -> None:
        env = {"ADMIN_PASSWORD": PASSWORD, **_LOOSE, **(settings or {})}
        self._place = place(host, port)
        super().__init__(["serve", host, str(self._place.getsockname()[1])], env, **options)
        try:
            self.wait_for(lambda: self.out.count(b"=" * 60) == 3)
            found = re.search(rb"connect \S+ (\d+) <username>", self.out)
            assert found is not None, self.told()
        except BaseException:
            self.kill()
            raise
        self.host, self.port = host, int(found[1])

    def kill(self) -> None:
        super().kill()
        self._place.close()

    @property
    def banner(self) -> list[str]:
        return self.out.decode().splitlines()


# Clients through pipes


def _address(server: Server | tuple[str, int]) -> list[str]:
    host, port = (server.host, server.port) if isinstance(server, Server) else server
    return [host, str(port)]


CHECKED_EVENTS = 100  # of a client: floods are more of the same


class Client(Program):
    """A client with ``--renderer json``.  Events are taken in the order in which they come.

    ``server`` may be several addresses, as they are written.  A ``command`` that gives nothing but
    other words to the program is forked like any other client.
    """

    def __init__(
        self,
        server: Server | tuple[str, int] | str,
        nick: str,
        *options: str,
        settings: Mapping[str, str] | None = None,
        joined: bool = True,
        **other: Any,
    ) -> None:
        if isinstance(server, str):
            where = [server]
        else:
            host, port = (server.host, server.port) if isinstance(server, Server) else server
            where = [host, str(port)]
        self.nick = nick
        self.events: list[Event] = []
        self._taken = 0
        self._rest = b""
        words = ["connect", *where, nick, "--renderer", "json", *options]
        if (other.get("command") or [])[:2] == [sys.executable, str(PROGRAM)]:
            words = other.pop("command")[2:]
        super().__init__(words, {"CLIENT_PASSWORD": PASSWORD, **(settings or {})}, **other)
        if joined:
            try:
                self.next("connected")
            except BaseException:
                self.kill()
                raise

    def took(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            event = json.loads(line)
            if len(self.events) < CHECKED_EVENTS and event_schema is not None:
                event_schema.check(event)
            self.events.append(event)

    def say(self, *lines: str) -> None:
        """Lines for its standard input."""
        self.write("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))

    def next(self, name: str, **wanted: Any) -> Event:
        """The next event called ``name`` with these values; others before it are passed over.

        A key that is no Python name is written with a ``_`` behind it: ``from_``, ``self_``.
        """
        values = {key.rstrip("_"): value for key, value in wanted.items()}
        found: list[Event] = []

        def arrived() -> bool:
            while not found and self._taken < len(self.events):
                event = self.events[self._taken]
                self._taken += 1
                if event["event"] == name and values.items() <= event.items():
                    found.append(event)
            return bool(found)

        self.wait_for(arrived)
        return found[0]

    def all(self, name: str, **wanted: Any) -> list[Event]:
        """All events called ``name`` with these values that have come so far."""
        values = {key.rstrip("_"): value for key, value in wanted.items()}
        return [
            event
            for event in self.events
            if event["event"] == name and values.items() <= event.items()
        ]

    def texts(self, **wanted: Any) -> list[str]:
        """The texts of the messages that have come so far."""
        return [event["text"] for event in self.all("message", **wanted)]

    def hears(self, *texts: str, **wanted: Any) -> None:
        """Wait for as many messages: since it started, these and no others have come."""
        self.wait_for(lambda: len(self.texts(**wanted)) >= len(texts))
        assert self.texts(**wanted) == list(texts)

    def meets(self, *nicks: str) -> None:
        """Wait until it has been told of these in its room, as there already or as coming."""

        def known() -> set[str]:
            lists = [event for event in self.events if event["event"] in ("connected", "room")]
            if not lists:  # forgotten: it is in that room all the time
                return {event["nick"] for event in self.all("joined")}
            here = {member["nick"] for member in lists[-1]["members"]}
            # Who came into the room that it was in before says nothing about this one.
            return here | {event["nick"] for event in self.all("joined", room=lists[-1]["room"])}

        self.wait_for(lambda: set(nicks) <= known())

    @property
    def never_in(self) -> bool:
        """Whether all that it told is why it was not let in, or did not get there."""
        return [event["event"] for event in self.events] == ["error", "disconnected"]

    def forget(self) -> None:
        """As if nothing had come so far."""
        self.events.clear()
        self._taken = 0

    def finish(self, *lines: str) -> int:
        """Say the last lines, end the input; the exit status."""
        if lines:
            self.say(*lines)
        self.end_input()
        return self.end()


@contextlib.contextmanager
def people(
    server: Server, room: str, *names: str, settings: Mapping[str, str] | None = None
) -> Iterator[list[Client]]:
    """Clients that start at once, and know of each other in a room; in ``default`` they are without
    a word of theirs, and `/room` leads them somewhere else from there."""
    words = [] if room == "default" else ["--room", room]
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(
                Client(server, name, *words, settings=settings, joined=False)
            )
            for name in names
        ]
        for client in clients:
            client.next("connected")
        for client in clients:
            client.meets(*names)
        yield clients


def run_client(
    address: Server | tuple[str, int],
    *options: str,
    text: str = "",
    nick: str = "",
    settings: Mapping[str, str] | None = None,
) -> Client:
    """A client that has got ``text`` as its whole input and has ended."""
    nick = nick or f"guest-{next(_GUESTS)}"
    with Client(address, nick, *options, settings=settings, joined=False) as client:
        client.write(text.encode())
        client.end_input()
        client.end()
        return client


# Clients on a terminal

# The terminal has to become the controlling one, or Ctrl-C would be a byte like any other.
_ON_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """A program on a terminal of ``columns`` x ``rows``, looked at through pyte.

    ``command``: another program than ours, which gets the arguments.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str] | None = None,
        *,
        columns: int = 80,
        rows: int = 24,
        shell: str = "",
        command: Sequence[str] = (),
    ) -> None:
        """``shell``: a Python program that starts the other one, whose command line it gets."""
        import fcntl
        import pty
        import struct
        import termios

        import pyte

        from tests.emulator import Screen

        self.screen: Any = Screen(columns, rows)
        self._stream = pyte.Stream(self.screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.output = b""
        self._fd, self._line = pty.openpty()
        fcntl.ioctl(self._line, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = termios.tcgetattr(self._line)
        program = [*(command or (sys.executable, str(PROGRAM))), *arguments]
        self._starts_others = bool(shell or command)
        if shell:
            program = [sys.executable, "-I", "-S", "-c", shell, *program]
        # Most tests type several lines at once.
        ours = {"TERM": "xterm-256color", "CLIENT_TYPE_AHEAD": "true"}
        whole = environment({**ours, **(env or {})})
        folder = Path(__file__).parent
        self.process: subprocess.Popen[bytes] | Forked
        if may_fork(whole) and not self._starts_others:
            self.process = Forked(
                arguments, stdin=self._line, stdout=self._line, stderr=self._line,
                env=whole, cwd=folder, terminal=True,
            )  # fmt: skip
        else:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _ON_TERMINAL, *program],
                stdin=self._line,
                stdout=self._line,
                stderr=self._line,
                env=whole,
                cwd=folder,
            )
        os.set_blocking(self._fd, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._fd, selectors.EVENT_READ)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_error: object) -> None:
        # A shell's jobs outlive it.
        below = left_behind.running(below=self.process.pid) if self._starts_others else {}
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        left_behind.end(below)
        self._selector.close()
        os.close(self._fd)
        os.close(self._line)

    def type(self, text: str) -> None:
        """Press these keys."""
        data = text.encode()
        while data:
            with contextlib.suppress(BlockingIOError):
                data = data[os.write(self._fd, data) :]
            self._read(0.0)

    def _read(self, seconds: float) -> None:
        if not self._selector.select(seconds):
            return
        with contextlib.suppress(OSError):  # the program has gone
            data = os.read(self._fd, 65536)
            self.output += data
            self._stream.feed(self._decoder.decode(data))

    def look(self) -> None:
        """Take up what has been written, without waiting for more."""
        self._read(0.0)

    def resize(self, columns: int, rows: int) -> None:
        """Make the terminal another size."""
        import fcntl
        import struct
        import termios

        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def lines(self) -> list[str]:
        """What is on the screen, a string for each row, without spaces at its end."""
        return [line.rstrip() for line in self.screen.display]

    def shown(self) -> str:
        """The whole screen, a space at the end of each row."""
        return " \n".join(self.lines()) + " "

    def sees(self, pattern: str) -> re.Match[str]:
        """Wait until the screen shows what ``pattern`` matches."""
        end = time.monotonic() + DEADLINE
        while (found := re.search(pattern, self.shown())) is None:
            left = end - time.monotonic()
            ended = self.process.poll() is not None
            assert left > 0, f"{pattern!r} does not come:\n{self.shown()}"
            self._read(min(left, 0.1))
            assert not ended or re.search(pattern, self.shown()), (
                f"ended before {pattern!r} came:\n{self.shown()}"
            )
        return found

    def waits(self, done: Callable[[], bool], what: str) -> None:
        """Look at it until ``done``, which is about ``what``."""
        end = time.monotonic() + DEADLINE
        while not done():
            assert time.monotonic() < end, f"{what!r} does not come:\n{self.shown()}"
            self._read(0.02)

    def settings(self) -> list[Any]:
        """The terminal's settings now, as ``termios`` gives them."""
        import termios

        return termios.tcgetattr(self._line)

    def hang_up(self) -> None:
        """Close the terminal, as a window that is closed or a lost ssh does."""
        self._selector.unregister(self._fd)
        for name in ("_line", "_fd"):  # this side holds the other one open, too
            os.close(getattr(self, name))
            setattr(self, name, os.open(os.devnull, os.O_RDWR))

    def end(self) -> int:
        """Its exit status, once it has ended by itself."""
        end = time.monotonic() + DEADLINE
        while self.process.poll() is None:
            assert time.monotonic() < end, f"does not end:\n{self.shown()}"
            self._read(0.02)
        self._read(0.0)
        return self.process.wait()


def terminal_client(
    server: Server,
    nick: str,
    *options: str,
    env: Mapping[str, str] | None = None,
    columns: int = 80,
    rows: int = 24,
) -> Terminal:
    """A client on a terminal."""
    words = ["connect", server.host, str(server.port), nick, *options]
    return Terminal(words, {"CLIENT_PASSWORD": PASSWORD, **(env or {})}, columns=columns, rows=rows)


# The network


def free_port() -> int:
    """A port of the loopback interface on which nobody listened a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Relay:
    """A TCP relay to a server, whose connections can be cut while the server lives on.

    ``address`` is where to connect.  ``cut`` ends all connections; while ``closed``, new ones end
    at once.  ``cut_after`` counts bytes of either direction, and cuts when so many have passed.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = ("127.0.0.1", int(self._listener.getsockname()[1]))
        self._wake, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        for sock in (self._listener, self._woken):
            self._selector.register(sock, selectors.EVENT_READ)
        self._lock = threading.Lock()  # guards all below
        self._orders: list[str] = []
        self._left: int | None = None
        self._other: dict[socket.socket, socket.socket] = {}
        self.cuts = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="relay")

    def __enter__(self) -> Relay:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._order("end")
        self._thread.join()
        self._end(*self._other)
        self._selector.close()
        for sock in (self._listener, self._wake, self._woken):
            sock.close()

    def cut(self, closed: bool = False) -> None:
        """End all connections; with ``closed``, those that are tried from now on, too."""
        self._order("close" if closed else "cut")

    def open(self) -> None:
        """Relay new connections again."""
        self._order("open")

    def cut_after(self, count: int) -> None:
        """Cut when ``count`` more bytes have passed."""
        with self._lock:
            self._left = count

    def _order(self, order: str) -> None:
        with self._lock:
            self._orders.append(order)
        self._wake.send(b"\0")

    def _run(self) -> None:
        while True:
            for key, _mask in self._selector.select():
                if key.fileobj is self._woken:
                    if self._obey():
                        return
                elif key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket):
                    self._pass_on(key.fileobj)

    def _obey(self) -> bool:
        self._woken.recv(64)
        with self._lock:
            orders, self._orders = self._orders, []
        for order in orders:
            self._closed = order == "close"
            if order in ("cut", "close"):
                self._cut_all()
        return "end" in orders

    def _accept(self) -> None:
        near = self._listener.accept()[0]
        if self._closed:
            near.close()
            return
        far = self._far()
        for one, other in ((near, far), (far, near)):
            self._other[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _far(self) -> socket.socket:
        """The connection to the server."""
        return socket.create_connection(("127.0.0.1", self._port))

    def _pass_on(self, sock: socket.socket) -> None:
        other = self._other.get(sock)
        if other is None:
            return  # cut a moment ago
        data, full = self._take(sock)
        with contextlib.suppress(OSError):
            other.sendall(data)
        if full:
            self._cut_all()
        elif not data:
            self._end(sock, other)

    def _take(self, sock: socket.socket) -> tuple[bytes, bool]:
        """What has come, and whether that is as much as may pass."""
        try:
            data = sock.recv(65536)
        except OSError:
            return b"", False
        with self._lock:
            if self._left is None:
                return data, False
            data = data[: self._left]
            self._left -= len(data)
            if self._left:
                return data, False
            self._left = None
            return data, True

    def _cut_all(self) -> None:
        self._end(*self._other)
        self.cuts += 1

    def _end(self, *socks: socket.socket) -> None:
        for sock in socks:
            self._selector.unregister(sock)
            del self._other[sock]
            sock.close()


def stop_process(program: Program) -> None:
    """SIGSTOP, and wait until it has stopped."""
    program.signal(signal.SIGSTOP)
    os.waitid(os.P_PID, program.process.pid, os.WSTOPPED)
