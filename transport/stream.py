"""One connected stream socket, made safe for several threads.

The libraries above assume sockets that they do not have: simple-websocket calls ``send`` where it
means ``sendall``, while other threads send, too; ``close`` does not wake a thread that waits in
``recv``; a timeout of http.server's cuts frames in two; a buffered ``rfile`` swallows what comes
with the request.  ``Stream`` looks enough like a socket for them and does what they mean:

* One thread reads.  ``recv`` waits for data, the end, ``abort`` or the total deadline.
* Any thread writes.  ``send`` takes the whole of what it is given into a bounded buffer under one
  lock and never blocks; what the system has not taken yet is the ``backlog``, and ``flush`` waits
  for it outside the lock.
* Any thread may end it.  ``abort`` wakes all that wait.  ``close`` frees the descriptor, but only
  after the last thread that waits on it has left: its number is reused at once by the next
  connection, and a thread still in ``poll`` would wait on, or write to, a stranger's socket.

Lock order: ``_writing``, then (in TLS) the machine's, then ``_living``; all are leaves for the
rest of the program, and none is held while waiting.
"""

from __future__ import annotations

import contextlib
import errno
import io
import math
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from . import held_calls
from .poller import BLIND_WAIT, Poller, Waker
from .route import Route, unacknowledged

RECV_BYTES = 64 * 1024
SEND_BYTES = 256 * 1024  # default bound of what the system has not taken

