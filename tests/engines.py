"""The engines that tests of several servers run on: Valkey everywhere, and Redis where it is.

``engine`` is shared by a whole run, so what a test writes there goes under a prefix of its own
(``backend``); ``own_engine`` is a test's alone, to be stopped and killed.  Tests that take one of
them run on both engines.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from settings.backend import BackendAddress, BackendSettings
from tests import left_behind
from tests.machine import needs
from tools.engine_process import EngineProcess, Kind, kinds

_numbers = itertools.count(1)


def engines(beside: str) -> list[Any]:
    """For ``parametrize``: both, by name; ``beside`` is the test itself, of which Valkey's form
    runs on every machine."""
    return ["valkey", pytest.param("redis", marks=needs("redis-server", beside=beside))]


def kind(name: str) -> Kind:
    """The engine of this name."""
    return next(each for each in kinds() if each.name == name)


def backend_address(engine: EngineProcess, **changes: Any) -> BackendAddress:
    """Where it is, as the program has it."""
    values = {"host": "127.0.0.1", "port": engine.port, "password": engine.password or None}
    return BackendAddress(**{**values, **changes})


def backend_settings(engine: EngineProcess, **changes: Any) -> BackendSettings:
    """Those of a node that uses it, with a prefix that nobody else has."""
    prefix = f"t{os.getpid()}-{next(_numbers)}:"
    return BackendSettings(**{"address": backend_address(engine), "prefix": prefix, **changes})


# The fixtures; tests/conftest.py has them for everybody.

_BOTH = engines("each test that takes it has a form with Valkey")


@pytest.fixture(scope="session", params=_BOTH, name="engine")
def engine_fixture(request: pytest.FixtureRequest) -> Iterator[EngineProcess]:
    """An engine that all tests share: nobody stops it, or looks at what is not its own."""
    with EngineProcess(kind(request.param)) as engine:
        left_behind.lasting.add(engine.pid)
        yield engine
        left_behind.lasting.discard(engine.pid)


@pytest.fixture
def backend(engine: EngineProcess) -> BackendSettings:
    """Settings for the shared engine, with a prefix of this test's own."""
    return backend_settings(engine)


@pytest.fixture(params=_BOTH)
def own_engine(request: pytest.FixtureRequest) -> Iterator[EngineProcess]:
    """An engine of this test's own."""
    with EngineProcess(kind(request.param)) as engine:
        yield engine


@pytest.fixture(params=_BOTH)
def start_engine(request: pytest.FixtureRequest) -> Iterator[Callable[..., EngineProcess]]:
    """Starts engines of one kind, with the arguments of EngineProcess; they are ended after."""
    with contextlib.ExitStack() as stack:
        yield lambda *options, **named: stack.enter_context(
            EngineProcess(kind(request.param), *options, **named)
        )
