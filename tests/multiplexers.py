"""tmux and GNU screen, real ones, with a program in their only window: what they show and keep.

What is not tried here is whether a program writes the right thing, but what becomes of it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tests.processes import DEADLINE, PASSWORD, PROGRAM, Server, Terminal, environment

_PAUSE = 0.03  # between two looks
ENDED = "it has ended"


class Multiplexer:
    """One window of ``columns`` x ``rows`` that runs a command, and goes on when that has ended."""

    name = ""

    def __init__(self, words: Sequence[str], columns: int = 80, rows: int = 24) -> None:
        found = shutil.which(self.name)
        assert found, f"{self.name} is missing: apt-get install {self.name}"
        self.program = found
        self._folder = Path(tempfile.mkdtemp(prefix="cmdchat-mux-"))
        self._pause = threading.Event()
        self.env = environment(
            {"TMUX": "", "STY": "", "TMUX_TMPDIR": str(self._folder), "HOME": str(self._folder),
             "SCREENDIR": str(self._folder), "CLIENT_PASSWORD": PASSWORD, "LC_ALL": "C.UTF-8",
             "TERM": "xterm-256color", "SHELL": "/bin/sh"}
        )  # fmt: skip
        script = f'echo $$ > "$HOME/shell"; echo it was here before; "$@"; echo {ENDED}; exec cat'
        self.begin(["sh", "-c", script, "sh", *words], columns, rows)

    def __enter__(self) -> Multiplexer:
        return self

    def __exit__(self, *_error: object) -> None:
        self.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def begin(self, command: list[str], columns: int, rows: int) -> None:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError

    def type(self, text: str) -> None:
        """Press these keys."""
        raise NotImplementedError

    def resize(self, columns: int, rows: int) -> None:
        raise NotImplementedError

    def screen(self) -> str:
        """What is seen now."""
        raise NotImplementedError

    def kept(self) -> str:
        """What is seen, and all above it that has scrolled away."""
        raise NotImplementedError

    def run(self, *words: str) -> str:
        done = subprocess.run(
            [self.program, *words], env=self.env, capture_output=True, text=True, check=False,
            errors="replace", timeout=DEADLINE,
        )  # fmt: skip
        return done.stdout

    def sees(self, pattern: str) -> str:
        """Wait until the screen shows what ``pattern`` matches."""
        end = time.monotonic() + DEADLINE
        while not re.search(pattern, screen := self.screen()):
            assert time.monotonic() < end, f"{pattern!r} does not come:\n{screen}"
            self._pause.wait(_PAUSE)
        return screen

    def signal(self, number: int) -> None:
        """Send a signal to the program in the window."""
        shell = (self._folder / "shell").read_text().strip()
        child = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()[0]
        os.kill(int(child), number)


class Tmux(Multiplexer):
    """tmux, with a second screen for programs."""

    name = "tmux"
    alternate = "on"

    def begin(self, command: list[str], columns: int, rows: int) -> None:
        self.run(
            "-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows), "cat", ";",
            "set-option", "-g", "alternate-screen", self.alternate, ";",
            "respawn-pane", "-k", "exec " + " ".join(map(_quoted, command)),
        )  # fmt: skip

    def end(self) -> None:
        self.run("kill-server")

    def type(self, text: str) -> None:
        self.run("send-keys", "-H", *(f"{byte:02x}" for byte in text.encode()))

    def resize(self, columns: int, rows: int) -> None:
        self.run("resize-window", "-x", str(columns), "-y", str(rows))

    def screen(self) -> str:
        return self.run("capture-pane", "-p")

    def kept(self) -> str:
        return self.run("capture-pane", "-p", "-S", "-")

    def title_becomes(self, part: str) -> bool:
        """Wait until the window's title has this in it."""
        end = time.monotonic() + DEADLINE
        while part not in self.title() and time.monotonic() < end:
            self._pause.wait(_PAUSE)
        return part in self.title()

    def title(self) -> str:
        return self.run("display-message", "-p", "#{pane_title}")


class TmuxWithout(Tmux):
    """tmux, without one."""

    alternate = "off"


class GnuScreen(Multiplexer):
    """GNU screen, which has none unless told otherwise."""

    name = "screen"

    def begin(self, command: list[str], columns: int, rows: int) -> None:
        self._copies = 0
        # On a terminal: without one, its window keeps its size.
        start = [self.program, "-c", "/dev/null", "-U", "-S", "it"]
        self._display = Terminal(command, self.env, columns=columns, rows=rows, command=start)

    def end(self) -> None:
        self._order("quit")
        self._display.__exit__()

    def type(self, text: str) -> None:
        self._order("stuff", "".join(f"\\{ord(letter):03o}" for letter in text))

    def resize(self, columns: int, rows: int) -> None:
        self._display.resize(columns, rows)

    def screen(self) -> str:
        return self._copied("hardcopy")

    def kept(self) -> str:
        return self._copied("hardcopy", "-h")

    def _order(self, *words: str) -> None:
        self._display.look()
        self.run("-S", "it", "-p", "0", "-X", *words)

    def _copied(self, *order: str) -> str:
        # Orders are carried out one after the other: once the second file is there, the first
        # one is whole. Each time they are others, or a late order would empty what is being read.
        pairs: list[tuple[Path, Path]] = []
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:  # at the beginning there is no window yet
            self._copies += 1
            copy, later = (self._folder / f"{name}{self._copies}" for name in ("copy", "later"))
            pairs.append((copy, later))
            self._order(*order, str(copy))
            self._order("hardcopy", str(later))
            soon = time.monotonic() + 20 * _PAUSE
            while time.monotonic() < soon:
                for copy, later in pairs:
                    if copy.exists() and later.exists():
                        return copy.read_text(encoding="utf-8", errors="replace")
                self._display.look()
                self._pause.wait(_PAUSE)
        raise AssertionError("no hardcopy comes")


ALL = (Tmux, TmuxWithout, GnuScreen)


def chat_in(kind: type[Multiplexer], server: Server, nick: str, *options: str) -> Multiplexer:
    """A client in one of them."""
    words = ["connect", server.host, str(server.port), nick, *options]
    return kind([sys.executable, str(PROGRAM), *words])


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"
