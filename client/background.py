"""What takes a moment to make, made while the rest of the program is still being loaded.

The two RSA keys and scrypt cost a twentieth to a quarter of a second each, and none of them holds
the interpreter's lock.  So this module imports little, and the command line makes ``StartupKeys``
before it imports the client: they are ready by the time that they are asked for.
"""

from __future__ import annotations

import atexit
import signal
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakSet

from protocol import pake
from protocol.hosts import server_name
from protocol.keys import Identity, RecipientKeys
from protocol.link import Credentials
from protocol.names import room_key
from settings import ClientSettings

if TYPE_CHECKING:
    from client.identity.keeper import Keeper

T = TypeVar("T")

END_SECONDS = 2.0  # that the program's end waits at most; a key takes a tenth of a second

_computing: WeakSet[threading.Thread] = WeakSet()
_ending = threading.Event()


def compute(work: Callable[[], None], *, name: str) -> threading.Thread:
    """Run ``work``, which is slow in native code, on a thread that the program's end waits for.

    Before CPython 3.14 a daemon thread that comes back from native code while Python ends is
    unwound by pthread_exit(3).  Not every library lets that pass: with cryptography 48.0 the C
    library then ends the process with SIGABRT, in place of the exit status that it had.
    """
    atexit.unregister(_wait_for_all)  # once is enough
    atexit.register(_wait_for_all)
    thread = threading.Thread(target=work, name=name, daemon=True)
    _computing.add(thread)
    thread.start()
    return thread


def _wait_for_all() -> None:
    """On whichever way out, when all that is left is Python's own clearing up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends now; Ctrl-C could only show a traceback
    _ending.set()
    end = time.monotonic() + END_SECONDS
    for thread in list(_computing):
        thread.join(max(0.0, end - time.monotonic()))


class Future(Generic[T]):
    """``make``, called on a thread of its own; calling this gives its result, or its error."""

    def __init__(self, name: str, make: Callable[[], T]) -> None:
        self._make = make
        self._made: list[T] = []
        self._error: Exception | None = None
        self._thread = compute(self._run, name=name)

    def _run(self) -> None:
        try:
            self._made.append(self._make())
        except Exception as error:  # told where the result is needed
            self._error = error

    def __call__(self) -> T:
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._made[0]


class Series(Generic[T]):
    """By name what ``makes`` gives, made in that order on one thread: each takes memory, which
    all at once might not find.

    Calling this with a name gives its result, or its error, as soon as that is there.
    """

    def __init__(self, name: str, makes: Mapping[str, Callable[[], T]]) -> None:
        self._makes = dict(makes)
        self._made: dict[str, T] = {}
        self._errors: dict[str, Exception] = {}
        self._done = {key: threading.Event() for key in makes}
        if makes:
            compute(self._run, name=name)

    def _run(self) -> None:
        for key, make in self._makes.items():
            if _ending.is_set():
                break  # nobody asks any more
            try:
                self._made[key] = make()
            except Exception as error:  # told where the result is needed
                self._errors[key] = error
            self._done[key].set()

    def __call__(self, key: str) -> T:
        self._done[key].wait()
        if key in self._errors:
            raise self._errors[key]
        return self._made[key]


class StartupKeys:
    """All that one run of the client needs and that takes a moment.

    ``identity()`` and ``credentials()`` wait until it is there; ``link_keys()`` gives the keys for
    one connection, which are fresh each time.

    ``keeper()`` is that of an identity that lasts, and waits, too; it raises OSError or
    FileUnusable, and ``identity()`` as it does. Without such an identity it is None.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self.credentials = Future("scrypt", lambda: credentials(settings))
        self._made = Future("identity", lambda: _identity(settings))
        # After what the connection needs first; the first of them is that of the first room.
        self._room_salts = Series("room-salt", _room_salts(settings))
        self._first: Future[RecipientKeys] | None = Future("link-keys", RecipientKeys)

    def identity(self) -> Identity:
        """Who one is in this run."""
        made = self._made()
        return made if isinstance(made, Identity) else made.identity

    def keeper(self) -> Keeper | None:
        """What keeps the identity and the people that it knows, if anything does."""
        made = self._made()
        return None if isinstance(made, Identity) else made

    def give_secrets(self, give: Callable[[str, str, bytes | Callable[[], bytes]], None]) -> None:
        """Call ``give`` with each room that has a secret, with that, and with its salt.

        Waits for that of the first room; the others' are functions that wait.
        """
        for room in self._settings.rooms:
            if secret := self._settings.secret_of(room):
                salt = partial(self._room_salts, room_key(room))
                give(room, secret, salt() if room == self._settings.room else salt)

    def link_keys(self) -> RecipientKeys:
        """Keys that no other connection has used.  Whoever connects asks, one at a time."""
        first, self._first = self._first, None
        return (first or Future("link-keys", RecipientKeys))()


def _identity(settings: ClientSettings) -> Identity | Keeper:
    """Keys for this run alone, or those of an identity that lasts (scrypt)."""
    if settings.identity is None:
        return Identity()
    from pathlib import Path  # more to load, and few have one

    from client.identity.keeper import open_identity

    server = server_name(settings.server, settings.port)
    return open_identity(Path(settings.identity), settings.identity_passphrase or "", server)


def credentials(settings: ClientSettings) -> Credentials:
    """What is proven to the server; takes a tenth of a second for a password (scrypt)."""
    if settings.token is not None:
        token_id, _, secret = settings.token.partition(".")
        # Half a token is refused like any other that is wrong.
        return Credentials(pake.token_prs(secret.encode() or b"-"), token_id)
    return Credentials(pake.password_prs(settings.password or ""))


def _room_salts(settings: ClientSettings) -> dict[str, Callable[[], bytes]]:
    """By room key what makes the salt of its secret; takes a quarter of a second each (scrypt)."""
    found = ((room, settings.secret_of(room)) for room in settings.rooms)
    return {room_key(room): partial(_room_salt, text, room) for room, text in found if text}


def _room_salt(secret: str, room: str) -> bytes:
    from client.encryption.safety_numbers import secret_salt  # more to load, and few have a secret

    return secret_salt(secret, room)
