"""What stands in front of a server, with the lines of docs/TLS.md: does a chat work through it?

Each is tried with real clients, and with somebody who comes from another address and claims a third
one; then it is started anew under the chat, and with little patience and few heartbeats.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from server.app import ChatServer
from settings import ServerSettings
from tools import certificate, smoke
from tools.fronts.daemon import DEADLINE, Daemon, free_port

_DOCS = Path(__file__).resolve().parents[2] / "docs/TLS.md"
_NAME = "chat.example.org"
_ELSEWHERE, _CLAIMED = "127.0.0.66", "203.0.113.5"
_LONG_LINE = "x" * 10_000
_IMPATIENT = 3.0  # seconds
_PASSWORD = "in front of it"  # noqa: S105  # of a server that lives for seconds


@dataclass(frozen=True)
class Front:
    """One way to stand in front.

    ``block``: which fenced block of the page, by its word and number.  ``wrap`` makes a whole file
    of it, ``command`` starts it.  ``patience``: what in it says how long it waits, as a pattern
    with the time in a group; "" where nothing can.
    """

    program: str
    block: tuple[str, int]
    command: tuple[str, ...]
    wrap: Callable[[str], str] = str
    patience: str = ""
    seconds: str = "{}s"
    header: bool = False  # PROXY_PROTOCOL
    tls_here: bool = False  # the server does TLS
    path: str = ""
    version: tuple[str, ...] = ()


def _nginx(block: str) -> str:
    user = "user root;" if os.geteuid() == 0 else ""  # the test's folder is nobody else's
    # Without its own names for temporary files it would want to write where Debian's do.
    temporary = "".join(
        f"{kind}_temp_path {{folder}};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"{user} daemon off; pid {{folder}}/pid; error_log stderr; events {{ }}\n"
        f"http {{ access_log off; {temporary}\n{block}\n}}\n"
    )


def _website(location: str) -> str:
    return _nginx(
        f"server {{ listen 443 ssl; server_name {_NAME};\n"
        f"ssl_certificate /etc/letsencrypt/live/{_NAME}/fullchain.pem;\n"
        f"ssl_certificate_key /etc/letsencrypt/live/{_NAME}/privkey.pem;\n"
        f"location / {{ return 200 website; }}\n{location}\n}}"
    )


def _caddy(block: str) -> str:
    options = "admin off\nauto_https disable_redirects\nhttps_port 443\n"
    return f"{{\n{options}}}\n{block}"


def _apache(block: str) -> str:
    names = ("mpm_event", "authz_core", "ssl", "socache_shmcb", "proxy", "proxy_http")
    modules = "".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n" for name in names
    )
    user = "User www-data\nGroup www-data\n" if os.geteuid() == 0 else ""
    return (
        f"{modules}{user}ServerRoot {{folder}}\nDefaultRuntimeDir {{folder}}\nPidFile pid\n"
        f"ErrorLog /dev/stderr\nListen 443\nServerName {_NAME}\n{block}"
    )


def _stunnel(block: str) -> str:
    return f"foreground = yes\npid =\nsyslog = no\n{block}"


_HAPROXY = ("haproxy", "-db", "-f", "{folder}/config")
_FRONTS = {
    "nginx": Front(
        "nginx", ("nginx", 0), ("nginx", "-p", "{folder}", "-c", "{folder}/config"), _nginx,
        patience=r"proxy_read_timeout (\S+);", version=("nginx", "-v"),
    ),
    "nginx-path": Front(
        "nginx", ("nginx-path", 0), ("nginx", "-p", "{folder}", "-c", "{folder}/config"), _website,
        patience=r"proxy_read_timeout (\S+);", path="/chat", version=("nginx", "-v"),
    ),
    "haproxy": Front(
        "haproxy", ("haproxy", 0), _HAPROXY, patience=r"timeout (?:tunnel|client|server) (\S+)",
        version=("haproxy", "-v"),
    ),
    "haproxy-proxy": Front(
        "haproxy", ("haproxy", 1), _HAPROXY, patience=r"timeout (?:client|server) (\S+)",
        header=True, tls_here=True, version=("haproxy", "-v"),
    ),
    "caddy": Front(
        "caddy", ("caddy", 0),
        ("caddy", "run", "--adapter", "caddyfile", "--config", "{folder}/config"), _caddy,
        version=("caddy", "version"),
    ),
    "apache": Front(
        "apache2", ("apache", 0), ("apache2", "-DFOREGROUND", "-f", "{folder}/config"), _apache,
        patience=r"ProxyTimeout (\S+)", seconds="{}", version=("apache2", "-v"),
    ),
    "stunnel": Front(
        "stunnel4", ("stunnel", 0), ("stunnel4", "{folder}/config"), _stunnel,
        patience=r"(?:TIMEOUTidle = (\S+))", seconds="{}", header=True,
        version=("stunnel4", "-version"),
    ),
}  # fmt: skip
_PASS_ALL_ON = ("haproxy", "haproxy-proxy", "caddy", "apache", "stunnel")
# The same words where they stand in a sentence of the page.
_SENTENCES = {
    "haproxy-path": ("haproxy", r"haproxy: `(use_backend chat if [^`]+)`"),
    "caddy-path": ("caddy", r"caddy: `(reverse_proxy /chat [^`]+)`"),
    "apache-path": ("apache", r"`(ProxyPass /chat [^`]+)`"),
}
NAMES = [*_FRONTS, *_SENTENCES, "tor"]


def _blocks(word: str) -> list[str]:
    text = _DOCS.read_text("utf-8")
    return re.findall(rf"^```{re.escape(word)}\n(.*?)^```$", text, re.M | re.S)


def _lines(name: str) -> tuple[Front, str]:
    """How it is started, and its lines of the page."""
    if name in _FRONTS:
        front = _FRONTS[name]
        return front, _blocks(front.block[0])[front.block[1]]
    base, pattern = _SENTENCES[name]
    front, block = _lines(base)
    found = re.search(pattern, _DOCS.read_text("utf-8").replace("\n", " "))
    assert found is not None, f"docs/TLS.md has no line for {name}"
    old = {"haproxy-path": "default_backend chat", "caddy-path": "reverse_proxy 127.0.0.1:1000",
           "apache-path": "ProxyPass / http://127.0.0.1:1000/ upgrade=websocket"}[name]
    assert old in block, f"{old} is not in the lines for {base}"
    return replace(front, path="/chat"), block.replace(old, found[1])


class Trial:
    """A server, what is in front of it, and clients.  A context manager.

    ``interval`` is that of heartbeats; ``port`` has something else than the server behind it.
    """

    def __init__(
        self, name: str, interval: float = 30.0, patience: float | None = None, port: int = 0
    ) -> None:
        self.front, lines = _lines(name)
        self.port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="fronts-")
        self._pem = certificate.write(Path(self._folder.name), _NAME)
        self._children: list[smoke.Child] = []
        here = self._pem if self.front.tls_here else None
        self.server = ChatServer(
            ServerSettings(
                "127.0.0.1", 0, _PASSWORD, 1000, 60.0, interval, 10 * interval + 10.0, 10 * 1024,
                1024 * 1024, here, here, False, "en", self.front.path,
                (ipaddress.ip_network("127.0.0.1"),), self.front.header, "on",
            )
        )  # fmt: skip
        self._back_end = port or self.server.port
        files = {"config": self._config(lines, patience)}
        self.daemon = Daemon(self.front.command, files, self.port)

    def _config(self, lines: str, patience: float | None) -> str:
        """Its whole file, with the page's patience unless another is wanted."""
        if patience is not None:
            lines = _patient(self.front, lines, patience)
        text = self.front.wrap(lines)
        text = re.sub(r"\b443\b", str(self.port), text)
        text = text.replace("127.0.0.1:1000", f"127.0.0.1:{self._back_end}")
        text = text.replace(f"/etc/haproxy/{_NAME}.pem", self._pem)
        return re.sub(rf"/etc/letsencrypt/live/{_NAME}/\w+\.pem", self._pem, text)

    def __enter__(self) -> Trial:
        os.chmod(self._folder.name, 0o755)  # noqa: S103  # Apache reads it as www-data
        self.server.start()
        try:
            self.daemon.__enter__()
        except BaseException:
            self.server.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for child in self._children:
            child.process.kill()
            child.process.wait()
        self.daemon.__exit__(*error)
        self.server.stop()
        self._folder.cleanup()

    def client(self, nick: str, *options: str) -> smoke.Child:
        """One that has joined, through what is in front."""
        words = ["connect", "127.0.0.1", str(self.port), nick, "--renderer", "json",
                 "--ssl-ca", self._pem, "--tls-name", _NAME, *options]  # fmt: skip
        if self.front.path:
            words += ["--path", self.front.path]
        child = smoke.Child(*words, password=_PASSWORD)
        self._children.append(child)
        child.event("connected")
        return child

    @contextmanager
    def stranger(self) -> Iterator[socket.socket]:
        """An upgrade from ``_ELSEWHERE`` that claims to be from ``_CLAIMED``; its greeting came."""
        context = ssl.create_default_context(cafile=self._pem)
        plain = socket.create_connection(
            ("127.0.0.1", self.port), DEADLINE, source_address=(_ELSEWHERE, 0)
        )
        clear = self.front.tls_here and self._back_end != self.server.port
        with plain if clear else context.wrap_socket(plain, server_hostname=_NAME) as sock:
            sock.sendall(
                f"GET {self.front.path or '/'} HTTP/1.1\r\nHost: {_NAME}\r\n"
                f"X-Forwarded-For: {_CLAIMED}\r\nX-Real-IP: {_CLAIMED}\r\n"
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
            )
            came = b""
            while b"greeting" not in came:
                part = sock.recv(4096)
                assert part, f"the upgrade was answered with {came[:200]!r}"
                came += part
            yield sock

    def form(self) -> bytes:
        """The answer to a right form."""
        body = f"admin_password={quote(_PASSWORD)}&username=eve"
        context = ssl.create_default_context(cafile=self._pem)
        plain = socket.create_connection(("127.0.0.1", self.port), DEADLINE)
        with context.wrap_socket(plain, server_hostname=_NAME) as sock:
            sock.sendall(
                f"POST {self.front.path}/generate_token HTTP/1.1\r\nHost: {_NAME}\r\n"
                "Content-Type: application/x-www-form-urlencoded\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
            )
            answer = b""
            with suppress(ssl.SSLError, ConnectionResetError):  # some hang up without a word
                while part := sock.recv(4096):
                    answer += part
            return answer

    def groups(self) -> list[str]:
        """The addresses that the server counts its connections with."""
        return sorted(each.permit.group for each in self.server._all_connections())


