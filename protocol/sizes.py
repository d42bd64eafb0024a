"""How large what carries a text can get, from its bytes of UTF-8: upper bounds for limits."""

from __future__ import annotations

from protocol.limits import PAD_FROM, RECORD_PAD

_BESIDE_TEXT = 512  # the other fields of a sealed text: id, kind, what was seen
_BESIDE_BOX = 4096  # the other fields of a post: signature, numbers, a wrapped key


def box_size(message_bytes: int) -> int:
    """An upper bound, in characters, for the token that a text of this size is sealed into.

    The worst text is all control characters, which JSON writes as six bytes each.  It is padded
    to a power of two.
    """
    plain = max(PAD_FROM, 1 << (6 * message_bytes + _BESIDE_TEXT - 1).bit_length())
    return (_token_size(plain) + 2) // 3 * 4  # in base64


def record_size(message_bytes: int) -> int:
    """An upper bound, in bytes, for the record that carries a text of this size.

    The box is in a frame (for one member alone with the wrapped key beside it), and that is
    padded and sealed for the link.
    """
    frame = box_size(message_bytes) + _BESIDE_BOX
    return _token_size(frame + 2 * RECORD_PAD)  # its counter, and padding


def _token_size(size: int) -> int:
    # Version, time and IV; AES-CBC, which always pads; HMAC (the Fernet specification).
    return 1 + 8 + 16 + (size // 16 + 1) * 16 + 32
