"""How a server is reached: its addresses directly, or one proxy and nothing else.

With a proxy every connection is one to the proxy, whatever becomes of it, and only for the kind
``socks5`` is the server's name looked up here.
"""

from __future__ import annotations

import contextlib
import functools
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from protocol.hosts import bracketed, host_and_port
from settings.proxies import Proxy

from .errors import TlsFailed, Unreachable
from .happy_eyeballs import Lane, Race
from .proxies import open_through
from .resolver import RESOLVER
from .stream import Stream
from .tunnel import Tunnel

if TYPE_CHECKING:
    import ssl

    from .tls import TlsStream

_SEND_BYTES = 4 * 1024 * 1024  # one frame at a time, waited for
_UNVOUCHED = ("self_signed", "unknown_ca")  # what a person may compare by another way
# Reasons that tell nothing of the server.
_UNANSWERED = ("refused", "timeout", "network", "hung_up")

# An address family, an address as the system has it, and what a proxy there is asked for.
Target = tuple[int, Any, str]
Result = TypeVar("Result")


class Dialler:
    """The way to ``host`` and ``port``, with ``tls`` or without, through ``proxy`` if there is one.

    With ``proxy`` all of it goes through that one, whose addresses are tried instead.
    ``server_hostname`` is asked for in the place of ``host``, by TLS and in the Host header.
    ``opened`` gets each stream before it is used, in the thread that tries it, and ``accepted`` is
    called there when one is accepted.  All is over at ``deadline`` (monotonic).
    Raises Unreachable.
    """

    def __init__(
        self,
        host: str,
        port: int,
        deadline: float,
        tls: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
        opened: Callable[[Stream], None] | None = None,
        proxy: Proxy | None = None,
        accepted: Callable[[], None] = lambda: None,
    ) -> None:
        if not 0 < port < 1 << 16:  # getaddrinfo would take what is left of it in 16 bits
            raise Unreachable("network")
        # A zone is this machine's name for one of its interfaces: no certificate has it, nor a
        # proxy.
        self.name = server_hostname or host.partition("%")[0]
        self._host, self._port, self._proxy = host, port, proxy
        self._tls, self._deadline, self._opened = tls, deadline, opened
        self._accepted = accepted
        self._goals = 1  # what a proxy is asked for
        self._is_open = False  # the proxy has opened a way

    def reach(self, use: Callable[[Stream, str], Result]) -> Result:
        """What ``use`` makes of the address of the host where it is done first.

        ``use`` gets the stream, TLS agreed if it is wanted, and what goes into the Host header; it
        may run for several addresses beside each other, in threads of their own, and what it says
        must bear that.  A stream is closed when anything is raised.  Raises Unreachable.
        """
        header = _host_header(self.name, self._port, 80 if self._tls is None else 443)

        def attempt(target: Target, lane: Lane) -> Result:
            stream = self.open(target, lane)
            try:
                stream.set_deadline(self._deadline)
                return use(stream, header)
            except BaseException:
                stream.close()
                raise

        try:
            return Race(attempt, self._deadline).run(self._targets())
        except Unreachable as error:
            raise self._blamed(error) from None

    def _targets(self) -> list[Target]:
        """What to try, the best first.  Raises Unreachable."""
        proxy = self._proxy
        if proxy is None:
            return [(family, address, "") for family, address in _addresses(self._host, self._port)]
        goals = [self._host]
        if proxy.kind == "socks5":
            goals = [str(address[0]) for _family, address in _addresses(self._host, self._port)]
        self._goals = len(goals)
        try:
            found = _addresses(proxy.host, proxy.port)
        except Unreachable:
            raise Unreachable("proxy_name") from None
        return [(family, address, goal) for goal in goals for family, address in found]

    def open(self, target: Target, lane: Lane) -> Stream:
        """A stream to the server, TLS with it agreed if that is wanted.

        Raises Unreachable with everything closed.
        """
        try:
            return self._connected(target, self._tls, lane)
        except Unreachable as error:
            if error.reason in _UNVOUCHED:
                error.fingerprint = self._shown(target, lane)
            raise

    def _blamed(self, error: Unreachable) -> Unreachable:
        """What is to be said of an attempt that came to nothing: whether it was the proxy's doing.

        Told at the end, since in a race those who do not answer weigh less.
        """
        if self._proxy is None or error.reason not in _UNANSWERED:
            return error
        if self._is_open:  # the proxy is what accepts, and may be what hangs up
            return error if error.reason == "timeout" else Unreachable("proxy_closed")
        return Unreachable("proxy_timeout" if error.reason == "timeout" else "proxy_away")

    def _shown(self, target: Target, lane: Lane) -> str:
        """The fingerprint of the certificate that is shown there, for people to compare.

        A second handshake, since OpenSSL lets go of a certificate that it refuses; nothing is said
        in it. Somebody in between may show another one each time: pinning it finds that out.
        Empty if it cannot be had.
        """
        with contextlib.suppress(OSError, Unreachable):
            from .tls import TlsStream, unverified_context

            stream = self._connected(target, unverified_context(), lane)
            with contextlib.closing(stream):
                assert isinstance(stream, TlsStream)
                return stream.peer_fingerprint()
        return ""

    def _connected(self, target: Target, tls: ssl.SSLContext | None, lane: Lane) -> Stream:
        if self._proxy is None:
            return self._dialled(target, tls, self.name, lane)
        stream = self._through(self._proxy, target, lane)
        if tls is None:
            return stream
        layered: TlsStream | None = None
        try:
            layered = _tls_stream(Tunnel.socket(stream), tls, self.name)
            self._watch(layered, lane)
            layered.handshake(self._deadline)
        except BaseException:
            if layered is not None:
                layered.close()  # it has a descriptor of its own, to be woken by
            stream.close()
            raise
        return layered

    def _through(self, proxy: Proxy, target: Target, lane: Lane) -> Stream:
        """What the proxy has opened."""
        tls = _proxy_context() if proxy.kind == "https" else None
        try:
            # Where several of the server's addresses are tried, it is one of those that accepts.
            stream = self._dialled(target, tls, proxy.host, lane, accepts=self._goals == 1)
        except TlsFailed as error:
            raise _of_proxy(error) from None
        try:
            open_through(stream, proxy, target[2], self._port, self._deadline)
        except BaseException:
            stream.close()
            raise
        self._is_open = True
        self._accept(lane)
        return stream

    def _dialled(
        self,
        target: Target,
        tls: ssl.SSLContext | None,
        name: str,
        lane: Lane,
        accepts: bool = True,
    ) -> Stream:
        """A stream to an address of this machine's network."""
        family, address, _goal = target
        secure: TlsStream | None = None
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
            if tls is not None:
                secure = _tls_stream(sock, tls, name)
            stream = secure or Stream(sock, bound=_SEND_BYTES, interruptible=True)
        except OSError:  # a family that this system does not have
            raise Unreachable("network") from None
        try:
            self._watch(stream, lane)
            _dial(stream, address, self._deadline)
            if accepts:
                self._accept(lane)
            if secure is not None:
                secure.handshake(self._deadline)
        except BaseException:
            stream.close()
            raise
        return stream

    def _accept(self, lane: Lane) -> None:
        lane.accepted()
        self._accepted()

    def _watch(self, stream: Stream, lane: Lane) -> None:
        """From now on others may abort it.  Raises Unreachable if that would be too late."""
        if self._opened is not None:
            self._opened(stream)
        lane.hold(stream)


