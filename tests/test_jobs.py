"""Life under a shell: jobs in the background, a closed terminal, signals that are ignored."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
import time
from pathlib import Path

import pytest

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
    Server,
    Terminal,
    free_port,
    run_client,
    terminal_client,
)
from tests.transport_kit import make_certificate

# What a shell does for its jobs, and nothing else: the terminal goes from one process group to
# another, and a job that runs in the background already is told nothing when it comes to the front.
SHELL = """
import os, signal, sys

for number in (signal.SIGTTOU, signal.SIGTTIN, signal.SIGTSTP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
job, stopped = 0, False

def start(front):
    pid = os.fork()
    if pid:
        return pid
    os.setpgid(0, 0)
    if front:
        os.tcsetpgrp(0, os.getpgrp())
    for number in (signal.SIGTTOU, signal.SIGTTIN, signal.SIGTSTP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])

def watch():
    global stopped
    _pid, status = os.waitpid(job, os.WUNTRACED)
    stopped = os.WIFSTOPPED(status)
    os.tcsetpgrp(0, os.getpgrp())
    print("stopped" if stopped else f"ended {os.waitstatus_to_exitcode(status)}")

def go_on(front):
    global stopped
    if front:
        os.tcsetpgrp(0, job)
    if stopped:
        os.killpg(job, signal.SIGCONT)
        stopped = False

print("ready", flush=True)
while word := sys.stdin.readline().strip():
    if word in ("start", "start&"):
        job = start(word == "start")
    if word == "pid":
        print("job", job)
    if word in ("fg", "bg"):
        go_on(word == "fg")
    if word in ("start", "fg"):
        watch()
    print(f"{word} done", flush=True)
