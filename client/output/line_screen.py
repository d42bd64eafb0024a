"""The screen that lines are written on, one below the other: a dumb terminal, a pipe, a file.

What a terminal shows of it scrolls away; the line being typed is kept below the last one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Protocol, TextIO

from client.events import (
    Cleared,
    Connected,
    Crowd,
    Event,
    MemberJoined,
    MemberLeft,
    Message,
    RoomEntered,
    Views,
)
from client.input.editor import LineView
from client.input.terminal import Size
from client.output.drafts import Drafts
from client.output.input_line import InputLine
from client.output.screen import Now, Screen, local_now, nothing
from client.output.screen_queue import QUEUE_EVENTS, HandOver, Item, Redrawn, ShownEvent
from client.output.shown_views import ViewSummary


class Renderer(Protocol):
    """Turns events into finished lines. Does no I/O; used by the screen thread alone."""

    def lines(self, event: Event, when: datetime, columns: int | None) -> list[str]:
        """The lines of an event, without line ends, none of them wider than ``columns``.

        ``when`` is aware of its time zone. ``columns`` is None where lines are not wrapped.
        """

    def prompt(self) -> str:
        """What stands before the line being typed."""

    @property
    def shown(self) -> str:
        """The key of the view that is shown; empty where there are none."""

    @property
    def summaries(self) -> tuple[ViewSummary, ...]:
        """The views, and what is new in each of them."""

    def rings(self, event: Event) -> bool:
        """Whether the terminal's bell should ring for this event."""


class LineScreen(Screen):
    """Draws events with ``renderer`` on ``out``.

    ``line`` keeps the typed line and ``size`` tells the terminal's size; both are left out where
    ``out`` is no terminal.  ``unseen``: events of which ``renderer`` has no line.
    """

    def __init__(
        self,
        renderer: Renderer,
        out: TextIO,
        *,
        line: InputLine | None = None,
        size: Callable[[], Size] | None = None,
        unseen: tuple[type[Event], ...] = (),
        on_gone: Callable[[], None] = nothing,
        now: Now = local_now,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(out, on_gone, now, clock)
        self._renderer = renderer
        self._line = line or InputLine()
        self._size = size
        self._unseen = unseen
        # Used by the screen thread only, like _line and _renderer.
        self._drafts = Drafts()
        self._shown = self._prompt = ""  # the view whose prompt stands there (its key), and that
        self._held: deque[ShownEvent] = deque(maxlen=QUEUE_EVENTS)
        self._drawn = Size(0, 0)  # the terminal's size, the last time it was asked for
        self._expects = 1  # lines that were entered (or the chat was) and nothing came of yet
        self._asks = False  # a prompt is to be shown

    def show(self, event: Event) -> None:
        # The screen thread would be woken for nothing: two times of three where lines are piped in.
        if not isinstance(event, self._unseen):
            super().show(event)

    def _begin(self) -> None:
        self._drawn = self._measure()
        if not self._away:
            self._write(self._line.set_modes() + self._asked())

    def _end(self) -> None:
        if not self._away:
            self._write(self._line.leave(self._measure()) + self._line.reset_modes())

    def _wiped(self) -> str:
        return self._line.clear_screen(self._measure())

    def _draw(self, items: list[Item]) -> None:
        """Draw all that has come since the last time; one write, where that is possible."""
        size = self._measure()
        text = ""
        for item in items:
            if self._away and isinstance(item, LineView | ShownEvent | Redrawn):
                self._hold(item)
            elif isinstance(item, LineView):
                text += self._type(item, size)
            elif isinstance(item, ShownEvent):
                text += self._lines(item, size)
            elif isinstance(item, Redrawn):
                text += self._redraw(size)
            elif isinstance(item, HandOver):
                self._write(text)
                text = ""
                self._hand(item, "" if self._away else self._line.leave(size))
        self._write(text + self._prompted())

    @property
    def _view(self) -> LineView:
        """The line that is typed for the view that is shown."""
        return self._drafts.of(self._shown)

    def _type(self, view: LineView, size: Size) -> str:
        self._shown = self._shown or view.view
        if view.view not in ("", self._shown):  # another one is shown by now
            self._drafts.keep(view, self._shown)
            return ""
        prompted = self._prompted()
        self._drafts.keep(view, self._shown)
        self._expects += view.entered
        return prompted + self._line.update(self._renderer.prompt(), view, size)

    def _redraw(self, size: Size) -> str:
        """Somebody wants to see it again; or the terminal has another size, and has made of what
        it shows what it likes."""
        before, self._drawn = self._drawn, size
        if before != size:
            return ""
        return self._line.repaint(self._renderer.prompt(), self._view, size)

    def _hold(self, item: LineView | ShownEvent | Redrawn) -> None:
        """Keep for later what the terminal, which is somebody else's, does not get now."""
        if isinstance(item, LineView):
            self._drafts.keep(item, self._shown)
        elif isinstance(item, ShownEvent):
            self._held.append(item)

    def _hand(self, item: HandOver, left: str) -> None:
        try:
            was, self._away = self._away, item.away
            if not item.away:
                size, held = self._measure(), [*self._held]
                self._held.clear()
                missed = "".join(self._lines(each, size) for each in held)
                self._write(self._line.set_modes() + missed)
                self._write(self._asked())
            elif not was and not item.silently:
                self._write(left + self._line.reset_modes())
        finally:
            item.done.set()

    def _lines(self, item: ShownEvent, size: Size) -> str:
        columns = None if self._size is None else size.columns - 1
        lines = self._renderer.lines(item.event, item.when, columns)
        self.summaries = self._renderer.summaries
        if isinstance(item.event, Views):
            return self._turn(item.event, size)
        if isinstance(item.event, Cleared) and (wipe := self._line.clear_screen(size)):
            self._answered()
            return wipe
        if lines and self._is_answer(item.event):
            self._answered()
        bell = "\a" if self._renderer.rings(item.event) else ""
        return bell + self._line.print_above(lines, size)

    def _turn(self, event: Views, size: Size) -> str:
        """Show the prompt and the draft of the view that is shown, if it is another one, or is
        called otherwise."""
        self._drafts.limit(view.key for view in event.views)
        before, self._shown = self._shown, self._renderer.shown
        called, self._prompt = self._prompt, self._renderer.prompt()
        same = before == self._shown and called in ("", self._prompt)  # "": not said yet
        if not before or same:
            return ""
        self._asks = False
        return self._line.exchange(self._prompt, self._view, size)

    def _is_answer(self, event: Event) -> bool:
        """Whether this is what came of a line, after which another one can be typed."""
        if isinstance(event, Message):
            return event.mine
        if isinstance(event, Connected | RoomEntered):
            return True
        return self._expects > 0 and not isinstance(event, MemberJoined | MemberLeft | Crowd)

    def _answered(self) -> None:
        self._expects, self._asks = max(0, self._expects - 1), True

    def _prompted(self) -> str:
        """A prompt, if there is to be one, and nothing is half typed."""
        if not self._asks or self._view.text or self._away:
            return ""
        self._asks = False
        return self._asked()

    def _asked(self) -> str:
        return self._line.show_prompt(self._renderer.prompt(), self._view, self._measure())

    def _measure(self) -> Size:
        return Size(80, 24) if self._size is None else self._size()
