"""From words to settings by name: argparse, what it cannot do itself, and help."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import NoReturn

import i18n
from cli.table import (
    COMMANDS,
    CONNECT,
    DESCRIPTION,
    EPILOG,
    HISTORY,
    IDENTITY,
    SEND,
    TOKEN,
    Subcommand,
    flags,
)
from i18n import _
from settings import ROWS, Setting, started

_ASK = "\0"  # stands for an optional value that was left out; no argument can contain it

Arguments = dict[str, str | bool | None]  # by setting's name, as ``settings`` takes them


class UsageError(Exception):
    """A command line that cannot be understood; ``usage`` shows how it is written."""

    def __init__(self, sentence: str, usage: str = "") -> None:
        super().__init__(sentence)
        self.usage = usage


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help with examples as they are written, and ``--secret[=VALUE]`` without a space."""

    def format_help(self) -> str:
        return super().format_help().replace(" [=", "[=")

    def _format_action_invocation(self, action: argparse.Action) -> str:
        return super()._format_action_invocation(action).replace(" [=", "[=")


class _Unshown(_Formatter):
    """For a parser of which nothing is shown: argparse makes one for each option.

    To find the terminal's width it loads ``shutil`` and three compressors, which was 2 ms of each
    start and 0.3 MB.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=80)


class _Parser(argparse.ArgumentParser):
    """argparse, with mistakes as exceptions."""

    def error(self, message: str) -> NoReturn:
        self.formatter_class = _Formatter  # this is shown
        raise UsageError(message[:1].upper() + message[1:] + ".", self.format_usage())


def _add_help(parser: argparse.ArgumentParser) -> None:
    # A flag and no more: help needs what the parser that finds it does not have.
    text = _("show this help message and exit")
    parser.add_argument("-h", "--help", action="store_true", help=text)


def _add_option(
    parser: argparse.ArgumentParser, name: str, for_help: bool, several: bool = False
) -> None:
    row = ROWS[name]
    more: dict[str, str] = {"help": _option_help(row, several) if for_help else ""}
    if row.between:
        more["action"] = "append"
    if row.implies:
        more |= {"action": "store_const", "const": row.implies}
    else:
        more["metavar"] = f"[={row.word}]" if row.optional else row.word
    parser.add_argument(*flags(name), dest=name, **more)  # type: ignore[arg-type]


def _option_help(row: Setting, several: bool) -> str:
    text = _(row.flag_help or row.help)
    if row.name == "CMD_CHAT_LANGUAGE":
        text += f" ({', '.join(i18n.available())})"
    elif row.default and not row.implies:
        text += " ({})".format(_("default: {value}").format(value=row.default))
    if row.between and several:
        text += _("; it may come several times")
    return text.replace("%", "%%")


def _examples(command: Subcommand) -> str:
    from textwrap import fill

    run = started.example()
    lines = [_("examples:"), *("  " + line.format(run=run) for line in command.examples)]
    return "\n".join([*lines, "", fill(_(EPILOG), 79)])


def parser(command: Subcommand, for_help: bool) -> _Parser:
    """The parser of a subcommand.

    Positionals are only in its help: argparse cannot take optional positionals that have
    options in between, so they are told apart from what a parser without them leaves over.
    Its ``parse_known_intermixed_args`` could, but (in CPython 3.10 to 3.13) it forgets a ``--``
    before the first of them: ``-- localhost 1000 alice -tpw`` would set ``-t``; and it takes a
    mistyped ``"--pasword secret"``, if it is one word, for a positional, which may be repeated.
    """
    made = _Parser(
        prog=f"{started.name()} {command.name}",
        description=_(command.summary),
        epilog=_examples(command) if for_help else "",
        formatter_class=_Formatter if for_help else _Unshown,
        allow_abbrev=False,
        add_help=False,
    )
    for name in command.words if for_help else ():
        link = name == "CLIENT_SERVER" and command is CONNECT
        word = "SERVER|LINK" if link else ROWS[name].word
        made.add_argument(name, metavar=word, nargs="?", help=_(ROWS[name].help))
    _add_help(made)
    for name in command.options:
        _add_option(made, name, for_help, command.rooms)
    return made


def top_parser() -> _Parser:
    """The parser of a command line without a subcommand; it makes help and usage."""
    made = _Parser(
        prog=started.name(),
        usage=f"{started.name()} [--help] [--version] {{{','.join(COMMANDS)}}} …",
        description=_(DESCRIPTION),
        epilog=_("{prog} COMMAND --help tells more, with examples.").format(prog=started.name()),
        formatter_class=_Formatter,
        allow_abbrev=False,
        add_help=False,
    )
    commands = made.add_argument_group(_("commands"))
    for command in COMMANDS.values():
        commands.add_argument(command.name, nargs="?", help=_(command.summary))
    _add_help(made)
    made.add_argument("--version", action="store_true", help=_("show the version and exit"))
    _add_option(made, "CMD_CHAT_LANGUAGE", for_help=True)
    return made


def parse(command: Subcommand, argv: Sequence[str], invited: bool = False) -> Arguments | None:
    """The settings that a subcommand's arguments give; None where help was asked for.

    ``invited``: an invite link is set elsewhere, and so the positionals need not name a server.
    Raises ``UsageError``, which repeats no argument but the names of options.
    """
    try:
        options, words = _split(command, argv)
        found, rest = parser(command, for_help=False).parse_known_args(options)
        if found.help:
            return None
        args = {name: _value(name, vars(found)[name]) for name in command.options}
        return args | _positionals(command, args, [*_only_words(command, rest), *words], invited)
    except UsageError as error:
        raise UsageError(str(error), parser(command, for_help=True).format_usage()) from None


def _split(command: Subcommand, argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before ``--``, with a mark at flags without their value, and what after it."""
    end = list(argv).index("--") if "--" in argv else len(argv)
    asking = {ROWS[name].flag for name in command.options if ROWS[name].optional}
    before = [f"{option}={_ASK}" if option in asking else option for option in argv[:end]]
    return before, list(argv[end + 1 :])


