"""The client's side of a WebSocket: websocket-client, with its traps dealt with.

websocket-client does the upgrade, frames, masks, answers pings.  It gets a ready stream, so its own
way to connect, which obeys ``http_proxy`` and its kin and has no total deadline, is not used.  It
does not bound what it receives (``_ClientAdapter`` does), keeps cookies for the whole process
(thrown away), follows redirects (not here), checks UTF-8 in pure Python (switched off,
``bytes.decode`` is stricter anyway), and logs (see ``websocket_library``).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from protocol.dataclass import dataclass
from protocol.hosts import Address
from settings.proxies import Proxy

from .byte_budget import ByteBudget
from .dialling import Dialler
from .errors import Closed, Unreachable
from .route import Route, SendProgress
from .servers import Accepted, Opened, reach_any
from .stream import Interrupted, Stream
from .websocket import SocketAdapter, WebSocket
from .websocket_library import websocket

if TYPE_CHECKING:
    import ssl

_RESPONSE_BYTES = 16 * 1024  # of the answer to the upgrade
_TLS_ALERT = b"\x15"
_BUSY = (429, 503)
# How a server answers a request that is none for a WebSocket, or no more: the page for people, or
# what is wrong with the request (RFC 6455 4.2.2).
_AS_A_PAGE = (200, 400, 426)

_CONTROL, _CONTROL_BYTES = 8, 125  # opcodes from here on are control frames, which are short
_LEAST_LENGTHS = {126: 126, 127: 1 << 16}  # what a length in 16 or in 64 bits has to have
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3

_MEDIUM, _LONG = 126, 127  # lengths that say that 16 or 64 bits follow
# The first byte of a frame that is a whole message, and its opcode (RFC 6455 5.2).
_WHOLE = {b"\x81": websocket.ABNF.OPCODE_TEXT, b"\x82": websocket.ABNF.OPCODE_BINARY}

_OPCODES = {str: websocket.ABNF.OPCODE_TEXT, bytes: websocket.ABNF.OPCODE_BINARY}

_CUT_OFF = (
    ConnectionResetError,
    BrokenPipeError,
    websocket.WebSocketConnectionClosedException,
)
_LIBRARY_ERRORS = (OSError, ValueError, websocket.WebSocketException)


@dataclass(frozen=True)
class Way:
    """How a server, or the proxy on the way to it, was reached.

    ``family`` is ``IPv4`` or ``IPv6``; ``tls`` and ``certificate`` (DER) are empty without TLS.
    """

    family: str
    tls: str
    certificate: bytes


class _ClientAdapter(SocketAdapter):
    """For websocket-client."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream, ByteBudget(_RESPONSE_BYTES))
        self.first: bytes | None = None
        self.counting = False  # what comes is of a message
        self.counted = 0

    def recv(self, size: int) -> bytes:
        data = super().recv(size)
        if self.counting:
            self.counted += len(data)
        if self.first is None:
            self.first = data[:1]
        return data

    def gettimeout(self) -> None:
        return None

    def settimeout(self, timeout: float | None) -> None:
        pass


class _FrameBuffer(websocket._abnf.frame_buffer):
    """The library's reading of frames, with the MUSTs that it leaves out (RFC 6455 5.1, 5.2, 5.5).

    Raises WebSocketProtocolException.
    """

    header: tuple[int, ...]
    length: int

    def __init__(self, recv: Callable[[int], bytes], adapter: _ClientAdapter) -> None:
        self._adapter = adapter
        super().__init__(recv, skip_utf8_validation=False)  # of a close frame's reason

    def clear(self) -> None:
        super().clear()
        self._adapter.counting = False

    def recv_header(self) -> None:
        super().recv_header()
        final, _, _, _, opcode, masked, length = self.header
        if masked or (opcode >= _CONTROL and (not final or length > _CONTROL_BYTES)):
            self._refuse()
        self._adapter.counting = opcode < _CONTROL

    def recv_length(self) -> None:
        super().recv_length()
        least = _LEAST_LENGTHS.get(self.header[self._HEADER_LENGTH_INDEX], 0)
        if not least <= self.length < 1 << 63:
            self._refuse()

    def _refuse(self) -> None:
        raise websocket.WebSocketProtocolException("frame")


