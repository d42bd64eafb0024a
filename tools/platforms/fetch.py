"""What the trials need, into a cache folder: packages by name and version, and their files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = Path(os.environ.get("PLATFORMS_CACHE") or ROOT / "build" / "platforms")


class Missing(Exception):
    """Something that a trial needs cannot be had; the text says what and how to get it."""


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """A folder of the cache, filled by ``make`` if it is not there yet."""
    place = CACHE / name
    if not place.exists():
        half = CACHE / f"{name}.half"
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        make(half)
        half.rename(place)
    return place


def unpack(path: Path, to: Path) -> None:
    """What is in a zip file, such as a wheel, into a folder."""
    with zipfile.ZipFile(path) as archive:
        archive.extractall(to)  # noqa: S202  # of the registry


def pip_download(to: Path, wanted: str, *options: str) -> None:
    """Let pip download one package without its dependencies.  Raises ``Missing``.

    ``wanted`` is a line of requirements; where there is a hash in it, it has to be that file.
    """
    with tempfile.TemporaryDirectory() as here:
        lines = Path(here) / "wanted.txt"
        lines.write_text(f"{wanted}\n", encoding="ascii")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                   "--disable-pip-version-check", "--dest", str(to), *options,
                   "-r", str(lines)]  # fmt: skip
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise Missing(f"pip cannot get {wanted}:\n{ran.stderr.strip()[-500:]}")


def wheel(project: str, python: str, platforms: str, abi: str = "") -> Callable[[Path], None]:
    """Fills a folder with what is in a wheel for one of ``platforms``, tags with spaces between."""

    def make(folder: Path) -> None:
        which = ["--abi", abi] if abi else []
        for tag in platforms.split():
            which += ["--platform", tag]
        pip_download(
            folder, project, "--only-binary", ":all:", "--implementation", "cp",
            "--python-version", python, *which,
        )  # fmt: skip
        for path in folder.glob("*.whl"):
            unpack(path, folder)
            path.unlink()

    return make


def source(project: str) -> Callable[[Path], None]:
    """Fills a folder with a source distribution, and the zip files in it with what they hold."""

    def make(folder: Path) -> None:
        pip_download(folder, project, "--no-binary", ":all:")
        for path in folder.glob("*.tar.gz"):
            with tarfile.open(path) as archive:
                archive.extractall(folder)  # noqa: S202  # of the registry, as pip itself would
            path.unlink()
        for path in folder.rglob("*.zip"):
            unpack(path, folder)
            path.unlink()

    return make


def debian(architecture: str, *packages: str) -> Callable[[Path], None]:
    """Fills a folder with what is in Debian's packages for a processor, nothing installed."""
    state = CACHE / f"apt-{architecture}"
    apt = ["apt-get", "--quiet", "-o", f"APT::Architecture={architecture}",
           "-o", f"APT::Architectures={architecture}", "-o", f"Dir::State={state}",
           "-o", f"Dir::Cache={state}", "-o", "APT::Sandbox::User=root"]  # fmt: skip

    def run(folder: Path, *words: str) -> None:
        ran = subprocess.run(
            [*apt, *words], cwd=folder, capture_output=True, text=True, check=False
        )
        if ran.returncode:
            raise Missing(f"apt-get cannot {' '.join(words)}:\n{ran.stderr.strip()[-500:]}")

    def make(folder: Path) -> None:
        if not state.exists():
            (state / "lists" / "partial").mkdir(parents=True)
            (state / "archives" / "partial").mkdir(parents=True)
            run(folder, "update")
        for package in packages:
            run(folder, "download", package)
        for path in folder.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(path), str(folder)], check=True)
            path.unlink()

    return make


def installed(program: str, *packages: str) -> str:
    """A program's path, installed by Debian's packages where we may.  Raises ``Missing``."""
    if shutil.which(program) is None and os.geteuid() == 0 and shutil.which("apt-get"):
        command = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    path = shutil.which(program)
    if path is None:
        raise Missing(f"{program} is needed: apt install {' '.join(packages)}")
    return path


def site_packages(platform: str, python: str, wheels: Sequence[Path]) -> Path:
    """A folder with the packages that the source tree needs, for another system."""

    def make(folder: Path) -> None:
        for path in wheels:
            unpack(path, folder)

    return cached(f"packages-{platform}-{python}", make)
