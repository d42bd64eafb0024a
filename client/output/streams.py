"""Standard output and error of commands: what cannot be written is not lost in silence.

Light, and imports nothing of the client: the command line uses it, too.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from i18n import _
from protocol.safe_text import visible


class Unwritable(Exception):
    """Standard output takes nothing (a full disk, a closed descriptor); the text says why, and
    nothing if it is only that the reader has gone."""


def reason(error: OSError | ValueError, terminal: bool = False) -> str:
    """Why nothing can be written; empty if it is only that the reader or terminal has gone."""
    if isinstance(error, BrokenPipeError | ConnectionResetError):
        return ""
    if isinstance(error, OSError):
        gone = (errno.EIO, errno.ENXIO) if terminal else ()
        if error.errno in gone or (sys.platform == "win32" and error.errno == errno.EINVAL):
            return ""  # Windows has no other word for a pipe without a reader
        return error.strerror or type(error).__name__
    return _("it is closed")


def is_terminal(stream: TextIO | None) -> bool:
    """Whether somebody may be sitting at it; at a closed or missing one nobody is."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def write(text: str) -> None:
    """Text on standard output.

    Raises Unwritable, and BrokenPipeError where the reader has gone.
    """
    check()
    with _told():
        sys.stdout.write(text)


def flush() -> None:
    """Let what was written go out; raises as ``write``."""
    if sys.stdout is not None:
        with _told():
            sys.stdout.flush()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        why = reason(error, sys.stdout.isatty() if not sys.stdout.closed else False)
        if not why:
            raise BrokenPipeError from None
        raise Unwritable(why) from None


def check() -> None:
    """Raises Unwritable where there is no standard output at all (it was closed)."""
    if sys.stdout is None:
        raise Unwritable(_("it is closed"))


def say(text: str) -> None:
    """Lines on standard error, if there is one that can be written.

    What they repeat of arguments, files or the environment is obeyed by no terminal.
    """
    if sys.stderr is not None:  # None: closed by who started us
        with contextlib.suppress(OSError, ValueError):
            print(visible(text), file=sys.stderr, flush=True)


def sentence(why: str) -> str:
    """What there is to say of output that cannot be written."""
    text = _("Standard output cannot be written ({reason}): check where it goes, and start again.")
    return text.format(reason=why)


def drop(file: TextIO | None = None) -> None:
    """Point a stream, else standard output, at nothing, lest Python flush to it again at the
    end, and complain."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, (sys.stdout if file is None else file).fileno())
        os.close(nowhere)