class ClientWebSocket(WebSocket):
    """See ``connect``."""

    def __init__(
        self,
        stream: Stream,
        adapter: _ClientAdapter,
        host: str,
        path: str,
        max_message_size: int,
        send_timeout: float,
    ) -> None:
        super().__init__(stream)
        self._adapter = adapter
        self._send_timeout = send_timeout
        self._send_progress = SendProgress()
        self._over = False  # the receiving thread's
        self._max_message_size = max_message_size
        self._library = websocket.WebSocket(enable_multithread=True, skip_utf8_validation=True)
        self._library.frame_buffer = _FrameBuffer(self._library.frame_buffer.recv, adapter)
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        try:
            self._library.connect(  # type: ignore[no-untyped-call]
                "ws://server" + path,  # only the path is used
                socket=adapter,
                host=host,
                header={"Sec-WebSocket-Key": key},
                suppress_origin=True,
                redirect_limit=0,
            )
        finally:
            _forget_cookies()
        _check_answer(self._library.headers, key)
        adapter.budget = ByteBudget.of_message(max_message_size)
        self._greeting: str | bytes | None = None  # received, and not handed out yet

    def await_greeting(self, deadline: float) -> None:
        """Wait for the first message, which ``receive`` then has at once.  Raises Unreachable."""
        try:
            self._greeting = self.receive(deadline - time.monotonic())
        except Closed:  # somebody was there, and has gone without an answer
            raise Unreachable("not_websocket") from None
        if self._greeting is None:
            raise Unreachable("timeout")

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        if self._greeting is not None:
            greeting, self._greeting = self._greeting, None
            return greeting
        if self._over:
            raise Closed
        if timeout is not None:
            timeout = time.monotonic() + max(timeout, 0.001)  # at least one look
        self._stream.set_deadline(timeout)
        try:
            whole = self._whole_message()
            return self._next() if whole is None else whole
        except (Interrupted, TimeoutError, websocket.WebSocketTimeoutException):
            return None  # the library goes on in the middle of the frame next time
        except Exception:  # whatever it was, the connection is over
            self._over = True
            self.abort()
            raise Closed from None

    def _next(self) -> str | bytes:
        opcode, data = self._library.recv_data()
        if opcode not in _OPCODES.values() or len(data) > self._max_message_size:
            raise Closed
        self._adapter.budget.renew()
        raw = bytes(data)
        return raw.decode() if opcode == websocket.ABNF.OPCODE_TEXT else raw

    def _whole_message(self) -> str | bytes | None:
        """The next message, where one frame has all of it, and all of that has come; as most do.

        Everything else is the library's: it goes through seventy functions for a message, which
        was 0.06 ms of 0.9 for each at 20 a second.
        """
        frames = self._library.frame_buffer
        if frames.header is not None or frames.recv_buffer or self._library.cont_frame.cont_data:
            return None  # it is in the middle of something
        begin = self._stream.peek()
        opcode = _WHOLE.get(begin[:1], 0)
        size, start = begin[1] if opcode and len(begin) > 1 else _LONG, 2
        if size == _MEDIUM and len(begin) >= 4:
            size, start = int.from_bytes(begin[2:4], "big"), 4
            if size < _LEAST_LENGTHS[_MEDIUM]:
                return None
        elif size >= _MEDIUM:  # longer, or masked
            return None
        end = start + size
        if len(begin) < end or size > self._max_message_size:
            return None
        data = self._stream.recv(end)[start:]
        adapter = self._adapter
        adapter.counted += end - 2
        adapter.budget.renew()
        return data.decode() if opcode == websocket.ABNF.OPCODE_TEXT else data

    def send(self, data: str | bytes) -> None:
        self.send_nowait(data)
        self.flush(time.monotonic() + self._send_timeout)

    def send_nowait(self, data: str | bytes) -> None:
        if self._closed:
            raise Closed
        try:
            self._library.send(data, _OPCODES[type(data)])
        except _LIBRARY_ERRORS:
            self.abort()
            raise Closed from None

    def moved(self) -> int:
        return self._adapter.counted + self._send_progress.look(*self._stream.output())

    def way(self) -> Way:
        """How the server was reached.  Raises OSError when that is over."""
        from .tls import TlsStream  # with ssl, which nothing else needs where there is no TLS

        stream = self._stream
        is_ipv6 = ":" in stream.getpeername()[0]
        version, certificate = stream.agreed() if isinstance(stream, TlsStream) else ("", b"")
        return Way("IPv6" if is_ipv6 else "IPv4", version, certificate)

    def round_trip(self, seconds: float) -> float | None:
        """Seconds until a ping is answered (RFC 6455 5.5.2); None if it is not in that time.

        For a moment in which nothing else is awaited.  Raises Closed.
        """
        payload = secrets.token_bytes(8)
        begun = time.monotonic()
        self._stream.set_deadline(begun + seconds)
        try:
            self._library.ping(payload)
            while True:
                opcode, data = self._library.recv_data(control_frame=True)
                if (opcode, bytes(data)) == (websocket.ABNF.OPCODE_PONG, payload):
                    return time.monotonic() - begun
        except (Interrupted, websocket.WebSocketTimeoutException):
            return None
        except _LIBRARY_ERRORS:
            self._over = True
            self.abort()
            raise Closed from None

    @property
    def stuck(self) -> bool:
        sent, taken = self._stream.output()
        return taken < sent

    @property
    def route(self) -> Route | None:
        return self._stream.route()

    def _send_close(self, code: int) -> None:
        self._library.send_close(code)

    def allow(self, max_message_size: int) -> None:
        self._max_message_size = max_message_size
        self._adapter.budget = ByteBudget.of_message(max_message_size)

    def finish(self, deadline: float) -> None:
        self.close()
        with contextlib.suppress(OSError):
            self._stream.flush(deadline)
            if not self._over:
                self._stream.drain(deadline)
        self._over = True
        self._stream.close()


