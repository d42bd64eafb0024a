"""Each view has a draft and a past of its own, and what is typed is for the view that is shown."""

from __future__ import annotations

import tty
from collections.abc import Iterator

import pytest

from client.input.editor import DEAF_TIME, MOST_DRAFTS, Action, LineEditor, LineView
from client.input.keyboard import Display, KeyboardInput
from client.input.keys import KeyDecoder, KeyPress
from tests.console_kit import Person, person_fixture  # noqa: F401


class Desk(Display):
    """An editor, and which view is shown."""

    def __init__(self) -> None:
        self.shown, self.now = "one", 0.0
        self.editor = LineEditor(shown=lambda: self.shown, clock=lambda: self.now)
        self.pressed: list[str] = []
        self.seen = LineView()

    def types(self, *keys: str) -> list[str | Action | None]:
        """Press keys by their names, a while after the last ones; what has one letter, or several
        words, is text."""
        self.now += 2 * DEAF_TIME
        return [self.editor.press(self._key(key)) for key in keys]

    def _key(self, key: str) -> KeyPress:
        is_text = len(key) == 1 or " " in key
        return KeyPress("text", key) if is_text else KeyPress(key)

    @property
    def text(self) -> str:
        return self.editor.view().text

    def show_view(self, name: str) -> None:
        self.pressed.append(name)
        self.shown = {"ctrl-n": "two", "ctrl-p": "one"}.get(name, name)

    def show_line(self, view: LineView) -> None:
        self.seen = view


def test_each_view_has_its_draft_with_the_cursor_in_it() -> None:
    desk = Desk()
    desk.types("for one", "left", "left")
    desk.shown = "two"
    assert desk.editor.view() == LineView(view="two")
    desk.types("for two")
    desk.shown = "one"
    assert desk.editor.view() == LineView("for one", 5, view="one")
    desk.shown = "two"
    assert desk.text == "for two"
    assert desk.types("enter") == ["for two"]
    assert desk.editor.entered() == LineView(entered=True, view="two")
    desk.shown = "one"
    assert desk.types("enter") == ["for one"]


def test_the_rest_of_a_line_is_not_for_a_view_that_nobody_asked_for() -> None:
    """The server closes a room in the midst of a word: what is still typed of it goes nowhere."""
    desk = Desk()
    desk.types("for one and")
    desk.shown = "two"  # by nobody here
    assert desk.text == ""
    desk.now += 0.3 * DEAF_TIME
    for key in (KeyPress("text", " for nobody else"), KeyPress("enter"), KeyPress("text", "!")):
        desk.now += 0.6 * DEAF_TIME
        assert desk.editor.press(key) is None
    assert desk.text == ""
    assert desk.editor.press(KeyPress("left")) is None  # somebody has seen it
    assert desk.editor.press(KeyPress("text", "for two")) is None
    assert desk.types("enter") == ["for two"]
    desk.types("again")
    desk.shown = "one"
    assert desk.text == "for one and"
    assert desk.types("!") == [None]  # after a pause
    assert desk.text == "for one and!"


def test_whoever_asks_for_another_view_types_on_at_once() -> None:
    desk = Desk()
    desk.types("for one")
    assert desk.types("ctrl-n") == [Action.SHOW]
    desk.shown = "two"
    assert desk.editor.press(KeyPress("text", "for two")) is None
    assert desk.text == "for two"


def test_each_view_has_its_past() -> None:
    desk = Desk()
    desk.types("first of one", "enter")
    desk.shown = "two"
    desk.types("up")
    assert desk.text == ""
    desk.types("first of two", "enter", "up")
    assert desk.text == "first of two"
    desk.shown = "one"
    desk.types("up")
    assert desk.text == "first of one"
    desk.types("ctrl-r", "t", "w")
    assert desk.editor.view().prompt.startswith("not found")


def test_a_view_changes_only_between_two_keys() -> None:
    """What is half done there waits: a search, a question, what Tab has offered."""
    desk = Desk()
    desk.types("some words", "enter", "ctrl-r", "w")
    desk.shown = "two"
    assert desk.editor.view().prompt == ""
    desk.types("x")
    desk.shown = "one"
    assert desk.editor.view().prompt and desk.text == "some words"
    desk.types("escape")
    desk.editor.press(KeyPress("paste-asks", "a\nb"))
    desk.shown = "two"
    assert not desk.editor.view().question
    assert desk.types("y", "enter") == [None, "xy"], "that was no answer"
    desk.shown = "one"
    assert desk.editor.view().question and desk.types("y") == ["a\nb"]


def test_a_pasted_question_keeps_its_view() -> None:
    desk = Desk()
    desk.editor.press(KeyPress("paste-asks", "a\nb"))
    assert desk.types("ctrl-n", "alt-2", "alt-a") == [None, None, None]
    assert desk.editor.view().question


