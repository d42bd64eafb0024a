"""A search in what a room's scrollback holds: which entries are hits, and which one is looked at.

Pure. A hit is an entry: a message, or one of the program's lines, however often the text stands in
it. Without a text it is one that calls this client's person.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from client.fullscreen.columns import ScreenLine
from client.fullscreen.scrollback import ENTRIES, ScrollbackEntry
from client.output.finding import HIT, THIS_HIT, Query, marked, painted_over, text_of
from client.output.text import one_line
from client.output.widths import cut
from client.output.wrapping import Row, Span
from i18n import _

_KEYS = " (Alt-P, Alt-N, Esc)"
_KEYS_FROM = 60  # columns
_QUERY_COLUMNS = 30


class Finder:
    """Looks for one thing at a time. ``is_open``: hits are marked and counted; what was looked for
    last is remembered after that, until ``forget``."""

    def __init__(self) -> None:
        self.is_open = False
        self._query: Query | None = None  # None: mentions
        self._current = 0  # the number of the entry that is looked at; 0: there is none
        self._known: dict[int, bool] = {}  # by entry number: whether it is a hit

    def open(self, query: Query | None) -> None:
        """Look for something else, or, None, for mentions."""
        self.is_open, self._query, self._current = True, query, 0
        self._known.clear()

    def repeat(self) -> None:
        """Look for the same as last time; mentions, if there was none."""
        self.open(self._query)

    def go_on(self) -> None:
        """Mark the hits again as they were."""
        self.is_open = True

    def close(self) -> None:
        """Mark nothing any more."""
        self.is_open = False

    def forget(self) -> None:
        """Also what was looked for."""
        self.open(None)
        self.close()

    def hits(self, entries: Sequence[ScrollbackEntry]) -> list[int]:
        """Where among the entries they are."""
        return [place for place, entry in enumerate(entries) if self._is_hit(entry)]

    def place(self, entries: Sequence[ScrollbackEntry]) -> int | None:
        """Where the one is that is looked at, or was last; None if there is none, or it is gone."""
        numbers = (place for place, entry in enumerate(entries) if entry.number == self._current)
        return next(numbers, None)

    def start(self, entries: Sequence[ScrollbackEntry], end: int) -> None:
        """Look at the newest hit before the place ``end``, or else at the next one."""
        hits = self.hits(entries)
        self._go(entries, hits, bisect_right(hits, end - 1) - 1)

    def step(self, entries: Sequence[ScrollbackEntry], step: int, first: int, last: int) -> None:
        """Look at the next older hit (-1) or newer one (1) than those from ``first`` to ``last``;
        at the same one where there is none."""
        hits = self.hits(entries)
        before = bisect_right(hits, first - 1)  # so many
        self._go(entries, hits, before - 1 if step < 0 else bisect_right(hits, last))

    def said(self, entries: Sequence[ScrollbackEntry], columns: int) -> str:
        """How many hits there are, and which one this is, counted from the oldest on; empty if
        nothing is looked for."""
        if not self.is_open:
            return ""
        hits, query = self.hits(entries), self._query
        if not hits:
            return _("no mention of you") if query is None else _not_found(query)
        at = self.place(entries)
        place = 1 if at is None else bisect_right(hits, at)
        text = _("mention {place} of {count}") if query is None else _("hit {place} of {count}")
        keys = _KEYS if columns >= _KEYS_FROM else ""
        return text.format(place=f"{place:,}", count=f"{len(hits):,}") + keys

    def look(self, entry: ScrollbackEntry) -> str:
        """The style in which an entry is marked; empty if it is not."""
        if not self.is_open or not self._is_hit(entry):
            return ""
        return THIS_HIT if entry.number == self._current else HIT

    def marked(
        self, entry: ScrollbackEntry, rows: tuple[Row, ...], look: str
    ) -> tuple[Span, tuple[Row, ...]]:
        """An entry's mark and ``rows`` with what was found in ``look``."""
        mark = entry.content.mark
        if not look:
            return mark, rows
        if self._query is None:  # the mention itself stands out anyway
            return painted_over(mark, look) if look == THIS_HIT else mark, rows
        if self._query.is_in(mark.text):
            mark = painted_over(mark, look)
        return mark, marked(rows, self._query, look)

    def _go(self, entries: Sequence[ScrollbackEntry], hits: Sequence[int], wanted: int) -> None:
        if hits:
            self._current = entries[hits[min(max(0, wanted), len(hits) - 1)]].number

    def _is_hit(self, entry: ScrollbackEntry) -> bool:
        known = self._known.get(entry.number)
        if known is None:
            if len(self._known) > 2 * ENTRIES:
                self._known.clear()
            known = self._known[entry.number] = self._has(entry)
        return known

    def _has(self, entry: ScrollbackEntry) -> bool:
        query, content = self._query, entry.content
        if query is None:
            return entry.calls
        return query.is_in(content.mark.text) or query.is_in(text_of(content.rows))


def line_found(lines: Sequence[ScreenLine]) -> int | None:
    """The first line in which the hit that is looked at is marked."""
    for number, line in enumerate(lines):
        if any(span.style == THIS_HIT for piece in line for span in piece.spans):
            return number
    return None


def _not_found(query: Query) -> str:
    return _("not found: {query}").format(query=cut(one_line(query.text), _QUERY_COLUMNS))
