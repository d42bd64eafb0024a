"""The scripts of nodes and sessions: each thing that they say, and whose a session is."""

from __future__ import annotations

import pytest

from protocol.names import nick_looks
from server.cluster import calls, keys, replies
from server.cluster.calls import HeldWrap, PlaceWanted, SessionClaim
from server.cluster.script import ScriptCall
from server.cluster.scripts import NAMES
from tests.script_kit import (  # noqa: F401
    BUNDLE,
    LEASE,
    LIMITS,
    Box,
    Guest,
    MakeNode,
    Node,
    SetLimit,
    fingerprint,
    make_node_fixture,
    set_limit_fixture,
)


def mark(node: Node, dead: Node, most: int = 100) -> replies.ScriptOutcome:
    return node.do(replies.mark, calls.mark(node.at, dead.at.node, most))


def retire(node: Node, most: int = 100) -> int:
    return node.do(replies.retire, calls.retire(node.at, most)).number


def renew(node: Node, everything: bool = False) -> dict[str, bool]:
    rows = node.do(replies.renew, calls.renew(node.at, LEASE, everything))
    return {row.node: row.alive for row in rows}


def sweep(node: Node, grace_ms: int, most: int = 100) -> tuple[int, int | None]:
    return node.do(replies.sweep, calls.sweep(node.at, grace_ms, most))


def away_since(guest: Guest, ms: int) -> None:
    """Its connection was lost so long ago."""
    node, lost = guest.node, guest.lose() - ms
    node.ask("HSET", node.key("fp", guest.fp), "lost", lost)
    node.ask("ZADD", node.key("lost"), lost, guest.fp)


# Nodes


def test_the_first_node_begins_an_epoch_and_others_take_it(make_node: MakeNode) -> None:
    first = make_node(epoch="aaa")
    assert first.register() == replies.Registered("OK", "aaa", True), "again: it has begun it"
    second = make_node(epoch="bbb")
    assert second.at.epoch == "aaa"
    assert second.register() == replies.Registered("OK", "aaa", False)
    assert first.ask("GET", keys.epoch(first.at.prefix)) == b"aaa"


def test_all_nodes_have_the_same_policy(make_node: MakeNode) -> None:
    node = make_node()
    assert node.register(key="other") == replies.Registered("KEY", detail="k")
    assert node.register(mac="other") == replies.Registered("CHANGED", detail="password")
    assert node.register(limits="other") == replies.Registered("CHANGED", detail="limits")
    node.ask("DEL", node.key("node", node.at.node))
    killed = replies.Registered("CHANGED", detail="password", alive=False)
    assert node.register(mac="other") == killed
    node.ask("SET", f"{node.at.prefix}format", "1")
    assert node.register() == killed._replace(detail="format")


def test_where_no_node_is_left_the_next_one_is_the_first(make_node: MakeNode) -> None:
    """They were all killed, and those that found it out as well."""
    node = make_node(epoch="aaa")
    node.ask("DEL", node.key("nodes"))
    node.at = node.at._replace(epoch="bbb", node="b" * 12)
    assert node.register(mac="other") == replies.Registered("OK", "bbb", True)


def test_after_the_last_node_all_begins_anew(make_node: MakeNode) -> None:
    first, second = make_node(epoch="aaa"), make_node()
    Guest(first, 1).enter("den")
    retire(first)
    assert first.ask("GET", keys.epoch(first.at.prefix)) == b"aaa"
    retire(second)
    with pytest.raises(replies.Forgotten):
        retire(second)
    with pytest.raises(replies.Forgotten):
        renew(first)
    third = make_node(epoch="ccc")
    assert third.register(mac="other").word == "CHANGED"
    assert third.at.epoch == "ccc" and third.do(replies.who, calls.who(third.at, 9)) == (0, ())
    assert third.do(replies.look, calls.look(third.at, fingerprint(1))).word == "NONE"


