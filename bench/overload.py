"""What two who do not read cost the others: one frozen, one that takes a byte a second.

    python -m bench.overload

A room of 200 beside 1,000 idle connections.  First everybody reads; then two stop, a burst fills
what the system keeps for them, and the others' latency is measured again.
"""

from __future__ import annotations

import time

from bench import tables
from bench.load import beside, busy, gentle, percentile
from bench.members import Crowd, Secrets, Talker
from bench.servers import Process, each_server
from bench.wire import Loop

IDLE, MEMBERS, SENDERS, A_SECOND = 1000, 200, 5, 20.0
SECONDS = 8.0
BURST = 2.0  # seconds; some thousand posts, more than the system takes for who does not read
TARGET = 2.0


class _Trickle(Loop):
    """A loop in which one member takes a byte a second."""

    slow: Talker | None = None
    _next = 0.0

    def turn(self, seconds: float) -> None:
        super().turn(min(seconds, 1.0))
        if self.slow is not None and time.monotonic() >= self._next:
            self._next = time.monotonic() + 1.0
            self.slow.read_one()


def measure(server: Process, shared: Secrets) -> list[list[str]]:
    """Rows: with everybody reading, and with two who do not."""
    idle, loop = Loop(), _Trickle()
    Crowd(idle, server, shared, 20, 0, IDLE // 20, first=1000)
    crowd = Crowd(loop, server, shared, MEMBERS, SENDERS)
    busy(loop, crowd, 8, BURST)
    before = gentle(loop, crowd, A_SECOND, SECONDS)
    for each in crowd.rooms[0][SENDERS : SENDERS + 2]:
        each.muted = True
        each.pause()
    loop.slow = crowd.rooms[0][SENDERS]
    busy(loop, crowd, 8, BURST)
    after = gentle(loop, crowd, A_SECOND, SECONDS)
    loop.close()
    idle.close()
    rows = []
    for name, found in (("everybody reads", before), ("two do not", after)):
        late = percentile(found, 0.99) / percentile(before, 0.99)
        goal = tables.target(late, TARGET) if found is after else ""
        rows.append([name, server.name, *beside(found, before), goal])
    return rows


def main() -> None:
    """Measure and print."""
    shared = Secrets()
    rows = [row for server in each_server() for row in measure(server, shared)]
    head = ("", "server", "p50", "ratio", "p99", "ratio", "target")
    tables.show(f"Overload: {IDLE:,} idle, a room of {MEMBERS}", head, rows)


if __name__ == "__main__":
    main()
