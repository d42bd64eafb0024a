"""cmd_chat.pyz: built once, and tried as somebody would who has that file and Python alone.

The first build asks the registry for the wheels of ``tools/pyz.lock``, which takes a minute;
they are kept in ``build/wheels``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import cryptography
import pytest

import i18n
from cli.table import VERSION
from tests.machine import mounting, needs
from tests.processes import PASSWORD, PROGRAM, ROOT, Client, Server, environment
from tests.transport_kit import make_certificate
from tests.watching import Audit, Watch, both_ways, everything
from tools import pyz_elf, pyz_folder, pyz_lock
from tools.engine_process import EngineProcess
from tools.pyz_lock import ANY, PLATFORMS, PYTHONS

pytestmark = pytest.mark.timeout(600)  # seconds; the wheels may have to be fetched

HERE = [sys.executable, "-I", "-S"]  # no environment, no site-packages
FOREIGN = "windows-x86_64"  # not where these tests run
# A client that finds nobody: exit status 3 shows that all of it was imported.
LONELY = ("connect", "127.0.0.1", "1", "alice", "--renderer", "json")
ALONE = {"CLIENT_PASSWORD": PASSWORD, "CLIENT_RECONNECT": "false"}


def build(out: Path, *options: str, root: Path = ROOT) -> str:
    """Build a file, with bytecode for the running Python; the hash that was printed."""
    wheels = str(pyz_lock.WHEELS)
    command = [sys.executable, "-m", "tools.build_pyz", "--python", sys.executable,
               "--wheels", wheels, "--out", str(out), *options]  # fmt: skip
    ran = subprocess.run(
        command, cwd=root, env=environment(), capture_output=True, text=True, timeout=500
    )
    assert ran.returncode == 0, ran.stderr
    found = re.fullmatch(r"([0-9a-f]{64})  (.+)\n", ran.stdout)
    assert found is not None and found[2] == str(out), ran.stdout
    return found[1]


@pytest.fixture(scope="module")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file for all platforms, in a folder of its own, far from the source tree."""
    path = tmp_path_factory.mktemp("pyz") / "cmd_chat.pyz"
    assert build(path, "--all") == hashlib.sha256(path.read_bytes()).hexdigest()
    return path


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with nothing for this platform in it."""
    path = tmp_path_factory.mktemp("foreign") / "cmd_chat.pyz"
    build(path, "--platform", FOREIGN)
    return path


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A folder to work in, with a home and a temporary folder."""
    for name in ("work", "home", "tmp"):
        (tmp_path / name).mkdir()
    return tmp_path / "work"


def surroundings(empty: Path) -> dict[str, str]:
    return {"HOME": str(empty.parent / "home"), "TMPDIR": str(empty.parent / "tmp")}


def run(
    pyz: Path,
    *words: str,
    python: Sequence[str] = HERE,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*python, str(pyz), *words],
        cwd=pyz.parent,
        env=environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )


def patched(pyz: Path, lines: str) -> list[str]:
    """A Python that runs ``lines`` first, and then the file."""
    start = "import runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], None, '__main__')"
    return [*HERE, "-c", f"import os, sys\n{lines}\n{start}"]


def chat(pyz: Path, empty: Path, before: Sequence[Sequence[str]] = ((), (), ())) -> None:
    """A server with TLS and two clients, all of them from the file."""
    secure = make_certificate(empty.parent / "home", "localhost")
    env = surroundings(empty)
    serving = [*HERE, str(pyz), "serve", "127.0.0.1", "0"]
    paths = {"SSL_CERT_PATH": secure.cert_path, "SSL_KEY_PATH": secure.key_path}
    with Server({**env, **paths}, command=serving, before=before[0], cwd=empty) as server:
        port = str(server.port)

        def client(nick: str, before: Sequence[str]) -> Client:
            words = [*HERE, str(pyz), "connect", "localhost", port, nick, "--renderer", "json",
                     "--ssl-ca", secure.cert_path]  # fmt: skip
            return Client(server, nick, command=words, settings=env, before=before, cwd=empty)

        with client("alice", before[1]) as alice, client("bob", before[2]) as bob:
            alice.say("/room café")
            alice.next("room", room="café")
            bob.say("/room café")
            alice.next("joined", nick="bob")
            alice.say("Grüße, 日本語 👋", "/verify bob")
            bob.next("message", from_="alice", text="Grüße, 日本語 👋")
            bob.say("/msg alice between us")
            alice.next("message", text="between us", private=True)
            assert bob.finish() == 0
            assert alice.finish() == 0
        server.write(b"q\n")
        assert server.end() == 0
        assert server.errors == alice.errors == bob.errors == ""


