"""The one owner of standard output, and its thread.

Other threads say what is to be seen (``show``, ``show_line``), which goes into a queue; the screen
thread alone draws and writes it, so that nothing that the network brings can disturb a half-typed
line.

Thread: ``screen``, started by ``start``, ends after ``close`` or when standard output has gone,
joined by ``close``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import datetime, timezone
from typing import TextIO

from client.events import Event
from client.input.editor import LineView
from client.output import streams
from client.output.crowds import Crowds, TimedEvent
from client.output.screen_queue import HandOver, Item, Redrawn, ScreenQueue, ShownEvent, ViewKey
from client.output.shown_views import ViewSummary

CLOSE_TIME = 3.0  # seconds that what waits has to be written in

Now = Callable[[], datetime]


def _shown(told: list[TimedEvent]) -> list[Item]:
    return [ShownEvent(event, when) for event, when in told]


def local_now() -> datetime:
    """This machine's time, in its own zone."""
    return datetime.now().astimezone()


def utc_now() -> datetime:
    """The same moment, in UTC."""
    return datetime.now(timezone.utc)


def nothing() -> None:
    pass


class Screen:
    """Base of all screens: ``_begin``, ``_draw`` and ``_end`` are their own.

    When ``out`` has no reader any more, or cannot be written, ``gone`` becomes true and ``on_gone``
    is called, once and from the screen thread; what is shown later is dropped.
    """

    def __init__(
        self, out: TextIO, on_gone: Callable[[], None], now: Now, clock: Callable[[], float]
    ) -> None:
        self.gone = False
        self.failure: Exception | None = None  # an error of ours; the screen has ended
        self.unwritable = ""  # why standard output takes nothing, if it still has a reader
        # What the views are, and what is new in them; whole at each moment, for any thread.
        self.summaries: tuple[ViewSummary, ...] = ()
        self._out, self._on_gone, self._now = out, on_gone, now
        self._on_terminal = streams.is_terminal(out)
        self._queue = ScreenQueue()
        self._batch: list[Item] = []  # what is being drawn; the screen thread's
        self._vanishing = False  # nothing is drawn any more, and what was is wiped away
        self._crowds = Crowds(clock)  # used by the screen thread only
        self._away = False  # the terminal is somebody else's; used by the screen thread only
        self._thread = threading.Thread(target=self._run, name="screen", daemon=True)

    def start(self, away: bool = False) -> None:
        """Begin to draw; ``away``: not before the terminal is handed over."""
        self._away = away
        self._thread.start()

    def show(self, event: Event) -> None:
        """Show an event. Never waits, so that it may be called under a lock; dropped after
        ``close``. Who brings many, waits for room before the next ones."""
        self._queue.put(ShownEvent(event, self._now()))

    def held(self) -> AbstractContextManager[None]:
        """What is held while one thread shows much: see ``ScreenQueue``."""
        return self._queue

    def await_room(self, seconds: float) -> bool:
        """Whether there is room for more within ``seconds``; so, too, where nobody reads it."""
        return self._queue.await_room(seconds)

    def undrawn(self, kind: type[Event]) -> int:
        """How many events of a kind were shown when, or just before, there was no reader."""
        return self._queue.undrawn(kind)

    def redraw(self) -> None:
        """Draw again, for example when the size has changed."""
        self._queue.put(Redrawn())

    def view_key(self, name: str) -> None:
        """A key that is about the view was pressed."""
        self._queue.put(ViewKey(name))

    def hand_over(self, away: bool, silently: bool = False) -> None:
        """Leave the terminal to somebody else, or take it back; returns when that is done."""
        item = HandOver(away, threading.Event(), silently)
        self._queue.put(item)
        while self._thread.is_alive() and not item.done.wait(CLOSE_TIME):
            if self._queue.closed:
                return

    def show_line(self, view: LineView) -> None:
        """Show the line being typed as it is now. Never waits."""
        self._queue.put_line(view)

    def hurry(self) -> None:
        """Wait no longer for a reader that does not read: what does not fit is dropped."""
        self._queue.hurry()

    def close(self, timeout: float = CLOSE_TIME) -> None:
        """Draw what waits, leave the terminal as it was, and end the thread.

        Does not wait longer than ``timeout`` for a reader that does not read.
        """
        self._queue.close()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def vanish(self) -> None:
        """Draw nothing more, and wipe away what was drawn; ``close`` waits for it."""
        self._vanishing = True
        self._queue.close(drop=True)

    @property
    def stuck(self) -> bool:
        """Whether its thread still waits for a reader that does not read."""
        return self._thread.is_alive()

    # What each kind of screen does itself; called by the screen thread alone.

    def _begin(self) -> None:
        """Write what comes first."""
        raise NotImplementedError

    def _draw(self, items: list[Item]) -> None:
        """Draw what has come; nothing, when it is only time."""
        raise NotImplementedError

    def _end(self) -> None:
        """Write what comes last."""
        raise NotImplementedError

    def _wiped(self) -> str:
        """What to write after that so that nothing of it is left, not even above the screen."""
        raise NotImplementedError

    def _patience(self) -> float | None:
        """Seconds after which it wants to draw though nothing has come; None for never."""
        return None

    def _rest(self) -> float:
        """Seconds in which nothing is drawn but what somebody does."""
        return 0.0

    def _waits(self) -> float | None:
        """Seconds after which there is something to draw though nothing has come."""
        patience, left = self._patience(), self._crowds.left
        return patience if left is None else left if patience is None else min(patience, left)

    def _in_crowds(self, items: list[Item]) -> list[Item]:
        """The items with those who come and go told as they are to be told now."""
        found: list[Item] = []
        for item in items:
            if isinstance(item, ShownEvent):
                found += _shown(self._crowds.take(item.event, item.when))
                continue
            if isinstance(item, HandOver):  # what came before it is seen before it
                found += _shown(self._crowds.flush())
            found.append(item)
        return found if self._crowds.left is None else found + _shown(self._crowds.due())

    def _run(self) -> None:
        try:
            self._begin()
            while (items := self._queue.take(self._waits(), self._rest())) is not None:
                self._batch = items
                self._draw(self._in_crowds(items))
                self._batch = []
            if (rest := self._crowds.flush()) and not self._vanishing:
                self._draw(_shown(rest))
            self._end()
            if self._vanishing:
                self._write(self._wiped())
        except streams.Unwritable as error:
            self.unwritable = str(error)
            self._leave(None)
        except Exception as error:  # top of a thread: a bug must not leave the client mute
            with suppress(Exception):
                self._end()  # nor the terminal as it is
            self._leave(error)

    def _leave(self, failure: Exception | None) -> None:
        self.failure = failure
        self.gone = True
        self._queue.fail(self._batch)
        if failure is None:
            streams.drop(self._out)
        self._on_gone()

    def _write(self, text: str) -> None:
        if text:
            try:
                self._out.write(_encodable(text, self._out.encoding))
                self._out.flush()
            except (OSError, ValueError) as error:
                raise streams.Unwritable(streams.reason(error, self._on_terminal)) from None


def _encodable(text: str, encoding: str | None) -> str:
    """What the stream's encoding has of a text, and ``?`` for the rest."""
    if text.isascii():
        return text
    name = encoding or "utf-8"
    return text.encode(name, "replace").decode(name)
