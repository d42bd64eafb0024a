"""What one login costs the server: from accept to the roster, all that it does for it.

    python -m bench.login
"""

from __future__ import annotations

import time

from bench import tables
from bench.members import Member, Secrets, address
from bench.servers import Process, certificate, chat_server
from bench.wire import Loop

LOGINS = 200
TARGET = 4.0


def logins(server: Process, shared: Secrets, room_size: int) -> tuple[float, float]:
    """CPU seconds of one login, the server's and our own, into rooms that fill up to a size."""
    loop = Loop()
    members = [
        Member(loop, server, shared, "first", "first", address(5000))  # what is made only once
    ]
    loop.until(lambda: members[-1].inside)
    cpu, own = server.cpu(), time.process_time()
    for number in range(LOGINS):
        room = f"room{number // room_size}"
        members.append(
            Member(loop, server, shared, f"user{number:05}", room, address(number))
        )
        loop.until(lambda: members[-1].inside)
    loop.rest(0.2)  # those who were there are told
    found = (server.cpu() - cpu) / LOGINS, (time.process_time() - own) / LOGINS
    loop.close()
    return found


def main() -> None:
    """Measure and print."""
    shared = Secrets()
    rows = []
    with certificate() as cert:
        for room_size in (1, 10, 200):
            for chosen in (None, cert):
                rows.append(_row(shared, chosen, room_size))
    head = ("room fills up to", "server", "CPU", "target", "load's own")
    tables.show(f"Server CPU of one login, mean of {LOGINS}", head, rows)


def _row(shared: Secrets, cert: str | None, room_size: int) -> list[str]:
    with chat_server(cert) as server:
        cpu, own = logins(server, shared, room_size)
    # Of a large room most is its roster, which the target does not mean.
    goal = tables.target(cpu * 1000, TARGET) if room_size <= 10 else ""
    return [str(room_size), server.name, f"{cpu * 1000:.2f} ms", goal, f"{own * 1000:.2f} ms"]


if __name__ == "__main__":
    main()