def _tls_stream(sock: socket.socket, tls: ssl.SSLContext, name: str) -> TlsStream:
    from .tls import TlsStream  # with ssl, of which nothing is loaded where there is no TLS

    return TlsStream(sock, tls, server_hostname=name, bound=_SEND_BYTES, interruptible=True)


def _host_header(host: str, port: int, default: int) -> str:
    if not host.isascii():
        with contextlib.suppress(UnicodeError):
            host = host.encode("idna").decode()
    return bracketed(host) if port == default else host_and_port(host, port)


@functools.lru_cache(maxsize=1)
def _proxy_context() -> ssl.SSLContext:
    """How a proxy that is spoken to over TLS shows who it is: to the system's authorities."""
    from .tls import client_context

    return client_context()


def _of_proxy(error: TlsFailed) -> Unreachable:
    if error.reason in _UNANSWERED:
        return Unreachable(error.reason)
    known = {"not_tls": "proxy_not_tls", "protocol": "proxy_tls"}
    return Unreachable(known.get(error.reason, "proxy_certificate"))


def _addresses(host: str, port: int) -> list[tuple[int, Any]]:
    if host.rstrip(".").lower().endswith(".onion"):  # RFC 7686 2: nobody else is asked for it
        raise Unreachable("onion")
    return RESOLVER.addresses(host, port)


def _dial(stream: Stream, address: Any, deadline: float) -> None:
    try:
        stream.connect(address, deadline)
    except ConnectionRefusedError:
        raise Unreachable("refused") from None
    except TimeoutError:
        raise Unreachable("timeout") from None
    except OSError:
        raise Unreachable("network") from None