def _patient(front: Front, lines: str, seconds: float) -> str:
    """The lines with another patience; with 0 that of Debian's own settings."""
    if not seconds:
        lines = re.sub(rf"(?m)^.*(?:{front.patience or 'no such line'}).*\n", "", lines)
        return f"{_of_debian(front.program)}{lines}"
    if front.program == "stunnel4":
        return f"{lines}TIMEOUTidle = {seconds:g}\n"
    if front.program == "apache2":  # the longer of both counts
        lines += f"Timeout {seconds:g}\n"
    places = re.findall(front.patience, lines)
    assert places, f"no patience in the lines of {front.program}"
    wanted = front.seconds.format(f"{seconds:g}")
    return re.sub(
        front.patience, lambda found: found[0].replace(found[1], wanted), lines
    )


def _of_debian(program: str) -> str:
    """What Debian's own file says of patience."""
    if program == "haproxy":
        text = Path("/etc/haproxy/haproxy.cfg").read_text("utf-8").partition("\ndefaults\n")[2]
        return "".join(["defaults\n", *re.findall(r"^\s+timeout .*\n", text, re.M)])
    if program == "apache2":
        text = Path("/etc/apache2/apache2.conf").read_text("utf-8")
        return "".join(re.findall(r"^Timeout .*\n", text, re.M))
    return ""


