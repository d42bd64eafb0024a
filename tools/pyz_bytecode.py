"""Compile modules under the Python that runs this, for the zipapp.

Reads JSON from standard input: a list of [place, file name, source]. Writes to standard output
a line of JSON, [cache tag, magic number], and behind it a table {place: bytecode} in Python's
``marshal`` format.
"""

from __future__ import annotations

import json
import marshal
import sys
from importlib.util import MAGIC_NUMBER


def main() -> None:
    """Compile what comes in; same input, same Python, same output."""
    table = {}
    for place, name, source in json.load(sys.stdin.buffer):
        table[place] = marshal.dumps(compile(source, name, "exec", dont_inherit=True, optimize=0))
    kind = [sys.implementation.cache_tag, int.from_bytes(MAGIC_NUMBER[:2], "little")]
    sys.stdout.buffer.write(json.dumps(kind).encode() + b"\n" + marshal.dumps(table))


if __name__ == "__main__":
    main()
