"""Keys from a keyboard's bytes, however these are cut and however slowly they come."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.input.keys import PASTE_TIME, KeyDecoder, KeyPress

FIXED = settings(derandomize=True, database=None, deadline=None, max_examples=400)
BEGIN, END = b"\x1b[200~", b"\x1b[201~"
Pieces = list[tuple[float, bytes]]


def fed(decoder: KeyDecoder, pieces: Pieces, after: float = 10.0) -> list[KeyPress]:
    """The keys of these pieces, each of which comes so many seconds after the one before it, and
    ``after`` seconds of silence at the end; asked as the keyboard's reader asks."""
    now, keys = 1000.0, []
    for pause, data in [*pieces, (after, b"")]:
        now += pause
        while decoder.deadline is not None and decoder.deadline <= now:
            keys += decoder.expire(decoder.deadline)
        if data:
            keys += decoder.feed(data, now)
            decoder.handled(now)
    return keys


def decoded(*pieces: bytes, pause: float = 0.0) -> list[KeyPress]:
    """The keys of these pieces; in pipes and plain lines nothing asks."""
    return fed(KeyDecoder(trust=True), [(pause, piece) for piece in pieces])


def one_by_one(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


@st.composite
def cut(draw: st.DrawFn, data: bytes, longest: float) -> Pieces:
    """``data`` in any pieces, with any pauses of less than ``longest`` seconds."""
    places = sorted(draw(st.sets(st.integers(1, len(data) - 1)))) if len(data) > 1 else []
    pieces = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
    pauses = st.floats(0, longest, exclude_max=True)
    return [(draw(pauses), piece) for piece in pieces]


SEQUENCES = [
    (b"\r", "enter"), (b"\n", "newline"), (b"\t", "tab"), (b"\x7f", "backspace"),
    (b"\x08", "ctrl-h"),
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
    (b"\x1b[P", "delete"), (b"\x1b[M", "delete-word"), (b"\x1b[3;5~", "delete-word"),
    (b"\x1b[3^", "delete-word"), (b"\x1b[3$", "delete"), (b"\x1b[7$", "home"),
    (b"\x1bOc", "word-right"), (b"\x1bOd", "word-left"), (b"\x1bOM", "newline"),
    (b"\x1b\x1b[D", "word-left"), (b"\x1b\x1bOC", "word-right"), (b"\x1b\x1b[3~", "delete-word"),
    (b"\x1b[13;2u", "newline"), (b"\x1b[13;5u", "newline"), (b"\x1b[13u", "enter"),
    (b"\x1b[27;2;13~", "newline"), (b"\x1b[27;3;13~", "newline"), (b"\x1b[57414u", "enter"),
    (b"\x1b[13;65u", "enter"), (b"\x1b[13;129:1u", "enter"), (b"\x1b[106;5u", "newline"),
    (b"\x1b[27;5;106~", "newline"), (b"\x1b[109;5u", "enter"), (b"\x1b[99;5u", "ctrl-c"),
    (b"\x1b[27;5;99~", "ctrl-c"), (b"\x1b[120;5u", "ctrl-x"), (b"\x1b[27;5;120~", "ctrl-x"),
    (b"\x1b[120;69:1u", "ctrl-x"), (b"\x1b[1095::120;5u", "ctrl-x"), (b"\x1b[88;6u", "ctrl-x"),
    (b"\x1b[9u", "tab"), (b"\x1b[9;2u", "backtab"), (b"\x1b[27;2;9~", "backtab"),
    (b"\x1b[27u", "escape"), (b"\x1b[127u", "backspace"), (b"\x1b[127;5u", "ctrl-w"),
    (b"\x1b[98;3u", "word-left"), (b"\x1b[27;3;102~", "word-right"),
    (b"\x1b[100;3u", "delete-word"), (b"\x1b[c", "right"), (b"\x1bOa", "up"),
    (b"\x1b[115;3u", "alt-s"), (b"\x1b[115;33u", "alt-s"), (b"\x1b[27;3;115~", "alt-s"),
    (b"\x1bs", "alt-s"), (b"\x1bd", "delete-word"), (b"\x1by", "alt-y"), (b"\x1f", "ctrl-_"),
    (b"\x1b[95;5u", "ctrl-_"), (b"\x07", "ctrl-g"), (b"\x1b[1;3:1D", "word-left"),
    (b"\x1b1", "alt-1"), (b"\x1b9", "alt-9"), (b"\x1b[50;3u", "alt-2"), (b"\x1b[27;3;57~", "alt-9"),
    (b"\x1b[50;33u", "alt-2"), (b"\x1ba", "alt-a"), (b"\x1b[114;3u", "alt-r"),
    (b"\x0e", "ctrl-n"), (b"\x10", "ctrl-p"), (b"\x1b[110;5u", "ctrl-n"),
    (b"\x1b[27;5;112~", "ctrl-p"),
    (b"\x1b[<64;10;5M", "wheel-up"), (b"\x1b[<65;10;5M", "wheel-down"),
]  # fmt: skip




@pytest.mark.parametrize(("data", "name"), SEQUENCES)
def test_a_key_however_it_arrives(data: bytes, name: str) -> None:
    assert decoded(data) == [KeyPress(name)]
    assert decoded(*one_by_one(data)) == [KeyPress(name)]
    before, after = KeyPress("text", "a"), KeyPress("text", "b")
    assert decoded(b"a" + data + b"b") == [before, KeyPress(name), after]


@FIXED
@given(st.data())
def test_only_a_lone_escape_is_ambiguous(data: st.DataObject) -> None:
    """Cut anywhere, with pauses of up to a second: the key, perhaps with Esc before it."""
    sequence, name = data.draw(st.sampled_from(SEQUENCES))
    keys = fed(KeyDecoder(ask=True), data.draw(cut(sequence, 0.99)))
    if sequence[:2] in (b"\x1b[", b"\x1b\r") or sequence[:3] == b"\x1b\x1b[":
        plain = {"word-left": "left", "word-right": "right", "delete-word": "delete"}
        names = [key.name for key in keys if key.name != "escape" or name == "escape"]
        expected = {name, "escape-enter"} if sequence == b"\x1b\r" else {name}
        if sequence[:2] == b"\x1b\x1b":  # the first one may have been Esc
            expected.add(plain[name])
        assert len(names) in (1, 2 if name == "escape" else 1) and set(names) <= expected
    else:
        assert name == "enter" or "enter" not in [key.name for key in keys]


@FIXED
@given(st.data())
def test_no_pause_sends_anything(data: st.DataObject) -> None:
    """Cut anywhere, with pauses of any length: nothing of a sequence is ever Enter."""
    sequence, _name = data.draw(st.sampled_from([row for row in SEQUENCES if row[1] != "enter"]))
    keys = fed(KeyDecoder(ask=True), data.draw(cut(sequence, 5)))
    late = sequence == b"\x1b\r" and KeyPress("escape") in keys  # more than a second after Esc
    assert late or KeyPress("enter") not in keys


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x1b[97u", "a"), (b"\x1b[97;2u", "A"), (b"\x1b[97:65;2u", "A"), (b"\x1b[65;2u", "A"),
        (b"\x1b[27;2;65~", "A"), (b"\x1b[49;2;33u", "!"), (b"\x1b[246;1u", "ö"),
        (b"\x1b[97;65u", "A".lower()),
    ],
)  # fmt: skip
def test_letters_by_their_numbers(data: bytes, text: str) -> None:
    assert decoded(data) == [KeyPress("text", text)]


@pytest.mark.parametrize(
    "data",
    [
        b"\x1b[1I", b"\x1b[99~", b"\x1b[?1;2c", b"\x1b]0;title\x07", b"\x1b]11;rgb\x1b\\",
        b"\x1bP1$r\x1b\\", b"\x1b0", b"\x1bOR", b"\xc2\x9b", b"\x00", b"\x1c", b"\x1b[<0;1;1M",
        b"\x1b[<64;1;1m", b"\x1b[57358u", b"\x1b[13;2:3u", b"\x1b[99;13u",
        b"\x1b[u", b"\x1b[;u", b"\x1b[27;5~", b"\x1b[999999999999;5u", b"\x1b[55296u", b"\x1b[201~",
        b"\x1b[1;1R",
    ],
)  # fmt: skip
def test_what_is_not_known_does_nothing(data: bytes) -> None:
    assert decoded(data + b"b") == [KeyPress("text", "b")]
    assert decoded(*one_by_one(data), b"b") == [KeyPress("text", "b")]


def test_letters_of_several_bytes_may_arrive_in_pieces() -> None:
    data = "aü日👩".encode()
    assert decoded(data) == [KeyPress("text", "aü日👩")]
    assert "".join(key.text for key in decoded(*one_by_one(data))) == "aü日👩"
    assert decoded(b"\xff\xfea") == [KeyPress("text", "\ufffd\ufffda")]


def test_a_lone_escape_is_the_key_when_nothing_follows() -> None:
    assert decoded(b"\x1b") == [KeyPress("escape")]
    assert decoded(b"\x1b\x1b") == [KeyPress("escape")]
    assert decoded(b"\x1b", b"[A", pause=0.5) == [KeyPress("escape"), KeyPress("up")]
    assert decoded(b"\x1b", b"OA", pause=0.5) == [KeyPress("escape"), KeyPress("up")]
    assert decoded(b"\x1b", b"[A", pause=1.5) == [KeyPress("escape"), KeyPress("text", "[A")]
    assert decoded(b"\x1b", b"x", pause=0.5) == [KeyPress("escape"), KeyPress("text", "x")]
    assert decoded(b"\x1b", b"\r", pause=0.5) == [KeyPress("escape"), KeyPress("escape-enter")]
    assert decoded(b"\x1b", b"x\r", pause=0.5)[1:] == [KeyPress("text", "x"), KeyPress("enter")]


def test_a_command_right_behind_esc_keeps_its_slash() -> None:
    keys = [KeyPress("escape"), KeyPress("text", "/msg bob psst")]
    assert decoded(b"\x1b/msg bob psst") == keys


def test_a_sequence_without_end_is_given_up() -> None:
    long = (b"\x1b[" + b"1" * 200, b"\x1b]" + b"x" * 5000)
    for beginning in (*long, b"\x1b[5", b"\x1bO", b"\x1bP1"):
        assert decoded(beginning, b"a", pause=1.5) == [KeyPress("text", "a")], beginning
    pasted = decoded(b"\x1b[20", b"0~one\rtwo", b"\x1b[201~", pause=2)
    assert pasted == [KeyPress("paste", "one\ntwo")]
    assert decoded(b"\x1b]", b"one\r")[-1:] == [KeyPress("enter")], "Alt-] and a line"
    slow = [(0.4, b"\x1b]"), *[(0.4, b"x")] * 5]
    letters = [KeyPress("text", "x")] * 3
    assert fed(KeyDecoder(), slow) == letters, "not for as long as somebody types"


@pytest.mark.parametrize(
    ("pieces", "names"),
    [
        ([b"one\r"], ["text", "enter"]),
        ([b"one\n"], ["text", "enter"]),  # a program that takes line feeds for Enter
        ([b"one\n", b"two", b"\n"], ["text", "enter", "text", "enter"]),
        ([b"one\n", b"two\r", b"a", b"\n"], ["text", "enter", "text", "enter", "text", "newline"]),
        ([b"o", b"\n", b"t\r"], ["text", "newline", "text", "enter"]),
        ([b"o\r\n", b"p\r", b"\n"], ["text", "enter", "text", "enter"]),
    ],
)
def test_ctrl_j_is_told_from_enter(pieces: list[bytes], names: list[str]) -> None:
    assert [key.name for key in decoded(*pieces)] == names


def test_a_line_feed_behind_a_whole_line_may_still_be_ctrl_j() -> None:
    """If somebody types on at once, whose first keys came together."""
    one, enter, newline = KeyPress("text", "one"), KeyPress("enter"), KeyPress("newline")
    assert fed(KeyDecoder(ask=True), [(0, b"one\n")]) == [one, enter]
    assert fed(KeyDecoder(), [(0, b"one\n"), (1, b"one\n")]) == [one, enter, one, enter]
    typed_on = [(0.0, b"one\n"), (0.02, b"t"), (0.02, b"\n"), (1.0, b"\r")]
    assert fed(KeyDecoder(), typed_on) == [one, newline, KeyPress("text", "t"), newline, enter]


def test_the_keypad_in_application_mode() -> None:
    """In tmux only so its Enter is another key than Ctrl-J; konsole's Shift-Enter is like it."""
    assert fed(KeyDecoder(keypad=True), [(0, b"\x1bOM")]) == [KeyPress("enter")]
    assert decoded(b"\x1bOp\x1bOy\x1bOk") == [KeyPress("text", digit) for digit in "09+"]


def test_where_a_line_feed_is_enter() -> None:
    assert fed(KeyDecoder(feed_enters=True), [(0, b"\n")]) == [KeyPress("enter")]


def test_a_line_feed_some_time_after_enter_is_ctrl_j() -> None:
    assert decoded(b"o\r", b"\n", pause=0.2)[-1] == KeyPress("newline")


# Pastes


def test_a_paste_is_one_text() -> None:
    data = b"\x1b[200~one\rtwo\r\nthree\t.\x1b[31m\x07\r\x1b[201~x"
    expected = [KeyPress("paste", "one\ntwo\nthree\t.[31m"), KeyPress("text", "x")]
    assert decoded(data) == expected
    assert decoded(*one_by_one(data)) == expected


@FIXED
@given(st.data())
def test_a_paste_is_one_text_however_it_arrives(data: st.DataObject) -> None:
    text = data.draw(st.text("ab é\n[~2", max_size=20)).strip("\n")
    keys = fed(KeyDecoder(ask=True), data.draw(cut(BEGIN + text.encode() + END, 0.99)))
    assert [key for key in keys if key != KeyPress("escape")] == [KeyPress("paste", text)]


@FIXED
@given(st.data())
def test_what_a_paste_has_behind_an_end_marker_is_not_executed(data: st.DataObject) -> None:
    text = data.draw(st.text("ab\n\r", max_size=6)).encode()
    whole = BEGIN + b"one\ntwo" + END + text + b"\n" + END
    keys = fed(KeyDecoder(ask=True), data.draw(cut(whole, 0.009)))
    assert KeyPress("enter") not in keys


@FIXED
@given(st.data())
def test_a_paste_whose_end_never_comes(data: st.DataObject) -> None:
    """It is over after three seconds, all of it is shown, and nothing of it is sent."""
    whole = BEGIN + b"one\ntwo"
    pieces = data.draw(cut(whole, 0.99))
    keys = fed(KeyDecoder(), pieces, after=PASTE_TIME - 0.1)
    assert [key for key in keys if key.name != "escape"] == []
    more = data.draw(st.sampled_from([b"\r", b"\n", b"three\r", b"a\rb\r", b"\rx"]))
    soon = data.draw(st.floats(PASTE_TIME, PASTE_TIME + 0.9))
    keys = fed(KeyDecoder(trust=True), [*pieces, (soon, more)])
    names = [key.name for key in keys if key.name != "escape"]
    assert names == ["paste", "paste-asks"]
    assert KeyPress("paste", "one\ntwo") in keys
    keys = fed(KeyDecoder(), [*pieces, (PASTE_TIME + 1.1, b"\r")])
    assert keys[-1] == KeyPress("enter"), "a second later Enter is Enter"


@pytest.mark.parametrize("ctrl_c", [b"\x03", b"\x1b[99;5u", b"\x1b[27;5;99~"])
def test_ctrl_c_ends_a_paste(ctrl_c: bytes) -> None:
    pieces = [(0.0, BEGIN + b"one"), (0.2, b"two\n"), (0.2, ctrl_c)]
    assert fed(KeyDecoder(), pieces) == [KeyPress("paste", "onetwo")]
    asks = [KeyPress("paste", "onetwo"), KeyPress("paste-asks")]
    assert fed(KeyDecoder(), [*pieces, (0.5, b"\r")]) == asks
    assert fed(KeyDecoder(), [*pieces, (1.5, b"\r")])[-1] == KeyPress("enter")
    inside = [(0.0, BEGIN + b"one"), (0.01, ctrl_c[:1]), (0.01, b"two" + END)]
    assert fed(KeyDecoder(), inside)[0].text.startswith("one"), "pasted, not pressed"
    assert len(fed(KeyDecoder(), inside)) == 1


@pytest.mark.parametrize("ctrl_x", [b"\x18", b"\x1b[120;5u", b"\x1b[27;5;120~"])
def test_panic_works_in_a_paste_without_end(ctrl_x: bytes) -> None:
    pieces = [(0.0, BEGIN + b"one"), (0.2, ctrl_x), (0.2, ctrl_x)]
    panic = [KeyPress("ctrl-x")] * 2
    assert fed(KeyDecoder(), pieces) == [KeyPress("paste", "one"), *panic]


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"one\rtwo\r", [KeyPress("paste-asks", "one\ntwo")]),
        (b"one\ntwo", [KeyPress("paste-asks", "one\ntwo")]),
        (b"one\r\n\r\n\ttwo\r\n", [KeyPress("paste-asks", "one\n\n\ttwo")]),
        (b"one\rtwo\x7f\x18\x18", [KeyPress("paste-asks", "one\ntwo"), KeyPress("backspace"),
                                 KeyPress("ctrl-x"), KeyPress("ctrl-x")]),
        (b"one\r", [KeyPress("text", "one"), KeyPress("enter")]),
        (b"one\r\r", [KeyPress("text", "one"), KeyPress("enter"), KeyPress("enter")]),
        (b"one\r\x1b[A\r", [KeyPress("text", "one"), KeyPress("enter"), KeyPress("up"),
                            KeyPress("enter")]),
    ],
)  # fmt: skip
def test_several_lines_at_once_ask(data: bytes, keys: list[KeyPress]) -> None:
    assert fed(KeyDecoder(ask=True), [(0, data)]) == keys
    trusted = fed(KeyDecoder(ask=True, trust=True), [(0, data)])
    assert "paste-asks" not in [key.name for key in trusted]
    assert trusted == fed(KeyDecoder(), [(0, data)]), "plain lines do not ask either"


