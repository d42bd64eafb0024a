"""The subcommands as a table: what parsing, help and its examples are made from."""

from __future__ import annotations

from i18n import N_
from protocol.dataclass import dataclass
from settings import ROWS

VERSION = "1.0.0"


@dataclass(frozen=True)
class Subcommand:
    """One subcommand: what ``--help`` says of it, and its options as rows of the settings."""

    name: str
    summary: str
    words: tuple[str, ...]  # names of its positionals, all of them optional
    options: tuple[str, ...]
    examples: tuple[str, ...]
    rooms: bool = False  # whether it can be in several at once


# Options of every subcommand, and of those that go to a server.
_ALWAYS = ("CMD_CHAT_LANGUAGE", "--env-file")
_WAY = (
    "CLIENT_USE_SSL",
    "CLIENT_SSL_CA",
    "CLIENT_SSL_FINGERPRINT",
    "CLIENT_PROXY",
    "CLIENT_PROXY_FILE",
    "CLIENT_TLS_NAME",
    "CLIENT_PATH",
)
# Positionals of ``connect`` that are options of other subcommands.
_FLAGS = {"CLIENT_SERVER": "--server", "CLIENT_PORT": "--port", "CLIENT_USERNAME": "--name"}

SERVE = Subcommand(
    "serve",
    N_("Start a server."),
    ("SERVER_HOST", "SERVER_PORT"),
    (
        "ADMIN_PASSWORD",
        "ADMIN_PASSWORD_FILE",
        "SSL_CERT_PATH",
        "SSL_KEY_PATH",
        "FORCE_SSL",
        "BACKEND_URL",
        "BACKEND_PASSWORD_FILE",
        "BACKEND_SSL_CA",
        *_ALWAYS,
    ),
    (
        "{run} serve",
        "{run} serve 0.0.0.0 1000 --password-file password.txt",
        "{run} serve 0.0.0.0 1000 --ssl-cert cert.pem --ssl-key key.pem --force-ssl",
        "{run} serve 0.0.0.0 1001 --password-file password.txt --backend redis://localhost/0",
    ),
)

CONNECT = Subcommand(
    "connect",
    N_("Connect to a server and chat."),
    ("CLIENT_SERVER", "CLIENT_PORT", "CLIENT_USERNAME", "CLIENT_PASSWORD"),
    (
        "CLIENT_TOKEN",
        "CLIENT_PASSWORD_FILE",
        "CLIENT_ROOM",
        "CLIENT_ROOM_SECRET",
        "CLIENT_ROOM_SECRET_FILE",
        "--ask-secret",
        "CLIENT_INVITE",
        "CLIENT_INVITE_FILE",
        "RENDERER_MODE",
        "CLIENT_SPOKEN",
        *_ALWAYS,
        "CLIENT_INPUT",
        "CLIENT_LISTEN",
        "--on-message",
        "--on-bots",
        "CLIENT_BELL",
        "CLIENT_TYPE_AHEAD",
        "CLIENT_MOUSE",
        "CLIENT_RECONNECT",
        "CLIENT_WAIT",
        "CLIENT_HEARTBEAT",
        "CLIENT_IDENTITY",
        "IDENTITY_PASSPHRASE_FILE",
        "ENABLE_LOCAL_HISTORY",
        "HISTORY_PASSPHRASE_FILE",
        *_WAY,
    ),
    (
        "{run} connect localhost 1000 alice",
        "{run} connect localhost 1000 alice --room team --secret",
        "{run} connect localhost 1000 alice --room team --room lab --secret-file lab=secret.txt",
        "{run} connect localhost 1000 alice --identity me.identity",
        "{run} connect chat.example.org 1000 --ssl --token TOKEN",
        "{run} connect a.example.org:1000,b.example.org:1000 alice",
        "{run} connect 'cmdchat://chat.example.org/team#secret' alice",
        "echo hello | {run} connect localhost 1000 bob --password-file pw --renderer json",
        "{run} connect localhost 1000 bot --password-file pw --on-message ./answer",
    ),
    rooms=True,
)

TOKEN = Subcommand(
    "token",
    N_("Get a token for somebody from a running server, list the live ones, or revoke one."),
    ("<USERNAME>",),
    (
        "--revoke",
        "--list",
        "--ttl",
        "--bind",
        "CLIENT_SERVER",
        "CLIENT_PORT",
        "ADMIN_PASSWORD",
        "ADMIN_PASSWORD_FILE",
        *_WAY,
        *_ALWAYS,
    ),
    (
        "{run} token alice --ttl 86400",
        "{run} token alice --server chat.example.org --port 1000 --ssl",
        "{run} token bob --ttl 2592000 --bind",
        "{run} token --list",
        "{run} token --revoke TOKEN",
    ),
)

