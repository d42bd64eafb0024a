"""``connect --on-message``: what a program gets, what becomes of its output, and how it ends."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import selectors
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from client import events
from client.bots import outcome
from client.bots.posix import PosixRun
from client.bots.responder import QUEUE_MESSAGES, Responder
from settings import SettingsError, Sources, client_settings, without_settings
from settings.table import TABLE
from settings.types import command
from tests.module_server import server_fixture  # noqa: F401
from tests.processes import DEADLINE, PASSWORD, Client, Program, Server, Terminal, run_client

_ROOMS = count(1)

# Does what the text of a message says; ``hold PATH`` waits until somebody reads that FIFO.
BOT = """
import json, os, signal, subprocess, sys
given = sys.stdin.read()
event = json.loads(given)
word, _, rest = event["text"].partition(" ")
if word == "echo":
    print(rest)
elif word == "given":
    print(given, end="")
elif word == "env":
    print(json.dumps(dict(os.environ)))
elif word == "place":
    fds = [int(fd) for fd in os.listdir("/proc/self/fd")]
    errors = os.readlink("/proc/self/fd/2")
    print(len(fds) - 1, errors, os.getsid(0) == os.getpgrp() == os.getpid(), os.getppid())
elif word == "status":
    print("half an answer", flush=True)
    sys.exit(int(rest))
elif word == "signal":
    os.kill(os.getpid(), int(rest))
elif word == "bytes":
    sys.stdout.buffer.write(bytes.fromhex(rest))
elif word == "many":
    os.write(1, b"x" * int(rest))
elif word == "flood":
    while True:
        os.write(1, b"x" * 10000)
elif word == "error":
    print("a secret of the program's", file=sys.stderr)
elif word == "hold":
    open(rest, "w").close()
    print("released")
elif word in ("child", "family"):  # a grandchild that does not end, and has the FIFO open
    fifo = os.open(rest, os.O_WRONLY)
    subprocess.Popen(["sleep", "1000"], pass_fds=[fifo])
    os.write(fifo, b"x")
    if word == "family":
        signal.pause()
    print("left one behind")
"""


@pytest.fixture(name="room")
def room_fixture() -> str:
    """A room of the test's own."""
    return f"bots-{next(_ROOMS)}"


@pytest.fixture(name="program")
def program_fixture(tmp_path: Path) -> str:
    """The command line of a program that does what it is told."""
    path = tmp_path / "bot.py"
    path.write_text(BOT)
    return shlex.join([sys.executable, "-I", "-S", str(path)])


@pytest.fixture(name="pair")
def pair_fixture(server: Server, room: str, program: str) -> Iterator[tuple[Client, Client]]:
    """Somebody, and a client that answers by the program."""
    names = [f"{name}-{room}" for name in ("ann", "bot")]  # their places outlive them
    with (
        Client(server, names[0], "--room", room) as ann,
        Client(server, names[1], "--room", room, "--on-message", program) as bot,
    ):
        ann.meets(bot.nick)
        yield ann, bot


