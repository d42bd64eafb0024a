"""The composition root: builds the parts, listens, serves, and stops in order."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from protocol.errors import ChatError
from protocol.safe_text import visible
from server import limits
from server.admission import Permit
from server.banner import (
    SharedBy,
    banner,
    cannot_listen,
    cannot_write,
    certificate_kept,
    certificate_renewed,
    certificate_unusable,
    forms_cannot_listen,
)
from server.client_address import ClientAddress, TrustedProxies
from server.connection import ServerConnection
from server.console import AdminConsole
from server.handshake import ServerHandshake
from server.http import Handler, HttpFace, no_place
from server.listener import Listener
from server.requests import Requests
from server.services import CannotOpen, Services
from server.signals import Signals
from settings import BackendSettings, ServerSettings
from settings.exit_status import ExitStatus
from transport import (  # its library now: what is wrong with it is not told to clients
    CannotListen,
    CertificateUnusable,
    server_websocket,  # noqa: F401
    tls,
)
from transport.proxy_header import read_proxy_header
from transport.stream import SEND_BYTES, Stream
from transport.websocket import WebSocket


class _Parts(NamedTuple):
    """What differs where servers share an engine."""

    services: type[Services]
    handshake: type[ServerHandshake]
    requests: type[Requests]
    console: type[AdminConsole]


def _parts(settings: ServerSettings) -> _Parts:
    if settings.backend is None:
        return _Parts(Services, ServerHandshake, Requests, AdminConsole)
    # Not before: who has no engine needs no client for one.
    from server.cluster.console import ClusterConsole
    from server.cluster.handshake import ClusterHandshake
    from server.cluster.requests import ClusterRequests
    from server.cluster.services import ClusterServices

    return _Parts(ClusterServices, ClusterHandshake, ClusterRequests, ClusterConsole)


class FormsCannotListen(CannotListen):
    """As CannotListen, of the address that the forms have of their own."""


class ChatServer:
    """One server.  ``start`` and ``stop``; everything in between happens in its threads.

    Raises CannotListen, CertificateUnusable or CannotOpen when it is made.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._tls = (
            tls.server_context(settings.ssl_cert, settings.ssl_key)
            if settings.ssl_cert is not None
            else None
        )
        self._stopping = False
        self._lock = threading.Lock()  # leaf; guards the set
        self._connections: set[ServerConnection] = set()
        # In clear where TLS is expected, the refusal would pass for another kind of server.
        self._refusal = no_place() if self._tls is None else b""
        self._parts = _parts(settings)
        self._services = self._parts.services(settings)
        self._face = self._make_face(settings)
        self._listener = self._listen(settings.host, settings.port, self._face)
        self._listeners = [self._listener]
        if isinstance(settings.token_forms, tuple):
            # Nobody stands in front of it: whoever comes there is who it is.
            face = replace(self._face, proxies=TrustedProxies(), chat=False, forms=True)
            try:
                self._listeners.append(self._listen(*settings.token_forms, face))
            except CannotListen as error:
                self._listener.close()
                raise FormsCannotListen(error.reason) from None
        try:
            self._services.open(self._cut_all, _complain)
        except BaseException:
            for listener in self._listeners:
                listener.close()
            raise

    def _make_face(self, settings: ServerSettings) -> HttpFace:
        return HttpFace(
            self._services.password,
            self._services.tokens,
            self._services.form_throttle,
            self._services.sessions.end_token,
            self._services.expiry.schedule,
            self._tls is not None,
            TrustedProxies(settings.trusted_proxies, settings.proxy_protocol),
            settings.path,
            forms=settings.token_forms in ("on", "proxied"),
            proxied=settings.token_forms == "proxied",  # noqa: S105  # no password
        )

    def _listen(self, host: str, port: int, face: HttpFace) -> Listener:
        limits, slot = self._services.connection_limits, self._services.accept_slot
        return Listener(host, port, limits, slot, partial(self._serve, face), self._refusal)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._listener.port

    @property
    def forms_port(self) -> int | None:
        """The port of the forms, where they have one of their own."""
        return self._listeners[1].port if self._listeners[1:] else None

    @property
    def secure(self) -> bool:
        """Whether it speaks TLS."""
        return self._tls is not None

    def start(self) -> None:
        """Start serving; returns at once."""
        self._services.start()
        for listener in self._listeners:
            listener.start()

    def stop(self) -> None:
        """Accept nobody, tell everyone, close politely, then cut: within STOP_SECONDS or so."""
        self._stopping = True
        self._services.stopping()
        for listener in self._listeners:
            listener.stop()
        connections = self._all_connections()
        # First nobody posts any more; then each gets all that was posted, and the reason.
        for connection in connections:
            if connection.upgraded:
                connection.stop_reading()
            else:
                connection.stream.abort()  # no chat: nothing to be polite about
        quiet_by = time.monotonic() + limits.STOP_QUIET_SECONDS
        for connection in connections:
            if connection.proven:
                connection.idle.wait(max(0.0, quiet_by - time.monotonic()))
        for connection in connections:
            connection.close("shutdown")
        connected = self._services.connection_limits
        if not connected.wait_empty(limits.STOP_POLITE_SECONDS):
            for connection in self._all_connections():
                connection.stream.abort()
            connected.wait_empty(limits.STOP_SECONDS - limits.STOP_POLITE_SECONDS)
        self._services.stop()

    def console(self, tell: Callable[[str], None]) -> AdminConsole:
        """What takes the lines that are typed into the server's terminal."""
        return self._parts.console(self._services, tell)

    def reload_certificate(self) -> str:
        """Take up renewed certificate files; nobody is dropped.  What to say of it.

        Raises CertificateUnusable.
        """
        if self._tls is not None and self._settings.ssl_cert is not None:
            self._tls = tls.server_context(self._settings.ssl_cert, self._settings.ssl_key)
        return certificate_renewed(self._settings)

    # One connection

    def _serve(
        self, face: HttpFace, sock: Any, address: str, permit: Permit
    ) -> Callable[[], None] | None:
        """From accept until the client is in; the rest is returned, for a thread of its own.

        The caller has the accept slot.
        """
        connected = self._services.connection_limits
        try:
            stream = self._stream(sock)
        except OSError:  # no descriptor to be had for it
            sock.close()
            connected.release(permit)
            return None
        connection = ServerConnection(self._services, stream, permit, self._parts.requests)
        with self._lock:
            self._connections.add(connection)
        try:
            if connected.attach(permit, connection.cut) and not self._stopping:
                self._bring_in(connection, face, address)
        except BaseException:
            self._end(connection)
            raise
        if connection.session is None:
            self._end(connection)
            if connection.upgraded:
                time.sleep(limits.BREATH_SECONDS)  # with the slot: no other stranger's work either
            return None
        stream.stop_yielding()
        return partial(self._run, connection)

    def _run(self, connection: ServerConnection) -> None:
        """The life of a client's own thread."""
        try:
            connection.run()
        finally:
            self._end(connection)

    def _end(self, connection: ServerConnection) -> None:
        connection.stream.close()
        with self._lock:
            self._connections.discard(connection)
        self._services.connection_limits.release(connection.permit)

    def _stream(self, sock: Any) -> Stream:
        bound = max(SEND_BYTES, 2 * self._settings.max_payload_size)
        away = self._services.accept_slot.released()
        if self._tls is None:
            return Stream(sock, bound=bound, interruptible=True, while_waiting=away)
        return tls.TlsStream(
            sock, self._tls, bound=bound, interruptible=True, while_waiting=away
        )

    def _bring_in(self, connection: ServerConnection, face: HttpFace, address: str) -> None:
        """All that comes before a session, if there is to be one."""

        def move(client: ClientAddress) -> bool:
            """Count it for whom a trusted proxy has named; False if there is no place for it."""
            return self._services.connection_limits.move(connection.permit, client.group)

        def chat(websocket: WebSocket) -> None:
            connection.upgrade(websocket)
            if not self._stopping:
                self._parts.handshake(self._services, connection).run()

        # A peer that went, or that does not speak TLS, is nobody's business but its own.
        with contextlib.suppress(ChatError, OSError):
            client, stream = face.proxies.of_peer(address), connection.stream
            if face.proxies.sends_header(client):
                deadline = time.monotonic() + limits.PROXY_HEADER_SECONDS
                client = face.proxies.named(client, read_proxy_header(stream, deadline))
                if not move(client):
                    return self._refuse(stream)
            if isinstance(stream, tls.TlsStream):
                stream.handshake(time.monotonic() + limits.REQUEST_SECONDS)
            Handler(stream, client, face, chat, move)

    def _refuse(self, stream: Stream) -> None:
        """Say that there is no place, before anything was asked."""
        if self._refusal:
            stream.send(self._refusal)
            stream.drain(time.monotonic() + limits.LINGER_SECONDS)

    def servers(self) -> int:
        """How many servers of this chat there are just now, with this one."""
        return self._services.servers()

    def _cut_all(self) -> None:
        """End all connections, without a word."""
        for connection in self._all_connections():
            connection.stream.abort()

    def _all_connections(self) -> list[ServerConnection]:
        with self._lock:
            return list(self._connections)


