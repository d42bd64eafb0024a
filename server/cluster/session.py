"""One client's presence on the node that its connection is at."""

from __future__ import annotations

from collections.abc import Callable

from protocol.keys import Bundle
from server.broadcast import Receiver
from server.cluster.calls import SessionClaim
from server.cluster.mirror import MirrorRoom
from server.member import Member
from server.sessions import ServerSession


def _nobody_waits() -> None:
    """There is nobody to be woken."""


class ClusterSession(ServerSession):
    """One client's presence, as the node has it that its connection is at.

    ``submitted`` is the highest ``ref`` that was passed on to the engine, ``taken`` the highest one
    that it is known to have taken, and ``latest`` the one that the next request comes after.
    ``ring`` wakes the connection's thread.
    """

    claim: SessionClaim  # once the engine has it
    ticket: bytes | None = None  # that was issued with it, and is not told yet

    def __init__(self, nick: str, bundle: Bundle, token_id: str | None) -> None:
        super().__init__(nick, bundle, token_id)
        self.submitted = self.latest = 0
        self.ring: Callable[[], None] = _nobody_waits
        self.abort: Callable[[], None] = _nobody_waits  # cuts its connection, without a word

    def give_up(self, ref: int) -> None:
        """``ref`` is not taken.  If others were sent after it, they are not, either; each comes
        here, and the last one lets go of it."""
        if self.latest == ref:
            self.latest = self.taken

    @property
    def fingerprint(self) -> str:
        """In hex, as the engine knows it."""
        return self.bundle.fingerprint.hex()

    def member_in(self, key: str) -> Member[Receiver] | None:
        """What it is in the room of this ``room_key``."""
        for member in list(self.members.values()):
            if mirror_of(member).key == key:
                return member
        return None


def mirror_of(member: Member[Receiver]) -> MirrorRoom[Receiver]:
    """The room that a member of this node is in."""
    room = member.room
    assert isinstance(room, MirrorRoom)
    return room
