"""Prints what becomes of the real program behind real proxies: the table of docs/PROXIES.md.

    python -m tools.networks [--minutes N] [PROXY…]

With ``--minutes`` instead: a chat of so long through squid, idle in part, with a restart of the
proxy in its middle.  As root, or where unprivileged users may have namespaces.  Debian.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tools.networks import hour, through
from tools.networks.proxies import lacking


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools.networks")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("proxies", nargs="*", metavar="PROXY", help="by default all")
    options = parser.parse_args(arguments)
    if names := lacking():
        print(f"Not installed: {', '.join(names)}; see tools/networks/packages.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="cmdchat-networks-") as made:
        folder = Path(made)
        folder.chmod(0o755)  # some proxies become another user
        if options.minutes:
            return hour.run(folder, options.minutes)
        return through.run(folder, options.proxies)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
