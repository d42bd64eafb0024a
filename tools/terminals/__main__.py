"""Prints the tables of ``docs/TERMINALS.md``, from what real terminals do just now.

    python -m tools.terminals [--keys] [--modes] [--widths] [--restores] [--places] [TERMINAL…]

Without a terminal named, all of them.
"""

from __future__ import annotations

import argparse
import sys

from tools.terminals.keys import rows as key_rows
from tools.terminals.kinds import KINDS, version
from tools.terminals.modes import rows as mode_rows
from tools.terminals.places import rows as place_rows
from tools.terminals.restores import rows as restore_rows
from tools.terminals.table import printed
from tools.terminals.widths import rows as width_rows

TABLES = {
    "keys": key_rows, "modes": mode_rows, "widths": width_rows, "restores": restore_rows,
    "places": place_rows,
}  # fmt: skip
_LONG = ("places",)  # half an hour: printed only where it is asked for


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools.terminals")
    for name in TABLES:
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("terminals", nargs="*", metavar="TERMINAL", choices=[*KINDS, []])
    options = parser.parse_args(arguments)
    names = options.terminals or list(KINDS)
    chosen = [name for name in TABLES if vars(options)[name]]
    chosen = chosen or [name for name in TABLES if name not in _LONG]
    heads = [f"{name} {version(KINDS[name])}" for name in names]
    for table in chosen:
        columns = [TABLES[table](name) for name in names]
        print(printed(table, heads, columns))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
