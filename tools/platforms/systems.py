"""Tries the program on other Linux systems and Pythons, and prints what was seen.

    python -m tools.platforms.systems [WORDS]

Of all trials, or of those whose system and Python have ``WORDS`` in them; ``here``: of this
machine's own Pythons. The interpreters are the
ones that ``freeze-core`` and ``cx-freeze`` bring along for the programs that they freeze; the
standard library, which is Python, is that of the Windows interpreter of the same version.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools import build_pyz, pyz_lock
from tools.platforms import fetch, wine
from tools.platforms.fetch import ROOT, Missing
from tools.platforms.single import single_file
from tools.platforms.table import HEAD, Row, line
from tools.smoke import HERE, Program, outcome

# The frozen program's own module: what an interpreter does with its command line.
_PLAY = '''
import os, runpy, sys

def run(_main):
    words = sys.argv[1:]
    while words[0] in ("-I", "-S", "-B"):
        words.pop(0)
    sys.argv = words
    sys.path[:0] = [place for place in os.environ.get("PYTHONPATH", "").split(":") if place]
    if words[0] == "-c":
        sys.argv = words[1:]
        exec(words[1], {"__name__": "__main__"})
    else:
        sys.path.insert(0, os.path.dirname(os.path.abspath(words[0])))
        runpy.run_path(words[0], run_name="__main__")
'''
# What Python's zlib module needs of the library: without files, and so without a libc's own names.
_ZLIB = ("adler32", "compress", "crc32", "deflate", "infback", "inffast", "inflate", "inftrees",
         "trees", "uncompr", "zutil")  # fmt: skip


@dataclass(frozen=True)
class System:
    """One system: the lock's name for it, and where its interpreter comes from."""

    name: str  # for the table
    platform: str
    python: str
    package: str  # with the interpreter
    tag: str  # of its wheel
    free_threaded: bool = False

    @property
    def machine(self) -> str:
        return "aarch64" if "aarch64" in self.platform else "x86_64"

    @property
    def musl(self) -> bool:
        return self.platform.endswith("musl")


_NEWER = "manylinux2014_x86_64 manylinux_2_28_x86_64"
# One for each wheel: cp314t, cp314 and, of arm64, cp314.
_FREEZE = (
    "freeze-core==0.8.1"
    " --hash=sha256:b8547956f9cbeabaae9cc758bbc65531962c3fb4fa0c2431c802089e7ea86cca"
    " --hash=sha256:2500ef546af0c26e30cc8630be353fa02c9ff46d009b76d6d15e79288140d7e6"
    " --hash=sha256:8e7f1469a81fface7e779f869fa138b2e7b09bf0874cc35255fbb91f428b6103"
)
_CX = "cx-freeze==7.0.0"
# What a free-threaded Python needs of native code; the lock has no wheels for one.
_FREE_THREADED = (
    f"cffi=={pyz_lock._CFFI}"
    " --hash=sha256:51b31d1c98274844cfd7838ce00bfc27c7423a4dc00fc0772fc3331c2cc90676",
    f"cryptography=={pyz_lock._CRYPTOGRAPHY}"
    " --hash=sha256:ab50ee449bf968271e820086f10a33d101dd060370abc10bcd22279be2656539",
)
SYSTEMS = (
    System("Linux x86-64, glibc", "linux-x86_64-glibc", "3.14", _FREEZE, "manylinux2014_x86_64"),
    System("Linux x86-64, glibc", "linux-x86_64-glibc", "3.14", _FREEZE, "manylinux2014_x86_64",
           free_threaded=True),
    System("Linux x86-64, musl", "linux-x86_64-musl", "3.12", _CX, "musllinux_1_1_x86_64"),
    System("Linux arm64, glibc", "linux-aarch64-glibc", "3.14", _FREEZE, "manylinux2014_aarch64"),
    System("Linux arm64, musl", "linux-aarch64-musl", "3.12", _CX, "musllinux_1_1_aarch64"),
)  # fmt: skip


# Interpreters


def interpreter(system: System) -> Path:
    """The interpreter's path.  Raises ``Missing``."""
    kind = "t" if system.free_threaded else ""
    name = f"{system.platform}-{system.python}{kind}"
    folder = fetch.cached(f"python-{name}", lambda place: _assemble(system, place))
    return folder / "bin" / "python"


