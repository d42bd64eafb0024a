"""``pip install .``: the command ``cmd-chat``, and one name in site-packages."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from cli.table import VERSION
from tests.processes import PASSWORD, ROOT, Client, Program, Server
from tools import build_pyz, package


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pip has installed it, beside packages that have the names of the tree's own."""
    folder = tmp_path_factory.mktemp("site")
    words = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
             "--no-index", "--no-compile", "--target", str(folder), str(ROOT)]  # fmt: skip
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in package.PACKAGES:
        (folder / name).mkdir()  # nothing of that name was there
        (folder / name / "__init__.py").write_text("raise SystemExit('a stranger')\n")
    return folder


def command(site: Path) -> list[str]:
    return [sys.executable, str(site / "bin" / "cmd-chat")]


def surroundings(site: Path, **more: str) -> dict[str, str]:
    return {"PYTHONPATH": str(site), **more}


def output(site: Path, *words: str, cwd: Path | None = None, **more: str) -> str:
    env = surroundings(site, **more)
    with Program(command=words, env=env, cwd=cwd or site) as program:
        assert program.end() == 0, program.told()
        assert program.errors == ""
        return program.out.decode()


def test_the_wheel_claims_one_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / package.build_wheel(str(tmp_path))) as archive:
        names = archive.namelist()
        about = archive.read(f"cmd_chat-{VERSION}.dist-info/METADATA").decode()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"cmd_chat", f"cmd_chat-{VERSION}.dist-info"}
    ours = {
        path.relative_to(ROOT).as_posix()
        for name in package.PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.suffix in (".py", ".mo", ".lua")
    }
    assert {f"{package.TREE}/{name}" for name in ours} <= set(names)
    assert "Requires-Dist: cryptography>=48.0.0\n" in about and about.count("Requires-Dist") == 5
    assert 'Requires-Dist: redis>=5.0.0; extra == "cluster"\n' in about


def test_the_same_tree_makes_the_same_wheel(tmp_path: Path) -> None:
    made = []
    for each in ("one", "other"):
        (tmp_path / each).mkdir()
        name = package.build_wheel(str(tmp_path / each))
        made.append((tmp_path / each / name).read_bytes())
    assert made[0] == made[1]


def test_a_wheel_can_be_built_from_the_source_archive(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / package.build_sdist(str(tmp_path))) as archive:
        names = archive.getnames()
        archive.extractall(tmp_path)  # noqa: S202
    assert all(name.startswith(f"cmd_chat-{VERSION}/") for name in names)
    code = "import package; print(package.build_wheel('.'))"
    tools = tmp_path / f"cmd_chat-{VERSION}" / "tools"
    output(tools, sys.executable, "-c", code)
    (made,) = tools.glob("*.whl")
    assert made.read_bytes() == (tmp_path / package.build_wheel(str(tmp_path))).read_bytes()


def test_it_has_the_packages_that_the_single_file_has() -> None:
    assert package.PACKAGES == build_pyz.PACKAGES


def test_version_and_help(site: Path) -> None:
    assert output(site, *command(site), "--version") == f"CMD CHAT {VERSION}\n"
    said = output(site, *command(site), "connect", "--help", CMD_CHAT_LANGUAGE="de")
    assert said.startswith("Aufruf: cmd-chat connect ") and "\n  cmd-chat connect localhost" in said


def test_as_a_module_it_believes_nothing_of_the_working_folder(site: Path, tmp_path: Path) -> None:
    for name in ("argparse", "cli", "settings", "cryptography"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a stranger')\n")
    words = (sys.executable, "-m", "cmd_chat", "--version")
    assert output(site, *words, cwd=tmp_path) == f"CMD CHAT {VERSION}\n"
    if sys.version_info >= (3, 11):
        words = (sys.executable, "-P", "-m", "cmd_chat", "--version")
        assert output(site, *words, cwd=tmp_path) == f"CMD CHAT {VERSION}\n"


def test_a_chat(site: Path, tmp_path: Path) -> None:
    env = surroundings(site, ADMIN_PASSWORD=PASSWORD, PATH=f"{site}/bin:{os.environ['PATH']}")
    words = [*command(site), "serve", "127.0.0.1", "0"]
    with Server(env, command=words, cwd=tmp_path) as server:
        here = f"  On this machine: cmd-chat connect 127.0.0.1 {server.port} alice"
        assert here in server.banner
        words = [*command(site), "connect", "127.0.0.1", str(server.port), "--renderer", "json"]
        settings = surroundings(site, CLIENT_USERNAME="alice")
        with Client(server, "alice", command=words, settings=settings, cwd=tmp_path) as client:
            client.say("hello")
            client.next("message", text="hello")
            assert client.finish() == 0 and client.errors == ""