def test_what_a_backend_needs_is_what_is_installed(pyz: Path, own_engine: EngineProcess) -> None:
    """It is not inside, but for the scripts; what they need is looked at before the start."""
    own_engine.ask("ACL", "SETUSER", "chat", "on", ">pw", "~cc:*", "+@all", "-hset")
    words = ("serve", "127.0.0.1", "0", "--backend", own_engine.url.replace("//", "//chat:pw@"))
    env = {"ADMIN_PASSWORD": PASSWORD}
    without, found = run(pyz, *words, env=env), run(pyz, *words, python=HERE[:2], env=env)
    assert (without.returncode, found.returncode) == (2, 2)
    assert "\ncmd_chat: A backend needs what is not here: redis " in without.stderr
    assert without.stderr.endswith("this file, and start that without -S.\n")
    assert found.stderr.endswith(": add +hset to that user's rights.\n")


# A chat

_MOUNTS = {
    "noexec": "mount -t tmpfs -o noexec,mode=1777 none {place}",
    "read-only": "mount -t tmpfs -o ro none {place}",
}
_PROBES = {
    "noexec": "cp /bin/true $0/x && ! $0/x 2>/dev/null",
    "read-only": "! touch $0/x 2>/dev/null",
}


def mounted(kind: str, empty: Path) -> list[str]:
    """What to put before a command so that it sees its temporary folder mounted like that."""
    place = shlex.quote(str(empty.parent / "tmp"))
    script = f'{_MOUNTS[kind].format(place=place)} && exec "$@"'
    return [*mounting(), "sh", "-c", script, "sh"]


