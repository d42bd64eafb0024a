"""What pip builds the program with (PEP 517), needing nothing itself: ``pip install .``

The installed package claims one name, ``cmd_chat``. The tree's own packages, whose names are
common ones, lie inside it in a folder of their own, which only the program itself puts on the
path: in ``site-packages`` beside others called ``server`` or ``settings`` they would collide.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("cli", "client", "i18n", "protocol", "server", "settings", "transport")
TREE = "cmd_chat/_tree"
_DATA = (".py", ".mo", ".lua")
_TIME = (1980, 1, 1, 0, 0, 0)  # the same tree makes the same bytes
_INIT = '"""CMD CHAT, as pip installs it. Nothing here is to be imported: run ``cmd-chat``."""\n'
_CLUSTER = "requirements-cluster.txt"
_BESIDE = ("README.md", "LICENSE", "pyproject.toml", "requirements.txt", _CLUSTER, "cmd_chat.py",
           "tools/package.py", "tools/package_main.py")  # fmt: skip


def build_wheel(
    wheel_directory: str,
    config_settings: dict[str, Any] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Write the wheel into a folder; its name."""
    name = f"cmd_chat-{_version()}-py3-none-any.whl"
    files = dict(_program()) | dict(_metadata())
    record = f"cmd_chat-{_version()}.dist-info/RECORD"
    lines = [f"{place},sha256={_digest(data)},{len(data)}\n" for place, data in files.items()]
    files[record] = "".join([*lines, f"{record},,\n"]).encode()
    with zipfile.ZipFile(Path(wheel_directory) / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for place, data in files.items():
            info = zipfile.ZipInfo(place, _TIME)
            info.external_attr = 0o644 << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return name


def build_sdist(sdist_directory: str, config_settings: dict[str, Any] | None = None) -> str:
    """Write what a wheel can be built from into a folder; its name."""
    stem = f"cmd_chat-{_version()}"
    names = [*_BESIDE, *(path.relative_to(ROOT).as_posix() for path in _sources())]
    with tarfile.open(Path(sdist_directory) / f"{stem}.tar.gz", "w:gz") as archive:
        _add(archive, f"{stem}/PKG-INFO", _about().encode())
        for name in names:
            _add(archive, f"{stem}/{name}", (ROOT / name).read_bytes())
    return f"{stem}.tar.gz"


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    archive.addfile(info, io.BytesIO(data))


def _sources() -> Iterator[Path]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*")):
            if path.suffix in _DATA:
                yield path


def _program() -> Iterator[tuple[str, bytes]]:
    yield "cmd_chat/__init__.py", _INIT.encode()
    yield "cmd_chat/__main__.py", (ROOT / "tools" / "package_main.py").read_bytes()
    for path in _sources():
        yield f"{TREE}/{path.relative_to(ROOT).as_posix()}", path.read_bytes()


def _metadata() -> Iterator[tuple[str, bytes]]:
    folder = f"cmd_chat-{_version()}.dist-info"
    wheel = "Wheel-Version: 1.0\nGenerator: cmd_chat\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    yield f"{folder}/METADATA", _about().encode()
    yield f"{folder}/WHEEL", wheel.encode()
    yield f"{folder}/entry_points.txt", b"[console_scripts]\ncmd-chat = cmd_chat.__main__:main\n"
    yield f"{folder}/LICENSE", (ROOT / "LICENSE").read_bytes()


def _about() -> str:
    head = [
        "Metadata-Version: 2.1",
        "Name: cmd-chat",
        f"Version: {_version()}",
        "Summary: A chat for the terminal, with end-to-end encryption, that leaves no traces",
        "License: MIT",
        "Requires-Python: >=3.10",
        *(f"Requires-Dist: {line}" for line in _needed("requirements.txt")),
        "Provides-Extra: cluster",
        *(f'Requires-Dist: {line}; extra == "cluster"' for line in _needed(_CLUSTER)),
        "Description-Content-Type: text/markdown",
    ]
    return "\n".join([*head, "", _text("README.md")])


def _needed(name: str) -> list[str]:
    """The packages that a file of requirements names."""
    lines = (line.partition("#")[0].strip() for line in _text(name).splitlines())
    return [line for line in lines if line]


def _version() -> str:
    found = re.search(r'^VERSION = "([\d.]+)"$', _text("cli/table.py"), re.MULTILINE)
    assert found is not None, "cli/table.py has no VERSION"
    return found[1]


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
