"""CMD CHAT's command line: parse, gather the settings, start what was asked for, exit status.

    python cmd_chat.py serve | connect | token | history

Nothing heavy is imported before it is needed, so that help and mistakes answer at once. No
traceback ever reaches the user: it could show a secret, and helps nobody who chats.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn, TextIO, TypeVar

if sys.version_info < (3, 10):  # noqa: UP036 - said here, before newer syntax says it worse
    sys.exit("CMD CHAT needs Python 3.10 or newer.")

sys.dont_write_bytecode = True  # the program leaves no files behind

# Only now what is ours: importing it must not write either.
import i18n  # noqa: E402
import settings  # noqa: E402
from i18n import N_, _  # noqa: E402
from settings import (  # noqa: E402
    HISTORY_PASSPHRASES,
    QUESTIONS,
    ROWS,
    ClientSettings,
    HistorySettings,
    MissingSetting,
    ServerSettings,
    Setting,
    SettingsError,
    TokenSettings,
)

VERSION = "1.0.0"

about: Callable[[], str] = str  # what --version tells besides; cmd_chat.pyz puts its own here

# Exit statuses of this file; docs and ``server.app``, ``client.app`` have the others.
LEFT, BROKEN, USAGE, INTERRUPTED = 0, 1, 2, 130

_ASK = "\0"  # stands for an optional value that was left out; no argument can contain it

Arguments = dict[str, str | bool | None]  # by setting's name, as ``settings`` takes them
Environ = Mapping[str, str]
Chosen = TypeVar("Chosen", ServerSettings, ClientSettings, TokenSettings, HistorySettings)
Build = Callable[[Arguments, Environ, Environ, Environ], Chosen]


class UsageError(Exception):
    """A command line that cannot be understood; ``usage`` shows how it is written."""

    def __init__(self, sentence: str, usage: str = "") -> None:
        super().__init__(sentence)
        self.usage = usage


# The command line


@dataclass(frozen=True)
class Command:
    """One subcommand: what ``--help`` says of it, and its options as rows of the settings."""

    name: str
    summary: str
    words: tuple[str, ...]  # names of its positionals, all of them optional
    options: tuple[str, ...]
    examples: tuple[str, ...]


SERVE = Command(
    "serve",
    N_("Start a server."),
    ("SERVER_HOST", "SERVER_PORT"),
    (
        "ADMIN_PASSWORD",
        "ADMIN_PASSWORD_FILE",
        "SSL_CERT_PATH",
        "SSL_KEY_PATH",
        "FORCE_SSL",
        "CMD_CHAT_LANGUAGE",
    ),
    (
        "{run} serve",
        "{run} serve 0.0.0.0 1000 --password-file password.txt",
        "{run} serve 0.0.0.0 1000 --ssl-cert cert.pem --ssl-key key.pem --force-ssl",
    ),
)

CONNECT = Command(
    "connect",
    N_("Connect to a server and chat."),
    ("CLIENT_SERVER", "CLIENT_PORT", "CLIENT_USERNAME", "CLIENT_PASSWORD"),
    (
        "CLIENT_TOKEN",
        "CLIENT_PASSWORD_FILE",
        "CLIENT_ROOM",
        "CLIENT_ROOM_SECRET",
        "CLIENT_ROOM_SECRET_FILE",
        "CLIENT_INVITE",
        "CLIENT_INVITE_FILE",
        "RENDERER_MODE",
        "CMD_CHAT_LANGUAGE",
        "CLIENT_LISTEN",
        "CLIENT_BELL",
        "CLIENT_RECONNECT",
        "ENABLE_LOCAL_HISTORY",
        "HISTORY_PASSPHRASE_FILE",
        "CLIENT_USE_SSL",
        "CLIENT_SSL_CA",
        "CLIENT_SSL_FINGERPRINT",
    ),
    (
        "{run} connect localhost 1000 alice",
        "{run} connect localhost 1000 alice --room team --secret",
        "{run} connect chat.example.org 1000 --ssl --token TOKEN",
        "{run} connect 'cmdchat://chat.example.org/team#secret' alice",
        "echo hello | {run} connect localhost 1000 bob --password-file pw --renderer json",
    ),
)

TOKEN = Command(
    "token",
    N_("Get a token for somebody from a running server, or revoke one."),
    ("<USERNAME>",),
    (
        "--ttl",
        "CLIENT_SERVER",
        "CLIENT_PORT",
        "ADMIN_PASSWORD",
        "ADMIN_PASSWORD_FILE",
        "CLIENT_USE_SSL",
        "CLIENT_SSL_CA",
        "CLIENT_SSL_FINGERPRINT",
        "CMD_CHAT_LANGUAGE",
    ),
    (
        "{run} token alice --ttl 86400",
        "{run} token alice --server chat.example.org --port 1000 --ssl",
        "{run} token --revoke TOKEN",
    ),
)

HISTORY = Command(
    "history",
    N_("Look into the encrypted histories on this machine, or delete them."),
    ("<ACTION>", "<TEXT>", "<SERVER>"),
    (
        "--last",
        "--room",
        "--yes",
        "HISTORY_PASSPHRASE_FILE",
        "--new-passphrase-file",
        "CMD_CHAT_LANGUAGE",
    ),
    (
        "{run} history list",
        "{run} history show localhost:1000 --last 50",
        "{run} history search 'the word' --room team",
        "{run} history export chat.example.org",
        "{run} history passphrase",
        "{run} history delete localhost:1000",
    ),
)

COMMANDS = {command.name: command for command in (SERVE, CONNECT, TOKEN, HISTORY)}

# Positionals of ``connect`` that are options of ``token``.
_TOKEN_FLAGS = {"CLIENT_SERVER": "--server", "CLIENT_PORT": "--port"}

_DESCRIPTION = N_("A chat for the terminal, with end-to-end encryption, that leaves no traces.")
_EPILOG = N_(
    "Every setting may also come from the environment or from a file .env; the file "
    ".env.example lists them."
)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help with examples as they are written, and ``--secret[=VALUE]`` without a space."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        return super()._format_action_invocation(action).replace(" [=", "[=")


class _Parser(argparse.ArgumentParser):
    """argparse, with mistakes as exceptions."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message[:1].upper() + message[1:] + ".", self.format_usage())

    def format_usage(self) -> str:
        return super().format_usage().replace(" [=", "[=")

    def format_help(self) -> str:
        return super().format_help().replace(" [=", "[=")


