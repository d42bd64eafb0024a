"""Processes that tests leave behind: how they are found, however far down, and ended.

A process that loses its parent becomes a child of the pytest process that it comes from
(``adopt``), and of the one that has started that one where it is gone, too.  Linux only; elsewhere
nothing is found.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER, of prctl(2)

lasting: set[int] = set()  # processes that are no test's, and end with this one


def adopt() -> None:
    """From now on, what loses its parent below this process becomes its child."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def watch(seconds: float) -> Iterator[None]:
    """Before and after a part of a run: what that has started must end within so many seconds.

    What does not is ended here, and fails the test.
    """
    before = _all() if _has_children() else set()
    yield
    if not _has_children():
        return
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while left := running(_all() - before):
        if time.monotonic() > deadline:
            end(left)
            raise AssertionError(f"left behind: {list(left.values())}")
        pause.wait(0.01)


def running(among: set[int] | None = None, below: int = 0) -> dict[int, str]:
    """The command lines of what runs below a process, by id, without what is ``lasting``.

    ``below`` this one, unless told otherwise.
    """
    found = sorted(_all() if among is None else among)
    return {pid: _command(pid) for pid in found if _is_below(pid, below or os.getpid())}


def end(pids: Iterable[int]) -> None:
    """End them now."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _has_children() -> bool:
    """Whether anything may run below this process beside what is ``lasting``.

    Most tests start nothing, and to look at all processes of the machine takes longer than they.
    What has lost its parent is this one's child (``adopt``).
    """
    if not os.path.exists("/proc/thread-self/children"):  # CONFIG_PROC_CHILDREN, of Linux
        return True
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            found = Path(f"/proc/self/task/{thread}/children").read_text()
            if not lasting.issuperset(map(int, found.split())):
                return True
    return False


def _all() -> set[int]:
    """All processes of this machine."""
    if sys.platform != "linux":
        return set()
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def _is_below(pid: int, top: int) -> bool:
    at: int | None = pid
    while at not in (None, 0, top) and at not in lasting:
        # Where one in between has just ended, its children have another parent now.
        at = _parent(pid) if (above := _parent(at)) is None else above
    return at == top != pid


def _parent(pid: int) -> int | None:
    """The process below which it runs; None if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[1])


def _command(pid: int) -> str:
    """Its command line, as far as it is still there."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace").replace("\0", " ").strip()
    except OSError:
        return ""
