from __future__ import annotations

import contextlib
import faulthandler
import functools
import random
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import transport_kit
from tests.transport_kit import (
    Certificate,
    Task,
    make_certificate,
    read_exactly,
    soon,
    tcp_pair,
    tls_pair,
    until,
)
from transport import CertificateUnusable, TlsFailed, tls
from transport.tls import TlsStream

pytestmark = pytest.mark.timeout(60)
certificate = transport_kit.certificate
no_thread_left = transport_kit.no_thread_left


class Alone:
    """Stands around a part of the TLS machine and notes when two threads are inside."""

    def __init__(self, inner: Any, guard: Any, broken: list[str]) -> None:
        self._inner, self._guard, self._broken = inner, guard, broken

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*arguments: Any) -> Any:
            if not self._guard.acquire(blocking=False):
                self._broken.append(name)
                return found(*arguments)
            try:
                return found(*arguments)
            finally:
                self._guard.release()

        return call


def watch(stream: TlsStream, broken: list[str]) -> None:
    guard = threading.Lock()
    for name in ("_tls", "_incoming", "_outgoing"):
        setattr(stream, name, Alone(getattr(stream, name), guard, broken))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_directions_at_once(
    certificate: Certificate, version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulthandler.enable()
    harden = tls._harden

    def only(context: ssl.SSLContext) -> None:
        harden(context)
        context.maximum_version = version

    monkeypatch.setattr(tls, "_harden", only)
    ends = tls_pair(certificate, bound=1 << 30)
    broken: list[str] = []
    for end in ends:
        watch(end, broken)
    chance = random.Random(version)
    sizes = [1, 2, 16384, 16385, 1 << 20] + [chance.randrange(1, 5000) for _ in range(300)]
    chance.shuffle(sizes)
    pattern = chance.randbytes(1 << 20)

    def write(end: TlsStream) -> None:
        for size in sizes:
            end.send(pattern[:size])
            end.flush(soon())

    def read(end: TlsStream) -> None:
        for size in sizes:
            assert read_exactly(end, size) == pattern[:size]

    tasks = [Task(work, end) for end in ends for work in (write, read)]
    for task in tasks:
        task.result()
    for end in ends:
        end.close()
    assert broken == []


def test_what_comes_with_the_end_of_the_handshake_is_read(certificate: Certificate) -> None:
    near, far = tcp_pair()
    server = TlsStream(far, tls.server_context(certificate.cert_path, certificate.key_path))
    shaking = Task(server.handshake, soon())
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = tls.client_context(certificate.cert_path).wrap_bio(
        incoming, outgoing, server_hostname="localhost"
    )
    while True:
        try:
            client.do_handshake()
            break
        except ssl.SSLWantReadError:
            near.sendall(outgoing.read())
            incoming.write(near.recv(65536))
    client.write(b"eager")
    near.sendall(outgoing.read())  # Finished and data in one segment
    shaking.result()
    assert server.recv(10) == b"eager"
    near.close()
    server.close()


def test_a_silent_client_does_not_delay_another(certificate: Certificate) -> None:
    context = tls.server_context(certificate.cert_path, certificate.key_path)
    silent, far = tcp_pair()
    waiting = TlsStream(far, context)
    shaking = Task(waiting.handshake, soon())
    until(lambda: waiting._inside)
    for end in tls_pair(certificate):
        end.close()
    assert shaking.is_alive()
    waiting.abort()
    with pytest.raises(TlsFailed):
        shaking.result()
    waiting.close()
    silent.close()


def test_the_handshake_has_a_total_deadline(certificate: Certificate) -> None:
    near, far = tcp_pair()
    # A long record's header, then a byte for each look at the clock.
    near.sendall(bytes.fromhex("1603012000010003fc0303"))
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        near.send(b"a")
        return now[0]

    server = TlsStream(
        far, tls.server_context(certificate.cert_path, certificate.key_path), clock=clock
    )
    with near, pytest.raises(TlsFailed) as caught:
        server.handshake(10.0)
    assert caught.value.reason == "timeout"
    assert server.aborted
    server.close()


def test_the_end_polite_or_not_is_an_end(certificate: Certificate) -> None:
    for end in (TlsStream.shutdown, TlsStream.abort):
        client, server = tls_pair(certificate)
        client.send(b"last")
        end(client)
        assert read_exactly(server, 100) == b"last"
        assert server.recv(1) == b""
        client.close()
        server.close()


def test_damaged_records_are_an_end(certificate: Certificate) -> None:
    client, server = tls_pair(certificate)
    client._sock.send(b"\x17\x03\x03\x00\x30" + b"z" * 48)
    assert server.recv(1) == b""
    assert client.recv(1) == b""  # its alert
    client.close()
    server.close()


def failure(work: Callable[[], Any]) -> str:
    with pytest.raises(TlsFailed) as caught:
        work()
    return caught.value.reason


@contextlib.contextmanager
def serving(context: ssl.SSLContext) -> Iterator[tuple[socket.socket, Task]]:
    """A client's socket, and the server's handshake on its other end."""
    near, far = tcp_pair()
    server = TlsStream(far, context)
    shaking = Task(server.handshake, soon())
    try:
        yield near, shaking
    finally:
        server.abort()
        with contextlib.suppress(TlsFailed):
            shaking.result()
        server.close()
        near.close()


def client_failure(
    served: Certificate, context: ssl.SSLContext, hostname: str = "localhost"
) -> str:
    with serving(tls.server_context(served.cert_path, served.key_path)) as (near, _shaking):
        client = TlsStream(near, context, server_hostname=hostname)
        reason = failure(lambda: client.handshake(soon()))
        assert client.aborted
        client.close()
    return reason


def test_why_a_server_is_not_trusted(certificate: Certificate, tmp_path: Path) -> None:
    authority = make_certificate(tmp_path, "authority", hosts=(), authority=True)
    good = make_certificate(tmp_path, "good", issuer=authority)
    late = make_certificate(tmp_path, "late", issuer=authority, days=(-20, -10))
    early = make_certificate(tmp_path, "early", issuer=authority, days=(10, 20))
    other = make_certificate(tmp_path, "other", authority=True)
    trusting = tls.client_context(authority.cert_path)
    assert client_failure(certificate, trusting) == "self_signed"
    assert client_failure(certificate, tls.client_context()) == "self_signed"
    assert client_failure(good, tls.client_context()) == "unknown_ca"
    assert client_failure(good, tls.client_context(other.cert_path)) == "unknown_ca"
    assert client_failure(late, trusting) == "expired"
    assert client_failure(early, trusting) == "expired"
    for hostname in ("example.org", "127.0.0.2"):
        assert client_failure(good, trusting, hostname) == "wrong_host"
    old = tls.client_context(authority.cert_path)
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
    modern = tls.server_context(good.cert_path, good.key_path)
    modern.minimum_version = ssl.TLSVersion.TLSv1_3
    with serving(modern) as (near, shaking):
        client = TlsStream(near, old, server_hostname="localhost")
        assert failure(lambda: client.handshake(soon())) == "protocol"
        assert failure(shaking.result) == "protocol"
        client.close()


@pytest.mark.parametrize("hostname", ["localhost", "127.0.0.1", "::1"])
def test_a_good_certificate_is_trusted(tmp_path: Path, hostname: str) -> None:
    authority = make_certificate(tmp_path, "authority", hosts=(), authority=True)
    good = make_certificate(tmp_path, "good", issuer=authority)
    for trusted in (authority, good):  # also where the certificate itself is named
        with serving(tls.server_context(good.cert_path, good.key_path)) as (near, shaking):
            client = TlsStream(
                near, tls.client_context(trusted.cert_path), server_hostname=hostname
            )
            client.handshake(soon())
            shaking.result()
            client.close()


def test_a_pinned_certificate_needs_nothing_else(tmp_path: Path) -> None:
    late = make_certificate(tmp_path, "late", hosts=("elsewhere",), days=(-20, -10))
    print_ = tls.fingerprint_of(late.cert_path)
    assert len(print_) == 64
    pairs = ":".join(print_[i : i + 2] for i in range(0, 64, 2)).upper()
    for spelt in (print_, pairs, f" {pairs.replace(':', ' ')}\n"):
        with serving(tls.server_context(late.cert_path, late.key_path)) as (near, shaking):
            client = TlsStream(
                near, tls.client_context(fingerprint=spelt), server_hostname="localhost"
            )
            client.handshake(soon())
            shaking.result()
            client.close()
    other = tls.client_context(fingerprint=f"{int(print_, 16) ^ 1:064x}")
    assert client_failure(late, other) == "fingerprint"


def test_who_does_not_speak_tls() -> None:
    near, far = tcp_pair()
    client = TlsStream(near, tls.client_context(), server_hostname="localhost")
    with far:
        far.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert failure(lambda: client.handshake(soon())) == "not_tls"
    client.close()


def test_a_server_that_hangs_up_at_once() -> None:
    """It has no descriptors left, say; or something in between cuts."""
    near, far = tcp_pair()
    client = TlsStream(near, tls.client_context(), server_hostname="localhost")
    far.close()
    assert failure(lambda: client.handshake(soon())) == "hung_up"
    client.close()


def test_a_client_that_does_not_speak_tls(certificate: Certificate) -> None:
    context = tls.server_context(certificate.cert_path, certificate.key_path)
    with serving(context) as (near, shaking):
        near.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert failure(shaking.result) == "not_tls"
        assert near.recv(1) == b"\x15"  # it is told by an alert
    with serving(context) as (near, shaking):
        near.close()
        assert failure(shaking.result) == "network"


def test_a_name_that_no_certificate_could_have() -> None:
    near, far = tcp_pair()
    with near, far:
        assert (
            failure(lambda: TlsStream(near, tls.client_context(), server_hostname=".a"))
            == "wrong_host"
        )


def unusable(work: Callable[[], Any]) -> str:
    with pytest.raises(CertificateUnusable) as caught:
        work()
    return caught.value.reason


def test_why_files_do_not_serve(
    certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prompt(*_arguments: Any) -> Any:
        raise AssertionError("asked on the terminal")

    monkeypatch.setattr("getpass.getpass", prompt)
    monkeypatch.setattr("builtins.input", prompt)
    other = make_certificate(tmp_path, "other")
    locked = make_certificate(tmp_path, "locked", passphrase=b"secret")
    junk = tmp_path / "junk"
    junk.write_text("junk")
    cert, key = certificate.cert_path, certificate.key_path
    for arguments, reason in (
        ((str(tmp_path / "none"), key), "missing"),
        ((cert, str(tmp_path / "none")), "missing"),
        ((cert, str(tmp_path)), "unreadable"),
        ((cert, str(junk)), "damaged"),
        ((str(junk), key), "damaged"),
        ((cert, None), "damaged"),
        ((cert, other.key_path), "mismatch"),
        ((locked.cert_path, locked.key_path), "encrypted"),
    ):
        assert unusable(functools.partial(tls.server_context, *arguments)) == reason, arguments
    assert unusable(lambda: tls.client_context(str(tmp_path / "none"))) == "missing"
    assert unusable(lambda: tls.client_context(str(junk))) == "damaged"
    for fingerprint in ("", "ab", "z" * 64, "a" * 65):
        pinned = functools.partial(tls.client_context, fingerprint=fingerprint)
        assert unusable(pinned) == "fingerprint"
    both = tmp_path / "both"
    both.write_bytes(Path(cert).read_bytes() + Path(key).read_bytes())
    tls.server_context(str(both))


def test_who_vouches_for_itself(tmp_path: Path) -> None:
    authority = make_certificate(tmp_path, "authority", authority=True)
    good = make_certificate(tmp_path, "good", issuer=authority)
    posing = make_certificate(tmp_path, "posing", issuer=good)
    assert tls.is_self_signed(authority.cert_path)
    assert not tls.is_self_signed(good.cert_path)
    assert not tls.is_self_signed(posing.cert_path)
    (tmp_path / "junk").write_text("junk")
    assert unusable(lambda: tls.is_self_signed(str(tmp_path / "junk"))) == "damaged"
    assert unusable(lambda: tls.fingerprint_of(str(tmp_path / "none"))) == "missing"
