"""The listening socket, the threads that accept, and one for each client that has come in.

An acceptor brings in one connection at a time: TLS, request, handshake, welcome, and the round
that tells the others.  A client that is in goes on in a thread of its own.  A handshake leaves
much behind in the thread that does it: OpenSSL keeps random generators for each that ever asked
it for a random number, more than 50 KB beside the 16 KB of an idle thread.  Acceptors, of which
only a few are kept, pay for that, and not every connection.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from server import limits, threads
from server.admission import AcceptSlot, ConnectionLimits, Permit
from server.client_address import address_group
from transport.listening import listen, shut, wake_listener

RunClient = Callable[[], None]
# A socket just accepted, the peer's address, its place; what the client's own thread is to run.
Serve = Callable[[Any, str, Permit], "RunClient | None"]


class Listener:
    """A listening socket, and the acceptors that wait at it.

    ``refusal`` is what is sent to whom there is no place for, before the connection is closed.
    Raises CannotListen if the address cannot be used.
    """

    def __init__(
        self,
        host: str,
        port: int,
        connection_limits: ConnectionLimits,
        accept_slot: AcceptSlot,
        serve: Serve,
        refusal: bytes = b"",
    ) -> None:
        self._connection_limits, self._slot = connection_limits, accept_slot
        self._serve, self._refusal = serve, refusal
        self._stopping = threading.Event()
        self._changed = threading.Condition()  # leaf; guards the count
        self._waiting = 1  # acceptors that wait for a connection, from start on
        self.socket = listen(host, port)
        self.port = int(self.socket.getsockname()[1])

    def start(self) -> None:
        """Start accepting; returns at once."""
        self._start_acceptor()

    def stop(self) -> None:
        """Accept nobody any more and free the address."""
        self._stopping.set()
        with self._changed:
            waiting = self._waiting
        wake_listener(self.socket, waiting)
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, limits.STOP_QUIET_SECONDS)
        self.close()

    def close(self) -> None:
        """Free the address; for one that has not been started, too."""
        self.socket.close()

    # Acceptors

    def _start_acceptor(self) -> None:
        """One more, counted already.  Raises RuntimeError if the system has no more threads."""
        threads.start(self._accept)

    def _accept(self) -> None:
        while True:
            try:
                sock, address = self._next()
            except OSError:
                if self._stopping.is_set():
                    return self._stop_waiting()
                continue
            if self._stopping.is_set():
                shut(sock)
                return self._stop_waiting()
            if self._bring_in(sock, address) and not self._wait_again():
                return

    def _bring_in(self, sock: Any, address: Any) -> bool:
        """One connection; False if this acceptor could not leave another one waiting."""
        run_client = None
        with self._slot:
            # Not before: while others work, whoever comes waits with the system, and not here.
            if not self._let_another_wait():
                shut(sock)
                return False
            try:
                run_client = self._admit(sock, address)
            except Exception:  # with one of them: all others come in as before
                shut(sock)
                threads.tell_failure()
        if run_client is not None:
            try:
                threads.start(run_client)
            except RuntimeError:  # the system has no more threads: this one stays with it
                run_client()
        return True

    def _let_another_wait(self) -> bool:
        """Before turning to a connection: whoever comes next finds an acceptor, too.

        False if that cannot be, since the system has no more threads.
        """
        with self._changed:
            if self._waiting > 1:
                self._waiting -= 1
                return True
        try:
            self._start_acceptor()  # in the place of this one
        except RuntimeError:
            return False
        return True

    def _wait_again(self) -> bool:
        """After a connection: wait for the next one, unless enough others do."""
        with self._changed:
            if self._waiting >= limits.ACCEPTORS or self._stopping.is_set():
                return False
            self._waiting += 1
            return True

    def _stop_waiting(self) -> None:
        with self._changed:
            self._waiting -= 1
            self._changed.notify_all()

    def _next(self) -> tuple[Any, Any]:
        """Accept; where descriptors have run out, wait a little instead of spinning."""
        try:
            sock, address = self.socket.accept()
        except OSError:
            self._stopping.wait(0.1)
            raise
        if not address:  # some systems hand out a peer that has gone, without one
            sock.close()
            raise ConnectionAbortedError
        return sock, address

    def _admit(self, sock: Any, client_address: Any) -> RunClient | None:
        """If there is a place for it, bring it in."""
        address = client_address[0]
        permit = self._connection_limits.admit(address_group(address))
        if permit is not None:
            return self._serve(sock, address, permit)
        self._refuse(sock)
        return None

    def _refuse(self, sock: Any) -> None:
        """Say that there is no place, as far as that goes without waiting."""
        sock.setblocking(False)
        with contextlib.suppress(OSError):  # unread, its request would make the close a reset
            sock.recv(limits.HEADER_BYTES)
        with contextlib.suppress(OSError):
            sock.send(self._refusal)
        shut(sock)
