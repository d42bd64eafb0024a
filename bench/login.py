"""What one login costs the server: from accept to the roster, all that it does for it.

    python -m bench.login

People come in one after another, each as soon as the one before is in, and the rooms that they come
into fill up: so a room of 200 is one of 100 on the way, which has to be told of each, and whose
members are each one's roster.  The reference's is TLS and the upgrade, and nobody has to prove
anything.
"""

from __future__ import annotations

import statistics
import time
from functools import partial
from typing import NamedTuple

from bench import tables
from bench.load import interleaved, median_ratio
from bench.members import Secrets, newcomer
from bench.servers import Nodes, Process, three_servers
from bench.wire import Loop

SIZES = {1: (7, 50), 10: (7, 50), 200: (3, 200)}  # room size: rounds, logins in each
TARGETS = {1: 4.0, 10: 4.0, 200: 5.0}


class Logins(NamedTuple):
    """A round's CPU seconds for one login, the server's and the load generator's."""

    cpu: float
    own: float


class Door:
    """Where people come in one after the other, and stay."""

    def __init__(self, loop: Loop, server: Process | Nodes, shared: Secrets) -> None:
        self.server, self._loop, self._shared = server, loop, shared
        self._number = 0
        self.enter(1, 1)  # what is made only once

    def enter(self, count: int, room_size: int) -> Logins:
        """So many, into new rooms that fill up to a size."""
        cpu, own = self.server.cpu(), time.process_time()
        first, self._number = self._number, self._number + count
        for number in range(first, self._number):
            room = f"room{room_size}-{first}-{(number - first) // room_size}"
            comer = newcomer(self._loop, self.server, self._shared, number, room)
            self._loop.until(lambda: comer.inside)  # noqa: B023  # called at once
        self._loop.rest(0.2)  # those who were there are told
        spent = self.server.cpu() - cpu, time.process_time() - own
        return Logins(spent[0] / count, spent[1] / count)


def main() -> None:
    """Measure and print."""
    shared, loop = Secrets(), Loop()
    rows = []
    with three_servers() as servers:
        doors = [Door(loop, server, shared) for server in servers]
        for size, (rounds, count) in SIZES.items():
            found = interleaved(rounds, [partial(door.enter, count, size) for door in doors])
            for server, each in zip(servers, found, strict=True):
                rows.append(_row(size, server, each, found[-1]))
    loop.close()
    head = ("room fills up to", "server", "CPU", "ratio", "target", "load's own")
    tables.show("Server CPU of one login", head, rows)


def _row(size: int, server: Process, found: list[Logins], reference: list[Logins]) -> list[str]:
    cpu = statistics.median(each.cpu for each in found) * 1000
    own = statistics.median(each.own for each in found) * 1000
    ratio = median_ratio([each.cpu for each in found], [each.cpu for each in reference])
    goal = tables.target(cpu, TARGETS[size]) if server.chat else ""
    return [
        str(size) if server.name == "without TLS" else "",
        server.name,
        f"{cpu:.2f} ms",
        f"{ratio:.2f}",
        goal,
        f"{own:.2f} ms",
    ]


if __name__ == "__main__":
    main()
