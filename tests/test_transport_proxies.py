"""CONNECT and SOCKS 5 as they go over the wire, whatever a proxy answers, and TLS inside of TLS."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settings.proxies import Proxy
from tests import transport_kit
from tests.test_transport_websocket import listening, read_request
from tests.transport_kit import LONG, Certificate, Task, soon, tcp_pair, until
from transport import NOT_LET_IN, Unreachable, tls
from transport.client_websocket import connect
from transport.poller import Waker
from transport.proxies import open_through
from transport.stream import Interrupted, Stream
from transport.tls import TlsStream
from transport.tunnel import Tunnel

certificate = transport_kit.certificate
no_thread_left = transport_kit.no_thread_left

HTTP, SOCKS = Proxy("http", "p", 1), Proxy("socks5h", "p", 1)
HTTP_LOGIN = Proxy("http", "p", 1, "al", "pä")
SOCKS_LOGIN = Proxy("socks5h", "p", 1, "al", "pä")
OPENED = b"HTTP/1.1 200 OK\r\n\r\n"
SOCKS_OPENED = bytes((5, 0, 0, 1, 127, 0, 0, 1, 0, 9))


def asked(proxy: Proxy, answers: list[bytes], host: str = "chat.example", port: int = 1000) -> Any:
    """What is said to a proxy that answers so each time that it hears something, and what comes
    after the way is open; or why it is not."""
    near, far = tcp_pair()
    stream = Stream(near, interruptible=True)
    heard = []

    def answer() -> None:
        far.settimeout(LONG)
        for each in answers:
            heard.append(far.recv(65536))
            far.sendall(each)
        far.shutdown(socket.SHUT_WR)

    task = Task(answer)
    try:
        open_through(stream, proxy, host, port, soon())
        stream.set_deadline(soon())
        return heard, stream.recv(100)
    except Unreachable as error:
        return error.reason, error.status
    finally:
        stream.close()
        with contextlib.suppress(OSError):
            task.result()
        far.close()


@pytest.mark.parametrize(
    ("proxy", "host", "request_"),
    [
        (HTTP, "chat.example", b"CONNECT chat.example:1000 HTTP/1.1\r\n"
                               b"Host: chat.example:1000\r\n\r\n"),
        (HTTP, "2001:db8::1", b"CONNECT [2001:db8::1]:1000 HTTP/1.1\r\n"
                              b"Host: [2001:db8::1]:1000\r\n\r\n"),
        (HTTP, "fe80::1%eth0", b"CONNECT [fe80::1]:1000 HTTP/1.1\r\nHost: [fe80::1]:1000\r\n\r\n"),
        (HTTP, "bücher.example", b"CONNECT xn--bcher-kva.example:1000 HTTP/1.1\r\n"
                                 b"Host: xn--bcher-kva.example:1000\r\n\r\n"),
        (HTTP_LOGIN, "a", b"CONNECT a:1000 HTTP/1.1\r\nHost: a:1000\r\n"
                          b"Proxy-Authorization: Basic YWw6cMOk\r\n\r\n"),
    ],
)  # fmt: skip
def test_connect(proxy: Proxy, host: str, request_: bytes) -> None:
    """RFC 9110 9.3.6, RFC 7617; nothing that tells who asks, or what with."""
    assert asked(proxy, [OPENED + b"hi"], host) == ([request_], b"hi")


@pytest.mark.parametrize(
    ("host", "goal"),
    [
        ("chat.example", b"\x03\x0cchat.example"),
        ("bücher.example", b"\x03\x15xn--bcher-kva.example"),
        ("192.0.2.1", b"\x01\xc0\x00\x02\x01"),
        ("2001:db8::1", b"\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x01"),
        ("fe80::1%eth0", b"\x04\xfe\x80" + bytes(13) + b"\x01"),
    ],
)
def test_socks(host: str, goal: bytes) -> None:
    """RFC 1928, and RFC 1929 where there is a login, which is then the only way that is offered."""
    request = b"\x05\x01\x00" + goal + b"\x03\xe8"
    assert asked(SOCKS, [b"\x05\x00", SOCKS_OPENED + b"hi"], host) == (
        [b"\x05\x01\x00", request], b"hi",
    )  # fmt: skip
    assert asked(SOCKS_LOGIN, [b"\x05\x02", b"\x01\x00", SOCKS_OPENED + b"hi"], host) == (
        [b"\x05\x01\x02", b"\x01\x02al\x03p\xc3\xa4", request], b"hi",
    )  # fmt: skip


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 Connection established\r\nProxy-agent: x/1\r\n\r\n",
        b"HTTP/1.1 204\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 \xff\xfe\nA: b\n\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 x\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_a_way_is_open(answer: bytes) -> None:
    """RFC 9110 9.3.6: any 2xx, of which no header says where the end is; interim ones before."""
    assert asked(HTTP, [answer + b"\x16hi"])[1] == b"\x16hi"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\nno", ("proxy_refused", "HTTP 403")),
        (b"HTTP/1.1 302 Found\r\nLocation: http://x/\r\n\r\n", ("proxy_refused", "HTTP 302")),
        (b"HTTP/1.1 101 Switching\r\n\r\n", ("proxy_refused", "HTTP 101")),
        (b"HTTP/1.1 502 Bad\r\nContent-Length: 9\r\n\r\n", ("proxy_failed", "HTTP 502")),
        (b"HTTP/1.0 999 \r\n\r\n", ("proxy_failed", "HTTP 999")),
        (b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=x\r\n\r\n", ("proxy_login", "")),
        (b"HTTP/1.1 407 Who\r\n\r\n", ("proxy_login", "")),
        (b"HTTP/1.1 407 x\r\nproxy-authenticate: NTLM, basic realm=x\r\n\r\n", ("proxy_login", "")),
        (b"HTTP/1.1 407 x\r\nProxy-Authenticate: Negotiate\r\n\r\n", ("proxy_scheme", "")),
        (b'HTTP/1.1 407 x\r\nProxy-Authenticate: Digest a="basically"\r\n\r\n',
         ("proxy_scheme", "")),
        (b"", ("proxy_closed", "")),
        (b"HTTP/1.1 200 OK\r\nA: b", ("proxy_closed", "")),
        (b"\x15\x03\x01\x00\x02\x02\x28\n", ("proxy_strange", "")),
        (b"\x05\xff\n", ("proxy_strange", "")),
        (b"HTTP/2 200\r\n\r\n", ("proxy_strange", "")),
        (b"HTTP/1.1 20x\r\n\r\n", ("proxy_strange", "")),
        (b"HTTP/1.1 099 x\r\n\r\n", ("proxy_strange", "")),
        (b"HTTP/1.1 2000 x\r\n\r\n", ("proxy_strange", "")),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 5000, ("proxy_strange", "")),
        (b"HTTP/1.1 200 " + b"x" * 50_000, ("proxy_strange", "")),
        (b"HTTP/1.1 100 x\r\n\r\n" * 2000, ("proxy_strange", "")),
    ],
)  # fmt: skip
def test_why_an_http_proxy_opens_nothing(answer: bytes, reason: tuple[str, str]) -> None:
    assert asked(HTTP, [answer]) == reason


def test_a_login_that_is_wrong() -> None:
    basic = b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=x\r\n\r\n"
    assert asked(HTTP_LOGIN, [basic]) == ("proxy_password", "")
    assert asked(HTTP_LOGIN, [b"HTTP/1.1 401 Unauthorized\r\n\r\n"]) == ("proxy_password", "")
    assert asked(SOCKS_LOGIN, [b"\x05\x02", b"\x01\x01"]) == ("proxy_password", "")
    assert asked(SOCKS_LOGIN, [b"\x05\xff"]) == ("proxy_scheme", "")
    # Not without it either, where it was given.
    assert asked(SOCKS_LOGIN, [b"\x05\x00"]) == ("proxy_scheme", "")
    assert {"proxy_login", "proxy_password", "proxy_scheme"} == set(NOT_LET_IN)


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([b"\x05\xff"], ("proxy_login", "")),
        ([b"\x05\x02"], ("proxy_login", "")),
        ([b"\x04\x00"], ("proxy_strange", "")),
        ([b"HT"], ("proxy_strange", "")),
        ([b""], ("proxy_closed", "")),
        ([b"\x05"], ("proxy_closed", "")),
        ([b"\x05\x00", b"\x05\x02\x00\x01"], ("proxy_refused", "SOCKS 2")),
        ([b"\x05\x00", b"\x05\x05\x00\x01"], ("proxy_failed", "SOCKS 5")),
        ([b"\x05\x00", b"\x05\xff\x00\x00"], ("proxy_failed", "SOCKS 255")),
        ([b"\x05\x00", b"\x04\x00\x00\x01" + bytes(6)], ("proxy_strange", "")),
        ([b"\x05\x00", b"\x05\x00\x00\x02" + bytes(6)], ("proxy_strange", "")),
        ([b"\x05\x00", b"\x05\x00\x00\x01" + bytes(5)], ("proxy_closed", "")),
        ([b"\x05\x00", b""], ("proxy_closed", "")),
    ],
)  # fmt: skip
def test_why_a_socks_proxy_opens_nothing(answers: list[bytes], reason: tuple[str, str]) -> None:
    assert asked(SOCKS, answers) == reason


@pytest.mark.parametrize("kind", [b"\x01" + bytes(4), b"\x04" + bytes(16), b"\x03\x05hello"])
def test_where_a_socks_proxy_connects_from_is_no_part_of_what_follows(kind: bytes) -> None:
    assert asked(SOCKS, [b"\x05\x00", b"\x05\x00\x00" + kind + b"\x00\x09hi"])[1] == b"hi"


def test_names_that_no_proxy_could_be_asked_for() -> None:
    for host in ("ü" * 300, "ä..b", "x" * 256):
        assert asked(SOCKS, [b"\x05\x00"], host) == ("name", ""), host
    assert asked(HTTP, [], "ä..b") == ("name", "")


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from([b"\x05\x00", b"\x05\x02", b"\x01\x00", b"\x05\x00\x00\x03", b"\r\n",
                             b"HTTP/1.1 200 OK", b"HTTP/1.1 407 \r\nProxy-Authenticate: "]),
        ),
        max_size=6,
    ),
    st.sampled_from([HTTP, SOCKS, SOCKS_LOGIN]),
)  # fmt: skip
def test_whatever_a_proxy_says(answers: list[bytes], proxy: Proxy) -> None:
    near, far = tcp_pair()
    stream = Stream(near)
    far.sendall(b"".join(answers))
    far.shutdown(socket.SHUT_WR)
    try:
        open_through(stream, proxy, "chat.example", 1000, soon())
    except Unreachable as error:
        assert error.reason.startswith("proxy_")
    finally:
        stream.close()
        far.close()


def test_a_proxy_that_says_one_byte_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline is for all of it."""
    near, far = tcp_pair()
    now = [0.0]
    stream = Stream(near, clock=lambda: now[0])

    def drip() -> None:
        with contextlib.suppress(OSError):
            for byte in b"HTTP/1.1 200 OK\r\nA: " + b"b" * 1000:
                now[0] += 1.0
                far.send(bytes((byte,)))

    task = Task(drip)
    with pytest.raises(Unreachable) as failure:
        open_through(stream, HTTP, "a", 1, 30.0)
    assert failure.value.reason == "proxy_timeout"
    stream.close()
    far.close()
    task.result()


