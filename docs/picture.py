"""Makes docs/picture.svg from a real session: a server, three clients, one of them on a terminal.

    python docs/picture.py

Needs the packages of requirements-dev.txt, and a POSIX system.
"""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from client.output.widths import width  # noqa: E402
from tests.processes import Client, Server, terminal_client  # noqa: E402

COLUMNS, ROWS = 84, 20
CELL_WIDTH, CELL_HEIGHT, MARGIN = 8.4, 18, 16
PAPER, INK, QUIET = "#1d2027", "#d6d9df", "#7d8590"
FOCUS_IN, FOCUS_OUT = "\x1b[I", "\x1b[O"


def session() -> None:
    """A short conversation on Alice's terminal, and the drawing of it."""
    with Server() as server, terminal_client(
        server, "alice", columns=COLUMNS, rows=ROWS
    ) as alice:
        alice.sees("default>")
        with Client(server, "bob") as bob, Client(server, "carol") as carol:
            alice.sees("carol has joined.")
            alice.type("/verify bob\r")
            alice.sees("bob +[0-9 ]+ +not verified")
            alice.type("/verify bob ok\r")
            alice.sees("verified 1, new 1")
            alice.type("/clear\r")
            alice.type("hello everyone\r")
            alice.sees("alice │ hello everyone")
            bob.say("hi alice, a long line wraps under its own column and never under the name")
            alice.sees("bob » hi alice")
            carol.say("/me waves", "你好！ こんにちは 안녕하세요 🎉")
            alice.sees("안")
            alice.type("/who\r")
            alice.sees("carol +new, not verified")
            alice.type(f"{FOCUS_OUT} ")
            alice.sees("default>  ?")
            bob.say("@alice look at this")
            alice.sees("look at this")
            carol.say("it is quiet without you")
            alice.sees("without you")
            alice.type(f"{FOCUS_IN}\x15what I type stays whole, whatever arrives")
            alice.sees("whatever arrives")
            Path(__file__).with_name("picture.svg").write_text(svg(alice.screen), "utf-8")
            alice.type("\x15/quit\r")
            alice.end()


def svg(screen: Any) -> str:
    """The emulated terminal's screen as a drawing."""
    wide = COLUMNS * CELL_WIDTH + 2 * MARGIN
    high = ROWS * CELL_HEIGHT + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:.0f}" height="{high:.0f}" '
        f'viewBox="0 0 {wide:.0f} {high:.0f}" role="img" '
        'aria-label="A chat in the terminal: header, messages in columns, the line being typed">',
        f'<rect width="100%" height="100%" rx="10" fill="{PAPER}"/>',
        '<g font-family="ui-monospace, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" '
        'font-size="14" xml:space="preserve">',
    ]
    for row in range(ROWS):
        parts += _row(screen, row)
    column, row = screen.cursor.x, screen.cursor.y
    parts.append(_box(column, row, 1, INK))
    return "\n".join([*parts, "</g>", "</svg>", ""])


def _row(screen: Any, row: int) -> list[str]:
    cells = [(column, screen.buffer[row][column]) for column in range(COLUMNS)]
    parts = []
    for (colour, bold, reverse, _alone), group in groupby(cells, key=_style):
        run = [(column, cell.data) for column, cell in group]
        text = "".join(data for _column, data in run)
        first = run[0][0]
        if not reverse:
            first += len(text) - len(text.lstrip())
            text = text.strip()
        columns = width(text)
        if not text:
            continue
        if reverse:
            parts.append(_box(first, row, columns, colour))
        x, y = MARGIN + first * CELL_WIDTH, MARGIN + (row + 0.75) * CELL_HEIGHT
        weight = ' font-weight="bold"' if bold else ""
        parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" fill="{PAPER if reverse else colour}"{weight} '
            f'textLength="{columns * CELL_WIDTH:.1f}">{escape(text)}</text>'
        )
    return parts


def _style(cell: tuple[int, Any]) -> tuple[str, bool, bool, int]:
    """What makes a run of cells one piece of text; a wide character is one by itself."""
    column, char = cell
    wide = bool(char.data) and width(char.data) == 2
    colour = INK if char.fg == "default" else f"#{char.fg}"
    if char.data in "│─" and char.data:
        colour = QUIET  # pyte knows no faint text
    return colour, char.bold, char.reverse, column if wide or not char.data else -1


def _box(column: int, row: int, columns: int, colour: str) -> str:
    x, y = MARGIN + column * CELL_WIDTH, MARGIN + row * CELL_HEIGHT
    size = f'width="{columns * CELL_WIDTH:.1f}" height="{CELL_HEIGHT}"'
    return f'<rect x="{x:.1f}" y="{y:.1f}" {size} fill="{colour}"/>'


if __name__ == "__main__":
    session()
