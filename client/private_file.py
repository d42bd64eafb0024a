"""Files that are for their owner alone, opened so that nothing else comes in their place."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from client.sealed_file import FileUnusable

# Not everywhere: no link is followed, no pipe waited for, no line end translated.
_FLAGS = (
    getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
)  # fmt: skip


@contextlib.contextmanager
def opened(path: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    """The file's descriptor.  Raises OSError, and FileUnusable for what is no file."""
    fd = os.open(path, flags | _FLAGS, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise FileUnusable()
        yield fd
    finally:
        os.close(fd)


def write(fd: int, data: bytes) -> None:
    """All of ``data``.  Raises OSError."""
    while data:
        data = data[os.write(fd, data) :]
