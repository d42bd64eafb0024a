"""Build cmd_chat.pyz: the program and all it needs, in one file.

    python -m tools.build_pyz [--all] [--out FILE] [--platform NAME] [--python PATH]

For this machine, or for ``--all`` platforms of ``tools/pyz.lock``. The same tree, lock and
Pythons give the same bytes. What the file looks like inside is in docs/PYZ.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tools import pyz_lock
from tools.pyz_lock import ANY, PLATFORMS, PYTHONS, ROOT, Wheel, Wrong
from tools.pyz_start import platform_name
from tools.pyz_zip import Entry, assemble, deflated, stored, taken

PACKAGES = ("cli", "client", "i18n", "protocol", "server", "settings", "transport")
_DATA = (".py", ".mo", ".lua")
_START = {"__main__.py": "pyz_main.py", **{
    name: name for name in ("pyz_start.py", "pyz_memory.py", "pyz_folder.py", "pyz_elf.py")
}}  # fmt: skip
_SHEBANG = b"#!/usr/bin/env python3\n"
_LICENCE = re.compile(r"[^/]+\.dist-info/(?:licenses/|(?=LICEN[SC]E)|(?=sboms/))(.+)")
_NATIVE = re.compile(r"(_cffi_backend\..+|cryptography/.+\.(?:so|pyd)|[^/]+\.libs/.+)")

Entries = dict[str, Entry]


class Contents:
    """What goes into the file, gathered from the tree and from wheels."""

    def __init__(self) -> None:
        self.entries: Entries = {}
        self.sources: dict[str, bytes] = {}
        self.builds: dict[str, dict[str, Any]] = {}
        self.packages: dict[str, set[str]] = {}  # with version -> platforms

    def add_tree(self) -> None:
        """The program itself."""
        for name, source in _START.items():
            self.entries[name] = stored((ROOT / "tools" / source).read_bytes())
        self.entries["LICENSE"] = deflated((ROOT / "LICENSE").read_bytes())
        for package in PACKAGES:
            for path in sorted((ROOT / package).rglob("*")):
                name = path.relative_to(ROOT).as_posix()
                if path.suffix == ".py":
                    self.sources[name] = path.read_bytes()
                elif path.suffix in _DATA:
                    self.entries[name] = deflated(path.read_bytes())

    def add_wheel(self, wheel: Wheel, path: Path) -> None:
        """One wheel's modules, native ones as they are, and its licences."""
        package = f"{wheel.project} {wheel.version}"
        self.packages.setdefault(package, set()).add(wheel.platform)
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if name.endswith("/"):
                    continue
                if _NATIVE.fullmatch(name):
                    self._add_native(wheel, name, taken(archive, name))
                elif licence := _LICENCE.fullmatch(name):
                    self._add_licence(wheel, package, licence[1], taken(archive, name))
                elif name.endswith(".py") and _is_needed(name):
                    self._add_source(f"{_folder(wheel)}/{name}", archive.read(name))

    def _add_native(self, wheel: Wheel, name: str, entry: Entry) -> None:
        place = f"native/{wheel.platform}/{name}"
        self.entries[place] = entry
        build = self.builds.setdefault(
            wheel.platform, {"name": PLATFORMS[wheel.platform].name, "cffi": {}, "libraries": []}
        )
        if name.startswith("_cffi_backend"):
            build["cffi"][f"CPython {wheel.python}"] = place
        elif name.startswith("cryptography/"):
            build.update(rust=place, cryptography=wheel.version, pure=_folder(wheel))
        else:
            build["libraries"].append(place)

    def _add_licence(self, wheel: Wheel, package: str, name: str, entry: Entry) -> None:
        # The same in each wheel of a version, but for what was built in.
        folder = f"licences/{package.replace(' ', '-')}"
        place = f"{folder}/{wheel.platform}/{name}" if name.startswith("sboms/") else (
            f"{folder}/{name}"
        )
        self.entries[place] = entry

    def _add_source(self, place: str, source: bytes) -> None:
        if self.sources.setdefault(place, source) != source:
            raise Wrong(f"two wheels of a version differ in {place}")

    def check(self) -> None:
        """Raises ``Wrong`` if a platform lacks a part."""
        for key, build in self.builds.items():
            if "rust" not in build or list(build["cffi"]) != [f"CPython {one}" for one in PYTHONS]:
                raise Wrong(f"the lock lacks a part of {key}")

    def finish(self, pythons: Sequence[str]) -> bytes:
        """The whole file's bytes, with bytecode by ``pythons``.  Raises ``Wrong``."""
        self.check()
        for name, source in self.sources.items():
            self.entries[name] = deflated(source)
        for python in pythons:
            name, table = _bytecode(python, self.sources)
            self.entries[f"bytecode/{name}"] = deflated(table)
        inside = {
            "at_least": _at_least(),
            "builds": self.builds,
            "packages": sorted(self._described()),
        }
        text = json.dumps(inside, indent=1, sort_keys=True, ensure_ascii=True)
        self.entries["inside.json"] = deflated(text.encode())
        self.entries["inside.txt"] = stored(self._sentence().encode("ascii"))
        return assemble(_SHEBANG, self.entries)

    def _described(self) -> Iterator[str]:
        """Packages for people; one that comes in two versions with the platforms of each."""
        names = [package.split()[0] for package in self.packages]
        for package, platforms in self.packages.items():
            several = names.count(package.split()[0]) > 1
            yield f"{package} ({', '.join(sorted(platforms))})" if several else package

    def _sentence(self) -> str:
        names = ", ".join(build["name"] for build in self.builds.values())
        return f"This file is for CPython {PYTHONS[0]} to {PYTHONS[-1]} on {names}\n"


