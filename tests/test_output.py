"""Output that cannot be written, and a reader that has gone: what is said, what is still sent."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from client.events import Notice
from client.input.pipes import PipeInput
from client.output import streams
from client.output.line_screen import LineScreen
from client.output.lines import Minimal
from client.output.screen import Screen
from tests.machine import needs
from tests.module_server import (  # noqa: F401
    nick_fixture,
    server_fixture,
    witness_fixture,
)
from tests.processes import DEADLINE, PASSWORD, PROGRAM, Client, Program, Server, environment
from tests.test_tokens import form

FULL = Path("/dev/full")
full = needs("/dev/full", beside="test_a_file_that_cannot_grow")


class Full(io.StringIO):
    """A stream on a full disk, on a terminal that is gone, or without a reader."""

    def __init__(self, error: Exception, terminal: bool = False) -> None:
        super().__init__()
        self._error, self._terminal = error, terminal

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str) -> int:
        raise self._error


@pytest.mark.parametrize(
    ("error", "terminal", "why"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), False, "No space left on device"),
        (OSError(errno.EIO, "Input/output error"), False, "Input/output error"),
        (OSError(errno.EBADF, "Bad file descriptor"), False, "Bad file descriptor"),
        (OSError(errno.EIO, "Input/output error"), True, ""),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), False, ""),
        (ConnectionResetError(errno.ECONNRESET, "reset"), False, ""),
        (ValueError("I/O operation on closed file"), False, "it is closed"),
    ],
)
def test_a_full_disk_is_no_reader_that_has_gone(
    error: Exception, terminal: bool, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(error, OSError | ValueError)
    stream = Full(error, terminal)
    screen: Screen = LineScreen(Minimal(), stream)
    screen.start()
    screen.show(Notice("x"))
    screen.close()
    assert screen.gone and screen.unwritable == why
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(streams.Unwritable if why else BrokenPipeError):
        streams.write("x")


# Commands


def line_of(*words: str, redirection: str) -> list[str]:
    """A command line whose standard streams a shell has redirected."""
    script = f'exec "$@" {redirection}'
    return ["/bin/sh", "-c", script, "sh", sys.executable, str(PROGRAM), *words]


def ends_with_6(program: Program) -> str:
    assert program.end() == 6, program.told()
    assert "Traceback" not in program.told() and "Exception ignored" not in program.errors
    (sentence,) = program.errors.splitlines()
    assert "Standard output cannot be written" in sentence
    return sentence


WAYS = [pytest.param(">/dev/full", "No space left", marks=full), (">&-", "it is closed")]


@pytest.mark.parametrize(("way", "why"), WAYS)
@pytest.mark.parametrize("words", [["--help"], ["--version"], ["serve", "--help"]])
def test_help_that_cannot_be_written(way: str, why: str, words: list[str]) -> None:
    with Program(command=line_of(*words, redirection=way)) as program:
        assert why in ends_with_6(program)


@pytest.mark.parametrize(("way", "why"), WAYS)
def test_a_token_that_nobody_sees_does_not_live(
    server: Server, nick: str, way: str, why: str
) -> None:
    words = ["token", nick, "--server", server.host, "--port", str(server.port)]
    env = {"ADMIN_PASSWORD": PASSWORD}
    with Program(command=line_of(*words, redirection=way), env=env) as program:
        assert why in ends_with_6(program)
    with Client(server, nick) as client:  # nothing reserves it
        assert client.finish() == 0


@full
@pytest.mark.parametrize("renderer", ["json", "minimal"])
def test_lines_that_were_piped_in_are_sent_though_the_disk_is_full(
    server: Server, witness: Client, nick: str, renderer: str
) -> None:
    words = ["connect", server.host, str(server.port), nick]
    words += ["--renderer", renderer, "--listen"]
    command = line_of(*words, redirection=f">{FULL}")
    with Program(command=command, env={"CLIENT_PASSWORD": PASSWORD}) as program:
        program.write(b"one\ntwo\nthree without an end")
        assert "No space left" in ends_with_6(program)
    witness.next("left", nick=nick)
    assert witness.texts(from_=nick) == ["one", "two", "three without an end"]


def test_a_chat_without_standard_output_does_not_begin(server: Server, nick: str) -> None:
    words = ["connect", server.host, str(server.port), nick, "--renderer", "json"]
    command = line_of(*words, redirection=">&-")
    with Program(command=command, env={"CLIENT_PASSWORD": PASSWORD}) as program:
        program.write(b"never sent\n")
        assert "it is closed" in ends_with_6(program)


@full
def test_lines_that_nobody_could_be_told_of_are_counted(nick: str) -> None:
    with Server({"MAX_MESSAGE_SIZE": "4"}) as server:
        words = ["connect", server.host, str(server.port), nick, "--renderer", "json"]
        command = line_of(*words, redirection=f">{FULL}")
        with Program(command=command, env={"CLIENT_PASSWORD": PASSWORD}) as program:
            program.write(b"one\ntwo\nthree\nfourth\nfifth\n")
            program.end_input()
            assert program.end() == 6
            assert "3 lines were not sent." in program.errors
            assert "No space left" in program.errors


def test_a_file_that_cannot_grow(server: Server, nick: str, tmp_path: Path) -> None:
    """A limit, or a disk that fills up while it runs: what it wrote until then is there."""
    with Client(server, nick) as sender:
        words = ["connect", server.host, str(server.port), f"{nick}b"]
        limit = "trap '' XFSZ; ulimit -f 8; exec \"$@\""
        command = ["/bin/sh", "-c", limit, "sh", sys.executable, str(PROGRAM), *words]
        path = tmp_path / "events"
        with path.open("wb") as file:
            env = {"CLIENT_PASSWORD": PASSWORD}
            with Program(
                command=[*command, "--renderer", "json", "--listen"], env=env, stdout=file.fileno()
            ) as bot:
                sender.meets(f"{nick}b")  # or what it says is not for that one
                for _ in range(10):
                    sender.say("x" * 2000)
                assert bot.end() == 6
                assert "File too large" in bot.errors and bot.errors.count("\n") == 1
        events = [json.loads(line) for line in path.read_text().splitlines()[:-1]]
        assert events[0]["event"] == "connected" and events[-1]["event"] == "message"
        assert sender.finish() == 0


# A reader that has gone


@pytest.mark.parametrize("renderer", ["json", "minimal"])
def test_what_is_piped_in_is_sent_though_head_has_gone(
    server: Server, witness: Client, nick: str, renderer: str
) -> None:
    words = ["connect", server.host, str(server.port), nick]
    words += ["--renderer", renderer]
    pipeline = "printf 'one\\ntwo\\nthree\\n' | { \"$@\"; echo $? >&2; } | head -n 1"
    done = subprocess.run(
        ["/bin/sh", "-c", pipeline, "sh", sys.executable, str(PROGRAM), *words],
        env=environment({"CLIENT_PASSWORD": PASSWORD}), capture_output=True, timeout=DEADLINE,
        check=False,
    )  # fmt: skip
    assert done.stderr == b"0\n" and done.stdout.count(b"\n") == 1
    witness.next("left", nick=nick)
    assert witness.texts(from_=nick) == ["one", "two", "three"]


def test_help_into_a_pipe_that_nobody_reads() -> None:
    read, write = os.pipe()
    os.close(read)
    with Program(command=[sys.executable, str(PROGRAM), "--help"], stdout=write) as program:
        os.close(write)
        assert (program.end(), program.errors) == (0, "")


def piped(*pieces: bytes) -> tuple[PipeInput, Callable[[], None]]:
    read, write = os.pipe()
    for piece in pieces:
        os.write(write, piece)

    def close() -> None:
        pipe.close()
        os.close(read)
        os.close(write)

    pipe = PipeInput(read)
    return pipe, close


def test_a_pipe_that_is_to_finish_waits_for_nothing() -> None:
    pipe, close = piped(b"one\ntwo\nthr")
    assert pipe.next_line() == "one"
    pipe.finish()
    assert [pipe.next_line() for _ in range(3)] == ["two", "thr", None]
    assert pipe.ended == "end"
    close()


def test_a_pipe_that_never_ends_is_left() -> None:
    """Whoever writes on and on is not heard out."""
    read, write = os.pipe()
    command = [sys.executable, "-c", f"import os\nwhile os.write({write}, b'y\\n' * 500): pass"]
    with subprocess.Popen(command, pass_fds=[write]) as program:
        os.close(write)
        pipe = PipeInput(read)
        assert pipe.next_line() == "y"
        pipe.finish()
        lines = 0
        while pipe.next_line() is not None:
            lines += 1
        assert pipe.ended == "end" and lines < 200_000
        program.kill()
    pipe.close()
    os.close(read)


# The server


@full
def test_a_server_serves_though_its_banner_cannot_be_written(nick: str) -> None:
    from tests.processes import free_port
    from tests.test_exit_status import wait_until_served

    port = free_port()
    command = line_of("serve", "127.0.0.1", str(port), redirection=f">{FULL}")
    with Program(command=command, env={"ADMIN_PASSWORD": PASSWORD}) as program:
        assert wait_until_served(port).texts() == ["hello"]
        program.write(b"q\n")
        assert program.end() == 0
        assert re.fullmatch(r"Standard output cannot be written \(No space.*\n", program.errors)


def test_nothing_of_ours_becomes_a_standard_stream(server: Server, nick: str) -> None:
    """With all three closed; a socket called 1 would get what is meant for the output."""
    command = line_of("token", nick, "--server", server.host, "--port", str(server.port),
                      "--revoke", redirection="<&- >&- 2>&-")  # fmt: skip
    with Program(command=command, env={"ADMIN_PASSWORD": PASSWORD}) as program:
        assert program.end() == 4
        assert program.told() == "\n"
    assert form(server, "/revoke_token", token=nick) == {"revoked": False}
