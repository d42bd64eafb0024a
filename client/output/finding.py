"""Finding text in what was said: what counts as the same, and where it stands.

Pure. Letters are compared as people do who do not know how they are encoded (NFKC, and whatever
their case), and any blanks are as good as any others.
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from client import events
from client.output.widths import clusters
from client.output.wrapping import Row, Span
from protocol.names import room_key

REMEMBERED, REMEMBERED_CHARACTERS = 1000, 1_000_000  # messages of plain lines, and their texts
FOUND_MOST = 20  # messages that plain lines show of them
HIT, THIS_HIT = "hit", "this-hit"  # styles


class Query:
    """A ``text`` that is looked for; it is not empty."""

    def __init__(self, text: str) -> None:
        self.text = text
        words = _folded(text).split() or [text]
        self._pattern = re.compile(r"\s+".join(map(re.escape, words)))

    def is_in(self, text: str) -> bool:
        """Whether it stands anywhere in a text."""
        return self._pattern.search(_folded(text)) is not None

    def places(self, text: str) -> Iterator[tuple[int, int]]:
        """Where it stands: the first character and the one behind the last, of whole clusters."""
        pieces = list(clusters(text))
        folded = list(map(_folded, pieces))
        begins = list(accumulate(map(len, pieces), initial=0))
        # For each folded character, the cluster that it is of.
        owners = [number for number, piece in enumerate(folded) for _ in piece]
        last = 0
        for found in self._pattern.finditer("".join(folded)):
            start, end = begins[owners[found.start()]], begins[owners[found.end() - 1] + 1]
            if end > last:
                yield max(start, last), end
                last = end


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def text_of(rows: Iterable[Row]) -> str:
    """What rows say, a line each."""
    return "\n".join("".join(span.text for span in row.spans) for row in rows)


def marked(rows: Sequence[Row], query: Query, style: str) -> tuple[Row, ...]:
    """The rows with ``style`` wherever the query stands in them."""
    places = deque(query.places(text_of(rows)))
    found, start = [], 0
    for row in rows:
        spans: list[Span] = []
        for span in row.spans:
            spans += _cut(span, start, places, style)
            start += len(span.text)
        found.append(row._replace(spans=tuple(spans)))
        start += 1  # the line end
    return tuple(found)


def _cut(
    span: Span, start: int, places: deque[tuple[int, int]], style: str
) -> Iterator[Span]:
    """A span, which begins at ``start``, in pieces of which those at ``places`` have ``style``;
    places that end in it are taken away."""
    done, end = 0, len(span.text)
    while places and places[0][0] - start < end:
        first, behind = max(done, places[0][0] - start), min(end, places[0][1] - start)
        if first < behind:
            if done < first:
                yield span._replace(text=span.text[done:first])
            yield painted_over(span, style)._replace(text=span.text[first:behind])
            done = behind
        if places[0][1] - start > end:
            break
        places.popleft()
    if done < end or not span.text:
        yield span._replace(text=span.text[done:])


def painted_over(span: Span, style: str) -> Span:
    """The span in another style; whoever it names, it still does."""
    return span._replace(style=style, names=span.names or span.style.startswith("nick:"))


class RecentMessages:
    """What plain lines remember of what they have written: bounded, and gone with ``clear``."""

    def __init__(self) -> None:
        self._messages: deque[tuple[events.HistoryView, bool]] = deque()  # bool: it calls somebody
        self._size = 0
        self._last: Query | None = None  # looked for

    def add(self, view: events.HistoryView, calls: bool) -> None:
        """Remember a message, and forget the oldest ones if that makes too many."""
        self._messages.append((view, calls))
        self._size += len(view.text)
        while len(self._messages) > REMEMBERED or self._size > REMEMBERED_CHARACTERS:
            self._size -= len(self._messages.popleft()[0].text)

    def clear(self) -> None:
        """Forget everything, and what was looked for."""
        self._messages.clear()
        self._size, self._last = 0, None

    def find(self, text: str | None, room: str) -> list[events.HistoryView]:
        """The messages of a room, and private ones, that have ``text`` in them or are by or to
        whom it names, the oldest first. None: what was looked for last, or else mentions."""
        query = self._last = self._last if text is None else Query(text)
        key = room_key(room)
        here = [each for each in self._messages if each[0].private or room_key(each[0].room) == key]
        return [view for view, calls in here if (_is_in(query, view) if query else calls)]


def _is_in(query: Query, view: events.HistoryView) -> bool:
    return any(map(query.is_in, (view.text, view.sender, view.to or "")))
