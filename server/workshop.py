"""A few threads that do what takes random numbers in the handshakes of all connections.

OpenSSL keeps random generators for each thread that ever asked it for a random number, for as
long as the thread lives: more than 50 KB beside the 16 KB of an idle thread.  Done here, that
is paid for by these threads and not by every connection's own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from server import bounds
from transport import Closed

Result = TypeVar("Result")


class Workshop:
    """``do`` returns, or raises, what ``act`` does in one of the threads."""

    def __init__(self, threads: int = bounds.WORKSHOP_THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="workshop")
        self._threads = threads

    def start(self) -> None:
        """Start the threads, which a pool would do one by one as they are needed."""
        all_there = threading.Barrier(self._threads)
        for started in [self._pool.submit(all_there.wait) for _ in range(self._threads)]:
            started.result()

    def do(self, act: Callable[[], Result]) -> Result:
        """Have it done, and wait for it.  Raises Closed once the server has stopped."""
        try:
            done = self._pool.submit(act)
        except RuntimeError:  # the pool's word for being shut down
            raise Closed() from None
        return done.result()

    def stop(self) -> None:
        """End the threads after all that is waiting, and join them."""
        self._pool.shutdown()
