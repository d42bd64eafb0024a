"""CPace: both sides prove that they know the same password, and nobody learns it.

The balanced PAKE of draft-irtf-cfrg-cpace, suite CPACE-X25519-SHA512, initiator/responder.
Someone in the middle gets one guess for each run and nothing to test further guesses on.
It is not post-quantum: somebody who sat in the middle once and has a quantum computer later can
then test passwords.  What was only recorded stays closed all the same, because the link's keys
also need the wrapped ``K0``.

The group is ``cryptography``'s X25519.  The map onto it is ours, on Python integers, whose
timing depends on their values: see ``_elligator2``.
"""

from __future__ import annotations

import hashlib
import secrets
import unicodedata

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from protocol.errors import AuthFailed
from protocol.keys import digest, labelled, scrypt
from protocol.limits import NONCE_BYTES, SHARE_BYTES

ISK_BYTES = 64
PRS_BYTES = 32  # of ``password_prs`` and ``token_prs``

_DSI = b"CPace255"
_BLOCK_BYTES = 128  # SHA-512 reads this much at a time (the draft's s_in_bytes)
_P = 2**255 - 19
_A = 486662


def password_prs(password: str) -> bytes:
    """What both sides derive from the password, 32 bytes; 0.1 s and 32 MiB, so once a run.

    scrypt (RFC 7914) with N = 2^15, r = 8, p = 1 over the password in NFC, so that two
    keyboards that compose an accent differently agree.  The salt is a fixed label: nothing
    that is stored or sent depends on the result, and both sides must reach it before they
    have exchanged anything.
    """
    if not password:
        raise ValueError("a password is not empty")
    # A terminal of another encoding yields lone surrogates; they are as good as any secret.
    secret = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
    return scrypt(secret, labelled("cmdchat password prs 1"), 15)


def token_prs(secret: bytes) -> bytes:
    """What both sides derive from a token's secret, 32 bytes.

    Plain SHA-256: the secret is random and long, there is nothing to slow down.
    """
    if not secret:
        raise ValueError("a token's secret is not empty")
    return digest("cmdchat token prs 1", secret)


class Pake:
    """One side of one run: give ``share`` to the peer, then finish once with the peer's.

    ``prs`` is the shared secret, ``ci`` the label of the channel, ``sid`` the session's own
    identifier (at least 16 bytes, made by both sides); all three must be the peer's too.
    The two roles differ only in the order of the transcript.
    """

    def __init__(
        self, prs: bytes, ci: bytes, sid: bytes, *, scalar: bytes | None = None
    ) -> None:
        """``scalar`` is for test vectors only: used twice, it gives the password away."""
        if not prs or len(sid) < NONCE_BYTES:
            raise ValueError("CPace needs a secret and a session identifier")
        if scalar is None:
            scalar = secrets.token_bytes(SHARE_BYTES)
        generator = _generator(prs, ci, sid)
        self._sid = sid
        self._scalar: X25519PrivateKey | None = X25519PrivateKey.from_private_bytes(scalar)
        self.share = self._scalar.exchange(X25519PublicKey.from_public_bytes(generator))

    def finish_initiator(
        self, peer_share: bytes, ad_initiator: bytes, ad_responder: bytes
    ) -> bytes:
        """The intermediate session key, 64 bytes, for the side that sent its share first.

        The same on both sides if and only if secret, channel, session and transcript are.
        Raises AuthFailed for a share on which the draft says to abort; ValueError if this
        run is over.
        """
        point = self._finish(peer_share)
        transcript = _transcript_ir(self.share, ad_initiator, peer_share, ad_responder)
        return _session_key(self._sid, point, transcript)

    def finish_responder(
        self, peer_share: bytes, ad_initiator: bytes, ad_responder: bytes
    ) -> bytes:
        """As ``finish_initiator``, for the side that answered."""
        point = self._finish(peer_share)
        transcript = _transcript_ir(peer_share, ad_initiator, self.share, ad_responder)
        return _session_key(self._sid, point, transcript)

    def _finish(self, peer_share: bytes) -> bytes:
        scalar, self._scalar = self._scalar, None  # over, also if what follows fails
        if scalar is None:
            raise ValueError("a CPace run is finished once")
        try:
            # Refuses the neutral element, on which section "CPace protocol instructions"
            # demands to abort: with it the key would not depend on the password.
            return scalar.exchange(X25519PublicKey.from_public_bytes(peer_share))
        except ValueError:
            raise AuthFailed() from None


def _session_key(sid: bytes, point: bytes, transcript: bytes) -> bytes:
    """ISK, section "CPace protocol instructions"."""
    return hashlib.sha512(_lv_cat(_DSI + b"_ISK", sid, point) + transcript).digest()


def _transcript_ir(
    share_initiator: bytes, ad_initiator: bytes, share_responder: bytes, ad_responder: bytes
) -> bytes:
    """Appendix "Definitions for transcript_ir function"."""
    return _lv_cat(share_initiator, ad_initiator) + _lv_cat(share_responder, ad_responder)


def _lv_cat(*fields: bytes) -> bytes:
    """Appendix "lv_cat function"."""
    return b"".join(_prepend_len(field) for field in fields)


def _prepend_len(field: bytes) -> bytes:
    """Appendix "prepend_len function": the length in LEB128, least significant bits first."""
    length, prefix = len(field), bytearray()
    while length > 0x7F:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + field


def _generator(prs: bytes, ci: bytes, sid: bytes) -> bytes:
    """G_X25519.calculate_generator: the secret base point, a u-coordinate of 32 bytes.

    Sections "Common function for computing generators" and "CPace group objects G_X25519".
    The padding fills the first block, so that the time of hashing does not tell the length
    of ``prs`` and the secret's block is apart from what the peer chose.
    """
    padding = max(0, _BLOCK_BYTES - 1 - len(_prepend_len(prs)) - len(_prepend_len(_DSI)))
    text = _lv_cat(_DSI, prs, bytes(padding), ci, sid)
    hashed = hashlib.sha512(text).digest()[:SHARE_BYTES]
    element = int.from_bytes(hashed, "little") & (2**255 - 1)  # RFC 7748 5, decodeUCoordinate
    return _elligator2(element).to_bytes(SHARE_BYTES, "little")


def _elligator2(element: int) -> int:
    """Map a field element to the u-coordinate of a point (RFC 9380 6.7.1, with Z = 2).

    With v = -A / d, the symbol that decides is that of w = v^3 + A v^2 + v, and w d^4 = d k with
    k = A (A^2 (d - 1) - d^2): the same symbol, without the division.  One power gives both: with
    r = (d k)^((p-3)/2) the symbol is s = d k r, and because s^2 = 1, 1/d = k s r.

    Python's integers are not constant-time, and here they would tell about the password.  So
    the power runs on d k multiplied by a fresh square, which changes no symbol and is taken out
    of the inverse again.  Of s, 1 or -1, both possible results are computed, and one is picked.
    """
    d = (1 + 2 * element * element) % _P  # never 0: -1/2 is not a square
    k = _A * (_A * _A * (d - 1) - d * d) % _P  # never 0: A^2 - 4 is not a square
    blind = 1 + secrets.randbelow(_P - 1)
    square = blind * blind % _P
    blinded = d * k * square % _P
    power = pow(blinded, (_P - 3) // 2, _P)
    is_square = blinded * power % _P & 1  # s is 1, or -1 modulo _P, which is even
    inverse = (_P - power, power)[is_square]
    v = -_A * k * square * inverse % _P
    return ((-v - _A) % _P, v)[is_square]
