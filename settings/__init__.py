"""Settings: command line, then environment, then ``.env``, then default.

The only reader of the environment and of ``.env``. Everything that is known about a setting
is its row in ``table``. ``server_settings`` and its siblings make frozen values out of the
sources; they are pure but for the secret files, whose reader can be passed. What is wrong is
a ``SettingsError``: one complete sentence that never contains a secret.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import i18n
from i18n import _
from protocol.limits import PAD_FROM, RECORD_PAD
from settings.dotenv import Dotenv, near_misses, parse_dotenv
from settings.dotenv_file import read_dotenv
from settings.errors import MissingSetting, SettingsError
from settings.proxies import Proxy, check_reader, chosen_proxy, holds_password
from settings.sources import Args, Sources, SourceValue, conflict, first_line, missing
from settings.table import (
    ADMIN_PASSWORDS,
    HISTORY_PASSPHRASES,
    IN_INVITE,
    INVITES,
    PASSWORDS,
    PROXIES,
    QUESTIONS,
    ROOM_SECRETS,
    ROWS,
    TABLE,
    Setting,
    default,
    env_example,
    table_rows,
)
from settings.types import Host

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

__all__ = [
    "HISTORY_PASSPHRASES",
    "QUESTIONS",
    "ROWS",
    "TABLE",
    "Args",
    "ClientSettings",
    "Dotenv",
    "HistorySettings",
    "MissingSetting",
    "Proxy",
    "ServerSettings",
    "Setting",
    "SettingsError",
    "TokenSettings",
    "box_size",
    "client_settings",
    "env_example",
    "environment",
    "first_line",
    "has_invite",
    "history_folder",
    "history_settings",
    "holds_password",
    "language",
    "missing",
    "near_misses",
    "parse_dotenv",
    "read_dotenv",
    "record_size",
    "server_settings",
    "table_rows",
    "token_settings",
]

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound


@dataclass(frozen=True)
class ServerSettings:
    """What ``serve`` needs. Times in seconds, sizes in bytes; None where nothing is set."""

    host: str
    port: int  # 0: any that is free
    password: str = field(repr=False)
    max_messages_per_window: int
    rate_limit_window: float
    heartbeat_interval: float
    heartbeat_timeout: float
    max_message_size: int
    max_payload_size: int
    ssl_cert: str | None
    ssl_key: str | None
    force_ssl: bool
    language: str
    path: str = ""  # a slash before each part, none at the end
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    proxy_protocol: bool = False
    token_forms: str | tuple[str, int] = "on"  # noqa: S105  # off, proxied, or host and port


@dataclass(frozen=True)
class ClientSettings:
    """What ``connect`` needs. Times in seconds; None where nothing is set.

    Exactly one of ``password`` and ``token`` is set. ``username`` is None only with a token.
    ``ssl_fingerprint`` is 64 lower-case hex digits. ``use_ssl`` is already true where a
    fingerprint, a CA file or the invite link implies it. ``history_passphrase`` is None where
    nothing sets it, or nothing needs it.
    """

    server: str
    port: int
    username: str | None
    password: str | None = field(repr=False)
    token: str | None = field(repr=False)
    use_ssl: bool
    ssl_ca: str | None
    ssl_fingerprint: str | None
    room: str
    room_secret: str | None = field(repr=False)
    render_time: float
    messages_to_show: int
    listen: bool
    bell: bool
    spoken: bool
    type_ahead: bool
    mouse: bool
    history: bool
    history_passphrase: str | None = field(repr=False)
    history_days: int
    history_max: int
    reconnect: bool
    wait: bool
    renderer: str  # rich, minimal, json
    language: str
    heartbeat: float | None = None  # None: as the server wants them
    tls_name: str | None = None  # what TLS asks for, where that is not ``server``
    path: str = ""  # a slash before each part, none at the end
    history_from: str = ""  # the file that asked for the history, if one did
    proxy: Proxy | None = None


@dataclass(frozen=True)
class TokenSettings:
    """What ``token`` needs: mint for ``username``, revoke ``revoke`` (token or its id), or list.

    Exactly one of the three is set. ``ttl`` is in seconds.
    """

    server: str
    port: int
    username: str | None
    revoke: str | None = field(repr=False)
    listing: bool
    ttl: int
    password: str = field(repr=False)
    use_ssl: bool
    ssl_ca: str | None
    ssl_fingerprint: str | None
    language: str
    proxy: Proxy | None = None
    tls_name: str | None = None
    path: str = ""


@dataclass(frozen=True)
class HistorySettings:
    """What ``history`` needs. Passphrases are None where nothing sets them, ``server`` (with its
    port) where all histories are meant, ``last`` and ``room`` where nothing is left out."""

    action: str
    text: str | None
    server: tuple[str, int] | None
    last: int | None
    room: str | None
    yes: bool
    passphrase: str | None = field(repr=False)
    new_passphrase: str | None = field(repr=False)
    language: str


def environment() -> dict[str, str]:
    """The process's environment, as it is now."""
    return dict(os.environ)


