"""The memory of a server that is running: no text is in it after a conversation, and it stays flat.

It is looked into in two ways: all objects of Python's, by the process itself, which works
everywhere; and, where the system lets us, every byte, from outside, also of what was given back.
"""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.members import Person
from protocol import frames
from tests.conftest import IdentityPool
from tests.looked_into import LOOKED
from tests.machine import needs, owning
from tests.processes import PROGRAM, Client, Program, Server
from tests.wire import PASSWORD, Wire

_CHUNK = 4 << 20  # bytes
LOOKING = str(Path(__file__).parent / "looked_into.py")


def regions(pid: int) -> Iterator[tuple[int, int]]:
    """Start and end of all that the process can write to: the rest are files, as on the disk."""
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps:
        for line in maps.read().splitlines():
            span, rights, *_rest = line.split()
            if rights.startswith("rw"):
                start, end = span.split("-")
                yield int(start, 16), int(end, 16)


def every_byte(program: Program, wanted: Sequence[bytes]) -> set[bytes]:
    """Which of ``wanted`` are anywhere in the memory of a process that runs."""
    pid = program.process.pid
    overlap = max(map(len, wanted)) - 1
    found: set[bytes] = set()
    read = 0
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
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


class FromInside:
    """The process looks through its objects itself (``tests/looked_into.py``)."""

    def options(self, words: Sequence[str], *wanted: str) -> dict[str, Any]:
        """How to start the program with ``words``, for ``wanted`` to be looked for in it."""
        backwards = ",".join(word[::-1] for word in wanted)
        return {"command": [sys.executable, LOOKING, backwards, *words]}

    def holds(self, program: Program, *wanted: str) -> list[bool]:
        """Whether it holds each of ``wanted``, which are those that it was started with."""
        start = len(program.err)
        program.signal(signal.SIGUSR1)
        program.wait_for(lambda: b"\n" in program.err[start:])
        (line,) = program.err[start:].decode().splitlines()
        assert line.startswith(LOOKED) and len(line) == len(LOOKED) + len(wanted)
        return [digit == "1" for digit in line[len(LOOKED) :]]


class FromOutside:
    """Another process reads every byte, though the program has forbidden that; the same methods."""

    def options(self, words: Sequence[str], *_wanted: str) -> dict[str, Any]:
        return {"command": [*owning(), sys.executable, str(PROGRAM), *words]}

    def holds(self, program: Program, *wanted: str) -> list[bool]:
        found = every_byte(program, [form for word in wanted for form in forms(word)])
        return [bool(found & set(forms(word))) for word in wanted]


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(FromInside(), id="objects"),
        pytest.param(
            FromOutside(), id="bytes", marks=needs(
                "memory", beside="test_no_text_is_in_the_memory_of_the_server[objects]"
            ),
        ),
    ],
)  # fmt: skip
def test_no_text_is_in_the_memory_of_the_server(look: FromInside | FromOutside) -> None:
    """And the same search finds them in a client, and a nickname in the server."""
    mark, name = secrets.token_hex(8), secrets.token_hex(8)  # nowhere else on this machine
    texts = [f"public {mark}", f"漢字 {mark}", f"{mark} 🙂", "long " + mark * 200]
    with Server(**look.options(["serve", "127.0.0.1", "0"], mark, name)) as server:
        address = ["connect", server.host, str(server.port)]
        searched = look.options([*address, "bob", "--renderer", "json"], mark, name)
        with Client(server, name) as alice, Client(server, "bob", **searched) as bob:
            alice.meets("bob")
            alice.say(*texts, f"/msg bob private {mark}", f"/me waves {mark}")
            bob.next("message", text=f"waves {mark}")
            bob.say(f"yes {mark}")
            alice.next("message", text=f"yes {mark}")
            # What it does know shows that it was looked at in the right place, while it ran.
            assert look.holds(server, mark, name) == [False, True]
            assert look.holds(bob, mark, name) == [True, True]


def memory(program: Program) -> int:
    """What a process has of the machine's memory, in KB."""
    pid = program.process.pid
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # another system, or one that shows little
        shown = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True
        )
        return int(shown.stdout)
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
                resident.send(resident.seen(joined + 2, 0))
            return memory(server)

        visits(60)  # what is made once, and what the allocator keeps for next time
        first, last = visits(1), visits(150)
        resident.cut()
    assert last - first < 150 * 10, f"{last - first} KB more after 150 visits"
