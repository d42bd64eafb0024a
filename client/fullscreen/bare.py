"""Messages without frame and columns, to select and copy from: what Alt-L shows.

Pure. The terminal folds the lines itself, so what is selected is what was written. There nothing
keeps a text in a column of its own: as in ``lines``, what tells who speaks begins with the sign
that no text can contain, and stands on a line of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from client.fullscreen.scrollback import ScrollbackEntry
from client.input.terminal import Size
from client.output.line_prefix import LinePrefix
from client.output.widths import JOINER, clusters, cut, fill, width
from client.output.wrapping import Span
from i18n import _


class BareView:
    """``entries`` on a screen of ``size``, from the last one upwards."""

    def __init__(self, entries: Sequence[ScrollbackEntry], prefix: LinePrefix, size: Size) -> None:
        # On a row one column stays empty where a character of two has no room.
        self._columns, self._rows = max(2, size.columns) - 1, max(1, size.rows - 1)
        self._entries, self._prefix = list(entries), prefix
        self._lines: list[str] = []  # of the entries taken so far; the newest line is the first
        self._foot = 0  # the lowest line that is seen
        text = prefix.shown(_("Any key goes back; PgUp and PgDn show more."))
        self.foot = cut(f"{prefix.text} {text}", self._columns, prefix.charset.shown("…"))

    def lines(self) -> list[str]:
        """What is shown: no more than there are rows for, as the terminal folds it."""
        head = self._head()
        return self._lines[self._foot : head][::-1]

    def page(self, step: int) -> None:
        """Go a screen up (-1) or down (1)."""
        if step < 0:
            head = self._head()
            self._foot = head if self._has(head) else self._foot
            return
        left = self._rows
        while self._foot > 0 and (high := self._high(self._foot - 1)) <= left:
            left -= high
            self._foot -= 1

    def _head(self) -> int:
        """Where the lines end that have room above the lowest one."""
        left, place = self._rows, self._foot
        while self._has(place) and (high := self._high(place)) <= left:
            left -= high
            place += 1
        return place

    def _has(self, place: int) -> bool:
        """Whether there is such a line; entries are taken apart only when they are looked at."""
        most = self._columns * self._rows
        while len(self._lines) <= place and self._entries:
            entry = self._entries.pop()
            pieces = [each for line in _lines(entry, self._prefix) for each in _pieces(line, most)]
            self._lines += reversed(pieces)
        return place < len(self._lines)

    def _high(self, place: int) -> int:
        """The most rows that a line takes."""
        return max(1, -(-width(self._lines[place]) // self._columns))


def _lines(entry: ScrollbackEntry, prefix: LinePrefix) -> Iterator[str]:
    clock, name = f"{entry.when:%H:%M}", prefix.charset.name(entry.content.mark.text)
    first, *more = entry.content.rows
    if entry.counts:
        lead = _text(first.spans[: entry.content.lead], prefix).rstrip(" :")
        who = prefix.shown(", ".join(filter(None, (name, lead))))
        yield f"{prefix.text} {clock} {who}:"
        yield prefix.shown(_text(first.spans[entry.content.lead :], prefix))
    else:
        yield f"{prefix.text} {clock} {prefix.shown(f'{name} {_text(first.spans, prefix)}')}"
    for row in more:
        yield prefix.shown(_text(row.spans, prefix))


def _text(spans: Iterable[Span], prefix: LinePrefix) -> str:
    return "".join(span.shown(prefix.charset) for span in spans)


def _pieces(line: str, most: int) -> Iterator[str]:
    """A line that is longer than the screen, in pieces that are not. At their ends joiners join
    nothing, and tmux drops what is written next."""
    *pieces, last = fill(clusters(line), most)
    yield from (piece.rstrip(JOINER) for piece in pieces)
    yield last
