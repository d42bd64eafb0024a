"""The proxy that a client goes through: how it is written, and which of the environment counts."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence

from i18n import _
from protocol.dataclass import dataclass, field
from protocol.hosts import Address
from settings.errors import SettingsError
from settings.sources import Sources
from settings.table import PROXIES
from settings.types import host

NONE = "none"  # in place of a proxy: go directly, whatever the environment says

# The ports that curl takes where a URL names none.
_PORTS = {"http": 1080, "https": 443, "socks5": 1080, "socks5h": 1080}
_SOCKS_BYTES = 255  # of a user name, and of a password (RFC 1929 2)
_URL_CHARS = 2048
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_URL = re.compile(
    r"""(?:(?P<kind>[a-z][a-z0-9+.-]*)://)?
        (?:(?P<user>[^\s:@/?\#]*)(?P<colon>:(?P<password>[^\s@/?\#]*))?@)?
        (?P<host>\[[^\s\[\]]+\]|[^\s:@/?\#\[\]]+)
        (?::(?P<port>[0-9]{1,5}))?
        /?""",
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True)
class Proxy:
    """Where it listens, and what it wants to know.

    ``kind``: ``http`` (CONNECT), ``https`` (the same, spoken to over TLS), ``socks5`` (names are
    looked up here), ``socks5h`` (there). ``user`` is None where it is told none.
    """

    kind: str
    host: str
    port: int
    user: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)

    @property
    def server(self) -> str:
        """Host and port as people write them; user and password are shown nowhere."""
        from protocol.hosts import host_and_port  # only who uses a proxy loads it

        return host_and_port(self.host, self.port)


def parse_proxy(url: str) -> Proxy:
    """The proxy that a URL names; one without a scheme is of kind ``http``.

    Raises ``ValueError`` with what it must be. No part of it is repeated: it may hold a password.
    """
    found = _URL.fullmatch(url.strip()) if len(url) <= _URL_CHARS else None
    if found is None:
        raise _malformed()
    kind, port = (found["kind"] or "http").lower(), int(found["port"] or 0)
    if kind not in _PORTS or (found["port"] and not 1 <= port <= 65535):
        raise _malformed()
    from urllib.parse import unquote

    try:
        server = host(found["host"])
        user, password = (unquote(found[name] or "", errors="strict") for name in _CREDENTIALS)
    except ValueError:  # of which UnicodeDecodeError is one
        raise _malformed() from None
    given = bool(user or found["colon"])
    _check(kind, user, password, given)
    return Proxy(kind, server, port or _PORTS[kind], user if given else None, password)


_CREDENTIALS = ("user", "password")


def _malformed() -> ValueError:
    return ValueError(
        _(
            "a proxy is written http://host:port, https://host:port, socks5://host:port or "
            "socks5h://host:port, perhaps with user:password@ before the host, where signs such "
            "as @ : / # are written %40 %3A %2F %23"
        )
    )


def _check(kind: str, user: str, password: str, given: bool) -> None:
    """Whether the proxy can be told these."""
    if _CONTROLS.search(user + password):
        raise ValueError(_("user and password must not contain control characters"))
    if kind in ("http", "https"):
        if ":" in user:  # RFC 7617 2: it would end there
            raise ValueError(_("an HTTP proxy's user name must not contain a colon"))
    elif given and (not user or max(len(user.encode()), len(password.encode())) > _SOCKS_BYTES):
        raise ValueError(_("SOCKS takes user names and passwords of 1 to 255 bytes"))


def holds_password(url: str) -> bool:
    """Whether a URL, as it was typed, may have something in it that is not for others' eyes."""
    return "@" in url


def chosen_proxy(sources: Sources, addresses: Sequence[Address], tls: bool) -> Proxy | None:
    """The proxy to reach a server through; None where it is reached directly.

    One that a setting names is for every server, the machine itself included; else that of the
    environment counts, if it is the same for all of the server's addresses. Raises
    ``SettingsError``.
    """
    given = sources.choose(PROXIES)
    if given is None:
        sources.check_withheld(*PROXIES)
        found = {proxy_of_environment(sources.environ, *each, tls) for each in addresses}
        if len(found) > 1:
            raise SettingsError(_(
                "The environment's proxy is not the same for all of these addresses: name one with "
                "--proxy, or give --proxy none."
            ))
        return found.pop()
    url: str = sources.secret(PROXIES)["proxy"]
    if url.strip().lower() == NONE:
        return None
    try:
        return parse_proxy(url)
    except ValueError as error:
        raise given.wrong(str(error)) from None


def proxy_of_environment(
    environ: Mapping[str, str], host: str, port: int, tls: bool
) -> Proxy | None:
    """The proxy that the environment names for a server; None where it is reached directly.

    As curl has it: ``https_proxy`` for TLS and ``http_proxy`` for what is in clear, then
    ``all_proxy``; lower case goes before upper, and ``HTTP_PROXY`` does not count, since whoever
    sends a CGI program a header can set it. ``no_proxy`` is read as urllib reads it. The machine
    itself is never reached through a proxy. Raises ``SettingsError`` for one that cannot be used.
    """
    for name in ("https_proxy" if tls else "http_proxy", "all_proxy"):
        for variable in _spellings(name):
            url = environ.get(variable, "").strip()
            if not url:
                continue
            if _is_here(host) or _is_exempt(environ, host, port):
                return None
            try:
                return parse_proxy(url)
            except ValueError as error:
                sentence = _(
                    "{variable} (environment) names no proxy that can be used: {why}; or give one "
                    "with --proxy, or --proxy none."
                )
                raise SettingsError(sentence.format(variable=variable, why=error)) from None
    return None


def _spellings(name: str) -> tuple[str, ...]:
    if sys.platform == "win32":  # where they have no case, and Python gives them in upper case
        return (name.upper(),)
    return (name,) if name == "http_proxy" else (name, name.upper())


def _is_here(host: str) -> bool:
    from protocol.hosts import ip_address, is_loopback

    name = host.rstrip(".").lower()
    if is_loopback(host) or name.endswith(".localhost"):  # RFC 6761 6.3
        return True
    address = ip_address(host)
    return address is not None and address.is_unspecified


def _is_exempt(environ: Mapping[str, str], host: str, port: int) -> bool:
    exempt = environ.get("no_proxy", environ.get("NO_PROXY", ""))
    if not exempt.strip():
        return False
    # It takes a while to load.
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

    from protocol.hosts import host_and_port

    # A name with a port in the list is for that port alone; IPv6 addresses stand there bare.
    asked = [host] if ":" in host else []
    asked.append(host_and_port(host, port))
    return any(proxy_bypass_environment(each, {"no": exempt}) for each in asked)
