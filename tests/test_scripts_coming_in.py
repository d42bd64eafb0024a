"""Coming in anew: a session with its first place and its ticket, in one step."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.names import nick_looks
from server.cluster import calls, replies
from server.cluster.calls import Newcomer, PlaceWanted
from server.cluster.script import ScriptCall
from tests.script_kit import (  # noqa: F401
    BUNDLE,
    Guest,
    MakeNode,
    Node,
    SetLimit,
    fingerprint,
    make_node_fixture,
    set_limit_fixture,
)
from tests.test_scripts_sessions import _everything

CLEO = fingerprint(3)
WHO = Newcomer("cleo", nick_looks("cleo"), "", False, "g", "ab" * 32)


def come_in(
    node: Node, room: str = "den", who: Newcomer = WHO, bans: int | None = None, **place: Any
) -> ScriptCall:
    wanted = PlaceWanted(room, room, "11" * 16, b'"cleo"', BUNDLE, 9, **place)
    return calls.come_in(node.at, CLEO, who, 9, "a ticket", wanted, bans)


def test_one_step_and_one_note_to_each_node(make_node: MakeNode) -> None:
    """What it says is what `let_in`, `enter` and a look at the room would have said."""
    here, there, elsewhere = make_node(), make_node(), make_node()
    anna = Guest(there, 1, "anna")
    anna.enter("den")
    there.woken()
    came = here.do(replies.come_in, come_in(here, roster=True, known=0))
    assert (came.session.word, came.place.word, came.version) == ("OK", "OK", 1)
    assert came.session.number > anna.claim.n and came.place.joined == came.place.room.seq == 2
    assert [each.nick for each in came.place.room.roster] == ["anna", "cleo"]
    note = f"tickets\n1\n{CLEO}\na ticket"
    assert there.woken() == [("r", "den"), ("t", note)]
    assert elsewhere.woken() == [("t", note)]
    assert here.woken() == [], "the answer has all of it"
    [entry] = here.ask("XREVRANGE", here.key("wake", there.at.node), "+", "-", "COUNT", 1)
    assert entry[1][::2] == [b"r", b"t"], "they come as one"
    state = here.do(replies.look, calls.look(here.at, CLEO))
    assert (state.n, state.nick, state.node) == (came.session.number, "cleo", here.at.node)
    [stay] = state.stays
    assert (stay.room, stay.member_id, stay.ref) == ("den", came.place.member_id, 0)
    assert here.ask("HGET", here.key("t", "tickets"), CLEO) == b"a ticket"


@pytest.mark.parametrize(
    ("place", "told"),
    [({}, True), ({"known": 1}, False), ({"known": 0}, True), ({"known": 2}, True)],
)
def test_a_node_is_told_unless_it_has_all_before(
    make_node: MakeNode, place: dict[str, Any], told: bool
) -> None:
    here = make_node()
    Guest(here, 1, "anna").enter("den")
    here.woken()
    came = here.do(replies.come_in, come_in(here, **place))
    assert came.place.word == "OK" and came.place.room.roster == ()
    assert here.woken() == [("r", "den")] * told


def test_the_same_call_again_says_the_same(make_node: MakeNode) -> None:
    """Its answer was lost; what the ticket's change was counted as is not known any more."""
    here = make_node()
    call = come_in(here, roster=True, known=0)
    first = here.do(replies.come_in, call)
    before = _everything(here)
    assert here.do(replies.come_in, call) == first._replace(version=0)
    assert _everything(here) == before
    assert here.do(replies.come_in, come_in(here)).session.word == "AGAIN"
    ended = here.do(replies.end, calls.end(here.at, CLEO))
    assert ended.word == "OK" and here.ask("EXISTS", here.key("t", "tickets")) == 0
    assert here.do(replies.come_in, call).session.word == "OK", "a new one, since there is none"


def test_where_it_may_not_be_nothing_is_done(make_node: MakeNode, set_limit: SetLimit) -> None:
    set_limit("ROOM_MEMBERS", 1)
    here, there = make_node(), make_node()
    anna, ben = Guest(here, 1, "anna", token="tok"), Guest(there, 2, "ben")
    anna.enter("den"), ben.enter("lab")
    ben.end("taken_over")
    there.do(replies.table, calls.table(there.at, "bans", "sign ab", "1"))
    before = _everything(here)

    def said(**changes: Any) -> str:
        return here.do(replies.come_in, come_in(here, **changes)).session.word

    assert said() == "NO_PLACE"
    assert said(room="lab", bans=0) == said(bans=2) == "BANS" and said(bans=1) == "NO_PLACE"
    assert said(room="lab", who=WHO._replace(nick="anna", looks=nick_looks("anna"))) == "TAKEN"
    assert said(room="lab", who=WHO._replace(token="tok")) == "TOKEN"
    taken_over = calls.come_in(
        here.at, ben.fp, WHO, 9, "t", PlaceWanted("lab", "lab", "11" * 16, b'"x"', BUNDLE, 9)
    )
    assert here.do(replies.come_in, taken_over).session.word == "DISPLACED"
    full = calls.come_in(
        here.at, CLEO, WHO, 1, "t", PlaceWanted("lab", "lab", "11" * 16, b'"x"', BUNDLE, 9)
    )
    assert here.do(replies.come_in, full).session.word == "FULL"
    rooms = calls.come_in(
        here.at, CLEO, WHO, 9, "t", PlaceWanted("attic", "attic", "11" * 16, b'"x"', BUNDLE, 1)
    )
    assert here.do(replies.come_in, rooms).session.word == "NO_PLACE"
    assert _everything(here) == before
    assert here.do(replies.look, calls.look(here.at, anna.fp, 0)).word == "BANS"
    assert here.do(replies.look, calls.look(here.at, anna.fp, 1)).word == "OK"


def test_a_room_may_be_made_by_it(make_node: MakeNode) -> None:
    """And goes with it."""
    here = make_node()
    came = here.do(replies.come_in, come_in(here, "attic", roster=True, known=0))
    assert came.place.room[1:4] == ("11" * 16, "attic", 1)
    assert here.do(replies.end, calls.end(here.at, CLEO)).word == "OK"
    here.do(replies.retire, calls.retire(here.at))
    assert here.left() == set()
