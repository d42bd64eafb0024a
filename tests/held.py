"""How much the server's tables hold, which it never asks itself."""

from __future__ import annotations

from server.churn import ChurnLimiter
from server.rate_limits import FairRateLimiter, RateLimiter
from server.rooms import Rooms
from server.sessions import Sessions
from server.throttle import LoginQueue, LoginThrottle, TokenBuckets
from server.tickets import Tickets


def held(table: object) -> int:
    """How many entries there are; of what is waited at, how many wait."""
    if isinstance(table, Sessions):
        return len(table.live())
    if isinstance(table, Rooms):
        return len(table.listing())
    if isinstance(table, LoginThrottle):
        queues = (table.handshakes, table.guesses)
        remembered = sum(held(queue) + held(queue.buckets) for queue in queues)
        return sum(table._held.values()) + remembered
    if isinstance(table, LoginQueue | ChurnLimiter):
        return sum(map(len, table._waiting.values()))
    if isinstance(table, RateLimiter):
        return len(table._stamps)
    if isinstance(table, FairRateLimiter):
        return len(table._addresses)
    if isinstance(table, TokenBuckets):
        return len(table._buckets)
    assert isinstance(table, Tickets), table
    return len(table._tickets)
