"""Who may come in: the password, tokens, and what failed proofs cost.

The password is kept as what CPace needs of it and as a keyed hash for the form; a token's
secret is kept as a hash only.  Addresses live in one bounded table of failures, and are
forgotten after a quarter of an hour.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import threading
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from protocol import keys, link, pake
from protocol.errors import ServerFull, TooManyAttempts
from protocol.names import nick_looks
from server import bounds

_TOKEN_ID_BYTES, _TOKEN_SECRET_BYTES = 12, 32


def address_group(address: str) -> str:
    """Whose failures count together: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "?"
    mapped = getattr(parsed, "ipv4_mapped", None)
    if mapped is not None:
        parsed = mapped
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False).network_address)


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


@dataclass(frozen=True)
class Token:
    """What is kept of a token; ``expires`` on the monotonic clock."""

    id: str
    nick: str
    expires: float
    prs: bytes = field(repr=False)

    @cached_property
    def looks(self) -> frozenset[str]:
        """What its nickname looks like."""
        return nick_looks(self.nick)


class Tokens:
    """The live tokens, in memory only.  Thread-safe."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, most: int = bounds.TOKENS
    ) -> None:
        self._clock, self._most = clock, most
        self._lock = threading.Lock()  # leaf; guards both tables
        self._tokens: dict[str, Token] = {}  # key: the token's id
        self._expired: list[str] = []  # and not yet asked for

    def mint(self, nick: str, ttl: float) -> str:
        """A new token for ``nick`` (valid already) and ``ttl`` seconds: ``id.secret``.

        Raises ServerFull at the bound.
        """
        token_id = "-"  # noqa: S105  # not a secret
        while token_id.startswith("-"):  # on a command line it would pass for an option
            token_id = keys.to_text(secrets.token_bytes(_TOKEN_ID_BYTES))
        secret = keys.to_text(secrets.token_bytes(_TOKEN_SECRET_BYTES))
        token = Token(token_id, nick, self._clock() + ttl, pake.token_prs(secret.encode()))
        with self._lock:
            self._expire_locked()
            if len(self._tokens) >= self._most:
                raise ServerFull()
            self._tokens[token_id] = token
        return f"{token_id}.{secret}"

    def find(self, sid: bytes, name: bytes) -> Token | None:
        """The live token that ``name`` stands for in the handshake ``sid``.

        Looks at every token, and compares each: how long it takes tells nothing.
        """
        found = None
        for token in self.live():
            if hmac.compare_digest(link.token_name(sid, token.id), name):
                found = token
        return found

    def revoke(self, token: str) -> str | None:
        """End a token, named by its id or whole; its id, or None if there is none such."""
        token_id, _, secret = token.partition(".")
        with self._lock:
            known = self._tokens.get(token_id)
            if known is None:
                return None
            if secret:
                given = pake.token_prs(secret.encode("utf-8", "surrogatepass"))
                if not hmac.compare_digest(given, known.prs):
                    return None
            del self._tokens[token_id]
        return token_id

    def live(self) -> list[Token]:
        """All tokens that have not expired."""
        with self._lock:
            self._expire_locked()
            return list(self._tokens.values())

    def why_ended(self, token_id: str) -> str | None:
        """Why this token is no longer live, ``expired`` or ``revoked``; None while it is."""
        with self._lock:
            self._expire_locked()
            if token_id in self._tokens:
                return None
            return "expired" if token_id in self._expired else "revoked"

    def holds(self, nick: str) -> bool:
        """Whether ``nick`` belongs to a live token, or looks as if it did."""
        live = self.live()
        if not live:
            return False
        looks = nick_looks(nick)
        return any(looks & token.looks for token in live)

    def take_expired(self) -> list[str]:
        """The ids of tokens that have expired since this was last asked."""
        with self._lock:
            self._expire_locked()
            expired, self._expired = self._expired, []
            return expired

    def next_expiry(self) -> float | None:
        """Seconds until the next token ends, None if there is none."""
        with self._lock:
            ends = [token.expires for token in self._tokens.values()]
        return max(0.0, min(ends) - self._clock()) if ends else None

    def _expire_locked(self) -> None:
        now = self._clock()
        for token in list(self._tokens.values()):
            if token.expires <= now:
                del self._tokens[token.id]
                self._expired.append(token.id)


@dataclass
class _Address:
    """Failures of one address, and its handshakes that are under way."""

    failures: int = 0
    last: float = 0.0
    open: int = 0


class Attempts:
    """Failed proofs, counted for each address; the link and the forms share the count.

    An attempt is charged when ``key`` goes out and credited when ``confirm`` opens.  Only
    failures add delay; open handshakes wait for one of ``OPEN_HANDSHAKES`` places.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turn = threading.Condition()  # leaf; guards the table
        self._addresses: OrderedDict[str, _Address] = OrderedDict()

    def begin(self, group: str, patience: float = bounds.TURN_SECONDS) -> None:
        """Wait for a place, and for the delay that failures have earned.

        Raises TooManyAttempts if no place came free within ``patience`` seconds.
        """
        with self._turn:
            if not self._turn.wait_for(
                lambda: self._open_locked(group) < bounds.OPEN_HANDSHAKES, patience
            ):
                raise TooManyAttempts(retry_after=bounds.LONGEST_DELAY)
            self._get_locked(group).open += 1

    def delay(self, group: str) -> float:
        """Seconds that an attempt from ``group`` has to wait now."""
        with self._turn:
            known = self._addresses.get(group)
            return self._delay_of(known.failures) if known is not None else 0.0

    def end(self, group: str, proven: bool) -> None:
        """The handshake that ``begin`` let through is over."""
        with self._turn:
            known = self._get_locked(group)
            known.open = max(0, known.open - 1)  # the table may have forgotten it meanwhile
            if not proven:
                self._fail_locked(known)
            elif not known.open and not known.failures:
                del self._addresses[group]  # nothing left that needs the address
            self._turn.notify_all()

    def guess(self, group: str, right: bool) -> float:
        """A form came with the right password, or not; forms do not wait.

        Seconds until the next guess may come: then this one did not count, and must not be
        answered.  Otherwise 0.0.  In one step, or a hundred guesses at once would be one.
        """
        now = self._clock()
        with self._turn:
            known = self._addresses.get(group)
            if known is not None:
                wait = known.last + self._delay_of(known.failures) - now
                if wait > 0:
                    return wait
            if not right:
                self._fail_locked(self._get_locked(group))
        return 0.0

    def sweep(self) -> float | None:
        """Forget old failures; seconds until more can go, None if the table is empty."""
        now = self._clock()
        with self._turn:
            for group in list(self._addresses):
                known = self._addresses[group]
                if not known.open and now - known.last >= bounds.FORGET_FAILURES:
                    del self._addresses[group]
            return bounds.FORGET_FAILURES if self._addresses else None

    def __len__(self) -> int:
        with self._turn:
            return len(self._addresses)

    def _open_locked(self, group: str) -> int:
        known = self._addresses.get(group)
        return known.open if known is not None else 0

    def _get_locked(self, group: str) -> _Address:
        known = self._addresses.get(group)
        if known is None:
            if len(self._addresses) >= bounds.ADDRESSES:
                self._addresses.popitem(last=False)
            known = self._addresses[group] = _Address()
        self._addresses.move_to_end(group)
        return known

    def _fail_locked(self, known: _Address) -> None:
        if self._clock() - known.last >= bounds.FORGET_FAILURES:
            known.failures = 0
        known.failures += 1
        known.last = self._clock()

    @staticmethod
    def _delay_of(failures: int) -> float:
        if failures < bounds.FREE_FAILURES:
            return 0.0
        # The exponent is bounded before the power: a counter must not become a huge number.
        doubled = bounds.FIRST_DELAY * 2.0 ** min(failures - bounds.FREE_FAILURES, 16)
        return min(doubled, bounds.LONGEST_DELAY)


def random_prs() -> bytes:
    """What a handshake with an unknown token goes on with: nobody can prove it."""
    return hashlib.sha256(secrets.token_bytes(32)).digest()
