"""Local history: records what this client shows, and looks back into it.

Imported only where somebody wants a history.  What goes wrong while chatting is said once, and
ends the recording, not the chat.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from client import events, wording
from client.history_file import HistoryFile, delete, file_path, read_header, server_name
from client.history_records import (
    COST,
    Faults,
    HistoryError,
    Keys,
    Record,
    WrongPassphrase,
    containing,
)

__all__ = ["Bounds", "History", "WrongPassphrase", "delete_history", "is_new", "open_history"]

_DELETE_SECONDS = 0.4  # for others to let go, when everything has to be gone at once

Emit = Callable[[events.Event], None]


@dataclass(frozen=True)
class Bounds:
    """Records to keep: the last ``most``, of these the ones of the last ``days`` (0: all)."""

    most: int
    days: int = 0

    def oldest(self, now: datetime) -> int | None:
        """The time before which nothing is kept, in milliseconds; None if there is none."""
        if not self.days:
            return None
        return int((now - timedelta(days=self.days)).timestamp() * 1000)


def is_new(folder: Path, host: str, port: int) -> bool:
    """Whether a server has no history yet, so that any passphrase is right."""
    return not os.path.exists(file_path(folder, server_name(host, port)))


def open_history(
    folder: Path, host: str, port: int, passphrase: str, bounds: Bounds, cost: int = COST
) -> History:
    """The history of a server, from now on.  Raises WrongPassphrase, before anything is changed.

    Whatever else is in the way stands in ``said``, and nothing is recorded then.
    """
    server = server_name(host, port)
    path = file_path(folder, server)
    said: list[str] = []
    file: HistoryFile | None = None
    try:
        file = _unlocked(path, passphrase, server, cost)
        file.settle(server, bounds.most, bounds.oldest(_now()))
        if file.torn:
            said.append(wording.history("torn"))
    except WrongPassphrase:
        raise
    except (OSError, HistoryError) as error:
        file = None
        said.append(_sentence(error, path))
    return History(path, file, bounds, said)


def _unlocked(path: Path, passphrase: str, server: str, cost: int) -> HistoryFile:
    """The file that is there, or a new one."""
    with contextlib.suppress(FileNotFoundError):
        return HistoryFile(path, Keys.unlock(passphrase, read_header(path)))
    keys, header = Keys.fresh(passphrase, cost)
    try:
        return HistoryFile.create(path, keys, header, server)
    except FileExistsError:  # made by another client meanwhile
        return HistoryFile(path, Keys.unlock(passphrase, read_header(path)))


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _sentence(error: OSError | HistoryError, path: Path) -> str:
    if isinstance(error, FileNotFoundError):
        return wording.history("removed")
    if isinstance(error, HistoryError):
        return wording.history(error.code, {"path": path})
    why = error.strerror or type(error).__name__
    return wording.history("stopped", {"path": path, "reason": why})


def delete_history(folder: Path, host: str, port: int, seconds: float) -> bool:
    """Remove a server's history that is not open here, if there is one; whether it is gone.

    Waits for others no longer than ``seconds``.
    """
    path = file_path(folder, server_name(host, port))
    try:
        there = path.exists()
    except OSError:  # a folder that may not be looked into
        return False
    return not there or _removed(path, seconds)


def _removed(path: Path, seconds: float) -> bool:
    try:
        delete(path, seconds)
    except OSError:
        return False
    return True


class History:
    """The history of one run.  ``said``: what there is to say before the chat begins.

    ``file`` is None where nothing can be recorded.
    """

    def __init__(
        self, path: Path, file: HistoryFile | None, bounds: Bounds, said: list[str]
    ) -> None:
        self._lock = threading.Lock()  # leaf; guards the file, which is None once it is closed
        self._path, self._file, self._bounds = path, file, bounds
        self._reader = None if file is None else file.reader
        self._show: Emit = lambda event: None
        self._missing = 0  # messages since the file could last be written
        self.said = said

    def before(self, show: Emit) -> Emit:
        """``show`` for a client whose messages are to be recorded, before they are shown."""
        self._show = show

        def take(event: events.Event) -> None:
            if isinstance(event, events.Message):
                self.record(event)
            show(event)

        return take

    def record(self, event: events.Message) -> None:
        """Add a message.  What goes wrong is shown once; a disk that is full may have room for the
        next one, and all else is the end of it."""
        with self._lock:
            file = self._file
            if file is None:
                return
            torn = file.torn
            try:
                file.append(_record(event), self._bounds.most)
            except (OSError, HistoryError) as error:
                text = self._failed_locked(error)
            else:
                text = wording.history("torn") if file.torn > torn else ""
                text = self._resumed_locked() or text
        if text:
            self._warn(text)

    def _failed_locked(self, error: OSError | HistoryError) -> str:
        """What to say of a message that could not be added."""
        if isinstance(error, HistoryError | FileNotFoundError):  # it is another one's, or gone
            self._file = None
            return _sentence(error, self._path)
        self._missing += 1
        if self._missing > 1:
            return ""
        why = error.strerror or type(error).__name__
        return wording.history("paused", {"path": self._path, "reason": why})

    def _resumed_locked(self) -> str:
        """What to say of the first message that could be added again."""
        missing, self._missing = self._missing, 0
        return wording.history_resumed(missing) if missing else ""

    def look_back(self, room: str, count: int, text: str) -> None:
        """Show the last records of a room, and private ones, that contain ``text``."""
        if self._reader is None:
            self._show(events.Error("no_history", wording.history("closed")))
            return
        reader = self._reader()
        try:
            found = reader.last(count, containing(text, room, private_too=True))
        except (OSError, HistoryError) as error:
            self._show(events.Error("no_history", _sentence(error, self._path)))
            return
        self._show(events.History(tuple(found)))
        for sentence in described(reader.faults):
            self._warn(sentence)

    def close(self) -> None:
        """Record nothing more, and forget the keys."""
        with self._lock:
            self._file = self._reader = None

    def delete(self) -> bool:
        """Forget the keys and remove the file; whether it is gone.  Takes half a second at most."""
        held = self._lock.acquire(timeout=_DELETE_SECONDS)
        self._file = self._reader = None
        if held:
            self._lock.release()
        return _removed(self._path, _DELETE_SECONDS)

    def _warn(self, text: str) -> None:
        self._show(events.Warning("history", None, text))


def _record(event: events.Message) -> Record:
    return Record(
        _now(), event.room, event.sender, event.to, event.text, event.kind, event.private,
        event.mine,
    )  # fmt: skip


def described(faults: Faults) -> list[str]:
    """A sentence for each kind of fault."""
    found = [
        wording.history_records(code, numbers)
        for code, numbers in (
            ("missing", faults.missing), ("changed", faults.changed), ("moved", faults.moved),
        )
        if numbers
    ]  # fmt: skip
    return [*found, wording.history("unfinished")] if faults.torn else found
