"""Writes the manual page ``cmd_chat.1`` (mdoc) from the tables of subcommands, settings, chat
commands and exit statuses.

    python -m tools.make_man --out dist/cmd_chat.1

It is in English. Its date is ``SOURCE_DATE_EPOCH``'s where that is set, and else today's.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from cli.table import COMMANDS, DESCRIPTION, EPILOG, VERSION, Subcommand, flags
from client.commands import COMMANDS as CHAT_COMMANDS
from settings.exit_status import ExitStatus
from settings.table import ROWS, TABLE, Setting

NAME = "cmd-chat"
FILES = (
    (".env", "settings, in the working directory; it is not read where others may have written it"),
    ("~/.config/cmd-chat/servers.ini", "servers that have names, for connect"),
    ("~/.local/state/cmd-chat/history", "encrypted histories, where they are kept"),
)


def page() -> str:
    """The whole manual page."""
    day = time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH") or time.time()))
    months = ("January February March April May June July August September October November "
              "December").split()  # fmt: skip
    date = f"{months[day.tm_mon - 1]} {day.tm_mday}, {day.tm_year}"
    head = [f".Dd {date}", ".Dt CMD_CHAT 1", f".Os CMD CHAT {VERSION}"]
    return "\n".join([*head, *_name(), *_description(), *_tables(), *_examples()]) + "\n"


def _name() -> Iterator[str]:
    yield from (".Sh NAME", f".Nm {NAME} ,", ".Nm cmd_chat.py")
    yield ".Nd " + _text(DESCRIPTION).rstrip(".").replace("A chat", "chat")
    yield ".Sh SYNOPSIS"
    for command in COMMANDS.values():
        yield from (f".Nm {NAME}", f".Cm {command.name}", ".Op Ar option ...")
        yield from (f".Op Ar {_text(ROWS[word].word)}" for word in command.words)


def _description() -> Iterator[str]:
    yield from (".Sh DESCRIPTION", *_lines(EPILOG))
    yield from _lines("Options may stand before, between and after the other words; what comes "
                      "after -- is none.")  # fmt: skip
    for command in COMMANDS.values():
        yield from (f".Ss {command.name}", *_lines(command.summary), *_list(_items(command)))
    yield from (".Ss Commands in the chat", *_lines("What begins with a slash is a command."))
    yield from _list((f".It Ic {_text(row.written())}", row.help) for row in CHAT_COMMANDS)


def _items(command: Subcommand) -> Iterator[tuple[str, str]]:
    for name in command.words:
        yield f".It Ar {_text(ROWS[name].word)}", _sentence(ROWS[name])
    yield ".It Fl h , Fl -help", "show a help message and exit"
    for name in command.options:
        row = ROWS[name]
        written = " , ".join(f"Fl {_text(flag[1:])}" for flag in flags(name))
        if row.optional:
            written += f" Ns Op = Ns Ar {row.word}"
        elif not row.implies:
            written += f" Ar {_text(row.word)}"
        yield f".It {written}", _of_option(row, command.rooms)


def _of_option(row: Setting, several: bool) -> str:
    """The help of an option, and whether it may come several times."""
    text = _sentence(replace(row, help=row.flag_help)) if row.flag_help else _sentence(row)
    return text + "; it may come several times" if row.between and several else text


def _tables() -> Iterator[str]:
    yield from (".Sh ENVIRONMENT", *_lines("Each of these may stand in the file .env, too."))
    yield from _list((f".It Ev {row.name}", _sentence(row)) for row in TABLE)
    yield from (".Sh FILES", *_list((f".It Pa {path}", text) for path, text in FILES))
    statuses = [(f".It {int(status)}", status.meaning) for status in ExitStatus]
    yield from (".Sh EXIT STATUS", *_list(statuses))


def _examples() -> Iterator[str]:
    yield from (".Sh EXAMPLES", ".Bd -literal -compact")
    for command in COMMANDS.values():
        for example in command.examples:  # to be copied as it is
            yield _text(example.format(run=NAME)).replace("-", "\\-").replace("'", "\\(aq")
    yield ".Ed"


def _list(items: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield ".Bl -tag -width Ds"
    for item, text in items:
        yield from (item, *_lines(text[0].upper() + text[1:].rstrip(".") + "."))
    yield ".El"


def _sentence(row: Setting) -> str:
    """The help of a setting, and its default."""
    return f"{row.help} (default: {row.default})" if row.default and not row.implies else row.help


def _lines(text: str) -> list[str]:
    """Lines of text, each sentence on its own, as mdoc wants it."""
    return re.split(r"(?<=[.:?!]) +(?=[A-Z])", _text(text.replace("`", "")))


def _text(text: str) -> str:
    """Text as mdoc takes it: nothing in it is a request, a macro's sign or an escape."""
    text = text.replace("\\", "\\e").replace('"', "\\(dq")
    text = re.sub(r"(?m)^([.'])", r"\\&\1", text)
    return "".join(char if char < "\x7f" else f"\\[u{ord(char):04X}]" for char in text)


def main() -> None:
    """Write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out: Path = parser.parse_args().out
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(), encoding="ascii")


if __name__ == "__main__":
    main()
