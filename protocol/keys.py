"""Identity, bundle, fingerprint, and the one way in which a 32-byte secret is wrapped.

``wrap`` puts RSA-OAEP inside hybrid HPKE: what was recorded opens only to someone who breaks
RSA-2048, X25519 *and* ML-KEM-768.  The link (server to client) and the rooms (client to
client) both use it, each with an ``info`` of its own.

Python cannot erase keys from memory.  The keys that secrets are wrapped for live as long as
their process and are never stored; the signing key may last, in a file of the client's, and signs
the others anew at each start.
"""

from __future__ import annotations

import binascii
import hashlib
import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicKey,
    RSAPublicNumbers,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from protocol.dataclass import cached_property, dataclass
from protocol.errors import KeyUnusable, Malformed
from protocol.limits import COUNTER_MAX

RSA_BITS = 2048
RSA_BYTES = RSA_BITS // 8
RSA_EXPONENT = 65537
MLKEM_BYTES = 1184  # FIPS 203, encapsulation key of ML-KEM-768
KEM_BYTES = MLKEM_BYTES + 32  # followed by the X25519 public key
SIGN_BYTES = 32
SIGNATURE_BYTES = 64
SECRET_BYTES = 32
WRAP_BYTES = 1088 + 32 + RSA_BYTES + 16  # HPKE encapsulation, RSA block, AEAD tag

_SHA256 = hashes.SHA256()
_MASK = padding.MGF1(_SHA256)
_SUITE = hpke.Suite(
    hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305
)


def labelled(label: str, *fields: bytes) -> bytes:
    """``label`` and its fields, each behind its length as 4 bytes, big-endian.

    The input of every hash, signature, HKDF and HPKE ``info`` of this program.  A label
    belongs to one purpose, so no value made for one can stand for another.
    """
    return with_lengths(label.encode("ascii"), *fields)


def with_lengths(*fields: bytes) -> bytes:
    """Some more fields for the end of what is ``labelled``."""
    parts: list[bytes] = []
    for field in fields:
        parts += (len(field).to_bytes(4, "big"), field)
    return b"".join(parts)


def digest(label: str, *fields: bytes) -> bytes:
    """SHA-256 over ``labelled(label, *fields)``, 32 bytes."""
    return hashlib.sha256(labelled(label, *fields)).digest()


def scrypt(data: bytes, salt: bytes, cost: int) -> bytes:
    """32 bytes that cost 2^``cost`` steps and as many KiB (RFC 7914; r = 8, p = 1)."""
    return Scrypt(salt=salt, length=32, n=2**cost, r=8, p=1).derive(data)


# The library's ``base64`` goes through five functions for what is one here: each message that comes
# has three fields of this kind, and a roster five for each member.
_TO_URL, _FROM_URL = bytes.maketrans(b"+/", b"-_"), bytes.maketrans(b"-_", b"+/")


def to_text(raw: bytes) -> str:
    """Base64url without padding (RFC 4648 5), the form of every binary field on the wire."""
    return binascii.b2a_base64(raw, newline=False).translate(_TO_URL).rstrip(b"=").decode("ascii")


def from_text(text: str, size: int | None = None) -> bytes:
    """The bytes behind ``text``; ``size`` is their exact number, where it is fixed.

    Raises Malformed for anything but the one canonical form, so that no two texts stand
    for the same bytes.
    """
    if not isinstance(text, str):  # JSON has other values, too
        raise Malformed()
    try:
        padded = text.encode("ascii").translate(_FROM_URL) + b"=" * (-len(text) % 4)
        raw = binascii.a2b_base64(padded)
    except ValueError:  # of which those of base64 and of ASCII are
        raise Malformed() from None
    # What was passed over, or stands for nothing, is not in what the bytes are as a text.
    if (size is not None and len(raw) != size) or to_text(raw) != text:
        raise Malformed()
    return raw


def from_canonical(text: bytes) -> bytes:
    """As ``from_text``, for what is known to be of the canonical form."""
    return binascii.a2b_base64(text.translate(_FROM_URL) + b"=" * (-len(text) % 4))


