"""What was typed before: going through it, and searching. In memory only. Pure."""

from __future__ import annotations

from collections.abc import Iterable

PAST_LINES = 500


class LineHistory:
    """Lines that were entered, and the one being typed, which waits behind the last of them."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._place = 0  # their number: the line that is not among them yet
        self._draft = ""

    def add(self, line: str) -> None:
        """Keep a line, if it is not the last one again."""
        if line.strip() and self._lines[-1:] != [line]:
            self._lines = [*self._lines, line][-PAST_LINES:]

    def reset(self) -> None:
        """What is typed next is a new line."""
        self._place, self._draft = len(self._lines), ""

    def walk(self, step: int, text: str) -> str | None:
        """The line before (-1) or after (1) the one that is shown, which is ``text`` now; None
        if there is none."""
        place = self._place + step
        return self.go(place, text) if 0 <= place <= len(self._lines) else None

    def go(self, place: int, text: str) -> str:
        """The line at ``place``, from where ``walk`` goes on; ``text`` is what is left."""
        if self._place == len(self._lines):
            self._draft = text
        self._place = place
        return self._draft if place == len(self._lines) else self._lines[place]


class HistorySearch:
    """A search through a past, backwards from its newest line. ``text`` and ``cursor`` are the
    line that was there before."""

    def __init__(self, past: LineHistory, text: str, cursor: int) -> None:
        self.text, self.cursor = text, cursor
        self.query = ""
        self.failed = False
        self.place = len(past._lines)
        self._lines = past._lines

    def type(self, text: str) -> None:
        """HistorySearch for more: here first, then further back."""
        self.query += text
        self._find(range(min(self.place, len(self._lines) - 1), -1, -1))

    def rub(self) -> None:
        """HistorySearch for one character less, from the newest line on again."""
        self.query = self.query[:-1]
        self.place = len(self._lines)
        self.failed = False
        if self.query:
            self._find(range(len(self._lines) - 1, -1, -1))

    def turn(self, step: int) -> None:
        """The next line that has it: an older one (-1) or a newer one (1)."""
        end = -1 if step < 0 else len(self._lines)
        shown = self._lines[self.place] if self.place < len(self._lines) else None
        if self.query:
            self._find(
                place for place in range(self.place + step, end, step)
                if self._lines[place] != shown
            )  # fmt: skip

    def found(self) -> tuple[str, int]:
        """The line that is shown, and where in it what was searched for stands."""
        if self.place == len(self._lines):
            return self.text, self.cursor
        line = self._lines[self.place]
        return line, max(0, line.casefold().find(self.query.casefold()))

    def _find(self, places: Iterable[int]) -> None:
        query = self.query.casefold()
        place = next((n for n in places if query in self._lines[n].casefold()), None)
        self.failed = place is None
        self.place = self.place if place is None else place
