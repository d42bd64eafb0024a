"""Lines of a pipe, a file, or a terminal that edits its lines itself."""

from __future__ import annotations

import queue
import sys
import threading
from collections import deque
from contextlib import suppress
from typing import BinaryIO, TextIO

from client.input.source import END, STOPPED, LineSource
from client.input.waiter import READ_BYTES, Waiter, read

PIPE_LINE_BYTES = 1024 * 1024  # of a longer line so much is handed on, which is refused


class LineSplitter:
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


class PipeInput(LineSource):
    """Lines of a pipe, a file, or a terminal that edits its lines itself (POSIX)."""

    def __init__(self, fd: int, longest: int = PIPE_LINE_BYTES) -> None:
        super().__init__(ended="")
        self._waiter = Waiter(fd)
        self._splitter = LineSplitter(longest)
        self._ready: deque[str] = deque()
        self._left: int | None = None  # bytes that are still read

    def next_line(self) -> str | None:
        while not self._ready and not self.ended:
            ready = self._waiter.wait(None if self._left is None else 0.0)
            if ready is None:
                break
            if ready and self._read():
                continue
            if not ready and (self._left is None or self._waiter.wakes):
                self._waiter.wakes = b""
                continue
            self._ready.extend(self._splitter.finish())
            self.ended = END
        if self._waiter.stopped:  # what was read is not handed out any more
            self._ready.clear()
            self.ended = STOPPED
        return self._ready.popleft() if self._ready else None

    def _read(self) -> bool:
        """Take what is there; False at the end."""
        if self._left is not None and self._left <= 0:
            return False
        data = self._waiter.read()
        if self._left is not None:
            self._left -= len(data or b"")
        self._ready.extend(self._splitter.feed(data or b""))
        return data != b""

    def finish(self) -> None:
        self._left = READ_BYTES  # as much as a pipe holds; one that never ends is not waited for
        self._waiter.wake(b"f")

    def stop(self) -> None:
        self._waiter.stop()

    def close(self) -> None:
        self._waiter.close()


class ThreadedPipeInput(LineSource):
    """Lines of a pipe where nothing can wait for a pipe and for ``stop`` at once (Windows).

    Its thread is a daemon and stays in its read until the program ends.
    """

    def __init__(self, fd: int, longest: int = PIPE_LINE_BYTES) -> None:
        super().__init__(ended="")
        self._fd = fd
        self._splitter = LineSplitter(longest)
        # A pipe that brings more than is taken has to wait.
        self._lines: queue.Queue[str | None] = queue.Queue(maxsize=100)
        self._stopped, self._finishing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="input", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        data = b"\n"
        while data and not self._stopped.is_set():
            data = read(self._fd)
            for line in self._splitter.feed(data) if data else self._splitter.finish():
                self._lines.put(line)
        self._lines.put(None)

    def next_line(self) -> str | None:
        line = None if self.ended or self._stopped.is_set() else self._next()
        if self._stopped.is_set():
            self.ended = STOPPED
            return None
        if line is None:
            self.ended = self.ended or END
        return line

    def _next(self) -> str | None:
        try:
            return self._lines.get(block=not self._finishing.is_set())
        except queue.Empty:
            return None

    def finish(self) -> None:
        self._finishing.set()
        with suppress(queue.Full):
            self._lines.put_nowait(None)

    def stop(self) -> None:
        self._stopped.set()
        with suppress(queue.Full):
            self._lines.put_nowait(None)

    def close(self) -> None:
        self.stop()


def open_pipe(file: TextIO | BinaryIO | None) -> LineSource:
    """Lines of a standard input that is not edited here."""
    try:
        fd = -1 if file is None else file.fileno()
    except (OSError, ValueError):
        fd = -1
    if fd < 0:
        return LineSource()
    return ThreadedPipeInput(fd) if sys.platform == "win32" else PipeInput(fd)
