"""What ``identity`` needs."""

from __future__ import annotations

from protocol.dataclass import dataclass, field
from settings.sources import Sources, missing
from settings.table import IDENTITY_PASSPHRASES


@dataclass(frozen=True)
class IdentitySettings:
    """What ``identity`` needs. Passphrases are None where nothing sets them; ``nick`` is of
    ``forget`` only."""

    action: str
    nick: str | None
    path: str
    passphrase: str | None = field(repr=False)
    new_passphrase: str | None = field(repr=False)
    language: str


def identity_settings(sources: Sources) -> IdentitySettings:
    """The settings of ``identity``. What it has to ask for depends on what it finds, so a
    passphrase that nothing sets is not missing yet. Raises ``SettingsError``."""
    values = sources.values(("<DEED>", "<NICK>", "CLIENT_IDENTITY"))
    if values["action"] is None:
        raise missing(("<DEED>",))
    if values["action"] == "forget" and values["nick"] is None:
        raise missing(("<NICK>",))
    path = values.pop("identity")
    if path is None:
        raise missing(("CLIENT_IDENTITY",))
    return IdentitySettings(
        **values,
        path=path,
        passphrase=sources.secret(IDENTITY_PASSPHRASES)["identity_passphrase"],
        **sources.secret(("--new-passphrase-file",)),
        language=sources.language(),
    )
