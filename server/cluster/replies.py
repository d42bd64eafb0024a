"""What the scripts answer: one function each, which trusts no shape and no length.

The first element is a word; what comes after it depends on that.  Who is fenced, and whose engine
has forgotten everything, gets an exception instead.
"""

from __future__ import annotations

from collections.abc import Sequence

from server.cluster import reply_values as values
from server.cluster.fences import FENCES
from server.cluster.fences import Forgotten as Forgotten
from server.cluster.fences import NodeFenced as NodeFenced
from server.cluster.fences import SessionFenced as SessionFenced
from server.cluster.fences import Skipped as Skipped
from server.cluster.outcomes import ComeInOutcome as ComeInOutcome
from server.cluster.outcomes import EnterOutcome as EnterOutcome
from server.cluster.outcomes import MemberRow as MemberRow
from server.cluster.outcomes import NickOutcome as NickOutcome
from server.cluster.outcomes import NodeRow as NodeRow
from server.cluster.outcomes import PostOutcome as PostOutcome
from server.cluster.outcomes import Registered as Registered
from server.cluster.outcomes import RoomState as RoomState
from server.cluster.outcomes import ScriptOutcome as ScriptOutcome
from server.cluster.outcomes import SessionRow as SessionRow
from server.cluster.outcomes import SessionState as SessionState
from server.cluster.outcomes import StayState as StayState
from server.cluster.outcomes import TableState as TableState
from server.cluster.reply_values import BadReply as BadReply

# One function for each script


def register(raw: object) -> Registered:
    """See ``Registered``.  Raises BadReply only: there is no fence before it."""
    word, rest = _word(raw, "OK", "KEY", "CHANGED")
    if word == "OK":
        epoch, fresh = values.fixed(rest, 2)
        return Registered(word, values.text(epoch), values.flag(fresh))
    if word == "CHANGED":
        what, alive = values.fixed(rest, 2)
        return Registered(word, detail=values.text(what), alive=values.flag(alive))
    return Registered(word, detail=values.text(values.fixed(rest, 1)[0]))


def successor(raw: object) -> bool:
    """Whether the epoch was another engine's, and is over now."""
    return _word(raw, "OK", "OVER")[0] == "OVER"


def renew(raw: object) -> tuple[NodeRow, ...]:
    """All nodes."""
    rows = values.rows(_word(raw, "OK")[1], 2)
    return tuple(NodeRow(values.text(node), values.flag(alive)) for node, alive in rows)


def mark(raw: object) -> ScriptOutcome:
    """OK with how many sessions are left to be marked; LEASED: that node is alive."""
    return _counted(raw, "OK", "LEASED")


def retire(raw: object) -> ScriptOutcome:
    """OK with how many sessions are left to be marked as lost."""
    return _counted(raw, "OK")


def look(raw: object) -> SessionState:
    """OK, NONE, DISPLACED or BANS."""
    return _session(raw, "OK", "NONE", "DISPLACED", "BANS")


def take_over(raw: object) -> SessionState:
    """OK, with everything as it is from now on; or CHANGED, or NONE: look again."""
    return _session(raw, "OK", "CHANGED", "NONE")


def let_in(raw: object) -> NickOutcome:
    """See ``NickOutcome``."""
    word, rest = _word(raw, "OK", *_NOT_LET_IN)
    if word == "OK":
        return NickOutcome(word, values.number(values.fixed(rest, 1)[0]))
    return _not_let_in(word, rest)


def come_in(raw: object) -> ComeInOutcome:
    """See ``ComeInOutcome``."""
    word, rest = _word(raw, "OK", "NO_PLACE", "BANS", *_NOT_LET_IN)
    if word != "OK":
        return ComeInOutcome(_not_let_in(word, rest), EnterOutcome(word))
    n, version, *place = values.some(rest, 2)
    session = NickOutcome(word, values.number(n))
    return ComeInOutcome(session, _entered(word, place), values.number(version))


def lost(raw: object) -> ScriptOutcome:
    """OK, with the time (ms of the engine's clock)."""
    return _counted(raw, "OK")


def end(raw: object) -> ScriptOutcome:
    """OK; NONE or CHANGED: there is no such session, or it is not as was said."""
    return _counted(raw, "OK", "NONE", "CHANGED")


def end_token(raw: object) -> ScriptOutcome:
    """OK, with how many there were."""
    return _counted(raw, "OK")


def sweep(raw: object) -> tuple[int, int | None]:
    """How many were ended; ms until the next grace is over (0: there are more), or None."""
    ended, left = values.fixed(_word(raw, "OK")[1], 2)
    return values.number(ended), None if left == -1 else values.number(left)