_UNDER_WAY = (errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", -1))


class Interrupted(Exception):
    """``interrupt`` was called while, or before, ``recv`` waited.  Nothing read is lost."""


class Stream:
    """A connected TCP (or socketpair) socket; ``bound`` limits the backlog, in bytes.

    With ``interruptible`` another thread can call ``recv`` back with ``interrupt``.
    ``while_waiting`` is held while ``recv`` and ``flush`` wait for the network, until
    ``stop_yielding``.  Errors, also where there is no descriptor for that, are ``OSError``; passed
    deadlines are ``TimeoutError``, which is one.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        bound: int = SEND_BYTES,
        interruptible: bool = False,
        while_waiting: contextlib.AbstractContextManager[None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        sock.setblocking(False)
        with contextlib.suppress(OSError):  # a socketpair has no such option
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._bound = bound
        self._clock = clock
        self._while_waiting = while_waiting
        self._waker = Waker() if interruptible else None
        self._interrupted = False

        self._writing = threading.Lock()
        self._out = bytearray()
        self.backlog = 0  # bytes that the system has not taken yet: those in _out
        self._sent = 0  # bytes, those in _out included

        self._ahead = b""  # read and not handed out yet, from _at on; the reading thread's
        self._at = 0
        self._reader: Poller | None = None
        self._deadline: float | None = None

        self._living = threading.Lock()
        self._inside = 0  # threads that wait on the descriptor
        self._closing = False
        self._released = False
        self.aborted = False

    def connect(self, address: Any, deadline: float) -> None:
        """Connect a fresh socket.  Raises OSError, TimeoutError past ``deadline``."""
        if not self._enter():
            raise ConnectionAbortedError
        try:
            failure = self._sock.connect_ex(address)
            if failure in _UNDER_WAY:
                self._await_connection(deadline)
                failure = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        finally:
            self._leave()
        if self.aborted:
            raise ConnectionAbortedError
        if failure:
            raise OSError(failure, os.strerror(failure))  # of the subclass that the number has

    def _await_connection(self, deadline: float) -> None:
        waiter = Poller(self._sock, True, None)
        # In slices: shutdown() does not wake everywhere what waits for a connection.
        while not self.aborted:
            if waiter.wait(min(self._left(deadline) or 0.0, BLIND_WAIT)):
                return

    # Reading

    def stop_yielding(self) -> None:
        """From now on nothing is held while waiting."""
        self._while_waiting = None

    def set_deadline(self, deadline: float | None) -> None:
        """All reading must be done by ``deadline`` (the clock's time); None lifts it."""
        self._deadline = deadline

    def recv(self, size: int, flags: int = 0) -> bytes:
        """At most ``size`` bytes; b"" at the end.  Raises TimeoutError, Interrupted, OSError."""
        if self._interrupted and self.take_interrupt():
            raise Interrupted
        if not self._ahead:
            data = self._fill()
            if len(data) <= size:
                return data
            self._ahead = data
        return self._take(size)

    def peek(self) -> bytes:
        """What can be read without waiting, or else what comes next; nothing is consumed."""
        if not self._ahead:
            self._ahead = self._fill()
        return self._ahead[self._at :]

    def take(self) -> bytes:
        """What has come by now, b"" at the end.  Raises BlockingIOError if nothing has, OSError."""
        return self._take(len(self._ahead)) if self._ahead else self._sock.recv(RECV_BYTES)

    def recv_raw(self, size: int, deadline: float) -> bytes:
        """At most ``size`` bytes of the network itself, before all other reading; b"" at the end.

        What comes after them stays where it is, also for TLS.  Raises as ``recv``.
        """
        return self._receive(deadline, size)

    def _take(self, size: int) -> bytes:
        end = self._at + size
        data = self._ahead[self._at : end]
        if end < len(self._ahead):
            self._at = end
        else:
            self._ahead, self._at = b"", 0
        return data

    def _fill(self) -> bytes:
        """The next bytes for the reader, b"" at the end."""
        return self._receive(self._deadline)

    def _receive(self, deadline: float | None, most: int = RECV_BYTES) -> bytes:
        """The next bytes of the network, b"" at the end."""
        if not self._enter():
            return b""
        try:
            if self._reader is None:
                self._reader = Poller(self._sock, False, self._waker)
            while not self.aborted:
                ready = self._wait(self._reader, deadline)
                if self._interrupted and self.take_interrupt():
                    raise Interrupted
                if ready and not self.aborted:
                    try:
                        return held_calls.recv(self._sock, most)
                    except (BlockingIOError, InterruptedError):
                        pass
            return b""
        finally:
            self._leave()

    def _wait(self, poller: Poller, deadline: float | None) -> bool:
        """For ``poller``, holding what is to be held meanwhile.  Raises TimeoutError."""
        left = self._left(deadline)
        if self._while_waiting is None:
            return poller.wait(left)
        with self._while_waiting:
            return poller.wait(left)

    def _left(self, deadline: float | None) -> float | None:
        if deadline is None:
            return None
        left = deadline - self._clock()
        if left <= 0:  # also where data is ready: a byte a second must not go on for ever
            raise TimeoutError
        return left

    def interrupt(self) -> None:
        """Make a ``recv`` that waits, or else the next one, raise Interrupted."""
        if self._waker is None:
            raise ValueError("not interruptible")
        with self._living:
            if self._released or self._interrupted:
                return
            self._interrupted = True
            self._waker.wake()

    def take_interrupt(self) -> bool:
        """Whether ``interrupt`` was called and nothing has come of it yet; now something has."""
        if not self._interrupted:
            return False
        with self._living:
            self._interrupted = False
            if self._waker is not None and not self._released:
                self._waker.clear()
        return True

    # Writing

    def output(self) -> tuple[int, int]:
        """Bytes sent, and how many of them the peer's system has (or ours; see ``route``)."""
        sent = self._sent
        if not self._enter():
            return sent, sent
        try:
            return sent, sent - len(self._out) - unacknowledged(self._sock)
        finally:
            self._leave()

    def route(self) -> Route | None:
        """The route to the peer; None once the connection is over."""
        with contextlib.suppress(OSError):
            return Route(self._sock.getpeername())
        return None

    def send(self, data: bytes | bytearray | memoryview, flags: int = 0) -> int:
        """Take all of ``data``, in one piece and without blocking; its length.

        What does not go out at once waits for ``flush``.  Raises OSError when the connection is
        over, also when more than the bound would wait: then it is cut.
        """
        with self._writing:
            if self.aborted:
                raise ConnectionAbortedError
            self._dispatch(data)
        return len(data)

    def _dispatch(self, wire: bytes | bytearray | memoryview) -> None:
        """Hand ``wire`` to the system as far as it takes it; the rest waits.  ``_writing`` held."""
        self._sent += len(wire)
        sent = 0
        if not self._out:
            try:
                sent = held_calls.send(self._sock, wire)
            except (BlockingIOError, InterruptedError):
                pass
            if sent == len(wire):
                return
        self._out += memoryview(wire)[sent:]
        self.backlog = len(self._out)
        if self.backlog > self._bound:
            self.abort()
            raise ConnectionAbortedError

    def flush(self, deadline: float) -> None:
        """Wait until the system has taken everything; past ``deadline`` the connection is cut.

        Raises TimeoutError then, and OSError if the connection ends otherwise.
        """
        waiter: Poller | None = None
        while self.push():
            if not self._enter():
                raise ConnectionAbortedError
            try:
                waiter = waiter or Poller(self._sock, True, None)
                self._wait(waiter, deadline)
            except TimeoutError:
                self.abort()
                raise
            finally:
                self._leave()

    def push(self) -> int:
        """Send on without waiting; what is left.  Raises OSError."""
        with self._writing:
            if self.aborted:
                raise ConnectionAbortedError
            if self._out:
                with contextlib.suppress(BlockingIOError, InterruptedError):
                    del self._out[: self._sock.send(self._out[:RECV_BYTES])]
                self.backlog = len(self._out)
            return self.backlog

    def sendall(self, data: bytes | bytearray | memoryview, flags: int = 0) -> None:
        """Send and wait until it is gone, by the deadline if one is set; for http.server."""
        self.send(data)
        self.flush(math.inf if self._deadline is None else self._deadline)

    # Ending

    def abort(self) -> None:
        """End the connection at once and wake every thread that waits; from any thread."""
        with self._living:
            if self.aborted:
                return
            self.aborted = True
            if not self._released:
                with contextlib.suppress(OSError):  # the peer may have been faster
                    self._sock.shutdown(socket.SHUT_RDWR)

    def shutdown(self, how: int = socket.SHUT_WR) -> None:
        """Tell the peer that nothing more comes; best effort."""
        with self._living:
            if not self._released:
                self._sock.shutdown(how)

    def drain(self, deadline: float, last: Callable[[bytes], bool] = lambda _: False) -> None:
        """``shutdown``, and then drop what comes: until the peer's end, ``last``, or ``deadline``.

        Bytes that lie unread when a socket is closed become a reset, which takes away what the
        peer has not read.  For the reading thread.  Raises OSError, TimeoutError.
        """
        self.shutdown()
        self.set_deadline(deadline)
        while True:
            with contextlib.suppress(Interrupted):
                data = self.recv(RECV_BYTES)
                if not data or last(data):
                    return

    def close(self) -> None:
        """End the connection and free its descriptor as soon as nobody waits on it any more."""
        self.abort()
        with self._living:
            self._closing = True
            free = not self._inside
        if free:
            self._release()

    def _enter(self) -> bool:
        with self._living:
            if self._closing:
                return False
            self._inside += 1
            return True

    def _leave(self) -> None:
        with self._living:
            self._inside -= 1
            free = self._closing and not self._inside
        if free:
            self._release()

    def _release(self) -> None:
        # Under both locks: nobody is in the middle of a send() or shutdown() on this number.
        with self._writing, self._living:
            if self._released:
                return  # a number is freed once: it may be a stranger's by now
            self._released = True
            self._sock.close()
            if self._waker is not None:
                self._waker.close()

    # What http.server and websocket-client expect of a socket

    def makefile(self, mode: str = "rb", buffering: int = 0) -> RequestFile:
        """The reading side for http.server; it takes nothing that ``recv`` would then miss."""
        if mode != "rb":
            raise ValueError("only for reading")
        return RequestFile(self)

    def fileno(self) -> int:
        """The descriptor, -1 once it is free."""
        return self._sock.fileno()

    def getpeername(self) -> Any:
        """The peer's address.  Raises OSError once the connection is over."""
        return self._sock.getpeername()

    def setsockopt(self, *arguments: Any) -> None:
        """As the socket's."""
        self._sock.setsockopt(*arguments)


class RequestFile(io.BufferedIOBase):
    """http.server's ``rfile``: whole lines at a time, yet nothing is read that it does not ask for.

    The base class's ``readline`` looks at ``peek`` first and takes what belongs to the line.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def peek(self, size: int = 0) -> bytes:
        """What is there without waiting, or else what comes next."""
        return self._stream.peek()

    def read(self, size: int | None = -1) -> bytes:
        """``size`` bytes, fewer only at the end of the stream.  Reads to the end if negative."""
        if size is None or size < 0:
            size = sys.maxsize
        return filled(self._stream.recv, size)


def filled(receive: Callable[[int], bytes], size: int) -> bytes:
    """``size`` bytes of what ``receive`` gives in pieces; fewer only at the end."""
    parts = []
    while size > 0 and (part := receive(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
