"""The ledger: what is spent at one node is owed at all."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from protocol.codec import encode, parse
from server import limits as server_limits
from server.budget import Budget
from server.cluster import calls, limits
from server.cluster.ledger import Ledger, budgets
from server.rate_limits import FairRateLimiter, MemberRateLimiter, RateLimiter
from server.services import Services
from server.throttle import GUESSES, TokenBuckets
from settings.backend import BackendSettings
from tests.conftest import server_settings
from tests.engines import backend_settings
from tests.table_kit import StartNode, TableNode, nodes
from tests.test_rate_limits import Clock
from tests.wire import LONG
from tools.engine_process import EngineProcess

GROUP, ANN = "192.0.2.1", b"a" * 32
FREE = int(server_limits.GUESS_BURST)


about = partial(pytest.approx, abs=0.2)  # some of it is back when it is charged


class Spender:
    """A node's budgets, by a clock of its own that stands still, and its ledger."""

    def __init__(self, node: TableNode) -> None:
        self.node, self.clock = node, Clock()
        self.guesses = TokenBuckets(GUESSES, self.clock)
        self.windows = RateLimiter(3, 60.0, self.clock)
        self.shares = FairRateLimiter(3, 60.0, self.clock)
        self.posts = MemberRateLimiter(3, 60.0)
        self.budgets: dict[str, Budget] = {
            "guesses": self.guesses,
            "windows": self.windows,
            "shares": self.shares,
            "posts": self.posts,
        }
        self.ledger = Ledger(self.budgets, node.writer, lambda: node.incarnation, node.tables.clock)
        for name, budget in self.budgets.items():
            budget.on_spent = partial(self.ledger._on_spent, name)
        self._after = "-"

    def tell(self) -> None:
        """What the thread does a tenth of a second later; and the engine has it."""
        self.ledger._tell()
        self.node.settle()

    def hear(self) -> None:
        """What the reader's thread does."""
        entries = self.node.spent(self._after)
        if entries:
            self._after = "(" + entries[-1][0].decode()
            self.ledger.apply(entries)


@pytest.fixture
def start_node(engine: EngineProcess, backend: BackendSettings) -> Iterator[StartNode]:
    """Starts nodes of one cluster."""
    with nodes(engine, backend) as start:
        yield start


@pytest.fixture
def two(start_node: StartNode) -> tuple[Spender, Spender]:
    """Two nodes, each of which tells and hears when a test says so."""
    return Spender(start_node()), Spender(start_node())


def guessed(spenders: tuple[Spender, ...], times: int, told: bool) -> float:
    """The seconds that it takes to guess so often, at each node in turn."""
    waited = 0.0
    for number in range(times):
        spender = spenders[number % len(spenders)]
        while wait := spender.guesses.take(GROUP):
            waited += wait
            for each in spenders:
                each.clock.now += wait
        if told:
            spender.tell()
            for each in spenders:
                each.hear()
    return waited


def test_guesses_at_two_nodes_cost_what_they_cost_at_one(
    start_node: StartNode, two: tuple[Spender, Spender]
) -> None:
    alone = guessed((Spender(start_node()),), 20, told=False)
    assert alone == pytest.approx((20 - FREE) / server_limits.GUESSES_A_SECOND)
    assert guessed(two, 20, told=True) == pytest.approx(alone, abs=0.1)


def test_what_is_had_before_it_is_told_is_owed(two: tuple[Spender, Spender]) -> None:
    """One burst at each node, and then as long a wait as if it had been one."""
    assert guessed(two, 2 * FREE, told=False) == 0.0
    for spender in two:
        spender.tell()
    for spender in two:
        spender.hear()
        wait = (FREE + 1) / server_limits.GUESSES_A_SECOND
        assert spender.guesses.take(GROUP) == about(wait)
        assert not spender.guesses.take("192.0.2.2")


def test_each_kind_of_budget_is_charged_elsewhere(two: tuple[Spender, Spender]) -> None:
    """Keys are texts, bytes or several; nobody charges its own twice."""
    one, other = two
    for _each in range(2):
        one.windows.take(ANN)
        one.windows.take("token")
        one.shares.take(GROUP, "who")
        one.posts.count(ANN, GROUP)
    one.tell()
    for spender in two:
        spender.hear()
        assert not spender.windows.take(ANN) and spender.windows.take(ANN)
        assert not spender.windows.take("token") and spender.windows.take("token")
        assert spender.shares._addresses[GROUP].used == {"who": 2}
        assert len(spender.posts.own._stamps[ANN]) == 2
        assert spender.posts.shares._addresses[GROUP].used == {ANN: 2}


