"""The sweeper: looks when something is due, sleeps otherwise, ends when told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from server.sweeper import Sweeper

LONG = 20.0


class Job:
    """A job that counts its calls and answers what it is told to."""

    def __init__(self, *answers: float | None) -> None:
        self._answers: Iterator[float | None] = iter(answers)
        self.calls = 0
        self.called = threading.Semaphore(0)

    def __call__(self) -> float | None:
        self.calls += 1
        self.called.release()
        return next(self._answers, None)

    def wait(self) -> None:
        """Until it was called once more."""
        assert self.called.acquire(timeout=LONG)


class Nap(threading.Condition):
    """A condition that tells how long it is waited on, before it is."""

    def __init__(self) -> None:
        super().__init__()
        self.naps: list[float | None] = []
        self.asleep = threading.Semaphore(0)

    def wait(self, timeout: float | None = None) -> bool:
        """As the condition's."""
        self.naps.append(timeout)
        self.asleep.release()
        return super().wait(timeout)

    def next(self) -> float | None:
        """The next nap's length."""
        assert self.asleep.acquire(timeout=LONG)
        return self.naps[-1]


@pytest.fixture
def started() -> Iterator[Any]:
    """Starts sweepers; they are stopped afterwards.  A clock that stands still, and a Nap."""
    made: list[Sweeper] = []

    def start(*jobs: Job) -> tuple[Sweeper, Nap]:
        sweeper = Sweeper(jobs, lambda: 50.0)
        nap = Nap()
        sweeper._wake = nap
        made.append(sweeper)
        sweeper.start()
        return sweeper, nap

    yield start
    for sweeper in made:
        sweeper.stop()


def test_it_sleeps_for_ever_while_nothing_is_due(started: Any) -> None:
    """A server with nobody in it wakes for nothing."""
    job = Job()
    _, nap = started(job)
    assert nap.next() is None
    assert job.calls == 0


def test_a_poke_sets_the_time(started: Any) -> None:
    """It sleeps as long as it was told, not longer."""
    sweeper, nap = started(Job())
    nap.next()
    sweeper.poke(7.0)
    assert nap.next() == 7.0


def test_the_nearest_poke_counts(started: Any) -> None:
    """A later one changes nothing, an earlier one wakes it."""
    sweeper, nap = started(Job())
    nap.next()
    sweeper.poke(7.0)
    nap.next()
    sweeper.poke(9.0)
    sweeper.poke(3.0)
    assert nap.next() == 3.0
    assert nap.naps == [None, 7.0, 3.0]


def test_all_jobs_run_when_something_is_due(started: Any) -> None:
    """And the sooner of their answers is when it looks again."""
    one, other, none = Job(8.0), Job(5.0), Job(None)
    sweeper, nap = started(one, other, none)
    nap.next()
    sweeper.poke(0.0)
    for job in (one, other, none):
        job.wait()
    assert nap.next() == 5.0


def test_after_the_last_it_sleeps_for_ever_again(started: Any) -> None:
    """Nothing left: no wake-up."""
    job = Job(None)
    sweeper, nap = started(job)
    nap.next()
    sweeper.poke(0.0)
    job.wait()
    assert nap.next() is None


def test_a_job_that_is_due_at_once_does_not_spin(started: Any) -> None:
    """An answer of nothing is a short sleep all the same."""
    job = Job(0.0)
    sweeper, nap = started(job)
    nap.next()
    sweeper.poke(0.0)
    job.wait()
    left = nap.next()
    assert left is not None and left > 0.0


def test_what_begins_during_a_look_is_not_forgotten(started: Any) -> None:
    """A poke from another thread while the jobs run counts for the next sleep."""
    running, go_on = threading.Event(), threading.Event()

    class Slow(Job):
        def __call__(self) -> float | None:
            super().__call__()
            running.set()
            assert go_on.wait(LONG)
            return None

    job = Slow()
    sweeper, nap = started(job)
    nap.next()
    sweeper.poke(0.0)
    assert running.wait(LONG)
    sweeper.poke(4.0)
    go_on.set()
    assert nap.next() == 4.0


def test_real_time_passes() -> None:
    """With the real clock something that is due soon is done soon."""
    job = Job(None)
    sweeper = Sweeper([job])
    sweeper.start()
    sweeper.poke(0.01)
    job.wait()
    sweeper.stop()
    assert job.calls == 1


def test_stopping_wakes_it() -> None:
    """However long it meant to sleep."""
    sweeper = Sweeper([Job()])
    sweeper.start()
    sweeper.poke(3600.0)
    sweeper.stop()
    assert not sweeper._thread.is_alive()


def test_a_job_that_fails_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is reported, and what is due in other jobs is done all the same."""
    told: list[type[BaseException]] = []
    done = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_type))

    def fail() -> float | None:
        raise ZeroDivisionError

    def work() -> float | None:
        done.set()
        return None

    sweeper = Sweeper([fail, work])
    sweeper.start()
    sweeper.poke(0.0)
    assert done.wait(10)
    sweeper.stop()
    assert told == [ZeroDivisionError]
