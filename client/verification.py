"""Safety numbers: the digits that people compare, and whom they have found to be who they say."""

from __future__ import annotations

import threading
from collections.abc import Callable

from client import refusals
from client.background import compute
from client.encryption import safety_numbers
from client.events import CodeView, Error, Event, NickVerified, Verification
from client.open_room import OpenRoom
from i18n import _
from protocol.errors import Gone
from protocol.names import nick_key

CODES_AT_ONCE = 8  # of members, beside the room's own: each takes a tenth of a second


class Verifier:
    """``/verify`` for one client.  ``emit`` gets the digits; all else is returned, to be shown.

    ``changed`` is a condition on the session's lock, which covers all of this.
    """

    def __init__(self, emit: Callable[[Event], None], changed: threading.Condition) -> None:
        self._emit, self._changed = emit, changed
        self._compared: dict[str, bytes] = {}  # key: nick key; whose code was shown, for `ok`
        self.computing = False

    def show(self, room: OpenRoom, nick: str | None) -> list[Event]:
        """Have the digits to compare with ``nick``, or with everybody, computed and shown."""
        if self.computing:
            return []  # the answer is on its way
        others = room.others()
        wants = None if nick is None else nick_key(nick)
        shown = [one for one in others if wants in (None, nick_key(one.nick))]
        if nick is not None and not shown:
            return [refusals.error("gone")]
        each = shown if nick is not None or len(shown) <= CODES_AT_ONCE else []
        pairs = room.encryption.code_pairs()
        wanted = [(member, room.encryption.code_pairs(member.nick)) for member in each]
        self.computing = True
        name = room.name

        def work() -> None:
            room_code = safety_numbers.room_code(name, pairs)
            codes = [(member, safety_numbers.room_code(name, two)) for member, two in wanted]
            with self._changed:
                self.computing = False
                for member in shown:  # the room's code covers them all
                    self._compared[nick_key(member.nick)] = member.bundle.fingerprint
                views = (CodeView(one.nick, code, room.is_verified(one)) for one, code in codes)
                self._emit(Verification(name, room_code, tuple(views)))
                self._changed.notify_all()

        # scrypt takes a tenth of a second: neither the typing nor the drawing waits for it.
        compute(work, name="scrypt")
        return []

    def confirm(self, room: OpenRoom | None, nick: str) -> list[Event]:
        """The digits were equal: what counts is whose were shown, not who has the name now."""
        shown = self._compared.get(nick_key(nick))
        try:
            if shown is None or room is None:
                raise Gone()
            room.encryption.verify(nick, shown)
            found = room.encryption.find(nick)
        except Gone:
            text = _("First compare the digits that /verify {nick} shows.").format(nick=nick)
            return [Error("not_compared", text)]
        return [NickVerified(found.nick if found else nick, room.name), room.trust_summary()]
