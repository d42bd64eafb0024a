"""What a terminal is like after the chat has been left: screen, cursor and title."""

from __future__ import annotations

import time
from collections.abc import Callable

from client.fullscreen import canvas
from client.fullscreen.canvas import Canvas
from client.fullscreen.columns import Piece
from client.fullscreen.view import ScreenFrame
from client.input.terminal import Size
from client.output.wrapping import Span
from tools.terminals.terminal import Terminal

_BEFORE = "\x1b[H\x1b[2J$ one\r\n$ two\r\n$ cmd_chat.py connect\r\n"
_ROOM = "secret-room"
_TITLE_SECONDS = 2.0  # that a title may need to reach the window


def rows(name: str) -> dict[str, str]:
    """What is as before, and what is not."""
    with Terminal(name, 80, 24) as terminal:
        terminal.write(_BEFORE)
        place, title = terminal.cursor(), terminal.title()
        screen = terminal.pixels(cursor=False)
        drawn = Canvas(0)
        frame = ScreenFrame(Size(80, 24), [(Piece(0, (Span(_ROOM),)),)] * 24, 23, 0, 23, False)
        terminal.write(canvas.ENTER + drawn.title(f"(1) {_ROOM} - CMD CHAT") + drawn.change(frame))
        _wait(lambda: _ROOM in terminal.title())
        terminal.write(drawn.leave(24))
        same = terminal.pixels(cursor=False).difference(screen) is None
        _wait(lambda: terminal.title() == title)
        return {
            "screen": "as before" if same else "emptied",
            "cursor": "as before" if terminal.cursor() == place else "elsewhere",
            "title": _said(terminal.title(), title),
        }


def _wait(happened: Callable[[], bool]) -> None:
    until = time.monotonic() + _TITLE_SECONDS
    while not happened() and time.monotonic() < until:
        time.sleep(0.02)


def _said(after: str, before: str) -> str:
    if after == before:
        return "as before"
    if not after:
        return "empty"
    return f"names the room: {after}" if _ROOM in after else f"“{after}”"
