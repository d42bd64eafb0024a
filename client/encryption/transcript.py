"""The transcript: a short value in every box that says what its sender was shown.

    h_0  SHA-256("cmdchat room transcript 1", log id, change, then nickname key and fingerprint
             of each member, sorted by both)
    h_i  SHA-256("cmdchat room transcript step 1", h_(i-1), sig of the i-th public post that
             names this ``change``, in the log's order)

``seen`` in a box is (k, h_k), k being how many of those posts the sender had been shown.  All
members of one change are given the same posts of that change in the same order, whether they
can open them or not, so an honest server's readers always find their own h_k equal.  It starts
again with every change of membership: a newcomer needs no past.  So that nothing can be dropped
just before one, ``before`` says the same of an earlier change, for those who were there.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import NamedTuple

from client.encryption.sender_keys import name, number
from protocol.dataclass import dataclass
from protocol.keys import digest, labelled
from protocol.limits import TRANSCRIPT_POSTS

Pair = tuple[str, bytes]  # nickname key, fingerprint

_HASH_BYTES = 32

# As a step's hash begins, before h_(i-1): to make a new SHA-256 of the library's costs 0.03 ms for
# a message that comes alone, and to copy one a tenth of that.
_STEP = hashlib.sha256(
    labelled("cmdchat room transcript step 1", bytes(_HASH_BYTES))[:-_HASH_BYTES]
)


@dataclass(frozen=True)
class TranscriptHash:
    """``count`` public posts of one change, and the hash over roster and them (32 bytes)."""

    count: int
    hash: bytes


class Claim(NamedTuple):
    """What the sender of a box had been shown of an earlier change."""

    change: int
    seen: TranscriptHash


def flat(pairs: Iterable[Pair]) -> list[bytes]:
    """The fields of ``pairs``, sorted by nickname key (as UTF-8), then fingerprint."""
    raw = sorted((name(nick), keys) for nick, keys in pairs)
    return [field for pair in raw for field in pair]


class Transcript:
    """What was shown of one change; ``pairs`` is the roster that it made."""

    def __init__(self, log_id: bytes, change: int, pairs: Iterable[Pair]) -> None:
        self.acknowledged = 0  # how many of its posts later ones in the log name
        # h_0, h_1, … one after the other: 128 KiB at most
        self._hashes = bytearray(
            digest("cmdchat room transcript 1", log_id, number(change), *flat(pairs))
        )

    @property
    def count(self) -> int:
        """How many posts it holds; it stops at TRANSCRIPT_POSTS, on all sides alike."""
        return len(self._hashes) // _HASH_BYTES - 1

    def add(self, signature: bytes) -> None:
        """The next public post of this change, in the log's order."""
        if self.count < TRANSCRIPT_POSTS:
            step = _STEP.copy()
            step.update(self._hashes[-_HASH_BYTES:] + len(signature).to_bytes(4, "big") + signature)
            self._hashes += step.digest()

    def seen(self) -> TranscriptHash:
        """The value that goes into a box."""
        return TranscriptHash(self.count, bytes(self._hashes[-_HASH_BYTES:]))

    def agrees(self, seen: TranscriptHash) -> bool:
        """Whether the sender of ``seen`` was shown what this reader was, as far as it goes."""
        start = seen.count * _HASH_BYTES
        # Nobody can have been shown more than its reader: its own post came after all that.
        return hmac.compare_digest(self._hashes[start : start + _HASH_BYTES], seen.hash)
