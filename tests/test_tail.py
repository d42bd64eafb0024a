"""``tail`` and ``wait``: what they print, and how they end."""

from __future__ import annotations

import json
import re
import signal
import threading
import time
from datetime import datetime
from pathlib import Path

import pytest

from client import events
from client.programs.printing import Printer, words
from client.programs.visit import Inbox
from client.programs.wanted import TooSlow, Wanted, matches
from tests.module_server import (  # noqa: F401
    nick_fixture,
    server_fixture,
    witness_fixture,
)
from tests.processes import DEADLINE, Client, Program, Server, free_port
from tests.test_send import shell, visitor

ENDLESS = re.compile("(a+)+$")
SLOW = "a" * 40 + "b"


def ready(server: Server, witness: Client, nick: str, *words: str) -> Program:
    """A ``tail``, or a ``wait`` with ``--match``, that hears what is said from now on."""
    command = "wait" if "--match" in words else "tail"
    program = visitor(command, server, nick, *words)
    try:
        witness.next("joined", nick=nick)
    except BaseException:
        program.kill()
        raise
    return program


def test_messages_are_printed_as_they_come(server: Server, witness: Client, nick: str) -> None:
    with ready(server, witness, nick, "--count", "3") as tail:
        witness.say("one", f"/msg {nick} two\x1b[2J", "three", "four")
        assert tail.end() == 0 and tail.errors == ""
    one, two, three = tail.out.decode().splitlines()
    assert re.fullmatch(r"▌ \d\d:\d\d witness: one", one)
    assert "@ witness, to you alone: two␛[2J" in two and three.endswith("witness: three")


def test_each_message_is_there_at_once(server: Server, witness: Client, nick: str) -> None:
    with ready(server, witness, nick, "--raw") as tail:
        for number in range(5):
            witness.say(str(number))
            tail.wait_for(lambda: tail.out.endswith(f"{number}\n".encode()))  # noqa: B023
        assert tail.out == b"0\n1\n2\n3\n4\n"


def test_json_is_that_of_connect(server: Server, witness: Client, nick: str) -> None:
    with ready(server, witness, nick, "--json", "--count", "1") as tail:
        witness.say("hello")
        assert tail.end() == 0
    found = json.loads(tail.out)
    assert (found["event"], found["from"], found["text"]) == ("message", "witness", "hello")


def test_what_is_said_in_several_rooms_is_printed_each_with_its_room(
    server: Server, witness: Client, nick: str, tmp_path: Path
) -> None:
    lab, den = f"{nick}-lab", f"{nick}-den"
    secret = tmp_path / "secret"
    secret.write_text("hunter2\n")
    rooms = ("--room", "default", "--room", lab, "--room", den)
    options = (*rooms, "--secret-file", f"{lab}={secret}")
    known = {"CLIENT_ROOM_SECRET": "hunter2"}
    with (
        Client(server, f"{nick}-b", "--room", lab, settings=known) as one,
        Client(server, f"{nick}-c", "--room", lab) as other,
        ready(server, witness, nick, *options, "--count", "3") as tail,
    ):
        one.next("joined", nick=nick)
        other.next("joined", nick=nick)
        other.say("nobody reads this")
        tail.wait_for(lambda: b"cannot be read" in tail.err)
        one.say("from the lab", f"/msg {nick} for you")
        tail.wait_for(lambda: tail.out.count(b"\n") == 2)
        witness.say("from here")
        assert tail.end() == 0
    lines = tail.out.decode().splitlines()
    assert re.fullmatch(rf"▌ \d\d:\d\d \[{lab}\] {nick}-b: from the lab", lines[0])
    assert f"@ {nick}-b, to you alone: for you" in lines[1]
    assert re.fullmatch(r"▌ \d\d:\d\d \[default\] witness: from here", lines[2])
    assert tail.errors.startswith(f"[{lab}] A message from {nick}-c cannot be read")
    assert tail.errors.count("\n") == 1


def test_json_names_the_room_of_each_message(server: Server, witness: Client, nick: str) -> None:
    lab = f"{nick}-lab"
    with Client(server, f"{nick}-b", "--room", lab) as other:
        rooms = ("--room", f"default,{lab}", "--room", lab.upper())
        with ready(server, witness, nick, *rooms, "--json", "--count", "2") as tail:
            other.next("joined", nick=nick)
            other.say("one")
            tail.wait_for(lambda: bool(tail.out))
            witness.say("two")
            assert tail.end() == 0
    found = [json.loads(line) for line in tail.out.splitlines()]
    assert [(each["room"], each["text"]) for each in found] == [(lab, "one"), ("default", "two")]


def test_one_that_waits_is_in_the_first_room_alone(
    server: Server, witness: Client, nick: str
) -> None:
    lab = f"{nick}-lab"
    rooms = {"CLIENT_ROOM": f"default,{lab}"}
    with Client(server, f"{nick}-b", "--room", lab) as other:
        with visitor("wait", server, nick, "--match", "go", "--raw", **rooms) as wait:
            witness.next("joined", nick=nick)
            witness.say("go now")
            assert wait.end() == 0 and wait.out == b"go now\n"
        assert other.all("joined", nick=nick) == []
    with visitor("wait", server, nick, "--match", "go", "--room", "a", "--room", "b") as wait:
        assert wait.end() == 2 and "it must be one room here" in wait.errors


