"""What all connections of a server share: its tables, the threads that work on them, its policy."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from protocol.limits import ROOM_MEMBERS
from protocol.sizes import box_size
from server import limits
from server.admission import AcceptSlot, ConnectionLimits
from server.auth import Password, Tokens
from server.bans import Bans
from server.broadcast import Broadcaster, Receiver
from server.expiry import ExpiryThread
from server.rate_limits import FairRateLimiter, MemberRateLimiter, RateLimiter
from server.rooms import Rooms
from server.sessions import Sessions
from server.throttle import GUESSES, FormThrottle, LoginThrottle, TokenBuckets
from settings import ServerSettings
from transport.token_bucket import TokenBucket

_WRAP_BYTES = 2048  # in JSON


@dataclass(frozen=True)
class Policy:
    """What members have to obey; sizes in bytes, times in seconds."""

    rate_limit: int
    rate_window: float
    heartbeat_interval: float
    heartbeat_timeout: float
    max_message_size: int
    max_payload_size: int
    max_box_size: int  # the longest token that a text of max_message_size is sealed into

    def work_bucket(self) -> TokenBucket:
        """How much work a new member may make: enough for all that it may say, and little more.

        A post of the largest size, sealed for a full room, comes with keys for everybody; twice as
        much as that, as often as a member may post, is what any client needs (it seals anew after
        ``stale``).  By default that is less than ``WORK_A_SECOND``, a hundredth of a processor.
        In bytes as ``transport.token_bucket`` counts them.
        """
        post = self.max_box_size + ROOM_MEMBERS * _WRAP_BYTES
        rate = max(limits.WORK_A_SECOND, 2.0 * self.rate_limit / self.rate_window * post)
        return TokenBucket(rate, max(limits.WORK_BURST, rate))


@dataclass(frozen=True)
class Services:
    """Made by ``build``, once a server."""

    policy: Policy
    connection_limits: ConnectionLimits
    accept_slot: AcceptSlot
    password: Password
    tokens: Tokens
    throttle: LoginThrottle
    form_throttle: FormThrottle
    rooms: Rooms[Receiver]
    sessions: Sessions
    broadcaster: Broadcaster
    expiry: ExpiryThread
    posts: MemberRateLimiter
    commands: MemberRateLimiter
    joins: FairRateLimiter
    refusals: RateLimiter
    bans: Bans
    clock: Callable[[], float] = time.monotonic


def build(settings: ServerSettings) -> Services:
    """The services of a server with these settings; their threads are not started yet."""
    most, window = settings.max_messages_per_window, settings.rate_limit_window
    policy = Policy(
        most,
        window,
        settings.heartbeat_interval,
        settings.heartbeat_timeout,
        settings.max_message_size,
        settings.max_payload_size,
        box_size(settings.max_message_size),
    )
    rooms: Rooms[Receiver] = Rooms()
    broadcaster, tokens = Broadcaster(), Tokens()
    throttle = LoginThrottle()
    form_throttle = FormThrottle(TokenBuckets(GUESSES), TokenBuckets(GUESSES))
    sessions = Sessions(rooms, broadcaster.mark, settings.heartbeat_timeout)
    posts, commands = MemberRateLimiter(most, window), MemberRateLimiter(most, window)
    joins = FairRateLimiter(limits.JOINS_OF_ADDRESS, limits.JOINS_SECONDS)
    refusals = RateLimiter(limits.REFUSALS, limits.REFUSALS_SECONDS)

    def end_expired_tokens() -> float | None:
        for token_id in tokens.take_expired():
            sessions.end_token(token_id, "expired")
        return tokens.next_expiry()

    limiters = (posts.own, posts.shares, commands.own, commands.shares, joins, refusals)
    buckets = (throttle.handshakes.buckets, throttle.guesses.buckets, *form_throttle)
    swept = (sessions, *limiters, *buckets)
    return Services(
        policy,
        ConnectionLimits(),
        AcceptSlot(),
        Password(settings.password),
        tokens,
        throttle,
        form_throttle,
        rooms,
        sessions,
        broadcaster,
        ExpiryThread([end_expired_tokens, *(each.sweep for each in swept)]),
        posts,
        commands,
        joins,
        refusals,
        Bans(),
    )
