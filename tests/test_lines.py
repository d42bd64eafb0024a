"""Keys, the line editor, and the typed line on a real terminal."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from client import events
from client.commands import complete, may_remember
from client.console.keys import Key, KeyDecoder
from client.console.lines import Entered, Leave, LineEditor, LineView, Redraw
from client.console.reading import QUIT
from client.console.start import Console
from tests.console_kit import (  # noqa: F401  # two of them are fixtures
    Chat,
    Person,
    chats_fixture,
    person_fixture,
    shown,
)

# Keys


def decoded(*pieces: bytes) -> list[Key]:
    decoder = KeyDecoder()
    return [key for piece in pieces for key in decoder.feed(piece)]


SEQUENCES = [
    (b"\r", "enter"), (b"\n", "enter"), (b"\t", "tab"), (b"\x7f", "backspace"), (b"\x08", "ctrl-h"),
    (b"\x01", "ctrl-a"), (b"\x1a", "ctrl-z"), (b"\x03", "ctrl-c"), (b"\x0c", "ctrl-l"),
    (b"\x1b[A", "up"), (b"\x1b[B", "down"), (b"\x1b[C", "right"), (b"\x1b[D", "left"),
    (b"\x1bOA", "up"), (b"\x1bOD", "left"), (b"\x1bOH", "home"), (b"\x1bOF", "end"),
    (b"\x1b[H", "home"), (b"\x1b[F", "end"), (b"\x1b[1~", "home"), (b"\x1b[4~", "end"),
    (b"\x1b[7~", "home"), (b"\x1b[8~", "end"), (b"\x1b[3~", "delete"), (b"\x1b[5~", "page-up"),
    (b"\x1b[6~", "page-down"), (b"\x1b[Z", "backtab"), (b"\x1b[1;5D", "word-left"),
    (b"\x1b[1;3C", "word-right"), (b"\x1b[1;2D", "left"), (b"\x1bb", "word-left"),
    (b"\x1bf", "word-right"), (b"\x1b\r", "newline"), (b"\x1b\n", "newline"),
    (b"\x1b[13;3u", "newline"), (b"\x1b\x7f", "ctrl-w"), (b"\x12", "ctrl-r"),
    (b"\x1b[I", "focus-in"), (b"\x1b[O", "focus-out"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "name"), SEQUENCES)
def test_a_key_however_it_arrives(data: bytes, name: str) -> None:
    assert decoded(data) == [Key(name)]
    assert decoded(*(bytes([byte]) for byte in data)) == [Key(name)]
    assert decoded(b"a" + data + b"b") == [Key("text", "a"), Key(name), Key("text", "b")]


@pytest.mark.parametrize(
    "data",
    [
        b"\x1b[1I", b"\x1b[99~", b"\x1b[?1;2c", b"\x1b]0;title\x07", b"\x1b]11;rgb\x1b\\",
        b"\x1bP1$r\x1b\\", b"\x1bx", b"\x1bOR", b"\xc2\x9b", b"\x00", b"\x1c", b"\x1b[<0;1;1M",
    ],
)  # fmt: skip
def test_what_is_not_known_does_nothing(data: bytes) -> None:
    assert decoded(data + b"b") == [Key("text", "b")]
    assert decoded(*(bytes([byte]) for byte in data), b"b") == [Key("text", "b")]


def test_letters_of_several_bytes_may_arrive_in_pieces() -> None:
    data = "aü日👩".encode()
    assert decoded(data) == [Key("text", "aü日👩")]
    assert "".join(key.text for key in decoded(*(bytes([b]) for b in data))) == "aü日👩"
    assert decoded(b"\xff\xfea") == [Key("text", "\ufffd\ufffda")]


def test_a_lone_escape_is_the_key_when_nothing_follows() -> None:
    decoder = KeyDecoder()
    assert decoder.feed(b"\x1b") == [] and decoder.pending
    assert decoder.flush() == [Key("escape")]
    assert not decoder.pending
    assert decoder.feed(b"[A") == [Key("text", "[A")]


def test_a_sequence_without_end_is_given_up() -> None:
    decoder = KeyDecoder()
    decoder.feed(b"\x1b[" + b"1" * 200)
    decoder.feed(b"\x1b]" + b"x" * 5000)
    assert not decoder.pending
    assert decoder.feed(b"a") == [Key("text", "a")]


def test_a_paste_is_one_text() -> None:
    data = b"\x1b[200~one\rtwo\r\nthree\t.\x1b[31m\x07\r\x1b[201~x"
    expected = [Key("paste", "one\ntwo\nthree\t.[31m"), Key("text", "x")]
    assert decoded(data) == expected
    assert decoded(*(bytes([byte]) for byte in data)) == expected


# The editor


def typed(*keys: str, editor: LineEditor | None = None) -> LineEditor:
    """An editor after these keys; a name in angle brackets, or text."""
    editor = editor or LineEditor()
    for key in keys:
        named = key.startswith("<") and key.endswith(">")
        editor.press(Key(key[1:-1]) if named else Key("text", key))
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
    editor = typed(*keys)
    assert editor.text[: editor.cursor] + "|" + editor.text[editor.cursor :] == shown


def test_enter_finishes_the_line() -> None:
    editor = typed("one", "<newline>", "two", "<left>")
    assert editor.press(Key("enter")) == Entered("one\ntwo")
    assert editor.view() == LineView()


@pytest.mark.parametrize("name", ["ctrl-c", "ctrl-d"])
def test_leaving_needs_an_empty_line(name: str) -> None:
    editor = typed("a")
    assert editor.press(Key(name)) is None
    typed("<ctrl-c>", editor=editor)
    assert editor.press(Key(name)) == Leave()


def test_ctrl_l_asks_for_the_line_again() -> None:
    assert LineEditor().press(Key("ctrl-l")) == Redraw()


def test_history_keeps_the_line_that_is_not_finished() -> None:
    editor = typed("one", "<enter>", "two", "<enter>", "two", "<enter>", " ", "<enter>", "dra")
    texts: list[str] = []
    for key in ("up", "up", "up", "down", "down", "down"):
        editor.press(Key(key))
        texts.append(editor.text)
    assert texts == ["two", "one", "one", "two", "dra", "dra"]


def test_history_never_has_a_secret() -> None:
    editor = LineEditor(remember=may_remember)
    typed("/who", "<enter>", "/room dev hush", "<enter>", "<up>", editor=editor)
    assert editor.text == "/who"


def test_tab_goes_round_and_back() -> None:
    editor = LineEditor(lambda before: complete(before, ["alice", "alan"]))
    typed("al", editor=editor)
    texts = []
    for key in ("tab", "tab", "tab", "backtab"):
        editor.press(Key(key))
        texts.append(editor.text)
    assert texts == ["alan: ", "alice: ", "alan: ", "alice: "]
    typed("hi", editor=editor)
    assert editor.text == "alice: hi"
    typed("<tab>", editor=editor)
    assert editor.text == "alice: hi"


def test_tab_completes_in_the_middle() -> None:
    editor = LineEditor(lambda before: complete(before, ["alice"]))
    typed("hey al you", "<left>", "<left>", "<left>", "<left>", "<tab>", editor=editor)
    assert editor.text == "hey alice  you"
    assert editor.cursor == len("hey alice ")


@pytest.mark.parametrize(
    ("answer", "text", "outcome"),
    [
        (Key("text", "y"), "", Entered("<1\n2\n3\n4\n5\n6>")),
        (Key("enter"), "", Entered("<1\n2\n3\n4\n5\n6>")),
        (Key("text", "e!"), "<1\n2\n3\n4\n5\n6!>", None),
        (Key("text", "n"), "<>", None),
        (Key("escape"), "<>", None),
        (Key("ctrl-c"), "<>", None),
    ],
)
def test_more_than_five_lines_are_asked_about(
    answer: Key, text: str, outcome: Entered | None
) -> None:
    editor = LineEditor()
    editor.press(Key("text", "<>"))
    editor.press(Key("left"))
    editor.press(Key("paste", "1\n2\n3\n4\n5"))
    assert editor.view().question == "" and editor.text == "<1\n2\n3\n4\n5>"
    editor.press(Key("ctrl-u"))
    editor.press(Key("text", "<"))
    editor.press(Key("paste", "1\n2\n3\n4\n5\n6"))
    assert editor.view().question.startswith("Send 6 lines as one message?")
    for key in (Key("text", "x"), Key("tab"), Key("up"), Key("paste", "y")):
        assert editor.press(key) is None
        assert editor.view().question and editor.text == "<>"
    assert editor.press(answer) == outcome
    assert editor.view().question == "" and editor.text == text


def test_a_paste_is_inserted_whole() -> None:
    editor = typed("ab", "<left>")
    editor.press(Key("paste", "1\n2"))
    assert editor.text == "a1\n2b" and editor.cursor == 4


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


def test_diagnostics_do_not_break_the_line(person: Person, chats: Callable[..., Chat]) -> None:
    chat = chats()
    chat.joins()
    person.types("typing")
    person.sees("default> typing")
    chat.console.screen.diagnose("something")
    person.sees("something")
    person.types("!")
    person.sees("something", "default> typing!")


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
