"""The whole program through proxies: each kind, with and without TLS, and never past one."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from settings.proxies import parse_proxy
from tests.command import Done, run_command
from tests.processes import (
    PASSWORD,
    Client,
    Server,
    free_port,
    run_client,
    terminal_client,
)
from tests.proxies import Proxy
from tests.transport_kit import Certificate, make_certificate
from transport import Unreachable, dialling, tls
from transport.client_websocket import connect

NAME = "chat.example.invalid"  # nobody but the tests' proxies knows it
LOGIN = ("al", "h0rse: @/ä")
KINDS = ["http", "https", "socks5", "socks5h"]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """For this machine and the name, signed by itself."""
    folder = tmp_path_factory.mktemp("certificate")
    return make_certificate(folder, hosts=("localhost", "127.0.0.1", NAME))


@pytest.fixture(scope="module")
def clear() -> Iterator[Server]:
    with Server() as running:
        yield running
        assert running.errors == ""


@pytest.fixture(scope="module")
def secure(certificate: Certificate) -> Iterator[Server]:
    files = {"SSL_CERT_PATH": certificate.cert_path, "SSL_KEY_PATH": certificate.key_path}
    with Server(files) as running:
        yield running
        assert running.errors == ""


@pytest.fixture
def trusting(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process trusts the tests' proxies, as others do by the variable below."""
    context = tls.client_context(certificate.cert_path)
    monkeypatch.setattr(dialling, "_proxy_context", lambda: context)


def proxy_for(certificate: Certificate, kind: str, server: Server, **options: Any) -> Proxy:
    """One that knows where the name leads."""
    context = tls.server_context(certificate.cert_path, certificate.key_path)
    here = ("127.0.0.1", server.port)
    return Proxy(kind, leads={NAME: here}, tls=context, **options)


# Each kind


