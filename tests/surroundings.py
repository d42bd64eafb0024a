"""What the suite was started with that differs from machine to machine, made the same for all.

Where a shell, a job or a container has set something for its programs, the tests do not depend on
it, and nor do the programs that they start.  This is done once in each of pytest's processes,
before anything else of the tests is imported.
"""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

from settings import ROWS

# Variables that change what Python or the terminal does, beside the program's own settings.
_CHANGING = ("LC_", "LANG", "PYTHON")
_ALSO_CHANGING = {"CMD_CHAT_NATIVE_FOLDER", "COLORTERM", "COLUMNS", "LINES", "NO_COLOR",
                  "SSLKEYLOGFILE", "XDG_CONFIG_HOME", "XDG_STATE_HOME"}  # fmt: skip
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")  # in either case
_MEANT = {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH"}
_DESCRIPTORS = 4096  # as many as the busiest tests need, and more


def is_changing(name: str) -> bool:
    """Whether a variable of this name could change what a test sees."""
    if name in ROWS or name in _ALSO_CHANGING or name.lower() in _PROXIES:
        return True
    return name.startswith(_CHANGING) and name not in _MEANT


def forget_variables() -> None:
    """Take such variables away, from this process and so from those that it starts."""
    for name in filter(is_changing, list(os.environ)):
        del os.environ[name]


def hear_signals() -> None:
    """Let programs that are started hear signals that this process was started to ignore.

    A handler is not inherited, while ignoring is.  This one does nothing: whoever started the
    suite with ``nohup``, or in the background of a script, wants it to go on.
    """
    for number in signal.valid_signals() - {signal.SIGPIPE, getattr(signal, "SIGXFSZ", None)}:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _go_on)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, ())


def end_in_order() -> None:
    """Let SIGTERM end the suite as Ctrl-C does, with all that it has started."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _go_on(_number: int, _frame: object) -> None:
    pass


def allow_descriptors() -> None:
    """Raise the number of open files, which is 256 on some systems, as far as is needed."""
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def run_from_temporary_folder() -> None:
    """Take another temporary folder where nothing may be run from the system's own.

    Where the tree is something may: Python's packages with native code are beside it.
    """
    noexec = getattr(os, "ST_NOEXEC", 0)
    if noexec and os.statvfs(tempfile.gettempdir()).f_flag & noexec:
        folder = Path(__file__).resolve().parent.parent / "build" / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)


def settle() -> None:
    """All of it."""
    forget_variables()
    hear_signals()
    end_in_order()
    allow_descriptors()
    run_from_temporary_folder()