def test_an_engine_that_took_another_ones_place_ends_its_epoch(make_node: MakeNode) -> None:
    """It may lack the last of it, and would give out numbers that somebody has seen."""
    node = make_node(epoch="aaa")
    call = calls.successor(node.at.prefix)
    assert not node.do(replies.successor, call) and renew(node)
    node.ask("HSET", keys.policy(node.at.prefix), "run", "00" * 20)
    assert node.do(replies.successor, call)
    with pytest.raises(replies.Forgotten):
        renew(node)
    node.at = node.at._replace(epoch="bbb")
    assert node.register(mac="other") == replies.Registered("OK", "bbb", True)
    assert not node.do(replies.successor, call) and renew(node)


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name not in ("register", "retire", "successor")]
)
def test_a_node_that_was_given_up_can_do_nothing(make_node: MakeNode, name: str) -> None:
    here, there = make_node(), make_node()
    guest = Guest(there, 1)
    guest.enter("den")
    here.ask("DEL", here.key("node", there.at.node))
    assert renew(here) == {here.at.node: True, there.at.node: False}
    mark(here, there)
    before = _everything(here)
    with pytest.raises(replies.NodeFenced):
        replies.poke(there.raw(a_call(name, there, guest)))
    assert _everything(here) == before
    there.at = there.at._replace(epoch="other")
    guest.claim = guest.claim._replace(node=there.at)
    with pytest.raises(replies.Forgotten):
        replies.poke(there.raw(a_call(name, there, guest)))


OF_SESSIONS = {"lost", "answer", "minted", "enter", "leave", "rename", "post", "private", "confirm",
               "rejoin"}  # fmt: skip


@pytest.mark.parametrize("name", sorted(OF_SESSIONS))
def test_a_session_that_is_another_nodes_cannot_be_touched(make_node: MakeNode, name: str) -> None:
    here, there = make_node(), make_node()
    guest, other = Guest(there, 1), Guest(here, 2)
    guest.enter("den"), other.enter("den")
    old = guest.claim
    guest.come(here)
    before = _everything(here)
    for claim in (old, old._replace(n=guest.claim.n), guest.claim._replace(n=old.n)):
        guest.claim = claim
        with pytest.raises(replies.SessionFenced):
            replies.poke(there.raw(a_call(name, there, guest)))
    assert _everything(here) == before


def a_call(name: str, node: Node, guest: Guest) -> ScriptCall:
    """A call of this script by a node, that would do something."""
    at, claim, fp = node.at, guest.claim, guest.fp
    rest = Box.rest(1, 1)
    place = PlaceWanted("lab", "Lab", "00" * 16, b'"n"', BUNDLE, 9)
    return {
        "renew": lambda: calls.renew(at, LEASE, True),
        "mark": lambda: calls.mark(at, "dead"),
        "look": lambda: calls.look(at, fp),
        "let_in": lambda: calls.let_in(at, fingerprint(9), guest.who, 9),
        "come_in": lambda: calls.come_in(at, fingerprint(9), guest.who, 9, "t", place),
        "take_over": lambda: calls.take_over(at, fp, claim.n, "g"),
        "lost": lambda: calls.lost(claim),
        "end": lambda: calls.end(at, fp),
        "end_token": lambda: calls.end_token(at, "t", "revoked"),
        "sweep": lambda: calls.sweep(at, 0),
        "make_room": lambda: calls.make_room(at),
        "renew_sessions": lambda: calls.renew_sessions([claim]),
        "answer": lambda: calls.answer(claim, 9, b"x"),
        "minted": lambda: calls.minted(claim, 9, "t"),
        "enter": lambda: calls.enter(claim, place),
        "leave": lambda: calls.leave(claim, "den", 9),
        "rename": lambda: calls.rename(claim, "den", 9, "zoe", ["zoe"]),
        "hold": lambda: calls.hold(claim, "den", 1, 1, 1, [HeldWrap(2, 0, b"}")]),
        "post": lambda: calls.post(claim, "den", 1, 9, 1, (1, 1), rest),
        "private": lambda: calls.private(claim, "den", 1, 9, 2, 2, rest),
        "confirm": lambda: calls.confirm(claim, "den", 1),
        "rejoin": lambda: calls.rejoin(claim, "den", 1, 0),
        "load": lambda: calls.load(at, "den", True),
        "listing": lambda: calls.listing(at, 9),
        "renew_rooms": lambda: calls.renew_rooms(at, [("den", 1)], 0),
        "find": lambda: calls.find(at, ["look"]),
        "who": lambda: calls.who(at, 9),
        "table": lambda: calls.table(at, "tokens", "a", "b"),
        "read_table": lambda: calls.read_table(at, "tokens", True),
        "spend": lambda: calls.spend(at, b"x", 1),
        "say": lambda: calls.say(at, b"x"),
        "poke": lambda: calls.poke(at, "den"),
    }[name]()


