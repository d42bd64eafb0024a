"""The scripts of rooms, where one process's rooms have nothing like it (see the histories)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from server.cluster import calls, keys, replies
from server.cluster.resp import EngineError
from tests.engines import backend_settings
from tests.script_kit import (  # noqa: F401
    BUNDLE,
    LEASE,
    Guest,
    MakeNode,
    Node,
    SetLimit,
    make_node_fixture,
    set_limit_fixture,
)
from tools.engine_process import EngineProcess


def renew_rooms(node: Node, room: str, number: int = 1, keep_ms: int = 10**9) -> tuple[str, ...]:
    return node.do(replies.renew_rooms, calls.renew_rooms(node.at, [(room, number)], keep_ms))


def first(node: Node, room: str) -> int:
    state = node.do(replies.load, calls.load(node.at, room, False))
    assert state is not None
    return state.first


def test_all_nodes_with_members_there_hear_of_a_post_and_no_other(make_node: MakeNode) -> None:
    here, there, elsewhere = make_node(), make_node(), make_node()
    anna, ben = Guest(here, 1), Guest(there, 2)
    Guest(elsewhere, 3).enter("lab")
    anna.enter("den"), ben.enter("den")
    elsewhere.woken(), here.woken(), there.woken()
    anna.post("den", 2)
    assert here.woken() == there.woken() == [("r", "den")]
    ben.leave("den")
    assert (here.woken(), there.woken()) == ([("r", "den")], [])
    assert elsewhere.woken() == []


def test_a_node_is_told_once_until_it_reads(make_node: MakeNode) -> None:
    """Each for itself; and one that has gone, and comes again, is told from the beginning."""
    here, there = make_node(), make_node()
    anna, ben = Guest(here, 1), Guest(there, 2)
    anna.enter("tea"), ben.enter("tea")
    here.woken(), there.woken()
    for _ in range(3):
        anna.post("tea", 2)
    assert here.woken() == [("r", "tea")] == there.woken()
    anna.post("tea", 2), anna.post("tea", 2)
    ben.leave("tea")
    assert here.woken() == [("r", "tea")]
    ben.enter("tea")
    assert there.woken() == [("r", "tea"), ("r", "tea")], "once before it had gone, and once after"


def test_nobody_is_told_who_has_no_stream(make_node: MakeNode) -> None:
    """It would never be read, nor expire."""
    here, there = make_node(), make_node()
    anna, ben = Guest(here, 1), Guest(there, 2)
    anna.enter("den"), ben.enter("den")
    here.ask("DEL", keys.wake(there.at))
    assert anna.post("den", 2).word == anna.private("den", ben.ids["den"], 2).word == "OK"
    assert here.ask("EXISTS", keys.wake(there.at)) == 0


def test_wraps_come_before_their_post_which_says_for_whom(make_node: MakeNode) -> None:
    node = make_node()
    anna, ben, cleo = Guest(node, 1), Guest(node, 2), Guest(node, 3)
    for guest in (anna, ben, cleo):
        guest.enter("den")
    a, b, c = (guest.ids["den"] for guest in (anna, ben, cleo))
    anna.post("den", 3, wraps=[(b, 0), (a, 0), (99, 0), (c, 0), (b, 1)])
    [(_seq, fields)] = node.ask("XRANGE", keys.log(node.at, "den"), "4-0", "4-0")
    assert dict(zip(fields[::2], fields[1::2], strict=True))[b"w"] == f"{b},{c}".encode()
    assert [(after, b'"wrap":[%d,1,0]' % b in each) for after, each in node.queue("den", 1, b)] == [
        (3, True)
    ]
    anna.post("den", 3, n=1)
    [(_seq, fields)] = node.ask("XRANGE", keys.log(node.at, "den"), "5-0", "5-0")
    assert b"w" not in fields[::2]


def test_who_has_a_wrap_is_forgotten_with_the_epoch_and_of_those_that_are_gone(
    make_node: MakeNode, set_limit: SetLimit
) -> None:
    set_limit("ROOM_MEMBERS", 2)
    node = make_node()
    anna = Guest(node, 1)
    anna.enter("den")
    wrapped = node.key("room", "den", "w", anna.ids["den"])
    for number in range(2, 9):
        guest = Guest(node, number)
        change = guest.enter("den").room.seq
        assert anna.post("den", change, n=number, wraps=[(guest.ids["den"], number)]).word == "OK"
        assert node.ask("HLEN", wrapped) <= 5
        guest.end()
    change = Guest(node, 9).enter("den").room.seq
    assert anna.post("den", change, epoch=2, wraps=[(9, 0)]).word == "OK"
    assert set(node.ask("HKEYS", wrapped)) == {b"9", b"epoch"}


def test_a_member_that_falls_behind_has_an_entry_that_says_so(
    make_node: MakeNode, set_limit: SetLimit
) -> None:
    set_limit("CHAIN_BYTES", 100)
    node = make_node()
    anna, ben = Guest(node, 1), Guest(node, 2)
    anna.enter("den"), ben.enter("den")
    for epoch in (1, 2, 3):
        anna.post("den", 2, epoch=epoch, wraps=[(ben.ids["den"], 0)])
    entries = node.ask("XRANGE", keys.private(node.at, "den", ben.ids["den"]), "-", "+")
    assert [fields[5] for _number, fields in entries] == [b"key_for", b"key_for", b"behind"]
    assert [stay.behind for stay in ben.look().stays] == [True]
    assert ben.confirm("den", 3) == "OK"
    assert ben.rejoin("den", 2, 3) == (6, 0)
    assert [(stay.behind, stay.private_number) for stay in ben.look().stays] == [(False, 3)]


def test_what_was_lost_by_falling_behind_is_counted(make_node: MakeNode) -> None:
    node = make_node()
    anna, ben = Guest(node, 1), Guest(node, 2)
    anna.enter("den"), ben.enter("den")
    anna.post("den", 2, wraps=[(ben.ids["den"], 0)])
    for _ in range(3):
        anna.private("den", ben.ids["den"], 2)
    assert ben.rejoin("den", 2, number=2) == (4, 2), "those after number 2"
    anna.private("den", ben.ids["den"], 4)
    assert [each[1][:50] for each in node.queue("den", 1, 2)] == [
        b'{"type":"private_for","at":1,"number":5,"from":1,"'
    ]


def test_confirming_gives_room_to_those_whose_it_was(make_node: MakeNode) -> None:
    node = make_node()
    anna, ben, cleo = Guest(node, 1), Guest(node, 2), Guest(node, 3)
    for guest in (anna, ben, cleo):
        guest.enter("den")
    queue = node.key("room", "den", "q", ben.ids["den"])
    anna.post("den", 3, wraps=[(2, 0)])
    anna.private("den", 2, 3, size=100)
    cleo.private("den", 2, 3, size=200)
    waiting = {each: len(frame) for each, (_after, frame) in enumerate(node.queue("den", 1, 2))}
    ben.confirm("den", 1)
    fields = node.ask("HMGET", queue, "b:0", "b:1", "b:3", "posts", "number")
    assert fields == [
        None, b"%d" % waiting[1], b"%d" % waiting[2], b"%d" % (waiting[1] + waiting[2]), b"3",
    ]  # fmt: skip
    ben.confirm("den", 3), ben.confirm("den", 3)
    assert node.ask("HGETALL", queue) == [b"number", b"3"]


# Trimming


def test_the_log_has_at_least_what_a_node_would_have(
    make_node: MakeNode, set_limit: SetLimit
) -> None:
    """And no more than that and two marks' worth; by entries, and by bytes."""
    set_limit("LOG_ENTRIES", 100)
    node = make_node()
    anna = Guest(node, 1)
    anna.enter("den")
    for number in range(400):
        seq = anna.post("den", 1, n=number).seq
        oldest = first(node, "den")
        assert max(1, seq - 100 - 128) <= oldest <= max(1, seq - 99), seq
    set_limit("LOG_BYTES", 500_000)
    node = make_node()
    anna.come(node)
    for number in range(400, 440):
        anna.post("den", 1, n=number, size=50_000)
    sizes = [len(each) for each in node.log("den")]
    assert 500_000 <= sum(sizes) <= 500_000 + 2 * 131_072 + 50_100
    assert node.ask("LLEN", node.key("room", "den", "marks")) < 20


