"""Boxes: what is inside one, how it is padded, sealed and signed.

    body       JSON in UTF-8, no spaces: {"id", "kind", "text", "seen": [k, h]}, and where there is
               something to say there "before": [change, k, h]; where a program answers by
               itself "bot": true; id (16 bytes) and h (32 bytes) in base64url
    plaintext  body, then spaces up to the next power of two, 64 bytes or more
    data       Fernet(message key) over the plaintext, its clock field 0
    sig        Ed25519 over "cmdchat post 1", context, sender's nickname key, change, epoch, n, data

Spaces after a JSON text mean nothing, so a reader needs no length to take them off again.
"""

from __future__ import annotations

import json

from client.encryption.sender_keys import Context, SenderChain, name, number
from client.encryption.transcript import Claim, TranscriptHash
from protocol import fernet
from protocol.codec import parse
from protocol.dataclass import dataclass
from protocol.errors import Malformed
from protocol.keys import from_text, to_text, with_lengths
from protocol.limits import COUNTER_MAX, PAD_FROM, POST_ID_BYTES, TRANSCRIPT_POSTS

KINDS = frozenset({"text", "action"})
_HASH_BYTES = 32


@dataclass(frozen=True)
class Body:
    """What a box says: ``id`` is the post's own, ``kind`` one of KINDS; ``bot``: nobody has
    written it, a program answers."""

    id: bytes
    kind: str
    text: str
    seen: TranscriptHash
    before: Claim | None = None
    bot: bool = False

    def encode(self) -> bytes:
        """The padded plaintext; raises Malformed for what no reader would take."""
        fields: dict[str, object] = {
            "id": to_text(self.id),
            "kind": self.kind,
            "text": self.text,
            "seen": [self.seen.count, to_text(self.seen.hash)],
        }
        if self.before:
            change, seen = self.before
            fields["before"] = [change, seen.count, to_text(seen.hash)]
        if self.bot:
            fields["bot"] = True
        try:
            plain = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
        except UnicodeEncodeError:  # half of a surrogate pair is no text
            raise Malformed() from None
        if self.kind not in KINDS or len(self.id) != POST_ID_BYTES:
            raise Malformed()
        return plain.ljust(padded_size(len(plain)))

    def claims(self, change: int) -> list[Claim]:
        """What the sender says it had been shown, if it was sealed for ``change``."""
        return [Claim(change, self.seen), *([self.before] if self.before else [])]

    @classmethod
    def decode(cls, plain: bytes) -> Body:
        """Read ``encode``; raises Malformed, whatever the sender put there."""
        if len(plain) != padded_size(len(plain)):
            raise Malformed()
        fields = parse(plain)
        if not isinstance(fields, dict):
            raise Malformed()
        kind, text = fields.get("kind"), fields.get("text")
        if not isinstance(kind, str) or kind not in KINDS or not isinstance(text, str):
            raise Malformed()
        try:
            text.encode()
        except UnicodeEncodeError:  # JSON can spell half of a surrogate pair
            raise Malformed() from None
        post_id, seen = _raw(fields.get("id"), POST_ID_BYTES), _seen(fields.get("seen"))
        # Anything else is no mark: whoever knows no such key shows the post, too.
        bot = fields.get("bot") is True
        return cls(post_id, kind, text, seen, _before(fields.get("before")), bot)


def is_fit(text: str, most: int | None) -> bool:
    """Whether a reader shows ``text``: there is something in it, and it has ``most`` bytes at most.

    ``most`` is None where no server has said it.
    """
    return bool(text.strip()) and (most is None or len(text.encode()) <= most)


def _raw(value: object, size: int) -> bytes:
    if not isinstance(value, str):
        raise Malformed()
    return from_text(value, size)


def _seen(value: object) -> TranscriptHash:
    if not isinstance(value, list) or len(value) != 2 or type(value[0]) is not int:
        raise Malformed()
    if not 0 <= value[0] <= TRANSCRIPT_POSTS:
        raise Malformed()
    return TranscriptHash(value[0], _raw(value[1], _HASH_BYTES))


def _before(value: object) -> Claim | None:
    if value is None:
        return None
    if not isinstance(value, list) or not value or type(value[0]) is not int:
        raise Malformed()
    before = Claim(value[0], _seen(value[1:]))
    if not 0 <= before.change <= COUNTER_MAX or not before.seen.count:
        raise Malformed()
    return before


def padded_size(size: int) -> int:
    """The power of two from 64 on that holds ``size`` bytes."""
    return max(PAD_FROM, 1 << (size - 1).bit_length()) if size else PAD_FROM


def seal(plain: bytes, chain: SenderChain, context: Context, salt: bytes) -> bytes:
    """The token of the message that ``chain`` stands at."""
    return fernet.seal(chain.message_key(context, salt), plain)


def unseal(data: bytes, chain: SenderChain, context: Context, salt: bytes) -> bytes | None:
    """The plaintext, or None if this is not the key."""
    return fernet.unseal(chain.message_key(context, salt), data)


def signed(context: Context, nick_key: str, change: int, epoch: int, n: int, data: bytes) -> bytes:
    """What the sender of a box signs: the raw token, where it stands, and under which name."""
    numbers = (number(change), number(epoch), number(n))
    return context.post_label + with_lengths(name(nick_key), *numbers, data)