def _add_help(parser: argparse.ArgumentParser) -> None:
    # A flag and no more: help needs what the parser that finds it does not have.
    text = _("show this help message and exit")
    parser.add_argument("-h", "--help", action="store_true", help=text)


def _add_option(parser: argparse.ArgumentParser, name: str, for_help: bool) -> None:
    row = ROWS[name]
    flag = row.flag or _TOKEN_FLAGS[name]
    names = [row.short, flag] if row.short else [flag]
    text = _option_help(row) if for_help else ""
    if row.implies:
        parser.add_argument(
            *names, dest=name, action="store_const", const=row.implies, help=text
        )
    else:
        metavar = f"[={row.word}]" if row.optional else row.word
        parser.add_argument(*names, dest=name, metavar=metavar, help=text)


def _option_help(row: Setting) -> str:
    text = _(row.flag_help or row.help)
    if row.name == "CMD_CHAT_LANGUAGE":
        text += f" ({', '.join(i18n.available())})"
    elif row.default and not row.implies:
        text += " ({})".format(_("default: {value}").format(value=row.default))
    return text.replace("%", "%%")


def _prog() -> str:
    return os.path.basename(sys.argv[0]) or "cmd_chat.py"


def _examples(command: Command) -> str:
    from textwrap import fill

    run = f"python {_prog()}"
    lines = [_("examples:"), *("  " + line.format(run=run) for line in command.examples)]
    return "\n".join([*lines, "", fill(_(_EPILOG), 79)])


