"""The way to a server as the settings have it, and what to say of how a connection has ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from client import messages
from client.connection.handshake import ATTEMPT_SECONDS
from client.connection.outcome import Outcome
from i18n import _
from protocol import limits
from protocol.hosts import Address, host_and_port
from settings import ClientSettings, Destination, entry_hint, environment
from settings.exit_status import ExitStatus
from transport import NOT_LET_IN, CertificateUnusable
from transport.stream import Stream

if TYPE_CHECKING:
    from transport import tls
    from transport.client_websocket import ClientWebSocket


def tls_context(settings: Destination) -> tls.Context | None:
    """How to check the server's certificate, None without TLS.  Raises CertificateUnusable."""
    if not settings.use_ssl:
        return None
    from transport import tls  # with ssl: 0.7 MB

    return tls.client_context(settings.ssl_ca, settings.ssl_fingerprint)


def unusable(error: CertificateUnusable) -> str:
    """What to do about a file or fingerprint that TLS cannot use."""
    if error.reason == "fingerprint":
        return _("--ssl-fingerprint takes the 64 hexadecimal digits of a SHA-256.")
    if error.reason in ("missing", "unreadable"):
        return _("The file {path} cannot be read: check --ssl-ca.").format(path=error.path)
    return _("The file {path} holds no certificate in PEM form: check --ssl-ca.").format(
        path=error.path
    )


def dial(
    settings: Destination,
    context: tls.Context | None,
    opened: Callable[[Stream], None] | None = None,
    addresses: Sequence[Address] = (),
) -> ClientWebSocket:
    """A WebSocket to the server; ``opened`` gets each stream that is tried.  Raises ChatError.

    ``addresses``: those to try, the best first, if not all of the server's.
    """
    # With websocket-client, which is loaded while the keys are being made.
    from transport.client_websocket import connect_any

    return connect_any(
        addresses or settings.addresses,
        tls=context,
        server_hostname=settings.tls_name,
        path=settings.path or "/",
        timeout=ATTEMPT_SECONDS,
        max_message_size=limits.HANDSHAKE_BYTES,
        greeted=True,
        opened=opened,
        proxy=settings.proxy,
    )


def unreached(
    reason: str, params: Mapping[str, Any], settings: Destination
) -> tuple[ExitStatus, str]:
    """The exit status where no connection came about, and the sentence about it.

    A proxy that asks for a password refuses; ``params`` are the details of ``Unreachable``.
    """
    status = ExitStatus.REFUSED if reason in NOT_LET_IN else ExitStatus.UNREACHABLE
    where = ", ".join(host_and_port(*each) for each in settings.addresses)
    told = {"proxy": settings.proxy and settings.proxy.server, **params}
    sentence = messages.unreachable(reason, where, told)
    if reason == "name":  # perhaps of an entry of servers.ini
        sentence += entry_hint(settings.server, environment())
    return status, sentence


def ending(outcome: Outcome, settings: ClientSettings) -> tuple[ExitStatus, str]:
    """The exit status of a connection that has ended by itself, and the sentence about it."""
    if outcome.kind == "left":
        return ExitStatus.LEFT, ""
    if outcome.kind == "unreachable":
        return unreached(outcome.reason, outcome.params, settings)
    if outcome.reason == "taken_over":
        # Not an error: a supervisor that starts it again would throw the other one out.
        return ExitStatus.LEFT, messages.refusal(outcome.reason)
    if outcome.kind == "refused":
        by_token = outcome.reason == "auth_failed" and settings.token is not None
        code = "token_failed" if by_token else outcome.reason
        return ExitStatus.REFUSED, messages.refusal(code, outcome.params)
    return ExitStatus.LOST, messages.disconnected(outcome.reason)
