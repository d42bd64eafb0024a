"""One WebSocket, the same on both sides, over a plain or a TLS ``Stream``.

A text message is a ``str``, a binary one ``bytes``; compression, subprotocols and WebSocket pings
are not used.  Ping and close frames can be forged by anybody between the two, so they mean nothing
beyond "alive" and "lost".  ``WebSocket`` is what those above use, and ``SocketAdapter`` a stream as
a library wants it.

Threads: one thread calls ``receive`` and ``finish``.  ``send``, ``wake``, ``close`` and ``abort``
are for any thread.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod

from protocol.hosts import Address

from .byte_budget import ByteBudget
from .errors import Closed
from .route import Route
from .stream import Stream
from .token_bucket import TokenBucket


class WebSocket(ABC):
    """What both sides offer.  Every method but ``close``, ``abort``, ``wake`` may raise Closed."""

    # By which the client has come to its server, where that is known.
    address: Address | None = None

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._closed = False  # nothing is sent any more

    @abstractmethod
    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """The next message; None once ``timeout`` seconds passed or ``wake`` was called.

        After the end it first hands out what had come, then raises Closed.  On the server's side
        that is Flooded, and the connection still there, where the peer sent too much of nothing.
        """

    def wake(self) -> None:
        """Make a ``receive`` that waits, or else the next one, return None."""
        self._stream.interrupt()

    @abstractmethod
    def send(self, data: str | bytes) -> None:
        """Send one message.

        The server's side never waits: the socket takes what it can, and the rest is the
        ``backlog``, of which the receiving thread is told by ``wake``.  The client's side waits
        until all is gone.
        """

    def send_nowait(self, data: str | bytes) -> None:
        """As ``send``, but without waiting on either side."""
        self.send(data)

    @property
    def backlog(self) -> int:
        """Bytes that the socket did not take yet."""
        return self._stream.backlog

    def moved(self) -> int:
        """A number that grows while bytes of messages come, or those sent are being taken.

        Pings do not count.  For the receiving thread; the client's side only.
        """
        return 0

    @property
    def stuck(self) -> bool:
        """Whether some of what was sent is known not to have arrived.  The client's side only."""
        return False

    @property
    def route(self) -> Route | None:
        """The route to the peer, or to its proxy; None if it is not known.  The client's side."""
        return None

    def flush(self, deadline: float) -> None:
        """Wait until there is no backlog; past ``deadline`` (monotonic) the connection is cut."""
        try:
            self._stream.flush(deadline)
        except OSError:
            self.abort()
            raise Closed from None

    def close(self, code: int = 1000) -> None:
        """Say goodbye: a close frame, best effort, without waiting.  Nothing is sent after it."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(Exception):  # best effort, whatever a library makes of it
                self._send_close(code)

    @abstractmethod
    def _send_close(self, code: int) -> None:
        """A close frame."""

    def abort(self) -> None:
        """Cut the connection and wake every thread that waits on it."""
        self._closed = True
        self._stream.abort()

    @abstractmethod
    def allow(self, max_message_size: int) -> None:
        """From now on messages may have so many bytes: the peer is no stranger any more."""

    def drop(self, size: int, deadline: float) -> bool:
        """After Flooded: drop ``size`` bytes of what comes, unread; False if the peer ends first.

        It takes until ``wake`` or ``deadline`` (monotonic) at most.  The client's side takes none.
        """
        return True

    def charge_to(self, bucket: TokenBucket) -> None:
        """From now on what the peer sends is charged to ``bucket``, and in debt nothing is read.

        ``receive`` returns None then, at once.  For the server's side.
        """
        raise NotImplementedError

    @abstractmethod
    def finish(self, deadline: float) -> None:
        """Close politely until ``deadline`` (monotonic), then by force; frees everything.

        What was sent before still arrives if the peer takes it in time; what comes is dropped.
        For the receiving thread.  Never raises.
        """


class SocketAdapter:
    """A stream as a library sees a socket; what comes through it is limited by ``budget``."""

    def __init__(self, stream: Stream, budget: ByteBudget) -> None:
        self._stream = stream
        self.budget = budget

    def recv(self, size: int) -> bytes:
        """As the stream's; raises Closed once the budget is exceeded."""
        data = self._stream.recv(size)
        self.budget.spend(len(data))
        return data

    def send(self, data: bytes | bytearray) -> int:
        """All of it, without waiting: an answer to a ping must not hold the receiving thread."""
        return self._stream.send(data)

    def close(self) -> None:
        """End the connection; the descriptor is freed by whoever opened it."""
        self._stream.abort()
