"""What is slow to make and the same for all tests: results of scrypt, and RSA keys.

Nothing here stands in for either.  scrypt gives the same for the same input, so what it has given
is kept, and an RSA key that is nobody's in particular may be anybody's: the other keys of whoever
has it are fresh.  Programs that are started as people start them make all of it themselves.
"""

from __future__ import annotations

import functools
import hashlib
import mmap
import os
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from protocol import keys

SHARED = "PYTEST_MADE_ONCE"  # the variable that names the file of a whole run
_SLOTS = 4096
_PART_BYTES = 32  # of a slot: the input's hash, the result, and the hash of both


class Memory:
    """Results of scrypt by their input, seen by all processes that are forked from this one, and
    by those that have the same file.

    A slot may be written over at any time, by several at once: what is in it counts only whole.
    """

    def __init__(self, path: str | None = None) -> None:
        """``path``: a file by which others share it, too."""
        size = _SLOTS * 3 * _PART_BYTES
        if path is None:
            self._kept = mmap.mmap(-1, size)
            return
        with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            file.truncate(size)
            self._kept = mmap.mmap(file.fileno(), size)

    def scrypt(self, *, derive: Any = Scrypt.derive, **parameters: Any) -> _Remembered:
        """What ``Scrypt`` is to be in ``protocol.keys``."""
        return _Remembered(self, functools.partial(derive, Scrypt(**parameters)), parameters)

    def find(self, name: bytes) -> bytes | None:
        """What was kept under this hash."""
        place = self._place(name)
        slot = self._kept[place : place + 3 * _PART_BYTES]
        found, result, whole = (slot[at : at + _PART_BYTES] for at in (0, 32, 64))
        return result if found == name and whole == _hash(name, result) else None

    def keep(self, name: bytes, result: bytes) -> None:
        place = self._place(name)
        self._kept[place : place + 3 * _PART_BYTES] = name + result + _hash(name, result)

    def _place(self, name: bytes) -> int:
        return int.from_bytes(name[:4], "big") % _SLOTS * 3 * _PART_BYTES


class _Remembered:
    """scrypt with given parameters."""

    def __init__(self, memory: Memory, derive: Any, parameters: dict[str, Any]) -> None:
        self._memory, self._derive, self._parameters = memory, derive, parameters

    def derive(self, data: bytes) -> bytes:
        """The 32 bytes for these data, from memory if it is not the first time."""
        name = _hash(repr(sorted(self._parameters.items())).encode(), data)
        result = self._memory.find(name)
        if result is None:
            result = bytes(self._derive(data))
            self._memory.keep(name, result)
        return result


def _hash(one: bytes, other: bytes) -> bytes:
    return hashlib.sha256(len(one).to_bytes(4, "big") + one + other).digest()


class KeyRing:
    """RSA keys in turn, so that those who are there at the same time have different ones."""

    EACH = 2  # a client's own, and those of its first connection
    SIZE = 16

    def __init__(self) -> None:
        self._made: list[RSAPrivateKey] = []
        self._next = 0

    def some(self) -> list[RSAPrivateKey]:
        """The keys for one process."""
        found = []
        for _ in range(self.EACH):
            if self._next == len(self._made):
                self._made.append(generate_private_key(keys.RSA_EXPONENT, keys.RSA_BITS))
            found.append(self._made[self._next])
            self._next = (self._next + 1) % self.SIZE
        return found


def given_first(some: list[RSAPrivateKey], exponent: int, bits: int) -> RSAPrivateKey:
    """What ``generate_private_key`` is to be in ``protocol.keys``: these first, then new ones."""
    return some.pop() if some else generate_private_key(exponent, bits)


def use(*, memory: Memory | None = None, rsa: list[RSAPrivateKey] | None = None) -> None:
    """Have this process use them."""
    given: dict[str, Any] = {}
    if memory is not None:
        given["Scrypt"] = memory.scrypt
    if rsa is not None:
        given["generate_private_key"] = functools.partial(given_first, rsa)
    for name, value in given.items():
        assert hasattr(keys, name)
        setattr(keys, name, value)
