"""Passwords that are guessed quickly are told from others, and named where one is set."""

from __future__ import annotations

import secrets
import string
from pathlib import Path

import pytest

from cli.strength import is_guessable
from tests.processes import PASSWORD, Program, Server, Terminal

NAMED = "cmd_chat: This password can be guessed quickly; better are four words"


@pytest.mark.parametrize(
    "password",
    [
        "x", "pw", "hunter2", "1234567", "Abc.12!",  # short
        "password", "Password1", "P@ssw0rd123!", "pass word", "passwort", "MySecurePass123",
        "YOUR_SECURE_PASSWORD", "!!letmein!!", "$ecret99", "correct horse battery staple",
        "12345678", "123456789012345", "20240131", "aaaaaaaaaaaaaaaa", "abcdefghijkl", "qwertyuiop",
        "asdfghjkl12345", "abababababababab", "xk3!xk3!xk3!", "zyxwvuts98765",
        "ababcdcd", "hfkwmznv",
    ],
)  # fmt: skip
def test_what_is_guessed_quickly(password: str) -> None:
    assert is_guessable(password)


@pytest.mark.parametrize(
    "password",
    [PASSWORD, "kR7vQ2mZ", "tulip ocean brick seven", "hgwbxkzpqv", "Ärger über Öl-Preise",
     "密码是很长的一句话没有人知道", "9154072683519264"],
)  # fmt: skip
def test_what_is_not(password: str) -> None:
    assert not is_guessable(password)


def test_what_make_takes_is_never_named() -> None:
    assert not any(is_guessable(secrets.token_urlsafe(12)) for _ in range(2000))


def test_every_text_has_an_answer() -> None:
    for each in ("", " ", "\0" * 99, "\ud800" * 20, "🎉" * 8, string.printable, "a" * 100_000):
        assert is_guessable(each) in (True, False)


@pytest.mark.parametrize("way", ["environment", "line", "file"])
def test_it_is_named_however_it_was_given_and_not_shown(way: str, tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("Passw0rd!\n")
    env = {"ADMIN_PASSWORD": "Passw0rd!" if way == "environment" else ""}
    options = {"line": ["-p", "Passw0rd!"], "file": ["--password-file", str(path)]}.get(way, [])
    with Program(["serve", "127.0.0.1", "0", *options], env) as server:
        server.wait_for(lambda: server.out.count(b"=" * 60) == 3)
        assert server.errors.count("\n") == 1 + (way == "line")
        assert server.errors.splitlines()[-1].startswith(NAMED)
        assert "Passw0rd" not in server.told()


def test_a_good_one_is_not_named() -> None:
    with Server() as server:
        assert server.errors == ""


def test_it_is_asked_for_twice() -> None:
    with Terminal(["serve", "127.0.0.1", "0"], {"ADMIN_PASSWORD": ""}, columns=120) as terminal:
        terminal.sees("Password that people will need to connect:")
        terminal.type("tulip ocean brick seven\r")
        terminal.sees("The same once more:")
        terminal.type("tulip ocean brick seven\r")
        terminal.sees("CMD CHAT SERVER STARTED")
        terminal.sees("Stop with")
        terminal.type("q\r")
        assert terminal.end() == 0
        assert b"tulip" not in terminal.output


def test_a_slip_is_found() -> None:
    with Terminal(["serve", "127.0.0.1", "0"], {"ADMIN_PASSWORD": ""}, columns=120) as terminal:
        terminal.sees("Password that people will need to connect:")
        terminal.type("tulip ocean brick seven\r")
        terminal.sees("The same once more:")
        terminal.type("tulip ocean brick sever\r")
        terminal.sees("The two passwords differ: start again")
        assert terminal.end() == 2
        assert b"STARTED" not in terminal.output
