"""The local history from outside: clients that record, and ``cmd_chat.py history``."""

from __future__ import annotations

import ast
import functools
import json
import re
import signal
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import settings
from cli import asking
from cli.parsing import parse
from cli.run import _connect
from cli.table import CONNECT, HISTORY
from client import messages, sealed_file
from client.history import store
from client.history.records import HistoryKeys, Record
from client.history.store import RunWriter, history_path, run_paths
from protocol import keys
from protocol.hosts import server_name
from tests.command import Done, run_command
from tests.module_server import server_fixture  # noqa: F401
from tests.processes import (
    PASSWORD,
    PROGRAM,
    ROOT,
    Client,
    Program,
    Server,
    Terminal,
    free_port,
    terminal_client,
)
from tests.transport_kit import until

PASSPHRASE, OTHER = "open sesame", "close sesame"
GUESSABLE = "This passphrase can be guessed quickly"
NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def one_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same results as ever, worked out once a run."""
    monkeypatch.setattr(sealed_file, "scrypt", _scrypt)


_scrypt = functools.lru_cache(keys.scrypt)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """An environment with a place for histories, where the clock is that of Greenwich."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield {
        "XDG_STATE_HOME": str(tmp_path / "state"), "HISTORY_PASSPHRASE": PASSPHRASE,
        "TZ": "UTC",
    }  # fmt: skip
    monkeypatch.undo()
    time.tzset()


def folder(state: dict[str, str]) -> Path:
    return Path(settings.history_folder(state))


def history_of(
    state: dict[str, str], host: str, port: int, *texts: str, passphrase: str = PASSPHRASE,
    **fields: Any,
) -> Path:  # fmt: skip
    """A history with records of these texts, a minute apart."""
    server = server_name(host, port)
    path = history_path(folder(state), server)
    if not path.exists():
        # By the weakest scrypt that is taken.
        store.create(path, HistoryKeys.fresh(server), passphrase, 15)
    recorder = RunWriter(path, store.open_keys(path, passphrase), 10_000)
    fixed: dict[str, Any] = {
        "room": "default", "sender": "bob", "to": None, "kind": "text", "private": False,
        "mine": False,
    }  # fmt: skip
    for minute, text in enumerate(texts):
        when = NOON + timedelta(minutes=minute)
        recorder.append(Record(text=text, time=when, **{**fixed, **fields}))
    return path


def runs(path: Path) -> list[Path]:
    """A history's files of records."""
    return [file for _, file in run_paths(path)]


def contents(path: Path) -> dict[str, tuple[bytes, int]]:
    """What the files of a history hold, and when that changed."""
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in path.iterdir()}


def only(path: Path) -> Path:
    (file,) = runs(path)
    return file


def run(state: dict[str, str], *words: str) -> Done:
    return run_command("history", *words, env=state)


# The command line


def given(line: str) -> dict[str, Any]:
    args = parse(HISTORY, line.split())
    assert args is not None
    return {name: value for name, value in args.items() if value is not None}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("list", {"<ACTION>": "list"}),
        ("show h:7 --last 5 --room team", {"<ACTION>": "show", "<SERVER>": "h:7", "--last": "5",
                                           "--room": "team"}),
        ("-r team search word h", {"<ACTION>": "search", "<TEXT>": "word", "<SERVER>": "h",
                                   "--room": "team"}),
        ("delete --yes", {"<ACTION>": "delete", "--yes": "true"}),
        ("passphrase --new-passphrase-file f --history-passphrase-file g", {
            "<ACTION>": "passphrase", "--new-passphrase-file": "f",
            "HISTORY_PASSPHRASE_FILE": "g"}),
        ("", {}),
    ],
)  # fmt: skip
def test_where_each_word_goes(line: str, expected: dict[str, Any]) -> None:
    assert given(line) == expected


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["lst"], "ACTION (command line) cannot be 'lst': it must be one of: list, show, "),
        ([], "A value is missing: set ACTION on the command line."),
        (["search"], "A value is missing: set TEXT on the command line."),
        (["show", "a:b"], "SERVER[:PORT] (command line) cannot be 'a:b': it must be a "),
        (["show", "--last", "0"], "--last (command line) cannot be '0': it must be a whole "),
        (["show", "a", "b"], "There is more than ACTION SERVER[:PORT] here."),
        (["list", "--new-passphrase-file", "/no/file"],
         "--new-passphrase-file (command line) cannot be used: it cannot be read"),
    ],
)  # fmt: skip
def test_wrong_use_ends_with_2(state: dict[str, str], words: list[str], sentence: str) -> None:
    done = run(state, *words)
    assert (done.status, done.out) == (2, "")
    assert done.errors.startswith(f"cmd_chat: {sentence}")


