"""pyte's screen, with one thing mended: lines that were never written move like all others."""

from __future__ import annotations

from typing import Any

import pyte


class Screen(pyte.Screen):
    """Deleting and inserting lines leaves what stood there where an empty line should come."""

    def delete_lines(self, count: Any = None) -> None:
        self._touch()
        super().delete_lines(count)

    def insert_lines(self, count: Any = None) -> None:
        self._touch()
        super().insert_lines(count)

    def _touch(self) -> None:
        for row in range(self.lines):
            self.buffer[row]  # noqa: B018  # it is made by being looked at
