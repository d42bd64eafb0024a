"""What is held of wraps, and that no request overtakes another: hold, post, the ref before it."""

from __future__ import annotations

import pytest

from server.cluster import calls, replies
from server.cluster.calls import PlaceWanted
from tests.script_kit import BUNDLE, Box, Guest, MakeNode, Node, make_node_fixture  # noqa: F401

LAB = PlaceWanted("lab", "lab", "00" * 16, b'"anna"', BUNDLE, 9)


@pytest.fixture
def node(make_node: MakeNode) -> Node:
    """One node."""
    return make_node()


def room_of(node: Node) -> tuple[Guest, Guest]:
    """Two in a room, the second of whom joined at 2."""
    anna, ben = Guest(node, 1), Guest(node, 2)
    anna.enter("den")
    ben.enter("den")
    return anna, ben


def got(node: Node, guest: Guest) -> list[int]:
    """Before which entries something waits for somebody alone."""
    return [after for after, _frame in node.queue("den", 1, guest.ids["den"])]


class TestHold:
    """Wraps wait in the engine for a post of their epoch."""

    def test_until_a_post_is_taken(self, node: Node, make_node: MakeNode) -> None:
        """Of whichever node, once, and not for another epoch."""
        anna, ben = room_of(node)
        anna.hold("den", 2, [(ben.ids["den"], 0)])
        assert anna.post("den", 0, 2).word == "STALE"
        assert anna.post("den", 2, 1).word == "OK"
        assert got(node, ben) == []
        anna.lose()
        assert anna.come(make_node()).word == "OK"
        assert anna.post("den", 2, 2).word == anna.post("den", 2, 2, 1).word == "OK"
        assert got(node, ben) == [3]

    def test_not_for_one_that_began_anew(self, node: Node) -> None:
        """Its keys are lost: what leads to them now has to come anew."""
        anna, ben = room_of(node)
        anna.hold("den", 1, [(ben.ids["den"], 0)])
        assert node.do(replies.rejoin, calls.rejoin(ben.claim, "den", 2, 0)) == (3, 0)
        assert anna.post("den", 3).word == "OK"
        assert got(node, ben) == []
        anna.hold("den", 1, [(ben.ids["den"], 1)])
        assert anna.post("den", 3, n=1).word == "OK"
        assert got(node, ben) == [4]

    def test_a_post_knows_of_one_that_was_not_done(self, node: Node) -> None:
        """It is not done either, and its ref is not taken."""
        anna, _ben = room_of(node)
        anna.holds = 1
        outcome = anna.post("den", 2)
        assert (outcome.word, outcome.encoded) == ("UNHELD", b"")
        anna.holds = 0
        assert anna.post("den", 2, ref=anna.ref).word == "OK"

    def test_none_is_held_before_the_one_before_it(self, node: Node) -> None:
        """An earlier epoch would find a later one in its place when it comes again."""
        anna, ben = room_of(node)
        anna.holds = 1
        with pytest.raises(replies.Skipped):
            anna.hold("den", 2, [(ben.ids["den"], 0)])
        anna.holds = 0
        anna.hold("den", 1, [(ben.ids["den"], 0)])
        assert anna.post("den", 2).word == "OK"
        assert got(node, ben) == [2]

    def test_it_goes_with_its_member(self, node: Node) -> None:
        """Nothing is left."""
        anna, ben = room_of(node)
        anna.hold("den", 1, [(ben.ids["den"], 0)])
        held = node.key("room", "den", "h", anna.ids["den"])
        assert node.ask("PTTL", held) > 0
        anna.leave("den")
        assert node.ask("EXISTS", held) == 0


def test_no_request_overtakes_the_one_before_it(node: Node) -> None:
    """Whatever it asks for; when that is taken, it is done."""
    anna, ben = room_of(node)
    first, claim, den = anna.next(), anna.claim._replace(after=anna.ref), anna.ids["den"]
    ref = anna.next()
    rest = Box.rest(den, 2)
    later = {
        replies.post: calls.post(claim, "den", den, ref, 2, (1, 0), rest),
        replies.private: calls.private(claim, "den", den, ref, ben.ids["den"], 2, rest),
        replies.enter: calls.enter(claim, LAB, ref),
        replies.rename: calls.rename(claim, "den", ref, "zoe", {"zoe"}),
        replies.leave: calls.leave(claim, "den", ref),
        replies.answer: calls.answer(claim, ref, b"{}"),
    }
    for read, call in later.items():
        with pytest.raises(replies.Skipped):
            node.do(read, call)
    assert anna.post("den", 2, ref=first).word == "OK"
    assert node.do(replies.answer, later[replies.answer]).word == "OK"
