"""How much work a member may make: enough for all that it may say, and little more.

A post of the largest size, sealed for a full room, comes with keys for everybody; twice as much as
that, as often as a member may post, is what any client needs (it seals anew after ``stale``).  By
default that is less than ``WORK_A_SECOND``, a hundredth of a processor.
"""

from __future__ import annotations

from protocol.limits import ROOM_MEMBERS
from server import limits
from transport.token_bucket import TokenBucket

_WRAP_BYTES = 2048  # in JSON


def work_bucket(posts_a_second: float, max_box_size: int) -> TokenBucket:
    """A new member's account, in bytes as ``transport.token_bucket`` counts them."""
    post = max_box_size + ROOM_MEMBERS * _WRAP_BYTES
    rate = max(limits.WORK_A_SECOND, 2.0 * posts_a_second * post)
    return TokenBucket(rate, max(limits.WORK_BURST, rate))