def make_room(raw: object) -> bool:
    """Whether there is room for one now."""
    return _counted(raw, "OK", "NONE").word == "OK"


def renew_sessions(raw: object) -> tuple[str, ...]:
    """Those (their fingerprints) that are not this node's any more."""
    return tuple(map(values.hexadecimal, _word(raw, "OK")[1]))


def answer(raw: object) -> PostOutcome:
    """OK; AGAIN (it was kept already), REPEATED (it is not known any more)."""
    return _answered(raw, "OK")


def minted(raw: object) -> ScriptOutcome:
    """OK; NONE: there was no such answer."""
    return _counted(raw, "OK", "NONE")


def enter(raw: object) -> EnterOutcome:
    """See ``EnterOutcome``."""
    words = ("OK", "IN", "ROOM_FULL", "FULL", "MANY", "GONE", "AGAIN", "REPEATED")
    word, rest = _word(raw, *words)
    if word in ("AGAIN", "REPEATED", "GONE"):
        return EnterOutcome(word, encoded=_answered(raw, "GONE").encoded)
    if word not in ("OK", "IN"):
        return EnterOutcome(word)
    return _entered(word, rest)


def leave(raw: object) -> PostOutcome:
    """OK, GONE, AGAIN or REPEATED."""
    return _answered(raw, "OK", "GONE")


def rename(raw: object) -> NickOutcome:
    """See ``NickOutcome``."""
    word, rest = _word(raw, "OK", "GONE", "AGAIN", "REPEATED", "TAKEN", "LOST")
    if word in ("TAKEN", "LOST"):
        return _nick_taken(word, rest)
    outcome = _answered(raw, "OK", "GONE")
    return NickOutcome(word, outcome.seq, encoded=outcome.encoded)


def hold(raw: object) -> ScriptOutcome:
    """OK."""
    return _counted(raw, "OK")


def post(raw: object) -> PostOutcome:
    """OK, STALE, GONE, UNEXPECTED, UNHELD, AGAIN, REPEATED."""
    return _answered(raw, "OK", "STALE", "GONE", "UNEXPECTED", "UNHELD")


def private(raw: object) -> PostOutcome:
    """As ``post``, or FULL: the queue has no room for it."""
    return _answered(raw, "OK", "STALE", "GONE", "UNEXPECTED", "FULL")


def confirm(raw: object) -> ScriptOutcome:
    """OK; GONE: it is not in that room."""
    return _counted(raw, "OK", "GONE")


def rejoin(raw: object) -> tuple[int, int] | None:
    """The number of its ``rejoined``, and how many private posts it lost; None: it is gone."""
    word, rest = _word(raw, "OK", "GONE")
    if word == "GONE":
        return None
    seq, missed = values.fixed(rest, 2)
    return values.number(seq), values.number(missed)


def load(raw: object) -> RoomState | None:
    """The room; None if there is none."""
    word, rest = _word(raw, "OK", "NONE")
    return None if word == "NONE" else _room(rest)


def listing(raw: object) -> tuple[int, tuple[tuple[str, int], ...]]:
    """How many rooms there are; name and number of members of the first ones."""
    total, *rest = values.some(_word(raw, "OK")[1])
    return values.number(total), tuple(
        (values.text(name), values.number(count)) for name, count in values.rows(rest, 2)
    )


def renew_rooms(raw: object) -> tuple[str, ...]:
    """Those that there are no more, or not with that number."""
    return tuple(map(values.text, _word(raw, "OK")[1]))


def find(raw: object) -> str:
    """A fingerprint, or "" if there is none."""
    word, rest = _word(raw, "OK", "NONE")
    return values.hexadecimal(values.fixed(rest, 1)[0]) if word == "OK" else ""


def who(raw: object) -> tuple[int, tuple[SessionRow, ...]]:
    """How many sessions there are, and those that were listed, in any order."""
    total, *rest = values.some(_word(raw, "OK")[1])
    return values.number(total), tuple(map(_session_row, rest))


def table(raw: object) -> ScriptOutcome:
    """OK or CHANGED, with the table's count of changes."""
    return _counted(raw, "OK", "CHANGED")


def read_table(raw: object) -> TableState:
    """See ``TableState``."""
    version, now_ms, items = values.fixed(_word(raw, "OK")[1], 3)
    pairs = tuple(
        (values.text(field), values.text(value)) for field, value in values.rows(items, 2)
    )
    return TableState(values.number(version), values.number(now_ms), pairs)


def spend(raw: object) -> ScriptOutcome:
    """OK, with the engine's time (ms)."""
    return _counted(raw, "OK")


