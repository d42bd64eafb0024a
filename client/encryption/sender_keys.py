"""Sender chains: where the key of every message comes from, and how a reader gets there.

Each member has one chain for the room, and a fresh one for each private message.  A chain is a
32-byte ``ck`` that is known from some (epoch, n) on: it gives the key of message n, then steps
to n + 1, and nothing leads back.  Epochs count from 1, n from 0 to 999.

    message key  HKDF-SHA256(ck, salt = room secret's salt or empty,
                     info = "cmdchat message key 1", context, epoch, n), 32 bytes: a Fernet key
    next ck      HKDF-SHA256(ck, salt empty, info = "cmdchat chain step 1"), 32 bytes
    wrap         Recipient.wrap(ck,
                     info = "cmdchat chain wrap 1", context, recipient's fingerprint, epoch, n)

``context`` (docs/PROTOCOL.md: place) stands for four fields: room key (UTF-8), log id, audience,
sender's fingerprint.
Every ``info`` goes through ``protocol.keys.labelled``; numbers are 8 bytes, big-endian.
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Container

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.dataclass import cached_property, dataclass, field
from protocol.fernet import TokenOpener
from protocol.frames import Wrap
from protocol.keys import SECRET_BYTES, Bundle, labelled, with_lengths
from protocol.limits import EPOCH_POSTS

ROOM_AUDIENCE = labelled("cmdchat audience room 1")

# A sender has one chain, and a few more if its posts were refused between people leaving.
# What comes beyond that is a flood, and pushes out only keys that never opened anything.
_OFFERED = 16
_MARKS = 16_384
_AHEAD = 4  # messages that are made ready for, 2 KB each, of somebody who goes on and on


def number(value: int) -> bytes:
    """How numbers enter hashes, keys and signatures: 8 bytes, big-endian."""
    return value.to_bytes(8, "big")


def name(text: str) -> bytes:
    """How the keys of nicknames and rooms enter them.

    Names come from the server, which may send halves of surrogate pairs: no reason to fall.
    """
    return text.encode("utf-8", "surrogatepass")


def member_audience(member: int, fingerprint: bytes) -> bytes:
    """The audience of a private message: one member, by id and by keys."""
    return labelled("cmdchat audience member 1", number(member), fingerprint)


@dataclass(frozen=True)
class Context:
    """Where somebody speaks, to whom, and who it is; ``room`` is a room key."""

    room: str
    log_id: bytes
    audience: bytes
    sender: bytes

    @cached_property
    def fields(self) -> tuple[bytes, bytes, bytes, bytes]:
        """The four fields, as every key, wrap and signature is bound to them."""
        return (name(self.room), self.log_id, self.audience, self.sender)

    @cached_property
    def key_label(self) -> bytes:
        """What the ``info`` of each message key begins with."""
        return labelled("cmdchat message key 1", *self.fields)

    @cached_property
    def post_label(self) -> bytes:
        """What is signed of each post begins with this."""
        return labelled("cmdchat post 1", *self.fields)

    def wrap_info(self, recipient: bytes, epoch: int, n: int) -> bytes:
        """What a chain is wrapped under for the holder of the fingerprint ``recipient``.

        The audience is in it: a private message's chain cannot be passed off as the room's.
        """
        numbers = (number(epoch), number(n))
        return labelled("cmdchat chain wrap 1", *self.fields, recipient, *numbers)


@dataclass(frozen=True)
class SenderChain:
    """A chain from (``epoch``, ``n``) on.  Stepping makes a new one: the caller decides when
    the old one is forgotten, and for a reader that is after the message has opened."""

    epoch: int
    n: int
    ck: bytes = field(repr=False)

    @classmethod
    def start(cls, epoch: int) -> SenderChain:
        """A new chain at n = 0."""
        return cls(epoch, 0, secrets.token_bytes(SECRET_BYTES))

    def at(self, n: int) -> SenderChain:
        """The chain at ``n``, which is this one's or a later one."""
        if n == self.n:
            return self
        ck = self.ck
        for _ in range(self.n, n):
            ck = HKDF(hashes.SHA256(), SECRET_BYTES, b"", _STEP).derive(ck)
        return SenderChain(self.epoch, n, ck)

    def message_key(self, context: Context, salt: bytes) -> bytes:
        """The Fernet key of message ``n``, 32 bytes; ``salt`` comes from the room secret."""
        info = context.key_label + with_lengths(number(self.epoch), number(self.n))
        return HKDF(hashes.SHA256(), 32, salt, info).derive(self.ck)

    def opener(self, context: Context, salt: bytes) -> TokenOpener:
        """What opens message ``n``."""
        return TokenOpener(self.message_key(context, salt))

    def wrap(self, context: Context, to: int, bundle: Bundle) -> Wrap:
        """The chain for member ``to``; raises KeyUnusable if its keys cannot be used."""
        info = context.wrap_info(bundle.fingerprint, self.epoch, self.n)
        return Wrap(to, self.epoch, self.n, bundle.wrap(self.ck, info))

    def agrees(self, other: SenderChain) -> bool:
        """Whether both are one chain, known from different numbers on."""
        early, late = sorted((self, other), key=lambda chain: chain.n)
        return hmac.compare_digest(early.at(late.n).ck, late.ck)


