"""What all nodes of a chat must have alike, and how they find out that they have.

Limits are compared as they are.  The password is not kept anywhere, nor anything that is cheap to
compare a guess with: the engine has a random key and a hash of the password under it, of which each
guess takes 2^17 steps of scrypt and 128 MiB.  All nodes know the password, and so they have a
secret that the engine has not: what tokens are proven with stands there under it.
"""

from __future__ import annotations

import hmac
import re
import unicodedata

from protocol import keys
from protocol.codec import encode, parse
from protocol.errors import Malformed
from protocol.limits import VERSION
from protocol.token_seal import TokenSeal
from server.cluster import limits
from settings import ServerSettings

_LABEL = "cmdchat cluster password 1"
_TOKENS_LABEL = "cmdchat cluster token 1"
_KEY = re.compile("[0-9a-f]{64}")


def limits_of(settings: ServerSettings) -> str:
    """What a client must find the same on all nodes, as text that is compared."""
    return encode(
        {
            "protocol": VERSION,
            "HEARTBEAT_INTERVAL": float(settings.heartbeat_interval),
            "HEARTBEAT_TIMEOUT": float(settings.heartbeat_timeout),
            "MAX_MESSAGES_PER_WINDOW": settings.max_messages_per_window,
            "MAX_MESSAGE_SIZE": settings.max_message_size,
            "MAX_PAYLOAD_SIZE": settings.max_payload_size,
            "RATE_LIMIT_WINDOW": float(settings.rate_limit_window),
        }
    ).decode()


def differing(own: str, others: bytes) -> list[str]:
    """The names of limits that are not the same in two texts of ``limits_of``."""
    try:
        ours, theirs = parse(own.encode()), parse(others)
    except Malformed:
        return []
    if not isinstance(theirs, dict):
        return []
    return sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))


def is_key(key: str) -> bool:
    """Whether this is a key as nodes make them."""
    return _KEY.fullmatch(key) is not None


class PasswordSecret:
    """What the password is under ``key`` (hex).  To make one takes half a second.

    ``mac``, in hex, stands in the engine.
    """

    def __init__(self, password: str, key: str) -> None:
        text = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
        salt = keys.labelled(_LABEL, bytes.fromhex(key))
        self._stretched = keys.scrypt(text, salt, limits.POLICY_SCRYPT)
        self.mac = hmac.digest(self._stretched, _LABEL.encode(), "sha256").hex()

    def token_seal(self) -> TokenSeal:
        """What seals tokens' proofs that stand in the engine."""
        return TokenSeal(hmac.digest(self._stretched, _TOKENS_LABEL.encode(), "sha256"))
