"""What docs/PROTOCOL.md says about bytes, hashes, keys, wraps and CPace, written from it alone.

Part of ``tests/second_client.py``; nothing here is the program's.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import unicodedata

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers, generate_private_key
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

# Conventions


def u64(number: int) -> bytes:
    return number.to_bytes(8, "big")


def labelled(label: str, *fields: bytes) -> bytes:
    return b"".join(len(x).to_bytes(4, "big") + x for x in (label.encode("ascii"), *fields))


def digest(label: str, *fields: bytes) -> bytes:
    return hashlib.sha256(labelled(label, *fields)).digest()


def to_text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")


def from_text(text: str, size: int) -> bytes:
    """The ``size`` bytes that ``text`` stands for; ValueError unless it is the canonical form."""
    raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if len(raw) != size or to_text(raw) != text:
        raise ValueError("not the canonical base64url of so many bytes")
    return raw


def extract(salt: bytes, secret: bytes) -> bytes:
    """The first half of HKDF-SHA256 (RFC 5869)."""
    return hmac.digest(salt or bytes(32), secret, "sha256")


def expand(extracted: bytes, info: bytes, size: int = 32) -> bytes:
    """The second half, of at most one block."""
    return hmac.digest(extracted, info + b"\1", "sha256")[:size]


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return expand(extract(salt, secret), info)


def scrypt(secret: bytes, salt: bytes, cost: int = 15) -> bytes:
    return hashlib.scrypt(secret, salt=salt, n=2**cost, r=8, p=1, dklen=32, maxmem=2**29)


def nfc(text: str) -> bytes:
    return unicodedata.normalize("NFC", text).encode()


def name_key(name: str) -> bytes:
    """Of a nickname or a room."""
    return unicodedata.normalize("NFKC", name).casefold().encode()


def seal(key: bytes, plain: bytes) -> bytes:
    """A Fernet token whose time is 0, in base64."""
    return Fernet(base64.urlsafe_b64encode(key)).encrypt_at_time(plain, 0)


def unseal(key: bytes, token: bytes) -> bytes:
    """Raises InvalidToken."""
    return Fernet(base64.urlsafe_b64encode(key)).decrypt(token)


def unpadded(token: bytes) -> bytes:
    """The bytes that a token's base64 stands for: a record."""
    return base64.urlsafe_b64decode(token)


def padded(record: bytes) -> bytes:
    """The token that a record is the bytes of."""
    return base64.urlsafe_b64encode(record)


# Keys and wraps


class Keys:
    """An RSA and a KEM key, which secrets are wrapped for."""

    def __init__(self) -> None:
        self._rsa = generate_private_key(65537, 2048)
        self._mlkem = MLKEM768PrivateKey.generate()
        self._x25519 = X25519PrivateKey.generate()
        self._x25519_public = self._x25519.public_key().public_bytes_raw()
        self.rsa = self._rsa.public_key().public_numbers().n.to_bytes(256, "big")
        self.kem = self._mlkem.public_key().public_bytes_raw() + self._x25519_public

    def unwrap(self, wrapped: bytes, info: bytes) -> bytes:
        """Raises ValueError, whatever was wrong."""
        try:
            mlkem, ephemeral, sealed = wrapped[:1088], wrapped[1088:1120], wrapped[1120:]
            exchanged = self._x25519.exchange(X25519PublicKey.from_public_bytes(ephemeral))
            shared = _combined(
                self._mlkem.decapsulate(mlkem), exchanged, ephemeral, self._x25519_public
            )
            key, nonce = _hpke(shared, info)
            block = ChaCha20Poly1305(key).decrypt(nonce, sealed, b"")
            secret = self._rsa.decrypt(block, _oaep(info))
        except Exception:
            raise ValueError("does not open") from None
        if len(secret) != 32:
            raise ValueError("does not open")
        return secret


def wrap(secret: bytes, rsa: bytes, kem: bytes, info: bytes) -> bytes:
    """``secret`` for the holder of these public keys.  Raises ValueError if they are none."""
    modulus = int.from_bytes(rsa, "big")
    if modulus.bit_length() != 2048 or not modulus & 1:
        raise ValueError("no RSA key")
    block = RSAPublicNumbers(65537, modulus).public_key().encrypt(secret, _oaep(info))
    shared_mlkem, mlkem = MLKEM768PublicKey.from_public_bytes(kem[:1184]).encapsulate()
    own = X25519PrivateKey.generate()
    ephemeral = own.public_key().public_bytes_raw()
    exchanged = own.exchange(X25519PublicKey.from_public_bytes(kem[1184:]))
    key, nonce = _hpke(_combined(shared_mlkem, exchanged, ephemeral, kem[1184:]), info)
    return mlkem + ephemeral + ChaCha20Poly1305(key).encrypt(nonce, block, b"")