def server_settings(
    args: Args,
    environ: Mapping[str, str],
    dotenv: Mapping[str, str],
    answers: Mapping[str, str] | None = None,
    read_line: Callable[[str], str] = first_line,
) -> ServerSettings:
    """The settings of ``serve``; all sources are by setting's name, ``answers`` go first.

    Raises ``SettingsError``, and ``MissingSetting`` where a password is the only thing missing.
    """
    sources = Sources(args, environ, dotenv, answers or {}, read_line)
    values = sources.plain("server")
    values["language"] = values["language"] or _system_language(environ)
    values["path"] = values["path"] or ""
    values["trusted_proxies"] = values["trusted_proxies"] or ()
    _check_server(values)
    if not values["ssl_cert"]:
        _check_withheld(sources, ("FORCE_SSL",))
    _check_withheld_forms(sources)
    password = sources.secret(ADMIN_PASSWORDS)
    if password is None:
        raise missing(ADMIN_PASSWORDS)
    return ServerSettings(**values, **password)


def client_settings(
    args: Args,
    environ: Mapping[str, str],
    dotenv: Mapping[str, str],
    answers: Mapping[str, str] | None = None,
    read_line: Callable[[str], str] = first_line,
) -> ClientSettings:
    """The settings of ``connect``; all sources are by setting's name, ``answers`` go first.

    Raises ``SettingsError``, and ``MissingSetting`` for the first that only the user can tell.
    """
    sources = Sources(args, environ, dotenv, answers or {}, read_line)
    values = sources.plain("client")
    values["server"], values["port"] = _address(sources)
    values["path"] = values["path"] or ""
    values["language"] = values["language"] or _system_language(environ)
    # Two at once is told before anybody is asked for anything.
    credential = sources.choose(PASSWORDS)
    secret, invite = sources.choose(ROOM_SECRETS), sources.choose(INVITES)
    values["room_secret"] = None
    if invite is not None:
        values.update(_from_invite(sources, invite))
    elif secret is not None:
        values.update(sources.secret(ROOM_SECRETS) or {})
    _imply_tls(sources, values)
    if values["server"] is None:
        raise missing(("CLIENT_SERVER",))
    values["proxy"] = _proxy(sources, environ, values)
    if values["username"] is None and not (credential and credential.row.name == "CLIENT_TOKEN"):
        raise missing(("CLIENT_USERNAME",))
    if credential is None:
        raise missing(PASSWORDS)
    values.update({"password": None, "token": None}, **(sources.secret(PASSWORDS) or {}))
    passphrase = sources.secret(HISTORY_PASSPHRASES) if values["history"] else None
    values.update(passphrase or {"history_passphrase": None})
    return ClientSettings(**values)


