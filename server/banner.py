"""What the server says to whoever started it: one banner, or one sentence of what to do."""

from __future__ import annotations

from typing import NamedTuple

from i18n import _, plural
from protocol.hosts import host_and_port
from server.client_address import TrustedProxies
from settings import ServerSettings, environment, started
from transport import tls
from transport.route import default_route_address

_WIDTH = 60
_LOOPBACK = ("127.0.0.1", "::1")
_EVERYWHERE = {"0.0.0.0": False, "::": True, "": False}  # noqa: S104  # compared, not bound


class SharedBy(NamedTuple):
    """What several servers of one chat share, and how many of them there are, with this one."""

    engine: str
    servers: int


def banner(
    settings: ServerSettings,
    port: int,
    forms_port: int | None = None,
    shared: SharedBy | None = None,
) -> str:
    """The lines that a server prints when it has started; ``forms_port`` is the forms' own."""
    host, reachable = _shown_host(settings.host)
    secure = settings.ssl_cert is not None
    scheme = ("https://", "wss://") if secure else ("http://", "ws://")
    options = _options(settings)
    command = f"python cmd_chat.py connect {host} {port} <username> <password>{options}"
    lines = [
        _("Server Address: {address}").format(address=host_and_port(host, port)),
        _("Protocol: {http} (WebSocket: {ws})").format(http=scheme[0], ws=scheme[1]),
        _("Connect with: {command}").format(command=command),
    ]
    here = started.connect_line(environment(), settings.host, port, options)
    if not _wants_header(settings):
        lines.append(_("On this machine: {command}").format(command=here))
    if isinstance(settings.token_forms, tuple):
        where = host_and_port(settings.token_forms[0], forms_port)
        lines.append(_("Tokens are given out at {address} only.").format(address=where))
    if shared is not None and settings.backend is not None:
        where = settings.backend.address.shown
        lines.append(_("Engine: {engine} at {backend}").format(engine=shared.engine, backend=where))
        lines.append(
            plural(
                "Servers of this chat: {count}, which is this one",
                "Servers of this chat: {count}, with this one",
                shared.servers,
            ).format(count=shared.servers)
        )
    if not reachable:
        lines.append(_("No network was found: only this machine can connect."))
    lines.append(_("Messages are end-to-end encrypted: this server cannot read them."))
    lines.append(_("Stop with: q and Enter, or Ctrl-C"))
    rule = "=" * _WIDTH
    title = _("CMD CHAT SERVER STARTED")
    return "\n".join([rule, f"  {title}", rule, *(f"  {line}" for line in lines), rule])


def _wants_header(settings: ServerSettings) -> bool:
    """Whether clients on this machine are taken for a proxy, and can come through it only."""
    proxies = TrustedProxies(settings.trusted_proxies, settings.proxy_protocol)
    return proxies.sends_header(proxies.of_peer(_LOOPBACK[":" in settings.host]))


def _shown_host(host: str) -> tuple[str, bool]:
    """The address to show for what was bound, and whether other machines can reach it."""
    if host not in _EVERYWHERE:
        return host, True
    found = default_route_address(ipv6=_EVERYWHERE[host]) or default_route_address()
    return (found, True) if found else ("127.0.0.1", False)


def _options(settings: ServerSettings) -> str:
    """What a client has to add to its command line, with a blank before it."""
    return (f" --path {settings.path}" if settings.path else "") + _tls_options(settings)


def _tls_options(settings: ServerSettings) -> str:
    if settings.ssl_cert is None:
        return ""
    if tls.is_self_signed(settings.ssl_cert):
        return f" --ssl --ssl-fingerprint {tls.fingerprint_of(settings.ssl_cert)}"
    return " --ssl"


def cannot_listen(reason: str, settings: ServerSettings) -> str:
    """Why ``serve`` cannot use its address, and what to try."""
    where = host_and_port(settings.host, settings.port)
    other = settings.port + 10000 if settings.port < 1024 else settings.port + 1
    if other > 65535:
        other = settings.port - 1
    sentences = {
        "in_use": _("Port {port} is in use by another program: try port {other}."),
        "denied": _(
            "Port {port} needs rights that this user does not have: try port {other}."
        ),
        "name": _("The address {where} cannot be resolved: use one of this machine's addresses."),
    }
    sentence = sentences.get(
        reason, _("The address {where} is not one of this machine's: try 0.0.0.0 or 127.0.0.1.")
    )
    advice = sentence.format(port=settings.port, other=other, where=where)
    line = started.serve_line(environment(), settings.host, other) if "{other}" in sentence else ""
    return f"{advice}\n  {line}" if line else advice


def forms_cannot_listen(reason: str, settings: ServerSettings) -> str:
    """Why the forms cannot have the address of their own, and what to do."""
    host, port = settings.token_forms if isinstance(settings.token_forms, tuple) else ("", 0)
    sentences = {
        "in_use": _("Port {port} of TOKEN_FORMS is in use by another program: name another one."),
        "denied": _(
            "Port {port} of TOKEN_FORMS needs rights that this user does not have: name another "
            "one."
        ),
    }
    sentence = sentences.get(
        reason,
        _("The address {host} of TOKEN_FORMS is not one of this machine's: try 127.0.0.1."),
    )
    return sentence.format(host=host, port=port)


def certificate_renewed(settings: ServerSettings) -> str:
    """What is said when renewed TLS files have been taken up.  Raises CertificateUnusable."""
    sentence = _("The TLS files were read again; the certificate's SHA-256 is {fingerprint}.")
    return sentence.format(fingerprint=tls.fingerprint_of(settings.ssl_cert or ""))


def certificate_kept() -> str:
    """What is said, after the reason, when renewed TLS files cannot be used."""
    return _("The server goes on with the certificate that it had.")


def cannot_write(reason: str) -> str:
    """What is said where the banner cannot be written."""
    return _("Standard output cannot be written ({reason}): the server serves without it.").format(
        reason=reason
    )


def certificate_unusable(reason: str, path: str) -> str:
    """Why the TLS files cannot be used, and what to do."""
    sentences = {
        "missing": _("The file {path} is not there: check --ssl-cert and --ssl-key."),
        "unreadable": _("The file {path} cannot be read: check its permissions."),
        "damaged": _("The file {path} is not a certificate or key in PEM form."),
        "encrypted": _(
            "The key {path} is encrypted: decrypt it first, for example with openssl pkey."
        ),
        "mismatch": _("The key {path} does not belong to the certificate: check both files."),
    }
    sentence = sentences.get(reason, _("The TLS file {path} cannot be used."))
    return sentence.format(path=path)
