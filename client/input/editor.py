"""The line editor: keys in, the line being typed out.

Pure. The cursor moves by what a person takes for one character (``widths.clusters``). History
and the text that was cut are in memory only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

from client.input.key_sequences import KeyPress
from client.input.line_history import HistorySearch, LineHistory
from client.output.widths import clusters
from i18n import _

PASTE_LINES = 5  # what is pasted with more lines is asked about first
LEAVE_TIME = 2.0  # seconds in which a second Ctrl-C leaves
_UNDONE = 100  # changes that can be taken back
LINE_CHARS = 256 * 1024  # what is typed beyond that is dropped; no server takes as much

Complete = Callable[[str], "tuple[int, list[str]]"]
Remember = Callable[[str], bool]


@dataclass(frozen=True)
class LineView:
    """The line as it is to be shown; ``cursor`` is an index into ``text``. ``entered``: Enter
    has been pressed since the last view. ``question``: something to answer first. ``prompt``: what
    stands before the line, if not the room."""

    text: str = ""
    cursor: int = 0
    entered: bool = False
    question: str = ""
    prompt: str = ""


@dataclass(frozen=True)
class Entered:
    """A line that was finished with Enter."""

    line: str


@dataclass(frozen=True)
class Leave:
    """Ctrl-D on an empty line, or Ctrl-C there."""


@dataclass(frozen=True)
class Redraw:
    """Ctrl-L."""


@dataclass(frozen=True)
class Suspend:
    """Ctrl-Z."""


@dataclass(frozen=True)
class Panic:
    """Ctrl-X twice."""


Outcome = Entered | Leave | Redraw | Suspend | Panic


def _no_completion(_before: str) -> tuple[int, list[str]]:
    return 0, []


def _always(_line: str) -> bool:
    return True


@dataclass
class _Completion:
    """What Tab goes round: the text around the word, and what may stand there."""

    before: str
    after: str
    choices: list[str]
    place: int


class LineEditor:
    """One line being typed.

    ``complete`` gets the line up to the cursor and returns where the word under it starts and
    what may replace it. ``remember`` decides whether a finished line enters the history.
    ``leave_twice``: Ctrl-C on an empty line has to be pressed twice, within ``LEAVE_TIME`` of
    ``clock``, which is monotonic. ``yank``: Ctrl-Y puts back what was cut; Alt-Y always does.
    """

    def __init__(
        self,
        complete: Complete = _no_completion,
        remember: Remember = _always,
        *,
        leave_twice: bool = False,
        yank: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.text = ""
        self.cursor = 0
        self._complete = complete
        self._remember = remember
        self._leave_twice = leave_twice
        self._clock = clock
        self._killed = ""
        self._history = LineHistory()
        self._completion: _Completion | None = None
        self._search: HistorySearch | None = None
        self._pasted: str | None = None  # waits for an answer
        self._panic_armed = False  # Ctrl-X was the last key
        self._closed = False  # the last key closed a question or a search
        self._leaving: float | None = None  # Ctrl-C leaves until then
        self._undo: list[tuple[str, int]] = []
        self._typing = False  # the last key was a letter
        self._bindings: dict[str, Callable[[], Outcome | None]] = {
            "enter": self._enter, "newline": self._newline, "escape-enter": self._enter,
            "tab": lambda: self._complete_next(1), "backtab": lambda: self._complete_next(-1),
            "backspace": self._backspace, "ctrl-h": self._backspace, "delete": self._delete,
            "left": self._left, "ctrl-b": self._left, "right": self._right, "ctrl-f": self._right,
            "word-left": self._word_left, "word-right": self._word_right,
            "home": self._home, "ctrl-a": self._home, "end": self._end, "ctrl-e": self._end,
            "up": lambda: self._up(-1), "ctrl-p": lambda: self._up(-1),
            "down": lambda: self._up(1), "ctrl-n": lambda: self._up(1),
            "ctrl-w": self._kill_word, "ctrl-u": self._kill_to_start, "ctrl-k": self._kill_to_end,
            "delete-word": self._kill_next_word, "alt-d": self._kill_next_word,
            "ctrl-t": self._transpose, "alt-y": lambda: self._insert(self._killed),
            "ctrl-_": self._undo_last, "ctrl-r": self._begin_search,
            "ctrl-c": self._clear_or_leave, "ctrl-d": self._delete_or_leave,
            "ctrl-l": Redraw, "ctrl-z": Suspend,
        }  # fmt: skip
        if yank:
            self._bindings["ctrl-y"] = self._bindings["alt-y"]

    @property
    def deadline(self) -> float | None:
        """When the view changes by itself (as ``clock`` counts); None: it does not."""
        if self._leaving is not None and self._clock() >= self._leaving:
            self._leaving = None
        return self._leaving

    def press(self, key: KeyPress) -> Outcome | None:
        """Do what a key means; unknown ones mean nothing."""
        twice, self._panic_armed = self._panic_armed, key.name == "ctrl-x"
        if self._panic_armed:
            return Panic() if twice else None
        leaving = self.deadline is not None
        self._leaving = None
        before = self.text, self.cursor
        closed, self._closed = self._closed, False
        if key.name == "ctrl-c" and leaving:
            return Leave()
        if key.name == "escape-enter" and not closed:
            key = KeyPress("newline")  # Alt-Enter on a slow line, since Esc had nothing to close
        outcome = self._press(key)
        if isinstance(outcome, Entered):
            self._undo.clear()
        else:
            self._record_undo(key, before)
        return outcome

    def _press(self, key: KeyPress) -> Outcome | None:
        if key.name not in ("tab", "backtab"):
            self._completion = None
        if self._search is not None and key.name != "paste-asks":
            if self._searching(self._search, key):
                return None
        self._search = None
        if key.name in ("paste", "paste-asks"):
            self._paste(key)
            return None
        if self._pasted is not None:
            return self._answer(key)
        if key.name == "text":
            self._insert(key.text)
            return None
        action = self._bindings.get(key.name)
        return None if action is None else action()

    def _free(self) -> bool:
        return self._search is None and self._pasted is None

    def view(self) -> LineView:
        """What is to be seen of the line now."""
        if self._panic_armed:
            question = _("Press Ctrl-X again to forget everything and leave at once.")
            return LineView(self.text, self.cursor, question=question)
        if self._pasted is not None:
            return LineView(self.text, self.cursor, question=self._question(self._pasted))
        if self.deadline is not None:
            return LineView(question=_("Press Ctrl-C again to leave."))
        if self._search is not None:
            return LineView(self.text, self.cursor, prompt=_sought(self._search))
        return LineView(self.text, self.cursor)

    # A paste that is asked about

    def _paste(self, key: KeyPress) -> None:
        if self._pasted is not None:  # more of it
            self._pasted = (self._pasted + key.text)[:LINE_CHARS]
        elif key.name == "paste-asks" or key.text.count("\n") >= PASTE_LINES:
            self._pasted = key.text
        else:
            self._insert(key.text)

    def _question(self, pasted: str) -> str:
        count = (self.text + pasted).count("\n") + 1
        if count == 1:
            return _("Send this line? y: send, e: edit first, n: no")
        text = _("Send {count} lines as one message? y: send, e: edit first, n: no")
        return text.format(count=count)

    def _answer(self, key: KeyPress) -> Outcome | None:
        """What to do with a paste; keys that are no answer do nothing, and Enter is none: it may
        have been pasted, too. Nor is a ``y`` with more behind it."""
        letter = key.text[:1].casefold()
        word = letter if letter and (letter != "y" or len(key.text) == 1) else key.name
        if word in ("n", "escape", "ctrl-c", "ctrl-d", "ctrl-u"):
            self._pasted = None
            self._closed = True
            self._insert(key.text[1:])  # typed on without waiting
        elif word in ("y", "e") and self._pasted is not None:
            text, self._pasted = self._pasted, None
            self._insert(text + key.text[1:])
            return None if word == "e" else self._enter()
        return None

    # Searching in what was typed

    def _begin_search(self) -> None:
        self._search = HistorySearch(self._history, self.text, self.cursor)

    def _searching(self, search: HistorySearch, key: KeyPress) -> bool:
        """A key while searching; False if it ends the search, and means what it always does."""
        if key.name in ("text", "paste"):
            search.type(key.text.replace("\n", " "))
        elif key.name in ("backspace", "ctrl-h"):
            search.rub()
        elif key.name in ("ctrl-r", "ctrl-s"):
            search.turn(-1 if key.name == "ctrl-r" else 1)
        elif key.name in ("escape", "ctrl-g", "ctrl-c"):
            self._set(search.text, search.cursor)
            self._search, self._closed = None, True
            return True
        else:
            self._history.go(search.place, search.text)
            self._search = None
            self._undo.append((search.text, search.cursor))
            # Enter takes the line; sending it is another Enter.
            return key.name in ("enter", "newline", "escape-enter", "tab")
        self._set(*search.found())
        self._leave_cluster()
        return True

    # Taking back

    def _record_undo(self, key: KeyPress, before: tuple[str, int]) -> None:
        """Remember what the line was before a key changed it; letters go together."""
        typing = key.name == "text" and self._free()
        if key.name != "ctrl-_" and self._search is None and before[0] != self.text:
            if not (typing and self._typing):
                self._undo = [*self._undo, before][-_UNDONE:]
        self._typing = typing

    def _undo_last(self) -> None:
        if self._undo:
            self._set(*self._undo.pop())

    def _set(self, text: str, cursor: int) -> None:
        self.text, self.cursor = text, cursor

    def _cluster_start(self) -> int:
        """Where the character before the cursor begins."""
        return self.cursor - len(_last(clusters(self.text[: self.cursor])))

    def _cluster_end(self) -> int:
        """Where the character after the cursor ends."""
        return self.cursor + len(next(clusters(self.text[self.cursor:]), ""))

    def _insert(self, text: str) -> None:
        text = text[: LINE_CHARS - len(self.text)]
        cursor = self.cursor + len(text)
        self._set(self.text[: self.cursor] + text + self.text[self.cursor:], cursor)
        self._leave_cluster()

    def _leave_cluster(self) -> None:
        """Move the cursor out of a character that it came to stand in, to its end."""
        end = 0
        for cluster in clusters(self.text):
            if end >= self.cursor:
                break
            end += len(cluster)
        self.cursor = end

    def _remove(self, start: int, end: int) -> None:
        self._set(self.text[:start] + self.text[end:], start)
        self._leave_cluster()

    def _backspace(self) -> None:
        self._remove(self._cluster_start(), self.cursor)

    def _delete(self) -> None:
        self._remove(self.cursor, self._cluster_end())

    def _left(self) -> None:
        self.cursor = self._cluster_start()

    def _right(self) -> None:
        self.cursor = self._cluster_end()

    def _word_start(self) -> int:
        before = self.text[: self.cursor]
        word = before.rstrip()
        return max((word.rfind(space) + 1 for space in " \n"), default=0)

    def _word_left(self) -> None:
        self.cursor = self._word_start()

    def _word_right(self) -> None:
        place = self.cursor
        while place < len(self.text) and self.text[place].isspace():
            place += 1
        while place < len(self.text) and not self.text[place].isspace():
            place += 1
        self.cursor = place

    def _home(self) -> None:
        self.cursor = self.text.rfind("\n", 0, self.cursor) + 1

    def _end(self) -> None:
        end = self.text.find("\n", self.cursor)
        self.cursor = len(self.text) if end < 0 else end

    def _kill(self, start: int, end: int) -> None:
        if start < end:
            self._killed = self.text[start:end]
            self._remove(start, end)

    def _kill_word(self) -> None:
        self._kill(self._word_start(), self.cursor)

    def _kill_to_start(self) -> None:
        self._kill(0, self.cursor)

    def _kill_to_end(self) -> None:
        self._kill(self.cursor, len(self.text))

    def _kill_next_word(self) -> None:
        start = self.cursor
        self._word_right()
        self._kill(start, self.cursor)

    def _transpose(self) -> None:
        """Change places of the characters around the cursor; at the end, of the last two."""
        middle = self._cluster_start() if self.cursor == len(self.text) else self.cursor
        start = middle - len(_last(clusters(self.text[:middle])))
        end = middle + len(next(clusters(self.text[middle:]), ""))
        if start < middle < end:
            swapped = self.text[middle:end] + self.text[start:middle]
            self._set(self.text[:start] + swapped + self.text[end:], end)
            self._leave_cluster()

    def _newline(self) -> None:
        self._insert("\n")

    def _enter(self) -> Outcome | None:
        line = self.text
        self._set("", 0)
        if self._remember(line):
            self._history.add(line)
        self._history.reset()
        return Entered(line)

    def _clear_or_leave(self) -> Outcome | None:
        if not self.text:
            if not self._leave_twice:
                return Leave()
            self._leaving = self._clock() + LEAVE_TIME
            return None
        self._set("", 0)
        self._history.reset()
        return None

    def _delete_or_leave(self) -> Outcome | None:
        if not self.text:
            return Leave()
        self._delete()
        return None

    def _up(self, step: int) -> None:
        """A line up (-1) or down (1): within a draft of several lines, then in what was typed."""
        start = self.text.rfind("\n", 0, self.cursor) + 1
        end = self.text.find("\n", self.cursor)
        if step < 0 and start > 0:
            self._move_to_row(self.text.rfind("\n", 0, start - 1) + 1, start)
        elif step > 0 and end >= 0:
            self._move_to_row(end + 1, start)
        else:
            text = self._history.walk(step, self.text)
            if text is not None:
                self._set(text, len(text))

    def _move_to_row(self, line: int, start: int) -> None:
        """Move to the line that begins at ``line``, as far from its beginning as from ``start``."""
        many = sum(1 for _cluster in clusters(self.text[start: self.cursor]))
        row = self.text[line:].partition("\n")[0]
        self.cursor = line + len("".join(islice(clusters(row), many)))

    def _complete_next(self, step: int) -> None:
        """Put the next thing that may stand here; after the last one, the first again."""
        if self._completion is None:
            before, after = self.text[: self.cursor], self.text[self.cursor:]
            start, choices = self._complete(before)
            if not choices:
                return
            first = -1 if step > 0 else 0
            self._completion = _Completion(before[:start], after, choices, first)
        offer = self._completion
        offer.place = (offer.place + step) % len(offer.choices)
        text = offer.before + offer.choices[offer.place]
        self._set(text + offer.after, len(text))


def _sought(search: HistorySearch) -> str:
    """What stands before a line that is being searched for."""
    text = _("not found: {query}") if search.failed else _("search: {query}")
    return text.format(query=search.query)


def _last(pieces: Iterable[str]) -> str:
    last = ""
    for piece in pieces:
        last = piece
    return last
