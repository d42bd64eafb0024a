"""Addresses tried beside each other: who wins, who waits how long, and what becomes of the rest."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable

import pytest

from tests.transport_kit import LONG, no_thread_left, soon, until
from transport import Unreachable, happy_eyeballs
from transport.happy_eyeballs import Lane, Race, interleaved
from transport.stream import Stream

__all__ = ["no_thread_left"]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the one before."""
    monkeypatch.setattr(happy_eyeballs, "ATTEMPT_DELAY", 0.0)


@pytest.fixture
def in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a failure lets the next one start."""
    monkeypatch.setattr(happy_eyeballs, "ATTEMPT_DELAY", LONG)


def run(attempt: Callable[[str, Lane], str], targets: str, deadline: float | None = None) -> str:
    return Race(attempt, deadline or soon()).run(targets)


def why(attempt: Callable[[str, Lane], str], targets: str, deadline: float | None = None) -> str:
    with pytest.raises(Unreachable) as caught:
        run(attempt, targets, deadline)
    return caught.value.reason


def failing(**reasons: str) -> Callable[[str, Lane], str]:
    def attempt(target: str, _lane: Lane) -> str:
        raise Unreachable(reasons[target])

    return attempt


def pair() -> tuple[Stream, socket.socket]:
    ours, theirs = socket.socketpair()
    return Stream(ours), theirs


def test_the_first_to_answer_wins_and_the_others_are_cut(
    at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(happy_eyeballs, "ANSWER_DELAY", 0.0)
    streams = {name: pair() for name in "ab"}

    def attempt(target: str, lane: Lane) -> str:
        stream, _ = streams[target]
        try:
            lane.hold(stream)
            lane.accepted()
            if stream.recv(1):
                return target
        except Unreachable:  # it was over before this one began
            stream.close()
            raise
        stream.close()
        raise Unreachable("network")

    streams["b"][1].send(b"!")
    assert run(attempt, "ab") == "b"
    assert streams["a"][1].recv(1) == b""
    assert not streams["b"][0].aborted
    for stream, other in streams.values():
        stream.close()
        other.close()


def test_one_that_fails_lets_the_next_start_at_once(in_turn: None) -> None:
    def attempt(target: str, _lane: Lane) -> str:
        if target == "c":
            return target
        raise Unreachable("refused")

    assert run(attempt, "abc") == "c"


def test_nobody_starts_beside_one_that_answers_in_time(in_turn: None) -> None:
    tried = []

    def attempt(target: str, _lane: Lane) -> str:
        tried.append(target)
        return target

    assert run(attempt, "abc") == "a"
    assert tried == ["a"]


def test_how_long_the_next_one_waits() -> None:
    """A quarter of a second for the connection; for the answer two, from the beginning."""
    now = 100.0
    race: Race[str, str] = Race(lambda target, _lane: target, 200.0, lambda: now)
    lane = Lane(race, "a", now)
    assert lane.next_due == 100.25
    lane.accepted()
    assert lane.next_due == 102.0
    lane.accepted()
    assert lane.next_due == 102.0
    now = 101.0
    race._failed(lane, Unreachable("refused"))
    assert lane.next_due == 101.0


def test_while_nobody_accepts_all_are_tried_anew(
    at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network is back just after the first packets were lost."""
    monkeypatch.setattr(happy_eyeballs, "AGAIN_DELAY", 0.0)
    tried: list[str] = []
    release = threading.Event()

    def attempt(target: str, _lane: Lane) -> str:
        tried.append(target)
        if tried.count("a") < 3 or target != "a":
            release.wait(LONG)
            raise Unreachable("timeout")
        return target

    assert run(attempt, "ab") == "a"
    release.set()
    assert tried.count("a") >= 3 and tried.count("b") >= 2


