"""One connection to the engine: batches of commands out, their replies back, and nothing hidden.

redis-py has the connection, and nothing else: its ways to connect again, to repeat a command and to
log in run a script up to eleven times and hide that an engine came back empty.  Here whatever goes
wrong with a connection ends it (``EngineLost``): what had been sent may have been done or not, and
whoever sent it decides.  No text of an exception or of an engine's error is kept: both hold
arguments.  What replies are is read by ``resp.ReplyReader``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from redis.backoff import NoBackoff
from redis.connection import Connection
from redis.exceptions import RedisError
from redis.retry import Retry

from server.cluster import limits
from server.cluster.resp import Arg, BadResp, EngineError, Reply, ReplyReader, pack
from settings import BackendAddress, BackendSettings
from transport import Unreachable, tls
from transport.blocking_socket import connect_tcp, connect_unix, cut
from transport.resolver import Resolver

# The engine, or what is there in its place, cannot do its work now: another connection may be to
# one that can.  Nothing of what got this answer was done.
_ELSEWHERE = {"READONLY", "UNBLOCKED", "LOADING", "MASTERDOWN", "NOAUTH", "BUSY", "TRYAGAIN"}


class EngineLost(Exception):
    """The connection is over, and the outcome of what was sent last is not known."""


class CannotConnect(EngineLost):
    """No connection came about, so nothing was sent.

    ``reason`` is one of ``transport.Unreachable`` or, where the engine itself refused, ``engine``;
    ``word`` is the first of its error then, and ``command`` what it refused: AUTH or SELECT.
    """

    def __init__(self, reason: str, word: str = "", command: str = "") -> None:
        super().__init__()
        self.reason, self.word, self.command = reason, word, command


class _ReplyParser:
    """What the library asks for replies."""

    def __init__(self, socket_read_size: int) -> None:
        self._reader: ReplyReader | None = None

    def on_connect(self, connection: Any) -> None:
        self._reader = ReplyReader(connection._sock.recv)

    def on_disconnect(self) -> None:
        self._reader = None

    def read_response(self, **_options: object) -> Reply:
        if self._reader is None:
            raise OSError
        return self._reader.read()


class _GivenConnection(Connection):
    """The library's connection over a socket that is given to it, once."""

    def __init__(self, sock: Any) -> None:
        self.given = sock
        super().__init__(  # type: ignore[no-untyped-call]
            host="",
            port=0,
            socket_timeout=sock.gettimeout(),
            socket_connect_timeout=sock.gettimeout(),
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
            protocol=2,
            parser_class=_ReplyParser,
            redis_connect_func=_begin,
        )

    def _connect(self) -> Any:
        return self.given


def _begin(connection: Any) -> None:
    """In place of the library's own beginning, which logs in, and tells who it is."""
    connection._parser.on_connect(connection)


class Connector:
    """Makes connections to one engine.  Thread-safe.  Raises CertificateUnusable."""

    def __init__(self, settings: BackendSettings) -> None:
        self.address = settings.address
        self._context = tls.client_context(settings.ssl_ca) if settings.address.tls else None
        self._resolver = Resolver()

    def connect(
        self, timeout: float, *, within: float | None = None, login: bool = True
    ) -> Engine:
        """A new connection, logged in unless told otherwise, whose replies take up to ``timeout``.

        Raises CannotConnect after ``within`` seconds at the latest, for each step of it; by
        default ENGINE_CONNECT_SECONDS.
        """
        within = limits.ENGINE_CONNECT_SECONDS if within is None else within
        reason = ""
        try:
            sock = self._socket(within)
        except Unreachable as error:
            reason = error.reason
        if reason:
            raise CannotConnect(reason)
        sock.settimeout(within)
        engine = Engine(sock)
        try:
            self._enter(engine, login)
            engine.set_timeout(timeout)
        except BaseException:
            engine.release()
            raise
        return engine

    def _socket(self, within: float) -> Any:
        address = self.address
        if address.path:
            return connect_unix(address.path, within)
        addresses = self._resolver.addresses(address.host, address.port)
        encrypted = None if self._context is None else (self._context, address.host)
        return connect_tcp(addresses, within, encrypted)

    def _enter(self, engine: Engine, login: bool) -> None:
        for command in self._first_commands(self.address, login):
            reply: Reply = None
            lost = False
            try:
                [reply] = engine.run([command], elsewhere=False)
            except EngineLost:
                lost = True
            if lost:
                raise CannotConnect("hung_up")
            if isinstance(reply, EngineError):
                raise CannotConnect("engine", reply.word, str(command[0]))

    @staticmethod
    def _first_commands(address: BackendAddress, login: bool) -> Iterable[tuple[Arg, ...]]:
        if not login:
            return
        if address.user is not None or address.password is not None:
            names = () if address.user is None else (address.user,)
            yield ("AUTH", *names, address.password or "")
        if address.db:
            yield ("SELECT", address.db)


class Engine:
    """One connection, for one thread at a time; any thread may ``close`` it."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._connection: Connection = _GivenConnection(sock)
        self._connection.connect()  # type: ignore[no-untyped-call]  # nothing is sent yet
        self.closed = False

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_error: object) -> None:
        self.release()

    def set_timeout(self, seconds: float) -> None:
        """How long each further reply, or piece of it, may take."""
        self._sock.settimeout(seconds)

    def run(self, commands: Sequence[Sequence[Arg]], *, elsewhere: bool = True) -> list[Reply]:
        """Send all of them in one write; their replies, in order, EngineError where one failed.

        Raises EngineLost, also where the engine says that another one has its place now, unless
        ``elsewhere`` is false.
        """
        return self.run_packed([pack(*each) for each in commands], elsewhere=elsewhere)

    def run_packed(self, commands: Sequence[bytes], *, elsewhere: bool = True) -> list[Reply]:
        """As ``run``, of commands that are packed already."""
        replies: list[Reply] | None = None
        if not self.closed:
            replies = self._exchange(b"".join(commands), len(commands))
        if replies is None or (elsewhere and any(map(_is_elsewhere, replies))):
            self.release()
            raise EngineLost
        return replies

    def _exchange(self, data: bytes, count: int) -> list[Reply] | None:
        """None if it is over.  The exception itself, with what it holds, is not kept."""
        connection = self._connection
        try:
            connection.send_packed_command([data], check_health=False)
            receive: Callable[..., Reply] = connection.read_response
            return [receive(disable_decoding=True) for _ in range(count)]
        except (RedisError, OSError, BadResp):
            return None

    def close(self) -> None:
        """End it, from any thread: whoever waits for a reply gets EngineLost."""
        self.closed = True
        cut(self._sock)

    def release(self) -> None:
        """End it and give its descriptor back; only for the thread that uses it."""
        self.closed = True
        self._connection.disconnect()


def _is_elsewhere(reply: Reply) -> bool:
    return isinstance(reply, EngineError) and reply.word in _ELSEWHERE
