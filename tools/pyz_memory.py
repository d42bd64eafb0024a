"""Native modules in files that only exist in memory (Linux)."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

from pyz_elf import point_at, without_relr  # type: ignore[import-not-found]  # beside this

if TYPE_CHECKING:
    from tools.pyz_start import Archive

# linux/memfd.h; NOEXEC_SEAL came with Linux 6.3, and is what a system may insist on. It forbids
# to execute the file as a program, which a library never is.
_CLOEXEC, _NOEXEC_SEAL = 0x1, 0x8
_MEMFD_CREATE = {"x86_64": 319, "aarch64": 279}  # the system call's number
_OPEN_FILES = "/proc/self/fd"

_FOLDER = (
    "Make a folder that is yours alone, and name it: "
    "mkdir -m 700 FOLDER; export CMD_CHAT_NATIVE_FOLDER=FOLDER"
)
_LIMIT = (
    "Files may not be larger than {limit} bytes here (ulimit -f), files in memory included, and "
    "the native code of this file takes {size}: start it with a larger limit."
)
_REFUSED = (
    "This system lets no program make files in memory (memfd_create: {why}), from which the "
    f"native code of this file would be loaded. {_FOLDER}"
)
_NO_PROC = (
    "/proc is not there, through which the native code of this file would be loaded from memory. "
    f"{_FOLDER}"
)


class Refused(OSError):
    """The system does not make files in memory."""


class NoProc(OSError):
    """A file in memory has no name by which it could be loaded."""


def in_memory(name: str, data: bytes) -> int:
    """A descriptor of a file that only exists in memory.  Raises ``OSError``, ``ImportError``."""
    for flags in (_CLOEXEC | _NOEXEC_SEAL, _CLOEXEC):
        try:
            descriptor = _memfd_create(name, flags)
            break
        except OSError as error:
            wrong = error
    else:
        raise Refused(wrong.errno, wrong.strerror)
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    return descriptor


def _memfd_create(name: str, flags: int) -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name, flags)
    # A Python that was built on an old system, as portable ones are, does not have it.
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    number = _MEMFD_CREATE[os.uname().machine]
    descriptor: int = libc.syscall(
        ctypes.c_long(number), ctypes.c_char_p(name.encode()), ctypes.c_uint(flags)
    )
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return descriptor


class InMemory:
    """Native modules loaded from memory: nothing is written, and no mount option matters."""

    how = "loaded from memory"

    def __init__(self, archive: Archive, build: dict[str, Any]) -> None:
        self._archive, self._build = archive, build
        # All stay open until all are loaded: a loader takes two files of one name for the same.
        self._open: list[int] = []
        self._size = 0  # of the file that is being made

    def place(self, entry: str) -> str:
        """A path from which the module in ``entry`` can be loaded.  Raises ``OSError``."""
        data = self._archive.read(entry)
        for library in self._build["libraries"] if entry == self._build["rust"] else ():
            name = os.path.basename(library)
            whole = without_relr(self._archive.read(library), name)
            data = point_at(data, name, self._put(name, whole))
        return self._put(os.path.basename(entry), data)

    def _put(self, name: str, data: bytes) -> str:
        self._size = len(data)
        descriptor = in_memory(name, data)
        self._open.append(descriptor)
        path = f"{_OPEN_FILES}/{descriptor}"
        if not os.path.exists(path):
            raise NoProc(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return path

    def loaded(self) -> None:
        """All modules are loaded; what they were loaded from can go."""
        while self._open:
            os.close(self._open.pop())

    def why(self, error: Exception) -> str:
        """What keeps modules from being loaded, and what to do; empty if that is not known."""
        if isinstance(error, NoProc):
            return _NO_PROC
        if isinstance(error, Refused):
            return _REFUSED.format(why=error.strerror)
        if isinstance(error, OSError) and error.errno == errno.EFBIG:
            import resource

            limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
            return _LIMIT.format(limit=limit, size=self._size)
        return ""
