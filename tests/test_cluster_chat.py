"""Two nodes that are one chat: what a client sees of it, whichever node it is connected to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from protocol import frames
from protocol import limits as protocol_limits
from protocol.errors import Unavailable
from protocol.keys import to_text
from protocol.link import ClientLink, Credentials
from server import limits as server_limits
from server.app import ChatServer
from server.cluster import limits
from server.cluster.places import Places
from settings.backend import BackendSettings
from tests.conftest import IdentityPool
from tests.engines import backend_settings
from tests.test_server_connection import until
from tests.test_server_rooms import answer, logs, numbers, pick
from tests.wire import Wire, box, wrap
from tools.engine_process import EngineProcess

Wires = Callable[..., Wire]
Serve = Callable[..., ChatServer]
Pair = tuple[ChatServer, ChatServer]


@pytest.fixture
def serve_nodes(
    serve: Serve, backend: BackendSettings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Pair]]:
    """Starts two nodes of one chat, with settings."""
    monkeypatch.setattr(limits, "POLICY_SCRYPT", 4)  # half a second for each node

    def start(**changes: Any) -> Pair:
        return serve(backend=backend, **changes), serve(backend=backend, **changes)

    yield start


@pytest.fixture
def pair(serve_nodes: Callable[..., Pair]) -> Pair:
    """Two nodes of one chat."""
    return serve_nodes()


def is_answer(frame: frames.Frame) -> bool:
    """Whether it answers a request."""
    return isinstance(frame, (frames.Accepted, frames.Refused))


def post(wire: Wire, change: int, **named: Any) -> Any:
    """What a post is answered with."""
    ref = wire.post(change, **named)
    found = pick(wire, is_answer)
    assert found.ref == ref
    return found


def say(wire: Wire, to: int, ref: int, change: int) -> frames.Private:
    """A private post, as far as the server can see."""
    return frames.Private(ref, wire.at, change, wrap(to), box())


class TestRooms:
    """One room, whose members are on both nodes."""

    def test_both_see_each_other_and_what_is_said(self, pair: Pair, wires: Wires) -> None:
        """Rosters, changes and posts are those of one room, in one order."""
        ann = wires(pair[0], 0).join("ann")
        bob = wires(pair[1], 1).join("bob")
        assert set(bob.roster) == {"ann", "bob"}
        assert ann.entered is not None and bob.entered is not None
        assert (ann.at, ann.entered.log) == (bob.at, bob.entered.log)
        [joined] = ann.entries(2)
        assert joined.member.nick == "bob"  # type: ignore[attr-defined]
        assert post(bob, 2, data=b"gAAAB").seq == 3
        assert post(ann, 2, data=b"gAAAC").seq == 4
        assert [type(each) for each in ann.entries(4)] == [frames.Posted, frames.OwnPosted]
        assert [type(each) for each in bob.entries(4)] == [frames.OwnPosted, frames.Posted]

    def test_keys_come_before_the_post(self, pair: Pair, wires: Wires) -> None:
        """A wrap goes to its member on the other node, and the post after it."""
        ann = wires(pair[0], 0).join("ann")
        bob = wires(pair[1], 1).join("bob")
        bob.send(frames.Keys(bob.at, (wrap(ann.id),)))
        post(bob, 2)
        while not isinstance(frame := ann.next(), frames.KeyFor):
            entries = frame.entries if isinstance(frame, frames.Log) else ()
            assert not any(isinstance(each, frames.Posted) for each in entries)
        assert (frame.sender, frame.number) == (bob.id, 1)
        ann.entries(3)

    def test_wraps_wait_for_a_post_that_is_taken(self, pair: Pair, wires: Wires) -> None:
        """A refused post starts no epoch, and the next one brings what waited."""
        ann = wires(pair[0], 0).join("ann")
        bob = wires(pair[1], 1).join("bob")
        bob.send(frames.Keys(bob.at, (wrap(ann.id),)))
        assert post(bob, 1).code == "stale"
        assert post(bob, 2).seq == 3
        assert ann.find(frames.KeyFor).wrap.to == ann.id

    def test_wraps_wait_for_it_on_whichever_node_it_comes(self, pair: Pair, wires: Wires) -> None:
        """Whoever was told that they are there does not send them again."""
        ann = wires(pair[0], 0).join("ann")
        bob = wires(pair[1], 1).join("bob")
        bob.send(frames.Keys(bob.at, (wrap(ann.id),)))
        assert post(bob, 1).code == "stale"
        back = wires(pair[0], 1).join("bob", resume=bob.resume_point(2))
        back.ref()  # that one has gone
        assert post(back, 2).seq == 3
        assert ann.find(frames.KeyFor).wrap.to == ann.id

    def test_private_posts_cross_nodes(self, pair: Pair, wires: Wires) -> None:
        """To whom it is, and to nobody else; and to nobody who is not there."""
        ann = wires(pair[0], 0).join("ann")
        bob = wires(pair[1], 1).join("bob")
        cat = wires(pair[1], 2).join("cat")
        assert isinstance(answer(ann, say(ann, bob.id, ann.ref(), 3)), frames.Accepted)
        assert bob.find(frames.PrivateFor).sender == ann.id
        assert answer(ann, say(ann, 99, ann.ref(), 3)).code == "gone"  # type: ignore[attr-defined]
        post(ann, 3)
        cat.entries(4)
        assert not any(isinstance(each, frames.PrivateFor) for each in cat.waiting)

    def test_many_posts_are_answered_in_order(self, pair: Pair, wires: Wires) -> None:
        """However many are under way, refusals that nobody asks the engine for among them."""
        ann = wires(pair[0], 0).join("ann")
        bob = wires(pair[1], 1).join("bob")
        refs = []
        for number in range(100):
            refs.append(ann.post(2 if number % 3 else 0, n=number) if number % 10 else ann.ref())
            if not number % 10:
                ann.send(frames.Post(refs[-1], 99, 2, box()))  # no such room
        found = [pick(ann, is_answer) for _ in refs]
        assert [each.ref for each in found] == refs
        taken = [each.seq for each in found if isinstance(each, frames.Accepted) and each.seq]
        assert taken == list(range(3, 3 + len(taken)))
        assert numbers(bob.entries(taken[-1])) == taken

    @pytest.mark.parametrize("size", [5, 2000], ids=["many", "long"])
    def test_a_ref_that_came_late_is_measured_and_counted(
        self, size: int, serve_nodes: Callable[..., Pair], wires: Wires
    ) -> None:
        """One that nobody may send took none, so all below it are new, and no repetitions."""
        limits_of_both = {"max_messages_per_window": 5, "max_message_size": 64}
        ann = wires(serve_nodes(**limits_of_both, rate_limit_window=60.0)[0], 0).join("ann")
        ann.send(frames.Post(100, ann.at, 99, box()))
        assert pick(ann, is_answer).code == "unexpected"
        data = b"g" + b"A" * (size - 1)
        refs = range(1, 9)
        ann.send(*(frames.Post(ref, ann.at, 1, box(data, n=ref)) for ref in refs))
        codes = [getattr(pick(ann, is_answer), "code", "") for _ref in refs]
        assert codes == ["too_long"] * 8 if size > 5 else [""] * 5 + ["rate_limited"] * 3

    def test_rooms_are_the_same_everywhere(self, pair: Pair, wires: Wires) -> None:
        """With all who are in them."""
        ann = wires(pair[0], 0).join("ann", stays=["tea", "lab"])
        bob = wires(pair[1], 1).join("bob", stays=["tea"])
        for wire in (ann, bob):
            ref = wire.ref()
            wire.send(frames.ListRooms(ref))
            listed = wire.find(frames.RoomLines)
            assert (listed.ref, listed.of) == (ref, 2)
            assert [(each.room, each.count) for each in listed.rooms] == [("lab", 1), ("tea", 2)]

    def test_a_room_that_goes_and_is_made_again_at_once(self, pair: Pair, wires: Wires) -> None:
        """Who comes in gets the roster of the room that there is, and not of one that was."""

        def come_and_go(wire: Wire) -> None:
            for _each in range(25):
                wire.send(frames.Enter(wire.ref(), "busy"))
                assert isinstance(pick(wire, is_answer), frames.Accepted)
                entered = wire.find(frames.Entered)
                roster = wire.find(frames.Roster).members
                assert entered.id in [each.id for each in roster]
                assert len(roster) == entered.members
                wire.send(frames.Leave(wire.ref(), entered.at))
                assert isinstance(pick(wire, is_answer), frames.Accepted)

        members = [wires(pair[at % 2], at).join(f"n{at}", room=f"home{at}") for at in range(3)]
        with ThreadPoolExecutor(len(members)) as threads:
            assert list(threads.map(come_and_go, members)) == [None] * 3

    @pytest.mark.parametrize("there", [0, 1], ids=["with others", "alone at its node"])
    def test_coming_and_going_has_a_limit(
        self,
        there: int,
        serve_nodes: Callable[..., Pair],
        wires: Wires,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Also at a node that forgets the room each time, as nobody else is in it there."""
        monkeypatch.setattr(server_limits, "CHANGE_BURST", 8.0)
        monkeypatch.setattr(server_limits, "CHANGES_A_SECOND", 0.01)
        pair = serve_nodes(max_messages_per_window=1000)
        wires(pair[0], 1).join("bob", room="busy")
        ann = wires(pair[there], 0).join("ann", room="home")
        answers = []
        for _each in range(10):
            ann.send(frames.Enter(ann.ref(), "busy"))
            answers.append(pick(ann, is_answer))
            if isinstance(answers[-1], frames.Accepted):
                at = ann.find(frames.Entered).at
                assert isinstance(answer(ann, frames.Leave(ann.ref(), at)), frames.Accepted)
        assert 1 < sum(isinstance(each, frames.Accepted) for each in answers) < 8
        assert getattr(answers[-1], "code", "") == "rate_limited"

    def test_who_says_goodbye_leaves(self, pair: Pair, wires: Wires) -> None:
        """The others hear of it, and the nickname is free at once."""
        ann = wires(pair[0], 0).join("ann")
        bob = wires(pair[1], 1).join("bob")
        bob.send(frames.Bye("left"))
        bob.ended()
        [_joined, left] = ann.entries(3)
        assert isinstance(left, frames.Left)
        wires(pair[0], 2).join("bob")