def _everything(node: Node) -> dict[str, object]:
    """All keys with the prefix and what is in them."""
    return {
        key: node.ask("DUMP", node.at.prefix + key if key in ("epoch", "format", "policy")
                      else node.key(key))
        for key in node.left()
    }  # fmt: skip


def test_a_node_without_a_lease_is_marked_and_its_sessions_are_lost(make_node: MakeNode) -> None:
    here, there = make_node(), make_node()
    guests = [Guest(there, number) for number in range(1, 6)]
    mine = Guest(here, 9)
    for guest in (*guests, mine):
        guest.enter("den")
    assert mark(here, there).word == "LEASED"
    here.ask("DEL", here.key("node", here.at.node))
    assert mark(here, here).word == "LEASED"
    renew(here)
    here.ask("DEL", here.key("node", there.at.node))
    assert mark(here, there, 2).number == 3
    assert renew(here) == {here.at.node: True, there.at.node: False}, "not all are lost yet"
    with pytest.raises(replies.NodeFenced):
        renew(there)
    assert [mark(here, there, 2).number for _ in range(3)] == [1, 0, 0]
    assert renew(here) == {here.at.node: True}
    for guest in guests:
        guest.node = here
    assert {guest.look().node for guest in guests} == {""}
    assert here.nodes("den") == {here.at.node: 1}
    assert here.ask("ZCARD", here.key("lost")) == 5 and mine.look().lost_at is None
    assert not [key for key in here.left() if there.at.node in key]
    assert guests[0].come(here).word == "OK"


def test_a_lease_that_ran_out_is_renewed_while_nobody_has_marked_it(make_node: MakeNode) -> None:
    here, there = make_node(), make_node()
    here.ask("DEL", here.key("node", there.at.node))
    assert renew(there) == {here.at.node: True, there.at.node: True}
    assert 0 < here.ask("PTTL", here.key("node", there.at.node)) <= LEASE


def test_a_node_that_nobody_can_wake_is_none(make_node: MakeNode) -> None:
    node = make_node()
    node.ask("DEL", keys.wake(node.at))
    with pytest.raises(replies.NodeFenced):
        renew(node)


def test_a_node_that_retires_loses_its_sessions(make_node: MakeNode) -> None:
    here, there = make_node(), make_node()
    guests = [Guest(there, number) for number in range(1, 4)]
    assert [retire(there, 2), retire(there, 2), retire(there, 2)] == [1, 0, 0]
    assert renew(here) == {here.at.node: True}
    for guest in guests:
        guest.node = here
    assert {guest.look().node for guest in guests} == {""}
    assert not [key for key in here.left() if there.at.node in key]


# Coming in


def test_a_session_is_let_in_once(make_node: MakeNode) -> None:
    here, there = make_node(), make_node()
    anna = Guest(here, 1, "anna")
    ben = anna.who._replace(nick="ben", looks=frozenset({"ben"}))
    call = calls.let_in(here.at, fingerprint(2), ben, 9)
    first = here.do(replies.let_in, call)
    assert here.do(replies.let_in, call) == first and first.number > anna.came.number
    assert Guest(there, 1, "other").came.word == "AGAIN"
    assert Guest(here, 1, "other").came.word == "AGAIN"
    assert anna.look().nick == "anna"


def test_no_two_have_a_nickname_that_looks_alike(make_node: MakeNode) -> None:
    node = make_node()
    alice = Guest(node, 1, "alice")
    assert Guest(node, 2, "a1ice").came == replies.NickOutcome("TAKEN", nicks=("alice",))
    away_since(alice, 5000)
    came = Guest(node, 2, "a1ice").came
    assert (came.word, came.nicks) == ("LOST", ("alice",)) and 5000 <= came.away_ms < 20_000
    assert node.ask("EXISTS", node.key("fp", fingerprint(2))) == 0
    assert alice.end() == "OK"
    assert Guest(node, 2, "a1ice").came.word == "OK"


def test_of_several_who_look_alike_one_that_is_here_is_enough(make_node: MakeNode) -> None:
    node = make_node()
    ann, bob = Guest(node, 1, "ann"), Guest(node, 2, "bob")
    away_since(ann, 9000)
    both = ann.who._replace(nick="both", looks=ann.who.looks | bob.who.looks)
    call = calls.let_in(node.at, fingerprint(3), both, 9)
    came = node.do(replies.let_in, call)
    assert came.word == "TAKEN" and set(came.nicks) == {"ann", "bob"}
    away_since(bob, 3000)
    came = node.do(replies.let_in, call)
    assert came.word == "LOST" and 3000 <= came.away_ms < 9000, "the last one counts"


