"""Whose keys have been compared, and which keys were last seen behind a nickname."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from client.encryption.roster import RosterEntry
from protocol.errors import BadNick
from protocol.names import check_nick

_NICKS = 4096  # bounds what the nicknames of a hostile server can take


@dataclass(frozen=True)
class TrustWarning:
    """Something that is not as it should be; ``code`` is one of the ``warning`` event's.

    ``nick`` is whom it is about, None if nobody is known.  ``loud``: somebody verified seems
    to be somebody else now.
    """

    code: str
    nick: str | None
    loud: bool = False


class Trust:
    """What this client knows of people, for one run of the program."""

    def __init__(self) -> None:
        self._verified: set[bytes] = set()  # fingerprints
        self._compared: dict[str, bytes] = {}  # key: nick_key; the fingerprint verified as it
        self._known: OrderedDict[str, bytes] = OrderedDict()  # key: nick_key; last fingerprint

    def is_verified(self, fingerprint: bytes) -> bool:
        """Whether the code of these keys was compared."""
        return fingerprint in self._verified

    def verify(self, entry: RosterEntry) -> None:
        """The code of this member was compared."""
        self._verified.add(entry.fingerprint)
        self._compared[entry.key] = entry.fingerprint

    def meet(self, entry: RosterEntry) -> list[TrustWarning]:
        """Another member appears under a nickname: what there is to say about it."""
        warnings = []
        before = self._known.get(entry.key)
        if before is not None and before != entry.fingerprint:
            loud = self._was_verified(entry, before)
            warnings.append(TrustWarning("other_keys", entry.nick, loud))
        self.remember(entry)
        try:
            check_nick(entry.nick)
        except BadNick:  # no honest server grants it: it may look like somebody else's
            warnings.append(TrustWarning("bad_roster", entry.nick))
        return warnings

    def remember(self, entry: RosterEntry) -> None:
        """These are the keys behind this nickname."""
        self._known[entry.key] = entry.fingerprint
        self._known.move_to_end(entry.key)
        if len(self._known) > _NICKS:
            known = self._known.items()
            forgotten = next((key for key, last in known if last not in self._verified), None)
            if forgotten is not None:
                del self._known[forgotten]

    def _was_verified(self, entry: RosterEntry, before: bytes) -> bool:
        """Whether a nickname that used to be verified has keys now that are not."""
        was = before in self._verified or entry.key in self._compared
        return was and entry.fingerprint not in self._verified
