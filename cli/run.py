"""From a command line to an exit status: gather the settings, start what was asked for.

Nothing heavy is imported before it is needed, so that help and mistakes answer at once. No
traceback ever reaches the user: it could show a secret, and helps nobody who chats.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from io import TextIOWrapper

import i18n
import settings
from cli import asking, packages
from cli.asking import say, settle
from cli.interrupts import as_exceptions
from cli.parsing import UsageError, nearest, parse, parser, top_parser
from cli.table import (
    COMMANDS,
    COMPLETION,
    CONNECT,
    HISTORY,
    IDENTITY,
    SEND,
    SERVE,
    STATUS,
    TAIL,
    TOKEN,
    VERSION,
    WAIT,
    Subcommand,
    flags,
)
from client.output import streams
from i18n import _
from protocol.dataclass import replace
from protocol.safe_text import visible
from settings import (
    HISTORY_PASSPHRASES,
    IDENTITY_PASSPHRASES,
    ClientSettings,
    SettingsError,
    Sources,
)
from settings.exit_status import ExitStatus

about: Callable[[], str] = str  # what --version tells besides; cmd_chat.pyz puts its own here


def _early(argv: Sequence[str], name: str) -> str | None:
    """What the last option for a setting gives, which is needed before the line is parsed."""
    given = None
    for place, word in enumerate(argv):
        if word == "--":
            break
        for flag in flags(name):
            if word == flag:
                given = "".join(argv[place + 1 : place + 2])
            elif word.startswith(f"{flag}=" if flag.startswith("--") else flag):
                given = word[len(flag) :].removeprefix("=")
    return given


def _use_language(sources: Sources) -> None:
    """Set the language in which mistakes and help are told, before anything is checked."""
    try:
        i18n.use(sources.language())
    except SettingsError:
        i18n.use(i18n.from_locale(sources.environ))  # what is wrong is told later, in this one


# Starting


def _serve(sources: Sources) -> int:
    if sources.find("BACKEND_URL") and (wrong := packages.lacking_for_backend()):
        say(wrong)
        return ExitStatus.USAGE
    chosen = settle(settings.server_settings, sources, new="ADMIN_PASSWORD")
    dotenv = sources.dotenv
    if from_file := {"ADMIN_PASSWORD", "ADMIN_PASSWORD_FILE"} & dotenv.taken:
        sentence = _("The password that people need to connect is the one of {path} ({setting}).")
        say(sentence.format(path=dotenv.name, setting=", ".join(from_file)))
    asking.note_guessable(chosen.password)
    from server.app import run

    return run(chosen)


def _connect(sources: Sources) -> int:
    streams.check()
    chosen = settle(settings.client_settings, sources)
    if chosen.on_message is not None:
        _check_program(chosen.on_message[0])
    elif chosen.listen and chosen.renderer == "rich" and not chosen.spoken:
        if streams.is_terminal(sys.stdin) and streams.is_terminal(sys.stdout):
            sentence = _("CLIENT_LISTEN (--listen) needs --renderer minimal or json on a terminal.")
            raise SettingsError(sentence)
    if chosen.input_form != "lines" and chosen.renderer != "json":
        if streams.is_terminal(sys.stdin) and streams.is_terminal(sys.stdout):
            raise SettingsError(
                _("CLIENT_INPUT (--input) is for programs: it needs --renderer json, or a pipe.")
            )
    chosen = _with_passphrase(chosen)
    if chosen.history:
        chosen = _with_history_passphrase(chosen, sources)
    if chosen.history and "ENABLE_LOCAL_HISTORY" in sources.dotenv.taken:
        chosen = replace(chosen, history_from=sources.dotenv.name)
    from client.background import StartupKeys

    # On threads of their own, while the client is loaded, which takes as long.
    keys = StartupKeys(chosen)
    from client.app import run

    return run(chosen, keys)


def _check_name(chosen: ClientSettings) -> None:
    """Raises ``UnknownServer``, if somebody is about to be asked for a passphrase in vain."""
    asking.check_names(chosen.addresses if chosen.proxy is None else ())


def _check_program(name: str) -> None:
    """Raises SettingsError where there is none, rather than at the first message."""
    from shutil import which

    if which(name) is None:
        sentence = _("There is no program {program} that can be run (--on-message).")
        raise SettingsError(sentence.format(program=repr(name)))


def _with_passphrase(chosen: ClientSettings) -> ClientSettings:
    """The same with that of the identity, which is asked for where nothing sets it."""
    asking.check_identity(chosen.identity)
    if chosen.identity is None or chosen.identity_passphrase is not None:
        return chosen
    _check_name(chosen)
    given = asking.passphrase(IDENTITY_PASSPHRASES, again=False)
    return replace(chosen, identity_passphrase=given)


def _with_history_passphrase(chosen: ClientSettings, sources: Sources) -> ClientSettings:
    """The same with that of the history, asked for where nothing sets it, and judged if it is to
    be the passphrase of a new one."""
    from pathlib import Path

    from client.history.recorder import is_new

    folder = Path(settings.history_folder(sources.environ))
    new = is_new(folder, chosen.server, chosen.port)
    if chosen.history_passphrase is not None:
        if new:
            asking.note_guessable_passphrase(chosen.history_passphrase)
        return chosen
    _check_name(chosen)
    return replace(chosen, history_passphrase=asking.passphrase(HISTORY_PASSPHRASES, new))


def _token(sources: Sources) -> int:
    chosen = settle(settings.token_settings, sources)
    from client.token import run

    return run(chosen)


def _history(sources: Sources) -> int:
    chosen = settle(settings.history_settings, sources)
    from pathlib import Path

    from client.history.command import run

    folder = Path(settings.history_folder(sources.environ))
    if chosen.action == "passphrase" and chosen.new_passphrase:
        asking.note_guessable_passphrase(chosen.new_passphrase)
    with as_exceptions():  # whatever file it is changing is then put in order
        return run(chosen, folder, asking.passphrase, asking.answer)


def _identity(sources: Sources) -> int:
    chosen = settle(settings.identity_settings, sources)
    set_by = {"new": chosen.passphrase, "passphrase": chosen.new_passphrase}
    if to_be_set := set_by.get(chosen.action):
        asking.note_guessable_passphrase(to_be_set)
    from client.identity.command import run

    with as_exceptions():
        return run(chosen, asking.passphrase)


def _status(sources: Sources) -> int:
    try:
        chosen = settle(settings.status_settings, sources)
        if chosen.login:
            chosen = replace(chosen, login=_with_passphrase(chosen.login))
    except asking.UnknownServer:  # the report says so, and the rest besides
        args = {**sources.args, "--login": None}
        chosen = settle(settings.status_settings, Sources(args, sources.environ, sources.dotenv))
    from client.status import run

    return run(chosen)


def _send(sources: Sources) -> int:
    chosen = settle(settings.send_settings, sources)
    if chosen.text is not None:
        asking.note_exposed_text()
    client = _with_passphrase(chosen.client)
    from client.background import StartupKeys

    keys = StartupKeys(client)
    from client.programs.send import run

    return run(replace(chosen, client=client), keys)


def _tail(sources: Sources) -> int:
    return _listen(settle(settings.tail_settings, sources))


def _wait(sources: Sources) -> int:
    return _listen(settle(settings.wait_settings, sources))


def _listen(chosen: settings.TailSettings) -> int:
    streams.check()
    client = _with_passphrase(chosen.client)
    from client.background import StartupKeys

    keys = StartupKeys(client)
    from client.programs.tail import run

    return run(replace(chosen, client=client), keys)


def _completion(sources: Sources) -> int:
    from cli import completion

    _show(completion.script(settle(completion.chosen_shell, sources)))
    return ExitStatus.LEFT


_STARTS: dict[str, Callable[[Sources], int]] = {
    SERVE.name: _serve,
    CONNECT.name: _connect,
    TOKEN.name: _token,
    HISTORY.name: _history,
    IDENTITY.name: _identity,
    STATUS.name: _status,
    SEND.name: _send,
    TAIL.name: _tail,
    WAIT.name: _wait,
    COMPLETION.name: _completion,
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
    wanted = {"CMD_CHAT_LANGUAGE": _early(argv, "CMD_CHAT_LANGUAGE")}
    _use_language(Sources(wanted, environ, {}))  # for what is to be said of the file itself
    unreadable: SettingsError | None = None
    try:
        dotenv = settings.read_dotenv(_early(argv, "--env-file"))
    except SettingsError as error:
        dotenv, unreadable = settings.Dotenv(), error  # help does without it
    if "CMD_CHAT_LANGUAGE" in dotenv:
        _use_language(Sources(wanted, environ, dotenv))
    command = COMMANDS.get(argv[0]) if argv else None
    if command is None:
        return _without_command(argv)
    args = parse(command, argv[1:], Sources({}, environ, dotenv).has_invite())
    if args is None:
        _show(parser(command, for_help=True).format_help() + _named_servers(command, environ))
        return ExitStatus.LEFT
    if wrong := packages.lacking():
        say(wrong)
        return ExitStatus.USAGE
    if unreadable:
        raise unreadable
    for sentence in (*dotenv.notices, *settings.near_misses(dotenv)):
        say(sentence)
    asking.note_exposed(args)
    _harden()
    return _STARTS[command.name](Sources(args, environ, dotenv))


def _named_servers(command: Subcommand, environ: Mapping[str, str]) -> str:
    """What help adds for those who have given names to servers."""
    if not {"CLIENT_SERVER", "<SERVER>"} & {*command.words, *command.options}:
        return ""
    path, names = settings.server_names(environ)
    return f"\n{settings.named_servers(path, names)}\n" if names else ""


def _without_command(argv: Sequence[str]) -> int:
    parser = top_parser()
    words = [word for word in argv if not word.startswith("-")]
    if {"-h", "--help"} & set(argv):
        _show(parser.format_help())
    elif "--version" in argv:
        _show(f"CMD CHAT {VERSION}\n{about()}")
    elif words and words[0] not in COMMANDS and argv[0] == words[0]:
        raise UsageError(
            _("{word} is not a command.").format(word=repr(words[0][:40]))
            + nearest(words[0], list(COMMANDS)),
            parser.format_usage(),
        )
    else:
        raise UsageError(_("The first word must be a command."), parser.format_usage())
    return ExitStatus.LEFT


def _show(text: str) -> None:
    """Text on standard output, in whatever characters that can take."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    # The program's own name is somebody's word, too.
    streams.write(visible(text).encode(encoding, "replace").decode(encoding))


