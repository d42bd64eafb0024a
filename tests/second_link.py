"""The client's half of the link, by docs/PROTOCOL.md.

Part of ``tests/second_client.py``; nothing here is the program's.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Any

from cryptography.fernet import InvalidToken

from tests import second_crypto as crypto
from tests.second_schema import CLEAR, read

VERSION = 2
RECORD_PAD = 256

Frame = dict[str, Any]


class Refusal(Exception):
    """The server refused to let in; ``clear``: anybody in between may have said so."""

    def __init__(self, frame: Frame, clear: bool) -> None:
        super().__init__(frame["code"])
        self.code, self.frame, self.clear = frame["code"], frame, clear


class Broken(Exception):
    """The server did what it must not; the connection is over."""


class Link:
    """The client's half of the handshake, and the records after it."""

    def __init__(self, prs: bytes, keys: crypto.Keys | None = None) -> None:
        self.keys = keys or crypto.Keys()
        self._prs = prs
        self._spoken: list[bytes] = []  # the frames in clear, as they were on the wire
        self.agreed = False

    def hello(self, greeting: str, token: str | None, ticket: bytes | None) -> str:
        """The answer to `greeting`.  Raises Broken."""
        frame = read_clear(greeting, "greeting")
        if frame["version"] != VERSION:
            raise Broken("another version")
        nonce = secrets.token_bytes(16)
        self.sid = crypto.from_text(frame["nonce"], 16) + nonce
        self.cpace = crypto.Cpace(self._prs, self.sid)
        hello: Frame = {
            "type": "hello",
            "version": VERSION,
            "nonce": crypto.to_text(nonce),
            "proof": "password" if token is None else "token",
            "rsa": crypto.to_text(self.keys.rsa),
            "kem": crypto.to_text(self.keys.kem),
            "share": crypto.to_text(self.cpace.share),
        }
        if token is not None:
            name = token.split(".")[0].encode("ascii")
            hello["token"] = crypto.to_text(crypto.digest("cmdchat token name 1", self.sid, name))
        if ticket is not None:
            name = crypto.digest("cmdchat ticket name 1", self.sid, ticket)
            hello["ticket"] = crypto.to_text(name)
        text = compact(hello)
        self._spoken = [greeting.encode(), text.encode()]
        return text

    def agree(self, key: str) -> None:
        """Take the server's `key`.  Raises Broken."""
        frame = read_clear(key, "key")
        wrapped = crypto.from_text(frame["wrapped"], 1392)
        info = crypto.labelled("cmdchat link key 1", hashlib.sha256(self._spoken[1]).digest())
        own = crypto.labelled("cmdchat link recipient 1", self.keys.rsa, self.keys.kem)
        try:
            k0 = self.keys.unwrap(wrapped, info)
            isk = self.cpace.as_initiator(crypto.from_text(frame["share"], 32), own, wrapped)
        except ValueError:
            raise Broken("key") from None
        self._spoken.append(key.encode())
        salt = crypto.digest("cmdchat transcript 1", *self._spoken)
        self._sending = crypto.hkdf(k0 + isk, salt, crypto.labelled("cmdchat link client 1"))
        self._receiving = crypto.hkdf(k0 + isk, salt, crypto.labelled("cmdchat link server 1"))
        self._sent = self._received = 0
        self.agreed = True

    def to_sign(self, fingerprint: bytes) -> bytes:
        return crypto.labelled("cmdchat confirm 1", *self._spoken, fingerprint)

    def seal(self, *frames: Frame | bytes) -> bytes:
        """A record; a frame that is bytes already goes into it as it is."""
        encoded = (x if isinstance(x, bytes) else compact(x).encode() for x in frames)
        plain = crypto.u64(self._sent) + b"[" + b",".join(encoded) + b"]"
        plain += b" " * (-len(plain) % RECORD_PAD)
        self._sent += 1
        return crypto.unpadded(crypto.seal(self._sending, plain))

    def open(self, record: str | bytes) -> list[Any]:
        """The frames in a record.  Raises Broken."""
        if isinstance(record, str):
            raise Broken("a text")
        try:
            plain = crypto.unseal(self._receiving, crypto.padded(record))
            values = parse(plain[8:])
        except (InvalidToken, ValueError):
            raise Broken("a record that does not open") from None
        if plain[:8] != crypto.u64(self._received) or len(plain) % RECORD_PAD:
            raise Broken("not the next record")
        self._received += 1
        if not isinstance(values, list) or len(values) > 1024:
            raise Broken("no list of frames")
        return values


# Texts


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def parse(raw: bytes) -> Any:
    """JSON as the document has it.  Raises ValueError."""

    def unique(pairs: list[tuple[str, Any]]) -> Frame:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key that comes twice")
        return found

    def refuse(name: str) -> Any:
        raise ValueError(name)

    return json.loads(raw.decode(), object_pairs_hook=unique, parse_constant=refuse)


def read_clear(text: str, kind: str) -> Frame:
    """The frame in clear that has to be ``kind``.  Raises Broken."""
    try:
        frame, _ = read(parse(text.encode()), CLEAR)
    except ValueError:
        raise Broken("no frame") from None
    if frame is None or frame["type"] != kind:
        raise Broken(f"no {kind}")
    return frame


def raise_refused(value: Any, clear: bool) -> None:
    if isinstance(value, dict) and value.get("type") == "refused":
        raise Refusal(value, clear)
