"""What ``serve`` needs, and what of it does not fit together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from i18n import _
from protocol.dataclass import dataclass, field
from protocol.sizes import record_size
from settings.backend import BackendSettings, backend_settings
from settings.errors import SettingsError
from settings.sources import Sources
from settings.table import ADMIN_PASSWORDS, ROWS

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network


@dataclass(frozen=True)
class ServerSettings:
    """What ``serve`` needs. Times in seconds, sizes in bytes; None where nothing is set."""

    host: str
    port: int  # 0: any that is free
    password: str = field(repr=False)
    max_messages_per_window: int
    rate_limit_window: float
    heartbeat_interval: float
    heartbeat_timeout: float
    max_message_size: int
    max_payload_size: int
    ssl_cert: str | None
    ssl_key: str | None
    force_ssl: bool
    language: str
    path: str = ""  # a slash before each part, none at the end
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    proxy_protocol: bool = False
    token_forms: str | tuple[str, int] = "on"  # noqa: S105  # off, proxied, or host and port
    backend: BackendSettings | None = None  # what several servers share


def server_settings(sources: Sources) -> ServerSettings:
    """The settings of ``serve``.

    Raises ``SettingsError``, and ``MissingSetting`` where a password is the only thing missing.
    """
    values = sources.plain("server")
    _check_sizes_and_times(values)
    _check_proxies(values)
    _check_certificate(values)
    if not values["ssl_cert"]:
        sources.check_withheld("FORCE_SSL")
    sources.check_withheld("TOKEN_FORMS", "TRUSTED_PROXIES")
    backend = backend_settings(sources, values)
    password = sources.secret(ADMIN_PASSWORDS, required=True)
    return ServerSettings(**values, **password, backend=backend)


def _check_sizes_and_times(values: Mapping[str, Any]) -> None:
    interval, timeout = values["heartbeat_interval"], values["heartbeat_timeout"]
    if interval >= timeout:
        sentence = _(
            "HEARTBEAT_INTERVAL ({interval} seconds) must be shorter than "
            "HEARTBEAT_TIMEOUT ({timeout} seconds)."
        )
        raise SettingsError(sentence.format(interval=interval, timeout=timeout))
    message, payload = values["max_message_size"], values["max_payload_size"]
    needed = record_size(message)
    if needed > payload:
        sentence = _(
            "MAX_PAYLOAD_SIZE ({payload} bytes) is too small for a message of MAX_MESSAGE_SIZE "
            "({message} bytes), which needs up to {needed} bytes once it is sealed."
        )
        raise SettingsError(sentence.format(payload=payload, message=message, needed=needed))


def _check_proxies(values: Mapping[str, Any]) -> None:
    if values["trusted_proxies"]:
        return
    if values["proxy_protocol"]:
        sentence = _("PROXY_PROTOCOL needs TRUSTED_PROXIES: the addresses that headers come from.")
        raise SettingsError(sentence)
    if values["token_forms"] == "proxied":  # noqa: S105
        sentence = _("TOKEN_FORMS=proxied needs TRUSTED_PROXIES: the addresses of the proxies.")
        raise SettingsError(sentence)


def _check_certificate(values: Mapping[str, Any]) -> None:
    if bool(values["ssl_cert"]) != bool(values["ssl_key"]):
        there, lacking = ("SSL_CERT_PATH", "SSL_KEY_PATH")
        if values["ssl_key"]:
            there, lacking = lacking, there
        sentence = _("{there} is set without {lacking} ({flag}); TLS needs both.")
        raise SettingsError(
            sentence.format(there=there, lacking=lacking, flag=ROWS[lacking].flag)
        )
    if values["force_ssl"] and not values["ssl_cert"]:
        raise SettingsError(
            _(
                "FORCE_SSL needs a TLS certificate: set SSL_CERT_PATH (--ssl-cert) and "
                "SSL_KEY_PATH (--ssl-key)."
            )
        )
