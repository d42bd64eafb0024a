"""Nothing leaves its place in tmux and GNU screen: hostile lines in both renderers.

The suite draws the first ones of a fixed seed, ``CMD_CHAT_SOAK`` as many as it says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import zip_longest

import pytest

from client.output.widths import is_sure
from tests.machine import needs
from tests.panes import PANES, Pane, Screen, Tmux
from tests.placing import Drawing, Row, bare, disputed, drawings, learn

SEED = int(os.environ.get("CMD_CHAT_SEED", "20260504"))
LINES = int(os.environ.get("CMD_CHAT_SOAK", "150"))


BESIDE = "tests/test_widths.py::test_nothing_is_drawn_outside_its_place_on_any_terminal"


@pytest.fixture(
    name="pane",
    params=[
        pytest.param("tmux", marks=needs("tmux", beside=BESIDE)),
        pytest.param("GNU screen", marks=needs("screen", beside=BESIDE)),
    ],
)
def pane_fixture(request: pytest.FixtureRequest) -> Iterator[Pane]:
    pane = PANES[request.param]()
    yield pane
    pane.close()


@pytest.mark.soak
def test_hostile_lines_stay_in_their_place(pane: Pane) -> None:
    drawn = list(drawings(SEED, LINES))
    pane.resize(200, 50)
    alone = learn(disputed(drawn), lambda text: shown(pane, text))
    for drawing in drawn:
        if (pane.columns, pane.rows) != (drawing.size.columns, drawing.size.rows):
            pane.resize(drawing.size.columns, drawing.size.rows)
        check(pane, drawing, alone)


def shown(pane: Pane, text: str) -> list[str]:
    pane.draw(text)
    return pane.shown()


def check(pane: Pane, drawing: Drawing, alone: dict[str, str]) -> None:
    place = pane.draw(drawing.text)
    rows = pane.shown()
    assert drawing.cursor in (None, place), drawing.name
    compare(pane, drawing, rows, drawing.rows, alone)
    if drawing.hidden:
        pane.draw(drawing.hidden)
        for row, without in zip(rows, pane.shown(), strict=True):
            assert row.startswith(without), drawing.name
    elif not drawing.flows:  # nothing but blanks before what a line begins with
        for row, (line,) in zip(rows, drawing.rows, strict=False):
            indent = len(line) - len(line.lstrip(" "))
            assert not row or row[:indent] == " " * indent != row[: indent + 1], drawing.name
    if drawing.before is not None:
        pane.draw(drawing.text + drawing.then)
        compare(pane, drawing, pane.shown(), drawing.before, alone)


def compare(
    pane: Pane, drawing: Drawing, rows: list[str], wanted: list[Row], alone: dict[str, str]
) -> None:
    """Each row shows what it should, and nothing else, and no other row shows anything."""
    if drawing.flows:
        rows = ["".join(rows)]
    for number, (row, line) in enumerate(zip_longest(rows, wanted), 1):
        found, expected = (row or "").replace(" ", ""), bare(line or (), alone)
        if found != expected and isinstance(pane, Screen) and not drawing.flows:
            # Its copy mode takes some marked characters at the end of a row for blanks.
            pane.draw(f"\x1b[{number};{pane.columns}H|")
            found = pane.shown()[number - 1].replace(" ", "").removesuffix("|")
        joined = isinstance(pane, Tmux) and "\u200d" in "".join(line or ())
        if found != expected and (joined or not drawing.hidden):
            # tmux keeps only the beginning of what is joined on and on, and forgets a joiner where
            # what it reads happens to be cut. Where nothing is moved, terminals join what they
            # like to what stands before it.
            found, expected = ("".join(filter(is_sure, text)) for text in (found, expected))
        assert found == expected, drawing.name
