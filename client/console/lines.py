"""The line editor: keys in, the line being typed out.

Pure. The cursor moves by what a person takes for one character (``widths.clusters``). History
and the text that was cut are in memory only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from client.console.keys import Key
from client.console.widths import clusters
from i18n import _

HISTORY_LINES = 500
PASTE_LINES = 5  # what is pasted with more lines is asked about first
LINE_CHARS = 256 * 1024  # what is typed beyond that is dropped; no server takes as much

Complete = Callable[[str], "tuple[int, list[str]]"]
Remember = Callable[[str], bool]


@dataclass(frozen=True)
class LineView:
    """The line as it is to be shown; ``cursor`` is an index into ``text``. ``entered``: Enter
    has been pressed since the last view. ``question``: something to answer first."""

    text: str = ""
    cursor: int = 0
    entered: bool = False
    question: str = ""


@dataclass(frozen=True)
class Entered:
    """A line that was finished with Enter."""

    line: str


@dataclass(frozen=True)
class Leave:
    """Ctrl-C or Ctrl-D on an empty line."""


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
class _Offer:
    """What Tab goes round: the text around the word, and what may stand there."""

    before: str
    after: str
    choices: list[str]
    place: int


class LineEditor:
    """One line being typed.

    ``complete`` gets the line up to the cursor and returns where the word under it starts and
    what may replace it. ``remember`` decides whether a finished line enters the history.
    """

    def __init__(
        self, complete: Complete = _no_completion, remember: Remember = _always
    ) -> None:
        self.text = ""
        self.cursor = 0
        self._complete = complete
        self._remember = remember
        self._cut = ""
        self._history: list[str] = []
        self._place = 0  # in the history; its length: the line that is not in it yet
        self._draft = ""
        self._offer: _Offer | None = None
        self._pasted = ""  # waits for an answer
        self._alarmed = False  # Ctrl-X was the last key
        self._bindings: dict[str, Callable[[], Outcome | None]] = {
            "enter": self._enter, "newline": lambda: self._insert("\n"),
            "tab": lambda: self._turn(1), "backtab": lambda: self._turn(-1),
            "backspace": self._backspace, "ctrl-h": self._backspace, "delete": self._delete,
            "left": self._left, "ctrl-b": self._left, "right": self._right, "ctrl-f": self._right,
            "word-left": self._word_left, "word-right": self._word_right,
            "home": self._home, "ctrl-a": self._home, "end": self._end, "ctrl-e": self._end,
            "up": lambda: self._walk(-1), "ctrl-p": lambda: self._walk(-1),
            "down": lambda: self._walk(1), "ctrl-n": lambda: self._walk(1),
            "ctrl-w": self._cut_word, "ctrl-u": self._cut_before, "ctrl-k": self._cut_after,
            "ctrl-y": lambda: self._insert(self._cut),
            "ctrl-c": self._clear_or_leave, "ctrl-d": self._delete_or_leave,
            "ctrl-l": Redraw, "ctrl-z": Suspend,
        }  # fmt: skip

    def press(self, key: Key) -> Outcome | None:
        """Do what a key means; unknown ones mean nothing."""
        twice, self._alarmed = self._alarmed, key.name == "ctrl-x"
        if self._alarmed:
            return Panic() if twice else None
        if key.name not in ("tab", "backtab"):
            self._offer = None
        if self._pasted:
            return self._answer(key)
        if key.name == "paste" and key.text.count("\n") >= PASTE_LINES:
            self._pasted = key.text
            return None
        if key.name in ("text", "paste"):
            self._insert(key.text)
            return None
        action = self._bindings.get(key.name)
        return None if action is None else action()

    def view(self) -> LineView:
        if self._alarmed:
            question = _("Press Ctrl-X again to forget everything and leave at once.")
            return LineView(self.text, self.cursor, question=question)
        if self._pasted:
            return LineView(self.text, self.cursor, question=self._question())
        return LineView(self.text, self.cursor)

    def _question(self) -> str:
        count = (self.text + self._pasted).count("\n") + 1
        text = _("Send {count} lines as one message? y: send, e: edit first, n: no")
        return text.format(count=count)

    def _answer(self, key: Key) -> Outcome | None:
        """What to do with a long paste; keys that are no answer do nothing."""
        word = key.text[:1].casefold() if key.name == "text" else key.name
        if word in ("n", "escape", "ctrl-c", "ctrl-d", "ctrl-u"):
            self._pasted = ""
        elif word in ("y", "e", "enter"):
            text, self._pasted = self._pasted, ""
            self._insert(text)
            done = None if word == "e" else self._enter()
            self._insert(key.text[1:])  # typed on without waiting
            return done
        else:
            return None
        self._insert(key.text[1:])
        return None

    def _set(self, text: str, cursor: int) -> None:
        self.text, self.cursor = text, cursor

    def _before(self) -> int:
        """Where the character before the cursor begins."""
        return self.cursor - len(_last(clusters(self.text[: self.cursor])))

    def _after(self) -> int:
        """Where the character after the cursor ends."""
        return self.cursor + len(next(clusters(self.text[self.cursor:]), ""))

    def _insert(self, text: str) -> None:
        text = text[: LINE_CHARS - len(self.text)]
        cursor = self.cursor + len(text)
        self._set(self.text[: self.cursor] + text + self.text[self.cursor:], cursor)
        self._settle()

    def _settle(self) -> None:
        """Move the cursor out of a character that it came to stand in, to its end."""
        end = 0
        for cluster in clusters(self.text):
            if end >= self.cursor:
                break
            end += len(cluster)
        self.cursor = end

    def _remove(self, start: int, end: int) -> None:
        self._set(self.text[:start] + self.text[end:], start)
        self._settle()

    def _backspace(self) -> None:
        self._remove(self._before(), self.cursor)

    def _delete(self) -> None:
        self._remove(self.cursor, self._after())

    def _left(self) -> None:
        self.cursor = self._before()

    def _right(self) -> None:
        self.cursor = self._after()

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

    def _cut_out(self, start: int, end: int) -> None:
        if start < end:
            self._cut = self.text[start:end]
            self._remove(start, end)

    def _cut_word(self) -> None:
        self._cut_out(self._word_start(), self.cursor)

    def _cut_before(self) -> None:
        self._cut_out(0, self.cursor)

    def _cut_after(self) -> None:
        self._cut_out(self.cursor, len(self.text))

    def _enter(self) -> Outcome | None:
        line = self.text
        self._set("", 0)
        if line.strip() and self._remember(line) and self._history[-1:] != [line]:
            self._history = [*self._history, line][-HISTORY_LINES:]
        self._place, self._draft = len(self._history), ""
        return Entered(line)

    def _clear_or_leave(self) -> Outcome | None:
        if not self.text:
            return Leave()
        self._set("", 0)
        self._place, self._draft = len(self._history), ""
        return None

    def _delete_or_leave(self) -> Outcome | None:
        if not self.text:
            return Leave()
        self._delete()
        return None

    def _walk(self, step: int) -> None:
        """Go through the history; the line that was being typed waits at its end."""
        place = self._place + step
        if not 0 <= place <= len(self._history):
            return
        if self._place == len(self._history):
            self._draft = self.text
        self._place = place
        text = self._draft if place == len(self._history) else self._history[place]
        self._set(text, len(text))

    def _turn(self, step: int) -> None:
        """Put the next thing that may stand here; after the last one, the first again."""
        if self._offer is None:
            before, after = self.text[: self.cursor], self.text[self.cursor:]
            start, choices = self._complete(before)
            if not choices:
                return
            first = -1 if step > 0 else 0
            self._offer = _Offer(before[:start], after, choices, first)
        offer = self._offer
        offer.place = (offer.place + step) % len(offer.choices)
        text = offer.before + offer.choices[offer.place]
        self._set(text + offer.after, len(text))


def _last(pieces: Iterable[str]) -> str:
    last = ""
    for piece in pieces:
        last = piece
    return last
