"""Runs a program of Python's, and writes down what it does to files, as Python tells it (PEP 578).

    python tests/audited.py LOG RULES PYTHON [FLAGS] (FILE | -c CODE) [ARGUMENTS]

PYTHON runs FILE as it would without this.  LOG gets a line for each file that is opened for
writing, made or changed (``write``), for each that holds native code or is opened for reading
(``load``, ``read``), for each program that is started (``start``), and at the end one that tells
how the process has hardened itself (``end``).  RULES are words with commas between them:
``no-files`` refuses all writing, ``no-low-ports`` the ports below 1024, as a system does that has
no room or gives no right.  What native code does by itself is not seen.
"""

from __future__ import annotations

import atexit
import errno
import os
import sys
from collections.abc import Callable
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_MAKING = {"os.chflags", "os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove",
           "os.removexattr", "os.rename", "os.rmdir", "os.setxattr", "os.symlink", "os.truncate",
           "os.utime"}  # fmt: skip
_STARTING = {"subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn",
             "os.startfile", "os.system", "pty.spawn"}  # fmt: skip
_DEVICES = ("/dev/null", "/dev/tty", "/dev/ptmx", "/dev/pts/", "nul", "conin$", "conout$")


def kind_of(event: str, args: tuple[Any, ...]) -> str:
    """Which of the log's words an event is; empty if it is none of them."""
    if event in _STARTING:
        return "start"
    if event in _MAKING:
        return "" if isinstance(args[0], int) else "write"  # a descriptor was opened before
    if event == "open" and not isinstance(args[0], int):
        is_device = os.fsdecode(args[0]).lower().startswith(_DEVICES)
        return "write" if args[2] & _WRITING and not is_device else "read"
    if event == "ctypes.dlopen" or (event == "import" and args[1]):
        return "load"
    return ""


def refuse(rules: set[str], event: str, args: tuple[Any, ...], kind: str) -> None:
    """Raise what the system would, if a rule says so."""
    if "no-files" in rules and kind == "write":
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), args[0])
    if "no-low-ports" in rules and event == "socket.bind" and 0 < args[1][1] < 1024:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def hook(log: int, rules: set[str]) -> Callable[[str, tuple[Any, ...]], None]:
    """The audit hook; ``log`` is a descriptor."""

    def heard(event: str, args: tuple[Any, ...]) -> None:
        if kind := kind_of(event, args):
            line = f"{kind} {event} {args[:4] if event != 'import' else args[:2]!r}\n"
            os.write(log, line.encode("utf-8", "backslashreplace"))
        refuse(rules, event, args, kind)

    return heard


def tell_end(log: int) -> None:
    """How the process has hardened itself."""
    import ctypes
    import resource

    dumpable = ctypes.CDLL(None).prctl(3) if sys.platform == "linux" else 0  # PR_GET_DUMPABLE
    core = resource.getrlimit(resource.RLIMIT_CORE)
    os.write(log, f"end core={core} dumpable={dumpable}\n".encode())


def restart(log: str, rules: str, python: str, *words: str) -> None:
    """Start PYTHON with its flags, and with this file in place of its program."""
    count = next(place for place, word in enumerate(words) if word[0] != "-" or word == "-c")
    flags, program = words[:count], words[count:]
    os.execv(python, [python, *flags, __file__, "--inside", log, rules, *program])


def run(log: str, rules: str, *program: str) -> None:
    """Run the program in this process, watched."""
    import runpy

    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    if not getattr(sys.flags, "safe_path", sys.flags.isolated):
        sys.path[0] = "" if program[0] == "-c" else os.path.dirname(os.path.abspath(program[0]))
    atexit.register(tell_end, fd)
    sys.argv = list(program if program[0] != "-c" else ("-c", *program[2:]))
    main = {"__name__": "__main__", "__builtins__": __builtins__}
    code = compile(program[1], "<string>", "exec") if program[0] == "-c" else None
    sys.addaudithook(hook(fd, set(rules.split(","))))
    if code is not None:
        exec(code, main)
    else:
        runpy.run_path(program[0], run_name="__main__")


if __name__ == "__main__":
    if sys.argv[1] == "--inside":
        run(*sys.argv[2:])
    else:
        restart(*sys.argv[1:])
