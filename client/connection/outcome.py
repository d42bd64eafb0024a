"""How a connection ended, and whether that is the end of it all.

Before ``welcome`` has opened, anybody in between may have said what came; from then on only
somebody who knows the password or token.
"""

from __future__ import annotations

from collections.abc import Mapping

from client import refusals
from client.connection.deadlines import Overdue
from protocol import frames
from protocol.dataclass import dataclass, field
from protocol.errors import BadVersion, ChatError, RemoteError, TimedOut
from transport import Closed, Unreachable

# Goodbyes after which coming back is of no use.
_FINAL = ("revoked", "expired", "taken_over", "kicked")
# Connections that are lost after `welcome` and before the first room, and come back to.
MOST_EARLY = 3
_PASSING = (
    "server_full",
    "unavailable",
    "outcome_unknown",
    "room_full",
    "too_many_attempts",
    "timed_out",
    "rate_limited",
    "address_limited",
)
# What a server refuses because of itself; another one of the same chat may be better off.
_OF_ONE_ADDRESS = ("server_full", "timed_out", "unavailable")


class AdmissionRefused(ChatError):
    """The server does not let this client in; ``refusal`` says why.

    Unless ``proven``, anybody in between may have said so.
    """

    def __init__(self, refusal: frames.Refused, proven: bool) -> None:
        super().__init__()
        self.refusal, self.proven = refusal, proven


class ServerGoodbye(ChatError):
    """The server has said goodbye, inside a record; ``reason`` is its code."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


def is_one_addresses(error: ChatError) -> bool:
    """Whether another address of the same chat may do better, so that it is tried at once.

    What it refuses for good, or whoever is in between has spoilt, the others need not be shown.
    """
    if isinstance(error, AdmissionRefused):
        return error.refusal.code in _OF_ONE_ADDRESS
    return isinstance(error, Closed | TimedOut | RemoteError)


@dataclass(frozen=True)
class Outcome:
    """Why the reader thread has ended: ``kind`` is left, unreachable, refused or lost."""

    kind: str
    reason: str = ""
    params: Mapping[str, float | str] = field(default_factory=dict)


def outcome_of(
    error: ChatError, *, first: bool, proven: bool, early: int = MOST_EARLY
) -> Outcome | None:
    """What ``error`` has put an end to; None if there is to be another connection.

    ``first``: no room was ever entered.  ``proven``: `welcome` had come.  ``early``: how often a
    connection was lost before that, when it had.
    """
    if isinstance(error, AdmissionRefused):
        return _refusal(error, first)
    if isinstance(error, ServerGoodbye) and error.reason in _FINAL:
        return Outcome("refused", error.reason)
    if isinstance(error, BadVersion) and (first or proven):
        return Outcome("refused", error.code)
    if not first:
        return None
    if isinstance(error, Unreachable):
        return Outcome("unreachable", error.reason, error.details())
    if proven and early < MOST_EARLY and isinstance(error, (Closed, ServerGoodbye)):
        return None  # a server that stops or dies just then, and another one goes on
    if proven:
        return Outcome("lost", reason_of(error, proven=True))
    return Outcome("unreachable", "timeout" if isinstance(error, TimedOut) else "not_websocket")


def _refusal(refused: AdmissionRefused, first: bool) -> Outcome | None:
    refusal = refused.refusal
    if not first and (not refused.proven or refusal.code in _PASSING):
        return None
    return Outcome("refused", refusal.code, refusals.params(refusal))


def reason_of(error: ChatError, *, proven: bool) -> str:
    """The reason of a ``disconnected`` event; ``lost`` where there is nothing to say about it."""
    if isinstance(error, (ServerGoodbye, Overdue)):
        return error.reason
    if not proven or isinstance(error, (Closed, AdmissionRefused, TimedOut)):
        return "lost"
    return "protocol" if isinstance(error, RemoteError) else error.code
