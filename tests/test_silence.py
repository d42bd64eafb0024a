"""When no answer comes: what is said, and when another connection is tried. No network."""

from __future__ import annotations

import math

from client.connection.silence import LONGEST_WAIT, SilenceMonitor, Step


def least(low: float, _high: float) -> float:
    """No jitter."""
    return low


class Watch:
    """A silence that is looked at whenever it is due, and what there was to do."""

    def __init__(self) -> None:
        self.silence = SilenceMonitor(chance=least)
        self.now, self.moved, self.waits = 100.0, 0, False

    def look(self) -> Step:
        return self.silence.look(self.now, self.waits, self.moved)

    def send(self) -> Step:
        """Something goes out that wants an answer."""
        self.waits = True
        self.moved += 10
        return self.look()

    def until(self, end: float) -> list[tuple[float, Step]]:
        """Look as often as it wants to be looked at, up to ``end`` seconds after the start."""
        found = []
        while self.silence.due <= 100.0 + end:
            self.now = max(self.now, self.silence.due)
            step = self.look()
            if step != Step():
                found.append((self.now - 100.0, step))
        self.now = 100.0 + end
        return found


def test_nothing_is_due_while_nothing_waits() -> None:
    watch = Watch()
    assert watch.look() == Step() and watch.silence.due == math.inf
    watch.send()
    watch.waits = False
    assert watch.look() == Step() and watch.silence.due == math.inf
    assert not watch.silence.late


def test_it_is_said_after_five_seconds_and_then_after_twice_as_many_each_time() -> None:
    watch = Watch()
    watch.send()
    assert watch.until(50.0) == [
        (5.0, Step(said=5, probe=True)),
        (10.0, Step(said=10, dial=True)),
        (20.0, Step(said=20)),
        (40.0, Step(said=40)),
    ]


def test_bytes_that_come_or_are_taken_begin_it_anew() -> None:
    watch = Watch()
    watch.send()
    for second in range(1, 60):
        assert not watch.until(second * 4.0)
        watch.moved += 1
        assert watch.look() == Step()
    assert watch.until(59 * 4.0 + 5.0) == [(59 * 4.0 + 5.0, Step(said=5, probe=True))]


def test_the_end_of_a_silence_is_told_if_the_silence_was() -> None:
    watch = Watch()
    watch.send()
    watch.until(4.0)
    watch.waits = False
    assert watch.look() == Step()
    watch.send()
    watch.until(10.0)
    watch.moved += 1
    assert watch.look() == Step(back=True)
    assert watch.look() == Step()


def test_on_a_slow_network_the_next_wait_for_another_connection_is_twice_as_long() -> None:
    """One whose answers take twelve seconds is not given a new connection for each line."""
    watch = Watch()
    dialled = []
    for line in range(5):
        watch.waits = False
        watch.look()
        start = line * 60.0
        watch.now = 100.0 + start
        watch.send()
        dialled += [at - start for at, step in watch.until(start + 59.0) if step.dial]
    assert dialled == [10.0, 20.0, 40.0, LONGEST_WAIT, LONGEST_WAIT]
    watch.waits = False
    watch.look()
    watch.now = 1000.0  # long after
    watch.send()
    assert [at - 900.0 for at, step in watch.until(959.0) if step.dial] == [10.0]


def test_jitter_only_puts_off() -> None:
    """A thousand clients of a server that hangs do not come in one moment."""
    asked: list[tuple[float, float]] = []

    def most(low: float, high: float) -> float:
        asked.append((low, high))
        return high

    silence = SilenceMonitor(chance=most)
    silence.look(0.0, True, 1)
    assert asked == [(1.0, 1.3)]
    assert not silence.look(12.9, True, 1).dial and silence.look(13.1, True, 1).dial


def test_another_connection_can_be_wanted_earlier_and_again() -> None:
    """The system's way has changed, or the last attempt came to nothing."""
    watch = Watch()
    watch.send()
    watch.until(2.0)
    assert watch.silence.late
    watch.silence.dial_soon(watch.now)
    assert watch.until(2.0) == [(2.0, Step(dial=True))]
    watch.silence.dial_soon(watch.now, 1.5)
    assert watch.until(4.0) == [(3.5, Step(dial=True))]


def test_where_no_byte_arrives_the_server_is_not_to_blame() -> None:
    """TCP repeats what is lost ever more rarely: whoever waited for that would wait too long."""
    watch = Watch()
    watch.send()
    watch.now += 5.0
    assert watch.silence.look(watch.now, True, watch.moved, True) == Step(5, probe=True, dial=True)
    watch.waits = False
    watch.look()
    watch.send()  # a network on which that was in vain
    watch.now += 5.0
    assert watch.silence.look(watch.now, True, watch.moved, True) == Step(5, probe=True)


def test_what_comes_does_not_help_what_was_sent_and_is_stuck() -> None:
    """The network is back, and TCP waits for long before it repeats; the dialling goes on."""
    watch = Watch()
    watch.send()
    watch.until(11.0)
    watch.silence.dial_soon(watch.now, 1.5)
    watch.moved += 1
    assert watch.silence.look(watch.now, True, watch.moved, True) == Step()
    watch.now += 1.5
    assert watch.silence.look(watch.now, True, watch.moved, True) == Step(dial=True)
    assert watch.silence.look(watch.now, True, watch.moved, False) == Step(back=True)


def test_a_connection_that_took_over_was_not_in_vain() -> None:
    watch = Watch()
    for start in (0.0, 20.0):
        watch.now = 100.0 + start
        watch.moved = 0
        watch.send()
        assert [at for at, step in watch.until(start + 15.0) if step.dial] == [start + 10.0]
        watch.silence.begin()


def test_who_was_kept_from_looking_for_long_says_how_long_it_was() -> None:
    """Stopped, or asleep; the network was looked at before."""
    watch = Watch()
    watch.send()
    watch.now += 33.0
    assert watch.look() == Step(said=33, probe=True, dial=True)
    assert watch.silence.due > watch.now


def test_another_connection_begins_with_nothing() -> None:
    watch = Watch()
    watch.send()
    watch.until(7.0)
    watch.silence.begin()
    assert watch.silence.due == math.inf
    watch.moved = 3  # its own count
    assert watch.send() == Step()
    assert watch.until(11.0) == []
