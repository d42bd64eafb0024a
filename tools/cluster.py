"""A cluster for trying things out: an engine in memory and two servers, on this machine only.

    python -m tools.cluster [PORT]

Needs ``redis-server`` or ``valkey-server``.  Prints how to join; Ctrl-C ends all three.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from tools.engine_process import EngineProcess, kinds

_ROOT = Path(__file__).resolve().parent.parent
_COUNT = 2


class Node:
    """One server; what it writes after its banner is shown with its name in front."""

    def __init__(self, number: int, port: int, environment: dict[str, str]) -> None:
        self.name = f"server {number}"
        self.process = subprocess.Popen(
            [sys.executable, str(_ROOT / "cmd_chat.py"), "serve", "127.0.0.1", str(port)],
            env={**os.environ, **environment}, cwd=_ROOT, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for this program, which ends them in turn
        )  # fmt: skip
        self.port = self._await_banner()
        self._ending = False
        self._thread = threading.Thread(target=self._show, daemon=True)
        self._thread.start()

    def _await_banner(self) -> int:
        """The port that it listens on.  Raises RuntimeError with what it says instead."""
        told = ""
        for line in self.process.stdout or ():
            told += line
            found = re.search(r"connect \S+ (\d+) <username>", told)
            if found and told.count("=" * 60) == 3:
                return int(found[1])
        raise RuntimeError(told.strip() or "a server does not start")

    def _show(self) -> None:
        for line in self.process.stdout or ():
            if line.strip():
                self._say(line.rstrip())
        if not self._ending:
            self._say("has ended")

    def _say(self, text: str) -> None:
        sys.stdout.write(f"{self.name}: {text}\n")  # in one piece: the other one writes, too
        sys.stdout.flush()

    def end(self) -> None:
        """In order; returns when it has ended."""
        self._ending = True
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(15.0)
        self.process.kill()
        self.process.wait()


def serve(first_port: int) -> int:
    """Run until Ctrl-C, or until no server is left; the exit status."""
    if not kinds():
        print("No engine was found: install redis-server or valkey-server, and try again.")
        return 2
    password = secrets.token_urlsafe(12)
    options = ["--maxmemory", "256mb", "--maxmemory-policy", "noeviction"]
    engine = EngineProcess(kinds()[0], options, password=secrets.token_urlsafe(24))
    nodes: list[Node] = []
    with engine:
        environment = {
            "ADMIN_PASSWORD": password, "BACKEND_URL": engine.url,
            "BACKEND_PASSWORD": engine.password,
        }  # fmt: skip
        try:
            for number in range(_COUNT):
                port = first_port + number if first_port else 0
                nodes.append(Node(number + 1, port, environment))
            _tell(engine, nodes, password)
            for node in nodes:
                node.process.wait()
        except KeyboardInterrupt:
            print(flush=True)
        except RuntimeError as error:
            print(error)
            return 2
        finally:
            for node in nodes:
                node.end()
    return 0


def _tell(engine: EngineProcess, nodes: Sequence[Node], password: str) -> None:
    addresses = [f"127.0.0.1:{node.port}" for node in nodes]
    print(f"Engine: {engine.kind.program}, in memory only, at 127.0.0.1:{engine.port}")
    for node in nodes:
        print(f"{node.name.capitalize()}: 127.0.0.1:{node.port}, process {node.process.pid}")
    print(f"Password (shown only once): {password}")
    print("Join, in other terminals:")
    print(f"    python cmd_chat.py connect {','.join(addresses)} alice")
    print(f"    python cmd_chat.py connect 127.0.0.1 {nodes[-1].port} bob")
    print("Whoever knows both addresses goes on when one of the servers ends: try")
    print(f"    kill -9 {nodes[0].process.pid}")
    print("Ctrl-C ends all of them.", flush=True)


def main(words: Sequence[str]) -> int:
    """``[PORT]``: of the first server; the other has the next one.  0: any that are free."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    return serve(int(words[0]) if words else 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
