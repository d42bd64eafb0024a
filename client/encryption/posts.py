"""What sealing a text gives, and what opening a box gives."""

from __future__ import annotations

from dataclasses import dataclass

from client.encryption.trust import Finding
from protocol.frames import Box, Wrap


@dataclass(frozen=True)
class Sealed:
    """A post for the wire: ``wraps`` go before it.  ``id`` is to be used again if it has to
    be sealed anew."""

    change: int
    wraps: tuple[Wrap, ...]
    box: Box
    id: bytes
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Opened:
    """A text, and who said it under which nickname."""

    nick: str
    kind: str
    text: str
    id: bytes
    verified: bool


@dataclass(frozen=True)
class Unopened:
    """A post that stays shut; ``reason`` is one of the ``unreadable`` event's.

    ``nick`` is ``#`` and the member id where nobody is known by it: no nickname has a ``#``.
    """

    nick: str
    reason: str


class Shut(Exception):
    """A post cannot be opened: what is shown of it, and what there is to say.  Internal."""

    def __init__(self, nick: str, reason: str, *codes: str) -> None:
        super().__init__(reason)
        self.post = Unopened(nick, reason)
        self.findings = [Finding(code, nick) for code in codes]