HISTORY = Subcommand(
    "history",
    N_("Look into the encrypted histories on this machine, or delete them."),
    ("<ACTION>", "<TEXT>", "<SERVER>"),
    (
        "--last",
        "--room",
        "--yes",
        "HISTORY_PASSPHRASE_FILE",
        "--new-passphrase-file",
        *_ALWAYS,
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

IDENTITY = Subcommand(
    "identity",
    N_("Make an identity that lasts, look into it, and forget people that it knows."),
    ("<DEED>", "<NICK>"),
    ("CLIENT_IDENTITY", "IDENTITY_PASSPHRASE_FILE", "--new-passphrase-file", *_ALWAYS),
    (
        "{run} identity new --identity me.identity",
        "{run} identity people --identity me.identity",
        "{run} identity forget bob --identity me.identity",
    ),
)

STATUS = Subcommand(
    "status",
    N_("Say whether a server is reached and by which way, and what this terminal can show."),
    ("CLIENT_SERVER", "CLIENT_PORT"),
    (
        "CLIENT_SERVER",
        "CLIENT_PORT",
        "--login",
        "CLIENT_USERNAME",
        "CLIENT_PASSWORD_FILE",
        "CLIENT_TOKEN",
        "CLIENT_ROOM",
        "CLIENT_IDENTITY",
        "IDENTITY_PASSPHRASE_FILE",
        "--json",
        *_WAY,
        *_ALWAYS,
    ),
    (
        "{run} status chat.example.org 1000 --ssl",
        "{run} status localhost --login --name alice --password-file pw",
    ),
)

# How ``send``, ``tail`` and ``wait`` get into a room: what ``connect`` takes but for its screen.
_VISIT = (
    "CLIENT_SERVER",
    "CLIENT_PORT",
    "CLIENT_USERNAME",
    "CLIENT_PASSWORD_FILE",
    "CLIENT_TOKEN",
    "CLIENT_ROOM",
    "CLIENT_ROOM_SECRET",
    "CLIENT_ROOM_SECRET_FILE",
    "CLIENT_INVITE",
    "CLIENT_INVITE_FILE",
    "CLIENT_RECONNECT",
    "CLIENT_WAIT",
    "CLIENT_HEARTBEAT",
    "CLIENT_IDENTITY",
    "IDENTITY_PASSPHRASE_FILE",
    *_WAY,
    *_ALWAYS,
)

SEND = Subcommand(
    "send",
    N_("Send a message, perhaps wait for an answer, and end."),
    ("<MESSAGE>",),
    ("--to", "--file", "--lines", "--wait", "--from", "--timeout", "--json", "--raw", *_VISIT),
    (
        "{run} send --server localhost --name backup --password-file pw backup done",
        "make 2>&1 | {run} send --server localhost --name ci --to alice",
        "{run} send --server localhost --name ci deploy? --wait '^(yes|no)$' --from alice --raw",
    ),
)

TAIL = Subcommand(
    "tail",
    N_("Print messages as they come."),
    (),
    ("--count", "--timeout", "--from", "--private", "--json", "--raw", "--ask-secret", *_VISIT),
    (
        "{run} tail --server localhost --name log --room team --room lab",
        "{run} tail --server localhost --name log --json --count 10 --timeout 3600",
    ),
    rooms=True,
)

WAIT = Subcommand(
    "wait",
    N_("Wait for a message that matches, print it, and end."),
    (),
    ("--match", "--from", "--timeout", "--json", "--raw", *_VISIT),
    ("{run} wait --server localhost --name ci --match '^go$' --from alice --timeout 600",),
)

COMPLETION = Subcommand(
    "completion",
    N_("Print a script that lets a shell complete this program's command lines."),
    ("<SHELL>",),
    _ALWAYS,
    (
        "source <({run} completion bash)",
        "{run} completion zsh > ~/.zfunc/_cmd_chat",
        "{run} completion fish > ~/.config/fish/completions/cmd-chat.fish",
    ),
)

COMMANDS = {
    command.name: command
    for command in (SERVE, CONNECT, TOKEN, HISTORY, IDENTITY, STATUS, SEND, TAIL, WAIT, COMPLETION)
}

DESCRIPTION = N_("A chat for the terminal, with end-to-end encryption, that leaves no traces.")
EPILOG = N_(
    "Every setting may also come from the environment or from a file .env; the file "
    ".env.example lists them."
)


def flags(name: str) -> list[str]:
    """A setting's option as it is written: short, where it has that, and long."""
    row = ROWS[name]
    long = row.flag or _FLAGS[name]
    return [row.short, long] if row.short else [long]
