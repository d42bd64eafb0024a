"""The whole program over TLS: certificates good and bad, renewals, and what banners say of them."""

from __future__ import annotations

import contextlib
import re
import shlex
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from server.app import ChatServer
from tests.command import run_command
from tests.curl import read_as_curl
from tests.machine import needs
from tests.processes import (
    PASSWORD,
    PROGRAM,
    Client,
    Relay,
    Server,
    environment,
    run_client,
)
from tests.transport_kit import Certificate, make_certificate
from transport import tls

RUN = [sys.executable, str(PROGRAM)]
_NUMBERS = count(1)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """For localhost, signed by itself."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """What signs other certificates."""
    return make_certificate(tmp_path_factory.mktemp("authority"), "authority", authority=True)


def tls_settings(certificate: Certificate) -> dict[str, str]:
    return {"SSL_CERT_PATH": certificate.cert_path, "SSL_KEY_PATH": certificate.key_path}


@pytest.fixture(scope="module")
def server(certificate: Certificate) -> Iterator[Server]:
    with Server({**tls_settings(certificate), "FORCE_SSL": "true"}) as running:
        yield running
        assert running.errors == ""


@pytest.fixture
def room() -> str:
    """A room of the test's own: all share the server."""
    return f"room-{next(_NUMBERS)}"


def pinned(certificate: Certificate) -> tuple[str, str]:
    """The options of a client that trusts this certificate and no other."""
    return "--ssl-fingerprint", tls.fingerprint_of(certificate.cert_path)


def talk(one: Client, other: Client) -> None:
    """Each hears the other."""
    one.meets(other.nick)
    one.say(f"hello {other.nick}")
    other.next("message", from_=one.nick, text=f"hello {other.nick}")
    other.say(f"hello {one.nick}")
    one.next("message", from_=other.nick, text=f"hello {one.nick}")


# The banner, and who is trusted


def test_the_banners_command_works(certificate: Certificate) -> None:
    line = f"serve 127.0.0.1 0 --password '{PASSWORD}' --force-ssl"
    files = ["--ssl-cert", certificate.cert_path, "--ssl-key", certificate.key_path]
    with Server({"ADMIN_PASSWORD": ""}, command=[*RUN, *shlex.split(line), *files]) as server:
        told = "\n".join(server.banner)
        assert "Protocol: https:// (WebSocket: wss://)" in told
        found = re.search(r"Connect with: python cmd_chat\.py (connect .*)", told)
        assert found is not None
        options = " ".join(("--ssl", *pinned(certificate)))
        assert found[1] == f"connect 127.0.0.1 {server.port} <username> <password> {options}"
        words = found[1].replace("<username>", "alice").replace("<password>", f"'{PASSWORD}'")
        command = [*RUN, *shlex.split(words), "--renderer", "json"]
        with Client(server, "alice", command=command, settings={"CLIENT_PASSWORD": ""}) as client:
            client.say("it works")
            client.next("message", text="it works")
            assert client.finish() == 0


def test_the_name_in_the_certificate_may_be_another(
    tmp_path: Path, authority: Certificate
) -> None:
    """As where a server is reached by its address, or through something that listens elsewhere."""
    signed = make_certificate(tmp_path, issuer=authority, hosts=("chat.example.org",))
    here = ["--ssl-ca", authority.cert_path]
    named = [*here, "--tls-name", "chat.example.org"]
    with Server({**tls_settings(signed), "SERVER_PATH": "/chat"}) as server:
        refused = run_client(server, *here, "--path", "/chat")
        assert refused.process.returncode == 3 and "is for another name" in refused.errors
        with Client(server, "ann", *named, "--path", "/chat") as ann:
            ann.say("/invite")
            link = ann.next("invite")["link"]
            assert "?path=/chat#" in link
            settings = {"CLIENT_INVITE": link}
            words = ["connect", "bob", "--renderer", "json", *named]
            with Client(server, "bob", command=[*RUN, *words], settings=settings) as bob:
                talk(ann, bob)
        line = ["token", "eve", "--server", "127.0.0.1", "--port", str(server.port)]
        env = {"ADMIN_PASSWORD": PASSWORD}
        done = run_command(*line, *named, "--path", "/chat", env=env)
        assert (done.status, done.errors) == (0, "") and "." in done.out


