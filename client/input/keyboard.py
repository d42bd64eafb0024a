"""Where lines come from; those that are typed. Those of a pipe are in ``pipes``, those of a
Windows console in ``windows_keyboard``.

``next_line`` is called by one thread, the main one. ``stop`` may be called by any other thread
or a signal handler, and makes ``next_line`` return None for good. Nothing here polls.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from client.input.editor import Entered, Leave, LineEditor, LineView, Outcome, Panic, Suspend
from client.input.keys import KeyDecoder, KeyPress
from client.input.signals import CONTINUED, RESIZED
from client.input.signals import STOPPED as TO_STOP
from client.input.waiter import Waiter

END, QUIT, STOPPED = "end", "quit", "stopped"

# Keys that are about what is shown, not about the line being typed.
_VIEW_KEYS = ("page-up", "page-down", "wheel-up", "wheel-down", "focus-in", "focus-out")
_ANSWERS = "mode-"  # the terminal's, of its modes
_COMMANDS = {"alt-s": "/resend"}  # keys that stand for a line


Clock = Callable[[], float]  # monotonic, in seconds


class Input(Protocol):
    """A source of lines. ``ended`` tells why there are no more: ``end`` of the input, ``quit``
    (Ctrl-C or Ctrl-D on an empty line), ``stopped``; empty until then."""

    ended: str

    def next_line(self) -> str | None:
        """Wait for a line, which comes without its line end; None when there are no more."""

    def stop(self) -> None:
        """Let ``next_line`` return None at once."""

    def close(self) -> None:
        """Release what was needed for waiting. Called by the thread that reads."""


class Display(Protocol):
    """What somebody who types looks at, and the terminal behind it."""

    def show_line(self, view: LineView) -> None:
        """Show the line being typed."""

    def redraw(self) -> None:
        """Draw everything again."""

    def view_key(self, name: str) -> None:
        """A key was pressed that is about the view."""

    def intercepts(self, name: str) -> bool:
        """Whether the view takes this key for itself, whatever it means elsewhere."""

    def suspend(self) -> None:
        """Leave the terminal to the shell; returns when this program is continued."""

    def resume(self) -> None:
        """Take the terminal back, which others have used meanwhile; leave it alone while
        another job has it."""


class KeyInput:
    """What keyboards have in common: keys go to the editor, its lines wait here. ``clock`` is
    the editor's, too."""

    def __init__(
        self, editor: LineEditor, display: Display, decoder: KeyDecoder, clock: Clock
    ) -> None:
        self.ended = ""
        self._editor = editor
        self._display = display
        self._decoder = decoder
        self._clock = clock
        self._lines: deque[str] = deque()
        self._left = False  # what was entered before is still handed out

    def _feed(self, data: bytes) -> None:
        self._press(self._decoder.feed(data, self._clock()))
        self._decoder.handled(self._clock())

    def _expire(self) -> None:
        self._press(self._decoder.expire(self._clock()))

    def _patience(self) -> float | None:
        """Seconds until something changes by itself; None: nothing does."""
        moments = (self._decoder.deadline, self._editor.deadline)
        nearest = min((moment for moment in moments if moment is not None), default=None)
        return None if nearest is None else max(0.0, nearest - self._clock())

    def _press(self, keys: list[KeyPress]) -> None:
        for key in keys:
            if key.name in _VIEW_KEYS or key.name.startswith(_ANSWERS):
                self._display.view_key(key.name)
                continue
            if self._display.intercepts(key.name):
                continue
            if key.name in _COMMANDS:
                self._lines.append(_COMMANDS[key.name])
                continue
            if key.name == "enter":
                self._display.show_line(self._editor.view())  # whole, also if all came at once
            outcome = self._editor.press(key)
            if isinstance(outcome, Panic):  # before anything that was typed ahead
                self._lines = deque(["/panic"])
                return
            self._did(outcome)
        self._display.show_line(self._editor.view())

    def _did(self, outcome: Outcome | None) -> None:
        if isinstance(outcome, Entered):
            self._lines.append(outcome.line)
            self._display.show_line(LineView(entered=True))
        elif isinstance(outcome, Leave):
            self._left = True
        elif isinstance(outcome, Suspend):
            self._display.suspend()
        elif outcome is not None:
            self._display.redraw()

    def _waiting(self) -> bool:
        """Whether keys are needed before there is something to return."""
        if not self._lines and self._left and not self.ended:
            self.ended = QUIT
        return not self._lines and not self.ended

    def _next(self, stopped: bool) -> str | None:
        if stopped:  # what was typed ahead is not handed out any more
            self._lines.clear()
            self.ended = STOPPED
        return self._lines.popleft() if self._lines else None


class KeyboardInput(KeyInput):
    """Lines typed on a POSIX terminal whose keyboard has been seized."""

    def __init__(
        self,
        fd: int,
        editor: LineEditor,
        display: Display,
        decoder: KeyDecoder,
        clock: Clock = monotonic,
    ) -> None:
        super().__init__(editor, display, decoder, clock)
        self._waiter = Waiter(fd)
        self._in_background = False  # what the display was told

    def next_line(self) -> str | None:
        while self._waiting():
            ready = self._waiter.wait(self._patience())
            if ready is None:
                break
            self._follow_job()
            if self._waiter.wakes:
                self._woken()
            elif not ready:
                self._expire()
            elif not self._read():
                self.ended = END
        return self._next(self._waiter.stopped)

    def _follow_job(self) -> None:
        """Another job has got the terminal (``bg``), or this one has it again (``fg``)."""
        if self._waiter.in_background != self._in_background:
            self._in_background = self._waiter.in_background
            self._display.resume()

    def _woken(self) -> None:
        wakes, self._waiter.wakes = self._waiter.wakes, b""
        if TO_STOP in wakes:
            self._display.suspend()
        elif CONTINUED in wakes:
            self._display.resume()
        elif RESIZED in wakes:
            self._display.redraw()

    def wake(self, byte: bytes) -> None:
        """What a signal asks for (``signals``); may be called by its handler."""
        self._waiter.wake(byte)

    def _read(self) -> bool:
        data = self._waiter.read()
        if data is None:
            return True
        self._feed(data)
        return bool(data)

    def stop(self) -> None:
        self._waiter.stop()

    def close(self) -> None:
        self._waiter.close()
