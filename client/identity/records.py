"""An identity that lasts: what its file holds.  Pure.

It is a file of ``sealed_file``, of kind ``identity`` and version 1.  In it is a JSON object and
spaces, to a power of two from 4,096 bytes on.  The object has

    sign     the Ed25519 private key, 32 bytes in base64url
    run      the number of the last start
    going    [run, day] of each start that has not ended, as far as is known
    people   a list of {sign, verified, since, first, last, seen}: the public key, whether its code
             was compared, the highest "since" of its bundles, the days on which it was met first
             and last, and [server, nickname, day] of where, the latest last

Days are dates, such as 2026-11-30; no times are kept.  Everything is bounded, so that no server and
no crowd can make the file large.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from datetime import date, timedelta
from functools import cached_property
from typing import Any

from client.sealed_file import FileKind, FileUnusable
from protocol.codec import parse
from protocol.dataclass import dataclass, field, replace
from protocol.errors import BadNick, Malformed
from protocol.keys import SIGN_BYTES, from_text, to_text
from protocol.limits import COUNTER_MAX
from protocol.names import check_nick, nick_key

FILE = FileKind("identity", "1", "cmdchat identity lock 1", "cmdchat identity sum 1")
PEOPLE = 1000  # known; beyond, those who were not verified go first, the longest unseen of them
SIGHTINGS = 8  # servers and nicknames of a person; the oldest go first
GOING = 64  # starts that have not ended
SERVER_CHARS = 300
GOING_DAYS = 2  # without a sign of life, and a start counts as ended
RUNS_A_DAY = 1000  # so a file that was put back as it was is ahead of its lost starts a day later
FILE_BYTES = 8 * 1024 * 1024  # a thousand people with eight long names each fit in

_PAD_FROM = 4096


@dataclass(frozen=True)
class Sighting:
    """Where somebody was met, under which nickname, and the last day of it."""

    server: str
    nick: str
    day: date

    @cached_property
    def place(self) -> tuple[str, str]:
        """The server, and the nickname as it is compared."""
        return (self.server, nick_key(self.nick))


@dataclass(frozen=True)
class Person:
    """Somebody whose signing key lasts, or was verified."""

    sign: bytes
    verified: bool
    since: int
    first: date
    last: date
    seen: tuple[Sighting, ...] = ()

    def met(self, since: int, at: Sighting) -> Person:
        """Met once more.

        Of somebody verified, other nicknames are kept only while there is room: nobody can push
        out the one that it was verified as.
        """
        others = [one for one in self.seen if one.place != at.place]
        is_kept = not self.verified or len(others) < SIGHTINGS
        return self._met(since, at.day, (*others, at) if is_kept else self.seen)

    def met_elsewhere(self, since: int, day: date) -> Person:
        """Met once more, under a nickname that is somebody else's."""
        return self._met(since, day, self.seen)

    def compared(self, since: int, at: Sighting) -> Person:
        """Met once more, and verified."""
        others = [one for one in self.seen if one.place != at.place]
        return replace(self._met(since, at.day, (*others, at)), verified=True)

    def yields(self, at: Sighting) -> Person:
        """Somebody else was verified as ``at``: this one was that at an earlier day at most."""
        before = at.day - timedelta(1)
        seen = (
            replace(one, day=min(one.day, before)) if one.place == at.place else one
            for one in self.seen
        )
        return replace(self, seen=tuple(seen))

    def _met(self, since: int, day: date, seen: tuple[Sighting, ...]) -> Person:
        return replace(
            self,
            since=max(self.since, since),
            first=min(self.first, day),
            last=max(self.last, day),
            seen=seen[-SIGHTINGS:],
        )

    def was(self, at: Sighting) -> bool:
        """Whether it was ever met there, under that nickname."""
        return any(one.place == at.place for one in self.seen)

    def is_called(self, nick: str) -> bool:
        """Whether it was ever met under this nickname."""
        return any(nick_key(one.nick) == nick_key(nick) for one in self.seen)


