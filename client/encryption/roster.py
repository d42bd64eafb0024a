"""Who is in the room, now and as it was after each of the last changes.

A roster never changes: every change of membership makes a new one, and a box is judged by the
one that its sender had.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from client.encryption.transcript import Claim, Pair, Transcript, TranscriptHash
from protocol.dataclass import cached_property, dataclass, replace
from protocol.frames import MemberLine
from protocol.limits import CHANGES_BEHIND, ROOM_MEMBERS
from protocol.names import nick_key, nick_looks


class RosterEntry:
    """A member, with what it is compared by; it never changes.

    ``id`` is given once by the server, and never again; ``nick`` is the nickname as it is shown,
    ``key`` as it is compared and signed; ``fingerprint`` is that of its keys.
    """

    def __init__(self, member: MemberLine) -> None:
        self.member = member
        # Found once: each message asks for most of them, a roster for all, again and again.
        self.id, self.nick, self.key = member.id, member.nick, nick_key(member.nick)
        self.fingerprint = member.bundle.fingerprint

    @property
    def looks(self) -> frozenset[str]:
        """What the nickname may be taken for."""
        return nick_looks(self.nick)

    @property
    def pair(self) -> Pair:
        """What codes and transcripts are made of."""
        return (self.key, self.fingerprint)

    def renamed(self, nick: str) -> RosterEntry:
        """The same member under another nickname."""
        return RosterEntry(replace(self.member, nick=nick))

    def rejoined(self, seq: int) -> RosterEntry:
        """The same member, counted as coming new at ``seq``."""
        return RosterEntry(replace(self.member, joined=seq))


class MemberSet:
    """The members after one change, by id."""

    def __init__(self, entries: Mapping[int, RosterEntry]) -> None:
        self._entries = dict(entries)

    def __iter__(self) -> Iterator[RosterEntry]:
        return iter(self._entries.values())

    def get(self, member: int) -> RosterEntry | None:
        """The member with this id, if it is there."""
        return self._entries.get(member)

    def find(self, nick: str) -> RosterEntry | None:
        """The member with this nickname, if it is there."""
        wanted = nick_key(nick)
        return next((entry for entry in self if entry.key == wanted), None)

    def holder(self, fingerprint: bytes) -> RosterEntry | None:
        """The member with these keys, if it is there."""
        return self._by_fingerprint.get(fingerprint)

    @cached_property
    def _by_fingerprint(self) -> dict[bytes, RosterEntry]:
        return {entry.fingerprint: entry for entry in self}

    def pairs(self) -> tuple[Pair, ...]:
        """What codes and transcripts are made of."""
        return tuple(entry.pair for entry in self)

    def takes(self, entry: RosterEntry) -> bool:
        """Whether there is room for ``entry``, and nobody else has its nickname or its keys."""
        others = [other for other in self if other.id != entry.id]
        return len(others) < ROOM_MEMBERS and not any(
            other.key == entry.key or other.fingerprint == entry.fingerprint for other in others
        )

    def has_look_alike(self, entry: RosterEntry) -> bool:
        """Whether the nickname of ``entry`` would pass for another member's."""
        return any(other.looks & entry.looks for other in self if other.id != entry.id)

    def with_entry(self, entry: RosterEntry) -> MemberSet:
        """With ``entry`` in the place of who had its id before."""
        return MemberSet({**self._entries, entry.id: entry})

    def without(self, member: int) -> MemberSet:
        """Without the member with this id."""
        return MemberSet({key: entry for key, entry in self._entries.items() if key != member})