@needs("mounts", beside="test_a_chat_writes_nothing[audit]")
@pytest.mark.parametrize("kind", _MOUNTS)
def test_a_chat_without_a_temporary_folder_to_speak_of(
    kind: str, pyz: Path, empty: Path
) -> None:
    before = mounted(kind, empty)
    command = [*before, "sh", "-c", _PROBES[kind], str(empty.parent / "tmp")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, f"it is mounted otherwise: {ran.stderr}"
    chat(pyz, empty, (before, before, before))


@both_ways("test_a_chat_writes_nothing")
def test_a_chat_writes_nothing(watch: Watch, pyz: Path, empty: Path) -> None:
    """So no temporary folder is needed either."""
    logs = [empty.parent / f"{name}.log" for name in ("server", "alice", "bob")]
    chat(pyz, empty, [watch.before(log) for log in logs])
    for log in logs:
        assert "/proc/self/fd/" in log.read_text("utf-8", "replace"), "not loaded from memory"
        assert watch.written(log) == []
        assert watch.is_hardened(log)
    made = {path.name for path in everything(empty.parent) if path.is_file()}
    assert made == {"localhost.pem", "localhost.key"}  # by this test


# What it says and how it ends


def test_the_exit_statuses_are_those_of_the_program(pyz: Path) -> None:
    assert run(pyz, "--help").returncode == 0
    assert run(pyz).returncode == 2
    assert run(pyz, *LONELY).returncode == 2  # no password
    ran = run(pyz, *LONELY, env=ALONE)
    assert (ran.returncode, ran.stderr.count("\n")) == (3, 1), ran.stderr
    with Server(command=[*HERE, str(pyz), "serve", "127.0.0.1", "0"], cwd=pyz.parent) as server:
        wrong = ("connect", "127.0.0.1", str(server.port), "eve", "--renderer", "json")
        assert run(pyz, *wrong, env={"CLIENT_PASSWORD": "a guess"}).returncode == 4


def test_version_tells_the_hash_and_what_is_inside(pyz: Path) -> None:
    lines = run(pyz, "--version").stdout.splitlines()
    assert lines[0] == f"CMD CHAT {VERSION}"
    assert hashlib.sha256(pyz.read_bytes()).hexdigest() in lines[1].split()
    assert "cryptography 50.0.2 of this file, loaded from memory" in lines[2]
    several = {"cryptography"}  # Intel Macs have an older one
    wheels = {(wheel.project, wheel.version) for wheel in pyz_lock.read()}
    assert len(lines) == 3 + len(wheels)
    for project, version in wheels:
        line = next(line for line in lines[3:] if line.startswith(f"{project} {version}"))
        assert ("(" in line) == (project in several)


@pytest.mark.parametrize("code", sorted({"en", i18n.available()[-1]}))
def test_the_languages_are_inside(code: str, pyz: Path) -> None:
    env = {"CMD_CHAT_LANGUAGE": code}
    ours = run(pyz, "connect", "--help", env=env)
    source = run(PROGRAM, "connect", "--help", python=[sys.executable], env=env)
    assert ours.stdout.split() == source.stdout.replace("cmd_chat.py", "cmd_chat.pyz").split()


# What is used, and what is not


def test_an_old_python_is_told_which_ones_are_inside(pyz: Path) -> None:
    ran = run(pyz, python=patched(pyz, "sys.version_info = (3, 9, 18, 'final', 0)"))
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1), ran.stderr
    assert f"CPython {PYTHONS[0]} to {PYTHONS[-1]} on Linux x86-64" in ran.stderr
    assert ran.stderr.endswith("this is Python 3.9.\n")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("sys.version_info = (3, 99, 0, 'final', 0)", "CPython 3.99"),
        ("sys.implementation.name = 'pypy'", "pypy"),
        ("sys.platform = 'freebsd14'", "freebsd14"),
        ("sys.maxsize = 2**31 - 1", "32bit"),
        (
            "import importlib.machinery as machinery\n"
            "machinery.EXTENSION_SUFFIXES[0] = '.cpython-3%dt-x86_64.so' % sys.version_info[1]",
            "free-threaded CPython",
        ),
    ],
)
def test_what_is_not_inside_is_told_in_a_sentence(line: str, name: str, pyz: Path) -> None:
    ran = run(pyz, "serve", python=patched(pyz, line))
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1), ran.stderr
    assert all(platform.name in ran.stderr for platform in PLATFORMS.values())
    assert name in ran.stderr.split("; this is ")[1]


def installed(folder: Path, version: str) -> dict[str, str]:
    """An environment in which this machine's cryptography says that it is of that version."""
    assert cryptography.__file__ is not None
    real = str(Path(cryptography.__file__).parent)
    (folder / "cryptography").mkdir()
    (folder / "cryptography" / "__init__.py").write_text(
        f"__version__ = {version!r}\n__path__ = [{real!r}]\n"
    )
    return {"PYTHONPATH": str(folder)}


def test_an_installed_cryptography_is_used_where_nothing_fits(foreign: Path) -> None:
    ran = run(foreign, *LONELY, python=[sys.executable], env=ALONE)
    assert ran.returncode == 3, ran.stderr
    assert "Note: nothing in this file fits" in ran.stderr
    assert f"it uses cryptography {cryptography.__version__} as it is installed" in ran.stderr
    ran = run(foreign, *LONELY, env=ALONE)  # with -I -S nothing is installed
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
    assert f"on {PLATFORMS[FOREIGN].name}; this is CPython" in ran.stderr


def test_an_old_cryptography_is_not_used(foreign: Path, tmp_path: Path) -> None:
    env = {**ALONE, **installed(tmp_path, "47.9.9")}
    ran = run(foreign, *LONELY, python=[sys.executable], env=env)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr


def test_nothing_that_is_installed_is_a_surprise(pyz: Path, tmp_path: Path) -> None:
    for name in ("cryptography", "_cffi_backend", "websocket", "simple_websocket", "wsproto", "h11",
                 "colorama", "settings", "protocol", "client", "server"):  # fmt: skip
        (tmp_path / f"{name}.py").write_text("raise SystemExit(98)\n")
    env = {**ALONE, "PYTHONPATH": str(tmp_path)}
    ran = run(pyz, *LONELY, python=[sys.executable], env=env)
    assert (ran.returncode, ran.stderr.count("\n")) == (3, 1), ran.stderr


