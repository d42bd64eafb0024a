"""What a client that runs adds to the file of its identity, without waiting for the disk.

Whom it meets, and whose codes were compared, goes through a queue to a thread that writes it, all
that has come meanwhile at once.  A disk that is full or slow holds nothing else up: what could not
be written is tried again, and said once.

Thread: ``identity-file``, started by ``open_identity``, ends after ``close`` or ``delete``; a disk
that hangs may keep it, so nobody joins it.  Lock: ``_changed`` guards the queue and the flags; a
leaf.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.identity.records import Contents, Person, Sighting
from client.identity.store import IdentityFile, delete
from client.sealed_file import FileUnusable, WrongPassphrase
from protocol.keys import Bundle, Identity

CLOSE_SECONDS = 5.0  # that the disk has at the end
DELETE_SECONDS = 0.2  # that another program has to let go of a file that is to be removed
QUEUE_STEPS = 4096  # that wait for the disk; of whom a server shows beyond it, nothing is kept
PAUSE_SECONDS = 2.0  # between two writings: a crowd that comes costs as much as one
RETRY_SECONDS = 30.0  # after one that failed
ALIVE_SECONDS = 6 * 3600.0  # between two signs that this start has not ended

_PASSING = ("unwritable", "busy")

Step = Callable[[Contents], Contents]


def open_identity(path: Path, passphrase: str, server: str) -> Keeper:
    """The identity at ``path`` for one start of the program, to be used with ``server``.

    That start is in the file by then.  Raises OSError and FileUnusable, WrongPassphrase first.
    """
    file = IdentityFile(path, passphrase)
    file.change(lambda contents: contents.started(date.today()))
    return Keeper(file, server)


class Keeper:
    """The identity of one run.  ``people`` are those that the file knew when that began."""

    def __init__(self, file: IdentityFile, server: str) -> None:
        self._file, self.server = file, server
        contents = file.contents
        self._run = contents.run
        self.people: tuple[Person, ...] = contents.people
        private = Ed25519PrivateKey.from_private_bytes(contents.sign)
        self.identity = Identity(private, contents.run, contents.since)
        self._say: Callable[[str], None] = lambda code: None
        self._changed = threading.Condition(threading.Lock())
        self._steps: list[Step] = []
        self._writing = False
        self._closed = False
        self._fault = ""  # why the last writing failed
        threading.Thread(target=self._write_all, name="identity-file", daemon=True).start()

    def tell(self, say: Callable[[str], None]) -> None:
        """From now on, say what goes wrong: a code of ``messages.identity``."""
        self._say = say

    def met(self, bundle: Bundle, nick: str) -> None:
        """Somebody is here whose signing key lasts; returns at once."""
        if not bundle.run or self._is_own(bundle):  # without a run: keys for this once
            return
        sighting = Sighting(self.server, nick, date.today())
        known = self._file.contents.person(bundle.sign)
        if known and known.met(bundle.since, sighting) == known:
            return  # and was here today already
        self._put(lambda contents: contents.met(bundle.sign, bundle.since, sighting))

    def verified(self, bundle: Bundle, nick: str) -> None:
        """The code of somebody was compared; returns at once."""
        if self._is_own(bundle):
            return
        sighting = Sighting(self.server, nick, date.today())
        self._put(
            lambda contents: contents.verified(bundle.sign, bundle.since, sighting), always=True
        )

    def close(self) -> str:
        """Keep nothing more, and say in the file that this run has ended; a code of
        ``messages.identity`` if that did not work, else empty.  Takes five seconds at most."""
        self.tell(lambda code: None)
        self._put(lambda contents: contents.ended(self._run), always=True)
        with self._changed:
            if self._closed:  # as was said
                return ""
            self._closed = True
            self._changed.notify_all()
            done = self._changed.wait_for(
                lambda: not (self._steps or self._writing), CLOSE_SECONDS
            )
            return self._fault if done else "slow"

    def delete(self) -> bool:
        """Forget the file and remove it; whether it is gone.  Hardly waits for anybody."""
        with self._changed:
            self._closed = True
            self._steps.clear()
            self._changed.notify_all()
        return removed(self._file.path)

    def _is_own(self, bundle: Bundle) -> bool:
        """Whether it is another program with this identity, which is none of its people."""
        return bundle.sign == self.identity.bundle.sign

    def _put(self, step: Step, always: bool = False) -> None:
        """``always``: however many wait, since a person did this, and no server."""
        with self._changed:
            if not self._closed and (always or len(self._steps) < QUEUE_STEPS):
                self._steps.append(step)
                self._changed.notify_all()

    # The thread

    def _write_all(self) -> None:
        while (steps := self._next()) is not None:
            before, code = self._fault, self._write(steps)
            self._done(steps, code)
            if code and code != before:
                self._say(code)
            with self._changed:
                pause = RETRY_SECONDS if code else PAUSE_SECONDS
                self._changed.wait_for(lambda: self._closed, pause)

    def _write(self, steps: list[Step]) -> str:
        """Write them; why not, or an empty text."""
        try:
            self._file.change(partial(_taken, steps))
        except FileNotFoundError:
            return "removed"
        except WrongPassphrase:  # it was right at the start
            return "changed"
        except FileUnusable as error:
            return error.code
        except OSError:
            return "unwritable"
        return ""

    def _next(self) -> list[Step] | None:
        """What is to be written next, once there is something; None at the end."""
        with self._changed:
            while not self._steps and not self._closed:
                if not self._changed.wait(ALIVE_SECONDS):
                    self._steps.append(lambda now: now.goes_on(self._run, date.today()))
            if not self._steps:
                return None
            steps, self._steps = self._steps, []
            self._writing = True
            return steps

    def _done(self, steps: list[Step], code: str) -> None:
        """After a writing: it may go another time, or never again."""
        with self._changed:
            self._writing, self._fault = False, code
            if code in _PASSING and not self._closed:
                self._steps[:0] = steps  # nothing is lost: there may be room later
            elif code:
                self._closed = True
                self._steps.clear()
            self._changed.notify_all()


def _taken(steps: list[Step], contents: Contents) -> Contents:
    for step in steps:
        contents = step(contents)
    return contents


def removed(path: Path) -> bool:
    """Remove an identity's file; whether it is gone."""
    try:
        delete(path, DELETE_SECONDS)
    except OSError:
        return False
    return True
