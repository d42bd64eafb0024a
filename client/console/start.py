"""Puts screen, renderer and input together for what standard input and output are."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import TextIO

from client import commands
from client.console import json, minimal, rich
from client.console.lines import Complete, LineEditor
from client.console.reading import ConsoleInput, Input, KeyboardInput, open_pipe
from client.console.render import Renderer
from client.console.screen import Now, Screen, local_now
from client.console.terminal import Keyboard, is_terminal, size_of
from client.console.typed import AnsiLine, DumbLine


class Console:
    """The client's face: ``screen`` to show events on, ``input`` to read lines from.

    A context manager; leaving it drains and ends the screen and restores the terminal, also
    after an exception. ``renderer`` is the one in use: ``rich`` falls back to ``minimal`` where
    standard input or output is no terminal. ``environ`` tells about the terminal (``TERM``,
    ``COLORTERM``, ``NO_COLOR``). ``complete`` gets the line up to the cursor (``lines.Complete``).
    """

    def __init__(
        self,
        renderer: str,
        environ: Mapping[str, str],
        *,
        bell: bool = True,
        complete: Complete = commands.complete,
        on_gone: Callable[[], None] | None = None,
        stdin: TextIO | None = None,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
        now: Now = local_now,
    ) -> None:
        _prepare_windows()
        stdin = sys.stdin if stdin is None else stdin
        out = _writable(sys.stdout if stdout is None else stdout)
        err = _writable(sys.stderr if stderr is None else stderr)
        both = is_terminal(stdin) and is_terminal(out)
        self.renderer = "minimal" if renderer == "rich" and not both else renderer
        interactive = both and self.renderer != "json"
        dumb = environ.get("TERM", "") in ("", "dumb") and sys.platform != "win32"
        self._keyboard = Keyboard(stdin.fileno()) if interactive else None
        self.screen = Screen(
            _renderer(self.renderer, 0 if dumb else rich.colours(environ), bell),
            out,
            err,
            line=(DumbLine() if dumb else AnsiLine()) if interactive else None,
            size=(lambda: size_of(out)) if interactive else None,
            on_gone=self._gone,
            now=now,
        )
        self._on_gone = on_gone
        self.input = _keys(stdin, complete, self.screen) if interactive else open_pipe(stdin)
        if self.renderer == "json":
            _speak_utf8(out)

    def __enter__(self) -> Console:
        if self._keyboard is not None:
            self._keyboard.seize()
        self.screen.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Show what waits, then put everything back as it was."""
        try:
            self.screen.close()
        finally:
            if self._keyboard is not None:
                self._keyboard.restore()
            self.input.close()

    def _gone(self) -> None:
        """Nobody reads the output any more: there is nothing to read lines for."""
        self.input.stop()
        if self._on_gone is not None:
            self._on_gone()


def _renderer(name: str, colours: int, bell: bool) -> Renderer:
    if name == "json":
        return json.Json()
    if name == "rich":
        return rich.Rich(colours, bell)
    return minimal.Minimal()


def _keys(stdin: TextIO, complete: Complete, screen: Screen) -> Input:
    editor = LineEditor(complete, commands.may_remember)
    if sys.platform == "win32":
        return ConsoleInput(editor, screen.typed, screen.redraw)
    return KeyboardInput(stdin.fileno(), editor, screen.typed, screen.redraw)


def _prepare_windows() -> None:
    if sys.platform == "win32":
        import colorama

        colorama.just_fix_windows_console()


def _writable(file: TextIO | None) -> TextIO:
    """A standard stream; where there is none (it was closed), one that leads nowhere."""
    return open(os.devnull, "w", encoding="utf-8") if file is None else file


def _speak_utf8(out: TextIO) -> None:
    """JSON is UTF-8 whatever the locale (RFC 8259 8.1)."""
    reconfigure = getattr(out, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8", newline="\n")