def test_only_what_is_asked_for_is_printed(server: Server, witness: Client, nick: str) -> None:
    options = ("--from", "WITNESS", "--private", "--raw", "--count", "1")
    with ready(server, witness, nick, *options) as tail, Client(server, f"{nick}-b") as other:
        other.say(f"/msg {nick} not this")
        other.next("message", private=True)
        witness.say("nor this", f"/msg {nick} but this")
        assert tail.end() == 0
    assert tail.out == b"but this\n"


def test_wait_ends_with_the_message_that_matches(
    server: Server, witness: Client, nick: str
) -> None:
    with ready(server, witness, nick, "--match", "^(go|stop)$", "--raw") as wait:
        witness.say("go on", "stop", "go")
        assert wait.end() == 0
    assert (wait.out, wait.errors) == (b"stop\n", "")


def test_time_that_is_over_is_124(server: Server, nick: str) -> None:
    with visitor("tail", server, nick, "--timeout", "1") as tail:
        assert tail.end() == 124 and tail.told() == "\n"
    with visitor("wait", server, nick, "--match", "x", "--timeout", "1") as wait:
        assert wait.end() == 124 and wait.errors == "No message matched in time.\n"


def test_other_ends(server: Server, witness: Client, nick: str) -> None:
    with visitor("wait", server, nick) as program:
        program.end_input()
        assert program.end() == 2 and "--match" in program.errors
    with visitor("tail", ("127.0.0.1", free_port()), nick) as program:
        assert program.end() == 3
    with visitor("tail", server, witness.nick) as program:
        assert program.end() == 4
    with ready(server, witness, nick) as program:
        program.signal(signal.SIGINT)
        assert program.end() == 130


def test_a_reader_that_goes_ends_it_at_once(server: Server, witness: Client, nick: str) -> None:
    """Nothing more is said; it would wait for ever."""
    pipe = "cmd-chat tail | grep -q needle"
    with shell(server, pipe, CLIENT_USERNAME=nick) as script:
        witness.next("joined", nick=nick)
        witness.say("hay", "needle")
        assert script.communicate(timeout=DEADLINE) == ("", "")
    assert script.returncode == 0
    witness.next("left", nick=nick)


def test_a_match_that_takes_too_long_is_none(server: Server, witness: Client, nick: str) -> None:
    with ready(server, witness, nick, "--match", f"{ENDLESS.pattern}|^next$", "--raw") as wait:
        witness.say(SLOW, "next")
        assert wait.end() == 0
    assert wait.out == b"next\n"
    assert "took too long on a message of witness" in wait.errors


# Without a server


def message(
    text: str, sender: str = "bob", *, mine: bool = False, private: bool = False
) -> events.Message:
    return events.Message("default", sender, text, 1, mine, private, False, "text")


def test_a_search_is_broken_off_and_leaves_no_timer() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TooSlow):
        matches(ENDLESS, SLOW, 0.05)
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    began = time.monotonic()
    assert matches(ENDLESS, "b aaa") and not matches(ENDLESS, "b")
    assert time.monotonic() - began < 1


def test_who_is_wanted() -> None:
    wanted = Wanted("Bob", re.compile("x"))
    assert wanted.takes(message("ax")) and not wanted.takes(message("a"))
    assert not wanted.takes(message("x", "alice")) and not wanted.takes(message("x", mine=True))
    assert not Wanted(None, private=True).takes(message("x"))
    assert Wanted(None, private=True).takes(message("x", private=True))


def test_forms_of_a_message() -> None:
    when = datetime(2026, 1, 2, 3, 4).astimezone()
    said = message("a\tb\x07")
    assert Printer("text", ["Default"]).lines(said, when) == ["▌ 03:04 bob: a   b␇"]
    rooms = ["default", "lab"]
    assert Printer("text", rooms).lines(said, when) == ["▌ 03:04 [default] bob: a   b␇"]
    assert Printer("raw", rooms).lines(said, when) == ["a\tb\x07"]
    (line,) = Printer("json", rooms).lines(said, when)
    assert json.loads(line)["text"] == "a\tb\x07"
    assert words(events.Missed("default", 2)) == "You have missed 2 messages in default."


def test_a_full_inbox_has_room_again_when_one_is_taken() -> None:
    inbox = Inbox(2)
    inbox.put(None)
    assert inbox.await_room(0.0)
    inbox.put(None)
    assert not inbox.await_room(0.01)
    found: list[bool] = []
    waiting = threading.Thread(target=lambda: found.append(inbox.await_room(DEADLINE)))
    waiting.start()
    inbox.take(0.0)
    waiting.join(DEADLINE / 2)
    assert found == [True]
