"""1,000 clients that come back at once after the server was started again.

    python -m bench.restart
"""

from __future__ import annotations

import time

from bench import tables
from bench.members import Member, Secrets, address
from bench.servers import certificate, chat_server
from bench.wire import Loop

CLIENTS, ROOM = 1000, 50


def come_back(cert: str | None, shared: Secrets) -> list[str]:
    """A row: everybody connects in one moment, into rooms of 50."""
    with chat_server(cert) as server:
        port = server.port
    with chat_server(cert, port=port) as server:  # the same address, and nothing is known
        loop = Loop()
        cpu, own, start = server.cpu(), time.process_time(), time.monotonic()
        members = [
            Member(loop, server, shared, f"user{each:05}", f"room{each // ROOM}", address(each))
            for each in range(CLIENTS)
        ]
        loop.until(lambda: all(each.inside for each in members))
        seconds = time.monotonic() - start
        loop.rest(0.5)  # the last ones' neighbours are told
        row = [
            server.name,
            f"{seconds:.1f} s",
            f"{server.cpu() - cpu:.1f} s",
            f"{(server.cpu() - cpu) / CLIENTS * 1000:.1f} ms",
            f"{time.process_time() - own:.1f} s",
        ]
        loop.close()
    return row


def main() -> None:
    """Measure and print."""
    shared = Secrets()
    with certificate() as cert:
        rows = [come_back(chosen, shared) for chosen in (None, cert)]
    head = ("server", "all are in", "server CPU", "each", "load's own CPU")
    tables.show(f"{CLIENTS:,} clients back at once, rooms of {ROOM}", head, rows)


if __name__ == "__main__":
    main()
