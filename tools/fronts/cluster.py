"""Two nodes and an engine behind haproxy, with the lines of docs/CLUSTER.md; deploy/'s units."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tools import certificate, smoke
from tools.engine_process import EngineProcess, kinds
from tools.fronts.daemon import Daemon, free_port

_ROOT = Path(__file__).resolve().parents[2]
_NAME = "chat.example.org"
_NODES = ("10.0.0.11:1000", "10.0.0.12:1000")  # as the page has them
_PASSWORD = "in front of them"  # noqa: S105  # of servers that live for seconds


def lines() -> str:
    """The page's configuration of haproxy before the nodes; it has another one, before engines."""
    text = (_ROOT / "docs/CLUSTER.md").read_text("utf-8")
    (block,) = re.findall(r"^```haproxy\n(frontend chat\n.*?)^```$", text, re.M | re.S)
    return str(block)


class _Node:
    """A server that shares an engine; ``connections`` are those of people."""

    def __init__(self, engine: EngineProcess) -> None:
        backend = {"BACKEND_URL": engine.url, "TRUSTED_PROXIES": "127.0.0.1"}
        words = ("serve", "127.0.0.1", "0")
        self.child = smoke.Child(
            *words, password=_PASSWORD, program=smoke.Program(environment=backend)
        )
        self.port = int(self.child.find(r"connect 127\.0\.0\.1 (\d+) <username>"))

    def kill(self) -> None:
        """SIGKILL."""
        self.child.process.kill()
        self.child.process.wait()


@contextmanager
def _haproxy(nodes: list[_Node]) -> Iterator[tuple[Daemon, int, str]]:
    """The page's lines in front of these; where it listens, and what vouches for it."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="fronts-") as folder:
        pem = certificate.write(Path(folder), _NAME)
        text = re.sub(r"\b443\b", str(port), lines())
        text = text.replace(f"/etc/haproxy/{_NAME}.pem", pem)
        for address, node in zip(_NODES, nodes, strict=True):
            assert address in text, f"the page has no {address}"  # noqa: S101
            text = text.replace(address, f"127.0.0.1:{node.port}")
        command = ("haproxy", "-db", "-f", "{folder}/config")
        with Daemon(command, {"config": text}, port) as daemon:
            yield daemon, port, pem


def try_haproxy() -> str:
    """What was seen.  Raises AssertionError and others where something is not as it should be."""
    with ExitStack() as stack:
        engine = stack.enter_context(EngineProcess(kinds()[0]))
        nodes = [_Node(engine) for _ in range(2)]
        for node in nodes:
            stack.callback(node.kill)
        daemon, port, pem = stack.enter_context(_haproxy(nodes))
        people = []
        for nick in ("ann", "bob", "cat", "dan"):
            child = smoke.Child(
                "connect", "127.0.0.1", str(port), nick, "--renderer", "json", "--ssl-ca", pem,
                "--tls-name", _NAME, password=_PASSWORD,
            )  # fmt: skip
            stack.callback(child.process.kill)
            child.event("connected")
            people.append(child)
        ann, *others = people
        spread = [_connections(node) for node in nodes]
        assert spread == [2, 2], f"connections of the nodes: {spread}"  # noqa: S101
        _talk(ann, others, "through both of them")
        nodes[0].kill()
        began = time.monotonic()
        ann.say("while it is away")
        for each in others:
            each.event("message", text="while it is away")
        back = time.monotonic() - began
        _talk(ann, others, "after it")
        daemon.stop()
        daemon.start()
        _talk(ann, others, "once more")
    found = subprocess.run(["haproxy", "-v"], capture_output=True, text=True, check=True)
    version = re.search(r"\d+\.\d+(?:\.\d+)?", found.stdout)
    return (
        f"haproxy {version[0] if version else '?'} before {engine.kind.name}: four people on two "
        f"nodes, one killed: a line has come to all after {back:.1f} s; then haproxy started anew"
    )


def _talk(one: smoke.Child, others: list[smoke.Child], text: str) -> None:
    one.say(text)
    for each in others:
        each.event("message", text=text)


def _connections(node: _Node) -> int:
    """How many people are connected to it: established connections to its port."""
    port = f":{node.port:04X} "
    rows = Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]
    fields = [row.split() for row in rows]
    return sum(each[1].endswith(port.strip()) and each[3] == "01" for each in fields)


def try_units() -> str:
    """Whether systemd understands the units, with programs that there are."""
    with tempfile.TemporaryDirectory(prefix="fronts-") as folder:
        for unit in sorted((_ROOT / "deploy").glob("*.service")):
            text = unit.read_text("utf-8")
            text = re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text)
            name = unit.name.replace("@", "@1000")
            (Path(folder) / name).write_text(text)
            done = subprocess.run(
                ["systemd-analyze", "verify", "--man=no", f"{folder}/{name}"],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert not done.stderr.strip(), done.stderr  # noqa: S101
    found = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True,
                           check=True)  # fmt: skip
    return f"{found.stdout.splitlines()[0]}, takes the units of deploy/"


TRIALS = {"haproxy-cluster": try_haproxy, "systemd": try_units}