def test_what_is_old_goes_from_the_log(make_node: MakeNode) -> None:
    node = make_node()
    anna = Guest(node, 1)
    anna.enter("den")
    anna.post("den", 1)

    def a_minute_later() -> None:
        """The newest mark is as old as that."""
        marks = node.key("room", "den", "marks")
        [mark] = node.ask("LRANGE", marks, -1, -1)
        ms, rest = mark.split(b":", 1)
        node.ask("LSET", marks, -1, b"%d:%s" % (int(ms) - 60_000, rest))

    assert renew_rooms(node, "den", keep_ms=50_000) == ()
    assert first(node, "den") == 1, "the mark is new"
    a_minute_later()
    anna.post("den", 1, n=1)
    assert renew_rooms(node, "den", keep_ms=50_000) == ()
    assert first(node, "den") == 3 and len(node.log("den")) == 1
    a_minute_later()
    renew_rooms(node, "den", keep_ms=50_000)
    assert first(node, "den") == 4 and node.log("den") == []
    assert anna.post("den", 1, n=2).seq == 4
    [stay] = anna.look().stays
    assert (stay.first, stay.seq) == (4, 4)


# What is left


def _lasting(node: Node) -> set[str]:
    """Keys that never go."""
    named = {key: f"{node.at.prefix}{key}" for key in ("epoch", "format", "policy")}
    return {key for key in node.left() if node.ask("PTTL", named.get(key, node.key(key))) < 0}


