"""Whether strangers can keep others out, or make them wait: a real server, real clients, attacks.

    python -m bench.strangers [LOGINS]

The attackers (``bench.attacks``) know nothing.  Beside each attack, one after the other: logins of
the real client by password and by token, and real clients that are cut off and come back; then
what a post takes while strangers send frames that carry nothing.
"""

from __future__ import annotations

import contextlib
import json
import queue
import statistics
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator

from bench import attacks, tables
from bench.attacks import Attack, attacked
from bench.load import gentle, percentile
from bench.members import Crowd, Secrets
from bench.relay import Relay
from bench.servers import PASSWORD, ROOT, Process, chat_server, environment
from bench.wire import Loop

LOGINS, PATIENCE = 20, 20.0
SETTLE = 3.0  # seconds of attack before the first login
MEMBERS, SENDERS, A_SECOND, SECONDS, ROUNDS = 10, 2, 20.0, 5.0, 3
LOCKOUTS: list[tuple[str, Attack | None]] = [
    ("quiet", None),
    ("4 x 512 silent", attacks.silent),
    ("100 stalled, same address", attacks.stalled),
    ("100 wrong proofs, same address", attacks.wrong),
    ("the same, that come anew at once", attacks.hasty),
]
NOISE = [
    ("6 with empty fragments", attacks.fragments),
    ("6 with pings", attacks.pings),
    ("6 with fragments, that come anew at once", attacks.hasty_fragments),
    ("6 with pings, that come anew at once", attacks.hasty_pings),
]


class Client:
    """The real client, as a program runs it."""

    def __init__(self, port: int, *more: str) -> None:
        words = [sys.executable, "-B", str(ROOT / "cmd_chat.py"), "connect", "127.0.0.1", str(port)]
        self._process = subprocess.Popen(
            [*words, *more, "--renderer", "json"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment({"CLIENT_PASSWORD": PASSWORD} if "--token" not in more else {}),
        )
        self._events: queue.Queue[dict[str, object]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def wait_for(self, name: str, seconds: float = PATIENCE) -> dict[str, object] | None:
        """The next event of that name; None if none comes in time."""
        deadline = time.monotonic() + seconds
        with contextlib.suppress(queue.Empty):
            while (left := deadline - time.monotonic()) > 0:
                event = self._events.get(timeout=left)
                if event["event"] == name:
                    return event
        return None

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._events.put(json.loads(line))


def login(port: int, *more: str) -> float | None:
    """Seconds until a client is in, from its start; None if it is not within ``PATIENCE``."""
    began = time.monotonic()
    with Client(port, *more, "--no-reconnect") as client:
        return time.monotonic() - began if client.wait_for("connected") else None


def comeback(client: Client, relay: Relay) -> float | None:
    """Seconds until one that is cut off is back in its place; None if it is not, or not in it."""
    began = time.monotonic()
    relay.cut()
    back = client.wait_for("reconnected")
    return time.monotonic() - began if back is not None and back["resumed"] else None


@contextlib.contextmanager
def members(server: Process, count: int) -> Iterator[list[tuple[Client, Relay]]]:
    """Clients that are in, each behind a relay of its own."""
    with contextlib.ExitStack() as stack:
        found = []
        for number in range(count):
            relay = Relay(server.port)
            stack.callback(relay.close)
            client = stack.enter_context(Client(relay.port, f"m{number}"))
            found.append((client, relay))
        for client, _relay in found:
            assert client.wait_for("connected", 60.0), "a member did not get in"
        yield found


def mint(port: int, nick: str) -> str:
    """A token from the server's form."""
    fields = {"admin_password": PASSWORD, "username": nick, "ttl": "3600"}
    body = urllib.parse.urlencode(fields).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/generate_token", body) as answer:  # noqa: S310
        return str(json.load(answer)["token"])


def row(name: str, wanted: float, took: list[float | None]) -> list[str]:
    """How many came in, how many in time, and when."""
    inside = sorted(each for each in took if each is not None)
    in_time = sum(each <= wanted for each in inside)
    shown = f"{statistics.median(inside):.2f} s, {inside[-1]:.2f} s" if inside else "-"
    return [name, f"{in_time} of {len(took)} within {wanted:g} s", str(len(inside)), shown]


def logins(
    server: Process, name: str, attack: Attack | None, count: int, found: list[float]
) -> list[list[str]]:
    """Logins by password, by token, and comebacks, while it goes on."""
    numbers = range(count)
    tokens = [mint(server.port, f"t{number}") for number in numbers]
    with members(server, count) as cut_off, attacked(attack, server.port, found):
        time.sleep(SETTLE)
        before, began = server.cpu(), time.monotonic()
        by_password = [login(server.port, f"n{number}") for number in numbers]
        by_token = [login(server.port, f"t{n}", "--token", tokens[n]) for n in numbers]
        back = [comeback(client, relay) for client, relay in cut_off]
        share = (server.cpu() - before) / (time.monotonic() - began)
    limit = 2.0 if attack is attacks.silent else 5.0
    rows = [
        row(f"{name}: password", limit, by_password),
        row(f"{name}: token", 2.0, by_token),
        row(f"{name}: comes back", 1.0, back),
    ]
    return [[*each, f"{100 * share:.0f} %"] for each in rows]


def posts(server: Process, name: str, attack: Attack) -> list[list[str]]:
    """What a post takes while it goes on, and without, in turn."""
    loop = Loop()
    crowd = Crowd(loop, server, Secrets(), MEMBERS, SENDERS)
    gentle(loop, crowd, A_SECOND, 0.5)
    quiet, loud, found = list[float](), list[float](), list[float]()
    for _ in range(ROUNDS):
        quiet += gentle(loop, crowd, A_SECOND, SECONDS)
        with attacked(attack, server.port, found):
            loop.rest(0.5)
            loud += gentle(loop, crowd, A_SECOND, SECONDS)
        loop.rest(0.5)
    loop.close()
    rows = [[f"{name}: without", *_spread(quiet), ""], [name, *_spread(loud), ""]]
    rows[1][0] += f" ({statistics.mean(found):,.0f} connections a second)"
    rows[1][-1] = tables.target(percentile(loud, 0.95) / percentile(quiet, 0.95), 2.0)
    return rows


def _spread(found: list[float]) -> list[str]:
    return [f"{percentile(found, share) * 1000:.2f} ms" for share in (0.5, 0.95, 0.99)]


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if sys.argv[1:] else LOGINS
    rows, rates = [], []
    for name, attack in LOCKOUTS:
        found: list[float] = []
        with chat_server(None) as server:
            rows += logins(server, name, attack, count, found)
        if attack is attacks.wrong:
            rates.append(["100 that wait for their answers", f"{found[0]:.2f}"])
    heads = ("attack, who", "in time", f"in of {count}", "median, last", "server's CPU")
    tables.show("Logins and comebacks while strangers attack", heads, rows)
    tables.show("Wrong proofs answered, one address", ("", "a second"), rates)
    rows = []
    for name, attack in NOISE:
        with chat_server(None) as server:
            rows += posts(server, name, attack)
    title = f"A post in a room of {MEMBERS}, {A_SECOND:g} posts a second"
    tables.show(title, ("strangers", "p50", "p95", "p99", "p95's ratio"), rows)


if __name__ == "__main__":
    main()
