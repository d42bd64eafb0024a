"""What lies between a node and its engine, and loses replies, is slow, or is cut.

One thread passes on what comes; it knows where commands and replies end, so that a reply can be
lost whose command has run.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections import deque
from types import TracebackType

_CHUNK = 256 * 1024


class EngineProxy:
    """Listens on a free port of loopback (``port``) and passes on to the engine's."""

    def __init__(self, engine_port: int) -> None:
        self._engine_port = engine_port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._ring, self._bell = socket.socketpair()
        self._lock = threading.Lock()  # guards what follows, and all that a pair of sockets has
        self._links: set[_Link] = set()
        self._losses: list[_Loss] = []
        self._held = self._away = self._over = False
        self.delay = 0.0  # seconds before each piece of a reply is passed on
        self.lost = threading.Event()  # a reply that was to be lost has been
        self._stop = threading.Event()
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._selector.register(self._ring, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="engine-proxy")
        self._thread.start()

    def lose_reply(self, number: int = 1, of: bytes = b"EVALSHA") -> None:
        """The ``number``-th reply from now on to a command with ``of`` in it is not passed on, and
        its connection is cut then: the command has run, and nobody knows."""
        with self._lock:
            self.lost.clear()
            self._losses.append(_Loss(number, of))

    def cut(self) -> None:
        """End all connections that there are now; new ones are let through."""
        with self._lock:
            links = list(self._links)
        for link in links:
            link.shut()

    def go_away(self) -> None:
        """End all connections, and refuse new ones."""
        self._away = True
        self.cut()

    def come_back(self) -> None:
        """Let connections through again."""
        self._away = False

    def hold(self) -> None:
        """Pass nothing on, in either direction, until ``let_go``; connections stay."""
        self._held = True
        self._wake()

    def let_go(self) -> None:
        """Pass on what has come meanwhile, and all that follows."""
        self._held = False
        self._wake()

    def close(self) -> None:
        """End it and all connections."""
        self._over = True
        self._stop.set()
        self._wake()
        self._thread.join()
        for each in (self._listening, self._ring, self._bell, self._selector):
            each.close()

    def __enter__(self) -> EngineProxy:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    # The thread

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._bell.send(b"!")

    def _run(self) -> None:
        while not self._over:
            for key, _events in self._selector.select():
                if key.fileobj is self._ring:
                    self._ring.recv(4096)
                    self._watch()
                elif key.fileobj is self._listening:
                    self._accept()
                elif not self._held:
                    link: _Link = key.data
                    if not self._pass_on(link, key.fileobj is link.node):
                        self._end(link)
        for link in list(self._links):
            self._end(link)

    def _watch(self) -> None:
        """Look at connections, or at none while all is held."""
        for link in self._links:
            for sock in (link.node, link.engine):
                with contextlib.suppress(KeyError):
                    self._selector.unregister(sock)
                if not self._held:
                    self._selector.register(sock, selectors.EVENT_READ, link)

    def _accept(self) -> None:
        node, _address = self._listening.accept()
        try:
            if self._away:
                raise ConnectionRefusedError
            engine = socket.create_connection(("127.0.0.1", self._engine_port), 5.0)
        except OSError:
            node.close()
            return
        for each in (node, engine):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = _Link(node, engine)
        with self._lock:
            self._links.add(link)
        if not self._held:
            self._selector.register(node, selectors.EVENT_READ, link)
            self._selector.register(engine, selectors.EVENT_READ, link)

    def _pass_on(self, link: _Link, is_command: bool) -> bool:
        """False if that was the end of it."""
        source, target = (link.node, link.engine) if is_command else (link.engine, link.node)
        try:
            data = source.recv(_CHUNK)
            if not data:
                return False
            if is_command:
                self._note_commands(link, data)
                target.sendall(data)
                return True
            if self.delay:
                self._stop.wait(self.delay)
            kept = self._kept(link, data)
            target.sendall(data[:kept])
        except OSError:
            return False
        if kept < len(data):
            self.lost.set()
        return kept == len(data)

    def _note_commands(self, link: _Link, data: bytes) -> None:
        for _start, _end, command in link.commands.feed(data):
            link.asked.append(command)

    def _kept(self, link: _Link, data: bytes) -> int:
        """How much of a piece is passed on: all, or up to the reply that is lost."""
        before = link.replies.left
        for start, _end, _reply in link.replies.feed(data):
            command = link.asked.popleft() if link.asked else b""
            with self._lock:
                losing = [loss for loss in self._losses if loss.counts(command)]
                self._losses = [loss for loss in self._losses if loss not in losing]
            if losing:
                return max(0, start - before)
        return len(data)

    def _end(self, link: _Link) -> None:
        with self._lock:
            self._links.discard(link)
        for sock in (link.node, link.engine):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(sock)
        link.close()


class _Loss:
    """A reply that is to be lost: the n-th to such commands."""

    def __init__(self, number: int, of: bytes) -> None:
        self._left, self._of = number, of

    def counts(self, command: bytes) -> bool:
        """Count a reply; True if it is the one."""
        self._left -= self._of in command
        return self._left <= 0


class _Link:
    """One connection of a node, and the one to the engine that goes with it."""

    def __init__(self, node: socket.socket, engine: socket.socket) -> None:
        self.node, self.engine = node, engine
        self.commands, self.replies = _Items(), _Items()
        self.asked: deque[bytes] = deque()  # commands whose replies are to come

    def shut(self) -> None:
        """Have the thread notice that it is over."""
        for each in (self.node, self.engine):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the descriptors back."""
        for each in (self.node, self.engine):
            each.close()


class _Items:
    """Finds where whole items (commands, replies) end in what comes (RESP2)."""

    def __init__(self) -> None:
        self._buffer = b""

    @property
    def left(self) -> int:
        """Bytes of an item that has not ended yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """The items that end in ``data``; their places count from the last one's end before."""
        self._buffer += data
        found, start = [], 0
        while (end := _end_of_item(self._buffer, start)) is not None:
            found.append((start, end, self._buffer[start:end]))
            start = end
        self._buffer = self._buffer[start:]
        return found


def _end_of_item(data: bytes, start: int) -> int | None:
    """Where the item that begins there ends; None if it has not come yet."""
    line = data.find(b"\r\n", start)
    if line < 0:
        return None
    kind, after = data[start : start + 1], line + 2
    if kind == b"$":
        length = int(data[start + 1 : line])
        after += length + 2 if length >= 0 else 0
        return after if after <= len(data) else None
    if kind == b"*":
        for _ in range(max(0, int(data[start + 1 : line]))):
            inner = _end_of_item(data, after)
            if inner is None:
                return None
            after = inner
    return after