@dataclass(frozen=True)
class Recipient:
    """The two public keys that a secret is wrapped for.

    ``rsa`` is the modulus, 256 bytes big-endian (the exponent is always 65537); ``kem`` the
    ML-KEM-768 encapsulation key followed by the X25519 public key, 1,216 bytes.
    """

    rsa: bytes
    kem: bytes

    @cached_property
    def _keys(self) -> tuple[RSAPublicKey, hpke.MLKEM768X25519PublicKey]:
        modulus = int.from_bytes(self.rsa, "big")
        if (
            len(self.rsa) != RSA_BYTES
            or len(self.kem) != KEM_BYTES
            or modulus.bit_length() != RSA_BITS
            or not modulus & 1
        ):
            raise KeyUnusable()
        try:
            return (
                RSAPublicNumbers(RSA_EXPONENT, modulus).public_key(),
                hpke.MLKEM768X25519PublicKey(
                    MLKEM768PublicKey.from_public_bytes(self.kem[:MLKEM_BYTES]),
                    X25519PublicKey.from_public_bytes(self.kem[MLKEM_BYTES:]),
                ),
            )
        except ValueError:
            raise KeyUnusable() from None

    def check(self) -> None:
        """Raise KeyUnusable unless both keys load."""
        _ = self._keys

    def wrap(self, secret: bytes, info: bytes) -> bytes:
        """``secret`` (32 bytes) for the holder of both private keys, 1,392 bytes.

        HPKE base mode (RFC 9180) over RSA-OAEP (RFC 8017 7.1) with SHA-256(``info``) as its
        label.  Raises KeyUnusable if the keys do not load or cannot be used.
        """
        if len(secret) != SECRET_BYTES:
            raise ValueError("a wrapped secret has 32 bytes")
        rsa_key, kem_key = self._keys
        try:
            # X25519 with a low-order point, or an odd modulus that is no product of two
            # primes, shows itself only here.
            return _SUITE.encrypt(rsa_key.encrypt(secret, _oaep(info)), kem_key, info)
        except Exception:  # the backend's errors have no common type; all mean: unusable
            raise KeyUnusable() from None


class RecipientKeys:
    """The private half of a Recipient, in memory only."""

    def __init__(
        self,
        rsa_key: RSAPrivateKey | None = None,
        mlkem: MLKEM768PrivateKey | None = None,
        x25519: X25519PrivateKey | None = None,
    ) -> None:
        """Fresh keys; only test vectors give their own."""
        self._rsa = rsa_key or generate_private_key(RSA_EXPONENT, RSA_BITS)
        mlkem = mlkem or MLKEM768PrivateKey.generate()
        x25519 = x25519 or X25519PrivateKey.generate()
        self._kem = hpke.MLKEM768X25519PrivateKey(mlkem, x25519)
        modulus = self._rsa.public_key().public_numbers().n
        self.public = Recipient(
            modulus.to_bytes(RSA_BYTES, "big"),
            mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw(),
        )

    def unwrap(self, wrapped: bytes, info: bytes) -> bytes:
        """The 32 bytes that were wrapped with the same ``info``.

        Raises KeyUnusable, the same for every reason: what failed must not be told apart.
        """
        if len(wrapped) != WRAP_BYTES:
            raise KeyUnusable()
        try:
            # OAEP and not PKCS #1 v1.5: a padding error there can be told from a success by
            # what happens next, and that is all a padding oracle needs.
            secret = self._rsa.decrypt(_SUITE.decrypt(wrapped, self._kem, info), _oaep(info))
        except Exception:  # see Recipient.wrap
            raise KeyUnusable() from None
        if len(secret) != SECRET_BYTES:
            raise KeyUnusable()
        return secret


def _oaep(info: bytes) -> padding.OAEP:
    label = hashlib.sha256(info).digest()
    return padding.OAEP(_MASK, _SHA256, label)


