"""The sending half of a connection: frames are packed into records and written.

That is done by whoever has something to send, one at a time; a thread that finds another one
sending leaves it the rest.  So the reader never waits for a writer, and goes on emptying the
network while the network takes nothing.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from protocol import limits
from protocol.link import ClientLink
from transport import Closed
from transport.free_threading import FREE_THREADED, Fence
from transport.websocket import WebSocket

_WRITE_SECONDS = 10.0  # in which the network has to take a record


class RecordSender:
    """Sends ``outgoing``, encoded frames in order; ``on_written`` is called after each record,
    and once the network has taken what it did not take at once.

    ``peer`` and ``link`` are those of the connection that there is.  The reader thread alone
    changes them; anybody may read them.
    """

    def __init__(
        self,
        outgoing: deque[bytes],
        on_written: Callable[[WebSocket], None],
        clock: Callable[[], float],
    ) -> None:
        self._outgoing, self._on_written, self._clock = outgoing, on_written, clock
        self._lock = threading.Lock()  # guards the link's sending half
        self._due = False  # see send
        self._fence = Fence() if FREE_THREADED else None  # as of server.broadcast.SendQueue
        self.peer: WebSocket | None = None
        self.link: ClientLink | None = None

    def connect(self, peer: WebSocket) -> None:
        """There is a connection; nothing is sent before ``open``."""
        with self._lock:
            self.peer = peer

    def open(self, link: ClientLink) -> None:
        """The server has let this client in: from now on records are sealed by ``link``."""
        with self._lock:
            self.link = link
        if self._due:  # somebody found the lock taken
            self.send()

    def disconnect(self) -> WebSocket | None:
        """Send nothing more; the connection that there was, to be finished."""
        with self._lock:
            peer, self.peer, self.link = self.peer, None, None
        return peer

    def put(self, frame: bytes) -> None:
        """Send one more frame, after those that wait."""
        self._outgoing.append(frame)
        self.send()

    def send(self) -> None:
        """Send what is in ``outgoing``; waits for nobody and nothing.

        What the network does not take at once gets a thread that waits for it: the one that reads
        keys has to go on, and so has the one that empties the network.
        """
        peer = self.peer
        if not self._outgoing and (peer is None or not peer.backlog):
            return  # as for nearly each frame that comes
        self._due = True
        while self._due and self._is_first():
            self._due = False
            try:
                waits = not self._send_locked()
            except BaseException:
                self._lock.release()
                raise
            if waits:
                threading.Thread(target=self._write_on, name="writer", daemon=True).start()
                return
            self._let_go()

    def _is_first(self) -> bool:
        if self._lock.acquire(blocking=False):
            return True
        fence = self._fence
        return fence is not None and fence.cross() and self._lock.acquire(blocking=False)

    def _let_go(self) -> None:
        self._lock.release()
        if self._fence is not None:
            self._fence.cross()

    def _send_locked(self) -> bool:
        """Whether nothing waits for the network."""
        peer, link = self.peer, self.link
        if peer is None or link is None:
            return True
        try:
            while not peer.backlog and (found := self._next_record()):
                peer.send_nowait(link.seal(found))
                self._on_written(peer)
        except Closed:
            return True  # the reader thread finds out by itself
        return not peer.backlog

    def _next_record(self) -> list[bytes]:
        """Take the frames that fit the next record off ``outgoing``; empty if there are none."""
        outgoing = self._outgoing
        found: list[bytes] = []
        size = 0
        while outgoing and (not found or size + len(outgoing[0]) <= limits.SLICE_BYTES):
            found.append(outgoing.popleft())
            size += len(found[-1])
        return found

    def _write_on(self) -> None:
        """The thread that waits for the network; it has inherited the lock, taken."""
        peer = self.peer
        try:
            if peer is not None:
                peer.flush(self._clock() + _WRITE_SECONDS)
                self._on_written(peer)  # only now is there something to be answered
        except Closed:
            pass
        finally:
            self._let_go()
        self.send()