"""


def shell(*words: str) -> Terminal:
    """A shell on a terminal that has one job to start: ``start``, ``start&``, ``fg``, ``bg``."""
    whole = {"ADMIN_PASSWORD": PASSWORD, "CLIENT_PASSWORD": PASSWORD}
    terminal = Terminal(words, whole, columns=100, shell=SHELL)
    terminal.sees("ready")
    return terminal


def order(terminal: Terminal, word: str) -> None:
    """An order that the shell carries out at once."""
    terminal.type(f"{word}\n")
    terminal.sees(f"{re.escape(word)} done")


def bring_back(terminal: Terminal) -> None:
    """``fg``, which is over when the job is."""
    terminal.type("fg\n")


def wait_until_served(port: int) -> Client:
    end = time.monotonic() + DEADLINE
    while True:
        client = run_client(("127.0.0.1", port), text="hello\n")
        if client.process.returncode != 3:
            return client
        assert time.monotonic() < end, client.told()


# In the background


def test_a_server_in_the_background_serves_and_hears_q_in_the_foreground() -> None:
    port = free_port()
    with shell("serve", "127.0.0.1", str(port)) as terminal:
        order(terminal, "start&")
        terminal.sees("Stop with")
        for _again in range(2):  # the shell reads what is typed, and the server does not stop
            assert wait_until_served(port).texts() == ["hello"]
            order(terminal, "echo")
        bring_back(terminal)
        terminal.type("q\n")  # which waits in the terminal until the server looks
        terminal.sees("ended 0")


def test_a_server_that_was_stopped_and_sent_to_the_background() -> None:
    port = free_port()
    with shell("serve", "127.0.0.1", str(port)) as terminal:
        terminal.type("start\n")
        terminal.sees("Stop with")
        terminal.type("\x1a")
        terminal.sees("stopped")
        order(terminal, "bg")
        order(terminal, "echo")
        assert wait_until_served(port).texts() == ["hello"]
        bring_back(terminal)
        terminal.type("q\n")
        terminal.sees("ended 0")


def test_a_terminal_that_stops_jobs_that_write_stops_no_server() -> None:
    import termios

    port = free_port()
    with shell("serve", "127.0.0.1", str(port)) as terminal:
        found = terminal.settings()
        found[3] |= termios.TOSTOP
        termios.tcsetattr(terminal._line, termios.TCSANOW, found)
        order(terminal, "start&")
        terminal.sees("Stop with")
        assert wait_until_served(port).texts() == ["hello"]


@pytest.mark.parametrize("renderer", ["rich", "minimal", "json"])
def test_a_client_in_the_background_stays(
    server: Server, witness: Client, nick: str, renderer: str
) -> None:
    words = ["connect", server.host, str(server.port), nick, "--renderer", renderer]
    with shell(*words) as terminal:
        order(terminal, "start&")
        witness.next("joined", nick=nick)
        order(terminal, "echo")  # for the shell, and not for the chat
        witness.say("said meanwhile")
        witness.next("message", self_=True)
        if renderer != "json":
            order(terminal, "more")
            assert "said meanwhile" not in terminal.shown()
        bring_back(terminal)
        terminal.sees("said meanwhile")
        terminal.type("I am back\n")
        assert witness.next("message", from_=nick)["text"] == "I am back"
        terminal.type("/quit\n")
        terminal.sees("ended 0")
        witness.next("left", nick=nick)
        assert witness.texts(from_=nick) == ["I am back"]


@pytest.mark.parametrize("renderer", ["rich", "minimal"])
def test_a_client_that_was_stopped_and_sent_to_the_background(
    server: Server, witness: Client, nick: str, renderer: str
) -> None:
    words = ["connect", server.host, str(server.port), nick, "--renderer", renderer]
    with shell(*words) as terminal:
        before = terminal.settings()
        terminal.type("start\n")
        terminal.sees("witness")
        terminal.type("half a line")
        terminal.sees("half a line")
        terminal.type("\x1a")
        terminal.sees("stopped")
        order(terminal, "bg")
        assert terminal.settings() == before
        witness.say("said meanwhile", f"/msg {nick} for you alone")
        witness.next("message", private=True)
        order(terminal, "echo")
        assert "said meanwhile" not in terminal.shown()
        bring_back(terminal)
        terminal.sees("(?s)said meanwhile.*half a line")
        terminal.type("\r")
        assert witness.next("message", from_=nick)["text"] == "half a line"
        terminal.type("/quit\r")
        terminal.sees("ended 0")
        assert terminal.settings() == before


def test_a_client_that_ends_in_the_background_leaves_the_terminal_alone(
    server: Server, witness: Client, nick: str
) -> None:
    with shell("connect", server.host, str(server.port), nick) as terminal:
        terminal.type("start\n")
        terminal.sees("witness")
        terminal.type("\x1a")
        terminal.sees("stopped")
        order(terminal, "bg")
        import termios

        theirs = terminal.settings()
        theirs[3] &= ~termios.ECHO  # as a shell has it that edits lines
        termios.tcsetattr(terminal._line, termios.TCSANOW, theirs)
        written = len(terminal.output)
        order(terminal, "pid")
        os.kill(int(terminal.sees(r"job (\d+)")[1]), signal.SIGTERM)
        witness.next("left", nick=nick)
        bring_back(terminal)
        terminal.sees("ended 0")
        assert terminal.settings() == theirs
        assert b"\x1b" not in terminal.output[written:]


# The terminal is closed


@pytest.mark.parametrize("renderer", ["rich", "minimal"])
def test_a_closed_terminal_is_a_goodbye(
    server: Server, witness: Client, nick: str, renderer: str
) -> None:
    with terminal_client(server, nick, "--renderer", renderer) as terminal:
        witness.next("joined", nick=nick)
        terminal.sees("witness")
        terminal.hang_up()
        witness.next("left", nick=nick)
        assert terminal.process.wait(DEADLINE) == 0
    assert run_client(server, nick=nick).process.returncode == 0


def test_sighup_leaves_the_terminal_as_it_was(server: Server, witness: Client, nick: str) -> None:
    with terminal_client(server, nick) as terminal:
        terminal.sees("witness")
        terminal.process.send_signal(signal.SIGHUP)
        witness.next("left", nick=nick)
        assert terminal.end() == 0
        assert terminal.settings() == terminal.before
        assert "witness" not in terminal.shown()


def test_sighup_at_a_program(server: Server, witness: Client, nick: str) -> None:
    with Client(server, nick, "--listen") as bot:
        bot.signal(signal.SIGHUP)
        assert (bot.end(), bot.errors) == (0, "")
        witness.next("left", nick=nick)


# What was ignored when the program started

ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def _ignoring(*words: str) -> list[str]:
    """A command line that runs the program as ``nohup`` does, for three signals."""
    script = "trap '' HUP INT TERM; exec \"$@\""
    return ["/bin/sh", "-c", script, "sh", sys.executable, str(PROGRAM), *words]


def test_a_server_keeps_ignoring_what_was_ignored() -> None:
    port = str(free_port())
    env = {"ADMIN_PASSWORD": PASSWORD}
    with Program(command=_ignoring("serve", "127.0.0.1", port), env=env) as program:
        program.wait_for(lambda: program.out.count(b"=" * 60) == 3)
        for number in ENDING:
            program.signal(number)
        assert run_client(("127.0.0.1", int(port)), text="hello\n").texts() == ["hello"]
        program.write(b"q\n")
        assert (program.end(), program.errors) == (0, "")


def test_a_client_keeps_ignoring_what_was_ignored(
    server: Server, witness: Client, nick: str
) -> None:
    words = ["connect", server.host, str(server.port), nick, "--renderer", "json"]
    with Client(server, nick, command=_ignoring(*words)) as deaf:
        for number in ENDING:
            deaf.signal(number)
        assert deaf.finish("still here") == 0
        assert witness.next("message", from_=nick)["text"] == "still here"


def test_sighup_renews_a_certificate_under_nohup_and_stops_nothing(tmp_path: Path) -> None:
    made = make_certificate(tmp_path)
    words = ["serve", "127.0.0.1", str(free_port())]
    words += ["--ssl-cert", made.cert_path, "--ssl-key", made.key_path]
    with Program(command=_ignoring(*words), env={"ADMIN_PASSWORD": PASSWORD}) as program:
        program.wait_for(lambda: program.out.count(b"=" * 60) == 3)
        program.signal(signal.SIGHUP)
        program.wait_for(lambda: b"were read again" in program.out)
        program.write(b"q\n")
        assert program.end() == 0


def test_a_server_without_standard_input() -> None:
    """Nothing that it opens itself is taken for what somebody types."""
    port = str(free_port())
    words = shlex.join([sys.executable, str(PROGRAM), "serve", "127.0.0.1", port])
    env = {"ADMIN_PASSWORD": PASSWORD}
    with Program(command=["/bin/sh", "-c", f"exec {words} <&-"], env=env) as program:
        program.wait_for(lambda: program.out.count(b"=" * 60) == 3)
        assert run_client(("127.0.0.1", int(port)), text="hello\n").texts() == ["hello"]
        program.signal(signal.SIGTERM)
        assert (program.end(), program.errors) == (0, "")
