"""What events look like in each renderer, and the one place that writes them."""

from __future__ import annotations

import io
import json
import os
import queue as queues
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from client import events
from client.console import Console
from client.input.pipes import LineSplitter, PipeInput, open_pipe
from client.input.source import END, STOPPED
from client.output.charset import Charset
from client.output.json import Json, one_line
from client.output.line_prefix import LinePrefix
from client.output.line_screen import LineScreen
from client.output.lines import Minimal
from client.output.screen_queue import QUEUE_EVENTS, Redrawn, ScreenQueue, ViewKey
from client.output.text import ALARM, INFO, is_mentioned
from client.output.widths import pad, width
from client.output.wrapping import Row, Span, wrap
from client.views import room_target

NOON = datetime(2026, 5, 4, 12, 1, 30, 250000, tzinfo=timezone(timedelta(hours=2)))
DEADLINE = 20.0  # against hanging only

ALICE, BOB = events.MemberView("alice", True), events.MemberView("bob", False)
CONNECTED = events.Connected("localhost:1000", "alice", "default", (ALICE, BOB))


def message(text: str, sender: str = "bob", **other: object) -> events.Message:
    fields: dict[str, object] = {
        "room": "default", "sender": sender, "text": text, "seq": 7, "mine": False,
        "private": False, "verified": True, "kind": "text",
    }  # fmt: skip
    return events.Message(**{**fields, **other})  # type: ignore[arg-type]


# One of each, so that no event can be forgotten.
ALL: list[events.Event] = [
    CONNECTED,
    message("hello"),
    events.Unreadable("default", "bob", 8, "no_key"),
    events.MemberJoined("default", "carol"),
    events.MemberLeft("default", "carol"),
    events.Crowd("default", 34, 30),
    events.MemberRenamed("default", "bob", "bobby"),
    events.RoomEntered("dev", (ALICE,)),
    events.RoomLeft("dev"),
    events.Shown("default", None),
    events.RoomList((events.RoomView("default", 2), events.RoomView("dev", 1))),
    events.MemberList("default", (ALICE, BOB)),
    events.Verification("default", "123 456", (events.CodeView("bob", "654 321", False),)),
    events.NickVerified("bob", "den"),
    events.Invite("cmdchat://localhost:1000/default#abc", "default"),
    events.Help((events.CommandView("/nick NAME", "Change your nickname."),)),
    events.HistoryList(
        (events.HistoryView(NOON, "default", "bob", None, "hello", "text", False, False),)
    ),
    events.Notice("A notice."),
    events.NotSent("default", "lost words", "too_long"),
    events.Error("usage", "Write it so: /nick NAME"),
    events.Warning("other_keys", "bob", "bob has other keys."),
    events.Missed("default", 3),
    events.NickAwaited("carol", 12.5),
    events.LinesWaiting(3, 12.5),
    events.NoAnswer(5),
    events.Answered(),
    events.Reconnecting(2, 1.5),
    events.Reconnected(True),
    events.Disconnected("shutdown"),
    events.Sending(1, "default", "on its way", "text"),
    events.Settled(1),
    events.TrustSummary(1, 0),
    events.Views((room_target("default"),), room_target("default")),
    events.Paused(),
    events.Notifying("all"),
    events.KeyHelp((events.CommandView("PgUp", "older messages"),)),
    events.Copying(1),
    events.Finding("hello"),
    events.Found(
        1, (events.HistoryView(NOON, "default", "bob", None, "hello", "text", False, False),)
    ),
    events.Cleared(),
]


def minimal(*shown: events.Event, columns: int | None = None) -> list[str]:
    """What a new minimal renderer writes for these events; the lines of the last one."""
    renderer = Minimal()
    lines: list[str] = []
    for event in shown:
        lines = renderer.lines(event, NOON, columns)
    return lines


