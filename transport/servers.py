"""Several servers of one chat, tried until one has answered.

Each attempt is a race of its own, over the addresses of one server's name, in a thread of the race
over the servers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from protocol.hosts import Address, host_and_port

from .errors import Unreachable
from .happy_eyeballs import ANSWER_DELAY, UNANSWERED, Lane, Race
from .stream import Stream

Result = TypeVar("Result")
Opened = Callable[[Stream], None]
Accepted = Callable[[], None]


def reach_any(
    addresses: Sequence[Address],
    timeout: float,
    attempt: Callable[[Address, Opened, Accepted], Result],
) -> Result:
    """What ``attempt`` makes of the server where it is done first; it takes ``timeout`` seconds.

    The first is tried first, and another one beside it as soon as it takes its time or has failed.
    ``attempt`` gives each stream to the first function before it is used, which may raise
    Unreachable, and calls the other one when somebody has accepted; what it says must bear to be
    said to several servers.  Raises Unreachable, with its ``server`` where one is to blame.
    """

    def one_of(address: Address, lane: Lane) -> Result:
        try:
            return attempt(address, lane.hold, lane.accepted)
        except Unreachable as error:
            if error.reason not in UNANSWERED:
                error.server = host_and_port(*address)
            raise

    if len(addresses) == 1:
        return attempt(addresses[0], lambda _stream: None, lambda: None)
    deadline = time.monotonic() + timeout + ANSWER_DELAY * len(addresses)
    return Race(one_of, deadline, servers=True).run(addresses)
