"""How long a post takes to everybody, in a room of 50 with 20 posts a second.

    python -m bench.latency
"""

from __future__ import annotations

import statistics
from functools import partial

from bench import tables
from bench.load import gentle, interleaved, median_ratio, percentile
from bench.members import Crowd, Secrets
from bench.servers import three_servers
from bench.wire import Loop

MEMBERS, SENDERS, A_SECOND = 50, 5, 20.0
ROUNDS, SECONDS = 5, 4.0
TARGET = 1.5
SHARES = (0.5, 0.95, 0.99)


def main() -> None:
    """Measure and print."""
    shared, loop = Secrets(), Loop()
    with three_servers() as servers:
        crowds = [Crowd(loop, server, shared, MEMBERS, SENDERS) for server in servers]
        for crowd in crowds:
            gentle(loop, crowd, A_SECOND, 0.5)
        cases = [partial(gentle, loop, crowd, A_SECOND, SECONDS) for crowd in crowds]
        found = interleaved(ROUNDS, cases)
        loop.close()
    rows = []
    for server, rounds in zip(servers, found, strict=True):
        row = [server.name]
        for share in SHARES:
            own = [percentile(each, share) for each in rounds]
            other = [percentile(each, share) for each in found[-1]]
            ratio = median_ratio(own, other)
            row += [f"{statistics.median(own) * 1000:.2f} ms", f"{ratio:.2f}"]
        row.append(tables.target(ratio, TARGET) if server.chat else "")
        rows.append(row)
    title = f"Latency, room of {MEMBERS}, {A_SECOND:g} posts a second"
    head = ("server", "p50", "ratio", "p95", "ratio", "p99", "ratio", "target")
    tables.show(title, head, rows)


if __name__ == "__main__":
    main()