def test_the_list_of_events_here_is_complete() -> None:
    assert {type(event) for event in ALL} == set(events.Event.__subclasses__())


# Folding


def test_padding_counts_columns() -> None:
    assert pad("日本", 6) == "日本  "
    assert pad("toolong", 3) == "toolong"


def folded(text: str, columns: int, indent: int = 2) -> list[str]:
    lines = wrap(Row((Span(text),), indent), columns)
    return ["".join(span.text for span in line) for line in lines]


def test_folding_goes_between_words_and_indents() -> None:
    assert folded("one two three four", 10) == ["one two", "  three", "  four"]
    assert folded("abcdefghijklmnop", 10) == ["abcdefghij", "  klmnop"]
    assert folded("日本日本日本", 5) == ["日本", "  日", "  本", "  日", "  本"]


def test_folding_keeps_styles() -> None:
    row = Row((Span("ab", "time"), Span("cd ef", "quiet")), 0)
    assert wrap(row, 4) == [
        [Span("ab", "time"), Span("cd", "quiet")],
        [Span("ef", "quiet")],
    ]


# Minimal


def test_a_message_is_one_line() -> None:
    assert minimal(message("text")) == ["▌ 12:01 bob: text"]


def test_continuation_lines_are_indented() -> None:
    assert minimal(message("one\r\ntwo\n\n12:01 eve: three")) == [
        "▌ 12:01 bob: one", "        two", "", "        12:01 eve: three",
    ]  # fmt: skip


def test_a_long_message_cannot_begin_a_line() -> None:
    """Spaces up to the edge of the terminal must not put text where a new line begins."""
    indent = " " * 8
    lines = minimal(message("x" + " " * 66 + "12:01 carol: hi " * 9), columns=79)
    assert len(lines) > 1
    assert all(line.startswith(indent) for line in lines[1:])
    assert all(width(line) <= 79 for line in lines)


def test_only_a_line_of_ours_begins_with_the_sign() -> None:
    forged = "▌ 12:01 carol: hi\n█ 12:01 carol: hi\n| tree │ ls || tree ||| x"
    assert minimal(message(forged)) == [
        "▌ 12:01 bob: # 12:01 carol: hi", "        # 12:01 carol: hi",
        "        | tree │ ls || tree ||| x",
    ]  # fmt: skip
    plain = Minimal(LinePrefix(Charset("ascii"))).lines(message(forged), NOON, None)
    assert plain == [
        "|| 12:01 bob: ? 12:01 carol: hi", "         ? 12:01 carol: hi",
        "         | tree | ls |.| tree |.|.| x",
    ]  # fmt: skip


def test_what_the_program_says_has_a_mark_that_is_no_nickname() -> None:
    for event in ALL:
        for line in minimal(event)[:1]:
            mark = line.removeprefix("▌ 12:01 ").partition(" ")[0]
            if not isinstance(event, events.Message):
                assert mark in (INFO, ALARM), line
    (warning,) = minimal(events.Warning("other_keys", "bob", "text", verified=True))
    assert warning == "▌ 12:01 ! Warning: text"
    (warning,) = minimal(events.Warning("other_keys", "bob", "text"))
    assert warning == f"▌ 12:01 {INFO} text"
    assert minimal(message("text", sender="Warning")) == ["▌ 12:01 Warning: text"]


def test_no_line_ends_with_a_joiner() -> None:
    assert minimal(message("क\u094d\u200d")) == ["▌ 12:01 bob: क\u094d"]


def test_a_name_from_right_to_left_keeps_its_place() -> None:
    assert minimal(message("שלום", sender="שרה")) == ["▌ 12:01 שרה\u200e: שלום"]


def test_kinds_of_messages() -> None:
    assert minimal(message("waves", kind="action")) == ["▌ 12:01 * bob waves"]
    assert minimal(message("psst", private=True, to="alice")) == [
        "▌ 12:01 @ bob, to you alone: psst"
    ]
    mine = message("psst", sender="alice", private=True, to="bob", mine=True)
    assert minimal(mine) == ["▌ 12:01 @ you, to bob alone: psst"]


