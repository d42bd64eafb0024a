"""The vectors of ``tests/vectors`` as files: how one is read and written, and whose keys they use.

A file is a header of ``key: value`` lines, an empty line, and payload lines; UTF-8, line feeds.
``docs/PROTOCOL.md``, "Test vectors", says what each key means.  Bytes are base64url without
padding, as on the wire.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key

from protocol.frames import MemberLine
from protocol.keys import Identity, RecipientKeys, from_text

FOLDER = Path(__file__).parent / "vectors"
PEOPLE = FOLDER / "people.txt"
RUNS = {"carol": (20_787_002, 20_787_001)}  # whose signing key lasts: run, and since

_ALWAYS = frozenset({"expect", "do", "why"})
_HANDSHAKE = (
    "connection identity proof password token ticket nick stays client-nonce client-scalar prs sid "
    "generator k0 isk transcript client-key server-key"
)
_PLACE = "room log audience sender epoch n"
# do: the keys that its header may have besides the three that every header has
KEYS: dict[str, frozenset[str]] = {
    do: _ALWAYS | frozenset(keys.split())
    for do, keys in {
        "frame": "table",
        "handshake": _HANDSHAKE,
        "record": "key result",
        "password-prs": "password result",
        "token-prs": "token-secret result",
        "token-name": "sid token-id result",
        "ticket-name": "sid ticket result",
        "fingerprint": "rsa kem sign run since sig result",
        "message-key": f"{_PLACE} ck ck-n salt result",
        "chain": "ck ck-n n result",
        "unwrap": f"{_PLACE} reader recipient result",
        "open": "reader me room log change members salt most reason warning nick kind text bot",
        "transcript": "log change pairs result",
        "room-code": "room pairs result",
        "secret-salt": "room secret result",
    }.items()
}


@dataclass(frozen=True)
class Vector:
    """One file: what is done, with what, and which layer has to fail (or ``ok``)."""

    name: str
    header: dict[str, str]
    payload: tuple[str, ...]

    @property
    def do(self) -> str:
        return self.header["do"]

    @property
    def expect(self) -> str:
        return self.header["expect"]

    def raw(self, key: str) -> bytes:
        """A header value that stands for bytes."""
        return from_text(self.header[key])

    def number(self, key: str) -> int:
        """A header value that is a number."""
        return int(self.header[key])


def parse(name: str, text: str) -> Vector:
    """Read one vector; raises ValueError for anything that the form does not have."""
    head, found, body = text.partition("\n\n")
    if not text.endswith("\n") or "\r" in text:
        raise ValueError(f"{name}: not made of lines")
    header: dict[str, str] = {}
    for line in (head if found else text.rstrip("\n")).split("\n"):
        key, colon, value = line.partition(": ")
        if not colon or key in header:
            raise ValueError(f"{name}: a header line is no key and value, or comes twice: {line}")
        header[key] = value
    missing = _ALWAYS - header.keys()
    if missing or header["do"] not in KEYS:
        raise ValueError(f"{name}: {sorted(missing) or header['do']}")
    unknown = header.keys() - KEYS[header["do"]]
    if unknown:
        raise ValueError(f"{name}: unknown header keys {sorted(unknown)}")
    return Vector(name, header, tuple(body.rstrip("\n").split("\n")) if body else ())


def write(path: Path, header: dict[str, str], payload: tuple[str, ...] = ()) -> None:
    """Write one vector, and read it back to see that it is one."""
    lines = [f"{key}: {value}" for key, value in header.items()]
    text = "\n".join([*lines, *(["", *payload] if payload else [])]) + "\n"
    parse(path.name, text)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8", newline="\n")


def load(*folders: str) -> list[Vector]:
    """All vectors of these folders, by name."""
    paths = [path for folder in folders for path in sorted((FOLDER / folder).glob("*.txt"))]
    return [
        parse(path.relative_to(FOLDER).as_posix(), path.read_bytes().decode("utf-8"))
        for path in paths
    ]


@functools.cache
def people() -> dict[str, bytes]:
    """``people.txt``: private keys by ``person.kind``."""
    lines = (line.partition(": ") for line in PEOPLE.read_text("utf-8").splitlines())
    return {key: from_text(value) for key, _, value in lines}


@functools.cache
def recipient_keys(person: str) -> RecipientKeys:
    """The pinned RSA, ML-KEM and X25519 private keys of ``person``."""
    pinned = people()
    return RecipientKeys(
        cast(RSAPrivateKey, load_der_private_key(pinned[f"{person}.rsa"], None)),
        MLKEM768PrivateKey.from_seed_bytes(pinned[f"{person}.mlkem"]),
        X25519PrivateKey.from_private_bytes(pinned[f"{person}.x25519"]),
    )


@functools.cache
def identity(person: str) -> Identity:
    """The pinned identity of ``person``; the program itself never has one that is not fresh."""
    sign = Ed25519PrivateKey.from_private_bytes(people()[f"{person}.ed25519"])
    return Identity(sign, *RUNS.get(person, (0, 0)), recipient_keys(person))


def members(text: str) -> list[MemberLine]:
    """``ID NICK PERSON JOINED; …`` as the roster that it stands for."""
    found = []
    for item in text.split("; "):
        number, nick, person, joined = item.split(" ")
        found.append(MemberLine(int(number), nick, int(joined), identity(person).bundle))
    return found


def pairs(text: str) -> list[tuple[str, bytes]]:
    """``NICKNAME_KEY PERSON; …`` as nickname keys and fingerprints."""
    items = (item.split(" ") for item in text.split("; ")) if text else ()
    return [(key, identity(person).fingerprint) for key, person in items]
