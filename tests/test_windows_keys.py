"""The keys of a Windows console: records in, the one decoder's keys out."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import pytest

from client.input.editor import LineEditor, LineView
from client.input.keyboard import Display
from client.input.keys import KeyDecoder, KeyPress
from client.input.windows import WindowsConsole
from client.input.windows_keyboard import ConsoleInput
from client.input.windows_keys import (
    ENHANCED,
    LEFT_ALT,
    LEFT_CTRL,
    RECORD_BYTES,
    RIGHT_ALT,
    RIGHT_CTRL,
    SHIFT,
    KeyRecord,
    Resized,
    WindowsKeys,
    parse,
)

ENTER, BACK, TAB, ESCAPE, MENU, PACKET = 0x0D, 0x08, 0x09, 0x1B, 0x12, 0xE7
PAGE_UP, PAGE_DOWN, END, HOME, LEFT, UP, RIGHT, DOWN = range(0x21, 0x29)
DELETE, SHIFT_KEY, GRAVE, NUMPAD_4 = 0x2E, 0x10, 0xC0, 0x64
ALTGR = RIGHT_ALT | LEFT_CTRL


def pressed(key: int, char: str = "\0", state: int = 0, repeat: int = 1) -> list[KeyRecord]:
    """A key going down and up again, as consoles tell of it."""
    return [KeyRecord(True, key, char, state, repeat), KeyRecord(False, key, char, state)]


def letters(text: str) -> list[KeyRecord]:
    """Keys that make these characters; Enter for a line end."""
    records = []
    for char in text:
        units = char.encode("utf-16-le")
        for (unit,) in struct.iter_unpack("<H", units):
            plain = ord(char.upper()) if char.isascii() and char.isalnum() else PACKET
            key = {"\r": ENTER, "\t": TAB, "\x1b": ESCAPE}.get(char, plain)
            records += pressed(key, chr(unit))
    return records


def keys(*reads: Iterable[KeyRecord]) -> list[KeyPress]:
    """What the decoder makes of these reads; letters that follow each other as one text."""
    windows, decoder = WindowsKeys(), KeyDecoder()
    found: list[KeyPress] = []
    for moment, records in enumerate(reads):
        found += decoder.feed(windows.feed(records), float(moment))
    whole: list[KeyPress] = []
    for key in found:
        if whole and key.name == whole[-1].name == "text":
            whole[-1] = KeyPress("text", whole[-1].text + key.text)
        else:
            whole.append(key)
    return whole


# The virtual key code, the character that Windows gives with it, what is held.
@pytest.mark.parametrize(
    ("record", "name"),
    [
        ((UP, "\0", ENHANCED), "up"),
        ((DOWN, "\0", ENHANCED), "down"),
        ((LEFT, "\0", ENHANCED), "left"),
        ((RIGHT, "\0", ENHANCED), "right"),
        ((LEFT, "\0", 0), "left"),  # of the number pad
        ((LEFT, "\0", ENHANCED | LEFT_CTRL), "word-left"),
        ((RIGHT, "\0", ENHANCED | RIGHT_CTRL), "word-right"),
        ((RIGHT, "\0", ENHANCED | LEFT_ALT), "word-right"),
        ((HOME, "\0", ENHANCED), "home"),
        ((END, "\0", ENHANCED), "end"),
        ((DELETE, "\0", ENHANCED), "delete"),
        ((PAGE_UP, "\0", ENHANCED), "page-up"),
        ((PAGE_DOWN, "\0", ENHANCED), "page-down"),
        ((ENTER, "\r", 0), "enter"),
        ((ENTER, "\r", ENHANCED), "enter"),
        ((ENTER, "\r", LEFT_ALT), "newline"),
        ((ENTER, "\r", SHIFT), "newline"),
        ((ENTER, "\n", LEFT_CTRL), "newline"),
        ((TAB, "\t", 0), "tab"),
        ((TAB, "\t", SHIFT), "backtab"),
        ((BACK, "\x08", 0), "backspace"),
        ((BACK, "\x7f", LEFT_CTRL), "ctrl-w"),
        ((BACK, "\x08", LEFT_ALT), "ctrl-w"),
        ((ESCAPE, "\x1b", 0), "escape"),
        ((0xDB, "\x1b", LEFT_CTRL), "escape"),  # Ctrl-[
        ((ord("C"), "\x03", LEFT_CTRL), "ctrl-c"),
        ((ord("C"), "\u0441", LEFT_CTRL), "ctrl-c"),  # a Russian layout
        ((ord("X"), "\0", RIGHT_CTRL), "ctrl-x"),
        ((ord("B"), "b", LEFT_ALT), "word-left"),
        ((ord("1"), "1", LEFT_ALT), "alt-1"),
        ((ord("2"), "é", LEFT_ALT), "alt-2"),  # a French layout, where a digit needs Shift
        ((ord("9"), "\0", LEFT_ALT), "alt-9"),
        ((ord("A"), "a", LEFT_ALT), "alt-a"),
        ((ord("R"), "r", LEFT_ALT), "alt-r"),
        ((ord("N"), "\x0e", LEFT_CTRL), "ctrl-n"),
        ((ord("P"), "\x10", LEFT_CTRL), "ctrl-p"),
    ],
)
def test_a_key(record: tuple[int, str, int], name: str) -> None:
    assert keys(pressed(*record)) == [KeyPress(name)]
    assert keys(pressed(*record), letters("b")) == [KeyPress(name), KeyPress("text", "b")]


@pytest.mark.parametrize(
    "text", ["à", "déjà", "às vezes", "plàstic", "àHàPàKàMàGàOàSàIàQ", "ç ñ ß ё 日本", "😀👩‍👩"]
)
def test_letters(text: str) -> None:
    assert keys(letters(text)) == [KeyPress("text", text)]
    assert keys(*([record] for record in letters(text))) == [KeyPress("text", text)]
    each = [*(keys(letters(text)))]
    assert keys(letters(text + "\r")) == [*each, KeyPress("enter")]


def test_letters_with_altgr() -> None:
    for key, char, state in (
        (ord("Q"), "@", ALTGR), (ord("E"), "€", ALTGR), (0xDB, "[", ALTGR), (0xE2, "\\", ALTGR),
        (ord("7"), "{", LEFT_CTRL | LEFT_ALT), (ord("A"), "Ą", ALTGR | SHIFT),
    ):  # fmt: skip
        assert keys(pressed(key, char, state)) == [KeyPress("text", char)], char
    assert keys(pressed(ord("F"), "\0", ALTGR)) == []  # nothing is there on this layout


def test_a_dead_key_shows_with_its_letter() -> None:
    dead = pressed(GRAVE)
    assert keys([*dead, *pressed(ord("A"), "à")]) == [KeyPress("text", "à")]
    assert keys([*dead, *pressed(0x20, "`")]) == [KeyPress("text", "`")]
    assert keys([*dead, KeyRecord(True, ord("T"), "`"), *pressed(ord("T"), "t")]) == [
        KeyPress("text", "`t")
    ]


def test_the_halves_of_a_character_may_come_apart() -> None:
    high, low = "\ud83d", "\ude00"
    down_and_up = [*pressed(PACKET, high), *pressed(PACKET, low)]
    crosswise = [
        KeyRecord(down, PACKET, half) for down in (True, False) for half in (high, low)
    ]
    for records in (down_and_up, crosswise):
        assert keys(records) == keys(*([one] for one in records)) == [KeyPress("text", "😀")]
    assert keys(pressed(PACKET, low), letters("a")) == [KeyPress("text", "\ufffda")]
    assert keys(pressed(PACKET, high), letters("a")) == [KeyPress("text", "\ufffda")]


def test_a_character_by_its_number() -> None:
    """Alt, digits of the number pad, and the character when Alt is let go."""
    digits = [*pressed(NUMPAD_4, "4", LEFT_ALT), *pressed(LEFT, state=LEFT_ALT)]
    assert keys([KeyRecord(True, MENU, state=LEFT_ALT), *digits]) == []
    assert keys([*digits, KeyRecord(False, MENU, "à")]) == [KeyPress("text", "à")]


def test_what_makes_no_character_does_nothing() -> None:
    held = [KeyRecord(True, SHIFT_KEY, state=SHIFT), KeyRecord(True, MENU, state=LEFT_ALT)]
    assert keys([*held, *pressed(0x70), *pressed(0x14), KeyRecord(False, SHIFT_KEY)]) == []
    assert keys([KeyRecord(True, MENU, state=LEFT_ALT), KeyRecord(False, MENU)]) == []


def test_a_key_held_down_is_repeated() -> None:
    assert keys(pressed(ord("A"), "a", repeat=3)) == [KeyPress("text", "aaa")]
    assert keys(pressed(LEFT, "\0", ENHANCED, repeat=2)) == [KeyPress("left")] * 2
    assert keys(pressed(ENTER, "\r", repeat=2)) == [KeyPress("enter")] * 2  # and is no paste


# What is pasted


@pytest.mark.parametrize(
    ("text", "pasted"),
    [
        ("one\rtwo\rthree\r", "one\ntwo\nthree"),
        ("one\rtwo", "one\ntwo"),
        ("\rone\r", "\none"),
        ("déjà\r\tvu 😀\r", "déjà\n\tvu 😀"),
        ("one\r\x1b[201~two\r", "one\n[201~two"),  # no text ends its own paste
    ],
)
def test_an_enter_with_more_behind_it_is_a_paste(text: str, pasted: str) -> None:
    assert keys(letters(text)) == [KeyPress("paste", pasted)]


def test_keys_among_a_paste_are_left_out() -> None:
    records = [*letters("one\r"), *pressed(UP, "\0", ENHANCED), *letters("two\r")]
    assert keys(records) == [KeyPress("paste", "one\ntwo")]


def test_one_enter_at_the_end_is_one() -> None:
    """Of what was typed ahead, and of a pasted line: nothing tells them apart."""
    assert keys(letters("one\r")) == [KeyPress("text", "one"), KeyPress("enter")]
    assert keys(letters("one"), letters("\r")) == [KeyPress("text", "one"), KeyPress("enter")]
    assert keys([*letters("a"), *pressed(ENTER, "\r", LEFT_ALT), *letters("b\r")]) == [
        KeyPress("text", "a"), KeyPress("newline"), KeyPress("text", "b"), KeyPress("enter"),
    ]  # fmt: skip


def sequence(text: str) -> list[KeyRecord]:
    """As a console in VT input mode sends it: characters without keys."""
    return [record for char in text for record in pressed(0, char)]


def test_sequences_of_the_console_itself_pass() -> None:
    assert keys(sequence("\x1b[A\x1b[1;5D\x1b[3~\x7f\x03")) == [
        KeyPress("up"), KeyPress("word-left"), KeyPress("delete"), KeyPress("backspace"),
        KeyPress("ctrl-c"),
    ]  # fmt: skip
    pasted = "\x1b[200~one\rtwo\r\x1b[201~"
    assert keys(sequence(pasted)) == [KeyPress("paste", "one\ntwo")]
    assert keys(*([record] for record in sequence(pasted))) == [KeyPress("paste", "one\ntwo")]
    # It marks pastes: what comes at once and is not marked was typed.
    assert keys(sequence(pasted), letters("a\rb")) == [
        KeyPress("paste", "one\ntwo"), KeyPress("text", "a"), KeyPress("enter"),
        KeyPress("text", "b"),
    ]  # fmt: skip


def test_what_is_pasted_does_not_speak_for_the_console() -> None:
    """Its escape characters come with the key Esc, the console's own with none."""
    records = letters("\x1b[200~a\x1b[201~b\rc\r")
    assert keys(records) == [KeyPress("paste", "[200~a[201~b\nc")]


