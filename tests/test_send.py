"""``send``: what it says by its exit status, and that nothing is sent twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from client import events
from client.programs.delivery import Delivery
from settings.exit_status import ExitStatus
from tests.module_server import (  # noqa: F401
    nick_fixture,
    server_fixture,
    witness_fixture,
)
from tests.processes import (
    DEADLINE,
    PASSWORD,
    PROGRAM,
    Client,
    Program,
    Relay,
    Server,
    free_port,
    stop_process,
)

Place = Server | tuple[str, int]


def visitor(command: str, place: Place, nick: str, *words: str, **env: str) -> Program:
    """``send``, ``tail`` or ``wait``, with all that it needs in the environment."""
    host, port = (place.host, place.port) if isinstance(place, Server) else place
    known = {"CLIENT_SERVER": host, "CLIENT_PORT": str(port), "CLIENT_USERNAME": nick}
    return Program([command, *words], {**known, "CLIENT_PASSWORD": PASSWORD, **env})


def send(place: Place, nick: str, *words: str, text: bytes = b"", **env: str) -> Program:
    """A ``send`` that has ended."""
    with visitor("send", place, nick, *words, **env) as program:
        program.write(text)
        program.end_input()
        program.end()
        return program


def status(program: Program) -> int:
    found = program.process.returncode
    assert found is not None
    return found


# Texts


@pytest.mark.parametrize(
    ("words", "text", "heard"),
    [
        (["two", "words"], b"", ["two words"]),
        (["--", "-5", "and", "more"], b"", ["-5 and more"]),
        (["-"], b"from a pipe\n", ["from a pipe"]),
        ([], b"several\r\nlines\n\n", ["several\nlines"]),
        (["/quit"], b"", ["/quit"]),
        (["--lines"], b"one\n\n/two", ["one", "/two"]),
    ],
)
def test_a_text_is_a_message(
    server: Server, witness: Client, nick: str, words: list[str], text: bytes, heard: list[str]
) -> None:
    program = send(server, nick, *words, text=text)
    assert (status(program), program.told()) == (0, "\n")
    witness.hears(*heard, from_=nick)


def test_a_file_is_read(server: Server, witness: Client, nick: str, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes("\ufeffà la carte\n".encode())
    assert status(send(server, nick, "--file", str(path))) == 0
    witness.hears("à la carte", from_=nick)
    path.write_bytes(b"\xff\xfe")
    for wrong in (path, tmp_path / "none"):
        program = send(server, nick, "--file", str(wrong))
        assert status(program) == 2 and repr(str(wrong)) in program.errors


def test_a_member_alone_gets_it(server: Server, witness: Client, nick: str) -> None:
    with Client(server, f"{nick}-other") as other:
        assert status(send(server, nick, "--to", "WITNESS", "for you")) == 0
        witness.hears("for you", private=True)
        assert status(send(server, nick, "for all")) == 0
        other.hears("for all")


def test_a_room_where_nobody_is_is_named(server: Server, nick: str) -> None:
    program = send(server, nick, "--room", f"room-{nick}", "hello?")
    assert status(program) == 0
    assert program.errors == f"Nobody else is in room-{nick}, so nobody has read that.\n"


def test_no_history_is_kept_whatever_is_set(
    server: Server, witness: Client, nick: str, tmp_path: Path
) -> None:
    """Nor is anybody asked for its passphrase."""
    env: dict[str, Any] = {"ENABLE_LOCAL_HISTORY": "true", "XDG_STATE_HOME": str(tmp_path)}
    program = send(server, nick, "text", **env)
    assert (status(program), program.errors) == (0, "")
    with visitor("tail", server, nick, "--count", "1", **env) as tail:
        witness.wait_for(lambda: len(witness.all("joined", nick=nick)) == 2)
        witness.say("hello")
        assert (tail.end(), tail.errors) == (0, "")
    assert list(tmp_path.iterdir()) == []


# Exit statuses


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ([""], "the text is empty"),
        ([], "the text is empty"),
        (["text", "--lines"], "--lines"),
        (["--lines", "--wait", "x"], "--wait"),
        (["text", "--from", "alice"], "--wait"),
        (["text", "--wait", "("], "regular expression"),
        (["text", "--raw", "--json", "--wait", "x"], "--raw"),
    ],
)
def test_wrong_use_is_2(words: list[str], part: str) -> None:
    program = send(("127.0.0.1", 1), "ci", *words)
    assert status(program) == 2 and part in program.errors


def test_nobody_listening_is_3() -> None:
    port = free_port()
    program = send(("127.0.0.1", port), "ci", "text")
    assert status(program) == 3
    assert program.errors.startswith(f"Nobody listens at 127.0.0.1:{port}")


def test_what_is_refused_is_4(
    server: Server, witness: Client, nick: str, tmp_path: Path
) -> None:
    program = send(server, nick, "--to", "nobody", "text")
    assert status(program) == 4
    assert program.errors == "Nobody in default is called nobody: nothing was sent.\n"
    for length in (20_000, 200_000):
        path = tmp_path / "long"
        path.write_text("x" * length)
        program = send(server, nick, "--file", str(path))
        assert status(program) == 4 and "longer than this server takes" in program.errors
    program = send(server, nick, "text", CLIENT_PASSWORD="guess")
    assert status(program) == 4 and "password" in program.errors
    assert witness.texts() == []


def test_a_nickname_that_stays_in_use_is_4(server: Server, witness: Client) -> None:
    for words in (["--timeout", "5"], ["--no-wait"]):
        program = send(server, witness.nick, *words, "text")
        assert status(program) == 4 and "has that nickname" in program.errors


def test_no_answer_to_what_went_out_is_5() -> None:
    """And it is said that nobody knows."""
    with Server() as server, Client(server, "witness") as witness:
        with visitor("send", server, "ci", "--lines", "--timeout", "5") as program:
            witness.next("joined", nick="ci")
            program.write(b"first\n")
            witness.next("message", text="first")
            # In a room's next round the one before is over: the program has its answer.
            witness.say("seen")
            witness.next("message", text="seen")
            stop_process(server)
            program.write(b"second\n")
            program.end_input()
            assert program.end() == 5
            assert "not known whether the message has arrived" in program.errors
            server.signal(signal.SIGCONT)


def test_time_that_is_over_is_124(server: Server, witness: Client, nick: str) -> None:
    program = send(server, nick, "question", "--wait", "answer", "--timeout", "5")
    assert (status(program), program.errors) == (124, "No answer came in time.\n")
    witness.hears("question", from_=nick)


def test_a_signal_to_go_is_130(server: Server, witness: Client, nick: str) -> None:
    with visitor("send", server, nick, "question", "--wait", "answer") as program:
        witness.next("message", text="question")
        program.signal(signal.SIGTERM)
        assert program.end() == 130
        witness.next("left", nick=nick)
    with visitor("send", server, nick, "--lines") as program:
        program.write(b"line\n")
        witness.next("message", text="line")
        program.signal(signal.SIGTERM)  # the input goes on
        assert program.end() == 130


# Waiting, and coming back


def test_several_under_one_nickname_go_one_after_the_other(
    server: Server, witness: Client, nick: str
) -> None:
    programs = [visitor("send", server, nick, str(number)) for number in range(3)]
    try:
        assert [program.end() for program in programs] == [0, 0, 0]
        witness.wait_for(lambda: len(witness.texts(from_=nick)) == 3)
        assert sorted(witness.texts(from_=nick)) == ["0", "1", "2"]
    finally:
        for program in programs:
            program.kill()


def test_its_own_ghost_is_waited_for() -> None:
    settings = {"HEARTBEAT_INTERVAL": "0.5", "HEARTBEAT_TIMEOUT": "2"}
    with Server(settings) as server, Client(server, "witness") as witness:
        with Client(server, "ci") as before:
            before.process.kill()
            assert status(send(server, "ci", "text")) == 0
        witness.hears("text", from_="ci")


def test_a_ghost_that_stays_longer_than_there_is_time_is_4() -> None:
    with Server() as server, Client(server, "ci") as before:
        before.process.kill()
        program = send(server, "ci", "text", "--timeout", "10")
        assert status(program) == 4 and "has lost the connection" in program.errors


def test_lines_beyond_the_limit_wait() -> None:
    settings = {"MAX_MESSAGES_PER_WINDOW": "2", "RATE_LIMIT_WINDOW": "6"}
    with Server(settings) as server, Client(server, "witness") as witness:
        program = send(server, "ci", "--lines", "--timeout", "5", text=b"1\n2\n3\n")
        assert (status(program), program.errors) == (0, "")
        witness.hears("1", "2", "3")


def test_after_a_lost_connection_each_line_is_there_once(server: Server, witness: Client) -> None:
    with Relay(server.port) as relay:
        with visitor("send", relay.address, "lines", "--lines") as program:
            witness.next("joined", nick="lines")
            expected = []
            for round_ in range(3):
                program.write(f"before {round_}\n".encode())
                witness.next("message", text=f"before {round_}")
                relay.cut()
                program.write(f"after {round_}\n".encode())
                expected += [f"before {round_}", f"after {round_}"]
            program.end_input()
            assert program.end() == 0
    witness.hears(*expected, from_="lines")


# What becomes of a line, without a server


@pytest.fixture(name="delivery")
def delivery_fixture() -> Iterator[Delivery]:
    yield Delivery("default", None)


def handed_back(delivery: Delivery, reason: str, out: bool = False) -> str:
    """A line is posted and handed back for ``reason``; ``out``: after it was sent."""
    line = delivery.line("text")
    line.number, line.encoded = 1, (b"{}",) if out else ()
    delivery.posted(line)
    assert delivery.pending
    assert delivery.take(events.Settled(1)) == ""
    said = delivery.take(events.NotSent("default", "text", reason))
    assert not delivery.pending
    return said


@pytest.mark.parametrize(
    ("reason", "out", "ended", "expected"),
    [
        ("disconnected", False, ExitStatus.LEFT, ExitStatus.LOST),
        ("disconnected", False, ExitStatus.TIMED_OUT, ExitStatus.TIMED_OUT),
        ("disconnected", False, ExitStatus.UNREACHABLE, ExitStatus.UNREACHABLE),
        ("disconnected", True, ExitStatus.REFUSED, ExitStatus.LOST),
        ("timed_out", True, ExitStatus.TIMED_OUT, ExitStatus.LOST),
        ("repeated", True, ExitStatus.LEFT, ExitStatus.LOST),
        ("unverified", False, ExitStatus.LEFT, ExitStatus.REFUSED),
        ("too_long", False, ExitStatus.LOST, ExitStatus.LOST),
    ],
)
def test_why_a_line_came_back_decides_the_status(
    delivery: Delivery, reason: str, out: bool, ended: ExitStatus, expected: ExitStatus
) -> None:
    said = handed_back(delivery, reason, out)
    assert bool(said) == (reason in ("unverified", "too_long"))
    found, sentences = delivery.verdict(ended)
    assert found == expected
    known = ["not known" in sentence for sentence in sentences]
    assert known == ([True] if expected is ExitStatus.LOST and out else known[:1])


def test_only_what_never_went_out_goes_again(delivery: Delivery) -> None:
    handed_back(delivery, "disconnected", out=True)
    assert delivery.again() == []
    handed_back(delivery, "disconnected")
    assert [line.text for line in delivery.again()] == ["text"]
    assert delivery.verdict(ExitStatus.LEFT)[0] == ExitStatus.LOST  # the other one


# As in scripts


def shell(server: Server, script: str, **env: str) -> subprocess.Popen[str]:
    """A shell with nothing in its environment but what a crontab would give it."""
    known = {
        "CLIENT_SERVER": server.host, "CLIENT_PORT": str(server.port),
        "CLIENT_PASSWORD": PASSWORD, "CLIENT_USERNAME": "cron", "CMD_CHAT_LANGUAGE": "en",
        "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    line = script.replace("cmd-chat", f"{sys.executable} {PROGRAM}")
    return subprocess.Popen(
        ["/bin/sh", "-c", line], env={**known, **env}, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_a_line_of_a_crontab(server: Server, witness: Client) -> None:
    """It says nothing, so nobody gets a mail."""
    with shell(server, "echo backup done | cmd-chat send") as cron:
        assert cron.communicate(timeout=DEADLINE) == ("", "")
    assert cron.returncode == 0
    witness.hears("backup done", from_="cron")


_SCRIPT = """
answer=$(cmd-chat send deploy? --wait '^(yes|no)$' --from $ALICE --raw) || exit 7
test "$answer" = yes && echo deployed
"""


@pytest.mark.parametrize(("answer", "expected"), [("yes", (0, "deployed\n")), ("no", (1, ""))])
def test_a_script_asks_and_goes_on_as_it_is_answered(
    server: Server, nick: str, answer: str, expected: tuple[int, str]
) -> None:
    room = f"room-{nick}"
    with (
        Client(server, f"alice-{nick}", "--room", room) as alice,
        Client(server, f"mallory-{nick}", "--room", room) as mallory,
        shell(server, _SCRIPT, CLIENT_ROOM=room, ALICE=f"alice-{nick}") as script,
    ):
        for person in (alice, mallory):
            person.next("message", text="deploy?")
        mallory.say("yes")
        alice.next("message", text="yes")
        alice.say("let me see", answer)
        out, errors = script.communicate(timeout=DEADLINE)
        assert (script.returncode, out) == expected and errors == ""