@dataclass(frozen=True)
class Bundle:
    """The public half of an identity: what others wrap for, and verify with.

    ``run`` counts the starts of an identity that lasts, and ``since`` is the lowest run of it
    that may still go on; both are 0 where the signing key is for this run alone.  ``sig`` is by
    ``sign``, over the fingerprint: nobody else can put other keys beside it, or another number.
    """

    recipient: Recipient
    sign: bytes
    run: int
    since: int
    sig: bytes

    @cached_property
    def fingerprint(self) -> bytes:
        """SHA-256 over the three public keys and the numbers of the run, 32 bytes."""
        return _fingerprint(self.recipient, self.sign, self.run, self.since)

    @cached_property
    def _verifier(self) -> Ed25519PublicKey:
        try:
            return Ed25519PublicKey.from_public_bytes(self.sign)
        except ValueError:
            raise KeyUnusable() from None

    @cached_property
    def is_genuine(self) -> bool:
        """Whether the holder of ``sign`` has put these keys and numbers together."""
        return self._is_signed(self.sig, _to_sign(self.fingerprint))

    def check(self) -> None:
        """Raise KeyUnusable unless all three keys load and belong together."""
        self.recipient.check()
        _ = self._verifier
        if not self.is_genuine:
            raise KeyUnusable()

    def wrap(self, secret: bytes, info: bytes) -> bytes:
        """See Recipient.wrap; raises KeyUnusable also if the keys do not belong together."""
        if not self.is_genuine:
            raise KeyUnusable()
        return self.recipient.wrap(secret, info)

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether ``signature`` (Ed25519, RFC 8032) over ``message`` is this identity's."""
        return self.is_genuine and self._is_signed(signature, message)

    def _is_signed(self, signature: bytes, message: bytes) -> bool:
        try:
            self._verifier.verify(signature, message)
        except (InvalidSignature, KeyUnusable):
            return False
        return True

    def to_fields(self) -> dict[str, str | int]:
        """The bundle as the JSON object that the wire carries."""
        return {
            "rsa": to_text(self.recipient.rsa),
            "kem": to_text(self.recipient.kem),
            "sign": to_text(self.sign),
            "run": self.run,
            "since": self.since,
            "sig": to_text(self.sig),
        }

    @cached_property
    def encoded(self) -> bytes:
        """The same as UTF-8 JSON without spaces, for whoever sends it to many."""
        return json.dumps(self.to_fields(), separators=(",", ":")).encode()

    @classmethod
    def from_fields(cls, fields: Any) -> Bundle:
        """Read ``to_fields``; raises Malformed on wrong types, lengths or numbers.

        Whether the keys load and belong together is not looked at here: a client must be able to
        hold, show and skip a bundle of which that is not so.
        """
        if not isinstance(fields, dict) or not all(
            isinstance(fields.get(name), str) for name in ("rsa", "kem", "sign", "sig")
        ):
            raise Malformed()
        run, since = fields.get("run"), fields.get("since")
        if type(run) is not int or type(since) is not int or not 0 <= since <= run <= COUNTER_MAX:
            raise Malformed()  # bool is an int, too
        return cls(
            Recipient(from_text(fields["rsa"], RSA_BYTES), from_text(fields["kem"], KEM_BYTES)),
            from_text(fields["sign"], SIGN_BYTES),
            run,
            since,
            from_text(fields["sig"], SIGNATURE_BYTES),
        )


def _fingerprint(recipient: Recipient, sign: bytes, run: int, since: int) -> bytes:
    numbers = run.to_bytes(8, "big"), since.to_bytes(8, "big")
    return digest("cmdchat bundle 2", recipient.rsa, recipient.kem, sign, *numbers)


def _to_sign(fingerprint: bytes) -> bytes:
    return labelled("cmdchat run 1", fingerprint)


class Identity:
    """A client's keys for one run of the program.

    All are fresh, and ``run`` is 0, unless there is a signing key that lasts: then that one signs
    the fresh ones, as those of its start ``run``, with ``since`` the lowest that may still go on.
    """

    def __init__(
        self,
        sign: Ed25519PrivateKey | None = None,
        run: int = 0,
        since: int = 0,
        keys: RecipientKeys | None = None,
    ) -> None:
        """Only test vectors give their own ``keys``."""
        self._keys = keys or RecipientKeys()
        self._sign = sign or Ed25519PrivateKey.generate()
        public = self._sign.public_key().public_bytes_raw()
        sig = self.sign(_to_sign(_fingerprint(self._keys.public, public, run, since)))
        self.bundle = Bundle(self._keys.public, public, run, since, sig)

    @property
    def fingerprint(self) -> bytes:
        """The bundle's fingerprint, 32 bytes."""
        return self.bundle.fingerprint

    def sign(self, message: bytes) -> bytes:
        """An Ed25519 signature over ``message``, 64 bytes."""
        return self._sign.sign(message)

    def unwrap(self, wrapped: bytes, info: bytes) -> bytes:
        """See RecipientKeys.unwrap."""
        return self._keys.unwrap(wrapped, info)