def test_a_long_paste_without_brackets_may_take_several_reads() -> None:
    """The answer to the question is not in it."""
    pieces = [(0.0, b"one\rtwo\rthr"), (0.1, b"ee\ry"), (0.1, b"yy"), (0.1, b"y\r"), (0.3, b"y")]
    keys = fed(KeyDecoder(ask=True), pieces)
    assert keys[-1] == KeyPress("text", "y")
    assert {key.name for key in keys[:-1]} == {"paste-asks", "paste"}


def test_enter_right_behind_a_paste() -> None:
    paste = (0.0, BEGIN + b"one" + END)
    done = [KeyPress("paste", "one"), KeyPress("enter")]
    asks = [KeyPress("paste", "one"), KeyPress("paste-asks")]
    assert fed(KeyDecoder(), [paste, (0.05, b"\r")]) == done
    assert fed(KeyDecoder(), [(0.0, paste[1] + b"\r")]) == done, "nothing came behind it"
    assert fed(KeyDecoder(), [(0.0, paste[1] + b"\r"), (0.01, END)]) == asks, "so it was pasted"
    assert fed(KeyDecoder(), [paste, (0.0, b"\r"), (0.01, b"x")])[-1].name == "paste-asks"
    assert fed(KeyDecoder(), [(0.0, paste[1] + b"!\r")])[-1] == KeyPress("paste-asks", "!")
    again = fed(KeyDecoder(), [paste, (0.01, b"!\r" + BEGIN + END)])
    assert again[-1] == KeyPress("paste-asks", "!")
    assert fed(KeyDecoder(trust=True), [(0.0, paste[1] + b"!\r")])[-1] == KeyPress("enter")
    assert fed(KeyDecoder(), [paste, (0.05, b"!"), (0.05, b"\r")])[-1] == KeyPress("enter")
    slow = KeyDecoder()
    slow.feed(paste[1], 1.0)
    slow.handled(1.5)
    assert slow.feed(b"!\r", 1.501) == [KeyPress("paste-asks", "!")], "it waited while we drew"


@FIXED
@given(st.data())
def test_what_a_mouse_tells_in_three_characters_is_never_text(data: st.DataObject) -> None:
    turned = b"\x1b[M`!!" + b"\x1b[Ma8!" + b"\x1b[M 8!" + b"\x1b[M#8!"  # then a click
    keys = fed(KeyDecoder(ask=True, mouse=True), data.draw(cut(turned, 0.99)))
    names = [key.name for key in keys if key.name != "escape"]
    assert names == ["wheel-up", "wheel-down"]
    deleted = [KeyPress("delete-word"), KeyPress("text", "a")]
    assert fed(KeyDecoder(), [(0, b"\x1b[M"), (0, b"a")]) == deleted
