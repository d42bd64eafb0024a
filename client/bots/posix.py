"""One run of a program on POSIX: in a session, and so a process group, of its own.

Whatever it starts is in that group, unless it takes care not to be; the group ends with the run.
The program is not reaped before its group has been ended, so the group's number is still its own.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

READ_BYTES = 64 * 1024
_LOOK_SECONDS = 0.05  # between two looks where the system does not tell that it has ended


class PosixRun:
    """A program that runs.  ``kill`` may be called by any thread, before ``finish`` is; all else
    by the one that made it.

    Raises OSError where it cannot be started.
    """

    def __init__(self, words: Sequence[str], environ: Mapping[str, str]) -> None:
        self._files: list[int] = []  # ours, that are open
        theirs: list[int] = []
        try:
            its_input, self._input = self._pipe(theirs, 0)
            self._output, its_output = self._pipe(theirs, 1)
            self._process = subprocess.Popen(  # noqa: S603  # what is run is the user's own word
                words, stdin=its_input, stdout=its_output, stderr=subprocess.DEVNULL,
                env=environ, close_fds=True, start_new_session=True,
            )  # fmt: skip
        except BaseException:
            self._close(*self._files)
            raise
        finally:
            for fd in theirs:
                os.close(fd)

    def _pipe(self, theirs: list[int], end: int) -> tuple[int, int]:
        """A pipe, whose ``end`` is the program's; the other one does not block."""
        ends = os.pipe()
        theirs.append(ends[end])
        self._files.append(ends[1 - end])
        os.set_blocking(ends[1 - end], False)
        return ends

    def _close(self, *files: int) -> None:
        for fd in files:
            if fd in self._files:
                self._files.remove(fd)
                os.close(fd)

    def kill(self) -> None:
        """End it, with its whole group."""
        with suppress(ProcessLookupError, PermissionError):  # macOS says so of one that has ended
            os.killpg(self._process.pid, signal.SIGKILL)

    def converse(self, data: bytes, most: int, seconds: float) -> tuple[bytes, str]:
        """Let it have ``data``, until it ends, or prints more than ``most`` bytes, or time is up.

        What it has printed, and ``too_long``, ``timeout`` or "".
        """
        end = time.monotonic() + seconds
        output, left = bytearray(), memoryview(data)
        with selectors.DefaultSelector() as selector:
            selector.register(self._input, selectors.EVENT_WRITE)
            selector.register(self._output, selectors.EVENT_READ)
            patience = self._watch_end(selector)
            while not self._has_ended():
                if time.monotonic() >= end:
                    return bytes(output), "timeout"
                ready = selector.select(max(0.0, min(patience, end - time.monotonic())))
                for fd in [key.fd for key, _mask in ready]:
                    if fd == self._input and not (left := self._written(left)):
                        selector.unregister(fd)
                        self._close(fd)
                    if fd == self._output and not self._read(output, most):
                        selector.unregister(fd)
                if len(output) > most:
                    return bytes(output), "too_long"
        while len(output) <= most and self._read(output, most, is_over=True):
            pass
        return bytes(output), "too_long" if len(output) > most else ""

    def _watch_end(self, selector: selectors.BaseSelector) -> float:
        """Have ``selector`` tell when it ends; how long to wait at most where it does not."""
        try:
            fd: int = getattr(os, "pidfd_open")(self._process.pid)  # noqa: B009  # on Linux
        except (AttributeError, OSError):
            return _LOOK_SECONDS
        self._files.append(fd)
        selector.register(fd, selectors.EVENT_READ)
        return float("inf")

    def _has_ended(self) -> bool:
        """Whether the program itself has; where the system can, it is left to be reaped later."""
        if not hasattr(os, "waitid"):
            return self._process.poll() is not None
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self._process.pid, flags) is not None
        except ChildProcessError:  # somebody has reaped it
            return True

    def _written(self, left: memoryview) -> memoryview:
        """What is still to be written; nothing where it does not read."""
        try:
            return left[os.write(self._input, left) :]
        except BlockingIOError:
            return left
        except OSError:
            return left[:0]

    def _read(self, output: bytearray, most: int, is_over: bool = False) -> bool:
        """Take what is there; False at the end, or where there is nothing and it ``is_over``."""
        try:
            data = os.read(self._output, min(READ_BYTES, most + 1 - len(output)))
        except BlockingIOError:
            return not is_over
        output += data
        return bool(data)

    def finish(self) -> int:
        """End what is left of it; its exit status."""
        self.kill()
        self._close(*self._files)
        return self._process.wait()
