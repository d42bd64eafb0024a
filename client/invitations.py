"""Links into rooms of this server, and what to say beside them."""

from __future__ import annotations

from collections.abc import Iterable

from client import messages
from client.events import Event, Invite, Notice
from client.room_secrets import RoomSecrets
from i18n import _
from protocol.dataclass import replace
from protocol.frames import Minted
from protocol.hosts import is_loopback
from protocol.invite import InviteLink


class Invitations:
    """Makes links to the server at ``address``; those with a token when the server has made that.

    The session's lock covers it.
    """

    def __init__(self, address: InviteLink, secrets: RoomSecrets) -> None:
        self._address, self._secrets = address, secrets
        self._asked: dict[int, str] = {}  # key: ref of a `mint`; the room that its link is for

    def plain(self, room: str) -> list[Event]:
        """A link that opens the room, and not the server."""
        text = _(
            "Whoever uses it needs the password of the server as well, or a token: /invite --token "
            "puts one into the link."
        )
        return [Invite(self._link(room), room), Notice(text), *self._of_address()]

    def await_token(self, ref: int, room: str, unanswered: Iterable[int]) -> None:
        """The link into ``room`` waits for the answer to ``ref``; of others that have none any
        more, nothing comes."""
        self._asked = {each: self._asked[each] for each in unanswered if each in self._asked}
        self._asked[ref] = room

    def minted(self, answer: Minted) -> list[Event]:
        """The link for which a token was asked; nothing where none was."""
        room = self._asked.pop(answer.ref, None)
        if room is None:
            return []
        link = self._link(room, answer.token)
        notice = Notice(messages.invited(answer.seconds))
        return [Invite(link, room, answer.seconds), notice, *self._of_address()]

    def _link(self, room: str, token: str | None = None) -> str:
        secret = self._secrets.secret(room) or None
        return replace(self._address, room=room, secret=secret, token=token).link()

    def _of_address(self) -> list[Event]:
        if not any(is_loopback(host) for host, _port in self._address.addresses):
            return []
        text = _("The link names this machine: from another one, use its address instead.")
        return [Notice(text)]
