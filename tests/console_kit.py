"""A person at a real terminal, for tests of the console: a pty, looked at through pyte."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timezone
from typing import Any

import pyte
import pytest

from client import events
from client.completion import complete
from client.console import Console
from tests.emulator import Screen

NOON = datetime(2026, 5, 4, 12, 1, tzinfo=timezone.utc)
DEADLINE = 20.0  # against hanging only


def emulated(columns: int, rows: int) -> tuple[Any, Callable[[str], None]]:
    screen = Screen(columns, rows)
    stream = pyte.Stream(screen)
    # The kernel turns a line feed into both movements.
    return screen, lambda text: stream.feed(text.replace("\n", "\r\n"))


def shown(screen: Any) -> list[str]:
    """The lines of an emulated screen, down to the last one that is not empty."""
    lines = [line.rstrip() for line in screen.display]
    while lines and not lines[-1]:
        lines.pop()
    return lines


class Person:
    """Sits at a terminal: types on the master side of a pty and looks at the screen."""

    def __init__(self, columns: int = 40, rows: int = 10) -> None:
        self.master, self.slave = os.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen: Any = Screen(columns, rows)
        self.raw = b""
        self._stream = pyte.ByteStream(self.screen)

    def types(self, text: str) -> None:
        os.write(self.master, text.encode())

    def sees(self, *lines: str) -> None:
        """Wait until the screen ends in these lines."""
        self.waits(lambda: shown(self.screen)[-len(lines) :] == list(lines))

    def waits(self, happened: Callable[[], bool]) -> None:
        until = time.monotonic() + DEADLINE
        while not happened():
            left = until - time.monotonic()
            assert left > 0, shown(self.screen)
            if select.select([self.master], [], [], min(left, 0.2))[0]:
                data = os.read(self.master, 65536)
                self.raw += data
                self._stream.feed(data)

    def resizes(self, columns: int, rows: int) -> None:
        """Change the terminal's size, and tell this process as the kernel would."""
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)
        os.kill(os.getpid(), signal.SIGWINCH)

    def settings(self) -> list[Any]:
        return termios.tcgetattr(self.slave)


class Chat:
    """A console on a person's terminal; its lines are read by a thread of its own."""

    def __init__(
        self, person: Person, renderer: str, environ: dict[str, str], type_ahead: bool = True
    ) -> None:
        self.lines: list[str] = []
        self._stack = ExitStack()
        stdin = self._stack.enter_context(open(os.dup(person.slave)))
        stdout = self._stack.enter_context(open(os.dup(person.slave), "w", encoding="utf-8"))
        self.console = self._stack.enter_context(
            Console(
                renderer, environ, type_ahead=type_ahead, stdin=stdin, stdout=stdout,
                now=lambda: NOON,
                complete=lambda before: complete(before, ["bob"], ["default"]),
            )
        )  # fmt: skip
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while (line := self.console.input.next_line()) is not None:
            self.lines.append(line)

    def hears(self, text: str, sender: str = "bob") -> None:
        fields: dict[str, Any] = {"seq": 1, "mine": False, "private": False, "verified": True}
        self.console.screen.show(events.Message("default", sender, text, kind="text", **fields))

    def joins(self) -> None:
        self.console.screen.show(events.Connected("here:1000", "alice", "default", ()))

    def close(self) -> None:
        self.console.input.stop()
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        self._stack.close()


@pytest.fixture(name="person")
def person_fixture() -> Iterator[Person]:
    person = Person()
    yield person
    os.close(person.master)
    os.close(person.slave)


@pytest.fixture(name="chats")
def chats_fixture(person: Person) -> Iterator[Callable[..., Chat]]:
    """Opens consoles on the person's terminal: ``chats("rich", TERM="xterm")``."""
    opened: list[Chat] = []

    def open_chat(renderer: str = "minimal", **environ: str) -> Chat:
        opened.append(Chat(person, renderer, {"TERM": "xterm", **environ}))
        return opened[-1]

    yield open_chat
    for chat in opened:
        chat.close()
