"""The memory of a server that is running: no text is in it after a conversation, and it stays flat.

The system may forbid looking; then the test fails and says so, because it has shown nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bench.members import Person
from protocol import frames
from tests.conftest import IdentityPool
from tests.processes import Client, Program, Server
from tests.wire import PASSWORD, Wire

_CHUNK = 4 << 20  # bytes


def regions(pid: int) -> Iterator[tuple[int, int]]:
    """Start and end of all that the process can write to: the rest are files, as on the disk."""
    try:
        with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps:
            lines = maps.read().splitlines()
    except OSError as error:
        pytest.fail(f"this system does not show the memory of a process: {error}")
    for line in lines:
        span, rights, *_rest = line.split()
        if rights.startswith("rw"):
            start, end = span.split("-")
            yield int(start, 16), int(end, 16)


def holds(program: Program, wanted: Sequence[bytes]) -> set[bytes]:
    """Which of ``wanted`` are anywhere in the memory of a process that runs."""
    pid = program.process.pid
    overlap = max(map(len, wanted)) - 1
    found: set[bytes] = set()
    read = 0
    try:
        memory = open(f"/proc/{pid}/mem", "rb", buffering=0)  # noqa: SIM115  # closed below
    except OSError as error:
        pytest.fail(f"this system forbids reading the memory of a process: {error}")
    with memory:
        for start, end in regions(pid):
            for at in range(start, end, _CHUNK):
                try:
                    memory.seek(at)
                    data = memory.read(min(_CHUNK + overlap, end - at))
                except OSError:
                    continue  # a page that came with no right to be read, such as a guard's
                read += len(data)
                found.update(each for each in wanted if each in data)
    assert read > 4 << 20, "hardly any of the memory could be read"
    return found


def forms(text: str) -> list[bytes]:
    """How a text can stand in memory: as it is sent, and as Python keeps one, by its letters."""
    return [text.encode(coding) for coding in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le")]


def test_no_text_is_in_the_memory_of_the_server() -> None:
    """And the same search finds them in a client, and a nickname in the server."""
    mark, name = secrets.token_hex(8), secrets.token_hex(8)  # nowhere else on this machine
    texts = [f"public {mark}", f"漢字 {mark}", f"{mark} 🙂", "long " + mark * 200]
    with (
        Server() as server,
        Client(server, name) as alice,
        Client(server, "bob") as bob,
    ):
        alice.meets("bob")
        alice.say(*texts, f"/msg bob private {mark}", f"/me waves {mark}")
        bob.next("message", text=f"waves {mark}")
        bob.say(f"yes {mark}")
        alice.next("message", text=f"yes {mark}")
        # What it does know shows that it was looked at in the right place, while it ran.
        found = holds(server, [*forms(mark), *forms(name)])
        assert name.encode() in found
        assert not found & set(forms(mark))
        assert mark.encode() in holds(bob, forms(mark))


def memory(program: Program) -> int:
    """What a process has of the machine's memory, in KB."""
    text = Path(f"/proc/{program.process.pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0])


def test_memory_stays_flat_while_people_come_and_go(pool: IdentityPool, prs: bytes) -> None:
    """At a constant load: what is not given back for each visit, or each post, would be seen.

    A visitor's session is more than 50 KB, so one that stays is found; the hour's run is
    ``python -m bench.memory``.
    """
    with Server({"ADMIN_PASSWORD": PASSWORD}) as server:
        resident = Wire(server.port, pool[0], pool.keys, prs=prs).join("resident")

        def visits(count: int) -> int:
            for _ in range(count):
                who = Person(pool.keys)  # keys that the server has never seen
                wire = Wire(server.port, who, pool.keys, prs=prs).join("visitor", "default")
                assert wire.entered is not None
                joined = wire.entered.seq
                wire.post(joined, b"g" * 2000)
                wire.send(frames.Bye("left"))
                wire.ended()
                wire.cut()
                resident.entries(joined + 2)
                resident.send(frames.Seen(joined + 2, 0))
            return memory(server)

        visits(60)  # what is made once, and what the allocator keeps for next time
        first, last = visits(1), visits(150)
        resident.cut()
    assert last - first < 150 * 10, f"{last - first} KB more after 150 visits"
