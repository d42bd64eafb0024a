"""Whether a file of settings is to be believed, and what is in it.

The working directory may be anybody's: a shared folder, an unpacked archive, ``/tmp``. A ``.env``
that others may have written is not read. One that the user has named is believed.
"""

from __future__ import annotations

import codecs
import os
import stat
import sys

from i18n import _
from settings.dotenv import STRICT, Dotenv, parse_dotenv, strict_names
from settings.errors import SettingsError, reason
from settings.table import ROWS, default

NONE = "none"  # in place of a path: no file at all

_FILE_BYTES = 128 * 1024  # more is no settings file, and costs much memory to look at
_PATH = ".env"
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

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
        # Not to be opened at all: a device may do something then.
        if not stat.S_ISREG(os.stat(_PATH).st_mode):
            return _not_ordinary(os.stat(_PATH))
        return _read_found(_PATH)
    except (FileNotFoundError, NotADirectoryError):
        return Dotenv()
    except OSError as error:
        return Dotenv(said=[_not_read(_PATH, reason(error))])


def read_trusted(path: str) -> str | None:
    """The text of another settings file that is believed by the same rule; None if there is none.

    Raises ``SettingsError`` where there is one that cannot be read or believed.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            why = _("it is no ordinary file")
            raise SettingsError(_("{path} cannot be used: {why}.").format(path=path, why=why))
        fd = os.open(path, _FLAGS)
        try:
            why = _distrust(path, os.fstat(fd)) or ""
            raw = b"" if why else _read_all(fd)
        finally:
            os.close(fd)
        if len(raw) > _FILE_BYTES:
            raise SettingsError(_("{path} is too long for a settings file.").format(path=path))
        text = raw.decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeError) as error:
        why = reason(error)
    if why:
        raise SettingsError(_("{path} cannot be used: {why}.").format(path=path, why=why))
    return text


def _read_named(path: str) -> Dotenv:
    try:
        fd = os.open(path, _FLAGS)
        try:
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.set_blocking(fd, True)  # whoever writes to it may be slower: <(command)
            raw = _read_all(fd)
        finally:
            os.close(fd)
        if len(raw) > _FILE_BYTES:
            raise SettingsError(_("{path} is too long for a settings file.").format(path=path))
        return parse_dotenv(raw.decode("utf-8-sig"), path)
    except (OSError, UnicodeError) as error:
        sentence = _("{path} cannot be used: {why}.")
        raise SettingsError(sentence.format(path=path, why=reason(error))) from None


def _read_found(path: str) -> Dotenv:
    """A file that nobody has named; raises OSError."""
    fd = os.open(path, _FLAGS)
    try:
        # Of what is open, not of what the path names by now.
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return _not_ordinary(status)
        raw = _read_all(fd)
    finally:
        os.close(fd)
    found = parse_dotenv(raw.decode("utf-8-sig", "surrogateescape"))
    if (why := _distrust(path, status)) is not None:
        sentence = _("{path} is not read: {why}; say --env-file {path} if you trust it.")
        return _withheld(found, sentence.format(path=path, why=why))
    if len(raw) > _FILE_BYTES:
        return _withheld(found, _("{path} is too long for a settings file.").format(path=path))
    if raw.startswith(_UTF16):  # no line of it means anything
        names = strict_names(raw[2:].replace(b"\0", b"").decode("latin-1"))
        return Dotenv(said=[_not_read(path, reason(_error_of(raw)))], withheld=names)
    return found


def _read_all(fd: int) -> bytes:
    """All of it, or more than a settings file may have."""
    raw = b""
    while len(raw) <= _FILE_BYTES and (piece := os.read(fd, _FILE_BYTES + 1 - len(raw))):
        raw += piece
    return raw


def _error_of(raw: bytes) -> UnicodeError:
    """What is wrong with bytes that are not UTF-8."""
    try:
        raw.decode("utf-8")
    except UnicodeError as error:
        return error
    raise AssertionError("these are UTF-8")


def _not_ordinary(status: os.stat_result) -> Dotenv:
    # A folder of that name is common (a virtual environment), and nobody takes it for settings.
    why = _("it is no ordinary file")
    return Dotenv(said=[] if stat.S_ISDIR(status.st_mode) else [_not_read(_PATH, why)])


def _not_read(path: str, why: str) -> str:
    return _("{path} is not read: {why}.").format(path=path, why=why)


def _withheld(found: Dotenv, sentence: str) -> Dotenv:
    """Nothing of a file, and which of ``STRICT`` it asks for."""
    names = {*found.withheld, *(name for name in STRICT if _asks(name, found.get(name, "")))}
    return Dotenv(said=[sentence], withheld=names)


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
        return _("everybody may write to it")
    if status.st_mode & stat.S_IWGRP and not _is_private(status.st_gid, status.st_uid):
        return _("others in its group may write to it")
    return None


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
