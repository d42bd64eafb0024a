"""TLS that a reading and a writing thread may use at once, and the contexts for it.

``ssl.SSLSocket`` is outside what OpenSSL allows as soon as one thread reads while another writes
(cpython #151508, #143756: it crashes).  Here the TLS machine is an ``SSLObject`` between two
memory buffers.  One lock goes around each use of the machine and of its buffers, and is never held
while waiting for the network, which stays the business of ``Stream``.

What the machine puts out must reach the network in the order in which it was made.  So only the
holder of the stream's writing lock empties the outgoing buffer; a reader that finds an answer in
it (a key update, an alert) takes that lock, too, and the machine's lock after it.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

from .errors import CertificateUnusable, TlsFailed
from .stream import Stream

if TYPE_CHECKING:
    from cryptography import x509

Context = ssl.SSLContext  # for the packages above, which do not import ssl

_RECORD_BYTES = 16 * 1024  # RFC 8446 5.1: the most that is in a record
_PIECE_BYTES = 8 * 1024  # of what goes out, and comes in, at a time
_ALERT = bytes.fromhex("15030100020228")  # RFC 8446 6.2: fatal, handshake_failure


class TlsStream(Stream):
    """A ``Stream`` with TLS inside.  ``handshake`` comes first, from one thread.

    With ``server_hostname`` it is the client's side; ``options`` are as of ``Stream``.
    """

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        *,
        server_hostname: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(sock, **options)
        self._context = context
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._machine = threading.Lock()
        self._over = False  # the machine has ended; the reading thread's
        try:
            self._tls = context.wrap_bio(
                self._incoming,
                self._outgoing,
                server_side=server_hostname is None,
                server_hostname=server_hostname,
            )
        except ValueError:  # UnicodeError too: a name that no certificate could have
            self.close()
            raise TlsFailed("wrong_host") from None
        except BaseException:
            self.close()
            raise

    def handshake(self, deadline: float) -> None:
        """Agree on keys, and on the client's side check who it is.  Raises TlsFailed, aborted."""
        try:
            if self._tls.server_side:
                self._hear(deadline)  # the client begins
            while self._step():
                self.flush(deadline)
                self._hear(deadline)
            self._check_pin()
            self.flush(deadline)
            self._ahead = self._open()  # what came together with the handshake's end
        except OSError as error:  # ssl.SSLError is one
            reason = tls_reason(error)
            if isinstance(error, ConnectionError) and not self._tls.server_side:
                reason = "hung_up"
            if reason == "not_tls" and self._tls.server_side:
                self._say_tls()
            self.abort()
            raise TlsFailed(reason) from None
        except BaseException:
            self.abort()
            raise

    def _hear(self, deadline: float) -> None:
        raw = self._receive(deadline, _PIECE_BYTES)
        if not raw:
            raise ConnectionAbortedError
        self._feed(raw)

    def _say_tls(self) -> None:
        # OpenSSL closes without a word; with an alert the client can tell its user what is wrong.
        with contextlib.suppress(OSError), self._writing:
            self._dispatch(_ALERT)

    def _step(self) -> bool:
        """One turn of the handshake; True if it needs more from the peer."""
        more = False
        try:
            with self._machine:
                self._tls.do_handshake()
        except ssl.SSLWantReadError:
            more = True
        finally:  # also the alert that tells the peer why
            with contextlib.suppress(OSError):
                self._answer()
        return more

    def _check_pin(self) -> None:
        pin = getattr(self._context, "pin", None)
        if pin is not None and not hmac.compare_digest(self.peer_fingerprint(), pin):
            raise TlsFailed("fingerprint")

    def peer_fingerprint(self) -> str:
        """SHA-256 of the peer's certificate, in hexadecimal; whether it is to be trusted or not."""
        return hashlib.sha256(self.agreed()[1]).hexdigest()

    def agreed(self) -> tuple[str, bytes]:
        """The version of TLS, as ``TLSv1.3``, and the peer's certificate (DER)."""
        with self._machine:
            return self._tls.version() or "", self._tls.getpeercert(binary_form=True) or b""

    def _fill(self) -> bytes:
        while not self._over:
            raw = self._receive(self._deadline, _PIECE_BYTES)
            if not raw:
                self._over = True  # without close_notify; whatever was cut off is no use
                break
            self._feed(raw)
            if plain := self._open():
                return plain
        return b""

    def take(self) -> bytes:
        """As the base class's, of what is inside."""
        if self._ahead:
            return super().take()
        while not self._over:
            raw = self._sock.recv(_PIECE_BYTES)
            if not raw:
                self._over = True
                break
            self._feed(raw)
            if plain := self._open():
                return plain
        return b""

    def _feed(self, raw: bytes) -> None:
        with self._machine:
            self._incoming.write(raw)

    def _open(self) -> bytes:
        """Everything that can be read by now; nothing stays behind in the machine."""
        parts = []
        with self._machine:
            try:
                # A read takes all of a record, and no more than one; to be told that there is
                # none costs as much as to read one.
                while not self._over and self._incoming.pending:
                    part = self._tls.read(_RECORD_BYTES)
                    parts.append(part)
                    self._over = not part  # close_notify
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:  # cut off, damaged, or an alert: over, whatever it was
                self._over = True
            answer = self._outgoing.pending
        if answer:
            with contextlib.suppress(OSError):
                self._answer()
        return b"".join(parts)

    def _answer(self) -> None:
        """Send what the machine itself has to say."""
        with self._writing:
            with self._machine:
                wire = self._outgoing.read()
            if wire and not self.aborted:
                self._dispatch(wire)

    def send(self, data: bytes | bytearray | memoryview, flags: int = 0) -> int:
        """As the base class's, of what is inside."""
        with self._writing:
            if self.aborted:
                raise ConnectionAbortedError
            self._dispatch(self._wire(data))
        return len(data)

    def _wire(self, data: bytes | bytearray | memoryview) -> bytes:
        """What stands for ``data`` on the network."""
        if 0 < len(data) <= _PIECE_BYTES:
            with self._machine:
                self._tls.write(data)
                return self._outgoing.read()
        parts = []
        with self._machine, memoryview(data) as view:
            done = 0
            while done < len(view):
                # In pieces: the buffer keeps for ever the room that it once needed.
                done += self._tls.write(view[done : done + _PIECE_BYTES])
                parts.append(self._outgoing.read())
        return b"".join(parts)

    def shutdown(self, how: int = socket.SHUT_WR) -> None:
        """``close_notify`` and the end of sending; best effort."""
        with contextlib.suppress(OSError, ValueError), self._machine:
            self._tls.unwrap()  # raises: it wants the peer's, for which nobody waits
        with contextlib.suppress(OSError):
            self._answer()
        super().shutdown(how)