def _parser(command: Command, for_help: bool) -> _Parser:
    """The parser of a subcommand.

    Positionals are only in its help: argparse cannot take optional positionals that have
    options in between, so they are told apart from what a parser without them leaves over.
    """
    parser = _Parser(
        prog=f"{_prog()} {command.name}",
        description=_(command.summary),
        epilog=_examples(command) if for_help else "",
        formatter_class=_Formatter,
        allow_abbrev=False,
        add_help=False,
    )
    for name in command.words if for_help else ():
        word = "SERVER|LINK" if name == "CLIENT_SERVER" else ROWS[name].word
        parser.add_argument(name, metavar=word, nargs="?", help=_(ROWS[name].help))
    _add_help(parser)
    if command is TOKEN:
        text = _("revoke the token that stands (whole, or its id) in place of USERNAME")
        parser.add_argument("--revoke", action="store_true", help=text)
    for name in command.options:
        _add_option(parser, name, for_help)
    return parser


def _top_parser() -> _Parser:
    parser = _Parser(
        prog=_prog(),
        usage=f"{_prog()} [--help] [--version] {{{','.join(COMMANDS)}}} …",
        description=_(_DESCRIPTION),
        epilog=_("{prog} COMMAND --help tells more, with examples.").format(prog=_prog()),
        formatter_class=_Formatter,
        allow_abbrev=False,
        add_help=False,
    )
    commands = parser.add_argument_group(_("commands"))
    for command in COMMANDS.values():
        commands.add_argument(command.name, nargs="?", help=_(command.summary))
    _add_help(parser)
    parser.add_argument("--version", action="store_true", help=_("show the version and exit"))
    _add_option(parser, "CMD_CHAT_LANGUAGE", for_help=True)
    return parser


def parse(command: Command, argv: Sequence[str], invited: bool = False) -> Arguments | None:
    """The settings that a subcommand's arguments give; None where help was asked for.

    ``invited``: an invite link is set elsewhere, and so the positionals need not name a server.
    Raises ``UsageError``, which repeats no argument but the names of options.
    """
    try:
        options, words = _split(command, argv)
        found, rest = _parser(command, for_help=False).parse_known_args(options)
        if found.help:
            return None
        words = [*_only_words(command, rest), *words]
        args = {name: _value(name, vars(found)[name]) for name in command.options}
        if command is TOKEN and found.revoke:
            return args | _by_name(("<TOKEN>",), words or [_ASK])
        if command is CONNECT:
            return args | _connect_words(args, words, invited)
        if command is HISTORY and words[:1] != ["search"]:
            return args | _by_name(("<ACTION>", "<SERVER>"), words)
        return args | _by_name(command.words, words)
    except UsageError as error:
        raise UsageError(str(error), _parser(command, for_help=True).format_usage()) from None


