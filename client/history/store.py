"""Local history: the folder of one server's history, with its key file and a file for each run.

Nobody writes to another's file, so programs that run at once need not know of each other: each
appends to its own, whole files are removed, and the key file is replaced in one step.  Who reads
sees all of them in the order of time.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import re
import stat
import sys
from collections.abc import Callable, Generator, Iterator
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from client.history.records import (
    KEY_FILE_BYTES,
    LINE_BYTES,
    Damaged,
    Faults,
    HistoryKeys,
    Record,
    RunCipher,
    number_of,
)
from client.private_file import opened, write
from client.sealed_file import FileUnusable
from protocol.keys import digest

KEYS = "keys"
PARTS = 8  # a file holds this part of the records that are kept; the oldest files go as a whole
RUNS = 10_000  # files that are kept of a server, however few records they have
_RUN = re.compile(r"([0-9]{6,12})-[0-9a-f]{16}\.run")
_NEW = ".new"  # what is about to become a key file
_BLOCK = 256 * 1024
_DELETE_TRIES = 3
_DAY = 86_400_000  # milliseconds
_EARLIEST = 1_767_225_600_000  # 2026 began; milliseconds since the epoch


class Foreign(FileUnusable):
    """The folder is another server's, under this one's name."""

    code = "foreign"


def history_path(folder: Path, server: str) -> Path:
    """Where the history of ``server_name`` is; who does not guess the address does not see it."""
    return folder / digest("cmdchat history file 1", server.encode())[:16].hex()


def history_paths(folder: Path) -> list[Path]:
    """All histories in a folder; none where there is no such folder.  Raises OSError."""
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    return [folder / name for name in names if os.path.lexists(folder / name / KEYS)]


# Key files


def open_keys(path: Path, passphrase: str) -> HistoryKeys:
    """The keys of the history at ``path``.  Raises OSError, and FileUnusable for what is none."""
    with opened(path / KEYS) as fd:
        return HistoryKeys.open(os.read(fd, KEY_FILE_BYTES), passphrase)


def create(path: Path, keys: HistoryKeys, passphrase: str, cost: int) -> None:
    """Begin a history.  Raises FileExistsError if there is one, another OSError."""
    _make_folder(path)
    with _new_key_file(path, keys.seal(passphrase, cost)) as new:
        if sys.platform == "win32":
            os.rename(new, path / KEYS)  # which replaces nothing there
            return
        try:
            os.link(new, path / KEYS, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError:  # a file system that has no links
            if os.path.lexists(path / KEYS):
                raise FileExistsError(path / KEYS) from None
            os.rename(new, path / KEYS)


def change_passphrase(path: Path, keys: HistoryKeys, passphrase: str) -> None:
    """Seal the keys with another passphrase, and with a new one for what is recorded from now on.

    Raises OSError, FileUnusable; the history then opens with the one before.
    """
    with _new_key_file(path, keys.renewed().seal(passphrase)) as new:
        os.replace(new, path / KEYS)


@contextlib.contextmanager
def _new_key_file(path: Path, data: bytes) -> Iterator[Path]:
    """A file that is on the disk, and gone at the end if it has not become something else."""
    new = path / f"{os.urandom(8).hex()}{_NEW}"
    try:
        with opened(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as fd:
            write(fd, data)
            os.fsync(fd)
        yield new
    finally:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)


# Runs


class RunPath(NamedTuple):
    """A file of records; ``number`` counts the files of a server, whatever the clock says."""

    number: int
    path: Path


def run_paths(path: Path) -> list[RunPath]:
    """The files of records of a history, the oldest first.  Raises OSError."""
    matches = [(_RUN.fullmatch(name), name) for name in os.listdir(path)]
    return sorted(RunPath(int(found[1]), path / name) for found, name in matches if found)


class RunWriter:
    """Adds records to the history at ``path``: a file of its own, and the next one once that is
    full.  Used by one thread."""

    def __init__(self, path: Path, keys: HistoryKeys, most: int) -> None:
        self._path, self._keys, self._most = path, keys, most
        self._run: RunCipher | None = None
        self._file = path
        self._next = 0  # the number of the next record, from 1 on

    def append(self, record: Record) -> None:
        """Add a record.  Raises OSError, FileUnusable; the file is then as it was."""
        if self._run is not None and self._next <= max(1, self._most // PARTS):
            with contextlib.suppress(FileNotFoundError):  # another program has made room
                return self._add(self._run, record)
        keep(self._path, self._most)
        run = RunCipher.fresh(self._keys)
        last = [number for number, _ in run_paths(self._path)[-1:]]
        file = self._path / f"{sum(last) + 1:06}-{run.id[:8].hex()}.run"
        if not (self._path / KEYS).exists():
            raise FileNotFoundError(self._path / KEYS)  # removed on purpose
        self._run, self._file, self._next = None, file, 1
        with opened(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as fd:
            try:
                write(fd, run.header + run.seal(1, record))
            except OSError:
                file.unlink()
                raise
        self._run, self._next = run, 2

    def _add(self, run: RunCipher, record: Record) -> None:
        with opened(self._file, os.O_WRONLY | os.O_APPEND) as fd:
            size = os.fstat(fd).st_size
            try:
                write(fd, run.seal(self._next, record))
            except OSError:
                os.ftruncate(fd, size)  # a disk that is full takes half a line
                raise
        self._next += 1


def keep(path: Path, most: int) -> None:
    """Remove the oldest files of a history, as long as ``most`` records are left without them.

    What cannot be removed stays.  Raises OSError.
    """
    kept = 0
    for place, (_, file) in enumerate(reversed(run_paths(path))):
        if kept >= most or place >= RUNS:
            with contextlib.suppress(OSError):
                file.unlink()
        else:
            with contextlib.suppress(OSError, FileUnusable), opened(file) as fd:
                kept += max(0, len(_offsets(fd)) - 2)


def forget(path: Path, keys: HistoryKeys, now: int, days: int) -> None:
    """Remove the files whose last record is more than ``days`` old; ``now`` in milliseconds.

    No clock that was wrong for one run may make others too old, or that run: today is the time of
    the newest record where that is earlier than ``now``, times after today or before there was
    such a history are not believed, and a file is as old as the latest one up to it.  So it goes
    at the second start at which it is too old.  What cannot be removed stays.  Raises OSError.
    """
    files = [file for _, file in run_paths(path)]
    newest = _last_time(files[-1], keys) if files else None
    today = now if newest is None else min(now, newest)
    latest = past = 0
    for place, file in enumerate(files):
        time = _last_time(file, keys)
        if time is not None and _EARLIEST <= time <= today:
            latest = max(latest, time)
            if latest >= today - days * _DAY:
                break
            past = place + 1
    for file in files[:past]:
        with contextlib.suppress(OSError):
            file.unlink()


def _last_time(file: Path, keys: HistoryKeys) -> int | None:
    """The time of a file's last record that can be read, in milliseconds."""
    reader = Reader([file], keys)
    with contextlib.suppress(OSError, FileUnusable):
        return next((one.milliseconds for one in reader.last(1, lambda _: True)), None)
    return None


