"""Start of cmd_chat.pyz: makes what is inside importable, and hands over to ``cli``.

Pure Python is imported from the file itself, from bytecode where the file has some for this
Python. Native modules cannot be: on Linux they are loaded from memory, so that nothing is ever
written (``pyz_memory``); elsewhere, or where it is asked for, from a private folder
(``pyz_folder``). Nothing of what is installed on the machine is used, unless nothing inside fits.
"""

from __future__ import annotations

import json
import marshal
import os
import sys
import zipimport
from collections.abc import Callable, Sequence
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from importlib.util import MAGIC_NUMBER, spec_from_file_location
from types import CodeType
from typing import Any

USAGE, INTERRUPTED = 2, 130

RUST = "cryptography.hazmat.bindings._rust"
CFFI = "_cffi_backend"

_FREE = "free-threaded"

FOLDER = "CMD_CHAT_NATIVE_FOLDER"  # names a folder to load native modules from


class NothingFits(Exception):
    """Neither what is inside nor what is installed can be used; the text says why."""


# Pure Python, out of the file


class Importer(zipimport.zipimporter):
    """Python's own importer for zip files, with bytecode from a table of this file's."""

    bytecode: dict[str, bytes] = {}  # one for all folders of the file

    def get_filename(self, fullname: str) -> str:
        """Where a module's source is. zipimporter's own compiles the module to find that out."""
        end = f"{os.sep}__init__.py" if self.is_package(fullname) else ".py"
        return os.path.join(self.archive, self.prefix + fullname.rpartition(".")[2] + end)

    def get_code(self, fullname: str) -> CodeType:
        """As zipimporter's; each piece of bytecode is used once, and let go."""
        place = (self.prefix + fullname.rpartition(".")[2]).replace(os.sep, "/")
        data = self.bytecode.pop(place, None)
        if data is None:
            return super().get_code(fullname)
        code = marshal.loads(data)  # noqa: S302  # part of this very program
        assert isinstance(code, CodeType)
        return code


class Archive:
    """This file, and what it says that it holds."""

    def __init__(self, loader: zipimport.zipimporter) -> None:
        self.path = loader.archive
        self._loader = loader
        self.inside: dict[str, Any] = json.loads(self.read("inside.json"))

    def read(self, name: str) -> bytes:
        """An entry's bytes.  Raises ``OSError`` if it is not there."""
        return self._loader.get_data(os.path.join(self.path, *name.split("/")))

    def install(self) -> None:
        """Have everything but cryptography imported from here, before anything else."""
        magic = int.from_bytes(MAGIC_NUMBER[:2], "little")
        try:
            table = self.read(f"bytecode/{sys.implementation.cache_tag}-{magic}")
        except OSError:
            pass  # from source, then
        else:
            Importer.bytecode = marshal.loads(table)  # noqa: S302  # part of this very program
        sys.path_hooks.insert(0, self._hook)
        for place in [name for name in sys.path_importer_cache if self._has(name)]:
            del sys.path_importer_cache[place]
        sys.path[:] = [place for place in sys.path if place != self.path]
        self.add("", "lib")

    def add(self, *folders: str) -> None:
        """Put folders of this file in front of the path."""
        sys.path[:0] = [os.path.join(self.path, name) if name else self.path for name in folders]

    def _has(self, place: str) -> bool:
        return place == self.path or place.startswith(self.path + os.sep)

    def _hook(self, place: str) -> Importer:
        if not self._has(place):
            raise ImportError(place)
        return Importer(place)


# Native modules


class Natives:
    """Finds the two native modules, and no others."""

    def __init__(self, entries: dict[str, str], place: Callable[[str], str]) -> None:
        self._entries, self._place = entries, place

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: object = None
    ) -> ModuleSpec | None:
        entry = self._entries.get(fullname)
        if entry is None:
            return None
        place = self._place(entry)
        return spec_from_file_location(
            fullname, place, loader=ExtensionFileLoader(fullname, place)
        )


# What fits


def python_name() -> str:
    """The running Python as the file's list names it; None of another kind is on the list."""
    version = ".".join(map(str, sys.version_info[:2]))
    if sys.implementation.name != "cpython":
        return f"{sys.implementation.name} {version}"
    suffix = EXTENSION_SUFFIXES[0]  # .cpython-313t-x86_64-linux-gnu.so, _d.cp313-win_amd64.pyd
    number = version.replace(".", "")
    if f"-{number}t" in suffix or f"cp{number}t" in suffix:
        return f"{_FREE} CPython {version}"
    if suffix.startswith("_d."):
        return f"CPython {version} (debug)"
    return f"CPython {version}"


