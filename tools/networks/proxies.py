"""Debian's proxies, each started on a port of this machine with a folder of its own.

Each has a table of hosts of its own (in a mount namespace), in which there is a name that nothing
else here knows: what comes by that name has been looked up by the proxy.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.machine import mounting
from tests.processes import free_port

NAME = "chat.example.invalid"
USER, PASSWORD = "al", "h0rse-battery"  # tinyproxy takes no other signs
URL_PASSWORD = "h0rse%2Dbattery"  # noqa: S105  # of proxies that live for seconds
DEADLINE = 30.0  # seconds until one listens

# Bound over the system's files, where only this proxy sees them.
_BOUND = ("hosts", "passwd", "shadow")


@dataclass(frozen=True)
class Kind:
    """A proxy: ``command`` starts it in a folder on a port, with a login if it is to want one.

    ``schemes`` are how it is spoken to; ``logins``: it can want one.
    """

    name: str
    package: str
    schemes: tuple[str, ...]
    command: Callable[[Path, int, bool], list[str]]
    logins: bool = True

    def version(self) -> str:
        """Debian's, without what only Debian counts."""
        told = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", self.package],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        return told.partition(":")[2].partition("-")[0] or told.partition("-")[0].partition("+")[0]


class Running:
    """One that runs; ``restart`` is what a reboot of its machine is to its users."""

    def __init__(self, kind: Kind, folder: Path, login: bool = False) -> None:
        self.kind, self._folder, self._login = kind, folder, login
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        folder.chmod(0o777)  # some become another user
        (folder / "hosts").write_text(f"127.0.0.1 localhost\n127.0.0.1 {NAME}\n")
        for name in ("passwd", "shadow"):
            (folder / name).write_text(Path("/etc", name).read_text() + _account(name))
        self.start()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        binds = [f"mount --bind {self._folder / name} /etc/{name}" for name in _BOUND]
        program = self.kind.command(self._folder, self.port, self._login)
        with open(self._folder / "said", "ab") as said:
            self._process = subprocess.Popen(
                [*mounting(), "sh", "-c", " && ".join([*binds, 'exec "$@"']), "sh", *program],
                stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=self._folder,
                start_new_session=True,
            )  # fmt: skip
        end = time.monotonic() + DEADLINE
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            if self._process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{self.kind.name} does not start:\n{self.said()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it and whatever it has started, at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, 9)
            self._process.wait()
            self._process = None

    def restart(self, away: float = 0.0) -> None:
        """Cut everything, be away for so many seconds, and listen again."""
        self.stop()
        time.sleep(away)
        self.start()

    def said(self) -> str:
        """What it has written."""
        return (self._folder / "said").read_text(errors="replace")

    def url(self, scheme: str, login: str = "") -> str:
        """As ``--proxy`` takes it."""
        return f"{scheme}://{login}127.0.0.1:{self.port}"


@contextlib.contextmanager
def running(kind: Kind, folder: Path, login: bool = False) -> Iterator[Running]:
    """One, until the end of the block."""
    folder.mkdir(parents=True)
    proxy = Running(kind, folder, login)
    try:
        yield proxy
    finally:
        proxy.stop()


def _account(file: str) -> str:
    """A user for those that ask the system's."""
    if file == "passwd":
        return f"{USER}:x:4711:4711::/nonexistent:/usr/sbin/nologin\n"
    return f"{USER}:{_hashed('-6')}:19000:0:99999:7:::\n"


