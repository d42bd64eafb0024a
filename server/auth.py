"""Who may come in: the password, and tokens.

The password is kept as what CPace needs of it and as a keyed hash for the form; a token's
secret is kept as a hash only.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import threading
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import NamedTuple

from protocol import keys, link, pake
from protocol.errors import NickReserved, ServerFull, TokenBound, TooManyTokens
from protocol.limits import TOKEN_ID_BYTES, TOKEN_SECRET_BYTES
from protocol.names import nick_looks, resembled
from server import limits


class Password:
    """The one password of this server."""

    def __init__(self, password: str) -> None:
        self.prs = pake.password_prs(password)
        self._key = secrets.token_bytes(32)
        self._hash = self._digest(password)

    def matches(self, password: str) -> bool:
        """Whether this is it; takes the same time whatever differs, and at whatever length."""
        return hmac.compare_digest(self._digest(password), self._hash)

    def _digest(self, password: str) -> bytes:
        text = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, text, "sha256")


class Inviter(NamedTuple):
    """The member who asked for a token: nickname and signing key, and the address it came from."""

    nick: str
    sign: bytes
    group: str


@dataclass(frozen=True)
class Token:
    """What is kept of a token; ``expires`` on the monotonic clock.

    ``nick`` is the one that it fixes; None where it fixes none, and a member has asked for it.
    """

    id: str
    nick: str | None
    expires: float
    prs: bytes = field(repr=False)
    binds: bool = False  # to the first identity that uses it
    holder: bytes | None = None  # that one's signing key
    is_settled: bool = False  # it has come more than once: the first login's end changes nothing
    inviter: Inviter | None = None

    @property
    def bound(self) -> bool | None:
        """Whether it is bound already; None if it is not to be."""
        return self.holder is not None if self.binds else None

    @cached_property
    def looks(self) -> frozenset[str]:
        """What its nickname looks like."""
        return frozenset() if self.nick is None else nick_looks(self.nick)


# What becomes of a token: the same, another one of that id, or None where it ends.  It depends on
# nothing but the token, and may be asked again.  Raises a Refusal.
Decision = Callable[[Token], "Token | None"]


class Updated(NamedTuple):
    """A token before a decision and after it; None where there was none, or is none any more."""

    before: Token | None
    after: Token | None

    @property
    def has_ended(self) -> bool:
        """Whether the decision was its end."""
        return self.before is not None and self.after is None


class Tokens:
    """The live tokens, in memory only.  Thread-safe."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, most: int = limits.TOKENS
    ) -> None:
        self._clock, self._most = clock, most
        self._lock = threading.Lock()  # leaf; guards both tables
        self._tokens: dict[str, Token] = {}  # key: the token's id
        self._expired: list[str] = []  # and not yet asked for

    def mint(self, nick: str, ttl: float, binds: bool = False) -> str:
        """A new token for ``nick`` (valid already) and ``ttl`` seconds: ``id.secret``.

        ``binds``: it opens only for the first identity that uses it.  Raises ServerFull at the
        bound.
        """
        token_id, secret = _random_id(), secrets.token_bytes(TOKEN_SECRET_BYTES)
        token = Token(token_id, nick, self._clock() + ttl, _prs(secret), binds)
        self._add(token, self._check_room_locked)
        return f"{token_id}.{keys.to_text(secret)}"

    def invite(self, inviter: Inviter) -> tuple[str, bytes]:
        """The id and the secret of a new token for whoever ``inviter`` invites: it fixes no
        nickname, and opens only for the first identity that uses it.

        Raises TooManyTokens for one more than a person, or all of an address, may have at once,
        and ServerFull at the bound.
        """
        token_id, secret = _random_id(), secrets.token_bytes(TOKEN_SECRET_BYTES)
        expires = self._clock() + limits.INVITE_SECONDS
        token = Token(token_id, None, expires, _prs(secret), binds=True, inviter=inviter)
        self._add(token, partial(self._check_invites_locked, inviter))
        return token_id, secret

    def _check_room_locked(self) -> None:
        if len(self._tokens) >= self._most:
            raise ServerFull()

    def _check_invites_locked(self, inviter: Inviter) -> None:
        invites = [(each.inviter, each.expires) for each in self._tokens.values() if each.inviter]
        own = [expires for other, expires in invites if other.sign == inviter.sign]
        near = [expires for other, expires in invites if other.group == inviter.group]
        for found, most in ((own, limits.INVITES_OF_ONE), (near, limits.INVITES_OF_ADDRESS)):
            if len(found) >= most:
                raise TooManyTokens(retry_after=max(1, math.ceil(min(found) - self._clock())))
        if len(invites) >= limits.INVITES:
            raise ServerFull()
        self._check_room_locked()

    def take_back(self, token_id: str) -> bool:
        """End a token that nobody has used; whether there was one."""
        return self._update(token_id, _taken_back).has_ended

    def find(self, sid: bytes, name: bytes) -> Token | None:
        """The live token that ``name`` stands for in the handshake ``sid``.

        Looks at every token, and compares each: how long it takes tells nothing.
        """
        found = None
        for token in self.live():
            if hmac.compare_digest(link.token_name(sid, token.id), name):
                found = token
        return found

    def claim(self, token_id: str, sign: bytes) -> bool:
        """Whoever has this signing key uses a token; whether it is the first one, to which it is
        bound from now on.

        Raises TokenBound if it is bound to somebody else.
        """
        before = self._update(token_id, partial(_claimed, sign)).before
        return before is not None and before.binds and before.holder is None

    def release(self, token_id: str) -> None:
        """Whoever has claimed a token was not let in, for another reason."""
        self._update(token_id, _released)

    def revoke(self, token: str) -> str | None:
        """End a token, named by its id or whole; its id, or None if there is none such."""
        token_id, _, secret = token.partition(".")
        return token_id if self._update(token_id, partial(_revoked, secret)).has_ended else None

    def live(self) -> list[Token]:
        """All tokens that have not expired."""
        with self._lock:
            self._expire_locked()
            return list(self._tokens.values())

    def remaining(self) -> list[tuple[Token, int]]:
        """All live tokens and the whole seconds that each has left, the next to end first."""
        live = sorted(self.live(), key=lambda token: token.expires)
        return [(token, max(1, math.ceil(token.expires - self._clock()))) for token in live]

    def why_ended(self, token_id: str) -> str | None:
        """Why this token is no longer live, ``expired`` or ``revoked``; None while it is."""
        with self._lock:
            self._expire_locked()
            if token_id in self._tokens:
                return None
            return "expired" if token_id in self._expired else "revoked"

    def check(self, nick: str) -> None:
        """Raises NickReserved if ``nick`` belongs to a live token, or looks as if it did."""
        live = self.live()
        looks = nick_looks(nick) if live else frozenset()
        held = [token.nick for token in live if token.nick and looks & token.looks]
        if held:
            raise NickReserved(**resembled(nick, held))

    def take_ended(self) -> list[tuple[str, str]]:
        """The ids of tokens that have ended by themselves since this was last asked, and why."""
        with self._lock:
            self._expire_locked()
            expired, self._expired = self._expired, []
        return [(token_id, "expired") for token_id in expired]

    def next_expiry(self) -> float | None:
        """Seconds until the next token ends, None if there is none."""
        with self._lock:
            ends = [token.expires for token in self._tokens.values()]
        return max(0.0, min(ends) - self._clock()) if ends else None

    def _add(self, token: Token, check: Callable[[], None]) -> None:
        """Keep a new token; ``check`` raises where there may be none."""
        with self._lock:
            self._expire_locked()
            check()
            self._tokens[token.id] = token

    def _update(self, token_id: str, decide: Decision) -> Updated:
        """Keep what ``decide`` makes of a token, where there is one."""
        with self._lock:
            before = self._tokens.get(token_id)
            after = decide(before) if before is not None else None
            if after is not None:
                self._tokens[token_id] = after
            else:
                self._tokens.pop(token_id, None)
        return Updated(before, after)

    def _expire_locked(self) -> None:
        now = self._clock()
        for token in list(self._tokens.values()):
            if token.expires <= now:
                del self._tokens[token.id]
                self._expired.append(token.id)


def _taken_back(token: Token) -> Token | None:
    return None if token.holder is None else token


def _claimed(sign: bytes, token: Token) -> Token:
    if not token.binds:
        return token
    if token.holder == sign:
        return replace(token, is_settled=True)
    if token.holder is not None:
        raise TokenBound()
    return replace(token, holder=sign)


def _released(token: Token) -> Token:
    return token if token.is_settled else replace(token, holder=None)


def _revoked(secret: str, token: Token) -> Token | None:
    if not secret:
        return None  # named by its id
    given = pake.token_prs(secret.encode("utf-8", "surrogatepass"))
    return None if hmac.compare_digest(given, token.prs) else token


def _random_id() -> str:
    token_id = "-"  # noqa: S105  # not a secret
    while token_id.startswith("-"):  # on a command line it would pass for an option
        token_id = keys.to_text(secrets.token_bytes(TOKEN_ID_BYTES))
    return token_id


def _prs(secret: bytes) -> bytes:
    return pake.token_prs(keys.to_text(secret).encode())


def random_prs() -> bytes:
    """What a handshake with an unknown token goes on with: nobody can prove it."""
    return hashlib.sha256(secrets.token_bytes(32)).digest()
