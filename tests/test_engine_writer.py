"""The writer: order, group commits, what is lost and what comes again, on both engines."""

from __future__ import annotations

import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from protocol.errors import ChatError, OutcomeUnknown, ServerFull, Unavailable
from server.cluster import limits
from server.cluster.engine import Connector, Engine
from server.cluster.resp import EngineError, Reply
from server.cluster.script import Script, ScriptCall
from server.cluster.writer import Outcome, Writer
from settings.backend import BackendAddress, BackendSettings
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
SECRET = "battery-staple"

Start = Callable[..., Writer]
StartEngine = Callable[..., EngineProcess]


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


def test_what_was_sent_and_has_no_answer_is_not_called_undone(
    own_engine: EngineProcess, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may still be done; what waits behind it was never sent, and is handed back earlier."""
    monkeypatch.setattr(limits, "ENGINE_REPLY_SECONDS", 0.1)
    monkeypatch.setattr(limits, "ENGINE_CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(limits, "ENGINE_SECONDS", 0.4)
    monkeypatch.setattr(limits, "ENGINE_UNKNOWN_SECONDS", 0.8)
    settings = backend_settings(own_engine)
    writer, outcomes = start(settings), Outcomes(2)
    assert writer.call(once(settings, 0)) == b"0"
    own_engine.signal(signal.SIGSTOP)
    begun = time.monotonic()
    writer.submit(once(settings, 1), outcomes.add)
    while not writer.trouble:
        time.sleep(0)
    writer.submit(once(settings, 2), outcomes.add)
    never, unknown = outcomes.wait()
    took = time.monotonic() - begun
    assert (type(never), type(unknown)) == (Unavailable, OutcomeUnknown)
    assert 0.75 < took < 1.5
    monkeypatch.setattr(limits, "ENGINE_SECONDS", 5.0)
    own_engine.signal(signal.SIGCONT)
    assert writer.call(once(settings, 3)) == b"3"
    assert pushed(own_engine, settings) in ([0, 1, 3], [0, 3])


def test_an_engine_that_stops_is_noticed_long_before_its_client_library_would(
    own_engine: EngineProcess, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """58 seconds with the library's defaults; a line waits for five, by the node's own clock."""
    assert limits.ENGINE_REPLY_SECONDS == 2.0 and limits.ENGINE_SECONDS == 5.0
    for name in ("ENGINE_REPLY_SECONDS", "ENGINE_CONNECT_SECONDS", "ENGINE_SECONDS"):
        monkeypatch.setattr(limits, name, getattr(limits, name) / 10)
    settings = backend_settings(own_engine)
    told: list[str] = []
    writer, outcomes = start(settings, on_trouble=told.append), Outcomes(2)
    assert writer.call(once(settings, 0)) == b"0"
    own_engine.signal(signal.SIGSTOP)
    writer.submit(once(settings, 1), outcomes.add)
    while not writer.trouble:
        time.sleep(0.01)
    begun = time.monotonic()
    with pytest.raises(Unavailable):
        writer.call(once(settings, 2))
    assert limits.ENGINE_SECONDS - 0.05 < time.monotonic() - begun < limits.ENGINE_SECONDS + 0.3
    monkeypatch.setattr(limits, "ENGINE_SECONDS", 5.0)
    own_engine.signal(signal.SIGCONT)
    writer.submit(once(settings, 3), outcomes.add)
    assert outcomes.wait() == [b"1", b"3"]
    assert pushed(own_engine, settings) == [0, 1, 3]
    assert told == ["lost", ""]


def test_an_engine_that_came_back_empty_is_looked_at_before_anything_is_sent(
    own_engine: EngineProcess, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, looks = backend_settings(own_engine), []

    def look(engine: Engine) -> bool:
        [found, length] = engine.run([("GET", "epoch"), ("LLEN", settings.prefix + "list")])
        looks.append((found, length))
        return len(looks) != 2  # what is not good enough is tried again

    writer = start(settings, on_connected=look)
    own_engine.ask("SET", "epoch", "one")
    assert [writer.call(push(settings, number)) for number in range(3)] == [1, 2, 3]
    own_engine.kill()
    own_engine.start()
    assert writer.call(push(settings, 3)) == 1  # the scripts are there again
    assert looks[1:] == [(None, 0), (None, 0)]


def test_a_full_queue_says_so_at_once(
    own_engine: EngineProcess, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = backend_settings(own_engine)
    writer, outcomes = start(settings), Outcomes(12)
    assert writer.call(push(settings, 0)) == 1
    own_engine.signal(signal.SIGSTOP)
    writer.submit(push(settings, 1), outcomes.add)
    while writer._queue:  # that one is under way
        time.sleep(0)
    monkeypatch.setattr(limits, "ENGINE_CALLS", 10)
    for number in range(2, 13):
        writer.submit(push(settings, number), outcomes.add)
    assert [type(outcome) for outcome in outcomes.all] == [Unavailable]
    monkeypatch.setattr(limits, "ENGINE_CALLS", 100)
    monkeypatch.setattr(limits, "ENGINE_BYTES", writer._bytes)
    with pytest.raises(Unavailable):
        writer.call(push(settings, 13))
    own_engine.signal(signal.SIGCONT)
    assert outcomes.wait()[1:] == list(range(2, 13))


def test_a_batch_has_a_bound(
    backend: BackendSettings, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, int]] = []
    whole = Engine.run_packed

    def run_packed(engine: Engine, commands: list[bytes], **options: bool) -> list[Reply]:
        if b"EVALSHA" in commands[0]:
            sizes.append((len(commands), sum(map(len, commands))))
        return whole(engine, commands, **options)

    monkeypatch.setattr(Engine, "run_packed", run_packed)
    writer, outcomes = start(backend), Outcomes(300)
    with BusyWriter(writer, outcomes):
        for size in [10] * 199 + [300_000] * 99 + [3_000_000]:
            writer.submit(ScriptCall(FENCED, (), ["x" * size]), outcomes.add)
    outcomes.wait()
    assert max(count for count, _size in sizes) == limits.ENGINE_BATCH
    large = [each for each in sizes if each[1] > limits.ENGINE_BATCH_BYTES]
    assert len(large) == 1 and large[0][0] == 1
    assert (3, 900_000) in [(count, size // 1000 * 1000) for count, size in sizes]


class BusyWriter:
    """While it lasts the writer is busy with an answer, and calls pile up."""

    def __init__(self, writer: Writer, outcomes: Outcomes) -> None:
        self._writer, self._outcomes = writer, outcomes
        self._busy, self._free = threading.Event(), threading.Event()

    def __enter__(self) -> None:
        self._writer.submit(ScriptCall(FENCED, (), ["first"]), self._wait)
        assert self._busy.wait(20)

    def __exit__(self, *_error: object) -> None:
        self._free.set()

    def _wait(self, outcome: Outcome) -> None:
        self._busy.set()
        self._free.wait(20)
        self._outcomes.add(outcome)


def test_a_batch_goes_out_in_one_write(
    engine: EngineProcess, backend: BackendSettings, start: Start
) -> None:
    def reads() -> int:
        info = engine.ask("INFO", "stats").decode()
        return int(info.partition("total_reads_processed:")[2].partition("\r")[0])

    writer, outcomes = start(backend), Outcomes(51)
    with BusyWriter(writer, outcomes):
        for number in range(50):
            writer.submit(push(backend, number), outcomes.add)
        before = reads()
    outcomes.wait()
    assert reads() - before <= 3  # the batch, and what asks here


def test_what_fails_in_an_answer_is_told_and_ends_nothing(
    backend: BackendSettings, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_type))

    def fail(_outcome: object) -> None:
        raise RuntimeError

    writer = start(backend, on_fenced=fail)
    writer.submit(push(backend, 1), fail)
    assert writer.call(ScriptCall(FENCED, (), ["FORGOTTEN"])) == [b"FORGOTTEN"]
    assert told == [RuntimeError, RuntimeError]


@pytest.mark.parametrize(
    "nonsense",
    [b"*1\r\n" * 50_000, b"$" + b"9" * 30 + b"\r\n", b":x\r\n"],
    ids=["deep", "long", "word"],
)
def test_what_no_engine_says_costs_the_connection_and_not_the_thread(
    nonsense: bytes, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its thread a node would go on for ever, and be no good."""
    monkeypatch.setattr(limits, "ENGINE_REPLY_SECONDS", 0.2)
    answers = [b"+OK\r\n" * 3, nonsense, b"+OK\r\n" * 3, b"+OK\r\n"]  # scripts, and the call

    def answer(port: socket.socket) -> None:
        while answers:
            peer, _address = port.accept()
            with peer:
                while answers and peer.recv(65536):
                    peer.sendall(said := answers.pop(0))
                    if said is nonsense:
                        break
                while not answers and peer.recv(65536):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as port:
        thread = threading.Thread(target=answer, args=(port,), daemon=True)
        thread.start()
        address = BackendAddress(host="127.0.0.1", port=port.getsockname()[1])
        writer = start(BackendSettings(address=address, prefix="x:"))
        assert writer.call(ScriptCall(ONCE, ["x:list"], [1])) == b"OK"
        writer.stop()
        thread.join(5.0)


def test_a_fault_of_ours_does_not_end_the_thread(
    backend: BackendSettings, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_type))
    taken = Writer._take
    faults = [RuntimeError()]

    def take(writer: Writer) -> object:
        if faults:
            raise faults.pop()
        return taken(writer)

    monkeypatch.setattr(Writer, "_take", take)
    assert start(backend).call(push(backend, 1)) == 1
    assert told == [RuntimeError]


