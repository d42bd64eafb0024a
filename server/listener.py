"""The listening socket, the threads that accept, and one for each client that has come in.

An acceptor brings in one connection at a time: TLS, request, handshake, welcome, and the round
that tells the others.  A client that is in goes on in a thread of its own.  A handshake leaves
much behind in the thread that does it: OpenSSL keeps random generators for each that ever asked
it for a random number, more than 50 KB beside the 16 KB of an idle thread.  Acceptors, of which
only a few are kept, pay for that, and not every connection.
"""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from typing import Any

from server import limits, threads
from server.admission import AcceptSlot, ConnectionLimits, Permit
from server.client_address import address_group
from transport.listening import listen, wake_listener

Stay = Callable[[], None]
# A socket just accepted, the peer's address, its place; what is left for the client's own thread.
Serve = Callable[[Any, str, Permit], "Stay | None"]


class Listener(ThreadingHTTPServer):
    """http.server's server, with its accept loop made to sleep until something comes.

    ``refusal`` is what is sent to whom there is no place for, before the connection is closed.
    Raises CannotListen if the address cannot be used.
    """

    daemon_threads = True
    block_on_close = False

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
        self._door = threading.Condition()  # leaf; guards the count
        self._waiting = 1  # acceptors that wait for a connection, from start on
        sock = listen(host, port)
        address = sock.getsockname()
        # Without HTTPServer's own __init__, which would bind, and look up our name.
        socketserver.BaseServer.__init__(self, address, socketserver.BaseRequestHandler)
        self.socket = sock
        self.server_address = address

    def start(self) -> None:
        """Start accepting; returns at once."""
        self._start_acceptor()

    def stop(self) -> None:
        """Accept nobody any more and free the address."""
        self._stopping.set()
        with self._door:
            waiting = self._waiting
        wake_listener(self.socket, waiting)
        with self._door:
            self._door.wait_for(lambda: not self._waiting, limits.STOP_QUIET_SECONDS)
        self.server_close()

    # Acceptors

    def _start_acceptor(self) -> None:
        """One more, counted already.  Raises RuntimeError if the system has no more threads."""
        threads.start(self._accept)

    def _accept(self) -> None:
        # Not serve_forever, which wakes twice a second to see whether it is to stop, nor
        # handle_request, which makes a selector for each connection.
        while True:
            try:
                request, address = self.get_request()
            except OSError:
                if self._stopping.is_set():
                    return self._go()
                continue
            if self._stopping.is_set():
                self.shutdown_request(request)
                return self._go()
            if self._bring_in(request, address) and not self._come_back():
                return

    def _bring_in(self, request: Any, address: Any) -> bool:
        """One connection; False if this acceptor could not leave the door for it."""
        stay = None
        with self._slot:
            # Not before: while others work, whoever comes waits with the system, and not here.
            if not self._let_another_wait():
                self.shutdown_request(request)
                return False
            try:
                stay = self._admit(request, address)
            except Exception:  # with one of them: all others come in as before
                self.shutdown_request(request)
                self.handle_error(request, address)
        if stay is not None:
            try:
                threads.start(stay)
            except RuntimeError:  # the system has no more threads: this one stays with it
                stay()
        return True

    def _let_another_wait(self) -> bool:
        """Before turning to a connection: whoever comes next finds an acceptor, too.

        False if that cannot be, since the system has no more threads.
        """
        with self._door:
            if self._waiting > 1:
                self._waiting -= 1
                return True
        try:
            self._start_acceptor()  # in the place of this one
        except RuntimeError:
            return False
        return True

    def _come_back(self) -> bool:
        """After a connection: wait for the next one, unless enough others do."""
        with self._door:
            if self._waiting >= limits.ACCEPTORS or self._stopping.is_set():
                return False
            self._waiting += 1
            return True

    def _go(self) -> None:
        with self._door:
            self._waiting -= 1
            self._door.notify_all()

    def get_request(self) -> tuple[Any, Any]:
        """Accept; where descriptors have run out, wait a little instead of spinning."""
        try:
            request, address = self.socket.accept()
        except OSError:
            self._stopping.wait(0.1)
            raise
        if not address:  # some systems hand out a peer that has gone, without one
            request.close()
            raise ConnectionAbortedError
        return request, address

    def _admit(self, request: Any, client_address: Any) -> Stay | None:
        """If there is a place for it, bring it in."""
        address = client_address[0]
        permit = self._connection_limits.admit(address_group(address))
        if permit is not None:
            return self._serve(request, address, permit)
        self._turn_away(request)
        return None

    def _turn_away(self, request: Any) -> None:
        """Say that there is no place, as far as that goes without waiting."""
        request.setblocking(False)
        with contextlib.suppress(OSError):  # unread, its request would make the close a reset
            request.recv(limits.HEADER_BYTES)
        with contextlib.suppress(OSError):
            request.send(self._refusal)
        self.shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A bug of ours: told as a thread's last exception is, without the connection's data."""
        threads.tell_failure()