# X509_V_ERR_… of openssl/x509_vfy.h, as far as people can do something about them
_VERIFY_REASONS = {
    9: "expired",  # not yet valid
    10: "expired",
    18: "self_signed",
    62: "wrong_host",
    63: "wrong_host",
    64: "wrong_host",
}
# Reasons with which OpenSSL answers bytes that are not TLS at all
_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "PACKET_LENGTH_TOO_LONG")


def tls_reason(error: OSError) -> str:
    """Why TLS was not agreed: a reason of TlsFailed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFY_REASONS.get(error.verify_code, "unknown_ca")
    if isinstance(error, ssl.SSLError):
        return "not_tls" if error.reason in _NOT_TLS else "protocol"
    return "timeout" if isinstance(error, TimeoutError) else "network"


# Contexts


class _PinnedContext(ssl.SSLContext):
    """A context whose connections compare the certificate itself and ask no authority."""

    pin: str


def server_context(cert_path: str, key_path: str | None = None) -> ssl.SSLContext:
    """TLS 1.2 or later with this certificate chain; ``key_path`` None: the key is in the same file.

    A context is never changed afterwards: to renew a certificate is to make another one (OpenSSL
    copies a context's certificate for each connection without a lock of its own).

    Raises CertificateUnusable; never asks for a passphrase.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    context.num_tickets = 0  # nobody resumes, and they would be sent to peers that only look in
    _load_chain(context, cert_path, key_path)
    return context


def client_context(ca_path: str | None = None, fingerprint: str | None = None) -> ssl.SSLContext:
    """TLS 1.2 or later that checks the server.

    Against the system's authorities; with ``ca_path`` against the certificates in that file
    alone; with ``fingerprint`` (SHA-256 of the DER certificate in hexadecimal; colons, spaces and
    case do not matter) against nothing but that.  Raises CertificateUnusable.
    """
    if fingerprint is not None:
        pinned = _PinnedContext(ssl.PROTOCOL_TLS_CLIENT)
        _harden(pinned)
        pinned.check_hostname, pinned.verify_mode = False, ssl.CERT_NONE
        pinned.pin = _digits(fingerprint)
        return pinned
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    if ca_path is None:
        context.load_default_certs()
        return context
    _readable(ca_path)
    try:
        context.load_verify_locations(ca_path)
    except (ssl.SSLError, ValueError):
        raise CertificateUnusable("damaged", ca_path) from None
    # Somebody who names a certificate trusts it, whoever signed it.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def unverified_context() -> ssl.SSLContext:
    """It checks nothing: for a handshake that is only to show a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A renegotiation would make a write wait for a read.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION


def _digits(fingerprint: str) -> str:
    digits = re.sub(r"[\s:]", "", fingerprint).lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise CertificateUnusable("fingerprint")
    return digits


class _Encrypted(Exception):
    """The key's file asks for a passphrase."""


def _load_chain(context: ssl.SSLContext, cert_path: str, key_path: str | None) -> None:
    def asked() -> bytes:  # without it OpenSSL would ask on the terminal
        raise _Encrypted

    _readable(cert_path)
    _readable(key_path or cert_path)
    try:
        context.load_cert_chain(cert_path, key_path, password=asked)
    except _Encrypted:
        raise CertificateUnusable("encrypted", key_path or cert_path) from None
    except ssl.SSLError as error:
        if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
            raise CertificateUnusable("mismatch", key_path or cert_path) from None
        raise CertificateUnusable("damaged", _culprit(cert_path, key_path)) from None


def _culprit(cert_path: str, key_path: str | None) -> str:
    """Which of the two files is damaged, as far as that can be told."""
    try:
        _load_certificate(cert_path)
    except CertificateUnusable:
        return cert_path
    return key_path or cert_path


def _readable(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise CertificateUnusable("missing", path) from None
    except (OSError, ValueError):
        raise CertificateUnusable("unreadable", path) from None


def _load_certificate(path: str) -> x509.Certificate:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(_readable(path))
    except ValueError:
        raise CertificateUnusable("damaged", path) from None


def fingerprint_of(cert_path: str) -> str:
    """SHA-256 of the file's first certificate, in hexadecimal.  Raises CertificateUnusable."""
    from cryptography.hazmat.primitives.serialization import Encoding

    der = _load_certificate(cert_path).public_bytes(Encoding.DER)
    return hashlib.sha256(der).hexdigest()


def is_self_signed(cert_path: str) -> bool:
    """Whether the file's first certificate vouches for itself.  Raises CertificateUnusable."""
    certificate = _load_certificate(cert_path)
    try:
        certificate.verify_directly_issued_by(certificate)
    except Exception:  # it has several, and one answer
        return False
    return True
