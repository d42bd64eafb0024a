"""What delivery costs the server: CPU for one delivered message, and deliveries a second.

    python -m bench.delivery [--all | --small]

Rooms of 50 and 200, five senders, 8 and 64 posts of each on their way; with ``--all`` also a room
of 10, one post on its way, and 1,000 rooms of 2.  ``--small``: where people are, in many small
rooms with one line at a time, and two large ones over TLS, each with its target.  The ratio is the
median over the rounds of the ratios to the reference's rounds between them.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from functools import partial

from bench import tables
from bench.load import Busy, busy, interleaved, median_ratio
from bench.members import Crowd, Secrets
from bench.servers import Process, certificate, chat_server, reference_server, three_servers
from bench.wire import Loop

SENDERS = 5
ROUNDS, SECONDS = 5, 1.0
TARGETS = {(50, 8): 0.6, (200, 8): 0.6, (50, 64): 0.4, (200, 64): 0.4}
SMALL = (  # whether over TLS, rooms, members of each, senders of each, targets by what is in flight
    (False, 400, 2, 1, {1: 2.0, 8: 1.0}),
    (False, 20, 10, SENDERS, {1: 0.9, 8: 0.5}),
    (True, 1, 50, SENDERS, {8: 0.36}),
    (True, 1, 200, SENDERS, {64: 0.18}),
    (True, 1000, 2, 1, {1: 2.2}),
)
HEAD = (
    "",
    "server",
    "us/delivery",
    "ratio",
    "target",
    "deliveries/s",
    "ratio",
    "load us/delivery",
)


def measure(
    servers: Sequence[Process],
    shared: Secrets,
    size: int,
    in_flights: Sequence[int],
    senders: int = SENDERS,
    rooms: int = 1,
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
    targets: Mapping[int, float] | None = None,
) -> list[list[str]]:
    """Rows for rooms of one size; the last server is what the others are compared with.

    ``targets`` by how many are in flight, where they are not those of ``TARGETS``.
    """
    loop = Loop()
    crowds = [Crowd(loop, server, shared, size, senders, rooms) for server in servers]
    rows: list[list[str]] = []
    for in_flight in in_flights:
        for crowd in crowds:
            busy(loop, crowd, in_flight, 0.2)  # the first posts of all pay for what is made once
        cases = [partial(busy, loop, crowd, in_flight, seconds) for crowd in crowds]
        title = f"{rooms} x {size}" if rooms > 1 else f"room of {size}"
        title += f", {senders} x {in_flight} in flight"
        if targets is not None:
            target = targets.get(in_flight)
        else:
            target = TARGETS.get((size, in_flight)) if rooms == 1 else None
        rows += _rows(title, target, servers, interleaved(rounds, cases))
    loop.close()
    return rows


def _rows(
    title: str, target: float | None, servers: Sequence[Process], found: list[list[Busy]]
) -> list[list[str]]:
    rows = []
    for server, rounds in zip(servers, found, strict=True):
        ratio = median_ratio([each.cost for each in rounds], [each.cost for each in found[-1]])
        speed = median_ratio([each.rate for each in rounds], [each.rate for each in found[-1]])
        rows.append(
            [
                title,
                server.name,
                f"{statistics.median(each.cost for each in rounds):.2f}",
                f"{ratio:.2f}",
                tables.target(ratio, target) if target is not None and server.chat else "",
                f"{statistics.median(each.rate for each in rounds):,.0f}",
                f"{speed:.2f}",
                f"{statistics.median(each.own_cost for each in rounds):.2f}",
            ]
        )
        title = ""
    return rows


def measure_small() -> None:
    """The rows of ``SMALL``, each beside the reference alone."""
    shared = Secrets()
    rows: list[list[str]] = []
    with certificate() as cert:
        for tls, rooms, size, senders, targets in SMALL:
            with chat_server(cert if tls else None) as server, reference_server(cert) as reference:
                rows += measure(
                    [server, reference],
                    shared,
                    size,
                    tuple(targets),
                    senders=senders,
                    rooms=rooms,
                    targets=targets,
                )
    tables.show("Delivery in small rooms, server CPU and rate", HEAD, rows)


def main(everything: bool) -> None:
    """Measure and print."""
    shared = Secrets()
    rows: list[list[str]] = []
    in_flights = (1, 8, 64) if everything else (8, 64)
    for size in (10, 50, 200) if everything else (50, 200):
        with three_servers() as servers:
            rows += measure(servers, shared, size, in_flights)
    tables.show("Delivery, server CPU and rate", HEAD, rows)
    if everything:
        with three_servers() as servers:
            rows = measure(servers, shared, 2, (1, 8), senders=1, rooms=1000, rounds=3)
        tables.show("1,000 rooms of 2 busy at once", HEAD, rows)


if __name__ == "__main__":
    if "--small" in sys.argv[1:]:
        measure_small()
    else:
        main("--all" in sys.argv[1:])
