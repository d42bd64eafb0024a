"""What a peer may send until something whole has come."""

from __future__ import annotations

from .errors import Closed

_SPARE_BYTES = 64 * 1024  # pings, and frames' headers
FRAME_BYTES = 64  # what each frame costs beside its bytes, as it costs us some work


class ByteBudget:
    """How many bytes a peer may send until something whole has come; more can only be a flood.

    A message cut into crumbs, empty fragments, pings without end: none of it grows into anything
    that a bound on messages would see.  So each frame costs ``frame_bytes`` more than it has, and
    a message has a thousand fragments at most.
    """

    def __init__(self, limit: int, frame_bytes: int = FRAME_BYTES) -> None:
        self._limit = self._left = limit
        self._frame_bytes = frame_bytes

    @classmethod
    def of_message(cls, max_message_size: int, frame_bytes: int = FRAME_BYTES) -> ByteBudget:
        """For messages of ``max_message_size`` bytes."""
        return cls(max_message_size + _SPARE_BYTES, frame_bytes)

    def renew(self) -> None:
        """Something whole has come."""
        self._left = self._limit

    @property
    def exceeded(self) -> bool:
        """Whether too much has come."""
        return self._left < 0

    def spend_frame(self) -> None:
        """One frame has come; raises as ``spend`` does."""
        self.spend(self._frame_bytes)

    def spend(self, size: int) -> None:
        """Raises Closed once too much has come."""
        self._left -= size
        if self._left < 0:
            raise Closed
