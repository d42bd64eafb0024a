"""A short chat under the Python that runs this file: does the program work there at all?

    python tools/smoke.py

Starts a server and two clients from the source tree, has them talk, and prints one line; exit
status 0 if all went well, else 1.  Needs the standard library and what the program itself needs.
"""

from __future__ import annotations

import json
import os
import platform
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).resolve().parent.parent / "cmd_chat.py"
DEADLINE = 60.0  # seconds for each answer; only against hanging
PASSWORD = "smoke and mirrors"  # noqa: S105  # of a server that lives for two seconds


class Failed(Exception):
    """Something was not as it should be; the text says what."""


@dataclass(frozen=True)
class Program:
    """How the program is started somewhere: the command line before its own words."""

    command: tuple[str, ...] = (sys.executable, str(PROGRAM))
    environment: Mapping[str, str] = field(default_factory=dict)


HERE = Program()


class Child:
    """One process of the program; its lines are read by a thread of its own."""

    def __init__(
        self, *arguments: str, password: str = PASSWORD, program: Program = HERE
    ) -> None:
        settings = {"ADMIN_PASSWORD": password, "CLIENT_PASSWORD": password}
        language = {"CMD_CHAT_LANGUAGE": "en", "PYTHONDONTWRITEBYTECODE": "1"}
        self.name = arguments[0]
        self.process = subprocess.Popen(
            [*program.command, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **settings, **language, **program.environment},
            cwd=Path(__file__).parent,
            text=True,
            encoding="utf-8",
        )
        self._last = ""  # what it said last, for the message if it fails
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self._lines.put(line)
        self._lines.put("")

    def line(self, what: str) -> str:
        """The next line of output.  Raises Failed if there is none."""
        try:
            line = self._lines.get(timeout=DEADLINE)
        except queue.Empty:
            raise Failed(f"{self.name}: {what} does not come") from None
        if not line:
            raise Failed(f"{self.name} ended before {what} came: {self._last}")
        self._last = line.strip()
        return line

    def find(self, pattern: str) -> str:
        """What ``pattern`` matches in the first line that it matches at all."""
        while (found := re.search(pattern, line := self.line(pattern))) is None:
            if '"warning"' in line or '"unreadable"' in line:
                raise Failed(line)
        return found[1]

    def event(self, name: str, **wanted: Any) -> None:
        """Wait for an event with these values."""
        values = {"event": name, **{key.rstrip("_"): value for key, value in wanted.items()}}
        while True:
            line = self.line(f"{name} {wanted}")
            try:
                event = json.loads(line)
            except ValueError:
                raise Failed(f"{self.name} says: {line.strip()}") from None
            if values.items() <= event.items():
                return
            if event["event"] in ("warning", "unreadable", "not_sent", "error"):
                raise Failed(f"{self.name} says: {line.strip()}")

    def say(self, *lines: str) -> None:
        assert self.process.stdin is not None  # noqa: S101  # a pipe, see above
        self.process.stdin.write("".join(f"{line}\n" for line in lines))
        self.process.stdin.flush()

    def ends_with(self, status: int) -> None:
        """End its input; raises Failed unless it then exits with ``status``."""
        assert self.process.stdin is not None  # noqa: S101  # a pipe, see above
        self.process.stdin.close()
        try:
            found = self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} does not end") from None
        if found != status:
            raise Failed(f"{self.name} exits with {found} instead of {status}")


def chat(
    children: list[Child], serving: Program = HERE, first: Program = HERE, second: Program = HERE
) -> None:
    """The chat itself; ``children`` collects what has been started.  Raises Failed."""

    def start(program: Program, *arguments: str, password: str = PASSWORD) -> Child:
        children.append(Child(*arguments, password=password, program=program))
        return children[-1]

    server = start(serving, "serve", "127.0.0.1", "0")
    port = server.find(r"connect 127\.0\.0\.1 (\d+) <username>")
    alice, bob = (
        start(program, "connect", "127.0.0.1", port, nick, "--renderer", "json")
        for program, nick in ((first, "alice"), (second, "bob"))
    )
    for child in (alice, bob):
        child.event("connected")
    alice.say("/room café")
    alice.event("room", room="café")
    bob.say("/room café")
    bob.event("room", room="café")
    alice.event("joined", nick="bob")
    alice.say("Grüße, 日本語 👋")
    bob.event("message", from_="alice", text="Grüße, 日本語 👋", room="café")
    bob.say("welcome", "/msg alice between us")
    alice.event("message", from_="bob", text="welcome")
    alice.event("message", from_="bob", text="between us", private=True)
    bob.ends_with(0)
    alice.event("left", nick="bob")
    alice.ends_with(0)
    wrong = start(first, "connect", "127.0.0.1", port, "eve", password="a guess")  # noqa: S106
    wrong.ends_with(4)
    server.say("q")
    server.ends_with(0)


def outcome(*programs: Program) -> str:
    """Chat and clean up; what went wrong, empty if nothing did."""
    children: list[Child] = []
    try:
        chat(children, *programs)
    except (Failed, OSError) as error:
        return str(error)
    finally:
        for child in children:
            if child.process.poll() is None:
                child.process.kill()
                child.process.wait()
    return ""


def main() -> int:
    """Chat, and say how it went; the exit status."""
    name = f"{platform.python_implementation()} {platform.python_version()}"
    started = time.monotonic()
    if wrong := outcome():
        print(f"smoke chat under {name}: FAILED: {wrong}")
        return 1
    print(f"smoke chat under {name}: ok ({time.monotonic() - started:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
