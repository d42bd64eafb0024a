"""Where lines come from: the keyboard of a terminal, or a pipe.

``next_line`` is called by one thread, the main one. ``stop`` may be called by any other thread
or a signal handler, and makes ``next_line`` return None for good. Nothing here polls, but for
Windows consoles, which cannot be waited for.
"""

from __future__ import annotations

import os
import queue
import selectors
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TextIO

from client.console.keys import Key, KeyDecoder, WindowsDecoder
from client.console.lines import Entered, Leave, LineEditor, LineView, Outcome

END, QUIT, STOPPED = "end", "quit", "stopped"

PIPE_LINE_BYTES = 1024 * 1024  # of a longer line so much is handed on, which is refused
_READ_BYTES = 64 * 1024
_ESCAPE_TIME = 0.05  # seconds after which a lone Esc is the key
_CONSOLE_TIME = 0.02  # seconds between two looks at a Windows console

ShowLine = Callable[[LineView], None]


class Input(Protocol):
    """A source of lines. ``ended`` tells why there are no more: ``end`` of the input, ``quit``
    (Ctrl-C or Ctrl-D on an empty line), ``stopped``; empty until then."""

    ended: str

    def next_line(self) -> str | None:
        """Wait for a line, which comes without its line end; None when there are no more."""

    def stop(self) -> None:
        """Let ``next_line`` return None at once."""

    def close(self) -> None:
        """Release what was needed for waiting. Called by the thread that reads."""


class _Waiter:
    """Waits for a file descriptor to become readable, or for ``stop``, which is for good."""

    def __init__(self, fd: int) -> None:
        # select(), because epoll does not take regular files.
        self._selector = selectors.SelectSelector()
        self._wake_in, self._wake_out = os.pipe()
        if sys.platform != "win32":  # where this class is not used, and 3.10 has no such call
            os.set_blocking(self._wake_out, False)
        self._selector.register(self._wake_in, selectors.EVENT_READ)
        self._selector.register(fd, selectors.EVENT_READ)
        self.stopped = False

    def wait(self, timeout: float | None = None) -> bool | None:
        """True: readable, False: the time is over, None: stopped."""
        ready = {key.fd for key, _events in self._selector.select(timeout)}
        if self.stopped or self._wake_in in ready:
            return None
        return bool(ready)

    def stop(self) -> None:
        if not self.stopped:
            self.stopped = True
            with suppress(OSError):
                os.write(self._wake_out, b"\0")

    def close(self) -> None:
        self.stopped = True
        self._selector.close()
        os.close(self._wake_in)
        os.close(self._wake_out)


class PipeCutter:
    """Cuts the bytes of a pipe into lines. Pure.

    Bytes that are not UTF-8 become lone surrogates, which no message may have: what becomes of
    such a line is not decided here.
    """

    def __init__(self, longest: int = PIPE_LINE_BYTES) -> None:
        self._longest = longest
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[str]:
        """The lines that these bytes complete."""
        *ends, rest = data.split(b"\n")
        lines = []
        for piece in ends:
            self._take(piece)
            lines.append(self._line())
        self._take(rest)
        return lines

    def finish(self) -> list[str]:
        """The last line, if it had no line end."""
        return [self._line()] if self._rest else []

    def _take(self, piece: bytes) -> None:
        self._rest += piece[: self._longest - len(self._rest)]

    def _line(self) -> str:
        line = bytes(self._rest).removesuffix(b"\r").decode("utf-8", "surrogateescape")
        self._rest.clear()
        return line


class PipeInput:
    """Lines of a pipe, a file, or a terminal that edits its lines itself (POSIX)."""

    def __init__(self, fd: int, longest: int = PIPE_LINE_BYTES) -> None:
        self.ended = ""
        self._fd = fd
        self._waiter = _Waiter(fd)
        self._cutter = PipeCutter(longest)
        self._ready: deque[str] = deque()

    def next_line(self) -> str | None:
        while not self._ready and not self.ended:
            if self._waiter.wait() is None:
                break
            if not self._read():
                self._ready.extend(self._cutter.finish())
                self.ended = END
        if self._waiter.stopped:  # what was read is not handed out any more
            self._ready.clear()
            self.ended = STOPPED
        return self._ready.popleft() if self._ready else None

    def _read(self) -> bool:
        data = _read(self._fd)
        self._ready.extend(self._cutter.feed(data))
        return bool(data)

    def stop(self) -> None:
        self._waiter.stop()

    def close(self) -> None:
        self._waiter.close()