def test_a_certificate_of_an_authority_needs_no_fingerprint(
    tmp_path: Path, authority: Certificate
) -> None:
    signed = make_certificate(tmp_path, issuer=authority)
    with Server(tls_settings(signed)) as server:
        assert any(line.endswith("<username> <password> --ssl") for line in server.banner)
        address = ("localhost", server.port)
        with Client(address, "ann", settings={"CLIENT_SSL_CA": authority.cert_path}) as ann:
            assert ann.finish() == 0


def test_chat_by_fingerprint_and_by_file(
    server: Server, certificate: Certificate, room: str
) -> None:
    digits = tls.fingerprint_of(certificate.cert_path).upper()
    colons = ":".join(digits[at : at + 2] for at in range(0, 64, 2))  # as openssl prints it
    with (
        Client(server, "ann", "--room", room, "--ssl", "--ssl-fingerprint", colons) as ann,
        Client(server, "ben", "--room", room, "--ssl-ca", certificate.cert_path) as ben,
    ):
        talk(ann, ben)
        ann.say("x" * 10_000)
        ben.next("message", text="x" * 10_000)
        assert (ann.finish(), ben.finish()) == (0, 0)
        assert ann.errors == ben.errors == ""


Serve = Callable[..., ChatServer]


def unreachable(port: int, options: tuple[str, ...], *parts: str) -> None:
    """Client and token command end with status 3 and one sentence that has these parts."""
    client = run_client(("127.0.0.1", port), *options)
    assert client.process.returncode == 3, client.told()
    assert client.never_in
    done = run_command("token", "x", "--server", "127.0.0.1", "--port", str(port), *options)
    assert (done.status, done.out) == (3, ""), done
    assert done.errors == client.errors
    for part in (f"127.0.0.1:{port} ", *parts):
        assert part in client.errors
    assert client.errors.endswith(".\n")
    assert client.errors.count("\n") == 1 and ". " not in client.errors


def test_who_is_not_the_pinned_one(server: Server, authority: Certificate) -> None:
    unreachable(
        server.port, pinned(authority), "is not the one that you named", "--ssl-fingerprint"
    )


def test_who_vouches_for_itself(server: Server, certificate: Certificate) -> None:
    """What there is to compare is told with the sentence that asks to."""
    shown = f"its SHA-256 is {pinned(certificate)[1]}: compare"
    unreachable(server.port, ("--ssl",), "self-signed", "banner", "--ssl-fingerprint", shown)


def test_who_wants_tls(server: Server) -> None:
    unreachable(server.port, (), "speaks TLS only", "--ssl")


def test_who_does_not_speak_tls(serve: Serve) -> None:
    unreachable(serve().port, ("--ssl",), "does not speak TLS", "leave out --ssl")


def test_who_is_somebody_else(serve: Serve, tmp_path: Path, authority: Certificate) -> None:
    other = make_certificate(tmp_path, hosts=("chat.example.org",), issuer=authority)
    port = serve(ssl_cert=other.cert_path, ssl_key=other.key_path).port
    unreachable(port, ("--ssl-ca", authority.cert_path), "another name", "--ssl-fingerprint")
    unreachable(port, ("--ssl",), "authority that is not known", "--ssl-ca", "--ssl-fingerprint")


def test_who_was_somebody_once(serve: Serve, tmp_path: Path, authority: Certificate) -> None:
    old = make_certificate(tmp_path, issuer=authority, days=(-9, -1))
    port = serve(ssl_cert=old.cert_path, ssl_key=old.key_path).port
    unreachable(port, ("--ssl-ca", authority.cert_path), "not valid today", "--ssl-fingerprint")


def test_a_file_of_authorities_that_is_none(server: Server, certificate: Certificate) -> None:
    for path, words in (("/nowhere.pem", "cannot be read"), (certificate.key_path, "PEM")):
        client = run_client(server, "--ssl-ca", path)
        assert client.process.returncode == 2, client.told()
        assert words in client.errors and path in client.errors and "--ssl-ca" in client.errors


# Files that a server cannot use


def unusable(options: list[str], *parts: str) -> None:
    """The server does not start: status 2, one sentence, no banner."""
    done = run_command("serve", "127.0.0.1", "0", *options)
    assert (done.status, done.out) == (2, ""), done
    assert done.errors.count("\n") == 1, done.errors
    for part in parts:
        assert part in done.errors


def test_half_a_pair(certificate: Certificate) -> None:
    unusable(["--ssl-cert", certificate.cert_path], "SSL_KEY_PATH", "--ssl-key")
    unusable(["--ssl-key", certificate.key_path], "SSL_CERT_PATH", "--ssl-cert")
    unusable(["--force-ssl"], "FORCE_SSL", "--ssl-cert", "--ssl-key")