_STEP = labelled("cmdchat chain step 1")


class SenderKeys:
    """A reader's chains of one sender.

    Wraps are sealed for their reader, but not signed by their sender: the server can make
    them.  So an offered chain counts for nothing until a signed box has opened under it.
    It never replaces another, and where two contradict each other both are kept for the box
    to decide.
    """

    def __init__(self) -> None:
        self.proven: SenderChain | None = None  # at its next number
        self.shared = False  # the sender is known to have the reader's room secret
        self._offered: list[SenderChain] = []
        # The chain at the numbers that come next, and what opens each of these.
        self._ready: deque[tuple[SenderChain, TokenOpener]] = deque()
        self._ready_for: tuple[Context, bytes] | None = None
        self._ahead = 0  # how many were made ready last

    def offer(self, chain: SenderChain) -> bool:
        """Keep a chain that came in a wrap; False if another one of its epoch contradicts it."""
        known = [other for other in self._all() if other.epoch == chain.epoch]
        if any(other.agrees(chain) for other in known):
            return True
        if self.proven is None or self.proven.epoch != chain.epoch:
            self._offered = [*self._offered[1 - _OFFERED :], chain]
        return not known

    def reaching(self, epoch: int, n: int) -> list[SenderChain]:
        """The chains from which message (``epoch``, ``n``) can be reached."""
        return [chain for chain in self._all() if chain.epoch == epoch and chain.n <= n]

    def prove(self, chain: SenderChain, context: Context, salt: bytes) -> None:
        """A signed box has opened under ``chain``: go on from there, forget what is older."""
        if chain is not self.proven or not self._ready:
            self._make_ready(chain, context, salt)
        self.proven, self.shared = self._ready[0][0] if self._ready else chain.at(chain.n + 1), True
        if self._offered:
            self._offered = [other for other in self._offered if other.epoch > chain.epoch]

    def _make_ready(self, chain: SenderChain, context: Context, salt: bytes) -> None:
        """For the messages after ``chain``'s; for the more of them, the more have come in a row.

        Their keys follow from the chain, which is kept anyway.  One after the other they cost 8 µs
        each; the first, and any that comes after a pause, costs 150 until all is in the caches.
        """
        self._ahead = min(2 * self._ahead, _AHEAD) or 1
        self._ready.clear()
        self._ready_for = context, salt
        while len(self._ready) < self._ahead and chain.n + 1 < EPOCH_POSTS:
            chain = chain.at(chain.n + 1)
            self._ready.append((chain, chain.opener(context, salt)))

    def opener(self, chain: SenderChain, context: Context, salt: bytes) -> TokenOpener:
        """What opens one token: that which was made ready, if it was for this."""
        if self._ready and self._ready[0][0] is chain and self._ready_for == (context, salt):
            return self._ready.popleft()[1]
        self._ready.clear()
        self._ahead = 0
        return chain.opener(context, salt)

    def _all(self) -> list[SenderChain]:
        return [*([self.proven] if self.proven else ()), *self._offered]


def readable_number(n: int) -> bool:
    """Whether an epoch has a message ``n``; bounds the steps that a reader is made to take."""
    return 0 <= n < EPOCH_POSTS


Mark = tuple[int, int]


class ReplayGuard:
    """The highest (epoch, n) opened of each sender and audience, for the program's lifetime.

    They outlive rooms and chains: a server that plays a whole old log to somebody who comes
    back meets them.  The table is bounded; what goes first are marks of senders that were
    not heard for longest and are in none of the rosters that posts are still checked against.
    """

    def __init__(self) -> None:
        # key: sender's fingerprint, room key, audience; most recently moved last
        self._highest: OrderedDict[tuple[bytes, str, bytes], Mark] = OrderedDict()

    def passed(self, context: Context, epoch: int, n: int) -> bool:
        """Whether (``epoch``, ``n``) is not above the highest opened one."""
        mark = self._highest.get((context.sender, context.room, context.audience))
        return mark is not None and (epoch, n) <= mark

    def move(
        self, context: Context, epoch: int, n: int, present: Callable[[], Container[bytes]]
    ) -> None:
        """(``epoch``, ``n``) was opened; marks of the fingerprints ``present()`` stay."""
        key = (context.sender, context.room, context.audience)
        self._highest[key] = (epoch, n)
        self._highest.move_to_end(key)
        if len(self._highest) > _MARKS:
            stay = present()
            old = next((key for key in self._highest if key[0] not in stay), None)
            if old is not None:
                del self._highest[old]
