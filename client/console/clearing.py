"""How a screen is emptied so that nothing of it comes into what the terminal remembers.

Pure. ``ESC [ 2 J``, and ``ESC [ J`` from the corner, are not used: where a program has no second
screen of its own (GNU screen unless told otherwise, tmux with ``alternate-screen off``), they move
what they erase into the scrollback. Rows that are erased one by one go nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping

# Rows of its own that GNU screen is given to remember, more than most people let it: it knows no
# order to forget those that it has.
FILLING_ROWS = 50_000
_FILLING = "\u00a0\n"  # looks empty, and is kept also where empty rows are not (``compacthist``)


def erased(row: int) -> str:
    """What erases one row (counted from 0), with the cursor at its beginning."""
    return f"\x1b[{row + 1};1H\x1b[2K"


def emptied(rows: int) -> str:
    """What empties a screen of so many rows, with the cursor in its corner."""
    return "\x1b[0m" + "".join(map(erased, range(rows))) + "\x1b[H"


def wiped(rows: int, filled: bool) -> str:
    """The same, and what has scrolled away is forgotten, too; ``filled``: by pushing it out."""
    pushed = f"\x1b[{rows};1H{_FILLING * FILLING_ROWS}" if filled else ""
    # Not in the corner: for GNU screen, ``3 J`` is the same as ``J``.
    return f"{pushed}{emptied(rows)}\x1b[2;1H\x1b[3J\x1b[H"


def must_fill(environ: Mapping[str, str]) -> bool:
    """Whether the terminal, or one between it and this program, is GNU screen."""
    return environ.get("TERM", "").startswith("screen") or "STY" in environ