def test_files_that_do_not_serve(tmp_path: Path, certificate: Certificate) -> None:
    locked = make_certificate(tmp_path, "locked", passphrase=b"secret")
    cert, key = certificate.cert_path, certificate.key_path
    missing = str(tmp_path / "missing.pem")
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    for pair, parts in (
        ((missing, key), (missing, "is not there")),
        ((cert, str(tmp_path)), (str(tmp_path), "cannot be read")),  # root may read all files
        ((str(junk), key), (str(junk), "PEM")),
        ((cert, str(junk)), (str(junk), "PEM")),
        ((locked.cert_path, locked.key_path), (locked.key_path, "encrypted", "openssl")),
        ((locked.cert_path, key), (key, "does not belong to the certificate")),
    ):
        unusable(["--ssl-cert", pair[0], "--ssl-key", pair[1]], *parts)


# Renewal


def renew(certificate: Certificate, folder: Path) -> Certificate:
    """A new certificate and key in the place of the old ones."""
    new = make_certificate(folder, "new")
    Path(new.cert_path).replace(certificate.cert_path)
    Path(new.key_path).replace(certificate.key_path)
    return Certificate(new.certificate, new.key, certificate.cert_path, certificate.key_path)


def test_renewed_files_are_taken_up(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    before = pinned(certificate)
    with Server(tls_settings(certificate)) as server, Client(server, "old", *before) as old:
        renew(certificate, tmp_path)
        after = pinned(certificate)
        server.signal(signal.SIGHUP)
        server.wait_for(lambda: after[1].encode() in server.out)
        with Client(server, "new", *after) as new:
            talk(new, old)  # who was there has not been dropped
            late = run_client(server, *before, nick="late")
            assert late.process.returncode == 3 and "not the one that you named" in late.errors

            # A renewal that is broken, then one that is half done, change nothing.
            intact = Path(certificate.cert_path).read_bytes()
            other = make_certificate(tmp_path, "other")
            wrong = Path(other.cert_path).read_bytes()
            for number, (damage, words) in enumerate(
                ((b"junk", "PEM"), (wrong, "does not belong")), 1
            ):
                Path(certificate.cert_path).write_bytes(damage)
                server.signal(signal.SIGHUP)
                kept = "The server goes on with the certificate that it had.\n"
                server.wait_for(lambda: server.errors.count(kept) == number)  # noqa: B023
                assert words in server.errors.splitlines()[-1]
                with Client(server, f"newer-{number}", *after) as newer:
                    talk(newer, old)
                    assert newer.finish() == 0
            Path(certificate.cert_path).write_bytes(intact)
            assert new.finish() == 0
        assert old.finish() == 0
        assert not old.all("reconnecting")


# Others who speak TLS


HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_another_client_connects(
    server: Server, certificate: Certificate, version: ssl.TLSVersion
) -> None:
    context = ssl.create_default_context(cafile=certificate.cert_path)
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection((server.host, server.port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        secure.sendall(HEALTH)
        told = b""
        while data := secure.recv(4096):  # an end that is not polite would be an exception
            told += data
        assert b'{"status": "ok"}' in told
        if version is ssl.TLSVersion.TLSv1_3:  # nothing that would let it be known again
            assert secure.session is None or not secure.session.has_ticket


# A greeting of TLS 1.0 or 1.1 as RFC 4346 has it: random bytes, no session, one suite of ciphers
# that all of that age had, no compression, and no extensions.
_OLD_HELLO = "16 03 01 00 2d  01 00 00 29  03 {minor:02x} {random}  00  00 02 00 2f  01 00"


@pytest.mark.parametrize("minor", [1, 2])
def test_a_greeting_of_an_older_version_is_refused(server: Server, minor: int) -> None:
    hello = bytes.fromhex(_OLD_HELLO.format(minor=minor, random="5a" * 32))
    with socket.create_connection((server.host, server.port), timeout=20) as sock:
        sock.sendall(hello)
        told = sock.recv(7)
    assert (told[0], told[5:]) == (21, bytes([2, 70])), "a fatal alert: protocol_version"


def openssl(server: Server, *options: str) -> subprocess.CompletedProcess[bytes]:
    """``openssl s_client`` that asks for a sign of life."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-ign_eof"]
    return subprocess.run(
        [*command, "-servername", "localhost", *options],
        input=HEALTH,
        capture_output=True,
        env=environment(),
        timeout=20,
    )


@needs("openssl", beside="test_another_client_connects")
def test_openssl_connects(server: Server, certificate: Certificate) -> None:
    trust = ("-CAfile", certificate.cert_path, "-verify_return_error", "-partial_chain")
    for version in ("-tls1_2", "-tls1_3"):
        done = openssl(server, version, *trust)
        assert b'{"status": "ok"}' in done.stdout, done.stderr
        assert b"Verify return code: 0 (ok)" in done.stdout
        # A polite end, as TLS has it, and nothing that would let it be known again.
        assert b"unexpected eof" not in done.stderr.lower()
        assert b"New Session Ticket" not in done.stdout


@needs("openssl", beside="test_a_greeting_of_an_older_version_is_refused")
def test_older_versions_are_refused(server: Server) -> None:
    for version in ("-tls1", "-tls1_1"):
        done = openssl(server, version, "-cipher", "DEFAULT:@SECLEVEL=0")
        assert b"status" not in done.stdout
        assert b"protocol version" in done.stderr, done.stderr  # the server's alert


def test_what_does_not_speak_tls_gets_an_alert_and_no_word(server: Server) -> None:
    with socket.create_connection((server.host, server.port), timeout=20) as sock:
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        told = b""
        with contextlib.suppress(ConnectionResetError):
            while data := sock.recv(4096):
                told += data
    assert told[:1] == b"\x15" and len(told) == 7  # RFC 8446 6: an alert, and nothing else


def test_the_silent_do_not_delay_others(
    server: Server, certificate: Certificate, room: str
) -> None:
    with contextlib.ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection((server.host, server.port)))
            for _number in range(20)
        ]
        silent[0].sendall(b"\x16\x03\x01")  # begins, and then says nothing more
        with Client(server, "ann", "--room", room, *pinned(certificate)) as ann:
            ann.say("here already")
            ann.next("message")
            for sock in silent:  # and they are still waited for
                sock.setblocking(False)
                with pytest.raises(BlockingIOError):
                    sock.recv(1)
            assert ann.finish() == 0


# Chatting on


def test_the_server_stops_politely(certificate: Certificate) -> None:
    with Server(tls_settings(certificate)) as server:
        options = (*pinned(certificate), "--no-reconnect", "--listen")
        with Client(server, "ann", *options) as ann:
            ann.say("last words")
            ann.next("message", self_=True)
            server.signal(signal.SIGTERM)
            assert ann.end() == 5
            assert ann.events[-1]["reason"] == "shutdown"
            told = "The server is shutting down; connect again when it is back.\n"
            assert ann.errors == told
        assert server.end() == 0
        assert server.errors == ""


def test_a_cut_connection_resumes(server: Server, certificate: Certificate, room: str) -> None:
    options = ("--room", room, *pinned(certificate))
    with Relay(server.port) as relay, Client(server, "ben", *options) as ben:
        with Client(relay.address, "ann", *options) as ann:
            talk(ann, ben)
            relay.cut(closed=True)
            ann.next("reconnecting")
            ben.say("while you were away")
            ben.next("message", self_=True)
            relay.open()
            assert ann.next("reconnected")["resumed"] is True
            ann.next("message", text="while you were away")
            relay.cut_after(3000)  # in the middle of a TLS record
            ann.say("y" * 5000)
            ann.next("reconnected", resumed=True)
            ben.next("message", text="y" * 5000)
            assert ann.finish() == 0
        ben.next("left", nick="ann")
        assert len(ben.all("joined")) == 1
        assert ben.finish() == 0


def test_tokens_over_tls(server: Server, certificate: Certificate, room: str) -> None:
    for options in (pinned(certificate), ("--ssl", "--ssl-ca", certificate.cert_path)):
        line = ["token", room, "--server", server.host, "--port", str(server.port), *options]
        done = run_command(*line)
        assert (done.status, done.errors) == (0, "")
        token = done.out.strip()
    settings = {"CLIENT_TOKEN": token, "CLIENT_PASSWORD": ""}
    with Client(server, room, *pinned(certificate), settings=settings) as client:
        page = f"https://localhost:{server.port}/revoke_token"
        fields = ["-d", f"admin_password={PASSWORD}", "-d", f"token={token}"]
        assert read_as_curl(["curl", "--cacert", certificate.cert_path, page, *fields]) == (
            '{"revoked": true}\n'
        )
        assert client.end() == 4
        assert "has been revoked" in client.errors
