"""The engine that several servers share: how it is written, and what of it does not fit."""

from __future__ import annotations

import re
from typing import Any

from i18n import _
from protocol.dataclass import dataclass, field, replace
from protocol.hosts import host_and_port, is_loopback
from settings.errors import SettingsError
from settings.sources import Sources, conflict
from settings.table import BACKEND, BACKEND_PASSWORDS
from settings.types import host

_PORT = 6379  # of Redis, where the URL names none
_DATABASES = 16384  # more than anybody configures
_URL_CHARS = 2048
_SOCKET_PATH_BYTES = 100  # sun_path has 108 on Linux, and 104 elsewhere
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LOGIN = r"(?:(?P<user>[^\s:@/?\#]*)(?P<colon>:(?P<password>[^\s@/?\#]*))?@)?"
_TCP = re.compile(
    rf"""(?P<scheme>rediss?)://{_LOGIN}
        (?P<host>\[[^\s\[\]]+\]|[^\s:@/?\#\[\]]+)
        (?::(?P<port>[0-9]{{1,5}}))?
        (?:/(?P<db>[0-9]{{1,5}})?)?""",
    re.IGNORECASE | re.VERBOSE,
)
_UNIX = re.compile(rf"unix://{_LOGIN}(?P<path>/[^\s?\#]+)", re.IGNORECASE | re.VERBOSE)


@dataclass(frozen=True)
class BackendAddress:
    """Where the engine listens, and what it wants to know; a host and a port, or a socket's path.

    ``user`` and ``password`` are None where it is told none.
    """

    host: str = ""
    port: int = _PORT
    path: str = ""  # of a Unix socket; there is no host then
    tls: bool = False
    db: int = 0
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def shown(self) -> str:
        """As a URL; user and password are shown nowhere."""
        if self.path:
            return f"unix://{self.path}"
        return f"redis{'s' * self.tls}://{host_and_port(self.host, self.port)}/{self.db}"

    def is_here(self) -> bool:
        """Whether nothing of what is said to it leaves this machine."""
        return bool(self.path) or is_loopback(self.host)


@dataclass(frozen=True)
class BackendSettings:
    """What ``serve --backend`` needs."""

    address: BackendAddress
    prefix: str = "cc:"  # of all keys
    ssl_ca: str | None = None
    allow_persistence: bool = False
    allow_insecure: bool = False


def parse_backend(url: str) -> BackendAddress:
    """The engine that a URL names.

    Raises ``ValueError`` with what it must be. No part of it is repeated: it may hold a password.
    """
    url = url.strip()
    if len(url) > _URL_CHARS:
        raise _malformed()
    if "?" in url:
        raise ValueError(_("it must have no options after a question mark"))
    found = _TCP.fullmatch(url) or _UNIX.fullmatch(url)
    if found is None:
        raise _malformed()
    user, password = _login(found)
    if found.re is _UNIX:
        path = _decoded(found["path"])
        if len(path.encode()) > _SOCKET_PATH_BYTES:
            raise _malformed()
        return BackendAddress(path=path, user=user, password=password)
    try:
        name = host(found["host"])
    except ValueError:
        raise _malformed() from None
    if found["host"].startswith("[") and ":" not in name:
        raise _malformed()
    port, db = int(found["port"] or _PORT), int(found["db"] or 0)
    if not 1 <= port <= 65535 or db >= _DATABASES:
        raise _malformed()
    tls = found["scheme"].lower() == "rediss"
    return BackendAddress(name, port, tls=tls, db=db, user=user, password=password)


def may_hold_password(url: str) -> bool:
    """Whether a URL, as it was typed, may have more before its host than the name of a user."""
    before = url.rpartition("@")[0]
    return bool(before) and re.fullmatch(r"\s*[a-z]+://[^:/]*", before, re.I) is None


def _login(found: re.Match[str]) -> tuple[str | None, str | None]:
    user = _decoded(found["user"] or "") or None
    password = _decoded(found["password"] or "") or None
    return user, password


def _decoded(text: str) -> str:
    from urllib.parse import unquote

    try:
        plain = unquote(text, errors="strict")
        plain.encode("utf-8")
    except UnicodeError:
        raise _malformed() from None
    if _CONTROLS.search(plain):
        raise ValueError(_("user and password must not contain control characters"))
    return plain


def _malformed() -> ValueError:
    return ValueError(
        _(
            "a backend is written redis://host:port/0, rediss://host:port/0 or unix:///path, "
            "perhaps with user:password@ before the host, where signs such as @ : / # are written "
            "%40 %3A %2F %23"
        )
    )


def backend_settings(sources: Sources, values: dict[str, Any]) -> BackendSettings | None:
    """Those of the engine; None without one.  What belongs to it is taken out of ``values``.

    Raises ``SettingsError``.
    """
    own = {name: values.pop(f"backend_{name}") for name in _OWN}
    given = sources.choose(BACKEND)
    if given is None:
        return None
    sources.check_withheld("BACKEND_SSL_CA")
    url: str = sources.secret(BACKEND)["backend"]
    try:
        address = parse_backend(url)
    except ValueError as error:
        raise given.wrong(str(error)) from None
    password = sources.choose(BACKEND_PASSWORDS)
    if password is not None:
        if address.password is not None:
            raise conflict(given, password)
        address = replace(address, password=sources.text(password))
    if own["ssl_ca"] and not address.tls:
        raise SettingsError(
            _("BACKEND_SSL_CA is for TLS: write rediss:// in BACKEND_URL (--backend).")
        )
    return BackendSettings(
        address,
        own["prefix"],
        own["ssl_ca"],
        allow_persistence=own["persistence"] == "allow",
        allow_insecure=own["insecure"] == "allow",
    )


_OWN = ("ssl_ca", "prefix", "persistence", "insecure")
