"""websocket-client, without what of it only its own applications, TLS and logs need.

Importing the package brings ``inspect``, ``logging`` and ``ssl`` with what these need: 2 MB of the
20 that a client takes of its own.  Of the package only ``WebSocket`` is
used, on a stream that has TLS already, and nothing of its cookies and logs is wanted.  So names are
put in the place of five of its modules before it is loaded; should another version of it want more
of them, it is loaded as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

_NAME = "websocket"


class _Nobody(Exception):
    """In the place of errors that nobody raises, and of classes that nobody makes one of."""


def _nothing(*_: object) -> None:
    pass


class _NoCookies:
    """By one a server could know a client again under another nickname."""

    def __init__(self) -> None:
        self.jar: dict[str, Any] = {}

    def add(self, _set_cookie: str | None) -> None:
        pass

    def get(self, _host: str | None) -> str:
        return ""


_LOGS = ("debug", "dump", "enableTrace", "error", "info", "trace", "warning")
_QUESTIONS = ("isEnabledForDebug", "isEnabledForError", "isEnabledForTrace")
_ERRORS = ("SSLEOFError", "SSLError", "SSLWantReadError", "SSLWantWriteError")
_STAND_INS: Mapping[str, Mapping[str, Any]] = {
    "_cookiejar": {"SimpleCookieJar": _NoCookies},
    "_app": {"WebSocketApp": _Nobody, "set_reconnect": _nothing},
    "_dispatcher": {"DispatcherBase": _Nobody, "WrappedDispatcher": _Nobody},
    "_logging": dict.fromkeys((*_LOGS, *_QUESTIONS), _nothing),
    "_ssl_compat": {"HAVE_SSL": False, "ssl": None, **dict.fromkeys(_ERRORS, _Nobody)},
}


def _loaded() -> None:
    if _NAME in sys.modules:
        return
    for name, names in _STAND_INS.items():
        module = sys.modules[f"{_NAME}.{name}"] = ModuleType(f"{_NAME}.{name}")
        vars(module).update(names)
    try:
        import_module(_NAME)
    except (ImportError, AttributeError):
        for name in [each for each in sys.modules if each.split(".")[0] == _NAME]:
            del sys.modules[name]
        import_module(_NAME)
        import_module("logging").getLogger(_NAME).setLevel(100)  # above all of its levels


_loaded()
import websocket as websocket  # noqa: E402
