"""How soon the client answers: ``--help``, and from its start to ``connected``.

    python -m bench.start

Medians of 20 fresh processes, with a server on this machine that has nothing else to do.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import NamedTuple

from bench import tables
from bench.servers import PASSWORD, ROOT, Process, certificate, chat_server, cpu_of, environment

RUNS = 20
HELP_TARGET, CONNECTED_TARGET = 150.0, 500.0


class Start(NamedTuple):
    """One process: milliseconds of wall clock, and of CPU, until it had answered."""

    wall: float
    cpu: float


def command(*words: str, until: bytes = b"", secret: str = "") -> Start:
    """Start the program and wait for ``until`` in its output, or for its end."""
    env = environment({"CLIENT_PASSWORD": PASSWORD, "CLIENT_ROOM_SECRET": secret})
    start = time.monotonic()
    with subprocess.Popen(
        [sys.executable, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=env,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if until and until in line:
                break
        else:
            assert not until, f"{words} has ended"
        wall, cpu = time.monotonic() - start, cpu_of(process.pid)
        process.kill()
    return Start(wall * 1000, cpu * 1000)


def connected(server: Process, nick: str, *options: str, secret: str = "") -> Start:
    """A client from its start to ``connected``; ``secret``: of its room."""
    words = ("cmd_chat.py", "connect", "127.0.0.1", str(server.port), nick, *options)
    return command(*words, "--renderer", "json", until=b'"connected"', secret=secret)


def _row(name: str, starts: list[Start], most: float | None) -> list[str]:
    wall = statistics.median(each.wall for each in starts)
    cpu = statistics.median(each.cpu for each in starts)
    goal = tables.target(wall, most) if most is not None else ""
    return [name, f"{wall:.0f} ms", goal, f"{cpu:.0f} ms", f"{cpu / wall:.0%}"]


def main() -> None:
    """Measure and print."""
    runs = range(RUNS)
    rows = [
        _row("python alone", [command("-c", "") for _ in runs], None),
        _row("--help", [command("cmd_chat.py", "--help") for _ in runs], HELP_TARGET),
    ]
    with certificate() as cert:
        for chosen, options in ((None, ()), (cert, ("--ssl-ca", cert))):
            with chat_server(chosen) as server:
                starts = [connected(server, f"user{each}", *options) for each in runs]
                rows.append(_row(f"connected, {server.name}", starts, CONNECTED_TARGET))
        with chat_server(None) as server:
            secret = "three words here"
            starts = [connected(server, f"user{each}", secret=secret) for each in runs]
            rows.append(_row("connected, with a room secret", starts, CONNECTED_TARGET))
    head = ("", "wall clock", "target", "CPU", "share")
    tables.show(f"Start of the client, medians of {RUNS}", head, rows)


if __name__ == "__main__":
    main()
