"""What a process does to files: two ways to look, and what each has seen.

``AUDIT`` listens to Python's own audit events, which works wherever Python does; ``STRACE`` sees
each call to the system, from outside, and so also what native code does.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.machine import needs

AUDITED = Path(__file__).parent / "audited.py"

# Calls that make or change something in a file system, whatever they are given.
_MAKING = ("creat", "mkdir", "mkdirat", "mknod", "mknodat", "rename", "renameat", "renameat2",
           "link", "linkat", "symlink", "symlinkat", "truncate", "unlink", "unlinkat", "rmdir",
           "chmod", "fchmodat", "utimensat")  # fmt: skip
_OPENING = ("open", "openat", "openat2")
_OTHERS = ("prctl", "prlimit64", "setrlimit", "execve", "execveat")
_WRITING = re.compile(r"O_(WRONLY|RDWR|CREAT|TRUNC|APPEND|TMPFILE)")
_DEVICES = re.compile(r'"/dev/(null|tty|pts/\d+|ptmx)"')


@dataclass(frozen=True)
class Audit:
    """Looks from inside.  ``rules`` are those of ``tests/audited.py``."""

    rules: str = ""

    def before(self, log: Path) -> list[str]:
        """What to put before a command of Python's so that what it does is written to ``log``."""
        return [sys.executable, "-I", "-S", str(AUDITED), str(log), self.rules]

    def written(self, log: Path) -> list[str]:
        """The lines of a log that tell of a file opened for writing, made or changed."""
        return [line for line in log.read_text("utf-8").splitlines() if line.startswith("write ")]

    def is_hardened(self, log: Path) -> bool:
        """Whether a process has turned off its core dumps, and has started no other program."""
        lines = log.read_text("utf-8").splitlines()
        started = [line for line in lines if line.startswith("start ")]
        return lines[-1] == "end core=(0, 0) dumpable=0" and not started


@dataclass(frozen=True)
class Strace:
    """Looks from outside; the same methods."""

    def before(self, log: Path) -> list[str]:
        # `?`: not every machine has all of them.
        calls = ",".join(f"?{name}" for name in (*_MAKING, *_OPENING, *_OTHERS))
        return ["strace", "-f", "-qq", "-s", "500", "-e", f"trace={calls}", "-o", str(log)]

    def written(self, log: Path) -> list[str]:
        found = []
        for line in log.read_text("utf-8", "replace").splitlines():
            call = re.match(r"\d+ +(\w+)\(", line)
            if call is None or call[1] in _OTHERS or re.search(r"= -1 E\w+", line):
                continue  # a signal, an exit, the rest of a call; another one; or it failed
            if call[1] in _OPENING and (not _WRITING.search(line) or _DEVICES.search(line)):
                continue
            found.append(line)
        return found

    def is_hardened(self, log: Path) -> bool:
        text = log.read_text("utf-8", "replace")
        limit = re.search(r"RLIMIT_CORE, \{rlim_cur=0, rlim_max=0\}, NULL\) += 0", text)
        dumpable = re.search(r"prctl\(PR_SET_DUMPABLE, (SUID_DUMP_DISABLE|0)\b.*\) += 0", text)
        started = re.findall(r"^\d+ +execve.* = 0$", text, re.MULTILINE)
        return bool(limit and dumpable) and len(started) == 1


AUDIT, STRACE = Audit(), Strace()
Watch = Audit | Strace


def both_ways(test: str) -> pytest.MarkDecorator:
    """Gives a test called so ``watch``: as Python tells it, and where it may be, by strace."""
    by_strace = pytest.param(STRACE, id="strace", marks=needs("strace", beside=f"{test}[audit]"))
    return pytest.mark.parametrize("watch", [pytest.param(AUDIT, id="audit"), by_strace])


def everything(place: Path) -> set[Path]:
    """All paths under a folder, but for logs."""
    return {path for path in place.rglob("*") if path.suffix != ".log"}