# Records


def packed(kind: int, body: bytes) -> bytes:
    return struct.pack("<Hxx16s", kind, body)


def test_records_are_taken_apart() -> None:
    key = struct.pack("<iHHHHI", 1, 2, ord("E"), 18, 0x20AC, ALTGR)
    mouse, resized, focus = (packed(kind, b"\1" * 16) for kind in (2, 4, 16))
    data = packed(1, key) + mouse + resized + focus + packed(1, b"\0" * 16)
    assert len(data) == 5 * RECORD_BYTES
    first, second, third = parse(data)
    assert first == KeyRecord(True, ord("E"), "€", ALTGR, 2)
    assert isinstance(second, Resized)
    assert third == KeyRecord(False, 0, "\0", 0, 0)
    assert list(parse(b"")) == []


# The console itself


class Kernel:
    """Stands in for the system's library: a mode, and the reads that are still to come."""

    def __init__(self, *reads: list[KeyRecord], mode: int = 0x1F7, vt: bool = True) -> None:
        self.mode, self.vt = mode, vt
        self.reads = [b"".join(map(packed_key, records)) for records in reads]
        self.woken = self.flushed = False

    def CreateEventW(self, *_unused: object) -> int:
        return 1

    def SetEvent(self, _event: object) -> None:
        self.woken = True

    def GetConsoleMode(self, _handle: object, mode: Any) -> bool:
        mode._obj.value = self.mode
        return True

    def SetConsoleMode(self, _handle: object, mode: Any) -> bool:
        if mode.value & VT_INPUT and not self.vt:
            return False
        self.mode = mode.value
        return True

    def FlushConsoleInputBuffer(self, _handle: object) -> None:
        self.flushed = True

    def WaitForMultipleObjects(self, _count: int, _handles: Any, _all: bool, time: Any) -> int:
        if self.woken:
            return 0
        if self.reads:
            return 1
        assert time.value != 0xFFFFFFFF, "waits for ever"
        return 0x102  # WAIT_TIMEOUT

    def ReadConsoleInputW(self, _handle: object, buffer: Any, _room: object, count: Any) -> bool:
        data = self.reads.pop(0)
        buffer[: len(data)] = data
        count._obj.value = len(data) // RECORD_BYTES
        return bool(data)


