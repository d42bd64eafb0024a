"""Sockets, TLS and WebSockets, without any knowledge of chat.

Everything above deals with one small interface, ``transport.websocket.WebSocket``, on the server
and on the client alike; every trap of the libraries below it is dealt with in here.  Only this
package imports ``socket``, ``ssl``, ``select``, ``simple_websocket`` and ``websocket``.
"""

from __future__ import annotations

from .errors import (
    NOT_LET_IN,
    BadUpgrade,
    CannotListen,
    CertificateUnusable,
    Closed,
    Flooded,
    TlsFailed,
    Unreachable,
)

__all__ = [
    "NOT_LET_IN",
    "BadUpgrade",
    "CannotListen",
    "CertificateUnusable",
    "Closed",
    "Flooded",
    "TlsFailed",
    "Unreachable",
]
