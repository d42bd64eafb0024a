"""What the keys and the wheel of a terminal send after the chat: whether it is as it was before."""

from __future__ import annotations

import time

from client.fullscreen.canvas import ENTER, Canvas
from client.input.keys import KeyDecoder
from tools.terminals.terminal import Terminal

_ROWS = 24
_SETTLED = 0.3  # seconds in which an answer of the terminal has come


def rows(name: str) -> dict[str, str]:
    """For each thing that the chat changes, whether it is back afterwards."""
    with Terminal(name, 80, _ROWS) as terminal:
        terminal.write("$ before\r\n$ cmd_chat\r\n")
        before = _state(terminal)
        terminal.received()
        terminal.write(ENTER)
        terminal.cursor()
        time.sleep(_SETTLED)
        decoder = KeyDecoder()
        answers = {key.name for key in decoder.feed(terminal.received(), 0.0)}
        terminal.write("\x1b[3;7Ha conversation")
        terminal.write(Canvas(16).leave(_ROWS, answers))
        after = _state(terminal)
        return {
            thing: "as before" if before[thing] == after[thing] else "not as before"
            for thing in before
        }


def _state(terminal: Terminal) -> dict[str, object]:
    alt = terminal.sent_by("alt+b")
    terminal.received()
    terminal.wheel(up=True)
    return {
        "what Alt sends": alt,
        "what the wheel sends": terminal.sent_by(""),
        "what the wheel sends to full screens": _wheel_on_second_screen(terminal),
    }


def _wheel_on_second_screen(terminal: Terminal) -> bytes | None:
    terminal.write("\x1b[?1049h")
    terminal.cursor()
    terminal.received()
    terminal.wheel(up=True)
    sent = terminal.sent_by("")
    terminal.write("\x1b[?1049l")
    return sent