def test_the_last_one_to_go_away_counts_whoever_it_is(make_node: MakeNode) -> None:
    node = make_node()
    ann, bob = Guest(node, 1, "ann"), Guest(node, 2, "bob")
    away_since(ann, 3000)
    away_since(bob, 9000)
    both = ann.who._replace(nick="both", looks=ann.who.looks | bob.who.looks)
    came = node.do(replies.let_in, calls.let_in(node.at, fingerprint(3), both, 9))
    assert came.word == "LOST" and 3000 <= came.away_ms < 9000
    assert 3000 <= ann.look().age_ms < 9000


def test_what_is_a_sessions_goes_with_it(make_node: MakeNode) -> None:
    node = make_node()
    [look] = nick_looks("anna")
    [other] = nick_looks("other")
    anna = Guest(node, 1, "anna", token="tok")
    anna.enter("den")
    node.ask("HSET", node.key("fp", anna.fp), "looks", f"{look}\n{other}")
    node.ask("SET", node.key("look", other), fingerprint(7))
    anna.end()
    left = {key.partition(":")[0] for key in node.left()}
    assert left == {"epoch", "format", "policy", "numbers", "nodes", "node", "wake", "look"}
    assert node.ask("GET", node.key("look", other)) == fingerprint(7).encode(), "another's"


def test_a_session_that_expired_holds_no_token(make_node: MakeNode) -> None:
    node = make_node()
    anna = Guest(node, 1, token="tok")
    node.ask("DEL", node.key("fp", anna.fp))
    assert Guest(node, 2, token="tok").came.word == "OK"


def test_a_look_of_nobody_is_free(make_node: MakeNode) -> None:
    node = make_node()
    [look] = nick_looks("anna")
    node.ask("SET", node.key("look", look), fingerprint(7))
    assert Guest(node, 1, "anna").came.word == "OK"


def test_there_are_as_many_as_there_may_be(make_node: MakeNode) -> None:
    node = make_node()
    guests = [Guest(node, number, group=f"g{number // 2}") for number in range(1, 6)]
    assert Guest(node, 9, most=5).came.word == "FULL"
    assert not node.do(replies.make_room, calls.make_room(node.at))
    for guest, ms in zip(guests, (9000, 3000, 1000, 4000, 2000), strict=True):
        away_since(guest, ms)  # groups g0, g1, g1, g2, g2
    guests[4].come(node)
    assert node.do(replies.make_room, calls.make_room(node.at))
    assert [guest.look().word for guest in guests] == ["OK", "NONE", "OK", "OK", "OK"], (
        "the oldest of the address that has most"
    )
    assert Guest(node, 9, most=5).came.word == "OK"


def test_room_is_made_in_a_room_by_who_is_there(make_node: MakeNode) -> None:
    node = make_node()
    guests = [Guest(node, number) for number in range(1, 5)]
    for guest in guests[1:]:
        guest.enter("den")
    assert not node.do(replies.make_room, calls.make_room(node.at, "den"))
    for guest, ms in zip(guests, (9000, 2000, 3000), strict=False):
        away_since(guest, ms)
    assert node.do(replies.make_room, calls.make_room(node.at, "den"))
    assert [guest.look().word for guest in guests] == ["OK", "OK", "NONE", "OK"]


def test_a_token_lets_in_one_at_a_time(make_node: MakeNode) -> None:
    here, there = make_node(), make_node()
    old = Guest(here, 1, token="tok")
    new = Guest(there, 2, token="tok")
    assert new.came == replies.NickOutcome("TOKEN", fingerprints=(old.fp,))
    here.woken()
    there.do(replies.end, calls.end(there.at, old.fp, reason="taken_over"))
    [(what, note)] = here.woken()
    gone, n, reason = note.split("\n")
    assert (what, gone, reason) == ("s", old.fp, "taken_over") and int(n) > old.claim.n
    assert Guest(there, 2, token="tok").came.word == "OK"
    assert Guest(here, 1, token="tok").came.word == "DISPLACED"
    assert old.look().word == "DISPLACED"