def test_three_lines_after_joining_and_only_once() -> None:
    lines = minimal(CONNECTED)
    assert lines[0].startswith("▌ 12:01 · Connected to localhost:1000 as alice.")
    assert len(lines) == 5
    text = "\n".join(lines[2:])
    assert "Enter" in text and "/help;" in text and "/help keys" in text and "/quit" in text
    assert len(minimal(CONNECTED, CONNECTED)) == 2


def test_joining_tells_who_is_there() -> None:
    assert minimal(CONNECTED)[1] == "▌       Here with you: bob."
    assert minimal(events.RoomEntered("dev", (ALICE,)))[1] == "▌       Here with you: alice."
    alone = events.Connected("here:1", "alice", "default", (ALICE,))
    assert minimal(alone)[1] == "▌       Nobody else is here yet."
    crowd = tuple(events.MemberView(f"m{number}", False) for number in range(256))
    line = minimal(events.RoomEntered("dev", crowd))[1]
    assert line.endswith("m10, m11 and 244 more (/who).")


def test_tables_are_aligned_with_wide_names() -> None:
    rooms = events.RoomList((events.RoomView("日本語", 2), events.RoomView("dev", 1)))
    assert minimal(rooms) == [
        "▌ 12:01 · 2 rooms:",
        "▌       日本語  2 members",
        "▌       dev     1 member",
    ]


def test_the_member_list_says_in_words_who_is_verified() -> None:
    lines = minimal(CONNECTED, events.MemberList("default", (ALICE, BOB)))
    assert lines[1:] == ["▌       alice  you", "▌       bob    new, not verified"]


def test_verification_codes_are_shown() -> None:
    code = events.CodeView("bob", "654 321", True)
    lines = minimal(CONNECTED, events.Verification("default", "123 456", (code,)))
    assert lines[1] == "▌       123 456"
    assert lines[2] == "▌       bob  654 321  verified"
    assert "/verify NICK ok" in lines[-1]


def test_a_refused_line_is_handed_back_with_its_reason() -> None:
    lines = minimal(events.NotSent("default", "my words\nand more", "dropped"))
    assert "you have dropped it" in lines[0]
    assert lines[1:] == ["        my words", "        and more"]


def test_a_long_help_has_no_blanks_to_be_passed_over() -> None:
    """A screen reader is sent each of them; the full view has columns."""
    help_ = events.Help(
        (
            events.CommandView("/nick NAME", "Change " * 12),
            events.CommandView("/q", "Leave."),
        )
    )
    lines = minimal(help_, columns=70)
    assert lines[1].startswith("▌ /nick NAME: Change")
    assert lines[2].startswith(" " * 9 + "Change")
    assert lines[-1] == "▌ /q: Leave."


def test_the_prompt_follows_the_room() -> None:
    renderer = Minimal()
    assert renderer.prompt() == "", "there is no room yet"
    renderer.lines(CONNECTED, NOON, None)
    assert renderer.prompt() == "default> "
    renderer.lines(events.RoomEntered("dev\x1b[2J\n", ()), NOON, None)
    assert renderer.prompt() == "dev␛[2J␊> "


def test_the_own_nickname_follows_renames() -> None:
    renderer = Minimal()
    renderer.lines(CONNECTED, NOON, None)
    (line,) = renderer.lines(events.MemberRenamed("default", "alice", "al"), NOON, None)
    assert line == "▌ 12:01 · You are now known as al."
    (line,) = renderer.lines(events.MemberRenamed("default", "bob", "bo"), NOON, None)
    assert line == "▌ 12:01 · bob is now known as bo."


def test_what_is_on_its_way_is_not_shown() -> None:
    assert minimal(events.Sending(1, "default", "x", "text")) == []


