"""Tries the program under Windows' Python and Wine, and prints what was seen.

    python -m tools.platforms.windows [WORDS]

Of all trials, or of those whose Python and way have ``WORDS`` in them.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from tools import pyz_lock
from tools.platforms import fetch, wine
from tools.platforms.console import CIRCUMFLEX_E, CTRL_C, ENTER, EURO, Console, letters
from tools.platforms.fetch import CACHE, ROOT, Missing
from tools.platforms.single import single_file
from tools.platforms.table import HEAD, Row, line
from tools.smoke import HERE, PASSWORD, Child, Failed, Program, outcome

_PLATFORM = "windows-x86_64"
_MAIN = "3.13"  # where everything is tried; the others chat
# As a console's host without escape sequences answers; Wine's takes the mode.
_LEGACY = (
    "import sys, runpy, colorama.ansitowin32 as one; one.enable_vt_processing = lambda fd: False;"
    "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], None, '__main__')"
)

_PATIENT = Program(environment={"MAX_MESSAGES_PER_WINDOW": "1000"})

# What is typed, as a terminal's bytes, and the message that comes of it.
_TYPED = (
    ("à", "à\r", "à"),
    ("déjà", "déjà\r", "déjà"),
    ("às vezes", "às vezes\r", "às vezes"),
    ("😀 日本", "😀 日本\r", "😀 日本"),
    ("arrows", "bc\x1b[D\x1b[Da\r", "abc"),
    ("Ctrl-Left", "two three\x1b[1;5Done \r", "two one three"),
    ("Home", "bcd\x1b[Ha\r", "abcd"),
    ("Delete", "xabc\x1b[H\x1b[3~\r", "abc"),
    ("Backspace", "abx\x7fc\r", "abc"),
)


@dataclass(frozen=True)
class Trial:
    """The interpreter, the program's forms there, and what a row says of them."""

    python: tuple[str, ...]
    pyz: Program
    tree: Program
    environment: dict[str, str]


def trial(python: str) -> Trial:
    """What is needed to run the program under a Windows Python.  Raises ``Missing``."""
    command = (wine.wine(), wine.interpreter(python))
    pyz = Program((*command, "-I", "-S", str(single_file())), wine.ENVIRONMENT)
    wheels = [
        one.path(pyz_lock.WHEELS)
        for one in pyz_lock.read()
        if one.platform == "any"
        or (one.platform == _PLATFORM and (one.project != "cffi" or one.python == python))
    ]
    packages = fetch.site_packages(_PLATFORM, python, wheels)
    environment = {**wine.ENVIRONMENT, "PYTHONPATH": str(packages), "CMD_CHAT_LANGUAGE": "en"}
    tree = Program((*command, str(ROOT / "cmd_chat.py")), environment)
    return Trial(command, pyz, tree, environment)


# Chats


def chats(python: str, form: str) -> str:
    """Server and clients in every arrangement; what went wrong."""
    other: Program = getattr(trial(python), form)
    for programs in ((HERE, other, HERE), (other, HERE, other), (other, other, other)):
        if wrong := outcome(*programs):
            return wrong
    return ""


def message(child: Child, what: str) -> str:
    """The text of the next message that a client of ours shows.  Raises Failed."""
    while True:
        event = json.loads(child.line(f"the message of {what}"))
        if event["event"] == "message":
            return str(event["text"])


def expect(child: Child, text: str, what: str) -> None:
    """Raises Failed unless the next message is ``text``."""
    found = message(child, what)
    if found != text:
        raise Failed(f"{what}: {found!r} came instead of {text!r}")


def with_witness(act: Callable[[Child, str], None]) -> str:
    """Let ``act`` chat with a client on Linux, at a server's port; what went wrong."""
    children: list[Child] = []
    try:
        server = Child("serve", "127.0.0.1", "0", program=_PATIENT)
        children.append(server)
        port = server.find(r"connect 127\.0\.0\.1 (\d+) <username>")
        bob = Child("connect", "127.0.0.1", port, "bob", "--renderer", "json")
        children.append(bob)
        bob.event("connected")
        act(bob, port)
    except (Failed, OSError) as error:
        return str(error)
    finally:
        for child in children:
            child.process.kill()
            child.process.wait()
    return ""


