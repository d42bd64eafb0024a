"""The lines being typed, as a screen was told of them last: one for each view. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from client.input.editor import LineView


class Drafts:
    """By the view that they are for, since another one may be shown at any moment."""

    def __init__(self) -> None:
        self._lines: dict[str, LineView] = {}  # key: a view's

    def keep(self, line: LineView, shown: str) -> None:
        """Remember a line; of one that names no view, it is the one that is ``shown``."""
        self._lines[line.view or shown] = line

    def of(self, key: str) -> LineView:
        """The line for a view."""
        return self._lines.get(key) or LineView(view=key)

    def limit(self, keys: Iterable[str]) -> None:
        """Only these views are left."""
        kept = set(keys)
        self._lines = {key: line for key, line in self._lines.items() if key in kept}
