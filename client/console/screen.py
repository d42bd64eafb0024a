"""The screen that lines are written on, one below the other: a dumb terminal, a pipe, a file.

What a terminal shows of it scrolls away; the line being typed is kept below the last one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TextIO

from client.console.drawing import (
    CLOSE_TIME,
    QUEUE_EVENTS,
    Diagnostic,
    Drawing,
    Handed,
    Item,
    Now,
    Shown,
    local_now,
    nothing,
)
from client.console.lines import LineView
from client.console.render import Renderer
from client.console.typed import NoLine, Size, TypedLine
from client.events import Cleared

__all__ = ["CLOSE_TIME", "QUEUE_EVENTS", "Now", "Screen", "local_now"]


class Screen(Drawing):
    """Draws events with ``renderer`` on ``out``, and diagnostics on ``err``.

    ``line`` keeps the typed line and ``size`` tells the terminal's size; both are left out where
    ``out`` is no terminal.
    """

    def __init__(
        self,
        renderer: Renderer,
        out: TextIO,
        err: TextIO,
        *,
        line: TypedLine | None = None,
        size: Callable[[], Size] | None = None,
        on_gone: Callable[[], None] = nothing,
        now: Now = local_now,
    ) -> None:
        super().__init__(out, err, on_gone, now)
        self._renderer = renderer
        self._line = line or NoLine()
        self._size = size
        # Used by the screen thread only, like _line and _renderer.
        self._view = LineView()
        self._held: deque[Shown] = deque(maxlen=QUEUE_EVENTS)

    def _begin(self) -> None:
        if not self._away:
            self._write(self._line.begin() + self._repaint())

    def _end(self) -> None:
        if not self._away:
            self._write(self._line.erase(self._measure()) + self._line.finish())

    def _wiped(self) -> str:
        return self._line.wipe()

    def _draw(self, items: list[Item]) -> None:
        """Draw all that has come since the last time; one write, where that is possible."""
        size = self._measure()
        text, whole = "", True
        for item in items:
            whole = isinstance(item, LineView)
            if self._away and isinstance(item, LineView | Shown):
                self._hold(item)
                continue
            if isinstance(item, LineView):
                self._view = item
                text += self._line.change(self._renderer.prompt(), item, size)
                continue
            text += self._line.erase(size)
            if isinstance(item, Shown):
                text += self._lines(item, size)
            elif isinstance(item, Diagnostic):
                self._write(text)
                text = ""
                self._complain(item.text)
            elif isinstance(item, Handed):
                self._write(text)
                text = ""
                self._hand(item)
        self._write(text + ("" if whole or self._away else self._repaint()))

    def _hold(self, item: LineView | Shown) -> None:
        """Keep for later what the terminal, which is somebody else's, does not get now."""
        if isinstance(item, LineView):
            self._view = item
        else:
            self._held.append(item)

    def _hand(self, item: Handed) -> None:
        try:
            was, self._away = self._away, item.away
            if not item.away:
                size, held = self._measure(), [*self._held]
                self._held.clear()
                self._write(self._line.begin() + "".join(self._lines(each, size) for each in held))
            elif not was and not item.silently:
                self._write(self._line.finish())
        finally:
            item.done.set()

    def _lines(self, item: Shown, size: Size) -> str:
        if isinstance(item.event, Cleared) and (wipe := self._line.wipe()):
            return wipe
        columns = None if self._size is None else size.columns - 1
        lines = self._renderer.lines(item.event, item.when, columns)
        bell = "\a" if self._renderer.rings(item.event) else ""
        return bell + "".join(f"{line}\n" for line in lines)

    def _repaint(self) -> str:
        return self._line.paint(self._renderer.prompt(), self._view, self._measure())

    def _measure(self) -> Size:
        return Size(80, 24) if self._size is None else self._size()
