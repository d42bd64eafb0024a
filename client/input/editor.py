"""The line editor: key presses in, the line being typed out.

Pure. What a key does to the text is ``edit_buffer``'s; here it is decided whether it does that, or
answers a question, searches, completes, shows another view, or leaves. Each view has a draft of its
own, and a history of lines, which is in memory only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from enum import Enum, auto

from client.input.edit_buffer import MOST_CHARS, EditBuffer
from client.input.key_sequences import KeyPress
from client.input.line_history import HistorySearch, LineHistory
from i18n import _
from protocol.dataclass import dataclass

PASTE_LINES = 5  # what is pasted with more lines is asked about first
LEAVE_TIME = 2.0  # seconds in which a second Ctrl-C leaves
# Seconds without a key, after which keys count again where a view that nobody has asked for has
# taken the place of one that was being typed into: the rest of that line is not for it.
DEAF_TIME = 1.0
MOST_DRAFTS = 64  # views whose drafts are kept; more than there are at once

Complete = Callable[[str], "tuple[int, list[str]]"]
Remember = Callable[[str], bool]


@dataclass(frozen=True)
class LineView:
    """The line as it is to be shown; ``cursor`` is an index into ``text``. ``entered``: Enter
    has been pressed since the last view. ``question``: something to answer first. ``prompt``: what
    stands before the line, if not the room. ``view``: the key of the view that it is typed for."""

    text: str = ""
    cursor: int = 0
    entered: bool = False
    question: str = ""
    prompt: str = ""
    view: str = ""


class Action(Enum):
    """What a key asks for that is none of the editor's business."""

    LEAVE = auto()  # Ctrl-D on an empty line, or Ctrl-C there
    REDRAW = auto()  # Ctrl-L
    SUSPEND = auto()  # Ctrl-Z
    PANIC = auto()  # Ctrl-X twice
    ESCAPE = auto()  # Esc, where nothing is open here that it could close
    SHOW = auto()  # another view, which the key names


class Completion:
    """Puts one after the other of what may stand where the word before the cursor is.
    ``complete`` gets the line up to the cursor and returns where that word starts and what may
    replace it."""

    def __init__(self, complete: Complete) -> None:
        self._complete = complete
        self._before = self._after = ""  # the text around the word
        self._choices: list[str] = []
        self._place = 0  # of these, the one that is there

    def stop(self) -> None:
        """The one that is there was meant."""
        self._choices = []

    def turn(self, buffer: EditBuffer, step: int) -> None:
        """The next one (1) or the one before (-1); after the last one, the first again."""
        if not self._choices:
            text, cursor = buffer.text, buffer.cursor
            start, self._choices = self._complete(text[:cursor])
            self._before, self._after = text[:start], text[cursor:]
            self._place = -1 if step > 0 else 0
        if self._choices:
            self._place = (self._place + step) % len(self._choices)
            text = self._before + self._choices[self._place]
            buffer.set(text + self._after, len(text))


class Draft:
    """The line that is typed for one view, and what was typed there before."""

    def __init__(self) -> None:
        self.buffer = EditBuffer()
        self.history = LineHistory()
        self.search: HistorySearch | None = None
        self.pasted: str | None = None  # waits for an answer


