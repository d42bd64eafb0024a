"""What keeps cmd_chat.pyz's native code from being loaded is named, with what to do about it."""

from __future__ import annotations

import errno
import os
import re
import stat
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.machine import mounting, needs
from tests.test_pyz import ALONE, HERE, LONELY, build, empty, mounted, patched, run, surroundings
from tools import pyz_elf, pyz_folder, pyz_lock
from tools.pyz_start import platform_name

pytestmark = pytest.mark.timeout(600)  # seconds; the wheels may have to be fetched

__all__ = ["empty"]  # a fixture

FOLDER = "CMD_CHAT_NATIVE_FOLDER"

# A seccomp filter (linux/seccomp.h, linux/filter.h) that refuses one system call with an errno.
_SECCOMP = """
import ctypes, struct
number = {{"x86_64": 319, "aarch64": 279}}[os.uname().machine]
filter = b"".join(struct.pack("HBBI", *one) for one in (
    (0x20, 0, 0, 0),  # load the call's number
    (0x15, 0, 1, number),  # not this one: skip one
    (0x06, 0, 0, 0x00050000 | {error}),  # SECCOMP_RET_ERRNO
    (0x06, 0, 0, 0x7FFF0000),  # SECCOMP_RET_ALLOW
))
kept = ctypes.create_string_buffer(filter)
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(kept)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0, "PR_SET_NO_NEW_PRIVS"
assert libc.prctl(22, 2, program, 0, 0) == 0, "PR_SET_SECCOMP"
"""

# PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN: what has been written to may not become code (Linux 6.3).
_MDWE = """
import ctypes
assert ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0, "PR_SET_MDWE"
"""


@pytest.fixture(scope="module")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file for this platform."""
    path = tmp_path_factory.mktemp("pyz") / "cmd_chat.pyz"
    build(path, "--platform", platform_name())
    return path


def refused(pyz: Path, python: Sequence[str], env: dict[str, str] | None = None) -> str:
    """What is said, in one line and with status 2, by a start that does not get far."""
    ran = run(pyz, *LONELY, python=python, env={**ALONE, **(env or {})})
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1), ran.stderr
    return ran.stderr


def namespace(*options: str, first: str) -> list[str]:
    """What to put before a command so that it runs in namespaces of its own, after ``first``."""
    return [*mounting(), *options, "sh", "-c", f'{first} && exec "$@"', "sh"]


def test_a_limit_on_the_size_of_files_holds_in_every_folder(pyz: Path, private: Path) -> None:
    """No other folder helps there."""
    python = ["sh", "-c", 'ulimit -f 0 && exec "$@"', "sh", *HERE]
    said = refused(pyz, python, {"CMD_CHAT_NATIVE_FOLDER": str(private)})
    assert "(ulimit -f)" in said and "larger limit" in said, said
    assert list(private.iterdir()) == []


@pytest.mark.parametrize("limit", ["0", "100"])  # blocks; 0 is what careful people set
def test_a_limit_on_the_size_of_files(limit: str, pyz: Path) -> None:
    python = ["sh", "-c", f'ulimit -f {limit} && exec "$@"', "sh", *HERE]
    said = refused(pyz, python)
    assert "(ulimit -f)" in said and re.search(r"takes \d{6,}:", said), said
    assert run(pyz, "--help", python=python).returncode == 0


# The same as a Python that runs anywhere is told it.
_REFUSED = """
def refuse(name, flags):
    raise OSError({error}, os.strerror({error}))
