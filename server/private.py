"""What waits for one member alone: wrapped chains, and private posts.

Each stands at a place in the log, and has a number, up to which its member confirms.  Nobody is
pushed off its place by others: a private post for which there is no room is refused to whoever
sent it, and one sender may not take all the room there is.  Chains are never refused, since what
they open would stay shut; they come with posts only, so that nobody can make many.

Not thread-safe: the room's lock covers it.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from protocol import limits


class Waiting(NamedTuple):
    """Something for one member alone: its number, the log position it precedes, the frame."""

    number: int
    after: int
    encoded: bytes
    sender: int  # of a private post: the member id; 0 for a wrapped chain


class PrivateQueue:
    """One member's queue.  ``number`` is the last one given; numbers go on for ever.

    ``waiting`` are still to be sent, for others to look at.
    """

    # Lists, of which an empty one takes a tenth of an empty deque: most queues are.
    __slots__ = ("_bytes", "_unconfirmed", "waiting", "number")

    def __init__(self) -> None:
        self.number = 0
        self.waiting: list[Waiting] = []
        self._unconfirmed: list[Waiting] = []  # sent; a resume brings them again
        self._bytes: Counter[int] = Counter()  # key: sender, 0 for chains; sizes of all of these

    def __len__(self) -> int:
        """How many are still to be sent."""
        return len(self.waiting)

    @property
    def size(self) -> int:
        """The bytes of all that is not confirmed."""
        return self._bytes.total()

    @property
    def posts(self) -> int:
        """How many private posts are still to be sent."""
        return sum(each.sender > 0 for each in self.waiting)

    def has_room(self, sender: int, size: int) -> bool:
        """Whether a private post of ``sender`` with ``size`` bytes fits.

        One does, whatever its size, where there is nothing else.
        """
        own = self._bytes[sender]
        posts = self.size - self._bytes[0]
        return not (own and own + size > limits.PRIVATE_BYTES_OF_ONE) and not (
            posts and posts + size > limits.PRIVATE_BYTES
        )

    def put(self, after: int, encoded: bytes, sender: int = 0) -> bool:
        """Put it behind all others; False where chains take too much: its member is behind."""
        self._bytes[sender] += len(encoded)
        self.waiting.append(Waiting(self.number, after, encoded, sender))
        return self._bytes[0] <= limits.CHAIN_BYTES

    def next_number(self) -> int:
        """The number of what is put next."""
        self.number += 1
        return self.number

    def take(self, cursor: int) -> list[bytes]:
        """What has its turn where the log was sent up to ``cursor``, as much as goes together."""
        count = size = 0
        for each in self.waiting:
            size += len(each.encoded)
            if each.after > cursor or (count and size > limits.SLICE_BYTES):
                break
            count += 1
        taken = self.waiting[:count]
        del self.waiting[:count]
        self._unconfirmed += taken
        return [each.encoded for each in taken]

    def confirm(self, number: int) -> None:
        """Those up to ``number`` have arrived, if they were sent."""
        count = 0
        for gone in self._unconfirmed:
            if gone.number > number:
                break
            count += 1
            self._bytes[gone.sender] -= len(gone.encoded)
            if not self._bytes[gone.sender]:
                del self._bytes[gone.sender]
        del self._unconfirmed[:count]

    def send_again(self) -> None:
        """What is not confirmed has its turn once more."""
        self.waiting = self._unconfirmed + self.waiting
        self._unconfirmed = []

    def take_from(self, place: int) -> list[Waiting]:
        """Forget everything but the number; what precedes ``place`` in the log or comes later."""
        taken = [each for each in self.waiting if each.after >= place]
        self.clear()
        return taken

    def put_back(self, taken: list[Waiting]) -> None:
        """What ``take_from`` has given waits again."""
        for each in taken:
            self._bytes[each.sender] += len(each.encoded)
        self.waiting += taken

    def clear(self) -> None:
        """Forget everything but the number."""
        self.waiting.clear()
        self._unconfirmed.clear()
        self._bytes.clear()
