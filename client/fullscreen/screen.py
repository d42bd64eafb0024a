"""The full-screen view on a terminal: events and keys in, changed lines out.

At most one redraw every ``interval`` seconds, however much comes; the line being typed alone is
written at once, because somebody waits for it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from client import events
from client.fullscreen import canvas
from client.fullscreen.bare import BareView
from client.fullscreen.canvas import Canvas
from client.fullscreen.model import Alert, Model
from client.fullscreen.view import ScreenFrame, View, cropped
from client.input import modes
from client.input.editor import LineView
from client.input.terminal import Size
from client.output import clipboard
from client.output.charset import Charset
from client.output.clearing import wiped
from client.output.drafts import Drafts
from client.output.screen import Now, Screen, local_now, nothing
from client.output.screen_queue import HandOver, Item, Redrawn, ShownEvent, ViewKey
from protocol.dataclass import dataclass, field

_TICK = 1.0  # seconds between two steps of what counts down
_PAGES = {"page-up": -1, "page-down": 1}
_LINES = {"wheel-up": -3, "wheel-down": 3}
_HITS = {"alt-p": -1, "alt-n": 1}
BARE, FRAMED = "bare", "framed"  # keys that ask for the messages without frame, and for it again
_FOUND = "found"  # and for the newest messages instead of a search
_FOCUS = {"focus-in": True, "focus-out": False}


@dataclass
class Look:
    """How the view is drawn: redrawn at most every ``interval`` seconds, with ``show`` messages
    at once (0: as many as fit), in ``colours`` colours. ``mouse``: the terminal tells of the wheel,
    and selects text only with Shift. ``keypad``: its keys are told from others. ``fills``:
    ``clearing.must_fill``; ``passed_on``: the terminal's clipboard is behind GNU screen."""

    interval: float = 0.1
    show: int = 0
    colours: int = 16
    bell: bool = True
    mouse: bool = False
    keypad: bool = False
    charset: Charset = field(default_factory=Charset)
    fills: bool = False
    passed_on: bool = False