def run(settings: ServerSettings) -> int:
    """Serve until told to stop; the exit status.  The main thread only waits for that."""
    wrong, engine = _look_at_backend(settings.backend)
    if wrong:
        return _fail(wrong)
    try:
        server = ChatServer(settings)
    except FormsCannotListen as error:
        return _fail(forms_cannot_listen(error.reason, settings))
    except CannotListen as error:
        return _fail(cannot_listen(error.reason, settings))
    except CertificateUnusable as error:
        return _fail(certificate_unusable(error.reason, error.path))
    except CannotOpen as error:
        return _fail(error.sentence)
    # Each thread that waits for the interpreter wakes up this often; with a thousand of them busy,
    # at Python's own 5 ms, that was nearly all that was done (docs/PERFORMANCE.md).
    sys.setswitchinterval(limits.SWITCH_SECONDS)
    _preempt_nobody()
    _allow_descriptors()
    # What the start has made lives as long as the server: nobody need look for garbage in it.
    gc.collect()
    gc.freeze()
    signals = Signals(server.secure, server.console(_tell).take)
    server.start()
    shared = SharedBy(engine, server.servers()) if engine else None
    _tell(banner(settings, server.port, server.forms_port, shared))
    signals.wait(partial(_renew, server))
    server.stop()
    return ExitStatus.LEFT


