"""What a member who floods costs the others: latency beside all that costs little to send.

    python -m bench.budget [NAME…] [--root FOLDER]

A room of forty whose members talk at three quarters of what they may, with the limits that a server
has by default; the flooders are members of another room, all of one address, in a process of their
own, as fast as the server takes it.  Whoever is cut comes again.  Before each flood the room is
measured without one.  ``--root`` measures another version of the server.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from bench import tables
from bench.load import gentle, percentile
from bench.members import Crowd, Member, Secrets
from bench.servers import ROOT, Process, chat_server
from bench.wire import Loop, frame
from protocol import frames, keys
from protocol.frames import Wrap

MEMBERS, A_SECOND = 40, 5.0
SECONDS = 12.0
SETTLE = 3.0  # seconds of a flood before it is measured: what is allowed at once is over then
MOST_RATIO, OR_MS = 3.0, 30.0
SOURCE = "127.9.0.1"
_PLACE = b'{"at":1,"seq":0,"number":0}'
_SEEN = b'{"type":"seen","positions":[%s]}'
_MASK = bytes(4)


class Flooder(Member):
    """A member that sends and never reads what it is told."""

    cut = leaving = False

    def _take(self, message: str | bytes) -> None:
        """Nothing: what is said in its room does not matter to it."""

    def feed(self, data: bytes) -> None:
        if not self.inside:
            super().feed(data)

    def ended(self) -> None:
        """Thrown out."""
        self.cut = True
        self.close()

    @property
    def ready(self) -> bool:
        """Whether the network has taken what was sent."""
        return self.inside and not self.cut and not self._out

    def sealed(self, *encoded: bytes) -> bytes:
        """A record with these frames, as a WebSocket message."""
        return frame(self._link.seal(encoded))

    def crumbs(self, size: int) -> bytes:
        """A record of about ``size`` bytes, in fragments of one."""
        filling = bytes(size).hex().encode()
        record = self._link.seal([b'{"type":"seen","positions":[],"x":"%s"}' % filling])
        last = len(record) - 1
        return b"".join(
            bytes(((0x80 if at == last else 0) | (0 if at else 2), 0x81)) + _MASK + bytes((byte,))
            for at, byte in enumerate(record)
        )


class Flood(NamedTuple):
    """``send`` makes what each of ``at_once`` sends next; ``rate``: bytes a second in all."""

    name: str
    at_once: int
    send: Callable[[Flooder], bytes]
    rate: float = 1e12


def _pings(flooder: Flooder) -> bytes:
    return b"\x89\x80\0\0\0\0" * 2000


def _crumbs(size: int, flooder: Flooder) -> bytes:
    return flooder.crumbs(size)


def _lists(flooder: Flooder) -> bytes:
    return flooder.sealed(b'{"type":"seen","positions":[],"x":[%s]}' % b",".join([b"[]"] * 250_000))


def _values(flooder: Flooder) -> bytes:
    filling = (b",".join([b"{}"] * 16_000), b"y" * 200_000)
    return flooder.sealed(b'{"type":"seen","positions":[],"x":[%s],"y":"%s"}' % filling)


def _seen(flooder: Flooder) -> bytes:
    return flooder.sealed(*[_SEEN % _PLACE] * 1024)


def _places(flooder: Flooder) -> bytes:
    return flooder.sealed(*[_SEEN % b",".join([_PLACE] * 16)] * 600)


def _empty(flooder: Flooder) -> bytes:
    return b"".join(flooder.sealed() for _ in range(50))


_epochs = iter(range(1, 1 << 40))


def _keys(flooder: Flooder) -> bytes:
    epoch = next(_epochs)
    wraps = tuple(Wrap(1 << 40, epoch, 0, bytes(keys.WRAP_BYTES)) for _ in range(256))
    return flooder.sealed(frames.Keys(1, wraps).encode())


def _repeated(flooder: Flooder) -> bytes:
    return flooder.sealed(*[frames.ListRooms(1).encode()] * 20)


def _bye(flooder: Flooder) -> bytes:
    flooder.leaving = True
    return flooder.sealed(frames.Bye("left").encode())


FLOODS = [
    Flood("crumbs of one byte, 8", 8, partial(_crumbs, 3000)),
    Flood("the same, 0.55 MB/s in all", 8, partial(_crumbs, 3000), 0.55e6),
    Flood("a quarter million lists, 8", 8, _lists),
    Flood("a quarter million lists, 1", 1, _lists),
    Flood("as many values as a record may have, 8", 8, _values),
    Flood("1,024 seen in a record, 8", 8, _seen),
    Flood("600 seen of 16 positions in a record, 8", 8, _places),
    Flood("pings, 8", 8, _pings),
    Flood("pings, 1", 1, _pings),
    Flood("records that hold nothing, 8", 8, _empty),
    Flood("keys for nobody, 256 wraps each, 1", 1, _keys),
    Flood("keys for nobody, 256 wraps each, 8", 8, _keys),
    Flood("repeated requests, 1", 1, _repeated),
    Flood("coming and going, 1", 1, _bye),
    Flood("coming and going, 8", 8, _bye),
]


def flood(port: int, chosen: int, end: Connection) -> None:
    """Members that flood until ``end`` says so; then the bytes sent, and how many came again."""
    what, shared, loop = FLOODS[chosen], Secrets(), Loop()
    server = _Target(port)
    numbers = iter(range(1 << 30))
    sent, cuts, began = 0, 0, time.monotonic()

    def comer() -> Flooder:
        nick = f"flood{next(numbers)}"
        return Flooder(loop, server, shared, nick, "flood", SOURCE)  # type: ignore[arg-type]

    flooders = [comer() for _ in range(what.at_once)]
    while not end.poll():
        for at, each in enumerate(flooders):
            if each.cut:
                cuts += 1
                flooders[at] = comer()
            elif each.ready and sent <= (time.monotonic() - began) * what.rate:
                data = what.send(each)
                sent += len(data)
                with contextlib.suppress(OSError):
                    each.write(data)
                if each.leaving:
                    each.ended()
        with contextlib.suppress(OSError):
            loop.turn(0.01)
    end.send((sent, cuts))


class _Target:
    """A server in another process, as far as a member needs to know it."""

    tls, chat = False, True

    def __init__(self, port: int) -> None:
        self.port = port


@contextlib.contextmanager
def flooded(port: int, chosen: int) -> Iterator[list[int]]:
    """While this lasts, members flood; afterwards what ``flood`` says."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=flood, args=(port, chosen, theirs))
    process.start()
    found: list[int] = []
    try:
        yield found
        ours.send("end")
        found += ours.recv() if ours.poll(20.0) else (0, 0)
    finally:
        process.kill()
        process.join()