def _write_utf8() -> None:
    """On Windows, what goes to a file or a pipe would be in a code page that lacks most letters;
    consoles take all of them."""
    if sys.platform != "win32" or "PYTHONIOENCODING" in os.environ:
        return
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and not stream.isatty():
            stream.reconfigure(encoding="utf-8", errors=stream.errors)


def _fill_descriptors() -> None:
    """Let no file or socket of ours be taken for a standard stream that was closed."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free: this one


def _unexpected(kind: type[BaseException]) -> None:
    """The last resort. Only the kind of the error is told: the rest may hold what is secret."""
    say(_("Something unexpected happened ({kind}).").format(kind=kind.__name__))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; ``argv`` is without its name. Returns the exit status."""
    _write_utf8()
    _fill_descriptors()
    try:
        status = _run(sys.argv[1:] if argv is None else argv)
        streams.flush()  # what cannot be written shows here, and not after the end
        return status
    except UsageError as error:
        more = _("--help tells more.")
        say(f"{error} {more}\n{error.usage.rstrip()}")
        return ExitStatus.USAGE
    except SettingsError as error:
        say(str(error))
        return ExitStatus.USAGE
    except asking.UnknownServer as error:
        say(str(error))
        return ExitStatus.UNREACHABLE
    except KeyboardInterrupt:  # at a question, or twice where it had been asked to leave
        return ExitStatus.INTERRUPTED
    except ImportError as error:  # a package for another machine, or half of one
        say(packages.unusable(error))
        return ExitStatus.USAGE
    except BrokenPipeError:
        streams.drop()
        return ExitStatus.LEFT
    except streams.Unwritable as error:
        say(streams.sentence(str(error)))
        streams.drop()
        return ExitStatus.UNWRITABLE
    except MemoryError:  # a room's secret takes 128 MB for a moment
        say(_("There is not enough memory left here; end other programs, and try again."))
        return ExitStatus.FAILED
    except Exception as error:  # a bug of ours, and no reason to show its innards
        _unexpected(type(error))
        return ExitStatus.FAILED
