"""``cmd_chat.py identity``: makes an identity that lasts, looks into it, forgets people."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client import messages
from client.identity.records import Contents, Person
from client.identity.store import IdentityFile, create
from client.output import streams
from client.output.json import one_line, speak_utf8
from client.output.text import table
from client.sealed_file import FileUnusable, WrongPassphrase
from i18n import _, plural
from protocol.keys import to_text
from protocol.safe_text import visible
from settings import IDENTITY_PASSPHRASES, IdentitySettings
from settings.exit_status import ExitStatus

AskPassphrase = Callable[[tuple[str, ...], bool], str]  # for which settings; twice: a new one

_NEW_PASSPHRASE = ("--new-passphrase-file",)


def run(settings: IdentitySettings, ask: AskPassphrase) -> int:
    """Do what is wanted with the identity; the exit status.

    Raises SettingsError where a passphrase is missing, and Unwritable or BrokenPipeError.
    """
    path = Path(settings.path)
    try:
        if settings.action == "new":
            return _make(settings, path, ask)
        streams.check()
        path.stat()  # nobody is asked for the passphrase of nothing
        passphrase = settings.passphrase or ask(IDENTITY_PASSPHRASES, False)
        file = IdentityFile(path, passphrase)
        actions = {
            "show": _show, "people": _people, "forget": _forget, "export": _export,
            "passphrase": _change,
        }  # fmt: skip
        actions[settings.action](settings, file, ask)
    except WrongPassphrase:
        return _say(ExitStatus.REFUSED, messages.identity("wrong_passphrase", {"path": path}))
    except (OSError, FileUnusable) as error:
        if isinstance(error, BrokenPipeError):
            raise
        return _say(ExitStatus.USAGE, unusable(error, path))
    return ExitStatus.LEFT


def said(open_it: Callable[[], object], path: Path) -> tuple[int, str] | None:
    """Exit status and sentence if an identity cannot be opened, None if it can."""
    try:
        open_it()
    except WrongPassphrase:
        return ExitStatus.REFUSED, messages.identity("wrong_passphrase", {"path": path})
    except (OSError, FileUnusable) as error:
        return ExitStatus.USAGE, unusable(error, path)
    return None


def unusable(error: OSError | FileUnusable, path: Path) -> str:
    """Why an identity cannot be used, and what to do."""
    if isinstance(error, FileUnusable):
        return messages.identity(error.code, {"path": path})
    if isinstance(error, FileNotFoundError):
        return messages.identity("missing", {"path": path})
    why = error.strerror or type(error).__name__
    return messages.identity("unreadable", {"path": path, "reason": why})


def _make(settings: IdentitySettings, path: Path, ask: AskPassphrase) -> int:
    if path.exists():  # nobody is asked for a passphrase in vain
        return _say(ExitStatus.USAGE, messages.identity("exists", {"path": path}))
    passphrase = settings.passphrase or ask(IDENTITY_PASSPHRASES, True)
    contents = Contents.fresh()
    try:
        create(path, contents, passphrase)
    except FileExistsError:
        return _say(ExitStatus.USAGE, messages.identity("exists", {"path": path}))
    except FileNotFoundError as error:  # the folder
        why = error.strerror or type(error).__name__
        text = messages.identity("unreadable", {"path": path, "reason": why})
        return _say(ExitStatus.USAGE, text)
    sentence = _(
        "The identity is in {path}. Use it with --identity; keep the passphrase, for there is no "
        "way back to a lost one."
    )
    return _say(ExitStatus.LEFT, sentence.format(path=visible(str(path))))


def _key_of(contents: Contents) -> str:
    """The public key, as others know this identity."""
    private = Ed25519PrivateKey.from_private_bytes(contents.sign)
    return to_text(private.public_key().public_bytes_raw())


def _show(settings: IdentitySettings, file: IdentityFile, ask: AskPassphrase) -> None:
    contents = file.contents
    verified = sum(one.verified for one in contents.people)
    rows = [
        (_("key"), _key_of(contents)),
        (_("people known"), str(len(contents.people))),
        (_("verified"), str(verified)),
        (_("programs that use it"), str(len(contents.going))),
    ]
    _print_table(rows)


def _people(settings: IdentitySettings, file: IdentityFile, ask: AskPassphrase) -> None:
    rows = []
    for person in sorted(file.contents.people, key=lambda one: one.last, reverse=True):
        word = _("verified") if person.verified else _("known")
        days = f"{person.first:%Y-%m-%d} – {person.last:%Y-%m-%d}"
        rows.append((_names(person), word, days, _servers(person), to_text(person.sign)[:12]))
    if not rows:
        _say(ExitStatus.LEFT, _("This identity knows nobody yet."))
    _print_table(rows)


def _names(person: Person) -> str:
    return ", ".join(dict.fromkeys(one.nick for one in reversed(person.seen)))


def _servers(person: Person) -> str:
    return ", ".join(dict.fromkeys(visible(one.server) for one in reversed(person.seen)))


def _forget(settings: IdentitySettings, file: IdentityFile, ask: AskPassphrase) -> None:
    nick = settings.nick or ""
    gone: list[Person] = []

    def step(contents: Contents) -> Contents:
        gone[:] = contents.called(nick)
        return contents.without(gone)

    file.change(step)
    if not gone:
        _say(ExitStatus.LEFT, _("Nobody called {nick} is known.").format(nick=nick))
        return
    text = plural(
        "{count} person called {nick} is forgotten.",
        "{count} people called {nick} are forgotten.",
        len(gone),
    )
    _say(ExitStatus.LEFT, text.format(count=len(gone), nick=nick))


def _change(settings: IdentitySettings, file: IdentityFile, ask: AskPassphrase) -> None:
    file.change_passphrase(settings.new_passphrase or ask(_NEW_PASSPHRASE, True))
    _say(ExitStatus.LEFT, _("The identity has the new passphrase."))


def _export(settings: IdentitySettings, file: IdentityFile, ask: AskPassphrase) -> None:
    """Public things only: keys, names and days."""
    speak_utf8(sys.stdout)
    people = [
        {
            "key": to_text(person.sign),
            "verified": person.verified,
            "first": person.first.isoformat(),
            "last": person.last.isoformat(),
            "seen": [
                {"server": one.server, "nick": one.nick, "day": one.day.isoformat()}
                for one in person.seen
            ],
        }
        for person in file.contents.people
    ]
    _print(one_line({"key": _key_of(file.contents), "people": people}))


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")
    for row in table(rows):
        _print("".join(span.text for span in row.spans).rstrip())


def _print(line: str) -> None:
    streams.write(line + "\n")


def _say(status: int, sentence: str) -> int:
    """Say a sentence, and pass the status on."""
    streams.flush()  # what came before stands before it
    streams.say(sentence)
    return status
