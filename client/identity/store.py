"""An identity's file: read, and written whole or not at all.

Whoever changes it has its lock, reads it again, and puts a whole new file into its place in one
step, so that two programs with one file lose nothing of each other's, and a program that is
killed leaves the file as it was before or as it was to be.  The lock is on a file of its own
beside it, which stays: one that is replaced would be locked by nobody.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from client.identity.records import FILE, FILE_BYTES, Contents
from client.private_file import opened, write
from client.sealed_file import COST, FileUnusable

LOCK_SECONDS = 5.0  # for others that have the file; each takes a few milliseconds
_LOOK_SECONDS = 0.02
_NEW, _LOCK = ".new", ".lock"  # what is about to become the file; what is locked


class AnothersIdentity(FileUnusable):
    """The file is another user's."""

    code = "foreign"


class Busy(FileUnusable):
    """Another program has the file, and does not let go of it."""

    code = "busy"


def create(path: Path, contents: Contents, passphrase: str, cost: int = COST) -> None:
    """Make the file of a new identity.  Raises FileExistsError if anything is there, OSError."""
    cipher = FILE.fresh(passphrase, cost)
    with _locked(path):
        if os.path.lexists(path):
            raise FileExistsError(path)
        _replace(path, cipher.seal(contents.encode()), anew=True)


class IdentityFile:
    """The file at ``path``, opened with its passphrase; ``contents`` is what was read last."""

    def __init__(self, path: Path, passphrase: str) -> None:
        """Read it.  Raises OSError, and FileUnusable for what is none, WrongPassphrase first."""
        self.path = path
        data = _read(path)
        self._cipher = FILE.of(data, passphrase)
        self.contents = Contents.decode(self._cipher.open(data))

    def change(self, step: Callable[[Contents], Contents]) -> Contents:
        """Take ``step`` from what is there now; raises as ``__init__``, and then changes nothing.

        No file that is gone is made again, nor one that has another passphrase by now changed.
        """
        with _locked(self.path):
            before = Contents.decode(self._cipher.open(_read(self.path)))
            contents = step(before)
            if contents != before:
                _replace(self.path, self._cipher.seal(contents.encode()))
        self.contents = contents
        return contents

    def change_passphrase(self, passphrase: str, cost: int = COST) -> None:
        """Seal it anew.  Raises as ``change``; the passphrase is then the one before."""
        cipher = FILE.fresh(passphrase, cost)
        with _locked(self.path):
            contents = Contents.decode(self._cipher.open(_read(self.path)))
            _replace(self.path, cipher.seal(contents.encode()))
        self._cipher, self.contents = cipher, contents


def delete(path: Path, seconds: float = LOCK_SECONDS) -> None:
    """Remove the file, also if another program has it for longer than that.  Raises OSError."""
    new, lock = _beside(path, _NEW), _beside(path, _LOCK)
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError, FileUnusable):
            stack.enter_context(_locked(path, seconds))
        _unlink(path, new, path)  # once more: whoever looked before the first may have replaced it
    _unlink(lock)  # Windows removes nothing that is open


def _unlink(*names: Path) -> None:
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _read(path: Path) -> bytes:
    with _opened(path, os.O_RDONLY) as fd:
        data = b""
        while len(data) <= FILE_BYTES and (piece := os.read(fd, FILE_BYTES + 1 - len(data))):
            data += piece
        return data


def _replace(path: Path, data: bytes, anew: bool = False) -> None:
    """Put a file into the place of what is there; whoever has the lock does.

    Raises FileNotFoundError if it has been removed meanwhile, by somebody who did not wait; not
    with ``anew``.
    """
    new = _beside(path, _NEW)
    _unlink(new)  # of a program that was killed
    try:
        with _opened(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as fd:
            write(fd, data)
            os.fsync(fd)
        if not anew:
            os.lstat(path)
        os.replace(new, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(new)
        raise
    _settle(path.parent)


def _settle(folder: Path) -> None:
    """Let no loss of power undo a renaming, where the system can see to that."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    """The file's descriptor.  Raises OSError, and FileUnusable for what is no file of ours."""
    with opened(path, flags) as fd:
        if sys.platform != "win32":
            status = os.fstat(fd)
            if status.st_uid != os.geteuid():
                raise AnothersIdentity()
            if stat.S_IMODE(status.st_mode) & 0o077:  # somebody has made it readable for others
                os.fchmod(fd, 0o600)
        yield fd


@contextlib.contextmanager
def _locked(path: Path, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Nobody else has the lock in here.  Raises OSError, Busy after so many seconds."""
    with _opened(_beside(path, _LOCK), os.O_RDWR | os.O_CREAT) as fd:
        end = time.monotonic() + seconds
        while not _is_taken(fd):
            if time.monotonic() >= end:
                raise Busy()
            time.sleep(_LOOK_SECONDS)
        yield  # closing it lets go of the lock


def _is_taken(fd: int) -> bool:
    """Whether the lock is ours now."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True