class RosterDraft:
    """A roster that is being read, member by member.  It answers as the ``MemberSet`` that it will
    be, but at once: of a crowd each would be held against all before it."""

    def __init__(self, first: RosterEntry) -> None:
        self._entries: dict[int, RosterEntry] = {}
        self._keys: set[str] = set()
        self._fingerprints: set[bytes] = set()
        self._looks: set[str] = set()
        self.add(first)

    def takes(self, entry: RosterEntry) -> bool:
        """Whether there is room for ``entry``, and nobody has its id, its nickname or its keys."""
        return (
            len(self._entries) < ROOM_MEMBERS
            and entry.id not in self._entries
            and entry.key not in self._keys
            and entry.fingerprint not in self._fingerprints
        )

    def has_look_alike(self, entry: RosterEntry) -> bool:
        """Whether the nickname of ``entry``, which is not in it, would pass for a member's."""
        return not self._looks.isdisjoint(entry.looks)

    def add(self, entry: RosterEntry) -> None:
        """One that it takes."""
        self._entries[entry.id] = entry
        self._keys.add(entry.key)
        self._fingerprints.add(entry.fingerprint)
        self._looks |= entry.looks

    def members(self) -> MemberSet:
        """What it has come to."""
        return MemberSet(self._entries)


@dataclass(frozen=True)
class RosterVersion:
    """The room from one change on: who was there, and what was said under it."""

    change: int
    roster: MemberSet
    transcript: Transcript


class RosterHistory:
    """The present version, and as many before it as a post may be behind.

    ``now`` is the version after the last change.  What was said is remembered for longer: of as
    many changes again under which something was.  A server can invent changes without anybody's
    help, but no posts.
    """

    def __init__(self, log_id: bytes, change: int, roster: MemberSet) -> None:
        self._log_id = log_id
        self._by_change: dict[int, RosterVersion] = {}
        self._transcripts: dict[int, Transcript] = {}  # of all of those, and the longer memory
        self._since = change  # of what was said before it, nothing is known
        self.move(change, roster)

    def get(self, change: int) -> RosterVersion | None:
        """The version after ``change``, if it is one of the last 64 and of now."""
        return self._by_change.get(change)

    def move(self, change: int, roster: MemberSet) -> None:
        """Another change: ``roster`` is there from now on."""
        transcript = Transcript(self._log_id, change, roster.pairs())
        self._transcripts[change] = transcript
        self.now = self._by_change[change] = RosterVersion(change, roster, transcript)
        if len(self._by_change) > CHANGES_BEHIND + 1:
            past = self._by_change.pop(next(iter(self._by_change)))
            if past.transcript.count == 0:
                del self._transcripts[past.change]
        if len(self._transcripts) > len(self._by_change) + CHANGES_BEHIND:
            oldest = next(iter(self._transcripts))
            del self._transcripts[oldest]
            self._since = oldest + 1

    def unacknowledged(self) -> Claim | None:
        """The oldest change before now of which more was shown than posts in the log claim."""
        for change, transcript in self._transcripts.items():
            if transcript.acknowledged < transcript.count and change < self.now.change:
                return Claim(change, transcript.seen())
        return None

    def acknowledge(self, change: int, seen: TranscriptHash) -> None:
        """A post in the log says ``seen`` of ``change``: told, as docs/PROTOCOL.md has it.

        Whoever was given that post knows it; of whoever was not, this post is what is claimed
        next.
        """
        transcript = self._transcripts.get(change)
        if transcript and transcript.agrees(seen):
            transcript.acknowledged = max(transcript.acknowledged, seen.count)

    def agrees(self, change: int, seen: TranscriptHash) -> bool:
        """Whether ``seen`` of ``change`` is no other than what was shown here, if that is known."""
        transcript = self._transcripts.get(change)
        if transcript is None:  # no such change, or nothing was said under it: not here
            return change < self._since
        return transcript.agrees(seen)

    def entry(self, member: int) -> RosterEntry | None:
        """Who had this id last, as far as is remembered."""
        found = (version.roster.get(member) for version in reversed(self._by_change.values()))
        return next((entry for entry in found if entry is not None), None)

    def fingerprints(self) -> set[bytes]:
        """Whose boxes can still be judged."""
        return {
            entry.fingerprint for version in self._by_change.values() for entry in version.roster
        }
