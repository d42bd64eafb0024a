"""Standard output and error of commands: what cannot be written is not lost in silence.

Light, and imports nothing of the client: the command line uses it, too.
"""

from __future__ import annotations

import contextlib
import os
import sys

from i18n import _

EXIT_UNWRITABLE = 6


class Unwritable(Exception):
    """Standard output takes nothing (a full disk, a closed descriptor); the text says why."""


def write(text: str) -> None:
    """Text on standard output.

    Raises Unwritable, and BrokenPipeError where the reader has gone.
    """
    check()
    try:
        sys.stdout.write(text)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        raise Unwritable(why(error)) from None


def flush() -> None:
    """Let what was written go out; raises as ``write``."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        raise Unwritable(why(error)) from None


def check() -> None:
    """Raises Unwritable where there is no standard output at all (it was closed)."""
    if sys.stdout is None:
        raise Unwritable(_("it is closed"))


def say(text: str) -> None:
    """A line on standard error, if there is one that can be written."""
    if sys.stderr is not None:  # None: closed by who started us
        with contextlib.suppress(OSError, ValueError):
            print(text, file=sys.stderr, flush=True)


def sentence(reason: str) -> str:
    """What there is to say of output that cannot be written."""
    text = _("Standard output cannot be written ({reason}): check where it goes, and start again.")
    return text.format(reason=reason)


def why(error: OSError | ValueError) -> str:
    """The reason in the system's words."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return _("it is closed")


def drop() -> None:
    """Point standard output at nothing, lest Python flush to it again at the end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