def test_everything_expires(make_node: MakeNode) -> None:
    node = make_node()
    node.at = node.at._replace(ttl_ms=5000)
    anna, ben = Guest(node, 1, token="tok"), Guest(node, 2)
    anna.enter("den"), ben.enter("den")
    for number in range(70):
        anna.post("den", 2, n=number, wraps=[(ben.ids["den"], 0)])
    ben.private("den", anna.ids["den"], 2)
    node.do(replies.table, calls.table(node.at, "tokens", "a", "b"))
    node.do(replies.spend, calls.spend(node.at, b"x", 1000))
    node.do(replies.say, calls.say(node.at, b"x"))
    node.do(replies.answer, calls.answer(anna.claim, 90, b"x", "tok"))
    assert not _lasting(node)
    ben.rejoin("den", 2)
    anna.enter("lab", ref=91)
    assert anna.rejoin("lab", 1) is not None  # whose queue there was none of
    cleo = Guest(node, 3)
    cleo.enter("attic"), cleo.lose()
    ben.enter("attic")  # where nobody was connected
    Guest(node, 4).end(reason="taken_over")
    lasting = _lasting(node)
    assert not lasting, "before anything is renewed"
    renew_rooms(node, "den")
    node.do(replies.renew_sessions, calls.renew_sessions([anna.claim, ben.claim]))
    assert not _lasting(node)
    rooms = {node.ask("PEXPIRETIME", node.key("room", "den", what)) for what in (
        "state", "log", "members", "bundles", "nodes", "changes", "marks")}  # fmt: skip
    assert len(rooms) == 1, "all of a room at once"
    node.do(replies.renew, calls.renew(node.at, LEASE, True))
    assert node.ask("PTTL", node.key("numbers")) <= 5000


def test_a_room_that_all_have_lost_stays_as_long_as_they_may_come_back(
    make_node: MakeNode,
) -> None:
    here, there = make_node(), make_node()
    anna = Guest(here, 1)
    anna.enter("den")
    for lose in (anna.lose, lambda: anna.come(there)):
        for what in ("state", "log", "members", "bundles", "changes"):
            here.ask("PEXPIRE", here.key("room", "den", what), 5000)
        lose()
        for what in ("state", "log", "members", "bundles", "changes"):
            assert here.ask("PTTL", here.key("room", "den", what)) > 100_000
    assert anna.post("den", 1).word == "OK"


def test_a_room_whose_state_is_gone_is_gone_wholly(make_node: MakeNode) -> None:
    here, there = make_node(), make_node()
    anna, ben = Guest(here, 1), Guest(there, 2)
    anna.enter("den"), anna.enter("lab"), ben.enter("den")
    anna.post("den", 2, wraps=[(ben.ids["den"], 0)])
    here.ask("DEL", here.key("room", "den", "state"))
    assert anna.post("den", 2, n=1).word == "GONE"
    assert anna.private("den", ben.ids["den"], 2).word == "GONE"
    assert anna.confirm("den", 1) == "GONE" and anna.rejoin("den", 1) is None
    assert [stay.room for stay in anna.look().stays] == ["lab"]
    assert here.do(replies.load, calls.load(here.at, "den", True)) is None
    came = ben.enter("den", log_id="11" * 16)
    assert (came.room.number, came.room.seq, len(came.room.roster)) == (3, 1, 1)
    assert ben.post("den", 1).seq == 2
    assert renew_rooms(here, "den", 1) == ("den",), "another one than this node knows"
    assert anna.post("den", 2, n=1).word == "GONE"
    here.do(replies.renew_sessions, calls.renew_sessions([anna.claim]))
    assert anna.enter("den").word == "OK"
    for guest in (anna, ben):
        guest.end()
    assert not [key for key in here.left() if key.startswith("room:")]