HOSTILE = "\x1b[2J\x1b]0;t\x07\x9b31m\r\b\x00\u202eevil\u2066\u2028\ud800\u200b{nick}%s"


def hostile(event: Any) -> Any:
    """The event (or one line of a list in it), with something bad in every text that it has."""
    changed: dict[str, object] = {}
    for name, value in vars(event).items():
        if isinstance(value, str):
            changed[name] = HOSTILE
        elif isinstance(value, tuple):
            changed[name] = tuple(map(hostile, value))
        else:
            changed[name] = value
    return type(event)(**changed)


@pytest.mark.parametrize("event", ALL, ids=lambda event: event.name)
@pytest.mark.parametrize("columns", [None, 40])
def test_nothing_from_elsewhere_is_obeyed(event: events.Event, columns: int | None) -> None:
    lines = Minimal().lines(hostile(event), NOON, columns)
    for line in lines:
        assert line.isprintable(), ascii(line)
    object_ = "".join(Json().lines(hostile(event), NOON))
    assert object_.isprintable(), ascii(object_)
    object_.encode("utf-8")


@pytest.mark.parametrize(
    "text", ["alice", "ALICE!", "(alice)", "hi @alice's", "so, alice...", "ａｌｉｃｅ"]
)
def test_is_mentioned(text: str) -> None:
    assert is_mentioned("Alice", text)


@pytest.mark.parametrize("text", ["", "alicent", "malice", "al ice"])
def test_is_not_mentioned(text: str) -> None:
    assert not is_mentioned("alice", text)
    assert not is_mentioned("", text)


# JSON

KEYS = {
    "connected": "version server nick room members proxy",
    "message": "room from text seq self private verified kind bot",
    "unreadable": "room from seq reason",
    "joined": "room nick",
    "left": "room nick",
    "crowd": "room joined left",
    "renamed": "room old nick",
    "room": "room members",
    "room_left": "room",
    "shown": "room to",
    "rooms": "rooms",
    "members": "room members",
    "verify": "room room_code members",
    "nick_verified": "nick room",
    "invite": "link room",
    "help": "commands",
    "history": "messages",
    "notice": "text",
    "not_sent": "room text reason",
    "error": "code text",
    "warning": "code nick text verified",
    "missed": "room count",
    "nick_awaited": "nick delay",
    "waiting": "lines seconds",
    "no_answer": "seconds",
    "answered": "",
    "reconnecting": "attempt delay",
    "reconnected": "resumed",
    "disconnected": "reason",
}  # the table of the contract


def test_json_has_the_keys_of_the_contract() -> None:
    found = {}
    for event in ALL:
        for line in Json().lines(event, NOON):
            assert "\n" not in line
            object_ = json.loads(line)
            found[object_["event"]] = object_
    assert set(found) == set(KEYS)
    for name, keys in KEYS.items():
        assert set(found[name]) == {"event", "time", *keys.split()}, name
        assert found[name]["time"] == "2026-05-04T10:01:30.250Z"
    bob = {"nick": "bob", "verified": False, "standing": "new"}
    assert found["connected"]["members"][1] == bob
    assert found["rooms"]["rooms"][0] == {"room": "default", "count": 2}
    assert found["verify"]["members"][0] == {"nick": "bob", "code": "654 321", "verified": False}
    (row,) = found["help"]["commands"]
    assert row == {"command": "/nick NAME", "help": "Change your nickname."}


def test_json_of_an_invite_says_how_long_its_token_lives() -> None:
    (line,) = Json().lines(events.Invite("cmdchat://a/r", "r", 60.0), NOON)
    assert json.loads(line)["seconds"] == 60.0


def test_json_of_a_private_message_names_whom_it_is_to() -> None:
    (line,) = Json().lines(message("x", private=True, seq=None, to="alice"), NOON)
    object_ = json.loads(line)
    assert object_["to"] == "alice" and object_["seq"] is None


