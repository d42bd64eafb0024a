"""The memory of a server that is running: after a conversation no text is in it.

The system may forbid looking; then the test fails and says so, because it has shown nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence

import pytest

from tests.processes import Client, Program, Server

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