@pytest.mark.parametrize("name", ["ctrl-n", "ctrl-p", "alt-1", "alt-9", "alt-a", "alt-r"])
def test_keys_that_show_another_view_change_no_text(name: str) -> None:
    desk = Desk()
    desk.types("some words", "enter", "half a line")
    assert desk.types(name) == [Action.SHOW]
    assert desk.text == "half a line"
    desk.types("ctrl-r", "s")
    assert desk.types(name) == [Action.SHOW], "a search is over, with what it has found"
    assert desk.editor.view() == LineView("some words", 0, view="one")


def test_what_was_cut_in_one_view_can_be_put_back_in_another() -> None:
    desk = Desk()
    desk.types("for two", "ctrl-u")
    desk.shown = "two"
    desk.types("ctrl-y")
    assert desk.text == "for two"


def test_a_first_ctrl_c_in_another_view_does_not_count() -> None:
    desk = Desk()
    desk.editor = LineEditor(shown=lambda: desk.shown, leave_twice=True)
    desk.types("ctrl-c")
    desk.shown = "two"
    assert not desk.editor.view().question
    assert desk.types("ctrl-c") == [None] and desk.types("ctrl-c") == [Action.LEAVE]


def test_what_was_typed_before_there_was_a_view_is_for_the_first() -> None:
    desk = Desk()
    desk.shown = ""
    desk.types("early bird")
    desk.shown = "one"
    assert desk.editor.view() == LineView("early bird", 10, view="one")
    desk.shown = "two"
    assert desk.text == ""


def test_drafts_are_bounded() -> None:
    desk = Desk()
    for number in range(MOST_DRAFTS + 1):
        desk.shown = f"view {number}"
        desk.types(f"draft {number}")
    assert len(desk.editor._drafts) == MOST_DRAFTS
    desk.shown = "view 0"
    assert desk.text == ""
    desk.shown = f"view {MOST_DRAFTS}"
    assert desk.text == f"draft {MOST_DRAFTS}"


# At a keyboard


@pytest.fixture(name="desk")
def desk_fixture(person: Person) -> Iterator[tuple[Desk, KeyboardInput]]:
    tty.setraw(person.slave)
    desk = Desk()
    keyboard = KeyboardInput(person.slave, desk.editor, desk, KeyDecoder(trust=True))
    yield desk, keyboard
    keyboard.close()


def test_a_line_is_run_before_the_next_key_is_pressed(
    desk: tuple[Desk, KeyboardInput], person: Person
) -> None:
    """However many keys come at once: what they are for is the view shown by then."""
    at, keyboard = desk
    person.types("to one\r/room two\rto two\rhalf\x10back\x0e!\r")
    assert keyboard.next_line() == "to one" and at.shown == "one"
    assert keyboard.next_line() == "/room two"
    at.shown = "two"  # what that line does
    assert keyboard.next_line() == "to two"
    assert keyboard.next_line() == "half!"
    assert at.pressed == ["ctrl-p", "ctrl-n"] and at.seen == LineView(entered=True, view="two")
    person.types("\x10\r")
    assert keyboard.next_line() == "back" and at.shown == "one"


def test_what_is_shown_is_not_asked_for_between_enter_and_the_line(
    desk: tuple[Desk, KeyboardInput], person: Person
) -> None:
    """Else a line may be taken for one of a view that has come in between, by the network."""
    at, keyboard = desk
    asked: list[str] = []

    def shown() -> str:
        asked.append(at.shown)
        return at.shown

    at.editor._shown = shown
    show_line = at.show_line

    def watched(view: LineView) -> None:
        show_line(view)
        if view.entered:
            asked.clear()
            at.shown = "two"

    at.show_line = watched  # type: ignore[method-assign]
    person.types("for one\r")
    assert keyboard.next_line() == "for one" and asked == []
    person.types("x\r")
    assert keyboard.next_line() == "x" and at.seen.view == "two"


def test_panic_passes_by_what_was_typed_ahead(
    desk: tuple[Desk, KeyboardInput], person: Person
) -> None:
    at, keyboard = desk
    person.types("one\rtwo\x0e\x18\x18three\r")
    assert keyboard.next_line() == "/panic" and at.pressed == []


def test_the_line_is_shown_when_the_view_is_another(
    desk: tuple[Desk, KeyboardInput], person: Person
) -> None:
    at, keyboard = desk
    person.types("of one\r")
    keyboard.next_line()
    person.types("half\x1b2\x10\r")
    assert keyboard.next_line() == "half"
    assert at.pressed == ["alt-2", "ctrl-p"]
