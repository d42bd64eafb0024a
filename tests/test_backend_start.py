"""``serve --backend`` as a process: what is wrong is said; without it nothing of it is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.processes import PASSWORD, ROOT, environment
from tools.engine_process import EngineProcess, free_port

# Instead of serving: what has been loaded.
_LOADED = """
import sys
from server.signals import Signals
def show(_self, *_more):
    ours = [name for name in sys.modules if name.split(".")[0] in ("redis", "hiredis")]
    print(ours + [name for name in sys.modules if name.startswith("server.cluster")])
Signals.wait = show
from cli.run import main
sys.exit(main(sys.argv[1:]))
"""


def serve(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", "-c", _LOADED, "serve", "127.0.0.1", "0", *words],
        cwd=ROOT, env=environment({"ADMIN_PASSWORD": PASSWORD, **env}), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_without_a_backend_nothing_of_it_is_loaded() -> None:
    done = serve()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("\n[]\n")


def test_an_engine_that_cannot_be_used_ends_the_start() -> None:
    port = free_port()
    done = serve("--backend", f"redis://:s3cret@127.0.0.1:{port}")
    assert (done.returncode, done.stdout) == (2, "")
    [note, sentence] = done.stderr.splitlines()
    assert note.startswith("cmd_chat: Note: others on this machine can see URL")
    assert sentence == (
        f"Nothing answers at redis://127.0.0.1:{port}/0: start Redis or Valkey there, or check it."
    )


@pytest.mark.parametrize("allow", [{}, {"BACKEND_PERSISTENCE": "allow"}])
def test_permission_is_given_by_a_setting(own_engine: EngineProcess, allow: dict[str, str]) -> None:
    own_engine.ask("CONFIG", "SET", "appendonly", "yes")
    done = serve(BACKEND_URL=own_engine.url, **allow)
    sentence = f"{own_engine.url} writes what it is given to a disk: switch that off there"
    assert (sentence in done.stderr) == (not allow)
    assert (done.returncode == 2) == (not allow)
