"""Identities, fingerprints, and secrets that only one recipient unwraps."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import keys
from protocol.errors import KeyUnusable, Malformed
from protocol.keys import (
    Bundle,
    Identity,
    Recipient,
    RecipientKeys,
    digest,
    from_text,
    labelled,
    to_text,
)

VECTOR = {
    name: base64.b64decode(value)
    for name, value in json.loads(
        (Path(__file__).parent / "vectors" / "wrap.json").read_text("utf-8")
    ).items()
    if name not in ("source", "notes")
}
INFO, SECRET = b"info", bytes(range(32))
FIXED = settings(derandomize=True, database=None, deadline=None, max_examples=100)


@pytest.fixture(scope="module")
def pinned() -> RecipientKeys:
    """The keys of the vector."""
    return RecipientKeys(
        cast(RSAPrivateKey, load_der_private_key(VECTOR["rsa_private_key"], None)),
        MLKEM768PrivateKey.from_seed_bytes(VECTOR["mlkem_seed"]),
        X25519PrivateKey.from_private_bytes(VECTOR["x25519_private_key"]),
    )


@pytest.fixture(scope="module")
def identity() -> Identity:
    return Identity()


def test_pinned_wrap_opens(pinned: RecipientKeys) -> None:
    """The hybrid KEM is young: another version of the library must still read this."""
    assert pinned.unwrap(VECTOR["wrapped"], VECTOR["info"]) == VECTOR["secret"]


def test_pinned_public_keys(pinned: RecipientKeys) -> None:
    assert pinned.public == Recipient(VECTOR["recipient_rsa"], VECTOR["recipient_kem"])


def test_what_is_wrapped_is_unwrapped(pinned: RecipientKeys, identity: Identity) -> None:
    wrapped = identity.bundle.recipient.wrap(SECRET, INFO)
    assert len(wrapped) == keys.WRAP_BYTES == 1392
    assert identity.unwrap(wrapped, INFO) == SECRET
    assert wrapped != identity.bundle.recipient.wrap(SECRET, INFO)


def test_another_info_does_not_open(pinned: RecipientKeys) -> None:
    wrapped = pinned.public.wrap(SECRET, INFO)
    for info in (b"", b"info ", b"inf", b"other"):
        with pytest.raises(KeyUnusable):
            pinned.unwrap(wrapped, info)


def test_info_is_bound_by_both_layers(pinned: RecipientKeys) -> None:
    """HPKE with the right info over a block whose OAEP label is of another one."""
    rsa_key, kem_key = pinned.public._keys
    block = rsa_key.encrypt(SECRET, keys._oaep(b"other"))
    with pytest.raises(KeyUnusable):
        pinned.unwrap(keys._SUITE.encrypt(block, kem_key, INFO), INFO)
    block = rsa_key.encrypt(SECRET, keys._oaep(INFO))
    assert pinned.unwrap(keys._SUITE.encrypt(block, kem_key, INFO), INFO) == SECRET


def test_another_recipient_does_not_open(pinned: RecipientKeys, identity: Identity) -> None:
    with pytest.raises(KeyUnusable):
        identity.unwrap(VECTOR["wrapped"], VECTOR["info"])


@pytest.mark.parametrize("half", ["rsa", "kem"])
def test_both_keys_are_needed(pinned: RecipientKeys, identity: Identity, half: str) -> None:
    theirs = getattr(identity.bundle.recipient, half)
    mixed = dataclasses.replace(pinned.public, **{half: theirs})
    wrapped = mixed.wrap(SECRET, INFO)
    for holder in (pinned, identity):
        with pytest.raises(KeyUnusable):
            holder.unwrap(wrapped, INFO)


@pytest.mark.parametrize("place", [0, 1087, 1088, 1119, 1120, 1375, 1376, 1391])
def test_a_changed_byte_does_not_open(pinned: RecipientKeys, place: int) -> None:
    damaged = bytearray(VECTOR["wrapped"])
    damaged[place] ^= 1
    with pytest.raises(KeyUnusable):
        pinned.unwrap(bytes(damaged), VECTOR["info"])


@pytest.mark.parametrize("change", [lambda w: b"", lambda w: w[:-1], lambda w: w + b"\0"])
def test_a_wrap_has_one_length(pinned: RecipientKeys, change: Any) -> None:
    with pytest.raises(KeyUnusable):
        pinned.unwrap(change(VECTOR["wrapped"]), VECTOR["info"])


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_secret_has_one_length(pinned: RecipientKeys, size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        pinned.public.wrap(bytes(size), INFO)
    rsa_key, kem_key = pinned.public._keys
    block = rsa_key.encrypt(bytes(size), keys._oaep(INFO))
    with pytest.raises(KeyUnusable):
        pinned.unwrap(keys._SUITE.encrypt(block, kem_key, INFO), INFO)


def _modulus(bits: int) -> bytes:
    return (3 << bits - 2 | 1).to_bytes(256, "big")


KEM = VECTOR["recipient_kem"]
UNUSABLE = {
    "modulus even": Recipient(VECTOR["recipient_rsa"][:-1] + b"\0", KEM),
    "modulus of 2047 bits": Recipient(_modulus(2047), KEM),
    "modulus of 1024 bits": Recipient(_modulus(1024), KEM),
    "modulus of 1024 bits in 128 bytes": Recipient(_modulus(1024)[-128:], KEM),
    "modulus one byte longer": Recipient(b"\0" + VECTOR["recipient_rsa"], KEM),
    "modulus zero": Recipient(bytes(256), KEM),
    "ML-KEM coefficients out of range": Recipient(
        VECTOR["recipient_rsa"], b"\xff" * keys.MLKEM_BYTES + KEM[-32:]
    ),
    "KEM key too short": Recipient(VECTOR["recipient_rsa"], KEM[:-1]),
    "KEM key too long": Recipient(VECTOR["recipient_rsa"], KEM + b"\0"),
}


@pytest.mark.parametrize("recipient", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_unusable_keys_are_found_by_check(recipient: Recipient) -> None:
    bundle = Bundle(recipient, bytes(32), 0, 0, bytes(64))
    for refused in (recipient.check, bundle.check, lambda: recipient.wrap(SECRET, INFO)):
        with pytest.raises(KeyUnusable):
            refused()


def test_the_largest_and_smallest_moduli_of_2048_bits_load() -> None:
    for modulus in (b"\x80" + bytes(254) + b"\1", b"\xff" * 256):
        Recipient(modulus, KEM).check()


@pytest.mark.parametrize("point", [bytes(32), b"\1" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"])
def test_a_low_order_point_is_found_when_wrapping(point: bytes) -> None:
    with pytest.raises(KeyUnusable):
        Recipient(VECTOR["recipient_rsa"], KEM[:-32] + point).wrap(SECRET, INFO)


def test_the_right_keys_pass(pinned: RecipientKeys, identity: Identity) -> None:
    pinned.public.check()
    identity.bundle.check()


def test_each_identity_is_another(identity: Identity) -> None:
    other = Identity()
    ours, theirs = identity.bundle, other.bundle
    assert ours.recipient.rsa != theirs.recipient.rsa
    assert ours.recipient.kem[: keys.MLKEM_BYTES] != theirs.recipient.kem[: keys.MLKEM_BYTES]
    assert ours.recipient.kem[keys.MLKEM_BYTES :] != theirs.recipient.kem[keys.MLKEM_BYTES :]
    assert ours.sign != theirs.sign
    assert identity.fingerprint != other.fingerprint


def test_fingerprint_is_as_specified(identity: Identity) -> None:
    bundle = identity.bundle
    keys = (bundle.recipient.rsa, bundle.recipient.kem, bundle.sign)
    parts = (b"cmdchat bundle 2", *keys, bytes(8), bytes(8))
    text = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    assert bundle.fingerprint == identity.fingerprint == hashlib.sha256(text).digest()


@pytest.mark.parametrize("changed", ["rsa", "kem", "sign", "run", "since"])
def test_fingerprint_depends_on_each_part(identity: Identity, changed: str) -> None:
    bundle = identity.bundle
    if changed == "sign":
        other = dataclasses.replace(bundle, sign=bundle.sign[:-1] + bytes([bundle.sign[-1] ^ 1]))
    elif changed in ("run", "since"):
        numbers = {"run": (1, 0), "since": (0, 1)}[changed]
        other = dataclasses.replace(bundle, run=numbers[0], since=numbers[1])
    else:
        key = getattr(bundle.recipient, changed)
        recipient = dataclasses.replace(bundle.recipient, **{changed: b"\x99" + key[1:-1] + b"\7"})
        other = dataclasses.replace(bundle, recipient=recipient)
    assert other.fingerprint != bundle.fingerprint
    assert bundle.is_genuine and not other.is_genuine


def test_nothing_in_a_bundle_can_be_exchanged(identity: Identity) -> None:
    """Whoever has seen two bundles of a person cannot make a third of them."""
    sign = Ed25519PrivateKey.generate()
    first, second = Identity(sign, 7, 7), Identity(sign, 8, 7)
    assert first.bundle.sign == second.bundle.sign
    assert first.fingerprint != second.fingerprint
    for mixed in (
        dataclasses.replace(first.bundle, recipient=second.bundle.recipient),
        dataclasses.replace(first.bundle, run=8),
        dataclasses.replace(first.bundle, since=0),
        dataclasses.replace(first.bundle, sig=second.bundle.sig),
        dataclasses.replace(first.bundle, sig=first.sign(first.fingerprint)),
        dataclasses.replace(first.bundle, sign=identity.bundle.sign),
    ):
        assert not mixed.is_genuine
        assert not mixed.verify(first.sign(b"message"), b"message")
        for refused in (mixed.check, lambda mixed=mixed: mixed.wrap(SECRET, INFO)):
            with pytest.raises(KeyUnusable):
                refused()
    assert first.unwrap(first.bundle.wrap(SECRET, INFO), INFO) == SECRET


def test_what_signs_a_bundle_is_as_specified(identity: Identity) -> None:
    parts = (b"cmdchat run 1", identity.fingerprint)
    text = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    assert identity.bundle.sig == identity.sign(text)


@pytest.mark.parametrize(
    "numbers",
    [{"run": 7, "since": 8}, {"run": 2**53}, {"since": -1}, {"run": True}, {"run": 7.0},
     {"run": "7"}, {"run": None}, {"since": None}],
)  # fmt: skip
def test_the_numbers_of_a_run_are_counts(identity: Identity, numbers: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        Bundle.from_fields({**identity.bundle.to_fields(), **numbers})


def test_signatures(identity: Identity) -> None:
    signature = identity.sign(b"message")
    assert len(signature) == keys.SIGNATURE_BYTES
    assert identity.bundle.verify(signature, b"message")
    assert not identity.bundle.verify(signature, b"message ")
    assert not identity.bundle.verify(signature[:-1], b"message")
    assert not identity.bundle.verify(b"", b"message")
    assert not identity.bundle.verify(bytes(64), b"message")
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    assert not dataclasses.replace(identity.bundle, sign=other).verify(signature, b"message")


def test_a_signing_key_that_does_not_load_verifies_nothing(identity: Identity) -> None:
    broken = dataclasses.replace(identity.bundle, sign=b"short")
    assert not broken.verify(identity.sign(b"message"), b"message")
    with pytest.raises(KeyUnusable):
        broken.check()


def test_a_bundle_travels_as_json(identity: Identity) -> None:
    fields = json.loads(json.dumps(identity.bundle.to_fields()))
    assert Bundle.from_fields(fields) == identity.bundle


@pytest.mark.parametrize("name", ["rsa", "kem", "sign", "sig"])
@pytest.mark.parametrize("value", [None, 7, "", "AAAA", "?", b"AAAA"])
def test_a_malformed_bundle_is_refused(identity: Identity, name: str, value: Any) -> None:
    with pytest.raises(Malformed):
        Bundle.from_fields({**identity.bundle.to_fields(), name: value})
    with pytest.raises(Malformed):
        Bundle.from_fields({k: v for k, v in identity.bundle.to_fields().items() if k != name})


@pytest.mark.parametrize("fields", [None, [], "rsa", 1])
def test_a_bundle_is_an_object(fields: Any) -> None:
    with pytest.raises(Malformed):
        Bundle.from_fields(fields)


def test_a_bundle_that_does_not_load_is_still_read() -> None:
    bundle = Bundle(Recipient(bytes(256), bytes(1216)), bytes(32), 0, 0, bytes(64))
    assert Bundle.from_fields(bundle.to_fields()) == bundle


@FIXED
@given(st.binary(max_size=40))
def test_text_form_is_reversible(raw: bytes) -> None:
    text = to_text(raw)
    assert from_text(text) == from_text(text, len(raw)) == raw
    assert "=" not in text and text.isascii()
    with pytest.raises(Malformed):
        from_text(text, len(raw) + 1)


@FIXED
@given(
    st.binary(max_size=40).map(to_text),
    st.text(st.sampled_from("Aa-_+/= \n\0éÿ\ud800"), max_size=3), st.integers(0, 60),
)  # fmt: skip
def test_texts_are_those_that_the_librarys_strict_reader_takes(
    text: str, more: str, place: int
) -> None:
    text = text[:place] + more + text[place:]
    try:
        padded = text + "=" * (-len(text) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
        taken = base64.urlsafe_b64encode(raw).rstrip(b"=").decode() == text
    except ValueError:
        taken = False
    if taken:
        assert from_text(text) == raw
        return
    with pytest.raises(Malformed):
        from_text(text)


@pytest.mark.parametrize(
    "text",
    ["A", "AB", "AAA=", "AA==", "AAA\n", " AAA", "AA AA", "A+AA", "A/AA", "AAAé", "\ud800AAA", "="],
)
def test_text_form_is_canonical(text: str) -> None:
    """``AB`` would stand for the same byte as ``AA``: the last bits of a text are zero."""
    with pytest.raises(Malformed):
        from_text(text)


@FIXED
@given(st.text(st.characters(codec=None), max_size=8))
def test_no_two_texts_stand_for_the_same_bytes(text: str) -> None:
    try:
        raw = from_text(text)
    except Malformed:
        return
    assert to_text(raw) == text


Labelled = tuple[str, list[bytes]]
FIELD = st.binary(max_size=3) | st.sampled_from([b"\0\0\0\0", b"\0\0\0\1", b"\0\0\0\1a"])
FIELDS = st.tuples(st.text("ab\0\1", max_size=3), st.lists(FIELD, max_size=3))


@FIXED
@given(FIELDS, FIELDS)
def test_labelled_is_injective(one: Labelled, other: Labelled) -> None:
    assert (labelled(one[0], *one[1]) == labelled(other[0], *other[1])) == (one == other)


@FIXED
@given(FIELDS)
def test_labelled_can_be_read_back(one: Labelled) -> None:
    """What has one reading cannot stand for two things."""
    rest, read = labelled(one[0], *one[1]), []
    while rest:
        size = int.from_bytes(rest[:4], "big")
        read.append(rest[4 : 4 + size])
        rest = rest[4 + size :]
    assert read == [one[0].encode(), *one[1]]


def test_labelled_borders_count() -> None:
    assert len({labelled("ab"), labelled("a", b"b"), labelled("a", b"b", b""), labelled("a")}) == 4


def test_digest_is_sha256_over_labelled() -> None:
    expected = hashlib.sha256(b"\0\0\0\x05label\0\0\0\1x").digest()
    assert digest("label", b"x") == expected