def frozen(system: System) -> Path:
    """What is in the package that its interpreter comes in."""
    kind = "t" if system.free_threaded else ""
    abi = f"cp{system.python.replace('.', '')}{kind}" if system.package == _FREEZE else ""
    name = f"{system.package.partition('==')[0]}-{system.tag}-{abi}"
    return fetch.cached(name, fetch.wheel(system.package, system.python, system.tag, abi))


def _assemble(system: System, place: Path) -> None:
    """Put base, extension modules, standard library and the module above in their places."""
    wheel = frozen(system)
    (base,) = wheel.rglob("bases/console-cpython-*")
    binary, library = place / "bin", place / "bin" / "lib"
    standard = Path(wine.interpreter(system.python)).parent / "Lib"
    skip = shutil.ignore_patterns("test", "site-packages", "idlelib", "__pycache__")
    shutil.copytree(standard, library, ignore=skip)
    shutil.copy(base, binary / "python")
    (binary / "python").chmod(0o755)
    for path in wheel.rglob("*.so*"):
        if path.parent.name in ("lib", "lib-dynload") or path.parent.name.endswith(".libs"):
            shutil.copy(path, library)
    for name in ("python__init__", "__init__python"):  # older and newer
        (library / f"{name}.py").write_text(_PLAY)
    (library / "BUILD_CONSTANTS.py").write_text("")
    startup = next(wheel.rglob("initscripts/__startup__.py"), None)
    if startup is not None:
        shutil.copy(startup, library)
    if system.musl:
        _make_zlib(system, library / "libz.so.1")


def _make_zlib(system: System, to: Path) -> None:
    """A libz that runs with any libc, from the parts of Debian's that need next to none."""
    prefix = "aarch64-linux-gnu-" if system.machine == "aarch64" else ""
    ar = fetch.installed(f"{prefix}ar", "binutils-aarch64-linux-gnu" if prefix else "binutils")
    archive = next(debian(system.machine, "zlib1g-dev").rglob("libz.a"))
    parts = [f"{name}.o" for name in _ZLIB]
    here = to.parent / "zlib-parts"
    here.mkdir()
    subprocess.run([ar, "x", str(archive), *parts], cwd=here, check=True)
    options = ["-shared", "-Bsymbolic", "-soname", "libz.so.1", "-o", str(to)]
    linking = [f"{prefix}ld", *options, *parts]
    subprocess.run(linking, cwd=here, check=True)
    shutil.rmtree(here)


def debian(machine: str, *packages: str) -> Path:
    """What is in Debian's packages for a processor, unpacked and not installed."""
    name = f"debian-{machine}-{'-'.join(packages)}"
    return fetch.cached(name, fetch.debian({"aarch64": "arm64", "x86_64": "amd64"}[machine],
                                           *packages))  # fmt: skip


# Running


def runner(system: System) -> list[str]:
    """The command that starts the interpreter.  Raises ``Missing``."""
    python = str(interpreter(system))
    if system.machine == "aarch64":
        qemu = fetch.installed("qemu-aarch64", "qemu-user")
        return [qemu, "-L", str(_root(system)), python]
    if system.musl:
        loader = next(debian("x86_64", "musl").rglob("ld-musl-x86_64.so.1"))
        real = next(debian("x86_64", "musl").rglob("libc.so")) if loader.is_symlink() else loader
        libraries = str(Path(python).parent / "lib")
        return [str(real), "--library-path", libraries, python]
    return [python]


def _root(system: System) -> Path:
    packages = ("musl",) if system.musl else ("libc6", "libgcc-s1", "zlib1g")
    return debian("aarch64", *packages)


