"""What sealing costs sender and reader: the first post in a room, and each one after it.

    python -m bench.sealing [MEMBERS]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from bench import tables
from client.encryption.encryption import Encryption
from client.encryption.posts import OpenedPost, SealedPost
from client.encryption.room_encryption import RoomEncryption
from protocol.frames import MemberLine
from protocol.keys import Bundle, Identity

POSTS = 200
TEXT = "x" * 300

Result = TypeVar("Result")


def _timed(act: Callable[[], Result]) -> tuple[Result, float, float]:
    """What ``act`` returns, and the milliseconds of CPU and of wall clock that it takes."""
    cpu, wall = time.process_time(), time.monotonic()
    result = act()
    return result, (time.process_time() - cpu) * 1000, (time.monotonic() - wall) * 1000


def _first(reader: RoomEncryption, me: int, sealed: SealedPost, seq: int) -> None:
    """What a reader does with the first post of a sender: take its chain, open."""
    (wrap,) = [each for each in sealed.wraps if each.to == me]
    assert not reader.add_wrap(1, wrap)
    _open(reader, sealed, seq)


def _open(reader: RoomEncryption, sealed: SealedPost, seq: int) -> None:
    post, warnings = reader.open(seq, 1, sealed.change, sealed.box)
    assert isinstance(post, OpenedPost) and not warnings


def main(members: int) -> None:
    """Print the table for a room of ``members``."""
    sender, reader = Identity(), Identity()
    identities = [sender, reader, *(Identity() for _ in range(members - 2))]
    lines = [
        MemberLine(number, f"member{number}", number, each.bundle)
        for number, each in enumerate(identities, 1)
    ]
    room = ("bench", b"l" * 16)
    rows: list[list[str]] = []

    def add(what: str, cpu: float, wall: float) -> None:
        rows.append([what, f"{cpu:.3f} ms", f"{wall:.3f} ms"])

    writing = Encryption(sender).enter(*room, 1, lines, members)
    # As they come over the wire: of the sender's, the signatures have been checked by now.
    others = [
        replace(line, bundle=Bundle.from_fields(line.bundle.to_fields())) for line in lines
    ]
    reading, cpu, wall = _timed(lambda: Encryption(reader).enter(*room, 2, others, members))
    add("reader: the roster", cpu, wall)
    sealed, cpu, wall = _timed(lambda: writing.seal("text", TEXT))
    add(f"sender: the first post, with {members - 1} wraps", cpu, wall)
    _, cpu, wall = _timed(lambda: _first(reading, 2, sealed, members + 1))
    add("reader: the first post, with its wrap", cpu, wall)
    later = [_timed(lambda: writing.seal("text", TEXT)) for _ in range(POSTS)]
    add("sender: a post after that, median", *(_median(later)))
    opened = [
        _timed(partial(_open, reading, each[0], seq)) for seq, each in enumerate(later, members + 2)
    ]
    add("reader: a post after that, median", *(_median(opened)))
    title = f"Sealing, room of {members}, {len(TEXT)} characters"
    tables.show(title, ("", "CPU", "wall clock"), rows)


def _median(timed: Sequence[tuple[object, float, float]]) -> tuple[float, float]:
    cpu, wall = [cpu for _, cpu, _ in timed], [wall for _, _, wall in timed]
    return statistics.median(cpu), statistics.median(wall)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