@pytest.mark.parametrize("over_tls", [False, True], ids=["clear", "tls"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_chat_goes_through(
    certificate: Certificate, clear: Server, secure: Server, kind: str, over_tls: bool
) -> None:
    """Also a long message, and again after it was cut; no name is known here, but for socks5."""
    server = secure if over_tls else clear
    host = "localhost" if kind == "socks5" else NAME
    trust = ["--ssl-ca", certificate.cert_path] if over_tls else []
    room = f"through-{kind}"
    with (
        proxy_for(certificate, kind, server, login=LOGIN) as proxy,
        Client(
            (host, server.port), "ann", "--room", room, *trust, "--proxy", proxy.url(*LOGIN),
            settings={"SSL_CERT_FILE": certificate.cert_path},
        ) as ann,
        Client(server, "ben", "--room", room, *trust) as ben,
    ):  # fmt: skip
        assert ann.all("connected")[0]["proxy"] == "127.0.0.1"
        assert ben.all("connected")[0]["proxy"] is None
        ann.meets("ben")
        for text in ("one", "x" * 10_000):
            ann.say(text)
            ben.next("message", text=text)
            ben.say(text)
            ann.next("message", from_="ben", text=text)
        proxy.cut()
        ann.next("reconnecting")
        ann.say("/reconnect", "two")
        ben.next("message", text="two")
        assert ann.finish() == ben.finish() == 0
        assert len(proxy.asked) >= 2 and set(proxy.logins) == {LOGIN}
        goals = {("127.0.0.1", server.port), ("::1", server.port)}
        assert set(proxy.asked) <= (goals if kind == "socks5" else {(NAME, server.port)})
        # Only that others can see the command line is told, and not what is in it.
        assert "--proxy-file" in ann.errors and "h0rse" not in ann.told()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("trusting")
def test_tokens_come_through(certificate: Certificate, secure: Server, kind: str) -> None:
    host = "localhost" if kind == "socks5" else NAME
    with proxy_for(certificate, kind, secure) as proxy:
        words = ["--server", host, "--port", str(secure.port), "--ssl-ca", certificate.cert_path]
        env = {"CLIENT_PROXY": proxy.url()}
        done = run_command("token", f"ti-{kind}", *words, env=env)
        assert (done.status, done.errors) == (0, "")
        assert f"ti-{kind}" in run_command("token", "--list", *words, env=env).out
        assert run_command("token", "--revoke", done.out.strip(), *words, env=env).status == 0
        assert len(proxy.asked) >= 3 and proxy.asked[0][1] == secure.port


def test_what_a_person_sees_of_it(certificate: Certificate, clear: Server) -> None:
    with proxy_for(certificate, "http", clear) as proxy:
        env = {"CLIENT_PROXY": proxy.url("al", "h0rse")}
        with terminal_client(clear, "tess", "--room", "seen", env=env, columns=100) as screen:
            screen.sees("seen · 1 member · end-to-end · through 127.0.0.1 .* tess")
            screen.sees(r"It goes through the proxy 127\.0\.0\.1\.")
            screen.type("q\r")
            assert screen.end() == 0
            assert b"h0rse" not in screen.output
        assert proxy.asked == [("127.0.0.1", clear.port)]  # for this machine, too: it was named


# Where it is named


def test_the_environments_proxy(certificate: Certificate, secure: Server, tmp_path: Path) -> None:
    """For TLS another one than in clear; and none that only a file names."""
    (tmp_path / ".env").write_text("https_proxy=http://127.0.0.1:1\nCLIENT_USE_SSL=true\n")
    with (
        proxy_for(certificate, "http", secure) as right,
        proxy_for(certificate, "http", secure) as wrong,
    ):
        env = {
            "https_proxy": f"127.0.0.1:{right.port}", "http_proxy": wrong.url(),
            "HTTPS_PROXY": wrong.url(), "CLIENT_SSL_CA": certificate.cert_path,
        }  # fmt: skip
        client = run_client((NAME, 4711), settings=env, text="through\n")
        assert client.texts() == ["through"], client.told()
        assert right.asked == [(NAME, 4711)] and wrong.asked == []
        env["no_proxy"] = ".invalid"
        client = run_client((NAME, 4711), settings=env)
        assert client.process.returncode == 3 and "name" in client.errors
        env["no_proxy"] = ""
        client = run_client(secure, settings=env)
        assert client.process.returncode == 0
        assert client.all("connected")[0]["proxy"] is None
        assert len(right.asked) == 1 and wrong.asked == []
    with Client(
        (NAME, 4711), "al", cwd=tmp_path, settings={"CLIENT_SSL_CA": certificate.cert_path},
        joined=False,
    ) as client:  # fmt: skip
        client.end_input()
        assert client.end() == 3 and "name" in client.errors.splitlines()[-1]


def test_a_proxy_that_a_file_names(clear: Server, certificate: Certificate, tmp_path: Path) -> None:
    with proxy_for(certificate, "socks5h", clear, login=LOGIN) as proxy:
        file = tmp_path / "proxy"
        file.write_text(proxy.url(*LOGIN) + "\n")
        client = run_client((NAME, 1), "--proxy-file", str(file), text="hello\n")
        assert client.texts() == ["hello"] and client.errors == ""


# Never past it


@contextlib.contextmanager
def watched() -> Iterator[tuple[int, Callable[[], bool]]]:
    """A port, and whether anybody has ever come there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)

        def visited() -> bool:
            with contextlib.suppress(BlockingIOError):
                listener.accept()[0].close()
                return True
            return False

        yield listener.getsockname()[1], visited


REFUSALS = [
    (b"HTTP/1.1 403 Forbidden\r\n\r\n", 3, "does not let this through to {server} (HTTP 403)"),
    (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", 3, "could not reach {server} (HTTP 502)"),
    (b"", 3, "closed the connection to {server}"),
    (b"SSH-2.0-x\r\n", 3, "not a proxy of the kind"),
    (b"HTTP/1.1 407 x\r\n\r\n", 4, "wants a user name and a password"),
    (b"HTTP/1.1 407 x\r\nProxy-Authenticate: NTLM\r\n\r\n", 4, "a plain password"),
]


@pytest.mark.parametrize(("answer", "status", "sentence"), REFUSALS)
def test_a_proxy_that_opens_nothing_is_not_gone_around(
    answer: bytes, status: int, sentence: str
) -> None:
    with watched() as (port, visited), Proxy("http", answer=answer) as proxy:
        client = run_client(("127.0.0.1", port), settings={"CLIENT_PROXY": proxy.url()})
        words = ["--server", "127.0.0.1", "--port", str(port), "--ssl"]
        token = run_command("token", "al", *words, env={"CLIENT_PROXY": proxy.url()})
        assert not visited()
    assert client.process.returncode == status and client.never_in, client.told()
    assert (token.status, token.out, token.errors) == (status, "", client.errors)
    assert len(client.errors.splitlines()) == 1 and f"127.0.0.1:{proxy.port}" in client.errors
    assert sentence.format(server=f"127.0.0.1:{port}") in client.errors


def failing(url: str, port: int, *options: str) -> Done:
    """The token command, which cannot get through."""
    words = ["--server", "127.0.0.1", "--port", str(port), "--ssl", *options]
    done = run_command("token", "al", *words, env={"CLIENT_PROXY": url})
    assert done.out == "" and len(done.errors.splitlines()) == 1 and "h0rse" not in done.errors
    return done


@pytest.mark.usefixtures("trusting")
def test_each_failure_has_its_own_sentence(tmp_path: Path) -> None:
    other = make_certificate(tmp_path)  # for this machine, and trusted by nobody
    context = tls.server_context(other.cert_path, other.key_path)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")  # which an EC certificate does not serve
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.load_cert_chain(other.cert_path, other.key_path)

    def fails(url: str, status: int, sentence: str) -> None:
        done = failing(url, port)
        assert done.status == status and sentence in done.errors, done

    with watched() as (port, visited):
        fails(f"http://al:h0rse@127.0.0.1:{free_port()}", 3, "cannot be reached")
        fails("socks5h://al:h0rse@no.such.proxy.invalid:1", 3, "name of the proxy")
        with Proxy("socks5h", login=LOGIN) as proxy:
            fails(proxy.url("al", "h0rse"), 4, "did not accept")
            fails(proxy.url(), 4, "wants a user name")
            fails(proxy.url().replace("socks5h", "http"), 3, "check its scheme")
        with Proxy("socks5h") as proxy:
            fails(proxy.url("al", "h0rse"), 4, "takes no user name and password as")
        with Proxy("socks5h", answer=bytes((5, 2, 0, 1)) + bytes(6)) as proxy:
            fails(proxy.url(), 3, "(SOCKS 2)")
        with Proxy("http", login=LOGIN) as proxy:
            fails(proxy.url("al", "h0rse"), 4, "did not accept")
            fails(proxy.url().replace("http", "socks5h"), 3, "not a proxy of the kind")
            fails(proxy.url().replace("http", "https"), 3, "does not speak TLS")
        with Proxy("https", tls=context) as proxy:
            fails(proxy.url(), 3, "certificate of the proxy")
        with Proxy("https", tls=old) as proxy:
            fails(proxy.url(), 3, "TLS 1.2 or newer")
        with Proxy("http", answer=b"HTTP/1.1 200 OK\r\n\r\n") as proxy:
            fails(proxy.url(), 3, "closed the connection")
        assert not visited()


def test_a_proxy_that_says_nothing() -> None:
    """Told as its silence, while that of a server behind one is the server's."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for kind in ("http", "https", "socks5h"):
            assert why(f"{kind}://127.0.0.1:{port}", 1, timeout=0.3) == "proxy_timeout"
        with Proxy("http") as proxy:
            # A busy machine takes its time to get through.
            told = (why(proxy.url(), port, timeout=seconds) for seconds in (0.5, 3.0, 20.0))
            assert "timeout" in told


def why(url: str, port: int, host: str = "127.0.0.1", **options: Any) -> str:
    """Why no connection comes about."""
    proxy = parse_proxy(url)
    with pytest.raises(Unreachable) as failure:
        connect(host, port, max_message_size=1000, proxy=proxy, **options)
    return failure.value.reason


def test_a_name_of_tors_is_looked_up_by_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    genuine = socket.getaddrinfo

    def looked_up(host: str, *more: Any, **options: Any) -> Any:
        asked.append(host)
        return genuine(host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    onion = "x" * 56 + ".onion"
    with pytest.raises(Unreachable) as failure:
        connect(onion, 1, max_message_size=1000)
    assert failure.value.reason == "onion"
    assert why("socks5://127.0.0.1:1", 1, onion) == "onion"
    with Proxy("socks5h") as proxy:
        assert why(proxy.url(), 1, onion.upper() + ".") == "proxy_failed"
        assert proxy.asked == [(onion.upper() + ".", 1)]
        assert why(proxy.url(), 1, NAME) == "proxy_failed"
    assert set(asked) == {"127.0.0.1"}
    client = run_client((onion, 1))
    assert client.process.returncode == 3 and "socks5h://127.0.0.1:9050" in client.errors


def test_the_look_at_a_certificate_goes_through_as_well(
    certificate: Certificate, secure: Server
) -> None:
    """It is told for comparing; only the proxy knows the name."""
    with proxy_for(certificate, "http", secure) as proxy:
        client = run_client((NAME, 1), "--ssl", settings={"CLIENT_PROXY": proxy.url()})
        assert client.process.returncode == 3
        assert tls.fingerprint_of(certificate.cert_path) in client.errors
        assert proxy.asked == [(NAME, 1)] * 2


def test_each_address_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, clear: Server, certificate: Certificate
) -> None:
    """Names are looked up here with socks5 alone, and then the first that answers counts."""
    genuine = socket.getaddrinfo

    def looked_up(host: str, port: int, *more: Any, **options: Any) -> Any:
        if host == NAME:
            both = ("127.0.0.2", "127.0.0.1")
            return [entry for each in both for entry in genuine(each, port, *more, **options)]
        return genuine(host, port, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    with proxy_for(certificate, "socks5", clear) as proxy:
        way = parse_proxy(proxy.url())
        peer = connect(NAME, clear.port, max_message_size=10_000, greeted=True, proxy=way)
        peer.finish(0.0)
        assert proxy.asked[0] == ("127.0.0.2", clear.port)
        assert set(proxy.asked) == {("127.0.0.2", clear.port), ("127.0.0.1", clear.port)}


# In clear the admin's password goes nowhere


@pytest.mark.parametrize("line", ["al", "--list", "--revoke x"])
def test_a_form_in_clear_stays_on_this_machine(line: str) -> None:
    words = line.split()
    with watched() as (port, visited), Proxy("http") as proxy:
        address = ["--server", "127.0.0.1", "--port", str(port)]
        for options in ([*address, "--proxy", proxy.url()], ["--server", NAME],
                        ["--server", "192.0.2.1"]):  # fmt: skip
            done = run_command("token", *words, *options)
            assert (done.status, done.out) == (2, "") and "--ssl" in done.errors, done
            assert PASSWORD not in done.errors
        assert not visited() and proxy.logins == []


# A server's own page, or a refusal, in place of an upgrade


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "426 Upgrade Required"])
def test_something_in_between_passes_no_websockets_on(status: str) -> None:
    answer = f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nhi".encode()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with Client(listener.getsockname()[:2], "al", joined=False) as client:
            with listener.accept()[0] as peer:
                peer.recv(65536)
                peer.sendall(answer)
                assert client.end() == 3
    assert "something in between passes no WebSockets on" in client.errors
