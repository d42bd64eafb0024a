"""Local history: records what this client shows, and looks back into it.

Imported only where somebody wants a history.  A disk that is slow, full or gone holds nothing else
up: a thread of its own writes and reads what others put into its queue, in that order.  What goes
wrong while chatting is said once, and ends the recording, not the chat.

Thread: ``history``, started by ``Recorder``, ends after ``close`` or ``delete``; a disk that hangs
may keep it, so nobody joins it.  Lock: ``_changed`` guards the queue and the flags; a leaf.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from client import events, messages
from client.history.records import Faults, HistoryKeys, Record, between, containing
from client.history.store import (
    KEYS,
    Foreign,
    Reader,
    RunWriter,
    create,
    delete,
    forget,
    hide,
    history_path,
    keep,
    open_keys,
    run_paths,
)
from client.sealed_file import COST, FileUnusable, WrongPassphrase
from protocol.dataclass import dataclass, replace
from protocol.hosts import server_name

__all__ = ["Recorder", "Retention", "WrongPassphrase", "delete_history", "is_new", "open_history"]

QUEUE_RECORDS = 1000  # that wait for the disk; what comes beyond is missing, and counted
QUEUE_SEARCHES = 8  # that wait; a pipe has to wait with one more
_CLOSE_SECONDS = 5.0  # that the disk has for what waits, when the chat ends

Emit = Callable[[events.Event], None]
Job = Callable[[], None]
Wanted = Callable[[Record], bool]


@dataclass(frozen=True)
class Retention:
    """Records to keep: the last ``most``, of these the ones of the last ``days`` (0: all)."""

    most: int
    days: int = 0


def is_new(folder: Path, host: str, port: int) -> bool:
    """Whether a server has no history yet, so that any passphrase is right."""
    return not os.path.lexists(history_path(folder, server_name(host, port)) / KEYS)


def open_history(
    folder: Path, host: str, port: int, passphrase: str, retention: Retention, cost: int = COST
) -> Recorder:
    """The history of a server, from now on.  Raises WrongPassphrase, before anything is changed.

    Whatever else is in the way stands in ``said``, and nothing is recorded then.
    """
    server = server_name(host, port)
    path = history_path(folder, server)
    try:
        keys = _unlocked(path, passphrase, server, cost)
        if keys.server != server:
            raise Foreign()
        hide(path)
        keep(path, retention.most)
        if retention.days:
            forget(path, keys, round(_now().timestamp() * 1000), retention.days)
    except WrongPassphrase:
        raise
    except (OSError, FileUnusable) as error:
        return Recorder(path, None, retention, [_sentence(error, path)])
    return Recorder(path, keys, retention, [])


def _unlocked(path: Path, passphrase: str, server: str, cost: int) -> HistoryKeys:
    """The keys that are there, or new ones."""
    with contextlib.suppress(FileNotFoundError):
        return open_keys(path, passphrase)
    keys = HistoryKeys.fresh(server)
    try:
        create(path, keys, passphrase, cost)
    except FileExistsError:  # made by another client meanwhile
        return open_keys(path, passphrase)
    return keys


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _sentence(error: OSError | FileUnusable, path: Path) -> str:
    if isinstance(error, FileNotFoundError):
        return messages.history("removed")
    return failed(error, path, "stopped")


def failed(error: OSError | FileUnusable, path: Path, code: str) -> str:
    """Why the history at ``path`` cannot be used; ``code``: what to say of the system's reason."""
    if isinstance(error, FileUnusable):
        return messages.history(error.code, {"path": path})
    why = error.strerror or type(error).__name__
    return messages.history(code, {"path": path, "reason": why})


def delete_history(folder: Path, host: str, port: int) -> bool:
    """Remove a server's history that is not open here, if there is one; whether it is gone."""
    return _removed(history_path(folder, server_name(host, port)))


def _removed(path: Path) -> bool:
    try:
        delete(path)
    except FileNotFoundError:
        return True
    except OSError:  # also a folder that may not be looked into
        return False
    return True


