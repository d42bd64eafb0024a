"""A membership: everything that begins with joining a room and goes with leaving it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from client.encryption.envelope import Body
from client.encryption.roster import MemberSet, RosterEntry, RosterHistory
from client.encryption.sender_keys import ROOM_AUDIENCE, Context, SenderChain, SenderKeys
from client.encryption.trust import TrustWarning
from protocol.errors import KeyUnusable
from protocol.frames import Wrap
from protocol.limits import ROOM_MEMBERS

DELIVERED = 1024  # wraps and private posts that a resume may bring a second time
SEALED = 64  # posts on their way, of which it is remembered what they claim


class Recent:
    """The last ``size`` values that were added."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Hashable, None] = OrderedDict()

    def add(self, value: Hashable) -> bool:
        """Remember ``value``; False if it was there already."""
        new = value not in self._values
        self._values[value] = None
        if len(self._values) > self._size:
            self._values.popitem(last=False)
        return new


class Membership:
    """What belongs to one time in one room, from joining to leaving, and goes with it."""

    def __init__(
        self, key: str, log_id: bytes, me: int, salt: bytes, history: RosterHistory
    ) -> None:
        self.key = key
        self.log_id = log_id
        self.me = me
        self.salt = salt
        self.history = history
        self.seq = history.now.change  # of the last entry of the log
        self.chain: SenderChain | None = None  # one's own, at its next unsealed number
        self.holders: set[int] = set()  # ids of members that have it
        self.given: set[int] = set()  # ids of all that it was ever wrapped for
        self.unusable: set[int] = set()  # ids of members whose keys do not load
        self.sender_keys: dict[int, SenderKeys] = {}  # key: sender's id
        self.delivered = Recent(DELIVERED)  # wraps, and signatures of private posts
        # Fingerprints of those who were here when the server forgot the room, and are not back yet.
        self.expected: set[bytes] = set()
        # By the sender's fingerprint: where it speaks to the whole room.
        self._contexts: dict[bytes, Context] = {}
        self._differing: set[tuple[int, int]] = set()  # (sender's id, change) already named
        self._sealed: dict[bytes, Body] = {}  # key: signature of a post that is on its way

    @property
    def roster(self) -> MemberSet:
        return self.history.now.roster

    @property
    def own(self) -> RosterEntry:
        entry = self.roster.get(self.me)
        assert entry is not None  # noqa: S101  # enter puts it there, and nothing takes it away
        return entry

    def others(self) -> list[RosterEntry]:
        return [entry for entry in self.roster if entry.id != self.me]

    def comes_after(self, before: Membership | None) -> None:
        """``before`` is the membership whose place this one takes: whoever was in it, and is not
        back since the server started anew, was not kept from anybody when it comes."""
        if before is not None and before.log_id != self.log_id:
            here = {entry.fingerprint for entry in self.others()}
            there = {entry.fingerprint for entry in before.others()}
            self.expected = (there | before.expected) - here

    def keys_of(self, sender: int) -> SenderKeys:
        found = self.sender_keys.get(sender)
        if found is None:
            found = self.sender_keys[sender] = SenderKeys()
        return found

    def context(self, audience: bytes, sender: bytes) -> Context:
        """Where somebody speaks; of the room's audience the same object each time, mostly."""
        if audience != ROOM_AUDIENCE:
            return Context(self.key, self.log_id, audience, sender)
        found = self._contexts.get(sender)
        if found is None:
            if len(self._contexts) >= ROOM_MEMBERS:
                self._contexts.clear()
            found = self._contexts[sender] = Context(self.key, self.log_id, audience, sender)
        return found

    def set_aside(self, *refused: bytes) -> None:
        """Whoever has these fingerprints is there like all others, but gets nothing to read."""
        ids = {entry.id for entry in self.others() if entry.fingerprint in refused}
        if ids & self.given - self.unusable:
            self.chain = None  # the next post starts an epoch
        self.unusable |= ids

    def sealed(self, sig: bytes, body: Body) -> None:
        """A post of one's own is on its way.  What a forgotten one claims is claimed again."""
        self._sealed[sig] = body
        if len(self._sealed) > SEALED:
            del self._sealed[next(iter(self._sealed))]

    def placed(self, change: int, sig: bytes) -> None:
        """A post of one's own, sealed for ``change``, stands in the log."""
        body = self._sealed.pop(sig, None)
        if body:
            self.acknowledge(change, body)

    def acknowledge(self, change: int, body: Body) -> None:
        """What a public post in the log claims, sealed for ``change``, everybody knows by it."""
        for claim in body.claims(change):
            self.history.acknowledge(*claim)

    def counts(self, seq: int) -> bool:
        """Whether ``seq`` is the number of a new entry of the log."""
        grows = seq > self.seq
        self.seq = max(seq, self.seq)
        return grows

    def resalt(self, salt: bytes) -> None:
        """The room has another secret from now on: of nobody is it known who has the same."""
        self.salt = salt
        for keys in self.sender_keys.values():
            keys.shared = False

    def wrap_for_others(
        self, chain: SenderChain, context: Context
    ) -> tuple[tuple[Wrap, ...], tuple[TrustWarning, ...]]:
        """``chain`` for everybody who lacks it; keys that do not load keep nobody else from it."""
        wraps, warnings = [], []
        for entry in self.others():
            if entry.id in self.holders or entry.id in self.unusable:
                continue
            try:
                wraps.append(chain.wrap(context, entry.id, entry.member.bundle))
                self.holders.add(entry.id)
                self.given.add(entry.id)
            except KeyUnusable:
                self.unusable.add(entry.id)
                warnings.append(TrustWarning("bad_bundle", entry.nick))
        return tuple(wraps), tuple(warnings)

    def differs(self, sender: int, *changes: int) -> tuple[str, ...]:
        """``sender`` was shown another room than this client; said once for each change."""
        new = {(sender, change) for change in changes} - self._differing
        self._differing |= new
        return ("transcript",) if new else ()