# Looking


def test_histories_are_listed(state: dict[str, str]) -> None:
    history_of(state, "localhost", 1000, "a", "b", "c")
    history_of(state, "::1", 7, "a")
    history_of(state, "empty", 7)
    done = run(state, "list")
    assert (done.status, done.errors) == (0, "")
    assert [re.split("  +", line) for line in done.out.splitlines()] == [
        ["[::1]:7", "1 message", "2026-01-02 12:00"],
        ["empty:7", "0 messages"],
        ["localhost:1000", "3 messages", "2026-01-02 12:00", "2026-01-02 12:02"],
    ]


def test_a_history_is_shown_as_it_was(state: dict[str, str]) -> None:
    history_of(state, "localhost", 1000, "one\ntwo", "\x1b[31mred")
    history_of(state, "localhost", 1000, "psst", private=True, to="alice")
    history_of(state, "localhost", 1000, "waves", kind="action", room="team")
    done = run(state, "show", "LOCALHOST")
    assert (done.status, done.errors) == (0, "")
    assert done.out.splitlines() == [
        "2026-01-02 12:00  bob: one",
        "                  two",
        "2026-01-02 12:00  bob, to you alone: psst",
        "2026-01-02 12:00  * bob waves",
        "2026-01-02 12:01  bob: ␛[31mred",
    ]
    assert len(run(state, "show", "--last", "2").out.splitlines()) == 2
    assert run(state, "show", "--room", "TEAM").out == "2026-01-02 12:00  * bob waves\n"
    assert run(state, "show", "--last", "1", "-r", "default").out.endswith("[31mred\n")


def test_all_histories_are_searched(state: dict[str, str]) -> None:
    history_of(state, "a", 1, "Straße", "nothing")
    history_of(state, "b", 1, "nothing", "STRASSE")
    history_of(state, "c", 1, "nothing")
    done = run(state, "search", "strasse")
    assert (done.status, done.errors) == (0, "")
    assert sorted(done.out.splitlines()) == [
        "2026-01-02 12:00  bob: Straße", "2026-01-02 12:01  bob: STRASSE",
        "History of a:1:", "History of b:1:",
    ]  # fmt: skip
    assert run(state, "search", "strasse", "b:1").out == "2026-01-02 12:01  bob: STRASSE\n"
    done = run(state, "search", "not there")
    assert (done.status, done.out) == (0, "")
    assert done.errors == "There is nothing like that in the history.\n"


def test_an_export_is_json_that_a_terminal_does_not_obey(state: dict[str, str]) -> None:
    history_of(state, "localhost", 1000, "\x9b31m\u202e", "ü", mine=True)
    done = run(state, "export")
    assert (done.status, done.errors) == (0, "")
    assert done.out.replace("\n", "").isprintable() and "ü" in done.out
    first, _second = map(json.loads, done.out.splitlines())
    assert first == {
        "server": "localhost:1000", "time": "2026-01-02T12:00:00.000Z", "room": "default",
        "from": "bob", "to": None, "text": "\x9b31m\u202e", "kind": "text", "private": False,
        "self": True,
    }  # fmt: skip


# What is in the way


def test_where_there_is_nothing_it_is_said_and_nobody_is_asked(state: dict[str, str]) -> None:
    for words in (["list"], ["show"], ["search", "x"], ["export"], ["delete"], ["passphrase"]):
        done = run({**state, "HISTORY_PASSPHRASE": ""}, *words)
        assert (done.status, done.out) == (0, "")
        assert done.errors == "There is no history on this machine.\n"
        done = run(state, *words, "nowhere")
        assert (done.status, done.out) == (2, "")
        assert done.errors.startswith("There is no history of nowhere:1000: ")
    assert not folder(state).exists()


def test_a_wrong_passphrase_ends_with_4(state: dict[str, str]) -> None:
    history_of(state, "localhost", 1000, "a")
    for words in (["list"], ["show"], ["search", "x"], ["export"], ["passphrase"]):
        done = run({**state, "HISTORY_PASSPHRASE": "wrong"}, *words)
        assert (done.status, done.out) == (4, "")
        assert done.errors == "That passphrase opens no history here: try again.\n"


def test_histories_with_another_passphrase_are_left_out_and_counted(
    state: dict[str, str],
) -> None:
    history_of(state, "a", 1, "mine")
    history_of(state, "b", 1, "other", passphrase=OTHER)
    done = run(state, "show")
    assert (done.status, done.out) == (0, "2026-01-02 12:00  bob: mine\n")
    assert done.errors == "1 history has another passphrase and is left out.\n"