def try_one(name: str) -> str:
    """What was seen.  Raises AssertionError and others where something is not as it should be."""
    if name == "tor":
        return _try_tor()
    seen = [_version(_lines(name)[0])]
    with Trial(name) as trial:
        ann, bob = trial.client("ann"), trial.client("bob")
        ann.event("joined", nick="bob")
        _talk(ann, bob, _LONG_LINE)
        with trial.stranger():
            assert trial.groups() == ["127.0.0.1", "127.0.0.1", _ELSEWHERE], trial.groups()
        seen.append("chat, 10 KB, who comes is known")
        answer = trial.form()
        if name in _PASS_ALL_ON:
            assert b'"proxied"' in answer, answer
        assert answer and b'"token"' not in answer, answer
        seen.append("no form")
        trial.daemon.stop()
        ann.event("reconnecting")
        trial.daemon.start()
        began = time.monotonic()
        for each in (ann, bob):
            each.event("reconnected")
        _talk(ann, bob, "after it")
        seen.append(f"back {time.monotonic() - began:.1f} s after it was started anew")
    if trial.front.patience:
        seen.append(_try_patience(name))
    return ", ".join(seen)


def _talk(ann: smoke.Child, bob: smoke.Child, text: str) -> None:
    ann.say(text)
    bob.event("message", from_="ann", text=text)
    bob.say("yes")
    ann.event("message", from_="bob", text="yes")


