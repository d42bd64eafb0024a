"""What the real drawing code writes for hostile lines, and what must then be seen of it.

For any terminal: the drawings are text to write on an empty screen, the expectations are the
rows that it must show, with what the terminal shows of each disputed cluster by itself.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from client import events
from client.fullscreen.canvas import ENTER, Canvas
from client.fullscreen.columns import ScreenLine
from client.fullscreen.model import Model
from client.fullscreen.view import ScreenFrame, View
from client.input.editor import LineView
from client.input.terminal import Size
from client.output.input_line import AnsiInputLine
from client.output.lines import Minimal
from client.output.widths import alone as single
from client.output.widths import clusters, is_sure
from tests.hostile_lines import lines

NOON = datetime(2026, 5, 4, 12, 1, tzinfo=timezone.utc)
ROWS = 50
FULL, LINES = ENTER + "\x1b[2J", "\x1b[?7h\x1b[H\x1b[2J"  # an empty screen, for each renderer
_TYPED = 4  # of so many lines of a batch, the last ones are typed as well


Row = tuple[str, ...]  # what is written on it, in pieces that join to nothing before them


@dataclass(frozen=True)
class Drawing:
    """``text`` to write, the rows that are seen then, and where the cursor has to be (row and
    column; None: wherever). ``hidden`` is the same without what comes from elsewhere: outside of
    that the two look the same. ``before`` are the rows once ``then`` is written as well: all is
    erased from the cursor on, or a letter written there. ``open``: rows, and from which column on
    they may differ from ``hidden``.
    ``flows``: all is one row, which the terminal folds."""

    name: str
    size: Size
    text: str
    rows: list[Row]
    hidden: str = ""
    cursor: tuple[int, int] | None = None
    before: list[Row] | None = None
    open: tuple[tuple[int, int], ...] = ()
    then: str = "\x1b[J"
    flows: bool = False


def drawings(seed: int, count: int) -> Iterator[Drawing]:
    """Everything that is drawn for so many lines, those of one width together."""
    batch: list[tuple[int, str, str]] = []
    for line in [*lines(seed, count), None]:
        if line is None or (batch and batch[0][0] != line[0]):
            yield from _batch(batch)
            batch = []
        if line is not None:
            batch.append(line)


def _batch(batch: list[tuple[int, str, str]]) -> Iterator[Drawing]:
    columns = batch[0][0]
    said = [(nick, text) for _columns, nick, text in batch]
    for start in range(0, len(said), 5):
        yield full_view(Size(columns, ROWS), said[start : start + 5])
        yield plain(Size(columns, ROWS), said[start : start + 5])
    for _nick, text in said:
        yield full_typed(Size(columns, ROWS), text)
        yield plain_typed(Size(columns, ROWS), text)


def _message(nick: str, text: str) -> events.Message:
    return events.Message("default", nick, text, 7, False, False, False, "text")


def _view(said: list[tuple[str, str]], size: Size) -> View:
    model = Model()
    model.take(events.Connected("here:1000", "alice", "default", ()), NOON)
    for nick, text in said:
        model.take(_message(nick, text), NOON)
    return View(model)


def full_view(size: Size, said: list[tuple[str, str]]) -> Drawing:
    """Messages in the full-screen view."""
    frame = _view(said, size).frame(LineView("typed", 5), size, NOON)
    bare = replace(frame, lines=list(map(_without_texts, frame.lines)))
    return Drawing(
        f"full view {said!r}", size, FULL + Canvas(0).change(frame), _rows(frame),
        FULL + Canvas(0).change(bare), (frame.row, frame.column), open=tuple(_open(frame, bare)),
    )  # fmt: skip


def full_typed(size: Size, text: str) -> Drawing:
    """A line being typed in the full-screen view, its cursor somewhere."""
    cursor = _cursor(text)
    view = _view([("bob", "hello")], size)
    frame = view.frame(LineView(text, cursor), size, NOON)
    until = view.frame(LineView(text[:cursor], cursor), size, NOON)
    before = [*_rows(frame)[: frame.row], _rows(until)[until.row]]
    empty = [()] * (len(frame.lines) - frame.foot - 1)
    bare = replace(frame, lines=[*frame.lines[: frame.foot + 1], *empty])
    return Drawing(
        f"full view, typed {text!r} {cursor}", size, FULL + Canvas(0).change(frame), _rows(frame),
        FULL + Canvas(0).change(bare), (frame.row, frame.column), before,
        tuple(_open(frame, bare)),
    )  # fmt: skip


def plain(size: Size, said: list[tuple[str, str]]) -> Drawing:
    """Messages in the minimal renderer."""
    renderer = Minimal()
    rows: list[Row] = []
    for nick, text in said:
        lines_ = renderer.lines(_message(nick, text), NOON, size.columns - 1)
        found: list[Row] = [(each,) for each in lines_]
        rows += found if len(rows) + len(found) < size.rows else []
    return Drawing(
        f"minimal {said!r}", size, LINES + "\r\n".join(map("".join, rows)), rows,
        open=tuple((number, 1) for number in range(len(rows))),
    )  # fmt: skip


def plain_typed(size: Size, text: str) -> Drawing:
    """A line being typed in the minimal renderer, which the terminal folds."""
    text = text[:200]
    cursor = _cursor(text)
    line = AnsiInputLine()
    written = line.repaint("default> ", LineView(text, cursor), size)
    shown = line._shown
    assert shown is not None
    # At the end of a row there is nothing to erase: there the next letter is looked for.
    then, letter = ("\x1b[J", "") if shown.behind else ("Q", "Q")
    return Drawing(
        f"minimal, typed {text!r} {cursor}", size, LINES + written.replace("\n", "\r\n"),
        [(shown.text,)], before=[(shown.before + letter,)], then=then, flows=True,
    )  # fmt: skip


def _cursor(text: str) -> int:
    """At the end of every second text, and within the others; never inside a cluster."""
    places = [0]
    for cluster in clusters(text):
        places.append(places[-1] + len(cluster))
    rng = random.Random(text)
    return places[-1] if rng.random() < 0.5 else rng.choice(places)


def _rows(frame: ScreenFrame) -> list[Row]:
    return [tuple(span.text for piece in line for span in piece.spans) for line in frame.lines]


def _open(frame: ScreenFrame, bare: ScreenFrame) -> Iterator[tuple[int, int]]:
    for row, (line, without) in enumerate(zip(frame.lines, bare.lines, strict=True)):
        if len(line) > len(without):
            # With the empty column before it: some fonts' characters are wider than their cells.
            yield row, max(0, line[len(without)].column - 1)


def _without_texts(line: ScreenLine) -> ScreenLine:
    """A message's line without its text, as if there were nothing in it."""
    bars = [place for place, piece in enumerate(line) if piece.spans[0].text.startswith("│")]
    return line[: bars[0] + 1] if bars else line