# The console


def on_console(
    words: tuple[str, ...], bob: Child, port: str, act: Callable[[Console], None], renderer: str
) -> Console:
    """A client on a Windows console; ``act`` once it is there."""
    environment = {**trial(_MAIN).environment, "CLIENT_PASSWORD": PASSWORD}
    command = [*words, "connect", "127.0.0.1", port, "alice", "--renderer", renderer]
    person = Console(trial(_MAIN).python, command, environment)
    try:
        bob.event("joined", nick="alice")
        person.sees("default>")
        act(person)
        person.presses(letters("/quit"), ENTER)
        status, before, after = person.ended()
        if (status, before) != (0, after):
            raise Failed(f"status {status}, mode {before:#x} before and {after:#x} after")
    finally:
        person.close()
    return person


def words(program: Program) -> tuple[str, ...]:
    """What a Windows program says to start this one: without Wine."""
    return program.command[1:]


def keys(renderer: str) -> Callable[[Child, str], None]:
    """Typing, pasting, Ctrl-C."""

    def act(bob: Child, port: str) -> None:
        def typing(person: Console) -> None:
            for what, text, sent in _TYPED:
                person.types(text)
                expect(bob, sent, what)
            person.presses(EURO, CIRCUMFLEX_E, letters("😀à"), ENTER)
            expect(bob, "€ê😀à", "AltGr, a dead key, halves")
            person.types("one\rtwo\rthree\r")
            person.sees("three")
            person.presses(ENTER)
            expect(bob, "one\ntwo\nthree", "a paste")
            person.presses(letters("uno\rdos\rtres\r"))
            person.sees("tres")
            person.presses(ENTER)
            expect(bob, "uno\ndos\ntres", "a paste by Windows' records")
            person.presses(letters("half a line"))
            person.sees("line")
            person.presses(CTRL_C)
            person.presses(letters("whole"), ENTER)
            expect(bob, "whole", "Ctrl-C with a line typed")

        on_console(words(trial(_MAIN).pyz), bob, port, typing, renderer)

    return act


def long_paste(bob: Child, port: str) -> None:
    """Thirteen lines are asked about; Esc drops them."""

    def typing(person: Console) -> None:
        person.presses(letters("line\r" * 13))
        person.sees("13")
        person.presses(letters("n"))
        person.presses(letters("after"), ENTER)
        expect(bob, "after", "a long paste is asked about")

    on_console(words(trial(_MAIN).pyz), bob, port, typing, "rich")


def legacy(bob: Child, port: str) -> None:
    """A console that knows no escape sequences."""

    def typing(person: Console) -> None:
        person.presses(letters("déjà"), ENTER)
        expect(bob, "déjà", "letters")

    command = (*trial(_MAIN).python[1:], "-c", _LEGACY, str(ROOT / "cmd_chat.py"))
    person = on_console(command, bob, port, typing, "rich")
    if "knows no escape sequences" not in " ".join(person.shown.split()):
        raise Failed(f"that it goes on plainly is not said: {person.shown[:300]!r}")


# Pipes and files


def piped(bob: Child, port: str) -> None:
    """What minimal and `history show` write to a pipe is UTF-8."""
    text = "déjà 日本 😀"
    kept = {"ENABLE_LOCAL_HISTORY": "true", "HISTORY_PASSPHRASE": "a pass phrase for this"}
    pyz = trial(_MAIN).pyz
    program = Program(pyz.command, {**pyz.environment, **kept})
    alice = Child("connect", "127.0.0.1", port, "alice", "--renderer", "minimal", program=program)
    try:
        bob.event("joined", nick="alice")
        bob.say(text)
        alice.find(f"({text})")
        alice.say("às vezes")
        bob.event("message", from_="alice", text="às vezes")
        alice.ends_with(0)
    finally:
        alice.process.kill()
    environment = {**wine.ENVIRONMENT, **kept, "CMD_CHAT_LANGUAGE": "en"}
    ran = subprocess.run(
        [*pyz.command, "history", "show", f"127.0.0.1:{port}"],
        env={**os.environ, **environment}, stdin=subprocess.PIPE, capture_output=True,
        timeout=120, check=False,
    )  # fmt: skip
    if ran.returncode or text not in ran.stdout.decode("utf-8", "replace"):
        raise Failed(f"history show ends with {ran.returncode}: {ran.stdout!r} {ran.stderr!r}")


