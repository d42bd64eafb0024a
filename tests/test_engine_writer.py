"""The writer: order, group commits, what is lost and what comes again, on both engines."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from protocol.errors import Unavailable
from server.cluster import limits
from server.cluster.engine import Connector, EngineError
from server.cluster.script import Script, ScriptCall
from server.cluster.writer import Outcome, Writer
from settings.backend import BackendSettings
from tests.engine_proxy import EngineProxy
from tests.engines import backend_settings
from tools.engine_process import EngineProcess

PUSH = Script("push", "#!lua\nreturn redis.call('RPUSH', KEYS[1], ARGV[1])")
# As scripts of sessions are: what has run is not done again, and answers the same.
ONCE = Script(
    "once",
    """#!lua
    if redis.call('HSETNX', KEYS[1] .. ':refs', ARGV[1], 1) == 1 then
        redis.call('RPUSH', KEYS[1], ARGV[1])
    end
    return ARGV[1]""",
)
FENCED = Script("fenced", "#!lua\nreturn {ARGV[1]}")

Start = Callable[..., Writer]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts writers with the scripts above; they are stopped afterwards."""
    made: list[Writer] = []

    def begin(settings: BackendSettings, **options: object) -> Writer:
        writer = Writer(Connector(settings), [PUSH, ONCE, FENCED], **options)  # type: ignore[arg-type]
        writer.start()
        made.append(writer)
        return writer

    yield begin
    for writer in made:
        writer.stop()


class Outcomes:
    """What calls have come to, in the order in which they were finished."""

    def __init__(self, wanted: int) -> None:
        self.all: list[Outcome] = []
        self._wanted, self._done = wanted, threading.Event()

    def add(self, outcome: Outcome) -> None:
        self.all.append(outcome)
        if len(self.all) == self._wanted:
            self._done.set()

    def wait(self, seconds: float = 20.0) -> list[Outcome]:
        assert self._done.wait(seconds), self.all
        return self.all


def push(settings: BackendSettings, number: int) -> ScriptCall:
    return ScriptCall(PUSH, [settings.prefix + "list"], [number])


def once(settings: BackendSettings, number: int) -> ScriptCall:
    return ScriptCall(ONCE, [settings.prefix + "list"], [number])


def pushed(engine: EngineProcess, settings: BackendSettings) -> list[int]:
    return [int(each) for each in engine.ask("LRANGE", settings.prefix + "list", 0, -1)]


def test_calls_run_in_the_order_in_which_they_came(
    engine: EngineProcess, backend: BackendSettings, start: Start
) -> None:
    writer, outcomes = start(backend), Outcomes(500)
    for number in range(500):
        writer.submit(push(backend, number), outcomes.add)
    assert outcomes.wait() == list(range(1, 501))
    assert pushed(engine, backend) == list(range(500))


def test_scripts_that_were_forgotten_are_loaded_again_in_order(
    own_engine: EngineProcess, start: Start
) -> None:
    settings = backend_settings(own_engine)
    writer, outcomes = start(settings), Outcomes(300)
    assert writer.call(push(settings, 0)) == 1
    for number in range(1, 301):
        if number % 100 == 50:
            own_engine.ask("SCRIPT", "FLUSH")
        writer.submit(push(settings, number), outcomes.add)
    assert outcomes.wait() == list(range(2, 302))
    assert pushed(own_engine, settings) == list(range(301))


def test_what_was_never_sent_is_unavailable_in_time(
    own_engine: EngineProcess, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ENGINE_SECONDS", 0.3)
    settings = backend_settings(own_engine)
    own_engine.kill()
    writer = start(settings)
    begun = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        writer.call(push(settings, 1))
    assert 0.25 < time.monotonic() - begun < 1.0
    assert caught.value.params == {"retry_after": limits.ENGINE_RETRY_SECONDS}
    own_engine.start()
    monkeypatch.setattr(limits, "ENGINE_SECONDS", 20.0)
    assert writer.call(push(settings, 2)) == 1


def test_the_node_hears_that_it_is_fenced(backend: BackendSettings, start: Start) -> None:
    words: list[str] = []
    writer = start(backend, on_fenced=words.append)
    assert writer.call(ScriptCall(FENCED, (), ["FENCED_NODE"])) == [b"FENCED_NODE"]
    assert writer.call(ScriptCall(FENCED, (), ["OK"])) == [b"OK"]
    assert words == ["FENCED_NODE"]


def test_an_error_of_a_script_is_its_callers(backend: BackendSettings, start: Start) -> None:
    writer = start(backend)
    assert writer.call(ScriptCall(FENCED, (), ["OK"])) == [b"OK"]
    with pytest.raises(EngineError, match="^ERR$"):
        writer.call(ScriptCall(PUSH, (), ()))


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_reply_that_is_lost_is_asked_for_again(
    engine: EngineProcess, backend: BackendSettings, start: Start, nth: int
) -> None:
    """Whichever of a batch it was; each ran once, and in order."""
    with EngineProxy(engine.port) as proxy:
        settings = replace(backend, address=replace(backend.address, port=proxy.port))
        writer, outcomes = start(settings), Outcomes(40)
        assert writer.call(once(settings, 0)) == b"0"
        proxy.hold()
        for number in range(1, 41):
            writer.submit(once(settings, number), outcomes.add)
        proxy.lose_reply(nth)
        proxy.lose_reply(nth + 10)
        proxy.let_go()
        assert outcomes.wait() == [b"%d" % number for number in range(1, 41)]
        assert proxy.lost.is_set()
    assert pushed(engine, backend) == list(range(41))
