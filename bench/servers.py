"""The servers under test, as processes of their own, and what the system says of them."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tools.certificate import write
from tools.engine_process import EngineProcess, Kind

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "marsh violin seventh oar"

# Limits that no load meets, and heartbeats out of the way unless they are what is measured.
LOOSE = {
    "MAX_MESSAGES_PER_WINDOW": "1000000",
    "HEARTBEAT_INTERVAL": "3600",
    "HEARTBEAT_TIMEOUT": "7200",
}
# As an engine is to be set up (docs/CLUSTER.md); without it each node says so when it starts.
_BOUNDED = ("--maxmemory", "1gb", "--maxmemory-policy", "noeviction")
_SETTINGS = ("CLIENT_", "SERVER_", "ADMIN_", "SSL_", "MAX_", "RATE_", "HEARTBEAT_", "BACKEND_")


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without the program's settings, and ``extra``.

    What is measured may keep its bytecode, as it does for people: a start that compiles all of it
    leaves a larger heap, and each message costs more.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**kept, "CMD_CHAT_LANGUAGE": "en", **extra}


def cpu_of(pid: int) -> float:
    """CPU seconds, user and system, of all threads that the process ever had."""
    return time.clock_gettime((~pid << 3) | 2)  # the clock that clock_getcpuclockid(3) names


class Process:
    """A running server: where it listens, and what it has used."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], port: int, tls: bool) -> None:
        self.name, self.port, self.tls = name, port, tls
        self.chat = name != "reference"
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def cpu(self) -> float:
        """CPU seconds so far."""
        return cpu_of(self.pid)

    def at(self, number: int) -> Process:
        """Where the client with this number connects to."""
        return self

    def status(self, field: str) -> int:
        """A number of /proc/PID/status: VmRSS (KB), Threads."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(rf"^{field}:\s+(\d+)", text, re.MULTILINE)
        assert found is not None, field
        return int(found[1])

    def wake_ups(self) -> int:
        """How often its threads have gone to sleep, and so been woken, so far."""
        total = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(OSError):  # a thread that has ended meanwhile
                status = (task / "status").read_text()
                total += int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
        return total

    def stop(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


class Nodes:
    """Several servers that are one, and their engine; what is used of ``Process``."""

    chat, tls = True, False

    def __init__(self, nodes: Sequence[Process], engine: EngineProcess) -> None:
        self.name = f"{len(nodes)} nodes, {engine.kind.name}"
        self.nodes, self.engine = nodes, engine

    def cpu(self) -> float:
        """CPU seconds so far, of all of them and the engine."""
        return sum(node.cpu() for node in self.nodes) + self.engine_cpu()

    def engine_cpu(self) -> float:
        """The engine's part."""
        return cpu_of(self.engine.pid)

    def at(self, number: int) -> Process:
        """Clients are spread evenly."""
        return self.nodes[number % len(self.nodes)]


@contextlib.contextmanager
def certificate() -> Iterator[str]:
    """The path of a certificate and its key for 127.0.0.1, in one file."""
    with tempfile.TemporaryDirectory(prefix="cmdchat-bench-") as folder:
        yield write(Path(folder))


@contextlib.contextmanager
def chat_server(
    cert: str | None = None,
    settings: Mapping[str, str] | None = None,
    port: int = 0,
    root: Path = ROOT,
    python: str = sys.executable,
) -> Iterator[Process]:
    """CMD CHAT's server, with TLS if there is a certificate."""
    env = environment({"ADMIN_PASSWORD": PASSWORD, **LOOSE, **(settings or {})})
    words = ["cmd_chat.py", "serve", "127.0.0.1", str(port)]
    if cert is not None:
        words += ["--ssl-cert", cert, "--ssl-key", cert]
    process = subprocess.Popen(
        [python, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=env,
        cwd=root,
    )
    assert process.stdout is not None
    name = "over TLS" if cert is not None else "without TLS"
    server = Process(name, process, 0, cert is not None)
    try:
        banner = b""
        while (found := re.search(rb"connect \S+ (\d+) <username>", banner)) is None:
            line = process.stdout.readline()
            assert line, f"no server: {banner.decode()}"
            banner += line
        server.port = int(found[1])
        yield server
    finally:
        server.stop()


def each_server(settings: Mapping[str, str] | None = None) -> Iterator[Process]:
    """CMD CHAT without TLS, and when that has been used, with it."""
    with certificate() as cert:
        for chosen in (None, cert):
            with chat_server(chosen, settings) as server:
                yield server


@contextlib.contextmanager
def reference_server(cert: str) -> Iterator[Process]:
    """``bench/reference.py``."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.reference", cert], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    server = Process("reference", process, 0, True)
    try:
        server.port = int(process.stdout.readline())
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def several_nodes(kind: Kind, count: int = 2) -> Iterator[Nodes]:
    """So many of CMD CHAT's servers, on an engine of their own."""
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(EngineProcess(kind, _BOUNDED))
        backend = {"BACKEND_URL": engine.url}
        nodes = [stack.enter_context(chat_server(settings=backend)) for _ in range(count)]
        yield Nodes(nodes, engine)


@contextlib.contextmanager
def three_servers() -> Iterator[list[Process]]:
    """CMD CHAT without and with TLS, and the reference."""
    with (
        certificate() as cert,
        chat_server() as plain,
        chat_server(cert) as secure,
        reference_server(cert) as reference,
    ):
        yield [plain, secure, reference]
