"""Keys that show another view, pressed at a terminal, and what is seen there."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from client import events
from client.console import Console
from client.events import Event
from client.views import View
from tests.console_kit import DEADLINE, NOON, Person, person_fixture, shown  # noqa: F401
from tests.test_rich_view import message
from tests.view_kit import private, view, views

NAMES = ("default", "lab", "ops*", "@bob")


class Chat:
    """A console with several views, of which keys show another one as the session would."""

    def __init__(self, person: Person, renderer: str, spoken: bool = False) -> None:
        self.lines: list[tuple[str, str]] = []  # the view, and the line
        self.begun = 0  # how often a line was
        self.view: View = view("default")
        self._stack = ExitStack()
        stdin = self._stack.enter_context(open(os.dup(person.slave)))
        stdout = self._stack.enter_context(open(os.dup(person.slave), "w", encoding="utf-8"))
        self.console = self._stack.enter_context(
            Console(
                renderer, {"TERM": "xterm"}, spoken=spoken, stdin=stdin, stdout=stdout,
                now=lambda: NOON, views=lambda: self, render_time=0.01,
            )
        )  # fmt: skip
        self._thread = threading.Thread(target=self._read)
        self.tells(
            views(*NAMES, shown="default"), events.Connected("h:1", "alice", "default", ()),
            events.Cleared(),
        )  # fmt: skip
        self._thread.start()

    def tells(self, *happened: Event) -> None:
        for event in happened:
            self.console.screen.show(event)

    def _read(self) -> None:
        while (line := self.console.input.next_line()) is not None:
            if line.startswith("/room "):
                self.show(view(line.removeprefix("/room ")))
            else:
                self.lines.append((self.view.name, line))
                self.tells(message(line, "alice", mine=True, room=self.view.name))

    def close(self) -> None:
        self.console.input.stop()
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        self._stack.close()

    # What a session does

    @property
    def shown_key(self) -> str:
        return self.view.key

    def show(self, view: View) -> None:
        self.view = view
        self.tells(events.Views(tuple(map(view_of, NAMES)), view))

    def show_number(self, number: int) -> None:
        if number <= len(NAMES):
            self.show(view(NAMES[number - 1]))

    def show_next(self, step: int) -> None:
        places = [view(name).key for name in NAMES]
        self.show(view(NAMES[(places.index(self.view.key) + step) % len(NAMES)]))

    def show_last_private(self) -> None:
        self.show(view("@bob"))

    def begins_line(self) -> None:
        self.begun += 1


view_of = view
Chats = Callable[..., Chat]


@pytest.fixture(name="chats")
def chats_fixture(person: Person) -> Iterator[Chats]:
    opened: list[Chat] = []

    def open_chat(renderer: str = "rich", spoken: bool = False) -> Chat:
        opened.append(Chat(person, renderer, spoken))
        return opened[-1]

    yield open_chat
    for chat in opened:
        chat.close()


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ("\x1b2", "lab"), ("\x1b3", "ops*"), ("\x0e", "lab"), ("\x0e\x0e", "ops*"),
        ("\x10", "@bob"), ("\x0e\x10", "default"), ("\x1br", "@bob"), ("\x1b9", "default"),
        ("\x1b[50;3u", "lab"), ("\x1b[27;3;51~", "ops*"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("renderer", ["rich", "minimal"])
def test_a_key_shows_another_view(
    person: Person, chats: Chats, renderer: str, keys: str, name: str
) -> None:
    chats(renderer)
    person.waits(lambda: shown(person.screen)[-1:] in ([" default>"], ["default>"]))
    person.types(keys)
    person.waits(lambda: shown(person.screen)[-1].strip() == f"{name}>")
    person.types("x")
    person.waits(lambda: shown(person.screen)[-1].strip() == f"{name}> x")


def test_each_view_keeps_what_is_half_typed(person: Person, chats: Chats) -> None:
    chat = chats()
    person.sees(" default>")
    person.types("for default\x1b2for lab\x1b1")
    person.sees(" default> for default")
    person.types("\x1b2\r")
    person.waits(lambda: chat.lines == [("lab", "for lab")])
    person.types("\x1b1\r")
    person.waits(lambda: chat.lines[1:] == [("default", "for default")])
    person.types("\x1b2\x1b[A")
    person.sees(" lab> for lab")


@pytest.mark.parametrize("renderer", ["rich", "minimal"])
def test_it_is_known_when_a_line_is_begun(person: Person, chats: Chats, renderer: str) -> None:
    """``/reply`` is for whoever had written by then."""
    chat = chats(renderer)
    person.waits(lambda: shown(person.screen)[-1:] in ([" default>"], ["default>"]))
    person.types("/")
    person.waits(lambda: chat.begun == 1)
    person.types("reply yes")
    person.waits(lambda: shown(person.screen)[-1].strip() == "default> /reply yes")
    assert chat.begun == 1
    person.types("\r/reply at once\r")
    person.waits(lambda: [line for _view, line in chat.lines] == ["/reply yes", "/reply at once"])
    assert chat.begun == 2


def test_what_changes_by_itself_shows_its_own_draft(person: Person, chats: Chats) -> None:
    """Not the one that is typed on: it stays with its view."""
    chat = chats()
    person.sees(" default>")
    person.types("for default\x1b2for lab")
    person.sees(" lab> for lab")
    chat.view = view("default")  # by the thread that reads from the network
    chat.tells(events.Views((view("default"),), view("default")))
    person.sees(" default> for default")
    person.types("\x1b1!\r")  # who writes on at once, and has seen nothing, writes to nobody
    person.waits(lambda: chat.lines == [("default", "for default!")])


@pytest.mark.parametrize("renderer", ["rich", "minimal"])
def test_alt_a_goes_to_what_is_new_mentions_first(
    person: Person, chats: Chats, renderer: str
) -> None:
    chat = chats(renderer)
    person.waits(lambda: shown(person.screen)[-1:] in ([" default>"], ["default>"]))
    chat.tells(message("new", room="lab"), message("alice!", room="ops"), message("end"))
    person.waits(lambda: "bob: end" in "\n".join(shown(person.screen)).replace(" │ ", ": "))
    person.types("\x1ba")
    person.waits(lambda: shown(person.screen)[-1].strip() == "ops*>")
    person.types("\x1ba")
    person.waits(lambda: shown(person.screen)[-1].strip() == "lab>")
    person.types("\x1ba?")
    person.waits(lambda: shown(person.screen)[-1].strip() == "lab> ?")


def test_the_bare_view_ends_before_another_one_is_shown(person: Person, chats: Chats) -> None:
    chat = chats()
    person.sees(" default>")
    chat.tells(message("in default"), message("in lab", room="lab"))
    person.waits(lambda: "in default" in "\n".join(shown(person.screen)))
    person.types("\x1bl")
    person.waits(lambda: "Any key goes back" in "\n".join(shown(person.screen)))
    person.types("\x0e")
    person.sees(" lab>")
    assert "in lab" in "\n".join(shown(person.screen))


def test_plain_lines_show_the_prompt_in_place_of_the_other(person: Person, chats: Chats) -> None:
    chat = chats("minimal")
    person.sees("default>")
    person.types("half\x0e")
    person.sees("lab>")
    assert "half" not in "\n".join(shown(person.screen))
    chat.tells(message("hello"), message("hi", room="lab"))
    person.sees("▌ 12:01 [default] bob: hello", "▌ 12:01 bob: hi")
    person.types("\x10")
    person.sees("▌ 12:01 bob: hi", "default> half")
    person.types("\x15/room lab\rthere\r")
    person.waits(lambda: chat.lines == [("lab", "there")])
    person.sees("default> /room lab", "▌ 12:01 alice: there", "lab>")


def test_spoken_lines_say_no_more_than_the_prompt(person: Person, chats: Chats) -> None:
    chat = chats("rich", spoken=True)
    person.sees("default>")
    person.raw = b""
    person.types("\x0e")
    person.sees("lab>")
    assert person.raw.decode().replace("\r", "").strip() == "lab>"
    chat.tells(private("psst"))
    person.sees("▌ @ bob, to you alone: psst")


def test_the_title_counts_what_is_unread_in_all_views(person: Person, chats: Chats) -> None:
    chat = chats()
    person.sees(" default>")
    chat.tells(message("one", room="lab"), message("alice", room="ops"), private("psst"))
    person.waits(lambda: b"\x1b]2;(3) default - CMD CHAT\x07" in person.raw)
    assert b"\a" in person.raw, "and rings for who is called elsewhere"
    person.types("\x1b2\x1b3\x1b4")
    person.waits(lambda: person.raw.count(b"\x1b]2;CMD CHAT\x07") == 1)


def test_a_new_size_keeps_every_view(person: Person, chats: Chats) -> None:
    chat = chats()
    person.sees(" default>")
    chat.tells(message("in lab", room="lab"))
    person.types("for default\x1b2for lab")
    person.sees(" lab> for lab")
    person.resizes(80, 24)
    person.sees(" lab> for lab")
    person.waits(lambda: "[2 lab]" in "\n".join(shown(person.screen)))
    person.types("\x10")
    person.sees(" default> for default")


def test_plain_lines_say_no_prompt_for_what_others_do(person: Person, chats: Chats) -> None:
    """Another view is there, or a person is called otherwise: nothing of that is typed for."""
    chat = chats("minimal")
    person.sees("default>")
    person.types("half")
    person.sees("default> half")
    person.raw = b""
    chat.tells(views(*NAMES, "@carol", shown="default"), events.Notice("end"))
    person.sees("default> half", "▌ 12:01 · end")
    assert b"default" not in person.raw
    chat.tells(views("default*", *NAMES[1:], shown="default*"))
    person.sees("▌ 12:01 · end", "default*> half")
