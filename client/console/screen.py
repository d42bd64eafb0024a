"""The one owner of standard output.

Other threads say what is to be seen (``show``, ``typed``, ``diagnose``); the screen thread alone
renders it and writes it, so that nothing that the network brings can disturb a half-typed line.

Thread: ``screen``, started by ``start``, ends after ``close`` or when standard output has gone,
joined by ``close``. Lock: ``_changed`` guards the queue and the flags; a leaf, no I/O inside.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TextIO

from client.console.lines import LineView
from client.console.render import Renderer
from client.console.typed import NoLine, Size, TypedLine
from client.events import Cleared, Event
from protocol.names import visible

QUEUE_EVENTS = 1000  # events that wait; whoever shows more waits itself
CLOSE_TIME = 3.0  # seconds that what waits has to be written in

Now = Callable[[], datetime]


class _NoReader(Exception):
    """Standard output leads nowhere any more."""


@dataclass(frozen=True)
class _Shown:
    event: Event
    when: datetime


@dataclass(frozen=True)
class _Diagnostic:
    text: str


@dataclass(frozen=True)
class _Redrawn:
    pass


_Item = _Shown | _Diagnostic | _Redrawn | LineView


def local_now() -> datetime:
    """This machine's time, in its own zone."""
    return datetime.now().astimezone()


def _nothing() -> None:
    pass


class Screen:
    """Draws events with ``renderer`` on ``out``, and diagnostics on ``err``.

    ``line`` keeps the typed line and ``size`` tells the terminal's size; both are left out where
    ``out`` is no terminal. When ``out`` has no reader any more, ``gone`` becomes true and
    ``on_gone`` is called, once and from the screen thread; what is shown later is dropped.
    """

    def __init__(
        self,
        renderer: Renderer,
        out: TextIO,
        err: TextIO,
        *,
        line: TypedLine | None = None,
        size: Callable[[], Size] | None = None,
        on_gone: Callable[[], None] = _nothing,
        now: Now = local_now,
    ) -> None:
        self.gone = False
        self.failure: Exception | None = None  # an error of ours; the screen has ended
        self._renderer = renderer
        self._out, self._err = out, err
        self._line = line or NoLine()
        self._size = size
        self._on_gone = on_gone
        self._now = now
        self._view = LineView()  # used by the screen thread only, like _line and _renderer
        self._changed = threading.Condition()
        self._items: deque[_Item] = deque()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="screen", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def show(self, event: Event) -> None:
        """Show an event. Waits while too many others do; dropped after ``close``."""
        self._put(_Shown(event, self._now()))

    def diagnose(self, text: str) -> None:
        """Say something on standard error without breaking the typed line."""
        self._put(_Diagnostic(text))

    def redraw(self) -> None:
        """Paint the typed line again, for example when the size has changed."""
        self._put(_Redrawn())

    def typed(self, view: LineView) -> None:
        """Show the line being typed as it is now. Never waits."""
        with self._changed:
            last = self._items[-1] if self._items else None
            if isinstance(last, LineView) and not last.entered:
                self._items.pop()
                # Where lines cannot be erased, an entered one is written whole first.
                if view.entered:
                    self._items.append(last)
            self._append_locked(view)

    def close(self, timeout: float = CLOSE_TIME) -> None:
        """Write what waits, leave the cursor on an empty line, and end the thread.

        Does not wait longer than ``timeout`` for a reader that does not read.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def _put(self, item: _Item) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < QUEUE_EVENTS or self._over_locked())
            self._append_locked(item)

    def _over_locked(self) -> bool:
        return self._closing or self.gone

    def _append_locked(self, item: _Item) -> None:
        if not self._over_locked():
            self._items.append(item)
            self._changed.notify_all()

    def _take(self) -> list[_Item] | None:
        """Wait for something to draw; None after ``close``, when all has been drawn."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closing)
            if not self._items:
                return None
            items = list(self._items)
            self._items.clear()
            self._changed.notify_all()
            return items

    def _run(self) -> None:
        try:
            self._write(self._line.begin() + self._repaint())
            while (items := self._take()) is not None:
                self._draw(items)
            self._write(self._line.erase(self._measure()) + self._line.finish())
        except _NoReader:
            self._leave(None)
        except Exception as error:  # top of a thread: a bug must not leave the client mute
            self._leave(error)

    def _leave(self, failure: Exception | None) -> None:
        with self._changed:
            self.failure = failure
            self.gone = True
            self._items.clear()
            self._changed.notify_all()
        if failure is None:
            self._discard_output()
        self._on_gone()

    def _discard_output(self) -> None:
        """Let what is still buffered go nowhere, or Python complains about it at the end."""
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._out.fileno())
            os.close(nowhere)

    def _draw(self, items: list[_Item]) -> None:
        """Draw all that has come since the last time; one write, where that is possible."""
        size = self._measure()
        text, whole = "", True
        for item in items:
            whole = isinstance(item, LineView)
            if isinstance(item, LineView):
                self._view = item
                text += self._line.change(self._renderer.prompt(), item, size)
                continue
            text += self._line.erase(size)
            if isinstance(item, _Shown):
                text += self._lines(item, size)
            elif isinstance(item, _Diagnostic):
                self._write(text)
                text = ""
                self._complain(item.text)
        self._write(text + ("" if whole else self._repaint()))

    def _lines(self, item: _Shown, size: Size) -> str:
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

    def _write(self, text: str) -> None:
        if text:
            try:
                self._out.write(_encodable(text, self._out.encoding))
                self._out.flush()
            except (OSError, ValueError):  # nobody reads any more, or it was closed
                raise _NoReader from None

    def _complain(self, text: str) -> None:
        with suppress(OSError, ValueError):  # nobody listens there: nothing can be said
            self._err.write(_encodable(visible(text) + "\n", self._err.encoding))
            self._err.flush()


def _encodable(text: str, encoding: str | None) -> str:
    """What the stream's encoding has of a text, and ``?`` for the rest."""
    name = encoding or "utf-8"
    return text.encode(name, "replace").decode(name)
