"""The real client through each proxy: what works, and what is said where it does not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.processes import PASSWORD as CHAT_PASSWORD
from tests.processes import PROGRAM, Client, Program, Server, run_client
from tests.transport_kit import Certificate, make_certificate
from tools.networks.proxies import (
    KINDS,
    NAME,
    STRICT,
    TOR,
    URL_PASSWORD,
    USER,
    Kind,
    Running,
    running,
)
from tools.terminals.table import printed

_LONG = "x" * 9_000 + "."
_RIGHT, _WRONG = f"{USER}:{URL_PASSWORD}@", f"{USER}:guess@"


class _Tried:
    """A server in clear and one over TLS, and what is seen of them through proxies."""

    def __init__(self, folder: Path, certificate: Certificate) -> None:
        self._folder, self._certificate = folder, certificate
        self._files = {
            "SSL_CERT_PATH": certificate.cert_path, "SSL_KEY_PATH": certificate.key_path,
        }  # fmt: skip
        self._rooms = 0

    def __enter__(self) -> _Tried:
        self.clear, self.secure = Server(), Server(self._files)
        return self

    def __exit__(self, *_error: object) -> None:
        self.clear.kill()
        self.secure.kill()

    def _trusted(self, tls: bool) -> list[str]:
        return ["--ssl-ca", self._certificate.cert_path] if tls else []

    def _host(self, scheme: str) -> str:
        return "localhost" if scheme == "socks5" else NAME  # looked up here

    def chat(self, url: str, tls: bool, proxy: Running | None = None) -> str:
        """Lines both ways; with ``proxy`` that is restarted and a line typed meanwhile."""
        server = self.secure if tls else self.clear
        self._rooms += 1
        room = ["--room", f"room-{self._rooms}"]
        one, other = f"ann-{self._rooms}", f"ben-{self._rooms}"  # some end without a goodbye
        settings = {"SSL_CERT_FILE": self._certificate.cert_path, "CLIENT_PROXY": url}
        address = (self._host(url.partition(":")[0]), server.port)
        with (
            Client(address, one, *room, *self._trusted(tls), settings=settings) as ann,
            Client(server, other, *room, *self._trusted(tls)) as ben,
        ):
            assert ann.all("connected")[0]["proxy"] == "127.0.0.1"
            ann.meets(other)
            ben.meets(one)
            for text in ("one", _LONG):
                ann.say(text)
                ben.next("message", from_=one, text=text)
                ben.say(text)
                ann.next("message", from_=other, text=text)
            if proxy is None:
                return "yes" if ann.finish() == 0 else "ends badly"
            proxy.stop()
            ann.next("reconnecting")
            ann.say("typed meanwhile")
            proxy.start()
            began = time.monotonic()
            ben.next("message", text="typed meanwhile")
            how = "resumed" if ann.next("reconnected")["resumed"] else "joined anew"
            return f"{how}, {time.monotonic() - began:.1f} s"

    def token(self, url: str) -> str:
        """Whether one comes through, over TLS."""
        host = self._host(url.partition(":")[0])
        env = {
            "ADMIN_PASSWORD": CHAT_PASSWORD, "CLIENT_PROXY": url,
            "SSL_CERT_FILE": self._certificate.cert_path,
        }  # fmt: skip
        words = ["token", "tim", "--server", host, "--port", str(self.secure.port)]
        with Program([*words, *self._trusted(True)], env) as program:
            program.end_input()
            return "yes" if program.end() == 0 and program.out else program.errors.strip()

    def refusal(self, url: str) -> str:
        """The exit status, and what is told; nothing of the password is."""
        settings = {"CLIENT_PROXY": url, "SSL_CERT_FILE": self._certificate.cert_path}
        client = run_client((self._host(url.partition(":")[0]), self.clear.port), settings=settings)
        assert "h0rse" not in client.told() and "guess" not in client.told()
        sentence = client.errors.strip().partition(";")[0]
        for number in (self.clear.port, url.rpartition(":")[2]):
            sentence = sentence.replace(f":{number}", "")
        sentence = sentence.removeprefix("The proxy 127.0.0.1 ")
        return f"{client.process.returncode}: {sentence}"


def run(folder: Path, names: Sequence[str] = ()) -> int:
    """Print the tables, of these proxies alone if any is named."""
    certificate = make_certificate(folder, "proxies", hosts=("localhost", "127.0.0.1", NAME))
    whole = Path(certificate.cert_path).read_bytes() + Path(certificate.key_path).read_bytes()
    (folder / "cert.pem").write_bytes(whole)  # stunnel takes both from one file
    os.chmod(folder / "cert.pem", 0o644)
    with _Tried(folder, certificate) as tried:
        heads, columns = [], []
        for kind in (kind for kind in KINDS if not names or kind.name in names):
            for scheme in kind.schemes:
                heads.append(f"{kind.name} {kind.version()}, `{scheme}`")
                columns.append(_column(tried, kind, scheme, folder / f"{scheme}-{len(heads)}"))
        print(printed("Through", heads, columns))
        with running(STRICT, folder / "strict") as proxy:
            print(f"{STRICT.name}: {tried.refusal(proxy.url('http'))}")
        with running(TOR, folder / "tor") as proxy:
            for named, login in (("no user", ""), ("a user", f"{USER}@"), ("both", _RIGHT)):
                print(f"{TOR.name}, {named}: {tried.refusal(proxy.url('socks5h', login))}")
    print(_environment())
    return 0


def _column(tried: _Tried, kind: Kind, scheme: str, folder: Path) -> dict[str, str]:
    rows = {}
    with running(kind, folder) as proxy:
        url = proxy.url(scheme)
        rows["chat in clear"] = tried.chat(url, False)
        rows["chat over TLS"] = tried.chat(url, True)
        rows["`token` over TLS"] = tried.token(url)
        rows["proxy started anew"] = tried.chat(url, True, proxy)
    rows["proxy that has gone"] = tried.refusal(url)
    rows["right password"] = rows["wrong one"] = rows["none"] = "–"
    if kind.logins:
        with running(kind, folder.with_name(folder.name + "-login"), login=True) as proxy:
            rows["right password"] = tried.chat(proxy.url(scheme, _RIGHT), True)
            rows["wrong one"] = tried.refusal(proxy.url(scheme, _WRONG))
            rows["none"] = tried.refusal(proxy.url(scheme))
    return rows


# The environment: whether curl takes the same variable

_CASES = (
    ({"http_proxy": "A", "HTTP_PROXY": "B", "all_proxy": "C"}, False),
    ({"HTTP_PROXY": "B"}, False),
    ({"HTTP_PROXY": "B", "ALL_PROXY": "D"}, False),
    ({"https_proxy": "A", "HTTPS_PROXY": "B"}, True),
    ({"HTTPS_PROXY": "B", "all_proxy": "C"}, True),
    ({"https_proxy": "", "HTTPS_PROXY": "B"}, True),
    ({"https_proxy": "", "all_proxy": "C"}, True),
    ({"http_proxy": "A", "ALL_PROXY": "D"}, True),
    ({"all_proxy": "C", "ALL_PROXY": "D"}, True),
    ({"all_proxy": "C", "no_proxy": "example.invalid"}, True),
    ({"all_proxy": "C", "no_proxy": ".invalid"}, False),
    ({"all_proxy": "C", "no_proxy": "*"}, False),
    ({"all_proxy": "C", "NO_PROXY": "example.invalid"}, False),
    ({"all_proxy": "C", "no_proxy": "other", "NO_PROXY": "example.invalid"}, False),
)


def _environment() -> str:
    """How often the client and curl take the same variable, and where not."""
    differ = []
    for variables, tls in _CASES:
        ours, curls = _asked(_our_command(tls), variables), _asked(_curl_command(tls), variables)
        if ours != curls:
            differ.append(f"{variables}, TLS {tls}: {ours or 'direct'}, curl {curls or 'direct'}")
    same = len(_CASES) - len(differ)
    return "\n".join([f"As curl in {same} of {len(_CASES)} environments.", *differ])


def _our_command(tls: bool) -> list[str]:
    words = ["connect", NAME, "1000", "ann", "--renderer", "json", *(["--ssl"] if tls else [])]
    return [sys.executable, str(PROGRAM), *words]


def _curl_command(tls: bool) -> list[str]:
    return ["curl", "-sS", "--max-time", "20", f"http{'s' * tls}://{NAME}:1000/"]


def _asked(command: list[str], variables: dict[str, str]) -> str:
    """Which variable's proxy a program asks; empty where it asks none."""
    from tests.proxies import Proxy

    refusing = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    with Proxy(answer=refusing) as a, Proxy(answer=refusing) as b, \
            Proxy(answer=refusing) as c, Proxy(answer=refusing) as d:  # fmt: skip
        ports = {"A": a, "B": b, "C": c, "D": d}
        environ = {
            name: f"127.0.0.1:{ports[value].port}" if value in ports else value
            for name, value in variables.items()
        }
        kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
            env={**kept, "CLIENT_PASSWORD": CHAT_PASSWORD, **environ},
        )  # fmt: skip
        return "".join(name for name, proxy in ports.items() if proxy.visits)
