"""Links and the view without frame in tmux and GNU screen: whole, and nothing out of its place."""

from __future__ import annotations

from client.fullscreen import canvas
from client.fullscreen.canvas import Canvas
from client.input.terminal import Size
from client.output.links import LINK_MOST
from tests.hostile_lines import lines
from tests.panes import Pane, Tmux
from tests.test_places import SEED, pane_fixture
from tests.test_rich_view import Sight

__all__ = ["pane_fixture"]

HOSTILE = 60


def test_links_leave_nothing_on_the_screen_but_themselves(pane: Pane) -> None:
    sight = Sight(80, 24, colours=16).joins()
    longest = "https://example.org/" + "a" * (LINK_MOST - 20)
    sight.hears(f"see {longest}, and http://a.b/%C3%A9?x=1;y=2")
    size = Size(80, 24)
    pane.draw(Canvas(16).change(sight.view.frame(sight.typed, size, sight.now)))
    assert pane.shown() == sight.lines()
    text = "".join(row[16:] for row in pane.shown()[2:-2])
    assert f"see {longest}, and http://a.b/%C3%A9?x=1;y=2" in text.replace("  ", " ")


def test_what_is_selected_without_the_frame_is_what_was_written(pane: Pane) -> None:
    sight = Sight(80, 24).joins()
    link = "https://example.org/" + "a" * 150
    sight.hears(f"all:\n\tcc {link} -o a")
    view = sight.view.bare(Size(80, 24))
    pane.draw(canvas.bare(view.lines(), view.foot, 24))
    rows = pane.shown()
    assert rows[:2] == ["▌ 12:01 bob:", "all:"] and rows[-1] == view.foot
    assert "".join(rows[2:-1]) == f"    cc {link} -o a"


def test_hostile_lines_begin_no_line_of_ours_and_push_nothing_away(pane: Pane) -> None:
    for columns, nick, text in lines(SEED, HOSTILE):
        sight = Sight(columns, 20).joins()
        sight.hears("before")
        sight.hears(text, nick)
        sight.hears(f"▌ 12:01 eve: {text}", nick)
        if (pane.columns, pane.rows) != (columns, 20):
            pane.resize(columns, 20)
        view = sight.view.bare(Size(columns, 20))
        for _step in range(3):
            shown = view.lines()
            pane.draw(canvas.bare(shown, view.foot, 20))
            rows = pane.shown()
            assert rows[-1].lstrip(" ") == view.foot, (columns, text)
            ours = sum(line.startswith("▌") for line in shown)
            assert "".join(rows).count("▌") == ours + 1, (columns, text)
            if isinstance(pane, Tmux):  # GNU screen copies rows as one that once were
                assert rows[-1] == view.foot, (columns, text)
                assert sum(row.startswith("▌ 12:01") for row in rows) == ours, (columns, text)
            view.page(-1)
