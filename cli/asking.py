"""What is asked for at the terminal, and what is said there before anything starts."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import settings
from cli.interrupts import as_exceptions
from cli.parsing import Arguments
from client.output import streams
from i18n import N_, _
from protocol.hosts import Address, host_and_port, is_loopback
from protocol.safe_text import visible
from settings import (
    QUESTIONS,
    ROWS,
    MissingSetting,
    Setting,
    SettingsError,
    Sources,
    addresses,
)
from settings.backend import may_hold_password

_LOOK_UP_SECONDS = 2.0  # that a person waits for the name service before the first question

Chosen = TypeVar("Chosen")


class UnknownServer(Exception):
    """Nobody is called as the server that is wanted; the text is one sentence (exit status 3)."""


def settle(build: Callable[[Sources], Chosen], sources: Sources, new: str = "") -> Chosen:
    """The settings; what is missing is asked for if somebody is at a terminal.

    ``new`` is a setting that is about to be set: nobody could tell that it was mistyped, so it is
    asked for twice.  Raises ``SettingsError``, and ``UnknownServer`` before it asks in vain.
    """
    checked: Sequence[Address] = ()
    while True:
        try:
            chosen = build(sources)
            break
        except MissingSetting as missing:
            if sources.dials != checked:
                checked = sources.dials
                check_names(checked)
            if missing.name == "CLIENT_PASSWORD":
                found = sources.find("CLIENT_IDENTITY")
                check_identity("" if found is None else found.value.strip())
            given = ask(missing)
            if missing.name == new and given.strip() and _once_more() != given:
                sentence = _("The two passwords differ: start again and type the same twice.")
                raise SettingsError(sentence) from None
            sources = sources.with_answer(missing.name, given)
    note_entry(sources)
    if used := sources.dotenv.used():
        sentence = _("settings from {path}: {names}")
        say(sentence.format(path=sources.dotenv.name, names=", ".join(used)))
    return chosen


def _once_more() -> str | None:
    return answer(_("The same once more: "), hidden=True)


def ask(missing: MissingSetting) -> str:
    """The user's answer; raises ``missing`` where there is none."""
    given = answer(missing.question, missing.hidden)
    if given is None:
        raise missing
    return given


def answer(question: str, hidden: bool = False) -> str | None:
    """What is typed at a terminal; None where nobody can be asked, or nothing comes."""
    if not streams.is_terminal(sys.stdin):
        return None
    try:
        with as_exceptions():  # or the terminal would go on hiding what is typed
            return _typed(question, hidden)
    except (EOFError, UnicodeDecodeError):
        print(file=sys.stderr)
        return None


def check_names(wanted: Sequence[Address]) -> None:
    """Before somebody is asked for what only this server needs; none: a proxy looks them up.

    Raises UnknownServer if the name service knows none of its names.
    """
    if not wanted or not streams.is_terminal(sys.stdin):
        return
    from transport.resolver import are_unknown

    if are_unknown(wanted, _LOOK_UP_SECONDS):
        from client import messages

        (host, port), *_others = wanted
        sentence = messages.unreachable("name", host_and_port(host, port))
        raise UnknownServer(sentence + settings.entry_hint(host, settings.environment()))


def check_identity(path: str | None) -> None:
    """Before somebody is asked for what a missing file makes vain.  Raises SettingsError."""
    if path and streams.is_terminal(sys.stdin) and not os.path.lexists(path):
        from client import messages

        raise SettingsError(messages.identity("missing", {"path": path}))


def _typed(question: str, hidden: bool) -> str:
    if hidden:
        from getpass import getpass

        return getpass(visible(question))
    # Not input's own prompt: it would go to standard output, among the events of json.
    print(visible(question), end="", file=sys.stderr, flush=True)
    return input()


def passphrase(names: tuple[str, ...], again: bool) -> str:
    """A passphrase that is asked for, twice if it is a new one.  Raises ``SettingsError``."""
    missing = settings.missing(names)
    while not (given := ask(missing)).strip():
        pass
    if again:
        note_guessable_passphrase(given)
    if again and _once_more() != given:
        raise SettingsError(_("The two passphrases differ: start again and type the same twice."))
    return given


def say(sentence: str) -> None:
    """One sentence on standard error, if there is one."""
    streams.say(f"cmd_chat: {sentence}")


def note_entry(sources: Sources) -> None:
    """Say which server an entry of ``servers.ini`` stands for: to people always, and to programs
    where a host may be called so, too."""
    entry = sources.entry
    if entry and (streams.is_terminal(sys.stderr) or _is_host(entry.name)):
        server = ", ".join(host_and_port(*each) for each in addresses(sources))
        sentence = _("{name} is {server}, as {path} has it.")
        say(sentence.format(name=entry.name, server=server, path=entry.path))


def _is_host(name: str) -> bool:
    """Whether it is somebody's address as it stands; the network is not asked."""
    return "." in name or ":" in name or is_loopback(name)


def note_guessable(password: str) -> None:
    """Say so if ``password`` is one that is guessed quickly; it is never shown."""
    sentence = N_(
        "This password can be guessed quickly; better are four words that have nothing to "
        "do with each other."
    )
    _say_if_guessable(password, sentence)


def note_guessable_passphrase(passphrase: str) -> None:
    """The same of a passphrase that is about to be set: whoever has the file guesses at leisure."""
    sentence = N_(
        "This passphrase can be guessed quickly; better are four words that have nothing to "
        "do with each other."
    )
    _say_if_guessable(passphrase, sentence)


def _say_if_guessable(secret: str, sentence: str) -> None:
    from cli.strength import is_guessable

    if is_guessable(secret):
        say(_(sentence))


def note_exposed(args: Arguments) -> None:
    """Say once which secrets of a command line others can see, and what is safer."""
    exposed = [
        ROWS[name]
        for name, value in args.items()
        if isinstance(value, str) and value and ROWS[name].secret and ROWS[name].side != "line"
        if name != "CLIENT_PROXY" or settings.holds_password(value)
        if name != "BACKEND_URL" or may_hold_password(value)
    ]
    if exposed:
        sentence = _(
            "Note: others on this machine can see {words} on the command line, for example "
            "with ps. Safer: {ways}."
        )
        words = ", ".join(row.word for row in exposed)
        ways = ", ".join(way for row in exposed for way in _safer_ways(row))
        say(sentence.format(words=words, ways=ways))


def note_exposed_text() -> None:
    """The same of a text to be sent; but only to somebody at a terminal: what runs every night
    would say it every night."""
    if streams.is_terminal(sys.stderr):
        sentence = _(
            "Note: others on this machine can see {words} on the command line, for example "
            "with ps. Safer: {ways}."
        )
        say(sentence.format(words=ROWS["<MESSAGE>"].word, ways=_("standard input, or --file")))


def _safer_ways(row: Setting) -> list[str]:
    file = ROWS.get(f"{row.name}_FILE")
    ways = [file.flag] if file else []
    ways.append(_("{setting} in the environment or in .env").format(setting=row.name))
    if row.name in QUESTIONS:
        ways.append(_("the hidden prompt"))
    return ways
