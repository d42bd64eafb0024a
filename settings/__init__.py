"""Settings: command line, then environment, then ``.env``, then default.

The only reader of the environment and of ``.env``. Everything that is known about a setting
is its row in ``table``. ``server_settings`` and its siblings make frozen values out of the
``Sources``; they are pure but for the secret files, whose reader can be passed. What is wrong is
a ``SettingsError``: one complete sentence that never contains a secret.
"""

from __future__ import annotations

import os

from settings.backend import BackendAddress, BackendSettings
from settings.connect import ClientSettings, Destination, addresses, client_settings
from settings.dotenv import Dotenv, near_misses
from settings.dotenv_file import read_dotenv
from settings.errors import MissingSetting, SettingsError
from settings.history import HistorySettings, history_folder, history_settings
from settings.identity import IdentitySettings, identity_settings
from settings.inherited import without_settings
from settings.programs import (
    SendSettings,
    TailSettings,
    send_settings,
    tail_settings,
    wait_settings,
)
from settings.proxies import holds_password
from settings.serve import ServerSettings, server_settings
from settings.servers import entry_hint, named_servers, server_names
from settings.sources import Sources, missing
from settings.status import StatusSettings, status_settings
from settings.table import HISTORY_PASSPHRASES, IDENTITY_PASSPHRASES, QUESTIONS, ROWS, Setting
from settings.token import TokenSettings, token_settings

__all__ = [
    "HISTORY_PASSPHRASES",
    "IDENTITY_PASSPHRASES",
    "QUESTIONS",
    "ROWS",
    "BackendAddress",
    "BackendSettings",
    "ClientSettings",
    "Destination",
    "Dotenv",
    "HistorySettings",
    "IdentitySettings",
    "MissingSetting",
    "SendSettings",
    "ServerSettings",
    "Setting",
    "SettingsError",
    "Sources",
    "StatusSettings",
    "TailSettings",
    "TokenSettings",
    "addresses",
    "client_settings",
    "entry_hint",
    "environment",
    "history_folder",
    "history_settings",
    "holds_password",
    "identity_settings",
    "missing",
    "named_servers",
    "near_misses",
    "read_dotenv",
    "send_settings",
    "server_names",
    "server_settings",
    "status_settings",
    "tail_settings",
    "token_settings",
    "wait_settings",
    "without_settings",
]


def environment() -> dict[str, str]:
    """The process's environment, as it is now."""
    return dict(os.environ)
