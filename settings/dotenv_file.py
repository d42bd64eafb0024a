"""Whether a file of settings is to be believed, and what is in it.

The working directory may be anybody's: a shared folder, an unpacked archive, ``/tmp``. A ``.env``
that others may have written is not read. One that the user has named is believed.
"""

from __future__ import annotations

import os
import stat
import sys

from i18n import _
from settings.dotenv import STRICT, Dotenv, parse_dotenv, strict_names
from settings.errors import UTF16, SettingsError, reason
from settings.table import ROWS, default

NONE = "none"  # in place of a path: no file at all

_FILE_BYTES = 128 * 1024  # more is no settings file, and costs much memory to look at
_PATH = ".env"

# A FIFO must not hang, nor a terminal become the controlling one; binary is for Windows.
_FLAGS = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY")
)


def read_dotenv(path: str | None = None) -> Dotenv:
    """The settings of the working directory's ``.env``, if it is one and can be believed; or those
    of the file ``path`` that the user has named (``none``: of no file).

    Raises SettingsError for a named file that cannot be used, and for no other.
    """
    if path == NONE:
        return Dotenv()
    if path is not None:
        return _read_named(path)
    try:
        return _read_found(_PATH)
    except (FileNotFoundError, NotADirectoryError):
        return Dotenv()
    except OSError as error:
        return Dotenv(notices=[_not_read(_PATH, reason(error))])


def read_trusted(path: str) -> str | None:
    """The text of another settings file that is believed by the same rule; None if there is none.

    Raises ``SettingsError`` where there is one that cannot be read or believed.
    """
    try:
        status, raw = _read(path, ordinary=True)
        if not stat.S_ISREG(status.st_mode):
            raise _unusable(path, _("it is no ordinary file"))
        if (why := _distrust(path, status)) is not None:
            raise _unusable(path, why)
        return _decoded(path, raw)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeError) as error:
        raise _unusable(path, reason(error)) from None


def _read_named(path: str) -> Dotenv:
    try:
        _status, raw = _read(path, ordinary=False)
        return parse_dotenv(_decoded(path, raw), path)
    except (OSError, UnicodeError) as error:
        raise _unusable(path, reason(error)) from None


def _decoded(path: str, raw: bytes) -> str:
    if len(raw) > _FILE_BYTES:
        raise SettingsError(_too_long(path))
    return raw.decode("utf-8-sig")


def _too_long(path: str) -> str:
    return _("{path} is too long for a settings file.").format(path=path)


def _unusable(path: str, why: str) -> SettingsError:
    return SettingsError(_("{path} cannot be used: {why}.").format(path=path, why=why))


def _read_found(path: str) -> Dotenv:
    """A file that nobody has named; raises OSError."""
    status, raw = _read(path, ordinary=True)
    if not stat.S_ISREG(status.st_mode):
        return _not_ordinary(status)
    found = parse_dotenv(raw.decode("utf-8-sig", "surrogateescape"))
    if (why := _distrust(path, status)) is not None:
        sentence = _("{path} is not read: {why}; say --env-file {path} if you trust it.")
        return _withheld(found, sentence.format(path=path, why=why))
    if len(raw) > _FILE_BYTES:
        return _withheld(found, _too_long(path))
    if raw.startswith(UTF16):  # no line of it means anything
        names = strict_names(raw[2:].replace(b"\0", b"").decode("latin-1"))
        why = reason(UnicodeDecodeError("utf-8", raw, 0, 2, ""))
        return Dotenv(notices=[_not_read(path, why)], withheld=names)
    return found


def _read(path: str, ordinary: bool) -> tuple[os.stat_result, bytes]:
    """What a file is, and all of it, or more than a settings file may have; nothing of one that
    has to be ``ordinary`` and is not."""
    status = os.stat(path)
    if ordinary and not stat.S_ISREG(status.st_mode):
        return status, b""  # not opened at all: a device may do something then
    fd = os.open(path, _FLAGS)
    try:
        status = os.fstat(fd)  # of what is open, not of what the path names by now
        if stat.S_ISFIFO(status.st_mode) and not ordinary:
            os.set_blocking(fd, True)  # whoever writes to it may be slower: <(command)
        raw, most = b"", 0 if ordinary and not stat.S_ISREG(status.st_mode) else _FILE_BYTES + 1
        while len(raw) < most and (piece := os.read(fd, most - len(raw))):
            raw += piece
    finally:
        os.close(fd)
    return status, raw


def _not_ordinary(status: os.stat_result) -> Dotenv:
    # A folder of that name is common (a virtual environment), and nobody takes it for settings.
    why = _("it is no ordinary file")
    return Dotenv(notices=[] if stat.S_ISDIR(status.st_mode) else [_not_read(_PATH, why)])


def _not_read(path: str, why: str) -> str:
    return _("{path} is not read: {why}.").format(path=path, why=why)


def _withheld(found: Dotenv, sentence: str) -> Dotenv:
    """Nothing of a file, and which of ``STRICT`` it asks for."""
    names = {*found.withheld, *(name for name in STRICT if _asks(name, found.get(name, "")))}
    return Dotenv(notices=[sentence], withheld=names)


def _asks(name: str, value: str) -> bool:
    """Whether a value makes anything stricter."""
    if not value.strip():
        return False
    try:
        parsed = ROWS[name].type(value)
        return bool(parsed) and parsed != default(name)
    except ValueError:
        return True


def _distrust(path: str, status: os.stat_result) -> str | None:
    """Why a file is not to be believed that has ``status``; None if it is."""
    if sys.platform == "win32":
        return None
    user = os.geteuid()
    trusted = {user, 0}
    if user == 0:  # sudo, or a container in which a folder of its host is mounted
        trusted.add(os.stat(os.path.dirname(path) or ".").st_uid)
    link = os.lstat(path)
    if status.st_uid not in trusted or link.st_uid not in trusted:
        return _("it belongs to somebody else")
    if status.st_mode & stat.S_IWOTH:
        return _chmod(_("everybody may write to it"), path)
    if status.st_mode & stat.S_IWGRP and not _is_private(status.st_gid, status.st_uid):
        return _chmod(_("others in its group may write to it"), path)
    return None


def _chmod(why: str, path: str) -> str:
    import shlex

    return _("{why} (chmod go-w {path} changes that)").format(why=why, path=shlex.quote(path))


def _is_private(group: int, owner: int) -> bool:
    """Whether a group is a user's own, as where everybody has one and umask is 002."""
    if sys.platform == "win32":
        return True
    import grp
    import pwd

    try:
        entry = grp.getgrgid(group)
        name, members = entry.gr_name, set(entry.gr_mem)
    except KeyError:
        name, members = "", set()
    try:
        user = pwd.getpwuid(owner)
    except KeyError:  # a container's user that has no entry
        return group in (owner, 0) and not members
    if members - {user.pw_name, "root"}:
        return False
    return group == 0 or (user.pw_gid == group and name in ("", user.pw_name))
