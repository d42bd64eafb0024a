"""The manual page is made from the tables, and is what mdoc's own tool takes without a word."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cli.table import COMMANDS, flags
from client.commands import COMMANDS as CHAT_COMMANDS
from settings.exit_status import ExitStatus
from settings.folders import CONFIG, STATE
from settings.table import TABLE
from tests.machine import needs
from tools import make_man

ROOT = Path(__file__).resolve().parent.parent
# Those of mdoc(7) that the page is made of.
MACROS = {"Dd", "Dt", "Os", "Sh", "Ss", "Nm", "Nd", "Cm", "Op", "Bl", "It", "El", "Bd", "Ed"}


@pytest.fixture(scope="module", name="path")
def page_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page as ``make man`` makes it."""
    path = tmp_path_factory.mktemp("man") / "man1" / "cmd_chat.1"
    command = [sys.executable, "-B", "-m", "tools.make_man", "--out", str(path)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
    return path


def test_the_page_has_all_that_the_tables_have(path: Path) -> None:
    text = path.read_text(encoding="ascii")
    for command in COMMANDS.values():
        section = re.search(rf"(?ms)^\.Ss {command.name}\n(.*?)^\.S[sh] ", text)
        assert section is not None, command.name
        written = [re.findall(r"Fl (\S+)", line) for line in section[1].splitlines()]
        options = [[flag[1:] for flag in flags(each)] for each in command.options]
        assert [found for found in written if found] == [["h", "-help"], *options]
    settings = re.findall(r"^\.It Ev (\w+)$", text, re.MULTILINE)
    assert settings == [row.name for row in TABLE]
    commands = re.findall(r"^\.It Ic (.+)$", text, re.MULTILINE)
    assert commands == [row.written() for row in CHAT_COMMANDS]
    statuses = re.findall(r"^\.It (\d+)\n(.+)$", text, re.MULTILINE)
    assert statuses == [
        (str(int(each)), each.meaning.replace("`", "") + ".") for each in ExitStatus
    ]


def test_nothing_of_the_tables_is_taken_for_a_request(path: Path) -> None:
    for line in path.read_text(encoding="ascii").splitlines():
        assert line and line.isprintable() and not line.startswith("'")
        assert not line.startswith(".") or line[1:3] in MACROS, line
    assert make_man._lines('.so a\\b "c" …') == ['\\&.so a\\eb \\(dqc\\(dq \\[u2026]']


def test_the_folders_that_it_names_are_those_of_the_program() -> None:
    where = {path for path, _text in make_man.FILES}
    home = {"HOME": "/home"}
    for folder, name in ((CONFIG, "servers.ini"), (STATE, "history")):
        assert str(folder.path(home, name)).replace("/home", "~") in where


def test_its_date_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert make_man.page().startswith(".Dd January 2, 1970\n")
    assert make_man.page() == make_man.page()


@needs("mandoc", beside="test_the_page_has_all_that_the_tables_have")
def test_mandoc_has_nothing_to_say(path: Path) -> None:
    command = ["mandoc", "-Tlint", "-W", "warning", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    shown = subprocess.run(
        ["mandoc", "-Tascii", str(path)], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    plain = re.sub(".\x08", "", shown)  # bold is a letter struck twice
    assert "--renderer {rich,minimal,json}" in plain and "--secret[=PASSPHRASE]" in plain
