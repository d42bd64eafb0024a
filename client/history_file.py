"""Local history: one server's file, and the folder that such files lie in.

Everything that writes holds the folder's lock, an empty file beside the histories, and opens the
history anew each time: so programs that run at once take turns, and each finds what the others
have written or put in its place.  Who reads needs no lock: whole lines never change.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from client.history_records import (
    HEADER_BYTES,
    LINE_BYTES,
    NUMBER_MOST,
    Damaged,
    Faults,
    Header,
    HistoryError,
    Keys,
    Record,
    decode_owner,
    encode_owner,
    faults,
    number_of,
)
from protocol.invite import Invite
from protocol.keys import digest

LOCK_SECONDS = 5.0  # that one program waits for another
SUFFIX = ".history"
_LOCK = "lock"
_NEW = ".new"  # what is about to take a file's place
_LOOK_SECONDS = 0.01
_BLOCK = 256 * 1024
_SLACK = 4  # while it is written, a file may become longer by one in so many records
# Not everywhere: no link is followed, no pipe waited for, no line end translated.
_FLAGS = (
    getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
)  # fmt: skip


class Busy(HistoryError):
    """Another program has held the lock for too long."""

    code = "busy"


class Replaced(HistoryError):
    """Another file, or one with another passphrase, has taken the place of the one opened."""

    code = "replaced"


class Foreign(HistoryError):
    """The file is another server's, under this one's name."""

    code = "foreign"


def server_name(host: str, port: int) -> str:
    """Host and port in the one form that stands for all ways to write them."""
    name = host.rstrip(".").casefold()
    with contextlib.suppress(ValueError):
        name = ipaddress.ip_address(name).compressed
    return Invite(name, port).server


def file_path(folder: Path, server: str) -> Path:
    """Where the history of ``server_name`` is; who does not guess the address does not see it."""
    hashed = digest("cmdchat history file 1", server.encode())
    return folder / (hashed[:16].hex() + SUFFIX)


def file_paths(folder: Path) -> list[Path]:
    """All histories in a folder; none where there is no such folder.  Raises OSError."""
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    return [folder / name for name in names if name.endswith(SUFFIX)]


def make_folder(folder: Path) -> None:
    """Make a folder that nobody else may look into, and what is above it.  Raises OSError."""
    for path in (*reversed(folder.parents), folder):
        with contextlib.suppress(FileExistsError, IsADirectoryError):
            if not os.path.exists(path):
                os.mkdir(path, 0o700)
    _hide(folder, 0o700)


def _hide(path: Path, mode: int) -> None:
    """Take the rights of others from what somebody has made readable for them."""
    if sys.platform != "win32" and stat.S_IMODE(os.stat(path).st_mode) & 0o077:
        os.chmod(path, mode)


@contextlib.contextmanager
def locked(folder: Path, seconds: float | None = None) -> Iterator[None]:
    """Hold the folder's lock; waits for it ``LOCK_SECONDS``, or as told.  Raises Busy, OSError."""
    path = folder / _LOCK
    end = time.monotonic() + (LOCK_SECONDS if seconds is None else seconds)
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o600)
        try:
            while not _lock(fd):
                if time.monotonic() >= end:
                    raise Busy()
                time.sleep(_LOOK_SECONDS)  # waiting for it could not be given up
            if _is_at(fd, path):  # and has not been removed meanwhile
                yield
                return
        finally:
            os.close(fd)  # which lets go of it


