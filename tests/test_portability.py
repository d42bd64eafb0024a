"""Nothing that only POSIX systems have is needed to import the program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.processes import environment

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("protocol", "i18n", "settings", "transport", "server", "client")

# Names that Windows does not have. What is None in sys.modules cannot be imported.
_WITHOUT_POSIX = """
import sys

for name in ("termios", "tty", "pty", "fcntl", "resource", "pwd", "grp", "posix_ipc", "readline"):
    sys.modules[name] = None

import os, select, signal, socket

for module, names in {
    select: ("poll", "epoll", "kqueue"),
    signal: ("SIGHUP", "SIGWINCH", "SIGTSTP", "SIGCONT", "SIGPIPE", "SIGUSR1", "SIGALRM"),
    os: ("fork", "geteuid", "getuid", "set_blocking", "openpty", "setsid", "uname", "fchmod"),
    socket: ("AF_UNIX", "SO_REUSEPORT"),
}.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)

import importlib

for name in sys.argv[1:]:
    importlib.import_module(name)

missing = {name for name in sys.argv[1:] if name not in sys.modules}
assert not missing, missing
print("imported", len(sys.argv) - 1)
"""


# They say so when they are imported; tools/platforms/windows.py runs what is in them.
WINDOWS_ONLY = {"client.bots.windows"}


def modules() -> list[str]:
    """All but those for Windows alone, which are tried there."""
    found = ["cmd_chat"]
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append(".".join(parts).removesuffix(".__init__"))
    assert set(found) >= WINDOWS_ONLY
    return [name for name in found if name not in WINDOWS_ONLY or sys.platform == "win32"]


def import_them(names: list[str], path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", _WITHOUT_POSIX, *names],
        cwd=path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_every_module_is_imported_without_posix() -> None:
    names = modules()
    assert len(names) > 60 and "client.input.terminal" in names
    ran = import_them(names)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == f"imported {len(names)}\n"


def test_a_module_that_needs_posix_would_be_found(tmp_path: Path) -> None:
    for number, line in enumerate(
        ("import termios", "import select\nselect.poll", "from os import fork")
    ):
        (tmp_path / f"needs_{number}.py").write_text(line + "\n")
        ran = import_them([f"needs_{number}"], tmp_path)
        assert ran.returncode == 1 and "Error" in ran.stderr, line
