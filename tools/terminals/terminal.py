"""A real terminal in a window of its own: real keys go in, its picture and its cursor come out.

    with Terminal("st", 80, 24, ["python", "cmd_chat.py", …]) as terminal:
        terminal.type("hello")
        terminal.key("alt+Return")
        column, row = terminal.cursor()
        terminal.pixels().save("/tmp/picture.png")

Between terminal and program stands a relay (``inside``), which is how the cursor can be asked for
while a program runs, and how it is known which bytes a key sends.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tools.terminals.display import Box, Display, Pixels
from tools.terminals.inside import HEAD
from tools.terminals.kinds import KINDS

ROOT = Path(__file__).resolve().parents[2]
_DEADLINE = 20.0  # seconds for whatever is waited for; only against hanging
_MARK = "z"  # a key that every terminal sends, pressed after the one that is looked at


class Failed(Exception):
    """The terminal did not do what was waited for; the text says what."""


class Terminal:
    """A terminal of kind ``name`` (``kinds.KINDS``) with so many columns and rows. ``command``
    runs in it; without one it only shows what ``write`` is given. Columns and rows count from 1.
    A context manager: leaving it ends all that it started.

    ``settings`` are added to the environment of the terminal and of what runs in it.
    """

    def __init__(
        self, name: str, columns: int, rows: int, command: list[str] | None = None,
        settings: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.name, self.columns, self.rows = name, columns, rows
        self._command, self._settings = command, settings or {}
        self._changed = threading.Condition()
        # What came from the relay; guarded by _changed.
        self._keys, self._output = b"", b""
        self._cursors: list[tuple[int, int]] = []
        self._size = (0, 0)
        self._status: int | None = None
        self._origin = self._cell = (0, 0)

    def __enter__(self) -> Terminal:
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _open(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="terminal-"))
        self._display = Display()
        listener = socket.socket(socket.AF_UNIX)
        path = str(self._folder / "relay")
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(_DEADLINE)
        relay = [sys.executable, "-B", "-m", "tools.terminals.inside", path]
        self._process = subprocess.Popen(
            self._line(relay), env=self._environment(), cwd=ROOT, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            self._link, _address = listener.accept()
        except TimeoutError:
            raise Failed(f"{self.name} did not start") from None
        finally:
            listener.close()
        threading.Thread(target=self._listen, daemon=True).start()
        self._settle_size()
        self._measure()
        if self._command is not None:
            self._tell(b"P", json.dumps(self._command).encode())

    def _line(self, relay: list[str]) -> list[str]:
        kind, size = KINDS[self.name], (self.columns, self.rows)
        line = kind.start(*size, relay, self._folder)
        return KINDS[kind.inside].start(*size, line, self._folder) if kind.inside else line

    def _environment(self) -> dict[str, str]:
        kept = {
            name: text for name, text in self._display.environment().items()
            if name not in ("TMUX", "STY", "COLUMNS", "LINES", "NO_COLOR", "TERM", "COLORTERM")
        }  # fmt: skip
        own = {
            "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "HOME": str(self._folder),
            "XDG_CONFIG_HOME": str(self._folder), "PYTHONDONTWRITEBYTECODE": "1",
            "GTK_A11Y": "none", "NO_AT_BRIDGE": "1", "SCREENDIR": self._private("screens"),
            "XDG_RUNTIME_DIR": self._private("run"),
        }  # fmt: skip
        return {**kept, **own, **self._settings}

    def _private(self, name: str) -> str:
        folder = self._folder / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return str(folder)

    def close(self) -> None:
        """End everything; a second time does nothing."""
        link, process, display = (
            self.__dict__.pop(name, None) for name in ("_link", "_process", "_display")
        )
        if link is not None:
            link.close()
        if process is not None:
            _end(process)
        if display is not None:
            display.close()
        if "_folder" in self.__dict__:
            shutil.rmtree(self.__dict__.pop("_folder"), ignore_errors=True)

    # What comes from the relay

    def _listen(self) -> None:
        link, data = self._link, b""
        try:
            while more := link.recv(65536):
                data = self._take(data + more)
        except OSError:
            pass
        with self._changed:
            self._status = -1 if self._status is None else self._status
            self._changed.notify_all()

    def _take(self, data: bytes) -> bytes:
        while len(data) >= HEAD.size:
            kind, length = HEAD.unpack_from(data)
            end = HEAD.size + length
            if len(data) < end:
                break
            with self._changed:
                self._note(kind, data[HEAD.size: end])
                self._changed.notify_all()
            data = data[end:]
        return data

    def _note(self, kind: bytes, body: bytes) -> None:
        if kind == b"K":
            self._keys += body
        elif kind == b"O":
            self._output += body
        elif kind == b"C":
            row, column = map(int, body.split(b";"))
            self._cursors.append((column, row))
        elif kind == b"Z":
            columns, rows = map(int, body.split(b";"))
            self._size = columns, rows
        elif kind == b"X":
            self._status = int(body)

    def _tell(self, kind: bytes, data: bytes = b"") -> None:
        self._link.sendall(HEAD.pack(kind, len(data)) + data)

    def _wait(
        self, ready: Callable[[], bool], what: str, seconds: float = _DEADLINE
    ) -> None:
        with self._changed:
            if not self._changed.wait_for(ready, seconds):
                raise Failed(f"{self.name}: {what}")

    # The program

    def write(self, text: str | bytes) -> None:
        """Write to the terminal, as the program in it would."""
        self._tell(b"W", text if isinstance(text, bytes) else text.encode())

    def send(self, text: str | bytes) -> None:
        """Give the program bytes as if they had been typed, past the terminal: any text."""
        self._tell(b"I", text if isinstance(text, bytes) else text.encode())

    def received(self) -> bytes:
        """What the terminal has sent since the last call."""
        with self._changed:
            keys, self._keys = self._keys, b""
        return keys

    def output(self) -> bytes:
        """All that the program has written so far."""
        with self._changed:
            return self._output

    def wait_output(self, text: str | bytes, seconds: float = _DEADLINE) -> None:
        """Wait until the program has written ``text``.  Raises Failed."""
        raw = text if isinstance(text, bytes) else text.encode()
        self._wait(lambda: raw in self._output, f"{text!r} was not written", seconds)

    def wait_end(self, seconds: float = _DEADLINE) -> int:
        """Wait for the program's end; its exit status.  Raises Failed."""
        self._wait(lambda: self._status is not None, "the program did not end", seconds)
        assert self._status is not None
        return self._status

    # Keys

    def type(self, text: str) -> None:
        """Press the keys for ``text``, which is ASCII."""
        self._display.xdotool("type", "--delay", "8", "--", text)

    def key(self, *names: str) -> None:
        """Press keys, named as X does, one after the other: ``Return``, ``alt+f``, ``Delete``."""
        self._display.xdotool("key", "--delay", "12", *names)

    def sent_by(self, name: str, seconds: float = 2.0) -> bytes | None:
        """What the terminal sends for a key (empty: what it has sent already); None if it keeps
        even what is pressed after it (a menu has opened)."""
        if name:
            self.received()
            self.key(name)
        self.key(_MARK)
        try:
            self._wait(lambda: self._keys.endswith(_MARK.encode()), "no key", seconds)
        except Failed:
            self.key("Escape", "Escape")
            time.sleep(0.3)
            self.received()
            return None
        return self.received().removesuffix(_MARK.encode())

    def wheel(self, up: bool, notches: int = 1) -> None:
        """Turn the mouse wheel over the terminal's middle."""
        middle = self.box(self.columns // 2, self.rows // 2)
        self._display.xdotool("mousemove", str(middle.left), str(middle.top))
        for _notch in range(notches):
            self._display.xdotool("click", "4" if up else "5")

    # What is to be seen

    def cursor(self) -> tuple[int, int]:
        """Where the cursor is, (column, row), after all that has been written until now."""
        with self._changed:
            before = len(self._cursors)
        self._tell(b"Q")
        self._wait(lambda: len(self._cursors) > before, "no answer where the cursor is")
        return self._cursors[before]

    def pixels(self, cursor: bool = True) -> Pixels:
        """The terminal's picture, once all is drawn; only its characters, without borders.
        ``cursor``: whether that is seen, if the program has not hidden it."""
        if not cursor:
            self.write("\x1b[?25l")
        self.cursor()
        width, height = self._extent()
        whole = self._display.steady(width, height)
        if not cursor:
            self.write("\x1b[?25h")
        return whole.crop(Box(*self._origin, width, height)) if self._cell[0] else whole

    def _extent(self) -> tuple[int, int]:
        if not self._cell[0]:
            return 2400, 1200
        (left, top), (wide, high) = self._origin, self._cell
        return left + self.columns * wide, top + self.rows * high

    def box(self, column: int, row: int, columns: int = 1, rows: int = 1) -> Box:
        """The pixels of so many cells, from the one at ``column`` and ``row`` on, in the picture
        that ``pixels`` gives."""
        wide, high = self._cell
        left, top = (column - 1) * wide, (row - 1) * high
        return Box(left, top, left + columns * wide, top + rows * high)

    def title(self) -> str:
        """The window's title."""
        return self._display.xdotool("getwindowname", self._window()).rstrip("\n")

    def resize(self, columns: int, rows: int) -> None:
        """Make the window larger or smaller."""
        self.columns, self.rows = columns, rows
        self._settle_size()

    def _window(self) -> str:
        found = self._display.xdotool(
            "search", "--onlyvisible", "--maxdepth", "1", "--name", ".*"
        ).split()
        if not found:
            raise Failed(f"{self.name} has no window")
        return found[-1]

    def _settle_size(self) -> None:
        """Wait until the terminal has its size; correct the window's if it is another one."""
        window = self._window()
        self._display.xdotool("windowmove", window, "0", "0")
        self._display.xdotool("mousemove", "60", "60", "windowfocus", window)
        wanted = (self.columns, self.rows)
        end = time.monotonic() + _DEADLINE
        while self._size != wanted:
            if time.monotonic() > end:
                raise Failed(f"{self.name} is {self._size}, not {wanted}")
            try:
                self._wait(lambda: self._size == wanted, "size", 0.5)
            except Failed:
                self._stretch(window)

    def _stretch(self, window: str) -> None:
        shape = self._display.xdotool("getwindowgeometry", "--shell", window)
        pixels = dict(line.split("=") for line in shape.split())
        now = int(pixels["WIDTH"]), int(pixels["HEIGHT"])
        if not all(self._size):
            return
        wide, high = self._cell if self._cell[0] else (
            now[0] // self._size[0], now[1] // self._size[1]
        )  # fmt: skip
        width = now[0] + (self.columns - self._size[0]) * wide
        height = now[1] + (self.rows - self._size[1]) * high
        self._display.xdotool("windowsize", window, str(width), str(height))

    def _measure(self) -> None:
        """Find the characters' size and place by drawing blocks in two corners."""
        self.write("\x1b[?25l\x1b[0m\x1b[H\x1b[2J")
        empty = self.pixels()
        self.write(f"\x1b[H\x1b[7m \x1b[{self.rows};{self.columns}H \x1b[0m\x1b[H")
        both = self.pixels().difference(empty)
        self.write(f"\x1b[{self.rows};{self.columns}H ")
        first = self.pixels().difference(empty)
        self.write("\x1b[H\x1b[2J\x1b[?25h")
        if first is None or both is None:
            raise Failed(f"{self.name} draws nothing")
        wide, high = first.right - first.left, first.bottom - first.top
        expected = (first.left + self.columns * wide, first.top + self.rows * high)
        if (both.right, both.bottom) != expected:
            raise Failed(f"{self.name}: cells of {wide}x{high} do not fill {both}")
        self._origin, self._cell = (first.left, first.top), (wide, high)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process, and all others of the group that it leads."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(2)