def disputed(drawn: list[Drawing]) -> list[str]:
    """The clusters that are not sure, each once."""
    found = {
        cluster: None
        for drawing in drawn for row in (*drawing.rows, *(drawing.before or ()))
        for text in row if not is_sure(text)
        for cluster in clusters(text) if not is_sure(cluster)
    }  # fmt: skip
    return list(found)


def bare(row: Row, seen: dict[str, str]) -> str:
    """A row without blanks, its disputed clusters as they are shown by themselves."""
    found = "".join(
        text if is_sure(text) else "".join(seen.get(each, each) for each in clusters(text))
        for text in row
    )
    return found.replace(" ", "")


def learn(found: list[str], draw: Callable[[str], list[str]]) -> dict[str, str]:
    """What a terminal shows of each cluster far from every edge."""
    seen: dict[str, str] = {}
    for start in range(0, len(found), ROWS - 1):
        part = found[start : start + ROWS - 1]
        text = "".join(
            f"\x1b[{row};3H{single(each)}\x1b[{row};60H|" for row, each in enumerate(part, 1)
        )
        shown = draw(FULL + text)
        seen.update({cluster: shown[row][:-1].strip(" ") for row, cluster in enumerate(part)})
    return seen


__all__ = ["Drawing", "bare", "disputed", "drawings", "learn"]
