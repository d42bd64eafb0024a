"""IRC, as far as it is needed to see what its terminal clients cost: a server, a room, a talker.

Programs of Debian's (ngircd; irssi, weechat-curses): what is not installed is left out.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOM = "#bench"
_START_SECONDS = 10.0
_SETTINGS = """\
[Global]
Name = bench.local
Listen = 127.0.0.1
Ports = {port}
MotdPhrase = bench
[Limits]
IdleTimeout = 300
MaxConnections = 0
MaxConnectionsIP = 0
MaxPenaltyTime = 0
[Options]
DNS = no
Ident = no
PAM = no
"""
_IRSSI = """\
servers = ( {{ address = "127.0.0.1"; port = "{port}"; chatnet = "bench"; autoconnect = "yes"; }} );
chatnets = {{ bench = {{ type = "IRC"; nick = "reader"; }}; }};
channels = ( {{ name = "{room}"; chatnet = "bench"; autojoin = "yes"; }} );
settings = {{ core = {{ real_name = "r"; user_name = "r"; nick = "reader"; }}; }};
"""


def words(program: str, port: int, folder: Path) -> list[str]:
    """How to start a client that comes into the room by itself, with its files in ``folder``."""
    if program == "irssi":
        folder.joinpath("config").write_text(_IRSSI.format(port=port, room=ROOM))
        return [program, f"--home={folder}"]
    run = [
        f"/server add bench 127.0.0.1/{port} -notls", "/set irc.server.bench.nicks reader",
        f"/set irc.server.bench.autojoin {ROOM}", "/connect bench",
    ]  # fmt: skip
    return [program, "--dir", str(folder), *(word for each in run for word in ("-r", each))]


def installed() -> list[str]:
    """The clients that there are, if there is a server for them."""
    here = [name for name in ("irssi", "weechat") if shutil.which(name)]
    return here if _server() else []


def _server() -> str | None:
    return shutil.which("ngircd") or shutil.which("ngircd", path="/usr/sbin")


@contextlib.contextmanager
def irc_server() -> Iterator[int]:
    """The port of one on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    program = _server()
    assert program is not None
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(_SETTINGS.format(port=port))
        file.flush()
        Path(file.name).chmod(0o644)  # it gives up root's rights
        process = subprocess.Popen(
            [program, "-n", "-f", file.name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield port
        finally:
            process.kill()
            process.wait()


class IrcMember:
    """Somebody in the room, who talks or is just there; what comes is thrown away."""

    def __init__(self, port: int, nick: str) -> None:
        end = time.monotonic() + _START_SECONDS
        while True:
            try:
                self._sock = socket.create_connection(("127.0.0.1", port))
                break
            except ConnectionRefusedError:  # it has only just been started
                assert time.monotonic() < end, "no IRC server"
                time.sleep(0.05)
        self._sock.sendall(f"NICK {nick}\r\nUSER {nick} 0 * :{nick}\r\nJOIN {ROOM}\r\n".encode())
        self._until(b" 366 ")  # the end of the list of who is there

    def _until(self, wanted: bytes) -> None:
        come = b""
        while wanted not in come:
            data = self._sock.recv(65536)
            assert data, come[-300:]
            come = come[-1000:] + data

    def say(self, text: str) -> None:
        """Say this to the room."""
        self._sock.sendall(f"PRIVMSG {ROOM} :{text}\r\n".encode())

    def listen(self) -> None:
        """Throw away what has come."""
        self._sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while self._sock.recv(65536):
                pass
        self._sock.setblocking(True)

    def close(self) -> None:
        """Leave."""
        self._sock.close()