def _hashed(how: str) -> str:
    command = ["openssl", "passwd", how, "-stdin"]
    done = subprocess.run(command, input=PASSWORD, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _written(folder: Path, name: str, *lines: str) -> str:
    (folder / name).write_text("".join(f"{line}\n" for line in lines))
    return str(folder / name)


# The command of each


def _squid(folder: Path, port: int, login: bool) -> list[str]:
    lines = ["acl all_ports port 1-65535", "http_access allow CONNECT all_ports"]
    if login:
        users = _written(folder, "users", f"{USER}:{_hashed('-apr1')}")
        lines = [
            f"auth_param basic program /usr/lib/squid/basic_ncsa_auth {users}",
            "acl known proxy_auth REQUIRED", "http_access allow known",
        ]  # fmt: skip
    return _squid_with(folder, port, *lines)


def _squid_with(folder: Path, port: int, *lines: str) -> list[str]:
    path = _written(
        folder, "squid.conf", f"http_port 127.0.0.1:{port}", *lines, "http_access deny all",
        "pid_filename none", "cache deny all", "access_log none",
        f"cache_log {folder}/cache.log", f"coredump_dir {folder}", "netdb_filename none",
        "shutdown_lifetime 0 seconds", "visible_hostname proxy.example", "pinger_enable off",
    )  # fmt: skip
    return ["squid", "-N", "-f", path]


def _squid_as_debian_has_it(folder: Path, port: int, _login: bool) -> list[str]:
    """Its rule for CONNECT, and the network allowed that is to use it."""
    only = "http_access deny CONNECT !SSL_ports"
    return _squid_with(folder, port, "acl SSL_ports port 443", only, "http_access allow all")


def _tinyproxy(folder: Path, port: int, login: bool) -> list[str]:
    lines = [f"BasicAuth {USER} {PASSWORD}"] if login else []
    return ["tinyproxy", "-d", "-c", _written(
        folder, "tinyproxy.conf", f"Port {port}", "Listen 127.0.0.1", "Timeout 600",
        "MaxClients 50", f'PidFile "{folder}/pid"', *lines,
    )]  # fmt: skip


def _privoxy(folder: Path, port: int, _login: bool) -> list[str]:
    return ["privoxy", "--no-daemon", "--pidfile", str(folder / "pid"), _written(
        folder, "privoxy.conf", f"listen-address 127.0.0.1:{port}", f"logdir {folder}",
        "confdir /etc/privoxy",
    )]  # fmt: skip


def _stunnel(folder: Path, port: int, login: bool) -> list[str]:
    """squid inside of TLS, whose certificate is ``cert.pem`` in the folder above."""
    inside = free_port()
    squid = " ".join(_squid(folder, inside, login))
    path = _written(
        folder, "stunnel.conf", "foreground = yes", "pid =", "syslog = no",
        f"cert = {folder.parent}/cert.pem", "[proxy]", f"accept = 127.0.0.1:{port}",
        f"connect = 127.0.0.1:{inside}",
    )  # fmt: skip
    return ["sh", "-c", f"{squid} & exec stunnel4 {path}"]


def _dante(folder: Path, port: int, login: bool) -> list[str]:
    return ["danted", "-f", _written(
        folder, "danted.conf", "logoutput: stderr", f"internal: 127.0.0.1 port = {port}",
        "external: lo", f"socksmethod: {'username' if login else 'none'}", "clientmethod: none",
        "user.privileged: root", "user.unprivileged: nobody",
        "client pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }",
        "socks pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }",
    )]  # fmt: skip


def _microsocks(_folder: Path, port: int, login: bool) -> list[str]:
    account = ["-u", USER, "-P", PASSWORD] if login else []
    return ["microsocks", "-i", "127.0.0.1", "-p", str(port), *account]


def _tor(folder: Path, port: int, _login: bool) -> list[str]:
    """With nobody to ask for a network but this machine, which has none."""
    (folder / "tor").mkdir(mode=0o700, exist_ok=True)
    nobody = "0" * 40
    return ["tor", "-f", _written(
        folder, "torrc", f"SocksPort 127.0.0.1:{port}", f"DataDirectory {folder}/tor",
        f"DirAuthority nobody orport=9 v3ident={nobody} 127.0.0.1:9 {nobody}",
        "SocksTimeout 5", "Log err stderr",
    )]  # fmt: skip


SOCKS = ("socks5h", "socks5")
KINDS = (
    Kind("squid", "squid", ("http",), _squid),
    Kind("tinyproxy", "tinyproxy", ("http",), _tinyproxy),
    Kind("privoxy", "privoxy", ("http",), _privoxy, logins=False),
    Kind("squid behind stunnel", "stunnel4", ("https",), _stunnel),
    Kind("dante", "dante-server", SOCKS, _dante),
    Kind("microsocks", "microsocks", SOCKS, _microsocks),
)
STRICT = Kind("squid, Debian's rule", "squid", ("http",), _squid_as_debian_has_it, logins=False)
TOR = Kind("tor, without a network", "tor", ("socks5h",), _tor)


def lacking() -> list[str]:
    """The programs that are not there."""
    wanted = ("squid", "tinyproxy", "privoxy", "stunnel4", "danted", "microsocks", "tor", "openssl")
    return [name for name in wanted if shutil.which(name) is None]
