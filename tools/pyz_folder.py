"""Native modules in a private folder, where the system cannot load them from memory.

The folder has an unpredictable name and belongs to this user alone. Where the system lets a
loaded file be removed it is gone as soon as the modules are loaded; on Windows it is removed
when the program starts the next time. A folder in use is told from one that was left behind by
the file ``alive`` in it, which whoever uses the folder keeps open and locked.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import tempfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tools.pyz_start import Archive

PREFIX = "cmd_chat-native-"
ALIVE = "alive"
_ATTEMPTS = 5
_ELF = b"\x7fELF"

_NOT_PRIVATE = (
    "CMD_CHAT_NATIVE_FOLDER names {folder}, which is not a folder that you own and nobody else may "
    "enter: make one with mkdir -m 700."
)
_UNUSABLE = (
    "The native code of this file cannot be loaded from {folder}, which CMD_CHAT_NATIVE_FOLDER "
    "names ({why}): name one on a disk that takes files and lets them be executed."
)
_LIMIT = (
    "Files may not be larger than {limit} bytes here (ulimit -f), in whatever folder, and the "
    "native code of this file is: start it with a larger limit."
)


class InFolder:
    """Native modules loaded from a folder that only this user can enter."""

    how = "loaded from a private folder"

    def __init__(self, archive: Archive, build: dict[str, Any], asked: str | None = None) -> None:
        self._archive, self._build = archive, build
        self._asked = asked or None  # for this folder to be used, instead of the temporary one
        self._folder = ""
        self._alive = -1

    def place(self, entry: str) -> str:
        """A path from which the module in ``entry`` can be loaded.  Raises ``OSError``."""
        if not self._folder:
            if self._asked is not None:
                check_private(self._asked)
            sweep(self._asked)
            self._folder, self._alive = make(self._asked)
            for library in self._build["libraries"]:
                self._put(library)
        return self._put(entry)

    def _put(self, entry: str) -> str:
        # The wheel's own folders, after native/<platform>/: modules look for libraries by them.
        *folders, name = entry.split("/")[2:]
        place = self._folder
        for folder in folders:
            place = os.path.join(place, folder)
            with contextlib.suppress(FileExistsError):
                os.mkdir(place, 0o700)
        path = os.path.join(place, name)
        write_new(path, self._bytes(entry))
        return path

    def _bytes(self, entry: str) -> bytes:
        data = self._archive.read(entry)
        if data.startswith(_ELF):
            from pyz_elf import without_relr  # type: ignore[import-not-found]

            return bytes(without_relr(data, entry))
        return data

    def loaded(self) -> None:
        """All modules are loaded, or cannot be; remove what they were loaded from, where that is
        possible."""
        if self._folder and sys.platform != "win32":
            os.close(self._alive)
            remove(self._folder)
            self._folder = ""


    def why(self, error: Exception) -> str:
        """What keeps modules from being loaded from the folder that was asked for."""
        if self._asked is None:
            return ""
        if isinstance(error, PermissionError) and error.errno is None:
            return _NOT_PRIVATE.format(folder=self._asked)
        if isinstance(error, OSError) and error.errno == errno.EFBIG:
            import resource  # where there is such an error, there is this module

            return _LIMIT.format(limit=resource.getrlimit(resource.RLIMIT_FSIZE)[0])
        return _UNUSABLE.format(folder=self._asked, why=" ".join(str(error).split()))


def make(inside: str | None = None) -> tuple[str, int]:
    """A new private folder, and a descriptor that marks it as in use while it is open.

    Raises ``OSError`` if there is none to be had.
    """
    for _attempt in range(_ATTEMPTS):
        folder = tempfile.mkdtemp(prefix=PREFIX, dir=inside)
        check_private(folder)
        try:
            return folder, _mark(os.path.join(folder, ALIVE))
        except OSError as error:
            wrong = error  # another one that starts took it for left behind, and removed it
    raise wrong


def _mark(path: str) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    if _lock(descriptor) and os.path.exists(path):
        return descriptor
    os.close(descriptor)
    raise FileExistsError(path)


def _lock(descriptor: int) -> bool:
    """Whether the lock could be had; Windows needs none: it does not remove an open file."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def check_private(folder: str) -> None:
    """Raises ``PermissionError`` unless ``folder`` is a real one, and this user's alone."""
    if not _is_ours(folder):
        raise PermissionError(f"{folder} is not private")


def _is_ours(folder: str) -> bool:
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode):
        return False
    if sys.platform == "win32":
        return True  # it has its rights from the user's own temporary folder
    return found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) & 0o077 == 0


def write_new(path: str, data: bytes) -> None:
    """Write a file that was not there.  Raises ``OSError``."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with open(os.open(path, flags, 0o600), "wb") as file:
        file.write(data)


def sweep(inside: str | None = None) -> None:
    """Remove the folders that earlier runs had to leave behind."""
    place = inside or tempfile.gettempdir()
    with contextlib.suppress(OSError):
        for name in os.listdir(place):
            if name.startswith(PREFIX):
                with contextlib.suppress(OSError):
                    _sweep_one(os.path.join(place, name))


def _sweep_one(folder: str) -> None:
    if not _is_ours(folder):
        return
    names = os.listdir(folder)
    if ALIVE not in names:
        # Its owner makes that file first: without it, an empty folder is one that is being made.
        if names:
            remove(folder)
        return
    alive = os.path.join(folder, ALIVE)
    if sys.platform == "win32":
        os.remove(alive)  # fails while its owner runs
        remove(folder)
        return
    descriptor = os.open(alive, os.O_RDWR | os.O_NOFOLLOW)
    try:
        if _lock(descriptor):
            remove(folder)
    finally:
        os.close(descriptor)


def remove(folder: str) -> None:
    """Remove a folder of ours as far as the system lets us."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