os.memfd_create = refuse
"""


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS])
@pytest.mark.parametrize(
    "way",
    [
        pytest.param(_REFUSED, id="told"),
        pytest.param(
            _SECCOMP, id="seccomp", marks=needs("seccomp", beside="test_no_files_in_memory[told]")
        ),
    ],
)
def test_no_files_in_memory(way: str, error: int, pyz: Path, private: Path) -> None:
    python = patched(pyz, way.format(error=error))
    said = refused(pyz, python)
    assert f"memfd_create: {os.strerror(error)}" in said and FOLDER in said
    # What it says to do, done.
    env = {**ALONE, FOLDER: str(private)}
    assert run(pyz, *LONELY, python=python, env=env).returncode == 3
    assert list(private.iterdir()) == []


def test_no_name_for_a_file_in_memory(pyz: Path) -> None:
    lines = (
        "exists = os.path.exists\n"
        "os.path.exists = lambda path: not str(path).startswith('/proc/') and exists(path)"
    )
    said = refused(pyz, patched(pyz, lines))
    assert said.startswith("cmd_chat: /proc is not there") and FOLDER in said


@needs("mounts", beside="test_no_name_for_a_file_in_memory")
def test_no_proc(pyz: Path, private: Path) -> None:
    python = [*namespace(first="mount -t tmpfs none /proc"), *HERE]
    said = refused(pyz, python)
    assert said.startswith("cmd_chat: /proc is not there") and FOLDER in said
    env = {**ALONE, FOLDER: str(private)}
    assert run(pyz, *LONELY, python=python, env=env).returncode == 3


@pytest.mark.parametrize("refused_flag", ["flags & 8", "not flags & 8"])
def test_a_kernel_that_does_not_know_seals_and_one_that_wants_them(
    refused_flag: str, pyz: Path
) -> None:
    lines = (
        "create = os.memfd_create\n"
        "def picky(name, flags):\n"
        f"    if {refused_flag}: raise OSError(22, 'Invalid argument')\n"
        "    return create(name, flags)\n"
        "os.memfd_create = picky"
    )
    assert run(pyz, *LONELY, python=patched(pyz, lines), env=ALONE).returncode == 3


@needs(
    "memfd_noexec", beside="test_a_kernel_that_does_not_know_seals_and_one_that_wants_them"
)
@pytest.mark.parametrize("value", [0, 1, 2])
def test_a_system_that_insists_on_seals(value: int, pyz: Path) -> None:
    """vm.memfd_noexec belongs to a process namespace (Linux 6.3)."""
    setting = f"echo {value} > /proc/sys/vm/memfd_noexec"
    before = namespace("--pid", "--fork", "--mount-proc", first=setting)
    ran = run(pyz, *LONELY, python=[*before, *HERE], env=ALONE)
    assert ran.returncode == 3, ran.stderr


@needs("mdwe", beside="tests/test_pyz.py::test_the_exit_statuses_are_those_of_the_program")
def test_a_process_whose_memory_cannot_become_code(pyz: Path) -> None:
    assert run(pyz, *LONELY, python=patched(pyz, _MDWE), env=ALONE).returncode == 3


# The folder that is asked for


@pytest.fixture
def private(tmp_path: Path) -> Path:
    path = tmp_path / "native"
    path.mkdir(0o700)
    return path


def test_native_code_from_a_folder_that_is_asked_for(pyz: Path, private: Path) -> None:
    left = private / f"{pyz_folder.PREFIX}left"
    left.mkdir(0o700)
    (left / pyz_folder.ALIVE).touch()
    env = {**ALONE, FOLDER: str(private)}
    assert "loaded from a private folder" in run(pyz, "--version", env=env).stdout
    ran = run(pyz, *LONELY, env=env)
    assert ran.returncode == 3, ran.stderr
    assert list(private.iterdir()) == []


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o1777])
def test_a_folder_that_others_can_enter(mode: int, pyz: Path, private: Path) -> None:
    private.chmod(mode)
    said = refused(pyz, HERE, {FOLDER: str(private)})
    assert f"{FOLDER} names {private}, which is not" in said and "mkdir -m 700" in said
    assert stat.S_IMODE(private.stat().st_mode) == mode and list(private.iterdir()) == []


def test_a_folder_that_is_none(pyz: Path, private: Path) -> None:
    link = private / "link"
    link.symlink_to(private)
    assert "which is not a folder that you own" in refused(pyz, HERE, {FOLDER: str(link)})
    assert "No such file" in refused(pyz, HERE, {FOLDER: str(private / "none")})


@needs("mounts", beside="test_a_folder_that_is_none")
def test_a_folder_that_nothing_can_be_executed_from(pyz: Path, empty: Path) -> None:
    place = empty.parent / "tmp"
    before = mounted("noexec", empty)
    before[-2] = before[-2].replace(" && exec", f" && chmod 700 {place} && exec")
    said = refused(pyz, [*before, *HERE], {**surroundings(empty), FOLDER: str(place)})
    assert f"cannot be loaded from {place}" in said and "be executed" in said


# Which Python


def test_a_free_threaded_python_is_told_first_what_is_needed(pyz: Path) -> None:
    lines = (
        "import importlib.machinery as machinery\n"
        "machinery.EXTENSION_SUFFIXES[0] = '.cpython-3%dt-x86_64.so' % sys.version_info[1]"
    )
    said = refused(pyz, patched(pyz, lines))
    start = "cmd_chat: This file needs an ordinary CPython, not the free-threaded one. "
    assert said.startswith(start)


# Older musl


def libraries() -> dict[str, bytes]:
    """The libraries that come with musl's wheels, by file name."""
    import zipfile

    found = {}
    for wheel in pyz_lock.read():
        if wheel.project == "cryptography" and "musl" in wheel.platform:
            pyz_lock.fetch([wheel])
            with zipfile.ZipFile(wheel.path(pyz_lock.WHEELS)) as archive:
                for name in archive.namelist():
                    if re.search(r"\.libs/.", name):
                        found[f"{wheel.platform}/{name}"] = archive.read(name)
    return found


def relocations(data: bytes) -> tuple[set[int], set[int]]:
    """The places that DT_RELR and DT_REL tables name."""
    segments = list(pyz_elf._segments(bytearray(data)))
    tags = dict(pyz_elf._dynamic(bytearray(data), segments))

    def table(start: int, size: int) -> bytes:
        if start not in tags:
            return b""
        place = pyz_elf._offset(segments, pyz_elf._value(bytearray(data), tags[start]))
        return data[place : place + pyz_elf._value(bytearray(data), tags[size])]

    packed = [word for (word,) in struct.iter_unpack("<Q", table(36, 35))]
    return set(pyz_elf.unpacked(packed)), {
        place for place, _kind in struct.iter_unpack("<QQ", table(17, 18))
    }


def test_packed_relocations_become_ordinary_ones() -> None:
    found = libraries()
    assert len(found) == 2
    for name, data in found.items():
        packed, ordinary = relocations(data)
        assert packed and not ordinary, name
        changed = pyz_elf.without_relr(data, name)
        assert relocations(changed) == (set(), packed), name
        assert len(changed) == len(data)
        assert pyz_elf.without_relr(changed, name) == changed
        with pytest.raises(ImportError):
            pyz_elf.without_relr(data[:5000], name)
    plain = Path(os.path.realpath("/proc/self/exe")).read_bytes()
    assert pyz_elf.without_relr(plain, "python") == plain or relocations(plain)[0]


def test_what_a_packed_table_names() -> None:
    assert list(pyz_elf.unpacked([0x1000])) == [0x1000]
    assert list(pyz_elf.unpacked([0x1000, 0b1011])) == [0x1000, 0x1008, 0x1018]
    after = 0x1008 + 63 * 8
    assert list(pyz_elf.unpacked([0x1000, 1 | 1 << 63, 0b11])) == [0x1000, after - 8, after]
