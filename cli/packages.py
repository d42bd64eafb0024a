"""Whether the packages that the program needs are there, and new enough, before it does anything.

Looked up in the folders that Python imports from, by the names of what lies in them: importing
the packages to ask them, or ``importlib.metadata``, takes longer than the rest of the start.
"""

from __future__ import annotations

import os
import sys

from i18n import _
from protocol.dataclass import dataclass

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@dataclass(frozen=True)
class Package:
    """A package by its name for pip, the module to import, and the oldest version that will do."""

    name: str
    module: str
    least: str = ""


# As requirements.txt has it, which a test compares; the single file has no requirements.txt.
NEEDED = (
    Package("cryptography", "cryptography", "48.0.0"),
    Package("websocket-client", "websocket", "1.9.1"),
    Package("simple-websocket", "simple_websocket", "1.0.0"),
    Package("colorama", "colorama", "0.4.6"),
)
# What those cannot be imported without; whoever copies packages by hand forgets them.
BESIDE = (Package("cffi", "_cffi_backend"), Package("wsproto", "wsproto"), Package("h11", "h11"))
# What `serve --backend` needs as well, as requirements-cluster.txt has it; the single file has it
# not inside, and uses what is installed.
FOR_BACKEND = Package("redis", "redis", "5.0.0")

bundled = False  # cmd_chat.pyz has everything inside, and says so here


def lacking() -> str:
    """One or two sentences about what is missing or too old, and what to do; empty if nothing is.

    A package whose version nothing tells is believed.
    """
    if bundled:
        return ""
    folders = [_listing(place) for place in sys.path]
    for packages in (NEEDED, BESIDE):
        wrong = [text for each in packages if (text := _wrong(each, folders))]
        if wrong:
            break
    else:
        return ""
    sentence = _("CMD CHAT lacks what it needs: {packages}.")
    return f"{sentence.format(packages=', '.join(wrong))} {_what_to_do()}"


def lacking_for_backend() -> str:
    """One or two sentences about what a backend needs and is not there; empty if it is."""
    wrong = _wrong(FOR_BACKEND, [_listing(place) for place in sys.path])
    if not wrong:
        return ""
    sentence = _("A backend needs what is not here: {package}.").format(package=wrong)
    if bundled:
        how = _(
            "Install it with pip for the Python that runs this file, and start that without -S."
        )
    else:
        how = _("Install it with pip beside CMD CHAT's other packages.")
    return f"{sentence} {how}"


def unusable(error: ImportError) -> str:
    """What to say of a package that is there and cannot be imported."""
    sentence = _("The package {package} cannot be loaded here.")
    package = (error.name or "?").partition(".")[0]
    return f"{sentence.format(package=package)} {_what_to_do()}"


def _listing(place: str) -> list[str]:
    try:
        return os.listdir(place or ".")
    except OSError:
        return []  # a zip file, or nothing at all


def _wrong(package: Package, folders: list[list[str]]) -> str:
    found = _find(package, folders)
    if found is None:
        there = _("not installed")
    elif package.least and found and _numbers(found) < _numbers(package.least):
        there = _("{version} is installed").format(version=found)
    else:
        return ""
    if not package.least:
        return f"{package.name} ({there})"
    needed = _("{package} {version} or newer").format(package=package.name, version=package.least)
    return f"{needed} ({there})"


def _find(package: Package, folders: list[list[str]]) -> str | None:
    """The version that would be imported, empty if nothing tells it; None without the package."""
    for names in folders:
        if any(name.partition(".")[0] == package.module for name in names):
            return _version(package, names)
    # From a zip file, or in another way of somebody's own.
    from importlib.util import find_spec

    return "" if find_spec(package.module) is not None else None


def _version(package: Package, names: list[str]) -> str:
    # simple_websocket-1.1.0.dist-info, as pip has it; .egg-info, also with Python's own version
    # before it, as Linux distributions do.
    wanted = package.name.replace("-", "_")
    versions = []
    for each in names:
        head, _dash, tail = each.partition("-")
        if tail.endswith(("dist-info", "egg-info")) and head.lower().replace(".", "_") == wanted:
            versions.append(tail.rpartition(".")[0].partition("-py")[0])
    return max(versions, key=_numbers, default="")


def _numbers(version: str) -> list[int]:
    numbers = []
    for part in version.split("."):
        if not part.isdecimal():
            break  # 50.0.0rc1 counts as 50.0
        numbers.append(int(part))
    return numbers


def _what_to_do() -> str:
    if not os.path.exists(os.path.join(ROOT, "requirements.txt")):
        return _("Install CMD CHAT anew with pip or pipx, which bring that along.")
    ready = _environment()
    if ready:
        sentence = _("There is a virtual environment beside it: start it with {python}.")
        return sentence.format(python=ready)
    return _(
        "Run make setup, or pip install -r requirements.txt in a virtual environment; or use "
        "cmd_chat.pyz, which holds everything."
    )


def _environment() -> str:
    """The Python of the tree's own virtual environment, if it is another one than this."""
    folder = os.path.join(ROOT, ".venv")
    parts = ("Scripts", "python.exe") if sys.platform == "win32" else ("bin", "python")
    python = os.path.join(folder, *parts)
    if not os.path.exists(python) or os.path.realpath(sys.prefix) == os.path.realpath(folder):
        return ""
    return min(python, os.path.relpath(python), key=len)
