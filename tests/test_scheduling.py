"""How the system is asked to run the server's threads."""

from __future__ import annotations

import os
import threading

from server import app


def in_a_thread(policy: int) -> list[int]:
    """The policies of a thread that had ``policy`` and asks as the server's first one, and of one
    that it starts then."""
    found: list[int] = []

    def ask() -> None:
        os.sched_setscheduler(0, policy, os.sched_param(0))
        app._preempt_nobody()
        found.append(os.sched_getscheduler(0))
        after = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0)))
        after.start()
        after.join()

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return found


def test_nobody_is_pushed_aside() -> None:
    assert in_a_thread(os.SCHED_OTHER) == [os.SCHED_BATCH] * 2


def test_a_policy_that_somebody_has_chosen_stays() -> None:
    assert in_a_thread(os.SCHED_IDLE) == [os.SCHED_IDLE] * 2