class TestNicknames:
    """A nickname is one's own on all nodes."""

    def test_nobody_else_gets_it(self, pair: Pair, wires: Wires) -> None:
        """Nor one that looks like it, by coming in or by another name."""
        wires(pair[0], 0).join("ann")
        bob = wires(pair[1], 1).join("bob")
        eve = wires(pair[1], 2)
        eve.greet()
        eve.prove("Ann")
        assert eve.refusal().code == "nick_taken"
        assert answer(bob, frames.Nick(bob.ref(), bob.at, "ann")).code == "nick_taken"  # type: ignore[attr-defined]
        assert isinstance(answer(bob, frames.Nick(bob.ref(), bob.at, "ben")), frames.Accepted)
        wires(pair[0], 2).join("bob")

    def test_all_hear_of_another_one(self, pair: Pair, wires: Wires) -> None:
        """In each room."""
        ann = wires(pair[0], 0).join("ann", stays=["tea", "lab"])
        bob = wires(pair[1], 1).join("bob", stays=["tea", "lab"])
        done = answer(bob, frames.Nick(bob.ref(), bob.rooms["tea"].at, "ben"))
        assert done.seq == 3  # type: ignore[attr-defined]
        for room in ("tea", "lab"):
            [_joined, renamed] = logs(ann, ann.rooms[room].at, 3)
            assert renamed.nick == "ben"  # type: ignore[attr-defined]

    def test_one_whose_holder_is_away_is_free_later(
        self, serve_nodes: Callable[..., Pair], wires: Wires
    ) -> None:
        """The other node says when, and ends the grace."""
        pair = serve_nodes(heartbeat_interval=0.5, heartbeat_timeout=1.5)
        ann = wires(pair[0], 0).join("ann")
        bob = wires(pair[1], 1).join("bob")
        ann.cut()
        until(lambda: not pair[0]._services.sessions.live())
        eve = wires(pair[1], 2)
        eve.greet()
        eve.prove("ann")
        refused = eve.refusal()
        assert refused.code == "nick_lost"
        assert refused.retry_after is not None and 0 < refused.retry_after <= 1.6
        while not any(isinstance(each, frames.Log) and each.to == 3 for each in bob.waiting):
            bob.send(bob.seen(2, answer=True))  # or it would be silent for too long
            bob.find(frames.Taken)
        assert isinstance(bob.entries(3)[-1], frames.Left)
        wires(pair[1], 2).join("ann")


