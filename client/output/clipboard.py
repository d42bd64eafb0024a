"""The terminal's clipboard: what to write to put a text on it (OSC 52), and to empty it.

Pure. It is only ever written, and only at the user's own command: nothing is read from it. The
sequence is xterm's (invisible-island.net/xterm/ctlseqs); many terminals want to be told to obey it.
"""

from __future__ import annotations

import base64

# A message has 64 KB at most. Terminals that set a limit of their own take 74 KB or more.
COPY_BYTES = 64 * 1024
_PIECE = 500  # bytes; GNU screen writes what is beyond 768 of a sequence on the screen

_BEGIN, _END = "\x1b]52;c;", "\x07"
# By xterm's book what is no base64 empties it; elsewhere that is ignored, so a blank comes first.
_NOTHING = "!"


def copied(text: str, passed_on: bool) -> str:
    """What puts ``text`` on the clipboard; empty if it is too long. ``passed_on``: GNU screen is
    in between, and is asked to hand it to the terminal behind it."""
    data = text.encode()
    if len(data) > COPY_BYTES:
        return ""
    return _sent(base64.b64encode(data).decode(), passed_on)


def emptied(passed_on: bool) -> str:
    """What takes a text off the clipboard again, as far as the terminal lets it be done."""
    return copied(" ", passed_on) + _sent(_NOTHING, passed_on)


def _sent(payload: str, passed_on: bool) -> str:
    sequence = f"{_BEGIN}{payload}{_END}"
    if not passed_on:
        return sequence
    pieces = (sequence[start : start + _PIECE] for start in range(0, len(sequence), _PIECE))
    return "".join(f"\x1bP{piece}\x1b\\" for piece in pieces)