def say(raw: object) -> ScriptOutcome:
    """OK, with how many sessions are connected."""
    return _counted(raw, "OK")


def poke(raw: object) -> ScriptOutcome:
    """OK."""
    return _counted(raw, "OK")


# What they share


def _word(raw: object, *allowed: str) -> tuple[str, list[object]]:
    """The first element, one of these, and the rest.  Raises for whoever is fenced."""
    if not isinstance(raw, list) or not raw or not isinstance(raw[0], bytes):
        raise BadReply()
    fence = FENCES.get(raw[0])
    if fence is not None:
        raise fence()
    word = values.text(raw[0])
    if word not in allowed:
        raise BadReply()
    return word, raw[1:]


def _counted(raw: object, *allowed: str) -> ScriptOutcome:
    word, rest = _word(raw, *allowed)
    return ScriptOutcome(word, values.number(values.fixed(rest, 1)[0]) if rest else 0)


def _answered(raw: object, *allowed: str) -> PostOutcome:
    word, rest = _word(raw, *allowed, "AGAIN", "REPEATED")
    if word == "AGAIN":
        encoded, token_id = values.fixed(rest, 2)
        return PostOutcome(word, 0, values.raw(encoded), values.text(token_id))
    if not rest:
        return PostOutcome(word, 0, b"")
    seq, encoded = values.fixed(rest, 2)
    return PostOutcome(word, values.number(seq), values.raw(encoded))


_NOT_LET_IN = ("AGAIN", "TOKEN", "FULL", "DISPLACED", "TAKEN", "LOST")


def _not_let_in(word: str, rest: Sequence[object]) -> NickOutcome:
    if word == "TOKEN":
        return NickOutcome(word, fingerprints=tuple(map(values.hexadecimal, rest)))
    return _nick_taken(word, rest)


def _entered(word: str, rest: Sequence[object]) -> EnterOutcome:
    member_id, joined, *room = values.fixed(rest, 8)
    return EnterOutcome(word, values.number(member_id), values.number(joined), _room(room))


def _nick_taken(word: str, rest: Sequence[object]) -> NickOutcome:
    if word in ("TAKEN", "LOST"):
        away_ms, *nicks = values.some(rest)
        return NickOutcome(
            word, nicks=tuple(map(values.text, nicks)), away_ms=values.number(away_ms)
        )
    values.fixed(rest, 0)
    return NickOutcome(word)


def _session(raw: object, *allowed: str) -> SessionState:
    word, rest = _word(raw, *allowed)
    if word != "OK":
        return SessionState(word)
    n, node, nick, token, pinned, group, sign, taken, lost_at, age, *stays = values.some(rest, 10)
    return SessionState(
        word,
        values.number(n),
        values.text(node),
        values.text(nick),
        values.text(token),
        values.flag(pinned),
        values.text(group),
        values.text(sign),
        values.number(taken),
        values.time(lost_at),
        values.number(age),
        tuple(map(_stay, stays)),
    )


def _stay(raw: object) -> StayState:
    room, member_id, ref, number, log_id, name, *rest = values.fixed(raw, 12)
    joined, first, seq, private_number, behind, posted = rest
    return StayState(
        values.text(room),
        values.number(member_id),
        values.number(ref),
        values.number(number),
        values.log_id(log_id),
        values.text(name),
        values.number(joined),
        values.number(first),
        values.number(seq),
        values.number(private_number),
        values.flag(behind),
        values.pair(posted),
    )


def _room(items: Sequence[object]) -> RoomState:
    number, log_id, name, seq, first, roster = values.fixed(items, 6)
    rows = sorted(map(_member, values.rows(roster, 3)))
    return RoomState(
        values.number(number),
        values.log_id(log_id),
        values.text(name),
        values.number(seq),
        values.number(first),
        tuple(rows),
    )


def _member(items: Sequence[object]) -> MemberRow:
    member_id, value, bundle = items
    joined, fingerprint, nick = values.fixed(values.raw(value).split(b":", 2), 3)
    return MemberRow(
        values.number(member_id),
        values.number(joined),
        values.hexadecimal(fingerprint),
        values.nick(nick),
        values.raw(bundle),
    )


def _session_row(raw: object) -> SessionRow:
    nick, lost_at, token, sign, group, fingerprint, n, *rooms = values.some(raw, 7)
    return SessionRow(
        values.text(nick),
        values.time(lost_at),
        values.text(token),
        values.text(sign),
        values.text(group),
        values.hexadecimal(fingerprint),
        values.number(n),
        tuple(map(values.text, rooms)),
    )