def test_a_proxy_can_be_left_at_any_moment() -> None:
    near, far = tcp_pair()
    stream = Stream(near)
    task = Task(open_through, stream, HTTP, "a", 1, soon())
    assert far.recv(1000)
    stream.abort()
    with pytest.raises(Unreachable, match="unreachable") as failure:
        task.result()
    assert failure.value.reason == "proxy_closed"
    stream.close()
    far.close()


# A stream inside of another one


@contextlib.contextmanager
def layered(
    certificate: Certificate, outside: str, **options: Any
) -> Iterator[tuple[TlsStream, TlsStream]]:
    """TLS inside of what ``outside`` is: the client's end, on a tunnel, and the server's."""
    if outside == "tls":
        below, above = transport_kit.tls_pair(certificate)
    else:
        near, far = tcp_pair()
        below, above = Stream(near), Stream(far)  # type: ignore[assignment]
    client = TlsStream(
        Tunnel.socket(below), tls.client_context(certificate.cert_path),
        server_hostname="localhost", interruptible=True, **options,
    )  # fmt: skip
    context = tls.server_context(certificate.cert_path, certificate.key_path)
    server = TlsStream(Tunnel.socket(above), context, **options)
    shaking = Task(server.handshake, soon())
    client.handshake(soon())
    shaking.result()
    try:
        yield client, server
    finally:
        for stream in (client, server):
            stream.close()
        assert below.fileno() == above.fileno() == -1  # freed with what is on top


