"""The room layer of one client: what lasts while it runs, and the way into each of its rooms."""

from __future__ import annotations

from collections.abc import Sequence

from client.encryption.room_encryption import RoomEncryption
from client.encryption.run_state import RunState
from client.encryption.trust import VERIFIED, Memory
from protocol.frames import MemberLine
from protocol.keys import Identity


class Encryption:
    """Epochs, high-water marks, verifications and the keys last seen behind each nickname.

    They stay as long as the program, and all rooms share them; what is one membership's is its
    ``RoomEncryption``'s.  A client may have memberships of several rooms at once, and one of each:
    a new one of the same room takes the place of the one before, which is not to be used any more.
    """

    def __init__(self, identity: Identity, memory: Memory | None = None) -> None:
        """``memory`` is what lasts of whom this client knows, from one run to the next."""
        self._run = RunState(identity, memory)

    @property
    def most(self) -> int | None:
        """Bytes of a text, above which none is shown; None until a server has said it."""
        return self._run.most

    @most.setter
    def most(self, most: int | None) -> None:
        self._run.most = most

    def enter(
        self,
        room: str,
        log_id: bytes,
        me: int,
        members: Sequence[MemberLine],
        change: int,
        salt: bytes = b"",
        guarded: bool = False,
    ) -> RoomEncryption:
        """A new membership of ``room``: joined, or joined anew after falling behind or being lost.

        ``members`` is the roster, oneself (``me``) included; ``change`` the number of the last
        change in it, one's own joining, after which the log goes on.  ``salt`` comes from
        ``safety_numbers.secret_salt``, or is empty.  ``guarded``: everybody in the membership
        before this one was verified, so whoever is not is warned of.  Resuming begins no new
        membership.
        """
        return RoomEncryption(self._run, room, log_id, me, members, change, salt, guarded)

    def is_verified(self, fingerprint: bytes) -> bool:
        """Whether these keys are verified, or one's own."""
        return self.standing(fingerprint) == VERIFIED

    def standing(self, fingerprint: bytes) -> str:
        """``verified`` (these keys, or they are one's own), ``known`` or ``new``: see Trust.

        Of the nickname that they were met under last; a room's ``standing`` is of the one there.
        """
        return self._run.standing(fingerprint)
