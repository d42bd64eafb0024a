"""What sealing costs the sender: the first post in a room, and each one after it.

    python -m bench.sealing [MEMBERS]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

from client.sealing import Sealing
from protocol.frames import MemberLine
from protocol.keys import Identity

POSTS = 200
TEXT = "x" * 300


def _cpu(act: Callable[[], object]) -> float:
    """CPU milliseconds that ``act`` takes."""
    start = time.process_time()
    act()
    return (time.process_time() - start) * 1000


def main(members: int) -> None:
    """Print the table for a room of ``members``."""
    identity = Identity()
    bundles = [Identity().bundle for _ in range(members - 1)]
    lines = [MemberLine(1, "sender", 1, identity.bundle)]
    lines += [
        MemberLine(number, f"reader{number}", number, bundle)
        for number, bundle in enumerate(bundles, 2)
    ]
    sealing = Sealing(identity)
    sealing.enter("bench", b"l" * 16, 1, lines, members)
    first = _cpu(lambda: sealing.seal("text", TEXT))
    later = [_cpu(lambda: sealing.seal("text", TEXT)) for _ in range(POSTS)]
    print(f"room of {members}, {len(TEXT)} characters, CPU of the sender")
    print(f"  first post, with {members - 1} wraps   {first:8.1f} ms")
    print(f"  a post after that, median      {statistics.median(later):8.3f} ms")
    print(f"  a post after that, worst       {max(later):8.3f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
