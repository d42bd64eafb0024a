"""How a screen is emptied so that nothing of it comes into what the terminal remembers.

Pure. ``ESC [ 2 J``, and ``ESC [ J`` from the corner, are not used: where a program has no second
screen of its own (GNU screen unless told otherwise, tmux with ``alternate-screen off``), they move
what they erase into the scrollback. Rows that are erased one by one go nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping

# Rows that GNU screen is given to remember in place of those that it has, more than most people
# let it: it knows no order to forget.
FILLING_ROWS = 20_000
# Looks empty. Where empty rows are not kept (``compacthist``), those above one that is not are.
_FILLING = "\u00a0"


def erased(row: int) -> str:
    """What erases one row (counted from 0), with the cursor at its beginning."""
    return f"\x1b[{row + 1};1H\x1b[2K"


def emptied(rows: int) -> str:
    """What empties a screen of so many rows, with the cursor in its corner."""
    return "\x1b[0m" + "".join(map(erased, range(rows))) + "\x1b[H"


def wiped(rows: int, filled: bool) -> str:
    """The same, and what has scrolled away is forgotten, too; ``filled``: by pushing it out."""
    # Not in the corner: for GNU screen, ``3 J`` is the same as ``J``.
    forgotten = "\x1b[2;1H\x1b[3J"
    pushed = f"\x1b[{rows};1H{_FILLING}\x1b[{rows}S" * (FILLING_ROWS // rows + 1)
    return emptied(rows) + forgotten + (pushed + forgotten if filled else "") + "\x1b[H"


def must_fill(environ: Mapping[str, str]) -> bool:
    """Whether the terminal, or one between it and this program, is GNU screen."""
    return environ.get("TERM", "").startswith("screen") or "STY" in environ
