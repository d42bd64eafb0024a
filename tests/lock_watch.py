"""The program, with a look at its locks: which threads take them, and which they hold meanwhile.

    python -m tests.lock_watch FOLDER PYTHON cmd_chat.py …

When it ends, a file in the folder has a line for each: the thread, the lock, the last one that it
holds meanwhile.  ``PLACES`` beside the folder says where which lock is made (``write_places``).
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PLACES = "places.json"
_places: dict[tuple[str, int], str] = {}
_own = threading.local()
seen: set[tuple[str, str, str]] = set()
_plain, _reentrant = threading.Lock, threading.RLock


class _Watched:
    """A lock that notes who takes it."""

    def __init__(self, lock: Any, name: str) -> None:
        self._lock, self._name = lock, name

    def acquire(self, *how: Any, **named: Any) -> bool:
        if taken := self._lock.acquire(*how, **named):
            held = _held()
            seen.add((threading.current_thread().name, self._name, held[-1] if held else ""))
            held.append(self._name)
        return bool(taken)

    def release(self) -> None:
        if self._name in _held():
            _held().remove(self._name)
        self._lock.release()

    __enter__ = acquire

    def __exit__(self, *_error: object) -> None:
        self.release()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lock, name)


class _Condition(threading.Condition):
    """A condition whose lock notes who takes it."""

    def __init__(self, lock: Any = None) -> None:
        super().__init__(lock or _watched(_reentrant, 2))


def _held() -> list[str]:
    if not hasattr(_own, "held"):
        _own.held = []
    found: list[str] = _own.held
    return found


def _watched(make: Callable[[], Any], depth: int) -> Any:
    frame = sys._getframe(depth)
    name = _places.get((frame.f_code.co_filename, frame.f_lineno))
    return make() if name is None else _Watched(make(), name)


def write_places(folder: Path) -> None:
    """Write down where which lock is made: to find that takes as long as all the rest."""
    from tools import parts

    found = [(str(ROOT / each.place), each.line, each.name) for each in parts.locks()]
    (folder / PLACES).write_text(json.dumps(found))


def main() -> None:
    """Run it, and write down what was seen."""
    folder, *words = sys.argv[1:]
    for place, line, name in json.loads((Path(folder).parent / PLACES).read_text()):
        _places[place, line] = name
    threading.Lock = lambda: _watched(_plain, 2)  # type: ignore[assignment]
    threading.RLock = lambda: _watched(_reentrant, 2)  # type: ignore[assignment]
    threading.Condition = _Condition  # type: ignore[misc]
    from cli import run

    sys.argv = words[words.index(str(ROOT / "cmd_chat.py")) :]
    try:
        status = run.main()
    finally:
        lines = sorted(seen)
        (Path(folder) / str(os.getpid())).write_text("".join(json.dumps(x) + "\n" for x in lines))
    os._exit(status)


if __name__ == "__main__":
    main()