@dataclass(frozen=True)
class Contents:
    """What an identity's file holds.  Nothing in it is changed: each step gives another one."""

    sign: bytes = field(repr=False)
    run: int = 0
    going: tuple[tuple[int, date], ...] = ()
    people: tuple[Person, ...] = ()

    @classmethod
    def fresh(cls) -> Contents:
        """A new identity, that knows nobody."""
        return cls(secrets.token_bytes(SIGN_BYTES))

    # Starts

    @property
    def since(self) -> int:
        """The lowest run that may still go on; the last one's where none does."""
        return min((run for run, _ in self.going), default=self.run)

    def started(self, today: date) -> Contents:
        """With one start more, whose number is ``run`` then."""
        day = (today - date(1970, 1, 1)).days
        run = min(max(self.run + 1, day * RUNS_A_DAY), COUNTER_MAX)
        near = (today - timedelta(days=GOING_DAYS), today + timedelta(days=GOING_DAYS))
        alive = [one for one in self.going if near[0] <= one[1] <= near[1]]
        return replace(self, run=run, going=(*alive, (run, today))[-GOING:])

    def goes_on(self, run: int, today: date) -> Contents:
        """The start ``run`` has not ended yet."""
        others = [one for one in self.going if one[0] != run]
        return replace(self, going=tuple(sorted([*others, (run, today)])[-GOING:]))

    def ended(self, run: int) -> Contents:
        """The start ``run`` has ended: its keys are gone."""
        return replace(self, going=tuple(one for one in self.going if one[0] != run))

    # People

    def person(self, sign: bytes) -> Person | None:
        """Whoever has this signing key, if that is known."""
        return next((one for one in self.people if one.sign == sign), None)

    def called(self, nick: str) -> tuple[Person, ...]:
        """All who were ever met under this nickname."""
        return tuple(one for one in self.people if one.is_called(nick))

    def met(self, sign: bytes, since: int, at: Sighting) -> Contents:
        """Somebody was met; a name that no honest server gives is not kept, nor one that somebody
        else was verified as."""
        if not _is_name(at):
            return self
        known = self.person(sign)
        if any(one.verified and one.sign != sign and one.was(at) for one in self.people):
            return self._with(known.met_elsewhere(since, at.day)) if known else self
        known = known or Person(sign, False, since, at.day, at.day)
        return self._with(known.met(since, at))

    def verified(self, sign: bytes, since: int, at: Sighting) -> Contents:
        """The code of whoever has this key was compared, under this nickname, which is its own
        from now on."""
        known = self.person(sign) or Person(sign, True, since, at.day, at.day)
        if not _is_name(at):
            return self._with(replace(known, verified=True))
        others = tuple(one.yields(at) for one in self.people)
        return replace(self, people=others)._with(known.compared(since, at))

    def without(self, people: Iterable[Person]) -> Contents:
        """Without these people."""
        gone = {one.sign for one in people}
        return replace(self, people=tuple(one for one in self.people if one.sign not in gone))

    def _with(self, person: Person) -> Contents:
        """With ``person``, who was met last, in its place."""
        people = [*self.without([person]).people, person]
        while len(people) > PEOPLE:
            strangers = [one for one in people if not one.verified]
            people.remove(min(strangers or people, key=lambda one: one.last))
        return replace(self, people=tuple(people))

    # As it is kept

    def encode(self) -> bytes:
        """The padded plaintext."""
        fields = {
            "sign": to_text(self.sign),
            "run": self.run,
            "going": [[run, day.isoformat()] for run, day in self.going],
            "people": [_person_fields(one) for one in self.people],
        }
        plain = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
        return plain.ljust(max(_PAD_FROM, 1 << (len(plain) - 1).bit_length()))

    @classmethod
    def decode(cls, plain: bytes) -> Contents:
        """Read ``encode``; raises FileUnusable."""
        try:
            fields = parse(plain)
            going = [(_count(run), _day(day)) for run, day in _list(fields["going"], GOING)]
            people = [_read_person(one) for one in _list(fields["people"], PEOPLE)]
            sign = from_text(fields["sign"], SIGN_BYTES)
            return cls(sign, _count(fields["run"]), tuple(going), tuple(people))
        except (Malformed, KeyError, TypeError, ValueError):
            raise FileUnusable() from None


def _is_name(at: Sighting) -> bool:
    return len(at.server) <= SERVER_CHARS and _is_nick(at.nick)


def _is_nick(nick: str) -> bool:
    try:
        return check_nick(nick) == nick
    except BadNick:
        return False


def _person_fields(person: Person) -> dict[str, Any]:
    return {
        "sign": to_text(person.sign),
        "verified": person.verified,
        "since": person.since,
        "first": person.first.isoformat(),
        "last": person.last.isoformat(),
        "seen": [[one.server, one.nick, one.day.isoformat()] for one in person.seen],
    }


def _read_person(fields: dict[str, Any]) -> Person:
    if not isinstance(fields["verified"], bool):
        raise FileUnusable()
    return Person(
        from_text(fields["sign"], SIGN_BYTES),
        fields["verified"],
        _count(fields["since"]),
        _day(fields["first"]),
        _day(fields["last"]),
        tuple(
            Sighting(_text(server), nick, _day(day))
            for server, nick, day in _list(fields["seen"], SIGHTINGS)
            if _is_nick(_text(nick))  # which may change with Unicode's tables
        ),
    )


def _list(value: Any, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise FileUnusable()
    return value


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= COUNTER_MAX:
        raise FileUnusable()
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > SERVER_CHARS:
        raise FileUnusable()
    return value


def _day(value: str) -> date:
    return date.fromisoformat(value)
