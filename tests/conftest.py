"""What all tests share: threads that must end, keys made once, a server on a free port."""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import functools
import gc
import importlib
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

from tests import left_behind, machine, surroundings

surroundings.settle()
left_behind.adopt()

if "PYTEST_XDIST_WORKER" not in os.environ:  # they share one: its tables take seconds to make
    _hypothesis = tempfile.mkdtemp(prefix="cmdchat-hypothesis-")
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = _hypothesis  # running leaves nothing behind
    os.environ["PYTEST_MADE_ONCE"] = os.path.join(_hypothesis, "made_once")
    atexit.register(shutil.rmtree, _hypothesis, ignore_errors=True)

import pytest  # noqa: E402  # the lines above come before hypothesis looks
from hypothesis import settings as hypothesis_settings  # noqa: E402

from protocol import pake  # noqa: E402
from protocol.keys import Identity, RecipientKeys  # noqa: E402
from server.app import ChatServer  # noqa: E402
from settings import ServerSettings  # noqa: E402
from tests import made_once  # noqa: E402
from tests.engines import backend, engine_fixture, own_engine, start_engine  # noqa: E402, F401
from tests.wire import LONG, PASSWORD, Wire, threads  # noqa: E402

# A fixed sample: what fails here fails for everybody.  `make soak` draws its own.
hypothesis_settings.register_profile(
    "suite", derandomize=True, database=None, deadline=None, max_examples=25
)
hypothesis_settings.register_profile("soak", database=None, deadline=None)
hypothesis_settings.load_profile("soak" if os.environ.get("CMD_CHAT_SOAK") else "suite")

made_once.use(memory=made_once.Memory(os.environ.get(made_once.SHARED)))

if not faulthandler.is_enabled():
    faulthandler.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture: what needs something that this machine lacks is left out."""
    machine.leave_out(item)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """What this makes lives as long as the run: nobody need look for garbage in it.

    In all that thousands of tests are, each look takes a tenth of a second, and all of them took a
    fifth of the run.
    """
    gc.disable()
    _import_some(session)
    found = yield
    gc.freeze()
    gc.enable()
    return found


def _import_some(session: pytest.Session) -> None:
    """Each of several workers begins with other files than the rest.

    To rewrite the assertions of a file takes a while, and bytecode is kept: none does all of them.
    """
    number = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    if not number or sys.dont_write_bytecode or session.config.args_source.name != "TESTPATHS":
        return
    folder = Path(__file__).parent
    sys.path.insert(0, str(folder))  # as pytest does
    left_out = {Path(path).stem for path in session.config.getoption("ignore") or ()}
    names = sorted({path.stem for path in folder.glob("test_*.py")} - left_out)
    for name in names[int(number) :: int(os.environ["PYTEST_XDIST_WORKER_COUNT"])]:
        with contextlib.suppress(Exception):  # whoever collects it tells
            importlib.import_module(name)


def pytest_unconfigure() -> None:
    """At the very end: what a worker has left that was killed is ended with the run."""
    left_behind.end(left_behind.running())


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name what was left out, and the languages that fall back to English."""
    for line in machine.summary(terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(line)
    try:
        from tools import translations
    except ImportError:  # no Babel: .ci/run has a few of the tests run on other Pythons
        return
    if line := translations.summary():
        terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def no_thread_leaks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test leaves a thread behind, or lets one die of an exception."""
    died: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", died.append)
    before = threads()
    yield
    deadline = time.monotonic() + LONG
    pause = threading.Event()
    while threads() > before:
        running = [thread.name for thread in threading.enumerate()]
        assert time.monotonic() < deadline, f"{threads()} run after {before}, such as {running}"
        pause.wait(0.001)
    assert not died, died


@pytest.fixture(autouse=True)
def no_process_leaks() -> Iterator[None]:
    """No test leaves a process behind."""
    yield from left_behind.watch(LONG)


@pytest.fixture(autouse=True, scope="module")
def no_process_leaks_of_a_module() -> Iterator[None]:
    """Nor does what the tests of a file share."""
    yield from left_behind.watch(LONG)


class IdentityPool:
    """Identities and connection keys, made when first asked for and kept for the whole run.

    Making an RSA key takes a tenth of a second; which one a test uses makes no difference.
    """

    def __init__(self) -> None:
        self._identities: list[Identity] = []
        self.keys = RecipientKeys()

    def __getitem__(self, number: int) -> Identity:
        while len(self._identities) <= number:
            self._identities.append(Identity())
        return self._identities[number]


_pool: list[IdentityPool] = []


def identity_pool() -> IdentityPool:
    """The one pool of this run, for code that is no fixture."""
    if not _pool:
        _pool.append(IdentityPool())
    return _pool[0]


@pytest.fixture(scope="session")
def pool() -> IdentityPool:
    """The one pool of this run."""
    return identity_pool()


@pytest.fixture(scope="session")
def prs() -> bytes:
    """What proves ``PASSWORD``; scrypt takes a quarter of a second."""
    return _password_prs(PASSWORD)


_password_prs = functools.lru_cache(pake.password_prs)


def server_settings(**changes: Any) -> ServerSettings:
    """Settings for a server on a free loopback port, with limits that tests do not meet."""
    values: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": 0,
        "password": PASSWORD,
        "max_messages_per_window": 1000,
        "rate_limit_window": 60.0,
        "heartbeat_interval": 30.0,
        "heartbeat_timeout": 60.0,
        "max_message_size": 10 * 1024,
        "max_payload_size": 1024 * 1024,
        "ssl_cert": None,
        "ssl_key": None,
        "force_ssl": False,
        "language": "en",
    }
    return ServerSettings(**{**values, **changes})


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ChatServer]]:
    """Starts servers with the settings given; they are stopped afterwards."""
    # The same result as ever, worked out once a run.
    monkeypatch.setattr(pake, "password_prs", _password_prs)
    servers: list[ChatServer] = []

    def start(**changes: Any) -> ChatServer:
        server = ChatServer(server_settings(**changes))
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        if not server._stopping:  # by the test itself
            server.stop()


@pytest.fixture
def server(serve: Callable[..., ChatServer]) -> ChatServer:
    """A running server with the settings of ``server_settings``."""
    return serve()


@pytest.fixture
def wires(pool: IdentityPool, prs: bytes) -> Iterator[Callable[..., Wire]]:
    """Makes raw clients, connected and not yet proven; they are cut afterwards.

    ``wires(server, 3)`` is one with the pool's identity 3; ``token=`` or ``prs=`` is what it
    proves, by default the right password.
    """
    made: list[Wire] = []

    def make(server: ChatServer, number: int = 0, **options: Any) -> Wire:
        options.setdefault("prs", prs)
        wire = Wire(server.port, pool[number], pool.keys, **options)
        made.append(wire)
        return wire

    yield make
    for wire in made:
        wire.cut()
