"""The replicated tables: nodes that decide at once, and none knows yet what another has done."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from protocol import link, pake
from protocol.errors import (
    NickReserved,
    OutcomeUnknown,
    ServerFull,
    TokenBound,
    TooManyTokens,
    Unavailable,
)
from protocol.keys import to_text
from server import limits as server_limits
from server.auth import Inviter, Token
from server.cluster import calls, limits
from server.cluster.replica import Replica
from settings.backend import BackendSettings
from tests.engine_proxy import EngineProxy
from tests.engines import backend_address, backend_settings
from tests.script_kit import Guest, MakeNode
from tests.script_kit import make_node_fixture as make_node_fixture
from tests.table_kit import Hearing, StartNode, TableNode, at_once, nodes
from tests.test_rate_limits import Clock
from tools.engine_process import EngineProcess

SID = bytes(range(32))
ANN, BOB = b"a" * 32, b"b" * 32
INVITER = Inviter("ann", ANN, "192.0.2.1")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for what a test does not have a node hear."""
    monkeypatch.setattr(limits, "TABLE_SECONDS", 0.01)


@pytest.fixture
def start_node(engine: EngineProcess, backend: BackendSettings) -> Iterator[StartNode]:
    """Starts nodes of one cluster."""
    with nodes(engine, backend) as start:
        yield start


@pytest.fixture
def two(start_node: StartNode) -> tuple[TableNode, TableNode]:
    """Two nodes, of which none hears the other unless a test has it do so."""
    return start_node(), start_node()


def minted(node: TableNode, nick: str = "alice", ttl: float = 60, binds: bool = False) -> str:
    """The id of a new token."""
    return node.tokens.mint(nick, ttl, binds).partition(".")[0]


def found(node: TableNode, token_id: str) -> Token | None:
    """As a handshake finds it."""
    node.tokens.refresh()
    return node.tokens.find(SID, link.token_name(SID, token_id))


def used(node: TableNode, ticket: bytes) -> bytes | None:
    """Whose ticket it is, as ``hello`` would show it."""
    return node.tickets.take(SID, link.ticket_name(SID, ticket))


# What one has changed is known to the other


def test_a_token_opens_everywhere_at_once(two: tuple[TableNode, TableNode]) -> None:
    """Whoever was told of it finds it at any node, though that has heard nothing yet."""
    one, other = two
    token = found(other, minted(one))
    assert token is not None and token == found(one, token.id)
    assert [each for each, _left in other.tokens.remaining()] == [token]
    with pytest.raises(NickReserved):
        other.tokens.check("A1ice")
    assert other.tokens.revoke(token.id) == token.id
    assert found(one, token.id) is None


def test_changes_are_heard_of(two: tuple[TableNode, TableNode]) -> None:
    """Without the table being read again; and the expiry thread hears when a token ends."""
    one, other = two
    token_id = minted(one, ttl=1000)
    one.tokens.claim(token_id, ANN)
    one.tickets.issue(ANN, "a")
    one.bans.add("192.0.2.7", 60)
    one.tables.look()
    other.writer.stop()  # it can ask nothing any more
    assert other.hear() == 3
    assert [each.id for each in other.tokens.live()] == [token_id]
    assert other.scheduled == [pytest.approx(1000, abs=5)]
    assert list(other.tickets._tickets) == [ANN]
    assert [who for who, _until in other.bans.all()] == ["192.0.2.7"]
    assert one.hear() == 0, "it knows by the answers"
    assert one.tokens.live() == other.tokens.live()


def test_what_was_not_heard_of_is_read(two: tuple[TableNode, TableNode]) -> None:
    """A gap shows, and so does what no script tells."""
    one, other = two
    first, second = minted(one), minted(one)
    other.tables.note(f"tokens\n2\n{second}\n" + one.tokens.table.value(second))
    other.settle()
    assert {each.id for each in other.tokens.live()} == {first, second}
    third = minted(one)
    other.tables.note("nonsense")
    other.settle()
    assert {each.id for each in other.tokens.live()} == {first, second, third}


