"""How wide text may be on any terminal, and that nothing is folded, cut or drawn wider."""

from __future__ import annotations

import random
import re
import unicodedata
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.fullscreen.canvas import Canvas
from client.fullscreen.columns import Columns, Piece, entry_lines
from client.fullscreen.prompt import prompt
from client.fullscreen.view import ScreenFrame
from client.input.editor import LineView
from client.input.terminal import Size
from client.output import widths
from client.output.charset import Charset
from client.output.widths import (
    CLUSTER_MOST,
    WIDEST,
    cluster_width,
    clusters,
    cut,
    is_sure,
    width,
)
from client.output.wrapping import Row, Span, wrap
from protocol.safe_text import visible
from tests.hostile_lines import KINDS, Aim, line

NOON = datetime(2026, 5, 4, 12, 1, tzinfo=timezone.utc)
pieces = st.lists(st.sampled_from([one for kind in KINDS.values() for one in kind] + [" "]))
texts = st.one_of(pieces.map("".join), st.text(max_size=60)).map(visible)
columns_of = st.integers(1, 200)
# A cursor move, another control sequence, and text.
_WRITTEN = re.compile(r"\x1b\[(\d+;\d+)H|(\x1b\[[?\d;]*[A-Za-z])|([^\x1b]+)")


@pytest.mark.parametrize(
    ("text", "columns", "count"),
    [
        ("", 0, 0), ("abc", 3, 3), ("日本", 4, 2), ("e\u0301", 1, 1), ("한국", 4, 2),
        ("❤", 1, 1), ("❤\ufe0f", 2, 1), ("😀\ufe0f", 2, 1), ("1\ufe0f\u20e3", 2, 1),
        ("👍🏽", 4, 1), ("👩\u200d👩\u200d👧", 8, 1), ("🇫🇷🇩🇪", 8, 2), ("\u0301", 1, 1),
        ("\u1112\u1161\u11ab", 6, 1), ("कि", 2, 1), ("ｱ", 1, 1), ("Ａ", 2, 1),
        ("ทำ", 2, 1), ("น้ำ", 2, 1), ("ຄຳ", 2, 1), ("ｶ\uff9e", 2, 1), ("ﾊ\uff9f", 2, 1),
    ],
)  # fmt: skip
def test_a_width_is_the_most_that_a_terminal_takes(text: str, columns: int, count: int) -> None:
    assert width(text) == columns
    found = list(clusters(text))
    assert "".join(found) == text
    assert len(found) == count


def test_a_part_with_a_column_of_its_own_is_counted() -> None:
    """Every mark that goes on with a letter: together they take the sum, and never less."""
    for code in range(0x300, 0x30000):
        mark = chr(code)
        pair = "a" + mark
        if len(list(clusters(pair))) == 1 and mark != "\ufe0f":  # that one makes pictures
            assert width(pair) == cluster_width(mark), hex(code)
            assert width(pair) >= 2 or unicodedata.category(mark) in ("Mn", "Me", "Cn")


def test_what_is_sure_is_as_the_tables_have_it() -> None:
    for code in (*range(0x20, 0xD800), *range(0xE000, 0x30000)):
        one = chr(code)
        if is_sure(one):
            assert len(list(clusters("a" + one))) == 2, hex(code)
            assert width(one) == sum(map(widths._character_width, one)), hex(code)
            assert unicodedata.category(one)[0] in "LNPSZ", hex(code)


@given(texts)
def test_a_cluster_has_an_end(text: str) -> None:
    found = list(clusters(text))
    assert "".join(found) == text
    assert all(1 <= len(cluster) <= CLUSTER_MOST for cluster in found)
    assert all(cluster_width(cluster) <= WIDEST for cluster in found)
    assert width(text) == sum(map(cluster_width, found))


@given(texts, columns_of, st.integers(0, 12))
def test_nothing_is_folded_wider_nor_lost(text: str, columns: int, indent: int) -> None:
    text = text.replace("\n", " ")
    row = Row((Span("12:01 ", "time"), Span(text)), indent)
    lines = ["".join(span.text for span in each) for each in wrap(row, columns)]
    assert all(width(each) <= columns for each in lines)
    before, after = ("".join(part.split(" ")) for part in (f"12:01 {text}", "".join(lines)))
    if after != before:  # what had no room at all is said
        assert re.fullmatch(re.sub("…+", "(?s:.)+", re.escape(after)), before)


@given(texts, columns_of)
def test_nothing_is_cut_wider(text: str, columns: int) -> None:
    text = text.replace("\n", " ")
    found = cut(text, columns)
    assert width(found) <= columns
    assert found == text or (found.endswith("…") and text.startswith(found[:-1]))


def test_cutting_keeps_whole_characters() -> None:
    assert cut("abc", 3) == "abc" and cut("abcd", 3) == "ab…" and cut("abcd", 0) == ""
    assert cut("日本語", 5) == "日本…" and cut("日本語", 4) == "日…"
    family = "👩\u200d👩\u200d👧"
    assert cut(family * 3, 17) == family * 2 + "…"


class Terminal:
    """The worst of all: takes each cluster for as narrow or as wide as it likes, and wraps. Knows
    no more than what the canvas writes; raises when anything leaves its place."""

    def __init__(self, size: Size, rng: random.Random) -> None:
        self._size, self._rng = size, rng
        self.row = self.column = 0
        self._lost = False  # only the terminal knows where the cursor is
        self.cells: dict[tuple[int, int], str] = {}

    def feed(self, text: str) -> None:
        for move, control, run in _WRITTEN.findall(text):
            if move:
                row, column = map(int, move.split(";"))
                self.row, self.column, self._lost = row - 1, column - 1, False
                assert self.row < self._size.rows and self.column < self._size.columns
            elif not control:
                for cluster in clusters(run):
                    self._put(cluster)

    def _put(self, cluster: str) -> None:
        assert not self._lost
        self._lost = not is_sure(cluster)
        most = cluster_width(cluster)
        taken = most if is_sure(cluster) else self._rng.randint(0, most)
        for column in range(self.column, self.column + taken):
            assert column < self._size.columns, "beyond the edge"
            assert (self.row, column) not in self.cells, "over something else"
            self.cells[self.row, column] = cluster
        self.column += taken


@given(st.integers(0, 2**32), st.integers(20, 200))
def test_nothing_is_drawn_outside_its_place_on_any_terminal(seed: int, columns: int) -> None:
    rng = random.Random(seed)
    places = Columns(columns).widened(rng.randrange(1, 20))
    text = visible(line(rng, Aim(columns, places.text_at))).replace("\n", " ")
    entry = entry_lines("12:01", Span("שרה", "nick:x"), (Row((Span(text),), 0),), places, Charset())
    typed = prompt("room", LineView(text, len(text)), columns, 24, Charset())
    hint = (Piece(columns - 3, (Span("日本"),)),)
    lines = [*entry, hint, *typed.lines]
    size = Size(columns, len(lines))
    terminal = Terminal(size, rng)
    row = len(lines) - len(typed.lines) + typed.row
    terminal.feed(Canvas(256).change(ScreenFrame(size, lines, row, typed.column, 0, False)))
    assert (terminal.row, terminal.column) == (row, typed.column)
    for (place, column), _cluster in terminal.cells.items():
        if place < len(entry) and column >= places.text_at:
            assert column < columns - 1, "the last column stays free"
    assert min(column for place, column in terminal.cells if place == len(entry)) == columns - 3
