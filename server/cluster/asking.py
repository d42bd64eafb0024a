"""What the engine answered to a call, read; or the reason why there is no answer, raised."""

from __future__ import annotations

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
