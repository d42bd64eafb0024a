"""Writes ``.env.example`` from the table of settings.

    python -m tools.make_env_example > .env.example
"""

from __future__ import annotations

from settings.table import TABLE

_HEAD = """\
# Settings of CMD CHAT. Copy this file to .env and take away the "#" before what you set.
# The command line goes before the environment, the environment before this file.
# Nothing is substituted in values; put one with spaces around it, or " #" in it, into quotes.
# A password here is readable for everyone who can read the file: chmod 600 .env
"""
_SIDES = {"server": "Server", "client": "Client", "both": "Both"}


def env_example() -> str:
    """The text of ``.env.example``."""
    parts = [_HEAD]
    for side, title in _SIDES.items():
        parts.append(f"\n# --- {title} ---\n")
        for row in TABLE:
            if row.side == side:
                text = row.help
                parts.append(f"\n# {text[0].upper()}{text[1:]}.\n")
                parts.append(f"#{row.name}={row.default}\n")
    return "".join(parts)


if __name__ == "__main__":
    print(env_example(), end="")
