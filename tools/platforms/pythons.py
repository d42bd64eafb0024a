"""CPython 3.14 with the interpreter's lock and without: whole ones, to run servers and trials with.

    python -m tools.platforms.pythons

makes ``python3.14`` and ``python3.14t``, the free-threaded one, in ``build/platforms``, and prints
their paths.  They are like any other Python, with all options, and have the packages that chatting
needs.  Linux x86-64 with glibc.  Everything comes from PyPI, each file by its version and hash:
from ``freeze-core`` the interpreters, of one build, and their extension modules; from
``pycc-python`` the standard library.

An interpreter of ``freeze-core`` is meant to run a frozen program, and its ``main`` takes nothing
of the command line.  It has all of CPython in it, though, and names what is exported: so the first
instructions of it are made to call ``Py_BytesMain`` instead.

It fails if the lock does not stay off once all is imported: an extension module that does not
declare itself safe without it would switch it on.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tools import pyz_elf
from tools.platforms import fetch, systems, wine
from tools.platforms.fetch import ROOT, Missing
from tools.platforms.systems import SYSTEMS, System

_MAIN = b"Py_BytesMain"
_DYNSYM = 11  # a section's type; System V ABI, "Sections"
_SECTION = struct.Struct("<IIQQQQIIQQ")  # name, type, -, -, offset, size, link, -, -, size of each
_SYMBOL = struct.Struct("<IBBHQQ")  # name, -, -, -, value, -
_MOV_RDI = b"\x48\xc7\xc7"  # and 32 bits: the address of main, as the C library's start wants it
_START_BYTES = 64
# Whatever the program may import.
_MODULES = "server.app, client.app, transport.tls, client.fullscreen.screen, ctypes"


def interpreter(free_threaded: bool) -> Path:
    """The path of one of the two, made if need be.  Raises ``Missing``."""
    (system,) = (
        each
        for each in SYSTEMS
        if each.platform == "linux-x86_64-glibc" and each.free_threaded == free_threaded
    )
    name = _name(system)
    path = fetch.cached(f"whole-{name}", lambda place: _assemble(system, place)) / "bin" / name
    code = f"import sys, {_MODULES}; print(sys._is_gil_enabled())"
    ran = subprocess.run(
        [str(path), "-B", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if ran.stdout.strip() != str(not free_threaded):
        raise Missing(f"{path} is not what it should be: {ran.stdout}{ran.stderr[-500:]}")
    return path


def _name(system: System) -> str:
    return f"python{system.python}{'t' if system.free_threaded else ''}"


def _assemble(system: System, place: Path) -> None:
    """As CPython's own installation has it: it finds its library by where it stands itself."""
    frozen = systems.frozen(system)
    library = place / "lib" / _name(system)
    standard = Path(wine.interpreter(system.python)).parent / "Lib"
    skip = shutil.ignore_patterns("test", "site-packages", "idlelib", "__pycache__")
    shutil.copytree(standard, library, ignore=skip)
    shutil.copytree(frozen / "freeze_core" / "lib", library / "lib-dynload")
    shutil.copytree(frozen / "freeze_core.libs", place / "lib" / "freeze_core.libs")
    shutil.copytree(systems.packages(system), library / "site-packages")
    (base,) = frozen.rglob("bases/console-cpython-*")
    path = place / "bin" / _name(system)
    path.parent.mkdir()
    path.write_bytes(with_command_line(base.read_bytes()))
    path.chmod(0o755)


def with_command_line(binary: bytes) -> bytes:
    """An interpreter (ELF, x86-64, at a fixed address) that begins with ``Py_BytesMain``.

    Raises ``Missing`` where it does not begin as expected.
    """
    (entry,) = struct.unpack_from("<Q", binary, 24)
    at = -1
    for _, (kind, _flags, offset, address, _, size, *_rest) in pyz_elf._segments(bytearray(binary)):
        if kind == 1 and address <= entry < address + size:
            start = offset + entry - address
            at = binary.find(_MOV_RDI, start, start + _START_BYTES)
    if at < 0:
        raise Missing("the interpreter of freeze-core does not begin as it used to")
    changed = bytearray(binary)
    struct.pack_into("<I", changed, at + len(_MOV_RDI), _address(binary))
    return bytes(changed)


def _address(binary: bytes) -> int:
    """Where ``Py_BytesMain`` is, by the table of what the interpreter exports."""
    sections = list(_sections(binary))
    for kind, offset, size, link in sections:
        if kind == _DYNSYM:
            names = sections[link][1]
            for name, _, _, _, value, _ in _SYMBOL.iter_unpack(binary[offset : offset + size]):
                if binary.startswith(_MAIN + b"\0", names + name):
                    return int(value)
    raise Missing("the interpreter of freeze-core exports no Py_BytesMain")


def _sections(binary: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Of each section: type, offset, size, link."""
    (table,) = struct.unpack_from("<Q", binary, 40)
    (count,) = struct.unpack_from("<H", binary, 60)
    for number in range(count):
        found = _SECTION.unpack_from(binary, table + _SECTION.size * number)
        yield found[1], found[4], found[5], found[6]


def main() -> int:
    """Make both; the exit status."""
    try:
        for free_threaded in (False, True):
            print(interpreter(free_threaded))
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
