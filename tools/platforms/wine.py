"""Windows programs under Wine: the prefix, interpreters, and a console to type on.

Wine 8 lacks ``bcryptprimitives.dll``, of which Rust's standard library needs one function; a DLL of
six lines stands in for it. Standard streams have to be pipes or a terminal: Wine 8 takes files
and /dev/null for invalid handles.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tools.platforms import fetch
from tools.platforms.fetch import CACHE, Missing

# Interpreters by version: the registry's package, which holds a complete CPython for Windows.
INTERPRETERS = {
    "3.10": "pycc-python==3.10.20.post2",
    "3.11": "pycc-python==3.11.15.post2",
    "3.12": "pycc-python==3.12.13.post2",
    "3.13": "pycc-python==3.13.13.post2",
    "3.14": "pycc-python==3.14.5.post2"  # which Linux's 3.14 gets its standard library from
    " --hash=sha256:38e73b377edc2995c0656e83b1bec1012c5373c51b76073171468cdaa1be9d0e",
}
_WINE = Path("/usr/lib/wine/wine64")
_COMPILER = "x86_64-w64-mingw32-gcc"
_PRNG = """
#include <windows.h>
#include <ntsecapi.h>
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size) {
    return RtlGenRandom(data, (ULONG)size);
}
"""
ENVIRONMENT: Mapping[str, str] = {
    "WINEPREFIX": str(CACHE / "wine"),
    "WINEDEBUG": "-all",
    "WINEDLLOVERRIDES": "mscoree,mshtml=",  # not asked about, and not needed
}


def wine() -> str:
    """The loader's path, with a prefix that is ready.  Raises ``Missing``."""
    if not _WINE.exists():
        fetch.installed("wineserver", "wine64", "wine")
    if not _WINE.exists():
        raise Missing(f"{_WINE} is needed: apt install wine64")
    prefix = Path(ENVIRONMENT["WINEPREFIX"])
    if not (prefix / "system.reg").exists():
        prefix.parent.mkdir(parents=True, exist_ok=True)
        run(str(_WINE), "wineboot", "--init")
        run("wineserver" if shutil.which("wineserver") else str(_WINE) + "server", "--wait")
    library = prefix / "drive_c/windows/system32/bcryptprimitives.dll"
    if not library.exists():
        compiler = fetch.installed(_COMPILER, "gcc-mingw-w64-x86-64-win32")
        source = CACHE / "prng.c"
        source.write_text(_PRNG)
        run(compiler, "-shared", "-O2", "-o", str(library), str(source), "-ladvapi32")
    return str(_WINE)


def run(*command: str) -> str:
    """A command's standard output.  Raises ``Missing`` if it fails."""
    ran = subprocess.run(
        command, env={**os.environ, **ENVIRONMENT}, stdin=subprocess.PIPE,
        capture_output=True, text=True, encoding="utf-8", errors="replace", check=False,
    )  # fmt: skip
    if ran.returncode:
        raise Missing(f"{' '.join(command)} ends with {ran.returncode}: {ran.stderr[-500:]}")
    return ran.stdout


def version() -> str:
    """Such as ``Wine 8.0``."""
    return run(wine(), "--version").strip().replace("wine-", "Wine ").split(" (")[0]


def interpreter(python: str) -> str:
    """The path of a Windows CPython, such as ``3.13``.  Raises ``Missing``."""
    folder = fetch.cached(f"windows-{python}", fetch.source(INTERPRETERS[python]))
    (path,) = folder.glob("cpython-*/python.exe")
    return str(path)
