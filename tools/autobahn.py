"""The WebSocket of both sides against Autobahn's test suite, cases 1 to 7 and 10.

    python -m tools.autobahn

Autobahn's suite needs CPython 2.7, which pyenv has, and is installed into a temporary folder.
Prints how each side did, names every case that is not OK, and fails where one failed or closed
uncleanly.
"""

from __future__ import annotations

import collections
import contextlib
import glob
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from server.auth import Password, Tokens
from server.client_address import ClientAddress
from server.http import Handler, HttpFace
from server.throttle import GUESSES, FormThrottle, TokenBuckets
from transport import Closed, Unreachable
from transport.client_websocket import connect
from transport.listening import listen
from transport.stream import Stream
from transport.websocket import WebSocket

CASES = [f"{number}.*" for number in (1, 2, 3, 4, 5, 6, 7, 10)]
LARGEST = 1 << 20
_RUN = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from autobahntestsuite.wstest import run; run()"
)


def python27() -> str:
    """A CPython 2.7.  Raises SystemExit where there is none."""
    found = shutil.which("python2.7", path=os.defpath)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = sorted(glob.glob(str(pyenv / "versions/2.7.*/bin/python2.7")))
    if found is None and not candidates:
        raise SystemExit("Autobahn's suite needs CPython 2.7: pyenv install 2.7.18")
    return found or candidates[-1]


class Suite:
    """Autobahn's suite in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._python = folder, python27()
        subprocess.run(
            [self._python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
             "--target", str(folder / "suite"), "autobahntestsuite==25.10.1"],
            check=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        (folder / "suite/zope/__init__.py").touch()  # --target leaves a namespace package without

    def start(self, mode: str, **spec: Any) -> subprocess.Popen[bytes]:
        """``wstest`` in ``mode``, writing its reports below the folder."""
        path = self.folder / f"{mode}.json"
        path.write_text(json.dumps({
            "outdir": str(self.folder / mode), "cases": CASES, "exclude-cases": [],
            "exclude-agent-cases": {}, **spec,
        }))  # fmt: skip
        return subprocess.Popen(
            [self._python, "-c", _RUN, str(self.folder / "suite"), "-m", mode, "-s", str(path),
             *(["-u", "0"] if mode == "fuzzingserver" else [])],
            stdout=subprocess.DEVNULL, cwd=self.folder,
        )  # fmt: skip

    def report(self, mode: str) -> dict[str, dict[str, str]]:
        """case -> its row of the report."""
        index = json.loads((self.folder / mode / "index.json").read_text())
        rows: dict[str, dict[str, str]] = next(iter(index.values()))
        return rows


def echo(peer: WebSocket) -> None:
    """What Autobahn expects of a server: each message comes back, and the end is polite."""
    peer.allow(LARGEST)
    peer.answer()  # type: ignore[attr-defined]  # the server's side
    with contextlib.suppress(Closed):
        while (message := peer.receive(30.0)) is not None:
            peer.send(message)
            peer.flush(time.monotonic() + 30.0)
    peer.close()
    peer.finish(time.monotonic() + 1.0)


@contextlib.contextmanager
def echo_server() -> Iterator[int]:
    """The program's HTTP face and WebSocket, with an echo behind them; its port."""
    guesses = FormThrottle(TokenBuckets(GUESSES), TokenBuckets(GUESSES))
    face = HttpFace(Password("x"), Tokens(), guesses, lambda _: None, lambda _: None, False)

    def serve(sock: socket.socket) -> None:
        stream = Stream(sock, bound=1 << 23, interruptible=True)
        with contextlib.suppress(OSError, Closed):
            Handler(stream, ClientAddress("127.0.0.1", "127.0.0.1"), face, echo)
        stream.close()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _address = listening.accept()
                threading.Thread(target=serve, args=(sock,), daemon=True).start()

    with listen("127.0.0.1", 0) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def server_side(suite: Suite) -> dict[str, dict[str, str]]:
    """Autobahn's client against our server."""
    with echo_server() as port:
        servers = [{"agent": "server", "url": f"ws://127.0.0.1:{port}"}]
        suite.start("fuzzingclient", servers=servers).wait()
    return suite.report("fuzzingclient")


def client_side(suite: Suite) -> dict[str, dict[str, str]]:
    """Our client against Autobahn's server."""
    with listen("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
    fuzzer = suite.start("fuzzingserver", url=f"ws://127.0.0.1:{port}")
    try:
        count = int(str(ask(port, "/getCaseCount")))
        for number in range(1, count + 1):
            peer = dial(port, f"/runCase?case={number}&agent=client")
            with contextlib.suppress(Closed):
                while (message := peer.receive(30.0)) is not None:
                    peer.send(message)
            peer.finish(time.monotonic() + 1.0)
        with contextlib.suppress(Closed):
            ask(port, "/updateReports?agent=client")
    finally:
        fuzzer.terminate()
        fuzzer.wait()
    return suite.report("fuzzingserver")


def dial(port: int, path: str) -> WebSocket:
    """Our client's side of one connection, once the fuzzer listens."""
    end = time.monotonic() + 60.0
    while True:
        try:
            return connect("127.0.0.1", port, path=path, max_message_size=LARGEST)
        except Unreachable:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def ask(port: int, path: str) -> str | bytes | None:
    """One message of the fuzzer's."""
    peer = dial(port, path)
    try:
        return peer.receive(60.0)
    finally:
        peer.finish(time.monotonic() + 1.0)


def judge(name: str, rows: dict[str, dict[str, str]]) -> bool:
    """Print what is not OK; whether nothing failed and every close was clean."""
    counts = collections.Counter(row["behavior"] for row in rows.values())
    closes = collections.Counter(row["behaviorClose"] for row in rows.values())
    print(f"{name}: {len(rows)} cases, {dict(counts)}, closes {dict(closes)}")
    for case in sorted(rows, key=lambda case: [int(part) for part in case.split(".")]):
        row = rows[case]
        if row["behavior"] != "OK" or row["behaviorClose"] not in ("OK", "INFORMATIONAL"):
            print(f"  {case}: {row['behavior']}, close {row['behaviorClose']}")
    bad = counts["FAILED"] + closes["FAILED"] + closes["UNCLEAN"] + closes["WRONG CODE"]
    return not bad and len(rows) > 240


def main() -> int:
    """Run both sides; the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        suite = Suite(Path(folder))
        good = [judge("server", server_side(suite)), judge("client", client_side(suite))]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