def _oaep(info: bytes) -> padding.OAEP:
    label = hashlib.sha256(info).digest()
    return padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label)


def _combined(mlkem: bytes, x25519: bytes, ephemeral: bytes, recipient: bytes) -> bytes:
    end = bytes.fromhex("5c2e2f2f5e5c")
    return hashlib.sha3_256(mlkem + x25519 + ephemeral + recipient + end).digest()


def _hpke(shared: bytes, info: bytes) -> tuple[bytes, bytes]:
    """Key and nonce of RFC 9180, base mode, for the one message that there is."""
    suite = b"HPKE" + bytes.fromhex("647a00010003")

    def labelled_extract(salt: bytes, label: bytes, secret: bytes) -> bytes:
        return extract(salt, b"HPKE-v1" + suite + label + secret)

    def labelled_expand(extracted: bytes, label: bytes, size: int) -> bytes:
        text = size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + context
        return expand(extracted, text, size)

    ids = labelled_extract(b"", b"psk_id_hash", b""), labelled_extract(b"", b"info_hash", info)
    context = b"\0" + b"".join(ids)
    secret = labelled_extract(shared, b"secret", b"")
    return labelled_expand(secret, b"key", 32), labelled_expand(secret, b"base_nonce", 12)


class Identity(Keys):
    """Who somebody is while a program runs."""

    def __init__(self) -> None:
        super().__init__()
        self.new_signature()

    def new_signature(self) -> None:
        """Be somebody else, whose other keys are the same."""
        self._sign = Ed25519PrivateKey.generate()
        self.sign_key = self._sign.public_key().public_bytes_raw()
        self.start(0, 0)

    def start(self, run: int, since: int) -> None:
        """Be the start ``run`` of somebody whose signing key lasts."""
        self.run, self.since = run, since
        numbers = u64(run), u64(since)
        self.fingerprint = digest("cmdchat bundle 2", self.rsa, self.kem, self.sign_key, *numbers)
        self.sig = self.sign(labelled("cmdchat run 1", self.fingerprint))
        self.bundle = {
            "rsa": to_text(self.rsa),
            "kem": to_text(self.kem),
            "sign": to_text(self.sign_key),
            "run": run,
            "since": since,
            "sig": to_text(self.sig),
        }

    def sign(self, message: bytes) -> bytes:
        return self._sign.sign(message)


# CPace

_P, _J = 2**255 - 19, 486662


def password_prs(password: str) -> bytes:
    return scrypt(nfc(password), labelled("cmdchat password prs 1"))


def token_prs(token: str) -> bytes:
    return digest("cmdchat token prs 1", token.split(".")[1].encode("ascii"))


class Cpace:
    """One run: a share to give away, and then the key."""

    def __init__(self, prs: bytes, sid: bytes) -> None:
        dsi, ci = b"CPace255", labelled("cmdchat link 1")
        zeros = bytes(max(0, 127 - len(_prepend_len(prs)) - 9))
        hashed = hashlib.sha512(_lv_cat(dsi, prs, zeros, ci, sid)).digest()[:32]
        generator = _elligator2(int.from_bytes(hashed, "little") % 2**255)
        self._sid = sid
        self._scalar = X25519PrivateKey.from_private_bytes(secrets.token_bytes(32))
        self.share = self._times(generator.to_bytes(32, "little"))

    def as_initiator(self, share: bytes, own_ad: bytes, ad: bytes) -> bytes:
        """ISK, 64 bytes.  Raises ValueError where the run has to end."""
        return self._isk(share, _lv_cat(self.share, own_ad) + _lv_cat(share, ad))

    def as_responder(self, share: bytes, own_ad: bytes, ad: bytes) -> bytes:
        return self._isk(share, _lv_cat(share, ad) + _lv_cat(self.share, own_ad))

    def _isk(self, share: bytes, transcript: bytes) -> bytes:
        text = _lv_cat(b"CPace255_ISK", self._sid, self._times(share)) + transcript
        return hashlib.sha512(text).digest()

    def _times(self, point: bytes) -> bytes:
        return self._scalar.exchange(X25519PublicKey.from_public_bytes(point))


def _lv_cat(*parts: bytes) -> bytes:
    return b"".join(map(_prepend_len, parts))


def _prepend_len(part: bytes) -> bytes:
    length, found = len(part), b""
    while length > 127:
        found += bytes((length % 128 + 128,))
        length //= 128
    return found + bytes((length,)) + part


def _elligator2(element: int) -> int:
    """RFC 9380 6.7.1; not in constant time, which tests can live with."""
    x1 = -_J * pow(1 + 2 * element * element, -1, _P) % _P
    square = pow(x1**3 + _J * x1**2 + x1, (_P - 1) // 2, _P) in (0, 1)
    return x1 if square else (-x1 - _J) % _P
