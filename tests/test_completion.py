"""Completion of command lines: the scripts, and real shells that read them and are typed into."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from cli.table import COMMANDS, flags
from settings.table import ROWS, SHELLS
from settings.types import file_path
from tests.command import run_command
from tests.machine import needs
from tests.processes import PROGRAM, Terminal

NAMES = ["cmd-chat", "cmd_chat.py", "cmd_chat.pyz"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_has_every_subcommand_option_and_choice(shell: str) -> None:
    done = run_command("completion", shell)
    assert (done.status, done.errors) == (0, "")
    for command in COMMANDS.values():
        for name in command.options:
            for flag in flags(name):
                written = {"-": f"-s {flag[1:]}"}.get(flag[:-1], f"-l {flag[2:]}")
                assert re.search(rf"{written if shell == 'fish' else flag}\b", done.out), flag
        assert re.search(rf"\b{command.name}\b", done.out)
    for words in ("rich minimal json", " ".join(SHELLS), "list show search"):
        assert words in done.out
    assert all(name in done.out for name in NAMES)
    assert all(char.isprintable() or char == "\n" for char in done.out)


def test_a_setting_that_takes_a_few_words_or_a_file_says_so() -> None:
    """That is what scripts offer; a new row must not be forgotten."""
    for row in ROWS.values():
        assert all(row.type(word) == word for word in row.choices)
        assert bool(row.choices) == row.type.__qualname__.startswith("choice."), row.name
        named = row.word == "PATH" and row.name != "CLIENT_PATH"  # which is part of a URL
        assert (row.type is file_path) == named, row.name


def test_help_in_a_script_is_in_the_users_language() -> None:
    english, french = (run_command("completion", "fish", "-l", code).out for code in ("en", "fr"))
    assert "'room to join'" in english and "'room to join'" not in french
    assert len(english.splitlines()) == len(french.splitlines())


@pytest.mark.parametrize(("words", "told"), [((), "SHELL"), (("csh",), "bash, zsh, fish")])
def test_without_a_shell_that_is_known_there_is_no_script(
    words: tuple[str, ...], told: str
) -> None:
    done = run_command("completion", *words)
    assert (done.status, done.out) == (2, "")
    assert told in done.errors


# Real shells: what is typed, with TAB, and what the program then gets. Each shell has its way to
# write a value behind an option.

TYPED = [
    ("conn\t--rend\tmini\t", "<connect><--renderer[>=]<?minimal>"),
    ("history exp\tlocal --las\t5", "<history><export><local><--last[>=]<?5>"),
    ("comp\tfi\t", "<completion><fish>"),
    ("serve --ssl-ce\tcertif\t", r"<serve><--ssl-cert[>=]<?certificate\.pem>"),
    ("token al --language k\t", "<token><al><--language><ko>"),
    ("connect h --secret al\t --no-b\t", "<connect><h><--secret><al><--no-bell>"),
    ("connect wo\t al --no-b\t", "<connect><work><al><--no-bell>"),
    ("history show lab\t", r"<history><show><lab\.lan>"),
    ("send --server wo\thello", "<send><--server[>=]<?work><hello>"),
]
SERVERS = "[DEFAULT]\nport = 1000\n[work]\n[wo$(touch expanded)]\n[wo;touch expanded]\n [lab.lan]\n"
BESIDE = "test_a_script_has_every_subcommand_option_and_choice"
PROMPT = "READY> "
POSIX = """\
PS1='{prompt}'
cmd-chat() {{ printf '<%s>' "$@"; printf '\\n'; }}
{before}
source <({python} -B {program} completion {shell})
"""
FISH = """\
function fish_prompt; echo -n '{prompt}'; end
function cmd-chat; printf '<%s>' $argv; echo; end
{python} -B {program} completion fish | source
"""


def shell_command(shell: str, folder: Path) -> list[str]:
    """An interactive shell that has read the script, and shows what the program would get."""
    path = shutil.which(shell)
    assert path is not None
    before = {"bash": "", "zsh": "autoload -Uz compinit; compinit -u -D"}.get(shell, "")
    text = (FISH if shell == "fish" else POSIX).format(
        prompt=PROMPT, before=before, python=sys.executable, program=PROGRAM, shell=shell
    )
    start = folder / ".zshrc"
    start.write_text(text)
    return {
        "bash": [path, "--noprofile", "--rcfile", str(start), "-i"],
        "zsh": [path, "-d", "-i"],
        "fish": [path, "--no-config", "-i", "-C", text],
    }[shell]


@pytest.mark.parametrize(
    "shell", [pytest.param(shell, marks=needs(shell, beside=BESIDE)) for shell in SHELLS]
)
def test_a_real_shell_completes_what_is_typed(shell: str, tmp_path: Path) -> None:
    (tmp_path / "certificate.pem").touch()
    (tmp_path / "cmd-chat").mkdir()
    (tmp_path / "cmd-chat" / "servers.ini").write_text(SERVERS)
    env = {"HOME": str(tmp_path), "ZDOTDIR": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path),
           "XDG_DATA_HOME": str(tmp_path)}  # fmt: skip
    command = shell_command(shell, tmp_path)
    with Terminal([], env, columns=120, rows=50, command=command) as terminal:
        terminal.sees(PROMPT)
        terminal.type(f"cd '{tmp_path}'\n")
        for typed, got in TYPED:
            terminal.type(f"cmd-chat {typed}\n")
            terminal.sees(got)
    assert not (tmp_path / "expanded").exists()