def test_nobody_to_ask_for_the_passphrase_ends_with_2(state: dict[str, str]) -> None:
    history_of(state, "localhost", 1000, "a")
    done = run({**state, "HISTORY_PASSPHRASE": ""}, "show")
    assert (done.status, done.out) == (2, "")
    assert "HISTORY_PASSPHRASE," in done.errors and "--history-passphrase-file" in done.errors
    done = run(state, "passphrase")
    assert (done.status, done.out) == (2, "")
    assert "--new-passphrase-file" in done.errors


def test_damage_is_named_and_the_rest_is_shown(state: dict[str, str]) -> None:
    file = only(history_of(state, "localhost", 1000, *"abcdef"))
    lines = file.read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b"A", b"B")
    del lines[5]
    file.write_bytes(b"".join(lines) + b"7 torn")
    for words in (["show"], ["list"], ["export"], ["search", "b"]):
        done = run(state, *words)
        assert done.status == 0 and done.out
        assert done.errors.splitlines() == [
            "localhost:1000: 1 record of the history is missing.",
            "localhost:1000: 1 record of the history was changed, or comes from elsewhere.",
            "localhost:1000: 1 record of the history was not written to its end.",
        ]


def test_what_is_no_history_is_named_and_the_others_are_shown(state: dict[str, str]) -> None:
    history_of(state, "localhost", 1000, "a")
    junk = folder(state) / ("0" * 32)
    junk.mkdir()
    (junk / "keys").write_bytes(b"junk\n")
    done = run(state, "show")
    assert (done.status, done.out) == (2, "2026-01-02 12:00  bob: a\n")
    assert done.errors == messages.history("unusable", {"path": junk}) + "\n"


# Deleting


def test_deleting_wants_to_be_told_twice(state: dict[str, str]) -> None:
    history_of(state, "a", 1, "x")
    history_of(state, "b", 1, "x", passphrase=OTHER)
    done = run(state, "delete")
    assert (done.status, done.out) == (2, "") and "--yes" in done.errors
    assert len(list(folder(state).iterdir())) == 2
    done = run(state, "delete", "a:1", "--yes")
    assert (done.status, done.errors) == (0, "1 history deleted.\n")
    assert not history_path(folder(state), "a:1").exists()
    done = run(state, "delete", "--yes")
    assert (done.status, done.errors) == (0, "1 history deleted.\n")
    assert not folder(state).parent.exists()


@pytest.mark.parametrize(("typed", "gone"), [("delete", True), ("y", False), ("", False)])
def test_deleting_asks_at_a_terminal(state: dict[str, str], typed: str, gone: bool) -> None:
    history_of(state, "a", 1, "x")
    asked: list[str] = []

    def answer(question: str, hidden: bool = False) -> str:
        asked.append(question)
        return typed

    with mock.patch.object(asking, "answer", answer):
        done = run(state, "delete")
    assert done.status == 0 and len(asked) == 1 and "for good" in asked[0]
    assert history_path(folder(state), "a:1").exists() != gone


# Another passphrase


def test_the_passphrase_is_changed(state: dict[str, str], tmp_path: Path) -> None:
    history_of(state, "a", 1, "x", "y")
    history_of(state, "b", 1, "z", passphrase=OTHER)
    before = contents(history_path(folder(state), "b:1"))
    new = tmp_path / "new"
    new.write_text("another one\n")
    done = run(state, "passphrase", "--new-passphrase-file", str(new))
    assert (done.status, done.out) == (0, "")
    assert done.errors.endswith("1 history has the new passphrase.\n")
    assert GUESSABLE not in done.errors
    assert run(state, "show").status == 4
    state = {**state, "HISTORY_PASSPHRASE": "another one"}
    assert len(run(state, "show").out.splitlines()) == 2
    assert contents(history_path(folder(state), "b:1")) == before
    new.write_text("Secret1!\n")
    done = run(state, "passphrase", "--new-passphrase-file", str(new))
    assert done.status == 0 and GUESSABLE in done.errors


def test_the_passphrase_of_a_new_history_is_judged(state: dict[str, str]) -> None:
    port = str(free_port())
    line = ("connect", "127.0.0.1", port, "al", "--history")
    weak = {**state, "HISTORY_PASSPHRASE": "Secret1!", "CLIENT_PASSWORD": "x"}
    done = run_command(*line, env=weak)
    assert done.status == 3 and GUESSABLE in done.errors
    history_of(state, "127.0.0.2", int(port), passphrase="Secret1!")
    there = ("connect", "127.0.0.2", port, "al", "--history")
    assert GUESSABLE not in run_command(*there, env=weak).errors