@pytest.mark.parametrize("outside", ["plain", "tls"])
def test_both_directions_at_once_inside_of_a_stream(
    certificate: Certificate, outside: str
) -> None:
    """More than any buffer holds, each end writing before it reads; and each gets the end."""
    data = bytes(range(256)) * 12_000

    def talk(stream: Stream) -> bytes:
        writing = Task(write, stream)
        read = transport_kit.read_exactly(stream, len(data))
        writing.result()
        return read

    def write(stream: Stream) -> None:
        for place in range(0, len(data), 100_000):
            stream.send(data[place : place + 100_000])
            stream.flush(soon())

    with layered(certificate, outside, bound=1 << 24) as ends:
        tasks = [Task(talk, end) for end in ends]
        assert [task.result() == data for task in tasks] == [True, True]
        ends[0].shutdown()
        ends[1].set_deadline(soon())
        assert ends[1].recv(10) == b""


@pytest.mark.parametrize("outside", ["plain", "tls"])
def test_what_waits_is_known_on_top(certificate: Certificate, outside: str) -> None:
    """A peer that reads nothing: what has not gone out is in the backlog, and bounded there."""
    with layered(certificate, outside, bound=1 << 20) as (client, server):
        size = 0
        while not client.backlog:
            client.send(bytes(50_000))
            size += 50_000
        reading = Task(transport_kit.read_exactly, server, size)
        client.flush(soon())
        assert client.backlog == 0
        assert reading.result() == bytes(size)
        with pytest.raises(OSError):  # more than may wait
            while True:
                client.send(bytes(100_000))