def test_with_a_token_goes_whoever_came_in_with_it(make_node: MakeNode) -> None:
    here, there = make_node(), make_node()
    anna, ben = Guest(here, 1, token="tok"), Guest(there, 2)
    here.ask("SADD", here.key("token-of", "tok"), ben.fp, fingerprint(9))
    here.woken(), there.woken()
    call = calls.end_token(there.at, "tok", "revoked")
    assert there.do(replies.end_token, call).number == 1
    assert (anna.look().word, ben.look().word) == ("NONE", "OK")
    [(what, note)] = here.woken()
    assert what == "s" and note.endswith("\nrevoked") and there.woken() == []
    assert there.do(replies.end_token, call).number == 0
    assert here.ask("EXISTS", here.key("token-of", "tok")) == 0


def test_the_oldest_who_were_displaced_are_forgotten(
    make_node: MakeNode, monkeypatch: pytest.MonkeyPatch, set_limit: SetLimit
) -> None:
    monkeypatch.setattr("server.limits.TAKEN_OVER", 3)
    set_limit("ROOM_MEMBERS", 256)  # the scripts are made anew
    node = make_node()
    for number in range(1, 6):
        Guest(node, number).end(reason="taken_over")
    words = [node.do(replies.look, calls.look(node.at, fingerprint(n))).word for n in range(1, 6)]
    assert words == ["NONE", "NONE"] + ["DISPLACED"] * 3


# Whose a session is


def test_a_session_is_taken_over_by_what_was_seen(make_node: MakeNode) -> None:
    here, there = make_node(), make_node()
    anna = Guest(here, 1, group="old")
    anna.enter("Den")
    anna.post("den", 1, epoch=3, n=7)
    seen = anna.look()
    here.woken()
    state = there.do(replies.take_over, calls.take_over(there.at, anna.fp, seen.n, "new"))
    assert state.n > seen.n and (state.node, state.group) == (there.at.node, "new")
    assert state.stays == seen.stays and state.stays[0].posted == (3, 7)
    assert here.woken() == [("s", f"{anna.fp}\n{state.n}\nreplaced")]
    again = there.do(replies.take_over, calls.take_over(there.at, anna.fp, seen.n, "new"))
    assert again.word == "CHANGED"
    none = there.do(replies.take_over, calls.take_over(there.at, fingerprint(9), 1, "new"))
    assert none.word == "NONE"
    assert here.ask("SMEMBERS", here.key("of", here.at.node)) == []
    assert here.ask("HGETALL", here.key("room", "den", "nodes")) == [there.at.node.encode(), b"1"]


def test_a_take_over_whose_reply_was_lost_says_the_same_again(make_node: MakeNode) -> None:
    here, there = make_node(), make_node()
    anna = Guest(here, 1)
    call = calls.take_over(there.at, anna.fp, anna.claim.n, "g")
    assert there.do(replies.take_over, call) == there.do(replies.take_over, call)
    anna.come(here)
    assert there.do(replies.take_over, call).word == "CHANGED"


def test_a_session_that_was_lost_comes_back_within_its_grace(make_node: MakeNode) -> None:
    here, there = make_node(), make_node()
    anna, ben = Guest(here, 1), Guest(there, 2)
    anna.enter("den"), ben.enter("den")
    ms = anna.lose()
    state = anna.look()
    assert (state.node, state.lost_at) == ("", ms) and state.n > anna.claim.n
    there.woken(), here.woken()
    ben.post("den", 2, wraps=[(anna.ids["den"], 0)]), ben.private("den", anna.ids["den"], 2)
    assert (len(there.woken()), here.woken()) == (1, []), "nobody there is to be woken"
    ended, left = sweep(here, 60_000)
    assert ended == 0 and left is not None and 50_000 < left <= 60_000
    assert anna.come(there).lost_at is None
    assert [stay.private_number for stay in anna.look().stays] == [2]
    assert sweep(here, 0) == (0, None)


def test_graces_end_the_oldest_first(make_node: MakeNode) -> None:
    node = make_node()
    guests = [Guest(node, number) for number in range(1, 4)]
    for guest, ms in zip(guests, (7000, 9000, 2000), strict=True):
        guest.enter("den")
        away_since(guest, ms)
    assert sweep(node, 5000, 1) == (1, 0)
    assert [guest.look().word for guest in guests] == ["OK", "NONE", "OK"]
    ended, left = sweep(node, 5000, 9)
    assert ended == 1 and left is not None and 0 < left <= 3000
    assert sweep(node, 0) == (1, None)
    assert not [key for key in node.left() if key[:5] in ("room:", "look:") or key[:3] == "fp:"]