def test_a_python_that_cannot_make_files_in_memory_does_without(pyz: Path) -> None:
    """Portable Pythons lack the function, and the system call is there all the same."""
    assert run(pyz, *LONELY, python=patched(pyz, "del os.memfd_create"), env=ALONE).returncode == 3
    lines = "del os.memfd_create\nsys.modules['ctypes'] = None"
    ran = run(pyz, *LONELY, python=patched(pyz, lines), env=ALONE)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
    assert "where it cannot be loaded (" in ran.stderr


# The private folder of other systems, tried here

_IN_FOLDER = (
    "sys.path.insert(0, sys.argv[1]); import pyz_memory, pyz_folder\n"
    "pyz_memory.InMemory = pyz_folder.InFolder\n"
    "sys.path_importer_cache.clear()"
)


@both_ways("test_the_private_folder_is_gone_afterwards")
def test_the_private_folder_is_gone_afterwards(
    watch: Watch, pyz: Path, empty: Path
) -> None:
    temporary = empty.parent / "tmp"
    left = temporary / f"{pyz_folder.PREFIX}left"
    left.mkdir(0o700)
    (left / pyz_folder.ALIVE).touch()
    log = empty.parent / "client.log"
    python = [*watch.before(log), *patched(pyz, _IN_FOLDER)]
    ran = run(pyz, *LONELY, python=python, env={**ALONE, **surroundings(empty)})
    assert ran.returncode == 3, ran.stderr
    made = [line for line in watch.written(log) if "mkdir" in line and pyz_folder.PREFIX in line]
    private = re.compile(rf"\b(0700|{0o700})\b")  # in octal digits, or not
    assert made and all(private.search(line) for line in made), made
    assert "_rust.abi3.so" in log.read_text("utf-8", "replace")
    assert list(temporary.iterdir()) == []


def told_unusable(pyz: Path, empty: Path, before: Sequence[str]) -> None:
    """It says in a sentence that native code cannot be loaded from the folder."""
    python = [*before, *patched(pyz, _IN_FOLDER)]
    ran = run(pyz, "serve", python=python, env=surroundings(empty))
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
    assert "where it cannot be loaded (" in ran.stderr


def test_a_folder_that_cannot_be_made_is_told(pyz: Path, empty: Path) -> None:
    told_unusable(pyz, empty, Audit("no-files").before(empty.parent / "refused.log"))


