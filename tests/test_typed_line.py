"""The line being typed where lines scroll away: what is written, and what a terminal shows."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from client.input.editor import LineEditor, LineView
from client.input.keys import KeyPress
from client.input.terminal import Size
from client.output.input_line import AnsiInputLine, DumbInputLine, InputLine
from client.output.widths import clusters, width
from tests.console_kit import emulated

PROMPT = "r> "
WIDE = Size(80, 24)


def at_end(text: str) -> LineView:
    return LineView(text, len(text))


def typing(line: DumbInputLine, *views: LineView, size: Size = WIDE) -> list[str]:
    """What is written for each of them."""
    return [line.update(PROMPT, view, size) for view in views]


def test_a_letter_is_that_letter_and_nothing_else() -> None:
    line = AnsiInputLine()
    assert line.show_prompt(PROMPT, LineView(), WIDE) == PROMPT
    assert line.show_prompt(PROMPT, LineView(), WIDE) == "", "it stands there already"
    written = typing(line, *map(at_end, ("h", "hé", "hé日", "hé日", "hé", "h", "ho")))
    assert written == ["h", "é", "日", "", "\b\b  \b\b", "\b \b", "o"]


def test_enter_gives_the_own_line_once_and_one_prompt() -> None:
    line = AnsiInputLine()
    line.show_prompt(PROMPT, LineView(), WIDE)
    assert typing(line, at_end("hi"), LineView(entered=True), LineView()) == ["hi", "\r", ""]
    assert line.print_above(["12:01 me: hi"], WIDE) == "\r12:01 me: hi\n"
    assert line.show_prompt(PROMPT, LineView(), WIDE) == PROMPT
    assert line.print_above(["1"], WIDE) == "\r1  \n", "what is longer is covered to its end"
    assert line.print_above(["2", "3"], WIDE) == "2\n3\n", "and no prompt between them"
    assert typing(line, at_end("x"), at_end("")) == ["x", "\b \b"]


def test_enter_on_nothing_says_where_one_is() -> None:
    line = DumbInputLine()
    assert typing(line, LineView(entered=True), LineView(entered=True)) == [PROMPT, f"\n{PROMPT}"]


def test_what_is_half_typed_comes_back_with_the_next_key() -> None:
    line = AnsiInputLine()
    line.show_prompt(PROMPT, LineView(), WIDE)
    typing(line, at_end("hel"))
    written = line.print_above(["12:01 bob: x"], WIDE)
    assert written == "\n12:01 bob: x\n", "nothing is written over it"
    assert line.print_above(["12:01 bob: y"], WIDE) == "12:01 bob: y\n"
    assert typing(line, at_end("hell"), at_end("hello")) == ["r> hell", "o"]


def test_what_was_entered_and_is_not_answered_yet_stays() -> None:
    line = AnsiInputLine()
    line.show_prompt(PROMPT, LineView(), WIDE)
    typing(line, at_end("one"), LineView(entered=True), LineView())
    assert typing(line, at_end("t")) == ["\nr> t"]
    assert line.print_above(["12:01 me: one"], WIDE) == "\n12:01 me: one\n"


def test_a_question_and_back() -> None:
    line = DumbInputLine()
    line.show_prompt(PROMPT, LineView(), WIDE)
    typing(line, at_end("ab"))
    asked, back = typing(line, LineView("ab", 2, question="Sure?"), at_end("ab"))
    assert asked == "\b" * 5 + "Sure? "
    assert back.startswith("\b" * 6 + "r> ab")


def test_leaving_goes_to_an_empty_row() -> None:
    line = AnsiInputLine()
    assert line.set_modes() == "\x1b[?2004h" and line.reset_modes() == "\x1b[?2004l"
    assert line.leave(WIDE) == ""
    line.show_prompt(PROMPT, LineView(), WIDE)
    assert line.leave(WIDE) == "\r   \r"
    typing(line, at_end("half"))
    assert line.leave(WIDE) == "\r    \r" and line.leave(WIDE) == ""
    assert typing(line, at_end("half a"), LineView(entered=True)) == ["r> half a", "\r"]
    assert line.leave(WIDE) == "\n", "that was sent"
    typing(line, at_end("longer than a row " * 9))
    assert line.leave(WIDE) == "\n"


def test_on_a_dumb_terminal_no_sequence_is_written() -> None:
    line = DumbInputLine()
    assert line.set_modes() == line.reset_modes() == line.clear_screen(WIDE) == ""
    assert InputLine().print_above(["a", "b"], WIDE) == "a\nb\n"


def test_wide_and_hostile_characters_are_shown_as_what_they_are() -> None:
    line = AnsiInputLine()
    assert typing(line, at_end("日\u202e▌\ny")) == ["日<U+202E>#␊y"]


LETTERS = st.sampled_from(["a", "b", "日", " ", "é"])
KEYS = st.one_of(
    LETTERS.map(lambda letter: KeyPress("text", letter)),
    st.sampled_from(
        ["left", "right", "home", "end", "backspace", "delete", "word-left", "ctrl-w", "ctrl-k",
         "ctrl-u", "ctrl-y", "up", "down"]
    ).map(KeyPress),
    st.just(KeyPress("paste", "pasted text")),
    st.just(KeyPress("enter")),
    st.just(KeyPress("message")),
)  # fmt: skip


@given(st.lists(KEYS, max_size=60), st.integers(12, 50))
def test_the_screen_shows_the_line_and_the_cursor_in_it(keys: list[KeyPress], columns: int) -> None:
    """Whatever is typed while whatever comes: the end of the screen is the line, as far as it
    fits around the cursor."""
    screen, write = emulated(columns, 30)
    size, line, editor = Size(columns, 30), AnsiInputLine(), LineEditor()
    write(line.show_prompt(PROMPT, editor.view(), size))
    for key in keys:
        if key.name == "message":
            write(line.print_above(["▌ 12:01 bob: x"], size))
            continue
        if isinstance(editor.press(key), str):
            write(line.update(PROMPT, LineView(entered=True), size))
        written = line.update(PROMPT, editor.view(), size)
        assert "\x1b" not in written
        write(written)
        if editor.buffer.text:
            _check(screen, editor, columns)


def _check(screen: Any, editor: LineEditor, columns: int) -> None:
    row = str(screen.display[screen.cursor.y])
    if editor.buffer.cursor == len(editor.buffer.text):
        whole = PROMPT + editor.buffer.text
        _above, rest = _folded(whole, columns), _folded(editor.buffer.text, columns)
        assert row.replace(" ", "") in (_above[-1].replace(" ", ""), rest[-1].replace(" ", ""))
        return
    assert row.split() and screen.cursor.x < columns
    before = _cells(row, screen.cursor.x)
    typed = editor.buffer.text[: editor.buffer.cursor]
    assert (PROMPT + typed).endswith(before) or before == PROMPT


def _folded(text: str, columns: int) -> list[str]:
    rows, taken = [""], 0
    for cluster in clusters(text):
        if taken + width(cluster) > columns:
            rows.append("")
            taken = 0
        rows[-1] += cluster
        taken += width(cluster)
    return rows


def _cells(row: str, column: int) -> str:
    """What stands in a row of pyte's before a column."""
    kept = ""
    for cluster in clusters(row):
        if width(kept) >= column:
            break
        kept += cluster
    return kept