def _try_patience(name: str) -> str:
    """What the page names is what counts, and heartbeats keep a connection."""
    with Trial(name, interval=3600.0, patience=_IMPATIENT) as trial:
        cut = _cut_after(trial, DEADLINE)
        assert cut is not None and cut >= _IMPATIENT - 0.5, cut
    with Trial(name, interval=0.5, patience=_IMPATIENT) as trial:
        kept = _cut_after(trial, 3 * _IMPATIENT)
        assert kept is None, kept
    return f"with {_IMPATIENT:g} s of patience cut after {cut:.1f} s, and not with heartbeats"


def _cut_after(trial: Trial, seconds: float) -> float | None:
    """When a client that has joined and says nothing is cut; None if not within ``seconds``."""
    child = trial.client("idle", "--no-reconnect")
    began = time.monotonic()
    with suppress(subprocess.TimeoutExpired):
        child.process.wait(seconds)
        return time.monotonic() - began
    return None


def _version(front: Front) -> str:
    done = subprocess.run(front.version, capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+(?:\.\d+)?", done.stdout + done.stderr)
    return f"{front.program} {found[0] if found else '?'}"


def _try_tor() -> str:
    """No network is needed to see that it takes the page's lines."""
    with tempfile.TemporaryDirectory(prefix="fronts-") as folder:
        lines = _blocks("torrc")[0].replace("/var/lib/tor/chat/", f"{folder}/chat/")
        (Path(folder) / "torrc").write_text(f"DataDirectory {folder}/data\n{lines}")
        command = ["tor", "-f", f"{folder}/torrc", "--verify-config"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-500:]
    found = re.search(r"\d+\.\d+\.\d+\.\d+", done.stdout)
    return f"tor {found[0] if found else '?'}, takes the lines of the page"


def idle(names: list[str], seconds: float) -> None:
    """Prints how long each leaves a silent connection alone, by Debian's own settings."""
    found: dict[str, str] = {}

    def watch(name: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=_say_nothing, args=(listener,), daemon=True).start()
            port = listener.getsockname()[1]
            with Trial(name, patience=0.0, port=port) as trial, trial.stranger() as sock:
                began = time.monotonic()
                sock.settimeout(seconds)
                try:
                    sock.recv(1)
                    found[name] = f"cut after {time.monotonic() - began:.1f} s"
                except TimeoutError:
                    found[name] = f"not cut within {seconds:g} s"

    threads = [threading.Thread(target=watch, args=(name,)) for name in names if name != "tor"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in names:
        print(f"{name}: {found.get(name, 'not tried')}")


def _say_nothing(listener: socket.socket) -> None:
    """Upgrade whoever comes, and then neither speak nor hang up: no heartbeats, no time limits."""
    kept = []
    while True:
        try:
            sock, _address = listener.accept()
        except OSError:  # closed: that was all
            return
        kept.append(sock)
        came = b""
        while not came.endswith(b"\r\n\r\n") and (part := sock.recv(4096)):
            came += part
        with suppress(OSError):
            sock.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\ngreeting"
            )