def _check_answer(headers: Mapping[str, str], key: str) -> None:
    """What the library does not look at (RFC 6455 4.1).  Raises WebSocketException."""
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()  # noqa: S324
    if headers.get("sec-websocket-accept") != accept or any(
        headers.get(name) for name in ("sec-websocket-extensions", "sec-websocket-protocol")
    ):
        raise websocket.WebSocketException("answer")


def _forget_cookies() -> None:
    # A server could mark a client with one, and know it again under another nickname.
    with contextlib.suppress(AttributeError):
        websocket._handshake.CookieJar.jar.clear()


def connect_any(
    addresses: Sequence[Address],
    *,
    opened: Callable[[Stream], None] | None = None,
    timeout: float = 10.0,
    **options: Any,
) -> ClientWebSocket:
    """``connect`` with the first of these servers, of one chat, that answers, the best first.

    Each has ``timeout`` seconds.  ``address`` of what is returned is the one that was taken.
    Raises Unreachable, with its ``server`` where one of them is to blame.
    """

    def attempt(address: Address, hold: Opened, accepted: Accepted) -> ClientWebSocket:
        def watch(stream: Stream) -> None:
            if opened is not None:
                opened(stream)
            hold(stream)

        peer = connect(*address, timeout=timeout, opened=watch, accepted=accepted, **options)
        peer.address = address
        return peer

    return reach_any(addresses, timeout, attempt)


def connect(
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    server_hostname: str | None = None,
    timeout: float = 10.0,
    max_message_size: int,
    path: str = "/",
    send_timeout: float = 10.0,
    greeted: bool = False,
    opened: Callable[[Stream], None] | None = None,
    proxy: Proxy | None = None,
    accepted: Callable[[], None] = lambda: None,
) -> ClientWebSocket:
    """The client's side: for each address of ``host`` TLS if given, then the upgrade.

    The addresses are tried beside each other, and the first to answer wins: with the upgrade, or
    if ``greeted`` with its first message, which is there to be received then.  All of it together
    takes at most ``timeout`` seconds (the system's name service aside).  ``server_hostname`` is
    the name on the certificate if it is not ``host``.  ``opened`` gets each stream before it is
    used, in the thread that tries it, so that another thread can abort it; ``accepted`` is called
    there when one of them is.
    With ``proxy`` all of it goes through that one, whose addresses are tried instead, and nothing
    is ever dialled directly.
    A ``send`` that takes longer than ``send_timeout`` cuts the connection.  Raises Unreachable.
    """

    def upgrade(stream: Stream, header: str) -> ClientWebSocket:
        peer = _upgraded(stream, header, path, max_message_size, send_timeout)
        if greeted:
            peer.await_greeting(deadline)
        return peer

    deadline = time.monotonic() + timeout
    dialler = Dialler(host, port, deadline, tls, server_hostname, opened, proxy, accepted)
    return dialler.reach(upgrade)


def _upgraded(
    stream: Stream, host: str, path: str, max_message_size: int, send_timeout: float
) -> ClientWebSocket:
    adapter = _ClientAdapter(stream)
    try:
        return ClientWebSocket(stream, adapter, host, path, max_message_size, send_timeout)
    except (TimeoutError, websocket.WebSocketTimeoutException):
        raise Unreachable("timeout") from None
    except _CUT_OFF:  # somebody was there, and has gone without an answer
        if not adapter.first:
            raise Unreachable("hung_up") from None
        raise Unreachable("needs_tls" if adapter.first == _TLS_ALERT else "not_websocket") from None
    except OSError:
        raise Unreachable("network") from None
    except websocket.WebSocketBadStatusException as error:
        if error.status_code in _AS_A_PAGE:
            raise Unreachable("not_upgraded") from None
        raise Unreachable("busy" if error.status_code in _BUSY else "not_websocket") from None
    except Exception:  # whatever it is, it does not speak as it should
        raise Unreachable("needs_tls" if adapter.first == _TLS_ALERT else "not_websocket") from None
