"""Tables on standard output: plain text, aligned."""

from __future__ import annotations

from collections.abc import Sequence


def show(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: its first column to the left, all others to the right."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    print(f"\n{title}\n")
    for row in (head, *rows):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  " + "  ".join(cells).rstrip(), flush=True)


def target(value: float, bound: float, least: bool = False) -> str:
    """What is to be reached, at most ``bound`` or at ``least``, and whether it is."""
    reached = value >= bound if least else value <= bound
    return f"{'>=' if least else '<='} {bound:g} {'yes' if reached else 'NO'}"