def _look_at_backend(backend: BackendSettings | None) -> tuple[str, str]:
    """Why the engine that is to be shared cannot be, in a sentence, empty if it can; and which one
    it is, empty where there is none."""
    if backend is None:
        return "", ""
    from server.cluster.checks import BackendCheck, BackendUnusable

    check = BackendCheck(backend)
    try:
        for sentence in check.run():
            _complain(sentence)
    except BackendUnusable as error:
        return error.sentence, ""
    return "", check.engine


def _preempt_nobody() -> None:
    """A thread that is woken does not push aside the one that woke it, which is about to wait.

    It hands the interpreter on just before: without this each goes to sleep twice for each message,
    which is 0.92 of the CPU in small rooms (docs/PERFORMANCE.md).  Linux only; a policy that
    somebody has chosen stays.
    """
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):
            if os.sched_getscheduler(0) == os.SCHED_OTHER:
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _allow_descriptors() -> None:
    """Room for as many connections as are accepted, as far as the system allows."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, limits.DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # macOS has a limit beside the limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _renew(server: ChatServer) -> None:
    try:
        _tell(server.reload_certificate())
    except CertificateUnusable as error:
        _complain(f"{certificate_unusable(error.reason, error.path)} {certificate_kept()}")


def _tell(text: str) -> None:
    """Text on standard output.  Where that leads nowhere the server serves all the same."""
    try:
        if sys.stdout is not None:
            print(visible(text), flush=True)
    except (OSError, ValueError) as error:
        # What is still buffered must not fail once more at the end.
        with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        if isinstance(error, OSError) and error.errno not in (errno.EPIPE, errno.EIO):
            _complain(cannot_write(error.strerror or type(error).__name__))


def _complain(sentence: str) -> None:
    if sys.stderr is not None:  # None: closed by who started us
        with contextlib.suppress(OSError, ValueError):
            print(visible(sentence), file=sys.stderr, flush=True)


def _fail(sentence: str) -> int:
    _complain(sentence)
    return ExitStatus.USAGE