class _Typing:
    """What keyboards have in common: keys go to the editor, its lines wait here."""

    def __init__(self, editor: LineEditor, show: ShowLine, redraw: Callable[[], None]) -> None:
        self.ended = ""
        self._editor = editor
        self._show = show
        self._redraw = redraw
        self._lines: deque[str] = deque()
        self._left = False  # what was entered before is still handed out

    def _press(self, keys: list[Key]) -> None:
        for key in keys:
            if key.name == "enter":
                self._show(self._editor.view())  # whole, also if all came at once
            self._did(self._editor.press(key))
        self._show(self._editor.view())

    def _did(self, outcome: Outcome | None) -> None:
        if isinstance(outcome, Entered):
            self._lines.append(outcome.line)
            self._show(LineView(entered=True))
        elif isinstance(outcome, Leave):
            self._left = True
        elif outcome is not None:
            self._redraw()

    def _waiting(self) -> bool:
        """Whether keys are needed before there is something to return."""
        if not self._lines and self._left and not self.ended:
            self.ended = QUIT
        return not self._lines and not self.ended

    def _next(self, stopped: bool) -> str | None:
        if stopped:  # what was typed ahead is not handed out any more
            self._lines.clear()
            self.ended = STOPPED
        return self._lines.popleft() if self._lines else None


class KeyboardInput(_Typing):
    """Lines typed on a POSIX terminal whose keyboard has been seized."""

    def __init__(
        self, fd: int, editor: LineEditor, show: ShowLine, redraw: Callable[[], None]
    ) -> None:
        super().__init__(editor, show, redraw)
        self._fd = fd
        self._decoder = KeyDecoder()
        self._waiter = _Waiter(fd)

    def next_line(self) -> str | None:
        while self._waiting():
            ready = self._waiter.wait(_ESCAPE_TIME if self._decoder.pending else None)
            if ready is None:
                break
            if not ready:
                self._decoder.flush()
            elif not self._read():
                self.ended = END
        return self._next(self._waiter.stopped)

    def _read(self) -> bool:
        data = _read(self._fd)
        self._press(self._decoder.feed(data))
        return bool(data)

    def stop(self) -> None:
        self._waiter.stop()

    def close(self) -> None:
        self._waiter.close()


class ConsoleInput(_Typing):
    """Lines typed on a Windows console."""

    def __init__(self, editor: LineEditor, show: ShowLine, redraw: Callable[[], None]) -> None:
        super().__init__(editor, show, redraw)
        self._decoder = WindowsDecoder()
        self._stopped = threading.Event()

    def next_line(self) -> str | None:
        while self._waiting():
            if self._stopped.is_set():
                break
            if not self._read():
                self._stopped.wait(_CONSOLE_TIME)
        return self._next(self._stopped.is_set())

    def _read(self) -> bool:
        """Take the keys that are there; False if there were none."""
        if sys.platform != "win32":
            return False
        import msvcrt

        characters = ""
        while msvcrt.kbhit():
            characters += msvcrt.getwch()
        if characters:
            self._press(self._decoder.feed(characters))
        return bool(characters)

    def stop(self) -> None:
        self._stopped.set()

    def close(self) -> None:
        self._stopped.set()


class ThreadInput:
    """Lines of a pipe where nothing can wait for a pipe and for ``stop`` at once (Windows).

    Its thread is a daemon and stays in its read until the program ends.
    """

    def __init__(self, fd: int, longest: int = PIPE_LINE_BYTES) -> None:
        self.ended = ""
        self._fd = fd
        self._cutter = PipeCutter(longest)
        # A pipe that brings more than is taken has to wait.
        self._lines: queue.Queue[str | None] = queue.Queue(maxsize=100)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="input", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        data = b"\n"
        while data and not self._stopped.is_set():
            data = _read(self._fd)
            for line in self._cutter.feed(data) if data else self._cutter.finish():
                self._lines.put(line)
        self._lines.put(None)

    def next_line(self) -> str | None:
        line = None if self.ended or self._stopped.is_set() else self._lines.get()
        if self._stopped.is_set():
            self.ended = STOPPED
            return None
        if line is None:
            self.ended = self.ended or END
        return line

    def stop(self) -> None:
        self._stopped.set()
        with suppress(queue.Full):
            self._lines.put_nowait(None)

    def close(self) -> None:
        self.stop()


class NoInput:
    """Standard input is closed: there is nothing to read."""

    ended = END

    def next_line(self) -> str | None:
        return None

    def stop(self) -> None:
        pass

    def close(self) -> None:
        pass


def open_pipe(file: TextIO | None) -> Input:
    """Lines of a standard input that is not edited here."""
    try:
        fd = -1 if file is None else file.fileno()
    except (OSError, ValueError):
        fd = -1
    if fd < 0:
        return NoInput()
    return ThreadInput(fd) if sys.platform == "win32" else PipeInput(fd)


def _read(fd: int) -> bytes:
    """What is there; empty at the end, and when a terminal or the other end has gone."""
    try:
        return os.read(fd, _READ_BYTES)
    except OSError:
        return b""
