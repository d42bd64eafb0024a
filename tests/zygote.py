"""Processes of the program without its start: forked from one that has imported it already.

Half of what a short run of the program costs is starting Python and importing, and the suite makes
hundreds of them; most of the rest is scrypt for the same password, and RSA keys.  So one process
for each pytest worker imports the program once and forks, and what one of these has made others
have, too (``tests/made_once.py``).  What a test gets is a process of its own all the same, with
its own descriptors, environment and folder; ``tests/test_cli.py``, ``test_no_files.py``,
``test_pyz.py`` and ``tools/smoke.py`` start it as people do.  Linux only; elsewhere, and for runs
that depend on how Python starts, ``may_fork`` says no.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tests import left_behind

ROOT = Path(__file__).resolve().parent.parent
_REQUEST_BYTES = 64 * 1024
# Python reads these when it starts, before anything of ours.
_AT_START = ("PYTHON", "LC_", "LANG")
# What one of several servers imports besides, and nobody else may.
_OF_A_NODE = ("server.cluster.services",)

Constants = Mapping[str, Mapping[str, float]]


def set_constants(constants: Constants) -> None:
    """Give constants of modules another value, by module and name: times that are too long for
    tests, and that are no settings."""
    for module, values in constants.items():
        found = importlib.import_module(module)
        for name, value in values.items():
            assert hasattr(found, name), f"{module} has no {name}"
            setattr(found, name, value)


def may_fork(env: Mapping[str, str]) -> bool:
    """Whether a forked process would be like one that was started with ``env``."""
    return sys.platform == "linux" and all(
        os.environ.get(name) == value or name == "PYTHONDONTWRITEBYTECODE"
        for name, value in env.items()
        if name.startswith(_AT_START)
    )


class Forked:
    """A forked process; what is used of ``subprocess.Popen``."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        stdin: int,
        stdout: int,
        stderr: int,
        env: Mapping[str, str],
        cwd: Path,
        terminal: bool = False,
        constants: Constants | None = None,
    ) -> None:
        """``stdin``, ``stdout`` and ``stderr``: a descriptor, or ``subprocess.PIPE``.

        ``terminal``: standard input is a terminal, and becomes the controlling one.  ``constants``:
        see ``set_constants``.
        """
        self.returncode: int | None = None
        self.stdin: IO[bytes] | None = None
        self.stdout: IO[bytes] | None = None
        self.stderr: IO[bytes] | None = None
        theirs = []
        try:
            for name, given in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)):
                if given != subprocess.PIPE:
                    theirs.append(os.dup(given))
                    continue
                ends = os.pipe()
                own, other = ends if name != "stdin" else ends[::-1]
                theirs.append(other)
                setattr(self, name, open(own, "wb" if name == "stdin" else "rb", buffering=0))
            words = [str(ROOT / "cmd_chat.py"), *arguments]
            request = {"argv": words, "env": dict(env), "cwd": str(cwd), "terminal": terminal,
                       "constants": constants or {}}  # fmt: skip
            self.pid = _zygote(_OF_A_NODE if constants is not None else ()).fork(request, theirs)
        finally:
            for fd in theirs:
                os.close(fd)
        self._pidfd = os.pidfd_open(self.pid)

    def poll(self) -> int | None:
        """Its exit status, None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
                os.close(self._pidfd)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended.  Raises subprocess.TimeoutExpired."""
        end = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            left = None if end is None else max(0.0, end - time.monotonic())
            if not select.select([self._pidfd], [], [], left)[0]:
                raise subprocess.TimeoutExpired("cmd_chat.py", timeout or 0.0)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it now."""
        self.send_signal(signal.SIGKILL)


class _Zygote:
    """The process that forks; it ends with this one."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._asking = threading.Lock()  # who holds it gets the answer to what it has asked
        left_behind.adopt()  # what it forks becomes ours: we can wait for it as for a child
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-B", "-m", "tests.zygote", str(theirs.fileno()), *modules],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        left_behind.lasting.add(self._process.pid)
        atexit.register(self.close)

    def fork(self, request: dict[str, Any], fds: list[int]) -> int:
        """A new process with these three descriptors; its id."""
        data = json.dumps(request).encode("utf-8", "surrogatepass")
        with self._asking:
            socket.send_fds(self._socket, [data], fds)
            return int(self._socket.recv(64))

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


_made: dict[Sequence[str], _Zygote] = {}
_making = threading.Lock()  # guards that


def _zygote(modules: Sequence[str]) -> _Zygote:
    """The one that has these modules besides those that all have."""
    with _making:
        if modules not in _made:
            _made[modules] = _Zygote(modules)
        return _made[modules]


# The other side


def _serve(control: socket.socket) -> list[str] | None:
    """Fork for each request; returns in the children, with the command line, and at the end."""
    from tests import made_once

    memory, ring = made_once.Memory(os.environ.get(made_once.SHARED)), made_once.KeyRing()
    while True:
        data, fds, _flags, _address = socket.recv_fds(control, _REQUEST_BYTES, 3)
        if not data:
            return None
        request = json.loads(data.decode("utf-8", "surrogatepass"))
        # Of servers none has keys of its own.
        rsa = [] if "serve" in request["argv"] else ring.some()
        told, tell = os.pipe()
        between = os.fork()
        if not between:
            pid = os.fork()
            if pid:
                os.write(tell, str(pid).encode())
                os._exit(0)
            for fd in (told, tell, control.detach()):
                os.close(fd)
            made_once.use(memory=memory, rsa=rsa)
            return _become(request, fds)
        os.waitpid(between, 0)  # now that its parent is gone, the child is the test's
        control.send(os.read(told, 64))
        for fd in (told, tell, *fds):
            os.close(fd)


def _become(request: dict[str, Any], fds: list[int]) -> list[str]:
    """Take over descriptors, environment and folder; the command line."""
    import random

    for place, fd in enumerate(fds):
        os.dup2(fd, place)
        os.close(fd)
    if request["terminal"]:
        import fcntl
        import termios

        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    random.seed()
    set_constants(request["constants"])
    sys.stdin = open(0, encoding=sys.stdin.encoding, errors="surrogateescape", closefd=False)
    sys.stdout = open(1, "w", encoding=sys.stdout.encoding, closefd=False)
    sys.stderr = open(2, "w", encoding=sys.stderr.encoding, errors="backslashreplace",
                      buffering=1, closefd=False)  # fmt: skip
    found: list[str] = request["argv"]
    return found


def _main() -> None:
    from cli.run import main

    # All that a run may import; what it would not, costs nothing but memory.
    usual = (
        "client.app", "client.bots.responder", "client.fullscreen.screen", "client.history.command",
        "client.identity.command", "client.identity.keeper", "client.opening",
        "client.programs.send", "client.programs.tail", "client.token", "server.app",
        "transport.client_websocket",
    )  # fmt: skip
    for name in (*usual, *sys.argv[2:]):
        importlib.import_module(name)
    gc.freeze()  # or each fork copies all pages, for their marks, when it looks for garbage
    argv = _serve(socket.socket(fileno=int(sys.argv[1])))
    if argv is not None:
        sys.argv = argv
        sys.exit(main())


if __name__ == "__main__":
    _main()
