"""Several servers and their engine, under a test's control; and what the engine was told.

Each node reaches the engine by a ``Road`` of its own, and so it can be cut off, slowed down, or
lose an answer.  Nodes are processes with short times, which are no settings (``QUICK``).
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from unittest import mock

from client.encryption.posts import SealedPost
from client.outbox import Line
from protocol.keys import to_text
from tests.faults import Network, Road, Whisper
from tests.processes import DEADLINE, Server, stop_process
from tests.wire import PASSWORD
from tests.zygote import Constants
from tools.engine_process import EngineProcess, Kind, Monitor, free_place, seen

PREFIX = "cc:"

# A fifth to a tenth of what they are: two nodes that differ in them do not understand each other.
QUICK: Constants = {
    "server.cluster.limits": {
        "ENGINE_CONNECT_SECONDS": 0.5,
        "ENGINE_REPLY_SECONDS": 0.5,
        "ENGINE_SECONDS": 1.0,
        "ENGINE_UNKNOWN_SECONDS": 3.0,
        "ENGINE_RETRY_SECONDS": 0.3,
        "ENGINE_PAUSE_MOST": 0.2,
        "ENGINE_STOP_SECONDS": 0.5,
        "READER_BLOCK_SECONDS": 0.2,
        "READER_REPLY_SECONDS": 0.7,
        "ARRIVE_SECONDS": 3.0,
        "ROOM_SECONDS": 3.0,
        "GOODBYE_SECONDS": 0.5,
        "LEASE_SECONDS": 1.5,
        "NODE_RENEW_SECONDS": 0.3,
        "NODE_BREAK_SECONDS": 0.5,
        "NODE_TOUCH_SECONDS": 1.0,
        "NODE_LOOK_SECONDS": 0.1,
        "NODE_PAUSE": 0.05,
        "NODE_PAUSE_MOST": 0.5,
        "NODE_MINUTE": 2.0,
        "NODE_STOP_SECONDS": 1.0,
        "TTL_SECONDS": 15.0,
        "TTL_BEYOND_GRACE": 5.0,
        "POLICY_SCRYPT": 10,
    },
}


# An engine that may have a replica, and that one: nothing on a disk, and no wait before they begin.
_REPLICATED = ("--rdb-del-sync-files", "yes", "--repl-diskless-sync-delay", "0")


class Refused(Exception):
    """A node has ended at once."""


class StartedNode(Server):
    """Raises Refused where it ends before its banner."""

    def wait_for(self, done: Callable[[], bool]) -> None:
        try:
            super().wait_for(done)
        except AssertionError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1.0)
                raise Refused(self.told()) from None
            raise


class Node:
    """One server, which can be killed, stopped and started again at the same port."""

    def __init__(
        self,
        network: Network,
        engine_port: int,
        settings: Mapping[str, str],
        constants: Constants,
    ) -> None:
        self._constants = constants
        self._place = free_place()
        self.port = int(self._place.getsockname()[1])
        self.road = network.road(engine_port)
        self._settings = {
            "ADMIN_PASSWORD": PASSWORD,
            "BACKEND_URL": f"redis://127.0.0.1:{self.road.port}/0",
            **settings,
        }
        self.server: Server | None = None
        self.is_stopped = self.is_leaving = self.is_away = False

    @property
    def is_at_work(self) -> bool:
        """Whether it runs, as far as this test knows."""
        return self.server is not None and not self.is_stopped and not self.is_leaving

    def start(self) -> bool:
        """Start it, if it does not run; False if it does not, as without its engine."""
        with contextlib.suppress(Refused):
            if self.server is None:
                self.server = StartedNode(
                    self._settings, port=self.port, constants=self._constants
                )
        return self.server is not None

    def stop(self) -> None:
        """SIGSTOP: it does nothing, and does not know it."""
        if self.server is not None and not self.is_stopped:
            stop_process(self.server)
            self.is_stopped = True

    def go_on(self) -> None:
        """SIGCONT."""
        if self.server is not None and self.is_stopped:
            self.server.signal(signal.SIGCONT)
        self.is_stopped = False

    def kill(self) -> None:
        """SIGKILL."""
        if self.server is not None:
            self.server.kill()
            self.server, self.is_stopped, self.is_leaving = None, False, False

    def close(self) -> None:
        """The end of it."""
        self.kill()
        self._place.close()

    def leave(self) -> None:
        """SIGTERM; returns at once."""
        assert self.server is not None
        self.server.signal(signal.SIGTERM)
        self.is_leaving = True

    def again(self) -> bool:
        """As ``start``, once it has ended by itself."""
        if self.server is not None:
            self.server.end()
            self.kill()
        return self.start()

    def end(self) -> int:
        """SIGTERM; its exit status."""
        assert self.server is not None
        self.go_on()
        self.server.signal(signal.SIGTERM)
        status = self.server.end()
        self.kill()
        return status


class Cluster:
    """An engine and its nodes.  A context manager; ``nodes`` run when it is entered."""

    def __init__(
        self,
        kind: Kind,
        size: int,
        settings: Mapping[str, str],
        constants: Constants = QUICK,
        replicated: bool = False,
    ) -> None:
        self.network = Network()
        self.engine = EngineProcess(kind, _REPLICATED if replicated else ())
        self._replica = EngineProcess(kind, _REPLICATED) if replicated else None
        self._link: Road | None = None  # the replica's way to the engine
        self.tap = EngineTap()
        port = self.engine.port
        self.nodes = [Node(self.network, port, settings, constants) for _ in range(size)]
        self._monitor: Monitor | None = None

    def __enter__(self) -> Cluster:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.network)
            stack.enter_context(self.engine)
            if self._replica is not None:
                stack.enter_context(self._replica)
                self._replicate(self._replica)
            self._watch()
            stack.callback(self._watch_no_more)
            for node in self.nodes:
                stack.callback(node.close)
                assert any(node.start() for _ in range(10)), "no node"
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def restart(self) -> None:
        """The engine ends in the midst of it all, and comes back with nothing."""
        for node in self.nodes:
            node.road.close()
        self.network.obeyed()
        self._watch_no_more()  # so nobody knows more of what it has done than the tap does
        self.engine.kill()
        self.engine.start()
        self._watch()
        for node in self.nodes:
            node.road.heal()

    def part(self) -> None:
        """From now on the replica hears of nothing."""
        assert self._link is not None
        self._link.close()
        self.network.obeyed()

    def fail_over(self, between: Callable[[], None] = lambda: None) -> None:
        """The engine ends, and all ways lead to the replica, which takes its place after
        ``between``."""
        replica = self._replica
        assert replica is not None
        self._replica = None
        for node in self.nodes:
            node.road.close()
        self.network.obeyed()
        self._watch_no_more()
        self.engine.kill()
        self.engine = replica
        self._watch()
        for node in self.nodes:
            node.road.turn(replica.port)
            node.road.heal()
        between()
        replica.ask("REPLICAOF", "NO", "ONE")

    def _replicate(self, replica: EngineProcess) -> None:
        """Have it follow the engine; returns when it does."""
        self._link = self.network.road(self.engine.port)
        replica.ask("REPLICAOF", "127.0.0.1", self._link.port)
        end = time.monotonic() + DEADLINE
        while b"master_link_status:up" not in replica.ask("INFO", "replication"):
            assert time.monotonic() < end, "the replica does not follow"
            time.sleep(0.01)

    def level(self) -> None:
        """Wait until the tap knows all that the engine has done."""
        assert self._monitor is not None
        self._monitor.level()

    def keys(self) -> dict[str, int]:
        """What is in the engine, and in how many milliseconds each ends; -1: never."""
        names = [name.decode() for name in self.engine.ask("KEYS", f"{PREFIX}*")]
        found = {name: int(self.engine.ask("PTTL", name)) for name in names}
        return {name: left for name, left in found.items() if left != -2}  # gone meanwhile

    def _watch(self) -> None:
        self._monitor = Monitor(self.engine, self.tap.take)

    def _watch_no_more(self) -> None:
        if self._monitor is not None:
            with contextlib.suppress(OSError):
                self._monitor.level()
            self._monitor.close()
            self._monitor = None


TEXTS: dict[str, str] = {}  # key: signature of the box


@contextlib.contextmanager
def sealing() -> Iterator[None]:
    """While this lasts, the text of each line that a client of this process seals is kept."""
    seal = Line.seal

    def seal_line(line: Line, ref: int, at: int, sealed: SealedPost) -> None:
        TEXTS[to_text(sealed.box.sig)] = line.text
        seal(line, ref, at, sealed)

    with mock.patch.object(Line, "seal", seal_line):
        yield


class EngineTap:
    """Copies of all logs as the engine's scripts write them."""

    def __init__(self) -> None:
        self.texts = TEXTS
        self._logs: dict[bytes, list[dict[str, Any]]] = defaultdict(list)  # key: log id
        self._whispers: dict[bytes, list[Whisper]] = defaultdict(list)
        self._current: dict[bytes, bytes] = {}  # key: a room's part of its keys; its log id

    def log(self, log_id: bytes) -> list[dict[str, Any]]:
        """All entries that a log ever had, as members see them."""
        return self._logs[log_id]

    def whispers(self, log_id: bytes) -> list[Whisper]:
        """What was said privately among the members of a log."""
        return self._whispers[log_id]

    def take(self, line: bytes) -> None:
        """A line of the engine's MONITOR."""
        if b" lua] " not in line[:40]:
            return
        command = seen(line)
        assert command is not None, line
        words = command.words
        key = words[1] if len(words) > 1 else b""
        if not key.startswith(PREFIX.encode()) or b":room:" not in key:
            return
        what = words[0].upper()
        if what == b"HSET" and key.endswith(b":state"):
            fields = dict(zip(words[2::2], words[3::2], strict=True))
            if b"log" in fields:
                self._current[key.removesuffix(b":state")] = bytes.fromhex(fields[b"log"].decode())
        elif what == b"XADD":
            at = next(place for place, word in enumerate(words[2:], 2) if b"-" in word)
            fields = dict(zip(words[at + 1 :: 2], words[at + 2 :: 2], strict=True))
            self._take_entry(key, int(words[at].partition(b"-")[0]), fields)

    def _take_entry(self, key: bytes, number: int, fields: dict[bytes, bytes]) -> None:
        if key.endswith(b":log"):
            log = self._current[key.removesuffix(b":log")]
            self._logs[log].append(_entry(number, fields))
            return
        room, private, target = key.rpartition(b":p:")
        sender = int(fields[b"s"]) if private else 0
        if sender:
            log = self._current[room]
            sig = json.loads(b'{"number":0' + fields[b"e"])["box"]["sig"]
            self._whispers[log].append(
                Whisper(log, int(target), sender, sig, int(fields[b"a"]))
            )

def _entry(seq: int, fields: Mapping[bytes, bytes]) -> dict[str, Any]:
    """An entry of a log as members see it, as far as a check needs it."""
    if b"p" in fields:
        rest = fields[b"p"].lstrip(b"0123456789")  # after the ref
        found: dict[str, Any] = json.loads(b'{"type":"posted","seq":%d%b' % (seq, rest))
        return found
    kind = fields[b"k"]
    member = int(fields[b"s"])
    nick = json.loads(fields[b"n"]) if b"n" in fields else ""
    if kind == b"j":
        return {"type": "joined", "seq": seq, "member": {"id": member, "nick": nick}}
    name = {b"l": "left", b"n": "renamed", b"r": "rejoined"}[kind]
    return {"type": name, "seq": seq, "id": member, "nick": nick}


def texts_of(tap: EngineTap, logs: Sequence[bytes]) -> list[str]:
    """What was taken, in the order in which it was."""
    return [
        tap.texts[entry["box"]["sig"]]
        for log in logs
        for entry in tap.log(log)
        if entry["type"] == "posted"
    ]
