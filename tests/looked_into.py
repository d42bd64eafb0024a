"""Runs the program with a search of its own objects: what it holds in memory, told by itself.

    python tests/looked_into.py WANTED ARGUMENTS of cmd_chat.py

WANTED are words with commas between them, each written backwards: as they are, they stand nowhere
here.  On SIGUSR1 all that Python knows of is looked through, and standard error gets a line with
a digit for each word: 1 where it was found.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

LOOKED = "looked: "
_CODINGS = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le")


def _values() -> Iterator[bytes]:
    """All texts and bytes that any object holds, backwards."""
    waiting: list[Any] = [gc.get_objects(), list(sys._current_frames().values())]
    seen = {id(waiting)}
    kept = []  # lest an id is used again
    while waiting:
        for found in gc.get_referents(waiting.pop()):
            if id(found) in seen:
                continue
            seen.add(id(found))
            kept.append(found)
            if isinstance(found, str):
                yield found.encode("utf-8", "surrogatepass")[::-1]
            elif isinstance(found, (bytes, bytearray)):
                yield bytes(found[::-1])
            else:
                waiting.append(found)


def look(words: list[str]) -> str:
    """A digit for each of the words, which are backwards."""
    forms = [[word[::-1].encode(coding)[::-1] for coding in _CODINGS] for word in words]
    found = [False] * len(words)
    for value in _values():
        for place, each in enumerate(forms):
            found[place] = found[place] or any(form in value for form in each)
    return "".join(str(int(each)) for each in found)


def main() -> int:
    words = sys.argv.pop(1).split(",")

    def looked(_number: int, _frame: FrameType | None) -> None:
        os.write(2, f"{LOOKED}{look(words)}\n".encode())

    signal.signal(signal.SIGUSR1, looked)
    sys.path[0] = str(Path(__file__).parent.parent)
    from cli.run import main as chat

    return chat()


if __name__ == "__main__":
    sys.exit(main())
