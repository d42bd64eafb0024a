"""Named servers: ``servers.ini``, so that ``connect work`` says it all.

A section is a server, a key an option of ``connect`` without its dashes; ``server``, ``port`` and
``username`` are keys, too. What is secret is not written into it: ``password-file`` and its like
name files. The file is believed by the rule of ``.env`` (``dotenv_file``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from i18n import _
from protocol.dataclass import dataclass
from protocol.hosts import host_and_port
from settings.dotenv_file import read_trusted
from settings.errors import SettingsError
from settings.folders import CONFIG
from settings.table import (
    CREDENTIALS,
    HISTORY_PASSPHRASES,
    INVITES,
    PROXIES,
    ROOM_SECRETS,
    TABLE,
    Setting,
)
from settings.types import addresses

if TYPE_CHECKING:
    from configparser import ConfigParser

_SHOWN = 20  # entries that are named at most
_GROUPS = (CREDENTIALS, HISTORY_PASSPHRASES, PROXIES)  # of each, one is enough


def _key(row: Setting) -> str:
    word = row.flag.removeprefix("--").removeprefix("no-")
    return word or row.word.lower()


KEYS = {
    _key(row): row
    for row in TABLE
    if row.side == "client" and (row.flag or row.word) and row.name not in INVITES
}


@dataclass(frozen=True)
class NamedServer:
    """One section of the file at ``path``; ``values`` are texts by setting."""

    name: str
    path: str
    values: Mapping[str, str]

    @property
    def source(self) -> str:
        """What it is called in sentences about its values."""
        return f"{self.path} [{self.name}]"

    @property
    def address(self) -> str:
        """The server's, and its port where the entry says so, in one word, or several of them."""
        server, port = self.values.get("CLIENT_SERVER", self.name), self.values.get("CLIENT_PORT")
        return host_and_port(server, port) if port and "," not in server else server

    @property
    def _has_port(self) -> bool:
        server = self.values.get("CLIENT_SERVER")
        return "CLIENT_PORT" in self.values or bool(server and addresses(server)[0][1])

    def named_by(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """What the source sets that names it, without the name, and what the entry sets beside.

        ``connect work alice``: where an entry has the port, a second word is the nickname.
        """
        given = {name: value for name, value in given.items() if name != "CLIENT_SERVER"}
        port = given.get("CLIENT_PORT")
        if self._has_port and port and not given.get("CLIENT_USERNAME"):
            if not port.isdecimal():
                given |= {"CLIENT_PORT": None, "CLIENT_USERNAME": port}
        # Secrets are of a room each, and so not taken by one of another room; its own names tell
        # whose they are.
        taken = {name for name, value in given.items() if value} - {"CLIENT_ROOM", *ROOM_SECRETS}
        for group in _GROUPS:
            if taken.intersection(group):
                taken.update(group)
        values = {"CLIENT_SERVER": self.name, **self.values}  # a name that is an address is enough
        return given, {name: values[name] for name in values if name not in taken}


def named_server(name: str, environ: Mapping[str, str]) -> NamedServer | None:
    """The entry called ``name``; None if there is none, and so ``name`` is a server's address.

    Raises ``SettingsError`` for a file that cannot be believed or read, whether or not it has that
    entry: what it asks for, such as TLS, must not be left out because of that.
    """
    path = CONFIG.path(environ, "servers.ini")
    text = read_trusted(path) if path else None
    if path is None or text is None:
        return None
    entries = _parsed(path, text)
    if not entries.has_section(name):
        return None
    values = {key: value for key, value in entries.items(name) if value.strip()}
    for key, value in values.items():
        if why := _fault(key, value):
            sentence = _("{path} cannot be used: {key} in [{name}]: {why}.")
            raise SettingsError(sentence.format(path=path, name=name, key=key, why=why))
    return NamedServer(name, path, {KEYS[key].name: value for key, value in values.items()})


def server_names(environ: Mapping[str, str]) -> tuple[str, list[str]]:
    """The file, and the names of its entries; none where it cannot be believed or read, which is
    said as soon as one is named."""
    path = CONFIG.path(environ, "servers.ini") or ""
    try:
        text = read_trusted(path) if path else None
        return path, [] if text is None else _parsed(path, text).sections()
    except SettingsError:
        return path, []


def entry_hint(name: str, environ: Mapping[str, str]) -> str:
    """What follows a sentence that says that ``name`` is no server: the entry that was meant, if
    one looks like it, else all of them.  Empty where there are none."""
    from difflib import get_close_matches

    path, names = server_names(environ)
    if not names:
        return ""
    if close := get_close_matches(name, names, 1):
        return " " + _("Did you mean {word}?").format(word=close[0])
    return " " + named_servers(path, names)


def named_servers(path: str, names: Sequence[str]) -> str:
    """The sentence that names the entries of the file at ``path``, or the first of very many."""
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return _("{path} has these servers: {names}.").format(path=path, names=shown)


def _parsed(path: str, text: str) -> ConfigParser:
    import configparser  # three milliseconds, for those who have such a file

    parsed = configparser.ConfigParser(interpolation=None)
    try:
        parsed.read_string(text)
    except (
        configparser.MissingSectionHeaderError,  # a ParsingError without its list
        configparser.DuplicateSectionError,
        configparser.DuplicateOptionError,
    ) as error:
        line = error.lineno or 0
    except configparser.ParsingError as error:
        line = error.errors[0][0]
    else:
        return parsed
    sentence = _("{path} cannot be used: line {line} is not understood, or is there twice.")
    raise SettingsError(sentence.format(path=path, line=line))


def _fault(key: str, value: str) -> str:
    """What is wrong with a line of an entry; empty if nothing is."""
    row = KEYS.get(key)
    if row is None:
        return _("there is no such setting")
    if row.secret and row.name not in PROXIES:  # which may hold a password, and need not
        return _("what is secret stays out of this file: name a file instead")
    try:
        row.type(value)
    except ValueError as error:
        return str(error)
    return ""
