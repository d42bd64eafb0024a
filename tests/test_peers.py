"""What is measured on others' servers is counted right, and everything has come that was said."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench import peers
from bench.guests import END, IrcGuest, MqttGuest, text_by
from bench.load import Busy, busy
from bench.members import TEXT, Crowd, Newcomer, Secrets
from bench.servers import ROOT, Process, certificate
from bench.wire import Loop

SIZE, SENDERS, ROOMS = 3, 2, 2


@contextmanager
def stub(dialect: str) -> Iterator[Process]:
    with certificate() as cert:
        words = [sys.executable, "-m", "tests.stub_peers", cert, dialect]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT)
        assert process.stdout is not None
        server = Process(dialect, process, 0, True)
        try:
            server.port = int(process.stdout.readline())
            yield server
        finally:
            server.stop()


@pytest.mark.parametrize(
    ("dialect", "comes_in", "hearers"), [("irc", IrcGuest, SIZE - 1), ("mqtt", MqttGuest, SIZE)]
)
def test_every_post_reaches_all_who_are_to_hear_it(
    dialect: str, comes_in: Newcomer, hearers: int
) -> None:
    loop = Loop()
    with stub(dialect) as server:
        try:
            crowd = Crowd(loop, server, Secrets(), SIZE, SENDERS, ROOMS, comes_in=comes_in)
            # No time to say more than what is on its way from the beginning.
            found = busy(loop, crowd, in_flight=9, seconds=0.0)
        finally:
            loop.close()
    assert crowd.posts() >= ROOMS * SENDERS * 9
    assert found.deliveries == crowd.posts() * hearers
    assert [each.arrived for each in crowd.senders] == [each.sent for each in crowd.senders]
    for room in crowd.rooms:
        said = sum(each.sent for each in room)
        for each in room:
            own = 0 if each.hears_itself else each.sent
            assert each.reached(said) and not each.reached(said + 1)
            assert isinstance(each, (IrcGuest, MqttGuest)) and each.came == said - own


def test_guests_say_as_much_as_members() -> None:
    said = text_by(b"user00007" + END)
    assert len(said) == len(TEXT) == 300
    assert said.endswith(b"user00007" + END) and said.count(END) == 1


def test_a_table_has_ours_first_and_what_it_is_of_theirs() -> None:
    ours = [Busy(100, cpu, 0.001, 1.0) for cpu in (0.001, 0.002, 0.009)]
    theirs = [Busy(50, 0.001, 0.001, 0.5) for _ in range(3)]
    first, second = peers.rows_of(peers.Shape(50, 5), 8, ("CMD CHAT", "mosquitto"), (ours, theirs))
    assert first == ["room of 50, 5 x 8 in flight", "CMD CHAT", "20.00", "", "", "100", "10.00"]
    assert second == ["", "mosquitto", "20.00", "1.00", "<= 0.6 NO", "100", "20.00"]


def test_what_is_not_installed_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(SystemExit) as ended:
        peers.main(short=True)
    assert ended.value.code == (
        "Not installed here: mosquitto and ngircd. On Debian: apt-get install mosquitto ngircd"
    )
