"""Tokens that are put together here are those of the library's class."""

from __future__ import annotations

import base64

import pytest
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hmac import HMAC
from hypothesis import example, given
from hypothesis import strategies as st

from protocol import fernet

KEYS = st.binary(min_size=32, max_size=32)
KEY = bytes(range(32))


def theirs(key: bytes) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(key))


def opened(key: bytes, token: bytes) -> bytes | None:
    """As the library has it."""
    try:
        return theirs(key).decrypt(token)
    except InvalidToken:
        return None


def signed(raw: bytes) -> bytes:
    """A token with a right signature over whatever this is."""
    mac = HMAC(KEY[:16], hashes.SHA256())
    mac.update(raw)
    return base64.urlsafe_b64encode(raw + mac.finalize())


def encrypted(blocks: bytes) -> bytes:
    """A token with whatever padding the blocks have."""
    cipher = Cipher(AES(KEY[16:]), CBC(bytes(16))).encryptor()
    return signed(b"\x80" + bytes(8) + bytes(16) + cipher.update(blocks))


@given(KEYS, st.binary(max_size=100))
def test_each_opens_what_the_other_has_sealed(key: bytes, plain: bytes) -> None:
    ours = fernet.seal(key, plain)
    assert theirs(key).decrypt(ours) == plain == fernet.unseal(key, ours)
    assert base64.urlsafe_b64decode(ours)[1:9] == bytes(8)
    assert len(ours) == len(theirs(key).encrypt_at_time(plain, 0))
    assert fernet.unseal(key, theirs(key).encrypt(plain)) == plain


def test_no_two_tokens_are_alike() -> None:
    assert fernet.seal(KEY, b"same") != fernet.seal(KEY, b"same")


@given(st.binary(max_size=60), st.integers(0), st.integers(1, 255))
def test_not_one_bit_may_be_another(plain: bytes, place: int, change: int) -> None:
    raw = bytearray(base64.urlsafe_b64decode(fernet.seal(KEY, plain)))
    raw[place % len(raw)] ^= change
    assert fernet.unseal(KEY, base64.urlsafe_b64encode(bytes(raw))) is None
    assert fernet.unseal(bytes(32), fernet.seal(KEY, plain)) is None


@given(st.binary(max_size=120))
@example(b"")
@example(b"gA==")
@example(b"=" * 80)
def test_what_is_no_token_is_none_to_either(token: bytes) -> None:
    assert fernet.unseal(KEY, token) is opened(KEY, token) is None


@given(st.binary(max_size=30), st.data())
def test_letters_that_are_none_are_passed_over_as_by_the_library(
    plain: bytes, data: st.DataObject
) -> None:
    token = bytearray(fernet.seal(KEY, plain))
    place = data.draw(st.integers(0, len(token)))
    token[place:place] = data.draw(st.binary(max_size=3))
    assert fernet.unseal(KEY, bytes(token)) == opened(KEY, bytes(token))


@given(st.binary(max_size=80))
@example(b"\x80")
@example(b"\x80" + bytes(8))
@example(b"\x80" + bytes(24))
@example(b"\x81" + bytes(40))
def test_a_right_signature_makes_no_token_of_anything(raw: bytes) -> None:
    assert fernet.unseal(KEY, signed(raw)) == opened(KEY, signed(raw))
    head = b"\x80" + raw
    assert fernet.unseal(KEY, signed(head)) == opened(KEY, signed(head))


@pytest.mark.parametrize("last", [0, 1, 2, 15, 16, 17, 255])
@pytest.mark.parametrize("before", [0, 2, 16])
def test_the_padding_is_looked_at(last: int, before: int) -> None:
    token = encrypted(bytes(16) + bytes((before,)) * 15 + bytes((last,)))
    assert fernet.unseal(KEY, token) == opened(KEY, token)
