"""Tables in Markdown."""

from __future__ import annotations


def printed(corner: str, heads: list[str], columns: list[dict[str, str]]) -> str:
    """A table with one column for each terminal, whose rows are named by the dicts' keys."""
    lines = [_line([corner, *heads]), _line(["---"] * (len(heads) + 1))]
    for row in columns[0] if columns else ():
        lines.append(_line([row, *(column.get(row, "") for column in columns)]))
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
