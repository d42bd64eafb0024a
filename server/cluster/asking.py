"""What the engine answered to a call, read; or the reason why there is no answer, raised."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from server.cluster.script import EngineCall
from server.cluster.writer import Writer

Read = TypeVar("Read")
Reader = Callable[[object], Read]
Outcome = Any  # what ``Writer.submit`` gives: a reply, or an exception


def settle(outcome: Outcome, read: Reader[Read]) -> Read:
    """What ``submit`` gave, read.  Raises what stands in its place, and as ``replies`` does."""
    if isinstance(outcome, Exception):
        raise outcome
    return read(outcome)


def ask(writer: Writer, call: EngineCall, read: Reader[Read]) -> Read:
    """Have a script run and wait for what it answers.

    Raises Unavailable, OutcomeUnknown, ServerFull and EngineError as ``Writer.call`` does, and
    Forgotten, NodeFenced, SessionFenced and BadReply as ``replies`` does.
    """
    return read(writer.call(call))


def ask_within(
    writer: Writer, call: EngineCall, read: Reader[Read], seconds: float
) -> Read | None:
    """As ``ask``, and None where there is no answer after so many seconds: it may come later."""
    outcomes: list[Outcome] = []
    done = threading.Event()

    def heard(outcome: Outcome) -> None:
        outcomes.append(outcome)
        done.set()

    writer.submit(call, heard)
    done.wait(seconds)
    return settle(outcomes[0], read) if outcomes else None