def _split(command: Command, argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before ``--``, with a mark at flags without their value, and what after it."""
    end = list(argv).index("--") if "--" in argv else len(argv)
    asking = {ROWS[name].flag for name in command.options if ROWS[name].optional}
    before = [f"{option}={_ASK}" if option in asking else option for option in argv[:end]]
    return before, list(argv[end + 1 :])


def _value(name: str, text: str | None) -> str | bool | None:
    # "--secret=$EMPTY" asks, too: to go on without a secret is not what it says.
    asking = text == _ASK or (text == "" and ROWS[name].optional)
    return True if asking else text


def _only_words(command: Command, rest: Sequence[str]) -> list[str]:
    """``rest``, if there is no option in it that ``command`` lacks."""
    for word in rest:
        if word.startswith("-") and word != "-":
            # Only the option's name: what follows may be a secret.
            option = word.split("=")[0] if word.startswith("--") else word[:2]
            flags = [ROWS[name].flag or _TOKEN_FLAGS[name] for name in command.options]
            sentence = _("{option} is not an option of {command}.")
            raise UsageError(
                sentence.format(option=option, command=command.name) + _nearest(option, flags)
            )
    return list(rest)


def _nearest(word: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, known, 1)
    return " " + _("Is {word} meant?").format(word=close[0]) if close else ""


def _connect_words(args: Arguments, words: list[str], invited: bool) -> Arguments:
    from protocol.invite import is_invite

    person = CONNECT.words[2:]
    if words and is_invite(words[0]):
        if args["CLIENT_INVITE"] or args["CLIENT_INVITE_FILE"]:
            raise UsageError(_("There are two invite links; keep one of them."))
        return {"CLIENT_INVITE": words[0], **_by_name(person, words[1:])}
    if args["CLIENT_INVITE"] or args["CLIENT_INVITE_FILE"] or (invited and len(words) <= 2):
        return _by_name(person, words)
    return _by_name(CONNECT.words, words)


def _by_name(names: Sequence[str], words: Sequence[str]) -> Arguments:
    if len(words) > len(names):
        places = " ".join(ROWS[name].word for name in names)
        raise UsageError(_("There is more than {places} here.").format(places=places))
    return {name: _value(name, word) for name, word in zip(names, words, strict=False)}


# Gathering the settings


def _early_language(argv: Sequence[str], environ: Environ, dotenv: Environ) -> None:
    """Set the language in which mistakes and help are told, before anything is checked."""
    wanted: dict[str, str | bool | None] = {}
    for place, word in enumerate(argv):
        if word == "--":
            break
        if word in ("-l", "--language"):
            wanted = {"CMD_CHAT_LANGUAGE": "".join(argv[place + 1 : place + 2])}
        elif word.startswith(("-l", "--language=")):
            wanted = {"CMD_CHAT_LANGUAGE": word[len("--language=" if word[1] == "-" else "-l") :]}
    try:
        i18n.use(settings.language(wanted, environ, dotenv))
    except SettingsError:
        i18n.use(i18n.from_locale(environ))  # what is wrong is told later, in this language


def _settle(build: Build[Chosen], args: Arguments, environ: Environ, dotenv: Environ) -> Chosen:
    """The settings; what is missing is asked for if somebody is at a terminal."""
    answers: dict[str, str] = {}
    while True:
        try:
            return build(args, environ, dotenv, answers)
        except MissingSetting as missing:
            answers[missing.name] = _ask(missing)


def _ask(missing: MissingSetting) -> str:
    """The user's answer; raises ``missing`` where there is none."""
    answer = _answer(missing.question, missing.hidden)
    if answer is None:
        raise missing
    return answer


def _answer(question: str, hidden: bool = False) -> str | None:
    """What is typed at a terminal; None where nobody can be asked, or nothing comes."""
    if not _is_terminal(sys.stdin):
        return None
    try:
        if hidden:
            from getpass import getpass

            return getpass(question)
        # Not input's own prompt: it would go to standard output, among the events of json.
        print(question, end="", file=sys.stderr, flush=True)
        return input()
    except (EOFError, UnicodeDecodeError):
        print(file=sys.stderr)
        return None


def _passphrase(names: tuple[str, ...], again: bool) -> str:
    """A passphrase that is asked for, twice if it is a new one.  Raises ``SettingsError``."""
    missing = settings.missing(names)
    while not (answer := _ask(missing)).strip():
        pass
    if again and _answer(_("The same once more: "), hidden=True) != answer:
        raise SettingsError(_("The two passphrases differ: start again and type the same twice."))
    return answer


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty()


def _say(sentence: str) -> None:
    """One sentence on standard error, if there is one."""
    if sys.stderr is not None:  # None: closed by who started us
        with contextlib.suppress(OSError, ValueError):
            print(f"cmd_chat: {sentence}", file=sys.stderr, flush=True)


def _note_exposed(args: Arguments) -> None:
    exposed = [
        ROWS[name]
        for name, value in args.items()
        if isinstance(value, str) and value and ROWS[name].secret and ROWS[name].side != "line"
    ]
    if exposed:
        sentence = _(
            "Note: others on this machine can see {words} on the command line, for example "
            "with ps. Safer: {ways}."
        )
        words = ", ".join(row.word for row in exposed)
        ways = ", ".join(way for row in exposed for way in _safer_ways(row))
        _say(sentence.format(words=words, ways=ways))


def _safer_ways(row: Setting) -> list[str]:
    file = ROWS.get(f"{row.name}_FILE")
    ways = [file.flag] if file else []
    ways.append(_("{setting} in the environment or in .env").format(setting=row.name))
    if row.name in QUESTIONS:
        ways.append(_("the hidden prompt"))
    return ways


# Starting


def _serve(args: Arguments, environ: Environ, dotenv: Environ) -> int:
    chosen = _settle(settings.server_settings, args, environ, dotenv)
    from server.app import run

    return run(chosen)


def _connect(args: Arguments, environ: Environ, dotenv: Environ) -> int:
    chosen = _settle(settings.client_settings, args, environ, dotenv)
    if chosen.listen and chosen.renderer == "rich":
        if _is_terminal(sys.stdin) and _is_terminal(sys.stdout):
            sentence = _("CLIENT_LISTEN (--listen) needs --renderer minimal or json on a terminal.")
            raise SettingsError(sentence)
    if chosen.history and chosen.history_passphrase is None:
        from pathlib import Path

        from client.history import is_new

        folder = Path(settings.history_folder(environ))
        again = is_new(folder, chosen.server, chosen.port)
        chosen = replace(chosen, history_passphrase=_passphrase(HISTORY_PASSPHRASES, again))
    from client.ahead import run

    return run(chosen)


def _token(args: Arguments, environ: Environ, dotenv: Environ) -> int:
    chosen = _settle(settings.token_settings, args, environ, dotenv)
    from client.token import run

    return run(chosen)


def _history(args: Arguments, environ: Environ, dotenv: Environ) -> int:
    chosen = _settle(settings.history_settings, args, environ, dotenv)
    from pathlib import Path

    from client.history_command import run

    return run(chosen, Path(settings.history_folder(environ)), _passphrase, _answer)


_STARTS: dict[str, Callable[[Arguments, Environ, Environ], int]] = {
    SERVE.name: _serve,
    CONNECT.name: _connect,
    TOKEN.name: _token,
    HISTORY.name: _history,
}


def _harden() -> None:
    """Neither core dumps, where the system lets us, nor stack traces: both show keys and texts."""
    threading.excepthook = lambda args: _unexpected(args.exc_type)
    sys.unraisablehook = lambda args: _unexpected(args.exc_type)
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with contextlib.suppress(ImportError, OSError, AttributeError):
            import ctypes

            ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: not even through a pipe


def _run(argv: Sequence[str]) -> int:
    environ = settings.environment()
    i18n.hook_argparse()
    unreadable: SettingsError | None = None
    try:
        dotenv = settings.read_dotenv(".env")
    except SettingsError as error:
        dotenv, unreadable = {}, error  # help does without it
    _early_language(argv, environ, dotenv)
    command = COMMANDS.get(argv[0]) if argv else None
    if command is None:
        return _without_command(argv)
    args = parse(command, argv[1:], settings.has_invite(environ, dotenv))
    if args is None:
        _show(_parser(command, for_help=True).format_help())
        return LEFT
    if unreadable:
        raise unreadable
    for sentence in settings.near_misses(dotenv):
        _say(sentence)
    _note_exposed(args)
    _harden()
    return _STARTS[command.name](args, environ, dotenv)


def _without_command(argv: Sequence[str]) -> int:
    parser = _top_parser()
    words = [word for word in argv if not word.startswith("-")]
    if {"-h", "--help"} & set(argv):
        _show(parser.format_help())
    elif "--version" in argv:
        _show(f"CMD CHAT {VERSION}\n{about()}")
    elif words and words[0] not in COMMANDS and argv[0] == words[0]:
        raise UsageError(
            _("{word} is no command.").format(word=repr(words[0][:40]))
            + _nearest(words[0], list(COMMANDS)),
            parser.format_usage(),
        )
    else:
        raise UsageError(_("The first word must be a command."), parser.format_usage())
    return LEFT


def _show(text: str) -> None:
    """Text on standard output, in whatever characters that can take."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), end="")


def _drop_output() -> None:
    """Point standard output away from a reader that has gone, lest Python flush to it again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _unexpected(kind: type[BaseException]) -> None:
    """The last resort. Only the kind of the error is told: the rest may hold what is secret."""
    _say(_("Something unexpected happened ({kind}).").format(kind=kind.__name__))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; ``argv`` is without its name. Returns the exit status."""
    try:
        status = _run(sys.argv[1:] if argv is None else argv)
        if sys.stdout is not None:
            sys.stdout.flush()  # a reader that has gone shows here, and not after the end
        return status
    except UsageError as error:
        more = _("--help tells more.")
        _say(f"{error} {more}\n{error.usage.rstrip()}")
        return USAGE
    except SettingsError as error:
        _say(str(error))
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return LEFT
    except Exception as error:  # a bug of ours, and no reason to show its innards
        _unexpected(type(error))
        return BROKEN


if __name__ == "__main__":
    sys.exit(main())
