"""What a client keeps of all rooms for as long as it runs, whichever it is in."""

from __future__ import annotations

from collections import OrderedDict
from weakref import WeakValueDictionary

from client.encryption.membership import Membership, Recent
from client.encryption.roster import RosterEntry
from client.encryption.sender_keys import ReplayGuard
from client.encryption.trust import VERIFIED, Memory, Trust, TrustWarning
from protocol.dataclass import replace
from protocol.frames import MemberLine
from protocol.keys import Bundle, Identity

# Bounds of what is remembered of the past; each far above what honest rooms need.
_IDS = 8192
_LOGS = 1024


class RunState:
    """Epochs, high-water marks, logs, and whom one knows, of one client's run.

    They outlive every membership: what a server plays again meets them, and no number is ever
    sealed twice, wherever one goes and comes back to.
    """

    def __init__(self, identity: Identity, memory: Memory | None) -> None:
        self.identity = identity
        self.most: int | None = None  # bytes of a text, once a server has said it
        self.trust = Trust(identity.bundle, memory)
        self.replay_guard = ReplayGuard()
        self.ids = Recent(_IDS)  # (sender's fingerprint, post id)
        # key: room key; the latest of each room, for as long as somebody else holds it
        self.memberships: WeakValueDictionary[str, Membership] = WeakValueDictionary()
        # key: fingerprint; for as long as a roster has it
        self._bundles: WeakValueDictionary[bytes, Bundle] = WeakValueDictionary()
        # key: room key, audience.  Each costs somebody typing, so nothing has to bound them.
        self._epochs: dict[tuple[str, bytes], int] = {}
        self._logs: OrderedDict[bytes, int] = OrderedDict()  # log id: last change seen

    def entry(self, member: MemberLine) -> RosterEntry:
        """A member, with the very bundle that another room has of it: keys are loaded, and their
        signature is checked, once for all rooms."""
        bundle = self._bundles.setdefault(member.bundle.fingerprint, member.bundle)
        # Beside the same keys there may stand another signature.
        same = bundle is not member.bundle and bundle == member.bundle
        return RosterEntry(replace(member, bundle=bundle) if same else member)

    def next_epoch(self, room: str, audience: bytes) -> int:
        """An epoch in which nothing was sealed yet; ``room`` is a room key."""
        epoch = self._epochs.get((room, audience), 0) + 1
        self._epochs[room, audience] = epoch
        return epoch

    def moved_on(self, log_id: bytes, change: int) -> bool:
        """Whether ``change`` is a new one of its log: a log never goes back."""
        last = self._logs.get(log_id)
        self._logs[log_id] = max(change, last or 0)
        self._logs.move_to_end(log_id)
        if len(self._logs) > _LOGS:
            self._logs.popitem(last=False)
        return last is None or change > last

    def fingerprints(self) -> set[bytes]:
        """Whose boxes can still be judged, in whichever room."""
        here = [membership.history.fingerprints() for membership in self.memberships.values()]
        return set().union(*here)

    def meet(self, entry: RosterEntry, room: str) -> list[TrustWarning]:
        """Another member appears in ``room``, a room key: what there is to say about it.

        Whose keys turn out not to count gets nothing more to read in any other room, either.
        """
        warnings = self.trust.meet(entry, self._is_beside(entry, room))
        if self.trust.is_refused(entry.fingerprint):
            for membership in self.memberships.values():
                membership.set_aside(entry.fingerprint)
        return warnings

    def _is_beside(self, entry: RosterEntry, room: str) -> bool:
        """Whether ``entry`` was only met in rooms beside ``room``, and is there: nobody returns."""
        if not self.memberships:
            return False
        here = self.memberships.get(room)
        if here and (here.roster.holder(entry.fingerprint) or entry.fingerprint in here.expected):
            return False
        holders = (
            membership.roster.holder(entry.fingerprint)
            for key, membership in self.memberships.items()
            if key != room
        )
        return any(holder is not None and holder.key == entry.key for holder in holders)

    def standing(self, fingerprint: bytes, nick: str | None = None) -> str:
        """``verified`` (these keys, or they are one's own), ``known`` or ``new``: see Trust."""
        own = fingerprint == self.identity.fingerprint
        return VERIFIED if own else self.trust.standing(fingerprint, nick)
