"""Nodes of which there is nothing but their tables, on a real engine."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from protocol.token_seal import TokenSeal
from server.cluster import calls, keys, replies
from server.cluster.engine import Connector
from server.cluster.keys import Incarnation
from server.cluster.scripts import scripts
from server.cluster.tables import Tables
from server.cluster.writer import Writer
from settings.backend import BackendSettings
from tests.script_kit import LIMITS
from tools.engine_process import EngineClient, EngineProcess

LEASE_MS = TTL_MS = 60_000
_numbers = itertools.count(1)


SEAL = TokenSeal(secrets.token_bytes(32))  # all nodes have the same, which the engine has not


class TableNode:
    """A registered node: ``tables``, and what the engine tells it, which it hears when asked to."""

    def __init__(
        self,
        engine: EngineProcess,
        backend: BackendSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine, self._prefix = engine, backend.prefix
        self._client: EngineClient | None = None
        self.scheduled: list[float] = []
        self.writer = Writer(Connector(backend), scripts())
        self.writer.start()
        self.tables = Tables(
            self.writer, lambda: self.incarnation, self.scheduled.append, lambda: SEAL, clock
        )
        self.tokens, self.bans, self.tickets = (
            self.tables.tokens,
            self.tables.bans,
            self.tables.tickets,
        )
        self.register()

    def register(self) -> None:
        """Become a node, perhaps once more, and read the tables."""
        number = next(_numbers)
        self.incarnation = Incarnation(self._prefix, f"{number:032x}", f"{number:012x}", TTL_MS)
        call = calls.register(self.incarnation, LEASE_MS, "k", "mac", LIMITS)
        reply = replies.register(self.writer.call(call))
        assert reply.word == "OK"
        self.incarnation = self.incarnation._replace(epoch=reply.epoch)
        if self._client is not None:
            self._client.close()
        self._client = self._engine.client()
        self._last = "0-0"
        self.tables.load()

    def ask(self, *words: str | bytes | int) -> Any:
        """What the engine answers."""
        assert self._client is not None
        return self._client.ask(*words)

    def settle(self) -> None:
        """Until what was asked of the engine before is done."""
        self.writer.call(calls.read_table(self.incarnation, "none", False))

    def hear(self) -> int:
        """Take what the engine has told since; how many changes of tables."""
        key = keys.wake(self.incarnation)
        count = 0
        for _stream, entries in self.ask("XREAD", "STREAMS", key, self._last) or ():
            for entry_id, fields in entries:
                self._last = entry_id.decode()
                for name, value in zip(fields[::2], fields[1::2], strict=True):
                    if name == b"t":
                        self.tables.note(value.decode())
                        count += 1
        return count

    def spent(self, after: str = "-") -> list[Any]:
        """What stands in the ledger, entries as a node's reader has them."""
        entries: list[Any] = self.ask("XRANGE", keys.ledger(self.incarnation), after, "+")
        return entries

    def stop(self) -> None:
        self.writer.stop()
        if self._client is not None:
            self._client.close()


class Hearing:
    """A thread that has nodes hear what they are told, as long as this is open."""

    def __init__(self, *nodes: TableNode) -> None:
        self._nodes, self._over = nodes, threading.Event()
        self._thread = threading.Thread(target=self._run, name="hearing")

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: object, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.001):
            for node in self._nodes:
                node.hear()


StartNode = Callable[..., TableNode]


@contextlib.contextmanager
def nodes(engine: EngineProcess, backend: BackendSettings) -> Iterator[StartNode]:
    """What starts nodes of one cluster; they are stopped afterwards."""
    made: list[TableNode] = []

    def start(**options: Any) -> TableNode:
        made.append(TableNode(engine, **{"backend": backend, **options}))
        return made[-1]

    try:
        yield start
    finally:
        for node in made:
            node.stop()


def at_once(*jobs: Callable[[], object], times: int = 1) -> list[Any]:
    """What these return, ``times`` of each in threads that begin together; what is raised, too."""
    start, results = threading.Barrier(len(jobs) * times), list[Any]()

    def run(job: Callable[[], object]) -> None:
        start.wait()
        try:
            results.append(job())
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs for _each in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