def token_settings(
    args: Args,
    environ: Mapping[str, str],
    dotenv: Mapping[str, str],
    answers: Mapping[str, str] | None = None,
    read_line: Callable[[str], str] = first_line,
) -> TokenSettings:
    """The settings of ``token``: a client of a server whose password it knows.

    ``args`` has ``<USERNAME>`` to mint, ``<TOKEN>`` to revoke or ``--list``, and perhaps ``--ttl``.
    Without ``CLIENT_SERVER`` this machine's server is asked, where its own settings say that it
    listens.
    """
    sources = Sources(args, environ, dotenv, answers or {}, read_line)
    rows = ("CLIENT_USE_SSL", "CLIENT_SSL_CA", "CLIENT_SSL_FINGERPRINT", "CLIENT_TLS_NAME", "--ttl",
            "--list", "<USERNAME>")  # fmt: skip
    values = {ROWS[name].field: sources.value(name) for name in rows}
    values["server"], values["port"], values["path"] = _server_to_ask(sources)
    values["language"] = language(args, environ, dotenv)
    _imply_tls(sources, values)
    values["proxy"] = _proxy(sources, environ, values)
    check_reader(values["server"], values["use_ssl"], values["proxy"])
    revoked = sources.secret(("<TOKEN>",))
    if revoked is None and values["username"] is None and not values["listing"]:
        raise missing(("<USERNAME>",))
    # It is one password: who runs the server has it under that name, who chats under the other.
    password = sources.secret(ADMIN_PASSWORDS) or sources.secret(PASSWORDS[:2])
    if password is None:
        raise missing(ADMIN_PASSWORDS)
    return TokenSettings(**{"revoke": None, **values, **(revoked or {}), **password})


def history_settings(
    args: Args,
    environ: Mapping[str, str],
    dotenv: Mapping[str, str],
    answers: Mapping[str, str] | None = None,
    read_line: Callable[[str], str] = first_line,
) -> HistorySettings:
    """The settings of ``history``. What it has to ask for depends on what it finds, so a
    passphrase that nothing sets is not missing yet. Raises ``SettingsError``."""
    sources = Sources(args, environ, dotenv, answers or {}, read_line)
    rows = ("<ACTION>", "<TEXT>", "--last", "--room", "--yes")
    values = {ROWS[name].field: sources.value(name) for name in rows}
    host, port = sources.value("<SERVER>") or (None, None)
    if values["action"] is None:
        raise missing(("<ACTION>",))
    if values["action"] == "search" and values["text"] is None:
        raise missing(("<TEXT>",))
    old = sources.secret(HISTORY_PASSPHRASES) or {}
    new = sources.secret(("--new-passphrase-file",)) or {}
    return HistorySettings(
        server=None if host is None else (host, port or default("CLIENT_PORT")),
        passphrase=old.get("history_passphrase"),
        new_passphrase=new.get("new_passphrase"),
        language=language(args, environ, dotenv),
        **values,
    )


def history_folder(environ: Mapping[str, str]) -> str:
    """Where histories lie: in the folder for state of the XDG base directories, on Windows in
    the one for local data. Raises ``SettingsError`` where there is none."""
    if sys.platform == "win32":
        base = environ.get("LOCALAPPDATA", "")
    else:
        base = environ.get("XDG_STATE_HOME", "")
        if not os.path.isabs(base):  # then it does not count, says the specification
            home = environ.get("HOME") or os.path.expanduser("~")
            base = os.path.join(home, ".local", "state")
    if not os.path.isabs(base):
        sentence = _("There is no folder for the history: set {setting} to one.")
        name = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_STATE_HOME"
        raise SettingsError(sentence.format(setting=name))
    return os.path.join(base, "cmd-chat", "history")


def language(args: Args, environ: Mapping[str, str], dotenv: Mapping[str, str]) -> str:
    """The language to use; raises ``SettingsError`` if the one asked for is not there."""
    chosen = Sources(args, environ, dotenv).value("CMD_CHAT_LANGUAGE")
    return chosen or _system_language(environ)


def has_invite(environ: Mapping[str, str], dotenv: Mapping[str, str]) -> bool:
    """Whether an invite link is set, so that the command line need not name a server."""
    sources = Sources({}, environ, dotenv)
    return any(sources.find(name) for name in INVITES)


