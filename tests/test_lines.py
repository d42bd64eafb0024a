"""The line editor, and the typed line on a real terminal."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from client import events
from client.commands import may_remember
from client.completion import complete
from client.console import Console
from client.input.editor import Action, LineEditor, LineView
from client.input.keys import KeyPress
from client.input.source import QUIT
from tests.console_kit import (  # noqa: F401  # two of them are fixtures
    Chat,
    Person,
    chats_fixture,
    person_fixture,
    shown,
)

# The editor


def typed(*keys: str, editor: LineEditor | None = None) -> LineEditor:
    """An editor after these keys; a name in angle brackets, or text."""
    editor = editor or LineEditor()
    for key in keys:
        named = key.startswith("<") and key.endswith(">")
        editor.press(KeyPress(key[1:-1]) if named else KeyPress("text", key))
    return editor


@pytest.mark.parametrize(
    ("keys", "shown"),
    [
        (["abc"], "abc|"),
        (["abc", "<left>", "<ctrl-b>", "x"], "ax|bc"),
        (["abc", "<home>", "<right>", "<ctrl-f>", "x"], "abx|c"),
        (["abc", "<left>", "<left>", "<left>", "<left>", "<right>"], "a|bc"),
        (["abc", "<ctrl-a>", "<delete>", "<ctrl-d>"], "|c"),
        (["abc", "<backspace>", "<ctrl-h>"], "a|"),
        (["<backspace>", "<delete>", "<left>", "<right>", "<up>", "<down>"], "|"),
        (["one two  ", "<ctrl-w>"], "one |"),
        (["one two", "<word-left>", "<word-left>", "x", "<word-right>"], "xone| two"),
        (["one two", "<home>", "<word-right>", "<word-right>"], "one two|"),
        (["one two", "<word-left>", "<ctrl-u>"], "|two"),
        (["one two", "<word-left>", "<ctrl-k>"], "one |"),
        (["one two", "<ctrl-w>", "<home>", "<ctrl-y>", "<ctrl-y>"], "twotwo|one "),
        (["a", "<newline>", "bc", "<home>", "x"], "a\nx|bc"),
        (["ab", "<newline>", "c", "<up-nowhere>", "<ctrl-a>", "<left>", "<ctrl-a>"], "|ab\nc"),
        (["👩\u200d👩\u200d👧b", "<left>", "<left>"], "|👩\u200d👩\u200d👧b"),
        (["a👩\u200d👩\u200d👧", "<backspace>"], "a|"),
        (["e\u0301x", "<home>", "<right>"], "e\u0301|x"),
        (["日本", "<left>", "<delete>"], "日|"),
        (["e", "<home>", "x", "<right>", "\u0301"], "xe\u0301|"),
        (["ex", "<left>", "\u0301"], "e\u0301|x"),
        (["🇫x🇷", "<left>", "<backspace>"], "🇫🇷|"),
        (["abc", "<ctrl-c>"], "|"),
        (["abc", "<f1>", "<page-up>"], "abc|"),
    ],
)
def test_editing(keys: list[str], shown: str) -> None:
    line = typed(*keys).buffer
    assert line.text[: line.cursor] + "|" + line.text[line.cursor :] == shown


def test_enter_finishes_the_line() -> None:
    editor = typed("one", "<newline>", "two", "<left>")
    assert editor.press(KeyPress("enter")) == "one\ntwo"
    assert editor.view() == LineView()


@pytest.mark.parametrize("name", ["ctrl-c", "ctrl-d"])
def test_leaving_needs_an_empty_line(name: str) -> None:
    editor = typed("a")
    assert editor.press(KeyPress(name)) is None
    typed("<ctrl-c>", editor=editor)
    assert editor.press(KeyPress(name)) == Action.LEAVE


def test_ctrl_l_asks_for_the_line_again() -> None:
    assert LineEditor().press(KeyPress("ctrl-l")) == Action.REDRAW


def test_history_keeps_the_line_that_is_not_finished() -> None:
    editor = typed("one", "<enter>", "two", "<enter>", "two", "<enter>", " ", "<enter>", "dra")
    texts: list[str] = []
    for key in ("up", "up", "up", "down", "down", "down"):
        editor.press(KeyPress(key))
        texts.append(editor.buffer.text)
    assert texts == ["two", "one", "one", "two", "dra", "dra"]


def test_history_never_has_a_secret() -> None:
    editor = LineEditor(remember=may_remember)
    typed("/who", "<enter>", "/room dev hush", "<enter>", "<up>", editor=editor)
    assert editor.buffer.text == "/who"


def test_tab_goes_round_and_back() -> None:
    editor = LineEditor(lambda before: complete(before, ["alice", "alan"]))
    typed("al", editor=editor)
    texts = []
    for key in ("tab", "tab", "tab", "backtab"):
        editor.press(KeyPress(key))
        texts.append(editor.buffer.text)
    assert texts == ["alan: ", "alice: ", "alan: ", "alice: "]
    typed("hi", editor=editor)
    assert editor.buffer.text == "alice: hi"
    typed("<tab>", editor=editor)
    assert editor.buffer.text == "alice: hi"


def test_tab_completes_in_the_middle() -> None:
    editor = LineEditor(lambda before: complete(before, ["alice"]))
    typed("hey al you", "<left>", "<left>", "<left>", "<left>", "<tab>", editor=editor)
    assert editor.buffer.text == "hey alice  you"
    assert editor.buffer.cursor == len("hey alice ")


@pytest.mark.parametrize(
    ("answer", "text", "outcome"),
    [
        (KeyPress("text", "y"), "", "<1\n2\n3\n4\n5\n6>"),
        (KeyPress("text", "e!"), "<1\n2\n3\n4\n5\n6!>", None),
        (KeyPress("text", "n!"), "<!>", None),
        (KeyPress("text", "n"), "<>", None),
        (KeyPress("escape"), "<>", None),
        (KeyPress("ctrl-c"), "<>", None),
    ],
)
def test_more_than_five_lines_are_asked_about(
    answer: KeyPress, text: str, outcome: str | None
) -> None:
    editor = LineEditor()
    editor.press(KeyPress("text", "<>"))
    editor.press(KeyPress("left"))
    editor.press(KeyPress("paste", "1\n2\n3\n4\n5"))
    assert editor.view().question == "" and editor.buffer.text == "<1\n2\n3\n4\n5>"
    editor.press(KeyPress("ctrl-u"))
    editor.press(KeyPress("text", "<"))
    editor.press(KeyPress("paste", "1\n2\n3\n4\n5\n6"))
    assert editor.view().question.startswith("Send 6 lines as one message?")
    keys = [KeyPress(name) for name in ("tab", "enter", "newline")]
    for key in (KeyPress("text", "x"), *keys, KeyPress("text", "yes")):
        assert editor.press(key) is None
        assert editor.view().question and editor.buffer.text == "<>"
    assert editor.press(answer) == outcome
    assert editor.view().question == "" and editor.buffer.text == text


def test_what_nobody_pressed_asks_even_about_one_line() -> None:
    editor = typed("half ", "<left>", "<right>")
    editor.press(KeyPress("paste-asks", "a line"))
    assert editor.view().question.startswith("Send this line?")
    editor.press(KeyPress("paste-asks", "\nand more"))
    assert editor.view().question.startswith("Send 2 lines as one message?")
    assert editor.press(KeyPress("enter")) is None, "which may have been pasted, too"
    assert editor.press(KeyPress("text", "y")) == "half a line\nand more"
    editor.press(KeyPress("text", "typed"))
    editor.press(KeyPress("paste-asks"))
    assert editor.view().question.startswith("Send this line?")
    editor.press(KeyPress("text", "n"))
    assert editor.buffer.text == "typed" and not editor.view().question


@pytest.mark.parametrize(
    ("keys", "shown"),
    [
        (["ab", "<newline>", "cd", "<up>", "x"], "abx|\ncd"),
        (["ab", "<newline>", "c", "<up>", "<down>", "x"], "ab\ncx|"),
        (["abc", "<newline>", "d", "<newline>", "efg", "<up>", "<up>"], "a|bc\nd\nefg"),
        (["日本", "<newline>", "👩‍👧e", "<up>", "x"], "日本x|\n👩‍👧e"),
        (["one two three", "<home>", "<word-right>", "<alt-d>"], "one| three"),
        (["one two three", "<home>", "<delete-word>", "<end>", "<ctrl-y>"], " two threeone|"),
        (["one", "<ctrl-w>", "<alt-y>"], "one|"),
        (["ab", "<ctrl-t>"], "ba|"), (["abc", "<left>", "<left>", "<ctrl-t>"], "ba|c"),
        (["a", "<ctrl-t>"], "a|"), (["<ctrl-t>"], "|"), (["ab", "<home>", "<ctrl-t>"], "|ab"),
        (["one", " two", "<ctrl-w>", "<ctrl-_>"], "one two|"),
        (["one", " two", "<ctrl-w>", "<ctrl-_>", "<ctrl-_>", "<ctrl-_>"], "|"),
        (["oops", "<ctrl-c>", "<ctrl-_>"], "oops|"),
        (["secret", "<enter>", "<ctrl-_>"], "|"),
        (["a", "<left>", "b", "<escape>", "<escape-enter>"], "b\n|a"),
    ],
)  # fmt: skip
def test_more_editing(keys: list[str], shown: str) -> None:
    line = typed(*keys).buffer
    assert line.text[: line.cursor] + "|" + line.text[line.cursor :] == shown


def test_up_goes_through_a_draft_and_then_into_the_past() -> None:
    editor = typed("old", "<enter>", "two", "<newline>", "lines", "<up>", "<up>")
    assert editor.buffer.text == "old"
    typed("<down>", editor=editor)
    assert editor.buffer.text == "two\nlines"


def test_escape_that_closed_something_is_no_alt() -> None:
    editor = typed("abc")
    editor.press(KeyPress("paste-asks", "x"))
    typed("<escape>", editor=editor)
    assert editor.press(KeyPress("escape-enter")) == "abc"


# Searching


PAST = ("first line", "<enter>", "second one", "<enter>", "Third line", "<enter>")


@pytest.mark.parametrize(
    ("keys", "shown", "prompt"),
    [
        (["<ctrl-r>"], "dr|aft", "search: "),
        (["<ctrl-r>", "li"], "Third |line", "search: li"),
        (["<ctrl-r>", "l", "i", "<ctrl-r>"], "first |line", "search: li"),
        (["<ctrl-r>", "li", "<ctrl-r>", "<ctrl-s>"], "Third |line", "search: li"),
        (["<ctrl-r>", "li", "<ctrl-r>", "<ctrl-r>"], "first |line", "not found: li"),
        (["<ctrl-r>", "THI"], "|Third line", "search: THI"),
        (["<ctrl-r>", "secx"], "dr|aft", "not found: secx"),
        (["<ctrl-r>", "secx", "<backspace>"], "|second one", "search: sec"),
        (["<ctrl-r>", "sec", "<escape>"], "dr|aft", ""),
        (["<ctrl-r>", "sec", "<ctrl-g>"], "dr|aft", ""),
        (["<ctrl-r>", "sec", "<ctrl-c>"], "dr|aft", ""),
        (["<ctrl-r>", "sec", "<tab>", "!"], "!|second one", ""),
        (["<ctrl-r>", "one", "<end>", "!"], "second one!|", ""),
        (["<ctrl-r>", "sec", "<up>"], "first line|", ""),
        (["<ctrl-r>", "sec", "<enter>", "<down>", "<down>"], "draft|", ""),
        (["<ctrl-r>", "sec", "<ctrl-_>"], "dr|aft", ""),
    ],
)  # fmt: skip
def test_searching(keys: list[str], shown: str, prompt: str) -> None:
    editor = typed(*PAST, "draft", "<left>", "<left>", "<left>", *keys)
    view = editor.view()
    assert view.text[: view.cursor] + "|" + view.text[view.cursor :] == shown
    assert view.prompt == prompt


def test_enter_takes_what_was_found_and_does_not_send_it() -> None:
    editor = typed(*PAST, "<ctrl-r>", "sec")
    assert editor.press(KeyPress("enter")) is None
    assert editor.view() == LineView("second one", 0)
    assert editor.press(KeyPress("enter")) == "second one"


def test_a_search_finds_no_secret() -> None:
    editor = LineEditor(remember=may_remember)
    typed("/room dev hush", "<enter>", "<ctrl-r>", "hush", editor=editor)
    assert editor.view() == LineView(prompt="not found: hush")


def test_ctrl_c_on_an_empty_line_asks_once() -> None:
    now = [100.0]
    editor = LineEditor(leave_twice=True, clock=lambda: now[0])
    for pause in (2.0, 5.0):  # too late: it asks again
        assert editor.press(KeyPress("ctrl-c")) is None
        assert editor.view().question == "Press Ctrl-C again to leave."
        assert editor.deadline == now[0] + 2.0
        now[0] += pause
        assert editor.view() == LineView() and editor.deadline is None
    editor.press(KeyPress("ctrl-c"))
    typed("x", editor=editor)
    assert editor.view() == LineView("x", 1)
    assert [editor.press(KeyPress("ctrl-c")) for _time in range(3)] == [None, None, Action.LEAVE]
    assert LineEditor(leave_twice=True).press(KeyPress("ctrl-d")) == Action.LEAVE


def test_a_paste_is_inserted_whole() -> None:
    editor = typed("ab", "<left>")
    editor.press(KeyPress("paste", "1\n2"))
    assert editor.buffer.text == "a1\n2b" and editor.buffer.cursor == 4


# A real terminal


def test_an_incoming_message_leaves_the_typed_line_whole(
    person: Person, chats: Callable[..., Chat]
) -> None:
    chat = chats()
    chat.joins()
    person.types("a half-typed line that takes more than one row")
    person.sees("default> a half-typed line that takes mo", "re than one row")
    chat.hears("hello 日本")
    person.waits(lambda: shown(person.screen)[-1].replace(" ", "") == "▌12:01bob:hello日本")
    assert shown(person.screen)[-2] == "re than one row", "nothing was written over it"
    person.types("s")
    person.sees("default> a half-typed line that takes mo", "re than one rows")
    person.types("\x01\x1b[C<\x05>\r")
    person.waits(lambda: bool(chat.lines))
    assert chat.lines == ["a< half-typed line that takes more than one rows>"]


def test_editing_keys_arrive(person: Person, chats: Callable[..., Chat]) -> None:
    chat = chats()
    person.types("/wx\x7fho\r/ro\t\x1b[Z\x17one\x1b\rtwo\r\x1b[A")
    person.waits(lambda: len(chat.lines) == 2)
    assert chat.lines == ["/who", "one\ntwo"]
    person.sees("one␊two")
    person.types("\x03\x1b[200~three\rlines\rpasted\r\x1b[201~")
    person.waits(lambda: shown(person.screen)[-1].endswith("three␊lines␊pasted"))
    person.types("\r")
    person.waits(lambda: len(chat.lines) == 3)
    assert chat.lines[-1] == "three\nlines\npasted"


def test_ctrl_c_clears_first_and_leaves_then(person: Person, chats: Callable[..., Chat]) -> None:
    chat = chats()
    person.types("oops")
    person.sees("oops")
    person.types("\x03")
    person.sees()
    person.types("bye\r\x03")
    person.waits(lambda: chat.console.input.ended == QUIT)
    assert chat.lines == ["bye"]


def test_keys_after_stop_are_nobodys(person: Person) -> None:
    source = Chat(person, "minimal", {"TERM": "xterm"})
    source.console.input.stop()
    person.types("never\r")
    source.close()
    assert source.lines == []


def test_the_terminal_is_as_before_after_leaving(person: Person) -> None:
    before = person.settings()
    chat = Chat(person, "minimal", {"TERM": "xterm"})
    chat.joins()
    assert person.settings() != before
    person.types("rest of a line")
    person.sees("default> rest of a line")
    chat.close()
    assert person.settings() == before
    person.waits(lambda: person.raw.endswith(b"\x1b[?2004l"))  # pasting is as before
    assert "rest of a line" not in "".join(shown(person.screen))
    assert person.screen.cursor.x == 0


def test_the_terminal_is_as_before_after_an_exception(person: Person) -> None:
    before = person.settings()
    with open(os.dup(person.slave)) as stdin, open(os.dup(person.slave), "w") as stdout:
        with pytest.raises(RuntimeError):
            with Console("rich", {"TERM": "xterm"}, stdin=stdin, stdout=stdout):
                assert person.settings() != before
                raise RuntimeError("a bug")
        assert person.settings() == before


def test_clear_empties_the_screen(person: Person, chats: Callable[..., Chat]) -> None:
    chat = chats()
    chat.joins()
    chat.hears("secret")
    person.waits(lambda: "secret" in "".join(shown(person.screen)))
    chat.console.screen.show(events.Cleared())
    person.waits(lambda: shown(person.screen) == ["default>"])


def test_a_dumb_terminal_gets_no_sequences(person: Person, chats: Callable[..., Chat]) -> None:
    chat = chats("rich", TERM="dumb")
    chat.joins()
    person.types("hel")
    person.sees("default> hel")
    chat.hears("hello")
    person.sees("default> hel", "▌ 12:01 bob: hello")
    person.types("lo\rnext\r")
    person.waits(lambda: len(chat.lines) == 2)
    person.sees("default> hello", "default> next")
    assert b"\x1b" not in person.raw
