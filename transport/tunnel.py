"""What has been opened through a stream, as the socket of another one.

TLS inside of what a proxy has opened, which may itself be TLS, needs a stream on top of a stream.
``Tunnel`` is what a ``Stream`` needs of a connected, non-blocking socket, and nothing else.
"""

from __future__ import annotations

import socket
from typing import Any, cast

from .stream import Stream

_PIECE_BYTES = 8 * 1024  # that are under way in the stream below, at a time


class Tunnel:
    """The inside of ``stream``, which from now on belongs to it.

    One thread receives, as below; a thread that sends has the lock of the stream above.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._taken = 0  # bytes that the stream below has and the system has not

    @classmethod
    def socket(cls, stream: Stream) -> socket.socket:
        """As a ``Stream`` takes it."""
        return cast(socket.socket, cls(stream))

    def recv(self, _size: int) -> bytes:
        """What has come by now, all of it: nobody is woken for what would stay behind.

        b"" at the end.  Raises BlockingIOError if nothing has, OSError.
        """
        return self._stream.take()

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """How many of these bytes the *system* has taken, so that what is told to wait waits above.

        Raises BlockingIOError if it was none: what was begun is then to be sent again, as with
        OpenSSL.  Raises OSError.
        """
        done = 0
        while done < len(data):
            if self._stream.backlog:
                self._stream.push()
            if not self._stream.backlog and not self._taken:
                self._taken = self._stream.send(bytes(data[done : done + _PIECE_BYTES]))
            if self._stream.backlog:
                break
            done, self._taken = done + self._taken, 0
        if data and not done:
            raise BlockingIOError
        return done

    def shutdown(self, how: int) -> None:
        """Both ways: the connection is over.  Raises OSError."""
        if how == socket.SHUT_RDWR:
            self._stream.abort()
        else:
            self._stream.shutdown(how)

    def close(self) -> None:
        """Free the descriptor."""
        self._stream.close()

    def fileno(self) -> int:
        """The descriptor that is waited on."""
        return self._stream.fileno()

    def setblocking(self, _flag: bool) -> None:
        """It never blocks."""

    def setsockopt(self, *arguments: Any) -> None:
        """As the socket's."""
        self._stream.setsockopt(*arguments)

    def getpeername(self) -> Any:
        """The proxy's address."""
        return self._stream.getpeername()