def platform_name() -> str:
    """This platform as the file's list names it; another text if it is on no list."""
    if sys.platform == "win32":
        return "windows-x86_64" if "amd64" in sys.version.lower() else "windows-other"
    machine = os.uname().machine if sys.maxsize > 2**32 else f"{os.uname().machine}-32bit"
    if sys.platform == "darwin":
        return f"macos-{machine}"
    if sys.platform != "linux" or hasattr(sys, "getandroidapilevel"):
        return f"{sys.platform}-{machine}"
    return f"linux-{machine}-{_libc()}"


def _libc() -> str:
    try:
        return "glibc" if (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc") else "musl"
    except (OSError, ValueError):
        return "musl"


class Choice:
    """Where cryptography comes from in this run."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self.python, self.platform = python_name(), platform_name()
        build = archive.inside["builds"].get(self.platform, {})
        self._build: dict[str, Any] | None = build if self.python in build.get("cffi", {}) else None
        self._native: Any = None
        self._told = ""  # why what is inside cannot be loaded, and what to do; if that is known
        self.source = ""  # for --version

    def settle(self, load: bool) -> None:
        """Make cryptography importable; ``load`` it now, too, so that failures are told here.

        Raises ``NothingFits``.
        """
        why = ""
        if self._build is not None:
            try:
                self._use_inside(self._build, load)
                return
            except (ImportError, OSError) as error:
                why = " ".join(str(error).split())
                self._undo(self._build)
                self._told = self._native.why(error)
        self._use_installed(why)

    def _use_inside(self, build: dict[str, Any], load: bool) -> None:
        self._archive.add(build["pure"])
        self._native = self._way(build)
        entries = {CFFI: build["cffi"][self.python], RUST: build["rust"]}
        sys.meta_path.insert(0, Natives(entries, self._native.place))
        if load:
            try:
                __import__(RUST)
            finally:
                self._native.loaded()
        self.source = f"cryptography {build['cryptography']} of this file, {self._native.how}"

    def _way(self, build: dict[str, Any]) -> Any:
        folder = os.environ.get(FOLDER)
        if sys.platform == "linux" and not folder:
            from pyz_memory import InMemory  # type: ignore[import-not-found]

            return InMemory(self._archive, build)
        from pyz_folder import InFolder  # type: ignore[import-not-found]

        return InFolder(self._archive, build, folder)

    def _undo(self, build: dict[str, Any]) -> None:
        sys.meta_path[:] = [one for one in sys.meta_path if not isinstance(one, Natives)]
        sys.path.remove(os.path.join(self._archive.path, build["pure"]))
        for name in [name for name in sys.modules if name.split(".")[0] in ("cryptography", CFFI)]:
            del sys.modules[name]

    def _use_installed(self, why: str) -> None:
        """One that is installed, if it is new enough: better than nothing, and said."""
        try:
            import cryptography

            found = cryptography.__version__
            enough = _numbers(found) >= _numbers(self._archive.inside["at_least"])
            if enough:
                __import__(RUST)
        except Exception:
            enough = False
        if not enough:
            raise NothingFits(self._sentence(why))
        self.source = f"cryptography {found} as it is installed on this machine"
        why = self._told or f"nothing in this file fits {self._here()}"
        note = f"Note: {why}; it uses {self.source}."
        _say(note)

    def _sentence(self, why: str) -> str:
        if self._told:
            return self._told
        inside = self._archive.read("inside.txt").decode("ascii").strip()
        if self.python.startswith(_FREE):
            inside = f"This file needs an ordinary CPython, not the {_FREE} one. {inside}"
        reason = f", where it cannot be loaded ({why})" if why else ""
        return f"{inside}; this is {self._here()}{reason}."

    def _here(self) -> str:
        return f"{self.python} on {self.platform}"


def _say(sentence: str) -> None:
    """A sentence on standard error, which may repeat what the environment says."""
    from protocol.safe_text import visible  # of this file, which can be imported from by now

    print(f"cmd_chat: {visible(sentence)}", file=sys.stderr, flush=True)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")[:3] if part.isdigit()]


# Starting


def about(archive: Archive, choice: Choice) -> str:
    """What ``--version`` says besides the version: this file's hash, and its packages."""
    import hashlib

    digest = hashlib.sha256()
    with open(archive.path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return (
        f"SHA-256 {digest.hexdigest()}  {os.path.basename(archive.path)}\n"
        f"{choice.python} on {choice.platform}: {choice.source}\n"
        + "".join(f"{package}\n" for package in archive.inside["packages"])
    )


def _run() -> int:
    loader = __spec__.loader
    assert isinstance(loader, zipimport.zipimporter)
    archive = Archive(loader)
    archive.install()
    choice = Choice(archive)
    # Help does without cryptography, and is quicker so.
    choice.settle(load=bool(sys.argv[1:]) and not {"-h", "--help", "--version"} & set(sys.argv))
    from cli import packages, run

    packages.bundled = True
    run.about = lambda: about(archive, choice)
    return run.main()


def main() -> int:
    """Run the program; returns the exit status."""
    try:
        return _run()
    except NothingFits as error:
        _say(str(error))
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
