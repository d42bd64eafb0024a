"""The server's half of the link, by docs/PROTOCOL.md, for servers that lie afterwards."""

from __future__ import annotations

import base64
import hashlib
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

from tests import second_crypto as crypto
from tests.second_link import compact, parse
from tests.second_socket import BINARY, TEXT

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
Frame = dict[str, Any]

WELCOME: Frame = {
    "type": "welcome", "resumed": False, "heartbeat_interval": 30, "heartbeat_timeout": 60,
    "max_message_size": 10240, "max_payload_size": 1048576, "rate_limit": 1000, "rate_window": 60,
}  # fmt: skip


class Gone(Exception):
    """The client has ended the connection."""


class Visit:
    """One client's connection: the handshake is done when it has been made, or Gone is raised.

    ``prs``: the right one, or one that proves nothing.
    """

    def __init__(self, sock: socket.socket, prs: bytes) -> None:
        self._sock = sock
        self._bytes = b""
        sock.settimeout(20.0)
        self._upgrade()
        nonce = secrets.token_bytes(16)
        greeting = compact({"type": "greeting", "version": 2, "nonce": crypto.to_text(nonce)})
        self._frame(TEXT, greeting.encode())
        hello = self.message()
        said: Frame = parse(hello)
        sid = nonce + crypto.from_text(said["nonce"], 16)
        rsa, kem = (crypto.from_text(said[n], s) for n, s in (("rsa", 256), ("kem", 1216)))
        k0, run = secrets.token_bytes(32), crypto.Cpace(prs, sid)
        info = crypto.labelled("cmdchat link key 1", hashlib.sha256(hello).digest())
        wrapped = crypto.wrap(k0, rsa, kem, info)
        key = {"type": "key", "wrapped": crypto.to_text(wrapped),
               "share": crypto.to_text(run.share)}  # fmt: skip
        self._frame(TEXT, compact(key).encode())
        theirs = crypto.labelled("cmdchat link recipient 1", rsa, kem)
        isk = run.as_responder(crypto.from_text(said["share"], 32), wrapped, theirs)
        spoken = (greeting.encode(), hello, compact(key).encode())
        salt = crypto.digest("cmdchat transcript 1", *spoken)
        self._key_in = crypto.hkdf(k0 + isk, salt, crypto.labelled("cmdchat link client 1"))
        self._key_out = crypto.hkdf(k0 + isk, salt, crypto.labelled("cmdchat link server 1"))
        self._sent = 0
        self.first = self.message()  # with `confirm` in it, if the client knows the same

    def confirm(self) -> Frame:
        """What the client's first record says."""
        found: Frame = self.open(self.first)[0]
        return found

    def open(self, record: bytes) -> list[Any]:
        frames: list[Any] = parse(crypto.unseal(self._key_in, crypto.padded(record))[8:])
        return frames

    def send(self, *frames: Frame) -> None:
        plain = crypto.u64(self._sent) + compact(list(frames)).encode()
        self._sent += 1
        token = crypto.seal(self._key_out, plain + b" " * (-len(plain) % 256))
        self._frame(BINARY, crypto.unpadded(token))

    def welcome(self, *frames: Frame, nick: str | None = None, members: int = 1) -> Frame:
        """Let it into its first room, as the first member, and no other; gives its `confirm`."""
        confirm = self.confirm()
        log = crypto.to_text(secrets.token_bytes(16))
        granted = confirm["nick"] if nick is None else nick
        me = {"id": 1, "nick": granted, "joined": 1, "bundle": confirm["bundle"]}
        first, *others = (stay["room"] for stay in confirm["stays"])
        entered = {"type": "entered", "at": 1, "room": first, "log": log, "id": 1, "seq": 1,
                   "members": members, "resumed": False, "missed": 0}  # fmt: skip
        roster = {"type": "roster", "members": [me]}
        refused = [{"type": "refused", "code": "room_full", "room": each} for each in others]
        self.send({**WELCOME, "nick": granted}, *refused, entered, roster, *frames)
        return confirm

    # The socket

    def message(self) -> bytes:
        """The next message.  Raises Gone."""
        while True:
            head = self._take(2)
            size = head[1] & 0x7F
            if size > 125:
                size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
            mask, payload = self._take(4), self._take(size)
            if head[0] & 0x0F in (TEXT, BINARY):
                stream = (mask * (size // 4 + 1))[:size]
                plain = int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")
                return plain.to_bytes(size, "big")
            if head[0] & 0x0F == 8:
                raise Gone()

    def _take(self, count: int) -> bytes:
        while len(self._bytes) < count:
            self._bytes += self._receive()
        taken, self._bytes = self._bytes[:count], self._bytes[count:]
        return taken

    def _receive(self) -> bytes:
        try:
            data = self._sock.recv(65536)
        except OSError:
            raise Gone() from None
        if not data:
            raise Gone()
        return data

    def _frame(self, kind: int, payload: bytes) -> None:
        size = len(payload)
        length = struct.pack("!BBH", kind | 0x80, 126, size) if size > 125 else bytes(
            (kind | 0x80, size))  # fmt: skip
        try:
            self._sock.sendall(length + payload)
        except OSError:
            raise Gone() from None

    def _upgrade(self) -> None:
        while b"\r\n\r\n" not in self._bytes:
            self._bytes += self._receive()
        head, _, self._bytes = self._bytes.partition(b"\r\n\r\n")
        lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        exact = next(line for line in head.split(b"\r\n") if line.lower().startswith(
            b"sec-websocket-key:"))  # fmt: skip
        key = exact.split(b":")[1].strip()
        if b"upgrade" not in lines:
            raise Gone()
        accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
        self._sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )


class Liar:
    """A server that does ``lie`` with every client that has proven itself.

    ``port`` is where it is, ``visits`` when each came.
    """

    def __init__(self, prs: bytes, lie: Callable[[Visit], None]) -> None:
        self._prs, self._lie = prs, lie
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.visits: list[float] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Liar:
        return self

    def __exit__(self, *_error: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            try:
                visit = Visit(sock, self._prs)
                self.visits.append(time.monotonic())
                self._lie(visit)
            except (Gone, ValueError):
                pass
