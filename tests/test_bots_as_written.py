"""Bots as docs/USING.md has them, word for word, and as a supervisor keeps them alive."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import left_behind
from tests.machine import needs
from tests.module_server import server_fixture  # noqa: F401
from tests.processes import DEADLINE, PASSWORD, PROGRAM, Client, Server, environment
from tests.test_docs import USING

_BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def blocks(language: str) -> list[str]:
    """The examples in this language, from the top."""
    text = USING.partition("\n## A program that answers\n")[2].partition("\n## ")[0]
    return [found for kind, found in _BLOCK.findall(text) if kind == language]


@contextmanager
def shell(server: Server, script: str, folder: Path, **env: str) -> Iterator[subprocess.Popen[str]]:
    """A script in a folder of its own, where ``cmd-chat`` is this program and ``localhost 1000``
    that server; ended with all that it has started."""
    path = folder / "cmd-chat"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {PROGRAM} "$@"\n')
    path.chmod(0o755)
    (folder / "password.txt").write_text(f"{PASSWORD}\n")
    script = script.replace("localhost 1000", f"{server.host} {server.port}")
    whole = environment({"PATH": f"{folder}:{os.environ['PATH']}", **env})
    with subprocess.Popen(
        ["sh", "-c", script], cwd=folder, env=whole, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            below = left_behind.running(below=process.pid)
            process.kill()
            left_behind.end(below)


@needs("jq", beside="test_on_message.py::test_an_answer_goes_to_where_the_message_came_from")
def test_the_example_answers(server: Server, tmp_path: Path) -> None:
    command, program, _other = blocks("bash")
    helper = tmp_path / "helper"
    helper.write_text(program)
    helper.chmod(0o755)
    with Client(server, "ann") as ann, shell(server, command, tmp_path):
        ann.next("joined", nick="helper")
        questions = {
            "!time": r"\d\d:\d\d", "!add 2 3 -10": "-5", "!add": "0",
            "/msg helper !whoami": r"You are ann, and not verified\.",
        }  # fmt: skip
        for question, answer in questions.items():
            ann.say(question)
            found = ann.next("message", from_="helper")
            assert re.fullmatch(answer, found["text"]) and found["bot"]
            assert found["private"] == question.startswith("/msg")
        ann.say("!nothing of it; `touch here` $(touch here)", "!add 1")
        assert ann.next("message", from_="helper")["text"] == "1"
    assert not (tmp_path / "here").exists()


@needs("jq", beside="test_input_forms.py::test_each_text_comes_back_with_its_id")
def test_the_example_with_both_ends_of_the_client_counts(server: Server, tmp_path: Path) -> None:
    with Client(server, "ben") as ben, shell(server, blocks("bash")[2], tmp_path):
        ben.next("joined", nick="counter")
        ben.say("first", "ほか")
        for length in (5, 2):
            found = ben.next("message", from_="counter")
            assert re.fullmatch(rf"\d+: ben said {length} characters", found["text"])
            assert found["bot"]


_SUPERVISED = """
until [ -e stop ]; do
    cmd-chat connect localhost 1000 $NICK --renderer json --on-message ./helper < /dev/null
done
"""


@pytest.mark.parametrize("by", ["token", "password"])
def test_a_supervisor_brings_a_killed_one_back(tmp_path: Path, by: str) -> None:
    """At once with a token; with the password when its nickname is free."""
    settings = {"HEARTBEAT_INTERVAL": "0.5", "HEARTBEAT_TIMEOUT": "2"} if by == "password" else {}
    helper = tmp_path / "helper"
    helper.write_text("#!/bin/sh\ncat > /dev/null\necho 42\n")
    helper.chmod(0o755)
    with Server(settings) as server, Client(server, "ann") as ann:
        known = {"CLIENT_PASSWORD": PASSWORD, "NICK": "helper"}
        if by == "token":
            words = [sys.executable, str(PROGRAM), "token", "helper", "--server", server.host]
            made = subprocess.run(
                [*words, "--port", str(server.port)], env=environment({"ADMIN_PASSWORD": PASSWORD}),
                capture_output=True, text=True, timeout=DEADLINE,
            )  # fmt: skip
            known = {"CLIENT_TOKEN": made.stdout.strip(), "NICK": ""}
        with shell(server, _SUPERVISED, tmp_path, **known) as supervisor:
            ann.next("joined", nick="helper")
            for _ in range(2):
                ann.say("hello")
                assert ann.next("message", from_="helper")["text"] == "42"
                (client,) = _clients(supervisor.pid)
                os.kill(client, signal.SIGKILL)
                ann.next("joined", nick="helper")
            (tmp_path / "stop").touch()
            (client,) = _clients(supervisor.pid)
            os.kill(client, signal.SIGTERM)
            assert supervisor.wait(DEADLINE) == 0


def _clients(supervisor: int) -> list[int]:
    found = left_behind.running(below=supervisor)
    return [pid for pid, command in found.items() if " connect " in command]
