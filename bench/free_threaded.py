"""The server on CPython 3.14 without the interpreter's lock, beside the same one with it.

    python -m bench.free_threaded [--tls] [PYTHON ...]

Both servers run the same tree, in turns; the load runs on this Python, in one thread, and how much
of the cores it took is in the table.  Without ``PYTHON`` they are those of
``tools.platforms.pythons``; others may be named, of which the first is what the others are compared
with.  On two cores the load's own share bounds what the server can gain, so it is to be read with
the ratio.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
from collections.abc import Sequence
from functools import partial

from bench import tables
from bench.load import Busy, busy, interleaved, median_ratio
from bench.members import Crowd, Secrets
from bench.servers import Process, certificate, chat_server
from bench.wire import Loop
from tools.platforms import pythons

ROUNDS, SECONDS = 5, 1.0
HEAD = ("", "server", "deliveries/s", "ratio", "target", "us/delivery", "ratio", "target",
        "server's cores", "load's cores")  # fmt: skip
# Rooms, of how many, senders, in flight; how many times the deliveries; at how much of the CPU.
CASES = (
    (400, 2, 1, 1, 1.5, 1.2),
    (400, 2, 1, 8, None, None),
    (20, 10, 5, 1, 1.3, 1.2),
    (20, 10, 5, 8, None, None),
)


def measure(
    servers: Sequence[Process],
    shared: Secrets,
    case: tuple[int, int, int, int, float | None, float | None],
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
) -> list[list[str]]:
    """Rows for one case; the first server is what the others are compared with."""
    rooms, size, senders, in_flight, faster, dearer = case
    loop = Loop()
    crowds = [Crowd(loop, server, shared, size, senders, rooms) for server in servers]
    for crowd in crowds:
        busy(loop, crowd, in_flight, 0.3)  # the first posts of all pay for what is made once
    runs = [partial(busy, loop, crowd, in_flight, seconds) for crowd in crowds]
    found = interleaved(rounds, runs)
    loop.close()
    title = f"{rooms} x {size}, {senders} x {in_flight} in flight"
    rows = []
    for server, each in zip(servers, found, strict=True):
        rows.append([title, server.name, *_cells(each, found[0], faster, dearer)])
        title = ""
    return rows


def _cells(
    found: Sequence[Busy], first: Sequence[Busy], faster: float | None, dearer: float | None
) -> list[str]:
    rate = median_ratio([each.rate for each in found], [each.rate for each in first])
    cost = median_ratio([each.cost for each in found], [each.cost for each in first])
    other = found is not first
    return [
        f"{statistics.median(each.rate for each in found):,.0f}",
        f"{rate:.2f}",
        tables.target(rate, faster, least=True) if faster is not None and other else "",
        f"{statistics.median(each.cost for each in found):.1f}",
        f"{cost:.2f}",
        tables.target(cost, dearer) if dearer is not None and other else "",
        f"{statistics.median(each.cpu / each.seconds for each in found):.2f}",
        f"{statistics.median(each.own_cpu / each.seconds for each in found):.2f}",
    ]


def main(words: Sequence[str]) -> None:
    """Measure and print."""
    tls = "--tls" in words
    paths = [word for word in words if not word.startswith("--")]
    paths = paths or [str(pythons.interpreter(free)) for free in (False, True)]
    shared = Secrets()
    rows: list[list[str]] = []
    for case in CASES:
        with contextlib.ExitStack() as stack:
            cert = stack.enter_context(certificate()) if tls else None
            servers = [stack.enter_context(chat_server(cert, python=path)) for path in paths]
            for server, path in zip(servers, paths, strict=True):
                server.name = os.path.basename(path)
            rows += measure(servers, shared, case)
    tables.show("With the interpreter's lock and without", HEAD, rows)


if __name__ == "__main__":
    main(sys.argv[1:])