class FullScreen(Screen):
    """Draws on ``out``, whose terminal has ``size``. ``clock`` is monotonic, in seconds."""

    def __init__(
        self,
        look: Look,
        out: TextIO,
        *,
        size: Callable[[], Size],
        on_gone: Callable[[], None] = nothing,
        now: Now = local_now,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(out, on_gone, now, clock)
        self._look, self._size, self._clock = look, size, clock
        # Used by the screen thread only, like all below.
        self._model = Model()
        self._view = View(self._model, look.show, look.charset)
        self._canvas = Canvas(look.colours, not look.passed_on)
        self._drafts = Drafts()
        self._frame: ScreenFrame | None = None
        self._alert: Alert | None = None
        self._modes: set[str] = set()  # what the terminal has answered about them
        self._stale = True  # something has changed that is not on the screen
        self._next = float("-inf")  # when it may be drawn again
        self._copied = False  # something, to the clipboard
        self._bare: BareView | None = None  # what is shown instead of the frame

    def _begin(self) -> None:
        if not self._away:
            self._enter(canvas.ENTER)
        self._draw([])

    def _end(self) -> None:
        self._bare = None
        if not self._away:
            self._away = True
            mouse = modes.MOUSE_OFF if self._look.mouse else ""
            self._write(mouse + self._canvas.leave(self._size().rows, self._modes))

    def _enter(self, sequences: str) -> None:
        mouse = modes.MOUSE_ON if self._look.mouse else ""
        keypad = modes.KEYPAD_OWN if self._look.keypad else ""
        self._write(sequences + keypad + mouse)
        self._canvas.forget()

    def _wiped(self) -> str:
        off = clipboard.emptied(self._look.passed_on) if self._copied else ""
        return off + wiped(self._size().rows, self._look.fills)

    def _patience(self) -> float | None:
        if self._away or self._bare is not None:
            return None
        if self._stale:
            return max(0.0, self._next - self._clock())
        ticks = self._frame is not None and self._frame.ticks
        # Windows does not tell when a console's size has changed.
        return _TICK if ticks or sys.platform == "win32" else None

    def _rest(self) -> float:
        waits = self._away or self._bare is not None
        return 0.0 if waits else max(0.0, self._next - self._clock())

    def _draw(self, items: list[Item]) -> None:
        typed = False
        for item in items:
            if isinstance(item, LineView):
                typed = True
                self._drafts.keep(item, self._model.log.key)
                if item.entered:
                    self._view.entered()
                    self._stale = True
            else:
                self._take_in(item)
        if items:
            self.summaries = self._model.summaries
        if self._away:
            return
        if self._bare is not None:  # what somebody selects from stays as it is
            self._write(self._called())
            return
        if not items and not self._stale:  # what counts down goes on
            self._stale = True
        if self._stale and self._clock() >= self._next:
            self._next = self._clock() + self._look.interval
            self._draw_all()
        elif typed:
            self._draw_typed()

    def _take_in(self, item: Item) -> None:
        if isinstance(item, ShownEvent):
            self._take_event(item)
        elif isinstance(item, Redrawn):
            self._frame_again()
        elif isinstance(item, ViewKey):
            self._press(item.name)
        elif isinstance(item, HandOver):
            self._hand(item)
        self._stale = True

    def _take_event(self, item: ShownEvent) -> None:
        alert = self._model.take(item.event, item.when)
        self._alert = alert or self._alert
        if isinstance(item.event, events.Views):
            self._drafts.limit(view.key for view in item.event.views)
        elif isinstance(item.event, events.Finding):
            self._view.find(item.event.text)
        elif isinstance(item.event, events.Cleared):
            self._view.forget()

    def _press(self, name: str) -> None:
        if name in (BARE, FRAMED):
            self._show_bare(self._view.bare(self._size()) if name == BARE else None)
        elif name in _PAGES and self._bare is not None:
            self._bare.page(_PAGES[name])
            self._show_bare(self._bare)
        elif name in _PAGES:
            self._view.page(_PAGES[name])
        elif name in _LINES:
            self._view.page(_LINES[name], by_lines=True)
        elif name in _HITS:
            self._view.step(_HITS[name])
        elif name == _FOUND:
            self._view.to_end()
        elif name.startswith("mode-"):
            self._modes.add(name)
        elif name in _FOCUS:
            self._model.focused = _FOCUS[name]
            self._model.looked()

    def _show_bare(self, bare: BareView | None) -> None:
        """Show messages without frame; None: the frame again."""
        if bare is None:
            self._frame_again()
            return
        self._bare = bare
        self._model.log.at_end = False  # what comes now is not seen
        self._write(canvas.bare(bare.lines(), bare.foot, self._size().rows))

    def _frame_again(self) -> None:
        """Draw everything, whatever the screen shows."""
        if self._bare is not None:
            self._bare = None
            self._write(canvas.FRAMED)
        self._canvas.forget()
        self._next = float("-inf")

    def _hand(self, item: HandOver) -> None:
        try:
            if item.away:
                self._away = self._away or item.silently
                self._end()
            else:
                self._enter(canvas.ENTER if self._away else canvas.MODES)
                self._away = False
                self._next = float("-inf")
        finally:
            item.done.set()

    def _draw_all(self) -> None:
        self._stale = False
        size = self._size()
        self._frame = self._view.frame(self._typed, size, self._now())
        self.summaries = self._model.summaries  # what was looked at is not new any more
        self._write(self._called() + self._canvas.change(cropped(self._frame, size)))

    @property
    def _typed(self) -> LineView:
        """The line that is typed for the view that is shown."""
        return self._drafts.of(self._model.log.key)

    def _draw_typed(self) -> None:
        if self._frame is None:
            return
        frame = self._view.retyped(self._frame, self._typed)
        if frame is None:  # it takes more or fewer rows: that waits for the next redraw
            self._stale = True
        else:
            self._frame = frame
            self._write(self._canvas.change(cropped(frame, self._size())))

    def _called(self) -> str:
        """Bell, notification and title, for what has come since the last redraw."""
        alert, self._alert = self._alert, None
        text = ""
        if alert is not None:
            unfocused = self._model.focused is False
            shown = self._look.charset.name(alert.text)
            text = canvas.alert(shown, self._look.bell, unfocused)
        unread = self._model.unread()
        title = f"({unread}) {self._model.name} - CMD CHAT" if unread else ""
        return text + self._canvas.title(self._look.charset.name(title)) + self._copied_now()

    def _copied_now(self) -> str:
        """What puts on the clipboard what somebody has asked for."""
        text, self._model.to_copy = self._model.to_copy, None
        if text is None:
            return ""
        self._copied = True
        return clipboard.copied(text, self._look.passed_on)
