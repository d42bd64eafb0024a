"""A second connection, tried while the first one says nothing; on a thread of its own.

It goes as far as it can without the session: dialling, greeting, `hello`, up to the server's `key`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from client.connection.handshake import PendingLogin
from protocol.errors import ChatError
from transport import Closed
from transport.stream import Stream


class StandbyConnection:
    """``begin`` makes the connection, and hands each stream that it tries to the function that
    it is given; ``on_done`` is called by the thread when it has, or has not.

    ``wanted``: a person has asked for it, so it is used although the first one may be well.
    """

    def __init__(
        self,
        begin: Callable[[Callable[[Stream], None]], PendingLogin],
        on_done: Callable[[], None],
        wanted: bool = False,
    ) -> None:
        self.wanted = wanted
        self._begin, self._on_done = begin, on_done
        self._lock = threading.Lock()  # leaf; guards all below
        self.streams: list[Stream] = []  # that it has dialled
        self._cancelled = False
        self._done = False
        self._found: PendingLogin | None = None
        self._error: ChatError | None = None
        self._thread = threading.Thread(target=self._run, name="dialler", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether ``result`` has something to give."""
        with self._lock:
            return self._done

    def result(self) -> PendingLogin:
        """What was made, once; waits for it.  Raises ChatError as ``begin`` did."""
        self._thread.join()
        with self._lock:
            found, self._found = self._found, None
        if found is None:
            raise self._error or Closed()
        return found

    def cancel(self) -> None:
        """It is of no use any more.  Returns at once."""
        with self._lock:
            self._cancelled = True
            streams, found = self.streams, self._found
            self.streams, self._found = [], None
        for stream in streams:
            stream.abort()
        if found is not None:
            found.drop()

    def _run(self) -> None:
        try:
            found = self._begin(self._opened)
        except ChatError as error:
            with self._lock:
                self._error = error
        else:
            with self._lock:
                cancelled = self._cancelled
                self._found = None if cancelled else found
            if cancelled:
                found.drop()
        finally:
            with self._lock:
                self._done = True
                cancelled = self._cancelled
            if not cancelled:
                self._on_done()

    def _opened(self, stream: Stream) -> None:
        with self._lock:
            self.streams.append(stream)
            cancelled = self._cancelled
        if cancelled:
            stream.abort()
