"""Two machines and the cable between them, all on this one: network namespaces and raw frames.

``Machines`` makes two namespaces with an address each, inside one that this process is in already
(``machine.networking`` says how to be), and relays every Ethernet frame between them: frames can
be dropped, held, delayed and lost on the way, and an interface can go down, come up, or have
another address, as when a cable is pulled or a laptop is carried elsewhere.  Nothing is needed
but iproute2, util-linux and the right to make namespaces; no netem, no firewall.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import heapq
import random
import selectors
import socket
import struct
import subprocess
import threading
import time
from itertools import count
from types import TracebackType

NEAR, FAR = "10.77.0.2", "10.77.0.1"  # the client's address, and the server's
_FRAME_BYTES = 65536
_ALL_PROTOCOLS = 0x0003  # packet(7), ETH_P_ALL
_PORTS = ("wire0", "wire1")  # the cable's ends; those of the machines are called ``eth0``
# ethtool's switches for work that a card does: a relayed frame has to be whole (linux/ethtool.h)
_SIOCETHTOOL = 0x8946
_SWITCHES = (0x17, 0x19, 0x1F, 0x24, 0x2C)  # STXCSUM, SSG, STSO, SGSO, SGRO


class Cable:
    """Hands frames from one interface to the other, on a thread.

    What it does with them is what its attributes say when one comes: ``lost`` is the part of the
    frames that vanishes, ``delay`` in seconds; ``up`` is towards the second interface.
    """

    def __init__(self, near: str, far: str) -> None:
        self.up = self.down = True  # whether frames pass
        self.lost, self.delay = 0.0, 0.0
        self._chance = random.Random(7)
        self._sockets = []
        for name in (near, far):
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS))
            sock.bind((name, 0))
            sock.setblocking(False)
            self._sockets.append(sock)
        self._wake, self._woken = socket.socketpair()
        self._held: list[tuple[float, int, socket.socket, bytes]] = []  # a heap
        self._numbers = count()
        self._thread = threading.Thread(target=self._run, name="cable", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._wake.send(b"\0")
        self._thread.join()
        for sock in (*self._sockets, self._wake, self._woken):
            sock.close()

    def _run(self) -> None:
        near, far = self._sockets
        with selectors.DefaultSelector() as selector:
            for sock in (near, far, self._woken):
                selector.register(sock, selectors.EVENT_READ)
            while True:
                now = time.monotonic()
                while self._held and self._held[0][0] <= now:
                    _due, _number, target, frame = heapq.heappop(self._held)
                    with contextlib.suppress(OSError):  # the interface is down
                        target.send(frame)
                wait = self._held[0][0] - now if self._held else None
                for key, _mask in selector.select(wait):
                    if key.fileobj is self._woken:
                        return
                    self._take(near if key.fileobj is near else far, near, far)

    def _take(self, source: socket.socket, near: socket.socket, far: socket.socket) -> None:
        try:
            frame, address = source.recvfrom(_FRAME_BYTES)
        except OSError:
            return
        passes = self.up if source is near else self.down
        if address[2] == socket.PACKET_OUTGOING or not passes:  # type: ignore[attr-defined,unused-ignore]
            return
        if self.lost and self._chance.random() < self.lost:
            return
        target = far if source is near else near
        heapq.heappush(
            self._held, (time.monotonic() + self.delay, next(self._numbers), target, frame)
        )


class Machines:
    """``near`` and ``far`` are what to put before a command that is to run there."""

    def __init__(self) -> None:
        self._holders = [_holder() for _ in range(2)]
        self.near, self.far = (_inside(holder) for holder in self._holders)
        try:
            for holder, port, address in zip(self._holders, _PORTS, (NEAR, FAR), strict=True):
                self._connect(holder, port, address)
            self.cable = Cable(*_PORTS)
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> Machines:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.cable.close()
        self._end()

    # What can happen to the client's machine

    def link(self, state: str) -> None:
        """``down``: its interface and all its routes are gone; ``up``."""
        _ip(*self.near, dev=f"link set eth0 {state}")

    def move(self, before: str, address: str) -> None:
        """Another network has given it another address."""
        _ip(*self.near, dev=f"address del {before}/24 dev eth0")
        _ip(*self.near, dev=f"address add {address}/24 dev eth0")

    def _connect(self, holder: subprocess.Popen[bytes], port: str, address: str) -> None:
        end = f"{port}e"
        _ip(dev=f"link add {port} type veth peer name {end}")
        for name in (port, end):
            _whole_frames(name)
        _ip(dev=f"link set {port} up")
        _ip(dev=f"link set {end} netns {holder.pid}")
        inside = _inside(holder)
        _ip(*inside, dev=f"link set {end} name eth0")
        _ip(*inside, dev=f"address add {address}/24 dev eth0")
        for name in ("lo", "eth0"):
            _ip(*inside, dev=f"link set {name} up")

    def _end(self) -> None:
        for port in _PORTS:  # with both of its ends; a namespace is not gone at once
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip(dev=f"link delete {port}")
        for holder in self._holders:
            holder.kill()
            holder.wait()
            assert holder.stdout is not None
            holder.stdout.close()


def _holder() -> subprocess.Popen[bytes]:
    """A process that does nothing, in a network of its own."""
    command = ["unshare", "--net", "sh", "-c", "echo ready; exec sleep infinity"]
    holder = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"ready\n"
    return holder


def _inside(holder: subprocess.Popen[bytes]) -> list[str]:
    return ["nsenter", f"--net=/proc/{holder.pid}/ns/net", "--"]


def _ip(*before: str, dev: str) -> None:
    subprocess.run([*before, "ip", *dev.split()], check=True, stdin=subprocess.DEVNULL)


def _whole_frames(name: str) -> None:
    """No checksum and no segment of what this interface sends is left to a card."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for switch in _SWITCHES:
            value = (ctypes.c_uint32 * 2)(switch, 0)
            request = struct.pack("16sP16x", name.encode(), ctypes.addressof(value))
            with contextlib.suppress(OSError):  # not every kind of interface has all of them
                fcntl.ioctl(sock.fileno(), _SIOCETHTOOL, request)
