"""Says what each did, a line for each; exit status 1 if one did not do what it should.

    python -m tools.fronts [--idle SECONDS] [NAME…]

Without a name, all of them. ``--idle`` measures instead how long each leaves a connection alone on
which nothing is said, by the settings that Debian gives it, up to so many seconds.
"""

from __future__ import annotations

import argparse
import sys

from tools.fronts.cluster import TRIALS
from tools.fronts.trials import NAMES, idle, try_one


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools.fronts")
    parser.add_argument("--idle", type=float, metavar="SECONDS")
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*NAMES, *TRIALS, []])
    options = parser.parse_args(arguments)
    names = options.names or [*NAMES, *TRIALS]
    if options.idle:
        idle([name for name in names if name in NAMES], options.idle)
        return 0
    failed = 0
    for name in names:
        try:
            seen = TRIALS[name]() if name in TRIALS else try_one(name)
            print(f"{name}: {seen}", flush=True)
        except Exception as error:  # of one: the others are tried all the same
            failed += 1
            print(f"{name}: FAILED: {error or type(error).__name__}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
