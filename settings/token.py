"""What ``token`` needs: a client of a server whose password it knows."""

from __future__ import annotations

from collections.abc import Iterable

from i18n import _
from protocol.dataclass import dataclass, field
from protocol.hosts import Address
from settings.connect import Destination, addresses, destination
from settings.errors import SettingsError
from settings.proxies import Proxy
from settings.sources import Sources, missing
from settings.started import reachable
from settings.table import ADMIN_PASSWORDS, CLIENT_PASSWORDS


@dataclass(frozen=True, kw_only=True)
class TokenSettings(Destination):
    """What ``token`` needs: mint for ``username``, revoke ``revoke`` (token or its id), or list.

    Exactly one of the three is set. ``ttl`` is in seconds.
    """

    username: str | None
    revoke: str | None = field(repr=False)
    listing: bool
    ttl: int
    bind: bool = False  # to the first identity that uses it
    password: str = field(repr=False)


def token_settings(sources: Sources) -> TokenSettings:
    """The settings of ``token``.

    The command line has ``<USERNAME>`` to mint, ``<TOKEN>`` to revoke or ``--list``, and perhaps
    ``--ttl``. Without ``CLIENT_SERVER`` this machine's server is asked, where its own settings say
    that it listens. Raises ``SettingsError``, and ``MissingSetting``.
    """
    sources.look_up_server()
    values = sources.values(("--ttl", "--bind", "--list", "<USERNAME>"))
    values |= destination(sources, *_server_to_ask(sources))
    hosts = values["server"], *(host for host, _port in values["others"])
    _check_reader(hosts, values["use_ssl"], values["proxy"])
    values |= sources.secret(("<TOKEN>",))
    if values["revoke"] is None and values["username"] is None and not values["listing"]:
        raise missing(("<USERNAME>",))
    # It is one password: whoever runs the server has it under that name, who chats under the other.
    theirs = sources.choose(ADMIN_PASSWORDS) is None and sources.choose(CLIENT_PASSWORDS)
    password = sources.secret(CLIENT_PASSWORDS if theirs else ADMIN_PASSWORDS, required=True)
    return TokenSettings(**values, **password)


def _server_to_ask(sources: Sources) -> tuple[tuple[Address, ...], str]:
    """Addresses and path."""
    path = sources.value("CLIENT_PATH")
    if sources.find("CLIENT_SERVER"):
        return addresses(sources), path
    host, port = sources.value("SERVER_HOST"), sources.value("SERVER_PORT")
    forms = sources.value("TOKEN_FORMS")
    if isinstance(forms, tuple):
        host, port = forms
    if sources.find("CLIENT_PORT"):
        port = sources.value("CLIENT_PORT")
    return ((reachable(host), port),), path or sources.value("SERVER_PATH")


def _check_reader(hosts: Iterable[str], tls: bool, proxy: Proxy | None) -> None:
    """Whether a form with the admin's password may be sent: over TLS, or to the machine itself.

    Raises ``SettingsError``: in clear anybody in between, and a proxy above all, would read it.
    """
    from protocol.hosts import is_loopback

    if tls or (proxy is None and all(map(is_loopback, hosts))):
        return
    raise SettingsError(
        _(
            "Without TLS the admin password would be sent readably: use --ssl, or run this "
            "command on the server's own machine, with --server localhost and no proxy."
        )
    )
