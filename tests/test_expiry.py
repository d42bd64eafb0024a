"""The expiry: looks when something is due, sleeps otherwise, ends when told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from server.expiry import ExpiryThread

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
    made: list[ExpiryThread] = []

    def start(*jobs: Job) -> tuple[ExpiryThread, Nap]:
        expiry = ExpiryThread(jobs, lambda: 50.0)
        nap = Nap()
        expiry._wake = nap
        made.append(expiry)
        expiry.start()
        return expiry, nap

    yield start
    for expiry in made:
        expiry.stop()


def test_it_sleeps_for_ever_while_nothing_is_due(started: Any) -> None:
    """A server with nobody in it wakes for nothing."""
    job = Job()
    _, nap = started(job)
    assert nap.next() is None
    assert job.calls == 0


def test_what_is_scheduled_sets_the_time(started: Any) -> None:
    """It sleeps as long as it was told, not longer."""
    expiry, nap = started(Job())
    nap.next()
    expiry.schedule(7.0)
    assert nap.next() == 7.0


def test_the_nearest_of_them_counts(started: Any) -> None:
    """A later one changes nothing, an earlier one wakes it."""
    expiry, nap = started(Job())
    nap.next()
    expiry.schedule(7.0)
    nap.next()
    expiry.schedule(9.0)
    expiry.schedule(3.0)
    assert nap.next() == 3.0
    assert nap.naps == [None, 7.0, 3.0]


def test_all_jobs_run_when_something_is_due(started: Any) -> None:
    """And the sooner of their answers is when it looks again."""
    one, other, none = Job(8.0), Job(5.0), Job(None)
    expiry, nap = started(one, other, none)
    nap.next()
    expiry.schedule(0.0)
    for job in (one, other, none):
        job.wait()
    assert nap.next() == 5.0


def test_after_the_last_it_sleeps_for_ever_again(started: Any) -> None:
    """Nothing left: no wake-up."""
    job = Job(None)
    expiry, nap = started(job)
    nap.next()
    expiry.schedule(0.0)
    job.wait()
    assert nap.next() is None


def test_a_job_that_is_due_at_once_does_not_spin(started: Any) -> None:
    """An answer of nothing is a short sleep all the same."""
    job = Job(0.0)
    expiry, nap = started(job)
    nap.next()
    expiry.schedule(0.0)
    job.wait()
    left = nap.next()
    assert left is not None and left > 0.0


def test_what_begins_during_a_look_is_not_forgotten(started: Any) -> None:
    """What another thread schedules while the jobs run counts for the next sleep."""
    running, go_on = threading.Event(), threading.Event()

    class Slow(Job):
        def __call__(self) -> float | None:
            super().__call__()
            running.set()
            assert go_on.wait(LONG)
            return None

    job = Slow()
    expiry, nap = started(job)
    nap.next()
    expiry.schedule(0.0)
    assert running.wait(LONG)
    expiry.schedule(4.0)
    go_on.set()
    assert nap.next() == 4.0


def test_real_time_passes() -> None:
    """With the real clock something that is due soon is done soon."""
    job = Job(None)
    expiry = ExpiryThread([job])
    expiry.start()
    expiry.schedule(0.01)
    job.wait()
    expiry.stop()
    assert job.calls == 1


def test_stopping_wakes_it() -> None:
    """However long it meant to sleep."""
    expiry = ExpiryThread([Job()])
    expiry.start()
    expiry.schedule(3600.0)
    expiry.stop()
    assert not expiry._thread.is_alive()


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

    expiry = ExpiryThread([fail, work])
    expiry.start()
    expiry.schedule(0.0)
    assert done.wait(10)
    expiry.stop()
    assert told == [ZeroDivisionError]
