"""What ``status`` needs."""

from __future__ import annotations

from dataclasses import dataclass

from settings.connect import ClientSettings, Destination, add_way, address, client_settings
from settings.sources import Sources
from settings.table import ROWS


@dataclass(frozen=True, kw_only=True)
class StatusSettings(Destination):
    """A server to look at; ``login`` has what is needed to go in, None where nobody goes in."""

    login: ClientSettings | None
    json: bool


def status_settings(sources: Sources) -> StatusSettings:
    """The settings of ``status``.  Raises ``SettingsError``, and ``MissingSetting``."""
    sources.look_up_server()
    rows = ("CLIENT_PATH", "CLIENT_USE_SSL", "CLIENT_SSL_CA", "CLIENT_SSL_FINGERPRINT",
            "CLIENT_TLS_NAME", "--json")  # fmt: skip
    login = client_settings(sources) if sources.value("--login") else None
    values = {ROWS[name].field: sources.value(name) for name in rows}
    values["server"], values["port"] = address(sources)
    values["language"] = sources.language()
    add_way(sources, values)
    return StatusSettings(**values, login=login)
