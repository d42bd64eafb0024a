"""What the tests of ``transport`` share: connected pairs, certificates, threads that must end."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from transport import tls
from transport.listening import listen
from transport.stream import Stream

LONG = 30.0  # against hanging only


def soon() -> float:
    """A deadline that only a hang reaches."""
    return time.monotonic() + LONG


@pytest.fixture(autouse=True)
def no_thread_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test leaves a thread behind or lets one die of an exception."""
    died: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", died.append)
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(LONG)
        assert not thread.is_alive(), thread.name
    assert not died, died


def until(condition: Callable[[], object]) -> None:
    """Wait until ``condition`` holds."""
    deadline = soon()
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "never came true"
        pause.wait(0.001)


class Task(threading.Thread):
    """Runs ``work`` in a thread; ``result`` joins it and returns, or raises, what it did."""

    def __init__(self, work: Callable[..., Any], *arguments: Any) -> None:
        super().__init__(daemon=True)
        self._work, self._arguments = work, arguments
        self._value: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._value = self._work(*self._arguments)
        except BaseException as error:
            self._error = error

    def result(self) -> Any:
        self.join(LONG)
        assert not self.is_alive(), "hangs"
        if self._error is not None:
            raise self._error
        return self._value


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of one loopback connection."""
    listener = listen("127.0.0.1", 0)
    with listener:
        near = socket.create_connection(listener.getsockname())
        far, _address = listener.accept()
    near.settimeout(LONG)
    return near, far


@dataclass(frozen=True)
class Certificate:
    """A certificate, its key, and the files that they are in."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    cert_path: str
    key_path: str


def make_certificate(
    folder: Path,
    stem: str = "server",
    *,
    hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "::1"),
    issuer: Certificate | None = None,
    authority: bool = False,
    days: tuple[int, int] = (-1, 30),
    passphrase: bytes | None = None,
) -> Certificate:
    """Sign one, by itself unless there is an ``issuer``, valid between ``days`` from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, stem)])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days[0]))
        .not_valid_after(now + datetime.timedelta(days[1]))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_general_name(h) for h in hosts]), False)
    )
    certificate = builder.sign(issuer.key if issuer else key, hashes.SHA256())
    cert_path, key_path = folder / f"{stem}.pem", folder / f"{stem}.key"
    cert_path.write_bytes(certificate.public_bytes(Encoding.PEM))
    protection = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection))
    return Certificate(certificate, key, str(cert_path), str(key_path))


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """For localhost, signed by itself."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))


def tls_pair(
    certificate: Certificate, **options: Any
) -> tuple[tls.TlsStream, tls.TlsStream]:
    """Client's and server's end, hands shaken."""
    near, far = tcp_pair()
    client = tls.TlsStream(
        near,
        tls.client_context(certificate.cert_path),
        server_hostname="localhost",
        interruptible=True,
        **options,
    )
    server = tls.TlsStream(
        far, tls.server_context(certificate.cert_path, certificate.key_path), **options
    )
    shaking = Task(server.handshake, soon())
    client.handshake(soon())
    shaking.result()
    return client, server


@pytest.fixture(params=["plain", "tls"])
def make_pair(request: pytest.FixtureRequest, certificate: Certificate) -> Iterator[Any]:
    """Makes a client's and a server's ``Stream``, connected; both are closed afterwards."""
    made: list[Stream] = []

    def make(**options: Any) -> tuple[Stream, Stream]:
        if request.param == "tls":
            made.extend(tls_pair(certificate, **options))
        else:
            near, far = tcp_pair()
            made.append(Stream(near, interruptible=True, **options))
            made.append(Stream(far, **options))
        return made[-2], made[-1]

    yield make
    for stream in made:
        stream.close()


def read_exactly(stream: Stream, size: int) -> bytes:
    """``size`` bytes, fewer at the end."""
    return stream.makefile().read(size)
