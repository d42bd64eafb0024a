"""What ``status`` needs."""

from __future__ import annotations

from protocol.dataclass import dataclass
from settings.connect import ClientSettings, Destination, addresses, client_settings, destination
from settings.sources import Sources


@dataclass(frozen=True, kw_only=True)
class StatusSettings(Destination):
    """A server to look at; ``login`` has what is needed to go in, None where nobody goes in."""

    login: ClientSettings | None
    json: bool


def status_settings(sources: Sources) -> StatusSettings:
    """The settings of ``status``.  Raises ``SettingsError``, and ``MissingSetting``."""
    sources.look_up_server()
    login = client_settings(sources, one_room=True) if sources.value("--login") else None
    values = destination(sources, addresses(sources))
    return StatusSettings(**values, login=login, json=sources.value("--json"))