def _lock(fd: int) -> bool:
    """Take the lock, if nobody has it."""
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


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _opened(path: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    """The file's descriptor.  Raises OSError, and HistoryError for what is no file."""
    fd = os.open(path, flags | _FLAGS, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise HistoryError()
        yield fd
    finally:
        os.close(fd)


def _read_header(fd: int) -> Header:
    os.lseek(fd, 0, os.SEEK_SET)
    line, end, _rest = os.read(fd, HEADER_BYTES).partition(b"\n")
    return Header.decode(line + end)


def read_header(path: Path) -> Header:
    """The header of a file.  Raises OSError, HistoryError."""
    with _opened(path) as fd:
        return _read_header(fd)


class Line(NamedTuple):
    """A whole line after the header: where it is, the ``number`` that it claims, and the one that
    its ``place`` after the line before gives it."""

    start: int
    end: int
    number: int | None
    place: int = 0


def _lines(fd: int, start: int, end: int) -> Iterator[Line]:
    """The whole lines between two places of a file, of which the first begins a line."""
    begin, place = start, 0
    rest, dropped = b"", 0  # what is there of the line at `begin`, behind what need not be kept
    while (at := begin + dropped + len(rest)) < end:
        os.lseek(fd, at, os.SEEK_SET)
        data = os.read(fd, min(_BLOCK, end - at))
        if not data:
            return
        *whole, rest = (rest + data).split(b"\n")
        for text in whole:
            number = None if dropped else number_of(text + b"\n")
            line = Line(begin, begin + dropped + len(text) + 1, number, place)
            yield line
            begin, dropped = line.end, 0
            place = (place if number is None else number) + 1
        if len(rest) > LINE_BYTES:  # too long for a record
            rest, dropped = b"", dropped + len(rest)


def _text(fd: int, line: Line) -> bytes:
    """A line's bytes; empty for one that is too long for a record."""
    size = line.end - line.start
    if size > LINE_BYTES:
        return b""
    os.lseek(fd, line.start, os.SEEK_SET)
    data = b""
    while len(data) < size and (more := os.read(fd, size - len(data))):
        data += more
    return data


class HistoryFile:
    """A file and its keys.  Used by one thread at a time, but for ``reader``."""

    def __init__(self, path: Path, keys: Keys) -> None:
        self.path, self._keys = path, keys
        self._header = b""  # the line as it was last seen
        self._first_line = 0  # where the records begin
        self._end = 0  # what of the file is known
        self._next = 1  # the number of the next record
        self._count = 0  # records, without the one that says whose file it is
        self.torn = 0  # lines that were cut off because they were not whole

    @classmethod
    def create(cls, path: Path, keys: Keys, header: Header, server: str) -> HistoryFile:
        """Make a new file.  Raises FileExistsError, another OSError, Busy."""
        make_folder(path.parent)
        with locked(path.parent):
            if path.exists():
                raise FileExistsError(path)
            with _replacing(path) as fd:
                _write(fd, header.encode() + keys.seal(0, encode_owner(server)))
        return cls(path, keys)

    def settle(self, server: str, most: int, oldest: int | None) -> None:
        """Look at what is there before the first record is added: cut off a line that is not
        whole, and trim.  Raises OSError, HistoryError."""
        with locked(self.path.parent):
            with _opened(self.path, os.O_RDWR) as fd:
                self._catch_up(fd)
                self._check_owner(fd, server)
            _hide(self.path.parent, 0o700)
            _hide(self.path, 0o600)
            self._trim(most, oldest)

    def append(self, record: Record, most: int) -> None:
        """Add a record, and trim once there are many more than ``most``.

        Raises OSError, HistoryError; the file is then as it was.
        """
        with locked(self.path.parent):
            with _opened(self.path, os.O_RDWR | os.O_APPEND) as fd:
                self._catch_up(fd)
                if self._next >= NUMBER_MOST:
                    raise HistoryError()
                line = self._keys.seal(self._next, record.encode())
                try:
                    _write(fd, line)
                except OSError:
                    os.ftruncate(fd, self._end)  # a disk that is full takes half a line
                    raise
                self._take(Line(self._end, self._end + len(line), self._next))
            if self._count > most + most // _SLACK:
                self._trim(most, None)

    def reader(self) -> Reader:
        """Reads the file as it is when it is used; may be used by another thread."""
        return Reader(self.path, self._keys)

    def _catch_up(self, fd: int) -> None:
        """Learn what others have done since the last time; the lock is held."""
        size = os.fstat(fd).st_size
        header = _read_header(fd)
        if header.encode() != self._header or size < self._end:
            if not self._keys.fit(header):
                raise Replaced()
            self._header = header.encode()
            self._first_line = self._end = len(self._header)
            self._next, self._count = header.first, 0
        for line in _lines(fd, self._end, size):
            self._take(line)
        if self._end < size:
            os.ftruncate(fd, self._end)
            self.torn += 1

    def _take(self, line: Line) -> None:
        self._end = line.end
        if line.start > self._first_line:
            self._count += 1
        if line.number is not None:
            self._next = max(self._next, line.number + 1)

    def _check_owner(self, fd: int, server: str) -> None:
        line = next(_lines(fd, self._first_line, self._end), None)
        with contextlib.suppress(Damaged):  # which whoever reads is told
            number, plain = self._keys.open(b"" if line is None else _text(fd, line))
            if number == 0 and decode_owner(plain) != server:
                raise Foreign()

    def _trim(self, most: int, oldest: int | None) -> None:
        """Keep the last ``most`` records, of these the ones since ``oldest`` (milliseconds).

        What cannot be trimmed stays; the lock is held.
        """
        with contextlib.suppress(OSError):
            with _opened(self.path) as fd:
                begin = self._first_to_keep(fd, most, oldest)
            if begin is None:
                return
            header = self._keys.header(Header.decode(self._header), begin.number or self._next)
            # Closed before it is replaced: some systems replace no file that is open.
            with _replacing(self.path) as to, _opened(self.path) as fd:
                owner = next(_lines(fd, self._first_line, self._end))
                _write(to, header.encode() + _text(fd, owner))
                _copy(fd, begin.start, self._end, to)
            with _opened(self.path, os.O_RDWR) as fd:
                self._catch_up(fd)

    def _first_to_keep(self, fd: int, most: int, oldest: int | None) -> Line | None:
        """The first record that stays, or the place behind the last; None if all of them do."""
        lines = _lines(fd, self._first_line, self._end)
        if next(lines, None) is None:
            return None
        over = max(0, self._count - most)
        for place, line in enumerate(lines):
            # Nor may a file begin with what has no number.
            if place >= over and line.number and not self._is_before(fd, line, oldest):
                return line if place else None
        return Line(self._end, self._end, None) if self._count else None

    def _is_before(self, fd: int, line: Line, oldest: int | None) -> bool:
        """Whether a line may be forgotten; what cannot be read may, too."""
        if oldest is None:
            return False
        try:
            return Record.decode(self._keys.open(_text(fd, line))[1]).milliseconds < oldest
        except Damaged:
            return True


class Reader:
    """Goes through a file as it is when that begins, and changes nothing.

    ``faults`` and ``owner`` are what was found by then.
    """

    def __init__(self, path: Path, keys: Keys) -> None:
        self._path, self._keys = path, keys
        self._found: list[int] = []
        self._numbers: set[int] = set()
        self._claimed: list[int] = []
        self._torn = False
        self._begins: int | None = None  # with which record; None: not all was read
        self.owner: str | None = None

    @property
    def faults(self) -> Faults:
        """What is wrong with what was read."""
        told = faults(self._found, self._claimed, self._begins, self._torn)
        if self._begins is not None and self.owner is None and 0 not in self._claimed:
            told = replace(told, missing=((0, 0), *told.missing))
        return told

    def records(self) -> Iterator[Record]:
        """All of them, in the file's order.  Raises OSError, HistoryError."""
        with _opened(self._path) as fd:
            header, start, end = self._begin(fd)
            for line in self._without_owner(fd, _lines(fd, start, end)):
                yield from self._record(fd, line)
            self._begins = header.first

    def last(self, count: int, wanted: Callable[[Record], bool]) -> list[Record]:
        """The last ones that are ``wanted``, at most ``count``; no more than that is opened.

        Raises OSError, HistoryError.
        """
        found: list[Record] = []
        with _opened(self._path) as fd:
            header, start, end = self._begin(fd)
            lines = list(self._without_owner(fd, _lines(fd, start, end)))
            while lines and len(found) < count:
                found += filter(wanted, self._record(fd, lines.pop()))
            self._found.reverse()
            self._begins = None if lines else header.first
        return found[::-1]

    def _begin(self, fd: int) -> tuple[Header, int, int]:
        """The header, and where the records begin and end."""
        header = _read_header(fd)
        if not self._keys.fit(header):
            raise Replaced()
        size = os.fstat(fd).st_size
        if not _is_whole(fd, size):
            # Perhaps somebody is writing just now.
            with contextlib.suppress(OSError, Busy), locked(self._path.parent):
                size = os.fstat(fd).st_size
            self._torn = not _is_whole(fd, size)
        return header, len(header.encode()), size

    def _without_owner(self, fd: int, lines: Iterator[Line]) -> Iterator[Line]:
        for place, line in enumerate(lines):
            if place or line.number != 0:
                yield line
                continue
            try:
                self.owner = decode_owner(self._keys.open(_text(fd, line))[1])
            except Damaged:
                self._claimed.append(0)

    def _record(self, fd: int, line: Line) -> Iterator[Record]:
        """The record of a line, if it is one that was not there yet."""
        try:
            number, plain = self._keys.open(_text(fd, line))
            record = Record.decode(plain)
        except Damaged:
            self._claimed.append(line.place if line.number is None else line.number)
            return
        again = number in self._numbers
        self._found.append(number)
        self._numbers.add(number)
        if not again:
            yield record


def _is_whole(fd: int, size: int) -> bool:
    os.lseek(fd, max(0, size - 1), os.SEEK_SET)
    return os.read(fd, 1) == b"\n"


def reseal(path: Path, old: Keys, new: Keys, header: Header) -> None:
    """Give a file another passphrase.  What cannot be opened stays as it is, and so is found.

    Raises OSError, HistoryError; the file is then as it was.
    """
    with locked(path.parent), _replacing(path) as to, _opened(path) as fd:
        before = _read_header(fd)
        if not old.fit(before):
            raise Replaced()
        _write(to, new.header(header, before.first).encode())
        for line in _lines(fd, len(before.encode()), os.fstat(fd).st_size):
            text = _text(fd, line)
            try:
                text = new.seal(*old.open(text))
            except Damaged:
                text = text or b"?\n"
            _write(to, text)


def delete(path: Path, seconds: float | None = None) -> None:
    """Remove a file, and the folder with the last one.

    Waits for others no longer than ``seconds``, and then does it all the same.  Raises OSError.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError, Busy):
            stack.enter_context(locked(path.parent, seconds))
        # In this order: what somebody is about to put in its place does not bring it back.
        path.with_name(path.name + _NEW).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        if not file_paths(path.parent):
            with contextlib.suppress(OSError):
                (path.parent / _LOCK).unlink(missing_ok=True)
                path.parent.rmdir()
                path.parent.parent.rmdir()


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[int]:
    """A new file that takes the place of ``path`` at the end, if all goes well."""
    new = path.with_name(path.name + _NEW)
    new.unlink(missing_ok=True)  # left by a program that was killed
    try:
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
        try:
            yield fd
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(new, path)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _copy(fd: int, start: int, end: int, to: int) -> None:
    while start < end:
        os.lseek(fd, start, os.SEEK_SET)
        data = os.read(fd, min(_BLOCK, end - start))
        if not data:
            return
        _write(to, data)
        start += len(data)
