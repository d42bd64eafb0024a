"""How any subcommand ends: the exit statuses, and what each one means to a script.

``docs/USING.md`` has the same table, and the manual page is made from this one.
"""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """A status that the process ends with; ``meaning`` is its line in the documents."""

    meaning: str

    def __new__(cls, status: int, meaning: str) -> ExitStatus:
        """A member: its number, and what it means."""
        made = int.__new__(cls, status)
        made._value_, made.meaning = status, meaning
        return made

    LEFT = 0, (
        "Left on purpose, or the reader of standard output has gone, or somebody with the same "
        "token has taken the place"
    )
    FAILED = 1, (
        "Something unexpected has happened; or `/panic delete` could not remove the history "
        "or the identity"
    )
    USAGE = 2, (
        "Wrong use or configuration; for the server also an address that cannot be used"
    )
    UNREACHABLE = 3, "The server, or the proxy on the way to it, cannot be reached"
    REFUSED = 4, (
        "Refused: password, token, nickname, the history's or the identity's passphrase, a proxy's "
        "password; or, at the end of a program's input, a line was"
    )
    LOST = 5, (
        "The connection was lost and did not come back, or the server let in and went no further"
    )
    UNWRITABLE = 6, (
        "Standard output cannot be written: a full disk, a closed descriptor (a server says so "
        "and serves on)"
    )
    TIMED_OUT = 124, (
        "The time of `--timeout` was over, as timeout(1) has it: what was waited for did not come, "
        "or could not be sent and was not"
    )
    INTERRUPTED = 130, (
        "Interrupted before connecting, or Ctrl-C twice; `send`, `tail` and `wait` by any "
        "signal that tells to go"
    )
