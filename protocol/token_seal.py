"""What a token is proven with, sealed, for servers that keep their tokens where others can look.

A Fernet token (https://github.com/fernet/spec) over the token's id and what proves it, so that it
is good for that token only.
"""

from __future__ import annotations

import base64

from cryptography.fernet import Fernet, InvalidToken

from protocol.errors import Malformed


class TokenSeal:
    """``key`` is 32 bytes, of nothing else.  Thread-safe."""

    def __init__(self, key: bytes) -> None:
        self._fernet = Fernet(base64.urlsafe_b64encode(key))

    def seal(self, token_id: str, prs: bytes) -> str:
        """``prs`` of this token, as text; each time another one."""
        return self._fernet.encrypt(_head(token_id) + prs).decode()

    def open(self, token_id: str, text: str) -> bytes:
        """What ``seal`` has got.  Raises Malformed for anything but that."""
        try:
            opened = self._fernet.decrypt(text)
        except (InvalidToken, TypeError):
            raise Malformed() from None
        if not opened.startswith(_head(token_id)):
            raise Malformed()
        return opened[len(_head(token_id)) :]


def _head(token_id: str) -> bytes:
    return token_id.encode("utf-8", "surrogatepass") + b"."
