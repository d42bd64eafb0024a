"""What ``history`` needs, and where histories lie."""

from __future__ import annotations

from collections.abc import Mapping

from i18n import _
from protocol.dataclass import dataclass, field
from settings.errors import SettingsError
from settings.folders import STATE
from settings.servers import named_server
from settings.sources import Sources, missing
from settings.table import HISTORY_PASSPHRASES, default


@dataclass(frozen=True)
class HistorySettings:
    """What ``history`` needs. Passphrases are None where nothing sets them, ``server`` (with its
    port) where all histories are meant, ``last`` and ``room`` where nothing is left out."""

    action: str
    text: str | None
    server: tuple[str, int] | None
    last: int | None
    room: str | None
    yes: bool
    passphrase: str | None = field(repr=False)
    new_passphrase: str | None = field(repr=False)
    language: str


def history_settings(sources: Sources) -> HistorySettings:
    """The settings of ``history``. What it has to ask for depends on what it finds, so a
    passphrase that nothing sets is not missing yet. Raises ``SettingsError``."""
    values = sources.values(("<ACTION>", "<TEXT>", "--last", "--room", "--yes", "<SERVER>"))
    if values["action"] is None:
        raise missing(("<ACTION>",))
    if values["action"] == "search" and values["text"] is None:
        raise missing(("<TEXT>",))
    named = sources.find("<SERVER>")
    if named and (entry := named_server(named.value, sources.environ)):
        values["server"] = named.row.type(entry.address)
    if values["server"] is not None:
        host, port = values["server"][0]  # which names the chat
        values["server"] = host, port or default("CLIENT_PORT")
    return HistorySettings(
        **values,
        passphrase=sources.secret(HISTORY_PASSPHRASES)["history_passphrase"],
        **sources.secret(("--new-passphrase-file",)),
        language=sources.language(),
    )


def history_folder(environ: Mapping[str, str]) -> str:
    """Where histories lie.  Raises ``SettingsError`` where there is no folder for them."""
    folder = STATE.path(environ, "history")
    if folder is None:
        sentence = _("There is no folder for the history: set {setting} to one.")
        raise SettingsError(sentence.format(setting=STATE.variable))
    return folder