@pytest.mark.parametrize(
    "text", ["日本 👩\u200d👧", HOSTILE, "\ud800", "a\nb", '"\\', "\u2028\x85"]
)
def test_json_gives_the_text_exactly(text: str) -> None:
    (line,) = Json().lines(message(text), NOON)
    assert len(line.splitlines()) == 1
    assert json.loads(line.encode("utf-8"))["text"] == text
    assert "日本" not in text or "日本" in line  # people can read it as well


# The screen


class Reader:
    """Reads a pipe to its end in a thread."""

    def __init__(self, fd: int) -> None:
        self.data = b""
        self._fd = fd
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while data := os.read(self._fd, 65536):
            self.data += data

    def end(self) -> str:
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        os.close(self._fd)
        return self.data.decode("utf-8")


@pytest.mark.parametrize("value", ["é\\\"\n", "", "\ud800", True, False, None, 7, -1, 1.5, [1, "a"],
                                   {"a": [None, {"b": True}]}])  # fmt: skip
def test_a_line_is_json_as_the_library_has_it(value: object) -> None:
    found = {"first": value, "second": value}
    line = one_line(found)
    assert json.loads(line) == found and [*json.loads(line)] == [*found]
    assert line.replace("\\ud800", "\ud800") == json.dumps(found, ensure_ascii=False)


def test_what_was_shown_is_written_in_order_before_close_returns() -> None:
    out = io.StringIO()
    screen = LineScreen(Minimal(), out, now=lambda: NOON)
    screen.start()
    for number in range(3 * QUEUE_EVENTS):
        screen.show(message(str(number)))
    screen.close()
    assert out.getvalue().splitlines() == [f"▌ 12:01 bob: {n}" for n in range(3 * QUEUE_EVENTS)]
    assert not screen.gone
    screen.show(message("too late"))
    assert "too late" not in out.getvalue()


def test_nobody_reads_any_more() -> None:
    """The client is told once, and those who show more are not kept waiting."""
    read, write = os.pipe()
    os.close(read)
    told = threading.Event()
    with open(write, "w", encoding="utf-8") as out:
        screen = LineScreen(Minimal(), out, on_gone=told.set)
        screen.start()
        screen.show(message("x"))
        assert told.wait(DEADLINE)
        assert screen.gone and screen.failure is None
        for _number in range(2 * QUEUE_EVENTS):
            screen.show(message("y"))
        screen.close()


def test_a_reader_that_does_not_read_cannot_hold_up_the_end() -> None:
    read, write = os.pipe()
    with open(write, "w", encoding="utf-8") as out:
        screen = LineScreen(Minimal(), out)
        screen.start()
        screen.show(message("x" * 300_000))  # more than a pipe holds
        screen.close(timeout=0.01)
        reader = Reader(read)
        screen.close()
    assert len(reader.end()) > 300_000


