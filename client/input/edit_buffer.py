"""The text being edited: where its cursor is, what was killed from it, what can be undone. Pure.

The cursor moves by what a person takes for one character (``widths.clusters``), and never stands
inside one.
"""

from __future__ import annotations

from itertools import islice

from client.output.widths import CLUSTER_MOST, cluster_start, clusters

MOST_CHARS = 256 * 1024  # what is typed beyond that is dropped; no server takes as much
_UNDONE = 100  # changes that can be taken back


class EditBuffer:
    """``text``, and ``cursor``, an index into it. What is killed can be yanked back; of that,
    and of what can be undone, nothing is kept anywhere else."""

    def __init__(self) -> None:
        self.text = ""
        self.cursor = 0
        self._killed = ""
        self._undo: list[tuple[str, int]] = []
        self._typing = False  # the last change was a letter typed

    def set(self, text: str, cursor: int) -> None:
        """Put another text in its place."""
        self.text, self.cursor = text, cursor

    def take_over(self, other: EditBuffer) -> None:
        """What was killed there can be yanked here."""
        self._killed = other._killed

    def insert(self, text: str) -> None:
        """At the cursor, which moves behind it."""
        text = text[: MOST_CHARS - len(self.text)]
        cursor = self.cursor + len(text)
        self.set(self.text[: self.cursor] + text + self.text[self.cursor :], cursor)
        self.leave_cluster()

    def leave_cluster(self) -> None:
        """Move the cursor out of a character that it came to stand in, to its end."""
        end = cluster_start(self.text, self.cursor)
        for cluster in clusters(self.text[end : self.cursor + CLUSTER_MOST]):
            if end >= self.cursor:
                break
            end += len(cluster)
        self.cursor = end

    # What can be undone

    def note(self, before: tuple[str, int], typing: bool) -> None:
        """Remember what text and cursor were ``before`` a change, if there was one; letters typed
        one after the other are one change."""
        if before[0] != self.text and not (typing and self._typing):
            self._undo = [*self._undo, before][-_UNDONE:]
        self._typing = typing

    def undo(self) -> None:
        if self._undo:
            self.set(*self._undo.pop())

    def forget_changes(self) -> None:
        self._undo.clear()

    # Moving

    def _left_of(self, place: int) -> int:
        """Where the character before a place begins."""
        start = cluster_start(self.text[:place], place - 1)
        *_before, last = "", *clusters(self.text[start:place])
        return place - len(last)

    def _right_of(self, place: int) -> int:
        """Where the character after a place ends."""
        return place + len(next(clusters(self.text[place : place + CLUSTER_MOST]), ""))

    def left(self) -> None:
        self.cursor = self._left_of(self.cursor)

    def right(self) -> None:
        self.cursor = self._right_of(self.cursor)

    def _word_start(self) -> int:
        word = self.text[: self.cursor].rstrip()
        return max(word.rfind(space) + 1 for space in " \n")

    def _word_end(self) -> int:
        place = self.cursor
        while place < len(self.text) and self.text[place].isspace():
            place += 1
        while place < len(self.text) and not self.text[place].isspace():
            place += 1
        return place

    def word_left(self) -> None:
        self.cursor = self._word_start()

    def word_right(self) -> None:
        self.cursor = self._word_end()

    def _row_start(self) -> int:
        return self.text.rfind("\n", 0, self.cursor) + 1

    def home(self) -> None:
        """The beginning of the row."""
        self.cursor = self._row_start()

    def end(self) -> None:
        """The end of the row."""
        end = self.text.find("\n", self.cursor)
        self.cursor = len(self.text) if end < 0 else end

    def move_row(self, step: int) -> bool:
        """A row up (-1) or down (1), to as many characters from its beginning; False if there is
        none."""
        start, end = self._row_start(), self.text.find("\n", self.cursor)
        if step < 0 and start > 0:
            row = self.text.rfind("\n", 0, start - 1) + 1
        elif step > 0 and end >= 0:
            row = end + 1
        else:
            return False
        many = sum(1 for _cluster in clusters(self.text[start : self.cursor]))
        text = self.text[row:].partition("\n")[0]
        self.cursor = row + len("".join(islice(clusters(text), many)))
        return True

    # Deleting and killing

    def _remove(self, start: int, end: int) -> None:
        self.set(self.text[:start] + self.text[end:], start)
        self.leave_cluster()

    def backspace(self) -> None:
        self._remove(self._left_of(self.cursor), self.cursor)

    def delete(self) -> None:
        self._remove(self.cursor, self._right_of(self.cursor))

    def _kill(self, start: int, end: int) -> None:
        if start < end:
            self._killed = self.text[start:end]
            self._remove(start, end)

    def kill_word(self) -> None:
        self._kill(self._word_start(), self.cursor)

    def kill_next_word(self) -> None:
        self._kill(self.cursor, self._word_end())

    def kill_to_start(self) -> None:
        self._kill(0, self.cursor)

    def kill_to_end(self) -> None:
        self._kill(self.cursor, len(self.text))

    def yank(self) -> None:
        """Put back what was killed last."""
        self.insert(self._killed)

    def transpose(self) -> None:
        """Exchange the characters around the cursor; at the end, the last two."""
        at_end = self.cursor == len(self.text)
        middle = self._left_of(self.cursor) if at_end else self.cursor
        start, end = self._left_of(middle), self._right_of(middle)
        if start < middle < end:
            swapped = self.text[middle:end] + self.text[start:middle]
            self.set(self.text[:start] + swapped + self.text[end:], end)
            self.leave_cluster()
