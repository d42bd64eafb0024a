"""The link's records: frames, numbered, padded, sealed and opened; one class for each direction.

A record that does not open, or is not the next one, breaks the link for good.  Neither class is
safe for two threads at once; their callers hold the link's lock.  See ``docs/PROTOCOL.md``,
"Records".
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hmac import HMAC

from protocol import limits
from protocol.codec import parse_record
from protocol.errors import LinkBroken
from protocol.posts import read_posts

_COUNTER_BYTES = 8
_FERNET = 0x80  # its version
_TOKEN_HEAD = bytes((_FERNET,)) + bytes(8)  # and 0 for the time
_BLOCK_BYTES, _MAC_BYTES = 16, 32
_SHORTEST_TOKEN = len(_TOKEN_HEAD) + 2 * _BLOCK_BYTES + _MAC_BYTES
_PADDING = b"\x10" * 16  # PKCS 7's, of what fills its blocks, as records do
# From 2,048 bytes on the library lets go of the interpreter and takes it again, which wakes another
# thread in vain.  Beyond _HELD_BYTES there is so much to do that another one had better run.
_PIECE_BYTES, _HELD_BYTES = 2032, 16 * 1024
_BLOCKS_DRAWN = 256
_random_blocks: list[bytes] = []  # to take one away is one step, for any thread


class Sealer:
    """One direction of a link, the sending end: numbers, pads and seals records.

    A record is the bytes of a Fernet token (https://github.com/fernet/spec), without the base64
    that makes a text of them.  It is put together here from the same library's AES-CBC and HMAC:
    its Fernet class goes through that base64, and sets everything up anew for each token, while
    the server seals a record for every member (docs/PERFORMANCE.md).

    One cipher context runs through all records.  A record begins with a random block; what
    that is encrypted to is the token's initialization vector, as random and as unforeseeable
    as the block (RFC 4346 6.2.3.2, 2b).
    """

    def __init__(self, key: bytes) -> None:
        self._mac = _mac(key)
        self._mac.update(_TOKEN_HEAD)  # as each token begins
        self._cipher = _cipher(key).encryptor()
        self._next = 0

    def seal(self, frames: Iterable[bytes]) -> bytes:
        """One record that carries ``frames``, each encoded already."""
        counter, body = self._next.to_bytes(_COUNTER_BYTES, "big"), b",".join(frames)
        self._next += 1
        spaces = b" " * (-(len(counter) + len(body) + 2) % limits.RECORD_PAD)
        return self._token(b"%s[%s]%s%s" % (counter, body, spaces, _PADDING))

    def _token(self, blocks: bytes) -> bytes:
        """The Fernet token of plaintext that was padded to whole blocks."""
        sealed = _updated(self._cipher, _random_block() + blocks)
        mac = self._mac.copy()
        _feed(mac, sealed)
        return b"%s%s%s" % (_TOKEN_HEAD, sealed, mac.finalize())


class Opener:
    """One direction of a link, the receiving end; opens what any Fernet seals.

    One cipher context here, too: what CBC makes of a block depends on the block before it and on
    nothing else, and before the first one comes the initialization vector.
    """

    def __init__(self, key: bytes) -> None:
        self._mac = _mac(key)
        self._cipher = _cipher(key).decryptor()
        self._next = 0

    def open(self, message: str | bytes) -> Sequence[Any]:
        """The unread frames of the next record (``protocol.frames.from_object`` reads them).

        Raises LinkBroken for anything that the other end did not seal as its next record,
        Malformed where it did, but what is inside is not a list.
        """
        return parse_record(self._open(message)[_COUNTER_BYTES:])

    def open_posts(self, message: str | bytes) -> Sequence[Any]:
        """The same of what a client has sent; where it sent nothing but posts they are read."""
        plain = self._open(message)
        return read_posts(plain, _COUNTER_BYTES) or parse_record(plain[_COUNTER_BYTES:])

    def _open(self, message: str | bytes) -> bytes:
        """The plaintext of the next record, counter and all."""
        plain = self._decrypt(message)
        if plain[:_COUNTER_BYTES] != self._next.to_bytes(_COUNTER_BYTES, "big"):
            raise LinkBroken()
        self._next += 1
        return plain

    def _decrypt(self, token: str | bytes) -> bytes:
        if not isinstance(token, bytes) or len(token) < _SHORTEST_TOKEN or token[0] != _FERNET:
            raise LinkBroken()
        mac = self._mac.copy()
        _feed(mac, token[:-_MAC_BYTES])
        try:
            mac.verify(token[-_MAC_BYTES:])
        except InvalidSignature:
            raise LinkBroken() from None
        # From here on it is what somebody with the key has made, and still may be no token.
        blocks = token[len(_TOKEN_HEAD) : -_MAC_BYTES]
        if len(blocks) % _BLOCK_BYTES:
            raise LinkBroken()
        plain = _updated(self._cipher, blocks)
        size = plain[-1]
        if not 1 <= size <= _BLOCK_BYTES or plain[-size:] != bytes((size,)) * size:
            raise LinkBroken()
        return plain[_BLOCK_BYTES:-size]


def _updated(cipher: CipherContext, data: bytes) -> bytes:
    """``cipher.update(data)``, without letting go of the interpreter."""
    if not _PIECE_BYTES < len(data) <= _HELD_BYTES:
        return cipher.update(data)
    pieces = range(0, len(data), _PIECE_BYTES)
    return b"".join([cipher.update(data[at : at + _PIECE_BYTES]) for at in pieces])


def _feed(mac: HMAC, data: bytes) -> None:
    """``mac.update(data)``, likewise."""
    if not _PIECE_BYTES < len(data) <= _HELD_BYTES:
        mac.update(data)
        return
    for at in range(0, len(data), _PIECE_BYTES):
        mac.update(data[at : at + _PIECE_BYTES])


def _random_block() -> bytes:
    """A random block that nobody had before, and nobody gets again.

    The system is asked for many at once: each time it is, other threads run, and one has to wait
    until they let go of the interpreter (docs/PERFORMANCE.md).
    """
    try:
        return _random_blocks.pop()
    except IndexError:
        drawn = secrets.token_bytes(_BLOCKS_DRAWN * _BLOCK_BYTES)
        blocks = [drawn[at : at + _BLOCK_BYTES] for at in range(0, len(drawn), _BLOCK_BYTES)]
        block = blocks.pop()
        _random_blocks.extend(blocks)
        return block


def _mac(key: bytes) -> HMAC:
    return HMAC(key[:16], hashes.SHA256())


def _cipher(key: bytes) -> Cipher[CBC]:
    """With a vector that is never used: records bring, or make, their own."""
    return Cipher(AES(key[16:]), CBC(bytes(_BLOCK_BYTES)))