def test_nonsense_in_a_table_is_nothing(
    two: tuple[TableNode, TableNode], engine: EngineProcess
) -> None:
    """Whatever somebody has written there."""
    one, other = two
    good = minted(one)
    for table in ("tokens", "bans", "tickets"):
        key = f"{one.incarnation.under}t:{table}"
        for value in ("", "x", "{}", "[]", "null", '{"nick":1}', "1 2 3", "\n"):
            engine.ask("HSET", key, f"field {value}", value)
            engine.ask("HSET", key, "ab", value)
    other.tables.load()
    assert [each.id for each in other.tokens.live()] == [good]
    assert not other.tickets._tickets and other.bans.left("x", b"x") == 0.0


# Each decision is made once


def test_one_of_all_who_come_at_once_has_a_token(two: tuple[TableNode, TableNode]) -> None:
    """It is bound to the first, whichever node the others come to."""
    token_id = minted(two[0], binds=True)
    signs = [bytes([number]) * 32 for number in range(8)]
    with Hearing(*two):
        results = at_once(
            *(partial(node.tokens.claim, token_id, sign) for node in two for sign in signs)
        )
    assert results.count(True) == 1
    assert sum(isinstance(each, TokenBound) for each in results) + results.count(False) == 15
    one, other = (found(node, token_id) for node in two)
    assert one == other and one is not None and one.holder in signs
    assert one.is_settled == (False in results)


def test_a_token_is_released_only_by_the_first(two: tuple[TableNode, TableNode]) -> None:
    """Who has come more than once keeps it, wherever that was."""
    one, other = two
    token_id = minted(one, binds=True)
    assert one.tokens.claim(token_id, ANN)
    with pytest.raises(TokenBound):
        other.tokens.claim(found(other, token_id).id, BOB)  # type: ignore[union-attr]
    one.tokens.release(token_id)
    assert other.tokens.claim(token_id, BOB)
    assert not one.tokens.claim(token_id, BOB)
    other.tokens.release(token_id)
    with pytest.raises(TokenBound):
        one.tokens.claim(token_id, ANN)


def test_a_revoked_token_ends_everywhere(two: tuple[TableNode, TableNode]) -> None:
    """Each node hears of it, for a session that has come in meanwhile."""
    one, other = two
    whole = one.tokens.mint("alice", 60)
    token_id = whole.partition(".")[0]
    assert found(other, token_id)
    assert other.tokens.revoke(token_id + ".wrong") is None
    assert other.tokens.revoke(whole) == token_id
    assert one.tokens.take_ended() == []
    one.hear()
    assert one.tokens.take_ended() == [(token_id, "revoked")] and one.scheduled[-1] == 0.0
    assert one.tokens.why_ended(token_id) == "revoked"
    assert one.tokens.revoke(token_id) is None
    with Hearing(*two):
        again = minted(one)
        results = at_once(*(partial(node.tokens.revoke, again) for node in two), times=4)
    assert again in results and set(results) <= {again, None}


def test_invitations_are_bounded_across_nodes(two: tuple[TableNode, TableNode]) -> None:
    """However many are asked for at once."""
    with Hearing(*two):
        results = at_once(*(partial(node.tokens.invite, INVITER) for node in two), times=8)
    refused = [each for each in results if isinstance(each, TooManyTokens)]
    assert len(results) - len(refused) == server_limits.INVITES_OF_ONE
    two[1].tables.look()
    assert len(two[1].tokens.live()) == server_limits.INVITES_OF_ONE
    token_id = two[1].tokens.live()[0].id
    assert two[1].tokens.take_back(token_id) and not two[0].tokens.take_back(token_id)


def test_tokens_are_bounded_across_nodes(two: tuple[TableNode, TableNode]) -> None:
    for node in two:
        node.tokens._most = 5
    with Hearing(*two):
        results = at_once(*(partial(node.tokens.mint, "x", 60) for node in two), times=6)
    assert sum(isinstance(each, ServerFull) for each in results) == 7
    assert sum(isinstance(each, str) for each in results) == 5