def test_one_that_came_back_is_not_swept(make_node: MakeNode) -> None:
    """Of a script that was broken off, the list may name it still."""
    node = make_node()
    anna = Guest(node, 1)
    node.ask("ZADD", node.key("lost"), 5, anna.fp)
    assert sweep(node, 1000) == (1, None)
    assert anna.look().word == "OK"


def test_a_session_ends_as_it_was_said(make_node: MakeNode) -> None:
    here, there = make_node(), make_node()
    anna = Guest(here, 1)
    anna.enter("den")
    assert anna.end(n=anna.claim.n + 1) == "CHANGED"
    assert anna.end(lost_at=5) == "CHANGED"
    ms = anna.lose()
    assert anna.end(lost_at=ms - 1) == "CHANGED"
    anna.come(there)
    assert anna.end(lost_at=ms) == "CHANGED"
    there.woken()
    assert anna.end(n=anna.claim.n) == "OK" and there.woken() == []
    assert anna.end(n=anna.claim.n) == "NONE"


def test_who_is_shown_the_door_is_told_by_its_node(make_node: MakeNode) -> None:
    here, there = make_node(), make_node()
    anna = Guest(there, 1)
    there.do(replies.table, calls.table(there.at, "tickets", anna.fp, "ticket"))
    here.woken(), there.woken()
    here.do(replies.end, calls.end(here.at, anna.fp, reason="kicked"))
    notes = there.woken()
    assert ("t", f"tickets\n2\n{anna.fp}\n") in notes and ("t", f"tickets\n2\n{anna.fp}\n") in (
        here.woken()
    )
    [(_what, note)] = [each for each in notes if each[0] == "s"]
    assert note.startswith(f"{anna.fp}\n") and note.endswith("\nkicked")


def test_what_is_not_this_nodes_any_more_is_named_when_it_is_renewed(make_node: MakeNode) -> None:
    here, there = make_node(), make_node()
    guests = [Guest(here, number) for number in range(1, 5)]
    claims = [guest.claim for guest in guests]
    guests[0].come(there), guests[1].lose(), guests[2].end()
    gone = here.do(replies.renew_sessions, calls.renew_sessions(claims))
    assert gone == tuple(guest.fp for guest in guests[:3])


def test_what_is_renewed_is_in_a_list_that_ends_by_itself(make_node: MakeNode) -> None:
    here = make_node()
    guest = Guest(here, 1)
    lists = here.key("sessions"), here.key("of", here.at.node)
    for each in lists:
        here.ask("DEL", each)
    here.do(replies.renew_sessions, calls.renew_sessions([guest.claim]))
    assert all(here.ask("PTTL", each) > 0 for each in lists)


# Answers


def test_an_answer_is_kept_and_given_again(make_node: MakeNode) -> None:
    here, there = make_node(), make_node()
    anna = Guest(here, 1)

    def answer(ref: int, encoded: bytes, token: str = "") -> tuple[str, bytes, str]:
        outcome = anna.node.do(replies.answer, calls.answer(anna.claim, ref, encoded, token))
        return outcome.word, outcome.encoded, outcome.token_id

    assert answer(5, b"five")[0] == "OK"
    assert answer(7, b"", "token")[0] == "OK"
    anna.come(there)
    assert answer(5, b"other") == ("AGAIN", b"five", "")
    assert answer(7, b"other") == ("AGAIN", b"", "token")
    assert answer(6, b"other") == ("REPEATED", b"", "")
    assert anna.look().taken == 7
    minted = there.do(replies.minted, calls.minted(anna.claim, 7, "second"))
    assert (minted.word, answer(7, b"")) == ("OK", ("AGAIN", b"", "second"))
    assert there.do(replies.minted, calls.minted(anna.claim, 5, "second")).word == "NONE"
    for ref in range(8, 263):
        answer(ref, b"x")
    assert answer(5, b"") == ("REPEATED", b"", "")
    assert answer(7, b"") == ("AGAIN", b"", "second")
    answer(300, b"", "third")
    assert there.ask("HGET", there.key("fp", anna.fp), "m:7") is None, "no longer than its answer"


