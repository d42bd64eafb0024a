"""/copy: what goes to the terminal's clipboard, and that it is taken off it again."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

import pytest
from hypothesis import given

from client import events
from client.commands import run_line
from client.output import clipboard
from tests.console_kit import Chat, Person, chats_fixture, person_fixture, shown
from tests.test_bare import FIXED, TEXTS
from tests.test_commands import Recorder, error, run
from tests.test_rich_view import Sight

__all__ = ["chats_fixture", "person_fixture"]

BEGIN, END = "\x1b]52;c;", "\x07"


def sent(written: str) -> list[str]:
    """The payloads of all clipboard sequences in what was written."""
    return re.findall(r"\x1b\]52;c;([^\x07]*)\x07", written)


def text_of(payload: str) -> str:
    return base64.b64decode(payload, validate=True).decode()


@pytest.mark.parametrize("text", ["a", "é漢👍", "x" * 64 * 1024])
def test_a_text_arrives_whole_also_through_gnu_screen(text: str) -> None:
    direct = clipboard.copied(text, False)
    assert direct.startswith(BEGIN) and direct.endswith(END)
    assert text_of(direct[len(BEGIN) : -len(END)]) == text
    pieces = re.findall(r"\x1bP(.*?)\x1b\\", clipboard.copied(text, True))
    assert "".join(pieces) == direct and max(map(len, pieces)) <= 500


def test_what_is_too_long_is_not_copied() -> None:
    assert clipboard.copied("x" * (64 * 1024 + 1), False) == ""


def test_emptying_overwrites_first() -> None:
    blank, nothing = sent(clipboard.emptied(False))
    assert text_of(blank) == " " and nothing == "!"


def copied(sight: Sight, place: int = 1) -> str | None:
    sight.takes(events.Copying(place))
    text, sight.model.to_copy = sight.model.to_copy, None
    return text


def test_which_message_is_copied() -> None:
    sight = Sight(30, 10).joins()
    assert copied(sight) is None and "no such message" in " ".join(sight.texts())
    sight.hears("first\n\tindented " + "x" * 100 + "\n\n")
    sight.hears("psst https://a.b/c", private=True, to="alice")
    sight.hears("waves", kind="action")
    sight.takes(events.MemberJoined("default", "carol"))
    sight.says(1, "my own", to="bob")
    assert copied(sight) == "my own"
    assert copied(sight, 2) == "waves"
    assert copied(sight, 3) == "psst https://a.b/c"
    assert copied(sight, 4) == "first\n    indented " + "x" * 100
    assert copied(sight, 5) is None


@FIXED
@given(TEXTS)
def test_no_control_character_is_copied(text: str) -> None:
    sight = Sight().joins()
    sight.hears(text)
    found = copied(sight)
    assert found is not None and not found.endswith("\n")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", found)
    payloads = sent(clipboard.copied(found, False))
    assert [text_of(payload) for payload in payloads] == [found]


@pytest.mark.parametrize(
    ("line", "place"), [("/copy", 1), ("/copy 3", 3), ("/copy 0012", 12), ("/copy 00999", 999)]
)
def test_the_command(line: str, place: int) -> None:
    assert run(line, "rich").events == [events.Copying(place)]


@pytest.mark.parametrize("line", ["/copy 0", "/copy -1", "/copy x", "/copy 1 2", "/copy ٣"])
def test_wrong_use(line: str) -> None:
    assert error(line, "rich").code == "usage"


def test_it_is_only_where_messages_are_kept() -> None:
    assert error("/copy", "minimal").code == error("/copy", "json").code == "not_here"


def typed(chat: Chat, line: str) -> None:
    run_line(line, Recorder(chat.console.screen.show).context("rich"))


def test_nothing_is_copied_unasked_and_panic_takes_it_off(
    person: Person, chats: Callable[..., Chat]
) -> None:
    chat = chats("rich")
    chat.joins()
    chat.hears("\x1b]52;c;ZXZpbA==\x07 https://a.b/")
    person.waits(lambda: any("https://a.b/" in line for line in shown(person.screen)))
    assert b"\x1b]52" not in person.raw
    typed(chat, "/copy")
    person.waits(lambda: b"\x1b]52;c;" in person.raw and b"Copied" in person.raw)
    (payload,) = sent(person.raw.decode())
    assert text_of(payload) == "␛]52;c;ZXZpbA==␇ https://a.b/"
    chat.console.screen.vanish()
    person.waits(lambda: b"\x1b[3J" in person.raw)
    assert sent(person.raw.decode())[1:] == sent(clipboard.emptied(False))


def test_panic_leaves_a_clipboard_alone_that_it_did_not_write(
    person: Person, chats: Callable[..., Chat]
) -> None:
    chat = chats("rich")
    chat.joins()
    person.waits(lambda: len(shown(person.screen)) > 1)
    chat.console.screen.vanish()
    person.waits(lambda: b"\x1b[3J" in person.raw)
    assert b"\x1b]52" not in person.raw
