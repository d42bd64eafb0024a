"""What scripts answer, read: see ``replies``.

The first field is a word, unless there is only one answer; what else counts depends on that.
"""

from __future__ import annotations

from typing import NamedTuple


class ScriptOutcome(NamedTuple):
    """A word alone, or with a number whose meaning the call's reader tells."""

    word: str
    number: int = 0


class PostOutcome(NamedTuple):
    """OK (with ``seq``; 0 for a private post), STALE, GONE, FULL, UNEXPECTED, AGAIN, REPEATED;
    UNHELD: not done, since a ``hold`` before it was not.

    ``encoded`` is the frame for the client: what is kept as the answer to its ``ref``; empty for
    UNEXPECTED (which is a strike, and nothing is kept) and where none is to be given again.
    ``token_id`` is that of ``minted``, with AGAIN.
    """

    word: str
    seq: int
    encoded: bytes
    token_id: str = ""


class NickOutcome(NamedTuple):
    """OK, AGAIN or TAKEN, LOST (``nicks``: of those who have it; ``away_ms``: the last one's).

    let_in: also FULL, DISPLACED, AGAIN (there is a session of that identity), TOKEN
    (``fingerprints`` of those who came in with that token); OK has ``number`` n.  rename: also
    GONE, REPEATED; OK has ``number`` seq, and ``encoded`` as ``PostOutcome``.
    """

    word: str
    number: int = 0
    nicks: tuple[str, ...] = ()
    away_ms: int = 0
    fingerprints: tuple[str, ...] = ()
    encoded: bytes = b""


class MemberRow(NamedTuple):
    """A member in a roster; the oldest come first."""

    id: int
    joined: int
    fingerprint: str
    nick: str
    bundle: bytes


class RoomState(NamedTuple):
    """A room: what frames call it, its log id (hex), name, log, roster.

    The roster is as of ``seq``, empty unless asked for; ``first`` is the number of the log's first
    entry (``seq`` + 1 if there is none).
    """

    number: int
    log_id: str
    name: str
    seq: int
    first: int
    roster: tuple[MemberRow, ...]


_NO_ROOM = RoomState(0, "", "", 0, 0, ())


class EnterOutcome(NamedTuple):
    """OK or IN (it is in there; what follows is how), or the word of a refusal.

    Refusals: ROOM_FULL, FULL (rooms), MANY (rooms of one), GONE (not in the room to be left),
    AGAIN (``encoded`` is the answer), REPEATED.
    """

    word: str
    member_id: int = 0
    joined: int = 0
    room: RoomState = _NO_ROOM
    encoded: bytes = b""


class ComeInOutcome(NamedTuple):
    """As ``NickOutcome`` of let_in, and with OK its place and the count of the tickets' table (0:
    not known); or NO_PLACE, BANS: nothing was done."""

    session: NickOutcome
    place: EnterOutcome
    version: int = 0


class StayState(NamedTuple):
    """A session's place in a room.

    ``ref`` is the request by which it came (0: none), ``private_number`` the last one given in its
    own queue, ``posted`` epoch and n of its last post.
    """

    room: str
    member_id: int
    ref: int
    number: int
    log_id: str
    name: str
    joined: int
    first: int
    seq: int
    private_number: int
    behind: bool
    posted: tuple[int, int]


class SessionState(NamedTuple):
    """OK, NONE (there is no session) or DISPLACED (nor may be); take_over: also CHANGED; look: also
    BANS (who is kept out is to be read first).

    ``node`` is "" while its connection is lost, since ``lost_at`` (ms of the engine's clock, or
    None); ``age_ms`` is how long ago that is.  ``taken`` is the highest ref.
    """

    word: str
    n: int = 0
    node: str = ""
    nick: str = ""
    token: str = ""
    pinned: bool = False
    group: str = ""
    sign: str = ""
    taken: int = 0
    lost_at: int | None = None
    age_ms: int = 0
    stays: tuple[StayState, ...] = ()


class NodeRow(NamedTuple):
    """A node; one that is not alive has no lease, or is being marked."""

    node: str
    alive: bool


class SessionRow(NamedTuple):
    """A session as the console shows it; ``lost_at`` as in ``SessionState``."""

    nick: str
    lost_at: int | None
    token: str
    sign: str
    group: str
    fingerprint: str
    n: int
    rooms: tuple[str, ...]


class TableState(NamedTuple):
    """A replicated table: its count of changes, the engine's time (ms), and what is in it."""

    version: int
    now_ms: int
    items: tuple[tuple[str, str], ...]


class Registered(NamedTuple):
    """OK, KEY (``detail`` is the key to be used) or CHANGED (``detail``: format, password, limits).

    ``fresh``: this node has begun the epoch, and everything is empty; ``alive``, with CHANGED: one
    of the nodes that are there has a lease.
    """

    word: str
    epoch: str = ""
    fresh: bool = False
    detail: str = ""
    alive: bool = True