def packed_key(record: KeyRecord) -> bytes:
    values = (record.down, record.repeat, record.key, 0, ord(record.char), record.state)
    return packed(1, struct.pack("<iHHHHI", *values))


class Watcher(Display):
    """A display that only remembers what it is shown last."""

    view = LineView()

    def show_line(self, view: LineView) -> None:
        self.view = view


PROCESSED, VT_INPUT = 0x1, 0x200


def opened(*reads: list[KeyRecord]) -> tuple[ConsoleInput, Watcher]:
    console, watcher = WindowsConsole(7, Kernel(*reads)), Watcher()
    return ConsoleInput(console, LineEditor(), watcher, KeyDecoder()), watcher


@pytest.mark.parametrize("vt", [True, False])
def test_ctrl_c_is_a_key_until_the_mode_is_put_back(vt: bool) -> None:
    kernel = Kernel(vt=vt)
    console = WindowsConsole(7, kernel)
    before = kernel.mode
    console.seize()
    console.seize()
    assert kernel.mode & PROCESSED == 0 and bool(kernel.mode & VT_INPUT) == vt
    console.restore()
    assert kernel.mode == before and kernel.flushed
    kernel.mode = 0
    console.restore()
    assert kernel.mode == 0


def test_lines_typed_on_a_console() -> None:
    lines, watcher = opened(letters("à"), letters("b"), pressed(ENTER, "\r"))
    assert lines.next_line() == "àb"
    lines, watcher = opened(letters("half"), pressed(ord("C"), "\x03", LEFT_CTRL),
                            letters("x"), pressed(ENTER, "\r"))  # fmt: skip
    assert lines.next_line() == "x"
    lines, watcher = opened(pressed(ord("C"), "\x03", LEFT_CTRL))
    assert (lines.next_line(), lines.ended) == (None, "quit")


def test_a_paste_that_comes_in_parts_is_one_message() -> None:
    lines, watcher = opened(letters("one\rt"), letters("wo\r"), letters("three\r"))
    lines._read()
    assert lines._typed() is None and watcher.view.text == "one\ntwo\nthree"


def test_what_waits_for_keys_can_be_stopped() -> None:
    lines, _watcher = opened()
    lines.stop()
    assert (lines.next_line(), lines.ended) == (None, "stopped")


def test_a_console_that_has_gone() -> None:
    lines, _watcher = opened([])
    assert (lines.next_line(), lines.ended) == (None, "end")