def test_a_ticket_is_used_once(two: tuple[TableNode, TableNode]) -> None:
    """Eight on two nodes come with it at once."""
    one, other = two
    with Hearing(*two):
        for number in range(5):
            ticket = one.tickets.issue(ANN, "a")
            one.tables.look()
            other.tables.look()
            results = at_once(*(partial(used, node, ticket) for node in two), times=4)
            assert sorted(results, key=bool) == [None] * 7 + [ANN], number
    for node in two:
        node.tables.look()
        assert not node.tickets._tickets and not node.tickets._of_group


def test_the_newest_ticket_counts_everywhere(two: tuple[TableNode, TableNode]) -> None:
    one, other = two
    old = one.tickets.issue(ANN, "a")
    one.tables.look()
    other.tables.look()
    new = other.tickets.issue(ANN, "b")
    other.tables.look()
    assert used(one, old) is None  # though it knows of no other
    one.hear()
    assert used(one, old) is None and used(one, new) == ANN


def test_an_older_note_undoes_nothing(two: tuple[TableNode, TableNode]) -> None:
    """Who has changed something knows of it before it hears what was there before."""
    one, other = two
    one.tickets.issue(ANN, "a")
    one.settle()
    new = other.tickets.issue(ANN, "b")
    other.settle()
    assert other.hear() == 1
    assert used(other, new) == ANN


