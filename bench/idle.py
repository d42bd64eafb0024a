"""What idle connections cost: memory and threads for each, and who wakes up while nobody talks.

    python -m bench.idle
"""

from __future__ import annotations

from collections.abc import Sequence

from bench import tables
from bench.members import Crowd, Secrets, Talker
from bench.servers import Process, each_server
from bench.wire import Loop

ROOM = 20
SECONDS = 10.0
INTERVAL = 5.0  # seconds between heartbeats while wake-ups are counted
TARGETS = {False: 80.0, True: 100.0}


def memory(server: Process, shared: Secrets, count: int) -> list[str]:
    """A row: what ``count`` connections cost, in rooms of 20."""
    loop = Loop()
    Crowd(loop, server, shared, ROOM, 0, 2, first=10_000)  # pays for what is loaded only once
    before, threads = server.status("VmRSS"), server.status("Threads")
    Crowd(loop, server, shared, ROOM, 0, count // ROOM)
    loop.rest(1.0)
    each = (server.status("VmRSS") - before) / count
    threads = server.status("Threads") - threads
    loop.close()
    return [
        f"{count:,}",
        server.name,
        f"{each:.0f} KB",
        tables.target(round(each, 1), TARGETS[server.tls]),
        f"{threads / count:.2f}",
    ]


def wake_ups(server: Process, loop: Loop, crowd: Crowd | None) -> list[str]:
    """A row: how often threads woke up, and how many heartbeats came and went meanwhile."""
    members = crowd.everybody if crowd is not None else []
    loop.rest(1.0)
    before, heard = server.wake_ups(), _records(members)
    loop.rest(SECONDS)
    woken, heard = server.wake_ups() - before, _records(members) - heard
    each = f"{woken / heard:.2f}" if heard else ""
    return [f"{len(members):,}", server.name, f"{woken:,}", f"{heard:,}", each]


def _records(members: Sequence[Talker]) -> int:
    return sum(getattr(each, "records", 0) for each in members)


def main() -> None:
    """Measure and print."""
    shared = Secrets()
    rows, woken = list[list[str]](), []
    beating = {"HEARTBEAT_INTERVAL": str(INTERVAL), "HEARTBEAT_TIMEOUT": "600"}
    for count in (500, 2000):
        rows += [memory(server, shared, count) for server in each_server()]
    for server in each_server(beating):
        loop = Loop()
        woken.append(wake_ups(server, loop, None))
        woken.append(wake_ups(server, loop, Crowd(loop, server, shared, ROOM, 0, 50)))
        loop.close()
    head = ("connections", "server", "memory each", "target", "threads each")
    tables.show("Idle connections", head, rows)
    head = ("connections", "server", "wake-ups", "heartbeats", "for each")
    tables.show(f"Wake-ups in {SECONDS:g} s, heartbeats every {INTERVAL:g} s", head, woken)


if __name__ == "__main__":
    main()