class Fifo:
    """The reading end of a FIFO: tells that a program has it open, and when none has any more."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "fifo")
        os.mkfifo(self.path)
        self._fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    def close(self) -> None:
        os.close(self._fd)

    def _read(self) -> bytes:
        assert select.select([self._fd], [], [], DEADLINE)[0], "nobody has it open, or all have"
        return os.read(self._fd, 1)

    def opens(self) -> None:
        """Wait until a program has it open."""
        assert self._read() == b"x"

    def closes(self) -> None:
        """Wait until none has."""
        assert self._read() == b""


@pytest.fixture(name="fifo")
def fifo_fixture(tmp_path: Path) -> Iterator[Fifo]:
    fifo = Fifo(tmp_path)
    yield fifo
    fifo.close()


def opened(path: str) -> None:
    """Wait until a program has opened this FIFO for writing."""
    with open(path, "rb"):
        pass


# What it gets, and where its output goes


def test_an_answer_goes_to_where_the_message_came_from(
    server: Server, room: str, pair: tuple[Client, Client]
) -> None:
    ann, bot = pair
    with Client(server, f"eve-{room}", "--room", room) as eve:
        for client in pair:
            client.meets(eve.nick)
        ann.say("echo for all", f"/msg {bot.nick} echo for ann")
        one = ann.next("message", text="for all")
        assert (one["room"], one["from"], one["bot"], one["private"]) == (
            room, bot.nick, True, False,
        )  # fmt: skip
        two = ann.next("message", text="for ann")
        assert (two["private"], two["to"], two["bot"]) == (True, ann.nick, True)
        eve.next("message", text="for all")
        eve.say("that was it")
        ann.next("message", text="that was it")
        eve.next("message", self_=True)
        assert eve.texts() == ["echo for all", "for all", "that was it"]
    assert bot.next("message", self_=True, private=True)["to"] == ann.nick


def test_it_gets_the_event_and_the_end_of_its_input(pair: tuple[Client, Client]) -> None:
    ann, bot = pair
    ann.say("given")
    given = json.loads(ann.next("message", from_=bot.nick)["text"])
    shown = bot.next("message", text="given")
    assert {**given, "time": ""} == {**shown, "time": ""}


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("echo /quit", "/quit"),
        ("echo //x", "//x"),
        ("echo /msg bot x", "/msg bot x"),
        ("bytes 610d0a62090a0a", "a\nb\t"),
        ("bytes 1b5b324a", "\x1b[2J"),
        ("many 10240", "x" * 10240),
    ],
)
def test_what_it_prints_is_a_text_and_never_a_command(
    pair: tuple[Client, Client], said: str, answer: str
) -> None:
    ann, bot = pair
    ann.say(said)
    assert ann.next("message", from_=bot.nick)["text"] == answer


@pytest.mark.parametrize("said", ["nothing", "echo", "bytes 0a0d0a", "bytes 20"])
def test_who_prints_nothing_says_nothing(pair: tuple[Client, Client], said: str) -> None:
    ann, bot = pair
    ann.say(said, "echo then")
    assert ann.next("message", from_=bot.nick)["text"] == "then"
    assert not bot.all("error")


def test_no_shell_reads_it_and_nothing_is_put_in(server: Server, room: str) -> None:
    words = "printf '%s.' \"a  b\" $HOME {} {text} %TEXT% ; | '`id`'"
    with (
        Client(server, f"ann-{room}", "--room", room) as ann,
        Client(server, f"bot-{room}", "--room", room, "--on-message", words) as bot,
    ):
        ann.meets(bot.nick)
        ann.say("x; touch /tmp/y")
        answer = ann.next("message", from_=bot.nick)["text"]
    assert answer == "a  b.$HOME.{}.{text}.%TEXT%.;.|.`id`."


def test_no_setting_is_in_its_environment(
    server: Server, room: str, program: str, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    hidden = {
        "CLIENT_PASSWORD": "", "CLIENT_PASSWORD_FILE": str(tmp_path / "password"),
        "CLIENT_ROOM_SECRET": "hidden", "HISTORY_PASSPHRASE": "hidden", "ADMIN_PASSWORD": "hidden",
        "IDENTITY_PASSPHRASE_FILE": "hidden", "CLIENT_PASWORD": "hidden",
    }  # fmt: skip
    options = ("--room", room, "--on-message", program)
    with (
        Client(server, f"ann-{room}", "--room", room, settings={"CLIENT_ROOM_SECRET": "hidden"})
        as ann,
        Client(server, f"bot-{room}", *options, settings={**hidden, "MINE": "passed on"}) as bot,
    ):
        ann.meets(bot.nick)
        ann.say("env")
        found = json.loads(ann.next("message", from_=bot.nick)["text"])
    assert found["MINE"] == "passed on" and found["PATH"] == os.environ["PATH"]
    assert not {row.name for row in TABLE} & found.keys() and "hidden" not in found.values()


def test_it_has_three_descriptors_and_a_session_of_its_own(
    server: Server, room: str, program: str
) -> None:
    """Whatever the client itself has inherited."""
    leak = ["sh", "-c", 'exec 9< /dev/null; exec "$@"', "sh"]
    options = ("--room", room, "--on-message", program)
    with (
        Client(server, f"ann-{room}", "--room", room) as ann,
        Client(server, f"bot-{room}", *options, before=leak) as bot,
    ):
        ann.meets(bot.nick)
        ann.say("place")
        answer = ann.next("message", from_=bot.nick)["text"]
        assert answer == f"3 /dev/null True {bot.process.pid}"


def test_an_answer_in_private_is_for_the_sender_under_whatever_name(
    server: Server, room: str, pair: tuple[Client, Client], fifo: Fifo, tmp_path: Path
) -> None:
    ann, bot = pair
    path = str(tmp_path / "hold")
    os.mkfifo(path)
    ann.say(f"/msg {bot.nick} hold {path}")
    ann.next("message", private=True)
    ann.say(f"/nick anna-{room}")
    bot.next("renamed")
    with Client(server, ann.nick, "--room", room) as other:
        bot.next("joined", nick=ann.nick)
        opened(path)
        assert ann.next("message", from_=bot.nick)["to"] == f"anna-{room}"
        ann.say(f"/msg {bot.nick} hold {path}")
        bot.next("message", from_=f"anna-{room}")
        assert ann.finish() == 0
        bot.next("left", nick=f"anna-{room}")
        with Client(server, f"anna-{room}", "--room", room) as again:
            bot.next("joined", nick=f"anna-{room}")
            opened(path)
            refused = bot.next("not_sent", text="released")
            assert refused["reason"] == "gone"
            for client in (other, again):
                client.say("echo over")
                client.next("message", text="over")
                assert not client.all("message", text="released")


def test_an_answer_does_not_follow_to_another_room(
    pair: tuple[Client, Client], room: str, tmp_path: Path
) -> None:
    """Whichever is shown by then; where that room was left, it goes nowhere."""
    ann, bot = pair
    path = str(tmp_path / "hold")
    os.mkfifo(path)
    for deeds, last in ([f"/join other-{room}"], "room"), ([f"/leave {room}"], "room_left"):
        ann.say(f"hold {path}")
        bot.next("message", text=f"hold {path}")
        bot.say(*deeds)
        bot.next(last)
        opened(path)
        if last == "room":
            assert ann.next("message", text="released")["room"] == room
    assert bot.next("not_sent", text="released")["reason"] == "left_room"


def test_a_private_answer_goes_through_a_room_that_is_shared(
    pair: tuple[Client, Client], room: str
) -> None:
    """Though another one is shown."""
    ann, bot = pair
    bot.say(f"/join other-{room}")
    bot.next("room")
    ann.say(f"/msg {bot.nick} echo alone")
    answer = ann.next("message", text="alone")
    assert (answer["room"], answer["private"], answer["bot"]) == (room, True, True)


# For whom it is run


def test_two_programs_do_not_answer_each_other(
    server: Server, room: str, pair: tuple[Client, Client]
) -> None:
    """Nor does one do what its own client says."""
    ann, bot = pair
    options = ("--room", room, "--on-message", "printf 'echo again'")
    with Client(server, f"cue-{room}", *options) as cue:
        for client in pair:
            client.meets(cue.nick)
        ann.say("echo once")
        cue.wait_for(lambda: len(cue.texts(from_=bot.nick)) == 1)
        bot.wait_for(lambda: len(bot.texts(from_=cue.nick)) == 1)
        bot.say("echo of its own")  # a person's, and so the other program's business
        bot.wait_for(lambda: len(bot.texts(from_=cue.nick)) == 2)
        ann.say("echo last")
        bot.next("message", text="last", self_=True)
        assert bot.texts(self_=True, bot=True) == ["once", "last"]
        cue.wait_for(lambda: len(cue.texts(self_=True)) == 3)
        ann.say("nothing")
        ann.wait_for(lambda: len(ann.texts(from_=cue.nick)) == 4)
        cue.wait_for(lambda: len(cue.texts(from_=bot.nick)) == 3)


def test_one_that_is_asked_to_answers_programs(
    server: Server, room: str, pair: tuple[Client, Client]
) -> None:
    ann, bot = pair
    options = ("--room", room, "--on-message", "cat", "--on-bots")
    with Client(server, f"cat-{room}", *options) as cat:
        for client in pair:
            client.meets(cat.nick)
        bot.say("echo of its own")
        ann.say("echo once")
        wanted = [("echo of its own", False), ("echo once", False), ("once", True)]
        heard = [json.loads(ann.next("message", from_=cat.nick)["text"]) for _ in wanted]
        assert sorted((event["text"], event["bot"]) for event in heard) == wanted
        ann.say("echo last")
        bot.next("message", text="last")
        assert bot.texts(self_=True, bot=True) == ["once", "last"]


def test_messages_are_answered_in_order_one_at_a_time(
    pair: tuple[Client, Client], fifo: Fifo
) -> None:
    ann, bot = pair
    ann.say(f"child {fifo.path}", *(f"echo {number}" for number in range(5)))
    for _ in range(6):
        ann.next("message", from_=bot.nick)
    answers = ["left one behind", "0", "1", "2", "3", "4"]
    assert ann.texts(from_=bot.nick) == answers
    fifo.opens()
    fifo.closes()  # the first one's group ended with it


# What goes wrong is an event


@pytest.mark.parametrize(
    ("said", "code", "part"),
    [
        ("status 3", "program_failed", "status 3"),
        ("signal 15", "program_failed", "signal 15"),
        ("bytes ff", "program_not_text", "UTF-8"),
        ("many 10241", "program_too_long", "10240 bytes"),
        ("flood", "program_too_long", "10240 bytes"),
    ],
)
def test_a_failure_is_an_event_and_no_answer(
    pair: tuple[Client, Client], said: str, code: str, part: str
) -> None:
    ann, bot = pair
    ann.say(said, "error", "echo next")
    error = bot.next("error")
    assert error["code"] == code and part in error["text"]
    assert ann.next("message", from_=bot.nick)["text"] == "next"
    assert len(bot.all("error")) == 1


def test_after_ten_seconds_it_is_ended_with_all_that_it_has_started(
    pair: tuple[Client, Client], fifo: Fifo
) -> None:
    ann, bot = pair
    ann.say(f"family {fifo.path}", "echo next")
    bot.next("message", text=f"family {fifo.path}")
    error = bot.next("error")
    assert error["code"] == "program_timeout" and "10 seconds" in error["text"]
    fifo.opens()
    fifo.closes()
    assert ann.next("message", from_=bot.nick)["text"] == "next"


def test_one_that_cannot_be_started_is_said(server: Server, room: str, tmp_path: Path) -> None:
    path = tmp_path / "bot"
    path.write_text("#!/bin/sh\ncat\n")
    path.chmod(0o755)
    with (
        Client(server, f"ann-{room}", "--room", room) as ann,
        Client(server, f"bot-{room}", "--room", room, "--on-message", str(path)) as bot,
    ):
        ann.meets(bot.nick)
        path.unlink()
        ann.say("hello")
        error = bot.next("error")
        assert error["code"] == "program_not_started" and "No such file" in error["text"]


# How it ends


@pytest.mark.parametrize("how", ["quit", "panic", "SIGTERM", "SIGINT twice", "lost"])
def test_it_ends_with_the_client(
    server: Server, room: str, program: str, tmp_path: Path, how: str
) -> None:
    fifo = Fifo(tmp_path)
    with contextlib.closing(fifo), contextlib.ExitStack() as stack:
        ann = stack.enter_context(Client(server, f"ann-{room}", "--room", room))
        bot = stack.enter_context(
            Client(server, f"bot-{room}", "--room", room, "--on-message", program)
        )
        ann.meets(bot.nick)
        ann.say(f"family {fifo.path}")
        fifo.opens()
        if how in ("quit", "panic"):
            bot.say(f"/{how}")
        elif how == "lost":
            bot.close_output()
            ann.say("there is nobody to read this")
        else:
            bot.signal(signal.SIGTERM if how == "SIGTERM" else signal.SIGINT)
            if how == "SIGINT twice":
                bot.signal(signal.SIGINT)
        assert bot.end() in (0, *[130] * (how == "SIGINT twice"))
        fifo.closes()


# Without a client


def message(text: str, **other: Any) -> events.Message:
    given = {"mine": False, "private": False, **other}
    return events.Message("default", "bob", text, 1, verified=False, kind="text", **given)


class Running:
    """A ``Responder`` that runs ``words``; ``hold``: each run waits for ``go_on``, just before it
    is started."""

    def __init__(self, words: list[str], hold: bool = False) -> None:
        self.shown: list[events.Event] = []
        self.posted: list[str] = []
        self._asked, self._on = threading.Semaphore(0), threading.Semaphore(0)
        self._hold = hold
        self.responder = Responder(
            words, os.environ, False, lambda _message, text: self.posted.append(text),
            self._most, lambda: datetime.now().astimezone(),
        )  # fmt: skip
        self.take = self.responder.before(self.shown.append)
        self.responder.start()

    def _most(self) -> int:
        self._asked.release()
        if self._hold:
            self._on.acquire()
        return 1000

    def starts(self) -> None:
        """Wait until the thread is about to start a run."""
        assert self._asked.acquire(timeout=DEADLINE)

    def go_on(self) -> None:
        """Let it."""
        self._on.release()


def test_what_has_no_room_is_said_and_not_given_to_it() -> None:
    made = Running(["cat"], hold=True)
    made.take(message("first"))
    made.starts()
    for number in range(QUEUE_MESSAGES + 2):
        made.take(message(str(number)))
    busy = [event for event in made.shown if isinstance(event, events.Error)]
    assert [event.code for event in busy] == ["program_busy"] * 2
    assert made.shown[-2:] == [message(str(QUEUE_MESSAGES + 1)), busy[-1]]
    for _ in range(QUEUE_MESSAGES):
        made.go_on()
        made.starts()
    stopping = threading.Thread(target=made.responder.stop, args=[DEADLINE])
    stopping.start()
    made.go_on()
    stopping.join()
    texts = [json.loads(text)["text"] for text in made.posted]
    assert texts[:QUEUE_MESSAGES] == ["first", *map(str, range(QUEUE_MESSAGES - 1))]


def test_where_no_descriptor_is_left_for_one_the_next_is_run_all_the_same() -> None:
    made = Running(["cat"], hold=True)
    made.take(message("first"))
    made.starts()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selectors, "DefaultSelector", _none_left)
        made.go_on()
        made.take(message("second"))
        made.starts()
    (error,) = (event for event in made.shown if isinstance(event, events.Error))
    assert error.code == "program_not_started" and os.strerror(errno.EMFILE) in error.text
    made.go_on()
    made.take(message("third"))
    made.starts()
    assert [json.loads(text)["text"] for text in made.posted] == ["second"]
    stopping = threading.Thread(target=made.responder.stop, args=[DEADLINE])
    stopping.start()
    made.go_on()
    stopping.join()


def _none_left() -> None:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_what_is_just_being_started_is_ended_too(tmp_path: Path) -> None:
    """Nobody knows of it yet when the client ends."""
    fifo = Fifo(tmp_path)
    script = f"exec > {fifo.path}; printf x; exec sleep 1000"
    with contextlib.closing(fifo):
        made = Running(["sh", "-c", script], hold=True)
        made.take(message("one"))
        made.starts()
        stopping = threading.Thread(target=made.responder.stop, args=[outcome.SECONDS / 2])
        stopping.start()
        while not made.responder._stopped:
            os.sched_yield()
        made.go_on()
        stopping.join()
        assert not made.responder._thread.is_alive()
        assert made.shown == [message("one")] and made.posted == []
        assert made.responder._running is None


def test_one_that_takes_too_long_is_ended_whatever_it_does(tmp_path: Path) -> None:
    """It neither reads nor heeds a signal; its child holds its output open."""
    fifo = Fifo(tmp_path)
    script = f"trap '' TERM INT HUP; exec 5> {fifo.path}; sleep 1000 & printf x >&5; wait"
    with contextlib.closing(fifo):
        run = PosixRun(["sh", "-c", script], os.environ)
        fifo.opens()
        assert run.converse(b"y" * 1_000_000, 100, 0.1) == (b"", "timeout")
        assert run.finish() == -signal.SIGKILL
        fifo.closes()


@pytest.mark.parametrize("lacking", [[], ["pidfd_open"], ["pidfd_open", "waitid"]])
def test_its_end_is_noticed_whatever_the_system_tells(
    monkeypatch: pytest.MonkeyPatch, lacking: list[str]
) -> None:
    for name in lacking:
        monkeypatch.delattr(os, name)
    run = PosixRun(["sh", "-c", "cat; sleep 1000 & exit 3"], os.environ)
    assert run.converse(b"given", 100, DEADLINE) == (b"given", "")
    assert run.finish() == 3


def test_what_it_does_not_read_stops_nobody() -> None:
    run = PosixRun(["echo", "done"], os.environ)
    assert run.converse(b"y" * 1_000_000, 100, DEADLINE) == (b"done\n", "")
    assert run.finish() == 0


def test_as_much_as_a_text_may_have_and_no_more_is_read() -> None:
    run = PosixRun(["yes"], os.environ)
    output, fault = run.converse(b"", 100_000, DEADLINE)
    assert (len(output), fault) == (100_001, "too_long")
    run.finish()


# By whom it can be asked for


CLIENT = {"CLIENT_SERVER": "localhost", "CLIENT_USERNAME": "bot", "CLIENT_PASSWORD": "hunter2"}


def test_it_is_split_as_words_and_means_listen() -> None:
    found = client_settings(Sources({"--on-message": "'./a b' -x ''"}, CLIENT, {}))
    assert (found.on_message, found.listen, found.on_bots) == (("./a b", "-x", ""), True, False)
    assert "a b" not in repr(found)  # an argument may be a secret
    plain = client_settings(Sources({}, CLIENT, {}))
    assert (plain.on_message, plain.listen) == (None, False)


@pytest.mark.parametrize("text", ["", " ", "''", "'open", "a \\"])
def test_what_is_no_command_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="each quote closed"):
        command(text)
    with pytest.raises(SettingsError):
        client_settings(Sources({"--on-message": text}, CLIENT, {}))


@pytest.mark.parametrize("name", ["--on-message", "ON_MESSAGE", "CLIENT_ON_MESSAGE", "on-message"])
def test_no_variable_and_no_file_can_ask_for_it(name: str) -> None:
    for place in ("environ", "dotenv", "answers"):
        given: dict[str, Any] = {"environ": CLIENT, "dotenv": {}, "answers": {}}
        given[place] = {**given[place], name: "touch /tmp/never", "--on-bots": "true"}
        found = client_settings(Sources({}, **given))
        assert found.on_message is None and not found.on_bots and not found.listen


@pytest.mark.parametrize("key", ["on-message", "on-bots"])
def test_no_entry_of_the_servers_file_can(tmp_path: Path, key: str) -> None:
    folder = tmp_path / "cmd-chat"
    folder.mkdir()
    (folder / "servers.ini").write_text(f"[work]\nserver = localhost\n{key} = cat\n")
    environ = {**CLIENT, "XDG_CONFIG_HOME": str(tmp_path)}
    with pytest.raises(SettingsError, match="there is no such setting"):
        client_settings(Sources({"CLIENT_SERVER": "work"}, environ, {}))


def test_it_has_no_row_among_the_settings() -> None:
    assert not [row.name for row in TABLE if row.flag in ("--on-message", "--on-bots")]


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--on-message", "no-such-program-anywhere -x"], "'no-such-program-anywhere'"),
        (["--on-message", "/"], "'/'"),
        (["--on-message", "'open"], "each quote closed"),
        (["--on-message="], "each quote closed"),
        (["--on-bots"], "--on-message"),
    ],
)
def test_wrong_use_is_said_before_anything_is_done(options: list[str], part: str) -> None:
    client = run_client(("127.0.0.1", 1), *options)
    assert client.process.returncode == 2 and part in client.errors


def test_the_environment_of_a_program_has_none_of_the_settings() -> None:
    every = {row.name: "hidden" for row in TABLE}
    odd = {"client_password": "hidden", "CLIENT_PASSWORD_FIL": "hidden", "CLIENT_TOKENS": "hidden"}
    kept = {"PATH": "/bin", "HOME": "/home/bob", "LANG": "C", "HTTPS_PROXY": "http://proxy"}
    assert without_settings({**every, **odd, **kept}) == kept


# Where people look on


def test_a_person_may_watch_and_talk_meanwhile(server: Server, room: str, program: str) -> None:
    words = ["connect", server.host, str(server.port), f"bot-{room}", "--room", room]
    with (
        Client(server, f"ann-{room}", "--room", room) as ann,
        Terminal([*words, "--on-message", program], {"CLIENT_PASSWORD": PASSWORD}) as bot,
    ):
        ann.meets(f"bot-{room}")
        ann.say("echo by the program")
        assert ann.next("message", text="by the program")["bot"]
        bot.sees(r"echo by the program\s(.|\n)*by the program\s")
        bot.type("by hand\r")
        assert not ann.next("message", text="by hand")["bot"]
        ann.say("status 7")
        bot.sees("failed with exit status 7")
        bot.type("/quit\r")
        assert bot.end() == 0


def test_plain_lines_have_it_and_a_history_keeps_it(
    server: Server, room: str, program: str, tmp_path: Path
) -> None:
    passphrase = {"HISTORY_PASSPHRASE": "correct horse battery staple"}
    words = ["connect", server.host, str(server.port), f"bot-{room}", "--room", room]
    options = ["--renderer", "minimal", "--history", "--on-message", program]
    env = {"CLIENT_PASSWORD": PASSWORD, "XDG_STATE_HOME": str(tmp_path), **passphrase}
    with (
        Client(server, f"ann-{room}", "--room", room) as ann,
        Program([*words, *options], env) as bot,
    ):
        ann.meets(f"bot-{room}")
        ann.say("echo answer", "status 7")
        assert ann.next("message", text="answer")["bot"]
        bot.wait_for(lambda: b"failed with exit status 7" in bot.out)
        assert f"bot-{room}: answer".encode() in bot.out
        bot.write(b"/history\n")
        bot.wait_for(lambda: bot.out.count(b": answer") == 2)
        bot.signal(signal.SIGTERM)
        assert bot.end() == 0