@needs("mounts", beside="test_a_folder_that_cannot_be_made_is_told")
def test_a_folder_that_cannot_be_used_is_told(pyz: Path, empty: Path) -> None:
    told_unusable(pyz, empty, mounted("noexec", empty))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_what_a_killed_run_left_is_removed_by_the_next(place: Path) -> None:
    code = (
        f"import os, tempfile; tempfile.tempdir = {str(place)!r}\n"
        "from tools import pyz_folder\n"
        "folder, _ = pyz_folder.make()\n"
        "pyz_folder.write_new(os.path.join(folder, 'native'), b'x')\n"
        "os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), timeout=60)
    (left,) = place.iterdir()
    folder, alive = pyz_folder.make()
    pyz_folder.sweep()
    assert list(place.iterdir()) == [Path(folder)] and left != Path(folder)
    os.close(alive)
    pyz_folder.sweep()
    assert list(place.iterdir()) == []


def test_only_folders_of_ones_own_are_removed(place: Path) -> None:
    other = place / "other"
    other.mkdir(0o700)
    (other / pyz_folder.ALIVE).touch()
    link = place / f"{pyz_folder.PREFIX}link"
    link.symlink_to(other)
    open_to_all = place / f"{pyz_folder.PREFIX}open"
    open_to_all.mkdir()
    open_to_all.chmod(0o755)
    (open_to_all / pyz_folder.ALIVE).touch()
    before = everything(place)
    pyz_folder.sweep()
    assert everything(place) == before
    for wrong in (link, open_to_all):
        with pytest.raises(PermissionError):
            pyz_folder.check_private(str(wrong))


# What is in it

_NATIVE = re.compile(r"\.(so|pyd|so\.\d+|dylib|dll)$")


def copy_tree(root: Path, copy: Path) -> None:
    """What the build reads; with other times and other permissions."""
    copy.mkdir()
    for path in root.iterdir():
        if path.is_dir() and (path.name == "tools" or (path / "__init__.py").exists()):
            shutil.copytree(path, copy / path.name, copy_function=shutil.copyfile)
        elif path.is_file() and not path.name.startswith("."):
            shutil.copyfile(path, copy / path.name)


def test_the_same_tree_gives_the_same_bytes(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "elsewhere"
    copy_tree(ROOT, one)
    copy_tree(one, other)
    for name in ("protocol/__pycache__/x.pyc", "client/.git/config", "client/x.po", "tests/x.py"):
        (other / name).parent.mkdir(exist_ok=True)
        (other / name).write_text("not part of the program")
    first, second = one / "cmd_chat.pyz", other / "cmd_chat.pyz"
    small = ("--platform", "macos-x86_64", "--platform", "linux-aarch64-musl")
    assert build(first, *small, root=one) == build(second, *small, root=other)
    assert first.read_bytes() == second.read_bytes()


def test_all_of_it_is_there_compiled_and_used(pyz: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(pyz) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert names == sorted(names) and {info.date_time for info in archive.infolist()} == {
            (1980, 1, 1, 0, 0, 0)
        }
        ours = {
            path.relative_to(ROOT).as_posix()
            for package in ("cli", "client", "i18n", "protocol", "server", "settings", "transport")
            for path in (ROOT / package).rglob("*")
            if path.suffix in (".py", ".mo", ".lua")
        }
        assert ours | {"LICENSE"} <= set(names)
        assert not [name for name in names if "__pycache__" in name or "/tests/" in name]
        entries = {name: archive.read(name) for name in names}
    # Neither source nor bytecode is only decoration: each does where the other is missing.
    (table,) = (name for name in names if name.startswith("bytecode/"))
    without = {name: data for name, data in entries.items() if name != table}
    broken = {
        name: b"raise SystemExit(99)" if name.endswith(".py") and "/" in name else data
        for name, data in entries.items()
    }
    for number, other in enumerate((without, broken)):
        path = tmp_path / f"{number}.pyz"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in other.items():
                if "windows" not in name and "macos" not in name and "aarch64" not in name:
                    archive.writestr(name, data)
        assert run(path, *LONELY, env=ALONE).returncode == 3


def test_every_wheel_of_the_lock_is_in_it_with_its_licences(pyz: Path) -> None:
    lock = pyz_lock.read()
    native = {(wheel.platform, wheel.project, wheel.python) for wheel in lock} - {
        (ANY, wheel.project, wheel.python) for wheel in lock
    }
    wanted = {(name, "cffi", python) for name in PLATFORMS for python in PYTHONS}
    assert native == wanted | {(name, "cryptography", PYTHONS[0]) for name in PLATFORMS}
    assert {wheel.version for wheel in lock if wheel.platform == "macos-x86_64"} >= {"48.0.1"}
    with zipfile.ZipFile(pyz) as archive:
        names = set(archive.namelist())
        for wheel in lock:
            data = wheel.path(pyz_lock.WHEELS).read_bytes()
            assert hashlib.sha256(data).hexdigest() == wheel.sha256
            folder = f"licences/{wheel.project}-{wheel.version}/LICEN"
            assert any(name.startswith(folder) for name in names), wheel
            with zipfile.ZipFile(wheel.path(pyz_lock.WHEELS)) as source:
                natives = [name for name in source.namelist() if _NATIVE.search(name)]
                assert bool(natives) == (wheel.platform != ANY), wheel
                for name in natives:
                    here = archive.read(f"native/{wheel.platform}/{name}")
                    assert here == source.read(name)
                    assert architecture(here) >= expected(wheel.platform), (wheel, name)
        inside = json.loads(archive.read("inside.json"))
        assert set(inside["builds"]) == set(PLATFORMS)


_NAMES = {"x86_64": "x86-64", "aarch64": "arm64", "arm64": "arm64", "linux": "Linux",
          "macos": "macOS", "windows": "Windows"}  # fmt: skip


def test_what_is_inside_and_what_was_tried_is_documented() -> None:
    using = (ROOT / "docs/USING.md").read_text(encoding="utf-8")
    seen = (ROOT / "docs" / "PLATFORMS.md").read_text(encoding="utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in using.splitlines() if " | 3.1" in line]
    for key, platform in PLATFORMS.items():
        (row,) = [row for row in rows if row[0] == platform.name]
        assert row[1] == f"{PYTHONS[0]} to {PYTHONS[-1]}"
        assert row[2].split(",")[0] == platform.cryptography
        assert row[3] == ("from memory" if key.startswith("linux") else "private folder")
        system, machine, *libc = key.split("-")
        start = f"| {', '.join([f'{_NAMES[system]} {_NAMES[machine]}', *libc])} "
        tried = [line for line in seen if line.startswith(start) and "| single file" in line]
        assert bool(tried) == (row[4] != "assembled from published wheels, not run"), key
        assert not any("FAILED" in line for line in tried), key
        if "each" in row[4]:
            assert {f"| {one}." for one in PYTHONS} <= {
                f"| {line.split(' | ')[1].rpartition('.')[0]}." for line in tried
            }, key
    assert len(rows) == len(PLATFORMS)


def expected(platform: str) -> set[str]:
    system, machine = platform.split("-")[:2]
    return {f"{system} {machine.replace('aarch64', 'arm64')}"}


def architecture(data: bytes) -> set[str]:
    """The systems and machines that a native file says it is for."""
    if data[:4] == b"\x7fELF":
        machine = struct.unpack_from("<H", data, 18)[0]
        return {"linux " + {62: "x86_64", 183: "arm64"}[machine]}
    machines = {0x01000007: "x86_64", 0x0100000C: "arm64"}
    if data[:4] == b"\xcf\xfa\xed\xfe":
        return {"macos " + machines[struct.unpack_from("<I", data, 4)[0]]}
    if data[:4] == b"\xca\xfe\xba\xbe":  # several in one, each 20 bytes in the table
        (count,) = struct.unpack_from(">I", data, 4)
        kinds = [struct.unpack_from(">I", data, 8 + 20 * number)[0] for number in range(count)]
        return {f"macos {machines[kind]}" for kind in kinds}
    assert data[:2] == b"MZ"
    (offset,) = struct.unpack_from("<I", data, 0x3C)
    assert data[offset : offset + 4] == b"PE\0\0"
    return {"windows " + {0x8664: "x86_64"}[struct.unpack_from("<H", data, offset + 4)[0]]}


def test_a_wheels_own_library_is_found_in_memory(pyz: Path) -> None:
    """musl's wheels bring one along, which their module asks for by name."""
    with zipfile.ZipFile(pyz) as archive:
        builds = json.loads(archive.read("inside.json"))["builds"]
        with_libraries = [build for build in builds.values() if build["libraries"]]
        assert {build["name"] for build in with_libraries} == {
            PLATFORMS[f"linux-{machine}-musl"].name for machine in ("x86_64", "aarch64")
        }
        for build in with_libraries:
            (library,) = build["libraries"]
            data, name = archive.read(build["rust"]), os.path.basename(library)
            changed = pyz_elf.point_at(data, name, "/proc/self/fd/12345")
            assert len(changed) == len(data) and name.encode() not in changed
            assert changed.replace(b"\0/proc/self/fd/12345\0", b"\0") != changed
    with pytest.raises(ImportError):
        pyz_elf.point_at(b"\0short\0", "short", "/proc/self/fd/3")
    with pytest.raises(ImportError):
        pyz_elf.point_at(b"nothing", "library.so.1", "/")


def test_a_wheel_that_is_not_the_locks_is_refused(tmp_path: Path) -> None:
    """pip compares, and so does the build with what it has kept."""
    wheel = next(wheel for wheel in pyz_lock.read() if wheel.project == "wsproto")
    kept = shutil.copy(wheel.path(pyz_lock.WHEELS), tmp_path)
    with open(kept, "ab") as file:
        file.write(b"more")
    with pytest.raises(pyz_lock.Wrong):
        wrong = pyz_lock.Wheel(wheel.platform, wheel.file, "0" * 64)
        pyz_lock.fetch([wrong], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [wheel.file]
