"""Codes that people compare, and secrets that they share.

    room code   scrypt("cmdchat room code 1", room key, then nickname key and fingerprint of
                    each member, sorted by both; salt = "cmdchat room code salt 1"),
                32 bytes as a number, modulo 10^30, written in six groups of five digits
    salt        scrypt(secret in NFC, UTF-8; salt = "cmdchat room secret 1", room key), 32 bytes

scrypt (RFC 7914) has r = 8 and p = 1, for codes N = 2^15 (some 60 ms and 32 MiB), for secrets
N = 2^17 (some 240 ms and 128 MiB), so callers keep it off the thread that draws.  Without it, 30
digits would not be enough to keep somebody with many computers from making keys until two codes
are equal.  A secret may be a few words that people thought of, and whoever was sent a message of
its room can try others at leisure, so each try has to cost more; it is derived once for each room.
"""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Iterable

from client.encryption.sender_keys import name
from client.encryption.transcript import Pair, flat
from protocol.errors import Malformed
from protocol.keys import labelled, scrypt, to_text
from protocol.names import room_key

CODE_COST, SECRET_COST = 15, 17  # N = 2^COST; both sides have to agree

_DIGITS = 30
_GROUP = 5
_SECRET_BYTES = 16


def room_code(room: str, pairs: Iterable[Pair]) -> str:
    """30 digits that differ whenever the room, a nickname or a key differs.

    ``pairs`` are the members to be compared: all of a room, or oneself and another one.
    Takes a while; see above.
    """
    salt = labelled("cmdchat room code salt 1")
    members = labelled("cmdchat room code 1", name(room_key(room)), *flat(pairs))
    number = int.from_bytes(scrypt(members, salt, CODE_COST), "big")
    digits = str(number % 10**_DIGITS).zfill(_DIGITS)
    return " ".join(digits[at : at + _GROUP] for at in range(0, _DIGITS, _GROUP))


def secret_salt(secret: str, room: str) -> bytes:
    """What a room secret adds to every message key of ``room``, 32 bytes.

    Takes a while; see above.  Raises Malformed if ``secret`` is not text (lone surrogates).
    """
    try:
        raw = unicodedata.normalize("NFC", secret).encode()
    except UnicodeEncodeError:
        raise Malformed() from None
    return scrypt(raw, labelled("cmdchat room secret 1", name(room_key(room))), SECRET_COST)


def new_secret() -> str:
    """A room secret of 128 random bits, 22 characters of base64url."""
    return to_text(secrets.token_bytes(_SECRET_BYTES))
