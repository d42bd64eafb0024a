"""What was made last, kept for as long as it is made of the same. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

Given = ParamSpec("Given")
Made = TypeVar("Made")


class Last(Generic[Given, Made]):
    """Calls ``make``, unless the arguments equal those of the last time."""

    def __init__(self, make: Callable[Given, Made]) -> None:
        self._make = make
        self._given: object = None
        self._made: list[Made] = []  # one, or none

    def __call__(self, *args: Given.args, **kwargs: Given.kwargs) -> Made:
        given = (args, kwargs)
        if not self._made or given != self._given:
            self._made = [self._make(*args, **kwargs)]
            self._given = given
        return self._made[0]

    def forget(self) -> None:
        """Keep nothing."""
        self._given, self._made = None, []