class TestComingBack:
    """A session goes on wherever its client comes back."""

    @pytest.mark.parametrize("there", [0, 1], ids=["same node", "other node"])
    def test_what_was_not_answered_goes_once_more_and_counts_once(
        self, pair: Pair, wires: Wires, there: int
    ) -> None:
        """Whatever the old node had done of it: exactly once, in order."""
        ann = wires(pair[0], 0).join("ann")
        bob = wires(pair[1], 1).join("bob")
        assert post(ann, 2).seq == 3
        sent = [frames.Post(ann.ref(), ann.at, 2, box(n=number)) for number in range(1, 6)]
        ann.send(*sent[:3])
        ann.cut()
        back = wires(pair[there], 0).join("ann", resume=ann.resume_point(1))
        assert back.welcome is not None and back.welcome.resumed
        back.send(*sent)
        answers = [pick(back, is_answer) for _ in sent]
        assert [(each.ref, each.seq) for each in answers] == [(2 + n, 4 + n) for n in range(5)]
        own = back.entries(8)
        assert [type(each) for each in own] == [frames.Joined, *[frames.OwnPosted] * 6]
        assert numbers(bob.entries(8)) == [3, 4, 5, 6, 7, 8]

    @pytest.mark.parametrize("there", [0, 1], ids=["same node", "other node"])
    def test_the_old_connection_is_told(self, pair: Pair, wires: Wires, there: int) -> None:
        """At once, while its node knows nothing of any loss; nothing that it sends counts."""
        ann = wires(pair[0], 0).join("ann")
        back = wires(pair[there], 0).join("ann", resume=ann.resume_point(1))
        assert frames.Bye("replaced") in ann.ended()
        assert post(back, 1).seq == 2
        again = wires(pair[1 - there], 0).join("ann", resume=back.resume_point(2))
        assert frames.Bye("replaced") in back.ended()
        again.ref()  # that one has gone
        assert post(again, 1, n=1).seq == 3

    def test_what_waited_for_it_alone_comes_again(self, pair: Pair, wires: Wires) -> None:
        """Private posts and keys, from what it has on, and each before its post."""
        ann = wires(pair[0], 0).join("ann")
        bob = wires(pair[1], 1).join("bob")
        bob.send(frames.Keys(bob.at, (wrap(ann.id),)))
        post(bob, 2)
        answer(bob, say(bob, ann.id, bob.ref(), 2))
        assert ann.find(frames.KeyFor).number == 1
        ann.find(frames.PrivateFor)
        ann.entries(3)
        ann.cut()
        answer(bob, say(bob, ann.id, bob.ref(), 2))
        bob.send(frames.Keys(bob.at, (wrap(ann.id, 2),)))
        post(bob, 2, epoch=2)
        back = wires(pair[1], 0).join("ann", resume=ann.resume_point(3, 1))
        found: list[Any] = []
        while not any(isinstance(each, frames.Log) for each in found):
            found.append(back.next())
        kinds = [(type(each), each.number) for each in found if hasattr(each, "number")]
        assert kinds == [(frames.PrivateFor, 2), (frames.PrivateFor, 3), (frames.KeyFor, 4)]
        assert numbers(found[-1].entries) == [4]

    def test_what_many_have_missed_is_read_once(
        self, pair: Pair, wires: Wires, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All clients of a node that was killed come back at once, perhaps to a log of 8 MiB."""
        members = [wires(pair[0], number).join(f"n{number}") for number in range(3)]
        assert post(members[2], 3).seq == 4
        asked: list[str] = []
        read, second = Places._range, threading.Event()

        def slowly(places: Places, key: str, *args: Any) -> list[Any]:
            if key.endswith(":log"):
                asked.append(key)
                if len(asked) > 1:
                    second.set()
                second.wait(0.3)
            return read(places, key, *args)

        monkeypatch.setattr(Places, "_range", slowly)
        back = [wires(pair[1], number) for number in range(3)]
        for wire, before in zip(back, members, strict=True):
            wire.greet()
            wire.prove("", resume=before.resume_point(3))
        for wire in back:
            wire.expect(frames.Welcome)
            assert wire.arrive().resumed
            assert numbers(wire.entries(4)) == [4]
        assert len(asked) == 1

    def test_a_place_that_is_lost_is_begun_anew(self, pair: Pair, wires: Wires) -> None:
        """And the others hear that it lacks their keys."""
        ann = wires(pair[0], 0).join("ann", stays=["tea", "lab"])
        bob = wires(pair[1], 1).join("bob", stays=["tea", "lab"])
        post(ann, 2, at=ann.rooms["tea"].at)
        ann.cut()
        back = wires(pair[1], 0)
        back.greet()
        back.prove("ann", stays=[frames.Stay("tea"), ann.stay("lab")])
        assert back.expect(frames.Welcome).resumed
        tea = back.arrive()
        assert (tea.room, tea.id, tea.seq, tea.resumed) == ("tea", ann.rooms["tea"].id, 4, False)
        assert back.arrive().resumed
        assert isinstance(logs(bob, bob.rooms["tea"].at, 4)[-1], frames.Rejoined)
        back.ref()  # that one has gone
        assert post(back, 4, at=tea.at).seq == 5

    def test_another_log_is_no_session_of_ones_own(self, pair: Pair, wires: Wires) -> None:
        """Who has heard nothing of it comes in anew, and the old one has left."""
        ann = wires(pair[0], 0).join("ann")
        bob = wires(pair[1], 1).join("bob")
        log = bytes(protocol_limits.LOG_ID_BYTES)
        back = wires(pair[1], 0).join("ann", resume=(log, 1, 0))
        assert back.welcome is not None and not back.welcome.resumed
        assert frames.Bye("replaced") in ann.ended()
        assert [type(each) for each in bob.entries(4)] == [frames.Left, frames.Joined]

    def test_a_connection_that_is_lost_is_come_back_to_after_a_rest(
        self, pair: Pair, wires: Wires
    ) -> None:
        """Alone in its room, with no mirror left anywhere."""
        ann = wires(pair[0], 0).join("ann")
        post(ann, 1)
        ann.cut()
        until(lambda: not pair[0]._services.rooms.all())  # type: ignore[attr-defined]
        back = wires(pair[1], 0).join("ann", resume=ann.resume_point(1))
        assert back.welcome is not None and back.welcome.resumed
        assert [type(each) for each in back.entries(2)] == [frames.OwnPosted]


class TestSeveralRooms:
    """Into rooms and out of them, on any node."""

    def test_in_and_out(self, pair: Pair, wires: Wires) -> None:
        """Entering, moving and leaving, each answered once, and the same way when asked again."""
        ann = wires(pair[0], 0).join("ann", "tea")
        bob = wires(pair[1], 1).join("bob", "lab")
        enter = frames.Enter(ann.ref(), "lab")
        assert isinstance(answer(ann, enter), frames.Accepted)
        assert ann.rooms["lab"].at == bob.at
        move = frames.Enter(ann.ref(), "den", ann.rooms["tea"].at)
        assert isinstance(answer(ann, move), frames.Accepted)
        ann.send(frames.Leave(ann.ref(), ann.rooms["lab"].at), enter)
        assert pick(ann, is_answer).ref == 3
        assert pick(ann, is_answer) == frames.Accepted(1)
        assert [type(each) for each in bob.entries(3)] == [frames.Joined, frames.Left]
        gone = answer(ann, frames.Post(ann.ref(), ann.rooms["tea"].at, 1, box()))
        assert gone.code == "gone"  # type: ignore[attr-defined]
        assert post(ann, 1, at=ann.rooms["den"].at).seq == 2

    def test_all_rooms_are_come_back_to(self, pair: Pair, wires: Wires) -> None:
        """With the refs that led there, where the answer was lost."""
        ann = wires(pair[0], 0).join("ann", "tea")
        answer(ann, frames.Enter(ann.ref(), "lab"))
        ann.cut()
        back = wires(pair[1], 0)
        back.greet()
        back.prove("ann", stays=[ann.stay("tea")])
        assert back.expect(frames.Welcome).resumed
        assert back.arrive().resumed
        lab = back.arrive()
        assert (lab.room, lab.ref, lab.resumed) == ("lab", 1, False)

    def test_sixteen_at_most(self, pair: Pair, wires: Wires) -> None:
        """One more is refused, and asked again it is refused again."""
        names = [f"room-{number}" for number in range(protocol_limits.ROOMS_OF_ONE)]
        ann = wires(pair[0], 0).join("ann", stays=names)
        more = frames.Enter(ann.ref(), "more")
        for _ in range(2):
            assert answer(ann, more).code == "too_many_rooms"  # type: ignore[attr-defined]


class TestTokens:
    """A token is good on all nodes, for one at a time."""

    def test_minted_here_and_used_there(self, pair: Pair, wires: Wires) -> None:
        """And the minting is asked again on the other node: another token, the first one ends."""
        ann = wires(pair[0], 0).join("ann")
        mint = frames.Mint(ann.ref())
        ann.send(mint)
        first = ann.find(frames.Minted)
        back = wires(pair[1], 0).join("ann", resume=ann.resume_point(1))
        back.send(mint)
        second = back.find(frames.Minted)
        assert second.id != first.id
        assert wires(pair[0], 1, token=_token(second)).join("bob").welcome is not None
        eve = wires(pair[0], 2, token=_token(first))
        eve.greet()
        eve.prove("eve")
        assert eve.refusal().code == "auth_failed"

    def test_the_last_one_counts(self, pair: Pair, wires: Wires) -> None:
        """Who has the token's place is told, and stays out."""
        token = pair[0]._services.tokens.mint("ann", 600.0)
        ann = wires(pair[0], 0, token=token).join("ann")
        wires(pair[1], 1, token=token).join("ann")
        assert frames.Bye("taken_over") in ann.ended()
        again = wires(pair[1], 0, token=token)
        again.greet()
        again.prove("ann")
        assert again.refusal().code == "taken_over"

    def test_what_the_engine_has_of_one_opens_nothing(
        self,
        pair: Pair,
        wires: Wires,
        pool: IdentityPool,
        engine: EngineProcess,
        backend: BackendSettings,
    ) -> None:
        """Whoever may look into the engine, or hears what is said to it, is no guest by that."""
        token = pair[0]._services.tokens.mint("bob", 600)
        assert wires(pair[1], 1, token=token).join("bob").welcome is not None
        [table] = engine.ask("KEYS", f"{backend.prefix}*:t:tokens")
        token_id, value = engine.ask("HGETALL", table)
        prs = json.loads(value)["prs"].encode()
        eve = wires(pair[1], 2)
        eve.link = ClientLink(pool[2], Credentials(prs, token_id.decode()), pool.keys)
        eve.greet()
        eve.prove("bob")
        assert eve.refusal().code == "auth_failed"

    def test_revoked_on_one_ended_on_the_other(self, pair: Pair, wires: Wires) -> None:
        """At once."""
        token = pair[0]._services.tokens.mint("ann", 600.0)
        ann = wires(pair[0], 0, token=token).join("ann")
        assert pair[1]._services.tokens.revoke(token) is not None
        assert frames.Bye("revoked") in ann.ended()


def _token(minted: frames.Minted) -> str:
    return f"{to_text(minted.id)}.{to_text(minted.secret)}"


def test_nobody_is_let_in_before_it_is_known_whom_to_keep_out(
    own_engine: EngineProcess, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that has forgotten all, and is away once more while it is told again."""
    monkeypatch.setattr(limits, "POLICY_SCRYPT", 4)
    monkeypatch.setattr(limits, "NODE_PAUSE_MOST", 0.1)
    services: Any = serve(backend=backend_settings(own_engine))._services
    services.bans.add("10.0.0.1", 600)
    load, let_in = services._tables.load, []

    def away_at_first() -> None:
        let_in.append(services.node.is_in_touch)
        if len(let_in) == 1:
            raise Unavailable()
        load()

    monkeypatch.setattr(services._tables, "load", away_at_first)
    own_engine.kill()
    own_engine.start()
    until(lambda: len(let_in) > 1 and services.node.is_in_touch)
    assert let_in == [False, False]
    assert services.bans.left("10.0.0.1") > 500
