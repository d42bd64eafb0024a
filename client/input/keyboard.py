"""Lines that are typed: keys go to the editor, and to what is shown.

Those of a pipe are in ``pipes``, those of a Windows console in ``windows_keyboard``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from client.input.editor import Action, LineEditor, LineView
from client.input.keys import KeyDecoder, KeyPress
from client.input.signals import CONTINUED, RESIZED, TO_STOP
from client.input.source import END, QUIT, STOPPED, LineSource
from client.input.waiter import Waiter

if TYPE_CHECKING:
    from client.input.windows import WindowsConsole

# Keys that are about what is shown, not about the line being typed.
_VIEW_KEYS = ("page-up", "page-down", "wheel-up", "wheel-down", "focus-in", "focus-out")
_ANSWERS = "mode-"  # the terminal's, of its modes
_COMMANDS = {"alt-s": "/resend"}  # keys that stand for a line
_PANIC = ["ctrl-x", "ctrl-x"]

Clock = Callable[[], float]  # monotonic, in seconds


class Display:
    """What somebody who types looks at, and the terminal behind it; this one does nothing."""

    def show_line(self, view: LineView) -> None:
        """Show the line being typed."""

    def redraw(self) -> None:
        """Draw everything again."""

    def view_key(self, name: str) -> None:
        """A key was pressed that is about the view."""

    def intercepts(self, name: str) -> bool:
        """Whether the view takes this key for itself, whatever it means elsewhere."""
        return False

    def show_view(self, name: str) -> None:
        """A key was pressed that asks for another view: its name."""

    def escape(self) -> bool:
        """Esc was pressed, where it means nothing else: whether that has closed a search of the
        view's; if there is none, lines that wait are not sent after all."""
        return False

    def suspend(self) -> None:
        """Leave the terminal to the shell; returns when this program is continued."""

    def resume(self) -> None:
        """Take the terminal back, which others have used meanwhile; leave it alone while
        another job has it."""


class KeyInput(LineSource):
    """What keyboards have in common. ``clock`` is the editor's, too.

    Keys that came at once are pressed one by one, and a line is handed out before the next key: it
    may lead to another view, for which what comes after it is meant.
    """

    def __init__(
        self,
        keyboard: Waiter | WindowsConsole,
        editor: LineEditor,
        display: Display,
        decoder: KeyDecoder,
        clock: Clock,
    ) -> None:
        super().__init__(ended="")
        self._keyboard = keyboard
        self._editor = editor
        self._display = display
        self._decoder = decoder
        self._clock = clock
        self._waiting: deque[KeyPress] = deque()  # that have come and are not pressed yet
        self._read_just_now = False  # they were, and have not waited for anything
        self._changed = False  # the typed line perhaps, since it was shown
        self._line: str | None = None  # that they have finished
        self._left = False  # what was entered before is still handed out

    def next_line(self) -> str | None:
        line = self._typed()
        while line is None and self._needs_keys():
            ready = self._keyboard.wait(self._patience())
            if ready is None:
                break
            if self._woken():
                continue
            if not ready:
                self._expire()
            elif not self._read():
                self.ended = END
            line = self._typed()
        if self._keyboard.stopped:  # what was typed ahead is not handed out any more
            self._waiting.clear()
            line, self.ended = None, STOPPED
        return line

    def stop(self) -> None:
        self._keyboard.stop()

    def close(self) -> None:
        self._keyboard.close()

    def _needs_keys(self) -> bool:
        """Whether there is anything to wait for."""
        if self._left and not self.ended:
            self.ended = QUIT
        return not self.ended

    def _typed(self) -> str | None:
        """Press the keys that have come, up to the end of a line; None if they end none.

        What is shown is not asked for between Enter and what is done with the line.
        """
        while self._line is None and (self._waiting or self._changed):
            self._changed = bool(self._waiting)
            if self._waiting:
                self._press(self._waiting.popleft())
            else:
                self._pressed()
        line, self._line = self._line, None
        return line

    def _read(self) -> bool:
        """Take the keys that are there; False if the terminal has gone."""
        raise NotImplementedError

    def _woken(self) -> bool:
        """Do what something else than a key has asked for; False if there is nothing."""
        return False

    def _feed(self, data: bytes) -> None:
        self._read_just_now = True
        self._take(self._decoder.feed(data, self._clock()))

    def _expire(self) -> None:
        self._take(self._decoder.expire(self._clock()))

    def _patience(self) -> float | None:
        """Seconds until something changes by itself; None: nothing does."""
        moments = (self._decoder.deadline, self._editor.deadline)
        nearest = min((moment for moment in moments if moment is not None), default=None)
        return None if nearest is None else max(0.0, nearest - self._clock())

    def _take(self, keys: list[KeyPress]) -> None:
        """Keys that came at once, to be pressed now."""
        names = [key.name for key in keys]
        # Before anything that was typed ahead.
        panic = next((n for n in range(len(names) - 1) if names[n : n + 2] == _PANIC), 0)
        self._waiting.extend(keys[panic:])
        self._changed = True

    def _pressed(self) -> None:
        """All that came at once has been dealt with."""
        if self._read_just_now:
            self._decoder.handled(self._clock())
        self._read_just_now = False
        self._display.show_line(self._editor.view())

    def _press(self, key: KeyPress) -> None:
        if key.name in _VIEW_KEYS or key.name.startswith(_ANSWERS):
            self._display.view_key(key.name)
            return
        if self._display.intercepts(key.name):
            return
        if key.name in _COMMANDS:
            self._line = _COMMANDS[key.name]
            return
        if key.name == "enter":
            self._display.show_line(self._editor.view())  # whole, also if all came at once
        outcome = self._editor.press(key)
        if outcome is Action.SHOW:
            self._display.show_line(self._editor.view())  # as it is left
            self._display.show_view(key.name)
        else:
            self._did(outcome)

    def _did(self, outcome: str | Action | None) -> None:
        if isinstance(outcome, str):
            self._line = outcome
            self._display.show_line(self._editor.entered())
        elif outcome is Action.LEAVE:
            self._left = True
        elif outcome is Action.PANIC:
            self._line = "/panic"
            self._waiting.clear()
        elif outcome is Action.ESCAPE:
            if self._display.escape():
                self._editor.note_closed()
        elif outcome is Action.SUSPEND:
            self._display.suspend()
        elif outcome is Action.REDRAW:
            self._display.redraw()


class KeyboardInput(KeyInput):
    """Lines typed on a POSIX terminal in raw mode."""

    def __init__(
        self,
        fd: int,
        editor: LineEditor,
        display: Display,
        decoder: KeyDecoder,
        clock: Clock = monotonic,
    ) -> None:
        self._waiter = Waiter(fd)
        super().__init__(self._waiter, editor, display, decoder, clock)
        self._in_background = False  # what the display was told

    def wake(self, byte: bytes) -> None:
        """What a signal asks for (``signals``); may be called by its handler."""
        self._waiter.wake(byte)

    def _woken(self) -> bool:
        if self._waiter.in_background != self._in_background:
            # Another job has got the terminal (``bg``), or this one has it again (``fg``).
            self._in_background = self._waiter.in_background
            self._display.resume()
        wakes, self._waiter.wakes = self._waiter.wakes, b""
        if TO_STOP in wakes:
            self._display.suspend()
        elif CONTINUED in wakes:
            self._display.resume()
        elif RESIZED in wakes:
            self._display.redraw()
        return bool(wakes)

    def _read(self) -> bool:
        data = self._waiter.read()
        if data is None:  # the terminal is another job's after all
            return True
        self._feed(data)
        return bool(data)
