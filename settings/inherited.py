"""What a program that is started inherits of the environment."""

from __future__ import annotations

from collections.abc import Mapping

from settings.table import TABLE

_ALIKE = 0.85  # as ``dotenv.near_misses`` has it


def without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` without any variable that is a setting, whichever: what holds no secret today may
    tomorrow, and a new setting is left out by being in the table.

    Also without what looks like a mistyped one: that is a secret all the same.
    """
    from difflib import get_close_matches

    names = [row.name for row in TABLE]
    return {
        name: value
        for name, value in environ.items()
        if not get_close_matches(name.upper(), names, 1, _ALIKE)
    }