def _positionals(
    command: Subcommand, args: Arguments, words: list[str], invited: bool
) -> Arguments:
    if command is CONNECT:
        return _connect_words(args, words, invited)
    if command is SEND:  # as echo does
        return {"<MESSAGE>": " ".join(words)} if words else {}
    if command is TOKEN and args["--list"] and (words or args["--revoke"]):
        raise UsageError(_("--list lists all tokens: leave out USERNAME, TOKEN and --revoke."))
    if command is TOKEN and args["--revoke"]:
        return _by_name(("<TOKEN>",), words or [_ASK])
    if command is IDENTITY and words[:1] != ["forget"]:
        return _by_name(("<DEED>",), words)
    if command is HISTORY and words[:1] != ["search"]:
        return _by_name(("<ACTION>", "<SERVER>"), words)
    return _by_name(command.words, words)


def _value(name: str, text: str | list[str] | None) -> str | bool | None:
    if isinstance(text, list):  # an empty one sets nothing, as an option that comes once
        return ROWS[name].between.join(filter(None, text))
    # "--secret=$EMPTY" asks, too: to go on without a secret is not what it says.
    asking = text == _ASK or (text == "" and ROWS[name].optional)
    return True if asking else text


def _only_words(command: Subcommand, rest: Sequence[str]) -> list[str]:
    """``rest``, if there is no option in it that ``command`` lacks."""
    for word in rest:
        if word.startswith("-") and word != "-":
            # Only the option's name: what follows may be a secret.
            option = re.split(r"[=\s]", word)[0] if word.startswith("--") else word[:2]
            if place := _place_of(option, command):
                sentence = _("{option} is no option: {word} stands by itself, as in {example}.")
                example = f"{command.name} {_places(command.words)}"
                raise UsageError(sentence.format(option=option, word=place, example=example))
            known = [flags(name)[-1] for name in command.options]
            sentence = _("{option} is not an option of {command}.")
            raise UsageError(
                sentence.format(option=option, command=command.name) + nearest(option, known)
            )
    return list(rest)


def _place_of(option: str, command: Subcommand) -> str:
    """The positional that somebody takes for an option; empty if it is none."""
    words = [ROWS[name].word for name in command.words if ROWS[name].word.isidentifier()]
    wanted = option.lstrip("-").upper()
    aliases = {"HOST": words[:1], "ADDRESS": words[:1], "IP": words[:1], "NAME": words[2:3],
               "NICK": words[2:3], "USER": words[2:3]}  # fmt: skip
    found = [wanted] if wanted in words else aliases.get(wanted, [])
    return "".join(found)


def _places(names: Sequence[str]) -> str:
    return " ".join(ROWS[name].word for name in names)


def nearest(word: str, known: Sequence[str]) -> str:
    """A question that names the one of ``known`` that looks like ``word``; empty if none does."""
    from difflib import get_close_matches

    close = get_close_matches(word, known, 1)
    return " " + _("Did you mean {word}?").format(word=close[0]) if close else ""


def _connect_words(args: Arguments, words: list[str], invited: bool) -> Arguments:
    from protocol.invite import is_invite

    person = CONNECT.words[2:]
    if words and is_invite(words[0]):
        if args["CLIENT_INVITE"] or args["CLIENT_INVITE_FILE"]:
            raise UsageError(_("There are two invite links; keep one of them."))
        return {"CLIENT_INVITE": words[0], **_by_name(person, words[1:])}
    if args["CLIENT_INVITE"] or args["CLIENT_INVITE_FILE"] or (invited and len(words) <= 2):
        return _by_name(person, words)
    if words and (_has_port(words[0]) or "," in words[0]) and not "".join(words[1:2]).isdecimal():
        return _by_name(("CLIENT_SERVER", *person), words)
    return _by_name(CONNECT.words, words)


def _has_port(word: str) -> bool:
    host, _colon, port = word.rpartition(":")
    return port.isdecimal() and bool(host) and (":" not in host or host.endswith("]"))


def _by_name(names: Sequence[str], words: Sequence[str]) -> Arguments:
    if len(words) > len(names):
        raise UsageError(_("There is more than {places} here.").format(places=_places(names)))
    return {name: _value(name, word) for name, word in zip(names, words, strict=False)}
