"""What was seen, as rows of a Markdown table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One trial: on which system and Python, how it was run, and what was seen."""

    system: str
    python: str
    how: str
    seen: str
    good: bool = True


HEAD = "| System | CPython | How it was run | What was seen |\n| --- | --- | --- | --- |"


def line(row: Row) -> str:
    """The row; one that failed says so first."""
    seen = row.seen if row.good else f"**FAILED**: {row.seen}"
    return f"| {row.system} | {row.python} | {row.how} | {seen} |"
