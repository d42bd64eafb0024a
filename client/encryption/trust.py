"""Whose keys have been compared, and which keys were last seen behind a nickname.

A person is a signing key, which may last; whom a room is sealed for is one run of it, by its
fingerprint.  So somebody who is verified stays so with the next start, while nothing of an earlier
start can come back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from client.encryption.roster import RosterEntry
from protocol.dataclass import dataclass
from protocol.errors import BadNick
from protocol.keys import Bundle
from protocol.names import check_nick, nick_key

if TYPE_CHECKING:  # who keeps an identity has loaded that by then, and nobody else needs it
    from client.identity.records import Person

VERIFIED, KNOWN, NEW = "verified", "known", "new"

_REMEMBERED = 8192  # bounds what the nicknames and keys of a hostile server can take
_NICKS = 16  # of one holder of keys; an honest server lets it have the same one in all rooms


@dataclass(frozen=True)
class TrustWarning:
    """Something that is not as it should be; ``code`` is one of the ``warning`` event's.

    ``nick`` is whom it is about, None if nobody is known.  ``loud``: somebody verified seems
    to be somebody else now.
    """

    code: str
    nick: str | None
    loud: bool = False


class Memory(Protocol):
    """What lasts from one run of the program to the next, for one server."""

    @property
    def server(self) -> str:
        """Whose nicknames they are."""

    @property
    def people(self) -> Sequence[Person]:
        """Those that were known when this run began."""

    def met(self, bundle: Bundle, nick: str) -> None:
        """Somebody is here."""

    def verified(self, bundle: Bundle, nick: str) -> None:
        """The code of somebody was compared."""


@dataclass(frozen=True)
class _Meeting:
    """Somebody as it was met last, in whichever room."""

    nick: str  # its key
    sign: bytes
    known: tuple[str, ...]  # keys of nicknames that it has and had before
    refused: bool


class Trust:
    """What this client knows of people: in this run, and from earlier ones if there is a memory."""

    def __init__(self, own: Bundle, memory: Memory | None = None) -> None:
        self._own, self._memory = own, memory
        self._verified: set[bytes] = set()  # signing keys
        self._compared: dict[str, bytes] = {}  # key: nick_key; the signing key verified as it
        self._names: dict[bytes, str] = {}  # key: signing key; the nickname compared last
        self._last: OrderedDict[str, bytes] = OrderedDict()  # key: nick_key; its last signing key
        self._since: OrderedDict[bytes, int] = OrderedDict()  # key: signing key; the lowest run
        self._met: OrderedDict[bytes, _Meeting] = OrderedDict()  # key: fingerprint
        self._is_over_below(own.sign, own.since)
        if memory:
            self._recall(memory.people, memory.server)

    def _recall(self, people: Sequence[Person], server: str) -> None:
        self._verified |= {person.sign for person in people if person.verified}
        for person in people:
            self._is_over_below(person.sign, person.since)
        self._names = {person.sign: at.nick for person in people if person.verified
                       for at in sorted(person.seen, key=lambda at: at.day)}  # fmt: skip
        seen = [(at, person.sign) for person in people for at in person.seen if at.server == server]
        for at, sign in sorted(seen, key=lambda one: one[0].day):
            if sign in self._verified:
                self._compared[nick_key(at.nick)] = sign
                self._names[sign] = at.nick
            self._is_called(nick_key(at.nick), sign)

    def standing(self, fingerprint: bytes, nick: str | None = None) -> str:
        """``verified``: the code of this person was compared; ``known``: the nickname had the same
        keys before; ``new``.

        ``nick`` is the key of the nickname that is meant, None the one it was met under last: a
        server may show the same keys under another one in each room.
        """
        met = self._met.get(fingerprint)
        if met is None or met.refused:
            return NEW
        nick = met.nick if nick is None else nick
        if self._owner(nick) not in (None, met.sign):
            return NEW
        if met.sign in self._verified or met.sign == self._own.sign:
            return VERIFIED
        return KNOWN if nick in met.known else NEW

    def is_refused(self, fingerprint: bytes) -> bool:
        """Whether these keys do not count, whoever signs with them."""
        met = self._met.get(fingerprint)
        return met is not None and met.refused

    def verify(self, entry: RosterEntry) -> None:
        """The code of this member was compared: the nickname is its own from now on."""
        sign = entry.member.bundle.sign
        self._verified.add(sign)
        self._compared[entry.key] = sign
        self._names[sign] = entry.nick
        self._is_called(entry.key, sign)
        if self._memory:
            self._memory.verified(entry.member.bundle, entry.nick)

    def compared_as(self, nick: str, sign: bytes) -> str | None:
        """The nickname under which ``sign`` was compared, None if ``nick`` (a key) is one.

        Of earlier runs all count under which it was seen here, or, if it was not, the last one
        anywhere: which one it was is not kept.
        """
        name = self._names.get(sign)
        same = name is None or nick_key(name) == nick or self._compared.get(nick) == sign
        return None if same else name

    def meet(self, entry: RosterEntry, beside: bool = False) -> list[TrustWarning]:
        """Another member appears: what there is to say about it.

        ``beside``: it is in another room already, under the same nickname.  To be met in several
        rooms at once makes nobody known.
        """
        bundle = entry.member.bundle
        if not bundle.is_genuine:
            return self._refuse(entry, TrustWarning("bad_bundle", entry.nick))
        if bundle.run < self._since.get(bundle.sign, 0):
            loud = bundle.sign in self._verified
            return self._refuse(entry, TrustWarning("old_run", entry.nick, loud))
        self._is_over_below(bundle.sign, bundle.since)
        return self._under_nick(entry, known=False, beside=beside)

    def renamed(self, before: RosterEntry, after: RosterEntry) -> list[TrustWarning]:
        """A member that was met has another nickname: what there is to say about it."""
        met = self._met.get(after.fingerprint)
        if met is not None and met.refused:
            self._note(after, known=False, refused=True)
            return _misnamed(after)
        return self._under_nick(after, known=met is not None and before.key in met.known)

    def _refuse(self, entry: RosterEntry, warning: TrustWarning) -> list[TrustWarning]:
        self._note(entry, known=False, refused=True)
        return [warning, *_misnamed(entry)]

    def remember(self, own: RosterEntry) -> None:
        """This is one's own nickname."""
        self._note(own, known=True, refused=False)
        self._is_called(own.key, own.member.bundle.sign)

    def _under_nick(
        self, entry: RosterEntry, known: bool, beside: bool = False
    ) -> list[TrustWarning]:
        """``known``: whether these keys were, under the nickname before this one."""
        sign, owner = entry.member.bundle.sign, self._owner(entry.key)
        before = owner or self._last.get(entry.key)
        met = self._met.get(entry.fingerprint)
        if before is not None:
            known = before == sign and not (beside and met and entry.key not in met.known)
        self._note(entry, known=known, refused=False)
        if owner in (None, sign):  # being seen makes nobody known in a verified one's place
            self._is_called(entry.key, sign)
            if self._memory:
                self._memory.met(entry.member.bundle, entry.nick)
        changed = before not in (None, sign)
        warned = [TrustWarning("other_keys", entry.nick, owner is not None)] if changed else []
        return [*warned, *_misnamed(entry)]

    def _owner(self, nick: str) -> bytes | None:
        """The verified person whose nickname this is."""
        last = self._last.get(nick)
        return self._compared.get(nick) or (last if last in self._verified else None)

    def _is_called(self, nick: str, sign: bytes) -> None:
        self._last[nick] = sign
        self._last.move_to_end(nick)
        if len(self._last) > _REMEMBERED:
            strangers = (nick for nick, last in self._last.items() if last not in self._verified)
            del self._last[next(strangers, next(iter(self._last)))]

    def _is_over_below(self, sign: bytes, since: int) -> None:
        if not since:  # a key for one run
            return
        self._since[sign] = max(since, self._since.get(sign, 0))
        self._since.move_to_end(sign)
        if len(self._since) > _REMEMBERED:
            strangers = (sign for sign in self._since if sign not in self._verified)
            del self._since[next(strangers, next(iter(self._since)))]

    def _note(self, entry: RosterEntry, known: bool, refused: bool) -> None:
        met = self._met.get(entry.fingerprint)
        before = [nick for nick in met.known if nick != entry.key] if met else []
        nicks = tuple([*before, *([entry.key] if known else [])][-_NICKS:])
        sign = entry.member.bundle.sign
        self._met[entry.fingerprint] = _Meeting(entry.key, sign, nicks, refused)
        self._met.move_to_end(entry.fingerprint)
        if len(self._met) > _REMEMBERED:
            self._met.popitem(last=False)


def _misnamed(entry: RosterEntry) -> list[TrustWarning]:
    try:
        check_nick(entry.nick)
    except BadNick:  # no honest server grants it: it may look like somebody else's
        return [TrustWarning("bad_roster", entry.nick)]
    return []
