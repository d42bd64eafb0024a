"""What a flood of strangers costs the members: connections that ask for something and are gone.

    python -m bench.flood

Each sends TLS's greeting, or asks for the upgrade, hears a first answer, and cuts the connection;
64 of them at once, without end, from a process of its own and from a few addresses.
"""

from __future__ import annotations

import multiprocessing
import select
import socket
import ssl
import struct
import time
from multiprocessing.connection import Connection

from bench import tables
from bench.load import beside, gentle
from bench.members import Crowd, Secrets
from bench.servers import Process, each_server
from bench.wire import Loop

AT_ONCE, MEMBERS, SENDERS, A_SECOND, SECONDS = 64, 10, 2, 20.0, 5.0
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() cuts


def _tls_greeting() -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context.wrap_bio(incoming, outgoing).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def flood(port: int, first: bytes, end: Connection) -> None:
    """Strangers, until ``end`` says so; then how many a second have been answered."""
    poll, open_now, answered = select.epoll(), dict[int, socket.socket](), 0

    def come(number: int) -> None:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        sock.bind((f"127.9.0.{1 + number % 4}", 0))
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", port))
        open_now[sock.fileno()] = sock
        poll.register(sock.fileno(), select.EPOLLOUT)

    for number in range(AT_ONCE):
        come(number)
    began = time.monotonic()
    while not end.poll():
        for fd, event in poll.poll(0.1):
            sock = open_now[fd]
            try:
                if event == select.EPOLLOUT:
                    sock.send(first)
                    poll.modify(fd, select.EPOLLIN)
                    continue
                answered += bool(sock.recv(4096))
            except OSError:  # turned away
                pass
            poll.unregister(fd)
            del open_now[fd]
            sock.close()
            come(fd)
    end.send(answered / (time.monotonic() - began))


def measure(server: Process, shared: Secrets) -> list[list[str]]:
    """Rows: when it is quiet, and in the flood."""
    loop = Loop()
    crowd = Crowd(loop, server, shared, MEMBERS, SENDERS)
    gentle(loop, crowd, A_SECOND, 0.5)
    before = gentle(loop, crowd, A_SECOND, SECONDS)
    ours, theirs = multiprocessing.Pipe()
    greeting = _tls_greeting() if server.tls else UPGRADE
    strangers = multiprocessing.Process(target=flood, args=(server.port, greeting, theirs))
    strangers.start()
    loop.rest(0.5)
    after = gentle(loop, crowd, A_SECOND, SECONDS)
    ours.send("end")
    rate = ours.recv()
    strangers.join()
    loop.close()
    rows = []
    for name, found in (("quiet", before), (f"{rate:,.0f} strangers a second", after)):
        rows.append([name, server.name, *beside(found, before)])
    return rows


def main() -> None:
    """Measure and print."""
    shared = Secrets()
    rows = [row for server in each_server() for row in measure(server, shared)]
    tables.show(
        f"Strangers: a room of {MEMBERS}, {A_SECOND:g} posts a second",
        ("", "server", "p50", "ratio", "p99", "ratio"),
        rows,
    )


if __name__ == "__main__":
    main()