class LineEditor:
    """The lines being typed; ``buffer`` is the text of the one for the view that is shown.

    ``shown`` tells that view's key; it is asked before each key, and each time that the line is
    looked at. ``complete``: as for ``Completion``. ``remember`` decides whether a finished line
    enters the history. ``leave_twice``: Ctrl-C on an empty line has to be pressed twice, within
    ``LEAVE_TIME`` of ``clock``, which is monotonic. ``yank``: Ctrl-Y puts back what was killed;
    Alt-Y always does.
    """

    def __init__(
        self,
        complete: Complete = lambda before: (0, []),
        remember: Remember = lambda line: True,
        *,
        leave_twice: bool = False,
        yank: bool = True,
        shown: Callable[[], str] = str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._remember = remember
        self._leave_twice = leave_twice
        self._clock = clock
        self._shown = shown
        self._completion = Completion(complete)
        self._view = ""
        self._draft = Draft()
        self._drafts = {self._view: self._draft}  # in the order in which they were turned to
        self._panic_armed = False  # Ctrl-X was the last key
        self._closed = False  # the last key closed a question or a search
        self._leaving: float | None = None  # Ctrl-C leaves until then
        self._asked = False  # the last key asked for another view
        self._deaf = -math.inf  # until then, keys belong to a line whose view is gone
        self._yank = yank

    @property
    def buffer(self) -> EditBuffer:
        return self._draft.buffer

    @property
    def deadline(self) -> float | None:
        """When the view changes by itself (as ``clock`` counts); None: it does not."""
        if self._leaving is not None and self._clock() >= self._leaving:
            self._leaving = None
        return self._leaving

    def _turn(self) -> None:
        """Go on with the draft of the view that is shown now."""
        shown = self._shown()
        if shown == self._view:
            return
        if self._view and self.buffer.text and not self._asked:
            self._deaf = self._clock() + DEAF_TIME
        self._asked = False
        # What was typed before there was any view is for the first one.
        first = None if self._view else self._drafts.pop(self._view)
        draft = self._drafts.pop(shown, None) or first or Draft()
        draft.buffer.take_over(self._draft.buffer)
        self._view, self._draft, self._leaving = shown, draft, None
        self._drafts[shown] = draft
        self._completion.stop()
        while len(self._drafts) > MOST_DRAFTS:
            del self._drafts[next(iter(self._drafts))]

    def press(self, key: KeyPress) -> str | Action | None:
        """Do what a key means, if anything; the line, if that has finished it."""
        self._turn()
        self._asked = False
        if self._is_lost(key):
            return None
        twice, self._panic_armed = self._panic_armed, key.name == "ctrl-x"
        if self._panic_armed:
            return Action.PANIC if twice else None
        leaving = self.deadline is not None
        self._leaving = None
        before = self.buffer.text, self.buffer.cursor
        closed, self._closed = self._closed, False
        if key.name == "ctrl-c" and leaving:
            return Action.LEAVE
        if key.name == "escape-enter" and not closed:
            key = KeyPress("newline")  # Alt-Enter on a slow line, since Esc had nothing to close
        outcome = self._press(key)
        self._asked = outcome is Action.SHOW
        if isinstance(outcome, str):
            self.buffer.forget_changes()
            return outcome
        draft = self._draft
        typing = key.name == "text" and draft.search is None and draft.pasted is None
        # What is undone, and what a search passes by, are no changes.
        kept = key.name == "ctrl-_" or draft.search is not None
        self.buffer.note((self.buffer.text, 0) if kept else before, typing)
        return outcome

    def _is_lost(self, key: KeyPress) -> bool:
        """Whether a key is of a line whose view is gone, and for no other one."""
        now = self._clock()
        if key.name not in _WRITING:
            self._deaf = -math.inf  # somebody has seen where this is
        if now >= self._deaf:
            return False
        self._deaf = now + DEAF_TIME
        return True

    def _press(self, key: KeyPress) -> str | Action | None:
        if key.name not in ("tab", "backtab"):
            self._completion.stop()
        draft = self._draft
        if draft.search is not None and key.name != "paste-asks":
            if self._searching(draft.search, key):
                return None
        draft.search = None
        if key.name in ("paste", "paste-asks"):
            self._paste(key)
            return None
        if draft.pasted is not None:
            return self._answer(key)
        if key.name == "text":
            draft.buffer.insert(key.text)
        elif key.name in SHOWING:
            return Action.SHOW
        elif edit := _EDITING.get(key.name):
            if key.name != "ctrl-y" or self._yank:
                edit(draft.buffer)
        elif act := _ACTING.get(key.name):
            return act(self)
        return None

    def note_closed(self) -> None:
        """The last key closed something elsewhere, so that Enter right behind it is Enter."""
        self._closed = True

    def view(self) -> LineView:
        """What is to be seen of the line now."""
        self._turn()
        text, cursor = self.buffer.text, self.buffer.cursor
        if self._panic_armed:
            question = _("Press Ctrl-X again to forget everything and leave at once.")
            return LineView(text, cursor, question=question, view=self._view)
        if self._draft.pasted is not None:
            question = self._question(self._draft.pasted)
            return LineView(text, cursor, question=question, view=self._view)
        if self.deadline is not None:
            return LineView(question=_("Press Ctrl-C again to leave."), view=self._view)
        return LineView(text, cursor, prompt=_sought(self._draft.search), view=self._view)

    def entered(self) -> LineView:
        """The same right after Enter."""
        return LineView(entered=True, view=self._view)

    # A paste that is asked about

    def _paste(self, key: KeyPress) -> None:
        if self._draft.pasted is not None:  # more of it
            self._draft.pasted = (self._draft.pasted + key.text)[:MOST_CHARS]
        elif key.name == "paste-asks" or key.text.count("\n") >= PASTE_LINES:
            self._draft.pasted = key.text
        else:
            self.buffer.insert(key.text)

    def _question(self, pasted: str) -> str:
        count = (self.buffer.text + pasted).count("\n") + 1
        if count == 1:
            return _("Send this line? y: send, e: edit first, n: no")
        text = _("Send {count} lines as one message? y: send, e: edit first, n: no")
        return text.format(count=count)

    def _answer(self, key: KeyPress) -> str | None:
        """What to do with a paste; keys that are no answer do nothing, and Enter is none: it may
        have been pasted, too. Nor is a ``y`` with more behind it."""
        letter = key.text[:1].casefold()
        word = letter if letter and (letter != "y" or len(key.text) == 1) else key.name
        if word in ("n", "escape", "ctrl-c", "ctrl-d", "ctrl-u"):
            self._draft.pasted = None
            self._closed = True
            self.buffer.insert(key.text[1:])  # typed on without waiting
        elif word in ("y", "e") and self._draft.pasted is not None:
            text, self._draft.pasted = self._draft.pasted, None
            self.buffer.insert(text + key.text[1:])
            return None if word == "e" else self._enter()
        return None

    def _complete(self, step: int) -> None:
        self._completion.turn(self.buffer, step)

    # What was typed before

    def _move_row(self, step: int) -> None:
        """A row up (-1) or down (1): within a draft of several rows, then in what was typed."""
        if not self.buffer.move_row(step):
            text = self._draft.history.walk(step, self.buffer.text)
            if text is not None:
                self.buffer.set(text, len(text))

    def _begin_search(self) -> None:
        draft = self._draft
        draft.search = HistorySearch(draft.history, draft.buffer.text, draft.buffer.cursor)

    def _searching(self, search: HistorySearch, key: KeyPress) -> bool:
        """A key while searching; False if it ends the search, and means what it always does."""
        if key.name in ("text", "paste"):
            search.type(key.text.replace("\n", " "))
        elif key.name in ("backspace", "ctrl-h"):
            search.rub()
        elif key.name in ("ctrl-r", "ctrl-s"):
            search.turn(-1 if key.name == "ctrl-r" else 1)
        elif key.name in ("escape", "ctrl-g", "ctrl-c"):
            self.buffer.set(search.text, search.cursor)
            self._draft.search, self._closed = None, True
            return True
        else:
            self._draft.history.go(search.place, search.text)
            self._draft.search = None
            self.buffer.note((search.text, search.cursor), False)
            # Enter takes the line; sending it is another Enter.
            return key.name in ("enter", "newline", "escape-enter", "tab")
        self.buffer.set(*search.found())
        self.buffer.leave_cluster()
        return True

    # What ends the line

    def _enter(self) -> str:
        line = self.buffer.text
        self.buffer.set("", 0)
        if self._remember(line):
            self._draft.history.add(line)
        self._draft.history.reset()
        return line

    def _clear_or_leave(self) -> Action | None:
        if not self.buffer.text:
            if not self._leave_twice:
                return Action.LEAVE
            self._leaving = self._clock() + LEAVE_TIME
            return None
        self.buffer.set("", 0)
        self._draft.history.reset()
        return None

    def _delete_or_leave(self) -> Action | None:
        if not self.buffer.text:
            return Action.LEAVE
        self.buffer.delete()
        return None


def _sought(search: HistorySearch | None) -> str:
    """What stands before a line that is being searched for."""
    if search is None:
        return ""
    text = _("not found: {query}") if search.failed else _("search: {query}")
    return text.format(query=search.query)


# What each key does, by its name; letters and pastes aside.
_WRITING = ("text", "enter", "escape-enter", "newline", "tab", "paste", "paste-asks")
SHOWING = ("ctrl-n", "ctrl-p", "alt-a", "alt-r", *(f"alt-{number}" for number in range(1, 10)))
_EDITING: dict[str, Callable[[EditBuffer], None]] = {
    "newline": lambda buffer: buffer.insert("\n"),
    "backspace": EditBuffer.backspace, "ctrl-h": EditBuffer.backspace, "delete": EditBuffer.delete,
    "left": EditBuffer.left, "ctrl-b": EditBuffer.left,
    "right": EditBuffer.right, "ctrl-f": EditBuffer.right,
    "word-left": EditBuffer.word_left, "word-right": EditBuffer.word_right,
    "home": EditBuffer.home, "ctrl-a": EditBuffer.home,
    "end": EditBuffer.end, "ctrl-e": EditBuffer.end,
    "ctrl-w": EditBuffer.kill_word, "ctrl-u": EditBuffer.kill_to_start,
    "ctrl-k": EditBuffer.kill_to_end, "alt-d": EditBuffer.kill_next_word,
    "delete-word": EditBuffer.kill_next_word, "alt-y": EditBuffer.yank, "ctrl-y": EditBuffer.yank,
    "ctrl-t": EditBuffer.transpose, "ctrl-_": EditBuffer.undo,
}  # fmt: skip
_ACTING: dict[str, Callable[[LineEditor], str | Action | None]] = {
    "enter": LineEditor._enter, "escape-enter": LineEditor._enter,
    "tab": lambda editor: editor._complete(1), "backtab": lambda editor: editor._complete(-1),
    "up": lambda editor: editor._move_row(-1), "down": lambda editor: editor._move_row(1),
    "ctrl-r": LineEditor._begin_search, "escape": lambda _editor: Action.ESCAPE,
    "ctrl-c": LineEditor._clear_or_leave, "ctrl-d": LineEditor._delete_or_leave,
    "ctrl-l": lambda _editor: Action.REDRAW, "ctrl-z": lambda _editor: Action.SUSPEND,
}  # fmt: skip