def test_what_others_change_waits_for_an_answer_before_it(
    two: tuple[TableNode, TableNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing tells a node of its own change but its answer, and nothing is read for that."""
    one, other = two
    read: list[object] = []
    monkeypatch.setattr(one.tickets.table, "missed", lambda: read.append(1))
    with one.tickets.table.changing() as made:
        value, written = one.tickets.make(ANN, "a")
        call = calls.table(one.incarnation, "tickets", ANN.hex(), written)
        number = one.writer.call(call)[1]
        theirs = other.tickets.issue(BOB, "b")
        other.settle()
        assert one.hear() == 1 and one.tickets.table.version == 0
        made(number, ANN.hex(), written)
    assert one.tickets.table.version == 2 and not read
    assert used(one, value) == ANN and used(one, theirs) == BOB
    with contextlib.suppress(Unavailable), one.tickets.table.changing():
        raise Unavailable()
    assert read, "it may have been made"


def test_a_ticket_ends_with_its_session(
    two: tuple[TableNode, TableNode], make_node: MakeNode
) -> None:
    """At all nodes, whichever ends it."""
    guest = Guest(make_node(), 1)
    two[0].tickets.issue(bytes.fromhex(guest.fp), "g")
    for node in two:
        node.tables.look()
        assert len(node.tickets._tickets) == 1
    assert guest.end() == "OK"
    for node in two:
        node.hear()
        assert not node.tickets._tickets


def test_tickets_are_bounded(
    two: tuple[TableNode, TableNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more, the oldest goes, of the address or of all."""
    monkeypatch.setattr(limits, "TICKETS_OF_ADDRESS", 2)
    monkeypatch.setattr(limits, "TICKETS", 4)
    _one, other = two
    given = []
    for number, group in enumerate("aaabbc"):
        issuer = two[number % 2]
        given.append(issuer.tickets.issue(b"%d" % number, group))
        issuer.settle()
        for node in two:
            node.hear()
    for node in two:
        assert list(node.tickets._tickets) == [b"2", b"3", b"4", b"5"]
        node.tables.load()
        assert set(node.tickets._tickets) == {b"2", b"3", b"4", b"5"}
    assert [used(other, ticket) for ticket in given] == [None, None, b"2", b"3", b"4", b"5"]


# Whom the operator keeps out


def test_who_is_kept_out_is_kept_out_everywhere(two: tuple[TableNode, TableNode]) -> None:
    one, other = two
    one.bans.add(ANN, 60)
    one.bans.add("192.0.2.7", 120)
    assert other.bans.left(ANN, "192.0.2.7") == 0.0, "it has not heard of it"
    assert other.hear() == 2
    assert other.bans.left(ANN, "192.0.2.9") == pytest.approx(60, abs=1)
    assert other.bans.left(BOB, "192.0.2.7") == pytest.approx(120, abs=1)
    assert other.bans.left(BOB, "192.0.2.9") == 0.0


def test_bans_are_bounded(
    two: tuple[TableNode, TableNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is over goes, and then what ends first."""
    monkeypatch.setattr(server_limits, "BANS", 2)
    one, other = two
    for who, seconds in (("a", 0.0), ("b", 600), ("c", 60), ("d", 300)):
        one.bans.add(who, seconds)
        one.tables.look()
    other.tables.look()
    assert {who for who, _until in other.bans.all()} == {"b", "d"}


# Time


def test_all_go_by_the_engines_clock(start_node: StartNode) -> None:
    """Whatever a node's own says; who is first to see that a token has ended ends it for all."""
    clock = Clock()
    one, other = start_node(), start_node(clock=clock)
    token_id = minted(one, ttl=600)
    [(_token, left)] = other.tokens.remaining()
    assert left == 600
    assert other.tokens.take_ended() == []
    clock.now += 600
    assert found(one, token_id)
    other.tables.clock.look(clock.now, round(one.tables.clock() * 1000))  # it was asleep
    assert other.tokens.live()
    clock.now += 600
    assert other.tokens.why_ended(token_id) == "expired"
    assert other.tokens.take_ended() == [(token_id, "expired")]
    other.tables.clock.forget()
    other.tables.look()
    one.hear()
    assert one.tokens.live() == [] and other.tokens.live() == []
    assert [each for each, _reason in one.tokens.take_ended()] == [token_id]


# The engine fails


def test_an_answer_that_was_lost(engine: EngineProcess, backend: BackendSettings) -> None:
    """What was done is not done twice, and is not said to have failed."""
    with EngineProxy(engine.port) as proxy:
        through = backend_settings(engine, prefix=backend.prefix)
        through = BackendSettings(
            **{**vars(through), "address": backend_address(engine, port=proxy.port)}
        )
        with nodes(engine, through) as start:
            node = start()
            proxy.lose_reply(1, of=b'"mint-me"')
            token_id = minted(node, "mint-me", binds=True)
            assert proxy.lost.is_set() and len(node.tokens.remaining()) == 1
            proxy.lose_reply(1, of=b'"holder":"')
            assert not node.tokens.claim(token_id, ANN)
            assert proxy.lost.is_set() and found(node, token_id).holder == ANN  # type: ignore
            proxy.lose_reply(1, of=b"$1\r\n=")
            assert node.tokens.revoke(token_id) == token_id
            assert node.tokens.remaining() == []


def test_without_an_engine_nothing_is_promised(
    own_engine: EngineProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be decided is refused, and nobody is said to be unknown."""
    with nodes(own_engine, backend_settings(own_engine)) as start:
        node = start()
        token_id, ticket = minted(node, binds=True), node.tickets.issue(ANN, "a")
        node.tables.look()
        own_engine.kill()
        monkeypatch.setattr(limits, "ENGINE_SECONDS", 0.05)
        monkeypatch.setattr(limits, "ENGINE_UNKNOWN_SECONDS", 0.05)
        jobs: list[Callable[[], object]] = [
            partial(node.tokens.mint, "bob", 60),
            partial(found, node, token_id),
            partial(node.tokens.claim, token_id, ANN),
            node.bans.table.refresh,
            node.tokens.remaining,
        ]
        results = at_once(*jobs)
        assert all(isinstance(each, Unavailable | OutcomeUnknown) for each in results), results
        node.tokens.release(token_id)
        assert used(node, ticket) is None
        node.tickets.issue(BOB, "b")


def test_what_an_empty_engine_forgot_is_put_back(own_engine: EngineProcess) -> None:
    """By the first who has it, once: what is revoked then stays so.  Tickets ended."""
    with nodes(own_engine, backend_settings(own_engine)) as start:
        one, other = start(), start()
        kept, revoked = minted(one, ttl=600), minted(one, ttl=600)
        one.bans.add(ANN, 600)
        ticket = one.tickets.issue(ANN, "a")
        one.tables.look()
        other.tables.look()
        own_engine.kill()
        own_engine.start()
        fresh = start()
        assert fresh.tokens.remaining() == []
        one.register()
        assert found(one, revoked) == found(fresh, revoked) is not None
        one.tokens.revoke(revoked)
        other.register()
        for node in (one, other, fresh):
            [(token, left)] = node.tokens.remaining()
            assert token.id == kept and left > 590
            node.bans.table.refresh()
            assert node.bans.left(ANN) > 590 and used(node, ticket) is None
        assert found(other, minted(one))


def test_who_was_to_put_it_back_may_have_gone(
    own_engine: EngineProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one does, after a while."""
    monkeypatch.setattr(limits, "RESTORE_SECONDS", 0.05)
    with nodes(own_engine, backend_settings(own_engine)) as start:
        node = start()
        token_id = minted(node)
        own_engine.kill()
        own_engine.start()
        assert start().tables._state.change("restored", "by somebody", expect="")
        node.register()
        assert found(node, token_id)


def test_what_was_not_put_back_at_once_is_later(
    own_engine: EngineProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine is away once more, just then; nor does anybody's look at a table lose it."""
    with nodes(own_engine, backend_settings(own_engine)) as start:
        node = start()
        token_id = minted(node)
        node.bans.add("10.0.0.1", 600)
        own_engine.kill()
        own_engine.start()
        with monkeypatch.context() as away:
            away.setattr(Replica, "load", refuse)
            with pytest.raises(Unavailable):
                node.register()
        for ask in (node.tokens.refresh, node.bans.table.refresh):
            with pytest.raises(Unavailable):
                ask()
        node.register()
        assert found(node, token_id)
        assert node.bans.left("10.0.0.1") > 500


def refuse(*_args: object) -> None:
    """As a call of an engine that is away."""
    raise Unavailable()


def test_nothing_of_a_secret_is_in_the_engine(
    own_engine: EngineProcess, two: tuple[TableNode, TableNode]
) -> None:
    """Nor the hash that a server keeps of it, which is all that one needs to come in with it."""
    with nodes(own_engine, backend_settings(own_engine)) as start:
        node, other = start(), start()
        _id, _dot, secret = node.tokens.mint("alice", 60).partition(".")
        _token_id, raw = node.tokens.invite(INVITER)
        under = node.incarnation.under
        told = own_engine.ask("XRANGE", f"{under}wake:{other.incarnation.node}", "-", "+")
        stored = b"\n".join(own_engine.ask("HGETALL", f"{under}t:tokens")) + repr(told).encode()
        assert len(re.findall(rb"prs", stored)) >= 4
        proofs = [to_text(pake.token_prs(of.encode())).encode() for of in (secret, to_text(raw))]
        for each in (secret.encode(), raw, raw.hex().encode(), *proofs):
            assert each not in stored
        assert proofs[0] == to_text(node.tokens.live()[0].prs).encode()


def test_a_proof_is_good_for_its_own_token_only(
    own_engine: EngineProcess, two: tuple[TableNode, TableNode]
) -> None:
    """Whoever can write into the engine, and has a token, does not become somebody else."""
    with nodes(own_engine, backend_settings(own_engine)) as start:
        node = start()
        alice, _dot, _secret = node.tokens.mint("alice", 60).partition(".")
        bob, _dot, _secret = node.tokens.mint("bob", 60).partition(".")
        table = f"{node.incarnation.under}t:tokens"
        written = {each: json.loads(own_engine.ask("HGET", table, each)) for each in (alice, bob)}
        for forged in (written[bob]["prs"], to_text(bytes(32)), "", 7):
            own_engine.ask("HSET", table, alice, json.dumps({**written[alice], "prs": forged}))
            other = start()
            assert [token.nick for token in other.tokens.live()] == ["bob"]