def test_a_passphrase_that_is_typed_differently_changes_nothing(state: dict[str, str]) -> None:
    path = history_of(state, "a", 1, "x")
    before = contents(path)
    answers = iter(["", "one", "two"])
    with mock.patch.object(asking, "answer", lambda question, hidden=False: next(answers)):
        done = run(state, "passphrase")
    assert done.status == 2 and "differ" in done.errors
    assert contents(path) == before


# Clients that record


@pytest.fixture
def recording(state: dict[str, str], server: Server) -> dict[str, str]:
    """An environment in which a client records on ``server``, with a file that opens fast."""
    history_of(state, server.host, server.port)
    return {**state, "ENABLE_LOCAL_HISTORY": "true"}


def texts(state: dict[str, str]) -> list[str]:
    done = run(state, "export")
    assert (done.status, done.errors) == (0, "")
    return [json.loads(line)["text"] for line in done.out.splitlines()]


def test_two_clients_record_what_they_read_and_write_until_they_are_killed(
    server: Server, recording: dict[str, str]
) -> None:
    """Each in a file of its own: what was shown a moment before the kill is there, all is whole."""
    with (
        Client(server, "alice", "--room", "r", settings=recording) as alice,
        Client(server, "bob", "--room", "r", settings=recording) as bob,
        Client(server, "carol", "--room", "r") as carol,
    ):
        carol.meets("alice", "bob")
        alice.meets("bob", "carol")
        carol.say(*(f"c{number}" for number in range(20)))
        alice.say("/me waves", "/msg bob psst", "/nick al")
        # In whatever order they come.
        alice.wait_for(lambda: {"psst", "waves", "c19"} <= set(alice.texts()))
        bob.wait_for(lambda: {"psst", "waves", "c19"} <= set(bob.texts()))
        carol.say(*(f"c{number}" for number in range(20, 39)))
        alice.next("message", text="c20")
        alice.process.kill()  # in the middle of it
        alice.process.wait()
        carol.say("c39")
        bob.next("message", text="c39")
        bob.say("/history 3 c3", "/history 1")
        shown = bob.next("history")["messages"]
        assert [one["text"] for one in shown][-1] == "c39"
        assert len(bob.next("history")["messages"]) == 1
        carol.say("/history")
        error = carol.next("error", code="no_history")
        assert "--history" in error["text"]
        told = bob.texts()
        told_alice = alice.texts()
        assert bob.finish() == 0 and bob.errors == ""
    found = texts(recording)
    both = [*told, *told_alice]
    lost = {text for text in set(both) if found.count(text) < both.count(text)}
    assert lost <= set(told_alice[-len(lost) :])  # the last ones that alice was shown, if any
    assert set(told) <= set(found) <= set(both)
    private = [line for line in run(recording, "export").out.splitlines() if "psst" in line]
    assert sorted(json.loads(line)["self"] for line in private) == [False, True]


def test_a_client_that_is_killed_while_it_writes_loses_the_end_at_most(
    server: Server, recording: dict[str, str]
) -> None:
    """And the next one goes on in a file of its own."""
    path = history_path(folder(recording), server_name(server.host, server.port))
    with Client(server, "joe", settings=recording) as joe:
        joe.say(*(f"line {number} " + "x" * 2000 for number in range(60)))
        joe.next("message")
        until(lambda: any(file.stat().st_size for file in runs(path)))
        joe.signal(signal.SIGKILL)
        joe.end()
        told = joe.texts()
    with open(only(path), "ab") as torn:
        torn.write(b"61 gAAAAA")
    with Client(server, "dora", settings=recording) as dora:
        dora.say("hello")
        dora.next("message", text="hello")
        assert dora.finish() == 0
        assert dora.all("warning") == []
    assert len(runs(path)) == 2
    done = run(recording, "export")
    found = [json.loads(line)["text"] for line in done.out.splitlines()]
    assert found[-1] == "hello" and 2 <= len(found) <= 61
    sent = [f"line {number} " + "x" * 2000 for number in range(60)]
    assert found[:-1] == sent[: len(found) - 1] and told == sent[: len(told)]
    assert done.errors.endswith("1 record of the history was not written to its end.\n")


def test_what_was_shown_a_moment_before_the_end_is_recorded(
    server: Server, recording: dict[str, str]
) -> None:
    with Client(server, "kim", settings=recording) as kim:
        kim.say(*(str(number) for number in range(40)))
        assert kim.finish() == 0 and len(kim.texts()) == 40
    assert texts(recording) == [str(number) for number in range(40)]