class Recorder:
    """The history of one run.  ``said``: what there is to say before the chat begins.

    ``keys`` is None where nothing can be recorded.
    """

    def __init__(
        self, path: Path, keys: HistoryKeys | None, retention: Retention, said: list[str]
    ) -> None:
        self._path, self._keys = path, keys
        # None once there is nothing to record to; these two are the thread's.
        self._recorder = None if keys is None else RunWriter(path, keys, retention.most)
        self._missing = 0  # messages since a file could last be written
        self._show: Emit = lambda event: None
        self._changed = threading.Condition(threading.Lock())
        self._jobs: deque[Job] = deque()
        self._waiting = 0  # records among them, and the one that is being written
        self._searches = 0  # look-backs among them, and the one that is under way
        self._dropped = 0  # records that had no room among them
        self._closed = keys is None
        self.said = said
        if keys is not None:
            threading.Thread(target=self._run, name="history", daemon=True).start()

    def before(self, show: Emit) -> Emit:
        """``show`` for a client whose messages are to be recorded."""
        self._show = show

        def take(event: events.Event) -> None:
            if isinstance(event, events.Message):
                self.record(event)
            show(event)

        return take

    def record(self, event: events.Message) -> None:
        """Add a message; returns at once.

        What goes wrong is shown once; a disk that is full may have room for the next one, and all
        else is the end of it.
        """
        record = _record(event)
        with self._changed:
            if self._closed:
                return
            if self._waiting >= QUEUE_RECORDS:
                self._dropped += 1
                slow = self._dropped == 1
            else:
                self._waiting += 1
                self._put(lambda: self._add(record))
                slow = False
        if slow:
            self._warn(messages.history("slow", {"path": self._path}))

    def look_back(
        self, room: str, count: int, text: str, tag: events.Tag = None, nick: str | None = None
    ) -> None:
        """Show the last records of a room, and private ones, that contain ``text``, or an error
        with ``tag``; with ``nick``, only those between this person and oneself.  Returns at once.
        """
        is_wanted = between(text, nick) if nick else containing(text, room, private_too=True)
        with self._changed:
            if not self._closed:
                self._searches += 1
                self._put(lambda: self._look_back(count, is_wanted, tag))
                return
        self._show(events.Error("no_history", messages.history("closed"), tag))

    def wait_capacity(self, seconds: float) -> bool:
        """Whether another look-back can be taken within ``seconds``, be it to say there is none."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._closed or self._searches < QUEUE_SEARCHES, seconds
            )

    def close(self) -> int:
        """Record nothing more, and forget the keys; so many messages the disk had no time for."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, _CLOSE_SECONDS)
            return self._stop()

    def delete(self) -> bool:
        """Forget the keys and remove the files; whether they are gone.  Waits for nobody."""
        with self._changed:
            self._stop()
        return _removed(self._path)

    def _stop(self) -> int:
        """Nothing more is done; how many records were not written."""
        self._closed = True
        self._keys = self._recorder = None
        self._jobs.clear()
        self._changed.notify_all()
        return self._waiting

    def _put(self, job: Job) -> None:
        self._jobs.append(job)
        self._changed.notify_all()

    # The thread

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if not self._jobs:
                    return
                job = self._jobs.popleft()
            job()

    def _add(self, record: Record) -> None:
        recorder, text = self._recorder, ""
        if recorder is not None:
            try:
                recorder.append(record)
            except (OSError, FileUnusable) as error:
                text = self._failed(error)
            else:
                text = self._resumed()
        with self._changed:
            self._waiting -= 1
            self._changed.notify_all()
        if text:
            self._warn(text)

    def _failed(self, error: OSError | FileUnusable) -> str:
        """What to say of a message that could not be added."""
        if isinstance(error, FileUnusable | FileNotFoundError):  # it is another one's, or gone
            self._recorder = None
            return _sentence(error, self._path)
        self._missing += 1
        if self._missing > 1:
            return ""
        return failed(error, self._path, "paused")

    def _resumed(self) -> str:
        """What to say of the first message that could be added again."""
        missing, self._missing = self._missing, 0
        with self._changed:
            if self._waiting == 1:  # this one: the disk keeps up again
                missing, self._dropped = missing + self._dropped, 0
        return messages.history_resumed(missing) if missing else ""

    def _look_back(self, count: int, is_wanted: Wanted, tag: events.Tag) -> None:
        keys = self._keys
        if keys is not None:
            self._show_found(keys, count, is_wanted, tag)
        with self._changed:
            self._searches -= 1
            self._changed.notify_all()

    def _show_found(
        self, keys: HistoryKeys, count: int, is_wanted: Wanted, tag: events.Tag
    ) -> None:
        try:
            reader = Reader([file for _, file in run_paths(self._path)], keys)
            found = reader.last(count, is_wanted)
        except (OSError, FileUnusable) as error:
            self._show(events.Error("no_history", _sentence(error, self._path), tag))
            return
        self._show(events.HistoryList(tuple(found)))
        # A record that a kill has torn is no news each time that somebody looks back.
        for sentence in described(replace(reader.faults, torn=0)):
            self._warn(sentence)

    def _warn(self, text: str) -> None:
        self._show(events.Warning("history", None, text))


def _record(event: events.Message) -> Record:
    return Record(
        _now(), event.room, event.sender, event.to, event.text, event.kind, event.private,
        event.mine,
    )  # fmt: skip


def described(faults: Faults) -> list[str]:
    """A sentence for each kind of fault."""
    counts = (
        ("missing", faults.missing), ("changed", faults.changed), ("moved", faults.moved),
        ("torn", faults.torn),
    )  # fmt: skip
    return [messages.history_records(code, count) for code, count in counts if count]
