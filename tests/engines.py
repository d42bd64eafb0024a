"""The engines that tests of several servers run on: Valkey everywhere, and Redis where it is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.machine import needs
from tools.engine_process import Kind, kinds


def engines(beside: str) -> list[Any]:
    """For ``parametrize``: both, by name; ``beside`` is the test itself, of which Valkey's form
    runs on every machine."""
    return ["valkey", pytest.param("redis", marks=needs("redis-server", beside=beside))]


def kind(name: str) -> Kind:
    """The engine of this name."""
    return next(each for each in kinds() if each.name == name)
