"""The secrets that rooms were given here, for one run of the program."""

from __future__ import annotations

from collections.abc import Callable

from client.encryption import safety_numbers
from protocol.names import room_key


class RoomSecrets:
    """By room, the secret and what every message key of it takes from that.

    Whoever types gives them, whoever reads the network looks them up: each in one step.
    """

    def __init__(self) -> None:
        # Key: room key; the secret, and its salt or what gives it.
        self._known: dict[str, tuple[str, bytes | Callable[[], bytes]]] = {}

    def give(self, room: str, secret: str, salt: bytes | Callable[[], bytes] | None = None) -> None:
        """From the next time that ``room`` is entered, its messages need ``secret``.

        Takes a moment (scrypt), unless its ``secret_salt`` is there, or is being made: then whoever
        looks for it waits.
        """
        if salt is None:
            salt = safety_numbers.secret_salt(secret, room)
        self._known[room_key(room)] = secret, salt

    def secret(self, room: str) -> str:
        """Empty if it has none."""
        return self._known.get(room_key(room), ("", b""))[0]

    def salt(self, room: str) -> bytes:
        """Empty if it has no secret."""
        salt = self._known.get(room_key(room), ("", b""))[1]
        return salt if isinstance(salt, bytes) else salt()
