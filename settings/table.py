"""The table of all settings: parsing, help, ``.env.example`` and docs/USING.md come from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from i18n import N_
from protocol.dataclass import dataclass
from settings.types import (
    KB,
    MB,
    addresses,
    boolean,
    byte_size,
    choice,
    command,
    file_path,
    file_paths,
    fingerprint,
    host,
    integer,
    key_prefix,
    language,
    networks,
    nickname,
    pattern,
    room_name,
    room_names,
    seconds,
    secret,
    token_forms,
    url_path,
)


@dataclass(frozen=True)
class Setting:
    """One row: a name in the environment and in ``.env``, and what it means.

    ``field`` is the one in ``ServerSettings`` or ``ClientSettings``; rows that are chosen
    between (``CREDENTIALS`` and the like) may share one. ``flag`` is the option on
    the command line, ``word`` its value's or the positional's name there; a flag with
    ``implies`` takes no value and stands for that one.
    """

    name: str
    side: str  # "server", "client", "both"; "line": on a command line only
    field: str
    type: Callable[[str], Any]
    help: str
    default: str = ""
    flag: str = ""
    short: str = ""
    word: str = ""
    implies: str = ""
    secret: bool = False
    optional: bool = False  # the flag alone means: ask for it
    flag_help: str = ""  # where the flag does not say the same as the setting
    choices: tuple[str, ...] = ()  # of which a value must be one
    between: str = ""  # what stands between several values, as of a flag that comes several times


RENDERERS = ("rich", "minimal", "json")
INPUT_FORMS = ("lines", "text", "json")
PERMISSIONS = ("refuse", "allow")
SHELLS = ("bash", "zsh", "fish")
DEEDS = ("new", "show", "people", "forget", "passphrase", "export")  # of ``identity``
ACTIONS = ("list", "show", "search", "export", "delete", "passphrase")  # of ``history``

_PATH = "PATH"
_YES = "true"

TABLE: tuple[Setting, ...] = (
    Setting("SERVER_HOST", "server", "host", host,
            N_("address to listen on; 0.0.0.0 is every IPv4 address of this machine, :: IPv6 too"),
            "0.0.0.0", word="IP_ADDRESS"),  # noqa: S104 - a chat server is there to be reached
    Setting("SERVER_PORT", "server", "port", integer(0, 65535),
            N_("port to listen on; 0 takes one that is free"), "1000", word="PORT"),
    Setting("ADMIN_PASSWORD", "server", "password", secret,
            N_("password that everybody needs to connect, and that mints tokens (required)"),
            flag="--password", short="-p", word="PASSWORD", secret=True),
    Setting("ADMIN_PASSWORD_FILE", "server", "password", file_path,
            N_("file whose first line is that password"), flag="--password-file", word=_PATH),
    Setting("MAX_MESSAGES_PER_WINDOW", "server", "max_messages_per_window", integer(1, 1_000_000),
            N_("messages that one member may send within the rate limit window"), "10"),
    Setting("RATE_LIMIT_WINDOW", "server", "rate_limit_window", seconds(0.001, 86400),
            N_("length of the rate limit window, in seconds"), "60.0"),
    Setting("HEARTBEAT_INTERVAL", "server", "heartbeat_interval", seconds(0.01, 86400),
            N_("seconds between two heartbeats"), "30.0"),
    Setting("HEARTBEAT_TIMEOUT", "server", "heartbeat_timeout", seconds(0.02, 86400),
            N_("seconds of silence after which a connection is cut"), "60.0"),
    Setting("MAX_MESSAGE_SIZE", "server", "max_message_size", byte_size(1, 64 * KB),
            N_("longest message, in bytes of UTF-8"), "10KB"),
    Setting("MAX_PAYLOAD_SIZE", "server", "max_payload_size", byte_size(64 * KB, 16 * MB),
            N_("largest WebSocket message; a sealed text has to fit"), "1MB"),
    Setting("SSL_CERT_PATH", "server", "ssl_cert", file_path,
            N_("TLS certificate (PEM); with it the server speaks TLS only"),
            flag="--ssl-cert", word=_PATH),
    Setting("SSL_KEY_PATH", "server", "ssl_key", file_path,
            N_("key of the TLS certificate (PEM, not encrypted)"),
            flag="--ssl-key", word=_PATH),
    Setting("FORCE_SSL", "server", "force_ssl", boolean,
            N_("refuse to start without a TLS certificate"), "false",
            flag="--force-ssl", implies=_YES),
    Setting("SERVER_PATH", "server", "path", url_path,
            N_("path that the server is below, such as /chat, where a proxy shares its port")),
    Setting("TRUSTED_PROXIES", "server", "trusted_proxies", networks,
            N_("proxies in front, by address or network, that are believed who comes by them")),
    Setting("PROXY_PROTOCOL", "server", "proxy_protocol", boolean,
            N_("those proxies say it by a PROXY header, and must; false: by X-Forwarded-For"),
            "false"),
    Setting("TOKEN_FORMS", "server", "token_forms", token_forms,
            N_("forms for tokens: on, off, proxied (through trusted proxies, too), or ADDRESS:PORT"
               " of their own"), "on"),
    Setting("BACKEND_URL", "server", "backend", secret,
            N_("engine that several servers share to be one chat: redis://host:port/0, rediss, or"
               " unix:///path"), flag="--backend", word="URL", secret=True),
    Setting("BACKEND_PASSWORD", "server", "backend_password", secret,
            N_("password of that engine"), secret=True),
    Setting("BACKEND_PASSWORD_FILE", "server", "backend_password", file_path,
            N_("file whose first line is the engine's password"), flag="--backend-password-file",
            word=_PATH),
    Setting("BACKEND_SSL_CA", "server", "backend_ssl_ca", file_path,
            N_("certificates (PEM) to trust for that engine in place of the system's"),
            flag="--backend-ssl-ca", word=_PATH),
    Setting("BACKEND_PREFIX", "server", "backend_prefix", key_prefix,
            N_("what the names of all keys in that engine begin with"), "cc:"),
    Setting("BACKEND_PERSISTENCE", "server", "backend_persistence", choice(*PERMISSIONS),
            N_("allow: the engine may write what it is given to a disk"), "refuse",
            choices=PERMISSIONS),
    Setting("BACKEND_INSECURE", "server", "backend_insecure", choice(*PERMISSIONS),
            N_("allow: an engine on another machine may be spoken to in clear"), "refuse",
            choices=PERMISSIONS),
    Setting("CLIENT_SERVER", "client", "server", addresses,
            N_("address of the server, or its name in servers.ini; HOST:PORT,HOST:PORT for several"
               " of one chat"), word="SERVER"),
    Setting("CLIENT_PORT", "client", "port", integer(1, 65535),
            N_("port of the server"), "1000", word="PORT"),
    Setting("CLIENT_USERNAME", "client", "username", nickname,
            N_("your nickname; a token already has one"), word="USERNAME"),
    Setting("CLIENT_PASSWORD", "client", "password", secret,
            N_("password of the server"), word="PASSWORD", secret=True),
    Setting("CLIENT_PASSWORD_FILE", "client", "password", file_path,
            N_("file whose first line is that password"), flag="--password-file", word=_PATH),
    Setting("CLIENT_TOKEN", "client", "token", secret,
            N_("token to connect with, in place of the password"),
            flag="--token", short="-t", word="TOKEN", secret=True),
    Setting("CLIENT_USE_SSL", "client", "use_ssl", boolean,
            N_("connect over TLS"), "false", flag="--ssl", implies=_YES),
    Setting("CLIENT_SSL_CA", "client", "ssl_ca", file_path,
            N_("certificates (PEM) to trust in place of the system's; implies TLS"),
            flag="--ssl-ca", word=_PATH),
    Setting("CLIENT_SSL_FINGERPRINT", "client", "ssl_fingerprint", fingerprint,
            N_("the one certificate to trust, by its SHA-256 in hex; implies TLS"),
            flag="--ssl-fingerprint", word="SHA256"),
    Setting("CLIENT_PROXY", "client", "proxy", secret,
            N_("proxy to go through: http://host:port, https, socks5 or socks5h; none for none"),
            flag="--proxy", word="URL", secret=True),
    Setting("CLIENT_PROXY_FILE", "client", "proxy", file_path,
            N_("file whose first line is that proxy, perhaps with its password"),
            flag="--proxy-file", word=_PATH),
    Setting("CLIENT_TLS_NAME", "client", "tls_name", host,
            N_("name to ask for and to find in the certificate, if not the server's; implies TLS"),
            flag="--tls-name", word="NAME"),
    Setting("CLIENT_PATH", "client", "path", url_path,
            N_("path that the server is below, such as /chat"), flag="--path", word="PATH"),
    Setting("CLIENT_ROOM", "client", "rooms", room_names,
            N_("room to join, or several with commas between"), "default",
            flag="--room", short="-r", word="ROOM", flag_help=N_("room to join"), between=","),
    Setting("CLIENT_ROOM_SECRET", "client", "room_secrets", secret,
            N_("secret that all members of the room share (of several rooms: the first)"),
            flag="--secret", word="PASSPHRASE", secret=True, optional=True,
            flag_help=N_("secret that all members of the room share")),
    Setting("CLIENT_ROOM_SECRET_FILE", "client", "room_secrets", file_paths,
            N_("file whose first line is the room's secret; ROOM=PATH, one a line, for several"),
            flag="--secret-file", word="[ROOM=]PATH", between="\n",
            flag_help=N_("file whose first line is the room's secret")),
    Setting("CLIENT_INVITE", "client", "invite", secret,
            N_("invite link (cmdchat://…): server, port, room and its secret in one, and perhaps"
               " a token"),
            flag="--invite", word="LINK", secret=True, optional=True),
    Setting("CLIENT_INVITE_FILE", "client", "invite", file_path,
            N_("file whose first line is an invite link"), flag="--invite-file", word=_PATH),
    Setting("CLIENT_RENDER_TIME", "client", "render_time", seconds(0.01, 10),
            N_("shortest time between two redraws, in seconds"), "0.1"),
    Setting("CLIENT_MESSAGES_TO_SHOW", "client", "messages_to_show", integer(0, 5000),
            N_("messages to show at once; 0 shows as many as fit"), "0"),
    Setting("CLIENT_LISTEN", "client", "listen", boolean,
            N_("keep running when the input ends"), "false", flag="--listen", implies=_YES),
    Setting("CLIENT_BELL", "client", "bell", boolean,
            N_("ring the terminal's bell when somebody mentions you"), "true",
            flag="--no-bell", implies="false",
            flag_help=N_("do not ring the bell when somebody mentions you")),
    Setting("CLIENT_SPOKEN", "client", "spoken", boolean,
            N_("for screen readers: plain lines without the time, and a message on one line"),
            "false", flag="--spoken", implies=_YES),
    Setting("CLIENT_TYPE_AHEAD", "client", "type_ahead", boolean,
            N_("take several lines that arrive at once for typed ones, not for a paste"), "false",
            flag="--type-ahead", implies=_YES),
    Setting("CLIENT_MOUSE", "client", "mouse", boolean,
            N_("let the wheel scroll the conversation; selecting text then needs Shift"), "false",
            flag="--mouse", implies=_YES),
    Setting("CLIENT_RECONNECT", "client", "reconnect", boolean,
            N_("connect again when the connection is lost"), "true",
            flag="--no-reconnect", implies="false",
            flag_help=N_("end when the connection is lost")),
    Setting("CLIENT_WAIT", "client", "wait", boolean,
            N_("let a program wait for a nickname whose holder has lost the connection"), "true",
            flag="--no-wait", implies="false",
            flag_help=N_("do not wait for a nickname whose holder has lost the connection")),
    Setting("CLIENT_HEARTBEAT", "client", "heartbeat", seconds(1, 3600),
            N_("seconds between heartbeats, where the server's are too far apart for a middlebox"),
            flag="--heartbeat", word="SECONDS"),
    Setting("CLIENT_IDENTITY", "client", "identity", file_path,
            N_("file of an identity that lasts; without one all keys end with the program"),
            flag="--identity", word=_PATH),
    Setting("IDENTITY_PASSPHRASE", "client", "identity_passphrase", secret,
            N_("passphrase of that identity"), secret=True),
    Setting("IDENTITY_PASSPHRASE_FILE", "client", "identity_passphrase", file_path,
            N_("file whose first line is that passphrase"),
            flag="--identity-passphrase-file", word=_PATH),
    Setting("ENABLE_LOCAL_HISTORY", "client", "history", boolean,
            N_("keep an encrypted history on this machine"), "false",
            flag="--history", implies=_YES),
    Setting("HISTORY_PASSPHRASE", "client", "history_passphrase", secret,
            N_("passphrase of that history"), secret=True),
    Setting("HISTORY_PASSPHRASE_FILE", "client", "history_passphrase", file_path,
            N_("file whose first line is that passphrase"),
            flag="--history-passphrase-file", word=_PATH),
    Setting("HISTORY_DAYS", "client", "history_days", integer(0, 36500),
            N_("days that a record is kept; 0 keeps it for good"), "0"),
    Setting("HISTORY_MAX", "client", "history_max", integer(1, 100_000),
            N_("records that are kept of a server; the oldest go first"), "10000"),
    Setting("RENDERER_MODE", "client", "renderer", choice(*RENDERERS),
            N_("how the chat looks: rich, minimal (plain lines: for screen readers) or json"),
            "rich",
            flag="--renderer", word="{rich,minimal,json}", choices=RENDERERS),
    Setting("CLIENT_INPUT", "client", "input_form", choice(*INPUT_FORMS),
            N_("what a program's input is: lines (those with / are commands), text (only messages) "
               "or json (objects)"), "lines",
            flag="--input", word="{lines,text,json}", choices=INPUT_FORMS),
    Setting("CMD_CHAT_LANGUAGE", "both", "language", language,
            N_("language code, such as en; where it is not set the system's language decides"),
            flag="--language", short="-l", word="CODE"),
)  # fmt: skip

# What only command lines have, as of ``token`` and ``history``; no variable can have such names.
LINE_TABLE: tuple[Setting, ...] = (
    Setting("<USERNAME>", "line", "username", nickname,
            N_("nickname that the token is for"), word="USERNAME"),
    Setting("<TOKEN>", "line", "revoke", secret,
            N_("token to revoke, or its part before the dot"), word="TOKEN", secret=True),
    Setting("--ask-secret", "line", "", room_names,
            N_("room whose secret is asked for"), flag="--ask-secret", word="ROOM", between=","),
    Setting("--on-message", "line", "on_message", command,
            N_("program to run for each message, whose output is the answer (implies --listen)"),
            flag="--on-message", word="COMMAND"),
    Setting("--on-bots", "line", "on_bots", boolean,
            N_("run it for messages of other such programs, too"), "false", flag="--on-bots",
            implies=_YES),
    Setting("--login", "line", "", boolean,
            N_("go into the room as well, and leave it at once: the others see it"), "false",
            flag="--login", implies=_YES),
    Setting("--json", "line", "json", boolean,
            N_("one JSON object for programs"), "false", flag="--json", implies=_YES),
    Setting("<MESSAGE>", "line", "text", secret,
            N_("what to send; - or nothing: what standard input has"), word="TEXT"),
    Setting("--to", "line", "to", nickname,
            N_("send it to this member alone"), flag="--to", word="NICK"),
    Setting("--file", "line", "file", file_path,
            N_("file that has the text"), flag="--file", word=_PATH),
    Setting("--lines", "line", "lines", boolean,
            N_("each line is a message of its own"), "false", flag="--lines", implies=_YES),
    Setting("--wait", "line", "pattern", pattern,
            N_("then wait for a message that matches this regular expression, and print it"),
            flag="--wait", word="REGEX"),
    Setting("--match", "line", "pattern", pattern,
            N_("regular expression that the message has to match"), flag="--match", word="REGEX"),
    Setting("--from", "line", "sender", nickname,
            N_("only messages of this member"), flag="--from", word="NICK"),
    Setting("--private", "line", "private", boolean,
            N_("only messages to you alone"), "false", flag="--private", implies=_YES),
    Setting("--count", "line", "count", integer(1, 1_000_000_000),
            N_("end after so many messages"), flag="--count", word="N"),
    Setting("--timeout", "line", "timeout", seconds(0.001, 31_536_000),
            N_("end after so many seconds, with status 124; send does so after 60"),
            flag="--timeout", word="SECONDS"),
    Setting("--raw", "line", "", boolean,
            N_("print the text alone and as it was sent, for pipes: a terminal may obey it"),
            "false", flag="--raw", implies=_YES),
    Setting("--revoke", "line", "", boolean,
            N_("revoke the token that stands (whole, or its id) in place of USERNAME"), "false",
            flag="--revoke", implies=_YES),
    Setting("--list", "line", "listing", boolean,
            N_("list the live tokens: id, when each expires, nickname"), "false", flag="--list",
            implies=_YES),
    Setting("--bind", "line", "bind", boolean,
            N_("let the token open only for the first identity that uses it"), "false",
            flag="--bind", implies=_YES),
    Setting("--ttl", "line", "ttl", integer(1, 2_592_000),
            N_("seconds until the token expires"), "3600", flag="--ttl", word="SECONDS"),
    Setting("<ACTION>", "line", "action", choice(*ACTIONS),
            N_("list, show, search, export, delete or passphrase (to change it)"), word="ACTION",
            choices=ACTIONS),
    Setting("<DEED>", "line", "action", choice(*DEEDS),
            N_("new, show, people, forget, passphrase (to change it) or export"), word="ACTION",
            choices=DEEDS),
    Setting("<NICK>", "line", "nick", nickname,
            N_("nickname of the people to forget; of forget only"), word="NICK"),
    Setting("<TEXT>", "line", "text", secret,
            N_("what to search for; of search only"), word="TEXT"),
    Setting("<SERVER>", "line", "server", addresses,
            N_("server whose history is meant; without it all of them"), word="SERVER[:PORT]"),
    Setting("<SHELL>", "line", "shell", choice(*SHELLS),
            N_("bash, zsh or fish"), word="SHELL", choices=SHELLS),
    Setting("--env-file", "line", "env_file", file_path,
            N_("file with settings to take in place of .env, whoever owns it; none takes no file"),
            flag="--env-file", word=_PATH),
    Setting("--last", "line", "last", integer(1, 100_000),
            N_("only so many messages, the last ones"), flag="--last", word="N"),
    Setting("--room", "line", "room", room_name,
            N_("only messages of this room"), flag="--room", short="-r", word="ROOM"),
    Setting("--yes", "line", "yes", boolean,
            N_("delete without asking"), "false", flag="--yes", implies=_YES),
    Setting("--new-passphrase-file", "line", "new_passphrase", file_path,
            N_("file whose first line is the new passphrase"),
            flag="--new-passphrase-file", word=_PATH, secret=True),
)  # fmt: skip

ROWS = {row.name: row for row in TABLE + LINE_TABLE}

# Of these one is used: from the source of the highest priority, which must name only one.
ADMIN_PASSWORDS = ("ADMIN_PASSWORD", "ADMIN_PASSWORD_FILE")
CLIENT_PASSWORDS = ("CLIENT_PASSWORD", "CLIENT_PASSWORD_FILE")
CREDENTIALS = (*CLIENT_PASSWORDS, "CLIENT_TOKEN")
ROOM_SECRETS = ("CLIENT_ROOM_SECRET", "CLIENT_ROOM_SECRET_FILE")
INVITES = ("CLIENT_INVITE", "CLIENT_INVITE_FILE")
HISTORY_PASSPHRASES = ("HISTORY_PASSPHRASE", "HISTORY_PASSPHRASE_FILE")
IDENTITY_PASSPHRASES = ("IDENTITY_PASSPHRASE", "IDENTITY_PASSPHRASE_FILE")
PROXIES = ("CLIENT_PROXY", "CLIENT_PROXY_FILE")
BACKEND = ("BACKEND_URL",)
BACKEND_PASSWORDS = ("BACKEND_PASSWORD", "BACKEND_PASSWORD_FILE")
GROUPED = {
    *ADMIN_PASSWORDS, *CREDENTIALS, *ROOM_SECRETS, *INVITES, *HISTORY_PASSPHRASES,
    *IDENTITY_PASSPHRASES, *PROXIES, *BACKEND, *BACKEND_PASSWORDS,
}  # fmt: skip

# What an invite link says already.
IN_INVITE = ("CLIENT_SERVER", "CLIENT_PORT", "CLIENT_PATH", "CLIENT_ROOM", *ROOM_SECRETS,
             "--ask-secret")  # fmt: skip

QUESTIONS = {
    "ADMIN_PASSWORD": N_("Password that people will need to connect: "),
    "CLIENT_SERVER": N_("Server address: "),
    "CLIENT_USERNAME": N_("Your nickname: "),
    "CLIENT_PASSWORD": N_("Password of the server: "),
    "CLIENT_ROOM_SECRET": N_("Secret of the room: "),
    "CLIENT_INVITE": N_("Invite link: "),
    "HISTORY_PASSPHRASE": N_("Passphrase of the history: "),
    "CLIENT_IDENTITY": N_("File of the identity: "),
    "IDENTITY_PASSPHRASE": N_("Passphrase of the identity: "),
    "--new-passphrase-file": N_("New passphrase: "),
    "--match": N_("Regular expression that the message has to match: "),
    "<DEED>": N_("What to do (new, show, people, forget, passphrase, export): "),
    "<NICK>": N_("Nickname of the people to forget: "),
    "<USERNAME>": N_("Nickname that the token is for: "),
    "<TOKEN>": N_("Token to revoke: "),
    "<ACTION>": N_("What to do (list, show, search, export, delete, passphrase): "),
    "<TEXT>": N_("Text to search for: "),
    "<SHELL>": N_("Shell (bash, zsh, fish): "),
}


_UNSET: dict[Callable[[str], Any], Any] = {url_path: "", networks: ()}


def default(name: str) -> Any:
    """The value of a setting that nothing sets; None, or an empty one, where it has none."""
    row = ROWS[name]
    return row.type(row.default) if row.default else _UNSET.get(row.type)
