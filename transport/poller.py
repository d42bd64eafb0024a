"""Waiting for a descriptor, and being woken meanwhile by another thread."""

from __future__ import annotations

import contextlib
import math
import os
import select
import socket
from typing import Any

BLIND_WAIT = 0.5  # seconds; where shutdown() may not wake select()
_LONG_WAIT = 86400.0  # poll() counts milliseconds in an int; waits are repeated anyway
_HAS_POLL = hasattr(select, "poll")


class Waker:
    """Becomes readable by ``wake``, until ``clear``.  One descriptor on Linux, elsewhere two."""

    def __init__(self) -> None:
        self._event = -1
        self._ends: tuple[socket.socket, ...] = ()
        if hasattr(os, "eventfd"):
            self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            return
        self._ends = socket.socketpair()
        for end in self._ends:
            end.setblocking(False)

    def fileno(self) -> int:
        """What to wait on."""
        return self._ends[0].fileno() if self._ends else self._event

    def wake(self) -> None:
        """Never waits."""
        with contextlib.suppress(BlockingIOError, InterruptedError):
            if self._ends:
                self._ends[1].send(b"\0")
            else:
                os.eventfd_write(self._event, 1)

    def clear(self) -> None:
        """Forget the wake-ups so far."""
        with contextlib.suppress(BlockingIOError, InterruptedError):
            if self._ends:
                self._ends[0].recv(16)
            else:
                os.eventfd_read(self._event)

    def close(self) -> None:
        """Free the descriptors."""
        for end in self._ends:
            end.close()
        if not self._ends:
            os.close(self._event)


class Poller:
    """Waits until one descriptor, or a second one beside it, is ready; used by one thread."""

    def __init__(self, sock: socket.socket, write: bool, beside: Waker | None) -> None:
        self._sock, self._write, self._beside = sock, write, beside
        self._poll: Any = None
        if _HAS_POLL:  # select() cannot take descriptors from 1024 on
            self._poll = select.poll()
            self._poll.register(sock.fileno(), select.POLLOUT if write else select.POLLIN)
            if beside is not None:
                self._poll.register(beside.fileno(), select.POLLIN)

    def wait(self, seconds: float | None) -> bool:
        """True once ready, in error or shut down; False if ``seconds`` passed (maybe earlier)."""
        if self._poll is not None:
            limit = None if seconds is None else math.ceil(min(seconds, _LONG_WAIT) * 1000)
            return bool(self._poll.poll(limit))
        seconds = BLIND_WAIT if seconds is None else min(seconds, BLIND_WAIT)
        reading: list[socket.socket | Waker] = [] if self._write else [self._sock]
        if self._beside is not None:
            reading.append(self._beside)
        writing = [self._sock] if self._write else []
        # Windows reports a failed connect() in the third set only.
        return any(select.select(reading, writing, [self._sock], seconds))
