"""One stay in one room: everything that begins with joining and goes with leaving."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from client.encryption.envelope import Body
from client.encryption.roster import Entry, Moments, Roster
from client.encryption.sender_keys import Chain, Keyring, Place

DELIVERED = 1024  # wraps and private posts that a resume may bring a second time
SEALED = 64  # posts on their way, of which it is remembered what they tell


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


class Stay:
    """What belongs to one stay in one room, and goes with it."""

    def __init__(self, key: str, log_id: bytes, me: int, salt: bytes, moments: Moments) -> None:
        self.key = key
        self.log_id = log_id
        self.me = me
        self.salt = salt
        self.moments = moments
        self.seq = moments.now.change  # of the last entry of the log
        self.chain: Chain | None = None  # one's own, at its next unsealed number
        self.holders: set[int] = set()  # ids of members that have it
        self.given: set[int] = set()  # ids of all that it was ever wrapped for
        self.unusable: set[int] = set()  # ids of members whose keys do not load
        self.keyrings: dict[int, Keyring] = {}  # key: sender's id
        self.delivered = Recent(DELIVERED)  # wraps, and signatures of private posts
        self.differing: set[tuple[int, int]] = set()  # (sender's id, change) already named
        self._sealed: dict[bytes, Body] = {}  # key: signature of a post that is on its way

    @property
    def roster(self) -> Roster:
        return self.moments.now.roster

    @property
    def own(self) -> Entry:
        entry = self.roster.get(self.me)
        assert entry is not None  # noqa: S101  # enter puts it there, and nothing takes it away
        return entry

    def others(self) -> list[Entry]:
        return [entry for entry in self.roster if entry.id != self.me]

    def keyring(self, sender: int) -> Keyring:
        return self.keyrings.setdefault(sender, Keyring())

    def place(self, audience: bytes, sender: bytes) -> Place:
        return Place(self.key, self.log_id, audience, sender)

    def sealed(self, sig: bytes, body: Body) -> None:
        """A post of one's own is on its way.  Of one that is forgotten, all is told again."""
        self._sealed[sig] = body
        if len(self._sealed) > SEALED:
            del self._sealed[next(iter(self._sealed))]

    def placed(self, change: int, sig: bytes) -> None:
        """A post of one's own, sealed for ``change``, stands in the log."""
        body = self._sealed.pop(sig, None)
        if body:
            self.told(change, body)

    def told(self, change: int, body: Body) -> None:
        """What a public post in the log says, sealed for ``change``, everybody knows by it."""
        for said in body.said(change):
            self.moments.tell(*said)

    def counts(self, seq: int) -> bool:
        """Whether ``seq`` is the number of a new entry of the log."""
        grows = seq > self.seq
        self.seq = max(seq, self.seq)
        return grows
