"""The terminals: how each is started, and which version it is."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_FONT = "DejaVu Sans Mono"


@dataclass(frozen=True)
class Kind:
    """One kind of terminal. ``package`` is Debian's. ``start`` makes the command line that opens
    a window of so many columns and rows in which a command runs; for a multiplexer (``inside``)
    the one that runs in a terminal. It may write files into the folder it is given."""

    name: str
    package: str
    start: Callable[[int, int, list[str], Path], list[str]]
    inside: str = ""


def _xterm(columns: int, rows: int, command: list[str], _folder: Path) -> list[str]:
    return [
        "xterm", "-geometry", f"{columns}x{rows}", "-fa", _FONT, "-fs", "9", "-u8", "-bc",
        "-xrm", "*cursorBlink: false", "-e", *command,
    ]  # fmt: skip


def _urxvt(columns: int, rows: int, command: list[str], _folder: Path) -> list[str]:
    return [
        "urxvt", "-geometry", f"{columns}x{rows}", "-fn", f"xft:{_FONT}:size=9", "+sb", "-e",
        *command,
    ]  # fmt: skip


def _st(columns: int, rows: int, command: list[str], _folder: Path) -> list[str]:
    return ["st", "-g", f"{columns}x{rows}", "-f", f"{_FONT}:size=9", "-e", *command]


def _pterm(columns: int, rows: int, command: list[str], _folder: Path) -> list[str]:
    return [
        "pterm", "-geometry", f"{columns}x{rows}", "-fn", f"client:{_FONT} 9", "-sb-",
        "-xrm", "pterm.BlinkCursor: 0", "-e", *command,
    ]  # fmt: skip


def _vte(columns: int, rows: int, command: list[str], _folder: Path) -> list[str]:
    return [
        "dbus-run-session", "--", "xfce4-terminal", "--disable-server", "--hide-menubar",
        "--hide-toolbar", "--hide-scrollbar", "--hide-borders", "--font", f"{_FONT} 9",
        "--geometry", f"{columns}x{rows}", "--command", shlex.join(command),
    ]  # fmt: skip


def _tmux(_columns: int, _rows: int, command: list[str], folder: Path) -> list[str]:
    settings = folder / "tmux.conf"
    settings.write_text('set -g status off\nset -g default-terminal "tmux-256color"\n')
    socket = str(folder / "tmux")
    return ["tmux", "-u", "-S", socket, "-f", str(settings), "new-session", shlex.join(command)]


def _screen(_columns: int, _rows: int, command: list[str], folder: Path) -> list[str]:
    settings = folder / "screenrc"
    settings.write_text("startup_message off\nvbell off\n")
    return ["screen", "-U", "-c", str(settings), "-S", f"t{folder.name}", *command]


KINDS = {
    kind.name: kind
    for kind in (
        Kind("xterm", "xterm", _xterm),
        Kind("urxvt", "rxvt-unicode", _urxvt),
        Kind("st", "stterm", _st),
        Kind("pterm", "pterm", _pterm),
        Kind("vte", "xfce4-terminal", _vte),
        Kind("tmux", "tmux", _tmux, inside="xterm"),
        Kind("screen", "screen", _screen, inside="xterm"),
    )
}


def version(kind: Kind) -> str:
    """The version of its Debian package, without Debian's own part; for VTE the library's."""
    package = "libvte-2.91-0" if kind.name == "vte" else kind.package
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", package],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False,
    )  # fmt: skip
    return re.sub(r"^\d+:|-[^-]*$", "", done.stdout) or "?"