@pytest.mark.parametrize("outside", ["plain", "tls"])
def test_who_waits_inside_is_woken(certificate: Certificate, outside: str) -> None:
    with layered(certificate, outside) as (client, server):
        waiting = Task(client.recv, 10)
        until(lambda: client._inside)
        client.interrupt()
        with pytest.raises(Interrupted):
            waiting.result()
        waiting = Task(client.recv, 10)
        until(lambda: client._inside)
        client.abort()
        assert waiting.result() == b""
        server.set_deadline(soon())
        assert server.recv(10) == b""


def test_a_tunnel_that_leads_nowhere_frees_what_it_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stream has a descriptor to be woken by; a client that tries for hours has no leak."""
    living: set[Waker] = set()

    class Counted(Waker):
        def __init__(self) -> None:
            super().__init__()
            living.add(self)

        def close(self) -> None:
            super().close()
            living.remove(self)

    def no_tls(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        sock.recv(1)
        sock.sendall(b"HTTP/1.1 400 No\r\n\r\n")

    monkeypatch.setattr("transport.stream.Waker", Counted)
    with listening(no_tls) as port:
        proxy = Proxy("http", "127.0.0.1", port)
        with pytest.raises(Unreachable) as caught:
            connect(
                "chat.example", 443, tls=tls.client_context(), max_message_size=1000, proxy=proxy,
                timeout=LONG,
            )  # fmt: skip
    assert caught.value.reason == "not_tls"
    until(lambda: not living)