def versions(system: System, command: list[str]) -> tuple[str, str]:
    """Of Python, and of what runs it, as they tell it themselves.  Raises ``Missing``."""
    code = "import sys; print(sys.version.split()[0])"
    ran = subprocess.run(
        [*command, "-c", code], env=environment(system), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if ran.returncode:
        raise Missing(f"{' '.join(command)} ends with {ran.returncode}: {ran.stderr[-500:]}")
    by = [_musl_version()] if system.musl else []
    if system.machine == "aarch64":
        text = subprocess.run([command[0], "--version"], capture_output=True, text=True).stdout
        by.append(f"qemu-user {text.split()[2]}")
    return ran.stdout.strip() + (" free-threaded" if system.free_threaded else ""), ", ".join(by)


def _musl_version() -> str:
    loader = next(debian("x86_64", "musl").rglob("libc.so"))
    said = subprocess.run([str(loader)], capture_output=True, text=True).stderr
    return f"musl {said.split('Version ')[1].split()[0]}"


def environment(system: System) -> dict[str, str]:
    """In which the interpreter finds its libraries, also behind qemu."""
    where = f"LD_LIBRARY_PATH={interpreter(system).parent / 'lib'}"
    if system.machine == "aarch64":
        return {**os.environ, "QEMU_SET_ENV": where}
    if system.musl:  # told by the loader's own option
        return dict(os.environ)
    return {**os.environ, **dict([where.split("=", 1)])}


def packages(system: System) -> Path:
    """What the source tree needs there.  A free-threaded Python has wheels of its own."""
    if system.free_threaded:
        def make(folder: Path) -> None:
            for name in _FREE_THREADED:
                fetch.wheel(name, system.python, _NEWER, "cp314t")(folder)
            for path in _wheels("any"):
                fetch.unpack(path, folder)

        return fetch.cached(f"packages-{system.platform}-{system.python}t", make)
    wheels = _wheels("any") + _wheels(system.platform, system.python)
    return fetch.site_packages(system.platform, system.python, wheels)


def _wheels(platform: str, python: str = "") -> list[Path]:
    """Those of the lock, fetched; of cffi there is one for each Python."""
    found = [
        one
        for one in pyz_lock.read()
        if one.platform == platform and (one.project != "cffi" or one.python == python)
    ]
    pyz_lock.fetch(found)
    return [one.path(pyz_lock.WHEELS) for one in found]


# Trials


def talk(program: Program) -> str:
    """Chats with this machine's own Python, either serving; what went wrong."""
    for programs in ((HERE, program, HERE), (program, HERE, program)):
        if wrong := outcome(*programs):
            return wrong
    return ""


def refuses(command: list[str], there: dict[str, str]) -> str:
    """The single file under a free-threaded Python names the reason; what went wrong."""
    ran = subprocess.run(
        [*command, str(single_file()), "serve"],
        env=there, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = ran.stderr.startswith("cmd_chat: This file needs an ordinary CPython")
    return "" if told and ran.returncode == 2 else f"{ran.returncode}: {ran.stderr}"


def trials(system: System) -> list[tuple[str, str, Callable[[], str]]]:
    """How it is run, what is seen if it goes well, and how it is tried.  Raises ``Missing``."""
    command = runner(system)
    there = environment(system)
    chat = "chat with CPython here, either serving"
    pyz = Program((*command, "-I", "-S", str(single_file())), there)
    tree = Program(
        (*command, str(ROOT / "cmd_chat.py")), {**there, "PYTHONPATH": str(packages(system))}
    )
    if system.free_threaded:
        return [
            ("single file", "refused with the reason, status 2", lambda: refuses(command, there)),
            ("source tree", chat, lambda: talk(tree)),
        ]
    found = [("single file, from memory", chat, lambda: talk(pyz))]
    if not system.musl:  # installed by pip, what cryptography brings along crashes older musl
        found.append(("source tree", chat, lambda: talk(tree)))
    return found


def here(python: str) -> Row:
    """The single file under a Python of this machine."""
    code = "import platform; print(platform.python_version(), *platform.libc_ver())"
    told = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
    version, libc, number = told.split()
    wrong = talk(Program((python, "-I", "-S", str(single_file()))))
    seen = wrong or "chat with the source tree here, either serving"
    system = f"Linux x86-64, {libc} ({libc} {number})"
    return Row(system, version, "single file, from memory", seen, not wrong)


def main(only: str) -> int:
    """Try what has ``only`` in its description, and print the rows; the exit status."""
    failed = False
    print(HEAD)
    for python in build_pyz.pythons() if only in "here" else ():
        row = here(python)
        failed = failed or not row.good
        print(line(row), flush=True)
    for system in SYSTEMS:
        if only not in f"{system.name} {system.python}{' t' if system.free_threaded else ''}":
            continue
        try:
            python, by = versions(system, runner(system))
            for how, seen, attempt in trials(system):
                wrong = attempt()
                failed = failed or bool(wrong)
                where = f"{system.name} ({by})" if by else system.name
                print(line(Row(where, python, how, wrong or seen, not wrong)), flush=True)
        except Missing as missing:
            failed = True
            print(f"{system.name}, {system.python}: {missing}", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:])))
