"""How this program was started, and so how it is to be started again from the same place."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

COMMAND = "cmd-chat"  # what pip installs
_BY = "CMD_CHAT_RUN"  # "make" where the Makefile started it
# The Makefile's own HOST and PORT, which a test compares.
MAKE_HOST, MAKE_PORT = "127.0.0.1", 10000
_ANY_ADDRESS = {"0.0.0.0": MAKE_HOST, "": MAKE_HOST, "::": "::1"}  # noqa: S104 - not bound


def name() -> str:
    """The program's name, as usage lines begin."""
    script = os.path.basename(sys.argv[0])
    return COMMAND if _is_installed(script) else script or "cmd_chat.py"


def example() -> str:
    """What examples in help begin with."""
    return COMMAND if _is_installed(os.path.basename(sys.argv[0])) else f"python {name()}"


def program() -> str:
    """The words that start the program again here, for a shell."""
    script = sys.argv[0]
    base = os.path.basename(script)
    if base == "__main__.py":
        return f"{_python()} -m cmd_chat"
    if _is_installed(base):
        return COMMAND if _found(COMMAND) == os.path.abspath(script) else _quoted(script)
    flags = [flag for flag, on in (("-I", sys.flags.isolated), ("-S", sys.flags.no_site)) if on]
    return " ".join([_python(), *flags, _quoted(script)])


def reachable(host: str) -> str:
    """The address at which a server that listens at ``host`` is reached from this machine."""
    return _ANY_ADDRESS.get(host, host)


def connect_line(environ: Mapping[str, str], host: str, port: int, options: str = "") -> str:
    """The command that joins, on this machine, the server that listens at ``host``.

    ``options`` are those that TLS needs, which the Makefile has not.
    """
    host = reachable(host)
    if environ.get(_BY) != "make" or options:
        return f"{program()} connect {host} {port} alice{options}"
    return "make connect NAME=alice" + _make_words(host, port)


def serve_line(environ: Mapping[str, str], host: str, port: int) -> str:
    """The command that starts a server at another address, for who used make; else empty."""
    return "make serve" + _make_words(host, port) if environ.get(_BY) == "make" else ""


def _make_words(host: str, port: int) -> str:
    words = f" HOST={host}" if host != MAKE_HOST else ""
    return f"{words} PORT={port}" if port != MAKE_PORT else words


def _is_installed(script: str) -> bool:
    return script.removesuffix(".exe") == COMMAND or script == "__main__.py"


def _python() -> str:
    if not sys.executable:
        return "python"
    for word in ("python", "python3"):
        if _found(word) == sys.executable:
            return word
    nearer = os.path.relpath(sys.executable) if _is_below(sys.executable) else sys.executable
    return _quoted(nearer)


def _is_below(path: str) -> bool:
    return os.path.abspath(path).startswith(os.path.join(os.getcwd(), ""))


def _found(word: str) -> str | None:
    from shutil import which

    return which(word)


def _quoted(word: str) -> str:
    if sys.platform == "win32":
        return f'"{word}"' if " " in word else word
    from shlex import quote

    return quote(word)