def box_size(message_bytes: int) -> int:
    """An upper bound, in characters, for the token that a text of this size is sealed into.

    The worst text is all control characters, which JSON writes as six bytes each.  It is padded
    to a power of two.
    """
    plain = max(PAD_FROM, 1 << (6 * message_bytes + _BESIDE_TEXT - 1).bit_length())
    return (_token_size(plain) + 2) // 3 * 4  # in base64


def record_size(message_bytes: int) -> int:
    """An upper bound, in bytes, for the record that carries a text of this size.

    The box is in a frame (for one member alone with the wrapped key beside it), and that is
    padded and sealed for the link.
    """
    frame = box_size(message_bytes) + _BESIDE_BOX
    return _token_size(frame + 2 * RECORD_PAD)  # its counter, and padding


_BESIDE_TEXT = 512  # the other fields of a sealed text: id, kind, what was seen
_BESIDE_BOX = 4096  # the other fields of a post: signature, numbers, a wrapped key


def _token_size(size: int) -> int:
    # Version, time and IV; AES-CBC, which always pads; HMAC (the Fernet specification).
    return 1 + 8 + 16 + (size // 16 + 1) * 16 + 32


def _check_server(values: Mapping[str, Any]) -> None:
    if values["heartbeat_interval"] >= values["heartbeat_timeout"]:
        sentence = _(
            "HEARTBEAT_INTERVAL ({interval} seconds) must be shorter than "
            "HEARTBEAT_TIMEOUT ({timeout} seconds)."
        )
        raise SettingsError(
            sentence.format(
                interval=values["heartbeat_interval"], timeout=values["heartbeat_timeout"]
            )
        )
    needed = record_size(values["max_message_size"])
    if needed > values["max_payload_size"]:
        sentence = _(
            "MAX_PAYLOAD_SIZE ({payload} bytes) is too small for a message of MAX_MESSAGE_SIZE "
            "({message} bytes), which needs up to {needed} bytes once it is sealed."
        )
        raise SettingsError(
            sentence.format(
                payload=values["max_payload_size"],
                message=values["max_message_size"],
                needed=needed,
            )
        )
    if values["proxy_protocol"] and not values["trusted_proxies"]:
        sentence = _("PROXY_PROTOCOL needs TRUSTED_PROXIES: the addresses that headers come from.")
        raise SettingsError(sentence)
    forms = values["token_forms"]
    if forms == "proxied" and not values["trusted_proxies"]:
        sentence = _("TOKEN_FORMS=proxied needs TRUSTED_PROXIES: the addresses of the proxies.")
        raise SettingsError(sentence)
    _check_certificate(values)


def _check_withheld_forms(sources: Sources) -> None:
    """As ``_check_withheld``, for what keeps tokens from being given out to anybody."""
    for name in ("TOKEN_FORMS", "TRUSTED_PROXIES"):
        if path := sources.withheld(name):
            sentence = _(
                "{path} asks for {setting} in a part that is not read, and without it tokens could "
                "be given out where they should not be: set {setting} in the environment, or say "
                "--env-file none to do without."
            )
            raise SettingsError(sentence.format(path=path, setting=name))


def _check_certificate(values: Mapping[str, Any]) -> None:
    if bool(values["ssl_cert"]) != bool(values["ssl_key"]):
        there, lacking = ("SSL_CERT_PATH", "SSL_KEY_PATH")
        if values["ssl_key"]:
            there, lacking = lacking, there
        sentence = _("{there} is set without {lacking} ({flag}); TLS needs both.")
        raise SettingsError(
            sentence.format(there=there, lacking=lacking, flag=ROWS[lacking].flag)
        )
    if values["force_ssl"] and not values["ssl_cert"]:
        raise SettingsError(
            _(
                "FORCE_SSL needs a TLS certificate: set SSL_CERT_PATH (--ssl-cert) and "
                "SSL_KEY_PATH (--ssl-key)."
            )
        )


def _from_invite(sources: Sources, given: SourceValue) -> dict[str, Any]:
    """What the link says; it goes before what sources of lower priority say."""
    for name in IN_INVITE:
        other = sources.find(name)
        if other is not None and other.rank <= given.rank:
            raise conflict(given, other)
    from protocol.errors import ChatError
    from protocol.invite import parse_invite

    link = sources.secret(INVITES)
    sources.pass_over(IN_INVITE)
    try:
        invite = parse_invite((link or {})["invite"])
        values: dict[str, Any] = {
            "server": Host().parse(invite.host),
            "port": invite.port,
            "path": ROWS["CLIENT_PATH"].type.parse(invite.path),
            "room": ROWS["CLIENT_ROOM"].type.parse(invite.room or ROWS["CLIENT_ROOM"].default),
            "room_secret": invite.secret,
        }
    except ChatError:
        why = _("an invite link looks like cmdchat://host:port/room#secret")
        raise given.wrong(why) from None
    except ValueError as error:
        raise given.wrong(str(error)) from None
    if invite.tls:
        values["use_ssl"] = True
    pinned = sources.find("CLIENT_SSL_FINGERPRINT")
    if invite.fingerprint and (pinned is None or pinned.rank > given.rank):
        values["ssl_fingerprint"] = invite.fingerprint
        sources.pass_over(("CLIENT_SSL_FINGERPRINT",))
    return values


def _imply_tls(sources: Sources, values: dict[str, Any]) -> None:
    # Whoever names a certificate does not mean to connect in clear.
    if values["ssl_fingerprint"] or values["ssl_ca"] or values["tls_name"]:
        values["use_ssl"] = True
    if not values["use_ssl"]:
        _check_withheld(sources, ("CLIENT_USE_SSL",))
    if not values["ssl_fingerprint"]:  # the one certificate: nothing is stricter
        _check_withheld(sources, ("CLIENT_SSL_FINGERPRINT", "CLIENT_SSL_CA"))


def _proxy(
    sources: Sources, environ: Mapping[str, str], values: Mapping[str, Any]
) -> Proxy | None:
    if sources.choose(PROXIES) is None:
        _check_withheld(sources, PROXIES)
    return chosen_proxy(sources, environ, values["server"], values["port"], values["use_ssl"])


def _check_withheld(sources: Sources, names: tuple[str, ...]) -> None:
    """Raises SettingsError where a file asks for one of these in a part that is not taken."""
    for name in names:
        if path := sources.withheld(name):
            sentence = _(
                "{path} asks for {setting} in a part that is not read, and without it this could "
                "go on in clear: give {flag} yourself, or say --env-file none to do without."
            )
            if name in PROXIES:
                sentence = _(
                    "{path} asks for {setting} in a part that is not read, and without it this "
                    "would go on directly: give {flag} yourself, or say --env-file none to do "
                    "without."
                )
            raise SettingsError(sentence.format(path=path, setting=name, flag=ROWS[name].flag))


def _address(sources: Sources) -> tuple[Any, int]:
    """The server, None where nothing names one, and its port, which may stand in the same word."""
    server, other = sources.find("CLIENT_SERVER"), sources.find("CLIENT_PORT")
    host, port = server.parse() if server else (None, None)
    if server is None or port is None:
        return host, sources.value("CLIENT_PORT")
    if other is None or other.rank > server.rank or other.parse() == port:
        return host, port
    if other.rank == server.rank:
        raise conflict(server, other)
    return host, other.parse()


def _server_to_ask(sources: Sources) -> tuple[str, int, str]:
    """Host, port and path."""
    path = sources.value("CLIENT_PATH")
    if sources.find("CLIENT_SERVER"):
        return *_address(sources), path or ""
    host, port = sources.value("SERVER_HOST"), sources.value("SERVER_PORT")
    forms = sources.value("TOKEN_FORMS")
    if isinstance(forms, tuple):
        host, port = forms
    if sources.find("CLIENT_PORT"):
        port = sources.value("CLIENT_PORT")
    return _ANY_ADDRESS.get(host, host), port, path or sources.value("SERVER_PATH") or ""


def _system_language(environ: Mapping[str, str]) -> str:
    wanted = i18n.from_locale(environ)
    return wanted if wanted == i18n.DEFAULT or wanted in i18n.available() else i18n.DEFAULT
