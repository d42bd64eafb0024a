"""Small proxies of the tests' own: CONNECT, spoken to over TLS or not, and SOCKS 5.

They are written from the RFCs alone and share nothing with what they are to try.
"""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import selectors
import socket
import ssl
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

LONG = 30.0  # seconds; against hanging only
Address = tuple[str, int]


class Proxy:
    """A proxy on a free port of the loopback interface, for as long as its ``with`` block.

    ``kind`` is ``http``, ``https`` (with ``tls``), ``socks5`` or ``socks5h``. ``login``: the user
    and password that it wants. ``leads``: where names lead that nobody else knows; it goes nowhere
    else but to this machine. ``answer``: the bytes that it answers, in place of what is right, to
    the request to go somewhere; then it hangs up.

    ``visits``: so many came; ``asked`` are the addresses that it was asked for, ``logins`` what it
    was told to get in by.
    """

    def __init__(
        self,
        kind: str = "http",
        *,
        login: tuple[str, str] | None = None,
        leads: Mapping[str, Address] | None = None,
        answer: bytes | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.kind, self.login, self.leads = kind, login, dict(leads or {})
        self.answer, self._tls = answer, tls
        self.asked: list[Address] = []
        self.logins: list[tuple[str, str] | None] = []
        self.visits = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()  # guards what is below
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._over = False

    def url(self, user: str | None = None, password: str = "") -> str:
        """As ``--proxy`` takes it."""
        login = "" if user is None else f"{quote(user, safe='')}:{quote(password, safe='')}@"
        return f"{self.kind}://{login}127.0.0.1:{self.port}"

    def __enter__(self) -> Proxy:
        self._start(self._accept)
        return self

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._over = True
        socket.create_connection(("127.0.0.1", self.port)).close()
        self.cut()
        while self._threads:
            thread = self._threads.pop()
            thread.join(LONG)
            assert not thread.is_alive(), "a proxy hangs"
        self._listener.close()

    def cut(self) -> None:
        """End all connections; new ones are served."""
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, name="proxy")  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            near = self._listener.accept()[0]
            if self._over:
                near.close()
                return
            self.visits += 1
            self._start(self._serve, near)

    def _hold(self, sock: socket.socket) -> socket.socket:
        sock.settimeout(LONG)
        with self._lock:
            self._open.append(sock)
            if self._over:
                sock.shutdown(socket.SHUT_RDWR)
        return sock

    def _serve(self, near: socket.socket) -> None:
        held = [self._hold(near)]
        try:
            if self.kind == "https":
                assert self._tls is not None
                near = self._tls.wrap_socket(near, server_side=True)
                held.append(near)
            far = self._way(near)
            if far is not None:
                held.append(self._hold(far))
                _relay(near, far)
        except OSError:
            pass  # cut, or one of the others has gone
        finally:
            with self._lock:
                for sock in held:
                    sock.close()
                self._open = [sock for sock in self._open if sock not in held]

    def _way(self, near: socket.socket) -> socket.socket | None:
        """A connection to where ``near`` wants to go; None if it is not to."""
        speak = self._speak_socks if self.kind.startswith("socks") else self._speak_http
        asked = speak(near)
        if asked is None:
            return None
        self.asked.append(asked)
        if self.answer is not None:
            near.sendall(self.answer)
            return None
        goal = self.leads.get(asked[0], asked)
        try:
            assert ipaddress.ip_address(goal[0]).is_loopback, "tests stay on this machine"
            far = socket.create_connection(goal, LONG)
        except (OSError, ValueError):
            near.sendall(self._could_not())
            return None
        near.sendall(self._could())
        return far

    def _could(self) -> bytes:
        if self.kind.startswith("socks"):
            return bytes((5, 0, 0, 1, 127, 0, 0, 1, 0, 9))
        return b"HTTP/1.0 200 Connection established\r\nProxy-agent: tests\r\n\r\n"

    def _could_not(self) -> bytes:
        if self.kind.startswith("socks"):
            return bytes((5, 4, 0, 3, 1)) + b"x" + bytes(2)
        return b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno"

    # HTTP

    def _speak_http(self, near: socket.socket) -> Address | None:
        begun = _exactly(near, 1)
        if begun != b"C":
            near.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return None
        lines = (begun + _until(near, b"\r\n\r\n")).decode().split("\r\n")
        method, goal, version = lines[0].split(" ")
        assert (method, version) == ("CONNECT", "HTTP/1.1") and f"Host: {goal}" in lines, lines
        host, _colon, port = goal.rpartition(":")
        login = None
        for line in lines[1:]:
            name, _colon, value = line.partition(": ")
            if name == "Proxy-Authorization":
                told = base64.b64decode(value.removeprefix("Basic ")).decode()
                login = told.partition(":")[0], told.partition(":")[2]
        self.logins.append(login)
        if self.login is not None and login != self.login:
            near.sendall(
                b"HTTP/1.1 407 Proxy Authentication Required\r\n"
                b'Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: Basic realm="tests"\r\n\r\n'
            )
            return None
        return host.strip("[]"), int(port)

    # SOCKS

    def _speak_socks(self, near: socket.socket) -> Address | None:
        version, count = _exactly(near, 2)
        if version != 5:
            raise ConnectionResetError
        wanted = 0 if self.login is None else 2
        if wanted not in _exactly(near, count):
            near.sendall(b"\x05\xff")
            return None
        near.sendall(bytes((5, wanted)))
        login = None
        if wanted:
            assert _exactly(near, 1) == b"\x01"
            user = _exactly(near, _exactly(near, 1)[0]).decode()
            login = user, _exactly(near, _exactly(near, 1)[0]).decode()
        self.logins.append(login)
        if wanted:
            near.sendall(bytes((1, 0 if login == self.login else 7)))
            if login != self.login:
                return None
        head = _exactly(near, 4)
        assert head[:3] == bytes((5, 1, 0))
        if head[3] == 3:
            host = _exactly(near, _exactly(near, 1)[0]).decode("ascii")
        else:
            host = str(ipaddress.ip_address(_exactly(near, {1: 4, 4: 16}[head[3]])))
        return host, int.from_bytes(_exactly(near, 2), "big")


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise ConnectionResetError
        data += part
    return data


def _until(sock: socket.socket, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        data += _exactly(sock, 1)
    return data


def _relay(near: socket.socket, far: socket.socket) -> None:
    """Both ways, until either ends."""
    other = {near: far, far: near}
    with selectors.DefaultSelector() as selector:
        for sock in other:
            selector.register(sock, selectors.EVENT_READ)
        while True:
            for key, _mask in selector.select():
                begin: Any = key.fileobj
                data = begin.recv(65536)
                if not data:
                    return
                other[begin].sendall(data)
                while isinstance(begin, ssl.SSLSocket) and begin.pending():
                    other[begin].sendall(begin.recv(65536))
