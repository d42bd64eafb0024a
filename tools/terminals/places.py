"""Whether anything leaves its place: hostile lines, drawn by the chat's own code, on pictures.

Each drawing is written twice, once without the texts: outside of these the two pictures have to be
equal, pixel for pixel; and the cursor has to be where the chat believes it to be.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from client.output.widths import leads_left
from tests.placing import Drawing, drawings
from tools.terminals.display import Box, Pixels
from tools.terminals.terminal import Terminal

SEED = int(os.environ.get("CMD_CHAT_SEED", "20260504"))
LINES = int(os.environ.get("CMD_CHAT_SOAK", "500"))


def rows(name: str) -> dict[str, str]:
    """How many drawings there were of each kind, and of how many something was elsewhere."""
    counts: dict[str, list[int]] = {}
    with Terminal(name, 80, 50) as terminal:
        for kind, fault in faults(terminal, SEED, LINES):
            count = counts.setdefault(kind, [0, 0])
            count[0] += 1
            count[1] += bool(fault)
            if fault:
                print(f"{name}: {fault}", file=sys.stderr)
    return {kind: f"{wrong} of {all_}" for kind, (all_, wrong) in counts.items()}


def faults(terminal: Terminal, seed: int, count: int) -> Iterator[tuple[str, str]]:
    """For each drawing its kind, and what is wrong with it; empty if nothing is."""
    typed = 0
    for drawing in drawings(seed, count):
        kind = "typed lines" if drawing.before is not None else "messages"
        if drawing.flows:  # folded by the terminal itself
            continue
        renderer = "full view" if drawing.hidden else "minimal"
        if any(leads_left(text) for row in drawing.rows for text in row):
            kind += " with letters from right to left"
        if (terminal.columns, terminal.rows) != (drawing.size.columns, drawing.size.rows):
            terminal.resize(drawing.size.columns, drawing.size.rows)
        typed += drawing.before is not None
        looked = drawing.before is None or typed % 5 == 0
        yield f"{renderer}, {kind}", _fault(terminal, drawing, looked)


def _fault(terminal: Terminal, drawing: Drawing, looked: bool) -> str:
    terminal.write(drawing.text)
    column, row = terminal.cursor()
    if drawing.cursor not in (None, (row - 1, column - 1)):
        return f"cursor at {row - 1}, {column - 1}, not {drawing.cursor}: {drawing.name}"
    if not looked:
        return ""
    # A busy machine shows a picture that is not whole: what is wrong is so each time. Where what a
    # terminal reads is cut, two strokes of a line meet otherwise, by one pixel of each.
    for _again in range(4):
        differs = _difference(terminal, drawing)
        if differs is None or differs.right - differs.left == 1:
            return ""
    return f"{differs}: {drawing.name}"


def _difference(terminal: Terminal, drawing: Drawing) -> Box | None:
    terminal.write(drawing.text)
    seen = terminal.pixels(cursor=False)
    terminal.write(drawing.hidden or drawing.text.partition("\x1b[2J")[0] + _signs(drawing))
    without = terminal.pixels(cursor=False)
    return _covered(terminal, drawing, seen).difference(_covered(terminal, drawing, without))


def _signs(drawing: Drawing) -> str:
    """The first column of plain lines, which is all that may stand there."""
    return "\x1b[2J" + "\r\n".join(row[0][:1] for row in drawing.rows)


def _covered(terminal: Terminal, drawing: Drawing, picture: Pixels) -> Pixels:
    def region(row: int, column: int) -> Box:
        box = terminal.box(column + 1, row + 1, drawing.size.columns - column)
        # Some fonts' characters are higher than their cells, by a pixel.
        return Box(box.left, max(0, box.top - 1), box.right, min(picture.height, box.bottom + 1))

    return picture.painted(region(*place) for place in drawing.open)
