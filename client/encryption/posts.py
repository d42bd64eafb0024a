"""What sealing a text gives, and what opening a box gives."""

from __future__ import annotations

from client.encryption.trust import TrustWarning
from protocol.dataclass import dataclass, field
from protocol.frames import Box, Wrap

PostId = bytes | None  # of an earlier sealing; None: another one


@dataclass(frozen=True)
class SealedPost:
    """A post for the wire: ``wraps`` go before it.  ``id`` is to be used again if it has to
    be sealed anew."""

    change: int
    wraps: tuple[Wrap, ...]
    box: Box
    id: bytes
    warnings: tuple[TrustWarning, ...] = ()


@dataclass(frozen=True)
class OpenedPost:
    """A text, and who said it under which nickname; ``keys``: by
    which keys (their fingerprint); ``bot``: it was that one's program."""

    nick: str
    kind: str
    text: str
    id: bytes
    verified: bool
    bot: bool = False
    keys: bytes = field(default=b"", repr=False, compare=False)


@dataclass(frozen=True)
class UndecryptablePost:
    """A post that stays shut; ``reason`` is one of the ``unreadable`` event's.

    ``nick`` is ``#`` and the member id where nobody is known by it: no nickname has a ``#``.
    """

    nick: str
    reason: str


class Undecryptable(Exception):
    """A post cannot be opened: what is shown of it, and what there is to say.  Internal."""

    def __init__(self, nick: str, reason: str, *codes: str) -> None:
        super().__init__(reason)
        self.post = UndecryptablePost(nick, reason)
        self.warnings = [TrustWarning(code, nick) for code in codes]