def delete(path: Path) -> None:
    """Remove a history, and the folder with the last one.  Raises OSError."""
    # In this order: without the keys nothing is added, and nothing can be read.
    (path / KEYS).unlink(missing_ok=True)
    for left in range(_DELETE_TRIES, 0, -1):
        for name in os.listdir(path):
            (path / name).unlink(missing_ok=True)
        try:
            path.rmdir()
            break
        except OSError:  # somebody had seen the keys, and has begun a file meanwhile
            if left == 1:
                raise
    with contextlib.suppress(OSError):
        path.parent.rmdir()
        path.parent.parent.rmdir()


class Reader:
    """Goes through files of records as they are when that begins, and changes nothing.

    ``faults`` is what was found by then.
    """

    def __init__(self, files: list[Path], keys: HistoryKeys) -> None:
        self._files, self._keys = files, keys
        self.faults = Faults()

    def records(self) -> Iterator[Record]:
        """All of them, by time; those of a run in its order.  Raises OSError."""
        return heapq.merge(*(self._run(file) for file in self._files), key=attrgetter("time"))

    def last(self, count: int, wanted: Callable[[Record], bool]) -> list[Record]:
        """The last ones that are ``wanted``, at most ``count``; little more than that is opened.

        Raises OSError.
        """
        runs = [self._run(file, backwards=True) for file in reversed(self._files)]
        found: list[Record] = []
        for record in heapq.merge(*runs, key=attrgetter("time"), reverse=True):
            found += filter(wanted, [record])
            if len(found) >= count:
                break
        for run in runs:
            run.close()  # which says what was wrong
        return found[::-1]

    def _run(self, path: Path, backwards: bool = False) -> Generator[Record, None, None]:
        """The records of one file; then ``faults`` has what is wrong with it."""
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile: the oldest, in the main
            with opened(path) as fd:
                offsets = _offsets(fd)
                header = _text(fd, 0, offsets[1]) if len(offsets) > 1 else b""
                torn = os.fstat(fd).st_size > offsets[-1]
            try:
                run = RunCipher.of_header(self._keys, header)
            except Damaged:
                self.faults += Faults(changed=max(1, len(offsets) - 2))
                return
            places = list(zip(offsets[1:], offsets[2:], strict=False))
            count = _Count()
            try:
                for start, end in reversed(places) if backwards else places:
                    with opened(path) as fd:  # not all files at once are kept open
                        line = _text(fd, start, end)
                    if (record := count.take(run, line)) is not None:
                        yield record
            finally:
                whole = count.lines == len(places)
                self.faults += count.faults(backwards, whole, torn)


