"""The wheels of cmd_chat.pyz: which ones, their hashes, and how they are fetched.

    python -m tools.pyz_lock

asks the registry, by pip, for the wheels of the versions below and writes ``tools/pyz.lock``
anew: one line a wheel, with its platform and its SHA-256. The build takes only what that file
names.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "tools" / "pyz.lock"
WHEELS = ROOT / "build" / "wheels"
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")

ANY = "any"
_PURE = {
    "colorama": "0.4.6",
    "h11": "0.16.0",
    "simple-websocket": "1.1.0",
    "typing-extensions": "4.16.0",  # cryptography's need on Python 3.10
    "websocket-client": "1.9.2",
    "wsproto": "1.3.2",
}
_CFFI = "2.1.1"
_CRYPTOGRAPHY = "50.0.2"
_ABI3 = "3.10"  # the Python to ask for; its wheel of cryptography serves all later ones


class Wrong(Exception):
    """A wheel is not there, or not what it should be; the text says which."""


@dataclass(frozen=True)
class Platform:
    """One platform: its name for people, the registry's tag, and cryptography's version."""

    name: str
    tag: str
    cryptography: str = _CRYPTOGRAPHY


# By the names that ``pyz_start.platform_name`` gives. The oldest systems that there are wheels for.
PLATFORMS = {
    "linux-x86_64-glibc": Platform("Linux x86-64 (glibc 2.17 or newer)", "manylinux2014_x86_64"),
    "linux-aarch64-glibc": Platform("Linux arm64 (glibc 2.17 or newer)", "manylinux2014_aarch64"),
    "linux-x86_64-musl": Platform("Linux x86-64 (musl 1.2 or newer)", "musllinux_1_2_x86_64"),
    "linux-aarch64-musl": Platform("Linux arm64 (musl 1.2 or newer)", "musllinux_1_2_aarch64"),
    "macos-arm64": Platform("macOS arm64 (11 or newer)", "macosx_11_0_arm64"),
    # cryptography's last version with an Intel wheel.
    "macos-x86_64": Platform("macOS x86-64 (10.15 or newer)", "macosx_10_15_x86_64", "48.0.1"),
    "windows-x86_64": Platform("Windows x86-64", "win_amd64"),
}


@dataclass(frozen=True)
class Wheel:
    """One line of the lock."""

    platform: str
    file: str
    sha256: str

    @property
    def project(self) -> str:
        """The project's name as the registry spells it."""
        return self.file.split("-")[0].replace("_", "-")

    @property
    def version(self) -> str:
        return self.file.split("-")[1]

    @property
    def python(self) -> str:
        """The Python to ask pip for: the one that it is for, or the first that it serves."""
        interpreter, abi = self.file.split("-")[2:4]
        found = re.fullmatch(r"cp3(\d+)", interpreter)
        return f"3.{found[1]}" if found and abi != "abi3" else _ABI3

    def path(self, folder: Path) -> Path:
        return folder / self.file


def read(path: Path = LOCK) -> list[Wheel]:
    """The lock's lines.  Raises ``Wrong`` for one that is not understood."""
    wheels = []
    for line in path.read_text(encoding="ascii").splitlines():
        if line and not line.startswith("#"):
            found = re.fullmatch(r"(\S+) +(\S+\.whl) +sha256:([0-9a-f]{64})", line)
            if found is None or found[1] not in (ANY, *PLATFORMS):
                raise Wrong(f"{path.name}: {line}")
            wheels.append(Wheel(found[1], found[2], found[3]))
    return wheels


def fetch(wheels: Iterable[Wheel], folder: Path = WHEELS) -> None:
    """Have every wheel in ``folder``, each checked.  Raises ``Wrong``."""
    folder.mkdir(parents=True, exist_ok=True)
    groups: dict[tuple[str, str], list[Wheel]] = {}
    for wheel in wheels:
        if not _is_there(wheel, folder):
            groups.setdefault((wheel.platform, wheel.python), []).append(wheel)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda group: _fetch_group(group, folder), groups.values()))


def _is_there(wheel: Wheel, folder: Path) -> bool:
    path = wheel.path(folder)
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == wheel.sha256


def _fetch_group(wheels: Sequence[Wheel], folder: Path) -> None:
    """Wheels of one platform and Python, each project once, into ``folder``."""
    first = wheels[0]
    with tempfile.TemporaryDirectory(dir=folder) as here:
        wanted = Path(here) / "wanted.txt"
        wanted.write_text(
            "".join(f"{one.project}=={one.version} --hash=sha256:{one.sha256}\n" for one in wheels)
        )
        download(first.platform, first.python, ["--require-hashes", "-r", str(wanted)], Path(here))
        for wheel in wheels:
            if not _is_there(wheel, Path(here)):
                raise Wrong(f"the registry has another {wheel.file} than the lock")
            os.replace(wheel.path(Path(here)), wheel.path(folder))


def download(platform: str, python: str, what: Sequence[str], to: Path) -> None:
    """Let pip download wheels.  Raises ``Wrong`` with what pip says."""
    place = []
    if platform != ANY:
        tag = PLATFORMS[platform].tag
        place = ["--platform", tag, "--implementation", "cp", "--python-version", python]
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
        "--no-deps", "--only-binary", ":all:", "--dest", str(to), *place, *what,
    ]  # fmt: skip
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise Wrong(f"pip cannot get what {platform} needs:\n{ran.stderr.strip()}")


def write(path: Path = LOCK) -> None:
    """Ask the registry for the versions above, and write the lock."""
    asked = [(ANY, _ABI3, [f"{name}=={version}" for name, version in _PURE.items()])]
    for key, platform in PLATFORMS.items():
        for python in PYTHONS:
            what = [f"cffi=={_CFFI}"]
            if python == _ABI3:
                what.append(f"cryptography=={platform.cryptography}")
            asked.append((key, python, what))
    with ThreadPoolExecutor(4) as pool:
        lines = [line for some in pool.map(lambda one: _lines(*one), asked) for line in some]
    head = "# Wheels of cmd_chat.pyz: platform, file, hash.  Made by: python -m tools.pyz_lock\n"
    path.write_text(head + "".join(f"{line}\n" for line in lines), encoding="ascii")


def _lines(platform: str, python: str, what: Sequence[str]) -> list[str]:
    with tempfile.TemporaryDirectory() as here:
        download(platform, python, what, Path(here))
        return [
            f"{platform} {path.name} sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
            for path in sorted(Path(here).glob("*.whl"))
        ]


if __name__ == "__main__":
    try:
        write()
    except Wrong as error:
        sys.exit(str(error))
