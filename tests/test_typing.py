"""What is typed and pasted: into a pty, with a clock that tests set, and into the chat in tmux."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from client.input.editor import LEAVE_TIME, LineEditor, LineView
from client.input.keyboard import Display, KeyboardInput
from client.input.keys import PASTE_TIME, KeyDecoder
from tests.console_kit import Person, person_fixture  # noqa: F401
from tests.machine import needs
from tests.processes import PASSWORD, PROGRAM, Client, Server, environment

PASTE, PASTED = "\x1b[200~", "\x1b[201~"


class Typist:
    """Types on a pty whose keyboard is read with a clock of its own, and looks at the line. What
    comes within a test comes at the same moment, unless ``waits``."""

    def __init__(self, person: Person) -> None:
        self.view, self.now = LineView(), 1000.0
        self.lines: list[str] = []
        self._person = person
        self._editor = LineEditor(leave_twice=True, clock=lambda: self.now)
        decoder = KeyDecoder(ask=True)
        self._input = KeyboardInput(
            person.slave, self._editor, Display(), decoder, clock=lambda: self.now
        )

    def types(self, text: str) -> None:
        self._person.types(text)
        self._input._read()
        self._take()

    def waits(self, seconds: float) -> None:
        self.now += seconds
        while self._input._patience() == 0.0:
            self._input._expire()
        self._take()

    def _take(self) -> None:
        while (line := self._input._typed()) is not None:
            self.lines.append(line)
        self.view = self._editor.view()

    def close(self) -> None:
        self._input.close()


@pytest.fixture
def typist(person: Person) -> Iterator[Typist]:
    import tty

    tty.setraw(person.slave)
    made = Typist(person)
    yield made
    made.close()


@pytest.mark.parametrize("pause", [0.03, 0.12, 0.9])
def test_a_pause_in_the_mark_of_a_paste_sends_nothing(typist: Typist, pause: float) -> None:
    for mark in ("\x1b", "\x1b[", "\x1b[20", "\x1b[200"):
        typist.types(mark)
        typist.waits(pause)
        typist.types(f"{PASTE.removeprefix(mark)}secret one\rsecret two\rthree{PASTED}")
        assert typist.lines == [] and typist.view.text == "secret one\nsecret two\nthree", mark
        typist.types("\x15")
        typist.waits(1.0)


@pytest.mark.parametrize("pause", [0.06, 0.5])
def test_a_slow_line_makes_no_text_of_keys(typist: Typist, pause: float) -> None:
    typist.types("abc")
    for sequence in ("\x1b[D", "\x1b[1;5D", "\x1b[5~", "\x1bOM", "\x1b[97;3u"):
        for place in range(1 if sequence[1] == "[" else 2, len(sequence)):
            typist.types(sequence[:place])
            typist.waits(pause)
            typist.types(sequence[place:])
            typist.waits(2.0)
    assert typist.lines == [] and set(typist.view.text) == set("abc\n")


def test_alt_enter_on_a_slow_line_does_not_send(typist: Typist) -> None:
    typist.types("one\x1b")
    typist.waits(0.3)
    typist.types("\r")
    typist.types("two\r")
    assert typist.lines == ["one\ntwo"]


def test_a_paste_whose_end_never_comes_is_shown_and_not_sent(typist: Typist) -> None:
    typist.types(f"{PASTE}one\rtwo\r")
    typist.waits(PASTE_TIME - 0.1)
    assert typist.view == LineView()
    typist.waits(0.1)
    assert typist.view == LineView("one\ntwo", 7)
    typist.types("\r")
    assert typist.lines == [] and typist.view.question.startswith("Send 2 lines")
    typist.types("\r")
    typist.waits(1.0)
    typist.types("y")
    assert typist.lines == ["one\ntwo"]


def test_keys_work_in_a_paste_whose_end_never_comes(typist: Typist) -> None:
    typist.types(f"{PASTE}one")
    typist.waits(0.5)
    typist.types("\x03")
    assert typist.view.text == "one"
    typist.types(f"{PASTE}two")
    for _time in range(2):
        typist.waits(0.5)
        typist.types("\x18")
    assert typist.lines == ["/panic"]


def test_what_stands_behind_an_end_mark_in_a_paste_is_not_done(typist: Typist) -> None:
    typist.types(f"{PASTE}one\rtwo{PASTED}/panic delete\r{PASTED}")
    assert typist.lines == [] and typist.view.question
    typist.types("\r")
    typist.waits(0.5)
    typist.types("n")
    assert typist.view == LineView() and typist.lines == []
    typist.types(f"{PASTE}one\rtwo{PASTED}")  # a read may end anywhere
    typist.types("\r")
    typist.types(PASTED)
    typist.waits(0.5)
    assert typist.lines == [] and typist.view.question
    typist.types("e")
    typist.types("\r")
    assert typist.lines == ["one\ntwo"]


def test_several_lines_at_once_ask(typist: Typist) -> None:
    typist.types("half ")
    typist.types("a line\rand /panic\r")
    assert typist.lines == [] and typist.view.question.startswith("Send 2 lines")
    typist.waits(0.5)
    typist.types("e")
    assert typist.view.text == "half a line\nand /panic"
    typist.types("\r")
    assert typist.lines == ["half a line\nand /panic"]


def test_the_question_whether_to_leave_goes_away_by_itself(typist: Typist) -> None:
    typist.types("\x03")
    assert typist.view.question == "Press Ctrl-C again to leave."
    typist.waits(LEAVE_TIME)
    assert typist.view == LineView()


# tmux


class Tmux:
    """The chat in a tmux of its own."""

    def __init__(self, server: Server) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="cmdchat-tmux-")
        socket = str(Path(self._folder.name) / "tmux")
        self._base = ["tmux", "-u", "-f", "/dev/null", "-S", socket]
        self._env = environment({"CLIENT_PASSWORD": PASSWORD, "TERM": "xterm-256color"})
        words = [sys.executable, "-B", str(PROGRAM), "connect", server.host, str(server.port), "al"]
        self.do("new-session", "-d", "-x", "80", "-y", "24", " ".join(words))

    def do(self, *words: str) -> str:
        done = subprocess.run(
            [*self._base, *words], env=self._env, stdout=subprocess.PIPE, text=True, check=True
        )
        return done.stdout

    def keys(self, *names: str) -> None:
        """Press keys, one after the other, as a person does who sees what each has done."""
        for name in names:
            before = self._state()
            self.do("send-keys", name)
            until = time.monotonic() + 20
            while self._state() == before:
                assert time.monotonic() < until, f"{name} changes nothing in {before}"

    def _state(self) -> str:
        cursor = ("display-message", "-p", "#{cursor_x},#{cursor_y}")
        try:
            return self.do(*cursor, ";", "capture-pane", "-p")
        except subprocess.CalledProcessError:  # the key before was the last one: tmux has ended
            return ""

    def sees(self, text: str) -> None:
        until = time.monotonic() + 20
        while text not in (shown := self.do("capture-pane", "-p")):
            assert time.monotonic() < until, shown

    def close(self) -> None:
        with suppress(subprocess.CalledProcessError):
            self.do("kill-server")
        self._folder.cleanup()


@pytest.fixture(scope="module")
def tmux() -> Iterator[tuple[Tmux, Client]]:
    with Server({"MAX_MESSAGES_PER_WINDOW": "100"}) as server, Client(server, "bob") as bob:
        terminal = Tmux(server)
        try:
            terminal.sees("default>")
            bob.next("joined", nick="al")
            yield terminal, bob
        finally:
            terminal.close()


@needs("tmux", beside="test_several_lines_at_once_ask")
def test_keys_of_a_person_in_tmux(tmux: tuple[Tmux, Client]) -> None:
    terminal, bob = tmux
    terminal.keys("one", "C-j", "two", "M-Enter", "three", "Enter")
    assert bob.next("message")["text"] == "one\ntwo\nthree"
    terminal.keys("first", "KPEnter")
    assert bob.next("message")["text"] == "first", "the keypad's Enter is no Ctrl-J"
    terminal.keys("a word", "M-b", "C-Left", "M-d", "the", "Enter")
    assert bob.next("message")["text"] == "the word"
    terminal.keys("C-r", "fir")
    terminal.sees("search: fir> first")
    terminal.keys("Enter", "End", "!", "Enter")
    assert bob.next("message")["text"] == "first!"
    terminal.keys("one line", "C-j", "and more", "Up", "Home", "!", "Enter")
    assert bob.next("message")["text"] == "!one line\nand more"


@needs("tmux", beside="test_several_lines_at_once_ask")
def test_pastes_in_tmux(tmux: tuple[Tmux, Client]) -> None:
    terminal, bob = tmux
    terminal.do("set-buffer", "first\nsecond")
    terminal.do("paste-buffer", "-p", "-d")
    terminal.sees("second")
    terminal.keys("Enter")
    assert bob.next("message")["text"] == "first\nsecond"
    terminal.do("set-buffer", "without\nbrackets\n")
    terminal.do("paste-buffer", "-d")
    terminal.sees("Send 2 lines as one message? y: send, e: edit first, n: no")
    terminal.keys("n")
    terminal.sees("default>")
    terminal.do("set-buffer", "one\x1b[201~/quit\n")
    terminal.do("paste-buffer", "-p", "-d")
    terminal.sees("Send this line?")
    terminal.keys("n")
    terminal.sees("default>")
    terminal.keys("still here", "Enter")
    assert bob.next("message")["text"].endswith("still here")


@needs("tmux", beside="test_the_question_whether_to_leave_goes_away_by_itself")
def test_ctrl_c_twice_leaves_in_tmux(tmux: tuple[Tmux, Client]) -> None:
    terminal, bob = tmux
    terminal.keys("draft", "C-c", "C-c")
    terminal.sees("Press Ctrl-C again to leave.")
    terminal.keys("C-c")
    bob.next("left", nick="al")
