"""``python -m tests.attacks [--program PATH] [--seconds N] [NAME …]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.attacks import liars, members, strangers  # noqa: F401  # each registers its attacks
from tests.attacks.kit import ATTACKS, Measured
from tests.processes import PROGRAM


def main(words: Sequence[str]) -> int:
    """Run the attacks that are named, or list all; the exit status."""
    parser = argparse.ArgumentParser("python -m tests.attacks")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--program", type=Path, default=PROGRAM, help="another cmd_chat.py")
    parser.add_argument("--seconds", type=float, default=8.0, help="how long to attack (8)")
    chosen = parser.parse_args(words)
    unknown = set(chosen.names) - set(ATTACKS) - {"all"}
    if unknown:
        parser.error(f"no attack is called {', '.join(sorted(unknown))}")
    if not chosen.names:
        width = max(map(len, ATTACKS))
        for attack in ATTACKS.values():
            print(f"{attack.name:{width}}  {attack.what}")
        return 0
    names = list(ATTACKS) if "all" in chosen.names else chosen.names
    for name in names:
        show(name, ATTACKS[name].run(chosen.program.resolve(), min(chosen.seconds, 60.0)))
    return 0


def show(name: str, measured: Measured) -> None:
    """One attack's figures, a line each."""
    print(f"{name}: {ATTACKS[name].what}")
    for what, value in measured.items():
        print(f"  {what}: {value}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
