"""Puts screen, renderer and input together for what standard input and output are."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, TextIO

from client import commands, completion, events
from client.input.editor import Complete, LineEditor, LineView
from client.input.keyboard import Display, KeyboardInput
from client.input.keys import KeyDecoder
from client.input.pipes import open_pipe
from client.input.signals import TerminalSignals, stop_here
from client.input.source import LineSource
from client.input.terminal import RawTerminal, size_of
from client.output import json, lines, streams
from client.output.charset import Charset, terminal_encoding
from client.output.clearing import must_fill
from client.output.colours import colours
from client.output.input_line import AnsiInputLine, DumbInputLine
from client.output.line_prefix import LinePrefix
from client.output.line_screen import LineScreen
from client.output.screen import CLOSE_TIME, Now, Screen, local_now, utc_now
from client.output.shown_views import next_with_news
from client.views import View
from i18n import N_, _

if TYPE_CHECKING:
    from client.input.windows import WindowsConsole

_HIT_KEYS = ("alt-p", "alt-n")
_STEPS = {"ctrl-n": 1, "ctrl-p": -1}
_PLAIN = N_(
    "This console knows no escape sequences, so the chat goes on plainly and without colours: "
    "Windows Terminal shows it in full, and so does a console without the legacy mode."
)


class ViewChooser(Protocol):
    """Whoever knows which views there are, and shows another one; for the thread that reads what is
    typed (``LocalUser``)."""

    @property
    def shown_key(self) -> str:
        """The key of the view that is shown; may be asked at any moment."""

    def show(self, view: View) -> None:
        """Show this one, if there is such a view."""

    def show_number(self, number: int) -> None:
        """Show the one with this number, from 1 on."""

    def show_next(self, step: int) -> None:
        """Show the next one (1), or the one before (-1)."""

    def show_last_private(self) -> None:
        """Show whoever wrote privately last."""

    def begins_line(self) -> None:
        """Hear that somebody begins to type a line."""


class Console(Display):
    """The client's display: ``screen`` to show events on, ``input`` to read lines from.

    A context manager; leaving it drains and ends the screen and restores the terminal, also
    after an exception. ``renderer`` is the one in use: ``rich`` falls back to ``minimal`` where
    standard input or output is no terminal, or a dumb one, and where lines are to be ``spoken``
    by a screen reader. ``environ`` tells about the terminal
    (``TERM``, ``COLORTERM``, ``NO_COLOR``, the locale). ``render_time`` and ``messages_to_show``
    are the settings of that name, like ``type_ahead`` and ``mouse``. ``complete`` gets the line up
    to the cursor (``editor.Complete``). ``views`` gives what keys change that show another view;
    None: there is only one.
    """

    input: LineSource

    screen: Screen

    def __init__(
        self,
        renderer: str,
        environ: Mapping[str, str],
        *,
        bell: bool = True,
        spoken: bool = False,
        render_time: float = 0.1,
        messages_to_show: int = 0,
        type_ahead: bool = False,
        mouse: bool = False,
        complete: Complete = completion.complete,
        views: Callable[[], ViewChooser] | None = None,
        on_gone: Callable[[], None] | None = None,
        on_drop: Callable[[], None] = lambda: None,
        stdin: TextIO | None = None,
        stdout: TextIO | None = None,
        now: Now = local_now,
    ) -> None:
        stdin = sys.stdin if stdin is None else stdin
        out = _writable(sys.stdout if stdout is None else stdout)
        both = streams.is_terminal(stdin) and streams.is_terminal(out)
        dumb = both and is_dumb(out, environ)
        linear = not both or dumb or spoken
        self.renderer = "minimal" if renderer == "rich" and linear else renderer
        interactive = self.interactive = both and self.renderer != "json"
        if dumb and interactive and sys.platform == "win32":
            streams.say(_(_PLAIN))
        self._raw_terminal = _raw_terminal(stdin) if interactive else None
        self._on_gone, self._on_drop, self._views = on_gone, on_drop, views
        self._signals: TerminalSignals | None = None
        self._started = self._closed = self._typing = False  # that: the line is not empty
        self._bare = self._finding = False  # the frame is off the view; Esc ends a search
        encoding = terminal_encoding(environ, out.encoding) if both else out.encoding
        charset = Charset(encoding or "utf-8")
        keypad = environ.get("TERM", "").startswith(("tmux", "screen"))
        if self.renderer == "rich":
            # A tenth of all that a client imports, and pipes do without it.
            from client.fullscreen.screen import FullScreen, Look

            look = Look(
                render_time, messages_to_show, colours(environ), bell, mouse, keypad, charset,
                must_fill(environ), "STY" in environ,
            )
            self.screen = FullScreen(
                look, out, size=lambda: size_of(out), on_gone=self._gone, now=now
            )
        else:
            prefix = LinePrefix(charset)
            ansi = None if dumb else AnsiInputLine(prefix, must_fill(environ), keypad)
            plain = lines.Minimal(prefix, spoken=spoken, bell=bell and interactive)
            self.screen = self._lines(plain, ansi or DumbInputLine(prefix), out, now)
        if interactive:
            rich = self.renderer == "rich"
            decoder = KeyDecoder(
                ask=rich, trust=type_ahead, feed_enters=dumb, keypad=keypad, mouse=mouse and rich
            )
            self.input = self._keys(stdin, complete, environ, decoder)
        else:
            self.input = open_pipe(stdin)

    def _lines(
        self, plain: lines.Minimal, line: DumbInputLine, out: TextIO, now: Now
    ) -> LineScreen:
        """The screen of the renderers that write one line after the other."""
        if self.renderer == "json":
            json.speak_utf8(out)
        is_json = self.renderer == "json"
        return LineScreen(
            json.Json() if is_json else plain, out, unseen=events.SCREEN_ONLY if is_json else (),
            line=line if self.interactive else None,
            size=(lambda: size_of(out)) if self.interactive else None, on_gone=self._gone,
            # JSON has UTC: to find this machine's zone, and leave it again, is of no use there.
            now=utc_now if is_json and now is local_now else now,
        )  # fmt: skip

    def __enter__(self) -> Console:
        """A second time, inside the first, does nothing."""
        if not self._started:
            self._started = True
            away = self._is_in_background()
            if self._raw_terminal is not None and not away:
                self._raw_terminal.seize()
            if self._signals is not None:
                self._signals.install()
            self.screen.start(away)
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def vanish(self, seconds: float) -> None:
        """Wipe everything away instead of showing what waits, and put the rest back as it was.

        Does not wait longer than ``seconds`` for a reader that does not read.
        """
        self.screen.vanish()
        self.close(seconds)

    def close(self, seconds: float = CLOSE_TIME) -> None:
        """Show what waits, then put everything back as it was.  A second time does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            self.screen.close(seconds)
        finally:
            if self._signals is not None:
                self._signals.remove()
            if self._raw_terminal is not None:
                self._raw_terminal.restore()
            self.input.close()

    def find(self, text: str | None) -> None:
        """Look for ``text`` in what was shown; None: for the same again, or mentions."""
        self._finding = self.renderer == "rich"
        self.screen.show(events.Finding(text))

    # The display, for the thread that reads what is typed.

    def show_line(self, view: LineView) -> None:
        self._finding = self._finding and not view.entered
        was_typing, self._typing = self._typing, bool(view.text)
        if self._typing and not was_typing and self._views is not None:
            self._views().begins_line()
        self.screen.show_line(view)

    def redraw(self) -> None:
        self._bare = False
        self.screen.redraw()

    def intercepts(self, name: str) -> bool:
        """Alt-L takes the frame off the view; the next key puts it back, and does nothing else
        unless it was pressed with Ctrl. Alt-P and Alt-N go from hit to hit."""
        if self.renderer != "rich":
            return False
        if name in _HIT_KEYS and not self._bare:
            self._finding = True
            self.screen.view_key(name)
            return True
        if not self._bare:
            self._bare = name == "alt-l"
            if self._bare:
                self.screen.view_key("bare")
            return self._bare
        self._bare = False
        self.screen.view_key("framed")
        return not name.startswith(("ctrl-", "paste"))

    def view_key(self, name: str) -> None:
        self.screen.view_key(name)

    def show_view(self, name: str) -> None:
        """Alt and a digit: the view with that number; Ctrl-N and Ctrl-P: the next one and the one
        before; Alt-A: the next with something new; Alt-R: whoever wrote privately last."""
        if self._views is None:
            return
        views = self._views()
        if name in _STEPS:
            views.show_next(_STEPS[name])
        elif name == "alt-r":
            views.show_last_private()
        elif name == "alt-a":
            news = next_with_news(self.screen.summaries, views.shown_key)
            if news is not None:
                views.show(news)
        else:
            views.show_number(int(name.removeprefix("alt-")))

    def _shown(self) -> str:
        return "" if self._views is None else self._views().shown_key

    def escape(self) -> bool:
        """Esc was pressed: a search is over, or whoever has lines that wait takes them back."""
        was_finding, self._finding = self._finding, False
        if was_finding:
            self.screen.view_key("found")
        else:
            self._on_drop()
        return was_finding

    def suspend(self) -> None:
        self.screen.hand_over(away=True)
        if self._raw_terminal is not None:
            self._raw_terminal.restore()
        stop_here()
        self.resume()

    def resume(self) -> None:
        self._bare = False
        if self._is_in_background():
            self.screen.hand_over(away=True, silently=True)
            return
        if self._raw_terminal is not None:
            self._raw_terminal.seize()
        self.screen.hand_over(away=False)

    def _is_in_background(self) -> bool:
        return isinstance(self._raw_terminal, RawTerminal) and self._raw_terminal.in_background

    def _keys(
        self, stdin: TextIO, complete: Complete, environ: Mapping[str, str], decoder: KeyDecoder
    ) -> LineSource:
        rich = self.renderer == "rich"
        # For st, a notch of the mouse wheel is Ctrl-Y.
        yank = not environ.get("TERM", "").startswith("st-")
        editor = LineEditor(
            complete, commands.may_remember, leave_twice=rich, yank=yank, shown=self._shown
        )
        if sys.platform == "win32":
            from client.input.windows import WindowsConsole
            from client.input.windows_keyboard import ConsoleInput

            if isinstance(self._raw_terminal, WindowsConsole):
                return ConsoleInput(self._raw_terminal, editor, self, decoder)
        keyboard = KeyboardInput(stdin.fileno(), editor, self, decoder)
        self._signals = TerminalSignals(keyboard.wake)
        return keyboard

    def _gone(self) -> None:
        """Nobody reads the output any more: there is nothing to read lines for, but for those
        that have been piped in already, which somebody has said in good faith."""
        self.input.finish()
        if self._on_gone is not None:
            self._on_gone()


def is_dumb(out: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether escape sequences would only be seen as what they are."""
    if sys.platform == "win32":
        from client.input.windows import takes_sequences

        return not takes_sequences(out)
    return environ.get("TERM", "") in ("", "dumb")


def _raw_terminal(stdin: TextIO) -> RawTerminal | WindowsConsole:
    if sys.platform == "win32":
        from client.input.windows import WindowsConsole, handle_of, kernel32

        return WindowsConsole(handle_of(stdin), kernel32())
    return RawTerminal(stdin.fileno())


def _writable(file: TextIO | None) -> TextIO:
    """A standard stream; where there is none (it was closed), one that leads nowhere."""
    return open(os.devnull, "w", encoding="utf-8") if file is None else file