def measure(shared: Secrets, chosen: int, server: Process, seconds: float) -> list[str]:
    """One flood's row."""
    loop = Loop()
    crowd = Crowd(loop, server, shared, MEMBERS, MEMBERS - 1)  # the last one is the witness
    gentle(loop, crowd, A_SECOND, 1.0)
    before = gentle(loop, crowd, A_SECOND, seconds)
    with flooded(server.port, chosen) as sent:
        loop.rest(SETTLE)
        cpu, began = server.cpu(), time.monotonic()
        after = gentle(loop, crowd, A_SECOND, seconds)
        used, took = server.cpu() - cpu, time.monotonic() - began
    loop.close()
    cells = []
    for share in (0.5, 0.95):
        cells += [f"{percentile(each, share) * 1000:.1f}" for each in (before, after)]
    calm, late = percentile(before, 0.95), percentile(after, 0.95)
    most = max(MOST_RATIO * calm, OR_MS / 1000)
    cells += [tables.target(late * 1000, round(most * 1000))]
    cells += [f"{100 * used / took:.0f} %", f"{sent[0] / (took + SETTLE) / 1e6:.2f}", str(sent[1])]
    return [FLOODS[chosen].name, *cells]


def main() -> None:
    """Measure and print."""
    words = argparse.ArgumentParser(prog="python -m bench.budget")
    words.add_argument("names", nargs="*", help="which floods; all without one")
    words.add_argument("--root", type=Path, default=ROOT)
    words.add_argument("--seconds", type=float, default=SECONDS)
    asked = words.parse_args()
    shared, rows = Secrets(), []
    for number, each in enumerate(FLOODS):
        if not asked.names or any(name in each.name for name in asked.names):
            limits = {"MAX_MESSAGES_PER_WINDOW": "10"}
            with chat_server(settings=limits, root=asked.root) as server:
                rows.append(measure(shared, number, server, asked.seconds))
    head = (
        "flood, members", "p50 ms", "flooded", "p95 ms", "flooded", "target", "CPU", "MB/s",
        "comings",
    )  # fmt: skip
    tables.show(f"A room of {MEMBERS}, {A_SECOND:g} posts a second, beside floods", head, rows)


if __name__ == "__main__":
    main()
