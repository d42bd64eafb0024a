"""Fernet tokens (https://github.com/fernet/spec), each under a key of its own, their time 0.

Put together from the library's AES-CBC and HMAC, as records are: its class wants the key in base64,
takes that apart again, and cannot be made ready for a token that is still to come.
"""

from __future__ import annotations

import base64
import binascii
import secrets

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hmac import HMAC

_VERSION = b"\x80"
_HEAD = _VERSION + bytes(8)  # and the time
_BLOCK_BYTES, _MAC_BYTES = 16, 32
_FROM_URL = bytes.maketrans(b"-_", b"+/")


def seal(key: bytes, plain: bytes) -> bytes:
    """A token, base64url with padding; ``key`` has 32 bytes."""
    fill = _BLOCK_BYTES - len(plain) % _BLOCK_BYTES
    vector = secrets.token_bytes(_BLOCK_BYTES)
    cipher = Cipher(AES(key[16:]), CBC(vector)).encryptor()
    signed = _HEAD + vector + cipher.update(plain + bytes((fill,)) * fill)
    mac = HMAC(key[:16], hashes.SHA256())
    mac.update(signed)
    return base64.urlsafe_b64encode(signed + mac.finalize())


def unseal(key: bytes, token: bytes) -> bytes | None:
    """What is in a token; None where this is not its key, or it is no token."""
    return TokenOpener(key).open(token)


class TokenOpener:
    """A key that is ready to open one token."""

    def __init__(self, key: bytes) -> None:
        self._mac = HMAC(key[:16], hashes.SHA256())
        # The token brings its vector, which goes before its blocks: see ``records.Opener``.
        self._cipher = Cipher(AES(key[16:]), CBC(bytes(_BLOCK_BYTES))).decryptor()

    def open(self, token: bytes) -> bytes | None:
        """As ``unseal``; for the first token that is tried, whatever comes of it."""
        try:
            raw = binascii.a2b_base64(token.translate(_FROM_URL))
            self._mac.update(raw[:-_MAC_BYTES])
            self._mac.verify(raw[-_MAC_BYTES:])
        except (binascii.Error, InvalidSignature):
            return None
        blocks = raw[len(_HEAD) : -_MAC_BYTES]
        if raw[:1] != _VERSION or len(blocks) < 2 * _BLOCK_BYTES or len(blocks) % _BLOCK_BYTES:
            return None
        plain = self._cipher.update(blocks)
        fill = plain[-1]
        if not 1 <= fill <= _BLOCK_BYTES or plain[-fill:] != bytes((fill,)) * fill:
            return None
        return plain[_BLOCK_BYTES:-fill]