def test_refs_and_counters_are_exact_to_the_end(make_node: MakeNode) -> None:
    """2**53 - 1, which joined to a text in Lua would be 9.007e+15."""
    node = make_node()
    anna, ben = Guest(node, 1), Guest(node, 2)
    anna.enter("den"), ben.enter("den")
    most = 2**53 - 1
    assert anna.post("den", 2, epoch=most - 1, n=most, ref=most - 1).encoded == (
        b'{"type":"accepted","ref":%d,"seq":3}' % (most - 1)
    )
    assert anna.look().stays[0].posted == (most - 1, most)
    wraps = [(ben.ids["den"], most)]
    assert anna.post("den", 2, epoch=most, n=most, wraps=wraps, ref=most).word == "OK"
    assert len(node.queue("den", 1, 2)) == 1
    assert anna.post("den", most, ref=most).word == "AGAIN"
    assert ben.post("den", most, ref=3).word == "UNEXPECTED"
    node.ask("HSET", node.key("room", "den", "state"), "seq", 10**15, "bytes", 10**15)
    assert anna.post("den", 2, ref=most).word == "AGAIN"
    assert ben.post("den", 2, ref=4).encoded == b'{"type":"accepted","ref":4,"seq":%d}' % (
        10**15 + 1
    )


# All


def test_the_console_sees_everybody(make_node: MakeNode) -> None:
    here, there = make_node(), make_node()
    anna, ben = Guest(here, 1, "anna", token="tok"), Guest(there, 2, "ben")
    anna.enter("Den"), anna.enter("lab"), ben.enter("den")
    lost = ben.lose()
    total, rows = here.do(replies.who, calls.who(here.at, 9))
    assert total == 2
    assert sorted(rows) == [
        ("anna", None, "tok", "ab" * 32, "g", anna.fp, anna.claim.n, ("Den", "lab")),
        ("ben", lost, "", "ab" * 32, "g", ben.fp, ben.look().n, ("Den",)),
    ]
    assert len(here.do(replies.who, calls.who(here.at, 1))[1]) == 1


def test_somebody_is_found_by_a_nickname_that_looks_alike(make_node: MakeNode) -> None:
    node = make_node()
    alice = Guest(node, 1, "alice")
    assert node.do(replies.find, calls.find(node.at, nick_looks("a1ice"))) == alice.fp
    assert node.do(replies.find, calls.find(node.at, nick_looks("bob"))) == ""


def test_a_table_changes_for_all_other_nodes(make_node: MakeNode) -> None:
    here, there = make_node(), make_node()

    def table(value: str, version: int = -1, expect: str = "") -> tuple[str, int]:
        call = calls.table(here.at, "tokens", "id", value, version, expect)
        return tuple(here.do(replies.table, call))  # type: ignore[return-value]

    assert (
        table("a") == ("OK", 1) and table("b", 0) == ("CHANGED", 1) and table("b", 1) == ("OK", 2)
    )
    assert table("c", expect="=") == ("CHANGED", 2) == table("c", expect="=a")
    assert table("c", expect="=b") == ("OK", 3)
    assert there.woken() == [
        ("t", f"tokens\n{n}\nid\n{v}") for n, v in ((1, "a"), (2, "b"), (3, "c"))
    ]
    state = there.do(replies.read_table, calls.read_table(there.at, "tokens", True))
    assert (state.version, state.items) == (3, (("id", "c"),)) and state.now_ms > 10**12
    assert there.do(replies.read_table, calls.read_table(there.at, "tokens", False)).items == ()
    assert table("", expect="=c") == ("OK", 4) and table("") == ("OK", 0)
    assert there.woken() == [("t", "tokens\n4\nid\n")]
    assert table("", expect="=c") == ("CHANGED", 4), "of two who take it one has it"
    assert here.woken() == [], "whoever changes it knows by the answer"


def test_an_announcement_is_made_once(make_node: MakeNode) -> None:
    here, there = make_node(), make_node()
    Guest(here, 1), Guest(there, 2).lose()
    call = calls.say(here.at, b'{"text":"hi"}')
    assert here.do(replies.say, call).number == here.do(replies.say, call).number == 1
    assert here.woken() == there.woken() == [("a", '{"text":"hi"}')]


def test_a_node_pokes_itself(make_node: MakeNode) -> None:
    here, there = make_node(), make_node()
    here.do(replies.poke, calls.poke(here.at, "den"))
    assert (here.woken(), there.woken()) == ([("r", "den")], [])
    assert SessionClaim(here.at, "aa", 1).node.under == f"{here.at.prefix}{here.at.epoch}:"
    assert LIMITS == "{}"
