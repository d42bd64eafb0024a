"""One WebSocket, the same on both sides, over a plain or a TLS ``Stream``.

A text message is a ``str``, a binary one ``bytes``; compression, subprotocols and WebSocket pings
are not used.  Ping and close frames can be forged by anybody between the two, so they mean nothing
beyond "alive" and "lost".

Threads: one thread calls ``receive`` and ``finish``.  ``send``, ``wake``, ``close`` and ``abort``
are for any thread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from .errors import Closed
from .route import Route
from .token_bucket import TokenBucket

_SPARE_BYTES = 64 * 1024  # pings, and frames' headers
FRAME_BYTES = 64  # what each frame costs beside its bytes, as it costs us some work


class ByteBudget:
    """How many bytes a peer may send until something whole has come; more can only be a flood.

    A message cut into crumbs, empty fragments, pings without end: none of it grows into anything
    that a bound on messages would see.  So each frame costs ``frame_bytes`` more than it has, and
    a message has a thousand fragments at most.
    """

    def __init__(self, limit: int, frame_bytes: int = FRAME_BYTES) -> None:
        self._limit = self._left = limit
        self._frame_bytes = frame_bytes

    @classmethod
    def of_message(cls, max_message_size: int, frame_bytes: int = FRAME_BYTES) -> ByteBudget:
        """For messages of ``max_message_size`` bytes."""
        return cls(max_message_size + _SPARE_BYTES, frame_bytes)

    def renew(self) -> None:
        """Something whole has come."""
        self._left = self._limit

    @property
    def exceeded(self) -> bool:
        """Whether too much has come."""
        return self._left < 0

    def spend_frame(self) -> None:
        """One frame has come; raises as ``spend`` does."""
        self.spend(self._frame_bytes)

    def spend(self, size: int) -> None:
        """Raises Closed once too much has come."""
        self._left -= size
        if self._left < 0:
            raise Closed


class WebSocket(ABC):
    """What both sides offer.  Every method but ``close``, ``abort``, ``wake`` may raise Closed."""

    @abstractmethod
    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """The next message; None once ``timeout`` seconds passed or ``wake`` was called.

        After the end it first hands out what had come, then raises Closed.  On the server's side
        that is Flooded, and the connection still there, where the peer sent too much of nothing.
        """

    @abstractmethod
    def wake(self) -> None:
        """Make a ``receive`` that waits, or else the next one, return None."""

    @abstractmethod
    def send(self, data: str | bytes) -> None:
        """Send one message.

        The server's side never waits: the socket takes what it can, and the rest is the
        ``backlog``, of which the receiving thread is told by ``wake``.  The client's side waits
        until all is gone.
        """

    def begin(self, data: str | bytes) -> None:
        """As ``send``, but without waiting on either side."""
        self.send(data)

    @property
    @abstractmethod
    def backlog(self) -> int:
        """Bytes that the socket did not take yet."""

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

    @abstractmethod
    def flush(self, deadline: float) -> None:
        """Wait until there is no backlog; past ``deadline`` (monotonic) the connection is cut."""

    @abstractmethod
    def close(self, code: int = 1000) -> None:
        """Say goodbye: a close frame, best effort, without waiting.  Nothing is sent after it."""

    @abstractmethod
    def abort(self) -> None:
        """Cut the connection and wake whoever waits on it."""

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