@pytest.mark.parametrize("do", ["leave", "renew", "sweep", "end"])
def test_whoever_finds_that_it_is_gone_takes_the_rest(make_node: MakeNode, do: str) -> None:
    node = make_node()
    anna, ben = Guest(node, 1), Guest(node, 2)
    anna.enter("den"), ben.enter("den")
    anna.private("den", ben.ids["den"], 2)
    node.ask("DEL", node.key("room", "den", "state"))
    deeds: dict[str, Callable[[], object]] = {
        "leave": lambda: anna.leave("den"),
        "renew": lambda: renew_rooms(node, "den"),
        "sweep": lambda: node.do(replies.sweep, calls.sweep(node.at, 1000)),
        "end": anna.end,
    }
    deeds[do]()
    assert not [key for key in node.left() if key.startswith("room:")]


# A full engine


def test_a_full_engine_takes_no_posts_and_lets_people_go(
    start_engine: Callable[..., EngineProcess],
) -> None:
    engine = start_engine()
    here, there = (Node(settings) for settings in [backend_settings(engine)] * 2)
    anna, ben, cleo = Guest(here, 1), Guest(there, 2), Guest(here, 3)
    for guest in (anna, ben, cleo):
        guest.enter("den"), guest.enter("lab")
    anna.private("den", ben.ids["den"], 3)
    assert anna.post("den", 3).word == "OK"
    here.ask("CONFIG", "SET", "maxmemory", "1")
    taken = anna.look().taken
    for wanted in (lambda: anna.post("den", 3, n=1), lambda: anna.private("den", 2, 3),
                   lambda: Guest(here, 9),
                   lambda: anna.enter("attic"), lambda: anna.rename("den", "zoe")):  # fmt: skip
        with pytest.raises(EngineError) as refused:
            wanted()
        assert refused.value.word == "OOM"
    assert anna.look().taken == taken and anna.look().stays[0].seq == len(here.log("den"))
    # What gives back, and what keeps nodes and people in, goes on.
    assert ben.confirm("den", 1) == "OK" and ben.rejoin("den", 2) is not None
    assert here.do(replies.renew, calls.renew(here.at, LEASE, True))
    assert renew_rooms(here, "den") == ()
    assert here.do(replies.renew_sessions, calls.renew_sessions([anna.claim])) == ()
    assert cleo.lose() > 0 and cleo.come(there).word == "OK"
    anna.ref = taken
    assert here.do(replies.answer, calls.answer(anna.claim, anna.next(), b"full")).word == "OK"
    assert anna.leave("lab").word == "OK" and cleo.end() == "OK"
    here.ask("CONFIG", "SET", "maxmemory", "0")
    assert anna.post("den", 3, n=1).word == "OK"
    here.ask("CONFIG", "SET", "maxmemory", "1")
    assert here.do(replies.retire, calls.retire(here.at)).word == "OK"
    for node in (here, there):
        node.engine.release()


def test_the_bundle_of_a_member_goes_with_it(make_node: MakeNode) -> None:
    node = make_node()
    anna, ben = Guest(node, 1), Guest(node, 2)
    anna.enter("den")
    [row] = ben.enter("den").room.roster[1:]
    assert (row.bundle, row.fingerprint, row.nick) == (BUNDLE, ben.fp, ben.nick)
    ben.leave("den")
    assert node.ask("HLEN", node.key("room", "den", "bundles")) == 1


def test_rooms_are_listed_by_name_up_to_a_number(make_node: MakeNode) -> None:
    node = make_node()
    anna = Guest(node, 1)
    for name in ("Zoo", "den", "Äther", "lab"):
        anna.enter(name)
    Guest(node, 2).enter("LAB")
    total, listed = node.do(replies.listing, calls.listing(node.at, 3))
    assert (total, listed) == (4, (("den", 1), ("lab", 2), ("Zoo", 1)))


def test_there_are_as_many_rooms_as_there_may_be(make_node: MakeNode) -> None:
    node = make_node()
    anna, ben = Guest(node, 1), Guest(node, 2)
    assert anna.enter("den", most=1).word == "OK"
    assert ben.enter("lab", most=1, ref=0).word == "FULL"
    assert ben.enter("den", most=1, ref=0).word == "OK"
    assert ben.enter("den", most=1, ref=0).word == "OK", "once more"
    assert ben.enter("den", most=1).word == "IN"
    for number in range(15):
        assert anna.enter(f"room{number}").word == "OK"
    assert anna.enter("lab", ref=99).word == "MANY"
    assert anna.enter("lab", ref=99, leave="den").word == "OK"
    assert anna.enter("attic", ref=100, leave="den").encoded == (
        b'{"type":"refused","code":"gone","ref":100}'
    )
