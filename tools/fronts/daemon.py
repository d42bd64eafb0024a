"""A program of Debian's that runs in the foreground, in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

DEADLINE = 30.0  # seconds for whatever is waited for; only against hanging


def free_port() -> int:
    """A port that nobody has just now, and that no connection is given by the system.

    Else one might get it while what listens there is started anew, and even reach itself.
    """
    while True:
        port = 20000 + secrets.randbelow(10000)
        with contextlib.suppress(OSError), socket.create_server(("", port)):
            return port


class Daemon:
    """``command`` with ``{folder}`` for its folder; up when ``port`` can be connected to.

    ``files`` are written into the folder first.  Raises RuntimeError with what it wrote when it
    does not come up.  A context manager.
    """

    def __init__(self, command: Sequence[str], files: dict[str, str], port: int) -> None:
        self._command, self._files, self._port = command, files, port

    def __enter__(self) -> Daemon:
        self.folder = Path(tempfile.mkdtemp(prefix="fronts-"))
        self.folder.chmod(0o755)  # some give up being root before they have read everything
        for name, text in self._files.items():
            (self.folder / name).write_text(text.replace("{folder}", str(self.folder)))
        self._log = self.folder / "output"
        self.start()
        return self

    def start(self) -> None:
        """Start it, again after ``stop``."""
        command = [word.replace("{folder}", str(self.folder)) for word in self._command]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
                env={**os.environ, "HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder)},
            )  # fmt: skip
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self._port), 1.0).close()
                return
            time.sleep(0.05)
        self.stop()
        raise RuntimeError(self._log.read_text("utf-8", "replace")[-2000:] or "it does not start")

    def stop(self) -> None:
        """End it and all its workers."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(3.0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def __exit__(self, *_error: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