def test_a_wrong_passphrase_ends_before_anything_is_changed_or_dialled(
    server: Server, recording: dict[str, str]
) -> None:
    path = history_path(folder(recording), server_name(server.host, server.port))
    before = contents(path)
    wrong = {**recording, "HISTORY_PASSPHRASE": "wrong"}
    with Client(server, "eve", settings=wrong, joined=False) as eve:
        assert eve.end() == 4
        assert [event["event"] for event in eve.events] == ["error", "disconnected"]
        assert eve.events[0]["code"] == "wrong_passphrase" and eve.errors.count("\n") == 1
        assert eve.errors.startswith("That is not the passphrase")
    assert contents(path) == before


def test_nobody_to_ask_ends_connect_with_2(server: Server, state: dict[str, str]) -> None:
    silent = {**state, "HISTORY_PASSPHRASE": ""}
    with Client(server, "eve", "--history", settings=silent, joined=False) as eve:
        eve.end_input()
        assert eve.end() == 2
        assert "HISTORY_PASSPHRASE, " in eve.errors
        assert "--history-passphrase-file" in eve.errors
    assert not folder(state).exists()


def test_a_place_that_cannot_be_used_is_said_and_the_chat_goes_on(
    server: Server, state: dict[str, str]
) -> None:
    Path(state["XDG_STATE_HOME"]).write_text("a file")
    with Client(server, "fay", "--history", settings=state) as fay:
        assert "cannot be written" in fay.next("warning", code="history")["text"]
        fay.say("hello")
        fay.next("message", text="hello")
        fay.say("/history")
        fay.next("error", code="no_history")
        assert fay.finish() == 0
        assert len(fay.all("warning")) == 1 and fay.errors == ""


def test_without_a_history_nothing_of_it_is_loaded(server: Server, state: dict[str, str]) -> None:
    words = ["connect", server.host, str(server.port), "gus", "--renderer", "json"]
    command = [sys.executable, "-X", "importtime", str(PROGRAM), *words]
    env = {**state, "CLIENT_PASSWORD": PASSWORD}
    with Program(command=command, env=env) as program:
        program.write(b"/history\n")
        program.end_input()
        program.end()
        loaded = re.findall(r"\| +(\S+)$", program.errors, re.MULTILINE)
    assert "client.session" in loaded and "client.input.line_history" in loaded
    assert not [name for name in loaded if name.startswith("client.history")]
    assert not Path(state["XDG_STATE_HOME"]).exists()


def test_only_what_the_history_is_for_imports_it() -> None:
    """At the start of a module, that is; elsewhere it stands behind a condition."""
    for path in [*(ROOT / "cli").rglob("*.py"), *(ROOT / "client").rglob("*.py")]:
        if path.parent.name == "history":
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            assert not re.match(r"(from|import) client\.history", ast.unparse(node)), path


# People


def test_a_new_passphrase_is_asked_for_twice_hidden_and_looked_back_with(
    server: Server, state: dict[str, str]
) -> None:
    asked = {**state, "HISTORY_PASSPHRASE": "", "ENABLE_LOCAL_HISTORY": "yes"}
    with terminal_client(server, "hal", env=asked) as hal:
        hal.sees(r"Passphrase of the history: ")
        hal.type("sésame\n")
        hal.sees(r"The same once more: ")
        hal.type("sésame\n")
        hal.sees("default> ")
        hal.type("hello from me\r")
        hal.sees("│ hello from me")
        hal.type("/history\r")
        hal.sees(r"1 message recorded:\s+│ \d{4}-\d\d-\d\d \d\d:\d\d  hal: hello from me")
        hal.type("/quit\r")
        assert hal.end() == 0
        assert "sésame" not in hal.output.decode()
    with Terminal(["history", "show"], {**asked, "ENABLE_LOCAL_HISTORY": ""}) as shown:
        shown.sees("Passphrase of the history: ")
        shown.type("sésame\n")
        assert shown.end() == 0
        assert "hal: hello from me" in shown.shown()


def test_a_new_passphrase_that_is_typed_differently_begins_no_history(
    state: dict[str, str],
) -> None:
    args = parse(CONNECT, "h 1 al pw --history".split())
    assert args is not None
    asked: list[str] = []

    def answer(question: str, hidden: bool = False) -> str:
        assert hidden
        asked.append(question)
        return str(len(asked))

    with mock.patch.object(asking, "answer", answer):
        with pytest.raises(settings.SettingsError, match="differ"):
            _connect(settings.Sources(args, {**state, "HISTORY_PASSPHRASE": ""}, {}))
    assert asked == ["Passphrase of the history: ", "The same once more: "]
    assert not folder(state).exists()
