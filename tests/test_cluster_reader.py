"""The reader on real engines: what happens anywhere comes to each member once and in order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from protocol.errors import Unavailable
from server.cluster import calls, keys, limits, replies
from server.cluster.engine import Engine
from server.cluster.reader import EngineReader
from server.rooms import Snapshot
from settings.backend import BackendSettings
from tests.engine_proxy import EngineProxy
from tests.engines import backend_address, backend_settings
from tests.mirror_kit import SOON, MakeSeat, Person, Seat, make_seat_fixture  # noqa: F401
from tests.test_server_connection import until
from tools.engine_process import EngineProcess


def seqs(entries: list[Any]) -> list[int]:
    """Their numbers."""
    return [entry["seq"] for entry in entries]


def test_two_nodes_are_one_room(make_seat: MakeSeat) -> None:
    """Whoever is where, all get the same, in one order, and their own as stubs."""
    here, there = make_seat(), make_seat()
    anna, ben = Person(here, 1), Person(there, 2)
    assert [line.nick for line in anna.enter("Tea").members] == ["nick-1"]
    told = ben.enter("tea")
    assert [line.nick for line in told.members] == ["nick-1", "nick-2"]
    assert (told.room, told.seq, told.log_id) == ("Tea", 2, b"\x01" * 16)
    carl = Person(there, 3)
    told = carl.enter("TEA")
    assert [line.nick for line in told.members] == ["nick-1", "nick-2", "nick-3"]
    for n in range(10):
        assert [anna, ben, carl][n % 3].post("tea", 3, n=n).seq == 4 + n
    for person in (anna, ben, carl):
        person.has_got(13)
    assert seqs(anna.entries()) == list(range(2, 14))
    assert seqs(ben.entries()) == list(range(3, 14))
    assert seqs(carl.entries()) == list(range(4, 14))
    kinds = [entry["type"] for entry in carl.entries()]
    assert kinds == (["posted", "posted", "own_posted"] * 4)[:10]
    assert [here.room("tea").count(), there.room("tea").count()] == [3, 3]
    ben.leave("tea")
    anna.has_got(14)
    assert here.room("tea").count() == 2
    assert here.rooms.listing() == there.rooms.listing()
    assert here.rooms.listing_and_total(5)[0] == here.rooms.count() == 1


def test_private_ones_come_to_one_alone_and_before_what_follows(make_seat: MakeSeat) -> None:
    """At this node and at the other one."""
    here, there = make_seat(), make_seat()
    anna, ben, carl = Person(here, 1), Person(here, 2), Person(there, 3)
    for person in (anna, ben, carl):
        person.enter("tea")
    for person in (ben, carl):
        to = person.members["tea"].id
        assert anna.whisper("tea", to, 3).word == "OK"
        seq = anna.post("tea", 3).seq
        person.has_got(seq)
        kinds = [each["type"] for each in person.got]
        assert kinds.index("private_for") < [
            i for i, each in enumerate(person.got)
            if each["type"] == "log" and each["to"] >= seq
        ][0]  # fmt: skip
    assert [each["number"] for each in carl.got if each["type"] == "private_for"] == [1]
    assert "private_for" not in [each["type"] for each in anna.got]


def test_a_private_line_is_not_overtaken_by_a_later_one_for_all(
    make_seat: MakeSeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both come after the node's stream was read, and before the log is."""
    here, there = make_seat(), make_seat()
    anna, ben, carl = Person(here, 1), Person(there, 2), Person(make_seat(), 3)
    anna.enter("tea")
    to = ben.enter("tea").member_id
    carl.enter("tea")
    read_logs = EngineReader._read_logs
    ready = threading.Event()
    said: list[int] = []

    def late(reader: EngineReader[Any], *args: Any) -> Any:
        if reader is there.reader and ready.is_set() and not said:
            carl.whisper("tea", to, 3)
            said.append(carl.post("tea", 3).seq)
        return read_logs(reader, *args)

    monkeypatch.setattr(EngineReader, "_read_logs", late)
    ready.set()
    anna.post("tea", 3)
    until(lambda: said)
    ben.has_got(said[0])
    kinds = [each["type"] for each in ben.got]
    reached = next(i for i, each in enumerate(ben.got) if each.get("to", 0) >= said[0])
    assert kinds.index("private_for") < reached


