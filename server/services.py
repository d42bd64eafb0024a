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
from server.rooms import Room, Rooms
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


class CannotOpen(Exception):
    """What this server needs is not there, or not as it has to be; ``sentence`` says what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__()
        self.sentence = sentence


class Services:
    """Made once a server; its threads are not started yet.

    ``sessions``, ``rooms``, ``tokens`` and ``bans`` are others where servers share an engine.
    """

    tokens: Tokens
    bans: Bans
    rooms: Rooms[Receiver]
    sessions: Sessions

    def __init__(self, settings: ServerSettings) -> None:
        most, window = settings.max_messages_per_window, settings.rate_limit_window
        self.policy = Policy(
            most,
            window,
            settings.heartbeat_interval,
            settings.heartbeat_timeout,
            settings.max_message_size,
            settings.max_payload_size,
            box_size(settings.max_message_size),
        )
        self.clock: Callable[[], float] = time.monotonic
        self.connection_limits, self.accept_slot = ConnectionLimits(), AcceptSlot()
        self.password = Password(settings.password)
        self.throttle = LoginThrottle()
        self.form_throttle = FormThrottle(TokenBuckets(GUESSES), TokenBuckets(GUESSES))
        self.broadcaster = Broadcaster()
        self._make_shared(settings)
        self.posts, self.commands = MemberRateLimiter(most, window), MemberRateLimiter(most, window)
        self.joins = FairRateLimiter(limits.JOINS_OF_ADDRESS, limits.JOINS_SECONDS)
        self.refusals = RateLimiter(limits.REFUSALS, limits.REFUSALS_SECONDS)
        self.takeovers = RateLimiter(most, window)  # by the token's id
        swept = (
            self.sessions,
            self.throttle.handshakes.buckets,
            self.throttle.guesses.buckets,
            *self.form_throttle,
            *(self.posts.own, self.posts.shares, self.commands.own, self.commands.shares),
            self.joins,
            self.refusals,
            self.takeovers,
        )
        jobs = [self.broadcaster.mark_late, self._end_tokens, *(each.sweep for each in swept)]
        self.expiry = ExpiryThread(jobs)

    def _make_shared(self, settings: ServerSettings) -> None:
        """What several servers that are one chat have in common."""
        self.tokens, self.bans = Tokens(), Bans()
        self.rooms = Rooms()
        self.sessions = Sessions(self.rooms, self.broadcaster.mark, settings.heartbeat_timeout)

    def open(self, cut_all: Callable[[], None], complain: Callable[[str], None]) -> None:
        """Before anybody is let in.

        ``cut_all`` ends all connections, and ``complain`` tells whoever runs the server a sentence,
        from any thread.  Raises CannotOpen.
        """

    def start(self) -> None:
        """Start the threads."""
        self.broadcaster.start()
        self.expiry.start()

    def tell_joined(self, room: Room[Receiver]) -> None:
        """Somebody has come into ``room``, and the others hear of it within a moment."""
        if self.broadcaster.tell_joined(room):
            self.expiry.schedule(limits.JOINS_SHARE_SECONDS)

    def servers(self) -> int:
        """How many servers of this chat there are just now, with this one."""
        return 1

    def stopping(self) -> None:
        """Nobody is let in any more, and those who are in will be told so."""

    def stop(self) -> None:
        """End the threads: everybody has gone."""
        self.broadcaster.stop()
        self.expiry.stop()

    def _end_tokens(self) -> float | None:
        for token_id, reason in self.tokens.take_ended():
            self.sessions.end_token(token_id, reason)
        return self.tokens.next_expiry()