def test_what_is_given_back_is_given_back_everywhere(two: tuple[Spender, Spender]) -> None:
    """A right proof at once, of which nobody hears; or later."""
    one, other = two
    one.guesses.take(GROUP)
    one.guesses.give_back(GROUP)
    one.tell()
    assert one.node.spent() == []
    one.guesses.take(GROUP)
    one.tell()
    other.hear()
    assert other.guesses.spare(GROUP) == about(FREE - 1)
    one.guesses.give_back(GROUP)
    one.tell()
    other.hear()
    assert GROUP not in other.guesses._buckets  # full again


def test_a_node_that_comes_later_knows(
    start_node: StartNode, two: tuple[Spender, Spender], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was spent a while ago, and how long ago that was."""
    one, _other = two
    for _each in range(3):
        one.windows.take(ANN)
    one.tell()
    late = Spender(start_node())
    offset = late.node.tables.clock.offset
    monkeypatch.setattr(late.node.tables.clock, "_offset", offset + 40.0)
    assert 39.0 < late.node.tables.clock() - late.ledger.since() / 1000 - limits.LEDGER_WINDOW + 40
    late.ledger.apply(late.node.spent(str(late.ledger.since())))
    assert late.windows.take(ANN) == pytest.approx(20.0, abs=1.0)


def test_what_was_told_again_is_charged_once(two: tuple[Spender, Spender]) -> None:
    """Its answer was lost, so it came twice."""
    one, other = two
    one.guesses.take(GROUP)
    one.tell()
    [[_id, [*_fields, data]]] = one.node.spent()
    one.node.writer.call(calls.spend(one.node.incarnation, data, 60_000))
    other.hear()
    assert other.guesses.spare(GROUP) == about(FREE - 1)
    one.guesses.take(GROUP)
    one.tell()
    other.hear()
    assert other.guesses.spare(GROUP) == about(FREE - 2)


def test_nonsense_costs_nobody_anything(two: tuple[Spender, Spender]) -> None:
    """What no ledger of ours has written, and what is of a later version."""
    one, other = two
    one.guesses.take(GROUP)
    one.tell()
    [[entry_id, [*_fields, data]]] = one.node.spent()
    good = parse(data)
    wrong: list[bytes] = [b"", b"{", b"[]", b"{}", encode({**good, "number": "1"})]
    unreadable: list[object] = [
        "x", [1], [[]], [["x", 1]], [[".a", "1"]], [[".a", True]], [[".a", ".b", 1]], [["=!", 1]],
        [[".a:b", 1]], [[None, 1]], [[1]],
    ]  # fmt: skip
    for rows in unreadable:
        wrong.append(encode({**good, "by": "x", "spent": {"guesses": rows, "shares": rows}}))
    wrong.append(encode({**good, "by": "y", "spent": {"later": [[".a", 1]]}}))
    other.ledger.apply([[entry_id, [b"n", b"x", b"d", each]] for each in wrong])
    other.ledger.apply([[b"x", [b"d", data]], [entry_id, []], [entry_id, [b"d"]]])
    assert not other.guesses._buckets
    other.ledger.apply(one.node.spent())
    assert other.guesses.spare(GROUP) == about(FREE - 1)


def test_a_telling_is_bounded(
    two: tuple[Spender, Spender], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more, one node alone knows."""
    monkeypatch.setattr(limits, "LEDGER_KEYS", 3)
    one, other = two
    for number in range(5):
        one.guesses.take(f"192.0.2.{number}")
        one.guesses.take("192.0.2.0")
    one.tell()
    other.hear()
    assert other.guesses.spare("192.0.2.0") == about(FREE - 6)
    assert len(other.guesses._buckets) == 3 + 1  # that of all


def test_what_cannot_be_told_now_is_told_later(
    own_engine: EngineProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ENGINE_CALLS", 0)
    with nodes(own_engine, backend_settings(own_engine)) as start:
        monkeypatch.setattr(limits, "ENGINE_CALLS", 64)
        spender = Spender(start())
        monkeypatch.setattr(limits, "ENGINE_CALLS", 0)
        spender.guesses.take(GROUP)
        spender.ledger._tell()
        monkeypatch.setattr(limits, "ENGINE_CALLS", 64)
        spender.tell()
        [[_id, [*_fields, data]]] = spender.node.spent()
        assert parse(data)["spent"] == {"guesses": [["." + GROUP, 1]]}


def test_the_thread_tells_soon(two: tuple[Spender, Spender]) -> None:
    """And once more when it is stopped."""
    one, other = two
    one.ledger.start()
    one.guesses.take(GROUP)
    client = other.node._client
    assert client is not None
    key = f"{other.node.incarnation.under}ledger"
    assert client.ask("XREAD", "BLOCK", int(LONG * 1000), "STREAMS", key, "0-0")
    one.guesses.take(GROUP)
    one.ledger.stop()
    one.node.settle()
    other.hear()
    assert other.guesses.spare(GROUP) == about(FREE - 2)


def test_a_servers_budgets_have_names() -> None:
    """All that count anything."""
    services = Services(server_settings())
    named = budgets(services)
    assert len({id(each) for each in named.values()}) == len(named) == 9