class _Count:
    """The numbers of the records of one file that was read in part, from one end."""

    def __init__(self) -> None:
        self.lines = self._changed = 0
        self._found: list[int] = []
        self._known: set[int] = set()
        self._claimed: set[int] = set()

    def take(self, run: RunCipher, line: bytes) -> Record | None:
        """The record of a line, if it is one that was not there yet."""
        self.lines += 1
        try:
            number, record = run.open(line)
        except Damaged:
            self._changed += 1
            claimed = number_of(line)
            if claimed is not None:
                self._claimed.add(claimed)
            return None
        again = number in self._known
        self._found.append(number)
        self._known.add(number)
        return None if again else record

    def faults(self, backwards: bool, whole: bool, torn: bool) -> Faults:
        """What is wrong with what was read; ``whole``: that was all of it."""
        found = self._found[::-1] if backwards else self._found
        highest, moved = 0, 0
        for number in found:
            moved += number <= highest
            highest = max(highest, number)
        reach = self._known | self._claimed
        first = 1 if whole else min(reach, default=1)
        missing = max(reach, default=0) + 1 - first - len(self._known) - self._changed
        return Faults(max(0, missing), self._changed, moved, int(torn))


# Files


def _make_folder(path: Path) -> None:
    """Make a folder that nobody else may look into, and what is above it.  Raises OSError."""
    for each in (*reversed(path.parents), path):
        with contextlib.suppress(FileExistsError, IsADirectoryError):
            if not os.path.exists(each):
                os.mkdir(each, 0o700)


def hide(path: Path) -> None:
    """Take the rights of others from a history that somebody has made readable for them.

    Raises OSError.
    """
    if sys.platform == "win32":
        return
    folders = [(path.parent, 0o700), (path, 0o700)]
    for each, mode in (*folders, *((file, 0o600) for file in path.iterdir())):
        if stat.S_IMODE(os.lstat(each).st_mode) & 0o077 and not each.is_symlink():
            os.chmod(each, mode)


def _offsets(fd: int) -> list[int]:
    """Where the whole lines of a file begin, and where the last one ends."""
    found, at = [0], 0
    while data := os.read(fd, _BLOCK):
        place = data.find(b"\n")
        while place >= 0:
            found.append(at + place + 1)
            place = data.find(b"\n", place + 1)
        at += len(data)
    return found


def _text(fd: int, start: int, end: int) -> bytes:
    """What stands there; empty for a line that is too long for a record."""
    if end - start > LINE_BYTES:
        return b""
    os.lseek(fd, start, os.SEEK_SET)
    data = b""
    while len(data) < end - start and (more := os.read(fd, end - start - len(data))):
        data += more
    return data