# A program that answers

_ANSWERING = """
import json, os, subprocess, sys, time
word, _, path = json.loads(sys.stdin.read())["text"].partition(" ")
if word == "hang":
    child = "import sys, time; time.sleep(20); open(sys.argv[1], 'w')"
    subprocess.Popen([sys.executable, "-I", "-S", "-c", child, path])
    time.sleep(100)
elif word == "fail":
    sys.exit(3)
else:
    print(word.upper(), "CLIENT_PASSWORD" in os.environ)
"""


def answering(bob: Child, port: str) -> None:
    """``--on-message``: answers, failures, and the job that ends with ten seconds."""
    script, mark = CACHE / "answering.py", CACHE / "outlived"
    script.write_text(_ANSWERING)
    mark.unlink(missing_ok=True)
    python = trial(_MAIN).python[1]
    command = f"'Z:{python}' -I -S 'Z:{script}'"
    alice = Child(
        "connect", "127.0.0.1", port, "alice", "--renderer", "json", "--on-message", command,
        program=trial(_MAIN).pyz,
    )  # fmt: skip
    try:
        bob.event("joined", nick="alice")
        bob.say("hello")
        expect(bob, "hello", "the question")
        expect(bob, "HELLO False", "the answer")
        bob.say("fail", f"hang Z:{mark}", "again")
        alice.find("(program_failed)")
        alice.find("(program_timeout)")
        for said in ("fail", f"hang Z:{mark}", "again", "AGAIN False"):
            expect(bob, said, "what is said after a failure")
        time.sleep(20)
        if mark.exists():
            raise Failed("what the program has started outlives it")
    finally:
        alice.process.kill()


# All of it


def rows() -> list[tuple[str, str, str, Callable[[], str]]]:
    """What is tried: Python, how it was run, what is seen if it goes well, how it is tried."""
    talked = "chat: Windows with Linux, and with Windows, either serving"
    found: list[tuple[str, str, str, Callable[[], str]]] = [
        (python, "single file", talked, functools.partial(chats, python, "pyz"))
        for python in wine.INTERPRETERS
    ]
    typed = ", ".join(what for what, _text, _sent in _TYPED)
    keyboard = f"{typed}, AltGr, dead keys; a paste is one message; Ctrl-C clears a typed line"
    found += [
        (_MAIN, "source tree", "the same chats", lambda: chats(_MAIN, "tree")),
        *((_MAIN, f"single file, {name} on a console", keyboard,
           functools.partial(with_witness, keys(name))) for name in ("minimal", "rich")),
        (_MAIN, "single file, rich on a console", "13 pasted lines are asked about first",
         lambda: with_witness(long_paste)),
        (_MAIN, "source tree on a console without escape sequences",
         "goes on as minimal, and says so", lambda: with_witness(legacy)),
        (_MAIN, "single file, pipes",
         "minimal and `history show` write UTF-8; history is kept and read",
         lambda: with_witness(piped)),
        (_MAIN, "single file, --on-message",
         "answers, failures are told; after ten seconds its job ends with all that it has started",
         lambda: with_witness(answering)),
    ]  # fmt: skip
    return found


def main(only: str) -> int:
    """Try what has ``only`` in its description, and print the rows; the exit status."""
    try:
        system = f"Windows x86-64 ({wine.version()})"
        print(HEAD)
        failed = False
        for python, how, seen, attempt in rows():
            if only not in f"{python} {how}":
                continue
            version = wine.INTERPRETERS[python].split("==")[1].removesuffix(".post2")
            wrong = attempt()
            failed = failed or bool(wrong)
            print(line(Row(system, version, how, wrong or seen, not wrong)), flush=True)
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 1
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:])))