def _folder(wheel: Wheel) -> str:
    """Where a wheel's modules go: cryptography may be there in more than one version."""
    return f"cryptography-{wheel.version}" if wheel.project == "cryptography" else "lib"


def _is_needed(name: str) -> bool:
    # Of cffi only the native module is imported; the rest of it writes bindings.
    return not name.startswith("cffi/") and "tests" not in name.split("/")


def _at_least() -> str:
    found = re.search(r"^cryptography>=([\d.]+)", _text("requirements.txt"), re.MULTILINE)
    if found is None:
        raise Wrong("requirements.txt has no lower bound for cryptography")
    return found[1]


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# Bytecode


def _bytecode(python: str, sources: dict[str, bytes]) -> tuple[str, bytes]:
    """What an interpreter makes of ``sources``, and the name of its kind of bytecode."""
    wanted = [
        (_module_place(name), f"cmd_chat.pyz/{name}", source.decode())
        for name, source in sorted(sources.items())
    ]
    ran = subprocess.run(
        [python, "-S", "-s", "-B", str(ROOT / "tools" / "pyz_bytecode.py")],
        input=json.dumps(wanted).encode(),
        capture_output=True,
        check=False,
        cwd=ROOT,
        env={"PYTHONHASHSEED": "0", **_system()},
    )
    if ran.returncode:
        raise Wrong(f"{python} cannot compile this: {ran.stderr.decode(errors='replace')}")
    tag, magic = json.loads(ran.stdout.split(b"\n", 1)[0])
    return f"{tag}-{magic}", ran.stdout.split(b"\n", 1)[1]


def _system() -> dict[str, str]:
    # Windows starts no process without it.
    return {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}


def _module_place(name: str) -> str:
    return name.removesuffix(".py").removesuffix("/__init__")


def pythons() -> list[str]:
    """The interpreters at hand that the file is for, one of each version; this one first."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates = [sys.executable]
    for version in PYTHONS:
        candidates += [path for path in [shutil.which(f"python{version}")] if path]
        candidates += [str(path) for path in sorted(root.glob(f"versions/{version}.*/bin/python"))]
    found: dict[str, str] = {}
    for path in candidates:
        version = _version(path)
        if version in PYTHONS:
            found.setdefault(version, path)
    return [found[version] for version in PYTHONS if version in found]


def _version(python: str) -> str:
    """CPython's version, such as 3.11; empty if it does not run, or is another kind."""
    code = (
        "import sys; t = 't' in getattr(sys, 'abiflags', '');"
        "print('%d.%d' % sys.version_info[:2]"
        " if sys.implementation.name == 'cpython' and not t else '')"
    )
    try:
        ran = subprocess.run(
            [python, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return ran.stdout.strip() if ran.returncode == 0 else ""


# Building


def build(platforms: Iterable[str], interpreters: Sequence[str], wheels: Path) -> bytes:
    """The file's bytes for these platforms.  Raises ``Wrong``."""
    wanted = {ANY, *platforms}
    lock = [wheel for wheel in pyz_lock.read() if wheel.platform in wanted]
    pyz_lock.fetch(lock, wheels)
    contents = Contents()
    contents.add_tree()
    for wheel in lock:
        contents.add_wheel(wheel, wheel.path(wheels))
    return contents.finish(interpreters)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_bytes(data)
    temporary.chmod(0o755)
    os.replace(temporary, path)


def main() -> int:
    """Build what the command line asks for, and print the file's hash."""
    parser = argparse.ArgumentParser(description="Build cmd_chat.pyz.")
    parser.add_argument("--all", action="store_true", help="for every platform of the lock")
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "cmd_chat.pyz")
    parser.add_argument("--wheels", type=Path, default=pyz_lock.WHEELS, help="kept wheels")
    parser.add_argument("--platform", action="append", choices=PLATFORMS)
    parser.add_argument("--python", action="append", help="have bytecode made by this one")
    chosen = parser.parse_args()
    platforms = list(PLATFORMS) if chosen.all else chosen.platform or [platform_name()]
    try:
        unknown = set(platforms) - set(PLATFORMS)
        if unknown:
            raise Wrong(f"There are no wheels in the lock for {', '.join(unknown)}.")
        data = build(platforms, chosen.python or pythons(), chosen.wheels)
    except Wrong as error:
        print(error, file=sys.stderr)
        return 1
    _write(chosen.out, data)
    print(f"{hashlib.sha256(data).hexdigest()}  {chosen.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