def check_wraps_come_first(person: Person) -> int:
    """That each post's key is there when it comes; how many posts there were."""
    epochs: set[int] = set()
    posts = 0
    for frame in person.got:
        if frame["type"] == "key_for":
            epochs.add(frame["wrap"]["epoch"])
        for entry in frame.get("entries", ()):
            if entry["type"] == "posted":
                assert entry["box"]["epoch"] in epochs, "the post came before its key"
                posts += 1
    return posts


@pytest.mark.parametrize("slow", [True, False])
def test_a_post_never_overtakes_its_wraps(
    make_seat: MakeSeat, monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    """A hundred of them, read in small pieces, all at once or as they come."""
    monkeypatch.setattr(limits, "ENTRIES_AT_ONCE", 16)
    monkeypatch.setattr(limits, "PRIVATE_AT_ONCE", 8)
    monkeypatch.setattr(limits, "WAKES_AT_ONCE", 4)
    here, there = make_seat(), make_seat(started=False)
    anna = Person(here, 1)
    anna.enter("tea")
    ben = Person(there, 2)
    told = ben.enter("tea")
    if not slow:
        there.reader.start()
    for epoch in range(1, 101):
        assert anna.post("tea", told.seq, epoch, to=[told.member_id]).word == "OK"
    if slow:
        there.reader.start()
    ben.has_got(102)
    assert check_wraps_come_first(ben) == 100


def test_a_newcomer_has_the_wraps_of_the_first_post_after_its_coming(
    make_seat: MakeSeat,
) -> None:
    """They may be written before its node has heard of its coming, or while the mirror is made."""
    here, there = make_seat(), make_seat()
    anna = Person(here, 1)
    told = anna.enter("tea")
    met: list[Person] = []

    def greet() -> None:
        """Post with a wrap as soon as somebody else is there."""
        known, epoch = {told.member_id}, 0
        while len(known) < 8:
            until(lambda: set(here.room("tea")._everybody) - known)
            change = here.room("tea")._changes[-1]
            known.update(here.room("tea")._everybody)  # whoever was there then, at least
            epoch += 1
            others = sorted(known - {told.member_id})
            assert anna.post("tea", change, epoch, to=others).word == "OK"

    greeting = threading.Thread(target=greet)
    greeting.start()
    for number in range(2, 9):
        met.append(Person(there, number))
        met[-1].enter("tea")
        until(lambda: here.room("tea")._everybody.keys() >= {met[-1].members["tea"].id})
    greeting.join(SOON)
    here.level("tea")
    last = here.room("tea").seq
    for person in met:
        person.has_got(last)
        assert check_wraps_come_first(person) >= 1


def test_of_who_comes_a_room_is_told_as_of_who_comes_here(make_seat: MakeSeat) -> None:
    """Nobody need be told of each at once; of all else, and of what comes with it, everybody is."""
    here, there = make_seat(), make_seat()
    anna, ben, carl = Person(here, 1), Person(there, 2), Person(there, 3)
    anna.enter("tea")
    told = ben.enter("tea")
    anna.has_got(told.seq)
    assert here.joined == ["tea"] and there.joined == []
    ben.post("tea", told.seq)
    anna.has_got(told.seq + 1)
    carl.enter("tea")
    anna.has_got(told.seq + 2)
    assert here.joined == ["tea", "tea"] and there.joined == []


def test_coming_back_elsewhere_brings_the_rest(make_seat: MakeSeat) -> None:
    """What came meanwhile, exactly once, on a node that had no mirror, and on one that has."""
    here, there = make_seat(), make_seat()
    anna, ben = Person(here, 1), Person(here, 2)
    anna.enter("tea")
    told = ben.enter("tea")
    for n in range(5):
        anna.post("tea", told.seq, n=n)
    ben.has_got(7)
    assert anna.whisper("tea", told.member_id, told.seq).word == "OK"
    for n in range(5, 8):
        anna.post("tea", told.seq, n=n)
    here.level("tea")
    assert ben.come(there, "tea", 7, 0), "what it got after that was lost with the connection"
    ben.take()
    anna.post("tea", told.seq, n=8)
    ben.has_got(11)
    assert seqs(ben.entries()) == [8, 9, 10, 11]
    assert [each["type"] for each in ben.got[:2]] == ["private_for", "log"]
    assert ben.come(here, "tea", 9, 1), "where there is a mirror, which begins later"
    ben.take()  # as far as the last round went, and the rest comes with the next one
    ben.has_got(11)
    assert seqs(ben.entries()) == [10, 11] and {each["type"] for each in ben.got} == {"log"}


def test_a_log_trimmed_past_a_node_is_told_to_its_members(make_seat: MakeSeat) -> None:
    """The node stood still: they learn how much they have missed, and go on; nobody else does."""
    here, there = make_seat(), make_seat(started=False)
    anna = Person(here, 1)
    anna.enter("tea")
    ben, carl = Person(there, 2), Person(there, 3)
    ben.enter("tea")
    assert carl.enter("tea").seq == 3  # all that its node does not read is what comes after it
    ben.has_got(3)
    for n in range(20):
        anna.post("tea", 3, n=n)
    here.level("tea")
    log = keys.log(here.at, "tea")
    here.node.ask("XTRIM", log, "MINID", "15-0")
    there.node.ask("XTRIM", keys.wake(there.at), "MAXLEN", 1)
    there.reader.start()
    until(lambda: any(isinstance(each, Snapshot) for each in ben.got))
    snapshot = next(each for each in ben.got if isinstance(each, Snapshot))
    assert snapshot.missed == snapshot.seq - 1 - 3 >= 20
    assert len(snapshot.members) == 3
    change = snapshot.seq
    until(lambda: here.room("tea").seq >= change)
    last = anna.post("tea", here.room("tea")._changes[-1], n=20).seq
    ben.has_got(last)
    anna.has_got(last)
    assert seqs(anna.entries()) == list(range(2, last + 1))
    assert there.heard.said == ["missed"]


def test_whom_the_engine_takes_for_behind_begins_anew(
    make_seat: MakeSeat,
) -> None:
    """It reckons with what it was not told yet that it can go, so its node may not know."""
    here, there = make_seat(), make_seat()
    anna, ben = Person(here, 1), Person(there, 2)
    anna.enter("tea")
    to = [ben.enter("tea").member_id]
    there.node.ask("HSET", there.node.key("room", "tea", f"q:{to[0]}"), "b:0", 2**21 - 2000)

    def told() -> list[Snapshot]:
        """That it begins anew."""
        return [each for each in ben.got if isinstance(each, Snapshot)]

    for epoch in range(1, 9):
        seq = anna.post("tea", 2, epoch, to=to).seq
        until(lambda: told() or (ben.entries() or [{"seq": 0}])[-1]["seq"] >= seq)  # noqa: B023
        if told():
            break
    [anew] = told()
    assert anew.missed == anew.seq - 1 - ben.entries()[-1]["seq"] > 0
    here.level("tea")
    ben.has_got(anna.post("tea", anew.seq, 99, to=to).seq)
    kinds = [each["type"] for each in ben.got[ben.got.index(anew) + 1 :]]
    assert kinds == ["key_for", "log"]


def test_a_wake_stream_that_was_trimmed_loses_nothing(make_seat: MakeSeat) -> None:
    """All rooms and all private streams are read then."""
    here, there = make_seat(), make_seat(started=False)
    anna, ben = Person(here, 1), Person(there, 2)
    anna.enter("tea")
    told = ben.enter("tea")
    anna.whisper("tea", told.member_id, 2)
    anna.post("tea", 2, to=[told.member_id])
    here.node.do(replies.say, calls.say(here.at, b"{}"))
    there.node.ask("XTRIM", keys.wake(there.at), "MAXLEN", 1)
    there.reader.start()
    ben.has_got(3)
    assert [each["type"] for each in ben.got] == ["private_for", "key_for", "log"]
    assert there.heard.said == [b"{}", "missed"]


def test_a_wake_stream_that_is_gone_is_noticed(
    make_seat: MakeSeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blocked reader is told nothing of it."""
    monkeypatch.setattr(limits, "READER_BLOCK_SECONDS", 0.1)
    here, there = make_seat(), make_seat()
    anna, ben = Person(here, 1), Person(there, 2)
    anna.enter("tea")
    ben.enter("tea")
    there.level("tea")
    wake = keys.wake(there.at)
    there.node.ask("DEL", wake)
    anna.post("tea", 2)
    ben.has_got(3)
    until(lambda: there.heard.said[:1] == ["missed"])
    there.node.ask("XADD", wake, "1-1", "h", "1")
    anna.post("tea", 2, n=1)
    ben.has_got(4)


def test_what_is_not_a_rooms_is_passed_on(
    make_seat: MakeSeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions, tables, announcements, budgets; one that fails there ends nothing."""
    here, there = make_seat(), make_seat()
    anna = Person(here, 1)
    anna.enter("tea")
    failures: list[object] = []
    monkeypatch.setattr("threading.excepthook", failures.append)
    monkeypatch.setattr(here.heard, "table", lambda _change: 1 / 0)
    for seat in (here, there):  # each hears of the other's
        seat.node.do(replies.table, calls.table(seat.at, "bans", "a", str(seat is here)))
    there.node.do(replies.say, calls.say(there.at, b'{"type":"x"}'))
    there.node.do(replies.spend, calls.spend(there.at, b"data", 10_000))
    assert anna.come(there, "tea", 1, 0)
    until(lambda: len(here.heard.said) == 3 and len(there.heard.said) == 3)
    assert b'{"type":"x"}' in here.heard.said
    assert (anna.fingerprint, anna.claim.n, "replaced") in here.heard.said
    assert {b"n": there.at.node.encode(), b"d": b"data"} in here.heard.said
    assert "bans\n1\na\nTrue" in there.heard.said
    assert len(failures) == 1
    later = make_seat()
    until(lambda: len(later.heard.said) == 1)  # what was spent before it came


def test_however_much_is_said_the_rest_is_heard(
    make_seat: MakeSeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was spent comes by another stream."""
    seat = make_seat()
    follow = EngineReader._follow
    looks: list[int] = []

    def always(reader: EngineReader[Any], node: Any, named: Any) -> None:
        """There is more in that room, again and again."""
        follow(reader, node, named)
        if b"data" not in str(seat.heard.said).encode():
            looks.append(1)
            assert len(looks) < 2000, "never heard"
            reader._name("tea")

    monkeypatch.setattr(EngineReader, "_follow", always)
    anna = Person(seat, 1)
    anna.enter("tea")
    anna.post("tea", 1)
    until(lambda: looks)
    seat.node.do(replies.spend, calls.spend(seat.at, b"data", 10_000))
    until(lambda: seat.heard.said)


def test_a_reader_that_is_stopped_ends_at_once(make_seat: MakeSeat) -> None:
    """It waits for the engine, which has nothing to say."""
    seat = make_seat()
    until(lambda: seat.heard.connections == 1 and seat.reader._last > 0)
    ending = threading.Thread(target=seat.reader.stop)
    ending.start()
    ending.join(0.5)
    assert not ending.is_alive() and not seat.reader._thread.is_alive()


# When the engine, or what is in it, is not as it was


@pytest.fixture(params=range(1, 9))
def lost(request: pytest.FixtureRequest) -> int:
    """Which of the reader's answers is lost."""
    found: int = request.param
    return found


def test_whichever_answer_is_lost_nothing_else_is(
    make_seat: MakeSeat, backend: BackendSettings, engine: EngineProcess, lost: int
) -> None:
    """Nor does anything come twice."""
    with EngineProxy(engine.port) as proxy:
        address = backend_address(engine, port=proxy.port)
        reads = backend_settings(engine, address=address, prefix=backend.prefix)
        here, there = make_seat(), make_seat(reads=reads)
        anna, ben = Person(here, 1), Person(there, 2)
        anna.enter("tea")
        told = ben.enter("tea")
        there.level("tea")
        proxy.lose_reply(lost, of=b"XREAD")
        for epoch in range(1, 5):
            anna.whisper("tea", told.member_id, 2)
            anna.post("tea", 2, epoch, to=[told.member_id])
            ben.has_got(2 + epoch)
        carl = Person(there, 3)
        carl.enter("tea")
        ben.has_got(7)
        assert seqs(ben.entries()) == [3, 4, 5, 6, 7]
        numbers = [each["number"] for each in ben.got if "number" in each]
        assert numbers == list(range(1, 9))
        assert check_wraps_come_first(ben) == 4
        assert there.heard.said == [] and there.broken == []


def test_a_private_line_alone_is_not_lost_with_an_answer(
    make_seat: MakeSeat, backend: BackendSettings, engine: EngineProcess
) -> None:
    """No log is longer for it, so nothing but its name tells of it."""
    with EngineProxy(engine.port) as proxy:
        address = backend_address(engine, port=proxy.port)
        reads = backend_settings(engine, address=address, prefix=backend.prefix)
        here, there = make_seat(), make_seat(reads=reads)
        anna, ben = Person(here, 1), Person(there, 2)
        anna.enter("tea")
        to = ben.enter("tea").member_id
        there.level("tea")
        proxy.lose_reply(1, of=b":p:")
        anna.whisper("tea", to, 2)
        until(lambda: ben.got)
        assert proxy.lost.is_set() and [each["type"] for each in ben.got] == ["private_for"]


def test_an_engine_that_came_back_empty_is_noticed(
    own_engine: EngineProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a second or two, though nobody asks it anything; and it goes on as another node."""
    monkeypatch.setattr(limits, "ENGINE_PAUSE_MOST", 0.1)
    settings = backend_settings(own_engine)
    with Seat(settings) as seat:
        Person(seat, 1).enter("tea")
        own_engine.kill()
        own_engine.start()
        until(lambda: "forgotten" in seat.heard.said)
        old, seat.node = seat.node, Seat(settings).node
        seat.rooms.discard_all()
        assert [person.nick for person in seat.broken] == ["nick-1"]
        assert seat.rooms.all() == []
        seat.reader.reconnect()
        anna = Person(seat, 2)
        anna.enter("tea")
        anna.has_got(anna.post("tea", 1).seq)
        old.engine.release()


def test_an_epoch_of_others_is_noticed(
    make_seat: MakeSeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader is level, and waits."""
    monkeypatch.setattr(limits, "READER_BLOCK_SECONDS", 0.1)
    seat = make_seat()
    seat.node.ask("SET", keys.epoch(seat.at.prefix), "other")
    until(lambda: "forgotten" in seat.heard.said)


def test_a_connection_that_may_not_be_used_is_not(make_seat: MakeSeat) -> None:
    """The node has looked at it."""
    seat = make_seat(started=False)
    seat.heard.usable = False
    seat.reader.start()
    until(lambda: seat.heard.connections > 2)
    assert seat.reader._reads_as is None
    seat.heard.usable = True
    anna = Person(seat, 1)
    anna.enter("tea")
    anna.has_got(anna.post("tea", 1).seq)


def spoil_log(seat: Seat) -> None:
    """An entry that no script has written."""
    seat.node.ask("XADD", keys.log(seat.at, "tea"), "2-0", "p", "1}")


def spoil_private(seat: Seat) -> None:
    """The same in a private stream."""
    [member] = seat.room("tea")._members
    seat.node.ask("XADD", keys.private(seat.at, "tea", member), "1-0", "k", "x")
    seat.node.ask("XADD", keys.wake(seat.at), "1-*", "m", f"tea\n{member}")


def spoil_type(seat: Seat) -> None:
    """One that cannot come next."""
    seat.node.ask("XADD", keys.log(seat.at, "tea"), "2-0", "k", "l", "s", "99")


def lose_room(seat: Seat) -> None:
    """The room has expired, and its log is trimmed past the mirror."""
    seat.node.ask("DEL", seat.node.key("room", "tea", "state"))
    seat.node.ask("XADD", keys.log(seat.at, "tea"), "9-0", "k", "l", "s", "99")


def change_room(seat: Seat) -> None:
    """It is another room of that name by now."""
    seat.node.ask("HSET", seat.node.key("room", "tea", "state"), "log", "02" * 16, "seq", 9)
    seat.node.ask("XADD", keys.log(seat.at, "tea"), "9-0", "k", "l", "s", "99")


@pytest.mark.parametrize("spoil", [spoil_log, spoil_private, spoil_type, lose_room, change_room])
def test_nonsense_ends_one_mirror_and_nothing_else(
    make_seat: MakeSeat, spoil: Callable[[Seat], None]
) -> None:
    """Its members' connections end; the reader reads on."""
    seat = make_seat()
    anna = Person(seat, 1)
    anna.enter("tea")
    mirror = seat.room("tea")
    spoil(seat)
    seat.node.do(replies.poke, calls.poke(seat.at, "tea"))
    until(lambda: seat.broken == [anna])
    assert seat.rooms.find("tea") is None
    with pytest.raises(Unavailable):
        mirror.wait_for(99, SOON)
    ben = Person(seat, 2)
    ben.enter("coffee")
    ben.has_got(ben.post("coffee", 1).seq)
    seat.rooms.drop(anna.members["tea"])


def test_a_room_that_the_engine_has_less_of_is_begun_anew(
    make_seat: MakeSeat, backend: BackendSettings, engine: EngineProcess
) -> None:
    """A replica took over that was behind: what the mirror has was never said."""
    with EngineProxy(engine.port) as proxy:
        address = backend_address(engine, port=proxy.port)
        seat = make_seat(reads=backend_settings(engine, address=address, prefix=backend.prefix))
        anna, ben = Person(seat, 1), Person(seat, 2)
        anna.enter("tea")
        ben.enter("coffee")
        anna.has_got(anna.post("tea", 1).seq)
        seat.node.ask("HSET", seat.node.key("room", "tea", "state"), "seq", 1)
        proxy.cut()
        until(lambda: seat.broken == [anna])
        assert seat.rooms.find("coffee") is not None
        ben.has_got(ben.post("coffee", 1).seq)


# The price


def test_a_post_costs_the_same_however_many_rooms_there_are(
    make_seat: MakeSeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the streams of rooms where something happened are named, in a thousand as in one."""
    seat = make_seat()
    people = [Person(seat, number) for number in range(1, 26)]
    for number, person in enumerate(people):
        for room in range(16):
            person.enter(f"room-{number}-{room}")
    asked: list[int] = []
    run = Engine.run

    def count(engine: Engine, commands: Any, **named: Any) -> Any:
        if threading.current_thread() is seat.reader._thread:
            asked.append(sum(len(command) for command in commands))
        return run(engine, commands, **named)

    wake = keys.wake(seat.at)
    until(
        lambda: seat.node.ask("XREVRANGE", wake, "+", "-", "COUNT", 1)[0][0]
        == b"1-%d" % seat.reader._last
        and not seat.reader._named
    )
    monkeypatch.setattr(Engine, "run", count)
    for number, person in enumerate(people):
        person.post(f"room-{number}-3", 1)
        person.has_got(2)
    monkeypatch.undo()
    assert len(seat.rooms.all()) == 400
    assert len(asked) <= 6 * len(people) and max(asked) < 40, asked


def mark(seat: Seat) -> object:
    """What the engine has of whether this node was told to look at the room."""
    return seat.node.ask("HGET", keys.nodes(seat.at, "tea"), keys.told(seat.at))


def test_of_a_room_without_a_mirror_a_node_is_told_again(make_seat: MakeSeat) -> None:
    """What it was told of before there was one keeps nothing from whoever comes then."""
    here, there = make_seat(), make_seat()
    anna, ben = Person(here, 1), Person(there, 2)
    anna.enter("tea")
    told = ben.enter("tea")
    anna.has_got(told.seq)
    here.rooms.discard(here.room("tea"))  # its members are still the engine's
    ben.has_got(ben.post("tea", told.seq).seq)
    until(lambda: mark(here) is None)
    carl = Person(here, 3)
    told = carl.enter("tea")
    carl.has_got(ben.post("tea", told.seq).seq)


def test_another_engine_that_thinks_it_has_told_is_read_all_the_same(
    make_seat: MakeSeat, engine: EngineProcess, backend: BackendSettings
) -> None:
    """It took the place of one that had been read already."""
    with EngineProxy(engine.port) as proxy:
        address = backend_address(engine, port=proxy.port)
        seat = make_seat(reads=backend_settings(engine, address=address, prefix=backend.prefix))
        anna = Person(seat, 1)
        anna.enter("tea")
        anna.has_got(anna.post("tea", 1).seq)
        until(lambda: mark(seat) is None)
        seat.node.ask("HSET", keys.nodes(seat.at, "tea"), keys.told(seat.at), 1)
        proxy.cut()
        anna.has_got(anna.post("tea", 1).seq)
