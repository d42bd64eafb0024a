"""Whether the server's memory stays flat: a constant load, and visitors who come and go.

    python -m bench.memory [MINUTES]
"""

from __future__ import annotations

import sys
import time

from bench import tables
from bench.load import gentle
from bench.members import Crowd, Secrets
from bench.servers import certificate, chat_server
from bench.wire import Loop

MEMBERS, SENDERS, A_SECOND = 50, 5, 20.0
VISITORS, STAY = 5, 10.0  # so many, for so many seconds, one party after another
BEATS = {"HEARTBEAT_INTERVAL": "10", "HEARTBEAT_TIMEOUT": "30"}


def main(minutes: int) -> None:
    """Measure and print."""
    shared, loop = Secrets(), Loop()
    rows = []
    # TLS has more to keep for each connection; the grace is what visitors leave behind.
    with certificate() as cert, chat_server(cert, BEATS) as server:
        crowd = Crowd(loop, server, shared, MEMBERS, SENDERS)
        start, visits = time.monotonic(), 0
        for minute in range(minutes + 1):
            while time.monotonic() < start + minute * 60:
                party = Crowd(loop, server, shared, VISITORS, 1, first=1000 + visits)
                visits += VISITORS
                gentle(loop, crowd, A_SECOND, STAY)
                for member in crowd.everybody:
                    member.beat()
                for visitor in party.everybody:
                    visitor.close()
            rss, threads = server.status("VmRSS"), server.status("Threads")
            rows.append([str(minute), str(crowd.posts()), str(visits), f"{rss} KB", str(threads)])
            print(f"minute {minute}: {rss} KB, {threads} threads", file=sys.stderr, flush=True)
        cpu = server.cpu() / (time.monotonic() - start)
        loop.close()
    title = f"Memory over TLS: {MEMBERS} members, {A_SECOND:g} posts a second; CPU {cpu:.0%}"
    tables.show(title, ("minute", "posts", "visits", "memory", "threads"), rows)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