def test_a_full_engine_is_a_full_server(start_engine: StartEngine, start: Start) -> None:
    engine = start_engine(["--maxmemory", "1"])
    settings = backend_settings(engine)
    writer = start(settings)
    with pytest.raises(ServerFull):
        writer.call(push(settings, 1))
    engine.ask("CONFIG", "SET", "maxmemory", "0")
    assert writer.call(push(settings, 1)) == 1


def test_a_replica_in_its_place_is_not_the_engine(start_engine: StartEngine, start: Start) -> None:
    """Nothing runs there, and nothing is lost, until it is none any more."""
    engine = start_engine()
    settings = backend_settings(engine)
    writer, outcomes = start(settings), Outcomes(3)
    assert writer.call(push(settings, 0)) == 1
    engine.ask("REPLICAOF", "127.0.0.1", 1)
    for number in range(1, 4):
        writer.submit(push(settings, number), outcomes.add)
    while writer.trouble != "lost":
        time.sleep(0)
    engine.ask("REPLICAOF", "NO", "ONE")
    assert outcomes.wait() == [2, 3, 4]


def test_a_password_that_is_no_longer_good_is_not_tried_again_and_again(
    start_engine: StartEngine, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ENGINE_SECONDS", 0.2)
    monkeypatch.setattr(limits, "ENGINE_UNKNOWN_SECONDS", 0.2)
    engine = start_engine(password=SECRET)
    settings = backend_settings(engine)
    writer = start(settings)
    assert writer.call(push(settings, 1)) == 1
    engine.ask("CONFIG", "SET", "requirepass", "other")
    engine.password = "other"
    engine.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    for number in range(2):
        with pytest.raises(ChatError):
            writer.call(push(settings, number))
    assert writer.trouble == "WRONGPASS"
    [entry] = engine.ask("ACL", "LOG")
    assert dict(zip(entry[::2], entry[1::2], strict=True))[b"count"] == 1


@pytest.mark.parametrize("stopped", [False, True])
def test_what_waits_at_the_end_still_goes_out_or_is_handed_back(
    own_engine: EngineProcess, stopped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ENGINE_STOP_SECONDS", 0.2)
    settings = backend_settings(own_engine)
    writer, outcomes = Writer(Connector(settings), [PUSH, FENCED]), Outcomes(101)
    writer.start()
    with BusyWriter(writer, outcomes):
        for number in range(100):
            writer.submit(push(settings, number), outcomes.add)
        if stopped:
            own_engine.signal(signal.SIGSTOP)
    begun = time.monotonic()
    writer.stop()
    assert time.monotonic() - begun < 1.0
    first, *others = outcomes.wait(0)
    assert first == [b"first"]
    if stopped:
        assert [type(each) for each in others] == [OutcomeUnknown] * 64 + [Unavailable] * 36
    else:
        assert others == list(range(1, 101))
    with pytest.raises(Unavailable):
        writer.call(push(settings, 101))


def test_nothing_that_can_be_shown_holds_what_was_asked(
    own_engine: EngineProcess, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong: the library's own errors hold commands, and parts of passwords."""
    monkeypatch.setattr(limits, "ENGINE_SECONDS", 0.2)
    monkeypatch.setattr(limits, "ENGINE_UNKNOWN_SECONDS", 0.2)
    monkeypatch.setattr(limits, "ENGINE_REPLY_SECONDS", 0.1)
    settings = backend_settings(own_engine)
    bad = Script("bad", "#!lua\nreturn redis.call('HSET', ARGV[1])")
    writer = Writer(Connector(settings), [PUSH, bad])
    writer.start()
    shown: list[str] = []

    def ask(call: ScriptCall) -> None:
        try:
            shown.append(repr(writer.call(call)))
        except Exception as error:
            assert error.__context__ is None and error.__cause__ is None
            shown.extend((repr(error), str(error), "".join(traceback.format_exception(error))))

    push_it = ScriptCall(PUSH, [f"{settings.prefix}{SECRET}"], [SECRET])
    shown.append(repr(push_it))
    ask(ScriptCall(bad, (), [SECRET]))
    own_engine.ask("SET", f"{settings.prefix}{SECRET}", SECRET)
    ask(push_it)  # WRONGTYPE
    own_engine.ask("CONFIG", "SET", "maxmemory", "1")
    ask(push_it)  # OOM
    own_engine.signal(signal.SIGSTOP)
    ask(push_it)  # OutcomeUnknown
    ask(push_it)  # Unavailable
    shown.append(repr(writer.__dict__))
    writer.stop()
    assert len(shown) > 10
    assert all(SECRET not in text for text in shown)