def test_nobody_is_tried_anew_who_has_failed_or_beside_who_has_accepted() -> None:
    race: Race[str, str] = Race(lambda target, _lane: target, 200.0, lambda: 100.0)
    race._lanes = [Lane(race, target, 100.0) for target in "aba"]
    assert race._silent() == ["a", "b"]
    race._failed(race._lanes[1], Unreachable("refused"))
    assert race._silent() == ["a"] and race._again_at() == 100.0 + happy_eyeballs.AGAIN_DELAY
    race._lanes[0].accepted()
    assert race._silent() == [] and race._again_at() == math.inf
    race._failed(race._lanes[0], Unreachable("not_websocket"))
    assert race._silent() == ["a"]


def test_one_race_makes_so_many_attempts_and_no_more(
    at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(happy_eyeballs, "AGAIN_DELAY", 0.0)
    tried: list[str] = []
    release = threading.Event()

    def attempt(target: str, _lane: Lane) -> str:
        tried.append(target)
        if len(tried) == happy_eyeballs.MOST_ATTEMPTS:
            release.set()
        release.wait(LONG)
        raise Unreachable("timeout")

    assert why(attempt, "abc") == "timeout"
    assert len(tried) == happy_eyeballs.MOST_ATTEMPTS


def test_a_deadline_ends_it() -> None:
    release = threading.Event()

    def attempt(_target: str, _lane: Lane) -> str:
        release.wait(LONG)
        raise Unreachable("network")

    assert why(attempt, "ab", time.monotonic() + 0.01) == "timeout"
    assert why(attempt, "", soon()) == "network"
    release.set()


def test_the_failure_that_says_most_is_reported(at_once: None) -> None:
    assert why(failing(a="network", b="refused", c="timeout"), "abc") == "refused"
    assert why(failing(a="self_signed", b="refused"), "ab") == "self_signed"
    assert why(failing(a="network"), "a") == "network"


def test_an_answer_that_does_not_serve_leaves_the_others_little_time(
    at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(happy_eyeballs, "ANSWER_DELAY", 0.01)
    release = threading.Event()

    def attempt(target: str, _lane: Lane) -> str:
        if target == "a":
            raise Unreachable("needs_tls")
        release.wait(LONG)
        raise Unreachable("network")

    deadline = soon()
    race = Race(attempt, deadline)
    with pytest.raises(Unreachable) as caught:
        race.run("ab")
    assert caught.value.reason == "needs_tls"
    assert race._limit < deadline - LONG / 2
    release.set()


def test_who_comes_too_late_is_closed(at_once: None) -> None:
    slow, other = pair()
    started, release = threading.Event(), threading.Event()

    def attempt(target: str, lane: Lane) -> str:
        if target == "a":
            lane.hold(slow)
            started.set()
            release.wait(LONG)
        started.wait(LONG)
        return target

    assert run(attempt, "ab") == "b"
    assert slow.aborted
    release.set()
    until(lambda: slow.fileno() == -1)
    other.close()


def test_who_would_begin_too_late_does_not(at_once: None) -> None:
    release, heard = threading.Event(), []

    def attempt(target: str, lane: Lane) -> str:
        if target == "b":
            return target
        release.wait(LONG)
        stream, other = pair()
        try:
            lane.hold(stream)
        except Unreachable as error:
            heard.append(error.reason)
            raise
        finally:
            stream.close()
            other.close()
        return target

    assert run(attempt, "ab") == "b"
    release.set()
    until(lambda: heard == ["network"])


def test_a_fault_of_ours_is_not_taken_for_the_network(in_turn: None) -> None:
    def attempt(_target: str, _lane: Lane) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(attempt, "ab")


def test_a_system_without_threads_is_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert why(failing(a="refused"), "ab") == "network"


def test_a_name_with_hundreds_of_addresses(at_once: None) -> None:
    tried = []

    def attempt(target: str, _lane: Lane) -> str:
        tried.append(target)
        raise Unreachable("refused")

    assert why(attempt, "x" * 500) == "refused"
    assert len(tried) == happy_eyeballs.MOST_ADDRESSES


def test_families_take_turns() -> None:
    """RFC 8305 4: the family that the system prefers first, then the other one."""
    found = [(6, "a"), (6, "b"), (6, "c"), (4, "d")]
    assert interleaved(found) == [(6, "a"), (4, "d"), (6, "b"), (6, "c")]
    assert interleaved([]) == []