class Stuck(io.StringIO):
    """An output whose reader does not read, until ``free`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.tried, self.free = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        self.tried.set()
        assert self.free.wait(DEADLINE)
        return super().write(text)


def stuck_screen() -> tuple[LineScreen, Stuck]:
    """A screen that is full, since its first line is not taken."""
    out = Stuck()
    screen = LineScreen(Minimal(), out, now=lambda: NOON)
    screen.start()
    screen.show(message("first"))
    assert out.tried.wait(DEADLINE)
    assert screen.await_room(DEADLINE)
    for _number in range(QUEUE_EVENTS):
        screen.show(message("more"))
    return screen, out


def test_to_show_waits_for_nobody_and_to_find_room_does() -> None:
    screen, out = stuck_screen()
    screen.show(message("one more"))  # of the same record, say
    assert not screen.await_room(0.0)
    out.free.set()
    assert screen.await_room(DEADLINE)
    screen.close()
    assert out.getvalue().count("\n") == QUEUE_EVENTS + 2


def test_who_is_in_a_hurry_waits_for_no_reader() -> None:
    screen, out = stuck_screen()
    screen.hurry()
    screen.show(message("dropped"))
    assert screen.await_room(DEADLINE)
    out.free.set()
    screen.close()
    assert out.getvalue().count("\n") == QUEUE_EVENTS + 1


def test_who_waits_for_room_is_let_go_by_the_end() -> None:
    screen, out = stuck_screen()
    waiting = threading.Thread(target=screen.await_room, args=(DEADLINE,))
    waiting.start()
    screen.close(timeout=0.01)
    waiting.join(DEADLINE / 2)
    assert not waiting.is_alive()
    out.free.set()
    screen.close(DEADLINE)
    assert out.getvalue().count("\n") == QUEUE_EVENTS + 1


def test_who_holds_the_queue_wakes_nobody_until_it_lets_go() -> None:
    queue = ScreenQueue()
    with queue:
        queue.put(Redrawn())
        assert not queue._rung and queue.take(0.0) == [Redrawn()]  # who looks by itself finds it
        queue.put(Redrawn())
        assert not queue._rung
    assert queue._rung and queue.take(None) == [Redrawn()]
    with queue:
        pass
    assert not queue._rung and queue.take(0.0) == []


def test_others_wake_the_screen_whoever_holds_the_queue() -> None:
    queue, found = ScreenQueue(), queues.Queue[object]()
    screen = threading.Thread(target=lambda: found.put(queue.take(None)))
    with queue:
        queue.put(ViewKey("a"))
        screen.start()
        other = threading.Thread(target=queue.put, args=(ViewKey("b"),))
        other.start()
        assert found.get(timeout=DEADLINE) == [ViewKey("a"), ViewKey("b")]
    screen.join()
    other.join()


def test_the_queue_loses_no_wake_up() -> None:
    queue, count, found = ScreenQueue(), 20_000, 0

    def bring(held: bool) -> None:
        for number in range(count):
            with queue if held and number % 3 else nullcontext():
                queue.put(Redrawn())

    threads = [threading.Thread(target=bring, args=(held,)) for held in (True, False)]
    for thread in threads:
        thread.start()
    while found < 2 * count:
        items = queue.take(DEADLINE)
        assert items, "it has not been woken"
        found += len(items)
    for thread in threads:
        thread.join()


def test_an_error_of_ours_ends_the_client_instead_of_leaving_it_mute() -> None:
    class Broken(Minimal):
        def lines(self, *_arguments: object) -> list[str]:
            raise RuntimeError("a bug")

    told = threading.Event()
    screen = LineScreen(Broken(), io.StringIO(), on_gone=told.set)
    screen.start()
    screen.show(message("x"))
    assert told.wait(DEADLINE)
    screen.close()
    assert isinstance(screen.failure, RuntimeError)


def test_a_stream_of_another_encoding_gets_question_marks() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    screen = LineScreen(Minimal(LinePrefix(Charset("ascii"))), out, now=lambda: NOON)
    screen.start()
    screen.show(message("日本 ok"))
    screen.close()
    assert raw.getvalue() == b"|| 12:01 bob: ?? ok\n"


def test_where_nothing_can_be_cleared_that_is_said() -> None:
    out = io.StringIO()
    screen = LineScreen(Minimal(), out, now=lambda: NOON)
    screen.start()
    screen.show(events.Cleared())
    screen.close()
    assert out.getvalue() == "▌ 12:01 · What was written here cannot be cleared.\n"


# Lines of a pipe


def test_lines_are_cut_however_the_bytes_arrive() -> None:
    data = "one\r\n\nzwei ü 日\r\nlast".encode()
    for size in range(1, len(data) + 1):
        cutter = LineSplitter()
        lines = [
            line
            for start in range(0, len(data), size)
            for line in cutter.feed(data[start : start + size])
        ]
        assert lines + cutter.finish() == ["one", "", "zwei ü 日", "last"]


def test_long_lines_nuls_and_other_bytes_do_no_harm() -> None:
    cutter = LineSplitter(longest=10)
    assert cutter.feed(b"x" * 100) == []
    assert cutter.feed(b"y" * 100 + b"\nnext\na\0b\ncaf\xe9\n") == [
        "x" * 10, "next", "a\0b", "caf\udce9",
    ]  # fmt: skip


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    os.close(read)


def test_a_pipe_is_read_to_its_end(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"one\ntwo\nthree")
    os.close(pipe[1])
    source = PipeInput(pipe[0])
    assert [source.next_line() for _ in range(5)] == ["one", "two", "three", None, None]
    assert source.ended == END
    source.close()


def test_a_reader_of_a_pipe_can_be_stopped(pipe: tuple[int, int]) -> None:
    source = PipeInput(pipe[0])
    found: list[str | None] = []
    thread = threading.Thread(target=lambda: found.append(source.next_line()))
    thread.start()
    source.stop()
    thread.join(DEADLINE)
    assert found == [None] and source.ended == STOPPED
    assert source.next_line() is None
    source.close()
    source.stop()  # a signal may still come
    os.close(pipe[1])


def test_nothing_is_handed_out_after_stop(pipe: tuple[int, int]) -> None:
    """Lines behind a /quit were read together with it, and must not be sent."""
    os.write(pipe[1], b"/quit\nnever\n")
    os.close(pipe[1])
    source = PipeInput(pipe[0])
    assert source.next_line() == "/quit"
    source.stop()
    assert source.next_line() is None and source.ended == STOPPED
    source.close()


def test_a_regular_file_is_an_input_too(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("one\ntwo\n")
    with path.open() as file:
        source = open_pipe(file)
        assert [source.next_line() for _ in range(3)] == ["one", "two", None]
        source.close()


def test_a_closed_standard_input_is_at_its_end() -> None:
    source = open_pipe(None)
    assert source.next_line() is None and source.ended == END
    source.close()


# All together, on pipes


def through_pipes(renderer: str, lines: bytes) -> tuple[str, list[str], str]:
    """Feed lines to a console on pipes: the renderer that it chose, the lines, the output."""
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    os.write(in_write, lines)
    os.close(in_write)
    reader = Reader(out_read)
    got = []
    with open(in_read) as stdin, open(out_write, "w", encoding="latin-1") as stdout:
        console = Console(renderer, {}, stdin=stdin, stdout=stdout, now=lambda: NOON)
        with console:
            console.screen.show(CONNECTED)
            while (line := console.input.next_line()) is not None:
                got.append(line)
                console.screen.show(message(line))
    return console.renderer, got, reader.end()


def test_rich_falls_back_to_minimal_on_pipes() -> None:
    used, got, written = through_pipes("rich", b"hello\nq\n")
    assert used == "minimal"
    assert got == ["hello", "q"]
    lines = written.splitlines()
    assert lines[-2:] == ["|| 12:01 bob: hello", "|| 12:01 bob: q"]
    assert "\x1b" not in written and "> " not in written


def test_json_on_pipes_is_utf8_whatever_the_locale() -> None:
    _used, got, written = through_pipes("json", "日本\n".encode())
    assert got == ["日本"]
    assert [json.loads(line)["event"] for line in written.splitlines()] == ["connected", "message"]
    assert "日本" in written


def test_a_reader_of_the_output_that_goes_ends_the_input() -> None:
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    os.close(out_read)
    with open(in_read) as stdin, open(out_write, "w", encoding="utf-8") as stdout:
        with Console("json", {}, stdin=stdin, stdout=stdout) as console:
            console.screen.show(CONNECTED)
            assert console.input.next_line() is None
            assert console.input.ended == END
            assert console.screen.gone
    os.close(in_write)
