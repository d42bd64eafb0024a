"""The listening socket and one thread for each connection, from accept to close."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from typing import Any

from server import bounds
from server.auth import address_group
from server.gate import Gate
from transport.addresses import wake_listener
from transport.sockets import listen

# A socket just accepted, the peer's address, its group.
Serve = Callable[[Any, str, str], None]


class Listener(ThreadingHTTPServer):
    """http.server's server, with its accept loop made to sleep until something comes.

    ``refusal`` is what is sent to whom there is no place for, before the connection is closed.
    Raises CannotListen if the address cannot be used.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(
        self, host: str, port: int, gate: Gate, serve: Serve, refusal: bytes = b""
    ) -> None:
        self._gate, self._serve, self._refusal = gate, serve, refusal
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._accept, name="accept", daemon=True)
        sock = listen(host, port)
        address = sock.getsockname()
        # Without HTTPServer's own __init__, which would bind, and look up our name.
        socketserver.BaseServer.__init__(self, address, socketserver.BaseRequestHandler)
        self.socket = sock
        self.server_address = address

    def start(self) -> None:
        """Start accepting; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Accept nobody any more and free the address."""
        self._stopping.set()
        wake_listener(self.socket)
        self._thread.join()
        self.server_close()

    def _accept(self) -> None:
        # Not serve_forever, which wakes twice a second to see whether it is to stop, nor
        # handle_request, which makes a selector for each connection.
        while not self._stopping.is_set():
            try:
                request, address = self.get_request()
            except OSError:
                continue
            try:
                if self.verify_request(request, address):
                    self.process_request(request, address)
                else:
                    self.shutdown_request(request)
            except Exception:  # with one of them: all others come in as before
                self.handle_error(request, address)
                self.shutdown_request(request)

    def get_request(self) -> tuple[Any, Any]:
        """Accept; where descriptors have run out, wait a little instead of spinning."""
        try:
            return self.socket.accept()
        except OSError:
            self._stopping.wait(0.1)
            raise

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is a place for it, before any thread is started."""
        if self._gate.enter(address_group(client_address[0])):
            return True
        self._turn_away(request)
        return False

    def _turn_away(self, request: Any) -> None:
        """Say that there is no place, as far as that goes without waiting."""
        request.setblocking(False)
        with contextlib.suppress(OSError):  # unread, its request would make the close a reset
            request.recv(bounds.HEADER_BYTES)
        with contextlib.suppress(OSError):
            request.send(self._refusal)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start its thread; if that fails, its place is free again."""
        address = client_address[0]
        group = address_group(address)
        thread = threading.Thread(
            target=self._serve, args=(request, address, group), name="client", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # the system has no more threads
            self._gate.leave(group, proven=False)
            self.shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing of a connection is ever printed."""
