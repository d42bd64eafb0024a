"""What the suite makes once is what would have been made each time."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from protocol import keys
from protocol.keys import Identity, RecipientKeys
from tests import made_once

INPUT = (b"password", b"a salt of sixteen", 4)
OTHERS = [(b"Password", *INPUT[1:]), (INPUT[0], b"A salt of sixteen", 4), (*INPUT[:2], 5)]


class Counted:
    """scrypt, and how often it was worked out."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.memory, self.times = made_once.Memory(), 0
        monkeypatch.setattr(keys, "Scrypt", self.scrypt)

    def scrypt(self, **parameters: Any) -> Any:
        return self.memory.scrypt(derive=self.derive, **parameters)

    def derive(self, scrypt: Scrypt, data: bytes) -> bytes:
        self.times += 1
        return scrypt.derive(data)


@pytest.fixture(name="counted")
def counted_fixture(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


def expected(data: bytes, salt: bytes, cost: int) -> bytes:
    return hashlib.scrypt(data, salt=salt, n=2**cost, r=8, p=1, dklen=32)


def test_scrypt_is_worked_out_once(counted: Counted) -> None:
    for _ in range(3):
        assert keys.scrypt(*INPUT) == expected(*INPUT)
    assert counted.times == 1


@pytest.mark.parametrize("other", OTHERS, ids=["data", "salt", "cost"])
def test_another_input_has_another_result(counted: Counted, other: tuple[Any, ...]) -> None:
    keys.scrypt(*INPUT)
    assert keys.scrypt(*other) == expected(*other)
    assert counted.times == 2


def test_by_a_file_it_is_worked_out_once_for_all(counted: Counted, tmp_path: Path) -> None:
    for _ in range(2):
        counted.memory = made_once.Memory(str(tmp_path / "made_once"))
        assert keys.scrypt(*INPUT) == expected(*INPUT)
    assert counted.times == 1


def test_a_slot_that_is_half_written_over_counts_as_empty(counted: Counted) -> None:
    keys.scrypt(*INPUT)
    kept = counted.memory._kept
    for at, byte in enumerate(kept[:]):
        if byte:
            kept[at] ^= 1
            assert keys.scrypt(*INPUT) == expected(*INPUT)
    assert counted.times > 90


def test_those_who_are_there_together_have_different_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = made_once.KeyRing()
    rsa = ring.some()
    monkeypatch.setattr(keys, "generate_private_key", keys.__dict__["generate_private_key"])
    made_once.use(rsa=rsa)
    one, two, three = Identity().bundle.recipient, RecipientKeys().public, RecipientKeys().public
    assert len({one.rsa, two.rsa, three.rsa}) == 3  # the last one is new
    assert rsa == []
    moduli = {key.public_key().public_numbers().n for _ in range(7) for key in ring.some()}
    assert len(moduli) == ring.SIZE - ring.EACH
    again = [key.public_key().public_numbers().n.to_bytes(256, "big") for key in ring.some()]
    assert sorted(again) == sorted([one.rsa, two.rsa])
